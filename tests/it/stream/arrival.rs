//! When rows come: those of a clock that is fast, and partitions of which none come.

use chrono::{DateTime, SecondsFormat, Utc};

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, sale, texts};
use crate::kafka::broker::Broker;

/// Case O31: a row from the future is refused and moves no watermark, wherever among the others it stands; none of these is late.
#[test]
fn a_fast_clock_makes_no_honest_row_late() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let now: DateTime<Utc> = DateTime::from_timestamp_micros(caudal::epoch::wall_time()).unwrap();
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let honest: Vec<DateTime<Utc>> = (1..=3)
        .map(|minutes| now - chrono::Duration::minutes(5 - minutes))
        .collect();
    for (place, workers) in [(0, 1), (1, 2), (2, 3), (3, 2)] {
        let topic = broker.topic("fast", 1);
        let job = Job::new(broker, &topic);
        let running = Running::start(&job, workers);
        let mut times = honest.clone();
        times.insert(place, now + chrono::Duration::days(1));
        // Each in an epoch of its own, so that it is judged by what those before have moved.
        for (time, id) in times.iter().zip(0..) {
            broker.send(&topic, [sale(0, id, &text(*time), "1.00")]);
            job.await_positions(&[id + 1]);
        }
        running.stop();
        let future = i64::try_from(place).unwrap();
        let ids: Vec<i64> = (0..4).filter(|id| *id != future).collect();
        assert_eq!(numbers(&job.rows("rows"), "id"), ids);
        assert_eq!(texts(&job.rows("refused"), "reason"), ["in_future"]);
        assert_eq!(numbers(&job.rows("refused"), "offset"), [future]);
        let watermark = (honest[2] - chrono::Duration::seconds(10)).timestamp_micros();
        assert_eq!(job.said("watermark"), u64::try_from(watermark).ok());
    }
}

/// Case O32: a partition without a message, or without more, holds windows open until it is idle and no longer; what comes of it then is judged
/// as all else is.
#[test]
fn a_silent_partition_holds_no_window_open_for_ever() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (silent, workers, is_killed) in [(1, [1, 1], false), (0, [3, 2], true), (2, [2, 3], true)] {
        let topic = broker.topic("silent", 3);
        let [one, other] = [(silent + 1) % 3, (silent + 2) % 3];
        let minutes = 0..=10;
        let minute = |minute: i32| at(&format!("12:{minute:02}:00"));
        let rows = minutes.map(|each| sale(one, i64::from(each), &minute(each), "1.00"));
        broker.send(&topic, rows);
        // One that had a message, and has none any more.
        broker.send(&topic, [sale(other, 50, &at("12:00:05"), "1.00")]);
        let job = Job::new(broker, &topic);
        let mut ends = [0; 3];
        let place = |partition: i32| usize::try_from(partition).unwrap();
        (ends[place(one)], ends[place(other)]) = (11, 1);
        let running = Running::start(&job, workers[0]);
        job.await_positions(&ends);
        job.await_epoch();
        job.await_epoch();
        assert!(job.rows("minutes").is_empty(), "the silent one holds all");
        assert_eq!(job.said("watermark"), None);
        if is_killed {
            running.kill();
        } else {
            running.stop();
        }
        // The same rows with a patience that ends.
        let job = Job::with(broker, &topic, |text| {
            text.replace("idle_after = \"10 minutes\"", "idle_after = \"1 s\"")
        });
        let mut running = Running::start(&job, workers[0]);
        // The watermark is 12:09:50 as soon as both others are idle: nine windows end before it.
        job.await_that("windows are open", DEADLINE, |job| {
            job.rows("minutes").len() == 9
        });
        assert_eq!(
            numbers(&job.rows("minutes"), "rows"),
            [1, 1, 1, 1, 1, 1, 1, 1, 2]
        );
        if is_killed {
            running.kill();
            running = Running::start(&job, workers[1]);
        }
        // Its first messages: one for a window that is closed, one for one that is open.
        let late = [
            sale(silent, 100, &at("12:03:00"), "1.00"),
            sale(silent, 101, &at("12:09:30"), "1.00"),
        ];
        broker.send(&topic, late);
        ends[place(silent)] = 2;
        job.await_positions(&ends);
        broker.send(&topic, [sale(one, 60, &at("12:20:00"), "1.00")]);
        job.await_that("windows are open", DEADLINE, |job| {
            job.rows("minutes").len() == 11
        });
        let summary = running.stop();
        assert_eq!(summary["rows"]["in"], 15);
        assert_eq!(texts(&job.rows("refused"), "reason"), ["too_late"]);
        assert_eq!(
            numbers(&job.rows("refused"), "partition"),
            [i64::from(silent)]
        );
        let mut ids: Vec<i64> = (0..=10).chain([50, 60, 101]).collect();
        ids.sort_unstable();
        assert_eq!(numbers(&job.rows("rows"), "id"), ids);
        let counts = [[1; 9].as_slice(), &[2, 2]].concat();
        assert_eq!(numbers(&job.rows("minutes"), "rows"), counts);
    }
}
