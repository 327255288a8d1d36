//! A topic as a table: every message from the first one on, in the order in which they come.
//!
//! A topic that is compacted keeps the newest message of each key, so that reading it whole gives the table. It is read whole at
//! each start: what happened while nobody read, tombstones that were cleared away too, shows in what the table is then.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;

use super::client::{KafkaError, consumer, failed, heed};
use super::discover::Topics;
use super::reader::{Gathered, Makes, Wants};
use crate::epoch::Found;
use crate::job::plan::{self, KafkaSource, SourceColumn};
use crate::kafka::Context;
use crate::record::{Chunk, RecordPlace};

/// How long one poll waits for a message.
const POLL: Duration = Duration::from_millis(50);

/// How often brokers are asked for partitions that are new.
const LOOK: Duration = Duration::from_secs(10);

/// Reads the topic of one look-up.
pub(crate) struct ReferenceReader {
    owner: String,
    topic: String,
    makes: Makes,
    wants: Wants,
    discovery: Topics,
    consumer: BaseConsumer<Context>,
    parts: Vec<Part>,
    looked: Instant,
    /// The topic's id, where brokers give one.
    id: Option<String>,
}

/// One partition.
struct Part {
    number: i32,
    /// The offset after the last message that was read.
    at: i64,
    /// The offset after the last message that there was when it was found.
    end: i64,
}

/// A message: its key, and what it says of the key's rows.
#[derive(Debug)]
pub(crate) struct Update {
    /// Its key's bytes, if it has one.
    pub(crate) key: Option<Vec<u8>>,
    /// Its partition and offset.
    pub(crate) place: (i32, i64),
    /// Its value: the index of a chunk in [`Updates::chunks`] and of a record in it. `None`: the key is gone.
    pub(crate) value: Option<(usize, usize)>,
}

/// Messages in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// Each of them.
    pub(crate) messages: Vec<Update>,
    /// Their values.
    pub(crate) chunks: Vec<Chunk>,
}

impl ReferenceReader {
    /// Finds the partitions of the topics of look-up `name`. Waits for brokers up to `patience`; `None` where `over` said that nobody
    /// does any more.
    pub(crate) fn open(
        name: &str,
        kafka: &KafkaSource,
        columns: &[SourceColumn],
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, KafkaError> {
        let owner = format!("lookups.{name}");
        let plan::Topics::Named(topics) = &kafka.topics else {
            panic!("the job file's look-ups have one topic");
        };
        let topic = topics.concat();
        let discovery = Topics::of(owner.clone(), name, kafka, BTreeSet::new())?;
        let (consumer, _) = consumer(&owner, kafka)?;
        let mut reader = Self {
            owner,
            makes: Makes::new(0, &topic),
            wants: Wants::of(columns),
            topic,
            discovery,
            consumer,
            parts: Vec::new(),
            looked: Instant::now(),
            id: None,
        };
        reader.find(patience, true, over)?;
        reader.id = reader.discovery.ids(patience, over)?.into_values().next();
        Ok((!over()).then_some(reader))
    }

    /// Whether everything has been read that was there when the partitions were found.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.parts.iter().all(|part| part.at >= part.end)
    }

