//! Topics in which not all is as it should be, wherever in them that stands: transactions that were given up, messages that nobody can read,
//! messages that are gone, partitions that come later. Each with several numbers of workers, and a life that is killed.

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, sale, texts};
use crate::kafka::broker::Broker;
use crate::kafka::messages::{Isolation, Sent};
use crate::tables::Cell;

/// Sales of these ids in a partition.
fn sales(partition: i32, ids: std::ops::Range<i64>) -> impl Iterator<Item = Sent> {
    ids.map(move |id| sale(partition, id, &at("12:00:00"), "1.00"))
}

/// How many messages the running job has counted as lost.
fn lost(job: &Job) -> f64 {
    let counted = job.metric("caudal_sources_lost_messages_total");
    counted.iter().sum()
}

/// Case O53: what a transaction that was given up has left is not read, wherever it lies, and the marks that end transactions are no gap.
#[test]
fn given_up_transactions_leave_neither_rows_nor_gaps() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    // Which of four transactions are given up.
    for (given_up, workers) in [
        ([true, false, true, false], [1, 2]),
        ([false, true, true, false], [3, 1]),
        ([false, false, false, true], [2, 3]),
        ([true, true, true, true], [1, 3]),
    ] {
        let topic = broker.topic("given-up", 2);
        let mut wanted = Vec::new();
        let transaction = |number: usize, wanted: &mut Vec<i64>| {
            let first = 10 * i64::try_from(number).unwrap();
            let open = broker.transaction(&format!("{topic}-{number}"));
            open.send(&topic, sales(0, first..first + 3));
            open.send(&topic, sales(1, first + 3..first + 5));
            if given_up[number] {
                open.abort().unwrap();
            } else {
                open.commit().unwrap();
                wanted.extend(first..first + 5);
            }
        };
        transaction(0, &mut wanted);
        transaction(1, &mut wanted);
        let job = Job::new(broker, &topic);
        let running = Running::start(&job, workers[0]);
        job.await_rows(wanted.len());
        running.kill();
        transaction(2, &mut wanted);
        let running = Running::start(&job, workers[1]);
        transaction(3, &mut wanted);
        // One that is no part of a transaction ends both partitions.
        broker.send(&topic, sales(0, 100..101).chain(sales(1, 101..102)));
        wanted.extend([100, 101]);
        job.await_rows(wanted.len());
        assert!(lost(&job) < 0.5, "{given_up:?}");
        let (summary, told) = running.stop_and_tell();
        assert_eq!(numbers(&job.rows("rows"), "id"), wanted, "{given_up:?}");
        assert_eq!(summary["rows"]["in"], wanted.len(), "{given_up:?}");
        assert_eq!(told, "", "{given_up:?}");
        // As an independent reader of committed messages has it.
        assert_eq!(
            broker.read(&topic, Isolation::Committed).len(),
            wanted.len()
        );
    }
}

/// Case O55: what retention took away before it was read stops the job, with the numbers; where the job may go on it does with the first
/// message there is, never with the end, and counts what is gone.
#[test]
fn what_is_gone_is_counted_and_nothing_else_is_passed_over() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (gone_in, workers) in [(0, [1, 3]), (1, [2, 1])] {
        let topic = broker.topic("retention", 2);
        let job = Job::new(broker, &topic);
        let ids = |partition: i32, offsets: std::ops::Range<i64>| {
            let first = 10_000 * i64::from(partition);
            first + offsets.start..first + offsets.end
        };
        let send = |offsets: std::ops::Range<i64>| {
            for partition in 0..2 {
                broker.send(&topic, sales(partition, ids(partition, offsets.clone())));
            }
        };
        send(0..100);
        let running = Running::start(&job, workers[0]);
        job.await_positions(&[100, 100]);
        running.kill();
        send(100..900);
        broker.lose(&topic, gone_in, 400);
        let place = format!("partition {gone_in}");
        let words = [
            &place,
            "300 messages are gone",
            "100",
            "400",
            "on_data_loss",
        ];
        Running::start_only(&job, workers[1]).ends_with(3, &words);
        assert_eq!(job.rows("rows").len(), 200, "nothing was read");
        job.rewrite(|text| text.replace("topics =", "on_data_loss = \"earliest\", topics ="));
        let running = Running::start(&job, workers[1]);
        job.await_positions(&[900, 900]);
        assert!((lost(&job) - 300.0).abs() < 0.5, "{}", lost(&job));
        let (_, told) = running.stop_and_tell();
        assert!(told.contains("lost=300"), "{told}");
        let mut wanted: Vec<i64> = ids(1 - gone_in, 0..900).collect();
        wanted.extend(ids(gone_in, 0..100));
        wanted.extend(ids(gone_in, 400..900));
        wanted.sort_unstable();
        assert_eq!(numbers(&job.rows("rows"), "id"), wanted);
    }
}

