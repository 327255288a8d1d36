//! What the workers of one process share, and how a run fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::frame::{Begin, Resumed};
use super::outcome::{Progress, RunOptions};
use super::{Fate, JoinError, Life, ReplayError};
use crate::checks::calendar::{Calendar, HolidaysError};
use crate::epoch::state::Unread;
use crate::epoch::{Journal, JournalError, Reading, Store, look_at_state};
use crate::job::plan::{Complete, Measure, Plan, SinkFrom};
use crate::job::tables::DUPLICATES_BEFORE_ROWS;
use crate::lookup::{self, EnrichError, Loaded, LookupError};
use crate::observe::Observer;
use crate::record::{Budget, Epoch, Note};
use crate::sinks::kafka::TopicError;
use crate::sinks::kafka::encode::MessageError;
use crate::sinks::{SinkError, chain, staged_run};
use crate::sources::{Feed, SourceError};
use crate::validate::SplitError;

/// Shared by the workers of one process for the length of a run.
#[derive(Debug)]
pub struct Run {
    /// The job.
    pub plan: Arc<Plan>,
    /// All input that processes share; on process 0 only, which cuts it for all.
    pub feed: Option<Feed>,
    /// The input that this one of several processes has to itself.
    pub own: Option<OwnFeed>,
    /// Bytes that may be between readers and sinks in this process.
    pub budget: Arc<Budget>,
    /// Number of processes.
    pub processes: usize,
    /// For each look-up whether every worker has a share of its rows, or all of them; the same in all processes.
    pub partitioned: Vec<bool>,
    /// What workers of this process hold together of each look-up.
    pub shared: Vec<lookup::Shared>,
    /// Counters for people.
    pub progress: Arc<Progress>,
    /// What the run shows of itself.
    pub observer: Arc<Observer>,
    /// For each column id, whether anything needs it: a step before the split or what is behind it.
    pub needed: Vec<bool>,
    /// For each column id, whether anything behind the split needs it.
    pub carried: Vec<bool>,
    /// Wall time bound to the run, in microseconds since 1970: what `now()` is.
    pub now: i64,
    /// The time freshness is judged at, in microseconds since 1970; the newest event where absent.
    pub as_of: Option<i64>,
    /// The calendars of the plan, with the days of their files.
    pub calendars: Vec<Arc<Calendar>>,
    /// Where sinks stage their files; `None` where no sink writes files.
    stage: Option<PathBuf>,
    /// In a continuous job, from where it goes on.
    pub resumed: Option<Resumed>,
    /// The state that it goes on from, as far as this process has read it.
    pub(super) reading: OnceLock<Arc<Reading>>,
    /// How many workers take it up here.
    pub workers: usize,
    /// In a continuous job, on process 0: this life of it.
    pub life: Option<Arc<Life>>,
    /// The place of a continuous job's state, once it was asked for.
    state: OnceLock<Arc<dyn Store>>,
    /// What the open epochs of a continuous job see.
    seen: RwLock<BTreeMap<Epoch, Seen>>,
    /// How the run goes.
    pub fate: Arc<Fate>,
    /// The rows of each look-up, in plan order, until the worker that sends them takes them; none on other processes than 0.
    references: Mutex<Vec<Loaded>>,
    notes: Mutex<Vec<Note>>,
}

/// What an epoch sees of what was bound before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Wall time, in microseconds since 1970.
    pub now: i64,
    /// Event time before which rows are late, in microseconds since 1970.
    pub watermark: Option<i64>,
    /// Whether rows may be parked.
    pub may_park: bool,
}