    /// The messages that are here, of about `bytes`; waits a moment for the first.
    pub(crate) fn next(&mut self, bytes: usize) -> Result<Updates, KafkaError> {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.hold()?;
            // What can't be known now is asked again later.
            if let Err(error) = self.find(Duration::ZERO, false, &|| true) {
                tracing::warn!(action = "kafka-discovery", error = %error, "new partitions could not be looked for");
            }
        }
        let mut updates = Updates::default();
        let mut open: Vec<Option<(usize, Gathered)>> = Vec::new();
        open.resize_with(self.parts.len(), || None);
        let mut wait = POLL;
        let mut gathered = 0;
        while gathered < bytes {
            let message = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(ClientError::PartitionEOF(number))) => {
                    wait = Duration::ZERO;
                    self.at_end(number);
                    continue;
                }
                Some(Err(error)) => {
                    heed(&self.owner, &self.topic, &error)?;
                    break;
                }
            };
            wait = Duration::ZERO;
            let is_of = |part: &Part| part.number == message.partition();
            let Some(at) = self.parts.iter().position(is_of) else {
                continue;
            };
            let (number, offset) = (message.partition(), message.offset());
            self.parts[at].at = offset + 1;
            gathered += message.payload_len() + message.key_len();
            let mut placing = Placing {
                makes: &self.makes,
                wants: self.wants,
                number,
                open: &mut open[at],
                chunks: &mut updates.chunks,
            };
            let value = message.payload();
            let value = value.map(|value| placing.place(value, &message));
            updates.messages.push(Update {
                key: message.key().map(<[u8]>::to_vec),
                place: (number, offset),
                value,
            });
        }
        for (part, open) in self.parts.iter().zip(open) {
            if let Some((chunk, gathered)) = open {
                updates.chunks[chunk] = self.makes.lines(part.number, gathered);
            }
        }
        Ok(updates)
    }

    /// The topic and its id, where brokers give one.
    pub(crate) fn id(&self) -> Option<(&str, &str)> {
        Some((self.topic.as_str(), self.id.as_deref()?))
    }

    /// Whether another topic of this name is taken for the table.
    pub(crate) fn takes_loss(&self) -> bool {
        self.discovery.takes_loss()
    }

    /// That the topic is another one than it was.
    pub(crate) fn renewed(&self, known: &str, found: &str) -> KafkaError {
        self.discovery.renewed(&self.topic, known, found)
    }

    /// Holds the topic against the id that it had; what can't be known now is asked again later.
    fn hold(&self) -> Result<(), KafkaError> {
        let ids = self
            .discovery
            .ids(Duration::ZERO, &|| true)
            .unwrap_or_default();
        match (&self.id, ids.into_values().next()) {
            (Some(known), Some(found)) if *known != found => Err(self.renewed(known, &found)),
            _ => Ok(()),
        }
    }

    /// Begins partitions that are new at their first message.
    fn find(
        &mut self,
        patience: Duration,
        is_start: bool,
        over: &dyn Fn() -> bool,
    ) -> Result<(), KafkaError> {
        let found = self.discovery.look(patience, is_start, over)?;
        let mut list = TopicPartitionList::new();
        for Found { partition, at, .. } in found {
            let (_, end) = self.discovery.watermarks(&partition, patience, over)?;
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(at))
                .map_err(|error| failed(&self.owner, &error))?;
            self.parts.push(Part {
                number: partition.partition,
                at,
                end,
            });
        }
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| failed(&self.owner, &error))
    }

    /// A partition has no more messages now. Behind the last one there may be marks of transactions, and what compaction took away.
    fn at_end(&mut self, number: i32) {
        for part in self.parts.iter_mut().filter(|part| part.number == number) {
            part.at = part.at.max(part.end);
        }
    }
}

/// Puts values where they can be decoded.
struct Placing<'a> {
    makes: &'a Makes,
    wants: Wants,
    number: i32,
    /// The partition's chunk of values of one line, by its index, and what it will hold.
    open: &'a mut Option<(usize, Gathered)>,
    chunks: &'a mut Vec<Chunk>,
}

impl Placing<'_> {
    /// Puts a value in the partition's chunk, or, where it has several lines, in one of its own; gives the chunk and the record in it.
    fn place(&mut self, value: &[u8], message: &BorrowedMessage<'_>) -> (usize, usize) {
        let byte = u64::try_from(message.offset()).expect("offsets of messages are not negative");
        let place = |start| RecordPlace {
            start,
            line: 0,
            byte,
        };
        let is_blank = value.iter().all(u8::is_ascii_whitespace);
        if is_blank || memchr::memchr2(b'\n', b'\r', value).is_some() {
            let broken = is_blank.then(|| {
                let words = "a message with an empty value is no row";
                ("empty_message".into(), words.to_owned())
            });
            let bytes = if value.is_empty() { b"\n" } else { value };
            let mut alone = Gathered::alone(bytes.to_vec(), place(0));
            alone.keep(message, self.wants);
            self.chunks
                .push(self.makes.whole(self.number, alone, broken));
            return (self.chunks.len() - 1, 0);
        }
        if self.open.is_none() {
            // Holds the place of what is filled in when all are here.
            let empty = self.makes.lines(self.number, Gathered::default());
            self.chunks.push(empty);
            *self.open = Some((self.chunks.len() - 1, Gathered::default()));
        }
        let (chunk, gathered) = self.open.as_mut().expect("it was opened");
        gathered.keep(message, self.wants);
        (*chunk, gathered.add(value, true, place))
    }
}
