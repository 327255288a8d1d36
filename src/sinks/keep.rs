//! The operator that keeps refused rows for caudal itself: what `caudal quarantine` shows and a replay reads again.
//!
//! It is a sink like the others, staged and published with them by one manifest, in a folder that readers skip. It does not
//! depend on the columns and the format that the job's own sink of refused rows has.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use timely::dataflow::{Stream, StreamVec};

use super::SinkError;
use super::interval::{Stager, staged};
use super::output::staged_folder;
use super::publish::QUARANTINE;
use crate::cluster::Run;
use crate::epoch::Control;
use crate::job::tables::{REFUSED_BEFORE_ROWS, source_columns};
use crate::record::{Batch, Epoch, Kept, KeptHeader, KeptLine, Kind, Note, Raw};

/// Writes each refused row down as a [`Kept`]; tells of its file when all have come.
pub(super) fn keep<'scope>(
    refused: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> StreamVec<'scope, Epoch, Note> {
    let worker = refused.scope().index();
    let make = move |run: &Run, from| {
        let stage = run.stage(from).expect("a job that keeps rows writes files");
        let of_sources = source_columns(&run.plan.columns, &run.plan.sources).len();
        Ok(Writer::new(
            &stage,
            worker,
            REFUSED_BEFORE_ROWS + of_sources,
        ))
    };
    staged(refused, control, "sinks:keep", run, make, |_| {})
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
}

impl Stager for Writer {
    fn write(&mut self, _: &Run, rows: &RecordBatch, _: (Epoch, i64)) -> Result<(), SinkError> {
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
            let (file, line, byte) = if rows.column(1).is_null(row) {
                let partition = rows.column(5).as_primitive::<Int32Type>().value(row);
                let place = format!("{}/{partition}", text(4).value(row));
                (place, 0, number(6, row))
            } else {
                (
                    text(1).value(row).to_owned(),
                    number(2, row),
                    number(3, row),
                )
            };
            self.line(&KeptLine::Row(Kept {
                source: text(0).value(row).to_owned(),
                file,
                line,
                byte,
                kind,
                raw: Raw(bytes(self.behind + 1).value(row).to_vec()),
                reason: text(8).value(row).to_owned(),
                reasons,
            }))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self, _: &Run) -> Result<Vec<Note>, SinkError> {
        let Some(file) = self.file else {
            return Ok(Vec::new());
        };
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(|error| SinkError::io(&self.path, "writing a file", error))?;
        Ok(vec![Note::Kept {
            path: self.name,
            rows: self.rows,
            bytes: self.bytes,
        }])
    }
}

impl Writer {
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
}
