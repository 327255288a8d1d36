//! One column of a chunk: fields in, an array and faults out.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::types::{Int16Type, Int32Type, Int64Type};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

use super::dialect::Dialect;
use super::json::{Given, Meaning};
use super::kernel::{Adjusted, Bad, Kernel, trim};
use super::metadata::OfMessage;
use super::notation::Notated;
use super::number::{
    BAD_DECIMAL, BAD_DOUBLE, BAD_INTEGER, Boolean, Decimal, Double, Integer, Worded,
};
use super::scan::{narrow, wide};
use super::split::Index;
use super::text::Texts;
use super::time::{Date, Timestamp};
use crate::job::plan::{ColumnType, OnBad, OnNul, SourceColumn};
use crate::record::{Encoding, Fault, Site, shown};

/// Rows whose fields have been found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// The chunk.
    pub(super) bytes: &'a [u8],
    /// Whether all of the stretch is ASCII and no byte is NUL, so that every text in it is one.
    pub(super) ascii: bool,
    /// Where the fields are.
    pub(super) index: &'a Index,
    /// What fields are structured by, without the marks that the stretch has none of.
    pub(super) dialect: Dialect,
    /// The draft's number of the stretch's first row.
    pub(super) first_row: usize,
}

impl Stretch<'_> {
    /// Whether a row (of the stretch) is judged as a whole already, so that its fields mean nothing.
    pub(super) fn is_flawed(&self, row: usize) -> bool {
        self.index
            .flaws
            .binary_search_by_key(&row, |(row, _)| *row)
            .is_ok()
    }

    /// The text of a field as it stands; empty where the span is none.
    #[inline(always)]
    pub(super) fn raw(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or(&[])
    }
}

/// Collects the values of one column for one draft after another.
pub(super) trait Collect: Debug + Send {
    /// Makes room for about this many rows.
    fn begin(&mut self, rows: usize);

    /// Takes field `field` of every row of the stretch.
    fn stretch(&mut self, stretch: &Stretch<'_>, field: usize, faults: &mut Vec<Fault>);

    /// Takes the column's value of every row of a stretch of JSON records.
    fn cells(&mut self, given: &Given<'_>, faults: &mut Vec<Fault>);

    /// Takes one text as the value of the draft's next row.
    fn text(&mut self, row: usize, text: &[u8], quoted: bool, faults: &mut Vec<Fault>);

    /// Takes the text of a value of JSON or of a columnar file, which is in no notation of people.
    fn value(&mut self, row: usize, text: &[u8], faults: &mut Vec<Fault>) {
        self.text(row, text, false, faults);
    }

    /// The next row has no value; a fault where it must have one, unless the row is judged as a whole.
    fn absent(&mut self, row: usize, judged: bool, faults: &mut Vec<Fault>);

    /// The next row has something that no text of the column's type can be.
    fn misfit(&mut self, row: usize, bad: Bad, text: &[u8], faults: &mut Vec<Fault>);

    /// What the texts of the next rows are written in, and what a NUL in one does; numbers and times have neither.
    fn written(&mut self, _encoding: Encoding, _on_nul: OnNul) {}

    /// How many texts NUL was taken out of since the last call.
    fn stripped(&mut self) -> u64 {
        0
    }

    /// The values since `begin`.
    fn finish(&mut self) -> ArrayRef;

    /// How many of them were read otherwise than they were written; asked after `finish`.
    fn adjusted(&mut self) -> Adjusted {
        Adjusted::default()
    }
}

/// A collector for a column; `nulls` are the format's texts for null.
pub(super) fn collector(column: &SourceColumn, nulls: &[String]) -> Box<dyn Collect> {
    let judge = Judge::new(column, nulls);
    let notation = &column.notation;
    if column.metadata.is_some() {
        return Box::new(OfMessage);
    }
    match column.column_type {
        ColumnType::Boolean => match &notation.words {
            Some(words) => Values::boxed(Worded::new(words.clone()), judge),
            None => Values::boxed(Boolean, judge),
        },
        ColumnType::SmallInt => numbers(Integer::<Int16Type>::new(), column, judge, BAD_INTEGER),
        ColumnType::Int => numbers(Integer::<Int32Type>::new(), column, judge, BAD_INTEGER),
        ColumnType::BigInt => numbers(Integer::<Int64Type>::new(), column, judge, BAD_INTEGER),
        ColumnType::Double => numbers(Double, column, judge, BAD_DOUBLE),
        ColumnType::Decimal(precision, scale) => {
            let kernel = Decimal::new(precision, scale, notation.round);
            numbers(kernel, column, judge, BAD_DECIMAL)
        }
        ColumnType::Date => Values::boxed(Date::new(&column.formats, notation), judge),
        ColumnType::Timestamp => Values::boxed(
            Timestamp::new(&column.formats, column.unit, column.time_zone, notation),
            judge,
        ),
        ColumnType::Varchar => Box::new(Texts::new(judge)),
    }
}

/// A collector of numbers, behind a notation where the column has one.
fn numbers<K: Kernel + 'static>(
    kernel: K,
    column: &SourceColumn,
    judge: Judge,
    bad: Bad,
) -> Box<dyn Collect> {
    match &column.notation.number {
        Some(notation) => Values::boxed(Notated::new(kernel, notation.clone(), bad), judge),
        None => Values::boxed(kernel, judge),
    }
}

/// Says what texts mean null and what becomes of those that are no value.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the job file or of what follows from one"
)]
pub(super) struct Judge {
    site: Site,
    not_null: bool,
    on_bad: OnBad,
    pub(super) lenient: bool,
    /// Whether the empty text is a value when it is quoted.
    varchar: bool,
    /// Whether the unquoted empty text is null.
    empty: bool,
    /// The other unquoted texts that are null.
    pub(super) nulls: Vec<Vec<u8>>,
    reason: Option<Arc<str>>,
    /// Default reasons in use, so that faults share them.
    codes: Vec<Arc<str>>,
}

