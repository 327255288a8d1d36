//! The operator that reads: pieces of input, each under the capability of its epoch.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::{Concat, probe};
use timely::dataflow::{Scope, Stream, StreamVec};

use super::feed::{Claim, Feed};
use super::files::SourceError;
use super::table::{Given, Table};
use super::{share, stream};
use crate::cluster::Run;
use crate::epoch::{Control, Local};
use crate::observe::Observer;
use crate::record::{Epoch, Piece};
use crate::validate::Parking;

/// How long a reader rests when the budget is used up. Nothing wakes it when bytes return, so this bounds how late it
/// notices; a chunk takes a few milliseconds to decode.
pub(super) const FULL_REST: Duration = Duration::from_micros(500);

/// Reads the run's input.
///
/// A continuous job reads what `control` opens ([`stream`]), and again what was parked. In one process any worker takes any piece from the feed ([`claim`]). With several, worker 0 cuts what they share and tells
/// all workers what to read ([`share`]); what a process has to itself its own workers claim. `passed` is the epoch that all
/// rows have gone beyond, on all workers.
pub fn read<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    passed: &probe::Handle<Epoch>,
    control: &StreamVec<'scope, Epoch, Control>,
    local: &Rc<Local>,
    parking: Option<&Rc<Parking>>,
) -> Stream<'scope, Epoch, Piece> {
    let [at, own_at] = ReaderAt::new(run, scope.index());
    if run.plan.continuous.is_some() {
        return stream::read(control, run, local, parking, at);
    }
    if run.processes == 1 {
        // Rows that are held until their epoch is complete hold no budget.
        let holds_epochs = !run.plan.duplicates.is_empty();
        return claim(
            scope,
            run,
            From::All(holds_epochs.then(|| passed.clone())),
            at,
        );
    }
    let shared = share::read(scope, run, passed, at);
    if run.own.is_none() {
        return shared;
    }
    shared.concat(claim(scope, run, From::Own(passed.clone()), own_at))
}

/// Whose input is claimed.
enum From {
    /// All there is; where it must not run ahead, within a few epochs of what all rows have passed.
    All(Option<probe::Handle<Epoch>>),
    /// That which the process has to itself, within a few epochs of what all rows have passed.
    Own(probe::Handle<Epoch>),
}

impl From {
    fn feed<'run>(&self, run: &'run Run) -> Option<&'run Feed> {
        match self {
            Self::All(_) => run.feed.as_ref(),
            Self::Own(_) => run.own.as_ref().map(|own| &own.feed),
        }
    }

    /// Whether the feed is so far ahead that others have to come up first.
    fn is_ahead(&self, feed: &Feed) -> bool {
        match self {
            Self::All(None) => false,
            Self::All(Some(passed)) | Self::Own(passed) => share::is_ahead(feed.epoch(), passed),
        }
    }

    /// The file as people are told of it.
    fn show(&self, run: &Run, file: &mut Arc<PathBuf>) {
        if let (Self::Own(_), Some(own)) = (self, &run.own) {
            *file = Arc::new(own.shown(file));
        }
    }
}

/// Tells how far the readers of one worker are: the least of them.
pub(super) struct ReaderAt {
    observer: Arc<Observer>,
    worker: usize,
    /// The epochs of both readers; the last there is where one has ended.
    of_both: Rc<[Cell<Epoch>; 2]>,
    which: usize,
}

impl ReaderAt {
    /// Those of what all share, and of what the process has to itself.
    fn new(run: &Run, worker: usize) -> [Self; 2] {
        let own = if run.own.is_some() { 0 } else { Epoch::MAX };
        let of_both = Rc::new([Cell::new(0), Cell::new(own)]);
        [0, 1].map(|which| Self {
            observer: Arc::clone(&run.observer),
            worker,
            of_both: Rc::clone(&of_both),
            which,
        })
    }

    /// The epoch that this reader may still give rows for; `None` where it has ended.
    pub(super) fn tell(&self, epoch: Option<Epoch>) {
        self.of_both[self.which].set(epoch.unwrap_or(Epoch::MAX));
        let least = self.of_both[0].get().min(self.of_both[1].get());
        self.observer
            .reader_at(self.worker, (least < Epoch::MAX).then_some(least));
    }
}

/// Reads one piece at each activation, so that the operators behind it run in between.
///
/// A worker's capability is held at the earliest epoch that the feed may still give, and is dropped when there is no more
/// input or the run has failed.
fn claim<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    from: From,
    at: ReaderAt,
) -> Stream<'scope, Epoch, Piece> {
    let run = Arc::clone(run);
    let name = match from {
        From::All(_) => "sources:read",
        From::Own(_) => "sources:read_own",
    };
    source::<_, CapacityContainerBuilder<Piece>, _, _>(scope, name, move |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        let mut table: Option<Table> = None;
        move |output| {
            let (Some(held), Some(feed)) = (capability.as_mut(), from.feed(&run)) else {
                return;
            };
            match next_piece(&run, feed, &from, &mut table) {
                Ok(Next::Piece(epoch, mut piece)) => {
                    if *held.time() < epoch {
                        held.downgrade(&epoch);
                    }
                    at.tell(Some(epoch));
                    output.session(held).give_container(&mut piece);
                    activator.activate();
                }
                Ok(Next::Rest(epoch)) => {
                    if *held.time() < epoch {
                        held.downgrade(&epoch);
                    }
                    at.tell(Some(epoch));
                    activator.activate_after(FULL_REST);
                }
                Ok(Next::Done) => {
                    at.tell(None);
                    capability = None;
                }
                Err(error) => {
                    run.fail(error.into());
                    capability = None;
                }
            }
        }
    })
}

enum Next {
    Piece(Epoch, Piece),
    /// Nothing now, and nothing before this epoch later.
    Rest(Epoch),
    Done,
}

fn next_piece(
    run: &Run,
    feed: &Feed,
    from: &From,
    table: &mut Option<Table>,
) -> Result<Next, SourceError> {
    loop {
        if let Some(open) = table {
            let epoch = open.part.epoch;
            match open.next(run)? {
                Given::Piece(mut piece) => {
                    if let Piece::Table { file, .. } = &mut piece {
                        from.show(run, file);
                    }
                    return Ok(Next::Piece(epoch, piece));
                }
                Given::Full => return Ok(Next::Rest(epoch)),
                Given::End => *table = None,
            }
        }
        if from.is_ahead(feed) {
            return Ok(Next::Rest(feed.epoch()));
        }
        match feed.claim()? {
            Claim::Text { mut chunk, .. } => {
                from.show(run, &mut chunk.file);
                let bytes = chunk.header.encoding.length_in_file(&chunk.bytes);
                run.progress.add_bytes(bytes);
                run.observer.read(chunk.source, bytes, chunk.epoch);
                return Ok(Next::Piece(chunk.epoch, Piece::Text(Arc::new(*chunk))));
            }
            Claim::Part(part) => *table = Some(Table::open(run, part)?),
            Claim::Full => return Ok(Next::Rest(feed.epoch())),
            Claim::Done => return Ok(Next::Done),
        }
    }
}
