//! What workers tell the end of the run: counts and staged files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Epoch, Place};
use crate::alerts::BadRow;
use crate::epoch::StateFile;

/// One thing a worker has to tell; gathered on worker 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Note {
    /// What became of the rows that this worker read in an epoch.
    Rows {
        /// The epoch.
        epoch: Epoch,
        /// How many.
        counts: RowCounts,
    },
    /// A file that stands in the stage folder, whole.
    Staged {
        /// Index of the sink in the plan.
        sink: usize,
        /// Path below the sink's folder.
        path: String,
        /// Rows in it.
        rows: u64,
        /// Its size.
        bytes: u64,
        /// CRC-32 of its bytes.
        checksum: u32,
    },
    /// Rows that this worker has put into a sink's files, by epoch; of continuous jobs.
    Epochs {
        /// Index of the sink in the plan.
        sink: usize,
        /// The epochs that had rows, in order, and how many.
        rows: Vec<(Epoch, u64)>,
    },
    /// A file of the quarantine that stands in the stage folder, whole.
    Kept {
        /// Path below the quarantine's folder.
        path: String,
        /// Rows in it.
        rows: u64,
        /// Its size.
        bytes: u64,
    },
    /// A file of the history of verdicts that stands in the stage folder, whole.
    History {
        /// Path below the history's folder.
        path: String,
        /// Rows in it.
        rows: u64,
        /// Its size.
        bytes: u64,
    },
    /// Verdicts by which something gets bad, or is so no more.
    Bad(Vec<BadRow>),
    /// State of an operator of a continuous job, written at a checkpoint.
    State(StateFile),
    /// Messages of a sink that were handed to its topic's shards.
    Sent {
        /// Index of the sink in `plan.sinks`.
        sink: usize,
        /// Rows.
        rows: u64,
        /// Bytes of keys, values and headers.
        bytes: u64,
    },
    /// Rows written to standard output.
    Printed {
        /// Index of the sink in the plan.
        sink: usize,
        /// How many.
        rows: u64,
    },
    /// What one `[duplicates]` saw on a worker.
    Duplicates {
        /// Its index in the plan.
        rule: usize,
        /// What it saw.
        counts: DuplicateCounts,
    },
    /// Rows of a continuous job that came late for a window.
    Late {
        /// Its name.
        window: String,
        /// Those that it does not take any more, and another window of the job does.
        missed: u64,
        /// Those that correct it.
        corrected: u64,
    },
    /// Verdicts of one check: how many of each status, and the worst failures in words.
    Verdicts {
        /// Name of the check.
        check: String,
        /// Rows by status; one that was taken back counts −1.
        statuses: BTreeMap<String, i64>,
        /// The worst failures.
        failures: Vec<Failure>,
    },
}

/// Repeated rows that are shown to people, the first: as many as are read at once. Counts are told of all.
const SHOWN_REPEATS: usize = 3;

/// What a `[duplicates]` saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateCounts {
    /// Rows that came.
    pub seen: u64,
    /// Rows among them that repeat another.
    pub found: u64,
    /// The first of those, in the order of all input.
    pub first: Vec<Repeat>,
}

/// A row that repeats another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Repeat {
    /// Its place in the order of all input.
    pub order: (u64, u64),
    /// Where it stands.
    pub place: Place,
    /// Where the row stands that it repeats.
    pub repeats: Place,
}

impl DuplicateCounts {
    /// Adds what another worker saw, or the same one later.
    pub fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.found += other.found;
        self.first.extend(other.first);
        self.first.sort();
        self.first.truncate(SHOWN_REPEATS);
    }

    /// Counts one row that repeats another; rows come in the order of all input.
    pub fn found(&mut self, repeat: impl FnOnce() -> Repeat) {
        self.found += 1;
        if self.first.len() < SHOWN_REPEATS {
            self.first.push(repeat());
        }
    }
}

/// A verdict that fails the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// How bad it is; larger is worse. Comparable within one check.
    pub badness: f64,
    /// The verdict in words.
    pub words: String,
}

impl Failure {
    /// Keeps the `most` worst, worst first; of equally bad ones those first by their words. Whatever order and pieces the
    /// failures come in, the same ones are kept.
    pub fn keep_worst(failures: &mut Vec<Self>, most: usize) {
        failures.sort_by(|a, b| {
            let worse = b.badness.total_cmp(&a.badness);
            worse.then_with(|| a.words.cmp(&b.words))
        });
        failures.truncate(most);
    }
}

/// What became of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows read.
    pub rows_in: u64,
    /// Rows without a fault.
    pub clean: u64,
    /// Rows without a fault and without an event time, where windows go by it: they are in no window.
    pub timeless: u64,
    /// Rows refused.
    pub refused: u64,
    /// Rows dropped by a declared rule or option.
    pub dropped: u64,
    /// Rows that were put where they wait for a reference row, each time they were.
    pub parked: u64,
    /// Rows that waited and were read again.
    pub released: u64,
    /// Refused rows by their reason.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Dropped rows by rule.
    pub dropped_by_rule: BTreeMap<String, u64>,
    /// Rows that failed a rule that only warns, by rule; texts that an option of a source changed, by option.
    pub warned_by_rule: BTreeMap<String, u64>,
    /// Values that were read otherwise than they were written, by column and what was done.
    pub adjusted: BTreeMap<(String, String), u64>,
    /// Rows that failed a rule that stops the run, by rule.
    pub stopped_by_rule: BTreeMap<String, Stopped>,
}

/// Rows that failed a rule that stops the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// How many.
    pub rows: u64,
    /// Where the first of them stands, in the order of files and bytes.
    pub first: Place,
}

impl RowCounts {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        self.rows_in += other.rows_in;
        self.clean += other.clean;
        self.timeless += other.timeless;
        self.refused += other.refused;
        self.dropped += other.dropped;
        self.parked += other.parked;
        self.released += other.released;
        for (mine, theirs) in [
            (&mut self.refused_by_reason, &other.refused_by_reason),
            (&mut self.dropped_by_rule, &other.dropped_by_rule),
            (&mut self.warned_by_rule, &other.warned_by_rule),
        ] {
            for (name, rows) in theirs {
                *mine.entry(name.clone()).or_default() += rows;
            }
        }
        for (what, values) in &other.adjusted {
            *self.adjusted.entry(what.clone()).or_default() += values;
        }
        for (name, stopped) in &other.stopped_by_rule {
            self.stop(name, stopped.clone());
        }
    }

    /// Adds rows that failed the rule `name`, which stops the run.
    pub fn stop(&mut self, name: &str, stopped: Stopped) {
        match self.stopped_by_rule.get_mut(name) {
            None => {
                self.stopped_by_rule.insert(name.to_owned(), stopped);
            }
            Some(before) => {
                before.rows += stopped.rows;
                if stopped.first < before.first {
                    before.first = stopped.first;
                }
            }
        }
    }
}
