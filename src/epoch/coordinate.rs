//! The coordinator of a continuous job, on worker 0 of process 0: it opens and closes epochs, and binds what they held.
//!
//! ```text
//! epoch:clock ── Open(e), Close(e) ──> every worker: readers, sinks, state
//!      ^                                        │ what was read in e, with its largest event times
//!      └── e is bound: open e + 1 <── epoch:bind <── Answer(e)
//! ```
//!
//! Both operators run on one thread and share a [`Coordinator`]. An epoch is opened when the one before is decided, not when it is
//! durable: nothing of it becomes visible before both are. At most [`EPOCHS_AHEAD`] epochs are on their way at once.
//!
//! Why a replay gives the same rows: everything that an epoch sees (wall time, watermark, partitions, where reading stops) is in
//! its [`super::Control::Open`], and that is made of bindings alone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::Activator;

use super::bind::Binder;
use super::control::{Answer, Assigned, Control, FilePlace, Found, Opening};
use super::references::References;
use super::{Binding, Partition, ReferenceChange, StateFile, state};
use crate::cluster::{Kept, Life, Run};
use crate::fault;
use crate::job::plan::Continuous;
use crate::lookup::Prepared;
use crate::record::Epoch;

/// Epochs that may be open beyond the one that all rows have passed.
const EPOCHS_AHEAD: u64 = 3;

/// Epochs that may always be open beyond the one that topics have taken.
const UNDELIVERED: u64 = 4;

/// How long topics may be behind before no epoch is opened.
const BEHIND: Duration = Duration::from_secs(2);

/// Checkpoints that may be bound and not committed: where the place of the state takes longer than checkpoints are asked for, they become
/// fewer, and what waits does not grow.
const CHECKPOINTS_AHEAD: usize = 4;

/// How long the clock rests while it waits for what nothing wakes it for.
const REST: Duration = Duration::from_millis(2);

/// Checkpoints' lengths after which one is made though nothing has come.
const IDLE_CHECKPOINTS: u32 = 30;

/// How many epochs may be open beyond the one that topics have taken.
fn undelivered(epoch: Duration) -> u64 {
    let epochs = BEHIND.as_millis() / epoch.as_millis().max(1);
    u64::try_from(epochs).unwrap_or(u64::MAX).max(UNDELIVERED)
}

/// What the clock does now.
#[derive(Debug)]
enum State {
    /// The epoch before is bound: the next may be opened.
    Ready,
    /// Readers give rows for the epoch.
    Open(Instant),
    /// Answers are on their way.
    Closed,
}

/// What both operators share.
struct Coordinator {
    run: Arc<Run>,
    life: Arc<Life>,
    binder: Binder,
    state: State,
    replay: VecDeque<Binding>,
    /// The binding of the open epoch, where it is read again.
    again: Option<Binding>,
    /// Answers for the epoch that is to be bound.
    answers: Vec<Answer>,
    /// Partitions that became known with the open epoch.
    found: Vec<Assigned>,
    /// How many partitions are known.
    numbered: usize,
    /// Followed files that are elsewhere and that no reader has yet.
    renamed: Vec<(Partition, FilePlace)>,
    /// The clock's reading when this life began, and since when.
    began: (i64, Instant),
    checkpointed: Instant,
    /// Whether anything came since.
    is_dirty: bool,
    /// Whether the open epoch is a checkpoint's.
    is_checkpoint: bool,
    /// Whether the open epoch is the last of this life.
    is_last: bool,
    clock: Option<Activator>,
    references: Rc<References>,
}

