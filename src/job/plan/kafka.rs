//! Topics that a job writes, and the clusters they are of.

use std::collections::BTreeMap;
use std::fmt;

use super::OutputColumn;
use crate::job::secrets::masked;
use crate::transform::Expression;

/// A topic's setting that says what becomes of old messages.
const CLEANUP_POLICY: &str = "cleanup.policy";

/// The policy by which the last message of each key is kept.
const COMPACT: &str = "compact";

/// A topic to write. Its expressions are over the table that the sink takes, as its columns are.
#[derive(Debug, Clone)]
pub struct KafkaSink {
    /// Index in `plan.clusters`.
    pub cluster: usize,
    /// The topic.
    pub topic: String,
    /// The key of a message, written as text; without one, messages have none.
    pub key: Option<Expression>,
    /// Headers by name, written as text; a null one is left out.
    pub headers: Vec<OutputColumn>,
    /// The partition, an int; null, or without one: by the key's hash, as Kafka's own clients place keys.
    pub partition: Option<Expression>,
    /// The time of the message; null, or without one: when it is sent.
    pub timestamp: Option<Expression>,
    /// Where true the message is a tombstone: it has its key, and no value.
    pub tombstone: Option<Expression>,
    /// How the topic is made where it is not there; `None`: it must be.
    pub create: Option<CreateTopic>,
    /// Most bytes of key, value and headers (names and values) together. A row whose message would be larger is refused; of a refused row less is sent.
    pub max_message: usize,
}

impl KafkaSink {
    /// Whether the topic is made as one that takes no message without a key.
    pub fn is_compacted(&self) -> bool {
        let config = self.create.as_ref().map(|create| &create.config);
        let policy = config.and_then(|config| config.get(CLEANUP_POLICY));
        policy.is_some_and(|policy| policy.split(',').any(|each| each.trim() == COMPACT))
    }

    /// Every expression of a message but for its value, and what it is called in the job file.
    pub fn expressions(&self) -> impl Iterator<Item = (String, &Expression)> {
        let own = [
            ("key", &self.key),
            ("partition", &self.partition),
            ("timestamp", &self.timestamp),
            ("tombstone", &self.tombstone),
        ];
        let own = own.into_iter().filter_map(|(option, expression)| {
            Some((format!("kafka.{option}"), expression.as_ref()?))
        });
        let headers = self
            .headers
            .iter()
            .map(|header| (format!("kafka.headers.{}", header.name), &header.expression));
        own.chain(headers)
    }

    /// The same expressions in the same order, to be changed.
    pub fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Expression> {
        let own = [
            &mut self.key,
            &mut self.partition,
            &mut self.timestamp,
            &mut self.tombstone,
        ];
        let headers = self.headers.iter_mut();
        own.into_iter()
            .filter_map(Option::as_mut)
            .chain(headers.map(|header| &mut header.expression))
    }
}

/// How a topic is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopic {
    /// Number of partitions.
    pub partitions: i32,
    /// Number of copies; -1: as the brokers do by default.
    pub replication: i32,
    /// Settings by Kafka's names, such as `cleanup.policy`.
    pub config: BTreeMap<String, String>,
}

/// A cluster that sinks write to: all of its topics are committed together, shard by shard. Shown without secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaCluster {
    /// `host:port` of some brokers, separated by commas, in order, each once.
    pub brokers: String,
    /// Options of the client library by their own names.
    pub options: BTreeMap<String, String>,
    /// How often a row may be seen.
    pub delivery: Delivery,
    /// Number of producers. Which one a message goes through is said by its key's hash, whatever the number of workers.
    pub shards: usize,
    /// What names what caudal keeps there: the topic of progress, and with a shard's number its transactional id.
    pub id: String,
    /// What happens when it does not take messages.
    pub on_failure: OnFailure,
}

/// What happens when a cluster does not take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The job ends.
    Stop,
    /// They are held in the state, up to so many bytes.
    Hold {
        /// Of all shards together.
        outbox: u64,
    },
}

/// How often a row may be seen in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Once, by transactions; readers must be `read_committed`.
    ExactlyOnce,
    /// Once or more often, and sooner.
    AtLeastOnce,
}

impl Delivery {
    /// Its word in the job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// The topic in which the progress of a job with this id is kept.
pub fn progress_topic(id: &str) -> String {
    format!("{id}-progress")
}

impl KafkaCluster {
    /// What the cluster is to people, as a target.
    pub fn name(&self) -> String {
        format!("{} at {}", self.id, self.brokers)
    }

    /// The topic in which each shard's progress is kept.
    pub fn progress_topic(&self) -> String {
        progress_topic(&self.id)
    }

    /// The client's options as people may see them, by name.
    pub fn shown_options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), masked(name, value)))
    }
}

impl fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<&str, &str> = self.shown_options().collect();
        f.debug_struct("KafkaCluster")
            .field("brokers", &self.brokers)
            .field("options", &options)
            .field("delivery", &self.delivery)
            .field("shards", &self.shards)
            .field("id", &self.id)
            .field("on_failure", &self.on_failure)
            .finish()
    }
}
