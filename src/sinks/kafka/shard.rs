//! A shard: one producer on a thread of its own, which sends what is bound for good, each message once.
//!
//! ```text
//! messages of e ─┐                                    ┌─ messages of all epochs that wait, in pinned order
//! passed e ──────┼─> e is whole, and its binding      │
//! durable e ─────┘   is durable ──> begin ──> send ───┤                       ──> commit ──> delivered up to e
//!                                                     └─ progress (e, all or k)
//! ```
//!
//! **Why each message is there once.** Messages and the progress that counts them are in one transaction, so the newest committed
//! progress says exactly which messages are in the topics. A producer sends only after it has fenced whoever had the shard before
//! (`init_transactions`: what the other had open is aborted, and it can commit nothing any more) *and* has read the progress after that.
//! So nobody else adds messages between the reading and the sending, or this producer's commit fails. Whoever is in doubt (an answer
//! that did not come, a producer that was fenced) begins again with these two steps, and leaves out what is there.
//!
//! **Why it is the same message.** An epoch is sent when its binding is durable, and what a binding makes of an epoch is the same in every
//! life ([`crate::epoch`]). Epochs go out whole or in parts of a pinned order ([`super::queue`]), so a part that an earlier life
//! has sent is the beginning of what this one would send. Two lives that fight for a shard, each fencing the other, would so
//! still write each message once; who is fenced looks into the journal and ends if a newer life has claimed the job.
//!
//! **Why the number of shards may change.** Which shard a key's messages go through says that number, so a shard's progress tells of messages
//! of the number that its epoch was sent with, and of no others. The number is changed when all epochs up to some c are delivered by all
//! shards, are committed, and will not be read again: the journal's plan says c (`PlanText::since`), and no checkpoint before c is gone on
//! from, also where those behind it are broken. So with the new number only epochs behind c are sent; progress of epochs up to c, whoever
//! wrote it, leaves out none of them, and what it does not have of epochs up to c is asked for by nobody.
//!
//! **At least once** sends messages as they come, before their epoch is bound; progress follows when all were taken and the binding is
//! durable, so that a later life leaves out what is surely there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;

use super::error::{TopicError, owner};
use super::hold::Holding;
use super::messages::Messages;
use super::producer::{Failed, Out, Producer, header, transactional_id};
use super::progress::{FORMAT, Progress, Reader};
use super::queue::{Part, Queue, count};
use super::target::Owner;
use crate::cluster::{Counted, Delivered, Run, RunError, ShardId};
use crate::fault;
use crate::job::plan::{Delivery, KafkaCluster};
use crate::record::Epoch;

/// How long the thread sleeps before it looks whether the run is over.
const LOOK: Duration = Duration::from_millis(20);

/// Most messages of one transaction: a transaction's time stays far below its time-out.
pub(super) const MOST_MESSAGES: usize = 250_000;

/// Messages between two looks whether the client has enough of them.
const STRIDE: usize = 1024;

/// How long to rest before what failed is tried again, at first and at most.
const RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often a producer may be fenced by somebody, with no newer life in the journal, before that is taken for another program.
const MOST_FENCED: u32 = 3;

/// Between two records of progress of a shard that delivers at least once.
const PROGRESS: Duration = Duration::from_secs(1);

/// What a shard is told.
pub(super) enum Told {
    /// Messages for it.
    Messages(Messages),
    /// No more come for epochs before this one; `None`: for any.
    Passed(Option<Epoch>),
    /// The bindings up to this epoch are durable.
    Durable(Epoch),
}

/// What one transaction has sent.
pub(super) struct Sent {
    /// Of the epochs at the front of the queue how many messages of each.
    pub(super) parts: Vec<usize>,
    pub(super) progress: Progress,
}

/// One shard.
pub(super) struct Shard {
    pub(super) run: Arc<Run>,
    pub(super) id: ShardId,
    pub(super) cluster: KafkaCluster,
    hears: Receiver<Told>,
    pub(super) producer: Option<Producer>,
    pub(super) progress: Progress,
    pub(super) queue: Queue,
    /// No more messages come for epochs before this one.
    passed: Option<Epoch>,
    pub(super) durable: Epoch,
    told: Delivered,
    /// Since when nothing could be delivered, and why.
    pub(super) failing: Option<(Instant, String)>,
    /// What is held where the cluster does not take messages, if it says so.
    pub(super) holding: Option<Holding>,
    fenced: u32,
    /// At least once: how many messages were handed to this producer of each epoch that is not delivered yet.
    handed: BTreeMap<Epoch, u64>,
    handed_last: Epoch,
    /// The epoch of the progress that was written last.
    written: Epoch,
    progress_at: Instant,
    /// What came of epochs and sinks that nobody was told of yet.
    counts: BTreeMap<(Epoch, usize), Counted>,
}

