//! Types, constants, times.

use chrono::{Datelike, Timelike};

use super::*;

#[test]
fn numbers_with_a_point_are_decimals() {
    assert_eq!(compile("1.21").data_type(), &DataType::Decimal128(3, 2));
    assert_eq!(
        compile("unit_price * 1.21").data_type(),
        &DataType::Decimal128(16, 4)
    );
}

#[test]
fn results_are_of_types_that_columns_have() {
    for (text, data_type) in [
        ("quantity * unit_price", DataType::Decimal128(23, 2)),
        ("upper(btrim(sales.region_code))", DataType::Utf8),
        ("quantity <> 0", DataType::Boolean),
        ("cast(ts as date)", DataType::Date32),
        ("date_trunc('minute', ts)", timestamp_type()),
        ("cast('2026-03-14' as timestamp)", timestamp_type()),
        ("timestamp '2026-03-14T10:00:00'", timestamp_type()),
        ("ts + interval '1 day'", timestamp_type()),
        ("cast(quantity as tinyint)", DataType::Int16),
        ("cast(quantity as real)", DataType::Float64),
        ("extract(hour from ts)", DataType::Int32),
        (
            "case when quantity < 0 then 'back' else 'sale' end",
            DataType::Utf8,
        ),
    ] {
        assert_eq!(compile(text).data_type(), &data_type, "{text}");
    }
    assert!(fault("null").message.contains("always null"));
    assert!(
        fault("interval '1 day'")
            .message
            .contains("no column can have")
    );
}

#[test]
fn compile_as_casts_or_says_why_not() {
    let compiler = compiler();
    assert_eq!(
        compiler
            .compile_as("quantity", &DataType::Int32)
            .unwrap()
            .column(),
        Some(QUANTITY)
    );
    let wide = compiler.compile_as("quantity", &DataType::Int64).unwrap();
    assert_eq!((wide.column(), wide.data_type()), (None, &DataType::Int64));
    assert_eq!(
        compiler
            .compile_as("null", &DataType::Utf8)
            .unwrap()
            .data_type(),
        &DataType::Utf8
    );
    let error = compiler
        .compile_as("quantity <> 0", &DataType::Date32)
        .unwrap_err();
    assert_eq!(error.message, "boolean can't be cast to date");
}

#[test]
fn now_is_the_time_given() {
    let aged = compile("ts > now() - interval '1 hour'");
    assert_eq!(aged.inputs(), &[TS]);
    let columns = with(vec![(TS, at(&["2026-03-14T10:00:00Z"]))]);
    let now = at(&["2026-03-14T10:30:00Z"])
        .as_primitive::<TimestampMicrosecondType>()
        .value(0);
    assert!(aged.evaluate(&columns, 1, now).array.as_boolean().value(0));
    assert!(
        !aged
            .evaluate(&columns, 1, now + 7_200_000_000)
            .array
            .as_boolean()
            .value(0)
    );
    for text in ["now()", "current_timestamp", "NOW()"] {
        let given = compile(text).evaluate(&[], 2, now).array;
        assert_eq!(
            given.as_primitive::<TimestampMicrosecondType>().values(),
            &[now, now],
            "{text}"
        );
        assert_eq!(given.data_type(), &timestamp_type());
    }
    assert_eq!(
        compile("current_date")
            .evaluate(&[], 1, now)
            .array
            .as_primitive::<Date32Type>()
            .value(0),
        20_526
    );
}

#[test]
fn a_zone_gives_the_local_day() {
    let columns = with(vec![(
        TS,
        at(&[
            "2026-03-14T22:59:59Z",
            "2026-03-14T23:00:00Z",
            "2026-07-14T22:00:00Z",
        ]),
    )]);
    for text in [
        "cast(ts at time zone 'Europe/Madrid' as date)",
        "local_date(ts, 'Europe/Madrid')",
        "local_date(ts)",
    ] {
        let days = words(&compile(text).evaluate(&columns, 3, 0));
        let days: Vec<_> = days.iter().flatten().map(String::as_str).collect();
        assert_eq!(days, ["2026-03-14", "2026-03-15", "2026-07-15"], "{text}");
    }
    let days = words(&compile("cast(ts as date)").evaluate(&columns, 3, 0));
    assert_eq!(
        days[1].as_deref(),
        Some("2026-03-14"),
        "UTC unless a zone is named"
    );
    let hours = compile("extract(hour from ts at time zone 'Europe/Madrid')")
        .evaluate(&columns, 3, 0)
        .array;
    assert_eq!(hours.as_primitive::<Int32Type>().values(), &[23, 0, 0]);
    let same = compile("ts at time zone 'Europe/Madrid'")
        .evaluate(&columns, 3, 0)
        .array;
    assert_eq!(&same, columns[TS].as_ref().unwrap());
}

#[test]
fn timestamps_beyond_the_reach_of_nanoseconds_keep_their_value() {
    let far: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![253_370_764_800_000_000]).with_timezone("UTC"),
    );
    let columns = with(vec![(TS, far)]);
    let day = words(&compile("local_date(ts, 'UTC')").evaluate(&columns, 1, 0));
    assert_eq!(day[0].as_deref(), Some("9999-01-01"));
}

proptest! {
    #[test]
    fn days_and_hours_are_those_of_the_calendar(
        moments in prop::collection::vec(prop::option::of(-62_135_596_800_000_000_i64..253_402_300_799_999_999), 0..20),
        near in prop::collection::vec(1_774_746_000_000_000_i64 - 7_200_000_000..1_774_746_000_000_000 + 7_200_000_000, 0..20),
        zone in prop::sample::select(vec!["UTC", "Europe/Madrid", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    ) {
        let moments: Vec<Option<i64>> = moments.into_iter().chain(near.into_iter().map(Some)).collect();
        let columns = with(vec![(TS, Arc::new(TimestampMicrosecondArray::from(moments.clone()).with_timezone("UTC")))]);
        let tz: Tz = zone.parse().unwrap();
        let local = |moment: i64| chrono::DateTime::from_timestamp_micros(moment).unwrap().with_timezone(&tz).naive_local();
        let expected = |part: fn(chrono::NaiveDateTime) -> i32| moments.iter().map(|moment| moment.map(|moment| part(local(moment)))).collect::<Vec<_>>();
        let given = |text: &str| compile(&text.replace("ts", &format!("ts at time zone '{zone}'"))).evaluate(&columns, moments.len(), 0).array;
        let days = given("cast(ts as date)");
        prop_assert_eq!(days.as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), expected(|local| local.date().to_epoch_days()));
        let hour = |local: chrono::NaiveDateTime| i32::try_from(local.hour()).unwrap();
        let minute = |local: chrono::NaiveDateTime| i32::try_from(local.minute()).unwrap();
        let weekday = |local: chrono::NaiveDateTime| i32::try_from(local.weekday().num_days_from_sunday()).unwrap();
        for (text, expected) in [
            ("extract(hour from ts)", expected(hour)),
            ("extract(minute from ts)", expected(minute)),
            ("extract(dow from ts)", expected(weekday)),
        ] {
            prop_assert_eq!(given(text).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), expected, "{}", text);
        }
    }
}
