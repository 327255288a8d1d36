//! Business time: how much of the time between two instants a business was open, and when so much of it will have passed.
//!
//! The open set of a calendar is the set of instants t whose local time in its zone lies within its hours, on an open day that is no holiday. So
//! clocks that change need no rule of their own: an hour that the clock skips is in nobody's hours, one that it shows twice counts twice where
//! it is open. With B(t) the open time between 1970 and t, the age of a at b is B(b) − B(a), and an age passes a limit L behind the last t with
//! B(t) ≤ B(a) + L: hours that end at the limit leave the age there until the next ones begin.
//!
//! B is kept at the midnights of UTC, so that an age costs two days of pieces and a deadline a binary search. A day is cut where the zone's
//! offset changes; within a piece local time is UTC and a constant (`tests` go through zones minute by minute).

mod holidays;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};

use crate::job::plan::CalendarPlan;

pub use holidays::{HolidaysError, read_all_holidays, read_holidays};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Days since 1970 that are counted: to the end of 2099. Beyond, all is closed.
const DAYS: i64 = 47_482;

/// When a business is open.
pub struct Calendar {
    plan: CalendarPlan,
    /// Days on which it is closed, in days since 1970.
    holidays: BTreeSet<i64>,
    /// Open microseconds before each midnight of UTC, and behind the last. Made when it is asked first: some milliseconds, 371 KiB.
    before: OnceLock<Vec<i64>>,
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calendar")
            .field("plan", &self.plan)
            .field("holidays", &self.holidays)
            .finish_non_exhaustive()
    }
}

impl Calendar {
    /// The calendar of a plan; `file` are the days of its file.
    pub fn new(plan: &CalendarPlan, file: &[i64]) -> Self {
        let days = plan.holidays.iter().flat_map(|(from, to)| *from..=*to);
        Self {
            plan: plan.clone(),
            holidays: days.chain(file.iter().copied()).collect(),
            before: OnceLock::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// How much of the time between two instants (microseconds since 1970) it was open; below zero where the second is the earlier one.
    pub fn age(&self, from: i64, to: i64) -> i64 {
        self.open_until(to) - self.open_until(from)
    }

    /// The last instant at which the age of `from` is not beyond `limit`.
    pub fn deadline(&self, from: i64, limit: i64) -> i64 {
        let target = self.open_until(from).saturating_add(limit);
        let before = self.before();
        let behind = before.partition_point(|open| *open <= target);
        let Some(day) = behind.checked_sub(1) else {
            return i64::MIN;
        };
        let start = i64::try_from(day).map_or(i64::MAX, |day| day * DAY);
        let mut open = before[day];
        for (from, to) in self.pieces(start, start.saturating_add(DAY)) {
            if open + (to - from) > target {
                return from + (target - open);
            }
            open += to - from;
        }
        i64::MAX
    }

    /// B(t).
    fn open_until(&self, time: i64) -> i64 {
        let time = time.clamp(0, DAYS * DAY);
        let day = time / DAY;
        let before = usize::try_from(day).map_or(0, |day| self.before()[day]);
        let pieces = self.pieces(day * DAY, time);
        before + pieces.iter().map(|(from, to)| to - from).sum::<i64>()
    }

    fn before(&self) -> &[i64] {
        self.before.get_or_init(|| {
            let mut open = 0;
            let mut before = vec![0];
            for day in 0..DAYS {
                let pieces = self.pieces(day * DAY, (day + 1) * DAY);
                open += pieces.iter().map(|(from, to)| to - from).sum::<i64>();
                before.push(open);
            }
            before
        })
    }

    /// The open pieces of a time of a day at most, in order.
    fn pieces(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut pieces = Vec::new();
        let mut from = from;
        while from < to && from < DAYS * DAY {
            let offset = self.offset(from);
            // Where it changes; zones change at whole seconds.
            let mut end = to;
            if self.offset(to - 1) != offset {
                let (mut same, mut other) = (from, to - 1);
                while other - same > 1 {
                    let middle = same + (other - same) / 2;
                    if self.offset(middle) == offset {
                        same = middle;
                    } else {
                        other = middle;
                    }
                }
                end = other;
            }
            self.constant(from, end, offset, &mut pieces);
            from = end;
        }
        pieces
    }

    /// The open pieces of a time in which the offset is one.
    fn constant(&self, from: i64, to: i64, offset: i64, pieces: &mut Vec<(i64, i64)>) {
        let (local_from, local_to) = (from + offset, to + offset);
        for day in local_from.div_euclid(DAY)..=(local_to - 1).div_euclid(DAY) {
            if !self.is_open(day) {
                continue;
            }
            for (opens, closes) in &self.plan.hours {
                let start = local_from.max(day * DAY + opens);
                let end = local_to.min(day * DAY + closes);
                if start < end {
                    pieces.push((start - offset, end - offset));
                }
            }
        }
    }

    /// Whether a local day is open at all.
    fn is_open(&self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
        self.plan.days[weekday] && !self.holidays.contains(&day)
    }

    /// Local time less UTC, in microseconds.
    fn offset(&self, time: i64) -> i64 {
        let time = DateTime::from_timestamp_micros(time).unwrap_or_default();
        let offset = self
            .plan
            .time_zone
            .offset_from_utc_datetime(&time.naive_utc());
        i64::from(offset.fix().local_minus_utc()) * SECOND
    }
}

#[cfg(test)]
mod tests;
