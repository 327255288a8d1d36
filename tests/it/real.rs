//! Jobs on public sales files, against figures that were worked out by others: `FACTS.json` and `JOBS.md` beside the files.
//!
//! The folder is `$CAUDAL_TEST_DATA`, or `../shared/data` beside the project; without it these tests say so and pass. Jobs that are of
//! use to people stand in `jobs`, those that only read a file with all its types in `tests/data`.

mod adventureworks;
mod code_pages;
mod duplicates;
mod ecommerce;
mod electronics;
mod facts;
mod grocery_baskets;
mod grocery_columns;
mod northwind;
mod online_retail;
mod reference;
mod supermarket;
mod superstore;
mod table;
mod territories;
mod variance;
mod vendas;
mod ventas_sucio;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use facts::Comparison;
use table::Table;

/// The public files, where they are.
pub(super) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("CAUDAL_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join("FACTS.json").exists() {
        return Some(folder.canonicalize().unwrap());
    }
    println!("skipped: no public data at {}", folder.display());
    None
}

pub(super) fn facts(data: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(data.join("FACTS.json")).unwrap()).unwrap()
}

/// One run of a job.
struct Done {
    job: PathBuf,
    summary: Value,
    out: tempfile::TempDir,
}

impl Done {
    fn rows(&self, what: &str) -> u64 {
        self.summary["rows"][what].as_u64().unwrap()
    }

    fn warned(&self, rule: &str) -> u64 {
        self.summary["warned_by_rule"][rule].as_u64().unwrap_or(0)
    }

    fn refused(&self, reason: &str) -> u64 {
        let refused = &self.summary["refused_by_reason"];
        refused[reason].as_u64().unwrap_or(0)
    }

    /// What a sink wrote.
    fn table(&self, sink: &str) -> Table {
        Table::read(&self.folder(sink), None)
    }

    /// Some columns of what a sink wrote.
    fn table_of(&self, sink: &str, columns: &[&str]) -> Table {
        Table::read(&self.folder(sink), Some(columns))
    }

    fn folder(&self, sink: &str) -> PathBuf {
        let outputs = self.summary["outputs"].as_array().unwrap();
        let output = outputs.iter().find(|output| output["sink"] == sink);
        let path = output.unwrap_or_else(|| panic!("no sink {sink}"))["path"].as_str();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path.unwrap());
        assert!(path.starts_with(self.out.path()), "{}", path.display());
        path
    }

    /// Holds records and, by column, rows against a data set; its records that are no rows must be refused or dropped.
    fn holds(&self, facts: &Value, set: &str, sink: &str, amount: &str, spelt_twice: &[&str]) {
        let of_set = &facts["datasets"][set];
        let count = |name: &str| of_set[name].as_u64().unwrap();
        assert_eq!(self.rows("in"), count("records"), "{set}");
        assert_eq!(
            self.refused("field_count"),
            count("ragged_records"),
            "{set}"
        );
        let skipped = count("blank_records") + count("repeated_header_records");
        assert_eq!(self.rows("dropped"), skipped, "{set}");
        let table = self.table(sink);
        Comparison {
            amount,
            spelt_twice,
            ..Comparison::of(of_set, &table, &self.job)
        }
        .holds(set);
    }
}

/// Runs a job that must succeed.
fn run(data: &Path, job: &str, words: &[&str], variables: &[(&str, &str)]) -> Done {
    let out = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", job, "--json", "--quiet"])
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CAUDAL_DATA", data)
        .env("CAUDAL_OUT", out.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{job}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = &summary["rows"];
    let count = |name: &str| rows[name].as_u64().unwrap();
    assert_eq!(
        count("in"),
        count("clean") + count("refused") + count("dropped"),
        "{job}: {rows}"
    );
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join(job);
    Done { job, summary, out }
}
