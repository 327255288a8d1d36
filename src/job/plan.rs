//! The plan: a job as resolved, which is all that the dataflow reads.
//!
//! Everything here is decided: defaults are filled in, names are bound to column ids, expressions are typed, units are
//! converted. `resolve` makes it from the job file and does no I/O beyond looking at paths.

mod alerts;
mod continuous;
mod freshness;
mod kafka;
mod notation;
mod sinks;
mod variance;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::DataType;
use chrono::Weekday;
use chrono_tz::Tz;

use super::secrets::JobText;
use crate::record::{Encoding, POSITION_COLUMNS};
use crate::transform::Expression;

pub use alerts::{AlertsPlan, Receiver};
pub use continuous::{
    Arrival, Bucket, Continuous, FollowSource, KafkaSource, KafkaStart, Metadata, OnDataLoss,
    StatePlace, Topics,
};
pub use freshness::{CalendarPlan, ExpectedSegments, FreshnessOn, FreshnessPlan};
pub use kafka::{CreateTopic, Delivery, KafkaCluster, KafkaSink, OnFailure, progress_topic};
pub use notation::{
    LocalTimes, Notation, NumberNotation, Range, Repeated, Rounding, Skipped, Words,
};
pub use sinks::{
    AvroOptions, Compression, Decimals, DeltaMerge, DeltaPlan, OutputColumn, SinkFormat, SinkFrom,
    SinkPlan, SinkTo,
};
pub use variance::{Against, Direction, Empty, Method, Same, VarianceRule};

/// A job, resolved.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `[job] name`.
    pub name: String,
    /// The job file, as given on the command line.
    pub file: PathBuf,
    /// Its text as written, which all processes of a run must share.
    pub text: JobText,
    /// Ids of the columns whose values decide which worker a row goes to; empty: rows are spread by position.
    pub key: Vec<usize>,
    /// Business time zone.
    pub time_zone: Tz,
    /// Root of all file sinks and of `_caudal/`.
    pub output: PathBuf,
    /// Precedence of reasons; reasons not listed follow in the order of columns, look-ups, derived columns, rules.
    pub reasons: Vec<Arc<str>>,
    /// What becomes of the outputs of an earlier run.
    pub rerun: Rerun,
    /// What becomes of a faulty file.
    pub on_bad_file: OnBadFile,
    /// Share of refused rows above which the run fails, in [0, 1]; 1 never fails.
    pub max_refused: f64,
    /// Bytes of input read as one chunk.
    pub chunk_bytes: usize,
    /// Bytes of input a bounded run puts into one epoch.
    pub epoch_bytes: u64,
    /// Bytes of input that may be between readers and sinks in this process.
    pub in_flight_bytes: u64,
    /// How long processes wait for each other at the start.
    pub join_timeout: Duration,
    /// How long a process may be silent before the others take it for lost.
    pub peer_timeout: Duration,
    /// How statistics are written for other processes.
    pub partials: PartialsCodec,
    /// How it goes on, where it runs until it is told to stop: a source has no end.
    pub continuous: Option<Continuous>,
    /// Every column a row can have: of the sources, then of the look-ups, then derived; a column's place is its id.
    pub columns: Vec<Column>,
    /// The sources, in file order.
    pub sources: Vec<SourcePlan>,
    /// The look-ups, in file order.
    pub lookups: Vec<LookupPlan>,
    /// The derived columns, in file order.
    pub derived: Vec<Derived>,
    /// Look-ups and derived columns in the order they can be worked out: all steps of a stage need only earlier stages
    /// (and, for derived columns, the stage's look-ups and earlier derived columns of the same stage).
    pub stages: Vec<Stage>,
    /// The rules, in file order.
    pub rules: Vec<Rule>,
    /// What finds rows that repeat another, in file order.
    pub duplicates: Vec<DuplicatesPlan>,
    /// The windows, in file order.
    pub windows: Vec<WindowPlan>,
    /// When businesses are open, in file order.
    pub calendars: Vec<CalendarPlan>,
    /// The checks, in file order.
    pub checks: Vec<CheckPlan>,
    /// Who is told of checks, in file order.
    pub alerts: Vec<AlertsPlan>,
    /// The sinks, in file order.
    pub sinks: Vec<SinkPlan>,
    /// The Kafka clusters that sinks write to, in the order in which sinks name them.
    pub clusters: Vec<KafkaCluster>,
}