impl Coordinator {
    fn new(run: &Arc<Run>, life: &Arc<Life>) -> Self {
        let arrival = run.plan.sources.iter();
        let arrival = arrival.map(|source| (source.name.clone(), source.arrival));
        let resume = &life.resume;
        let bound = (resume.epoch, resume.now, resume.watermark);
        let binder = Binder::new(
            life.generation,
            arrival.collect(),
            bound,
            &resume.partitions,
            &resume.references,
            (&resume.changed, resume.parked),
        );
        let binder = if run.plan.has_freshness() {
            binder.telling_lags(resume.lag.clone())
        } else {
            binder
        };
        let found = resume.partitions.iter().enumerate();
        let found = found.map(|(number, known)| Assigned {
            number,
            partition: known.partition.clone(),
            at: known.to,
            newest: known.newest,
            file: known.file.clone(),
            place: life.place_of(&known.partition),
        });
        let found: Vec<Assigned> = found.collect();
        Self {
            run: Arc::clone(run),
            life: Arc::clone(life),
            binder,
            state: State::Ready,
            replay: resume.replay.clone().into(),
            again: None,
            answers: Vec::new(),
            numbered: found.len(),
            renamed: Vec::new(),
            found,
            began: (run.now, Instant::now()),
            checkpointed: Instant::now(),
            is_dirty: false,
            is_checkpoint: false,
            is_last: false,
            clock: None,
            references: References::new(run.plan.lookups.len(), resume.epoch),
        }
    }

    /// What the next epoch is opened with.
    fn open(&mut self, continuous: &Continuous) -> Opening {
        let checkpoint = continuous.checkpoint;
        let epoch = self.binder.epoch() + 1;
        self.again = self.replay.pop_front();
        // Those known at the start of this life are in its first opening already.
        let mut known = std::mem::take(&mut self.found);
        let resumed = known.len();
        let found: Vec<Found> = match &self.again {
            Some(binding) => {
                let moved = binding.moved.iter();
                moved
                    .map(|moved| Found {
                        partition: moved.partition.clone(),
                        at: moved.from,
                        file: moved.file.clone(),
                    })
                    .collect()
            }
            None => self.life.take_found(),
        };
        for Found {
            partition,
            at,
            file,
        } in found
        {
            if !self.binder.knows(&partition) {
                known.push(Assigned {
                    number: self.numbered,
                    place: self.life.place_of(&partition),
                    partition,
                    at,
                    newest: None,
                    file,
                });
                self.numbered += 1;
            }
        }
        self.found = known[resumed..].to_vec();
        let renamed = self.take_renamed(&known);
        let replay = self.again.as_ref().map(|binding| binding.moved.clone());
        let is_replay = replay.is_some();
        self.is_last = !is_replay && self.life.is_to_stop();
        let since = self.checkpointed.elapsed();
        let is_due = since >= checkpoint
            && (self.is_dirty || since >= checkpoint * IDLE_CHECKPOINTS)
            && self.life.uncommitted() < CHECKPOINTS_AHEAD;
        let checkpoint = !is_replay && (is_due || self.is_last);
        self.is_checkpoint = checkpoint;
        if checkpoint {
            self.checkpointed = Instant::now();
            self.is_dirty = false;
        }
        Opening {
            epoch,
            now: self.binder.now(),
            watermark: self.binder.watermark(),
            lag: self.binder.lag().cloned(),
            changed: self.binder.changed().to_vec(),
            may_park: self.binder.parked() < continuous.max_parked,
            checkpoint,
            known,
            renamed,
            replay,
        }
    }

    /// Files that are elsewhere and that readers have, or get with `known`; the others wait until some reader has them.
    fn take_renamed(&mut self, known: &[Assigned]) -> Vec<(Partition, FilePlace)> {
        self.renamed.extend(self.life.take_renamed());
        let (now, later) =
            std::mem::take(&mut self.renamed)
                .into_iter()
                .partition(|(partition, _)| {
                    self.binder.knows(partition)
                        || known.iter().any(|known| known.partition == *partition)
                });
        self.renamed = later;
        now
    }

    /// Tells who looks that an epoch is bound.
    fn tell_bound(&self, binding: &Binding) {
        let at = (binding.epoch, binding.watermark);
        let standing = self.run.observer.standing();
        standing.bound(at, &binding.moved, self.binder.holder());
    }

