//! What `explain` and `check` print of jobs without an end: where messages come from and go to, and how the job goes on.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::shown_paths;
use crate::job::plan::{
    Continuous, FollowSource, Format, KafkaCluster, KafkaSink, KafkaSource, KafkaStart, OnDataLoss,
    OnFailure, Plan, SourcePlan, StatePlace, Topics, Transport,
};
use crate::job::resolve::{duration_text, size_text};

/// How the job goes on; secrets are masked.
pub(super) fn job(continuous: &Continuous) -> Value {
    let mut told = json!({
        "epoch": duration_text(continuous.epoch),
        "checkpoint": duration_text(continuous.checkpoint),
        "state": continuous.state.to_string(),
    });
    if let StatePlace::Bucket(bucket) = &continuous.state {
        let options: Map<String, Value> = bucket
            .shown_options()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        told["state_options"] = Value::Object(options);
    }
    told
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

/// What is added to a sink that writes a topic: how a row becomes a message. What its cluster does stands once, by [`cluster`].
pub(super) fn topic(plan: &Plan, kafka: &KafkaSink) -> Map<String, Value> {
    let mut added = Map::new();
    let brokers = &plan.clusters[kafka.cluster].brokers;
    added.insert("brokers".to_owned(), json!(brokers));
    for (option, expression) in kafka.expressions() {
        let option = option.trim_start_matches("kafka.").to_owned();
        added.insert(option, json!(expression.text()));
    }
    let bytes = u64::try_from(kafka.max_message).unwrap_or(u64::MAX);
    added.insert("max_message".to_owned(), json!(size_text(bytes)));
    if let Some(create) = &kafka.create {
        let mut made = json!({ "partitions": create.partitions, "config": create.config });
        if create.replication > 0 {
            made["replication"] = json!(create.replication);
        }
        added.insert("create".to_owned(), made);
    }
    added
}

/// How the topics of a cluster are written; secrets are masked.
pub(super) fn cluster(cluster: &KafkaCluster) -> Value {
    let options: Map<String, Value> = cluster
        .shown_options()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let mut shown = json!({
        "id": cluster.id, "delivery": cluster.delivery.word(), "shards": cluster.shards,
        "progress": cluster.progress_topic(), "options": options,
    });
    if let OnFailure::Hold { outbox } = cluster.on_failure {
        shown["on_failure"] = json!("hold");
        shown["outbox"] = json!(size_text(outbox));
    }
    shown
}

/// The operators behind sinks that write topics: messages of all of them meet at the producers of their cluster.
pub(super) fn deliveries(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    plan.sinks.iter().filter_map(|sink| {
        let cluster = &plan.clusters[sink.message()?.cluster];
        let to = format!(
            "sinks:deliver, shards {} at {}",
            cluster.shards, cluster.brokers
        );
        Some((format!("sinks:encode {}", sink.name), to))
    })
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
        continuous.state,
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
        continuous.state
    )];
    lines.extend(endless(plan).map(|(source, from)| format!("sources.{}: {from}", source.name)));
    lines.extend(plan.clusters.iter().map(|cluster| {
        format!(
            "Kafka {}: {}, shards {}, id {}{}",
            cluster.brokers,
            cluster.delivery.word(),
            cluster.shards,
            cluster.id,
            match cluster.on_failure {
                OnFailure::Stop => String::new(),
                OnFailure::Hold { outbox } => format!(", holds up to {}", size_text(outbox)),
            }
        )
    }));
    lines.extend(
        plan.alerts
            .iter()
            .map(|alerts| format!("alerts.{}: {}", alerts.name, alerts.to)),
    );
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
