//! Rows as messages: key, value, headers, partition and time of each, in flat buffers.
//!
//! What a row is as a message follows from the row alone, so that an epoch that is read again gives the same messages.
//!
//! A row whose message no topic takes is refused before the split, where it still can be ([`super::gauge`]). Rows of other tables can't be
//! refused any more: a refused row's texts are cut until its message fits (the record stays whole in the quarantine), and a window or
//! verdict whose message is none ends the job.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;

use crate::job::plan::{KafkaSink, SinkFormat, SinkFrom, SinkPlan, timestamp_type};
use crate::record::{by_id, by_place};
use crate::sinks::avro::AvroShape;
use crate::sinks::json::{self, JsonColumn, MOST_ESCAPED};
use crate::sinks::lines::LineShape;
use crate::sinks::scalar::{Scalar, Values, bring, canonical};
use crate::transform::Expression;

/// Length of a part that a message does not have.
const NONE: u32 = u32::MAX;

/// Bytes of each text that a refused row's message keeps, where all are too many. Halved until the message fits.
const CUT: usize = 64 << 10;

/// Why a row is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Its key, value and headers have this many bytes together.
    TooLarge(usize),
    /// The number of its partition is below zero.
    Partition(i32),
    /// Its time is this many milliseconds before 1970.
    Before1970(i64),
    /// It has no key where one must be: it is a tombstone, or its topic is compacted.
    NoKey,
}

impl Unfit {
    /// The reason that a row is refused for.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge(_) => TOO_LARGE,
            Self::Partition(_) | Self::Before1970(_) | Self::NoKey => BAD_MESSAGE,
        }
    }

    /// What is wrong, for people.
    pub fn detail(self, kafka: &KafkaSink) -> String {
        let topic = &kafka.topic;
        match self {
            Self::TooLarge(bytes) => {
                format!("{bytes} bytes, topic {topic} takes {}", kafka.max_message)
            }
            Self::Partition(number) => format!("partition {number} of topic {topic}"),
            Self::Before1970(millis) => format!("time {millis} ms before 1970"),
            Self::NoKey => format!("no key, and topic {topic} needs one here"),
        }
    }
}

/// Reason of rows whose message is larger than their topic takes.
pub const TOO_LARGE: &str = "too_large";

/// Reason of rows that can't be a message of their topic.
pub const BAD_MESSAGE: &str = "bad_message";

/// A row that can't be refused any more is no message.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "sinks.{sink}: a row is no message: {problem}\n  expected: rows that topic {topic} takes\n  now: the job ends; what was committed stays\n  hint: look at the sink's `kafka` table: `max_message`, `key`, `partition`, `timestamp`"
)]
pub struct MessageError {
    sink: String,
    topic: String,
    problem: String,
}

/// Makes messages of a sink's rows.
pub struct Encoder {
    sink: String,
    from: SinkFrom,
    kafka: KafkaSink,
    columns: Vec<Expression>,
    /// The type that each column is written as.
    types: Vec<DataType>,
    shape: Shape,
    needs_key: bool,
    /// Bytes that messages had so far, on average.
    usual: usize,
}

/// How values are written.
enum Shape {
    Json(LineShape),
    Avro {
        shape: AvroShape,
        /// Whether the schema has an id.
        is_registered: bool,
    },
}

/// Messages of a batch of rows, in their order.
///
/// Cost: all bytes of keys, values and headers once, and 32 a message.
#[derive(Debug, Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    messages: Vec<Parts>,
}

/// One message: where it begins, and how long its parts are, which follow each other: key, value, headers.
#[derive(Debug, Clone, Copy)]
struct Parts {
    start: usize,
    key: u32,
    value: u32,
    headers: u32,
    /// Below zero: none.
    partition: i32,
    /// `i64::MIN`: none.
    timestamp: i64,
}

