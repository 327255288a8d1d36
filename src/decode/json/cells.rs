//! What a stretch of records has for each column: places of values, and what they are.

use super::grammar::{Shape, Span, Wrong};
use super::text::unescape;
use crate::decode::kernel::Bad;
use crate::decode::scan::{narrow, wide};
use crate::job::plan::{ColumnType, SourceColumn};

/// The value is of a type that no text of the column's type can be.
pub(in crate::decode) const WRONG_TYPE: Bad = Bad::new("wrong_type");
/// A name stands twice in an object.
const DUPLICATE_KEY: Bad = Bad::new("duplicate_key");
/// Text for what is no finite number.
const NON_FINITE: Bad = Bad::new("non_finite");

/// What stands where a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Kind {
    /// Nothing: the member is missing.
    Absent,
    /// Nothing that means anything: the record is judged as a whole.
    Judged,
    /// A value.
    Value(Shape),
    /// Something on the way that is not what the path says, such as a number that should be an object.
    Misplaced,
    /// The second value of one name.
    Duplicate,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Cell {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

impl Cell {
    pub(super) const ABSENT: Self = Self {
        start: 0,
        end: 0,
        kind: Kind::Absent,
    };

    pub(super) fn new(span: &Span) -> Self {
        Self {
            start: narrow(span.start),
            end: narrow(span.end),
            kind: Kind::Value(span.shape),
        }
    }

    /// Whether nothing or `null` stands there.
    pub(super) fn is_nothing(self) -> bool {
        matches!(self.kind, Kind::Absent | Kind::Value(Shape::Null))
    }

    /// The bytes, as they are written.
    pub(super) fn raw(self, bytes: &[u8]) -> &[u8] {
        bytes.get(wide(self.start)..wide(self.end)).unwrap_or(&[])
    }
}

/// The rows of a stretch.
#[derive(Debug, Default)]
pub(in crate::decode) struct Cells {
    /// Cells of a row.
    pub(super) width: usize,
    /// Row by row.
    pub(super) all: Vec<Cell>,
    /// For each row, the first byte of its record.
    pub(in crate::decode) starts: Vec<u32>,
    /// For each row, which element of its record it is; empty where nothing is unnested.
    pub(super) elements: Vec<u32>,
    /// Rows that are no records, ascending, each with one past the last byte that is its.
    pub(super) flaws: Vec<(usize, usize, Wrong)>,
    /// Records that are no rows since their array is empty.
    pub(super) dropped: u64,
}

impl Cells {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.starts.clear();
        self.elements.clear();
        self.flaws.clear();
        self.dropped = 0;
    }

    /// Number of rows.
    pub(in crate::decode) fn rows(&self) -> usize {
        self.starts.len()
    }

    /// Number of rows that have cells: those before, and the ones of the record that is read.
    pub(super) fn begin_row(&mut self, row: usize) {
        let needed = (row + 1) * self.width;
        if self.all.len() < needed {
            self.all.resize(needed, Cell::ABSENT);
        }
    }
}

/// What a column makes of JSON's types, worked out once.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is what one JSON type is to the column"
)]
pub(in crate::decode) struct Fits {
    slot: usize,
    boolean: bool,
    number: bool,
    text: bool,
    /// Whether anything is taken as it is written.
    as_written: bool,
    is_number: bool,
}

impl Fits {
    pub(super) fn new(column: &SourceColumn, slot: usize, as_written: bool) -> Self {
        use ColumnType as T;
        let lenient = column.lenient;
        let (boolean, number, text) = match column.column_type {
            T::Boolean => (true, lenient, lenient),
            T::SmallInt | T::Int | T::BigInt | T::Double => (false, true, lenient),
            T::Decimal(..) => (false, true, true),
            T::Varchar => (lenient, true, true),
            T::Date => (false, false, true),
            T::Timestamp => (false, column.unit.is_some(), true),
        };
        Self {
            slot,
            boolean,
            number,
            text,
            as_written,
            is_number: matches!(
                column.column_type,
                T::SmallInt | T::Int | T::BigInt | T::Double | T::Decimal(..)
            ),
        }
    }
}

