//! The dataflow of statistics, checks and verdicts.
//!
//! ```text
//! clean --checks:reduce--> ((segment, start), epoch, partial) --checks:exchange--> consolidated --checks:tally--> windows
//!          on each worker                                     by hash of the segment              by its owner \-> verdicts
//! ```
//!
//! `reduce` holds a capability for each epoch that has rows and sends its partials when the input has passed the epoch, so
//! what is exchanged is one difference for each worker, segment and window, never rows. `tally` keeps one capability, moved
//! along with its input, and spends it when the input has ended: a bounded run closes its windows in the last epoch.
//! A continuous job keeps state instead (`keep`): windows close as time passes them, epoch by epoch.
//! Where windows hop, `reduce` keeps the panes that they are made of, and `tally` adds each to all windows that have it: what is exchanged does not
//! grow, and what is kept does.
//! A freshness check has an operator of its own ([`fresh`]), and so has the row law (`conserve`).

mod conserve;
mod fresh;
mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate, InputCapability, Operator};
use timely::dataflow::{Scope, Stream, StreamVec};

use crate::cluster::Run;
use crate::epoch::{Control, Opening};
use crate::job::plan::Plan;
use crate::lookup::Reference;
use crate::observe::Observer;
use crate::record::{Batch, Epoch, Note};

use super::ends::{Ends, ends};
use super::exchange::{Placement, meet};
use super::expected::{Entry, listed};
use super::freshness::Freshness;
use super::layout::{Layout, Of};
use super::reduce::{Group, Reducer};
use super::stats::Partial;
use super::tally::Tally;
use conserve::conserve;
use keep::keep;

/// Partials on their way: the statistics are the difference.
pub type Partials<'scope> = VecCollection<'scope, Epoch, Group, Partial>;

/// What comes to a tally.
pub struct Came<'scope> {
    /// Statistics of rows.
    pub partials: Partials<'scope>,
    /// Where the data of each epoch begin and end, where the layout asks.
    pub ends: Option<StreamVec<'scope, Epoch, (Epoch, Ends)>>,
    /// Which rows should come, where look-ups say.
    pub listed: Option<StreamVec<'scope, Epoch, (Epoch, Entry)>>,
}

impl<'scope> From<Partials<'scope>> for Came<'scope> {
    fn from(partials: Partials<'scope>) -> Self {
        Self {
            partials,
            ends: None,
            listed: None,
        }
    }
}

/// Rows that were refused, as checks ask for them.
pub struct Refused<'a, 'scope> {
    /// Those of which windows count something, named as clean rows are.
    pub judged: &'a Stream<'scope, Epoch, Batch>,
    /// That there are any.
    pub all: &'a Stream<'scope, Epoch, Batch>,
}

/// What the checks room gives to the sinks.
pub struct Tallied<'scope> {
    /// The rows of `windows.NAME`, one stream for each of `plan.windows`.
    pub windows: Vec<Stream<'scope, Epoch, Batch>>,
    /// The rows of `verdicts`, of all checks.
    pub verdicts: Stream<'scope, Epoch, Batch>,
    /// State that was written at checkpoints of a continuous job.
    pub notes: StreamVec<'scope, Epoch, Note>,
}