/// A batch's values, worked out.
pub(super) struct Worked {
    columns: Vec<ArrayRef>,
    pub(super) key: Option<ArrayRef>,
    headers: Vec<ArrayRef>,
    pub(super) partition: Option<ArrayRef>,
    pub(super) timestamp: Option<ArrayRef>,
    pub(super) tombstone: Option<ArrayRef>,
    rows: usize,
}

/// The same, looked at once.
pub(super) struct View<'a> {
    columns: Columns<'a>,
    key: Option<Values<'a>>,
    headers: Vec<Values<'a>>,
    partition: Option<&'a Int32Array>,
    timestamp: Option<&'a PrimitiveArray<TimestampMicrosecondType>>,
    tombstone: Option<&'a BooleanArray>,
}

enum Columns<'a> {
    Json(&'a LineShape, Vec<JsonColumn<'a>>),
    Avro(&'a AvroShape, Vec<Values<'a>>),
}

impl Encoder {
    /// An encoder of `plan`'s rows, whose topic is `kafka`.
    ///
    /// # Panics
    /// Where the plan's format is none of messages, which the resolver refuses.
    pub fn new(plan: &SinkPlan, kafka: &KafkaSink) -> Self {
        let columns = plan.columns.iter();
        let columns: Vec<Expression> = columns.map(|column| column.expression.clone()).collect();
        let types = columns
            .iter()
            .map(|column| written_type(column.data_type()));
        Self {
            sink: plan.name.clone(),
            from: plan.from,
            kafka: kafka.clone(),
            types: types.collect(),
            columns,
            shape: Shape::new(plan),
            needs_key: kafka.is_compacted(),
            usual: 0,
        }
    }

    /// A message for each of `rows`, which are of the table that the sink takes. `now` is what their epoch takes for now.
    ///
    /// # Errors
    /// Where a row is no message and can't be refused.
    ///
    /// # Panics
    /// Where a clean row is no message, which the split sees to, and where the schema of Avro has no id ([`super::schemas`]).
    pub fn encode(&mut self, rows: &RecordBatch, now: i64) -> Result<Encoded, MessageError> {
        let columns = if self.from == SinkFrom::Rows {
            by_id(rows)
        } else {
            by_place(rows)
        };
        assert!(
            self.shape.is_ready(),
            "sinks.{}: schemas are registered before anything starts",
            self.sink
        );
        let worked = self.work_out(&columns, rows.num_rows(), now);
        let view = self.view(&worked);
        let mut encoded = Encoded {
            bytes: Vec::with_capacity(worked.rows * (self.usual + self.usual / 8)),
            messages: Vec::with_capacity(worked.rows),
        };
        for row in 0..worked.rows {
            match self.push(&view, row, &mut encoded) {
                Ok(()) => {}
                Err(Unfit::TooLarge(_)) if self.from == SinkFrom::Refused => {
                    self.push_cut(&worked, row, &mut encoded)?;
                }
                Err(unfit) => return Err(self.error(unfit)),
            }
        }
        if let Some(usual) = encoded.bytes.len().checked_div(worked.rows) {
            self.usual = usual;
        }
        Ok(encoded)
    }

    /// Appends a row's message; leaves nothing of one that is none.
    pub(super) fn push(
        &self,
        view: &View<'_>,
        row: usize,
        encoded: &mut Encoded,
    ) -> Result<(), Unfit> {
        let out = &mut encoded.bytes;
        let start = out.len();
        let partition = view.partition_of(row);
        let timestamp = view.timestamp_of(row);
        let is_tombstone = view.is_tombstone(row);
        let key = view.push_key(row, out);
        if let Some(unfit) = self.unfit(partition, timestamp, is_tombstone, key.is_some()) {
            out.truncate(start);
            return Err(unfit);
        }
        let value_start = out.len();
        if !is_tombstone {
            view.push_value(row, out);
        }
        let value_end = out.len();
        let names = self.push_headers(view, row, out);
        let size = out.len() - start + names - self.kafka.headers.len() * LENGTH;
        if size > self.kafka.max_message {
            out.truncate(start);
            return Err(Unfit::TooLarge(size));
        }
        // All parts are shorter than `max_message`, which is far below 4 GiB.
        let short = |length: usize| u32::try_from(length).unwrap_or(NONE);
        encoded.messages.push(Parts {
            start,
            key: key.map_or(NONE, short),
            value: if is_tombstone {
                NONE
            } else {
                short(value_end - value_start)
            },
            headers: short(encoded.bytes.len() - value_end),
            partition: partition.unwrap_or(-1),
            timestamp: timestamp.unwrap_or(i64::MIN),
        });
        Ok(())
    }

