//! What one worker reads of a topic: messages of its partitions, in their order, as chunks of records.
//!
//! The client's own threads fetch ahead, within `queued.max.messages.kbytes`; a poll takes from their queue and never waits. Offsets
//! need not follow each other (transactions leave gaps, compaction takes messages out), so what an epoch holds ends behind the
//! last message that was given, and a replay stops before the first one that the epoch did not hold.
//!
//! **Why partitions are seldom paused in a replay.** The client throws away what it has fetched of a partition that is paused or goes on: done
//! for each epoch, that is all it fetched ahead, and most of the time of a recovery. When all partitions have come to the epoch's end nothing
//! is polled; while some have not, a few messages of the others are held.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{Timestamp, TopicPartitionList};

use super::super::text::Broken;
use super::client::{KafkaError, consumer, failed, heed};
use super::schemas::Schemas;
use crate::decode::avro::framed::schema_id;
use crate::epoch::{Moved, Partition};
use crate::job::plan::{Format, KafkaSource, Metadata, SourceColumn};
use crate::kafka::{ANSWER, Context};
use crate::record::{
    Chunk, Dropped, Encoding, Framing, HeaderBinding, MessageParts, Messages, RecordPlace,
};

/// Bytes of later epochs that are held of a partition before it is paused: what the client takes at a time, several times.
const HELD: usize = 4 << 20;

/// Reads one topic of one source on one worker.
///
/// Invariant: the messages of a partition are given once each, in their order, from the offset at which it was assigned.
pub(in crate::sources) struct TopicReader {
    owner: String,
    consumer: BaseConsumer<Context>,
    makes: Makes,
    wants: Wants,
    parts: Vec<Part>,
    /// What was taken from the client and not given out yet.
    chunks: VecDeque<Chunk>,
    /// The schemas of messages that need one.
    schemas: Option<Schemas>,
}

/// What columns ask of messages besides their values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wants {
    keys: bool,
    headers: bool,
    timestamps: bool,
}

impl Wants {
    /// What these columns ask.
    pub(super) fn of(columns: &[SourceColumn]) -> Self {
        let asks = |metadata| {
            columns
                .iter()
                .any(|column| column.metadata == Some(metadata))
        };
        Self {
            keys: asks(Metadata::Key),
            headers: asks(Metadata::Headers),
            timestamps: asks(Metadata::Timestamp),
        }
    }
}

/// One partition.
struct Part {
    partition: Partition,
    /// The offset after the last message that was taken from the client.
    at: i64,
    /// The offset after the last message that was given out.
    given: i64,
    /// What it was when the epoch was opened.
    from: i64,
    caught_up: bool,
    /// Where the epoch stops, in replay.
    to: Option<i64>,
    is_paused: bool,
    /// Messages that came for a later epoch than the one that is read again.
    held: VecDeque<OwnedMessage>,
    /// Bytes of their values.
    held_bytes: usize,
    gathered: Gathered,
}

/// Messages that become one chunk.
#[derive(Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    places: Vec<RecordPlace>,
    parts: MessageParts,
}

impl TopicReader {
    /// A reader of no partition yet.
    pub(in crate::sources) fn new(
        name: &str,
        source: usize,
        topic: &str,
        kafka: &KafkaSource,
        format: &Format,
        columns: &[SourceColumn],
    ) -> Result<Self, KafkaError> {
        let owner = format!("sources.{name}");
        let schemas = match format {
            Format::AvroMessages { registry } => Some(Schemas::new(&owner, registry)?),
            _ => None,
        };
        let (consumer, _) = consumer(&owner, kafka)?;
        Ok(Self {
            owner,
            consumer,
            makes: Makes {
                are_lines: schemas.is_none(),
                ..Makes::new(source, topic)
            },
            wants: Wants::of(columns),
            parts: Vec::new(),
            chunks: VecDeque::new(),
            schemas,
        })
    }

    /// The topic.
    pub(in crate::sources) fn topic(&self) -> &str {
        &self.makes.topic
    }

    /// Its source.
    pub(in crate::sources) fn source(&self) -> usize {
        self.makes.source
    }

