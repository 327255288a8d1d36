//! How texts of a column are written: marks of numbers, words for truth values, years, clocks and ranges of times.

use super::columns::Owner;
use super::report::{Report, Wrong};
use super::types::type_text;
use crate::decode::read_bound;
use crate::job::plan::{
    ColumnType, LocalTimes, Notation, NumberNotation, Range, Repeated, Rounding, Skipped, Words,
};
use crate::job::problems::quoted;
use crate::job::spec::{self, ColumnSpec};

/// What `decimal`, `thousands` and `currency` may not hold: whatever else a number is made of.
const OF_NUMBERS: &str = "+-0123456789%()\u{2212}";

/// Reads the options of the column at `path` that say how its texts are written.
pub(super) fn read_notation(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &ColumnSpec,
    column_type: ColumnType,
    owner: Owner,
) -> Notation {
    check_types(report, path, spec, column_type);
    check_orders(report, path, spec);
    Notation {
        number: read_number(report, path, spec),
        round: spec.round.map(|round| match round {
            spec::Round::HalfEven => Rounding::HalfEven,
            spec::Round::HalfUp => Rounding::HalfUp,
        }),
        words: read_words(report, path, spec),
        pivot: spec.pivot,
        parts: spec.from.iter().flatten().skip(1).cloned().collect(),
        local: LocalTimes {
            repeated: match spec.ambiguous {
                Some(spec::Ambiguous::Earlier) => Repeated::Earlier,
                Some(spec::Ambiguous::Later) => Repeated::Later,
                Some(spec::Ambiguous::Refuse) | None => Repeated::Refuse,
            },
            skipped: match spec.nonexistent {
                Some(spec::Nonexistent::Shift) => Skipped::Shift,
                Some(spec::Nonexistent::Refuse) | None => Skipped::Refuse,
            },
        },
        range: read_range(report, path, spec, column_type, owner),
    }
}

/// Options that would do nothing are faults: whoever wrote them believes that they do something.
fn check_types(report: &mut Report<'_>, path: &[&str], spec: &ColumnSpec, column_type: ColumnType) {
    let is_decimal = matches!(column_type, ColumnType::Decimal(..));
    let is_fraction = is_decimal || column_type == ColumnType::Double;
    let is_number = is_fraction
        || matches!(
            column_type,
            ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt
        );
    let is_truth = column_type == ColumnType::Boolean;
    let is_time = column_type == ColumnType::Timestamp;
    let is_day = is_time || column_type == ColumnType::Date;
    let number = "smallint, int, bigint, decimal(p,s) or double";
    for (option, given, fits, expected) in [
        ("decimal", spec.decimal.is_some(), is_number, number),
        ("thousands", spec.thousands.is_some(), is_number, number),
        ("currency", spec.currency.is_some(), is_number, number),
        (
            "percent",
            spec.percent.is_some(),
            is_fraction,
            "decimal(p,s) or double",
        ),
        ("negatives", spec.negatives.is_some(), is_number, number),
        ("round", spec.round.is_some(), is_decimal, "decimal(p,s)"),
        ("true", spec.true_words.is_some(), is_truth, "boolean"),
        ("false", spec.false_words.is_some(), is_truth, "boolean"),
        ("from", spec.from.is_some(), is_time, "timestamp"),
        ("pivot", spec.pivot.is_some(), is_day, "date or timestamp"),
        ("ambiguous", spec.ambiguous.is_some(), is_time, "timestamp"),
        (
            "nonexistent",
            spec.nonexistent.is_some(),
            is_time,
            "timestamp",
        ),
        ("min", spec.min.is_some(), is_day, "date or timestamp"),
        ("max", spec.max.is_some(), is_day, "date or timestamp"),
    ] {
        if given && !fits {
            let wrong = Wrong::new(format!(
                "a column of type {} has no {option}",
                type_text(column_type)
            ));
            report.add(
                &[path, &[option]].concat(),
                wrong.expected(format!("a column of type {expected}")),
            );
        }
    }
    if let Some(from) = &spec.from {
        if from.len() < 2 || from.iter().any(String::is_empty) {
            let wrong =
                Wrong::new("one field is no several").expected("two or more names of fields");
            report.add(
                &[path, &["from"]].concat(),
                wrong.hint("the one name of a column in the file is its `header`"),
            );
        }
        if spec.header.is_some() {
            let wrong = Wrong::new("`from` names the column's fields already");
            report.add(
                &[path, &["header"]].concat(),
                wrong.hint("leave out `header` or `from`"),
            );
        }
    }
    let zone = || Wrong::new("clocks of UTC never change").hint("name the `time_zone`, too");
    for (option, given) in [
        ("ambiguous", spec.ambiguous.is_some()),
        ("nonexistent", spec.nonexistent.is_some()),
    ] {
        if given && is_time && spec.time_zone.is_none() {
            report.add(&[path, &[option]].concat(), zone());
        }
    }
    let has_short_year = |format: &String| {
        ["%y", "%D", "%x", "%g"]
            .iter()
            .any(|year| format.contains(year))
    };
    if spec.pivot.is_some() && is_day && !spec.formats.iter().flatten().any(has_short_year) {
        report.add(
            &[path, &["pivot"]].concat(),
            Wrong::new("no pattern of the column has a year of two digits")
                .expected("%y in one of its `formats`"),
        );
    }
}

