//! The job file as written: serde structs that mirror its tables one to one.
//!
//! Nothing is computed here. Defaults are documented but not filled in, texts with a unit (`"10 minutes"`, `"64 MiB"`,
//! `"50 %"`), types and expressions stay text; `resolve` reads them. The doc comment of a field is the user's reference,
//! and also the description in the JSON Schema that editors read.
//!
//! Every table denies unknown keys. Nothing is flattened, untagged or tagged inside, since serde would buffer such values
//! first and lose their places; where exactly one of several tables must be there, the schema says so (`allOf` of `oneOf`)
//! and `document` reads it from the schema.

mod alerts;
mod calendars;
mod completeness;
mod freshness;
mod sinks;
mod variance;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::secrets::masked;

pub use alerts::{AlertLogSpec, AlertmanagerSpec, AlertsSpec, SeveritySpec, WebhookSpec};
pub use calendars::CalendarSpec;
pub use completeness::{CompletenessSpec, Counted, ExpectedFromSpec, ExpectedLikeSpec};
pub use freshness::{ExpectedSpec, FreshnessOn, FreshnessSpec};
pub use sinks::{
    AvroSinkSpec, Compression, CreateTopicSpec, CsvSinkSpec, DecimalsSpec, DeliverySpec,
    FilesSinkSpec, JsonSinkSpec, KafkaSinkSpec, OnFailureSpec, ParquetSinkSpec, SinkSpec,
    StdoutSpec,
};
pub use variance::{AgainstSpec, Direction, Empty, FloorSpec, Method, Same, VarianceSpec};

/// A caudal job: sources, look-ups, derived columns, rules, windows, checks and sinks.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "caudal job")]
pub struct Spec {
    /// Version of the job format; always 1.
    #[schemars(range(min = 1, max = 1))]
    pub format: u64,
    /// What concerns the job as a whole.
    pub job: JobSpec,
    /// Where rows come from; several sources are one union by column name.
    pub sources: Named<SourceSpec>,
    /// Reference tables that rows are enriched from.
    #[serde(default)]
    pub lookups: Named<LookupSpec>,
    /// Derived columns: name and SQL expression over the row. They may refer to each other in any order.
    /// Example: `amount = "cast(quantity * unit_price as decimal(18,2))"`.
    #[serde(default)]
    pub derive: Named<String>,
    /// Conditions on every row, judged in file order.
    #[serde(default)]
    pub rules: Named<RuleSpec>,
    /// Which clean rows repeat another, judged in file order after everything else: each over the rows that those before left.
    #[serde(default)]
    pub duplicates: Named<DuplicatesSpec>,
    /// Statistics per segment and event-time window.
    #[serde(default)]
    pub windows: Named<WindowSpec>,
    /// When businesses are open: what checks count ages by.
    #[serde(default)]
    pub calendars: Named<CalendarSpec>,
    /// Measures over windows or streams of rows, each with a verdict.
    #[serde(default)]
    pub checks: Named<CheckSpec>,
    /// Who is told when a check of a continuous job warns or fails, and when it does no more.
    #[serde(default)]
    pub alerts: Named<AlertsSpec>,
    /// Where results go.
    pub sinks: Named<SinkSpec>,
}