    /// Judges all of a row's message but its size.
    pub(super) fn check(&self, view: &View<'_>, row: usize) -> Result<(), Unfit> {
        let has_key = view
            .key
            .as_ref()
            .is_some_and(|key| key.get(row) != Scalar::Null);
        let (partition, timestamp) = (view.partition_of(row), view.timestamp_of(row));
        let unfit = self.unfit(partition, timestamp, view.is_tombstone(row), has_key);
        unfit.map_or(Ok(()), Err)
    }

    /// What can be known of a message before it is written.
    fn unfit(
        &self,
        partition: Option<i32>,
        timestamp: Option<i64>,
        is_tombstone: bool,
        has_key: bool,
    ) -> Option<Unfit> {
        match (partition, timestamp) {
            (Some(number), _) if number < 0 => Some(Unfit::Partition(number)),
            (_, Some(millis)) if millis < 0 => Some(Unfit::Before1970(millis.saturating_neg())),
            _ if (is_tombstone || self.needs_key) && !has_key => Some(Unfit::NoKey),
            _ => None,
        }
    }

    /// Appends a row's headers, for each its length, or [`NONE`], and its bytes; gives the bytes of the names of those that are there.
    fn push_headers(&self, view: &View<'_>, row: usize, out: &mut Vec<u8>) -> usize {
        let mut names = 0;
        for (header, values) in self.kafka.headers.iter().zip(&view.headers) {
            let at = out.len();
            out.extend_from_slice(&NONE.to_le_bytes());
            let value = values.get(row);
            if value != Scalar::Null {
                value.push(out);
                let length = u32::try_from(out.len() - at - LENGTH).unwrap_or(NONE);
                out[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
                names += header.name.len();
            }
        }
        names
    }

    /// A message of as much of the row's texts as it takes.
    fn push_cut(
        &self,
        worked: &Worked,
        row: usize,
        encoded: &mut Encoded,
    ) -> Result<(), MessageError> {
        let mut most = CUT;
        loop {
            let cut = worked.cut(row, most);
            match self.push(&self.view(&cut), 0, encoded) {
                Ok(()) => return Ok(()),
                Err(Unfit::TooLarge(_)) if most > 0 => most /= 2,
                Err(unfit) => return Err(self.error(unfit)),
            }
        }
    }

    fn error(&self, unfit: Unfit) -> MessageError {
        assert!(
            self.from != SinkFrom::Rows,
            "sinks.{}: a clean row is no message ({}), and the split let it through",
            self.sink,
            unfit.detail(&self.kafka)
        );
        MessageError {
            sink: self.sink.clone(),
            topic: self.kafka.topic.clone(),
            problem: unfit.detail(&self.kafka),
        }
    }

    /// Works out what messages are made of. Expressions over tables of our own that fail give null; those over clean rows can't.
    pub(super) fn work_out(&self, columns: &[Option<ArrayRef>], rows: usize, now: i64) -> Worked {
        let work_out = |expression: &Expression, written: &DataType| {
            let array = expression.evaluate(columns, rows, now).array;
            bring(&array, written).expect("what an expression gives can be written as its type")
        };
        let text = |expression: &Expression| {
            let written = written_type(expression.data_type());
            work_out(expression, &written)
        };
        let as_type = |expression: &Option<Expression>, written: DataType| {
            expression
                .as_ref()
                .map(|expression| work_out(expression, &written))
        };
        let each = self.columns.iter().zip(&self.types);
        let headers = self.kafka.headers.iter();
        Worked {
            columns: each
                .map(|(column, written)| work_out(column, written))
                .collect(),
            key: self.kafka.key.as_ref().map(text),
            headers: headers.map(|header| text(&header.expression)).collect(),
            partition: as_type(&self.kafka.partition, DataType::Int32),
            timestamp: as_type(&self.kafka.timestamp, timestamp_type()),
            tombstone: as_type(&self.kafka.tombstone, DataType::Boolean),
            rows,
        }
    }

    /// Looks at what was worked out.
    pub(super) fn view<'a>(&'a self, worked: &'a Worked) -> View<'a> {
        View {
            columns: match &self.shape {
                Shape::Json(shape) => Columns::Json(shape, shape.json(&worked.columns)),
                Shape::Avro { shape, .. } => {
                    Columns::Avro(shape, worked.columns.iter().map(Values::of).collect())
                }
            },
            key: worked.key.as_ref().map(Values::of),
            headers: worked.headers.iter().map(Values::of).collect(),
            partition: worked
                .partition
                .as_ref()
                .map(AsArray::as_primitive::<Int32Type>),
            timestamp: worked
                .timestamp
                .as_ref()
                .map(AsArray::as_primitive::<TimestampMicrosecondType>),
            tombstone: worked.tombstone.as_ref().map(AsArray::as_boolean),
        }
    }

    /// Bytes of a message besides its texts, at most. Avro's values are never longer than JSON's.
    pub(super) fn most_bytes(&self) -> usize {
        let values = self.types.iter().map(json::most_bytes);
        let headers = self.kafka.headers.iter();
        let headers = headers
            .map(|header| header.name.len() + json::most_bytes(header.expression.data_type()));
        let key = self.kafka.key.iter();
        let key = key.map(|key| json::most_bytes(key.data_type()));
        self.shape.frame_bytes() + values.chain(headers).chain(key).sum::<usize>()
    }

    /// Whether something besides the size can be wrong with a message.
    pub(super) fn has_conditions(&self) -> bool {
        let kafka = &self.kafka;
        kafka.partition.is_some()
            || kafka.timestamp.is_some()
            || kafka.tombstone.is_some()
            || self.needs_key
    }

    /// Most bytes that a message may have.
    pub(super) fn max_message(&self) -> usize {
        self.kafka.max_message
    }

    /// Whether each message needs a key.
    pub(super) fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Its topic.
    pub(super) fn kafka(&self) -> &KafkaSink {
        &self.kafka
    }
}

impl Shape {
    fn new(plan: &SinkPlan) -> Self {
        if let SinkFormat::Avro(options) = &plan.format {
            return Self::Avro {
                shape: AvroShape::new(plan, options.schema.unwrap_or_default()),
                is_registered: options.schema.is_some(),
            };
        }
        let names = plan.columns.iter().map(|column| &column.name);
        Self::Json(
            LineShape::new(&plan.format, names).expect("the format of messages is JSON or Avro"),
        )
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Avro { is_registered, .. } => *is_registered,
        }
    }

