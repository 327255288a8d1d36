//! Reference rows as a differential collection: whole on every worker, or each row on the worker that owns its key.

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
use crate::record::Epoch;

/// A look-up's arrangement: rows, which sort by key.
pub(super) type Trace = TraceAgent<KeySpine<Row, Epoch, isize>>;

/// The reference collections of a run, one a look-up, in plan order.
pub struct Reference<'scope> {
    pub(super) arranged: Vec<Arranged<'scope, Trace>>,
}

/// One update of a reference collection.
type Update = ((Row, ()), Epoch, isize);

/// Makes every look-up a collection: worker 0 gives its rows at epoch 0. All workers arrange all of them, or, of partitioned
/// ones, each those whose keys it owns.
///
/// The pact of the arrangement is `Pipeline`: its rows have come to where they belong already.
pub fn collections<'scope>(scope: Scope<'scope, Epoch>, run: &Arc<Run>) -> Reference<'scope> {
    let arranged = (0..run.plan.lookups.len())
        .map(|lookup| {
            let loaded = load(scope, run, lookup);
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
) -> Stream<'scope, Epoch, Delivery> {
    let mut pieces = if scope.index() == 0 {
        run.take_reference(lookup).pieces.into_iter()
    } else {
        Vec::new().into_iter()
    };
    let owners = run.partitioned[lookup].then(|| table(scope.peers()));
    let of_process = scope.peers() / run.processes;
    let firsts: Vec<usize> = (0..scope.peers()).step_by(of_process).collect();
    source::<_, CapacityContainerBuilder<Delivery>, _, _>(
        scope,
        "lookup:load",
        move |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = Some(capability);
            move |output| {
                let Some(held) = &capability else { return };
                let Some(piece) = pieces.next() else {
                    capability = None;
                    return;
                };
                let deliveries = match &owners {
                    Some(owners) => parts(&piece, owners),
                    None => firsts
                        .iter()
                        .map(|worker| Delivery {
                            worker: *worker,
                            block: piece.block.clone(),
                        })
                        .collect(),
                };
                let mut session = output.session(held);
                for mut delivery in deliveries {
                    session.give_container(&mut delivery);
                }
                activator.activate();
            }
        },
    )
}

/// The rows of a piece by their owners; workers without rows get none.
fn parts(piece: &Piece, owners: &[usize]) -> Vec<Delivery> {
    let workers = owners.last().map_or(0, |last| last + 1);
    let mut of_worker: Vec<BlockBuilder> = Vec::new();
    of_worker.resize_with(workers, BlockBuilder::default);
    for (row, bin) in piece.bins.iter().enumerate() {
        of_worker[owners[usize::from(*bin)]].push(piece.block.row(row));
    }
    let blocks = of_worker.iter_mut().map(BlockBuilder::take).enumerate();
    blocks
        .filter_map(|(worker, block)| block.map(|block| Delivery { worker, block }))
        .collect()
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
                        let block = delivery.block.clone();
                        session.give_container(&mut Delivery { worker, block });
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
                    let rows = delivery.block.rows();
                    output
                        .session(&capability)
                        .give_iterator(rows.map(|row| ((row, ()), 0, 1)));
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
            for delivery in parts(&piece, &owners) {
                assert!(delivery.worker < peers);
                for row in delivery.block.rows() {
                    let number: usize = std::str::from_utf8(row.bytes()).unwrap().parse().unwrap();
                    assert_eq!(owners[number * 7 % 256], delivery.worker, "{peers}");
                    seen += 1;
                }
            }
            assert_eq!(seen, 1000, "{peers}");
        }
        assert!(parts(&piece(0), &table(4)).is_empty());
        assert_eq!(Block::default().len(), 0);
    }
}
