//! A shard's producer: the client as caudal makes it, and what its errors mean.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::error::{TopicError, owner};
use super::flush::{BATCH, FEW, Moving, flush, wait};
use crate::cluster::ShardId;
use crate::job::plan::{Delivery, KafkaCluster, Plan};
use crate::kafka::{Context, Heard, config};
use crate::record::Epoch;

/// How long one step of a transaction may take before it is looked whether the run is over.
const STEP: Duration = Duration::from_millis(500);

/// How long one try to fence may take.
const FENCE: Duration = Duration::from_secs(2);

/// How long the client is left alone where it has enough messages.
const FULL: Duration = Duration::from_millis(1);

/// Messages that the client is given before the first of them are answered.
const MANY: i32 = 30_000;

/// Bytes that a message has on its way besides key, value and headers, with much to spare.
const AROUND_MESSAGE: usize = 4096;

/// What became of messages.
#[derive(Debug, Default)]
struct Fates {
    /// Of each epoch.
    delivered: Mutex<BTreeMap<usize, u64>>,
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

struct Reports {
    client: Context,
    fates: Arc<Fates>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ProducerContext for Reports {
    /// The epoch.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, epoch: usize) {
        match result {
            Ok(_) => *self.fates.delivered().entry(epoch).or_default() += 1,
            Err((error, message)) => {
                let code = error
                    .rdkafka_error_code()
                    .unwrap_or(RDKafkaErrorCode::Unknown);
                // Those that are thrown away with their transaction say nothing of why.
                let says = !matches!(
                    code,
                    RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
                );
                if says {
                    let mut failed = self
                        .fates
                        .failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert_with(|| (code, message.topic().to_owned()));
                }
            }
        }
    }
}

impl Fates {
    fn delivered(&self) -> MutexGuard<'_, BTreeMap<usize, u64>> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An epoch as the client carries it along.
fn tag(epoch: Epoch) -> usize {
    usize::try_from(epoch).expect("epochs fit the machine's words")
}

/// A message for the client: the parts of one record.
pub(super) struct Out<'a> {
    /// By which its delivery is counted.
    pub(super) epoch: Epoch,
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// Why a step failed, and with it what is known of the messages.
#[derive(Debug)]
pub(super) enum Failed {
    /// The transaction is aborted: none of it is there, and it may be tried again.
    Aborted(String),
    /// Nobody knows: a new producer must fence this one and read the progress.
    Unknown(String),
    /// As [`Self::Unknown`], since someone has fenced this one or the broker believes it is gone.
    Fenced(String),
    /// It won't get better.
    For(TopicError),
    /// The run is over.
    Over,
}

/// The producer of one shard.
pub(super) struct Producer {
    cluster: KafkaCluster,
    client: BaseProducer<Reports>,
    heard: Arc<Heard>,
    fates: Arc<Fates>,
    id: String,
    is_exact: bool,
    /// Messages that were handed to the client.
    sent: Cell<u64>,
    /// At least once: how what was handed on moves.
    moving: Moving,
}

/// The transactional id of a shard.
pub(super) fn transactional_id(cluster: &KafkaCluster, shard: usize) -> String {
    format!("{}-{shard}", cluster.id)
}

impl Producer {
    /// A producer of a shard.
    pub(super) fn new(plan: &Plan, id: ShardId) -> Result<Self, TopicError> {
        let (cluster, shard) = (&plan.clusters[id.cluster], id.shard);
        let topics = plan.topics_of(id.cluster);
        let largest = topics.map(|(.., kafka)| kafka.max_message).max();
        let largest = largest.unwrap_or_default();
        let mut config = config(
            &cluster.brokers,
            &cluster.options,
            &[
                ("queue.buffering.max.kbytes", "65536"),
                ("queue.buffering.max.messages", "500000"),
                // What does not fill a batch is sent by telling it to: see `super::flush`.
                ("linger.ms", "5000"),
                // As Kafka's own clients place keys.
                ("partitioner", "murmur2_random"),
                ("transaction.timeout.ms", "60000"),
            ],
        );
        let largest = (largest + AROUND_MESSAGE).max(1_000_000).to_string();
        let id = transactional_id(cluster, shard);
        for (option, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.max.bytes", largest.as_str()),
        ] {
            config.set(option, value);
        }
        if cluster.delivery == Delivery::ExactlyOnce {
            config.set("transactional.id", &id);
            // The transaction's end tells of all of them.
            config.set("delivery.report.only.error", "true");
        }
        let heard = Arc::<Heard>::default();
        let fates = Arc::<Fates>::default();
        let reports = Reports {
            client: Context(Arc::clone(&heard)),
            fates: Arc::clone(&fates),
        };
        let client = config
            .create_with_context(reports)
            .map_err(|error| TopicError::not_made(cluster, error))?;
        Ok(Self {
            cluster: cluster.clone(),
            client,
            heard,
            fates,
            id,
            is_exact: cluster.delivery == Delivery::ExactlyOnce,
            sent: Cell::new(0),
            moving: Moving::new(),
        })
    }

