//! Windows that are corrected say, at every moment, what a tally over the rows so far would say that closes each window once.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::*;
use crate::checks::expected::Entry;
use crate::checks::layout::{ArrivalOf, ListPlan};
use crate::job::plan::ListedRows;

const MINUTE: i64 = 60 * SECOND;

/// An epoch: its rows, by windows before or behind the one that the watermark is in; how far the watermark moved before it; how many
/// workers go on behind it.
type Step = (Vec<Row>, i64, Option<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = prop_oneof![4 => (-50_i64..50).prop_map(Some), 1 => Just(None), 1 => any::<i64>().prop_map(Some)];
    let row = (proptest::option::of(0..2_i64), 0..2_u8, -7..3_i64, amount);
    let moved = prop_oneof![2 => Just(0), 4 => 0..100 * SECOND, 1 => 0..1_000 * SECOND];
    let workers = proptest::option::weighted(0.3, 1..5_usize);
    vec((vec(row, 0..8), moved, workers), 1..25)
}

/// The same, where windows that the data do not cover are left out of variance.
fn without_partial(layout: &Layout) -> Layout {
    let mut layout = layout.clone();
    for check in &mut layout.checks {
        if let WindowMeasure::Variance(variance, _) = &mut check.measure {
            let rule = VarianceRule {
                warn_beyond: Some(0.5),
                fail_beyond: Some(1.0),
                skip_partial: true,
                ..VarianceRule::z(variance.most())
            };
            *variance = Variance::new(rule, layout.windows, chrono_tz::Tz::UTC);
        }
    }
    layout.asks_ends = layout.checks.iter().any(CheckLayout::asks_ends);
    layout
}

fn corrected(checks: &[&str], within: i64, tells_changes: bool, strict: bool) -> Arc<Layout> {
    let mut layout = Layout::clone(&layout_with(Windows::Fixed(MINUTE), checks));
    layout.correct_within = Some(within);
    layout.tells_changes = tells_changes;
    for check in &mut layout.checks {
        if let (WindowMeasure::Variance(variance, _), true) = (&mut check.measure, strict) {
            let rule = VarianceRule {
                warn_beyond: Some(0.5),
                fail_beyond: Some(0.7),
                ..VarianceRule::z(variance.most())
            };
            *variance = Variance::new(rule, layout.windows, chrono_tz::Tz::UTC);
        }
    }
    Arc::new(layout)
}

/// What was said and not taken back: each line, without `final` and sign, and whether it is final.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing(BTreeMap<(String, bool), i32>);

impl Standing {
    fn take(&mut self, batch: &RecordBatch) {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = names
            .filter(|name| !["final", "sign"].contains(name))
            .collect();
        let finals = batch.column_by_name("final").map(AsArray::as_boolean);
        let signs = batch
            .column_by_name("sign")
            .map(AsArray::as_primitive::<Int32Type>);
        for (row, line) in lines(batch, &names).into_iter().enumerate() {
            let is_final = finals.is_none_or(|finals| finals.value(row));
            let count = self.0.entry((line, is_final)).or_default();
            *count += signs.map_or(1, |signs| signs.value(row));
        }
        self.0.retain(|_, count| *count != 0);
    }
}

/// What a tally says that takes all rows before it closes anything.
fn at_once(
    layout: &Arc<Layout>,
    rows: &[(Segment, i64, Partial, Epoch)],
    ends: Ends,
    watermark: i64,
) -> Closed {
    let mut layout = Layout::clone(layout);
    layout.correct_within = None;
    layout.tells_changes = false;
    let mut tally = Tally::new(Arc::new(layout));
    for (segment, start, partial, epoch) in rows {
        tally.apply(segment.clone(), *start, partial.clone(), *epoch);
    }
    tally.reach(ends);
    tally.close_until(watermark)
}

/// The same as what stands, where windows from `provisional` on are not final.
fn expected<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>, provisional: i64) -> Standing {
    use arrow_array::types::TimestampMicrosecondType;
    let mut standing = Standing::default();
    for batch in batches {
        let starts = batch.column_by_name("window_start").unwrap();
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = names
            .filter(|name| !["final", "sign"].contains(name))
            .collect();
        for (row, line) in lines(batch, &names).into_iter().enumerate() {
            standing
                .0
                .insert((line, starts.value(row) < provisional), 1);
        }
    }
    standing
}

