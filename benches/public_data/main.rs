//! Public files, each read whole with all its types: `cargo bench --bench public_data`.
//!
//! caudal runs a job on each file: it reads and judges every row, and writes what is clean to Parquet and what is refused to quarantine.
//! With `PUBLIC_PYTHON` naming a Python that has them, DuckDB and Polars read the same files into the same types in memory
//! (`read.py`). Seconds are those of caudal's job and of their read, which begins when Python and the library stand; in parentheses stand
//! those of the whole process. All use every core.
//!
//! One JSON line for each file and tool goes to standard output, the README's table to standard error; the files' folder is
//! `CAUDAL_TEST_DATA` (`../shared/data`). Rows are held against the folder's `FACTS.json` before any time is shown. `PUBLIC_RUNS` (5) is how often
//! each is timed after a first time that isn't; tools alternate, so that a noisy machine is noisy for all.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what this bench gives"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A data set of `FACTS.json` (or a table of one), the job that reads it, and the variables that the job wants.
struct Set {
    name: &'static str,
    job: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

const fn set(
    name: &'static str,
    job: &'static str,
    variables: &'static [(&'static str, &'static str)],
) -> Set {
    Set {
        name,
        job,
        variables,
    }
}

const SETS: &[Set] = &[
    set(
        "online_retail_2010_12",
        "tests/data/online_retail.toml",
        &[("LINES", "2010-12/*.csv")],
    ),
    set(
        "online_retail_2011H1",
        "tests/data/online_retail.toml",
        &[("LINES", "online_retail_2011H1.csv.gz")],
    ),
    set(
        "electronics_2019_01",
        "jobs/till_exports.toml",
        &[("TILL_FILES", "Sales_January_2019.csv.gz")],
    ),
    set(
        "electronics_2019_04",
        "jobs/till_exports.toml",
        &[("TILL_FILES", "Sales_April_2019.csv")],
    ),
    set(
        "electronics_2019_12",
        "jobs/till_exports.toml",
        &[("TILL_FILES", "Sales_December_2019.csv.zst")],
    ),
    set("superstore_us_cr", "tests/data/superstore.toml", &[]),
    set("sales_data_sample", "jobs/territories.toml", &[]),
    set("supermarket_words", "tests/data/supermarket.toml", &[]),
    set("ventas_sucio", "tests/data/ventas_sucio.toml", &[]),
    set("vendas_br", "jobs/vendas.toml", &[]),
    set("vendas_br_meta", "tests/data/vendas_meta.toml", &[]),
    set("vendas_br_produtos", "tests/data/vendas_produtos.toml", &[]),
    set("vendas_br_pais", "tests/data/vendas_pais.toml", &[]),
    set("northwind_orders", "tests/data/northwind_orders.toml", &[]),
    set(
        "northwind_products",
        "tests/data/northwind_products.toml",
        &[],
    ),
    set(
        "northwind_categories",
        "tests/data/northwind_categories.toml",
        &[],
    ),
    set(
        "northwind_customers",
        "tests/data/northwind_customers.toml",
        &[],
    ),
    set(
        "adventureworks_2017",
        "tests/data/adventureworks.toml",
        &[("YEAR_FILE", "AdventureWorks_Sales_2017.csv")],
    ),
    set(
        "adventureworks_2018",
        "tests/data/adventureworks.toml",
        &[("YEAR_FILE", "AdventureWorks_Sales_2018.csv.zst")],
    ),
    set(
        "adventureworks_products",
        "tests/data/adventureworks_products.toml",
        &[],
    ),
    set("complete_journey", "jobs/grocery_baskets.toml", &[]),
    set(
        "complete_journey/products",
        "tests/data/grocery_products.toml",
        &[],
    ),
    set("ecommerce_sales", "tests/data/ecommerce.toml", &[]),
    set("iso3166", "tests/data/iso3166.toml", &[]),
    set("eurofxref_hist", "tests/data/eurofxref.toml", &[]),
];

/// Who reads.
#[derive(Clone, Copy)]
enum Tool {
    Caudal,
    DuckDb,
    Polars,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Caudal => "caudal",
            Self::DuckDb => "duckdb",
            Self::Polars => "polars",
        }
    }
}

/// One run: rows kept and refused, seconds of the job or the read, and of the whole process.
struct Reading {
    kept: u64,
    refused: u64,
    seconds: f64,
    process_seconds: f64,
}

/// Where things are, and how often to look.
struct Bench {
    data: PathBuf,
    facts: Value,
    out: tempfile::TempDir,
    python: Option<String>,
    workers: usize,
    runs: usize,
}

fn main() -> Result<()> {
    let data = std::env::var_os("CAUDAL_TEST_DATA")
        .map_or_else(|| Path::new(ROOT).join("../shared/data"), PathBuf::from)
        .canonicalize()?;
    let bench = Bench {
        facts: serde_json::from_str(&std::fs::read_to_string(data.join("FACTS.json"))?)?,
        data,
        out: tempfile::tempdir()?,
        python: std::env::var("PUBLIC_PYTHON").ok(),
        workers: std::thread::available_parallelism()?.get(),
        runs: std::env::var("PUBLIC_RUNS").map_or(Ok(5), |runs| runs.parse())?,
    };
    let mut table = String::from(
        "| file | rows | refused, dropped | caudal s | DuckDB s | Polars s |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for set in SETS {
        table.push_str(&bench.measure(set)?);
    }
    eprint!("{table}");
    Ok(())
}

