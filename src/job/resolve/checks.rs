//! Checks: measures over windows and streams of rows.

use arrow_schema::DataType;
use chrono_tz::Tz;

use super::calendars::find_calendar;
use super::continuous::refuse_now;
use super::expected::Expectation;
use super::freshness::read_freshness;
use super::report::{Report, Wrong};
use super::scope::Scope;
use super::sources::EventTime;
use super::variance::read_variance;
use super::windows::Window;
use super::words::{check_column_name, check_name};
use crate::checks::conservation::CONSERVATION;
use crate::job::plan::{CheckPlan, Complete, ExpectedRows, LookupPlan, Measure, WindowPlan};
use crate::job::problems::quoted;
use crate::job::spec::{
    CalendarSpec, CheckSpec, CompletenessSpec, Counted, LookupSpec, Named, SourceSpec, WindowSpec,
};
use crate::job::tables::{WINDOW_END, WINDOW_START, measured_window};
use crate::transform::Expression;

/// What checks refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) scope: &'a Scope,
    pub(super) event_time: &'a EventTime,
    pub(super) source_specs: &'a Named<SourceSpec>,
    pub(super) window_specs: &'a Named<WindowSpec>,
    pub(super) windows: &'a [Window],
    pub(super) lookup_specs: &'a Named<LookupSpec>,
    /// In the order of their specs; those with a fault are none.
    pub(super) lookups: &'a [Option<LookupPlan>],
    pub(super) calendars: &'a Named<CalendarSpec>,
    /// That of the business.
    pub(super) time_zone: Tz,
    /// Whether the job runs until it is told to stop.
    pub(super) is_continuous: bool,
}

/// Resolves `[checks]`, in file order; faulty ones are left out.
pub(super) fn resolve_checks(
    report: &mut Report<'_>,
    specs: &Named<CheckSpec>,
    context: Context<'_>,
) -> Vec<CheckPlan> {
    let mut checks: Vec<CheckPlan> = Vec::with_capacity(specs.len());
    for (name, spec) in specs.iter() {
        report.check_name(&["checks", name], check_name(name));
        if name == CONSERVATION {
            let wrong = Wrong::new(format!(
                "{CONSERVATION} is the name of the row law, which is always judged"
            ))
            .expected("another name")
            .hint("verdicts have it without a word of the job");
            report.add_name(&["checks", name], wrong);
        }
        let Some(measure) = read_measure(report, name, spec, context) else {
            continue;
        };
        check_value_name(report, name, spec, &measure, &checks, context);
        checks.push(CheckPlan {
            name: name.to_owned(),
            measure,
            value: spec.value.clone(),
        });
    }
    checks
}

fn read_measure(
    report: &mut Report<'_>,
    name: &str,
    spec: &CheckSpec,
    context: Context<'_>,
) -> Option<Measure> {
    match (&spec.completeness, &spec.freshness, &spec.variance) {
        (Some(completeness), None, None) => {
            let window = find_window(report, name, spec, context);
            read_completeness(report, name, completeness, window, context)
        }
        (None, None, Some(variance)) => {
            let window = find_window(report, name, spec, context);
            read_variance(report, name, variance, window?, context)
        }
        (None, Some(freshness), None) => {
            if spec.window.is_some() {
                let wrong = Wrong::new("freshness looks at no window")
                    .hint("leave it out; `freshness.per` says what it is kept for");
                report.add(&["checks", name, "window"], wrong);
            }
            if spec.value.is_some() {
                let wrong = Wrong::new("freshness has no window to add a column to")
                    .hint("leave it out; a sink of `verdicts` shows the value");
                report.add(&["checks", name, "value"], wrong);
            }
            read_freshness(report, name, freshness, context)
        }
        _ => {
            report.add(
                &["checks", name],
                Wrong::new("it has not exactly one measure")
                    .expected("one of completeness, freshness, variance"),
            );
            None
        }
    }
}

