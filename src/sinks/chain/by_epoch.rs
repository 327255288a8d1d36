//! What a commit writes down of each of its epochs.
//!
//! Bounded: with epochs as short as they may be, a commit has hundreds of them, and a manifest is written every few seconds. Where more than
//! `MOST` had rows, neighbours are counted together, evenly.

use serde::{Deserialize, Serialize};

use crate::cluster::Counted;
use crate::record::Epoch;

/// Entries of a sink in one commit, at most: some ten kilobytes. Fewer say less exactly where a target differs.
pub(super) const MOST: usize = 256;

/// What epochs that are counted together had; most often it is one. In JSON `[first, last, messages, sum]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Epoch, Epoch, u64, u64)", into = "(Epoch, Epoch, u64, u64)")]
pub struct OfEpochs {
    /// The first of them.
    pub first: Epoch,
    /// The last one.
    pub last: Epoch,
    /// How many rows or messages; the sum of rows in files is 0, since files have checksums of their own.
    pub counted: Counted,
}

impl From<(Epoch, Epoch, u64, u64)> for OfEpochs {
    fn from((first, last, messages, sum): (Epoch, Epoch, u64, u64)) -> Self {
        Self {
            first,
            last,
            counted: Counted { messages, sum },
        }
    }
}

impl From<OfEpochs> for (Epoch, Epoch, u64, u64) {
    fn from(of: OfEpochs) -> Self {
        (of.first, of.last, of.counted.messages, of.counted.sum)
    }
}

/// Epochs in their order as they are written down: each by itself, or several together where there are too many.
pub fn by_epoch(epochs: &[(Epoch, Counted)]) -> Vec<OfEpochs> {
    let together = epochs.len().div_ceil(MOST).max(1);
    let each = epochs.chunks(together).map(|of| {
        let mut counted = Counted::default();
        for (_, more) in of {
            counted.add(*more);
        }
        OfEpochs {
            first: of[0].0,
            last: of[of.len() - 1].0,
            counted,
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(epochs: u64) -> Vec<(Epoch, Counted)> {
        let each = (1..=epochs).map(|epoch| {
            let counted = Counted {
                messages: epoch,
                sum: u64::MAX - epoch,
            };
            (epoch * 3, counted)
        });
        each.collect()
    }

    #[test]
    fn epochs_stay_apart_until_there_are_too_many() {
        for epochs in [0, 1, 256] {
            let apart = by_epoch(&counted(epochs));
            assert_eq!(apart.len(), usize::try_from(epochs).unwrap());
            assert!(apart.iter().all(|of| of.first == of.last));
        }
        for epochs in [257, 511, 512, 513, 5000] {
            let all = counted(epochs);
            let together = by_epoch(&all);
            assert!(together.len() <= MOST, "{epochs}");
            let (mut one, mut other) = (Counted::default(), Counted::default());
            for (_, counted) in &all {
                one.add(*counted);
            }
            for of in &together {
                other.add(of.counted);
            }
            assert_eq!(one, other, "{epochs}");
            assert_eq!(
                (together[0].first, together.last().unwrap().last),
                (3, epochs * 3)
            );
            assert!(together.windows(2).all(|two| two[0].last < two[1].first));
        }
    }

    #[test]
    fn they_are_short_in_json() {
        let of = by_epoch(&counted(1));
        let text = serde_json::to_string(&of).unwrap();
        assert_eq!(text, "[[3,3,1,18446744073709551614]]");
        assert_eq!(serde_json::from_str::<Vec<OfEpochs>>(&text).unwrap(), of);
    }
}
