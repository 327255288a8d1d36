//! The outbox of a shard: epochs that its cluster does not take now, as objects beside the journal, whole and for good.
//!
//! ```text
//! STATE/outbox/002-of-004-000000000120-48213-caudal-ventas        shard, number of shards, epoch, bytes, id of the cluster
//! ```
//!
//! No life is named: an epoch that is bound for good is the same in every life ([`crate::epoch`]), and its messages are written in the
//! pinned order in which they are sent, so that every life would write the same bytes. Whoever puts an epoch that is there finds it
//! put, also where it was a life that lingers. The topic and the headers' names of each sink are in it, so that it says all that is
//! needed to send it, whatever the job file says later.
//!
//! Epochs are put in their order, each when all before it are in the topics or were put, and one is removed only when the committed progress
//! has it. So of the epochs up to the last that is here each is in the topics or here.
//!
//! `mark │ format │ hash │ length │ what is hashed: length of the head, head as JSON, for each batch its length and itself`

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::bytes::arc::BytesMut;
use timely::dataflow::channels::ContainerBytes;

use super::error::TopicError;
use super::messages::Messages;
use super::progress::Progress;
use super::queue::Whole;
use crate::cluster::exchange::hash_bytes;
use crate::cluster::{Run, RunError};
use crate::epoch::{JournalError, Store};
use crate::fault;
use crate::job::plan::KafkaCluster;
use crate::record::Epoch;

/// Folder of all outboxes, where the state is.
const FOLDER: &str = "outbox";

/// First bytes of an object.
const MARK: &[u8; 8] = b"caudal\0o";

/// Version of an object, and of the form of [`Messages`] in it.
const FORMAT: u64 = 1;

/// Bytes before what is hashed: mark, format, hash and length.
const BEFORE: usize = 32;

/// What an object's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    shard: usize,
    shards: usize,
    epoch: Epoch,
    bytes: u64,
    cluster: String,
}

impl Name {
    fn text(&self) -> String {
        let Self {
            shard,
            shards,
            epoch,
            bytes,
            cluster,
        } = self;
        format!("{shard:03}-of-{shards:03}-{epoch:012}-{bytes}-{cluster}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '-');
        let shard = parts.next()?.parse().ok()?;
        (parts.next()? == "of").then_some(())?;
        Some(Self {
            shard,
            shards: parts.next()?.parse().ok()?,
            epoch: parts.next()?.parse().ok()?,
            bytes: parts.next()?.parse().ok()?,
            cluster: parts.next()?.to_owned(),
        })
    }

    fn object(&self) -> String {
        format!("{FOLDER}/{}", self.text())
    }
}

/// Where a sink's messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldSink {
    pub(super) topic: String,
    /// Names of its messages' headers, in the order in which the messages have them.
    pub(super) headers: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    epoch: Epoch,
    sinks: Vec<HeldSink>,
}

/// An epoch as it comes out of the outbox: the sink of a message is its index in `sinks`.
pub(super) struct HeldEpoch {
    pub(super) sinks: Vec<HeldSink>,
    pub(super) whole: Whole,
}

