//! State that is written as changes, folded beside the workers, and gone on from by others.

use caudal::epoch::StateFile;
use serde_json::json;

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, texts};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;

/// Regions, of which one has a sale at a time.
const REGIONS: i64 = 60;

fn sale(id: i64, time: &str) -> Sent {
    let region = format!("r{:02}", id % REGIONS);
    let value = json!({ "id": id, "ts": at(time), "region": region, "amount": "1.00" });
    Sent::value(0, value.to_string())
}

/// The files of the newest checkpoint, in the order in which they were written.
fn newest(job: &Job) -> Vec<StateFile> {
    let mut files = job.history().checkpoints[0].state.clone();
    files.retain(|file| file.path.contains("tally"));
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

/// Sends one sale after the other, each into a commit of its own, until the newest checkpoint's files are as wanted.
fn send_until(
    job: &Job,
    broker: &Broker,
    topic: &str,
    next: &mut i64,
    wanted: impl Fn(&[StateFile]) -> bool,
) {
    let first = *next;
    while !wanted(&newest(job)) {
        assert!(*next < first + 200, "{:?}", newest(job));
        broker.send(topic, [sale(*next, "12:00:00")]);
        *next += 1;
        job.await_positions(&[*next]);
    }
}

#[test]
fn changes_are_written_and_folded_and_a_broken_one_costs_a_replay() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("series", 1);
    broker.send(&topic, (0..REGIONS).map(|id| sale(id, "12:00:00")));
    let job = Job::new(broker, &topic);
    let mut next = REGIONS;
    let running = Running::start(&job, 2);
    job.await_positions(&[next]);
    // Two workers, of which each has written all of its state once.
    send_until(&job, broker, &topic, &mut next, |files| files.len() >= 6);
    let before = newest(&job);
    let is_folded = |file: &StateFile| file.path.ends_with(".folded.state");
    send_until(&job, broker, &topic, &mut next, |files| {
        files.iter().any(is_folded) && !is_folded(&files[files.len() - 1])
    });
    // Nothing is left of what no checkpoint needs that is kept.
    send_until(&job, broker, &topic, &mut next, |files| {
        files.iter().filter(|file| is_folded(file)).count() == 2
    });
    let first = job.file(&format!("out/_caudal/state/{}", before[0].path));
    job.await_that("the first state is there still", DEADLINE, |_| {
        !first.is_file()
    });
    send_until(&job, broker, &topic, &mut next, |files| {
        files.last().is_some_and(|last| !is_folded(last))
    });
    running.kill();
    // The newest changes are broken: the checkpoint before is gone on from, by another number of workers. (A job that rested has none.)
    let checkpoints = job.history().checkpoints;
    let is_new = |file: &&StateFile| !checkpoints[1].state.contains(file);
    for changes in checkpoints[0].state.iter().filter(is_new) {
        job.break_state(&changes.path);
    }
    broker.send(&topic, [sale(next, "12:00:00")]);
    next += 1;
    let running = Running::start(&job, 3);
    job.await_positions(&[next]);
    running.stop();
    // Everything is in its window: no sale was lost, none counted twice.
    broker.send(&topic, [sale(next, "12:02:00")]);
    next += 1;
    let running = Running::start(&job, 1);
    job.await_that("windows are open", DEADLINE, |job| {
        i64::try_from(job.rows("minutes").len()).unwrap() == REGIONS
    });
    running.stop();
    let all: Vec<i64> = (0..next).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), all);
    let minutes = job.rows("minutes");
    assert_eq!(texts(&minutes, "region").len(), 60);
    assert_eq!(numbers(&minutes, "rows").iter().sum::<i64>(), next - 1);
    // Where no checkpoint can be used, nothing is made up.
    job.break_all_state();
    Running::start_only(&job, 1).ends_with(3, &["checkpoints can be gone on from"]);
}

