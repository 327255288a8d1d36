//! Kafka as a sink: the topic of a sink, and how a row of its table becomes a message.

use arrow_schema::DataType;

use super::kafka::check_topic;
use super::report::{Report, Wrong};
use super::scope::Scope;
use super::units::read_size_in;
use crate::job::plan::{ColumnType, CreateTopic, KafkaSink, OutputColumn};
use crate::job::problems::quoted;
use crate::job::spec::{CreateTopicSpec, KafkaSinkSpec, Named};
use crate::transform::Expression;

/// Most bytes of a message where the job says none. Clients and brokers take 1,000,000 and 1,048,588 bytes by default, with what they
/// put around key, value and headers.
const MAX_MESSAGE: usize = 900 << 10;

/// Bounds of `max_message`: below, hardly any row would fit; above, clients take none.
const MESSAGES: (u64, u64) = (1 << 10, 512 << 20);

/// The number of copies that lets the brokers choose.
const BY_THE_BROKERS: i32 = -1;

/// Reads the table `kafka` of the sink `name`, whose cluster is read, or faulty.
pub(super) fn read_topic(
    report: &mut Report<'_>,
    name: &str,
    spec: &KafkaSinkSpec,
    scope: &Scope,
    cluster: Option<usize>,
) -> Option<KafkaSink> {
    let before = report.len();
    let path = ["sinks", name, "kafka"];
    let at = |option: &'static str| ["sinks", name, "kafka", option];
    report.take(&at("topic"), check_topic(&spec.topic));
    let max_message = match &spec.max_message {
        None => Some(MAX_MESSAGE),
        Some(text) => report
            .take(
                &at("max_message"),
                read_size_in(text, MESSAGES.0, MESSAGES.1),
            )
            .and_then(|bytes| usize::try_from(bytes).ok()),
    };
    let key = spec.key.as_ref();
    let key = key.map(|key| scope.expression(report, &at("key"), key));
    let headers = read_headers(report, &path, &spec.headers, scope);
    let partition = spec.partition.as_ref().map(|text| {
        let to = Wanted {
            fits: DataType::is_integer,
            data_type: DataType::Int32,
            name: "number of a partition",
            expected: "an expression that is a whole number",
        };
        to.read(report, &at("partition"), text, scope)
    });
    let timestamp = spec.timestamp.as_ref().map(|text| {
        let to = Wanted {
            fits: |data_type| matches!(data_type, DataType::Timestamp(_, _)),
            data_type: ColumnType::Timestamp.data_type(),
            name: "time",
            expected: "an expression that is a timestamp",
        };
        to.read(report, &at("timestamp"), text, scope)
    });
    let tombstone = spec.tombstone.as_ref().map(|text| {
        let to = Wanted {
            fits: |data_type| data_type == &DataType::Boolean,
            data_type: DataType::Boolean,
            name: "condition",
            expected: "an expression that is true or false",
        };
        to.read(report, &at("tombstone"), text, scope)
    });
    if spec.tombstone.is_some() && spec.key.is_none() {
        let wrong = Wrong::new("a tombstone is a key without a value, and messages have no key");
        report.add(&at("tombstone"), wrong.expected("`key` beside it"));
    }
    let create = spec.create.as_ref().map(read_create);
    let sink = KafkaSink {
        cluster: cluster.unwrap_or_default(),
        topic: spec.topic.clone(),
        key: key.flatten(),
        headers,
        partition: partition.flatten(),
        timestamp: timestamp.flatten(),
        tombstone: tombstone.flatten(),
        create,
        max_message: max_message.unwrap_or(MAX_MESSAGE),
    };
    if sink.is_compacted() && spec.key.is_none() {
        let wrong = Wrong::new(
            "a compacted topic keeps the last message of each key, and messages have none",
        );
        let path = ["sinks", name, "kafka", "create", "config", "cleanup.policy"];
        report.add(
            &path,
            wrong.expected("`key` in the table `kafka`, or another policy"),
        );
    }
    cluster.filter(|_| report.len() == before).map(|_| sink)
}

/// What an expression must give.
struct Wanted {
    /// Which types are taken.
    fits: fn(&DataType) -> bool,
    /// What they are cast to.
    data_type: DataType,
    name: &'static str,
    expected: &'static str,
}

impl Wanted {
    /// Compiles the expression at `path`.
    fn read(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        text: &str,
        scope: &Scope,
    ) -> Option<Expression> {
        let expression = scope.expression(report, path, text)?;
        if (self.fits)(expression.data_type()) || expression.data_type() == &DataType::Null {
            return scope.expression_as(report, path, text, &self.data_type);
        }
        let wrong = Wrong::new(format!("{} is no {}", quoted(text), self.name));
        report.add(path, wrong.expected(self.expected));
        None
    }
}

fn read_headers(
    report: &mut Report<'_>,
    path: &[&str],
    headers: &Named<String>,
    scope: &Scope,
) -> Vec<OutputColumn> {
    let mut read = Vec::with_capacity(headers.len());
    for (name, text) in headers.iter() {
        let path = [path, &["headers", name]].concat();
        if name.is_empty() || name.chars().any(char::is_control) {
            let wrong = Wrong::new(format!("{} is no name of a header", quoted(name)));
            report.add_name(
                &path,
                wrong.expected("at least one letter, and no control characters"),
            );
        }
        if let Some(expression) = scope.expression(report, &path, text) {
            read.push(OutputColumn {
                name: name.to_owned(),
                expression,
            });
        }
    }
    read
}

fn read_create(spec: &CreateTopicSpec) -> CreateTopic {
    let config = spec.config.iter();
    CreateTopic {
        partitions: spec.partitions,
        replication: spec.replication.unwrap_or(BY_THE_BROKERS),
        config: config
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
    }
}
