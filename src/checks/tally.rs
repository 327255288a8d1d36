//! State of a window: merged partials by segment, closed into tables and verdicts.
//!
//! ```text
//!  apply ──> segments ─ open windows ── close_until(watermark) ──> windows.NAME, verdicts    by segment, then by time
//!  (partial)    │   └── baselines  <──────────┘ outlive their windows
//!               └── due: the first open window of each segment, in order of time
//!                   └── corrected: what was said of closed windows that late rows may change
//! ```
//!
//! - A window closes once, when the watermark has passed its end, and is forgotten. Windows of a segment close in order of
//!   time, so a baseline is always the windows before, whether they close one by one or all at the end of a bounded run
//!   (`saved::tests`).
//! - With `correct_within` a window is settled that much later: until then it takes late rows, and what they change is taken back and said
//!   anew ([`correct`]).
//! - A segment is owned by one worker (its hash says which), so nothing is judged twice.
//! - What is due is found without walking what is open: a segment's windows close in order, so its first one says when it is
//!   asked next.
//! - All of it can be [saved](Tally::save), and [loaded](Tally::load) by any number of workers.

mod changed;
mod correct;
mod judge;
mod open;
pub(in crate::checks) mod saved;
mod segments;
mod table;
mod told;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use differential_dataflow::difference::Semigroup;

use crate::record::Epoch;

use super::ends::Ends;
use super::expected::{Entry, Lists};
use super::layout::Layout;
use super::stats::Partial;
use super::value::Segment;
use super::variance::{Baseline, Variance};
use changed::Changed;
use correct::Corrected;
use judge::{Asked, judge_window};
use open::Window;
use segments::{SegmentId, Segments};
use told::Told;

pub use saved::{Broken, fold};
pub use table::window_schema;

/// The windows of the segments that this worker owns.
///
/// Cost: for each open window a [`Partial`] and some 40 bytes; for each segment some 100 bytes, its values, and for each
/// variance check its last windows, 16 bytes each, for good. A million windows with SPEC's `minute` statistics (three accumulators,
/// no checks) are 300 MiB, and 400 where each is of another segment (`benches/statistics.rs`). With corrections closed windows stay for
/// `correct_within`, each with what was said of it: some 130 bytes a verdict; and each segment has two baselines a check.
#[derive(Debug)]
pub struct Tally {
    layout: Arc<Layout>,
    schema: SchemaRef,
    segments: Segments,
    /// Open windows of all segments.
    windows: usize,
    /// Start of the first open window of each segment that has one.
    due: BTreeSet<(i64, SegmentId)>,
    /// Windows that end here or before are closed.
    closed_until: i64,
    /// Start of the first window that is not closed.
    open_from: i64,
    /// Start of the first window that is not final; without corrections windows are final as they close.
    final_until: i64,
    /// Of a layout whose windows are corrected.
    corrected: Option<Corrected>,
    /// For each check the start up to which windows are not judged by it: rows of them came before it was there, and were not counted.
    held_back: Box<[i64]>,
    /// Where the data begin and end, where that is asked.
    ends: Ends,
    /// Which rows should come.
    lists: Lists,
    /// What is to be written of it next.
    changed: Changed,
}

/// What closing gives.
#[derive(Debug)]
pub struct Closed {
    /// The rows of `windows.NAME` in order of segment and start, of [`window_schema`].
    pub windows: Vec<RecordBatch>,
    /// The rows of `verdicts`, of [`super::verdict::schema`].
    pub verdicts: RecordBatch,
}

