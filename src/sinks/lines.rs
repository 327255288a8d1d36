//! Text output, a row a line: JSON and delimited text, into files and to standard output.
//!
//! JSON: an object a line; decimals and whole numbers are exact numbers with every digit (a reader that wants them exact
//! must read them so; decimals may be texts instead), timestamps and dates are ISO 8601 text, doubles that JSON has no number for are null.
//! CSV: RFC 4180 with `\n` between records; a header line; null is an empty field, the empty text is `""`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};

use super::SinkError;
use super::json::{self, JsonColumn};
use super::scalar::{Scalar, Values, bring, canonical};
use super::summed::Summed;
use super::writer::Completed;
use crate::job::plan::{Decimals, SinkFormat, SinkPlan};

/// Text gathered before it goes to the file; with many open files each holds this much.
const FILE_BUFFER_BYTES: usize = 64 << 10;

/// The formats of text.
#[derive(Debug, Clone, Copy)]
enum TextFormat {
    Json(Decimals),
    Csv { delimiter: u8 },
}

/// How rows become lines.
#[derive(Debug, Clone)]
pub(super) struct LineShape {
    text: TextFormat,
    /// What stands before each value: `{"name":`, `,"name":` in JSON; the delimiter or nothing in CSV.
    leads: Vec<Vec<u8>>,
    /// The header line of CSV.
    header: Vec<u8>,
}

impl LineShape {
    /// The shape of lines with columns of these names; `None` where the format is not one of text.
    pub(super) fn new<'a>(
        format: &SinkFormat,
        names: impl Iterator<Item = &'a String>,
    ) -> Option<Self> {
        let text = match format {
            SinkFormat::Parquet(_) | SinkFormat::Avro(_) => return None,
            SinkFormat::Json(decimals) => TextFormat::Json(*decimals),
            SinkFormat::Csv { delimiter } => TextFormat::Csv {
                delimiter: *delimiter,
            },
        };
        let mut shape = Self {
            text,
            leads: Vec::new(),
            header: Vec::new(),
        };
        for (column, name) in names.enumerate() {
            let mut lead = Vec::new();
            match text {
                TextFormat::Json(_) => {
                    lead.push(if column == 0 { b'{' } else { b',' });
                    json::push_text(&mut lead, name);
                    lead.push(b':');
                }
                TextFormat::Csv { delimiter } => {
                    lead.extend((column > 0).then_some(delimiter));
                    shape.header.extend_from_slice(&lead);
                    push_csv(&mut shape.header, Scalar::Text(name), delimiter);
                }
            }
            shape.leads.push(lead);
        }
        if let TextFormat::Csv { .. } = text {
            shape.header.push(b'\n');
        }
        Some(shape)
    }

    /// What file names end with.
    pub(super) fn extension(&self) -> &'static str {
        match self.text {
            TextFormat::Csv { .. } => "csv",
            TextFormat::Json(_) => "jsonl",
        }
    }

    /// Appends a line for each row.
    fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) {
        match self.text {
            TextFormat::Json(_) => {
                let columns = self.json(columns);
                for row in 0..rows {
                    self.push_object(&columns, row, out);
                    out.push(b'\n');
                }
            }
            TextFormat::Csv { delimiter } => {
                let columns: Vec<Values<'_>> = columns.iter().map(Values::of).collect();
                for row in 0..rows {
                    for (column, lead) in columns.iter().zip(&self.leads) {
                        out.extend_from_slice(lead);
                        push_csv(out, column.get(row), delimiter);
                    }
                    out.push(b'\n');
                }
            }
        }
    }

    /// The columns of a batch as JSON has them.
    pub(super) fn json<'a>(&self, columns: &'a [ArrayRef]) -> Vec<JsonColumn<'a>> {
        let decimals = match self.text {
            TextFormat::Json(decimals) => decimals,
            TextFormat::Csv { .. } => Decimals::Number,
        };
        let columns = columns.iter();
        columns
            .map(|array| JsonColumn::of(array, decimals))
            .collect()
    }

    /// Appends a row as an object.
    pub(super) fn push_object(&self, columns: &[JsonColumn<'_>], row: usize, out: &mut Vec<u8>) {
        for (column, lead) in columns.iter().zip(&self.leads) {
            out.extend_from_slice(lead);
            column.push(row, out);
        }
        out.push(b'}');
    }

    /// Bytes of an object besides its values.
    pub(super) fn frame_bytes(&self) -> usize {
        1 + self.leads.iter().map(Vec::len).sum::<usize>()
    }
}

