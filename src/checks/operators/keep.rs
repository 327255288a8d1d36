//! Windows in a continuous job: state that lives from epoch to epoch, and from one life of the job to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use super::{Came, Open, Watched, hold};
use crate::checks::ends::Ends;
use crate::checks::exchange::Placement;
use crate::checks::expected::Entry;
use crate::checks::layout::Layout;
use crate::checks::reduce::Group;
use crate::checks::stats::Partial;
use crate::checks::tally::{Tally, fold};
use crate::checks::value::Segment;
use crate::cluster::Run;
use crate::epoch::{Control, Fold, Part, Saving, saved};
use crate::record::{Batch, Epoch, Note};

/// Applies partials epoch by epoch, and closes what is due in each; writes the state when a checkpoint epoch has passed.
///
/// Where windows of the job are corrected for different times, a row may be too late for one and not for another. Which window takes rows of an
/// epoch is said by the watermark that the epoch sees, as it says which rows are refused; what a window does not take is counted.
///
/// Partials of an epoch are applied when all of them have come, so that what is closed or written in it holds those of no later one.
pub(super) fn keep<'scope>(
    came: Came<'scope>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    layout: Arc<Layout>,
) -> Kept<'scope> {
    let Came {
        partials,
        ends,
        listed,
    } = came;
    let scope = partials.inner.scope();
    let (worker, peers) = (scope.index(), scope.peers());
    let name = format!("checks:tally {}", layout.name);
    let watched = Watched::new(&layout, &run.observer);
    let state_name = name.replace([':', '/'], " ");
    let mut builder = OperatorBuilder::new(name, scope);
    let activator = scope
        .worker()
        .sync_activator_for(builder.operator_info().address.to_vec());
    let mut input = builder.new_input(partials.inner, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let mut ends = ends.map(|ends| builder.new_input(ends, Pipeline));
    let mut listed = listed.map(|listed| builder.new_input(listed, Pipeline));
    let (windows_output, windows) = builder.new_output::<Batch>();
    let (verdicts_output, verdicts) = builder.new_output::<Batch>();
    let (notes_output, notes) = builder.new_output::<Vec<Note>>();
    let mut outputs = [windows_output, verdicts_output]
        .map(OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from);
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let run = Arc::clone(run);
    builder.build(move |capabilities| {
        drop(capabilities);
        let of_layout = Arc::clone(&layout);
        let fold: Fold =
            Arc::new(move |series| fold(&of_layout, series).map_err(|error| error.to_string()));
        let mut saving = Saving::new(&run, activator, Some(fold));
        let mut last = 0;
        let may_miss = layout.may_miss || layout.asks_refused();
        let mut tally = Tally::new(layout);
        let owner = Placement::BySegment.among(peers);
        let mine = |segment: &Segment| owner(segment) == worker;
        let restored = saved(&run, &state_name, |bytes| {
            tally.load(bytes, mine).map_err(|error| error.to_string())
        });
        if let Err(error) = restored {
            run.fail(error);
        }
        let mut waiting: BTreeMap<Epoch, Vec<(Group, Partial)>> = BTreeMap::new();
        let mut reached: BTreeMap<Epoch, Ends> = BTreeMap::new();
        let mut entries: BTreeMap<Epoch, Vec<Entry>> = BTreeMap::new();
        let mut open = Open::<3>::new();
        move |frontiers| {
            input.for_each(|_, updates| {
                for (group, epoch, partial) in updates.drain(..) {
                    waiting.entry(epoch).or_default().push((group, partial));
                }
            });
            if let Some(ends) = &mut ends {
                ends.for_each(|_, ends| {
                    for (epoch, ends) in ends.drain(..) {
                        let of_epoch = reached.entry(epoch).or_default();
                        *of_epoch = of_epoch.and(ends);
                    }
                });
            }
            if let Some(listed) = &mut listed {
                listed.for_each(|_, came| {
                    for (epoch, entry) in came.drain(..) {
                        entries.entry(epoch).or_default().push(entry);
                    }
                });
            }
            control.for_each(|capability, said| hold(&mut open, &capability, said));
            while let Some(entry) = open.first_entry()
                && !frontiers
                    .iter()
                    .any(|frontier| frontier.less_equal(entry.key()))
            {
                let (epoch, (opening, held)) = entry.remove_entry();
                let watermark = opening.watermark.filter(|_| may_miss);
                let takes_from = watermark.map(|watermark| tally.takes_from(watermark));
                let mut late = 0;
                for ((segment, start), partial) in waiting.remove(&epoch).unwrap_or_default() {
                    // Where no other window takes late rows they were refused, and one that comes is a bug.
                    if takes_from.is_some_and(|takes_from| start < takes_from) {
                        late += u64::try_from(partial.rows).unwrap_or(0);
                        continue;
                    }
                    tally.apply_pane(segment, start, partial, epoch);
                }
                // As rows do, an epoch sees what look-ups were before it.
                let later = entries.split_off(&epoch);
                for entry in std::mem::replace(&mut entries, later)
                    .into_values()
                    .flatten()
                {
                    tally.expect(entry);
                }
                if let Some(ends) = reached.remove(&epoch) {
                    tally.reach(ends);
                }
                let corrected = tally.take_corrected();
                if late + corrected > 0 {
                    watched.tell_late(late, corrected);
                    let note = Note::Late {
                        window: watched.name.clone(),
                        missed: late,
                        corrected,
                    };
                    let mut output = notes_output.activate();
                    output.session(&held[2]).give(note);
                }
                let closed = tally.close_until(opening.watermark.unwrap_or(i64::MIN));
                for ((batches, output), capability) in [closed.windows, vec![closed.verdicts]]
                    .into_iter()
                    .zip(&mut outputs)
                    .zip(&held)
                {
                    let mut output = output.activate();
                    let mut session = output.session(capability);
                    for rows in batches.into_iter().filter(|rows| rows.num_rows() > 0) {
                        session.give_container(&mut Batch::new(rows, epoch));
                    }
                }
                if opening.checkpoint {
                    let [_, _, notes] = held;
                    let (segments, _) = tally.open();
                    let part = saving.part(tally.changed(), segments);
                    let mut bytes = Vec::new();
                    let written = match part {
                        Part::Whole => {
                            // As much as the last time, and a little more: what grows by doubling is there twice for a moment.
                            bytes.reserve_exact(last + last / 16);
                            let written = tally.save(&mut bytes);
                            last = bytes.len();
                            written
                        }
                        Part::Changes => tally.save_changes(&mut bytes),
                    };
                    written.expect("a Vec takes everything");
                    tally.begin_changes();
                    saving.write(notes, format!("{state_name}-{worker}"), part, bytes);
                }
            }
            saving.tell(&mut notes_output);
            watched.tell(worker, &tally);
        }
    });
    Kept {
        windows,
        verdicts,
        notes,
    }
}

/// What [`keep`] gives.
pub(super) struct Kept<'scope> {
    /// The rows of windows that are closed.
    pub(super) windows: Stream<'scope, Epoch, Batch>,
    /// What was judged.
    pub(super) verdicts: Stream<'scope, Epoch, Batch>,
    /// State that was written.
    pub(super) notes: StreamVec<'scope, Epoch, Note>,
}
