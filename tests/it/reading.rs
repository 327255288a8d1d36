//! Reading: records at the limit of length, places in files, and how many records a limit takes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

/// The longest record, as `sources` states it.
const LONGEST: usize = 8 << 20;

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.sales]
files = { paths = ["input/*"] }
csv = {}
columns = { id = "int not null", t = "varchar not null" }
[sinks.rows]
files = { path = "rows" }
csv = {}
columns = { id = "id", length = "length(t)" }
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
columns = { line = "line", byte = "byte", kept = "length(raw)", reason = "reason" }
"#;

fn place(job: &str, text: &[u8]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("input")).unwrap();
    fs::write(place.path().join("job.toml"), job).unwrap();
    fs::write(place.path().join("input/a"), text).unwrap();
    place
}

fn run(place: &Path, words: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_caudal")])
        .args(["run", "job.toml", "--json", "--quiet"])
        .args(words)
        .current_dir(place)
        .output()
        .unwrap()
}

fn summary(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The lines of a sink's files behind their headers, sorted.
fn lines(place: &Path, sink: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for file in super::tables::visible_files(&place.join("out").join(sink)) {
        let text = fs::read_to_string(file).unwrap();
        lines.extend(text.lines().skip(1).map(str::to_owned));
    }
    lines.sort();
    lines
}

#[test]
fn a_record_above_the_limit_is_one_refused_row_and_none_is_invented() {
    let long = |length: usize| "z".repeat(length);
    // A record of exactly the limit passes; one byte more does not, wherever chunks are cut.
    let most = LONGEST - 2;
    for end in ["\n", "\r\n"] {
        let mut text = format!("id,t{end}1,{}{end}", long(most)).into_bytes();
        let second = text.len();
        text.extend(format!("2,{}77,ghost{end}3,b{end}", long(LONGEST - 2)).bytes());
        let fourth = text.len();
        text.extend(format!("4,{}", long(3 * LONGEST)).bytes());
        for chunk in ["64 KiB", "1 MiB", "20 MiB"] {
            let job = JOB.replace("[job]", &format!("[job]\nchunk = \"{chunk}\""));
            let place = place(&job, &text);
            let summary = summary(&run(place.path(), &["-w", "2"]));
            assert_eq!(summary["rows"]["in"], 4, "{chunk}: {summary}");
            let mut rows = vec![format!("1,{most}"), "3,1".to_owned()];
            rows.sort();
            assert_eq!(lines(place.path(), "rows"), rows, "{chunk}");
            assert_eq!(
                lines(place.path(), "refused"),
                [
                    format!("3,{second},65536,record_too_long"),
                    format!("5,{fourth},65536,record_too_long"),
                ],
                "{chunk}"
            );
        }
    }
}

#[test]
fn an_open_quote_looks_as_far_as_the_limit_whatever_the_chunk() {
    // Closed at the limit: one record. Closed a byte later: its first line is refused and reading goes on behind it.
    for (filler, whole) in [(LONGEST - 6, true), (LONGEST - 5, false)] {
        let text = format!("id,t\n1,\"a\n{}\"\n2,b\n", "z".repeat(filler));
        for chunk in ["1 KiB", "1 MiB", "20 MiB"] {
            let job = JOB.replace("[job]", &format!("[job]\nchunk = \"{chunk}\""));
            let place = place(&job, text.as_bytes());
            let summary = summary(&run(place.path(), &[]));
            if whole {
                assert_eq!(summary["rows"]["clean"], 2, "{chunk}: {summary}");
            } else {
                assert_eq!(
                    summary["refused_by_reason"],
                    serde_json::json!({"unclosed_quote": 1, "field_count": 1}),
                    "{chunk}"
                );
                assert_eq!(lines(place.path(), "rows"), ["2,1"], "{chunk}");
            }
        }
    }
}

#[test]
fn a_limit_counts_rows_of_parquet_files_and_of_the_generator() {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1000));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let groups = WriterProperties::builder()
        .set_max_row_group_row_count(Some(64))
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(groups)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let parquet = JOB
        .replace(
            "csv = {}\ncolumns = { id = \"int not null\", t = \"varchar not null\" }",
            "parquet = {}\ncolumns = { id = \"int not null\" }",
        )
        .replace(", length = \"length(t)\"", "");
    let generate = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.sales]
generate = { rows = 1000 }
csv = {}
columns = { sale_id = "int not null" }
[sinks.rows]
files = { path = "rows" }
csv = {}
"#;
    for job in [parquet.as_str(), generate] {
        for (limit, rows) in [("100", 100), ("1000", 1000), ("5000", 1000)] {
            let place = place(job, &file);
            let output = run(place.path(), &["--limit", limit, "-w", "2"]);
            assert_eq!(summary(&output)["rows"]["in"], rows, "{job}");
            assert_eq!(lines(place.path(), "rows").len(), rows, "{job}");
        }
    }
}

#[test]
fn a_file_refused_whole_counts_as_one_record_of_a_limit() {
    let job = JOB.replace("[job]", "[job]\non_bad_file = \"refuse\"");
    let place = place(&job, b"wrong,header\n");
    fs::write(place.path().join("input/b"), "id,t\n1,a\n2,b\n3,c\n").unwrap();
    let summary = summary(&run(place.path(), &["--limit", "3"]));
    assert_eq!(summary["rows"]["in"], 3);
    assert_eq!(summary["rows"]["refused"], 1);
}

#[test]
fn generated_columns_are_bound_by_name_and_json_gives_the_same_rows() {
    let job = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.sales]
generate = { rows = 500, seed = 3 }
FORMAT = {}
[sources.sales.columns]
channel = "varchar"
money = { type = "varchar", header = "currency" }
sale_id = "int not null"
[sinks.rows]
files = { path = "rows" }
csv = {}
"#;
    let mut seen = Vec::new();
    for format in ["csv", "json"] {
        let place = place(&job.replace("FORMAT", format), b"");
        let summary = summary(&run(place.path(), &[]));
        assert_eq!(summary["rows"]["clean"], 500, "{format}");
        let lines = lines(place.path(), "rows");
        assert!(
            lines.iter().all(|line| {
                let fields: Vec<&str> = line.split(',').collect();
                ["web", "store", "app", "phone", "marketplace"]
                    .iter()
                    .all(|channel| fields[1] != *channel)
                    && fields[1].len() == 3
            }),
            "{:?}",
            lines.first()
        );
        seen.push(lines);
    }
    assert_eq!(seen[0], seen[1]);
    let place = place(
        &job.replace("FORMAT", "csv")
            .replace("header = \"currency\"", "header = \"curency\""),
        b"",
    );
    let output = run(place.path(), &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("did you mean \"currency\"?"), "{told}");
}
