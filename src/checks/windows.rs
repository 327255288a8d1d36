//! Windows: which one a time falls into, and where it starts and ends. These follow each other without gaps; windows that hop are made of
//! several of them, their panes ([`super::layout::Layout::panes`]).
//!
//! Windows have numbers, so that grouping works on small integers; a start is worked out once a window. Times are
//! microseconds UTC, windows are [start, end).
//!
//! - A fixed length is aligned to 1970-01-01T00:00Z.
//! - Days are calendar days of the business time zone, n of them aligned to 1970-01-01. A day starts at the first instant
//!   that its date's midnight is reached: where clocks skip midnight that is the moment after the gap, where they show it
//!   twice the first time. Days are 23, 24 or 25 hours long, and each instant is in one window.
//! - Weeks and months are made of those days: n weeks begin at the stated day of the week, aligned to the first such day of 1970; n months
//!   at the first of a month, aligned to January 1970, so that three of them are quarters.

use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::job::plan::WindowLength;

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// Windows of this many microseconds, at least one.
    Fixed(i64),
    /// Windows of this many calendar days, at least one.
    Days(u32, Tz),
    /// Windows of this many calendar weeks, at least one, that begin with the day which is so many days after 1970-01-01.
    Weeks(u32, i64, Tz),
    /// Windows of this many calendar months, at least one.
    Months(u32, Tz),
    /// One window that holds all times; its number and start are 0.
    Whole,
}

/// Days between 0001-01-01 and 1970-01-01, as chrono counts.
const DAYS_BEFORE_1970: i32 = 719_163;

/// Times further from 1970 than this (some 200,000 years) have days in UTC: chrono's local dates end at 262,000.
const LOCAL_MICROS: u64 = 6_300_000_000_000_000_000;

impl Windows {
    /// The windows of a plan.
    pub fn new(length: WindowLength, time_zone: Tz) -> Self {
        match length {
            WindowLength::Fixed(micros) => Self::Fixed(micros.max(1)),
            WindowLength::Days(days) => Self::Days(days.max(1), time_zone),
            WindowLength::Weeks(weeks, first) => {
                // 1970-01-01 was a Thursday.
                let first = i64::from((first.num_days_from_monday() + 4) % 7);
                Self::Weeks(weeks.max(1), first, time_zone)
            }
            WindowLength::Months(months) => Self::Months(months.max(1), time_zone),
        }
    }

    /// Where window `number` starts.
    pub fn start(self, number: i64) -> i64 {
        match self {
            Self::Fixed(length) => number.saturating_mul(length),
            Self::Days(_, time_zone)
            | Self::Weeks(_, _, time_zone)
            | Self::Months(_, time_zone) => start_of_day(self.first_day(number), time_zone),
            Self::Whole => 0,
        }
    }

    /// The first day of a window of days, weeks or months, in days after 1970-01-01.
    fn first_day(self, number: i64) -> i64 {
        match self {
            Self::Weeks(weeks, first, _) => number
                .saturating_mul(7 * i64::from(weeks))
                .saturating_add(first),
            Self::Months(months, _) => first_of_month(number.saturating_mul(i64::from(months))),
            Self::Days(days, _) => number.saturating_mul(i64::from(days)),
            Self::Fixed(_) | Self::Whole => number,
        }
    }

    /// The window of days, weeks or months that has a day.
    fn number_of_day(self, day: i64) -> i64 {
        match self {
            Self::Weeks(weeks, first, _) => (day - first).div_euclid(7 * i64::from(weeks)),
            Self::Months(months, _) => month_of(day).div_euclid(i64::from(months)),
            Self::Days(days, _) => day.div_euclid(i64::from(days)),
            Self::Fixed(_) | Self::Whole => day,
        }
    }

    /// Where the window that starts at `start` ends.
    pub fn end(self, start: i64) -> i64 {
        match self {
            Self::Fixed(length) => start.saturating_add(length),
            Self::Days(..) | Self::Weeks(..) | Self::Months(..) => {
                self.start(self.number(start) + 1)
            }
            Self::Whole => i64::MAX,
        }
    }

    /// Where so many windows end, of which the first starts at `start`.
    pub fn end_of(self, start: i64, windows: u32) -> i64 {
        if windows == 1 {
            return self.end(start);
        }
        self.start(self.number(start).saturating_add(windows.into()))
    }

