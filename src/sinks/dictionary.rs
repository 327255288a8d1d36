//! Columns of text in Parquet: a dictionary and packed codes, or plain text where almost every value is another one.
//!
//! Arrow dictionaries are not decoded: each of their keys is looked up once, and then a row costs one load. Plain arrays
//! are looked up row by row. Both may stand in one chunk, in any order.
//!
//! A column leaves its dictionary when that grows beyond [`DICTIONARY_BYTES`], or when the first page already holds more than
//! one value for every [`ROWS_A_VALUE`] rows; later chunks of the column then start without one.

use std::hash::BuildHasher;
use std::sync::Arc;

use ::parquet::basic::Encoding;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::statistics::Statistics;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::integers::valid_of;
use super::packing::{push_hybrid, width_of};
use super::pages::{ColumnPages, Habit, PageCompressor, wide};

/// Bytes of a dictionary that is still worth it: what readers keep at hand while they read a chunk.
const DICTIONARY_BYTES: usize = 1 << 20;

/// With fewer rows a value in the first page, the codes and the dictionary take more than the text.
const ROWS_A_VALUE: usize = 2;

/// Bytes of plain text at which a page ends before its rows are full.
const PAGE_BYTES: usize = 1 << 20;

/// Longer values are left out of the statistics: they help no reader to skip and bloat the footer.
const STATISTICS_BYTES: usize = 256;

const NO_CODE: u32 = u32::MAX;

/// A column chunk of text being written.
#[derive(Debug)]
pub(super) struct TextColumn {
    pages: ColumnPages,
    dictionary: Dictionary,
    /// The page at hand: codes while there is a dictionary, else plain text.
    codes: Vec<u32>,
    plain: Vec<u8>,
    mode: Mode,
    /// Code of each key of `mapped`, as far as it has been met.
    code_of_key: Vec<u32>,
    /// The Arrow dictionary that was met last. Holding it keeps its address its own.
    mapped: Option<ArrayRef>,
    /// Smallest and largest value of the pages without codes.
    range: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// No page is done: the dictionary may still be given up as if it had never been.
    Trying,
    Coded,
    Plain,
}

impl TextColumn {
    pub(super) fn new(pages: ColumnPages, habit: Habit) -> Self {
        Self {
            pages,
            dictionary: Dictionary::default(),
            codes: Vec::new(),
            plain: Vec::new(),
            mode: if habit.too_many_values {
                Mode::Plain
            } else {
                Mode::Trying
            },
            code_of_key: Vec::new(),
            mapped: None,
            range: None,
        }
    }

    /// Adds the array's values to the page at hand. May end pages.
    pub(super) fn append(
        &mut self,
        array: &ArrayRef,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        // Long values: no page may come near the 2 GiB that its header can say. Codes of an Arrow dictionary are short.
        let written_as_text = self.mode == Mode::Plain || *array.data_type() == DataType::Utf8;
        if written_as_text && array.len() > 1 && text_bytes(array) > PAGE_BYTES {
            let half = array.len() / 2;
            self.append(&array.slice(0, half), compressor, habit)?;
            return self.append(&array.slice(half, array.len() - half), compressor, habit);
        }
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        self.pages.append_levels(nulls.as_ref(), array.len());
        match self.mode {
            Mode::Plain => self.append_plain(array, nulls.as_ref()),
            Mode::Trying | Mode::Coded => self.append_codes(array, nulls.as_ref()),
        }
        if self.plain.len() >= PAGE_BYTES || self.dictionary.bytes.len() >= DICTIONARY_BYTES {
            self.end_page(&mut Vec::new(), compressor, habit)?;
        }
        Ok(())
    }

    fn append_codes(&mut self, array: &ArrayRef, nulls: Option<&NullBuffer>) {
        let (codes, dictionary) = (&mut self.codes, &mut self.dictionary);
        let Some(array) = array.as_dictionary_opt::<Int32Type>() else {
            return each_text(array, nulls, |text| codes.push(dictionary.code(text)));
        };
        map(&mut self.code_of_key, &mut self.mapped, array.values());
        let code_of_key = &mut self.code_of_key;
        let texts = array.values().as_string::<i32>();
        let keys = array.keys().values();
        let code_of = |row: usize| {
            let key = usize::try_from(keys[row]).expect("dictionary keys are not negative");
            let code = &mut code_of_key[key];
            if *code == NO_CODE {
                *code = dictionary.code(texts.value(key).as_bytes());
            }
            *code
        };
        match nulls {
            None => codes.extend((0..keys.len()).map(code_of)),
            Some(nulls) => codes.extend(valid_of(nulls).map(code_of)),
        }
    }

