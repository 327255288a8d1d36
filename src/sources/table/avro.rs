//! Container files of Avro: a header with the schema, then blocks of data, each with a mark behind it.
//!
//! A block says how many bytes it has, so that the numbers in front of the blocks are all that must be read to find the parts. What
//! can't be read in a block is a fault of the file: where the next datum begins is known only by reading the one before, and
//! rows without a number can't be told from rows that were lost. So reading does not look for the next mark.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{At, PART_BYTES, Part, Seen, TABLE_ROWS, TableError};
use crate::decode::avro::{AvroError, AvroReader, ContainerHeader, block_header, container_header};
use crate::job::plan::SourceColumn;
use crate::sources::feed::length;

/// Bytes of the header that are read at first.
const HEADER_BYTES: u64 = 64 << 10;

/// Largest header: its schema may have 16 MiB.
const MAX_HEADER_BYTES: u64 = 32 << 20;

/// Largest block, packed or not. Writers make blocks of 16 KiB to some megabytes; one beyond is held by nobody on purpose, and
/// a small one that unpacks to more is made to fill memory.
const MAX_BLOCK_BYTES: u64 = 256 << 20;

/// Bytes of the two numbers in front of a block, at most.
const NUMBERS_BYTES: u64 = 20;

/// Reads the header, and the numbers in front of every block.
pub(super) fn look(file: &File, seen: Seen) -> Result<(SchemaRef, Vec<Part>), TableError> {
    let header = read_header(file, seen.bytes)?;
    codec_of(&header)?;
    let mut parts: Vec<Part> = Vec::new();
    let (mut first_row, mut bytes) = (0, u64::MAX);
    let mut offset = length(header.length);
    while offset < seen.bytes {
        let block = Block::at(file, offset, seen.bytes)?;
        if bytes >= PART_BYTES {
            parts.push(Part {
                first_row,
                rows: 0,
                row_bytes: 0,
                at: At::Avro { offset },
                seen,
            });
            bytes = 0;
        }
        let part = parts.last_mut().expect("one was begun");
        bytes += block.bytes;
        part.rows += block.data;
        part.row_bytes = bytes / part.rows.max(1);
        first_row += block.data;
        offset = block.end;
    }
    Ok((AvroReader::arrow_schema(&header.schema)?, parts))
}

fn read_header(file: &File, file_bytes: u64) -> Result<ContainerHeader, TableError> {
    let mut bytes = HEADER_BYTES;
    loop {
        let here = bytes.min(file_bytes);
        let mut head = vec![0; usize::try_from(here).map_err(|_| TableError::Changed)?];
        file.read_exact_at(&mut head, 0)?;
        if let Some(header) = container_header(&head)? {
            return Ok(header);
        }
        if bytes >= file_bytes {
            return Err(AvroError::Header("it is cut short".to_owned()).into());
        }
        if bytes >= MAX_HEADER_BYTES {
            let words = format!("it has more than {MAX_HEADER_BYTES} bytes");
            return Err(AvroError::Header(words).into());
        }
        bytes *= 8;
    }
}

/// A block that has been found.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    /// How many data are in it.
    data: u64,
    /// Where its bytes begin, and how many there are.
    start: u64,
    bytes: u64,
    /// Where the next one begins.
    end: u64,
}

impl Block {
    fn at(file: &File, offset: u64, file_bytes: u64) -> Result<Self, TableError> {
        let mut head = [0; 20];
        let there = usize::try_from(NUMBERS_BYTES.min(file_bytes - offset)).unwrap_or(0);
        file.read_exact_at(&mut head[..there], offset)?;
        let wrong = |why: &str| TableError::from(broken(offset, why));
        let (data, bytes, numbers) =
            block_header(&head[..there]).ok_or_else(|| wrong("its length is no number"))?;
        if bytes > MAX_BLOCK_BYTES {
            return Err(wrong("it is larger than 256 MiB"));
        }
        let start = offset + length(numbers);
        let end = start + bytes + 16;
        if end > file_bytes {
            return Err(wrong("it is cut short"));
        }
        Ok(Self {
            offset,
            data,
            start,
            bytes,
            end,
        })
    }
}

fn broken(byte: u64, why: &str) -> AvroError {
    AvroError::Block {
        byte,
        why: why.to_owned(),
    }
}

/// How blocks are packed.
#[derive(Debug, Clone, Copy)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

