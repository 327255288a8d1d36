//! What many live segments cost: `cargo bench --bench segments`. Prints a line a measurement as JSON, and ends with 1 where a mark is missed.
//!
//! A window of a minute with SPEC's statistics of money and two checks: completeness, and a z-score against the 60 windows before. What is
//! measured, each in a process of its own, since memory that was given back still is resident:
//!
//! - memory of 100,000 segments with 60 windows each: all open; all closed, as a baseline (mark: 2 GiB for both); and of a tenth of the segments
//!   all closed and corrected still.
//! - the curve: milliseconds of an epoch that brings rows for so many of so many live segments, of one that closes their windows, and of the
//!   checkpoint behind it, which writes what has changed. They grow with the segments that changed. The mark: with a thousand that changed, a
//!   hundred thousand live ones cost at most three times what a thousand do.
//!
//! `SEGMENTS` (100,000) is the most, for a short run.

#[path = "shared/flow.rs"]
mod flow;

use std::env;
use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, TimestampMicrosecondArray};
use caudal::checks::tally::Tally;
use caudal::checks::value::Value;
use caudal::checks::{Layout, Partial, Reducer, Segment};
use caudal::observe::process::resident_memory_bytes;
use serde_json::json;

use flow::job;

/// The program's: a window is an allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What 100,000 segments with 60 windows may take.
const MOST_BYTES: u64 = 2 << 30;

/// Windows of each segment.
const WINDOWS: i64 = 60;

const MINUTE: i64 = 60_000_000;

/// How often each time is taken: the median counts.
const TIMES: usize = 7;

/// Says to a process of this bench what it measures: `memory KIND SEGMENTS` or `curve LIVE`.
const WHAT: &str = "CAUDAL_BENCH_SEGMENTS_OF";

