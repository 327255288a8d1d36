//! The threads behind the dataflow of a continuous job, on process 0: what was bound becomes durable, and what was staged is committed.
//!
//! Both take their work from channels, in the order in which it was decided: a commit is handed on by the journal's thread, when every
//! binding that it needs is in the journal.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::alerts::Alerts;
use super::deliveries::Counted;
use super::life::{Kept, Life, Told, lock};
use super::outcome::Outcome;
use super::partitions::{Partitions, look_at_folders};
use super::run::interval;
use super::start::staged_files;
use super::{Run, RunError};
use crate::epoch::{
    self, Binding, Checkpoint, CheckpointId, Decided, Journal, Keeping, Kept as KeptCheckpoint,
    Record, ShardAt, StateFile, Store, Totals, state,
};
use crate::fault;
use crate::job::plan::Plan;
use crate::observe::Step;
use crate::observe::address::Announced;
use crate::record::{Epoch, Note};
use crate::sinks::chain::{Chain, CheckpointSaid, Commit, RowsOfSink, SentMessages, by_epoch};
use crate::sources::Discovery;

/// How often it is looked whether someone asks for the end.
const LOOK: Duration = Duration::from_millis(20);

/// After how long bindings that hold nothing are made durable: nothing waits for them.
const EMPTY_WAIT: Duration = Duration::from_secs(10);

/// The threads behind the dataflow.
pub(super) struct Behind {
    journal: JoinHandle<()>,
    commits: JoinHandle<(Committed, Partitions)>,
}

/// What was committed when all has ended.
pub(super) struct Committed {
    pub(super) journal: Arc<Mutex<Journal>>,
    pub(super) totals: Totals,
    pub(super) epoch: Epoch,
}

impl Behind {
    #[expect(
        clippy::too_many_arguments,
        reason = "what the threads own from here on"
    )]
    /// Starts them; they end when they are told `Told::End`.
    pub(super) fn start(
        run: &Arc<Run>,
        life: &Arc<Life>,
        store: &Arc<dyn Store>,
        journal: Arc<Mutex<Journal>>,
        chain: Chain,
        totals: Totals,
        hears: Receiver<Told>,
        discoveries: Vec<Discovery>,
        keeping: Keeping,
        announced: Option<Arc<Announced>>,
    ) -> Result<Self, RunError> {
        let (mut topics, mut folders) = (Vec::new(), Vec::new());
        for discovery in discoveries {
            match discovery {
                Discovery::Kafka(of_source) => topics.push(*of_source),
                Discovery::Files(of_source) => folders.push(of_source),
            }
        }
        let (commit, commits) = channel();
        let (of_journal, shared) = (Arc::clone(run), Arc::clone(&journal));
        let (of_life, state) = (Arc::clone(life), Arc::clone(store));
        let journal_thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let kept = keep_journal(&of_journal, &of_life, &*state, &shared, &hears, &commit);
                if let Err(error) = kept {
                    of_journal.fail(error);
                }
            })
            .map_err(RunError::no_thread)?;
        let committer = Committer {
            run: Arc::clone(run),
            life: Arc::clone(life),
            store: Arc::clone(store),
            journal,
            chain,
            totals,
            staged_from: life.resume.epoch,
            keeping,
            announced,
            alerts: Alerts::start(run, store)?,
        };
        let partitions = Partitions::start(run, life, topics)?;
        let commit_thread = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || (committer.commit_all(&commits, &partitions), partitions))
            .map_err(RunError::no_thread)?;
        look_at_folders(run, life, folders)?;
        let (of_watch, life) = (Arc::clone(run), Arc::clone(life));
        super::spawn("watch".to_owned(), move || watch(&of_watch, &life))
            .map_err(RunError::no_thread)?;
        Ok(Self {
            journal: journal_thread,
            commits: commit_thread,
        })
    }

    /// Waits for their end.
    pub(super) fn join(self) -> Committed {
        let panicked = "a thread that panicked has said why";
        self.journal.join().expect(panicked);
        let (committed, partitions) = self.commits.join().expect(panicked);
        partitions.end();
        committed
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
    kept: Kept,
    notes: Vec<Note>,
}

