//! What the workers of one process share, and how a run fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Interrupt;
use super::outcome::{Progress, RunOptions};
use crate::job::plan::{Measure, Plan, SinkFrom};
use crate::lookup::{EnrichError, Loaded, LookupError};
use crate::observe::Observer;
use crate::record::Note;
use crate::sinks::SinkError;
use crate::sources::{Feed, SourceError};
use crate::validate::SplitError;

/// Shared by the workers of one process for the length of a run.
#[derive(Debug)]
pub struct Run {
    /// The job.
    pub plan: Arc<Plan>,
    /// All input.
    pub feed: Feed,
    /// The rows of each look-up, in plan order.
    pub references: Vec<Loaded>,
    /// Counters for people.
    pub progress: Arc<Progress>,
    /// What the run shows of itself.
    pub observer: Arc<Observer>,
    /// For each column id, whether anything behind the split needs it.
    pub needed: Vec<bool>,
    /// Wall time bound to the run, in microseconds since 1970: what `now()` is.
    pub now: i64,
    /// The time freshness is judged at, in microseconds since 1970; the newest event where absent.
    pub as_of: Option<i64>,
    /// Where sinks stage their files; `None` where no sink writes files.
    pub stage: Option<std::path::PathBuf>,
    interrupt: Arc<Interrupt>,
    failed: AtomicBool,
    failure: Mutex<Option<RunError>>,
    notes: Mutex<Vec<Note>>,
}

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A look-up could not be loaded.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Output could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The operating system gave no thread.
    #[error("the workers could not be started: {message}")]
    Start {
        /// Why.
        message: String,
    },
    /// Someone asked the run to end.
    #[error("interrupted; nothing of this run is visible")]
    Interrupted,
    /// Another worker panicked, which is told where it happened.
    #[error("a worker ended by a bug; nothing of this run is visible")]
    Panicked,
    /// An internal error: batches that don't fit together.
    #[error("internal error")]
    Enrich(#[from] EnrichError),
    /// An internal error: batches that don't fit together.
    #[error("internal error")]
    Split(#[from] SplitError),
}

impl Run {
    /// Puts together what a run shares.
    pub fn new(
        plan: &Arc<Plan>,
        feed: Feed,
        references: Vec<Loaded>,
        options: &RunOptions,
        now: i64,
        stage: Option<std::path::PathBuf>,
    ) -> Self {
        Self {
            needed: needed(plan),
            plan: Arc::clone(plan),
            feed,
            references,
            progress: Arc::clone(&options.progress),
            observer: Arc::clone(&options.observer),
            now,
            as_of: options.as_of,
            stage,
            interrupt: Arc::clone(&options.interrupt),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            notes: Mutex::new(Vec::new()),
        }
    }

    /// Ends the run with this error; the first one counts.
    pub fn fail(&self, error: RunError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Whether workers should stop now.
    pub fn is_over(&self) -> bool {
        if self.interrupt.is_asked() {
            self.fail(RunError::Interrupted);
        }
        self.failed.load(Ordering::Acquire)
    }

    /// The failure, if any.
    pub fn take_failure(&self) -> Option<RunError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Keeps what workers told.
    pub fn tell(&self, notes: &mut Vec<Note>) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(notes);
    }

    /// Everything that was told.
    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For each column, whether a key, statistic, check or sink needs it, or an earlier step does to make such a column.
fn needed(plan: &Plan) -> Vec<bool> {
    let mut needed = vec![false; plan.columns.len()];
    let mut need = |ids: &[usize]| ids.iter().for_each(|id| needed[*id] = true);
    need(&plan.key);
    for window in &plan.windows {
        need(&window.per);
        need(&[window.event_time]);
        for statistic in &window.statistics {
            for expression in statistic.argument.iter().chain(&statistic.filter) {
                need(expression.inputs());
            }
        }
    }
    for check in &plan.checks {
        match &check.measure {
            Measure::Completeness { column, .. } => need(&[*column]),
            Measure::Freshness {
                per, event_time, ..
            } => {
                need(per);
                need(&[*event_time]);
            }
            Measure::Variance { .. } => {}
        }
    }
    for sink in plan.sinks.iter().filter(|sink| sink.from == SinkFrom::Rows) {
        for column in &sink.columns {
            need(column.expression.inputs());
        }
    }
    // Reference columns are only gathered where needed: by what is behind the split, and by steps before it.
    for lookup in &plan.lookups {
        for (_, key) in &lookup.on {
            need(key.inputs());
        }
        if let Some(validity) = &lookup.validity {
            need(validity.at.inputs());
        }
    }
    for derived in &plan.derived {
        need(derived.expression.inputs());
    }
    for rule in &plan.rules {
        need(rule.expect.inputs());
    }
    needed
}
