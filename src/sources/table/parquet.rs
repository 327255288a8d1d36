//! Parquet: row groups in stretches of rows.
//!
//! A row group is not the unit of work: many writers make one of a whole file. A reader of a stretch passes over the pages
//! before it by their headers, without unpacking them; only the dictionaries are read again.
//!
//! INT96 times are read twice, as nanoseconds and as milliseconds. Nanoseconds in 64 bits wrap around before 1677 and after
//! 2262, milliseconds of all days that INT96 can name do not; both together give the exact time.

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;

use super::{At, Part, Seen, TABLE_ROWS, TableError, stretches};
use crate::decode;
use crate::job::plan::SourceColumn;

/// Reads the footer.
pub(super) fn look(file: &File, seen: Seen) -> Result<(SchemaRef, Vec<Part>), TableError> {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let mut parts = Vec::new();
    let mut first_row = 0;
    for (group, found) in metadata.metadata().row_groups().iter().enumerate() {
        let rows = u64::try_from(found.num_rows()).unwrap_or(0);
        let bytes = u64::try_from(found.total_byte_size()).unwrap_or(0);
        let row_bytes = bytes / rows.max(1);
        parts.extend(stretches(rows, row_bytes).map(|(skip, rows)| Part {
            first_row: first_row + skip,
            rows,
            row_bytes,
            at: At::Parquet { group, skip },
            seen,
        }));
        first_row += rows;
    }
    Ok((Arc::clone(metadata.schema()), parts))
}

/// The batches of a stretch.
pub(super) struct Batches {
    reader: ParquetRecordBatchReader,
    /// The INT96 columns again, in milliseconds.
    millis: Option<ParquetRecordBatchReader>,
    /// Pieces of a batch that was cut, last first.
    waiting: Vec<RecordBatch>,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches")
            .field(
                "schema",
                &arrow_array::RecordBatchReader::schema(&self.reader),
            )
            .finish_non_exhaustive()
    }
}

impl Batches {
    /// The columns that `columns` name, of `rows` rows after the first `skip` of a row group.
    pub(super) fn open(
        file: &File,
        group: usize,
        skip: u64,
        rows: u64,
        columns: &[SourceColumn],
    ) -> Result<Self, TableError> {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
        if group >= metadata.metadata().num_row_groups() {
            return Err(TableError::Changed);
        }
        let schema = Arc::clone(metadata.schema());
        let wanted: Vec<usize> = (0..schema.fields().len())
            .filter(|root| {
                let name = Some(schema.field(*root).name().as_str());
                columns
                    .iter()
                    .any(|column| decode::root_of(&schema, &column.header) == name)
            })
            .collect();
        let read = |metadata: ArrowReaderMetadata, roots: &[usize]| -> Result<_, TableError> {
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata);
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
            let reader = builder
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_offset(whole(skip))
                .with_limit(whole(rows))
                .with_batch_size(TABLE_ROWS)
                .build()?;
            Ok(reader)
        };
        let old_times = old_times(&metadata, &wanted);
        let millis = if old_times.is_empty() {
            None
        } else {
            let fields = schema.fields().iter().enumerate().map(|(root, field)| {
                if old_times.contains(&root) {
                    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
                    Arc::new(Field::clone(field).with_data_type(millis))
                } else {
                    Arc::clone(field)
                }
            });
            let schema =
                Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
            let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
            let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
            Some(read(metadata, &old_times)?)
        };
        Ok(Self {
            reader: read(metadata, &wanted)?,
            millis,
            waiting: Vec::new(),
        })
    }

    /// The next batch. Rows whose INT96 times need another type come in batches of their own.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, TableError> {
        if let Some(batch) = self.waiting.pop() {
            return Ok(Some(batch));
        }
        let Some(batch) = self.reader.next().transpose()? else {
            return Ok(None);
        };
        let Some(millis) = &mut self.millis else {
            return Ok(Some(batch));
        };
        let millis = millis.next().transpose()?;
        let Some(millis) = millis.filter(|millis| millis.num_rows() == batch.num_rows()) else {
            return Err(::parquet::errors::ParquetError::General(
                "columns of one row group have different numbers of rows".to_owned(),
            )
            .into());
        };
        self.waiting = with_exact_times(&batch, &millis)?;
        self.waiting.reverse();
        Ok(self.waiting.pop())
    }
}

fn whole(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// The wanted top columns that are INT96.
fn old_times(metadata: &ArrowReaderMetadata, wanted: &[usize]) -> Vec<usize> {
    let descriptor = metadata.parquet_schema();
    let leaves = descriptor.columns().iter().enumerate();
    leaves
        .filter(|(_, leaf)| leaf.physical_type() == Type::INT96 && leaf.path().parts().len() == 1)
        .map(|(leaf, _)| descriptor.get_column_root_idx(leaf))
        .filter(|root| wanted.contains(root))
        .collect()
}

/// How a time that INT96 names can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exact {
    /// As nanoseconds, as read.
    Nanos,
    /// As microseconds: it is beyond what 64 bits of nanoseconds hold.
    Micros(i64),
    /// As text: it is beyond, and finer than microseconds or beyond what those hold, too.
    Text,
}

