//! What the coordinator tells every worker, and what workers answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::binding::{Moved, Partition};
use crate::cluster::Seen;
use crate::record::Epoch;

/// One word of the coordinator to every worker, at the time of its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// An epoch begins: readers may give rows for it.
    Open(Opening),
    /// No more rows for this epoch: readers answer with what they gave. Not sent in replay, where readers know where to stop.
    Close(Epoch),
}

/// What an epoch is opened with. What it sees was bound by the end of the epoch before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The epoch.
    pub epoch: Epoch,
    /// Wall time that everything in it takes for now, in microseconds since 1970.
    pub now: i64,
    /// Event time before which rows are late, in microseconds since 1970.
    pub watermark: Option<i64>,
    /// Whether state is written and files are finished when it has passed.
    pub checkpoint: bool,
    /// Partitions that readers hear of for the first time.
    pub known: Vec<Assigned>,
    /// Where to stop in each partition, where the epoch is read again; partitions not named have no rows in it.
    pub replay: Option<Vec<Moved>>,
}

impl Opening {
    /// What the epoch sees.
    pub fn sees(&self) -> Seen {
        Seen {
            now: self.now,
            watermark: self.watermark,
        }
    }
}

/// A partition and who reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Its place in the order in which partitions became known: worker `number % workers` reads it.
    pub number: usize,
    /// Which.
    pub partition: Partition,
    /// The offset at which to begin.
    pub at: i64,
    /// Largest event time that was read of it before.
    pub newest: Option<i64>,
}

/// A worker's answer for an epoch: each worker gives one, with partitions or without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The partitions it reads, moved or not.
    pub moved: Vec<Moved>,
}

/// What the readers of one worker gave in epochs that are not answered for yet; who answers takes it.
#[derive(Debug, Default)]
pub struct Local(RefCell<BTreeMap<Epoch, Vec<Moved>>>);

impl Local {
    /// Nothing was given.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Says what readers gave in an epoch.
    pub fn gave(&self, epoch: Epoch, moved: Vec<Moved>) {
        self.0.borrow_mut().entry(epoch).or_default().extend(moved);
    }

    /// What readers gave in an epoch; taken once.
    pub fn take(&self, epoch: Epoch) -> Vec<Moved> {
        self.0.borrow_mut().remove(&epoch).unwrap_or_default()
    }
}
