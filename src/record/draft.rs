//! Rows before the split: typed columns, the faults found so far, and the bytes they came from.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};

use super::{Chunk, Epoch, Fault, Lease};

/// A batch of rows between `decode` and `split`, all of one source and one epoch.
///
/// Shape: `columns[id]` is the column with this id in `plan.columns`, `None` until the step that makes it has run, or
/// where this draft's source does not have it. Every array has `rows` values. Columns of type varchar are `Utf8` or
/// `Dictionary(Int32, Utf8)`, as it suits whoever made them: read them through [`crate::transform::text`] helpers.
/// Cost: holds the chunk's bytes until the split.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Its piece's place in the order of all input.
    pub number: u64,
    /// Number of rows.
    pub rows: usize,
    /// The epoch they belong to.
    pub epoch: Epoch,
    /// Columns by id.
    pub columns: Vec<Option<ArrayRef>>,
    /// Faults in no particular order; a row may have several.
    pub faults: Vec<Fault>,
    /// Where the rows came from; `None` only in an empty draft.
    pub origin: Option<Origin>,
    /// Index of the source in `plan.sources`.
    pub source: usize,
    /// Records that became no rows because the source says so (repeated headers, blank records, lines around the data);
    /// empty lines and comments don't count.
    pub dropped: Dropped,
    /// Texts that NUL was taken out of, by `on_nul = "strip"`.
    pub stripped: u64,
    /// Values that were read otherwise than they were written, as their columns' options let it: column id, what was done, and
    /// how many.
    pub adjusted: Vec<(usize, &'static str, u64)>,
    /// The bytes it holds of the process's budget.
    pub lease: Option<Arc<Lease>>,
}

/// Records and lines that a source's options drop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Records whose every field is empty, by `skip_blank`.
    pub blank: u64,
    /// Records equal to the header line, by `skip_repeated_header`.
    pub repeated_headers: u64,
    /// Lines at the beginning of a file, by `skip_first`.
    pub first_lines: u64,
    /// Lines at the end of a file, by `skip_last`.
    pub last_lines: u64,
    /// Records whose array has no element to be a row, by `empty_array`.
    pub empty_arrays: u64,
}

impl Dropped {
    /// The counts, each with the name of its option.
    pub fn by_option(self) -> [(&'static str, u64); 5] {
        [
            ("skip_blank", self.blank),
            ("skip_repeated_header", self.repeated_headers),
            ("skip_first", self.first_lines),
            ("skip_last", self.last_lines),
            ("empty_array", self.empty_arrays),
        ]
    }
}

/// What a refused row's raw bytes and place are taken from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Text records.
    Text {
        /// The bytes.
        chunk: Arc<Chunk>,
        /// First byte of each row's record within the chunk, and one past the last record.
        starts: Vec<u32>,
    },
    /// Rows of a columnar file, which have no bytes of their own.
    Table {
        /// The file.
        file: Arc<PathBuf>,
        /// Number of the first row in the file, from 0.
        first_row: u64,
        /// The columns as they stand in the file.
        batch: RecordBatch,
    },
}

impl timely::Accountable for Draft {
    /// Dropped records count, too: timely sends no container without records, and the split has to hear of them.
    fn record_count(&self) -> i64 {
        let dropped = self.dropped.by_option();
        let dropped: u64 = dropped.iter().map(|(_, records)| records).sum();
        let rows = i64::try_from(self.rows).expect("a draft has fewer than 2^63 rows");
        rows + i64::try_from(dropped).expect("a draft has fewer than 2^63 records")
    }
}

#[cfg(test)]
mod tests {
    use timely::Accountable;

    use super::*;

    #[test]
    fn a_draft_that_tells_something_is_not_empty() {
        let mut draft = Draft::default();
        assert_eq!(draft.record_count(), 0);
        draft.dropped.blank = 3;
        assert_eq!(draft.record_count(), 3);
        draft.rows = 7;
        assert_eq!(draft.record_count(), 10);
    }
}
