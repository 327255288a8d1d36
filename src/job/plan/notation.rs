//! How texts of a column are written, where a file has habits of its own.
//!
//! Everything here is none by default, and the decoder then takes its plain ways: whoever uses nothing pays nothing.

pub use crate::transform::Rounding;

/// How texts of a column are written, beyond what its type says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notation {
    /// Numbers with other marks and signs than `-1234.5`.
    pub number: Option<NumberNotation>,
    /// How decimals with too many digits are rounded; `None`: they are faults.
    pub round: Option<Rounding>,
    /// Words for the truth values.
    pub words: Option<Words>,
    /// First of the hundred years that two-digit years lie in; `None`: 1969.
    pub pivot: Option<i64>,
    /// Further fields of the file whose texts follow that of `header`, each behind a blank: a date and its time.
    pub parts: Vec<String>,
    /// What local times do when clocks change.
    pub local: LocalTimes,
    /// Which dates (in days since 1970) and timestamps (in microseconds) are taken; `None`: all of the years 1 to 9999.
    pub range: Option<Range>,
}

impl Notation {
    /// Of values that are no texts: marks, signs and words have no meaning there.
    #[must_use]
    pub fn of_values(&self) -> Self {
        Self {
            number: None,
            words: None,
            ..self.clone()
        }
    }
}

/// Marks and signs of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch or a word of the job file"
)]
pub struct NumberNotation {
    /// Before the fraction: `.` or `,`.
    pub decimal: u8,
    /// Between groups of digits.
    pub thousands: Option<char>,
    /// Signs of a currency that may stand before or after the number.
    pub currency: Vec<String>,
    /// Whether `%` must stand after the number, which is divided by 100.
    pub percent: bool,
    /// Whether `(1)` is negative.
    pub parentheses: bool,
    /// Whether `1-` is negative.
    pub trailing: bool,
    /// Whether U+2212 is a minus.
    pub typographic: bool,
}

impl Default for NumberNotation {
    /// Plain numbers.
    fn default() -> Self {
        Self {
            decimal: b'.',
            thousands: None,
            currency: Vec::new(),
            percent: false,
            parentheses: false,
            trailing: false,
            typographic: false,
        }
    }
}

/// Words for the truth values, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What is true.
    pub yes: Vec<String>,
    /// What is false.
    pub no: Vec<String>,
}

/// What local times do when clocks change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalTimes {
    /// A time that occurs twice.
    pub repeated: Repeated,
    /// A time that does not occur.
    pub skipped: Skipped,
}

/// What a local time does that occurs twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeated {
    /// It is a fault.
    #[default]
    Refuse,
    /// The first is meant.
    Earlier,
    /// The second is meant.
    Later,
}

/// What a local time does that does not occur.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Skipped {
    /// It is a fault.
    #[default]
    Refuse,
    /// It is moved on by as much as the clocks were.
    Shift,
}

/// First and last value that are taken, in the unit of the column's arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

impl Range {
    /// Whether a value is taken.
    pub fn holds(self, value: i64) -> bool {
        (self.first..=self.last).contains(&value)
    }
}
