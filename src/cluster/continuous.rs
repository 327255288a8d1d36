//! A continuous job on process 0: it claims the job, goes on from the newest checkpoint, and commits at each further one.
//!
//! ```text
//! claim ──> empty manifest of this generation ──> checkpoint ──> partitions ──> the dataflow
//!                                                                                 │ bindings, notes
//!                       journal's thread: binding e is durable  <─────────────────┘
//!                              └──> committer's thread: checkpoint e in the journal, manifest (from, e], files published
//! ```
//!
//! The order is the argument. Whoever claims is the only one that can append from then on; its empty manifest makes every put of an
//! older generation fail; only then is what others staged tidied up. A checkpoint is in the journal before the manifest that makes
//! its rows visible, so that whatever is visible can be gone on from; and it is used only where the manifest followed. Between the
//! two a crash costs a replay, and no row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::{Begin, Resumed};
use super::life::{Life, Resume, Told, lock};
use super::outcome::{Outcome, Phase, RunOptions};
use super::run::{Input, interval};
use super::start::{Ended, MARK, Others, execute, load, staged_files};
use super::{Fate, Run, RunError};
use crate::epoch::{
    self, Binding, Checkpoint, Claim, Drained, History, Journal, LocalStore, Moved, Partition,
    PlanText, Record, StateFile, Totals, state,
};
use crate::job::plan::{Continuous, Plan, Transport};
use crate::lookup::{self, Loaded};
use crate::observe::client;
use crate::record::{Budget, Epoch, Note};
use crate::sinks::chain::{Chain, Commit};
use crate::sinks::{SinkError, staged_run};
use crate::sources::{Discovery, Feed, Found};

/// How often brokers are asked for partitions that are new.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(10);

/// How long a life that is at work may take to say so.
const ALIVE: Duration = Duration::from_secs(1);

/// How often it is looked whether someone asks for the end.
const LOOK: Duration = Duration::from_millis(20);

/// After how long bindings that hold nothing are made durable: nothing waits for them.
const EMPTY_WAIT: Duration = Duration::from_secs(10);

/// Checkpoints whose state is kept: where the newest is broken, the one before is used.
const KEPT_CHECKPOINTS: usize = 2;

/// Runs one life of a continuous job, on process 0.
pub(super) fn lead(
    plan: &Arc<Plan>,
    continuous: &Continuous,
    options: &RunOptions,
    fate: &Arc<Fate>,
    others: Option<Others>,
) -> Result<Ended, RunError> {
    let started = Instant::now();
    options.progress.set_phase(Phase::Loading);
    let budget = Budget::new(plan.in_flight_bytes);
    options.observer.watch_budget(&budget);
    let store: Arc<dyn epoch::Store> = Arc::new(LocalStore::open(&continuous.state)?);
    epoch::probe(&*store)?;
    let opened = open_journal(plan, &store)?;
    fits(plan, &opened.history)?;
    let chain = Chain::open(&plan.output, &plan.name, &plan.sinks)?;
    if opened.history.is_new() && chain.committed().is_some() {
        return Err(RunError::StateLost {
            state: continuous.state.clone(),
            output: plan.output.clone(),
        });
    }
    let (journal, history) = opened.claim(Claim {
        processes: options.processes(),
        workers: options.workers,
        address: options.observer.served_at(),
        nonce: nonce(options),
    })?;
    let generation = journal.generation();
    let chain = chain.take_over(generation)?;
    let announced = options.observer.announce(&plan.output);
    options.observer.generation(generation);
    let chosen = choose(continuous, &history, chain.committed());
    let (resume, resumed, totals) = resume(plan, &history, chosen, generation, chain.committed());
    let mut discoveries = discoveries(plan, &resume)?;
    let (resume, found) = look(plan, options, resume, &mut discoveries, fate)?;
    let references = plan
        .lookups
        .iter()
        .map(|lookup| load(lookup, fate))
        .collect::<Result<Vec<Loaded>, _>>()?;
    let warnings: Vec<String> = references
        .iter()
        .flat_map(|loaded| loaded.warnings.iter().cloned())
        .collect();
    let kept = history.checkpoints.iter().rev();
    let kept = kept.map(|checkpoint| (checkpoint.epoch, checkpoint.generation));
    let kept: VecDeque<(Epoch, u64)> = kept.collect();
    let journal = Arc::new(Mutex::new(journal));
    begin_journal(plan, &journal, &history, &resume)?;
    let begin = Begin {
        now: epoch::wall_time(),
        as_of: None,
        replay: false,
        stage: Some(format!("life-{generation:08}")),
        mark: format!("{generation} {}", std::process::id()),
        partitioned: lookup::partitioned(plan, &references, options.processes()),
        resumed: Some(resumed),
    };
    if let Some(others) = &others {
        let path = staged_run(&plan.output, begin.stage.as_deref().unwrap_or_default()).join(MARK);
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &begin.mark))
            .map_err(|error| SinkError::io(&path, "writing a file", error))?;
        others.peers.begin(&begin);
    }
    let (told, hears) = channel();
    let life = Arc::new(Life::new(generation, resume, found, told));
    let input = Input {
        feed: Feed::new(plan, &budget, None, |_| false)?,
        references,
    };
    let mut run = Run::new(plan, options, fate, &budget, &begin, Some(input), None);
    run.life = Some(Arc::clone(&life));
    let run = Arc::new(run);
    let behind = Behind::start(
        &run,
        &life,
        continuous,
        journal,
        chain,
        totals,
        hears,
        discoveries,
        kept,
    )?;
    options.progress.set_phase(Phase::Running);
    let peers = others.as_ref().map(|others| Arc::clone(&others.peers));
    let busy = execute(&run, options.workers, others);
    // However it went: the threads behind get no more, and end.
    life.tell(Told::End);
    let committed = behind.join();
    let busy = busy?;
    if peers.is_some() {
        fate.wait_peers(run.processes - 1)?;
    }
    fate.check()?;
    let Committed {
        journal,
        totals,
        epoch,
    } = committed;
    if let Some(peers) = peers {
        peers.expect_the_end();
    }
    let next = options.interrupt.next();
    lock(&journal).append(Record::Drained(Drained {
        epoch,
        processes: next.map_or(0, |(processes, _)| processes),
        workers: next.map_or(0, |(_, workers)| workers),
    }))?;
    drop(announced);
    let mut outcome = Outcome {
        warnings,
        stages: busy,
        ..Outcome::default()
    };
    staged_files(plan, Vec::new(), &mut outcome);
    totals.fill(&mut outcome);
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(Ended::Led(Box::new(outcome)))
}

