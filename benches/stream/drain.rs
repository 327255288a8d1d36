//! How fast a topic is emptied: five million sales of the benchmark, from Kafka to Parquet, in one process of two workers.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::job::{Job, children_cpu_seconds};
use super::kafka::{self, Load};
use super::{BINARY, Bench, PATIENCE, Result, number, round, truth};

/// The job for files; its source becomes a topic.
const JOB: &str = include_str!("../ventas/ventas.toml");

/// Seed of the sales.
pub(super) const SEED: u64 = 1;

/// Drain time is from the start of the process to its end: when everything is read it is told to commit that and end, so that no time is
/// spent on waiting for a checkpoint. CPU seconds hold those of the command that tells it. What was written is held against the generator's truth, but for the
/// windows that are still open.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (rows, workers) = (bench.sizes.drain_rows, "2");
    let scratch = bench.scratch.join("drain");
    generate(rows, &scratch)?;
    let topic = load(bench, "drain", rows)?;
    let text = over_topic("");
    for run in 0..bench.sizes.runs {
        let root = scratch.join(format!("run-{run}"));
        let dims = scratch.join("dims").display().to_string();
        let job = Job::new(
            &root,
            &text,
            vec![
                ("BENCH_BROKERS", bench.brokers.clone()),
                ("BENCH_TOPIC", topic.clone()),
                ("VENTAS_DIMS", dims),
            ],
        )?;
        let (before, since) = (children_cpu_seconds()?, Instant::now());
        let running = job.start(&["run", "-w", workers])?;
        job.await_read(i64::try_from(rows)?, PATIENCE)?;
        let peak = running.peak_mib()?;
        running.stop()?;
        let wall = since.elapsed().as_secs_f64();
        let cpu = children_cpu_seconds()? - before;
        let written = truth::check(&root.join("out"), &found_truth(&scratch)?, false)?;
        bench.tell(&json!({
            "bench": "drain", "run": run, "messages": rows, "partitions": 2, "workers": workers, "wall_seconds": round(wall),
            "cpu_seconds": round(cpu), "messages_per_second": (number(rows) / wall).round(),
            "messages_per_cpu_second": (number(rows) / cpu).round(), "peak_mib": round(peak), "written_bytes": written,
        }))?;
        fs::remove_dir_all(&root)?;
    }
    Ok(())
}

/// Fills a new topic with sales, and gives its name.
pub(super) fn load(bench: &Bench, name: &str, rows: u64) -> Result<String> {
    let topic = format!("{name}-{rows}");
    kafka::load(&Load {
        brokers: bench.brokers.clone(),
        topic: topic.clone(),
        rows,
        seed: SEED,
        rate: None,
        compression: "none".to_owned(),
    })?;
    Ok(topic)
}

/// The job over a topic, in a folder of its own; `more` stands beside its output.
pub(super) fn over_topic(more: &str) -> String {
    let output = "output = \"${BENCH_ROOT}/out\"\nstate = \"${BENCH_ROOT}/state\"";
    JOB.replace("output = \"${VENTAS_OUT}\"", &format!("{output}{more}")).replace(
        "files = { paths = [\"${VENTAS_IN}/part-*.csv\"] }\ncsv = {}",
        "disorder = \"30 seconds\"\nkafka = { brokers = \"${BENCH_BROKERS}\", topics = [\"${BENCH_TOPIC}\"] }\njson = {}",
    )
}

/// Look-ups and truth; the sales themselves come from the topic.
pub(super) fn generate(rows: u64, scratch: &Path) -> Result<()> {
    let rows = rows.to_string();
    let seed = SEED.to_string();
    let status = Command::new(BINARY)
        .args(["generate", "ventas", "--rows", &rows, "--seed", &seed])
        .args(["--only", "csv", "--out"])
        .arg(scratch)
        .stderr(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("generate: {status}").into());
    }
    Ok(())
}

pub(super) fn found_truth(scratch: &Path) -> Result<Value> {
    for entry in fs::read_dir(scratch)? {
        let path = entry?.path().join("truth.json");
        if path.exists() {
            return Ok(serde_json::from_slice(&fs::read(path)?)?);
        }
    }
    Err("no truth".into())
}
