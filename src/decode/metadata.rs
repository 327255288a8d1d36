//! Columns that say something of the message that a row came in: its key, headers, topic, partition, offset and time.
//!
//! They stand in no record, so nothing is decoded for them; each row takes what is known of the message that holds its first byte.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::DataType;

use super::column::{Collect, Stretch};
use super::json::Given;
use super::kernel::Bad;
use crate::job::plan::{Metadata, SourceColumn};
use crate::record::{Draft, Fault, Messages, Origin, Site};

/// Stands in for a column that no record holds.
#[derive(Debug)]
pub(super) struct OfMessage;

impl Collect for OfMessage {
    fn begin(&mut self, _: usize) {}
    fn stretch(&mut self, _: &Stretch<'_>, _: usize, _: &mut Vec<Fault>) {}
    fn cells(&mut self, _: &Given<'_>, _: &mut Vec<Fault>) {}
    fn text(&mut self, _: usize, _: &[u8], _: bool, _: &mut Vec<Fault>) {}
    fn absent(&mut self, _: usize, _: bool, _: &mut Vec<Fault>) {}
    fn misfit(&mut self, _: usize, _: Bad, _: &[u8], _: &mut Vec<Fault>) {}
    fn finish(&mut self) -> ArrayRef {
        new_null_array(&DataType::Null, 0)
    }
}

/// Fills the columns of a draft that are of messages. A message without what a column must have is a fault of its row.
pub(super) fn fill(draft: &mut Draft, columns: &[SourceColumn]) {
    if columns.iter().all(|column| column.metadata.is_none()) {
        return;
    }
    let of_rows = messages_of_rows(draft);
    let Some(Origin::Text { chunk, .. }) = &draft.origin else {
        return;
    };
    let none = Messages::default();
    let messages = chunk.messages.as_deref().unwrap_or(&none);
    for column in columns {
        let Some(metadata) = column.metadata else {
            continue;
        };
        let array: ArrayRef = match metadata {
            Metadata::Topic => Arc::new(StringArray::from_iter_values(
                of_rows.iter().map(|_| &messages.topic),
            )),
            Metadata::Partition => {
                Arc::new(Int32Array::from_value(messages.partition, of_rows.len()))
            }
            Metadata::Offset => {
                let offset = |&at: &usize| {
                    let place = chunk.places.get(at)?;
                    i64::try_from(place.byte).ok()
                };
                Arc::new(of_rows.iter().map(offset).collect::<Int64Array>())
            }
            Metadata::Key => texts(&of_rows, &messages.parts.keys),
            Metadata::Headers => texts(&of_rows, &messages.parts.headers),
            Metadata::Timestamp => {
                let times = &messages.parts.timestamps;
                let time = of_rows.iter().map(|&at| times.get(at).copied().flatten());
                let times: TimestampMicrosecondArray = time.collect();
                Arc::new(times.with_timezone("UTC"))
            }
        };
        if column.not_null && array.null_count() > 0 {
            for row in (0..array.len()).filter(|row| array.is_null(*row)) {
                draft.faults.push(Fault {
                    row,
                    site: Site::Column(column.id),
                    reason: column
                        .reason
                        .clone()
                        .unwrap_or_else(|| "missing_value".into()),
                    detail: String::new(),
                });
            }
        }
        draft.columns[column.id] = Some(array);
    }
}

fn texts(of_rows: &[usize], values: &[Option<String>]) -> ArrayRef {
    let text = |&at: &usize| values.get(at).and_then(Option::as_deref);
    Arc::new(of_rows.iter().map(text).collect::<StringArray>())
}

/// For each row the place in its chunk of the message that it came in.
pub(crate) fn messages_of_rows(draft: &Draft) -> Vec<usize> {
    let Some(Origin::Text { chunk, starts }) = &draft.origin else {
        return vec![0; draft.rows];
    };
    let mut at = 0;
    let starts = starts[..draft.rows].iter();
    starts
        .map(|start| {
            let start = super::scan::wide(*start);
            while chunk
                .places
                .get(at + 1)
                .is_some_and(|next| next.start <= start)
            {
                at += 1;
            }
            at
        })
        .collect()
}
