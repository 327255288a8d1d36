//! The operator that reads in a continuous job: each worker its own partitions, in the epochs that the coordinator opens.
//!
//! Rows of an epoch are given between its `Open` and its `Close`; then the reader says what it gave, and lets go of the epoch. Read
//! again, an epoch holds what its binding says, however the messages come this time.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{Stream, StreamVec};

use super::files::SourceError;
use super::follow::FilesReader;
use super::kafka::TopicReader;
use super::read::{FULL_REST, ReaderAt};
use crate::cluster::Run;
use crate::epoch::{Assigned, Control, FilePlace, Local, Moved, Opening, Partition};
use crate::job::plan::Transport;
use crate::record::{Chunk, Epoch, Lease, Piece};
use crate::validate::Parking;

/// How long a reader rests when nothing has come.
const QUIET_REST: Duration = Duration::from_millis(2);

/// How long nothing may come back of the budget before an epoch that is read again goes on without: many times what a chunk takes.
const STILL: Duration = Duration::from_millis(20);

/// Chunks given at one activation: enough that the operators behind have work, few enough that they are not kept waiting.
const CHUNKS: usize = 2;

/// Reads what this worker has of every source, as it is told by `control`.
pub(super) fn read<'scope>(
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    local: &Rc<Local>,
    parking: Option<&Rc<Parking>>,
    at: ReaderAt,
) -> Stream<'scope, Epoch, Piece> {
    let scope = control.scope();
    let (run, local, parking) = (Arc::clone(run), Rc::clone(local), parking.cloned());
    let (worker, workers) = (scope.index(), scope.peers());
    control
        .clone()
        .unary_frontier::<CapacityContainerBuilder<Piece>, _, _, _>(
            Pipeline,
            "sources:read",
            move |_, info| {
                let activator = scope.activator_for(Rc::clone(&info.address));
                if let Some(parking) = &parking {
                    parking.wake(scope.activator_for(info.address));
                }
                let mut reader = Reader::new(worker, workers, parking);
                move |(input, frontier), output| {
                    input.for_each(|capability, said| {
                        for control in said.drain(..) {
                            let told = match control {
                                Control::Open(opening) => {
                                    run.opened(opening.epoch, opening.sees());
                                    let held = capability
                                        .retain_least(0)
                                        .expect("what is said has a time");
                                    reader.open(&run, &opening, held)
                                }
                                Control::Close(_) => {
                                    reader.is_closing = true;
                                    Ok(())
                                }
                            };
                            if let Err(error) = told {
                                run.fail(error.into());
                            }
                        }
                    });
                    let Some(epoch) = reader.epoch() else {
                        let next = frontier.frontier().as_option().copied();
                        at.tell(next.map(|next| next.max(reader.closed)));
                        return;
                    };
                    at.tell(Some(epoch));
                    if !reader.take_parked(&run, epoch) {
                        return;
                    }
                    if reader.is_closing && reader.again.is_empty() {
                        local.gave(epoch, reader.close(), reader.parked);
                        at.tell(Some(reader.closed));
                        return;
                    }
                    for _ in 0..CHUNKS {
                        match reader.next(&run) {
                            Ok(Next::Chunk(chunk)) => {
                                let held = reader.held.as_ref().expect("the epoch is open");
                                let bytes =
                                    u64::try_from(chunk.bytes.len()).expect("a length fits");
                                run.progress.add_bytes(bytes);
                                run.observer.read(chunk.source, bytes, epoch);
                                let mut piece = Piece::Text(Arc::new(*chunk));
                                output.session(held).give_container(&mut piece);
                            }
                            Ok(Next::Quiet) => {
                                activator.activate_after(QUIET_REST);
                                return;
                            }
                            Ok(Next::Full) => {
                                activator.activate_after(FULL_REST);
                                return;
                            }
                            Ok(Next::Complete) => {
                                local.gave(epoch, reader.close(), reader.parked);
                                at.tell(Some(reader.closed));
                                return;
                            }
                            Err(error) => {
                                run.fail(error.into());
                                reader.close();
                                return;
                            }
                        }
                    }
                    activator.activate();
                }
            },
        )
}

