//! One Parquet file: columns encoded page by page, kept until their row group is full, then written out.
//!
//! Measured with `benches/parquet_write.rs` (CPU seconds for 10 million rows of 17 columns, zstd, text as Arrow dictionaries):
//! see the table in that file. Chosen:
//!
//! - delta encoding for whole numbers, codes from Arrow's own dictionaries for text (see `integers` and `dictionary`);
//! - pages of [`PAGE_ROWS`] rows, compressed only where that makes them smaller (see `pages`);
//! - minimum, maximum and number of nulls for each column chunk, not for each page; no bloom filters, no page index;
//! - no Arrow schema in the footer: readers go by Parquet's own types, which say all there is to say.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::basic::Compression as Codec;
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{WriterProperties, WriterPropertiesPtr, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};
use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};

use super::SinkError;
use super::dictionary::TextColumn;
use super::fixed::FixedColumn;
use super::integers::{self, IntegerColumn};
use super::pages::{ColumnPages, Habit, PageCompressor};
use super::summed::Summed;
use super::writer::Completed;
use crate::job::plan::Compression;

/// Rows of a page. Larger pages compress no better, and each open file holds one of every column; smaller ones cost a
/// header and a start of the compressor more often.
const PAGE_ROWS: usize = 16_384;

/// Encoded bytes at which a row group is written out. Larger ones read a little faster and hold more memory while they are
/// written: every open file of every worker holds up to this much.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Rows at which a row group is written out. Readers share out a file by row groups.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Bytes gathered before they go to the file.
const FILE_BUFFER_BYTES: usize = 64 << 10;

/// What all files of a sink share.
#[derive(Debug)]
pub(super) struct ParquetShape {
    arrow: SchemaRef,
    parquet: SchemaDescPtr,
    codec: Codec,
    properties: WriterPropertiesPtr,
}

/// What the files of a writer share while they are written.
#[derive(Debug)]
pub(super) struct ParquetScratch {
    compressor: PageCompressor,
    habits: Vec<Habit>,
    body: Vec<u8>,
}

impl ParquetShape {
    /// The shape of files with these columns, which may all be null.
    pub(super) fn new(arrow: SchemaRef, compression: Compression) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_created_by(concat!("caudal version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(&arrow)?);
        let codec = PageCompressor::codec(compression)?;
        Ok(Self {
            arrow,
            parquet,
            codec,
            properties: Arc::new(properties),
        })
    }

    /// A chunk of each column, without rows.
    fn columns(&self, scratch: &ParquetScratch) -> Vec<Column> {
        let fields = self
            .arrow
            .fields()
            .iter()
            .zip(self.parquet.columns())
            .zip(&scratch.habits);
        fields
            .map(|((field, column), habit)| {
                Column::new(field.data_type(), column, self.codec, *habit)
            })
            .collect()
    }
}

impl ParquetScratch {
    /// For a writer of files with this many columns.
    pub(super) fn new(compression: Compression, columns: usize) -> Result<Self, ParquetError> {
        let compressor = PageCompressor::new(compression)?;
        Ok(Self {
            compressor,
            habits: vec![Habit::default(); columns],
            body: Vec::new(),
        })
    }
}

/// A file being written.
#[derive(Debug)]
pub(super) struct ParquetFile {
    path: PathBuf,
    shape: Arc<ParquetShape>,
    writer: SerializedFileWriter<BufWriter<Summed<File>>>,
    /// Chunks of the row group at hand; none where it has no rows.
    columns: Vec<Column>,
    rows_in_page: usize,
    rows_in_group: usize,
    rows: u64,
}

impl ParquetFile {
    /// Creates the file.
    pub(super) fn create(path: &Path, shape: &Arc<ParquetShape>) -> Result<Self, SinkError> {
        let file = File::create_new(path)
            .map_err(|error| SinkError::io(path, "creating a file", error))?;
        let output = BufWriter::with_capacity(FILE_BUFFER_BYTES, Summed::new(file));
        let schema = shape.parquet.root_schema_ptr();
        let writer = SerializedFileWriter::new(output, schema, Arc::clone(&shape.properties))
            .map_err(|error| SinkError::parquet(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            shape: Arc::clone(shape),
            writer,
            columns: Vec::new(),
            rows_in_page: 0,
            rows_in_group: 0,
            rows: 0,
        })
    }

    /// Encodes rows.
    pub(super) fn write(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        scratch: &mut ParquetScratch,
    ) -> Result<(), SinkError> {
        let mut start = 0;
        while start < rows {
            let len = (rows - start).min(PAGE_ROWS - self.rows_in_page);
            self.append(columns, start, len, scratch)
                .map_err(|error| SinkError::parquet(&self.path, error))?;
            start += len;
            let encoded: usize = self.columns.iter().map(Column::encoded_bytes).sum();
            if encoded >= ROW_GROUP_BYTES || self.rows_in_group >= ROW_GROUP_ROWS {
                self.flush(scratch)?;
            }
        }
        self.rows += u64::try_from(rows).expect("usize fits into 64 bits");
        Ok(())
    }

