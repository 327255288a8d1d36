//! Reading with several processes: worker 0 cuts the input, and tells every worker which pieces to read.
//!
//! ```text
//! worker 0                                              every worker
//! sources:cut   the feed's next piece, without its ──>  sources:read   reads the bytes at their place,
//!               bytes where they lie in a file                         under a lease of its own process
//! ```
//!
//! Who reads a piece follows from its number, so it is the same in every run, and pieces, lines and epochs are those of a run in one
//! process. Cutting scans all input once, a small part of what decoding costs; in return records, quotes and limits are
//! judged in one place. Bytes that only the cutter can have (compressed or generated ones) travel with the piece.
//!
//! Memory: queues between processes have no bound, so the cutter stays within [`EPOCHS_AHEAD`] of the epoch that all rows have
//! gone beyond. A process that stands still lets the others run dry, not over.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::{Capability, probe};
use timely::dataflow::{Scope, Stream};

use super::feed::{Claim, length, owner};
use super::files::{SourceError, io};
use super::read::{FULL_REST, ReaderAt};
use super::table::{Given, Table, TablePart};
use crate::cluster::Run;
use crate::record::{Chunk, Dropped, Epoch, HeaderBinding, Piece, RecordPlace};

/// Epochs that may be cut beyond the one that all rows have passed. Fewer, and workers wait for each other; more, and more
/// memory is held when one process is slow: this many times the input of an epoch, in all processes together.
const EPOCHS_AHEAD: u64 = 3;

/// Pieces cut at each activation, for each worker: enough that none waits for the cutter, which decodes, too.
const PIECES_A_WORKER: usize = 2;

/// What one worker has to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    number: u64,
    what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum What {
    Text(Box<Text>),
    Part(TablePart),
}

/// A chunk on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    places: Vec<RecordPlace>,
    number: u64,
    source: usize,
    file: PathBuf,
    offset: u64,
    line: u64,
    header: HeaderBinding,
    epoch: Epoch,
    broken: Option<(Cow<'static, str>, String)>,
    dropped: Dropped,
    bytes: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Bytes {
    /// As many, at the chunk's offset in its file.
    InPlace(u64),
    /// These.
    Here(Vec<u8>),
}

/// Reads the run's input as told by worker 0.
pub(super) fn read<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    passed: &probe::Handle<Epoch>,
    at: ReaderAt,
) -> Stream<'scope, Epoch, Piece> {
    read_tasks(cut(scope, run, passed), run, at)
}

/// Whether input of `epoch` is so far beyond what all rows have passed that it has to wait.
pub(super) fn is_ahead(epoch: Epoch, passed: &probe::Handle<Epoch>) -> bool {
    passed.less_than(&epoch.saturating_sub(EPOCHS_AHEAD))
}

/// Cuts the input, on worker 0.
fn cut<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    passed: &probe::Handle<Epoch>,
) -> Stream<'scope, Epoch, Vec<Task>> {
    let (run, passed) = (Arc::clone(run), passed.clone());
    let is_first = scope.index() == 0;
    let most = scope.peers() * PIECES_A_WORKER;
    source::<_, CapacityContainerBuilder<Vec<Task>>, _, _>(
        scope,
        "sources:cut",
        move |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = is_first.then_some(capability);
            let mut number = 0;
            move |output| {
                for _ in 0..most {
                    let (Some(held), Some(feed)) = (capability.as_mut(), &run.feed) else {
                        return;
                    };
                    let epoch = feed.epoch();
                    if *held.time() < epoch {
                        held.downgrade(&epoch);
                    }
                    if is_ahead(epoch, &passed) {
                        activator.activate_after(FULL_REST);
                        return;
                    }
                    let (epoch, what) = match feed.claim() {
                        Ok(Claim::Text { chunk, in_place }) => (
                            chunk.epoch,
                            What::Text(Box::new(Text::new(*chunk, in_place))),
                        ),
                        Ok(Claim::Part(part)) => (part.epoch, What::Part(part)),
                        Ok(Claim::Full) => {
                            activator.activate_after(FULL_REST);
                            return;
                        }
                        Ok(Claim::Done) => {
                            capability = None;
                            return;
                        }
                        Err(error) => {
                            run.fail(error.into());
                            capability = None;
                            return;
                        }
                    };
                    if *held.time() < epoch {
                        held.downgrade(&epoch);
                    }
                    output.session(held).give(Task { number, what });
                    number += 1;
                }
                activator.activate();
            }
        },
    )
}

