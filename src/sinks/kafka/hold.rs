//! Holding: what a shard of a cluster with `on_failure = "hold"` does while the cluster is away.
//!
//! ```text
//!              nothing was delivered for HOLD_AFTER
//!   queue ──> cluster   ─────────────────────────>   queue ──> outbox          (delivered, as far as checkpoints are concerned)
//!     ^                                                          │ the cluster is there again: a thread has fenced the shard and read progress
//!     └──────────── the outbox is empty ──────── outbox ──> cluster
//! ```
//!
//! **Nothing is lost**: an epoch is put whole when its binding is durable, lasts as the journal does, and goes only when the committed progress
//! has it. **Nothing is there twice**: it is sent from the outbox as it would have been from memory, by the same transactions in the
//! same order, behind the same fence; who begins anew leaves out what progress has. Epochs go to the outbox in order, and as long as one is
//! in it none is sent from memory, so order is kept, too.
//!
//! Whether the cluster is there again is tried on a thread of its own, so that epochs that come meanwhile do not wait for its answer.
//! A limit holds for each shard by itself, so that shards, which may be in several processes, need not know of each other.
//!
//! **At least once** works alike without transactions: an epoch is sent when it is bound, not as its rows come, and its progress follows when
//! all of it was taken.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::error::{TopicError, owner};
use super::outbox::{self, HeldSink, Outbox};
use super::producer::{Failed, Producer};
use super::progress::{Progress, Reader};
use super::shard::{MOST_MESSAGES, Sent, Shard};
use super::target::{self, Owner};
use crate::cluster::{Holds, Run, RunError, ShardId, Unseen, spawn};
use crate::epoch::{micros, wall_time};
use crate::job::plan::{Delivery, OnFailure};
use crate::record::shown_time;

/// How long nothing may be delivered before epochs are held: longer than a cluster takes to choose another leader (a broker that died is missed
/// after some seconds, and most failures end with that), and short enough that files and other targets wait for it no longer than for a
/// slow checkpoint.
pub const HOLD_AFTER: Duration = Duration::from_secs(5);

/// How long one try waits for brokers before it is made anew by a new client.
const TRY: Duration = Duration::from_secs(5);

/// Between two tries.
const BETWEEN: Duration = Duration::from_millis(500);

/// A shard that was taken up: a producer that has fenced whoever had it, and the progress as it was read after that.
struct Taken {
    producer: Producer,
    progress: Option<Progress>,
}

/// What a shard knows of holding.
pub(super) struct Holding {
    pub(super) outbox: Outbox,
    /// Most bytes in it.
    limit: u64,
    /// What is known of a shard that nobody has looked at since the life began.
    unseen: Option<Unseen>,
    /// A try to take the shard up.
    attempt: Option<Receiver<Result<Taken, Failed>>>,
    /// When the next one is made.
    again: Instant,
    /// Since when an epoch waits of which nothing was sent.
    waits: Option<Instant>,
    /// Since when brokers answer, and refuse a topic.
    refused: Option<Instant>,
    /// Since when epochs are held.
    began: Option<Instant>,
    told: Option<Holds>,
}

/// Sees whether a step goes on: it may take long, as long as messages go out.
struct Watch {
    since: Cell<Instant>,
    /// The most messages that were handed on, and of them that wait no more.
    most: Cell<(u64, i64)>,
}

impl Watch {
    fn new() -> Self {
        Self {
            since: Cell::new(Instant::now()),
            most: Cell::new((0, 0)),
        }
    }

    /// Whether no more messages were handed on or answered for [`HOLD_AFTER`], by what [`Producer::moved`] says. That more wait is no sign: it may
    /// be what a client tells of brokers that are away.
    fn is_stuck(&self, (handed, waiting): (u64, i32)) -> bool {
        let all = i64::try_from(handed).expect("a number of messages fits");
        let before = self.most.get();
        let most = (before.0.max(handed), before.1.max(all - i64::from(waiting)));
        if self.most.replace(most) != most {
            self.since.set(Instant::now());
        }
        self.since.get().elapsed() >= HOLD_AFTER
    }
}

impl Holding {
    /// Of a shard, with what earlier lives held; `None` where its cluster stops the job.
    pub(super) fn of(run: &Run, id: ShardId) -> Result<Option<Self>, RunError> {
        let cluster = &run.plan.clusters[id.cluster];
        let OnFailure::Hold { outbox: limit } = cluster.on_failure else {
            return Ok(None);
        };
        let unseen = run.resumed.as_ref().and_then(|resumed| {
            let mut unseen = resumed.unseen.iter();
            unseen.find(|unseen| unseen.shard == id).cloned()
        });
        let outbox = Outbox::open(outbox::store(run)?, cluster, id.shard)?;
        // What an earlier life held was held long enough.
        let began = (!outbox.is_empty()).then(Instant::now);
        let shards = u64::try_from(cluster.shards).expect("a job has few shards");
        Ok(Some(Self {
            outbox,
            limit: limit / shards,
            unseen,
            attempt: None,
            again: Instant::now(),
            waits: None,
            refused: None,
            began,
            told: None,
        }))
    }
}

