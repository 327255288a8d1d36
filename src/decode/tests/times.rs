//! Local times, ranges, units and fields that are joined; against `chrono` where it can tell.

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::*;
use crate::job::plan::{EpochUnit, LocalTimes, Range, Repeated, Skipped};

fn local(zone: Tz, repeated: Repeated, skipped: Skipped) -> SourceColumn {
    let mut column = column(0, "t", ColumnType::Timestamp);
    column.time_zone = Some(zone);
    column.notation.local = LocalTimes { repeated, skipped };
    column
}

#[test]
fn what_clocks_show_twice_or_never_is_as_the_job_says() {
    let new_york = |repeated| local(Tz::America__New_York, repeated, Skipped::Shift);
    let twice = "2026-11-01 01:30:00";
    table(
        &new_york(Repeated::Refuse),
        &[
            (twice, "ambiguous_local_time 2026-11-01 01:30:00"),
            ("2026-11-01 00:59:59", "2026-11-01T04:59:59Z"),
            ("2026-11-01 02:00:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T01:30:00-05:00", "2026-11-01T06:30:00Z"),
        ],
    );
    table(
        &new_york(Repeated::Earlier),
        &[(twice, "2026-11-01T05:30:00Z")],
    );
    table(
        &new_york(Repeated::Later),
        &[(twice, "2026-11-01T06:30:00Z")],
    );
    let never = "2026-03-29 01:15:00";
    table(
        &local(Tz::Europe__London, Repeated::Refuse, Skipped::Refuse),
        &[(never, "nonexistent_local_time 2026-03-29 01:15:00")],
    );
    table(
        &local(Tz::Europe__London, Repeated::Refuse, Skipped::Shift),
        &[(never, "2026-03-29T01:15:00Z")],
    );
    // Half an hour on Lord Howe, and a whole day in Samoa.
    table(
        &local(Tz::Australia__Lord_Howe, Repeated::Refuse, Skipped::Shift),
        &[("2026-10-04 02:10:00", "2026-10-03T15:40:00Z")],
    );
    table(
        &local(Tz::Pacific__Apia, Repeated::Refuse, Skipped::Shift),
        &[("2011-12-30 12:00:00", "2011-12-30T22:00:00Z")],
    );
}

#[test]
fn what_was_chosen_or_moved_is_counted_once() {
    let columns = [local(Tz::Europe__London, Repeated::Later, Skipped::Shift)];
    let bytes =
        b"2026-03-29 01:15:00\n2026-10-25 01:30:00\n2026-10-25 01:31:00\n2026-07-01 00:00:00\n";
    let mut decoder = Decoder::new(&columns, &Format::Csv(options()), 1);
    let draft = decoder.decode(chunk(bytes, 1));
    assert_eq!(
        draft.adjusted,
        [(0, "chosen of two times", 2), (0, "moved over a gap", 1)]
    );
    assert_eq!(
        decoder.decode(chunk(b"2026-07-01 00:00:00\n", 1)).adjusted,
        []
    );
}

#[test]
fn two_digit_years_lie_in_the_declared_hundred() {
    let mut day = column(0, "d", ColumnType::Date);
    day.formats = vec!["%d.%m.%y".to_owned()];
    table(
        &day,
        &[("01.02.69", "1969-02-01"), ("01.02.68", "2068-02-01")],
    );
    day.notation.pivot = Some(1930);
    table(
        &day,
        &[
            ("01.02.30", "1930-02-01"),
            ("01.02.29", "2029-02-01"),
            ("01.02.99", "1999-02-01"),
        ],
    );
    day.notation.pivot = Some(2000);
    table(
        &day,
        &[("01.02.00", "2000-02-01"), ("01.02.99", "2099-02-01")],
    );
    // What only chrono knows: weeks that begin on Sunday.
    day.formats = vec!["%U %w %y".to_owned()];
    table(&day, &[("10 3 99", "2099-03-11")]);
}

