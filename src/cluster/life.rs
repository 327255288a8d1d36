//! One life of a continuous job: from where it goes on, and what its threads hand to each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use crate::epoch::{Binding, Moved};
use crate::record::{Epoch, Note};
use crate::sources::Found;

/// From where a life goes on; decided by process 0 when it has claimed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume {
    /// The last epoch that is in the checkpoint; 0 where there is none.
    pub epoch: Epoch,
    /// Wall time bound with it, in microseconds since 1970.
    pub now: i64,
    /// Watermark bound with it.
    pub watermark: Option<i64>,
    /// Partitions that were known then, and where they stood.
    pub partitions: Vec<Moved>,
    /// Bindings after it, which are read again.
    pub replay: Vec<Binding>,
}

/// What a thread of the coordinator's process is told.
#[derive(Debug)]
pub enum Told {
    /// An epoch was bound: to be made durable.
    Bound(Binding),
    /// Every worker has staged all of the epochs up to this one, and told these notes.
    Staged {
        /// The checkpoint epoch.
        epoch: Epoch,
        /// What all workers told since the checkpoint before.
        notes: Vec<Note>,
    },
    /// No more comes.
    End,
}

/// One life of the cluster, as process 0 sees it.
#[derive(Debug)]
pub struct Life {
    /// Its number.
    pub generation: u64,
    /// From where it goes on.
    pub resume: Resume,
    /// Partitions that were found, and where they begin; not yet in an epoch.
    found: Mutex<Vec<Found>>,
    stop: AtomicBool,
    told: Mutex<Sender<Told>>,
    /// For each checkpoint epoch that is not committed its binding, and every partition as it was then.
    checkpoints: Mutex<BTreeMap<Epoch, (Binding, Vec<Moved>)>>,
}

impl Life {
    /// A life that goes on from `resume` and tells `told` what it decides.
    pub fn new(generation: u64, resume: Resume, found: Vec<Found>, told: Sender<Told>) -> Self {
        Self {
            generation,
            resume,
            found: Mutex::new(found),
            stop: AtomicBool::new(false),
            told: Mutex::new(told),
            checkpoints: Mutex::default(),
        }
    }

    /// Asks for the end: the open epoch is closed, and one more commits everything.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Remembers what a checkpoint holds of the coordinator until it is committed.
    pub fn keep_checkpoint(&self, binding: Binding, partitions: Vec<Moved>) {
        let kept = (binding, partitions);
        lock(&self.checkpoints).insert(kept.0.epoch, kept);
    }

    /// What a checkpoint holds of the coordinator; taken once.
    pub fn take_checkpoint(&self, epoch: Epoch) -> Option<(Binding, Vec<Moved>)> {
        lock(&self.checkpoints).remove(&epoch)
    }

    /// Whether the end was asked for.
    pub fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Partitions that were found, for the next epoch.
    pub fn add_found(&self, found: Vec<Found>) {
        lock(&self.found).extend(found);
    }

    /// The partitions that were found since.
    pub fn take_found(&self) -> Vec<Found> {
        std::mem::take(&mut lock(&self.found))
    }

    /// Hands a binding to the journal's thread.
    pub fn bound(&self, binding: Binding) {
        self.tell(Told::Bound(binding));
    }

    /// Hands to the threads behind the dataflow; when they have ended the run is over anyway.
    pub fn tell(&self, told: Told) {
        drop(lock(&self.told).send(told));
    }
}

/// A lock whose holder panicked is taken all the same: the panic ends the process.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
