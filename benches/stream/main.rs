//! Continuous jobs on a real Kafka: `cargo bench --bench stream`.
//!
//! Each line of JSON is one measurement by the release binary; where there is a mark, it says whether it is met, and the bench ends with 1
//! where one is not. What is measured, in this order, or by `STREAM_WHAT` as a list with commas:
//!
//! - `drain`: sales of the benchmark from Kafka to Parquet, messages a second and a CPU second; compared with the generator's truth.
//! - `topics`: the same from Kafka to topics, exactly once and at least once in turn; compared with the truth.
//! - `latency`: 20,000 sales a second; milliseconds from a message's time until its row is seen in a topic (marks: p50 100, p99 400 ms
//!   exactly once; p50 20 ms at least once).
//! - `verdicts`: 20,000 sales a second; milliseconds from the watermark's passing of a window's end until its verdict is seen in a topic (mark:
//!   p99 that of rows and two epochs).
//! - `failover`: one process of two is killed; seconds until rows are committed again (mark: 5).
//! - `rescale`: from two processes to three and back; the pause between epochs with rows (mark: 3 s).
//! - `windows`: a million open windows; memory (mark: 500 MiB), epochs with checkpoints and without, what recovery reads.
//! - `soak`: minutes of rows, then minutes without; memory, state, epochs and lag, with plots.
//!
//! `STREAM_SIZE=smoke` takes a minute or so and shows that all of it works. Single sizes are set by `STREAM_ROWS` (5,000,000),
//! `STREAM_REFERENCE` (1,000,000 rows), `STREAM_SEGMENTS` (10,000), `STREAM_WINDOWS` (1,000,000), `STREAM_WINDOW_SECONDS` (30),
//! `STREAM_SOAK_SECONDS` (600, of each half), `STREAM_SOAK_RATE` (5,000 a second) and `STREAM_RUNS` (5). Brokers are started and ended
//! with the bench; `STREAM_BROKERS` names some that run, without its topics. The last argument, a folder, gets `stream.jsonl` and the plots.

mod drain;
mod failover;
mod job;
#[path = "../shared/kafka.rs"]
mod kafka;
mod plot;
mod sales;
mod soak;
mod topics;
#[path = "../shared/truth.rs"]
mod truth;
mod verdicts;
mod windows;

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use kafka::broker::Broker;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BINARY: &str = env!("CARGO_BIN_EXE_caudal");

/// The job of many segments.
const JOB: &str = include_str!("segments.toml");

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    drain_rows: u64,
    reference: i64,
    segments: i64,
    windows: i64,
    window_seconds: u64,
    soak_seconds: u64,
    soak_rate: u32,
    runs: u32,
}

impl Sizes {
    fn read() -> Result<Self> {
        let smoke = env::var("STREAM_SIZE").is_ok_and(|size| size == "smoke");
        let pick = |name: &str, full: u32, small: u32| -> Result<u32> {
            match env::var(name) {
                Ok(text) => Ok(text.parse()?),
                Err(_) => Ok(if smoke { small } else { full }),
            }
        };
        Ok(Self {
            drain_rows: pick("STREAM_ROWS", 5_000_000, 50_000)?.into(),
            reference: pick("STREAM_REFERENCE", 1_000_000, 10_000)?.into(),
            segments: pick("STREAM_SEGMENTS", 10_000, 1000)?.into(),
            windows: pick("STREAM_WINDOWS", 1_000_000, 20_000)?.into(),
            window_seconds: pick("STREAM_WINDOW_SECONDS", 30, 5)?.into(),
            soak_seconds: pick("STREAM_SOAK_SECONDS", 600, 12)?.into(),
            soak_rate: pick("STREAM_SOAK_RATE", 5000, 500)?,
            runs: pick("STREAM_RUNS", 5, 1)?,
        })
    }
}

/// What all measurements share.
struct Bench {
    brokers: String,
    sizes: Sizes,
    scratch: PathBuf,
    /// A folder for what is kept.
    kept: Option<PathBuf>,
    file: Option<File>,
    is_good: bool,
}

impl Bench {
    /// Prints a measurement, and keeps it.
    fn tell(&mut self, line: &Value) -> Result<()> {
        #[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
        {
            println!("{line}");
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// The same with marks: numbers that may not be above others.
    fn judge(&mut self, mut line: Value, marks: &[(&str, f64, f64)]) -> Result<()> {
        let judged = marks.iter().map(|(what, value, mark)| {
            let is_met = value <= mark;
            self.is_good &= is_met;
            json!({ "of": what, "value": round(*value), "at_most": round(*mark), "is_met": is_met })
        });
        line["marks"] = judged.collect();
        self.tell(&line)
    }

    fn make_topic(&self, name: &str) -> Result<()> {
        self.make_topic_with(name, &[])
    }

    fn make_topic_with(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        let mut client = rdkafka::ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        kafka::make_topic(&client, name, settings)?;
        Ok(())
    }

    /// What the job of segments asks for.
    fn variables(
        &self,
        topic: &str,
        reference: &Path,
        (epoch, checkpoint): (&str, &str),
        (window, disorder): (&str, &str),
    ) -> Vec<(&'static str, String)> {
        vec![
            ("BENCH_BROKERS", self.brokers.clone()),
            ("BENCH_TOPIC", topic.to_owned()),
            ("BENCH_REFERENCE", reference.display().to_string()),
            ("BENCH_EPOCH", epoch.to_owned()),
            ("BENCH_CHECKPOINT", checkpoint.to_owned()),
            ("BENCH_WINDOW", window.to_owned()),
            ("BENCH_DISORDER", disorder.to_owned()),
        ]
    }
}

fn main() -> Result<()> {
    let sizes = Sizes::read()?;
    let own;
    let brokers = if let Ok(brokers) = env::var("STREAM_BROKERS") {
        brokers
    } else {
        own = Broker::start(&["--heap", "1g"]);
        let Some(broker) = &own else { return Ok(()) };
        broker.addresses().to_owned()
    };
    let mut words = env::args().skip(1);
    let kept = words.rfind(|word| !word.starts_with("--"));
    let kept = kept.map(PathBuf::from);
    if let Some(folder) = &kept {
        fs::create_dir_all(folder)?;
    }
    let file = kept
        .as_ref()
        .map(|folder| File::create(folder.join("stream.jsonl")));
    let mut bench = Bench {
        brokers,
        sizes,
        scratch: env::temp_dir().join(format!("caudal-stream-{}", std::process::id())),
        kept,
        file: file.transpose()?,
        is_good: true,
    };
    fs::create_dir_all(&bench.scratch)?;
    let measured = measure(&mut bench);
    fs::remove_dir_all(&bench.scratch)?;
    measured?;
    if bench.is_good {
        Ok(())
    } else {
        Err("a mark is not met".into())
    }
}

fn measure(bench: &mut Bench) -> Result<()> {
    let all = "drain,topics,latency,verdicts,failover,rescale,windows,soak".to_owned();
    for what in env::var("STREAM_WHAT").unwrap_or(all).split(',') {
        match what {
            "drain" => drain::run(bench)?,
            "topics" => topics::drain(bench)?,
            "latency" => topics::latency(bench)?,
            "verdicts" => verdicts::run(bench)?,
            "failover" => failover::failover(bench)?,
            "rescale" => failover::rescale(bench)?,
            "windows" => windows::run(bench)?,
            "soak" => soak::run(bench)?,
            other => return Err(format!("STREAM_WHAT: {other} is not known").into()),
        }
    }
    Ok(())
}

/// A count as a number to reckon with.
fn number(count: u64) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts for people"
    )]
    let exact = count as f64;
    exact
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
