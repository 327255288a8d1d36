//! Rows that repeat another: against a plain loop over all rows, and against the figures of public files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::real::{data, facts};
use super::tables::{read, visible_files};

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
key = ["shop"]
max_refused = "100 %"
OPTIONS
[sources.till]
files = { paths = ["in/b*.csv", "in/a*.csv"] }
csv = {}
columns = { id = "int not null", order = "int", line = "varchar", shop = "varchar", quantity = "int" }
[sources.web]
files = { paths = ["in/*.jsonl"] }
json = {}
columns = { id = "int not null", order = "int", line = "varchar", shop = "varchar", quantity = "int" }
[rules]
tests = { expect = "shop <> 'TEST'", then = "drop" }
[duplicates]
reported = { key = ["shop"], keep = "report" }
lines = { key = ["order", "line"], keep = "first" }
rows = { key = ["quantity", "shop"], keep = "first" }
[sinks.rows]
files = { path = "rows" }
csv = {}
columns = { id = "id" }
[sinks.found]
from = "duplicates"
files = { path = "found" }
csv = {}
columns = { rule = "rule", id = "id", file = "file", line = "duplicates.line", first_file = "first_file", first_line = "first_line" }
"#;

/// A row as it is written.
#[derive(Clone)]
struct Written {
    id: usize,
    order: Option<u64>,
    line: Option<u64>,
    shop: Option<&'static str>,
    /// `None`: what stands there is no number, and the row is refused.
    quantity: Option<u64>,
    place: String,
}

/// Numbers that follow from a seed: the generator of `MMIX` (Knuth).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Writes random files below `folder`; gives their rows in the order of sources, files and lines.
fn write_files(folder: &Path, seed: u64) -> Vec<Written> {
    let mut numbers = Numbers(seed);
    fs::create_dir_all(folder.join("in")).unwrap();
    let mut all = Vec::new();
    for name in ["b0.csv", "b1.csv", "a0.csv", "x.jsonl", "y.jsonl"] {
        let is_csv = name.ends_with("csv");
        let mut text = String::new();
        if is_csv {
            text.push_str("id,order,line,shop,quantity\n");
        }
        let rows = numbers.below(120);
        for row in 0..rows {
            let some = |numbers: &mut Numbers, bound| {
                let value = numbers.below(bound);
                (value > 0).then_some(value)
            };
            let written = Written {
                id: all.len(),
                order: some(&mut numbers, 12),
                line: some(&mut numbers, 4),
                shop: [None, Some("Centro"), Some("TEST"), Some("Norte")]
                    [usize::try_from(numbers.below(4)).unwrap()],
                quantity: some(&mut numbers, 30),
                place: format!("in/{name},{}", row + 1 + u64::from(is_csv)),
            };
            let of = |value: Option<u64>| value.map(|value| value.to_string());
            let (order, line) = (of(written.order), of(written.line));
            let quantity = of(written.quantity).unwrap_or("\"many\"".to_owned());
            let shop = written.shop;
            if is_csv {
                let (order, line) = (order.unwrap_or_default(), line.unwrap_or_default());
                let shop = shop.unwrap_or_default();
                writeln!(text, "{},{order},{line},{shop},{quantity}", written.id).unwrap();
            } else {
                let null = || "null".to_owned();
                let text_or_null =
                    |text: Option<&str>| text.map_or_else(null, |text| format!("\"{text}\""));
                writeln!(
                    text,
                    "{{\"id\":{},\"order\":{},\"line\":{},\"shop\":{},\"quantity\":{quantity}}}",
                    written.id,
                    order.unwrap_or_else(null),
                    text_or_null(line.as_deref()),
                    text_or_null(shop),
                )
                .unwrap();
            }
            all.push(written);
        }
        fs::write(folder.join("in").join(name), text).unwrap();
    }
    all
}

/// What a plain loop makes of the rows: ids that are kept, and a line for each row that was found.
fn oracle(rows: &[Written]) -> (BTreeSet<usize>, BTreeSet<String>) {
    let good = |row: &&Written| row.quantity.is_some() && row.shop != Some("TEST");
    let mut left: Vec<&Written> = rows.iter().filter(good).collect();
    let mut found = BTreeSet::new();
    type KeyOf = fn(&Written) -> Option<String>;
    let rules: [(&str, bool, KeyOf); 3] = [
        ("reported", true, |row| row.shop.map(str::to_owned)),
        ("lines", false, |row| {
            Some(format!("{} {}", row.order?, row.line?))
        }),
        ("rows", false, |row| {
            Some(format!("{} {}", row.quantity?, row.shop?))
        }),
    ];
    for (rule, keeps, key_of) in rules {
        let mut first: BTreeMap<String, &Written> = BTreeMap::new();
        left.retain(|row| {
            let Some(key) = key_of(row) else { return true };
            let Some(before) = first.get(&key) else {
                first.insert(key, row);
                return true;
            };
            found.insert(format!("{rule},{},{},{}", row.id, row.place, before.place));
            keeps
        });
    }
    (left.iter().map(|row| row.id).collect(), found)
}

fn csv_lines(folder: &Path) -> BTreeSet<String> {
    let files = visible_files(folder);
    let mut lines = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().skip(1) {
            assert!(lines.insert(line.to_owned()), "{line} stands twice");
        }
    }
    lines
}

