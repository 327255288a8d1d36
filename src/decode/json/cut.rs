//! Where records begin and end that are no lines: the elements of one array, or objects one after another.
//!
//! Brackets are matched and strings passed over; whether a record is JSON is asked later, by the decoder, which comes here
//! for the ends of records that are none. What can be cut can therefore always be read on:
//!
//! - A value in brackets ends with the bracket that closes it. Anything else ends before the next comma or bracket.
//! - A bracket that closes another kind, or a line end in a string, breaks a record. It then ends where one that looks
//!   like it begins: an object with the same first name, behind a comma and as far from the beginning of its line (or
//!   behind `},` on a line with others), or without an array at the beginning of a line. The bytes up to there are one
//!   refused record. In an array without line ends an object in a broken record can pass for a record by this.
//! - A record that is still open at the end of the file, or longer than a record may be, is broken in the same way.

use memchr::{memchr3, memmem, memrchr};

/// Finds records.
#[derive(Debug)]
pub struct Elements {
    array: bool,
    /// Brackets that are open, as the bytes that close them.
    open: Vec<u8>,
}

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A record, whole or broken for good. An element that is missing is empty.
    Record {
        /// Its first byte.
        start: usize,
        /// One past its last byte.
        end: usize,
    },
    /// The array's end.
    Close {
        /// One past its bracket.
        end: usize,
    },
    /// A record that begins and does not end.
    Open {
        /// Its first byte.
        start: usize,
    },
    /// Nothing but blanks, and what may stand between records.
    Nothing,
}

/// How the brackets of a value match.
enum Matched {
    /// One past the bracket that closes it.
    End(usize),
    /// There are too few bytes.
    Open,
    /// They don't.
    Broken,
}

impl Elements {
    /// Finds the elements of an `array`, else objects one after another.
    pub fn new(array: bool) -> Self {
        Self {
            array,
            open: Vec::new(),
        }
    }

    /// The first record from `at` on, which is the beginning of the bytes or the end of a record. What separates records
    /// stands before each but the first of the file, which stands behind the array's bracket.
    pub fn next(&mut self, bytes: &[u8], at: usize) -> Found {
        let mut start = blanks(bytes, at);
        let mut separated = false;
        if self.array {
            let opens = start == 0 && bytes.first() == Some(&b'[');
            if opens || bytes.get(start) == Some(&b',') {
                separated = !opens;
                start = blanks(bytes, start + 1);
            }
            match bytes.get(start) {
                Some(b']') if !separated => return Found::Close { end: start + 1 },
                Some(b']' | b',') => return Found::Record { start, end: start },
                _ => {}
            }
        }
        if start >= bytes.len() {
            return Found::Nothing;
        }
        match self.find_end(bytes, start) {
            Some(end) => Found::Record { start, end },
            None => Found::Open { start },
        }
    }

    /// The end of the record that begins at `start`, or of the bytes.
    pub fn end(&mut self, bytes: &[u8], start: usize) -> usize {
        if self.array && matches!(bytes.get(start), Some(b']' | b',')) {
            return start;
        }
        // What breaks the record may stand behind the bytes: the line end of a string, the next record.
        let end = if bytes[start] == b'"' && string_is_open(bytes, start) {
            self.stop(bytes, start, start + 1)
        } else {
            self.find_end(bytes, start)
        };
        end.or_else(|| self.next_alike(bytes, start))
            .unwrap_or_else(|| trimmed(bytes, start, bytes.len()))
    }

    /// One past the last byte of the broken record that begins at `start`, where another begins behind it.
    pub fn next_alike(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let alike = head(bytes, start)?;
        let begins = indent(bytes, start);
        memmem::find_iter(&bytes[start + 1..], alike)
            .map(|found| start + 1 + found)
            .find_map(|at| {
                let end = trimmed(bytes, start, at);
                if !self.array {
                    // What stands before the first of a chunk can't be asked, so the beginning of a line must do.
                    return (bytes[at - 1] == b'\n').then_some(end);
                }
                let comma = end.checked_sub(1).filter(|at| bytes[*at] == b',')?;
                let end = trimmed(bytes, start, comma);
                // On a line with others, what ends before it must be an object at least.
                let alike = begins.is_some() || bytes[end - 1] == b'}';
                (alike && indent(bytes, at) == begins).then_some(end)
            })
    }

