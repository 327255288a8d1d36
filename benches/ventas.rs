//! The whole job on generated data: `cargo bench --bench ventas`.
//!
//! Runs the release binary on `benches/ventas/ventas.toml`, compares what it wrote with the generator's truth before any time
//! is shown, and prints one line a run as JSON: rows, workers, wall and CPU seconds, rows per CPU second, peak memory, bytes
//! written. What is optimised is CPU seconds of the whole process, start to end, input in the page cache.
//!
//! `VENTAS_ROWS` (1,000,000), `VENTAS_WORKERS` (`1,2`), `VENTAS_RUNS` (3) and `VENTAS_DATA` (a folder that is kept) say what is run;
//! runs with different numbers of workers alternate, so that a noisy machine is noisy for all of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
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
            let written = check(&out, &truth)?;
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

/// Compares the output with the truth; gives the bytes written.
fn check(out: &Path, truth: &Value) -> Result<u64> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    let mut written = 0;
    let mut files = Vec::new();
    for folder in ["enriched", "quarantine", "quality"] {
        find(&out.join(folder), &mut files)?;
    }
    for file in files {
        written += std::fs::metadata(&file)?.len();
        let kind = file
            .strip_prefix(out)?
            .components()
            .next()
            .map(|first| first.as_os_str().to_owned());
        for batch in
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file)?)?.build()?
        {
            add(
                &mut sums,
                kind.as_ref().and_then(|kind| kind.to_str()).unwrap_or(""),
                &batch?,
            );
        }
    }
    let quality = &truth["quality"];
    let expected = [
        ("valid", truth["valid"].clone()),
        ("quarantined", truth["quarantined"].clone()),
        ("sum_amount", decimal(&truth["sum_amount"])),
        ("sum_amount_usd", decimal(&truth["sum_amount_usd"])),
        ("sum_sale_id", truth["sum_sale_id"].clone()),
        ("sum_region_id", truth["sum_region_id"].clone()),
        ("sum_category_id", truth["sum_category_id"].clone()),
        ("quality.rows", quality["rows"].clone()),
        ("quality.total_rows", quality["total_rows"].clone()),
        ("quality.null_customers", quality["null_customers"].clone()),
        ("quality.sum_amount", decimal(&quality["sum_amount"])),
        ("quality.sum_max_ts_ms", quality["sum_max_ts_ms"].clone()),
        ("quality.z_count", quality["z_count"].clone()),
    ];
    for (name, expected) in expected {
        let got = sums.get(name).copied().unwrap_or(0).to_string();
        let expected = expected
            .as_str()
            .map_or_else(|| expected.to_string(), str::to_owned);
        if got != expected {
            return Err(format!("{name}: got {got}, expected {expected}").into());
        }
    }
    Ok(written)
}

/// A decimal text as a whole number of its smallest unit, as text.
fn decimal(value: &Value) -> Value {
    Value::String(value.as_str().unwrap_or("").replace('.', ""))
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn add(sums: &mut BTreeMap<&'static str, i128>, kind: &str, batch: &RecordBatch) {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let rows = i128::try_from(batch.num_rows()).expect("a number of rows");
    let ints = |name: &str| {
        column(name)
            .as_primitive::<Int32Type>()
            .iter()
            .flatten()
            .map(i128::from)
            .sum::<i128>()
    };
    let longs = |name: &str| {
        column(name)
            .as_primitive::<Int64Type>()
            .iter()
            .flatten()
            .map(i128::from)
            .sum::<i128>()
    };
    let money = |name: &str| {
        column(name)
            .as_primitive::<Decimal128Type>()
            .iter()
            .flatten()
            .sum::<i128>()
    };
    let of_batch: Vec<(&'static str, i128)> = match kind {
        "enriched" => vec![
            ("valid", rows),
            ("sum_amount", money("amount")),
            ("sum_amount_usd", money("amount_usd")),
            ("sum_sale_id", longs("sale_id")),
            ("sum_region_id", ints("region_id")),
            ("sum_category_id", ints("category_id")),
        ],
        "quarantine" => vec![("quarantined", rows)],
        _ => {
            let newest = column("max_ts")
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .flatten();
            let z = column("z")
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .count();
            vec![
                ("quality.rows", rows),
                ("quality.total_rows", longs("rows")),
                ("quality.null_customers", longs("null_customers")),
                ("quality.sum_amount", money("sum_amount")),
                (
                    "quality.sum_max_ts_ms",
                    newest.map(|ts| i128::from(ts / 1000)).sum(),
                ),
                (
                    "quality.z_count",
                    i128::try_from(z).expect("a number of windows"),
                ),
            ]
        }
    };
    for (name, value) in of_batch {
        *sums.entry(name).or_default() += value;
    }
}
