//! Records again, for quarantine: their bytes, and their values as text.

use super::cells::{Cell, Cells, Kind};
use super::cut::Elements;
use super::grammar::{Grammar, Shape};
use super::text::unescape;
use super::tree::Tree;
use super::walk::Walk;
use crate::decode::cut::line_end;
use crate::decode::detail::lossless;
use crate::decode::scan::wide;
use crate::job::plan::{JsonOptions, Records, SourceColumn};
use crate::record::{Framing, HeaderBinding};

/// What stands between the records of a chunk.
pub(in crate::decode) fn records(header: &HeaderBinding, options: &JsonOptions) -> Records {
    match header.framing {
        Framing::Lines => Records::Lines,
        Framing::OfSource | Framing::Whole => options.records,
    }
}

/// The bytes of the record that begins at `start`, without what separates it from others.
pub(in crate::decode) fn record_of(bytes: &[u8], start: usize, records: Records) -> &[u8] {
    let end = match records {
        Records::Lines => line_end(bytes, start),
        Records::Array => Elements::new(true).end(bytes, start),
        Records::Objects => Elements::new(false).end(bytes, start),
    };
    &bytes[start..end]
}

/// The columns' values as text in one row of a record, the `element`-th where its elements are rows; `None` for null, for
/// what is not there, and all over where the record is no object.
pub(in crate::decode) fn texts_of(
    record: &[u8],
    element: usize,
    columns: &[SourceColumn],
    options: &JsonOptions,
) -> Vec<Option<String>> {
    let mut tree = Tree::new(columns);
    let mut cells = Cells {
        width: tree.width(),
        ..Cells::default()
    };
    let grammar = Grammar::<false> {
        bytes: record,
        max_depth: options.max_depth,
    };
    let mut walk = Walk::new(grammar, &mut tree, &mut cells);
    let start = grammar.blanks(0);
    // Bytes that are no UTF-8 are a fault of a record that can be read all the same.
    let is_object = match walk.record(start) {
        Ok(past) => grammar.blanks(past) == record.len(),
        Err(wrong) => wrong.code == "invalid_utf8",
    };
    if !is_object {
        return columns.iter().map(|_| None).collect();
    }
    walk.keep(start, false);
    let row = element.min(cells.rows() - 1) * cells.width;
    let mut scratch = Vec::new();
    let mut text = |cell: Cell| match cell.kind {
        Kind::Absent | Kind::Judged | Kind::Value(Shape::Null) => None,
        Kind::Value(Shape::Escaped) => Some(lossless(unescape(cell.raw(record), &mut scratch))),
        _ => Some(lossless(&record[wide(cell.start)..wide(cell.end)])),
    };
    let slots = tree.slots.iter();
    slots
        .map(|slot| text(cells.all[row + slot]).filter(|text| !text.is_empty()))
        .collect()
}
