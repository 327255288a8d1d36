//! What the coordinator hands to those that give reference rows: changes of look-ups, at the epochs that read them.
//!
//! All of it happens on one thread, that of worker 0.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use timely::scheduling::Activator;

use crate::lookup::Change;
use crate::record::Epoch;

/// The changes of all look-ups.
#[derive(Debug, Default)]
pub struct References(RefCell<Lanes>);

#[derive(Debug, Default)]
struct Lanes {
    /// The last epoch whose changes are known.
    through: Epoch,
    of: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    changes: VecDeque<(Epoch, Change)>,
    is_ended: bool,
    wake: Option<Activator>,
}

/// What there is to give of a look-up.
#[derive(Debug)]
pub enum Given {
    /// A change that an epoch read.
    Change(Epoch, Change),
    /// Nothing more of this epoch, or of one before it.
    Through(Epoch),
    /// Nothing more.
    End,
}

impl References {
    /// Of so many look-ups, of which all is known that was read through an epoch.
    pub fn new(lookups: usize, through: Epoch) -> Rc<Self> {
        let mut of = Vec::new();
        of.resize_with(lookups, Lane::default);
        Rc::new(Self(RefCell::new(Lanes { through, of })))
    }

    /// Adds a change that an epoch read.
    pub(crate) fn add(&self, epoch: Epoch, lookup: usize, change: Change) {
        let mut lanes = self.0.borrow_mut();
        lanes.of[lookup].changes.push_back((epoch, change));
    }

    /// A look-up changes no more.
    pub(super) fn end(&self, lookup: usize) {
        self.0.borrow_mut().of[lookup].is_ended = true;
    }

    /// No look-up changes any more.
    pub(crate) fn end_all(&self) {
        let mut lanes = self.0.borrow_mut();
        for lane in &mut lanes.of {
            lane.is_ended = true;
        }
        wake(&lanes.of);
    }

    /// All is known of an epoch.
    pub(crate) fn passed(&self, epoch: Epoch) {
        let mut lanes = self.0.borrow_mut();
        lanes.through = epoch;
        wake(&lanes.of);
    }

    /// Wakes this operator when there is something to give of a look-up.
    pub fn wake(&self, lookup: usize, activator: Activator) {
        self.0.borrow_mut().of[lookup].wake = Some(activator);
    }

    /// What comes next of a look-up.
    pub fn next(&self, lookup: usize) -> Given {
        let mut lanes = self.0.borrow_mut();
        let through = lanes.through;
        let lane = &mut lanes.of[lookup];
        match lane.changes.pop_front() {
            Some((epoch, change)) => Given::Change(epoch, change),
            None if lane.is_ended => Given::End,
            None => Given::Through(through),
        }
    }
}

fn wake(lanes: &[Lane]) {
    for wake in lanes.iter().filter_map(|lane| lane.wake.as_ref()) {
        wake.activate();
    }
}
