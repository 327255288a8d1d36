//! One text file, cut into chunks of whole records.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::feed::length;
use super::files::{SourceError, io};
use super::open::{Compression, open_text};
use crate::decode::{Cutter, bind_header, count_lines};
use crate::job::plan::{Format, SourceColumn};
use crate::record::{Chunk, HeaderBinding};

/// Longest record in bytes. A quote that is never closed makes the rest of a file one record: at this length (or at the
/// file's end) its first line is refused as `unclosed_quote` and reading goes on at the next line. Smaller would refuse
/// long notes that are right; larger would hold more memory for a broken file.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// A text file that is being read.
pub struct TextFile {
    owner: String,
    source: usize,
    path: Arc<PathBuf>,
    input: Box<dyn Read + Send>,
    action: &'static str,
    cutter: Cutter,
    header: Arc<HeaderBinding>,
    /// Read but not yet given out; begins at a record.
    carry: Vec<u8>,
    offset: u64,
    line: u64,
    ended: bool,
}

impl std::fmt::Debug for TextFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextFile")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl TextFile {
    /// Opens the file and binds its header. With `verify`, a compressed file is read once to its end first, so that a broken
    /// one is known before its first row is given out.
    pub fn open(
        owner: &str,
        source: usize,
        path: &Path,
        format: &Format,
        columns: &[SourceColumn],
        verify: bool,
    ) -> Result<Self, SourceError> {
        let (mut input, compression) = open_text(owner, path)?;
        let action = if compression == Compression::None {
            "read"
        } else {
            "decompressed"
        };
        if verify && compression != Compression::None {
            std::io::copy(&mut input, &mut std::io::sink())
                .map_err(|error| io(owner, path, action, 0, error))?;
            input = open_text(owner, path)?.0;
        }
        let mut file = Self {
            owner: owner.to_owned(),
            source,
            path: Arc::new(path.to_owned()),
            input,
            action,
            cutter: Cutter::new(format),
            header: Arc::new(HeaderBinding {
                fields: 0,
                column_of_field: Vec::new(),
            }),
            carry: Vec::new(),
            offset: 0,
            line: 1,
            ended: false,
        };
        file.read_more(HEADER_BYTES)?;
        if file.carry.starts_with(&[0xEF, 0xBB, 0xBF]) {
            file.consume(3, 0);
        }
        if let Format::Csv(options) = format {
            let record = if options.header {
                file.header_record()?
            } else {
                Vec::new()
            };
            let header =
                bind_header(columns, options, &record).map_err(|error| SourceError::Header {
                    owner: owner.to_owned(),
                    path: path.to_owned(),
                    code: error.code(),
                    message: error.to_string(),
                })?;
            file.header = Arc::new(header);
        }
        Ok(file)
    }

    /// Takes the header line off the front.
    fn header_record(&mut self) -> Result<Vec<u8>, SourceError> {
        loop {
            if let Some(cut) = self.cutter.first_record_end(&self.carry) {
                let record = self.carry[..cut.end].to_vec();
                self.consume(cut.end, cut.lines);
                return Ok(record);
            }
            if self.ended && !self.carry.is_empty() && self.last_is_whole() {
                return Ok(std::mem::take(&mut self.carry));
            }
            let empty = self.carry.is_empty();
            if self.ended || self.carry.len() > MAX_RECORD_BYTES {
                let message = if empty {
                    "the file is empty, a header line was expected"
                } else {
                    "the header line has no end"
                };
                return Err(SourceError::Header {
                    owner: self.owner.clone(),
                    path: self.path.to_path_buf(),
                    code: if empty { "empty_file" } else { "bad_header" },
                    message: message.to_owned(),
                });
            }
            self.read_more(HEADER_BYTES)?;
        }
    }

    /// The next chunk of about `bytes`; `None` at the end. `records_left` counts down where the job has a limit.
    pub fn next(
        &mut self,
        bytes: usize,
        records_left: &mut Option<u64>,
    ) -> Result<Option<Chunk>, SourceError> {
        let mut wanted = bytes;
        loop {
            if !self.ended && self.carry.len() < wanted {
                self.read_more(wanted - self.carry.len())?;
            }
            if self.carry.is_empty() {
                return Ok(None);
            }
            let end = if self.ended && self.last_is_whole() {
                Some(self.carry.len())
            } else {
                self.cutter.last_record_end(&self.carry).map(|cut| cut.end)
            };
            if let Some(end) = end {
                let end = match records_left {
                    Some(left) => self.end_of_records(end, left),
                    None => end,
                };
                return Ok(Some(self.give(end, None)));
            }
            if self.ended || self.carry.len() >= MAX_RECORD_BYTES {
                let line = memchr::memchr2(b'\n', b'\r', &self.carry)
                    .map_or(self.carry.len(), |at| at + 1);
                if let Some(left) = records_left {
                    *left = left.saturating_sub(1);
                }
                let message = "a quote opens a field and is never closed".to_owned();
                return Ok(Some(self.give(line, Some(("unclosed_quote", message)))));
            }
            wanted = self.carry.len() + bytes;
        }
    }

    /// Whether the rest of the file ends outside quotes: with a line end behind it, it would be whole records.
    fn last_is_whole(&mut self) -> bool {
        self.carry.push(b'\n');
        let whole = self
            .cutter
            .last_record_end(&self.carry)
            .is_some_and(|cut| cut.end == self.carry.len());
        self.carry.pop();
        whole
    }

    /// The end of as many records as are left to read, within the first `end` bytes. An empty line is no record.
    fn end_of_records(&mut self, end: usize, left: &mut u64) -> usize {
        let mut at = 0;
        while at < end && *left > 0 {
            let record = self
                .cutter
                .first_record_end(&self.carry[at..end])
                .map_or(end - at, |cut| cut.end);
            if self.carry[at..at + record]
                .iter()
                .any(|byte| !matches!(byte, b'\r' | b'\n'))
            {
                *left -= 1;
            }
            at += record;
        }
        at
    }

    /// Gives out the first `end` bytes of the carry.
    fn give(&mut self, end: usize, broken: Option<(&'static str, String)>) -> Chunk {
        let rest = self.carry.split_off(end);
        let bytes = std::mem::replace(&mut self.carry, rest);
        let lines = count_lines(&bytes);
        let chunk = Chunk {
            source: self.source,
            file: Arc::clone(&self.path),
            bytes,
            offset: self.offset,
            line: self.line,
            header: Arc::clone(&self.header),
            epoch: 0,
            broken,
            lease: None,
        };
        self.offset += length(end);
        self.line += lines;
        chunk
    }

    fn consume(&mut self, bytes: usize, lines: u64) {
        self.carry.drain(..bytes);
        self.offset += length(bytes);
        self.line += lines;
    }

    fn read_more(&mut self, bytes: usize) -> Result<(), SourceError> {
        self.carry.reserve(bytes);
        let read = (&mut self.input)
            .take(length(bytes))
            .read_to_end(&mut self.carry)
            .map_err(|error| {
                io(
                    &self.owner,
                    &self.path,
                    self.action,
                    self.offset + length(self.carry.len()),
                    error,
                )
            })?;
        self.ended = read < bytes;
        Ok(())
    }
}

/// Bytes read at a time while looking for the end of the header line.
const HEADER_BYTES: usize = 1 << 16;
