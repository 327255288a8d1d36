//! The text of one file: decompressed, turned into UTF-8, without the lines at its end that the job skips.
//!
//! Lines at the end are held back until the end is known, so that cutting and decoding never meet them. They are physical
//! lines, whatever is quoted in them: what stands there is no data, and need not be whole.

use std::io::{Error, Read};

use memchr::memrchr2;

use super::feed::length;
use crate::record::{Encoding, Transcoder};

/// Bytes of a file read at a time where they are turned into UTF-8.
const BLOCK_BYTES: usize = 1 << 16;

/// A file's text as it is read.
pub(super) struct TextInput {
    input: Box<dyn Read + Send>,
    /// Absent where the text is UTF-8 already.
    transcoder: Option<Transcoder>,
    /// Bytes of the file that were read before the encoding was known.
    looked_at: Vec<u8>,
    /// Lines at the end that are held back.
    skip_last: u64,
    /// What is held back; begins at a line.
    held: Vec<u8>,
    /// Lines at the end that were taken away.
    pub(super) skipped: u64,
    /// Whether all was read.
    pub(super) ended: bool,
}

impl TextInput {
    /// Looks for a byte order mark, which decides over `declared`. Gives the encoding and the mark's length, too.
    pub(super) fn open(
        mut input: Box<dyn Read + Send>,
        declared: Encoding,
        skip_last: u64,
    ) -> Result<(Self, Encoding, usize), Error> {
        let mut first = [0; 3];
        let read = super::open::read_full(input.as_mut(), &mut first)?;
        let (encoding, mark) = Encoding::of_mark(&first[..read]).unwrap_or((declared, 0));
        let text = Self {
            looked_at: first[mark.min(read)..read].to_vec(),
            skip_last,
            ..Self::of(input, encoding)
        };
        Ok((text, encoding, mark))
    }

    /// Text that begins with `input`, whose encoding is known.
    pub(super) fn of(input: Box<dyn Read + Send>, encoding: Encoding) -> Self {
        Self {
            input,
            transcoder: (encoding != Encoding::Utf8).then(|| Transcoder::new(encoding)),
            looked_at: Vec::new(),
            skip_last: 0,
            held: Vec::new(),
            skipped: 0,
            ended: false,
        }
    }

    /// Adds at least one byte to `text`, and about `bytes`, unless the end is reached.
    pub(super) fn read_more(&mut self, text: &mut Vec<u8>, bytes: usize) -> Result<(), Error> {
        if self.skip_last == 0 {
            return self.read(text, bytes);
        }
        let before = text.len();
        while !self.ended && text.len() == before {
            let mut held = std::mem::take(&mut self.held);
            let read = self.read(&mut held, bytes);
            self.held = held;
            read?;
            let (keep, lines) = last_lines(&self.held, self.skip_last);
            if self.ended {
                self.skipped = lines.min(self.skip_last);
                self.held.truncate(keep);
                text.append(&mut self.held);
            } else if lines > self.skip_last {
                text.extend(self.held.drain(..keep));
            }
        }
        Ok(())
    }

    fn read(&mut self, text: &mut Vec<u8>, bytes: usize) -> Result<(), Error> {
        let Some(transcoder) = &mut self.transcoder else {
            text.reserve(bytes);
            let looked_at = std::mem::take(&mut self.looked_at);
            text.extend_from_slice(&looked_at);
            let wanted = bytes.saturating_sub(looked_at.len()).max(1);
            let read = (&mut self.input).take(length(wanted)).read_to_end(text)?;
            self.ended = read < wanted;
            return Ok(());
        };
        let wanted = text.len() + bytes;
        let mut block = std::mem::take(&mut self.looked_at);
        while !self.ended && text.len() < wanted {
            let size = BLOCK_BYTES.min(wanted - text.len());
            let read = (&mut self.input).take(length(size)).read_to_end(&mut block);
            // What came before an error counts: it may be that no more is here yet.
            transcoder.push(&block, text);
            block.clear();
            if read? < size {
                self.ended = true;
                transcoder.finish(text);
            }
        }
        Ok(())
    }
}

/// Where the last `most` lines with something in them begin, and how many such lines there are, up to one more than that.
fn last_lines(text: &[u8], most: u64) -> (usize, u64) {
    let (mut lines, mut begin, mut end) = (0, text.len(), text.len());
    loop {
        // An empty line, or the line end of the line before.
        let start = memrchr2(b'\n', b'\r', &text[..end]).map_or(0, |at| at + 1);
        if start < end {
            lines += 1;
            if lines > most {
                return (begin, lines);
            }
            begin = start;
        }
        if start == 0 {
            return (begin, lines);
        }
        end = start - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left and how many lines were skipped, read in pieces.
    fn read(text: &[u8], encoding: Encoding, skip_last: u64, bytes: usize) -> (Vec<u8>, u64) {
        let input = Box::new(std::io::Cursor::new(text.to_vec()));
        let (mut input, ..) = TextInput::open(input, encoding, skip_last).unwrap();
        let mut read = Vec::new();
        while !input.ended {
            input.read_more(&mut read, bytes).unwrap();
        }
        (read, input.skipped)
    }

    #[test]
    fn last_lines_are_taken_away_whatever_the_pieces() {
        for (text, most, left, skipped) in [
            ("a\nb\nc\n", 1, "a\nb\n", 1),
            ("a\nb\nc", 1, "a\nb\n", 1),
            ("a\r\nb\r\nc\r\n\r\n\r\n", 2, "a\r\n", 2),
            ("a\rb\rc\r", 1, "a\rb\r", 1),
            ("a\n\"b\nc\n", 1, "a\n\"b\n", 1),
            ("a\n\n\nb", 1, "a\n\n\n", 1),
            ("a\nb\n", 2, "", 2),
            ("a\n", 3, "", 1),
            ("", 1, "", 0),
            ("\n\n", 1, "\n\n", 0),
            ("a\nb\n", 0, "a\nb\n", 0),
        ] {
            for bytes in 1..9 {
                let (read, lines) = read(text.as_bytes(), Encoding::Utf8, most, bytes);
                assert_eq!(
                    (str::from_utf8(&read).unwrap(), lines),
                    (left, skipped),
                    "{text:?} without {most}, {bytes} at a time"
                );
            }
        }
    }

    #[test]
    fn a_mark_decides_over_what_is_declared() {
        let latin = Encoding::by_label("latin1").unwrap();
        for (bytes, declared, text) in [
            (&b"\xEF\xBB\xBF\xC3\xB1"[..], latin, "ñ"),
            (b"\xFF\xFE\xF1\0", Encoding::Utf8, "ñ"),
            (b"\xFE\xFF\0\xF1", Encoding::Utf16Le, "ñ"),
            (b"\xF1", latin, "ñ"),
            (b"\xF1\0", Encoding::Utf16Le, "ñ"),
            (b"a", Encoding::Utf8, "a"),
            (b"", Encoding::Utf8, ""),
            (b"\xFF\xFE", Encoding::Utf8, ""),
        ] {
            for pieces in 1..5 {
                assert_eq!(read(bytes, declared, 0, pieces).0, text.as_bytes());
            }
        }
    }
}
