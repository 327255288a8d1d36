//! `[calendars]`: when a business is open.

use std::path::Path;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::checks::Context;
use super::report::{Report, Wrong};
use super::units::DAY;
use super::words::{check_name, read_time_zone};
use crate::job::plan::CalendarPlan;
use crate::job::problems::quoted;
use crate::job::spec::{CalendarSpec, Named, WeekdaySpec};

/// Days in chrono's count before 1970-01-01.
const DAYS_BEFORE_1970: i32 = 719_163;

/// Monday to Friday.
const WORKING_DAYS: [bool; 7] = [true, true, true, true, true, false, false];

/// Resolves `[calendars]`, in file order.
pub(super) fn resolve_calendars(
    report: &mut Report<'_>,
    specs: &Named<CalendarSpec>,
    folder: &Path,
    time_zone: Tz,
) -> Vec<CalendarPlan> {
    let each = specs.iter();
    each.map(|(name, spec)| resolve_calendar(report, name, spec, folder, time_zone))
        .collect()
}

/// Index of a calendar, by its name.
pub(super) fn find_calendar(
    report: &mut Report<'_>,
    path: &[&str],
    written: &str,
    context: Context<'_>,
) -> Option<usize> {
    let names = || context.calendars.names();
    let found = context.calendars.position(written);
    if found.is_none() {
        let expected = if context.calendars.is_empty() {
            "a calendar of [calendars]".to_owned()
        } else {
            names().collect::<Vec<_>>().join(", ")
        };
        let wrong = Wrong::new(format!("{} is no calendar", quoted(written)));
        let wrong = wrong.expected(expected).did_you_mean(written, names());
        report.add(path, wrong);
    }
    found
}

fn resolve_calendar(
    report: &mut Report<'_>,
    name: &str,
    spec: &CalendarSpec,
    folder: &Path,
    time_zone: Tz,
) -> CalendarPlan {
    let at = |option: &'static str| ["calendars", name, option];
    report.check_name(&["calendars", name], check_name(name));
    let own = spec.time_zone.as_deref();
    let own = own.and_then(|zone| report.take(&at("time_zone"), read_time_zone(zone)));
    let days = match &spec.days {
        None => WORKING_DAYS,
        Some(days) => {
            if days.is_empty() {
                let wrong = Wrong::new("it is never open, and no age would ever grow");
                report.add(&at("days"), wrong.expected("one day at least"));
            }
            let mut open = [false; 7];
            for day in days {
                open[place(*day)] = true;
            }
            open
        }
    };
    let hours = read_all_hours(report, name, spec);
    let mut holidays = Vec::new();
    for (index, text) in spec.holidays.iter().flatten().enumerate() {
        let index = index.to_string();
        let path = ["calendars", name, "holidays", &index];
        holidays.extend(report.take(&path, read_days(text)));
    }
    let file = spec.holidays_file.as_ref().and_then(|file| {
        if file.trim().is_empty() {
            let wrong = Wrong::new("it names no file");
            report.add(&at("holidays_file"), wrong.expected("a path"));
            return None;
        }
        Some(folder.join(file))
    });
    CalendarPlan {
        name: name.to_owned(),
        time_zone: own.unwrap_or(time_zone),
        days,
        hours,
        holidays,
        file,
    }
}

/// Hours in order, apart from each other.
fn read_all_hours(report: &mut Report<'_>, name: &str, spec: &CalendarSpec) -> Vec<(i64, i64)> {
    let Some(texts) = &spec.hours else {
        return vec![(0, DAY)];
    };
    if texts.is_empty() {
        let wrong = Wrong::new("it is never open, and no age would ever grow");
        let expected = "hours such as \"09:00..18:00\"";
        report.add(&["calendars", name, "hours"], wrong.expected(expected));
    }
    let mut read: Vec<(i64, i64)> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let index = index.to_string();
        let path = ["calendars", name, "hours", &index];
        let Some(hours) = report.take(&path, read_hours(text)) else {
            continue;
        };
        if read
            .iter()
            .any(|other| hours.0 < other.1 && other.0 < hours.1)
        {
            let wrong = Wrong::new(format!("{} is open already in part", quoted(text)));
            report.add(
                &path,
                wrong.expected("hours that are apart from each other"),
            );
            continue;
        }
        read.push(hours);
    }
    read.sort_unstable();
    read
}

