//! The operator that reads: pieces of input, each under the capability of its epoch.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, Stream};

use super::feed::{Claim, RowGroup, length, owner};
use super::files::{SourceError, io};
use crate::cluster::Run;
use crate::record::{Epoch, Piece};

/// Rows in one batch of a columnar file: large enough for whole-batch kernels, small enough to stay in cache.
const TABLE_ROWS: usize = 16_384;

/// How long a reader rests when the budget is used up. Nothing wakes it when bytes return, so this bounds how late it
/// notices; a chunk takes a few milliseconds to decode.
const FULL_REST: Duration = Duration::from_micros(500);

/// Reads the run's input: one piece at each activation, so that the operators behind it run in between.
///
/// Any worker takes any piece; its capability is held at the earliest epoch that the feed may still give, and is dropped
/// when there is no more input or the run has failed.
pub fn read<'scope>(scope: Scope<'scope, Epoch>, run: &Arc<Run>) -> Stream<'scope, Epoch, Piece> {
    let run = Arc::clone(run);
    let worker = scope.index();
    source::<_, CapacityContainerBuilder<Piece>, _, _>(
        scope,
        "sources:read",
        move |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = Some(capability);
            let mut table: Option<Table> = None;
            move |output| {
                let Some(held) = capability.as_mut() else {
                    return;
                };
                match next_piece(&run, &mut table) {
                    Ok(Next::Piece(epoch, mut piece)) => {
                        if *held.time() < epoch {
                            held.downgrade(&epoch);
                        }
                        run.observer.reader_at(worker, Some(epoch));
                        output.session(held).give_container(&mut piece);
                        activator.activate();
                    }
                    Ok(Next::Rest(epoch)) => {
                        if *held.time() < epoch {
                            held.downgrade(&epoch);
                        }
                        run.observer.reader_at(worker, Some(epoch));
                        activator.activate_after(FULL_REST);
                    }
                    Ok(Next::Done) => {
                        run.observer.reader_at(worker, None);
                        capability = None;
                    }
                    Err(error) => {
                        run.fail(error.into());
                        capability = None;
                    }
                }
            }
        },
    )
}

enum Next {
    Piece(Epoch, Piece),
    /// Nothing now, and nothing before this epoch later.
    Rest(Epoch),
    Done,
}

fn next_piece(run: &Run, table: &mut Option<Table>) -> Result<Next, SourceError> {
    loop {
        if let Some(open) = table {
            let epoch = open.group.epoch;
            match open.next(run)? {
                Given::Piece(piece) => return Ok(Next::Piece(epoch, piece)),
                Given::Full => return Ok(Next::Rest(epoch)),
                Given::End => *table = None,
            }
        }
        match run.feed.claim()? {
            Claim::Text(chunk) => {
                let bytes = length(chunk.bytes.len());
                run.progress.add_bytes(bytes);
                run.observer.read(chunk.source, bytes, chunk.epoch);
                return Ok(Next::Piece(chunk.epoch, Piece::Text(Arc::new(*chunk))));
            }
            Claim::RowGroup(group) => *table = Some(Table::open(run, group)?),
            Claim::Full => return Ok(Next::Rest(run.feed.epoch())),
            Claim::Done => return Ok(Next::Done),
        }
    }
}

/// A row group that is being read.
struct Table {
    owner: String,
    path: Arc<PathBuf>,
    group: RowGroup,
    next_row: u64,
    /// Bytes of the budget that the next batch takes: what the one before it took.
    batch_bytes: u64,
    reader: ParquetRecordBatchReader,
}

/// What a row group gives.
enum Given {
    Piece(Piece),
    Full,
    End,
}

impl Table {
    fn open(run: &Run, group: RowGroup) -> Result<Self, SourceError> {
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

    fn next(&mut self, run: &Run) -> Result<Given, SourceError> {
        let Some(lease) = run.feed.lease(self.batch_bytes) else {
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
            source: self.group.source,
            file: Arc::clone(&self.path),
            first_row,
            batch,
            epoch: self.group.epoch,
            lease: Some(lease),
        }))
    }
}