impl Plan {
    /// Whether refused rows are kept by caudal itself: where they go into files of the job, or to a topic, too.
    pub fn keeps_quarantine(&self) -> bool {
        keeps_quarantine(&self.sinks)
    }

    /// Whether what was said of its checks is kept by caudal itself, with when it was said.
    pub fn keeps_verdicts(&self) -> bool {
        let continuous = self.continuous.as_ref();
        continuous.is_some_and(|continuous| continuous.verdict_history) && self.says_verdicts()
    }

    /// Whether anyone asks what is said: the job has checks, or a sink of verdicts. Then the row law is among it.
    pub fn says_verdicts(&self) -> bool {
        let mut sinks = self.sinks.iter();
        !self.checks.is_empty() || sinks.any(|sink| sink.from == SinkFrom::Verdicts)
    }

    /// The freshness checks, each with what it measures.
    pub fn freshness(&self) -> impl Iterator<Item = (&CheckPlan, &FreshnessPlan)> {
        self.checks.iter().filter_map(|check| match &check.measure {
            Measure::Freshness(freshness) => Some((check, freshness)),
            Measure::Completeness { .. } | Measure::Variance { .. } => None,
        })
    }

    /// Whether there are any.
    pub fn has_freshness(&self) -> bool {
        self.freshness().next().is_some()
    }

    /// For how long, in microseconds of event time, windows that are closed are corrected; a job with an end closes them with all rows.
    pub fn correct_within(&self, window: &WindowPlan) -> Option<i64> {
        let within = window.correct_within;
        within.filter(|within| *within > 0 && self.continuous.is_some())
    }

    /// Whether clean rows carry where they come from, since a topic takes them.
    pub fn carries_positions(&self) -> bool {
        let mut sinks = self.sinks.iter();
        sinks.any(|sink| sink.from == SinkFrom::Rows && matches!(sink.to, SinkTo::Kafka(_)))
    }

    /// Whether clean rows carry which file brought them, since a check counts files.
    pub fn carries_files(&self) -> bool {
        let mut checks = self.checks.iter();
        let counts = |measure: &Measure| {
            matches!(
                measure,
                Measure::Completeness {
                    of: Complete::Files(_),
                    ..
                }
            )
        };
        checks.any(|check| counts(&check.measure))
    }

    /// What the column of delivered files is named by in clean rows: an id behind those of all columns, of look-ups of refused rows and of places.
    pub fn file_column(&self) -> usize {
        self.columns.len() + self.lookups.len() + POSITION_COLUMNS
    }

    /// The sinks that write to a cluster, each with its index and its topic.
    pub fn topics_of(
        &self,
        cluster: usize,
    ) -> impl Iterator<Item = (usize, &SinkPlan, &KafkaSink)> {
        let sinks = self.sinks.iter().enumerate();
        let topics = sinks.filter_map(|(index, sink)| Some((index, sink, sink.message()?)));
        topics.filter(move |(.., kafka)| kafka.cluster == cluster)
    }
}

/// Whether one of these sinks writes refused rows where they are looked at, into files or to a topic.
pub fn keeps_quarantine(sinks: &[SinkPlan]) -> bool {
    sinks
        .iter()
        .any(|sink| sink.from == SinkFrom::Refused && !matches!(sink.to, SinkTo::Stdout))
}

/// `[job] rerun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rerun {
    /// The outputs are replaced as a whole at the end.
    Replace,
    /// Only files, or parts of files, are read that no run has read yet, and their rows are added.
    NewFiles,
}

/// `on_bad_file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadFile {
    /// The run stops.
    Stop,
    /// The file is refused whole and the run goes on.
    Refuse,
}

