//! The writer of one sink on one worker: batches in, staged files out.
//!
//! Rows of a partition wait in memory until there are enough for a file ([`OPEN_ROWS`]); only then a file is opened. So a
//! sink with a few partitions encodes straight away, and one with a hundred thousand partitions of a few rows each holds
//! nothing but the rows. Three bounds keep memory small, whatever the number of partitions:
//!
//! 1. at most [`OPEN_FILES`] files are open: the one not written to for longest is closed, and its partition may open a
//!    further file later;
//! 2. the open files hold at most two thirds of the budget: the largest writes its row group out;
//! 3. the waiting rows hold at most a third: partitions not written to lately are written and closed, the largest first,
//!    until half is free, and what still waits is moved together so that the rest can be freed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::SinkError;
use super::lines::{LineFile, LineShape, bring_all, logical_types};
use super::output::staged_folder;
use super::parquet::{ParquetFile, ParquetScratch, ParquetShape};
use super::partition::{PartitionId, Splitter};
use crate::fault;
use crate::job::plan::{Compression, SinkFormat, SinkPlan, SinkTo};

/// Rows of a partition at which its file is opened. Smaller: more files are opened and closed where partitions are many;
/// larger: more rows wait.
const OPEN_ROWS: usize = 8192;

/// Files a writer keeps open. An open Parquet file holds up to a page of every column (some 2 MiB with 17 columns), and
/// a process has often no more than 1024 descriptors for all its workers and sinks.
const OPEN_FILES: usize = 32;

/// Bytes a writer holds where [`SinkWriter::with_memory`] says nothing else.
const MEMORY_BYTES: usize = 192 << 20;

/// Batches after which a partition that had no row counts as not written to lately.
const LATELY: u64 = 16;

/// A whole file that is not visible yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StagedFile {
    /// The sink's name.
    pub sink: String,
    /// Path below the sink's folder: partition folders and file name, `/` between them.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of its bytes, where that was made.
    pub checksum: Option<u32>,
}

/// What a file is that was completed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completed {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// CRC-32 of its bytes.
    pub(super) checksum: u32,
}

/// Writes the rows of one sink that one worker has.
///
/// Shape: batches have the sink's columns in order, those of `partition_by` included; text may be `Utf8` or
/// `Dictionary(Int32, Utf8)`, batch by batch. Order of rows: kept within a partition.
/// Ownership: files under `stage` are whole only after [`Self::finish`]; a writer that is dropped leaves pieces that the
/// next run removes.
#[derive(Debug)]
pub struct SinkWriter {
    sink: String,
    folder: PathBuf,
    worker: usize,
    logical: Vec<DataType>,
    /// Positions of the partition columns, outermost first, and of the others.
    key_columns: Vec<usize>,
    data_columns: Vec<usize>,
    splitter: Splitter,
    shape: Shape,
    scratch: ParquetScratch,
    partitions: Vec<Partition>,
    /// Partitions whose file is open.
    open: Vec<PartitionId>,
    /// Bytes of the blocks that waiting rows are in.
    waiting_bytes: Arc<AtomicUsize>,
    /// Where the dictionaries of the last block lie, so that one that many batches share is counted once.
    last_dictionaries: Vec<usize>,
    memory: usize,
    /// Batches so far.
    tick: u64,
    staged: Vec<StagedFile>,
    staged_bytes: u64,
}

#[derive(Debug, Default)]
struct Partition {
    waiting: Vec<Waiting>,
    waiting_rows: usize,
    file: Option<Box<OpenFile>>,
    files: u32,
    last_used: u64,
}

/// Rows that wait for a file.
#[derive(Debug)]
struct Waiting {
    block: Arc<Block>,
    start: usize,
    len: usize,
}

