//! Partitions that go from worker to worker and from life to life: each message is a row once in every target, whoever has them.

use std::process::{Child, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::super::{numbers, sale};
use super::{DEADLINE, Job, Running, at, ids};
use crate::ended;
use crate::kafka::broker::{Broker, PATIENCE};
use crate::kafka::messages::{Isolation, Sent};

/// Sales of partition 0.
fn sales(ids: std::ops::Range<i64>) -> impl Iterator<Item = Sent> {
    ids.map(|id| sale(0, id, &at("12:00:00"), "1.00"))
}

/// The plain job, which writes its rows to a topic beside the files.
fn beside(broker: &Broker, topic: &str, number: u32, change: impl Fn(String) -> String) -> Job {
    Job::with(broker, topic, |text| {
        let kafka = format!(
            "\n[sinks.topic]\nkafka = {{ brokers = \"{}\", topic = \"out-rows-{number}\", key = \"region\", id = \"out-{number}\", create = {{ partitions = 1 }} }}\njson = {{}}\n",
            broker.addresses()
        );
        change(text) + &kafka
    })
}

/// Runs it with several processes.
fn launch(job: &Job, processes: u32) -> Child {
    let before = job.said("generation");
    let launch = job
        .caudal("launch")
        .args(["-n", &processes.to_string(), "-w", "1", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    job.await_that("nobody begins", DEADLINE, |job| {
        job.said("generation") > before
    });
    launch
}

fn stop(job: &Job, mut launch: Child) {
    assert!(job.caudal("stop").status().unwrap().success());
    assert!(ended::status(&mut launch).success());
}

/// The job's own folder and the topic have the first `upto` rows, each once.
fn check(broker: &Broker, job: &Job, number: u32, upto: i64) {
    let wanted: Vec<i64> = (0..upto).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), wanted);
    let mut found = ids(
        &broker.read(&format!("out-rows-{number}"), Isolation::Committed),
        "id",
    );
    found.sort_unstable();
    assert_eq!(found, wanted);
}

/// O34: a process is killed, and another one added, when messages are handled and not committed.
#[test]
fn messages_that_were_handled_and_not_committed_are_rows_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("redelivered", 1);
    let job = beside(broker, &topic, 40, |text| {
        text.replace("checkpoint = \"100 ms\"", "checkpoint = \"10 minutes\"")
    });
    let running = Running::start(&job, 1);
    broker.send(&topic, sales(0..7));
    job.await_that("messages are missing", DEADLINE, |_| {
        broker.read("out-rows-40", Isolation::Committed).len() == 7
    });
    assert_eq!(job.rows("rows").len(), 0, "files are not committed");
    running.kill();
    let launch = launch(&job, 2);
    broker.send(&topic, sales(7..10));
    job.await_that("messages are missing", DEADLINE, |_| {
        broker.read("out-rows-40", Isolation::Committed).len() >= 10
    });
    stop(&job, launch);
    check(broker, &job, 40, 10);
}

/// O35: a partition goes to another life and back, and the group's offset goes back meanwhile: the job's own record decides.
#[test]
fn an_offset_that_goes_back_in_the_group_is_not_gone_on_from() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("back", 1);
    let job = beside(broker, &topic, 41, |text| {
        text.replace("topics =", "group = \"caudal-back\", topics =")
    });
    let mut client = broker.client();
    client
        .set("group.id", "caudal-back")
        .set("enable.auto.commit", "false");
    let group: BaseConsumer = client.create().unwrap();
    let told = || {
        let mut of = TopicPartitionList::new();
        of.add_partition(&topic, 0);
        let told = group.committed_offsets(of, PATIENCE).unwrap();
        match told.elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        }
    };
    let running = Running::start(&job, 1);
    broker.send(&topic, sales(0..100));
    job.await_positions(&[100]);
    running.stop();
    let launch = launch(&job, 2);
    broker.send(&topic, sales(100..150));
    job.await_positions(&[150]);
    job.await_that("the group is not told", DEADLINE, |_| told() == 150);
    stop(&job, launch);
    let mut lower = TopicPartitionList::new();
    lower
        .add_partition_offset(&topic, 0, Offset::Offset(20))
        .unwrap();
    group.commit(&lower, CommitMode::Sync).unwrap();
    assert_eq!(told(), 20);
    let running = Running::start(&job, 1);
    broker.send(&topic, sales(150..160));
    job.await_positions(&[160]);
    job.await_that("the group is not told", DEADLINE, |_| told() == 160);
    running.stop();
    check(broker, &job, 41, 160);
}

/// O36: partitions are taken from workers and given to others while messages come: the offsets of rows are those of messages, with no gap
/// but where transactions have their marks.
#[test]
fn workers_that_change_leave_no_message_out() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("reassigned", 2);
    let job = beside(broker, &topic, 42, |text| {
        text.replace(
            "amount = \"decimal(12,2) not null\"",
            "amount = \"decimal(12,2) not null\"\nthe_partition = { type = \"int\", kafka = \"partition\" }\n\
             the_offset = { type = \"bigint\", kafka = \"offset\" }",
        )
    });
    let launch = launch(&job, 2);
    let mut sent = 0;
    for (processes, workers) in [(1, 1), (2, 2), (1, 3)] {
        let before = job.said("generation");
        let rescale = job
            .caudal("rescale")
            .args(["-n", &processes.to_string(), "-w", &workers.to_string()])
            .status();
        assert!(rescale.unwrap().success());
        let deadline = std::time::Instant::now() + DEADLINE;
        while job.said("generation") == before {
            assert!(std::time::Instant::now() < deadline, "nobody takes over");
            let some = (sent..sent + 20)
                .map(|id| sale(i32::try_from(id % 2).unwrap(), id, &at("12:00:00"), "1.00"));
            if sent % 40 == 0 {
                let transaction = broker.transaction("caudal-reassigned");
                transaction.send(&topic, some);
                transaction.commit().unwrap();
            } else {
                broker.send(&topic, some);
            }
            sent += 20;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let ends = [0, 1].map(|partition| broker.ends(&topic, partition).1);
    job.await_that("messages are missing", DEADLINE, |job| {
        i64::try_from(job.rows("rows").len()).unwrap() >= sent
    });
    stop(&job, launch);
    check(broker, &job, 42, sent);
    let messages = broker.read(&topic, Isolation::Committed);
    for partition in [0, 1] {
        let of = messages
            .iter()
            .filter(|read| read.sent.partition == partition);
        let offsets: Vec<i64> = of.map(|read| read.offset).collect();
        let end = ends[usize::try_from(partition).unwrap()];
        let marks = end - i64::try_from(offsets.len()).unwrap();
        assert!(marks > 0 && offsets.last() < Some(&end), "{marks} marks");
        let mut rows = job.rows("rows");
        rows.retain(|row| {
            numbers(std::slice::from_ref(row), "the_partition") == [i64::from(partition)]
        });
        assert_eq!(numbers(&rows, "the_offset"), offsets);
    }
}
