//! Files of rows with a schema of their own: opened once to see what is in them, then read part by part.
//!
//! ```text
//! TableFile::open   schema bound to the source's columns, parts of about a megabyte ──> Feed, which gives parts out
//! Table             a part that a worker reads, batch by batch, each under a lease
//! ```
//!
//! What a part is follows from the file alone, never from the number of workers, so that rows have the same numbers and epochs whoever reads them.
//! A file is known by its size and time of change as they were when it was opened: a part of a file that has become another
//! one is not read, and rows that were read of it end with the run.
//!
//! Bytes are foreign: whatever they say, the outcome is rows or an error of this file.

mod arrow;
mod avro;
mod guard;
mod parquet;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

pub(crate) use guard::is_reading;

use guard::guarded;

use super::feed::{length, owner};
use super::files::{SourceError, io};
use crate::cluster::Run;
use crate::decode::{self, Bound};
use crate::job::plan::{Format, SourceColumn};
use crate::record::{Epoch, Piece};

/// Rows in one batch of a columnar file: large enough for whole-batch kernels, small enough to stay in cache.
const TABLE_ROWS: usize = 16_384;

/// Bytes of a part, before compression, that is worth a hand-over: smaller ones cost more dictionaries read again, larger
/// ones leave workers idle at the end of a file.
const PART_BYTES: u64 = 4 << 20;

/// A file that has been looked at.
#[derive(Debug)]
pub struct TableFile {
    /// How the file's columns and the source's differ.
    pub bound: Bound,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
}

/// Some rows of a file, which one worker reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Number of its first row in the file.
    pub first_row: u64,
    /// How many of its rows are read: all, or fewer where the job has a limit.
    pub rows: u64,
    /// Bytes of each row, as the file counts them before compression.
    pub row_bytes: u64,
    /// Where they stand.
    at: At,
    /// The file as it was when it was looked at.
    seen: Seen,
}

/// Where the rows of a part stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum At {
    /// In a row group, after so many of its rows.
    Parquet { group: usize, skip: u64 },
    /// In the batches among these messages.
    Arrow { messages: std::ops::Range<usize> },
    /// In the blocks from this byte on.
    Avro { offset: u64 },
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    bytes: u64,
    changed: (i64, i64),
    inode: u64,
}