/// `[job]`: what concerns the job as a whole.
#[derive(Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Name of the job; outputs and state belong to it. Example: `"ventas"`.
    pub name: String,
    /// Columns whose values decide which worker a row goes to: rows with one key meet on one worker. Default: none, rows
    /// are spread by position. Example: `["region_id"]`.
    pub key: Option<Vec<String>>,
    /// Time zone of business days and hours, windows of a day and calendars, by its IANA name. Default: `"UTC"`.
    /// Example: `"Europe/Madrid"`.
    pub time_zone: Option<String>,
    /// Root folder of all file sinks, relative to the job file; its `_caudal/` holds the manifest and staged files.
    /// Example: `"../out/ventas"`.
    pub output: String,
    /// Continuous jobs: folder of the journal and of checkpoints, relative to the job file, which no other job uses; or a bucket and a
    /// prefix in it, of S3 or of what speaks as it does. Default: `_caudal/state` in `output`. Example: `"s3://ventas/state"`.
    pub state: Option<String>,
    /// Continuous jobs with `state` in a bucket: options of its client, such as `endpoint`, `region`, `access_key_id` and
    /// `secret_access_key`; all values are strings. What is left out is taken from the environment (`AWS_ACCESS_KEY_ID` and so on) or the
    /// machine's role. Keys belong into variables: `"${S3_SECRET}"`; what holds a secret by its name is never shown.
    #[serde(default)]
    pub state_options: Named<String>,
    /// Precedence of reasons: of several faults of one row the first one listed is its `reason`. Reasons not listed follow,
    /// by order of columns, look-ups, derived columns and rules. Example: `["bad_ts", "missing_region"]`.
    pub reasons: Option<Vec<String>>,
    /// What becomes of the outputs of an earlier run. Default: `"replace"`.
    pub rerun: Option<Rerun>,
    /// Bounded runs: share of refused rows above which the run fails. Default: `"50 %"`; `"100 %"` never fails.
    pub max_refused: Option<String>,
    /// How many rows of a continuous job may wait for reference rows (`missing = { then = "wait" }`); while there are as many, rows that
    /// would wait are refused. What an epoch parks counts two epochs later. Default: 100000.
    pub max_parked: Option<u64>,
    /// Continuous jobs with checks: whether all that was said of them is kept, with the epoch and the time at which it was said, as Parquet
    /// files in `_caudal/verdicts` of `output`: what `caudal verdicts` tells of. A file is written with each checkpoint that has verdicts,
    /// and none is ever taken away by the job. Default: true.
    pub verdict_history: Option<bool>,
    /// What becomes of a file that can't be read to its end. Default: `"stop"`.
    pub on_bad_file: Option<OnBadFile>,
    /// Size of the pieces that files are cut into, whatever the number of workers. Default: `"512 KiB"`.
    pub chunk: Option<String>,
    /// Bounded runs: input that is put into one epoch. Default: `"64 MiB"`. Continuous jobs: how long an epoch is open, from 20 ms to
    /// 1 hour; checks and alerts see rows by epochs. Default: `"1 second"`.
    pub epoch: Option<String>,
    /// Continuous jobs: time between checkpoints, which is how often files become visible; not shorter than `epoch`, at most 1 day.
    /// Default: `"10 seconds"`, or `epoch` where that is longer.
    pub checkpoint: Option<String>,
    /// Input that may be between readers and sinks in one process. Default: `"64 MiB"`.
    pub in_flight: Option<String>,
    /// How long processes wait for each other at the start, and a state in a bucket that does not answer is asked again. Default:
    /// `"60 seconds"`.
    pub join_timeout: Option<String>,
    /// How long a process may be silent before the others take it for lost. Default: `"10 seconds"`.
    pub peer_timeout: Option<String>,
    /// How statistics are written for other processes. Default: `"abomonation"`.
    pub partials: Option<PartialsCodec>,
}

impl fmt::Debug for JobSpec {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.state_options.iter();
        let options = options.map(|(name, value)| (name, masked(name, value)));
        f.debug_struct("JobSpec")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("time_zone", &self.time_zone)
            .field("output", &self.output)
            .field("state", &self.state)
            .field("state_options", &options.collect::<Vec<_>>())
            .field("reasons", &self.reasons)
            .field("rerun", &self.rerun)
            .field("max_refused", &self.max_refused)
            .field("max_parked", &self.max_parked)
            .field("verdict_history", &self.verdict_history)
            .field("on_bad_file", &self.on_bad_file)
            .field("chunk", &self.chunk)
            .field("epoch", &self.epoch)
            .field("checkpoint", &self.checkpoint)
            .field("in_flight", &self.in_flight)
            .field("join_timeout", &self.join_timeout)
            .field("peer_timeout", &self.peer_timeout)
            .field("partials", &self.partials)
            .finish()
    }
}

/// What becomes of the outputs of an earlier run of the same job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rerun {
    /// They are replaced as a whole at the end.
    Replace,
    /// Only files not yet delivered are read, and their rows are added.
    NewFiles,
}

/// What becomes of a file that can't be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadFile {
    /// The run stops.
    Stop,
    /// The file is refused whole and the run goes on.
    Refuse,
}

/// How statistics are written for other processes. The result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartialsCodec {
    /// As records of fixed layout, in the machine's own order of bytes.
    Abomonation,
    /// Value by value, with serde and bincode.
    Serde,
}

