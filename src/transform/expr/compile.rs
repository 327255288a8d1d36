//! From text to a physical expression.
//!
//! 1. Parse with DataFusion's parser; the text has to be one expression and nothing else.
//! 2. Bind the names ([`super::bind`]) and make a schema of the columns that are named.
//! 3. Plan, bring every timestamp to microseconds UTC, coerce types, cast to the wanted type, simplify, and put our own
//!    functions in the place of slow ones ([`super::calendar`]).
//! 4. Make the physical expression over the columns that are left, with arithmetic that errs on overflow.
//!
//! Planning knows which columns are not null, evaluation takes every column as nullable: a faulty value is null in a
//! draft whatever its column says.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use arrow_cast::can_cast_types;
use arrow_schema::{DataType, Field, TimeUnit};
use chrono_tz::Tz;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{Cast, TryCast};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable, Operator};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column as PhysicalColumn, NegativeExpr, lit,
};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::Expr as Sql;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Token;

use super::bind::{Bound, NOW, bind};
use super::calendar::quicken;
use super::evaluate::DistinctCache;
use super::names::Names;
use super::product::product;
use super::words::{self, type_name};
use super::{Aggregate, Expression, ExpressionError, Inner, aggregate, functions};
use crate::job::plan::{Column, timestamp_type};

/// Binds expressions to a list of columns.
///
/// Cost: an expression takes well under a millisecond; the first one of a process also makes the table of functions.
#[derive(Debug)]
pub struct Compiler {
    names: Names,
    time_zone: Tz,
}

static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| Arc::new(functions::options()));

impl Compiler {
    /// A compiler over `columns`, whose ids are their places in the slice. `time_zone` is the business time zone, which
    /// `local_date(ts)` takes where it is given none.
    pub fn new(columns: &[Column], time_zone: Tz) -> Self {
        Self {
            names: Names::new(columns),
            time_zone,
        }
    }

    /// Parses, binds, types and simplifies a scalar expression.
    pub fn compile(&self, text: &str) -> Result<Expression, ExpressionError> {
        self.plan(parse(text)?, text, None)
    }

    /// The same, cast to `data_type`; an error where no such cast exists.
    pub fn compile_as(
        &self,
        text: &str,
        data_type: &DataType,
    ) -> Result<Expression, ExpressionError> {
        self.plan(parse(text)?, text, Some(data_type))
    }

    /// Parses and binds one aggregate call with an optional filter.
    pub fn compile_aggregate(&self, text: &str) -> Result<Aggregate, ExpressionError> {
        aggregate::compile(self, parse(text)?, text)
    }

    /// Plans a parsed expression.
    pub(super) fn plan(
        &self,
        sql: Sql,
        text: &str,
        wanted: Option<&DataType>,
    ) -> Result<Expression, ExpressionError> {
        let Bound {
            sql,
            columns,
            uses_now,
        } = bind(sql, &self.names, self.time_zone)?;
        let schema = Arc::new(self.schema(&columns, uses_now, false)?);
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_schema(Arc::clone(&schema))
                .with_config_options(Arc::clone(&OPTIONS))
                .build(),
        );
        let typed = typed(sql, &schema, &simplifier).map_err(|error| words::planning(&error))?;
        let found = typed
            .get_type(&schema)
            .map_err(|error| words::planning(&error))?;
        let data_type = wanted.cloned().map_or_else(|| column_type(&found), Ok)?;
        let cast = if found == data_type {
            typed
        } else if can_cast_types(&found, &data_type) {
            Expr::Cast(Cast::new(Box::new(typed), data_type.clone()))
        } else {
            return Err(ExpressionError {
                message: format!(
                    "{} can't be cast to {}",
                    type_name(&found),
                    type_name(&data_type)
                ),
                expected: Some(type_name(&data_type)),
                hint: None,
            });
        };
        let simple = simplifier
            .simplify(cast)
            .map_err(|error| words::planning(&error))?;
        let nullable = simple
            .nullable(schema.as_ref())
            .map_err(|error| words::planning(&error))?;
        let simple = quicken(simple, &schema).map_err(|error| words::planning(&error))?;
        let left = simple.column_refs();
        let is_left = |name: &str| left.iter().any(|column| column.name == name);
        let inputs: BTreeSet<usize> = columns
            .into_iter()
            .filter(|id| is_left(&self.names.column(*id).display))
            .collect();
        let uses_now = uses_now && is_left(NOW);
        let physical_schema = self.schema(&inputs, uses_now, true)?;
        let physical =
            physical(&simple, &physical_schema).map_err(|error| words::planning(&error))?;
        let only = inputs
            .first()
            .copied()
            .filter(|_| inputs.len() == 1 && !uses_now);
        let column = only.filter(|_| physical.is::<PhysicalColumn>());
        Ok(Expression {
            inner: Arc::new(Inner {
                text: text.trim().to_owned(),
                data_type,
                nullable,
                inputs: inputs.into_iter().collect(),
                column,
                uses_now,
                schema: Arc::clone(physical_schema.inner()),
                product: product(physical.as_ref(), physical_schema.inner()),
                physical,
                distinct: DistinctCache::default(),
            }),
        })
    }

    /// The columns as the planner sees them, in ascending order of ids, and the wall time last.
    fn schema(
        &self,
        columns: &BTreeSet<usize>,
        uses_now: bool,
        all_nullable: bool,
    ) -> Result<DFSchema, ExpressionError> {
        let mut fields = Vec::with_capacity(columns.len() + 1);
        for id in columns {
            let column = self.names.column(*id);
            fields.push(Field::new(
                &column.display,
                column.data_type.clone(),
                all_nullable || column.nullable,
            ));
        }
        if uses_now {
            fields.push(Field::new(NOW, timestamp_type(), false));
        }
        DFSchema::from_unqualified_fields(fields.into(), HashMap::new())
            .map_err(|error| words::planning(&error))
    }
}

