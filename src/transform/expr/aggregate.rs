//! Aggregate calls of `[windows.NAME.statistics]`: `count(*)`, `sum(x)` and their like, with a filter.
//!
//! They are parsed by the same parser and mapped onto our own statistics; DataFusion's aggregates are not used, since
//! ours are kept as differences and have to be exact.

use arrow_schema::DataType;
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr as Sql, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::words::type_name;
use super::{Aggregate, Compiler, Expression, ExpressionError};
use crate::checks::sketch::MILLION;
use crate::job::plan::AggregateFunction;

/// Largest precision of a decimal.
const MOST_DIGITS: u8 = 38;

/// Digits that `avg` adds to the scale.
const AVG_DIGITS: i8 = 4;

const KNOWN: [(&str, AggregateFunction); 8] = [
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("var_samp", AggregateFunction::VarSamp),
    ("stddev_samp", AggregateFunction::StddevSamp),
    ("approx_quantile", AggregateFunction::Quantile(0)),
];

/// Aggregates of SQL that have another name here or none.
const OTHERS: [(&str, Option<&str>); 12] = [
    ("mean", Some("avg")),
    ("var", Some("var_samp")),
    ("variance", Some("var_samp")),
    ("stddev", Some("stddev_samp")),
    ("var_pop", Some("var_samp")),
    ("stddev_pop", Some("stddev_samp")),
    ("median", Some("approx_quantile")),
    ("approx_percentile_cont", Some("approx_quantile")),
    ("approx_distinct", Some("count(distinct x)")),
    ("array_agg", None),
    ("string_agg", None),
    ("bool_and", None),
];

/// Whether a name is that of an aggregate.
pub(super) fn is_aggregate(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name) || OTHERS.iter().any(|(other, _)| *other == name)
}

/// Compiles a parsed aggregate call.
pub(super) fn compile(
    compiler: &Compiler,
    sql: Sql,
    text: &str,
) -> Result<Aggregate, ExpressionError> {
    let Sql::Function(call) = sql else {
        return Err(error(
            &format!("{:?} is no aggregate call", text.trim()),
            "arithmetic over aggregates belongs into the output columns",
        ));
    };
    let name = call.name.to_string().to_lowercase();
    let mut function = known(&name)?;
    if call.over.is_some() || call.null_treatment.is_some() || !call.within_group.is_empty() {
        return Err(error(
            &format!("{name} takes a filter only"),
            "write it as in sum(x) filter (where y)",
        ));
    }
    let argument = argument(&name, &mut function, &call)?;
    let filter = call
        .filter
        .map(|filter| boolean(compiler, *filter))
        .transpose()?;
    let argument = match argument {
        Some(sql) => {
            let text = sql.to_string();
            Some(compiler.plan(sql, &text, None)?)
        }
        None if function == AggregateFunction::Count => None,
        None => {
            return Err(error(
                &format!("{name}(*) has no meaning"),
                &format!("name a column: {name}(x)"),
            ));
        }
    };
    let data_type = result_type(function, &name, argument.as_ref())?;
    Ok(Aggregate {
        function,
        argument,
        filter,
        data_type,
    })
}

fn known(name: &str) -> Result<AggregateFunction, ExpressionError> {
    if let Some((_, function)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return Ok(*function);
    }
    let near = match OTHERS.iter().find(|(other, _)| *other == name) {
        Some((_, near)) => near.map(ToOwned::to_owned),
        None => super::names::nearest(name, KNOWN.iter().map(|(known, _)| (*known).to_owned())),
    };
    Err(ExpressionError {
        message: format!("{name:?} is not one of the aggregates"),
        expected: Some(KNOWN.map(|(known, _)| known).join(", ")),
        hint: near.map(|near| format!("did you mean {near:?}?")),
    })
}

