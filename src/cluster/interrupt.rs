//! How a run is asked to end from outside, and when it is too late to ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Held by the run and by whoever may end it: the thread that hears signals, or a program that uses the library.
#[derive(Debug, Default)]
pub struct Interrupt {
    asked: AtomicBool,
    /// Whether the first wish lets the run commit what it has: a continuous job has no other end.
    drains: AtomicBool,
    draining: AtomicBool,
    /// Processes and workers of the life that is to come next, where someone asked for others.
    next: Mutex<Option<(usize, usize)>>,
    /// Whether outputs are being made visible. Held while that begins and while someone gives up, so that the two can't
    /// cross: a run that is given up has shown nothing.
    publishing: Mutex<bool>,
}

impl Interrupt {
    /// Asks the run to end with nothing visible. Workers look at their next step. A continuous job commits what it has first; asked
    /// again it ends at once, and goes on from its newest checkpoint when it is started again.
    pub fn ask(&self) {
        let drains = self.drains.load(Ordering::Acquire);
        if !drains || self.draining.swap(true, Ordering::AcqRel) {
            self.asked.store(true, Ordering::Release);
        }
    }

    /// Asks a continuous job to commit what it has and end; with `next` to go on with as many processes and workers. Whether the
    /// job does so: a bounded run does not.
    pub fn drain(&self, next: Option<(usize, usize)>) -> bool {
        if !self.drains.load(Ordering::Acquire) {
            return false;
        }
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.draining.store(true, Ordering::Release);
        true
    }

    /// Processes and workers of the life that is to come next, where someone asked for others.
    pub(crate) fn next(&self) -> Option<(usize, usize)> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the first wish is one to commit and end.
    pub(crate) fn drain_first(&self) {
        self.drains.store(true, Ordering::Release);
    }

    /// Whether someone asked to commit and end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether someone asked.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether outputs may be made visible now. After that the run can't be interrupted any more.
    pub(crate) fn may_publish(&self) -> bool {
        let mut publishing = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *publishing = !self.is_asked();
        *publishing
    }

    /// Does `end`, which ends the process, unless outputs are being made visible or are.
    pub fn unless_publishing(&self, end: impl FnOnce()) {
        let publishing = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !*publishing {
            end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_either_given_up_or_published() {
        let interrupt = Interrupt::default();
        assert!(interrupt.may_publish());
        interrupt.ask();
        interrupt.unless_publishing(|| panic!("outputs are being made visible"));

        let interrupt = Interrupt::default();
        interrupt.ask();
        assert!(!interrupt.may_publish());
        let mut ended = false;
        interrupt.unless_publishing(|| ended = true);
        assert!(ended);
    }
}
