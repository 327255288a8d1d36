//! Varchar columns: dictionaries while the values repeat, plain texts where they don't.
//!
//! One dictionary grows from chunk to chunk, so that what is worked out for its values can be kept by whoever reads
//! them: its array stays the same (by pointer) until a new value comes. Which of the two forms a chunk gets depends on
//! what came before; what its rows say doesn't.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::OffsetBuffer;

use super::column::{Collect, Judge, Stretch, null_buffer};
use super::json::{Given, Meaning};
use super::kernel::{Bad, tail_word};
use super::scan::narrow;
use crate::job::plan::OnNul;
use crate::record::{Encoding, Fault};

/// Most values of a dictionary. Above it the look-up misses the first-level cache and costs more than a copy.
const MOST_VALUES: usize = 4096;
/// New values that any chunk may have; beyond them, one in eight rows may bring one.
const SPARE_VALUES: usize = 16;
/// Chunks that come as plain texts before a column is tried as a dictionary again.
const PAUSE: u32 = 63;

/// The text has a NUL, which many targets can't store.
const fn nul_in_text(encoding: Option<Encoding>) -> Bad {
    let hint = match encoding {
        Some(_) => "on_nul = \"strip\" takes it out",
        None => "",
    };
    Bad {
        code: "nul_in_text",
        hint,
    }
}

/// What bytes are that are no text in the file's encoding; columnar files have none that could be told.
pub(super) const fn invalid(encoding: Option<Encoding>) -> Bad {
    match encoding {
        Some(Encoding::Utf8) => Bad {
            code: "invalid_utf8",
            hint: "not UTF-8; see `encoding`",
        },
        None => Bad::new("invalid_utf8"),
        Some(Encoding::Utf16Le | Encoding::Utf16Be) => Bad::new("invalid_utf16"),
        Some(Encoding::Page(_)) => Bad::new("invalid_encoding"),
    }
}

/// Collects texts.
#[derive(Debug)]
pub(super) struct Texts {
    judge: Judge,
    /// How the file is written, where it is a text.
    encoding: Option<Encoding>,
    on_nul: OnNul,
    /// Texts that NUL was taken out of.
    stripped: u64,
    dictionary: Dictionary,
    /// Values that the dictionary had when the chunk began, and that it may have at its end.
    before: usize,
    most: usize,
    /// Chunks to go before the next try with a dictionary.
    pause: u32,
    /// Whether this chunk is plain.
    is_plain: bool,
    keys: Vec<i32>,
    plain: Plain,
    nulls: Vec<u32>,
    scratch: Vec<u8>,
}

/// Texts one after another.
#[derive(Debug)]
struct Plain {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
}

impl Plain {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            offsets: vec![0],
        }
    }

    #[inline]
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(offset(self.bytes.len()));
    }

    fn array(self, nulls: Option<arrow_buffer::NullBuffer>) -> StringArray {
        StringArray::new(
            OffsetBuffer::new(self.offsets.into()),
            self.bytes.into(),
            nulls,
        )
    }
}

fn offset(length: usize) -> i32 {
    i32::try_from(length).expect("a chunk has fewer than 2^31 bytes")
}