const JOB: &str = r#"
format = 1
[job]
name = "segments"
output = "out"
[sources.sales]
event_time = "ts"
files = { paths = ["none.csv"], follow = true }
csv = {}
columns = { segment = "int not null", ts = "timestamp not null", customer_id = "bigint", amount = "decimal(18,2) not null" }
[windows.minute]
per = ["segment"]
length = "1 minute"
CORRECTED
[windows.minute.statistics]
rows = "count(*)"
null_customers = "count(*) filter (where customer_id is null)"
max_ts = "max(ts)"
sum_amount = "sum(amount)"
mean_amount = "avg(amount)"
var_amount = "var_samp(amount)"
[checks.customer_known]
window = "minute"
completeness = { column = "customer_id", warn_below = 0.5 }
[checks.amount_usual]
window = "minute"
variance = { of = "sum_amount", against = { previous = 60 }, min_history = 5, warn_beyond = 4.0 }
[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
parquet = {}
"#;

fn main() -> Result<()> {
    if let Ok(what) = env::var(WHAT) {
        let words: Vec<&str> = what.split(' ').collect();
        return match words.as_slice() {
            ["memory", kind, segments] => memory(kind, segments.parse()?),
            ["curve", live] => curve(live.parse()?),
            other => Err(format!("{other:?} is nothing to measure").into()),
        };
    }
    let most: i64 = env::var("SEGMENTS").map_or(Ok(100_000), |text| text.parse())?;
    let this = env::current_exe()?;
    let mut is_good = true;
    let mut measure = |what: String| -> Result<Vec<serde_json::Value>> {
        let output = Command::new(&this).env(WHAT, what).output()?;
        let lines = String::from_utf8(output.stdout)?;
        is_good &= output.status.success();
        let told = String::from_utf8(output.stderr)?;
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(serde_json::from_str)
            .collect::<std::result::Result<_, _>>()?;
        lines.iter().for_each(tell);
        if lines.is_empty() {
            Err(told.into())
        } else {
            Ok(lines)
        }
    };
    for (kind, segments) in [("open", most), ("history", most), ("corrected", most / 10)] {
        measure(format!("memory {kind} {segments}"))?;
    }
    let mut live = 1_000.min(most);
    // What a thousand segments that change cost, by how many are live.
    let mut thousand = Vec::new();
    while live <= most {
        for line in measure(format!("curve {live}"))? {
            if line["changed"] == 1_000 {
                let of = |name: &str| line[name].as_f64().unwrap_or(0.0);
                thousand.push(of("bring_ms") + of("close_ms") + of("save_ms"));
            }
        }
        live *= 10;
    }
    if let (Some(first), Some(last)) = (thousand.first(), thousand.last()) {
        let is_flat = *last <= 3.0 * first;
        is_good &= is_flat;
        tell(
            &json!({ "bench": "curve", "changed": 1_000, "ms_of_least_and_most_live": [first, last], "times_at_most": 3, "is_met": is_flat }),
        );
    }
    if is_good {
        Ok(())
    } else {
        Err("a mark is missed".into())
    }
}

#[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
fn tell(line: &serde_json::Value) {
    println!("{line}");
}

fn layout(corrected: bool) -> Arc<Layout> {
    let corrected = if corrected {
        "correct_within = \"1 hour\""
    } else {
        ""
    };
    let plan = job(&JOB.replace("CORRECTED", corrected), &|_| None);
    Arc::new(Layout::of_window(&plan, 0))
}

/// What a sale of some cents adds to its window.
fn sale(layout: &Arc<Layout>, cents: i128) -> Partial {
    let amount = Decimal128Array::from(vec![cents]).with_precision_and_scale(18, 2);
    let columns: [ArrayRef; 4] = [
        Arc::new(Int32Array::from(vec![0])),
        Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(amount.expect("a type of money")),
    ];
    let mut reducer = Reducer::new(Arc::clone(layout));
    reducer.add(&columns.map(Some), 1, 0);
    reducer.drain().pop().expect("there is a row").1
}

/// Sales of some amounts, so that windows are not all equal.
fn sales(layout: &Arc<Layout>) -> Vec<Partial> {
    (0..97).map(|cents| sale(layout, 1_000 + cents)).collect()
}

/// A sale in the window of a minute for each of some segments.
fn bring(tally: &mut Tally, sales: &[Partial], segments: impl Iterator<Item = i64>, minute: i64) {
    for segment in segments {
        let place = usize::try_from((segment * 31 + minute * 17) % 97).expect("below 97");
        let of = Segment(Box::new([Value::Int(segment)]));
        let epoch = minute.unsigned_abs() + 1;
        tally.apply(of, minute * MINUTE, sales[place].clone(), epoch);
    }
}

/// So many minutes of all segments, each closed as it is over unless all stay open.
fn lived(tally: &mut Tally, sales: &[Partial], segments: i64, minutes: i64, stays_open: bool) {
    for minute in 0..minutes {
        bring(tally, sales, 0..segments, minute);
        if !stays_open {
            tally.close_until((minute + 1) * MINUTE);
        }
    }
}

fn memory(kind: &str, segments: i64) -> Result<()> {
    let layout = layout(kind == "corrected");
    let sales = sales(&layout);
    let mut tally = Tally::new(Arc::clone(&layout));
    let resident = || resident_memory_bytes().ok_or("the system does not say it");
    let before = resident()?;
    lived(&mut tally, &sales, segments, WINDOWS, kind == "open");
    let taken = resident()?.saturating_sub(before);
    let (kept, open) = tally.open();
    let mut line = json!({
        "bench": "memory", "windows_are": kind, "segments": kept, "windows_each": WINDOWS, "in_the_state": open, "mib": taken >> 20,
    });
    let is_marked = kind != "corrected";
    if is_marked {
        line["at_most_mib"] = json!(MOST_BYTES >> 20);
    }
    tell(&line);
    if is_marked && taken > MOST_BYTES {
        return Err(format!("{taken} bytes are more than {MOST_BYTES}").into());
    }
    Ok(())
}

/// What an epoch costs of so many live segments with a full baseline, by how many change in it.
fn curve(live: i64) -> Result<()> {
    let layout = layout(false);
    let sales = sales(&layout);
    let mut tally = Tally::new(Arc::clone(&layout));
    lived(&mut tally, &sales, live, WINDOWS, false);
    let mut minute = WINDOWS;
    // All of it was written once.
    tally.save(&mut Vec::new())?;
    let mut changed = 10;
    while changed <= live {
        let (mut brought, mut closed, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            // Those that change lie apart.
            let apart = live / changed;
            let segments = (0..changed).map(|segment| segment * apart);
            let began = Instant::now();
            bring(&mut tally, &sales, segments, minute);
            let nothing = tally.close_until(minute * MINUTE);
            brought.push(began.elapsed());
            assert_eq!(nothing.verdicts.num_rows(), 0, "no window is over");
            let began = Instant::now();
            let verdicts = tally.close_until((minute + 1) * MINUTE).verdicts;
            closed.push(began.elapsed());
            assert_eq!(i64::try_from(verdicts.num_rows())?, 2 * changed);
            let began = Instant::now();
            tally.save_changes(&mut Vec::new())?;
            tally.begin_changes();
            written.push(began.elapsed());
            minute += 1;
        }
        tell(&json!({
            "bench": "curve", "live": live, "changed": changed, "bring_ms": median(brought), "close_ms": median(closed), "save_ms": median(written),
        }));
        changed *= 10;
    }
    Ok(())
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    let micros = times[times.len() / 2].as_micros();
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1e3
}
