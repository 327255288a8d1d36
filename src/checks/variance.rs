//! Variance: how unusual a statistic of a window is against the previous windows of its segment.
//!
//! With s the statistic of the window under test and P = p₁ … pₙ those of up to `previous` windows before it, oldest first:
//!
//! ```text
//! mean = (p₁ + … + pₙ) / n        sd = √(((p₁ − mean)² + … + (pₙ − mean)²) / (n − 1))        z = (s − mean) / sd
//! ```
//!
//! sd is the *sample* standard deviation (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.6); z is the standard
//! score (ibid., 1.3.5.17, without its robust form). z is null for n < 2 and for sd = 0. Only IEEE + − × ÷ √ are used, in
//! this order, so every machine gives the same bits.
//!
//! In P are windows that have rows and a number, without the one under test and without those that this check itself failed:
//! a spike must not widen the scale that the next spike is measured by.

use std::collections::VecDeque;

use super::verdict::{Judged, Status};

/// How a z-score is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variance {
    /// How many windows to compare with, at most.
    pub previous: usize,
    /// |z| beyond which the status is `warn`.
    pub warn_beyond: Option<f64>,
    /// |z| beyond which the status is `fail`.
    pub fail_beyond: Option<f64>,
    /// With fewer windows to compare with the status is `warming_up`; the value is given all the same.
    pub min_history: usize,
}

/// The statistics of the windows to compare with, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Baseline(VecDeque<f64>);

impl Variance {
    /// Judges the statistic of the next window, which starts at that time in microseconds, and takes it into the baseline unless
    /// it failed.
    ///
    /// `None` is a statistic without a number; it is `no_data` (or, where it overflowed, what the caller makes of it) and
    /// leaves the baseline as it is.
    pub fn judge(&self, statistic: Option<f64>, _start: i64, baseline: &mut Baseline) -> Judged {
        let value = statistic.and_then(|statistic| baseline.z(statistic));
        let mean = baseline.mean();
        let beyond = |limit: Option<f64>| Some(value?.abs() > limit?);
        let status = match (statistic, value) {
            (None, _) => Status::NoData,
            _ if baseline.0.len() < self.min_history => Status::WarmingUp,
            (_, None) => Status::NoBaseline,
            (_, Some(_)) => {
                Status::of_thresholds(beyond(self.warn_beyond), beyond(self.fail_beyond))
            }
        };
        if let Some(statistic) = statistic.filter(|_| status != Status::Fail) {
            baseline.push(statistic, self.previous);
        }
        let expected = Judged::limit(status, self.warn_beyond, self.fail_beyond)
            .map(|limit| format!("|z| <= {limit}"));
        Judged {
            status,
            value,
            numerator: None,
            denominator: None,
            expected,
            baseline: mean,
        }
    }
}

impl Baseline {
    /// Of these statistics, oldest first.
    pub(crate) fn of(windows: impl IntoIterator<Item = f64>) -> Self {
        Self(windows.into_iter().collect())
    }

    /// Whether there is none to compare with.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The statistics, oldest first.
    pub(crate) fn windows(&self) -> impl ExactSizeIterator<Item = f64> {
        self.0.iter().copied()
    }