/// Epochs that are remembered after they were opened: more than may be open at once.
const KEPT_EPOCHS: u64 = 16;

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file of a calendar could not be read.
    #[error(transparent)]
    Holidays(#[from] HolidaysError),
    /// A look-up could not be loaded.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Output could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A row that can't be refused any more is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A topic could not be written.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The state folder of a continuous job is empty, and its output is not.
    #[error(
        "{}: holds no journal, but {} holds what this job has committed
  expected: the state that goes with the output
  now: nothing was started; going on would deliver rows twice
  hint: restore the state, or give the job another output", state, output.display()
    )]
    StateLost {
        /// Where the state is.
        state: String,
        /// The output folder.
        output: PathBuf,
    },
    /// The output of a continuous job is gone, or is another one.
    #[error(
        "{state}: the journal tells of commits, but {} holds none
  expected: the output that goes with the state: one state for each output
  now: nothing was started; what was committed before would be missing
  hint: restore the output, or give the job another state, where it begins anew", output.display()
    )]
    OutputLost {
        /// Where the state is.
        state: String,
        /// The output folder.
        output: PathBuf,
    },
    /// No checkpoint can be gone on from, and what came before the oldest is not kept.
    #[error(
        "{state}: none of {checkpoints} checkpoints can be gone on from: their state is broken, or the output does not have what they hold
  expected: one whose files are whole and whose rows are visible
  now: the process ends; what was committed stays visible
  hint: restore state and output as they were, whole; else give the job another state and output, where it begins anew"
    )]
    NoCheckpoint {
        /// Where the state is.
        state: String,
        /// How many there are.
        checkpoints: usize,
    },
    /// The checkpoints from a change of the job on are broken, and what is before them was read by another text.
    #[error(
        "{state}: no checkpoint from epoch {since} on can be gone on from: their state is broken, or the output does not have what they hold
  expected: one of the job as it is now: its file or the program was changed then, and what was read before would be read otherwise
  now: the process ends; what was committed stays visible
  hint: restore state and output as they were, whole; else give the job another state and output, where it begins anew"
    )]
    ReadByOther {
        /// Where the state is.
        state: String,
        /// The epoch behind which the job is as it is.
        since: Epoch,
    },
    /// The job file is not the one that the journal knows.
    #[error(
        "{job}: the job file is another one than the state was written with: {difference}
  expected: one that its state can go on with: rules, checks, windows, derived columns, sinks and columns that may be null can be added
  now: nothing was started
  hint: run the job as it was, or give it another state and output, where it begins anew"
    )]
    OtherPlan {
        /// The job.
        job: String,
        /// What differs and is not allowed to.
        difference: String,
    },
    /// Job file or program were changed while there were epochs to be read again.
    #[error(
        "{job}: job file or program were changed ({difference}), and epochs after {checkpoint} up to {bound} are to be read again as they were read before
  expected: a job that was stopped in good order before that
  now: nothing was started
  hint: run it once as it was, stop it (`caudal stop`), and start it as it is now"
    )]
    NotDrained {
        /// The job.
        job: String,
        /// What differs.
        difference: String,
        /// The epoch of the checkpoint that it goes on from.
        checkpoint: Epoch,
        /// The newest epoch that is bound.
        bound: Epoch,
    },
    /// A source is another one than it was.
    #[error(
        "{job}: {source_name}: the brokers belong to cluster {found}, and the state is of cluster {known}
  expected: the same cluster: positions in another one mean nothing
  now: nothing was started
  hint: mind `brokers`; for another cluster give the job another state and output"
    )]
    OtherCluster {
        /// The job.
        job: String,
        /// The source.
        source_name: String,
        /// The cluster of the state, by its own id.
        known: String,
        /// That of the brokers.
        found: String,
    },
    /// A sink was written otherwise than the rows beside which new ones would be put.
    #[error(
        "sinks.{sink} has other columns, another format or another folder than what is visible, and rows of new files would not fit beside it\n  expected: the sink as it was in the last run\n  now: nothing was read\n  hint: a run with rerun = \"replace\" reads all files and replaces what is visible"
    )]
    OtherShape {
        /// The sink.
        sink: String,
    },
    /// The job is running already.
    #[error(
        "{job}: it is running: generation {generation} answers at {address}\n  expected: one run of a job at a time\n  now: nothing was started\n  hint: `caudal stop` ends it; for a second job give it another name, state and output"
    )]
    Running {
        /// The job.
        job: String,
        /// Its life.
        generation: u64,
        /// Where it answers.
        address: String,
    },
    /// State of a checkpoint can't be read.
    #[error(
        "{place}: {problem}\n  expected: state as a checkpoint of this job wrote it\n  now: the process ends\n  hint: restore the state as it was, whole"
    )]
    State {
        /// The file.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A rule stopped a continuous job.
    #[error("{words}
  now: what was committed before stays visible; the rows since are read again when the job is started again")]
    Stopped {
        /// Which, and where.
        words: String,
    },
    /// The journal of a continuous job could not be read or written, or belongs to a newer generation now.
    #[error(transparent)]
    Journal(#[from] JournalError),
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
    /// Refused rows can't be fed again.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The processes did not come together.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A process does not answer any more.
    #[error(
        "process {process} ({address}) is lost: {why}\n  now: the run ends on all processes; nothing of it is visible"
    )]
    Lost {
        /// Which.
        process: usize,
        /// Its address.
        address: String,
        /// How that is known.
        why: String,
    },
    /// Another process failed.
    #[error("process {process} failed: {words}")]
    Peer {
        /// Which.
        process: usize,
        /// The exit code for all.
        exit_code: u8,
        /// What it said.
        words: String,
    },
    /// Process 0 ended the run.
    #[error("the run was ended by process 0: {words}")]
    Over {
        /// The exit code for all.
        exit_code: u8,
        /// Why.
        words: String,
    },
    /// The output folder is not the one that process 0 sees.
    #[error(
        "{}: process 0 stages its files here, and this process sees another folder\n  expected: one folder for all processes\n  now: the run ends; nothing of it is visible\n  hint: put the output on a shared file system, at the same path for all", path.display()
    )]
    Unshared {
        /// The folder.
        path: PathBuf,
    },
    /// An internal error: batches that don't fit together.
    #[error("internal error")]
    Enrich(#[from] EnrichError),
    /// An internal error: batches that don't fit together.
    #[error("internal error")]
    Split(#[from] SplitError),
}

/// Input that one of several processes has to itself.
#[derive(Debug)]
pub struct OwnFeed {
    /// It.
    pub feed: Feed,
    /// Whose it is: the process's address, as the host file writes it.
    pub address: String,
}

impl OwnFeed {
    /// How a file of its is named to people, who have to know on which machine it lies.
    pub fn shown(&self, path: &Path) -> PathBuf {
        format!("{}:{}", self.address, path.display()).into()
    }
}

/// What process 0 has before the workers start.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) feed: Feed,
    pub(super) references: Vec<Loaded>,
}

