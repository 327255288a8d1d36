//! From parsed SQL to SQL that the planner can take: names become columns, `now()` becomes a column, what an expression
//! over a row can't do is refused.
//!
//! Done on the syntax tree, before planning, since only there is it known how a name was written.
//!
//! - Names are replaced by the display names of [`Names`].
//! - `now()`, `current_timestamp` and their like become the column [`NOW`]: planning would otherwise fold them, and
//!   a replay would see another time than the epoch's bound one. `current_date` is the day of it in UTC.
//! - `local_date(ts)` and `local_date(ts, 'zone')` become `cast(ts at time zone 'zone' as date)`.
//! - Sub-queries, window functions, aggregates, functions that give something else each time, and unknown functions
//!   are errors.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono_tz::Tz;
use datafusion_expr::Volatility;
use datafusion_sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Query, Value, VisitMut, VisitorMut,
};

use super::ExpressionError;
use super::functions::{self, Functions};
use super::names::{Names, nearest};

/// Name of the column that stands for the epoch's bound wall time.
pub(super) const NOW: &str = "now()";

/// An expression whose names are bound.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) sql: Expr,
    /// Ids of the columns it names.
    pub(super) columns: BTreeSet<usize>,
    /// Whether it asks for the wall time.
    pub(super) uses_now: bool,
}

/// Binds the names of an expression.
pub(super) fn bind(mut sql: Expr, names: &Names, time_zone: Tz) -> Result<Bound, ExpressionError> {
    let mut binder = Binder {
        names,
        functions: functions::all(),
        time_zone,
        columns: BTreeSet::new(),
        uses_now: false,
    };
    match sql.visit(&mut binder) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(Bound {
            sql,
            columns: binder.columns,
            uses_now: binder.uses_now,
        }),
    }
}

struct Binder<'a> {
    names: &'a Names,
    functions: &'static Functions,
    time_zone: Tz,
    columns: BTreeSet<usize>,
    uses_now: bool,
}

impl VisitorMut for Binder<'_> {
    type Break = Box<ExpressionError>;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Self::Break> {
        refuse(
            "a sub-query can't stand in an expression over a row",
            "a look-up brings columns of other tables",
        )
    }

    fn pre_visit_expr(&mut self, sql: &mut Expr) -> ControlFlow<Self::Break> {
        match sql {
            Expr::Function(function) => self.check_function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => refuse(
                "a sub-query can't stand in an expression over a row",
                "a look-up brings columns of other tables",
            ),
            Expr::Lambda(_) => refuse("a lambda can't stand here", "write the expression out"),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                refuse("there are no parameters here", "write the value out")
            }
            Expr::CompoundFieldAccess { .. }
            | Expr::JsonAccess { .. }
            | Expr::Array(_)
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Struct { .. }
            | Expr::Tuple(_) => refuse(
                "columns hold single values; lists, maps and structs can't stand here",
                "name the columns one by one",
            ),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => refuse(
                "any and all go over lists, and columns hold single values",
                "write x in (1, 2, 3)",
            ),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                refuse("* stands for no column here", "name the columns")
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, sql: &mut Expr) -> ControlFlow<Self::Break> {
        let replaced = match sql {
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::AtTimeZone { time_zone, .. } => match check_zone(time_zone) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(error) => Err(error),
            },
            Expr::Function(function) => match self.replace_function(function) {
                Ok(None) => return ControlFlow::Continue(()),
                Ok(Some(replaced)) => Ok(replaced),
                Err(error) => Err(error),
            },
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let parts = [Some(expr), substring_from.as_mut(), substring_for.as_mut()];
                Ok(substr(
                    parts.into_iter().flatten().map(|part| (**part).clone()),
                ))
            }
            _ => return ControlFlow::Continue(()),
        };
        match replaced {
            Ok(replaced) => {
                *sql = replaced;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Binder<'_> {
    fn column(&mut self, parts: &[Ident]) -> Result<Expr, ExpressionError> {
        let written: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        let quoted = parts
            .last()
            .is_some_and(|part| part.quote_style == Some('"'));
        let id = self.names.resolve(&written, quoted)?;
        self.columns.insert(id);
        Ok(Expr::Identifier(Ident::with_quote(
            '"',
            self.names.column(id).display.clone(),
        )))
    }

    fn check_function(&self, function: &Function) -> ControlFlow<Box<ExpressionError>> {
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() {
            return refuse(
                &format!("{name}(…) over (…) needs other rows"),
                "[windows] holds statistics over rows",
            );
        }
        if let FunctionArguments::List(list) = &function.args
            && list
                .args
                .iter()
                .any(|argument| !matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(_))))
            && !super::aggregate::is_aggregate(&name)
        {
            return refuse(
                &format!("{name} takes values only, by position"),
                "name the columns, one after the other",
            );
        }
        if matches!(name.as_str(), "current_time" | "localtime") {
            return refuse(
                &format!("{name} is a time without a day, which no column can have"),
                "take now(), or extract(hour from now())",
            );
        }
        if is_time(&name) || name == "local_date" {
            return ControlFlow::Continue(());
        }
        if let Some(found) = self.functions.get(&name) {
            if found.signature().volatility == Volatility::Volatile {
                return ControlFlow::Break(Box::new(ExpressionError {
                    message: format!(
                        "function {name} gives something else each time, so a replay would differ"
                    ),
                    expected: Some(
                        "functions of their arguments; now() is the epoch's bound wall time"
                            .to_owned(),
                    ),
                    hint: None,
                }));
            }
            return ControlFlow::Continue(());
        }
        if super::aggregate::is_aggregate(&name) {
            return refuse(
                &format!("{name} is an aggregate and needs other rows"),
                "[windows.NAME.statistics] holds aggregates",
            );
        }
        let near = nearest(&name, self.functions.names());
        ControlFlow::Break(Box::new(ExpressionError {
            message: format!("function {name:?} is not known"),
            expected: Some(
                "a scalar function, such as upper, coalesce, round or date_trunc".to_owned(),
            ),
            hint: near.map(|near| format!("did you mean {near:?}?")),
        }))
    }

    /// What stands for the functions of time.
    fn replace_function(&mut self, function: &Function) -> Result<Option<Expr>, ExpressionError> {
        let name = function.name.to_string().to_lowercase();
        let arguments = arguments(function);
        if name == "local_date" {
            let (timestamp, zone) = match arguments.as_slice() {
                [timestamp] => (
                    *timestamp,
                    Expr::value(Value::SingleQuotedString(self.time_zone.name().to_owned())),
                ),
                [timestamp, zone] => (*timestamp, (*zone).clone()),
                _ => {
                    return Err(wrong_arguments(
                        "local_date",
                        "local_date(ts) or local_date(ts, 'Europe/Madrid')",
                    ));
                }
            };
            check_zone(&zone)?;
            let local = Expr::AtTimeZone {
                timestamp: Box::new(timestamp.clone()),
                time_zone: Box::new(zone),
            };
            return Ok(Some(cast_to_date(local)));
        }
        if !is_time(&name) {
            return Ok(None);
        }
        if !arguments.is_empty() {
            return Err(wrong_arguments(&name, &format!("{name}()")));
        }
        self.uses_now = true;
        let now = Expr::Identifier(Ident::with_quote('"', NOW));
        Ok(Some(if matches!(name.as_str(), "current_date" | "today") {
            cast_to_date(now)
        } else {
            now
        }))
    }
}

