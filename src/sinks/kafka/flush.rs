//! When a producer's messages are sent: batches as they fill, the rest when the shard has no more.
//!
//! **Why not by the clock.** An idempotent producer has one request under way for each partition. While messages have waited longer than
//! `linger.ms` for its answer, the library's broker thread asks without a rest whether it may send now: half of all processor time went
//! there, and took it from a broker on the same machine. So `linger.ms` is so long that it never ends; full batches go out as answers come, and
//! what is left is sent by telling the library to flush, which makes it ask without a rest, too, and so is done for a moment at
//! a time, and ever more seldom where nothing moves.
//!
//! The library's flush is called by itself, since its wrapper's lasts no longer than a call takes, and broker threads mostly miss it.

#![expect(
    unsafe_code,
    reason = "the wrapper has no such call; the proof stands at it"
)]

use std::time::{Duration, Instant};

use rdkafka::bindings::rd_kafka_flush;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

/// A moment: how long one flush takes at most, and one look at what was answered.
const MOMENT: Duration = Duration::from_millis(1);

/// The longest rest between two flushes where nothing moves.
const LONGEST_REST: Duration = Duration::from_millis(20);

/// Messages that a batch may hold, so that no batch is full where fewer are left.
pub(super) const BATCH: i32 = 10_000;

/// Messages that are few where more are handed on all the time: what is more is worth waiting for a full batch.
pub(super) const FEW: i32 = 1000;

/// How long a batch may take to fill.
const LONGEST: Duration = Duration::from_millis(50);

/// How long nothing may move before what is left is taken for no full batch.
const STILL: Duration = Duration::from_millis(5);

/// How the messages of a producer move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moving {
    left: i32,
    /// Since when as many are left.
    since: Instant,
    /// When to flush again, and how long to rest then.
    next: Instant,
    rest: Duration,
    flushed: Instant,
}

impl Moving {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            left: 0,
            since: now,
            next: now,
            rest: MOMENT,
            flushed: now,
        }
    }

    /// Looks how many messages are not answered.
    pub(super) fn look<C: ProducerContext + 'static>(&mut self, producer: &BaseProducer<C>) -> i32 {
        let left = producer.in_flight_count();
        if left != self.left {
            *self = Self {
                left,
                flushed: self.flushed,
                ..Self::new()
            };
        }
        left
    }

    /// Whether nothing has moved for a while.
    pub(super) fn is_still(&self) -> bool {
        self.since.elapsed() >= STILL
    }

    /// Helps messages on their way for a moment where no more than `few` are left, nothing moves, or batches had [`LONGEST`] to fill; gives
    /// how many are left.
    pub(super) fn help<C: ProducerContext + 'static>(
        &mut self,
        producer: &BaseProducer<C>,
        few: i32,
    ) -> i32 {
        let left = self.look(producer);
        if left == 0 {
            return 0;
        }
        let now = Instant::now();
        let is_long = now.duration_since(self.flushed) >= LONGEST;
        if now >= self.next && (left <= few || self.is_still() || is_long) {
            producer.poll(Duration::ZERO);
            flush(producer, MOMENT);
            self.flushed = now;
            self.next = now + self.rest;
            self.rest = (self.rest * 2).min(LONGEST_REST);
        } else {
            wait(producer, MOMENT);
        }
        self.look(producer)
    }
}

/// Serves what the client has to tell, and rests. The wrapper's `poll` with a time-out cuts what is left of it to whole milliseconds, and asks
/// without a rest through the last one: of a wait of a millisecond all.
pub(super) fn wait<C: ProducerContext + 'static>(producer: &BaseProducer<C>, time: Duration) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(time);
}

/// Sends what waits, without waiting for more of it, and waits at most so long until all is answered. What became of messages is told by `poll`.
pub(super) fn flush<C: ProducerContext + 'static>(producer: &BaseProducer<C>, patience: Duration) {
    let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the handle is that of a client that `producer` owns, so it lives until after the call. Any thread may flush at any time, and
    // nothing is called back from within: deliveries are told as events, which `poll` takes.
    unsafe { rd_kafka_flush(producer.client().native_ptr(), millis) };
}
