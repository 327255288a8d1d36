//! Rows that windows should have, as look-ups list them or earlier weeks had them.

use arrow_schema::DataType;

use super::checks::{Context, find_lookup, is_whole};
use super::report::{Report, Wrong};
use super::variance::{check_weeks, read_weeks};
use super::windows::Window;
use crate::job::plan::{ExpectedRows, ListedRows, LookupPlan, timestamp_type};
use crate::job::problems::quoted;
use crate::job::spec::{ExpectedFromSpec, ExpectedLikeSpec};

/// What windows a check expects rows of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation<'a> {
    /// The check.
    pub(super) name: &'a str,
    pub(super) window: &'a Window,
    pub(super) context: Context<'a>,
}

impl Expectation<'_> {
    /// Reads `expected_from`.
    pub(super) fn listed(
        self,
        report: &mut Report<'_>,
        spec: &ExpectedFromSpec,
    ) -> Option<ExpectedRows> {
        let path = ["checks", self.name, "completeness", "expected_from"];
        let at = |option: &'static str| [path.as_slice(), &[option]].concat();
        let (lookup, plan) = find_lookup(report, &at("lookup"), &spec.lookup, self.context)?;
        let rows = match &spec.rows {
            None => None,
            Some(rows) => {
                let position = find_reference(report, &at("rows"), plan, rows)?;
                if !is_count(&plan.reference[position].column_type.data_type()) {
                    let wrong = Wrong::new(format!("column {} is no number of rows", quoted(rows)));
                    report.add(&at("rows"), wrong.expected("a column of whole numbers"));
                    return None;
                }
                Some(position)
            }
        };
        let time = match &spec.at {
            None => None,
            Some(time) => {
                let position = find_reference(report, &at("at"), plan, time)?;
                let data_type = plan.reference[position].column_type.data_type();
                if data_type != timestamp_type() && data_type != DataType::Date32 {
                    let wrong = Wrong::new(format!("column {} is no time", quoted(time)));
                    report.add(
                        &at("at"),
                        wrong.expected("a column of type date or timestamp"),
                    );
                    return None;
                }
                Some(position)
            }
        };
        let per = &self.window.plan.as_ref()?.per;
        let mut segment = Vec::with_capacity(per.len());
        for id in per {
            segment.push(self.counterpart(report, &path, plan, *id)?);
        }
        Some(ExpectedRows::Listed(ListedRows {
            lookup,
            segment,
            rows,
            at: time,
        }))
    }

    /// The column of the look-up that has the values of a column of the segment.
    fn counterpart(
        self,
        report: &mut Report<'_>,
        path: &[&str],
        plan: &LookupPlan,
        id: usize,
    ) -> Option<usize> {
        let column = &self.context.scope.columns()[id];
        let own = id.checked_sub(plan.first_column);
        let own = own.filter(|position| *position < plan.reference.len());
        let compared = || {
            let mut on = plan.on.iter();
            on.find(|(_, key)| key.column() == Some(id))
                .map(|(position, _)| *position)
        };
        let found = own.or_else(compared).filter(|position| {
            plan.reference[*position].column_type.data_type() == column.data_type
        });
        if found.is_none() {
            let wrong = Wrong::new(format!(
                "look-up {} has no column for {}, which makes the segments of window {}",
                quoted(&plan.name),
                quoted(&column.name),
                quoted(&self.window.plan.as_ref()?.name)
            ));
            report.add(
                path,
                wrong
                    .expected("columns of the look-up, or columns of its type that its `on` compares with one")
                    .hint("per = [\"stores.store\"], or on = { store = \"sales.store\" } and per = [\"sales.store\"]"),
            );
        }
        found
    }

    /// Reads `expected_like`.
    pub(super) fn alike(
        self,
        report: &mut Report<'_>,
        spec: ExpectedLikeSpec,
    ) -> Option<ExpectedRows> {
        let path = ["checks", self.name, "completeness", "expected_like"];
        let at = |option: &'static str| [path.as_slice(), &[option]].concat();
        let weeks = read_weeks(report, &at("weeks"), spec.weeks);
        let plan = self.window.plan.as_ref()?;
        check_weeks(report, &at("same"), spec.same, plan.every)?;
        if self.context.is_continuous && plan.correct_within.is_some_and(|within| within > 0) {
            let wrong = Wrong::new(format!(
                "windows of {} are corrected, and which of them should have rows would be, too",
                quoted(&plan.name)
            ));
            report.add(
                &path,
                wrong.hint("a window without `correct_within`, or `expected_from`"),
            );
            return None;
        }
        Some(ExpectedRows::Alike(weeks?, spec.same))
    }
}

/// Whether values are whole numbers.
fn is_count(data_type: &DataType) -> bool {
    let is_number = matches!(
        data_type,
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..)
    );
    is_number && is_whole(data_type)
}

/// The position of a reference column.
fn find_reference(
    report: &mut Report<'_>,
    path: &[&str],
    plan: &LookupPlan,
    written: &str,
) -> Option<usize> {
    let names = || plan.reference.iter().map(|column| column.name.as_str());
    let found = names().position(|name| name == written);
    if found.is_none() {
        let wrong = Wrong::new(format!(
            "{} is no column of look-up {}",
            quoted(written),
            quoted(&plan.name)
        ));
        let expected = names().collect::<Vec<_>>().join(", ");
        report.add(
            path,
            wrong.expected(expected).did_you_mean(written, names()),
        );
    }
    found
}
