//! What `explain` and `check` print of jobs without an end: where messages come from, and how the job goes on.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::shown_paths;
use crate::job::plan::{
    Continuous, FollowSource, Format, KafkaSource, KafkaStart, OnDataLoss, Plan, SourcePlan,
    Topics, Transport,
};
use crate::job::resolve::duration_text;

/// How the job goes on.
pub(super) fn job(continuous: &Continuous) -> Value {
    json!({
        "epoch": duration_text(continuous.epoch),
        "checkpoint": duration_text(continuous.checkpoint),
        "state": continuous.state.display().to_string(),
    })
}

/// What is added to a source of messages; secrets are masked.
pub(super) fn source(source: &SourcePlan, kafka: &KafkaSource) -> Map<String, Value> {
    let mut added = Map::new();
    let mut add = |name: &str, value: Value| {
        added.insert(name.to_owned(), value);
    };
    match &kafka.topics {
        Topics::Named(names) => add("topics", json!(names.join(", "))),
        Topics::Pattern(pattern) => add("topic_pattern", json!(pattern)),
    }
    if let Format::AvroMessages { registry } = &source.format {
        add("registry", json!(registry));
    }
    add("start", json!(start(&kafka.start)));
    add("on_data_loss", json!(on_data_loss(kafka.on_data_loss)));
    if let Some(group) = &kafka.group {
        add("group", json!(group));
    }
    let options: Map<String, Value> = kafka
        .shown_options()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    if !options.is_empty() {
        add("options", Value::Object(options));
    }
    arrival(source, &mut added);
    added
}

/// What is added to a source of files that go on.
pub(super) fn followed(source: &SourcePlan, files: &FollowSource) -> Map<String, Value> {
    let mut added = Map::new();
    let still = files.complete_after.map(duration_text);
    added.insert("complete_after".to_owned(), json!(still));
    let loss = on_data_loss(files.on_data_loss);
    added.insert("on_data_loss".to_owned(), json!(loss));
    let copies = if files.reads_copies { "read" } else { "skip" };
    added.insert("copies".to_owned(), json!(copies));
    arrival(source, &mut added);
    added
}

fn on_data_loss(written: OnDataLoss) -> &'static str {
    match written {
        OnDataLoss::Stop => "stop",
        OnDataLoss::Earliest => "earliest",
    }
}

/// How events arrive, where the source has an event time.
fn arrival(source: &SourcePlan, added: &mut Map<String, Value>) {
    if source.event_time.is_none() {
        return;
    }
    for (name, duration) in [
        ("disorder", source.arrival.disorder),
        ("max_future", source.arrival.max_future),
        ("idle_after", source.arrival.idle_after),
    ] {
        added.insert(name.to_owned(), json!(duration_text(duration)));
    }
}

/// What goes into the dataflow, and where positions are kept.
pub(super) fn edges(plan: &Plan) -> Vec<(String, String)> {
    let Some(continuous) = &plan.continuous else {
        return Vec::new();
    };
    let read = || "sources:read".to_owned();
    let mut edges: Vec<_> = endless(plan).map(|(_, from)| (from, read())).collect();
    let clock = format!("clock, an epoch every {}", duration_text(continuous.epoch));
    edges.push((clock, read()));
    let state = format!(
        "state {}, a checkpoint every {}",
        continuous.state.display(),
        duration_text(continuous.checkpoint)
    );
    edges.push((read(), state));
    edges
}

/// The lines of `check`: what is read, and how the job goes on.
pub(in crate::cli) fn lines(plan: &Plan) -> Vec<String> {
    let Some(continuous) = &plan.continuous else {
        return Vec::new();
    };
    let mut lines = vec![format!(
        "continuous: epoch {}, checkpoint {}, state {}",
        duration_text(continuous.epoch),
        duration_text(continuous.checkpoint),
        continuous.state.display()
    )];
    lines.extend(endless(plan).map(|(source, from)| format!("sources.{}: {from}", source.name)));
    lines
}

/// The sources without an end, and where each reads from.
fn endless(plan: &Plan) -> impl Iterator<Item = (&SourcePlan, String)> {
    plan.sources.iter().filter_map(|source| {
        let from = match &source.transport {
            Transport::Kafka(kafka) => format!("Kafka {}", from(kafka)),
            Transport::Follow(files) => format!("files {}", shown_paths(&files.paths)),
            Transport::Files { .. } | Transport::Generate { .. } => return None,
        };
        Some((source, from))
    })
}

/// `127.0.0.1:9092, topics ventas, from the earliest message`
fn from(kafka: &KafkaSource) -> String {
    let topics = match &kafka.topics {
        Topics::Named(names) => format!("topics {}", names.join(", ")),
        Topics::Pattern(pattern) => format!("topics like {pattern}"),
    };
    format!("{}, {topics}, start {}", kafka.brokers, start(&kafka.start))
}

fn start(start: &KafkaStart) -> String {
    match start {
        KafkaStart::Earliest => "earliest".to_owned(),
        KafkaStart::Latest => "latest".to_owned(),
        KafkaStart::Time(millis) => DateTime::from_timestamp_millis(*millis).map_or_else(
            || format!("{millis} ms since 1970"),
            |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        ),
        KafkaStart::Offsets(offsets) => {
            let each = offsets
                .iter()
                .map(|((topic, partition), offset)| format!("{topic}/{partition} = {offset}"));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}
