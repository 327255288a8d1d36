//! Inputs that differ in how rows spread over regions.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Result;

/// How rows spread over regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Regions {
    /// As the generator spreads them over 64.
    AsGenerated,
    /// Evenly over so many.
    Uniform(u64),
    /// Over so many, the k-th with a share of 1/k.
    Zipf(u64),
    /// Nine in ten in one, the rest evenly (case O45).
    MostlyOne(u64),
}

impl Regions {
    pub(crate) fn name(self) -> String {
        match self {
            Self::AsGenerated => "generated".to_owned(),
            Self::Uniform(regions) => format!("{regions} regions, uniform"),
            Self::Zipf(regions) => format!("{regions} regions, Zipf"),
            Self::MostlyOne(regions) => format!("{regions} regions, 90 % in one"),
        }
    }

    /// The region of row `row`, from 0; `None`: as it is.
    fn of(self, row: u64) -> Option<usize> {
        // Rows one after another must not go round in order: the finaliser of splitmix64 mixes them.
        let mut mixed = row.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let region = match self {
            Self::AsGenerated => return None,
            Self::Uniform(regions) => mixed % regions,
            Self::MostlyOne(regions) if mixed.is_multiple_of(10) => (mixed >> 8) % regions,
            Self::MostlyOne(_) => 0,
            Self::Zipf(regions) => {
                let weight = |region: u64| 1_000_000 / (region + 1);
                let all: u64 = (0..regions).map(weight).sum();
                let mut left = mixed % all;
                let mut region = 0;
                while left >= weight(region) {
                    left -= weight(region);
                    region += 1;
                }
                region
            }
        };
        usize::try_from(region).ok()
    }
}

/// Writes two partitions of `rows` sales below `scratch`, and the look-ups into `scratch/dims`; gives the partitions' folder.
pub(crate) fn write_input(
    binary: &str,
    scratch: &Path,
    rows: u64,
    regions: Regions,
) -> Result<PathBuf> {
    let size = if rows.is_multiple_of(1_000_000) {
        format!("{}m", rows / 1_000_000)
    } else {
        rows.to_string()
    };
    let generated = scratch.join(&size).join("csv");
    if !generated.exists() {
        let status = Command::new(binary)
            .args(["generate", "ventas", "--rows", &rows.to_string()])
            .args(["--seed", "1", "--only", "csv", "--out"])
            .arg(scratch)
            .status()?;
        if !status.success() {
            return Err(format!("generate: {status}").into());
        }
    }
    if regions == Regions::AsGenerated {
        return Ok(generated);
    }
    let folder = scratch.join(regions.name().replace([' ', ',', '%'], "-"));
    fs::create_dir_all(&folder)?;
    let codes = codes(&scratch.join("dims/regions.csv"))?;
    for part in ["part-0.csv", "part-1.csv"] {
        let mut lines = BufReader::new(File::open(generated.join(part))?).lines();
        let mut out = BufWriter::new(File::create(folder.join(part))?);
        let header = lines.next().ok_or("no header")??;
        let place = header
            .split(',')
            .position(|name| name == "region_code")
            .ok_or("no region_code")?;
        writeln!(out, "{header}")?;
        for (row, line) in (0..).zip(lines) {
            let line = line?;
            let mut fields: Vec<&str> = line.split(',').collect();
            // Faulty rows stay as they are.
            if let (Some(region), false) = (regions.of(row), fields[place].is_empty()) {
                fields[place] = &codes[region % codes.len()];
            }
            writeln!(out, "{}", fields.join(","))?;
        }
        out.flush()?;
    }
    Ok(folder)
}

/// One alias of each region, in the order of their ids.
fn codes(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file)?;
    let mut codes: Vec<(u32, String)> = Vec::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let (Some(alias), Some(id)) = (fields.next(), fields.next()) else {
            return Err("a region without an id".into());
        };
        let id = id.parse()?;
        if !codes.iter().any(|(known, _)| *known == id) {
            codes.push((id, alias.to_owned()));
        }
    }
    codes.sort();
    Ok(codes.into_iter().map(|(_, alias)| alias).collect())
}
