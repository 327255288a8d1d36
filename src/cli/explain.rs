//! `caudal explain`: the plan and the dataflow, for people, as a picture, or as JSON.

pub(super) mod continuous;
mod freshness;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::numbers::data_type;
use super::stop::{FINE, Stop};
use super::{load, print};
use crate::job::plan::{
    Against, Complete, Corrections, Decimals, Direction, Empty, ExpectedRows, Format, Keep,
    LookupPlan, Measure, Method, Missing, Placement, Plan, Records, Same, SinkFormat, SinkFrom,
    SinkPlan, SinkTo, SourceColumn, Then, Transport, VarianceRule, WindowLength, WindowPlan,
};
use crate::job::resolve::{duration_text, type_text};

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Indented text.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// One JSON document.
    Json,
}

impl Style {
    /// The style that the flags ask for; clap refuses both at once.
    pub(super) fn of(mermaid: bool, json: bool) -> Self {
        match (mermaid, json) {
            (true, _) => Self::Mermaid,
            (_, true) => Self::Json,
            _ => Self::Text,
        }
    }
}

/// Resolves the job and prints what would run. Reads no data.
///
/// # Errors
/// Every fault of the file.
pub(super) fn explain(file: &Path, style: Style) -> Result<u8, Stop> {
    let plan = load::job(file)?;
    let text = match style {
        Style::Text => text(&plan),
        Style::Mermaid => mermaid(&plan),
        Style::Json => format!("{:#}\n", document(&plan)),
    };
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}

/// The document as indented text: what is said in JSON, said once.
fn text(plan: &Plan) -> String {
    let mut out = format!("job {}\n", plan.name);
    outline(&mut out, 1, &document(plan));
    out.push_str("\ndataflow\n");
    for (from, to) in edges(plan) {
        writeln!(out, "  {from} -> {to}").expect("a String takes everything");
    }
    out
}

/// Objects and lists by indentation.
fn outline(out: &mut String, depth: usize, value: &Value) {
    let indent = "  ".repeat(depth);
    let mut line = |name: &str, value: &Value| {
        let inline = match value {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) if items.is_empty() => return,
            Value::Object(_) | Value::Array(_) => None,
            Value::Null => return,
            other => Some(other.to_string()),
        };
        if let Some(inline) = inline {
            writeln!(out, "{indent}{name}: {inline}").expect("a String takes everything");
        } else {
            writeln!(out, "{indent}{name}").expect("a String takes everything");
            outline(out, depth + 1, value);
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| line(name, value)),
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => {
                        writeln!(out, "{indent}- {text}").expect("a String takes everything");
                    }
                    other => outline(out, depth, other),
                }
            }
        }
        _ => {}
    }
}

