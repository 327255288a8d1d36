//! Reference rows as a differential collection: whole on every worker, or each row on the worker that owns its key.

use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, Stream};

use super::block::{BlockBuilder, Delivery, Row};
use super::load::Piece;
use crate::cluster::Run;
use crate::cluster::exchange::{table, to_worker};
use crate::epoch::{Given, References};
use crate::record::Epoch;

/// A look-up's arrangement: rows, which sort by key.
pub(super) type Trace = TraceAgent<KeySpine<Row, Epoch, isize>>;

/// The reference collections of a run, one a look-up, in plan order.
pub struct Reference<'scope> {
    pub(super) arranged: Vec<Arranged<'scope, Trace>>,
}

/// One update of a reference collection.
type Update = ((Row, ()), Epoch, isize);

/// Makes every look-up a collection: worker 0 gives its rows first, and then, in a continuous job, their `changes` at the epochs
/// that read them. All workers arrange all rows, or, of partitioned look-ups, each those whose keys it owns.
///
/// The pact of the arrangement is `Pipeline`: its rows have come to where they belong already.
pub fn collections<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    changes: Option<&Rc<References>>,
) -> Reference<'scope> {
    let arranged = (0..run.plan.lookups.len())
        .map(|lookup| {
            let loaded = load(scope, run, lookup, changes);
            let here = if run.partitioned[lookup] {
                loaded
            } else {
                share(loaded, run)
            };
            arrange_core::<_, _, _, KeySpine<Row, Epoch, isize>>(
                rows(here),
                Pipeline,
                "lookup:arrange",
                KeyBatcher::new,
            )
        })
        .collect();
    Reference { arranged }
}

/// Gives the rows on worker 0: a block a process, for the first of its workers, or a block an owner. What was given is let go.
fn load<'scope>(
    scope: Scope<'scope, Epoch>,
    run: &Arc<Run>,
    lookup: usize,
    changes: Option<&Rc<References>>,
) -> Stream<'scope, Epoch, Delivery> {
    let mut pieces = if scope.index() == 0 {
        run.take_reference(lookup).pieces.into_iter()
    } else {
        Vec::new().into_iter()
    };
    let sender = Sender {
        owners: run.partitioned[lookup].then(|| table(scope.peers())),
        firsts: (0..scope.peers())
            .step_by(scope.peers() / run.processes)
            .collect(),
    };
    let changes = changes.cloned();
    source::<_, CapacityContainerBuilder<Delivery>, _, _>(
        scope,
        "lookup:load",
        move |capability, info| {
            let activator = scope.activator_for(Rc::clone(&info.address));
            if let Some(changes) = &changes {
                changes.wake(lookup, scope.activator_for(info.address));
            }
            let mut capability = Some(capability);
            move |output| {
                let Some(held) = &mut capability else { return };
                if let Some(piece) = pieces.next() {
                    let mut session = output.session(held);
                    for mut delivery in sender.deliveries(&piece, false) {
                        session.give_container(&mut delivery);
                    }
                    activator.activate();
                    return;
                }
                let Some(changes) = &changes else {
                    capability = None;
                    return;
                };
                loop {
                    match changes.next(lookup) {
                        Given::Change(epoch, change) => {
                            let read = held.delayed(&epoch);
                            let mut session = output.session(&read);
                            for (pieces, gone) in [(&change.gone, true), (&change.new, false)] {
                                let deliveries = pieces.iter();
                                let deliveries =
                                    deliveries.flat_map(|piece| sender.deliveries(piece, gone));
                                for mut delivery in deliveries {
                                    session.give_container(&mut delivery);
                                }
                            }
                        }
                        Given::Through(epoch) => {
                            held.downgrade(&(epoch + 1));
                            return;
                        }
                        Given::End => {
                            capability = None;
                            return;
                        }
                    }
                }
            }
        },
    )
}

