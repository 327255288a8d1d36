//! Small texts: names, reasons, delimiters, time zones, patterns of dates and times.

use chrono::format::{Item, StrftimeItems};
use chrono_tz::Tz;

use super::report::Wrong;
use crate::job::problems::quoted;
use crate::record::Encoding;

/// Reads the name of a time zone.
pub fn read_time_zone(name: &str) -> Result<Tz, Wrong> {
    name.parse::<Tz>().map_err(|_| {
        Wrong::new(format!("{} is not a time zone", quoted(name)))
            .expected("a name of the IANA database, such as \"Europe/Madrid\" or \"UTC\"")
            .did_you_mean(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
    })
}

/// Reads the label of an encoding.
pub(super) fn read_encoding(label: &str) -> Result<Encoding, Wrong> {
    let names = [
        "utf-8",
        "utf-16le",
        "utf-16be",
        "windows-1252",
        "iso-8859-1",
        "iso-8859-15",
        "cp437",
        "cp850",
    ];
    Encoding::by_label(label).ok_or_else(|| {
        Wrong::new(format!("{} is no encoding that is known", quoted(label)))
            .expected(format!(
                "{}, or another code page by its label",
                names.join(", ")
            ))
            .did_you_mean(label, names)
    })
}

/// Reads a delimiter or another character of structure: one ASCII character that ends no line.
pub fn read_byte(text: &str) -> Result<u8, Wrong> {
    let wrong = || {
        Wrong::new(format!("{} is not one character", quoted(text)))
            .expected("one ASCII character other than a line end")
    };
    match text.as_bytes() {
        [byte] if !matches!(byte, b'\n' | b'\r' | 0) => Ok(*byte),
        [b'\\', b't'] => {
            Err(wrong().hint("in single quotes TOML takes a backslash as it is: write \"\\t\""))
        }
        _ => Err(wrong()),
    }
}

/// Checks the name of a table (source, look-up, window, check, sink, rule): it is used in expressions, paths and metrics.
pub(super) fn check_name(name: &str) -> Result<(), Wrong> {
    let mut bytes = name.bytes();
    let starts_well = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts_well && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(Wrong::new(format!("{} is no name", quoted(name)))
        .expected("letters a–z, digits and _, not beginning with a digit"))
}

/// Checks the name of a column: anything that can be read in one line. Expressions name odd ones in double quotes.
pub(super) fn check_column_name(name: &str) -> Result<(), Wrong> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(
            Wrong::new(format!("{} is no name of a column", quoted(name)))
                .expected("at least one letter, and no control characters"),
        );
    }
    Ok(())
}

/// Checks a reason: reasons label metrics and group refused rows, so they are codes, not sentences.
pub(super) fn check_reason(reason: &str) -> Result<(), Wrong> {
    let is_lower = |byte: u8| byte.is_ascii_lowercase();
    let starts_well = reason.bytes().next().is_some_and(is_lower);
    if starts_well
        && reason
            .bytes()
            .all(|byte| is_lower(byte) || byte.is_ascii_digit() || byte == b'_')
    {
        return Ok(());
    }
    let wrong = Wrong::new(format!("{} is no reason", quoted(reason)))
        .expected("a code of lower-case letters, digits and _, such as \"bad_quantity\"");
    let code = snake_case(reason);
    Err(if code.is_empty() {
        wrong
    } else {
        wrong.hint(format!("write {}", quoted(&code)))
    })
}

/// Checks a pattern of dates and times.
pub(super) fn check_pattern(pattern: &str) -> Result<(), Wrong> {
    let expected = "a strftime pattern, such as \"%d/%m/%Y %H:%M\"";
    if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
        return Err(
            Wrong::new(format!("{} has a % that means nothing", quoted(pattern)))
                .expected(expected),
        );
    }
    if !pattern.contains('%') {
        return Err(Wrong::new(format!("{} reads nothing", quoted(pattern))).expected(expected));
    }
    Ok(())
}

/// The nearest code to a text: runs of other characters become one `_`.
fn snake_case(text: &str) -> String {
    let mut code = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            code.push(character.to_ascii_lowercase());
        } else if !code.is_empty() && !code.ends_with('_') {
            code.push('_');
        }
    }
    let code = code.trim_end_matches('_');
    if code.starts_with(|c: char| c.is_ascii_digit()) {
        String::new()
    } else {
        code.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_have_iana_names() {
        assert_eq!(read_time_zone("Europe/Madrid"), Ok(Tz::Europe__Madrid));
        assert_eq!(read_time_zone("UTC"), Ok(Tz::UTC));
        let wrong = read_time_zone("Europe/Madird").unwrap_err();
        assert_eq!(wrong.what, "\"Europe/Madird\" is not a time zone");
        assert_eq!(wrong.hint.unwrap(), "did you mean \"Europe/Madrid\"?");
        assert!(read_time_zone("").is_err());
    }

    #[test]
    fn delimiters_are_one_byte() {
        assert_eq!(read_byte(";"), Ok(b';'));
        assert_eq!(read_byte("\t"), Ok(b'\t'));
        for text in ["", ",,", "·", "\n", "\r", "\0"] {
            assert!(read_byte(text).is_err(), "{text:?}");
        }
        assert!(read_byte("\\t").unwrap_err().hint.is_some());
    }

    #[test]
    fn reasons_are_codes() {
        assert_eq!(check_reason("bad_ts"), Ok(()));
        assert_eq!(
            check_reason("Bad price!").unwrap_err().hint.unwrap(),
            "write \"bad_price\""
        );
        for reason in ["", "_x", "9x", "ñ", "a-b"] {
            assert!(check_reason(reason).is_err(), "{reason}");
        }
    }

    #[test]
    fn names_of_tables_can_stand_in_expressions_and_columns_are_free() {
        assert_eq!(check_name("Sales_2"), Ok(()));
        for name in ["", "2x", "a.b", "a b", "año"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_column_name("Unit Price (€)"), Ok(()));
        for name in ["", " ", "a\nb"] {
            assert!(check_column_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn patterns_are_checked_before_any_row_is_read() {
        assert_eq!(check_pattern("%d/%m/%Y"), Ok(()));
        assert!(check_pattern("%d/%m/%!").is_err());
        assert!(check_pattern("YYYY-MM-DD").is_err());
    }
}
