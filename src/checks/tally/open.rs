//! The open windows of one segment, in order of time.
//!
//! A job that goes on has one or two open for each of many segments; a bounded run has thousands for each of a few, in any order.
//! A tree has room for eleven windows from the first one on, which a million segments can't afford; a list is slow to put
//! into once it is long. So the first windows are a list, and more are a tree.

use std::collections::BTreeMap;

use crate::checks::stats::Partial;
use crate::record::Epoch;

/// Windows of a list: one that is put in front moves a kilobyte at most.
const FEW: usize = 24;

/// A window's statistics, and the newest epoch that added to them.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) partial: Partial,
    pub(super) epoch: Epoch,
}

/// Windows by start.
///
/// Cost: 40 bytes a window, and what a list or tree has to spare, a third on average.
#[derive(Debug)]
pub(super) enum Open {
    Few(Vec<(i64, Window)>),
    Many(BTreeMap<i64, Window>),
}

impl Default for Open {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Open {
    /// The first window and its start.
    pub(super) fn first(&self) -> Option<(i64, &Window)> {
        match self {
            Self::Few(list) => list.first().map(|(start, window)| (*start, window)),
            Self::Many(tree) => tree
                .first_key_value()
                .map(|(start, window)| (*start, window)),
        }
    }

    pub(super) fn get_mut(&mut self, start: i64) -> Option<&mut Window> {
        match self {
            Self::Few(list) => {
                let place = list.binary_search_by_key(&start, |(start, _)| *start);
                place.ok().map(|place| &mut list[place].1)
            }
            Self::Many(tree) => tree.get_mut(&start),
        }
    }

    /// Opens a window, which must not be open.
    pub(super) fn insert(&mut self, start: i64, window: Window) {
        match self {
            Self::Few(list) if list.len() < FEW => {
                let place = list.partition_point(|(before, _)| *before < start);
                if list.len() < 4 {
                    // Most segments stay at one or two; the list would begin with room for four.
                    list.reserve_exact(1);
                }
                list.insert(place, (start, window));
            }
            Self::Few(list) => {
                let mut tree: BTreeMap<i64, Window> = std::mem::take(list).into_iter().collect();
                tree.insert(start, window);
                *self = Self::Many(tree);
            }
            Self::Many(tree) => {
                tree.insert(start, window);
            }
        }
    }

    /// Takes the windows that start before `start`.
    pub(super) fn take_before(&mut self, start: i64) -> Vec<(i64, Window)> {
        let (taken, left) = match std::mem::take(self) {
            Self::Few(mut list) => {
                let place = list.partition_point(|(before, _)| *before < start);
                let left = list.split_off(place);
                (list, Self::Few(left))
            }
            Self::Many(tree) if tree.last_key_value().is_none_or(|(last, _)| *last < start) => {
                (tree.into_iter().collect(), Self::default())
            }
            Self::Many(mut tree) => {
                // `split_off` counts what is left, which may be much more than what is taken.
                let mut taken = Vec::new();
                while let Some(first) = tree.first_entry()
                    && *first.key() < start
                {
                    taken.push(first.remove_entry());
                }
                let left = if tree.len() < FEW {
                    Self::Few(tree.into_iter().collect())
                } else {
                    Self::Many(tree)
                };
                (taken, left)
            }
        };
        *self = left;
        taken
    }

    /// The start of the first window at `start` or behind it.
    pub(super) fn first_from(&self, start: i64) -> Option<i64> {
        match self {
            Self::Few(list) => {
                let place = list.partition_point(|(before, _)| *before < start);
                list.get(place).map(|(start, _)| *start)
            }
            Self::Many(tree) => tree.range(start..).next().map(|(start, _)| *start),
        }
    }

    /// Those that start before `start`, in order.
    pub(super) fn before(&self, start: i64) -> impl Iterator<Item = (i64, &Window)> {
        self.iter().take_while(move |(other, _)| *other < start)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Window)> {
        let (list, tree) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(tree) => (None, Some(tree)),
        };
        let few = list.into_iter().flatten();
        let many = tree.into_iter().flatten();
        few.map(|(start, window)| (*start, window))
            .chain(many.map(|(start, window)| (*start, window)))
    }
}

impl FromIterator<(i64, Window)> for Open {
    /// Of windows in order.
    fn from_iter<T: IntoIterator<Item = (i64, Window)>>(windows: T) -> Self {
        let list: Vec<(i64, Window)> = windows.into_iter().collect();
        if list.len() <= FEW {
            Self::Few(list)
        } else {
            Self::Many(list.into_iter().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn window(rows: i64) -> Window {
        let partial = Partial {
            rows,
            accumulators: Box::default(),
        };
        Window { partial, epoch: 0 }
    }

    proptest! {
        #[test]
        fn lists_and_trees_are_one_to_whoever_asks(
            steps in vec((vec(-40_i64..40, 0..60), -40_i64..40), 1..6),
        ) {
            let mut open = Open::default();
            let mut model = BTreeMap::new();
            for (starts, before) in steps {
                for start in starts {
                    match open.get_mut(start) {
                        Some(window) => window.partial.rows += 1,
                        None => open.insert(start, window(1)),
                    }
                    *model.entry(start).or_insert(0) += 1;
                }
                let rows = |(start, window): (i64, &Window)| (start, window.partial.rows);
                prop_assert_eq!(open.iter().map(rows).collect::<BTreeMap<_, _>>(), model.clone());
                prop_assert!(open.iter().map(rows).is_sorted());
                prop_assert_eq!(open.iter().count(), model.len());
                let left = model.split_off(&before);
                let taken: Vec<_> = open.take_before(before).iter().map(|(start, window)| (*start, window.partial.rows)).collect();
                prop_assert_eq!(taken, model.into_iter().collect::<Vec<_>>());
                model = left;
                prop_assert_eq!(open.first().map(rows), model.iter().next().map(|(start, rows)| (*start, *rows)));
            }
        }
    }
}