impl Tally {
    /// No rows yet.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self {
            schema: window_schema(&layout),
            held_back: vec![i64::MIN; layout.checks.len()].into(),
            segments: Segments::default(),
            windows: 0,
            due: BTreeSet::new(),
            closed_until: i64::MIN,
            open_from: i64::MIN,
            final_until: i64::MIN,
            corrected: layout.correct_within.map(|_| Corrected::new(&layout)),
            lists: Lists::new(layout.lists.len()),
            layout,
            ends: Ends::default(),
            changed: Changed::default(),
        }
    }

    /// Segments that are kept, and windows that are open.
    pub fn open(&self) -> (usize, usize) {
        (self.segments.len(), self.windows)
    }

    /// The time in microseconds up to which windows are closed: those that end there or before take no more rows.
    pub fn closed_until(&self) -> i64 {
        self.closed_until
    }

    /// Adds a difference to the window of `segment` that starts at `start`.
    ///
    /// A window whose rows were all taken back stays until it closes, and gives nothing then. One that is closed and not final yet is judged
    /// anew by the next [`close_until`](Self::close_until).
    ///
    /// # Panics
    ///
    /// Where the window is final: its row is written, so its rows had to be refused as too late, or left out.
    pub fn apply(&mut self, segment: Segment, start: i64, partial: Partial, epoch: Epoch) {
        let id = self.segments.id(segment);
        self.changed.note(id);
        let open = &mut self.segments.get_mut(id).open;
        if let Some(window) = open.get_mut(start) {
            window.partial.plus_equals(&partial);
            window.epoch = window.epoch.max(epoch);
        } else {
            assert!(
                start >= self.final_until,
                "epoch {epoch} has rows of {} for its window from {start} to {} µs, which is closed: all up to {} µs are",
                self.layout.name,
                self.layout.end(start),
                self.closed_until
            );
            if self.corrected.is_none() {
                let first = open.first().map(|(first, _)| first);
                if first.is_none_or(|first| start < first) {
                    if let Some(first) = first {
                        self.due.remove(&(first, id));
                    }
                    self.due.insert((start, id));
                }
            }
            open.insert(start, Window { partial, epoch });
            self.windows += 1;
        }
        if let Some(corrected) = &mut self.corrected {
            corrected.came(id, start, self.open_from);
        }
    }

    /// Data were seen from the first of these times up to the last, of any segment. Where windows are judged again, those are that began before
    /// the data did as far as was known.
    pub fn reach(&mut self, ends: Ends) {
        let before = self.ends;
        self.ends = before.and(ends);
        if before.is_some()
            && self.ends.first < before.first
            && let Some(corrected) = &mut self.corrected
        {
            for id in self.segments.in_order() {
                corrected.judge_again(id);
            }
        }
    }

    /// Rows should come, or should not any more, of a segment that is this worker's.
    pub fn expect(&mut self, entry: Entry) {
        self.lists.add(entry);
    }

    /// Opens the windows that should have rows and end by `watermark`, where it does not do so already.
    fn open_listed(&mut self, watermark: i64) {
        let Some((from, until)) = self.between(watermark).filter(|_| !self.lists.is_empty()) else {
            return;
        };
        let layout = Arc::clone(&self.layout);
        for start in starts(&layout, from, until) {
            for segment in self.lists.segments(start) {
                // It covers rows of no epoch.
                self.apply(segment, start, layout.no_rows(), 0);
            }
        }
    }

    /// From which start on, and up to which, windows close at `watermark` that are between the ends of the data; `None` where none does.
    fn between(&self, watermark: i64) -> Option<(i64, i64)> {
        if !self.layout.asks_ends || !self.ends.is_some() {
            return None;
        }
        let of = |time: i64| self.layout.windows.start(self.layout.windows.number(time));
        let last = of(self.ends.last.saturating_sub(1));
        let first = match self.ends.first {
            // They are known from some time on: then windows closed before.
            i64::MIN if self.open_from == i64::MIN => last,
            i64::MIN => self.open_from,
            first => self.layout.windows_of(of(first)).next().unwrap_or(last),
        };
        let until = if watermark == i64::MAX {
            self.layout.windows.end(last)
        } else {
            self.layout.open_from(watermark)
        };
        let from = first.max(self.open_from);
        (from < until).then_some((from, until))
    }

    /// Adds a difference to all windows that have the pane of `segment` which starts at `pane`.
    ///
    /// Cost: that of [`apply`](Self::apply) for each.
    pub fn apply_pane(&mut self, segment: Segment, pane: i64, partial: Partial, epoch: Epoch) {
        if let Some(corrected) = &mut self.corrected
            && let Some(first) = self.layout.windows_of(pane).next()
            && first < self.open_from
        {
            corrected.count(partial.rows);
        }
        if self.layout.panes > 1 {
            let layout = Arc::clone(&self.layout);
            for start in layout.windows_of(pane).filter(|start| *start != pane) {
                self.apply(segment.clone(), start, partial.clone(), epoch);
            }
        }
        self.apply(segment, pane, partial, epoch);
    }

    /// Start of the first pane whose rows of an epoch which sees this watermark are taken: windows with earlier ones are final then, whether
    /// they were settled already or are at the end of the epoch.
    pub fn takes_from(&self, watermark: i64) -> i64 {
        let watermark = watermark.max(self.closed_until);
        let windows = self.layout.windows;
        windows.start(windows.number(final_mark(&self.layout, watermark)))
    }

    /// Closes all windows that have rows, for good; the tally is then empty.
    pub fn close(&mut self) -> Closed {
        let closed = self.close_until(i64::MAX);
        self.segments = Segments::default();
        if let Some(corrected) = &mut self.corrected {
            corrected.clear();
        }
        closed
    }

    /// Closes the windows that end at `watermark` (in microseconds) or before, and forgets those that are final. Segments stay for the
    /// sake of their baselines only.
    ///
    /// A watermark before an earlier one closes nothing.
    ///
    /// Cost: that of the windows it closes; nothing for those that stay open. Where windows are expected to be as earlier ones, closing one costs
    /// all segments. With corrections each window is judged again when it becomes
    /// final, and a late row costs all closed windows of its segment.
    pub fn close_until(&mut self, watermark: i64) -> Closed {
        self.open_listed(watermark);
        if self.corrected.is_some() {
            return self.revise_until(watermark);
        }
        // Where windows are expected by those before them, all segments that have any are looked at.
        let fills = self
            .layout
            .checks
            .iter()
            .any(|check| check.alike().is_some());
        let between = self.between(watermark).filter(|_| fills);
        self.pass(watermark);
        let mut due = self.take_due();
        if between.is_some() {
            due = self.segments.in_order();
        }
        let mut told = Told::new(&self.layout, &self.schema);
        for id in due {
            let kept = self.segments.get_mut(id);
            if kept.baselines.is_empty() {
                kept.baselines = no_baselines(&self.layout);
            }
            let closing = kept.open.take_before(self.open_from);
            self.windows -= closing.len();
            let closing: Vec<(i64, Window)> = match between {
                Some(between) => with_gaps(&self.layout, closing, between),
                None => closing,
            };
            let mut of_segment = told.of(&kept.segment);
            for (start, window) in closing {
                let listed = self.lists.of(&kept.segment, start);
                if !self.layout.is_there(&window.partial)
                    && listed.iter().all(Option::is_none)
                    && !is_usual(&self.layout, start, &kept.baselines)
                {
                    continue;
                }
                let mut of_window = of_segment.of(start, true, 1);
                let asked = Asked {
                    start,
                    partial: &window.partial,
                    is_stub: is_stub(&self.layout, self.ends, self.closed_until, start),
                    listed: &listed,
                };
                let row = judge_window(
                    &self.layout,
                    &self.held_back,
                    asked,
                    &mut kept.baselines,
                    |of, judged| of_window.verdict(name_of(&self.layout, of), window.epoch, judged),
                );
                of_window.row(row);
            }
            let is_compared = !kept.baselines.iter().all(Baseline::is_empty);
            if is_compared {
                self.changed.note(id);
            }
            if let Some((first, _)) = kept.open.first() {
                self.due.insert((first, id));
            } else if !is_compared {
                self.segments.forget(id);
            }
        }
        told.finish()
    }

    /// Moves the time up to which windows are closed.
    fn pass(&mut self, watermark: i64) {
        if watermark > self.closed_until {
            self.closed_until = watermark;
            self.open_from = self.layout.open_from(watermark);
            self.final_until = final_until(&self.layout, watermark);
        }
    }

    /// Takes the segments with windows that are due from the order of time, and puts them in order of their values.
    fn take_due(&mut self) -> Vec<SegmentId> {
        let mut ids = Vec::new();
        while let Some(&(start, id)) = self.due.first()
            && start < self.open_from
        {
            self.due.pop_first();
            ids.push(id);
        }
        self.segments.put_in_order(&mut ids);
        ids
    }
}

