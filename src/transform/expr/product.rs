//! Recognises exact products of columns in a physical expression, so that [`Product`] can work them out in one pass.

use arrow_schema::{DataType, Schema};
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column};

use crate::transform::money::{Product, digits};

/// The product that an expression is, where it is one: `a * b`, or a cast of it to a decimal that needs no rounding, with
/// integer or decimal columns, or casts of them that keep every value as it is.
pub(super) fn product(expression: &dyn PhysicalExpr, schema: &Schema) -> Option<Product> {
    let data_type = expression.data_type(schema).ok()?;
    let DataType::Decimal128(precision, scale) = data_type else {
        return None;
    };
    let binary = match expression.downcast_ref::<CastExpr>() {
        Some(cast) => cast.expr().downcast_ref::<BinaryExpr>()?,
        None => expression.downcast_ref::<BinaryExpr>()?,
    };
    if binary.op() != &Operator::Multiply {
        return None;
    }
    let DataType::Decimal128(..) = binary.data_type(schema).ok()? else {
        return None;
    };
    let factors = [
        factor(binary.left().as_ref(), schema)?,
        factor(binary.right().as_ref(), schema)?,
    ];
    Product::new(
        factors,
        factors.map(|factor| schema.field(factor).data_type()),
        precision,
        scale,
    )
}

/// The column that a factor is.
fn factor(expression: &dyn PhysicalExpr, schema: &Schema) -> Option<usize> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return digits(schema.field(column.index()).data_type()).map(|_| column.index());
    }
    let cast = expression.downcast_ref::<CastExpr>()?;
    let column = cast.expr().downcast_ref::<Column>()?;
    let (from_digits, from_scale) = digits(schema.field(column.index()).data_type())?;
    let (to_digits, to_scale) = digits(cast.cast_type())?;
    let is_decimal = matches!(cast.cast_type(), DataType::Decimal128(..));
    (is_decimal && from_scale == to_scale && from_digits <= to_digits).then_some(column.index())
}