/// `substring(x from a for b)` as a plain call, the only form that DataFusion's planner takes as it is built here.
fn substr(arguments: impl Iterator<Item = Expr>) -> Expr {
    let args = arguments.map(|sql| FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("substr")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn is_time(name: &str) -> bool {
    matches!(
        name,
        "now" | "current_timestamp" | "localtimestamp" | "current_date" | "today"
    )
}

fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Some(sql),
            _ => None,
        })
        .collect()
}

fn cast_to_date(sql: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(sql),
        data_type: DataType::Date,
        array: false,
        format: None,
    }
}

fn check_zone(zone: &Expr) -> Result<(), ExpressionError> {
    let expected =
        Some("a zone of the IANA database in single quotes, such as 'Europe/Madrid'".to_owned());
    let Expr::Value(value) = zone else {
        return Err(ExpressionError {
            message: "the time zone has to be a text constant".to_owned(),
            expected,
            hint: None,
        });
    };
    let Value::SingleQuotedString(name) = &value.value else {
        return Err(ExpressionError {
            message: "the time zone has to be a text constant".to_owned(),
            expected,
            hint: None,
        });
    };
    if name.parse::<Tz>().is_ok() {
        return Ok(());
    }
    let near = nearest(
        name,
        chrono_tz::TZ_VARIANTS
            .iter()
            .map(|zone| zone.name().to_owned()),
    );
    let hint = near.map(|near| format!("did you mean '{near}'?"));
    Err(ExpressionError {
        message: format!("'{name}' is not a known time zone"),
        expected,
        hint,
    })
}

fn wrong_arguments(name: &str, expected: &str) -> ExpressionError {
    ExpressionError {
        message: format!("wrong arguments of {name}"),
        expected: Some(expected.to_owned()),
        hint: None,
    }
}

fn refuse(message: &str, hint: &str) -> ControlFlow<Box<ExpressionError>> {
    ControlFlow::Break(Box::new(ExpressionError {
        message: message.to_owned(),
        expected: None,
        hint: Some(hint.to_owned()),
    }))
}
