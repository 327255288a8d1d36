//! Where records end: what a reader needs to cut a file into chunks of whole records.
//!
//! The rules are those of [`super::split`]; a property test holds the two together. Text without quotes is searched
//! from its end and its lines are counted by vector code; where there are quotes, only they are walked. Dialects that are
//! not plain are walked line by line ([`super::dialect`]).

use memchr::{memchr, memchr_iter, memchr2, memrchr2};

use super::dialect::Dialect;
use crate::job::plan::Format;

/// The end of a record, and what lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// One past the record's line end, counted from the first of the bytes given.
    pub end: usize,
    /// Line ends before `end`, those within quotes included: what a line number grows by.
    pub lines: u64,
}

impl Cut {
    fn at(bytes: &[u8], end: usize) -> Self {
        Self {
            end,
            lines: count_lines(&bytes[..end]),
        }
    }
}

/// Finds ends of records. Holds nothing between calls but memory to work in.
#[derive(Debug)]
pub struct Cutter {
    dialect: Dialect,
    /// Stretches outside quotes, in order.
    outside: Vec<(usize, usize)>,
}

impl Cutter {
    /// A cutter for records of a text format; JSON lines have no quotes that could hold a line end.
    pub fn new(format: &Format) -> Self {
        let dialect = match format {
            Format::Csv(options) => Dialect::new(options),
            _ => Dialect::LINES,
        };
        Self {
            dialect,
            outside: Vec::new(),
        }
    }

    /// The end of the last whole record of `bytes`, which begin with a record; `None` where no record ends in them.
    ///
    /// A `\r` at the very end is left for the next call, since `\n` may follow; at the end of a file what is left is
    /// one last record, whole or with an open quote, and goes into a chunk as it is.
    pub fn last_record_end(&mut self, bytes: &[u8]) -> Option<Cut> {
        if !self.dialect.is_plain() {
            let (mut at, mut last) = (0, None);
            while at < bytes.len() {
                let line = self.dialect.line(bytes, at, |_| ());
                at = line.next;
                last = line.is_ended.then_some(at).or(last);
            }
            return last.map(|end| Cut::at(bytes, end));
        }
        let end = match self
            .dialect
            .quote
            .and_then(|quote| Some((quote, memchr(quote, bytes)?)))
        {
            None => last_line_end(bytes, 0, bytes.len()),
            Some((quote, first)) => {
                self.find_outside(bytes, quote, first);
                self.outside
                    .iter()
                    .rev()
                    .find_map(|&(from, to)| last_line_end(bytes, from, to))
            }
        }?;
        Some(Cut::at(bytes, end))
    }

    /// Whether all of `bytes`, which begin with a record and end a file, are whole records, whatever line end the last has.
    pub fn are_whole(&mut self, bytes: &[u8]) -> bool {
        if !self.dialect.is_plain() {
            let (mut at, mut open) = (0, false);
            while at < bytes.len() {
                let line = self.dialect.line(bytes, at, |_| ());
                (at, open) = (line.next, line.is_open);
            }
            return !open;
        }
        let Some((quote, first)) = self
            .dialect
            .quote
            .and_then(|quote| Some((quote, memchr(quote, bytes)?)))
        else {
            return true;
        };
        self.find_outside(bytes, quote, first);
        self.outside
            .last()
            .is_some_and(|(_, to)| *to == bytes.len())
    }

    /// Whether a line, given without its line end, is a record: neither empty nor a comment.
    pub fn is_record(&self, line: &[u8]) -> bool {
        line.first()
            .is_some_and(|first| self.dialect.comment != Some(*first))
    }

