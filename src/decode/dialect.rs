//! The characters that structure delimited text, and the careful way through it, one line after another.
//!
//! [`super::split`] and [`super::cut`] find the structure of plain dialects (delimiter, quote, any line end) with vector
//! code. What they don't know – an escape, comment lines, one kind of line end only – is walked here, byte by byte; which
//! way is taken is decided once for a source. The text of a single field is also read here, for both ways.
//!
//! - A quote counts only where a field begins; within quotes two quotes are one. Text between a closing quote and the next
//!   delimiter or line end is a fault of the record: it is never joined with what was quoted.
//! - An escape takes their meaning from the delimiter, the quote, the comment character, a line end and itself, within
//!   quotes and outside. Before any other byte it is a byte like others: `C:\new` and `\N` stay what they are.
//! - A line that begins with the comment character outside quotes is no record, like an empty line.

use memchr::{memchr, memchr2};

use crate::job::plan::{CsvOptions, LineEnd};

/// The characters of structure of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) line_end: LineEnd,
}

/// What a walk over one line found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Where its line end begins, or the end of the bytes.
    pub(super) end: usize,
    /// One past its line end.
    pub(super) next: usize,
    /// Whether it is a record: neither empty nor a comment.
    pub(super) is_record: bool,
    /// Whether its line end is among the bytes for certain; a `\r` at their very end may be half of one.
    pub(super) is_ended: bool,
    /// Whether a quote is open at the end of the bytes.
    pub(super) is_open: bool,
    /// First byte of text after a closing quote.
    pub(super) stray: Option<usize>,
}

impl Dialect {
    /// One field a line.
    pub(super) const LINES: Self = Self {
        delimiter: b'\n',
        quote: None,
        escape: None,
        comment: None,
        line_end: LineEnd::Any,
    };

    /// That of a source's options.
    pub(super) fn new(options: &CsvOptions) -> Self {
        Self {
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            comment: options.comment,
            line_end: options.line_end,
        }
    }

    /// Whether the vector code knows it.
    pub(super) fn is_plain(self) -> bool {
        self.escape.is_none() && self.comment.is_none() && self.line_end == LineEnd::Any
    }

    /// Walks the line that begins at `start`; `ends` takes the end of each of its fields.
    pub(super) fn line(self, bytes: &[u8], start: usize, mut ends: impl FnMut(usize)) -> Line {
        let comment = self.comment.is_some() && bytes.get(start).copied() == self.comment;
        let mut line = Line {
            end: bytes.len(),
            next: bytes.len(),
            is_record: !comment && start < bytes.len(),
            is_ended: false,
            is_open: false,
            stray: None,
        };
        let (mut at, mut begins, mut closed) = (start, true, false);
        while let Some(&byte) = bytes.get(at) {
            if line.is_open {
                if let Some(skip) = self.escaped(bytes, at) {
                    at += skip;
                } else if Some(byte) != self.quote {
                    at += 1;
                } else if bytes.get(at + 1).copied() == self.quote {
                    at += 2;
                } else {
                    (line.is_open, closed) = (false, true);
                    at += 1;
                }
                continue;
            }
            if let Some(next) = self.line_end_at(bytes, at) {
                ends(at);
                line.end = at;
                line.next = next;
                line.is_ended = byte != b'\r' || at + 1 < bytes.len();
                line.is_record &= at > start;
                return line;
            }
            if comment {
                at += 1;
                continue;
            }
            if byte == self.delimiter {
                ends(at);
                (begins, closed) = (true, false);
                at += 1;
                continue;
            }
            if begins && Some(byte) == self.quote {
                (line.is_open, begins) = (true, false);
                at += 1;
                continue;
            }
            if closed && line.stray.is_none() {
                line.stray = Some(at);
            }
            begins = false;
            at += self.escaped(bytes, at).unwrap_or(1);
        }
        ends(bytes.len());
        line
    }

    /// One past the line end that begins at `at`.
    fn line_end_at(self, bytes: &[u8], at: usize) -> Option<usize> {
        let pair = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
        match (bytes[at], self.line_end) {
            (b'\r', _) if pair => Some(at + 2),
            (b'\n', LineEnd::Any | LineEnd::Lf) | (b'\r', LineEnd::Any | LineEnd::Cr) => {
                Some(at + 1)
            }
            _ => None,
        }
    }

