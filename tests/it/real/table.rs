//! What a job wrote, column by column: the larger files have too many rows for maps.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::tables::{Cell, cell, visible_files};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// All rows of the Parquet files below a folder; values in `name=value` folders are columns, too.
pub(super) struct Table {
    pub(super) rows: usize,
    columns: BTreeMap<String, Column>,
}

struct Column {
    kind: DataType,
    cells: Vec<Cell>,
}

impl Table {
    /// Reads all columns, or some. Files are read by name; one worker writes rows of one folder in the order in which it read
    /// them.
    pub(super) fn read(folder: &Path, columns: Option<&[&str]>) -> Self {
        let mut table = Self {
            rows: 0,
            columns: BTreeMap::new(),
        };
        for file in visible_files(folder) {
            let in_path: Vec<(String, Cell)> = file
                .strip_prefix(folder)
                .unwrap()
                .iter()
                .filter_map(|part| part.to_str().unwrap().split_once('='))
                .map(|(name, value)| (name.to_owned(), Cell::text(value)))
                .collect();
            let mut reader =
                ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap()).unwrap();
            if let Some(columns) = columns {
                let names = columns.iter().copied();
                let mask = ProjectionMask::columns(reader.parquet_schema(), names);
                reader = reader.with_projection(mask);
            }
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let rows = batch.num_rows();
                for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
                    let cells = (0..rows).map(|row| cell(array.as_ref(), row));
                    table.extend(field.name(), field.data_type(), cells);
                }
                for (name, value) in &in_path {
                    let cells = std::iter::repeat_n(value.clone(), rows);
                    table.extend(name, &DataType::Utf8, cells);
                }
                table.rows += rows;
            }
        }
        table
    }

    fn extend(&mut self, name: &str, kind: &DataType, cells: impl Iterator<Item = Cell>) {
        let column = self
            .columns
            .entry(name.to_owned())
            .or_insert_with(|| Column {
                kind: kind.clone(),
                cells: Vec::new(),
            });
        column.cells.extend(cells);
    }

    fn column(&self, name: &str) -> &Column {
        let there: Vec<&String> = self.columns.keys().collect();
        self.columns
            .get(name)
            .unwrap_or_else(|| panic!("no column {name} beside {there:?}"))
    }

    pub(super) fn cells(&self, name: &str) -> &[Cell] {
        &self.column(name).cells
    }

    /// Whether a column holds text.
    pub(super) fn is_text(&self, name: &str) -> bool {
        let kind = &self.column(name).kind;
        let value = match kind {
            DataType::Dictionary(_, value) => value.as_ref(),
            plain => plain,
        };
        matches!(
            value,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    }

    /// Values as text, one for each value: numbers without zeros at their end. `None` for null.
    pub(super) fn texts(&self, name: &str) -> Vec<Option<String>> {
        self.cells(name).iter().map(text).collect()
    }

    /// Dates and times as they stand on clocks of a zone.
    pub(super) fn times(&self, name: &str, zone: Tz) -> Vec<Option<NaiveDateTime>> {
        let column = self.column(name);
        let (unit, zone) = match column.kind {
            DataType::Date32 => (DAY, Tz::UTC),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (1, zone),
            ref other => panic!("{name} holds {other}, no times"),
        };
        let time = |cell: &Cell| match cell {
            Cell::Null => None,
            Cell::Whole(value) => {
                let micros = i64::try_from(*value).unwrap() * unit;
                let moment = DateTime::from_timestamp_micros(micros).unwrap();
                Some(moment.with_timezone(&zone).naive_local())
            }
            other => panic!("{name} holds {other:?}, no time"),
        };
        column.cells.iter().map(time).collect()
    }

    pub(super) fn days(&self, name: &str) -> Vec<Option<NaiveDate>> {
        let times = self.times(name, Tz::UTC);
        times
            .into_iter()
            .map(|time| time.map(|time| time.date()))
            .collect()
    }

    /// A column added up by periods of another, in order; rows without a time are left out.
    pub(super) fn periods(&self, time: &str, format: &str, of: &str) -> Vec<(String, Exact)> {
        let mut periods: BTreeMap<String, Exact> = BTreeMap::new();
        for (time, cell) in self.times(time, Tz::UTC).into_iter().zip(self.cells(of)) {
            let Some(time) = time else { continue };
            let period = time.format(format).to_string();
            let sum = periods.entry(period).or_insert(Exact::ZERO);
            *sum = sum.plus(Exact::of(cell).unwrap_or(Exact::ZERO));
        }
        periods.into_iter().collect()
    }

    /// How many rows hold `true`.
    pub(super) fn count_true(&self, name: &str) -> usize {
        let cells = self.cells(name).iter();
        cells.filter(|cell| **cell == Cell::Bool(true)).count()
    }

    pub(super) fn nulls(&self, name: &str) -> usize {
        let cells = self.cells(name).iter();
        cells.filter(|cell| **cell == Cell::Null).count()
    }

    /// The column added up, nulls left out.
    pub(super) fn sum(&self, name: &str) -> String {
        let mut sum = Exact::ZERO;
        for cell in self.cells(name) {
            sum = sum.plus(Exact::of(cell).unwrap_or(Exact::ZERO));
        }
        sum.text()
    }

    /// Rows and sum by the text of some columns, joined by ` / `; null is the empty text.
    pub(super) fn groups(&self, by: &[&str], amount: &str) -> BTreeMap<String, (usize, String)> {
        let keys: Vec<Vec<Option<String>>> = by.iter().map(|name| self.texts(name)).collect();
        let mut groups: BTreeMap<String, (usize, Exact)> = BTreeMap::new();
        for (row, cell) in self.cells(amount).iter().enumerate() {
            let key: Vec<&str> = keys
                .iter()
                .map(|column| column[row].as_deref().unwrap_or_default())
                .collect();
            let group = groups.entry(key.join(" / ")).or_insert((0, Exact::ZERO));
            group.0 += 1;
            group.1 = group.1.plus(Exact::of(cell).unwrap_or(Exact::ZERO));
        }
        groups
            .into_iter()
            .map(|(key, (rows, sum))| (key, (rows, sum.text())))
            .collect()
    }
}

fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.clone()),
        Cell::Bool(value) => Some(value.to_string()),
        number => Some(Exact::of(number).unwrap().text()),
    }
}

/// A number as units of 10^-scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact {
    units: i128,
    scale: u32,
}

impl Exact {
    pub(super) const ZERO: Self = Self { units: 0, scale: 0 };

    /// `None` for null.
    pub(super) fn of(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Null => None,
            Cell::Whole(value) => Some(Self {
                units: *value,
                scale: 0,
            }),
            Cell::Decimal(units, scale) => Some(Self {
                units: *units,
                scale: u32::try_from(*scale).unwrap(),
            }),
            other => panic!("{other:?} is no exact number"),
        }
    }

    /// Reads `[-]digits[.digits]`.
    pub(super) fn read(text: &str) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Self {
            units: format!("{whole}{fraction}").parse().unwrap(),
            scale: u32::try_from(fraction.len()).unwrap(),
        }
    }

    /// The same number with a scale that is no smaller.
    fn at(self, scale: u32) -> i128 {
        self.units * 10_i128.pow(scale - self.scale)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self {
            units: self.at(scale) + other.at(scale),
            scale,
        }
    }

    pub(super) fn compare(self, other: Self) -> std::cmp::Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }

    pub(super) fn real(self) -> f64 {
        self.text().parse().unwrap()
    }

    /// The mean of `n` numbers that add up to this positive one, with two decimals; halves go to the even cent.
    pub(super) fn mean(self, n: usize) -> String {
        let of = i128::try_from(n).unwrap() * 10_i128.pow(self.scale);
        let (cents, rest) = (self.units * 100 / of, self.units * 100 % of);
        let up = (2 * rest).cmp(&of).then((cents % 2).cmp(&0)).is_gt();
        let cents = cents + i128::from(up);
        format!("{}.{:02}", cents / 100, cents % 100)
    }

    /// Without zeros at its end.
    pub(super) fn text(self) -> String {
        let scale = usize::try_from(self.scale).unwrap();
        let digits = format!("{:0width$}", self.units.abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.units < 0 { "-" } else { "" };
        if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }
}
