//! What statistics read: columns of the batch, or expressions over it that are worked out once a batch.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};

use crate::transform::Expression;

/// A column or an expression. Two statistics over the same one share it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A column by id.
    Column(usize),
    /// Anything else.
    Expression(Expression),
}

impl Input {
    /// An expression, or the column it is.
    pub fn new(expression: &Expression) -> Self {
        expression
            .column()
            .map_or_else(|| Self::Expression(expression.clone()), Self::Column)
    }

    /// Whether both are the same thing over the same columns.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(left), Self::Column(right)) => left == right,
            (Self::Expression(left), Self::Expression(right)) => {
                left.text() == right.text() && left.data_type() == right.data_type()
            }
            _ => false,
        }
    }

    /// Ids of the columns it needs.
    pub(crate) fn columns(&self) -> Cow<'_, [usize]> {
        match self {
            Self::Column(id) => Cow::Owned(vec![*id]),
            Self::Expression(expression) => Cow::Borrowed(expression.inputs()),
        }
    }

    /// Its values for a batch, and the rows for which they could not be worked out.
    pub(crate) fn read(&self, columns: &[Option<ArrayRef>], rows: usize, now: i64) -> Read {
        match self {
            Self::Column(id) => Read {
                array: column(columns, *id),
                failed: Vec::new(),
            },
            Self::Expression(expression) => {
                let evaluated = expression.evaluate(columns, rows, now);
                Read {
                    array: evaluated.array,
                    failed: evaluated.failed.into_iter().map(|(row, _)| row).collect(),
                }
            }
        }
    }
}

/// An input's values for one batch.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) array: ArrayRef,
    pub(crate) failed: Vec<usize>,
}

/// The column with this id.
///
/// Panics where the batch lacks it: the split keeps what [`super::inputs_of`] names.
pub(crate) fn column(columns: &[Option<ArrayRef>], id: usize) -> ArrayRef {
    let found = columns.get(id).and_then(Option::as_ref);
    ArrayRef::clone(
        found.unwrap_or_else(|| {
            panic!("the clean batch lacks column {id}, which a statistic needs")
        }),
    )
}

/// Event times in microseconds; dates are midnights UTC. What stands at null rows is undefined.
pub(crate) fn times(array: &dyn Array) -> Cow<'_, [i64]> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cow::Borrowed(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::Date32 => Cow::Owned(
            array
                .as_primitive::<Date32Type>()
                .values()
                .iter()
                .map(|day| i64::from(*day) * 86_400_000_000)
                .collect(),
        ),
        other => panic!("an event time has type {other}; it is a timestamp or a date"),
    }
}

/// The rows that a statistic takes: those with a value that pass the filter. `None` for all.
pub(crate) fn selection(
    argument: Option<&ArrayRef>,
    filter: Option<&BooleanArray>,
) -> Option<BooleanBuffer> {
    let valued = argument
        .and_then(arrow_array::Array::logical_nulls)
        .filter(|nulls| nulls.null_count() > 0);
    let passing = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    match (valued, passing) {
        (None, None) => None,
        (Some(nulls), None) => Some(nulls.into_inner()),
        (None, Some(passing)) => Some(passing),
        (Some(nulls), Some(passing)) => Some(nulls.inner() & &passing),
    }
}
