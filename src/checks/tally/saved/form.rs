//! Numbers, texts and values as bytes that are short and the same on every machine.
//!
//! A whole number is its bits seven at a time, least first, each byte but the last with its top bit set (LEB128, as in DWARF
//! and WebAssembly); signs are folded in below (0, −1, 1, −2, …), so that small numbers are short. Doubles are their eight
//! bytes, least first. A text is its length and its bytes. A null value is 0; others are 1 and what the type asks for.
//!
//! The check value is taken of blocks of [`BLOCK`] bytes: c = mix(c ^ hash(block)), from 0. A byte that was changed changes
//! the hash of its block, and with it c, for certain; other damage with all but certainty.

use std::io::{self, Write};

use arrow_schema::DataType;

use super::Broken;
use crate::checks::stats::{Accumulator, Sum};
use crate::checks::value::Value;
use crate::checks::variance::{Baseline, UNKNOWN};
use crate::cluster::exchange::{hash_bytes, mix};

/// Bytes that are hashed and handed on together: as many as a level-two cache keeps.
const BLOCK: usize = 1 << 16;

/// Bytes of the check value.
const CHECK: usize = size_of::<u64>();

/// Puts state into bytes.
pub(in crate::checks) struct Writer<'a, W> {
    out: &'a mut W,
    /// What was not handed on yet.
    pending: Vec<u8>,
    check: u64,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(in crate::checks) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            pending: Vec::with_capacity(2 * BLOCK),
            check: 0,
        }
    }

    /// Hands on what fills blocks.
    pub(in crate::checks) fn flush_blocks(&mut self) -> io::Result<()> {
        let whole = self.pending.len() / BLOCK * BLOCK;
        for block in self.pending[..whole].chunks_exact(BLOCK) {
            self.check = next_check(self.check, block);
            self.out.write_all(block)?;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    /// Hands on the rest, and the check value.
    pub(in crate::checks) fn finish(mut self) -> io::Result<()> {
        self.flush_blocks()?;
        if !self.pending.is_empty() {
            self.check = next_check(self.check, &self.pending);
        }
        self.pending.extend_from_slice(&self.check.to_le_bytes());
        self.out.write_all(&self.pending)
    }

    pub(in crate::checks) fn byte(&mut self, byte: u8) {
        self.pending.push(byte);
    }

    pub(in crate::checks) fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(low_byte(value) | 0x80);
            value >>= 7;
        }
        self.byte(low_byte(value));
    }

    pub(in crate::checks) fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(in crate::checks) fn wide(&mut self, value: i128) {
        let mut folded = ((value << 1) ^ (value >> 127)).cast_unsigned();
        loop {
            match u64::try_from(folded) {
                Ok(rest) => return self.uint(rest),
                Err(_) => self.byte(u8::try_from(folded & 0x7F).expect("seven bits") | 0x80),
            }
            folded >>= 7;
        }
    }

    pub(in crate::checks) fn count(&mut self, count: usize) {
        self.uint(u64::try_from(count).expect("a length has 64 bits at most"));
    }

    pub(in crate::checks) fn double(&mut self, value: f64) {
        self.pending
            .extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(in crate::checks) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.pending.extend_from_slice(text.as_bytes());
    }

    pub(in crate::checks) fn value(&mut self, value: &Value) {
        self.byte(u8::from(*value != Value::Null));
        match value {
            Value::Null => {}
            Value::Int(value) => self.int(*value),
            Value::Wide(value) => self.wide(*value),
            Value::Text(text) => self.text(text),
        }
    }

    pub(in crate::checks) fn accumulator(&mut self, accumulator: &Accumulator) {
        match accumulator {
            Accumulator::Count(n) => self.int(*n),
            Accumulator::Sum(sum) => self.sum(sum),
            Accumulator::Moments(moments) => {
                self.sum(&moments.first);
                for word in moments.squares.words() {
                    self.uint(word);
                }
            }
            Accumulator::Least(value) | Accumulator::Greatest(value) => self.value(value),
            Accumulator::Distinct(distinct) => self.text(&distinct.to_text()),
            Accumulator::Sketch(sketch) => self.text(&sketch.to_text()),
        }
    }

    /// Its first window as one that may be there; then the windows, each start as what is between it and the one before.
    pub(in crate::checks) fn baseline(&mut self, baseline: &Baseline) {
        self.byte(u8::from(baseline.first().is_some()));
        if let Some(first) = baseline.first() {
            self.int(first);
        }
        self.count(baseline.windows().len());
        let mut before = 0_i64;
        for (start, statistic) in baseline.windows() {
            self.int(start.wrapping_sub(before));
            before = start;
            self.double(statistic);
        }
    }

    fn sum(&mut self, sum: &Sum) {
        self.int(sum.n);
        self.int(sum.wide);
        self.wide(sum.sum);
    }
}

fn next_check(check: u64, block: &[u8]) -> u64 {
    mix(check ^ hash_bytes(block))
}

/// What these bytes give when they are all.
pub(in crate::checks) fn check_of(bytes: &[u8]) -> u64 {
    bytes.chunks(BLOCK).fold(0, next_check)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "keeps the low bits, which is what it is for; try_from would refuse"
)]
fn low_byte(value: u64) -> u8 {
    value as u8
}

/// Takes state from bytes, front to back.
pub(in crate::checks) struct Reader<'a> {
    /// Without the check value.
    bytes: &'a [u8],
    at: usize,
    version: u8,
}

