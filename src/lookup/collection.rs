//! Reference rows as a differential collection, whole on every worker.

use std::sync::Arc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::vec::Broadcast;

use crate::cluster::Run;
use crate::record::Epoch;

/// A look-up's arrangement: encoded key → encoded row.
pub(super) type Trace = TraceAgent<ValSpine<Vec<u8>, Vec<u8>, Epoch, isize>>;

/// The reference collections of a run, one a look-up, in plan order.
pub struct Reference<'scope> {
    pub(super) arranged: Vec<Arranged<'scope, Trace>>,
}

/// One update of a reference collection.
type Update = ((Vec<u8>, Vec<u8>), Epoch, isize);

/// Makes every look-up a collection: worker 0 gives its rows at epoch 0, all workers arrange all of them.
///
/// The pact of the arrangement is `Pipeline`: the broadcast has put every row on every worker, and an exchange by key would
/// leave each worker with a part of them.
pub fn collections<'scope>(scope: Scope<'scope, Epoch>, run: &Arc<Run>) -> Reference<'scope> {
    let arranged = (0..run.plan.lookups.len())
        .map(|lookup| {
            let run = Arc::clone(run);
            let first = scope.index() == 0;
            let rows = source::<_, CapacityContainerBuilder<Vec<Update>>, _, _>(
                scope,
                "lookup:load",
                move |capability, _| {
                    let mut capability = Some(capability);
                    move |output| {
                        let Some(capability) = capability.take() else {
                            return;
                        };
                        if first {
                            let mut session = output.session(&capability);
                            for (key, row) in &run.references[lookup].rows {
                                session.give(((key.clone(), row.clone()), 0, 1));
                            }
                        }
                    }
                },
            );
            let name = format!("lookup:arrange {}", run_name(scope.index(), lookup));
            arrange_core::<_, _, _, ValSpine<Vec<u8>, Vec<u8>, Epoch, isize>>(
                rows.broadcast(),
                Pipeline,
                &name,
                ValBatcher::new,
            )
        })
        .collect();
    Reference { arranged }
}

fn run_name(worker: usize, lookup: usize) -> String {
    format!("{lookup} on {worker}")
}
