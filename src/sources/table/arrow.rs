//! Arrow IPC, as a file (`.arrow`, Feather 2) or as a stream (`.arrows`): record batches after the dictionaries they need.
//!
//! Both forms are a sequence of messages; a file lists them in its footer, in a stream each says where the next one begins. The
//! messages' headers alone are read to find the parts, so that a stream, too, is read by several workers. The reader of a part
//! takes the dictionaries before it first, in order, since a later one may replace or lengthen an earlier one.
//!
//! Lengths of messages and buffers are held against the file before anything is allocated for them.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Endianness, Message, MessageHeader, MetadataVersion};
use arrow_schema::{ArrowError, SchemaRef};

use super::{At, PART_BYTES, Part, Seen, TABLE_ROWS, TableError};
use crate::decode;
use crate::job::plan::SourceColumn;

/// How the file form begins and ends.
const MAGIC: &[u8; 6] = b"ARROW1";

/// Largest header of a message. One describes a few numbers for each column; more is no header, but chance.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Most bytes that the buffers of one batch may say they unpack to. A writer's batches have some 65,536 to a million rows.
const MAX_BATCH_BYTES: u64 = 4 << 30;

/// The messages of a file.
struct Layout {
    schema: SchemaRef,
    version: MetadataVersion,
    messages: Vec<Found>,
}

/// A message that has been found.
struct Found {
    offset: u64,
    header_bytes: u64,
    body_bytes: u64,
    /// Rows of a batch; `None`: it is a dictionary.
    rows: Option<u64>,
}

/// Reads the headers of all messages.
pub(super) fn look(file: &File, seen: Seen) -> Result<(SchemaRef, Vec<Part>), TableError> {
    let layout = Layout::read(file, seen.bytes)?;
    let mut parts: Vec<Part> = Vec::new();
    let mut first_row = 0;
    let mut bytes = u64::MAX;
    for (number, found) in layout.messages.iter().enumerate() {
        let Some(rows) = found.rows else { continue };
        if bytes >= PART_BYTES {
            parts.push(Part {
                first_row,
                rows: 0,
                row_bytes: 0,
                at: At::Arrow {
                    messages: number..number,
                },
                seen,
            });
            bytes = 0;
        }
        let part = parts.last_mut().expect("one was begun");
        bytes += found.body_bytes;
        part.rows += rows;
        part.row_bytes = bytes / part.rows.max(1);
        if let At::Arrow { messages } = &mut part.at {
            messages.end = number + 1;
        }
        first_row += rows;
    }
    Ok((layout.schema, parts))
}

impl Layout {
    fn read(file: &File, bytes: u64) -> Result<Self, TableError> {
        let mut magic = [0; 6];
        let is_file = bytes >= 6 && {
            file.read_exact_at(&mut magic, 0)?;
            &magic == MAGIC
        };
        if is_file {
            Self::of_footer(file, bytes)
        } else {
            Self::of_stream(file, bytes)
        }
    }

    /// The file form: the footer says where everything is, and dictionaries stand in any place.
    fn of_footer(file: &File, bytes: u64) -> Result<Self, TableError> {
        let mut end = [0; 10];
        let Some(end_at) = bytes.checked_sub(10).filter(|at| *at >= 8) else {
            return Err(wrong("it is cut short: there is no footer"));
        };
        file.read_exact_at(&mut end, end_at)?;
        let length = u64::try_from(read_footer_length(end)?).unwrap_or(u64::MAX);
        let Some(start) = end_at.checked_sub(length) else {
            return Err(wrong("its footer is longer than the file"));
        };
        let footer = bytes_at(file, start, length, bytes)?;
        let footer = arrow_ipc::root_as_footer(&footer)
            .map_err(|error| wrong(&format!("its footer can't be read: {error}")))?;
        let schema = footer
            .schema()
            .ok_or_else(|| wrong("its footer has no schema"))?;
        native(&schema)?;
        let mut messages = Vec::new();
        let blocks = [footer.dictionaries(), footer.recordBatches()];
        for block in blocks.into_iter().flatten().flatten() {
            let number = |number: i64| {
                u64::try_from(number).map_err(|_| wrong("its footer has a negative number"))
            };
            let (offset, header_bytes) = (
                number(block.offset())?,
                number(block.metaDataLength().into())?,
            );
            let found = Found {
                offset,
                header_bytes,
                body_bytes: number(block.bodyLength())?,
                rows: None,
            };
            messages.push(found.checked(file, bytes)?.0);
        }
        Ok(Self {
            schema: Arc::new(fb_to_schema(schema)),
            version: footer.version(),
            messages,
        })
    }