/// Starts of windows from the one that starts there up to the other.
fn starts(layout: &Layout, from: i64, until: i64) -> impl Iterator<Item = i64> + use<> {
    let windows = layout.windows;
    let first = windows.number(from);
    let starts = (first..=i64::MAX).map(move |number| windows.start(number));
    starts.take_while(move |start| *start < until)
}

/// The windows of a segment with those without rows between the times, behind its first.
fn with_gaps(
    layout: &Layout,
    closing: Vec<(i64, Window)>,
    (from, until): (i64, i64),
) -> Vec<(i64, Window)> {
    let mut all: BTreeMap<i64, Window> = closing.into_iter().collect();
    for start in starts(layout, from, until) {
        all.entry(start).or_insert_with(|| Window {
            partial: layout.no_rows(),
            epoch: 0,
        });
    }
    all.into_iter().collect()
}

/// Whether the windows before it say that the one from `start` on should have rows.
fn is_usual(layout: &Layout, start: i64, baselines: &[Baseline]) -> bool {
    let checks = layout
        .checks
        .iter()
        .filter(|check| check.compared().is_some());
    let mut compared = checks.zip(baselines);
    compared.any(|(check, baseline)| {
        let usual = check.alike().and_then(|alike| alike.usual(start, baseline));
        usual.is_some_and(|rows| rows > 0)
    })
}

