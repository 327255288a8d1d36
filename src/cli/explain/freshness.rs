//! Freshness checks and calendars in words.

use serde_json::{Value, json};

use crate::job::plan::{CalendarPlan, FreshnessOn, FreshnessPlan, Plan};
use crate::job::resolve::MOST_SEGMENTS;

/// A freshness check.
pub(super) fn words(plan: &Plan, freshness: &FreshnessPlan) -> String {
    let columns = freshness.per.iter();
    let columns: Vec<&str> = columns.map(|id| plan.columns[*id].name.as_str()).collect();
    let per = if columns.is_empty() {
        String::new()
    } else {
        format!(" per {}", columns.join(", "))
    };
    let on = match freshness.on {
        FreshnessOn::Event => "",
        FreshnessOn::Arrival => " by arrival",
    };
    let calendar = freshness.calendar.map_or_else(String::new, |calendar| {
        format!(" in hours of calendar {}", plan.calendars[calendar].name)
    });
    let expected = freshness.expected.as_ref();
    let expected = expected.map_or_else(String::new, |expected| {
        let lookup = &plan.lookups[expected.lookup].name;
        format!(", expected as look-up {lookup} says")
    });
    let most = if freshness.max_segments == MOST_SEGMENTS {
        String::new()
    } else {
        format!(", of {} segments at most", freshness.max_segments)
    };
    let after = |what: &str, micros: Option<i64>| {
        micros.map_or_else(String::new, |micros| {
            format!(", {what} after {} s", micros / 1_000_000)
        })
    };
    format!(
        "freshness{per}{on}{calendar}{}{}{expected}{}{most}",
        after("warn", freshness.warn_after),
        after("fail", freshness.fail_after),
        after("retired", freshness.retire_after),
    )
}

/// A calendar.
pub(super) fn calendar(calendar: &CalendarPlan) -> Value {
    const DAYS: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let days = DAYS.iter().zip(calendar.days);
    let days: Vec<&str> = days
        .filter_map(|(day, is_open)| is_open.then_some(*day))
        .collect();
    let clock = |micros: i64| {
        let minutes = micros / 60_000_000;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let hours = calendar.hours.iter();
    let hours: Vec<String> = hours
        .map(|(from, to)| format!("{} to {}", clock(*from), clock(*to)))
        .collect();
    let closed: i64 = calendar
        .holidays
        .iter()
        .map(|(from, to)| to - from + 1)
        .sum();
    let file = calendar.file.as_ref();
    let file = file.map_or_else(String::new, |file| {
        format!(" and those of {}", file.display())
    });
    json!(format!(
        "{}, {}, {}, closed on {closed} days{file}",
        calendar.time_zone.name(),
        days.join(", "),
        hours.join(", ")
    ))
}
