//! Variance: how unusual a statistic of a window is against other windows of its segment.
//!
//! With x the statistic of the window under test and P = p₁ … pₙ those to compare with, oldest first, value = distance / unit:
//!
//! | method | distance | unit |
//! |---|---|---|
//! | `z` | x − mean | sd = √(((p₁ − mean)² + … + (pₙ − mean)²) / (n − 1)) |
//! | `mad` | 0.6745 · (x − median) | MAD = median(\|p₁ − median\|, …, \|pₙ − median\|) |
//! | `relative` | x − mean | \|mean\| |
//! | `range` | x − greatest above it, x − least below it, else 0 | greatest − least |
//!
//! - mean = (p₁ + … + pₙ) / n and sd, the *sample* standard deviation, are those of the NIST/SEMATECH e-Handbook of Statistical Methods,
//!   1.3.5.6; z is the standard score. `mad` is the modified z-score of Iglewicz and Hoaglin ("How to Detect and Handle Outliers", 1993),
//!   as in 1.3.5.17 of the handbook, which names those beyond 3.5 potential outliers; 0.6745 is the 0.75 quantile of the standard normal
//!   distribution. The median of an even number is the mean of the middle two. `relative` is the relative change; `range` beyond t says that x
//!   is outside [least − t·width, greatest + t·width], which for t = 0 are the extremes themselves.
//! - The unit is at least `floor`: max(absolute, relative · \|centre\|), with the mean, the median or (least + greatest) / 2 as the centre.
//!   A unit of 0 measures nothing: the value is null and the status `no_baseline`. Without a floor that is so where all of P are equal
//!   (for `mad`, more than half of them) and, but for `relative`, for n < 2.
//! - Only IEEE + − × ÷ √ are used, in this order, so every machine gives the same bits. What is too large for a double is the largest one.
//!
//! In P are windows that have rows and a number, without the one under test, without those that this check itself failed (a spike must not
//! widen the scale that the next spike is measured by), without those that meet a time of `exclude`, and, with `skip_partial`, without those
//! that the data do not cover. Which ones:
//!
//! - `previous`: the last n of them. By the calendar: those among the n windows before it; one without rows is 0 or left out (`empty`), and
//!   those before the segment's first window are left out.
//! - `weeks`: those that start on the same weekday, and in the same hour of it, in the last n weeks of the business time zone. An hour that
//!   clocks skip has no window that week, one that they show twice has two.
//! - A statistic of the same window: P is that one number, and there is no history ([`Variance::hold`]).

use std::collections::VecDeque;

use chrono::{DateTime, Timelike};
use chrono_tz::Tz;

use super::verdict::{Judged, Status};
use super::windows::Windows;
use crate::job::plan::{Against, Direction, Empty, Method, Same, VarianceRule};

/// The 0.75 quantile of the standard normal distribution, as the handbook rounds it.
const NORMAL_QUARTILE: f64 = 0.6745;

/// How a statistic is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Variance {
    rule: VarianceRule,
    /// Which windows there are; their panes, where they hop.
    windows: Windows,
    /// Of how many panes a window is made.
    panes: u32,
    time_zone: Tz,
}

/// The statistics of the windows to compare with, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Baseline {
    /// Start of the segment's first window, where empty ones count.
    first: Option<i64>,
    past: VecDeque<Past>,
}

/// A window of a baseline: its start, which is [`UNKNOWN`] where an older build kept it, and its statistic, which is NaN where the window
/// is only there to be known as one that had rows.
type Past = (i64, f64);

/// The start of a window of which only the statistic is known. It is in no time of `exclude`.
pub(crate) const UNKNOWN: i64 = i64::MIN;

/// What a statistic is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    centre: Option<f64>,
    value: Option<f64>,
}

impl Variance {
    /// Judges by `rule` among these windows, in this business time zone.
    pub fn new(rule: VarianceRule, windows: Windows, time_zone: Tz) -> Self {
        Self {
            rule,
            windows,
            panes: 1,
            time_zone,
        }
    }

