//! What is seen at once and what is not: a transaction of a shard is whole, an epoch of several shards need not be, and targets are
//! each as far as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use caudal::fault;

use super::{DEADLINE, Job, Running, check_rows, epoch, sale, to_topics};
use crate::ended;
use crate::kafka::broker::Broker;
use crate::kafka::messages::Isolation;

/// Where a message lies: topic, partition and offset.
type Place = (String, i32, i64);

/// Messages of all topics of a job, by epoch and key.
type Seen = BTreeMap<(u64, Vec<u8>), BTreeSet<Place>>;

/// The messages that can be seen. Whoever had its shards is fenced before, and what it had open or
/// was about to commit is over.
fn seen(broker: &Broker, number: u32, shards: u32) -> Seen {
    for shard in 0..shards {
        let transaction = broker.transaction(&format!("out-{number}-{shard}"));
        transaction.abort().unwrap();
    }
    let mut seen = Seen::new();
    for sink in ["rows", "refused", "minutes", "verdicts"] {
        let topic = format!("out-{sink}-{number}");
        for read in broker.read(&topic, Isolation::Committed) {
            let key = read.sent.key.clone().unwrap_or_default();
            let place = (topic.clone(), read.sent.partition, read.offset);
            seen.entry((epoch(&read), key)).or_default().insert(place);
        }
    }
    seen
}

/// Runs a job with so many shards whose process ends at points of transactions, each in the middle of what it writes; gives what was
/// seen after each end, and in the end.
fn torn(number: u32, shards: u32) -> Option<(Vec<Seen>, Seen)> {
    let broker = Broker::shared()?;
    let topic = broker.topic("torn", 2);
    let job = Job::with(broker, &topic, |text| {
        let with = format!("shards = {shards}, create =");
        to_topics(&text, broker, number).replace("create =", &with)
    });
    let mut sent = 0;
    let mut after = Vec::new();
    for point in [
        "go on behind a transaction:1",
        "commit a transaction:2",
        "send progress:3",
        "go on behind a transaction:2",
    ] {
        let mut run = job.caudal("run");
        run.args(["-w", "2", "--quiet"]).env(fault::AT, point);
        let mut child = run
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It comes to the point while there is something to write.
        while child.try_wait().unwrap().is_none() {
            broker.send(&topic, (sent..sent + 20).map(sale));
            sent += 20;
        }
        let status = ended::status(&mut child);
        assert_eq!(status.signal(), Some(9), "{point}: {status}");
        after.push(seen(broker, number, shards));
    }
    let running = Running::start(&job, 2);
    job.await_positions(&[sent / 2, sent / 2]);
    running.stop();
    let rows = broker.read(&format!("out-rows-{number}"), Isolation::Committed);
    check_rows(&rows, sent);
    Some((after, seen(broker, number, shards)))
}

/// Epochs of which something was seen, and not all.
fn partial(seen: &Seen, all: &Seen) -> Vec<u64> {
    let epochs: BTreeSet<u64> = seen.keys().map(|(epoch, _)| *epoch).collect();
    let of = |messages: &Seen, epoch: u64| {
        let of_epoch = messages.iter().filter(|((of, _), _)| *of == epoch);
        let places = of_epoch.flat_map(|(_, places)| places.iter().cloned());
        places.collect::<BTreeSet<_>>()
    };
    let is_partial = |epoch: &u64| of(seen, *epoch) != of(all, *epoch);
    epochs.into_iter().filter(is_partial).collect()
}

#[test]
fn an_epoch_of_one_shard_is_seen_whole_in_all_topics() {
    let Some((after, all)) = torn(20, 1) else {
        return;
    };
    assert!(after.iter().any(|seen| !seen.is_empty()));
    for seen in &after {
        assert_eq!(partial(seen, &all), Vec::<u64>::new());
    }
}

#[test]
fn an_epoch_of_several_shards_is_seen_whole_by_key() {
    let Some((after, all)) = torn(21, 4) else {
        return;
    };
    for seen in &after {
        // Not a promise, so that it is not asserted: one shard's part may be there before another's.
        println!("epochs that are there in part: {:?}", partial(seen, &all));
        // Those without a key are of any shard.
        for (of, places) in seen.iter().filter(|((_, key), _)| !key.is_empty()) {
            assert_eq!(Some(places), all.get(of), "{of:?}");
        }
    }
}

#[test]
fn targets_are_each_as_far_as_they_are() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("frontiers", 2);
    // Files come with checkpoints, and none is due; topics have an epoch as soon as it is bound.
    let job = Job::with(broker, &topic, |text| {
        let text = text.replace("checkpoint = \"100 ms\"", "checkpoint = \"10 minutes\"");
        let files = "[sinks.files]\nfrom = \"rows\"\nfiles = { path = \"files\" }\nparquet = {}\n";
        to_topics(&text, broker, 22) + files
    });
    let running = Running::start(&job, 2);
    broker.send(&topic, (0..500).map(sale));
    job.await_that("messages are missing", DEADLINE, |_| {
        broker.read("out-rows-22", Isolation::Committed).len() == 450
    });
    assert_eq!(job.rows("files").len(), 0);
    // Another target is as far when the job has committed.
    running.stop();
    assert_eq!(job.rows("files").len(), 450);
    check_rows(&broker.read("out-rows-22", Isolation::Committed), 500);
}
