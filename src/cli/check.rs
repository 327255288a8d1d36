//! `caudal check`: every fault of a job file, or what it would write.

use std::fmt::Write;
use std::path::Path;

use super::explain::continuous;
use super::numbers::data_type;
use super::stop::{FINE, Stop};
use super::{load, print};

/// Resolves the job and prints the columns of its sinks. Reads no data.
///
/// # Errors
/// Every fault of the file.
pub(super) fn check(file: &Path) -> Result<u8, Stop> {
    let plan = load::job(file)?;
    let mut text = format!("{}: ok\n", file.display());
    for line in continuous::lines(&plan) {
        writeln!(text, "{line}").expect("a String takes everything");
    }
    for sink in &plan.sinks {
        let to = sink
            .message()
            .map_or_else(String::new, |kafka| format!(": topic {}", kafka.topic));
        writeln!(text, "sinks.{}{to}", sink.name).expect("a String takes everything");
        for column in &sink.columns {
            let null = if column.expression.nullable() {
                ""
            } else {
                " not null"
            };
            writeln!(
                text,
                "  {} {}{null}",
                column.name,
                data_type(column.expression.data_type())
            )
            .expect("a String takes everything");
        }
    }
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}
