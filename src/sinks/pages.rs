//! The pages of one column chunk: levels, compression and what the file's footer says of them.
//!
//! The Parquet crate's own column writer looks at every value of a text column through a hash table, keeps the pages of
//! a chunk uncompressed where that is not asked for and compresses where nothing is gained. Here the values come encoded
//! (see `integers` and `dictionary`), and the crate writes page headers, footers and the file around them.
//!
//! Data pages are of version 2: each says for itself whether it is compressed. Packed numbers of high entropy gain
//! nothing from any codec, so a column whose pages don't shrink is tried again only now and then.

use std::io::{self, Read};

use ::parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use ::parquet::column::page::{CompressedPage, Page, PageWriter};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::statistics::Statistics;
use ::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use ::parquet::schema::types::ColumnDescPtr;
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use bytes::Bytes;

use crate::job::plan::Compression;

/// Level of zstd. On packed columns level 3 takes twice the time for a few percent.
const ZSTD_LEVEL: i32 = 1;

/// A page is written compressed where that saves at least a sixteenth of it: less is not worth the reader's time.
const WORTH: usize = 16;

/// Pages of a column that are written as they are after one that did not shrink.
const PAGES_UNTRIED: u8 = 7;

/// Compresses pages; one for all files of a writer, since its memory (about 1 MiB for zstd) is that of a small file.
pub(super) struct PageCompressor {
    codec: PageCodec,
    output: Vec<u8>,
}

enum PageCodec {
    Zstd(zstd::bulk::Compressor<'static>),
    Snappy(Box<snap::raw::Encoder>),
    None,
}

impl PageCompressor {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        let codec = match compression {
            Compression::Zstd => PageCodec::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
            Compression::Snappy => PageCodec::Snappy(Box::new(snap::raw::Encoder::new())),
            Compression::None => PageCodec::None,
        };
        Ok(Self {
            codec,
            output: Vec::new(),
        })
    }

    /// The codec as the file names it.
    pub(super) fn codec(compression: Compression) -> Result<Codec, ParquetError> {
        Ok(match compression {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        })
    }

    fn compress(&mut self, body: &[u8]) -> Result<&[u8], ParquetError> {
        match &mut self.codec {
            PageCodec::Zstd(zstd) => {
                self.output.clear();
                self.output
                    .reserve(zstd::zstd_safe::compress_bound(body.len()));
                zstd.compress_to_buffer(body, &mut self.output)?;
                Ok(&self.output)
            }
            PageCodec::Snappy(snappy) => {
                self.output
                    .resize(snap::raw::max_compress_len(body.len()), 0);
                let len = snappy
                    .compress(body, &mut self.output)
                    .map_err(|error| ParquetError::External(Box::new(error)))?;
                Ok(&self.output[..len])
            }
            PageCodec::None => {
                self.output.clear();
                self.output.extend_from_slice(body);
                Ok(&self.output)
            }
        }
    }
}

impl std::fmt::Debug for PageCompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageCompressor").finish_non_exhaustive()
    }
}

/// What is known of a column from the pages before, in whichever file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    /// Pages still to be written without trying to compress them.
    untried: u8,
    /// Whether the column has too many values for a dictionary.
    pub(super) too_many_values: bool,
}

/// Which values of a page are there: Parquet's definition levels of a column that is not nested.
///
/// Every column may have nulls in the file, whatever the job says of it: where none is missing that costs some bytes a page.
#[derive(Debug, Default)]
struct Levels {
    /// Validity of each row, once one was missing.
    valid: Option<BooleanBufferBuilder>,
    rows: usize,
    nulls: usize,
}

impl Levels {
    fn append(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if let (None, Some(_)) = (&self.valid, nulls) {
            let mut valid = BooleanBufferBuilder::new(self.rows + rows);
            valid.append_n(self.rows, true);
            self.valid = Some(valid);
        }
        match (&mut self.valid, nulls) {
            (Some(valid), Some(nulls)) => valid.append_buffer(nulls.inner()),
            (Some(valid), None) => valid.append_n(rows, true),
            (None, _) => {}
        }
        self.rows += rows;
        self.nulls += nulls.map_or(0, NullBuffer::null_count);
    }

    /// The levels as runs of one bit a value: one run where all are there, else the validity bits as they lie.
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.valid {
            None => {
                push_varint(out, wide(self.rows) << 1);
                out.push(1);
            }
            Some(valid) => {
                let groups = self.rows.div_ceil(8);
                push_varint(out, (wide(groups) << 1) | 1);
                out.extend_from_slice(&valid.as_slice()[..groups]);
            }
        }
    }

    fn held_bytes(&self) -> usize {
        self.valid
            .as_ref()
            .map_or(0, BooleanBufferBuilder::capacity)
            / 8
    }
}

/// The pages of a column chunk that are done, and the levels of the page at hand.
#[derive(Debug)]
pub(super) struct ColumnPages {
    column: ColumnDescPtr,
    codec: Codec,
    levels: Levels,
    dictionary: Option<Vec<u8>>,
    data: Vec<Vec<u8>>,
    compressed: usize,
    uncompressed: usize,
    rows: usize,
    nulls: usize,
    encodings: Vec<Encoding>,
}

impl ColumnPages {
    pub(super) fn new(column: ColumnDescPtr, codec: Codec) -> Self {
        Self {
            column,
            codec,
            levels: Levels::default(),
            dictionary: None,
            data: Vec::new(),
            compressed: 0,
            uncompressed: 0,
            rows: 0,
            nulls: 0,
            encodings: Vec::new(),
        }
    }

    /// Notes which of the next `rows` values are there.
    pub(super) fn append_levels(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        self.levels.append(nulls, rows);
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.compressed + self.levels.held_bytes()
    }

