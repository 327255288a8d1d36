//! What a job writes: which table goes where, as what, and with which columns.

use std::path::PathBuf;
use std::time::Duration;

use super::KafkaSink;
use crate::transform::Expression;

/// A sink.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub from: SinkFrom,
    /// Where it writes.
    pub to: SinkTo,
    /// How.
    pub format: SinkFormat,
    /// How its folder is a Delta table, too, where it is one.
    pub delta: Option<DeltaPlan>,
    /// Its columns, in order, those of `partition_by` included; expressions are over the table `from` (for rows: over
    /// `plan.columns`; else over the table's own columns by position, see [`SinkFrom`]).
    pub columns: Vec<OutputColumn>,
}

/// A folder that is a Delta table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeltaPlan {
    /// How small files are put together, where they are.
    pub merges: Option<DeltaMerge>,
}

/// How small files of a Delta table are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaMerge {
    /// How long files stay for readers that are in the table no more.
    pub keep: Duration,
}

impl SinkPlan {
    /// How its rows become messages, where they do.
    pub fn message(&self) -> Option<&KafkaSink> {
        match &self.to {
            SinkTo::Kafka(kafka) => Some(kafka),
            SinkTo::Files { .. } | SinkTo::Stdout => None,
        }
    }

    /// Every expression of it.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let columns = self.columns.iter().map(|column| &column.expression);
        let message = self.message().into_iter().flat_map(KafkaSink::expressions);
        columns.chain(message.map(|(_, expression)| expression))
    }
}

/// The tables a sink may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkFrom {
    /// Clean rows.
    Rows,
    /// Refused rows: [`crate::record`]'s quarantine columns, then every source column as text.
    Refused,
    /// Rows that repeat another: what was found, where both stand, then every column of rows.
    Duplicates,
    /// Verdicts of all checks.
    Verdicts,
    /// A window, by index in `plan.windows`: segment, `window_start`, `window_end`, statistics, check values.
    Windows(usize),
}

/// Where a sink writes.
#[derive(Debug, Clone)]
pub enum SinkTo {
    /// A folder under the job's output.
    Files {
        /// Relative to `plan.output`.
        path: PathBuf,
        /// Positions in the sink's `columns` that stand in the path only, outermost first.
        partition_by: Vec<usize>,
    },
    /// Standard output.
    Stdout,
    /// A topic.
    Kafka(Box<KafkaSink>),
}

/// How a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkFormat {
    /// Parquet.
    Parquet(Compression),
    /// JSON, an object a line or message; timestamps as ISO 8601 text.
    Json(Decimals),
    /// Delimited text with a header line.
    Csv {
        /// Between fields.
        delimiter: u8,
    },
    /// Messages of Avro, framed with the id of their schema.
    Avro(Box<AvroOptions>),
}

/// How rows are written as Avro.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroOptions {
    /// Address of the schema registry.
    pub registry: String,
    /// What the schema is registered under.
    pub subject: String,
    /// Name of the record.
    pub name: String,
    /// What the name is in.
    pub namespace: Option<String>,
    /// Whether the schema is registered; else it must be there.
    pub register: bool,
    /// Id of the schema, once the registry has told it: before anything starts.
    pub schema: Option<u32>,
}

/// How JSON has decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimals {
    /// As numbers with every digit.
    #[default]
    Number,
    /// As texts with every digit.
    Text,
}

/// Compression of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd level 1.
    Zstd,
    /// Snappy.
    Snappy,
    /// None.
    None,
}

/// A column of a sink.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// Its name in the output.
    pub name: String,
    /// Its value.
    pub expression: Expression,
}
