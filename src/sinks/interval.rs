//! The operator that stages rows between commits.
//!
//! A bounded run has one interval, which ends with its input. In a continuous job an interval ends with each checkpoint epoch: rows
//! of that epoch and before go to one set of files, rows after it to the next, whatever order they come in. What was staged is
//! told when the checkpoint epoch has passed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use super::SinkError;
use crate::cluster::Run;
use crate::epoch::Control;
use crate::fault;
use crate::record::{Batch, Epoch, Note};

/// What stages the rows of one interval on one worker.
pub(super) trait Stager: Sized + 'static {
    /// Takes rows of an epoch; the second of `at` is its bound wall time in microseconds.
    fn write(&mut self, run: &Run, rows: &RecordBatch, at: (Epoch, i64)) -> Result<(), SinkError>;

    /// Makes whole what was staged, and tells of it.
    fn finish(self, run: &Run) -> Result<Vec<Note>, SinkError>;
}

/// Rows after `from`, up to and with `upto`.
struct Interval<S> {
    from: Epoch,
    /// Not known yet while the interval goes on.
    upto: Option<Epoch>,
    /// What its notes are sent with.
    capability: Option<Capability<Epoch>>,
    /// Made with the first row, and in a bounded run at once.
    stager: Option<S>,
}

impl<S> Interval<S> {
    fn after(from: Epoch) -> Self {
        Self {
            from,
            upto: None,
            capability: None,
            stager: None,
        }
    }
}

/// Stages rows; `make` gives what stages those after an epoch, `tell` hears up to which epoch rows may still come.
pub(super) fn staged<'scope, S: Stager>(
    rows: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    name: &str,
    run: &Arc<Run>,
    make: impl Fn(&Run, Epoch) -> Result<S, SinkError> + 'static,
    tell: impl Fn(Option<Epoch>) + 'static,
) -> StreamVec<'scope, Epoch, Note> {
    let mut builder = OperatorBuilder::new(name.to_owned(), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (output, notes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(output);
    let run = Arc::clone(run);
    builder.build(move |mut capabilities| {
        let continuous = run.resumed.as_ref();
        let committed = continuous.and_then(|resumed| resumed.committed);
        let mut first = Interval::after(continuous.map_or(0, |resumed| resumed.epoch));
        if continuous.is_none() {
            first.capability = capabilities.pop();
            match make(&run, 0) {
                Ok(stager) => first.stager = Some(stager),
                Err(error) => run.fail(error.into()),
            }
        }
        drop(capabilities);
        let is_bounded = continuous.is_none();
        let mut intervals = VecDeque::from([first]);
        // What epochs that are open take for now; in a continuous job rows wait for it.
        let mut nows: BTreeMap<Epoch, i64> = BTreeMap::new();
        let mut waiting: Vec<Batch> = Vec::new();
        let mut is_over = false;
        move |frontiers| {
            control.for_each(|capability, said| {
                for control in said.drain(..) {
                    let Control::Open(opening) = control else {
                        continue;
                    };
                    nows.insert(opening.epoch, opening.now);
                    if opening.checkpoint {
                        let last = intervals.back_mut().expect("one is always open");
                        last.upto = Some(opening.epoch);
                        last.capability = capability.retain_least(0);
                        intervals.push_back(Interval::after(opening.epoch));
                    }
                }
            });
            input.for_each(|_, batch| waiting.push(std::mem::take(batch)));
            if is_over {
                waiting.clear();
            }
            let mut later = Vec::new();
            for batch in waiting.drain(..) {
                let Some(rows) = &batch.rows else { continue };
                let epoch = batch.epoch;
                // A target that has an epoch already does not take it again.
                if committed.is_some_and(|committed| epoch <= committed) {
                    continue;
                }
                let now = if is_bounded {
                    Some(run.now)
                } else {
                    nows.get(&epoch).copied()
                };
                let Some(now) = now else {
                    later.push(batch);
                    continue;
                };
                let interval = intervals
                    .iter_mut()
                    .find(|interval| interval.upto.is_none_or(|upto| epoch <= upto))
                    .expect("the last one has no end yet");
                let stager = match &mut interval.stager {
                    Some(stager) => Ok(stager),
                    None if is_bounded => continue,
                    None => {
                        fault::at("begin an interval");
                        make(&run, interval.from).map(|made| interval.stager.insert(made))
                    }
                };
                if let Err(error) = stager.and_then(|stager| stager.write(&run, rows, (epoch, now)))
                {
                    run.fail(error.into());
                    interval.stager = None;
                    is_over = true;
                    break;
                }
            }
            waiting.extend(later);
            let upper = frontiers[0].frontier().as_option().copied();
            tell(upper);
            if is_bounded {
                if upper.is_none() {
                    finish(&run, &mut intervals[0], &mut output);
                }
                return;
            }
            while let Some(upto) = intervals[0].upto
                && !is_over
                && !frontiers.iter().any(|frontier| frontier.less_equal(&upto))
            {
                let mut interval = intervals.pop_front().expect("it is there");
                finish(&run, &mut interval, &mut output);
                nows = nows.split_off(&(upto + 1));
            }
        }
    });
    notes
}

/// Tells of what an interval has staged.
fn finish<S: Stager>(
    run: &Run,
    interval: &mut Interval<S>,
    output: &mut OutputBuilder<Epoch, CapacityContainerBuilder<Vec<Note>>>,
) {
    let (Some(capability), Some(stager)) = (interval.capability.take(), interval.stager.take())
    else {
        return;
    };
    fault::at("seal files");
    match stager.finish(run) {
        Ok(notes) => {
            fault::at("tell of sealed files");
            let mut output = output.activate();
            output.session(&capability).give_iterator(notes.into_iter());
        }
        Err(error) => run.fail(error.into()),
    }
}