    fn append_plain(&mut self, array: &ArrayRef, nulls: Option<&NullBuffer>) {
        let (plain, range) = (&mut self.plain, &mut self.range);
        each_text(array, nulls, |text| {
            push_text(plain, text);
            widen(range, text);
        });
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        let coded = (self.codes.capacity() + self.code_of_key.capacity()) * 4;
        self.pages.held_bytes() + self.plain.capacity() + coded + self.dictionary.held_bytes()
    }

    /// Bytes of the chunk so far.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.pages.encoded_bytes() + self.dictionary.bytes.len()
    }

    /// Ends the page at hand.
    pub(super) fn end_page(
        &mut self,
        scratch: &mut Vec<u8>,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        if self.pages.rows_in_page() == 0 {
            return Ok(());
        }
        let values = self.dictionary.starts.len();
        if self.mode == Mode::Trying && self.is_better_plain() {
            let (plain, range, dictionary) = (&mut self.plain, &mut self.range, &self.dictionary);
            for code in self.codes.drain(..) {
                let text = dictionary.text(code);
                push_text(plain, text);
                widen(range, text);
            }
            self.leave_dictionary(habit);
            self.dictionary = Dictionary::default();
        }
        if self.mode == Mode::Plain {
            self.pages
                .end_page(&self.plain, Encoding::PLAIN, compressor, habit)?;
            self.plain.clear();
            return Ok(());
        }
        self.mode = Mode::Coded;
        scratch.clear();
        let width = width_of(wide(values.saturating_sub(1)));
        scratch.push(u8::try_from(width).expect("a width is at most 64"));
        push_hybrid(&self.codes, width, scratch);
        self.codes.clear();
        self.pages
            .end_page(scratch, Encoding::RLE_DICTIONARY, compressor, habit)?;
        if self.dictionary.bytes.len() >= DICTIONARY_BYTES {
            self.leave_dictionary(habit);
        }
        Ok(())
    }

    /// Whether the page at hand, the first of its chunk, shows that nearly every row has a value of its own.
    fn is_better_plain(&self) -> bool {
        let values = self.dictionary.starts.len();
        let many = values > 1 && values * ROWS_A_VALUE > self.codes.len();
        // Where few values are repeated and very long, plain text could be too much for a page.
        many && self
            .codes
            .iter()
            .map(|&code| self.dictionary.text(code).len() + 4)
            .sum::<usize>()
            <= 4 * PAGE_BYTES
    }

    fn leave_dictionary(&mut self, habit: &mut Habit) {
        self.mode = Mode::Plain;
        habit.too_many_values = true;
        self.codes = Vec::new();
        self.code_of_key = Vec::new();
        self.mapped = None;
    }

    /// The chunk's pages, its dictionary among them, and what its statistics say.
    pub(super) fn close(
        mut self,
        compressor: &mut PageCompressor,
    ) -> Result<(ColumnPages, Statistics), ParquetError> {
        let values = self.dictionary.starts.len();
        if self.mode == Mode::Coded || values > 0 {
            self.pages
                .set_dictionary(&self.dictionary.bytes, values, compressor)?;
        }
        for code in 0..values {
            let code = u32::try_from(code).expect("codes have 32 bits");
            widen(&mut self.range, self.dictionary.text(code));
        }
        let short = |value: &Vec<u8>| value.len() <= STATISTICS_BYTES;
        let range = self.range.filter(|(low, high)| short(low) && short(high));
        let (low, high) = range
            .map(|(low, high)| (ByteArray::from(low), ByteArray::from(high)))
            .unzip();
        let statistics = Statistics::byte_array(low, high, None, Some(self.pages.nulls()), false);
        Ok((self.pages, statistics))
    }
}