    /// The same among windows that are made of so many panes.
    #[must_use]
    pub fn of_panes(self, panes: u32) -> Self {
        Self { panes, ..self }
    }

    /// How many windows a baseline holds at most, where that is known.
    pub(crate) fn most(&self) -> usize {
        match self.rule.against {
            Against::Previous(windows) | Against::Calendar(windows, _) => windows,
            Against::Weeks(..) => usize::MAX,
            Against::Statistic(_) => 0,
        }
    }

    /// What a baseline holds, in words that stay the same as long as it does.
    pub(crate) fn words(&self) -> String {
        match self.rule.against {
            Against::Previous(windows) => of_previous(windows),
            Against::Calendar(windows, Empty::Skip) => format!("{windows} by the calendar"),
            Against::Calendar(windows, Empty::Zero) => {
                format!("{windows} by the calendar, empty ones as 0")
            }
            Against::Weeks(weeks, _) => format!("{weeks} weeks of {}", self.time_zone),
            Against::Statistic(_) => "a statistic".to_owned(),
        }
    }

    /// Judges the statistic of the next window, which starts at that time in microseconds, and takes it into the baseline unless
    /// it failed.
    ///
    /// `None` is a statistic without a number; it is `no_data` (or, where it overflowed, what the caller makes of it), and no number to
    /// compare with.
    pub fn judge(&self, statistic: Option<f64>, start: i64, baseline: &mut Baseline) -> Judged {
        let history = self.history(start, baseline);
        let finite = statistic.filter(|statistic| statistic.is_finite());
        let measured = self.measure(finite, &history);
        let status = match (statistic, finite, measured.value) {
            (None, ..) => Status::NoData,
            (Some(_), None, _) => Status::Overflow,
            _ if history.len() < self.rule.min_history => Status::WarmingUp,
            (.., None) => Status::NoBaseline,
            (.., Some(value)) => self.status(value),
        };
        self.take(finite.filter(|_| status != Status::Fail), start, baseline);
        self.judged(status, measured)
    }

    /// Whether windows that the data do not cover are not judged.
    pub(crate) fn skips_partial(&self) -> bool {
        self.rule.skip_partial
    }

    /// Measures a window that the data do not cover: its statistic is told, not judged, and in no baseline.
    pub fn measure_partial(
        &self,
        statistic: Option<f64>,
        start: i64,
        baseline: &mut Baseline,
    ) -> Judged {
        let history = self.history(start, baseline);
        self.pass(start, baseline);
        self.partial(statistic, &history)
    }

    /// The same against another statistic of its window.
    pub fn hold_partial(&self, statistic: Option<f64>, reference: Option<f64>) -> Judged {
        let reference = reference.filter(|reference| reference.is_finite());
        self.partial(statistic, reference.as_slice())
    }

    fn partial(&self, statistic: Option<f64>, history: &[f64]) -> Judged {
        let finite = statistic.filter(|statistic| statistic.is_finite());
        self.judged(Status::Partial, self.measure(finite, history))
    }