impl Shard {
    /// One step of a shard that holds what it can't deliver: takes the shard up, sends a transaction, or holds.
    pub(super) fn deliver_or_hold(&mut self) -> Result<(), RunError> {
        if self.producer.is_none() {
            self.try_to_take_up()?;
        }
        if self.producer.is_some() && self.has_to_send() && !self.rests() {
            self.send_some()?;
        }
        let is_due = self.is_due();
        let holding = self.holding.as_mut().expect("its cluster holds");
        if is_due {
            holding.waits.get_or_insert_with(Instant::now);
        } else {
            holding.waits = None;
        }
        let is_late = |since: Instant| since.elapsed() >= HOLD_AFTER;
        let is_away = (self.failing.as_ref()).is_some_and(|(since, _)| is_late(*since))
            || self.producer.is_none() && holding.began.is_some();
        if is_due && (is_away || holding.waits.is_some_and(is_late)) {
            self.hold()?;
        }
        self.tell_holding();
        Ok(())
    }

    /// Whether something can be sent now, from the outbox or from memory.
    pub(super) fn has_to_send(&self) -> bool {
        let holding = self.holding.as_ref();
        self.is_due() || holding.is_some_and(|holding| !holding.outbox.is_empty())
    }

    /// Whether what failed is not to be tried yet.
    pub(super) fn rests(&self) -> bool {
        let holding = self.holding.as_ref();
        holding.is_some_and(|holding| holding.again > Instant::now())
    }

    /// Looks what has become of a try to take the shard up, or makes one.
    fn try_to_take_up(&mut self) -> Result<(), RunError> {
        let holding = self.holding.as_mut().expect("its cluster holds");
        let Some(attempt) = &holding.attempt else {
            if holding.again <= Instant::now() {
                let (tells, hears) = channel();
                holding.attempt = Some(hears);
                let (run, id) = (Arc::clone(&self.run), self.id);
                let (own, unseen) = (self.progress.clone(), holding.unseen.clone());
                let held = holding.outbox.last();
                let name = format!("try-{}-{}", id.cluster, id.shard);
                spawn(name, move || {
                    drop(tells.send(take_up(&run, id, &own, unseen.as_ref(), held)));
                })
                .map_err(RunError::no_thread)?;
            }
            return Ok(());
        };
        let taken = match attempt.try_recv() {
            Ok(taken) => taken,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => {
                Err(Failed::Unknown("a thread has ended".to_owned()))
            }
        };
        holding.attempt = None;
        match taken {
            Ok(Taken { producer, progress }) => {
                holding.unseen = None;
                holding.again = Instant::now();
                self.producer = Some(producer);
                if let Some(found) = progress {
                    self.go_on_from(found);
                    let holding = self.holding.as_mut().expect("its cluster holds");
                    holding.outbox.remove(&self.progress)?;
                }
                Ok(())
            }
            Err(Failed::Over) => Ok(()),
            Err(Failed::For(error)) => self.refused(error),
            Err(Failed::Fenced(words)) => {
                self.fenced()?;
                self.failed_once(words);
                Ok(())
            }
            Err(Failed::Aborted(words) | Failed::Unknown(words)) => {
                self.failed_once(words);
                Ok(())
            }
        }
    }

    /// Notes that a step failed; it is tried again a little later.
    fn failed_once(&mut self, words: String) {
        tracing::debug!(
            action = "delivery-failed",
            cluster = self.cluster.brokers,
            shard = self.id.shard,
            problem = words,
            "messages are sent again"
        );
        let since = self
            .failing
            .take()
            .map_or_else(Instant::now, |(since, _)| since);
        self.failing = Some((since, words));
        if let Some(holding) = &mut self.holding {
            holding.again = Instant::now() + BETWEEN;
        }
    }

