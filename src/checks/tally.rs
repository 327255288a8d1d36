//! State of a window or freshness check: merged partials by segment, closed into tables and verdicts.
//!
//! A bounded run closes everything once, at its end: for each segment in order, its windows in order of time, so that a
//! baseline is always the windows before. The segment is owned by one worker (its hash says which), so nothing is judged
//! twice. Integers become numbers here: means rounded half to even from exact sums, doubles by one rounding each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use differential_dataflow::difference::{IsZero, Semigroup};

use crate::job::plan::{AggregateFunction, timestamp_type};
use crate::record::Epoch;

use super::freshness::Freshness;
use super::layout::{CheckLayout, Layout, StatisticPlan, WindowMeasure};
use super::stats::{Accumulator, Partial};
use super::value::{Segment, Value, array, double, ordered};
use super::variance::Baseline;
use super::verdict::{Judged, Status, Verdict, VerdictBuilder};

/// Rows of a batch of windows: large enough that a batch costs nothing, small enough to pass on in pieces.
const BATCH_ROWS: usize = 1 << 16;

/// The windows of the segments that this worker owns.
///
/// Cost: one [`Partial`] for each segment and window until the end of the run.
#[derive(Debug)]
pub struct Tally {
    layout: Arc<Layout>,
    schema: SchemaRef,
    segments: BTreeMap<Segment, BTreeMap<i64, Window>>,
    /// Windows of all segments.
    windows: usize,
}

/// A window's statistics, and the newest epoch that added to them.
#[derive(Debug)]
struct Window {
    partial: Partial,
    epoch: Epoch,
}

/// What closing gives.
#[derive(Debug)]
pub struct Closed {
    /// The rows of `windows.NAME` in order of segment and start, of [`window_schema`].
    pub windows: Vec<RecordBatch>,
    /// The rows of `verdicts`, of [`super::verdict::schema`].
    pub verdicts: RecordBatch,
}

/// The columns of `windows.NAME`: segment, `window_start`, `window_end`, statistics, values of checks.
pub fn window_schema(layout: &Layout) -> SchemaRef {
    let segment = layout
        .segment
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
    let times =
        ["window_start", "window_end"].map(|name| Field::new(name, timestamp_type(), false));
    let statistics = layout
        .statistics
        .iter()
        .map(|statistic| Field::new(&statistic.name, statistic.data_type.clone(), true));
    let values = layout
        .checks
        .iter()
        .filter_map(|check| check.value.as_ref())
        .map(|name| Field::new(name, DataType::Float64, true));
    Arc::new(Schema::new(
        segment
            .chain(times)
            .chain(statistics)
            .chain(values)
            .collect::<Vec<_>>(),
    ))
}

