//! Single values as text: for partition folders, JSON and CSV.
//!
//! A per-row path: text output is for people and small tables; Parquet never comes here but for a partition's name.

use std::io::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_schema::{DataType, TimeUnit};

use crate::job::plan::timestamp_type;

/// The type a column of `data_type` has in the output, or `None` where a sink can't hold it.
///
/// The types of the job file stay as they are; what only expressions give is widened to one of them.
pub(super) fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float64
        | DataType::Date32
        | DataType::Utf8
        | DataType::Decimal128(_, _) => data_type.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, _) => timestamp_type(),
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => return canonical(values),
        _ => return None,
    })
}

/// Whether arrays of this type are taken as they are by everything in this room.
pub(super) fn is_plain(data_type: &DataType, logical: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(keys, values) => {
            **keys == DataType::Int32 && **values == DataType::Utf8 && *logical == DataType::Utf8
        }
        other => other == logical,
    }
}

/// A column, downcast once.
pub(super) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Text(&'a StringArray),
    Coded(&'a PrimitiveArray<Int32Type>, &'a StringArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Decimal(i128, i8),
    Text(&'a str),
    Date(i32),
    Timestamp(i64),
}

impl<'a> Values<'a> {
    /// Downcasts `array`, whose type is one that [`is_plain`] allows.
    pub(super) fn of(array: &'a ArrayRef) -> Self {
        let array: &dyn Array = array.as_ref();
        match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::Float64 => Self::Double(array.as_primitive()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_dictionary::<Int32Type>();
                Self::Coded(dictionary.keys(), dictionary.values().as_string())
            }
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(array.as_primitive()),
            other => unreachable!(
                "columns are brought to the plan's types before they are written, not {other}"
            ),
        }
    }

    /// The value of a row.
    pub(super) fn get(&self, row: usize) -> Scalar<'a> {
        fn valid<A: Array>(array: &A, row: usize) -> bool {
            !array.is_null(row)
        }
        match self {
            Self::Boolean(array) if valid(*array, row) => Scalar::Boolean(array.value(row)),
            Self::Int16(array) if valid(*array, row) => {
                Scalar::Integer(i64::from(array.value(row)))
            }
            Self::Int32(array) if valid(*array, row) => {
                Scalar::Integer(i64::from(array.value(row)))
            }
            Self::Int64(array) if valid(*array, row) => Scalar::Integer(array.value(row)),
            Self::Double(array) if valid(*array, row) => Scalar::Double(array.value(row)),
            Self::Decimal(array, scale) if valid(*array, row) => {
                Scalar::Decimal(array.value(row), *scale)
            }
            Self::Text(array) if valid(*array, row) => Scalar::Text(array.value(row)),
            Self::Coded(keys, values) if valid(*keys, row) => {
                let code =
                    usize::try_from(keys.value(row)).expect("dictionary keys are not negative");
                if values.is_null(code) {
                    Scalar::Null
                } else {
                    Scalar::Text(values.value(code))
                }
            }
            Self::Date(array) if valid(*array, row) => Scalar::Date(array.value(row)),
            Self::Timestamp(array) if valid(*array, row) => Scalar::Timestamp(array.value(row)),
            _ => Scalar::Null,
        }
    }
}

impl Scalar<'_> {
    /// The value in a partition folder before escaping: numbers and dates as in CSV, timestamps as Spark writes them.
    pub(super) fn folder(&self) -> Option<String> {
        let mut out = Vec::new();
        match *self {
            Self::Null => return None,
            Self::Timestamp(micros) => {
                push_timestamp(&mut out, micros, b' ');
            }
            _ => self.push(&mut out),
        }
        Some(String::from_utf8(out).expect("values are written as UTF-8"))
    }

    /// Appends the value as plain text; nothing for null.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Null => {}
            Self::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Self::Integer(value) => push_integer(out, value),
            Self::Double(value) => push_double(out, value),
            Self::Decimal(value, scale) => push_decimal(out, value, scale),
            Self::Text(value) => out.extend_from_slice(value.as_bytes()),
            Self::Date(days) => push_date(out, days),
            Self::Timestamp(micros) => {
                push_timestamp(out, micros, b'T');
                out.push(b'Z');
            }
        }
    }
}

