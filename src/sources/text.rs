//! One text file, cut into chunks of whole records.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memchr2;

use super::feed::length;
use super::files::{SourceError, io};
use super::open::{Compression, open_text};
use crate::decode::{Cutter, bind_header, count_lines, without_line_end};
use crate::job::plan::{Format, SourceColumn};
use crate::record::{Chunk, HeaderBinding};

/// Longest record in bytes, its line end not counted. A quote that is never closed makes the rest of a file one record:
/// at this length (or at the file's end) its first line is refused as `unclosed_quote` and reading goes on at the next
/// line. A line that is longer by itself is refused as `record_too_long`. Smaller would refuse long notes that are right;
/// larger would hold more memory for a broken file.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// Bytes that quarantine keeps of a line above [`MAX_RECORD_BYTES`]: enough to see what it is, and small beside a chunk.
const KEPT_BYTES: usize = 64 << 10;

/// Why a piece is no record: the reason code, and words for people.
type Broken = (Cow<'static, str>, String);

/// A text file that is being read.
pub struct TextFile {
    owner: String,
    source: usize,
    path: Arc<PathBuf>,
    input: Box<dyn Read + Send>,
    action: &'static str,
    plain: bool,
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
            plain: compression == Compression::None && path.is_file(),
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

    /// Whether chunks hold the file's bytes as they lie there, and the file can be read from any place.
    pub fn is_plain(&self) -> bool {
        self.plain
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
    ///
    /// No record of a chunk is longer than [`MAX_RECORD_BYTES`], whatever the size of chunks; what is longer comes alone,
    /// as [`Chunk::broken`]. Cost: while a record is longer than a chunk, the bytes read grow by half at a time.
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
            if let Some(end) = end.map(|end| self.end_of_records(end, records_left))
                && end > 0
            {
                return Ok(Some(self.give(end, None)));
            }
            // Two bytes more than the longest record, which is then known to be too long with any line end.
            if end.is_some() || self.ended || self.carry.len() > MAX_RECORD_BYTES + 2 {
                if let Some(left) = records_left {
                    *left = left.saturating_sub(1);
                }
                return self.give_broken().map(Some);
            }
            wanted = self.carry.len() + bytes.max(self.carry.len() / 2);
        }
    }

    /// Gives out the first line, which begins a record that does not end or ends too late.
    fn give_broken(&mut self) -> Result<Chunk, SourceError> {
        let look = self.carry.len().min(MAX_RECORD_BYTES + 1);
        match memchr2(b'\n', b'\r', &self.carry[..look]) {
            Some(at) => {
                let end = at + line_end(&self.carry[at..]);
                Ok(self.give(end, Some(("unclosed_quote".into(), self.unclosed()))))
            }
            None if self.ended && self.carry.len() <= MAX_RECORD_BYTES => Ok(self.give(
                self.carry.len(),
                Some(("unclosed_quote".into(), self.unclosed())),
            )),
            None => self.give_long_line(),
        }
    }

    fn unclosed(&self) -> String {
        if self.ended && self.carry.len() <= MAX_RECORD_BYTES {
            "a quote opens a field and is never closed".to_owned()
        } else {
            format!("a quote opens a field and is not closed within {MAX_RECORD_BYTES} bytes")
        }
    }

    /// Gives out the beginning of a line that is too long, and passes over the rest of it without keeping it.
    fn give_long_line(&mut self) -> Result<Chunk, SourceError> {
        let kept = self.carry[..KEPT_BYTES].to_vec();
        let mut passed = 0;
        let (length_of_line, past) = loop {
            if let Some(at) = memchr2(b'\n', b'\r', &self.carry) {
                if at + 1 == self.carry.len() && !self.ended {
                    self.read_more(1)?;
                }
                break (passed + length(at), at + line_end(&self.carry[at..]));
            }
            if self.ended {
                break (passed + length(self.carry.len()), self.carry.len());
            }
            passed += length(self.carry.len());
            self.carry.clear();
            self.read_more(MAX_RECORD_BYTES)?;
        };
        let message = format!(
            "a line of {length_of_line} bytes; at most {MAX_RECORD_BYTES} are read, and its first {KEPT_BYTES} are kept"
        );
        let chunk = self.chunk(kept, Some(("record_too_long".into(), message)));
        self.carry.drain(..past);
        self.offset += passed + length(past);
        self.line += 1;
        Ok(chunk)
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

    /// The end of as many records as may be given out, within the first `end` bytes: those that are left to read, and
    /// those before the first that is too long. An empty line is no record.
    fn end_of_records(&mut self, end: usize, left: &mut Option<u64>) -> usize {
        if left.is_none() && end <= MAX_RECORD_BYTES {
            return end;
        }
        let mut at = 0;
        while at < end && *left != Some(0) {
            let record = self
                .cutter
                .first_record_end(&self.carry[at..end])
                .map_or(end - at, |cut| cut.end);
            let text = without_line_end(&self.carry[at..at + record]);
            if text.len() > MAX_RECORD_BYTES {
                break;
            }
            if let Some(left) = left
                && text.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
            {
                *left -= 1;
            }
            at += record;
        }
        at
    }

    /// Gives out the first `end` bytes of the carry.
    fn give(&mut self, end: usize, broken: Option<Broken>) -> Chunk {
        let rest = self.carry.split_off(end);
        let bytes = std::mem::replace(&mut self.carry, rest);
        let lines = count_lines(&bytes);
        let chunk = self.chunk(bytes, broken);
        self.offset += length(end);
        self.line += lines;
        chunk
    }

    /// A chunk at the place where reading stands.
    fn chunk(&self, bytes: Vec<u8>, broken: Option<Broken>) -> Chunk {
        Chunk {
            source: self.source,
            file: Arc::clone(&self.path),
            bytes,
            offset: self.offset,
            line: self.line,
            header: Arc::clone(&self.header),
            epoch: 0,
            broken,
            lease: None,
        }
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

/// Bytes of the line end that `bytes` begin with.
fn line_end(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 1 }
}
