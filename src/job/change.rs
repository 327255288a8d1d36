//! What differs between two texts of a continuous job, and whether its state goes on under the newer one.
//!
//! The texts are compared as they are written: tables key by key, so that comments, order of tables and layout are no difference.
//! Each difference is then looked up by its path; what no rule allows is refused, since what can't be seen to be right would be found out
//! by wrong numbers only. State is carried over by names, so what is allowed is what no name that has state changes its meaning by:
//!
//! | | |
//! |---|---|
//! | added | rules, checks, windows, derived columns, sinks, columns that may be null, columns of sinks |
//! | changed | thresholds of checks; how files of sinks are compressed; how topics are made and sent to, but not which; what is about reading, waiting and memory, not about rows |
//!
//! An added check, window or sink begins empty with the first epoch of the life that knows it.

use std::fmt;

use toml::{Table, Value};

use super::resolve::cluster_as_written;
use super::secrets::masked;

/// Most characters of a value that are told.
const SHOWN: usize = 64;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    path: Vec<String>,
    was: Option<Value>,
    is: Option<Value>,
}

/// How a newer text stands to an older one.
#[derive(Debug, Clone, PartialEq)]
pub enum Fit {
    /// They mean the same.
    Same,
    /// State goes on: these are the differences.
    Compatible(Vec<Change>),
    /// It does not, because of these.
    Other(Vec<Change>),
}

/// Paths under which values may be other ones; `*` is any name.
const FREE: &[&[&str]] = &[
    &["job", "chunk"],
    &["job", "epoch"],
    &["job", "checkpoint"],
    &["job", "in_flight"],
    &["job", "join_timeout"],
    &["job", "peer_timeout"],
    &["job", "partials"],
    &["job", "state"],
    &["job", "state_options"],
    &["job", "reasons"],
    &["job", "verdict_history"],
    // The cluster is held against its own id when it answers.
    &["sources", "*", "kafka", "brokers"],
    &["sources", "*", "kafka", "start"],
    &["sources", "*", "kafka", "on_data_loss"],
    &["sources", "*", "kafka", "group"],
    &["sources", "*", "kafka", "options"],
    &["lookups", "*", "kafka", "on_data_loss"],
    &["checks", "*", "completeness", "min_rows"],
    &["checks", "*", "completeness", "warn_below"],
    &["checks", "*", "completeness", "fail_below"],
    &["checks", "*", "completeness", "warn_above"],
    &["checks", "*", "completeness", "skip_partial"],
    &["checks", "*", "completeness", "calendar"],
    &["checks", "*", "completeness", "fail_above"],
    // When a business is open says what ages mean, not what is kept.
    &["calendars"],
    &["checks", "*", "freshness", "warn_after"],
    &["checks", "*", "freshness", "fail_after"],
    &["checks", "*", "freshness", "calendar"],
    &["checks", "*", "freshness", "expected"],
    &["checks", "*", "freshness", "retire_after"],
    &["checks", "*", "freshness", "max_segments"],
    &["checks", "*", "variance", "warn_beyond"],
    &["checks", "*", "variance", "fail_beyond"],
    &["checks", "*", "variance", "min_history"],
    // What a baseline holds is told by `against`; how it is measured may change, and what is left out of it by time.
    &["checks", "*", "variance", "method"],
    &["checks", "*", "variance", "direction"],
    &["checks", "*", "variance", "floor"],
    &["checks", "*", "variance", "exclude"],
    &["checks", "*", "variance", "skip_partial"],
    // What is open is told anew to whom was not told.
    &["alerts"],
    &["sinks", "*", "parquet", "compression"],
    &["sinks", "*", "parquet", "merge_files"],
    &["sinks", "*", "parquet", "keep_merged"],
    // Which shard has what is found out anew: nothing is under way when a text is changed.
    &["sinks", "*", "kafka", "shards"],
    &["sinks", "*", "kafka", "on_failure"],
    &["sinks", "*", "kafka", "outbox"],
    &["sinks", "*", "kafka", "options"],
    &["sinks", "*", "kafka", "create"],
    &["sinks", "*", "kafka", "max_message"],
];