    /// The first record of `bytes`, without its line end, and one past that; at the end of a file it may have none.
    pub fn first_record<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], usize) {
        if !self.dialect.is_plain() {
            let line = self.dialect.line(bytes, 0, |_| ());
            return (&bytes[..line.end], line.next);
        }
        let end = self
            .first_record_end(bytes)
            .map_or(bytes.len(), |cut| cut.end);
        (without_line_end(&bytes[..end]), end)
    }

    /// The end of the first record of `bytes`, which begin with a record; `None` where it does not end in them.
    ///
    /// An empty line counts as a record here. As in [`Self::last_record_end`], a `\r` at the very end is left.
    pub fn first_record_end(&mut self, bytes: &[u8]) -> Option<Cut> {
        if !self.dialect.is_plain() {
            let line = self.dialect.line(bytes, 0, |_| ());
            return line.is_ended.then(|| Cut::at(bytes, line.next));
        }
        let mut from = 0;
        loop {
            let end = from + memchr2(b'\n', b'\r', &bytes[from..])?;
            let closed = match self.dialect.quote {
                Some(quote) => close_after(bytes, quote, self.dialect.delimiter, end),
                None => Some(end),
            }?;
            if closed > end {
                from = closed;
                continue;
            }
            let end = match (bytes[end], bytes.get(end + 1)) {
                (b'\r', None) => return None,
                (b'\r', Some(b'\n')) => end + 2,
                _ => end + 1,
            };
            return Some(Cut::at(bytes, end));
        }
    }

    /// Lists the stretches outside quotes. Outside, a quote opens where a field begins, which the byte before it says.
    fn find_outside(&mut self, bytes: &[u8], quote: u8, first: usize) {
        self.outside.clear();
        let mut from = 0;
        let mut next = Some(first);
        while let Some(at) = next {
            let mut look = at + 1;
            if begins_field(bytes, at, self.dialect.delimiter) {
                self.outside.push((from, at));
                let Some(close) = closing(bytes, quote, look) else {
                    return;
                };
                from = close + 1;
                look = from;
            }
            next = memchr(quote, &bytes[look..]).map(|found| look + found);
        }
        self.outside.push((from, bytes.len()));
    }
}

/// Number of line ends (`\n`, `\r\n` or `\r` alone).
pub fn count_lines(bytes: &[u8]) -> u64 {
    let mut lines = memchr_iter(b'\n', bytes).count();
    if let Some(first) = memchr(b'\r', bytes) {
        lines += memchr_iter(b'\r', &bytes[first..])
            .filter(|at| bytes.get(first + at + 1) != Some(&b'\n'))
            .count();
    }
    u64::try_from(lines).expect("a length fits into 64 bits")
}

/// The first line end from `from` on, or the end of the bytes.
pub(super) fn line_end(bytes: &[u8], from: usize) -> usize {
    memchr2(b'\n', b'\r', &bytes[from..]).map_or(bytes.len(), |found| from + found)
}

/// A record without its line end.
pub fn without_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// One past the last line end that begins in `from..to`.
fn last_line_end(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut to = to;
    loop {
        let at = from + memrchr2(b'\n', b'\r', &bytes[from..to])?;
        match (bytes[at], bytes.get(at + 1)) {
            (b'\n', _) => return Some(at + 1),
            (_, Some(b'\n')) => return Some(at + 2),
            (_, Some(_)) => return Some(at + 1),
            // `\r` at the very end.
            (_, None) => to = at,
        }
    }
}

/// Whether a field begins at `at`, given that `at` is outside quotes and not the byte after a closing quote.
fn begins_field(bytes: &[u8], at: usize, delimiter: u8) -> bool {
    at == 0 || matches!(bytes[at - 1], b'\n' | b'\r') || bytes[at - 1] == delimiter
}

/// The quote that closes what was opened before `from`.
fn closing(bytes: &[u8], quote: u8, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let at = from + memchr(quote, bytes.get(from..)?)?;
        if bytes.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        from = at + 2;
    }
}

/// `end` where no quotes of the record that begins with `bytes` are open there; else a place after `end` from which to
/// look on, or `None` where the quotes do not close.
fn close_after(bytes: &[u8], quote: u8, delimiter: u8, end: usize) -> Option<usize> {
    let mut look = 0;
    while look < end {
        let Some(at) = memchr(quote, &bytes[look..end]).map(|found| look + found) else {
            break;
        };
        if begins_field(bytes, at, delimiter) {
            let close = closing(bytes, quote, at + 1)?;
            if close > end {
                return Some(close + 1);
            }
            look = close + 1;
        } else {
            look = at + 1;
        }
    }
    Some(end)
}
