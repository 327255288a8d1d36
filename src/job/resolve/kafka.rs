//! Kafka as a source: which topics, where they are begun, and what of the format makes sense for messages.

use std::collections::BTreeMap;

use super::client::{Role, read_client_options};
use super::report::{Report, Wrong};
use super::transport::read_json;
use crate::decode::read_bound;
use crate::job::plan::{ColumnType, Format, KafkaSource, KafkaStart, OnDataLoss, Topics};
use crate::job::problems::quoted;
use crate::job::spec::{self, AvroSpec, JsonSpec, KafkaSpec, Named};
use crate::record::Encoding;
use crate::registry::{Registry, USER_INFO};

/// Port of a broker that is written without one.
const PORT: u16 = 9092;

/// Most characters of a topic's name, by Kafka's own rule.
const LONGEST_TOPIC: usize = 249;

/// Reads the table `kafka` at `path`.
pub(super) fn read_kafka(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &KafkaSpec,
) -> Option<KafkaSource> {
    let at = |option: &'static str| [path, &[option]].concat();
    let brokers = report.take(&at("brokers"), read_brokers(&spec.brokers));
    let topics = read_topics(report, path, spec);
    let start = read_start(report, &at("start"), spec.start.as_ref(), topics.as_ref());
    let group = match &spec.group {
        None => Some(None),
        Some(group) => report
            .take(&at("group"), read_group(group))
            .map(|()| Some(group.clone())),
    };
    let options = read_client_options(report, &at("options"), &spec.options, Role::Reads);
    Some(KafkaSource {
        brokers: brokers?,
        topics: topics?,
        start: start?,
        on_data_loss: match spec.on_data_loss {
            Some(spec::OnDataLoss::Stop) | None => OnDataLoss::Stop,
            Some(spec::OnDataLoss::Earliest) => OnDataLoss::Earliest,
        },
        group: group?,
        options,
    })
}

/// The format of messages: JSON, or Avro under the schemas of a registry; one record each.
pub(super) fn read_message_format(
    report: &mut Report<'_>,
    path: &[&str],
    format: &str,
    json: Option<&JsonSpec>,
    avro: Option<&AvroSpec>,
) -> Option<Format> {
    if format == "debezium" {
        return Some(Format::Debezium);
    }
    if let Some(avro) = avro {
        let registry = read_registry(report, &[path, &["avro"]].concat(), avro)?;
        return Some(Format::AvroMessages { registry });
    }
    let Some(json) = json else {
        let wrong = Wrong::new(format!("messages of format {format} are not read"));
        report.add(
            &[path, &[format]].concat(),
            wrong.expected("json, or avro with a registry"),
        );
        return None;
    };
    let path = [path, &["json"]].concat();
    let at = |option: &'static str| [path.as_slice(), &[option]].concat();
    let options = read_json(report, &path, json);
    if json.records.is_some() {
        let wrong = Wrong::new("a message is one record, with nothing between records");
        report.add(
            &at("records"),
            wrong.expected("no `records`").hint(
                "elements of an array in the record become rows by a `header` such as items[].sku",
            ),
        );
    }
    if options.encoding != Encoding::Utf8 {
        report.add(
            &at("encoding"),
            Wrong::new("JSON in messages is UTF-8").expected("utf-8, or no `encoding`"),
        );
    }
    Some(Format::Json(options))
}

/// What the address of a registry is like.
const REGISTRY: &str = "the address of a schema registry, such as \"https://registry:8081\"";

/// The address of the registry that messages of Avro need.
fn read_registry(report: &mut Report<'_>, path: &[&str], avro: &AvroSpec) -> Option<String> {
    let expected = REGISTRY;
    let Some(registry) = &avro.registry else {
        let wrong =
            Wrong::new("messages hold the id of their schema, and nothing says who knows it");
        report.add(path, wrong.expected(format!("registry = {expected}")));
        return None;
    };
    report.take(&[path, &["registry"]].concat(), check_registry(registry))?;
    Some(registry.clone())
}

/// Checks the address of a registry.
pub(super) fn check_registry(registry: &str) -> Result<(), Wrong> {
    let expected = REGISTRY;
    match Registry::new(registry, None) {
        Ok(_) => Ok(()),
        Err(_) if registry.contains('@') => {
            Err(Wrong::new("an address holds no user and no password")
                .expected(expected)
                .hint(format!(
                    "the environment variable {USER_INFO} holds user:password"
                )))
        }
        Err(_) => Err(
            Wrong::new(format!("{} is no address of a registry", quoted(registry)))
                .expected(expected),
        ),
    }
}

