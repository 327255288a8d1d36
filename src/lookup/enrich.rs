//! The operator in which drafts meet a reference collection.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::collection::{Reference, Trace};
use super::missing;
use super::snapshot::{NONE, Snapshot};
use crate::cluster::Run;
use crate::job::plan::LookupPlan;
use crate::record::{Draft, Epoch, Fault, Site};
use crate::validate::Blame;

/// Adds the columns of the given look-ups to drafts; a row without a reference row is refused or gets nulls, as the job says.
pub fn enrich<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookups: &[usize],
) -> Stream<'scope, Epoch, Draft> {
    lookups.iter().fold(drafts, |drafts, lookup| {
        one(drafts, reference, run, *lookup)
    })
}

fn one<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
) -> Stream<'scope, Epoch, Draft> {
    let arranged = reference.arranged[lookup].clone();
    let mut trace = arranged.trace;
    let run = Arc::clone(run);
    let mut meeting = Meeting::new(Arc::clone(&run), lookup);
    drafts.binary_frontier::<_, CapacityContainerBuilder<Draft>, _, _, _, _>(
        arranged.stream,
        Pipeline,
        Pipeline,
        "lookup:enrich",
        move |_, _| {
            // Batches may merge as they like; reading goes by time.
            trace.set_physical_compaction(AntichainRef::new(&[]));
            let mut waiting: VecDeque<(Capability<Epoch>, Draft)> = VecDeque::new();
            move |(input, input_frontier), (changes, reference_frontier), output| {
                changes.for_each(|_, _| meeting.changed = true);
                input.for_each(|capability, draft| {
                    let capability = capability.retain_least(output.output_index());
                    if let Some(capability) = capability {
                        waiting.push_back((capability, std::mem::take(draft)));
                    }
                });
                // A draft of e meets what is complete through e - 1. Drafts come in no order of epochs, so each is tried.
                let mut still = VecDeque::new();
                while let Some((capability, mut draft)) = waiting.pop_front() {
                    if reference_frontier.less_than(capability.time()) {
                        still.push_back((capability, draft));
                        continue;
                    }
                    match meeting.enrich(&mut trace, &mut draft) {
                        Ok(()) => output.session(&capability).give_container(&mut draft),
                        Err(error) => run.fail(error.into()),
                    }
                }
                waiting = still;
                // Nothing older than the least outstanding epoch will be asked for again.
                let mut least = input_frontier.frontier().iter().min().copied();
                for (capability, _) in &waiting {
                    least = Some(
                        least.map_or(*capability.time(), |least| least.min(*capability.time())),
                    );
                }
                match least {
                    Some(epoch) => {
                        let since = Antichain::from_elem(epoch.saturating_sub(1));
                        trace.set_logical_compaction(since.borrow());
                    }
                    None => trace.set_logical_compaction(AntichainRef::new(&[])),
                }
            }
        },
    )
}

/// Why a look-up could not be read: the engine's own rows did not decode.
#[derive(Debug, thiserror::Error)]
#[error("lookups.{lookup}: its rows could not be read back")]
pub struct EnrichError {
    lookup: String,
    #[source]
    source: ArrowError,
}

/// The state of the operator.
struct Meeting {
    run: Arc<Run>,
    lookup: usize,
    blame: Blame,
    snapshot: Option<(Epoch, Snapshot)>,
    /// Whether the arrangement got batches since the snapshot was made.
    changed: bool,
}

impl Meeting {
    fn new(run: Arc<Run>, lookup: usize) -> Self {
        let plan = &run.plan.lookups[lookup];
        let mut inputs: Vec<usize> = plan
            .on
            .iter()
            .flat_map(|(_, key)| key.inputs().iter().copied())
            .collect();
        inputs.extend(
            plan.validity
                .iter()
                .flat_map(|validity| validity.at.inputs().iter().copied()),
        );
        // A row whose key fails has a fault here already, and is told that only.
        let blame = Blame::new(&run.plan, &inputs).and(Site::Lookup(lookup));
        Self {
            run,
            lookup,
            blame,
            snapshot: None,
            changed: true,
        }
    }

    fn enrich(&mut self, trace: &mut Trace, draft: &mut Draft) -> Result<(), EnrichError> {
        let run = Arc::clone(&self.run);
        let plan = &run.plan.lookups[self.lookup];
        self.meet(plan, trace, draft).map_err(|source| EnrichError {
            lookup: plan.name.clone(),
            source,
        })
    }

