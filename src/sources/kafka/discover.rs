//! Which partitions a source has, and where they are begun.
//!
//! Asked at the start and again while the job runs, on process 0 only. What is found is bound with an epoch, with the offset to
//! begin at: from then on the broker is not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use regex::Regex;

use super::super::discover::found as found_at;
use super::client::{KafkaError, consumer, failed, refusal};
use crate::epoch::{Found, Partition};
use crate::job::plan::{self, KafkaSource, KafkaStart, OnDataLoss};
use crate::kafka::{ANSWER, Context, Heard, topic_ids};

/// How long to wait between questions that were not answered.
const REST: Duration = Duration::from_millis(200);

/// Asks for the partitions of one source.
pub struct Topics {
    name: String,
    owner: String,
    kafka: KafkaSource,
    pattern: Option<Regex>,
    consumer: BaseConsumer<Context>,
    heard: Arc<Heard>,
    known: BTreeSet<Partition>,
}

impl Topics {
    /// For the source of this name; what is `known` is not found again.
    ///
    /// Errors: [`KafkaError::Option`].
    pub fn new(
        name: &str,
        kafka: &KafkaSource,
        known: BTreeSet<Partition>,
    ) -> Result<Self, KafkaError> {
        Self::of(format!("sources.{name}"), name, kafka, known)
    }