    /// Tells where followed files stand that have moved, or are read to their end now.
    fn tell_files(&self, answers: &[Answer]) {
        let moved = answers.iter().flat_map(|answer| &answer.moved);
        let files = moved.filter(|moved| moved.file.is_some() && !self.binder.knows_all_of(moved));
        self.life.stand(true, files.cloned().collect());
    }

    /// Binds the epoch by all answers.
    fn bind(&mut self, answers: Vec<Answer>) {
        let found = std::mem::take(&mut self.found);
        self.hear();
        let standing = self.run.observer.standing();
        if let Some(binding) = self.again.take() {
            self.binder.replay(&binding);
            self.life.stand(false, binding.moved.clone());
            self.is_dirty = true;
            for (lookup, change) in self.life.take_replayed(binding.epoch) {
                self.references.add(binding.epoch, lookup, change);
            }
            self.tell_bound(&binding);
        } else {
            fault::at("bind an epoch");
            let before = self.binder.watermark();
            let elapsed = i64::try_from(self.began.1.elapsed().as_micros()).unwrap_or(i64::MAX);
            let wall = self.began.0.saturating_add(elapsed);
            self.tell_files(&answers);
            let (changes, objects) = self.take_references();
            let binding = self.binder.decide(&found, answers, changes, wall);
            // Rows that are parked may be read again, and end, in any epoch.
            self.is_dirty |=
                !binding.is_empty() || binding.watermark != before || binding.parked > 0;
            if self.is_checkpoint {
                self.life.keep_checkpoint(Kept {
                    binding: binding.clone(),
                    partitions: self.binder.partitions(),
                    references: self.binder.references().to_vec(),
                });
                standing.checkpoint(binding.epoch);
            }
            self.tell_bound(&binding);
            fault::at("tell of a bound epoch");
            self.life.bound(binding, objects);
        }
        self.references.passed(self.binder.epoch());
        self.state = State::Ready;
        if let Some(clock) = &self.clock {
            clock.activate();
        }
    }

    /// Lets the binder hear what is known of ends and commits, where a check goes by it.
    fn hear(&mut self) {
        if !self.binder.tells_lags() {
            return;
        }
        let (wall, began) = self.began;
        let ends = self.life.ends(|asked| {
            let since = asked.saturating_duration_since(began);
            wall.saturating_add(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        });
        self.binder.hear(ends, self.life.uncommitted_since());
    }

    /// The changes of look-ups that the epoch read, and the objects that hold them.
    fn take_references(&self) -> (Vec<ReferenceChange>, Vec<(StateFile, Vec<u8>)>) {
        let epoch = self.binder.epoch() + 1;
        let (mut changes, mut objects) = (Vec::new(), Vec::new());
        for offer in self.life.take_offers() {
            if let Some(Prepared {
                name,
                whole,
                object,
                change,
            }) = offer.prepared
            {
                let at = (epoch, self.life.generation);
                let file = state::reference(&name, at, objects.len(), &object);
                changes.push(ReferenceChange {
                    lookup: name,
                    whole,
                    object: file.clone(),
                });
                objects.push((file, object));
                self.references.add(epoch, offer.lookup, change);
            }
            if offer.is_last {
                self.references.end(offer.lookup);
            }
        }
        (changes, objects)
    }
}

/// The two ends of the coordinator.
pub struct Coordinated<'scope> {
    /// What every worker is told; each of them hears all of it.
    pub control: StreamVec<'scope, Epoch, Control>,
    /// On the worker that gives reference rows of a continuous job, their changes.
    pub references: Option<Rc<References>>,
    coordinator: Option<Rc<RefCell<Coordinator>>>,
}

