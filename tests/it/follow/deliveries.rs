//! Files that should have come, in a job that follows them while they are renamed and packed, that late rows correct, and that is killed in between.

use std::collections::BTreeMap;

use serde_json::Value;

use super::job::{Job, Running};
use super::{CSV, HEADER};

const CHECK: &str = r#"
[calendars.shop]
days = ["saturday"]
hours = ["00:00..12:03", "12:04..24:00"]
[checks.a_file_came]
window = "minute"
completeness = { expected_files = 2, calendar = "shop", warn_below = 1.0, fail_below = 0.5 }
[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
json = {}
"#;

/// A sale at a time; these are of one day, a Saturday.
fn sale(time: &str) -> String {
    format!("1,2026-03-14T{time}Z,N,1.00\n")
}

/// What stands of each minute after noon: its status, how many files came, how many should have, and whether that is final.
fn standing(job: &Job) -> BTreeMap<i64, (String, i64, i64, bool)> {
    let asked = ["--json", "--check", "a_file_came"];
    let output = job.caudal("verdicts").args(asked).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    said.map(|said| {
        let start = said["window_start"].as_str().unwrap();
        let minute = start.strip_prefix("2026-03-14T12:").unwrap();
        let minute = minute.strip_suffix(":00Z").unwrap().parse().unwrap();
        let status = said["status"].as_str().unwrap().to_owned();
        let number = |name: &str| said[name].as_i64().unwrap();
        let is_final = said["final"].as_bool().unwrap();
        let said = (status, number("numerator"), number("denominator"), is_final);
        (minute, said)
    })
    .collect()
}

#[test]
fn a_file_is_one_delivery_whatever_it_is_called_and_whoever_reads_it() {
    let job = Job::with("sales.csv*", "", CSV, |text| {
        let windows = "per = []\nlength = \"1 minute\"\ncorrect_within = \"10 minutes\"";
        let text = text.replace("per = [\"region\"]\nlength = \"1 minute\"", windows);
        // A file that stands still does not hold the watermark.
        let text = text.replace(
            "event_time = \"ts\"",
            "event_time = \"ts\"\nidle_after = \"100 ms\"",
        );
        format!("{text}{CHECK}")
    });
    let stands = |minutes: &[(i64, &str, i64, i64)], is_final: bool| {
        let of = |(minute, status, came, due): &(i64, &str, i64, i64)| {
            (*minute, ((*status).to_owned(), *came, *due, is_final))
        };
        let wanted: BTreeMap<_, _> = minutes.iter().map(of).collect();
        job.await_that("other files came", |job| {
            let mut standing = standing(job);
            standing.retain(|minute, _| wanted.contains_key(minute));
            standing == wanted
        });
    };
    // Two files of one name, the first of which goes on under another one; a third has no row.
    let running = Running::start(&job, 1);
    job.append("sales.csv", format!("{HEADER}{}", sale("12:00:01")));
    job.append("sales.csv", sale("12:00:30"));
    job.await_that("no row", |job| job.rows("rows").len() == 2);
    job.rename("sales.csv", "sales.csv.1");
    job.append("sales.csv", format!("{HEADER}{}", sale("12:00:40")));
    job.append("sales.csv.empty", HEADER);
    job.await_that("no row", |job| job.rows("rows").len() == 3);
    job.append("sales.csv.1", sale("12:02:30"));
    job.append("sales.csv", sale("12:04:10"));
    job.append("sales.csv", sale("12:05:10"));
    let before = [
        (0, "pass", 2, 2),
        (1, "fail", 0, 2),
        (2, "warn", 1, 2),
        // It is closed, and nothing came.
        (3, "no_data", 0, 0),
        (4, "warn", 1, 2),
    ];
    stands(&before, false);
    running.kill();

    // It is packed while nothing runs, and goes on: no file more. New ones bring late rows.
    job.rename("sales.csv.1", "sales.csv.2");
    job.gzip("sales.csv.2");
    job.append("sales.csv", sale("12:05:20"));
    job.put("sales.csv.late", format!("{HEADER}{}", sale("12:01:10")));
    let running = Running::shaped(&job, 2, 1);
    job.put(
        "sales.csv.more",
        format!("{HEADER}{}{}", sale("12:01:20"), sale("12:03:20")),
    );
    let after = [
        (0, "pass", 2, 2),
        (1, "pass", 2, 2),
        (2, "warn", 1, 2),
        // A file that nobody expects.
        (3, "no_data", 1, 0),
        (4, "warn", 1, 2),
    ];
    stands(&after, false);
    running.kill();
    let running = Running::start(&job, 3);
    job.append("sales.csv", sale("12:20:00"));
    stands(&after, true);
    stands(&[(5, "warn", 1, 2), (6, "fail", 0, 2)], true);
    running.stop();
}