/// Whether the data begin or end within the window that starts at `start`, where that is asked. What the watermark has passed is whole, until
/// the end of time: then the newest event says what is.
fn is_stub(layout: &Layout, ends: Ends, closed_until: i64, start: i64) -> bool {
    if !layout.asks_ends {
        return false;
    }
    let passed = Some(closed_until).filter(|until| *until < i64::MAX);
    let whole_until = passed.map_or(ends.last, |until| until.max(ends.last));
    start < ends.first || layout.end(start) > whole_until
}

/// Start of the first window that is not final at this watermark.
fn final_until(layout: &Layout, watermark: i64) -> i64 {
    layout.open_from(final_mark(layout, watermark))
}

/// Windows that end by this time are final at a watermark.
fn final_mark(layout: &Layout, watermark: i64) -> i64 {
    match layout.correct_within {
        // At the end of time nothing is corrected any more.
        Some(within) if watermark < i64::MAX => watermark.saturating_sub(within),
        _ => watermark,
    }
}

/// What a verdict is about: a check, or behind all checks a statistic, whose number overflowed.
fn name_of(layout: &Layout, index: usize) -> Cow<'_, str> {
    if let Some(check) = layout.checks.get(index) {
        return Cow::Borrowed(&check.name);
    }
    let statistic = &layout.statistics[index - layout.checks.len()];
    Cow::Owned(format!("{}.{}", layout.name, statistic.name))
}

/// A segment for people.
fn text(layout: &Layout, segment: &Segment) -> String {
    let columns = layout.segment.iter();
    segment.text(columns.map(|column| (column.name.as_str(), &column.data_type)))
}

/// One for each variance check, without windows.
fn no_baselines(layout: &Layout) -> Box<[Baseline]> {
    variances(layout).map(|_| Baseline::default()).collect()
}

/// The checks of a layout that compare windows with others, with their names.
fn variances(layout: &Layout) -> impl Iterator<Item = (&str, &Variance)> {
    let checks = layout.checks.iter();
    checks.filter_map(|check| Some((check.name.as_str(), check.compared()?)))
}

#[cfg(test)]
mod tests;