/// Makes bindings durable, in as few records as come together; hands commits on when those they need are.
fn keep_journal(
    run: &Run,
    life: &Life,
    store: &dyn Store,
    journal: &Mutex<Journal>,
    hears: &Receiver<Told>,
    commits: &Sender<ToCommit>,
) -> Result<(), RunError> {
    let mut waiting: Vec<Binding> = Vec::new();
    let mut since: Option<Instant> = None;
    let mut uncopied: Vec<(StateFile, Vec<u8>)> = Vec::new();
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
                Told::Bound(binding, objects) => {
                    for (file, bytes) in &objects {
                        state::put(store, file, bytes)?;
                    }
                    uncopied.extend(objects);
                    is_due |= !binding.is_empty();
                    run.observer.bound(binding.epoch);
                    since.get_or_insert_with(Instant::now);
                    waiting.push(binding);
                }
                Told::Staged { epoch, notes } => staged.push((epoch, notes)),
                Told::Wanted => is_due = true,
                Told::Identity(name, value) => lock(journal).identify(name, value)?,
                Told::End => is_end = true,
            }
        }
        is_due |= is_end || !staged.is_empty();
        if is_due && !waiting.is_empty() {
            let bindings = std::mem::take(&mut waiting);
            let newest = bindings.last().expect("some wait").epoch;
            let standing = run.observer.standing();
            standing.appending();
            lock(journal).append(Record::Bindings(bindings))?;
            standing.durable(newest);
            run.fate.deliveries().durable(newest);
            since = None;
            // Nothing waits for the second of each.
            for (file, bytes) in uncopied.drain(..) {
                state::copy(store, &file, &bytes)?;
            }
        }
        for (epoch, notes) in staged {
            run.observer.standing().staged(epoch);
            let kept = life.take_checkpoint(epoch).expect("it was bound before");
            drop(commits.send(ToCommit { kept, notes }));
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
    store: Arc<dyn Store>,
    journal: Arc<Mutex<Journal>>,
    chain: Chain,
    totals: Totals,
    /// The epoch after which the next commit's files were staged.
    staged_from: Epoch,
    /// The checkpoints whose state is kept.
    keeping: Keeping,
    /// Where this life can be asked to end.
    announced: Option<Arc<Announced>>,
    /// Who is told of checks.
    alerts: Option<Alerts>,
}

impl Committer {
    fn commit_all(mut self, commits: &Receiver<ToCommit>, partitions: &Partitions) -> Committed {
        let mut epoch = self.life.resume.epoch;
        for commit in commits {
            let to = commit.kept.binding.epoch;
            if self.run.fate.is_over() {
                continue;
            }
            let moved = commit.kept.partitions.clone();
            if let Err(error) = self.commit(commit) {
                self.run.fail(error);
                continue;
            }
            epoch = to;
            self.life.committed();
            partitions.committed(moved);
        }
        if let Some(alerts) = self.alerts.filter(|_| !self.run.fate.is_over()) {
            alerts.receivers.end();
        }
        Committed {
            journal: self.journal,
            totals: self.totals,
            epoch,
        }
    }

    /// Waits until all topics have the epochs up to a checkpoint. `None`: the run is over.
    fn deliver(&self, to: Epoch) -> Option<Vec<ShardAt>> {
        self.run.observer.standing().committing(to, Step::Deliver);
        let fate = &self.run.fate;
        let delivered = fate.deliveries().wait(to, || fate.is_over())?;
        let each = delivered.into_iter().map(|(id, delivered)| ShardAt {
            cluster: self.run.plan.clusters[id.cluster].id.clone(),
            shard: id.shard,
            last: delivered.last.min(to),
        });
        Some(each.collect())
    }