    /// How many windows have on average that the one from `start` on is compared with, rounded to even; `None` where there are none.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a mean of counts is far below 2^53, and rounded"
    )]
    pub(crate) fn usual(&self, start: i64, baseline: &Baseline) -> Option<i64> {
        let mean = mean(&self.history(start, baseline))?;
        Some(mean.round_ties_even() as i64)
    }

    /// Takes a window into the baseline that has so many rows; none where it is not to be compared with.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts are exact up to 2^53"
    )]
    pub(crate) fn take_rows(&self, rows: Option<i64>, start: i64, baseline: &mut Baseline) {
        self.take(rows.map(|rows| rows as f64), start, baseline);
    }

    /// What is said of a window without rows, which is no window to compare with.
    pub(crate) fn nothing(&self) -> Judged {
        let (centre, value) = (None, None);
        self.judged(Status::NoData, Measured { centre, value })
    }

    /// Lets a window pass that has rows and no number that can be judged.
    pub fn pass(&self, start: i64, baseline: &mut Baseline) {
        self.take(None, start, baseline);
    }

    /// Judges a statistic against another one of its window.
    pub fn hold(&self, statistic: Option<f64>, reference: Option<f64>) -> Judged {
        let reference: Vec<f64> = reference
            .into_iter()
            .filter(|one| one.is_finite())
            .collect();
        let finite = statistic.filter(|statistic| statistic.is_finite());
        let measured = self.measure(finite, &reference);
        let status = match (statistic, finite, measured.value) {
            (None, ..) => Status::NoData,
            (Some(_), None, _) => Status::Overflow,
            (.., None) => Status::NoBaseline,
            (.., Some(value)) => self.status(value),
        };
        self.judged(status, measured)
    }

    fn judged(&self, status: Status, measured: Measured) -> Judged {
        let (warn, fail) = (self.rule.warn_beyond, self.rule.fail_beyond);
        let expected = match status {
            Status::Overflow => Some("a finite number".to_owned()),
            _ => Judged::limit(status, warn, fail).map(|limit| self.expected(limit)),
        };
        Judged {
            status,
            value: measured.value,
            numerator: None,
            denominator: None,
            expected,
            baseline: measured.centre,
        }
    }

    fn status(&self, value: f64) -> Status {
        let distance = match self.rule.direction {
            Direction::Up => value,
            Direction::Down => -value,
            Direction::Both => value.abs(),
        };
        let beyond = |limit: Option<f64>| Some(distance > limit?);
        Status::of_thresholds(beyond(self.rule.warn_beyond), beyond(self.rule.fail_beyond))
    }

    fn expected(&self, limit: f64) -> String {
        let name = match self.rule.method {
            Method::Z => "z",
            Method::Mad => "modified z",
            Method::Relative => "deviation",
            Method::Range => "excess",
        };
        match self.rule.direction {
            Direction::Up => format!("{name} <= {limit}"),
            // Not -0 for a limit of 0.
            Direction::Down => format!("{name} >= {}", 0.0 - limit),
            Direction::Both => format!("|{name}| <= {limit}"),
        }
    }

    /// Measures a statistic, if there is one, against those to compare with, oldest first.
    fn measure(&self, statistic: Option<f64>, history: &[f64]) -> Measured {
        let (centre, unit) = match self.rule.method {
            Method::Z => (mean(history), sample_deviation(history)),
            Method::Mad => median_and_deviation(history),
            Method::Relative => {
                let mean = mean(history);
                (mean, mean.map(f64::abs))
            }
            Method::Range => middle_and_width(history),
        };
        let centre = centre.filter(|centre| centre.is_finite());
        let floor = |centre: f64| {
            let relative = self.rule.floor_relative * centre.abs();
            self.rule.floor_absolute.max(relative)
        };
        let value = statistic.zip(centre).and_then(|(statistic, centre)| {
            let unit = unit.unwrap_or(0.0).max(floor(centre));
            let distance = match self.rule.method {
                Method::Z | Method::Relative => statistic - centre,
                Method::Mad => NORMAL_QUARTILE * (statistic - centre),
                Method::Range => outside(statistic, history),
            };
            let value = (unit > 0.0).then(|| distance / unit)?;
            (!value.is_nan()).then(|| value.clamp(f64::MIN, f64::MAX))
        });
        Measured { centre, value }
    }

    /// What the window from `start` on is compared with, oldest first.
    fn history(&self, start: i64, baseline: &Baseline) -> Vec<f64> {
        let counts = |past: &&Past| !past.1.is_nan() && !self.is_excluded(past.0);
        let statistics = |past: &[&Past]| past.iter().map(|past| past.1).collect();
        let past = &baseline.past;
        match self.rule.against {
            Against::Statistic(_) => Vec::new(),
            Against::Previous(_) => statistics(&past.iter().filter(counts).collect::<Vec<_>>()),
            Against::Calendar(windows, Empty::Skip) => {
                let oldest = self.before(start, windows);
                let from = past.partition_point(|past| past.0 < oldest);
                statistics(&past.range(from..).filter(counts).collect::<Vec<_>>())
            }
            Against::Calendar(windows, Empty::Zero) => self.with_zeros(start, windows, baseline),
            Against::Weeks(weeks, same) => {
                let mut found = Vec::new();
                for week in (1..=weeks).rev() {
                    found.extend(self.of_week(start, week, same, past).filter(counts));
                }
                statistics(&found)
            }
        }
    }

    /// Of the windows before it by the calendar, from the segment's first on, those that count, where those without rows are 0.
    fn with_zeros(&self, start: i64, windows: usize, baseline: &Baseline) -> Vec<f64> {
        let Some(first) = baseline.first else {
            return Vec::new();
        };
        let (number, first) = (self.windows.number(start), self.windows.number(first));
        let mut known = baseline.past.iter().peekable();
        let mut history = Vec::with_capacity(windows);
        for number in number.saturating_sub(as_i64(windows)).max(first)..number {
            let start = self.windows.start(number);
            while known.next_if(|past| past.0 < start).is_some() {}
            let statistic = known
                .next_if(|past| past.0 == start)
                .map_or(0.0, |past| past.1);
            if !statistic.is_nan() && !self.is_excluded(start) {
                history.push(statistic);
            }
        }
        history
    }

    /// The windows so many weeks before the one from `start` on that are the same, whether they count or not.
    fn of_week<'a>(
        &self,
        start: i64,
        weeks: usize,
        same: Same,
        past: &'a VecDeque<Past>,
    ) -> impl Iterator<Item = &'a Past> + use<'a> {
        let days = Windows::Days(1, self.time_zone);
        let day = days.number(start).saturating_sub(as_i64(weeks) * 7);
        let (from, to) = (days.start(day), days.start(day + 1));
        let first = past.partition_point(|past| past.0 < from);
        let (hour, time_zone) = (hour(start, self.time_zone), self.time_zone);
        let of_day = past.range(first..).take_while(move |past| past.0 < to);
        of_day.filter(move |past| same == Same::Weekday || self::hour(past.0, time_zone) == hour)
    }

    /// Whether a window meets a time that is in no baseline.
    fn is_excluded(&self, start: i64) -> bool {
        let exclude = &self.rule.exclude;
        if exclude.is_empty() || start == UNKNOWN {
            return false;
        }
        let next = exclude.partition_point(|(_, to)| *to <= start);
        (exclude.get(next)).is_some_and(|(from, _)| *from < self.windows.end_of(start, self.panes))
    }

    /// Start of the window so many before the one from `start` on, by the calendar.
    fn before(&self, start: i64, windows: usize) -> i64 {
        let number = self.windows.number(start).saturating_sub(as_i64(windows));
        self.windows.start(number)
    }

    /// Takes a window into the baseline; without a statistic it has no number, or one that is not to be compared with. Forgets what no
    /// later window is compared with.
    fn take(&self, statistic: Option<f64>, start: i64, baseline: &mut Baseline) {
        let oldest = match self.rule.against {
            Against::Statistic(_) => return,
            Against::Previous(windows) => {
                let Some(statistic) = statistic.filter(|_| !self.is_excluded(start)) else {
                    return;
                };
                baseline.past.push_back((start, statistic));
                if baseline.past.len() > windows {
                    baseline.past.pop_front();
                }
                return;
            }
            Against::Calendar(windows, _) => self.before(start, windows.saturating_sub(1)),
            Against::Weeks(weeks, _) => {
                let days = Windows::Days(1, self.time_zone);
                days.start(days.number(start).saturating_sub(as_i64(weeks) * 7))
            }
        };
        while baseline.past.front().is_some_and(|past| past.0 < oldest) {
            baseline.past.pop_front();
        }
        let counts_empty = matches!(self.rule.against, Against::Calendar(_, Empty::Zero));
        if counts_empty {
            baseline.first.get_or_insert(start);
        }
        if let Some(statistic) = statistic.or_else(|| counts_empty.then_some(f64::NAN)) {
            baseline.past.push_back((start, statistic));
        }
    }
}