/// The plan as JSON.
fn document(plan: &Plan) -> Value {
    let columns = |ids: &[usize]| {
        ids.iter()
            .map(|id| plan.columns[*id].name.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let sources = plan.sources.iter().map(|source| {
        let event_time = source.event_time.map(|id| plan.columns[id].name.clone());
        let mut body = serde_json::Map::new();
        let from = transport(&source.transport, &source.format);
        body.insert("from".to_owned(), json!(from));
        body.insert("event_time".to_owned(), json!(event_time));
        match &source.transport {
            Transport::Kafka(kafka) => body.extend(continuous::source(source, kafka)),
            Transport::Follow(files) => body.extend(continuous::followed(source, files)),
            Transport::Files { .. } | Transport::Generate { .. } => {}
        }
        let columns: Vec<Value> = source.columns.iter().map(column).collect();
        body.insert("columns".to_owned(), json!(columns));
        (source.name.clone(), Value::Object(body))
    });
    let lookups = plan
        .lookups
        .iter()
        .map(|lookup| (lookup.name.clone(), explained(lookup)));
    let derived = plan.derived.iter().map(|derived| {
        let of_type = data_type(derived.expression.data_type());
        (
            derived.name.clone(),
            json!(format!("{} ({of_type})", derived.expression.text())),
        )
    });
    let rules = plan.rules.iter().map(|rule| {
        let then = match rule.then {
            Then::Refuse => format!("refuse as {}", rule.reason),
            Then::Drop => "drop".to_owned(),
            Then::Warn => "warn".to_owned(),
            Then::Stop => "stop the run".to_owned(),
        };
        (
            rule.name.clone(),
            json!(format!("{} else {then}", rule.expect.text())),
        )
    });
    let duplicates = plan.duplicates.iter().map(|duplicates| {
        let nulls = if duplicates.nulls_are_equal {
            "nulls are equal"
        } else {
            "a null is equal to nothing"
        };
        let then = match duplicates.keep {
            Keep::First => "keep the first",
            Keep::Report => "report",
        };
        let columns = columns(&duplicates.columns);
        (
            duplicates.name.clone(),
            json!(format!("equal in {columns} ({nulls}): {then}")),
        )
    });
    let windows = plan
        .windows
        .iter()
        .map(|window| (window.name.clone(), window_of(plan, window)));
    let checks = plan
        .checks
        .iter()
        .map(|check| (check.name.clone(), json!(measure(plan, &check.measure))));
    let calendars = plan.calendars.iter();
    let calendars: serde_json::Map<_, _> = calendars
        .map(|calendar| (calendar.name.clone(), freshness::calendar(calendar)))
        .collect();
    let stages = plan.stages.iter().map(|stage| {
        let lookups = stage
            .lookups
            .iter()
            .map(|lookup| format!("lookups.{}", plan.lookups[*lookup].name));
        let derived = stage
            .derived
            .iter()
            .map(|derived| format!("derive.{}", plan.derived[*derived].name));
        json!(lookups.chain(derived).collect::<Vec<_>>().join(", "))
    });
    let sinks = plan
        .sinks
        .iter()
        .map(|sink| (sink.name.clone(), sink_of(plan, sink)));
    let mut job = json!({
        "name": plan.name, "key": columns(&plan.key), "time_zone": plan.time_zone.name(),
        "output": plan.output.display().to_string(), "max_refused": format!("{} %", plan.max_refused * 100.0),
        "chunk_bytes": plan.chunk_bytes, "epoch_bytes": plan.epoch_bytes, "in_flight_bytes": plan.in_flight_bytes,
        "partials": plan.partials.word(),
    });
    if let (Some(continuous), Value::Object(job)) = (&plan.continuous, &mut job) {
        // What only runs with an end go by.
        job.retain(|name, _| !matches!(name.as_str(), "max_refused" | "epoch_bytes"));
        job.insert("continuous".to_owned(), continuous::job(continuous));
    }
    let clusters = plan
        .clusters
        .iter()
        .map(|cluster| (cluster.brokers.clone(), continuous::cluster(cluster)));
    let mut document = json!({
        "job": job,
        "sources": sources.collect::<serde_json::Map<_, _>>(),
        "lookups": lookups.collect::<serde_json::Map<_, _>>(),
        "derive": derived.collect::<serde_json::Map<_, _>>(),
        "order": stages.collect::<Vec<_>>(),
        "rules": rules.collect::<serde_json::Map<_, _>>(),
        "duplicates": duplicates.collect::<serde_json::Map<_, _>>(),
        "windows": windows.collect::<serde_json::Map<_, _>>(),
        "checks": checks.collect::<serde_json::Map<_, _>>(),
        "sinks": sinks.collect::<serde_json::Map<_, _>>(),
    });
    if !calendars.is_empty() {
        document["calendars"] = Value::Object(calendars);
    }
    if !plan.clusters.is_empty() {
        document["clusters"] = Value::Object(clusters.collect());
    }
    document
}

fn transport(transport: &Transport, format: &Format) -> String {
    let format = match format {
        // A message is one record, with nothing between.
        Format::Json(_) if matches!(transport, Transport::Kafka(_)) => "json",
        Format::Csv(_) => "csv",
        Format::Json(options) => match options.records {
            Records::Lines => "json lines",
            Records::Array => "json array",
            Records::Objects => "json objects",
        },
        Format::Parquet => "parquet",
        Format::Arrow => "arrow",
        Format::Avro | Format::AvroMessages { .. } => "avro",
        Format::Debezium => "debezium",
    };
    match transport {
        Transport::Follow(files) => {
            format!("{format} files that go on {}", shown_paths(&files.paths))
        }
        Transport::Files { paths, per_process } => {
            let paths = shown_paths(paths);
            let whose = if *per_process { " of each process" } else { "" };
            format!("{format} files{whose} {paths}")
        }
        Transport::Generate { rows, seed } => format!("{rows} generated rows, seed {seed}"),
        Transport::Kafka(kafka) => format!("{} messages of Kafka at {}", format, kafka.brokers),
    }
}

/// Paths and patterns in one line.
fn shown_paths(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

fn column(column: &SourceColumn) -> Value {
    let header = match column.metadata {
        Some(metadata) => format!(" from the message's {}", metadata.word()),
        None if column.header == column.name => String::new(),
        None => format!(" from {:?}", column.header),
    };
    let null = if column.not_null { " not null" } else { "" };
    let reason = column
        .reason
        .as_ref()
        .map(|reason| format!(", else {reason}"))
        .unwrap_or_default();
    json!(format!(
        "{} {}{null}{header}{reason}",
        column.name,
        type_text(column.column_type)
    ))
}

fn explained(lookup: &LookupPlan) -> Value {
    let on = lookup
        .on
        .iter()
        .map(|(position, key)| format!("{} = {}", lookup.reference[*position].name, key.text()));
    let missing = match &lookup.missing {
        Missing::Refuse(reason) => format!("refuse as {reason}"),
        Missing::Null => "null".to_owned(),
        Missing::Wait { reason, patience } => {
            format!(
                "wait for {}, then refuse as {reason}",
                duration_text(*patience)
            )
        }
    };
    let validity = lookup.validity.as_ref().map(|validity| {
        let to = validity
            .to
            .map(|to| format!(" to {}", lookup.reference[to].name))
            .unwrap_or_default();
        format!(
            "valid from {}{to}, as of {}",
            lookup.reference[validity.from].name,
            validity.at.text()
        )
    });
    let columns = lookup
        .reference
        .iter()
        .map(|column| format!("{} {}", column.name, type_text(column.column_type)));
    json!({
        "from": transport(&lookup.transport, &lookup.format), "on": on.collect::<Vec<_>>().join(" and "),
        "validity": validity, "missing": missing, "placement": placement(lookup.placement), "columns": columns.collect::<Vec<_>>(),
    })
}

fn placement(placement: Placement) -> &'static str {
    match placement {
        Placement::Auto => "auto (partitioned above 64 MiB in several processes, else replicated)",
        Placement::Replicated => "replicated",
        Placement::Partitioned => "partitioned",
    }
}

fn window_of(plan: &Plan, window: &WindowPlan) -> Value {
    let per: Vec<&str> = window
        .per
        .iter()
        .map(|id| plan.columns[*id].name.as_str())
        .collect();
    let length = |length| match length {
        WindowLength::Fixed(micros) => format!("{} s", micros / 1_000_000),
        WindowLength::Days(days) => format!("{days} business days"),
        WindowLength::Weeks(weeks, first) => format!("{weeks} weeks from {first}"),
        WindowLength::Months(months) => format!("{months} months"),
    };
    let length = if window.panes == 1 {
        length(window.length)
    } else {
        let (long, short) = (length(window.length), length(window.every));
        format!("{long}, one every {short}: each row is in {}", window.panes)
    };
    let statistics = window
        .statistics
        .iter()
        .map(|statistic| format!("{} {}", statistic.name, data_type(&statistic.data_type)));
    let within = plan.correct_within(window).map(|micros| {
        let within = duration_text(Duration::from_micros(micros.unsigned_abs()));
        let changes = match window.corrections {
            Corrections::Final => "the table has what is final",
            Corrections::Changes => "the table has each change",
        };
        format!("{within}; {changes}")
    });
    let mut shown = json!({
        "per": per.join(", "), "length": length, "event_time": plan.columns[window.event_time].name,
        "statistics": statistics.collect::<Vec<_>>(),
    });
    if let Some(within) = within {
        shown["corrected_within"] = within.into();
    }
    shown
}

fn measure(plan: &Plan, measure: &Measure) -> String {
    let bound = |word: &str, value: Option<f64>| {
        value
            .map(|value| format!(", {word} {value}"))
            .unwrap_or_default()
    };
    match measure {
        Measure::Completeness {
            window,
            of,
            filter,
            skip_partial,
            calendar,
            min_rows,
            warn_below,
            fail_below,
        } => format!(
            "completeness of {}{} in windows.{}{}{}{}{}{}",
            complete(plan, *window, of),
            filter
                .as_ref()
                .map_or_else(String::new, |filter| format!(" where {}", filter.text())),
            plan.windows[*window].name,
            bound(
                if matches!(of, Complete::Refused) {
                    "warn above"
                } else {
                    "warn below"
                },
                *warn_below
            ),
            bound(
                if matches!(of, Complete::Refused) {
                    "fail above"
                } else {
                    "fail below"
                },
                *fail_below
            ),
            if matches!(of, Complete::Rows(_) | Complete::Files(_)) {
                String::new()
            } else {
                format!(", from {min_rows} rows on")
            },
            if *skip_partial {
                ", without partial windows"
            } else {
                ""
            },
            calendar.map_or_else(String::new, |calendar| format!(
                ", in hours of calendar {}",
                plan.calendars[calendar].name
            ))
        ),
        Measure::Freshness(freshness) => self::freshness::words(plan, freshness),
        Measure::Variance { window, of, rule } => format!(
            "{} of {} in windows.{} {}{}{}{}",
            method(rule),
            plan.windows[*window].statistics[*of].name,
            plan.windows[*window].name,
            against(plan, *window, rule),
            bound("warn beyond", rule.warn_beyond),
            bound("fail beyond", rule.fail_beyond),
            extras(rule)
        ),
    }
}

fn complete(plan: &Plan, window: usize, of: &Complete) -> String {
    match of {
        Complete::Column(column) => plan.columns[*column].name.clone(),
        Complete::Columns(columns, _) => {
            let names = columns.iter().map(|id| plan.columns[*id].name.as_str());
            names.collect::<Vec<_>>().join(" and ")
        }
        Complete::Matched { lookup, .. } => {
            format!(
                "rows that found theirs in lookups.{}",
                plan.lookups[*lookup].name
            )
        }
        Complete::Refused => "refused rows".to_owned(),
        Complete::Rows(expected) => expected_of(plan, window, expected, "rows"),
        Complete::Files(expected) => expected_of(plan, window, expected, "files"),
    }
}

/// How much should have come of what is counted.
fn expected_of(plan: &Plan, window: usize, expected: &ExpectedRows, counted: &str) -> String {
    match expected {
        ExpectedRows::Listed(listed) => {
            let lookup = &plan.lookups[listed.lookup];
            let name = |position: usize| {
                format!(
                    "lookups.{}.{}",
                    lookup.name, lookup.reference[position].name
                )
            };
            let rows = listed.rows.map_or_else(
                || format!("{counted} of lookups.{}", lookup.name),
                |rows| format!("{} {counted}", name(rows)),
            );
            match listed.at {
                Some(at) => format!("{rows} at {}", name(at)),
                None => rows,
            }
        }
        ExpectedRows::Alike(weeks, same) => {
            format!(
                "the {counted} of the same {} of {weeks} weeks of {}",
                word(*same),
                plan.time_zone
            )
        }
        ExpectedRows::Number(number) => format!("{number} {counted}"),
        ExpectedRows::Statistic(index) => {
            format!("{} {counted}", plan.windows[window].statistics[*index].name)
        }
    }
}

fn method(rule: &VarianceRule) -> &'static str {
    match rule.method {
        Method::Z => "z-score",
        Method::Mad => "modified z-score",
        Method::Relative => "relative deviation",
        Method::Range => "excess over the range",
    }
}

fn against(plan: &Plan, window: usize, rule: &VarianceRule) -> String {
    let previous = |windows: usize| format!("against the previous {windows} windows");
    match rule.against {
        Against::Previous(windows) => previous(windows),
        Against::Calendar(windows, Empty::Zero) => {
            format!("{} by the calendar, empty ones as 0", previous(windows))
        }
        Against::Calendar(windows, Empty::Skip) => {
            format!("{} by the calendar", previous(windows))
        }
        Against::Weeks(weeks, same) => {
            let same = word(same);
            format!(
                "against the same {same} of {weeks} weeks of {}",
                plan.time_zone
            )
        }
        Against::Statistic(other) => {
            format!("against {}", plan.windows[window].statistics[other].name)
        }
    }
}

fn word(same: Same) -> &'static str {
    match same {
        Same::Hour => "hour",
        Same::Weekday => "weekday",
    }
}