/// An epoch as an object. `sink` says where the messages of a sink of the plan go.
pub(super) fn write(whole: &Whole, sink: impl Fn(usize) -> HeldSink) -> Vec<u8> {
    let mut head = Head {
        epoch: whole.epoch,
        sinks: Vec::new(),
    };
    let mut batches = Vec::new();
    for (of, in_order) in whole.by_sink() {
        let number = head.sinks.len();
        head.sinks.push(sink(of));
        batches.extend(in_order.into_iter().map(|mut messages| {
            messages.sink = number;
            messages
        }));
    }
    let head = serde_json::to_vec(&head).expect("a head is JSON");
    let mut bytes = vec![0; BEFORE];
    bytes.extend(word(head.len()).to_le_bytes());
    bytes.extend(head);
    for batch in batches {
        bytes.extend(word(batch.length_in_bytes()).to_le_bytes());
        batch.into_bytes(&mut bytes);
    }
    let hash = hash_bytes(&bytes[BEFORE..]);
    let length = word(bytes.len() - BEFORE);
    bytes[..8].copy_from_slice(MARK);
    for (place, word) in [FORMAT, hash, length].into_iter().enumerate() {
        bytes[8 * (place + 1)..8 * (place + 2)].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Reads an object.
///
/// Errors: in words, where it is not what was written.
pub(super) fn read(bytes: &[u8]) -> Result<HeldEpoch, String> {
    let at = |place: usize| {
        let word = bytes.get(8 * place..8 * (place + 1)).unwrap_or_default();
        word.try_into().map(u64::from_le_bytes).unwrap_or_default()
    };
    if bytes.len() < BEFORE || &bytes[..8] != MARK {
        return Err("it does not begin as one".to_owned());
    }
    if at(1) != FORMAT {
        return Err(format!(
            "it is of format {}, and this program reads {FORMAT}",
            at(1)
        ));
    }
    let mut rest = &bytes[BEFORE..];
    if word(rest.len()) != at(3) || hash_bytes(rest) != at(2) {
        return Err(format!(
            "it is not what was written there ({} bytes, expected {})",
            rest.len(),
            at(3)
        ));
    }
    let mut take = || {
        let (length, behind) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (part, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some(part)
    };
    let head: Option<Head> = take().and_then(|head| serde_json::from_slice(head).ok());
    let head = head.ok_or_else(|| "its head is none of caudal's".to_owned())?;
    let mut batches = Vec::new();
    while let Some(batch) = take() {
        batches.push(Messages::from_bytes(
            BytesMut::from(batch.to_vec()).freeze(),
        ));
    }
    Ok(HeldEpoch {
        sinks: head.sinks,
        whole: Whole::new(head.epoch, batches),
    })
}

fn word(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

/// Where the state of a job is kept.
pub(super) fn store(run: &Run) -> Result<Arc<dyn Store>, RunError> {
    Ok(run.state()?)
}

/// The outbox of one shard.
#[derive(Debug)]
pub(super) struct Outbox {
    store: Arc<dyn Store>,
    cluster: String,
    shard: usize,
    shards: usize,
    /// The bytes of each epoch.
    epochs: BTreeMap<Epoch, u64>,
    bytes: u64,
}

impl Outbox {
    /// With what earlier lives have left in it.
    pub(super) fn open(
        store: Arc<dyn Store>,
        cluster: &KafkaCluster,
        shard: usize,
    ) -> Result<Self, JournalError> {
        let mut outbox = Self {
            store,
            cluster: cluster.id.clone(),
            shard,
            shards: cluster.shards,
            epochs: BTreeMap::new(),
            bytes: 0,
        };
        for name in names(&*outbox.store, &cluster.id)? {
            if (name.shard, name.shards) == (shard, outbox.shards) {
                outbox.epochs.insert(name.epoch, name.bytes);
                outbox.bytes += name.bytes;
            }
        }
        Ok(outbox)
    }

    fn name(&self, epoch: Epoch, bytes: u64) -> Name {
        Name {
            shard: self.shard,
            shards: self.shards,
            epoch,
            bytes,
            cluster: self.cluster.clone(),
        }
    }

    /// Puts an epoch, behind all that are in it.
    pub(super) fn put(&mut self, epoch: Epoch, object: &[u8]) -> Result<(), JournalError> {
        let bytes = word(object.len());
        fault::at("hold an epoch");
        self.store
            .put_if_absent(&self.name(epoch, bytes).object(), object)?;
        if self.epochs.insert(epoch, bytes).is_none() {
            self.bytes += bytes;
        }
        Ok(())
    }

    /// An epoch that is in it.
    ///
    /// Errors: [`TopicError::Outbox`].
    pub(super) fn get(&self, epoch: Epoch) -> Result<HeldEpoch, TopicError> {
        let bytes = self.epochs.get(&epoch).copied().unwrap_or_default();
        let object = self.name(epoch, bytes).object();
        let failed = |problem: String| TopicError::Outbox {
            place: self.store.place(&object),
            problem,
            expected: "an epoch as it was held",
            hint: "restore the state folder as it was, whole",
        };
        let found = self
            .store
            .get(&object)
            .map_err(|error| failed(error.to_string()))?;
        let found = found.ok_or_else(|| failed("it is not there any more".to_owned()))?;
        let held = read(&found).map_err(&failed)?;
        if held.whole.epoch == epoch {
            Ok(held)
        } else {
            Err(failed(format!("it holds epoch {}", held.whole.epoch)))
        }
    }

    /// Removes the epochs that the committed progress has.
    pub(super) fn remove(&mut self, progress: &Progress) -> Result<(), JournalError> {
        while let Some((epoch, bytes)) = self.epochs.first_key_value()
            && progress.has(*epoch)
        {
            let (epoch, bytes) = (*epoch, *bytes);
            fault::at("remove what was held");
            self.store.delete(&self.name(epoch, bytes).object())?;
            self.epochs.remove(&epoch);
            self.bytes -= bytes;
        }
        Ok(())
    }

    /// The epochs in it, in their order.
    pub(super) fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.epochs.keys().copied()
    }

    /// The last of them.
    pub(super) fn last(&self) -> Option<Epoch> {
        self.epochs.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// How many epochs, and how many bytes of them.
    pub(super) fn size(&self) -> (u64, u64) {
        (word(self.epochs.len()), self.bytes)
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }
}

/// The objects of a cluster, each epoch of a shard once: a build that writes another form may have put it anew.
fn names(store: &dyn Store, cluster: &str) -> Result<Vec<Name>, JournalError> {
    let found = store.list(FOLDER)?;
    let mut names: Vec<Name> = found.iter().filter_map(|name| Name::parse(name)).collect();
    names.retain(|name| name.cluster == cluster);
    names.sort_by_key(|name| (name.shards, name.shard, name.epoch, name.bytes));
    names.dedup_by_key(|name| (name.shards, name.shard, name.epoch));
    Ok(names)
}

/// What is in the outboxes of a cluster: the first epoch, and the bytes of all; `None` where nothing is.
///
/// # Errors
/// Where the state can't be listed.
pub fn all_held(
    store: &dyn Store,
    cluster: &KafkaCluster,
) -> Result<Option<(Epoch, u64)>, JournalError> {
    let names = names(store, &cluster.id)?;
    let bytes = names.iter().map(|name| name.bytes).sum();
    let first = names.iter().map(|name| name.epoch).min();
    Ok(first.map(|first| (first, bytes)))
}

/// For each shard of a cluster the last epoch that is in its outbox.
///
/// Errors: [`TopicError::Outbox`] where epochs are held by another number of shards, or nothing would send them.
pub fn last_held(
    store: &dyn Store,
    cluster: &KafkaCluster,
    holds: bool,
) -> Result<BTreeMap<usize, Epoch>, RunError> {
    let mut last = BTreeMap::new();
    for name in names(store, &cluster.id)? {
        let failed = |problem: String, expected, hint| TopicError::Outbox {
            place: store.place(&name.object()),
            problem,
            expected,
            hint,
        };
        if name.shards != cluster.shards {
            return Err(failed(
                format!("it is held by one of {} shards", name.shards),
                "as many shards as before, until all that is held is delivered",
                "set `shards` as it was, and change it when `caudal status` tells of nothing that is held",
            )
            .into());
        }
        if !holds {
            return Err(failed(
                format!("epoch {} is held, and was not delivered", name.epoch),
                "on_failure = \"hold\", until all that is held is delivered",
                "set `on_failure` as it was, and change it when `caudal status` tells of nothing that is held",
            )
            .into());
        }
        last.insert(name.shard, name.epoch);
    }
    Ok(last)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::super::messages::Order;
    use super::*;
    use crate::job::plan::{Delivery, OnFailure};

    /// A store in memory, which does what a folder does.
    #[derive(Debug, Default)]
    pub(in super::super) struct Memory(pub(in super::super) Mutex<BTreeMap<String, Vec<u8>>>);

    impl Store for Memory {
        fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
            let mut objects = self.0.lock().unwrap();
            let is_new = !objects.contains_key(name);
            objects
                .entry(name.to_owned())
                .or_insert_with(|| bytes.to_vec());
            Ok(is_new)
        }

        fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }

        fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
            let objects = self.0.lock().unwrap();
            let below = objects
                .keys()
                .filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/'));
            Ok(below.map(ToOwned::to_owned).collect())
        }

        fn delete(&self, name: &str) -> Result<(), JournalError> {
            self.0.lock().unwrap().remove(name);
            Ok(())
        }

        fn place(&self, name: &str) -> String {
            name.to_owned()
        }
    }

    /// A cluster of so many shards.
    pub(in super::super) fn cluster(shards: usize) -> KafkaCluster {
        KafkaCluster {
            brokers: "kafka:9092".to_owned(),
            options: BTreeMap::new(),
            delivery: Delivery::ExactlyOnce,
            shards,
            id: "caudal-a-b".to_owned(),
            on_failure: OnFailure::Hold { outbox: 1 << 20 },
        }
    }

    pub(in super::super) fn sink(number: usize) -> HeldSink {
        HeldSink {
            topic: format!("topic-{number}"),
            headers: vec!["zone".to_owned()],
        }
    }

    fn messages(sink: usize, said: &[(u64, &str)]) -> Messages {
        let mut messages = Messages::new(7, 3, sink, 120);
        let file = messages.add_file("unused");
        let file = messages.add_file("a.csv").max(file);
        for (place, value) in said {
            let order = Order {
                file: 9,
                place: *place,
                row: 0,
            };
            let (key, value) = (Some(&b"k"[..]), Some(value.as_bytes()));
            messages.push(order, Some(file), key, value, b"hh", Some(2), Some(17));
        }
        messages
    }

    fn progress(epoch: Epoch, sent: Option<u64>) -> Progress {
        Progress {
            format: super::super::progress::FORMAT,
            job: String::new(),
            state: String::new(),
            generation: 1,
            shards: 4,
            epoch,
            sent,
            messages: 0,
        }
    }

    /// Topic, value, and where it comes from.
    type Said = (String, String, Option<(String, u64)>);

    fn said(held: &HeldEpoch) -> Vec<Said> {
        let all = held.whole.all();
        all.map(|message| {
            let value = String::from_utf8(message.value.unwrap().to_vec()).unwrap();
            let from = message.from.map(|(file, place)| (file.to_owned(), place));
            assert_eq!(
                (message.key, message.headers),
                (Some(&b"k"[..]), &b"hh"[..])
            );
            assert_eq!((message.partition, message.timestamp), (Some(2), Some(17)));
            (held.sinks[message.sink].topic.clone(), value, from)
        })
        .collect()
    }

    #[test]
    fn however_an_epoch_came_its_object_is_the_same() {
        let one = Whole::new(
            120,
            vec![
                messages(4, &[(3, "c"), (1, "a")]),
                messages(2, &[(2, "b"), (1, "z")]),
            ],
        );
        let other = Whole::new(
            120,
            vec![
                messages(2, &[(1, "z")]),
                messages(4, &[(1, "a")]),
                messages(2, &[(2, "b")]),
                messages(4, &[(3, "c")]),
            ],
        );
        let object = write(&one, sink);
        assert_eq!(object, write(&other, sink));
        let from = |place| Some(("a.csv".to_owned(), place));
        let wanted = [
            ("topic-2", "z", from(1)),
            ("topic-4", "a", from(1)),
            ("topic-2", "b", from(2)),
            ("topic-4", "c", from(3)),
        ];
        let wanted = wanted.map(|(topic, value, from)| (topic.to_owned(), value.to_owned(), from));
        assert_eq!(said(&read(&object).unwrap()), wanted);
        // Torn, changed, or none at all.
        for cut in [0, 7, 31, 40, object.len() - 1] {
            assert!(read(&object[..cut]).is_err(), "{cut}");
        }
        for place in (0..object.len()).step_by(5) {
            let mut broken = object.clone();
            broken[place] ^= 4;
            assert!(read(&broken).is_err(), "{place}");
        }
    }

    #[test]
    fn what_is_held_is_found_by_the_next_life_and_removed_when_progress_has_it() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let of_shard = |shard| Outbox::open(Arc::clone(&store), &cluster(4), shard).unwrap();
        let mut outbox = of_shard(1);
        let object = write(&Whole::new(120, vec![messages(2, &[(1, "z")])]), sink);
        outbox.put(120, &object).unwrap();
        outbox.put(120, &object).unwrap();
        outbox.put(131, &object).unwrap();
        assert_eq!(outbox.size(), (2, 2 * word(object.len())));
        assert!(of_shard(2).is_empty());
        let mut next = of_shard(1);
        assert_eq!((next.last(), next.size()), (Some(131), outbox.size()));
        assert_eq!(said(&next.get(120).unwrap()).len(), 1);
        let told = next.get(131).err().unwrap().to_string();
        assert!(told.contains("it holds epoch 120"), "{told}");
        next.remove(&progress(120, Some(0))).unwrap();
        assert_eq!(next.epochs().collect::<Vec<_>>(), [120, 131]);
        next.remove(&progress(120, None)).unwrap();
        assert_eq!(next.epochs().collect::<Vec<_>>(), [131]);
        let told = outbox.get(120).err().unwrap().to_string();
        assert!(told.contains("it is not there any more"), "{told}");

        assert_eq!(
            all_held(&*store, &cluster(4)).unwrap(),
            Some((131, word(object.len())))
        );
        let held = last_held(&*store, &cluster(4), true).unwrap();
        assert_eq!(held, BTreeMap::from([(1, 131)]));
        let told = last_held(&*store, &cluster(2), true)
            .unwrap_err()
            .to_string();
        assert!(told.contains("it is held by one of 4 shards"), "{told}");
        let told = last_held(&*store, &cluster(4), false)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("epoch 131 is held, and was not delivered"),
            "{told}"
        );
        next.remove(&progress(131, None)).unwrap();
        assert!(last_held(&*store, &cluster(2), false).unwrap().is_empty());
        assert_eq!(all_held(&*store, &cluster(4)).unwrap(), None);
    }
}