    /// Bytes of a value besides its columns.
    fn frame_bytes(&self) -> usize {
        match self {
            Self::Json(shape) => shape.frame_bytes(),
            Self::Avro { shape, .. } => shape.frame_bytes(),
        }
    }
}

/// Bytes of a header's length.
const LENGTH: usize = size_of::<u32>();

fn written_type(data_type: &DataType) -> DataType {
    canonical(data_type).expect("expressions have types that can be written")
}

impl Worked {
    /// The arrays that may hold texts: how often a byte of one may stand in the message, at most.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&ArrayRef, usize)> {
        let columns = self.columns.iter().map(|array| (array, MOST_ESCAPED));
        let plain = self.key.iter().chain(&self.headers);
        columns.chain(plain.map(|array| (array, 1)))
    }

    /// The row alone, with at most so many bytes of each text.
    fn cut(&self, row: usize, most: usize) -> Self {
        let one = |array: &ArrayRef| {
            let array = array.slice(row, 1);
            match Values::of(&array).get(0) {
                Scalar::Text(text) if text.len() > most => {
                    let cut = &text[..text.floor_char_boundary(most)];
                    std::sync::Arc::new(arrow_array::StringArray::from(vec![cut]))
                }
                _ => array,
            }
        };
        let all = |arrays: &[ArrayRef]| arrays.iter().map(one).collect();
        Self {
            columns: all(&self.columns),
            key: self.key.as_ref().map(one),
            headers: all(&self.headers),
            partition: self.partition.as_ref().map(one),
            timestamp: self.timestamp.as_ref().map(one),
            tombstone: self.tombstone.as_ref().map(one),
            rows: 1,
        }
    }
}