fn push_csv(out: &mut Vec<u8>, scalar: Scalar<'_>, delimiter: u8) {
    let start = out.len();
    scalar.push(out);
    let special = |byte: &u8| *byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    let empty_text = matches!(scalar, Scalar::Text(""));
    if empty_text || out[start..].iter().any(special) {
        let field = out.split_off(start);
        out.push(b'"');
        for byte in field {
            out.extend((byte == b'"').then_some(b'"'));
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// A file of lines being written.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    shape: Arc<LineShape>,
    output: BufWriter<Summed<File>>,
    buffer: Vec<u8>,
    rows: u64,
    bytes: u64,
}

impl LineFile {
    /// Creates the file, with its header where the format has one.
    pub(super) fn create(path: &Path, shape: &Arc<LineShape>) -> Result<Self, SinkError> {
        let file = File::create_new(path)
            .map_err(|error| SinkError::io(path, "creating a file", error))?;
        let mut created = Self {
            path: path.to_path_buf(),
            shape: Arc::clone(shape),
            output: BufWriter::with_capacity(FILE_BUFFER_BYTES, Summed::new(file)),
            buffer: shape.header.clone(),
            rows: 0,
            bytes: 0,
        };
        created.drain()?;
        Ok(created)
    }

    /// Writes rows.
    pub(super) fn write(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), SinkError> {
        self.shape.encode(columns, rows, &mut self.buffer);
        self.rows += count(rows);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), SinkError> {
        self.bytes += count(self.buffer.len());
        self.output
            .write_all(&self.buffer)
            .map_err(|error| SinkError::io(&self.path, "writing a file", error))?;
        self.buffer.clear();
        self.buffer.shrink_to(FILE_BUFFER_BYTES);
        Ok(())
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        FILE_BUFFER_BYTES + self.buffer.capacity()
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<Completed, SinkError> {
        self.output
            .flush()
            .map_err(|error| SinkError::io(&self.path, "writing a file", error))?;
        Ok(Completed {
            rows: self.rows,
            bytes: self.bytes,
            checksum: self.output.get_ref().checksum(),
        })
    }
}

/// Writes rows as lines to a stream such as standard output, whole lines at a time.
///
/// A stream can't be committed: what is written is seen at once, also where the run fails later.
#[derive(Debug)]
pub struct LineWriter<W: Write> {
    sink: String,
    logical: Vec<DataType>,
    shape: LineShape,
    output: W,
    buffer: Vec<u8>,
    rows: u64,
}

impl<W: Write> LineWriter<W> {
    /// A writer of `plan`'s rows, whose columns have the names and types of `schema`. With `header` the CSV header is
    /// written first: let one worker do it.
    ///
    /// Errors: the stream's; [`SinkError::Type`] for a column that no sink can hold.
    pub fn new(
        plan: &SinkPlan,
        schema: &SchemaRef,
        output: W,
        header: bool,
    ) -> Result<Self, SinkError> {
        let logical = logical_types(&plan.name, schema)?;
        let names = schema.fields().iter().map(|field| field.name());
        let shape = LineShape::new(&plan.format, names)
            .or_else(|| {
                LineShape::new(
                    &SinkFormat::Json(Decimals::Number),
                    schema.fields().iter().map(|field| field.name()),
                )
            })
            .expect("JSON is a format of text");
        let buffer = if header {
            shape.header.clone()
        } else {
            Vec::new()
        };
        let mut writer = Self {
            sink: plan.name.clone(),
            logical,
            shape,
            output,
            buffer,
            rows: 0,
        };
        writer.drain()?;
        Ok(writer)
    }

    /// Writes a line for each row of `batch`, which has the sink's columns in order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let columns = bring_all(&self.sink, batch, &self.logical)?;
        self.shape
            .encode(&columns, batch.num_rows(), &mut self.buffer);
        self.rows += count(batch.num_rows());
        self.drain()
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn drain(&mut self) -> Result<(), SinkError> {
        let stream = Path::new("standard output");
        self.output
            .write_all(&self.buffer)
            .and_then(|()| self.output.flush())
            .map_err(|error| SinkError::io(stream, "writing", error))?;
        self.buffer.clear();
        Ok(())
    }
}

/// The types of a sink's columns as they are written.
pub(super) fn logical_types(sink: &str, schema: &SchemaRef) -> Result<Vec<DataType>, SinkError> {
    schema
        .fields()
        .iter()
        .map(|field| {
            canonical(field.data_type()).ok_or_else(|| SinkError::Type {
                sink: sink.to_owned(),
                column: field.name().clone(),
                data_type: field.data_type().clone(),
            })
        })
        .collect()
}

/// A batch's columns in the types they are written in.
pub(super) fn bring_all(
    sink: &str,
    batch: &RecordBatch,
    logical: &[DataType],
) -> Result<Vec<ArrayRef>, SinkError> {
    assert_eq!(
        batch.num_columns(),
        logical.len(),
        "a batch for sinks.{sink} has the sink's columns"
    );
    batch
        .columns()
        .iter()
        .zip(logical)
        .map(|(array, logical)| bring(array, logical))
        .collect::<Result<_, _>>()
        .map_err(|source| SinkError::Columns {
            sink: sink.to_owned(),
            source,
        })
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).expect("usize fits into 64 bits")
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int32Type;
    use arrow_array::{
        BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::job::plan::{SinkFrom, SinkTo, timestamp_type};

    fn write(format: SinkFormat, columns: Vec<(&str, ArrayRef)>) -> String {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            columns.into_iter().map(|(_, array)| array).collect(),
        )
        .unwrap();
        let plan = SinkPlan {
            delta: None,
            name: "out".to_owned(),
            from: SinkFrom::Rows,
            to: SinkTo::Stdout,
            format,
            columns: Vec::new(),
        };
        let mut out = Vec::new();
        let mut writer = LineWriter::new(&plan, &schema, &mut out, true).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch.slice(0, 0)).unwrap();
        assert_eq!(writer.rows(), u64::try_from(batch.num_rows()).unwrap());
        String::from_utf8(out).unwrap()
    }

    fn every_type() -> Vec<(&'static str, ArrayRef)> {
        let amount = Decimal128Array::from(vec![Some(-123_456), None])
            .with_precision_and_scale(18, 2)
            .unwrap();
        let ts = TimestampMicrosecondArray::from(vec![Some(1_773_446_400_123_000), None])
            .with_data_type(timestamp_type());
        let channel: DictionaryArray<Int32Type> = vec![Some("web"), None].into_iter().collect();
        vec![
            ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
            ("ts", Arc::new(ts)),
            ("amount", Arc::new(amount)),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            (
                "z",
                Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN)])),
            ),
            (
                "note",
                Arc::new(StringArray::from(vec![Some("a \"b\"\n\u{1}é"), Some("")])),
            ),
            ("channel", Arc::new(channel)),
        ]
    }

    #[test]
    fn json_lines_keep_every_digit_and_escape_text() {
        assert_eq!(
            write(SinkFormat::Json(Decimals::Number), every_type()),
            concat!(
                r#"{"id":9223372036854775807,"ts":"2026-03-14T00:00:00.123Z","amount":-1234.56,"ok":true,"z":0.5,"note":"a \"b\"\n\u0001é","channel":"web"}"#,
                "\n",
                r#"{"id":null,"ts":null,"amount":null,"ok":null,"z":null,"note":"","channel":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn decimals_are_texts_where_the_job_says_so() {
        let columns = every_type().drain(..3).collect();
        assert_eq!(
            write(SinkFormat::Json(Decimals::Text), columns),
            concat!(
                r#"{"id":9223372036854775807,"ts":"2026-03-14T00:00:00.123Z","amount":"-1234.56"}"#,
                "\n",
                r#"{"id":null,"ts":null,"amount":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn csv_tells_null_from_empty_text_and_quotes_what_it_must() {
        assert_eq!(
            write(SinkFormat::Csv { delimiter: b',' }, every_type()),
            concat!(
                "id,ts,amount,ok,z,note,channel\n",
                "9223372036854775807,2026-03-14T00:00:00.123Z,-1234.56,true,0.5,\"a \"\"b\"\"\n\u{1}é\",web\n",
                ",,,,NaN,\"\",\n"
            )
        );
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a;b", "a,b"]));
        assert_eq!(
            write(SinkFormat::Csv { delimiter: b';' }, vec![("x;y", column)]),
            "\"x;y\"\n\"a;b\"\na,b\n"
        );
    }
}
