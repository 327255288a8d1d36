//! The topics that the job under test writes, as readers of committed messages see them: watched while faults come, read anew at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::Value;

use crate::broker::{Broker, PATIENCE};
use crate::messages::{Isolation, Read};

/// What is written, as files and as topics.
pub(crate) const SINKS: [&str; 4] = ["rows", "refused", "minutes", "verdicts"];

/// Partitions of each topic, as the job makes them.
const PARTITIONS: i32 = 3;

/// A sink's topic.
fn topic(own: &str, sink: &str) -> String {
    format!("{own}-{sink}")
}

/// What was seen so far of all topics of a job; every further message must fit it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    messages: usize,
    /// Where each lay.
    places: BTreeMap<(String, i32), i64>,
    /// Of each topic what makes a message the only one of its kind.
    known: BTreeSet<(String, Vec<u8>)>,
    /// Of each topic and key: the partition, and the newest epoch.
    keys: BTreeMap<(String, Vec<u8>), (i32, u64)>,
    /// Of each region and partition of the source: the newest offset.
    order: BTreeMap<(String, i64), i64>,
}

impl Seen {
    /// Takes a message; those of a partition come in their order.
    fn take(&mut self, own: &str, topic: &str, read: &Read) {
        self.messages += 1;
        let partition = read.sent.partition;
        let what = || format!("{topic}/{partition} {}: {:?}", read.offset, read.sent);
        let before = self
            .places
            .insert((topic.to_owned(), partition), read.offset);
        assert!(
            before.is_none_or(|before| before < read.offset),
            "{}",
            what()
        );
        let text = read.sent.value.as_deref().unwrap();
        let value: Value = serde_json::from_slice(text).unwrap();
        let number = |name: &str| value[name].as_i64().unwrap();
        let sink = topic.strip_prefix(own).unwrap().trim_start_matches('-');
        let known = match sink {
            "rows" => format!("{} {}", number("at_partition"), number("at_offset")).into_bytes(),
            "refused" => format!("{} {}", number("partition"), number("offset")).into_bytes(),
            _ => text.to_vec(),
        };
        let is_new = self.known.insert((topic.to_owned(), known));
        assert!(is_new, "it is there twice: {}", what());
        let header = |name: &str| {
            let mut headers = read.sent.headers.iter();
            let value = headers.find(|(known, _)| known == name)?.1.as_ref()?;
            Some(String::from_utf8(value.clone()).unwrap())
        };
        let epoch: u64 = header("caudal-epoch").unwrap().parse().unwrap();
        if let Some(key) = &read.sent.key {
            let of_key = (topic.to_owned(), key.clone());
            let (at, newest) = self.keys.entry(of_key).or_insert((partition, epoch));
            assert_eq!(*at, partition, "its key lies elsewhere, too: {}", what());
            assert!(*newest <= epoch, "behind epoch {newest}: {}", what());
            *newest = epoch;
        }
        if sink == "rows" {
            let region = value["region"].as_str().unwrap();
            assert_eq!(read.sent.key.as_deref(), Some(region.as_bytes()));
            let from = header("caudal-source").unwrap();
            let place = format!("/{} {}", number("at_partition"), number("at_offset"));
            assert!(from.ends_with(&place), "{from} and {place}");
            let of_key = (region.to_owned(), number("at_partition"));
            let before = self.order.insert(of_key, number("at_offset"));
            assert!(
                before < Some(number("at_offset")),
                "behind {before:?}: {}",
                what()
            );
        }
    }
}

/// A reader that runs while the job does, and panics where a message comes twice or out of order.
pub(crate) struct Watch {
    own: String,
    /// How many messages there are, when that is known.
    wanted: Arc<AtomicUsize>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Begins with the first message of the topics of the job whose `id` is `own`, which may not be there yet.
    pub(crate) fn start(broker: &Broker, own: &str) -> Self {
        let wanted = Arc::new(AtomicUsize::new(usize::MAX));
        let mut client = broker.client();
        client
            .set("group.id", "caudal-watch")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("reconnect.backoff.max.ms", "200")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = client.create().unwrap();
        let (of_thread, until) = (own.to_owned(), Arc::clone(&wanted));
        let thread = std::thread::spawn(move || watch(&consumer, &of_thread, &until));
        Self {
            own: own.to_owned(),
            wanted,
            thread,
        }
    }