impl Workers {
    /// As if the job was stopped and went on with so many, under another layout.
    fn go_on_as(&mut self, layout: &Arc<Layout>, workers: usize, number: usize) {
        self.checkpoint(number, 3);
        let mut files: Series = self.1.concat();
        files.sort_by_key(|(number, _)| *number);
        let mut next = Self::new(layout, workers);
        let owners = Self::new(layout, workers);
        for (worker, tally) in next.0.iter_mut().enumerate() {
            for (_, file) in &files {
                tally
                    .load(file, |segment| owners.owner(segment) == worker)
                    .unwrap();
            }
        }
        *self = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_stands_is_what_a_tally_says_of_the_rows_so_far(
        steps in steps(),
        within in 1..6 * MINUTE,
        tells_changes in any::<bool>(),
        checks in prop::sample::select(vec![&["known", "usual", "steady"][..], &["usual"], &["known"], &[]]),
        panes in 1..4_u32,
        skips_partial in any::<bool>(),
    ) {
        let mut layout = Layout::clone(&corrected(checks, within, tells_changes, false));
        if skips_partial {
            layout = without_partial(&layout);
        }
        layout.panes = panes;
        let layout = Arc::new(layout);
        let hop = i64::from(panes - 1) * MINUTE;
        let mut quiet = Workers::new(&layout, 1);
        let mut cut = Workers::new(&layout, 2);
        let mut watermark = 1_774_738_800_000_000;
        let (mut verdicts, mut windows) = (Standing::default(), Standing::default());
        let mut rows = Vec::new();
        let mut all_ends = Ends::default();
        for (epoch, (came, moved, workers)) in (1..).zip(steps) {
            watermark += moved;
            let mut ends = Ends::default();
            let takes_from = quiet.0[0].takes_from(watermark);
            prop_assert_eq!(takes_from, layout.windows.start(layout.windows.number(watermark - within)));
            let (open_from, mut late) = (quiet.0[0].open_from, 0);
            for (region, channel, ahead, amount) in &came {
                let start = layout.windows.start(layout.windows.number(watermark) + ahead);
                if start < takes_from {
                    continue;
                }
                let (of, part) = (segment(*region, *channel), partial(&layout, *amount));
                let time = start + 20 * SECOND;
                ends = ends.and(Ends { first: time, last: time });
                quiet.apply(of.clone(), start, part.clone(), epoch);
                cut.apply(of.clone(), start, part.clone(), epoch);
                // A row is late once, in however many windows.
                late += u64::from(start - hop < open_from);
                // Each window that has the row begins with its pane or one before.
                let starts = (0..i64::from(panes)).map(|before| start - before * MINUTE);
                rows.extend(starts.map(|start| (of.clone(), start, part.clone(), epoch)));
            }
            all_ends = all_ends.and(ends);
            quiet.0.iter_mut().chain(&mut cut.0).for_each(|tally| tally.reach(ends));
            prop_assert_eq!(quiet.0[0].take_corrected(), late);
            let closed = quiet.0[0].close_until(watermark);
            prop_assert_eq!(cut.close_until(watermark), sorted(all_lines(&closed)));
            verdicts.take(&closed.verdicts);
            closed.windows.iter().for_each(|table| windows.take(table));
            let now = at_once(&layout, &rows, all_ends, watermark);
            prop_assert_eq!(&verdicts, &expected([&now.verdicts], takes_from - hop));
            let mut table = expected(&now.windows, takes_from - hop);
            if !tells_changes {
                table.0.retain(|(_, is_final), _| *is_final);
            }
            prop_assert_eq!(&windows, &table);
            let number = usize::try_from(epoch).unwrap();
            if let Some(workers) = workers {
                cut.go_on_with(workers, number, 3);
            } else if number % 3 > 0 {
                cut.checkpoint(number, 3);
            }
        }
        // What the watermark has passed is whole, which a tally of all rows at once is told by the data alone.
        let passed = Ends { first: i64::MAX, last: watermark };
        all_ends = all_ends.and(passed);
        quiet.0.iter_mut().chain(&mut cut.0).for_each(|tally| tally.reach(passed));
        let closed = quiet.0[0].close_until(i64::MAX);
        prop_assert_eq!(cut.close_until(i64::MAX), sorted(all_lines(&closed)));
        verdicts.take(&closed.verdicts);
        closed.windows.iter().for_each(|table| windows.take(table));
        let all = at_once(&layout, &rows, all_ends, i64::MAX);
        prop_assert_eq!(&verdicts, &expected([&all.verdicts], i64::MAX));
        prop_assert_eq!(&windows, &expected(&all.windows, i64::MAX));
        prop_assert_eq!(quiet.0[0].open().1, 0);
    }

    #[test]
    fn other_thresholds_and_checks_in_a_later_life_leave_one_final_verdict_each(steps in steps(), within in 1..6 * MINUTE) {
        let lives = [
            corrected(&["known", "usual", "steady"], within, true, false),
            corrected(&["known", "usual", "steady"], within, true, true),
        ];
        let mut watermark = 1_774_738_800_000_000;
        let mut workers = Workers::new(&lives[0], 1);
        let mut verdicts = Standing::default();
        let mut segments = std::collections::BTreeSet::new();
        for (epoch, (came, moved, next)) in (1..).zip(steps) {
            watermark += moved;
            let layout = Arc::clone(&workers.0[0].layout);
            let takes_from = workers.0[0].takes_from(watermark);
            for (region, channel, ahead, amount) in &came {
                let start = layout.windows.start(layout.windows.number(watermark) + ahead);
                if start >= takes_from {
                    segments.insert((segment(*region, *channel), start));
                    workers.apply(segment(*region, *channel), start, partial(&layout, *amount), epoch);
                }
            }
            for tally in &mut workers.0 {
                verdicts.take(&tally.close_until(watermark).verdicts);
            }
            prop_assert!(verdicts.0.values().all(|count| *count == 1), "{verdicts:?}");
            if let Some(next) = next {
                workers.go_on_as(&lives[usize::try_from(epoch % 2).unwrap()], next, usize::try_from(epoch).unwrap());
            }
        }
        for tally in &mut workers.0 {
            verdicts.take(&tally.close_until(i64::MAX).verdicts);
        }
        prop_assert!(verdicts.0.iter().all(|((_, is_final), count)| *is_final && *count == 1), "{verdicts:?}");
        let of_known = verdicts.0.keys().filter(|(line, _)| line.starts_with("known ")).count();
        prop_assert_eq!(of_known, segments.len());
    }
}

#[test]
fn a_window_that_only_a_list_knows_is_told_corrected_and_settled_across_lives() {
    let mut layout = Layout::clone(&corrected(&["known"], 10 * MINUTE, false, false));
    layout.lists.push(ListPlan::Lookup(ListedRows {
        lookup: 0,
        segment: vec![0, 1],
        rows: None,
        at: None,
    }));
    let came = Completeness {
        min_rows: 1,
        warn_below: Some(1.0),
        fail_below: None,
        is_small: false,
        skips_partial: false,
    };
    layout.checks.push(CheckLayout {
        name: "came".into(),
        value: None,
        calendar: None,
        measure: WindowMeasure::Arrival(came, None, ArrivalOf::Listed(0)),
    });
    layout.asks_ends = true;
    let layout = Arc::new(layout);
    let (listed, other) = (segment(Some(1), 0), segment(Some(2), 1));
    let begin = || {
        let mut tally = Tally::new(Arc::clone(&layout));
        tally.expect(Entry {
            list: 0,
            segment: listed.clone(),
            start: None,
            rows: 1,
            entries: 1,
        });
        tally
    };
    let mut tally = begin();
    let day = 1_774_738_800_000_000;
    for minute in [0, 3] {
        tally.apply(
            other.clone(),
            day + minute * MINUTE,
            partial(&layout, Some(1)),
            1,
        );
    }
    tally.reach(Ends {
        first: day + 1,
        last: day + 3 * MINUTE + 2,
    });
    let mut verdicts = Standing::default();
    verdicts.take(&tally.close_until(day + 4 * MINUTE).verdicts);
    let of_list = |verdicts: &Standing, value: &str| {
        let lines = verdicts.0.iter();
        let lines = lines.filter(|((line, _), count)| {
            assert_eq!(**count, 1, "{line}");
            line.starts_with("came region=1") && line.contains(value)
        });
        lines
            .map(|((_, is_final), _)| *is_final)
            .collect::<Vec<bool>>()
    };
    assert_eq!(of_list(&verdicts, " warn 0.0 0 1 "), [false; 4]);
    // Another life has what was said, and the list from its look-up.
    let mut again = begin();
    again.load(&saved(&tally), |_| true).unwrap();
    assert_eq!(again.close_until(day + 4 * MINUTE).verdicts.num_rows(), 0);
    again.apply(
        listed.clone(),
        day + 2 * MINUTE,
        partial(&layout, Some(1)),
        2,
    );
    verdicts.take(&again.close_until(day + 4 * MINUTE).verdicts);
    assert_eq!(of_list(&verdicts, " warn 0.0 0 1 "), [false; 3]);
    assert_eq!(of_list(&verdicts, " pass 1.0 1 1 "), [false; 1]);
    verdicts.take(&again.close_until(i64::MAX).verdicts);
    assert_eq!(of_list(&verdicts, " warn 0.0 0 1 "), [true; 3]);
    assert_eq!(of_list(&verdicts, " pass 1.0 1 1 "), [true; 1]);
}
