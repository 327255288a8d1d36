//! SQL expressions over rows: derived columns, rules, look-up keys, output columns.

pub mod derive;
pub mod expr;
mod money;
pub mod text;

pub use derive::derive;
pub use expr::{Aggregate, Compiler, Evaluated, Expression, ExpressionError};
pub use money::Rounding;
