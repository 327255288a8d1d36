//! Messages on their way from the worker that encoded them to the one that owns their shard.

use std::cmp::Ordering;
use std::io::Write;
use std::sync::Arc;

use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::cluster::exchange::{Addressed, mix};
use crate::record::{Epoch, Lease};

/// That a message has no such part.
const NONE: u32 = u32::MAX;

/// Messages of one sink, epoch and shard. All that is needed to send them is in it: the bytes are as they go to the broker.
///
/// Shape: `bytes` holds key, value and headers of one message after the other; an [`Entry`] knows their lengths.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// The worker that owns the shard.
    pub worker: usize,
    /// Index of the shard in its cluster.
    pub shard: usize,
    /// Index of the sink in `plan.sinks`.
    pub sink: usize,
    /// The epoch they belong to.
    pub epoch: Epoch,
    /// The files, or topics and partitions, that their rows come from.
    files: Vec<String>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// The bytes of the process's budget that they came from.
    pub lease: Option<Arc<Lease>>,
}

/// A message's place in the order in which those of an epoch are sent; pinned, since an epoch may be sent in parts by several lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Hash of the source and file, or nought where rows come from none.
    pub file: u64,
    /// Place in the file; of a message its offset. Of rows without a file: a hash of what they say.
    pub place: u64,
    /// Number among the rows that were read with it.
    pub row: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    order: Order,
    /// Index in `files`, or [`NONE`].
    file: u32,
    /// First byte in `bytes`.
    start: u32,
    key: u32,
    value: u32,
    headers: u32,
    partition: i32,
    timestamp: i64,
}

/// One message, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The sink it is for.
    pub sink: usize,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none in a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers as the encoder wrote them.
    pub headers: &'a [u8],
    /// The partition, where the job says which.
    pub partition: Option<i32>,
    /// Its time in milliseconds since 1970, where the job says which.
    pub timestamp: Option<i64>,
    /// Where its row comes from: file, or topic and partition, and the place there.
    pub from: Option<(&'a str, u64)>,
}

impl Message<'_> {
    /// What a message adds to the sum over messages, see [`sum`].
    pub fn sum(&self) -> u64 {
        sum(self.key, self.value)
    }
}

/// What a message adds to a sum over messages, which wraps and so knows no order: its key and value, hashed.
pub fn sum(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let part = |part: Option<&[u8]>| part.map_or(0x5bd1, words);
    mix(part(key) ^ part(value).rotate_left(23))
}