/// `[sources.NAME]`: rows come in; exactly one transport (`files`, `generate`, `kafka`) and one format (`csv`, `json`, `parquet`,
/// `arrow`, `avro`). A job with a source `kafka`, or of files with `follow = true`, is continuous: it runs until it is told to stop.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "transport", "oneOf": [{"required": ["files"]}, {"required": ["generate"]}, {"required": ["kafka"]}]},
    {"title": "format", "oneOf": [{"required": ["csv"]}, {"required": ["json"]}, {"required": ["parquet"]}, {"required": ["arrow"]}, {"required": ["avro"]}]},
]))]
pub struct SourceSpec {
    /// Column that holds the event time. Default: none; windows, freshness and as-of look-ups need one. Example: `"ts"`.
    pub event_time: Option<String>,
    /// Continuous jobs: how much older than the newest event of its partition an event may be and not be late. Windows stay open
    /// that much longer. Default: `"10 seconds"`.
    pub disorder: Option<String>,
    /// Continuous jobs: how far an event may lie in the future; one beyond it is refused. Default: `"5 minutes"`.
    pub max_future: Option<String>,
    /// Continuous jobs: after how long without events a partition that is read to its end holds no window open any more.
    /// Default: `"1 minute"`.
    pub idle_after: Option<String>,
    /// Transport: files by path or pattern.
    pub files: Option<FilesSpec>,
    /// Transport: rows of the built-in generator.
    pub generate: Option<GenerateSpec>,
    /// Transport: messages of Kafka topics, without an end.
    pub kafka: Option<KafkaSpec>,
    /// Format: delimited text.
    pub csv: Option<CsvSpec>,
    /// Format: JSON objects, one a line or otherwise.
    pub json: Option<JsonSpec>,
    /// Format: Parquet.
    pub parquet: Option<ParquetSpec>,
    /// Format: Arrow IPC, as files (`.arrow`, Feather) or streams (`.arrows`).
    pub arrow: Option<ArrowSpec>,
    /// Format: Avro, as container files or as messages.
    pub avro: Option<AvroSpec>,
    /// The columns in order: name, and a type or a table. Example: `sale_id = "bigint not null"`.
    #[serde(deserialize_with = "columns")]
    #[schemars(schema_with = "columns_schema")]
    pub columns: Named<ColumnSpec>,
}

/// Files to read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSpec {
    /// Paths or glob patterns relative to the job file, read in this order; what a pattern matches is ordered by name.
    /// Example: `["ventas/part-*.csv"]`.
    pub paths: Vec<String>,
    /// Whether each process reads the files that it finds itself, on a disk of its own, rather than all processes the files
    /// that process 0 finds on a disk they share. The place of a row then says whose file it is (`host:port:path`); `--limit`
    /// is that of each process. Makes no difference to a run of one process. Default: false.
    pub per_process: Option<bool>,
    /// Sources: whether files go on. The job is continuous then: it reads what is appended to them, record by record as line ends
    /// come, and files that are new. A file is known by what it holds, so that one that was renamed, or compressed, after it was
    /// read is not read again. All processes see the same folders. CSV and JSON; names that end in `.tmp` are left alone.
    /// Look-ups: whether they are read again while a continuous job runs, when they are replaced. Default: false.
    pub follow: Option<bool>,
    /// Followed files: after how long without a change a file counts as whole, so that a last record without a line end is read;
    /// JSON that is no lines needs it. Compressed files are whole when they can be unpacked to their end. Default: never.
    /// Example: `"10 minutes"`.
    pub complete_after: Option<String>,
    /// Followed files: what happens where bytes that the job has not read are gone, or those that it has read are others now.
    /// Default: `"stop"`.
    pub on_data_loss: Option<OnDataLoss>,
    /// Followed files: what becomes of a file that holds the same, byte for byte, as one that was read and is still there.
    /// Default: `"skip"`.
    pub copies: Option<Copies>,
}

/// What becomes of a file that holds the same as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// It is not read, and that is told.
    Skip,
    /// It is read like any other.
    Read,
}

/// Rows of the built-in generator (the `ventas` sales stream).
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateSpec {
    /// How many rows.
    pub rows: u64,
    /// Seed: the same one gives the same rows. Default: 1.
    pub seed: Option<u64>,
}

/// Topics to read. Each message is one record.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "way to say which topics", "oneOf": [{"required": ["topics"]}, {"required": ["topic_pattern"]}]},
]))]
pub struct KafkaSpec {
    /// Some of the cluster's brokers, separated by commas; each finds the others. A port left out is 9092.
    /// Example: `"kafka-1:9092,kafka-2:9092"`.
    pub brokers: String,
    /// The topics. Example: `["ventas"]`.
    pub topics: Option<Vec<String>>,
    /// A regular expression that the whole names of topics match; those made later are found, too. Example: `"ventas-.*"`.
    pub topic_pattern: Option<String>,
    /// Where a partition is begun that the job has not read yet: `earliest` (its first message), `latest` (behind its last one), a
    /// time in ISO 8601 (the first message that is not older by the broker), or a table of offsets by topic and partition, where
    /// those that are not named begin at their first message. Partitions added while the job runs are begun at their first message.
    /// Default: `"earliest"`. Example: `{ "ventas/0" = 17 }`.
    pub start: Option<KafkaStart>,
    /// What happens where messages that the job has not read are gone, or a topic was deleted and made anew, which its id tells: the
    /// job ends, or it goes on with the first message there is and counts those that are gone. Look-ups: where the topic was made anew;
    /// with `earliest` the table is what the one there is holds. Default: `"stop"`.
    pub on_data_loss: Option<OnDataLoss>,
    /// Consumer group that positions are told to after each commit, so that tools see how far the job is; they are never read back.
    /// Default: none. Example: `"caudal-ventas"`.
    pub group: Option<String>,
    /// Options of the client, by the names that librdkafka gives them; all values are strings. Those that would break what is
    /// promised are refused. Passwords belong into variables: `"${KAFKA_PASSWORD}"`; what holds a secret by its name is never shown.
    /// Example: `{ "security.protocol" = "SASL_SSL" }`.
    #[serde(default)]
    pub options: Named<String>,
}

