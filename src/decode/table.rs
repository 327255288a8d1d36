//! Rows of columnar files: the file's columns cast to the job's types, value by value.

mod bind;
mod raw;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::CastOptions;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};

pub use bind::{Bound, bind_schema};
pub(crate) use bind::{root_of, values_at};
pub(super) use raw::json;

use super::Decoder;
use super::column::Collect;
use super::json::WRONG_TYPE;
use super::kernel::Adjusted;
use crate::job::plan::{ColumnType, SourceColumn};
use crate::record::{Draft, Epoch, Fault, Origin};

impl Decoder {
    /// Turns rows of a columnar file into a draft. A value that its column's type can't hold is a fault of its row, as in
    /// text: no fraction is cut off a whole number, and no digit off a decimal or a time. Only where the column says how to
    /// `round`, digits beyond a decimal's scale are rounded; a double counts as its shortest decimal text. `first_row` is the number of the first row in the file;
    /// [`bind_schema`] has accepted the file's schema.
    pub fn decode_table(
        &mut self,
        batch: RecordBatch,
        file: Arc<PathBuf>,
        first_row: u64,
        source: usize,
        epoch: Epoch,
    ) -> Draft {
        let mut draft = Draft {
            rows: batch.num_rows(),
            epoch,
            source,
            ..Draft::default()
        };
        draft.columns.resize(self.column_count, None);
        for (column, collector) in self.columns.iter().zip(&mut self.collectors) {
            let values = match values_at(&batch, &column.header) {
                Some(read) => {
                    let (values, adjusted) =
                        values(column, &read, collector.as_mut(), &mut draft.faults);
                    super::note_adjusted(column.id, adjusted, &mut draft.adjusted);
                    values
                }
                None => absent(draft.rows, collector.as_mut(), &mut draft.faults),
            };
            draft.columns[column.id] = Some(values);
        }
        draft.origin = Some(Origin::Table {
            file,
            first_row,
            batch,
        });
        draft
    }
}

/// The values of a column: by a cast where its type holds every value of the file's, else one by one from their text,
/// so that nothing is cut off or rounded that would be a fault in a text file.
pub(super) fn values(
    column: &SourceColumn,
    read: &ArrayRef,
    collector: &mut dyn Collect,
    faults: &mut Vec<Fault>,
) -> (ArrayRef, Adjusted) {
    if let Some(values) = widened(column, read) {
        if column.not_null && values.null_count() > 0 {
            // The judge of absent values is the collector's; what it collects here is of no use.
            let nulls = (0..values.len()).filter(|row| values.is_null(*row));
            nulls.for_each(|row| collector.absent(row, false, faults));
            collector.finish();
        }
        return (values, Adjusted::default());
    }
    if is_text(read.data_type()) {
        let values = by_text(column, read, collector, faults);
        return (values, collector.adjusted());
    }
    // Numbers and times of the file have their own meaning: patterns are of texts, units of numbers.
    let plain = SourceColumn {
        formats: Vec::new(),
        unit: column.unit.filter(|_| read.data_type().is_numeric()),
        notation: column.notation.of_values(),
        ..column.clone()
    };
    let mut collector = super::collector(&plain, &[]);
    let values = by_text(column, read, collector.as_mut(), faults);
    (values, collector.adjusted())
}

pub(super) fn absent(
    rows: usize,
    collector: &mut dyn Collect,
    faults: &mut Vec<Fault>,
) -> ArrayRef {
    (0..rows).for_each(|row| collector.absent(row, false, faults));
    collector.finish()
}

/// The cast values, where none can be lost.
fn widened(column: &SourceColumn, read: &ArrayRef) -> Option<ArrayRef> {
    if !holds_all(column, read.data_type()) {
        return None;
    }
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let wanted = column.column_type.data_type();
    let values = arrow_cast::cast_with_options(read, &wanted, &options).ok()?;
    // Files may hold decimals of more digits than they say.
    if let ColumnType::Decimal(precision, _) = column.column_type {
        let decimals = values.as_primitive_opt::<Decimal128Type>()?;
        decimals.validate_decimal_precision(precision).ok()?;
    }
    // Times far from ours may not fit into microseconds, and doubles may be no numbers.
    let nothing_lost = values.null_count() == read.logical_null_count();
    let finite = values
        .as_primitive_opt::<Float64Type>()
        .is_none_or(|values| values.iter().flatten().all(f64::is_finite));
    (nothing_lost && finite && in_range(column, &values)).then_some(values)
}

/// Whether all dates or timestamps are in the column's range.
fn in_range(column: &SourceColumn, values: &ArrayRef) -> bool {
    let Some(range) = column.notation.range else {
        return true;
    };
    if let Some(times) = values.as_primitive_opt::<TimestampMicrosecondType>() {
        return times.iter().flatten().all(|time| range.holds(time));
    }
    values
        .as_primitive_opt::<Date32Type>()
        .is_none_or(|days| days.iter().flatten().all(|day| range.holds(day.into())))
}

