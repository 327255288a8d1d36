//! Messages of Kafka: which partitions there are, and what one worker reads of them.

mod client;
mod discover;
mod reader;

pub use client::KafkaError;
pub use discover::{Discovery, Found};
pub(super) use reader::TopicReader;
