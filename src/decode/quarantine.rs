//! What quarantine keeps of refused rows: their bytes, their place and every column as it was read.
//!
//! Work is done for refused rows only, from the chunk that a draft holds; nothing of it is done while decoding.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray, UInt64Array};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::take::take;

use super::cut::{Cutter, count_lines, without_line_end};
use super::detail::lossless;
use super::dialect::Dialect;
use super::json;
use super::messages;
use super::scan::wide;
use super::table;
use crate::job::plan::{CsvOptions, Format, JsonOptions, SourceColumn};
use crate::record::{Chunk, Draft, Encoding, Framing, Origin, Place};

/// The source's columns as text for some rows of a draft, as read, in the order of `columns`: null where the field is
/// empty or not there, and in rows that are no record of the file's shape.
///
/// Bytes that are no UTF-8 come as `\xNN`. Cost: splits each of the records again.
pub fn text_columns(
    draft: &Draft,
    rows: &[usize],
    columns: &[SourceColumn],
    format: &Format,
) -> Vec<ArrayRef> {
    match (&draft.origin, format) {
        (Some(Origin::Text { chunk, starts }), Format::Csv(options)) => {
            csv_columns(chunk, starts, rows, columns, format, options)
        }
        (Some(Origin::Text { chunk, starts }), Format::Json(options)) => {
            json_columns(chunk, starts, rows, columns, options)
        }
        (Some(Origin::Text { chunk, starts }), Format::AvroMessages { .. }) => {
            messages::text_columns(chunk, starts, rows, columns)
        }
        (Some(Origin::Table { batch, .. }), _) => {
            let rows: UInt64Array = rows
                .iter()
                .map(|&row| u64::try_from(row).expect("a row number fits into 64 bits"))
                .collect();
            let text = |column: &SourceColumn| -> Option<ArrayRef> {
                let values = take(&table::values_at(batch, &column.header)?, &rows, None).ok()?;
                cast(&values, &DataType::Utf8).ok()
            };
            let none = || -> ArrayRef { Arc::new(StringArray::new_null(rows.len())) };
            columns
                .iter()
                .map(|column| text(column).unwrap_or_else(none))
                .collect()
        }
        (Some(Origin::Text { .. }) | None, _) => columns
            .iter()
            .map(|_| -> ArrayRef { Arc::new(StringArray::new_null(rows.len())) })
            .collect(),
    }
}

/// The raw text and the place of a row. For many rows use [`raws_and_places`], which counts lines once.
///
/// Panics where the draft has no such row.
pub fn raw_and_place(draft: &Draft, row: usize, format: &Format) -> (String, Place) {
    raws_and_places(draft, &[row], format)
        .pop()
        .expect("a draft with rows has an origin")
}

/// The raw bytes (as they lie in the file, without their line end; what is no UTF-8 as `\xNN`, see [`super::bytes_of_raw`]) and
/// the place of rows in ascending order.
///
/// The raw text of a row of a columnar file is a JSON object of the columns that were read; its place has line 0 and the number
/// of the row, from 0, instead of a byte.
/// Cost: one pass over the chunk up to the last row.
pub fn raws_and_places(draft: &Draft, rows: &[usize], format: &Format) -> Vec<(String, Place)> {
    match &draft.origin {
        Some(Origin::Text { chunk, starts }) => {
            let mut cutter = Cutter::new(format);
            let file = chunk.file.display().to_string();
            let encoding = chunk.header.encoding;
            let places = places(chunk, rows.iter().map(|&row| wide(starts[row])));
            let each = |(&row, (line, byte)): (&usize, (u64, u64))| {
                let record = record(chunk, starts, row, format, &mut cutter);
                let raw = match encoding {
                    Encoding::Utf8 => lossless(record),
                    _ => lossless(&encoding.bytes_in_file(record)),
                };
                let file = file.clone();
                let is_message = chunk.messages.is_some();
                let place = Place {
                    file,
                    line,
                    byte,
                    is_message,
                };
                (raw, place)
            };
            rows.iter().zip(places).map(each).collect()
        }
        Some(Origin::Table {
            file,
            first_row,
            batch,
        }) => {
            let file = file.display().to_string();
            let each = |&row: &usize| {
                let byte = first_row + u64::try_from(row).expect("a row number fits into 64 bits");
                (
                    table::json(batch, row),
                    Place {
                        file: file.clone(),
                        line: 0,
                        byte,
                        is_message: false,
                    },
                )
            };
            rows.iter().map(each).collect()
        }
        None => Vec::new(),
    }
}

/// The bytes of a row's record, without its line end.
fn record<'a>(
    chunk: &'a Chunk,
    starts: &[u32],
    row: usize,
    format: &Format,
    cutter: &mut Cutter,
) -> &'a [u8] {
    let start = wide(starts[row]);
    let to_end = &chunk.bytes[start..];
    // Records that were dropped and empty lines may stand before the next row. A broken chunk is one row.
    match format {
        _ if chunk.broken.is_some() => without_line_end(to_end),
        _ if chunk.header.framing == Framing::Whole => to_end,
        Format::AvroMessages { .. } => &chunk.bytes[start..wide(starts[row + 1])],
        Format::Json(options) => {
            let records = json::records(&chunk.header, options);
            json::record_of(&chunk.bytes, start, records)
        }
        _ => cutter.first_record(to_end).0,
    }
}

