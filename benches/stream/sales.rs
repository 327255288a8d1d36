//! Sales of many segments: at once, or at a rate until told to stop.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{PATIENCE, Result};

/// Partitions of their topics.
pub(crate) const PARTITIONS: i32 = 2;

/// Event time of the first: 2026-03-14T12:00:00Z, in milliseconds.
const FIRST: i64 = 1_773_489_600_000;

/// Pieces of a second in which sales at a rate are sent.
const PIECES: u32 = 50;

/// What they are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sales {
    /// Segments, which come round and round.
    pub(crate) segments: i64,
    /// Reference rows.
    pub(crate) products: i64,
    /// Sales in a second of event time.
    pub(crate) density: i64,
}

impl Sales {
    fn text(self, number: i64) -> String {
        let at = FIRST + number * 1000 / self.density;
        let ts = DateTime::from_timestamp_millis(at).expect("a time of this year");
        let mut text = String::with_capacity(128);
        // Neighbours have products that lie far apart.
        write!(
            text,
            r#"{{"id":{number},"ts":"{}","segment":{},"product":{},"amount":"{}.{:02}"}}"#,
            ts.to_rfc3339_opts(SecondsFormat::Millis, true),
            number % self.segments,
            number * 7919 % self.products,
            number % 997,
            number % 100,
        )
        .expect("a String takes everything");
        text
    }
}

/// A topic that is filled.
pub(crate) struct Topic {
    producer: BaseProducer,
    name: String,
    sales: Sales,
    next: i64,
}

impl Topic {
    /// One that is there and empty.
    pub(crate) fn new(brokers: &str, name: &str, sales: Sales) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .create()?;
        Ok(Self {
            producer,
            name: name.to_owned(),
            sales,
            next: 0,
        })
    }

    /// How many each partition has.
    pub(crate) fn sent(&self) -> Vec<i64> {
        let of =
            |partition| (self.next + i64::from(PARTITIONS - 1 - partition)) / i64::from(PARTITIONS);
        (0..PARTITIONS).map(of).collect()
    }

    /// Sends the next ones, all acknowledged.
    pub(crate) fn send(&mut self, count: i64) -> Result<()> {
        self.put(count)?;
        self.producer.flush(PATIENCE)?;
        Ok(())
    }

    fn put(&mut self, count: i64) -> Result<()> {
        for number in self.next..self.next + count {
            let text = self.sales.text(number);
            let partition = i32::try_from(number % i64::from(PARTITIONS))?;
            let mut record: BaseRecord<'_, (), str> = BaseRecord::to(&self.name)
                .partition(partition)
                .payload(&text);
            while let Err((error, back)) = self.producer.send(record) {
                let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                    return Err(error.into());
                };
                self.producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        self.next += count;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Goes on at so many a second, on a thread of its own.
    pub(crate) fn go_on(mut self, rate: u32) -> Flow {
        let is_over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicI64::new(self.next));
        let (over, counted) = (Arc::clone(&is_over), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let (since, mut pieces) = (Instant::now(), 0);
            while !over.load(Ordering::Acquire) {
                pieces += 1;
                let due = i64::from(rate) * i64::from(pieces) / i64::from(PIECES);
                let before = i64::from(rate) * i64::from(pieces - 1) / i64::from(PIECES);
                if let Err(error) = self.put(due - before) {
                    return Err(error.to_string());
                }
                counted.store(self.next, Ordering::Release);
                let next = Duration::from_secs(1) / PIECES * pieces;
                thread::sleep(next.saturating_sub(since.elapsed()));
            }
            match self.producer.flush(PATIENCE) {
                Ok(()) => Ok(self),
                Err(error) => Err(error.to_string()),
            }
        });
        Flow {
            is_over,
            sent,
            thread,
        }
    }
}

/// Sales that come at a rate.
pub(crate) struct Flow {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicI64>,
    thread: JoinHandle<std::result::Result<Topic, String>>,
}

impl Flow {
    /// How many there are.
    pub(crate) fn sent(&self) -> i64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Ends it; what was sent is acknowledged.
    pub(crate) fn stop(self) -> Result<Topic> {
        self.is_over.store(true, Ordering::Release);
        let ended = self.thread.join().map_err(|_| "the sender panicked")?;
        Ok(ended?)
    }
}