/// Reads `09:00..18:00` in microseconds of a day.
fn read_hours(text: &str) -> Result<(i64, i64), Wrong> {
    let wrong = |what: &str| {
        Wrong::new(format!("{} {what}", quoted(text)))
            .expected("two times of a day, such as \"09:00..18:00\"; \"24:00\" is its end")
    };
    let read = text
        .split_once("..")
        .and_then(|(from, to)| Some((time(from)?, time(to)?)));
    match read {
        None => Err(wrong("are no hours")),
        Some((from, to)) if from > to => Err(wrong("ends before it begins")
            .hint("a night is two: \"22:00..24:00\", \"00:00..06:00\"")),
        Some((from, to)) if from == to => Err(wrong("holds no time")),
        Some(hours) => Ok(hours),
    }
}

fn time(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let is_written = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_written.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = 60 * hours + minutes;
    (minutes < 60 && minute <= 24 * 60).then_some(minute * (DAY / (24 * 60)))
}

/// Reads a date, or two with all between them, in days since 1970.
fn read_days(text: &str) -> Result<(i64, i64), Wrong> {
    let wrong = |what: &str| {
        Wrong::new(format!("{} {what}", quoted(text)))
            .expected("a date or two, such as \"2026-12-25\" or \"2026-08-01..2026-08-15\"")
    };
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (read_date(from), read_date(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        (Some(_), Some(_)) => Err(wrong("ends before it begins")),
        _ => Err(wrong("is no day")),
    }
}

/// Reads a date, in days since 1970.
pub fn read_date(text: &str) -> Option<i64> {
    use chrono::Datelike;
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    Some(i64::from(date.num_days_from_ce() - DAYS_BEFORE_1970))
}

/// From Monday on.
fn place(day: WeekdaySpec) -> usize {
    match day {
        WeekdaySpec::Monday => 0,
        WeekdaySpec::Tuesday => 1,
        WeekdaySpec::Wednesday => 2,
        WeekdaySpec::Thursday => 3,
        WeekdaySpec::Friday => 4,
        WeekdaySpec::Saturday => 5,
        WeekdaySpec::Sunday => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_read_or_told() {
        let hour = DAY / 24;
        for (text, hours) in [
            ("09:00..18:00", (9 * hour, 18 * hour)),
            ("00:00 .. 24:00", (0, DAY)),
            ("23:30..24:00", (23 * hour + hour / 2, DAY)),
        ] {
            assert_eq!(read_hours(text).ok(), Some(hours), "{text}");
        }
        for (text, what) in [
            ("9:00..18:00", "\"9:00..18:00\" are no hours"),
            ("09:00..25:00", "\"09:00..25:00\" are no hours"),
            ("09:60..10:00", "\"09:60..10:00\" are no hours"),
            ("09:00-18:00", "\"09:00-18:00\" are no hours"),
            ("22:00..06:00", "\"22:00..06:00\" ends before it begins"),
            ("09:00..09:00", "\"09:00..09:00\" holds no time"),
        ] {
            assert_eq!(read_hours(text).unwrap_err().what, what);
        }
        assert_eq!(read_days("1970-01-02").ok(), Some((1, 1)));
        assert_eq!(read_days("1970-01-02..1970-01-04").ok(), Some((1, 3)));
        for (text, what) in [
            ("2026-02-30", "\"2026-02-30\" is no day"),
            ("25/12/2026", "\"25/12/2026\" is no day"),
            (
                "2026-12-26..2026-12-25",
                "\"2026-12-26..2026-12-25\" ends before it begins",
            ),
        ] {
            assert_eq!(read_days(text).unwrap_err().what, what);
        }
    }
}
