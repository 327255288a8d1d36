//! Rows of columnar files: the file's columns cast to the job's types, value by value.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_cast::CastOptions;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use super::{Decoder, HeaderError, detail};
use crate::job::plan::{ColumnType, OnBad, SourceColumn};
use crate::record::{Draft, Epoch, Fault, Origin, Site};

/// Longest text of a fault.
const SHOWN: usize = 64;

/// Checks that a columnar file has every column of its source; others are left unread.
///
/// # Errors
/// The columns that are missing, each with the nearest name the file has.
pub fn bind_schema(columns: &[SourceColumn], schema: &SchemaRef) -> Result<(), HeaderError> {
    let missing: Vec<&SourceColumn> = columns
        .iter()
        .filter(|column| schema.field_with_name(&column.header).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let free = schema.fields().iter().map(|field| field.name().as_str());
    let free: Vec<&str> = free
        .filter(|name| !columns.iter().any(|column| column.header == *name))
        .collect();
    Err(HeaderError::Missing {
        columns: missing.iter().map(|column| column.header.clone()).collect(),
        hints: missing
            .iter()
            .map(|column| {
                crate::job::problems::nearest(&column.header, free.iter().copied())
                    .map(str::to_owned)
            })
            .collect(),
    })
}

impl Decoder {
    /// Turns rows of a columnar file into a draft. A value that its column's type can't hold is a fault of its row, as in
    /// text. `first_row` is the number of the first row in the file; [`bind_schema`] has accepted the file's schema.
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
        for column in &self.columns {
            let read = batch.column_by_name(&column.header);
            let none = || new_null_array(&column.column_type.data_type(), draft.rows);
            let values = read.map_or_else(none, |values| cast(column, values));
            if let Some(read) = read {
                note_faults(column, read, &values, &mut draft.faults);
            }
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

/// Casts to the column's type; what can't be cast is null.
fn cast(column: &SourceColumn, values: &ArrayRef) -> ArrayRef {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let wanted = column.column_type.data_type();
    let mut values = Arc::clone(values);
    // A time without a zone is a local time of the column's zone.
    if let (DataType::Timestamp(_, None), Some(zone)) = (values.data_type(), column.time_zone) {
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.name().into()));
        values = arrow_cast::cast_with_options(&values, &zoned, &options).unwrap_or(values);
    }
    arrow_cast::cast_with_options(&values, &wanted, &options)
        .unwrap_or_else(|_| new_null_array(&wanted, values.len()))
}

fn note_faults(column: &SourceColumn, read: &ArrayRef, values: &ArrayRef, faults: &mut Vec<Fault>) {
    let lost = values.null_count() > read.logical_null_count();
    let absent = column.not_null && values.null_count() > 0;
    if !lost && !absent {
        return;
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(read.as_ref(), &options);
    let nulls = read.logical_nulls();
    for row in (0..values.len()).filter(|row| values.is_null(*row)) {
        let given = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let (reason, text) = if given && column.on_bad == OnBad::Refuse {
            let shown = formatter
                .as_ref()
                .map(|formatter| formatter.value(row).to_string())
                .unwrap_or_default();
            (
                reason(column.column_type),
                detail::shown(shown.as_bytes(), SHOWN),
            )
        } else if column.not_null {
            ("missing_value", String::new())
        } else {
            continue;
        };
        let reason = column
            .reason
            .as_ref()
            .map_or_else(|| Arc::from(reason), Arc::clone);
        faults.push(Fault {
            row,
            site: Site::Column(column.id),
            reason,
            detail: text,
        });
    }
}

/// The default reason of a value that a type can't hold.
fn reason(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Boolean => "bad_boolean",
        ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => "bad_integer",
        ColumnType::Double => "bad_double",
        ColumnType::Decimal(_, _) => "bad_decimal",
        ColumnType::Varchar => "invalid_utf8",
        ColumnType::Date => "bad_date",
        ColumnType::Timestamp => "bad_timestamp",
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Int32Type};
    use arrow_array::{Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::job::plan::Format;

    fn column(id: usize, name: &str, column_type: ColumnType, not_null: bool) -> SourceColumn {
        SourceColumn {
            id,
            name: name.to_owned(),
            header: name.to_owned(),
            column_type,
            not_null,
            formats: Vec::new(),
            time_zone: None,
            unit: None,
            nulls: None,
            on_bad: OnBad::Refuse,
            reason: None,
            lenient: false,
        }
    }

    #[test]
    fn values_that_fit_are_cast_and_others_refuse_their_row() {
        let columns = [
            column(0, "quantity", ColumnType::Int, true),
            column(1, "price", ColumnType::Decimal(12, 2), false),
        ];
        let quantity: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(1 << 40), None]));
        let price: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), Some(2.5), None]));
        let extra: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let batch = RecordBatch::try_from_iter([
            ("price", price),
            ("extra", extra),
            ("quantity", quantity),
        ])
        .unwrap();
        bind_schema(&columns, &batch.schema()).unwrap();
        let mut decoder = Decoder::new(&columns, &Format::Parquet, 2);
        let draft = decoder.decode_table(batch, Arc::new(PathBuf::from("x.parquet")), 10, 0, 1);
        assert_eq!(
            draft.columns[0]
                .as_ref()
                .unwrap()
                .as_primitive::<Int32Type>()
                .value(0),
            3
        );
        assert_eq!(
            draft.columns[1]
                .as_ref()
                .unwrap()
                .as_primitive::<Decimal128Type>()
                .value(0),
            10
        );
        let faults: Vec<(usize, &str)> = draft
            .faults
            .iter()
            .map(|fault| (fault.row, &*fault.reason))
            .collect();
        assert_eq!(faults, [(1, "bad_integer"), (2, "missing_value")]);
    }

    #[test]
    fn a_missing_column_is_named_with_its_nearest() {
        let schema = Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new(
            "prise",
            DataType::Int64,
            true,
        )]));
        let error =
            bind_schema(&[column(0, "price", ColumnType::BigInt, false)], &schema).unwrap_err();
        assert!(error.to_string().contains("\"prise\""), "{error}");
    }
}