    /// Brokers answer with what waiting does not help. Of a topic they may say so for a while when they have just come back, and know neither
    /// all topics nor who leads their partitions: that is believed when it lasts.
    fn refused(&mut self, error: TopicError) -> Result<(), RunError> {
        let patience = self.run.plan.join_timeout;
        let holding = self.holding.as_mut().expect("its cluster holds");
        match &error {
            TopicError::Topic { topic, problem, .. } => {
                let since = holding.refused.get_or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    return Err(error.into());
                }
                self.failed_once(format!("topic {topic}: {problem}"));
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// One transaction, from the outbox as long as something is in it.
    fn send_some(&mut self) -> Result<(), RunError> {
        let run = Arc::clone(&self.run);
        let watch = Watch::new();
        let holding = self.holding.as_ref().expect("its cluster holds");
        let of_outbox = !holding.outbox.is_empty();
        let sent = {
            let over = || {
                let moved = self.producer.as_ref().map(Producer::moved);
                run.is_over() || watch.is_stuck(moved.unwrap_or_default())
            };
            if of_outbox {
                self.transaction_of_outbox(&holding.outbox, &over)
            } else {
                self.transaction(&over)
            }
        };
        let holding = self.holding.as_mut().expect("its cluster holds");
        match sent {
            Ok(sent) => {
                holding.outbox.remove(&sent.progress)?;
                holding.refused = None;
                if !of_outbox {
                    holding.waits = None;
                }
                if let Some(producer) = &self.producer {
                    producer.forget(sent.progress.epoch);
                }
                self.committed(sent);
            }
            Err(Failed::Over) if run.is_over() => {}
            Err(Failed::For(error)) => {
                self.producer = None;
                self.refused(error)?;
            }
            Err(Failed::Aborted(words)) => self.failed_once(words),
            Err(Failed::Over) => {
                self.producer = None;
                self.failed_once(format!("no answer within {} s", HOLD_AFTER.as_secs()));
            }
            Err(Failed::Unknown(words)) => {
                self.producer = None;
                self.failed_once(words);
            }
            Err(Failed::Fenced(words)) => {
                self.producer = None;
                self.fenced()?;
                self.failed_once(words);
            }
        }
        Ok(())
    }

    /// One transaction: as many messages as it may hold of the epochs in the outbox, one of them in memory at a time.
    fn transaction_of_outbox(
        &self,
        outbox: &Outbox,
        over: &dyn Fn() -> bool,
    ) -> Result<Sent, Failed> {
        let producer = self.producer.as_ref().ok_or(Failed::Over)?;
        Self::begin(producer)?;
        let mut progress = self.progress.clone();
        let mut room = MOST_MESSAGES;
        for epoch in outbox.epochs() {
            if room == 0 {
                break;
            }
            let mut held = outbox.get(epoch).map_err(Failed::For)?;
            let sinks: Vec<(&str, Vec<&str>)> = (held.sinks.iter())
                .map(|sink| {
                    let headers = sink.headers.iter().map(String::as_str);
                    (sink.topic.as_str(), headers.collect())
                })
                .collect();
            let part = held.whole.part(&self.progress, room);
            if part.len() == 0 {
                continue;
            }
            room -= part.len();
            let to = |sink: usize| {
                let (topic, headers) = &sinks[sink];
                (*topic, &headers[..])
            };
            Self::send(producer, &part, to, &mut progress, over)?;
        }
        self.end(producer, &progress, over)?;
        let parts = Vec::new();
        Ok(Sent { parts, progress })
    }

    /// Puts the epochs that can be sent into the outbox. Errors: there is no room, and the cluster was away for long.
    fn hold(&mut self) -> Result<(), RunError> {
        let topics = self.topics().into_iter();
        let topics: BTreeMap<usize, HeldSink> = topics
            .map(|(sink, (topic, headers))| {
                let headers = headers.into_iter().map(ToOwned::to_owned).collect();
                let topic = topic.to_owned();
                (sink, HeldSink { topic, headers })
            })
            .collect();
        let holding = self.holding.as_mut().expect("its cluster holds");
        while let Some(whole) = self
            .queue
            .to_hold()
            .filter(|front| front.epoch <= self.durable)
        {
            let epoch = whole.epoch;
            let object = outbox::write(whole, |sink| topics[&sink].clone());
            let more = u64::try_from(object.len()).expect("a length fits 64 bits");
            let (epochs, bytes) = holding.outbox.size();
            if bytes + more > holding.limit {
                let failing = self.failing.as_ref();
                let Some((since, problem)) =
                    failing.filter(|(since, _)| since.elapsed() >= HOLD_AFTER)
                else {
                    // It is being asked, or gives back what was held: what comes waits for that.
                    return Ok(());
                };
                return Err(TopicError::OutboxFull {
                    owner: owner(&self.cluster),
                    shard: self.id.shard,
                    problem: problem.clone(),
                    since: shown_time(wall_time().saturating_sub(micros(since.elapsed()))),
                    limit: holding.limit,
                    epochs,
                    bytes,
                    epoch,
                    more,
                }
                .into());
            }
            holding.outbox.put(epoch, &object)?;
            self.queue.held_up_to(epoch);
            if holding.began.is_none() {
                let since = self.failing.as_ref().map(|(since, _)| *since);
                holding.began = Some(since.or(holding.waits).unwrap_or_else(Instant::now));
                tracing::warn!(
                    action = "holding-begun",
                    cluster = self.cluster.brokers,
                    shard = self.id.shard,
                    epoch,
                    problem = self.failing.as_ref().map(|(_, words)| words.as_str()),
                    "topics do not take messages: epochs are held in the state from this one on"
                );
            }
        }
        holding.waits = None;
        Ok(())
    }

    /// Tells what is held, and notes when nothing is any more.
    fn tell_holding(&mut self) {
        let holding = self.holding.as_mut().expect("its cluster holds");
        let is_away = self.producer.is_none();
        let (epochs, bytes) = holding.outbox.size();
        if epochs == 0
            && !is_away
            && let Some(since) = holding.began.take()
        {
            tracing::info!(
                action = "holding-ended",
                cluster = self.cluster.brokers,
                shard = self.id.shard,
                seconds = since.elapsed().as_secs(),
                "topics have taken all that was held"
            );
        }
        let problem = self.failing.as_ref().map(|(_, words)| words.clone());
        let now = holding.began.map(|since| Holds {
            epochs,
            bytes,
            seconds: since.elapsed().as_secs(),
            problem: problem.filter(|_| is_away),
            is_away,
        });
        let is_same = match (&now, &holding.told) {
            (Some(now), Some(told)) => {
                (now.epochs, now.bytes, now.is_away) == (told.epochs, told.bytes, told.is_away)
            }
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            holding.told.clone_from(&now);
            let observer = &self.run.observer;
            observer.outbox(&self.cluster.id, self.id.shard, bytes);
            self.run.fate.deliveries().holds(self.id, now);
        }
    }
}

/// Takes a shard from whoever had it, and reads how far that one came; on a thread of its own, for a short while.
fn take_up(
    run: &Run,
    id: ShardId,
    own: &Progress,
    unseen: Option<&Unseen>,
    held: Option<u64>,
) -> Result<Taken, Failed> {
    let cluster = &run.plan.clusters[id.cluster];
    let over = || run.is_over();
    let whose = Owner {
        job: &own.job,
        state: Some(&own.state),
    };
    if let Some(unseen) = unseen {
        // As at the start of a life, where the cluster was away.
        let looked = target::look(&run.plan, id.cluster, whose, TRY, &over)
            .map_err(|error| soft(error, run))?;
        target::is_same(cluster, unseen.known.as_deref(), looked.id.as_deref())
            .map_err(Failed::For)?;
    }
    crate::fault::at("fence a shard");
    let producer = Producer::new(&run.plan, id).map_err(Failed::For)?;
    if cluster.delivery == Delivery::ExactlyOnce {
        let fenced = producer.fence(TRY, &over);
        fenced.map_err(|failed| match failed {
            Failed::For(error) => soft(error, run),
            failed => failed,
        })?;
    }
    crate::fault::at("read progress");
    let reader = Reader::new(cluster).map_err(Failed::For)?;
    let progress = reader
        .read(id.shard, TRY, &over)
        .map_err(|error| soft(error, run))?;
    if let Some(found) = &progress {
        whose.check(cluster, id.shard, found).map_err(Failed::For)?;
    }
    if let Some(unseen) = unseen {
        let at = (unseen.last, unseen.bound);
        let of = (id.cluster, id.shard);
        target::await_covers(&run.plan, of, progress.as_ref(), at, held, &over)
            .map_err(|error| soft(error, run))?;
    }
    Ok(Taken { producer, progress })
}

/// What an error means for who may wait: that brokers do not answer is none that ends the job.
fn soft(error: TopicError, run: &Run) -> Failed {
    match error {
        _ if run.is_over() => Failed::Over,
        TopicError::Unreachable { problem, .. } => Failed::Unknown(problem),
        error => Failed::For(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_stuck_only_where_nothing_moves() {
        let watch = Watch::new();
        let long_ago = Instant::now().checked_sub(HOLD_AFTER).unwrap();
        for (moved, is_stuck) in [
            ((1, 1), false),
            ((1, 1), true),
            ((1, 0), false),
            ((2, 0), false),
            ((2, 1), true),
            ((2, 0), true),
        ] {
            watch.since.set(long_ago);
            assert_eq!(watch.is_stuck(moved), is_stuck, "{moved:?}");
        }
        assert!(!watch.is_stuck((3, 1)));
    }
}
