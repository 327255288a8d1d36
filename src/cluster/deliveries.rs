//! What the shards of topics have delivered, and what they wait for: between the threads that send and those that decide.
//!
//! ```text
//! journal's thread ── durable up to e ──> shards of all processes          a shard sends what is bound for good
//! shards ── delivered up to e ──> committer of process 0, and the clock    a checkpoint counts what every target has
//! shards ── rows wait for binding e ──> journal's thread                   bindings of empty epochs are not hurried otherwise
//! ```
//!
//! One for each process; between processes the words go over the control connections.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::Peers;
use super::frame::Message;
use super::life::{Life, Told};
use crate::observe::Observer;
use crate::record::Epoch;

/// How long who waits sleeps before it looks whether the run is over.
const LOOK: Duration = Duration::from_millis(20);

/// A shard of a cluster that sinks write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId {
    /// Index in `plan.clusters`.
    pub cluster: usize,
    /// Which of its shards.
    pub shard: usize,
}

/// How far a shard is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Every message of the epochs up to this one is in its topic, or held in the state.
    pub upto: Epoch,
    /// The last epoch that had messages for it; 0 where none had.
    pub last: Epoch,
}

/// Messages of a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub messages: u64,
    /// What [`crate::sinks::kafka::sum`] says of each, added up, wrapping.
    pub sum: u64,
}

impl Counted {
    /// Counts others, too.
    pub fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.sum = self.sum.wrapping_add(more.sum);
    }
}

/// What a shard holds of a cluster that does not take messages, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// How many epochs.
    pub epochs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// For how long it holds.
    pub seconds: u64,
    /// What the client said last.
    pub problem: Option<String>,
    /// Whether the cluster is away; else it is given back what was held.
    pub is_away: bool,
}

/// Messages of epochs and sinks.
pub(super) type Counts = Vec<((Epoch, usize), Counted)>;

/// Takes the last epoch that is durable; false: nobody listens any more.
type Hears = Box<dyn Fn(Epoch) -> bool + Send>;

/// What the shards of a process know of the rest of the run, and it of them.
#[derive(Default)]
pub struct Deliveries {
    state: Mutex<State>,
    changed: Condvar,
    peers: OnceLock<Arc<Peers>>,
    life: OnceLock<Arc<Life>>,
    observer: OnceLock<Arc<Observer>>,
}

#[derive(Default)]
struct State {
    /// The last epoch whose binding is durable.
    durable: Epoch,
    /// Where shards of this process hear of it.
    hears: Vec<Hears>,
    /// On process 0: every shard of the job.
    delivered: BTreeMap<ShardId, Delivered>,
    /// On process 0: messages of epochs and sinks that are in no commit yet.
    counts: BTreeMap<(Epoch, usize), Counted>,
    /// The last epoch whose binding was asked for.
    wanted: Epoch,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Deliveries")
            .field("durable", &state.durable)
            .field("delivered", &state.delivered)
            .finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Lets words go to other processes.
    pub(super) fn connect(&self, peers: &Arc<Peers>) {
        drop(self.peers.set(Arc::clone(peers)));
    }

    /// Process 0: a life begins, in which these shards go on from these places.
    pub(super) fn begin(
        &self,
        life: &Arc<Life>,
        observer: &Arc<Observer>,
        shards: BTreeMap<ShardId, Delivered>,
    ) {
        drop(self.life.set(Arc::clone(life)));
        drop(self.observer.set(Arc::clone(observer)));
        self.lock().delivered = shards;
    }

    /// A shard of this process: hears of each epoch that became durable, beginning with the newest.
    pub fn listen(&self, hears: Hears) {
        let mut state = self.lock();
        if hears(state.durable) {
            state.hears.push(hears);
        }
    }

    /// The bindings up to `epoch` are durable.
    pub(super) fn durable(&self, epoch: Epoch) {
        // On other processes than 0 no shard is known, and nothing is told on; nor is it where the job writes no topics.
        let has_shards = {
            let mut state = self.lock();
            state.durable = state.durable.max(epoch);
            let epoch = state.durable;
            state.hears.retain(|hears| hears(epoch));
            !state.delivered.is_empty()
        };
        if has_shards {
            self.say(&Message::Durable { epoch });
        }
    }

    /// A shard has delivered.
    pub fn delivered(
        &self,
        shard: ShardId,
        delivered: Delivered,
        counts: Vec<((Epoch, usize), Counted)>,
    ) {
        if self.life.get().is_none() {
            self.say(&Message::Delivered {
                shard,
                delivered,
                counts,
            });
            return;
        }
        let of_cluster = {
            let mut state = self.lock();
            state.delivered.insert(shard, delivered);
            for (of, more) in counts {
                state.counts.entry(of).or_default().add(more);
            }
            let of_cluster = state.delivered.iter();
            let of_cluster = of_cluster.filter(|(id, _)| id.cluster == shard.cluster);
            of_cluster.map(|(_, shard)| shard.upto).min()
        };
        self.changed.notify_all();
        // What has no end yet is not an epoch.
        if let (Some(observer), Some(upto)) = (self.observer.get(), of_cluster)
            && upto < Epoch::MAX - 1
        {
            observer.standing().delivered(shard.cluster, upto);
        }
    }

    /// A shard holds something, or nothing any more.
    pub fn holds(&self, shard: ShardId, holds: Option<Holds>) {
        if self.life.get().is_none() {
            self.say(&Message::Holds { shard, holds });
        } else if let Some(observer) = self.observer.get() {
            observer.standing().holds(shard, holds);
        }
    }

    /// A shard has messages of an epoch whose binding is not durable yet.
    pub fn want(&self, epoch: Epoch) {
        {
            let mut state = self.lock();
            if state.wanted >= epoch {
                return;
            }
            state.wanted = epoch;
        }
        match self.life.get() {
            Some(life) => life.tell(Told::Wanted),
            None => self.say(&Message::Wanted { epoch }),
        }
    }

    /// Process 0: the last epoch that every shard has delivered; `None` where there are no shards.
    pub fn upto(&self) -> Option<Epoch> {
        let state = self.lock();
        state.delivered.values().map(|shard| shard.upto).min()
    }

    /// Process 0: waits until every shard has delivered the epochs up to `epoch`, and says how far each is. `None`: the run is over.
    pub(super) fn wait(
        &self,
        epoch: Epoch,
        is_over: impl Fn() -> bool,
    ) -> Option<BTreeMap<ShardId, Delivered>> {
        let mut state = self.lock();
        while state.delivered.values().any(|shard| shard.upto < epoch) {
            if is_over() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(state.delivered.clone())
    }

    /// Process 0: the messages of each sink in the epochs after one and up to another that were not asked for before, by epoch.
    pub(super) fn take_counts(
        &self,
        after: Epoch,
        upto: Epoch,
    ) -> BTreeMap<usize, Vec<(Epoch, Counted)>> {
        let mut state = self.lock();
        let later = state.counts.split_off(&(upto + 1, 0));
        let mut of_sinks: BTreeMap<usize, Vec<(Epoch, Counted)>> = BTreeMap::new();
        for ((epoch, sink), more) in std::mem::replace(&mut state.counts, later) {
            if epoch > after {
                of_sinks.entry(sink).or_default().push((epoch, more));
            }
        }
        of_sinks
    }

    fn say(&self, message: &Message) {
        if let Some(peers) = self.peers.get() {
            peers.say(message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