/// The file of a draft's rows, and line and byte of each, as [`Place`] has them.
///
/// Cost: one pass over the chunk for its line ends.
pub fn lines_and_bytes(draft: &Draft) -> (String, Vec<u64>, Vec<u64>) {
    match &draft.origin {
        Some(Origin::Text { chunk, starts }) => {
            let starts = starts[..draft.rows].iter().map(|start| wide(*start));
            let (lines, bytes) = places(chunk, starts).unzip();
            (chunk.file.display().to_string(), lines, bytes)
        }
        Some(Origin::Table {
            file, first_row, ..
        }) => {
            let rows = u64::try_from(draft.rows).expect("a number of rows fits into 64 bits");
            (
                file.display().to_string(),
                vec![0; draft.rows],
                (*first_row..first_row + rows).collect(),
            )
        }
        None => (String::new(), Vec::new(), Vec::new()),
    }
}

/// Line and byte in the file of what begins at each of `starts` in the chunk, which ascend.
fn places(chunk: &Chunk, starts: impl Iterator<Item = usize>) -> impl Iterator<Item = (u64, u64)> {
    let mut known = chunk.places.iter().peekable();
    let (mut line, mut byte, mut at) = (chunk.line, chunk.offset, 0);
    starts.map(move |start| {
        while let Some(place) = known.next_if(|place| place.start <= start) {
            (line, byte, at) = (place.line, place.byte, place.start);
        }
        let between = &chunk.bytes[at..start];
        line += count_lines(between);
        byte += chunk.header.encoding.length_in_file(between);
        at = start;
        (line, byte)
    })
}

/// The bytes of rows, without their line ends, exactly as they stand in their file; of columnar files, which have none, an object of their
/// columns as text. `texts` are their [`text_columns`].
pub fn raw_bytes(
    draft: &Draft,
    rows: &[usize],
    format: &Format,
    columns: &[SourceColumn],
    texts: &[ArrayRef],
) -> Vec<Vec<u8>> {
    match &draft.origin {
        Some(Origin::Text { chunk, starts }) => {
            let mut cutter = Cutter::new(format);
            rows.iter()
                .map(|&row| {
                    let record = record(chunk, starts, row, format, &mut cutter);
                    chunk.header.encoding.bytes_in_file(record)
                })
                .collect()
        }
        _ => (0..rows.len())
            .map(|row| {
                let of_row = columns.iter().zip(texts).map(|(column, texts)| {
                    let texts = texts.as_string::<i32>();
                    let value = (!texts.is_null(row)).then(|| texts.value(row));
                    (column.header.clone(), serde_json::json!(value))
                });
                serde_json::Value::Object(of_row.collect())
                    .to_string()
                    .into_bytes()
            })
            .collect(),
    }
}

/// The text of rows of a text format, without their line ends, as it stands in their chunk.
pub fn raw_texts(draft: &Draft, rows: &[usize], format: &Format) -> Vec<Vec<u8>> {
    let Some(Origin::Text { chunk, starts }) = &draft.origin else {
        return Vec::new();
    };
    let mut cutter = Cutter::new(format);
    rows.iter()
        .map(|&row| record(chunk, starts, row, format, &mut cutter).to_vec())
        .collect()
}

fn csv_columns(
    chunk: &Chunk,
    starts: &[u32],
    rows: &[usize],
    columns: &[SourceColumn],
    format: &Format,
    options: &CsvOptions,
) -> Vec<ArrayRef> {
    let mut builders: Vec<StringBuilder> = columns.iter().map(|_| StringBuilder::new()).collect();
    let mut cutter = Cutter::new(format);
    let mut scratch = Vec::new();
    let dialect = Dialect::new(options);
    let bound = super::header::fields_of_columns(&chunk.header, columns);
    let mut text = Vec::new();
    for &row in rows {
        let record = record(chunk, starts, row, format, &mut cutter);
        let fields = if chunk.broken.is_some() {
            Vec::new()
        } else {
            dialect.fields(record)
        };
        let whole = fields.len() == chunk.header.fields;
        for (builder, own) in builders.iter_mut().zip(&bound) {
            text.clear();
            let own = own.iter().filter(|_| whole);
            for raw in own.filter_map(|field| fields.get(*field)) {
                let part = if dialect.is_stray(raw) {
                    raw
                } else {
                    dialect.text(raw, &mut scratch).0
                };
                super::join(&mut text, part);
            }
            if text.is_empty() {
                builder.append_null();
            } else {
                builder.append_value(readable(chunk, &text));
            }
        }
    }
    builders
        .into_iter()
        .map(|mut builder| -> ArrayRef { Arc::new(builder.finish()) })
        .collect()
}

/// The text of a field; what is no text is shown as the bytes of the file.
fn readable(chunk: &Chunk, text: &[u8]) -> String {
    match chunk.header.encoding {
        encoding if encoding != Encoding::Utf8 && str::from_utf8(text).is_err() => {
            lossless(&encoding.bytes_in_file(text))
        }
        _ => lossless(text),
    }
}

fn json_columns(
    chunk: &Chunk,
    starts: &[u32],
    rows: &[usize],
    columns: &[SourceColumn],
    options: &JsonOptions,
) -> Vec<ArrayRef> {
    let mut builders: Vec<StringBuilder> = columns.iter().map(|_| StringBuilder::new()).collect();
    for &row in rows {
        // Rows of one record begin at the same byte.
        let of_record = starts[..row].iter().rev();
        let element = of_record.take_while(|start| **start == starts[row]).count();
        let texts = if chunk.broken.is_some() {
            vec![None; columns.len()]
        } else {
            let start = wide(starts[row]);
            let record = if chunk.header.framing == Framing::Whole {
                &chunk.bytes[start..]
            } else {
                let records = json::records(&chunk.header, options);
                json::record_of(&chunk.bytes, start, records)
            };
            json::texts_of(record, element, columns, options)
        };
        for (builder, text) in builders.iter_mut().zip(texts) {
            builder.append_option(text);
        }
    }
    builders
        .into_iter()
        .map(|mut builder| -> ArrayRef { Arc::new(builder.finish()) })
        .collect()
}