    fn find_end(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        if !matches!(bytes[start], b'{' | b'[') {
            return self.bare_end(bytes, start);
        }
        match self.matching(bytes, start) {
            Matched::End(end) => Some(end),
            Matched::Open => None,
            Matched::Broken => self.next_alike(bytes, start),
        }
    }

    /// The end of something without brackets, which no record is.
    fn bare_end(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let mut at = start;
        if bytes[at] == b'"' {
            match string_end(bytes, at + 1) {
                StringEnd::At(end) => at = end + 1,
                StringEnd::Line => at += 1,
                StringEnd::Open => return None,
            }
        } else {
            at += 1;
        }
        self.stop(bytes, start, at)
    }

    /// The end of what begins at `start` and has no brackets, the first `at - start` bytes of which stop nothing.
    fn stop(&self, bytes: &[u8], start: usize, at: usize) -> Option<usize> {
        let stops = |byte: &u8| match byte {
            b'{' | b'[' | b'\n' | b'\r' => true,
            b',' | b']' => self.array,
            _ => false,
        };
        let length = bytes[at..].iter().position(stops)?;
        Some(trimmed(bytes, start, at + length))
    }

    /// Matches the brackets of the value that begins at `start`.
    fn matching(&mut self, bytes: &[u8], start: usize) -> Matched {
        self.open.clear();
        let mut at = start;
        loop {
            let Some(rest) = bytes.get(at..) else {
                return Matched::Open;
            };
            let Some(found) = rest.iter().position(|byte| IS_MARK[usize::from(*byte)]) else {
                return Matched::Open;
            };
            at += found;
            match bytes[at] {
                b'"' => match string_end(bytes, at + 1) {
                    StringEnd::At(end) => at = end,
                    StringEnd::Line => return Matched::Broken,
                    StringEnd::Open => return Matched::Open,
                },
                b'{' => self.open.push(b'}'),
                b'[' => self.open.push(b']'),
                close => {
                    if self.open.pop() != Some(close) {
                        return Matched::Broken;
                    }
                    if self.open.is_empty() {
                        return Matched::End(at + 1);
                    }
                }
            }
            at += 1;
        }
    }
}

/// The bytes that matter outside of strings.
const IS_MARK: [bool; 256] = {
    let mut is_mark = [false; 256];
    is_mark[0x22] = true;
    is_mark[0x5B] = true;
    is_mark[0x5D] = true;
    is_mark[0x7B] = true;
    is_mark[0x7D] = true;
    is_mark
};

/// Where a string ends.
enum StringEnd {
    /// Its closing quote.
    At(usize),
    /// Its line ends before it does, which is no JSON.
    Line,
    /// There are too few bytes.
    Open,
}

/// The end of the string whose text begins at `from`.
fn string_end(bytes: &[u8], from: usize) -> StringEnd {
    let mut at = from;
    while let Some(rest) = bytes.get(at..)
        && let Some(found) = memchr3(b'"', b'\\', b'\n', rest)
    {
        at += found;
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => return StringEnd::At(at),
            (b'\n', _) | (_, Some(b'\n')) => return StringEnd::Line,
            _ => at += 2,
        }
    }
    StringEnd::Open
}

/// Whether the string that begins at `start` does not end in the bytes.
fn string_is_open(bytes: &[u8], start: usize) -> bool {
    matches!(string_end(bytes, start + 1), StringEnd::Open)
}

/// The first byte from `at` that is no blank.
pub fn blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .position(|byte| !is_blank(*byte))
        .unwrap_or(rest.len())
}

/// Whether a byte is what JSON has for blanks.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// `end`, or before it the end of the last byte from `start` on that is no blank.
fn trimmed(bytes: &[u8], start: usize, end: usize) -> usize {
    let text = bytes[start..end].iter().rposition(|byte| !is_blank(*byte));
    text.map_or(start, |last| start + last + 1)
}

/// The beginning of an object up to the end of its first name.
fn head(bytes: &[u8], start: usize) -> Option<&[u8]> {
    if bytes.get(start) != Some(&b'{') {
        return None;
    }
    let quote = blanks(bytes, start + 1);
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    match string_end(bytes, quote + 1) {
        StringEnd::At(end) => Some(&bytes[start..=end]),
        StringEnd::Line | StringEnd::Open => None,
    }
}

/// The blanks between the beginning of a line and `at`; `None` where there is something else.
fn indent(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let line = memrchr(b'\n', &bytes[..at])? + 1;
    let before = &bytes[line..at];
    before.iter().all(|byte| is_blank(*byte)).then_some(before)
}
