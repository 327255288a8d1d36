//! How long no rows flow when a process of two is killed, and when the job is rescaled: with a million reference rows and ten thousand
//! segments in state.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::job::{Job, Running, kill, millis};
use super::sales::{Flow, Sales, Topic};
use super::{Bench, JOB, PATIENCE, Result, round};

/// Seconds until rows flow again after a process was killed.
const FAILOVER_MARK: f64 = 5.0;

/// Seconds without rows while a job is rescaled.
const RESCALE_MARK: f64 = 3.0;

/// Sales a second meanwhile.
const RATE: u32 = 2000;

/// Kills one process of two after the other, each in a launch of its own. "Until rows flow" is from the kill to the next commit of rows
/// that were not committed before it: the checkpoint's second is a part of it.
pub(crate) fn failover(bench: &mut Bench) -> Result<()> {
    let (job, flow) = prepare(bench, "failover")?;
    for run in 0..bench.sizes.runs {
        let running = start(&job, &flow, &["launch", "-n", "2", "-w", "1"])?;
        let killed = usize::try_from(run % 2)?;
        let processes = running.processes()?;
        let before = job.committed()?.ok_or("nothing is committed")?;
        let bound = job.history()?.newest_epoch().unwrap_or(0);
        let generation = job.history()?.generation;
        let since = Instant::now();
        kill(processes[killed])?;
        let read = job.await_that("no epoch holds rows", PATIENCE, || {
            let history = job.history()?;
            let mut bindings = history.bindings.iter();
            let is_new = bindings.any(|binding| {
                binding.epoch > bound && binding.generation > generation && !binding.is_empty()
            });
            Ok(is_new.then(|| since.elapsed()))
        })?;
        // The kill may have come between a commit's parts: what counts is a commit of the next life.
        job.await_that("no rows flow", PATIENCE, || {
            let committed = job.committed()?;
            let history = job.history()?;
            let checkpoint = history.checkpoints.first();
            let is_new = checkpoint.is_some_and(|checkpoint| checkpoint.generation > generation);
            Ok(committed.filter(|now| is_new && now.epoch > before.epoch))
        })?;
        let seconds = since.elapsed().as_secs_f64();
        let state: u64 = state_bytes(&job)?;
        running.stop()?;
        bench.judge(
            json!({
                "bench": "failover", "run": run, "killed_process": killed, "processes": 2, "reference_rows": bench.sizes.reference,
                "segments": bench.sizes.segments, "state_bytes": state, "seconds_until_bound": round(read.as_secs_f64()),
                "seconds_until_rows": round(seconds),
            }),
            &[("seconds_until_rows", seconds, FAILOVER_MARK)],
        )?;
    }
    flow.stop()?;
    Ok(())
}

/// Goes from two processes to three and back. The pause is the longest time between two epochs that hold rows.
pub(crate) fn rescale(bench: &mut Bench) -> Result<()> {
    let (job, flow) = prepare(bench, "rescale")?;
    let running = start(&job, &flow, &["launch", "-n", "2", "-w", "1"])?;
    for run in 0..bench.sizes.runs {
        let to = if run % 2 == 0 { "3" } else { "2" };
        let generation = job.history()?.generation;
        let since = Instant::now();
        let output = job.caudal("rescale").args(["-n", to, "-w", "1"]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let pause = job.await_that("no rows flow", PATIENCE, || {
            let history = job.history()?;
            let with_rows = history
                .bindings
                .iter()
                .filter(|binding| !binding.is_empty());
            let with_rows: Vec<_> = with_rows.collect();
            let mut next = with_rows.windows(2);
            let pair =
                next.find(|two| two[0].generation == generation && two[1].generation > generation);
            Ok(pair.map(|two| millis(two[1].now - two[0].now) / 1000.0))
        })?;
        job.await_that("nothing is committed", PATIENCE, || {
            let history = job.history()?;
            let checkpoint = history.checkpoints.first();
            Ok(checkpoint
                .filter(|newest| newest.generation > generation)
                .map(|_| ()))
        })?;
        let committed = since.elapsed().as_secs_f64();
        bench.judge(
            json!({
                "bench": "rescale", "run": run, "to_processes": to, "reference_rows": bench.sizes.reference,
                "segments": bench.sizes.segments, "state_bytes": state_bytes(&job)?, "pause_seconds": round(pause),
                "seconds_until_committed": round(committed),
            }),
            &[("pause_seconds", pause, RESCALE_MARK)],
        )?;
    }
    running.stop()?;
    flow.stop()?;
    Ok(())
}

/// The job, and a topic that already holds a sale of each segment and goes on.
fn prepare(bench: &Bench, name: &str) -> Result<(Job, Flow)> {
    let sizes = bench.sizes;
    let root = bench.scratch.join(name);
    let sales = Sales {
        segments: sizes.segments,
        products: sizes.reference,
        density: i64::from(RATE),
    };
    bench.make_topic(name)?;
    let mut topic = Topic::new(&bench.brokers, name, sales)?;
    topic.send(sizes.segments * 2)?;
    let reference = bench.scratch.join("reference.csv");
    write_reference(&reference, sizes.reference)?;
    let job = Job::new(
        &root,
        JOB,
        bench.variables(
            name,
            &reference,
            ("200 ms", "1 second"),
            ("1 minute", "2 minutes"),
        ),
    )?;
    Ok((job, topic.go_on(RATE)))
}

/// Starts it, and waits until it has caught up and has lived for a while.
fn start<'job>(job: &'job Job, flow: &Flow, words: &[&str]) -> Result<Running<'job>> {
    let running = job.start(words)?;
    job.await_rows(flow.sent(), PATIENCE)?;
    let now = flow.sent();
    job.await_rows(now, PATIENCE)?;
    // Not at a fixed moment of a checkpoint's second.
    thread::sleep(Duration::from_millis(u64::try_from(now % 1000)?));
    Ok(running)
}

/// Bytes of the newest checkpoint's state.
pub(crate) fn state_bytes(job: &Job) -> Result<u64> {
    let history = job.history()?;
    let checkpoint = history.checkpoints.first().ok_or("no checkpoint")?;
    Ok(checkpoint.state.iter().map(|file| file.bytes).sum())
}

/// Reference rows with keys from nought.
pub(crate) fn write_reference(path: &Path, rows: i64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "key,name,zone")?;
    for key in 0..rows {
        writeln!(file, "{key},product number {key},zone-{}", key % 6)?;
    }
    file.flush()?;
    Ok(())
}
