//! State that is written as changes, folded beside the workers, and gone on from by others.

use std::collections::BTreeSet;

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
    let checkpoints = job.history().checkpoints;
    let files = checkpoints.iter().flat_map(|checkpoint| &checkpoint.state);
    let paths: BTreeSet<&str> = files.map(|file| file.path.as_str()).collect();
    for path in paths {
        job.break_state(path);
    }
    Running::start_only(&job, 1).ends_with(3, &["checkpoints can be gone on from"]);
}
