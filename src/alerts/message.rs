//! What a receiver is sent: messages of JSON with their signatures, alerts as Alertmanager has them, words for the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};
use ring::hmac;
use serde_json::{Value, json};

use super::told::{Alert, Change, Common, Known, Told, Turn};
use crate::cluster::exchange::hash_bytes;
use crate::job::plan::{Measure, Plan};
use crate::record::Epoch;

/// Version of the messages.
const VERSION: u32 = 1;

/// Alerts whose words a line of the log has; of the others there is the number.
const IN_WORDS: usize = 5;

/// What alerts are called by: the columns of their segments.
#[derive(Debug, Clone)]
pub struct Names {
    job: String,
    /// By check, and by window for its statistics.
    columns: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Of a job.
    pub fn of(plan: &Plan) -> Self {
        let names = |ids: &[usize]| -> Vec<String> {
            let ids = ids.iter();
            ids.map(|id| plan.columns[*id].name.clone()).collect()
        };
        let windows = plan.windows.iter();
        let mut columns: BTreeMap<String, Vec<String>> = windows
            .map(|window| (format!("{}.", window.name), names(&window.per)))
            .collect();
        for check in &plan.checks {
            let per = match &check.measure {
                Measure::Freshness(freshness) => names(&freshness.per),
                Measure::Completeness { window, .. } | Measure::Variance { window, .. } => {
                    names(&plan.windows[*window].per)
                }
            };
            columns.insert(check.name.clone(), per);
        }
        Self {
            job: plan.name.clone(),
            columns,
        }
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The columns of a segment and their values, as far as its text tells.
    fn segment<'a>(&'a self, check: &str, segment: &'a str) -> Vec<(&'a str, &'a str)> {
        let of_window = check.split_inclusive('.').next();
        let columns = self.columns.get(check);
        let columns = columns.or_else(|| self.columns.get(of_window?));
        let Some(columns) = columns else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut rest = segment;
        for (place, column) in columns.iter().enumerate() {
            let value = rest.strip_prefix(column.as_str());
            let Some(value) = value.and_then(|value| value.strip_prefix('=')) else {
                break;
            };
            let next = columns.get(place + 1).map(|next| format!(", {next}="));
            let end = next.and_then(|next| value.find(&next));
            let (value, after) = match end {
                Some(end) => (&value[..end], &value[end + 2..]),
                None => (value, ""),
            };
            values.push((column.as_str(), value));
            rest = after;
        }
        values
    }

    /// What an alert is for a word of `group_by`.
    pub fn value(&self, change: &Change, word: &str) -> String {
        let (check, segment) = &change.about;
        match word {
            "check" => check.clone(),
            "segment" => segment.clone(),
            "condition" => change.alert.condition.as_str().to_owned(),
            column => {
                let values = self.segment(check, segment);
                let value = values.iter().find(|(name, _)| *name == column);
                value.map_or_else(String::new, |(_, value)| (*value).to_owned())
            }
        }
    }
}

/// A time in microseconds since 1970, as RFC 3339 has it.
pub fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || "1970-01-01T00:00:00Z".to_owned(),
        |time| time.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// The id of a message: the same for the same changes to what a receiver knows, whichever life sends it.
pub fn id(names: &Names, receiver: &str, told: &Told, changes: &[Change]) -> String {
    let each = changes.iter().map(|change| {
        let id = change.alert.id(names.job(), &change.about);
        format!("{} {id}", change.turn.as_str())
    });
    let each: Vec<String> = each.collect();
    let whole = json!([names.job(), receiver, told.number, each]).to_string();
    format!("{:016x}", hash_bytes(whole.as_bytes()))
}

/// A message of JSON.
pub fn webhook(
    names: &Names,
    (receiver, id): (&str, &str),
    (common, changes): &(Common, Vec<Change>),
    (epoch, now): (Epoch, i64),
    open_after: usize,
) -> Value {
    let alerts = changes.iter().map(|change| {
        let Change { about, turn, alert } = change;
        json!({
            "id": alert.id(names.job(), about),
            "state": turn.as_str(),
            "check": about.0,
            "segment": about.1,
            "condition": alert.condition.as_str(),
            "severity": alert.condition.severity(),
            "window_start": alert.window.map(|window| time(window.0)),
            "window_end": alert.window.map(|window| time(window.1)),
            "value": alert.value,
            "expected": alert.expected,
            "opened_at": time(alert.since),
            "resolved_at": (*turn == Turn::Resolved).then(|| time(now)),
        })
    });
    let group: serde_json::Map<String, Value> = common
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "version": VERSION,
        "id": id,
        "job": names.job(),
        "receiver": receiver,
        "epoch": epoch,
        "at": time(now),
        "group": group,
        "words": words(changes),
        "alerts": alerts.collect::<Vec<_>>(),
        "open": open_after,
    })
}

