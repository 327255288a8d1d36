//! Verdicts, counted for the end of the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, SecondsFormat};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::TOLD_FAILURES;
use crate::cluster::Run;
use crate::job::plan::{Complete, Measure, Plan};
use crate::job::tables::{FINAL, SIGN, WINDOW_START, verdict_columns};
use crate::record::{Batch, Epoch, Failure, Note, by_place};
use crate::transform::text::Text;

/// The statuses that fail a run.
pub(super) const FAILING: [&str; 3] = ["fail", "overflow", "too_many_segments"];

/// Counts verdicts by check and status, and puts the worst failures into words.
pub fn verdict_notes<'scope>(
    verdicts: &Stream<'scope, Epoch, Batch>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Vec<Note>> {
    let (verdicts, run) = (verdicts.clone(), Arc::clone(run));
    verdicts.unary::<CapacityContainerBuilder<Vec<Note>>, _, _, _>(
        Pipeline,
        "epoch:verdicts",
        move |_, _| {
            let columns = Columns::new();
            move |input, output| {
                input.for_each(|capability, batch| {
                    if let Some(rows) = &batch.rows {
                        output
                            .session(&capability)
                            .give_iterator(notes(&run, &columns, rows).into_iter());
                    }
                });
            }
        },
    )
}

/// Places of the columns that are read here.
struct Columns {
    check: usize,
    segment: usize,
    window_start: usize,
    status: usize,
    value: usize,
    expected: usize,
    is_final: usize,
    sign: usize,
    reason: usize,
}

impl Columns {
    fn new() -> Self {
        let columns = verdict_columns();
        let place = |name: &str| {
            columns
                .iter()
                .position(|column| column.name == name)
                .expect("a column of the table of verdicts")
        };
        Self {
            check: place("check"),
            segment: place("segment"),
            window_start: place(WINDOW_START),
            status: place("status"),
            value: place("value"),
            expected: place("expected"),
            is_final: place(FINAL),
            sign: place(SIGN),
            reason: place("reason"),
        }
    }
}

fn notes(run: &Run, places: &Columns, rows: &RecordBatch) -> Vec<Note> {
    let plan = &run.plan;
    let mut observed = run.observer.verdicts();
    let columns = by_place(rows);
    let column = |place: usize| {
        columns[place]
            .as_ref()
            .expect("a batch of verdicts has all columns of their table")
    };
    let [checks, segments, statuses, expected, reasons] = [
        places.check,
        places.segment,
        places.status,
        places.expected,
        places.reason,
    ]
    .map(|place| Text::new(column(place)));
    let signs = column(places.sign).as_primitive::<Int32Type>();
    let values = column(places.value).as_primitive::<Float64Type>();
    let starts = column(places.window_start).as_primitive::<TimestampMicrosecondType>();
    let mut of_check: BTreeMap<&str, (BTreeMap<String, i64>, Vec<Failure>)> = BTreeMap::new();
    let finals = column(places.is_final).as_boolean();
    let mut said: BTreeMap<(&str, &str, bool), u64> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let (Some(check), Some(status)) = (checks.value(row), statuses.value(row)) else {
            continue;
        };
        let (counts, failures) = of_check.entry(check).or_default();
        let sign = signs.value(row);
        *counts.entry(status.to_owned()).or_default() += i64::from(sign);
        if sign < 0 {
            // What it was has been told; what it is now comes behind it.
            continue;
        }
        let value = values.is_valid(row).then(|| values.value(row));
        let start = starts.is_valid(row).then(|| starts.value(row));
        // What is provisional is said as final later. An age never is final: each change of it counts.
        let counts = finals.value(row) || start.is_none();
        *said.entry((check, status, counts)).or_default() += 1_u64;
        let segment = segments.value(row).unwrap_or_default();
        observed.tell(check, segment, start, status, value);
        if FAILING.contains(&status) {
            let segment = if segment.is_empty() {
                "all rows"
            } else {
                segment
            };
            let window = start
                .and_then(DateTime::from_timestamp_micros)
                .map(|start| format!(", {}", start.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
                .unwrap_or_default();
            let shown = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
            let expected = expected
                .value(row)
                .map(|expected| format!(", expected {expected}"))
                .unwrap_or_default();
            let because = (reasons.value(row)).map_or_else(String::new, |why| format!(" ({why})"));
            failures.push(Failure {
                badness: badness(plan, check, value),
                words: format!(
                    "checks.{check}: {segment}{window}: {status}{because}, value {shown}{expected}"
                ),
            });
        }
    }
    for ((check, status, counts), verdicts) in said {
        observed.count(check, status, counts, verdicts);
    }
    of_check
        .into_iter()
        .map(|(check, (statuses, mut failures))| {
            Failure::keep_worst(&mut failures, TOLD_FAILURES);
            Note::Verdicts {
                check: check.to_owned(),
                statuses,
                failures,
            }
        })
        .collect()
}

/// How bad a failing value is. What has no value is worst.
fn badness(plan: &Plan, check: &str, value: Option<f64>) -> f64 {
    let Some(value) = value else {
        return f64::INFINITY;
    };
    let measure = plan.checks.iter().find(|known| known.name == check);
    match measure.map(|check| &check.measure) {
        Some(Measure::Completeness { of, .. }) if !matches!(of, Complete::Refused) => -value,
        Some(Measure::Variance { .. }) => value.abs(),
        // A statistic that overflowed is no check of the plan: its value is how many rows did.
        Some(Measure::Completeness { .. } | Measure::Freshness(_)) | None => value,
    }
}