    /// The number of the window that holds `time`.
    pub fn number(self, time: i64) -> i64 {
        match self {
            Self::Fixed(length) => time.div_euclid(length),
            Self::Days(_, time_zone)
            | Self::Weeks(_, _, time_zone)
            | Self::Months(_, time_zone) => {
                let mut number = self.number_of_day(local_day(time, time_zone));
                // The local date can step back over midnight where clocks are put back; the starts decide.
                while self.start(number) > time {
                    number -= 1;
                }
                while self.start(number + 1) <= time {
                    number += 1;
                }
                number
            }
            Self::Whole => 0,
        }
    }

    /// The window number of each time, put into `numbers`; gives the least and greatest, `None` for no times.
    ///
    /// Cost: for fixed lengths a multiplication a time; for days a comparison, and the calendar once a new day comes.
    pub(crate) fn numbers(self, times: &[i64], numbers: &mut Vec<i64>) -> Option<(i64, i64)> {
        numbers.clear();
        let (least, greatest) = (times.iter().copied().min()?, times.iter().copied().max()?);
        let range = (self.number(least), self.number(greatest));
        match self {
            Self::Whole => numbers.resize(times.len(), 0),
            Self::Fixed(length) => fixed_numbers(length, least, greatest, times, numbers),
            Self::Days(..) | Self::Weeks(..) | Self::Months(..) => {
                let (mut start, mut end, mut number) = (0, 0, 0);
                numbers.extend(times.iter().map(|&time| {
                    if time < start || time >= end {
                        number = self.number(time);
                        start = self.start(number);
                        end = self.start(number + 1);
                    }
                    number
                }));
            }
        }
        Some(range)
    }
}

/// Divides by multiplying with m = ⌊(2^64 − 1) / length⌋ + 1 and keeping the high word, which is exact for dividends below
/// m − 1: m·length − 2^64 is at most `length`, so the error stays below 1/length. (Granlund and Montgomery, "Division by
/// Invariant Integers using Multiplication", 1994.) Batches that span more (3.5 days for minutes) are divided.
fn fixed_numbers(length: i64, least: i64, greatest: i64, times: &[i64], numbers: &mut Vec<i64>) {
    let first = least.div_euclid(length);
    let base = first.saturating_mul(length);
    let limit = u64::MAX / length.unsigned_abs();
    if length > 1
        && greatest
            .checked_sub(base)
            .is_some_and(|span| span.unsigned_abs() < limit)
    {
        let multiplier = u128::from(limit + 1);
        numbers.extend(times.iter().map(|&time| {
            first + high_word(u128::from(time.wrapping_sub(base).cast_unsigned()) * multiplier)
        }));
    } else {
        numbers.extend(times.iter().map(|time| time.div_euclid(length)));
    }
}

#[expect(
    clippy::as_conversions,
    reason = "the high half of a product of two words is one word"
)]
fn high_word(product: u128) -> i64 {
    ((product >> 64) as u64).cast_signed()
}

/// Days of 400 years of the calendar, and of the 719,468 from 0000-03-01 to 1970-01-01.
const ERA_DAYS: i64 = 146_097;
const DAYS_FROM_MARCH: i64 = 719_468;

/// The month that has a day (in days after 1970-01-01), in months after January 1970: by years that begin in March, so that the
/// leap day is their last (H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn month_of(day: i64) -> i64 {
    let day = day.saturating_add(DAYS_FROM_MARCH);
    let era = day.div_euclid(ERA_DAYS);
    let of_era = day.rem_euclid(ERA_DAYS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year - 1_970) * 12 + from_march + 2
}

/// The first day of a month, in days after 1970-01-01 (ibid., `days_from_civil`).
fn first_of_month(month: i64) -> i64 {
    // Far beyond every time that has 64 bits of microseconds.
    let month = month.clamp(-12_000_000, 12_000_000);
    let from_march = (month - 2).rem_euclid(12);
    let year = (month - 2).div_euclid(12) + 1_970;
    let of_era = year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    year.div_euclid(400) * ERA_DAYS + day_of_era - DAYS_FROM_MARCH
}

/// Days since 1970-01-01 of the local date at `time`.
fn local_day(time: i64, time_zone: Tz) -> i64 {
    let Some(utc) =
        DateTime::from_timestamp_micros(time).filter(|_| time.unsigned_abs() < LOCAL_MICROS)
    else {
        return time.div_euclid(86_400_000_000);
    };
    let date = utc.with_timezone(&time_zone).date_naive();
    i64::from(date.num_days_from_ce() - DAYS_BEFORE_1970)
}

