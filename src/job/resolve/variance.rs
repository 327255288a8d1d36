//! Variance checks: what a statistic is compared with, and how.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::checks::{Context, find_statistic};
use super::report::{Report, Wrong};
use super::units::DAY;
use crate::checks::windows::Windows;
use crate::job::plan::{
    Against, AggregateFunction, Empty, Measure, Method, Same, Statistic, VarianceRule, WindowLength,
};
use crate::job::problems::quoted;
use crate::job::spec::{Direction, FloorSpec, VarianceSpec};

const HOUR: i64 = DAY / 24;

/// Most windows that a statistic is compared with: all of them are kept for each segment.
const MOST_HISTORY: u64 = 100_000;

/// Reads `checks.NAME.variance` over the window of that index.
pub(super) fn read_variance(
    report: &mut Report<'_>,
    name: &str,
    spec: &VarianceSpec,
    index: usize,
    context: Context<'_>,
) -> Option<Measure> {
    let path = ["checks", name, "variance"];
    let at = |option: &'static str| ["checks", name, "variance", option];
    let window = &context.windows[index];
    let method = spec.method.unwrap_or(if spec.against.statistic.is_some() {
        Method::Relative
    } else {
        Method::Z
    });
    let (floor_absolute, floor_relative) = read_floor(report, &path, spec.floor, method);
    check_bounds(report, &path, spec);
    let against = read_against(report, &path, spec, method, index, context);
    let least = least_history(method);
    let min_history = spec.min_history.unwrap_or(least);
    let every = window.plan.as_ref().map(|plan| plan.every);
    let most = against.and_then(|against| most_history(against, every?));
    if let Some((most, words)) = most
        && most >= least
        && min_history > most
    {
        let wrong = Wrong::new(format!(
            "{min_history} windows of history are never reached with {words}"
        ));
        report.add(
            &at("min_history"),
            wrong.expected(format!("min_history ≤ {most}")),
        );
    }
    let is_statistic = spec.against.statistic.is_some();
    let useless = [
        ("min_history", spec.min_history.is_some()),
        ("exclude", spec.exclude.is_some()),
    ];
    for (option, _) in useless.iter().filter(|(_, given)| is_statistic && *given) {
        let wrong = Wrong::new("a statistic of the same window is no history");
        report.add(&at(option), wrong.hint("leave it out"));
    }
    let exclude = read_exclude(report, &path, spec, context.time_zone);
    let of = find_statistic(report, &at("of"), &spec.of, window)?;
    let against = against?;
    if let (Against::Calendar(_, Empty::Zero), Some(plan)) = (against, &window.plan) {
        check_zero(report, &path, &plan.statistics[of]);
    }
    let rule = VarianceRule {
        method,
        against,
        direction: spec.direction.unwrap_or(Direction::Both),
        warn_beyond: spec.warn_beyond,
        fail_beyond: spec.fail_beyond,
        floor_absolute,
        floor_relative,
        min_history: report.take(&at("min_history"), as_usize(min_history))?,
        exclude,
        skip_partial: spec.skip_partial.unwrap_or(false),
    };
    Some(Measure::Variance {
        window: index,
        of,
        rule,
    })
}

/// With fewer windows to compare with a method has no unit.
fn least_history(method: Method) -> u64 {
    match method {
        Method::Relative => 1,
        Method::Z | Method::Mad | Method::Range => 2,
    }
}

fn check_bounds(report: &mut Report<'_>, path: &[&str; 3], spec: &VarianceSpec) {
    for (option, bound) in [
        ("warn_beyond", spec.warn_beyond),
        ("fail_beyond", spec.fail_beyond),
    ] {
        if bound.is_some_and(|bound| bound.is_nan() || bound < 0.0) {
            report.add(
                &[path.as_slice(), &[option]].concat(),
                Wrong::new("it is no bound of a distance")
                    .expected("a number of at least 0, such as 3.0")
                    .hint("`direction` says which way is judged"),
            );
        }
    }
    if let (Some(warn), Some(fail)) = (spec.warn_beyond, spec.fail_beyond)
        && fail < warn
    {
        let wrong = Wrong::new(format!(
            "`fail_beyond` {fail} is below `warn_beyond` {warn}, so that no verdict is `warn`"
        ));
        report.add(path, wrong.expected("warn_beyond ≤ fail_beyond"));
    }
}

