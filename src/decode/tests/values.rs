//! What the text of one field becomes, type by type.

use proptest::prelude::*;

use super::*;

#[test]
fn whole_numbers_are_exact_or_refused() {
    table(
        &column(0, "n", ColumnType::Int),
        &[
            ("0", "0"),
            ("-7", "-7"),
            ("2147483647", "2147483647"),
            ("-2147483648", "-2147483648"),
            ("2147483648", "overflow 2147483648"),
            ("x3", "bad_integer x3"),
            ("1.0", "bad_integer 1.0 (lenient = true?)"),
            (" 1", "bad_integer  1 (lenient = true?)"),
            ("-", "bad_integer -"),
            ("1O", "bad_integer 1O"),
        ],
    );
    table(
        &column(0, "n", ColumnType::BigInt),
        &[
            ("9007199254740993", "9007199254740993"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "overflow 9223372036854775808"),
            ("1234567890123456789012", "overflow 1234567890123456789012"),
        ],
    );
    let mut lenient = column(0, "n", ColumnType::BigInt);
    lenient.lenient = true;
    table(
        &lenient,
        &[
            ("17850.0", "17850"),
            (" 5 ", "5"),
            ("17850.5", "bad_integer 17850.5"),
        ],
    );
}

#[test]
fn decimals_are_read_from_their_digits() {
    table(
        &column(0, "d", ColumnType::Decimal(12, 2)),
        &[
            ("12.34", "12.34"),
            ("-0.05", "-0.05"),
            ("7", "7.00"),
            ("1.5E+3", "1500.00"),
            ("1.230", "1.23"),
            ("1.234", "scale_loss 1.234"),
            ("9999999999.99", "9999999999.99"),
            ("10000000000.00", "overflow 10000000000.00"),
            ("1E400", "overflow 1E400"),
            ("NaN", "bad_decimal NaN"),
        ],
    );
}

#[test]
fn times_are_iso_unless_declared_and_calendars_are_exact() {
    table(
        &column(0, "t", ColumnType::Timestamp),
        &[
            ("2026-03-14T10:00:00.123Z", "2026-03-14T10:00:00.123Z"),
            ("2026-03-14 10:00:00", "2026-03-14T10:00:00Z"),
            ("2026-03-14T12:00:00+02:00", "2026-03-14T10:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2026-02-29T00:00:00Z", "bad_timestamp 2026-02-29T00:00:00Z"),
            ("2026-14-03 25:61", "bad_timestamp 2026-14-03 25:61"),
        ],
    );
    let mut american = column(0, "t", ColumnType::Timestamp);
    american.formats = vec!["%m/%d/%y %H:%M".to_owned()];
    table(
        &american,
        &[
            ("01/22/19 21:25", "2019-01-22T21:25:00Z"),
            (
                "22/01/19 21:25",
                "bad_timestamp 22/01/19 21:25 (day and month swapped?)",
            ),
        ],
    );
    let mut day = column(0, "d", ColumnType::Date);
    day.formats = vec!["%d/%m/%Y".to_owned()];
    table(
        &day,
        &[
            ("02/01/2026", "2026-01-02"),
            ("31/12/2026", "2026-12-31"),
            ("2026-01-02", "bad_date 2026-01-02"),
        ],
    );
    let mut london = column(0, "t", ColumnType::Timestamp);
    london.time_zone = Some(chrono_tz::Europe::London);
    table(
        &london,
        &[
            ("2026-07-01 10:00:00", "2026-07-01T09:00:00Z"),
            (
                "2026-03-29 01:15:00",
                "nonexistent_local_time 2026-03-29 01:15:00",
            ),
            (
                "2026-10-25 01:30:00",
                "ambiguous_local_time 2026-10-25 01:30:00",
            ),
        ],
    );
}

#[test]
fn booleans_and_doubles() {
    table(
        &column(0, "b", ColumnType::Boolean),
        &[
            ("true", "true"),
            ("F", "false"),
            ("1", "true"),
            ("maybe", "bad_boolean maybe (true = […], false = […]?)"),
        ],
    );
    table(
        &column(0, "x", ColumnType::Double),
        &[
            ("1.5", "1.5"),
            ("-2e3", "-2000.0"),
            ("ten", "bad_double ten"),
        ],
    );
}

