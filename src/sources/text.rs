//! One text file, cut into chunks of whole records.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memchr2;

use super::elements::Progress;
use super::feed::length;
use super::files::{SourceError, io};
use super::input::TextInput;
use super::open::{Compression, open_text};
use crate::decode::{Cutter, bind_header, count_lines, first_line_end, without_line_end};
use crate::job::plan::{Format, Records, SourceColumn};
use crate::record::{Chunk, Dropped, Encoding, Framing, HeaderBinding};

/// Longest record in bytes, its line end not counted. A quote that is never closed makes the rest of a file one record:
/// at this length (or at the file's end) its first line is refused as `unclosed_quote` and reading goes on at the next
/// line. A line that is longer by itself is refused as `record_too_long`. Smaller would refuse long notes that are right;
/// larger would hold more memory for a broken file.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// Bytes that quarantine keeps of a line above [`MAX_RECORD_BYTES`]: enough to see what it is, and small beside a chunk.
pub(super) const KEPT_BYTES: usize = 64 << 10;

/// Why a piece is no record: the reason code, and words for people.
pub(in crate::sources) type Broken = (Cow<'static, str>, String);

/// A text file that is being read.
pub struct TextFile {
    owner: String,
    source: usize,
    path: Arc<PathBuf>,
    pub(super) input: TextInput,
    action: &'static str,
    plain: bool,
    cutter: Cutter,
    header: Arc<HeaderBinding>,
    /// Set where records are no lines.
    elements: Option<Progress>,
    /// Read but not yet given out; begins at a record.
    pub(super) carry: Vec<u8>,
    pub(super) offset: u64,
    pub(super) line: u64,
    /// Lines taken away and not told of yet.
    dropped: Dropped,
    /// Names of optional columns that the header line does not have.
    lacks: Vec<String>,
    /// Whether the file may go on behind what is here now.
    goes_on: bool,
}

/// A file that is followed: what its chunks say of it.
#[derive(Debug, Clone)]
pub(super) struct Followed<'a> {
    pub(super) owner: &'a str,
    pub(super) source: usize,
    pub(super) path: &'a Arc<PathBuf>,
    pub(super) format: &'a Format,
    pub(super) columns: &'a [SourceColumn],
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
        let (mut bytes, compression) = open_text(owner, path)?;
        let action = if compression == Compression::None {
            "read"
        } else {
            "decompressed"
        };
        if verify && compression != Compression::None {
            std::io::copy(&mut bytes, &mut std::io::sink())
                .map_err(|error| io(owner, path, action, 0, error))?;
            bytes = open_text(owner, path)?.0;
        }
        let (skip_first, skip_last) = match format {
            Format::Csv(options) => (options.skip_first, options.skip_last),
            _ => (0, 0),
        };
        let (input, encoding, mark) = TextInput::open(bytes, format.encoding(), skip_last)
            .map_err(|error| io(owner, path, action, 0, error))?;
        let followed = Followed {
            owner,
            source,
            path: &Arc::new(path.to_owned()),
            format,
            columns,
        };
        let mut file = Self {
            action,
            plain: compression == Compression::None && path.is_file(),
            goes_on: false,
            ..Self::made(&followed, input, encoding, length(mark))
        };
        file.begin(format, columns, skip_first)?;
        Ok(file)
    }

    fn made(followed: &Followed<'_>, input: TextInput, encoding: Encoding, offset: u64) -> Self {
        Self {
            owner: followed.owner.to_owned(),
            source: followed.source,
            path: Arc::clone(followed.path),
            input,
            action: "read",
            plain: false,
            cutter: Cutter::new(followed.format),
            header: Arc::new(HeaderBinding {
                framing: Framing::OfSource,
                encoding,
                record: Vec::new(),
                fields: 0,
                column_of_field: Vec::new(),
            }),
            elements: Progress::new(followed.format),
            carry: Vec::new(),
            offset,
            line: 1,
            dropped: Dropped::default(),
            lacks: Vec::new(),
            goes_on: true,
        }
    }

    /// The beginning of a file that is followed: `input` begins behind a mark of `mark` bytes that says its `encoding`.
    ///
    /// Errors: besides those of [`Self::open`] one that [`is_waiting`] where the header line is not whole yet; then it is opened
    /// again later.
    pub(super) fn follow(
        followed: &Followed<'_>,
        input: Box<dyn Read + Send>,
        encoding: Encoding,
        mark: u64,
    ) -> Result<Self, SourceError> {
        let input = TextInput::of(input, encoding);
        let mut file = Self::made(followed, input, encoding, mark);
        let skip_first = match followed.format {
            Format::Csv(options) => options.skip_first,
            _ => 0,
        };
        file.begin(followed.format, followed.columns, skip_first)?;
        Ok(file)
    }

    /// A file that is followed on from `offset`, where `input` begins, in this line.
    pub(super) fn further(
        followed: &Followed<'_>,
        input: Box<dyn Read + Send>,
        header: &Arc<HeaderBinding>,
        offset: u64,
        line: u64,
    ) -> Self {
        let input = TextInput::of(input, header.encoding);
        Self {
            header: Arc::clone(header),
            line,
            ..Self::made(followed, input, header.encoding, offset)
        }
    }

    /// The same, of a file whose end is its end; `is_plain` as in [`Self::is_plain`].
    pub(super) fn with_an_end(self, is_plain: bool) -> Self {
        Self {
            plain: is_plain,
            goes_on: false,
            ..self
        }
    }

    /// How the file's columns are bound.
    pub(super) fn header(&self) -> &Arc<HeaderBinding> {
        &self.header
    }

    /// The byte and the line behind what was given out.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.offset, self.line)
    }

    /// Whether all was read, and given out.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.input.ended && self.carry.is_empty()
    }

    /// Whether text was read that is no whole record yet.
    pub(super) fn has_begun_a_record(&self) -> bool {
        !self.carry.is_empty()
    }

    /// Reads and binds what stands before the first record.
    fn begin(
        &mut self,
        format: &Format,
        columns: &[SourceColumn],
        skip_first: u64,
    ) -> Result<(), SourceError> {
        self.read_on(HEADER_BYTES)?;
        for before in 0..skip_first {
            self.skip_line(before, skip_first)?;
        }
        if let Format::Csv(options) = format {
            let record = if options.header {
                self.header_record()?
            } else {
                Vec::new()
            };
            let lines = count_lines(&record);
            let encoding = self.header.encoding;
            let header = bind_header(columns, options, encoding, &record).map_err(|error| {
                self.line -= lines;
                self.bad_header(error.code(), error.to_string())
            })?;
            let is_there = |at: usize| header.column_of_field.contains(&Some(at));
            self.lacks = (0..columns.len())
                .filter(|at| !is_there(*at))
                .map(|at| columns[at].header.clone())
                .collect();
            self.header = Arc::new(header);
        }
        if let Format::Json(options) = format
            && self.elements.is_some()
        {
            self.begin_elements(options.records == Records::Array)?;
        }
        Ok(())
    }

    /// Which optional columns the file does not have, in words.
    pub fn lacks(&self) -> Option<String> {
        let names: Vec<String> = self
            .lacks
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        (!names.is_empty()).then(|| {
            let (names, path) = (names.join(", "), self.path.display());
            format!(
                "{}: {path} has no {names}, which is optional: null in its rows",
                self.owner
            )
        })
    }

    /// Its source, and its path.
    pub(super) fn of(&self) -> (usize, &Arc<PathBuf>) {
        (self.source, &self.path)
    }

    /// Whether chunks hold the file's bytes as they lie there, and the file can be read from any place.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Takes a line off the front, whatever is quoted in it; `before` of the `wanted` ones are gone.
    fn skip_line(&mut self, before: u64, wanted: u64) -> Result<(), SourceError> {
        loop {
            let end = first_line_end(&self.carry)
                .or((self.input.ended && !self.carry.is_empty()).then_some(self.carry.len()));
            if let Some(end) = end {
                self.consume(end, 1);
                self.dropped.first_lines += 1;
                return Ok(());
            }
            if self.input.ended || self.carry.len() > MAX_RECORD_BYTES {
                let message = if self.input.ended {
                    format!(
                        "the file ends after {before} lines, of which `skip_first` skips {wanted}"
                    )
                } else {
                    "a line that `skip_first` skips has no end".to_owned()
                };
                return Err(self.bad_header("bad_header", message));
            }
            self.read_more(HEADER_BYTES)?;
        }
    }

    pub(super) fn bad_header(&self, code: &'static str, message: String) -> SourceError {
        SourceError::Header {
            owner: self.owner.clone(),
            path: self.path.to_path_buf(),
            line: self.line,
            code,
            message,
        }
    }

    /// Takes the header line off the front, and the empty lines and comments before it.
    fn header_record(&mut self) -> Result<Vec<u8>, SourceError> {
        loop {
            if let Some(cut) = self.cutter.first_record_end(&self.carry) {
                let record = self.carry[..cut.end].to_vec();
                self.consume(cut.end, cut.lines);
                if self.cutter.is_record(without_line_end(&record)) {
                    return Ok(record);
                }
                continue;
            }
            let is_whole = self.input.ended && self.cutter.are_whole(&self.carry);
            if is_whole && self.cutter.is_record(without_line_end(&self.carry)) {
                let record = self.carry.clone();
                self.consume(record.len(), count_lines(&record));
                return Ok(record);
            }
            let empty = is_whole || self.carry.is_empty();
            if self.input.ended || self.carry.len() > MAX_RECORD_BYTES {
                let message = if empty {
                    "the file is empty, a header line was expected"
                } else {
                    "the header line has no end"
                };
                let code = if empty { "empty_file" } else { "bad_header" };
                return Err(self.bad_header(code, message.to_owned()));
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
        if let Some(mut progress) = self.elements.take() {
            let given = self.next_elements(&mut progress, bytes, records_left);
            self.elements = Some(progress);
            return given;
        }
        let mut wanted = bytes;
        loop {
            let mut waits = false;
            if !self.input.ended && self.carry.len() < wanted {
                waits = self.read_on(wanted - self.carry.len())?;
            }
            if self.carry.is_empty() && (self.input.ended || waits) {
                // Lines that were taken away count, whether any row came or not; in a file that goes on with its first row.
                let counts = self.dropped != Dropped::default() && !self.goes_on;
                return Ok(counts.then(|| self.give(0, None)));
            }
            // More may lie here than a chunk takes: the header was looked for in a block of its own size.
            let look = wanted.min(self.carry.len());
            let is_all = look == self.carry.len();
            let end = if is_all && self.input.ended && self.cutter.are_whole(&self.carry) {
                Some(look)
            } else {
                let cut = self.cutter.last_record_end(&self.carry[..look]);
                cut.map(|cut| cut.end)
            };
            if let Some(end) = end.map(|end| self.end_of_records(end, records_left))
                && end > 0
            {
                return Ok(Some(self.give(end, None)));
            }
            // Two bytes more than the longest record, which is then known to be too long with any line end.
            let is_broken = is_all && (self.input.ended || look > MAX_RECORD_BYTES + 2);
            if is_broken && self.goes_on && !self.has_a_line()? {
                if waits {
                    return Ok(None);
                }
                wanted = look + bytes.max(look / 2);
                continue;
            }
            if end.is_some() || is_broken {
                if let Some(left) = records_left {
                    *left = left.saturating_sub(1);
                }
                return self.give_broken().map(Some);
            }
            if waits {
                return Ok(None);
            }
            wanted = look + bytes.max(look / 2);
        }
    }

    /// Whether the first line of a file that goes on is whole: only then it is known how long it is.
    fn has_a_line(&self) -> Result<bool, SourceError> {
        let at = memchr2(b'\n', b'\r', &self.carry);
        if self.input.ended || at.is_some_and(|at| at + 1 < self.carry.len()) {
            return Ok(true);
        }
        if self.carry.len() > MOST_WAITING_BYTES {
            let message = format!(
                "a line of more than {MOST_WAITING_BYTES} bytes, and its end has not come yet"
            );
            return Err(self.bad_header("record_too_long", message));
        }
        Ok(false)
    }

    /// Gives out the first line, which begins a record that does not end or ends too late.
    fn give_broken(&mut self) -> Result<Chunk, SourceError> {
        let look = self.carry.len().min(MAX_RECORD_BYTES + 1);
        match memchr2(b'\n', b'\r', &self.carry[..look]) {
            Some(at) => {
                let end = at + line_end(&self.carry[at..]);
                Ok(self.give(end, Some(("unclosed_quote".into(), self.unclosed()))))
            }
            None if self.input.ended && self.carry.len() <= MAX_RECORD_BYTES => Ok(self.give(
                self.carry.len(),
                Some(("unclosed_quote".into(), self.unclosed())),
            )),
            None => self.give_long_line(),
        }
    }

    fn unclosed(&self) -> String {
        if self.goes_on {
            // Whatever is there by now: the same words when it is read again.
            "a quote opens a field and is not closed".to_owned()
        } else if self.input.ended && self.carry.len() <= MAX_RECORD_BYTES {
            "a quote opens a field and is never closed".to_owned()
        } else {
            format!("a quote opens a field and is not closed within {MAX_RECORD_BYTES} bytes")
        }
    }

    /// Gives out the beginning of a line that is too long, and passes over the rest of it without keeping it.
    fn give_long_line(&mut self) -> Result<Chunk, SourceError> {
        let kept = self.carry[..whole_characters(&self.carry, KEPT_BYTES)].to_vec();
        let mut passed = 0;
        let (length_of_line, past) = loop {
            if let Some(at) = memchr2(b'\n', b'\r', &self.carry) {
                if at + 1 == self.carry.len() && !self.input.ended {
                    self.read_more(1)?;
                }
                let length_of_line = passed + self.length_in_file(at);
                break (length_of_line, at + line_end(&self.carry[at..]));
            }
            let here = self.length_in_file(self.carry.len());
            if self.input.ended {
                break (passed + here, self.carry.len());
            }
            passed += here;
            self.carry.clear();
            self.read_more(MAX_RECORD_BYTES)?;
        };
        let message = format!(
            "a line of {length_of_line} bytes; at most {MAX_RECORD_BYTES} are read, and its first {KEPT_BYTES} are kept"
        );
        let chunk = self.chunk(kept, Some(("record_too_long".into(), message)));
        self.offset += passed;
        self.consume(past, 1);
        Ok(chunk)
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
                && self.cutter.is_record(text)
            {
                *left -= 1;
            }
            at += record;
        }
        at
    }

    /// Gives out the first `end` bytes of the carry.
    pub(super) fn give(&mut self, end: usize, broken: Option<Broken>) -> Chunk {
        let in_file = self.length_in_file(end);
        let rest = self.carry.split_off(end);
        let bytes = std::mem::replace(&mut self.carry, rest);
        let lines = count_lines(&bytes);
        let chunk = self.chunk(bytes, broken);
        self.offset += in_file;
        self.line += lines;
        chunk
    }

    /// A chunk at the place where reading stands.
    pub(super) fn chunk(&mut self, bytes: Vec<u8>, broken: Option<Broken>) -> Chunk {
        Chunk {
            places: Vec::new(),
            followed: None,
            messages: None,
            number: 0,
            source: self.source,
            file: Arc::clone(&self.path),
            bytes,
            offset: self.offset,
            line: self.line,
            header: Arc::clone(&self.header),
            epoch: 0,
            broken,
            dropped: std::mem::take(&mut self.dropped),
            until: None,
            lease: None,
        }
    }

    pub(super) fn consume(&mut self, bytes: usize, lines: u64) {
        self.offset += self.length_in_file(bytes);
        self.carry.drain(..bytes);
        self.line += lines;
    }

    /// How many bytes of the file the first `bytes` of the carry stand for.
    fn length_in_file(&self, bytes: usize) -> u64 {
        self.in_file(&self.carry[..bytes])
    }

    /// How many bytes of the file a piece of its text stands for.
    pub(super) fn in_file(&self, text: &[u8]) -> u64 {
        self.header.encoding.length_in_file(text)
    }

    /// Reads more; gives whether no more is here yet.
    fn read_on(&mut self, bytes: usize) -> Result<bool, SourceError> {
        match self.read_more(bytes) {
            Err(error) if is_waiting(&error) => Ok(true),
            read => read.map(|()| false),
        }
    }

    pub(super) fn read_more(&mut self, bytes: usize) -> Result<(), SourceError> {
        let read = self.input.read_more(&mut self.carry, bytes);
        self.dropped.last_lines += std::mem::take(&mut self.input.skipped);
        read.map_err(|error| {
            let at = self.offset + self.length_in_file(self.carry.len());
            io(&self.owner, &self.path, self.action, at, error)
        })
    }
}

/// Most bytes of one line that are held until its end comes, in a file that goes on.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// Whether a file that goes on holds no more yet.
pub(super) fn is_waiting(error: &SourceError) -> bool {
    matches!(error, SourceError::Io { source, .. } if source.kind() == ErrorKind::WouldBlock)
}

/// Bytes read at a time while looking for the end of the header line.
pub(super) const HEADER_BYTES: usize = 1 << 16;

/// Bytes of the line end that `bytes` begin with.
fn line_end(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 1 }
}

/// The end of the whole characters within the first `most` bytes.
fn whole_characters(text: &[u8], most: usize) -> usize {
    let begins = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
    (most - 3..=most).rev().find(begins).unwrap_or(most)
}

#[cfg(test)]
mod tests;
