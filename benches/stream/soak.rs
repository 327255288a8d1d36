//! A job for a long time: some minutes of rows at a rate, then as many without, with epochs of 50 ms.
//!
//! What must not grow is held against itself: memory and state of the last quarter of each half against the second quarter of it (the
//! first one warms up).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failover::write_reference;
use super::job::{Epochs, Job, Running, quantile, size};
use super::plot;
use super::sales::{Flow, Sales, Topic};
use super::{Bench, JOB, PATIENCE, Result, round};

/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Milliseconds that epochs of 50 ms may take, but for one in a hundred.
const EPOCH_MARK: f64 = 150.0;

/// What memory or state may come to over half of the time, as a share of what it was: a leak is far above it after minutes.
const GROWTH_MARK: f64 = 1.1;

/// And beside that: what an allocator keeps for itself in two processes.
const MEMORY_SLACK_MIB: f64 = 24.0;

/// The journal between two compactions.
const STATE_SLACK_MIB: f64 = 1.0;

/// Seconds that what was sent may wait until it is visible: two checkpoints.
const LAG_MARK: f64 = 4.0;

/// What the brokers keep of a partition: minutes of a high rate, so that no disk is filled.
const KEPT: [(&str, &str); 2] = [
    ("retention.bytes", "4294967296"),
    ("segment.bytes", "268435456"),
];

/// What was seen at a second.
struct Sample {
    second: f64,
    resident_mib: f64,
    state_mib: f64,
    state_files: u32,
    /// Seconds of rows that were sent and are not visible.
    lag: f64,
}

/// Both halves, and what they must show.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let sizes = bench.sizes;
    let (rate, half) = (sizes.soak_rate, sizes.soak_seconds);
    bench.make_topic_with("soak", &KEPT)?;
    let reference = bench.scratch.join("soak.csv");
    write_reference(&reference, 100_000)?;
    let sales = Sales {
        segments: 1000,
        products: 100_000,
        density: i64::from(rate),
    };
    let topic = Topic::new(&bench.brokers, "soak", sales)?;
    let variables = bench.variables(
        "soak",
        &reference,
        ("50 ms", "2 seconds"),
        ("10 seconds", "2 seconds"),
    );
    let job = Job::new(&bench.scratch.join("soak"), JOB, variables)?;
    let running = job.start(&["launch", "-n", "2", "-w", "1"])?;
    job.await_that("it does not begin", PATIENCE, || job.committed())?;
    let mut watched = Watched {
        job: &job,
        running: &running,
        since: Instant::now(),
        epochs: Epochs::default(),
        from: job.history()?.newest_epoch().unwrap_or(0),
        samples: Vec::new(),
    };
    let flow = topic.go_on(rate);
    watched.watch(Some((&flow, rate)), half)?;
    let with_rows = watched.samples.len();
    let topic = flow.stop()?;
    job.await_rows(topic.sent().iter().sum(), PATIENCE)?;
    let turn = watched.since.elapsed().as_secs_f64();
    watched.watch(None, half)?;
    let Watched {
        epochs,
        from,
        samples,
        ..
    } = watched;
    let times = epochs.times(from);
    running.stop()?;

    for (name, half) in [
        ("rows", &samples[..with_rows]),
        ("idle", &samples[with_rows..]),
    ] {
        let is_idle = name == "idle";
        let of_half = times.iter().filter(|time| (time.0 > turn) == is_idle);
        let of_half: Vec<f64> = of_half.map(|time| time.1).collect();
        let quarter = half.len() / 4;
        let parts = [&half[quarter..2 * quarter], &half[3 * quarter..]];
        let middle = |of: fn(&Sample) -> f64| parts.map(|part| quantile(part.iter().map(of), 50));
        let (memory, state) = (middle(|one| one.resident_mib), middle(|one| one.state_mib));
        let p99 = quantile(of_half.clone(), 99);
        let lag = quantile(half.iter().map(|one| one.lag), 99);
        let line = json!({
            "bench": "soak", "half": name, "seconds": sizes.soak_seconds, "messages_per_second": if is_idle { 0 } else { rate },
            "epochs": of_half.len(), "epoch_ms_p50": round(quantile(of_half.clone(), 50)), "epoch_ms_p99": round(p99),
            "epoch_ms_longest": round(quantile(of_half, 100)), "lag_seconds_p99": round(lag),
            "resident_mib": memory.map(round), "state_mib": state.map(round),
            "state_files": half.iter().map(|one| one.state_files).max(),
        });
        let bound = |early: f64, slack: f64| early * GROWTH_MARK + slack;
        let marks = [
            ("epoch_ms_p99", p99, EPOCH_MARK),
            ("lag_seconds_p99", lag, LAG_MARK),
            (
                "resident_mib",
                memory[1],
                bound(memory[0], MEMORY_SLACK_MIB),
            ),
            ("state_mib", state[1], bound(state[0], STATE_SLACK_MIB)),
        ];
        bench.judge(line, &marks)?;
    }
    let Some(folder) = &bench.kept else {
        return Ok(());
    };
    let line = |of: fn(&Sample) -> f64| samples.iter().map(|one| (one.second, of(one))).collect();
    let idle = Some((turn, "no input"));
    let memory = [("resident MiB", line(|one| one.resident_mib))];
    fs::write(
        folder.join("soak-memory.svg"),
        plot::draw("resident memory of both processes, MiB", &memory, idle),
    )?;
    let state = [("state MiB", line(|one| one.state_mib))];
    fs::write(
        folder.join("soak-state.svg"),
        plot::draw("state folder, MiB", &state, idle),
    )?;
    let lag = [("lag", line(|one| one.lag))];
    fs::write(
        folder.join("soak-lag.svg"),
        plot::draw(
            "rows that are not visible yet, in seconds of the rate",
            &lag,
            idle,
        ),
    )?;
    let epochs = [("p50", by_time(&times, 50)), ("p99", by_time(&times, 99))];
    fs::write(
        folder.join("soak-epochs.svg"),
        plot::draw(
            "milliseconds from epoch to epoch, by five seconds",
            &epochs,
            idle,
        ),
    )?;
    Ok(())
}

