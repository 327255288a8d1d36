//! Avro messages of a topic: each one a row, under the schema that it names.
//!
//! A chunk holds messages of several schemas; each schema's rows are decoded together, cast as those of a columnar file, and put
//! back in the order of the messages. What can't be read is a fault of its message. The reader has asked the registry before: a chunk has
//! the text of every schema that its messages name, or why there is none.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::interleave::interleave;

use super::avro::AvroSchema;
use super::avro::framed::{Framed, Messages, schema_id};
use super::scan::{narrow, wide};
use super::{Decoder, detail, note_adjusted, table};
use crate::job::plan::SourceColumn;
use crate::record::{Chunk, Draft, Fault, SchemaText, Site, shown};

/// A decoder of what columns read of messages.
pub(super) fn framed(columns: &[SourceColumn]) -> Framed {
    let read = columns.iter().filter(|column| column.metadata.is_none());
    let headers: Vec<&str> = read.map(|column| column.header.as_str()).collect();
    Framed::new(&headers)
}

impl Decoder {
    /// Decodes the messages of a chunk; gives where they start.
    ///
    /// Panics where the chunk lacks a schema that a message names: its reader waits for them.
    pub(super) fn avro_messages(&mut self, chunk: &Chunk, draft: &mut Draft) -> Vec<u32> {
        let mut starts: Vec<u32> = chunk
            .places
            .iter()
            .map(|place| narrow(place.start))
            .collect();
        draft.rows = starts.len();
        starts.push(narrow(chunk.bytes.len()));
        let bytes = |row: usize| message(chunk, &starts, row);
        let mut faults = Vec::new();
        let decoded = decode(&mut self.framed, chunk, draft.rows, bytes, &mut faults);
        draft.faults.extend(faults);
        let of_row = places(&decoded, draft.rows);
        for (column, collector) in self.columns.iter().zip(&mut self.collectors) {
            if column.metadata.is_some() {
                continue;
            }
            let wanted = column.column_type.data_type();
            let mut pieces: Vec<ArrayRef> = Vec::with_capacity(decoded.pieces.len() + 1);
            for piece in &decoded.pieces {
                let mut faults = Vec::new();
                let rows = piece.batch.num_rows();
                let read = table::values_at(&piece.batch, &column.header);
                let values = if let Some(read) = read {
                    let (values, adjusted) =
                        table::values(column, &read, collector.as_mut(), &mut faults);
                    note_adjusted(column.id, adjusted, &mut draft.adjusted);
                    values
                } else {
                    table::absent(rows, collector.as_mut(), &mut faults)
                };
                let in_place = faults.into_iter().map(|fault| Fault {
                    row: piece.messages[fault.row],
                    ..fault
                });
                draft.faults.extend(in_place);
                draft.stripped += collector.stripped();
                pieces.push(values);
            }
            draft.columns[column.id] = Some(in_order(pieces, &of_row, &wanted));
        }
        starts
    }
}

/// The bytes of a message.
fn message<'a>(chunk: &'a Chunk, starts: &[u32], row: usize) -> &'a [u8] {
    &chunk.bytes[wide(starts[row])..wide(starts[row + 1])]
}

/// Decodes messages, under the schemas that their chunk brings.
fn decode<'a>(
    framed: &mut Framed,
    chunk: &Chunk,
    rows: usize,
    bytes: impl Fn(usize) -> &'a [u8],
    faults: &mut Vec<Fault>,
) -> Messages {
    let schemas = chunk.messages.as_deref().map(|messages| &messages.schemas);
    let schema = |id: u32| -> Option<&SchemaText> {
        let mut known = schemas.into_iter().flatten();
        known.find(|(known, _)| *known == id).map(|(_, text)| text)
    };
    let mut fault = |row: usize, reason: &'static str, words: &str| {
        faults.push(Fault {
            row,
            site: Site::Record,
            reason: Arc::from(reason),
            detail: shown(words.as_bytes(), detail::LONGEST_WORDS),
        });
    };
    let given: Vec<Option<&[u8]>> = (0..rows)
        .map(|row| {
            let bytes = bytes(row);
            if let Ok(id) = schema_id(bytes)
                && let Some(Err((reason, words))) = schema(id)
            {
                fault(row, reason, words);
                return None;
            }
            Some(bytes)
        })
        .collect();
    let decoded = framed.decode(&given, |id| {
        let text = schema(id).and_then(|text| text.as_ref().ok());
        let text = text.expect("the reader has waited for the schema");
        AvroSchema::parse(text.as_bytes())
    });
    let decoded = decoded.expect("the reader has read the schema before");
    for of_message in &decoded.faults {
        fault(of_message.message, of_message.reason, &of_message.detail);
    }
    decoded
}

/// For each message the piece and the row in it that it became; the piece behind the last, which has a null, where it is no row.
fn places(decoded: &Messages, rows: usize) -> Vec<(usize, usize)> {
    let mut of_row = vec![(decoded.pieces.len(), 0); rows];
    for (number, piece) in decoded.pieces.iter().enumerate() {
        for (row, message) in piece.messages.iter().enumerate() {
            of_row[*message] = (number, row);
        }
    }
    of_row
}

/// The values of pieces in the order of messages.
fn in_order(mut pieces: Vec<ArrayRef>, of_row: &[(usize, usize)], wanted: &DataType) -> ArrayRef {
    if pieces.len() == 1 && pieces[0].len() == of_row.len() {
        return pieces.remove(0);
    }
    for piece in &mut pieces {
        if piece.data_type() != wanted {
            // Text that comes by codes, in one piece and not in another.
            *piece = cast(piece, wanted).expect("codes become their texts");
        }
    }
    pieces.push(new_null_array(wanted, 1));
    let arrays: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    interleave(&arrays, of_row).expect("all pieces are of the column's type")
}

/// The columns of some rows as text, as they were read; null in rows that are no record.
pub(super) fn text_columns(
    chunk: &Chunk,
    starts: &[u32],
    rows: &[usize],
    columns: &[SourceColumn],
) -> Vec<ArrayRef> {
    let nothing = || -> ArrayRef { Arc::new(StringArray::new_null(rows.len())) };
    if chunk.broken.is_some() {
        return columns.iter().map(|_| nothing()).collect();
    }
    let bytes = |row: usize| message(chunk, starts, rows[row]);
    let decoded = decode(
        &mut framed(columns),
        chunk,
        rows.len(),
        bytes,
        &mut Vec::new(),
    );
    let of_row = places(&decoded, rows.len());
    let text = |batch: &RecordBatch, column: &SourceColumn| -> ArrayRef {
        let read = table::values_at(batch, &column.header);
        let text = read.and_then(|read| cast(&read, &DataType::Utf8).ok());
        text.filter(|text| text.as_string_opt::<i32>().is_some())
            .unwrap_or_else(|| new_null_array(&DataType::Utf8, batch.num_rows()))
    };
    let each = |column: &SourceColumn| {
        let pieces = decoded.pieces.iter();
        let pieces = pieces.map(|piece| text(&piece.batch, column)).collect();
        in_order(pieces, &of_row, &DataType::Utf8)
    };
    columns.iter().map(each).collect()
}
