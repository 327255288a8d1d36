//! What is bad: one entry for each check and segment whose newest verdict warns or fails.
//!
//! Workers hand on the verdicts that matter, and process 0 goes through them in the order of epochs. Both do it by [`Watch::take`], so that
//! what a worker leaves out is what would have changed nothing:
//!
//! 1. A verdict that can't be judged (`too_few`, `no_data`, …) says nothing, but that the segment is still there.
//! 2. Of windows the newest counts. A verdict about an older one than is known is about the past.
//! 3. Of a segment that is not bad nothing is kept. So late rows that make a window bad open something only where it has just ended: within
//!    one length of it, nothing newer can have been judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Epoch;

/// Microseconds after which an alert is over whose segment is not judged any more; or three lengths of its window, where that is longer.
const FORGOTTEN_AFTER: i64 = 86_400_000_000;

/// A pause between commits, in microseconds, beyond which the job was down: a minute, or six times what is usual.
const DOWN: i64 = 60_000_000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The warning threshold is missed.
    Warn,
    /// The failure threshold is missed.
    Fail,
    /// A number does not fit or could not be worked out.
    Overflow,
}

impl Condition {
    /// Of the status of a verdict; none where it is fine or says nothing.
    fn of(status: &str) -> Option<Self> {
        match status {
            "warn" => Some(Self::Warn),
            "fail" => Some(Self::Fail),
            "overflow" => Some(Self::Overflow),
            _ => None,
        }
    }

    /// Its word, which is that of the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Overflow => "overflow",
        }
    }

    /// How bad it is: `warn` or `fail`.
    pub fn severity(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Fail | Self::Overflow => "fail",
        }
    }
}

/// Whether a status says that all is well.
fn is_fine(status: &str) -> bool {
    matches!(status, "pass" | "measured")
}

/// A verdict that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BadRow {
    /// The check.
    pub check: String,
    /// The segment, as verdicts have it.
    pub segment: String,
    /// Start and end of the window in microseconds since 1970; none where the check has none.
    pub window: Option<(i64, i64)>,
    /// The answer.
    pub status: String,
    /// What was measured.
    pub value: Option<f64>,
    /// What the value was held against.
    pub expected: Option<String>,
    /// The epoch in which it was said.
    pub epoch: Epoch,
    /// That epoch's bound wall time.
    pub now: i64,
    /// Whether it takes the place of another one about a window that ended more than its own length ago.
    pub is_past: bool,
}

/// A check and a segment that are bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bad {
    /// The newest window that was judged.
    pub window: Option<(i64, i64)>,
    /// What is wrong.
    pub condition: Condition,
    /// What was measured.
    pub value: Option<f64>,
    /// What the value was held against.
    pub expected: Option<String>,
    /// How many windows are bad, one after another.
    pub windows: u64,
    /// The bound wall time at which the first of them was said.
    pub since: i64,
    /// The bound wall time at which the newest was said.
    pub said_at: i64,
    /// When it was heard of last, by the time for which the job ran.
    heard: i64,
}

/// What is bad, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// By check and segment.
    bad: BTreeMap<String, BTreeMap<String, Bad>>,
    /// The bound wall time of the last commit.
    now: Option<i64>,
    /// Microseconds for which the job ran.
    ran: i64,
    /// The bound wall time since which the job reads what came when it did not run.
    behind_since: Option<i64>,
}

/// What a commit leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its bound wall time.
    pub now: i64,
    /// For how long, in microseconds, the job has been reading what came when it did not run; none where it has read all of it.
    pub behind_for: Option<i64>,
    /// Whether it did not run before, or was behind until now.
    pub has_paused: bool,
}

impl Watch {
    /// Takes a verdict that was said. Gives whether it is about something that is or was bad.
    pub fn take(&mut self, row: &BadRow) -> bool {
        let known = self.bad.get_mut(&row.check);
        let known = known.and_then(|of_check| of_check.get_mut(&row.segment));
        let Some(condition) = Condition::of(&row.status) else {
            let Some(known) = known else { return false };
            if is_fine(&row.status) && row.window >= known.window {
                self.forget(&row.check, &row.segment);
            } else {
                known.heard = self.ran;
            }
            return true;
        };
        let Some(known) = known else {
            if row.is_past {
                return false;
            }
            let bad = Bad {
                window: row.window,
                condition,
                value: row.value,
                expected: row.expected.clone(),
                windows: 1,
                since: row.now,
                said_at: row.now,
                heard: self.ran,
            };
            let of_check = self.bad.entry(row.check.clone()).or_default();
            of_check.insert(row.segment.clone(), bad);
            return true;
        };
        known.heard = self.ran;
        if row.window < known.window {
            return true;
        }
        known.windows += u64::from(row.window > known.window);
        known.window = row.window;
        known.condition = condition;
        known.value = row.value;
        known.expected.clone_from(&row.expected);
        known.said_at = row.now;
        true
    }

    fn forget(&mut self, check: &str, segment: &str) {
        if let Some(of_check) = self.bad.get_mut(check) {
            of_check.remove(segment);
            if of_check.is_empty() {
                self.bad.remove(check);
            }
        }
    }