enum Next {
    Chunk(Box<Chunk>),
    /// Nothing has come.
    Quiet,
    /// The budget is used up.
    Full,
    /// The epoch is read again, and all of it was given.
    Complete,
}

/// What is read of one topic, or of the files of one source.
enum Input {
    Topic(Box<TopicReader>),
    Files(Box<FilesReader>),
}

/// What one worker reads.
struct Reader {
    worker: usize,
    workers: usize,
    inputs: Vec<Input>,
    /// The input that is asked first next time, so that none waits for another.
    turn: usize,
    held: Option<Capability<Epoch>>,
    is_replay: bool,
    is_closing: bool,
    /// What was used of the budget when it was found to be used up in an epoch that is read again, and since when that has not changed.
    full: Option<(u64, Instant)>,
    /// Where rows of the job may wait: those that do here.
    parking: Option<Rc<Parking>>,
    /// What the open epoch sees, until it is known which rows are read again in it.
    unparked: Option<(Vec<String>, i64)>,
    /// How many rows were parked before the open epoch.
    parked: usize,
    /// Rows that are read again.
    again: VecDeque<Chunk>,
    /// The epoch after the last that it gave.
    closed: Epoch,
    /// Chunks so far.
    given: u64,
}

impl Reader {
    fn new(worker: usize, workers: usize, parking: Option<Rc<Parking>>) -> Self {
        Self {
            parking,
            unparked: None,
            parked: 0,
            again: VecDeque::new(),
            worker,
            workers,
            inputs: Vec::new(),
            turn: 0,
            held: None,
            is_replay: false,
            is_closing: false,
            full: None,
            closed: 0,
            given: 0,
        }
    }

    fn epoch(&self) -> Option<Epoch> {
        self.held.as_ref().map(|held| *held.time())
    }

    fn open(
        &mut self,
        run: &Run,
        opening: &Opening,
        capability: Capability<Epoch>,
    ) -> Result<(), SourceError> {
        self.is_closing = false;
        self.is_replay = opening.replay.is_some();
        self.held = Some(capability);
        self.unparked = self
            .parking
            .as_ref()
            .map(|_| (opening.changed.clone(), opening.now));
        for known in &opening.known {
            if known.number % self.workers == self.worker {
                self.assign(run, known)?;
            }
        }
        for (partition, place) in &opening.renamed {
            self.rename(run, partition, place);
        }
        for input in &mut self.inputs {
            match input {
                Input::Topic(topic) => topic.open(opening.replay.as_deref())?,
                Input::Files(files) => files.open(opening.replay.as_deref()),
            }
        }
        Ok(())
    }

    fn assign(&mut self, run: &Run, known: &Assigned) -> Result<(), SourceError> {
        let Assigned { partition, at, .. } = known;
        let mut sources = run.plan.sources.iter().enumerate();
        let found = sources.find(|(_, source)| source.name == partition.source);
        let Some((source, plan)) = found else {
            return Ok(());
        };
        match &plan.transport {
            Transport::Kafka(kafka) => {
                let same = |input: &Input| {
                    matches!(input, Input::Topic(topic)
                        if topic.source() == source && topic.topic() == partition.topic)
                };
                let place = if let Some(place) = self.inputs.iter().position(same) {
                    place
                } else {
                    let topic = &partition.topic;
                    let reader = TopicReader::new(
                        &plan.name,
                        source,
                        topic,
                        kafka,
                        &plan.format,
                        &plan.columns,
                    )?;
                    self.inputs.push(Input::Topic(Box::new(reader)));
                    self.inputs.len() - 1
                };
                if let Input::Topic(topic) = &mut self.inputs[place] {
                    topic.assign(partition.clone(), *at)?;
                }
            }
            Transport::Follow(follow) => {
                if self.files(source).is_none() {
                    let reader = FilesReader::new(source, plan, follow);
                    self.inputs.push(Input::Files(Box::new(reader)));
                }
                let files = self.files(source).expect("it was added");
                files.assign(known);
            }
            Transport::Files { .. } | Transport::Generate { .. } => {}
        }
        Ok(())
    }

