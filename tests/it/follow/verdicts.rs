//! What was believed of checks when, and why it changed: the history of a job that late rows correct and that is killed in between.
//!
//! What stands is reckoned by the test from the signs in the history's Parquet files, read by the tests' own reader; what the program
//! says of it is held against that.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::HEADER;
use super::job::{Job, Running};
use crate::tables::{self, Cell, Row};

const CHECKS: &str = r#"
[checks.all_came]
window = "minute"
completeness = { expected_rows = 3, fail_below = 0.9 }
[checks.usual]
window = "minute"
variance = { of = "rows", against = { previous = 2 }, min_history = 2, fail_beyond = 10.0 }
[checks.alive]
freshness = { per = ["region"], warn_after = "1 hour" }
[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
json = {}
"#;

fn job() -> Job {
    Job::with("*.csv", "", "csv = {}", |text| {
        let text = text.replace(
            "length = \"1 minute\"",
            "length = \"1 minute\"\ncorrect_within = \"10 minutes\"",
        );
        format!("{text}{CHECKS}")
    })
}

/// So many sales of a region at a time.
fn sales(job: &Job, time: &str, region: &str, rows: usize) {
    let line = format!("1,2026-03-14T{time}Z,{region},1.00\n");
    job.append("a.csv", line.repeat(rows));
}

fn lines(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn verdicts(job: &Job, options: &[&str]) -> Vec<Value> {
    lines(job.caudal("verdicts").arg("--json").args(options))
}

/// One verdict in the words of both readers: check, segment, start of the window in minutes after noon, status, numerator, denominator,
/// whether it is final.
type Said = (
    String,
    String,
    Option<i64>,
    String,
    Option<i64>,
    Option<i64>,
    bool,
);

/// Noon of the day of the tests, in minutes after 1970.
const NOON: i64 = 29_558_160;

fn of_program(said: &Value) -> Said {
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    let start = said["window_start"].as_str();
    let start = start.map(|start| {
        let start = chrono::DateTime::parse_from_rfc3339(start).unwrap();
        start.timestamp() / 60 - NOON
    });
    (
        text("check"),
        text("segment"),
        start,
        text("status"),
        said["numerator"].as_i64(),
        said["denominator"].as_i64(),
        said["final"].as_bool().unwrap(),
    )
}

/// What stands with an epoch, by the signs in the files alone; of what has no window what was said last.
fn standing(rows: &[Row], upto: i128) -> Vec<Said> {
    let text = |row: &Row, name: &str| match &row[name] {
        Cell::Text(text) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let whole = |row: &Row, name: &str| match &row[name] {
        Cell::Whole(number) => Some(i64::try_from(*number).unwrap()),
        Cell::Null => None,
        other => panic!("{name} is {other:?}"),
    };
    let mut sums: BTreeMap<Said, i64> = BTreeMap::new();
    let mut ages: BTreeMap<String, (i64, Said)> = BTreeMap::new();
    for row in rows {
        let epoch = whole(row, "said_epoch").unwrap();
        if i128::from(epoch) > upto {
            continue;
        }
        let start = whole(row, "window_start").map(|start| start / 60_000_000 - NOON);
        let said = (
            text(row, "check"),
            text(row, "segment"),
            start,
            text(row, "status"),
            whole(row, "numerator"),
            whole(row, "denominator"),
            row["final"] == Cell::Bool(true),
        );
        if start.is_some() {
            *sums.entry(said).or_default() += whole(row, "sign").unwrap();
        } else if ages.get(&said.1).is_none_or(|(before, _)| *before < epoch) {
            ages.insert(said.1.clone(), (epoch, said));
        }
    }
    assert!(sums.values().all(|sum| [0, 1].contains(sum)), "{sums:?}");
    let standing = sums.into_iter().filter(|(_, sum)| *sum == 1);
    let ages = ages.into_values().map(|(_, said)| said);
    let mut standing: Vec<Said> = standing.map(|(said, _)| said).chain(ages).collect();
    standing.sort();
    standing
}

#[test]
fn what_was_believed_is_told_as_of_each_epoch_and_why_it_changed() {
    let job = job();
    job.append("a.csv", HEADER);
    let running = Running::start(&job, 2);
    for (time, rows) in [
        ("12:00:10", 1),
        ("12:01:10", 2),
        ("12:02:10", 3),
        ("12:04:30", 1),
    ] {
        sales(&job, time, "N", rows);
        sales(&job, time, "S", 3);
    }
    let of_n = ["--segment", "region=N"];
    let has = |wanted: &dyn Fn(&Said) -> bool, count: usize| {
        job.await_that("verdicts are other ones", |job| {
            let output = job.caudal("verdicts").arg("--json").args(of_n).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            let said = text.lines().map(|line| serde_json::from_str(line).unwrap());
            let said: Vec<Said> = said.map(|said: Value| of_program(&said)).collect();
            said.iter().filter(|said| wanted(said)).count() == count
        });
    };
    let windows = |said: &Said| said.2.is_some();
    has(&|said| windows(said) && !said.6, 6);
    running.kill();
    let first = verdicts(&job, &[]);

    // Two rows of the first window come late, in a life of more workers: it is whole now, and later ones are compared with another one.
    let running = Running::start(&job, 3);
    sales(&job, "12:00:20", "N", 2);
    has(
        &|said| said.0 == "all_came" && said.3 == "pass" && said.2 == Some(0),
        1,
    );
    running.kill();
    let second = verdicts(&job, &[]);
    let running = Running::start(&job, 1);
    sales(&job, "12:20:00", "N", 1);
    has(&|said| windows(said) && said.6, 8);
    running.stop();

    // As of each epoch in which anything was said, both readers say the same.
    let rows = tables::read(&job.out().join("_caudal/verdicts"));
    let changes = verdicts(&job, &["--changes"]);
    assert_eq!(rows.len(), changes.len());
    let mut epochs: Vec<u64> = changes
        .iter()
        .map(|change| change["said_epoch"].as_u64().unwrap())
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    assert!(epochs.len() >= 3, "{epochs:?}");
    for epoch in &epochs {
        let mut told: Vec<Said> = verdicts(&job, &["--as-of", &epoch.to_string()])
            .iter()
            .map(of_program)
            .collect();
        told.sort();
        assert_eq!(told, standing(&rows, i128::from(*epoch)), "epoch {epoch}");
    }
    // What was told while it ran is told of that time later, by the epoch and by the clock.
    for before in [first, second] {
        let last = before.iter().max_by_key(|said| said["said_epoch"].as_u64());
        let last = last.unwrap();
        let epoch = last["said_epoch"].to_string();
        assert_eq!(verdicts(&job, &["--as-of", &epoch]), before);
        let at = last["said_at"].as_str().unwrap();
        assert_eq!(verdicts(&job, &["--as-of", at]), before);
    }
    // Why: the first window, and one that was compared with it.
    let why = |check: &str, minute: &str| -> Vec<(i64, String)> {
        let window = format!("2026-03-14T12:{minute}:00Z");
        let options = ["--check", check, "--window", &window, "--changes"];
        let told = verdicts(&job, &[&options[..], &of_n].concat());
        let sign = |change: &Value| change["sign"].as_i64().unwrap();
        let each = told.iter().map(|change| {
            let why = change["why"].as_str().unwrap_or_default();
            (sign(change), why.to_owned())
        });
        each.collect()
    };
    let settled = "its window takes no more rows";
    let told = |whys: &[&str]| -> Vec<(i64, String)> {
        let each = whys.iter().enumerate().flat_map(|(place, why)| {
            let taken_back = (place > 0).then(|| (-1, String::new()));
            taken_back.into_iter().chain([(1, (*why).to_owned())])
        });
        each.collect()
    };
    assert_eq!(
        why("all_came", "00"),
        told(&["first said", "2 late rows", settled])
    );
    let compared = "windows that it is compared with changed";
    assert_eq!(why("usual", "02"), told(&["first said", compared, settled]));
    let people = job.caudal("verdicts").output().unwrap();
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(
        people.starts_with("sales: what was believed up to epoch ")
            && people.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words == ["all_came", "2", "fail,", "6", "pass"]
            })
            && people.contains("fail 0.3333333333333333 (1 of 3), expected >= 0.9, said in epoch"),
        "{people}"
    );
    let misspelt = job.caudal("verdicts").args(["--check", "all_cam"]).output();
    let told = String::from_utf8(misspelt.unwrap().stderr).unwrap();
    assert!(told.contains("did you mean \"all_came\"?"), "{told}");
}

/// What stands of the row law: for each minute its status, and the rows that are accounted for, out of those that came.
fn laws(job: &Job) -> Vec<(String, String, i64, i64)> {
    let told = verdicts(job, &["--check", "conservation"]);
    let rows = |said: &Value, name: &str| said[name].as_i64().unwrap();
    let each = told.iter().map(|said| {
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let rows = ["numerator", "denominator"].map(|name| rows(said, name));
        (text("window_start"), text("status"), rows[0], rows[1])
    });
    each.collect()
}

#[test]
fn every_minute_in_which_rows_came_accounts_for_them_whatever_is_killed() {
    let job = job();
    job.append("a.csv", HEADER);
    // Each life has other workers; the last but one ends before anything of it is visible, or not.
    let mut sent = 0;
    for (workers, rows) in [(2, 5), (3, 7), (1, 11)] {
        let running = Running::start(&job, workers);
        sales(&job, "12:00:10", "N", rows);
        job.append("a.csv", "x,2026-03-14T12:00:10Z,N,1.00\n");
        sent += i64::try_from(rows).unwrap() + 1;
        job.await_epochs(2);
        running.kill();
    }
    let running = Running::start(&job, 4);
    // The verdict of a minute comes when it is over, and no row more does.
    job.await_within(
        Duration::from_mins(3),
        "rows are not accounted for",
        |job| {
            let output = job.caudal("verdicts").output().unwrap();
            output.status.success()
                && String::from_utf8_lossy(&output.stdout).contains("conservation")
                && laws(job).iter().map(|law| law.2).sum::<i64>() == sent
        },
    );
    running.stop();
    let laws = laws(&job);
    assert!(
        laws.iter().all(|(_, status, numerator, denominator)| {
            status == "pass" && numerator == denominator && *numerator > 0
        }),
        "{laws:?}"
    );
    let mut minutes: Vec<&String> = laws.iter().map(|law| &law.0).collect();
    minutes.dedup();
    assert_eq!(minutes.len(), laws.len(), "{laws:?}");
    // The sink has what the history has, each once.
    let files = job.out().join("verdicts").read_dir().unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
    let is_law = |line: &&str| line.contains("\"conservation\"");
    let of_sink: usize = texts.map(|text| text.lines().filter(is_law).count()).sum();
    assert_eq!(of_sink, laws.len());
}

#[test]
fn a_job_that_keeps_no_history_says_what_would() {
    let job = Job::with("*.csv", "", "csv = {}", |text| {
        let text = text.replace(
            "output = \"out\"",
            "output = \"out\"\nverdict_history = false",
        );
        format!("{text}{CHECKS}")
    });
    job.append("a.csv", HEADER);
    let running = Running::start(&job, 1);
    sales(&job, "12:00:00", "N", 1);
    sales(&job, "12:05:00", "N", 1);
    job.await_that("there is no verdict", |job| {
        job.out()
            .join("verdicts")
            .read_dir()
            .is_ok_and(|folder| folder.count() > 1)
    });
    running.stop();
    let output = job.caudal("verdicts").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        told.contains("the job keeps no history of its verdicts")
            && told.contains("leave out verdict_history = false"),
        "{told}"
    );
    assert!(!job.out().join("_caudal/verdicts").exists());
}
