//! Freshness in the dataflow: one worker has all segments of a check, since the newest event of *all* is the reference of a run with an end, and
//! what is wrong with all is told once. They are few.
//!
//! ```text
//! clean   --checks:reduce, exchange--> partials ─┐
//! refused --checks:refused-----------> that rows came ─┼─> checks:freshness ──> verdicts
//! rows of a look-up --checks:expected--> segments ─┘       (on one worker)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::{Stream, StreamVec};

use super::{Open, Partials, Watched, hold};
use crate::checks::codes::ValueCodes;
use crate::checks::freshness::{Freshness, Lives};
use crate::checks::layout::Layout;
use crate::checks::stats::Partial;
use crate::checks::value::Segment;
use crate::cluster::Run;
use crate::epoch::{Control, Part, Saving, saved};
use crate::job::plan::FreshnessPlan;
use crate::lookup::{Listed, Reference, listed};
use crate::record::{Batch, Epoch, Note};

/// Segments that are expected, with how many more rows say so.
type Expected = (Segment, i64);

/// What a check has of the dataflow.
pub(super) struct Inputs<'scope> {
    /// The newest event of each segment, on the first worker.
    pub(super) partials: Partials<'scope>,
    /// That rows were refused, there, too.
    pub(super) refused: StreamVec<'scope, Epoch, u64>,
    /// Segments that should be there.
    pub(super) expected: Option<StreamVec<'scope, Epoch, Expected>>,
}

/// Tells the first worker in which epochs rows were refused, and how many.
pub(super) fn refused(refused: Stream<'_, Epoch, Batch>) -> StreamVec<'_, Epoch, u64> {
    refused.unary::<CapacityContainerBuilder<Vec<u64>>, _, _, _>(
        Pipeline,
        "checks:refused",
        |_, _| {
            |input, output| {
                input.for_each(|capability, batch| {
                    let rows = batch.rows.as_ref().map_or(0, RecordBatch::num_rows);
                    if rows > 0 {
                        let rows = u64::try_from(rows).expect("a number of rows fits");
                        output.session(&capability).give(rows);
                    }
                });
            }
        },
    )
}

/// The segments that the rows of a look-up expect, as they come and go.
pub(super) fn expected<'scope>(
    plan: &FreshnessPlan,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
) -> Option<StreamVec<'scope, Epoch, Expected>> {
    let expected = plan.expected.as_ref()?;
    let rows = listed(reference, run, expected.lookup, true);
    let columns = expected.columns.clone();
    let told = rows.unary::<CapacityContainerBuilder<Vec<Expected>>, _, _, _>(
        Pipeline,
        "checks:expected",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, listed| {
                    let mut session = output.session(&capability);
                    for Listed {
                        columns: all,
                        differences,
                        ..
                    } in listed.drain(..)
                    {
                        let segments = segments(&all, &columns, differences.len());
                        session.give_iterator(segments.zip(differences));
                    }
                });
            }
        },
    );
    Some(told)
}

/// The segments of rows, from the values of some columns.
fn segments(all: &[ArrayRef], columns: &[usize], rows: usize) -> impl Iterator<Item = Segment> {
    let coded: Vec<(ValueCodes, Vec<u32>)> = columns
        .iter()
        .map(|column| &all[*column])
        .map(|column| {
            let (mut values, mut codes) = (ValueCodes::default(), Vec::new());
            values.assign(column, &mut codes);
            (values, codes)
        })
        .collect();
    (0..rows).map(move |row| {
        let values = coded.iter();
        let values = values.map(|(values, codes)| values.value(codes[row]).clone());
        Segment(values.collect())
    })
}