impl fmt::Debug for KafkaSpec {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self
            .options
            .iter()
            .map(|(name, value)| (name, masked(name, value)));
        f.debug_struct("KafkaSpec")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("topic_pattern", &self.topic_pattern)
            .field("start", &self.start)
            .field("on_data_loss", &self.on_data_loss)
            .field("group", &self.group)
            .field("options", &options.collect::<Vec<_>>())
            .finish()
    }
}

/// Where a partition is begun that the job has not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaStart {
    /// By a word or a time.
    Text(String),
    /// At these offsets, by `topic/partition`.
    Offsets(Named<i64>),
}

/// What happens where messages or bytes that the job has not read are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDataLoss {
    /// The job stops and says how many.
    Stop,
    /// It goes on with the first message, or byte, there is, and counts those that are gone.
    Earliest,
}

/// Options of delimited text that is read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSpec {
    /// One ASCII character between fields. Default: `","`. Example: `"\t"`.
    pub delimiter: Option<String>,
    /// One ASCII character around fields; `""` switches quoting off. Default: `"\""`.
    pub quote: Option<String>,
    /// One ASCII character that takes their meaning from delimiter, quote, comment character, line end and itself, inside
    /// quotes and outside; before other characters it is one like them. Default: none. Example: `"\\"`.
    pub escape: Option<String>,
    /// One ASCII character: lines that begin with it are no records. Default: none. Example: `"#"`.
    pub comment: Option<String>,
    /// What ends a line. Default: `"any"`, each of LF, CRLF and a lone CR. With `"lf"` a lone CR is text, with `"cr"` a lone LF.
    pub line_end: Option<LineEnd>,
    /// How the text is written where no byte order mark says so: `utf-8`, `utf-16le`, `utf-16be`, `windows-1252` and others of
    /// its kind, `iso-8859-1` and others, `cp437`, `cp850` and others of DOS. Never guessed. Default: `"utf-8"`.
    /// Example: `"windows-1252"`.
    pub encoding: Option<String>,
    /// What a text with a NUL character in it does. Default: `"refuse"`, the row is refused as `nul_in_text`.
    pub on_nul: Option<OnNul>,
    /// Lines at the beginning of a file, before the header line, that are dropped (and counted as dropped). Default: 0.
    pub skip_first: Option<u64>,
    /// Lines at the end of a file, such as totals, that are dropped (and counted as dropped); empty ones don't count, and a
    /// quote does not join lines. Default: 0.
    pub skip_last: Option<u64>,
    /// Whether the first line of a file names its columns; without it, fields are bound in the order of `columns`.
    /// Default: true.
    pub header: Option<bool>,
    /// Unquoted texts that mean null, for columns that don't say their own. Default: `[""]`. Example: `["", "NULL"]`.
    pub nulls: Option<Vec<String>>,
    /// Whether lines equal to the header are dropped (and counted as dropped). Default: false.
    pub skip_repeated_header: Option<bool>,
    /// Whether records whose every field is empty are dropped (and counted as dropped); blank lines always are.
    /// Default: false.
    pub skip_blank: Option<bool>,
}

/// What ends a line of delimited text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// LF, CRLF and a lone CR.
    Any,
    /// LF and CRLF.
    Lf,
    /// CR and CRLF.
    Cr,
}

/// What a text with a NUL character in it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNul {
    /// The row is refused.
    Refuse,
    /// The character is taken out, and such texts are counted.
    Strip,
}

/// Options of JSON that is read. A column's `header` is a path into the record: `order.customer.id`, `tags[0]`,
/// `"net.price"` for a name with a dot; `items[].sku` makes each element of `items` a row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonSpec {
    /// How the text is written where no byte order mark says so, as under `csv`. Default: `"utf-8"`. Example: `"utf-16le"`.
    pub encoding: Option<String>,
    /// What a text with a NUL character in it does. Default: `"refuse"`, the row is refused as `nul_in_text`.
    pub on_nul: Option<OnNul>,
    /// What stands between records. Default: `"lines"`. Example: `"array"`.
    pub records: Option<RecordsSpec>,
    /// What becomes of a record whose array has no element to be a row, because it is empty, null or missing.
    /// Default: `"row"`.
    pub empty_array: Option<EmptyArraySpec>,
    /// Brackets that may be open at once in a record; one with more is refused as `too_deep`. Default: 128.
    #[schemars(range(min = 1, max = 1000))]
    pub max_depth: Option<u64>,
}

/// What stands between JSON records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordsSpec {
    /// One object a line.
    Lines,
    /// The file is one array of objects.
    Array,
    /// Objects one after another, over any lines.
    Objects,
}