/// Opens and closes epochs, on worker 0; in a bounded job nothing is said. `passed` is the epoch that all rows have gone beyond.
pub fn clock<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    passed: &probe::Handle<Epoch>,
) -> Coordinated<'scope> {
    let run = Arc::clone(run);
    let life = run.life.clone().filter(|_| scope.index() == 0);
    let coordinator = life.map(|life| Rc::new(RefCell::new(Coordinator::new(&run, &life))));
    let (shared, passed) = (coordinator.clone(), passed.clone());
    let said: StreamVec<'scope, Epoch, Control> =
        source::<_, CapacityContainerBuilder<Vec<Control>>, _, _>(
            scope,
            "epoch:clock",
            move |capability, info| {
                let mut capability = shared.is_some().then_some(capability);
                let activator = scope.activator_for(Rc::clone(&info.address));
                if let Some(shared) = &shared {
                    shared.borrow_mut().clock = Some(scope.activator_for(info.address));
                }
                move |output| {
                    let (Some(held), Some(shared), Some(continuous)) =
                        (&mut capability, &shared, &run.plan.continuous)
                    else {
                        return;
                    };
                    let mut shared = shared.borrow_mut();
                    loop {
                        let epoch = shared.binder.epoch() + 1;
                        match shared.state {
                            State::Ready if shared.is_last => {
                                shared.references.end_all();
                                capability = None;
                                return;
                            }
                            State::Ready => {
                                // At once, and not only when it is opened: a life begins with a late epoch.
                                held.downgrade(&epoch);
                                if passed.less_than(&epoch.saturating_sub(EPOCHS_AHEAD))
                                    || run.fate.deliveries().upto().is_some_and(|upto| {
                                        upto + undelivered(continuous.epoch) < epoch
                                    })
                                {
                                    activator.activate_after(REST);
                                    return;
                                }
                                fault::at("open an epoch");
                                let opening = shared.open(continuous);
                                let standing = run.observer.standing();
                                standing.opened(opening.replay.is_some());
                                shared.state = if opening.replay.is_some() {
                                    State::Closed
                                } else {
                                    State::Open(Instant::now())
                                };
                                output.session(held).give(Control::Open(opening));
                            }
                            State::Open(since) => {
                                let left = continuous.epoch.saturating_sub(since.elapsed());
                                let hurries = shared.is_last || shared.life.is_to_stop();
                                if !left.is_zero() && !hurries {
                                    activator.activate_after(left.min(Duration::from_millis(20)));
                                    return;
                                }
                                fault::at("close an epoch");
                                output.session(held).give(Control::Close(epoch));
                                run.observer.standing().closed();
                                shared.state = State::Closed;
                            }
                            State::Closed => {
                                held.downgrade(&(epoch + 1));
                                return;
                            }
                        }
                    }
                }
            },
        );
    let references = coordinator.as_ref();
    let references = references.map(|shared| Rc::clone(&shared.borrow().references));
    Coordinated {
        control: said.broadcast(),
        references,
        coordinator,
    }
}

/// Binds epochs by the answers of all workers.
pub fn bind<'scope>(answers: StreamVec<'scope, Epoch, Answer>, coordinated: &Coordinated<'scope>) {
    let coordinator = coordinated.coordinator.clone();
    let peers = answers.scope().peers();
    answers.sink(
        Exchange::new(|_: &Answer| 0),
        "epoch:bind",
        move |(input, _)| {
            // Answers of an epoch come before it is bound, and the next is opened after that: all here are of one epoch.
            let mut of_epoch: Vec<Answer> = Vec::new();
            input.for_each(|_, answers| of_epoch.append(answers));
            let Some(coordinator) = &coordinator else {
                return;
            };
            let mut coordinator = coordinator.borrow_mut();
            for answer in &of_epoch {
                let standing = coordinator.run.observer.standing();
                standing.answered(answer.worker);
            }
            coordinator.answers.append(&mut of_epoch);
            if coordinator.answers.len() == peers {
                let answers = std::mem::take(&mut coordinator.answers);
                coordinator.bind(answers);
            }
        },
    );
}