/// Two patterns that differ in the order of day and month only read one text as two dates: which one would be a guess.
fn check_orders(report: &mut Report<'_>, path: &[&str], spec: &ColumnSpec) {
    let formats = spec.formats.as_deref().unwrap_or_default();
    for (index, pattern) in formats.iter().enumerate() {
        let swapped = crate::decode::swapped(pattern);
        let earlier = formats[..index]
            .iter()
            .find(|earlier| crate::decode::plain(earlier) == swapped);
        if let Some(earlier) = earlier
            && crate::decode::plain(pattern) != swapped
        {
            let what = format!(
                "{} and {} read one text as two dates",
                quoted(earlier),
                quoted(pattern)
            );
            report.add(
                &[path, &["formats", &index.to_string()]].concat(),
                Wrong::new(what)
                    .expected("one order of day and month")
                    .hint("files of another order are a source of their own"),
            );
        }
    }
}

fn read_number(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &ColumnSpec,
) -> Option<NumberNotation> {
    let plain = NumberNotation::default();
    let mut number = plain.clone();
    let at = |option: &'static str| [path, &[option]].concat();
    if let Some(mark) = &spec.decimal {
        let read = match mark.as_bytes() {
            [mark @ (b'.' | b',')] => Ok(*mark),
            _ => Err(Wrong::new(format!("{} is no decimal mark", quoted(mark)))
                .expected("\".\" or \",\"")),
        };
        number.decimal = report.take(&at("decimal"), read).unwrap_or(b'.');
    }
    if let Some(mark) = &spec.thousands {
        number.thousands = report.take(&at("thousands"), thousands(mark, number.decimal));
    }
    for (index, sign) in spec.currency.iter().flatten().enumerate() {
        let clashes = |c: char| {
            OF_NUMBERS.contains(c) || c.is_whitespace() || c.is_control() || matches!(c, '.' | ',')
        };
        // A point may end an abbreviation: `Fr.`, `Rs.`.
        let stem = sign.strip_suffix('.').unwrap_or(sign);
        if stem.is_empty() || stem.chars().any(clashes) {
            let wrong = Wrong::new(format!("{} is no sign of a currency", quoted(sign)))
                .expected("a sign or a code without blanks, such as \"€\" or \"EUR\"");
            report.add(&[path, &["currency", &index.to_string()]].concat(), wrong);
        }
        number.currency.push(sign.clone());
    }
    // The longer first: `R$` before `$`.
    number
        .currency
        .sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    number.percent = spec.percent.unwrap_or(false);
    for negative in spec.negatives.iter().flatten() {
        match negative {
            spec::Negative::Parentheses => number.parentheses = true,
            spec::Negative::Trailing => number.trailing = true,
            spec::Negative::Typographic => number.typographic = true,
        }
    }
    (number != plain).then_some(number)
}