fn read_floor(
    report: &mut Report<'_>,
    path: &[&str; 3],
    floor: Option<FloorSpec>,
    method: Method,
) -> (f64, f64) {
    let floor = floor.unwrap_or_default();
    let mut read = |option: &'static str, number: Option<f64>| {
        let number = number.unwrap_or(0.0);
        if number.is_finite() && number >= 0.0 {
            return number;
        }
        report.add(
            &[path.as_slice(), &["floor", option]].concat(),
            Wrong::new("it is no least unit").expected("a number of at least 0, such as 5.0"),
        );
        0.0
    };
    let read = (
        read("absolute", floor.absolute),
        read("relative", floor.relative),
    );
    if method == Method::Relative && floor.relative.is_some() {
        report.add(
            &[path.as_slice(), &["floor", "relative"]].concat(),
            Wrong::new("the unit of `relative` is the mean itself, of which this is a share")
                .hint("leave it out, or give `absolute`"),
        );
    }
    read
}

fn read_against(
    report: &mut Report<'_>,
    path: &[&str; 3],
    spec: &VarianceSpec,
    method: Method,
    index: usize,
    context: Context<'_>,
) -> Option<Against> {
    let against = &spec.against;
    let of = |option: &'static str| [path.as_slice(), &["against", option]].concat();
    let belongs = [
        (
            "empty",
            against.empty.is_some(),
            "previous",
            against.previous.is_some(),
        ),
        (
            "same",
            against.same.is_some(),
            "weeks",
            against.weeks.is_some(),
        ),
    ];
    for (option, given, other, there) in belongs {
        if given && !there {
            let wrong = Wrong::new(format!("`{option}` says something of `{other}` alone"));
            report.add(&of(option), wrong.hint("leave it out"));
        }
    }
    match (against.previous, against.weeks, &against.statistic) {
        (Some(previous), None, None) => {
            let least = least_history(method);
            if !(least..=MOST_HISTORY).contains(&previous) {
                let what = match method {
                    Method::Z => "a standard deviation",
                    Method::Mad => "a median absolute deviation",
                    Method::Relative => "a mean",
                    Method::Range => "a range",
                };
                let wrong = if previous < least {
                    Wrong::new(format!(
                        "{what} needs more previous windows than {previous}"
                    ))
                    .expected(format!("at least {least}"))
                } else {
                    Wrong::new(format!("{previous} windows are too many to keep"))
                        .expected(format!("at most {MOST_HISTORY}"))
                };
                report.add(&of("previous"), wrong);
                return None;
            }
            let windows = report.take(&of("previous"), as_usize(previous))?;
            Some(match against.empty {
                None => Against::Previous(windows),
                Some(empty) => Against::Calendar(windows, empty),
            })
        }
        (None, Some(weeks), None) => {
            let Some(same) = against.same else {
                let wrong = Wrong::new("it does not say what the windows have in common")
                    .expected("same = \"hour\" or same = \"weekday\"");
                report.add(&of("weeks"), wrong);
                return None;
            };
            let weeks = read_weeks(report, &of("weeks"), weeks)?;
            let every = context.windows[index].plan.as_ref()?.every;
            check_weeks(report, &of("same"), same, every)?;
            Some(Against::Weeks(weeks, same))
        }
        (None, None, Some(statistic)) => {
            if method != Method::Relative {
                let wrong = Wrong::new("one statistic to compare with gives no scale");
                report.add(
                    &[path.as_slice(), &["method"]].concat(),
                    wrong.expected("\"relative\""),
                );
            }
            let window = &context.windows[index];
            find_statistic(report, &of("statistic"), statistic, window).map(Against::Statistic)
        }
        _ => {
            report.add(
                &[path.as_slice(), &["against"]].concat(),
                Wrong::new("it is not exactly one thing to compare with")
                    .expected("one of previous, weeks, statistic"),
            );
            None
        }
    }
}

