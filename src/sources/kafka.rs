//! Messages of Kafka: which partitions there are, and what one worker reads of them.

mod client;
mod discover;
mod reader;
mod reference;
mod schemas;

pub use client::KafkaError;
pub use discover::Topics;
pub(super) use reader::TopicReader;
pub(crate) use reference::{ReferenceReader, Updates};
