//! Freshness: how long ago something came, for each segment, and what is thought of it.
//!
//! ```text
//!            source lag                frontier lag                 commit lag
//!  event ──────────────> arrival ──────────────────────> read ──────────────────> visible
//!  "late"                "source_stalled", "job_slow"          "commit_slow"
//! ```
//!
//! - A segment is *silent* at r where nothing of it lies within a limit before r, and all that had come by r was read: r is the time up to which
//!   that is so ([`Lag`](crate::epoch::Lag)), and not the wall time, so that a source that does not answer, or a job that can't keep up, makes no
//!   segment silent. How far r itself is behind is judged by the same limits, and told of all segments together ([`WHOLE`]).
//! - A run with an end reads everything: r is `--as-of`, or the newest event of all segments of the check; never the wall clock, so that a run
//!   repeated tomorrow says the same. (Age of the newest record: "currentness" in ISO/IEC 25012.)
//! - [`lives`] keeps the segments, [`calendar`](super::calendar) counts business time.

pub mod lives;
mod saved;

use std::sync::Arc;

use super::calendar::Calendar;
use super::verdict::{Judged, Status};
use crate::job::plan::{FreshnessOn, FreshnessPlan};

pub use lives::Lives;

/// What stands for the segment where a verdict is about all of them together. No segment is written so: each begins with a column's name.
pub const WHOLE: &str = "*";

/// What happened, where a verdict is about an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A segment came for the first time.
    Appeared,
    /// Nothing came.
    Silent,
    /// Rows come, but their events are old.
    Late,
    /// A segment that should be there never came.
    NeverCame,
    /// Rows came, and none had an event time.
    NoEventTime,
    /// It is as it should be again.
    Back,
    /// It was silent for so long that it is not kept any more.
    Retired,
    /// A source does not answer, or stands still before its end.
    SourceStalled,
    /// There is more than is read.
    JobSlow,
    /// What is read does not become visible.
    CommitSlow,
}

impl Reason {
    /// Every reason, in the order of their codes.
    pub(crate) const ALL: [Self; 10] = [
        Self::Appeared,
        Self::Silent,
        Self::Late,
        Self::NeverCame,
        Self::NoEventTime,
        Self::Back,
        Self::Retired,
        Self::SourceStalled,
        Self::JobSlow,
        Self::CommitSlow,
    ];

    /// The word in the table of verdicts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Silent => "silent",
            Self::Late => "late",
            Self::NeverCame => "never_came",
            Self::NoEventTime => "no_event_time",
            Self::Back => "back",
            Self::Retired => "retired",
            Self::SourceStalled => "source_stalled",
            Self::JobSlow => "job_slow",
            Self::CommitSlow => "commit_slow",
        }
    }
}

/// How an age is judged. Times and durations are microseconds.
#[derive(Debug, Clone)]
pub struct Freshness {
    /// What is old.
    pub on: FreshnessOn,
    /// Beyond it the status is `warn`.
    pub warn_after: Option<i64>,
    /// Beyond it the status is `fail`.
    pub fail_after: Option<i64>,
    /// What ages and both limits are counted by; `None`: all time.
    pub calendar: Option<Arc<Calendar>>,
    /// Beyond so much of all time a segment is not kept.
    pub retire_after: Option<i64>,
    /// Most segments that are kept.
    pub max_segments: usize,
}

impl Freshness {
    /// That of a check.
    pub fn new(plan: &FreshnessPlan, calendars: &[Arc<Calendar>]) -> Self {
        Self {
            on: plan.on,
            warn_after: plan.warn_after,
            fail_after: plan.fail_after,
            calendar: plan.calendar.map(|index| Arc::clone(&calendars[index])),
            retire_after: plan.retire_after,
            max_segments: plan.max_segments,
        }
    }

    /// Of events, by these limits of all time.
    #[cfg(test)]
    pub(crate) fn by_limits(warn_after: Option<i64>, fail_after: Option<i64>) -> Self {
        Self {
            on: FreshnessOn::Event,
            warn_after,
            fail_after,
            calendar: None,
            retire_after: None,
            max_segments: usize::MAX,
        }
    }

