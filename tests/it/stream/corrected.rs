//! Windows that late rows correct, in lives that are killed: what stands at the end is one final verdict for each.

use std::collections::BTreeMap;

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, sale, texts};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;
use crate::tables::{Cell, Row};

const WINDOWS: &str = r#"
length = "1 minute"
correct_within = "10 minutes"
corrections = "changes"
[windows.quick]
per = ["region"]
length = "1 minute"
[windows.quick.statistics]
rows = "count(*)"
[checks.usual]
window = "minute"
variance = { of = "rows", against = { previous = 3 }, min_history = 2, fail_beyond = 10.0 }
[sinks.quick]
from = "windows.quick"
files = { path = "quick" }
parquet = {}
"#;

/// Sales at this time.
fn sales(next: &mut i64, time: &str, rows: i64) -> Vec<Sent> {
    let first = *next;
    *next += rows;
    let each = first..*next;
    each.map(|id| sale(0, id, &at(time), "1.00")).collect()
}

/// What was said and not taken back: by window, in minutes after noon, what the columns say, and whether it is final.
fn standing(rows: &[Row], columns: &[&str]) -> BTreeMap<i64, (Vec<Cell>, bool)> {
    type Said = (i64, Vec<Cell>, bool);
    let mut counts: Vec<(Said, i128)> = Vec::new();
    for row in rows {
        let (Cell::Whole(start), Cell::Bool(is_final), Cell::Whole(sign)) =
            (&row["window_start"], &row["final"], &row["sign"])
        else {
            panic!("{row:?}");
        };
        let minute = i64::try_from(start / 60_000_000).unwrap() - NOON;
        let said = columns.iter().map(|column| row[*column].clone());
        let said = (minute, said.collect::<Vec<_>>(), *is_final);
        match counts.iter_mut().find(|(known, _)| *known == said) {
            Some((_, count)) => *count += sign,
            None => counts.push((said, *sign)),
        }
    }
    let mut standing = BTreeMap::new();
    for ((minute, said, is_final), count) in counts {
        if count != 0 {
            assert_eq!(count, 1, "{minute} {said:?}");
            let before = standing.insert(minute, (said, is_final));
            assert!(before.is_none(), "{minute} stands twice");
        }
    }
    standing
}

/// Noon of the day of the tests, in minutes after 1970.
const NOON: i64 = 29_558_160;

fn counts(job: &Job) -> BTreeMap<i64, (i64, bool)> {
    let rows = standing(&job.rows("minutes"), &["rows"]);
    let one = |(minute, (said, is_final)): (i64, (Vec<Cell>, bool))| {
        let [Cell::Whole(rows)] = said.as_slice() else {
            panic!("{said:?}");
        };
        (minute, (i64::try_from(*rows).unwrap(), is_final))
    };
    rows.into_iter().map(one).collect()
}

/// Case O33.
#[test]
fn late_rows_correct_what_was_said_and_all_of_it_is_final_at_last() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("corrected", 1);
    let job = Job::with(broker, &topic, |text| {
        assert!(text.contains("length = \"1 minute\"\n[windows.minute.statistics]"));
        let (windows, others) = WINDOWS.split_once("[windows.quick]").unwrap();
        let text = text.replace("\nlength = \"1 minute\"\n", windows);
        format!("{text}[windows.quick]{others}")
    });
    let mut next = 0;
    for (time, rows) in [
        ("12:00:10", 1),
        ("12:01:10", 2),
        ("12:02:10", 3),
        ("12:03:10", 1),
        ("12:04:30", 1),
    ] {
        broker.send(&topic, sales(&mut next, time, rows));
    }
    let running = Running::start(&job, 2);
    job.await_positions(&[next]);
    let provisional = [
        (0, (1, false)),
        (1, (2, false)),
        (2, (3, false)),
        (3, (1, false)),
    ];
    let stands = |wanted: &[(i64, (i64, bool))]| {
        let wanted: BTreeMap<_, _> = wanted.iter().copied().collect();
        job.await_that("windows are other ones", DEADLINE, |job| {
            counts(job) == wanted
        });
    };
    stands(&provisional);
    let baseline = |minute: i64| {
        let verdicts = standing(&job.verdicts("usual"), &["baseline"]);
        verdicts[&minute].0[0].as_real()
    };
    assert_eq!(baseline(3), Some(2.0));
    running.kill();

    // Two rows of the first window come late, in another life of more workers.
    let running = Running::start(&job, 3);
    broker.send(&topic, sales(&mut next, "12:00:20", 2));
    job.await_positions(&[next]);
    stands(&[
        (0, (3, false)),
        (1, (2, false)),
        (2, (3, false)),
        (3, (1, false)),
    ]);
    // The window of 12:03 is compared with 3, 2 and 3 now.
    assert_eq!(baseline(3), Some(8.0 / 3.0));
    running.kill();

    // The watermark is 12:19:50: the windows up to 12:08 are settled.
    let running = Running::start(&job, 1);
    broker.send(&topic, sales(&mut next, "12:20:00", 1));
    job.await_positions(&[next]);
    let settled = [
        (0, (3, true)),
        (1, (2, true)),
        (2, (3, true)),
        (3, (1, true)),
        (4, (1, true)),
    ];
    stands(&settled);
    assert_eq!(baseline(3), Some(8.0 / 3.0));
    // One comes too late for all, and one for the other window alone.
    broker.send(&topic, sales(&mut next, "12:00:30", 1));
    broker.send(&topic, sales(&mut next, "12:12:30", 1));
    job.await_positions(&[next]);
    let late = [&settled[..], &[(12, (1, false))]].concat();
    stands(&late);
    let summary = running.stop();
    assert_eq!(texts(&job.rows("refused"), "reason"), ["too_late"]);
    assert_eq!(summary["warned_by_rule"]["late_for_window"], 3, "{summary}");
    assert_eq!(summary["warned_by_rule"]["late_corrected"], 3, "{summary}");
    // Each window has one verdict, however often it was said.
    let counted = summary["verdicts"]["usual"].as_object().unwrap().values();
    assert_eq!(counted.map(|count| count.as_i64().unwrap()).sum::<i64>(), 6);
    assert_eq!(numbers(&job.rows("quick"), "rows"), [1, 1, 1, 2, 3]);
}
