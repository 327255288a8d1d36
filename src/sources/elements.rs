//! JSON records that are no lines, cut into chunks: the elements of a file that is one array, or objects one after another.
//!
//! A chunk begins with what separates its first record from the one before, and ends before what separates its last from
//! the next; so the decoder sees a comma that is missing wherever the file is cut. Only the array's `[` begins a chunk,
//! at the file's start. The rules of what a record is are [`Elements`]'s.
//!
//! What is no record comes alone, as [`Chunk::broken`]: a record that is never closed, one that is too long, an array that
//! is not closed at the file's end (`unclosed_array`, at that place), and text behind the array, line by line.
//!
//! Memory: a chunk and one record, which is at most [`MAX_RECORD_BYTES`] long.

use super::files::SourceError;
use super::text::{HEADER_BYTES, KEPT_BYTES, MAX_RECORD_BYTES, TextFile};
use crate::decode::{Elements, Found, blanks, count_lines};
use crate::job::plan::{Format, Records};
use crate::record::Chunk;

/// How far a file of such records is read.
#[derive(Debug)]
pub(super) struct Progress {
    elements: Elements,
    array: bool,
    /// Whether the array is closed, or what closes it can't come any more.
    closed: bool,
}

impl Progress {
    /// The beginning of a file, where its records are no lines.
    pub(super) fn new(format: &Format) -> Option<Self> {
        let Format::Json(options) = format else {
            return None;
        };
        let array = match options.records {
            Records::Lines => return None,
            Records::Array => true,
            Records::Objects => false,
        };
        Some(Self {
            elements: Elements::new(array),
            array,
            closed: !array,
        })
    }
}

/// What of the bytes at hand can be given out.
struct Ready {
    /// Whole records, up to what separates the last from the next.
    end: usize,
    /// Whole records, whatever follows.
    any: usize,
    /// Whether the array ends at `end`.
    closes: bool,
    /// A record that begins and was not taken: its place, and its end where it has one and is too long.
    next: Option<(usize, Option<usize>)>,
}

impl TextFile {
    /// Passes over blanks before the first record; an array must begin there.
    pub(super) fn begin_elements(&mut self, array: bool) -> Result<(), SourceError> {
        self.pass_blanks()?;
        let message = match self.carry.first() {
            Some(b'[') => return Ok(()),
            _ if !array => return Ok(()),
            Some(_) => {
                "the file does not begin with `[`: it is no JSON array (`records = \"lines\"` reads one object a line, \"objects\" any)"
            }
            None => "the file is empty, a JSON array was expected",
        };
        let code = if self.carry.is_empty() {
            "empty_file"
        } else {
            "not_an_array"
        };
        Err(self.bad_header(code, message.to_owned()))
    }

    /// The next chunk of about `bytes`; `None` at the end.
    pub(super) fn next_elements(
        &mut self,
        progress: &mut Progress,
        bytes: usize,
        left: &mut Option<u64>,
    ) -> Result<Option<Chunk>, SourceError> {
        let mut wanted = bytes;
        loop {
            if !self.input.ended && self.carry.len() < wanted {
                self.read_more(wanted - self.carry.len())?;
            }
            if progress.array && progress.closed {
                return self.behind_the_array(left);
            }
            let ready = self.ready(progress, bytes, left);
            let too_long = self.carry.len() > MAX_RECORD_BYTES + 2;
            // Without a separator behind any there is no other place to cut.
            let end = if ready.end == 0 && (too_long || self.input.ended) {
                ready.any
            } else {
                ready.end
            };
            if end > 0 {
                progress.closed |= ready.closes;
                return Ok(Some(self.give(end, None)));
            }
            if !self.input.ended && !too_long {
                wanted = self.carry.len() + bytes.max(self.carry.len() / 2);
                continue;
            }
            let Some((start, end)) = ready.next else {
                if self.input.ended {
                    return self.end_of_file(progress, left);
                }
                let words = format!("{MAX_RECORD_BYTES} bytes without a record");
                let broken = Some(("invalid_json".into(), words));
                return Ok(Some(self.give(MAX_RECORD_BYTES, broken)));
            };
            if let Some(left) = left {
                *left = left.saturating_sub(1);
            }
            return self.give_open(progress, start, end).map(Some);
        }
    }

    /// Looks which records are whole, until they are as many bytes as are `wanted`. Those that are taken count down what is left to read.
    fn ready(&self, progress: &mut Progress, wanted: usize, left: &mut Option<u64>) -> Ready {
        let mut ready = Ready {
            end: 0,
            any: 0,
            closes: false,
            next: None,
        };
        let bytes = self.carry.as_slice();
        // Records read behind `end`.
        let mut behind = 0;
        let mut at = 0;
        while left.is_none_or(|left| left > behind) {
            match progress.elements.next(bytes, at) {
                Found::Record { start, end } => {
                    if end - start > MAX_RECORD_BYTES {
                        ready.next = Some((start, Some(end)));
                        break;
                    }
                    at = end;
                    behind += 1;
                    // An element that is missing is seen by what stands on both sides of it.
                    if start == end {
                        if *left == Some(behind) {
                            ready.end = at + 1;
                            *left = Some(0);
                        }
                        continue;
                    }
                    ready.any = at;
                    let cut = match bytes.get(blanks(bytes, at)) {
                        _ if !progress.array || *left == Some(behind) => true,
                        Some(byte) => matches!(byte, b',' | b']'),
                        None => self.input.ended,
                    };
                    if cut {
                        ready.end = at;
                        if let Some(left) = left {
                            *left -= behind;
                        }
                        behind = 0;
                        // More may lie here than a chunk takes.
                        if at >= wanted {
                            break;
                        }
                    }
                }
                Found::Close { end } => {
                    ready.end = end;
                    ready.closes = true;
                    if let Some(left) = left {
                        *left -= behind;
                    }
                    break;
                }
                Found::Open { start } => {
                    ready.next = Some((start, None));
                    break;
                }
                Found::Nothing => break,
            }
        }
        ready
    }