    /// Takes a partition, to be read from `at` on.
    pub(in crate::sources) fn assign(
        &mut self,
        partition: Partition,
        at: i64,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.makes.topic, partition.partition, Offset::Offset(at))
            .and_then(|()| self.consumer.incremental_assign(&list))
            .map_err(|error| failed(&self.owner, &error))?;
        self.parts.push(Part {
            partition,
            at,
            given: at,
            from: at,
            caught_up: false,
            to: None,
            is_paused: false,
            held: VecDeque::new(),
            held_bytes: 0,
            gathered: Gathered::default(),
        });
        Ok(())
    }

    /// An epoch begins; in replay it stops in each partition where `stops` say, and before the first message of all others.
    pub(in crate::sources) fn open(&mut self, stops: Option<&[Moved]>) -> Result<(), KafkaError> {
        for part in &mut self.parts {
            part.from = part.stand(&self.chunks);
            part.to = stops.map(|stops| {
                stops
                    .iter()
                    .find(|moved| moved.partition == part.partition)
                    .map_or(part.at, |moved| moved.to)
            });
        }
        self.pause()
    }

    /// Whether all is given that the epoch holds; only in replay.
    pub(in crate::sources) fn is_complete(&self) -> bool {
        let mut parts = self.parts.iter();
        self.chunks.is_empty() && parts.all(|part| part.is_full() && part.gathered.is_empty())
    }

    /// Whether there is nothing to poll for: all partitions have come to the end of an epoch that is read again.
    fn is_full(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(Part::is_full)
    }

    /// What the epoch that ends held.
    pub(in crate::sources) fn moved(&self) -> impl Iterator<Item = Moved> {
        self.parts.iter().map(|part| Moved {
            partition: part.partition.clone(),
            from: part.from,
            to: part.stand(&self.chunks),
            newest: None,
            caught_up: part.caught_up && part.stand(&self.chunks) == part.at,
            file: None,
        })
    }

    /// The next chunk, if any messages are here; of about `bytes`.
    pub(in crate::sources) fn next(&mut self, bytes: usize) -> Result<Option<Chunk>, KafkaError> {
        if self.chunks.is_empty() {
            self.gather(bytes)?;
        }
        let Some(first) = self.chunks.front_mut() else {
            return Ok(None);
        };
        if let Some(schemas) = self.schemas.as_mut().filter(|_| first.broken.is_none()) {
            let Some(found) = schemas.of(&named(first))? else {
                return Ok(None);
            };
            let messages = first.messages.as_mut().map(Arc::make_mut);
            messages.expect("it is made of messages").schemas = found;
        }
        let given = self.chunks.pop_front();
        if let Some(given) = &given {
            let number = given.messages.as_ref().map(|messages| messages.partition);
            let last = given.places.last().map(|place| place.byte + 1);
            let part = self.parts.iter_mut();
            let mut part = part.filter(|part| Some(part.partition.partition) == number);
            if let (Some(part), Some(last)) = (part.next(), last) {
                part.given = i64::try_from(last).expect("offsets of messages fit");
            }
        }
        Ok(given)
    }

    /// Polls until there are so many bytes, or nothing more is here; what was gathered becomes chunks.
    fn gather(&mut self, bytes: usize) -> Result<(), KafkaError> {
        let mut gathered = self.give_held();
        let mut last = 0;
        while gathered < bytes && !self.is_full() {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let number = message.partition();
                    let of_number = |part: &Part| part.partition.partition == number;
                    if !self.parts.get(last).is_some_and(of_number) {
                        match self.parts.iter().position(of_number) {
                            Some(found) => last = found,
                            None => continue,
                        }
                    }
                    let part = &mut self.parts[last];
                    let is_later = part.to.is_some_and(|to| message.offset() >= to);
                    if is_later || !part.held.is_empty() {
                        part.held_bytes += message.payload_len();
                        part.held.push_back(message.detach());
                        if let Some(to) = part.to.filter(|_| is_later) {
                            part.at = part.at.max(to);
                        }
                    } else {
                        gathered += message.payload_len();
                        take(part, &message, self.wants, &self.makes, &mut self.chunks);
                    }
                    let is_replay = part.to.is_some();
                    drop(message);
                    if is_replay {
                        self.pause()?;
                    }
                }
                Some(Err(ClientError::PartitionEOF(number))) => {
                    let of_number = |part: &&mut Part| part.partition.partition == number;
                    if let Some(part) = self.parts.iter_mut().find(of_number) {
                        part.caught_up = true;
                        if let Some(to) = part.to.filter(|to| part.at < *to) {
                            // The last messages of the epoch are there no more, or were taken out by compaction.
                            part.at = to;
                        }
                    }
                }
                Some(Err(error)) => self.heed(error)?,
            }
        }
        for part in &mut self.parts {
            if !part.gathered.is_empty() {
                let gathered = std::mem::take(&mut part.gathered);
                let number = part.partition.partition;
                self.chunks.push_back(self.makes.lines(number, gathered));
            }
        }
        Ok(())
    }

    /// Gives what came before its epoch was read; how many bytes that is.
    fn give_held(&mut self) -> usize {
        let mut gathered = 0;
        for part in &mut self.parts {
            while let Some(message) = part.held.front()
                && part.to.is_none_or(|to| message.offset() < to)
            {
                let message = part.held.pop_front().expect("it is there");
                let bytes = message.payload().map_or(0, <[u8]>::len);
                part.held_bytes -= bytes;
                gathered += bytes;
                take(part, &message, self.wants, &self.makes, &mut self.chunks);
            }
            if let (Some(to), false) = (part.to, part.held.is_empty()) {
                // The first that is held is of a later epoch.
                part.at = part.at.max(to);
            }
        }
        gathered
    }

    /// Puts partitions off that have given all their epoch holds, where much is held of them, and lets the others go on. What the client
    /// had handed out before is held; it goes on behind that.
    fn pause(&mut self) -> Result<(), KafkaError> {
        for index in 0..self.parts.len() {
            let part = &self.parts[index];
            let is_to_pause = part.is_full() && (part.is_paused || part.held_bytes >= HELD);
            if is_to_pause == part.is_paused {
                continue;
            }
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.makes.topic, part.partition.partition);
            let told = if is_to_pause {
                self.consumer.pause(&list)
            } else {
                self.consumer.resume(&list)
            };
            told.map_err(|error| failed(&self.owner, &error))?;
            self.parts[index].is_paused = is_to_pause;
        }
        Ok(())
    }

    /// What an error of the client means: most pass by themselves.
    fn heed(&self, error: ClientError) -> Result<(), KafkaError> {
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let marks = |part: &Part| {
                    let number = part.partition.partition;
                    let marks = self
                        .consumer
                        .fetch_watermarks(&self.makes.topic, number, ANSWER)
                        .ok()?;
                    (!(marks.0..=marks.1).contains(&part.at)).then_some((number, part.at, marks))
                };
                let Some((partition, at, (low, high))) = self.parts.iter().find_map(marks) else {
                    return Ok(());
                };
                Err(KafkaError::DataLoss {
                    owner: self.owner.clone(),
                    topic: self.makes.topic.clone(),
                    partition,
                    at,
                    low,
                    high,
                    lost: "messages were taken away before they were read".to_owned(),
                })
            }
            _ => heed(&self.owner, &self.makes.topic, &error),
        }
    }
}

