//! A cluster that is away while a job goes on: what is for its topics is held, outlives the job's lives, and is there once in the end.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{DEADLINE, Job, Running, append, at, following, output};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Isolation;

const TOPIC: &str = "held";

/// A job that follows a file and writes a topic, and files beside it.
pub(crate) fn job(broker: &Broker, delivery: &str, outbox: &str) -> Job {
    let sink = format!(
        "kafka = {{ brokers = \"{}\", topic = \"{TOPIC}\", key = \"region\", id = \"held\", shards = 2, create = {{ partitions = 2 }}, \
         delivery = \"{delivery}\", on_failure = \"hold\", outbox = \"{outbox}\", options = {{ \"socket.timeout.ms\" = \"2000\" }} }}\njson = {{}}",
        broker.addresses()
    );
    following(broker, &sink, |text| text)
}

/// Adds sales to the file.
pub(crate) fn add(job: &Job, ids: std::ops::Range<i64>) {
    let sale = |id: i64| {
        let region = ["N", "S", "E", "W", "C"][usize::try_from(id).unwrap() % 5];
        let ts = at(&format!("{:02}:{:02}:00", 10 + id / 6000, id / 100 % 60));
        json!({ "id": id, "ts": ts, "region": region, "amount": "1.50" })
    };
    append(job, ids.map(sale));
}

/// The ids in the topic, in their order.
fn ids(broker: &Broker) -> Vec<i64> {
    let read = broker.read(TOPIC, Isolation::Committed);
    let id = |value: &[u8]| serde_json::from_slice::<Value>(value).unwrap()["id"].as_i64();
    let values = read.iter().map(|read| read.sent.value.as_deref().unwrap());
    values.map(|value| id(value).unwrap()).collect()
}

/// Waits until so many messages are there; each of the first ids is there once.
pub(crate) fn await_once(job: &Job, broker: &Broker, upto: i64) {
    let all = usize::try_from(upto).unwrap();
    job.await_that("messages are missing", DEADLINE, |_| {
        ids(broker).len() >= all
    });
    let mut found = ids(broker);
    found.sort_unstable();
    assert_eq!(found, (0..upto).collect::<Vec<i64>>());
}

/// What `verify` says of the topic.
fn target(told: &Value) -> &Value {
    let mut targets = told["targets"].as_array().unwrap().iter();
    targets.find(|target| target["name"] == "rows").unwrap()
}

/// The objects of the outbox.
fn outbox(job: &Job) -> Vec<PathBuf> {
    let folder = job.file("out/_caudal/state/outbox");
    let names = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
    // What is being put is no object yet.
    names.retain(|name| {
        !name
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b".")
    });
    names.sort();
    names
}

/// Waits until the outbox has so many objects.
fn await_objects(job: &Job, objects: usize) {
    job.await_that("epochs are not held", DEADLINE, |job| {
        outbox(job).len() >= objects
    });
}

/// Waits until it is told that something is held; gives the words.
pub(crate) fn await_held(job: &Job) -> String {
    job.find(&"held", DEADLINE, |said| {
        let held = said["now"]["held"].as_array()?;
        let mut words = held.iter().filter_map(|held| held["words"].as_str());
        Some(
            words
                .find(|words| words.contains(" are held, since 20"))?
                .to_owned(),
        )
    })
}

/// Waits until an epoch is committed that is bound after this was called.
fn await_commit(job: &Job) {
    let bound = job.await_epoch();
    job.await_that("files are not committed", DEADLINE, |job| {
        job.said("committed")
            .is_some_and(|committed| committed >= bound)
    });
}

