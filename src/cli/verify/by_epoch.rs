//! What was written down of epochs against what was found of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::cli::numbers::grouped;
use crate::cluster::Counted;
use crate::record::Epoch;
use crate::sinks::chain::OfEpochs;

/// Epochs in words.
pub(super) fn epochs(first: Epoch, last: Epoch) -> String {
    if first == last {
        format!("epoch {}", grouped(first))
    } else {
        format!("epochs {} to {}", grouped(first), grouped(last))
    }
}

/// What some epochs should have, and have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) first: Epoch,
    pub(super) last: Epoch,
    pub(super) wanted: Counted,
    pub(super) found: Counted,
}

impl Compared {
    /// Whether nothing is missing, nothing is more, and nothing is another.
    pub(super) fn is_good(&self) -> bool {
        self.wanted == self.found
    }
}

/// What several sinks have written down as one: epochs that any of them counts together are counted together.
pub(super) fn together(mut said: Vec<OfEpochs>) -> Vec<OfEpochs> {
    said.sort_by_key(|of| (of.first, of.last));
    let mut all: Vec<OfEpochs> = Vec::with_capacity(said.len());
    for of in said {
        match all.last_mut() {
            Some(before) if of.first <= before.last => {
                before.last = before.last.max(of.last);
                before.counted.add(of.counted);
            }
            _ => all.push(of),
        }
    }
    all
}

/// Holds what was found of the epochs after one and up to another against what was written down; an epoch of which nothing was written down
/// had nothing.
pub(super) fn compare(
    wanted: &[OfEpochs],
    found: &BTreeMap<Epoch, Counted>,
    (from, to): (Epoch, Epoch),
) -> Vec<Compared> {
    let mut compared: Vec<Compared> = wanted
        .iter()
        .map(|of| Compared {
            first: of.first,
            last: of.last,
            wanted: of.counted,
            found: Counted::default(),
        })
        .collect();
    let mut unwanted = Vec::new();
    for (&epoch, &counted) in found.range((Bound::Excluded(from), Bound::Included(to))) {
        let place = compared.partition_point(|of| of.last < epoch);
        match compared.get_mut(place).filter(|of| of.first <= epoch) {
            Some(of) => of.found.add(counted),
            None => unwanted.push(Compared {
                first: epoch,
                last: epoch,
                wanted: Counted::default(),
                found: counted,
            }),
        }
    }
    compared.extend(unwanted);
    compared.sort_by_key(|of| of.first);
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: Epoch, last: Epoch, messages: u64, sum: u64) -> OfEpochs {
        OfEpochs::from((first, last, messages, sum))
    }

    fn found(epochs: &[(Epoch, u64, u64)]) -> BTreeMap<Epoch, Counted> {
        let each = epochs.iter();
        each.map(|&(epoch, messages, sum)| (epoch, Counted { messages, sum }))
            .collect()
    }

    /// The epochs that differ, of what is written down as (first, last, messages, sum).
    fn differ(wanted: Vec<OfEpochs>, there: &[(Epoch, u64, u64)]) -> Vec<(Epoch, Epoch)> {
        let compared = compare(&together(wanted), &found(there), (10, 20));
        let bad = compared.iter().filter(|of| !of.is_good());
        bad.map(|of| (of.first, of.last)).collect()
    }

    #[test]
    fn each_epoch_that_differs_is_named_and_no_other() {
        let wanted = || vec![of(11, 11, 2, 7), of(13, 13, 1, 5), of(20, 20, 3, 9)];
        let there = [(11, 2, 7), (13, 1, 5), (20, 3, 9)];
        assert_eq!(differ(wanted(), &there), []);
        // One is missing, one more, one another, an epoch that had none has one, and an epoch that had some has none.
        assert_eq!(
            differ(wanted(), &[(11, 1, 4), (13, 1, 5), (20, 3, 9)]),
            [(11, 11)]
        );
        assert_eq!(
            differ(wanted(), &[(11, 2, 7), (13, 2, 6), (20, 3, 9)]),
            [(13, 13)]
        );
        assert_eq!(
            differ(wanted(), &[(11, 2, 7), (13, 1, 5), (20, 3, 8)]),
            [(20, 20)]
        );
        let more = [(11, 2, 7), (12, 1, 1), (13, 1, 5), (20, 3, 9)];
        assert_eq!(differ(wanted(), &more), [(12, 12)]);
        assert_eq!(differ(wanted(), &there[..2]), [(20, 20)]);
        // What is of other commits is none of this one's.
        let others = [(10, 1, 1), (11, 2, 7), (13, 1, 5), (20, 3, 9), (21, 1, 1)];
        assert_eq!(differ(wanted(), &others), []);
        // A commit may have no epoch of its own.
        assert_eq!(compare(&[], &found(&there), (11, 11)), []);
        // Two that differ by the same, which their sum would not show.
        let moved = [(11, 1, 4), (13, 2, 8), (20, 3, 9)];
        assert_eq!(differ(wanted(), &moved), [(11, 11), (13, 13)]);
    }

    #[test]
    fn epochs_of_several_sinks_are_added_and_ranges_that_overlap_are_one() {
        let one = vec![of(11, 11, 1, 1), of(12, 14, 3, 30), of(18, 18, 1, 5)];
        let other = vec![of(11, 11, 2, 2), of(14, 16, 4, 40), of(17, 17, 1, 6)];
        let all = together([one, other].concat());
        let wanted = [
            of(11, 11, 3, 3),
            of(12, 16, 7, 70),
            of(17, 17, 1, 6),
            of(18, 18, 1, 5),
        ];
        assert_eq!(all, wanted);
        let there = [(11, 3, 3), (12, 1, 10), (15, 6, 60), (17, 1, 6), (18, 1, 5)];
        let compared = compare(&all, &found(&there), (10, 20));
        assert!(compared.iter().all(Compared::is_good), "{compared:?}");
        assert_eq!(together(Vec::new()), []);
    }

    #[test]
    fn one_epoch_is_one_word() {
        assert_eq!(epochs(7, 7), "epoch 7");
        assert_eq!(epochs(7, 1008), "epochs 7 to 1\u{202f}008");
    }
}