/// What a job seldom says of a variance check, and how much history it needs.
fn extras(rule: &VarianceRule) -> String {
    let mut told = String::new();
    let mut tell = |part: String| {
        told += ", ";
        told += &part;
    };
    match rule.direction {
        Direction::Up => tell("upwards".to_owned()),
        Direction::Down => tell("downwards".to_owned()),
        Direction::Both => {}
    }
    if rule.floor_absolute > 0.0 {
        tell(format!("its unit at least {}", rule.floor_absolute));
    }
    if rule.floor_relative > 0.0 {
        tell(format!(
            "its unit at least {} of the centre",
            rule.floor_relative
        ));
    }
    if !rule.exclude.is_empty() {
        tell(format!("without {} excluded times", rule.exclude.len()));
    }
    if rule.skip_partial {
        tell("without partial windows".to_owned());
    }
    if !matches!(rule.against, Against::Statistic(_)) {
        tell(format!("from {} windows on", rule.min_history));
    }
    told
}

fn from(plan: &Plan, sink: &SinkPlan) -> String {
    match sink.from {
        SinkFrom::Rows => "rows".to_owned(),
        SinkFrom::Refused => "refused".to_owned(),
        SinkFrom::Duplicates => "duplicates".to_owned(),
        SinkFrom::Verdicts => "verdicts".to_owned(),
        SinkFrom::Windows(window) => format!("windows.{}", plan.windows[window].name),
    }
}