/// A word that no other claim has; it begins with the launch's, where there is one.
fn nonce(options: &RunOptions) -> String {
    let mut bytes = [0; 16];
    // Where the system has no randomness, the time and the process are different, too.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&epoch::wall_time().to_le_bytes());
        bytes[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    }
    let number = u128::from_le_bytes(bytes);
    match &options.launch {
        Some(launch) => format!("{launch} {number}"),
        None => number.to_string(),
    }
}

/// Whether the journal is one of this job as it stands now.
fn fits(plan: &Plan, history: &History) -> Result<(), RunError> {
    match &history.plan {
        Some(known) if known.text != *plan.text => Err(RunError::OtherPlan {
            job: plan.name.clone(),
            difference: difference(&known.text, &plan.text),
        }),
        _ => Ok(()),
    }
}

/// Reads the journal, unless a life of the job is at work: it is not taken over from by accident. One that commits what it has and
/// ends is waited for; one whose process is gone or stands still does not answer.
fn open_journal(plan: &Plan, store: &Arc<dyn epoch::Store>) -> Result<epoch::Opened, RunError> {
    let since = Instant::now();
    loop {
        let opened = Journal::open(Arc::clone(store))?;
        let history = &opened.history;
        let claim = history.claim.as_ref().filter(|_| history.drained.is_none());
        let Some(address) = claim.and_then(|claim| claim.address.clone()) else {
            return Ok(opened);
        };
        let Ok(at) = address.parse() else {
            return Ok(opened);
        };
        let own = format!("{} {} ", plan.name, history.generation);
        let answer = client::get_within(at, "/life", None, ALIVE);
        match answer.as_ref().map(|answer| answer.body.strip_prefix(&own)) {
            Ok(Some("ends\n")) if since.elapsed() < plan.join_timeout => {
                std::thread::sleep(LOOK);
            }
            Ok(Some(_)) => {
                return Err(RunError::Running {
                    job: plan.name.clone(),
                    generation: history.generation,
                    address,
                });
            }
            _ => return Ok(opened),
        }
    }
}

/// The first line in which two texts differ.
fn difference(before: &str, now: &str) -> String {
    let mut lines = before.lines().zip(now.lines()).enumerate();
    match lines.find(|(_, (before, now))| before != now) {
        Some((line, (before, now))) => format!("line {} was `{before}` and is `{now}`", line + 1),
        None => "lines were added or taken away at the end".to_owned(),
    }
}

