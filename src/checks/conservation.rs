//! The row law as a verdict: of the rows that came, how many are accounted for.
//!
//! numerator / denominator = (clean + refused + dropped by a declared rule + parked) / (in + read again). It is said wherever verdicts are, by no
//! word of the job. A run with an end says it once, with its last row; a continuous job of each minute of bound wall time in which rows came, when
//! that minute is over: epochs that are read again see the same time, so what is said depends on no crash, worker or checkpoint. No rows are
//! `no_data`; a minute without any says nothing.
//!
//! A visible `pass` covers the sinks, too. Whether the law holds, and each sink has the rows that it should have, is decided at each commit
//! (`epoch::decide`), and of a commit where one of both does not hold nothing becomes visible: no verdict either.

use serde::{Deserialize, Serialize};

use super::verdict::{Judged, Status, Verdict};
use crate::job::plan::{DuplicatesPlan, Keep};
use crate::record::{Epoch, Note};

/// Name of the check.
pub const CONSERVATION: &str = "conservation";

/// A minute, in microseconds.
const MINUTE: i64 = 60_000_000;

/// Rows that came, and those of them that are known to have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rows {
    came: u64,
    accounted: u64,
    /// The newest epoch in which some came.
    epoch: Epoch,
}

impl Rows {
    /// Adds what a worker says of an epoch. Clean rows count where the last of `duplicates` saw them, since each drops some.
    pub(super) fn add(&mut self, duplicates: &[DuplicatesPlan], epoch: Epoch, note: &Note) {
        match note {
            Note::Rows { counts: rows, .. } => {
                self.came += rows.rows_in + rows.released;
                self.accounted += rows.refused + rows.dropped + rows.parked;
                if duplicates.is_empty() {
                    self.accounted += rows.clean;
                }
                if rows.rows_in + rows.released > 0 {
                    self.epoch = self.epoch.max(epoch);
                }
            }
            Note::Duplicates { rule, counts } => {
                let is_last = rule + 1 == duplicates.len();
                if is_last {
                    self.accounted += counts.seen;
                } else if duplicates[*rule].keep == Keep::First {
                    self.accounted += counts.found;
                }
            }
            _ => {}
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            came: self.came + other.came,
            accounted: self.accounted + other.accounted,
            epoch: self.epoch.max(other.epoch),
        }
    }

    fn is_none(self) -> bool {
        (self.came, self.accounted) == (0, 0)
    }

    /// The verdict about them.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a share of counts; both are exact up to 2^53, and the status goes by the counts"
    )]
    pub(super) fn verdict(self, window: Option<(i64, i64)>) -> Verdict<'static> {
        let status = match self.came {
            came if came != self.accounted => Status::Fail,
            0 => Status::NoData,
            _ => Status::Pass,
        };
        let signed = |rows: u64| i64::try_from(rows).expect("a number of rows fits 63 bits");
        Verdict {
            check: CONSERVATION.into(),
            segment: "",
            window,
            judged: Judged {
                status,
                value: (self.came > 0).then(|| self.accounted as f64 / self.came as f64),
                numerator: Some(signed(self.accounted)),
                denominator: Some(signed(self.came)),
                expected: Some("= 1".to_owned()),
                baseline: None,
            },
            epoch: self.epoch,
            is_final: true,
            sign: 1,
        }
    }
}

/// The rows of a continuous job in the minute that is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Minute {
    start: i64,
    rows: Rows,
}

