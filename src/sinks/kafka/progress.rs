//! How far a shard is, as its topic of progress says: written in each transaction, so that it is there if and only if the messages are.
//!
//! Partition s of the topic is shard s's. It is compacted, and every record has the same key, so that little more than the last one is
//! ever kept. A record says up to which epoch, and how many messages of that one, a shard has sent.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};

use super::error::{TopicError, is_refused, owner};
use crate::job::plan::KafkaCluster;
use crate::kafka::{ANSWER, Context, config, read_committed};
use crate::record::Epoch;

/// Version of the record.
pub const FORMAT: u32 = 1;

/// Offsets before the end that are read first: a commit takes two, so that the newest record is among them, unless many transactions
/// were given up.
const NEWEST: i64 = 64;

/// How far a shard is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// [`FORMAT`].
    pub format: u32,
    /// The job.
    pub job: String,
    /// The state it belongs to: a word that no other state has.
    pub state: String,
    /// The life that wrote it.
    pub generation: u64,
    /// Number of shards.
    pub shards: usize,
    /// The last epoch of which messages are in the topics.
    pub epoch: Epoch,
    /// How many of that epoch's are, in pinned order; `None`: all.
    pub sent: Option<u64>,
    /// Messages since the job began.
    pub messages: u64,
}

impl Progress {
    /// Whether all of this epoch's messages are in the topics.
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch < self.epoch || (epoch == self.epoch && self.sent.is_none())
    }
}

/// Reads the progress of shards; asked again and again by one client.
pub struct Reader {
    cluster: KafkaCluster,
    topic: String,
    client: BaseConsumer<Context>,
}

impl Reader {
    /// Of the shards of a cluster.
    ///
    /// Errors: [`TopicError::Option`].
    pub fn new(cluster: &KafkaCluster) -> Result<Self, TopicError> {
        let mut config = config(
            &cluster.brokers,
            &cluster.options,
            &[("fetch.wait.max.ms", "20")],
        );
        read_committed(&mut config, &cluster.id);
        let client = config
            .create_with_context(Context::default())
            .map_err(|error| TopicError::not_made(cluster, error))?;
        Ok(Self {
            cluster: cluster.clone(),
            topic: cluster.progress_topic(),
            client,
        })
    }

    /// The client, for what else is to be asked.
    pub(super) fn client(&self) -> &BaseConsumer<Context> {
        &self.client
    }

    /// The newest progress of a shard that is committed; `None` where there is none. Waits for brokers up to `patience`.
    ///
    /// What another one has open is not waited for, so it must have been fenced before by whoever goes on from the answer.
    pub fn read(
        &self,
        shard: usize,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<Option<Progress>, TopicError> {
        let since = Instant::now();
        let partition = i32::try_from(shard).expect("a job has few shards");
        loop {
            let marks = self.client.fetch_watermarks(&self.topic, partition, ANSWER);
            let tried = match marks {
                Ok((low, high)) if high <= low => return Ok(None),
                Ok((low, high)) => self
                    .newest(partition, low.max(high - NEWEST), high)
                    .and_then(|found| match found {
                        None if high - NEWEST > low => self.newest(partition, low, high),
                        found => Ok(found),
                    }),
                Err(error) => Err(error),
            };
            let error = match tried {
                Ok(None) => return Ok(None),
                Ok(Some(text)) => return self.parse(shard, &text).map(Some),
                Err(error) => error,
            };
            let code = error.rdkafka_error_code();
            // One that was just made is not known to all brokers at once; nor, to a broker that has just come back, who leads it.
            let is_unknown = matches!(
                code,
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::UnknownPartition
                )
            );
            let is_new = is_unknown && since.elapsed() < ANSWER;
            let code = code.filter(|_| !is_new);
            if let Some(refused) = TopicError::refused(owner(&self.cluster), &self.topic, code) {
                return Err(refused);
            }
            if over() || since.elapsed() >= patience {
                let problem = error.to_string();
                return Err(TopicError::unreachable(&self.cluster, problem, patience));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The last committed record from an offset on.
    fn newest(&self, partition: i32, from: i64, high: i64) -> Result<Option<Vec<u8>>, ClientError> {
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(&self.topic, partition, Offset::Offset(from))?;
        self.client.assign(&at)?;
        let mut found = None;
        let since = Instant::now();
        let read = loop {
            if since.elapsed() > ANSWER {
                break Err(ClientError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            match self.client.poll(Duration::from_millis(100)) {
                Some(Err(ClientError::PartitionEOF(_))) => break Ok(found),
                Some(Err(error)) if is_refused(&error) => break Err(error),
                // It passes, or the time is over.
                None | Some(Err(_)) => {}
                Some(Ok(message)) => {
                    found = message.payload().map(<[u8]>::to_vec);
                    if message.offset() + 1 >= high {
                        break Ok(found);
                    }
                }
            }
        };
        drop(self.client.unassign());
        read
    }

    fn parse(&self, shard: usize, text: &[u8]) -> Result<Progress, TopicError> {
        let problem = match serde_json::from_slice::<Progress>(text) {
            Ok(progress) if progress.format == FORMAT => return Ok(progress),
            Ok(progress) => format!("its record is of format {}", progress.format),
            Err(error) => format!("its record is none of caudal's: {error}"),
        };
        let hint = "another program writes to it: give the sinks another `id`";
        Err(TopicError::progress(&self.cluster, shard, problem, hint))
    }
}