    /// The mean of the windows; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        let windows = u32::try_from(self.0.len())
            .ok()
            .filter(|windows| *windows > 0)?;
        Some(self.0.iter().sum::<f64>() / f64::from(windows))
    }

    /// The z-score of a statistic; `None` for fewer than two windows and where all are equal.
    pub fn z(&self, statistic: f64) -> Option<f64> {
        let windows = u32::try_from(self.0.len())
            .ok()
            .filter(|windows| *windows >= 2)?;
        // Equal windows have no deviation, though their mean may round to another number.
        let first = *self.0.front()?;
        if self
            .0
            .iter()
            .all(|window| window.to_bits() == first.to_bits())
        {
            return None;
        }
        let mean = self.mean()?;
        let squares: f64 = self
            .0
            .iter()
            .map(|window| (window - mean) * (window - mean))
            .sum();
        let sd = (squares / f64::from(windows - 1)).sqrt();
        (sd > 0.0).then(|| (statistic - mean) / sd)
    }

    fn push(&mut self, statistic: f64, previous: usize) {
        self.0.push_back(statistic);
        if self.0.len() > previous {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_all(check: &Variance, statistics: &[f64]) -> Vec<Judged> {
        let mut baseline = Baseline::default();
        statistics
            .iter()
            .map(|statistic| check.judge(Some(*statistic), 0, &mut baseline))
            .collect()
    }

    const PLAIN: Variance = Variance {
        previous: 10,
        warn_beyond: None,
        fail_beyond: None,
        min_history: 2,
    };

    #[test]
    fn z_agrees_with_the_handbook_formula() {
        // Mean 5 and sample sd √(32/7) of the textbook set 2, 4, 4, 4, 5, 5, 7, 9 (NIST 1.3.5.6's formulas).
        let mut baseline = Baseline::default();
        for window in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            baseline.push(window, 10);
        }
        let sd = (32.0_f64 / 7.0).sqrt();
        for (statistic, expected) in [(5.0, 0.0), (5.0 + sd, 1.0), (5.0 - 2.0 * sd, -2.0)] {
            assert!((baseline.z(statistic).unwrap() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn z_needs_two_windows_that_differ() {
        let judged = judge_all(&PLAIN, &[5.0, 5.0, 5.0, 6.0, 7.0]);
        let values: Vec<Option<f64>> = judged.iter().map(|judged| judged.value).collect();
        assert_eq!(values[..4], [None, None, None, None]);
        assert!(values[4].is_some());
        let statuses: Vec<Status> = judged.iter().map(|judged| judged.status).collect();
        assert_eq!(
            statuses,
            [
                Status::WarmingUp,
                Status::WarmingUp,
                Status::NoBaseline,
                Status::NoBaseline,
                Status::Measured
            ]
        );
    }

    #[test]
    fn equal_windows_whose_mean_rounds_have_no_scale() {
        let mut baseline = Baseline::default();
        (0..6).for_each(|_| baseline.push(0.1, 10));
        assert_eq!(baseline.z(0.2), None);
    }

    #[test]
    fn a_window_is_never_in_its_own_baseline() {
        let judged = judge_all(&PLAIN, &[1.0, 3.0, 2.0]);
        // mean 2, sd √2 of 1 and 3 alone.
        assert_eq!(judged[2].value, Some(0.0));
    }

    #[test]
    fn only_the_last_windows_count() {
        let check = Variance {
            previous: 2,
            ..PLAIN
        };
        let judged = judge_all(&check, &[1_000.0, 1.0, 3.0, 2.0]);
        assert_eq!(judged[3].value, Some(0.0));
    }

    #[test]
    fn failed_windows_leave_the_baseline_and_warned_ones_stay() {
        let check = Variance {
            warn_beyond: Some(2.0),
            fail_beyond: Some(3.0),
            ..PLAIN
        };
        let judged = judge_all(&check, &[1.0, 3.0, 100.0, 100.0, 2.0]);
        assert_eq!(judged[2].status, Status::Fail);
        assert_eq!(judged[3].value, judged[2].value);
        assert_eq!(
            (judged[4].status, judged[4].value),
            (Status::Pass, Some(0.0))
        );
        assert_eq!(
            (judged[2].expected.as_deref(), judged[4].expected.as_deref()),
            (Some("|z| <= 3"), Some("|z| <= 2"))
        );
        // z = 2.12 is between both, and moves the mean.
        let judged = judge_all(&check, &[1.0, 3.0, 5.0, 3.0]);
        assert_eq!(judged[2].status, Status::Warn);
        assert_eq!(judged[3].value, Some(0.0));
    }

    #[test]
    fn short_history_holds_back_the_verdict_and_never_the_value() {
        let check = Variance {
            fail_beyond: Some(3.0),
            min_history: 3,
            ..PLAIN
        };
        let judged = judge_all(&check, &[1.0, 3.0, 100.0]);
        assert_eq!(judged[2].status, Status::WarmingUp);
        assert!(judged[2].value.unwrap() > 3.0);
    }

    #[test]
    fn windows_without_a_number_change_nothing() {
        let mut baseline = Baseline::default();
        for window in [1.0, 3.0] {
            baseline.push(window, 10);
        }
        let judged = PLAIN.judge(None, 0, &mut baseline);
        assert_eq!((judged.status, judged.value), (Status::NoData, None));
        assert_eq!(baseline.z(2.0), Some(0.0));
    }
}
