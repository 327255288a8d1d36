//! Business time, held against the clock minute by minute.

use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn calendar(time_zone: Tz, days: [bool; 7], hours: &[(i64, i64)], holidays: &[i64]) -> Calendar {
    let plan = CalendarPlan {
        name: "shop".to_owned(),
        time_zone,
        days,
        hours: hours.to_vec(),
        holidays: Vec::new(),
        file: None,
    };
    Calendar::new(&plan, holidays)
}

/// Monday to Friday, 09 to 18 in Madrid.
fn madrid() -> Calendar {
    let working = [true, true, true, true, true, false, false];
    calendar(Tz::Europe__Madrid, working, &[(9 * HOUR, 18 * HOUR)], &[])
}

fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_micros()
}

#[test]
fn a_weekend_has_no_hours_and_the_alarm_comes_on_monday() {
    let madrid = madrid();
    let friday = micros("2026-03-13T18:00:00+01:00");
    let age = |to: &str| madrid.age(friday, micros(to));
    assert_eq!(age("2026-03-15T12:00:00+01:00"), 0);
    assert_eq!(age("2026-03-16T09:30:00+01:00"), HOUR / 2);
    let alarm = micros("2026-03-16T13:00:00+01:00");
    assert_eq!(madrid.deadline(friday, 4 * HOUR), alarm);
    assert_eq!(madrid.age(friday, alarm), 4 * HOUR);
    assert_eq!(madrid.age(friday, alarm + 1), 4 * HOUR + 1);
}

#[test]
fn a_limit_that_ends_with_the_hours_is_passed_when_the_next_ones_begin() {
    let madrid = madrid();
    let from = micros("2026-03-13T14:00:00+01:00");
    let deadline = micros("2026-03-16T09:00:00+01:00");
    assert_eq!(madrid.deadline(from, 4 * HOUR), deadline);
    assert_eq!(madrid.age(deadline, from), -4 * HOUR);
}

#[test]
fn nights_of_changing_clocks_have_the_hours_that_the_clock_shows() {
    let open = calendar(Tz::Europe__Madrid, [true; 7], &[(0, 24 * HOUR)], &[]);
    let night = calendar(Tz::Europe__Madrid, [true; 7], &[(2 * HOUR, 3 * HOUR)], &[]);
    for (from, to, all, two_to_three) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23, 0),
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25, 2),
        ("2026-06-10T22:00:00Z", "2026-06-11T22:00:00Z", 24, 1),
    ] {
        let (from, to) = (micros(from), micros(to));
        assert_eq!(open.age(from, to), all * HOUR);
        assert_eq!(night.age(from, to), two_to_three * HOUR);
    }
}

#[test]
fn times_beyond_all_days_are_closed() {
    let madrid = madrid();
    assert_eq!(madrid.age(i64::MIN, 0), 0);
    assert_eq!(madrid.age(DAYS * DAY, i64::MAX), 0);
    assert_eq!(madrid.deadline(DAYS * DAY, 1), i64::MAX);
    assert_eq!(madrid.deadline(i64::MAX, i64::MAX), i64::MAX);
    assert!(madrid.age(i64::MIN, i64::MAX) > 120 * 250 * 9 * HOUR);
}

/// Zones with half hours, a skipped day, clocks that step back over midnight and others that are odd.
const ZONES: [Tz; 8] = [
    Tz::Europe__Madrid,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::America__Sao_Paulo,
    Tz::Africa__Casablanca,
    Tz::Asia__Kathmandu,
    Tz::Antarctica__Troll,
];

/// Instants around which clocks changed, in each of the zones some.
const CHANGES: [&str; 8] = [
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-03-08T07:00:00Z",
    "2026-04-04T15:00:00Z",
    "2011-12-30T10:00:00Z",
    "2018-11-04T03:00:00Z",
    "2018-02-18T02:00:00Z",
    "2023-04-23T02:00:00Z",
];

/// Whether it is open in the minute that begins there, by the clock alone.
fn is_open(calendar: &Calendar, minute: i64) -> bool {
    let utc = DateTime::from_timestamp_micros(minute).unwrap();
    let local = utc.with_timezone(&calendar.plan.time_zone).naive_local();
    let since = i64::from(local.num_seconds_from_midnight()) * SECOND;
    let weekday = usize::try_from(local.weekday().num_days_from_monday()).unwrap();
    let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    let day = local.date() - epoch;
    let hours = calendar.plan.hours.iter();
    calendar.plan.days[weekday]
        && !calendar.holidays.contains(&day.num_days())
        && hours
            .clone()
            .any(|(from, to)| (*from..*to).contains(&since))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ages_and_deadlines_are_those_of_a_walk_over_the_minutes(
        zone in 0..ZONES.len(),
        change in 0..CHANGES.len(),
        before in 0_i64..5_000,
        length in 0_i64..6_000,
        limit in 0_i64..2_000,
        days in any::<[bool; 7]>(),
        cuts in proptest::collection::btree_set(0_i64..=1_440, 2..6),
        holiday in -3_i64..4,
    ) {
        let cuts: Vec<i64> = cuts.into_iter().collect();
        let hours: Vec<(i64, i64)> = cuts.chunks_exact(2).map(|pair| (pair[0] * MINUTE, pair[1] * MINUTE)).collect();
        let around = micros(CHANGES[change]);
        let calendar = calendar(ZONES[zone], days, &hours, &[around / DAY + holiday]);
        let from = around - before * MINUTE;
        let open = (0..length).filter(|minute| is_open(&calendar, from + minute * MINUTE)).count();
        prop_assert_eq!(calendar.age(from, from + length * MINUTE), i64::try_from(open).unwrap() * MINUTE);
        // The deadline is the last instant whose age is not beyond the limit.
        let deadline = calendar.deadline(from, limit * MINUTE);
        if deadline < i64::MAX {
            prop_assert_eq!(calendar.age(from, deadline), limit * MINUTE);
            prop_assert!(calendar.age(from, deadline + 1) > limit * MINUTE);
        } else {
            prop_assert_eq!(days, [false; 7]);
        }
    }
}
