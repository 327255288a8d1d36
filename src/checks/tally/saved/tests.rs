//! State goes on where it was saved, with any number of workers, and no bytes do harm.

mod corrected;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::prelude::*;

use super::form::check_of;
use super::*;
use crate::checks::completeness::Completeness;
use crate::checks::layout::{CheckLayout, Input, SegmentColumn, StatisticInput, WindowMeasure};
use crate::checks::tally::Closed;
use crate::checks::tally::tests::lines;
use crate::checks::value::Value;
use crate::checks::variance::Variance;
use crate::job::plan::{AggregateFunction, VarianceRule, timestamp_type};

/// Every kind of accumulator and check, per region and channel.
fn layout(windows: Windows) -> Arc<Layout> {
    layout_with(windows, &["known", "usual", "steady"])
}

/// The same with these checks alone.
fn layout_with(windows: Windows, checks: &[&str]) -> Arc<Layout> {
    let amount = || Some((Input::Column(3), DataType::Decimal128(18, 2)));
    let channel = Some((Input::Column(1), DataType::Utf8));
    let statistic = |name: &str, function, argument, data_type| StatisticInput {
        name: name.into(),
        function,
        argument,
        filter: None,
        data_type,
    };
    let column = |id, name: &str, data_type| SegmentColumn {
        id,
        name: name.into(),
        data_type,
        nullable: true,
    };
    let quantity = Some((Input::Column(4), DataType::Int64));
    let mut layout = Layout::new(
        "minute".into(),
        vec![
            column(0, "region", DataType::Int32),
            column(1, "channel", DataType::Utf8),
        ],
        2,
        windows,
        &[
            statistic("rows", AggregateFunction::Count, None, DataType::Int64),
            statistic(
                "var",
                AggregateFunction::VarSamp,
                amount(),
                DataType::Float64,
            ),
            statistic(
                "sum",
                AggregateFunction::Sum,
                amount(),
                DataType::Decimal128(38, 2),
            ),
            statistic(
                "pieces",
                AggregateFunction::Sum,
                quantity,
                DataType::Decimal128(38, 0),
            ),
            statistic(
                "least",
                AggregateFunction::Min,
                amount(),
                DataType::Decimal128(18, 2),
            ),
            statistic("last", AggregateFunction::Max, channel, DataType::Utf8),
            statistic(
                "amounts",
                AggregateFunction::CountDistinct,
                amount(),
                DataType::Int64,
            ),
            statistic(
                "middle",
                AggregateFunction::Quantile(500_000),
                amount(),
                DataType::Float64,
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
    let check = |name: &str, measure| CheckLayout {
        name: name.into(),
        value: Some(format!("{name}_value")),
        calendar: None,
        measure,
    };
    if checks.contains(&"known") {
        let measure = layout.add_completeness(completeness, 3, DataType::Decimal128(18, 2), None);
        layout.checks.push(check("known", measure));
    }
    let compared = [("usual", 2, 3), ("steady", 1, 2)].into_iter();
    for (name, of, previous) in compared.filter(|(name, ..)| checks.contains(name)) {
        let rule = VarianceRule {
            warn_beyond: Some(0.5),
            fail_beyond: Some(1.0),
            ..VarianceRule::z(previous)
        };
        let variance = Variance::new(rule, layout.windows, chrono_tz::Tz::UTC);
        layout
            .checks
            .push(check(name, WindowMeasure::Variance(variance, of)));
    }
    Arc::new(layout)
}

const SECOND: i64 = 1_000_000;

/// Region, channel, windows after the first that is open, amount.
type Row = (Option<i64>, u8, i64, Option<i64>);

/// An epoch: its rows, how far the watermark moves after it, and how many workers go on.
type Step = (Vec<Row>, i64, Option<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = prop_oneof![3 => (-500_i64..500).prop_map(Some), 1 => Just(None), 1 => any::<i64>().prop_map(Some)];
    let row = (proptest::option::of(0..3_i64), 0..2_u8, 0..4_i64, amount);
    let workers = proptest::option::weighted(0.4, 1..5_usize);
    vec((vec(row, 0..12), 0..150_000_000_i64, workers), 1..12)
}

fn segment(region: Option<i64>, channel: u8) -> Segment {
    let channel = ["web", ""][usize::from(channel)];
    Segment(Box::new([
        region.map_or(Value::Null, Value::Int),
        Value::Text(channel.into()),
    ]))
}

fn partial(layout: &Layout, amount: Option<i64>) -> Partial {
    let sum = |value| {
        let mut moments = Moments::default();
        moments.add(value);
        moments
    };
    let accumulators = layout.accumulators.iter().map(|plan| match plan.kind {
        Kind::Count => Accumulator::Count(i64::from(amount.is_some())),
        Kind::Sum => Accumulator::Sum(sum(Some(-3)).first),
        Kind::Moments => Accumulator::Moments(sum(amount.filter(|amount| *amount != 7))),
        Kind::Least => {
            Accumulator::Least(amount.map_or(Value::Null, |amount| Value::Wide(amount.into())))
        }
        Kind::Greatest => Accumulator::Greatest(Value::Text("é".repeat(3).into())),
        Kind::Distinct => {
            let values = amount.map(|amount| (Value::Wide(amount.into()), 1));
            Accumulator::Distinct(Box::new(Distinct::Exact(values.into_iter().collect())))
        }
        Kind::Sketch => {
            let counts = amount.map(|amount| (amount >> 50, 1));
            Accumulator::Sketch(Box::new(Sketch::of(0, counts)))
        }
    });
    let accumulators = accumulators.collect();
    Partial {
        rows: 1,
        accumulators,
    }
}

fn saved(tally: &Tally) -> Vec<u8> {
    let mut bytes = Vec::new();
    tally.save(&mut bytes).unwrap();
    bytes
}

/// Several workers, each with the segments that it owns.
struct Workers(Vec<Tally>, Vec<Series>);

/// What a worker has written: at which checkpoint, and what.
type Series = Vec<(usize, Vec<u8>)>;

impl Workers {
    fn new(layout: &Arc<Layout>, workers: usize) -> Self {
        let each = 0..workers;
        let tallies = each.map(|_| Tally::new(Arc::clone(layout)));
        Self(tallies.collect(), vec![Series::new(); workers])
    }

    /// Each writes all of its state at first, and then what changed; which is what all of it would be. Every `fold`th time it is folded.
    fn checkpoint(&mut self, number: usize, fold: usize) {
        for (tally, series) in self.0.iter_mut().zip(&mut self.1) {
            let mut bytes = Vec::new();
            if series.is_empty() {
                tally.save(&mut bytes).unwrap();
            } else {
                tally.save_changes(&mut bytes).unwrap();
            }
            tally.begin_changes();
            assert_eq!(tally.changed(), 0);
            series.push((number, bytes));
            let whole = saved(tally);
            let mut again = Tally::new(Arc::clone(&tally.layout));
            let parts: Vec<&[u8]> = series.iter().map(|(_, bytes)| bytes.as_slice()).collect();
            for part in &parts {
                again.load(part, |_| true).unwrap();
            }
            assert_eq!(saved(&again), whole);
            assert_eq!(
                again.open().1,
                again
                    .segments
                    .in_order()
                    .iter()
                    .map(|id| again.segments.get(*id).open.iter().count())
                    .sum::<usize>()
            );
            let folded = super::fold(&tally.layout, &parts).unwrap();
            assert_eq!(folded, whole);
            if number.is_multiple_of(fold) {
                *series = vec![(number, folded)];
            }
        }
    }

    fn owner(&self, segment: &Segment) -> usize {
        let workers = u64::try_from(self.0.len()).unwrap();
        usize::try_from(segment.placement() % workers).unwrap()
    }

    fn apply(&mut self, segment: Segment, start: i64, partial: Partial, epoch: Epoch) {
        let owner = self.owner(&segment);
        self.0[owner].apply_pane(segment, start, partial, epoch);
    }

    /// As if the job was stopped behind a checkpoint and went on with so many.
    fn go_on_with(&mut self, workers: usize, number: usize, fold: usize) {
        self.checkpoint(number, fold);
        let mut files: Series = self.1.concat();
        files.sort_by_key(|(number, _)| *number);
        let next = Self::new(&self.0[0].layout, workers);
        let loaded = (0..workers).map(|worker| {
            let mut tally = Tally::new(Arc::clone(&next.0[0].layout));
            for (_, file) in &files {
                tally
                    .load(file, |segment| next.owner(segment) == worker)
                    .unwrap();
            }
            tally
        });
        self.0 = loaded.collect();
        self.1 = next.1.clone();
    }

    fn close_until(&mut self, watermark: i64) -> Vec<String> {
        let closed = self.0.iter_mut().map(|tally| tally.close_until(watermark));
        sorted(closed.flat_map(|closed| all_lines(&closed)).collect())
    }
}

fn all_lines(closed: &Closed) -> Vec<String> {
    let batches = closed.windows.iter().chain([&closed.verdicts]);
    batches.flat_map(batch_lines).collect()
}

fn batch_lines(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    lines(batch, &names)
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

proptest! {
    #[test]
    fn state_goes_on_with_any_number_of_workers(
        steps in steps(),
        fold in 2..5_usize,
        checks in prop::sample::select(vec![&["known", "usual", "steady"][..], &["known"], &[]]),
        windows in prop::sample::select(vec![Windows::Fixed(60_000_000), Windows::Days(1, Tz::Europe__Madrid)]),
        begin in prop::sample::select(vec![-200_000_000_i64, 1_774_738_800_000_000]),
    ) {
        let layout = layout_with(windows, checks);
        let scale = if matches!(windows, Windows::Fixed(_)) { 1 } else { 1_440 };
        let mut quiet = Workers::new(&layout, 1);
        let mut cut = Workers::new(&layout, 2);
        let mut bounded = Tally::new(Arc::clone(&layout));
        let mut backward = Tally::new(Arc::clone(&layout));
        let mut watermark = begin;
        let mut all = Vec::new();
        for (epoch, (rows, moved, workers)) in (1..).zip(steps) {
            let start = |ahead: i64| windows.start(windows.number(watermark) + ahead);
            for (region, channel, ahead, amount) in &rows {
                let (segment, start) = (segment(*region, *channel), start(*ahead));
                quiet.apply(segment.clone(), start, partial(&layout, *amount), epoch);
                cut.apply(segment.clone(), start, partial(&layout, *amount), epoch);
                bounded.apply(segment, start, partial(&layout, *amount), epoch);
            }
            for (region, channel, ahead, amount) in rows.iter().rev() {
                backward.apply(segment(*region, *channel), start(*ahead), partial(&layout, *amount), epoch);
            }
            watermark += moved * scale;
            let closed = quiet.close_until(watermark);
            prop_assert_eq!(&cut.close_until(watermark), &closed);
            all.extend(closed);
            backward.close_until(watermark);
            let bytes = saved(&quiet.0[0]);
            prop_assert_eq!(&saved(&backward), &bytes);
            let mut again = Tally::new(Arc::clone(&layout));
            again.load(&bytes, |_| true).unwrap();
            prop_assert_eq!(&saved(&again), &bytes);
            prop_assert_eq!(again.closed_until(), watermark);
            let number = usize::try_from(epoch).unwrap();
            if let Some(workers) = workers {
                cut.go_on_with(workers, number, fold);
            } else if number % 3 > 0 {
                cut.checkpoint(number, fold);
            }
        }
        let closed = quiet.close_until(i64::MAX);
        prop_assert_eq!(&cut.close_until(i64::MAX), &closed);
        all.extend(closed);
        // Windows that close one by one are what closes all at once.
        prop_assert_eq!(sorted(all_lines(&bounded.close())), sorted(all));
    }

    #[test]
    fn changed_bytes_are_refused_and_do_no_harm(seed in any::<u64>(), places in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let bytes = some_state(seed);
        let layout = layout(Windows::Fixed(60_000_000));
        let mut changed = bytes.clone();
        for (place, byte) in &places {
            changed[place.index(bytes.len())] = *byte;
        }
        if changed != bytes {
            prop_assert!(Tally::new(Arc::clone(&layout)).load(&changed, |_| true).is_err());
        }
        // The same with a check value that agrees: whatever it is taken for, nothing panics.
        let content = changed.len() - 8;
        let check = check_of(&changed[..content]);
        changed[content..].copy_from_slice(&check.to_le_bytes());
        let mut tally = Tally::new(layout);
        if tally.load(&changed, |_| true).is_ok() {
            let again = saved(&tally);
            Tally::new(Arc::clone(&tally.layout)).load(&again, |_| true).unwrap();
        }
    }
}

/// A tally with open windows, and baselines of closed ones.
fn some_tally(seed: u64) -> Tally {
    let layout = layout(Windows::Fixed(60_000_000));
    let mut tally = Tally::new(Arc::clone(&layout));
    for number in 0..40_i64 {
        let amount = (number % 5 != 0).then(|| seed.cast_signed() >> (number % 60));
        let segment = segment(
            (number % 3 != 0).then_some(number % 4),
            u8::from(number % 2 == 0),
        );
        tally.apply(
            segment,
            number / 5 * 60_000_000,
            partial(&layout, amount),
            9,
        );
    }
    tally.close_until(300_000_000);
    tally
}

fn some_state(seed: u64) -> Vec<u8> {
    saved(&some_tally(seed))
}

/// The newest event per region, by minute.
fn newest_layout() -> Arc<Layout> {
    let data_type = timestamp_type();
    let statistic = StatisticInput {
        name: "newest".into(),
        function: AggregateFunction::Max,
        argument: Some((Input::Column(1), data_type.clone())),
        filter: None,
        data_type,
    };
    let segment = SegmentColumn {
        id: 0,
        name: "region".into(),
        data_type: DataType::Utf8,
        nullable: true,
    };
    Arc::new(Layout::new(
        "newest".into(),
        vec![segment],
        1,
        Windows::Fixed(60_000_000),
        &[statistic],
    ))
}

/// A tally of it: one segment, with events of these times and epochs.
fn newest_tally(events: &[(i64, Epoch)]) -> Tally {
    let mut tally = Tally::new(newest_layout());
    for (time, epoch) in events {
        let partial = Partial {
            rows: 1,
            accumulators: Box::new([Accumulator::Greatest(Value::Int(*time))]),
        };
        let segment = Segment(Box::new([Value::Text("es".into())]));
        tally.apply(segment, 0, partial, *epoch);
    }
    tally
}

fn error(layout: &Arc<Layout>, bytes: &[u8]) -> String {
    let loaded = Tally::new(Arc::clone(layout)).load(bytes, |_| true);
    loaded.unwrap_err().to_string()
}

#[test]
fn bytes_that_end_early_are_refused() {
    let layout = layout(Windows::Fixed(60_000_000));
    let bytes = some_state(5);
    for length in 0..bytes.len() {
        error(&layout, &bytes[..length]);
        // With a check value that agrees.
        let mut cut = bytes[..length].to_vec();
        if length > 0 {
            cut.extend_from_slice(&check_of(&cut).to_le_bytes());
            let expected = length == bytes.len() - 8;
            let loaded = Tally::new(Arc::clone(&layout)).load(&cut, |_| true);
            assert_eq!(loaded.is_ok(), expected, "{length}");
        }
    }
}

#[test]
fn refusals_say_what_is_wrong() {
    let layout = layout(Windows::Fixed(60_000_000));
    let bytes = some_state(5);
    assert_eq!(
        error(&layout, &[]),
        "the state ends at byte 0, before its end"
    );
    let mut changed = bytes.clone();
    changed[0] = 9;
    assert_eq!(
        error(&layout, &changed),
        "the state is of version 9 of its format; this build reads version 5"
    );
    changed = bytes.clone();
    changed[60] ^= 1;
    let refused = error(&layout, &changed);
    assert!(
        refused.starts_with("the bytes of the state give the check value "),
        "{refused}"
    );
    assert_eq!(
        error(&newest_layout(), &bytes),
        "the state is of \"minute per [region int, channel varchar], windows of 60000000 µs, keeping [Moments of decimal(18,2) column 3, \
         Sum of bigint column 4, Least of decimal(18,2) column 3, Greatest of varchar column 1, Distinct of decimal(18,2) column 3, Sketch of decimal(18,2) column 3, \
         Count of decimal(18,2) column 3], comparing [usual with 3 previous, steady with 2 previous]\", \
         and this job keeps \"newest per [region varchar], windows of 60000000 µs, keeping [Greatest of timestamp column 1], comparing []\""
    );
    let mut tally = Tally::new(layout);
    tally.load(&bytes, |_| true).unwrap();
    assert_eq!(
        tally.load(&bytes, |_| true).unwrap_err().to_string(),
        "the segment \"region=null, channel=\" is in the state twice"
    );
}

#[test]
fn the_form_of_saved_state_is_pinned() {
    // A segment: not null, two bytes of text; one window from 0, of epoch 300, with two rows; not null, −65. The end.
    let tally = newest_tally(&[(-65, 300), (-66, 299)]);
    let bytes = saved(&tally);
    let (shape, words) = (
        shape(&tally.layout),
        tally.layout.words(&tally.layout.accumulators[0]),
    );
    // Version, content and shape; one accumulator, no variance check, none held back; closed until; no ends.
    let head = 3 + shape.len() + 2 + words.len() + 2 + 10 + 1;
    let (state, check) = bytes[head..].split_at(bytes.len() - head - 8);
    assert_eq!(
        state,
        [1, 1, 2, b'e', b's', 1, 0, 0xAC, 2, 4, 1, 0x81, 1, 0]
    );
    assert_eq!(check, check_of(&bytes[..bytes.len() - 8]).to_le_bytes());
    // Versions before it did not say whether it has ends, the first of them nothing of its content.
    for version in [4, 3, 2] {
        let mut before = bytes[..bytes.len() - 8].to_vec();
        before[0] = version;
        before.remove(head - 1);
        if version == 2 {
            before.remove(1);
        }
        before.extend_from_slice(&check_of(&before).to_le_bytes());
        let mut again = Tally::new(Arc::clone(&tally.layout));
        again.load(&before, |_| true).unwrap();
        assert_eq!(saved(&again), bytes, "{version}");
    }
}

#[test]
fn where_the_data_begin_is_not_known_of_state_that_does_not_say() {
    let layout = layout(Windows::Fixed(60_000_000));
    let asking = Arc::new(Layout {
        asks_ends: true,
        ..Layout::clone(&layout)
    });
    let mut tally = Tally::new(Arc::clone(&layout));
    tally.apply(segment(Some(7), 1), 0, partial(&layout, Some(1)), 1);
    let mut again = Tally::new(Arc::clone(&asking));
    again.load(&saved(&tally), |_| true).unwrap();
    let ends = |first, last| Ends { first, last };
    again.reach(ends(70, 80));
    assert_eq!(again.ends, ends(i64::MIN, 80));
    // Of state that says, all workers know the same.
    let mut first = Tally::new(Arc::clone(&asking));
    first.reach(ends(70, 80));
    let mut next = Tally::new(asking);
    next.load(&saved(&first), |_| true).unwrap();
    next.reach(ends(75, 90));
    assert_eq!(next.ends, ends(70, 90));
}

#[test]
fn baselines_of_the_version_before_go_on() {
    let layout = layout(Windows::Fixed(60_000_000));
    let whole = {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        out.byte(WITHOUT_STARTS);
        out.byte(0);
        out.text(&shape(&layout));
        out.count(layout.accumulators.len());
        for accumulator in &layout.accumulators {
            out.text(&layout.words(accumulator));
        }
        let compared: Vec<_> = variances(&layout).collect();
        out.count(compared.len());
        for (name, variance) in &compared {
            out.text(name);
            out.count(variance.most());
        }
        out.count(0);
        out.int(60_000_000);
        out.byte(SEGMENT);
        segment(Some(7), 1)
            .0
            .iter()
            .for_each(|value| out.value(value));
        out.count(0);
        for _ in &compared {
            out.count(2);
            out.double(1.0);
            out.double(3.0);
        }
        out.byte(END);
        out.finish().unwrap();
        bytes
    };
    let mut tally = Tally::new(Arc::clone(&layout));
    tally.load(&whole, |_| true).unwrap();
    let id = tally.segments.find(&segment(Some(7), 1)).unwrap();
    let mut baseline = tally.segments.get(id).baselines[0].clone();
    let (_, variance) = variances(&layout).next().unwrap();
    let judged = variance.judge(Some(2.0), 60_000_000, &mut baseline);
    assert_eq!((judged.baseline, judged.value), (Some(2.0), Some(0.0)));
    // What is written of it now has starts, and comes back the same.
    let mut again = Tally::new(layout);
    again.load(&saved(&tally), |_| true).unwrap();
    assert_eq!(saved(&again), saved(&tally));
}

#[test]
fn what_is_no_series_is_not_folded() {
    let mut tally = some_tally(5);
    let whole = saved(&tally);
    tally.begin_changes();
    let mut changes = Vec::new();
    tally.save_changes(&mut changes).unwrap();
    let layout = Arc::clone(&tally.layout);
    let refused = |series: &[&[u8]]| super::fold(&layout, series).unwrap_err().to_string();
    let (one, two): (&[u8], &[u8]) = (&whole, &changes);
    for series in [&[][..], &[two], &[one, one], &[two, one]] {
        let refused = refused(series);
        assert!(
            refused.ends_with("it is not whole state with changes behind it"),
            "{refused}"
        );
    }
    assert_eq!(super::fold(&layout, &[&whole, &changes]).unwrap(), whole);
    let other = saved(&newest_tally(&[(5, 3)]));
    assert!(refused(&[&whole, &other]).contains("and this job keeps"));
    changes[40] ^= 1;
    assert!(refused(&[&whole, &changes]).contains("check value"));
}

#[test]
fn windows_whose_rows_were_taken_back_are_not_saved() {
    let layout = layout(Windows::Fixed(60_000_000));
    let mut layout = Layout::clone(&layout);
    layout
        .accumulators
        .retain(|plan| plan.kind == Kind::Moments);
    layout.statistics.truncate(1);
    layout.checks.clear();
    let layout = Arc::new(layout);
    let mut tally = Tally::new(Arc::clone(&layout));
    let empty = saved(&tally);
    let mut back = partial(&layout, Some(3));
    tally.apply(segment(None, 0), 0, back.clone(), 1);
    back.negate();
    tally.apply(segment(None, 0), 0, back, 2);
    assert_eq!(saved(&tally), empty);
}

/// Verdicts of windows, by start in minutes and check, with the value that the window's row has for `known`.
fn judged(tally: &mut Tally, minutes: i64) -> Vec<String> {
    let closed = tally.close_until(minutes * 60 * SECOND);
    let mut lines = lines(&closed.verdicts, &["window_start", "check"]);
    for rows in &closed.windows {
        let known = lines_of_known(rows);
        lines.extend(known);
    }
    sorted(lines)
}

fn lines_of_known(rows: &RecordBatch) -> Vec<String> {
    lines(rows, &["window_start", "rows", "known_value"])
}

#[test]
fn checks_that_are_added_begin_empty_and_judge_no_window_that_had_rows() {
    let minute = 60 * SECOND;
    let before = layout_with(Windows::Fixed(minute), &["usual"]);
    let after = layout(Windows::Fixed(minute));
    let mut first = Tally::new(Arc::clone(&before));
    for start in [0, 1, 2] {
        first.apply(
            segment(Some(1), 0),
            start * minute,
            partial(&before, Some(5)),
            1,
        );
    }
    // Of another segment, and with no more rows to come: it holds the check back all the same.
    first.apply(
        segment(Some(2), 0),
        3 * minute,
        partial(&before, Some(5)),
        1,
    );
    first.close_until(2 * minute);
    let mut second = Tally::new(Arc::clone(&after));
    second.load(&saved(&first), |_| true).unwrap();
    for start in [2, 3, 4] {
        second.apply(
            segment(Some(1), 0),
            start * minute,
            partial(&after, Some(5)),
            2,
        );
    }
    let told = judged(&mut second, 3);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|line| !line.ends_with("known")), "{told:?}");
    assert_eq!(told[0], "1970-01-01T00:02:00Z 2 -");
    // It is known to later lives, too.
    let mut third = Tally::new(Arc::clone(&after));
    third.load(&saved(&second), |_| true).unwrap();
    let told = judged(&mut third, 4);
    assert!(told.iter().all(|line| !line.ends_with("known")), "{told:?}");
    let told = judged(&mut third, 5);
    assert!(told.iter().any(|line| line.ends_with("known")), "{told:?}");
    // What is not needed any more is not kept.
    assert_eq!(saved(&third), {
        let mut again = Tally::new(Arc::clone(&after));
        again.load(&saved(&third), |_| true).unwrap();
        again.held_back.fill(i64::MIN);
        saved(&again)
    });
    // The other way something would be dropped.
    let refused = error(&before, &saved(&third));
    assert!(
        refused.contains("and this job keeps \"minute per "),
        "{refused}"
    );
}

#[test]
fn many_windows_of_one_segment_come_back() {
    let layout = layout(Windows::Fixed(60_000_000));
    let mut tally = Tally::new(Arc::clone(&layout));
    for number in 0..200_i64 {
        // Every window once, in no order.
        let start = number * 77 % 200 * 60_000_000;
        // An amount of 7 is taken for one that is too wide.
        let partial = partial(&layout, Some(number + 1_000));
        tally.apply(segment(None, 0), start, partial, 1);
    }
    assert_eq!(tally.open(), (1, 200));
    tally.close_until(100 * 60_000_000 + 1);
    let mut again = Tally::new(layout);
    again.load(&saved(&tally), |_| true).unwrap();
    assert_eq!(again.open(), (1, 100));
    let expected = all_lines(&tally.close());
    // A row, and verdicts of three checks.
    assert_eq!(expected.len(), 400);
    assert_eq!(all_lines(&again.close()), expected);
}

#[test]
fn statistics_of_any_size_come_back() {
    let amount = || Some((Input::Column(3), DataType::Int64));
    let statistic = |name: &str, function, data_type| StatisticInput {
        name: name.into(),
        function,
        argument: amount(),
        filter: None,
        data_type,
    };
    let layout = Arc::new(Layout::new(
        "minute".into(),
        Vec::new(),
        2,
        Windows::Fixed(60 * SECOND),
        &[
            statistic("unique", AggregateFunction::CountDistinct, DataType::Int64),
            statistic(
                "middle",
                AggregateFunction::Quantile(500_000),
                DataType::Float64,
            ),
            statistic(
                "most",
                AggregateFunction::Quantile(950_000),
                DataType::Float64,
            ),
        ],
    ));
    assert_eq!(
        layout.accumulators.len(),
        2,
        "quantiles share their buckets"
    );
    let rows = |from: i64, to: i64| {
        let mut reducer = crate::checks::Reducer::new(Arc::clone(&layout));
        let values: Vec<i64> = (from..to).collect();
        let count = values.len();
        let times =
            arrow_array::TimestampMicrosecondArray::from(vec![0; count]).with_timezone("UTC");
        let columns: [Option<arrow_array::ArrayRef>; 4] = [
            None,
            None,
            Some(Arc::new(times)),
            Some(Arc::new(arrow_array::Int64Array::from(values))),
        ];
        reducer.add(&columns, count, 0);
        reducer.drain()
    };
    for (last, unique) in [(200, "200"), (5_000, "near 5000")] {
        let mut tally = Tally::new(Arc::clone(&layout));
        let mut whole = Tally::new(Arc::clone(&layout));
        for (group, part) in rows(0, last / 2) {
            tally.apply(group.0, group.1, part, 1);
        }
        let mut again = Tally::new(Arc::clone(&layout));
        again.load(&saved(&tally), |_| true).unwrap();
        assert_eq!(saved(&again), saved(&tally));
        for (group, part) in rows(last / 4, last) {
            again.apply(group.0, group.1, part, 2);
        }
        for (group, part) in rows(0, last) {
            whole.apply(group.0, group.1, part, 2);
        }
        let (closed, at_once) = (again.close(), whole.close());
        let names = ["unique", "middle", "most"];
        let found = lines(&closed.windows[0], &names);
        let words: Vec<&str> = found[0].split(' ').collect();
        if unique == "200" {
            // Of 0..50, 50..100 twice and 100..200: places 125 and 238 of 250.
            assert_eq!(words, ["200", "87.0", "187.0"]);
            assert_eq!(closed.verdicts.num_rows(), 0);
        } else {
            assert_eq!(
                words[0],
                lines(&at_once.windows[0], &names)[0]
                    .split(' ')
                    .next()
                    .unwrap()
            );
            let number: i64 = words[0].parse().unwrap();
            assert!((4_750..5_250).contains(&number), "{number}");
            let said = lines(&closed.verdicts, &["check", "status", "expected"]);
            let expected = format!(
                "minute.unique measured {}",
                crate::checks::distinct::ESTIMATED
            );
            assert_eq!(said, [expected]);
        }
    }
}