/// The brokers of a cluster, each once and in order: clusters with the same ones are one.
pub(super) fn cluster_of(text: &str) -> Result<Vec<String>, Wrong> {
    read_brokers(text).map(|plain| in_order(&plain))
}

/// The same of a text that need not be one of brokers, such as that of a variable.
pub(in crate::job) fn cluster_as_written(text: &str) -> Vec<String> {
    cluster_of(text).unwrap_or_else(|_| in_order(text))
}

fn in_order(brokers: &str) -> Vec<String> {
    let mut brokers: Vec<String> = brokers.split(',').map(str::to_owned).collect();
    brokers.sort_unstable();
    brokers.dedup();
    brokers
}

/// Reads addresses of brokers and writes them in one spelling.
fn read_brokers(text: &str) -> Result<String, Wrong> {
    let expected =
        "host:port of some brokers, separated by commas, such as \"kafka-1:9092,kafka-2:9092\"";
    let mut brokers = Vec::new();
    for broker in text.split(',').map(str::trim) {
        if broker.is_empty() {
            let what = if text.trim().is_empty() {
                "there are no brokers".to_owned()
            } else {
                format!("{} has an empty address", quoted(text))
            };
            return Err(Wrong::new(what).expected(expected));
        }
        let wrong = || {
            Wrong::new(format!("{} is no address of a broker", quoted(broker))).expected(expected)
        };
        if broker.contains("://") {
            return Err(wrong().hint(
                "leave out what stands before the host: `options` says how brokers are spoken to (\"security.protocol\")",
            ));
        }
        let (host, port) = match broker.rsplit_once(':') {
            // An IPv6 address in brackets, without a port.
            Some(_) if broker.ends_with(']') => (broker, PORT),
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port > 0);
                (host, port.ok_or_else(wrong)?)
            }
            None => (broker, PORT),
        };
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !in_brackets && !is_name {
            return Err(wrong());
        }
        brokers.push(format!("{host}:{port}"));
    }
    Ok(brokers.join(","))
}

fn read_topics(report: &mut Report<'_>, path: &[&str], spec: &KafkaSpec) -> Option<Topics> {
    match (&spec.topics, &spec.topic_pattern) {
        (Some(topics), None) => {
            let path = [path, &["topics"]].concat();
            read_names(report, &path, topics).map(Topics::Named)
        }
        (None, Some(pattern)) => {
            let path = [path, &["topic_pattern"]].concat();
            report.take(&path, check_pattern(pattern))?;
            Some(Topics::Pattern(pattern.clone()))
        }
        _ => {
            report.add(
                path,
                Wrong::new("it does not say in exactly one way which topics")
                    .expected("one of topics, topic_pattern"),
            );
            None
        }
    }
}

fn read_names(report: &mut Report<'_>, path: &[&str], topics: &[String]) -> Option<Vec<String>> {
    if topics.is_empty() {
        report.add(
            path,
            Wrong::new("there are no topics").expected("at least one, such as [\"ventas\"]"),
        );
        return None;
    }
    let mut names: Vec<String> = Vec::with_capacity(topics.len());
    for (index, topic) in topics.iter().enumerate() {
        let index = index.to_string();
        let place = [path, &[index.as_str()]].concat();
        if report.take(&place, check_topic(topic)).is_none() {
            continue;
        }
        if names.contains(topic) {
            let wrong = Wrong::new(format!("topic {} is named twice", quoted(topic)));
            report.add(&place, wrong.hint("leave one out"));
            continue;
        }
        names.push(topic.clone());
    }
    (names.len() == topics.len()).then_some(names)
}

pub(super) fn check_topic(topic: &str) -> Result<(), Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_name = (1..=LONGEST_TOPIC).contains(&topic.len()) && topic.bytes().all(is_plain);
    if is_name && topic != "." && topic != ".." {
        return Ok(());
    }
    let wrong = Wrong::new(format!("{} is no name of a topic", quoted(topic))).expected(format!(
        "letters a–z, digits, ., _ and -, at most {LONGEST_TOPIC} of them"
    ));
    let is_pattern = topic.contains(['^', '*', '$', '[', '(', '|']);
    Err(if is_pattern {
        wrong.hint("`topic_pattern` takes a regular expression")
    } else {
        wrong
    })
}

