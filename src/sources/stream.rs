//! The operator that reads in a continuous job: each worker its own partitions, in the epochs that the coordinator opens.
//!
//! Rows of an epoch are given between its `Open` and its `Close`; then the reader says what it gave, and lets go of the epoch. Read
//! again, an epoch holds what its binding says, however the messages come this time.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{Stream, StreamVec};

use super::files::SourceError;
use super::kafka::TopicReader;
use super::read::{FULL_REST, ReaderAt};
use crate::cluster::Run;
use crate::epoch::{Assigned, Control, Local, Moved, Opening};
use crate::job::plan::Transport;
use crate::record::{Chunk, Epoch, Piece};

/// How long a reader rests when nothing has come.
const QUIET_REST: Duration = Duration::from_millis(2);

/// Chunks given at one activation: enough that the operators behind have work, few enough that they are not kept waiting.
const CHUNKS: usize = 2;

/// Reads what this worker has of every source, as it is told by `control`.
pub(super) fn read<'scope>(
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    local: &Rc<Local>,
    at: ReaderAt,
) -> Stream<'scope, Epoch, Piece> {
    let scope = control.scope();
    let (run, local) = (Arc::clone(run), Rc::clone(local));
    let (worker, workers) = (scope.index(), scope.peers());
    control
        .clone()
        .unary_frontier::<CapacityContainerBuilder<Piece>, _, _, _>(
            Pipeline,
            "sources:read",
            move |_, info| {
                let activator = scope.activator_for(info.address);
                let mut reader = Reader::new(worker, workers);
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
                        at.tell(frontier.frontier().as_option().copied());
                        return;
                    };
                    at.tell(Some(epoch));
                    if reader.is_closing {
                        local.gave(epoch, reader.close());
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
                                local.gave(epoch, reader.close());
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

/// What one worker reads.
struct Reader {
    worker: usize,
    workers: usize,
    topics: Vec<TopicReader>,
    /// The topic that is asked first next time, so that none waits for another.
    turn: usize,
    held: Option<Capability<Epoch>>,
    is_replay: bool,
    is_closing: bool,
    /// Chunks so far.
    given: u64,
}

impl Reader {
    fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker,
            workers,
            topics: Vec::new(),
            turn: 0,
            held: None,
            is_replay: false,
            is_closing: false,
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
        for known in &opening.known {
            if known.number % self.workers == self.worker {
                self.assign(run, known)?;
            }
        }
        for topic in &mut self.topics {
            topic.open(opening.replay.as_deref())?;
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
        let Transport::Kafka(kafka) = &plan.transport else {
            return Ok(());
        };
        let same =
            |topic: &TopicReader| topic.source() == source && topic.topic() == partition.topic;
        let place = if let Some(place) = self.topics.iter().position(same) {
            place
        } else {
            let reader =
                TopicReader::new(&plan.name, source, &partition.topic, kafka, &plan.columns)?;
            self.topics.push(reader);
            self.topics.len() - 1
        };
        self.topics[place].assign(partition.clone(), *at)?;
        Ok(())
    }

    /// Lets go of the epoch; gives what it held.
    fn close(&mut self) -> Vec<Moved> {
        self.held = None;
        self.topics.iter().flat_map(TopicReader::moved).collect()
    }

    fn next(&mut self, run: &Run) -> Result<Next, SourceError> {
        let bytes = run.plan.chunk_bytes;
        let Some(lease) = run
            .budget
            .take(u64::try_from(bytes).expect("a chunk's size fits"))
        else {
            return Ok(Next::Full);
        };
        for _ in 0..self.topics.len() {
            let place = self.turn % self.topics.len();
            self.turn += 1;
            if let Some(mut chunk) = self.topics[place].next(bytes)? {
                lease.grow_to(u64::try_from(chunk.bytes.len()).expect("a length fits"));
                let worker = u64::try_from(self.worker).expect("an index fits");
                chunk.number = (worker << 40) | self.given;
                self.given += 1;
                chunk.epoch = self.epoch().expect("the epoch is open");
                chunk.lease = Some(lease);
                return Ok(Next::Chunk(Box::new(chunk)));
            }
        }
        if self.is_replay && self.topics.iter().all(TopicReader::is_complete) {
            return Ok(Next::Complete);
        }
        Ok(Next::Quiet)
    }
}