/// A number of weeks of which windows are kept.
pub(super) fn read_weeks(report: &mut Report<'_>, path: &[&str], weeks: u64) -> Option<usize> {
    if !(1..=520).contains(&weeks) {
        let wrong = Wrong::new(format!("{weeks} is no number of weeks to keep"));
        report.add(path, wrong.expected("from 1 to 520"));
        return None;
    }
    report.take(path, as_usize(weeks))
}

/// Windows of other weeks are the same only where as many begin in each week.
pub(super) fn check_weeks(
    report: &mut Report<'_>,
    path: &[&str],
    same: Same,
    every: WindowLength,
) -> Option<()> {
    let (divides, is_days) = match every {
        WindowLength::Fixed(micros) => ((7 * DAY) % micros.max(1) == 0, false),
        WindowLength::Days(days) => (7 % days.max(1) == 0, true),
        WindowLength::Weeks(weeks, _) => (weeks <= 1, true),
        WindowLength::Months(_) => (false, true),
    };
    let wrong = if !divides {
        Wrong::new("a week is no whole number of these windows, so that they start at other times each week")
            .expected("windows of a length that divides a week, such as \"1 hour\" or \"1 day\"")
    } else if is_days && same == Same::Hour {
        Wrong::new("windows of days have no hour").expected("same = \"weekday\"")
    } else {
        return Some(());
    };
    report.add(path, wrong);
    None
}

/// How many windows there are to compare with at most, and that in words; `None` where it is not counted.
fn most_history(against: Against, every: WindowLength) -> Option<(u64, String)> {
    let as_u64 = |count: usize| u64::try_from(count).ok();
    match against {
        Against::Previous(windows) | Against::Calendar(windows, _) => {
            Some((as_u64(windows)?, format!("{windows} previous ones")))
        }
        Against::Weeks(weeks, same) => {
            let span = match same {
                Same::Hour => HOUR,
                Same::Weekday => DAY,
            };
            let each = match every {
                WindowLength::Fixed(micros) => u64::try_from(span / micros.max(1)).ok()?.max(1),
                WindowLength::Days(_) | WindowLength::Weeks(..) | WindowLength::Months(_) => 1,
            };
            let most = as_u64(weeks)?.saturating_mul(each);
            Some((most, format!("{each} in each of {weeks} weeks")))
        }
        Against::Statistic(_) => None,
    }
}

/// A window without rows has a count and a sum of 0, and nothing else.
fn check_zero(report: &mut Report<'_>, path: &[&str; 3], statistic: &Statistic) {
    if matches!(
        statistic.function,
        AggregateFunction::Count | AggregateFunction::Sum | AggregateFunction::CountDistinct
    ) {
        return;
    }
    let wrong = Wrong::new(format!(
        "without rows statistic {} is not 0 but nothing",
        quoted(&statistic.name)
    ));
    report.add(
        &[path.as_slice(), &["against", "empty"]].concat(),
        wrong
            .expected("a count or a sum")
            .hint("\"skip\" leaves such windows out"),
    );
}

/// Times in order, apart from each other.
fn read_exclude(
    report: &mut Report<'_>,
    path: &[&str; 3],
    spec: &VarianceSpec,
    time_zone: Tz,
) -> Vec<(i64, i64)> {
    let mut read: Vec<(i64, i64)> = Vec::new();
    for (index, text) in spec.exclude.iter().flatten().enumerate() {
        let index = index.to_string();
        let path = [path.as_slice(), &["exclude", &index]].concat();
        read.extend(report.take(&path, read_times(text, time_zone)));
    }
    read.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(read.len());
    for (from, to) in read {
        match apart.last_mut() {
            Some((_, last)) if from <= *last => *last = to.max(*last),
            _ => apart.push((from, to)),
        }
    }
    apart
}

