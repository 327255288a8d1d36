//! The row law in the dataflow: what all workers counted comes together on the first.
//!
//! ```text
//! split, duplicates ──> notes of each epoch ──> checks:conservation ──> verdicts
//!                                                (on one worker)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::fresh::Kept;
use super::{Open, hold};
use crate::checks::conservation::{CONSERVATION, Minute, Rows};
use crate::checks::verdict::{Verdict, VerdictBuilder};
use crate::cluster::Run;
use crate::epoch::{Control, Part, Saving, saved};
use crate::record::{Batch, Epoch, Note};

/// Judges what became of all rows: at the end of the input, or in a continuous job minute by minute, where the rows of the minute that is not over
/// are written when a checkpoint epoch has passed.
///
/// Ownership: as that of freshness.
pub(super) fn conserve<'scope>(
    counted: StreamVec<'scope, Epoch, Note>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> Kept<'scope> {
    let scope = counted.scope();
    let is_keeper = scope.index() == 0;
    let name = format!("checks:{CONSERVATION}");
    let state_name = name.replace(':', " ");
    let mut builder = OperatorBuilder::new(name, scope);
    let activator = scope
        .worker()
        .sync_activator_for(builder.operator_info().address.to_vec());
    let mut counted = builder.new_input(counted, Exchange::new(|_: &Note| 0));
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (verdicts_output, verdicts) = builder.new_output::<Batch>();
    let (notes_output, notes) = builder.new_output::<Vec<Note>>();
    let mut verdicts_output =
        OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(verdicts_output);
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let run = Arc::clone(run);
    builder.build(move |mut capabilities| {
        let is_continuous = run.resumed.is_some();
        capabilities.truncate(1);
        let mut at_the_end = capabilities.pop().filter(|_| !is_continuous && is_keeper);
        let mut saving = Saving::new(&run, activator, None);
        let mut minute = Minute::default();
        if is_continuous && is_keeper {
            let restored = saved(&run, &state_name, |bytes| {
                minute = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
                Ok(())
            });
            if let Err(error) = restored {
                run.fail(error);
            }
        }
        let mut all = Rows::default();
        let mut of_epochs: BTreeMap<Epoch, Rows> = BTreeMap::new();
        let mut open = Open::<2>::new();
        let mut say = move |verdict: Verdict<'_>, capability: &Capability<Epoch>| {
            let mut rows = VerdictBuilder::default();
            rows.push(verdict);
            let mut output = verdicts_output.activate();
            let mut session = output.session(capability);
            session.give_container(&mut Batch::new(rows.finish(), *capability.time()));
        };
        move |frontiers| {
            counted.for_each(|capability, notes| {
                let epoch = *capability.least().expect("rows have an epoch");
                let rows = if is_continuous {
                    of_epochs.entry(epoch).or_default()
                } else {
                    &mut all
                };
                for note in notes.drain(..) {
                    rows.add(&run.plan.duplicates, epoch, &note);
                }
            });
            control.for_each(|capability, said| hold(&mut open, &capability, said));
            while let Some(entry) = open.first_entry()
                && !frontiers
                    .iter()
                    .any(|frontier| frontier.less_equal(entry.key()))
            {
                let (epoch, (opening, [verdicts, notes])) = entry.remove_entry();
                if !is_keeper {
                    continue;
                }
                let rows = of_epochs.remove(&epoch).unwrap_or_default();
                if let Some(verdict) = minute.take(opening.now, rows) {
                    say(verdict, &verdicts);
                }
                if opening.checkpoint {
                    let bytes = serde_json::to_vec(&minute).expect("counts are JSON");
                    saving.write(notes, format!("{state_name}-0"), Part::Whole, bytes);
                }
            }
            saving.tell(&mut notes_output);
            if let Some(capability) = &mut at_the_end {
                if let Some(epoch) = frontiers[0].frontier().as_option() {
                    capability.downgrade(epoch);
                    return;
                }
                say(all.verdict(None), capability);
                at_the_end = None;
            }
        }
    });
    Kept { verdicts, notes }
}