impl View<'_> {
    fn partition_of(&self, row: usize) -> Option<i32> {
        let array = self.partition?;
        (!array.is_null(row)).then(|| array.value(row))
    }

    /// In milliseconds.
    fn timestamp_of(&self, row: usize) -> Option<i64> {
        let array = self.timestamp?;
        (!array.is_null(row)).then(|| array.value(row).div_euclid(1000))
    }

    fn is_tombstone(&self, row: usize) -> bool {
        self.tombstone
            .is_some_and(|array| !array.is_null(row) && array.value(row))
    }

    fn push_value(&self, row: usize, out: &mut Vec<u8>) {
        match &self.columns {
            Columns::Json(shape, columns) => shape.push_object(columns, row, out),
            Columns::Avro(shape, columns) => shape.push(columns, row, out),
        }
    }

    /// Appends a row's key; gives its length.
    fn push_key(&self, row: usize, out: &mut Vec<u8>) -> Option<usize> {
        let value = self.key.as_ref()?.get(row);
        if value == Scalar::Null {
            return None;
        }
        let start = out.len();
        value.push(out);
        Some(out.len() - start)
    }
}

impl Encoded {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Lets go of all messages, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The key of a row's message.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        let parts = self.messages[row];
        (parts.key != NONE).then(|| &self.bytes[parts.start..parts.start + length(parts.key)])
    }

    /// The value of a row's message; a tombstone has none.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        let parts = self.messages[row];
        let start = parts.start + length(parts.key);
        (parts.value != NONE).then(|| &self.bytes[start..start + length(parts.value)])
    }

    /// The headers of a row's message, for [`headers`].
    pub fn headers(&self, row: usize) -> &[u8] {
        let parts = self.messages[row];
        let start = parts.start + length(parts.key) + length(parts.value);
        &self.bytes[start..start + length(parts.headers)]
    }

    /// The partition, where the job says which.
    pub fn partition(&self, row: usize) -> Option<i32> {
        let partition = self.messages[row].partition;
        (partition >= 0).then_some(partition)
    }

    /// The time in milliseconds since 1970, where the job says which.
    pub fn timestamp(&self, row: usize) -> Option<i64> {
        let timestamp = self.messages[row].timestamp;
        (timestamp != i64::MIN).then_some(timestamp)
    }
}

/// Bytes of a part, which may not be there.
fn length(part: u32) -> usize {
    if part == NONE {
        return 0;
    }
    usize::try_from(part).expect("32 bits fit")
}

/// Names and values of a message's headers, as [`Encoded::headers`] gives them; `names` are those of the sink's headers, in order.
/// Those that are null are left out.
///
/// # Panics
/// Where the bytes are not of a sink with these headers.
pub fn headers<'a>(
    bytes: &'a [u8],
    names: &'a [&'a str],
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let mut rest = bytes;
    names.iter().filter_map(move |name| {
        let (length_bytes, behind) = rest
            .split_first_chunk::<LENGTH>()
            .expect("each header has a length");
        let own = u32::from_le_bytes(*length_bytes);
        let (value, behind) = behind.split_at(length(own));
        rest = behind;
        (own != NONE).then_some((*name, value))
    })
}

#[cfg(test)]
mod tests;