    /// The stream form: message by message.
    fn of_stream(file: &File, bytes: u64) -> Result<Self, TableError> {
        let mut found_schema = None;
        let mut messages = Vec::new();
        let mut offset = 0;
        while offset < bytes {
            let start = bytes_at(file, offset, 4, bytes)?;
            // Before 2019 there was no marker before the length.
            let marked = start[..] == [0xFF; 4];
            let length = if marked {
                bytes_at(file, offset + 4, 4, bytes)?
            } else {
                start
            };
            let length = length
                .first_chunk()
                .map_or(0, |length| i32::from_le_bytes(*length));
            if length == 0 {
                break;
            }
            let length =
                u64::try_from(length).map_err(|_| wrong("a message has a negative length"))?;
            let header_bytes = length + if marked { 8 } else { 4 };
            let found = Found {
                offset,
                header_bytes,
                body_bytes: 0,
                rows: None,
            };
            let (found, header) = found.checked(file, bytes)?;
            offset += found.header_bytes + found.body_bytes;
            let message = message(&header)?;
            match message.header_type() {
                MessageHeader::Schema if found_schema.is_none() => {
                    let schema = message
                        .header_as_schema()
                        .ok_or_else(|| wrong("its schema can't be read"))?;
                    native(&schema)?;
                    found_schema = Some((Arc::new(fb_to_schema(schema)), message.version()));
                }
                MessageHeader::DictionaryBatch | MessageHeader::RecordBatch
                    if found_schema.is_some() =>
                {
                    messages.push(found);
                }
                other => {
                    return Err(wrong(&format!(
                        "a message at byte {} is {other:?}",
                        found.offset
                    )));
                }
            }
        }
        let (schema, version) = found_schema.ok_or_else(|| wrong("it has no schema"))?;
        Ok(Self {
            schema,
            version,
            messages,
        })
    }
}

impl Found {
    /// Reads the header, and finds out what it is the header of.
    fn checked(mut self, file: &File, file_bytes: u64) -> Result<(Self, Vec<u8>), TableError> {
        if self.header_bytes > MAX_HEADER_BYTES || self.header_bytes < 8 {
            return Err(wrong(&format!(
                "the message at byte {} has a header of {} bytes",
                self.offset, self.header_bytes
            )));
        }
        let header = bytes_at(file, self.offset, self.header_bytes, file_bytes)?;
        let of = message(&header)?;
        self.body_bytes =
            u64::try_from(of.bodyLength()).map_err(|_| wrong("a message has a negative length"))?;
        let end = self.offset.checked_add(self.header_bytes);
        let end = end.and_then(|end| end.checked_add(self.body_bytes));
        if end.is_none_or(|end| end > file_bytes) {
            return Err(wrong(&format!(
                "the message at byte {} ends after the end of the file",
                self.offset
            )));
        }
        if let Some(batch) = of.header_as_record_batch() {
            let rows = u32::try_from(batch.length());
            let rows = rows.map_err(|_| wrong(&format!("a batch of {} rows", batch.length())))?;
            self.rows = Some(rows.into());
        }
        Ok((self, header))
    }

    fn block(&self) -> Result<Block, TableError> {
        let number = |number: u64| i64::try_from(number).map_err(|_| TableError::Changed);
        let header = i32::try_from(self.header_bytes).map_err(|_| TableError::Changed)?;
        Ok(Block::new(
            number(self.offset)?,
            header,
            number(self.body_bytes)?,
        ))
    }
}

/// The batches of a part.
pub(super) struct Batches {
    file: File,
    layout: Layout,
    decoder: FileDecoder,
    messages: Range<usize>,
    /// What is left of a batch that was given out in pieces.
    rest: Option<RecordBatch>,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches")
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

impl Batches {
    /// The columns that `columns` name, of the batches among some messages.
    pub(super) fn open(
        file: &File,
        seen: Seen,
        messages: Range<usize>,
        columns: &[SourceColumn],
    ) -> Result<Self, TableError> {
        let layout = Layout::read(file, seen.bytes)?;
        let schema = Arc::clone(&layout.schema);
        let wanted = (0..schema.fields().len()).filter(|root| {
            let name = Some(schema.field(*root).name().as_str());
            columns
                .iter()
                .any(|column| decode::root_of(&schema, &column.header) == name)
        });
        let decoder =
            FileDecoder::new(Arc::clone(&schema), layout.version).with_projection(wanted.collect());
        let mut batches = Self {
            file: file.try_clone()?,
            layout,
            decoder,
            messages: 0..messages.end,
            rest: None,
        };
        for number in 0..messages.start {
            batches.take(number, false)?;
        }
        batches.messages.start = messages.start;
        Ok(batches)
    }

