//! Alerts: who is told of which checks, and how often.

use std::collections::BTreeSet;
use std::time::Duration;

use super::report::{Report, Wrong};
use super::units::read_duration_in;
use super::words::check_name;
use crate::job::plan::{AlertsPlan, Receiver};
use crate::job::problems::quoted;
use crate::job::spec::{AlertsSpec, CheckSpec, Named, SeveritySpec, WindowSpec};

/// How long a delivery may take: a receiver on the other side of the world answers in a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause between tries: who comes back is told within a minute.
const RETRY: Duration = Duration::from_mins(1);

/// Prometheus' own pace.
const RESEND: Duration = Duration::from_mins(1);

/// Longer than a machine takes to come back, and short enough that alerts of a job that is gone for good go, too.
const EXPIRES_AFTER: Duration = Duration::from_hours(1);

/// What ended longer ago is history; windows of days are judged within one.
const MAX_AGE: Duration = Duration::from_hours(24);

/// As long as reading what came in an hour or two takes.
const SETTLE: Duration = Duration::from_mins(5);

/// Longest time of all: a hundred years, so that times are added without thinking.
const MOST: Duration = Duration::from_hours(36_500 * 24);

/// Shortest time of those that must be one.
const LEAST: Duration = Duration::from_millis(10);

/// What a group may be named by besides columns of segments.
const GROUPS: [&str; 3] = ["check", "condition", "segment"];

/// Labels that every alert has.
const LABELS: [&str; 5] = ["alertname", "job", "segment", "condition", "severity"];

/// What alerts may be about.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) checks: &'a Named<CheckSpec>,
    pub(super) windows: &'a Named<WindowSpec>,
    pub(super) is_continuous: bool,
}

/// Resolves `[alerts]`, in file order; faulty ones are left out.
pub(super) fn resolve_alerts(
    report: &mut Report<'_>,
    spec: &Named<AlertsSpec>,
    context: Context<'_>,
) -> Vec<AlertsPlan> {
    let each = spec.iter();
    each.filter_map(|(name, alerts)| resolve_one(report, name, alerts, context))
        .collect()
}

fn resolve_one(
    report: &mut Report<'_>,
    name: &str,
    spec: &AlertsSpec,
    context: Context<'_>,
) -> Option<AlertsPlan> {
    let before = report.len();
    let path = ["alerts", name];
    report.check_name(&path, check_name(name));
    if !context.is_continuous {
        let wrong = Wrong::new("a job with an end tells nobody of its checks");
        report.add_name(
            &path,
            wrong
                .expected("no [alerts], or a source without an end (`kafka`, or `files` with follow = true)")
                .hint("a run whose check fails ends with exit code 1: whoever starts it sees that"),
        );
    }
    check_checks(report, name, spec, context);
    let group_by = spec.group_by.clone();
    check_groups(report, name, spec, context);
    let mut duration = |option: &[&str], text: &Option<String>, default: Duration| {
        let Some(text) = text else {
            return default;
        };
        let path = [&path[..], option].concat();
        report
            .take(&path, read_duration_in(text, LEAST, MOST))
            .unwrap_or(default)
    };
    let max_age = duration(&["max_age"], &spec.max_age, MAX_AGE);
    let settle = duration(&["settle"], &spec.settle, SETTLE);
    let timeout = duration(&["timeout"], &spec.timeout, TIMEOUT);
    let retry = duration(&["retry"], &spec.retry, RETRY);
    let to = match (&spec.alertmanager, &spec.webhook, &spec.log) {
        (Some(to), None, None) => {
            let resend = duration(&["alertmanager", "resend"], &to.resend, RESEND);
            let of_expiry = ["alertmanager", "expires_after"];
            let expires_after = duration(&of_expiry, &to.expires_after, EXPIRES_AFTER);
            if expires_after < resend.saturating_mul(2) {
                let wrong = Wrong::new("alerts would be over before they are told again");
                report.add(
                    &["alerts", name, "alertmanager"],
                    wrong.expected("expires_after of at least twice resend"),
                );
            }
            check_url(report, &["alerts", name, "alertmanager", "url"], &to.url);
            check_labels(report, name, &to.labels);
            Some(Receiver::Alertmanager {
                url: to.url.trim_end_matches('/').to_owned(),
                resend,
                expires_after,
                labels: to
                    .labels
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.clone()))
                    .collect(),
            })
        }
        (None, Some(to), None) => {
            let of_remind = ["webhook", "remind"];
            let remind = to.remind.is_some();
            let remind = remind.then(|| duration(&of_remind, &to.remind, MOST));
            check_url(report, &["alerts", name, "webhook", "url"], &to.url);
            if to.secret.as_ref().is_some_and(String::is_empty) {
                report.add(
                    &["alerts", name, "webhook", "secret"],
                    Wrong::new("it is empty, and signs nothing").hint(
                        "set the variable that it stands for, or leave it out where nothing is signed",
                    ),
                );
            }
            Some(Receiver::Webhook {
                url: to.url.clone(),
                secret: to.secret.clone(),
                remind,
            })
        }
        (None, None, Some(_)) => Some(Receiver::Log),
        _ => {
            report.add(
                &path,
                Wrong::new("it does not say in exactly one way who is told")
                    .expected("one of alertmanager, webhook, log"),
            );
            None
        }
    };
    let to = to.filter(|_| report.len() == before)?;
    Some(AlertsPlan {
        name: name.to_owned(),
        to,
        checks: spec.checks.clone(),
        warns: spec.severity != Some(SeveritySpec::Fail),
        group_by: group_by.unwrap_or_else(|| vec!["segment".to_owned()]),
        after: spec.after.unwrap_or(1),
        max_age,
        settle,
        timeout,
        retry,
    })
}