/// What is wrong with a file of rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It is no Parquet file, or not a whole one.
    #[error(transparent)]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// Its bytes don't fit together.
    #[error(transparent)]
    Arrow(#[from] arrow_schema::ArrowError),
    /// It is no container file of Avro, or a block of it can't be read.
    #[error(transparent)]
    Avro(#[from] decode::avro::AvroError),
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is another file than the one that was opened.
    #[error("it was changed while it was read")]
    Changed,
    /// Its bytes contradict each other in a way that no reader has foreseen.
    #[error("its bytes contradict each other: {0}")]
    Broken(String),
    /// It ends before its schema says.
    #[error("row {row} is missing: the file ends before its footer says")]
    Short {
        /// The row, from 0.
        row: u64,
    },
}

impl TableFile {
    /// Opens a file and binds its columns. With `verify` all that the source needs of it is read once first, so that a
    /// broken file is known before its first row is given out.
    ///
    /// `owner` is how messages name who reads it.
    pub fn open(
        owner: &str,
        path: &Path,
        format: &Format,
        columns: &[SourceColumn],
        verify: bool,
    ) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|error| io(owner, path, "opened", 0, error))?;
        let wrong = |error| unreadable(owner, path, format, error);
        let (schema, parts) = look(&file, format).map_err(wrong)?;
        let bound = decode::bind_schema(columns, &schema).map_err(|error| SourceError::Header {
            owner: owner.to_owned(),
            path: path.to_owned(),
            line: 1,
            code: error.code(),
            message: error.to_string(),
        })?;
        if verify {
            for part in &parts {
                let mut rows = Rows::open(path, part, columns).map_err(wrong)?;
                while rows.next().map_err(wrong)?.is_some() {}
            }
        }
        Ok(Self { bound, parts })
    }

    /// Reads all of it, for reference tables: `take` gets each batch with the number of its first row, and says whether to go
    /// on. False where it did not.
    ///
    /// # Errors
    /// Those of the file, as errors of `owner`, and those of `take`.
    pub fn read<E: From<SourceError>>(
        &self,
        owner: &str,
        path: &Path,
        format: &Format,
        columns: &[SourceColumn],
        mut take: impl FnMut(u64, RecordBatch) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let wrong = |error| unreadable(owner, path, format, error);
        for part in &self.parts {
            let mut rows = Rows::open(path, part, columns).map_err(wrong)?;
            while let Some((first_row, batch)) = rows.next().map_err(wrong)? {
                if !take(first_row, batch)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// What people should know of a column that a file of `owner` lacks.
pub(crate) fn told_missing(owner: &str, path: &Path, column: &str, near: Option<&str>) -> String {
    let hint = match near {
        Some(near) => format!("\"{near}\" is near; a column's name in the file is its `header`"),
        None => "without `optional` such a file is faulty".to_owned(),
    };
    format!(
        "{owner}: column \"{column}\" is not in {}: its rows have null there ({hint})",
        path.display()
    )
}

fn look(file: &File, format: &Format) -> Result<(SchemaRef, Vec<Part>), TableError> {
    let seen = Seen::of(file)?;
    guarded(|| match format {
        Format::Parquet => parquet::look(file, seen),
        Format::Arrow => arrow::look(file, seen),
        Format::Avro => avro::look(file, seen),
        Format::Csv(_) | Format::Json(_) | Format::Debezium | Format::AvroMessages { .. } => {
            unreachable!("neither text nor messages are files with a schema of their own")
        }
    })
}

fn unreadable(owner: &str, path: &Path, format: &Format, source: TableError) -> SourceError {
    match source {
        TableError::Io(source) => io(owner, path, "read", 0, source),
        source => SourceError::Table {
            owner: owner.to_owned(),
            path: path.to_owned(),
            format: format.title(),
            source,
        },
    }
}

impl Seen {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            bytes: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        })
    }
}

/// The rows of a part, batch by batch.
#[derive(Debug)]
struct Rows {
    file: File,
    seen: Seen,
    /// Rows that are still to come, and the number of the next one.
    left: u64,
    next_row: u64,
    batches: Batches,
}

#[derive(Debug)]
enum Batches {
    Parquet(Box<parquet::Batches>),
    Arrow(Box<arrow::Batches>),
    Avro(Box<avro::Batches>),
}

impl Rows {
    fn open(path: &Path, part: &Part, columns: &[SourceColumn]) -> Result<Self, TableError> {
        let file = File::open(path)?;
        if Seen::of(&file)? != part.seen {
            return Err(TableError::Changed);
        }
        let batches = guarded(|| match &part.at {
            At::Parquet { group, skip } => {
                let batches = parquet::Batches::open(&file, *group, *skip, part.rows, columns)?;
                Ok(Batches::Parquet(Box::new(batches)))
            }
            At::Arrow { messages } => {
                let batches = arrow::Batches::open(&file, part.seen, messages.clone(), columns)?;
                Ok(Batches::Arrow(Box::new(batches)))
            }
            At::Avro { offset } => {
                let batches = avro::Batches::open(&file, part.seen, *offset, part.rows, columns)?;
                Ok(Batches::Avro(Box::new(batches)))
            }
        })?;
        Ok(Self {
            file,
            seen: part.seen,
            left: part.rows,
            next_row: part.first_row,
            batches,
        })
    }

