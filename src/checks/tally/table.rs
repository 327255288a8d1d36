//! The table `windows.NAME`: its columns, and its rows while they are gathered.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::judge::{Number, Row};
use crate::checks::layout::Layout;
use crate::checks::value::{Segment, Value, array};
use crate::job::plan::timestamp_type;
use crate::job::tables::{FINAL, SIGN};

/// The columns of `windows.NAME`: segment, `window_start`, `window_end`, statistics, values of checks; `final` and `sign` where it
/// tells changes.
pub fn window_schema(layout: &Layout) -> SchemaRef {
    let segment = layout
        .segment
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
    let times =
        ["window_start", "window_end"].map(|name| Field::new(name, timestamp_type(), false));
    let statistics = layout
        .statistics
        .iter()
        .map(|statistic| Field::new(&statistic.name, statistic.data_type.clone(), true));
    let values = layout
        .checks
        .iter()
        .filter_map(|check| check.value.as_ref())
        .map(|name| Field::new(name, DataType::Float64, true));
    let signs = [
        Field::new(FINAL, DataType::Boolean, false),
        Field::new(SIGN, DataType::Int32, false),
    ];
    let signs = signs.into_iter().filter(|_| layout.tells_changes);
    Arc::new(Schema::new(
        segment
            .chain(times)
            .chain(statistics)
            .chain(values)
            .chain(signs)
            .collect::<Vec<_>>(),
    ))
}

/// Columns of `windows.NAME` while they grow.
#[derive(Debug)]
pub(super) struct WindowTable {
    segment: Vec<Vec<Value>>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    statistics: Vec<Vec<Value>>,
    values: Vec<Vec<Option<f64>>>,
    /// Whether each is final, and its sign; of tables that tell changes.
    signs: Option<(Vec<bool>, Vec<i32>)>,
}

impl WindowTable {
    pub(super) fn new(layout: &Layout) -> Self {
        let values = layout
            .checks
            .iter()
            .filter(|check| check.value.is_some())
            .count();
        Self {
            segment: vec![Vec::new(); layout.segment.len()],
            starts: Vec::new(),
            ends: Vec::new(),
            statistics: vec![Vec::new(); layout.statistics.len()],
            values: vec![Vec::new(); values],
            signs: layout.tells_changes.then(Default::default),
        }
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn push(
        &mut self,
        segment: &Segment,
        (start, end): (i64, i64),
        row: Row,
        (is_final, sign): (bool, i32),
    ) {
        let Row { numbers, values } = row;
        if let Some((finals, signs)) = &mut self.signs {
            finals.push(is_final);
            signs.push(sign);
        }
        self.segment
            .iter_mut()
            .zip(&segment.0)
            .for_each(|(column, value)| column.push(value.clone()));
        self.starts.push(start);
        self.ends.push(end);
        for (column, number) in self.statistics.iter_mut().zip(numbers) {
            column.push(match number {
                Number::Exact(value) => value,
                Number::Overflow(_) => Value::Null,
            });
        }
        self.values
            .iter_mut()
            .zip(values)
            .for_each(|(column, value)| column.push(value));
    }

    pub(super) fn finish(self, schema: &SchemaRef, layout: &Layout) -> RecordBatch {
        let time = |times: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let segment = self
            .segment
            .iter()
            .zip(&layout.segment)
            .map(|(values, column)| array(values.iter(), &column.data_type));
        let statistics = self
            .statistics
            .iter()
            .zip(&layout.statistics)
            .map(|(values, statistic)| array(values.iter(), &statistic.data_type));
        let values = self
            .values
            .into_iter()
            .map(|values| -> ArrayRef { Arc::new(Float64Array::from(values)) });
        let signs = self.signs.into_iter();
        let signs = signs.flat_map(|(finals, signs)| -> [ArrayRef; 2] {
            [
                Arc::new(BooleanArray::from(finals)),
                Arc::new(Int32Array::from(signs)),
            ]
        });
        let columns = segment
            .chain([time(self.starts), time(self.ends)])
            .chain(statistics)
            .chain(values)
            .chain(signs)
            .collect();
        RecordBatch::try_new(SchemaRef::clone(schema), columns)
            .expect("the columns were built for this schema")
    }
}
