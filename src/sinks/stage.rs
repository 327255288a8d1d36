//! The operators that stage what a job produces: one a sink and worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::{Stream, StreamVec};

use super::history::keep_history;
use super::interval::{Stager, staged};
use super::kafka;
use super::keep::keep;
use super::{LineWriter, SinkError, SinkWriter, StagedFile, write_empty};
use crate::cluster::Run;
use crate::epoch::Control;
use crate::job::plan::{SinkFrom, SinkPlan, SinkTo};
use crate::record::{Batch, Epoch, Note, by_id, by_place};

/// Stages every sink's rows; tells of each file when all rows have come.
///
/// `windows` holds the batches of every window, in plan order.
pub fn stage<'scope>(
    clean: Stream<'scope, Epoch, Batch>,
    refused: Stream<'scope, Epoch, Batch>,
    duplicates: Stream<'scope, Epoch, Batch>,
    windows: Vec<Stream<'scope, Epoch, Batch>>,
    verdicts: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> StreamVec<'scope, Epoch, Note> {
    let scope = clean.scope();
    let mut messages: Vec<Vec<_>> = run.plan.clusters.iter().map(|_| Vec::new()).collect();
    let mut notes: Vec<_> = (0..run.plan.sinks.len())
        .map(|sink| {
            let rows = match run.plan.sinks[sink].from {
                SinkFrom::Rows => clean.clone(),
                SinkFrom::Refused => refused.clone(),
                SinkFrom::Duplicates => duplicates.clone(),
                SinkFrom::Verdicts => verdicts.clone(),
                SinkFrom::Windows(window) => windows[window].clone(),
            };
            let SinkTo::Kafka(kafka) = &run.plan.sinks[sink].to else {
                return one(rows, control, sink, run);
            };
            let (of_sink, notes) = kafka::encode(rows, control, sink, kafka, run);
            messages[kafka.cluster].push(of_sink);
            notes
        })
        .collect();
    for (cluster, of_sinks) in messages.into_iter().enumerate() {
        kafka::deliver(scope.concatenate(of_sinks), cluster, run);
    }
    if run.plan.keeps_quarantine() {
        notes.push(keep(refused, control, run));
    }
    if run.plan.keeps_verdicts() {
        notes.push(keep_history(verdicts, control, run));
    }
    scope.concatenate(notes)
}

fn one<'scope>(
    rows: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    sink: usize,
    run: &Arc<Run>,
) -> StreamVec<'scope, Epoch, Note> {
    let name = format!("sinks:stage {}", run.plan.sinks[sink].name);
    let worker = rows.scope().index();
    let observer = Arc::clone(&run.observer);
    staged(
        rows,
        control,
        &name,
        run,
        move |run, from| Writer::new(run, sink, worker, from),
        move |upper| observer.sink_at(worker, sink, upper),
    )
}

/// One sink on one worker.
struct Writer {
    sink: usize,
    schema: SchemaRef,
    to: To,
    /// Bytes of whole files that the observer was told of.
    told_bytes: u64,
    /// Rows by epoch, of a continuous job.
    epochs: BTreeMap<Epoch, u64>,
}

enum To {
    Files(Box<SinkWriter>),
    Stdout(Box<LineWriter<std::io::Stdout>>),
}

impl Writer {
    fn new(run: &Run, sink: usize, worker: usize, from: Epoch) -> Result<Self, SinkError> {
        let plan = &run.plan.sinks[sink];
        let schema = output_schema(plan);
        let to = match (&plan.to, run.stage(from)) {
            (SinkTo::Files { .. }, Some(stage)) => {
                To::Files(Box::new(SinkWriter::new(plan, &schema, &stage, worker)?))
            }
            _ => To::Stdout(Box::new(LineWriter::new(
                plan,
                &schema,
                std::io::stdout(),
                worker == 0 && from == 0,
            )?)),
        };
        Ok(Self {
            sink,
            schema,
            to,
            told_bytes: 0,
            epochs: BTreeMap::new(),
        })
    }
}

impl Stager for Writer {
    fn write(
        &mut self,
        run: &Run,
        rows: &RecordBatch,
        (epoch, now): (Epoch, i64),
    ) -> Result<(), SinkError> {
        let plan = &run.plan.sinks[self.sink];
        let batch = project(plan, &self.schema, rows, now);
        match &mut self.to {
            To::Files(writer) => {
                writer.write(&batch)?;
                let staged = writer.staged_bytes();
                run.observer.staged(self.sink, staged - self.told_bytes);
                self.told_bytes = staged;
            }
            To::Stdout(writer) => writer.write(&batch)?,
        }
        if run.resumed.is_some() {
            let count = u64::try_from(batch.num_rows()).expect("a number of rows fits");
            *self.epochs.entry(epoch).or_default() += count;
        }
        let bytes = batch.get_array_memory_size();
        run.observer.received(self.sink, batch.num_rows(), bytes);
        Ok(())
    }

    fn finish(self, run: &Run) -> Result<Vec<Note>, SinkError> {
        match self.to {
            To::Stdout(writer) => Ok(vec![Note::Printed {
                sink: self.sink,
                rows: writer.rows(),
            }]),
            To::Files(writer) => {
                let files = writer.finish()?;
                let staged: u64 = files.iter().map(|file| file.bytes).sum();
                run.observer
                    .staged(self.sink, staged.saturating_sub(self.told_bytes));
                let mut notes: Vec<Note> = files
                    .into_iter()
                    .map(|file| note(self.sink, file))
                    .collect();
                if !self.epochs.is_empty() {
                    notes.push(Note::Epochs {
                        sink: self.sink,
                        rows: self.epochs.into_iter().collect(),
                    });
                }
                Ok(notes)
            }
        }
    }
}

fn note(sink: usize, file: StagedFile) -> Note {
    Note::Staged {
        sink,
        path: file.path,
        rows: file.rows,
        bytes: file.bytes,
        checksum: file.checksum.expect("a writer sums up its files"),
    }
}

/// Gives each sink without rows one empty file, so that readers find its columns.
pub fn add_empty(
    sinks: &[SinkPlan],
    stage: &Path,
    staged: &mut Vec<StagedFile>,
) -> Result<(), SinkError> {
    for sink in sinks
        .iter()
        .filter(|sink| matches!(sink.to, SinkTo::Files { .. }))
    {
        if !staged.iter().any(|file| file.sink == sink.name) {
            staged.push(write_empty(sink, &output_schema(sink), stage)?);
        }
    }
    Ok(())
}

/// The columns of a sink as it writes them.
pub fn output_schema(plan: &SinkPlan) -> SchemaRef {
    let fields: Vec<Field> = plan
        .columns
        .iter()
        .map(|column| {
            Field::new(
                &column.name,
                column.expression.data_type().clone(),
                column.expression.nullable(),
            )
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Takes the sink's columns. What could fail on a row of the job was worked out before the split; an expression over a table
/// of our own (refused rows, duplicates, windows, verdicts) that fails gives null.
fn project(plan: &SinkPlan, schema: &SchemaRef, rows: &RecordBatch, now: i64) -> RecordBatch {
    let columns = if plan.from == SinkFrom::Rows {
        by_id(rows)
    } else {
        by_place(rows)
    };
    let arrays: Vec<ArrayRef> = plan
        .columns
        .iter()
        .map(|column| {
            column
                .expression
                .evaluate(&columns, rows.num_rows(), now)
                .array
        })
        .collect();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(&arrays)
        .map(|(field, array)| Field::new(field.name(), array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .expect("every column has the rows of the batch")
}
