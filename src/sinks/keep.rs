//! The operator that keeps refused rows for caudal itself: what `caudal quarantine` shows and a replay reads again.
//!
//! It is a sink like the others, staged and published with them by one manifest, in a folder that readers skip. It does not
//! depend on the columns and the format that the job's own sink of refused rows has.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::SinkError;
use super::output::staged_folder;
use super::publish::QUARANTINE;
use crate::cluster::Run;
use crate::job::tables::{REFUSED_BEFORE_ROWS, source_columns};
use crate::record::{Batch, Epoch, Kept, KeptHeader, KeptLine, Kind, Note, Raw};

/// Writes each refused row down as a [`Kept`]; tells of its file when all have come.
pub(super) fn keep<'scope>(
    refused: Stream<'scope, Epoch, Batch>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Vec<Note>> {
    let run = Arc::clone(run);
    let worker = refused.scope().index();
    refused.unary_frontier::<CapacityContainerBuilder<Vec<Note>>, _, _, _>(
        Pipeline,
        "sinks:keep",
        move |capability, _| {
            let mut at_end = Some(capability);
            let stage = run
                .stage
                .as_deref()
                .expect("a job that keeps rows writes files");
            let of_sources = source_columns(&run.plan.columns, &run.plan.sources).len();
            let mut writer = Some(Writer::new(stage, worker, REFUSED_BEFORE_ROWS + of_sources));
            move |(input, frontier), output| {
                input.for_each(|_, batch| {
                    let batch = std::mem::take(batch);
                    if let (Some(open), Some(rows)) = (writer.as_mut(), &batch.rows)
                        && let Err(error) = open.write(rows)
                    {
                        run.fail(error.into());
                        writer = None;
                    }
                });
                if frontier.is_empty()
                    && let (Some(capability), Some(writer)) = (at_end.take(), writer.take())
                {
                    match writer.finish() {
                        Ok(note) => {
                            output.session(&capability).give_iterator(note.into_iter());
                        }
                        Err(error) => run.fail(error.into()),
                    }
                }
            }
        },
    )
}

/// One worker's file, which is made with its first row.
struct Writer {
    path: PathBuf,
    name: String,
    file: Option<BufWriter<File>>,
    header: KeptHeader,
    /// Place of the first column behind those of the table.
    behind: usize,
    rows: u64,
    bytes: u64,
}

impl Writer {
    fn new(stage: &Path, worker: usize, behind: usize) -> Self {
        let name = format!("part-{worker}.jsonl");
        Self {
            path: staged_folder(stage, QUARANTINE).join(&name),
            name,
            file: None,
            header: KeptHeader::default(),
            behind,
            rows: 0,
            bytes: 0,
        }
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<(), SinkError> {
        let text = |place: usize| rows.column(place).as_string::<i32>();
        let number = |place: usize, row: usize| {
            let column = rows.column(place).as_primitive::<Int64Type>();
            u64::try_from(column.value(row)).expect("positions are not negative")
        };
        let bytes = |place: usize| rows.column(place).as_binary::<i32>();
        for row in 0..rows.num_rows() {
            let (record, encoding) = (
                bytes(self.behind + 2).value(row),
                text(self.behind + 3).value(row),
            );
            if record != self.header.record.0 || encoding != self.header.encoding {
                self.header = KeptHeader {
                    encoding: encoding.to_owned(),
                    record: Raw(record.to_vec()),
                };
                self.line(&KeptLine::Header(self.header.clone()))?;
            }
            let kind = Kind::of(text(self.behind).value(row)).expect("the split knows all kinds");
            let reasons = serde_json::from_str(text(9).value(row))
                .expect("the split writes reasons as a list of objects");
            self.line(&KeptLine::Row(Kept {
                source: text(0).value(row).to_owned(),
                file: text(1).value(row).to_owned(),
                line: number(2, row),
                byte: number(3, row),
                kind,
                raw: Raw(bytes(self.behind + 1).value(row).to_vec()),
                reason: text(8).value(row).to_owned(),
                reasons,
            }))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn line(&mut self, line: &KeptLine) -> Result<(), SinkError> {
        let mut text = serde_json::to_vec(line).expect("a kept row is JSON");
        text.push(b'\n');
        self.bytes += u64::try_from(text.len()).expect("a length fits 64 bits");
        let failed = |error| SinkError::io(&self.path, "writing a file", error);
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let folder = self.path.parent().expect("a file has a folder");
            let made = fs::create_dir_all(folder).and_then(|()| File::create(&self.path));
            self.file.insert(BufWriter::new(made.map_err(failed)?))
        };
        file.write_all(&text).map_err(failed)
    }

    fn finish(self) -> Result<Option<Note>, SinkError> {
        let Some(file) = self.file else {
            return Ok(None);
        };
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(|error| SinkError::io(&self.path, "writing a file", error))?;
        Ok(Some(Note::Kept {
            path: self.name,
            rows: self.rows,
            bytes: self.bytes,
        }))
    }
}
