//! `[sinks]` as written: where results go, as what, and with which columns.

use std::fmt;

use schemars::JsonSchema;

use super::Named;
use crate::job::secrets::masked;

/// `[sinks.NAME]`: results go out; exactly one transport (`files`, `stdout`, `kafka`) and one format (`parquet`, `json`, `csv`,
/// `avro`).
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "transport", "oneOf": [{"required": ["files"]}, {"required": ["stdout"]}, {"required": ["kafka"]}]},
    {"title": "format", "oneOf": [{"required": ["parquet"]}, {"required": ["json"]}, {"required": ["csv"]}, {"required": ["avro"]}]},
]))]
pub struct SinkSpec {
    /// The table it takes: `rows` (clean rows), `refused`, `duplicates`, `verdicts` or `windows.NAME`. Default: `"rows"`.
    pub from: Option<String>,
    /// Transport: files under the job's output.
    pub files: Option<FilesSinkSpec>,
    /// Transport: standard output.
    pub stdout: Option<StdoutSpec>,
    /// Transport: messages of a Kafka topic, in continuous jobs; the format is `json` or `avro`. Each row is one message.
    pub kafka: Option<KafkaSinkSpec>,
    /// Format: Parquet.
    pub parquet: Option<ParquetSinkSpec>,
    /// Format: JSON, one object a line or message.
    pub json: Option<JsonSinkSpec>,
    /// Format: delimited text with a header line.
    pub csv: Option<CsvSinkSpec>,
    /// Format: Avro, in messages, behind the id of their schema as Confluent's serializers write it.
    pub avro: Option<AvroSinkSpec>,
    /// The columns in order: name in the output and SQL expression over the table. Default: all columns of the table.
    /// Example: `date = "cast(ts as date)"`.
    pub columns: Option<Named<String>>,
}

/// Files to write.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSinkSpec {
    /// Folder, relative to `[job] output`. Example: `"enriched"`.
    pub path: String,
    /// Columns of the sink that stand in the path only (`zone=…/date=…`), outermost first. Default: none.
    /// Example: `["zone", "date"]`.
    pub partition_by: Option<Vec<String>>,
}

/// Options of standard output: none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutSpec {}

/// A topic to write. Sinks with the same brokers write to one cluster: `delivery`, `shards`, `id` and
/// `options` concern the cluster, may be said by any of its sinks, and those that say them agree. Several sinks may write one topic.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkSpec {
    /// Some of the cluster's brokers, separated by commas; each finds the others. A port left out is 9092.
    /// Example: `"kafka-1:9092,kafka-2:9092"`.
    pub brokers: String,
    /// The topic. The job must not read it, too. Example: `"ventas-limpias"`.
    pub topic: String,
    /// SQL expression over the table: the key of a message, as text. Messages with one key keep their order. Default: none.
    /// Example: `"region_id"`.
    pub key: Option<String>,
    /// Headers of a message: name and SQL expression over the table, as text; one that is null is left out.
    /// Example: `{ zone = "zone" }`.
    #[serde(default)]
    pub headers: Named<String>,
    /// SQL expression over the table: the number of the partition, a whole number. Where it is null, and by default, the key's hash
    /// says which, as Kafka's own clients have it. A clean row with a number below zero is refused (`bad_message`); the job stops at one that
    /// the topic does not have. Example: `"region_id % 8"`.
    pub partition: Option<String>,
    /// SQL expression over the table: the time of the message, a timestamp. Where it is null, and by default, the time of sending. A clean
    /// row with a time before 1970 is refused (`bad_message`). Example: `"ts"`.
    pub timestamp: Option<String>,
    /// SQL condition over the table: where it is true the message is a tombstone, a key without a value, by which compacted topics
    /// forget the key. Needs `key`; a clean row without a key is refused there (`bad_message`). Default: never. Example: `"op = 'd'"`.
    pub tombstone: Option<String>,
    /// How the topic is made where it is not there. Default: it is not, and the job does not start without it.
    pub create: Option<CreateTopicSpec>,
    /// Most bytes of a message's key, value and headers together. A clean row with a larger message is refused (`too_large`); of a refused row
    /// each text is cut until its message fits. The topic must take as much (its `max.message.bytes`). Default: `"900 KiB"`, which all brokers take.
    pub max_message: Option<String>,
    /// The cluster: how often a row may be seen. Default: `"exactly_once"`.
    pub delivery: Option<DeliverySpec>,
    /// The cluster: number of producers, each with transactions of its own; a message's key says which one sends it. It may be changed only
    /// after the job was stopped and drained. Default: 4.
    #[schemars(range(min = 1, max = 256))]
    pub shards: Option<u32>,
    /// The cluster: what names the job there. `ID-progress` is the topic in which caudal keeps how far it is, and `ID-0`, `ID-1`, … are the
    /// transactional ids. No two jobs have the same. Default: `"caudal-"` and the job's name.
    pub id: Option<String>,
    /// The cluster: what happens when it does not take messages. With `"hold"` and `"at_least_once"` an epoch is sent when it is bound, not as
    /// its rows come. Default: `"stop"`.
    pub on_failure: Option<OnFailureSpec>,
    /// The cluster, with `on_failure = "hold"`: most bytes that are held, shared out evenly among its `shards`; the job stops when one of them
    /// has more, and loses nothing by that. Default: `"1 GiB"`.
    pub outbox: Option<String>,
    /// The cluster: options of the client, by the names that librdkafka gives them; all values are strings. Those that would break what is
    /// promised are refused. Passwords belong into variables: `"${KAFKA_PASSWORD}"`; what holds a secret by its name is never shown.
    /// Example: `{ "security.protocol" = "SASL_SSL", "compression.type" = "zstd" }`.
    #[serde(default)]
    pub options: Named<String>,
}

