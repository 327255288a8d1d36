//! The benchmark job's input as files, made by the release binary where they are not there yet, and what their bench is asked for.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What was generated.
pub(crate) struct Generated {
    /// The sales, in `csv`.
    pub(crate) folder: PathBuf,
    /// The look-ups.
    pub(crate) dims: PathBuf,
    /// What is known of the sales.
    pub(crate) truth: Value,
}

/// So many sales below a folder.
pub(crate) fn generated(rows: u64, data: &Path) -> Result<Generated> {
    let size = if rows.is_multiple_of(1_000_000) {
        format!("{}m", rows / 1_000_000)
    } else {
        rows.to_string()
    };
    let folder = data.join(size);
    let truth = folder.join("truth.json");
    if !truth.exists() {
        let rows = rows.to_string();
        let status = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args([
                "generate", "ventas", "--rows", &rows, "--seed", "1", "--only", "csv", "--out",
            ])
            .arg(data)
            .status()?;
        if !status.success() {
            return Err(format!("generate: {status}").into());
        }
    }
    Ok(Generated {
        truth: serde_json::from_str(&std::fs::read_to_string(truth)?)?,
        dims: data.join("dims"),
        folder,
    })
}

/// A variable of the environment.
pub(crate) fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
