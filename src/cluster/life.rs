//! One life of a continuous job: from where it goes on, and what its threads hand to each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::renewed;
use crate::epoch::{
    Binding, Ends, FilePlace, Found, Lag, Moved, Partition, ReferenceRows, StateFile,
};
use crate::lookup::{Change, Offer};
use crate::record::{Epoch, Note};

/// From where a life goes on; decided by process 0 when it has claimed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume {
    /// The last epoch that is in the checkpoint; 0 where there is none.
    pub epoch: Epoch,
    /// Wall time bound with it, in microseconds since 1970.
    pub now: i64,
    /// Watermark bound with it.
    pub watermark: Option<i64>,
    /// Partitions that were known then, and where they stood.
    pub partitions: Vec<Moved>,
    /// The rows of look-ups then.
    pub references: Vec<ReferenceRows>,
    /// Look-ups that changed in that epoch.
    pub changed: Vec<String>,
    /// Rows that were parked before it.
    pub parked: u64,
    /// What was behind then.
    pub lag: Option<Lag>,
    /// Bindings after it, which are read again.
    pub replay: Vec<Binding>,
}

/// What a checkpoint holds of the coordinator.
#[derive(Debug)]
pub struct Kept {
    /// The binding of its epoch.
    pub binding: Binding,
    /// Every partition, as it was then.
    pub partitions: Vec<Moved>,
    /// The rows of look-ups, as they were then.
    pub references: Vec<ReferenceRows>,
}

/// For each epoch that is read again the changes of look-ups that it read.
pub(super) type Replayed = BTreeMap<Epoch, Vec<(usize, Change)>>;

/// Where followed files stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stands {
    /// How many epochs were read and answered for in this life, those that were read again not counted.
    pub answered: u64,
    /// The files that have moved, or are read to their end now.
    pub moved: Vec<Moved>,
}

/// What was found of partitions before a life began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looked {
    /// New ones, and where they begin.
    pub found: Vec<Found>,
    /// Followed files that are elsewhere than they were.
    pub places: BTreeMap<Partition, FilePlace>,
}

/// What a thread of the coordinator's process is told.
#[derive(Debug)]
pub enum Told {
    /// An epoch was bound: to be made durable, behind the objects that it names.
    Bound(Binding, Vec<(StateFile, Vec<u8>)>),
    /// Every worker has staged all of the epochs up to this one, and told these notes.
    Staged {
        /// The checkpoint epoch.
        epoch: Epoch,
        /// What all workers told since the checkpoint before.
        notes: Vec<Note>,
    },
    /// Messages wait for bindings that nothing else hurries.
    Wanted,
    /// What something is by its own word: its name and that.
    Identity(String, String),
    /// No more comes.
    End,
}

/// One life of the cluster, as process 0 sees it.
#[derive(Debug)]
pub struct Life {
    /// Its number.
    pub generation: u64,
    /// From where it goes on.
    pub resume: Resume,
    /// Partitions that were found, and where they begin; not yet in an epoch.
    found: Mutex<Vec<Found>>,
    stop: AtomicBool,
    told: Mutex<Sender<Told>>,
    /// What each checkpoint that is not committed holds.
    checkpoints: Mutex<BTreeMap<Epoch, Kept>>,
    /// How many checkpoints are bound and not committed.
    uncommitted: AtomicUsize,
    /// Whether a checkpoint of this life is complete.
    is_settled: AtomicBool,
    /// Changes of look-ups that are in no epoch yet.
    offers: Mutex<Vec<Offer>>,
    replayed: Mutex<Replayed>,
    /// Followed files that were elsewhere than they had been when it began.
    places: BTreeMap<Partition, FilePlace>,
    /// Where followed files stand.
    stands: Mutex<Stands>,
    /// Followed files that are elsewhere than they were; not yet in an epoch.
    renamed: Mutex<Vec<(Partition, FilePlace)>>,
    /// What sources and targets are by their own word.
    identities: Mutex<BTreeMap<String, String>>,
    /// What brokers of each source said of its ends.
    asked: Mutex<BTreeMap<String, Asked>>,
    /// Wall times bound with the checkpoints that are not committed, the oldest first.
    waiting: Mutex<VecDeque<i64>>,
}

/// What brokers said of the ends of a source.
#[derive(Debug, Default)]
struct Asked {
    is_away: bool,
    answer: Option<(Instant, Vec<(Partition, i64)>)>,
}

