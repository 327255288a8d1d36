//! Numbers in other notations, against a reckoner of its own: a pattern made for each notation, and digits moved in text.

use proptest::prelude::*;

use super::super::tests::{column, one, table};
use crate::job::plan::{ColumnType, NumberNotation, Rounding, SourceColumn};

fn with(column_type: ColumnType, number: NumberNotation) -> SourceColumn {
    let mut column = column(0, "n", column_type);
    column.notation.number = Some(number);
    column
}

fn comma() -> NumberNotation {
    NumberNotation {
        decimal: b',',
        thousands: Some('.'),
        ..NumberNotation::default()
    }
}

#[test]
fn a_decimal_comma_is_read_where_it_is_declared_and_nowhere_else() {
    table(
        &with(ColumnType::Decimal(12, 2), comma()),
        &[
            ("2,40", "2.40"),
            ("-2,40", "-2.40"),
            ("+2,4", "2.40"),
            ("1.299,00", "1299.00"),
            ("1.234.567,89", "1234567.89"),
            ("1234567,89", "1234567.89"),
            ("12.34.567,89", "1234567.89"),
            ("1,5E+3", "1500.00"),
            (",5", "0.50"),
            ("5,", "5.00"),
            ("1.299", "1299.00"),
            ("2.40", "bad_decimal 2.40 (decimal = \".\"?)"),
            ("1.2.3,00", "bad_decimal 1.2.3,00"),
            ("1234.567,00", "bad_decimal 1234.567,00"),
            ("1.23.45,00", "bad_decimal 1.23.45,00"),
            ("123.45.678,00", "bad_decimal 123.45.678,00"),
            (".299,00", "bad_decimal .299,00"),
            ("1..299", "bad_decimal 1..299"),
            ("1,299,00", "bad_decimal 1,299,00"),
            ("1,2.9", "bad_decimal 1,2.9"),
            ("-", "bad_decimal -"),
            (",", "bad_decimal ,"),
            ("1,234", "scale_loss 1,234"),
        ],
    );
    table(
        &column(0, "n", ColumnType::Decimal(12, 2)),
        &[
            ("2,40", "bad_decimal 2,40 (decimal = \",\"?)"),
            (
                "1.299,00",
                "bad_decimal 1.299,00 (decimal = \",\", thousands = \".\"?)",
            ),
            ("1,299.00", "bad_decimal 1,299.00 (thousands = \",\"?)"),
            ("1,299", "bad_decimal 1,299 (decimal or thousands = \",\"?)"),
            ("1 299", "bad_decimal 1 299 (thousands = \" \"?)"),
            ("5 %", "bad_decimal 5 % (percent = true?)"),
            ("€ 5", "bad_decimal € 5 (currency = [\"…\"]?)"),
            (
                "(5.00)",
                "bad_decimal (5.00) (negatives = [\"parentheses\"]?)",
            ),
            ("5.00-", "bad_decimal 5.00- (negatives = [\"trailing\"]?)"),
            (
                "−5.00",
                "bad_decimal −5.00 (negatives = [\"typographic\"]?)",
            ),
            ("five", "bad_decimal five"),
        ],
    );
    table(
        &with(ColumnType::Int, comma()),
        &[
            ("1.234.567", "1234567"),
            ("1,5", "bad_integer 1,5"),
            ("2.147.483.648", "overflow 2.147.483.648"),
        ],
    );
    table(
        &with(ColumnType::Double, comma()),
        &[("1.234,5", "1234.5"), ("1,5e-1", "0.15")],
    );
}

