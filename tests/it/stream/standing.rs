//! What a continuous job says of where it stands and what holds it, while it runs and when it doesn't.

use std::process::{Command, Stdio};
use std::time::Duration;

use caudal::observe::client;
use serde_json::Value;

use super::job::{DEADLINE, Job, Running};
use super::{at, sale};
use crate::ended;
use crate::kafka::broker::Broker;

/// Waits until something is held by this, and these words are said of it; gives all of them.
fn await_held(job: &Job, by: &str, words: &str) -> String {
    job.find(&("held by", by), DEADLINE, |said| {
        let held = said["now"]["held"].as_array()?;
        let held = held.iter().filter(|held| held["by"] == by);
        let mut said = held.filter_map(|held| held["words"].as_str());
        Some(said.find(|said| said.contains(words))?.to_owned())
    })
}

/// Waits until nothing is held by this any more.
fn await_free(job: &Job, by: &str) {
    job.find(&("not held by", by), DEADLINE, |said| {
        let held = said["now"]["held"].as_array()?;
        held.iter().all(|held| held["by"] != by).then_some(())
    });
}

/// What the process of this index has written of itself.
fn address(job: &Job, process: usize) -> Value {
    let name = match process {
        0 => "out/_caudal/status.json".to_owned(),
        process => format!("out/_caudal/status-{process}.json"),
    };
    serde_json::from_slice(&std::fs::read(job.path(&name)).unwrap()).unwrap()
}

/// All metrics of the process with this address.
fn metrics(address: &Value) -> String {
    let at = address["address"].as_str().unwrap();
    let answer = client::get(at.parse().unwrap(), "/metrics", None);
    answer.unwrap().body
}

/// Who asks a job to end is told that all is committed by its journal, and not by its silence.
#[test]
fn a_job_that_dies_of_its_end_is_not_said_to_have_committed_all() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("dies-of-its-end", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::new(broker, &topic);
    let marks = tempfile::tempdir().unwrap();
    let dying = Running::start_armed(&job, "write down the end:1", marks.path());
    job.await_positions(&[1]);
    let stop = job.caudal("stop").output().unwrap();
    let told = String::from_utf8_lossy(&stop.stderr);
    assert_eq!(stop.status.code(), Some(3), "{told}");
    assert!(
        told.contains("its journal does not say that all is committed"),
        "{told}"
    );
    dying.kill();
    Running::start(&job, 1).stop();
}

#[test]
fn lag_watermark_and_what_holds_it_are_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("standing", 2);
    broker.send(
        &topic,
        (0..7).map(|id| sale(0, id, &at("12:00:00"), "1.00")),
    );
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[7, 0]);
    let words = await_held(&job, "watermark", "no event");
    assert!(
        words.starts_with(&format!(
            "partition {topic}/1 has given no event: the watermark waits, since 20"
        )),
        "{words}"
    );
    let said = job.find(&"ends", DEADLINE, |said| {
        let ends = |one: &Value| one["end"].is_i64();
        let partitions = said["now"]["partitions"].as_array()?;
        partitions.iter().all(ends).then(|| said.clone())
    });
    let now = &said["now"];
    assert_eq!(said["word"], "live");
    assert_eq!(now["watermark"], Value::Null);
    assert_eq!(now["partitions"][0]["bound"], 7);
    assert_eq!(now["partitions"][0]["end"], 7);
    assert_eq!(now["partitions"][0]["lag"], 0);
    assert_eq!(now["partitions"][0]["newest"], 1_773_489_600_000_000_i64);
    assert!(now["partitions"][0]["age_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(now["partitions"][1]["newest"], Value::Null);
    assert_eq!(now["watermark_held_by"]["partition"], 1);
    let metrics = metrics(&address(&job, 0));
    for metric in [
        format!(
            "caudal_sources_bound_offset{{partition=\"0\",process=\"0\",source=\"sales\",topic=\"{topic}\"}} 7\n"
        ),
        format!(
            "caudal_sources_end_offset{{partition=\"1\",process=\"0\",source=\"sales\",topic=\"{topic}\"}} 0\n"
        ),
        format!(
            "caudal_sources_newest_event_timestamp_seconds{{partition=\"0\",process=\"0\",source=\"sales\",topic=\"{topic}\"}} 1773489600\n"
        ),
        "caudal_epoch_held_seconds{by=\"journal\",process=\"0\"} 0\n".to_owned(),
        "caudal_epoch_replay_left_epochs{process=\"0\"} 0\n".to_owned(),
    ] {
        assert!(metrics.contains(&metric), "{metric} is not in:\n{metrics}");
    }
    let status = job.caudal("status").output().unwrap();
    let told = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success(), "{told}");
    for piece in [
        "generation 1, live, ",
        "  committed   ",
        &format!("{topic}/0 is bound up to 7 of 7, 0 left; newest event 2026-03-14T12:00:00Z, "),
        &format!("{topic}/1 is bound up to 0 of 0, 0 left; no event yet"),
        "  held        for ",
    ] {
        assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
    }
    broker.send(&topic, [sale(1, 9, &at("12:00:30"), "1.00")]);
    job.await_positions(&[7, 1]);
    job.find(&"the watermark", DEADLINE, |said| {
        // 11:59:50, by the partition that is further back.
        (said["now"]["watermark"] == 1_773_489_590_000_000_i64).then_some(())
    });
    running.stop();
    // And when it doesn't run: from the journal.
    let status = job.caudal("status").output().unwrap();
    let told = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.status.code(), Some(3), "{told}");
    for piece in [
        "generation 1, stopped in good order\n",
        "  watermark   2026-03-14T11:59:50Z\n",
        &format!("{topic}/0 is bound up to 7; newest event 2026-03-14T12:00:00Z, "),
        "  rows in     8 up to the checkpoint\n",
    ] {
        assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
    }
    let words = String::from_utf8(status.stderr).unwrap();
    assert!(
        words.starts_with("sales: no life of it answers: "),
        "{words}"
    );
}

#[test]
fn a_worker_that_does_not_answer_is_named() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("silent-worker", 2);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::with(broker, &topic, |text| {
        text.replace("join_timeout", "peer_timeout = \"50 s\"\njoin_timeout")
    });
    let mut launch = job
        .caudal("launch")
        .args(["-n", "2", "-w", "2", "--quiet"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    job.await_positions(&[1, 0]);
    let second = address(&job, 1)["pid"].to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &second]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    let words = await_held(&job, "worker", "of process 1");
    signal("-CONT");
    let named = words.split_once(" of process 1 has not answered epoch ");
    let (who, rest) = named.unwrap_or_else(|| panic!("{words}"));
    assert!(["worker 0", "worker 1"].contains(&who), "{words}");
    assert!(rest.contains(", since 20"), "{words}");
    await_free(&job, "worker");
    assert!(job.caudal("stop").status().unwrap().success());
    assert!(ended::status(&mut launch).success());
}

/// Brokers of `job` were killed: that they are away is told until they are back.
pub(super) fn broker_is_away(job: &Job) {
    let words = await_held(job, "broker", "");
    assert!(
        words.starts_with("the brokers of sources.sales do not answer ("),
        "{words}"
    );
}

/// They are back.
pub(super) fn broker_is_back(job: &Job) {
    await_free(job, "broker");
    job.find(&"live", Duration::from_secs(30), |said| {
        (said["word"] == "live").then_some(())
    });
}
