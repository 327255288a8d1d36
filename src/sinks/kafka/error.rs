//! What goes wrong with topics that are written.

use std::time::Duration;

use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;

use crate::job::plan::KafkaCluster;
use crate::kafka::OptionError;
use crate::record::Epoch;

/// Why messages could not be delivered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The client library refuses an option.
    #[error(transparent)]
    Option(OptionError),
    /// No broker answers.
    #[error(
        "{owner}: no broker of {brokers} answers: {problem}\n  expected: a Kafka broker there within {seconds} s\n  now: the job ends; what was committed stays, and it goes on there when it is started again\n  hint: look whether the broker runs and whether `security.protocol` and credentials in `options` fit its listener"
    )]
    Unreachable {
        /// The cluster.
        owner: String,
        /// Where.
        brokers: String,
        /// What the client said last.
        problem: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A topic can't be written.
    #[error(
        "{owner}: topic {topic}: {problem}\n  expected: {expected}\n  now: the job ends; what was committed stays, and it goes on there when it is started again\n  hint: {hint}"
    )]
    Topic {
        /// The sink or cluster.
        owner: String,
        /// The topic.
        topic: String,
        /// What the broker said.
        problem: String,
        /// What would do.
        expected: &'static str,
        /// What helps.
        hint: &'static str,
    },
    /// Transactions are refused.
    #[error(
        "{owner}: transactional id {id}: {problem}\n  expected: a broker that takes transactions of this id\n  now: the job ends; what was committed stays\n  hint: {hint}"
    )]
    Transactions {
        /// The cluster.
        owner: String,
        /// The id.
        id: String,
        /// What the broker said.
        problem: String,
        /// What helps.
        hint: &'static str,
    },
    /// A newer life of the job has taken over.
    #[error(
        "{owner}: generation {newer} of the job has taken over from generation {generation}\n  now: this one ends; it delivers nothing any more"
    )]
    Fenced {
        /// The cluster.
        owner: String,
        /// This life.
        generation: u64,
        /// The newer one.
        newer: u64,
    },
    /// Somebody else uses the transactional id.
    #[error(
        "{owner}: another program uses transactional id {id}\n  expected: an id of this job alone\n  now: the job ends; what was committed stays\n  hint: find the other program, or give this job's sinks another `id`"
    )]
    Stolen {
        /// The cluster.
        owner: String,
        /// The id.
        id: String,
    },
    /// Progress that must be there is not.
    #[error(
        "{owner}: topic {topic} partition {shard}: {problem}\n  expected: progress as this job's state knows it\n  now: nothing is sent\n  hint: {hint}"
    )]
    Progress {
        /// The cluster.
        owner: String,
        /// The topic of progress.
        topic: String,
        /// Its partition.
        shard: usize,
        /// What is wrong.
        problem: String,
        /// What helps.
        hint: &'static str,
    },
    /// Two lists of brokers are of one cluster.
    #[error(
        "{owner}: their brokers are of cluster {id}, as those of the sinks at {other} are\n  expected: one list of brokers for all sinks of a cluster: they share its producers and transactions\n  now: nothing is sent\n  hint: write one list, such as \"{both}\", as the `brokers` of all of them"
    )]
    OneCluster {
        /// The cluster.
        owner: String,
        /// The brokers of the other list.
        other: String,
        /// Both lists as one.
        both: String,
        /// What the cluster calls itself.
        id: String,
    },
    /// The broker takes messages no longer.
    #[error(
        "{owner}: {problem}\n  expected: messages are taken within {seconds} s\n  now: the job ends; what was committed stays, and it goes on there when it is started again\n  hint: look at the broker's log"
    )]
    Failing {
        /// The cluster.
        owner: String,
        /// What the client said last.
        problem: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// More is to be held than may be.
    #[error(
        "{owner}: shard {shard} has not delivered since {since}: {problem}\n  expected: at most {limit} bytes that are held, the shard's share of `outbox`; {epochs} epochs of {bytes} bytes are, and epoch {epoch} has {more} more\n  now: the job ends; what is held stays, and the rest is read again when it is started again\n  hint: look whether the brokers run, or raise `outbox` where the state has room"
    )]
    OutboxFull {
        /// The cluster.
        owner: String,
        /// Which of its shards.
        shard: usize,
        /// What the client said last.
        problem: String,
        /// Since when, of the wall clock.
        since: String,
        /// Most bytes.
        limit: u64,
        /// How many epochs are held.
        epochs: u64,
        /// Bytes of them.
        bytes: u64,
        /// The epoch that finds no room.
        epoch: Epoch,
        /// Its bytes.
        more: u64,
    },
    /// What is held can't be used.
    #[error(
        "{place}: {problem}\n  expected: {expected}\n  now: the job ends; what is held stays\n  hint: {hint}"
    )]
    Outbox {
        /// The object.
        place: String,
        /// What is wrong.
        problem: String,
        /// What would do.
        expected: &'static str,
        /// What helps.
        hint: &'static str,
    },
    /// The client gave up.
    #[error("{owner}: writing to Kafka failed: {problem}")]
    Client {
        /// The cluster.
        owner: String,
        /// What it said.
        problem: String,
    },
}

