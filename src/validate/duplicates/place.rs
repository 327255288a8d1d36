//! Where each clean row stands, carried beside its columns as far as duplicates are looked for: its position, and behind that its piece and line.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};

use crate::decode;
use crate::record::{Draft, POSITION_COLUMNS, Place, Positions, position_columns};

/// How many columns a place has: those of a position, piece, line.
pub(super) const COLUMNS: usize = POSITION_COLUMNS + 2;

/// The places of a draft's rows.
pub(in crate::validate) fn columns(draft: &Draft) -> Vec<ArrayRef> {
    let (file, lines, bytes) = decode::lines_and_bytes(draft);
    let mut columns = position_columns(draft, file, bytes).to_vec();
    columns.push(Arc::new(Int64Array::from_value(
        signed(draft.number),
        draft.rows,
    )));
    columns.push(Arc::new(Int64Array::from_iter_values(
        lines.into_iter().map(signed),
    )));
    columns
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("positions in input fit 63 bits")
}

/// The places of a batch's rows.
pub(super) struct Places<'a> {
    positions: Positions<'a>,
    pieces: &'a Int64Array,
    lines: &'a Int64Array,
}

impl<'a> Places<'a> {
    /// Reads them from the columns from `first` on.
    pub(super) fn new(rows: &'a RecordBatch, first: usize) -> Self {
        let whole = |place: usize| {
            rows.column_by_name(&(first + POSITION_COLUMNS + place).to_string())
                .expect("the split carries places")
                .as_primitive::<Int64Type>()
        };
        Self {
            positions: Positions::new(rows, first),
            pieces: whole(0),
            lines: whole(1),
        }
    }

    /// Its place in the order of all input: pieces are numbered in the order of sources, files and bytes, and rows within them.
    pub(super) fn order(&self, row: usize) -> (u64, u64) {
        (unsigned(self.pieces, row), self.positions.row(row))
    }

    pub(super) fn source(&self, row: usize) -> usize {
        usize::try_from(self.positions.source(row)).expect("sources are counted from 0")
    }

    pub(super) fn file(&self, row: usize) -> &'a str {
        self.positions.file(self.positions.code(row))
    }

    pub(super) fn line(&self, row: usize) -> u64 {
        unsigned(self.lines, row)
    }

    pub(super) fn byte(&self, row: usize) -> u64 {
        self.positions.place(row)
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
