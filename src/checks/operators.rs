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
//! A freshness check needs the newest event of *all* segments, so one worker keeps all of its segments; they are few.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate, Operator};
use timely::dataflow::{Scope, Stream, StreamVec};

use crate::cluster::{Run, RunError};
use crate::epoch::{Control, Opening, StateFile, state};
use crate::job::plan::{Measure, Plan};
use crate::observe::Observer;
use crate::record::{Batch, Epoch, Note};

use super::exchange::{Placement, by_segment, on_one_worker};
use super::freshness::Freshness;
use super::layout::Layout;
use super::reduce::{Group, Reducer};
use super::stats::Partial;
use super::tally::Tally;
use super::value::Segment;

/// Partials on their way: the statistics are the difference.
pub type Partials<'scope> = VecCollection<'scope, Epoch, Group, Partial>;

/// What the checks room gives to the sinks.
pub struct Tallied<'scope> {
    /// The rows of `windows.NAME`, one stream for each of `plan.windows`.
    pub windows: Vec<Stream<'scope, Epoch, Batch>>,
    /// The rows of `verdicts`, of all checks.
    pub verdicts: Stream<'scope, Epoch, Batch>,
    /// State that was written at checkpoints of a continuous job.
    pub notes: StreamVec<'scope, Epoch, Note>,
}

/// Keeps all windows and checks of the plan over the clean rows.
///
/// Shape: fields of the clean batches are named by column id in decimal, and those of [`inputs_of`] are there. In a bounded run rows
/// come out at the end of the input; in a continuous job windows close as the watermark passes their end, freshness is judged
/// by each epoch's bound wall time, and state is written at the checkpoints that `control` tells of.
pub fn tally<'scope>(
    clean: &Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> Tallied<'scope> {
    let plan = &run.plan;
    let mut windows = Vec::with_capacity(plan.windows.len());
    let (mut verdicts, mut notes) = (Vec::new(), Vec::new());
    for index in 0..plan.windows.len() {
        let layout = Arc::new(Layout::of_window(plan, index));
        let partials = by_segment(reduce(clean.clone(), &layout, run.now), plan.partials);
        let watched = Watched::new(&layout, &run.observer);
        if run.resumed.is_some() {
            let kept = keep(
                partials,
                control,
                run,
                watched,
                layout,
                Placement::BySegment,
                Of::Windows,
            );
            windows.push(kept.windows);
            verdicts.push(kept.verdicts);
            notes.push(kept.notes);
        } else {
            let (rows, judged) = tally_window(partials, &layout, &run.observer);
            windows.push(rows);
            verdicts.push(judged);
        }
    }
    for (layout, freshness) in freshness_checks(plan) {
        let layout = Arc::new(layout);
        let partials = on_one_worker(reduce(clean.clone(), &layout, run.now), plan.partials);
        if run.resumed.is_some() {
            let watched = Watched::new(&layout, &run.observer);
            let kept = keep(
                partials,
                control,
                run,
                watched,
                layout,
                Placement::OnOne,
                Of::Freshness(freshness),
            );
            verdicts.push(kept.verdicts);
            notes.push(kept.notes);
        } else {
            verdicts.push(tally_freshness(
                partials,
                &layout,
                &run.observer,
                freshness,
                run.as_of,
            ));
        }
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
        .chain(freshness_checks(plan).map(|(layout, _)| layout))
        .flat_map(|layout| layout.columns())
        .collect()
}

fn freshness_checks(plan: &Plan) -> impl Iterator<Item = (Layout, Freshness)> {
    plan.checks.iter().filter_map(|check| match &check.measure {
        Measure::Freshness {
            per,
            event_time,
            warn_after,
            fail_after,
        } => Some((
            Layout::newest_event(plan, &check.name, per, *event_time),
            Freshness {
                warn_after: *warn_after,
                fail_after: *fail_after,
            },
        )),
        _ => None,
    })
}

