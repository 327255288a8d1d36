//! What is decided when an epoch closes, and what a checkpoint holds.
//!
//! Plain data, written as JSON into the journal: field names are part of its format.

use serde::{Deserialize, Serialize};

use super::lag::Lag;
use crate::record::Epoch;

/// A part of a source that is read in one order: a partition of a topic, or a followed file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// Name of the source.
    pub source: String,
    /// Topic, or the file's path.
    pub topic: String,
    /// Number within the topic; of a file how many of this name were followed before it.
    pub partition: i32,
}

/// By what a followed file is known, whatever it is called: where its first bytes, up to some place, are these, it is this file.
///
/// The samples say so cheaply where the file system says the same; the sum says so of a file that was copied or compressed, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// The inode that it had; where it has another one now, the bytes decide.
    pub inode: u64,
    /// When it was made, in microseconds since 1970, where the file system says so: an inode is used again.
    pub created: Option<i64>,
    /// Bytes that were seen in it, unpacked.
    pub size: u64,
    /// Line number of the place.
    pub line: u64,
    /// Hash of the first kibibyte before the place, or of all bytes where there are fewer; of a file of which nothing was read of those
    /// that were seen.
    pub head: u64,
    /// Hash of the last kibibyte before the place.
    pub seam: u64,
    /// CRC-32 of all bytes before the place.
    pub crc: u32,
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
    /// Of a followed file: by what it is known at `to`.
    #[serde(default)]
    pub file: Option<FileMark>,
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
    /// Changes of look-ups that were read in it: rows of the next epoch are the first to meet them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<ReferenceChange>,
    /// Rows that were parked before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked: u64,
    /// What was not read, or not visible, when it closed; only told where a check goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A change of a look-up's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceChange {
    /// The look-up.
    pub lookup: String,
    /// Whether the object holds all rows; else it holds those that went and came.
    pub whole: bool,
    /// Where they are, below the state folder.
    pub object: StateFile,
}

/// The rows of a look-up, as objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRows {
    /// The look-up.
    pub lookup: String,
    /// All rows as they once were, and how they changed since, in that order.
    pub objects: Vec<StateFile>,
}

impl ReferenceRows {
    /// Takes a change that was bound.
    pub fn take(all: &mut Vec<Self>, change: &ReferenceChange) {
        let known = all.iter().position(|rows| rows.lookup == change.lookup);
        let known = known.unwrap_or_else(|| {
            all.push(Self {
                lookup: change.lookup.clone(),
                objects: Vec::new(),
            });
            all.len() - 1
        });
        if change.whole {
            all[known].objects.clear();
        }
        all[known].objects.push(change.object.clone());
    }
}

impl Binding {
    /// Whether it holds no input, makes nothing known and changes no look-up.
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.references.is_empty()
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
    /// The rows of look-ups.
    #[serde(default)]
    pub references: Vec<ReferenceRows>,
    /// Look-ups that changed in its epoch.
    #[serde(default)]
    pub changed: Vec<String>,
    /// As in the epoch's binding.
    #[serde(default)]
    pub parked: u64,
    /// As in the epoch's binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// How far each shard of each cluster is that sinks write to.
    #[serde(default)]
    pub shards: Vec<ShardAt>,
    /// Older checkpoints whose state is kept beside its own, the oldest first; the first shares no file of state with it, unless it is
    /// `is_alone`.
    #[serde(default)]
    pub kept: Vec<CheckpointId>,
    /// Whether none of them is apart from it: what is fallen back to is the beginning of the job, and the journal is kept from there.
    #[serde(default)]
    pub is_alone: bool,
    /// What was counted since the job first began, as its summary says it.
    pub totals: serde_json::Value,
}

/// What tells a checkpoint from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointId {
    /// Its last epoch.
    pub epoch: Epoch,
    /// The life of the cluster that wrote it.
    pub generation: u64,
}

/// What a shard had delivered at a checkpoint: its progress can't be before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardAt {
    /// What names the cluster: its `id`.
    pub cluster: String,
    /// Which of its shards.
    pub shard: usize,
    /// The last epoch that had messages for it.
    pub last: Epoch,
}

impl Checkpoint {
    /// What tells it from all others.
    pub fn id(&self) -> CheckpointId {
        CheckpointId {
            epoch: self.epoch,
            generation: self.generation,
        }
    }

    /// All files that it needs: state of operators, and rows of look-ups.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        let references = self.references.iter();
        let objects = references.flat_map(|rows| &rows.objects);
        self.state.iter().chain(objects)
    }
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