/// Columns that rows of several partitions wait in.
#[derive(Debug)]
struct Block {
    columns: Vec<ArrayRef>,
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Shape {
    Parquet(Arc<ParquetShape>),
    Lines(Arc<LineShape>),
}

#[derive(Debug)]
enum OpenFile {
    Parquet(ParquetFile),
    Lines(LineFile),
}

impl SinkWriter {
    /// A writer of `plan`'s rows on worker number `worker`, below `stage` (the folder of the run that
    /// [`super::OutputRoot::stage`] gave). `schema` names the sink's columns in order, with their logical types.
    ///
    /// Errors: [`SinkError::Type`], [`SinkError::NoColumns`].
    pub fn new(
        plan: &SinkPlan,
        schema: &SchemaRef,
        stage: &Path,
        worker: usize,
    ) -> Result<Self, SinkError> {
        let logical = logical_types(&plan.name, schema)?;
        let key_columns = match &plan.to {
            SinkTo::Files { partition_by, .. } => partition_by.clone(),
            SinkTo::Stdout | SinkTo::Kafka(_) => Vec::new(),
        };
        let data_columns: Vec<usize> = (0..logical.len())
            .filter(|column| !key_columns.contains(column))
            .collect();
        if data_columns.is_empty() {
            return Err(SinkError::NoColumns {
                sink: plan.name.clone(),
            });
        }
        let names = |columns: &[usize]| {
            columns
                .iter()
                .map(|&column| schema.field(column).name().clone())
                .collect()
        };
        let folder = staged_folder(stage, &plan.name);
        let shape = match &plan.format {
            SinkFormat::Parquet(compression) => {
                let fields: Vec<Field> = data_columns
                    .iter()
                    .map(|&column| {
                        let field = schema.field(column);
                        Field::new(field.name(), logical[column].clone(), true)
                    })
                    .collect();
                let shape = ParquetShape::new(Arc::new(Schema::new(fields)), *compression)
                    .map_err(|error| SinkError::parquet(&folder, error))?;
                Shape::Parquet(Arc::new(shape))
            }
            format => {
                let names: Vec<String> = names(&data_columns);
                let shape =
                    LineShape::new(format, names.iter()).expect("every format but Parquet is text");
                Shape::Lines(Arc::new(shape))
            }
        };
        let compression = match &plan.format {
            SinkFormat::Parquet(compression) => *compression,
            SinkFormat::Json(_) | SinkFormat::Csv { .. } | SinkFormat::Avro(_) => Compression::None,
        };
        let scratch = ParquetScratch::new(compression, data_columns.len())
            .map_err(|error| SinkError::parquet(&folder, error))?;
        Ok(Self {
            sink: plan.name.clone(),
            folder,
            scratch,
            worker,
            last_dictionaries: vec![0; data_columns.len()],
            splitter: Splitter::new(names(&key_columns)),
            logical,
            key_columns,
            data_columns,
            shape,
            partitions: Vec::new(),
            open: Vec::new(),
            waiting_bytes: Arc::new(AtomicUsize::new(0)),
            memory: MEMORY_BYTES,
            tick: 0,
            staged: Vec::new(),
            staged_bytes: 0,
        })
    }

    /// The same, holding at most about `bytes` (and never less than one row group's share).
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Takes the rows of `batch`.
    ///
    /// Errors: disk full and other answers of the file system. Panics where the batch has not the sink's columns.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        self.tick += 1;
        let columns = bring_all(&self.sink, batch, &self.logical)?;
        let pick = |positions: &[usize]| {
            positions
                .iter()
                .map(|&column| Arc::clone(&columns[column]))
                .collect()
        };
        let keys: Vec<ArrayRef> = pick(&self.key_columns);
        let data: Vec<ArrayRef> = pick(&self.data_columns);
        let split = self
            .splitter
            .split(&keys, data, rows)
            .map_err(|source| self.columns_error(source))?;
        self.partitions
            .resize_with(self.splitter.partitions(), Partition::default);

        let mut block = None;
        for piece in split.pieces {
            let partition = &mut self.partitions[piece.partition];
            partition.last_used = self.tick;
            if partition.file.is_some() || partition.waiting_rows + piece.len >= OPEN_ROWS {
                self.open(piece.partition)?;
                let file = self.partitions[piece.partition]
                    .file
                    .as_mut()
                    .expect("it was opened just now");
                file.write(
                    &slice(&split.columns, piece.start, piece.len),
                    piece.len,
                    &mut self.scratch,
                )?;
            } else {
                let block =
                    Arc::clone(block.get_or_insert_with(|| self.block(split.columns.clone())));
                let partition = &mut self.partitions[piece.partition];
                partition.waiting.push(Waiting {
                    block,
                    start: piece.start,
                    len: piece.len,
                });
                partition.waiting_rows += piece.len;
            }
        }
        drop(block);
        self.keep_within_memory()
    }