/// One column of a stretch.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Given<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) cells: &'a Cells,
    pub(super) fits: &'a Fits,
    /// The draft's number of the stretch's first row.
    pub(super) first_row: usize,
}

/// What a cell is to its column.
#[derive(Debug)]
pub(in crate::decode) enum Meaning<'a> {
    /// No value; whether the row is judged as a whole already.
    Absent { judged: bool },
    /// The text of a string.
    Text(&'a [u8]),
    /// The text of a number or truth value, which JSON writes in one way whatever the file's habits are.
    Value(&'a [u8]),
    /// No value of the column.
    Bad(Bad, &'a [u8]),
}

impl<'a> Given<'a> {
    /// The chunk.
    pub(in crate::decode) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of rows.
    pub(in crate::decode) fn rows(&self) -> usize {
        self.cells.rows()
    }

    /// The draft's number of the first row.
    pub(in crate::decode) fn first_row(&self) -> usize {
        self.first_row
    }

    /// The column's cell of every row.
    #[inline(always)]
    pub(in crate::decode) fn cells(&self) -> impl Iterator<Item = Cell> + use<'a> {
        let (slot, width) = (self.fits.slot, self.cells.width);
        self.cells.all.chunks_exact(width).map(move |row| row[slot])
    }

    /// The place of a text that is the column's value as it stands.
    #[inline(always)]
    pub(in crate::decode) fn plain(&self, cell: Cell) -> Option<(usize, usize)> {
        let fits = match cell.kind {
            Kind::Value(Shape::Text) => self.fits.text && !self.fits.as_written,
            Kind::Value(Shape::Number) => self.fits.number,
            Kind::Value(Shape::Boolean) => self.fits.boolean,
            _ => false,
        };
        fits.then(|| (wide(cell.start), wide(cell.end)))
    }

    /// What a cell means, whatever it is; `scratch` takes text without its escapes.
    pub(in crate::decode) fn meaning<'b>(&self, cell: Cell, scratch: &'b mut Vec<u8>) -> Meaning<'b>
    where
        'a: 'b,
    {
        let raw = cell.raw(self.bytes);
        let shape = match cell.kind {
            Kind::Absent | Kind::Value(Shape::Null) => return Meaning::Absent { judged: false },
            Kind::Judged => return Meaning::Absent { judged: true },
            Kind::Misplaced => return Meaning::Bad(WRONG_TYPE, raw),
            Kind::Duplicate => return Meaning::Bad(DUPLICATE_KEY, raw),
            Kind::Value(shape) => shape,
        };
        if self.fits.as_written {
            // A string's quotes belong to it.
            let quote = usize::from(matches!(shape, Shape::Text | Shape::Escaped));
            let (start, end) = (wide(cell.start) - quote, wide(cell.end) + quote);
            return Meaning::Text(&self.bytes[start..end]);
        }
        let (fits, text) = match shape {
            Shape::Boolean => (self.fits.boolean, raw),
            Shape::Number => (self.fits.number, raw),
            Shape::Text => (self.fits.text, raw),
            Shape::Escaped => (self.fits.text, unescape(raw, scratch)),
            Shape::Null | Shape::Object | Shape::Array => (false, raw),
        };
        let is_string = matches!(shape, Shape::Text | Shape::Escaped);
        if is_string && self.fits.is_number && is_non_finite(text) {
            return Meaning::Bad(NON_FINITE, text);
        }
        match shape {
            _ if !fits => Meaning::Bad(WRONG_TYPE, text),
            Shape::Number | Shape::Boolean => Meaning::Value(text),
            _ => Meaning::Text(text),
        }
    }
}

/// Whether a text is what programs write for a number that is none.
fn is_non_finite(text: &[u8]) -> bool {
    let text = text
        .strip_prefix(b"-")
        .or_else(|| text.strip_prefix(b"+"))
        .unwrap_or(text);
    [&b"nan"[..], b"inf", b"infinity"]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name))
}
