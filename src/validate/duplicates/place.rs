//! Where each clean row stands, carried beside its columns as far as duplicates are looked for.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};

use crate::decode;
use crate::record::{Draft, Place};
use crate::transform::text::Text;

/// How many columns a place has: piece, row in it, source, file, line, byte.
pub(super) const COLUMNS: usize = 6;

/// The places of a draft's rows.
pub(in crate::validate) fn columns(draft: &Draft) -> [ArrayRef; COLUMNS] {
    let rows = draft.rows;
    let (file, lines, bytes) = decode::lines_and_bytes(draft);
    let first = draft.origin.as_ref().map_or(0, |origin| match origin {
        crate::record::Origin::Text { .. } => 0,
        crate::record::Origin::Table { first_row, .. } => *first_row,
    });
    let counted = first..first + u64::try_from(rows).expect("a number of rows fits 64 bits");
    let source = i32::try_from(draft.source).expect("a job has few sources");
    let file: ArrayRef = Arc::new(StringArray::from(vec![file]));
    [
        Arc::new(Int64Array::from_value(signed(draft.number), rows)),
        whole(counted),
        Arc::new(Int32Array::from_value(source, rows)),
        Arc::new(DictionaryArray::new(Int32Array::from_value(0, rows), file)),
        whole(lines),
        whole(bytes),
    ]
}

fn whole(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.into_iter().map(signed)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("positions in input fit 63 bits")
}

/// The places of a batch's rows.
pub(super) struct Places<'a> {
    pieces: &'a Int64Array,
    rows: &'a Int64Array,
    sources: &'a Int32Array,
    files: Text<'a>,
    lines: &'a Int64Array,
    bytes: &'a Int64Array,
}

impl<'a> Places<'a> {
    /// Reads them from the columns from `first` on.
    pub(super) fn new(rows: &'a RecordBatch, first: usize) -> Self {
        let column = |place: usize| {
            rows.column_by_name(&(first + place).to_string())
                .expect("the split carries places")
        };
        let whole = |place: usize| column(place).as_primitive::<Int64Type>();
        Self {
            pieces: whole(0),
            rows: whole(1),
            sources: column(2).as_primitive::<Int32Type>(),
            files: Text::new(column(3)),
            lines: whole(4),
            bytes: whole(5),
        }
    }

    /// Its place in the order of all input: pieces are numbered in the order of sources, files and bytes, and rows within them.
    pub(super) fn order(&self, row: usize) -> (u64, u64) {
        (unsigned(self.pieces, row), unsigned(self.rows, row))
    }

    pub(super) fn source(&self, row: usize) -> usize {
        usize::try_from(self.sources.value(row)).expect("sources are counted from 0")
    }

    pub(super) fn file(&self, row: usize) -> &'a str {
        self.files.value(row).expect("every row has a file")
    }

    pub(super) fn line(&self, row: usize) -> u64 {
        unsigned(self.lines, row)
    }

    pub(super) fn byte(&self, row: usize) -> u64 {
        unsigned(self.bytes, row)
    }

    pub(super) fn place(&self, row: usize) -> Place {
        Place {
            file: self.file(row).to_owned(),
            line: self.line(row),
            byte: self.byte(row),
            is_message: false,
        }
    }
}

fn unsigned(values: &Int64Array, row: usize) -> u64 {
    u64::try_from(values.value(row)).expect("positions in input are not negative")
}