fn check_checks(report: &mut Report<'_>, name: &str, spec: &AlertsSpec, context: Context<'_>) {
    let mut known: BTreeSet<String> = context.checks.names().map(str::to_owned).collect();
    for (window, spec) in context.windows.iter() {
        known.extend(spec.statistics.names().map(|of| format!("{window}.{of}")));
    }
    for (index, check) in spec.checks.iter().flatten().enumerate() {
        if !known.contains(check) {
            let names: Vec<&str> = context.checks.names().collect();
            let wrong = Wrong::new(format!("there is no check {}", quoted(check)))
                .expected(names.join(", "))
                .did_you_mean(check, known.iter().map(String::as_str));
            report.add(&["alerts", name, "checks", &index.to_string()], wrong);
        }
    }
}

fn check_groups(report: &mut Report<'_>, name: &str, spec: &AlertsSpec, context: Context<'_>) {
    let windows = context.windows.iter();
    let of_windows = windows.filter_map(|(_, window)| window.per.as_ref());
    let checks = context.checks.iter();
    let of_checks = checks.filter_map(|(_, check)| check.freshness.as_ref()?.per.as_ref());
    let columns = of_windows.chain(of_checks).flatten().map(String::as_str);
    let known: BTreeSet<&str> = columns.chain(GROUPS).collect();
    for (index, group) in spec.group_by.iter().flatten().enumerate() {
        if !known.contains(group.as_str()) {
            let all: Vec<&str> = known.iter().copied().collect();
            let wrong = Wrong::new(format!("alerts are not told apart by {}", quoted(group)))
                .expected(all.join(", "))
                .did_you_mean(group, known.iter().copied());
            report.add(&["alerts", name, "group_by", &index.to_string()], wrong);
        }
    }
}

fn check_url(report: &mut Report<'_>, path: &[&str], url: &str) {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(['@', ' ']))
    {
        // It may hold a secret, and is not shown.
        report.add(
            path,
            Wrong::new("it is no address").expected("http:// or https:// and a host"),
        );
    }
}

fn check_labels(report: &mut Report<'_>, name: &str, labels: &Named<String>) {
    for label in labels.names() {
        let path = ["alerts", name, "alertmanager", "labels", label];
        if report.check_name(&path, check_name(label)) && LABELS.contains(&label) {
            report.add_name(
                &path,
                Wrong::new(format!("{} is a label of every alert", quoted(label)))
                    .hint("give it another name"),
            );
        }
    }
}