/// The newest checkpoint that what is visible covers and whose state is whole.
fn choose<'a>(
    continuous: &Continuous,
    history: &'a History,
    committed: Option<Epoch>,
) -> Option<&'a Checkpoint> {
    let usable = |checkpoint: &&Checkpoint| {
        if committed.is_none_or(|committed| checkpoint.epoch > committed) {
            return false;
        }
        match state::verify(&continuous.state, &checkpoint.state) {
            Ok(()) => true,
            Err(problem) => {
                tracing::warn!(
                    action = "checkpoint-broken",
                    epoch = checkpoint.epoch,
                    problem = %problem,
                    "a checkpoint can't be used; the job goes on from the one before"
                );
                false
            }
        }
    };
    history.checkpoints.iter().find(usable)
}

/// From where this life goes on.
fn resume(
    plan: &Plan,
    history: &History,
    chosen: Option<&Checkpoint>,
    generation: u64,
    committed: Option<Epoch>,
) -> (Resume, Resumed, Totals) {
    let replay = |after: Epoch| -> Vec<Binding> {
        let bindings = history.bindings.iter();
        bindings
            .filter(|binding| binding.epoch > after)
            .cloned()
            .collect()
    };
    let (resume, state, totals) = if let Some(checkpoint) = chosen {
        (
            Resume {
                epoch: checkpoint.epoch,
                now: checkpoint.now,
                watermark: checkpoint.watermark,
                partitions: checkpoint.partitions.clone(),
                replay: replay(checkpoint.epoch),
            },
            checkpoint.state.clone(),
            serde_json::from_value(checkpoint.totals.clone()).unwrap_or_default(),
        )
    } else {
        let first = history.bindings.front().filter(|first| first.epoch == 0);
        let resume = Resume {
            epoch: 0,
            now: first.map_or_else(epoch::wall_time, |first| first.now),
            watermark: None,
            partitions: first.map_or_else(Vec::new, |first| first.moved.clone()),
            replay: replay(0),
        };
        (resume, Vec::new(), Totals::default())
    };
    tracing::info!(
        action = "life-begun",
        job = plan.name,
        generation,
        checkpoint = resume.epoch,
        replayed_epochs = resume.replay.len(),
        state_bytes = state.iter().map(|file| file.bytes).sum::<u64>(),
        "the job goes on"
    );
    let resumed = Resumed {
        generation,
        epoch: resume.epoch,
        state,
        committed,
    };
    (resume, resumed, totals)
}

/// What asks for partitions of each source.
fn discoveries(plan: &Plan, resume: &Resume) -> Result<Vec<Discovery>, RunError> {
    let replayed = resume.replay.iter().flat_map(|binding| &binding.moved);
    let known = resume.partitions.iter().chain(replayed);
    let known: BTreeSet<&Partition> = known.map(|moved| &moved.partition).collect();
    let mut discoveries = Vec::new();
    for source in &plan.sources {
        if let Transport::Kafka(kafka) = &source.transport {
            let known = known.iter().filter(|known| known.source == source.name);
            let known = known.map(|known| Partition::clone(known)).collect();
            let made = Discovery::new(&source.name, kafka, known);
            discoveries.push(made.map_err(crate::sources::SourceError::from)?);
        }
    }
    Ok(discoveries)
}

/// Finds new partitions, and holds the known ones against what the brokers have.
fn look(
    plan: &Plan,
    options: &RunOptions,
    mut resume: Resume,
    discoveries: &mut [Discovery],
    fate: &Fate,
) -> Result<(Resume, Vec<Found>), RunError> {
    let over = || fate.is_over();
    let patience = plan.join_timeout;
    let is_first = resume.epoch == 0 && resume.replay.is_empty();
    let mut found = Vec::new();
    for discovery in discoveries.iter_mut() {
        let new = discovery.look(patience, is_first, &over);
        found.extend(new.map_err(crate::sources::SourceError::from)?);
        for known in &mut resume.partitions {
            if known.partition.source != discovery.name() {
                continue;
            }
            let checked = discovery.check(&known.partition, known.to, patience, &over);
            let (at, lost) = checked.map_err(crate::sources::SourceError::from)?;
            if at != known.to {
                options.observer.lost(&known.partition.source, lost);
                tracing::warn!(
                    action = "messages-lost",
                    topic = known.partition.topic,
                    partition = known.partition.partition,
                    lost,
                    "messages that were not read are gone; reading goes on with the first there is"
                );
                known.to = at;
            }
        }
    }
    fate.check()?;
    Ok((resume, found))
}

