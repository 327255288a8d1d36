//! What is decided when an epoch closes, and what a checkpoint holds.
//!
//! Plain data, written as JSON into the journal: field names are part of its format.

use serde::{Deserialize, Serialize};

use crate::record::Epoch;

/// A part of a source that is read in one order: a partition of a topic, or a followed file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// Name of the source.
    pub source: String,
    /// Topic, or the file's path.
    pub topic: String,
    /// Number within the topic; 0 for files.
    pub partition: i32,
}

/// What an epoch holds of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Which.
    pub partition: Partition,
    /// First offset, or byte.
    pub from: i64,
    /// The offset or byte after the last; equal to `from` where a partition is only made known.
    pub to: i64,
    /// Largest event time read so far, in microseconds since 1970; absent before the first.
    pub newest: Option<i64>,
    /// Whether it held no event that was not read when the epoch closed.
    pub caught_up: bool,
}

/// Everything that an epoch was: read again with it, the epoch gives the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The epoch.
    pub epoch: Epoch,
    /// The life of the cluster that decided it.
    pub generation: u64,
    /// Wall time, in microseconds since 1970: what the next epoch takes for now. Never less than that of the epoch before.
    pub now: i64,
    /// Event time before which nothing more is expected, in microseconds since 1970: what the next epoch judges lateness by.
    /// Never less than that of the epoch before.
    pub watermark: Option<i64>,
    /// Partitions with rows in it, or made known by it, in their order.
    pub moved: Vec<Moved>,
}

impl Binding {
    /// Whether it holds no input and makes nothing known.
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }
}

/// Where a job can begin again: all state as it was when `epoch` had passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last epoch that is in it.
    pub epoch: Epoch,
    /// The life of the cluster that wrote it.
    pub generation: u64,
    /// As in the epoch's binding.
    pub now: i64,
    /// As in the epoch's binding.
    pub watermark: Option<i64>,
    /// Every partition that is known, in their order: `to` is where reading goes on.
    pub partitions: Vec<Moved>,
    /// Files with the state of operators, below the state folder.
    pub state: Vec<StateFile>,
    /// What was counted since the job first began, as its summary says it.
    pub totals: serde_json::Value,
}

/// A file with state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Path below the state folder, with `/`.
    pub path: String,
    /// Bytes in it.
    pub bytes: u64,
    /// Hash of its bytes (`exchange::hash_bytes`), by which a broken one is known.
    pub hash: u64,
}
