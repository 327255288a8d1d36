//! Completeness: share of rows with a value, over rows that should have one.
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
        let below = |limit: Option<f64>| Some(value? < limit?);
        let status = match u64::try_from(rows) {
            Err(_) | Ok(0) => Status::NoData,
            Ok(rows) if rows < self.min_rows => Status::TooFew,
            Ok(_) => Status::of_thresholds(below(self.warn_below), below(self.fail_below)),
        };
        let expected = Judged::limit(status, self.warn_below, self.fail_below)
            .map(|limit| format!(">= {limit}"));
        Judged {
            status,
            value,
            numerator: Some(present),
            denominator: Some(rows),
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
        }
        .judge(1, 4);
        assert_eq!(
            (judged.status, judged.value, judged.expected),
            (Status::Measured, Some(0.25), None)
        );
    }
}
