//! Jobs that write topics: what they resolve to.

use std::collections::BTreeMap;

use arrow_schema::DataType;

use super::super::plan;
use crate::job::plan::*;
use crate::transform::Expression;

/// A small job whose clean and refused rows go to topics of one cluster, and whose windows to one of another.
pub(super) const JOB: &str = r#"
format = 1

[job]
name = "ventas"
output = "../out/ventas"

[sources.sales]
event_time = "ts"
kafka = { brokers = "kafka-1", topics = ["ventas"] }
json = {}
[sources.sales.columns]
sale_id = "bigint not null"
ts = "timestamp not null"
amount = "decimal(12,2)"
region_id = "int"
note = "varchar"

[windows.minute]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"

[sinks.clean]
kafka = { brokers = "kafka-1,kafka-2:9092", topic = "limpias", key = "region_id", options = { "linger.ms" = "5", "sasl.password" = "geheim" } }
json = {} # clean
columns = { sale_id = "sale_id", amount = "amount" }

[sinks.refused]
from = "refused"
kafka = { brokers = "kafka-2, kafka-1", topic = "rechazadas" }
json = {}

[sinks.minutes]
from = "windows.minute"
kafka = { brokers = "other", id = "minutos", topic = "minutos", key = "window_start", timestamp = "window_end" }
json = {}
"#;

/// [`JOB`] with one text changed, which it has once. Both sinks that a case needs to disagree say what the first one says.
pub(super) fn changed(from: &str, to: &str) -> String {
    assert_eq!(JOB.matches(from).count(), 1, "{from:?}");
    let said = if to.contains("shards = 8") {
        "kafka = { shards = 2, delivery = \"at_least_once\", id = \"uno\", on_failure = \"hold\", outbox = \"2 GiB\", brokers = \"kafka-1,"
    } else if to.contains("partitions = 4") {
        "kafka = { create = { partitions = 8 }, brokers = \"kafka-1,"
    } else {
        "kafka = { brokers = \"kafka-1,"
    };
    let first = "kafka = { brokers = \"kafka-1,";
    assert_eq!(JOB.matches(first).count(), 1);
    JOB.replace(from, to).replace(first, said)
}

fn message(plan: &Plan, sink: usize) -> &KafkaSink {
    plan.sinks[sink].message().unwrap()
}

#[test]
fn sinks_with_the_same_brokers_are_one_cluster_and_everything_has_its_default() {
    let plan = plan(JOB);
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        plan.clusters,
        [
            KafkaCluster {
                brokers: "kafka-1:9092,kafka-2:9092".to_owned(),
                options: BTreeMap::from([
                    option("linger.ms", "5"),
                    option("sasl.password", "geheim")
                ]),
                delivery: Delivery::ExactlyOnce,
                shards: 4,
                id: "caudal-ventas".to_owned(),
                on_failure: OnFailure::Stop,
            },
            KafkaCluster {
                brokers: "other:9092".to_owned(),
                options: BTreeMap::new(),
                delivery: Delivery::ExactlyOnce,
                shards: 4,
                id: "minutos".to_owned(),
                on_failure: OnFailure::Stop,
            },
        ]
    );
    assert_eq!(plan.clusters[0].progress_topic(), "caudal-ventas-progress");
    assert!(!format!("{plan:?}").contains("geheim"));
    let clean = message(&plan, 0);
    assert_eq!((clean.cluster, clean.topic.as_str()), (0, "limpias"));
    assert_eq!(clean.max_message, 900 * 1024);
    assert!(clean.partition.is_none() && clean.timestamp.is_none() && clean.tombstone.is_none());
    assert!(clean.headers.is_empty() && clean.create.is_none());
    assert_eq!(message(&plan, 1).cluster, 0);
    assert!(message(&plan, 1).key.is_none());
    let minutes = message(&plan, 2);
    assert_eq!(minutes.cluster, 1);
    assert_eq!(minutes.key.as_ref().unwrap().data_type(), &timestamp_type());
    // Over the window's own columns: window_start is its first.
    assert_eq!(minutes.key.as_ref().unwrap().inputs(), [0]);
    assert_eq!(minutes.timestamp.as_ref().unwrap().column(), Some(1));
}

#[test]
fn what_may_fail_of_a_message_is_worked_out_before_the_split() {
    let text = JOB.replace(
        "key = \"region_id\"",
        "key = \"note\", headers = { day = \"cast(ts as date)\", twice = \"amount * 2\" }, partition = \"sale_id % 8\", \
         timestamp = \"ts\", tombstone = \"amount is null\"",
    );
    let plan = plan(&text);
    let names: Vec<&str> = plan
        .derived
        .iter()
        .map(|derived| derived.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "sinks.clean.kafka.partition",
            "sinks.clean.kafka.tombstone",
            "sinks.clean.kafka.headers.twice",
        ]
    );
    let clean = message(&plan, 0);
    let column = |expression: &Option<Expression>| {
        let column = expression.as_ref().and_then(Expression::column);
        plan.columns[column.unwrap()].name.clone()
    };
    assert_eq!(column(&clean.key), "note");
    assert_eq!(column(&clean.timestamp), "ts");
    assert_eq!(column(&clean.partition), "sinks.clean.kafka.partition");
    assert_eq!(
        clean.partition.as_ref().unwrap().data_type(),
        &DataType::Int32
    );
    assert_eq!(column(&clean.tombstone), "sinks.clean.kafka.tombstone");
    // The day of a time can't fail.
    assert_eq!(clean.headers[0].expression.text(), "cast(ts as date)");
    assert_eq!(
        column(&Some(clean.headers[1].expression.clone())),
        "sinks.clean.kafka.headers.twice"
    );
}

#[test]
fn all_that_is_said_of_a_cluster_and_a_topic_is_in_the_plan() {
    let text = JOB
        .replace(
            "topic = \"rechazadas\"",
            "topic = \"rechazadas\", shards = 2, delivery = \"at_least_once\", id = \"uno\", on_failure = \"hold\", outbox = \"2 GiB\", \
             options = { \"linger.ms\" = \"5\", \"delivery.timeout.ms\" = \"90000\" }",
        )
        .replace(
            "key = \"region_id\"",
            "key = \"region_id\", max_message = \"64 KiB\", create = { partitions = 8, replication = 3, config = { \"cleanup.policy\" = \"compact\" } }",
        );
    let plan = plan(&text);
    let cluster = &plan.clusters[0];
    assert_eq!(cluster.shards, 2);
    assert_eq!(cluster.delivery, Delivery::AtLeastOnce);
    assert_eq!(cluster.id, "uno");
    assert_eq!(cluster.on_failure, OnFailure::Hold { outbox: 2 << 30 });
    let names: Vec<&String> = cluster.options.keys().collect();
    assert_eq!(names, ["delivery.timeout.ms", "linger.ms", "sasl.password"]);
    let clean = message(&plan, 0);
    assert!(clean.is_compacted());
    assert_eq!(clean.max_message, 64 << 10);
    assert_eq!(
        clean.create,
        Some(CreateTopic {
            partitions: 8,
            replication: 3,
            config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
        })
    );
}