#[test]
fn times_have_a_zone_a_unit_and_six_digits() {
    let time = column(0, "t", ColumnType::Timestamp);
    table(
        &time,
        &[
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            (
                "2026-03-14T00:00:00.1234560Z",
                "2026-03-14T00:00:00.123456Z",
            ),
            (
                "2026-03-14T00:00:00.1234567Z",
                "scale_loss 2026-03-14T00:00:00.1234567Z",
            ),
            ("2026-03-14T00:00:00-0530", "2026-03-14T05:30:00Z"),
            ("2026-03-14T24:00:00Z", "bad_timestamp 2026-03-14T24:00:00Z"),
            ("2026-03-14T00:00:60Z", "bad_timestamp 2026-03-14T00:00:60Z"),
            ("2026-03-14T00:00:00.", "bad_timestamp 2026-03-14T00:00:00."),
            ("2026-03-14", "bad_timestamp 2026-03-14"),
            ("1900-02-29T00:00:00Z", "bad_timestamp 1900-02-29T00:00:00Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
        ],
    );
    let unit = |unit| SourceColumn {
        unit: Some(unit),
        ..time.clone()
    };
    table(
        &unit(crate::job::plan::EpochUnit::Seconds),
        &[
            ("1773446400", "2026-03-14T00:00:00Z"),
            (
                "1773446400000",
                "ts_out_of_range 1773446400000 (milliseconds?)",
            ),
            ("-1", "ts_out_of_range -1"),
            ("0", "1970-01-01T00:00:00Z"),
            ("x", "bad_timestamp x"),
        ],
    );
    table(
        &unit(crate::job::plan::EpochUnit::Milliseconds),
        &[("1773446400123", "2026-03-14T00:00:00.123Z")],
    );
}

#[test]
fn patterns_read_what_they_say() {
    let with = |patterns: &[&str]| SourceColumn {
        formats: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        ..column(0, "t", ColumnType::Timestamp)
    };
    table(
        &with(&[
            "%m/%d/%Y %I:%M:%S %p",
            "%d %b %Y %H:%M:%S.%f",
            "%Y-%jT%R%z",
            "%A %B %e %Y",
        ]),
        &[
            ("3/4/2026 12:05:09 AM", "2026-03-04T00:05:09Z"),
            ("03/04/2026 12:05:09 pm", "2026-03-04T12:05:09Z"),
            (
                "03/04/2026 13:05:09 PM",
                "bad_timestamp 03/04/2026 13:05:09 PM",
            ),
            ("4 Mar 2026 10:11:12.5", "2026-03-04T10:11:12.500Z"),
            (
                "4 Mar 2026 10:11:12.1234567",
                "scale_loss 4 Mar 2026 10:11:12.1234567",
            ),
            ("2024-366T23:59+01:00", "2024-12-31T22:59:00Z"),
            ("2026-366T23:59+01:00", "bad_timestamp 2026-366T23:59+01:00"),
            ("Saturday March 14 2026", "2026-03-14T00:00:00Z"),
            (
                "2/30/2026 12:05:09 AM",
                "bad_timestamp 2/30/2026 12:05:09 AM",
            ),
            (
                "3/4/2026 12:05:09 AM.",
                "bad_timestamp 3/4/2026 12:05:09 AM.",
            ),
        ],
    );
    table(
        &with(&["%d.%m.%y %H:%M"]),
        &[
            ("01.02.69 00:00", "1969-02-01T00:00:00Z"),
            ("01.02.68 00:00", "2068-02-01T00:00:00Z"),
        ],
    );
    // What only chrono knows: here ISO weeks.
    let week = SourceColumn {
        column_type: ColumnType::Date,
        ..with(&["%G-W%V-%u"])
    };
    table(
        &week,
        &[
            ("2026-W11-6", "2026-03-14"),
            ("2026-W60-6", "bad_date 2026-W60-6"),
        ],
    );
}

/// Texts that are nearly values of some type.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+]?[0-9]{0,20}",
        "[-+]?[0-9]{0,12}\\.[0-9]{0,6}",
        "[0-9]{1,6}\\.[0-9]{2}",
        "2026-03-1[0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z",
        "[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9]",
        "[0-9a-z.:TZ-]{0,26}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The fast ways look at whole words before the field and keep what came before; `lenient` columns and quoted fields
    /// go the exact way.
    #[test]
    fn fast_ways_agree_with_the_exact_ones(texts in prop::collection::vec(nearly(), 1..40)) {
        let types = [
            ColumnType::SmallInt,
            ColumnType::Int,
            ColumnType::BigInt,
            ColumnType::Double,
            ColumnType::Decimal(7, 2),
            ColumnType::Decimal(12, 2),
            ColumnType::Decimal(18, 6),
            ColumnType::Decimal(38, 0),
            ColumnType::Boolean,
            ColumnType::Date,
            ColumnType::Timestamp,
            ColumnType::Varchar,
        ];
        let lines = |quote: &str| {
            let lines: Vec<_> = texts.iter().map(|text| [quote, text, quote, ",\n"].concat()).collect();
            lines.concat()
        };
        let (plain, quoted) = (lines(""), lines("\""));
        for column_type in types {
            // The empty text is null for both here.
            let column = SourceColumn { not_null: column_type != ColumnType::Varchar, ..column(0, "x", column_type) };
            let columns = [column];
            let run = |text: &str| Decoder::new(&columns, &Format::Csv(options()), 1).decode(chunk(text.as_bytes(), 2));
            let (fast, exact) = (run(&plain), run(&quoted));
            prop_assert_eq!(&fast.faults, &exact.faults);
            let [fast, exact] = [fast, exact].map(|draft| shown(draft.columns[0].as_ref().unwrap()));
            let exact: Vec<_> = if column_type == ColumnType::Varchar {
                exact.into_iter().map(|text| text.filter(|text| !text.is_empty())).collect()
            } else {
                exact
            };
            prop_assert_eq!(fast, exact);
        }
    }

    #[test]
    fn any_decimal_that_fits_is_read_as_it_was_written(value in -999_999_999_999_i64..=999_999_999_999, scale in 0_i8..=6) {
        let unit = 10_i64.pow(u32::try_from(scale).unwrap());
        let width = usize::try_from(scale).unwrap();
        let sign = if value < 0 { "-" } else { "" };
        let (whole, fraction) = (value.abs() / unit, value.abs() % unit);
        let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction:0width$}") };
        let column = column(0, "d", ColumnType::Decimal(12, scale));
        prop_assert_eq!(one(&text, &column), text);
    }
}
