//! Which rows should come, by look-ups that list them: of which segments, in which windows, how many.
//!
//! ```text
//! look-up ─ its rows as columns ─> entries (segment, window, rows) ─ by segment ─> the tally that owns it
//! ```
//!
//! Where all rows are one segment, the job's own number is such a list, too. What is said of rows here goes for files as well.
//!
//! They are no rows and no state: whoever begins again has them from the look-up, whose rows are beside the checkpoint. What is expected of a window is
//! what is listed when it closes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Concatenate, Exchange};
use timely::dataflow::{Scope, StreamVec};

use super::codes::ValueCodes;
use super::exchange::Placement;
use super::inputs::times;
use super::layout::{Layout, ListPlan};
use super::value::{Segment, Value};
use crate::cluster::Run;
use crate::job::plan::ListedRows;
use crate::lookup::{self, Listed, Reference};
use crate::record::Epoch;

/// Rows that should come, or, where they are fewer than none, should not any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Which list of the layout says so.
    pub list: usize,
    /// Of which segment.
    pub segment: Segment,
    /// Start of the window; in each one where there is none.
    pub start: Option<i64>,
    /// How many.
    pub rows: i64,
    /// How many reference rows say so.
    pub entries: i64,
}

/// The lists of a layout, of the segments of a worker.
#[derive(Debug)]
pub(super) struct Lists(Vec<List>);

#[derive(Debug, Default)]
struct List {
    always: Rows,
    at: BTreeMap<i64, Rows>,
}

/// For each segment how many reference rows there are, and how many rows these list.
type Rows = BTreeMap<Segment, (i64, i64)>;

impl Lists {
    pub(super) fn new(lists: usize) -> Self {
        Self(std::iter::repeat_with(List::default).take(lists).collect())
    }

    /// Whether no rows are listed.
    pub(super) fn is_empty(&self) -> bool {
        let mut lists = self.0.iter();
        lists.all(|list| list.always.is_empty() && list.at.is_empty())
    }

    pub(super) fn add(&mut self, entry: Entry) {
        let list = &mut self.0[entry.list];
        let rows = match entry.start {
            Some(start) => list.at.entry(start).or_default(),
            None => &mut list.always,
        };
        let of_segment = rows.entry(entry.segment.clone()).or_default();
        of_segment.0 += entry.entries;
        of_segment.1 += entry.rows;
        if of_segment.0 == 0 {
            rows.remove(&entry.segment);
        }
        if let Some(start) = entry.start
            && list.at.get(&start).is_some_and(BTreeMap::is_empty)
        {
            list.at.remove(&start);
        }
    }

    /// The segments that should have rows in the window from `start` on, in their order.
    pub(super) fn segments(&self, start: i64) -> BTreeSet<Segment> {
        let lists = self.0.iter();
        let rows = lists.flat_map(|list| list.at.get(&start).into_iter().chain([&list.always]));
        rows.flat_map(BTreeMap::keys).cloned().collect()
    }

    /// For each list how many rows the segment should have in the window from `start` on; none where it is not in the list.
    pub(super) fn of(&self, segment: &Segment, start: i64) -> Vec<Option<i64>> {
        let of_list = |list: &List| {
            let at = list.at.get(&start).and_then(|rows| rows.get(segment));
            let found = at.into_iter().chain(list.always.get(segment));
            found
                .map(|(_, rows)| *rows)
                .reduce(|one, other| one + other)
        };
        self.0.iter().map(of_list).collect()
    }

    /// Whether any list has the segment in that window.
    pub(super) fn expects(&self, segment: &Segment, start: i64) -> bool {
        self.of(segment, start).iter().any(Option::is_some)
    }
}

/// The entries of all lists of a layout, where their segments are.
pub(super) fn listed<'scope>(
    scope: Scope<'scope, Epoch>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    layout: &Arc<Layout>,
) -> StreamVec<'scope, Epoch, (Epoch, Entry)> {
    let mut all = Vec::new();
    for (list, of) in layout.lists.iter().enumerate() {
        let of = match of {
            ListPlan::Lookup(of) => of,
            ListPlan::Always(number) => {
                all.push(always(scope, list, *number));
                continue;
            }
        };
        let rows = lookup::listed(reference, run, of.lookup, false);
        let owner = Placement::BySegment.among(scope.peers());
        // Of a replicated look-up each worker has all rows.
        let only = (!run.partitioned[of.lookup]).then(|| scope.index());
        let (layout, of) = (Arc::clone(layout), of.clone());
        let entries = rows.unary::<CapacityContainerBuilder<Vec<(Epoch, Entry)>>, _, _, _>(
            Pipeline,
            "checks:listed",
            move |_, _| {
                let owner = Placement::BySegment.among(scope.peers());
                move |input, output| {
                    input.for_each(|capability, listed| {
                        let mut session = output.session(&capability);
                        for listed in listed.drain(..) {
                            let epoch = listed.epoch;
                            let entries = entries(&layout, list, &of, &listed).into_iter();
                            let mine = entries.filter(|entry| {
                                only.is_none_or(|index| owner(&entry.segment) == index)
                            });
                            session.give_iterator(mine.map(|entry| (epoch, entry)));
                        }
                    });
                }
            },
        );
        all.push(entries.exchange(move |(_, entry): &(Epoch, Entry)| {
            u64::try_from(owner(&entry.segment)).expect("an index fits 64 bits")
        }));
    }
    scope.concatenate(all)
}

