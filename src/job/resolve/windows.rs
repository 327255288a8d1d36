//! Windows: statistics per segment and event-time window.

use std::collections::HashSet;
use std::time::Duration;

use arrow_schema::DataType;
use chrono::Weekday;

use super::continuous::refuse_now;
use super::report::{Report, Wrong};
use super::scope::Scope;
use super::sources::EventTime;
use super::units::{read_duration_in, read_window_length};
use super::words::{check_column_name, check_name};
use crate::epoch::micros;
use crate::job::plan::{Corrections, Statistic, WindowLength, WindowPlan};
use crate::job::problems::quoted;
use crate::job::spec::{CorrectionsSpec, Named, WeekdaySpec, WindowSpec};
use crate::job::tables::{FINAL, SIGN, WINDOW_END, WINDOW_START};

/// For how long windows are corrected at most: a longer time is a slip, as all windows of it are kept.
const MOST_CORRECTED: Duration = Duration::from_hours(400 * 24);

/// How many windows a row may be in: minutes of a day. Each costs as much as a window of its own.
const MOST_PANES: u32 = 1_440;

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
    let lengths = read_lengths(report, name, spec);
    let correct_within = spec.correct_within.as_deref().and_then(|text| {
        let path = ["windows", name, "correct_within"];
        report.take(
            &path,
            read_duration_in(text, Duration::ZERO, MOST_CORRECTED),
        )
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
        .zip(lengths)
        .map(|(event_time, (length, every, panes))| WindowPlan {
            name: name.to_owned(),
            per,
            event_time,
            length,
            every,
            panes,
            correct_within: correct_within.map(micros),
            corrections,
            statistics,
        });
    Window { plan, faulty }
}

/// Reads the length of windows, how far apart they start, and how many times the second the first is.
fn read_lengths(
    report: &mut Report<'_>,
    name: &str,
    spec: &WindowSpec,
) -> Option<(WindowLength, WindowLength, u32)> {
    let first = spec.week_starts.map_or(Weekday::Mon, weekday);
    let path = ["windows", name, "length"];
    let length = report.take(&path, read_window_length(&spec.length, first));
    let path = ["windows", name, "every"];
    let every = spec
        .every
        .as_ref()
        .map(|every| report.take(&path, read_window_length(every, first)));
    let (length, every) = (length?, every.unwrap_or(length)?);
    let has_weeks = [length, every]
        .iter()
        .any(|length| matches!(length, WindowLength::Weeks(..)));
    if spec.week_starts.is_some() && !has_weeks {
        let wrong = Wrong::new("it is about windows of weeks, and these are none");
        report.add(
            &["windows", name, "week_starts"],
            wrong.hint("write the length in weeks, or leave out `week_starts`"),
        );
    }
    let times = match (length, every) {
        (WindowLength::Fixed(length), WindowLength::Fixed(every)) => Some((length, every)),
        (WindowLength::Days(length), WindowLength::Days(every))
        | (WindowLength::Weeks(length, _), WindowLength::Weeks(every, _))
        | (WindowLength::Months(length), WindowLength::Months(every)) => {
            Some((i64::from(length), i64::from(every)))
        }
        (WindowLength::Weeks(length, _), WindowLength::Days(every)) => {
            Some((7 * i64::from(length), i64::from(every)))
        }
        _ => None,
    };
    let times = times
        .filter(|(length, every)| length % every == 0)
        .and_then(|(length, every)| u32::try_from(length / every).ok());
    let Some(panes) = times.filter(|times| *times <= MOST_PANES) else {
        let (long, short) = (
            quoted(&spec.length),
            quoted(spec.every.as_deref().unwrap_or_default()),
        );
        let wrong = match times {
            Some(times) => Wrong::new(format!(
                "{long} is {times} times {short}, and each row would be in as many windows"
            ))
            .expected(format!("at most {MOST_PANES} times")),
            None => Wrong::new(format!("{long} is no multiple of {short}"))
                .expected("a part of the length, in the same kind of unit, such as \"5 minutes\" of \"1 hour\"")
                .hint("days, weeks and months are those of the calendar: \"24 hours\" is a fixed length"),
        };
        report.add(&path, wrong);
        return None;
    };
    Some((length, every, panes))
}

fn weekday(day: WeekdaySpec) -> Weekday {
    match day {
        WeekdaySpec::Monday => Weekday::Mon,
        WeekdaySpec::Tuesday => Weekday::Tue,
        WeekdaySpec::Wednesday => Weekday::Wed,
        WeekdaySpec::Thursday => Weekday::Thu,
        WeekdaySpec::Friday => Weekday::Fri,
        WeekdaySpec::Saturday => Weekday::Sat,
        WeekdaySpec::Sunday => Weekday::Sun,
    }
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