/// What becomes of a record whose array has no element to be a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmptyArraySpec {
    /// It is one row with nulls for what is read in elements.
    Row,
    /// It is dropped, and counted as dropped.
    Drop,
}

/// Options of Parquet that is read: none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSpec {}

/// Options of Arrow IPC: none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrowSpec {}

/// Options of Avro that is read. Container files hold their schema; the messages of a topic hold the id of theirs, in the frame that
/// serializers with a registry write.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvroSpec {
    /// Messages: the schema registry that gives the schema of an id (Confluent's, and those that speak like it), by its address. User and
    /// password stand in the environment variable `CAUDAL_REGISTRY_USER_INFO`. Example: `"https://registry:8081"`.
    pub registry: Option<String>,
}

/// Options of Debezium's changes: none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DebeziumSpec {}

/// A column as a table; a text alone stands for `{ type = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Type, and `not null` where a missing value is a fault: `boolean`, `smallint`, `int`, `bigint`, `double`,
    /// `decimal(p,s)`, `varchar`, `date`, `timestamp`. Of JSON files also `json`: any value as it is written there, as
    /// a varchar. Example: `"decimal(12,2) not null"`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// Its name in the file; in JSON its path in the record, in Parquet, Arrow and Avro perhaps a path into structs, such as
    /// `"customer.id"`. Default: the column's name.
    pub header: Option<String>,
    /// Names in a file of delimited text of several fields that make one timestamp, joined by a blank: the date and its time.
    /// Stands instead of `header`. Example: `["Date", "Time"]`.
    pub from: Option<Vec<String>>,
    /// Patterns of dates and times (strftime), tried in order. Default: ISO 8601. Example: `["%d/%m/%Y"]`.
    pub formats: Option<Vec<String>>,
    /// Time zone of timestamps that carry none, by its IANA name. Default: `"UTC"`.
    pub time_zone: Option<String>,
    /// Unit of timestamps written as whole numbers since 1970. Default: none, such timestamps are faults.
    pub unit: Option<EpochUnit>,
    /// Unquoted texts that mean null in this column. Default: those of the format.
    pub nulls: Option<Vec<String>>,
    /// What a value that can't be read does. Default: `"refuse"`.
    pub on_bad: Option<OnBad>,
    /// Reason of rows refused for this column. Default: by kind of fault.
    pub reason: Option<String>,
    /// Whether a file may lack the column, whose values are null then. Default: false, such a file is faulty.
    pub optional: Option<bool>,
    /// Whether `17850.0` is a whole number and outer spaces are ignored. Default: false.
    pub lenient: Option<bool>,
    /// The mark before the fraction of a number, `"."` or `","`. Default: `"."`.
    pub decimal: Option<String>,
    /// One mark between groups of digits (`1.234.567` or, as in India, `12.34.567`); a space stands for the no-break spaces,
    /// too, and `'` for `’`. Numbers without any are read as well. Default: none. Example: `"."`.
    pub thousands: Option<String>,
    /// Signs of a currency that may stand before or after a number. Default: none. Example: `["€", "EUR"]`.
    pub currency: Option<Vec<String>>,
    /// Whether numbers are written with `%`, which divides them by 100, exactly; one without is a fault. Default: false.
    pub percent: Option<bool>,
    /// How negative numbers are written besides `-1`. Default: none. Example: `["parentheses"]`.
    pub negatives: Option<Vec<Negative>>,
    /// How a decimal with more digits than the column is rounded; the rounded values are counted. A double of a columnar file
    /// counts as the shortest decimal number that reads back as it. Default: none, it is a fault (`scale_loss`).
    /// Example: `"half_even"`.
    pub round: Option<Round>,
    /// Texts that are true, in any case; goes with `false`. Default: `["true", "t", "1"]`. Example: `["ja", "yes", "1"]`.
    #[serde(rename = "true")]
    pub true_words: Option<Vec<String>>,
    /// Texts that are false, in any case; goes with `true`. Default: `["false", "f", "0"]`.
    #[serde(rename = "false")]
    pub false_words: Option<Vec<String>>,
    /// First of the hundred years that two-digit years of `formats` lie in. Default: 1969 (`69` is 1969, `68` is 2068).
    #[schemars(range(min = 1, max = 9900))]
    pub pivot: Option<i64>,
    /// What a local time does that the zone's clocks show twice, in autumn; the chosen ones are counted. Default: `"refuse"`.
    pub ambiguous: Option<Ambiguous>,
    /// What a local time does that the zone's clocks skip, in spring; the moved ones are counted. Default: `"refuse"`.
    pub nonexistent: Option<Nonexistent>,
    /// First date or time that is taken, in ISO 8601; times without an offset are of UTC. Default: 1970-01-01 for timestamps
    /// of sources, none for dates and look-ups. Example: `"2000-01-01"`.
    pub min: Option<String>,
    /// Last date or time that is taken; of a timestamp column a date means all of that day. Default: none, the year 9999.
    pub max: Option<String>,
    /// Takes the column from what Kafka says of the message, not from what stands in it: its `key` (varchar), `headers` (varchar, as a
    /// JSON object), `topic` (varchar), `partition` (int), `offset` (bigint) or `timestamp` (timestamp). Default: none.
    pub kafka: Option<KafkaMetadata>,
}