/// Those of them that say nothing of what a row, a state or a message is: epochs from before such a change may be read again.
const ALIKE: &[&[&str]] = &[
    &["alerts"],
    &["job", "verdict_history"],
    &["job", "epoch"],
    &["job", "checkpoint"],
    &["job", "in_flight"],
    &["job", "join_timeout"],
    &["job", "peer_timeout"],
    &["job", "state"],
    &["job", "state_options"],
    &["sources", "*", "kafka", "brokers"],
    &["sources", "*", "kafka", "group"],
    &["sources", "*", "kafka", "options"],
    &["sinks", "*", "kafka", "on_failure"],
    &["sinks", "*", "kafka", "outbox"],
    &["sinks", "*", "kafka", "options"],
    &["sinks", "*", "kafka", "create"],
    &["sources", "*", "kafka", "on_data_loss"],
    &["lookups", "*", "kafka", "on_data_loss"],
    &["sinks", "*", "parquet", "merge_files"],
    &["sinks", "*", "parquet", "keep_merged"],
];

/// Of those what nothing that was read depends on: it may be another while epochs are to be read again, too. It says what happens where they
/// can't be, and the job could not be stopped in good order before.
const AT_ONCE: &[&[&str]] = &[
    &["sources", "*", "kafka", "on_data_loss"],
    &["lookups", "*", "kafka", "on_data_loss"],
];

/// Tables to which names may be added.
const OPEN: &[&[&str]] = &[
    &["rules", "*"],
    &["checks", "*"],
    &["windows", "*"],
    &["derive", "*"],
    &["sinks", "*"],
    &["sinks", "*", "columns", "*"],
    &["sinks", "*", "kafka", "headers", "*"],
];

/// What an added sink must not say anew for a cluster that is written already: it would be another target, whose progress nobody knows.
const OF_CLUSTERS: &[&str] = &["id", "delivery"];

/// The columns of a source, to which those may be added that may be null.
const COLUMN: &[&str] = &["sources", "*", "columns", "*"];

/// Compares two texts of a job. A text that is no TOML is another job: neither can be run.
pub fn compare(before: &str, now: &str) -> Fit {
    let (Ok(before), Ok(now)) = (before.parse::<Table>(), now.parse::<Table>()) else {
        return if before == now {
            Fit::Same
        } else {
            Fit::Other(Vec::new())
        };
    };
    let mut changes = Vec::new();
    differ(&mut Vec::new(), &before, &now, &mut changes);
    if changes.is_empty() {
        return Fit::Same;
    }
    let mut refused: Vec<Change> = changes.iter().filter(|one| !one.fits()).cloned().collect();
    refused.extend(other_clusters(&before, &now));
    if refused.is_empty() {
        Fit::Compatible(changes)
    } else {
        Fit::Other(refused)
    }
}

fn differ(path: &mut Vec<String>, before: &Table, now: &Table, changes: &mut Vec<Change>) {
    let removed = before.iter().filter(|(key, _)| !now.contains_key(*key));
    let removed: Vec<(&String, Option<&Value>, Option<&Value>)> =
        removed.map(|(key, was)| (key, Some(was), None)).collect();
    let others = now.iter().map(|(key, is)| (key, before.get(key), Some(is)));
    for (key, was, is) in removed.into_iter().chain(others) {
        path.push(key.clone());
        match (was, is) {
            (Some(was), Some(is)) if was == is => {}
            (Some(Value::Table(was)), Some(Value::Table(is))) => differ(path, was, is, changes),
            // A table of names that was not there is one without names: each of them is told.
            (None, Some(Value::Table(is))) if path.len() == 1 => {
                differ(path, &Table::new(), is, changes);
            }
            (Some(Value::Table(was)), None) if path.len() == 1 => {
                differ(path, was, &Table::new(), changes);
            }
            _ => changes.push(Change {
                path: path.clone(),
                was: was.cloned(),
                is: is.cloned(),
            }),
        }
        path.pop();
    }
}