/// Gets `code_of_key` ready for the keys of this Arrow dictionary.
fn map(code_of_key: &mut Vec<u32>, mapped: &mut Option<ArrayRef>, values: &ArrayRef) {
    let place = |values: &ArrayRef| {
        let texts = values.as_string::<i32>();
        (
            texts.values().as_ptr(),
            texts.value_offsets().as_ptr(),
            texts.len(),
        )
    };
    if mapped
        .as_ref()
        .is_none_or(|mapped| place(mapped) != place(values))
    {
        code_of_key.clear();
        code_of_key.resize(values.len(), NO_CODE);
        *mapped = Some(Arc::clone(values));
    }
}

/// Values in the order of their codes, as a dictionary page has them.
#[derive(Debug, Default)]
struct Dictionary {
    bytes: Vec<u8>,
    /// Where each value's length stands in `bytes`.
    starts: Vec<u32>,
    codes: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Dictionary {
    fn code(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        if let Some(&code) = self.codes.find(hash, |&code| self.text(code) == text) {
            return code;
        }
        let code =
            u32::try_from(self.starts.len()).expect("a dictionary has fewer than 2^32 values");
        self.starts
            .push(u32::try_from(self.bytes.len()).expect("a dictionary page is far below 4 GiB"));
        push_text(&mut self.bytes, text);
        let (bytes, starts, hasher) = (&self.bytes, &self.starts, &self.hasher);
        self.codes.insert_unique(hash, code, |&code| {
            hasher.hash_one(text_at(bytes, starts, code))
        });
        code
    }

    fn text(&self, code: u32) -> &[u8] {
        text_at(&self.bytes, &self.starts, code)
    }

    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * 4 + self.codes.capacity() * 5
    }
}

fn text_at<'a>(bytes: &'a [u8], starts: &[u32], code: u32) -> &'a [u8] {
    let code = usize::try_from(code).expect("32 bits fit into usize");
    let start = usize::try_from(starts[code]).expect("32 bits fit into usize") + 4;
    let end = starts.get(code + 1).map_or(bytes.len(), |&next| {
        usize::try_from(next).expect("32 bits fit into usize")
    });
    &bytes[start..end]
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let len = u32::try_from(text.len()).expect("an Arrow string is below 2 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text);
}

fn widen(range: &mut Option<(Vec<u8>, Vec<u8>)>, text: &[u8]) {
    match range {
        None => *range = Some((text.to_vec(), text.to_vec())),
        Some((low, _)) if text < low.as_slice() => text.clone_into(low),
        Some((_, high)) if text > high.as_slice() => text.clone_into(high),
        Some(_) => {}
    }
}

/// Calls `take` with each value that is there.
fn each_text(array: &ArrayRef, nulls: Option<&NullBuffer>, mut take: impl FnMut(&[u8])) {
    if let Some(array) = array.as_any().downcast_ref::<StringArray>() {
        match nulls {
            None => (0..array.len()).for_each(|row| take(array.value(row).as_bytes())),
            Some(nulls) => valid_of(nulls).for_each(|row| take(array.value(row).as_bytes())),
        }
        return;
    }
    let array = array.as_dictionary::<Int32Type>();
    let texts = array.values().as_string::<i32>();
    let mut take_row = |row: usize| {
        let key =
            usize::try_from(array.keys().value(row)).expect("dictionary keys are not negative");
        take(texts.value(key).as_bytes());
    };
    match nulls {
        None => (0..array.len()).for_each(&mut take_row),
        Some(nulls) => valid_of(nulls).for_each(&mut take_row),
    }
}

/// Bytes that the array's rows take as plain text, at most.
fn text_bytes(array: &ArrayRef) -> usize {
    if let Some(array) = array.as_any().downcast_ref::<StringArray>() {
        let offsets = array.value_offsets();
        return usize::try_from(offsets[array.len()] - offsets[0]).expect("offsets ascend");
    }
    let texts = array
        .as_dictionary::<Int32Type>()
        .values()
        .as_string::<i32>();
    let longest = texts
        .value_offsets()
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(0);
    usize::try_from(longest).expect("offsets ascend") * array.len()
}