    /// Fences whoever had this shard before: none of its transactions is open any more, and none can be committed.
    pub(super) fn fence(&self, patience: Duration, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        let since = Instant::now();
        loop {
            let error = match self.client.init_transactions(FENCE) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.client.poll(Duration::ZERO);
            if over() {
                return Err(Failed::Over);
            }
            if let Some(error) = self.refused(&error) {
                return Err(Failed::For(error));
            }
            if self.heard.is_unknown_user() || since.elapsed() >= patience {
                let said = self.heard.last().unwrap_or_else(|| error.to_string());
                let unreachable = TopicError::unreachable(&self.cluster, said, patience);
                return Err(Failed::For(unreachable));
            }
            if !is_retriable(&error) {
                return Err(Failed::Unknown(error.to_string()));
            }
        }
    }

    /// That transactions of this id are not taken at all.
    fn refused(&self, error: &ClientError) -> Option<TopicError> {
        let hint = match error.rdkafka_error_code()? {
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                "allow the job's user to write and describe transactional ids that begin with the sinks' `id`"
            }
            RDKafkaErrorCode::ClusterAuthorizationFailed => {
                "allow the job's user IdempotentWrite on the cluster"
            }
            RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => {
                "transactions need brokers of version 0.11 or later; delivery = \"at_least_once\" does without"
            }
            RDKafkaErrorCode::InvalidTransactionTimeout => {
                "lower \"transaction.timeout.ms\" in `options`, or raise the broker's transaction.max.timeout.ms"
            }
            _ => return None,
        };
        Some(TopicError::Transactions {
            owner: owner(&self.cluster),
            id: self.id.clone(),
            problem: error.to_string(),
            hint,
        })
    }

    /// Begins a transaction; where it delivers at least once there is none.
    pub(super) fn begin(&self) -> Result<(), Failed> {
        if !self.is_exact {
            return Ok(());
        }
        self.client
            .begin_transaction()
            .map_err(|error| self.failed(&error))
    }

