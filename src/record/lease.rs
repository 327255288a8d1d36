//! Credits: how many bytes of input may be between a reader and the sinks.
//!
//! timely's queues have no bound, so the readers have one: a reader takes a [`Lease`] of the shared [`Budget`] for each
//! chunk, every container made from the chunk holds it, and the bytes return when the last of them is dropped, which is
//! when the sinks have staged the rows.
//!
//! **Why an epoch that is read again may exceed it.** Messages for topics are held until their epoch is bound, and an epoch that is read
//! again is at its end when all was read that its binding says. What fitted then may not fit now, since it is cut into other chunks or
//! read by fewer processes: a reader that waited for bytes that only the end of its own epoch gives back would wait for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Epoch;

/// Bytes in flight in this process, and how many there may be.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// What is of an epoch that is known to the lease: of those that are read again.
    of_epochs: Mutex<BTreeMap<Epoch, u64>>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            of_epochs: Mutex::new(BTreeMap::new()),
        })
    }

    /// Takes `bytes`, or nothing where they don't fit. One lease is always admitted, however large, so that a chunk
    /// above the limit can't stop a run.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Option<Arc<Lease>> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            if used > 0 && used.saturating_add(bytes) > self.limit {
                return None;
            }
            match self.used.compare_exchange_weak(
                used,
                used.saturating_add(bytes),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Some(self.lease(bytes));
                }
                Err(now) => used = now,
            }
        }
    }

    /// Takes `bytes` whether they fit or not: they are here already, and readers of this process wait for them.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Arc<Lease> {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.lease(bytes)
    }

    /// Takes `bytes` for an epoch that is read again although they don't fit, or nothing where an earlier epoch has some, which come back
    /// without this one's end.
    pub fn exceed(self: &Arc<Self>, bytes: u64, epoch: Epoch) -> Option<Arc<Lease>> {
        let earliest = self.of_epochs().keys().next().copied();
        earliest
            .is_none_or(|earliest| earliest >= epoch)
            .then(|| self.charge(bytes))
    }

    fn lease(self: &Arc<Self>, bytes: u64) -> Arc<Lease> {
        Arc::new(Lease {
            budget: Arc::clone(self),
            bytes: AtomicU64::new(bytes),
            epoch: OnceLock::new(),
        })
    }

    fn of_epochs(&self) -> MutexGuard<'_, BTreeMap<Epoch, u64>> {
        // Each change of it is one step: it is whole whatever panicked.
        self.of_epochs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in flight now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a [`Budget`]; dropping the last holder gives them back.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: AtomicU64,
    /// The epoch that is read again, and the bytes that were told to be of it.
    epoch: OnceLock<(Epoch, u64)>,
}

impl Lease {
    /// Says that it is of an epoch that is read again, once it is as large as it will be.
    pub fn is_of(&self, epoch: Epoch) {
        let bytes = self.bytes.load(Ordering::Acquire);
        if self.epoch.set((epoch, bytes)).is_ok() {
            *self.budget.of_epochs().entry(epoch).or_default() += bytes;
        }
    }

    /// Makes the lease at least `bytes` large, once it is known what it is for; the budget may be exceeded by that.
    pub fn grow_to(&self, bytes: u64) {
        let before = self.bytes.fetch_max(bytes, Ordering::AcqRel);
        let more = bytes.saturating_sub(before);
        self.budget.used.fetch_add(more, Ordering::AcqRel);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget
            .used
            .fetch_sub(self.bytes.load(Ordering::Acquire), Ordering::AcqRel);
        if let Some((epoch, bytes)) = self.epoch.get() {
            let mut of_epochs = self.budget.of_epochs();
            if let Some(left) = of_epochs.get_mut(epoch) {
                *left = left.saturating_sub(*bytes);
                if *left == 0 {
                    of_epochs.remove(epoch);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_return_with_the_last_holder() {
        let budget = Budget::new(10);
        let first = budget.take(8).unwrap();
        assert!(budget.take(3).is_none());
        let second_holder = Arc::clone(&first);
        drop(first);
        assert_eq!(budget.used(), 8);
        second_holder.grow_to(20);
        second_holder.grow_to(12);
        assert_eq!(budget.used(), 20);
        drop(second_holder);
        assert_eq!(budget.used(), 0);
        assert!(
            budget.take(1000).is_some(),
            "a chunk above the limit is admitted alone"
        );
    }

    #[test]
    fn an_epoch_that_is_read_again_exceeds_it_when_those_before_are_gone() {
        let budget = Budget::new(10);
        let before = budget.take(4).unwrap();
        before.is_of(3);
        let own = budget.take(6).unwrap();
        own.is_of(4);
        assert!(budget.take(1).is_none());
        assert!(budget.exceed(5, 4).is_none());
        drop(before);
        let more = budget.exceed(5, 4).unwrap();
        assert_eq!(budget.used(), 11);
        more.is_of(4);
        assert!(budget.exceed(1, 5).is_none());
        drop((own, more));
        assert_eq!(budget.used(), 0);
        assert!(budget.exceed(1, 5).is_some());
    }
}