impl Part {
    /// Whether all was taken of it that the epoch holds; only in replay.
    fn is_full(&self) -> bool {
        self.to.is_some_and(|to| self.at >= to)
    }

    /// The offset behind what was given out, and behind what is no message, where nothing waits to be given.
    fn stand(&self, waiting: &VecDeque<Chunk>) -> i64 {
        let number = self.partition.partition;
        let mut of_chunks = waiting.iter().filter_map(|chunk| chunk.messages.as_ref());
        if of_chunks.any(|messages| messages.partition == number) {
            self.given
        } else {
            self.at
        }
    }
}

/// The schemas that the messages of a chunk name.
fn named(chunk: &Chunk) -> BTreeSet<u32> {
    let ends = chunk.places.iter().skip(1).map(|place| place.start);
    let ends = ends.chain([chunk.bytes.len()]);
    let each = chunk.places.iter().zip(ends);
    each.filter_map(|(place, end)| schema_id(&chunk.bytes[place.start..end]).ok())
        .collect()
}

impl Gathered {
    /// One message, whose value may have several lines.
    pub(super) fn alone(bytes: Vec<u8>, place: RecordPlace) -> Self {
        Self {
            bytes,
            places: vec![place],
            parts: MessageParts::default(),
        }
    }

    /// Adds a value, as a line or as it is; gives its number.
    pub(super) fn add(
        &mut self,
        value: &[u8],
        is_line: bool,
        place: impl FnOnce(usize) -> RecordPlace,
    ) -> usize {
        self.places.push(place(self.bytes.len()));
        self.bytes.extend_from_slice(value);
        if is_line {
            self.bytes.push(b'\n');
        }
        self.places.len() - 1
    }

