//! Whole records of one file, as bytes.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::{Dropped, Encoding, Epoch, Lease};

/// A piece of a file that holds whole records only, except where [`Chunk::broken`] says so.
///
/// Cut by the source at a size fixed by the job, never by the number of workers.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Its place in the order of all input, whatever it is read by: pieces later in the input have larger numbers.
    pub number: u64,
    /// Index of the source in `plan.sources`, or of the look-up in `plan.lookups` when reference rows are loaded.
    pub source: usize,
    /// The file it was read from.
    pub file: Arc<PathBuf>,
    /// The text: decompressed, and in UTF-8 but for what is no text in the file's encoding; no header line.
    pub bytes: Vec<u8>,
    /// Position of the first byte in the (decompressed) file, in bytes as they lie there.
    pub offset: u64,
    /// Line number of the first byte, from 1.
    pub line: u64,
    /// How the file's columns are bound to the plan's.
    pub header: Arc<HeaderBinding>,
    /// The epoch its rows belong to.
    pub epoch: Epoch,
    /// Set where the chunk is one piece that is no record: the reason code and the words for people
    /// (`unclosed_quote`, `record_too_long`). It becomes one refused row.
    pub broken: Option<(Cow<'static, str>, String)>,
    /// Lines that the source's options took away before this chunk, or behind it at the end of its file.
    pub dropped: Dropped,
    /// Where its records stand in their file, by their first byte in `bytes`, ascending, where they do not follow each other there;
    /// empty: all of it stands at `offset` and `line`.
    pub places: Vec<RecordPlace>,
    /// Where files are followed, which one of this name it is, from 0.
    pub followed: Option<i32>,
    /// What is known of the messages that its records came in, each of which has a place in `places`.
    pub messages: Option<Arc<Messages>>,
    /// Set where its rows are read again since they waited for a reference row: until when they do, in microseconds since 1970.
    pub until: Option<i64>,
    /// The bytes it holds of the process's budget.
    pub lease: Option<Arc<Lease>>,
}

/// Where a record of a [`Chunk`] stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPlace {
    /// First byte of the record in the chunk.
    pub start: usize,
    /// Its line in the file.
    pub line: u64,
    /// Its first byte in the file.
    pub byte: u64,
}

/// Messages of one partition of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What the job's columns ask of them.
    pub parts: MessageParts,
    /// The schemas under which they were written, by id: their text, or why there is none. Empty where messages say what they are.
    pub schemas: Vec<(u32, SchemaText)>,
}

/// The text of a schema, or the reason code and the words for people of messages that can't be read without it.
pub type SchemaText = Result<Arc<str>, (&'static str, Arc<str>)>;

/// What columns ask of messages besides their values; each list has an entry a message, or none where nothing asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageParts {
    /// Keys, as text.
    pub keys: Vec<Option<String>>,
    /// Headers, as JSON objects.
    pub headers: Vec<Option<String>>,
    /// Times of the broker or producer, in microseconds since 1970.
    pub timestamps: Vec<Option<i64>>,
}

/// What a reader gives to the decoder.
#[derive(Debug, Clone, Default)]
pub enum Piece {
    /// Nothing; the container's empty value.
    #[default]
    Empty,
    /// Text records.
    Text(Arc<Chunk>),
    /// Rows of a columnar file.
    Table {
        /// Its row group's place in the order of all input.
        number: u64,
        /// Index of the source.
        source: usize,
        /// The file.
        file: Arc<PathBuf>,
        /// Number of the first row in the file, from 0.
        first_row: u64,
        /// The rows, with the file's own columns.
        batch: RecordBatch,
        /// Their epoch.
        epoch: Epoch,
        /// The bytes they hold of the process's budget.
        lease: Option<Arc<Lease>>,
    },
}

impl timely::Accountable for Piece {
    fn record_count(&self) -> i64 {
        i64::from(!matches!(self, Self::Empty))
    }
}

/// What is a record in a chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// What the source's format says.
    #[default]
    OfSource,
    /// Each line: so records of JSON are fed again.
    Lines,
    /// All of it: so those of several lines are.
    Whole,
}

/// What was found out of a file when it was opened: how its text is written, and which of its fields goes to which column of
/// the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderBinding {
    /// How the file's text is written.
    pub encoding: Encoding,
    /// The text of the file's header, without its line end; empty where it has none. Quarantine keeps it: a record alone
    /// does not say what its fields are.
    pub record: Vec<u8>,
    /// What is a record in its chunks.
    pub framing: Framing,
    /// Number of fields a record of this file has.
    pub fields: usize,
    /// For each field of the file, the position of its column in the source's `columns`, where there is one.
    pub column_of_field: Vec<Option<usize>>,
}

/// Where a row came from; ordered by file and byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file's path as the job names it.
    pub file: String,
    /// Line of the record's first byte, from 1; 0 where the format has no lines (then `byte` is a row number).
    pub line: u64,
    /// Byte of the record's first byte in the (decompressed) file, from 0.
    pub byte: u64,
    /// Whether it is a message: `file` is then its topic and partition, and `byte` its offset.
    #[serde(default)]
    pub is_message: bool,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            line,
            byte,
            is_message,
        } = self;
        if *is_message {
            write!(f, "{file} offset {byte}")
        } else if *line > 0 {
            write!(f, "{file} line {line} (byte {byte})")
        } else {
            write!(f, "{file} row {byte}")
        }
    }
}