#[test]
fn what_is_held_outlives_the_job_and_is_there_once() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let job = job(&broker, "exactly_once", "1 GiB");
    add(&job, 0..100);
    let running = Running::start(&job, 2);
    await_once(&job, &broker, 100);
    assert_eq!(outbox(&job), [] as [PathBuf; 0]);
    broker.pause(1);
    add(&job, 100..200);
    let words = await_held(&job);
    assert!(
        words.starts_with(&format!(
            "held at {} does not take messages (",
            broker.addresses()
        )),
        "{words}"
    );
    // Files and checkpoints go on.
    add(&job, 200..300);
    await_objects(&job, 2);
    await_commit(&job);
    assert!(
        job.metric("caudal_sinks_outbox_bytes")
            .into_iter()
            .sum::<f64>()
            > 1000.0
    );
    let status = job.caudal("status").output().unwrap();
    let told = String::from_utf8(status.stdout).unwrap();
    assert!(told.contains(" does not take messages ("), "{told}");
    running.kill();
    let held = outbox(&job);

    // The next life begins without the cluster.
    let running = Running::start(&job, 1);
    add(&job, 300..400);
    await_held(&job);
    await_objects(&job, held.len() + 1);
    await_commit(&job);
    let more = outbox(&job);
    assert!(
        held.iter().all(|held| more.contains(held)),
        "{held:?} {more:?}"
    );
    // It can be stopped in good order, too; what is held goes with its shards.
    running.stop();
    let held = outbox(&job);
    job.rewrite(|text| text.replace("shards = 2", "shards = 3"));
    let mut other = Running::start_only(&job, 2);
    let hint =
        "set `shards` as it was, and change it when `caudal status` tells of nothing that is held";
    other.ends_with(3, &["it is held by one of 2 shards", hint]);
    job.rewrite(|text| text.replace("shards = 3", "shards = 2"));
    assert_eq!(outbox(&job), held);
    // What is held is no difference.
    broker.resume(1);
    let told = output(job.caudal("verify").arg("--json"), 0);
    let notes = target(&told)["notes"].to_string();
    assert!(notes.contains(" are held in the state: "), "{told}");
    broker.pause(1);
    let running = Running::start(&job, 3);
    add(&job, 400..500);
    broker.resume(1);
    await_once(&job, &broker, 500);
    job.await_that("something is held", DEADLINE, |job| outbox(job).is_empty());
    job.find(&"not held", DEADLINE, |said| {
        let held = said["now"]["held"].as_array()?;
        held.iter().all(|held| held["by"] != "target").then_some(())
    });
    add(&job, 500..600);
    await_once(&job, &broker, 600);
    running.stop();
    assert_eq!(ids(&broker).len(), 600);
    let told = output(job.caudal("verify").arg("--json"), 0);
    let good = "600 messages of ";
    let target = target(&told);
    assert!(target["good"].as_str().unwrap().starts_with(good), "{told}");
    assert_eq!(target["notes"], serde_json::json!([]), "{told}");
    // Those of a key in their order, whichever way they came.
    let found = ids(&broker);
    for region in 0..5 {
        let own = found.iter().filter(|id| *id % 5 == region);
        assert!(own.is_sorted(), "{found:?}");
    }
}

#[test]
fn a_full_outbox_ends_the_job_and_loses_nothing() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let job = job(&broker, "exactly_once", "1 MiB");
    add(&job, 0..100);
    let mut running = Running::start(&job, 2);
    await_once(&job, &broker, 100);
    broker.pause(1);
    add(&job, 100..200);
    await_held(&job);
    add(&job, 200..12_000);
    running.ends_with(
        3,
        &[
            "has not delivered since 20",
            "expected: at most 524288 bytes that are held, the shard's share of `outbox`; ",
            "now: the job ends; what is held stays, and the rest is read again when it is started again",
            "raise `outbox` where the state has room",
        ],
    );
    assert!(!outbox(&job).is_empty());
    broker.resume(1);
    let running = Running::start(&job, 2);
    await_once(&job, &broker, 12_000);
    running.stop();
    assert_eq!(outbox(&job), [] as [PathBuf; 0]);
    assert_eq!(ids(&broker).len(), 12_000);
}

#[test]
fn at_least_once_holds_too() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let job = job(&broker, "at_least_once", "1 GiB");
    add(&job, 0..100);
    let running = Running::start(&job, 2);
    await_once(&job, &broker, 100);
    broker.kill(1);
    add(&job, 100..200);
    await_held(&job);
    await_commit(&job);
    running.kill();
    assert!(!outbox(&job).is_empty());
    let running = Running::start(&job, 2);
    broker.restart(1);
    job.await_that("messages are missing", DEADLINE, |_| {
        let mut found = ids(&broker);
        found.sort_unstable();
        found.dedup();
        found == (0..200).collect::<Vec<i64>>()
    });
    job.await_that("something is held", DEADLINE, |job| outbox(job).is_empty());
    running.stop();
}