/// What sinks that were added say otherwise of a cluster that others write to already. What stood there before is told by its own change.
fn other_clusters(before: &Table, now: &Table) -> Vec<Change> {
    let known: Vec<_> = topics(before).map(|(_, kafka)| kafka).collect();
    let is_added = |sink: &&str| topics(before).all(|(own, _)| own != *sink);
    let mut changes = Vec::new();
    for (sink, kafka) in topics(now).filter(|(sink, _)| is_added(sink)) {
        let brokers = brokers(kafka);
        let same: Vec<_> = known
            .iter()
            .filter(|known| self::brokers(known) == brokers)
            .collect();
        for option in OF_CLUSTERS {
            let was = same.iter().find_map(|known| known.get(*option));
            let is = kafka.get(*option);
            if !same.is_empty() && is.is_some() && is != was {
                changes.push(Change {
                    path: ["sinks", sink, "kafka", option].map(str::to_owned).to_vec(),
                    was: was.cloned(),
                    is: is.cloned(),
                });
            }
        }
    }
    changes
}

/// The sinks that write topics, and their tables `kafka`.
fn topics(job: &Table) -> impl Iterator<Item = (&str, &Table)> {
    let sinks = job.get("sinks").and_then(Value::as_table).into_iter();
    sinks.flatten().filter_map(|(name, sink)| {
        let kafka = sink.get("kafka").and_then(Value::as_table)?;
        Some((name.as_str(), kafka))
    })
}

/// The brokers of a table `kafka` in one spelling, as far as they can be read.
fn brokers(kafka: &Table) -> Vec<String> {
    let written = kafka
        .get("brokers")
        .and_then(Value::as_str)
        .unwrap_or_default();
    cluster_as_written(written)
}

impl Change {
    /// Whether epochs that were read before it would be read as they were.
    pub fn reads_alike(&self) -> bool {
        self.is_below(ALIKE)
    }

    /// Whether it may be made while epochs are to be read again.
    pub fn is_at_once(&self) -> bool {
        self.is_below(AT_ONCE)
    }

    /// Whether it is at one of these paths, or below.
    fn is_below(&self, patterns: &[&[&str]]) -> bool {
        let is_below = |pattern: &&[&str]| pattern.len() <= self.path.len() && self.is_at(pattern);
        patterns.iter().any(is_below)
    }

    /// Whether its path begins as a pattern says.
    fn is_at(&self, pattern: &[&str]) -> bool {
        let mut parts = pattern.iter().zip(&self.path);
        parts.all(|(pattern, part)| *pattern == "*" || pattern == part)
    }

    fn fits(&self) -> bool {
        if self.is_below(FREE) {
            return true;
        }
        let (None, Some(is)) = (&self.was, &self.is) else {
            return false;
        };
        let is_name = |pattern: &&[&str]| pattern.len() == self.path.len() && self.is_at(pattern);
        OPEN.iter().any(is_name) || is_name(&COLUMN) && may_be_null(is)
    }
}

/// Whether a column is one that rows may lack: those of messages that are read already lack it.
fn may_be_null(column: &Value) -> bool {
    let text = match column {
        Value::String(text) => Some(text.as_str()),
        Value::Table(table) => table.get("type").and_then(Value::as_str),
        _ => None,
    };
    text.is_some_and(|text| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        !words.ends_with(&["not".to_owned(), "null".to_owned()])
    })
}

/// In words, without secrets: `windows.minute.length was "1 minute" and is "2 minutes"`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = super::problems::dotted(&self.path);
        // A secret stands in an option of its name, or in a table of such.
        let own = self.path.last().map_or("", String::as_str);
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => {
                write!(
                    f,
                    "{path} was {} and is {}",
                    shown(own, was),
                    shown(own, is)
                )
            }
            (Some(was), None) => write!(f, "{path} = {} was taken away", shown(own, was)),
            (None, Some(is)) => write!(f, "{path} = {} was added", shown(own, is)),
            (None, None) => write!(f, "{path}"),
        }
    }
}