impl fmt::Debug for KafkaSinkSpec {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self
            .options
            .iter()
            .map(|(name, value)| (name, masked(name, value)));
        f.debug_struct("KafkaSinkSpec")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .field("tombstone", &self.tombstone)
            .field("create", &self.create)
            .field("max_message", &self.max_message)
            .field("delivery", &self.delivery)
            .field("shards", &self.shards)
            .field("id", &self.id)
            .field("on_failure", &self.on_failure)
            .field("outbox", &self.outbox)
            .field("options", &options.collect::<Vec<_>>())
            .finish()
    }
}

/// What happens when a cluster does not take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailureSpec {
    /// The job ends, and goes on from there when it is started again.
    Stop,
    /// Messages that can't be delivered for some seconds are held in the state, up to `outbox`, while the other sinks go on; they are sent
    /// when the cluster is there again. A job that has written to it before starts without it, too.
    Hold,
}

/// How a topic is made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTopicSpec {
    /// Number of partitions. Example: `8`.
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: i32,
    /// Number of copies. Default: what the brokers have as their default.
    #[schemars(range(min = 1, max = 100))]
    pub replication: Option<i32>,
    /// Settings of the topic by Kafka's names; all values are strings. Example: `{ "cleanup.policy" = "compact" }`.
    #[serde(default)]
    pub config: Named<String>,
}

/// How often a row may be seen in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliverySpec {
    /// Once, by transactions: consumers that read with `isolation.level = "read_committed"` see each row once.
    ExactlyOnce,
    /// Once, or more often after a fault, and sooner: rows are sent as they come.
    AtLeastOnce,
}

/// Options of Parquet that is written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSinkSpec {
    /// Compression of pages. Default: `"zstd"`.
    pub compression: Option<Compression>,
    /// In a continuous job: whether the folder is a Delta table, too, whose readers see each commit whole. Default: false.
    pub delta: Option<bool>,
    /// Of a Delta table: whether small files of a partition are put together when there are fifty of them, beside the commits, which changes
    /// no row for readers of the table. Who reads the folder without the table's log sees the rows of both. Default: false.
    pub merge_files: Option<bool>,
    /// Of a Delta table whose files are put together: how long the small ones stay for who reads an older version. Default: `"7 days"`.
    pub keep_merged: Option<String>,
}

/// Compression of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// zstd, level 1.
    Zstd,
    /// Snappy.
    Snappy,
    /// None.
    None,
}

/// Options of Avro that is written. The schema follows from the sink's columns: decimals, dates and timestamps have their logical types, a
/// column that may be null is a union with null. It is known to the registry before the job starts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvroSinkSpec {
    /// Address of a schema registry that speaks Confluent's protocol; the environment variable `CAUDAL_REGISTRY_USER_INFO`
    /// may hold `user:password`. Example: `"https://registry:8081"`.
    pub registry: String,
    /// What the schema is registered under. Default: the topic and `"-value"`. Example: `"ventas-limpias-value"`.
    pub subject: Option<String>,
    /// Name of the record. Default: the sink's. Example: `"Venta"`.
    pub name: Option<String>,
    /// What the name is in. Default: nothing. Example: `"com.example.ventas"`.
    pub namespace: Option<String>,
    /// Whether the schema is registered where the subject does not have it; the registry judges whether it goes with those before.
    /// With false the subject must have it. Default: true.
    pub register: Option<bool>,
}

/// Options of delimited text that is written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSinkSpec {
    /// One ASCII character between fields. Default: `","`.
    pub delimiter: Option<String>,
}

/// Options of JSON that is written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonSinkSpec {
    /// How decimals are written. Default: `"number"`.
    pub decimals: Option<DecimalsSpec>,
}

/// How JSON has decimals; every digit is there either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecimalsSpec {
    /// As numbers: `12.30`. Readers that take numbers for doubles may change the last digits.
    Number,
    /// As texts: `"12.30"`.
    Text,
}
