//! The operator that hands on the verdicts by which something gets bad, or is so no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use super::watch::{BadRow, Watch};
use crate::cluster::Run;
use crate::epoch::{Control, saved};
use crate::job::tables::{SIGN, WINDOW_END, WINDOW_START};
use crate::record::{Batch, Epoch, Note};
use crate::transform::text::Text;

/// What the state of alerts is called in checkpoints.
pub const STATE: &str = "alerts";

/// Hands on the verdicts that matter; none where nobody is told of any.
///
/// Cost: a look at each verdict, and what is bad of this worker's segments.
pub fn bad_verdicts<'scope>(
    verdicts: &Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> Option<StreamVec<'scope, Epoch, Note>> {
    if run.plan.alerts.is_empty() || run.resumed.is_none() {
        return None;
    }
    let mut builder = OperatorBuilder::new("alerts:bad".to_owned(), verdicts.scope());
    let mut input = builder.new_input(verdicts.clone(), Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (output, notes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(output);
    let run = Arc::clone(run);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut watch = Watch::default();
        let restored = saved(&run, STATE, |bytes| {
            watch = Watch::load(bytes)?;
            Ok(())
        });
        if let Err(error) = restored {
            run.fail(error);
        }
        // What epochs take for now, and the watermark that they see.
        let mut sees: BTreeMap<Epoch, (i64, Option<i64>)> = BTreeMap::new();
        let mut waiting: Vec<(Capability<Epoch>, Batch)> = Vec::new();
        move |frontiers| {
            control.for_each(|_, said| {
                for control in said.drain(..) {
                    if let Control::Open(opening) = control {
                        sees.insert(opening.epoch, (opening.now, opening.watermark));
                    }
                }
            });
            input.for_each(|capability, batch| {
                if let Some(held) = capability.retain_least(0) {
                    waiting.push((held, std::mem::take(batch)));
                }
            });
            let mut later = Vec::new();
            for (capability, batch) in waiting.drain(..) {
                let Some(known) = sees.get(&batch.epoch) else {
                    later.push((capability, batch));
                    continue;
                };
                let rows = batch.rows.iter();
                let bad = rows.flat_map(|rows| bad_rows(rows, batch.epoch, *known, &mut watch));
                let bad: Vec<BadRow> = bad.collect();
                if !bad.is_empty() {
                    let mut output = output.activate();
                    output.session(&capability).give(Note::Bad(bad));
                }
            }
            waiting = later;
            let upper = frontiers[0].frontier().as_option().copied();
            if let Some(upper) = upper {
                sees = sees.split_off(&upper);
            }
        }
    });
    Some(notes)
}

/// The verdicts of a batch that matter, in their order.
fn bad_rows(
    rows: &RecordBatch,
    epoch: Epoch,
    (now, watermark): (i64, Option<i64>),
    watch: &mut Watch,
) -> Vec<BadRow> {
    let column = |name: &str| {
        let column = rows.column_by_name(name);
        column.expect("a batch of verdicts has all columns of their table")
    };
    let [checks, segments, statuses, expected] =
        ["check", "segment", "status", "expected"].map(|name| Text::new(column(name)));
    let signs = column(SIGN).as_primitive::<Int32Type>();
    let values = column("value").as_primitive::<Float64Type>();
    let [starts, ends] = [WINDOW_START, WINDOW_END]
        .map(|name| column(name).as_primitive::<TimestampMicrosecondType>());
    let of = |text: &Text<'_>, row: usize| text.value(row).unwrap_or_default().to_owned();
    let window = |row: usize| {
        starts
            .is_valid(row)
            .then(|| (starts.value(row), ends.value(row)))
    };
    let mut taken_back = BTreeSet::new();
    let mut bad = Vec::new();
    for row in 0..rows.num_rows() {
        let window = window(row);
        if signs.value(row) < 0 {
            if let Some((_, end)) = window {
                taken_back.insert((of(&checks, row), of(&segments, row), end));
            }
            continue;
        }
        let mut said = BadRow {
            check: of(&checks, row),
            segment: of(&segments, row),
            window,
            status: of(&statuses, row),
            value: values.is_valid(row).then(|| values.value(row)),
            expected: expected.value(row).map(str::to_owned),
            epoch,
            now,
            is_past: false,
        };
        if let (Some((start, end)), Some(watermark)) = (window, watermark)
            && !taken_back.is_empty()
        {
            let length = end.saturating_sub(start);
            let is_correction =
                taken_back.contains(&(said.check.clone(), said.segment.clone(), end));
            said.is_past = is_correction && end <= watermark.saturating_sub(length);
        }
        if watch.take(&said) {
            bad.push(said);
        }
    }
    bad
}
