//! JSON into columns: objects, their members bound to columns by path.
//!
//! ```text
//! bytes --walk--> a cell for each column: where its value stands --a tight loop for each column--> arrays
//!         \                                                        \
//!          record faults (no row is lost)                           column faults (the value is null)
//! ```
//!
//! One pass over the bytes holds them to the grammar and notes where values stand (`walk`); then each column reads its
//! values of a stretch, by the kernels that read fields of delimited text. Nothing is built for a record: no map, no value.
//!
//! - Numbers are read from their digits, so that no whole number and no cent is lost on the way through a double.
//! - A value of another JSON type than the column's is a fault of the column; text that is no object is one of the record.
//! - A name that stands twice is a fault of the columns that read it: no one of the values is the right one.
//! - `items[].sku` makes each element a row that has the record's other columns, too. Without elements the record is one
//!   row with nulls, or none where the source says so. A record that is refused as a whole is one row.
//! - What may lie between records, and how reading goes on behind broken ones, is the subject of `cut`.
//!
//! Cost: twelve bytes for each path and row of 48 KiB of text; a record with many elements has all its rows at once.

mod cells;
mod cut;
mod grammar;
mod shown;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod walk;

pub(super) use cells::{Fits, Given, Meaning, WRONG_TYPE};
pub use cut::{Elements, Found, blanks};
pub(super) use shown::{record_of, records, texts_of};

use self::cells::{Cells, Kind};
use self::grammar::{Grammar, Shape, Wrong};
use self::tree::Tree;
use self::walk::Walk;
use crate::job::plan::{EmptyArray, JsonOptions, Records, SourceColumn};
use crate::record::{Chunk, Fault, Framing, HeaderBinding, Site, shown as shown_text};

use super::cut::line_end;
use super::detail::LONGEST;
use super::text::invalid;

/// Bytes of records whose cells are filled before columns read them; see the splitter's.
const STRETCH_BYTES: usize = 48 * 1024;

/// Reads the records of one source's chunks.
#[derive(Debug)]
pub(super) struct Reader {
    options: JsonOptions,
    tree: Tree,
    fits: Vec<Fits>,
    pub(super) cells: Cells,
}

/// Where reading stands in a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// What stands between records; `None`: there is one.
    records: Option<Records>,
    /// Next byte.
    at: usize,
    /// What stands before it: the array's bracket or a comma.
    separator: Option<u8>,
}

impl Reader {
    pub(super) fn new(columns: &[SourceColumn], options: &JsonOptions) -> Self {
        let tree = Tree::new(columns);
        let fits = |(place, column): (usize, &SourceColumn)| {
            let as_written = options.as_written.contains(&place);
            Fits::new(column, tree.slots[place], as_written)
        };
        Self {
            options: options.clone(),
            fits: columns.iter().enumerate().map(fits).collect(),
            cells: Cells {
                width: tree.width(),
                ..Cells::default()
            },
            tree,
        }
    }

    /// The beginning of a chunk.
    pub(super) fn begin(&self, header: &HeaderBinding) -> Standing {
        Standing {
            records: (header.framing != Framing::Whole).then(|| records(header, &self.options)),
            at: 0,
            separator: None,
        }
    }

    /// Fills the cells of the next stretch, whose rows are all new; false where there are no more bytes.
    pub(super) fn next(&mut self, bytes: &[u8], standing: &mut Standing) -> bool {
        self.cells.clear();
        if standing.at >= bytes.len() {
            return false;
        }
        match standing.records {
            None => self.whole(bytes, standing),
            Some(Records::Lines) => self.lines(bytes, standing),
            Some(Records::Array) => self.elements(bytes, standing, true),
            Some(Records::Objects) => self.elements(bytes, standing, false),
        }
        true
    }