    fn commit(&mut self, commit: ToCommit) -> Result<(), RunError> {
        let ToCommit { kept, notes } = commit;
        let Kept {
            binding,
            partitions,
            references,
        } = kept;
        fault::at("commit");
        let plan = &self.run.plan;
        let mut state: Vec<StateFile> = notes
            .iter()
            .filter_map(|note| match note {
                Note::State(file) => Some(file.clone()),
                _ => None,
            })
            .collect();
        let mut stand = None;
        if let Some(alerts) = &mut self.alerts {
            let at = (binding.epoch, binding.now);
            let is_caught_up = partitions.iter().all(|moved| moved.caught_up);
            let (stands, bytes) = alerts.take(plan, &notes, at, is_caught_up);
            let id = (binding.epoch, self.life.generation);
            state.push(state::write(&*self.store, id, &Alerts::file(), &bytes)?);
            stand = Some(stands);
        }
        state.sort_by(|a, b| a.path.cmp(&b.path));
        let mut outcome = Outcome::default();
        let resumed = self.run.resumed.as_ref();
        let committed = resumed.and_then(|resumed| resumed.committed);
        epoch::decide(plan, &notes, Decided::Commit { committed }, &mut outcome);
        if !outcome.stopped.is_empty() {
            let words = outcome.stopped.join("\n");
            return Err(RunError::Stopped { words });
        }
        let files = rows_by_epoch(plan, &notes);
        let staged = staged_files(plan, notes, &mut outcome);
        self.totals.add(&outcome);
        let to = binding.epoch;
        let Some(shards) = self.deliver(to) else {
            return Ok(());
        };
        // What is read again behind an older checkpoint is counted by the commits that it is in.
        let counted = self.chain.committed().unwrap_or(0);
        let topics = self.run.fate.deliveries().take_counts(counted, to);
        let topics = topics.into_iter();
        let topics = topics.map(|(sink, epochs)| {
            let mut all = Counted::default();
            for (_, counted) in &epochs {
                all.add(*counted);
            }
            SentMessages {
                sink: plan.sinks[sink].name.clone(),
                messages: all.messages,
                sum: all.sum,
                epochs: by_epoch(&epochs),
            }
        });
        let said = CheckpointSaid {
            epoch: to,
            topics: topics.collect(),
            files,
        };
        let checkpoint = serde_json::to_value(said).expect("it is JSON");
        let totals = serde_json::to_value(&self.totals).expect("totals are JSON");
        let changed = binding.references.iter();
        let changed = changed.map(|change| change.lookup.clone());
        let run = Arc::clone(&self.run);
        let standing = run.observer.standing();
        standing.committing(to, Step::Checkpoint);
        let id = CheckpointId {
            epoch: to,
            generation: self.life.generation,
        };
        let beside = self.keeping.beside(&state);
        lock(&self.journal).append(Record::Checkpoint(Checkpoint {
            epoch: id.epoch,
            generation: id.generation,
            now: binding.now,
            watermark: binding.watermark,
            partitions,
            state: state.clone(),
            references: references.clone(),
            changed: changed.collect(),
            parked: binding.parked,
            lag: binding.lag.clone(),
            shards,
            kept: beside.kept.clone(),
            is_alone: beside.is_alone,
            totals: totals.clone(),
        }))?;
        standing.committing(to, Step::Publish);
        self.chain.commit(Commit {
            interval: interval(self.staged_from),
            to,
            files: staged,
            summary: totals,
            checkpoint,
        })?;
        self.staged_from = to;
        if let (Some(alerts), Some(stand)) = (&self.alerts, stand) {
            alerts.receivers.committed(stand, &alerts.watch);
        }
        // Who commits is the one to be asked. What can't be written now is at the next commit.
        if let Some(announced) = &self.announced {
            drop(announced.renew());
        }
        standing.committed(to);
        self.run.observer.committed(to, epoch::wall_time());
        tracing::info!(
            action = "epoch-committed",
            epoch = to,
            rows_in = self.totals.rows_in,
            "everything up to this epoch is visible"
        );
        fault::at("compact");
        let may_begin_anew = lock(&self.journal).compact(to)?;
        let newest = KeptCheckpoint {
            id,
            state,
            references,
        };
        let named_before = self.keeping.add(newest, &beside.kept);
        fault::at("tidy up state");
        let named = self.keeping.all().flat_map(|kept| &kept.state);
        epoch::tidy(
            &*self.store,
            self.life.generation,
            &named.map(|file| file.path.as_str()).collect(),
            &named_before,
        )?;
        if let Some(oldest) = self.keeping.oldest().filter(|_| !may_begin_anew) {
            let rows = self.keeping.all().flat_map(|kept| &kept.references);
            let objects = rows.flat_map(|rows| &rows.objects);
            state::tidy_references(
                &*self.store,
                oldest,
                &objects.map(|object| object.path.as_str()).collect(),
            )?;
        }
        Ok(())
    }
}

/// The rows that all workers have put into files of each sink, by epoch.
fn rows_by_epoch(plan: &Plan, notes: &[Note]) -> Vec<RowsOfSink> {
    let mut of_sinks: BTreeMap<usize, BTreeMap<Epoch, Counted>> = BTreeMap::new();
    for note in notes {
        let Note::Epochs { sink, rows } = note else {
            continue;
        };
        let of_sink = of_sinks.entry(*sink).or_default();
        for (epoch, rows) in rows {
            of_sink.entry(*epoch).or_default().messages += rows;
        }
    }
    let each = of_sinks.into_iter().map(|(sink, epochs)| RowsOfSink {
        sink: plan.sinks[sink].name.clone(),
        epochs: by_epoch(&epochs.into_iter().collect::<Vec<_>>()),
    });
    each.collect()
}
