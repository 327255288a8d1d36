//! How soon a verdict is seen once its window is over.
//!
//! Events have the time at which their messages were sent, so that a window is over, for its watermark, at its end and `DISORDER` more by the clock of
//! this machine. Verdicts go to a topic with that end as their time, rows to another with the time of theirs, and both are watched.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::job::{Job, quantile};
use super::topics::{RATE, await_topic, send, watch};
use super::{Bench, Result, round};

/// How much older than the newest of its partition an event may be.
const DISORDER: f64 = 50.0;

/// How long an epoch is.
const EPOCH: f64 = 20.0;

/// Segments.
const REGIONS: u64 = 64;

const JOB: &str = r#"
format = 1
[job]
name = "verdicts"
key = ["region"]
output = "${BENCH_ROOT}/out"
state = "${BENCH_ROOT}/state"
epoch = "20 ms"
checkpoint = "10 seconds"
[sources.sales]
event_time = "sent"
disorder = "50 ms"
kafka = { brokers = "${BENCH_BROKERS}", topics = ["${BENCH_TOPIC}"], start = "earliest" }
json = {}
[sources.sales.columns]
id = "bigint not null"
region = "int not null"
customer = "bigint"
amount = "decimal(12,2) not null"
sent = { type = "timestamp not null", kafka = "timestamp" }
[windows.second]
per = ["region"]
length = "1 second"
[windows.second.statistics]
rows = "count(*)"
total = "sum(amount)"
[checks.known]
window = "second"
completeness = { column = "customer", warn_below = 0.5 }
[checks.usual]
window = "second"
variance = { of = "total", against = { previous = 10 }, warn_beyond = 4.0 }
"#;

fn text(delivery: &str) -> String {
    let mut text = JOB.to_owned();
    for (sink, time) in [("rows", "sent"), ("verdicts", "window_end")] {
        write!(
            text,
            "[sinks.{sink}]\nfrom = \"{sink}\"\njson = {{}}\n[sinks.{sink}.kafka]\nbrokers = \"${{BENCH_BROKERS}}\"\ntopic = \"{sink}-${{BENCH_TAG}}\"\n\
             id = \"${{BENCH_TAG}}\"\ndelivery = \"{delivery}\"\ntimestamp = \"{time}\"\ncreate = {{ partitions = 2 }}\n"
        )
        .expect("a String takes everything");
    }
    text
}

/// Verdicts are seen as soon as rows, and two epochs more.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let rows = RATE * (bench.sizes.window_seconds + 5);
    let values = (0..rows).map(|id| {
        let (region, customer) = (id * 7 % REGIONS, id % 10_000);
        json!({ "id": id, "region": region, "customer": customer, "amount": format!("{}.50", id % 90) })
            .to_string()
            .into_bytes()
    });
    let values: Vec<Vec<u8>> = values.collect();
    for delivery in ["at_least_once", "exactly_once"] {
        let tag = format!("seen-{delivery}");
        bench.make_topic(&tag)?;
        let variables = vec![
            ("BENCH_BROKERS", bench.brokers.clone()),
            ("BENCH_TOPIC", tag.clone()),
            ("BENCH_TAG", tag.clone()),
        ];
        let job = Job::new(&bench.scratch.join(&tag), &text(delivery), variables)?;
        let running = job.start(&["run", "-w", "2"])?;
        let topics = ["rows", "verdicts"].map(|sink| format!("{sink}-{tag}"));
        for topic in &topics {
            await_topic(bench, &job, topic)?;
        }
        let is_over = AtomicBool::new(false);
        let brokers = bench.brokers.clone();
        let (sent, seen) = thread::scope(|scope| {
            let readers = topics.each_ref().map(|topic| {
                let (brokers, is_over) = (&brokers, &is_over);
                scope.spawn(move || {
                    watch(brokers, topic, is_over).map_err(|error| error.to_string())
                })
            });
            let sent = send(&brokers, &tag, &values);
            thread::sleep(Duration::from_secs(2));
            is_over.store(true, Ordering::Release);
            (sent, readers.map(thread::ScopedJoinHandle::join))
        });
        running.stop()?;
        let after = sent?.first_millis + 3_000;
        let mut late = Vec::new();
        for seen in seen {
            let seen = seen.map_err(|_| "a reader panicked")??;
            let steady = seen.into_iter().filter(|(time, _)| *time >= after);
            late.push(steady.map(|(_, late)| late).collect::<Vec<f64>>());
        }
        let of =
            |place: usize, hundredths: usize| quantile(late[place].iter().copied(), hundredths);
        let [row_p50, row_p99] = [50, 99].map(|hundredths| of(0, hundredths));
        let [p50, p99] = [50, 99].map(|hundredths| of(1, hundredths) - DISORDER);
        bench.judge(
            json!({
                "bench": "verdicts", "delivery": delivery, "epoch_ms": EPOCH, "messages_per_second": RATE, "rows": late[0].len(),
                "verdicts": late[1].len(), "row_p50_ms": round(row_p50), "row_p99_ms": round(row_p99), "verdict_p50_ms": round(p50),
                "verdict_p99_ms": round(p99), "verdict_max_ms": round(of(1, 100) - DISORDER),
            }),
            &[("p99 of verdicts in ms", p99, row_p99 + 2.0 * EPOCH)],
        )?;
    }
    Ok(())
}
