//! Random small jobs against an oracle: random columns, faulty CSV, a look-up, derived columns, rules, windows, a check,
//! and sinks with chosen columns, run by the program with random processes, workers, chunks and epochs.
//!
//! `CAUDAL_CASES` says how many jobs are tried. A job that fails is made small and printed, with the seed that replays it.

mod job;
mod oracle;
mod values;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use super::tables::{self, Cell, Row};
use job::{Job, any_job};
use oracle::{Answer, answer, line};

/// Jobs tried where `CAUDAL_CASES` says nothing: some seconds of them.
const CASES: u32 = 60;

#[test]
fn any_job_gives_the_rows_of_the_oracle() {
    let cases = std::env::var("CAUDAL_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let mut config = ProptestConfig {
        // What failed is committed as a case of `tests/cases`, which lives longer than a seed of this generator.
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(RandomState::new().build_hasher().finish());
    }
    // Shown where the test fails.
    if let RngSeed::Fixed(seed) = config.rng_seed {
        println!("PROPTEST_RNG_SEED={seed} CAUDAL_CASES={cases} tries the same jobs");
    }
    proptest!(config, |(job in any_job())| {
        let place = tempfile::tempdir().unwrap();
        job.write(place.path());
        let expected = answer(&job, place.path());
        let got = run(&job, place.path());
        let rows = &got.summary["rows"];
        let count = |name: &str| rows[name].as_u64().unwrap();
        prop_assert_eq!(
            count("in") + count("replayed"),
            count("clean") + count("refused") + count("dropped") + count("parked")
        );
        prop_assert_eq!(&got.refused, &expected.refused);
        prop_assert_eq!(&got.rows, &expected.rows);
        prop_assert_eq!(&got.windows, &expected.windows);
        prop_assert_eq!(&got.verdicts, &expected.verdicts);
        prop_assert_eq!(&got.summary, &expected.summary);
    });
}

/// Runs the job by the program and reads back what it wrote.
fn run(job: &Job, place: &Path) -> Answer {
    let output = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_caudal")])
        .args(if job.processes == 1 {
            vec!["run".to_owned()]
        } else {
            vec![
                "launch".to_owned(),
                "-n".to_owned(),
                job.processes.to_string(),
            ]
        })
        .args(["job.toml", "--json", "--quiet", "-w"])
        .arg(job.workers.to_string())
        .current_dir(place)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut summary = json!({});
    for name in [
        "rows",
        "refused_by_reason",
        "dropped_by_rule",
        "warned_by_rule",
        "verdicts",
        "failures",
    ] {
        summary[name] = whole[name].clone();
    }
    let table = |sink: &str, read: fn(Row) -> Row| {
        let rows = tables::read(&place.join("out").join(sink));
        let mut lines: Vec<String> = rows.into_iter().map(|row| line(&read(row))).collect();
        lines.sort();
        lines
    };
    Answer {
        rows: table("rows", |row| row),
        refused: table("refused", refused),
        windows: table("windows", |row| row),
        verdicts: table("verdicts", verdict),
        summary,
    }
}

/// The columns of `refused` that the oracle tells: details of faults are words for people.
fn refused(mut row: Row) -> Row {
    for column in ["source", "byte", "topic", "partition", "offset", "epoch"] {
        assert!(
            row.remove(column).is_some(),
            "{column} is a column of refused"
        );
    }
    let Some(Cell::Text(file)) = row.get("file") else {
        panic!("a refused row has a file");
    };
    let name = Path::new(file).file_name().unwrap().to_str().unwrap();
    let name = Cell::text(name);
    let Some(Cell::Text(reasons)) = row.get("reasons") else {
        panic!("a refused row has reasons");
    };
    let reasons: Vec<Value> = serde_json::from_str(reasons).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reasons: Vec<String> = reasons
        .iter()
        .map(|fault| text(&fault["at"]) + ": " + &text(&fault["reason"]))
        .collect();
    row.insert("file".to_owned(), name);
    row.insert("reasons".to_owned(), Cell::text(&reasons.join(", ")));
    row
}

/// The columns of `verdicts` that the oracle tells.
fn verdict(mut row: Row) -> Row {
    for column in ["expected", "baseline", "reason", "epoch", "final", "sign"] {
        assert!(
            row.remove(column).is_some(),
            "{column} is a column of verdicts"
        );
    }
    row
}
