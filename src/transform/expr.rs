//! SQL expressions bound to columns by id.
//!
//! A [`Compiler`] knows the columns of a job and turns text into an [`Expression`], which is evaluated over whole Arrow
//! batches by any number of threads. Parser, types, coercion and kernels are DataFusion's; names, wall time, failing
//! rows, dictionaries and exact money are ours.
//!
//! What differs from plain SQL:
//!
//! - Identifiers keep their case, quoted or not; a bare name must be unique among the columns.
//! - Numbers with a point are decimals: `1.21` is `decimal(3,2)`, never a double.
//! - A timestamp is a moment, in microseconds UTC. `ts at time zone 'Europe/Madrid'` is the same moment as seen there, so
//!   that `cast(ts at time zone 'Europe/Madrid' as date)` is the local day; `local_date(ts, 'Europe/Madrid')` is short
//!   for it.
//! - `now()` is the wall time given to [`Expression::evaluate`]; functions such as `random()` are refused.
//! - Whole numbers do not wrap: a sum or product that does not fit makes the row fail.
//! - `div_round`, `round_half_even` and `round_half_up` round decimals exactly.

mod aggregate;
mod bind;
mod calendar;
mod compile;
mod evaluate;
mod functions;
mod names;
mod product;
mod rounding;
pub(crate) mod words;

use std::fmt;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

pub use compile::Compiler;
use evaluate::DistinctCache;

use super::money::Product;
use crate::job::plan::AggregateFunction;

/// A scalar expression over columns by id.
///
/// Cost: cloning copies a pointer. An expression over one column keeps its results for the last few dictionaries.
#[derive(Clone)]
pub struct Expression {
    inner: Arc<Inner>,
}

/// What an expression was compiled to.
struct Inner {
    text: String,
    data_type: DataType,
    nullable: bool,
    inputs: Vec<usize>,
    column: Option<usize>,
    uses_now: bool,
    /// The inputs, all nullable, then the wall time where it is used.
    schema: SchemaRef,
    physical: Arc<dyn PhysicalExpr>,
    /// What is worked out instead of `physical`, where it is an exact product of columns.
    product: Option<Product>,
    distinct: DistinctCache,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression")
            .field("text", &self.inner.text)
            .field("data_type", &self.inner.data_type)
            .field("inputs", &self.inner.inputs)
            .finish_non_exhaustive()
    }
}

/// An aggregate call.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is computed.
    pub function: AggregateFunction,
    /// Over what; `None` for `count(*)`.
    pub argument: Option<Expression>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expression>,
    /// Type of the result, as in [`crate::job::plan::Statistic::data_type`].
    pub data_type: DataType,
}

/// What an expression gave for a batch.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// One value a row; varchar may come as `Dictionary(Int32, Utf8)`, whose values need not be distinct.
    pub array: ArrayRef,
    /// Rows whose evaluation failed (their value is null) and why, for people; ascending.
    pub failed: Vec<(usize, String)>,
}

impl Expression {
    /// Logical type of the result; never a dictionary.
    pub fn data_type(&self) -> &DataType {
        &self.inner.data_type
    }

    /// Whether the result can be null.
    pub fn nullable(&self) -> bool {
        self.inner.nullable
    }

    /// Ids of the columns it needs, ascending.
    pub fn inputs(&self) -> &[usize] {
        &self.inner.inputs
    }

    /// The column it is, where it is nothing but a column.
    pub fn column(&self) -> Option<usize> {
        self.inner.column
    }

    /// Whether it asks for the wall time.
    pub fn uses_now(&self) -> bool {
        self.inner.uses_now
    }

    /// The text as the job has it.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Evaluates over `rows` rows; `columns[id]` must be there for every id of [`Self::inputs`] (one that is not counts as
    /// null in every row). `now` is the epoch's bound wall time in microseconds since 1970.
    ///
    /// Panics: where a column is of another type than the compiler was told, or has another number of rows.
    pub fn evaluate(&self, columns: &[Option<ArrayRef>], rows: usize, now: i64) -> Evaluated {
        evaluate::evaluate(&self.inner, columns, rows, now)
    }
}

/// Why an expression can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected, where that can be said.
    pub expected: Option<String>,
    /// How to fix it, such as the nearest known name.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests;