    /// Gives out a record that begins at `start` and is not whole, or too long.
    fn give_open(
        &mut self,
        progress: &mut Progress,
        start: usize,
        end: Option<usize>,
    ) -> Result<Chunk, SourceError> {
        // What stands before the record tells how far it is from the beginning of its line.
        let end = end.or_else(|| progress.elements.next_alike(&self.carry, start));
        let words = match end {
            Some(end) if end - start <= MAX_RECORD_BYTES => {
                "it is not closed before the next one begins"
            }
            None if self.input.ended && self.carry.len() - start <= MAX_RECORD_BYTES => {
                progress.closed = true;
                "the file ends before it does"
            }
            _ => return self.give_long_record(progress, start, end),
        };
        let end = end.unwrap_or(self.carry.len());
        let lines = count_lines(&self.carry[..start]);
        self.consume(start, lines);
        let broken = Some(("invalid_json".into(), words.to_owned()));
        Ok(self.give(end - start, broken))
    }

    /// Gives out the beginning of a record that is too long, and passes over the rest of it without keeping it.
    fn give_long_record(
        &mut self,
        progress: &mut Progress,
        start: usize,
        end: Option<usize>,
    ) -> Result<Chunk, SourceError> {
        let lines = count_lines(&self.carry[..start]);
        let kept_to = start + KEPT_BYTES;
        let kept = self.carry[start..kept_to].to_vec();
        let (mut passed, mut lines_passed) = (0, 0);
        let past = loop {
            if let Some(end) = end.or_else(|| progress.elements.next_alike(&self.carry, start)) {
                break end;
            }
            if self.input.ended {
                progress.closed = true;
                break self.carry.len();
            }
            // Its beginning stays, so that the next one like it can be looked for, and so does the end: what it begins with
            // may stand across two pieces.
            let from = self.carry.len() - KEPT_BYTES;
            if from > kept_to {
                lines_passed += count_lines(&self.carry[kept_to..from]);
                passed += self.in_file(&self.carry[kept_to..from]);
                self.carry.drain(kept_to..from);
            }
            self.read_more(MAX_RECORD_BYTES)?;
        };
        let words = format!(
            "a record of {} bytes; at most {MAX_RECORD_BYTES} are read, and its first {KEPT_BYTES} are kept",
            passed + self.in_file(&self.carry[start..past])
        );
        lines_passed += count_lines(&self.carry[start..past]);
        self.consume(start, lines);
        let chunk = self.chunk(kept, Some(("record_too_long".into(), words)));
        self.consume(past - start, lines_passed);
        self.offset += passed;
        Ok(chunk)
    }

    /// Nothing but blanks is left, and perhaps a comma; an array should have been closed.
    fn end_of_file(
        &mut self,
        progress: &mut Progress,
        left: &mut Option<u64>,
    ) -> Result<Option<Chunk>, SourceError> {
        self.pass_blanks()?;
        if std::mem::replace(&mut progress.closed, true) {
            return Ok(None);
        }
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
        let words = "the file ends before the `]` of its array".to_owned();
        let broken = Some(("unclosed_array".into(), words));
        Ok(Some(self.give(self.carry.len(), broken)))
    }

    /// Passes over blanks.
    fn pass_blanks(&mut self) -> Result<(), SourceError> {
        loop {
            let bytes = blanks(&self.carry, 0);
            let lines = count_lines(&self.carry[..bytes]);
            self.consume(bytes, lines);
            if !self.carry.is_empty() || self.input.ended {
                return Ok(());
            }
            self.read_more(HEADER_BYTES)?;
        }
    }

    /// Text behind the array, one line at a time.
    fn behind_the_array(&mut self, left: &mut Option<u64>) -> Result<Option<Chunk>, SourceError> {
        self.pass_blanks()?;
        if self.carry.is_empty() {
            return Ok(None);
        }
        if !self.input.ended && self.carry.len() < KEPT_BYTES {
            self.read_more(KEPT_BYTES)?;
        }
        let look = &self.carry[..self.carry.len().min(KEPT_BYTES)];
        let end = memchr::memchr2(b'\n', b'\r', look).unwrap_or(look.len());
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
        let words = "text behind the end of the array".to_owned();
        Ok(Some(self.give(end, Some(("invalid_json".into(), words)))))
    }
}

#[cfg(test)]
mod tests;
