//! What each method of variance finds in a year of hourly sales whose incidents are known: `cargo bench --bench methods`.
//!
//! Prints a line a method and threshold as JSON, and then a table of what each reaches with the threshold that the documents say to start from.
//! An alarm is a window beyond the threshold; those of a shop that are some hours apart are one. It is right where something happened in it.
//! What is optimised is nothing: it is a measure of methods, with their time beside.
//!
//! `METHODS_STORES` (500), `METHODS_SEED` (1) and `METHODS_WORKERS` (2) say what is run.

mod measured;
mod score;
mod year;

use std::error::Error;
use std::path::Path;

use serde_json::json;

use measured::{measure, reached};

#[expect(
    clippy::print_stdout,
    reason = "lines and a table are what this bench gives"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let variable =
        |name: &str, default: u32| std::env::var(name).map_or(Ok(default), |text| text.parse());
    let stores = variable("METHODS_STORES", 500)?;
    let seed = variable("METHODS_SEED", 1)?;
    let workers = variable("METHODS_WORKERS", 2)?;
    let folder = std::env::temp_dir().join(format!("caudal-methods-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let incidents = year::write(&folder.join("sales.csv"), stores, seed.into())?;
    let (summary, measured) = measure(Path::new(env!("CARGO_BIN_EXE_caudal")), &folder, workers)?;
    std::fs::remove_dir_all(&folder)?;
    println!(
        "{}",
        json!({
            "stores": stores, "seed": seed, "workers": workers, "rows": summary["rows"]["in"], "incidents": incidents.len(),
            "seconds": summary["seconds"], "cpu_seconds": summary["cpu_seconds"],
        })
    );
    let (lines, table, _) = reached(&measured, &incidents, stores);
    for line in lines {
        println!("{line}");
    }
    println!("\n{table}");
    Ok(())
}