/// What Kafka says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaMetadata {
    /// Its key as text; null where it has none.
    Key,
    /// Its headers as a JSON object of texts.
    Headers,
    /// Its topic.
    Topic,
    /// Its partition.
    Partition,
    /// Its offset.
    Offset,
    /// The time that its producer or broker gave it.
    Timestamp,
}

/// How negative numbers are written besides a leading `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// `(1.00)`.
    Parentheses,
    /// `1.00-`.
    Trailing,
    /// `−1.00`, with the minus sign of typography.
    Typographic,
}

/// How decimals are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// To the nearest; halves to the even digit.
    HalfEven,
    /// To the nearest; halves away from zero.
    HalfUp,
}

/// What a local time does that occurs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguous {
    /// It can't be read (`ambiguous_local_time`).
    Refuse,
    /// The first of the two is meant.
    Earlier,
    /// The second of the two is meant.
    Later,
}

/// What a local time does that does not occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nonexistent {
    /// It can't be read (`nonexistent_local_time`).
    Refuse,
    /// It is moved on by as much as the clocks were: 01:15 becomes 02:15.
    Shift,
}

/// What a value that can't be read does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBad {
    /// The row is refused.
    Refuse,
    /// The value is null; a `not null` column then still refuses the row.
    Null,
}

/// Unit of whole numbers that are times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

/// `[lookups.NAME]`: a reference table; exactly one transport (`files`, `kafka`) and one format (`csv`, `json`,
/// `parquet`, `arrow`, `avro`, `debezium`).
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "transport", "oneOf": [{"required": ["files"]}, {"required": ["generate"]}, {"required": ["kafka"]}]},
    {"title": "format", "oneOf": [{"required": ["csv"]}, {"required": ["json"]}, {"required": ["parquet"]}, {"required": ["arrow"]}, {"required": ["avro"]}, {"required": ["debezium"]}]},
]))]
pub struct LookupSpec {
    /// What must be equal: reference column and SQL expression over the row. Example: `{ alias = "upper(region)" }`.
    pub on: Named<String>,
    /// What a row that finds no reference row does. Example: `{ then = "refuse", reason = "unknown_region" }`.
    pub missing: MissingSpec,
    /// What two reference rows with one key (and one `valid_from`) do. Default: `"refuse"`.
    pub duplicates: Option<Duplicates>,
    /// Reference column whose largest value is the newest; goes with `duplicates = "newest"`. Example: `"updated_at"`.
    pub order_by: Option<String>,
    /// What of the spelling of text keys does not count, on both sides; the columns of the reference row keep its own spelling.
    /// Default: none, texts must be equal. Example: `["trim", "case", "nfc", "spaces"]`.
    pub fold: Option<Vec<Fold>>,
    /// A column that lists other spellings of a key. Example: `{ column = "aliases", of = "code", separator = "|" }`.
    pub aliases: Option<AliasesSpec>,
    /// Reference column a row is valid from (inclusive), searched by event time; without `valid_to` the latest earlier
    /// row is taken. Default: none, rows are always valid. Example: `"day"`.
    pub valid_from: Option<String>,
    /// Reference column a row is valid to (exclusive); goes with `valid_from`.
    pub valid_to: Option<String>,
    /// Turns wide reference rows into tall ones. Example: `{ name = "currency", value = "rate" }`.
    pub unpivot: Option<UnpivotSpec>,
    /// Where the reference rows are held; it changes no result. Default: `"auto"`. Example: `"partitioned"`.
    pub placement: Option<Placement>,
    /// Transport: files by path or pattern.
    pub files: Option<FilesSpec>,
    /// Transport: rows of the built-in generator.
    pub generate: Option<GenerateSpec>,
    /// Transport: a topic of Kafka, read whole; of each message key the newest message counts, and one without a value takes its
    /// rows away. While a continuous job runs, what comes is taken in.
    pub kafka: Option<KafkaSpec>,
    /// Format: delimited text.
    pub csv: Option<CsvSpec>,
    /// Format: JSON objects, one a line or otherwise.
    pub json: Option<JsonSpec>,
    /// Format: Parquet.
    pub parquet: Option<ParquetSpec>,
    /// Format: Arrow IPC, as files (`.arrow`, Feather) or streams (`.arrows`).
    pub arrow: Option<ArrowSpec>,
    /// Format: Avro container files.
    pub avro: Option<AvroSpec>,
    /// Format: changes of a table as Debezium tells them, one JSON envelope a line; for each key the last change counts.
    pub debezium: Option<DebeziumSpec>,
    /// The columns of the file in order: name, and a type or a table. Example: `region_id = "int"`.
    #[serde(deserialize_with = "columns")]
    #[schemars(schema_with = "columns_schema")]
    pub columns: Named<ColumnSpec>,
}

