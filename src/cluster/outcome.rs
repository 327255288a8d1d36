//! What a run is asked for, what it shows while it goes, and what came of it.
//!
//! These are the only words between the command line and the engine: plain data, so that the engine knows no terminal and
//! the command line knows no dataflow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Cluster, Interrupt, Usage};
use crate::job::plan::{Keep, Plan};
use crate::observe::Observer;
use crate::record::{Repeat, RowCounts};

/// How a job is run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Worker threads in this process, at least 1.
    pub workers: usize,
    /// The time freshness is judged at, in microseconds since 1970 UTC; the newest event of all where absent.
    pub as_of: Option<i64>,
    /// Input ends after this many records, of all sources together; all are read where absent.
    pub limit: Option<u64>,
    /// Feed the rows again that the last run refused, and nothing else.
    pub replay: bool,
    /// Counters that move while the run goes. Held by the workers and by whoever shows them.
    pub progress: Arc<Progress>,
    /// This process among others; `None`: it is the only one.
    pub cluster: Option<Cluster>,
    /// The launch that started this process, where one did.
    pub launch: Option<String>,
    /// Takes what people should know while the run goes, a line or two at a time.
    pub tell: fn(&str),
    /// Set from outside to end the run with nothing visible.
    pub interrupt: Arc<Interrupt>,
    /// What the run shows of itself. Held by the workers, which tell it what they counted, and by whoever looks.
    pub observer: Arc<Observer>,
}

impl RunOptions {
    /// Number of processes.
    pub fn processes(&self) -> usize {
        let cluster = self.cluster.as_ref();
        cluster.map_or(1, |cluster| cluster.addresses.len())
    }

    /// One worker in one process, all input, nobody told.
    pub fn new(plan: &Arc<Plan>) -> Self {
        let progress = Arc::default();
        Self {
            workers: 1,
            as_of: None,
            limit: None,
            replay: false,
            observer: Observer::new(plan, &progress, 0, 1),
            progress,
            cluster: None,
            launch: None,
            tell: |_| {},
            interrupt: Arc::default(),
        }
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Files are found and reference rows loaded.
    Loading,
    /// Rows flow.
    Running,
    /// Outputs are made visible.
    Publishing,
}

impl Phase {
    /// The phase in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Publishing => "publishing",
        }
    }
}

/// Counters for people: they lag behind and are never decided upon.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    bytes_in: AtomicU64,
    total_bytes: AtomicU64,
    rows_in: AtomicU64,
    rows_clean: AtomicU64,
    rows_refused: AtomicU64,
    /// What other processes told of themselves: rows in, clean, refused, and bytes.
    others: Mutex<BTreeMap<usize, [u64; 4]>>,
}

impl Progress {
    /// Says what the run does now.
    pub fn set_phase(&self, phase: Phase) {
        let code = match phase {
            Phase::Loading => 0,
            Phase::Running => 1,
            Phase::Publishing => 2,
        };
        self.phase.store(code, Ordering::Relaxed);
        tracing::info!(
            action = "phase-changed",
            phase = phase.word(),
            "the run has come to its next phase"
        );
    }

    /// Sets the bytes of all input.
    pub fn set_total_bytes(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that were read.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A worker's own hand on the row counters.
    pub fn teller(self: &Arc<Self>) -> Teller {
        Teller {
            progress: Arc::clone(self),
            told: Rows::default(),
        }
    }

    /// What the run does now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Loading,
            1 => Phase::Running,
            _ => Phase::Publishing,
        }
    }

    /// Rows in, clean and refused, and bytes read, of this process.
    pub(super) fn own(&self) -> [u64; 4] {
        [
            &self.rows_in,
            &self.rows_clean,
            &self.rows_refused,
            &self.bytes_in,
        ]
        .map(|count| count.load(Ordering::Relaxed))
    }

    /// Takes what another process tells of itself.
    pub(super) fn hear(&self, process: usize, counts: [u64; 4]) {
        self.others
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(process, counts);
    }

    /// The counts of all processes, as far as they are known here.
    fn all(&self) -> [u64; 4] {
        let mut sum = self.own();
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        for counts in others.values() {
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        sum
    }

    /// Bytes read, and bytes of all input (0: not known yet). Compressed input can read as more than its files hold.
    pub fn bytes(&self) -> (u64, u64) {
        let [.., bytes] = self.all();
        (bytes, self.total_bytes.load(Ordering::Relaxed))
    }

    /// Rows of all workers so far.
    pub fn rows(&self) -> Rows {
        let [rows_in, clean, refused, _] = self.all();
        Rows {
            rows_in,
            clean,
            refused,
        }
    }
}