    /// Bytes of the escape at `at` and of what it takes the meaning from.
    fn escaped(self, bytes: &[u8], at: usize) -> Option<usize> {
        if self.escape != Some(bytes[at]) {
            return None;
        }
        let next = *bytes.get(at + 1)?;
        let marks = [self.quote, self.escape, self.comment];
        if next == b'\r' && bytes.get(at + 2) == Some(&b'\n') {
            Some(3)
        } else if next == self.delimiter
            || matches!(next, b'\n' | b'\r')
            || marks.contains(&Some(next))
        {
            Some(2)
        } else {
            None
        }
    }

    /// The dialect without the marks that are not among `bytes`, so that nobody looks for them there.
    pub(super) fn within(mut self, bytes: &[u8]) -> Self {
        let is_there = |mark: &u8| memchr(*mark, bytes).is_some();
        self.quote = self.quote.filter(is_there);
        self.escape = self.escape.filter(is_there);
        self
    }

    /// The text of a field, and whether it is quoted. What follows a closing quote comes as it stands: records that have
    /// such fields are refused as a whole.
    pub(super) fn text<'a>(self, raw: &'a [u8], scratch: &'a mut Vec<u8>) -> (&'a [u8], bool) {
        let quote = self.quote.filter(|quote| raw.first() == Some(quote));
        if self
            .escape
            .is_some_and(|escape| memchr(escape, raw).is_some())
        {
            return (self.unescaped(raw, quote, scratch), quote.is_some());
        }
        let Some(quote) = quote else {
            return (raw, false);
        };
        let inner = &raw[1..];
        // Most quoted fields have no quote but the one that closes them.
        if let Some(close) = memchr(quote, inner)
            && close + 1 == inner.len()
        {
            return (&inner[..close], true);
        }
        scratch.clear();
        let mut rest = inner;
        while let Some(at) = memchr(quote, rest) {
            scratch.extend_from_slice(&rest[..at]);
            if rest.get(at + 1) == Some(&quote) {
                scratch.push(quote);
                rest = &rest[at + 2..];
            } else {
                rest = &rest[at + 1..];
                break;
            }
        }
        scratch.extend_from_slice(rest);
        (scratch.as_slice(), true)
    }

    #[cold]
    fn unescaped<'a>(self, raw: &[u8], quote: Option<u8>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        let mut open = quote.is_some();
        let mut at = usize::from(open);
        while let Some(&byte) = raw.get(at) {
            if let Some(skip) = self.escaped(raw, at) {
                scratch.extend_from_slice(&raw[at + 1..at + skip]);
                at += skip;
            } else if open && quote == Some(byte) {
                if raw.get(at + 1) == Some(&byte) {
                    scratch.push(byte);
                    at += 1;
                } else {
                    open = false;
                }
                at += 1;
            } else {
                scratch.push(byte);
                at += 1;
            }
        }
        scratch
    }

    /// Whether text follows the closing quote of a field.
    pub(super) fn is_stray(self, raw: &[u8]) -> bool {
        self.quote.is_some_and(|quote| raw.first() == Some(&quote))
            && self.line(raw, 0, |_| ()).stray.is_some()
    }

    /// The fields of one record as they stand; it comes without its line end.
    pub(super) fn fields(self, record: &[u8]) -> Vec<&[u8]> {
        let mut fields = Vec::new();
        let mut begin = 0;
        self.line(record, 0, |end| {
            fields.push(&record[begin..end]);
            begin = end + 1;
        });
        fields
    }
}

/// One past the first physical line end of `bytes`, whatever is quoted; `None` where there is none, or a `\r` at the very
/// end that may be half of one.
pub fn first_line_end(bytes: &[u8]) -> Option<usize> {
    let at = memchr2(b'\n', b'\r', bytes)?;
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', None) => None,
        (b'\r', Some(b'\n')) => Some(at + 2),
        _ => Some(at + 1),
    }
}