fn check_pattern(pattern: &str) -> Result<(), Wrong> {
    let expected = "a regular expression that whole names match, such as \"ventas-.*\"";
    if pattern.is_empty() {
        return Err(Wrong::new("the pattern is empty, which no name matches").expected(expected));
    }
    let fault = Topics::whole_name(pattern).err();
    fault.map_or(Ok(()), |fault| {
        // The first lines show the pattern, the last one says what is wrong with it.
        let told = fault.to_string();
        let last = told.lines().last().unwrap_or_default();
        let why = last.trim_start_matches("error: ");
        let what = format!("{} is no regular expression: {why}", quoted(pattern));
        Err(Wrong::new(what).expected(expected))
    })
}

fn read_group(group: &str) -> Result<(), Wrong> {
    if group.trim().is_empty() || group.chars().any(char::is_control) {
        return Err(
            Wrong::new(format!("{} is no name of a group", quoted(group)))
                .expected("a name, such as \"caudal-ventas\""),
        );
    }
    Ok(())
}

fn read_start(
    report: &mut Report<'_>,
    path: &[&str],
    start: Option<&spec::KafkaStart>,
    topics: Option<&Topics>,
) -> Option<KafkaStart> {
    match start {
        None => Some(KafkaStart::Earliest),
        Some(spec::KafkaStart::Text(text)) => report.take(path, read_start_text(text)),
        Some(spec::KafkaStart::Offsets(offsets)) => {
            read_offsets(report, path, offsets, topics).map(KafkaStart::Offsets)
        }
    }
}

fn read_start_text(text: &str) -> Result<KafkaStart, Wrong> {
    match text {
        "earliest" => return Ok(KafkaStart::Earliest),
        "latest" => return Ok(KafkaStart::Latest),
        _ => {}
    }
    let micros = read_bound(ColumnType::Timestamp, text, false).filter(|micros| *micros >= 0);
    // The first message that is not before a time within a millisecond is not before the next one.
    let time =
        micros.map(|micros| KafkaStart::Time(micros / 1_000 + i64::from(micros % 1_000 > 0)));
    time.ok_or_else(|| {
        Wrong::new(format!("{} is no place to begin", quoted(text)))
            .expected("earliest, latest, a time in ISO 8601 since 1970, such as \"2026-03-14T00:00:00Z\", or a table of offsets")
            .did_you_mean(text, ["earliest", "latest"])
    })
}

fn read_offsets(
    report: &mut Report<'_>,
    path: &[&str],
    offsets: &Named<i64>,
    topics: Option<&Topics>,
) -> Option<BTreeMap<(String, i32), i64>> {
    if offsets.is_empty() {
        report.add(
            path,
            Wrong::new("there are no offsets")
                .expected("at least one, such as { \"ventas/0\" = 17 }")
                .hint("start = \"earliest\" begins all partitions at their first message"),
        );
        return None;
    }
    let mut read = BTreeMap::new();
    for (key, offset) in offsets.iter() {
        let place = [path, &[key]].concat();
        match read_partition(key, topics) {
            Ok(partition) => {
                read.insert(partition, *offset);
            }
            Err(wrong) => report.add_name(&place, wrong),
        }
    }
    (read.len() == offsets.len()).then_some(read)
}

/// Reads `topic/partition`, in its one spelling; the topic must be one of those that are read.
fn read_partition(key: &str, topics: Option<&Topics>) -> Result<(String, i32), Wrong> {
    let parts = key.rsplit_once('/').and_then(|(topic, number)| {
        let partition: i32 = number.parse().ok()?;
        let is_plain = partition >= 0 && partition.to_string() == number;
        (is_plain && !topic.is_empty()).then_some((topic, partition))
    });
    let Some((topic, partition)) = parts else {
        return Err(Wrong::new(format!("{} is no partition", quoted(key)))
            .expected("a topic and the number of a partition, such as \"ventas/0\""));
    };
    match topics {
        Some(Topics::Named(names)) if !names.iter().any(|name| name == topic) => Err(Wrong::new(
            format!("{} is not one of the topics", quoted(topic)),
        )
        .expected(names.join(", "))
        .did_you_mean(topic, names.iter().map(String::as_str))),
        Some(Topics::Pattern(pattern))
            if !Topics::whole_name(pattern).is_ok_and(|pattern| pattern.is_match(topic)) =>
        {
            Err(
                Wrong::new(format!("{} is not matched by the pattern", quoted(topic)))
                    .expected(format!("a topic that {} matches", quoted(pattern))),
            )
        }
        _ => Ok((topic.to_owned(), partition)),
    }
}