/// Rows so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows read.
    pub rows_in: u64,
    /// Rows without a fault.
    pub clean: u64,
    /// Rows refused.
    pub refused: u64,
}

/// Adds one worker's running counts to the [`Progress`] of all.
#[derive(Debug)]
pub struct Teller {
    progress: Arc<Progress>,
    told: Rows,
}

impl Teller {
    /// Tells the worker's counts of each source since the start of the run; only what is new is added.
    pub fn tell(&mut self, counts: &[RowCounts]) {
        let mut now = Rows::default();
        for counts in counts {
            now.rows_in += counts.rows_in;
            now.clean += counts.clean;
            now.refused += counts.refused;
        }
        let progress = &self.progress;
        for (total, now, told) in [
            (&progress.rows_in, now.rows_in, self.told.rows_in),
            (&progress.rows_clean, now.clean, self.told.clean),
            (&progress.rows_refused, now.refused, self.told.refused),
        ] {
            if now > told {
                total.fetch_add(now - told, Ordering::Relaxed);
            }
        }
        self.told = now;
    }
}

/// What came of a run that went to its end.
///
/// The row law holds: `rows_in + replayed = clean + refused + dropped + parked`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Rows read.
    pub rows_in: u64,
    /// Rows without a fault.
    pub clean: u64,
    /// Rows refused.
    pub refused: u64,
    /// Rows dropped by a declared rule or option.
    pub dropped: u64,
    /// Rows that still wait for a reference row; a bounded run ends with none.
    pub parked: u64,
    /// Rows of the quarantine fed again.
    pub replayed: u64,
    /// Refused rows by their reason.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Rows that failed a rule that only warns, by rule.
    pub warned_by_rule: BTreeMap<String, u64>,
    /// Values that were read otherwise than they were written, by column and what was done.
    pub adjusted: BTreeMap<(String, String), u64>,
    /// Dropped rows by rule or option.
    pub dropped_by_rule: BTreeMap<String, u64>,
    /// What each `[duplicates]` found, in the order of the job file.
    pub duplicates: Vec<DuplicatesSummary>,
    /// Verdicts by check and status; what was taken back is subtracted, also of what an earlier commit said.
    pub verdicts: BTreeMap<String, BTreeMap<String, i64>>,
    /// Whether the row law holds over all sinks; where it does not, what is wrong is in `stopped`.
    pub conserved: bool,
    /// What rules that stop the run have found, in words, and what is wrong of the row law; part of `failures`, too.
    pub stopped: Vec<String>,
    /// Why the run counts as failed, in words, the worst of each check; none: it is good.
    pub failures: Vec<String>,
    /// What each sink holds, in the order of the job file. Where the run failed it was thrown away.
    pub outputs: Vec<OutputSummary>,
    /// What went otherwise than a reader may expect, in words.
    pub warnings: Vec<String>,
    /// Seconds inside each operator, added up over workers, by its name (`room:step`).
    pub stages: BTreeMap<String, f64>,
    /// What the other processes took.
    pub others: Vec<Usage>,
    /// Wall time from start to end.
    pub seconds: f64,
}

impl Outcome {
    /// Whether the outputs are visible.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

/// What a `[duplicates]` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicatesSummary {
    /// Its name.
    pub name: String,
    /// What became of the rows.
    pub keep: Keep,
    /// Rows that repeat another.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<Repeat>,
}

/// What one sink holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputSummary {
    /// Name of the sink.
    pub sink: String,
    /// Where it is, for people.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_several_workers_add_up_and_are_told_once() {
        let progress = Arc::new(Progress::default());
        let (mut one, mut two) = (progress.teller(), progress.teller());
        let counts = |rows_in, clean, refused| RowCounts {
            rows_in,
            clean,
            refused,
            ..RowCounts::default()
        };
        one.tell(&[counts(8, 8, 0), counts(2, 1, 1)]);
        two.tell(&[counts(5, 5, 0)]);
        one.tell(&[counts(12, 10, 2)]);
        one.tell(&[counts(12, 10, 2)]);
        // A worker that has handed its counts over starts again; nothing is taken back.
        one.tell(&[RowCounts::default()]);
        assert_eq!(
            progress.rows(),
            Rows {
                rows_in: 17,
                clean: 15,
                refused: 2
            }
        );
    }
}
