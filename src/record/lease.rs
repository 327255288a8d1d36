//! Credits: how many bytes of input may be between a reader and the sinks.
//!
//! timely's queues have no bound, so the readers have one: a reader takes a [`Lease`] of the shared [`Budget`] for each
//! chunk, every container made from the chunk holds it, and the bytes return when the last of them is dropped, which is
//! when the sinks have staged the rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in flight in this process, and how many there may be.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
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
                    return Some(Arc::new(Lease {
                        budget: Arc::clone(self),
                        bytes: AtomicU64::new(bytes),
                    }));
                }
                Err(now) => used = now,
            }
        }
    }

    /// Takes `bytes` whether they fit or not: they are here already, and readers of this process wait for them.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Arc<Lease> {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Arc::new(Lease {
            budget: Arc::clone(self),
            bytes: AtomicU64::new(bytes),
        })
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
}

impl Lease {
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
}