impl Texts {
    /// Collects the texts of a column.
    pub(super) fn new(judge: Judge) -> Self {
        Self {
            judge,
            encoding: None,
            on_nul: OnNul::Refuse,
            stripped: 0,
            dictionary: Dictionary::new(),
            before: 0,
            most: 0,
            pause: 0,
            is_plain: false,
            keys: Vec::new(),
            plain: Plain::new(),
            nulls: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn rows(&self) -> usize {
        if self.is_plain {
            self.plain.offsets.len() - 1
        } else {
            self.keys.len()
        }
    }

    fn push_null(&mut self) {
        self.nulls.push(narrow(self.rows()));
        if self.is_plain {
            self.plain.push(b"");
        } else {
            self.keys.push(0);
        }
    }

    /// Takes a value that may be new, in either form.
    fn push(&mut self, row: usize, text: &[u8], ascii: bool, faults: &mut Vec<Fault>) {
        if !self.is_plain {
            let key = Key::new(text);
            if let Some(found) = self.dictionary.find(key, text) {
                self.keys.push(found);
                return;
            }
        }
        if !ascii && let Some(bad) = self.fault_of(text) {
            match self.encoding {
                Some(encoding @ Encoding::Page(_)) => {
                    let bytes = encoding.bytes_in_file(text);
                    self.judge.bad(row, bad, &bytes, faults);
                }
                _ => self.judge.bad(row, bad, text, faults),
            }
            self.push_null();
            return;
        }
        if !self.is_plain && self.dictionary.len() >= self.most {
            self.give_up();
        }
        if self.is_plain {
            self.plain.push(text);
        } else {
            self.keys.push(self.dictionary.insert(text));
        }
    }

    /// Why a text is none that sinks take; the one place where that is decided, for every text format.
    fn fault_of(&self, text: &[u8]) -> Option<Bad> {
        if memchr::memchr(0, text).is_some() {
            return Some(nul_in_text(self.encoding));
        }
        let is_text = text.is_ascii() || str::from_utf8(text).is_ok();
        (!is_text).then(|| invalid(self.encoding))
    }

    /// Turns what came so far into plain texts.
    #[cold]
    fn give_up(&mut self) {
        // A dictionary that was filled by earlier chunks begins anew; one that this chunk filled would be again.
        let filled_before = self.before > 0 && self.dictionary.len() >= MOST_VALUES;
        self.pause = if filled_before { 0 } else { PAUSE };
        let mut nulls = self.nulls.iter().peekable();
        for (row, &key) in self.keys.iter().enumerate() {
            let is_null = nulls.next_if(|null| **null == narrow(row)).is_some();
            self.plain.push(if is_null {
                b""
            } else {
                self.dictionary.value(key)
            });
        }
        self.plain
            .offsets
            .reserve(self.keys.capacity() - self.keys.len());
        self.keys.clear();
        self.dictionary = Dictionary::new();
        self.is_plain = true;
    }

    /// The exact way from a field to a value.
    fn field(&mut self, row: usize, raw: &[u8], stretch: &Stretch<'_>, faults: &mut Vec<Fault>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (text, quoted) = stretch.dialect.text(raw, &mut scratch);
        self.value(row, text, quoted, stretch.ascii, faults);
        self.scratch = scratch;
    }

    fn value(
        &mut self,
        row: usize,
        text: &[u8],
        quoted: bool,
        ascii: bool,
        faults: &mut Vec<Fault>,
    ) {
        let without;
        let mut text = text;
        if !ascii && self.on_nul == OnNul::Strip && memchr::memchr(0, text).is_some() {
            without = text
                .iter()
                .copied()
                .filter(|byte| *byte != 0)
                .collect::<Vec<u8>>();
            text = &without;
            self.stripped += 1;
        }
        let text = self.judge.trimmed(text, quoted);
        if self.judge.is_null(text, quoted) {
            self.judge.absent(row, faults);
            self.push_null();
        } else {
            self.push(row, text, ascii, faults);
        }
    }
}

impl Collect for Texts {
    fn begin(&mut self, rows: usize) {
        self.is_plain = self.pause > 0;
        if self.is_plain {
            self.pause -= 1;
            self.plain.offsets.reserve(rows);
        } else {
            self.keys.reserve(rows);
        }
        self.before = self.dictionary.len();
        self.most = (self.before + SPARE_VALUES + rows / 8).min(MOST_VALUES);
    }

    fn stretch(&mut self, stretch: &Stretch<'_>, field: usize, faults: &mut Vec<Fault>) {
        // What can be looked up as it stands: no null, no quotes, no escapes, nothing to be taken away.
        let dialect = &stretch.dialect;
        let as_it_stands = self.judge.nulls.is_empty()
            && !self.judge.lenient
            && dialect.escape.is_none()
            && (stretch.ascii || self.on_nul == OnNul::Refuse);
        for (row, (start, end)) in stretch.index.spans(field).enumerate() {
            let raw = stretch.raw(start, end);
            let Some(&first) = raw.first() else {
                if stretch.is_flawed(row) {
                    self.push_null();
                } else {
                    self.field(stretch.first_row + row, raw, stretch, faults);
                }
                continue;
            };
            if !as_it_stands || dialect.quote == Some(first) {
                self.field(stretch.first_row + row, raw, stretch, faults);
            } else if self.is_plain {
                if stretch.ascii {
                    self.plain.push(raw);
                } else {
                    self.push(stretch.first_row + row, raw, false, faults);
                }
            } else if let Some(found) = self
                .dictionary
                .find(Key::of_field(stretch.bytes, end, raw), raw)
            {
                self.keys.push(found);
            } else {
                self.push(stretch.first_row + row, raw, stretch.ascii, faults);
            }
        }
    }

    fn cells(&mut self, given: &Given<'_>, faults: &mut Vec<Fault>) {
        let as_it_stands = self.judge.nulls.is_empty() && !self.judge.lenient;
        for (row, cell) in given.cells().enumerate() {
            // 1. Texts without escapes, which mostly are known.
            if as_it_stands
                && let Some((start, end)) = given.plain(cell)
                && start < end
            {
                let raw = &given.bytes()[start..end];
                let key = Key::of_field(given.bytes(), end, raw);
                if self.is_plain {
                    self.plain.push(raw);
                } else if let Some(found) = self.dictionary.find(key, raw) {
                    self.keys.push(found);
                } else {
                    self.push(given.first_row() + row, raw, true, faults);
                }
                continue;
            }
            // 2. Everything else. The record is known to be UTF-8.
            let number = given.first_row() + row;
            let mut scratch = std::mem::take(&mut self.scratch);
            match given.meaning(cell, &mut scratch) {
                Meaning::Text(text) | Meaning::Value(text) => {
                    let clean = memchr::memchr(0, text).is_none();
                    self.value(number, text, false, clean, faults);
                }
                Meaning::Bad(bad, text) => self.misfit(number, bad, text, faults),
                Meaning::Absent { judged } => self.absent(number, judged, faults),
            }
            self.scratch = scratch;
        }
    }

    fn text(&mut self, row: usize, text: &[u8], quoted: bool, faults: &mut Vec<Fault>) {
        self.value(row, text, quoted, false, faults);
    }

    fn absent(&mut self, row: usize, judged: bool, faults: &mut Vec<Fault>) {
        if !judged {
            self.judge.absent(row, faults);
        }
        self.push_null();
    }

    fn misfit(&mut self, row: usize, bad: Bad, text: &[u8], faults: &mut Vec<Fault>) {
        self.judge.bad(row, bad, text, faults);
        self.push_null();
    }

    fn written(&mut self, encoding: Encoding, on_nul: OnNul) {
        self.encoding = Some(encoding);
        self.on_nul = on_nul;
    }

    fn stripped(&mut self) -> u64 {
        std::mem::take(&mut self.stripped)
    }

    fn finish(&mut self) -> ArrayRef {
        let nulls = null_buffer(self.rows(), &self.nulls);
        self.nulls.clear();
        if self.is_plain {
            return Arc::new(std::mem::replace(&mut self.plain, Plain::new()).array(nulls));
        }
        let keys = Int32Array::new(std::mem::take(&mut self.keys).into(), nulls);
        Arc::new(DictionaryArray::<Int32Type>::new(
            keys,
            self.dictionary.array(),
        ))
    }
}

/// A text as words: equal texts have equal keys, and different texts of up to 16 bytes different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    low: u64,
    high: u64,
    length: usize,
}

/// Longest text that its key says in full.
const FULL: usize = 16;
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

impl Key {
    /// Key of a field of a chunk that ends at `end`; for short texts one load from the bytes before it.
    #[inline(always)]
    fn of_field(bytes: &[u8], end: usize, text: &[u8]) -> Self {
        let length = text.len();
        if length.wrapping_sub(1) < 8
            && let Some(word) = tail_word(bytes, end)
        {
            return Self {
                low: word >> (64 - 8 * narrow(length)),
                high: 0,
                length,
            };
        }
        Self::new(text)
    }

