//! A continuous job whose file is changed between two lives: its state goes on, or it is said why not.

use std::fs;
use std::process::Stdio;

use super::job::{Job, Running};
use super::{at, numbers, sale, texts};
use crate::ended;
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;
use crate::tables::Cell;

const MORE: &str = r#"
# What was missing.
[rules.cheap]
expect = "amount < 100"
[derive]
half = "div_round(amount, 2, 2, 'half_even')"
[windows.hour]
per = ["region"]
length = "1 hour"
[windows.hour.statistics]
rows = "count(*)"
halves = "sum(half)"
[checks.shop_known]
window = "minute"
completeness = { column = "shop" }
value = "shops"
[checks.usual]
window = "minute"
variance = { of = "rows", against = { previous = 3 } }
value = "z"
[checks.alive]
freshness = { per = ["region"] }
[sinks.hours]
from = "windows.hour"
files = { path = "hours" }
parquet = {}
"#;

/// The job with all that may be added to it.
fn more(text: String) -> String {
    let text = text.replace("amount = \"", "shop = \"varchar\"\namount = \"");
    text.replace("checkpoint = \"100 ms\"", "checkpoint = \"200 ms\"") + MORE
}

fn shop_sale(id: i64, ts: &str, amount: &str) -> Sent {
    let value =
        serde_json::json!({ "id": id, "ts": at(ts), "region": "N", "amount": amount, "shop": "a" });
    Sent::value(0, value.to_string())
}

#[test]
fn what_is_added_begins_empty_and_all_other_state_goes_on() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("changed", 1);
    broker.send(
        &topic,
        (0..3).map(|id| sale(0, id, &at("12:00:10"), "1.00")),
    );
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[3]);
    running.stop();
    job.rewrite(more);
    // In another shape, too.
    let mut launch = job
        .caudal("launch")
        .args(["-n", "2", "-w", "2", "--quiet"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    broker.send(
        &topic,
        [
            shop_sale(3, "12:00:40", "3.00"),
            shop_sale(4, "12:01:10", "5.00"),
            shop_sale(5, "12:01:20", "500.00"),
            sale(0, 6, &at("13:30:00"), "1.00"),
        ],
    );
    job.await_positions(&[7]);
    assert!(job.caudal("stop").status().unwrap().success());
    assert!(ended::status(&mut launch).success());
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2, 3, 4, 6]);
    assert_eq!(texts(&job.rows("refused"), "reason"), ["cheap"]);
    // The window that was open holds the rows of both lives, and is not judged by the check that saw only the second.
    let minutes = job.rows("minutes");
    let minute = |rows: i128| minutes.iter().find(|row| row["rows"] == Cell::Whole(rows));
    assert_eq!(minutes.len(), 2);
    assert_eq!(minute(4).unwrap()["shops"], Cell::Null);
    assert_eq!(minute(1).unwrap()["shops"], Cell::Real(1.0));
    let verdicts = job.rows("verdicts");
    let of = |check: &str| {
        let check = Cell::text(check);
        verdicts.iter().filter(|row| row["check"] == check).count()
    };
    assert_eq!([of("shop_known"), of("usual"), of("alive")], [1, 2, 1]);
    // A window that was added has what came since.
    let hours = job.rows("hours");
    assert_eq!(numbers(&hours, "rows"), [2]);
    // And with nothing but one word less it is another job.
    let text = fs::read_to_string(job.path("job.toml")).unwrap();
    job.rewrite(|text| text.replace("shop = \"varchar\"\n", ""));
    let mut refused = Running::start_only(&job, 1);
    refused.ends_with(2, &["shop"]);
    job.rewrite(|_| text.clone());
    let running = Running::start(&job, 1);
    running.stop();
}

#[test]
fn a_job_that_was_killed_is_to_be_run_as_it_was_first() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("changed-early", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:10"), "1.00")]);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    drop(running);
    let text = fs::read_to_string(job.path("job.toml")).unwrap();
    job.rewrite(more);
    let words = [
        "rules.cheap = { expect = \"amount < 100\" } was added",
        "are to be read again as they were read before",
        "run it once as it was, stop it",
    ];
    Running::start_only(&job, 1).ends_with(2, &words);
    job.rewrite(|_| text.clone());
    Running::start(&job, 1).stop();
    job.rewrite(more);
    broker.send(&topic, [shop_sale(2, "12:00:40", "3.00")]);
    let running = Running::start(&job, 2);
    job.await_positions(&[2]);
    // Killed under the new text, it goes on under it, and not under the old one.
    drop(running);
    let running = Running::start(&job, 1);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [1, 2]);
    job.rewrite(|_| text.clone());
    Running::start_only(&job, 1).ends_with(2, &["rules.cheap", "was taken away"]);
}

#[test]
fn another_cluster_is_another_job() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("changed-cluster", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:10"), "1.00")]);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    running.stop();
    // As if the state had been made with brokers of another id.
    let journal = fs::read_dir(job.path("out/_caudal/state/journal")).unwrap();
    let mut changed = 0;
    for entry in journal {
        let path = entry.unwrap().path();
        let record = fs::read_to_string(&path).unwrap();
        let other = record.replace(
            "\"identities\":{\"sources.sales\":\"",
            "\"identities\":{\"sources.sales\":\"x",
        );
        changed += usize::from(other != record);
        fs::write(path, other).unwrap();
    }
    assert!(changed > 0);
    Running::start_only(&job, 1).ends_with(2, &["belong to cluster", "state is of cluster x"]);
}
