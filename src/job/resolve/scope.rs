//! What expressions and column names of the job file may refer to.
//!
//! A [`Scope`] is a table's columns, by id, and the names of columns that are known to be faulty: a column whose type can't
//! be read is in no table, and whatever refers to it would be faulty, too. Only the first of such faults is told.

use std::collections::HashSet;
use std::ops::ControlFlow;

use arrow_schema::DataType;
use chrono_tz::Tz;
use datafusion_sql::sqlparser::ast::{Expr, visit_expressions};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;

use super::report::{Report, Wrong};
use crate::job::plan::Column;
use crate::job::problems::quoted;
use crate::transform::{Aggregate, Compiler, Expression, ExpressionError};

/// How many known columns a message lists at most; more would bury it.
const MOST_LISTED: usize = 40;

/// Columns by id, and the names of faulty ones.
#[derive(Debug)]
pub(super) struct Scope {
    columns: Vec<Column>,
    faulty: HashSet<String>,
    compiler: Compiler,
}

impl Scope {
    pub(super) fn new(columns: Vec<Column>, faulty: HashSet<String>, time_zone: Tz) -> Self {
        let compiler = Compiler::new(&columns, time_zone);
        Self {
            columns,
            faulty,
            compiler,
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A column as expressions write it, whatever its name.
    pub(super) fn reference(&self, id: usize) -> String {
        let column = &self.columns[id];
        let parts = column.relations.first().into_iter().chain([&column.name]);
        let parts = parts.map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
        parts.collect::<Vec<_>>().join(".")
    }

    /// Compiles an expression of which all faults are told elsewhere.
    pub(super) fn compiled(&self, text: &str) -> Option<Expression> {
        self.compiler.compile(text).ok()
    }

    /// Compiles the expression at `path`.
    pub(super) fn expression(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        text: &str,
    ) -> Option<Expression> {
        let compiled = self.compiler.compile(text);
        self.judge(report, path, text, compiled)
    }

    /// Compiles the expression at `path` and casts it.
    pub(super) fn expression_as(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        text: &str,
        data_type: &DataType,
    ) -> Option<Expression> {
        let compiled = self.compiler.compile_as(text, data_type);
        self.judge(report, path, text, compiled)
    }

    /// Compiles the aggregate at `path`.
    pub(super) fn aggregate(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        text: &str,
    ) -> Option<Aggregate> {
        let compiled = self.compiler.compile_aggregate(text);
        self.judge(report, path, text, compiled)
    }

    /// The id of the column that the text at `path` names, bare or qualified.
    pub(super) fn column(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        written: &str,
    ) -> Option<usize> {
        let bare = written.rsplit_once('.').map_or(written, |(_, name)| name);
        match find_column(&self.columns, written) {
            Err(_) if self.faulty.contains(written) || self.faulty.contains(bare) => None,
            found => report.take(path, found),
        }
    }

    /// The same for several, without repetition.
    pub(super) fn distinct_columns(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        written: &[String],
    ) -> Vec<usize> {
        let mut ids = Vec::with_capacity(written.len());
        for (index, name) in written.iter().enumerate() {
            let index = index.to_string();
            let place = [path, &[index.as_str()]].concat();
            let Some(id) = self.column(report, &place, name) else {
                continue;
            };
            if ids.contains(&id) {
                report.add(
                    &place,
                    Wrong::new(format!("column {} is named twice", quoted(name)))
                        .hint("leave one out"),
                );
            } else {
                ids.push(id);
            }
        }
        ids
    }

    fn judge<T>(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        text: &str,
        compiled: Result<T, ExpressionError>,
    ) -> Option<T> {
        match compiled {
            Err(_) if self.mentions_faulty(text) => None,
            compiled => report.take(path, compiled.map_err(Wrong::from)),
        }
    }

    fn mentions_faulty(&self, text: &str) -> bool {
        !self.faulty.is_empty()
            && references(text)
                .iter()
                .any(|reference| self.faulty.contains(&reference.name))
    }
}

/// A name in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// What it is qualified with.
    pub(super) relation: Option<String>,
    /// The column.
    pub(super) name: String,
}

/// The names in an expression, as written; none where it can't be parsed (its compilation then says why).
pub(super) fn references(text: &str) -> Vec<Reference> {
    let parsed = Parser::new(&GenericDialect)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr());
    let mut found = Vec::new();
    if let Ok(sql) = parsed {
        let walked: ControlFlow<()> = visit_expressions(&sql, |expr| {
            match expr {
                Expr::Identifier(name) => found.push(Reference {
                    relation: None,
                    name: name.value.clone(),
                }),
                Expr::CompoundIdentifier(parts) => {
                    if let [relation, name] = parts.as_slice() {
                        found.push(Reference {
                            relation: Some(relation.value.clone()),
                            name: name.value.clone(),
                        });
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        assert!(walked.is_continue(), "the visitor never stops");
    }
    found
}

/// The id of the column that `written` names: bare where that is unique, else qualified with one of its relations.
pub(super) fn find_column(columns: &[Column], written: &str) -> Result<usize, Wrong> {
    let bare: Vec<usize> = positions(columns, |column| column.name == written);
    match bare.as_slice() {
        [id] => return Ok(*id),
        [] => {}
        several => {
            let choices: Vec<String> = several.iter().map(|id| qualified(&columns[*id])).collect();
            return Err(
                Wrong::new(format!("column name {} is not unique", quoted(written)))
                    .expected(choices.join(", "))
                    .hint(format!("qualify it, such as {}", choices[0])),
            );
        }
    }
    let is_meant = |column: &Column| {
        let relations = column.relations.iter();
        relations.into_iter().any(|relation| {
            written
                .strip_prefix(relation.as_str())
                .and_then(|rest| rest.strip_prefix('.'))
                == Some(&column.name)
        })
    };
    if let Some(id) = columns.iter().position(is_meant) {
        return Ok(id);
    }
    let known: Vec<String> = columns
        .iter()
        .map(|column| {
            if unique(columns, column) {
                column.name.clone()
            } else {
                qualified(column)
            }
        })
        .collect();
    let all: Vec<String> = columns
        .iter()
        .map(|column| column.name.clone())
        .chain(columns.iter().map(qualified))
        .collect();
    let mut listed = known
        .iter()
        .take(MOST_LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if known.len() > MOST_LISTED {
        listed.push_str(", …");
    }
    Err(
        Wrong::new(format!("{} is not a known column", quoted(written)))
            .expected(listed)
            .did_you_mean(written, all.iter().map(String::as_str)),
    )
}

/// The name of a column as an expression can always write it, such as `sales.region_code`.
pub(super) fn qualified(column: &Column) -> String {
    match column.relations.first() {
        Some(relation) => format!("{relation}.{}", column.name),
        None => column.name.clone(),
    }
}

/// A column as SQL, whatever its name.
pub(super) fn sql_name(column: &Column) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    match column.relations.first() {
        Some(relation) => format!("{}.{}", quote(relation), quote(&column.name)),
        None => quote(&column.name),
    }
}

fn unique(columns: &[Column], column: &Column) -> bool {
    columns
        .iter()
        .filter(|other| other.name == column.name)
        .count()
        == 1
}

fn positions(columns: &[Column], is_meant: impl Fn(&Column) -> bool) -> Vec<usize> {
    columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_meant(column))
        .map(|(id, _)| id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(relation: &str, name: &str) -> Column {
        let relations = if relation.is_empty() {
            Vec::new()
        } else {
            vec![relation.to_owned()]
        };
        Column {
            relations,
            name: name.to_owned(),
            data_type: DataType::Utf8,
            nullable: true,
        }
    }

    #[test]
    fn columns_are_found_bare_or_qualified() {
        let columns = [
            column("sales", "code"),
            column("sales", "a.b"),
            column("regions", "code"),
            column("", "amount"),
        ];
        assert_eq!(find_column(&columns, "amount"), Ok(3));
        assert_eq!(find_column(&columns, "regions.code"), Ok(2));
        assert_eq!(find_column(&columns, "a.b"), Ok(1));
        assert_eq!(find_column(&columns, "sales.a.b"), Ok(1));
        let wrong = find_column(&columns, "code").unwrap_err();
        assert_eq!(wrong.what, "column name \"code\" is not unique");
        assert_eq!(wrong.expected.unwrap(), "sales.code, regions.code");
        let wrong = find_column(&columns, "amuont").unwrap_err();
        assert_eq!(wrong.what, "\"amuont\" is not a known column");
        assert_eq!(
            wrong.expected.unwrap(),
            "sales.code, a.b, regions.code, amount"
        );
        assert_eq!(wrong.hint.unwrap(), "did you mean \"amount\"?");
        assert!(find_column(&[], "x").is_err());
    }

    #[test]
    fn references_are_names_and_not_types_functions_or_texts() {
        let names: Vec<String> = references(
            "cast(sales.ts as date) = date and upper(\"a b\") <> 'region' or x in (1, y)",
        )
        .into_iter()
        .map(|reference| {
            reference
                .relation
                .map_or(String::new(), |relation| relation + ".")
                + &reference.name
        })
        .collect();
        assert_eq!(names, ["sales.ts", "date", "a b", "x", "y"]);
        assert!(references("((").is_empty());
        assert!(references("").is_empty());
    }

    #[test]
    fn any_name_can_be_written_as_sql() {
        assert_eq!(
            sql_name(&column("sales", "a \"b\"")),
            "\"sales\".\"a \"\"b\"\"\""
        );
        assert_eq!(sql_name(&column("", "x")), "\"x\"");
    }
}