#[test]
fn what_is_found_is_what_a_loop_finds_whoever_reads_what() {
    for seed in 0..6 {
        let place = tempfile::tempdir().unwrap();
        let rows = write_files(place.path(), seed);
        let (kept, found) = oracle(&rows);
        let kept: BTreeSet<String> = kept.iter().map(usize::to_string).collect();
        for (words, options) in [
            (&["run", "-w", "1"][..], ""),
            (&["run", "-w", "3"], "chunk = \"1 B\"\nepoch = \"300 B\""),
            // The budget is smaller than an epoch: rows that are held hold none of it.
            (
                &["run", "-w", "2"],
                "chunk = \"64 B\"\nin_flight = \"128 B\"\nepoch = \"2 KiB\"",
            ),
            (
                &["launch", "-n", "3", "-w", "2"],
                "chunk = \"1 B\"\nepoch = \"200 B\"",
            ),
        ] {
            let what = format!("seed {seed}, {words:?}, {options:?}");
            fs::write(
                place.path().join("job.toml"),
                JOB.replace("OPTIONS", options),
            )
            .unwrap();
            let done = Command::new("timeout")
                .args(["60", env!("CARGO_BIN_EXE_caudal"), words[0], "job.toml"])
                .args(["--json", "--quiet"])
                .args(&words[1..])
                .current_dir(place.path())
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{what}: {told}");
            assert_eq!(csv_lines(&place.path().join("out/rows")), kept, "{what}");
            assert_eq!(csv_lines(&place.path().join("out/found")), found, "{what}");
            let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
            for rule in ["reported", "lines", "rows"] {
                let of_rule = found
                    .iter()
                    .filter(|line| line.starts_with(&format!("{rule},")));
                let count = u64::try_from(of_rule.count()).unwrap();
                assert_eq!(summary["duplicates"][rule]["rows"], count, "{what}");
                let dropped = &summary["dropped_by_rule"][rule];
                let expected = if rule == "reported" || count == 0 {
                    Value::Null
                } else {
                    count.into()
                };
                assert_eq!(*dropped, expected, "{what}");
            }
        }
    }
}

/// A public file: its name in `FACTS.json`, paths, options of the format, and its columns (name in the file).
const PUBLIC: &[(&str, &str, &str)] = &[
    ("online_retail_2010_12", "online_retail/2010-12/*.csv", ""),
    (
        "online_retail_2011H1",
        "online_retail/online_retail_2011H1.csv.gz",
        "",
    ),
    (
        "electronics_2019_01",
        "electronics_2019/Sales_January_2019.csv.gz",
        "skip_repeated_header = true, skip_blank = true",
    ),
    (
        "electronics_2019_04",
        "electronics_2019/Sales_April_2019.csv",
        "skip_repeated_header = true, skip_blank = true",
    ),
    (
        "electronics_2019_12",
        "electronics_2019/Sales_December_2019.csv.zst",
        "skip_repeated_header = true, skip_blank = true",
    ),
    (
        "sales_data_sample",
        "sales_data_sample.csv",
        "skip_blank = true",
    ),
    ("vendas_br", "vendas_br/Vendas.csv", "delimiter = \";\""),
    ("ecommerce_sales", "ecommerce_sales_data.csv", ""),
];

/// The first line of the first file that a pattern matches, cut into names.
fn names(path: &Path, delimiter: &str) -> Vec<String> {
    let file = glob::glob(path.to_str().unwrap()).unwrap().next().unwrap();
    let bytes = fs::read(file.unwrap()).unwrap();
    let text: Vec<u8> = match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut text = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
            std::io::Read::read_to_end(&mut reader, &mut text).unwrap();
            text
        }
        "zst" => zstd::decode_all(bytes.as_slice()).unwrap(),
        _ => bytes,
    };
    let line = text.split(|byte| *byte == b'\n').next().unwrap();
    let line = String::from_utf8(line.to_vec()).unwrap();
    let line = line.trim_start_matches('\u{feff}').trim_end();
    line.split(delimiter).map(str::to_owned).collect()
}

#[test]
fn public_files_have_the_duplicates_that_others_found_in_them() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (name, paths, options) in PUBLIC {
        let fact = &facts["datasets"][name];
        let delimiter = if options.contains("\";\"") { ";" } else { "," };
        let mut job = format!(
            "format = 1\n[job]\nname = \"case\"\noutput = \"out\"\nepoch = \"256 KiB\"\nchunk = \"64 KiB\"\n[sources.file]\nfiles = {{ paths = [\"{}\"] }}\ncsv = {{ {options} }}\n[sources.file.columns]\n",
            data.join(paths).display()
        );
        for column in names(&data.join(paths), delimiter) {
            writeln!(job, "\"{column}\" = \"varchar\"").unwrap();
        }
        let keys = fact["keys"].as_array().unwrap();
        for (number, key) in keys.iter().enumerate() {
            writeln!(
                job,
                "[duplicates.key_{number}]\nkeep = \"report\"\nkey = {}",
                key["columns"]
            )
            .unwrap();
        }
        job.push_str("[duplicates.equal]\nby = \"row\"\nkeep = \"first\"\n[sinks.rows]\nfiles = { path = \"rows\" }\nparquet = {}\n");
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("job.toml"), job).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["run", "job.toml", "--json", "--quiet", "-w", "2"])
            .current_dir(place.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{name}: {told}");
        let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
        let found = &summary["duplicates"];
        for (number, key) in keys.iter().enumerate() {
            let rows = &found[format!("key_{number}")]["rows"];
            assert_eq!(*rows, key["duplicate_rows"], "{name}: {}", key["columns"]);
        }
        assert_eq!(
            found["equal"]["rows"], fact["exact_duplicate_rows"],
            "{name}"
        );
        let rows = u64::try_from(read(&place.path().join("out/rows")).len()).unwrap();
        assert_eq!(summary["rows"]["clean"], rows, "{name}");
    }
}