/// The value of the header `caudal-signature`: who knows the key can tell that a body was sent by the job, and when.
pub fn signature(key: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let mut text = format!("t={seconds},v1=");
    for byte in tag.as_ref() {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

/// An alert as Alertmanager takes it: open until `ends_at`, or over since then. It starts when it was told first, since a group whose
/// first alert started longer ago than the group is to wait for others is told at once and without them.
pub fn alertmanager(
    names: &Names,
    labels: &BTreeMap<String, String>,
    about: &(String, String),
    alert: &Alert,
    (starts_at, ends_at): (i64, i64),
) -> Value {
    let (check, segment) = about;
    let mut all: BTreeMap<String, &str> = names
        .segment(check, segment)
        .into_iter()
        .map(|(name, value)| (label(name), value))
        .collect();
    let own = [
        ("alertname", check.as_str()),
        ("job", names.job()),
        ("segment", segment),
        ("condition", alert.condition.as_str()),
        ("severity", alert.condition.severity()),
    ];
    all.extend(
        labels
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str())),
    );
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    // An empty label is none for Alertmanager.
    all.retain(|_, value| !value.is_empty());
    json!({
        "labels": all,
        "annotations": { "summary": subject(about, alert), "description": description(alert) },
        "startsAt": time(starts_at.min(ends_at)),
        "endsAt": time(ends_at),
    })
}

/// Those of what a receiver knows, as Alertmanager takes them.
pub fn alertmanager_all(
    names: &Names,
    labels: &BTreeMap<String, String>,
    open: &BTreeMap<(String, String), Known>,
    ends_at: i64,
) -> Vec<Value> {
    let each = open.iter();
    each.map(|(about, known)| {
        let times = (known.told_at, ends_at);
        alertmanager(names, labels, about, &known.alert, times)
    })
    .collect()
}

/// A name that Alertmanager takes for a label.
fn label(name: &str) -> String {
    let mut text: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect();
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text
}

/// Changes in words: what opened, what is still open, what is resolved.
pub fn words(changes: &[Change]) -> String {
    let mut parts = Vec::new();
    for turn in [Turn::Opened, Turn::Still, Turn::Resolved] {
        let of_turn = changes.iter().filter(|change| change.turn == turn);
        let of_turn: Vec<&Change> = of_turn.collect();
        if of_turn.is_empty() {
            continue;
        }
        let each = of_turn.iter().take(IN_WORDS);
        let mut each: Vec<String> = each
            .map(|change| subject(&change.about, &change.alert))
            .collect();
        if of_turn.len() > IN_WORDS {
            each.push(format!("and {} more", of_turn.len() - IN_WORDS));
        }
        parts.push(format!("{}: {}", turn.as_str(), each.join("; ")));
    }
    parts.join(". ")
}

/// An alert in a line.
fn subject((check, segment): &(String, String), alert: &Alert) -> String {
    let mut text = check.clone();
    if !segment.is_empty() {
        write!(text, ", {segment}").expect("a String takes everything");
    }
    let condition = alert.condition.as_str();
    write!(text, ": {condition}").expect("a String takes everything");
    text
}

