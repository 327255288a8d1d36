//! Rows to partials: groups the batches of an epoch by segment and window and adds up their statistics.
//!
//! This sees every clean row, so it works on whole columns: (1) each segment column's values get small numbers, (2) several
//! columns are combined pair by pair, (3) times become window numbers, (4) segment and window become a group, and (5) each
//! accumulator walks its column once and adds to the row's group. Expressions are worked out once a batch and shared.
//!
//! A row without an event time is in no window, but for the one that holds all times: it falls into a group of its own that is thrown away, and is counted in
//! [`Reducer::untimed`]. Rows are never looked at one by one, so there is no branch for it in the loops.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};

use super::codes::{PairCodes, ValueCodes, at};
use super::inputs::{Read, column, selection, times};
use super::layout::{Layout, Of};
use super::slots::{Slots, count};
use super::stats::Partial;
use super::value::Segment;
use super::windows::Windows;

/// What a partial is the statistics of: a segment, and the start of a window in microseconds since 1970.
pub type Group = (Segment, i64);

/// The group of rows without an event time.
const UNTIMED: u32 = 0;

/// Gathers the statistics of one epoch on one worker.
///
/// Cost: about 18 ns a row for SPEC's `minute` window (`benches/statistics.rs`); holds the numbers of each group of the epoch,
/// and a dozen bytes a row of the largest batch.
#[derive(Debug)]
pub struct Reducer {
    layout: Arc<Layout>,
    /// Which rows these are.
    of: Of,
    /// For each input whether it is read.
    reads: Vec<bool>,
    /// Numbers of each segment column's values.
    values: Vec<ValueCodes>,
    /// Numbers of combinations: the i-th of the first i + 1 columns with the next one.
    combined: Vec<PairCodes>,
    /// Numbers of (segment, window), less one, as group 0 is [`UNTIMED`].
    groups: PairCodes,
    rows: Vec<i64>,
    slots: Vec<Slots>,
    untimed: i64,
    scratch: Scratch,
}

/// One entry a row.
#[derive(Debug, Default)]
struct Scratch {
    segments: Vec<u32>,
    codes: Vec<u32>,
    right: Vec<i64>,
    windows: Vec<i64>,
    groups: Vec<u32>,
}

