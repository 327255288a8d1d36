//! Batches as bytes, for workers of other processes.
//!
//! Both sides hold the plan, so no schema travels: each column is its number, the code of its type and its Arrow buffers
//! as they lie in memory. All words are little-endian, all parts begin at a multiple of eight bytes:
//!
//! ```text
//! epoch │ rows │ columns │ for each column: number, type, length of three buffers │ buffers
//! ```
//!
//! - Encoding writes each buffer once, straight into timely's buffer. A dictionary with more values than the batch has
//!   rows is sent as plain text.
//! - Decoding copies nothing but decimals, which Arrow wants at multiples of sixteen bytes where timely gives eight: the
//!   arrays of a batch share the received bytes, which live as long as one of them.
//! - Budget does not travel: the receiver's process has its own, and epochs bound what is on the way.
//!
//! Peers are of the same build, which the handshake makes sure of; bytes that don't decode are a bug, and panic.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema};
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::job::plan::timestamp_type;
use crate::record::Batch;
use crate::transform::text;

/// Bytes of the head: epoch, rows, columns.
const HEAD_BYTES: usize = 24;

/// Bytes that describe a column: number and type in one word, and three lengths.
const COLUMN_BYTES: usize = 32;

/// Columns are `Some` validity, values and, of text, offsets or, of dictionaries, keys with the dictionary behind them as a
/// column of its own.
struct Encoded {
    number: u32,
    kind: u8,
    precision: u8,
    scale: i8,
    /// Validity (empty: no nulls), values, offsets.
    parts: [Buffer; 3],
}

/// Codes of types; part of what peers of one build share.
mod kind {
    pub(super) const BOOLEAN: u8 = 0;
    pub(super) const INT16: u8 = 1;
    pub(super) const INT32: u8 = 2;
    pub(super) const INT64: u8 = 3;
    pub(super) const DATE: u8 = 4;
    pub(super) const TIMESTAMP: u8 = 5;
    pub(super) const DOUBLE: u8 = 6;
    pub(super) const DECIMAL: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    /// Keys; the next column in the message holds the dictionary and has no number of its own.
    pub(super) const KEYS: u8 = 9;
    /// The texts of the dictionary before it.
    pub(super) const DICTIONARY: u8 = 10;
}

impl ContainerBytes for Batch {
    fn from_bytes(bytes: Bytes) -> Self {
        let all = Buffer::from(bytes::Bytes::from_owner(Received(bytes)));
        let mut read = Reader { all: &all, at: 0 };
        let epoch = read.word();
        let rows = read.length();
        let columns = read.length();
        if columns == 0 && rows == 0 {
            return Self {
                rows: None,
                epoch,
                lease: None,
            };
        }
        Self {
            rows: Some(decode(read, rows, columns)),
            epoch,
            lease: None,
        }
    }

    fn length_in_bytes(&self) -> usize {
        let columns = self.encoded();
        let parts = columns.iter().flat_map(|column| &column.parts);
        let padded: usize = parts.map(|part| part.len().next_multiple_of(8)).sum();
        HEAD_BYTES + COLUMN_BYTES * columns.len() + padded
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let columns = self.encoded();
        let mut head = Vec::with_capacity(HEAD_BYTES + COLUMN_BYTES * columns.len());
        head.extend(self.epoch.to_le_bytes());
        head.extend(word(self.len()));
        head.extend(word(columns.len()));
        for column in &columns {
            head.extend(column.number.to_le_bytes());
            head.extend([
                column.kind,
                column.precision,
                column.scale.to_le_bytes()[0],
                0,
            ]);
            for part in &column.parts {
                head.extend(word(part.len()));
            }
        }
        let mut write = |bytes: &[u8]| {
            writer
                .write_all(bytes)
                .expect("timely gives room for length_in_bytes");
        };
        write(&head);
        for part in columns.iter().flat_map(|column| &column.parts) {
            write(part);
            write(&[0; 8][..part.len().next_multiple_of(8) - part.len()]);
        }
    }
}

fn word(length: usize) -> [u8; 8] {
    u64::try_from(length)
        .expect("a length fits 64 bits")
        .to_le_bytes()
}

/// Bytes that timely received, as an owner that Arrow's buffers can share.
struct Received(Bytes);

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Batch {
    fn encoded(&self) -> Vec<Encoded> {
        let Some(rows) = &self.rows else {
            return Vec::new();
        };
        let mut columns = Vec::with_capacity(rows.num_columns());
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let number = field
                .name()
                .parse()
                .expect("columns of exchanged batches are named by number");
            encode(number, column, &mut columns);
        }
        columns
    }
}