fn sink_of(plan: &Plan, sink: &SinkPlan) -> Value {
    let shown = |decimals| match decimals {
        Decimals::Number => "",
        Decimals::Text => ", decimals as text",
    };
    let format = match &sink.format {
        SinkFormat::Parquet(compression) => format!("parquet, {compression:?}").to_lowercase(),
        // A message is one row, with nothing between.
        SinkFormat::Json(decimals) if sink.message().is_some() => {
            format!("json{}", shown(*decimals))
        }
        SinkFormat::Json(decimals) => format!("json lines{}", shown(*decimals)),
        SinkFormat::Csv { .. } => "csv".to_owned(),
        SinkFormat::Avro(options) => {
            format!("avro, subject {} at {}", options.subject, options.registry)
        }
    };
    let (to, by) = match &sink.to {
        SinkTo::Files { path, partition_by } => {
            let by: Vec<&str> = partition_by
                .iter()
                .map(|place| sink.columns[*place].name.as_str())
                .collect();
            (path.display().to_string(), by.join(", "))
        }
        SinkTo::Stdout => ("standard output".to_owned(), String::new()),
        SinkTo::Kafka(kafka) => (format!("topic {}", kafka.topic), String::new()),
    };
    let columns = sink.columns.iter().map(|column| {
        let text = column.expression.text();
        let meaning = if text == column.name {
            String::new()
        } else {
            format!(" = {text}")
        };
        format!(
            "{} {}{meaning}",
            column.name,
            data_type(column.expression.data_type())
        )
    });
    let mut body = json!({
        "from": from(plan, sink), "to": to, "format": format, "partition_by": (!by.is_empty()).then_some(by),
        "columns": columns.collect::<Vec<_>>(),
    });
    if let (Some(kafka), Value::Object(body)) = (sink.message(), &mut body) {
        body.extend(continuous::topic(plan, kafka));
    }
    body
}