/// `partials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialsCodec {
    /// Records of fixed layout.
    Abomonation,
    /// serde and bincode.
    Serde,
}

impl PartialsCodec {
    /// Its word in the job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Abomonation => "abomonation",
            Self::Serde => "serde",
        }
    }
}

/// A column of a row.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it may be qualified with: the names of its sources, its look-up, or nothing for a derived one.
    pub relations: Vec<String>,
    /// Its name.
    pub name: String,
    /// Logical type; varchar is `Utf8` here whatever the encoding of the arrays.
    pub data_type: DataType,
    /// Whether clean rows may lack it.
    pub nullable: bool,
}

/// A source.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Its name.
    pub name: String,
    /// Id of the column that holds the event time.
    pub event_time: Option<usize>,
    /// Where the bytes come from.
    pub transport: Transport,
    /// How its events arrive, in a continuous job.
    pub arrival: Arrival,
    /// What the bytes are.
    pub format: Format,
    /// Its columns, in file order.
    pub columns: Vec<SourceColumn>,
}

impl SourceColumn {
    /// A nullable column as the job file's defaults make it, with its own name in the file.
    pub fn plain(id: usize, name: &str, column_type: ColumnType) -> Self {
        Self {
            id,
            name: name.to_owned(),
            header: name.to_owned(),
            column_type,
            not_null: false,
            formats: Vec::new(),
            time_zone: None,
            unit: None,
            nulls: None,
            on_bad: OnBad::Refuse,
            reason: None,
            optional: false,
            lenient: false,
            metadata: None,
            notation: Notation::default(),
        }
    }
}

impl SourcePlan {
    /// Whether each of several processes reads what it finds itself.
    pub fn is_per_process(&self) -> bool {
        matches!(
            self.transport,
            Transport::Files {
                per_process: true,
                ..
            }
        )
    }
}

/// Where bytes come from.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Files by path or glob pattern, absolute or relative to the working directory, in the order given; what a pattern
    /// matches is ordered by name.
    Files {
        /// The patterns, and how the job file writes them.
        paths: Vec<PathBuf>,
        /// Whether each process reads what it finds itself.
        per_process: bool,
    },
    /// Rows of the built-in generator.
    Generate {
        /// How many rows.
        rows: u64,
        /// Seed.
        seed: u64,
    },
    /// Messages of Kafka topics.
    Kafka(Box<KafkaSource>),
    /// Files that go on.
    Follow(FollowSource),
}

/// What bytes are.
#[derive(Debug, Clone)]
pub enum Format {
    /// Delimited text.
    Csv(CsvOptions),
    /// JSON.
    Json(JsonOptions),
    /// Parquet.
    Parquet,
    /// Avro messages under the schemas of a registry.
    AvroMessages {
        /// Its address.
        registry: String,
    },
    /// Arrow IPC, as file or stream.
    Arrow,
    /// Avro container files.
    Avro,
    /// Changes of a table as Debezium's JSON, one envelope a line; of look-ups only.
    Debezium,
}

impl Format {
    /// How people call it.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Csv(_) => "CSV",
            Self::Json(_) => "JSON",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow IPC",
            Self::Avro | Self::AvroMessages { .. } => "Avro",
            Self::Debezium => "Debezium JSON",
        }
    }
}

impl Format {
    /// How its text is written, where no byte order mark says so.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Csv(options) => options.encoding,
            Self::Json(options) => options.encoding,
            _ => Encoding::Utf8,
        }
    }

    /// What a NUL in a text does.
    pub fn on_nul(&self) -> OnNul {
        match self {
            Self::Csv(options) => options.on_nul,
            Self::Json(options) => options.on_nul,
            _ => OnNul::Refuse,
        }
    }
}