    /// The next batch and the number of its first row; `None` after the last one of the part.
    fn next(&mut self) -> Result<Option<(u64, RecordBatch)>, TableError> {
        if self.left == 0 {
            return self.ended();
        }
        let batch = guarded(|| match &mut self.batches {
            Batches::Parquet(batches) => batches.next(),
            Batches::Arrow(batches) => batches.next(),
            Batches::Avro(batches) => batches.next(),
        })?;
        let Some(batch) = batch else {
            self.ended()?;
            return Err(TableError::Short { row: self.next_row });
        };
        let rows =
            usize::try_from(self.left).map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        let first_row = self.next_row;
        self.left -= length(rows);
        self.next_row += length(rows);
        Ok(Some((first_row, batch.slice(0, rows))))
    }

    fn ended(&self) -> Result<Option<(u64, RecordBatch)>, TableError> {
        if Seen::of(&self.file)? == self.seen {
            Ok(None)
        } else {
            Err(TableError::Changed)
        }
    }
}

/// A part on its way to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TablePart {
    /// Its place in the order of all input.
    pub number: u64,
    /// Index of the source.
    pub source: usize,
    /// The file.
    pub file: Arc<PathBuf>,
    /// Which of its rows.
    pub part: Part,
    /// The epoch of its rows.
    pub epoch: Epoch,
}

/// A part that is being read.
pub(super) struct Table {
    pub(super) part: TablePart,
    /// Bytes of the budget that the next batch takes: what the one before it took.
    batch_bytes: u64,
    rows: Rows,
}

/// What a part gives.
pub(super) enum Given {
    Piece(Piece),
    Full,
    End,
}

impl Table {
    /// Opens the part's file.
    pub(super) fn open(run: &Run, part: TablePart) -> Result<Self, SourceError> {
        let source = &run.plan.sources[part.source];
        let rows = Rows::open(&part.file, &part.part, &source.columns)
            .map_err(|error| unreadable(&owner(source), &part.file, &source.format, error))?;
        Ok(Self {
            batch_bytes: part.part.row_bytes * length(TABLE_ROWS).min(part.part.rows),
            part,
            rows,
        })
    }

    /// Its next batch, under a lease of its own.
    pub(super) fn next(&mut self, run: &Run) -> Result<Given, SourceError> {
        let Some(lease) = run.budget.take(self.batch_bytes) else {
            return Ok(Given::Full);
        };
        let source = &run.plan.sources[self.part.source];
        let next = self
            .rows
            .next()
            .map_err(|error| unreadable(&owner(source), &self.part.file, &source.format, error))?;
        let Some((first_row, batch)) = next else {
            return Ok(Given::End);
        };
        self.batch_bytes = held_bytes(&batch);
        lease.grow_to(self.batch_bytes);
        let bytes = self.part.part.row_bytes * length(batch.num_rows());
        run.progress.add_bytes(bytes);
        run.observer.read(self.part.source, bytes, self.part.epoch);
        Ok(Given::Piece(Piece::Table {
            number: self.part.number,
            source: self.part.source,
            file: Arc::clone(&self.part.file),
            first_row,
            batch,
            epoch: self.part.epoch,
            lease: Some(lease),
        }))
    }
}

/// Bytes of a batch's rows, which may be a slice of larger arrays.
fn held_bytes(batch: &RecordBatch) -> u64 {
    let of_column = |column: &arrow_array::ArrayRef| {
        let data = column.to_data();
        let bytes = data.get_slice_memory_size();
        bytes.unwrap_or_else(|_| data.get_array_memory_size())
    };
    length(batch.columns().iter().map(of_column).sum())
}

/// Cuts `rows` rows of `row_bytes` each into stretches that are worth a hand-over: first row and length.
fn stretches(rows: u64, row_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let batch = length(TABLE_ROWS);
    let rows_a_part = (PART_BYTES / row_bytes.max(1))
        .next_multiple_of(batch)
        .max(batch);
    (0..rows.div_ceil(rows_a_part)).map(move |part| {
        let first = part * rows_a_part;
        (first, rows_a_part.min(rows - first))
    })
}

#[cfg(test)]
mod tests;