impl From<Unread> for RunError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Broken { place, problem } => Self::State { place, problem },
            Unread::Store(error) => error.into(),
        }
    }
}

impl RunError {
    /// What is said where the operating system gave no thread.
    pub(crate) fn no_thread(error: std::io::Error) -> Self {
        let message = error.to_string();
        Self::Start { message }
    }

    /// The exit code of a process that ends with this error: the table is in `caudal --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted => 130,
            Self::Enrich(_) | Self::Split(_) | Self::Panicked => 101,
            Self::Replay(_)
            | Self::OtherPlan { .. }
            | Self::NotDrained { .. }
            | Self::OtherCluster { .. }
            | Self::OtherShape { .. } => 2,
            Self::Stopped { .. } => 1,
            Self::Peer { exit_code, .. } | Self::Over { exit_code, .. } => *exit_code,
            _ => 3,
        }
    }
}

impl Run {
    /// Puts together what a run shares. Other processes than 0 have no `input` of their own.
    pub(super) fn new(
        plan: &Arc<Plan>,
        options: &RunOptions,
        fate: &Arc<Fate>,
        budget: &Arc<Budget>,
        begin: &Begin,
        input: Option<Input>,
        own: Option<OwnFeed>,
    ) -> Self {
        let carried = needed(plan, false);
        options.observer.placed(&begin.partitioned);
        let (feed, references) = input.map(|input| (input.feed, input.references)).unzip();
        Self {
            needed: needed(plan, true),
            carried,
            plan: Arc::clone(plan),
            feed,
            own,
            budget: Arc::clone(budget),
            processes: options.processes(),
            partitioned: begin.partitioned.clone(),
            shared: plan
                .lookups
                .iter()
                .map(|_| lookup::Shared::default())
                .collect(),
            references: Mutex::new(references.unwrap_or_default()),
            progress: Arc::clone(&options.progress),
            observer: Arc::clone(&options.observer),
            now: begin.now,
            as_of: begin.as_of,
            calendars: calendars(plan, &begin.holidays),
            stage: begin
                .stage
                .as_ref()
                .map(|run| staged_run(&plan.output, run)),
            resumed: begin.resumed.clone(),
            reading: OnceLock::new(),
            workers: options.workers,
            state: OnceLock::new(),
            life: None,
            seen: RwLock::default(),
            fate: Arc::clone(fate),
            notes: Mutex::new(Vec::new()),
        }
    }

    /// The place of a continuous job's state.
    ///
    /// # Errors
    /// Where its client can't be made.
    ///
    /// # Panics
    /// In a bounded run.
    pub fn state(&self) -> Result<Arc<dyn Store>, JournalError> {
        let continuous = self.plan.continuous.as_ref();
        let at = &continuous.expect("only a continuous job has state").state;
        if let Some(known) = self.state.get() {
            return Ok(Arc::clone(known));
        }
        let made = look_at_state(at, self.fate.over())?;
        Ok(Arc::clone(self.state.get_or_init(|| made)))
    }

    /// A run in this process alone, bound to the time `now`, that stages no files: what a part of the engine needs by itself.
    pub fn alone(
        plan: &Arc<Plan>,
        feed: Feed,
        references: Vec<Loaded>,
        options: &RunOptions,
        now: i64,
    ) -> Self {
        let begin = Begin {
            now,
            as_of: options.as_of,
            holidays: Vec::new(),
            replay: false,
            stage: None,
            resumed: None,
            mark: String::new(),
            partitioned: lookup::partitioned(plan, &references, 1),
        };
        let fate = Arc::new(Fate::new(&options.interrupt));
        let budget = Budget::new(plan.in_flight_bytes);
        let input = Input { feed, references };
        Self::new(plan, options, &fate, &budget, &begin, Some(input), None)
    }