fn codec_of(header: &ContainerHeader) -> Result<Codec, AvroError> {
    match header.codec.as_str() {
        "null" => Ok(Codec::Null),
        "deflate" => Ok(Codec::Deflate),
        "snappy" => Ok(Codec::Snappy),
        "zstandard" => Ok(Codec::Zstandard),
        other => Err(AvroError::Codec(crate::record::shown(other.as_bytes(), 64))),
    }
}

impl Codec {
    fn unpack(self, packed: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Self::Null => Ok(packed),
            Self::Deflate => read_all(flate2::read::DeflateDecoder::new(packed.as_slice())),
            Self::Zstandard => {
                let decoder = zstd::Decoder::new(packed.as_slice());
                read_all(decoder.map_err(|error| error.to_string())?)
            }
            Self::Snappy => {
                let (packed, sum) = packed.split_last_chunk().ok_or("it has no check sum")?;
                let bytes = snap::raw::decompress_len(packed).map_err(|error| error.to_string())?;
                if length(bytes) > MAX_BLOCK_BYTES {
                    return Err("it unpacks to more than 256 MiB".to_owned());
                }
                let unpacked = snap::raw::Decoder::new().decompress_vec(packed);
                let unpacked = unpacked.map_err(|error| error.to_string())?;
                let mut check = flate2::Crc::new();
                check.update(&unpacked);
                if check.sum() == u32::from_be_bytes(*sum) {
                    Ok(unpacked)
                } else {
                    Err("its check sum is wrong".to_owned())
                }
            }
        }
    }
}

fn read_all(input: impl Read) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    input
        .take(MAX_BLOCK_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| error.to_string())?;
    if length(unpacked.len()) > MAX_BLOCK_BYTES {
        return Err("it unpacks to more than 256 MiB".to_owned());
    }
    Ok(unpacked)
}

/// The batches of a part.
#[derive(Debug)]
pub(super) struct Batches {
    file: File,
    file_bytes: u64,
    codec: Codec,
    mark: [u8; 16],
    reader: AvroReader,
    /// Where the next block begins.
    offset: u64,
    /// The block that is being read: what is left of it, in data and bytes.
    block: Option<(Block, u64)>,
    bytes: Vec<u8>,
    at: usize,
    left: u64,
}

impl Batches {
    /// The columns that `columns` name, of `rows` rows in the blocks from `offset` on.
    pub(super) fn open(
        file: &File,
        seen: Seen,
        offset: u64,
        rows: u64,
        columns: &[SourceColumn],
    ) -> Result<Self, TableError> {
        let header = read_header(file, seen.bytes)?;
        let headers: Vec<&str> = columns
            .iter()
            .map(|column| column.header.as_str())
            .collect();
        Ok(Self {
            file: file.try_clone()?,
            file_bytes: seen.bytes,
            codec: codec_of(&header)?,
            mark: header.mark,
            reader: AvroReader::new(&header.schema, &headers)?,
            offset,
            block: None,
            bytes: Vec::new(),
            at: 0,
            left: rows,
        })
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, TableError> {
        while self.reader.rows() < TABLE_ROWS && self.left > 0 {
            let Some((block, data)) = &mut self.block else {
                if self.offset >= self.file_bytes {
                    break;
                }
                self.open_block()?;
                continue;
            };
            if *data == 0 {
                if self.at < self.bytes.len() {
                    return Err(broken(block.offset, "it has more bytes than its data").into());
                }
                self.block = None;
                continue;
            }
            let read = self.reader.read_next(&self.bytes[self.at..]);
            self.at += read.map_err(|error| broken(block.offset, &error.to_string()))?;
            *data -= 1;
            self.left -= 1;
        }
        Ok((self.reader.rows() > 0).then(|| self.reader.finish()))
    }

    fn open_block(&mut self) -> Result<(), TableError> {
        let block = Block::at(&self.file, self.offset, self.file_bytes)?;
        let wrong = |why: &str| TableError::from(broken(block.offset, why));
        let mut packed = vec![0; usize::try_from(block.bytes).map_err(|_| TableError::Changed)?];
        self.file.read_exact_at(&mut packed, block.start)?;
        let mut mark = [0; 16];
        self.file.read_exact_at(&mut mark, block.end - 16)?;
        if mark != self.mark {
            return Err(wrong("the mark behind it is another one than the file's"));
        }
        self.bytes = self.codec.unpack(packed).map_err(|why| wrong(&why))?;
        if block.data > length(self.bytes.len()) {
            // A datum has a byte at least, unless it is nothing at all.
            return Err(wrong("it says that it has more data than bytes"));
        }
        self.at = 0;
        self.offset = block.end;
        self.block = Some((block, block.data));
        Ok(())
    }
}
