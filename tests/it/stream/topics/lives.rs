//! Lives of a job that writes topics: killed, with several processes, with other numbers of shards, and fought by another program.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use caudal::epoch::{Checkpoint, StateFile};
use caudal::fault;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;

use super::{Job, Running, check_rows, ids, sale, to_topics};
use crate::ended;
use crate::kafka::broker::{Broker, PATIENCE};
use crate::kafka::messages::Isolation;

#[test]
fn shards_are_changed_after_a_drain_and_at_no_other_time() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("shards", 2);
    let to = |text: String| to_topics(&text, broker, 10);
    let job = Job::with(broker, &topic, |text| {
        to(text).replace("create =", "shards = 2, create =")
    });
    let reshard = |from: u64, to: u64| {
        let (from, to) = (format!("shards = {from},"), format!("shards = {to},"));
        job.rewrite(|text| text.replace(&from, &to));
    };
    let running = Running::start(&job, 2);
    broker.send(&topic, (0..400).map(sale));
    job.await_positions(&[200, 200]);
    running.stop();
    reshard(2, 5);
    let running = Running::start(&job, 2);
    broker.send(&topic, (400..800).map(sale));
    job.await_positions(&[400, 400]);
    running.kill();
    reshard(5, 3);
    Running::start_only(&job, 1).ends_with(
        2,
        &[
            "sinks.rows.kafka.shards was 5 and is 3",
            "expected: a job that was stopped in good order before that",
        ],
    );
    reshard(3, 5);
    Running::start(&job, 1).stop();
    reshard(5, 3);
    let running = Running::start(&job, 3);
    broker.send(&topic, (800..1200).map(sale));
    job.await_positions(&[600, 600]);
    running.stop();
    check_rows(&broker.read("out-rows-10", Isolation::Committed), 1200);
    assert_eq!(broker.partitions("out-10-progress"), 5);
}

/// Else messages of the number before would be sent again by shards that do not know of them.
#[test]
fn what_was_sent_by_another_number_of_shards_is_not_read_again() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("shards-broken", 2);
    let job = Job::with(broker, &topic, |text| {
        to_topics(&text, broker, 15).replace("create =", "shards = 2, create =")
    });
    let mut sent = 0;
    let running = Running::start(&job, 2);
    for _ in 0..3 {
        broker.send(&topic, (sent..sent + 200).map(sale));
        sent += 200;
        job.await_positions(&[sent / 2, sent / 2]);
    }
    running.stop();
    // A life that ends when it has written down what the job is.
    let changes = |from: &str, to: &str| {
        job.rewrite(|text| text.replace(from, to));
        let marks = tempfile::tempdir().unwrap();
        let point = "go on behind the plan";
        let running = Running::start_armed(&job, &format!("{point}:1"), marks.path());
        job.await_that("it does not end", super::DEADLINE, |_| {
            marks.path().join(point).exists()
        });
        running.kill();
        job.history()
    };
    // What says nothing of messages may be changed, and what is before it read again.
    let history = changes("checkpoint = \"100 ms\"", "checkpoint = \"150 ms\"");
    assert_eq!(history.plan.unwrap().since, 0);
    let since = history.drained.unwrap().epoch;
    let history = changes("shards = 2,", "shards = 5,");
    assert_eq!(history.plan.unwrap().since, since);
    // Every one from the change on is broken, one before it may be whole.
    let (behind, before): (Vec<_>, Vec<_>) =
        (history.checkpoints.iter()).partition(|kept| kept.epoch >= since);
    assert!(!behind.is_empty() && !before.is_empty());
    let is_shared = |file: &&StateFile| before.iter().any(|kept| kept.state.contains(file));
    let files = |kept: &Checkpoint| {
        let own = kept.state.iter().find(|file| !is_shared(file));
        own.or(kept.state.first()).unwrap().path.clone()
    };
    let damaged: BTreeSet<String> = behind.iter().map(|kept| files(kept)).collect();
    let turn = || damaged.iter().for_each(|file| job.break_state(file));
    turn();
    let words = format!("no checkpoint from epoch {since} on can be gone on from");
    Running::start_only(&job, 2).ends_with(3, &[&words, "restore state and output"]);
    check_rows(&broker.read("out-rows-15", Isolation::Committed), sent);
    // Mended, it goes on.
    turn();
    let running = Running::start(&job, 2);
    broker.send(&topic, (sent..sent + 200).map(sale));
    sent += 200;
    job.await_positions(&[sent / 2, sent / 2]);
    running.stop();
    check_rows(&broker.read("out-rows-15", Isolation::Committed), sent);
}

#[test]
fn what_is_delivered_at_least_once_is_there_at_least_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("at-least-once", 2);
    let job = Job::with(broker, &topic, |text| {
        let text = to_topics(&text, broker, 11);
        text.replace("create =", "delivery = \"at_least_once\", create =")
    });
    let mut sent = 0;
    for workers in [2, 1, 2] {
        let running = Running::start(&job, workers);
        for _ in 0..3 {
            broker.send(&topic, (sent..sent + 300).map(sale));
            sent += 300;
            job.await_epoch();
        }
        running.kill();
    }
    let running = Running::start(&job, 2);
    job.await_positions(&[sent / 2, sent / 2]);
    running.kill();
    // What a checkpoint covers is there, whoever is killed then.
    for (name, column) in [("out-rows-11", "id"), ("out-refused-11", "offset")] {
        let read = broker.read(name, Isolation::Committed);
        assert_eq!(read, broker.read(name, Isolation::Uncommitted));
        let mut found = ids(&read, column);
        found.sort_unstable();
        found.dedup();
        let wanted: Vec<i64> = if column == "id" {
            (0..sent).filter(|id| id % 10 != 0).collect()
        } else {
            // Those divisible by ten are all of partition 0.
            (0..sent / 10).map(|number| number * 5).collect()
        };
        assert_eq!(found, wanted);
    }
    Running::start(&job, 1).stop();
}