    /// Adds rows to the page at hand, which has room for them.
    fn append(
        &mut self,
        columns: &[ArrayRef],
        start: usize,
        len: usize,
        scratch: &mut ParquetScratch,
    ) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            self.columns = self.shape.columns(scratch);
        }
        for ((column, array), habit) in self
            .columns
            .iter_mut()
            .zip(columns)
            .zip(&mut scratch.habits)
        {
            if array.len() == len {
                column.append(array, &mut scratch.compressor, habit)?;
            } else {
                column.append(&array.slice(start, len), &mut scratch.compressor, habit)?;
            }
        }
        self.rows_in_page += len;
        self.rows_in_group += len;
        if self.rows_in_page == PAGE_ROWS {
            self.end_page(scratch)
        } else {
            Ok(())
        }
    }

    fn end_page(&mut self, scratch: &mut ParquetScratch) -> Result<(), ParquetError> {
        for (column, habit) in self.columns.iter_mut().zip(&mut scratch.habits) {
            column.end_page(&mut scratch.body, &mut scratch.compressor, habit)?;
        }
        self.rows_in_page = 0;
        Ok(())
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        FILE_BUFFER_BYTES + self.columns.iter().map(Column::held_bytes).sum::<usize>()
    }

    /// Writes the row group out.
    pub(super) fn flush(&mut self, scratch: &mut ParquetScratch) -> Result<(), SinkError> {
        if self.rows_in_group == 0 {
            return Ok(());
        }
        self.write_group(scratch)
            .map_err(|error| SinkError::parquet(&self.path, error))
    }

    fn write_group(&mut self, scratch: &mut ParquetScratch) -> Result<(), ParquetError> {
        if self.rows_in_page > 0 {
            self.end_page(scratch)?;
        }
        self.rows_in_group = 0;
        let mut group = self.writer.next_row_group()?;
        for column in std::mem::take(&mut self.columns) {
            let (pages, close) = column.close(&mut scratch.compressor)?;
            group.append_column(&pages, close)?;
        }
        group.close()?;
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(mut self, scratch: &mut ParquetScratch) -> Result<Completed, SinkError> {
        self.flush(scratch)?;
        // Flushes both buffers down to the file.
        self.writer
            .finish()
            .map_err(|error| SinkError::parquet(&self.path, error))?;
        let bytes = u64::try_from(self.writer.bytes_written()).expect("usize fits into 64 bits");
        Ok(Completed {
            rows: self.rows,
            bytes,
            checksum: self.writer.inner().get_ref().checksum(),
        })
    }
}

/// A column chunk being written.
#[derive(Debug)]
enum Column {
    Integers(IntegerColumn),
    Text(TextColumn),
    Fixed(FixedColumn),
}

impl Column {
    fn new(data_type: &DataType, column: &ColumnDescPtr, codec: Codec, habit: Habit) -> Self {
        let pages = ColumnPages::new(Arc::clone(column), codec);
        match data_type {
            DataType::Utf8 => Self::Text(TextColumn::new(pages, habit)),
            other if integers::holds(other) => Self::Integers(IntegerColumn::new(pages, other)),
            other => {
                let length = usize::try_from(column.type_length()).unwrap_or(0);
                Self::Fixed(FixedColumn::new(pages, other, length))
            }
        }
    }

    fn append(
        &mut self,
        array: &ArrayRef,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Integers(column) => column.append(array),
            Self::Text(column) => column.append(array, compressor, habit)?,
            Self::Fixed(column) => column.append(array),
        }
        Ok(())
    }

    fn end_page(
        &mut self,
        body: &mut Vec<u8>,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Integers(column) => column.end_page(body, compressor, habit),
            Self::Text(column) => column.end_page(body, compressor, habit),
            Self::Fixed(column) => column.end_page(compressor, habit),
        }
    }

    fn encoded_bytes(&self) -> usize {
        match self {
            Self::Integers(column) => column.encoded_bytes(),
            Self::Text(column) => column.encoded_bytes(),
            Self::Fixed(column) => column.encoded_bytes(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Integers(column) => column.held_bytes(),
            Self::Text(column) => column.held_bytes(),
            Self::Fixed(column) => column.held_bytes(),
        }
    }

    fn close(
        self,
        compressor: &mut PageCompressor,
    ) -> Result<
        (
            super::pages::ChunkPages,
            ::parquet::column::writer::ColumnCloseResult,
        ),
        ParquetError,
    > {
        let (pages, statistics) = match self {
            Self::Integers(column) => column.close(),
            Self::Text(column) => column.close(compressor)?,
            Self::Fixed(column) => column.close(),
        };
        pages.close(statistics)
    }
}