#[test]
fn signs_stand_on_either_side_and_once() {
    let all = NumberNotation {
        thousands: Some(','),
        currency: vec![
            "R$".to_owned(),
            "EUR".to_owned(),
            "€".to_owned(),
            "$".to_owned(),
        ],
        parentheses: true,
        trailing: true,
        typographic: true,
        ..NumberNotation::default()
    };
    table(
        &with(ColumnType::Decimal(12, 2), all.clone()),
        &[
            ("(1,234.50)", "-1234.50"),
            ("($1,234.50)", "-1234.50"),
            ("$ (1,234.50)", "-1234.50"),
            ("(1,234.50) EUR", "-1234.50"),
            ("12.00-", "-12.00"),
            ("12.00 -", "-12.00"),
            ("12.00 €-", "-12.00"),
            ("12.00+", "12.00"),
            ("−12.00", "-12.00"),
            ("-€12.00", "-12.00"),
            ("€-12.00", "-12.00"),
            ("€\u{A0}12.00", "12.00"),
            ("R$ 12.00", "12.00"),
            ("12 R$", "12.00"),
            ("12.00", "12.00"),
            ("--12", "bad_decimal --12"),
            ("-12-", "bad_decimal -12-"),
            ("(-12)", "bad_decimal (-12)"),
            ("((12))", "bad_decimal ((12))"),
            ("(12", "bad_decimal (12"),
            ("12)", "bad_decimal 12)"),
            ("€12€", "bad_decimal €12€"),
            ("€", "bad_decimal €"),
            ("()", "bad_decimal ()"),
            (" 12", "bad_decimal  12"),
            ("1 2", "bad_decimal 1 2"),
        ],
    );
    let mut lenient = with(ColumnType::Decimal(12, 2), all);
    lenient.lenient = true;
    table(&lenient, &[(" (12) ", "-12.00"), ("12 \t", "12.00")]);
    let percent = NumberNotation {
        percent: true,
        decimal: b',',
        ..NumberNotation::default()
    };
    table(
        &with(ColumnType::Decimal(8, 4), percent),
        &[
            ("7%", "0.0700"),
            ("7,25 %", "0.0725"),
            ("-0,5%", "-0.0050"),
            ("100%", "1.0000"),
            ("0,001%", "scale_loss 0,001%"),
            ("7", "bad_decimal 7 (without %)"),
            ("7%%", "bad_decimal 7%%"),
            ("7e1%", "bad_decimal 7e1%"),
        ],
    );
    let blanks = NumberNotation {
        thousands: Some(' '),
        decimal: b',',
        ..NumberNotation::default()
    };
    table(
        &with(ColumnType::Decimal(12, 2), blanks),
        &[
            ("1 299,00", "1299.00"),
            ("1\u{202F}299,00", "1299.00"),
            ("1\u{A0}299\u{A0}000", "1299000.00"),
            ("1  299,00", "bad_decimal 1  299,00"),
        ],
    );
    let apostrophe = NumberNotation {
        thousands: Some('\''),
        ..NumberNotation::default()
    };
    table(
        &with(ColumnType::BigInt, apostrophe),
        &[("1'299", "1299"), ("1’299’000", "1299000")],
    );
}

#[test]
fn rounding_is_by_name_and_only_where_it_is_declared() {
    let rounding = |round| {
        let mut column = column(0, "n", ColumnType::Decimal(18, 4));
        column.notation.round = round;
        column
    };
    table(
        &rounding(None),
        &[
            ("1.5E+3", "1500.0000"),
            ("9.9e-07", "scale_loss 9.9e-07"),
            ("1E400", "overflow 1E400"),
            ("1E-400", "scale_loss 1E-400"),
        ],
    );
    table(
        &rounding(Some(Rounding::HalfEven)),
        &[
            ("9.9e-07", "0.0000"),
            ("1E-400", "0.0000"),
            ("0.00005", "0.0000"),
            ("0.00015", "0.0002"),
            ("0.000050000000000000000000000000000000000001", "0.0001"),
            ("-0.00015", "-0.0002"),
            ("0.00004999999", "0.0000"),
            ("1E400", "overflow 1E400"),
            ("99999999999999.99995", "overflow 99999999999999.99995"),
            ("99999999999999.99994", "99999999999999.9999"),
        ],
    );
    table(
        &rounding(Some(Rounding::HalfUp)),
        &[("0.00005", "0.0001"), ("-0.00025", "-0.0003")],
    );
}

/// The value of `digits` (most significant first) with `fraction` of them after the mark, as text with two digits after
/// the dot, halves to even; by moving characters only.
fn reckoned(negative: bool, digits: &str, fraction: usize, percent: bool) -> String {
    let after = fraction + if percent { 2 } else { 0 };
    let mut text: Vec<u8> = format!("{}{digits}", "0".repeat(after + 1)).into_bytes();
    while text.len() - 1 < after {
        text.insert(0, b'0');
    }
    let dot = text.len() - after;
    let (whole, rest) = text.split_at(dot);
    let mut rest = rest.to_vec();
    while rest.len() < 2 {
        rest.push(b'0');
    }
    let (kept, lost) = rest.split_at(2);
    let mut number: Vec<u8> = [whole, kept].concat();
    let half = [&b"5"[..], &b"0".repeat(lost.len().saturating_sub(1))].concat();
    let odd = number.last().is_some_and(|digit| (digit - b'0') % 2 == 1);
    if !lost.is_empty() && (lost > &half[..] || (lost == &half[..] && odd)) {
        for digit in number.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                break;
            }
        }
    }
    let (whole, kept) = number.split_at(number.len() - 2);
    let whole = String::from_utf8(whole.to_vec()).unwrap();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let kept = String::from_utf8(kept.to_vec()).unwrap();
    let zero = whole == "0" && kept == "00";
    let sign = if negative && !zero { "-" } else { "" };
    format!("{sign}{whole}.{kept}")
}