/// What a row that finds no reference row does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingSpec {
    /// What becomes of the row.
    pub then: MissingThen,
    /// Reason of the refusal; goes with `then = "refuse"` and `"wait"`. Default: `unknown_` and the look-up's name.
    pub reason: Option<String>,
    /// How long a row waits, by the job's clock; goes with `then = "wait"`. Example: `"1 hour"`.
    #[serde(rename = "for")]
    pub patience: Option<String>,
}

/// What becomes of a row that finds no reference row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingThen {
    /// It is refused.
    Refuse,
    /// The reference columns are null.
    Null,
    /// In a continuous job: it is parked, and read again when the look-up has changed. After `for` it is refused. A row whose key is
    /// null is refused at once.
    Wait,
}

/// Where the reference rows of a look-up are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// With several processes: partitioned where the rows take more than 64 MiB as they are encoded, else replicated. In one
    /// process: replicated, since its workers share a replica.
    #[default]
    Auto,
    /// All of them in every process: rows meet them where they were read.
    Replicated,
    /// Each on the worker that owns its key: memory for one table in all, and the keys of each batch visit the owners.
    Partitioned,
}

/// What two reference rows with one key do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The run stops and names both; rows equal in every column are one.
    Refuse,
    /// The one with the largest `order_by` is taken.
    Newest,
    /// None of them is taken: rows with that key find nothing, and the run tells of it.
    Reject,
}

/// What of the spelling of a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Outer blanks, those of Unicode and of no width, too.
    Trim,
    /// Upper and lower case, by Unicode's rules.
    Case,
    /// Whether accents are characters of their own: keys are compared in the form NFC.
    Nfc,
    /// How many blanks, and of what kind, stand between words.
    Spaces,
}

/// Makes several reference rows of one: `column` takes each spelling of its list in turn, and that of `of`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasesSpec {
    /// Reference column with the list, which is a key. Example: `"aliases"`.
    pub column: String,
    /// Reference column with the spelling that is not listed. Example: `"code"`.
    pub of: String,
    /// Between the spellings of the list; blanks around it do not count. Example: `"|"`.
    pub separator: String,
}

/// Turns wide reference rows into tall ones: every column that neither `on` nor validity names becomes a row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnpivotSpec {
    /// Reference column that takes the names of the columns. Example: `"currency"`.
    pub name: String,
    /// Reference column that takes their values; nulls make no row. Example: `"rate"`.
    pub value: String,
}

/// `[rules.NAME]`: a condition on every row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// SQL condition that must not be false; null passes. Example: `"quantity <> 0"`.
    pub expect: String,
    /// What a row that fails does. Default: `"refuse"`.
    pub then: Option<Then>,
    /// Reason of its refusals. Default: the rule's name.
    pub reason: Option<String>,
}

/// What a row that fails a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is refused.
    Refuse,
    /// It is dropped, and counted.
    Drop,
    /// It goes on, and is counted.
    Warn,
    /// The run ends with code 1 and nothing of it is visible.
    Stop,
}

/// `[duplicates.NAME]`: clean rows that repeat another; exactly one of `key`, `by`. Of equal rows the first one counts, in the order
/// of sources, files and places in them, whoever read it (files of a process's own follow those that all share, within an epoch).
/// Refused and dropped rows repeat nothing and are repeated by none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "way to say what is equal", "oneOf": [{"required": ["key"]}, {"required": ["by"]}]},
]))]
pub struct DuplicatesSpec {
    /// Columns that are equal together; a row with a null in one of them repeats nothing. Example: `["order_id", "line"]`.
    pub key: Option<Vec<String>>,
    /// What is equal without naming columns.
    pub by: Option<DuplicatesBy>,
    /// What becomes of the rows after the first.
    pub keep: Keep,
}

/// What is equal in rows that repeat another, without naming columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatesBy {
    /// Every column of the sources, as read; nulls are equal.
    Row,
}

/// What becomes of rows that repeat another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// They are dropped, and counted: the first row is kept alone.
    First,
    /// They are kept, and counted.
    Report,
}