#[test]
fn an_undeclared_order_of_day_and_month_is_never_guessed() {
    let mut day = column(0, "d", ColumnType::Date);
    table(
        &day,
        &[
            (
                "02/01/2026",
                "bad_date 02/01/2026 (formats: %d/%m/%Y or %m/%d/%Y?)",
            ),
            (
                "31/12/2026",
                "bad_date 31/12/2026 (formats = [\"%d/%m/%Y…\"]?)",
            ),
            (
                "1/13/2017",
                "bad_date 1/13/2017 (formats = [\"%m/%d/%Y…\"]?)",
            ),
            (
                "31.12.2026",
                "bad_date 31.12.2026 (formats = [\"%d.%m.%Y…\"]?)",
            ),
        ],
    );
    day.formats = vec!["%d/%m/%Y".to_owned()];
    table(
        &day,
        &[
            ("02/01/2026", "2026-01-02"),
            ("31/12/2026", "2026-12-31"),
            ("1/13/2017", "bad_date 1/13/2017 (day and month swapped?)"),
            ("30/02/2026", "bad_date 30/02/2026"),
        ],
    );
    day.formats = vec!["%m/%d/%Y".to_owned()];
    table(
        &day,
        &[("01/02/2017", "2017-01-02"), ("1/13/2017", "2017-01-13")],
    );
}