    /// Bytes in memory: waiting rows and open files.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed) + self.file_bytes()
    }

    /// Bytes of the files that are whole so far.
    pub fn staged_bytes(&self) -> u64 {
        self.staged_bytes
    }

    /// Writes what waits and completes every file. Gives no file where there was no row: see [`write_empty`].
    pub fn finish(mut self) -> Result<Vec<StagedFile>, SinkError> {
        for partition in 0..self.partitions.len() {
            self.close(partition)?;
        }
        self.staged.sort();
        Ok(self.staged)
    }

    /// Makes sure that the partition's file is open and has its waiting rows.
    fn open(&mut self, id: PartitionId) -> Result<(), SinkError> {
        if self.partitions[id].file.is_none() {
            if self.open.len() >= OPEN_FILES {
                let oldest = self
                    .open
                    .iter()
                    .copied()
                    .min_by_key(|&id| self.partitions[id].last_used);
                self.close(oldest.expect("there are open files"))?;
            }
            let folder = self.splitter.folder(id);
            let name = file_name(&self.shape, self.worker, self.partitions[id].files);
            let path = self.folder.join(folder).join(&name);
            let parent = path.parent().expect("a file has a folder");
            fs::create_dir_all(parent)
                .map_err(|error| SinkError::io(parent, "creating a folder", error))?;
            let file = OpenFile::create(&path, &self.shape)?;
            let partition = &mut self.partitions[id];
            partition.file = Some(Box::new(file));
            partition.files += 1;
            self.open.push(id);
        }
        let partition = &mut self.partitions[id];
        let file = partition.file.as_mut().expect("it is open");
        partition.waiting_rows = 0;
        for waiting in std::mem::take(&mut partition.waiting) {
            file.write(
                &slice(&waiting.block.columns, waiting.start, waiting.len),
                waiting.len,
                &mut self.scratch,
            )?;
        }
        Ok(())
    }

    /// Writes the partition's waiting rows and completes its file, where there is either.
    fn close(&mut self, id: PartitionId) -> Result<(), SinkError> {
        if self.partitions[id].waiting_rows > 0 {
            self.open(id)?;
        }
        let partition = &mut self.partitions[id];
        let Some(file) = partition.file.take() else {
            return Ok(());
        };
        let name = file_name(&self.shape, self.worker, partition.files - 1);
        self.open.retain(|&open| open != id);
        fault::at("seal a file");
        let file = file.finish(&mut self.scratch)?;
        let folder = self.splitter.folder(id);
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        self.staged_bytes += file.bytes;
        self.staged.push(StagedFile {
            sink: self.sink.clone(),
            path,
            rows: file.rows,
            bytes: file.bytes,
            checksum: Some(file.checksum),
        });
        Ok(())
    }

    fn file_bytes(&self) -> usize {
        self.open
            .iter()
            .filter_map(|&id| self.partitions[id].file.as_ref())
            .map(|file| file.held_bytes())
            .sum()
    }

    fn keep_within_memory(&mut self) -> Result<(), SinkError> {
        while self.file_bytes() > self.memory / 3 * 2 {
            let held = |&id: &PartitionId| {
                self.partitions[id]
                    .file
                    .as_ref()
                    .map_or(0, |file| file.held_bytes())
            };
            let largest = self
                .open
                .iter()
                .copied()
                .max_by_key(held)
                .expect("bytes are held by open files");
            let before = held(&largest);
            let file = self.partitions[largest].file.as_mut().expect("it is open");
            file.flush(&mut self.scratch)?;
            if file.held_bytes() >= before {
                self.close(largest)?;
            }
        }
        if self.waiting_bytes.load(Ordering::Relaxed) > self.memory / 3 {
            self.write_half_of_waiting()?;
        }
        Ok(())
    }

    fn write_half_of_waiting(&mut self) -> Result<(), SinkError> {
        let mut order: Vec<PartitionId> = (0..self.partitions.len())
            .filter(|&id| self.partitions[id].waiting_rows > 0)
            .collect();
        order.sort_by_key(|&id| {
            let partition = &self.partitions[id];
            let lately = self.tick - partition.last_used < LATELY;
            (lately, std::cmp::Reverse(partition.waiting_rows), id)
        });
        let rows: usize = order
            .iter()
            .map(|&id| self.partitions[id].waiting_rows)
            .sum();
        let mut written = 0;
        let mut order = order.into_iter();
        for id in order.by_ref() {
            written += self.partitions[id].waiting_rows;
            self.close(id)?;
            if written >= rows / 2 {
                break;
            }
        }
        let rest: Vec<PartitionId> = order.collect();
        self.move_together(&rest)
            .map_err(|source| self.columns_error(source))
    }

    /// Gathers the waiting rows of these partitions into one block, so that the blocks they were in are freed.
    fn move_together(&mut self, ids: &[PartitionId]) -> Result<(), ArrowError> {
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut rows: Vec<(usize, usize)> = Vec::new();
        for &id in ids {
            for waiting in &self.partitions[id].waiting {
                let known = blocks
                    .iter()
                    .position(|block| Arc::ptr_eq(block, &waiting.block));
                let place = known.unwrap_or_else(|| {
                    blocks.push(Arc::clone(&waiting.block));
                    blocks.len() - 1
                });
                rows.extend((waiting.start..waiting.start + waiting.len).map(|row| (place, row)));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let columns = (0..self.data_columns.len())
            .map(|column| {
                let arrays: Vec<&ArrayRef> =
                    blocks.iter().map(|block| &block.columns[column]).collect();
                gather(&arrays, &rows)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let block = self.block(columns);
        let mut start = 0;
        for &id in ids {
            let partition = &mut self.partitions[id];
            let len = partition.waiting_rows;
            partition.waiting = vec![Waiting {
                block: Arc::clone(&block),
                start,
                len,
            }];
            start += len;
        }
        Ok(())
    }

    fn block(&mut self, columns: Vec<ArrayRef>) -> Arc<Block> {
        let bytes = columns
            .iter()
            .zip(&mut self.last_dictionaries)
            .map(|(column, last)| array_bytes(column, last))
            .sum();
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Block {
            columns,
            bytes,
            total: Arc::clone(&self.waiting_bytes),
        })
    }

    fn columns_error(&self, source: ArrowError) -> SinkError {
        SinkError::Columns {
            sink: self.sink.clone(),
            source,
        }
    }
}

/// Stages one file without rows, so that readers of a sink that had none find its columns: in the default partition where
/// the sink has partitions.
///
/// To be called once a run, by whoever has seen that no worker staged a file for this sink.
pub fn write_empty(
    plan: &SinkPlan,
    schema: &SchemaRef,
    stage: &Path,
) -> Result<StagedFile, SinkError> {
    let mut writer = SinkWriter::new(plan, schema, stage, 0)?;
    let keys: Vec<ArrayRef> = writer
        .key_columns
        .iter()
        .map(|&column| arrow_array::new_null_array(&writer.logical[column], 1))
        .collect();
    let split = writer.splitter.split(&keys, Vec::new(), 1);
    split.map_err(|source| writer.columns_error(source))?;
    writer.partitions.resize_with(1, Partition::default);
    writer.open(0)?;
    let staged = writer.finish()?;
    Ok(staged.into_iter().next().expect("one file was opened"))
}

impl OpenFile {
    fn create(path: &Path, shape: &Shape) -> Result<Self, SinkError> {
        match shape {
            Shape::Parquet(shape) => ParquetFile::create(path, shape).map(Self::Parquet),
            Shape::Lines(shape) => LineFile::create(path, shape).map(Self::Lines),
        }
    }

    fn write(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        scratch: &mut ParquetScratch,
    ) -> Result<(), SinkError> {
        match self {
            Self::Parquet(file) => file.write(columns, rows, scratch),
            Self::Lines(file) => file.write(columns, rows),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Parquet(file) => file.held_bytes(),
            Self::Lines(file) => file.held_bytes(),
        }
    }

    /// Frees what can be freed while the file stays open.
    fn flush(&mut self, scratch: &mut ParquetScratch) -> Result<(), SinkError> {
        match self {
            Self::Parquet(file) => file.flush(scratch),
            Self::Lines(_) => Ok(()),
        }
    }

    fn finish(self, scratch: &mut ParquetScratch) -> Result<Completed, SinkError> {
        match self {
            Self::Parquet(file) => file.finish(scratch),
            Self::Lines(file) => file.finish(),
        }
    }
}

fn file_name(shape: &Shape, worker: usize, counter: u32) -> String {
    let extension = match shape {
        Shape::Parquet(_) => "parquet",
        Shape::Lines(shape) => shape.extension(),
    };
    format!("part-{worker}-{counter}.{extension}")
}

fn slice(columns: &[ArrayRef], start: usize, len: usize) -> Vec<ArrayRef> {
    columns
        .iter()
        .map(|column| {
            if column.len() == len {
                Arc::clone(column)
            } else {
                column.slice(start, len)
            }
        })
        .collect()
}

/// Rows of several arrays as one; plain and coded text become plain.
fn gather(arrays: &[&ArrayRef], rows: &[(usize, usize)]) -> Result<ArrayRef, ArrowError> {
    let mixed = arrays
        .iter()
        .any(|array| array.data_type() != arrays[0].data_type());
    if mixed {
        let plain = arrays
            .iter()
            .map(|array| arrow_cast::cast(array, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()?;
        let plain: Vec<&dyn Array> = plain.iter().map(AsRef::as_ref).collect();
        return arrow_select::interleave::interleave(&plain, rows);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    arrow_select::interleave::interleave(&arrays, rows)
}

/// Bytes that an array's rows take, and its dictionary's where that is not the last one seen in this column.
fn array_bytes(array: &ArrayRef, last_dictionary: &mut usize) -> usize {
    let rows = array.len();
    match array.data_type() {
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            let text = offsets[rows] - offsets[0];
            rows * 4 + usize::try_from(text).expect("offsets ascend")
        }
        DataType::Dictionary(_, _) => {
            let values = array.as_dictionary::<Int32Type>().values();
            let place = values.as_string::<i32>().values().as_ptr().addr();
            if place == *last_dictionary {
                rows * 4
            } else {
                *last_dictionary = place;
                rows * 4 + values.get_array_memory_size()
            }
        }
        other => rows * other.primitive_width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests;
