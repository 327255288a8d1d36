//! The reducer against an oracle that loops over rows with plain integers and shares no code with it.

use std::collections::BTreeMap;

use arrow_array::types::Int32Type;
use arrow_array::{
    BooleanArray, Decimal128Array, DictionaryArray, Int32Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use chrono_tz::Tz;
use differential_dataflow::difference::Semigroup;
use proptest::prelude::*;

use super::*;
use crate::checks::layout::{Input, SegmentColumn, StatisticInput};
use crate::checks::stats::{Accumulator, Moments, Sum};
use crate::checks::value::Value;
use crate::checks::windows::Windows;
use crate::job::plan::{AggregateFunction, timestamp_type};

/// One row: region, channel, event time, amount, and whether it is a return.
#[derive(Debug, Clone)]
struct Row {
    region: Option<i32>,
    channel: Option<&'static str>,
    time: Option<i64>,
    amount: Option<i128>,
    returned: Option<bool>,
}

fn layout(windows: Windows, per: &[usize]) -> Arc<Layout> {
    let columns = [("region", DataType::Int32), ("channel", DataType::Utf8)];
    let segment = per
        .iter()
        .map(|id| SegmentColumn {
            id: *id,
            name: columns[*id].0.into(),
            data_type: columns[*id].1.clone(),
            nullable: true,
        })
        .collect();
    let amount = || Some((Input::Column(3), DataType::Decimal128(38, 2)));
    let channel = || Some((Input::Column(1), DataType::Utf8));
    let time = || Some((Input::Column(2), timestamp_type()));
    let returned = || Some(Input::Column(4));
    let statistic = |function, argument, filter| StatisticInput {
        name: "s".into(),
        function,
        argument,
        filter,
        data_type: DataType::Int64,
    };
    Arc::new(Layout::new(
        "test".into(),
        segment,
        2,
        windows,
        &[
            statistic(AggregateFunction::Count, None, None),
            statistic(AggregateFunction::Count, amount(), None),
            statistic(AggregateFunction::Count, None, returned()),
            statistic(AggregateFunction::Sum, amount(), None),
            statistic(AggregateFunction::VarSamp, amount(), None),
            statistic(AggregateFunction::Avg, amount(), returned()),
            statistic(AggregateFunction::Min, amount(), None),
            statistic(AggregateFunction::Max, time(), None),
            statistic(AggregateFunction::Min, channel(), None),
            statistic(AggregateFunction::Max, channel(), returned()),
        ],
    ))
}

fn columns(rows: &[Row], dictionary: bool) -> Vec<Option<ArrayRef>> {
    let channel: ArrayRef = if dictionary {
        Arc::new(
            rows.iter()
                .map(|row| row.channel)
                .collect::<DictionaryArray<Int32Type>>(),
        )
    } else {
        Arc::new(rows.iter().map(|row| row.channel).collect::<StringArray>())
    };
    let amount = rows
        .iter()
        .map(|row| row.amount)
        .collect::<Decimal128Array>();
    vec![
        Some(Arc::new(
            rows.iter().map(|row| row.region).collect::<Int32Array>(),
        )),
        Some(channel),
        Some(Arc::new(
            rows.iter()
                .map(|row| row.time)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        )),
        Some(Arc::new(amount.with_precision_and_scale(38, 2).unwrap())),
        Some(Arc::new(
            rows.iter()
                .map(|row| row.returned)
                .collect::<BooleanArray>(),
        )),
    ]
}

/// Adds the rows batch by batch, draining after each `epochs`-th, and merges the partials.
fn reduced(
    layout: &Arc<Layout>,
    rows: &[Row],
    batch: usize,
    epoch: usize,
) -> (BTreeMap<Group, Partial>, i64) {
    let mut reducer = Reducer::new(Arc::clone(layout));
    let mut merged = BTreeMap::<Group, Partial>::new();
    let mut untimed = 0;
    let mut merge = |reducer: &mut Reducer| {
        untimed += reducer.untimed();
        for (group, partial) in reducer.drain() {
            match merged.get_mut(&group) {
                Some(old) => old.plus_equals(&partial),
                None => {
                    merged.insert(group, partial);
                }
            }
        }
    };
    for (index, rows) in rows.chunks(batch).enumerate() {
        reducer.add(&columns(rows, index % 2 == 0), rows.len(), 0);
        if index % epoch == epoch - 1 {
            merge(&mut reducer);
        }
    }
    merge(&mut reducer);
    (merged, untimed)
}

/// The same by a loop over rows; windows are searched from their starts alone.
fn expected(windows: Windows, per: &[usize], rows: &[Row]) -> (BTreeMap<Group, Partial>, i64) {
    let mut groups = BTreeMap::<Group, Vec<&Row>>::new();
    let mut untimed = 0;
    for row in rows {
        // The window that holds all times has rows without one, too.
        let time = row.time.or((windows == Windows::Whole).then_some(0));
        let Some(time) = time else {
            untimed += 1;
            continue;
        };
        let value = |id: &usize| match id {
            0 => row
                .region
                .map_or(Value::Null, |region| Value::Int(region.into())),
            _ => row
                .channel
                .map_or(Value::Null, |channel| Value::Text(channel.into())),
        };
        let segment = Segment(per.iter().map(value).collect());
        groups
            .entry((segment, windows.start(windows.number(time))))
            .or_default()
            .push(row);
    }
    let partial = |rows: Vec<&Row>| {
        let count = |keep: &dyn Fn(&&&Row) -> bool| {
            i64::try_from(rows.iter().filter(keep).count()).unwrap()
        };
        let returned = |row: &&&Row| row.returned == Some(true);
        let sum = |keep: &dyn Fn(&&&Row) -> bool| {
            let amounts: Vec<i128> = rows
                .iter()
                .filter(keep)
                .filter_map(|row| row.amount)
                .collect();
            let (narrow, wide): (Vec<i128>, Vec<i128>) = amounts
                .iter()
                .partition(|amount| (-(1_i128 << 63)..1 << 63).contains(*amount));
            Sum {
                n: i64::try_from(narrow.len()).unwrap(),
                wide: i64::try_from(wide.len()).unwrap(),
                sum: narrow.iter().sum(),
            }
        };
        let mut squares = Moments::default();
        rows.iter()
            .filter_map(|row| i64::try_from(row.amount?).ok())
            .for_each(|amount| squares.squares.add_square(amount));
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.into()));
        Partial {
            rows: i64::try_from(rows.len()).unwrap(),
            accumulators: Box::new([
                Accumulator::Count(count(&|row| row.amount.is_some())),
                Accumulator::Count(count(&returned)),
                Accumulator::Moments(Moments {
                    first: sum(&|_| true),
                    ..squares
                }),
                Accumulator::Sum(sum(&returned)),
                Accumulator::Least(
                    rows.iter()
                        .filter_map(|row| row.amount)
                        .min()
                        .map_or(Value::Null, Value::Wide),
                ),
                Accumulator::Greatest(
                    rows.iter()
                        .filter_map(|row| row.time)
                        .max()
                        .map_or(Value::Null, Value::Int),
                ),
                Accumulator::Least(text(rows.iter().filter_map(|row| row.channel).min())),
                Accumulator::Greatest(text(
                    rows.iter()
                        .filter(returned)
                        .filter_map(|row| row.channel)
                        .max(),
                )),
            ]),
        }
    };
    (
        groups
            .into_iter()
            .map(|(group, rows)| (group, partial(rows)))
            .collect(),
        untimed,
    )
}