/// Keeps all windows and checks of the plan over the clean rows; freshness looks at refused ones, too, and at who is expected.
///
/// Shape: fields of the clean batches are named by column id in decimal, and those of [`inputs_of`] are there. In a bounded run rows
/// come out at the end of the input; in a continuous job windows close as the watermark passes their end, freshness is judged
/// by each epoch's bound wall time, and state is written at the checkpoints that `control` tells of.
///
/// `counted` is what became of all rows, as workers say it of each epoch: it is judged, too, where verdicts are asked for.
///
/// What is counted of refused rows comes from [`Refused::judged`], whose fields are named as those of clean rows; behind all ids it has a column for each
/// look-up: true where the row was refused for want of its reference row, else null.
pub fn tally<'scope>(
    clean: &Stream<'scope, Epoch, Batch>,
    refused: &Refused<'_, 'scope>,
    counted: StreamVec<'scope, Epoch, Note>,
    reference: &Reference<'scope>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> Tallied<'scope> {
    let plan = &run.plan;
    let mut windows = Vec::with_capacity(plan.windows.len());
    let (mut verdicts, mut notes) = (Vec::new(), Vec::new());
    let partials = |layout: &Arc<Layout>, placement| {
        let mut partials = reduce(clean.clone(), layout, run.now);
        if layout.asks_refused() {
            let refused = reduce_rows(refused.judged.clone(), layout, run.now, Of::Refused);
            partials = partials.concat(refused);
        }
        meet(partials, plan.partials, placement)
    };
    for index in 0..plan.windows.len() {
        let mut layout = Layout::of_window(plan, index);
        layout.calendars.clone_from(&run.calendars);
        let layout = Arc::new(layout);
        let came = Came {
            partials: partials(&layout, Placement::BySegment),
            ends: layout.asks_ends.then(|| ends(clean, layout.event_time)),
            listed: (!layout.lists.is_empty())
                .then(|| listed(clean.scope(), reference, run, &layout)),
        };
        let (rows, judged) = if run.resumed.is_some() {
            let kept = keep(came, control, run, layout);
            notes.push(kept.notes);
            (kept.windows, kept.verdicts)
        } else {
            tally_window(came, &layout, &run.observer)
        };
        windows.push(rows);
        verdicts.push(judged);
    }
    for (check, freshness) in plan.freshness() {
        let layout = Arc::new(Layout::of_freshness(plan, &check.name, freshness));
        let inputs = fresh::Inputs {
            partials: partials(&layout, Placement::OnOne),
            refused: fresh::refused(refused.all.clone()),
            expected: fresh::expected(freshness, reference, run),
        };
        let rule = Freshness::new(freshness, &run.calendars);
        let kept = fresh::keep(inputs, control, run, layout, rule);
        notes.push(kept.notes);
        verdicts.push(kept.verdicts);
    }
    if plan.says_verdicts() {
        let kept = conserve(counted, control, run);
        notes.push(kept.notes);
        verdicts.push(kept.verdicts);
    }
    let scope: Scope<'scope, Epoch> = clean.scope();
    Tallied {
        windows,
        verdicts: scope.concatenate(verdicts),
        notes: scope.concatenate(notes),
    }
}

/// Ids of the columns that windows and checks need of a clean batch.
pub fn inputs_of(plan: &Plan) -> BTreeSet<usize> {
    let windows = (0..plan.windows.len()).map(|index| Layout::of_window(plan, index));
    windows
        .flat_map(|layout| layout.columns())
        .chain(
            plan.freshness()
                .flat_map(|(_, freshness)| freshness.inputs()),
        )
        .collect()
}

/// Ids of the columns that windows and checks need of refused rows; `None` where none asks for these.
pub fn inputs_of_refused(plan: &Plan) -> Option<BTreeSet<usize>> {
    let windows = (0..plan.windows.len()).map(|index| Layout::of_window(plan, index));
    let asking: Vec<Layout> = windows.filter(Layout::asks_refused).collect();
    let columns = asking
        .iter()
        .flat_map(|layout| layout.columns_of(Of::Refused));
    (!asking.is_empty()).then(|| columns.collect())
}

/// Reduces this worker's rows to one partial for each epoch, segment and window.
///
/// Cost: holds the partials of open epochs, no rows; batches give their budget back at once.
pub fn reduce<'scope>(
    clean: Stream<'scope, Epoch, Batch>,
    layout: &Arc<Layout>,
    now: i64,
) -> Partials<'scope> {
    reduce_rows(clean, layout, now, Of::Clean)
}