/// Hashes bytes eight at a time (multiply and rotate, as in `FxHash`, then mixed).
pub(super) fn words(bytes: &[u8]) -> u64 {
    let mut hash = u64::try_from(bytes.len()).expect("a length fits 64 bits");
    let mut take =
        |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (whole, rest) = bytes.as_chunks::<8>();
    for word in whole {
        take(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    take(u64::from_le_bytes(last));
    mix(hash)
}

impl Messages {
    /// None yet, for a shard.
    pub fn new(worker: usize, shard: usize, sink: usize, epoch: Epoch) -> Self {
        Self {
            worker,
            shard,
            sink,
            epoch,
            ..Self::default()
        }
    }

    /// Adds a file that rows come from, and gives its number.
    pub fn add_file(&mut self, file: &str) -> u32 {
        self.files.push(file.to_owned());
        u32::try_from(self.files.len() - 1).expect("a batch has few files")
    }

    /// Adds a message; `file` is a number that [`Self::add_file`] gave.
    ///
    /// # Panics
    /// Where the batch would hold four gigabytes.
    #[expect(clippy::too_many_arguments, reason = "the parts of a message")]
    pub fn push(
        &mut self,
        order: Order,
        file: Option<u32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
        partition: Option<i32>,
        timestamp: Option<i64>,
    ) {
        let short = |length: usize| u32::try_from(length).expect("a batch has less than 4 GiB");
        self.entries.push(Entry {
            order,
            file: file.unwrap_or(NONE),
            start: short(self.bytes.len()),
            key: key.map_or(NONE, |key| short(key.len())),
            value: value.map_or(NONE, |value| short(value.len())),
            headers: short(headers.len()),
            partition: partition.unwrap_or(-1),
            timestamp: timestamp.unwrap_or(i64::MIN),
        });
        for part in [key, value, Some(headers)].into_iter().flatten() {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A message's place in the order of its epoch.
    pub fn order(&self, message: usize) -> Order {
        self.entries[message].order
    }

    /// A message.
    pub fn get(&self, message: usize) -> Message<'_> {
        let entry = &self.entries[message];
        let mut at = wide(entry.start);
        let mut part = |length: u32| {
            let from = at;
            at += wide(length);
            &self.bytes[from..at]
        };
        Message {
            sink: self.sink,
            key: (entry.key != NONE).then(|| part(entry.key)),
            value: (entry.value != NONE).then(|| part(entry.value)),
            headers: part(entry.headers),
            partition: (entry.partition >= 0).then_some(entry.partition),
            timestamp: (entry.timestamp != i64::MIN).then_some(entry.timestamp),
            from: (entry.file != NONE)
                .then(|| (self.files[wide(entry.file)].as_str(), entry.order.place)),
        }
    }
}

fn wide(length: u32) -> usize {
    usize::try_from(length).expect("32 bits fit")
}

/// The order of two messages of an epoch: by place, and where places are equal, which they are for rows without one that say the
/// same in part, by sink and content.
pub(super) fn compare(a: (&Messages, usize), b: (&Messages, usize)) -> Ordering {
    a.0.order(a.1).cmp(&b.0.order(b.1)).then_with(|| {
        let (a, b) = (a.0.get(a.1), b.0.get(b.1));
        let of = |message: &Message<'_>| (message.sink, message.partition, message.timestamp);
        of(&a)
            .cmp(&of(&b))
            .then_with(|| a.key.cmp(&b.key))
            .then_with(|| a.value.cmp(&b.value))
            .then_with(|| a.headers.cmp(b.headers))
    })
}

impl timely::Accountable for Messages {
    fn record_count(&self) -> i64 {
        i64::try_from(self.len()).expect("a batch has fewer than 2^63 messages")
    }
}

impl Addressed for Messages {
    fn worker(&self) -> usize {
        self.worker
    }
}

/// Words of the head: worker, shard, sink, epoch, and how many files, entries and bytes follow.
const HEAD_WORDS: usize = 7;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 56;

/// `head │ entries │ for each file its length and text │ bytes │ filling`, all words little-endian. Peers are of one build, which the
/// handshake makes sure of; bytes that don't decode are a bug, and panic. The lease stays behind: the receiver's process has its own.
impl ContainerBytes for Messages {
    fn from_bytes(bytes: Bytes) -> Self {
        let mut at = 0;
        let mut take = |length: usize| {
            let from = at;
            at += length;
            &bytes[from..at]
        };
        let mut head = [0_u64; HEAD_WORDS];
        for word in &mut head {
            *word = u64_of(take(8));
        }
        let [worker, shard, sink, epoch, files, entries, length] = head;
        let [worker, shard, sink, files, entries, length] =
            [worker, shard, sink, files, entries, length]
                .map(|word| usize::try_from(word).expect("a length fits"));
        let entries = take(entries * ENTRY_BYTES)
            .chunks_exact(ENTRY_BYTES)
            .map(Entry::read);
        let entries = entries.collect();
        let mut texts = Vec::with_capacity(files);
        for _ in 0..files {
            let length = usize::try_from(u64_of(take(8))).expect("a length fits");
            let text = take(length).to_vec();
            texts.push(String::from_utf8(text).expect("peers are of the same build"));
        }
        Self {
            worker,
            shard,
            sink,
            epoch,
            files: texts,
            entries,
            bytes: take(length).to_vec(),
            lease: None,
        }
    }

    fn length_in_bytes(&self) -> usize {
        let files: usize = self.files.iter().map(|file| 8 + file.len()).sum();
        let all = HEAD_WORDS * 8 + self.entries.len() * ENTRY_BYTES + files + self.bytes.len();
        all.next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let word = |length: usize| u64::try_from(length).expect("a length fits 64 bits");
        let mut all = Vec::with_capacity(self.length_in_bytes());
        for word in [
            word(self.worker),
            word(self.shard),
            word(self.sink),
            self.epoch,
            word(self.files.len()),
            word(self.entries.len()),
            word(self.bytes.len()),
        ] {
            all.extend(word.to_le_bytes());
        }
        for entry in &self.entries {
            entry.write(&mut all);
        }
        for file in &self.files {
            all.extend(word(file.len()).to_le_bytes());
            all.extend(file.as_bytes());
        }
        all.extend(&self.bytes);
        all.resize(all.len().next_multiple_of(8), 0);
        writer
            .write_all(&all)
            .expect("timely's buffers take everything");
    }
}

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        let Order { file, place, row } = self.order;
        for word in [file, place, row] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.timestamp.to_le_bytes());
        for word in [self.file, self.start, self.key, self.value, self.headers] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.partition.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let long = |word: usize| u64_of(&bytes[8 * word..8 * word + 8]);
        let short = |word: usize| {
            let mut at = [0; 4];
            at.copy_from_slice(&bytes[32 + 4 * word..36 + 4 * word]);
            at
        };
        Self {
            order: Order {
                file: long(0),
                place: long(1),
                row: long(2),
            },
            timestamp: i64::from_le_bytes(long(3).to_le_bytes()),
            file: u32::from_le_bytes(short(0)),
            start: u32::from_le_bytes(short(1)),
            key: u32::from_le_bytes(short(2)),
            value: u32::from_le_bytes(short(3)),
            headers: u32::from_le_bytes(short(4)),
            partition: i32::from_le_bytes(short(5)),
        }
    }
}

