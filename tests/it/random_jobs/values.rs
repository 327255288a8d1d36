//! Types of columns: texts that files may hold for them, right and wrong, and what a text means.
//!
//! Meanings are worked out from the documented format alone, with whole numbers of any size and chrono's calendar.

use chrono::{NaiveDate, NaiveTime};

use super::super::tables::Cell;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    BigInt,
    /// Precision and scale.
    Decimal(u32, u32),
    Varchar,
    Timestamp,
    Date,
}

impl Kind {
    /// The type as a job file writes it.
    pub(super) fn sql(self) -> String {
        match self {
            Self::Int => "int".to_owned(),
            Self::BigInt => "bigint".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::Varchar => "varchar".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Date => "date".to_owned(),
        }
    }

    /// A field of a file: three of four are plain values near each other, the others are the odd ones of the type.
    pub(super) fn field(self, pick: u32) -> String {
        let (form, number) = (pick % 16, usize::try_from(pick / 16).unwrap());
        if form >= 12 {
            let odd = self.odd();
            return odd[number % odd.len()].to_owned();
        }
        match self {
            Self::Int => (number % 23).to_string(),
            Self::BigInt => format!("{}", 3_000_000_000_u64 * u64::try_from(number % 7).unwrap()),
            Self::Decimal(_, scale) => {
                let scale = usize::try_from(scale).unwrap();
                format!("{}.{:0>scale$}", number % 19, number % 7)
            }
            Self::Varchar => ["ES", "FR", "es", " ES ", "\"a,b\"", "ñandú"][number % 6].to_owned(),
            Self::Timestamp => {
                // Ten hours around a midnight.
                let minute = 20 * 60 + number % 600;
                let (day, minute) = (1 + minute / 1440, minute % 1440);
                let tail = ["Z", ".250Z", ".000001Z", "+00:00", ""][number % 5];
                format!(
                    "2026-03-{day:02}T{:02}:{:02}:{:02}{tail}",
                    minute / 60,
                    minute % 60,
                    number % 60
                )
            }
            Self::Date => format!("2026-03-{:02}", 1 + number % 3),
        }
    }

    fn odd(self) -> &'static [&'static str] {
        match self {
            Self::Int => &[
                "",
                "\"\"",
                "\"12\"",
                "x3",
                "2147483647",
                "-2147483648",
                "2147483648",
                "+7",
                "007",
                "1.5",
                " 7",
                "-",
                "1e3",
                "\"4\"4",
            ],
            Self::BigInt => &[
                "",
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775808",
                "12345678901234567",
                "1_000",
                "\"5\"",
            ],
            Self::Decimal(..) => &[
                "",
                "\"\"",
                "-0.01",
                "1",
                "\"1.5\"",
                ".5",
                "2.",
                "1e2",
                "12E-1",
                "1.23456789",
                "1.500000000",
                "99999999999999999999",
                "abc",
                "NaN",
                "\"1,5\"",
                "--1",
                ".",
                "0e99999",
            ],
            Self::Varchar => &[
                "",
                "\"\"",
                "\" \"",
                "\"say \"\"hi\"\"\"",
                "\"two\nlines\"",
                "5\" disk",
                "\"a\"b",
                "null",
            ],
            Self::Timestamp => &[
                "",
                "2026-14-03 25:61",
                "yesterday",
                "2026-02-30T00:00:00Z",
                "2026-03-02 00:00:00",
                "2026-03-02T01:30:00+02:00",
                "2026-03-01T23:59:59.999999Z",
                "2026-03-02T00:00:00.1234567Z",
                "2026-03-02T00:00:00.1234560Z",
                "2026-03-02T24:00:00Z",
                "2026-03-02",
                "\"2026-03-02T03:00:00Z\"",
            ],
            Self::Date => &[
                "",
                "2026-02-29",
                "2024-02-29",
                "02/03/2026",
                "2026-3-2",
                "\"2026-03-02\"",
                "0000-01-01",
                "1969-12-31",
            ],
        }
    }

    /// What the text of a field means, or the reason why it means nothing.
    pub(super) fn read(self, text: &str, quoted: bool) -> Result<Cell, &'static str> {
        if text.is_empty() && !(self == Self::Varchar && quoted) {
            return Ok(Cell::Null);
        }
        match self {
            Self::Int => integer(text, 1 << 31),
            Self::BigInt => integer(text, 1 << 63),
            Self::Decimal(precision, scale) => decimal(text, precision, scale),
            Self::Varchar => Ok(Cell::text(text)),
            Self::Timestamp => timestamp(text).map(Cell::Whole),
            Self::Date => date(text)
                .map(Cell::Whole)
                .ok_or(if text.starts_with("0000-") {
                    "date_out_of_range"
                } else {
                    "bad_date"
                }),
        }
    }
}