/// To whom rows go.
struct Sender {
    /// Who owns each bin; `None`: all rows go to every process.
    owners: Option<Vec<usize>>,
    /// The first worker of each process.
    firsts: Vec<usize>,
}

impl Sender {
    fn deliveries(&self, piece: &Piece, gone: bool) -> Vec<Delivery> {
        if let Some(owners) = &self.owners {
            return parts(piece, owners, gone);
        }
        let to = |worker: &usize| Delivery {
            worker: *worker,
            gone,
            block: piece.block.clone(),
        };
        self.firsts.iter().map(to).collect()
    }
}

/// The rows of a piece by their owners; workers without rows get none.
fn parts(piece: &Piece, owners: &[usize], gone: bool) -> Vec<Delivery> {
    let workers = owners.last().map_or(0, |last| last + 1);
    let mut of_worker: Vec<BlockBuilder> = Vec::new();
    of_worker.resize_with(workers, BlockBuilder::default);
    for (row, bin) in piece.bins.iter().enumerate() {
        of_worker[owners[usize::from(*bin)]].push(piece.block.row(row));
    }
    let blocks = of_worker.iter_mut().map(BlockBuilder::take).enumerate();
    let delivery = |(worker, block): (usize, Option<_>)| {
        block.map(|block| Delivery {
            worker,
            gone,
            block,
        })
    };
    blocks.filter_map(delivery).collect()
}

/// Hands the blocks that came to a process to all of its workers, which hold them together.
fn share<'scope>(
    loaded: Stream<'scope, Epoch, Delivery>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Delivery> {
    let scope = loaded.scope();
    let of_process = scope.peers() / run.processes;
    if of_process == 1 {
        return loaded;
    }
    let first = scope.index() / of_process * of_process;
    loaded.unary::<CapacityContainerBuilder<Delivery>, _, _, _>(
        to_worker(),
        "lookup:share",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, delivery| {
                    let mut session = output.session(&capability);
                    for worker in first..first + of_process {
                        let mut own = Delivery {
                            worker,
                            ..delivery.clone()
                        };
                        session.give_container(&mut own);
                    }
                });
            }
        },
    )
}

/// The rows of the blocks that come to this worker.
fn rows(here: Stream<'_, Epoch, Delivery>) -> Stream<'_, Epoch, Vec<Update>> {
    here.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(
        to_worker(),
        "lookup:rows",
        |_, _| {
            |input, output| {
                input.for_each(|capability, delivery| {
                    let time = *capability.least().expect("reference rows have a time");
                    let rows = delivery.block.rows();
                    let difference = if delivery.gone { -1 } else { 1 };
                    output
                        .session(&capability)
                        .give_iterator(rows.map(|row| ((row, ()), time, difference)));
                });
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::*;

    fn piece(rows: usize) -> Piece {
        let mut builder = BlockBuilder::default();
        for row in 0..rows {
            builder.push(row.to_string().as_bytes());
        }
        Piece {
            block: builder.take().unwrap_or_default(),
            bins: (0..rows)
                .map(|row| u8::try_from(row * 7 % 256).unwrap())
                .collect(),
        }
    }

    #[test]
    fn every_row_goes_to_the_one_that_owns_its_bin() {
        for peers in [1, 2, 3, 8, 256, 300] {
            let owners = table(peers);
            let piece = piece(1000);
            let mut seen = 0;
            for delivery in parts(&piece, &owners, false) {
                assert!(delivery.worker < peers);
                for row in delivery.block.rows() {
                    let number: usize = std::str::from_utf8(row.bytes()).unwrap().parse().unwrap();
                    assert_eq!(owners[number * 7 % 256], delivery.worker, "{peers}");
                    seen += 1;
                }
            }
            assert_eq!(seen, 1000, "{peers}");
        }
        assert!(parts(&piece(0), &table(4), false).is_empty());
        assert_eq!(Block::default().len(), 0);
    }
}
