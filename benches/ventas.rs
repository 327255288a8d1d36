//! The whole job on generated data: `cargo bench --bench ventas`.
//!
//! Runs the release binary on `benches/ventas/ventas.toml`, compares what it wrote with the generator's truth before any time
//! is shown, and prints one line a run as JSON: rows, workers, wall and CPU seconds, rows per CPU second, peak memory, bytes
//! written. What is optimised is CPU seconds of the whole process, start to end, input in the page cache.
//!
//! `VENTAS_ROWS` (1,000,000), `VENTAS_WORKERS` (`1,2`), `VENTAS_RUNS` (3) and `VENTAS_DATA` (a folder that is kept) say what is run;
//! runs with different numbers of workers alternate, so that a noisy machine is noisy for all of them.

#[path = "shared/truth.rs"]
mod truth;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BINARY: &str = env!("CARGO_BIN_EXE_caudal");

fn main() -> Result<()> {
    let rows: u64 = variable("VENTAS_ROWS", "1000000").parse()?;
    let runs: u32 = variable("VENTAS_RUNS", "3").parse()?;
    let workers: Vec<u32> = variable("VENTAS_WORKERS", "1,2")
        .split(',')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let scratch = std::env::temp_dir().join(format!("caudal-bench-{}", std::process::id()));
    let data = std::env::var_os("VENTAS_DATA").map_or_else(|| scratch.join("data"), PathBuf::from);
    let size = if rows.is_multiple_of(1_000_000) {
        format!("{}m", rows / 1_000_000)
    } else {
        rows.to_string()
    };
    let folder = data.join(&size);
    if !folder.join("truth.json").exists() {
        generate(rows, &data)?;
    }
    let truth: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("truth.json"))?)?;
    for run in 0..runs {
        for workers in &workers {
            let out = scratch.join("out");
            let report = run_job(&folder, &data.join("dims"), &out, *workers)?;
            let written = truth::check(&out, &truth, true)?;
            let seconds = report["seconds"].as_f64().unwrap_or(0.0);
            let cpu = report["cpu_seconds"].as_f64().unwrap_or(0.0);
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "a count of rows for people"
            )]
            let count = rows as f64;
            #[expect(
                clippy::print_stdout,
                reason = "one line a run is what this bench gives"
            )]
            {
                println!(
                    "{}",
                    json!({
                        "run": run, "rows": rows, "workers": workers, "wall_seconds": seconds, "cpu_seconds": cpu,
                        "rows_per_second": (count / seconds).round(), "rows_per_cpu_second": (count / cpu).round(),
                        "peak_memory_mib": report["peak_memory_bytes"].as_u64().unwrap_or(0) >> 20, "written_bytes": written,
                        "stages": report["stages"],
                    })
                );
            }
            std::fs::remove_dir_all(&out)?;
        }
    }
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(())
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn generate(rows: u64, data: &Path) -> Result<()> {
    let rows = rows.to_string();
    let status = Command::new(BINARY)
        .args([
            "generate", "ventas", "--rows", &rows, "--seed", "1", "--only", "csv", "--out",
        ])
        .arg(data)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("generate: {status}").into())
    }
}

fn run_job(folder: &Path, dims: &Path, out: &Path, workers: u32) -> Result<Value> {
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ventas/ventas.toml");
    let output = Command::new(BINARY)
        .args(["run", "--json", "--quiet", "-w", &workers.to_string()])
        .arg(job)
        .env("VENTAS_IN", folder.join("csv"))
        .env("VENTAS_DIMS", dims)
        .env("VENTAS_OUT", out)
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
