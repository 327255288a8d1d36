//! Values with a unit: durations, lengths of windows, sizes, percentages.
//!
//! A number without a unit is a fault: whoever reads `timeout = "30"` would have to guess.

use std::time::Duration;

use chrono::Weekday;

use super::report::Wrong;
use crate::job::plan::WindowLength;
use crate::job::problems::quoted;

/// Microseconds of a day of 24 hours.
pub(super) const DAY: i64 = 86_400_000_000;

/// Units of time, their names and microseconds.
const DURATIONS: [(&[&str], i64); 7] = [
    (&["us", "µs", "microsecond", "microseconds"], 1),
    (&["ms", "millisecond", "milliseconds"], 1_000),
    (&["s", "second", "seconds"], 1_000_000),
    (&["min", "minute", "minutes"], 60_000_000),
    (&["h", "hour", "hours"], 3_600_000_000),
    (&["d", "day", "days"], DAY),
    (&["week", "weeks"], 7 * DAY),
];

/// Units of size, and bytes.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration in microseconds; a day has 24 hours.
pub fn read_duration(text: &str) -> Result<i64, Wrong> {
    let (count, unit) = read_count_and_unit(text)?;
    count.checked_mul(unit).ok_or_else(|| too_long(text))
}

/// Reads a duration between two bounds, both inclusive.
pub(super) fn read_duration_in(
    text: &str,
    least: Duration,
    most: Duration,
) -> Result<Duration, Wrong> {
    let micros = read_duration(text)?;
    let duration = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let expected = if least.is_zero() {
        format!("at most {}", duration_text(most))
    } else {
        format!("{} to {}", duration_text(least), duration_text(most))
    };
    Err(Wrong::new(format!("{} is out of range", quoted(text))).expected(expected))
}

/// A duration in the largest unit of which it is a whole number, as the job file has it; less than a microsecond is left out.
pub fn duration_text(duration: Duration) -> String {
    let micros = duration.as_micros();
    let whole = DURATIONS.iter().rev().find_map(|(names, unit)| {
        let unit = u128::try_from(*unit).ok()?;
        let count = micros / unit;
        (count > 0 && micros.is_multiple_of(unit)).then(|| {
            let name = if count == 1 {
                names[names.len() - 2]
            } else {
                names[names.len() - 1]
            };
            format!("{count} {name}")
        })
    });
    whole.unwrap_or_else(|| "0 seconds".to_owned())
}

/// Reads the length of windows: whole days, weeks (which begin with `first`) and months are those of the calendar in the business time zone,
/// anything else is fixed.
pub fn read_window_length(text: &str, first: Weekday) -> Result<WindowLength, Wrong> {
    let nothing = || {
        let what = format!("{} is no length: windows would hold nothing", quoted(text));
        Wrong::new(what).expected("a duration above zero, such as \"1 minute\"")
    };
    if let (digits, "month" | "months") = split(text)
        && let Some(count) = whole(digits)
    {
        // As many months as there are years, at most.
        let months = u32::try_from(count).ok().filter(|count| *count <= 292_000);
        let months = months.ok_or_else(|| too_long(text))?;
        return if months == 0 {
            Err(nothing())
        } else {
            Ok(WindowLength::Months(months))
        };
    }
    let (count, unit) = read_count_and_unit(text)?;
    let length = count.checked_mul(unit).ok_or_else(|| too_long(text))?;
    if length == 0 {
        return Err(nothing());
    }
    if unit == 7 * DAY {
        let weeks = u32::try_from(count).map_err(|_| too_long(text))?;
        return Ok(WindowLength::Weeks(weeks, first));
    }
    if unit % DAY == 0 {
        let days = u32::try_from(length / DAY).map_err(|_| too_long(text))?;
        return Ok(WindowLength::Days(days));
    }
    Ok(WindowLength::Fixed(length))
}

