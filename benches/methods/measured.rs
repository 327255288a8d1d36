//! Runs the job over a year, and reads what every method has measured.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampMicrosecondType};
use chrono::{DateTime, Timelike};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::score::{Score, Values};
use super::year::{Incident, KINDS, KNOWN_DAYS, Kind, first_day};

/// A method as the job names it: what it looks at, in words; how many hours a window has; the thresholds that are tried; the one that the documents
/// say to start from.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) hours: i64,
    pub(crate) thresholds: &'static [f64],
    pub(crate) start: f64,
}

const DEVIATIONS: &[f64] = &[2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0];
const SHARES: &[f64] = &[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0];
const EXCESSES: &[f64] = &[0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0];

const fn method(
    name: &'static str,
    words: &'static str,
    hours: i64,
    thresholds: &'static [f64],
    start: f64,
) -> Method {
    Method {
        name,
        words,
        hours,
        thresholds,
        start,
    }
}

/// All methods.
pub(crate) const METHODS: [Method; 14] = [
    method("hours_z", "z, 24 hours before", 1, DEVIATIONS, 5.0),
    method("hours_mad", "mad, 24 hours before", 1, DEVIATIONS, 6.0),
    method("weeks_z", "z, same hour of 8 weeks", 1, DEVIATIONS, 6.0),
    method("weeks_mad", "mad, same hour of 8 weeks", 1, DEVIATIONS, 8.0),
    method(
        "weeks_relative",
        "relative, same hour of 8 weeks",
        1,
        SHARES,
        1.0,
    ),
    method(
        "weeks_range",
        "range, same hour of 8 weeks",
        1,
        EXCESSES,
        2.0,
    ),
    method("weeks_z_bare", "z, same hour, no floor", 1, DEVIATIONS, 6.0),
    method(
        "weeks_mad_bare",
        "mad, same hour, no floor",
        1,
        DEVIATIONS,
        8.0,
    ),
    method(
        "weeks_z_all",
        "z, same hour, known days among them",
        1,
        DEVIATIONS,
        6.0,
    ),
    method("days_z", "z, same weekday of 8 weeks", 24, DEVIATIONS, 3.5),
    method(
        "days_mad",
        "mad, same weekday of 8 weeks",
        24,
        DEVIATIONS,
        2.5,
    ),
    method(
        "days_relative",
        "relative, same weekday of 8 weeks",
        24,
        SHARES,
        0.4,
    ),
    method(
        "days_range",
        "range, same weekday of 8 weeks",
        24,
        EXCESSES,
        1.0,
    ),
    method(
        "days_hours",
        "relative, hours with sales of the day",
        24,
        SHARES,
        0.3,
    ),
];

/// Runs the job over `sales.csv` of a folder; gives its summary and what each method measured.
pub(crate) fn measure(
    binary: &Path,
    folder: &Path,
    workers: u32,
) -> Result<(Value, BTreeMap<String, Values>), Box<dyn Error>> {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/methods/methods.toml"),
    )?;
    let days: Vec<String> = KNOWN_DAYS
        .iter()
        .map(|(month, day, _)| format!("\"2026-{month:02}-{day:02}\""))
        .collect();
    let job = folder.join("methods.toml");
    fs::write(
        &job,
        text.replace("KNOWN", &format!("[{}]", days.join(", "))),
    )?;
    let output = Command::new(binary)
        .arg("run")
        .arg(&job)
        .args(["--json", "--quiet", "-w", &workers.to_string()])
        .env("METHODS_DATA", folder)
        .env("METHODS_OUT", folder.join("out"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut measured = BTreeMap::new();
    for (sink, hours) in [("hours", 1), ("days", 24)] {
        let names: Vec<&str> = METHODS
            .iter()
            .filter(|method| method.hours == hours)
            .map(|method| method.name)
            .collect();
        for file in fs::read_dir(folder.join("out").join(sink))? {
            let path = file?.path();
            if path.extension().is_some_and(|end| end == "parquet") {
                read(&path, &names, &mut measured)?;
            }
        }
    }
    for values in measured.values_mut().flat_map(BTreeMap::values_mut) {
        values.sort_by_key(|(hour, _)| *hour);
    }
    Ok((serde_json::from_slice(&output.stdout)?, measured))
}

/// What all methods reach: a line a method and threshold, a table of those to start from, and these by name.
pub(crate) fn reached(
    measured: &BTreeMap<String, Values>,
    incidents: &[Incident],
    stores: u32,
) -> (Vec<Value>, String, BTreeMap<&'static str, Score>) {
    let rounded = |number: f64| (number * 1e4).round() / 1e4;
    let mut lines = Vec::new();
    let mut table = String::from(
        "| method and history | beyond | precision | recall | drop | spike | twice | leak | outage | false alarms a shop and month | shops and known days |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut starts = BTreeMap::new();
    for method in METHODS {
        let values = &measured[method.name];
        for threshold in method.thresholds {
            let score = Score::of(values, method.hours, *threshold, incidents);
            let of = |kind: Kind| rounded(score.recall_of(kind));
            lines.push(json!({
                "method": method.name, "beyond": threshold, "alarms": score.alarms, "precision": rounded(score.precision()),
                "recall": rounded(score.recall()), "f1": rounded(score.f1()), "drop": of(Kind::Drop), "spike": of(Kind::Spike),
                "twice": of(Kind::Twice), "leak": of(Kind::Leak), "outage": of(Kind::Outage),
                "false_alarms_a_store_and_month": rounded(score.false_alarms(stores)), "alarms_on_known_days": score.on_known_days,
            }));
        }
        let score = Score::of(values, method.hours, method.start, incidents);
        let kinds: Vec<String> = KINDS
            .iter()
            .map(|kind| format!("{:.2}", score.recall_of(*kind)))
            .collect();
        let row = format!(
            "| {} | {} | {:.2} | {:.2} | {} | {:.2} | {} |\n",
            method.words,
            score.threshold,
            score.precision(),
            score.recall(),
            kinds.join(" | "),
            score.false_alarms(stores),
            score.on_known_days,
        );
        table.push_str(&row);
        starts.insert(method.name, score);
    }
    (lines, table, starts)
}

/// Adds what a file holds of some methods.
fn read(
    file: &Path,
    names: &[&str],
    measured: &mut BTreeMap<String, Values>,
) -> Result<(), Box<dyn Error>> {
    let midnight = first_day()
        .and_hms_opt(0, 0, 0)
        .ok_or("there is a midnight")?;
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()? {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or(format!("no column {name}"))
        };
        let stores = column("store")?.as_primitive::<Int32Type>();
        let starts = column("window_start")?.as_primitive::<TimestampMicrosecondType>();
        // The hour of the year by the clock of the shops; clocks are changed by night.
        let hours = starts.values().iter().map(|start| {
            let start = DateTime::from_timestamp_micros(*start).unwrap_or_default();
            let local = start
                .with_timezone(&chrono_tz::Europe::Madrid)
                .naive_local();
            let days = (local.date() - midnight.date()).num_days();
            days * 24 + i64::from(local.hour())
        });
        let hours: Vec<i64> = hours.collect();
        for name in names {
            let values = column(name)?.as_primitive::<Float64Type>();
            let of_method = measured.entry((*name).to_owned()).or_default();
            for row in (0..batch.num_rows()).filter(|row| values.is_valid(*row)) {
                let store = u32::try_from(stores.value(row))?;
                of_method
                    .entry(store)
                    .or_default()
                    .push((hours[row], values.value(row)));
            }
        }
    }
    Ok(())
}