impl Baseline {
    /// Of these windows, oldest first, the first of all having started at `first`.
    pub(crate) fn of(first: Option<i64>, past: impl IntoIterator<Item = (i64, f64)>) -> Self {
        Self {
            first,
            past: past.into_iter().collect(),
        }
    }

    /// Whether there is nothing to compare with.
    pub(crate) fn is_empty(&self) -> bool {
        self.past.is_empty() && self.first.is_none()
    }

    /// Start of the segment's first window, where empty ones count.
    pub(crate) fn first(&self) -> Option<i64> {
        self.first
    }

    /// Starts and statistics, oldest first.
    pub(crate) fn windows(&self) -> impl ExactSizeIterator<Item = (i64, f64)> {
        self.past.iter().copied()
    }
}

/// [`Variance::words`] of the previous windows with rows, which older builds kept alone.
pub(crate) fn of_previous(windows: usize) -> String {
    format!("{windows} previous")
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX / 7)
}

/// The hour of the local day, 0 to 23; 0 for times that chrono has no date of.
fn hour(start: i64, time_zone: Tz) -> u32 {
    let time = DateTime::from_timestamp_micros(start);
    time.map_or(0, |time| time.with_timezone(&time_zone).hour())
}

/// A number of windows as a double; `None` for fewer than `least`.
fn count(statistics: &[f64], least: u32) -> Option<f64> {
    let count = u32::try_from(statistics.len()).ok()?;
    (count >= least).then(|| f64::from(count))
}