fn thousands(text: &str, decimal: u8) -> Result<char, Wrong> {
    let expected = "one mark, such as \".\", \",\", \" \" or \"'\"";
    let mut marks = text.chars();
    let (Some(mark), None) = (marks.next(), marks.next()) else {
        return Err(
            Wrong::new(format!("{} is no mark of thousands", quoted(text))).expected(expected),
        );
    };
    if mark.is_alphanumeric() || mark.is_control() || OF_NUMBERS.contains(mark) {
        return Err(
            Wrong::new(format!("{} is no mark of thousands", quoted(text))).expected(expected),
        );
    }
    if u32::from(mark) == u32::from(decimal) {
        let wrong = Wrong::new(format!(
            "{} stands before the fraction already",
            quoted(text)
        ));
        return Err(wrong
            .expected("another mark than `decimal`")
            .hint("say which mark stands before the fraction: decimal = \",\""));
    }
    Ok(mark)
}

fn read_words(report: &mut Report<'_>, path: &[&str], spec: &ColumnSpec) -> Option<Words> {
    let at = |option: &'static str| [path, &[option]].concat();
    let (yes, no) = match (&spec.true_words, &spec.false_words) {
        (None, None) => return None,
        (Some(yes), Some(no)) => (yes, no),
        (yes, _) => {
            let (given, other) = if yes.is_some() {
                ("true", "false")
            } else {
                ("false", "true")
            };
            let wrong = Wrong::new(format!("`{given}` goes with `{other}`"));
            report.add(
                &at(given),
                wrong.hint(format!("say which texts are {other}, too")),
            );
            return None;
        }
    };
    let lower = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| word.to_lowercase()).collect()
    };
    let words = Words {
        yes: lower(yes),
        no: lower(no),
    };
    for (option, written) in [("true", yes), ("false", no)] {
        if written.is_empty() {
            report.add(
                &at(option),
                Wrong::new("there are no words").expected("at least one, such as [\"yes\"]"),
            );
        }
        for (index, word) in written.iter().enumerate() {
            let index = index.to_string();
            let path = [path, &[option, &index]].concat();
            if word.is_empty() {
                report.add(
                    &path,
                    Wrong::new("the empty text is no word: it is null").expected("a text"),
                );
            } else if option == "false" && words.yes.contains(&word.to_lowercase()) {
                report.add(
                    &path,
                    Wrong::new(format!("{} is true already", quoted(word)))
                        .expected("words that are either true or false"),
                );
            }
        }
    }
    Some(words)
}

/// The range of a column: as declared, or, of timestamps of sources, from 1970 on.
fn read_range(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &ColumnSpec,
    column_type: ColumnType,
    owner: Owner,
) -> Option<Range> {
    let default = match (column_type, owner) {
        (ColumnType::Timestamp, Owner::Source | Owner::Messages) => Some(0),
        _ => None,
    };
    if !matches!(column_type, ColumnType::Timestamp | ColumnType::Date) {
        return None;
    }
    let mut bound = |option: &'static str, text: &Option<String>, is_last: bool| {
        let text = text.as_deref()?;
        let wrong = || {
            let like = if column_type == ColumnType::Date {
                "a date in ISO 8601, such as \"2000-01-01\""
            } else {
                "a date or time in ISO 8601, such as \"2000-01-01\" or \"2000-01-01T00:00:00Z\""
            };
            Wrong::new(format!("{} is no date or time", quoted(text))).expected(like)
        };
        let read = read_bound(column_type, text, is_last).ok_or_else(wrong);
        report.take(&[path, &[option]].concat(), read)
    };
    let first = bound("min", &spec.min, false).or(default);
    let last = bound("max", &spec.max, true);
    if first.is_none() && last.is_none() {
        return None;
    }
    let range = Range {
        first: first.unwrap_or(i64::MIN),
        last: last.unwrap_or(i64::MAX),
    };
    if range.first > range.last {
        let wrong = Wrong::new("no time is in the range").expected("`max` not before `min`");
        let option = if spec.max.is_some() { "max" } else { "min" };
        report.add(&[path, &[option]].concat(), wrong);
    }
    Some(range)
}
