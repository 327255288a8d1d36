//! The built-in generator: a day of sales with known faults, its look-ups, and what a correct engine must make of it.
//!
//! It is a source like the others (`generate = { rows, seed }` in a job, through [`VentasChunks`]) and the benchmark's
//! data (`caudal generate ventas`, through [`generate_ventas`]). It is separate from the engine on purpose: the truth
//! that is written beside the data comes from the generator's own integers, never from parsing, so an error of the
//! engine can't hide in it.
//!
//! ```text
//! (rows, seed, index) ──event──> Event ──text──> CSV and JSON records
//!                                      └─truth─> truth.json
//! ```
//!
//! An event is a pure function of (rows, seed, index) in integer arithmetic, so the same seed gives the same bytes on
//! every machine, and any part of the stream can be made without what is before it.
//!
//! What the data promise: `sale_id` runs from 1 without gaps; events are ordered by it, in the stream and in each of the
//! two partitions; no event is 30 s or more older than the newest before it; at most one fault a row, in about 1 % of them.

mod chunks;
mod dims;
mod event;
mod files;
mod text;
mod truth;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use chunks::{VentasChunks, VentasText};

use event::{Events, Fault};
use files::Staged;
use text::TextTables;
use truth::Truth;

/// The columns of a sale, in the order of CSV fields and JSON keys.
pub const VENTAS_COLUMNS: [&str; 10] = [
    "sale_id",
    "ts",
    "store_id",
    "region_code",
    "product_id",
    "customer_id",
    "quantity",
    "unit_price",
    "currency",
    "channel",
];

/// Rows between two calls of the progress function: a few hundred calls a minute, so that a bar moves and costs nothing.
const PROGRESS_ROWS: u64 = 1 << 16;

/// What to generate, and where.
#[derive(Debug, Clone)]
pub struct VentasOptions {
    /// Number of sales.
    pub rows: u64,
    /// Which of the 2^64 data sets of this size.
    pub seed: u64,
    /// The folder under which `<size>/` and `dims/` are made.
    pub out: PathBuf,
    /// The formats the sales are written in; the truth and the look-ups are written always.
    pub parts: VentasParts,
}

/// The formats sales are written in. Files of a format not asked for are left as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VentasParts {
    /// `csv/part-0.csv` and `csv/part-1.csv`.
    pub csv: bool,
    /// `json/part-0.jsonl` and `json/part-1.jsonl`.
    pub json: bool,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VentasSummary {
    /// Number of sales.
    pub rows: u64,
    /// Sales without a fault.
    pub valid: u64,
    /// Sales with a fault, by the reason they must be refused for, in the order of the specification.
    pub faults: Vec<(&'static str, u64)>,
    /// Bytes of all files written, look-ups and truth included.
    pub bytes: u64,
    /// The folder of this data set, `<out>/<size>`.
    pub folder: PathBuf,
    /// The folder of the look-ups, `<out>/dims`.
    pub dims: PathBuf,
}

/// Why a data set was not written. Nothing of it is visible then, except where publishing itself failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A folder can't be made.
    #[error(
        "{}: this folder can't be made\n  now: nothing was generated\n  hint: name a folder that can be written to",
        path.display()
    )]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be made.
    #[error(
        "{}: this file can't be made\n  now: nothing was generated\n  hint: name a folder that can be written to",
        path.display()
    )]
    CreateFile {
        /// The file, by its final name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be written to its end.
    #[error(
        "{}: writing this file failed\n  now: what was written is removed; files of an earlier run are as they were\n  \
         hint: see that the disk has room (about 75 bytes a row as CSV, 200 as JSON) and repeat",
        path.display()
    )]
    Write {
        /// The file, by its final name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A whole file can't be given its name.
    #[error(
        "{}: the finished file can't be put in its place\n  now: other files of this data set may be in place, its \
         truth.json is not\n  hint: see what stands there and repeat",
        path.display()
    )]
    Publish {
        /// The file, by its final name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The folder name of a data set of this size: `10m` for whole millions, else the number.
pub fn size_name(rows: u64) -> String {
    const MILLION: u64 = 1_000_000;
    if rows > 0 && rows.is_multiple_of(MILLION) {
        format!("{}m", rows / MILLION)
    } else {
        rows.to_string()
    }
}

/// Writes a data set: `<out>/<size>/{csv/part-0.csv, csv/part-1.csv, json/part-0.jsonl, json/part-1.jsonl, truth.json}`
/// and `<out>/dims/{regions,products,fx}.csv`.
///
/// Sales with an even `sale_id` are in part 0, the others in part 1. Files are written under hidden names and renamed
/// when all are whole, the truth last, so that a `truth.json` never stands beside other data than its own. They are not
/// synced to the disk: they can be made again. `progress` is told the rows made so far, now and then and at the end.
///
/// Cost: one pass; 6 MB for the truth and 1 MiB for each open file, whatever the number of rows.
pub fn generate_ventas(
    options: &VentasOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<VentasSummary, GenerateError> {
    let folder = options.out.join(size_name(options.rows));
    let dims = options.out.join("dims");

    let mut dim_files = Vec::new();
    for (name, content) in [
        ("regions.csv", dims::regions_csv()),
        ("products.csv", dims::products_csv()),
        ("fx.csv", dims::fx_csv()),
    ] {
        let mut file = Staged::create(&dims.join(name))?;
        file.buffer().extend_from_slice(content.as_bytes());
        dim_files.push(file);
    }
    let mut csv = open_parts(options.parts.csv, &folder.join("csv"), "csv")?;
    let mut json = open_parts(options.parts.json, &folder.join("json"), "jsonl")?;
    for file in &mut csv {
        file.buffer()
            .extend_from_slice(text::csv_header().as_bytes());
    }

    let tables = TextTables::new();
    let mut truth = Truth::new();
    for event in Events::new(options.rows, options.seed) {
        let part = usize::from(!event.sale_id().is_multiple_of(2));
        if let Some(file) = csv.get_mut(part) {
            tables.push_csv(&event, file.buffer());
            file.flush_when_full()?;
        }
        if let Some(file) = json.get_mut(part) {
            tables.push_json(&event, file.buffer());
            file.flush_when_full()?;
        }
        truth.add(&event);
        if event.sale_id().is_multiple_of(PROGRESS_ROWS) {
            progress(event.sale_id());
        }
    }
    progress(options.rows);

    let mut truth_file = Staged::create(&folder.join("truth.json"))?;
    truth_file
        .buffer()
        .extend_from_slice(truth.to_json().as_bytes());

    let mut staged: Vec<Staged> = dim_files.into_iter().chain(csv).chain(json).collect();
    staged.push(truth_file);
    Ok(VentasSummary {
        rows: options.rows,
        valid: truth.valid(),
        faults: Fault::ALL
            .iter()
            .map(|&fault| (fault.reason(), truth.faults(fault)))
            .collect(),
        bytes: files::publish(staged)?,
        folder,
        dims,
    })
}

/// The two partitions of one format, or none where it is not asked for.
fn open_parts(wanted: bool, folder: &Path, extension: &str) -> Result<Vec<Staged>, GenerateError> {
    if !wanted {
        return Ok(Vec::new());
    }
    (0..2)
        .map(|part| Staged::create(&folder.join(format!("part-{part}.{extension}"))))
        .collect()
}

/// Makes a folder and those above it.
fn create_folder(path: &Path) -> Result<(), GenerateError> {
    fs::create_dir_all(path).map_err(|source| GenerateError::CreateFolder {
        path: path.to_path_buf(),
        source,
    })
}
