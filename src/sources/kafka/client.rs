//! Clients that read Kafka, and their errors in caudal's words.

use std::sync::Arc;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;

use crate::job::plan::KafkaSource;
use crate::kafka::{Context, Heard, OptionError, config, read_committed};
use crate::registry::RegistryError;

/// What went wrong with Kafka.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// The client library refuses an option.
    #[error(transparent)]
    Option(OptionError),
    /// No broker answers.
    #[error(
        "{owner}: no broker of {brokers} answers: {problem}\n  expected: a Kafka broker there within {seconds} s\n  now: the job ends; nothing is lost, it goes on where it was when it is started again\n  hint: look whether the broker runs and whether `security.protocol` and credentials in `options` fit its listener"
    )]
    Unreachable {
        /// The source.
        owner: String,
        /// Where.
        brokers: String,
        /// What the client said last.
        problem: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A topic can't be read.
    #[error(
        "{owner}: topic {topic}: {problem}\n  expected: a topic that may be read\n  now: the job ends\n  hint: create it, mind its spelling, or allow the job's user to read and describe it"
    )]
    Topic {
        /// The source.
        owner: String,
        /// The topic.
        topic: String,
        /// What the broker said.
        problem: String,
    },
    /// Messages that were not read are gone.
    #[error(
        "{owner}: topic {topic} partition {partition}: the next message to read is {at}, the broker has {low} to {high}: {lost}\n  expected: every message that was not read yet\n  now: the job ends; what was read is committed\n  hint: with on_data_loss = \"earliest\" it goes on with the first message there is and counts those that are gone; a topic made anew wants a new `state`"
    )]
    DataLoss {
        /// The source.
        owner: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that comes next.
        at: i64,
        /// The broker's first offset.
        low: i64,
        /// The offset after the broker's last.
        high: i64,
        /// What that means.
        lost: String,
    },
    /// A topic was deleted, and another one of its name made.
    #[error(
        "{owner}: topic {topic} is another one than before: its id is {found}, and what was read is of {known}\n  expected: the topic that was read before\n  now: the job ends; what was read is committed\n  hint: with on_data_loss = \"earliest\" in `kafka` it goes on with the first message of the one there is when it is started again; else give the job another state and output"
    )]
    Renewed {
        /// The source or look-up.
        owner: String,
        /// The topic.
        topic: String,
        /// Its id when it was read.
        known: String,
        /// Its id now.
        found: String,
    },
    /// The schema registry can't be asked.
    #[error(
        "{owner}: messages can't be read without their schema\n  now: the job ends; what was read is committed, and it goes on there when it is started again"
    )]
    Registry {
        /// The source.
        owner: String,
        /// Why.
        #[source]
        source: Arc<RegistryError>,
    },
    /// The client gave up.
    #[error("{owner}: reading from Kafka failed: {problem}")]
    Client {
        /// The source.
        owner: String,
        /// What it said.
        problem: String,
    },
}

/// A consumer of its own partitions: none of a group's, no offset kept by the client, committed messages only.
pub(super) fn consumer(
    owner: &str,
    kafka: &KafkaSource,
) -> Result<(BaseConsumer<Context>, Arc<Heard>), KafkaError> {
    let mut config = config(
        &kafka.brokers,
        &kafka.options,
        &[
            ("queued.max.messages.kbytes", "16384"),
            // A second by default, in which a reader that has emptied its queue would stand still.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.wait.max.ms", "100"),
            ("check.crcs", "true"),
        ],
    );
    // Positions are bound by epochs, and nothing else.
    read_committed(&mut config, kafka.group.as_deref().unwrap_or("caudal"));
    let context = Context::default();
    let heard = Arc::clone(&context.0);
    let made = config.create_with_context::<_, BaseConsumer<Context>>(context);
    made.map(|consumer| (consumer, heard))
        .map_err(|error| match OptionError::of(owner, error) {
            Ok(refused) => KafkaError::Option(refused),
            Err(problem) => KafkaError::Client {
                owner: owner.to_owned(),
                problem,
            },
        })
}

/// What an error of a client that reads a topic means: most pass by themselves.
pub(super) fn heed(owner: &str, topic: &str, error: &ClientError) -> Result<(), KafkaError> {
    let Some(code) = error.rdkafka_error_code() else {
        return Err(failed(owner, error));
    };
    if let Some(problem) = refusal(code) {
        return Err(KafkaError::Topic {
            owner: owner.to_owned(),
            topic: topic.to_owned(),
            problem: problem.to_owned(),
        });
    }
    if code == RDKafkaErrorCode::Fatal {
        return Err(failed(owner, error));
    }
    tracing::warn!(action = "kafka-read", topic, error = %error, "reading goes on when the broker answers again");
    Ok(())
}

/// That the client gave up.
pub(super) fn failed(owner: &str, error: &ClientError) -> KafkaError {
    KafkaError::Client {
        owner: owner.to_owned(),
        problem: error.to_string(),
    }
}

/// What a broker's answer about a topic means, where waiting will not help.
pub(super) fn refusal(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            Some("there is none of this name")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => Some("the job's user may not read it"),
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some("the job's user may not use the group that positions are told to")
        }
        RDKafkaErrorCode::InvalidTopic => Some("the broker takes this for no name of a topic"),
        _ => None,
    }
}
