//! Closed windows and verdicts, read as people would read them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Decimal128Array, Int32Array, TimestampMicrosecondArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;

use super::*;
use crate::checks::Reducer;
use crate::checks::completeness::Completeness;
use crate::checks::layout::{
    CheckLayout, Input, Kind, SegmentColumn, StatisticInput, WindowMeasure,
};
use crate::checks::stats::{Accumulator, Moments};
use crate::checks::value::Value;
use crate::checks::windows::Windows;
use crate::job::plan::{AggregateFunction, VarianceRule};

const MINUTE: i64 = 60_000_000;

/// Region, minute, amount in cents.
type Row = (i32, i64, Option<i128>);

/// Rows, sum, mean, variance and sd of an amount, its completeness and its z, by region and minute.
fn layout(scale: i8) -> Layout {
    let amount = || Some((Input::Column(2), DataType::Decimal128(38, scale)));
    let statistic = |name: &str, function, argument, data_type| StatisticInput {
        name: name.into(),
        function,
        argument,
        filter: None,
        data_type,
    };
    let mut layout = Layout::new(
        "minute".into(),
        vec![SegmentColumn {
            id: 0,
            name: "region".into(),
            data_type: DataType::Int32,
            nullable: true,
        }],
        1,
        Windows::Fixed(MINUTE),
        &[
            statistic("rows", AggregateFunction::Count, None, DataType::Int64),
            statistic(
                "sum",
                AggregateFunction::Sum,
                amount(),
                DataType::Decimal128(38, scale),
            ),
            statistic(
                "mean",
                AggregateFunction::Avg,
                amount(),
                DataType::Decimal128(38, (scale + 4).min(37)),
            ),
            statistic(
                "var",
                AggregateFunction::VarSamp,
                amount(),
                DataType::Float64,
            ),
            statistic(
                "sd",
                AggregateFunction::StddevSamp,
                amount(),
                DataType::Float64,
            ),
            statistic(
                "least",
                AggregateFunction::Min,
                amount(),
                DataType::Decimal128(38, scale),
            ),
        ],
    );
    let completeness = Completeness {
        min_rows: 2,
        warn_below: Some(0.9),
        fail_below: Some(0.5),
        is_small: false,
        skips_partial: false,
    };
    let measure = layout.add_completeness(completeness, 2, DataType::Decimal128(38, scale), None);
    layout.checks.push(CheckLayout {
        name: "known".into(),
        value: Some("completeness".into()),
        calendar: None,
        measure,
    });
    let rule = VarianceRule {
        warn_beyond: Some(2.0),
        ..VarianceRule::z(10)
    };
    let variance = Variance::new(rule, layout.windows, chrono_tz::Tz::UTC);
    layout.checks.push(CheckLayout {
        name: "usual".into(),
        value: Some("z".into()),
        calendar: None,
        measure: WindowMeasure::Variance(variance, 1),
    });
    layout
}

fn closed(layout: Layout, rows: &[Row]) -> Closed {
    let scale = layout.statistics[1].scale;
    let layout = Arc::new(layout);
    let amount = rows
        .iter()
        .map(|row| row.2)
        .collect::<Decimal128Array>()
        .with_precision_and_scale(38, i8::try_from(scale).unwrap())
        .unwrap();
    let columns: [ArrayRef; 3] = [
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1 * MINUTE + 7))
                .with_timezone("UTC"),
        ),
        Arc::new(amount),
    ];
    let mut reducer = Reducer::new(Arc::clone(&layout));
    reducer.add(&columns.map(Some), rows.len(), 0);
    let mut tally = Tally::new(layout);
    for ((segment, start), partial) in reducer.drain() {
        tally.apply(segment, start, partial, 3);
    }
    tally.close()
}

