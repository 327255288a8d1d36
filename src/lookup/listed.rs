//! The rows of a look-up as columns, for those that ask what it lists and not what it has for a row.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::block::Row;
use super::collection::Reference;
use super::layout::Layout;
use super::view::EnrichError;
use crate::cluster::Run;
use crate::job::plan::LookupPlan;
use crate::record::Epoch;

/// Reference rows that came, or went, in an epoch.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The epoch: rows of later ones meet them.
    pub epoch: Epoch,
    /// The reference columns, in their order.
    pub columns: Vec<ArrayRef>,
    /// How many more of each row there are, below nought where some went.
    pub differences: Vec<i64>,
}

/// The reference rows of a look-up that this worker has, each told at the epoch that read it: all, or of a partitioned one those whose keys it
/// owns. With `once` each row is told by one worker: where all have all rows, by the first.
pub fn listed<'scope>(
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
    once: bool,
) -> StreamVec<'scope, Epoch, Listed> {
    let rows = reference.arranged[lookup].clone();
    let tells = !once || run.partitioned[lookup] || rows.stream.scope().index() == 0;
    let rows = rows
        .as_collection(|row, &()| row.clone())
        .filter(move |_| tells);
    let run = Arc::clone(run);
    rows.inner
        .unary::<CapacityContainerBuilder<Vec<Listed>>, _, _, _>(
            Pipeline,
            "lookup:listed",
            move |_, _| {
                move |input, output| {
                    input.for_each(|capability, updates| {
                        let plan = &run.plan.lookups[lookup];
                        for of_epoch in updates.chunk_by(|(_, one, _), (_, other, _)| one == other)
                        {
                            let told = match told(plan, of_epoch) {
                                Ok(told) => told,
                                Err(source) => {
                                    run.fail(EnrichError::new(plan, source).into());
                                    continue;
                                }
                            };
                            let at = capability.delayed(&told.epoch, output.output_index());
                            output.session(&at).give(told);
                        }
                    });
                }
            },
        )
}

/// Rows of one epoch, one at least.
fn told(plan: &LookupPlan, updates: &[(Row, Epoch, isize)]) -> Result<Listed, ArrowError> {
    let rows = updates.iter().map(|(row, ..)| row.bytes());
    let differences = updates.iter().map(|(_, _, difference)| {
        i64::try_from(*difference).expect("a difference of rows fits 64 bits")
    });
    Ok(Listed {
        epoch: updates[0].1,
        columns: Layout::new(plan)?.decode(rows)?,
        differences: differences.collect(),
    })
}
