//! Messages of a test: written, in transactions or not, and read back.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use super::broker::{Broker, PATIENCE};

/// A message to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Where to.
    pub(crate) partition: i32,
    /// Its key.
    pub(crate) key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// Its headers, in order; a name may come twice, a value may be missing.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; `None` is now, and so is 0 for the client library.
    pub(crate) timestamp: Option<i64>,
}

impl Sent {
    /// A message with nothing but a value.
    pub(crate) fn value(partition: i32, value: impl Into<Vec<u8>>) -> Self {
        Self {
            partition,
            value: Some(value.into()),
            ..Self::default()
        }
    }
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// What was sent, with the time that the broker keeps.
    pub(crate) sent: Sent,
    /// Where it lies.
    pub(crate) offset: i64,
}

/// Whose messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Those of transactions that were committed, up to the first that is still open.
    Committed,
    /// All.
    Uncommitted,
}

impl Broker {
    /// Writes messages in bulk, and returns when all are kept.
    pub(crate) fn send(&self, topic: &str, messages: impl IntoIterator<Item = Sent>) {
        let refused = self.try_send(topic, messages);
        assert!(refused.is_empty(), "{topic}: {:?}", refused[0]);
    }

    /// The same, and returns why messages were not kept.
    pub(crate) fn try_send(
        &self,
        topic: &str,
        messages: impl IntoIterator<Item = Sent>,
    ) -> Vec<KafkaError> {
        Writer::new(self, None).send(topic, messages)
    }

    /// Begins a transaction of the producer with this id. An earlier producer with the same id is fenced.
    pub(crate) fn transaction(&self, id: &str) -> Transaction {
        let writer = Writer::new(self, Some(id));
        writer.producer.init_transactions(PATIENCE).unwrap();
        writer.producer.begin_transaction().unwrap();
        Transaction { writer }
    }

    /// All messages of a topic that can be read now, by partition and offset.
    pub(crate) fn read(&self, topic: &str, isolation: Isolation) -> Vec<Read> {
        let mut client = self.client();
        client
            .set("group.id", "caudal-tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            .set(
                "isolation.level",
                match isolation {
                    Isolation::Committed => "read_committed",
                    Isolation::Uncommitted => "read_uncommitted",
                },
            );
        let consumer: BaseConsumer = client.create().unwrap();
        let mut unread = self.partitions(topic);
        let mut all = TopicPartitionList::new();
        for partition in 0..unread {
            all.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&all).unwrap();

        let mut read = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while unread > 0 {
            assert!(Instant::now() < deadline, "{topic} has no end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => read.push(Read::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => unread -= 1,
                Some(Err(error)) => println!("{topic}: {error}"),
                None => {}
            }
        }
        read.sort_by_key(|message| (message.sent.partition, message.offset));
        read
    }
}

/// A transaction. Dropped as it is, it stays open, as that of a process that died.
#[derive(Debug)]
pub(crate) struct Transaction {
    writer: Writer,
}

impl Transaction {
    /// Writes messages, and returns when all are kept.
    pub(crate) fn send(&self, topic: &str, messages: impl IntoIterator<Item = Sent>) {
        let refused = self.writer.send(topic, messages);
        assert!(refused.is_empty(), "{topic}: {:?}", refused[0]);
    }

    /// Commits it.
    pub(crate) fn commit(self) -> Result<(), KafkaError> {
        self.writer.producer.commit_transaction(PATIENCE)
    }

    /// Aborts it.
    pub(crate) fn abort(self) -> Result<(), KafkaError> {
        self.writer.producer.abort_transaction(PATIENCE)
    }
}

/// A producer, and what became of its messages.
struct Writer {
    producer: BaseProducer<Refused>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    fn new(broker: &Broker, transactional_id: Option<&str>) -> Self {
        let mut client = broker.client();
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.messages", "500000");
        if let Some(id) = transactional_id {
            client.set("transactional.id", id);
        }
        Self {
            producer: client.create_with_context(Refused::default()).unwrap(),
        }
    }

    fn send(&self, topic: &str, messages: impl IntoIterator<Item = Sent>) -> Vec<KafkaError> {
        for message in messages {
            let mut record = BaseRecord::to(topic).partition(message.partition);
            record.key = message.key.as_deref();
            record.payload = message.value.as_deref();
            record.timestamp = message.timestamp;
            if !message.headers.is_empty() {
                let mut headers = OwnedHeaders::new();
                for (key, value) in &message.headers {
                    let value = value.as_deref();
                    headers = headers.insert(Header { key, value });
                }
                record.headers = Some(headers);
            }
            while let Err((error, back)) = self.producer.send::<[u8], [u8]>(record) {
                assert_eq!(
                    error.rdkafka_error_code(),
                    Some(RDKafkaErrorCode::QueueFull)
                );
                self.producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        self.producer.flush(PATIENCE).unwrap();
        std::mem::take(&mut *self.producer.context().refused.lock().unwrap())
    }
}

/// Keeps why messages were not kept.
#[derive(Debug, Default)]
struct Refused {
    refused: Mutex<Vec<KafkaError>>,
}

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.refused.lock().unwrap().push(error.clone());
        }
    }
}

impl Read {
    /// One that a client gives.
    pub(crate) fn of(message: &impl Message) -> Self {
        let headers = message.headers().map(|headers| {
            let headers = headers.iter();
            headers
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect()
        });
        Self {
            sent: Sent {
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: headers.unwrap_or_default(),
                timestamp: message.timestamp().to_millis(),
            },
            offset: message.offset(),
        }
    }
}
