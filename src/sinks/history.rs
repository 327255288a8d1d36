//! The operator that keeps what a continuous job says of its checks, with when it was said: what `caudal verdicts` reads.
//!
//! It is a sink like the others, staged and committed with them by one manifest, in a folder that readers skip. The job's own sinks of
//! verdicts have the columns and the target that their readers want; what they lack is when a verdict was said. The `epoch` of a verdict is
//! that of the newest rows it covers, and says nothing of when it became final, or was judged again because a window before it changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use timely::dataflow::{Stream, StreamVec};

use super::SinkError;
use super::interval::{Stager, staged};
use super::output::staged_folder;
use super::publish::VERDICTS;
use crate::checks::verdict;
use crate::cluster::Run;
use crate::epoch::Control;
use crate::job::plan::timestamp_type;
use crate::record::{Batch, Epoch, Note};

/// The column of the epoch in which something was said or taken back.
pub const SAID_EPOCH: &str = "said_epoch";

/// The column of that epoch's bound wall time.
pub const SAID_AT: &str = "said_at";

/// Rows of a row group: few, since readers mostly ask for some of a file, and a job has no more verdicts than this in a commit as a rule.
const GROUP_ROWS: usize = 1 << 16;

/// Writes each verdict down with its epoch and that epoch's time; tells of its file when all of an interval have come.
pub(super) fn keep_history<'scope>(
    verdicts: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) -> StreamVec<'scope, Epoch, Note> {
    let worker = verdicts.scope().index();
    let make = move |run: &Run, from| {
        let stage = run
            .stage(from)
            .expect("a continuous job has an output folder");
        Ok(Writer::new(&stage, worker))
    };
    staged(verdicts, control, "sinks:history", run, make, |_| {})
}

/// One worker's file, which is made with its first row.
struct Writer {
    path: PathBuf,
    name: String,
    schema: SchemaRef,
    file: Option<ArrowWriter<File>>,
    rows: u64,
}

impl Writer {
    fn new(stage: &Path, worker: usize) -> Self {
        let name = format!("part-{worker}.parquet");
        let mut fields = verdict::schema().fields().to_vec();
        fields.push(Arc::new(Field::new(SAID_EPOCH, DataType::Int64, false)));
        fields.push(Arc::new(Field::new(SAID_AT, timestamp_type(), false)));
        Self {
            path: staged_folder(stage, VERDICTS).join(&name),
            name,
            schema: Arc::new(Schema::new(fields)),
            file: None,
            rows: 0,
        }
    }

    fn failed(&self, error: ParquetError) -> SinkError {
        SinkError::io(&self.path, "writing a file", std::io::Error::other(error))
    }

    fn open(&mut self) -> Result<(), SinkError> {
        if self.file.is_some() {
            return Ok(());
        }
        let folder = self.path.parent().expect("a file has a folder");
        let file = fs::create_dir_all(folder)
            .and_then(|()| File::create(&self.path))
            .map_err(|error| SinkError::io(&self.path, "creating a file", error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let opened = ArrowWriter::try_new(file, SchemaRef::clone(&self.schema), Some(properties));
        self.file = Some(opened.map_err(|error| self.failed(error))?);
        Ok(())
    }
}

impl Stager for Writer {
    fn write(
        &mut self,
        _: &Run,
        rows: &RecordBatch,
        (epoch, now): (Epoch, i64),
    ) -> Result<(), SinkError> {
        self.open()?;
        let epoch = i64::try_from(epoch).expect("an epoch is a count of seconds, below 2^63");
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        let said: [ArrayRef; 2] = [
            Arc::new(Int64Array::from_value(epoch, count)),
            Arc::new(TimestampMicrosecondArray::from_value(now, count).with_timezone("UTC")),
        ];
        columns.extend(said);
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)
            .expect("verdicts have the columns of their table");
        let file = self.file.as_mut().expect("it was opened just now");
        let written = file.write(&batch);
        written.map_err(|error| self.failed(error))?;
        self.rows += u64::try_from(count).expect("a count of rows fits");
        Ok(())
    }

    fn finish(mut self, _: &Run) -> Result<Vec<Note>, SinkError> {
        let Some(mut file) = self.file.take() else {
            return Ok(Vec::new());
        };
        let finished = file.finish();
        finished.map_err(|error| self.failed(error))?;
        let bytes = fs::metadata(&self.path)
            .map_err(|error| SinkError::io(&self.path, "reading a file's size", error))?
            .len();
        Ok(vec![Note::History {
            path: self.name,
            rows: self.rows,
            bytes,
        }])
    }
}