/// Options of JSON that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// How the text is written, where no byte order mark says so.
    pub encoding: Encoding,
    /// What a NUL in a text does.
    pub on_nul: OnNul,
    /// What stands between records.
    pub records: Records,
    /// Brackets that may be open at once in a record.
    pub max_depth: usize,
    /// What a record does whose array has no element to be a row.
    pub empty_array: EmptyArray,
    /// Positions of the columns that take any value as it is written.
    pub as_written: Vec<usize>,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf8,
            on_nul: OnNul::Refuse,
            records: Records::Lines,
            max_depth: Self::MAX_DEPTH,
            empty_array: EmptyArray::Row,
            as_written: Vec::new(),
        }
    }
}

impl JsonOptions {
    /// `max_depth` where the job says none: what other readers take, and far above what sales have.
    pub const MAX_DEPTH: usize = 128;
}

/// `records`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// One object a line.
    Lines,
    /// The file is one array of objects.
    Array,
    /// Objects one after another, over any lines.
    Objects,
}

/// `empty_array`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyArray {
    /// It is one row with nulls.
    Row,
    /// It is dropped, and counted.
    Drop,
}

/// `on_nul`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNul {
    /// The row is refused.
    #[default]
    Refuse,
    /// It is taken out, and the text is counted.
    Strip,
}

/// `line_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnd {
    /// Each of `\n`, `\r\n` and a lone `\r`.
    #[default]
    Any,
    /// `\n` and `\r\n`; a lone `\r` is text.
    Lf,
    /// `\r` and `\r\n`; a lone `\n` is text.
    Cr,
}

/// Options of delimited text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields; one byte.
    pub delimiter: u8,
    /// Around fields; `None` switches quoting off.
    pub quote: Option<u8>,
    /// Takes their meaning from the characters of structure; never one of them.
    pub escape: Option<u8>,
    /// Begins lines that are no records.
    pub comment: Option<u8>,
    /// What ends a line.
    pub line_end: LineEnd,
    /// How the text is written, where no byte order mark says so.
    pub encoding: Encoding,
    /// What a NUL in a text does.
    pub on_nul: OnNul,
    /// Lines before the header line that are dropped (and counted as dropped).
    pub skip_first: u64,
    /// Lines at the end of a file that are dropped (and counted as dropped).
    pub skip_last: u64,
    /// Whether the first line names the columns; without, fields are bound in the order of the source's columns.
    pub header: bool,
    /// Unquoted texts that mean null, for columns that do not say their own; the empty text by default.
    pub nulls: Vec<String>,
    /// Whether records equal to the header line are dropped (and counted as dropped).
    pub skip_repeated_header: bool,
    /// Whether records whose every field is empty are dropped (and counted as dropped), as blank lines always are silently.
    pub skip_blank: bool,
}

impl Default for CsvOptions {
    /// What holds where the job file says nothing.
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            line_end: LineEnd::Any,
            encoding: Encoding::Utf8,
            on_nul: OnNul::Refuse,
            skip_first: 0,
            skip_last: 0,
            header: true,
            nulls: vec![String::new()],
            skip_repeated_header: false,
            skip_blank: false,
        }
    }
}

/// A column of a source or look-up.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its id in `plan.columns` (for a look-up: the position in the look-up's own columns).
    pub id: usize,
    /// Its name in the job.
    pub name: String,
    /// Its name in the file.
    pub header: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Whether a missing value is a fault.
    pub not_null: bool,
    /// Patterns of dates and times (strftime), tried in order; empty means ISO 8601.
    pub formats: Vec<String>,
    /// Zone of timestamps that carry none; UTC where absent.
    pub time_zone: Option<Tz>,
    /// Unit of timestamps written as whole numbers since 1970.
    pub unit: Option<EpochUnit>,
    /// Unquoted texts that mean null here; `None`: those of the format.
    pub nulls: Option<Vec<String>>,
    /// What a value that can't be read does.
    pub on_bad: OnBad,
    /// Reason of any fault of this column; default: by kind of fault.
    pub reason: Option<Arc<str>>,
    /// Whether a file may lack it.
    pub optional: bool,
    /// Whether `17850.0` is a whole number and outer spaces are ignored.
    pub lenient: bool,
    /// What it says of the message that a row came in, rather than of what stands in it.
    pub metadata: Option<Metadata>,
    /// How its texts are written, where the file has habits of its own.
    pub notation: Notation,
}