fn mean(statistics: &[f64]) -> Option<f64> {
    Some(statistics.iter().sum::<f64>() / count(statistics, 1)?)
}

/// `None` for fewer than two.
fn sample_deviation(statistics: &[f64]) -> Option<f64> {
    let windows = count(statistics, 2)?;
    // Equal windows have no deviation, though their mean may round to another number.
    let first = statistics.first()?;
    if statistics
        .iter()
        .all(|one| one.to_bits() == first.to_bits())
    {
        return Some(0.0);
    }
    let mean = mean(statistics)?;
    let squares: f64 = (statistics.iter())
        .map(|one| (one - mean) * (one - mean))
        .sum();
    Some((squares / (windows - 1.0)).sqrt())
}

/// Median, and median absolute deviation from it.
fn median_and_deviation(statistics: &[f64]) -> (Option<f64>, Option<f64>) {
    let mut sorted = statistics.to_vec();
    let Some(median) = median(&mut sorted) else {
        return (None, None);
    };
    for one in &mut sorted {
        *one = (*one - median).abs();
    }
    (Some(median), self::median(&mut sorted))
}

/// Sorts the numbers, and gives the middle one, or the mean of the middle two.
fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    if numbers.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = numbers[numbers.len() / 2 - 1];
    Some(lower / 2.0 + upper / 2.0)
}

/// Least and greatest.
fn extremes(statistics: &[f64]) -> Option<(f64, f64)> {
    let (first, rest) = statistics.split_first()?;
    let widen = |(least, greatest): (f64, f64), one: &f64| (least.min(*one), greatest.max(*one));
    Some(rest.iter().fold((*first, *first), widen))
}

fn middle_and_width(statistics: &[f64]) -> (Option<f64>, Option<f64>) {
    let extremes = extremes(statistics);
    let middle = extremes.map(|(least, greatest)| least / 2.0 + greatest / 2.0);
    (middle, extremes.map(|(least, greatest)| greatest - least))
}

/// How far a statistic is above the greatest, or below the least as a negative number.
fn outside(statistic: f64, statistics: &[f64]) -> f64 {
    match extremes(statistics) {
        Some((_, greatest)) if statistic > greatest => statistic - greatest,
        Some((least, _)) if statistic < least => statistic - least,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