    /// Hands a message to the client, waiting while its queue is full.
    pub(super) fn send(&self, out: Out<'_>, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        let Out {
            epoch,
            topic,
            partition,
            key,
            value,
            timestamp,
            headers,
        } = out;
        let mut record = BaseRecord::<[u8], [u8], usize> {
            topic,
            partition,
            payload: value,
            key,
            timestamp,
            headers,
            delivery_opaque: tag(epoch),
        };
        loop {
            match self.client.send(record) {
                Ok(()) => {
                    self.sent.set(self.sent.get() + 1);
                    return Ok(());
                }
                Err((error, back)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        self.client.poll(Duration::ZERO);
                        return Err(self.topic_failed(topic, &error));
                    }
                    if over() {
                        return Err(Failed::Over);
                    }
                    record = back;
                    self.client.poll(Duration::ZERO);
                    flush(&self.client, FULL);
                }
            }
        }
    }

    /// Commits what was sent since the transaction began. Where no answer comes within `patience` nobody knows whether it is committed.
    pub(super) fn commit(&self, patience: Duration, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        if !self.is_exact {
            return self.await_taken(over);
        }
        self.await_answers(over)?;
        let since = Instant::now();
        loop {
            match self.client.commit_transaction(STEP) {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) => {
                    self.client.poll(Duration::ZERO);
                    if over() {
                        return Err(Failed::Over);
                    }
                    if since.elapsed() >= patience {
                        return Err(Failed::Unknown(error.to_string()));
                    }
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Sends all that was handed on, and waits until it is answered.
    fn await_answers(&self, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        let mut moving = Moving::new();
        while moving.help(&self.client, BATCH) > 0 {
            if over() {
                return Err(Failed::Over);
            }
        }
        Ok(())
    }

    /// At least once: waits until all that was sent is delivered, before it is counted.
    pub(super) fn await_taken(&self, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        if !self.is_exact {
            self.await_answers(over)?;
        }
        match self.lost() {
            Some(failed) if !self.is_exact => Err(failed),
            _ => Ok(()),
        }
    }

    /// Numbers that change as long as messages go out: how many were handed to the client, and how many of them wait in it. It counts what it
    /// has to tell among those, such as that brokers are away.
    pub(super) fn moved(&self) -> (u64, i32) {
        (self.sent.get(), self.client.in_flight_count())
    }

    /// Gives a transaction up, for a life that ends: who reads what is committed need not wait for its time-out.
    pub(super) fn give_up(&self) {
        drop(self.client.abort_transaction(STEP));
    }

    /// Waits while the client has many messages: they are sent while they are still in the processor's cache.
    pub(super) fn pace(&self, over: &dyn Fn() -> bool) -> Result<(), Failed> {
        let mut moving = Moving::new();
        // Nothing moves where no partition has a full batch.
        while moving.look(&self.client) > MANY && !moving.is_still() {
            wait(&self.client, FULL);
            if over() {
                return Err(Failed::Over);
            }
        }
        Ok(())
    }

    /// Helps what was handed on along, for a moment.
    pub(super) fn nudge(&mut self) {
        self.moving.help(&self.client, FEW);
    }

    /// Serves what the client has to tell.
    pub(super) fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    /// How many messages of an epoch were delivered since it was made, where it tells of each.
    pub(super) fn delivered(&self, epoch: Epoch) -> u64 {
        let delivered = self.fates.delivered();
        delivered.get(&tag(epoch)).copied().unwrap_or_default()
    }

    /// Counts no longer what was delivered of epochs up to this one.
    pub(super) fn forget(&self, epoch: Epoch) {
        let mut delivered = self.fates.delivered();
        *delivered = delivered.split_off(&(tag(epoch) + 1));
    }

    /// Waits a while until all that was handed on is delivered.
    pub(super) fn settle(&self) {
        flush(&self.client, STEP);
        self.client.poll(Duration::ZERO);
    }

    /// Why a message was not delivered, if one was not.
    pub(super) fn lost(&self) -> Option<Failed> {
        let (code, topic) = self.take_lost()?;
        Some(self.topic_failed(&topic, &ClientError::MessageProduction(code)))
    }

    fn take_lost(&self) -> Option<(RDKafkaErrorCode, String)> {
        let mut failed = self
            .fates
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.take()
    }

    /// What an error about a topic means.
    fn topic_failed(&self, topic: &str, error: &ClientError) -> Failed {
        self.refused_topic(topic, error.rdkafka_error_code())
            .unwrap_or_else(|| self.failed(error))
    }

    fn refused_topic(&self, topic: &str, code: Option<RDKafkaErrorCode>) -> Option<Failed> {
        TopicError::refused(owner(&self.cluster), topic, code).map(Failed::For)
    }

    /// What an error of a transaction means for its messages.
    fn failed(&self, error: &ClientError) -> Failed {
        self.client.poll(Duration::ZERO);
        if let Some(refused) = self.refused(error) {
            return Failed::For(refused);
        }
        if let Some((code, topic)) = self.take_lost()
            && let Some(refused) = self.refused_topic(&topic, Some(code))
        {
            return refused;
        }
        // What the transaction as a whole is refused for does not say which topic it is.
        if let Some(RDKafkaErrorCode::TopicAuthorizationFailed) = error.rdkafka_error_code() {
            return self.topic_failed("of one of the sinks", error);
        }
        let words = self
            .heard
            .last()
            .map_or_else(|| error.to_string(), |said| format!("{error} ({said})"));
        if error.rdkafka_error_code().is_some_and(is_fence) {
            return Failed::Fenced(words);
        }
        // Whatever the step says: a client that can do nothing any more knows why.
        let lost = || match self.client.client().fatal_error() {
            Some((code, problem)) if is_fence(code) => {
                Some(Failed::Fenced(format!("{words} ({problem})")))
            }
            Some((_, problem)) => Some(Failed::Unknown(format!("{words} ({problem})"))),
            None => None,
        };
        if let Some(lost) = lost() {
            return lost;
        }
        let aborts = match error {
            ClientError::Transaction(error) => error.txn_requires_abort(),
            _ => true,
        };
        if aborts
            && self
                .client
                .abort_transaction(STEP.saturating_mul(10))
                .is_ok()
        {
            return Failed::Aborted(words);
        }
        lost().unwrap_or(Failed::Unknown(words))
    }
}

/// Whether the broker says that somebody else has the id, or that this producer has been silent for too long.
fn is_fence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::InvalidProducerIdMapping
    )
}

fn is_retriable(error: &ClientError) -> bool {
    match error {
        ClientError::Transaction(error) => error.is_retriable(),
        other => other.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut),
    }
}

/// Adds a header to those of a message.
pub(super) fn header(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}