/// Reduces this worker's rows to one partial for each epoch, segment and window.
///
/// Cost: holds the partials of open epochs, no rows; batches give their budget back at once.
pub fn reduce<'scope>(
    clean: Stream<'scope, Epoch, Batch>,
    layout: &Arc<Layout>,
    now: i64,
) -> Partials<'scope> {
    let layout = Arc::clone(layout);
    let partials: StreamVec<'scope, Epoch, (Group, Epoch, Partial)> =
        clean.unary_frontier(Pipeline, "checks:reduce", move |_capability, _info| {
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
                            .unwrap_or_else(|| Reducer::new(Arc::clone(&layout)));
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
    partials: Partials<'scope>,
    layout: &Arc<Layout>,
    observer: &Arc<Observer>,
) -> (Stream<'scope, Epoch, Batch>, Stream<'scope, Epoch, Batch>) {
    let tally = Tally::new(Arc::clone(layout));
    at_the_end(
        partials,
        format!("checks:tally {}", layout.name),
        Watched::new(layout, observer),
        tally,
        |tally| {
            let closed = tally.close();
            (closed.windows, closed.verdicts)
        },
    )
}

/// Judges the age of the newest event of each segment, when the input has ended.
pub fn tally_freshness<'scope>(
    partials: Partials<'scope>,
    layout: &Arc<Layout>,
    observer: &Arc<Observer>,
    freshness: Freshness,
    as_of: Option<i64>,
) -> Stream<'scope, Epoch, Batch> {
    let tally = Tally::new(Arc::clone(layout));
    let (_, verdicts) = at_the_end(
        partials,
        format!("checks:freshness {}", layout.name),
        Watched::new(layout, observer),
        tally,
        move |tally| (Vec::new(), tally.close_freshness(&freshness, as_of)),
    );
    verdicts
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

    fn tell(&self, worker: usize, tally: &Tally) {
        let (segments, windows) = tally.open();
        self.observer.windows(&self.name, worker, segments, windows);
    }
}

/// Applies partials as they come and sends what `close` gives at the last epoch.
///
/// Ownership: holds a capability for each output until the input has ended, at the input's frontier.
fn at_the_end(
    partials: Partials<'_>,
    name: String,
    watched: Watched,
    mut tally: Tally,
    close: impl Fn(&mut Tally) -> (Vec<RecordBatch>, RecordBatch) + 'static,
) -> (Stream<'_, Epoch, Batch>, Stream<'_, Epoch, Batch>) {
    let worker = partials.inner.scope().index();
    let mut builder = OperatorBuilder::new(name, partials.inner.scope());
    let mut input = builder.new_input(partials.inner, Pipeline);
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
                    tally.apply(segment, start, partial, epoch);
                }
            });
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

/// What is kept in a continuous job.
enum Of {
    /// Windows: closed as the watermark passes their end.
    Windows,
    /// The newest event of each segment: judged when its status changes.
    Freshness(Freshness),
}

