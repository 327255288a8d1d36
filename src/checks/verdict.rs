//! Verdicts: what checks answer, and the table they are written as.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::job::plan::timestamp_type;
use crate::record::Epoch;

/// The answer of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All thresholds hold.
    Pass,
    /// There are no thresholds.
    Measured,
    /// There is nothing to measure.
    NoData,
    /// There are too few rows to judge.
    TooFew,
    /// There are too few windows to compare with.
    WarmingUp,
    /// The windows to compare with give no scale: fewer than two, or all equal.
    NoBaseline,
    /// The data do not cover the window, which is therefore not judged.
    Partial,
    /// The warning threshold is missed.
    Warn,
    /// The failure threshold is missed.
    Fail,
    /// A number does not fit or could not be worked out.
    Overflow,
    /// The segment is not kept any more.
    Retired,
    /// There are more segments than are kept.
    TooManySegments,
}

impl Status {
    /// The word in the table of verdicts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Measured => "measured",
            Self::NoData => "no_data",
            Self::TooFew => "too_few",
            Self::WarmingUp => "warming_up",
            Self::NoBaseline => "no_baseline",
            Self::Partial => "partial",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Overflow => "overflow",
            Self::Retired => "retired",
            Self::TooManySegments => "too_many_segments",
        }
    }

    /// The status of a value that can be judged: the worse threshold it misses.
    pub(crate) fn of_thresholds(warn: Option<bool>, fail: Option<bool>) -> Self {
        match (warn, fail) {
            (_, Some(true)) => Self::Fail,
            (Some(true), _) => Self::Warn,
            (None, None) => Self::Measured,
            _ => Self::Pass,
        }
    }
}

/// What a check says of one window or segment, before it is known which.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The answer.
    pub status: Status,
    /// What was measured, where it could be.
    pub value: Option<f64>,
    /// Rows that count, for shares.
    pub numerator: Option<i64>,
    /// Rows they are a share of.
    pub denominator: Option<i64>,
    /// What the value was held against, such as `>= 0.97`; the limit that was missed where one was.
    pub expected: Option<String>,
    /// What the windows to compare with are around, such as their mean, in units of the statistic.
    pub baseline: Option<f64>,
}

impl Judged {
    /// The limit to name: the one that was missed, else the first to be missed.
    pub(crate) fn limit<T: Copy>(status: Status, warn: Option<T>, fail: Option<T>) -> Option<T> {
        if status == Status::Fail {
            fail
        } else {
            warn.or(fail)
        }
    }
}

/// One row of the table of verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'a> {
    /// Name of the check; `WINDOW.STATISTIC` for a statistic that overflowed.
    pub check: Cow<'a, str>,
    /// The segment, as [`super::Segment::text`] writes it.
    pub segment: &'a str,
    /// Start and end of the window in microseconds; none for checks over all times.
    pub window: Option<(i64, i64)>,
    /// The answer.
    pub judged: Judged,
    /// The newest epoch whose rows it covers.
    pub epoch: Epoch,
    /// Whether nothing can change it any more: its window takes no more rows.
    pub is_final: bool,
    /// 1 where this is said, -1 where it is taken back.
    pub sign: i32,
}

/// The columns of the table `verdicts`: check, segment, `window_start`, `window_end`, status, value, numerator, denominator,
/// expected, baseline, epoch, final, sign, reason. Text comes as `Dictionary(Int32, Utf8)`, since a few texts stand in all rows.
pub fn schema() -> SchemaRef {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("check", text.clone(), false),
        Field::new("segment", text.clone(), false),
        Field::new("window_start", timestamp_type(), true),
        Field::new("window_end", timestamp_type(), true),
        Field::new("status", text.clone(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("numerator", DataType::Int64, true),
        Field::new("denominator", DataType::Int64, true),
        Field::new("expected", text.clone(), true),
        Field::new("baseline", DataType::Float64, true),
        Field::new("epoch", DataType::Int64, false),
        Field::new("final", DataType::Boolean, false),
        Field::new("sign", DataType::Int32, false),
        Field::new("reason", text, true),
    ]))
}

/// Gathers verdicts into a batch of [`schema`].
#[derive(Default)]
pub(crate) struct VerdictBuilder {
    check: StringDictionaryBuilder<Int32Type>,
    segment: StringDictionaryBuilder<Int32Type>,
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    status: StringDictionaryBuilder<Int32Type>,
    value: Vec<Option<f64>>,
    numerator: Vec<Option<i64>>,
    denominator: Vec<Option<i64>>,
    expected: StringDictionaryBuilder<Int32Type>,
    baseline: Vec<Option<f64>>,
    epoch: Vec<i64>,
    is_final: Vec<bool>,
    sign: Vec<i32>,
    reason: StringDictionaryBuilder<Int32Type>,
}

impl VerdictBuilder {
    /// Adds a row.
    pub(crate) fn push(&mut self, verdict: Verdict<'_>) {
        self.push_because(verdict, None);
    }

    /// Adds a row that says why.
    pub(crate) fn push_because(&mut self, verdict: Verdict<'_>, reason: Option<&str>) {
        let Verdict {
            check,
            segment,
            window,
            judged,
            epoch,
            is_final,
            sign,
        } = verdict;
        self.check.append_value(check);
        self.segment.append_value(segment);
        self.start.push(window.map(|window| window.0));
        self.end.push(window.map(|window| window.1));
        self.status.append_value(judged.status.as_str());
        self.value.push(judged.value);
        self.numerator.push(judged.numerator);
        self.denominator.push(judged.denominator);
        self.expected.append_option(judged.expected);
        self.baseline.push(judged.baseline);
        self.is_final.push(is_final);
        self.sign.push(sign);
        self.reason.append_option(reason);
        self.epoch.push(
            i64::try_from(epoch).expect("an epoch is a count of seconds or of input, below 2^63"),
        );
    }

    /// The rows so far.
    pub(crate) fn finish(mut self) -> RecordBatch {
        let time = |times: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.check.finish()),
            Arc::new(self.segment.finish()),
            time(self.start),
            time(self.end),
            Arc::new(self.status.finish()),
            Arc::new(Float64Array::from(self.value)),
            Arc::new(Int64Array::from(self.numerator)),
            Arc::new(Int64Array::from(self.denominator)),
            Arc::new(self.expected.finish()),
            Arc::new(Float64Array::from(self.baseline)),
            Arc::new(Int64Array::from(self.epoch)),
            Arc::new(BooleanArray::from(self.is_final)),
            Arc::new(Int32Array::from(self.sign)),
            Arc::new(self.reason.finish()),
        ];
        RecordBatch::try_new(schema(), columns).expect("the columns were built for this schema")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_threshold_decides_and_none_only_measures() {
        assert_eq!(Status::of_thresholds(None, None), Status::Measured);
        assert_eq!(Status::of_thresholds(Some(false), None), Status::Pass);
        assert_eq!(Status::of_thresholds(None, Some(false)), Status::Pass);
        assert_eq!(Status::of_thresholds(Some(true), Some(false)), Status::Warn);
        assert_eq!(Status::of_thresholds(Some(false), Some(true)), Status::Fail);
        assert_eq!(Status::of_thresholds(None, Some(true)), Status::Fail);
    }

    #[test]
    fn no_verdicts_are_a_batch_without_rows() {
        let batch = VerdictBuilder::default().finish();
        assert_eq!((batch.num_rows(), batch.schema()), (0, schema()));
    }
}
