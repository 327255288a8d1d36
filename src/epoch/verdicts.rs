//! Verdicts, counted for the end of the run.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::job::tables::verdict_columns;
use crate::record::{Batch, Epoch, Note, by_place};
use crate::transform::text::Text;

/// Verdicts of one check that are told in words, of each worker.
const TOLD: usize = 3;

/// Counts verdicts by check and status, and puts failures into words.
pub fn verdict_notes<'scope>(
    verdicts: &Stream<'scope, Epoch, Batch>,
) -> Stream<'scope, Epoch, Vec<Note>> {
    let verdicts = verdicts.clone();
    verdicts.unary::<CapacityContainerBuilder<Vec<Note>>, _, _, _>(
        Pipeline,
        "epoch:verdicts",
        |_, _| {
            let columns = Columns::new();
            move |input, output| {
                input.for_each(|capability, batch| {
                    if let Some(rows) = &batch.rows {
                        output
                            .session(&capability)
                            .give_iterator(notes(&columns, rows).into_iter());
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
    status: usize,
    value: usize,
    expected: usize,
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
            status: place("status"),
            value: place("value"),
            expected: place("expected"),
        }
    }
}

fn notes(places: &Columns, rows: &RecordBatch) -> Vec<Note> {
    let columns = by_place(rows);
    let column = |place: usize| {
        columns[place]
            .as_ref()
            .expect("a batch of verdicts has all columns of their table")
    };
    let [checks, segments, statuses, expected] =
        [places.check, places.segment, places.status, places.expected]
            .map(|place| Text::new(column(place)));
    let values = column(places.value).as_primitive::<Float64Type>();
    let mut of_check: BTreeMap<&str, (BTreeMap<String, u64>, Vec<String>)> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let (Some(check), Some(status)) = (checks.value(row), statuses.value(row)) else {
            continue;
        };
        let (counts, failures) = of_check.entry(check).or_default();
        *counts.entry(status.to_owned()).or_default() += 1;
        if matches!(status, "fail" | "overflow") && failures.len() < TOLD {
            let value = if values.is_valid(row) {
                values.value(row).to_string()
            } else {
                "null".to_owned()
            };
            let segment = segments
                .value(row)
                .filter(|segment| !segment.is_empty())
                .unwrap_or("all rows");
            let expected = expected
                .value(row)
                .map(|expected| format!(", expected {expected}"))
                .unwrap_or_default();
            failures.push(format!(
                "checks.{check}: {segment}: {status}, value {value}{expected}"
            ));
        }
    }
    of_check
        .into_iter()
        .map(|(check, (statuses, failures))| Note::Verdicts {
            check: check.to_owned(),
            statuses,
            failures,
        })
        .collect()
}