/// Writes down what the job is and, for its first life, epoch 0.
fn begin_journal(
    plan: &Plan,
    journal: &Mutex<Journal>,
    history: &History,
    resume: &Resume,
) -> Result<(), RunError> {
    let mut journal = lock(journal);
    if history.plan.is_none() {
        journal.append(Record::Plan(PlanText {
            text: plan.text.to_string(),
            hash: crate::cluster::exchange::hash_bytes(plan.text.as_bytes()),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            replay: epoch::REPLAY,
            identities: BTreeMap::new(),
        }))?;
    }
    if history.newest_epoch().is_none() {
        let generation = journal.generation();
        journal.append(Record::Bindings(vec![Binding {
            epoch: 0,
            generation,
            now: resume.now,
            watermark: None,
            moved: Vec::new(),
        }]))?;
    }
    Ok(())
}

/// The threads behind the dataflow.
struct Behind {
    journal: JoinHandle<()>,
    commits: JoinHandle<Committed>,
}

/// What was committed when all has ended.
struct Committed {
    journal: Arc<Mutex<Journal>>,
    totals: Totals,
    epoch: Epoch,
}

impl Behind {
    #[expect(
        clippy::too_many_arguments,
        reason = "what the threads own from here on"
    )]
    fn start(
        run: &Arc<Run>,
        life: &Arc<Life>,
        continuous: &Continuous,
        journal: Arc<Mutex<Journal>>,
        chain: Chain,
        totals: Totals,
        hears: Receiver<Told>,
        discoveries: Vec<Discovery>,
        kept: VecDeque<(Epoch, u64)>,
    ) -> Result<Self, RunError> {
        let failed = |error: std::io::Error| RunError::Start {
            message: error.to_string(),
        };
        let (commit, commits) = channel();
        let (of_journal, shared) = (Arc::clone(run), Arc::clone(&journal));
        let of_life = Arc::clone(life);
        let journal_thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                if let Err(error) = keep_journal(&of_journal, &of_life, &shared, &hears, &commit) {
                    of_journal.fail(error);
                }
            })
            .map_err(failed)?;
        let committer = Committer {
            run: Arc::clone(run),
            life: Arc::clone(life),
            continuous: continuous.clone(),
            journal,
            chain,
            totals,
            staged_from: life.resume.epoch,
            kept,
        };
        let commit_thread = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || committer.commit_all(&commits, discoveries))
            .map_err(failed)?;
        let (of_watch, life) = (Arc::clone(run), Arc::clone(life));
        super::spawn("watch".to_owned(), move || watch(&of_watch, &life)).map_err(failed)?;
        Ok(Self {
            journal: journal_thread,
            commits: commit_thread,
        })
    }

    fn join(self) -> Committed {
        let panicked = "a thread that panicked has said why";
        self.journal.join().expect(panicked);
        self.commits.join().expect(panicked)
    }
}