/// Reads a size in bytes.
pub fn read_size(text: &str) -> Result<u64, Wrong> {
    let expected =
        "a whole number and a unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB), such as \"64 MiB\"";
    let (number, unit) = split(text);
    let wrong = |what: String| Wrong::new(what).expected(expected);
    let Some(count) = whole(number) else {
        return Err(wrong(format!("{} is no size", quoted(text))));
    };
    if unit.is_empty() {
        return Err(wrong(format!("{} has no unit", quoted(text))));
    }
    let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let same_letters = SIZES
            .iter()
            .map(|(name, _)| *name)
            .find(|name| name.eq_ignore_ascii_case(unit));
        let wrong = wrong(format!("{} has no known unit", quoted(text)));
        return Err(match same_letters {
            Some(name) => wrong.hint(format!(
                "did you mean {}?",
                quoted(&format!("{number} {name}"))
            )),
            None => wrong,
        });
    };
    u64::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(*bytes))
        .ok_or_else(|| wrong(format!("{} is too large", quoted(text))))
}

/// Reads a size between two bounds, both inclusive.
pub(super) fn read_size_in(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    let size = read_size(text)?;
    if (least..=most).contains(&size) {
        return Ok(size);
    }
    Err(
        Wrong::new(format!("{} is out of range", quoted(text))).expected(format!(
            "{} to {}",
            size_text(least),
            size_text(most)
        )),
    )
}

/// A size in the largest unit of 1024s of which it is a whole number, as the job file has it.
pub fn size_text(bytes: u64) -> String {
    let whole = SIZES.iter().rev().find(|(name, unit)| {
        let is_binary = name.contains('i') || *unit == 1;
        is_binary && bytes >= *unit && bytes.is_multiple_of(*unit)
    });
    match whole {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => "0 B".to_owned(),
    }
}

/// Reads a percentage as a share in [0, 1].
pub fn read_percentage(text: &str) -> Result<f64, Wrong> {
    let wrong = || {
        Wrong::new(format!("{} is no percentage", quoted(text)))
            .expected("a number from 0 to 100 and a percent sign, such as \"50 %\"")
    };
    let Some(number) = text.trim().strip_suffix('%') else {
        let bare = text.trim();
        return Err(if bare.parse::<f64>().is_ok() {
            wrong().hint(format!("write {}", quoted(&format!("{bare} %"))))
        } else {
            wrong()
        });
    };
    let number = number.trim();
    let plain = !number.is_empty()
        && number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = number
        .parse::<f64>()
        .ok()
        .filter(|percent| plain && *percent <= 100.0)
        .ok_or_else(wrong)?;
    Ok(percent / 100.0)
}

/// The number and microseconds of the unit.
fn read_count_and_unit(text: &str) -> Result<(i64, i64), Wrong> {
    let expected = "a whole number and a unit (us, ms, s, min, h, days, weeks, or written out), such as \"10 minutes\"";
    let (number, unit) = split(text);
    let wrong = |what: String| Wrong::new(what).expected(expected);
    let Some(count) = whole(number) else {
        return Err(wrong(format!("{} is no duration", quoted(text))));
    };
    if unit.is_empty() {
        return Err(wrong(format!("{} has no unit", quoted(text))));
    }
    let known = DURATIONS.iter().find(|(names, _)| names.contains(&unit));
    let Some((_, microseconds)) = known else {
        let wrong = wrong(format!("{} has no known unit", quoted(text)));
        return Err(match unit {
            "m" => wrong.hint("m could be minutes or months: write \"min\""),
            "month" | "months" | "year" | "years" | "y" => {
                wrong.hint("months and years differ in length: count in days")
            }
            _ => wrong.did_you_mean(
                unit,
                DURATIONS
                    .iter()
                    .flat_map(|(names, _)| names.iter().copied()),
            ),
        });
    };
    let count = i64::try_from(count).map_err(|_| too_long(text))?;
    Ok((count, *microseconds))
}

fn too_long(text: &str) -> Wrong {
    Wrong::new(format!("{} is too long", quoted(text))).expected("at most 292,000 years")
}

