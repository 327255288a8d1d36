//! Drafts meet a reference collection that is whole on every worker, and what both kinds of look-up do with a row's key before and
//! with the row that was found after.

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use super::collection::Reference;
use super::columns::NONE;
use super::missing;
use super::view::meet;
use super::visit::visit;
use crate::cluster::Run;
use crate::job::plan::LookupPlan;
use crate::record::{Draft, Epoch, Fault, Site};
use crate::transform::Expression;
use crate::validate::Blame;

/// Adds the columns of the given look-ups to drafts; a row without a reference row is refused or gets nulls, as the job says.
///
/// The result does not depend on where a look-up's rows are. Drafts may overtake each other; the rows of each stay in their order.
pub fn enrich<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookups: &[usize],
) -> Stream<'scope, Epoch, Draft> {
    lookups.iter().fold(drafts, |drafts, lookup| {
        if run.partitioned[*lookup] {
            visit(drafts, reference, run, *lookup)
        } else {
            probe(drafts, reference, run, *lookup)
        }
    })
}

fn probe<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
) -> Stream<'scope, Epoch, Draft> {
    let meeting = Meeting::new(Arc::clone(run), lookup);
    meet(
        drafts,
        Pipeline,
        reference,
        run,
        lookup,
        "lookup:enrich",
        move |snapshot, mut draft: Draft| {
            let keys = meeting.keys(&mut draft);
            let found = snapshot.find(&keys.on, keys.at.as_ref())?;
            meeting.add(&mut draft, &keys, found, |position, rows| {
                snapshot.gather(position, rows)
            })?;
            Ok(draft)
        },
    )
}

/// What the rows of a draft look for.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    /// The key's columns, in the order of `on`.
    pub(super) on: Vec<ArrayRef>,
    /// The time of each row, in as-of look-ups.
    pub(super) at: Option<ArrayRef>,
}

/// What an operator knows to look keys up and to add what was found.
pub(super) struct Meeting {
    pub(super) run: Arc<Run>,
    lookup: usize,
    blame: Blame,
}

impl Meeting {
    pub(super) fn new(run: Arc<Run>, lookup: usize) -> Self {
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
        let blame = Blame::new(&run.plan, &inputs)
            .and(Site::Lookup(lookup))
            .and(Site::Waits(lookup));
        Self { run, lookup, blame }
    }

    pub(super) fn plan(&self) -> &LookupPlan {
        &self.run.plan.lookups[self.lookup]
    }

    /// Works out the keys of a draft's rows; those that can't be are null, and noted.
    pub(super) fn keys(&self, draft: &mut Draft) -> Keys {
        let plan = self.plan();
        draft.columns.resize(self.run.plan.columns.len(), None);
        let mut failed: Vec<(usize, String)> = Vec::new();
        let now = self.run.now_of(draft.epoch);
        let mut evaluate = |expression: &Expression| -> ArrayRef {
            let evaluated = expression.evaluate(&draft.columns, draft.rows, now);
            failed.extend(evaluated.failed);
            evaluated.array
        };
        let on = plan.on.iter().map(|(_, key)| evaluate(key)).collect();
        let validity = plan.validity.as_ref();
        let at = validity.map(|validity| evaluate(&validity.at));
        self.note_failed(draft, failed);
        Keys { on, at }
    }

    /// Adds the columns of the reference rows at these places, [`NONE`] where there is none; `gather` gives a column at places.
    pub(super) fn add(
        &self,
        draft: &mut Draft,
        keys: &Keys,
        found: Vec<u32>,
        gather: impl Fn(usize, &UInt32Array) -> Result<ArrayRef, ArrowError>,
    ) -> Result<(), ArrowError> {
        let plan = self.plan();
        let missing: Vec<usize> = (0..found.len()).filter(|row| found[*row] == NONE).collect();
        self.run
            .observer
            .probed(self.lookup, found.len(), missing.len());
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
            if self.run.needed[id] {
                draft.columns[id] = Some(gather(position, &rows)?);
            }
        }
        missing::refuse(
            draft,
            self.lookup,
            plan,
            &keys.on,
            keys.at.as_ref(),
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
}
