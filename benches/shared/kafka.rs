//! A real Kafka, and topics with the benchmark's sales.
//!
//! The sales are those of `caudal generate ventas` with the same number of rows and seed, so that its `truth.json` says what
//! must come out: one JSON object a message, no key, `sale_id`s that are even in partition 0 and the others in partition 1,
//! each partition in the order of `sale_id`.

#![allow(dead_code, reason = "each bench uses its part")]

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use caudal::sources::generate::{VentasChunks, VentasText};
use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

#[path = "../../tests/it/kafka/broker.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the tests' own, which panics and prints as a test may"
)]
pub(crate) mod broker;

/// Partitions of the stream, as the generator deals it out.
const PARTITIONS: i32 = 2;

/// Bytes that are generated at a time: some thousand messages, so that the producer is served often enough.
const CHUNK_BYTES: usize = 1 << 19;

/// How long the brokers may take for what is left at the end.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is put into a topic.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// `host:port` of some brokers.
    pub(crate) brokers: String,
    /// A topic that is not there yet, or is empty and has two partitions.
    pub(crate) topic: String,
    /// Number of sales.
    pub(crate) rows: u64,
    /// Which of the data sets of this size.
    pub(crate) seed: u64,
    /// Messages a second at most; `None` is as fast as can be.
    pub(crate) rate: Option<NonZeroU32>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub(crate) compression: String,
}

/// What was put there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loaded {
    /// Bytes of all values.
    pub(crate) bytes: u64,
    /// From the first message to the last that was acknowledged.
    pub(crate) seconds: f64,
}

/// Makes the topic, where it is not there, and fills it. Every message was acknowledged, once and in its order, where this
/// is `Ok`.
pub(crate) fn load(load: &Load) -> KafkaResult<Loaded> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &load.brokers);
    let producer: BaseProducer<Lost> = client
        .set("enable.idempotence", "true")
        .set("compression.type", &load.compression)
        .set("linger.ms", "20")
        .set("batch.size", "524288")
        .set("batch.num.messages", "20000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .create_with_context(Lost::default())?;

    make_topic(&client, &load.topic, &[])?;
    for partition in 0..PARTITIONS {
        let client = producer.client();
        let (first, end) = client.fetch_watermarks(&load.topic, partition, PATIENCE)?;
        if first != end {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::TopicAlreadyExists));
        }
    }

    let started = Instant::now();
    let mut bytes = 0;
    let mut chunks = VentasChunks::new(load.rows, load.seed, VentasText::Json);
    // At a rate, twenty pieces a second.
    let most = load
        .rate
        .map_or(u64::MAX, |rate| u64::from(rate.get().div_ceil(20)));
    while let Some((records, first_row)) = chunks.next_chunk(CHUNK_BYTES, most) {
        let records = records.split_inclusive(|byte| *byte == b'\n');
        for (sale_id, record) in (first_row + 1..).zip(records) {
            let value = record.strip_suffix(b"\n").unwrap_or(record);
            bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
            let partition = i32::from(!sale_id.is_multiple_of(2));
            put(&producer, &load.topic, partition, value)?;
        }
        producer.poll(Duration::ZERO);
        if let Some(rate) = load.rate {
            let due = Duration::from_secs(chunks.position()) / rate.get();
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    producer.flush(PATIENCE)?;
    let lost = producer.context().first.lock().ok();
    match lost.and_then(|mut first| first.take()) {
        Some(error) => Err(error),
        None => Ok(Loaded {
            bytes,
            seconds: started.elapsed().as_secs_f64(),
        }),
    }
}

/// Puts one message on its way, and waits while the queue is full.
fn put(
    producer: &BaseProducer<Lost>,
    topic: &str,
    partition: i32,
    value: &[u8],
) -> KafkaResult<()> {
    let mut record = BaseRecord::<(), [u8]>::to(topic)
        .partition(partition)
        .payload(value);
    while let Err((error, back)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error);
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    Ok(())
}

/// Makes the topic with these settings, where it is not there.
pub(crate) fn make_topic(
    client: &ClientConfig,
    topic: &str,
    settings: &[(&str, &str)],
) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let mut made = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(-1));
    for (name, value) in settings {
        made = made.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in block_on(admin.create_topics([&made], &options))? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

/// Why the first message was lost that was.
#[derive(Debug, Default)]
struct Lost {
    first: Mutex<Option<KafkaError>>,
}

impl ClientContext for Lost {}

impl ProducerContext for Lost {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result
            && let Ok(mut first) = self.first.lock()
        {
            first.get_or_insert_with(|| error.clone());
        }
    }
}