    /// As [`Self::new`], for what `owner` names to people.
    pub(super) fn of(
        owner: String,
        name: &str,
        kafka: &KafkaSource,
        known: BTreeSet<Partition>,
    ) -> Result<Self, KafkaError> {
        let (consumer, heard) = consumer(&owner, kafka)?;
        let pattern = match &kafka.topics {
            plan::Topics::Named(_) => None,
            plan::Topics::Pattern(pattern) => Some(
                Regex::new(&format!("^(?:{pattern})$"))
                    .expect("the job file's patterns were read before"),
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            owner,
            kafka: kafka.clone(),
            pattern,
            consumer,
            heard,
            known,
        })
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The partitions that were not known before. Waits for brokers up to `patience`, unless `over` says that nobody does any
    /// more; then nothing is found.
    ///
    /// `is_start`: partitions are begun where the job says; later ones at their first message, so that none of theirs is missed.
    pub fn look(
        &mut self,
        patience: Duration,
        is_start: bool,
        over: &dyn Fn() -> bool,
    ) -> Result<Vec<Found>, KafkaError> {
        let since = Instant::now();
        loop {
            match self.partitions(is_start) {
                Ok(found) => {
                    self.tell_of_added(&found);
                    let found = found.into_iter();
                    return found
                        .map(|partition| {
                            let at = self.start(&partition, is_start, patience, over)?;
                            self.known.insert(partition.clone());
                            Ok(found_at(partition, at))
                        })
                        .collect();
                }
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Now(problem)) => {
                    self.wait(since, patience, &problem, over)?;
                    if over() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    /// A topic that was known has partitions more: messages of a key may lie in two now, and partitions have no order among each other.
    fn tell_of_added(&self, found: &[Partition]) {
        for partition in found {
            if self
                .known
                .iter()
                .any(|known| known.topic == partition.topic)
            {
                tracing::warn!(
                    action = "partition-added",
                    owner = self.owner,
                    topic = partition.topic,
                    partition = partition.partition,
                    "a topic has a partition more; messages of one key may lie in two now, without an order between these"
                );
            }
        }
    }

    /// Holds the next offset of a partition that was read before against what the broker has: messages may be gone. Gives the
    /// offset to go on with, and how many messages are gone.
    pub fn check(
        &self,
        partition: &Partition,
        at: i64,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<(i64, i64), KafkaError> {
        let (low, high) = self.watermarks(partition, patience, over)?;
        if over() || (low..=high).contains(&at) {
            return Ok((at, 0));
        }
        if self.kafka.on_data_loss == OnDataLoss::Earliest {
            return Ok((low, (low - at).max(0)));
        }
        let lost = if at < low {
            format!("{} messages are gone", low - at)
        } else {
            "the topic is another one than before, or was cut".to_owned()
        };
        Err(KafkaError::DataLoss {
            owner: self.owner.clone(),
            topic: partition.topic.clone(),
            partition: partition.partition,
            at,
            low,
            high,
            lost,
        })
    }

    /// The id of each topic that is known and there, as far as brokers give them. Waits for brokers up to `patience`; nothing is told
    /// where `over` says that nobody does any more.
    pub fn ids(
        &self,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<BTreeMap<String, String>, KafkaError> {
        let topics: BTreeSet<&str> = self
            .known
            .iter()
            .map(|known| known.topic.as_str())
            .collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let since = Instant::now();
        loop {
            match topic_ids(self.consumer.client(), &topics, ANSWER) {
                Ok(ids) => return Ok(ids),
                Err(problem) => {
                    self.wait(since, patience, &problem, over)?;
                    if over() {
                        return Ok(BTreeMap::new());
                    }
                }
            }
        }
    }

    /// Whether the job goes on where what it has not read is gone.
    pub fn takes_loss(&self) -> bool {
        self.kafka.on_data_loss == OnDataLoss::Earliest
    }

    /// For what `owner` stands that topics are told of: `sources.sales`.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The first offset of a partition of a topic that was made anew.
    pub fn first(
        &self,
        partition: &Partition,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<i64, KafkaError> {
        Ok(self.watermarks(partition, patience, over)?.0)
    }

    /// That a topic is another one than it was.
    pub fn renewed(&self, topic: &str, known: &str, found: &str) -> KafkaError {
        KafkaError::Renewed {
            owner: self.owner.clone(),
            topic: topic.to_owned(),
            known: known.to_owned(),
            found: found.to_owned(),
        }
    }

    /// The id of the cluster that the brokers belong to; `None` where they do not say.
    pub fn cluster(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(ANSWER)
    }

    /// The offset after the last committed message of each known partition. Errors: what the client says, in words; no broker is
    /// waited for beyond one question.
    pub fn ends(&self) -> Result<Vec<(Partition, i64)>, String> {
        // What the client says of connections comes by polling.
        drop(self.consumer.poll(Duration::ZERO));
        let failed = |error: &ClientError| {
            let said = self.heard.last();
            said.unwrap_or_else(|| error.to_string())
        };
        if self.known.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = TopicPartitionList::with_capacity(self.known.len());
        for known in &self.known {
            asked
                .add_partition_offset(&known.topic, known.partition, Offset::End)
                .map_err(|error| failed(&error))?;
        }
        // In the protocol the end is a time, too.
        let answered = self.consumer.offsets_for_times(asked, ANSWER);
        let answered = answered.map_err(|error| failed(&error))?;
        let mut ends = Vec::with_capacity(self.known.len());
        for known in &self.known {
            let Some(element) = answered.find_partition(&known.topic, known.partition) else {
                continue;
            };
            element.error().map_err(|error| failed(&error))?;
            if let Offset::Offset(end) = element.offset() {
                ends.push((known.clone(), end));
            }
        }
        Ok(ends)
    }

    /// Tells the group how far the job is, for those who watch lag.
    pub fn tell_group(&self, at: impl Iterator<Item = (Partition, i64)>) {
        if self.kafka.group.is_none() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, at) in at.filter(|(partition, _)| partition.source == self.name) {
            let added = offsets.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(at),
            );
            drop(added);
        }
        let told = self
            .consumer
            .commit(&offsets, rdkafka::consumer::CommitMode::Async);
        if let Err(error) = told {
            tracing::warn!(action = "kafka-group", source = self.name, error = %error, "positions could not be told to the group");
        }
    }

    fn partitions(&self, is_start: bool) -> Result<Vec<Partition>, Failed> {
        let names: Vec<Option<&str>> = match &self.kafka.topics {
            plan::Topics::Named(names) => names.iter().map(|name| Some(name.as_str())).collect(),
            plan::Topics::Pattern(_) => vec![None],
        };
        let mut found = Vec::new();
        for name in names {
            let answered = self
                .consumer
                .fetch_metadata(name, ANSWER)
                .map_err(|error| Failed::Now(error.to_string()))?;
            for topic in answered.topics() {
                let is_ours = self
                    .pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(topic.name()));
                if !is_ours {
                    continue;
                }
                if let Some(error) = topic.error() {
                    let code = RDKafkaErrorCode::from(error);
                    let Some(problem) = refusal(code) else {
                        return Err(Failed::Now(format!("topic {}: {code}", topic.name())));
                    };
                    // Of what a pattern matches only that is read which may be.
                    if self.pattern.is_some() {
                        continue;
                    }
                    // A topic that is gone while the job runs is none that is read; its messages end there.
                    if !is_start && code == RDKafkaErrorCode::UnknownTopicOrPartition {
                        continue;
                    }
                    return Err(Failed::For(KafkaError::Topic {
                        owner: self.owner.clone(),
                        topic: topic.name().to_owned(),
                        problem: problem.to_owned(),
                    }));
                }
                found.extend(topic.partitions().iter().map(|partition| Partition {
                    source: self.name.clone(),
                    topic: topic.name().to_owned(),
                    partition: partition.id(),
                }));
            }
        }
        found.retain(|partition| !self.known.contains(partition));
        found.sort();
        Ok(found)
    }

    fn start(
        &self,
        partition: &Partition,
        is_start: bool,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<i64, KafkaError> {
        let (low, high) = self.watermarks(partition, patience, over)?;
        match &self.kafka.start {
            _ if !is_start => Ok(low),
            KafkaStart::Earliest => Ok(low),
            KafkaStart::Latest => Ok(high),
            KafkaStart::Offsets(offsets) => {
                let key = (partition.topic.clone(), partition.partition);
                match offsets.get(&key) {
                    None => Ok(low),
                    Some(at) => self.check(partition, *at, patience, over).map(|(at, _)| at),
                }
            }
            KafkaStart::Time(millis) => {
                let mut asked = TopicPartitionList::new();
                asked
                    .add_partition_offset(
                        &partition.topic,
                        partition.partition,
                        Offset::Offset(*millis),
                    )
                    .map_err(|error| failed(&self.owner, &error))?;
                let since = Instant::now();
                loop {
                    match self.consumer.offsets_for_times(asked.clone(), ANSWER) {
                        Ok(answered) => {
                            let at = answered
                                .find_partition(&partition.topic, partition.partition)
                                .map(|element| element.offset());
                            return Ok(match at {
                                Some(Offset::Offset(at)) => at,
                                _ => high,
                            });
                        }
                        Err(error) => {
                            self.wait(since, patience, &error.to_string(), over)?;
                            if over() {
                                return Ok(low);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The first offset of a partition, and the one after its last.
    pub(super) fn watermarks(
        &self,
        partition: &Partition,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<(i64, i64), KafkaError> {
        let since = Instant::now();
        loop {
            let answered =
                self.consumer
                    .fetch_watermarks(&partition.topic, partition.partition, ANSWER);
            match answered {
                Ok(marks) => return Ok(marks),
                Err(error) => {
                    if let Some(problem) = error.rdkafka_error_code().and_then(refusal) {
                        return Err(KafkaError::Topic {
                            owner: self.owner.clone(),
                            topic: partition.topic.clone(),
                            problem: problem.to_owned(),
                        });
                    }
                    self.wait(since, patience, &error.to_string(), over)?;
                    if over() {
                        return Ok((0, i64::MAX));
                    }
                }
            }
        }
    }

    /// Rests before the next question, or gives up.
    fn wait(
        &self,
        since: Instant,
        patience: Duration,
        problem: &str,
        over: &dyn Fn() -> bool,
    ) -> Result<(), KafkaError> {
        // What the client says of connections comes by polling.
        drop(self.consumer.poll(Duration::ZERO));
        let said = self.heard.last();
        let is_refused = self.heard.is_unknown_user();
        if over() || (since.elapsed() < patience && !is_refused) {
            std::thread::sleep(REST);
            return Ok(());
        }
        Err(KafkaError::Unreachable {
            owner: self.owner.clone(),
            brokers: self.kafka.brokers.clone(),
            problem: said.unwrap_or_else(|| problem.to_owned()),
            seconds: patience.as_secs(),
        })
    }
}

/// Why partitions are not known.
enum Failed {
    /// It will not get better.
    For(KafkaError),
    /// It may.
    Now(String),
}
