//! A sink that is a Delta table, read by others while the job runs, is killed and goes on.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::job::{DEADLINE, Job, Running};
use super::{at, sale};
use crate::kafka::broker::Broker;
use crate::readers::python;

/// A reader of the job's table that has begun, and ends when it has seen so many rows, where it waits for any.
fn reader(python: &Path, script: &str, job: &Job, rows: Option<i64>) -> Child {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/readers");
    Command::new(python)
        .arg(scripts.join(script))
        .arg(job.file("out/rows"))
        .args(rows.map(|rows| rows.to_string()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a reader tells at its end.
fn seen_by(reader: Child) -> Value {
    let output = reader.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn readers_of_the_table_see_no_row_twice_and_none_missing_at_any_moment() {
    let (Some(broker), Some(python)) = (Broker::shared(), python("readers")) else {
        return;
    };
    let topic = broker.topic("sales", 2);
    let job = Job::with(broker, &topic, |text| {
        text.replacen(
            "files = { path = \"rows\" }\nparquet = {}",
            "files = { path = \"rows\", partition_by = [\"region\"] }\nparquet = { delta = true }",
            1,
        )
    });
    let rows = 120;
    let reader = reader(&python, "delta.py", &job, Some(rows));
    // Of each third a life that is killed while it commits, the last but one excepted.
    let mut sent = 0;
    for life in 1..=3_u8 {
        let running = Running::start(&job, usize::from(life));
        while sent < rows * i64::from(life) / 3 {
            let messages = (sent..sent + 20).map(|id| {
                let partition = i32::try_from(id % 2).unwrap();
                sale(partition, id, &at("12:00:00"), "1.50")
            });
            broker.send(&topic, messages);
            sent += 20;
            job.await_epoch();
        }
        if life < 3 {
            running.kill();
        } else {
            job.await_positions(&[sent / 2, sent / 2]);
            running.stop();
        }
    }
    let found = seen_by(reader);
    assert_eq!(found["rows"], rows, "{found}");
    assert_eq!(found["compacted"], true, "{found}");
    assert!(found["versions"].as_u64() > Some(3), "{found}");
    assert_eq!(found["partitions"], json!(["region"]));
    assert_eq!(
        found["schema"]["amount"],
        "PrimitiveType(\"decimal(12,2)\")"
    );
}

#[test]
fn a_long_log_is_read_from_its_newest_checkpoint() {
    let (Some(broker), Some(python)) = (Broker::shared(), python("readers")) else {
        return;
    };
    let topic = broker.topic("checkpointed", 1);
    let job = Job::with(broker, &topic, |text| {
        text.replacen(
            "files = { path = \"rows\" }\nparquet = {}",
            "files = { path = \"rows\", partition_by = [\"region\"] }\nparquet = { delta = true }",
            1,
        )
    });
    let mut sent = 0;
    for life in 0..2 {
        let running = Running::start(&job, 1);
        // A commit each, and version 0 is of none.
        for _ in 0..13 {
            broker.send(&topic, [sale(0, sent, &at("12:00:00"), "1.50")]);
            sent += 1;
            job.await_positions(&[sent]);
        }
        if life == 0 {
            running.kill();
        } else {
            running.stop();
        }
    }
    let found = seen_by(reader(&python, "delta_checkpoint.py", &job, None));
    let all: Vec<i64> = (0..sent).collect();
    assert_eq!(found["ids"], json!(all));
    assert_eq!(found["of_copy"], json!(all));
    let (checkpoint, version) = (&found["checkpoint"], &found["version"]);
    assert!(checkpoint.as_u64() >= Some(20), "{found}");
    assert!(version.as_u64() >= Some(26), "{found}");
    assert_eq!(found["gone"].as_u64(), checkpoint.as_u64().map(|it| it + 1));
    assert_eq!(found["files"], sent);
    assert!(found["transaction"].as_u64() > Some(0), "{found}");
}

#[test]
fn small_files_are_put_together_and_readers_see_no_row_twice_and_none_missing() {
    let (Some(broker), Some(python)) = (Broker::shared(), python("readers")) else {
        return;
    };
    let topic = broker.topic("merged", 1);
    let job = Job::with(broker, &topic, |text| {
        text.replacen(
            "parquet = {}",
            "parquet = { delta = true, merge_files = true }",
            1,
        )
    });
    let rows = 75;
    let reader = reader(&python, "delta_merged.py", &job, Some(rows));
    // Killed about when fifty files are there.
    let mut sent = 0;
    for upto in [51, rows] {
        let running = Running::start(&job, 1);
        while sent < upto {
            broker.send(&topic, [sale(0, sent, &at("12:00:00"), "1.50")]);
            sent += 1;
            job.await_positions(&[sent]);
        }
        if upto < rows {
            running.kill();
        } else {
            let is_merged = |job: &Job| {
                let mut names = std::fs::read_dir(job.file("out/rows")).unwrap();
                names.any(|entry| {
                    let name = entry.unwrap().file_name();
                    name.to_string_lossy().starts_with("merged-")
                })
            };
            job.await_that("nothing is merged", DEADLINE, is_merged);
            running.stop();
        }
    }
    let found = seen_by(reader);
    assert_eq!(found["rows"], rows, "{found}");
    assert!(found["files"].as_i64() < Some(rows / 2), "{found}");
    assert!(found["merges"].as_u64() >= Some(1), "{found}");
    // What the job says of its files is right: those of commits are there still, or their rows in others.
    let verify = job.caudal("verify").arg("--json").output().unwrap();
    let said: Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_eq!(said["is_good"], true, "{said}");
}
