//! `caudal verify`: what a job has committed is held against what is there, epoch by epoch, and what differs is named with its epoch.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::super::job::{Job, Running};
use super::{epoch, output, sale};
use crate::kafka::broker::Broker;
use crate::kafka::messages::{Isolation, Sent};
use crate::tables::visible_files;

/// A job with files and a topic of its rows.
fn job(broker: &Broker, topic: &str, out: &str) -> Job {
    let brokers = broker.addresses();
    Job::with(broker, topic, |text| {
        format!(
            "{text}[sinks.published]\njson = {{}}\nkafka = {{ brokers = \"{brokers}\", topic = \"{out}\", id = \"{out}\", key = \"region\", \
             create = {{ partitions = 3 }} }}\n"
        )
    })
}

/// What is said of a target.
fn target<'a>(said: &'a Value, name: &str) -> &'a Value {
    let mut targets = said["targets"].as_array().unwrap().iter();
    let target = targets.find(|target| target["name"] == name);
    target.unwrap_or_else(|| panic!("{name} is not in {said}"))
}

fn differences(said: &Value, name: &str) -> Vec<String> {
    let differences = target(said, name)["differences"].as_array().unwrap();
    let each = differences.iter();
    each.map(|words| words.as_str().unwrap().to_owned())
        .collect()
}

/// A job that has run in three lives, two of which were killed, with other numbers of workers each.
fn with_three_lives(broker: &Broker, topic: &str, job: &Job) -> i64 {
    let mut sent = 0;
    for (life, workers) in [2, 1, 3].into_iter().enumerate() {
        let running = Running::start(job, workers);
        for _ in 0..3 {
            broker.send(topic, (sent..sent + 100).map(sale));
            sent += 100;
            job.await_positions(&[sent / 2, sent / 2]);
        }
        if life < 2 {
            running.kill();
        } else {
            running.stop();
        }
    }
    sent
}

#[test]
fn every_epoch_of_a_topic_and_every_commit_of_files_is_held_against_what_was_written_down() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (topic, out) = (broker.topic("verified", 2), "out-verified");
    let job = job(broker, &topic, out);
    let sent = with_three_lives(broker, &topic, &job);
    let clean = u64::try_from(sent - sent / 10).unwrap();
    let verify = |code| output(job.caudal("verify").args(["--epochs", "--json"]), code);
    let said = verify(0);
    assert_eq!(said["is_good"], true, "{said}");
    // Of the topic each epoch by itself, as an independent reader counts it by the headers.
    let read = broker.read(out, Isolation::Committed);
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    for message in &read {
        *wanted.entry(epoch(message)).or_default() += 1;
    }
    assert_eq!(wanted.values().sum::<u64>(), clean);
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap();
    let lines = |name: &str| target(&said, name)["epochs"].as_array().unwrap().clone();
    let mut found = BTreeMap::new();
    for of in lines("published") {
        assert_eq!(of["first"], of["last"], "{of}");
        found.insert(number(&of, "first"), number(&of, "found"));
    }
    assert_eq!(found, wanted);
    let good = target(&said, "published")["good"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        good.contains(&format!(" of {} epochs in ", wanted.len())),
        "{good}"
    );
    // Files of the same rows: those of the epochs of a commit, and how many each of them had.
    let mut parts: BTreeMap<u64, u64> = BTreeMap::new();
    let mut before = 0;
    for of in lines("rows") {
        let (first, last) = (number(&of, "first"), number(&of, "last"));
        assert!(before < first && first <= last, "{of}");
        before = last;
        let of_epochs = of["rows"].as_array().unwrap();
        let rows: u64 = of_epochs.iter().map(|part| part[2].as_u64().unwrap()).sum();
        assert_eq!(rows, number(&of, "found"), "{of}");
        for part in of_epochs {
            let epoch = part[0].as_u64().unwrap();
            assert!(
                part[0] == part[1] && first <= epoch && epoch <= last,
                "{of}"
            );
            parts.insert(epoch, part[2].as_u64().unwrap());
        }
    }
    assert_eq!(parts, wanted, "both have the rows of each epoch");
    assert_eq!(differences(&said, "journal"), [] as [String; 0]);

    // One message more in an epoch that has some, and one in an epoch that has none.
    let (some, messages) = wanted.first_key_value().unwrap();
    let none = (1..u64::MAX)
        .find(|epoch| !wanted.contains_key(epoch))
        .unwrap();
    for epoch in [*some, none] {
        let stranger = Sent {
            headers: vec![(
                "caudal-epoch".to_owned(),
                Some(epoch.to_string().into_bytes()),
            )],
            ..Sent::value(1, "{}")
        };
        broker.send(out, [stranger]);
    }
    let said = verify(1);
    let mut wrong = vec![
        format!("epoch {none}: 1 message, sent were none"),
        format!(
            "epoch {some}: {} messages, sent were {messages}",
            messages + 1
        ),
    ];
    wrong.sort();
    let mut told = differences(&said, "published");
    told.sort();
    assert_eq!(told, wrong);
    assert_eq!(differences(&said, "rows"), [] as [String; 0]);

    // A byte of a file, which its size does not show, and a file that is gone.
    let files = visible_files(&job.path("out/rows"));
    assert!(files.len() > 2, "{files:?}");
    // The first one has no rows, and shows the columns alone.
    let mut bytes = fs::read(&files[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    fs::remove_file(&files[2]).unwrap();
    let told = differences(&verify(1), "rows");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|words| words.starts_with("epoch")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|words| words.contains("it has other bytes than were committed"))
    );
    assert!(told.iter().any(|words| words.ends_with("it is not there")));
    let output = job.caudal("verify").arg("--epochs").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    for words in [
        "DIFFERS: epoch",
        "of which epoch ",
        " messages, checksum ",
        ", DIFFERS",
    ] {
        assert!(told.contains(words), "{words:?}: {told}");
    }
}

#[test]
fn a_state_that_is_older_than_what_is_visible_is_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (topic, out) = (broker.topic("older", 2), "out-older");
    let job = job(broker, &topic, out);
    let running = Running::start(&job, 2);
    broker.send(&topic, (0..100).map(sale));
    job.await_positions(&[50, 50]);
    running.stop();
    let (state, copy) = (job.path("out/_caudal/state"), job.path("copy"));
    let copied = Command::new("cp").arg("-a").args([&state, &copy]).status();
    assert!(copied.unwrap().success());
    let running = Running::start(&job, 1);
    broker.send(&topic, (100..200).map(sale));
    job.await_positions(&[100, 100]);
    running.stop();
    assert_eq!(
        output(job.caudal("verify").arg("--json"), 0)["is_good"],
        true
    );
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&copy, &state).unwrap();
    let said = output(job.caudal("verify").arg("--json"), 1);
    let told = differences(&said, "journal");
    assert_eq!(told.len(), 1, "{said}");
    assert!(
        told[0].ends_with("the state is older than the outputs"),
        "{said}"
    );
    fs::remove_dir_all(&state).unwrap();
    let said = output(job.caudal("verify").arg("--json"), 1);
    let told = differences(&said, "journal");
    assert!(told[0].contains("it knows of no checkpoint"), "{said}");
}