/// Reads what this worker is told to, one piece at each activation.
fn read_tasks<'scope>(
    tasks: Stream<'scope, Epoch, Vec<Task>>,
    run: &Arc<Run>,
    at: ReaderAt,
) -> Stream<'scope, Epoch, Piece> {
    let run = Arc::clone(run);
    let scope = tasks.scope();
    tasks.unary_frontier::<CapacityContainerBuilder<Piece>, _, _, _>(
        Exchange::new(|task: &Task| task.number),
        "sources:read",
        move |_, info| {
            let activator = scope.activator_for(info.address);
            let mut waiting: VecDeque<(Capability<Epoch>, What)> = VecDeque::new();
            let mut reader = Reader::default();
            move |(input, frontier), output| {
                input.for_each(|capability, tasks| {
                    let Some(capability) = capability.retain_least(output.output_index()) else {
                        return;
                    };
                    let tasks = tasks.drain(..);
                    waiting.extend(tasks.map(|task| (capability.clone(), task.what)));
                });
                let least = waiting.front().map(|(capability, _)| *capability.time());
                let later = frontier.frontier().as_option().copied();
                at.tell(least.or(later));
                let Some((capability, what)) = waiting.front_mut() else {
                    return;
                };
                match reader.next(&run, what) {
                    Ok(Given::Piece(mut piece)) => {
                        output.session(capability).give_container(&mut piece);
                        if matches!(what, What::Text(_)) {
                            waiting.pop_front();
                        }
                        activator.activate();
                    }
                    Ok(Given::Full) => activator.activate_after(FULL_REST),
                    Ok(Given::End) => {
                        waiting.pop_front();
                        activator.activate();
                    }
                    Err(error) => {
                        run.fail(error.into());
                        waiting.clear();
                    }
                }
            }
        },
    )
}

impl Text {
    fn new(chunk: Chunk, in_place: bool) -> Self {
        Self {
            places: chunk.places,
            number: chunk.number,
            source: chunk.source,
            file: chunk.file.to_path_buf(),
            offset: chunk.offset,
            line: chunk.line,
            header: HeaderBinding::clone(&chunk.header),
            epoch: chunk.epoch,
            broken: chunk.broken,
            dropped: chunk.dropped,
            bytes: if in_place {
                Bytes::InPlace(chunk.header.encoding.length_in_file(&chunk.bytes))
            } else {
                Bytes::Here(chunk.bytes)
            },
        }
    }
}

/// What a worker has open.
#[derive(Default)]
struct Reader {
    table: Option<Table>,
    file: Option<(PathBuf, File)>,
}

impl Reader {
    /// The next piece of a task; a text is one piece.
    fn next(&mut self, run: &Run, what: &mut What) -> Result<Given, SourceError> {
        let text = match what {
            What::Text(text) => text,
            What::Part(part) => {
                let table = match &mut self.table {
                    Some(table) => table,
                    None => self.table.insert(Table::open(run, part.clone())?),
                };
                let given = table.next(run)?;
                if matches!(given, Given::End) {
                    self.table = None;
                }
                return Ok(given);
            }
        };
        let bytes = match &text.bytes {
            Bytes::InPlace(bytes) => *bytes,
            Bytes::Here(bytes) => text.header.encoding.length_in_file(bytes),
        };
        let Some(lease) = run.budget.take(bytes) else {
            return Ok(Given::Full);
        };
        let read = match &mut text.bytes {
            Bytes::InPlace(bytes) => {
                let owner = owner(&run.plan.sources[text.source]);
                let read = self.read_in_place(&owner, &text.file, text.offset, *bytes)?;
                text.header.encoding.text(read)
            }
            Bytes::Here(bytes) => std::mem::take(bytes),
        };
        run.progress.add_bytes(bytes);
        run.observer.read(text.source, bytes, text.epoch);
        Ok(Given::Piece(Piece::Text(Arc::new(Chunk {
            places: std::mem::take(&mut text.places),
            followed: None,
            messages: None,
            until: None,
            number: text.number,
            source: text.source,
            file: Arc::new(std::mem::take(&mut text.file)),
            bytes: read,
            offset: text.offset,
            line: text.line,
            header: Arc::new(text.header.clone()),
            epoch: text.epoch,
            broken: text.broken.take(),
            dropped: text.dropped,
            lease: Some(lease),
        }))))
    }

    fn read_in_place(
        &mut self,
        owner: &str,
        path: &PathBuf,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, SourceError> {
        let file = match &mut self.file {
            Some((open, file)) if open == path => file,
            other => {
                let file = File::open(path).map_err(|error| io(owner, path, "opened", 0, error))?;
                &mut other.insert((path.clone(), file)).1
            }
        };
        // Read to the end of so many, not into a buffer of zeros: writing the zeros costs as much as copying the bytes.
        let failed = |error| io(owner, path, "read", offset, error);
        let mut read = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let got = file.take(bytes).read_to_end(&mut read).map_err(failed)?;
        if length(got) < bytes {
            return Err(failed(ErrorKind::UnexpectedEof.into()));
        }
        Ok(read)
    }
}