fn parse(text: &str) -> Result<Sql, ExpressionError> {
    let mut parser = Parser::new(&GenericDialect)
        .try_with_sql(text)
        .map_err(|error| words::parsing(&error))?;
    let sql = parser
        .parse_expr()
        .map_err(|error| words::parsing(&error))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(sql);
    }
    Err(ExpressionError {
        message: format!(
            "{:?} can't follow a whole expression (column {})",
            rest.token.to_string(),
            rest.span.start.column
        ),
        expected: Some("one expression".to_owned()),
        hint: None,
    })
}

/// Plans and types; every timestamp that a cast makes is in microseconds, and in UTC where no zone is named.
fn typed(
    sql: Sql,
    schema: &DFSchema,
    simplifier: &ExprSimplifier,
) -> Result<Expr, DataFusionError> {
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_map_string_types_to_utf8view(false);
    let to_expr = SqlToRel::new_with_options(functions::all(), options);
    let planned = to_expr.sql_to_expr(sql, schema, &mut PlannerContext::new())?;
    let in_microseconds = planned
        .transform_up(|expr| {
            Ok(match expr {
                Expr::Cast(cast) => match in_microseconds(cast.field.data_type()) {
                    Some(data_type) => {
                        Transformed::yes(Expr::Cast(Cast::new(cast.expr, data_type)))
                    }
                    None => Transformed::no(Expr::Cast(cast)),
                },
                Expr::TryCast(cast) => match in_microseconds(cast.field.data_type()) {
                    Some(data_type) => {
                        Transformed::yes(Expr::TryCast(TryCast::new(cast.expr, data_type)))
                    }
                    None => Transformed::no(Expr::TryCast(cast)),
                },
                other => Transformed::no(other),
            })
        })
        .data()?;
    simplifier.coerce(in_microseconds, schema)
}

fn in_microseconds(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map_or_else(|| Arc::from("UTC"), Arc::clone);
            Some(DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
        }
        _ => None,
    }
}

/// Makes the physical expression; sums, differences and products of whole numbers err where DataFusion's would wrap.
fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(Arc::clone(&OPTIONS));
    let wrapping = create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default())?;
    wrapping
        .transform_up(|node| {
            let checked = if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
                let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
                BinaryExpr::new(left, *binary.op(), right)
            } else if let Some(negative) = node.downcast_ref::<NegativeExpr>()
                && let data_type = negative.arg().data_type(schema.as_arrow())?
                && data_type.is_signed_integer()
            {
                let zero = ScalarValue::new_zero(&data_type)?;
                BinaryExpr::new(lit(zero), Operator::Minus, Arc::clone(negative.arg()))
            } else {
                return Ok(Transformed::no(node));
            };
            let checked: Arc<dyn PhysicalExpr> = Arc::new(checked.with_fail_on_overflow(true));
            Ok(Transformed::yes(checked))
        })
        .data()
}

/// The type a column has that holds values of `data_type`.
fn column_type(data_type: &DataType) -> Result<DataType, ExpressionError> {
    let data_type = match data_type {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float64
        | DataType::Utf8
        | DataType::Date32 => data_type.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Dictionary(_, values) => return column_type(values),
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => timestamp_type(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Decimal256(..) => {
            return Err(ExpressionError {
                message: "decimals have at most 38 digits".to_owned(),
                expected: Some("decimal(p,s) with p from 1 to 38".to_owned()),
                hint: None,
            });
        }
        DataType::Null => {
            return Err(ExpressionError {
                message: "the value is always null and has no type".to_owned(),
                expected: None,
                hint: Some("say the type, such as cast(null as varchar)".to_owned()),
            });
        }
        other => {
            return Err(ExpressionError {
                message: format!(
                    "the value is of type {}, which no column can have",
                    type_name(other)
                ),
                expected: Some(
                    "boolean, smallint, int, bigint, double, decimal, varchar, date or timestamp"
                        .to_owned(),
                ),
                hint: Some("cast it to one of these".to_owned()),
            });
        }
    };
    Ok(data_type)
}
