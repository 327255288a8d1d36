//! When rows of a continuous job arrive: late ones and those from the future are refused, and each epoch's newest event is told.
//!
//! A row is late where a window that it falls into has been closed for all: its end is not after the watermark that the epoch
//! sees. Where windows of the job are corrected, it is late where *no* window takes it any more: the end of each, and its `correct_within`, are
//! not after the watermark; a window that is final takes none of the others (`checks::operators`), and they are counted. It is judged here, once, when it is read, by the watermark that was bound before its epoch: so no window gets a row
//! after it was closed, and a replay judges alike. A row further in the future than its source allows is refused and moves no
//! watermark: one wrong clock must not close everybody's windows.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::Array;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use crate::checks::inputs_times;
use crate::checks::windows::Windows;
use crate::cluster::{Run, Seen};
use crate::epoch::{Answer, Control, Local, Partition, micros};
use crate::fault;
use crate::job::plan::Plan;
use crate::record::{Draft, Epoch, Fault, Origin, Site, shown_time};

/// Drafts whose late and future rows are noted, and this worker's answer for each epoch.
pub struct Arrived<'scope> {
    /// The drafts.
    pub drafts: Stream<'scope, Epoch, Draft>,
    /// What was read in each epoch, when all of it has been here.
    pub answers: StreamVec<'scope, Epoch, Answer>,
}

/// Judges when rows arrive, and answers the coordinator.
///
/// Cost: one pass over the event times of a draft.
pub fn arrival<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    local: &Rc<Local>,
) -> Arrived<'scope> {
    let mut builder = OperatorBuilder::new("validate:arrival".to_owned(), drafts.scope());
    let mut input = builder.new_input(drafts, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (drafts_output, drafts) = builder.new_output();
    let (answers_output, answers) = builder.new_output();
    let mut drafts_output =
        OutputBuilder::<_, CapacityContainerBuilder<Draft>>::from(drafts_output);
    let mut answers_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Answer>>>::from(answers_output);
    let (run, local) = (Arc::clone(run), Rc::clone(local));
    let worker = drafts.scope().index();
    builder.build(move |capabilities| {
        drop(capabilities);
        let judge = Judge::new(&run.plan);
        let mut open: BTreeMap<Epoch, Capability<Epoch>> = BTreeMap::new();
        let mut newest: BTreeMap<Partition, i64> = BTreeMap::new();
        move |frontiers| {
            control.for_each(|capability, said| {
                for control in said.drain(..) {
                    if let Control::Open(opening) = control {
                        for known in opening.known {
                            if let Some(time) = known.newest {
                                newest.insert(known.partition, time);
                            }
                        }
                        let held = capability.retain_least(1).expect("what is said has a time");
                        open.insert(opening.epoch, held);
                    }
                }
            });
            {
                let mut output = drafts_output.activate();
                input.for_each(|capability, draft| {
                    if let Some(time) = judge.judge(draft, run.sees(draft.epoch)) {
                        let partition = partition(&run.plan, draft);
                        if let Some(partition) = partition {
                            let newest = newest.entry(partition).or_insert(time);
                            *newest = time.max(*newest);
                        }
                    }
                    output.session(&capability).give_container(draft);
                });
            }
            while let Some(entry) = open.first_entry() {
                let epoch = entry.key();
                if frontiers[0].less_equal(epoch) || frontiers[1].less_equal(epoch) {
                    break;
                }
                let (epoch, capability) = entry.remove_entry();
                let mut answer = local.take(epoch);
                for of_partition in &mut answer.moved {
                    of_partition.newest = newest.get(&of_partition.partition).copied();
                }
                fault::at("answer for an epoch");
                let mut output = answers_output.activate();
                answer.worker = worker;
                output.session(&capability).give(answer);
            }
        }
    });
    Arrived { drafts, answers }
}

/// The partition that a draft's rows came in.
fn partition(plan: &Plan, draft: &Draft) -> Option<Partition> {
    let Some(Origin::Text { chunk, .. }) = &draft.origin else {
        return None;
    };
    let (topic, partition) = match (&chunk.messages, chunk.followed) {
        (Some(messages), _) => (messages.topic.clone(), messages.partition),
        (None, Some(number)) => (chunk.file.to_string_lossy().into_owned(), number),
        (None, None) => return None,
    };
    Some(Partition {
        source: plan.sources[draft.source].name.clone(),
        topic,
        partition,
    })
}

struct Judge {
    /// For each source its event time's id, and how far in the future it may be.
    sources: Vec<(Option<usize>, i64)>,
    windows: Vec<(Windows, Option<i64>)>,
    /// Whether some window is corrected, so that rows are refused only where none takes them.
    corrects: bool,
    too_late: Arc<str>,
    in_future: Arc<str>,
}

impl Judge {
    fn new(plan: &Plan) -> Self {
        let source = |source: &crate::job::plan::SourcePlan| {
            (source.event_time, micros(source.arrival.max_future))
        };
        let windows = plan.windows.iter().map(|window| {
            let within = plan.correct_within(window);
            // Of windows that hop the first that has a row is the first that is closed for it: it ends with the row's pane.
            (Windows::new(window.every, plan.time_zone), within)
        });
        let windows: Vec<_> = windows.collect();
        Self {
            sources: plan.sources.iter().map(source).collect(),
            corrects: windows.iter().any(|(_, within)| within.is_some()),
            windows,
            too_late: "too_late".into(),
            in_future: "in_future".into(),
        }
    }

    /// Notes rows that are late or from the future; gives the newest event of the others.
    fn judge(&self, draft: &mut Draft, sees: Seen) -> Option<i64> {
        let (event_time, max_future) = self.sources[draft.source];
        let id = event_time?;
        let Seen { now, watermark, .. } = sees;
        let column = draft.columns.get(id)?.clone()?;
        let times = inputs_times(&column);
        let nulls = column.logical_nulls();
        let latest = now.saturating_add(max_future);
        // Windows that end by the watermark are those that start before the one which holds it.
        let earliest = watermark
            .and_then(|mark| {
                let starts = self.windows.iter();
                let starts = starts.map(|(windows, within)| {
                    let mark = mark.saturating_sub(within.unwrap_or(0));
                    windows.start(windows.number(mark))
                });
                if self.corrects {
                    starts.min()
                } else {
                    starts.max()
                }
            })
            .unwrap_or(i64::MIN);
        let mut newest = None;
        for (row, time) in times.iter().copied().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if time > latest {
                draft.faults.push(Fault {
                    row,
                    site: Site::Column(id),
                    reason: Arc::clone(&self.in_future),
                    detail: format!("{}, now is {}", shown_time(time), shown_time(now)),
                });
                continue;
            }
            newest = newest.max(Some(time));
            if time < earliest {
                draft.faults.push(Fault {
                    row,
                    site: Site::Column(id),
                    reason: Arc::clone(&self.too_late),
                    detail: format!(
                        "{}, watermark {}",
                        shown_time(time),
                        shown_time(watermark.unwrap_or(earliest))
                    ),
                });
            }
        }
        newest
    }
}