impl Life {
    /// A life that goes on from `resume` and tells `told` what it decides.
    pub fn new(
        generation: u64,
        resume: Resume,
        found: Looked,
        replayed: Replayed,
        identities: BTreeMap<String, String>,
        told: Sender<Told>,
    ) -> Self {
        Self {
            identities: Mutex::new(identities),
            generation,
            resume,
            found: Mutex::new(found.found),
            stop: AtomicBool::new(false),
            told: Mutex::new(told),
            checkpoints: Mutex::default(),
            uncommitted: AtomicUsize::new(0),
            is_settled: AtomicBool::new(false),
            offers: Mutex::default(),
            replayed: Mutex::new(replayed),
            places: found.places,
            stands: Mutex::default(),
            renamed: Mutex::default(),
            asked: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Says what a topic of `owner` is by its own word, which is written down where it is news. Gives what it was where that is another.
    pub fn identify(&self, owner: &str, topic: &str, found: &str) -> Option<String> {
        let name = renewed::id_of(owner, topic);
        let mut identities = lock(&self.identities);
        if let Some(known) = identities.get(&name) {
            return (known != found).then(|| known.clone());
        }
        identities.insert(name.clone(), found.to_owned());
        self.tell(Told::Identity(name, found.to_owned()));
        None
    }

    /// The topic of a look-up is another one now.
    pub fn renew(&self, owner: &str, topic: &str, found: &str) {
        let name = renewed::id_of(owner, topic);
        lock(&self.identities).insert(name.clone(), found.to_owned());
        self.tell(Told::Identity(name, found.to_owned()));
    }

    /// Asks for the end: the open epoch is closed, and one more commits everything.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Remembers what a checkpoint holds of the coordinator until it is committed.
    pub fn keep_checkpoint(&self, kept: Kept) {
        self.uncommitted.fetch_add(1, Ordering::AcqRel);
        lock(&self.waiting).push_back(kept.binding.now);
        lock(&self.checkpoints).insert(kept.binding.epoch, kept);
    }

    /// A checkpoint is committed.
    pub(super) fn committed(&self) {
        self.uncommitted.fetch_sub(1, Ordering::AcqRel);
        lock(&self.waiting).pop_front();
    }

    /// The wall time bound with the oldest checkpoint that is not committed.
    pub fn uncommitted_since(&self) -> Option<i64> {
        lock(&self.waiting).front().copied()
    }

    /// Brokers of a source said where its partitions ended when they were `asked`, or did not answer.
    pub(super) fn heard(&self, source: &str, asked: Instant, ends: Option<Vec<(Partition, i64)>>) {
        let mut all = lock(&self.asked);
        let of_source = all.entry(source.to_owned()).or_default();
        of_source.is_away = ends.is_none();
        if let Some(ends) = ends {
            of_source.answer = Some((asked, ends));
        }
    }

    /// What brokers said of the ends of each source, with times as `wall` reads them.
    pub fn ends(&self, wall: impl Fn(Instant) -> i64) -> BTreeMap<String, Ends> {
        let all = lock(&self.asked);
        let each = all.iter().map(|(source, asked)| {
            let answer = asked.answer.as_ref();
            let ends = Ends {
                is_away: asked.is_away,
                answer: answer.map(|(asked, ends)| (wall(*asked), ends.clone())),
            };
            (source.clone(), ends)
        });
        each.collect()
    }

    /// How many checkpoints are bound and not committed.
    pub fn uncommitted(&self) -> usize {
        self.uncommitted.load(Ordering::Acquire)
    }

    /// What a checkpoint holds of the coordinator; taken once.
    pub fn take_checkpoint(&self, epoch: Epoch) -> Option<Kept> {
        self.is_settled.store(true, Ordering::Release);
        lock(&self.checkpoints).remove(&epoch)
    }

    /// Whether a checkpoint of this life is complete: rows flow, and what can wait need not any more.
    pub fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// Offers a change of a look-up to the next epoch.
    pub fn offer(&self, offer: Offer) {
        lock(&self.offers).push(offer);
    }

    /// Whether a change of this look-up is in no epoch yet.
    pub fn has_offer(&self, lookup: usize) -> bool {
        let offers = lock(&self.offers);
        offers.iter().any(|offer| offer.lookup == lookup)
    }

    /// The changes of look-ups that are in no epoch yet.
    pub fn take_offers(&self) -> Vec<Offer> {
        std::mem::take(&mut lock(&self.offers))
    }

    /// The changes of look-ups that an epoch read when it was read first; taken once.
    pub fn take_replayed(&self, epoch: Epoch) -> Vec<(usize, Change)> {
        lock(&self.replayed).remove(&epoch).unwrap_or_default()
    }

    /// Whether the end was asked for.
    pub fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Partitions that were found, for the next epoch.
    pub fn add_found(&self, found: Vec<Found>) {
        lock(&self.found).extend(found);
    }

    /// The partitions that were found since.
    pub fn take_found(&self) -> Vec<Found> {
        std::mem::take(&mut lock(&self.found))
    }

    /// Says where followed files stand that have moved in an epoch; whether it was read for the first time.
    pub fn stand(&self, is_new: bool, moved: Vec<Moved>) {
        let mut stands = lock(&self.stands);
        stands.answered += u64::from(is_new);
        stands.moved.extend(moved);
    }

    /// Where followed files stand that have moved since it was asked.
    pub fn take_stands(&self) -> Stands {
        let mut stands = lock(&self.stands);
        Stands {
            answered: stands.answered,
            moved: std::mem::take(&mut stands.moved),
        }
    }

    /// Says where followed files are that are elsewhere than they were.
    pub fn add_renamed(&self, renamed: Vec<(Partition, FilePlace)>) {
        lock(&self.renamed).extend(renamed);
    }

    /// The followed files that are elsewhere than they were, for the next epoch.
    pub fn take_renamed(&self) -> Vec<(Partition, FilePlace)> {
        std::mem::take(&mut lock(&self.renamed))
    }

    /// Where a followed file was when this life began, where that is not where it had been.
    pub fn place_of(&self, partition: &Partition) -> Option<FilePlace> {
        self.places.get(partition).cloned()
    }

    /// Hands a binding, and the objects it names, to the journal's thread.
    pub fn bound(&self, binding: Binding, objects: Vec<(StateFile, Vec<u8>)>) {
        self.tell(Told::Bound(binding, objects));
    }

    /// Hands to the threads behind the dataflow; when they have ended the run is over anyway.
    pub fn tell(&self, told: Told) {
        drop(lock(&self.told).send(told));
    }
}

/// A lock whose holder panicked is taken all the same: the panic ends the process.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