/// `[windows.NAME]`: statistics per segment and event-time window.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Columns that make the segment. Default: none, one segment. Example: `["region_id"]`.
    pub per: Option<Vec<String>>,
    /// Length of the windows: a duration aligned to 1970-01-01T00:00Z, or whole days, weeks or months of the calendar in
    /// `[job] time_zone`; several months are counted from January 1970, so that `"3 months"` are quarters. Example: `"1 minute"`.
    pub length: String,
    /// How far apart windows start, of which their length is a multiple, at most 1,440 times: they overlap then, and each row is in as many as
    /// the length is times this. Costs the state of as many windows more. Default: the length, they follow each other without gaps.
    /// Example: `"5 minutes"`.
    pub every: Option<String>,
    /// Windows of weeks: the day that they begin with. Default: `"monday"`.
    pub week_starts: Option<WeekdaySpec>,
    /// Continuous jobs: for how long, in event time behind its end, a window that is closed takes late rows. Its verdicts are provisional
    /// (`final` is false) until then; what late rows change of them and of later windows, which are compared with it, is taken back
    /// (`sign` is −1) and said anew, and when the time is over all of it is taken back and said as final. Costs the state of so many
    /// closed windows. Rows that are too late for one window and not for another of the job are counted as `late_for_window`.
    /// Default: none, a window is final when it closes. Example: `"1 hour"`.
    pub correct_within: Option<String>,
    /// What the table of the window holds where it is corrected: the windows that are final, or each change, with the columns
    /// `final` and `sign`. Default: `"final"`.
    pub corrections: Option<CorrectionsSpec>,
    /// The statistics in order: name and SQL aggregate (count, sum, avg, min, max, `var_samp`, `stddev_samp`, `count(distinct x)`,
    /// `approx_quantile(x, 0.95)`, with FILTER). How many different values there are is exact up to 4096; above that it is an estimate by `HyperLogLog`, of a standard error of
    /// 1.6 %, and a verdict `WINDOW.STATISTIC` says so. A quantile is one of the values, within 0.4 % of it.
    /// Example: `rows = "count(*)"`.
    pub statistics: Named<String>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeekdaySpec {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

/// What the table of a window holds where it is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionsSpec {
    /// Windows once they are final.
    Final,
    /// Each change: what is taken back has the sign −1, what is said anew 1.
    Changes,
}

/// `[checks.NAME]`: a measure with a verdict; exactly one of `completeness`, `freshness`, `variance`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "measure", "oneOf": [{"required": ["completeness"]}, {"required": ["freshness"]}, {"required": ["variance"]}]},
]))]
pub struct CheckSpec {
    /// Name of the window it looks at; needed by completeness and variance. Example: `"minute"`.
    pub window: Option<String>,
    /// Measure: the share of rows with a value, or of rows that came, per segment and window.
    pub completeness: Option<CompletenessSpec>,
    /// Measure: the age of what came last, per segment.
    pub freshness: Option<FreshnessSpec>,
    /// Measure: how far a statistic is from those of earlier windows, or from another statistic of its window.
    pub variance: Option<VarianceSpec>,
    /// Name of the column it adds to `windows.NAME`. Default: none. Example: `"completeness"`.
    pub value: Option<String>,
}

/// A table whose keys the user chooses, in file order. Keys are unique: TOML refuses a second one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T>(Vec<(String, T)>);

impl<T> Named<T> {
    /// Names and values, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Names, in file order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a name. Looks at each in turn: these tables are short.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }

    /// Place of a name in file order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(own, _)| own == name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// Reads columns that are each a type or a table.
fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named<ColumnSpec>, D::Error> {
    let written = Named::<TypeOrTable>::deserialize(deserializer)?;
    Ok(written
        .0
        .into_iter()
        .map(|(name, TypeOrTable(column))| (name, column))
        .collect())
}

/// Says of columns that each is a type or a table.
fn columns_schema(generator: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({ "type": "string", "description": "The column's type." });
    let table = generator.subschema_for::<ColumnSpec>();
    json_schema!({ "type": "object", "additionalProperties": { "anyOf": [text, table] } })
}

/// A column as written: `"int"` or `{ type = "int", … }`. Not untagged, which would buffer the table and lose places.
struct TypeOrTable(ColumnSpec);

impl<'de> Deserialize<'de> for TypeOrTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = TypeOrTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type, or a table with a type")
            }

            fn visit_str<E>(self, text: &str) -> Result<TypeOrTable, E> {
                Ok(TypeOrTable(ColumnSpec {
                    column_type: text.to_owned(),
                    ..ColumnSpec::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TypeOrTable, A::Error> {
                ColumnSpec::deserialize(MapAccessDeserializer::new(map)).map(TypeOrTable)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for KafkaStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = KafkaStart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, a time, or a table of offsets")
            }

            fn visit_str<E>(self, text: &str) -> Result<KafkaStart, E> {
                Ok(KafkaStart::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KafkaStart, A::Error> {
                Named::deserialize(MapAccessDeserializer::new(map)).map(KafkaStart::Offsets)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for KafkaStart {
    fn schema_name() -> Cow<'static, str> {
        "KafkaStart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "description": "`earliest`, `latest`, or a time in ISO 8601." },
                {
                    "type": "object",
                    "description": "Offsets by topic and partition.",
                    "additionalProperties": { "type": "integer", "minimum": 0 },
                },
            ],
        })
    }
}
