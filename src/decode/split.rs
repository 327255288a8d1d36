//! Delimited text into the ends of its fields, some ten thousand bytes at a time.
//!
//! A chunk is split in stretches that stay in the cache while every column is read from them. The index has one entry a
//! field; rows whose number of fields is wrong point at entries that give empty fields, so that no column needs to ask.
//!
//! What a record is (also for [`super::cut`]): a line end outside quotes ends it, being `\n`, `\r` or `\r\n`. A quote
//! counts only where a field begins; within quotes two quotes are one; text after the closing quote is a fault of the record,
//! whose field goes on to the next delimiter or line end. An empty line is no record. What else a dialect may have is in
//! [`super::dialect`].

use super::dialect::Dialect;
use super::scan::{Masks, WIDTH, masks, narrow, wide};
use crate::record::Dropped;

/// Bytes of a stretch. Text, index and the columns' output of a stretch should fit into half of a second-level cache;
/// much smaller, and the change from column to column costs.
const STRETCH_BYTES: usize = 48 * 1024;

/// What is wrong with a record as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It has this many fields instead of the file's.
    FieldCount(usize),
    /// A quote is open at its end.
    UnclosedQuote,
    /// Text begins here after a closing quote.
    TextAfterQuote(usize),
}

/// The rows of a stretch.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Ends of fields, after as many zeros as a record has fields.
    ends: Vec<u32>,
    /// How many of `ends` are in use.
    used: usize,
    /// For each row, the place in `ends` of its first field.
    first: Vec<u32>,
    /// For each row, its first byte.
    pub(super) starts: Vec<u32>,
    /// Rows that are no records of the file's shape, ascending; their fields are empty.
    pub(super) flaws: Vec<(usize, Flaw)>,
}

impl Index {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.first.len()
    }

    /// First byte and end of field `field` of every row; an end before the first byte means an empty field.
    #[inline]
    pub(super) fn spans(&self, field: usize) -> impl Iterator<Item = (usize, usize)> {
        let ends = self.ends.as_slice();
        self.first
            .iter()
            .zip(&self.starts)
            .map(move |(&first, &start)| {
                let at = wide(first) + field;
                let end = wide(ends[at]);
                let start = if field == 0 {
                    wide(start)
                } else {
                    wide(ends[at - 1]) + 1
                };
                (start, end)
            })
    }

    fn clear(&mut self, fields: usize) {
        if self.ends.len() < fields {
            self.ends.resize(fields, 0);
        }
        self.ends[..fields].fill(0);
        self.used = fields;
        self.first.clear();
        self.starts.clear();
        self.flaws.clear();
    }

    fn flaw(&mut self, start: usize, flaw: Flaw) {
        self.flaws.push((self.rows(), flaw));
        self.first.push(0);
        self.starts.push(narrow(start));
    }
}

/// Records that are dropped instead of becoming rows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Records whose every field is empty.
    pub(super) blank: bool,
    /// Records whose fields have these texts (`None`: any).
    pub(super) header: Option<Vec<Option<Vec<u8>>>>,
}

impl Filter {
    fn is_active(&self) -> bool {
        self.blank || self.header.is_some()
    }

    /// Whether the record is dropped, which `dropped` then counts.
    #[cold]
    fn drops(
        &self,
        bytes: &[u8],
        dialect: Dialect,
        start: usize,
        ends: &[u32],
        dropped: &mut Dropped,
    ) -> bool {
        let mut scratch = Vec::new();
        let mut begin = start;
        let mut blank = self.blank;
        let mut header = self
            .header
            .as_ref()
            .is_some_and(|names| names.len() == ends.len());
        for (field, &end) in ends.iter().enumerate() {
            let raw = bytes.get(begin..wide(end)).unwrap_or(&[]);
            let (text, _) = dialect.text(raw, &mut scratch);
            blank &= text.is_empty();
            if let Some(Some(name)) = self.header.as_ref().and_then(|names| names.get(field)) {
                header &= text == name.as_slice();
            }
            begin = wide(end) + 1;
        }
        if blank {
            dropped.blank += 1;
        } else if header {
            dropped.repeated_headers += 1;
        }
        blank || header
    }
}

/// Walks a chunk stretch by stretch.
#[derive(Debug)]
pub(super) struct Splitter<'a> {
    bytes: &'a [u8],
    fields: usize,
    dialect: Dialect,
    filter: Option<&'a Filter>,
    /// First byte of the next record.
    at: usize,
    /// Records dropped so far.
    pub(super) dropped: Dropped,
}