fn reduce_rows<'scope>(
    rows: Stream<'scope, Epoch, Batch>,
    layout: &Arc<Layout>,
    now: i64,
    of: Of,
) -> Partials<'scope> {
    let layout = Arc::clone(layout);
    let partials: StreamVec<'scope, Epoch, (Group, Epoch, Partial)> =
        rows.unary_frontier(Pipeline, "checks:reduce", move |_capability, _info| {
            let mut open: BTreeMap<Epoch, (Capability<Epoch>, Reducer)> = BTreeMap::new();
            let mut spare: Vec<Reducer> = Vec::new();
            let mut binding = ColumnBinding::default();
            move |(input, frontier), output| {
                input.for_each_stamp(|capability, batches| {
                    let Some(capability) = capability.retain_least(output.output_index()) else {
                        return;
                    };
                    let (_, reducer) = open.entry(*capability.time()).or_insert_with(|| {
                        let reducer = spare
                            .pop()
                            .unwrap_or_else(|| Reducer::of(Arc::clone(&layout), of));
                        (capability, reducer)
                    });
                    for batch in batches {
                        if let Some(rows) = std::mem::take(batch).rows {
                            reducer.add(binding.columns(&rows), rows.num_rows(), now);
                        }
                    }
                    binding.release();
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (epoch, (capability, mut reducer)) = entry.remove_entry();
                    output.session(&capability).give_iterator(
                        reducer
                            .drain()
                            .into_iter()
                            .map(|(group, partial)| (group, epoch, partial)),
                    );
                    spare.push(reducer);
                }
            }
        });
    partials.as_collection()
}

/// Where the columns of clean batches stand, worked out once a schema.
#[derive(Debug, Default)]
struct ColumnBinding {
    schema: Option<SchemaRef>,
    /// For each field, the id it is named by.
    ids: Vec<usize>,
    /// The columns of one batch by id.
    columns: Vec<Option<ArrayRef>>,
}

impl ColumnBinding {
    /// The columns of a batch by id.
    fn columns(&mut self, rows: &RecordBatch) -> &[Option<ArrayRef>] {
        if !self
            .schema
            .as_ref()
            .is_some_and(|schema| Arc::ptr_eq(schema, rows.schema_ref()))
        {
            self.ids = rows
                .schema_ref()
                .fields()
                .iter()
                .map(|field| {
                    field.name().parse().unwrap_or_else(|_| {
                        panic!(
                            "a clean batch has a field {:?}; they are named by column id",
                            field.name()
                        )
                    })
                })
                .collect();
            self.schema = Some(rows.schema());
            self.columns.clear();
            self.columns
                .resize(self.ids.iter().max().map_or(0, |id| id + 1), None);
        }
        for (id, column) in self.ids.iter().zip(rows.columns()) {
            self.columns[*id] = Some(ArrayRef::clone(column));
        }
        &self.columns
    }

    /// Lets go of the last batch.
    fn release(&mut self) {
        self.columns.fill(None);
    }
}

/// Closes and judges the windows of the segments that this worker owns, when the input has ended.
pub fn tally_window<'scope>(
    came: Came<'scope>,
    layout: &Arc<Layout>,
    observer: &Arc<Observer>,
) -> (Stream<'scope, Epoch, Batch>, Stream<'scope, Epoch, Batch>) {
    let tally = Tally::new(Arc::clone(layout));
    at_the_end(
        came,
        format!("checks:tally {}", layout.name),
        Watched::new(layout, observer),
        tally,
        |tally| {
            let closed = tally.close();
            (closed.windows, closed.verdicts)
        },
    )
}

/// Epochs that were opened and are not judged yet, each with a capability for every output.
type Open<const OUTPUTS: usize> = BTreeMap<Epoch, (Opening, [Capability<Epoch>; OUTPUTS])>;

/// Keeps what is opened.
fn hold<const OUTPUTS: usize>(
    open: &mut Open<OUTPUTS>,
    capability: &InputCapability<Epoch>,
    said: &mut Vec<Control>,
) {
    for control in said.drain(..) {
        if let Control::Open(opening) = control {
            let held = std::array::from_fn(|output| {
                capability
                    .retain_least(output)
                    .expect("what is said has a time")
            });
            open.insert(opening.epoch, (opening, held));
        }
    }
}

