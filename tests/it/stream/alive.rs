//! Silence on topics: what a broker does not say is missed of the source, and of no segment.

use std::time::Duration;

use super::job::{DEADLINE, Job, Running};
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
    let now = chrono::DateTime::from_timestamp_micros(caudal::epoch::wall_time()).unwrap();
    let now = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
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
