//! The numbers of a closed window: what its statistics are, and what checks say of them.
//!
//! Here integers become numbers: means rounded half to even from exact sums, doubles by one rounding each.

use std::slice::IterMut;

use arrow_schema::DataType;

use crate::checks::distinct::ESTIMATED;
use crate::checks::layout::{ArrivalOf, CheckLayout, Layout, StatisticPlan, WindowMeasure};
use crate::checks::stats::{Accumulator, Partial};
use crate::checks::value::{Value, double, ordered};
use crate::checks::variance::Baseline;
use crate::checks::verdict::{Judged, Status};
use crate::job::plan::AggregateFunction;

/// A statistic's number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
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
        Accumulator::Distinct(distinct) => Number::Exact(Value::Int(distinct.number())),
        Accumulator::Sketch(sketch) if sketch.wide != 0 => Number::Overflow(sketch.wide),
        Accumulator::Sketch(sketch) => {
            let AggregateFunction::Quantile(millionths) = statistic.function else {
                panic!("{:?} is no quantile", statistic.function)
            };
            let quantile = sketch.quantile(millionths, statistic.is_exact);
            let quantile = quantile.map(|minor| ordered(minor / power_of_ten(statistic.scale)));
            Number::Exact(quantile.map(Value::Int).unwrap_or_default())
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

/// A whole number of rows.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Wide(value) => i64::try_from(*value).ok(),
        _ => None,
    }
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

/// A verdict about a number that is an estimate, which it says.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "an estimate is told as a double"
)]
fn estimated(statistic: &StatisticPlan, partial: &Partial) -> Option<Judged> {
    let accumulator = &partial.accumulators[statistic.accumulator?];
    let Accumulator::Distinct(distinct) = accumulator else {
        return None;
    };
    distinct.is_estimated().then(|| Judged {
        status: Status::Measured,
        value: Some(distinct.number() as f64),
        numerator: None,
        denominator: None,
        expected: Some(ESTIMATED.to_owned()),
        baseline: None,
    })
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
        baseline: None,
    }
}

/// The numbers of a window for its table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Of its statistics.
    pub(super) numbers: Vec<Number>,
    /// Of those checks that add a column.
    pub(super) values: Vec<Option<f64>>,
}

/// A window that is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// When it starts.
    pub(super) start: i64,
    /// What was gathered of its rows.
    pub(super) partial: &'a Partial,
    /// Whether the data begin or end within it.
    pub(super) is_stub: bool,
    /// How many rows each list of the layout says that it should have.
    pub(super) listed: &'a [Option<i64>],
}

/// Judges a window by all checks, in order; `emit` takes each verdict and the check or the statistic that it is about, checks first by their
/// number. A check of those that are `held_back` beyond the window's start says nothing of it.
pub(super) fn judge_window(
    layout: &Layout,
    held_back: &[i64],
    asked: Asked<'_>,
    baselines: &mut [Baseline],
    mut emit: impl FnMut(usize, Judged),
) -> Row {
    let statistics = layout.statistics.iter();
    let numbers: Vec<Number> = statistics
        .map(|statistic| number(statistic, asked.partial))
        .collect();
    for (index, statistic) in layout.statistics.iter().enumerate() {
        if let Some(told) = estimated(statistic, asked.partial) {
            emit(layout.checks.len() + index, told);
        }
    }
    for (index, number) in numbers.iter().enumerate() {
        if let Number::Overflow(wide) = number {
            emit(layout.checks.len() + index, overflowed(Some(*wide)));
        }
    }
    let mut values = Vec::new();
    let mut baselines = baselines.iter_mut();
    for (index, (check, held_back)) in layout.checks.iter().zip(held_back).enumerate() {
        if asked.start <= *held_back {
            if check.value.is_some() {
                values.push(None);
            }
            if check.compared().is_some() {
                baselines.next();
            }
            continue;
        }
        let judged = judge(check, layout, asked, &numbers, &mut baselines);
        if check.value.is_some() {
            values.push(judged.value);
        }
        emit(index, judged);
    }
    Row { numbers, values }
}