impl Judge {
    fn new(column: &SourceColumn, nulls: &[String]) -> Self {
        let nulls = column.nulls.as_deref().unwrap_or(nulls);
        Self {
            site: Site::Column(column.id),
            not_null: column.not_null,
            on_bad: column.on_bad,
            lenient: column.lenient,
            varchar: column.column_type == ColumnType::Varchar,
            empty: nulls.iter().any(String::is_empty),
            nulls: nulls
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.clone().into_bytes())
                .collect(),
            reason: column.reason.clone(),
            codes: Vec::new(),
        }
    }

    /// Whether a text means null. The empty text is no value of any type but varchar.
    pub(super) fn is_null(&self, text: &[u8], quoted: bool) -> bool {
        if text.is_empty() {
            !self.varchar || (self.empty && !quoted)
        } else {
            !quoted && self.nulls.iter().any(|null| null == text)
        }
    }

    /// What of a field counts.
    pub(super) fn trimmed<'a>(&self, text: &'a [u8], quoted: bool) -> &'a [u8] {
        if self.lenient && !(self.varchar && quoted) {
            trim(text)
        } else {
            text
        }
    }

    /// Notes that a row has no value.
    pub(super) fn absent(&mut self, row: usize, faults: &mut Vec<Fault>) {
        if self.not_null {
            self.fault(row, "missing_value", String::new(), faults);
        }
    }

    /// Notes that a text is no value.
    #[cold]
    pub(super) fn bad(&mut self, row: usize, bad: Bad, text: &[u8], faults: &mut Vec<Fault>) {
        let code = match self.on_bad {
            OnBad::Refuse => bad.code,
            OnBad::Null if self.not_null => "missing_value",
            OnBad::Null => return,
        };
        let hint = if bad.hint.is_empty() {
            String::new()
        } else {
            format!(" ({})", bad.hint)
        };
        let detail = shown(text, super::detail::LONGEST - hint.len()) + &hint;
        self.fault(row, code, detail, faults);
    }

    fn fault(&mut self, row: usize, code: &'static str, detail: String, faults: &mut Vec<Fault>) {
        let reason = if let Some(reason) = &self.reason {
            Arc::clone(reason)
        } else if let Some(known) = self.codes.iter().find(|known| ***known == *code) {
            Arc::clone(known)
        } else {
            let new = Arc::from(code);
            self.codes.push(Arc::clone(&new));
            new
        };
        faults.push(Fault {
            row,
            site: self.site,
            reason,
            detail,
        });
    }
}

/// Values of a fixed width.
#[derive(Debug)]
struct Values<K: Kernel> {
    kernel: K,
    judge: Judge,
    /// Whether no text that means null could be taken for a value.
    fast: bool,
    read: Vec<K::Native>,
    /// Rows without a value, ascending.
    nulls: Vec<u32>,
    scratch: Vec<u8>,
}

impl<K: Kernel + 'static> Values<K> {
    fn boxed(mut kernel: K, judge: Judge) -> Box<dyn Collect> {
        let fast = judge
            .nulls
            .iter()
            .all(|null| kernel.parse(null, judge.lenient).is_err());
        // Texts of nulls are no values.
        kernel.adjusted();
        Box::new(Self {
            kernel,
            judge,
            fast,
            read: Vec::new(),
            nulls: Vec::new(),
            scratch: Vec::new(),
        })
    }
}