fn read_completeness(
    report: &mut Report<'_>,
    name: &str,
    spec: &CompletenessSpec,
    window: Option<usize>,
    context: Context<'_>,
) -> Option<Measure> {
    let path = ["checks", name, "completeness"];
    let at = |option: &'static str| ["checks", name, "completeness", option];
    let of = read_complete(report, name, spec, window, context);
    let filter = match &spec.filter {
        Some(text) => Some(read_condition(report, &at("where"), text, context.scope)?),
        None => None,
    };
    if context.is_continuous {
        refuse_now(report, &at("where"), &[filter.as_ref()]);
    }
    let (warn, fail, others) = read_thresholds(spec);
    for (option, _) in others.iter().filter(|(_, given)| *given) {
        let wrong = if spec.refused.is_some() {
            Wrong::new("of refused rows there should be few")
                .hint("write `warn_above` and `fail_above`")
        } else {
            Wrong::new("of rows as they should be there are never too many")
                .hint("write `warn_below` and `fail_below`; only the share of `refused` rows has an upper bound")
        };
        report.add(&at(option), wrong);
    }
    for (option, share) in [
        ("warn_below", spec.warn_below),
        ("fail_below", spec.fail_below),
        ("warn_above", spec.warn_above),
        ("fail_above", spec.fail_above),
    ] {
        if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            report.add(
                &at(option),
                Wrong::new("it is no share").expected("a number from 0 to 1, such as 0.97"),
            );
        }
    }
    let expects = spec.expected_rows.is_some()
        || spec.expected_files.is_some()
        || spec.rows_from.is_some()
        || spec.expected_from.is_some()
        || spec.expected_like.is_some();
    if spec.skip_partial.is_some() && !expects {
        let wrong = Wrong::new("a share of the rows that are there is whole in any window");
        report.add(
            &at("skip_partial"),
            wrong.hint("leave it out; it is for rows that are expected"),
        );
    }
    if spec.calendar.is_some() && !expects {
        let wrong = Wrong::new("a share of the rows that are there expects none at any time");
        report.add(
            &at("calendar"),
            wrong.hint("leave it out; it says when rows or files are expected"),
        );
    }
    let calendar = spec.calendar.as_deref();
    let calendar =
        calendar.and_then(|calendar| find_calendar(report, &at("calendar"), calendar, context));
    if let (Some(warn), Some(fail)) = (spec.warn_above, spec.fail_above)
        && fail < warn
    {
        let wrong = Wrong::new(format!(
            "`fail_above` {fail} is below `warn_above` {warn}, so that no verdict is `warn`"
        ));
        report.add(&path, wrong.expected("warn_above ≤ fail_above"));
    }
    if let (Some(warn), Some(fail)) = (spec.warn_below, spec.fail_below)
        && fail > warn
    {
        let wrong = Wrong::new(format!(
            "`fail_below` {fail} is above `warn_below` {warn}, so that no verdict is `warn`"
        ));
        report.add(&path, wrong.expected("fail_below ≤ warn_below"));
    }
    Some(Measure::Completeness {
        window: window?,
        of: of?,
        filter,
        skip_partial: spec.skip_partial.unwrap_or(false),
        calendar,
        min_rows: spec.min_rows.unwrap_or(1),
        warn_below: warn,
        fail_below: fail,
    })
}