    /// Keeps what columns ask of the message that was added.
    pub(super) fn keep<M: Message>(&mut self, message: &M, wants: Wants) {
        push(&mut self.parts, message, wants);
    }

    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Adds one message to what its partition has gathered, or makes a chunk of it alone.
fn take<M: Message>(
    part: &mut Part,
    message: &M,
    wants: Wants,
    makes: &Makes,
    chunks: &mut VecDeque<Chunk>,
) {
    part.at = message.offset() + 1;
    part.caught_up = false;
    let place = |start| RecordPlace {
        start,
        line: 0,
        byte: u64::try_from(message.offset()).expect("offsets of messages are not negative"),
    };
    let payload = message.payload();
    let value = payload.unwrap_or_default();
    let is_blank = if makes.are_lines {
        value.iter().all(u8::is_ascii_whitespace)
    } else {
        value.is_empty()
    };
    let is_plain = !makes.are_lines || memchr::memchr2(b'\n', b'\r', value).is_none();
    if !is_blank && is_plain {
        let gathered = &mut part.gathered;
        gathered.add(value, makes.are_lines, place);
        gathered.keep(message, wants);
        return;
    }
    // A value over several lines is one record; none at all is refused, and never silently left out.
    let number = part.partition.partition;
    if !part.gathered.is_empty() {
        chunks.push_back(makes.lines(number, std::mem::take(&mut part.gathered)));
    }
    let broken = is_blank.then(|| {
        let (reason, words) = if payload.is_none() {
            (
                "no_value",
                "a message without a value (a tombstone) is no row",
            )
        } else {
            ("empty_message", "a message with an empty value is no row")
        };
        (Cow::Borrowed(reason), words.to_owned())
    });
    // A broken chunk has a byte, so that it is one.
    let bytes = if value.is_empty() { b"\n" } else { value };
    let mut alone = Gathered::alone(bytes.to_vec(), place(0));
    alone.keep(message, wants);
    chunks.push_back(makes.whole(number, alone, broken));
}

/// Keeps what columns ask of a message besides its value.
fn push<M: Message>(parts: &mut MessageParts, message: &M, wants: Wants) {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if wants.keys {
        parts.keys.push(message.key().map(lossy));
    }
    if wants.timestamps {
        parts.timestamps.push(match message.timestamp() {
            Timestamp::NotAvailable => None,
            Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => {
                millis.checked_mul(1000)
            }
        });
    }
    if wants.headers {
        let headers = message.headers().map(|headers| {
            let each = headers.iter().map(|header| {
                let value = header.value.map(lossy);
                (header.key.to_owned(), serde_json::Value::from(value))
            });
            serde_json::Value::Object(each.collect()).to_string()
        });
        parts.headers.push(headers);
    }
}

/// What all chunks of a topic share.
pub(super) struct Makes {
    /// Whether messages are put together as lines; else each ends where the next begins.
    are_lines: bool,
    source: usize,
    topic: String,
    lines: Arc<HeaderBinding>,
    whole: Arc<HeaderBinding>,
}

impl Makes {
    /// For the topic of a source, or look-up.
    pub(super) fn new(source: usize, topic: &str) -> Self {
        let header = |framing| {
            Arc::new(HeaderBinding {
                encoding: Encoding::Utf8,
                record: Vec::new(),
                framing,
                fields: 0,
                column_of_field: Vec::new(),
            })
        };
        Self {
            are_lines: true,
            source,
            topic: topic.to_owned(),
            lines: header(Framing::Lines),
            whole: header(Framing::Whole),
        }
    }

    /// A chunk of messages that are a line each.
    pub(super) fn lines(&self, partition: i32, gathered: Gathered) -> Chunk {
        self.chunk(partition, gathered, &self.lines, None)
    }

    /// A chunk of one message.
    pub(super) fn whole(&self, partition: i32, alone: Gathered, broken: Option<Broken>) -> Chunk {
        self.chunk(partition, alone, &self.whole, broken)
    }

    fn chunk(
        &self,
        partition: i32,
        gathered: Gathered,
        header: &Arc<HeaderBinding>,
        broken: Option<Broken>,
    ) -> Chunk {
        let Gathered {
            bytes,
            places,
            parts,
        } = gathered;
        Chunk {
            number: 0,
            source: self.source,
            file: Arc::new(PathBuf::from(format!("{}/{partition}", self.topic))),
            bytes,
            offset: places.first().map_or(0, |place| place.byte),
            line: 0,
            header: Arc::clone(header),
            epoch: 0,
            broken,
            dropped: Dropped::default(),
            places,
            followed: None,
            messages: Some(Arc::new(Messages {
                topic: self.topic.clone(),
                partition,
                parts,
                schemas: Vec::new(),
            })),
            until: None,
            lease: None,
        }
    }
}