impl Tally {
    /// No rows yet.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self {
            schema: window_schema(&layout),
            layout,
            segments: BTreeMap::new(),
            windows: 0,
        }
    }

    /// Segments and windows that are open.
    pub fn open(&self) -> (usize, usize) {
        (self.segments.len(), self.windows)
    }

    /// Adds a difference to the window of `segment` that starts at `start`.
    pub fn apply(&mut self, segment: Segment, start: i64, partial: Partial, epoch: Epoch) {
        let windows = self.segments.entry(segment).or_default();
        if let Some(window) = windows.get_mut(&start) {
            window.partial.plus_equals(&partial);
            window.epoch = window.epoch.max(epoch);
            if window.partial.is_zero() {
                windows.remove(&start);
                self.windows -= 1;
            }
        } else {
            windows.insert(start, Window { partial, epoch });
            self.windows += 1;
        }
    }

    /// Closes all windows that have rows; the tally is then empty.
    pub fn close(&mut self) -> Closed {
        let mut verdicts = VerdictBuilder::default();
        let mut table = WindowTable::new(&self.layout);
        let mut windows = Vec::new();
        self.windows = 0;
        for (segment, state) in std::mem::take(&mut self.segments) {
            let text = segment.text(
                self.layout
                    .segment
                    .iter()
                    .map(|column| (column.name.as_str(), &column.data_type)),
            );
            let mut baselines = vec![Baseline::default(); self.layout.checks.len()];
            for (start, window) in state
                .into_iter()
                .filter(|(_, window)| window.partial.rows > 0)
            {
                let times = (start, self.layout.windows.end(start));
                let numbers: Vec<Number> = self
                    .layout
                    .statistics
                    .iter()
                    .map(|statistic| number(statistic, &window.partial))
                    .collect();
                let mut emit = |check: Cow<'_, str>, judged: Judged| {
                    verdicts.push(Verdict {
                        check,
                        segment: &text,
                        window: Some(times),
                        judged,
                        epoch: window.epoch,
                    });
                };
                for (statistic, number) in self.layout.statistics.iter().zip(&numbers) {
                    if let Number::Overflow(wide) = number {
                        emit(
                            Cow::Owned(format!("{}.{}", self.layout.name, statistic.name)),
                            overflowed(Some(*wide)),
                        );
                    }
                }
                let mut values = Vec::new();
                for (check, baseline) in self.layout.checks.iter().zip(&mut baselines) {
                    let judged = judge(check, &self.layout, &window.partial, &numbers, baseline);
                    if check.value.is_some() {
                        values.push(judged.value);
                    }
                    emit(Cow::Borrowed(&check.name), judged);
                }
                table.push(&segment, times, numbers, &values);
                if table.starts.len() == BATCH_ROWS {
                    windows.push(
                        std::mem::replace(&mut table, WindowTable::new(&self.layout))
                            .finish(&self.schema, &self.layout),
                    );
                }
            }
        }
        if !table.starts.is_empty() {
            windows.push(table.finish(&self.schema, &self.layout));
        }
        Closed {
            windows,
            verdicts: verdicts.finish(),
        }
    }

    /// Closes a tally of [`Layout::newest_event`]: one verdict a segment. The reference is `as_of`, or the newest event of all
    /// segments here, so all of a check's segments must be in one tally.
    pub fn close_freshness(&mut self, freshness: &Freshness, as_of: Option<i64>) -> RecordBatch {
        let mut verdicts = VerdictBuilder::default();
        let newest = |window: &Window| match window.partial.accumulators.first() {
            Some(Accumulator::Greatest(Value::Int(time))) => event_micros(*time, &self.layout),
            other => {
                panic!("a partial of a freshness check holds {other:?} instead of the newest event")
            }
        };
        self.windows = 0;
        let found: Vec<(Segment, i64, Epoch)> = std::mem::take(&mut self.segments)
            .into_iter()
            .flat_map(|(segment, windows)| {
                windows
                    .into_values()
                    .map(move |window| (segment.clone(), window))
            })
            .map(|(segment, window)| (segment, newest(&window), window.epoch))
            .collect();
        let newest_of_all = found.iter().map(|(_, newest, _)| *newest).max();
        for (segment, newest, epoch) in &found {
            let text = segment.text(
                self.layout
                    .segment
                    .iter()
                    .map(|column| (column.name.as_str(), &column.data_type)),
            );
            let reference = as_of.or(newest_of_all).expect("there is a segment");
            let judged = freshness.judge(*newest, reference);
            verdicts.push(Verdict {
                check: Cow::Borrowed(&self.layout.name),
                segment: &text,
                window: None,
                judged,
                epoch: *epoch,
            });
        }
        verdicts.finish()
    }
}

/// The newest event in microseconds, whatever the type of the column.
fn event_micros(value: i64, layout: &Layout) -> i64 {
    match layout
        .statistics
        .first()
        .map(|statistic| &statistic.data_type)
    {
        Some(DataType::Date32) => value.saturating_mul(86_400_000_000),
        _ => value,
    }
}

/// A statistic's number.
#[derive(Debug, Clone, PartialEq)]
enum Number {
    /// A count, a sum or a mean in minor units, a least or greatest value, a double as [`ordered`] bits; null for no values.
    Exact(Value),
    /// It has none: so many values were too wide or could not be worked out.
    Overflow(i64),
}

/// The number of a statistic of a closed window.
fn number(statistic: &StatisticPlan, partial: &Partial) -> Number {
    let Some(accumulator) = statistic
        .accumulator
        .map(|index| &partial.accumulators[index])
    else {
        return Number::Exact(Value::Int(partial.rows));
    };
    match accumulator {
        Accumulator::Count(n) => Number::Exact(Value::Int(*n)),
        Accumulator::Least(value) | Accumulator::Greatest(value) => Number::Exact(value.clone()),
        Accumulator::Sum(sum) if sum.wide != 0 => Number::Overflow(sum.wide),
        Accumulator::Moments(moments) if moments.first.wide != 0 => {
            Number::Overflow(moments.first.wide)
        }
        sums => Number::Exact(number_of_sums(statistic, sums).unwrap_or_default()),
    }
}

fn number_of_sums(statistic: &StatisticPlan, accumulator: &Accumulator) -> Option<Value> {
    let sum = accumulator.sum().filter(|sum| sum.n > 0)?;
    match statistic.function {
        AggregateFunction::Sum => Some(Value::Wide(sum.sum)),
        AggregateFunction::Avg => sum
            .mean(decimal_places(&statistic.data_type) - statistic.scale)
            .map(Value::Wide),
        AggregateFunction::VarSamp => variance(statistic, accumulator)
            .map(ordered)
            .map(Value::Int),
        AggregateFunction::StddevSamp => variance(statistic, accumulator)
            .map(f64::sqrt)
            .map(ordered)
            .map(Value::Int),
        other => panic!("{other:?} is no statistic of sums"),
    }
}