impl<'a> Splitter<'a> {
    /// Begins at the first byte of `bytes`, which is the first byte of a record.
    pub(super) fn new(
        bytes: &'a [u8],
        fields: usize,
        dialect: Dialect,
        filter: &'a Filter,
    ) -> Self {
        Self {
            bytes,
            fields,
            dialect,
            filter: Some(filter).filter(|filter| filter.is_active()),
            at: 0,
            dropped: Dropped::default(),
        }
    }

    /// Finds the next rows and gives the bytes they stand in and the dialect, without the marks that are not among them;
    /// `None` where there are no more bytes. A stretch may have no rows.
    pub(super) fn next(&mut self, index: &mut Index) -> Option<(&'a [u8], Dialect)> {
        let from = self.at;
        if from >= self.bytes.len() {
            return None;
        }
        if !self.dialect.is_plain() {
            self.walk(index);
            let stretch = &self.bytes[from..self.at];
            return Some((stretch, self.dialect.within(stretch)));
        }
        // A record longer than a stretch is looked for in one twice as long. Rare bytes are asked for before each
        // stretch and not for the whole chunk, which would be read from memory once more for each question.
        let mut to = from.saturating_add(STRETCH_BYTES).min(self.bytes.len());
        loop {
            index.clear(self.fields);
            let window = &self.bytes[from..to];
            let dialect = self.dialect.within(window);
            let quote = dialect.quote;
            let carriage = memchr::memchr(b'\r', window).is_some();
            let found = match (carriage, quote.is_some()) {
                (false, false) => self.fill::<false, false>(index, quote, to),
                (false, true) => self.fill::<false, true>(index, quote, to),
                (true, false) => self.fill::<true, false>(index, quote, to),
                (true, true) => self.fill::<true, true>(index, quote, to),
            };
            if found {
                return Some((&self.bytes[from..self.at], dialect));
            }
            to = to.saturating_add(to - from).min(self.bytes.len());
        }
    }

    /// Takes the records of a stretch line by line, as a dialect needs that is not plain.
    fn walk(&mut self, index: &mut Index) {
        index.clear(self.fields);
        let (from, dialect) = (self.at, self.dialect);
        while self.at < self.bytes.len() && self.at - from < STRETCH_BYTES {
            let (start, first) = (self.at, index.used);
            let line = dialect.line(self.bytes, start, |end| {
                if index.ends.len() == index.used {
                    index.ends.push(0);
                }
                index.ends[index.used] = narrow(end);
                index.used += 1;
            });
            self.at = line.next;
            if line.is_open {
                index.flaw(start, Flaw::UnclosedQuote);
            } else if line.is_record {
                let stray = line.stray.unwrap_or(NONE);
                self.record(index, (start, line.end), first, index.used - 1, stray);
            } else {
                index.used = first;
            }
        }
    }

    /// Takes the records that end before `to`, among which there is `quote` where it is given, and moves on to the first that doesn't; false where none does.
    #[inline(always)]
    fn fill<const CARRIAGE: bool, const QUOTE: bool>(
        &mut self,
        index: &mut Index,
        quote: Option<u8>,
        to: usize,
    ) -> bool {
        let bytes = self.bytes;
        let delimiter = self.dialect.delimiter;
        let quote = quote.unwrap_or(delimiter);
        let mut quoting = Quoting {
            open: false,
            field: self.at,
            skip: NONE,
            closed: 0,
        };
        // Where text after a closing quote begins, in the record that a block before this one began.
        let mut stray = NONE;
        let mut start = self.at;
        let mut first = index.used;
        let mut base = self.at;
        loop {
            let mut found = match bytes
                .get(base..)
                .and_then(|rest| rest.first_chunk::<WIDTH>())
            {
                Some(block) => masks::<CARRIAGE, QUOTE>(block, delimiter, quote),
                None => tail_masks::<CARRIAGE, QUOTE>(&bytes[base..], delimiter, quote),
            };
            if QUOTE {
                found = quoting.outside(bytes, base, delimiter, quote, found);
            }
            // 1. The end of every field.
            if index.ends.len() < index.used + WIDTH {
                index.ends.resize(index.used * 2 + WIDTH, 0);
            }
            let out: &mut [u32; WIDTH] = index.ends[index.used..]
                .first_chunk_mut()
                .expect("there is room for 64 ends");
            let mut rest = found.ends;
            let mut count = 0;
            while rest != 0 {
                out[count & (WIDTH - 1)] = narrow(base) + rest.trailing_zeros();
                count += 1;
                rest &= rest - 1;
            }
            // 2. The records that end here.
            let mut lines = found.lines;
            while lines != 0 {
                let below = lines.wrapping_sub(1) & !lines;
                let last = index.used + wide((found.ends & below).count_ones());
                let end = base + wide(lines.trailing_zeros());
                if QUOTE {
                    stray = stray.min(quoting.stray(base, below));
                }
                self.record(index, (start, end), first, last, stray);
                stray = NONE;
                first = last + 1;
                start = end + 1;
                lines &= lines - 1;
            }
            index.used += count;
            if QUOTE {
                stray = stray.min(quoting.stray(base, u64::MAX));
            }
            // 3. On, or out.
            base += WIDTH;
            if base >= bytes.len() {
                self.at = bytes.len();
                if QUOTE && quoting.open {
                    index.flaw(start, Flaw::UnclosedQuote);
                } else if start < bytes.len() {
                    let last = index.used;
                    if index.ends.len() == last {
                        index.ends.push(0);
                    }
                    index.ends[last] = narrow(bytes.len());
                    index.used += 1;
                    self.record(index, (start, bytes.len()), first, last, stray);
                }
                return true;
            }
            if to < bytes.len() && base + WIDTH > to {
                let found = start > self.at;
                self.at = start;
                return found;
            }
        }
    }

