//! Freshness checks: what is old, of which segments, and by which time.

use super::calendars::find_calendar;
use super::checks::Context;
use super::report::{Report, Wrong};
use super::units::read_duration;
use super::windows::read_segment;
use crate::job::plan::{ExpectedSegments, FreshnessOn, FreshnessPlan, Measure, timestamp_type};
use crate::job::problems::quoted;
use crate::job::spec::{ExpectedSpec, FreshnessSpec};
use crate::transform::expr::words::type_name;

/// Segments that are kept where the job does not say how many: some 20 MiB on the one worker that has them.
pub const MOST_SEGMENTS: usize = 100_000;

/// Reads `checks.NAME.freshness`.
pub(super) fn read_freshness(
    report: &mut Report<'_>,
    name: &str,
    spec: &FreshnessSpec,
    context: Context<'_>,
) -> Option<Measure> {
    let path = ["checks", name, "freshness"];
    let at = |option: &'static str| ["checks", name, "freshness", option];
    let written = spec.per.as_deref().unwrap_or_default();
    let per = read_segment(report, &at("per"), written, context.scope);
    let on = spec.on.unwrap_or(FreshnessOn::Event);
    let event_time = read_event_time(report, name, spec, on, context);
    let mut durations = [None, None, None];
    for (duration, (option, text)) in durations.iter_mut().zip([
        ("warn_after", &spec.warn_after),
        ("fail_after", &spec.fail_after),
        ("retire_after", &spec.retire_after),
    ]) {
        if let Some(text) = text {
            *duration = report.take(&at(option), read_duration(text));
        }
    }
    let [warn_after, fail_after, retire_after] = durations;
    if let (Some(warn), Some(fail)) = (warn_after, fail_after)
        && fail < warn
    {
        let wrong =
            Wrong::new("`fail_after` is shorter than `warn_after`, so that no verdict is `warn`");
        report.add(&path, wrong.expected("warn_after ≤ fail_after"));
    }
    // Hours of a calendar are more than as many of all time.
    if let (Some(retire), Some(limit)) = (retire_after, warn_after.max(fail_after))
        && retire <= limit
    {
        let wrong = Wrong::new("a segment is retired before it is told that it is silent");
        let expected = "longer than warn_after and fail_after";
        report.add(&at("retire_after"), wrong.expected(expected));
    }
    let calendar = spec.calendar.as_deref();
    let calendar =
        calendar.and_then(|calendar| find_calendar(report, &at("calendar"), calendar, context));
    let expected = match &spec.expected {
        Some(expected) if per.len() == written.len() => {
            read_expected(report, name, expected, &per, context)
        }
        // There is none, or a column of the segment has a fault, which is told.
        _ => None,
    };
    Some(Measure::Freshness(FreshnessPlan {
        per,
        on,
        event_time: event_time?,
        warn_after,
        fail_after,
        calendar,
        expected,
        retire_after,
        max_segments: spec.max_segments.map_or(MOST_SEGMENTS, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        }),
    }))
}

/// The column of event times; `Some(None)` where none is needed.
#[expect(
    clippy::option_option,
    reason = "nothing where there is a fault, and no column where none is needed"
)]
fn read_event_time(
    report: &mut Report<'_>,
    name: &str,
    spec: &FreshnessSpec,
    on: FreshnessOn,
    context: Context<'_>,
) -> Option<Option<usize>> {
    let path = ["checks", name, "freshness", "event_time"];
    if on == FreshnessOn::Arrival {
        if spec.event_time.is_some() {
            let wrong = Wrong::new("a row arrives when it does, whatever its event time");
            report.add(&path, wrong.hint("leave it out, or take on = \"event\""));
        }
        return Some(None);
    }
    let Some(written) = &spec.event_time else {
        let needed = context.event_time.need(report, &path[..3]);
        return needed.map(Some);
    };
    let id = context.scope.column(report, &path, written);
    let is_timestamp = |id: &usize| context.scope.columns()[*id].data_type == timestamp_type();
    if id.is_some_and(|id| !is_timestamp(&id)) {
        report.add(
            &path,
            Wrong::new(format!("column {} is no timestamp", quoted(written)))
                .expected("a column of type timestamp"),
        );
    }
    id.map(Some)
}

fn read_expected(
    report: &mut Report<'_>,
    name: &str,
    spec: &ExpectedSpec,
    per: &[usize],
    context: Context<'_>,
) -> Option<ExpectedSegments> {
    let at = |option: &'static str| ["checks", name, "freshness", "expected", option];
    if per.is_empty() {
        let wrong = Wrong::new("all rows are one segment, which is always expected");
        report.add(
            &["checks", name, "freshness", "expected"],
            wrong.hint("leave it out, or say by `per` what makes a segment"),
        );
        return None;
    }
    let names = || context.lookup_specs.names();
    let Some(lookup) = context.lookup_specs.position(&spec.lookup) else {
        let expected = if context.lookup_specs.is_empty() {
            "a look-up of [lookups]".to_owned()
        } else {
            names().collect::<Vec<_>>().join(", ")
        };
        let wrong = Wrong::new(format!("{} is no look-up", quoted(&spec.lookup)));
        let wrong = wrong.expected(expected).did_you_mean(&spec.lookup, names());
        report.add(&at("lookup"), wrong);
        return None;
    };
    let reference = &context.lookups[lookup].as_ref()?.reference;
    let columns = |id: &usize| &context.scope.columns()[*id];
    let written = match &spec.columns {
        Some(written) => written.clone(),
        None => per.iter().map(|id| columns(id).name.clone()).collect(),
    };
    // Where they are not said, it is the table that lacks them.
    let place = if spec.columns.is_some() {
        "columns"
    } else {
        "lookup"
    };
    if written.len() != per.len() {
        let wrong = Wrong::new(format!(
            "{} columns are no segment of {}",
            written.len(),
            per.len()
        ));
        report.add(&at(place), wrong.expected("one column for each of `per`"));
        return None;
    }
    let mut found = Vec::with_capacity(per.len());
    for (written, id) in written.iter().zip(per) {
        let names = || reference.iter().map(|column| column.name.as_str());
        let Some(position) = names().position(|name| name == written) else {
            let wrong = Wrong::new(format!(
                "look-up {} has no column {}",
                quoted(&spec.lookup),
                quoted(written)
            ));
            let wrong = wrong.expected(names().collect::<Vec<_>>().join(", "));
            report.add(&at(place), wrong.did_you_mean(written, names()));
            return None;
        };
        let (own, wanted) = (
            reference[position].column_type.data_type(),
            &columns(id).data_type,
        );
        if own != *wanted {
            let wrong = Wrong::new(format!(
                "column {} of look-up {} is {}, and {} of the segment is {}",
                quoted(written),
                quoted(&spec.lookup),
                type_name(&own),
                quoted(&columns(id).name),
                type_name(wanted),
            ));
            report.add(&at(place), wrong.expected("the same type"));
            return None;
        }
        found.push(position);
    }
    Some(ExpectedSegments {
        lookup,
        columns: found,
    })
}