    /// Bytes of the pages that are done.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.compressed
    }

    /// Rows of the page at hand.
    pub(super) fn rows_in_page(&self) -> usize {
        self.levels.rows
    }

    /// Ends the page at hand, whose values are encoded in `body`.
    pub(super) fn end_page(
        &mut self,
        body: &[u8],
        encoding: Encoding,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        let mut content = Vec::with_capacity(body.len() + 64);
        self.levels.encode(&mut content);
        let levels = content.len();
        let mut is_compressed = false;
        if self.codec != Codec::UNCOMPRESSED {
            if habit.untried > 0 {
                habit.untried -= 1;
            } else {
                let compressed = compressor.compress(body)?;
                is_compressed = compressed.len() < body.len() - body.len() / WORTH;
                if is_compressed {
                    content.extend_from_slice(compressed);
                } else {
                    habit.untried = PAGES_UNTRIED;
                }
            }
        }
        if !is_compressed {
            content.extend_from_slice(body);
        }
        let page = Page::DataPageV2 {
            buf: content.into(),
            num_values: narrow(self.levels.rows)?,
            encoding,
            num_nulls: narrow(self.levels.nulls)?,
            num_rows: narrow(self.levels.rows)?,
            def_levels_byte_len: narrow(levels)?,
            rep_levels_byte_len: 0,
            is_compressed,
            statistics: None,
        };
        let page = self.serialize(CompressedPage::new(page, levels + body.len()))?;
        self.data.push(page);
        self.note(encoding);
        self.rows += self.levels.rows;
        self.nulls += self.levels.nulls;
        self.levels = Levels::default();
        Ok(())
    }

    /// Gives the chunk its dictionary: values one after the other, as `PLAIN` has them.
    pub(super) fn set_dictionary(
        &mut self,
        body: &[u8],
        values: usize,
        compressor: &mut PageCompressor,
    ) -> Result<(), ParquetError> {
        // Unlike a data page, a dictionary page can't say that it is not compressed.
        let content = if self.codec == Codec::UNCOMPRESSED {
            body
        } else {
            compressor.compress(body)?
        };
        let page = Page::DictionaryPage {
            buf: content.to_vec().into(),
            num_values: narrow(values)?,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let page = self.serialize(CompressedPage::new(page, body.len()))?;
        self.dictionary = Some(page);
        self.note(Encoding::PLAIN);
        Ok(())
    }

    fn note(&mut self, encoding: Encoding) {
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
    }

    fn serialize(&mut self, page: CompressedPage) -> Result<Vec<u8>, ParquetError> {
        const HEADER_BYTES: usize = 64;
        let mut sink = TrackedWrite::new(Vec::with_capacity(page.compressed_size() + HEADER_BYTES));
        let written = SerializedPageWriter::new(&mut sink).write_page(page)?;
        self.compressed += written.compressed_size;
        self.uncompressed += written.uncompressed_size;
        sink.into_inner()
    }

    /// Rows of the chunk that are missing a value.
    pub(super) fn nulls(&self) -> u64 {
        wide(self.nulls)
    }

    /// The chunk, for the row group's writer. Every page must have been ended.
    pub(super) fn close(
        mut self,
        statistics: Statistics,
    ) -> Result<(ChunkPages, ColumnCloseResult), ParquetError> {
        assert_eq!(self.levels.rows, 0, "every page was ended");
        self.note(Encoding::RLE);
        let dictionary_bytes = self.dictionary.as_ref().map_or(0, Vec::len);
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.codec)
            .set_encodings(self.encodings)
            .set_num_values(signed(self.rows)?)
            .set_total_compressed_size(signed(self.compressed)?)
            .set_total_uncompressed_size(signed(self.uncompressed)?)
            .set_dictionary_page_offset(self.dictionary.is_some().then_some(0))
            .set_data_page_offset(signed(dictionary_bytes)?)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: wide(self.compressed),
            rows_written: wide(self.rows),
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok((
            ChunkPages {
                pages: self
                    .dictionary
                    .into_iter()
                    .chain(self.data)
                    .map(Bytes::from)
                    .collect(),
            },
            close,
        ))
    }
}

/// The pages of a chunk in file order, as the Parquet crate reads them.
pub(super) struct ChunkPages {
    pages: Vec<Bytes>,
}

impl Length for ChunkPages {
    fn len(&self) -> u64 {
        self.pages.iter().map(|page| wide(page.len())).sum()
    }
}

impl ChunkReader for ChunkPages {
    type T = PagesReader;

    fn get_read(&self, start: u64) -> Result<PagesReader, ParquetError> {
        assert_eq!(start, 0, "a chunk is read once, from its start");
        Ok(PagesReader {
            pages: self.pages.clone().into_iter(),
            at: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?
            .take(wide(length))
            .read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads one page after the other.
pub(super) struct PagesReader {
    pages: std::vec::IntoIter<Bytes>,
    at: Bytes,
}

impl Read for PagesReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at.is_empty() {
            match self.pages.next() {
                Some(page) => self.at = page,
                None => return Ok(0),
            }
        }
        let len = out.len().min(self.at.len());
        out[..len].copy_from_slice(&self.at.split_to(len));
        Ok(len)
    }
}

/// Appends an unsigned LEB128 number.
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("usize fits into 64 bits")
}

fn narrow(count: usize) -> Result<u32, ParquetError> {
    u32::try_from(count)
        .map_err(|_| ParquetError::General(format!("{count} does not fit into a page")))
}

fn signed(count: usize) -> Result<i64, ParquetError> {
    i64::try_from(count)
        .map_err(|_| ParquetError::General(format!("{count} does not fit into a chunk")))
}