/// Digits in groups, from the right.
fn group(digits: &str, mark: &str, indian: bool) -> String {
    let mut groups = Vec::new();
    let mut rest = digits;
    let mut size = 3;
    while rest.len() > size {
        let (before, last) = rest.split_at(rest.len() - size);
        groups.push(last);
        rest = before;
        size = if indian { 2 } else { 3 };
    }
    groups.push(rest);
    groups.reverse();
    groups.join(mark)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Every way of writing a number that a notation has reads as the number.
    #[test]
    fn what_is_written_in_a_notation_is_read(
        whole in "(0|[1-9][0-9]{0,11})",
        fraction in "[0-9]{0,6}",
        negative in any::<bool>(),
        style in 0..4_usize,
        marks in 0..6_usize,
        is_grouped in any::<bool>(),
        indian in any::<bool>(),
        sign in 0..5_usize,
        percent in any::<bool>(),
        in_quotes in any::<bool>(),
    ) {
        let (decimal, thousands, written) = [
            (b'.', None, ""), (b',', None, ""), (b'.', Some(','), ","), (b',', Some('.'), "."),
            (b',', Some(' '), "\u{202F}"), (b'.', Some('\''), "’"),
        ][marks];
        let number = NumberNotation {
            decimal,
            thousands,
            currency: vec!["CHF".to_owned(), "R$".to_owned(), "€".to_owned()],
            percent,
            parentheses: true,
            trailing: true,
            typographic: true,
        };
        let digits = if is_grouped && thousands.is_some() { group(&whole, written, indian) } else { whole.clone() };
        let mut text = digits;
        if !fraction.is_empty() {
            text.push(char::from(decimal));
            text.push_str(&fraction);
        }
        if percent {
            text.push_str(if negative { "%" } else { "\u{A0}%" });
        }
        text = match sign {
            0 => format!("€{text}"),
            1 => format!("R$ {text}"),
            2 => format!("{text} CHF"),
            _ => text,
        };
        if negative {
            text = match style {
                0 => format!("-{text}"),
                1 => format!("({text})"),
                2 => format!("{text}-"),
                _ => format!("−{text}"),
            };
        }
        let mut column = with(ColumnType::Decimal(38, 2), number);
        column.notation.round = Some(Rounding::HalfEven);
        let field = if in_quotes { format!("\"{text}\"") } else { text.clone() };
        let wanted = reckoned(negative, &format!("{whole}{fraction}"), fraction.len(), percent);
        let read = one(&field, &column);
        prop_assert_eq!(read, wanted, "{}", text);
    }

    /// Whatever a plain column reads, and nothing else, a column of the default notation reads (`- 0` is read by neither).
    #[test]
    fn the_plain_notation_reads_what_plain_columns_do(text in "[-+0-9.,eE()% ]{0,9}") {
        let plain = column(0, "n", ColumnType::Decimal(12, 2));
        let notated = with(ColumnType::Decimal(12, 2), NumberNotation::default());
        let field = format!("\"{text}\"");
        prop_assert_eq!(one(&field, &plain), one(&field, &notated));
    }

    /// Texts over the alphabet of numbers are read as a pattern of the notation reads them, and as nothing else.
    #[test]
    fn what_is_not_of_a_notation_is_refused(text in "[-0-9.,]{1,9}") {
        let pattern = regex::Regex::new(
            r"^(-?)((?:[0-9]*|[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{1,2}(?:\.[0-9]{2})+\.[0-9]{3}))(?:,([0-9]*))?$",
        ).unwrap();
        let mut column = with(ColumnType::Decimal(38, 2), comma());
        column.notation.round = Some(Rounding::HalfEven);
        let read = one(&format!("\"{text}\""), &column);
        let found = pattern.captures(&text).map(|found| {
            let whole = found[2].replace('.', "");
            let fraction = found.get(3).map_or("", |fraction| fraction.as_str()).to_owned();
            (&found[1] == "-", whole, fraction)
        });
        match found.filter(|(_, whole, fraction)| !whole.is_empty() || !fraction.is_empty()) {
            Some((negative, whole, fraction)) => {
                let wanted = reckoned(negative, &format!("{whole}{fraction}"), fraction.len(), false);
                prop_assert_eq!(read, wanted, "{}", text);
            }
            None => prop_assert!(read.starts_with("bad_decimal "), "{} gave {}", text, read),
        }
    }
}