/// The digits in front and what follows them, without the spaces between.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn whole(digits: &str) -> Option<u128> {
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_whole_number_and_a_unit() {
        for (text, microseconds) in [
            ("10 minutes", 600_000_000),
            ("1 minute", 60_000_000),
            ("1min", 60_000_000),
            ("30 s", 30_000_000),
            ("250 ms", 250_000),
            ("1 hour", 3_600_000_000),
            ("1 day", DAY),
            ("2 weeks", 14 * DAY),
            ("0 s", 0),
        ] {
            assert_eq!(read_duration(text), Ok(microseconds), "{text}");
        }
        for text in [
            "",
            "10",
            "minutes",
            "1.5 hours",
            "-1 s",
            "1 mo",
            "10 Minuten",
            "9999999999999999999 days",
            "300000000 weeks",
        ] {
            assert!(read_duration(text).is_err(), "{text}");
        }
        assert_eq!(read_duration("10").unwrap_err().what, "\"10\" has no unit");
        assert_eq!(
            read_duration("5 m").unwrap_err().hint.unwrap(),
            "m could be minutes or months: write \"min\""
        );
        assert_eq!(
            read_duration("5 minuts").unwrap_err().hint.unwrap(),
            "did you mean \"minute\"?"
        );
    }

    #[test]
    fn durations_have_bounds_and_are_told_in_whole_units() {
        let (least, most) = (Duration::from_millis(20), Duration::from_hours(1));
        assert_eq!(read_duration_in("20 ms", least, most), Ok(least));
        assert_eq!(read_duration_in("60 minutes", least, most), Ok(most));
        for text in ["19 ms", "0 s", "61 min", "1 day"] {
            let wrong = read_duration_in(text, least, most).unwrap_err();
            assert_eq!(wrong.what, format!("\"{text}\" is out of range"));
            assert_eq!(wrong.expected.unwrap(), "20 milliseconds to 1 hour");
        }
        let wrong = read_duration_in("2 hours", Duration::ZERO, most).unwrap_err();
        assert_eq!(wrong.expected.unwrap(), "at most 1 hour");
        for (micros, text) in [
            (0, "0 seconds"),
            (1, "1 microsecond"),
            (1_500_000, "1500 milliseconds"),
            (60_000_000, "1 minute"),
            (90_000_000, "90 seconds"),
            (14 * 86_400_000_000, "2 weeks"),
        ] {
            let duration = Duration::from_micros(micros);
            assert_eq!(duration_text(duration), text);
            assert_eq!(read_duration(text), Ok(i64::try_from(micros).unwrap()));
        }
    }

    #[test]
    fn windows_of_whole_days_are_calendar_days() {
        let read_window_length = |text| read_window_length(text, Weekday::Sun);
        assert_eq!(read_window_length("1 day"), Ok(WindowLength::Days(1)));
        assert_eq!(read_window_length("7 days"), Ok(WindowLength::Days(7)));
        assert_eq!(
            read_window_length("2 weeks"),
            Ok(WindowLength::Weeks(2, Weekday::Sun))
        );
        assert_eq!(read_window_length("3 months"), Ok(WindowLength::Months(3)));
        assert!(read_window_length("0 months").is_err());
        assert!(read_window_length("400000 months").is_err());
        assert!(read_window_length("1 mo").is_err());
        assert_eq!(read_window_length("24 hours"), Ok(WindowLength::Fixed(DAY)));
        assert_eq!(
            read_window_length("1 minute"),
            Ok(WindowLength::Fixed(60_000_000))
        );
        assert_eq!(
            read_window_length("0 minutes").unwrap_err().what,
            "\"0 minutes\" is no length: windows would hold nothing"
        );
        assert!(read_window_length("0 days").is_err());
    }

    #[test]
    fn sizes_tell_powers_of_two_from_powers_of_ten() {
        assert_eq!(read_size("64 MiB"), Ok(64 << 20));
        assert_eq!(read_size("1kB"), Ok(1_000));
        assert_eq!(read_size("100 B"), Ok(100));
        assert_eq!(
            read_size("64 mib").unwrap_err().hint.unwrap(),
            "did you mean \"64 MiB\"?"
        );
        assert_eq!(read_size("64").unwrap_err().what, "\"64\" has no unit");
        for text in ["", "MiB", "1.5 MiB", "64 M", "99999999999 TiB"] {
            assert!(read_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_are_shares() {
        let share = |text| read_percentage(text).map(|share| format!("{share}"));
        assert_eq!(share("50 %"), Ok("0.5".to_owned()));
        assert_eq!(share("0.5%"), Ok("0.005".to_owned()));
        assert_eq!(share("100 %"), Ok("1".to_owned()));
        assert_eq!(share("0 %"), Ok("0".to_owned()));
        assert_eq!(share("50").unwrap_err().hint.unwrap(), "write \"50 %\"");
        for text in ["", "%", "101 %", "-1 %", "1e1 %", "half", "NaN %"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