    /// One column of the stretch.
    pub(super) fn given<'a>(
        &'a self,
        bytes: &'a [u8],
        column: usize,
        first_row: usize,
    ) -> Given<'a> {
        Given {
            bytes,
            cells: &self.cells,
            fits: &self.fits[column],
            first_row,
        }
    }

    /// The faults of records of the stretch.
    pub(super) fn record_faults(&self, chunk: &Chunk, first_row: usize, faults: &mut Vec<Fault>) {
        let bytes = chunk.bytes.as_slice();
        for (row, end, wrong) in &self.cells.flaws {
            let start = super::scan::wide(self.cells.starts[*row]);
            faults.push(Fault {
                row: first_row + row,
                site: Site::Record,
                reason: match wrong.code {
                    "invalid_utf8" => invalid(Some(chunk.header.encoding)).code.into(),
                    code => code.into(),
                },
                detail: in_words(&bytes[..*end], start, wrong),
            });
        }
    }

    /// Says in the faults of a column which element they are about, where the column is read in elements.
    pub(super) fn name_elements(&self, column: usize, first_row: usize, faults: &mut [Fault]) {
        let slot = self.tree.slots[column];
        let Some(unnest) = self.tree.unnest else {
            return;
        };
        if !(unnest.from..unnest.to).contains(&slot) {
            return;
        }
        for fault in faults {
            let row = fault.row - first_row;
            // Where there is no array, there are no elements.
            let array = self.cells.all[row * self.cells.width + unnest.array];
            if array.kind == Kind::Value(Shape::Array) {
                let detail = format!("[{}] {}", self.cells.elements[row], fault.detail);
                fault.detail = detail.trim_end().chars().take(LONGEST).collect();
            }
        }
    }

    /// Records that became no rows in this stretch.
    pub(super) fn dropped(&self) -> u64 {
        self.cells.dropped
    }

    /// All bytes as one record.
    fn whole(&mut self, bytes: &[u8], standing: &mut Standing) {
        let grammar = Grammar::<false> {
            bytes,
            max_depth: self.options.max_depth,
        };
        let drop_empty = self.options.empty_array == EmptyArray::Drop;
        let mut walk = Walk::new(grammar, &mut self.tree, &mut self.cells);
        let read = walk.record(0).and_then(|past| match grammar.blanks(past) {
            end if end == bytes.len() => Ok(()),
            end => Err(Wrong::json(end, "something behind the object")),
        });
        match read {
            Ok(()) => walk.keep(0, drop_empty),
            Err(wrong) => walk.refuse(0, bytes.len(), wrong),
        }
        standing.at = bytes.len();
    }

    fn lines(&mut self, bytes: &[u8], standing: &mut Standing) {
        let grammar = Grammar::<true> {
            bytes,
            max_depth: self.options.max_depth,
        };
        let drop_empty = self.options.empty_array == EmptyArray::Drop;
        let mut walk = Walk::new(grammar, &mut self.tree, &mut self.cells);
        let to = standing.at.saturating_add(STRETCH_BYTES);
        let mut at = standing.at;
        while at < to {
            // 1. A line that is not blank.
            let start = grammar.blanks(at);
            match bytes.get(start) {
                None => {
                    at = bytes.len();
                    break;
                }
                Some(b'\n' | b'\r') => {
                    at = start + 1;
                    continue;
                }
                Some(_) => {}
            }
            // 2. Its object, and nothing else.
            let read = walk.record(start).and_then(|past| {
                let end = grammar.blanks(past);
                match bytes.get(end) {
                    None | Some(b'\n' | b'\r') => Ok(end),
                    Some(_) => Err(Wrong::json(end, "something behind the object")),
                }
            });
            match read {
                Ok(end) => {
                    walk.keep(at, drop_empty);
                    at = end + 1;
                }
                Err(wrong) => {
                    let end = line_end(bytes, at);
                    walk.refuse(at, end, wrong);
                    at = end;
                }
            }
        }
        standing.at = at.min(bytes.len());
    }

    fn elements(&mut self, bytes: &[u8], standing: &mut Standing, array: bool) {
        let grammar = Grammar::<false> {
            bytes,
            max_depth: self.options.max_depth,
        };
        let drop_empty = self.options.empty_array == EmptyArray::Drop;
        let mut elements = Elements::new(array);
        let mut walk = Walk::new(grammar, &mut self.tree, &mut self.cells);
        let to = standing.at.saturating_add(STRETCH_BYTES);
        let Standing { at, separator, .. } = standing;
        while *at < to {
            // 1. What separates records.
            *at = grammar.blanks(*at);
            let Some(byte) = bytes.get(*at) else {
                *at = bytes.len();
                break;
            };
            if array && separator.is_none() && (*byte == b',' || (*byte == b'[' && *at == 0)) {
                *separator = Some(*byte);
                *at += 1;
                continue;
            }
            if array && *separator != Some(b',') && *byte == b']' {
                // Readers give out nothing behind it.
                *at = bytes.len();
                break;
            }
            // 2. The record.
            let start = *at;
            let before = separator.take();
            let read = if array && before.is_none() {
                Err(Wrong::json(start, "a comma is missing before it"))
            } else if array && matches!(byte, b',' | b']') {
                Err(Wrong::json(start, "an element is missing"))
            } else {
                walk.record(start)
            };
            match read {
                Ok(past) => {
                    walk.keep(start, drop_empty);
                    *at = past;
                }
                Err(wrong) => {
                    *at = elements.end(bytes, start);
                    // What stands behind the record may be in another chunk.
                    let wrong = if wrong.at < *at || wrong.at == start {
                        wrong
                    } else {
                        Wrong::json(*at, grammar::TOO_EARLY)
                    };
                    walk.refuse(start, *at, wrong);
                }
            }
        }
    }
}

/// A record's fault for people: where in the record, and what stands there.
fn in_words(bytes: &[u8], start: usize, wrong: &Wrong) -> String {
    let words = format!("byte {}: {}", wrong.at - start, wrong.what);
    let near = bytes.get(wrong.at..).unwrap_or(&[]);
    let near = &near[..near
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(near.len())];
    let left = LONGEST.saturating_sub(words.chars().count() + 2);
    let near = shown_text(near.trim_ascii(), left.min(20));
    if near.is_empty() {
        return words.chars().take(LONGEST).collect();
    }
    format!("{words}: {near}")
}