/// Whether every value of the file's type is one of the column's.
fn holds_all(column: &SourceColumn, from: &DataType) -> bool {
    use DataType as D;
    // Whole digits of a type of whole numbers.
    let digits = |from: &DataType| match from {
        D::Int8 | D::UInt8 => Some(3),
        D::Int16 | D::UInt16 => Some(5),
        D::Int32 | D::UInt32 => Some(10),
        D::Int64 => Some(19),
        _ => None,
    };
    if column.nulls.is_some() || column.lenient {
        return false;
    }
    match column.column_type {
        ColumnType::Boolean => matches!(from, D::Boolean),
        ColumnType::SmallInt => matches!(from, D::Int8 | D::UInt8 | D::Int16),
        ColumnType::Int => {
            matches!(from, D::Int32) || digits(from).is_some_and(|digits| digits < 10)
        }
        ColumnType::BigInt => digits(from).is_some(),
        ColumnType::Double => {
            matches!(from, D::Float64 | D::Float32 | D::Float16)
                || digits(from).is_some_and(|digits| digits <= 10)
        }
        ColumnType::Decimal(precision, scale) => {
            let whole = i16::from(precision) - i16::from(scale);
            match from {
                D::Decimal32(of, fraction)
                | D::Decimal64(of, fraction)
                | D::Decimal128(of, fraction)
                | D::Decimal256(of, fraction) => {
                    *fraction <= scale && i16::from(*of) - i16::from(*fraction) <= whole
                }
                _ => digits(from).is_some_and(|digits| digits <= whole),
            }
        }
        ColumnType::Varchar => match from {
            D::Dictionary(_, values) => matches!(**values, D::Utf8 | D::LargeUtf8 | D::Utf8View),
            _ => matches!(from, D::Utf8 | D::LargeUtf8 | D::Utf8View),
        },
        ColumnType::Date => matches!(from, D::Date32),
        ColumnType::Timestamp => match from {
            D::Timestamp(TimeUnit::Nanosecond, _) => false,
            D::Timestamp(_, zone) => zone.is_some() || column.time_zone.is_none(),
            _ => false,
        },
    }
}

fn is_text(data_type: &DataType) -> bool {
    use DataType as D;
    match data_type {
        D::Dictionary(_, values) => is_text(values),
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Binary | D::LargeBinary | D::BinaryView => true,
        _ => false,
    }
}

/// The slow way: every value as its text, judged as the text of a file is.
fn by_text(
    column: &SourceColumn,
    read: &ArrayRef,
    collector: &mut dyn Collect,
    faults: &mut Vec<Fault>,
) -> ArrayRef {
    let rows = read.len();
    collector.begin(rows);
    let nulls = read.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let bytes = is_text(read.data_type()).then(|| arrow_cast::cast(read, &DataType::Binary));
    if let Some(Ok(bytes)) = bytes {
        let bytes = bytes.as_binary::<i32>();
        for row in 0..rows {
            if is_null(row) {
                collector.absent(row, false, faults);
            } else {
                collector.text(row, bytes.value(row), false, faults);
            }
        }
        return collector.finish();
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(read.as_ref(), &options);
    let doubles = doubles(column.column_type, read);
    for row in 0..rows {
        if is_null(row) {
            collector.absent(row, false, faults);
            continue;
        }
        let text = match (&doubles, &formatter) {
            (Some(doubles), _) => double(doubles, row),
            (None, Ok(formatter)) => formatter.value(row).to_string(),
            (None, Err(_)) => read.data_type().to_string(),
        };
        match fitted(column.column_type, read.data_type(), &text) {
            Some(text) => collector.text(row, text.as_bytes(), false, faults),
            None => collector.misfit(row, WRONG_TYPE, text.as_bytes(), faults),
        }
    }
    collector.finish()
}

/// The text of a value as the column's type reads it, `None` where the two types have nothing in common.
fn fitted<'a>(wanted: ColumnType, from: &DataType, text: &'a str) -> Option<Cow<'a, str>> {
    use DataType as D;
    match (wanted, from) {
        (_, from) if from.is_nested() => None,
        (ColumnType::Boolean, from) => matches!(from, D::Boolean).then_some(Cow::Borrowed(text)),
        (ColumnType::Varchar, _) => Some(Cow::Borrowed(text)),
        (_, D::Boolean) => None,
        (ColumnType::Timestamp, D::Date32 | D::Date64) => {
            let day = text.get(..10).unwrap_or(text);
            Some(Cow::Owned(format!("{day}T00:00:00")))
        }
        // The time of day of a date must be midnight.
        (ColumnType::Date, D::Timestamp(..) | D::Date64) => {
            let at_midnight = |day: &&str| {
                let time = &text[day.len()..];
                matches!(time, "" | "T00:00:00" | "T00:00:00Z")
            };
            Some(Cow::Borrowed(
                text.get(..10).filter(at_midnight).unwrap_or(text),
            ))
        }
        _ => Some(Cow::Borrowed(text)),
    }
}

/// Floats that are read as numbers or times, the narrowest ones widened; `None` where values are shown as they are.
fn doubles(wanted: ColumnType, read: &ArrayRef) -> Option<ArrayRef> {
    if matches!(wanted, ColumnType::Boolean | ColumnType::Varchar) {
        return None;
    }
    match read.data_type() {
        DataType::Float32 | DataType::Float64 => Some(Arc::clone(read)),
        DataType::Float16 => arrow_cast::cast(read, &DataType::Float64).ok(),
        _ => None,
    }
}

/// The shortest digits that give a float back; no exponent, and whole numbers without a dot.
fn double(doubles: &ArrayRef, row: usize) -> String {
    // Of a narrower float the digits of its own width are meant: 0.1 stays 0.1.
    match doubles.as_primitive_opt::<Float32Type>() {
        Some(values) => values.value(row).to_string(),
        None => doubles.as_primitive::<Float64Type>().value(row).to_string(),
    }
}

#[cfg(test)]
mod tests;