/// How a cluster is named to people.
pub(super) fn owner(cluster: &KafkaCluster) -> String {
    format!("sinks at {}", cluster.brokers)
}

/// Whether a broker says of a topic what waiting will not change.
pub(super) fn is_refused(error: &ClientError) -> bool {
    error.rdkafka_error_code().and_then(refusal).is_some()
}

impl TopicError {
    /// That a client was not made.
    pub(super) fn not_made(cluster: &KafkaCluster, error: ClientError) -> Self {
        let owner = owner(cluster);
        match OptionError::of(&owner, error) {
            Ok(refused) => Self::Option(refused),
            Err(problem) => Self::Client { owner, problem },
        }
    }

    /// That one cluster is written to by two lists of its brokers.
    pub fn one_cluster(cluster: &KafkaCluster, other: &KafkaCluster, id: String) -> Self {
        Self::OneCluster {
            owner: owner(cluster),
            other: other.brokers.clone(),
            both: format!("{},{}", other.brokers, cluster.brokers),
            id,
        }
    }

    /// That no broker answered for so long.
    pub(super) fn unreachable(cluster: &KafkaCluster, problem: String, patience: Duration) -> Self {
        Self::Unreachable {
            owner: owner(cluster),
            brokers: cluster.brokers.clone(),
            problem,
            seconds: patience.as_secs(),
        }
    }

    /// What a broker says of a topic, where waiting will not help.
    pub(super) fn refused(
        owner: String,
        topic: &str,
        code: Option<RDKafkaErrorCode>,
    ) -> Option<Self> {
        let (problem, expected, hint) = code.and_then(refusal)?;
        Some(Self::Topic {
            owner,
            topic: topic.to_owned(),
            problem: problem.to_owned(),
            expected,
            hint,
        })
    }

    /// That a shard's progress is not what it must be.
    pub(super) fn progress(
        cluster: &KafkaCluster,
        shard: usize,
        problem: String,
        hint: &'static str,
    ) -> Self {
        Self::Progress {
            owner: owner(cluster),
            topic: cluster.progress_topic(),
            shard,
            problem,
            hint,
        }
    }
}

/// What a broker's answer about a topic means for who writes, where waiting will not help: problem, what would do, hint.
fn refusal(code: RDKafkaErrorCode) -> Option<(&'static str, &'static str, &'static str)> {
    let taken = "a topic that takes messages of the job's user";
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => Some((
            "there is none of this name",
            "a topic that is there",
            "create it, mind its spelling, or let the sink make it by `create`",
        )),
        RDKafkaErrorCode::UnknownPartition => Some((
            "it has no partition of the number that `partition` gives",
            "a number from 0 to the topic's partitions less one",
            "mind the sink's `partition`, for example by a modulo",
        )),
        RDKafkaErrorCode::TopicAuthorizationFailed => Some((
            "the job's user may not write it",
            taken,
            "allow the user to write and describe the topic",
        )),
        RDKafkaErrorCode::ClusterAuthorizationFailed => Some((
            "the job's user may not write idempotently",
            taken,
            "allow the user IdempotentWrite on the cluster",
        )),
        RDKafkaErrorCode::InvalidTopic => Some((
            "the broker takes this for no name of a topic, or keeps it for itself",
            "the name of a topic that may be written",
            "mind its spelling",
        )),
        RDKafkaErrorCode::MessageSizeTooLarge => Some((
            "a message is larger than the broker takes",
            "a `max.message.bytes` of the topic above the sink's `max_message`",
            "lower `max_message`: what is larger is refused before it comes here; \"batch.size\" in `options` says how large messages are that are sent together",
        )),
        RDKafkaErrorCode::PolicyViolation => Some((
            "a policy of the broker forbids it",
            taken,
            "look at the broker's policy and the topic's settings",
        )),
        RDKafkaErrorCode::InvalidRecord => Some((
            "the broker refuses a message as invalid",
            taken,
            "a compacted topic takes only messages with a key: give the sink a `key` that is never null",
        )),
        _ => None,
    }
}