fn encode(number: u32, column: &ArrayRef, columns: &mut Vec<Encoded>) {
    let validity = validity(column.as_ref());
    let mut put = |kind: u8, (precision, scale): (u8, i8), values: Buffer, offsets: Buffer| {
        columns.push(Encoded {
            number,
            kind,
            precision,
            scale,
            parts: [validity.clone(), values, offsets],
        });
    };
    let none = Buffer::default;
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean().values().sliced();
            put(kind::BOOLEAN, (0, 0), values, none());
        }
        DataType::Int16 => put(kind::INT16, (0, 0), values::<Int16Type>(column), none()),
        DataType::Int32 => put(kind::INT32, (0, 0), values::<Int32Type>(column), none()),
        DataType::Int64 => put(kind::INT64, (0, 0), values::<Int64Type>(column), none()),
        DataType::Date32 => put(kind::DATE, (0, 0), values::<Date32Type>(column), none()),
        DataType::Timestamp(..) => {
            let values = values::<TimestampMicrosecondType>(column);
            put(kind::TIMESTAMP, (0, 0), values, none());
        }
        DataType::Float64 => put(kind::DOUBLE, (0, 0), values::<Float64Type>(column), none()),
        DataType::Decimal128(precision, scale) => {
            let values = values::<Decimal128Type>(column);
            put(kind::DECIMAL, (*precision, *scale), values, none());
        }
        DataType::Utf8 => {
            let (texts, offsets) = texts(column.as_string());
            put(kind::TEXT, (0, 0), texts, offsets);
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let texts_of = dictionary.values();
            if texts_of.len() > dictionary.len() || texts_of.null_count() > 0 {
                encode(number, &text::to_plain(column), columns);
            } else {
                let keys = dictionary.keys().values().inner().clone();
                put(kind::KEYS, (0, 0), keys, none());
                let (texts, offsets) = texts(texts_of.as_string());
                columns.push(Encoded {
                    number,
                    kind: kind::DICTIONARY,
                    precision: 0,
                    scale: 0,
                    parts: [none(), texts, offsets],
                });
            }
        }
        other => unreachable!("no column is of type {other}"),
    }
}

/// The validity bits from the first row on; empty where there are no nulls.
fn validity(column: &dyn Array) -> Buffer {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nulls.inner().sliced(),
        None => Buffer::default(),
    }
}

fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> Buffer {
    column.as_primitive::<T>().values().inner().clone()
}

/// The bytes of texts, and their offsets from 0.
fn texts(array: &StringArray) -> (Buffer, Buffer) {
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let place = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
    let bytes = array
        .values()
        .slice_with_length(place(first), place(last) - place(first));
    let offsets = if first == 0 {
        array.offsets().inner().inner().clone()
    } else {
        Buffer::from_iter(offsets.iter().map(|offset| offset - first))
    };
    (bytes, offsets)
}

/// Walks the words and buffers of a message.
struct Reader<'a> {
    all: &'a Buffer,
    at: usize,
}

impl Reader<'_> {
    fn word(&mut self) -> u64 {
        let bytes = &self.all[self.at..self.at + 8];
        self.at += 8;
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    fn length(&mut self) -> usize {
        usize::try_from(self.word()).expect("a message fits memory")
    }

    fn part(&mut self, length: usize) -> Buffer {
        let part = self.all.slice_with_length(self.at, length);
        self.at += length.next_multiple_of(8);
        part
    }
}

fn decode(mut read: Reader<'_>, rows: usize, columns: usize) -> RecordBatch {
    let mut described = Vec::with_capacity(columns);
    for _ in 0..columns {
        let words = read.word().to_le_bytes();
        let lengths = [read.length(), read.length(), read.length()];
        described.push((words, lengths));
    }
    let mut fields = Vec::with_capacity(columns);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns);
    let mut keys: Option<PrimitiveArray<Int32Type>> = None;
    for (words, lengths) in described {
        let [a, b, c, d, kind, precision, scale, _] = words;
        let [validity, values, offsets] = lengths.map(|length| read.part(length));
        let nulls =
            (!validity.is_empty()).then(|| NullBuffer::new(BooleanBuffer::new(validity, 0, rows)));
        let array: ArrayRef = match kind {
            kind::BOOLEAN => Arc::new(BooleanArray::new(
                BooleanBuffer::new(values, 0, rows),
                nulls,
            )),
            kind::INT16 => primitive::<Int16Type>(values, nulls),
            kind::INT32 => primitive::<Int32Type>(values, nulls),
            kind::INT64 => primitive::<Int64Type>(values, nulls),
            kind::DATE => primitive::<Date32Type>(values, nulls),
            kind::TIMESTAMP => {
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(
                    ScalarBuffer::from(values),
                    nulls,
                );
                Arc::new(array.with_data_type(timestamp_type()))
            }
            kind::DOUBLE => primitive::<Float64Type>(values, nulls),
            kind::DECIMAL => {
                let values = ScalarBuffer::from(aligned(values));
                let array = PrimitiveArray::<Decimal128Type>::new(values, nulls);
                let scale = i8::from_le_bytes([scale]);
                Arc::new(array.with_data_type(DataType::Decimal128(precision, scale)))
            }
            kind::TEXT => Arc::new(text_array(values, offsets, nulls)),
            kind::KEYS => {
                keys = Some(PrimitiveArray::new(ScalarBuffer::from(values), nulls));
                continue;
            }
            kind::DICTIONARY => {
                let keys = keys.take().expect("keys stand before their dictionary");
                let values = Arc::new(text_array(values, offsets, None));
                Arc::new(DictionaryArray::new(keys, values))
            }
            other => unreachable!("a peer of this build sends no column of type {other}"),
        };
        let number = u32::from_le_bytes([a, b, c, d]);
        fields.push(Field::new(
            number.to_string(),
            array.data_type().clone(),
            true,
        ));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .expect("a peer of this build sends batches that fit together")
}

fn primitive<T: ArrowPrimitiveType>(values: Buffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

/// The same bytes at a multiple of sixteen: where they lie, or copied as a whole.
fn aligned(values: Buffer) -> Buffer {
    if values.as_ptr().align_offset(align_of::<i128>()) == 0 {
        values
    } else {
        Buffer::from(values.as_slice())
    }
}

fn text_array(values: Buffer, offsets: Buffer, nulls: Option<NullBuffer>) -> StringArray {
    StringArray::new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        values,
        nulls,
    )
}

#[cfg(test)]
mod tests;