fn row() -> impl Strategy<Value = Row> {
    let amount = prop_oneof![
        8 => (-10_000_i128..1_000_000).prop_map(Some),
        1 => Just(None),
        1 => prop::sample::select(vec![i128::from(i64::MIN), i128::from(i64::MAX), 1 << 63, -(1_i128 << 63) - 1, 10_i128.pow(37)]).prop_map(Some),
    ];
    let region = prop_oneof![6 => (0_i32..4).prop_map(Some), 1 => Just(None), 1 => prop::sample::select(vec![i32::MIN, i32::MAX]).prop_map(Some)];
    let channel = prop_oneof![4 => prop::sample::select(vec!["web", "store", "app", ""]).prop_map(Some), 1 => Just(None)];
    // Around the hour that Madrid's clocks skip, and far away.
    let time = prop_oneof![
        8 => (1_774_650_000_000_000_i64..1_774_830_000_000_000).prop_map(Some),
        1 => Just(None),
        1 => (-4_000_000_000_000_000_i64..4_000_000_000_000_000).prop_map(Some),
    ];
    (region, channel, time, amount, any::<Option<bool>>()).prop_map(
        |(region, channel, time, amount, returned)| Row {
            region,
            channel,
            time,
            amount,
            returned,
        },
    )
}

proptest! {
    #[test]
    fn partials_are_those_of_a_loop_over_rows_for_every_split_and_order(
        rows in proptest::collection::vec(row(), 0..120),
        shuffled in Just(()).prop_perturb(|(), mut rng| rng.next_u64()),
        batch in 1_usize..50,
        epoch in 1_usize..5,
        per in prop::sample::select(vec![vec![], vec![0], vec![1], vec![0, 1], vec![1, 0]]),
        windows in prop::sample::select(vec![Windows::Fixed(3_600_000_000), Windows::Days(1, Tz::Europe__Madrid), Windows::Whole]),
    ) {
        let layout = layout(windows, &per);
        let oracle = expected(windows, &per, &rows);
        prop_assert_eq!(&reduced(&layout, &rows, batch, epoch), &oracle);
        let mut other_order = rows.clone();
        other_order.sort_by_key(|row| (row.amount, shuffled ^ row.time.unwrap_or(0).unsigned_abs()));
        prop_assert_eq!(&reduced(&layout, &other_order, batch, epoch), &oracle);
    }
}