impl Reducer {
    /// No rows yet, of clean ones.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self::of(layout, Of::Clean)
    }

    /// No rows yet. Refused rows are counted where the layout says so, and are no rows of the window.
    pub(crate) fn of(layout: Arc<Layout>, of: Of) -> Self {
        let inputs = 0..layout.inputs.len();
        let reads = inputs.map(|input| layout.reads(input, of)).collect();
        let slots = layout
            .accumulators
            .iter()
            .map(|plan| Slots::new(plan.kind, plan.data_type.as_ref()))
            .collect();
        let columns = layout.segment.len();
        Self {
            values: std::iter::repeat_with(ValueCodes::default)
                .take(columns)
                .collect(),
            combined: std::iter::repeat_with(PairCodes::default)
                .take(columns.saturating_sub(1))
                .collect(),
            groups: PairCodes::default(),
            rows: Vec::new(),
            slots,
            untimed: 0,
            scratch: Scratch::default(),
            layout,
            of,
            reads,
        }
    }

    /// Adds a batch: `columns[id]` must be there for each of [`Layout::columns`] and have `rows` values. `now` is the epoch's
    /// bound wall time in microseconds.
    ///
    /// A value that an expression can't work out counts as none, but for sums it is counted as too wide, so that the sum has
    /// no number.
    pub fn add(&mut self, columns: &[Option<ArrayRef>], rows: usize, now: i64) {
        if rows == 0 {
            return;
        }
        self.number_segments(columns, rows);
        if !self.number_groups(columns, rows) {
            return;
        }
        let inputs = self.layout.inputs.iter().zip(&self.reads);
        let inputs: Vec<Option<Read>> = inputs
            .map(|(input, is_read)| is_read.then(|| input.read(columns, rows, now)))
            .collect();
        let read = |index: usize| inputs[index].as_ref().expect("its accumulators read it");
        let groups = self.groups.pairs().len() + 1;
        self.rows.resize(groups, 0);
        count(&mut self.rows, None, &self.scratch.groups);
        for (plan, slots) in self.layout.accumulators.iter().zip(&mut self.slots) {
            slots.resize(groups);
            if plan.of != self.of {
                continue;
            }
            let argument = plan.argument.map(read);
            let filter: Option<&BooleanArray> =
                plan.filter.map(|index| read(index).array.as_boolean());
            let selected = selection(argument.map(|read| &read.array), filter);
            slots.add(
                argument.map(|read| &read.array),
                selected.as_ref(),
                &self.scratch.groups,
            );
            for &row in argument.map_or(&[][..], |read| &read.failed) {
                if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                    slots.fail(at(self.scratch.groups[row]));
                }
            }
        }
    }

    /// Rows without an event time since the last drain.
    pub fn untimed(&self) -> i64 {
        self.untimed
    }

    /// The partials of all groups with rows, in no particular order; the reducer is then as new.
    pub fn drain(&mut self) -> Vec<(Group, Partial)> {
        let mut partials = Vec::with_capacity(self.groups.pairs().len());
        for (index, &(segment, window)) in self.groups.pairs().iter().enumerate() {
            let group = index + 1;
            if self.rows[group] == 0 {
                continue;
            }
            let accumulators = self
                .slots
                .iter_mut()
                .map(|slots| slots.take(group))
                .collect();
            let start = self.layout.windows.start(window);
            partials.push((
                (self.segment(segment), start),
                Partial {
                    rows: match self.of {
                        Of::Clean => self.rows[group],
                        Of::Refused => 0,
                    },
                    accumulators,
                },
            ));
        }
        self.values.iter_mut().for_each(ValueCodes::clear);
        self.combined.iter_mut().for_each(PairCodes::clear);
        self.groups.clear();
        self.rows.clear();
        self.slots.iter_mut().for_each(Slots::clear);
        self.untimed = 0;
        partials
    }

    /// Steps 1 and 2: the number of each row's segment.
    fn number_segments(&mut self, columns: &[Option<ArrayRef>], rows: usize) {
        let Scratch {
            segments,
            codes,
            right,
            groups,
            ..
        } = &mut self.scratch;
        let mut segment_columns = self.layout.segment.iter().zip(&mut self.values);
        let Some((first, values)) = segment_columns.next() else {
            segments.clear();
            segments.resize(rows, 0);
            return;
        };
        values.assign(&column(columns, first.id), segments);
        let mut lefts = values.len();
        for ((next, values), combined) in segment_columns.zip(&mut self.combined) {
            values.assign(&column(columns, next.id), codes);
            right.clear();
            right.extend(codes.iter().map(|code| i64::from(*code)));
            let most = i64::try_from(values.len()).expect("a length fits") - 1;
            combined.assign(segments, lefts, right, (0, most), groups);
            std::mem::swap(segments, groups);
            lefts = combined.pairs().len();
        }
    }

    /// Steps 3 and 4: the number of each row's group; false where no row has an event time.
    fn number_groups(&mut self, columns: &[Option<ArrayRef>], rows: usize) -> bool {
        if self.layout.windows == Windows::Whole {
            self.number_segments_alone(rows);
            return true;
        }
        let event_time = column(columns, self.layout.event_time);
        let mut moments = times(&event_time);
        let nulls = event_time
            .logical_nulls()
            .filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = &nulls {
            self.untimed += i64::try_from(nulls.null_count()).expect("a length fits");
            let Some(any) = nulls.valid_indices().next().map(|row| moments[row]) else {
                return false;
            };
            // What stands at null rows must not widen the range of windows.
            let stand_ins = moments.to_mut();
            (!nulls.inner())
                .set_indices()
                .for_each(|row| stand_ins[row] = any);
        }
        let Scratch {
            segments,
            windows,
            groups,
            ..
        } = &mut self.scratch;
        let Some(range) = self.layout.windows.numbers(&moments, windows) else {
            return false;
        };
        let segment_count = match (self.combined.last(), self.values.last()) {
            (Some(combined), _) => combined.pairs().len(),
            (None, Some(values)) => values.len(),
            (None, None) => 1,
        };
        self.groups
            .assign(segments, segment_count, windows, range, groups);
        debug_assert_eq!(groups.len(), rows, "columns of one batch have one length");
        for group in groups.iter_mut() {
            *group += 1;
        }
        if let Some(nulls) = &nulls {
            (!nulls.inner())
                .set_indices()
                .for_each(|row| groups[row] = UNTIMED);
        }
        true
    }

    /// Steps 3 and 4 where one window holds all times: rows without one are in it, too.
    fn number_segments_alone(&mut self, rows: usize) {
        let Scratch {
            segments,
            windows,
            groups,
            ..
        } = &mut self.scratch;
        windows.clear();
        windows.resize(rows, 0);
        let segment_count = match (self.combined.last(), self.values.last()) {
            (Some(combined), _) => combined.pairs().len(),
            (None, Some(values)) => values.len(),
            (None, None) => 1,
        };
        self.groups
            .assign(segments, segment_count, windows, (0, 0), groups);
        for group in groups.iter_mut() {
            *group += 1;
        }
    }

    /// The values of a segment's number.
    fn segment(&self, mut number: u32) -> Segment {
        let Some((first, rest)) = self.values.split_first() else {
            return Segment::default();
        };
        let mut values = Vec::with_capacity(self.values.len());
        for (column, combined) in rest.iter().zip(&self.combined).rev() {
            let (left, code) = combined.pairs()[at(number)];
            values.push(
                column
                    .value(u32::try_from(code).expect("it was made from a code"))
                    .clone(),
            );
            number = left;
        }
        values.push(first.value(number).clone());
        values.reverse();
        Segment(values.into())
    }
}

#[cfg(test)]
mod tests;
