//! What clients of Kafka have in common, whether they read or write: how they are made, and that what they say of themselves goes to the
//! log, and the last of it is kept.

mod ids;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;

pub(crate) use self::ids::topic_ids;
use crate::job::secrets::masked;

/// How long one question to a broker may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Keeps what the client said last.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<String>>);

impl Heard {
    /// What it said last, in words.
    pub(crate) fn last(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the last was that the broker does not know the user, which waiting does not change.
    pub(crate) fn is_unknown_user(&self) -> bool {
        let last = self.last();
        last.is_some_and(|said| said.contains("SASL authentication error"))
    }

    fn hear(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
    }
}

/// Takes what the client says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context(pub(crate) Arc<Heard>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let action = "kafka-client";
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(action, facility, "{message}"),
            _ => tracing::debug!(action, facility, "{message}"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        // Where a partition is read to its end is no error, and is told by polling.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.0.hear(reason);
        tracing::warn!(action = "kafka-client", error = %error, "{reason}");
    }
}

impl ConsumerContext for Context {}

/// How a client is made: `defaults`, which the job's options may say otherwise, and what they may not.
pub(crate) fn config(
    brokers: &str,
    options: &BTreeMap<String, String>,
    defaults: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (option, value) in [
        ("client.id", "caudal"),
        ("reconnect.backoff.max.ms", "2000"),
    ] {
        config.set(option, value);
    }
    for (option, value) in defaults {
        config.set(*option, *value);
    }
    for (option, value) in options {
        config.set(option, value);
    }
    config.set("bootstrap.servers", brokers);
    config.set("allow.auto.create.topics", "false");
    config
}

/// Lets a client read partitions that it is given, none of a group's: no offset is kept by it, and committed messages only are read.
pub(crate) fn read_committed(config: &mut ClientConfig, group: &str) {
    for (option, value) in [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
    ] {
        config.set(option, value);
    }
}

/// The client library refuses an option.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{owner}: option {option} = {value}: {problem}\n  expected: an option of librdkafka with a value it takes\n  now: nothing starts\n  hint: its options are listed in librdkafka's CONFIGURATION.md"
)]
pub struct OptionError {
    /// Whose client it is, as people know it.
    owner: String,
    /// The option.
    option: String,
    /// Its value; masked where it is secret.
    value: String,
    /// Why.
    problem: String,
}

impl OptionError {
    /// What it is that a client was not made for. Errors: it is something else, in the client's words.
    pub(crate) fn of(owner: &str, error: ClientError) -> Result<Self, String> {
        match error {
            ClientError::ClientConfig(_, problem, option, value) => Ok(Self {
                owner: owner.to_owned(),
                value: masked(&option, &value).to_owned(),
                option,
                problem,
            }),
            other => Err(other.to_string()),
        }
    }
}