/// Sample variance in squared units of one.
fn variance(statistic: &StatisticPlan, accumulator: &Accumulator) -> Option<f64> {
    match accumulator {
        Accumulator::Moments(moments) => {
            let scale =
                u32::try_from(statistic.scale).expect("the job file has no negative scales");
            moments.sample_variance(scale)
        }
        other => panic!("{other:?} has no sum of squares"),
    }
}

fn decimal_places(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(_, scale) => i32::from(*scale),
        _ => 0,
    }
}

/// 10^exponent as the nearest double: by reading the number, since `powi` may differ between machines.
fn power_of_ten(exponent: i32) -> f64 {
    const SMALL: [f64; 9] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
    let small = usize::try_from(exponent)
        .ok()
        .and_then(|exponent| SMALL.get(exponent).copied());
    small.unwrap_or_else(|| {
        format!("1e{exponent}")
            .parse()
            .expect("it is written as a number")
    })
}

/// A statistic as a double, in units of one (times in microseconds); `None` where it has no number.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "statistics above the window are doubles, rounded once here"
)]
fn as_double(statistic: &StatisticPlan, number: &Number) -> Option<f64> {
    match (number, &statistic.data_type) {
        (Number::Exact(Value::Int(value)), DataType::Float64) => Some(double(*value)),
        (Number::Exact(Value::Int(value)), _) => Some(*value as f64),
        (Number::Exact(Value::Wide(value)), data_type) => {
            Some(*value as f64 / power_of_ten(decimal_places(data_type)))
        }
        _ => None,
    }
}

/// A verdict about a number that is not there.
fn overflowed(wide: Option<i64>) -> Judged {
    let expected = Some("values that can be worked out and have 64 bits at most".to_owned());
    Judged {
        status: Status::Overflow,
        value: None,
        numerator: wide,
        denominator: None,
        expected,
    }
}

/// Asks one check about one window.
fn judge(
    check: &CheckLayout,
    layout: &Layout,
    partial: &Partial,
    numbers: &[Number],
    baseline: &mut Baseline,
) -> Judged {
    match &check.measure {
        WindowMeasure::Completeness(completeness, numerator, denominator) => {
            let count = |accumulator: &usize| match &partial.accumulators[*accumulator] {
                Accumulator::Count(rows) => *rows,
                other => panic!("check {} counts by {other:?}", check.name),
            };
            let rows = denominator.as_ref().map_or(partial.rows, count);
            completeness.judge(count(numerator), rows)
        }
        WindowMeasure::Variance(variance, of) => match &numbers[*of] {
            Number::Overflow(_) => overflowed(None),
            number @ Number::Exact(_) => {
                variance.judge(as_double(&layout.statistics[*of], number), baseline)
            }
        },
    }
}

/// Columns of `windows.NAME` while they grow.
#[derive(Debug)]
struct WindowTable {
    segment: Vec<Vec<Value>>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    statistics: Vec<Vec<Value>>,
    values: Vec<Vec<Option<f64>>>,
}

impl WindowTable {
    fn new(layout: &Layout) -> Self {
        let values = layout
            .checks
            .iter()
            .filter(|check| check.value.is_some())
            .count();
        Self {
            segment: vec![Vec::new(); layout.segment.len()],
            starts: Vec::new(),
            ends: Vec::new(),
            statistics: vec![Vec::new(); layout.statistics.len()],
            values: vec![Vec::new(); values],
        }
    }

    fn push(
        &mut self,
        segment: &Segment,
        (start, end): (i64, i64),
        numbers: Vec<Number>,
        values: &[Option<f64>],
    ) {
        self.segment
            .iter_mut()
            .zip(&segment.0)
            .for_each(|(column, value)| column.push(value.clone()));
        self.starts.push(start);
        self.ends.push(end);
        for (column, number) in self.statistics.iter_mut().zip(numbers) {
            column.push(match number {
                Number::Exact(value) => value,
                Number::Overflow(_) => Value::Null,
            });
        }
        self.values
            .iter_mut()
            .zip(values)
            .for_each(|(column, value)| column.push(*value));
    }

    fn finish(self, schema: &SchemaRef, layout: &Layout) -> RecordBatch {
        let time = |times: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let segment = self
            .segment
            .iter()
            .zip(&layout.segment)
            .map(|(values, column)| array(values.iter(), &column.data_type));
        let statistics = self
            .statistics
            .iter()
            .zip(&layout.statistics)
            .map(|(values, statistic)| array(values.iter(), &statistic.data_type));
        let values = self
            .values
            .into_iter()
            .map(|values| -> ArrayRef { Arc::new(Float64Array::from(values)) });
        let columns = segment
            .chain([time(self.starts), time(self.ends)])
            .chain(statistics)
            .chain(values)
            .collect();
        RecordBatch::try_new(SchemaRef::clone(schema), columns)
            .expect("the columns were built for this schema")
    }
}

#[cfg(test)]
mod tests;