    /// Fails where the reader has.
    pub(crate) fn check(&self) {
        assert!(
            !self.thread.is_finished(),
            "the reader of topics has failed"
        );
    }

    /// Reads the topics of a job that has ended anew: what was watched is what is there. Writes each topic's values as lines of JSON into
    /// a folder.
    pub(crate) fn stop(self, broker: &Broker, folder: &Path) {
        let seen = read(broker, &self.own, folder);
        self.wanted.store(seen.messages, Ordering::Release);
        let watched = self.thread.join().expect("the reader of topics has failed");
        assert_eq!(watched.messages, seen.messages);
        assert!(watched == seen, "what was watched is not what is there");
        println!(
            "{}: {} messages were watched as they came",
            self.own, seen.messages
        );
    }
}

fn watch(consumer: &BaseConsumer, own: &str, wanted: &AtomicUsize) -> Seen {
    let mut all = TopicPartitionList::new();
    for sink in SINKS {
        let topic = topic(own, sink);
        loop {
            let said = consumer.fetch_metadata(Some(&topic), PATIENCE);
            let partitions = said.map_or(0, |said| said.topics()[0].partitions().len());
            if i32::try_from(partitions).unwrap() == PARTITIONS {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        for partition in 0..PARTITIONS {
            all.add_partition_offset(&topic, partition, Offset::Beginning)
                .unwrap();
        }
    }
    consumer.assign(&all).unwrap();
    let mut seen = Seen::default();
    let mut deadline = None;
    loop {
        let wanted = wanted.load(Ordering::Acquire);
        if seen.messages >= wanted {
            return seen;
        }
        if wanted < usize::MAX {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            assert!(
                Instant::now() < deadline,
                "{} of {wanted} were watched",
                seen.messages
            );
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                let topic = message.topic().to_owned();
                seen.take(own, &topic, &Read::of(&message));
            }
            // Brokers are killed and come back.
            Some(Err(error)) => {
                let is_gone = matches!(
                    error.rdkafka_error_code(),
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                ) || matches!(error, KafkaError::MessageConsumptionFatal(_));
                assert!(!is_gone, "{error}");
            }
        }
    }
}

/// Reads all topics of a job that has ended; writes the values as lines of JSON into a folder, a file for each sink.
pub(crate) fn write(broker: &Broker, own: &str, folder: &Path) {
    read(broker, own, folder);
}

fn read(broker: &Broker, own: &str, folder: &Path) -> Seen {
    fs::create_dir_all(folder).unwrap();
    let mut seen = Seen::default();
    for sink in SINKS {
        let topic = topic(own, sink);
        let file = File::create(folder.join(format!("{sink}.json"))).unwrap();
        let mut lines = BufWriter::new(file);
        for read in broker.read(&topic, Isolation::Committed) {
            seen.take(own, &topic, &read);
            lines
                .write_all(read.sent.value.as_deref().unwrap())
                .unwrap();
            lines.write_all(b"\n").unwrap();
        }
        lines.flush().unwrap();
    }
    seen
}

/// The broker that coordinates the transactions of an id, by its number: the leader of the partition that they are written down in.
pub(crate) fn coordinator(broker: &Broker, transactional_id: &str) -> u32 {
    let consumer: BaseConsumer = broker.client().create().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = consumer.fetch_metadata(Some("__transaction_state"), PATIENCE);
        if let Ok(said) = said {
            let partitions = said.topics()[0].partitions();
            // As Java's strings are hashed.
            let hash = transactional_id.bytes().fold(0_i32, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(i32::from(byte))
            });
            let hash = usize::try_from(hash & i32::MAX).unwrap();
            let leader =
                (!partitions.is_empty()).then(|| partitions[hash % partitions.len()].leader());
            if let Some(leader) = leader.filter(|leader| *leader > 0) {
                return leader.try_into().unwrap();
            }
        }
        assert!(
            Instant::now() < deadline,
            "nobody coordinates {transactional_id}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
