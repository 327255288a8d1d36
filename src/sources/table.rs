//! One row group of a Parquet file, read batch by batch.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::feed::{RowGroup, length, owner};
use super::files::{SourceError, io};
use crate::cluster::Run;
use crate::record::Piece;

/// Rows in one batch of a columnar file: large enough for whole-batch kernels, small enough to stay in cache.
const TABLE_ROWS: usize = 16_384;

/// A row group that is being read.
pub(super) struct Table {
    owner: String,
    path: Arc<PathBuf>,
    pub(super) group: RowGroup,
    next_row: u64,
    /// Bytes of the budget that the next batch takes: what the one before it took.
    batch_bytes: u64,
    reader: ParquetRecordBatchReader,
}

/// What a row group gives.
pub(super) enum Given {
    Piece(Piece),
    Full,
    End,
}

impl Table {
    /// Opens the group's file.
    pub(super) fn open(run: &Run, group: RowGroup) -> Result<Self, SourceError> {
        let owner = owner(&run.plan.sources[group.source]);
        let path = Arc::clone(&group.file);
        let file =
            File::open(path.as_path()).map_err(|error| io(&owner, &path, "opened", 0, error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| {
                builder
                    .with_row_groups(vec![group.group])
                    .with_limit(usize::try_from(group.rows).unwrap_or(usize::MAX))
                    .with_batch_size(TABLE_ROWS)
                    .build()
            })
            .map_err(|source| SourceError::Parquet {
                owner: owner.clone(),
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            owner,
            path,
            next_row: group.first_row,
            batch_bytes: group.row_bytes * length(TABLE_ROWS).min(group.rows),
            group,
            reader,
        })
    }

    /// Its next batch, under a lease of its own.
    pub(super) fn next(&mut self, run: &Run) -> Result<Given, SourceError> {
        let Some(lease) = run.budget.take(self.batch_bytes) else {
            return Ok(Given::Full);
        };
        let Some(batch) = self.reader.next() else {
            return Ok(Given::End);
        };
        let batch: RecordBatch = batch.map_err(|error| SourceError::Parquet {
            owner: self.owner.clone(),
            path: self.path.to_path_buf(),
            source: error.into(),
        })?;
        self.batch_bytes = length(batch.get_array_memory_size());
        lease.grow_to(self.batch_bytes);
        let bytes = self.group.row_bytes * length(batch.num_rows());
        run.progress.add_bytes(bytes);
        run.observer
            .read(self.group.source, bytes, self.group.epoch);
        let first_row = self.next_row;
        self.next_row += length(batch.num_rows());
        Ok(Given::Piece(Piece::Table {
            number: self.group.number,
            source: self.group.source,
            file: Arc::clone(&self.path),
            first_row,
            batch,
            epoch: self.group.epoch,
            lease: Some(lease),
        }))
    }
}
