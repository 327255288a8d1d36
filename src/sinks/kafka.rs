//! Sinks that write topics of Kafka: each row once, or at least once, and soon.
//!
//! ```text
//!          every worker                 the worker that owns the shard         Kafka
//!  rows ──> encode ── by key's hash ──> deliver ──> thread of shard s ──┬─> topics of all sinks of the cluster   ┐ one transaction
//!                                                                       └─> progress, partition s: (epoch, all)  ┘
//! ```
//!
//! The unit is the **cluster**: all topics that a job writes there share S shards, each with a producer. A transaction of a shard holds what
//! all sinks have for it of some epochs, and its progress. Shards are not atomic with each other: a reader may see an epoch's messages of
//! one shard before those of another.
//!
//! How it fits the epochs' law ([`crate::epoch`]):
//!
//! 1. A shard sends an epoch when its binding is durable: whatever happens then, the same messages come out of the same binding again.
//! 2. What is in the topics is said by the progress beside it, and by nothing else ([`shard`] has the argument).
//! 3. A checkpoint is written when all shards have delivered the epochs before it, so whoever begins at it leaves nothing out; whoever
//!    reads epochs again leaves out what progress has.
//!
//! A cluster with `on_failure = "hold"` that does not take messages for a while does not end the job: its shards put whole epochs into an
//! outbox beside the journal ([`hold`]), which counts as delivered, and send them from there when the cluster is there again.
//!
//! Order: messages of one key go through one shard, by epoch, then source, partition and offset.

pub mod content;
mod deliver;
pub mod encode;
mod error;
mod flush;
pub mod gauge;
mod hold;
mod messages;
pub mod outbox;
mod producer;
pub mod progress;
mod queue;
pub mod schemas;
mod shard;
pub mod target;

pub use self::error::TopicError;
pub use self::hold::HOLD_AFTER;
pub use self::messages::{Message, Messages, Order, sum};
pub use self::shard::{EPOCH_HEADER, SOURCE_HEADER};
pub(in crate::sinks) use deliver::{deliver, encode};
