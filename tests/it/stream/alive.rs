//! Silence where a broker stands still: what it does not say is missed of the source, what it does not take of the job, and neither of a segment.

use std::time::{Duration, Instant};

use serde_json::json;

use super::job::{DEADLINE, Job, Running};
use super::topics::{append, following};
use super::{sale, texts};
use crate::kafka::broker::Broker;
use crate::tables::Cell;

/// What was said of the check, as `segment status reason`, in the order of epochs as far as the sinks tell them.
fn said(job: &Job) -> Vec<String> {
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => text.clone(),
        _ => "-".to_owned(),
    };
    let rows = job.verdicts("alive");
    rows.iter()
        .map(|row| {
            ["segment", "status", "reason"]
                .map(|name| text(&row[name]))
                .join(" ")
        })
        .collect()
}

#[test]
fn a_broker_that_stands_still_makes_no_segment_silent() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let topic = broker.topic("stalled", 2);
    let job = Job::with(&broker, &topic, |text| {
        format!(
            "{text}\n[checks.alive]\nfreshness = {{ per = [\"region\"], warn_after = \"8 seconds\" }}\n"
        )
    });
    let running = Running::start(&job, 1);
    job.await_epoch();
    // The sale is new when it is read, however long it took to begin.
    let now = now();
    broker.send(&topic, [sale(0, 1, &now, "1.00")]);
    job.await_positions(&[1, 0]);
    job.await_that("the segment", DEADLINE, |job| said(job).len() == 1);
    broker.pause(1);
    job.await_that("a stalled source", DEADLINE, |job| {
        said(job).contains(&"* warn source_stalled".to_owned())
    });
    assert_eq!(
        texts(&job.verdicts("alive"), "reason"),
        ["appeared", "source_stalled"]
    );
    broker.resume(1);
    job.await_that("a silent segment", Duration::from_secs(30), |job| {
        said(job).len() == 4
    });
    running.stop();
    let mut all = said(&job);
    all.sort();
    let wanted = [
        "* pass back",
        "* warn source_stalled",
        "region=N pass appeared",
        "region=N warn silent",
    ];
    assert_eq!(all, wanted);
}

/// What stands still behind the job is no silence of those who sell: where there is more to read than it takes, it is the job that is slow.
#[test]
fn a_target_that_stands_still_makes_the_job_slow_and_no_segment_silent() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let sink = format!(
        "kafka = {{ brokers = \"{}\", topic = \"slow\", create = {{ partitions = 1 }} }}\njson = {{}}",
        broker.addresses()
    );
    let job = following(&broker, &sink, |text| {
        let room = "in_flight = \"32 KiB\"\nchunk = \"16 KiB\"\nepoch = \"20 ms\"";
        format!(
            "{}\n[checks.alive]\nfreshness = {{ per = [\"region\"], warn_after = \"8 seconds\" }}\n",
            text.replace("epoch = \"20 ms\"", room)
        )
    });
    let running = Running::start(&job, 2);
    let sell = || add_now(&job, 20);
    sell();
    job.await_that("the segment", DEADLINE, |job| said(job).len() == 1);
    broker.pause(1);
    // Nothing is bound any more once as much as may be is on its way, and so nothing is said.
    let since = Instant::now();
    job.await_that("more than is allowed", DEADLINE, |_| {
        sell();
        since.elapsed() > Duration::from_secs(12)
    });
    broker.resume(1);
    let back = "* pass back".to_owned();
    job.await_that("that it was slow, and is not any more", DEADLINE, |job| {
        sell();
        said(job).contains(&back)
    });
    running.stop();
    let mut all = said(&job);
    all.sort();
    let wanted = ["* pass back", "* warn job_slow", "region=N pass appeared"];
    assert_eq!(all, wanted);
}

/// Adds so many sales of now to the file that the job follows.
fn add_now(job: &Job, sales: i64) {
    let now = now();
    let sale = |id| json!({ "id": id, "ts": now, "region": "N", "amount": "1.50" });
    append(job, (0..sales).map(sale));
}

/// The time, as sales write it.
fn now() -> String {
    let now = chrono::DateTime::from_timestamp_micros(caudal::epoch::wall_time()).unwrap();
    now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
