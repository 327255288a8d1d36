//! Clean rows that repeat another: found, counted, and dropped where the job says so.
//!
//! ```text
//!  split ──clean──> by hash of the key ──> hold the epoch ──> in the order of input: first of its key? ──┬─> rows
//!                   (all rows of a key                        yes: stays     no: repeats the first one   ├─> found
//!                    on one worker)                                                                      └─> notes
//! ```
//!
//! **Which row is the first** is said by its place in the input: order of sources, files, and places in the file. That rows
//! arrive in another order changes nothing:
//!
//! 1. All rows of a key meet on one worker, without exception for hot keys.
//! 2. Epochs are cut by position, so a row of an earlier epoch stands before any of a later one. Rows are held until their
//!    epoch is complete, and epochs are taken in order.
//! 3. Within an epoch rows are sorted by place.
//!
//! So a key that was seen was seen first in an earlier place, and nothing has to be taken back. Equality is exact: keys are compared
//! byte by byte ([`seen`]), in an encoding in which two values are equal bytes if and only if they are equal values.
//!
//! Refused and dropped rows do not come here, so that a refused row makes no good one a duplicate, wherever it stands.
//!
//! Memory: the rows of the epochs that are not complete, which hold no budget (an epoch larger than the budget would never
//! end), at most [`crate::sources`]' few epochs of input; and for each distinct key its bytes and some forty more.

pub(super) mod place;
mod seen;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate};

use self::place::Places;
use self::seen::{FirstRow, Seen};
use super::SplitError;
use crate::cluster::Run;
use crate::cluster::exchange::{ByBin, any_null};
use crate::job::plan::{DuplicatesPlan, Keep, SinkFrom};
use crate::job::tables::{DUPLICATES_BEFORE_ROWS, duplicate_columns};
use crate::record::{Batch, DuplicateCounts, Epoch, Note, Repeat};
use crate::transform::text::to_plain;

/// What comes out.
pub struct Distinct<'scope> {
    /// The rows that go on, without their places.
    pub rows: Stream<'scope, Epoch, Batch>,
    /// Rows that repeat another, as [`crate::job::tables::duplicate_columns`] describes them, named by their places in that table;
    /// empty where no sink takes them.
    pub found: Stream<'scope, Epoch, Batch>,
    /// What each of the job's `[duplicates]` saw on this worker, once, at the end.
    pub notes: Stream<'scope, Epoch, Vec<Note>>,
}

/// Finds the rows that repeat another, by each of the job's `[duplicates]` in turn. Costs nothing where there is none.
pub fn duplicates<'scope>(clean: Stream<'scope, Epoch, Batch>, run: &Arc<Run>) -> Distinct<'scope> {
    let scope = clean.scope();
    let mut rows = clean;
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for rule in 0..run.plan.duplicates.len() {
        let one = find(rows, rule, run);
        rows = one.rows;
        found.push(one.found);
        notes.push(one.notes);
    }
    Distinct {
        rows,
        found: scope.concatenate(found),
        notes: scope.concatenate(notes),
    }
}

/// One of them.
fn find<'scope>(
    rows: Stream<'scope, Epoch, Batch>,
    rule: usize,
    run: &Arc<Run>,
) -> Distinct<'scope> {
    let plan = &run.plan.duplicates[rule];
    let worker = rows.scope().index();
    let mut builder =
        OperatorBuilder::new(format!("validate:duplicates {}", plan.name), rows.scope());
    let (columns, nulls_stay) = (plan.columns.clone(), !plan.nulls_are_equal);
    let pact = DistributorPact(move |peers| ByBin::meeting(columns, nulls_stay, worker, peers));
    let mut input = builder.new_input(rows, pact);
    let (rows_output, rows) = builder.new_output();
    let (found_output, found) = builder.new_output();
    let (notes_output, notes) = builder.new_output();
    let mut rows_output = OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(rows_output);
    let mut found_output = OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(found_output);
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let run = Arc::clone(run);
    builder.build(move |mut capabilities| {
        let mut at_end = capabilities.pop();
        drop(capabilities);
        let mut finder = Finder::new(&run, rule);
        let mut held: BTreeMap<Epoch, Held> = BTreeMap::new();
        move |frontiers| {
            input.for_each(|capability, batch| {
                let batch = std::mem::take(batch);
                let Some(rows) = batch.rows else { return };
                let (Some(for_rows), Some(for_found)) =
                    (capability.retain_least(0), capability.retain_least(1))
                else {
                    return;
                };
                let of_epoch = held.entry(*for_rows.time()).or_insert_with(|| Held {
                    for_rows,
                    for_found,
                    batches: Vec::new(),
                });
                // The budget's bytes go back here: the head of this file says why.
                of_epoch.batches.push(rows);
            });
            let frontier = &frontiers[0];
            while let Some(first) = held.first_entry()
                && !frontier.less_equal(first.key())
            {
                let epoch = *first.key();
                let of_epoch = first.remove();
                match finder.judge(epoch, of_epoch.batches) {
                    Ok(judged) => {
                        let (mut rows, mut found) =
                            (rows_output.activate(), found_output.activate());
                        let mut rows = rows.session(&of_epoch.for_rows);
                        for mut batch in judged.rows {
                            rows.give_container(&mut batch);
                        }
                        let mut found = found.session(&of_epoch.for_found);
                        for mut batch in judged.found {
                            found.give_container(&mut batch);
                        }
                    }
                    Err(error) => run.fail(SplitError(error).into()),
                }
            }
            if let (Some(capability), Some(epoch)) = (&mut at_end, frontier.frontier().as_option())
            {
                capability.downgrade(epoch);
            }
            if frontier.is_empty()
                && let Some(capability) = at_end.take()
            {
                let counts = std::mem::take(&mut finder.counts);
                let note = Note::Duplicates { rule, counts };
                notes_output.activate().session(&capability).give(note);
            }
        }
    });
    Distinct { rows, found, notes }
}

