//! `checks.NAME.variance`.

use schemars::JsonSchema;

/// How far a statistic of a window is from those of earlier windows of its segment (the window under test is never among them, nor are
/// windows that this check failed), or from another statistic of the same window. Without thresholds it only measures.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VarianceSpec {
    /// Statistic of the window. Example: `"sum_amount"`.
    pub of: String,
    /// How the distance is measured. Default: `"z"`; `"relative"` where `against` names a statistic.
    pub method: Option<Method>,
    /// What it is compared with. Example: `{ previous = 10 }`.
    pub against: AgainstSpec,
    /// Which way is judged. Default: `"both"`.
    pub direction: Option<Direction>,
    /// Distance beyond which the verdict is `warn`, in units of the method. To start from: for days against the same weekday of 8 weeks 3.5 with
    /// `z`, 2.5 with `mad`, 0.4 with `relative`; for hours against the same hour of 8 weeks 6 with `z`, 8 with `mad`. Default: none. Example: `3.0`.
    #[schemars(range(min = 0))]
    pub warn_beyond: Option<f64>,
    /// Distance beyond which the verdict is `fail`, in units of the method. Default: none. Example: `6.0`.
    #[schemars(range(min = 0))]
    pub fail_beyond: Option<f64>,
    /// The least unit of the method, so that windows that were all but equal neither alarm at everything nor say nothing. Default: none;
    /// where windows were equal the verdict is then `no_baseline`. Example: `{ absolute = 5.0, relative = 0.1 }`.
    pub floor: Option<FloorSpec>,
    /// With fewer windows to compare with the verdict is `warming_up`; the value is given all the same. Default: 2; 1 for `relative`.
    pub min_history: Option<u64>,
    /// Days and times of the business time zone whose windows are in no baseline: a date, `DATE..DATE` with both, or `TIME..TIME` without
    /// the second. They are judged all the same. Default: none. Example: `["2026-12-25", "2026-08-01..2026-08-15", "2026-03-02T10:00..2026-03-02T12:00"]`.
    pub exclude: Option<Vec<String>>,
    /// Whether windows that the data do not cover are left out: the one that the first event of all is in, unless it is its very beginning, and, at
    /// the end of a run, the one that the newest event is in (a date covers its day). Their verdict is `partial`, and they are in no baseline.
    /// Default: false. Example: `true`.
    pub skip_partial: Option<bool>,
}

/// How a distance is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Standard score: distance from the mean in sample standard deviations.
    Z,
    /// Modified z-score: 0.6745 times the distance from the median in median absolute deviations, which single odd windows do not move.
    Mad,
    /// Distance from the mean as a share of it: 0.5 is half as much again.
    Relative,
    /// Distance outside least and greatest as a share of their distance; 0 within.
    Range,
}

/// Which way a distance counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Only more than usual.
    Up,
    /// Only less than usual.
    Down,
    /// Either.
    Both,
}

/// What a statistic is compared with: exactly one of `previous`, `weeks` and `statistic`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [{"title": "way to say what it is compared with", "oneOf": [{"required": ["previous"]}, {"required": ["weeks"]}, {"required": ["statistic"]}]}]))]
pub struct AgainstSpec {
    /// How many preceding windows, at most. Example: `10`.
    #[schemars(range(min = 1))]
    pub previous: Option<u64>,
    /// With `previous`: windows are counted by the calendar, and this is what becomes of those without rows, from the segment's first window
    /// on. Default: only windows with rows are counted. Example: `"zero"`.
    pub empty: Option<Empty>,
    /// How many weeks back, in the business time zone; those windows of theirs that are the `same`. Example: `4`.
    #[schemars(range(min = 1))]
    pub weeks: Option<u64>,
    /// With `weeks`: what the windows have in common. Example: `"hour"`.
    pub same: Option<Same>,
    /// A statistic of the same window, such as a target that a look-up brought to the rows. The method is `relative`. Example: `"target"`.
    pub statistic: Option<String>,
}

/// What becomes of windows without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Their statistic is 0; for counts and sums.
    Zero,
    /// They are left out, so that there are fewer windows to compare with.
    Skip,
}

/// What windows of other weeks have in common with the one under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// They start on the same weekday in the same hour.
    Hour,
    /// They start on the same weekday.
    Weekday,
}

/// The least unit of a method (standard deviation, median absolute deviation, mean or width of the range): the greater of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FloorSpec {
    /// In units of the statistic. Default: 0. Example: `5.0`.
    #[schemars(range(min = 0))]
    pub absolute: Option<f64>,
    /// As a share of the mean, median or middle that the statistic is compared with. Default: 0. Example: `0.1`.
    #[schemars(range(min = 0))]
    pub relative: Option<f64>,
}