impl Shard {
    /// The shard of this number of a cluster.
    pub(super) fn new(run: &Arc<Run>, id: ShardId, hears: Receiver<Told>) -> Self {
        let resumed = run.resumed.as_ref().expect("the job is continuous");
        let cluster = run.plan.clusters[id.cluster].clone();
        Self {
            run: Arc::clone(run),
            id,
            hears,
            producer: None,
            progress: Progress {
                format: FORMAT,
                job: run.plan.name.clone(),
                state: resumed.identity.clone(),
                generation: resumed.generation,
                shards: cluster.shards,
                epoch: 0,
                sent: None,
                messages: 0,
            },
            cluster,
            queue: Queue::default(),
            passed: Some(0),
            durable: resumed.durable,
            told: Delivered::default(),
            failing: None,
            holding: None,
            fenced: 0,
            handed: BTreeMap::new(),
            handed_last: 0,
            written: 0,
            progress_at: Instant::now(),
            counts: BTreeMap::new(),
        }
    }

    /// Delivers until all has come and is delivered, or the run is over.
    pub(super) fn work(mut self) {
        if let Err(error) = self.deliver() {
            self.run.fail(error);
        }
        if self.run.is_over()
            && self.cluster.delivery == Delivery::ExactlyOnce
            && let Some(producer) = &self.producer
        {
            producer.give_up();
        }
    }

