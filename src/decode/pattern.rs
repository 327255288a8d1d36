//! Declared patterns of dates and times (`strftime`), compiled.
//!
//! The usual specifiers are matched here, at a few nanoseconds each; a pattern with any other is left to `chrono`. As
//! there, numbers may have fewer digits than their width and a blank matches any blanks. `%f` are digits after a dot
//! (`00.5` is half a second), whatever their number; two-digit years lie in the hundred years from the column's `pivot` on.

use chrono::format::{Parsed, StrftimeItems, parse};
use chrono::{Datelike, Timelike};

use super::time::days;

/// An offset from UTC, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone {
    /// Seconds to be taken from the local time.
    pub(super) east_seconds: i64,
}

/// What a text says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fields {
    year: i64,
    month: i64,
    day: i64,
    /// Instead of month and day.
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    /// Whether `hour` is of a clock with twelve hours, and then of which half of the day.
    twelve: bool,
    afternoon: bool,
    /// Within the second.
    pub(super) nanos: i64,
    /// The offset, where written.
    pub(super) zone: Option<Zone>,
}

impl Fields {
    /// Days since 1970, where there is such a date.
    pub(super) fn days(&self) -> Option<i64> {
        match self.day_of_year {
            None => days(self.year, self.month, self.day),
            Some(day) => {
                let first = days(self.year, 1, 1)?;
                let last = days(self.year, 12, 31)?;
                Some(first + day - 1).filter(|day| (first..=last).contains(day))
            }
        }
    }

    /// Seconds since midnight, where there is such a time.
    pub(super) fn second_of_day(&self) -> Option<i64> {
        let hour = match (self.twelve, self.afternoon) {
            (false, _) => self.hour,
            (true, _) if !(1..=12).contains(&self.hour) => return None,
            (true, false) => self.hour % 12,
            (true, true) => self.hour % 12 + 12,
        };
        let fits = hour <= 23 && self.minute <= 59 && self.second <= 59;
        fits.then_some(hour * 3600 + self.minute * 60 + self.second)
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    way: Way,
    /// First of the hundred years that two-digit years lie in.
    pivot: i64,
}

#[derive(Debug)]
enum Way {
    Own(Vec<Item>),
    Chrono(String),
}

/// First of the hundred years of two-digit years where the job says none, as in POSIX.
const PIVOT: i64 = 1969;

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Literal(u8),
    Blank,
    Year,
    ShortYear,
    Month,
    MonthName,
    Weekday,
    Day,
    DayOfYear,
    Hour,
    TwelveHour,
    HalfDay,
    Minute,
    Second,
    /// Digits after a dot that is part of the pattern.
    Fraction,
    /// `%.f`: nothing, or a dot with digits.
    DotFraction,
    Zone,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

impl Pattern {
    /// Compiles a `strftime` pattern; two-digit years lie in the hundred years from `pivot` on.
    pub(super) fn new(format: &str, pivot: Option<i64>) -> Self {
        let mut items = Vec::new();
        let way = match compile(format, &mut items) {
            Some(()) => Way::Own(items),
            None => Way::Chrono(format.to_owned()),
        };
        Self {
            way,
            pivot: pivot.unwrap_or(PIVOT),
        }
    }

    /// What `text` says, where it is of this pattern from its first to its last byte.
    pub(super) fn read(&self, text: &[u8]) -> Option<Fields> {
        match &self.way {
            Way::Own(items) => {
                let mut fields = Fields::default();
                let rest = items
                    .iter()
                    .try_fold(text, |rest, item| item.read(rest, self.pivot, &mut fields))?;
                rest.is_empty().then_some(fields)
            }
            Way::Chrono(format) => by_chrono(format, self.pivot, text),
        }
    }
}

/// The year of the hundred from `pivot` on that ends in these two digits.
fn full_year(short: i64, pivot: i64) -> i64 {
    pivot + (short - pivot).rem_euclid(100)
}

/// A pattern with what it stands for written out: `%D` is `%m/%d/%y`.
pub(crate) fn plain(pattern: &str) -> String {
    const LONG: [(&str, &str); 4] = [
        ("%D", "%m/%d/%y"),
        ("%x", "%m/%d/%y"),
        ("%F", "%Y-%m-%d"),
        ("%e", "%d"),
    ];
    LONG.iter()
        .fold(pattern.to_owned(), |pattern, (short, long)| {
            pattern.replace(short, long)
        })
}

/// The plain pattern with day and month in each other's place.
pub(crate) fn swapped(pattern: &str) -> String {
    let day_for_month = |piece: &str| piece.replace("%m", "%d");
    let pattern = plain(pattern);
    let pieces: Vec<String> = pattern.split("%d").map(day_for_month).collect();
    pieces.join("%m")
}

fn compile(format: &str, items: &mut Vec<Item>) -> Option<()> {
    let mut rest = format.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (&specifier, after) = rest.split_first()?;
                rest = after;
                match specifier {
                    b'Y' => items.push(Item::Year),
                    b'y' => items.push(Item::ShortYear),
                    b'm' => items.push(Item::Month),
                    b'd' | b'e' => items.push(Item::Day),
                    b'j' => items.push(Item::DayOfYear),
                    b'b' | b'B' | b'h' => items.push(Item::MonthName),
                    b'a' | b'A' => items.push(Item::Weekday),
                    b'H' | b'k' => items.push(Item::Hour),
                    b'I' | b'l' => items.push(Item::TwelveHour),
                    b'p' | b'P' => items.push(Item::HalfDay),
                    b'M' => items.push(Item::Minute),
                    b'S' => items.push(Item::Second),
                    b'f' => items.push(Item::Fraction),
                    b'z' => items.push(Item::Zone),
                    b'.' if rest.first() == Some(&b'f') => {
                        items.push(Item::DotFraction);
                        rest = &rest[1..];
                    }
                    b':' if rest.first() == Some(&b'z') => {
                        items.push(Item::Zone);
                        rest = &rest[1..];
                    }
                    b'F' => compile("%Y-%m-%d", items)?,
                    b'T' | b'X' => compile("%H:%M:%S", items)?,
                    b'R' => compile("%H:%M", items)?,
                    b'D' | b'x' => compile("%m/%d/%y", items)?,
                    b'%' => items.push(Item::Literal(b'%')),
                    _ => return None,
                }
            }
            byte if byte.is_ascii_whitespace() => items.push(Item::Blank),
            byte => items.push(Item::Literal(byte)),
        }
    }
    Some(())
}