fn shown(name: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("{:?}", masked(name, text)),
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let each = table
                .iter()
                .map(|(name, value)| format!("{name} = {}", shown(name, value)));
            format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            let each = values.iter().map(|value| shown(name, value));
            format!("[{}]", each.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"
format = 1
[job]
name = "sales"
key = ["region"]
output = "out"
[sources.sales]
event_time = "ts"
disorder = "10 seconds"
kafka = { brokers = "a:1", topics = ["ventas"], options = { "sasl.password" = "geheim", "client.id" = "x" } }
json = {}
[sources.sales.columns]
id = "bigint not null"
ts = "timestamp not null"
region = { type = "varchar not null", reason = "no_region" }
amount = "decimal(12,2)"
[rules.positive]
expect = "amount > 0"
[windows.minute]
per = ["region"]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
[checks.usual]
window = "minute"
variance = { of = "rows", against = { previous = 10 }, warn_beyond = 3.0 }
[sinks.rows]
files = { path = "rows" }
parquet = {}
[sinks.topic]
kafka = { brokers = "a:1, b", topic = "limpias", key = "id" }
json = {}
"#;

    #[test]
    fn what_happens_where_messages_are_gone_may_be_told_at_any_time() {
        let added = |what: &str| {
            let Fit::Compatible(changes) = changed(
                "topics = [\"ventas\"]",
                &format!("topics = [\"ventas\"], {what}"),
            ) else {
                panic!("{what}");
            };
            changes.iter().all(Change::is_at_once)
        };
        assert!(added("on_data_loss = \"earliest\""));
        assert!(!added("start = \"latest\""));
        assert!(!added("on_data_loss = \"earliest\", start = \"latest\""));
    }

    fn changed(from: &str, to: &str) -> Fit {
        assert!(JOB.contains(from), "{from}");
        compare(JOB, &JOB.replace(from, to))
    }

    #[test]
    fn how_a_text_is_written_is_no_difference() {
        assert_eq!(compare(JOB, JOB), Fit::Same);
        let other = JOB
            .replace("[job]\n", "# A remark.\n[job] # And another.\n\n")
            .replace("kafka = { brokers = \"a:1\", topics", "kafka = { topics")
            .replace("[\"ventas\"],", "[ 'ventas' ], brokers = \"a:1\",");
        assert_ne!(other, JOB);
        assert_eq!(compare(JOB, &other), Fit::Same);
    }

    #[test]
    fn what_leaves_state_its_meaning_is_compatible() {
        for (from, to, told) in [
            (
                "[rules.positive]",
                "[rules.known]\nexpect = \"id > 0\"\n[rules.positive]",
                "rules.known = { expect = \"id > 0\" } was added",
            ),
            (
                "[checks.usual]",
                "[checks.alive]\nfreshness = { per = [\"region\"] }\n[checks.usual]",
                "checks.alive = { freshness = { per = [\"region\"] } } was added",
            ),
            (
                "[checks.usual]",
                "[calendars.shop]\nhours = [\"09:00..18:00\"]\n[checks.usual]",
                "calendars.shop = { hours = [\"09:00..18:00\"] } was added",
            ),
            (
                "[checks.usual]",
                "[checks.known]\nwindow = \"minute\"\ncompleteness = { column = \"amount\" }\n[checks.usual]",
                "checks.known = { window = \"minute\", completeness = { column = \"amount\" } } was added",
            ),
            (
                "[checks.usual]",
                "[windows.hour]\nlength = \"1 hour\"\n[checks.usual]",
                "windows.hour = { length = \"1 hour\" } was added",
            ),
            (
                "[rules.positive]",
                "[derive]\ndouble = \"amount * 2\"\n[rules.positive]",
                "derive.double = \"amount * 2\" was added",
            ),
            (
                "[sinks.rows]",
                "[sinks.refused]\nfrom = \"refused\"\n[sinks.rows]",
                "sinks.refused = { from = \"refused\" } was added",
            ),
            (
                "amount = ",
                "shop = \"varchar\"\namount = ",
                "sources.sales.columns.shop = \"varchar\" was added",
            ),
            (
                "amount = ",
                "shop = { type = \"varchar\" }\namount = ",
                "sources.sales.columns.shop = { type = \"varchar\" } was added",
            ),
            (
                "output = \"out\"",
                "output = \"out\"\nepoch = \"2 seconds\"",
                "job.epoch = \"2 seconds\" was added",
            ),
            (
                "[sinks.rows]",
                "[alerts.hook]\nwebhook = { url = \"http://x\", secret = \"geheim\" }\n[sinks.rows]",
                "alerts.hook = { webhook = { url = \"http://x\", secret = \"***\" } } was added",
            ),
            (
                "warn_beyond = 3.0",
                "warn_beyond = 4.0",
                "checks.usual.variance.warn_beyond was 3.0 and is 4.0",
            ),
            (
                "\"geheim\"",
                "\"secreto\"",
                "sources.sales.kafka.options.\"sasl.password\" was \"***\" and is \"***\"",
            ),
            (
                "\"a:1\"",
                "\"b:1\"",
                "sources.sales.kafka.brokers was \"a:1\" and is \"b:1\"",
            ),
            (
                "parquet = {}",
                "parquet = { compression = \"snappy\" }",
                "sinks.rows.parquet.compression = \"snappy\" was added",
            ),
            (
                "key = \"id\" }",
                "key = \"id\", shards = 8 }",
                "sinks.topic.kafka.shards = 8 was added",
            ),
            (
                "key = \"id\" }",
                "key = \"id\", on_failure = \"hold\" }",
                "sinks.topic.kafka.on_failure = \"hold\" was added",
            ),
            (
                "key = \"id\" }",
                "key = \"id\", outbox = \"2 GiB\" }",
                "sinks.topic.kafka.outbox = \"2 GiB\" was added",
            ),
            (
                "key = \"id\" }",
                "key = \"id\", options = { \"sasl.password\" = \"geheim\" } }",
                "sinks.topic.kafka.options = { sasl.password = \"***\" } was added",
            ),
            (
                "[sinks.rows]",
                "[sinks.more]\nkafka = { brokers = \"c\", id = \"x\", topic = \"otras\" }\n[sinks.rows]",
                "sinks.more = { kafka = { brokers = \"c\", id = \"x\", topic = \"otras\" } } was added",
            ),
            (
                "[sinks.rows]",
                "[sinks.more]\nkafka = { brokers = \"b,a:1\", topic = \"otras\" }\n[sinks.rows]",
                "sinks.more = { kafka = { brokers = \"b,a:1\", topic = \"otras\" } } was added",
            ),
        ] {
            let Fit::Compatible(changes) = changed(from, to) else {
                panic!("{told} is refused: {:?}", changed(from, to));
            };
            let words: Vec<String> = changes.iter().map(Change::to_string).collect();
            assert_eq!(words, [told]);
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (from, to, told) in [
            (
                "\"sales\"\n",
                "\"sale\"\n",
                "job.name was \"sales\" and is \"sale\"",
            ),
            (
                "key = [\"region\"]",
                "key = [\"id\"]",
                "job.key was [\"region\"] and is [\"id\"]",
            ),
            (
                "output = \"out\"",
                "output = \"other\"",
                "job.output was \"out\" and is \"other\"",
            ),
            (
                "output = \"out\"",
                "output = \"out\"\ntime_zone = \"Europe/Madrid\"",
                "job.time_zone = \"Europe/Madrid\" was added",
            ),
            (
                "\"1 minute\"",
                "\"2 minutes\"",
                "windows.minute.length was \"1 minute\" and is \"2 minutes\"",
            ),
            (
                "per = [\"region\"]\nlength",
                "per = [\"id\"]\nlength",
                "windows.minute.per was [\"region\"] and is [\"id\"]",
            ),
            (
                "rows = \"count(*)\"",
                "rows = \"count(*)\"\nsum = \"sum(amount)\"",
                "windows.minute.statistics.sum = \"sum(amount)\" was added",
            ),
            (
                "rows = \"count(*)\"",
                "rows = \"count(id)\"",
                "windows.minute.statistics.rows was \"count(*)\" and is \"count(id)\"",
            ),
            (
                "previous = 10",
                "previous = 5",
                "checks.usual.variance.against.previous was 10 and is 5",
            ),
            (
                "\"decimal(12,2)\"",
                "\"decimal(14,2)\"",
                "sources.sales.columns.amount was \"decimal(12,2)\" and is \"decimal(14,2)\"",
            ),
            (
                "amount = \"decimal(12,2)\"\n",
                "",
                "sources.sales.columns.amount = \"decimal(12,2)\" was taken away",
            ),
            (
                "amount = ",
                "shop = \"varchar Not  NULL\"\namount = ",
                "sources.sales.columns.shop = \"varchar Not  NULL\" was added",
            ),
            (
                "[\"ventas\"]",
                "[\"ventas\", \"otras\"]",
                "sources.sales.kafka.topics was [\"ventas\"] and is [\"ventas\", \"otras\"]",
            ),
            (
                "expect = \"amount > 0\"",
                "expect = \"amount > 1\"",
                "rules.positive.expect was \"amount > 0\" and is \"amount > 1\"",
            ),
            (
                "[rules.positive]\nexpect = \"amount > 0\"\n",
                "",
                "rules.positive = { expect = \"amount > 0\" } was taken away",
            ),
            (
                "[sinks.rows]\nfiles = { path = \"rows\" }\nparquet = {}\n",
                "",
                "sinks.rows = { files = { path = \"rows\" }, parquet = {} } was taken away",
            ),
            (
                "{ path = \"rows\" }",
                "{ path = \"filas\" }",
                "sinks.rows.files.path was \"rows\" and is \"filas\"",
            ),
            (
                "topic = \"limpias\"",
                "topic = \"limpia\"",
                "sinks.topic.kafka.topic was \"limpias\" and is \"limpia\"",
            ),
            (
                "brokers = \"a:1, b\"",
                "brokers = \"a:1\"",
                "sinks.topic.kafka.brokers was \"a:1, b\" and is \"a:1\"",
            ),
            (
                "key = \"id\" }",
                "key = \"region\" }",
                "sinks.topic.kafka.key was \"id\" and is \"region\"",
            ),
            (
                "key = \"id\" }",
                "key = \"id\", delivery = \"at_least_once\" }",
                "sinks.topic.kafka.delivery = \"at_least_once\" was added",
            ),
            (
                "[sinks.rows]",
                "[sinks.more]\nkafka = { brokers = \"b,a:1\", topic = \"otras\", id = \"x\" }\n[sinks.rows]",
                "sinks.more.kafka.id = \"x\" was added",
            ),
            (
                "[checks.usual]",
                "[duplicates.sale]\nkey = [\"id\"]\n[checks.usual]",
                "duplicates.sale = { key = [\"id\"] } was added",
            ),
            (
                "\"10 seconds\"",
                "\"20 seconds\"",
                "sources.sales.disorder was \"10 seconds\" and is \"20 seconds\"",
            ),
        ] {
            let Fit::Other(changes) = changed(from, to) else {
                panic!("{told} is accepted: {:?}", changed(from, to));
            };
            let words: Vec<String> = changes.iter().map(Change::to_string).collect();
            assert_eq!(words, [told]);
        }
        // What would be compatible alone is not what is told.
        let both = JOB
            .replace("\"1 minute\"", "\"1 hour\"")
            .replace("3.0", "4.0");
        let Fit::Other(changes) = compare(JOB, &both) else {
            panic!("it is accepted");
        };
        assert_eq!(changes.len(), 1);
    }
}
