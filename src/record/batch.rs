//! Rows that have been judged: an Arrow batch with its epoch and sign.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};

use super::{Epoch, Lease};

/// Clean rows, refused rows, windows or verdicts: what is exchanged and what sinks take.
///
/// The record batch may be absent only in the default value, which counts no rows.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The rows.
    pub rows: Option<RecordBatch>,
    /// The epoch they belong to.
    pub epoch: Epoch,
    /// The bytes of the process's budget that these rows came from.
    pub lease: Option<Arc<Lease>>,
}

impl Batch {
    /// Wraps a record batch that holds no budget.
    pub fn new(rows: RecordBatch, epoch: Epoch) -> Self {
        Self {
            rows: Some(rows),
            epoch,
            lease: None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl timely::Accountable for Batch {
    fn record_count(&self) -> i64 {
        i64::try_from(self.len()).expect("a batch has fewer than 2^63 rows")
    }
}

/// The columns of a batch of refused rows, windows or verdicts by their places in their table.
pub fn by_place(rows: &RecordBatch) -> Vec<Option<ArrayRef>> {
    rows.columns()
        .iter()
        .map(|column| Some(Arc::clone(column)))
        .collect()
}

/// The columns of a batch of clean rows by their ids, which are the names of its fields.
pub fn by_id(rows: &RecordBatch) -> Vec<Option<ArrayRef>> {
    let mut columns = Vec::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let id: usize = field
            .name()
            .parse()
            .expect("fields of clean rows are named by column id");
        if columns.len() <= id {
            columns.resize(id + 1, None);
        }
        columns[id] = Some(Arc::clone(column));
    }
    columns
}