/// The rows of an epoch that is not complete.
struct Held {
    for_rows: Capability<Epoch>,
    for_found: Capability<Epoch>,
    batches: Vec<RecordBatch>,
}

/// What comes of an epoch.
#[derive(Default)]
struct Judged {
    rows: Vec<Batch>,
    found: Vec<Batch>,
}

/// A row that repeats another: its batch, its row there, and the first one.
struct Found {
    batch: usize,
    row: usize,
    first: FirstRow,
}

/// One `[duplicates]` on one worker.
struct Finder {
    run: Arc<Run>,
    rule: usize,
    seen: Seen,
    counts: DuplicateCounts,
    /// Whether this is the job's last one: nothing behind it needs places.
    is_last: bool,
    /// Whether a sink takes what is found.
    keep_found: bool,
}

impl Finder {
    fn new(run: &Arc<Run>, rule: usize) -> Self {
        let plan = &run.plan;
        Self {
            rule,
            seen: Seen::default(),
            counts: DuplicateCounts::default(),
            is_last: rule + 1 == plan.duplicates.len(),
            keep_found: plan
                .sinks
                .iter()
                .any(|sink| sink.from == SinkFrom::Duplicates),
            run: Arc::clone(run),
        }
    }

    fn plan(&self) -> &DuplicatesPlan {
        &self.run.plan.duplicates[self.rule]
    }

    /// Judges all rows of an epoch that came to this worker; those of earlier ones were judged before.
    fn judge(&mut self, epoch: Epoch, batches: Vec<RecordBatch>) -> Result<Judged, ArrowError> {
        let found = self.find(&batches)?;
        let before: u64 = self.counts.found;
        self.counts.seen += count(batches.iter().map(RecordBatch::num_rows).sum());
        let first_place = self.run.plan.columns.len();
        for Found { batch, row, first } in &found {
            let places = Places::new(&batches[*batch], first_place);
            self.counts.found(|| Repeat {
                order: places.order(*row),
                place: places.place(*row),
                repeats: first.place.clone(),
            });
        }
        self.run
            .observer
            .repeated(self.rule, self.counts.found - before);
        let mut judged = Judged::default();
        if self.keep_found {
            for of_batch in found.chunk_by(|a, b| a.batch == b.batch) {
                let rows = self.found(epoch, &batches[of_batch[0].batch], of_batch)?;
                judged.found.push(Batch::new(rows, epoch));
            }
        }
        let mut dropped: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        if self.plan().keep == Keep::First {
            for Found { batch, row, .. } in &found {
                dropped.entry(*batch).or_default().push(*row);
            }
        }
        for (number, batch) in batches.into_iter().enumerate() {
            let batch = match dropped.get(&number) {
                Some(dropped) => without(&batch, dropped)?,
                None => batch,
            };
            let batch = if self.is_last {
                let columns: Vec<usize> = (0..batch.num_columns() - place::COLUMNS).collect();
                batch.project(&columns)?
            } else {
                batch
            };
            judged.rows.push(Batch::new(batch, epoch));
        }
        Ok(judged)
    }

