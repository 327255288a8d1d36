//! What clients of Kafka have in common, whether they read or write: what they say of themselves goes to the log, and the last of it is kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;

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