impl<'a> Reader<'a> {
    /// Behind the version byte; the check value is held against all bytes.
    pub(in crate::checks) fn new(bytes: &'a [u8]) -> Result<Self, Broken> {
        let short = Broken::Short { at: bytes.len() };
        let (&version, _) = bytes.split_first().ok_or_else(|| short.clone())?;
        if !(super::WITHOUT_CONTENT..=super::VERSION).contains(&version) {
            return Err(Broken::Version { found: version });
        }
        let (bytes, check) = bytes.split_last_chunk::<CHECK>().ok_or(short)?;
        let (reckoned, found) = (check_of(bytes), u64::from_le_bytes(*check));
        if reckoned != found {
            return Err(Broken::Check { reckoned, found });
        }
        Ok(Self {
            bytes,
            at: 1,
            version,
        })
    }

    /// Whether it says what it holds of the segments.
    pub(in crate::checks) fn has_content(&self) -> bool {
        self.version >= super::WITHOUT_STARTS
    }

    /// Whether its baselines say when their windows started.
    pub(in crate::checks) fn has_starts(&self) -> bool {
        self.version > super::WITHOUT_STARTS
    }

    /// Whether it says where the data begin and end.
    pub(super) fn has_ends(&self) -> bool {
        self.version > super::WITHOUT_ENDS
    }

    /// A baseline of so many windows at most.
    pub(in crate::checks) fn baseline(&mut self, most: usize) -> Result<Baseline, Broken> {
        let has_starts = self.has_starts();
        let first = (has_starts && self.flag()?)
            .then(|| self.int())
            .transpose()?;
        let count = self.count(size_of::<f64>())?;
        if count > most {
            return Err(self.wrong(format!(
                "a baseline has {count} windows, and {most} at most"
            )));
        }
        let mut windows: Vec<(i64, f64)> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = windows.last().map(|(start, _)| *start);
            let start = if has_starts {
                before.unwrap_or(0).wrapping_add(self.int()?)
            } else {
                UNKNOWN
            };
            if before.is_some_and(|before| start < before || start == before && start != UNKNOWN) {
                return Err(self.wrong(format!(
                    "a window of a baseline starts at {start} µs, behind {before:?}"
                )));
            }
            windows.push((start, self.double()?));
        }
        Ok(Baseline::of(first, windows))
    }

    /// Makes sure that nothing is left.
    pub(in crate::checks) fn end(&self) -> Result<(), Broken> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.wrong(format!("{left} bytes follow the last segment"))),
        }
    }

    /// What is wrong at the last byte that was read.
    pub(in crate::checks) fn wrong(&self, what: String) -> Broken {
        let at = self.at.saturating_sub(1);
        Broken::Content { at, what }
    }

    pub(in crate::checks) fn byte(&mut self) -> Result<u8, Broken> {
        let short = Broken::Short {
            at: self.bytes.len(),
        };
        let byte = *self.bytes.get(self.at).ok_or(short)?;
        self.at += 1;
        Ok(byte)
    }

    /// One of 0 and 1.
    pub(in crate::checks) fn flag(&mut self) -> Result<bool, Broken> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.wrong(format!("{other} stands where 0 or 1 does"))),
        }
    }

    pub(in crate::checks) fn uint(&mut self) -> Result<u64, Broken> {
        let value = self.folded(u64::BITS)?;
        Ok(u64::try_from(value).expect("it was read with 64 bits at most"))
    }

    pub(in crate::checks) fn int(&mut self) -> Result<i64, Broken> {
        let folded = self.uint()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    pub(in crate::checks) fn wide(&mut self) -> Result<i128, Broken> {
        let folded = self.folded(u128::BITS)?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// The number of things of `bytes` bytes at least, for which there must be room.
    pub(in crate::checks) fn count(&mut self, bytes: usize) -> Result<usize, Broken> {
        let said = self.uint()?;
        let left = self.left();
        usize::try_from(said)
            .ok()
            .filter(|count| count.saturating_mul(bytes) <= left)
            .ok_or_else(|| {
                self.wrong(format!(
                    "{said} of {bytes} bytes or more are said to follow where {left} bytes do"
                ))
            })
    }

    pub(in crate::checks) fn double(&mut self) -> Result<f64, Broken> {
        let bytes = self.bytes[self.at..].first_chunk();
        let bytes = bytes.ok_or(Broken::Short {
            at: self.bytes.len(),
        })?;
        self.at += bytes.len();
        Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    pub(in crate::checks) fn text(&mut self) -> Result<&'a str, Broken> {
        let length = self.count(1)?;
        let bytes = &self.bytes[self.at..][..length];
        let text = std::str::from_utf8(bytes)
            .map_err(|fault| self.wrong(format!("a text is no UTF-8: {fault}")))?;
        self.at += length;
        Ok(text)
    }

    /// A value of this type, one of those of the job file.
    pub(in crate::checks) fn value(&mut self, data_type: &DataType) -> Result<Value, Broken> {
        if !self.flag()? {
            return Ok(Value::Null);
        }
        let range = match data_type {
            DataType::Utf8 => return Ok(Value::Text(self.text()?.into())),
            DataType::Decimal128(..) => return self.wide().map(Value::Wide),
            DataType::Boolean => 0..=1,
            DataType::Int16 => i64::from(i16::MIN)..=i64::from(i16::MAX),
            DataType::Int32 | DataType::Date32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
            _ => i64::MIN..=i64::MAX,
        };
        let value = self.int()?;
        if !range.contains(&value) {
            return Err(self.wrong(format!("{value} is no {data_type}")));
        }
        Ok(Value::Int(value))
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn folded(&mut self, bits: u32) -> Result<u128, Broken> {
        let mut value = 0;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7F);
            if shift + 7 > bits && part >> (bits - shift) != 0 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.wrong(format!("a number has more than {bits} bits")))
    }
}