    /// Takes the rows that are read again in the open epoch; false where it is not known yet which.
    fn take_parked(&mut self, run: &Run, epoch: Epoch) -> bool {
        let (Some(parking), Some((changed, now))) = (&self.parking, &self.unparked) else {
            return true;
        };
        if !parking.is_complete(epoch - 1) {
            return false;
        }
        self.parked = parking.count();
        self.again = parking.take_due(run, changed, *now).into();
        self.unparked = None;
        true
    }

    /// The reader of the files of a source, where it has any.
    fn files(&mut self, source: usize) -> Option<&mut FilesReader> {
        self.inputs.iter_mut().find_map(|input| match input {
            Input::Files(files) if files.source() == source => Some(&mut **files),
            _ => None,
        })
    }

    fn rename(&mut self, run: &Run, partition: &Partition, place: &FilePlace) {
        let mut sources = run.plan.sources.iter();
        let source = sources.position(|source| source.name == partition.source);
        if let Some(files) = source.and_then(|source| self.files(source)) {
            files.renamed(partition, place);
        }
    }

    /// Lets go of the epoch; gives what it held.
    fn close(&mut self) -> Vec<Moved> {
        if let Some(held) = self.held.take() {
            self.closed = held.time() + 1;
        }
        let mut moved = Vec::new();
        for input in &self.inputs {
            match input {
                Input::Topic(topic) => moved.extend(topic.moved()),
                Input::Files(files) => moved.extend(files.moved()),
            }
        }
        moved
    }

    /// Takes some of the budget, and in an epoch that is read again more than there is where only its end would give any back.
    fn lease(&mut self, run: &Run, bytes: u64) -> Option<Arc<Lease>> {
        let lease = run.budget.take(bytes);
        if lease.is_some() || !self.is_replay {
            return lease;
        }
        let used = run.budget.used();
        match self.full {
            Some((before, since)) if before == used => {
                let epoch = self.epoch()?;
                let is_still = since.elapsed() >= STILL;
                is_still.then(|| run.budget.exceed(bytes, epoch))?
            }
            _ => {
                self.full = Some((used, Instant::now()));
                None
            }
        }
    }

    fn next(&mut self, run: &Run) -> Result<Next, SourceError> {
        let bytes = run.plan.chunk_bytes;
        let Some(lease) = self.lease(run, u64::try_from(bytes).expect("a chunk's size fits"))
        else {
            return Ok(Next::Full);
        };
        let mut found = self.again.pop_front();
        for _ in 0..self.inputs.len() {
            if found.is_some() || self.is_closing {
                break;
            }
            let place = self.turn % self.inputs.len();
            self.turn += 1;
            found = match &mut self.inputs[place] {
                Input::Topic(topic) => topic.next(bytes)?,
                Input::Files(files) => files.next(bytes)?,
            };
        }
        if let Some(mut chunk) = found {
            lease.grow_to(u64::try_from(chunk.bytes.len()).expect("a length fits"));
            let worker = u64::try_from(self.worker).expect("an index fits");
            chunk.number = (worker << 40) | self.given;
            self.given += 1;
            chunk.epoch = self.epoch().expect("the epoch is open");
            if self.is_replay {
                lease.is_of(chunk.epoch);
            }
            chunk.lease = Some(lease);
            return Ok(Next::Chunk(Box::new(chunk)));
        }
        let is_complete = |input: &Input| match input {
            Input::Topic(topic) => topic.is_complete(),
            Input::Files(files) => files.is_complete(),
        };
        if self.is_replay && self.inputs.iter().all(is_complete) {
            return Ok(Next::Complete);
        }
        Ok(Next::Quiet)
    }
}
