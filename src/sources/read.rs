//! The operator that reads: pieces of input, each under the capability of its epoch.

use std::sync::Arc;
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::probe;
use timely::dataflow::{Scope, Stream};

use super::feed::{Claim, Feed, length};
use super::files::SourceError;
use super::share;
use super::table::{Given, Table};
use crate::cluster::Run;
use crate::record::{Epoch, Piece};

/// How long a reader rests when the budget is used up. Nothing wakes it when bytes return, so this bounds how late it
/// notices; a chunk takes a few milliseconds to decode.
pub(super) const FULL_REST: Duration = Duration::from_micros(500);

/// Reads the run's input.
///
/// In one process any worker takes any piece from the feed ([`claim`]); with several, worker 0 cuts the input and tells
/// all workers what to read ([`share`]). `passed` is the epoch that all rows have gone beyond, on all workers.
pub fn read<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    passed: &probe::Handle<Epoch>,
) -> Stream<'scope, Epoch, Piece> {
    if run.processes > 1 {
        share::read(scope, run, passed)
    } else {
        claim(scope, run)
    }
}

/// Reads one piece at each activation, so that the operators behind it run in between.
///
/// A worker's capability is held at the earliest epoch that the feed may still give, and is dropped when there is no more
/// input or the run has failed.
fn claim<'scope>(scope: Scope<'scope, Epoch>, run: &Arc<Run>) -> Stream<'scope, Epoch, Piece> {
    let run = Arc::clone(run);
    let worker = scope.index();
    source::<_, CapacityContainerBuilder<Piece>, _, _>(
        scope,
        "sources:read",
        move |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = Some(capability);
            let mut table: Option<Table> = None;
            move |output| {
                let (Some(held), Some(feed)) = (capability.as_mut(), &run.feed) else {
                    return;
                };
                match next_piece(&run, feed, &mut table) {
                    Ok(Next::Piece(epoch, mut piece)) => {
                        if *held.time() < epoch {
                            held.downgrade(&epoch);
                        }
                        run.observer.reader_at(worker, Some(epoch));
                        output.session(held).give_container(&mut piece);
                        activator.activate();
                    }
                    Ok(Next::Rest(epoch)) => {
                        if *held.time() < epoch {
                            held.downgrade(&epoch);
                        }
                        run.observer.reader_at(worker, Some(epoch));
                        activator.activate_after(FULL_REST);
                    }
                    Ok(Next::Done) => {
                        run.observer.reader_at(worker, None);
                        capability = None;
                    }
                    Err(error) => {
                        run.fail(error.into());
                        capability = None;
                    }
                }
            }
        },
    )
}

enum Next {
    Piece(Epoch, Piece),
    /// Nothing now, and nothing before this epoch later.
    Rest(Epoch),
    Done,
}

fn next_piece(run: &Run, feed: &Feed, table: &mut Option<Table>) -> Result<Next, SourceError> {
    loop {
        if let Some(open) = table {
            let epoch = open.group.epoch;
            match open.next(run)? {
                Given::Piece(piece) => return Ok(Next::Piece(epoch, piece)),
                Given::Full => return Ok(Next::Rest(epoch)),
                Given::End => *table = None,
            }
        }
        match feed.claim()? {
            Claim::Text { chunk, .. } => {
                let bytes = length(chunk.bytes.len());
                run.progress.add_bytes(bytes);
                run.observer.read(chunk.source, bytes, chunk.epoch);
                return Ok(Next::Piece(chunk.epoch, Piece::Text(Arc::new(*chunk))));
            }
            Claim::RowGroup(group) => *table = Some(Table::open(run, group)?),
            Claim::Full => return Ok(Next::Rest(feed.epoch())),
            Claim::Done => return Ok(Next::Done),
        }
    }
}