    /// The next batch, or piece of one.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, TableError> {
        loop {
            if let Some(rest) = self.rest.take().filter(|rest| rest.num_rows() > 0) {
                let rows = rest.num_rows().min(TABLE_ROWS);
                self.rest = Some(rest.slice(rows, rest.num_rows() - rows));
                return Ok(Some(rest.slice(0, rows)));
            }
            let Some(number) = self.messages.next() else {
                return Ok(None);
            };
            self.rest = self.take(number, true)?;
        }
    }

    /// Takes in a dictionary, or gives a batch where it is wanted.
    fn take(&mut self, number: usize, wanted: bool) -> Result<Option<RecordBatch>, TableError> {
        let found = self
            .layout
            .messages
            .get(number)
            .ok_or(TableError::Changed)?;
        if found.rows.is_some() && !wanted {
            return Ok(None);
        }
        let bytes = found.header_bytes + found.body_bytes;
        let mut buffer = MutableBuffer::from_len_zeroed(
            usize::try_from(bytes).map_err(|_| TableError::Changed)?,
        );
        self.file.read_exact_at(&mut buffer, found.offset)?;
        let buffer = Buffer::from(buffer);
        bounded(&buffer, found)?;
        let block = found.block()?;
        if found.rows.is_some() {
            Ok(self.decoder.read_record_batch(&block, &buffer)?)
        } else {
            self.decoder.read_dictionary(&block, &buffer)?;
            Ok(None)
        }
    }
}

/// Refuses a message whose packed buffers say that they unpack to more than a batch may have: as much would be allocated.
fn bounded(bytes: &[u8], found: &Found) -> Result<(), TableError> {
    let header = usize::try_from(found.header_bytes).map_err(|_| TableError::Changed)?;
    let Some((header, body)) = bytes.split_at_checked(header) else {
        return Err(TableError::Changed);
    };
    let message = message(header)?;
    let batch = message.header_as_record_batch();
    let batch = batch.or_else(|| {
        message
            .header_as_dictionary_batch()
            .and_then(|batch| batch.data())
    });
    let Some(batch) = batch.filter(|batch| batch.compression().is_some()) else {
        return Ok(());
    };
    let mut unpacked: u64 = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let start = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
        let length = body.get(start..).and_then(|body| body.first_chunk());
        // −1: it is not packed; an empty buffer has no length.
        let length = length.map_or(0, |length| i64::from_le_bytes(*length));
        unpacked = unpacked.saturating_add(u64::try_from(length).unwrap_or(0));
    }
    if unpacked > MAX_BATCH_BYTES {
        return Err(wrong(&format!(
            "the batch at byte {} says that it unpacks to {unpacked} bytes; at most {MAX_BATCH_BYTES} are read",
            found.offset
        )));
    }
    Ok(())
}

fn message(header: &[u8]) -> Result<Message<'_>, TableError> {
    let marked = header.starts_with(&[0xFF; 4]);
    let body = header.get(if marked { 8 } else { 4 }..).unwrap_or_default();
    arrow_ipc::root_as_message(body)
        .map_err(|error| wrong(&format!("a message can't be read: {error}")))
}

fn native(schema: &arrow_ipc::Schema<'_>) -> Result<(), TableError> {
    let is_native = schema.endianness() == Endianness::Little;
    if is_native {
        Ok(())
    } else {
        Err(wrong("its numbers are big-endian"))
    }
}

/// Bytes that lie in the file.
fn bytes_at(file: &File, offset: u64, length: u64, file_bytes: u64) -> Result<Vec<u8>, TableError> {
    if offset
        .checked_add(length)
        .is_none_or(|end| end > file_bytes)
    {
        return Err(wrong("it is cut short"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| TableError::Changed)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn wrong(what: &str) -> TableError {
    ArrowError::IpcError(what.to_owned()).into()
}