    fn new(text: &[u8]) -> Self {
        let length = text.len();
        let (low, high) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            // The two words overlap; with the length they still say everything.
            (Some(first), Some(last)) if (9..=FULL).contains(&length) => {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            _ if length <= 8 => (little(text), 0),
            _ => text.chunks(8).fold((0, MIX), |(low, high), piece| {
                let word = little(piece);
                (
                    (low ^ word).wrapping_mul(MIX).rotate_left(31),
                    (high ^ word.rotate_left(17)).wrapping_mul(MIX),
                )
            }),
        };
        Self { low, high, length }
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        let mixed =
            self.low ^ self.high.rotate_left(29) ^ u64::from(narrow(self.length)).rotate_left(56);
        let mixed = mixed.wrapping_mul(MIX);
        mixed ^ (mixed >> 32)
    }
}

fn little(text: &[u8]) -> u64 {
    text.iter()
        .rev()
        .fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

/// Values with their places, found by open addressing.
#[derive(Debug)]
struct Dictionary {
    /// A power of two of slots, at most half of them taken.
    slots: Vec<Slot>,
    values: Plain,
    /// The values as an array, as long as there are no newer ones.
    array: Option<ArrayRef>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Key,
    /// Place of the value; negative where the slot is free.
    value: i32,
}

const FREE: Slot = Slot {
    key: Key {
        low: 0,
        high: 0,
        length: 0,
    },
    value: -1,
};

impl Dictionary {
    fn new() -> Self {
        Self {
            slots: vec![FREE; 128],
            values: Plain::new(),
            array: None,
        }
    }

    fn len(&self) -> usize {
        self.values.offsets.len() - 1
    }

    fn value(&self, key: i32) -> &[u8] {
        let at = usize::try_from(key).expect("keys are places");
        let [from, to] = [at, at + 1]
            .map(|at| usize::try_from(self.values.offsets[at]).expect("offsets are places"));
        &self.values.bytes[from..to]
    }

    #[inline(always)]
    fn find(&self, key: Key, text: &[u8]) -> Option<i32> {
        let mask = self.slots.len() - 1;
        let mut at = place(key, mask);
        loop {
            let slot = &self.slots[at & mask];
            if slot.value < 0 {
                return None;
            }
            if slot.key == key && (key.length <= FULL || self.value(slot.value) == text) {
                return Some(slot.value);
            }
            at += 1;
        }
    }

    /// Adds a text that is not there and is UTF-8.
    #[cold]
    fn insert(&mut self, text: &[u8]) -> i32 {
        let value = offset(self.len());
        self.values.push(text);
        self.array = None;
        self.put(Slot {
            key: Key::new(text),
            value,
        });
        if self.len() * 2 > self.slots.len() {
            let larger = vec![FREE; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, larger) {
                if slot.value >= 0 {
                    self.put(slot);
                }
            }
        }
        value
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = place(slot.key, mask) & mask;
        while self.slots[at].value >= 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn array(&mut self) -> ArrayRef {
        let values = &self.values;
        let make = || -> ArrayRef {
            Arc::new(
                Plain {
                    bytes: values.bytes.clone(),
                    offsets: values.offsets.clone(),
                }
                .array(None),
            )
        };
        Arc::clone(self.array.get_or_insert_with(make))
    }
}

#[inline(always)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "only the low bits are used"
)]
fn place(key: Key, mask: usize) -> usize {
    (key.hash() as usize) & mask
}
