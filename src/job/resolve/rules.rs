//! Rules: conditions on every row, judged after everything else is known of it.

use arrow_schema::DataType;

use super::report::{Report, Wrong};
use super::scope::Scope;
use super::words::{check_name, check_reason};
use crate::job::plan::{Rule, Then};
use crate::job::problems::quoted;
use crate::job::spec::{self, Named, RuleSpec};

/// Resolves `[rules]`, in file order; faulty ones are left out.
pub(super) fn resolve_rules(
    report: &mut Report<'_>,
    specs: &Named<RuleSpec>,
    scope: &Scope,
) -> Vec<Rule> {
    specs
        .iter()
        .filter_map(|(name, spec)| resolve_rule(report, name, spec, scope))
        .collect()
}

fn resolve_rule(
    report: &mut Report<'_>,
    name: &str,
    spec: &RuleSpec,
    scope: &Scope,
) -> Option<Rule> {
    let named = if let Some(reason) = &spec.reason {
        let path = ["rules", name, "reason"];
        let reason_is_code = report.take(&path, check_reason(reason)).is_some();
        report.check_name(&["rules", name], check_name(name)) && reason_is_code
    } else {
        let checked = check_reason(name).map_err(|wrong| Wrong {
            what: format!("{}, and the rule says no other", wrong.what),
            ..wrong
        });
        report.check_name(&["rules", name], checked)
    };
    let path = ["rules", name, "expect"];
    let expect = scope.expression(report, &path, &spec.expect)?;
    if expect.data_type() != &DataType::Boolean {
        let wrong = Wrong::new(format!("{} is no condition", quoted(&spec.expect)));
        report.add(
            &path,
            wrong
                .expected("an expression that is true or false")
                .hint("compare it with something, such as `… <> 0`"),
        );
        return None;
    }
    let then = match spec.then {
        Some(spec::Then::Refuse) | None => Then::Refuse,
        Some(spec::Then::Drop) => Then::Drop,
        Some(spec::Then::Warn) => Then::Warn,
        Some(spec::Then::Stop) => Then::Stop,
    };
    let reason = spec.reason.as_deref().unwrap_or(name).into();
    named.then(|| Rule {
        name: name.to_owned(),
        expect,
        then,
        reason,
    })
}
