//! Topics that are deleted and made anew, with as many messages as before: only their ids tell.

use std::fs;

use serde_json::Value;

use super::job::{DEADLINE, Job, Running};
use super::references::{over_topic, region, sell_until};
use super::{at, numbers, sale};
use crate::kafka::broker::Broker;

/// Sends sales with ids from `first` on, ten of them.
fn send(broker: &Broker, topic: &str, first: i64) {
    let ids = first..first + 10;
    broker.send(topic, ids.map(|id| sale(0, id, &at("12:00:00"), "1.00")));
}

fn earliest(text: String) -> String {
    text.replace("topics =", "on_data_loss = \"earliest\", topics =")
}

/// The ids that a message names.
fn ids_in(told: &str) -> Vec<String> {
    let words = told.split([' ', ',', '\n']);
    words
        .filter(|word| word.len() == 22)
        .map(str::to_owned)
        .collect()
}

/// Case O56.
#[test]
fn a_topic_that_was_made_anew_between_lives_is_not_taken_for_the_one_before() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("renewed", 1);
    send(broker, &topic, 0);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[10]);
    running.stop();
    broker.renew(&topic, 1);
    send(broker, &topic, 100);
    let mut running = Running::start_only(&job, 1);
    let owned = format!("sources.sales: topic {topic} is another one than before: its id is ");
    running.ends_with(3, &[&owned, "on_data_loss = \"earliest\"", "another state"]);
    let ids = ids_in(running.told());
    assert!(ids.len() == 2 && ids[0] != ids[1], "{}", running.told());
    assert_eq!(numbers(&job.rows("rows"), "id").len(), 10);
    // As the option says: everything of the new one, and once.
    job.rewrite(earliest);
    let running = Running::start(&job, 1);
    job.await_rows(20);
    let (_, told) = running.stop_and_tell();
    assert_eq!(ids_in(&told).len(), 0, "fields hold them: {told}");
    for id in &ids {
        assert!(told.contains(id.as_str()), "{id}: {told}");
    }
    let running = Running::start(&job, 2);
    send(broker, &topic, 110);
    job.await_positions(&[20]);
    let (_, told) = running.stop_and_tell();
    assert_eq!(told, "", "it is the known one now");
    let wanted: Vec<i64> = (0..10).chain(100..120).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), wanted);
}

#[test]
fn epochs_of_a_topic_that_is_gone_are_not_read_again_from_its_successor() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("renewed-behind", 1);
    send(broker, &topic, 0);
    // Commits come when it is stopped, and never else.
    let job = Job::with(broker, &topic, |text| {
        earliest(text).replace("checkpoint = \"100 ms\"", "checkpoint = \"1 hour\"")
    });
    let await_bound = |wanted: i64| {
        job.find(&"bound", DEADLINE, |said| {
            let is_bound = said["now"]["partitions"][0]["bound"] == wanted;
            (is_bound && said["word"] == "live").then_some(())
        });
    };
    let running = Running::start(&job, 1);
    await_bound(10);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id").len(), 10);
    // Bound, not committed, and gone; what comes then is bound behind it, and not committed either.
    let running = Running::start(&job, 1);
    send(broker, &topic, 10);
    await_bound(20);
    running.kill();
    broker.renew(&topic, 1);
    send(broker, &topic, 100);
    let running = Running::start(&job, 1);
    await_bound(10);
    job.await_metric("caudal_sources_lost_messages_total", 10.0);
    running.kill();
    // A life that finds both in the journal.
    let running = Running::start(&job, 1);
    send(broker, &topic, 110);
    await_bound(20);
    let summary = running.stop();
    assert_eq!(summary["rows"]["in"], 30);
    let wanted: Vec<i64> = (0..10).chain(100..120).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), wanted);
}

#[test]
fn state_without_ids_of_topics_is_gone_on_with_and_gets_them() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("unnamed", 1);
    send(broker, &topic, 0);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[10]);
    running.stop();
    let name = format!("sources.sales topic {topic}");
    let id = |job: &Job| job.history().plan.unwrap().identities.get(&name).cloned();
    let known = id(&job).unwrap();
    for entry in fs::read_dir(job.path("out/_caudal/state/journal")).unwrap() {
        let path = entry.unwrap().path();
        let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if let Some(identities) = record["record"]["plan"]["identities"].as_object_mut() {
            assert!(identities.remove(&name).is_some());
            fs::write(path, record.to_string()).unwrap();
        }
    }
    assert_eq!(id(&job), None);
    let running = Running::start(&job, 1);
    send(broker, &topic, 10);
    job.await_positions(&[20]);
    running.stop();
    assert_eq!(id(&job), Some(known));
    let all: Vec<i64> = (0..20).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), all);
}

#[test]
fn a_topic_that_is_made_anew_while_it_is_read_ends_the_job() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("renewed-running", 1);
    send(broker, &topic, 0);
    let job = Job::new(broker, &topic);
    let mut running = Running::start(&job, 1);
    job.await_positions(&[10]);
    // Else it may see that there is none for a moment, which ends it, too.
    running.signal("-STOP");
    broker.renew(&topic, 1);
    send(broker, &topic, 100);
    running.signal("-CONT");
    running.ends_with(3, &[&topic, "is another one than before"]);
    let rows = numbers(&job.rows("rows"), "id");
    assert_eq!(rows[..10], (0..10).collect::<Vec<_>>());
    // Nor does it go on by itself, but where it is told to: it could not be stopped in good order before.
    Running::start_only(&job, 1).ends_with(3, &["is another one than before"]);
    job.rewrite(earliest);
    let running = Running::start(&job, 1);
    send(broker, &topic, 110);
    job.await_that("sales are missing", DEADLINE, |job| {
        numbers(&job.rows("rows"), "id").last() == Some(&119)
    });
    running.stop();
    let rows = numbers(&job.rows("rows"), "id");
    let wanted: Vec<i64> = (0..10).chain(100..120).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn a_look_ups_topic_that_was_made_anew_is_not_taken_for_its_table() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("renewed-sales", 1);
    let regions = broker.topic("renewed-regions", 1);
    broker.send(&regions, [region("N", "North", 1)]);
    let job = over_topic(broker, &sales, &regions, "json", "");
    let running = Running::start(&job, 1);
    sell_until(broker, &job, &sales, "N", 0, "North");
    running.stop();
    broker.renew(&regions, 1);
    broker.send(&regions, [region("N", "Norte", 1)]);
    let owned = format!("lookups.regions: topic {regions} is another one than before");
    Running::start_only(&job, 1).ends_with(3, &[&owned, "on_data_loss"]);
    let of_regions = format!("topics = [\"{regions}\"]");
    job.rewrite(|text| {
        text.replace(
            &of_regions,
            &format!("on_data_loss = \"earliest\", {of_regions}"),
        )
    });
    let mut running = Running::start(&job, 1);
    sell_until(broker, &job, &sales, "N", 1000, "Norte");
    // While it runs it is read anew, too, and ends the job where that is not wanted.
    broker.renew(&regions, 1);
    broker.send(&regions, [region("N", "Nord", 1)]);
    sell_until(broker, &job, &sales, "N", 2000, "Nord");
    running.stop();
    job.rewrite(|text| text.replace("on_data_loss = \"earliest\", ", ""));
    running = Running::start(&job, 1);
    sell_until(broker, &job, &sales, "N", 3000, "Nord");
    broker.renew(&regions, 1);
    broker.send(&regions, [region("N", "Noord", 1)]);
    running.ends_with(3, &[&owned]);
}