/// Brings a batch's column to the sink's type, where an expression gave another encoding of it.
pub(super) fn bring(
    array: &ArrayRef,
    logical: &DataType,
) -> Result<ArrayRef, arrow_schema::ArrowError> {
    if is_plain(array.data_type(), logical) {
        Ok(Arc::clone(array))
    } else {
        arrow_cast::cast(array, logical)
    }
}

/// The shortest text that reads back as the same double; always with a fraction or an exponent.
pub(super) fn push_double(out: &mut Vec<u8>, value: f64) {
    write!(out, "{value:?}").expect("a vector takes every write");
}

/// A whole number.
pub(super) fn push_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = Digits::default();
    out.extend_from_slice(digits.of(u128::from(value.unsigned_abs())));
}

/// Every digit of the scale is written: 12.30 stays 12.30.
pub(super) fn push_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = Digits::default();
    let digits = digits.of(value.unsigned_abs());
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        return;
    };
    if scale == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.push(b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
    }
    out.push(b'.');
    out.extend(std::iter::repeat_n(
        b'0',
        scale.saturating_sub(digits.len()),
    ));
    out.extend_from_slice(&digits[whole..]);
}

/// The numbers below 100, each with two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut tens, mut at) = (b'0', 0);
    while tens <= b'9' {
        let mut ones = b'0';
        while ones <= b'9' {
            pairs[at] = [tens, ones];
            (ones, at) = (ones + 1, at + 1);
        }
        tens += 1;
    }
    pairs
};

/// Two digits of a number below 100.
fn pair(value: u64) -> [u8; 2] {
    PAIRS[usize::try_from(value).expect("two digits fit")]
}

/// Room for the digits of one number.
struct Digits([u8; 39]);

impl Default for Digits {
    fn default() -> Self {
        Self([b'0'; 39])
    }
}

impl Digits {
    /// The digits of a number; one for nought.
    fn of(&mut self, value: u128) -> &[u8] {
        /// What is cut off at once of a number that does not fit 64 bits.
        const PART: u128 = 10_u128.pow(18);
        let mut start = self.0.len();
        let mut rest = value;
        loop {
            // Whole parts have all their digits, the first one has those that it needs.
            let (part, is_first) = match u64::try_from(rest) {
                Ok(all) => (all, true),
                Err(_) => (
                    u64::try_from(rest % PART).expect("18 digits fit 64 bits"),
                    false,
                ),
            };
            let end = if is_first { start } else { start - 18 };
            let mut part = part;
            while part >= 100 {
                start -= 2;
                self.0[start..start + 2].copy_from_slice(&pair(part % 100));
                part /= 100;
            }
            let [tens, ones] = pair(part);
            start -= 1;
            self.0[start] = ones;
            if part >= 10 {
                start -= 1;
                self.0[start] = tens;
            }
            if is_first {
                return &self.0[start..];
            }
            self.0[end..start].fill(b'0');
            start = end;
            rest /= PART;
        }
    }
}

/// `2026-03-14`
pub(super) fn push_date(out: &mut Vec<u8>, days: i32) {
    let (year, month, day) = civil(i64::from(days));
    push_civil(out, year, month, day);
}

/// `2026-03-14T00:00:00.123`: milliseconds always, microseconds where there are some.
pub(super) fn push_timestamp(out: &mut Vec<u8>, micros: i64, separator: u8) {
    const DAY: i64 = 86_400_000_000;
    let (year, month, day) = civil(micros.div_euclid(DAY));
    push_civil(out, year, month, day);
    let of_day = micros.rem_euclid(DAY).unsigned_abs();
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut time = *b"T00:00:00.000000";
    time[0] = separator;
    for (at, value) in [
        (1, seconds / 3600),
        (4, seconds / 60 % 60),
        (7, seconds % 60),
        (10, fraction / 10_000),
        (12, fraction / 100 % 100),
        (14, fraction % 100),
    ] {
        time[at..at + 2].copy_from_slice(&pair(value));
    }
    let end = if fraction % 1000 == 0 { 13 } else { time.len() };
    out.extend_from_slice(&time[..end]);
}

