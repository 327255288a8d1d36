//! Many partitions from end to end: each store and day has a folder, rows come in no order, memory stays bounded.
//!
//! `CAUDAL_STORES` says how many stores; with 457 there are 166,805 partitions.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tables::{self, Cell};

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
[sources.sales]
files = { paths = ["sales.csv"] }
csv = {}
columns = { store = "int not null", day = "date not null", amount = "decimal(12,2) not null" }
[sinks.rows]
files = { path = "rows", partition_by = ["store", "day"] }
parquet = {}
"#;

/// Stores where nothing else is said: few enough for a disk on which every file that is removed waits.
const STORES: usize = 10;
const DAYS: usize = 365;

/// A folder in memory where there is room: this test is about folders and the program's memory, and not about a disk, which
/// takes far longer than everything else to remove hundreds of thousands of files.
fn place(files: usize) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    // A file of a page or two, and its folder.
    let needed = u64::try_from(files).unwrap() * (12 << 10);
    let has_room = rustix::fs::statvfs(memory)
        .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) > needed);
    match tempfile::tempdir_in(memory) {
        Ok(place) if has_room => place,
        _ => tempfile::tempdir().unwrap(),
    }
}

#[test]
fn every_store_and_day_has_its_rows_in_its_folder() {
    let stores = std::env::var("CAUDAL_STORES").map_or(STORES, |stores| stores.parse().unwrap());
    let pairs = stores * DAYS;
    // One pair in three has two rows, far apart. Steps of a large prime visit every pair once, in no order of either column.
    let once = (0..pairs).map(|turn| turn * 1_000_003 % pairs);
    let again = (0..pairs).map(|turn| turn * 7_919 % pairs);
    let mut csv = String::from("store,day,amount\n");
    let mut expected: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let again = again.filter(|pair| pair.is_multiple_of(3));
    for (row, pair) in once.chain(again).enumerate() {
        let (store, day) = (pair / DAYS, pair % DAYS);
        let day = chrono::NaiveDate::from_yo_opt(2026, u32::try_from(day).unwrap() + 1).unwrap();
        writeln!(csv, "{store},{day},{row}.25").unwrap();
        let folder = format!("store={store}/day={day}");
        expected.entry(folder).or_default().push(row * 100 + 25);
    }
    assert_eq!(expected.len(), pairs, "the steps visit every pair");

    let place = place(pairs);
    fs::write(place.path().join("job.toml"), JOB).unwrap();
    fs::write(place.path().join("sales.csv"), csv).unwrap();
    let output = Command::new("timeout")
        .args(["300", env!("CARGO_BIN_EXE_caudal")])
        .args(["run", "job.toml", "--json", "--quiet", "-w", "2"])
        .current_dir(place.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let peak = summary["peak_memory_bytes"].as_u64().unwrap();
    println!(
        "{pairs} partitions, {} s, peak {} MiB",
        summary["seconds"],
        peak >> 20
    );
    assert!(peak <= 1 << 30, "{} MiB were resident", peak >> 20);

    let rows = place.path().join("out/rows");
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for store in fs::read_dir(&rows).unwrap() {
        for folder in fs::read_dir(store.unwrap().path()).unwrap() {
            let folder = folder.unwrap().path();
            let mut amounts: Vec<usize> = tables::read(&folder)
                .iter()
                .map(|row| match row["amount"] {
                    Cell::Decimal(cents, 2) => usize::try_from(cents).unwrap(),
                    ref other => panic!("{other:?} is no amount"),
                })
                .collect();
            amounts.sort_unstable();
            let name = folder.strip_prefix(&rows).unwrap().display().to_string();
            found.insert(name, amounts);
        }
    }
    assert!(found == expected, "{} of {pairs} folders", found.len());
}
