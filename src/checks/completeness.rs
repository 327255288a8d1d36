//! Completeness: share of rows with a value, over rows that should have one; or of rows that came, over those that should have.
//!
//! numerator / denominator, both counts of the window's rows ("ratio of non-null to all values", as in ISO/IEC 25024, measure
//! Com-I-1, data value completeness). No rows have no share: the status is `no_data`, not a pass. Counts beyond 2^53 round.

use super::verdict::{Judged, Status};

/// How a share is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completeness {
    /// With fewer rows it is not judged.
    pub min_rows: u64,
    /// Below it the status is `warn`.
    pub warn_below: Option<f64>,
    /// Below it the status is `fail`.
    pub fail_below: Option<f64>,
    /// Whether these are upper thresholds: of a share that should be small.
    pub is_small: bool,
    /// Whether windows that the data do not cover are not judged.
    pub skips_partial: bool,
}

impl Completeness {
    /// Judges `present` rows with a value out of `rows`.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a share of counts; both are exact up to 2^53"
    )]
    pub fn judge(&self, present: i64, rows: i64) -> Judged {
        let value = (rows > 0).then(|| present as f64 / rows as f64);
        let below = |limit: Option<f64>| Some(self.misses(value?, limit?));
        let status = match u64::try_from(rows) {
            Err(_) | Ok(0) => Status::NoData,
            Ok(rows) if rows < self.min_rows => Status::TooFew,
            Ok(_) => Status::of_thresholds(below(self.warn_below), below(self.fail_below)),
        };
        self.judged(status, value, present, Some(rows))
    }

    /// Judges `rows` that came out of those that should have. Where none should, or nobody knows how many, there is no share.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a share of counts; both are exact up to 2^53"
    )]
    pub fn judge_arrival(&self, rows: i64, expected: Option<i64>) -> Judged {
        let value = expected.filter(|expected| *expected > 0);
        let value = value.map(|expected| rows as f64 / expected as f64);
        let below = |limit: Option<f64>| Some(value? < limit?);
        let status = match value {
            None => Status::NoData,
            Some(_) => Status::of_thresholds(below(self.warn_below), below(self.fail_below)),
        };
        self.judged(status, value, rows, expected)
    }

    /// The same of a window that the data do not cover: it is measured, not judged.
    pub fn measure_arrival(&self, rows: i64, expected: Option<i64>) -> Judged {
        let mut judged = self.judge_arrival(rows, expected);
        if judged.status != Status::NoData {
            judged.status = Status::Partial;
        }
        judged
    }

    fn misses(&self, value: f64, limit: f64) -> bool {
        if self.is_small {
            value > limit
        } else {
            value < limit
        }
    }

    fn judged(
        &self,
        status: Status,
        value: Option<f64>,
        numerator: i64,
        denominator: Option<i64>,
    ) -> Judged {
        let expected = Judged::limit(status, self.warn_below, self.fail_below)
            .map(|limit| format!("{} {limit}", if self.is_small { "<=" } else { ">=" }));
        Judged {
            status,
            value,
            numerator: Some(numerator),
            denominator,
            expected,
            baseline: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_held_against_both_thresholds() {
        let check = Completeness {
            min_rows: 30,
            warn_below: Some(0.97),
            fail_below: Some(0.9),
            is_small: false,
            skips_partial: false,
        };
        let cases = [
            (100, 100, Status::Pass, Some(1.0), ">= 0.97"),
            (97, 100, Status::Pass, Some(0.97), ">= 0.97"),
            (96, 100, Status::Warn, Some(0.96), ">= 0.97"),
            (90, 100, Status::Warn, Some(0.9), ">= 0.97"),
            (89, 100, Status::Fail, Some(0.89), ">= 0.9"),
            (0, 100, Status::Fail, Some(0.0), ">= 0.9"),
            (0, 29, Status::TooFew, Some(0.0), ">= 0.97"),
            (29, 29, Status::TooFew, Some(1.0), ">= 0.97"),
            (0, 0, Status::NoData, None, ">= 0.97"),
        ];
        for (present, rows, status, value, expected) in cases {
            let judged = check.judge(present, rows);
            assert_eq!(
                (judged.status, judged.value, judged.expected.as_deref()),
                (status, value, Some(expected)),
                "{present}/{rows}"
            );
            assert_eq!(
                (judged.numerator, judged.denominator),
                (Some(present), Some(rows))
            );
        }
    }

    #[test]
    fn without_thresholds_it_only_measures() {
        let judged = Completeness {
            min_rows: 0,
            warn_below: None,
            fail_below: None,
            is_small: false,
            skips_partial: false,
        }
        .judge(1, 4);
        assert_eq!(
            (judged.status, judged.value, judged.expected),
            (Status::Measured, Some(0.25), None)
        );
    }

    #[test]
    fn rows_that_came_are_a_share_of_those_that_should_have() {
        let check = Completeness {
            min_rows: 1,
            warn_below: Some(1.0),
            fail_below: Some(0.5),
            is_small: false,
            skips_partial: false,
        };
        let cases = [
            (12, Some(12), Status::Pass, Some(1.0)),
            (15, Some(12), Status::Pass, Some(1.25)),
            (9, Some(12), Status::Warn, Some(0.75)),
            (0, Some(12), Status::Fail, Some(0.0)),
            (3, Some(0), Status::NoData, None),
            (3, None, Status::NoData, None),
        ];
        for (rows, expected, status, value) in cases {
            let judged = check.judge_arrival(rows, expected);
            assert_eq!(
                (judged.status, judged.value),
                (status, value),
                "{rows}/{expected:?}"
            );
            assert_eq!(
                (judged.numerator, judged.denominator),
                (Some(rows), expected)
            );
        }
    }

    #[test]
    fn a_share_that_should_be_small_is_held_against_upper_thresholds() {
        let check = Completeness {
            min_rows: 1,
            warn_below: Some(0.01),
            fail_below: Some(0.05),
            is_small: true,
            skips_partial: false,
        };
        let cases = [
            (0, 100, Status::Pass, "<= 0.01"),
            (1, 100, Status::Pass, "<= 0.01"),
            (2, 100, Status::Warn, "<= 0.01"),
            (6, 100, Status::Fail, "<= 0.05"),
            (1, 1, Status::Fail, "<= 0.05"),
            (0, 0, Status::NoData, "<= 0.01"),
        ];
        for (refused, rows, status, expected) in cases {
            let judged = check.judge(refused, rows);
            assert_eq!(
                (judged.status, judged.expected.as_deref()),
                (status, Some(expected)),
                "{refused}/{rows}"
            );
        }
    }
}