fn push_civil(out: &mut Vec<u8>, year: i64, month: i64, day: i64) {
    if let Ok(year @ 0..=9999) = u64::try_from(year) {
        let mut date = *b"0000-00-00";
        for (at, value) in [
            (0, year / 100),
            (2, year % 100),
            (5, month.unsigned_abs()),
            (8, day.unsigned_abs()),
        ] {
            date[at..at + 2].copy_from_slice(&pair(value));
        }
        out.extend_from_slice(&date);
        return;
    }
    let sign = if year < 0 { '-' } else { '+' };
    write!(out, "{sign}{:04}-{month:02}-{day:02}", year.abs()).expect("a vector takes every write");
}

/// Days since 1970-01-01 as year, month and day of the proleptic Gregorian calendar. Years start in March here, so that
/// the leap day is the last of its year; 400 years have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(scalar: Scalar<'_>) -> String {
        let mut out = Vec::new();
        scalar.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_every_digit_of_their_scale() {
        assert_eq!(text(Scalar::Decimal(1230, 2)), "12.30");
        assert_eq!(text(Scalar::Decimal(-5, 2)), "-0.05");
        assert_eq!(text(Scalar::Decimal(0, 6)), "0.000000");
        assert_eq!(text(Scalar::Decimal(7, 0)), "7");
        assert_eq!(text(Scalar::Decimal(7, -2)), "700");
        assert_eq!(
            text(Scalar::Decimal(10_i128.pow(37), 37)),
            "1.0000000000000000000000000000000000000"
        );
    }

    #[test]
    fn digits_are_those_of_the_library() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u128;
        let mut values = vec![0, 1, 9, 10, 99, 100, i128::MAX, i128::MIN, -1];
        for power in 0..39 {
            let power = 10_i128.pow(power);
            values.extend([power - 1, power, -power, power / 2]);
            random = random
                .wrapping_mul(0xda94_2042_e4dd_58b5)
                .wrapping_add(power.unsigned_abs());
            values.push(random.cast_signed());
            values.push((random >> 70).cast_signed());
        }
        for value in values {
            assert_eq!(text(Scalar::Decimal(value, 0)), value.to_string());
            if let Ok(short) = i64::try_from(value) {
                assert_eq!(text(Scalar::Integer(short)), short.to_string());
            }
            for scale in [1, 2, 18, 37] {
                let shown = text(Scalar::Decimal(value, scale));
                let (whole, fraction) = shown.split_once('.').unwrap();
                assert_eq!(fraction.len(), usize::try_from(scale).unwrap(), "{shown}");
                let unit = 10_i128.pow(scale.unsigned_abs().into());
                assert_eq!(
                    whole.trim_start_matches('-'),
                    (value / unit).unsigned_abs().to_string()
                );
                assert_eq!(
                    fraction
                        .trim_start_matches('0')
                        .parse::<u128>()
                        .unwrap_or(0),
                    (value % unit).unsigned_abs()
                );
                assert_eq!(shown.starts_with('-'), value < 0);
            }
        }
        for value in [i64::MIN, i64::MAX] {
            assert_eq!(text(Scalar::Integer(value)), value.to_string());
        }
    }

    #[test]
    fn timestamps_are_iso_with_microseconds_where_there_are_some() {
        assert_eq!(text(Scalar::Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            text(Scalar::Timestamp(1_773_446_400_123_000)),
            "2026-03-14T00:00:00.123Z"
        );
        assert_eq!(text(Scalar::Timestamp(-1)), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            Scalar::Timestamp(1).folder().unwrap(),
            "1970-01-01 00:00:00.000001"
        );
    }

    #[test]
    fn dates_agree_with_chrono_over_two_thousand_years() {
        for days in (-700_000..700_000).step_by(13) {
            let date = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()
                + chrono::Duration::days(i64::from(days));
            assert_eq!(text(Scalar::Date(days)), date.to_string());
            let micros = i64::from(days) * 86_399_999_123;
            let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            let shown = if micros % 1000 == 0 { "%.3f" } else { "%.6f" };
            let wanted = time
                .format(&format!("%Y-%m-%dT%H:%M:%S{shown}Z"))
                .to_string();
            assert_eq!(text(Scalar::Timestamp(micros)), wanted);
        }
    }

    #[test]
    fn doubles_read_back_as_they_were() {
        assert_eq!(text(Scalar::Double(1.0)), "1.0");
        assert_eq!(text(Scalar::Double(1e300)), "1e300");
        assert_eq!(text(Scalar::Double(0.1 + 0.2)), "0.30000000000000004");
    }
}