/// `on_bad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// The row is refused.
    Refuse,
    /// The value is null; a `not null` column then still refuses the row.
    Null,
}

/// Unit of whole numbers that are times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

/// A type of the job file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// `boolean`.
    Boolean,
    /// `smallint`: Int16.
    SmallInt,
    /// `int`: Int32.
    Int,
    /// `bigint`: Int64.
    BigInt,
    /// `double`: Float64.
    Double,
    /// `decimal(p,s)`: Decimal128, 1 ≤ p ≤ 38, 0 ≤ s ≤ p.
    Decimal(u8, i8),
    /// `varchar`: Utf8.
    Varchar,
    /// `date`: Date32.
    Date,
    /// `timestamp`: microseconds UTC.
    Timestamp,
}

impl ColumnType {
    /// The Arrow type of its arrays (varchar may come as a dictionary of it).
    pub fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Varchar => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => timestamp_type(),
        }
    }
}

/// The one timestamp type: microseconds UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()))
}

/// A look-up.
#[derive(Debug, Clone)]
pub struct LookupPlan {
    /// Its name.
    pub name: String,
    /// Where reference rows come from.
    pub transport: Transport,
    /// What they are.
    pub format: Format,
    /// Columns as read from the file, with ids 0, 1, … of this look-up's own.
    pub columns: Vec<SourceColumn>,
    /// Turns wide reference rows into tall ones.
    pub unpivot: Option<Unpivot>,
    /// The reference columns after unpivoting (those of `columns` where there is none): name and type. The i-th has the id
    /// `first_column + i` in `plan.columns`.
    pub reference: Vec<ReferenceColumn>,
    /// Id of the first reference column in `plan.columns`.
    pub first_column: usize,
    /// Positions in `reference` of the key columns, and the expressions over the row that they must equal.
    pub on: Vec<(usize, Expression)>,
    /// As-of look-ups: positions in `reference` of the validity.
    pub validity: Option<Validity>,
    /// What a row without a reference row does.
    pub missing: Missing,
    /// What two reference rows with one key (and one `valid_from`) do.
    pub duplicates: Duplicates,
    /// What of the spelling of text keys does not count.
    pub fold: Option<Fold>,
    /// A column that holds several spellings of another.
    pub aliases: Option<Aliases>,
    /// Where its rows are held.
    pub placement: Placement,
    /// Whether its files are read again when they are replaced, while a continuous job runs; topics always are.
    pub follow: bool,
}

/// What of the spelling of text keys does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the job file"
)]
pub struct Fold {
    /// Outer blanks.
    pub trim: bool,
    /// Upper and lower case.
    pub case: bool,
    /// The form of accents: composed or not.
    pub nfc: bool,
    /// How many blanks of what kind stand between words.
    pub spaces: bool,
}

/// Makes several rows of one: the column takes each of the spellings it lists in turn, and that of another column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aliases {
    /// Position in `columns` of the list.
    pub column: usize,
    /// Position in `columns` of the spelling that is not listed.
    pub of: usize,
    /// Between the spellings of the list.
    pub separator: String,
}

/// `placement`.
pub use super::spec::Placement;

/// A column of a reference collection.
#[derive(Debug, Clone)]
pub struct ReferenceColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
}

/// `unpivot = { name = "currency", value = "rate" }`: every column that is not kept becomes a row (name, value).
#[derive(Debug, Clone)]
pub struct Unpivot {
    /// Positions in `columns` of those kept as they are; they come first in `reference`.
    pub keep: Vec<usize>,
    /// Positions in `columns` of those turned into rows; null values make no row.
    pub turn: Vec<usize>,
}

/// Validity of reference rows, searched by event time.
#[derive(Debug, Clone)]
pub struct Validity {
    /// Position in `reference` of the column a row is valid from (inclusive).
    pub from: usize,
    /// Position in `reference` of the column a row is valid to (exclusive); without, the latest earlier row is taken.
    pub to: Option<usize>,
    /// The row's time: the source's event time, cast to the type of the `from` column.
    pub at: Expression,
}