/// Messages for topics hold what they were read from until their epoch is bound. Read again by a process to which others send, one may be more than
/// `in_flight`: its readers waited for the end of their own epoch.
#[test]
fn an_epoch_that_does_not_fit_in_flight_is_read_again() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("more-than-in-flight", 2);
    let job = Job::with(broker, &topic, |text| {
        let room = "in_flight = \"32 KiB\"\nchunk = \"16 KiB\"\nepoch = \"500 ms\"";
        to_topics(&text, broker, 16)
            .replace("create =", "shards = 1, create =")
            .replace("epoch = \"20 ms\"", room)
            .replace("checkpoint = \"100 ms\"", "checkpoint = \"1 minute\"")
    });
    broker.send(&topic, (0..4000).map(sale));
    let marks = tempfile::tempdir().unwrap();
    let point = "commit a transaction";
    let mut launch = job
        .caudal("launch")
        .args(["-n", "2", "-w", "1", "--quiet"])
        .env(fault::AT, format!("{point}:1"))
        .env(fault::MARKS, marks.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let read = || broker.read("out-rows-16", Isolation::Committed).len();
    job.await_that("not all is sent", super::DEADLINE, |_| read() == 3600);
    assert!(marks.path().join(point).exists());
    assert!(job.caudal("stop").status().unwrap().success());
    assert!(ended::status(&mut launch).success());
    check_rows(&broker.read("out-rows-16", Isolation::Committed), 4000);
}

#[test]
fn several_processes_send_each_message_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("processes", 2);
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 12));
    broker.send(&topic, (0..600).map(sale));
    let mut launch = job
        .caudal("launch")
        .args(["-n", "2", "-w", "2", "--quiet"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    job.await_positions(&[300, 300]);
    // The second one is killed while rows come; both go on in another life.
    let before = job.said("generation");
    let text = std::fs::read(job.path("out/_caudal/status-1.json")).unwrap();
    let second: Value = serde_json::from_slice(&text).unwrap();
    broker.send(&topic, (600..1200).map(sale));
    let killed = Command::new("kill")
        .args(["-KILL", &second["pid"].to_string()])
        .status();
    assert!(killed.unwrap().success());
    job.await_that("nobody goes on", super::DEADLINE, |job| {
        job.said("generation") > before
    });
    broker.send(&topic, (1200..1500).map(sale));
    job.await_positions(&[750, 750]);
    assert!(job.caudal("stop").status().unwrap().success());
    assert!(ended::status(&mut launch).success());
    check_rows(&broker.read("out-rows-12", Isolation::Committed), 1500);
}

/// O54: a life that stands still within a transaction, and finds another one when it goes on, ends and says why; nothing of its
/// transaction is seen, and the other goes on behind what was committed.
#[test]
fn a_life_that_was_taken_over_from_within_a_transaction_ends() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("fenced", 2);
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 14));
    broker.send(&topic, (0..200).map(sale));
    let marks = tempfile::tempdir().unwrap();
    let point = "commit a transaction";
    let mut old = Running::start_armed(&job, &format!("{point}:3:hold"), marks.path());
    let sent = Cell::new(200);
    job.await_that("it does not stand still", super::DEADLINE, |_| {
        let from = sent.get();
        broker.send(&topic, (from..from + 20).map(sale));
        sent.set(from + 20);
        marks.path().join(point).exists()
    });
    let mut sent = sent.get();
    let new = Running::start(&job, 2);
    broker.send(&topic, (sent..sent + 200).map(sale));
    sent += 200;
    job.await_positions(&[sent / 2, sent / 2]);
    old.signal("-CONT");
    old.ends_with(3, &["generation 2", "has taken over"]);
    broker.send(&topic, (sent..sent + 200).map(sale));
    sent += 200;
    job.await_positions(&[sent / 2, sent / 2]);
    new.stop();
    check_rows(&broker.read("out-rows-14", Isolation::Committed), sent);
}

/// O54, where it is no life of the job.
#[test]
fn another_program_with_the_id_is_told_and_changes_nothing() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("stolen", 2);
    let job = Job::with(broker, &topic, |text| {
        to_topics(&text, broker, 13).replace("create =", "shards = 1, create =")
    });
    let mut running = Running::start(&job, 2);
    broker.send(&topic, (0..100).map(sale));
    job.await_positions(&[50, 50]);
    let is_over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        // Takes the shard over and over again.
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                let mut client = broker.client();
                client.set("transactional.id", "out-13-0");
                let thief: BaseProducer = client.create().unwrap();
                // Two that fence each other at once are told to try again.
                drop(thief.init_transactions(PATIENCE));
            }
        });
        let sender = scope.spawn(|| {
            let mut sent = 100;
            while !is_over.load(Ordering::Acquire) {
                broker.send(&topic, (sent..sent + 20).map(sale));
                sent += 20;
            }
            sent
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            running.ends_with(
                3,
                &[
                    "another program uses transactional id out-13-0",
                    "expected: an id of this job alone",
                    "give this job's sinks another `id`",
                ],
            );
        }));
        is_over.store(true, Ordering::Release);
        let sent = sender.join().unwrap();
        ended.unwrap_or_else(|problem| std::panic::resume_unwind(problem));
        sent
    });
    let running = Running::start(&job, 1);
    job.await_positions(&[sent / 2, sent / 2]);
    running.stop();
    check_rows(&broker.read("out-rows-13", Isolation::Committed), sent);
}