impl Bench {
    /// Times every tool on a data set; gives its line of the table.
    fn measure(&self, set: &Set) -> Result<String> {
        let tools: &[Tool] = if self.python.is_some() {
            &[Tool::Caudal, Tool::DuckDb, Tool::Polars]
        } else {
            &[Tool::Caudal]
        };
        let mut readings: Vec<Vec<std::result::Result<Reading, String>>> =
            tools.iter().map(|_| Vec::new()).collect();
        for run in 0..=self.runs {
            for (tool, readings) in tools.iter().zip(&mut readings) {
                // A tool that can't read a file is not asked again.
                if readings.last().is_some_and(std::result::Result::is_err) {
                    continue;
                }
                let reading = match tool {
                    Tool::Caudal => Ok(self.caudal(set)?),
                    other => self.python(*other, set)?,
                };
                if run > 0 || reading.is_err() {
                    readings.push(reading);
                }
            }
        }
        let mut columns = Vec::new();
        let mut refused = 0;
        for (tool, readings) in tools.iter().zip(readings) {
            let (line, seconds) = match readings
                .into_iter()
                .collect::<std::result::Result<Vec<_>, _>>()
            {
                Ok(readings) => {
                    let (median, seconds) = ordered(&readings, |reading| reading.seconds);
                    let (whole, process) = ordered(&readings, |reading| reading.process_seconds);
                    if matches!(tool, Tool::Caudal) {
                        refused = readings[0].refused;
                    }
                    let line = json!({
                        "kept": readings[0].kept, "refused_or_dropped": readings[0].refused, "median_seconds": median,
                        "seconds": seconds, "median_process_seconds": whole, "process_seconds": process,
                    });
                    (line, format!("{median:.3} ({whole:.2})"))
                }
                Err(why) => (json!({ "error": why }), "cannot".to_owned()),
            };
            println!(
                "{}",
                json!({ "file": set.name, "tool": tool.name(), "result": line })
            );
            columns.push(seconds);
        }
        columns.resize(3, String::new());
        let rows = self.rows(set);
        Ok(format!(
            "| {} | {rows} | {refused} | {} |\n",
            set.name.replace(['_', '/'], " "),
            columns.join(" | ")
        ))
    }

    /// Rows that can be read, by the facts.
    fn rows(&self, set: &Set) -> &Value {
        let sets = &self.facts["datasets"];
        match set.name.split_once('/') {
            Some((set, table)) => &sets[set][table]["rows"],
            None => &sets[set.name]["well_formed_rows"],
        }
    }

    fn command(&self, program: &str, set: &Set) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(ROOT)
            .env("CAUDAL_DATA", &self.data)
            .env("CAUDAL_OUT", self.out.path())
            .envs(set.variables.iter().copied());
        command
    }

    /// Runs the job; fails where its rows are not those of the facts.
    fn caudal(&self, set: &Set) -> Result<Reading> {
        let begin = Instant::now();
        let output = self
            .command(env!("CARGO_BIN_EXE_caudal"), set)
            .args(["run", set.job, "--json", "--quiet", "-w"])
            .arg(self.workers.to_string())
            .output()?;
        let process_seconds = begin.elapsed().as_secs_f64();
        let summary = answer(&output)?;
        let rows = &summary["rows"];
        let count = |name: &str| rows[name].as_u64().unwrap_or(0);
        let (kept, expected) = (count("clean"), self.rows(set));
        if expected.as_u64() != Some(kept) {
            return Err(format!("{}: {rows}, not {expected} rows", set.name).into());
        }
        Ok(Reading {
            kept,
            refused: count("refused") + count("dropped"),
            seconds: summary["seconds"].as_f64().unwrap_or(0.0),
            process_seconds,
        })
    }

    /// Has another tool read the job's files; gives the reason where it can't.
    fn python(&self, tool: Tool, set: &Set) -> Result<std::result::Result<Reading, String>> {
        let begin = Instant::now();
        let python = self.python.as_deref().unwrap_or("python3");
        let output = self
            .command(python, set)
            .arg("benches/public_data/read.py")
            .args([tool.name(), set.job])
            .output()?;
        let process_seconds = begin.elapsed().as_secs_f64();
        let answer = answer(&output)?;
        if let Some(why) = answer["error"].as_str() {
            return Ok(Err(why.to_owned()));
        }
        Ok(Ok(Reading {
            kept: answer["rows"].as_u64().unwrap_or(0),
            refused: 0,
            seconds: answer["seconds"].as_f64().unwrap_or(0.0),
            process_seconds,
        }))
    }
}

/// The median of a figure, and all of them in order.
fn ordered(readings: &[Reading], of: impl Fn(&Reading) -> f64) -> (f64, Vec<f64>) {
    let mut all: Vec<f64> = readings.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all)
}

fn answer(output: &Output) -> Result<Value> {
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout)?);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {told}", output.status).into())
}