/// The thresholds that the share has, and which of those it has not are given.
fn read_thresholds(
    spec: &CompletenessSpec,
) -> (Option<f64>, Option<f64>, [(&'static str, bool); 2]) {
    let below = [
        ("warn_below", spec.warn_below),
        ("fail_below", spec.fail_below),
    ];
    let above = [
        ("warn_above", spec.warn_above),
        ("fail_above", spec.fail_above),
    ];
    let (mine, others) = if spec.refused.is_some() {
        (above, below)
    } else {
        (below, above)
    };
    let others = others.map(|(option, share)| (option, share.is_some()));
    (mine[0].1, mine[1].1, others)
}

/// What a share is taken of: one of `column`, `columns` and those of `expected_rows`, as the schema says.
fn read_complete(
    report: &mut Report<'_>,
    name: &str,
    spec: &CompletenessSpec,
    window: Option<usize>,
    context: Context<'_>,
) -> Option<Complete> {
    let at = |option: &'static str| ["checks", name, "completeness", option];
    if let Some(column) = &spec.column {
        let column = context.scope.column(report, &at("column"), column);
        return column.map(Complete::Column);
    }
    if let Some(names) = &spec.columns {
        let path = at("columns");
        let ids = context.scope.distinct_columns(report, &path, names);
        if names.is_empty() {
            let wrong = Wrong::new("it names no column").expected("one column at least");
            report.add(&path, wrong);
        }
        if ids.is_empty() || ids.len() < names.len() {
            return None;
        }
        let has_value = |id: &usize| format!("{} is not null", context.scope.reference(*id));
        let mut condition: Vec<String> = ids.iter().map(has_value).collect();
        condition.extend(spec.filter.iter().map(|filter| format!("({filter})")));
        let condition = condition.join(" and ");
        // A fault of the filter is told where it stands.
        let condition = context.scope.compiled(&condition)?;
        return Some(Complete::Columns(ids, condition));
    }
    if let Some(lookup) = &spec.matched {
        return read_matched(report, &at("matched"), lookup, context);
    }
    if let Some(refused) = spec.refused {
        if !refused {
            let wrong = Wrong::new("it measures the share of refused rows, or something else");
            report.add(&at("refused"), wrong.expected("true"));
            return None;
        }
        return Some(Complete::Refused);
    }
    let rows = Complete::Rows;
    if spec.min_rows.is_some() {
        let wrong = Wrong::new("where rows are expected, few of them are what is looked for");
        report.add(&at("min_rows"), wrong.hint("leave it out"));
    }
    let expectation = Expectation {
        name,
        window: &context.windows[window?],
        context,
    };
    if let Some(files) = spec.expected_files {
        need_files(report, &at("expected_files"), context)?;
        return Some(Complete::Files(ExpectedRows::Number(files)));
    }
    if let Some(from) = &spec.expected_from {
        let listed = expectation.listed(report, from);
        if from.count == Some(Counted::Files) {
            let path = ["checks", name, "completeness", "expected_from", "count"];
            need_files(report, &path, context)?;
            return listed.map(Complete::Files);
        }
        return listed.map(rows);
    }
    if let Some(like) = spec.expected_like {
        return expectation.alike(report, like).map(rows);
    }
    let Some(statistic) = &spec.rows_from else {
        return (spec.expected_rows).map(|number| rows(ExpectedRows::Number(number)));
    };
    let path = at("rows_from");
    let window = expectation.window;
    let index = find_statistic(report, &path, statistic, window)?;
    if !is_whole(&window.plan.as_ref()?.statistics[index].data_type) {
        let wrong = Wrong::new(format!(
            "statistic {} is no number of rows",
            quoted(statistic)
        ));
        report.add(&path, wrong.expected("a statistic of whole numbers"));
        return None;
    }
    Some(rows(ExpectedRows::Statistic(index)))
}

/// A look-up by its name.
pub(super) fn find_lookup<'a>(
    report: &mut Report<'_>,
    path: &[&str],
    written: &str,
    context: Context<'a>,
) -> Option<(usize, &'a LookupPlan)> {
    let names = || context.lookup_specs.names();
    let Some(lookup) = context.lookup_specs.position(written) else {
        let wrong = Wrong::new(format!("{} is no look-up", quoted(written)));
        let expected = if context.lookup_specs.is_empty() {
            "a look-up of [lookups]".to_owned()
        } else {
            names().collect::<Vec<_>>().join(", ")
        };
        report.add(
            path,
            wrong.expected(expected).did_you_mean(written, names()),
        );
        return None;
    };
    // A faulty look-up is told where it stands.
    Some((lookup, context.lookups[lookup].as_ref()?))
}

/// Tells what `path` says where a source has no files that are known apart.
fn need_files(report: &mut Report<'_>, path: &[&str], context: Context<'_>) -> Option<()> {
    for (name, source) in context.source_specs.iter() {
        let (what, hint) = match &source.files {
            None => ("has no files", "`expected_rows` counts rows, of any source"),
            Some(files) if files.per_process == Some(true) => (
                "has files of each process, and those of one path are not told apart",
                "leave out `per_process`, or count rows with `expected_rows`",
            ),
            Some(_) => continue,
        };
        let wrong = Wrong::new(format!("source {} {what}", quoted(name)))
            .expected("sources whose files all processes see");
        report.add(path, wrong.hint(hint));
        return None;
    }
    Some(())
}

/// The look-up that rows should have found something in.
fn read_matched(
    report: &mut Report<'_>,
    path: &[&str],
    written: &str,
    context: Context<'_>,
) -> Option<Complete> {
    let (lookup, plan) = find_lookup(report, path, written, context)?;
    let (position, _) = plan.on.first()?;
    let key = plan.first_column + position;
    Some(Complete::Matched { lookup, key })
}

/// Whether values are numbers of rows.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(_, scale) => *scale == 0,
        other => *other != DataType::Float64,
    }
}

