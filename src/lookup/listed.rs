//! The rows of a look-up as columns, for those that ask what it lists and not what it has for a row.

use std::sync::Arc;

use arrow_array::ArrayRef;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::block::Row;
use super::collection::Reference;
use super::layout::Layout;
use crate::cluster::Run;
use crate::record::Epoch;

/// Reference rows that came, or went, in an epoch.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The epoch: rows of later ones meet them.
    pub epoch: Epoch,
    /// The reference columns, in their order.
    pub columns: Vec<ArrayRef>,
    /// For each row 1 where it came, -1 where it is there no more.
    pub signs: Vec<isize>,
}

/// The reference rows of a look-up that this worker has: all, or of a partitioned one those whose keys it owns.
pub fn listed<'scope>(
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
) -> StreamVec<'scope, Epoch, Listed> {
    let rows = reference.arranged[lookup].clone();
    let rows = rows.as_collection(|row, &()| row.clone());
    let plan = Arc::clone(&run.plan);
    rows.inner
        .unary::<CapacityContainerBuilder<Vec<Listed>>, _, _, _>(
            Pipeline,
            "lookup:listed",
            move |_, _| {
                move |input, output| {
                    input.for_each(|capability, updates| {
                        let mut session = output.session(&capability);
                        for of_epoch in updates.chunk_by(|(_, one, _), (_, other, _)| one == other)
                        {
                            let layout = Layout::new(&plan.lookups[lookup]);
                            let rows = of_epoch
                                .iter()
                                .map(|(row, ..): &(Row, Epoch, isize)| row.bytes());
                            let columns = layout.and_then(|layout| layout.decode(rows));
                            session.give(Listed {
                                epoch: of_epoch[0].1,
                                columns: columns.expect("these rows were encoded by this layout"),
                                signs: of_epoch.iter().map(|(_, _, sign)| *sign).collect(),
                            });
                        }
                    });
                }
            },
        )
}