fn exact(nanos: i64, millis: i64) -> Exact {
    // 1. What is beyond whole milliseconds, which wrapping does not change.
    let rest = nanos.wrapping_sub(millis.wrapping_mul(1_000_000));
    let unwrapped = millis.checked_mul(1_000_000);
    if unwrapped.and_then(|time| time.checked_add(rest)) == Some(nanos) {
        return Exact::Nanos;
    }
    // 2. A time that did wrap.
    let micros = millis.checked_mul(1000);
    match micros.and_then(|time| time.checked_add(rest / 1000)) {
        Some(micros) if rest % 1000 == 0 => Exact::Micros(micros),
        _ => Exact::Text,
    }
}

/// The batch with its INT96 columns told exactly, in as many pieces as one column has stretches of different types.
fn with_exact_times(
    batch: &RecordBatch,
    millis: &RecordBatch,
) -> Result<Vec<RecordBatch>, TableError> {
    let mut columns: Vec<(usize, Vec<Exact>)> = Vec::new();
    for (field, values) in millis.schema().fields().iter().zip(millis.columns()) {
        let place = batch.schema().index_of(field.name())?;
        let nanos = batch
            .column(place)
            .as_primitive_opt::<TimestampNanosecondType>();
        let millis = values.as_primitive_opt::<TimestampMillisecondType>();
        let (Some(nanos), Some(millis)) = (nanos, millis) else {
            continue;
        };
        let all = nanos.values().iter().zip(millis.values());
        let all: Vec<Exact> = all
            .enumerate()
            .map(|(row, (nanos_of, millis_of))| {
                if nanos.is_null(row) {
                    Exact::Nanos
                } else {
                    exact(*nanos_of, *millis_of)
                }
            })
            .collect();
        if all.iter().any(|exact| *exact != Exact::Nanos) {
            columns.push((place, all));
        }
    }
    if columns.is_empty() {
        return Ok(vec![batch.clone()]);
    }
    let kind = std::mem::discriminant::<Exact>;
    let differs = |row: &usize| {
        columns
            .iter()
            .any(|(_, all)| kind(&all[*row]) != kind(&all[*row - 1]))
    };
    let mut borders: Vec<usize> = (1..batch.num_rows()).filter(differs).collect();
    borders.push(batch.num_rows());
    let mut pieces = Vec::with_capacity(borders.len());
    let mut start = 0;
    for end in borders {
        let piece = batch.slice(start, end - start);
        let mut arrays: Vec<ArrayRef> = piece.columns().to_vec();
        let mut fields: Vec<Arc<Field>> = piece.schema().fields().to_vec();
        for (place, all) in &columns {
            let millis = millis.column_by_name(fields[*place].name());
            let millis =
                millis.and_then(|values| values.as_primitive_opt::<TimestampMillisecondType>());
            let Some(millis) = millis else { continue };
            let nanos = arrays[*place].as_primitive::<TimestampNanosecondType>();
            let values = retold(&all[start..end], nanos, &millis.slice(start, end - start));
            fields[*place] =
                Arc::new(Field::clone(&fields[*place]).with_data_type(values.data_type().clone()));
            arrays[*place] = values;
        }
        pieces.push(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?);
        start = end;
    }
    Ok(pieces)
}

/// The values of a stretch that are all told in one way.
fn retold(
    all: &[Exact],
    nanos: &TimestampNanosecondArray,
    millis: &TimestampMillisecondArray,
) -> ArrayRef {
    match all.first() {
        None | Some(Exact::Nanos) => Arc::new(nanos.clone()),
        Some(Exact::Micros(_)) => {
            let micros = all.iter().map(|exact| match exact {
                Exact::Micros(micros) => *micros,
                Exact::Nanos | Exact::Text => unreachable!("stretches are of one kind"),
            });
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros))
        }
        Some(Exact::Text) => {
            let texts = nanos
                .values()
                .iter()
                .zip(millis.values())
                .map(|(nanos, millis)| {
                    let rest = nanos.wrapping_sub(millis.wrapping_mul(1_000_000));
                    let second = chrono::DateTime::from_timestamp(millis.div_euclid(1000), 0);
                    let fraction = millis.rem_euclid(1000) * 1_000_000 + rest;
                    match second {
                        Some(second) => {
                            format!("{}.{fraction:09}", second.format("%Y-%m-%dT%H:%M:%S"))
                        }
                        None => format!("{millis} ms since 1970"),
                    }
                });
            Arc::new(StringArray::from_iter_values(texts))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_finest_unit_that_holds_it() {
        let wrapped = |millis: i64, rest: i64| millis.wrapping_mul(1_000_000).wrapping_add(rest);
        for (millis, rest, expected) in [
            (0, 0, Exact::Nanos),
            (-1, 1, Exact::Nanos),
            (1_773_482_400_250, 999_999, Exact::Nanos),
            // 9999-12-31 and 1600-01-01.
            (
                253_402_214_400_000,
                1000,
                Exact::Micros(253_402_214_400_000_001),
            ),
            (
                -11_676_096_000_000,
                0,
                Exact::Micros(-11_676_096_000_000_000),
            ),
            (253_402_214_400_000, 1, Exact::Text),
            // Year 73,038: 125 times 2^64 nanoseconds, which are whole microseconds again.
            (
                2_305_843_009_213_693,
                952_000,
                Exact::Micros(2_305_843_009_213_693_952),
            ),
            (i64::MAX / 1000 + 1, 0, Exact::Text),
        ] {
            assert_eq!(
                exact(wrapped(millis, rest), millis),
                expected,
                "{millis} {rest}"
            );
        }
    }
}
