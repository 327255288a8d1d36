//! Avro and Arrow files as others write them (fastavro and pyarrow, where `tests/run` has installed them), through whole jobs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::tables::{Cell, Row, read};

const AVRO: &str = r#"format = 1
[job]
name = "case"
output = "out"
[sources.sales]
files = { paths = ["FILE"] }
avro = {}
[sources.sales.columns]
id = "int not null"
kind = "varchar not null"
price = "decimal(12,2)"
cost = "decimal(18,4) not null"
day = "date not null"
ms = "timestamp not null"
us = "timestamp not null"
local = { type = "timestamp not null", time_zone = "Europe/Madrid" }
key = "varchar not null"
mixed = "varchar"
customer_id = { type = "int", header = "customer.id" }
parent_id = { type = "bigint", header = "customer.parent.id" }
later = { type = "varchar", optional = true }
[sinks.rows]
files = { path = "rows" }
parquet = {}
"#;

const ARROW: &str = r#"format = 1
[job]
name = "case"
output = "out"
[sources.sales]
files = { paths = ["FILE"] }
arrow = {}
[sources.sales.columns]
id = "bigint not null"
price = "decimal(12,2) not null"
region = "varchar"
at = "timestamp not null"
customer_id = { type = "int not null", header = "customer.id" }
[sinks.rows]
files = { path = "rows" }
parquet = {}
"#;

fn run(place: &Path, job: &str, words: &[&str]) -> Output {
    fs::write(place.join("job.toml"), job).unwrap();
    Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_caudal")])
        .args(words)
        .args(["job.toml", "--json", "--quiet"])
        .current_dir(place)
        .output()
        .unwrap()
}

/// The files, where they can be written.
fn written() -> Option<tempfile::TempDir> {
    let python = super::readers::python("readers")?;
    let place = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/avro_and_arrow/write.py");
    let output = Command::new(python)
        .arg(script)
        .arg(place.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(place)
}

fn by_id(place: &Path) -> BTreeMap<i128, Row> {
    let rows = read(&place.join("out/rows")).into_iter();
    rows.map(|row| match row["id"] {
        Cell::Whole(id) => (id, row),
        ref other => panic!("{other:?} is no id"),
    })
    .collect()
}

/// 2026-03-14T10:00:00Z in microseconds.
const START: i128 = 1_773_482_400_000_000;

#[test]
fn avro_of_every_codec_has_the_rows_that_were_written() {
    let Some(place) = written() else { return };
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let file = format!("{codec}.avro");
        if !place.path().join(&file).exists() {
            println!("skipped: fastavro has no library for {codec}");
            continue;
        }
        for words in [
            &["run", "-w", "1"][..],
            &["run", "-w", "3"],
            &["launch", "-n", "2"],
        ] {
            let output = run(place.path(), &AVRO.replace("FILE", &file), words);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{codec}: {told}");
            assert!(told.contains("column \"later\" is not in"), "{told}");
            let rows = by_id(place.path());
            assert_eq!(rows.len(), 5000, "{codec} {words:?}");
            for (id, row) in rows {
                let null_or = |is_null: bool, cell: Cell| if is_null { Cell::Null } else { cell };
                let micros = START + id * 1_000_001;
                assert_eq!(
                    row["kind"],
                    Cell::text(if id % 2 == 0 { "WEB" } else { "SHOP" })
                );
                assert_eq!(
                    row["price"],
                    null_or(id % 5 == 0, Cell::Decimal(id - 2500, 2))
                );
                assert_eq!(row["cost"], Cell::Decimal(id - 2500, 4));
                assert_eq!(row["day"], Cell::Whole(20_526));
                assert_eq!(row["ms"], Cell::Whole(micros / 1000 * 1000));
                assert_eq!(row["us"], Cell::Whole(micros));
                assert_eq!(
                    row["local"],
                    Cell::Whole(micros - 3_600_000_000),
                    "an hour before UTC"
                );
                assert_eq!(
                    row["key"],
                    Cell::text(&format!("00000000-0000-0000-0000-{id:012x}"))
                );
                let mixed = match id % 3 {
                    0 => Cell::Null,
                    1 => Cell::text(&id.to_string()),
                    _ => Cell::text(&format!("t{id}")),
                };
                assert_eq!(row["mixed"], mixed);
                assert_eq!(
                    row["customer_id"],
                    null_or(id % 4 == 0, Cell::Whole(id % 7))
                );
                assert_eq!(row["parent_id"], null_or(id % 4 == 0, Cell::Whole(id % 3)));
                assert_eq!(row["later"], Cell::Null);
            }
        }
    }
    if place.path().join("bzip2.avro").exists() {
        let output = run(place.path(), &AVRO.replace("FILE", "bzip2.avro"), &["run"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("its codec is \"bzip2\""), "{told}");
    }
}

#[test]
fn arrow_files_and_streams_have_the_rows_that_were_written() {
    let Some(place) = written() else { return };
    for file in [
        "uncompressed.arrow",
        "lz4.arrow",
        "zstd.arrow",
        "plain.arrows",
        "lz4.arrows",
    ] {
        for words in [
            &["run", "-w", "1"][..],
            &["run", "-w", "3"],
            &["launch", "-n", "2"],
        ] {
            let output = run(place.path(), &ARROW.replace("FILE", file), words);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{file}: {told}");
            let rows = by_id(place.path());
            assert_eq!(rows.len(), 5000, "{file} {words:?}");
            for (id, row) in rows {
                assert_eq!(row["price"], Cell::Decimal(id - 2500, 2));
                let region = [Cell::text("ES"), Cell::text("FR"), Cell::Null];
                assert_eq!(row["region"], region[usize::try_from(id % 3).unwrap()]);
                assert_eq!(row["at"], Cell::Whole(START + id * 1_000_000));
                assert_eq!(row["customer_id"], Cell::Whole(id % 7));
            }
        }
    }
    // A limit takes the first rows.
    let output = run(
        place.path(),
        &ARROW.replace("FILE", "plain.arrows"),
        &["run", "--limit", "1500"],
    );
    assert!(output.status.success());
    let rows = by_id(place.path());
    assert!(rows.into_keys().eq(0..1500));
}

#[test]
fn a_column_that_is_a_list_is_told_with_its_file() {
    let Some(place) = written() else { return };
    let job = AVRO
        .replace("FILE", "null.avro")
        .replace("later =", "tags =");
    let output = run(place.path(), &job, &["run"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("null.avro") && told.contains("the column \"tags\" is a list"),
        "{told}"
    );
}