/// Rows of a batch, cells separated by spaces.
pub(super) fn lines(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let cells: Vec<ArrayFormatter<'_>> = columns
        .iter()
        .map(|name| ArrayFormatter::try_new(batch.column_by_name(name).unwrap(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            cells
                .iter()
                .map(|cell| cell.value(row).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn windows_come_in_order_of_segment_and_time_with_exact_numbers() {
    let closed = closed(
        layout(2),
        &[
            (2, 0, Some(100)),
            (-1, 5, Some(-100)),
            (-1, 5, Some(-101)),
            (-1, 4, Some(1)),
            (-1, 4, Some(2)),
            (-1, 4, Some(2)),
            (-1, 4, None),
        ],
    );
    assert_eq!(closed.windows.len(), 1);
    let table = &closed.windows[0];
    assert_eq!(
        lines(
            table,
            &["region", "rows", "sum", "mean", "least", "completeness"]
        ),
        [
            "-1 4 0.05 0.016667 0.01 0.75",
            "-1 2 -2.01 -1.005000 -1.01 1.0",
            "2 1 1.00 1.000000 1.00 1.0"
        ]
    );
    let starts = table
        .column_by_name("window_start")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec();
    let ends = table
        .column_by_name("window_end")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec();
    assert_eq!(starts, [4 * MINUTE, 5 * MINUTE, 0]);
    assert_eq!(ends, [5 * MINUTE, 6 * MINUTE, MINUTE]);
    let var = table
        .column_by_name("var")
        .unwrap()
        .as_primitive::<Float64Type>();
    let sd = table
        .column_by_name("sd")
        .unwrap()
        .as_primitive::<Float64Type>();
    // Of 0.01, 0.02, 0.02: 1/3 cent²; of −1.00, −1.01: 1/2 cent².
    assert!((var.value(0) - 1e-4 / 3.0).abs() < 1e-18 && (var.value(1) - 0.5e-4).abs() < 1e-18);
    assert!((sd.value(0) * sd.value(0) - var.value(0)).abs() < 1e-18);
    assert!(var.is_null(2) && sd.is_null(2), "one row has no variance");
    assert_eq!(table.schema(), window_schema(&layout(2)));
}

#[test]
fn windows_without_values_have_null_numbers_and_no_data() {
    let closed = closed(layout(2), &[(1, 0, None), (1, 0, None)]);
    assert_eq!(
        lines(
            &closed.windows[0],
            &[
                "rows",
                "sum",
                "mean",
                "var",
                "sd",
                "least",
                "completeness",
                "z"
            ]
        ),
        ["2 - - - - - 0.0 -"]
    );
    assert_eq!(
        lines(
            &closed.verdicts,
            &["check", "status", "numerator", "denominator"]
        ),
        ["known fail 0 2", "usual no_data - -"]
    );
}

#[test]
fn too_wide_values_leave_no_number_and_say_so() {
    let closed = closed(
        layout(0),
        &[
            (1, 0, Some(1 << 63)),
            (1, 0, Some(1)),
            (1, 1, Some(i128::from(i64::MIN))),
            (1, 1, Some(i128::from(i64::MIN))),
        ],
    );
    let table = lines(&closed.windows[0], &["rows", "sum", "mean", "var", "least"]);
    assert_eq!(
        table,
        [
            "2 - - - 1",
            "2 -18446744073709551616 -9223372036854775808.0000 0.0 -9223372036854775808"
        ]
    );
    let verdicts = lines(
        &closed.verdicts,
        &["check", "segment", "status", "numerator", "epoch", "sign"],
    );
    assert_eq!(
        verdicts,
        [
            "minute.sum region=1 overflow 1 3 1",
            "minute.mean region=1 overflow 1 3 1",
            "minute.var region=1 overflow 1 3 1",
            "minute.sd region=1 overflow 1 3 1",
            "known region=1 pass 2 3 1",
            "usual region=1 overflow - 3 1",
            "known region=1 pass 2 3 1",
            "usual region=1 warming_up - 3 1",
        ]
    );
}

#[test]
fn z_compares_with_the_windows_before_of_the_same_segment() {
    // Sums 1, 3, (gap), 2 and 20 of region 1; region 2 is another history.
    let closed = closed(
        layout(0),
        &[
            (1, 0, Some(1)),
            (1, 1, Some(3)),
            (1, 7, Some(2)),
            (2, 7, Some(500)),
            (1, 9, Some(20)),
        ],
    );
    let z = closed.windows[0]
        .column_by_name("z")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert!(z.is_null(0) && z.is_null(1) && z.is_null(4));
    // Mean 2 and sd √2 of 1, 3; mean 2 and sd 1 of 1, 3, 2.
    assert_eq!((z.value(2), z.value(3)), (0.0, 18.0));
    let usual: Vec<String> = lines(
        &closed.verdicts,
        &["check", "segment", "status", "expected"],
    )
    .into_iter()
    .filter(|line| line.starts_with("usual"))
    .collect();
    assert_eq!(
        usual,
        [
            "usual region=1 warming_up |z| <= 2",
            "usual region=1 warming_up |z| <= 2",
            "usual region=1 pass |z| <= 2",
            "usual region=1 warn |z| <= 2",
            "usual region=2 warming_up |z| <= 2",
        ]
    );
}

#[test]
fn retracted_windows_leave_nothing() {
    let mut layout = layout(2);
    layout.statistics.pop();
    layout
        .accumulators
        .retain(|accumulator| accumulator.kind != Kind::Least);
    layout.checks.clear();
    let layout = Arc::new(layout);
    let mut tally = Tally::new(Arc::clone(&layout));
    let mut sum = Moments::default();
    sum.add(Some(5));
    let partial = Partial {
        rows: 1,
        accumulators: Box::new([Accumulator::Moments(sum), Accumulator::Count(1)]),
    };
    let mut back = partial.clone();
    back.negate();
    tally.apply(Segment::default(), 0, partial, 1);
    tally.apply(Segment::default(), 0, back, 2);
    let closed = tally.close();
    assert!(closed.windows.is_empty());
    assert_eq!(closed.verdicts.num_rows(), 0);
}

#[test]
fn nothing_gives_no_rows() {
    let closed = closed(layout(2), &[]);
    assert!(closed.windows.is_empty());
    assert_eq!(closed.verdicts.num_rows(), 0);
}

/// A layout of one variance check over the sum, and the partial of one amount.
fn usual() -> (Arc<Layout>, impl Fn(i64) -> Partial) {
    let mut layout = layout(0);
    layout.checks.remove(0);
    let kinds = layout.accumulators.clone();
    let partial = move |amount| {
        let accumulators = kinds.iter().map(|plan| match plan.kind {
            Kind::Moments => {
                let mut moments = Moments::default();
                moments.add(Some(amount));
                Accumulator::Moments(moments)
            }
            Kind::Count => Accumulator::Count(1),
            Kind::Least => Accumulator::Least(Value::Wide(amount.into())),
            other => panic!("the layout has no {other:?}"),
        });
        let accumulators = accumulators.collect();
        Partial {
            rows: 1,
            accumulators,
        }
    };
    (Arc::new(layout), partial)
}

fn region(id: i64) -> Segment {
    Segment(Box::new([Value::Int(id)]))
}

#[test]
fn windows_close_when_the_watermark_has_passed_their_end() {
    let (layout, partial) = usual();
    let mut tally = Tally::new(layout);
    let closed = |tally: &mut Tally, watermark| {
        let closed = tally.close_until(watermark);
        let table = closed.windows.iter();
        let rows: Vec<String> = table
            .flat_map(|table| lines(table, &["region", "sum", "z"]))
            .collect();
        assert_eq!(closed.verdicts.num_rows(), rows.len());
        rows
    };
    for (segment, minute, amount) in [(2, 0, 7), (1, 1, 5), (1, 0, 3), (2, 1, 9), (3, 4, 1)] {
        tally.apply(region(segment), minute * MINUTE, partial(amount), 1);
    }
    assert_eq!(closed(&mut tally, MINUTE - 1), [""; 0]);
    assert_eq!(tally.open(), (3, 5));
    assert_eq!(closed(&mut tally, MINUTE), ["1 3 -", "2 7 -"]);
    assert_eq!(tally.open(), (3, 3), "baselines keep their segments");
    // An earlier watermark takes nothing back.
    assert_eq!(closed(&mut tally, 0), [""; 0]);
    assert_eq!(tally.closed_until(), MINUTE);
    tally.apply(region(1), MINUTE, partial(5), 2);
    assert_eq!(closed(&mut tally, 4 * MINUTE), ["1 10 -", "2 9 -"]);
    tally.apply(region(1), 9 * MINUTE, partial(6), 3);
    // Of 3 and 10: mean 6.5, so −0.5 / 4.95.
    let last = closed(&mut tally, i64::MAX);
    assert_eq!(last.len(), 2);
    assert!(last[0].starts_with("1 6 -0.10101525445522"), "{last:?}");
    assert_eq!(last[1], "3 1 -");
    assert_eq!(tally.open(), (3, 0));
}

#[test]
fn segments_without_windows_and_baselines_are_forgotten() {
    let (layout, partial) = usual();
    let mut layout = Layout::clone(&layout);
    layout.checks.clear();
    let mut tally = Tally::new(Arc::new(layout));
    for round in 0..5 {
        let minute = i64::from(round);
        for segment in 0..100 {
            tally.apply(region(segment * 7 + minute), minute * MINUTE, partial(1), 1);
        }
        assert_eq!(tally.open(), (100, 100));
        let closed = tally.close_until((minute + 1) * MINUTE);
        assert_eq!(closed.windows[0].num_rows(), 100);
        assert_eq!(tally.open(), (0, 0));
    }
}

#[test]
fn rows_of_a_closed_window_stop_the_job() {
    let (layout, partial) = usual();
    let mut tally = Tally::new(layout);
    tally.close_until(5 * MINUTE);
    tally.apply(region(1), 5 * MINUTE, partial(1), 1);
    let late = || tally.apply(region(1), 4 * MINUTE, partial(1), 2);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(late)).unwrap_err();
    assert_eq!(
        panic.downcast_ref::<String>().unwrap(),
        "epoch 2 has rows of minute for its window from 240000000 to 300000000 µs, which is closed: all up to 300000000 µs are"
    );
}

#[test]
fn decimals_of_the_largest_scale_keep_their_mean() {
    let closed = closed(layout(38), &[(1, 0, Some(25)), (1, 0, Some(25))]);
    let mean = closed.windows[0]
        .column_by_name("mean")
        .unwrap()
        .as_primitive::<Decimal128Type>();
    assert_eq!(
        (mean.value(0), mean.data_type().clone()),
        (2, DataType::Decimal128(38, 37))
    );
    assert_eq!(
        closed.windows[0]
            .column_by_name("rows")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(0),
        2
    );
}