/// Case O57: partitions that a topic gets are read from their first message, also those that it got while nothing ran; that a key's messages
/// may lie in two partitions now is told.
#[test]
fn partitions_that_come_later_miss_nothing_whoever_runs_the_job() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for workers in [[1, 4], [3, 2]] {
        let topic = broker.topic("grows", 1);
        // Only what is there at the start is passed over.
        let job = Job::with(broker, &topic, |text| {
            text.replace("topics =", "start = \"latest\", topics =")
        });
        broker.send(&topic, sales(0, 0..5));
        let running = Running::start(&job, workers[0]);
        job.await_epoch();
        broker.send(&topic, sales(0, 5..10));
        job.await_positions(&[10]);
        broker.widen(&topic, 4);
        broker.send(
            &topic,
            (0..4).flat_map(|partition| sales(partition, 10..11)),
        );
        job.await_positions(&[11, 1, 1, 1]);
        let (_, told) = running.stop_and_tell();
        assert_eq!(told.matches("a partition more").count(), 3, "{told}");
        broker.widen(&topic, 6);
        broker.send(
            &topic,
            (0..6).flat_map(|partition| sales(partition, 11..12)),
        );
        let running = Running::start(&job, workers[1]);
        job.await_positions(&[12, 2, 2, 2, 1, 1]);
        let (_, told) = running.stop_and_tell();
        assert_eq!(told.matches("a partition more").count(), 2, "{told}");
        let mut wanted: Vec<i64> = (5..10).collect();
        wanted.extend([10; 4]);
        wanted.extend([11; 6]);
        assert_eq!(numbers(&job.rows("rows"), "id"), wanted);
    }
}

/// Case O60: a message that nobody can read is one refused row with its bytes, wherever it stands; what is before and behind it is read
/// once, and all is read.
#[test]
fn a_poisonous_message_costs_itself_and_no_other() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (poisoned, workers) in [
        (vec![0], [1, 3]),
        (vec![1], [2, 1]),
        (vec![2], [3, 2]),
        (vec![0, 1, 2], [1, 2]),
    ] {
        let topic = broker.topic("poison", 2);
        let message = |partition: i32, offset: i64| {
            let id = 10 * i64::from(partition) + offset;
            if poisoned.contains(&offset) {
                Sent::value(partition, b"\x00\xFF{".to_vec())
            } else {
                sale(partition, id, &at("12:00:00"), "1.00")
            }
        };
        let both = |offset: i64| [message(0, offset), message(1, offset)];
        broker.send(&topic, [0, 1].into_iter().flat_map(both));
        let job = Job::new(broker, &topic);
        let running = Running::start(&job, workers[0]);
        job.await_positions(&[2, 2]);
        running.kill();
        broker.send(&topic, [2, 3].into_iter().flat_map(both));
        let running = Running::start(&job, workers[1]);
        job.await_positions(&[4, 4]);
        // Nothing is left to be read: the broker's ends are where the job is.
        job.await_that("there is a lag", DEADLINE, |job| {
            let ends = job.metric("caudal_sources_end_offset{");
            !ends.is_empty() && ends == job.metric("caudal_sources_bound_offset{")
        });
        running.stop();
        let offsets = (0..4).filter(|offset| !poisoned.contains(offset));
        let mut wanted: Vec<i64> = offsets.flat_map(|offset| [offset, 10 + offset]).collect();
        wanted.sort_unstable();
        assert_eq!(numbers(&job.rows("rows"), "id"), wanted, "{poisoned:?}");
        let refused = job.rows("refused");
        let mut offsets: Vec<i64> = poisoned.iter().flat_map(|offset| [*offset; 2]).collect();
        offsets.sort_unstable();
        assert_eq!(numbers(&refused, "offset"), offsets);
        for row in &refused {
            assert_eq!(row["reason"], Cell::text("invalid_json"), "{row:?}");
            assert_eq!(row["raw"], Cell::text("\\x00\\xFF{"), "{row:?}");
        }
        assert_eq!(texts(&refused, "topic"), vec![topic.clone(); offsets.len()]);
    }
}