impl Item {
    /// Reads this piece at the start of `text` and gives what follows it.
    fn read<'a>(self, text: &'a [u8], pivot: i64, fields: &mut Fields) -> Option<&'a [u8]> {
        let mut rest = text;
        match self {
            Self::Literal(byte) => rest = text.strip_prefix(&[byte])?,
            Self::Blank => rest = text.trim_ascii_start(),
            Self::Year => fields.year = digits(&mut rest, 4)?,
            Self::ShortYear => fields.year = full_year(digits(&mut rest, 2)?, pivot),
            Self::Month => fields.month = digits(&mut rest, 2)?,
            Self::Day => fields.day = digits(&mut rest, 2)?,
            Self::DayOfYear => fields.day_of_year = Some(digits(&mut rest, 3)?),
            Self::MonthName => fields.month = name(&mut rest, &MONTHS)? + 1,
            Self::Weekday => {
                name(&mut rest, &WEEKDAYS)?;
            }
            Self::Hour => fields.hour = digits(&mut rest, 2)?,
            Self::TwelveHour => {
                fields.hour = digits(&mut rest, 2)?;
                fields.twelve = true;
            }
            Self::HalfDay => {
                let (half, after) = text.split_at_checked(2)?;
                fields.afternoon = half.eq_ignore_ascii_case(b"pm");
                if !fields.afternoon && !half.eq_ignore_ascii_case(b"am") {
                    return None;
                }
                rest = after;
            }
            Self::Minute => fields.minute = digits(&mut rest, 2)?,
            Self::Second => fields.second = digits(&mut rest, 2)?,
            Self::Fraction => fields.nanos = nanos(&mut rest)?,
            Self::DotFraction => {
                if let Some(after) = text.strip_prefix(b".") {
                    rest = after;
                    fields.nanos = nanos(&mut rest)?;
                }
            }
            Self::Zone => {
                let end = text.iter().position(|byte| {
                    !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b':' | b'Z' | b'z')
                });
                let (zone, after) = text.split_at(end.unwrap_or(text.len()));
                fields.zone = Some(super::time::zone(zone)??);
                rest = after;
            }
        }
        Some(rest)
    }
}

/// One to `width` digits.
fn digits(rest: &mut &[u8], width: usize) -> Option<i64> {
    let text = *rest;
    let count = text
        .iter()
        .take(width)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (number, after) = text.split_at(count);
    *rest = after;
    (count > 0).then(|| super::time::number(number))?
}

/// Digits after a dot as nanoseconds; from the tenth on they must be zeros.
fn nanos(rest: &mut &[u8]) -> Option<i64> {
    let text = *rest;
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = text.split_at(count);
    *rest = after;
    let (kept, lost) = number.split_at(count.min(9));
    if count == 0 || lost.iter().any(|&byte| byte != b'0') {
        return None;
    }
    let missing = u32::try_from(9 - kept.len()).ok()?;
    Some(super::time::number(kept)? * 10_i64.pow(missing))
}

/// A name in any case, in full or its first three letters; its place in the list.
fn name(rest: &mut &[u8], names: &[&str]) -> Option<i64> {
    let text = *rest;
    let starts = |name: &str| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let place = names.iter().position(|name| starts(&name[..3]))?;
    let length = if starts(names[place]) {
        names[place].len()
    } else {
        3
    };
    *rest = &text[length..];
    i64::try_from(place).ok()
}

/// The slow way: everything that `chrono` knows.
fn by_chrono(format: &str, pivot: i64, text: &[u8]) -> Option<Fields> {
    let text = str::from_utf8(text).ok()?;
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, StrftimeItems::new(format)).ok()?;
    if let (None, None, Some(short)) = (parsed.year(), parsed.year_div_100(), parsed.year_mod_100())
    {
        let year = full_year(i64::from(short), pivot);
        parsed.set_year_div_100(year / 100).ok()?;
    }
    let zone = parsed.to_fixed_offset().ok().map(|offset| Zone {
        east_seconds: i64::from(offset.local_minus_utc()),
    });
    let (date, time) = match parsed.to_naive_datetime_with_offset(0) {
        Ok(both) => (both.date(), Some(both.time())),
        Err(_) => (parsed.to_naive_date().ok()?, None),
    };
    let time = time.unwrap_or_default();
    Some(Fields {
        year: i64::from(date.year()),
        month: i64::from(date.month()),
        day: i64::from(date.day()),
        hour: i64::from(time.hour()),
        minute: i64::from(time.minute()),
        second: i64::from(time.second()),
        nanos: i64::from(time.nanosecond()),
        zone,
        ..Fields::default()
    })
}
