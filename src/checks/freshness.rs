//! Freshness: reference time − newest event time of a segment, in seconds.
//!
//! The reference of a bounded run is `--as-of`, or the newest event of all segments of the check; never the wall clock, so
//! that a run repeated tomorrow says the same. (Age of the newest record: "currentness" in ISO/IEC 25012.)

use super::verdict::{Judged, Status};

/// How an age is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Microseconds beyond which the status is `warn`.
    pub warn_after: Option<i64>,
    /// Microseconds beyond which the status is `fail`.
    pub fail_after: Option<i64>,
}

impl Freshness {
    /// Judges the age at `reference` of the event at `newest`, both in microseconds; the value is in seconds, negative for
    /// events after the reference.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "ages are exact up to 2^53 microseconds, 285 years"
    )]
    pub fn judge(&self, newest: i64, reference: i64) -> Judged {
        let age = reference.saturating_sub(newest);
        let beyond = |limit: Option<i64>| limit.map(|limit| age > limit);
        let status = Status::of_thresholds(beyond(self.warn_after), beyond(self.fail_after));
        let expected = Judged::limit(status, self.warn_after, self.fail_after)
            .map(|limit| format!("<= {}", duration(limit)));
        Judged {
            status,
            value: Some(age as f64 / 1e6),
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
        let check = Freshness {
            warn_after: Some(10 * MINUTE),
            fail_after: Some(30 * MINUTE),
        };
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
        let judged = Freshness {
            warn_after: None,
            fail_after: None,
        }
        .judge(i64::MIN, i64::MAX);
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