    fn meet(
        &mut self,
        plan: &LookupPlan,
        trace: &mut Trace,
        draft: &mut Draft,
    ) -> Result<(), ArrowError> {
        draft.columns.resize(self.run.plan.columns.len(), None);
        let mut failed: Vec<(usize, String)> = Vec::new();
        let mut evaluate = |expression: &crate::transform::Expression| -> ArrayRef {
            let evaluated = expression.evaluate(&draft.columns, draft.rows, self.run.now);
            failed.extend(evaluated.failed);
            evaluated.array
        };
        let keys: Vec<ArrayRef> = plan.on.iter().map(|(_, key)| evaluate(key)).collect();
        let at = plan
            .validity
            .as_ref()
            .map(|validity| evaluate(&validity.at));
        self.note_failed(draft, failed);
        let run = Arc::clone(&self.run);
        let lookup = self.lookup;
        let snapshot = self.snapshot(plan, trace, draft.epoch)?;
        let found = snapshot.find(&keys, at.as_ref())?;
        let missing: Vec<usize> = (0..found.len()).filter(|row| found[*row] == NONE).collect();
        run.observer.probed(lookup, found.len(), missing.len());
        let nulls = (!missing.is_empty())
            .then(|| NullBuffer::from_iter(found.iter().map(|row| *row != NONE)));
        // An index under a null is not read, but must lie inside an empty or small table all the same.
        let found: Vec<u32> = found
            .into_iter()
            .map(|row| if row == NONE { 0 } else { row })
            .collect();
        let rows = UInt32Array::new(found.into(), nulls);
        for position in 0..plan.reference.len() {
            let id = plan.first_column + position;
            if run.needed[id] {
                let column = snapshot.gather(position, &rows)?;
                draft.columns[id] = Some(column);
            }
        }
        missing::refuse(
            draft,
            self.lookup,
            plan,
            &keys,
            at.as_ref(),
            &missing,
            &self.blame,
        );
        Ok(())
    }

    /// A key that can't be worked out refuses the row, unless what it is made of was faulty already.
    fn note_failed(&self, draft: &mut Draft, failed: Vec<(usize, String)>) {
        if failed.is_empty() {
            return;
        }
        let blamed = self.blame.rows(&draft.faults);
        let faults = failed
            .into_iter()
            .filter(|(row, _)| !blamed.contains(*row))
            .map(|(row, detail)| Fault {
                row,
                site: Site::Lookup(self.lookup),
                reason: Arc::from("bad_key"),
                detail,
            });
        let faults: Vec<Fault> = faults.collect();
        draft.faults.extend(faults);
    }

    /// The look-up as drafts of `epoch` see it: what changed before that epoch.
    fn snapshot(
        &mut self,
        plan: &LookupPlan,
        trace: &mut Trace,
        epoch: Epoch,
    ) -> Result<&Snapshot, ArrowError> {
        let stale = self
            .snapshot
            .as_ref()
            .is_none_or(|(as_of, _)| *as_of != epoch && self.changed);
        if stale {
            let (rows, later) = rows_before(trace, epoch);
            self.run.observer.reference_rows(self.lookup, rows.len());
            self.snapshot = Some((epoch, Snapshot::new(plan, &rows)?));
            // With later changes in the arrangement, another epoch sees another snapshot.
            self.changed = later;
        }
        Ok(&self.snapshot.as_ref().expect("made above").1)
    }
}

/// The encoded rows of the arrangement as of the epoch before, in order of their keys, and whether it holds changes that are
/// later than that.
fn rows_before(trace: &mut Trace, epoch: Epoch) -> (Vec<Vec<u8>>, bool) {
    let batches = trace
        .batches_through(AntichainRef::new(&[]))
        .expect("everything can be asked for with the empty frontier");
    let mut rows = Vec::new();
    let mut later = false;
    let cursors: Vec<BatchCursor<Trace>> = batches.iter().map(Navigable::cursor).collect();
    let mut cursor = CursorList::new(cursors, &batches);
    while cursor.key_valid(&batches) {
        while cursor.val_valid(&batches) {
            let mut count = 0;
            cursor.map_times(&batches, |time, difference| {
                if *time < epoch {
                    count += *difference;
                } else {
                    later = true;
                }
            });
            assert!(
                count >= 0,
                "a reference row was taken away more often than it was given: {count}"
            );
            if count > 0 {
                rows.push(cursor.val(&batches).clone());
            }
            cursor.step_val(&batches);
        }
        cursor.step_key(&batches);
    }
    (rows, later)
}