/// What a row that finds no reference row does.
#[derive(Debug, Clone)]
pub enum Missing {
    /// It is refused with this reason.
    Refuse(Arc<str>),
    /// The reference columns are null.
    Null,
    /// It waits so long for its reference row, by bound wall time; then it is refused with this reason.
    Wait {
        /// The reason.
        reason: Arc<str>,
        /// How long.
        patience: Duration,
    },
}

/// `duplicates`.
#[derive(Debug, Clone)]
pub enum Duplicates {
    /// The run stops, naming both rows; rows equal in every column are one.
    Refuse,
    /// The row with the largest value in this position of `reference` is taken; the later one read where equal.
    Newest(usize),
    /// None of the rows counts: rows with that key find nothing, and it is told.
    Reject,
}

/// A derived column.
#[derive(Debug, Clone)]
pub struct Derived {
    /// Its id in `plan.columns`.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Its value.
    pub expression: Expression,
}

/// Steps that can be done together.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// Indices in `plan.lookups`.
    pub lookups: Vec<usize>,
    /// Indices in `plan.derived`, in order of need.
    pub derived: Vec<usize>,
}

/// A rule: fails where `expect` is false; null passes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// A boolean expression.
    pub expect: Expression,
    /// What a failing row does.
    pub then: Then,
    /// Reason of its refusals: the declared one or the rule's name.
    pub reason: Arc<str>,
}

/// What a row that fails a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is refused.
    Refuse,
    /// It is dropped, and counted.
    Drop,
    /// It goes on, and is counted.
    Warn,
    /// The run ends with code 1 and nothing is visible.
    Stop,
}

/// What finds rows that repeat another.
#[derive(Debug, Clone)]
pub struct DuplicatesPlan {
    /// Its name.
    pub name: String,
    /// Ids of the columns that are equal together.
    pub columns: Vec<usize>,
    /// Whether nulls are equal; else a row with a null in one of the columns repeats nothing.
    pub nulls_are_equal: bool,
    /// What becomes of the rows after the first.
    pub keep: Keep,
}

/// What becomes of rows that repeat another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They are dropped.
    First,
    /// They are kept, and counted.
    Report,
}

/// Statistics per segment and event-time window.
#[derive(Debug, Clone)]
pub struct WindowPlan {
    /// Its name.
    pub name: String,
    /// Ids of the columns that make the segment.
    pub per: Vec<usize>,
    /// Id of the event-time column.
    pub event_time: usize,
    /// Length of the windows.
    pub length: WindowLength,
    /// How far apart they start, a part of their length; the length itself where they follow each other without gaps.
    pub every: WindowLength,
    /// Of how many such parts each is made.
    pub panes: u32,
    /// For how long, in microseconds of event time behind their end, closed windows take late rows; none: not at all.
    pub correct_within: Option<i64>,
    /// What its table holds of corrections.
    pub corrections: Corrections,
    /// The statistics, in file order.
    pub statistics: Vec<Statistic>,
}

/// What the table of a window holds where windows are corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corrections {
    /// Windows that are final.
    Final,
    /// What is said of each, and taken back: with the columns `final` and `sign`.
    Changes,
}

/// A length of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowLength {
    /// A fixed length in microseconds, aligned to 1970-01-01T00:00Z.
    Fixed(i64),
    /// Calendar days in the business time zone.
    Days(u32),
    /// Calendar weeks, which begin with this day.
    Weeks(u32, Weekday),
    /// Calendar months.
    Months(u32),
}

/// A named aggregate.
#[derive(Debug, Clone)]
pub struct Statistic {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub function: AggregateFunction,
    /// Over what: `None` only for `count(*)`.
    pub argument: Option<Expression>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expression>,
    /// Type of its column in `windows.NAME`: Int64 for counts; the argument's for min and max; Decimal128(38, s) for sum of
    /// integers (s = 0) and decimals; Decimal128(38, min(s + 4, 37)) for avg; Float64 for `var_samp`, `stddev_samp` and quantiles.
    pub data_type: DataType,
}

