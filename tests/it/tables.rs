//! What a job wrote, read back by the `parquet` crate alone: rows as maps from column to cell.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A value, whatever the width it is stored in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    /// Integers, and microseconds of timestamps, and days of dates.
    Whole(i128),
    /// Units of 10^-scale, and the scale.
    Decimal(i128, i8),
    Real(f64),
    Text(String),
}

impl Cell {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A number of any kind as a double; `None` for null.
    pub(crate) fn as_real(&self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Real(value) => Some(*value),
            Self::Whole(value) => Some(super::oracle::real(*value)),
            Self::Decimal(units, scale) => {
                Some(super::oracle::real(*units) / 10_f64.powi(i32::from(*scale)))
            }
            other => panic!("{other:?} is no number"),
        }
    }
}

/// A row by column name.
pub(crate) type Row = BTreeMap<String, Cell>;

/// All rows of the Parquet files below a folder, in no particular order; values in `name=value` folders are columns, too. A
/// folder that is not there has no rows.
pub(crate) fn read(folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in visible_files(folder) {
        assert_eq!(
            file.extension().and_then(|end| end.to_str()),
            Some("parquet"),
            "{}",
            file.display()
        );
        let in_path: Row = file
            .strip_prefix(folder)
            .unwrap()
            .iter()
            .filter_map(|part| part.to_str().unwrap().split_once('='))
            .map(|(name, value)| (name.to_owned(), Cell::text(value)))
            .collect();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap())
            .unwrap()
            .build()
            .unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let mut cells = in_path.clone();
                cells.extend(cells_of(&batch, row));
                rows.push(cells);
            }
        }
    }
    rows
}

/// Files below a folder, by name, without hidden ones and those in hidden folders (`.x`, `_x`).
pub(crate) fn visible_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(['.', '_'])
        {
            continue;
        }
        if path.is_dir() {
            files.extend(visible_files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn cells_of(batch: &RecordBatch, row: usize) -> impl Iterator<Item = (String, Cell)> {
    let schema = batch.schema();
    (0..batch.num_columns())
        .map(move |column| {
            (
                schema.field(column).name().clone(),
                cell(batch.column(column).as_ref(), row),
            )
        })
        .collect::<Vec<_>>()
        .into_iter()
}

pub(crate) fn cell(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Cell::Whole(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Whole(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Whole(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Whole(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Date32 => Cell::Whole(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Cell::Whole(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .into(),
        ),
        DataType::Decimal128(_, scale) => {
            Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Float64 => Cell::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::text(array.as_string_view().value(row)),
        // `raw` may be binary: it holds whatever bytes the record had.
        DataType::Binary => {
            Cell::Text(String::from_utf8_lossy(array.as_binary::<i32>().value(row)).into_owned())
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            cell(
                dictionary.values().as_ref(),
                dictionary.normalized_keys()[row],
            )
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len())
                .map(|item| format!("{:?}", cell(items.as_ref(), item)))
                .collect();
            Cell::Text(items.join(" "))
        }
        other => panic!("no test expects a column of {other}"),
    }
}