#[test]
fn shared_arguments_are_gathered_once() {
    // sum and var_samp of one argument are one accumulator, count(*) none, the filtered avg its own.
    let layout = layout(Windows::Whole, &[0]);
    let kept: Vec<Option<usize>> = layout
        .statistics
        .iter()
        .map(|statistic| statistic.accumulator)
        .collect();
    assert_eq!(
        kept,
        [
            None,
            Some(0),
            Some(1),
            Some(2),
            Some(2),
            Some(3),
            Some(4),
            Some(5),
            Some(6),
            Some(7)
        ]
    );
    assert_eq!(layout.columns(), [0, 1, 2, 3, 4].into());
}

#[test]
fn empty_batches_and_batches_without_times_give_nothing() {
    let layout = layout(Windows::Fixed(1_000), &[0, 1]);
    let mut reducer = Reducer::new(Arc::clone(&layout));
    reducer.add(&columns(&[], false), 0, 0);
    let row = Row {
        region: Some(1),
        channel: None,
        time: None,
        amount: Some(1),
        returned: None,
    };
    reducer.add(&columns(&[row.clone(), row.clone()], false), 2, 0);
    assert_eq!(reducer.untimed(), 2);
    assert_eq!(reducer.drain(), vec![]);
    reducer.add(
        &columns(
            &[
                row,
                Row {
                    region: Some(2),
                    channel: None,
                    time: Some(5_500),
                    amount: None,
                    returned: None,
                },
            ],
            false,
        ),
        2,
        0,
    );
    let drained = reducer.drain();
    assert_eq!(
        drained.len(),
        1,
        "the group of the row without a time has no rows: {drained:?}"
    );
    assert_eq!(
        drained[0].0,
        (Segment(Box::new([Value::Int(2), Value::Null])), 5_000)
    );
    assert_eq!(reducer.untimed(), 0);
}
