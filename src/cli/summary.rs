//! What came of a run: for people, and as one line for machines.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::numbers;
use crate::cluster::Usage;
use crate::cluster::outcome::Outcome;
use crate::job::plan::{Keep, Plan};
use crate::record::Place;

/// The summary that ends a run.
pub(super) fn for_people(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("a String takes everything");
    line(format!(
        "{}: {}",
        plan.name,
        if outcome.is_good() {
            "done"
        } else {
            "failed, nothing is visible"
        }
    ));
    let (word, rows_in) = if outcome.replayed > 0 {
        ("replayed", outcome.replayed)
    } else {
        ("in      ", outcome.rows_in)
    };
    line(format!("  {word} {}", numbers::rows(rows_in)));
    line(format!("  clean    {}", numbers::grouped(outcome.clean)));
    let share = numbers::per_cent(outcome.refused, rows_in);
    line(format!(
        "  refused  {}  ({share})",
        numbers::grouped(outcome.refused)
    ));
    for (reason, rows) in by_rows(&outcome.refused_by_reason) {
        line(format!(
            "             {:>9}  {reason}",
            numbers::grouped(rows)
        ));
    }
    if outcome.dropped > 0 {
        line(format!("  dropped  {}", numbers::grouped(outcome.dropped)));
    }
    for (rule, rows) in &outcome.dropped_by_rule {
        line(format!(
            "             {:>9}  {rule}",
            numbers::grouped(*rows)
        ));
    }
    for (rule, rows) in &outcome.warned_by_rule {
        // What is no rule is an option of a source.
        let is_rule = plan.rules.iter().any(|known| known.name == *rule);
        line(format!(
            "  warned   {:>9}  {}{rule}",
            numbers::grouped(*rows),
            if is_rule { "rules." } else { "" }
        ));
    }
    for ((column, what), values) in &outcome.adjusted {
        line(format!(
            "  adjusted {:>9}  {column}: {what}",
            numbers::grouped(*values)
        ));
    }
    for duplicates in outcome.duplicates.iter().filter(|found| found.rows > 0) {
        let then = match duplicates.keep {
            Keep::First => "dropped",
            Keep::Report => "kept",
        };
        let rows = numbers::rows(duplicates.rows);
        let verb = if duplicates.rows == 1 {
            "repeats"
        } else {
            "repeat"
        };
        line(format!(
            "  repeated {}: {rows} {verb} another, {then}",
            duplicates.name
        ));
        for repeat in &duplicates.first {
            line(format!(
                "             {} repeats {}",
                repeat.place, repeat.repeats
            ));
        }
    }
    for (check, statuses) in &outcome.verdicts {
        let statuses: Vec<String> = statuses
            .iter()
            .map(|(status, count)| {
                let count = u64::try_from(*count).unwrap_or(0);
                format!("{} {status}", numbers::grouped(count))
            })
            .collect();
        line(format!("  check    {check}: {}", statuses.join(", ")));
    }
    for output in &outcome.outputs {
        let files = numbers::counted(output.files, "file", "files");
        let size = if output.files == 0 {
            String::new()
        } else {
            format!(", {files}, {}", numbers::bytes(output.bytes))
        };
        line(format!(
            "  output   {}: {}{size}  {}",
            output.sink,
            numbers::rows(output.rows),
            output.path
        ));
    }
    let rate = numbers::grouped(numbers::per_second(rows_in, outcome.seconds));
    write!(text, "  {:.2} s, {rate} rows per second", outcome.seconds)
        .expect("a String takes everything");
    text
}

/// Most rows first.
fn by_rows(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut sorted: Vec<(&str, u64)> = counts
        .iter()
        .map(|(name, rows)| (name.as_str(), *rows))
        .collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    sorted
}

/// What each `[duplicates]` found.
fn duplicates(outcome: &Outcome) -> Value {
    let place =
        |place: &Place| json!({ "file": place.file, "line": place.line, "byte": place.byte });
    let of_name = outcome.duplicates.iter().map(|duplicates| {
        let first = duplicates
            .first
            .iter()
            .map(|repeat| json!({ "at": place(&repeat.place), "repeats": place(&repeat.repeats) }));
        let body = json!({
            "rows": duplicates.rows,
            "kept": duplicates.keep == Keep::Report,
            "first": first.collect::<Vec<_>>(),
        });
        (duplicates.name.clone(), body)
    });
    Value::Object(of_name.collect())
}

/// The summary as one JSON value.
///
/// CPU seconds are those of all processes together, the peak of memory that of the largest, and of each from process 0 on.
pub(super) fn for_machines(outcome: &Outcome) -> Value {
    let mut usage = vec![Usage::now()];
    usage.extend(&outcome.others);
    json!({
        "rows": {
            "in": outcome.rows_in, "clean": outcome.clean, "refused": outcome.refused, "dropped": outcome.dropped,
            "parked": outcome.parked, "replayed": outcome.replayed,
        },
        "refused_by_reason": outcome.refused_by_reason,
        "dropped_by_rule": outcome.dropped_by_rule,
        "warned_by_rule": outcome.warned_by_rule,
        "adjusted": adjusted(outcome),
        "duplicates": duplicates(outcome),
        "verdicts": outcome.verdicts,
        "conservation": if outcome.conserved { "pass" } else { "fail" },
        "failures": outcome.failures,
        "warnings": outcome.warnings,
        "visible": outcome.is_good(),
        "outputs": outcome.outputs.iter().map(|output| json!({
            "sink": output.sink, "path": output.path, "rows": output.rows, "files": output.files, "bytes": output.bytes,
        })).collect::<Vec<_>>(),
        "stages": outcome.stages,
        "seconds": outcome.seconds,
        "processes": 1 + outcome.others.len(),
        "cpu_seconds": usage.iter().filter_map(|usage| usage.cpu_seconds).sum::<f64>(),
        "peak_memory_bytes": usage.iter().filter_map(|usage| usage.peak_memory_bytes).max(),
        "peak_memory_bytes_of_processes": usage.iter().map(|usage| usage.peak_memory_bytes).collect::<Vec<_>>(),
    })
}

/// Adjusted values by column and what was done to them.
fn adjusted(outcome: &Outcome) -> Value {
    let mut columns = json!({});
    for ((column, what), values) in &outcome.adjusted {
        columns[column][what] = json!(values);
    }
    columns
}