/// Sales that meet regions, in windows and in rows, these in a Delta table.
const REGIONS_OF_SALES: &str = r#"
[lookups.regions]
files = { paths = ["regions.csv"] }
csv = {}
on = { code = "sales.region" }
missing = { then = "null" }
[lookups.regions.columns]
code = "varchar not null"
name = "varchar"
[windows.minute]"#;

/// What is visible, in an order of its own.
fn outputs(job: &Job) -> Vec<Vec<String>> {
    ["rows", "minutes", "refused"]
        .iter()
        .map(|sink| {
            let mut rows: Vec<String> = job
                .rows(sink)
                .iter()
                .map(|row| format!("{row:?}"))
                .collect();
            rows.sort();
            rows
        })
        .collect()
}

#[test]
fn whatever_file_of_the_newest_checkpoint_is_damaged_the_job_falls_back() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("damaged", 1);
    let of = |text: String| {
        text.replacen("[windows.minute]", REGIONS_OF_SALES, 1)
            .replacen("parquet = {}", "parquet = { delta = true }", 1)
    };
    let job = Job::with(broker, &topic, of);
    let regions: Vec<String> = (0..REGIONS)
        .map(|id| format!("r{id:02},name of {id}"))
        .collect();
    let regions = format!("code,name\n{}\n", regions.join("\n"));
    std::fs::write(job.path("regions.csv"), &regions).unwrap();
    broker.send(&topic, (0..REGIONS).map(|id| sale(id, "12:00:00")));
    let mut next = REGIONS;
    let running = Running::start(&job, 1);
    job.await_positions(&[next]);
    // As soon as the first fold is in use, and again later: then one is apart that is no file of a former life.
    let is_folded = |file: &StateFile| file.path.ends_with(".folded.state");
    let first = newest(&job)[0].path.clone();
    send_until(&job, broker, &topic, &mut next, |files| {
        is_folded(&files[0]) && files.len() > 2
    });
    let fold = newest(&job)[0].path.clone();
    send_until(&job, broker, &topic, &mut next, |files| {
        is_folded(&files[0]) && files[0].path != fold && files.len() > 2
    });
    running.kill();
    let state = job.path("out/_caudal/state");
    assert!(!state.join(&first).exists(), "{first} is kept for ever");
    // The last of it closes all windows that had sales.
    broker.send(&topic, [sale(next, "12:00:00"), sale(next + 1, "12:02:00")]);
    next += 2;

    let checkpoint = job.history().checkpoints[0].clone();
    assert!(!checkpoint.is_alone);
    let files: Vec<StateFile> = checkpoint.files().cloned().collect();
    assert!(files.len() > 3, "{files:?}");
    let finished = |job: &Job| {
        let running = Running::start_only(job, 1);
        job.await_positions(&[next]);
        job.await_that("windows are open", DEADLINE, |job| {
            i64::try_from(job.rows("minutes").len()).unwrap() == REGIONS
        });
        let (summary, told) = running.stop_and_tell();
        assert_eq!(summary["rows"]["in"], next, "{told}");
        (outputs(job), told)
    };
    let quiet_job = job.copy();
    let (quiet, told) = finished(&quiet_job);
    assert_eq!(told, "", "nothing is broken");
    assert_eq!(quiet[0].len(), usize::try_from(next).unwrap());
    for file in files {
        let copy = job.copy();
        copy.break_state(&file.path);
        let (found, told) = finished(&copy);
        assert_eq!(found, quiet, "{}: {told}", file.path);
        assert!(told.contains(&file.path), "{}: {told}", file.path);
        let words = if file.path.starts_with("references/") {
            "its copy is used"
        } else {
            "a checkpoint can't be used"
        };
        assert!(told.contains(words), "{}: {told}", file.path);
        // And what was fallen back to has again one to fall back to.
        let again = copy.history().checkpoints[0].clone();
        assert!(!again.is_alone && !again.kept.is_empty(), "{again:?}");
    }
}
