//! The rows of a look-up as they come and go, for whoever goes by which there are rather than looking one up.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use differential_dataflow::trace::{Cursor, Navigable};
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

/// Rows of one epoch that came (a difference above 0) or went.
#[derive(Debug, Clone)]
pub struct Members {
    /// The columns that were asked for, a value a row.
    pub columns: Vec<ArrayRef>,
    /// How many more of each row there are.
    pub differences: Vec<i64>,
}

/// Tells the rows of a look-up, by some of its reference columns: each row is told by one worker, at the epoch that read it. Those of epoch e
/// are what rows of later epochs meet.
pub fn members<'scope>(
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
    columns: Vec<usize>,
) -> StreamVec<'scope, Epoch, Members> {
    let stream = reference.arranged[lookup].stream.clone();
    // Where all workers have all rows, the first one tells them.
    let tells = run.partitioned[lookup] || stream.scope().index() == 0;
    let run = Arc::clone(run);
    stream.unary::<CapacityContainerBuilder<Vec<Members>>, _, _, _>(
        Pipeline,
        "lookup:members",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, spans| {
                    let Some(capability) = capability.retain_least(output.output_index()) else {
                        return;
                    };
                    let mut by_time: BTreeMap<Epoch, Vec<(Row, isize)>> = BTreeMap::new();
                    for batch in spans.iter().filter_map(|span| span.inner.as_ref()) {
                        let mut cursor = batch.cursor();
                        while tells && cursor.key_valid(batch) {
                            let row = cursor.key(batch);
                            cursor.map_times(batch, |time, difference| {
                                let rows = by_time.entry(*time).or_default();
                                rows.push((row.clone(), *difference));
                            });
                            cursor.step_key(batch);
                        }
                    }
                    let plan = &run.plan.lookups[lookup];
                    for (time, rows) in by_time {
                        match told(plan, &columns, &rows) {
                            Ok(members) => {
                                output.session(&capability.delayed(&time)).give(members);
                            }
                            Err(source) => run.fail(EnrichError::new(plan, source).into()),
                        }
                    }
                });
            }
        },
    )
}

fn told(
    plan: &LookupPlan,
    columns: &[usize],
    rows: &[(Row, isize)],
) -> Result<Members, ArrowError> {
    let decoded = Layout::new(plan)?.decode(rows.iter().map(|(row, _)| row.bytes()))?;
    let differences = rows.iter();
    let differences = differences.map(|(_, difference)| {
        i64::try_from(*difference).expect("a difference of rows fits 64 bits")
    });
    Ok(Members {
        columns: columns
            .iter()
            .map(|column| ArrayRef::clone(&decoded[*column]))
            .collect(),
        differences: differences.collect(),
    })
}