fn description(alert: &Alert) -> String {
    let mut parts = Vec::new();
    if let Some(value) = alert.value {
        parts.push(format!("value {value}"));
    }
    if let Some(expected) = &alert.expected {
        parts.push(format!("expected {expected}"));
    }
    if let Some((start, end)) = alert.window {
        parts.push(format!("window {} to {}", time(start), time(end)));
    }
    parts.push(format!("since {}", time(alert.since)));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::watch::Condition;

    fn names() -> Names {
        let columns = BTreeMap::from([
            (
                "usual".to_owned(),
                vec!["region".to_owned(), "sales.channel".to_owned()],
            ),
            ("minute.".to_owned(), vec!["region".to_owned()]),
        ]);
        Names {
            job: "ventas".to_owned(),
            columns,
        }
    }

    fn change(check: &str, segment: &str, turn: Turn) -> Change {
        Change {
            about: (check.to_owned(), segment.to_owned()),
            turn,
            alert: Alert {
                condition: Condition::Fail,
                window: Some((0, 60_000_000)),
                value: Some(0.5),
                expected: Some(">= 0.9".to_owned()),
                since: 90_000_000,
            },
        }
    }

    /// The signature of RFC 4231's second case is `5bdcc146…`; the one here was worked out by Python's `hmac` module.
    #[test]
    fn a_signature_is_what_others_work_out() {
        assert_eq!(
            signature("Jefe", 1_773_489_600, "{\"a\":1}"),
            SIGNED_BY_PYTHON
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        assert_eq!(tag.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    const SIGNED_BY_PYTHON: &str =
        "t=1773489600,v1=6ff7e1e1693114385ac520ac7902d03b079506e9d997aac61dae2c82b4480496";

    #[test]
    fn segments_are_told_by_their_columns() {
        let names = names();
        let text = "region=N, sales.channel=a, region=b";
        assert_eq!(
            names.segment("usual", text),
            [("region", "N"), ("sales.channel", "a, region=b")]
        );
        assert_eq!(names.segment("minute.rows", "region=S"), [("region", "S")]);
        assert_eq!(names.segment("gone", "region=S"), []);
        let change = change("usual", text, Turn::Opened);
        assert_eq!(names.value(&change, "region"), "N");
        assert_eq!(names.value(&change, "check"), "usual");
        assert_eq!(names.value(&change, "zone"), "");
    }

    #[test]
    fn alertmanager_gets_labels_that_it_takes() {
        let change = change("usual", "region=N, sales.channel=web", Turn::Opened);
        let labels = BTreeMap::from([("team".to_owned(), "sales".to_owned())]);
        let value = alertmanager(
            &names(),
            &labels,
            &change.about,
            &change.alert,
            (100_000_000, 150_000_000),
        );
        assert_eq!(
            value,
            json!({
                "labels": {
                    "alertname": "usual", "condition": "fail", "job": "ventas", "region": "N", "sales_channel": "web",
                    "segment": "region=N, sales.channel=web", "severity": "fail", "team": "sales",
                },
                "annotations": {
                    "summary": "usual, region=N, sales.channel=web: fail",
                    "description": "value 0.5, expected >= 0.9, window 1970-01-01T00:00:00.000Z to 1970-01-01T00:01:00.000Z, since 1970-01-01T00:01:30.000Z",
                },
                "startsAt": "1970-01-01T00:01:40.000Z",
                "endsAt": "1970-01-01T00:02:30.000Z",
            })
        );
        assert_eq!(label("5€"), "_5_");
    }

    #[test]
    fn a_message_has_words_and_an_id_that_stays() {
        let changes: Vec<Change> = (0..7)
            .map(|check| change(&format!("c{check}"), "region=N", Turn::Opened))
            .chain([change("usual", "", Turn::Resolved)])
            .collect();
        assert_eq!(
            words(&changes),
            "open: c0, region=N: fail; c1, region=N: fail; c2, region=N: fail; c3, region=N: fail; c4, region=N: fail; and 2 more. resolved: usual: fail"
        );
        let told = Told::default();
        let first = id(&names(), "hook", &told, &changes);
        assert_eq!(first, id(&names(), "hook", &told, &changes));
        assert_ne!(first, id(&names(), "hook", &told, &changes[1..]));
        let later = Told {
            number: 1,
            ..Told::default()
        };
        assert_ne!(first, id(&names(), "hook", &later, &changes));
        let common = vec![("segment".to_owned(), "region=N".to_owned())];
        let message = webhook(
            &names(),
            ("hook", &first),
            &(common, changes[6..].to_vec()),
            (5, 120_000_000),
            7,
        );
        assert_eq!(message["group"], json!({ "segment": "region=N" }));
        assert_eq!(message["alerts"][0]["state"], "open");
        assert_eq!(message["alerts"][0]["resolved_at"], Value::Null);
        assert_eq!(
            message["alerts"][1]["resolved_at"],
            "1970-01-01T00:02:00.000Z"
        );
        assert_eq!(
            message["alerts"][1]["opened_at"],
            "1970-01-01T00:01:30.000Z"
        );
    }
}