/// Keeps the segments of a check, and judges them: at the end of the input, or epoch by epoch in a continuous job, where the state is written when a
/// checkpoint epoch has passed.
///
/// What belongs to an epoch is applied when all of it has come, in the order of epochs, so that what is judged in it holds nothing of a later one.
/// Ownership: holds a capability for each epoch that is to be judged, and in a run with an end one at the input's frontier.
pub(super) fn keep<'scope>(
    inputs: Inputs<'scope>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    layout: Arc<Layout>,
    rule: Freshness,
) -> Kept<'scope> {
    let scope = inputs.partials.inner.scope();
    let is_keeper = scope.index() == 0;
    let watched = Watched::new(&layout, &run.observer);
    let name = format!("checks:freshness {}", layout.name);
    let state_name = name.replace([':', '/'], " ");
    let mut builder = OperatorBuilder::new(name, scope);
    let activator = scope
        .worker()
        .sync_activator_for(builder.operator_info().address.to_vec());
    let mut partials = builder.new_input(inputs.partials.inner, Pipeline);
    let mut refused = builder.new_input(inputs.refused, Exchange::new(|_: &u64| 0));
    let expected = inputs.expected.unwrap_or_else(|| empty(scope));
    let mut expected = builder.new_input(expected, Exchange::new(|_: &Expected| 0));
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
        let mut at_the_end = capabilities.pop().filter(|_| !is_continuous);
        let mut saving = Saving::new(&run, activator, None);
        let mut lives = Lives::new(layout, rule);
        if is_continuous && is_keeper {
            let restored = saved(&run, &state_name, |bytes| {
                lives.load(bytes).map_err(|error| error.to_string())
            });
            if let Err(error) = restored {
                run.fail(error);
            }
        }
        let mut waiting: BTreeMap<Epoch, Waiting> = BTreeMap::new();
        let mut open = Open::<2>::new();
        let mut newest: Epoch = 0;
        move |frontiers| {
            partials.for_each(|_, updates| {
                for ((segment, _), epoch, partial) in updates.drain(..) {
                    waiting
                        .entry(epoch)
                        .or_default()
                        .partials
                        .push((segment, partial));
                }
            });
            refused.for_each(|capability, rows| {
                let epoch = *capability.least().expect("refused rows have an epoch");
                waiting.entry(epoch).or_default().refused += rows.drain(..).sum::<u64>();
            });
            expected.for_each(|capability, told| {
                let epoch = *capability.least().expect("reference rows have an epoch");
                waiting.entry(epoch).or_default().expected.append(told);
            });
            control.for_each(|capability, said| hold(&mut open, &capability, said));
            // What stands between an epoch and its judgement: rows of it, and reference rows of those before it.
            let is_complete = |epoch: Epoch| {
                let [rows, refused, expected, said] = [0, 1, 2, 3].map(|input| &frontiers[input]);
                ![rows, refused, said].iter().any(|it| it.less_equal(&epoch))
                    && !expected.less_than(&epoch)
            };
            while let Some(entry) = open.first_entry()
                && is_complete(*entry.key())
            {
                let (epoch, (opening, held)) = entry.remove_entry();
                let [verdicts, notes] = held;
                if !is_keeper {
                    continue;
                }
                // Reference rows that were read in it act from the next one on.
                let later = waiting.split_off(&epoch);
                for mut before in std::mem::replace(&mut waiting, later).into_values() {
                    before.expect(&mut lives);
                }
                if let Some(of_it) = waiting.get_mut(&epoch) {
                    of_it.apply(&mut lives, epoch, opening.now);
                }
                let judged = lives.judge(opening.now, opening.lag.as_ref());
                if judged.num_rows() > 0 {
                    let mut output = verdicts_output.activate();
                    let mut session = output.session(&verdicts);
                    session.give_container(&mut Batch::new(judged, epoch));
                }
                if opening.checkpoint {
                    let mut bytes = Vec::new();
                    lives.save(&mut bytes).expect("a Vec takes everything");
                    saving.write(notes, format!("{state_name}-0"), Part::Whole, bytes);
                }
            }
            saving.tell(&mut notes_output);
            watched.tell_segments(0, lives.len());
            let Some(capability) = &mut at_the_end else {
                return;
            };
            for (epoch, mut of_it) in std::mem::take(&mut waiting) {
                newest = newest.max(epoch);
                of_it.expect(&mut lives);
                of_it.apply(&mut lives, epoch, run.now);
            }
            let [rows, refused, expected] =
                [0, 1, 2].map(|input| frontiers[input].frontier().as_option().copied());
            if let Some(epoch) = rows {
                capability.downgrade(&epoch);
            }
            if rows.or(refused).or(expected).is_some() {
                return;
            }
            // The input has ended: the last epoch is the frontier's last one, or that of the rows where it never stopped there.
            if is_keeper {
                let judged = lives.close(run.as_of);
                let capability = capability.delayed(&newest.max(*capability.time()));
                if judged.num_rows() > 0 {
                    let mut output = verdicts_output.activate();
                    let mut session = output.session(&capability);
                    session.give_container(&mut Batch::new(judged, *capability.time()));
                }
            }
            at_the_end = None;
        }
    });
    Kept { verdicts, notes }
}

/// What came of an epoch.
#[derive(Default)]
struct Waiting {
    partials: Vec<(Segment, Partial)>,
    refused: u64,
    expected: Vec<Expected>,
}

impl Waiting {
    /// Segments are expected, or not any more.
    fn expect(&mut self, lives: &mut Lives) {
        // In their order, so that the same ones are kept where there are too many.
        self.expected.sort_unstable();
        for (segment, rows) in self.expected.drain(..) {
            lives.expect(segment, rows);
        }
    }

    /// Rows came at this wall time.
    fn apply(&mut self, lives: &mut Lives, epoch: Epoch, now: i64) {
        self.partials
            .sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (segment, partial) in self.partials.drain(..) {
            lives.apply(segment, &partial, epoch, now);
        }
        if self.refused > 0 {
            let partial = Partial {
                rows: i64::try_from(self.refused).unwrap_or(i64::MAX),
                accumulators: Box::default(),
            };
            lives.apply(Segment::default(), &partial, epoch, now);
            self.refused = 0;
        }
    }
}

/// What [`keep`] gives.
pub(super) struct Kept<'scope> {
    /// What was judged.
    pub(super) verdicts: Stream<'scope, Epoch, Batch>,
    /// State that was written.
    pub(super) notes: StreamVec<'scope, Epoch, Note>,
}