/// Asks one check about one window; `baselines` are those of the variance checks from this one on.
fn judge(
    check: &CheckLayout,
    layout: &Layout,
    asked: Asked<'_>,
    numbers: &[Number],
    baselines: &mut IterMut<'_, Baseline>,
) -> Judged {
    let Asked {
        start,
        partial,
        is_stub,
        listed,
    } = asked;
    let count = |accumulator: &usize| match &partial.accumulators[*accumulator] {
        Accumulator::Count(rows) => *rows,
        Accumulator::Distinct(files) => files.number(),
        other => panic!("check {} counts by {other:?}", check.name),
    };
    match &check.measure {
        WindowMeasure::Arrival(completeness, rows, of) => {
            let rows = rows.as_ref().map_or(partial.rows, count);
            let is_closed = layout.is_closed(check, start);
            let judge = |expected: Option<i64>| {
                let expected = if is_closed { Some(0) } else { expected };
                if is_stub && completeness.skips_partial {
                    completeness.measure_arrival(rows, expected)
                } else {
                    completeness.judge_arrival(rows, expected)
                }
            };
            match of {
                ArrivalOf::Number(expected) => judge(Some(*expected)),
                ArrivalOf::Statistic(index) => match &numbers[*index] {
                    Number::Overflow(_) => overflowed(None),
                    Number::Exact(value) => judge(whole(value)),
                },
                ArrivalOf::Listed(list) => judge(listed.get(*list).copied().flatten()),
                ArrivalOf::Alike(alike) => {
                    let baseline = baselines
                        .next()
                        .expect("there is one a check that compares");
                    let judged = judge(alike.usual(start, baseline));
                    let is_measure =
                        !is_closed && !matches!(judged.status, Status::Fail | Status::Partial);
                    alike.take_rows(is_measure.then_some(rows), start, baseline);
                    judged
                }
            }
        }
        WindowMeasure::Matched(completeness, [found, missing], rows) => {
            let rows = rows.as_ref().map_or(partial.rows, count);
            completeness.judge(count(found), rows + count(missing))
        }
        WindowMeasure::Refused(completeness, refused, rows) => {
            let (refused, rows) = (count(refused), rows.as_ref().map_or(partial.rows, count));
            completeness.judge(refused, rows + refused)
        }
        WindowMeasure::Completeness(completeness, numerator, denominator) => {
            let rows = denominator.as_ref().map_or(partial.rows, count);
            completeness.judge(count(numerator), rows)
        }
        WindowMeasure::Variance(variance, of) => {
            let baseline = baselines.next().expect("there is one a variance check");
            if partial.rows == 0 {
                return variance.nothing();
            }
            match &numbers[*of] {
                Number::Overflow(_) => {
                    variance.pass(start, baseline);
                    overflowed(None)
                }
                number @ Number::Exact(_) => {
                    let statistic = as_double(&layout.statistics[*of], number);
                    if is_stub && variance.skips_partial() {
                        variance.measure_partial(statistic, start, baseline)
                    } else {
                        variance.judge(statistic, start, baseline)
                    }
                }
            }
        }
        WindowMeasure::Reference(variance, _) if partial.rows == 0 => variance.nothing(),
        WindowMeasure::Reference(variance, [of, reference]) => {
            let has_none = |index: &usize| matches!(numbers[*index], Number::Overflow(_));
            if has_none(of) || has_none(reference) {
                return overflowed(None);
            }
            let [of, reference] = [of, reference]
                .map(|index| as_double(&layout.statistics[*index], &numbers[*index]));
            if is_stub && variance.skips_partial() {
                variance.hold_partial(of, reference)
            } else {
                variance.hold(of, reference)
            }
        }
    }
}
