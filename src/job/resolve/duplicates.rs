//! Duplicates: what makes a row one that repeats another.

use super::report::{Report, Wrong};
use super::scope::Scope;
use super::words::check_name;
use crate::job::plan::{DuplicatesPlan, Keep};
use crate::job::problems::quoted;
use crate::job::spec::{self, DuplicatesSpec, Spec};

/// Resolves `[duplicates]`, in file order; faulty ones are left out. The first `source_columns` of the scope are the sources'.
pub(super) fn resolve_duplicates(
    report: &mut Report<'_>,
    spec: &Spec,
    scope: &Scope,
    source_columns: usize,
) -> Vec<DuplicatesPlan> {
    spec.duplicates
        .iter()
        .filter_map(|(name, duplicates)| {
            check_own_name(report, name, spec);
            resolve_one(report, name, duplicates, scope, source_columns)
        })
        .collect()
}

fn resolve_one(
    report: &mut Report<'_>,
    name: &str,
    spec: &DuplicatesSpec,
    scope: &Scope,
    source_columns: usize,
) -> Option<DuplicatesPlan> {
    let (columns, nulls_are_equal) = match (&spec.key, spec.by) {
        (Some(key), None) => {
            let path = ["duplicates", name, "key"];
            if key.is_empty() {
                let wrong = Wrong::new("the key has no columns, so that all rows would be equal")
                    .expected("at least one column, such as [\"order_id\", \"line\"]")
                    .hint("`by = \"row\"` takes every column of the sources");
                report.add(&path, wrong);
                return None;
            }
            let columns = scope.distinct_columns(report, &path, key);
            if columns.len() < key.len() {
                return None;
            }
            (columns, false)
        }
        (None, Some(spec::DuplicatesBy::Row)) => ((0..source_columns).collect(), true),
        _ => {
            report.add(
                &["duplicates", name],
                Wrong::new("it does not say in exactly one way what is equal")
                    .expected("one of key, by"),
            );
            return None;
        }
    };
    Some(DuplicatesPlan {
        name: name.to_owned(),
        columns,
        nulls_are_equal,
        keep: match spec.keep {
            spec::Keep::First => Keep::First,
            spec::Keep::Report => Keep::Report,
        },
    })
}

/// Rows dropped by a rule and by this are counted by name in one table.
fn check_own_name(report: &mut Report<'_>, name: &str, spec: &Spec) {
    let path = ["duplicates", name];
    if report.check_name(&path, check_name(name)) && spec.rules.get(name).is_some() {
        let wrong = Wrong::new(format!(
            "a rule is called {}, too, and dropped rows are counted by name",
            quoted(name)
        ));
        report.add_name(&path, wrong.expected("a name of its own"));
    }
}