/// Passes the wish for an end on to the coordinator.
fn watch(run: &Run, life: &Life) {
    loop {
        if run.fate.is_draining() {
            life.stop();
            return;
        }
        if run.is_over() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// A checkpoint that can be committed: its bindings are durable.
struct ToCommit {
    binding: Binding,
    partitions: Vec<Moved>,
    notes: Vec<Note>,
}

/// Makes bindings durable, in as few records as come together; hands commits on when those they need are.
fn keep_journal(
    run: &Run,
    life: &Life,
    journal: &Mutex<Journal>,
    hears: &Receiver<Told>,
    commits: &Sender<ToCommit>,
) -> Result<(), RunError> {
    let mut waiting: Vec<Binding> = Vec::new();
    let mut since: Option<Instant> = None;
    let replayed = life.resume.replay.last();
    run.observer
        .bound(replayed.map_or(life.resume.epoch, |binding| binding.epoch));
    loop {
        let patience = match since {
            Some(since) => EMPTY_WAIT.saturating_sub(since.elapsed()),
            None => EMPTY_WAIT,
        };
        let mut told: Vec<Told> = hears.recv_timeout(patience).into_iter().collect();
        told.extend(hears.try_iter());
        let mut is_due = since.is_some_and(|since| since.elapsed() >= EMPTY_WAIT);
        let mut staged = Vec::new();
        let mut is_end = false;
        for told in told {
            match told {
                Told::Bound(binding) => {
                    is_due |= !binding.is_empty();
                    run.observer.bound(binding.epoch);
                    since.get_or_insert_with(Instant::now);
                    waiting.push(binding);
                }
                Told::Staged { epoch, notes } => staged.push((epoch, notes)),
                Told::End => is_end = true,
            }
        }
        is_due |= is_end || !staged.is_empty();
        if is_due && !waiting.is_empty() {
            let bindings = std::mem::take(&mut waiting);
            lock(journal).append(Record::Bindings(bindings))?;
            since = None;
        }
        for (epoch, notes) in staged {
            let (binding, partitions) = life.take_checkpoint(epoch).expect("it was bound before");
            drop(commits.send(ToCommit {
                binding,
                partitions,
                notes,
            }));
        }
        if is_end {
            return Ok(());
        }
    }
}

/// Commits one checkpoint after the other.
struct Committer {
    run: Arc<Run>,
    life: Arc<Life>,
    continuous: Continuous,
    journal: Arc<Mutex<Journal>>,
    chain: Chain,
    totals: Totals,
    /// The epoch after which the next commit's files were staged.
    staged_from: Epoch,
    /// Epochs and generations of the checkpoints whose state is kept, the oldest first.
    kept: VecDeque<(Epoch, u64)>,
}

impl Committer {
    fn commit_all(
        mut self,
        commits: &Receiver<ToCommit>,
        mut discoveries: Vec<Discovery>,
    ) -> Committed {
        let mut epoch = self.life.resume.epoch;
        let mut looked = Instant::now();
        loop {
            match commits.recv_timeout(Duration::from_millis(500)) {
                Ok(commit) => {
                    let to = commit.binding.epoch;
                    if self.run.fate.is_over() {
                        continue;
                    }
                    let partitions = commit.partitions.clone();
                    if let Err(error) = self.commit(commit) {
                        self.run.fail(error);
                        continue;
                    }
                    epoch = to;
                    for discovery in &discoveries {
                        let at = partitions.iter();
                        discovery.tell_group(at.map(|moved| (moved.partition.clone(), moved.to)));
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return Committed {
                        journal: self.journal,
                        totals: self.totals,
                        epoch,
                    };
                }
            }
            if looked.elapsed() >= LOOK_FOR_PARTITIONS {
                looked = Instant::now();
                self.look_for_partitions(&mut discoveries);
            }
        }
    }

    /// Partitions that were added; what can't be known now is asked again later.
    fn look_for_partitions(&self, discoveries: &mut [Discovery]) {
        for discovery in discoveries {
            match discovery.look(Duration::ZERO, false, &|| true) {
                Ok(found) => self.life.add_found(found),
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(
                        action = "kafka-discovery",
                        error,
                        "new partitions could not be looked for"
                    );
                }
            }
        }
    }

    fn commit(&mut self, commit: ToCommit) -> Result<(), RunError> {
        let ToCommit {
            binding,
            partitions,
            notes,
        } = commit;
        let plan = &self.run.plan;
        let mut state: Vec<StateFile> = notes
            .iter()
            .filter_map(|note| match note {
                Note::State(file) => Some(file.clone()),
                _ => None,
            })
            .collect();
        state.sort_by(|a, b| a.path.cmp(&b.path));
        let mut outcome = Outcome::default();
        epoch::decide(plan, &notes, false, &mut outcome);
        if !outcome.stopped.is_empty() {
            let words = outcome.stopped.join("\n");
            return Err(RunError::Stopped { words });
        }
        let staged = staged_files(plan, notes, &mut outcome);
        self.totals.add(&outcome);
        let to = binding.epoch;
        let totals = serde_json::to_value(&self.totals).expect("totals are JSON");
        lock(&self.journal).append(Record::Checkpoint(Checkpoint {
            epoch: to,
            generation: self.life.generation,
            now: binding.now,
            watermark: binding.watermark,
            partitions,
            state,
            totals: totals.clone(),
        }))?;
        self.chain.commit(Commit {
            interval: interval(self.staged_from),
            to,
            files: staged,
            summary: totals,
            checkpoint: serde_json::json!({ "epoch": to }),
        })?;
        self.staged_from = to;
        self.run.observer.committed(to, epoch::wall_time());
        tracing::info!(
            action = "epoch-committed",
            epoch = to,
            rows_in = self.totals.rows_in,
            "everything up to this epoch is visible"
        );
        lock(&self.journal).compact(to)?;
        self.kept.push_back((to, self.life.generation));
        if self.kept.len() > KEPT_CHECKPOINTS {
            self.kept.pop_front();
        }
        state::tidy(
            &self.continuous.state,
            self.life.generation,
            to,
            &self.kept.iter().copied().collect(),
        )?;
        Ok(())
    }
}
