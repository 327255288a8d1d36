//! Windows: statistics per segment and event-time window.

use std::collections::HashSet;
use std::time::Duration;

use arrow_schema::DataType;

use super::continuous::refuse_now;
use super::report::{Report, Wrong};
use super::scope::Scope;
use super::sources::EventTime;
use super::units::{read_duration_in, read_window_length};
use super::words::{check_column_name, check_name};
use crate::epoch::micros;
use crate::job::plan::{Corrections, Statistic, WindowPlan};
use crate::job::problems::quoted;
use crate::job::spec::{CorrectionsSpec, Named, WindowSpec};
use crate::job::tables::{FINAL, SIGN, WINDOW_END, WINDOW_START};

/// For how long windows are corrected at most: a longer time is a slip, as all windows of it are kept.
const MOST_CORRECTED: Duration = Duration::from_hours(400 * 24);

/// A window as resolved so far.
#[derive(Debug)]
pub(super) struct Window {
    /// `None`: faulty as a whole.
    pub(super) plan: Option<WindowPlan>,
    /// Names of faulty statistics.
    pub(super) faulty: HashSet<String>,
}

/// Resolves `[windows]`, in file order.
pub(super) fn resolve_windows(
    report: &mut Report<'_>,
    specs: &Named<WindowSpec>,
    scope: &Scope,
    event_time: &EventTime,
    is_continuous: bool,
) -> Vec<Window> {
    specs
        .iter()
        .map(|(name, spec)| resolve_window(report, name, spec, scope, event_time, is_continuous))
        .collect()
}

fn resolve_window(
    report: &mut Report<'_>,
    name: &str,
    spec: &WindowSpec,
    scope: &Scope,
    event_time: &EventTime,
    is_continuous: bool,
) -> Window {
    let path = ["windows", name];
    report.check_name(&path, check_name(name));
    let event_time = event_time.need(report, &path);
    let length = report.take(
        &["windows", name, "length"],
        read_window_length(&spec.length),
    );
    let correct_within = spec.correct_within.as_deref().and_then(|text| {
        let path = ["windows", name, "correct_within"];
        report.take(&path, read_duration_in(text, Duration::ZERO, MOST_CORRECTED))
    });
    let corrections = match spec.corrections {
        Some(CorrectionsSpec::Changes) => Corrections::Changes,
        Some(CorrectionsSpec::Final) | None => Corrections::Final,
    };
    let per = spec.per.as_deref().unwrap_or_default();
    let per = read_segment(report, &["windows", name, "per"], per, scope);

    let mut taken: Vec<&str> = per
        .iter()
        .map(|id| scope.columns()[*id].name.as_str())
        .collect();
    taken.extend([WINDOW_START, WINDOW_END]);
    if corrections == Corrections::Changes {
        taken.extend([FINAL, SIGN]);
    }
    check_segment_names(report, &path, &taken);
    let mut statistics = Vec::with_capacity(spec.statistics.len());
    let mut faulty = HashSet::new();
    for (statistic, text) in spec.statistics.iter() {
        let path = ["windows", name, "statistics", statistic];
        report.check_name(&path, check_column_name(statistic));
        if taken.contains(&statistic) {
            let wrong = Wrong::new(format!(
                "{} is a column of the segment or of the window's time already",
                quoted(statistic)
            ));
            report.add_name(&path, wrong.expected("a name of its own"));
            continue;
        }
        match scope.aggregate(report, &path, text) {
            Some(aggregate) => {
                if is_continuous {
                    let parts = [aggregate.argument.as_ref(), aggregate.filter.as_ref()];
                    refuse_now(report, &path, &parts);
                }
                statistics.push(Statistic {
                    name: statistic.to_owned(),
                    function: aggregate.function,
                    argument: aggregate.argument,
                    filter: aggregate.filter,
                    data_type: aggregate.data_type,
                });
            }
            None => {
                faulty.insert(statistic.to_owned());
            }
        }
    }
    let plan = event_time
        .zip(length)
        .map(|(event_time, length)| WindowPlan {
            name: name.to_owned(),
            per,
            event_time,
            length,
            correct_within: correct_within.map(micros),
            corrections,
            statistics,
        });
    Window { plan, faulty }
}

/// Reads the columns of a segment: any but doubles, which are not equal often enough to group by.
pub(super) fn read_segment(
    report: &mut Report<'_>,
    path: &[&str],
    names: &[String],
    scope: &Scope,
) -> Vec<usize> {
    let ids = scope.distinct_columns(report, path, names);
    for id in &ids {
        let column = &scope.columns()[*id];
        if column.data_type == DataType::Float64 {
            let wrong = Wrong::new(format!(
                "column {} is of type double, which makes no segments",
                quoted(&column.name)
            ));
            report.add(
                path,
                wrong
                    .expected("columns of another type")
                    .hint("derive one by cast(… as decimal(p,s)) or floor"),
            );
        }
    }
    ids
}

/// Segment columns stand in the table under their bare names.
fn check_segment_names(report: &mut Report<'_>, path: &[&str], names: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            let wrong = Wrong::new(format!(
                "two columns of the segment or of the window's time would be called {}",
                quoted(name)
            ));
            report.add(
                &[path, &["per"]].concat(),
                wrong.hint("[derive] gives one of them another name"),
            );
        }
    }
}