    /// Where the files of an interval are staged: that of the run, or in a continuous job that after epoch `from`.
    pub fn stage(&self, from: Epoch) -> Option<PathBuf> {
        match &self.resumed {
            None => self.stage.clone(),
            Some(resumed) => Some(chain::staged(
                &self.plan.output,
                resumed.generation,
                interval(from),
            )),
        }
    }

    /// What rows of an epoch take for now, in microseconds since 1970.
    pub fn now_of(&self, epoch: Epoch) -> i64 {
        if self.resumed.is_none() {
            return self.now;
        }
        self.sees(epoch).now
    }

    /// What an epoch of a continuous job sees. It is opened in every process before a worker of it reads rows for it.
    pub fn sees(&self, epoch: Epoch) -> Seen {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        *seen.get(&epoch).expect("rows belong to an open epoch")
    }

    /// Says that an epoch is open here, and what it sees.
    pub fn opened(&self, epoch: Epoch, what: Seen) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(epoch, what);
        *seen = seen.split_off(&epoch.saturating_sub(KEPT_EPOCHS));
    }

    /// The newest life that the journal of a continuous job knows.
    ///
    /// Errors: the journal can't be read.
    pub fn newest_generation(&self) -> Result<u64, RunError> {
        Ok(Journal::open(self.state()?)?.history.generation)
    }

    /// The state that a continuous job goes on from, as far as this process has read it.
    ///
    /// Errors: its place can't be opened.
    pub fn reading(&self) -> Result<&Arc<Reading>, JournalError> {
        if let Some(known) = self.reading.get() {
            return Ok(known);
        }
        let made = Arc::new(Reading::new(self.state()?));
        Ok(self.reading.get_or_init(|| made))
    }

    /// Ends the run with this error; the first one counts.
    pub fn fail(&self, error: RunError) {
        self.fate.fail(error);
    }

    /// Whether workers should stop now.
    pub fn is_over(&self) -> bool {
        self.fate.is_over()
    }

    /// The loaded rows of a look-up; taken once, so that they are let go when they are sent.
    pub fn take_reference(&self, lookup: usize) -> Loaded {
        let mut references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        references
            .get_mut(lookup)
            .map(std::mem::take)
            .unwrap_or_default()
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

/// The calendars of a plan; `holidays` are the days of their files.
fn calendars(plan: &Plan, holidays: &[Vec<i64>]) -> Vec<Arc<Calendar>> {
    let calendars = plan.calendars.iter().enumerate();
    let of_file = |index: usize| holidays.get(index).map_or(&[][..], Vec::as_slice);
    calendars
        .map(|(index, calendar)| Arc::new(Calendar::new(calendar, of_file(index))))
        .collect()
}

/// The interval of a generation in which sinks stage what comes after epoch `from`.
pub(super) fn interval(from: Epoch) -> u64 {
    from + 1
}

/// For each column, whether a key, statistic, check or sink needs it, or, with `before`, also a step before the split.
fn needed(plan: &Plan, before: bool) -> Vec<bool> {
    let mut needed = vec![false; plan.columns.len()];
    let mut need = |ids: &[usize]| ids.iter().for_each(|id| needed[*id] = true);
    need(&plan.key);
    for duplicates in &plan.duplicates {
        need(&duplicates.columns);
    }
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
            Measure::Completeness { of, filter, .. } => {
                match of {
                    Complete::Column(column) => need(&[*column]),
                    Complete::Columns(columns, _) => need(columns),
                    Complete::Matched { key, .. } => need(&[*key]),
                    Complete::Rows(_) | Complete::Files(_) | Complete::Refused => {}
                }
                if let Some(filter) = filter {
                    need(filter.inputs());
                }
            }
            Measure::Freshness(freshness) => need(&freshness.inputs().collect::<Vec<_>>()),
            Measure::Variance { .. } => {}
        }
    }
    for sink in plan.sinks.iter().filter(|sink| sink.from == SinkFrom::Rows) {
        for expression in sink.expressions() {
            need(expression.inputs());
        }
    }
    for sink in plan
        .sinks
        .iter()
        .filter(|sink| sink.from == SinkFrom::Duplicates)
    {
        let inputs = sink
            .columns
            .iter()
            .flat_map(|column| column.expression.inputs());
        let of_rows = inputs.filter_map(|place| place.checked_sub(DUPLICATES_BEFORE_ROWS));
        need(&of_rows.collect::<Vec<_>>());
    }
    if !before {
        return needed;
    }
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