/// The aggregates of `[windows]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// `count(*)`, `count(x)`.
    Count,
    /// `sum(x)`.
    Sum,
    /// `avg(x)`.
    Avg,
    /// `min(x)`.
    Min,
    /// `max(x)`.
    Max,
    /// Sample variance.
    VarSamp,
    /// Sample standard deviation.
    StddevSamp,
    /// `count(distinct x)`.
    CountDistinct,
    /// `approx_quantile(x, q)`, with q in millionths.
    Quantile(u32),
}

/// A check.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    /// Its name.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// Name of the column it adds to `windows.NAME`; `None`: none.
    pub value: Option<String>,
}

/// What a share is taken of.
#[derive(Debug, Clone)]
pub enum Complete {
    /// Rows with a value in the column of this id.
    Column(usize),
    /// Rows with a value in all columns of these ids, which is the condition, with the check's own, that they fulfil.
    Columns(Vec<usize>, Expression),
    /// Rows of so many that should be there.
    Rows(ExpectedRows),
    /// Files that brought rows, of so many that should have.
    Files(ExpectedRows),
    /// Rows that found their reference row, of clean rows and those refused for want of it.
    Matched {
        /// Index of the look-up.
        lookup: usize,
        /// Id of a reference column that has a value where a row was found: one of its key.
        key: usize,
    },
    /// Refused rows, of those and the clean ones. Its thresholds are upper ones.
    Refused,
}

impl Complete {
    /// Whether windows may have other rows than clean ones, so that columns of their segments may have no value.
    pub fn asks_others(&self) -> bool {
        let others = |rows: &ExpectedRows| matches!(rows, ExpectedRows::Listed(_));
        match self {
            Self::Matched { .. } | Self::Refused => true,
            Self::Rows(rows) | Self::Files(rows) => others(rows),
            Self::Column(_) | Self::Columns(..) => false,
        }
    }
}

/// How many rows a window should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedRows {
    /// So many.
    Number(u64),
    /// As many as the window's statistic of this index says.
    Statistic(usize),
    /// As many as a look-up lists.
    Listed(ListedRows),
    /// As many as the same windows had of the last so many weeks.
    Alike(usize, Same),
}

/// Rows that a look-up lists; all but its index are positions among its reference columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRows {
    /// Its index.
    pub lookup: usize,
    /// For each column of the window's segment the one that has its values.
    pub segment: Vec<usize>,
    /// How many rows; `None`: one for each reference row.
    pub rows: Option<usize>,
    /// In which window they are; `None`: in all.
    pub at: Option<usize>,
}

/// What a check measures.
#[derive(Debug, Clone)]
pub enum Measure {
    /// Share of rows with a value, per segment and window: numerator and denominator are hidden statistics.
    Completeness {
        /// Index in `plan.windows`.
        window: usize,
        /// Of what.
        of: Complete,
        /// Which rows count; `None`: all.
        filter: Option<Expression>,
        /// Whether windows at the ends of the data are not judged.
        skip_partial: bool,
        /// Index in `plan.calendars` of the one by which nothing is expected of windows in which it is never open.
        calendar: Option<usize>,
        /// With fewer rows the verdict is `too_few`.
        min_rows: u64,
        /// Below it the verdict is `warn`; above it, of refused rows.
        warn_below: Option<f64>,
        /// Below it the verdict is `fail`; above it, of refused rows.
        fail_below: Option<f64>,
    },
    /// Age of what came last of each segment.
    Freshness(FreshnessPlan),
    /// Distance of a statistic from those of other windows of its segment, or from another statistic.
    Variance {
        /// Index in `plan.windows`.
        window: usize,
        /// Index in the window's statistics.
        of: usize,
        /// How it is measured and judged.
        rule: VarianceRule,
    },
}