    /// All of an epoch's verdicts, and of those before, were taken, and are committed with it at a bound wall time. `is_caught_up`: nothing was
    /// left to read. `pace`: microseconds between commits, as a rule.
    pub fn commit(&mut self, (epoch, now): (Epoch, i64), is_caught_up: bool, pace: i64) -> Stand {
        let down = DOWN.max(pace.saturating_mul(6));
        let passed = self
            .now
            .map_or(i64::MAX, |before| now.saturating_sub(before));
        let was_behind = self.behind_since.is_some();
        if passed > down {
            self.behind_since = Some(now);
        }
        let has_paused = was_behind || passed > down;
        if is_caught_up {
            self.behind_since = None;
        }
        self.now = Some(now);
        self.ran += passed.min(down);
        let ran = self.ran;
        self.bad.retain(|_, of_check| {
            of_check.retain(|_, bad| {
                let length = bad.window.map(|(start, end)| end.saturating_sub(start));
                length.is_none_or(|length| {
                    let after = FORGOTTEN_AFTER.max(length.saturating_mul(3));
                    ran - bad.heard <= after
                })
            });
            !of_check.is_empty()
        });
        Stand {
            epoch,
            now,
            behind_for: self.behind_since.map(|since| now.saturating_sub(since)),
            has_paused,
        }
    }

    /// What is bad, by check and segment.
    pub fn bad(&self) -> impl Iterator<Item = (&str, &str, &Bad)> {
        self.bad.iter().flat_map(|(check, of_check)| {
            let of_check = of_check.iter();
            of_check.map(move |(segment, bad)| (check.as_str(), segment.as_str(), bad))
        })
    }

    /// As bytes of a file of state.
    pub fn save(&self) -> Vec<u8> {
        serde_json::to_vec(&(FORMAT, self)).expect("what is bad is JSON")
    }

    /// From those bytes. Errors: in words.
    pub fn load(bytes: &[u8]) -> Result<Self, String> {
        let (format, value): (u32, serde_json::Value) =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("it is of format {format}, expected {FORMAT}"));
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}

/// Version of the bytes.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    /// A verdict about the window of a minute.
    fn row(minute: i64, status: &str) -> BadRow {
        BadRow {
            check: "alive".to_owned(),
            segment: "region=N".to_owned(),
            window: Some((minute * MINUTE, (minute + 1) * MINUTE)),
            status: status.to_owned(),
            value: Some(0.5),
            expected: None,
            epoch: 1,
            now: (minute + 1) * MINUTE,
            is_past: false,
        }
    }

    fn of(watch: &Watch) -> Vec<(Condition, u64, i64)> {
        let bad = watch.bad();
        bad.map(|(_, _, bad)| (bad.condition, bad.windows, bad.since / MINUTE))
            .collect()
    }

    #[test]
    fn the_newest_window_counts() {
        let mut watch = Watch::default();
        assert!(!watch.take(&row(1, "pass")));
        assert!(watch.take(&row(2, "fail")));
        // Late, and about the past.
        assert!(watch.take(&row(1, "pass")));
        assert!(watch.take(&row(1, "warn")));
        assert_eq!(of(&watch), [(Condition::Fail, 1, 3)]);
        // What can't be judged says nothing.
        assert!(watch.take(&row(3, "too_few")));
        assert!(watch.take(&row(4, "warn")));
        assert_eq!(of(&watch), [(Condition::Warn, 2, 3)]);
        // Late rows mend the newest.
        assert!(watch.take(&row(4, "pass")));
        assert_eq!(of(&watch), []);
        // A correction of what has ended long ago opens nothing.
        let past = BadRow {
            is_past: true,
            ..row(2, "fail")
        };
        assert!(!watch.take(&past));
        assert_eq!(of(&watch), []);
    }

    #[test]
    fn an_age_has_no_window_and_is_forgotten_never() {
        let mut watch = Watch::default();
        let silent = |status: &str| BadRow {
            window: None,
            ..row(0, status)
        };
        watch.take(&silent("warn"));
        watch.take(&silent("fail"));
        for minute in 0..2000 {
            watch.commit((1, minute * MINUTE), true, MINUTE);
        }
        assert_eq!(of(&watch), [(Condition::Fail, 1, 1)]);
        watch.take(&silent("pass"));
        assert_eq!(of(&watch), []);
    }

    #[test]
    fn a_window_that_nobody_judges_any_more_is_over_after_a_day_of_running() {
        let mut watch = Watch::default();
        watch.take(&row(0, "fail"));
        watch.commit((1, 0), true, MINUTE);
        // Down for a month: that does not count.
        watch.commit((2, 43_200 * MINUTE), true, MINUTE);
        assert_eq!(of(&watch).len(), 1);
        for minute in 0..1_460 {
            watch.commit((3, (43_200 + minute) * MINUTE), true, MINUTE);
        }
        assert_eq!(of(&watch), []);
    }

    #[test]
    fn a_job_that_was_down_is_behind_until_all_is_read() {
        let mut watch = Watch::default();
        let stand = |stand: Stand| (stand.behind_for, stand.has_paused);
        let pace = 10_000_000;
        assert_eq!(stand(watch.commit((1, 0), false, pace)), (Some(0), true));
        let later = watch.commit((2, pace), false, pace);
        assert_eq!(stand(later), (Some(pace), true));
        assert_eq!(stand(watch.commit((3, 2 * pace), true, pace)), (None, true));
        assert_eq!(
            stand(watch.commit((4, 3 * pace), false, pace)),
            (None, false)
        );
        let back = watch.commit((5, 100 * pace), true, pace);
        assert_eq!(stand(back), (None, true));
    }

    #[test]
    fn state_comes_back() {
        let mut watch = Watch::default();
        watch.take(&row(2, "fail"));
        watch.commit((1, 5), false, 1);
        assert_eq!(Watch::load(&watch.save()).unwrap(), watch);
        let newer = br"[7,{}]";
        assert_eq!(
            Watch::load(newer).unwrap_err(),
            "it is of format 7, expected 1"
        );
    }
}