/// The operators, as they are named in the summary's stages, and what goes from one to the other.
fn edges(plan: &Plan) -> Vec<(String, String)> {
    let mut edges = continuous::edges(plan);
    edges.push(("sources:read".to_owned(), "decode:decode".to_owned()));
    let mut last = "decode:decode".to_owned();
    let mut to = |next: String| {
        edges.push((std::mem::replace(&mut last, next.clone()), next));
    };
    for (number, stage) in plan.stages.iter().enumerate() {
        for lookup in stage.lookups.iter().map(|lookup| &plan.lookups[*lookup]) {
            let name = &lookup.name;
            if lookup.placement == Placement::Partitioned {
                to(format!("lookup:ask {name}"));
                to(format!("lookup:take {name}"));
            } else {
                to(format!("lookup:enrich {name}"));
            }
        }
        if !stage.derived.is_empty() {
            to(format!("transform:derive {number}"));
        }
    }
    to("validate:rules".to_owned());
    to("validate:split".to_owned());
    for duplicates in &plan.duplicates {
        to(format!("validate:duplicates {}", duplicates.name));
    }
    if !plan.key.is_empty() {
        to("exchange:by_bin".to_owned());
    }
    let clean = last;
    for lookup in &plan.lookups {
        let of = |step: &str| format!("lookup:{step} {}", lookup.name);
        let ways: &[_] = if lookup.placement == Placement::Partitioned {
            &[("load", "answer"), ("ask", "answer"), ("answer", "take")]
        } else {
            &[("load", "enrich")]
        };
        edges.extend(ways.iter().map(|(from, to)| (of(from), of(to))));
    }
    for window in &plan.windows {
        edges.push((clean.clone(), format!("checks:reduce {}", window.name)));
        edges.push((
            format!("checks:reduce {}", window.name),
            format!("checks:tally {}", window.name),
        ));
    }
    let ages = || {
        let checks = plan.freshness();
        checks.map(|(check, _)| format!("checks:freshness {}", check.name))
    };
    edges.extend(ages().map(|to| (clean.clone(), to)));
    let judged = || {
        let windows = plan.windows.iter();
        let windows = windows.map(|window| format!("checks:tally {}", window.name));
        windows.chain(ages())
    };
    if plan.keeps_verdicts() {
        edges.extend(judged().map(|from| (from, "sinks:history".to_owned())));
    }
    if !plan.alerts.is_empty() {
        edges.extend(judged().map(|from| (from, "alerts:bad".to_owned())));
        edges.extend(plan.alerts.iter().map(|alerts| {
            let to = format!("alerts {}: {}", alerts.name, alerts.to);
            ("alerts:bad".to_owned(), to)
        }));
    }
    if plan.keeps_quarantine() {
        edges.push(("validate:split".to_owned(), "sinks:keep".to_owned()));
    }
    for sink in &plan.sinks {
        let step = if sink.message().is_some() {
            "encode"
        } else {
            "stage"
        };
        let stage = format!("sinks:{step} {}", sink.name);
        match sink.from {
            SinkFrom::Rows => edges.push((clean.clone(), stage)),
            SinkFrom::Refused => edges.push(("validate:split".to_owned(), stage)),
            SinkFrom::Duplicates => {
                let each = plan.duplicates.iter();
                edges.extend(
                    each.map(|each| (format!("validate:duplicates {}", each.name), stage.clone())),
                );
            }
            SinkFrom::Windows(window) => {
                edges.push((format!("checks:tally {}", plan.windows[window].name), stage));
            }
            SinkFrom::Verdicts => edges.extend(judged().map(|from| (from, stage.clone()))),
        }
    }
    edges.extend(continuous::deliveries(plan));
    edges
}

/// The dataflow as a Mermaid flowchart.
fn mermaid(plan: &Plan) -> String {
    let edges = edges(plan);
    let mut names: Vec<&String> = Vec::new();
    for name in edges.iter().flat_map(|(from, to)| [from, to]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let id = |name: &String| {
        names
            .iter()
            .position(|known| *known == name)
            .expect("every name is known")
    };
    let mut out = "flowchart LR\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        writeln!(out, "  n{number}[\"{}\"]", name.replace('"', "'"))
            .expect("a String takes everything");
    }
    for (from, to) in &edges {
        writeln!(out, "  n{} --> n{}", id(from), id(to)).expect("a String takes everything");
    }
    out
}