impl Minute {
    /// Takes the rows of the next epoch, which sees this time; gives the verdict about a minute that is over by then.
    pub(super) fn take(&mut self, now: i64, rows: Rows) -> Option<Verdict<'static>> {
        let start = now - now.rem_euclid(MINUTE);
        let mut said = None;
        if start > self.start {
            let over = std::mem::take(self);
            self.start = start;
            said = (!over.rows.is_none())
                .then(|| over.rows.verdict(Some((over.start, over.start + MINUTE))));
        }
        self.rows = self.rows.and(rows);
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DuplicateCounts, RowCounts};

    fn of_counts(counts: RowCounts) -> Note {
        Note::Rows { epoch: 1, counts }
    }

    fn counts(rows_in: u64, clean: u64, refused: u64) -> Note {
        of_counts(RowCounts {
            rows_in,
            clean,
            refused,
            ..RowCounts::default()
        })
    }

    fn rows(epoch: Epoch, notes: &[Note]) -> Rows {
        let mut rows = Rows::default();
        for note in notes {
            rows.add(&[], epoch, note);
        }
        rows
    }

    fn told(verdict: &Verdict<'_>) -> (Status, Option<f64>, Option<i64>, Option<i64>) {
        let judged = &verdict.judged;
        (
            judged.status,
            judged.value,
            judged.numerator,
            judged.denominator,
        )
    }

    #[test]
    fn rows_are_accounted_for_or_not_and_none_are_no_data() {
        let all = rows(7, &[counts(8, 5, 3), counts(2, 2, 0)]);
        let verdict = all.verdict(None);
        let wanted = (Status::Pass, Some(1.0), Some(10), Some(10));
        assert_eq!((told(&verdict), verdict.epoch), (wanted, 7));
        let lost = rows(1, &[counts(10, 5, 3)]).verdict(None);
        let wanted = (Status::Fail, Some(0.8), Some(8), Some(10));
        assert_eq!(told(&lost), wanted);
        let doubled = rows(1, &[counts(0, 1, 0)]).verdict(None);
        assert_eq!(told(&doubled), (Status::Fail, None, Some(1), Some(0)));
        let none = rows(9, &[]).verdict(None);
        assert_eq!(told(&none), (Status::NoData, None, Some(0), Some(0)));
    }

    #[test]
    fn rows_that_wait_and_are_read_again_count_twice_on_both_sides() {
        let waiting = of_counts(RowCounts {
            rows_in: 3,
            released: 2,
            clean: 1,
            parked: 4,
            ..RowCounts::default()
        });
        let verdict = rows(1, &[waiting]).verdict(None);
        assert_eq!(told(&verdict), (Status::Pass, Some(1.0), Some(5), Some(5)));
    }

    #[test]
    fn rows_that_repeat_another_are_dropped_by_each_that_finds_them() {
        let duplicates = |keep| DuplicatesPlan {
            name: String::new(),
            columns: Vec::new(),
            nulls_are_equal: false,
            keep,
        };
        let of_rule = |rule, seen, found| {
            let counts = DuplicateCounts {
                seen,
                found,
                first: Vec::new(),
            };
            Note::Duplicates { rule, counts }
        };
        let sum = |plans: &[DuplicatesPlan], notes: &[Note]| {
            let mut rows = Rows::default();
            for note in notes {
                rows.add(plans, 1, note);
            }
            (rows.accounted, rows.came)
        };
        let dropping = [duplicates(Keep::First), duplicates(Keep::First)];
        let all = [counts(10, 9, 1), of_rule(0, 9, 2), of_rule(1, 7, 3)];
        assert_eq!(sum(&dropping, &all), (10, 10));
        let reporting = [duplicates(Keep::Report), duplicates(Keep::Report)];
        let all = [counts(10, 9, 1), of_rule(0, 9, 2), of_rule(1, 9, 3)];
        assert_eq!(sum(&reporting, &all), (10, 10));
        // A row was lost between both.
        let lost = [counts(10, 9, 1), of_rule(0, 9, 2), of_rule(1, 6, 0)];
        assert_eq!(sum(&dropping, &lost), (9, 10));
    }

    #[test]
    fn a_minute_is_said_when_it_is_over_and_an_idle_one_is_not() {
        let mut minute = Minute::default();
        let second = 1_000_000;
        let ten = |epoch| rows(epoch, &[counts(10, 10, 0)]);
        assert_eq!(minute.take(61 * second, ten(1)), None);
        assert_eq!(minute.take(119 * second, ten(2)), None);
        let restored: Minute =
            serde_json::from_slice(&serde_json::to_vec(&minute).unwrap()).unwrap();
        assert_eq!(restored, minute);
        let said = minute.take(120 * second, ten(3)).unwrap();
        assert_eq!(said.window, Some((60 * second, 120 * second)));
        assert_eq!(
            (told(&said), said.epoch),
            ((Status::Pass, Some(1.0), Some(20), Some(20)), 2)
        );
        let said = minute.take(300 * second, rows(4, &[])).unwrap();
        assert_eq!(said.window, Some((120 * second, 180 * second)));
        assert_eq!((said.judged.numerator, said.epoch), (Some(10), 3));
        assert_eq!(minute.take(600 * second, rows(5, &[])), None);
    }
}
