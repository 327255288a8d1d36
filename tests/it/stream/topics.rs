//! Topics that a job writes: each message once, in the order of its key, whatever becomes of the job's processes.

mod atomic;
pub(crate) mod held;
mod large;
mod lives;
mod moved;
mod verified;
mod world;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use serde_json::Value;

use super::at;
use super::job::{DEADLINE, Job, Running};
use crate::kafka::broker::Broker;
use crate::kafka::messages::{Isolation, Read, Sent};

/// Topics in place of the files of the plain job; names end with `NUMBER`.
fn to_topics(text: &str, broker: &Broker, number: u32) -> String {
    let mut text = text.to_owned();
    for (sink, more) in [
        ("rows", ", key = \"region\""),
        ("refused", ""),
        ("minutes", ", key = \"region\""),
        ("verdicts", ""),
    ] {
        let files = format!("files = {{ path = \"{sink}\" }}\nparquet = {{}}");
        let kafka = format!(
            "kafka = {{ brokers = \"{}\", topic = \"out-{sink}-{number}\", id = \"out-{number}\", create = {{ partitions = 3 }}{more} }}\njson = {{}}",
            broker.addresses()
        );
        assert!(text.contains(&files));
        text = text.replace(&files, &kafka);
    }
    text
}

/// A job that follows the files of a folder, with a sink of this text in the place of the files of its rows, and changed by `also`.
pub(super) fn following(broker: &Broker, sink: &str, also: impl Fn(String) -> String) -> Job {
    let job = Job::with(broker, "none", |text| {
        let source = format!(
            "kafka = {{ brokers = \"{}\", topics = [\"none\"] }}",
            broker.addresses()
        );
        let files = "files = { path = \"rows\" }\nparquet = {}";
        assert!(text.contains(&source) && text.contains(files));
        let text = text.replace(
            &source,
            "files = { paths = [\"in/*.json\"], follow = true }",
        );
        also(text).replace(files, sink)
    });
    std::fs::create_dir(job.file("in")).unwrap();
    job
}

/// Adds sales to the file that a job of [`following`] reads.
pub(super) fn append(job: &Job, sales: impl Iterator<Item = Value>) {
    let lines: String = sales.map(|sale| format!("{sale}\n")).collect();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(job.file("in/a.json"));
    file.unwrap().write_all(lines.as_bytes()).unwrap();
}

/// A sale of a region, or where `id` is divisible by ten a message that is refused.
fn sale(id: i64) -> Sent {
    let region = ["N", "S", "E", "W", "C"][usize::try_from(id).unwrap() % 5];
    let amount = if id % 10 == 0 { "x" } else { "1.50" };
    let value = serde_json::json!({
        "id": id, "ts": at(&format!("{:02}:{:02}:00", 10 + id / 6000, id / 100 % 60)), "region": region, "amount": amount
    });
    Sent::value(i32::try_from(id % 2).unwrap(), value.to_string())
}

fn json(read: &Read) -> Value {
    serde_json::from_slice(read.sent.value.as_deref().unwrap()).unwrap()
}

/// The value of a message's header.
fn header(read: &Read, name: &str) -> Option<String> {
    let mut headers = read.sent.headers.iter();
    let (_, value) = headers.find(|(found, _)| found == name)?;
    Some(String::from_utf8(value.clone()?).unwrap())
}

/// The epoch of a message.
fn epoch(read: &Read) -> u64 {
    header(read, "caudal-epoch").unwrap().parse().unwrap()
}

/// The ids in the messages of a topic, in their order.
fn ids(read: &[Read], name: &str) -> Vec<i64> {
    let ids = read.iter().map(json).map(|value| match &value[name] {
        Value::String(text) => text.parse().unwrap(),
        number => number.as_i64().unwrap(),
    });
    ids.collect()
}

