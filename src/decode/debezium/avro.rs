//! Envelopes in Avro: what a connector with an Avro converter writes behind each message's frame.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::interleave::interleave;
use std::sync::Arc;

use super::order::file_number;
use super::{Change, Effect, Nothing, Order, effect};
use crate::decode::avro::{AvroError, AvroReader, AvroSchema, BadDatum};

/// What is read of an envelope beside the rows.
const ENVELOPE: [&str; 7] = [
    "op",
    "source.lsn",
    "source.file",
    "source.pos",
    "source.row",
    "source.scn",
    "source.ts_ms",
];

/// Reads envelopes of one schema.
#[derive(Debug)]
pub struct AvroChanges {
    reader: AvroReader,
    headers: Vec<String>,
}

/// Changes, in the order of their messages.
#[derive(Debug)]
pub struct Changes {
    /// For each envelope that was read, what it does; an envelope whose letter nobody knows is `None`.
    pub changes: Vec<Option<Result<Change, Nothing>>>,
    /// Their rows, with a column for each header that the schema has: of `after`, or for a deletion of `before`.
    pub rows: RecordBatch,
}

impl AvroChanges {
    /// A reader of the values that `headers` lead to in the rows.
    ///
    /// # Errors
    /// The schema is not that of an envelope, or a header leads to no single value.
    pub fn new(schema: &AvroSchema, headers: &[&str]) -> Result<Self, AvroError> {
        let of_rows = ["after", "before"]
            .iter()
            .flat_map(|row| headers.iter().map(move |header| format!("{row}.{header}")));
        let all: Vec<String> = ENVELOPE
            .iter()
            .map(|&name| name.to_owned())
            .chain(of_rows)
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Ok(Self {
            reader: AvroReader::new(schema, &all)?,
            headers: headers.iter().map(|&header| header.to_owned()).collect(),
        })
    }

    /// Reads one envelope, which is all of `bytes`.
    ///
    /// # Errors
    /// The bytes are none, and nothing comes of them.
    pub fn read_one(&mut self, bytes: &[u8]) -> Result<(), BadDatum> {
        self.reader.read_one(bytes)
    }

    /// The changes since the last call.
    ///
    /// # Errors
    /// Rows before and after a change have different types, which no connector writes.
    pub fn finish(&mut self) -> Result<Changes, ArrowError> {
        let batch = self.reader.finish();
        let rows = batch.num_rows();
        let column = |name: &str, wanted: &DataType| -> Option<ArrayRef> {
            arrow_cast::cast(batch.column_by_name(name)?, wanted).ok()
        };
        let text = |name: &str| column(name, &DataType::Utf8);
        let (op, file, scn) = (text("op"), text("source.file"), text("source.scn"));
        let whole = |name: &str| column(name, &DataType::Int64);
        let numbers = ["source.lsn", "source.pos", "source.row", "source.ts_ms"].map(whole);
        let text_at = |column: &Option<ArrayRef>, row: usize| -> Option<Vec<u8>> {
            let column = column.as_ref().filter(|column| column.is_valid(row))?;
            Some(column.as_string::<i32>().value(row).as_bytes().to_vec())
        };
        let number_at = |at: usize, row: usize| -> Option<i64> {
            let column = numbers[at].as_ref().filter(|column| column.is_valid(row))?;
            Some(
                column
                    .as_primitive::<arrow_array::types::Int64Type>()
                    .value(row),
            )
        };
        let change = |row: usize| {
            let binlog = text_at(&file, row)
                .and_then(|file| file_number(&file))
                .zip(number_at(1, row));
            let order = Order {
                lsn: number_at(0, row),
                binlog: binlog.map(|(file, place)| (file, place, number_at(2, row).unwrap_or(0))),
                scn: text_at(&scn, row)
                    .and_then(|scn| std::str::from_utf8(&scn).ok()?.parse().ok()),
                ts_ms: number_at(3, row),
            };
            let effect = effect(&text_at(&op, row)?)?;
            Some(effect.map(|effect| Change { effect, order }))
        };
        let changes: Vec<Option<Result<Change, Nothing>>> = (0..rows).map(change).collect();
        let from: Vec<(usize, usize)> = changes
            .iter()
            .enumerate()
            .map(|(row, change)| {
                let gone = matches!(change, Some(Ok(change)) if change.effect == Effect::Delete);
                (usize::from(gone), row)
            })
            .collect();
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for header in &self.headers {
            let pair =
                ["after", "before"].map(|row| batch.column_by_name(&format!("{row}.{header}")));
            let values = match pair {
                [Some(after), Some(before)] if after.data_type() == before.data_type() => {
                    interleave(&[after.as_ref(), before.as_ref()], &from)?
                }
                [Some(after), Some(before)] => {
                    // Text of which some is none is bytes.
                    let bytes = |values: &ArrayRef| arrow_cast::cast(values, &DataType::Binary);
                    interleave(&[bytes(after)?.as_ref(), bytes(before)?.as_ref()], &from)?
                }
                [Some(only), None] | [None, Some(only)] => Arc::clone(only),
                [None, None] => continue,
            };
            fields.push(Field::new(header, values.data_type().clone(), true));
            columns.push(values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let rows =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(Changes { changes, rows })
    }
}
