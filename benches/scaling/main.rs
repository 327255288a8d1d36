//! How the whole job scales over threads and processes: `cargo bench --bench scaling`.
//!
//! Each line of JSON is one run of `benches/ventas/ventas.toml` by the release binary: what was asked, its shape, wall seconds, CPU
//! seconds of all processes. Strong scaling has one input for all shapes; weak scaling gives each worker the same number of
//! rows; the other inputs differ in regions: how many, and how uneven; three hosts are network namespaces on a bridge, where they
//! can be made. Rows are counted before a time is shown.
//!
//! `SCALING_ROWS` (2,000,000) and `SCALING_RUNS` (3) say how much; shapes alternate within a run. At the end a small model is fitted
//! to the medians of the strong and weak runs (see [`model`]) and says what more workers would need, with the error of its fit.
//! The last argument, a folder, gets `runs.jsonl` and `scaling.svg`.

mod hosts;
mod inputs;
mod model;
mod plot;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use inputs::{Regions, write_input};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BINARY: &str = env!("CARGO_BIN_EXE_caudal");

/// Processes, and workers in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) processes: u32,
    pub(crate) workers: u32,
}

impl Shape {
    pub(crate) fn all(self) -> u32 {
        self.processes * self.workers
    }
}

/// Threads, processes, and both.
const SHAPES: [(u32, u32); 16] = [
    (1, 1),
    (1, 2),
    (1, 3),
    (1, 4),
    (1, 6),
    (1, 8),
    (2, 1),
    (3, 1),
    (4, 1),
    (6, 1),
    (8, 1),
    (2, 2),
    (2, 4),
    (3, 2),
    (4, 2),
    (8, 2),
];

/// Shapes of two workers, which two cores can run, for what is compared at one number of workers.
const PAIRS: [(u32, u32); 2] = [(1, 2), (2, 1)];

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) what: String,
    pub(crate) shape: Shape,
    pub(crate) rows: u64,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

fn main() -> Result<()> {
    let rows: u64 = variable("SCALING_ROWS", "2000000").parse()?;
    let runs: u32 = variable("SCALING_RUNS", "3").parse()?;
    let kept = std::env::args()
        .skip(1)
        .rfind(|word| !word.starts_with("--"))
        .map(PathBuf::from);
    let scratch = std::env::temp_dir().join(format!("caudal-scaling-{}", std::process::id()));
    let measured = measure(&scratch, rows, runs);
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    let measured = measured?;
    let medians = medians(&measured);
    let mut lines: Vec<Value> = measured.iter().map(line).collect();
    lines.extend(medians.iter().map(|median| {
        let mut line = line(median);
        line["median"] = json!(true);
        line
    }));
    let only = |whats: &[&str]| -> Vec<Measured> {
        let medians = medians
            .iter()
            .filter(|median| whats.contains(&median.what.as_str()));
        medians.cloned().collect()
    };
    let strong = only(&["strong"]);
    let fitted = only(&["strong", "weak"]);
    lines.push(model::fit(&fitted).line(&fitted, rows));
    for line in &lines {
        say(&line.to_string());
    }
    if let Some(folder) = kept {
        std::fs::create_dir_all(&folder)?;
        let mut file = std::fs::File::create(folder.join("runs.jsonl"))?;
        for line in &lines {
            writeln!(file, "{line}")?;
        }
        std::fs::write(folder.join("scaling.svg"), plot::draw(&strong))?;
    }
    Ok(())
}

