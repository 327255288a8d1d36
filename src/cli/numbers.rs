//! Numbers and types as people read them.

use arrow_schema::DataType;

/// Between groups of three digits: a thin space that does not break, so that a number stays one word.
const SEPARATOR: char = '\u{202f}';

/// `1234567` as `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(SEPARATOR);
        }
        text.push(digit);
    }
    text
}

/// A number of rows with its word.
pub(super) fn rows(number: u64) -> String {
    counted(number, "row", "rows")
}

/// A number with the word for one or for several.
pub(super) fn counted(number: u64, one: &str, several: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { several }
    )
}

/// Bytes in the largest unit of which there are at least ten, or the one below it.
pub(super) fn bytes(number: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if number >> shift >= 10 {
            return format!("{} {unit}", grouped(number >> shift));
        }
    }
    format!("{} B", grouped(number))
}

/// Rows per second, rounded; 0 where no time has passed.
pub(super) fn per_second(rows: u64, seconds: f64) -> u64 {
    if seconds <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people: counts are below 2^53, and the result is positive and finite"
    )]
    let rate = (rows as f64 / seconds).round() as u64;
    rate
}

/// A share as per cent with one digit; never 0.0 or 100.0 unless it is exactly that.
pub(super) fn per_cent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    let per_mille = u128::from(part) * 1000 / u128::from(whole);
    match per_mille {
        0 => "under 0.1 %".to_owned(),
        _ => format!("{}.{} %", per_mille / 10, per_mille % 10),
    }
}

/// A type as the job file writes it.
pub(super) fn data_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "varchar".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, _) => "timestamp".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three_from_the_right() {
        let plain = |number| grouped(number).replace(SEPARATOR, "'");
        assert_eq!(plain(0), "0");
        assert_eq!(plain(999), "999");
        assert_eq!(plain(1000), "1'000");
        assert_eq!(plain(12_345_678), "12'345'678");
        assert_eq!(rows(1), "1 row");
    }

    #[test]
    fn a_small_share_is_not_nothing_and_a_large_one_is_not_all() {
        assert_eq!(per_cent(0, 0), "0 %");
        assert_eq!(per_cent(1, 100_000), "under 0.1 %");
        assert_eq!(per_cent(99_999, 100_000), "99.9 %");
        assert_eq!(per_cent(100_000, 100_000), "100 %");
        assert_eq!(per_cent(1, 8), "12.5 %");
    }

    #[test]
    fn rates_and_sizes_stay_whole_numbers() {
        assert_eq!(per_second(10, 0.0), 0);
        assert_eq!(per_second(10, 4.0), 3);
        assert_eq!(bytes(9 << 20), format!("9{SEPARATOR}216 KiB"));
        assert_eq!(bytes(10 << 20), "10 MiB");
        assert_eq!(bytes(12), "12 B");
    }
}