    /// Takes the record `start..end`, whose fields end at `index.ends[first..=last]`, with the place where text after a
    /// closing quote begins, or [`NONE`].
    #[inline(always)]
    fn record(
        &mut self,
        index: &mut Index,
        (start, end): (usize, usize),
        first: usize,
        last: usize,
        stray: usize,
    ) {
        if start == end {
            return;
        }
        let fields = last + 1 - first;
        if fields == self.fields && self.filter.is_none() && stray == NONE {
            index.first.push(narrow(first));
            index.starts.push(narrow(start));
        } else {
            self.unusual(index, start, first, last, stray);
        }
    }

    #[cold]
    fn unusual(
        &mut self,
        index: &mut Index,
        start: usize,
        first: usize,
        last: usize,
        stray: usize,
    ) {
        let ends = &index.ends[first..=last];
        if stray != NONE {
            index.flaw(start, Flaw::TextAfterQuote(stray));
        } else if let Some(filter) = self.filter
            && filter.drops(self.bytes, self.dialect, start, ends, &mut self.dropped)
        {
            // It was counted.
        } else if ends.len() == self.fields {
            index.first.push(narrow(first));
            index.starts.push(narrow(start));
        } else {
            index.flaw(start, Flaw::FieldCount(ends.len()));
        }
    }
}

/// No place.
const NONE: usize = usize::MAX;

/// Whether the bytes so far end within quotes.
#[derive(Debug)]
struct Quoting {
    open: bool,
    /// First byte of the field.
    field: usize,
    /// The second of two quotes that are one.
    skip: usize,
    /// Which bytes of the block are closing quotes with text after them.
    closed: u64,
}

impl Quoting {
    /// Takes away what stands within quotes.
    fn outside(
        &mut self,
        bytes: &[u8],
        base: usize,
        delimiter: u8,
        quote: u8,
        found: Masks,
    ) -> Masks {
        let mut inside = 0_u64;
        self.closed = 0;
        let mut rest = found.ends | found.quotes;
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            let at = base + wide(rest.trailing_zeros());
            rest &= rest - 1;
            if found.quotes & bit == 0 {
                if self.open {
                    inside |= bit;
                } else {
                    self.field = at + 1;
                }
            } else if at == self.skip {
                // It was counted with the quote before it.
            } else if self.open {
                match bytes.get(at + 1) {
                    Some(&next) if next == quote => self.skip = at + 1,
                    next => {
                        self.open = false;
                        let ends = |next: &u8| *next == delimiter || matches!(next, b'\n' | b'\r');
                        if !next.is_none_or(ends) {
                            self.closed |= bit;
                        }
                    }
                }
            } else if at == self.field {
                self.open = true;
            }
        }
        Masks {
            ends: found.ends & !inside,
            lines: found.lines & !inside,
            quotes: found.quotes,
        }
    }

    /// Takes where text after a closing quote begins among the bytes of `of` in the block at `base`; [`NONE`]: nowhere.
    #[inline(always)]
    fn stray(&mut self, base: usize, of: u64) -> usize {
        let found = self.closed & of;
        self.closed &= !of;
        if found == 0 {
            NONE
        } else {
            base + wide(found.trailing_zeros()) + 1
        }
    }
}

/// The masks of fewer than 64 bytes.
fn tail_masks<const CARRIAGE: bool, const QUOTE: bool>(
    tail: &[u8],
    delimiter: u8,
    quote: u8,
) -> Masks {
    let mut block = [0_u8; WIDTH];
    block[..tail.len()].copy_from_slice(tail);
    let there = (1_u64 << tail.len()) - 1;
    let found = masks::<CARRIAGE, QUOTE>(&block, delimiter, quote);
    Masks {
        ends: found.ends & there,
        lines: found.lines & there,
        quotes: found.quotes & there,
    }
}