/// Digits and nothing else; the empty text is zero.
fn digits(text: &str) -> Option<i128> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| {
        text.bytes()
            .fold(0, |value, byte| value * 10 + i128::from(byte - b'0'))
    })
}

fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A whole number in −`bound` .. `bound`.
fn integer(text: &str, bound: i128) -> Result<Cell, &'static str> {
    let (sign, body) = signed(text);
    let value = digits(body)
        .filter(|_| !body.is_empty())
        .ok_or("bad_integer")?;
    let value = sign * value;
    if (-bound..bound).contains(&value) {
        Ok(Cell::Whole(value))
    } else {
        Err("overflow")
    }
}

/// Units of 10^-`scale`; nothing is rounded.
fn decimal(text: &str, precision: u32, scale: u32) -> Result<Cell, &'static str> {
    let bad = "bad_decimal";
    let (sign, body) = signed(text);
    let (number, exponent) = match body.split_once(['e', 'E']) {
        Some((number, exponent)) => {
            let (sign, body) = signed(exponent);
            let size = digits(body).filter(|_| !body.is_empty()).ok_or(bad)?;
            (number, sign * size)
        }
        None => (body, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 {
        return Err(bad);
    }
    digits(whole).and(digits(fraction)).ok_or(bad)?;
    // The value is `units` · 10^-`places`, without zeros at the end, so that it can be told whether any digit is lost.
    let mut units = digits(&format!("{whole}{fraction}")).unwrap();
    let mut places = i128::try_from(fraction.len()).unwrap() - exponent;
    if units == 0 {
        return Ok(decimal_cell(0, scale));
    }
    while units % 10 == 0 {
        units /= 10;
        places -= 1;
    }
    let shift = i128::from(scale) - places;
    let length = i128::try_from(units.to_string().len()).unwrap() + shift;
    if length > i128::from(precision) {
        return Err("overflow");
    }
    let shift = u32::try_from(shift).map_err(|_| "scale_loss")?;
    Ok(decimal_cell(sign * units * 10_i128.pow(shift), scale))
}

/// A decimal.
pub(super) fn decimal_cell(units: i128, scale: u32) -> Cell {
    Cell::Decimal(units, i8::try_from(scale).unwrap())
}

/// Days since 1970.
fn date(text: &str) -> Option<i128> {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let first = NaiveDate::from_ymd_opt(1, 1, 1)?;
    (shape == "9999-99-99" && day >= first).then(|| {
        i128::from(
            day.signed_duration_since(NaiveDate::default()) // 1970-01-01
                .num_days(),
        )
    })
}

/// Microseconds since 1970.
fn timestamp(text: &str) -> Result<i128, &'static str> {
    let bad = "bad_timestamp";
    let (day, rest) = text.split_at_checked(10).ok_or(bad)?;
    let day = date(day).ok_or(bad)?;
    let rest = rest.strip_prefix(['T', ' ']).ok_or(bad)?;
    let (time, rest) = rest.split_at_checked(8).ok_or(bad)?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S").map_err(|_| bad)?;
    let mut micros = i128::from((time - NaiveTime::MIN).num_microseconds().unwrap());
    let mut rest = rest;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(fraction.len());
        let (kept, lost) = fraction[..end].split_at(end.min(6));
        if digits(lost) != Some(0) {
            return Err("scale_loss");
        }
        micros += digits(&format!("{kept:0<6}")).ok_or(bad)?;
        rest = &fraction[end..];
    }
    let east_hours = match rest {
        "" | "Z" | "+00:00" => 0,
        "+02:00" => 2,
        other => panic!("no field of these tests ends with {other:?}"),
    };
    Ok(day * 86_400_000_000 + micros - east_hours * 3_600_000_000)
}
