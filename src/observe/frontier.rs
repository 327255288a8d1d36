//! How far something is: the first epoch that is not complete yet, seen from another thread.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::Epoch;

/// What stands for "nothing more will come".
const CLOSED: u64 = u64::MAX;

/// An upper: epochs before it are complete. Written by one worker, read by whoever looks.
#[derive(Debug, Default)]
pub struct Upper(AtomicU64);

impl Upper {
    /// Moves on; `None` where nothing more will come.
    pub fn set(&self, upper: Option<Epoch>) {
        self.0.store(upper.unwrap_or(CLOSED), Ordering::Relaxed);
    }

    /// The first epoch that is not complete; `None` where all are.
    pub fn get(&self) -> Option<Epoch> {
        Some(self.0.load(Ordering::Relaxed)).filter(|upper| *upper != CLOSED)
    }

    /// The same where the epochs up to `opened` are all there are: a number in any case.
    pub fn within(&self, opened: Epoch) -> Epoch {
        self.get().unwrap_or(opened + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_that_is_closed_is_after_the_last_epoch() {
        let upper = Upper::default();
        assert_eq!((upper.get(), upper.within(9)), (Some(0), 0));
        upper.set(Some(4));
        assert_eq!((upper.get(), upper.within(9)), (Some(4), 4));
        upper.set(None);
        assert_eq!((upper.get(), upper.within(9)), (None, 10));
    }
}
