//! Parquet that caudal wrote, read by others: DuckDB, pyarrow and, in long runs, Spark.
//!
//! `tests/run` installs the readers in folders of their own. Without them these tests say so and pass, but for what the
//! `parquet` crate itself can tell.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parquet::basic::{LogicalType, Repetition, TimeUnit, TimestampType, Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

mod python;

pub(crate) use python::python;

use super::tables::visible_files;

/// What a script finds.
fn found(python: &Path, script: &str, folder: &Path, query: &str) -> Value {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/readers");
    let output = Command::new(python)
        .arg(scripts.join(script))
        .arg(folder)
        .arg(query)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// What DuckDB and pyarrow find; `None` where they are not installed.
fn read(folder: &Path, query: &str) -> Option<Value> {
    Some(found(&python("readers")?, "read.py", folder, query))
}

/// What Spark finds; `None` where it is not installed, or not asked for.
fn read_by_spark(folder: &Path, query: &str) -> Option<Value> {
    if std::env::var_os("CAUDAL_SPARK").is_none() {
        println!("skipped: Spark reads in tests/run --long only");
        return None;
    }
    Some(found(&python("spark")?, "spark.py", folder, query))
}

/// Runs a job over one input file; gives the folder of its sink `rows`.
fn written(
    place: &Path,
    source: &str,
    columns: &str,
    input: &str,
    sink: &str,
    words: &[&str],
) -> PathBuf {
    let job = format!(
        "format = 1\n[job]\nname = \"case\"\noutput = \"out\"\n[sources.sales]\nfiles = {{ paths = [\"input\"] }}\n{source} = {{}}\n[sources.sales.columns]\n{columns}\n[sinks.rows]\n{sink}\nparquet = {{}}\n"
    );
    fs::write(place.join("job.toml"), job).unwrap();
    fs::write(place.join("input"), input).unwrap();
    let output = Command::new("timeout")
        .args([
            "60",
            env!("CARGO_BIN_EXE_caudal"),
            "run",
            "job.toml",
            "--quiet",
        ])
        .args(words)
        .current_dir(place)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    place.join("out/rows")
}

const SINK: &str = "files = { path = \"rows\" }";

/// Rows in an order of their own.
fn sorted(rows: &Value) -> Vec<String> {
    let mut rows: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    rows.sort();
    rows
}

#[test]
fn o65_a_column_that_comes_and_goes_makes_one_schema_and_few_files() {
    let input: String = (0..10_000)
        .map(|id| match id % 2 {
            0 => format!("{{\"id\":{id},\"channel\":\"web\"}}\n"),
            _ => format!("{{\"id\":{id}}}\n"),
        })
        .collect();
    let columns = "id = \"int not null\"\nchannel = \"varchar\"";
    for (workers, chunk) in [("1", "1 MiB"), ("2", "1 MiB"), ("2", "100 B")] {
        let place = tempfile::tempdir().unwrap();
        let folder = written(
            place.path(),
            "json",
            columns,
            &input,
            SINK,
            &["-w", workers],
        );
        if chunk != "1 MiB" {
            let job = fs::read_to_string(place.path().join("job.toml")).unwrap();
            let job = job.replace(
                "[job]",
                &format!("[job]\nchunk = \"{chunk}\"\nepoch = \"20 kB\""),
            );
            fs::write(place.path().join("job.toml"), job).unwrap();
            let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
                .args(["run", "job.toml", "--quiet", "-w", workers])
                .current_dir(place.path())
                .status();
            assert!(done.unwrap().success());
        }
        let files = visible_files(&folder);
        assert!((1..=2).contains(&files.len()), "{} files", files.len());
        for file in &files {
            let footer = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
            let schema = footer
                .metadata()
                .file_metadata()
                .schema_descr()
                .root_schema()
                .clone();
            let fields: Vec<(String, Repetition)> = schema
                .get_fields()
                .iter()
                .map(|field| (field.name().to_owned(), field.get_basic_info().repetition()))
                .collect();
            let expected = [
                ("id", Repetition::OPTIONAL),
                ("channel", Repetition::OPTIONAL),
            ];
            assert_eq!(fields, expected.map(|(name, how)| (name.to_owned(), how)));
        }
        let query = "select count(*), count(channel), sum(id), count(distinct id) from rows";
        let Some(found) = read(&folder, query) else {
            return;
        };
        assert_eq!(
            found["duckdb"]["rows"],
            json!([["10000", "5000", "49995000", "10000"]])
        );
        assert_eq!(found["pyarrow"]["rows"].as_array().unwrap().len(), 10_000);
        assert_eq!(
            found["pyarrow"]["nullable"],
            json!({"id": true, "channel": true})
        );
    }
}

/// Microseconds since 1970, and the texts that are read as them.
const TIMES: [(i64, &str); 6] = [
    (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
    (-1, "1969-12-31T23:59:59.999999Z"),
    (0, "1970-01-01T00:00:00Z"),
    (1_773_482_400_123_456, "2026-03-14T10:00:00.123456Z"),
    (9_224_236_800_000_000, "2262-04-22T00:00:00Z"),
    (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
];

#[test]
fn o67_times_are_microseconds_utc_for_every_reader() {
    let place = tempfile::tempdir().unwrap();
    let input: String = TIMES.iter().map(|(_, text)| format!("{text}\n")).collect();
    let input = format!("ts\n{input}");
    let folder = written(
        place.path(),
        "csv",
        "ts = { type = \"timestamp not null\", min = \"0001-01-01\" }",
        &input,
        SINK,
        &[],
    );
    for file in visible_files(&folder) {
        let footer = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
        let column = footer.metadata().file_metadata().schema_descr().column(0);
        assert_eq!(column.physical_type(), Type::INT64, "never INT96");
        let expected = LogicalType::Timestamp(TimestampType {
            is_adjusted_to_u_t_c: true,
            unit: TimeUnit::MICROS,
        });
        assert_eq!(column.logical_type_ref(), Some(&expected));
    }
    let expected: Vec<Value> = TIMES
        .iter()
        .map(|(micros, _)| json!([micros.to_string()]))
        .collect();
    let expected = sorted(&Value::from(expected));
    let query = "select ts from rows";
    if let Some(found) = read(&folder, query) {
        assert_eq!(found["duckdb"]["types"]["ts"], "TIMESTAMP WITH TIME ZONE");
        assert_eq!(sorted(&found["duckdb"]["rows"]), expected);
        assert_eq!(found["pyarrow"]["types"]["ts"], "timestamp[us, tz=UTC]");
        assert_eq!(sorted(&found["pyarrow"]["rows"]), expected);
    }
    if let Some(found) = read_by_spark(&folder, query) {
        assert_eq!(found["types"]["ts"], "timestamp");
        assert_eq!(sorted(&found["rows"]), expected);
    }
}

#[test]
fn o68_odd_values_of_a_partition_come_back_from_every_reader() {
    let place = tempfile::tempdir().unwrap();
    let regions = ["a/b", "50%", "x=y", "São Paulo", "%2F", "a b:c"];
    let input: String = regions
        .iter()
        .map(|region| format!("{region},1\n"))
        .collect();
    let sink = "files = { path = \"rows\", partition_by = [\"region\"] }";
    let columns = "region = \"varchar not null\"\nn = \"int not null\"";
    let folder = written(
        place.path(),
        "csv",
        columns,
        &format!("region,n\n{input}"),
        sink,
        &[],
    );
    let mut levels: Vec<String> = visible_files(&folder)
        .iter()
        .map(|file| {
            file.parent()
                .unwrap()
                .strip_prefix(&folder)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    levels.sort();
    let mut expected: Vec<String> = ["a%2Fb", "50%25", "x%3Dy", "São Paulo", "%252F", "a b%3Ac"]
        .map(|name| format!("region={name}"))
        .to_vec();
    expected.sort();
    assert_eq!(levels, expected);
    let expected: Vec<Value> = regions.iter().map(|region| json!([region, "1"])).collect();
    let expected = sorted(&Value::from(expected));
    let query = "select region, n from rows";
    if let Some(found) = read(&folder, query) {
        assert_eq!(sorted(&found["duckdb"]["rows"]), expected);
        let rows = found["pyarrow"]["rows"].as_array().unwrap().iter();
        let turned: Vec<Value> = rows.map(|row| json!([row[1], row[0]])).collect();
        assert_eq!(sorted(&Value::from(turned)), expected);
    }
    if let Some(found) = read_by_spark(&folder, query) {
        assert_eq!(sorted(&found["rows"]), expected);
    }
}

#[test]
fn o69_readers_never_meet_what_a_killed_run_left() {
    use std::io::Write;
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("pipe");
    super::bad_input::make_pipe(&pipe);
    let job = "format = 1\n[job]\nname = \"case\"\noutput = \"out\"\n[sources.sales]\nfiles = { paths = [\"pipe\"] }\ncsv = {}\ncolumns = { id = \"int not null\" }\n[sinks.rows]\nfiles = { path = \"rows\" }\nparquet = {}\n";
    fs::write(place.path().join("job.toml"), job).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet"])
        .current_dir(place.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    input.write_all(b"id\n").unwrap();
    let staged = place.path().join("out/_caudal/staged");
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let mut id = 0;
    // A file that has bytes and no end: row groups are written while rows still come.
    let half_a_file = loop {
        assert!(std::time::Instant::now() < deadline, "no file was begun");
        for _ in 0..100_000 {
            writeln!(input, "{id}").unwrap();
            id += 1;
        }
        if let Some(file) = first_with_bytes(&staged) {
            break file;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    let broken = SerializedFileReader::new(File::open(&half_a_file).unwrap());
    assert!(
        broken.is_err(),
        "{} was cut in the middle",
        half_a_file.display()
    );
    assert!(visible_files(&place.path().join("out")).is_empty());

    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, "id\n1\n2\n3\n").unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet"])
        .current_dir(place.path())
        .status();
    assert!(done.unwrap().success());
    assert!(!half_a_file.exists(), "what the killed run left is gone");
    if let Some(found) = read(
        &place.path().join("out"),
        "select count(*), sum(id) from rows",
    ) {
        assert_eq!(found["duckdb"]["rows"], json!([["3", "6"]]));
        assert_eq!(found["pyarrow"]["files"], 1);
    }
}

/// A file below a folder that has bytes.
fn first_with_bytes(folder: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            first_with_bytes(&path)
        } else {
            let is_parquet = path.extension().is_some_and(|end| end == "parquet");
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            (is_parquet && bytes > 100).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[test]
fn o70_and_o71_negative_decimals_are_read_and_filtered_right() {
    let columns = "small = \"decimal(9,2) not null\"\nmiddle = \"decimal(18,2) not null\"\nwide = \"decimal(38,2) not null\"";
    let query = "select small, middle, wide from rows";
    let row = |amount: &str| json!([amount, amount, amount]);
    let place = tempfile::tempdir().unwrap();
    let input = "small,middle,wide\n-1,-1,-1\n0,0,0\n-0.01,-0.01,-0.01\n";
    let folder = written(place.path(), "csv", columns, input, SINK, &[]);
    let expected = sorted(&json!([row("-1.00"), row("0.00"), row("-0.01")]));
    if let Some(found) = read(&folder, query) {
        assert_eq!(sorted(&found["duckdb"]["rows"]), expected);
        assert_eq!(sorted(&found["pyarrow"]["rows"]), expected);
        let types =
            json!({"small": "DECIMAL(9,2)", "middle": "DECIMAL(18,2)", "wide": "DECIMAL(38,2)"});
        assert_eq!(found["duckdb"]["types"], types);
    }
    if let Some(found) = read_by_spark(&folder, query) {
        assert_eq!(sorted(&found["rows"]), expected);
    }

    // Statistics, by which row groups are passed over.
    let place = tempfile::tempdir().unwrap();
    let input = "small,middle,wide\n-1,-1,-1\n0,0,0\n";
    let folder = written(place.path(), "csv", columns, input, SINK, &[]);
    let negative =
        "select small, middle, wide from rows where small < 0 and middle < 0 and wide < 0";
    if let Some(found) = read(&folder, negative) {
        assert_eq!(found["duckdb"]["rows"], json!([row("-1.00")]));
        assert_eq!(
            found["pyarrow"]["negative"],
            json!({"small": 1, "middle": 1, "wide": 1})
        );
        let footers = found["footers"].as_array().unwrap();
        assert_eq!(footers.len(), 3);
        for footer in footers {
            assert_eq!(
                (&footer["min"], &footer["max"]),
                (&json!("-1.00"), &json!("0.00")),
                "{footer}"
            );
        }
    }
    if let Some(found) = read_by_spark(&folder, negative) {
        assert_eq!(found["rows"], json!([row("-1.00")]));
    }
}
