//! What the coordinator tells every worker, and what workers answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::binding::{FileMark, Moved, Partition};
use super::lag::Lag;
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
    /// What was not read, or not visible, when the epoch before closed; only told where a check goes by it.
    #[serde(default)]
    pub lag: Option<Lag>,
    /// Look-ups that changed in the epoch before: rows that wait for them are read again.
    pub changed: Vec<String>,
    /// Whether rows may be parked.
    pub may_park: bool,
    /// Whether state is written and files are finished when it has passed.
    pub checkpoint: bool,
    /// Partitions that readers hear of for the first time.
    pub known: Vec<Assigned>,
    /// Followed files that are elsewhere than they were.
    pub renamed: Vec<(Partition, FilePlace)>,
    /// Where to stop in each partition, where the epoch is read again; partitions not named have no rows in it.
    pub replay: Option<Vec<Moved>>,
}

impl Opening {
    /// What the epoch sees.
    pub fn sees(&self) -> Seen {
        Seen {
            now: self.now,
            watermark: self.watermark,
            may_park: self.may_park,
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
    /// Of a followed file: by what it is known there.
    pub file: Option<FileMark>,
    /// Where that file is by now, where that is not where it was.
    pub place: Option<FilePlace>,
}

/// Where a followed file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    /// Its path.
    pub path: String,
    /// Its inode there.
    pub inode: u64,
    /// When that was made, in microseconds since 1970.
    pub created: Option<i64>,
}

/// A partition that was found, and where it is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub partition: Partition,
    /// The offset to begin at.
    pub at: i64,
    /// Of a followed file: by what it is known there.
    pub file: Option<FileMark>,
}

/// A worker's answer for an epoch: each worker gives one, with partitions or without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its index among all workers.
    pub worker: usize,
    /// The partitions it reads, moved or not.
    pub moved: Vec<Moved>,
    /// Rows that were parked before the epoch.
    pub parked: u64,
}

/// What the readers of one worker gave in epochs that are not answered for yet; who answers takes it.
#[derive(Debug, Default)]
pub struct Local(RefCell<BTreeMap<Epoch, Answer>>);

impl Local {
    /// Nothing was given.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Says what readers gave in an epoch, and how many rows were parked before it.
    pub fn gave(&self, epoch: Epoch, moved: Vec<Moved>, parked: usize) {
        let mut answers = self.0.borrow_mut();
        let answer = answers.entry(epoch).or_default();
        answer.moved.extend(moved);
        answer.parked += u64::try_from(parked).expect("a number of rows fits");
    }

    /// What readers gave in an epoch; taken once.
    pub fn take(&self, epoch: Epoch) -> Answer {
        self.0.borrow_mut().remove(&epoch).unwrap_or_default()
    }
}