    fn deliver(&mut self) -> Result<(), RunError> {
        self.holding = Holding::of(&self.run, self.id)?;
        match &self.holding {
            Some(holding) => self
                .queue
                .held_up_to(holding.outbox.last().unwrap_or_default()),
            None => self.take_up()?,
        }
        loop {
            let is_ready = self.producer.is_some() && !self.rests();
            let patience = if self.has_to_send() && is_ready {
                Duration::ZERO
            } else {
                self.rest()
            };
            match self.hears.recv_timeout(patience) {
                Ok(told) => self.hear(told)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if let Some(producer) = &mut self.producer {
                        producer.nudge();
                    }
                }
            }
            while let Ok(told) = self.hears.try_recv() {
                self.hear(told)?;
            }
            if self.run.is_over() {
                return Ok(());
            }
            self.queue.pass(self.passed);
            match self.cluster.delivery {
                _ if self.holding.is_some() => self.deliver_or_hold()?,
                Delivery::ExactlyOnce => self.commit()?,
                Delivery::AtLeastOnce => self.flush()?,
            }
            self.tell();
            let is_all_said = self.passed.is_none() && self.queue.front().is_none();
            // What is held of a cluster that is away waits for the next life.
            let is_idle = !self.has_to_send() || self.producer.is_none();
            if is_all_said && is_idle && self.handed.is_empty() {
                if let Some(producer) = &self.producer {
                    producer.settle();
                }
                return Ok(());
            }
        }
    }

    /// How long there is nothing to do unless something is told.
    fn rest(&self) -> Duration {
        if self.handed.is_empty() {
            LOOK
        } else {
            Duration::from_millis(1)
        }
    }

    fn hear(&mut self, told: Told) -> Result<(), RunError> {
        match told {
            Told::Durable(epoch) => self.durable = self.durable.max(epoch),
            Told::Passed(epoch) => self.passed = epoch,
            Told::Messages(messages) => {
                self.count(&messages);
                match self.cluster.delivery {
                    _ if self.holding.is_some() => self.queue.push(messages),
                    Delivery::AtLeastOnce if !self.progress.has(messages.epoch) => {
                        self.hand_on(&messages)?;
                    }
                    Delivery::AtLeastOnce => {}
                    Delivery::ExactlyOnce => self.queue.push(messages),
                }
            }
        }
        Ok(())
    }

    /// Counts messages for who looks later whether they are there; those that an earlier life has sent, too.
    fn count(&mut self, messages: &Messages) {
        let of_sink = (messages.epoch, messages.sink);
        let sums = (0..messages.len()).map(|message| messages.get(message).sum());
        self.counts.entry(of_sink).or_default().add(Counted {
            messages: count(messages.len()),
            sum: sums.fold(0, u64::wrapping_add),
        });
    }

    /// Whether an epoch is over for this shard.
    fn is_passed(&self, epoch: Epoch) -> bool {
        self.passed.is_none_or(|passed| epoch < passed)
    }

    /// Whether an epoch can be sent now.
    pub(super) fn is_due(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|front| front <= self.durable)
    }

    /// Says how far the shard is.
    fn tell(&mut self) {
        let waits = match self.cluster.delivery {
            _ if self.holding.is_some() => self.queue.front(),
            Delivery::ExactlyOnce => self.queue.front(),
            Delivery::AtLeastOnce => self.handed.keys().next().copied(),
        };
        if let Some(waits) = waits
            && waits > self.durable
        {
            self.run.fate.deliveries().want(waits);
        }
        let passed = self
            .passed
            .map_or(Epoch::MAX, |passed| passed.saturating_sub(1));
        let upto = waits.map_or(passed, |waits| passed.min(waits - 1));
        let now = Delivered {
            upto,
            last: self.queue.last().max(self.handed_last).min(upto),
        };
        if now != self.told {
            self.told = now;
            let later = match upto.checked_add(1) {
                Some(next) => self.counts.split_off(&(next, 0)),
                None => BTreeMap::new(),
            };
            let counts = std::mem::replace(&mut self.counts, later);
            let counts = counts.into_iter().collect();
            self.run.fate.deliveries().delivered(self.id, now, counts);
        }
    }

    /// Takes the shard from whoever had it, and reads how far that one came.
    fn take_up(&mut self) -> Result<(), RunError> {
        let run = Arc::clone(&self.run);
        let over = || run.is_over();
        let patience = self.run.plan.join_timeout;
        let since = Instant::now();
        loop {
            fault::at("fence a shard");
            self.producer = None;
            let producer = Producer::new(&self.run.plan, self.id)?;
            if self.cluster.delivery == Delivery::ExactlyOnce {
                match producer.fence(patience, &over) {
                    Ok(()) => {}
                    Err(Failed::Over) => return Ok(()),
                    Err(Failed::For(error)) => return Err(error.into()),
                    Err(Failed::Aborted(_)) => continue,
                    Err(Failed::Unknown(words) | Failed::Fenced(words)) => {
                        if since.elapsed() >= patience {
                            return Err(self.gave_up(words).into());
                        }
                        std::thread::sleep(RESTS.0);
                        continue;
                    }
                }
            }
            fault::at("read progress");
            let found = Reader::new(&self.cluster)?.read(self.id.shard, patience, &over);
            let found = match found {
                Err(_) if over() => return Ok(()),
                found => found?,
            };
            self.producer = Some(producer);
            if let Some(found) = found {
                // Another job with the same `id` may have begun at the same time: what it has is not what this one has.
                let own = Owner {
                    job: &self.run.plan.name,
                    state: Some(&self.progress.state),
                };
                own.check(&self.cluster, self.id.shard, &found)?;
                self.go_on_from(found);
            }
            return Ok(());
        }
    }

    /// The topics have what `found` says, which was read after everybody else was fenced.
    pub(super) fn go_on_from(&mut self, found: Progress) {
        self.progress = Progress {
            generation: self.progress.generation,
            shards: self.progress.shards,
            ..found
        };
        self.queue.resume(&self.progress);
    }

    /// Sends the epochs that may be, until none is left.
    fn commit(&mut self) -> Result<(), RunError> {
        let mut rest = RESTS.0;
        while self.is_due() {
            let run = Arc::clone(&self.run);
            let over = || run.is_over();
            match self.transaction(&over) {
                Ok(sent) => {
                    self.committed(sent);
                    self.tell();
                    rest = RESTS.0;
                    continue;
                }
                Err(Failed::Over) => return Ok(()),
                Err(Failed::For(error)) => return Err(error.into()),
                Err(Failed::Aborted(words)) => self.failed(words)?,
                Err(Failed::Unknown(words)) => {
                    self.failed(words)?;
                    self.take_up()?;
                }
                Err(Failed::Fenced(words)) => {
                    self.fenced()?;
                    self.failed(words)?;
                    self.take_up()?;
                }
            }
            if self.run.is_over() {
                return Ok(());
            }
            std::thread::sleep(rest);
            rest = (rest * 2).min(RESTS.1);
        }
        Ok(())
    }

    /// One transaction: as many messages as it may hold of the epochs at the front, and the progress that counts them.
    pub(super) fn transaction(&self, over: &dyn Fn() -> bool) -> Result<Sent, Failed> {
        let producer = self.producer.as_ref().ok_or(Failed::Over)?;
        Self::begin(producer)?;
        let mut progress = self.progress.clone();
        let parts = self.queue.parts(self.durable, MOST_MESSAGES);
        let topics = self.topics();
        let to = |sink: usize| {
            let (topic, headers) = &topics[&sink];
            (*topic, &headers[..])
        };
        for part in &parts {
            Self::send(producer, part, to, &mut progress, over)?;
        }
        self.end(producer, &progress, over)?;
        let parts = parts.iter().map(Part::len).collect();
        Ok(Sent { parts, progress })
    }

    /// Begins a transaction.
    pub(super) fn begin(producer: &Producer) -> Result<(), Failed> {
        fault::at("begin a transaction");
        producer.begin()
    }

    /// Sends a part of an epoch, and counts it; `to` gives the topic of a sink's messages and the names of their headers.
    pub(super) fn send<'a>(
        producer: &Producer,
        part: &Part<'_>,
        to: impl Fn(usize) -> (&'a str, &'a [&'a str]),
        progress: &mut Progress,
        over: &dyn Fn() -> bool,
    ) -> Result<(), Failed> {
        let mut names = Names::default();
        names.begin(part.epoch());
        fault::at("send messages");
        for (number, message) in part.messages().enumerate() {
            if number % STRIDE == 0 {
                producer.pace(over)?;
            }
            let (topic, headers) = to(message.sink);
            let headers = names.of(&message, headers);
            producer.send(out(part.epoch(), topic, &message, headers), over)?;
        }
        progress.messages += count(part.len());
        (progress.epoch, progress.sent) = (part.epoch(), part.sent());
        Ok(())
    }

    /// Sends progress behind the messages that it counts, and commits both.
    pub(super) fn end(
        &self,
        producer: &Producer,
        progress: &Progress,
        over: &dyn Fn() -> bool,
    ) -> Result<(), Failed> {
        producer.await_taken(over)?;
        fault::at("send progress");
        let text = serde_json::to_vec(progress).expect("progress is JSON");
        producer.send(
            self.progress_out(&self.cluster.progress_topic(), &text),
            over,
        )?;
        fault::at("commit a transaction");
        producer.commit(self.run.plan.join_timeout, over)?;
        fault::at("go on behind a transaction");
        Ok(())
    }

    fn progress_out<'a>(&self, topic: &'a str, text: &'a [u8]) -> Out<'a> {
        Out {
            epoch: 0,
            topic,
            partition: Some(i32::try_from(self.id.shard).expect("a job has few shards")),
            key: Some(b"progress"),
            value: Some(text),
            timestamp: None,
            headers: None,
        }
    }

    /// The topic of each sink of the cluster, and the names of its headers.
    pub(super) fn topics(&self) -> BTreeMap<usize, (&str, Vec<&str>)> {
        let topics = self.run.plan.topics_of(self.id.cluster);
        let topics = topics.map(|(number, _, kafka)| {
            let headers = kafka.headers.iter().map(|header| header.name.as_str());
            (number, (kafka.topic.as_str(), headers.collect()))
        });
        topics.collect()
    }

    pub(super) fn committed(&mut self, sent: Sent) {
        self.queue.committed(&sent.parts);
        self.progress = sent.progress;
        self.failing = None;
        self.fenced = 0;
    }

    /// Notes that a step failed. Errors: it has for too long.
    fn failed(&mut self, words: String) -> Result<(), RunError> {
        tracing::warn!(
            action = "delivery-failed",
            cluster = self.cluster.brokers,
            shard = self.id.shard,
            problem = words,
            "messages are sent again"
        );
        let (since, _) = self
            .failing
            .get_or_insert_with(|| (Instant::now(), words.clone()));
        if since.elapsed() >= self.run.plan.join_timeout {
            return Err(self.gave_up(words).into());
        }
        Ok(())
    }

    fn gave_up(&self, problem: String) -> TopicError {
        TopicError::Failing {
            owner: owner(&self.cluster),
            problem,
            seconds: self.run.plan.join_timeout.as_secs(),
        }
    }

    /// What ends the job where a message can't be sent again, since others may have been sent after it. `None`: the run is over.
    fn given_up(&self, failed: Failed) -> Option<TopicError> {
        match failed {
            Failed::Over => None,
            Failed::For(error) => Some(error),
            Failed::Aborted(words) | Failed::Unknown(words) | Failed::Fenced(words) => {
                Some(self.gave_up(words))
            }
        }
    }

    /// Somebody has fenced this producer, or the broker takes it for gone. Errors: it was a newer life, or another program.
    pub(super) fn fenced(&mut self) -> Result<(), RunError> {
        let newest = self.run.newest_generation()?;
        let generation = self.progress.generation;
        if newest > generation {
            return Err(TopicError::Fenced {
                owner: owner(&self.cluster),
                generation,
                newer: newest,
            }
            .into());
        }
        self.fenced += 1;
        if self.fenced >= MOST_FENCED {
            return Err(TopicError::Stolen {
                owner: owner(&self.cluster),
                id: transactional_id(&self.cluster, self.id.shard),
            }
            .into());
        }
        Ok(())
    }

    /// At least once: sends messages as they come.
    fn hand_on(&mut self, messages: &Messages) -> Result<(), RunError> {
        let run = Arc::clone(&self.run);
        let over = || run.is_over();
        let epoch = messages.epoch;
        self.handed_last = self.handed_last.max(epoch);
        let Some(producer) = &self.producer else {
            return Ok(());
        };
        let topics = self.topics();
        let (topic, headers) = &topics[&messages.sink];
        let mut names = Names::default();
        names.begin(epoch);
        let send = |place: usize| {
            if place.is_multiple_of(STRIDE) {
                producer.pace(&over)?;
            }
            let message = messages.get(place);
            let headers = names.of(&message, headers);
            producer.send(out(epoch, topic, &message, headers), &over)
        };
        if let Err(failed) = (0..messages.len()).try_for_each(send) {
            return self
                .given_up(failed)
                .map_or(Ok(()), |error| Err(error.into()));
        }
        producer.poll();
        self.progress.messages += count(messages.len());
        *self.handed.entry(epoch).or_default() += count(messages.len());
        Ok(())
    }

    /// At least once: sees which epochs are in the topics, and says so there from time to time.
    fn flush(&mut self) -> Result<(), RunError> {
        let Some(producer) = &self.producer else {
            return Ok(());
        };
        producer.poll();
        if let Some(failed) = producer.lost() {
            return self
                .given_up(failed)
                .map_or(Ok(()), |error| Err(error.into()));
        }
        let mut newest = None;
        while let Some((&epoch, &handed)) = self.handed.first_key_value()
            && self.is_passed(epoch)
            && epoch <= self.durable
            && producer.delivered(epoch) == handed
        {
            self.handed.pop_first();
            producer.forget(epoch);
            newest = Some(epoch);
        }
        if let Some(epoch) = newest {
            self.progress.epoch = self.progress.epoch.max(epoch);
            self.progress.sent = None;
        }
        let is_last = self.passed.is_none() && self.handed.is_empty();
        let is_due = self.progress_at.elapsed() >= PROGRESS || is_last;
        if self.progress.epoch > self.written && is_due {
            let text = serde_json::to_vec(&self.progress).expect("progress is JSON");
            let run = Arc::clone(&self.run);
            let topic = self.cluster.progress_topic();
            let out = self.progress_out(&topic, &text);
            if producer.send(out, &|| run.is_over()).is_ok() {
                self.progress_at = Instant::now();
                self.written = self.progress.epoch;
            }
        }
        Ok(())
    }
}