/// What a command prints, a line of JSON, with this exit code.
fn output(command: &mut Command, code: i32) -> Value {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each of the first `upto` rows once, those of each region in the order of their partition.
fn check_rows(rows: &[Read], upto: i64) {
    let mut found = ids(rows, "id");
    found.sort_unstable();
    let wanted: Vec<i64> = (0..upto).filter(|id| id % 10 != 0).collect();
    assert_eq!(found, wanted);
    let mut of_key: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for row in rows {
        let value = json(row);
        let (region, id) = (
            value["region"].as_str().unwrap(),
            value["id"].as_i64().unwrap(),
        );
        assert_eq!(row.sent.key.as_deref(), Some(region.as_bytes()));
        of_key
            .entry((region.to_owned(), id % 2))
            .or_default()
            .push(id);
    }
    for ((region, partition), ids) in of_key {
        assert!(ids.is_sorted(), "{region} of {partition}: {ids:?}");
    }
}

#[test]
fn rows_refused_ones_windows_and_verdicts_are_messages() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("to-topics", 2);
    broker.send(&topic, (0..1000).map(sale));
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 1));
    let running = Running::start(&job, 2);
    job.await_positions(&[500, 500]);
    let rows = broker.read("out-rows-1", Isolation::Committed);
    check_rows(&rows, 1000);
    let summary = running.stop();
    assert_eq!(summary["rows"]["clean"], 900);

    // Where a message comes from, and in which epoch.
    let of_seven = rows.iter().find(|row| json(row)["id"] == 7).unwrap();
    let from = header(of_seven, "caudal-source").unwrap();
    assert_eq!(from, format!("{topic}/1 3"));
    assert!(epoch(of_seven) > 0);

    let refused = broker.read("out-refused-1", Isolation::Committed);
    assert_eq!(refused.len(), 100);
    assert!(
        refused
            .iter()
            .all(|row| json(row)["reason"] == "bad_decimal")
    );
    let minutes = broker.read("out-minutes-1", Isolation::Committed);
    let counted: i64 = minutes
        .iter()
        .map(|row| json(row)["rows"].as_i64().unwrap())
        .sum();
    assert!(
        counted > 0 && counted < 900,
        "the last windows are open: {counted}"
    );

    // Progress counts all messages, and commits say what of them is there.
    let said = output(job.caudal("epochs").args(["--sink", "rows", "--json"]), 0);
    let shards = said["shards"].as_array().unwrap();
    let sent: u64 = shards
        .iter()
        .filter_map(|shard| shard["messages"].as_u64())
        .sum();
    let verdicts = broker.read("out-verdicts-1", Isolation::Committed);
    let all = rows.len() + refused.len() + minutes.len() + verdicts.len();
    assert_eq!(sent, u64::try_from(all).unwrap());
    let said = output(job.caudal("verify").arg("--json"), 0);
    assert_eq!(said["is_good"], true, "{said}");
    let mut twice = of_seven.sent.clone();
    twice.timestamp = None;
    broker.send("out-rows-1", [twice]);
    let said = output(job.caudal("verify").arg("--json"), 1);
    let of_rows = &said["targets"][0];
    assert_eq!(of_rows["name"], "rows");
    let differences = of_rows["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{said}");
    assert!(
        differences[0].as_str().unwrap().contains(", sent were "),
        "{said}"
    );
    assert!(
        said["targets"].as_array().unwrap()[1..]
            .iter()
            .all(|of| of["differences"] == serde_json::json!([]))
    );
}

#[test]
fn a_job_that_falls_back_behind_what_it_has_sent_sends_nothing_twice() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("fallen-to-topics", 2);
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 3));
    let mut sent = 0;
    let mut more = |job: &Job| {
        broker.send(&topic, (sent..sent + 100).map(sale));
        sent += 100;
        job.await_positions(&[sent / 2, sent / 2]);
        sent
    };
    let running = Running::start(&job, 2);
    for _ in 0..4 {
        more(&job);
    }
    running.kill();
    // What the newest says is in the topics, and in commits that count it.
    let newest = job.history().checkpoints[0].clone();
    assert!(!newest.is_alone && !newest.state.is_empty(), "{newest:?}");
    for file in &newest.state {
        job.break_state(&file.path);
    }
    let running = Running::start(&job, 2);
    let upto = more(&job);
    let (summary, told) = running.stop_and_tell();
    assert!(told.contains("a checkpoint can't be used"), "{told}");
    assert_eq!(summary["rows"]["in"], upto);
    check_rows(&broker.read("out-rows-3", Isolation::Committed), upto);
    let said = output(job.caudal("verify").arg("--json"), 0);
    assert_eq!(said["is_good"], true, "{said}");
}

#[test]
fn a_job_that_is_killed_sends_each_message_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("killed-to-topics", 2);
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 2));
    let mut sent = 0;
    for workers in [2, 1, 3, 2] {
        let running = Running::start(&job, workers);
        for _ in 0..4 {
            broker.send(&topic, (sent..sent + 500).map(sale));
            sent += 500;
            job.await_epoch();
        }
        running.kill();
    }
    let running = Running::start(&job, 2);
    job.await_positions(&[sent / 2, sent / 2]);
    running.stop();
    check_rows(&broker.read("out-rows-2", Isolation::Committed), sent);
    let refused = broker.read("out-refused-2", Isolation::Committed);
    let mut offsets: Vec<(i64, i64)> = refused
        .iter()
        .map(|row| {
            let value = json(row);
            (
                value["partition"].as_i64().unwrap(),
                value["offset"].as_i64().unwrap(),
            )
        })
        .collect();
    let all = offsets.len();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(
        (offsets.len(), all),
        (usize::try_from(sent / 10).unwrap(), all)
    );
}