/// How much of a tally is open, for whoever looks.
struct Watched {
    name: String,
    observer: Arc<Observer>,
}

impl Watched {
    fn new(layout: &Layout, observer: &Arc<Observer>) -> Self {
        Self {
            name: layout.name.clone(),
            observer: Arc::clone(observer),
        }
    }

    fn tell_late(&self, missed: u64, corrected: u64) {
        self.observer.late_rows(&self.name, missed, corrected);
    }

    fn tell(&self, worker: usize, tally: &Tally) {
        let (segments, windows) = tally.open();
        self.observer.windows(&self.name, worker, segments, windows);
    }

    fn tell_segments(&self, worker: usize, segments: usize) {
        self.observer
            .windows(&self.name, worker, segments, segments);
    }
}

/// Applies partials as they come and sends what `close` gives at the last epoch.
///
/// Ownership: holds a capability for each output until the input has ended, at the input's frontier.
fn at_the_end(
    came: Came<'_>,
    name: String,
    watched: Watched,
    mut tally: Tally,
    close: impl Fn(&mut Tally) -> (Vec<RecordBatch>, RecordBatch) + 'static,
) -> (Stream<'_, Epoch, Batch>, Stream<'_, Epoch, Batch>) {
    let Came {
        partials,
        ends,
        listed,
    } = came;
    let worker = partials.inner.scope().index();
    let mut builder = OperatorBuilder::new(name, partials.inner.scope());
    let mut input = builder.new_input(partials.inner, Pipeline);
    let mut ends = ends.map(|ends| builder.new_input(ends, Pipeline));
    let mut listed = listed.map(|listed| builder.new_input(listed, Pipeline));
    let (windows_output, windows) = builder.new_output::<Batch>();
    let (verdicts_output, verdicts) = builder.new_output::<Batch>();
    let mut outputs = [windows_output, verdicts_output]
        .map(OutputBuilder::<_, timely::container::CapacityContainerBuilder<Batch>>::from);
    builder.build(move |capabilities| {
        let mut held = Some(capabilities);
        let mut newest: Epoch = 0;
        move |frontiers| {
            input.for_each(|_, updates| {
                for ((segment, start), epoch, partial) in updates.drain(..) {
                    newest = newest.max(epoch);
                    tally.apply_pane(segment, start, partial, epoch);
                }
            });
            if let Some(ends) = &mut ends {
                ends.for_each(|_, ends| {
                    ends.drain(..).for_each(|(_, ends)| tally.reach(ends));
                });
            }
            if let Some(listed) = &mut listed {
                listed.for_each(|_, entries| {
                    entries.drain(..).for_each(|(_, entry)| tally.expect(entry));
                });
            }
            let Some(capabilities) = &mut held else {
                return;
            };
            watched.tell(worker, &tally);
            if let Some(epoch) = frontiers[0].frontier().as_option() {
                for capability in capabilities.iter_mut() {
                    capability.downgrade(epoch);
                }
                return;
            }
            if frontiers.iter().any(|frontier| !frontier.is_empty()) {
                return;
            }
            // The input has ended: the last epoch is the frontier's last one, or that of the rows where it never stopped there.
            let (windows, verdicts) = close(&mut tally);
            for ((batches, output), capability) in [windows, vec![verdicts]]
                .into_iter()
                .zip(&mut outputs)
                .zip(capabilities)
            {
                let capability = capability.delayed(&newest.max(*capability.time()));
                let mut output = output.activate();
                let mut session = output.session(&capability);
                for rows in batches.into_iter().filter(|rows| rows.num_rows() > 0) {
                    session.give_container(&mut Batch::new(rows, *capability.time()));
                }
            }
            held = None;
            watched.tell(worker, &tally);
        }
    });
    (windows, verdicts)
}

#[cfg(test)]
mod tests;