fn out<'a>(
    epoch: Epoch,
    topic: &'a str,
    message: &super::Message<'a>,
    headers: OwnedHeaders,
) -> Out<'a> {
    Out {
        epoch,
        topic,
        partition: message.partition,
        key: message.key,
        value: message.value,
        timestamp: message.timestamp,
        headers: Some(headers),
    }
}

/// Writes the headers of messages: those of the job, the epoch, and where the row comes from.
#[derive(Default)]
struct Names {
    epoch: String,
    from: String,
}

/// The header that says the epoch.
pub const EPOCH_HEADER: &str = "caudal-epoch";

/// The header that says where a message's row comes from.
pub const SOURCE_HEADER: &str = "caudal-source";

impl Names {
    fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch.to_string();
    }

    fn of(&mut self, message: &super::Message<'_>, names: &[&str]) -> OwnedHeaders {
        use std::fmt::Write;
        let mut headers = OwnedHeaders::new_with_capacity(names.len() + 2);
        headers = header(headers, EPOCH_HEADER, self.epoch.as_bytes());
        if let Some((file, place)) = message.from {
            self.from.clear();
            write!(self.from, "{file} {place}").expect("a string takes everything");
            headers = header(headers, SOURCE_HEADER, self.from.as_bytes());
        }
        for (name, value) in super::encode::headers(message.headers, names) {
            headers = header(headers, name, value);
        }
        headers
    }
}