/// Reads a day, days or a time from .. to: microseconds, without the end.
fn read_times(text: &str, time_zone: Tz) -> Result<(i64, i64), Wrong> {
    let wrong = |what: String| {
        Wrong::new(what).expected(
            "a date, two dates or two times of the business time zone, such as \"2026-12-25\", \"2026-08-01..2026-08-15\" or \"2026-03-02T10:00..2026-03-02T12:00\"",
        )
    };
    let none = || wrong(format!("{} is no day or time", quoted(text)));
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = if let (Some(from), Some(to)) = (date(from), date(to)) {
        let behind = to.checked_add_days(Days::new(1)).ok_or_else(none)?;
        (start_of(from, time_zone), start_of(behind, time_zone))
    } else {
        let instant = |text: &str| {
            let local = time(text).ok_or_else(none)?;
            let found = time_zone.from_local_datetime(&local).earliest();
            found.map(|time| time.timestamp_micros()).ok_or_else(|| {
                wrong(format!(
                    "{} skips {}",
                    time_zone.name(),
                    quoted(text.trim())
                ))
            })
        };
        (instant(from)?, instant(to)?)
    };
    if from >= to {
        return Err(wrong(format!("{} holds no time", quoted(text))));
    }
    Ok((from, to))
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()
}

fn time(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    let patterns = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let mut read =
        (patterns.iter()).filter_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok());
    read.next()
}

/// The first instant of a local day.
fn start_of(day: NaiveDate, time_zone: Tz) -> i64 {
    let noon = day.and_time(NaiveTime::MIN) + chrono::TimeDelta::hours(12);
    let days = Windows::Days(1, time_zone);
    // Clocks do not skip noon; where they ever did, it is that of UTC.
    let noon = (time_zone.from_local_datetime(&noon).earliest()).map_or_else(
        || noon.and_utc().timestamp_micros(),
        |noon| noon.timestamp_micros(),
    );
    days.start(days.number(noon))
}

fn as_usize(number: u64) -> Result<usize, Wrong> {
    usize::try_from(number)
        .map_err(|_| Wrong::new(format!("{number} is more than this machine counts")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str) -> Result<String, String> {
        let shown = |micros: i64| {
            let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            time.format("%Y-%m-%dT%H:%MZ").to_string()
        };
        read_times(text, Tz::Europe__Madrid)
            .map(|(from, to)| format!("{} {}", shown(from), shown(to)))
            .map_err(|wrong| wrong.what)
    }

    #[test]
    fn excluded_times_are_days_and_times_of_the_business_time_zone() {
        let good = [
            ("2026-12-25", "2026-12-24T23:00Z 2026-12-25T23:00Z"),
            // Days of 23 and 25 hours.
            ("2026-03-29", "2026-03-28T23:00Z 2026-03-29T22:00Z"),
            (
                "2026-10-25 .. 2026-10-26",
                "2026-10-24T22:00Z 2026-10-26T23:00Z",
            ),
            (
                "2026-03-02T10:00..2026-03-02T12:30:00",
                "2026-03-02T09:00Z 2026-03-02T11:30Z",
            ),
        ];
        for (text, expected) in good {
            assert_eq!(times(text).as_deref(), Ok(expected), "{text}");
        }
        let bad = [
            ("2026-02-30", "\"2026-02-30\" is no day or time"),
            ("christmas", "\"christmas\" is no day or time"),
            (
                "2026-12-25..2026-12-24",
                "\"2026-12-25..2026-12-24\" holds no time",
            ),
            (
                "2026-03-29T02:30..2026-03-29T04:00",
                "Europe/Madrid skips \"2026-03-29T02:30\"",
            ),
            ("2026-12-25T10:00", "\"2026-12-25T10:00\" holds no time"),
        ];
        for (text, expected) in bad {
            assert_eq!(times(text), Err(expected.to_owned()), "{text}");
        }
    }
}
