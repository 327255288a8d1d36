//! Messages that no broker takes: found before they are sent, kept apart, and told once.

use serde_json::json;

use super::{Job, Running, append, at, following, ids};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Isolation;
use crate::tables::Cell;

/// A job that follows files of sales with notes, and writes its rows to a topic and refused ones to a folder.
fn job(broker: &Broker, number: u32) -> Job {
    let sink = format!(
        "kafka = {{ brokers = \"{}\", topic = \"out-large-{number}\", key = \"region\", id = \"out-{number}\", create = {{ partitions = 1 }} }}\njson = {{}}",
        broker.addresses()
    );
    following(broker, &sink, |text| {
        text.replace("amount = \"dec", "note = \"varchar\"\namount = \"dec")
    })
}

/// Adds sales with notes of so many characters to the file.
fn add(job: &Job, sales: &[(i64, usize)]) {
    let sale = |(id, note): &(i64, usize)| {
        let note = "n".repeat(*note);
        json!({ "id": id, "ts": at("12:00:00"), "region": "N", "amount": "1.00", "note": note })
    };
    append(job, sales.iter().map(sale));
}

/// O58, O59: one of fifty rows is larger than the broker takes: it alone is refused, at once and for good. One that comes alone is, too.
#[test]
fn a_row_that_is_too_large_is_refused_and_keeps_no_other_back() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let job = job(broker, 43);
    let running = Running::start(&job, 2);
    let note = |id| if id == 20 { 2_000_000 } else { 100 };
    let sales: Vec<(i64, usize)> = (0..50).map(|id| (id, note(id))).collect();
    add(&job, &sales);
    // The epoch is committed, and it is in the topic.
    job.await_that("the large one is not refused", super::DEADLINE, |job| {
        job.rows("refused").len() == 1
    });
    let found = || ids(&broker.read("out-large-43", Isolation::Committed), "id");
    let wanted: Vec<i64> = (0..50).filter(|id| *id != 20).collect();
    job.await_that("messages are missing", super::DEADLINE, |_| {
        found().len() >= 49
    });
    assert_eq!(found(), wanted);
    add(&job, &[(50, 2_000_000)]);
    job.await_that("the large one is not refused", super::DEADLINE, |job| {
        job.rows("refused").len() == 2
    });
    // The job is told of it, and goes on.
    let refused: f64 = job
        .metric("caudal_validate_refused_rows_total")
        .iter()
        .sum();
    assert_eq!(refused.to_bits(), 2_f64.to_bits());
    add(&job, &[(51, 100)]);
    job.await_that("messages are missing", super::DEADLINE, |_| {
        found().len() >= 50
    });
    let summary = running.stop();
    assert_eq!(summary["rows"]["refused"], 2);
    for row in job.rows("refused") {
        assert_eq!(row["reason"], Cell::text("too_large"));
        let Cell::Text(raw) = &row["raw"] else {
            panic!("{:?}", row["raw"]);
        };
        assert!(raw.len() > 2_000_000, "the row is kept whole");
    }
}