struct Watched<'job> {
    job: &'job Job,
    running: &'job Running<'job>,
    since: Instant,
    epochs: Epochs,
    /// The epoch at the beginning.
    from: u64,
    samples: Vec<Sample>,
}

impl Watched<'_> {
    fn watch(&mut self, flow: Option<(&Flow, u32)>, seconds: u64) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            thread::sleep(LOOK);
            self.epochs.look(self.job)?;
            let lag = match flow {
                Some((flow, rate)) => {
                    let visible = self.job.committed()?.map_or(0, |committed| committed.rows);
                    f64::from(u32::try_from(flow.sent() - visible).unwrap_or(0)) / f64::from(rate)
                }
                None => 0.0,
            };
            let (bytes, state_files) = size(&self.job.path("state"));
            self.samples.push(Sample {
                second: self.since.elapsed().as_secs_f64(),
                resident_mib: self.running.resident_mib()?,
                state_mib: super::number(bytes) / f64::from(1 << 20),
                state_files,
                lag,
            });
        }
        Ok(())
    }
}

/// A quantile of each five seconds.
fn by_time(times: &[(f64, f64)], hundredths: usize) -> Vec<(f64, f64)> {
    let same = |a: &(f64, f64), b: &(f64, f64)| {
        (a.0 / 5.0).floor().total_cmp(&(b.0 / 5.0).floor()).is_eq()
    };
    let parts = times.chunk_by(same);
    parts
        .map(|part| {
            (
                part[0].0,
                quantile(part.iter().map(|time| time.1), hundredths),
            )
        })
        .collect()
}
