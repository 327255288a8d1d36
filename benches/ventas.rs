//! The whole job on generated data: `cargo bench --bench ventas`.
//!
//! Runs the release binary on `benches/ventas/ventas.toml`, compares what it wrote with the generator's truth before any time
//! is shown, and prints one line a run as JSON: rows, workers, wall and CPU seconds, rows per CPU second, peak memory, bytes
//! written. What is optimised is CPU seconds of the whole process, start to end, input in the page cache.
//!
//! `VENTAS_ROWS` (1,000,000), `VENTAS_WORKERS` (`1,2`), `VENTAS_RUNS` (3) and `VENTAS_DATA` (a folder that is kept) say what is run;
//! runs with different numbers of workers alternate, so that a noisy machine is noisy for all of them.

#[path = "shared/generated.rs"]
mod generated;
#[path = "shared/truth.rs"]
mod truth;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use generated::{Generated, generated, variable};
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
    let input = generated(rows, &data)?;
    for run in 0..runs {
        for workers in &workers {
            let out = scratch.join("out");
            let report = run_job(&input, &out, *workers)?;
            let written = truth::check(&out, &input.truth, true)?;
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

fn run_job(input: &Generated, out: &Path, workers: u32) -> Result<Value> {
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ventas/ventas.toml");
    let output = Command::new(BINARY)
        .args(["run", "--json", "--quiet", "-w", &workers.to_string()])
        .arg(job)
        .env("VENTAS_IN", input.folder.join("csv"))
        .env("VENTAS_DIMS", &input.dims)
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