/// All runs, alternating.
fn measure(scratch: &Path, rows: u64, runs: u32) -> Result<Vec<Measured>> {
    let shape = |(processes, workers): (u32, u32)| Shape { processes, workers };
    let mut work: Vec<(String, Shape, u64, PathBuf)> = Vec::new();
    let uniform = write_input(BINARY, scratch, rows, Regions::AsGenerated)?;
    for of_all in SHAPES.map(shape) {
        work.push(("strong".to_owned(), of_all, rows, uniform.clone()));
    }
    for workers in [1, 2, 4, 8] {
        let rows = rows / 4 * u64::from(workers);
        let input = write_input(BINARY, scratch, rows, Regions::AsGenerated)?;
        for of_all in [(1, workers), (workers, 1)].map(shape) {
            if workers > 1 || of_all.processes == 1 {
                work.push(("weak".to_owned(), of_all, rows, input.clone()));
            }
        }
    }
    for regions in [
        Regions::Uniform(5),
        Regions::Uniform(16),
        Regions::Uniform(64),
        Regions::Zipf(5),
        Regions::Zipf(16),
        Regions::Zipf(64),
        Regions::MostlyOne(64),
    ] {
        let input = write_input(BINARY, scratch, rows, regions)?;
        for of_all in PAIRS.map(shape) {
            work.push((regions.name(), of_all, rows, input.clone()));
        }
    }
    let hosts = hosts::Hosts::new(0);
    if hosts.is_none() {
        say("{\"what\":\"three hosts\",\"skipped\":\"network namespaces can't be made here\"}");
    }
    let mut measured = Vec::new();
    for _ in 0..runs {
        for (what, shape, rows, input) in &work {
            measured.push(run(scratch, what, *shape, *rows, input, None)?);
        }
        let three = shape((3, 1));
        measured.push(run(scratch, "one host", three, rows, &uniform, None)?);
        if let Some(hosts) = &hosts {
            measured.push(run(
                scratch,
                "three hosts",
                three,
                rows,
                &uniform,
                Some(hosts),
            )?);
        }
    }
    Ok(measured)
}

fn run(
    scratch: &Path,
    what: &str,
    shape: Shape,
    rows: u64,
    input: &Path,
    hosts: Option<&hosts::Hosts>,
) -> Result<Measured> {
    let out = scratch.join("out");
    let words = |command: &mut Command| {
        command
            .args(["--json", "--quiet", "-w", &shape.workers.to_string()])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ventas/ventas.toml"))
            .env("VENTAS_IN", input)
            .env("VENTAS_DIMS", scratch.join("dims"))
            .env("VENTAS_OUT", &out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    };
    let before = children_cpu_seconds()?;
    let output = if let Some(hosts) = hosts {
        hosts.run(&scratch.join("hosts"), words)?
    } else {
        let mut command = Command::new(BINARY);
        if shape.processes > 1 {
            command.args(["launch", "-n", &shape.processes.to_string()]);
        } else {
            command.arg("run");
        }
        words(&mut command);
        command.output()?
    };
    let cpu = children_cpu_seconds()? - before;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{what} {shape:?}: {}: {told}", output.status).into());
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    if report["rows"]["in"].as_u64() != Some(rows) {
        return Err(format!("{what} {shape:?}: {} of {rows} rows", report["rows"]).into());
    }
    std::fs::remove_dir_all(&out)?;
    Ok(Measured {
        what: what.to_owned(),
        shape,
        rows,
        wall: report["seconds"].as_f64().unwrap_or(0.0),
        cpu,
    })
}

/// CPU seconds of all processes that have ended, and of those that they waited for.
fn children_cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no name in brackets")?.1;
    let ticks = fields.split_ascii_whitespace().skip(13).take(2);
    let mut seconds = 0.0;
    for ticks in ticks {
        seconds += ticks.parse::<f64>()? / 100.0;
    }
    Ok(seconds)
}

/// The median of each shape's runs, by wall and by CPU time, each for itself.
fn medians(measured: &[Measured]) -> Vec<Measured> {
    let mut found: Vec<Measured> = Vec::new();
    for one in measured {
        if found
            .iter()
            .any(|known| known.what == one.what && known.shape == one.shape)
        {
            continue;
        }
        let same = measured
            .iter()
            .filter(|other| other.what == one.what && other.shape == one.shape);
        let (wall, cpu): (Vec<f64>, Vec<f64>) = same.map(|run| (run.wall, run.cpu)).unzip();
        found.push(Measured {
            wall: median(wall),
            cpu: median(cpu),
            ..one.clone()
        });
    }
    found
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn line(one: &Measured) -> Value {
    let rows = model::number(one.rows);
    json!({
        "what": one.what, "processes": one.shape.processes, "workers": one.shape.workers, "rows": one.rows,
        "wall_seconds": (one.wall * 1000.0).round() / 1000.0, "cpu_seconds": (one.cpu * 100.0).round() / 100.0,
        "rows_per_second": (rows / one.wall).round(), "rows_per_cpu_second": (rows / one.cpu).round(),
    })
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn say(line: &str) {
    #[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
    {
        println!("{line}");
    }
}