#[test]
fn times_outside_of_the_range_are_refused_and_never_wrap() {
    let mut time = column(0, "t", ColumnType::Timestamp);
    let far = [
        (
            "294276-12-31T23:59:59Z",
            "ts_out_of_range 294276-12-31T23:59:59Z",
        ),
        ("0000-01-01", "ts_out_of_range 0000-01-01"),
        (
            "-0044-03-15T00:00:00Z",
            "ts_out_of_range -0044-03-15T00:00:00Z",
        ),
        ("infinity", "ts_out_of_range infinity"),
        ("-Infinity", "ts_out_of_range -Infinity"),
        ("2026-13-01T00:00:00Z", "bad_timestamp 2026-13-01T00:00:00Z"),
    ];
    table(&time, &far);
    table(&time, &[("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]);
    time.notation.range = Some(Range {
        first: 0,
        last: 1_773_446_400_000_000 + 3_600_000_000,
    });
    table(&time, &far);
    table(
        &time,
        &[
            (
                "1969-12-31T23:59:59.999Z",
                "ts_out_of_range 1969-12-31T23:59:59.999Z",
            ),
            ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"),
        ],
    );
    // The fast way keeps the date of the row before: it must not take the end of a day that is only begun.
    let bytes = b"2026-03-14T00:30:00.000Z\n2026-03-14T00:59:00.000Z\n2026-03-14T01:00:00.001Z\n2026-03-14T02:00:00.000Z\n";
    let (values, faults) = values_of(bytes, time.clone());
    assert_eq!(values.iter().filter(|value| value.is_some()).count(), 2);
    assert_eq!(
        faults,
        [
            "2 ts_out_of_range 2026-03-14T01:00:00.001Z",
            "3 ts_out_of_range 2026-03-14T02:00:00.000Z"
        ]
    );
    let mut day = column(0, "d", ColumnType::Date);
    day.notation.range = Some(Range {
        first: 0,
        last: 20_000,
    });
    table(
        &day,
        &[
            ("1969-12-31", "date_out_of_range 1969-12-31"),
            ("2024-10-05", "date_out_of_range 2024-10-05"),
            ("2024-10-04", "2024-10-04"),
            ("infinity", "date_out_of_range infinity"),
        ],
    );
}

#[test]
fn numbers_of_another_unit_are_told_apart() {
    let unit = |unit| SourceColumn {
        unit: Some(unit),
        ..column(0, "t", ColumnType::Timestamp)
    };
    table(
        &unit(EpochUnit::Milliseconds),
        &[
            ("1772445600", "ts_out_of_range 1772445600 (seconds?)"),
            ("1772445600000", "2026-03-02T10:00:00Z"),
            (
                "1772445600000000",
                "ts_out_of_range 1772445600000000 (microseconds?)",
            ),
            ("99999999999999999999", "overflow 99999999999999999999"),
        ],
    );
    table(
        &unit(EpochUnit::Microseconds),
        &[
            (
                "1772445600000",
                "ts_out_of_range 1772445600000 (milliseconds?)",
            ),
            ("1772445600000000", "2026-03-02T10:00:00Z"),
        ],
    );
}

#[test]
fn a_date_and_its_time_are_one_text() {
    let mut at = column(0, "at", ColumnType::Timestamp);
    at.header = "Date".to_owned();
    at.notation.parts = vec!["Time".to_owned()];
    at.formats = vec!["%m/%d/%Y %H:%M".to_owned()];
    at.not_null = true;
    let columns = [at, column(1, "id", ColumnType::Int)];
    let format = options();
    let header = bind_header(&columns, &format, Encoding::Utf8, b"Time,id,Date\n").unwrap();
    assert_eq!(header.column_of_field, [Some(2), Some(1), Some(0)]);
    let error = bind_header(&columns, &format, Encoding::Utf8, b"Tim,id,Date\n").unwrap_err();
    assert!(
        error.to_string().contains("the header lacks \"Time\""),
        "{error}"
    );
    let error = bind_header(&columns, &format, Encoding::Utf8, b"Time,Time,id,Date\n").unwrap_err();
    assert!(error.to_string().contains("\"Time\" 2 times"), "{error}");

    let bytes = b"10:05,1,1/13/2017\n\"9:00\",2,\"01/02/2017\"\n,3,01/02/2017\n25:00,4,01/02/2017\n,5,\n10:00,6\n";
    let mut chunk = Arc::unwrap_or_clone(chunk(bytes, 3));
    chunk.header = Arc::new(header);
    let mut decoder = Decoder::new(&columns, &Format::Csv(format.clone()), 2);
    let draft = decoder.decode(Arc::new(chunk));
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(draft.columns[0].as_ref().unwrap()),
        [
            of("2017-01-13T10:05:00Z"),
            of("2017-01-02T09:00:00Z"),
            None,
            None,
            None,
            None
        ]
    );
    let mut faults = faults_of(&draft);
    faults.sort();
    assert_eq!(
        faults,
        [
            "2 bad_timestamp 01/02/2017",
            "3 bad_timestamp 01/02/2017 25:00",
            "4 missing_value ",
            "5 field_count 2≠3",
        ]
    );
    let texts = text_columns(&draft, &[2, 3, 4], &columns, &Format::Csv(format));
    assert_eq!(
        shown(&texts[0]),
        [of("01/02/2017"), of("01/02/2017 25:00"), None]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A local time that occurs once comes back as chrono has it; one that occurs twice or never as the policy says.
    #[test]
    fn local_times_agree_with_chrono(
        zone in prop::sample::select(vec![
            Tz::Europe__Madrid, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::America__Sao_Paulo, Tz::Asia__Kathmandu,
            Tz::America__Havana,
        ]),
        minutes in 0_i64..60 * 24 * 365 * 60,
        near_change in any::<bool>(),
        later in any::<bool>(),
    ) {
        let mut naive = (DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)).naive_utc();
        if near_change {
            // Clocks change in these months, mostly within the first hours of a Sunday.
            let month = [3, 4, 10, 11][usize::try_from(minutes % 4).unwrap()];
            naive = naive.with_day(1).unwrap().with_month(month).unwrap() + TimeDelta::minutes(minutes % (31 * 24 * 60));
        }
        let repeated = if later { Repeated::Later } else { Repeated::Earlier };
        let text = naive.format("%Y-%m-%d %H:%M:%S").to_string();
        let read = one(&text, &local(zone, repeated, Skipped::Shift));
        let mapped = zone.from_local_datetime(&naive);
        let mapped = if later { mapped.latest() } else { mapped.earliest() };
        let wanted = mapped.map_or_else(
            || {
                // As the clocks were a day and a half before: no zone changes twice in that time.
                let before = zone.from_local_datetime(&(naive - TimeDelta::hours(36))).latest().unwrap();
                (naive - TimeDelta::seconds(before.offset().fix().local_minus_utc().into())).and_utc()
            },
            |time| time.to_utc(),
        );
        prop_assert_eq!(read, wanted.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    }

    /// Every date is read as it is written, in any pattern of its parts.
    #[test]
    fn dates_come_back_from_their_patterns(day in -700_000_i32..2_900_000, pattern in 0..5_usize) {
        let date = DateTime::UNIX_EPOCH.date_naive() + TimeDelta::days(day.into());
        prop_assume!((1..=9999).contains(&date.year()));
        let pattern = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d %B %Y", "%Y%j"][pattern];
        let mut column = column(0, "d", ColumnType::Date);
        column.formats = vec![pattern.to_owned()];
        prop_assert_eq!(one(&date.format(pattern).to_string(), &column), date.to_string());
    }
}
