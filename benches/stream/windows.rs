//! A million open windows: the memory they take, what a checkpoint of them costs the epochs beside it, and what recovery reads.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failover::{state_bytes, write_reference};
use super::job::{Epochs, Job, Running, quantile};
use super::sales::{Flow, Sales, Topic};
use super::{Bench, JOB, PATIENCE, Result, round};

/// MiB that a process with a million open windows may hold.
const MEMORY_MARK: f64 = 500.0;

/// Sales a second while epochs are measured.
const RATE: u32 = 2000;

/// How often the journal is looked at: more often than compaction takes anything away.
const LOOK: Duration = Duration::from_millis(500);

/// Fills the windows, then measures epochs with checkpoints and without, then kills the process and starts another.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let windows = bench.sizes.windows;
    let reference = bench.scratch.join("few.csv");
    write_reference(&reference, 1000)?;
    for (name, checkpoint) in [("with", "2 seconds"), ("without", "24 hours")] {
        let topic_name = format!("windows-{name}");
        bench.make_topic(&topic_name)?;
        let sales = Sales {
            segments: windows,
            products: 1000,
            // All of them lie in one window, and none is closed.
            density: windows.max(1_000_000),
        };
        let mut topic = Topic::new(&bench.brokers, &topic_name, sales)?;
        topic.send(windows)?;
        let root = bench.scratch.join(&topic_name);
        let variables = bench.variables(
            &topic_name,
            &reference,
            ("50 ms", checkpoint),
            ("1 hour", "24 hours"),
        );
        let job = Job::new(&root, JOB, variables)?;
        let running = job.start(&["run", "-w", "2"])?;
        job.await_read(windows, PATIENCE)?;
        let flow = topic.go_on(RATE);
        let times = measure(&job, bench.sizes.window_seconds)?;
        let resident = running.resident_mib()?;
        let line = json!({
            "bench": "windows", "checkpoints": name, "every": checkpoint, "open_windows": windows, "messages_per_second": RATE,
            "epoch_ms": 50, "epochs": times.len(), "epoch_ms_p50": round(quantile(times.clone(), 50)),
            "epoch_ms_p99": round(quantile(times.clone(), 99)), "epoch_ms_longest": round(quantile(times, 100)),
            "resident_mib": round(resident), "peak_mib": round(running.peak_mib()?),
        });
        bench.judge(line, &[("resident_mib", resident, MEMORY_MARK)])?;
        if name == "with" {
            recover(bench, &job, running, flow)?;
        } else {
            drop(running);
            flow.stop()?;
        }
    }
    Ok(())
}

/// Kills the process and starts another: what it reads until it commits.
fn recover(bench: &mut Bench, job: &Job, running: Running<'_>, flow: Flow) -> Result<()> {
    flow.stop()?;
    drop(running);
    let bytes = state_bytes(job)?;
    let before = job.committed()?.map_or(0, |committed| committed.epoch);
    let since = Instant::now();
    let running = job.start(&["run", "-w", "2"])?;
    job.await_that("nothing is committed", PATIENCE, || {
        Ok(job.committed()?.filter(|now| now.epoch > before))
    })?;
    let seconds = since.elapsed().as_secs_f64();
    bench.tell(&json!({
        "bench": "windows", "recovery": true, "state_bytes": bytes, "read_bytes": running.read_bytes()?,
        "seconds_until_committed": round(seconds), "peak_mib": round(running.peak_mib()?),
    }))?;
    running.stop()
}

/// Milliseconds from epoch to epoch for so long.
fn measure(job: &Job, seconds: u64) -> Result<Vec<f64>> {
    let mut epochs = Epochs::default();
    let (since, from) = (Instant::now(), job.history()?.newest_epoch().unwrap_or(0));
    while since.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(LOOK);
        epochs.look(job)?;
    }
    Ok(epochs
        .times(from)
        .into_iter()
        .map(|(_, time)| time)
        .collect())
}
