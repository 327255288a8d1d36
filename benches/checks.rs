//! What checks cost: the benchmark job without windows, with windows and without checks, and with the checks of `jobs/ventas.toml` and their
//! verdicts: `cargo bench --bench checks`.
//!
//! Runs the release binary on each in turn, compares what it wrote with the generator's truth before any time is shown, and prints a line a run as
//! JSON, and the medians at the end. What is optimised is CPU seconds. The mark: all checks cost at most a tenth more than none.
//!
//! `CHECKS_ROWS` (10,000,000), `CHECKS_RUNS` (5), `CHECKS_WORKERS` (1) and `CHECKS_DATA` (a folder that is kept) say what is run.

#[path = "shared/generated.rs"]
mod generated;
#[path = "shared/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use generated::{generated, variable};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BINARY: &str = env!("CARGO_BIN_EXE_caudal");

/// What is compared.
const KINDS: [&str; 3] = ["no windows", "no checks", "all checks"];

/// How much more than without checks they may cost.
const MOST: f64 = 1.10;

/// All kinds of checks, which warn and do not fail, since a run that fails shows nothing.
const CHECKS: &str = r#"[checks]
customer_known = { window = "minute", completeness = { column = "customer_id", min_rows = 10, warn_below = 0.85 }, value = "completeness" }
region_alive = { freshness = { per = ["region_id"], warn_after = "30 minutes" } }
amount_usual = { window = "minute", variance = { of = "sum_amount", against = { previous = 10 }, min_history = 5, warn_beyond = 4.0 }, value = "z" }

[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
parquet = { compression = "zstd" }

"#;

#[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
fn main() -> Result<()> {
    let rows: u64 = variable("CHECKS_ROWS", "10000000").parse()?;
    let runs: u32 = variable("CHECKS_RUNS", "5").parse()?;
    let workers = variable("CHECKS_WORKERS", "1");
    let scratch = std::env::temp_dir().join(format!("caudal-checks-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let data = std::env::var_os("CHECKS_DATA").map_or_else(|| scratch.join("data"), PathBuf::from);
    let input = generated(rows, &data)?;
    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in 0..runs {
        for kind in KINDS {
            let job = scratch.join("job.toml");
            fs::write(&job, text(kind)?)?;
            let out = scratch.join("out");
            let output = Command::new(BINARY)
                .arg("run")
                .arg(&job)
                .args(["--json", "--quiet", "-w", &workers])
                .env("VENTAS_IN", input.folder.join("csv"))
                .env("VENTAS_DIMS", &input.dims)
                .env("VENTAS_OUT", &out)
                .output()?;
            if !output.status.success() {
                return Err(format!("{kind}: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
            let report: Value = serde_json::from_slice(&output.stdout)?;
            if kind != "all checks" {
                // The truth has values of checks in each window.
                drop(fs::remove_dir_all(out.join("quality")));
                fs::create_dir(out.join("quality"))?;
            }
            truth::check(&out, &input.truth, kind == "all checks")?;
            let cpu = report["cpu_seconds"].as_f64().unwrap_or(0.0);
            seconds.entry(kind).or_default().push(cpu);
            println!(
                "{}",
                json!({
                    "run": run, "rows": rows, "workers": workers, "with": kind, "wall_seconds": report["seconds"], "cpu_seconds": cpu,
                    "peak_memory_mib": report["peak_memory_bytes"].as_u64().unwrap_or(0) >> 20, "verdicts": report["verdicts"],
                    "stages": report["stages"],
                })
            );
            fs::remove_dir_all(&out)?;
        }
    }
    fs::remove_dir_all(&scratch)?;
    let medians = seconds.into_iter().map(|(kind, mut seconds)| {
        seconds.sort_by(f64::total_cmp);
        (kind, seconds[seconds.len() / 2])
    });
    let medians: BTreeMap<&str, f64> = medians.collect();
    let ratio = medians["all checks"] / medians["no checks"];
    println!(
        "{}",
        json!({ "median_cpu_seconds": medians, "all_to_none": ratio, "at_most": MOST, "is_met": ratio <= MOST })
    );
    if ratio <= MOST {
        Ok(())
    } else {
        Err("checks cost more than they may".into())
    }
}

/// The benchmark job with less, or more, in it.
fn text(kind: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ventas/ventas.toml");
    let text = fs::read_to_string(file)?;
    let (before, rest) = text.split_once("# Both only measure").ok_or("no checks")?;
    let (_, sinks) = rest
        .split_once("[sinks.enriched]")
        .ok_or("no sink behind the checks")?;
    let sinks = format!("[sinks.enriched]{sinks}");
    let without = |sinks: &str| {
        sinks
            .replace("completeness = \"completeness\"\n", "")
            .replace("z = \"z\"\n", "")
    };
    Ok(match kind {
        "all checks" => format!("{before}{CHECKS}{sinks}"),
        "no checks" => format!("{before}{}", without(&sinks)),
        _ => {
            let (before, _) = before.split_once("[windows.minute]").ok_or("no windows")?;
            let (sinks, _) = sinks
                .split_once("[sinks.quality]")
                .ok_or("no sink of windows")?;
            format!("{before}{sinks}")
        }
    })
}