    /// The age at `to` of what was at `from`.
    pub fn age(&self, from: i64, to: i64) -> i64 {
        match &self.calendar {
            Some(calendar) => calendar.age(from, to),
            None => to.saturating_sub(from),
        }
    }

    /// The last time at which the age of what was at `from` is not beyond a limit.
    pub fn deadline(&self, from: i64, limit: i64) -> i64 {
        match &self.calendar {
            Some(calendar) => calendar.deadline(from, limit),
            None => from.saturating_add(limit),
        }
    }

    /// The limits there are.
    pub(crate) fn limits(&self) -> impl Iterator<Item = i64> {
        [self.warn_after, self.fail_after].into_iter().flatten()
    }

    /// Whether an age is beyond the first limit.
    pub(crate) fn is_old(&self, age: i64) -> bool {
        self.limits().min().is_some_and(|limit| age > limit)
    }

    /// Judges the age at `reference` of what was at `from`; the value is in seconds, negative for what was after the reference.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "ages are exact up to 2^53 microseconds, 285 years"
    )]
    pub fn judge(&self, from: i64, reference: i64) -> Judged {
        let age = self.age(from, reference);
        let beyond = |limit: Option<i64>| limit.map(|limit| age > limit);
        let status = Status::of_thresholds(beyond(self.warn_after), beyond(self.fail_after));
        self.judged(status, Some(age as f64 / 1e6))
    }

    /// What is said where nothing ever came: the worst there is, or `no_data` where nothing is held against it.
    pub(crate) fn nothing(&self) -> Judged {
        let status = match (self.warn_after, self.fail_after) {
            (_, Some(_)) => Status::Fail,
            (Some(_), None) => Status::Warn,
            (None, None) => Status::NoData,
        };
        self.judged(status, None)
    }

    /// A verdict with this value.
    pub(crate) fn judged(&self, status: Status, value: Option<f64>) -> Judged {
        let limit = Judged::limit(status, self.warn_after, self.fail_after);
        let of = self.calendar.as_ref();
        let of = of.map_or_else(String::new, |calendar| format!(" of {}", calendar.name()));
        let expected = limit.map(|limit| format!("<= {}{of}", duration(limit)));
        Judged {
            status,
            value,
            numerator: None,
            denominator: None,
            expected,
            baseline: None,
        }
    }
}

/// A duration as job files write it, in the largest unit that divides it.
fn duration(micros: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
        (1, "microsecond"),
    ];
    let (unit, name) = UNITS
        .iter()
        .find(|(unit, _)| micros != 0 && micros % unit == 0)
        .unwrap_or(&UNITS[3]);
    let count = micros / unit;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn ages_are_held_against_both_thresholds() {
        let check = Freshness::by_limits(Some(10 * MINUTE), Some(30 * MINUTE));
        let cases = [
            (0, Status::Pass, "<= 10 minutes"),
            (10 * MINUTE, Status::Pass, "<= 10 minutes"),
            (10 * MINUTE + 1, Status::Warn, "<= 10 minutes"),
            (30 * MINUTE, Status::Warn, "<= 10 minutes"),
            (30 * MINUTE + 1, Status::Fail, "<= 30 minutes"),
            (-MINUTE, Status::Pass, "<= 10 minutes"),
        ];
        for (age, status, expected) in cases {
            let judged = check.judge(1_000 * MINUTE, 1_000 * MINUTE + age);
            assert_eq!(
                (judged.status, judged.expected.as_deref()),
                (status, Some(expected)),
                "{age}"
            );
        }
        assert_eq!(check.judge(0, 90 * MINUTE).value, Some(5_400.0));
    }

    #[test]
    fn without_thresholds_it_only_measures() {
        let judged = Freshness::by_limits(None, None).judge(i64::MIN, i64::MAX);
        assert_eq!((judged.status, judged.expected), (Status::Measured, None));
    }

    #[test]
    fn durations_read_as_in_job_files() {
        for (micros, text) in [
            (MINUTE, "1 minute"),
            (90_000_000, "90 seconds"),
            (172_800_000_000, "2 days"),
            (1_500, "1500 microseconds"),
            (0, "0 seconds"),
        ] {
            assert_eq!(duration(micros), text);
        }
    }
}