fn u64_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use timely::bytes::arc::BytesMut;

    use super::*;

    fn order(file: u64, place: u64, row: u64) -> Order {
        Order { file, place, row }
    }

    fn some() -> Messages {
        let mut messages = Messages::new(3, 1, 2, 77);
        let file = messages.add_file("ventas/4");
        messages.push(
            order(9, 17, 0),
            Some(file),
            Some(b"k"),
            Some(b"{}"),
            b"hh",
            Some(5),
            Some(-1),
        );
        messages.push(
            order(0, u64::MAX, 1),
            None,
            None,
            Some(b""),
            b"",
            None,
            None,
        );
        messages.push(
            order(9, 18, 0),
            Some(file),
            Some(b""),
            None,
            b"h",
            Some(0),
            None,
        );
        messages
    }

    #[test]
    fn messages_come_back_from_bytes_as_they_were() {
        let messages = some();
        let length = messages.length_in_bytes();
        let mut bytes = Vec::new();
        messages.into_bytes(&mut bytes);
        assert_eq!((bytes.len(), length % 8), (length, 0));
        let back = Messages::from_bytes(BytesMut::from(bytes).freeze());
        assert_eq!(
            (back.worker, back.shard, back.sink, back.epoch),
            (3, 1, 2, 77)
        );
        assert_eq!(back.len(), 3);
        for message in 0..3 {
            assert_eq!(back.order(message), messages.order(message));
            assert_eq!(back.get(message), messages.get(message));
        }
        let first = back.get(0);
        assert_eq!(
            (first.key, first.value, first.headers),
            (Some(&b"k"[..]), Some(&b"{}"[..]), &b"hh"[..])
        );
        assert_eq!(
            (first.partition, first.timestamp, first.from),
            (Some(5), Some(-1), Some(("ventas/4", 17)))
        );
        let second = back.get(1);
        assert_eq!(
            (second.key, second.value, second.from),
            (None, Some(&b""[..]), None)
        );
        assert_eq!((back.get(2).value, back.get(2).partition), (None, Some(0)));
    }

    #[test]
    fn a_sum_tells_keys_and_values_apart() {
        let one = sum(Some(b"a"), Some(b"b"));
        assert_eq!(one, sum(Some(b"a"), Some(b"b")));
        for other in [
            sum(Some(b"b"), Some(b"a")),
            sum(None, Some(b"b")),
            sum(Some(b"a"), None),
            sum(Some(b"a"), Some(b"b\0")),
        ] {
            assert_ne!(one, other);
        }
    }
}