/// The argument; `None` for a star.
fn argument(
    name: &str,
    function: &mut AggregateFunction,
    call: &Function,
) -> Result<Option<Sql>, ExpressionError> {
    let is_quantile = matches!(function, AggregateFunction::Quantile(_));
    let wrong = || {
        if is_quantile {
            error(
                &format!("{name} takes a value and a number from 0 to 1"),
                &format!("write {name}(x, 0.95)"),
            )
        } else {
            error(
                &format!("{name} takes one argument"),
                &format!("write {name}(x)"),
            )
        }
    };
    let FunctionArguments::List(list) = &call.args else {
        return Err(wrong());
    };
    let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    if is_distinct && *function == AggregateFunction::Count {
        *function = AggregateFunction::CountDistinct;
    } else if list.duplicate_treatment.is_some() {
        return Err(error(
            &format!("{name} takes no distinct"),
            "count(distinct x) tells how many different values there are",
        ));
    }
    if !list.clauses.is_empty() {
        return Err(error(
            &format!("{name} takes no order"),
            "count rows or values, with a filter where needed",
        ));
    }
    match list.args.as_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(share)),
        ] if is_quantile => {
            let millionths = millionths(&share.to_string()).ok_or_else(wrong)?;
            *function = AggregateFunction::Quantile(millionths);
            Ok(Some(sql.clone()))
        }
        _ if is_quantile => Err(wrong()),
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok(None),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(sql))] => Ok(Some(sql.clone())),
        _ => Err(wrong()),
    }
}

/// A share as millionths: a decimal from 0 to 1 with six places at most.
fn millionths(text: &str) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if places.len() > 6 || !is_digits(whole) || !is_digits(places) || text.is_empty() {
        return None;
    }
    let number: u32 = format!("{whole}{places:0<6}").parse().ok()?;
    (number <= MILLION).then_some(number)
}

fn boolean(compiler: &Compiler, sql: Sql) -> Result<Expression, ExpressionError> {
    let text = sql.to_string();
    let filter = compiler.plan(sql, &text, None)?;
    if filter.data_type() == &DataType::Boolean {
        return Ok(filter);
    }
    Err(error(
        &format!(
            "the filter {text} is of type {}",
            type_name(filter.data_type())
        ),
        "a filter is true or false",
    ))
}

fn result_type(
    function: AggregateFunction,
    name: &str,
    argument: Option<&Expression>,
) -> Result<DataType, ExpressionError> {
    let Some(argument) = argument else {
        return Ok(DataType::Int64);
    };
    let found = argument.data_type();
    let scale = match found {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    match (function, scale) {
        (AggregateFunction::Count | AggregateFunction::CountDistinct, _) => Ok(DataType::Int64),
        (AggregateFunction::Quantile(_), Some(_)) => Ok(DataType::Float64),
        (AggregateFunction::Quantile(_), None) if found == &DataType::Float64 => {
            Ok(DataType::Float64)
        }
        (AggregateFunction::Min | AggregateFunction::Max, _) => Ok(found.clone()),
        (AggregateFunction::Sum, Some(scale)) => Ok(DataType::Decimal128(MOST_DIGITS, scale)),
        (AggregateFunction::Avg, Some(scale)) => Ok(DataType::Decimal128(
            MOST_DIGITS,
            (scale + AVG_DIGITS).min(37),
        )),
        (AggregateFunction::VarSamp | AggregateFunction::StddevSamp, Some(_)) => {
            Ok(DataType::Float64)
        }
        (_, None) => {
            let message = format!("{name} of a {} is not exact", type_name(found));
            let hint = format!(
                "cast it: {name}(cast({} as decimal(18,2)))",
                argument.text()
            );
            if found == &DataType::Float64 {
                return Err(ExpressionError {
                    message,
                    expected: Some("an integer or a decimal".to_owned()),
                    hint: Some(hint),
                });
            }
            let message = format!("{name} takes numbers, not {}", type_name(found));
            Err(ExpressionError {
                message,
                expected: Some("an integer or a decimal".to_owned()),
                hint: None,
            })
        }
    }
}

fn error(message: &str, hint: &str) -> ExpressionError {
    ExpressionError {
        message: message.to_owned(),
        expected: None,
        hint: Some(hint.to_owned()),
    }
}