/// The first instant of the local date that is `day` days after 1970-01-01; outside chrono's years, that of UTC.
fn start_of_day(day: i64, time_zone: Tz) -> i64 {
    let plain = day.saturating_mul(86_400_000_000);
    let date = i32::try_from(day)
        .ok()
        .and_then(|day| day.checked_add(DAYS_BEFORE_1970))
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        // A margin for the search below.
        .filter(|date| {
            date.checked_add_days(Days::new(3)).is_some()
                && date.checked_sub_days(Days::new(3)).is_some()
        });
    let Some(date) = date else { return plain };
    let midnight = date.and_time(chrono::NaiveTime::MIN);
    match time_zone.from_local_datetime(&midnight) {
        MappedLocalTime::Single(start) | MappedLocalTime::Ambiguous(start, _) => {
            start.timestamp_micros()
        }
        MappedLocalTime::None => {
            // Midnight is skipped: the first second at which the local date is this one or a later one.
            let day_and_half = TimeDelta::hours(36);
            let mut before = (midnight - day_and_half).and_utc().timestamp();
            let mut after = (midnight + day_and_half).and_utc().timestamp();
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if local_day(middle.saturating_mul(1_000_000), time_zone) < day {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            after.saturating_mul(1_000_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Weekday;
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    fn window(windows: Windows, time: &str) -> (String, i64) {
        let start = windows.start(windows.number(micros(time)));
        let hours = (windows.end(start) - start) / 3_600_000_000;
        (
            DateTime::from_timestamp_micros(start).unwrap().to_rfc3339(),
            hours,
        )
    }

    #[test]
    fn days_have_the_length_the_clocks_give_them() {
        let madrid = Windows::Days(1, Tz::Europe__Madrid);
        assert_eq!(
            window(madrid, "2026-03-14T12:00:00Z"),
            ("2026-03-13T23:00:00+00:00".into(), 24)
        );
        assert_eq!(
            window(madrid, "2026-03-13T22:59:59Z"),
            ("2026-03-12T23:00:00+00:00".into(), 24)
        );
        assert_eq!(
            window(madrid, "2026-03-29T12:00:00Z"),
            ("2026-03-28T23:00:00+00:00".into(), 23)
        );
        assert_eq!(
            window(madrid, "2026-10-25T12:00:00Z"),
            ("2026-10-24T22:00:00+00:00".into(), 25)
        );
        let week = Windows::Days(7, Tz::UTC);
        assert_eq!(
            window(week, "1969-12-31T23:00:00Z"),
            ("1969-12-25T00:00:00+00:00".into(), 168)
        );
        assert_eq!(
            window(week, "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00+00:00".into(), 168)
        );
    }

    #[test]
    fn weeks_begin_at_their_day_and_months_at_their_first() {
        let of = |length| Windows::new(length, Tz::Europe__Madrid);
        let monday = of(WindowLength::Weeks(1, Weekday::Mon));
        // A Sunday, and the Monday behind it, by the clocks of Madrid; clocks went forward on the 29th.
        assert_eq!(
            window(monday, "2026-03-29T21:59:59Z"),
            ("2026-03-22T23:00:00+00:00".into(), 167)
        );
        assert_eq!(
            window(monday, "2026-03-29T22:00:00Z"),
            ("2026-03-29T22:00:00+00:00".into(), 168)
        );
        let sunday = of(WindowLength::Weeks(1, Weekday::Sun));
        assert_eq!(
            window(sunday, "2026-03-29T21:59:59Z"),
            ("2026-03-28T23:00:00+00:00".into(), 167)
        );
        let month = of(WindowLength::Months(1));
        assert_eq!(
            window(month, "2024-02-29T23:30:00Z"),
            ("2024-02-29T23:00:00+00:00".into(), 31 * 24 - 1)
        );
        assert_eq!(
            window(month, "2024-02-29T22:30:00Z"),
            ("2024-01-31T23:00:00+00:00".into(), 29 * 24)
        );
        let quarter = of(WindowLength::Months(3));
        assert_eq!(
            window(quarter, "1969-12-31T22:00:00Z"),
            ("1969-09-30T23:00:00+00:00".into(), 92 * 24)
        );
        assert_eq!(
            window(quarter, "2026-12-31T22:59:59Z").0,
            "2026-09-30T22:00:00+00:00"
        );
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for day in (-800_000..800_000).step_by(13) {
            let date = NaiveDate::from_num_days_from_ce_opt(day + DAYS_BEFORE_1970).unwrap();
            let month = (date.year() - 1_970) * 12 + i32::try_from(date.month0()).unwrap();
            assert_eq!(month_of(i64::from(day)), i64::from(month), "{date}");
            let first = date.with_day(1).unwrap().num_days_from_ce() - DAYS_BEFORE_1970;
            assert_eq!(first_of_month(i64::from(month)), i64::from(first));
        }
    }

    #[test]
    fn a_day_without_midnight_starts_after_the_gap() {
        // Brazil put its clocks from 00:00 to 01:00 on 2018-11-04.
        let brazil = Windows::Days(1, Tz::America__Sao_Paulo);
        assert_eq!(
            window(brazil, "2018-11-04T12:00:00Z"),
            ("2018-11-04T03:00:00+00:00".into(), 23)
        );
        assert_eq!(
            window(brazil, "2018-11-04T02:59:59Z"),
            ("2018-11-03T03:00:00+00:00".into(), 24)
        );
        // Samoa left out 2011-12-30.
        let samoa = Windows::Days(1, Tz::Pacific__Apia);
        assert_eq!(
            window(samoa, "2011-12-30T10:00:00Z"),
            ("2011-12-30T10:00:00+00:00".into(), 24)
        );
        assert_eq!(
            window(samoa, "2011-12-30T09:59:59Z"),
            ("2011-12-29T10:00:00+00:00".into(), 24)
        );
    }

    #[test]
    fn a_day_with_two_midnights_starts_at_the_first() {
        // Cuba puts its clocks from 01:00 back to 00:00.
        let cuba = Windows::Days(1, Tz::America__Havana);
        assert_eq!(
            window(cuba, "2025-11-02T04:30:00Z"),
            ("2025-11-02T04:00:00+00:00".into(), 25)
        );
        assert_eq!(
            window(cuba, "2025-11-02T05:30:00Z"),
            ("2025-11-02T04:00:00+00:00".into(), 25)
        );
    }

    #[test]
    fn extreme_times_have_windows_and_no_overflow() {
        for windows in [
            Windows::Fixed(60_000_000),
            Windows::Fixed(1),
            Windows::Days(1, Tz::Europe__Madrid),
            Windows::Weeks(2, 4, Tz::Europe__Madrid),
            Windows::Months(1, Tz::Europe__Madrid),
            Windows::Whole,
        ] {
            let mut numbers = Vec::new();
            windows.numbers(&[i64::MIN / 2, 0, i64::MAX / 2], &mut numbers);
            assert_eq!(numbers.len(), 3);
            assert_eq!(windows.numbers(&[], &mut numbers), None);
        }
    }

    proptest! {
        #[test]
        fn each_time_is_in_its_window_and_numbers_agree(
            base in -2_000_000_000_000_000_i64..4_000_000_000_000_000,
            spread in prop::sample::select(vec![1_i64, 60_000_000, 400_000_000_000, 40_000_000_000_000]),
            offsets in proptest::collection::vec(0_i64..1_000_000, 1..40),
            length in prop::sample::select(vec![1_i64, 7, 1_000, 60_000_000, 3_600_000_000, 1 << 40]),
            days in 1_u32..40,
        ) {
            let part = |offset: i64| i64::try_from(i128::from(offset) * i128::from(spread) / 1_000_000).unwrap();
            let times: Vec<i64> = offsets.iter().map(|offset| base + part(*offset)).collect();
            for windows in [Windows::Fixed(length), Windows::Days(days, Tz::America__Sao_Paulo), Windows::Days(days, Tz::Europe__Madrid), Windows::Weeks(days, 3, Tz::Europe__Madrid), Windows::Months(days, Tz::America__Sao_Paulo)] {
                let mut numbers = Vec::new();
                let (least, greatest) = windows.numbers(&times, &mut numbers).unwrap();
                for (&time, &number) in times.iter().zip(&numbers) {
                    prop_assert_eq!(number, windows.number(time));
                    let start = windows.start(number);
                    prop_assert!(start <= time && time < windows.end(start));
                    prop_assert_eq!(windows.end(start), windows.start(number + 1));
                    prop_assert!(least <= number && number <= greatest);
                }
            }
        }
    }
}
