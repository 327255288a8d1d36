//! What a topic holds, for who looks whether it is what was sent.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Headers, Message as _};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;

use super::error::{TopicError, is_refused, owner};
use super::progress::Reader;
use super::shard::EPOCH_HEADER;
use crate::job::plan::KafkaCluster;
use crate::kafka::ANSWER;
use crate::record::Epoch;

/// Between two questions of which one was not answered.
const REST: Duration = Duration::from_millis(100);

/// A message that is committed.
#[derive(Debug)]
pub struct Found<'a> {
    /// The epoch by its header; none in a message that is none of caudal's.
    pub epoch: Option<Epoch>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// Reads all committed messages of a topic, up to where its partitions end now. Gives the epoch behind which nothing is missing: where
/// partitions have lost their first messages, that of the newest that is the first of one.
///
/// Errors: no broker answers within `patience`, or the topic may not be read.
pub fn read(
    cluster: &KafkaCluster,
    topic: &str,
    patience: Duration,
    mut each: impl FnMut(Found<'_>),
) -> Result<Epoch, TopicError> {
    let reader = Reader::new(cluster)?;
    let client = reader.client();
    let since = Instant::now();
    let failed = |error: &ClientError| {
        TopicError::refused(owner(cluster), topic, error.rdkafka_error_code())
            .unwrap_or_else(|| TopicError::unreachable(cluster, error.to_string(), patience))
    };
    let metadata = client
        .fetch_metadata(Some(topic), ANSWER)
        .map_err(|error| failed(&error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    if let Some(error) = found.and_then(rdkafka::metadata::MetadataTopic::error) {
        return Err(failed(&ClientError::MetadataFetch(error.into())));
    }
    let partitions = found.map_or(&[][..], |found| found.partitions());
    let mut all = TopicPartitionList::new();
    let mut cut = Vec::new();
    for partition in partitions {
        let id = partition.id();
        let low = loop {
            match client.fetch_watermarks(topic, id, ANSWER) {
                Ok((low, _)) => break low,
                // Of a broker that has just come back the client knows a topic before it knows who leads its partitions.
                Err(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition)
                        && since.elapsed() < ANSWER =>
                {
                    std::thread::sleep(REST);
                }
                Err(error) => return Err(failed(&error)),
            }
        };
        cut.extend((low > 0).then_some(id));
        all.add_partition_offset(topic, id, Offset::Offset(low))
            .map_err(|error| failed(&error))?;
    }
    client.assign(&all).map_err(|error| failed(&error))?;
    let (mut left, mut whole_after, mut heard) = (partitions.len(), 0, since);
    while left > 0 {
        match client.poll(Duration::from_millis(100)) {
            None if heard.elapsed() >= patience => {
                return Err(failed(&ClientError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                )));
            }
            None => continue,
            Some(Err(ClientError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => {
                if is_refused(&error) || heard.elapsed() >= patience {
                    return Err(failed(&error));
                }
                continue;
            }
            Some(Ok(message)) => {
                let epoch = message.headers().and_then(|headers| {
                    let mut headers = headers.iter();
                    let header = headers.find(|header| header.key == EPOCH_HEADER)?;
                    std::str::from_utf8(header.value?).ok()?.parse().ok()
                });
                if let Some(place) = cut.iter().position(|id| *id == message.partition()) {
                    cut.swap_remove(place);
                    whole_after = epoch.unwrap_or(0).max(whole_after);
                }
                each(Found {
                    epoch,
                    key: message.key(),
                    value: message.payload(),
                });
            }
        }
        heard = Instant::now();
    }
    // Of a partition that has lost all of its messages nothing can be said.
    Ok(if cut.is_empty() {
        whole_after
    } else {
        Epoch::MAX
    })
}
