//! Events on standard error: for people, or as JSON with the field names of the Elastic Common Schema (ECS).
//!
//! What happens in the life of a run is an event at INFO (`action` says which); what was unexpected and recovered from is WARN;
//! what needs someone is ERROR. Nothing is told of a row at any level. Without being asked, people see warnings and errors
//! only: the progress bar and the summary tell them the rest.
//!
//! A field `action` becomes `event.action`, `outcome` `event.outcome`, `error` `error.message`; every other field stands under
//! `caudal.`.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The version of ECS whose names are used.
const ECS_VERSION: &str = "9.0.0";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Warnings and errors, as lines for people.
    Warnings,
    /// The life of the run too, as lines for people.
    People,
    /// All of it, one JSON document a line.
    Json,
}

static SHAPE: AtomicU8 = AtomicU8::new(0);

/// Writes events in this shape from now on, for all threads; the first call counts. Before it, nothing is written.
pub fn install(shape: Shape) {
    let subscriber = tracing_subscriber::registry().with(Lines { shape });
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        SHAPE.store(u8::from(shape == Shape::Json), Ordering::Release);
    }
}

/// Whether standard error is JSON: then nothing else may be written there.
pub fn is_json() -> bool {
    SHAPE.load(Ordering::Acquire) == 1
}

/// Writes each event as a line.
struct Lines {
    shape: Shape,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let most = if self.shape == Shape::Warnings {
            Level::WARN
        } else {
            Level::INFO
        };
        // Libraries speak of themselves; what matters of it comes back as an error of ours.
        let ours = event.metadata().target().starts_with("caudal");
        if level > most || (!ours && level > Level::WARN) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = match self.shape {
            Shape::Json => json(level, event.metadata().target(), fields),
            Shape::Warnings | Shape::People => words(level, &fields),
        };
        // Where standard error is closed there is nobody to tell.
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }
}

/// The fields of an event, in their order.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), Value::from(value)));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), Value::from(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), Value::from(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.push((field.name(), Value::from(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), Value::from(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let value = Value::from(format!("{value:?}"));
            self.others.push((field.name(), value));
        }
    }
}

/// A line for people: `warning: message  field=value`.
fn words(level: Level, fields: &Fields) -> String {
    let mut line = match level {
        Level::ERROR => "error: ".to_owned(),
        Level::WARN => "warning: ".to_owned(),
        _ => String::new(),
    };
    line.push_str(&fields.message);
    for (name, value) in fields.others.iter().filter(|(name, _)| *name != "action") {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        write!(line, "  {name}={value}").expect("a String takes everything");
    }
    line.push('\n');
    line
}

/// One JSON document and a line end.
fn json(level: Level, target: &str, fields: Fields) -> String {
    let now = DateTime::from_timestamp_micros(crate::epoch::wall_time()).unwrap_or_default();
    let now = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("@timestamp", Value::from(now));
    put("log.level", Value::from(level.as_str().to_lowercase()));
    put("message", Value::from(fields.message));
    put("ecs.version", Value::from(ECS_VERSION));
    put("service.name", Value::from("caudal"));
    put("service.version", Value::from(env!("CARGO_PKG_VERSION")));
    put("process.pid", Value::from(std::process::id()));
    put("log.logger", Value::from(target));
    for (name, value) in fields.others {
        match name {
            "action" => put("event.action", value),
            "outcome" => put("event.outcome", value),
            "error" => put("error.message", value),
            name => put(&format!("caudal.{name}"), value),
        };
    }
    let mut line = Value::Object(line).to_string();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_message_first_and_no_code() {
        let fields = Fields {
            message: "the run has ended".to_owned(),
            others: vec![
                ("action", Value::from("run-ended")),
                ("rows_in", Value::from(7)),
            ],
        };
        assert_eq!(
            words(Level::INFO, &fields),
            "the run has ended  rows_in=7\n"
        );
        assert_eq!(
            words(
                Level::WARN,
                &Fields {
                    message: "gone".to_owned(),
                    others: Vec::new()
                }
            ),
            "warning: gone\n"
        );
    }

    #[test]
    fn json_has_the_names_of_ecs_and_one_line() {
        let fields = Fields {
            message: "two\nlines".to_owned(),
            others: vec![("action", Value::from("x")), ("workers", Value::from(2))],
        };
        let line = json(Level::WARN, "caudal::cluster", fields);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["log.level"], "warn");
        assert_eq!(read["message"], "two\nlines");
        assert_eq!(read["event.action"], "x");
        assert_eq!(read["caudal.workers"], 2);
        assert!(read["@timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