/// What the job says of the one segment, before its first epoch.
fn always(
    scope: Scope<'_, Epoch>,
    list: usize,
    number: i64,
) -> StreamVec<'_, Epoch, (Epoch, Entry)> {
    let segment = Segment(Box::default());
    let is_mine = Placement::BySegment.among(scope.peers())(&segment) == scope.index();
    let entry = Entry {
        list,
        segment,
        start: None,
        rows: number,
        entries: 1,
    };
    is_mine.then_some((0, entry)).to_stream(scope)
}

/// What reference rows say. One without a number of rows, or without a time where one is asked for, says nothing.
fn entries(layout: &Layout, list: usize, of: &ListedRows, listed: &Listed) -> Vec<Entry> {
    let rows = listed.differences.len();
    let values = |position: usize| -> Vec<Value> {
        let (mut codes, mut numbers) = (ValueCodes::default(), Vec::new());
        codes.assign(&listed.columns[position], &mut numbers);
        numbers
            .into_iter()
            .map(|code| codes.value(code).clone())
            .collect()
    };
    let segments: Vec<Vec<Value>> = of
        .segment
        .iter()
        .map(|position| values(*position))
        .collect();
    let counts = of.rows.map(values);
    let starts: Vec<Option<i64>> = match of.at {
        None => vec![None; rows],
        Some(position) => {
            let column = &listed.columns[position];
            let (moments, nulls) = (times(column), column.logical_nulls());
            let is_there = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let moments = moments.iter().enumerate();
            let start = |time: i64| layout.windows.start(layout.windows.number(time));
            moments
                .map(|(row, time)| is_there(row).then(|| start(*time)))
                .collect()
        }
    };
    let mut entries = Vec::with_capacity(rows);
    for (row, entries_of_row) in listed.differences.iter().copied().enumerate() {
        if of.at.is_some() && starts[row].is_none() {
            continue;
        }
        let count = match counts.as_ref().map(|counts| &counts[row]) {
            None => Some(1),
            Some(Value::Int(count)) => Some(*count),
            Some(Value::Wide(count)) => i64::try_from(*count).ok(),
            Some(Value::Null | Value::Text(_)) => None,
        };
        let Some(count) = count else { continue };
        let values = segments.iter().map(|values| values[row].clone());
        entries.push(Entry {
            list,
            segment: Segment(values.collect()),
            start: starts[row],
            rows: count.saturating_mul(entries_of_row),
            entries: entries_of_row,
        });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(store: i64, start: Option<i64>, rows: i64, entries: i64) -> Entry {
        Entry {
            list: 0,
            segment: segment(store),
            start,
            rows,
            entries,
        }
    }

    fn segment(store: i64) -> Segment {
        Segment(Box::new([Value::Int(store)]))
    }

    #[test]
    fn lists_add_up_and_forget_what_is_gone() {
        let mut lists = Lists::new(1);
        assert!(lists.is_empty());
        for entry in [
            entry(1, None, 5, 1),
            entry(1, Some(60), 2, 1),
            entry(2, Some(60), 0, 1),
        ] {
            lists.add(entry);
        }
        assert_eq!(lists.of(&segment(1), 60), [Some(7)]);
        assert_eq!(lists.of(&segment(1), 120), [Some(5)]);
        // That nothing should come is something else than that nobody knows.
        assert_eq!(lists.of(&segment(2), 60), [Some(0)]);
        assert_eq!(lists.of(&segment(2), 120), [None]);
        let both: Vec<Segment> = lists.segments(60).into_iter().collect();
        assert_eq!(both, [segment(1), segment(2)]);
        lists.add(entry(1, None, -5, -1));
        lists.add(entry(2, Some(60), 0, -1));
        assert_eq!(lists.of(&segment(1), 120), [None]);
        assert!(lists.segments(120).is_empty());
        lists.add(entry(1, Some(60), -2, -1));
        assert!(lists.is_empty());
    }
}