/// A condition that picks rows.
fn read_condition(
    report: &mut Report<'_>,
    path: &[&str],
    text: &str,
    scope: &Scope,
) -> Option<Expression> {
    let condition = scope.expression(report, path, text)?;
    if condition.data_type() == &DataType::Boolean {
        return Some(condition);
    }
    let wrong = Wrong::new(format!("{} is no condition", quoted(text)));
    report.add(path, wrong.expected("an expression that is true or false"));
    None
}

/// The window of a check that needs one.
fn find_window(
    report: &mut Report<'_>,
    name: &str,
    spec: &CheckSpec,
    context: Context<'_>,
) -> Option<usize> {
    let names = || context.window_specs.names();
    let expected = if context.window_specs.is_empty() {
        "a window of [windows]".to_owned()
    } else {
        names().collect::<Vec<_>>().join(", ")
    };
    let Some(window) = &spec.window else {
        let wrong = Wrong::new("it does not say which window it looks at")
            .expected(expected)
            .hint("add `window`");
        report.add(&["checks", name], wrong);
        return None;
    };
    let found = context.window_specs.position(window);
    if found.is_none() {
        let wrong = Wrong::new(format!("{} is no window", quoted(window))).expected(expected);
        report.add(
            &["checks", name, "window"],
            wrong.did_you_mean(window, names()),
        );
    }
    found
}

/// A statistic that is a number.
pub(super) fn find_statistic(
    report: &mut Report<'_>,
    path: &[&str],
    written: &str,
    window: &Window,
) -> Option<usize> {
    let plan = window.plan.as_ref()?;
    if window.faulty.contains(written) {
        return None;
    }
    let names = || {
        plan.statistics
            .iter()
            .map(|statistic| statistic.name.as_str())
    };
    let Some(index) = names().position(|name| name == written) else {
        let what = format!(
            "{} is no statistic of window {}",
            quoted(written),
            quoted(&plan.name)
        );
        let wrong = Wrong::new(what).expected(names().collect::<Vec<_>>().join(", "));
        report.add(path, wrong.did_you_mean(written, names()));
        return None;
    };
    if !is_number(&plan.statistics[index].data_type) {
        let wrong = Wrong::new(format!("statistic {} is no number", quoted(written)));
        report.add(
            path,
            wrong
                .expected("a count, sum, avg, var_samp or stddev_samp, or a min or max of numbers"),
        );
        return None;
    }
    Some(index)
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float64
            | DataType::Decimal128(..)
    )
}

/// `value` is a column of the window's table, which has none of that name yet.
fn check_value_name(
    report: &mut Report<'_>,
    name: &str,
    spec: &CheckSpec,
    measure: &Measure,
    earlier: &[CheckPlan],
    context: Context<'_>,
) {
    let (Some(value), Some(index)) = (&spec.value, measured_window(measure)) else {
        return;
    };
    let path = ["checks", name, "value"];
    report.take(&path, check_column_name(value));
    let Some(window) = &context.windows[index].plan else {
        return;
    };
    let by_check = earlier.iter().find(|other| {
        measured_window(&other.measure) == Some(index) && other.value.as_ref() == Some(value)
    });
    let what = match by_check {
        Some(other) => format!(
            "check {} adds a column {} already",
            quoted(&other.name),
            quoted(value)
        ),
        None if is_column(window, value, context.scope) => format!(
            "window {} has a column {} already",
            quoted(&window.name),
            quoted(value)
        ),
        None => return,
    };
    report.add(&path, Wrong::new(what).expected("a name of its own"));
}

fn is_column(window: &WindowPlan, name: &str, scope: &Scope) -> bool {
    let in_segment = window
        .per
        .iter()
        .any(|id| scope.columns()[*id].name == name);
    let in_statistics = window
        .statistics
        .iter()
        .any(|statistic| statistic.name == name);
    in_segment || in_statistics || name == WINDOW_START || name == WINDOW_END
}