/// Applies partials epoch by epoch, and closes or judges what is due in each; writes the state when a checkpoint epoch has passed.
///
/// Partials of an epoch are applied when all of them have come, so that what is closed or written in it holds those of no later one.
fn keep<'scope>(
    partials: Partials<'scope>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    watched: Watched,
    layout: Arc<Layout>,
    placement: Placement,
    of: Of,
) -> Kept<'scope> {
    let scope = partials.inner.scope();
    let (worker, peers) = (scope.index(), scope.peers());
    let name = match of {
        Of::Windows => format!("checks:tally {}", layout.name),
        Of::Freshness(_) => format!("checks:freshness {}", layout.name),
    };
    let state_name = name.replace([':', '/'], " ");
    let mut builder = OperatorBuilder::new(name, scope);
    let mut input = builder.new_input(partials.inner, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (windows_output, windows) = builder.new_output::<Batch>();
    let (verdicts_output, verdicts) = builder.new_output::<Batch>();
    let (notes_output, notes) = builder.new_output::<Vec<Note>>();
    let mut outputs = [windows_output, verdicts_output]
        .map(OutputBuilder::<_, timely::container::CapacityContainerBuilder<Batch>>::from);
    let mut notes_output =
        OutputBuilder::<_, timely::container::CapacityContainerBuilder<Vec<Note>>>::from(
            notes_output,
        );
    let run = Arc::clone(run);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut tally = Tally::new(layout);
        if let Err(error) = restore(&mut tally, &run, &state_name, |segment| {
            placement.owner(segment, peers) == worker
        }) {
            run.fail(error);
        }
        let mut waiting: BTreeMap<Epoch, Vec<(Group, Partial)>> = BTreeMap::new();
        let mut open: BTreeMap<Epoch, (Opening, [Capability<Epoch>; 3])> = BTreeMap::new();
        move |frontiers| {
            input.for_each(|_, updates| {
                for (group, epoch, partial) in updates.drain(..) {
                    waiting.entry(epoch).or_default().push((group, partial));
                }
            });
            control.for_each(|capability, said| {
                for control in said.drain(..) {
                    if let Control::Open(opening) = control {
                        let held = [0, 1, 2].map(|output| {
                            capability
                                .retain_least(output)
                                .expect("what is said has a time")
                        });
                        open.insert(opening.epoch, (opening, held));
                    }
                }
            });
            while let Some(entry) = open.first_entry()
                && !frontiers
                    .iter()
                    .any(|frontier| frontier.less_equal(entry.key()))
            {
                let (epoch, (opening, held)) = entry.remove_entry();
                for ((segment, start), partial) in waiting.remove(&epoch).unwrap_or_default() {
                    tally.apply(segment, start, partial, epoch);
                }
                let (closed, judged) = match &of {
                    Of::Windows => {
                        let closed = tally.close_until(opening.watermark.unwrap_or(i64::MIN));
                        (closed.windows, closed.verdicts)
                    }
                    Of::Freshness(freshness) => {
                        (Vec::new(), tally.judge_freshness(freshness, opening.now))
                    }
                };
                for ((batches, output), capability) in [closed, vec![judged]]
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
                    match save(&tally, &run, epoch, &format!("{state_name}-{worker}")) {
                        Ok(file) => {
                            let mut output = notes_output.activate();
                            output.session(&held[2]).give(Note::State(file));
                        }
                        Err(error) => run.fail(error),
                    }
                }
            }
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
struct Kept<'scope> {
    windows: Stream<'scope, Epoch, Batch>,
    verdicts: Stream<'scope, Epoch, Batch>,
    notes: StreamVec<'scope, Epoch, Note>,
}

/// Writes a worker's state.
fn save(tally: &Tally, run: &Run, epoch: Epoch, name: &str) -> Result<StateFile, RunError> {
    let mut bytes = Vec::new();
    tally.save(&mut bytes).expect("a Vec takes everything");
    let (continuous, resumed) = (&run.plan.continuous, &run.resumed);
    let state = &continuous.as_ref().expect("the job is continuous").state;
    let generation = resumed.as_ref().expect("the job is continuous").generation;
    Ok(state::write(state, (epoch, generation), name, &bytes)?)
}

/// Reads what all workers of the life that wrote the checkpoint have kept, and takes what this one owns.
fn restore(
    tally: &mut Tally,
    run: &Run,
    name: &str,
    mine: impl Fn(&Segment) -> bool,
) -> Result<(), RunError> {
    let (Some(continuous), Some(resumed)) = (&run.plan.continuous, &run.resumed) else {
        return Ok(());
    };
    for file in &resumed.state {
        let of_file = file.path.rsplit('/').next().unwrap_or_default();
        let of_operator = of_file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        if of_operator.is_none_or(|rest| !rest.starts_with(|first: char| first.is_ascii_digit())) {
            continue;
        }
        let broken = |problem: String| RunError::State {
            path: continuous.state.join(&file.path),
            problem,
        };
        let bytes = state::read(&continuous.state, file).map_err(broken)?;
        tally
            .load(&bytes, &mine)
            .map_err(|error| broken(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