    /// The rows that repeat another, in the order of input.
    fn find(&mut self, batches: &[RecordBatch]) -> Result<Vec<Found>, ArrowError> {
        let first_place = self.run.plan.columns.len();
        let mut of_batch = Vec::with_capacity(batches.len());
        let mut order: Vec<((u64, u64), usize, usize)> = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let keys = Keys::new(batch, self.plan())?;
            let places = Places::new(batch, first_place);
            order.extend(
                (0..batch.num_rows())
                    .filter(|row| !keys.repeats_nothing(*row))
                    .map(|row| (places.order(row), number, row)),
            );
            of_batch.push((keys, places));
        }
        order.sort_unstable();
        let mut found = Vec::new();
        for (_, batch, row) in order {
            let (keys, places) = &of_batch[batch];
            let (line, byte) = (places.line(row), places.byte(row));
            let key = keys.rows.row(row);
            let first = self.seen.first(
                key.as_ref(),
                places.source(row),
                places.file(row),
                line,
                byte,
            );
            found.extend(first.map(|first| Found { batch, row, first }));
        }
        Ok(found)
    }

    /// Rows of one batch that repeat another, as the table `duplicates` has them.
    fn found(
        &self,
        epoch: Epoch,
        batch: &RecordBatch,
        found: &[Found],
    ) -> Result<RecordBatch, ArrowError> {
        let plan = &self.run.plan;
        let places = Places::new(batch, plan.columns.len());
        let rows = found.len();
        let source = |index: usize| plan.sources[index].name.as_str();
        let texts = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        let each = |text: &dyn Fn(&Found) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(found.iter().map(text)))
        };
        let number = |of: &dyn Fn(&Found) -> u64| -> ArrayRef {
            let signed = |value: u64| i64::try_from(value).expect("positions fit 63 bits");
            Arc::new(Int64Array::from_iter_values(
                found.iter().map(|found| signed(of(found))),
            ))
        };
        let outcome = match self.plan().keep {
            Keep::First => "dropped",
            Keep::Report => "kept",
        };
        let mut columns = vec![
            texts(vec![self.plan().name.as_str(); rows]),
            texts(vec![outcome; rows]),
            each(&|found| source(places.source(found.row)).to_owned()),
            each(&|found| places.file(found.row).to_owned()),
            number(&|found| places.line(found.row)),
            number(&|found| places.byte(found.row)),
            each(&|found| source(found.first.source).to_owned()),
            each(&|found| found.first.place.file.clone()),
            number(&|found| found.first.place.line),
            number(&|found| found.first.place.byte),
            number(&|_| epoch),
        ];
        assert_eq!(columns.len(), DUPLICATES_BEFORE_ROWS);
        let taken = UInt32Array::from_iter_values(
            found
                .iter()
                .map(|found| u32::try_from(found.row).expect("a batch has fewer than 2^32 rows")),
        );
        for (id, column) in plan.columns.iter().enumerate() {
            columns.push(match batch.column_by_name(&id.to_string()) {
                Some(values) => take(values, &taken, None)?,
                // Nothing asks for it.
                None => new_null_array(&column.data_type, rows),
            });
        }
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(place, column)| Field::new(place.to_string(), column.data_type().clone(), true))
            .collect();
        assert_eq!(columns.len(), duplicate_columns(&plan.columns).len());
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

/// The keys of a batch's rows as bytes: equal bytes are equal values.
struct Keys {
    rows: Rows,
    /// Where nulls are not equal: the rows with one.
    nulls: Option<arrow_buffer::NullBuffer>,
}

impl Keys {
    fn new(batch: &RecordBatch, plan: &DuplicatesPlan) -> Result<Self, ArrowError> {
        let columns: Vec<ArrayRef> = plan
            .columns
            .iter()
            .map(|id| {
                let column = batch
                    .column_by_name(&id.to_string())
                    .expect("the split carries the columns of keys");
                canonical(column)
            })
            .collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let nulls = if plan.nulls_are_equal {
            None
        } else {
            any_null(&columns)
        };
        Ok(Self {
            rows: RowConverter::new(fields)?.convert_columns(&columns)?,
            nulls,
        })
    }

    fn repeats_nothing(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// The same values, each in one encoding: text is plain, and nought has no sign.
fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Dictionary(..) => to_plain(column),
        DataType::Float64 => {
            let values: Float64Array = column
                .as_primitive::<Float64Type>()
                .unary(|value| value + 0.0);
            Arc::new(values)
        }
        _ => Arc::clone(column),
    }
}

/// The batch without some of its rows.
fn without(batch: &RecordBatch, dropped: &[usize]) -> Result<RecordBatch, ArrowError> {
    let mut kept = vec![true; batch.num_rows()];
    for row in dropped {
        kept[*row] = false;
    }
    filter_record_batch(batch, &BooleanArray::from(kept))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).expect("a number of rows fits 64 bits")
}