impl<K: Kernel> Collect for Values<K> {
    fn begin(&mut self, rows: usize) {
        self.read.reserve(rows);
    }

    fn stretch(&mut self, stretch: &Stretch<'_>, field: usize, faults: &mut Vec<Fault>) {
        let before = self.read.len();
        self.read
            .resize(before + stretch.index.rows(), K::Native::default());
        for (row, (start, end)) in stretch.index.spans(field).enumerate() {
            let fast = if self.fast {
                self.kernel.fast(stretch.bytes, start, end)
            } else {
                None
            };
            if let Some(value) = fast {
                self.read[before + row] = value;
            } else {
                let raw = stretch.raw(start, end);
                if raw.is_empty() && stretch.is_flawed(row) {
                    self.nulls.push(narrow(before + row));
                    continue;
                }
                let mut scratch = std::mem::take(&mut self.scratch);
                let (text, quoted) = stretch.dialect.text(raw, &mut scratch);
                let value = self.read(stretch.first_row + row, text, quoted, K::parse, faults);
                self.scratch = scratch;
                match value {
                    Some(value) => self.read[before + row] = value,
                    None => self.nulls.push(narrow(before + row)),
                }
            }
        }
    }

    fn cells(&mut self, given: &Given<'_>, faults: &mut Vec<Fault>) {
        let before = self.read.len();
        self.read
            .resize(before + given.rows(), K::Native::default());
        for (row, cell) in given.cells().enumerate() {
            let fast = match given.plain(cell) {
                Some((start, end)) if self.fast => self.kernel.fast(given.bytes(), start, end),
                _ => None,
            };
            if let Some(value) = fast {
                self.read[before + row] = value;
                continue;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let number = given.first_row() + row;
            let value = match given.meaning(cell, &mut scratch) {
                // As if unquoted: a column may say which texts mean null.
                Meaning::Text(text) => self.read(number, text, false, K::parse, faults),
                Meaning::Value(text) => self.read(number, text, false, K::parse_value, faults),
                Meaning::Bad(bad, text) => {
                    self.judge.bad(number, bad, text, faults);
                    None
                }
                Meaning::Absent { judged } => {
                    if !judged {
                        self.judge.absent(number, faults);
                    }
                    None
                }
            };
            self.scratch = scratch;
            match value {
                Some(value) => self.read[before + row] = value,
                None => self.nulls.push(narrow(before + row)),
            }
        }
    }

    fn text(&mut self, row: usize, text: &[u8], quoted: bool, faults: &mut Vec<Fault>) {
        let value = self.read(row, text, quoted, K::parse, faults);
        self.push(value);
    }

    fn value(&mut self, row: usize, text: &[u8], faults: &mut Vec<Fault>) {
        let value = self.read(row, text, false, K::parse_value, faults);
        self.push(value);
    }

    fn absent(&mut self, row: usize, judged: bool, faults: &mut Vec<Fault>) {
        if !judged {
            self.judge.absent(row, faults);
        }
        self.push(None);
    }

    fn misfit(&mut self, row: usize, bad: Bad, text: &[u8], faults: &mut Vec<Fault>) {
        self.judge.bad(row, bad, text, faults);
        self.push(None);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.read);
        let nulls = null_buffer(values.len(), &self.nulls);
        self.nulls.clear();
        self.kernel.array(values, nulls)
    }

    fn adjusted(&mut self) -> Adjusted {
        self.kernel.adjusted()
    }
}

impl<K: Kernel> Values<K> {
    fn push(&mut self, value: Option<K::Native>) {
        if value.is_none() {
            self.nulls.push(narrow(self.read.len()));
        }
        self.read.push(value.unwrap_or_default());
    }

    /// The exact way.
    fn read(
        &mut self,
        row: usize,
        text: &[u8],
        quoted: bool,
        parse: impl Fn(&mut K, &[u8], bool) -> Result<K::Native, Bad>,
        faults: &mut Vec<Fault>,
    ) -> Option<K::Native> {
        let inner = self.judge.trimmed(text, quoted);
        if self.judge.is_null(inner, quoted) {
            self.judge.absent(row, faults);
            return None;
        }
        match parse(&mut self.kernel, inner, self.judge.lenient) {
            Ok(value) => Some(value),
            Err(bad) => {
                self.judge.bad(row, bad, text, faults);
                None
            }
        }
    }
}

/// Validity of `rows` rows of which `nulls` have no value.
pub(super) fn null_buffer(rows: usize, nulls: &[u32]) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut validity = BooleanBufferBuilder::new(rows);
    validity.append_n(rows, true);
    for &row in nulls {
        validity.set_bit(wide(row), false);
    }
    Some(NullBuffer::new(validity.finish()))
}
