//! Where a life of a continuous job stands, as the threads of process 0 tell, and what holds it.
//!
//! An epoch can stand still in few places, and each is told here when it begins and ends: it waits to be opened, for the answers of
//! workers, for sinks and state at a checkpoint, for the journal, for the manifest. Beside them stand what the brokers have, and
//! what holds the watermark. [`Standing::life`] makes of it what `/status` says; nothing here is read by what decides.
//!
//! Cost: a lock and a few words an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::status::{Held, Life, PartitionStatus, Target};
use crate::cluster::{Holds, ShardId};
use crate::epoch::{Holder, Moved, Partition, micros, wall_time};
use crate::record::{Epoch, shown_time};

/// From when on something that waits is told: far longer than it takes where all is well, and soon enough for who looks.
const LONG: Duration = Duration::from_secs(1);

/// From when on a process that gives no sign of life is told to be silent: it gives one a second.
const SILENT: Duration = Duration::from_secs(3);

/// All that something may wait for.
pub(super) const HELD_BY: [&str; 7] = [
    "worker",
    "sinks",
    "checkpoint",
    "journal",
    "target",
    "broker",
    "watermark",
];

/// Where the newest epoch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The one before is bound, and it is not open yet.
    Before,
    /// Readers give rows for it.
    Open,
    /// Workers are to answer for it.
    Closed,
}

/// What is done for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Topics take their messages.
    Deliver,
    /// Its checkpoint is written into the journal.
    Checkpoint,
    /// Its manifest is put and its files are shown.
    Publish,
}

/// With what a life begins.
#[derive(Debug, Clone)]
pub struct Begun<'a> {
    /// Workers of all processes.
    pub workers: usize,
    /// Workers of each.
    pub of_process: usize,
    /// The epoch of the checkpoint that it goes on from.
    pub checkpoint: Epoch,
    /// Up to which epoch it reads again what was bound; that of the checkpoint where there is nothing to.
    pub replay_to: Epoch,
    /// Up to which epoch everything is visible.
    pub committed: Option<Epoch>,
    /// The watermark of the checkpoint.
    pub watermark: Option<i64>,
    /// Where each partition stood.
    pub partitions: &'a [Moved],
    /// Name of what commits.
    pub target: String,
    /// Names of the clusters that sinks write to, and up to which epoch each has everything.
    pub clusters: Vec<(String, Epoch)>,
}

/// What is known of a life; of nothing where none has begun here.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    began: Instant,
    workers: usize,
    of_process: usize,
    stage: (Stage, Instant),
    is_replay: bool,
    unanswered: BTreeSet<usize>,
    bound: Epoch,
    replay_to: Epoch,
    watermark: (Option<i64>, Instant),
    holder: Option<Holder>,
    durable: Epoch,
    appending: Option<Instant>,
    /// Checkpoint epochs that are bound, and not complete at every worker.
    staging: BTreeMap<Epoch, Instant>,
    committing: Option<(Epoch, Step, Instant)>,
    checkpoint: Epoch,
    target: String,
    committed: Option<(Epoch, Option<Instant>)>,
    clusters: Vec<(String, Epoch, Option<Instant>)>,
    partitions: BTreeMap<Partition, Moved>,
    ends: BTreeMap<Partition, i64>,
    /// For each process when it was heard of last, and the epochs at which its readers were.
    heard: BTreeMap<usize, (Instant, Vec<Option<Epoch>>)>,
    /// Sources whose brokers do not answer: since when, and what the client says.
    away: BTreeMap<String, (Instant, String)>,
    /// What shards hold of clusters that do not take messages, and since when.
    holds: BTreeMap<ShardId, (Instant, Holds)>,
}

impl Standing {
    /// A life begins.
    pub fn begin(&self, begun: Begun<'_>) {
        let now = Instant::now();
        let partitions = begun.partitions.iter();
        let partitions = partitions.map(|moved| (moved.partition.clone(), moved.clone()));
        *self.lock() = Some(Known {
            began: now,
            workers: begun.workers,
            of_process: begun.of_process,
            stage: (Stage::Before, now),
            is_replay: false,
            unanswered: BTreeSet::new(),
            bound: begun.checkpoint,
            replay_to: begun.replay_to,
            watermark: (begun.watermark, now),
            holder: None,
            durable: begun.replay_to,
            appending: None,
            staging: BTreeMap::new(),
            committing: None,
            checkpoint: begun.checkpoint,
            target: begun.target,
            committed: begun.committed.map(|epoch| (epoch, None)),
            clusters: (begun.clusters.into_iter())
                .map(|(name, epoch)| (name, epoch, None))
                .collect(),
            partitions: partitions.collect(),
            ends: BTreeMap::new(),
            heard: BTreeMap::new(),
            away: BTreeMap::new(),
            holds: BTreeMap::new(),
        });
    }

    /// The next epoch is opened: for rows, or to be read again.
    pub fn opened(&self, is_replay: bool) {
        self.tell(|known| {
            known.is_replay = is_replay;
            known.unanswered = (0..known.workers).collect();
            let stage = if is_replay {
                Stage::Closed
            } else {
                Stage::Open
            };
            known.stage = (stage, Instant::now());
        });
    }

    /// The epoch is closed: workers are to answer.
    pub fn closed(&self) {
        self.tell(|known| known.stage = (Stage::Closed, Instant::now()));
    }

    /// A worker has answered for the epoch.
    pub fn answered(&self, worker: usize) {
        self.tell(|known| {
            known.unanswered.remove(&worker);
        });
    }

    /// An epoch is bound, with what it moved; `holder` is what the watermark waits for.
    pub fn bound(
        &self,
        (epoch, watermark): (Epoch, Option<i64>),
        moved: &[Moved],
        holder: Option<Holder>,
    ) {
        self.tell(|known| {
            let now = Instant::now();
            known.bound = epoch;
            known.stage = (Stage::Before, now);
            if known.watermark.0 != watermark {
                known.watermark = (watermark, now);
            }
            known.holder = holder;
            for moved in moved {
                let partition = moved.partition.clone();
                known.partitions.insert(partition, moved.clone());
            }
        });
    }

    /// An epoch whose end is a checkpoint is bound.
    pub fn checkpoint(&self, epoch: Epoch) {
        self.tell(|known| {
            known.staging.insert(epoch, Instant::now());
        });
    }

    /// Every worker has staged all of a checkpoint.
    pub fn staged(&self, epoch: Epoch) {
        self.tell(|known| {
            known.staging.remove(&epoch);
        });
    }

    /// Bindings are written into the journal.
    pub fn appending(&self) {
        self.tell(|known| known.appending = Some(Instant::now()));
    }

    /// The bindings up to this epoch are durable.
    pub fn durable(&self, epoch: Epoch) {
        self.tell(|known| {
            known.appending = None;
            known.durable = epoch;
        });
    }

    /// A commit is made.
    pub fn committing(&self, epoch: Epoch, step: Step) {
        self.tell(|known| {
            if step == Step::Publish {
                known.checkpoint = epoch;
            }
            known.committing = Some((epoch, step, Instant::now()));
        });
    }

    /// Everything up to this epoch is visible.
    pub fn committed(&self, epoch: Epoch) {
        self.tell(|known| {
            known.committing = None;
            known.committed = Some((epoch, Some(Instant::now())));
        });
    }

    /// A shard of a cluster holds something, or nothing any more.
    pub fn holds(&self, shard: ShardId, holds: Option<Holds>) {
        self.tell(|known| match holds {
            Some(holds) => {
                let now = Instant::now();
                let since = now.checked_sub(Duration::from_secs(holds.seconds));
                known.holds.insert(shard, (since.unwrap_or(now), holds));
            }
            None => drop(known.holds.remove(&shard)),
        });
    }

    /// All topics of a cluster have everything up to this epoch, or it is held.
    pub fn delivered(&self, cluster: usize, epoch: Epoch) {
        self.tell(|known| {
            if known.holds.keys().any(|shard| shard.cluster == cluster) {
                return;
            }
            if let Some((_, upto, since)) = known.clusters.get_mut(cluster)
                && epoch > *upto
            {
                (*upto, *since) = (epoch, Some(Instant::now()));
            }
        });
    }

    /// The brokers of a source answer: the offset after the last message of each partition.
    pub fn ends(&self, source: &str, ends: Vec<(Partition, i64)>) {
        self.tell(|known| {
            known.away.remove(source);
            known.ends.extend(ends);
        });
    }

    /// The brokers of a source do not answer.
    pub fn away(&self, source: &str, words: String) {
        self.tell(|known| {
            let since = known.away.get(source).map(|(since, _)| *since);
            let since = since.unwrap_or_else(Instant::now);
            known.away.insert(source.to_owned(), (since, words));
        });
    }

    /// A process has given a sign of life, with the epoch that each of its readers may still give rows for.
    pub fn heard(&self, process: usize, readers: Vec<Option<Epoch>>) {
        self.tell(|known| {
            known.heard.insert(process, (Instant::now(), readers));
        });
    }

    /// Where the life stands; `None` where none has begun in this process.
    /// `own` are the epochs at which the readers of this process are.
    pub(super) fn life(&self, own: Vec<Option<Epoch>>) -> Option<Life> {
        self.heard(0, own);
        let known = self.lock();
        known
            .as_ref()
            .map(|known| known.life(Instant::now(), wall_time()))
    }

    fn tell(&self, what: impl FnOnce(&mut Known)) {
        if let Some(known) = &mut *self.lock() {
            what(known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn life(&self, at: Instant, wall: i64) -> Life {
        let partitions = self.partitions.values().map(|moved| {
            let end = self.ends.get(&moved.partition).copied();
            PartitionStatus::of(moved, end, wall)
        });
        Life {
            seconds: at.duration_since(self.began).as_secs_f64(),
            replays_to: (self.bound < self.replay_to).then_some(self.replay_to),
            bound: self.bound,
            durable: self.durable,
            checkpoint: self.checkpoint,
            watermark: self.watermark.0,
            watermark_held_by: self.holder.as_ref().map(|holder| holder.partition.clone()),
            targets: self.targets(at),
            partitions: partitions.collect(),
            held: self.held(at, wall),
        }
    }

    /// The workers, by process, that the epoch waits for. No worker answers before all readers have closed it, so those count whose
    /// reader has not, as far as that is known, and all where all have.
    fn late(&self) -> Vec<(usize, usize)> {
        let next = self.bound + 1;
        let unanswered = self.unanswered.iter();
        let unanswered: Vec<(usize, usize)> = unanswered
            .map(|worker| (worker / self.of_process, worker % self.of_process))
            .collect();
        let is_reading = |(process, worker): &&(usize, usize)| {
            let heard = self.heard.get(process);
            let at = heard.and_then(|(_, readers)| readers.get(*worker).copied().flatten());
            at.is_some_and(|at| at <= next)
        };
        let reading: Vec<_> = unanswered.iter().filter(is_reading).copied().collect();
        if reading.is_empty() {
            unanswered
        } else {
            reading
        }
    }

    /// What commits: the output root, and the clusters of topics.
    fn targets(&self, at: Instant) -> Vec<Target> {
        let ago =
            |since: Option<Instant>| since.map(|since| at.duration_since(since).as_secs_f64());
        let root = Target {
            name: self.target.clone(),
            committed: self.committed.map(|(epoch, _)| epoch),
            seconds_ago: ago(self.committed.and_then(|(_, since)| since)),
        };
        let clusters = self.clusters.iter().map(|(name, epoch, since)| Target {
            name: name.clone(),
            committed: Some(*epoch),
            seconds_ago: ago(*since),
        });
        std::iter::once(root).chain(clusters).collect()
    }

    /// What has waited for long, the longest first.
    fn held(&self, at: Instant, wall: i64) -> Vec<Held> {
        let mut held = Vec::new();
        let mut tell = |by: &str, epoch: Option<Epoch>, since: Instant, what: String| {
            let waited = at.duration_since(since);
            if waited >= LONG {
                let since = shown_time(wall.saturating_sub(micros(waited)));
                held.push(Held {
                    by: by.to_owned(),
                    epoch,
                    seconds: waited.as_secs_f64(),
                    words: format!("{what}, since {since}"),
                    since,
                });
            }
        };
        let next = self.bound + 1;
        match self.stage {
            (Stage::Before, since) => tell(
                "sinks",
                Some(next),
                since,
                format!("epoch {next} is not opened before earlier ones have passed all sinks"),
            ),
            (Stage::Closed, since) => {
                let again = if self.is_replay {
                    ", which is read again"
                } else {
                    ""
                };
                for (process, worker) in self.late() {
                    let silent = (self.heard.get(&process))
                        .map(|(heard, _)| at.duration_since(*heard))
                        .filter(|silent| *silent >= SILENT);
                    let silent = silent.map_or_else(String::new, |silent| {
                        format!(", and its process is silent for {} s", silent.as_secs())
                    });
                    let words = format!(
                        "worker {worker} of process {process} has not answered epoch {next}{again}{silent}"
                    );
                    tell("worker", Some(next), since, words);
                }
            }
            (Stage::Open, _) => {}
        }
        if let Some(since) = self.appending {
            let epoch = self.durable + 1;
            let words = format!("binding {epoch} and those after it wait for the journal");
            tell("journal", Some(epoch), since, words);
        }
        for (epoch, since) in &self.staging {
            let words = format!("checkpoint {epoch} waits for files and state of all workers");
            tell("checkpoint", Some(*epoch), *since, words);
        }
        if let Some((epoch, step, since)) = self.committing {
            let (by, words) = match step {
                Step::Deliver => ("target", "waits for topics to take their messages"),
                Step::Checkpoint => ("journal", "waits for the journal"),
                Step::Publish => ("target", "waits for its files to be published"),
            };
            tell(
                by,
                Some(epoch),
                since,
                format!("the commit of epoch {epoch} {words}"),
            );
        }
        for (number, (name, _, _)) in self.clusters.iter().enumerate() {
            let shards = (self.holds.iter()).filter(|(shard, _)| shard.cluster == number);
            let shards: Vec<&(Instant, Holds)> = shards.map(|(_, holds)| holds).collect();
            let Some(since) = shards.iter().map(|(since, _)| *since).min() else {
                continue;
            };
            let bytes: u64 = shards.iter().map(|(_, holds)| holds.bytes).sum();
            let problem = shards
                .iter()
                .find_map(|(_, holds)| holds.problem.as_deref());
            let words = if shards.iter().any(|(_, holds)| holds.is_away) {
                let problem = problem.map_or_else(String::new, |words| format!(" ({words})"));
                format!(
                    "{name} does not take messages{problem}: {bytes} bytes of {} shards are held",
                    shards.len()
                )
            } else {
                format!("{name} takes what was held: {bytes} bytes are left")
            };
            tell("target", None, since, words);
        }
        for (source, (since, words)) in &self.away {
            let words = format!("the brokers of sources.{source} do not answer ({words})");
            tell("broker", None, *since, words);
        }
        if let Some(holder) = self.holder.as_ref().filter(|holder| holder.is_behind) {
            let Partition {
                topic, partition, ..
            } = &holder.partition;
            let words = if holder.mark.is_none() {
                format!("partition {topic}/{partition} has given no event: the watermark waits")
            } else {
                format!("partition {topic}/{partition} is behind others: the watermark waits")
            };
            tell("watermark", None, self.watermark.1, words);
        }
        debug_assert!(held.iter().all(|held| HELD_BY.contains(&held.by.as_str())));
        held.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        held
    }
}

/// Microseconds as seconds.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "ages for people"
)]
pub(super) fn seconds_of(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition {
            source: "sales".to_owned(),
            topic: "ventas".to_owned(),
            partition: number,
        }
    }

    fn begun() -> Standing {
        let standing = Standing::default();
        assert_eq!(standing.life(Vec::new()), None);
        standing.begin(Begun {
            workers: 4,
            of_process: 2,
            checkpoint: 7,
            replay_to: 9,
            committed: Some(7),
            watermark: None,
            partitions: &[moved(0, 0, None)],
            target: "out".to_owned(),
            clusters: Vec::new(),
        });
        standing
    }

    fn moved(number: i32, to: i64, newest: Option<i64>) -> Moved {
        Moved {
            partition: partition(number),
            from: 0,
            to,
            file: None,
            newest,
            caught_up: false,
        }
    }

    /// What is told when nothing has come for so many seconds.
    fn held_after(standing: &Standing, seconds: u64) -> Vec<(String, Option<Epoch>, String)> {
        let at = Instant::now() + Duration::from_secs(seconds);
        // 1970-01-01T00:01:40Z
        let life = standing.lock().as_ref().unwrap().life(at, 100_000_000);
        let held = life.held.into_iter();
        held.map(|held| {
            let (words, since) = held.words.rsplit_once(", since ").unwrap();
            assert!(since.starts_with("1970-01-01T00:01:"), "{since}");
            (held.by, held.epoch, words.to_owned())
        })
        .collect()
    }

    #[test]
    fn each_place_where_an_epoch_can_wait_is_told() {
        let standing = begun();
        let told = |by: &str, epoch: Option<Epoch>, words: &str| {
            assert_eq!(held_after(&standing, 0), [], "nothing is told at once");
            let wanted = [(by.to_owned(), epoch, words.to_owned())];
            assert_eq!(held_after(&standing, 14), wanted);
        };
        let opens = "epoch 8 is not opened before earlier ones have passed all sinks";
        told("sinks", Some(8), opens);
        standing.opened(true);
        for worker in [0, 1, 3] {
            standing.answered(worker);
        }
        let answer = "worker 0 of process 1 has not answered epoch 8, which is read again";
        told("worker", Some(8), answer);
        // Nobody answers before all readers have closed the epoch: the one that has not is told.
        standing.answered(2);
        standing.opened(true);
        standing.heard(0, vec![Some(9), Some(9)]);
        standing.heard(1, vec![Some(9), Some(8)]);
        let reads = "worker 1 of process 1 has not answered epoch 8, which is read again";
        told(
            "worker",
            Some(8),
            &format!("{reads}, and its process is silent for 14 s"),
        );
        for worker in 0..4 {
            standing.answered(worker);
        }
        standing.bound((8, None), &[], None);
        standing.opened(false);
        assert_eq!(held_after(&standing, 14), [], "an open epoch takes rows");
        standing.checkpoint(8);
        let stages = "checkpoint 8 waits for files and state of all workers";
        told("checkpoint", Some(8), stages);
        standing.staged(8);
        standing.appending();
        let journal = "binding 10 and those after it wait for the journal";
        told("journal", Some(10), journal);
        standing.durable(10);
        standing.committing(8, Step::Checkpoint);
        let commits = "the commit of epoch 8 waits for the journal";
        told("journal", Some(8), commits);
        standing.committing(8, Step::Publish);
        let commits = "the commit of epoch 8 waits for its files to be published";
        told("target", Some(8), commits);
        standing.committed(8);
        standing.away("sales", "connection refused".to_owned());
        let broker = "the brokers of sources.sales do not answer (connection refused)";
        told("broker", None, broker);
        standing.ends("sales", vec![(partition(0), 5)]);
        assert_eq!(held_after(&standing, 14), []);
    }

    #[test]
    fn what_holds_the_watermark_is_told_where_others_are_ahead() {
        let standing = begun();
        let holds = |mark, is_behind| {
            standing.opened(false);
            let holder = Holder {
                partition: partition(3),
                mark,
                is_behind,
            };
            standing.bound((9, None), &[], Some(holder));
            standing.opened(false);
            let held = held_after(&standing, 5).into_iter();
            held.map(|(_, _, words)| words).collect::<Vec<_>>()
        };
        let none = "partition ventas/3 has given no event: the watermark waits";
        assert_eq!(holds(None, true), [none]);
        let behind = "partition ventas/3 is behind others: the watermark waits";
        assert_eq!(holds(Some(4), true), [behind]);
        assert!(holds(Some(4), false).is_empty());
    }

    #[test]
    fn lag_and_age_are_of_what_is_bound() {
        let standing = begun();
        let both = [moved(0, 40, Some(90_000_000)), moved(1, 3, None)];
        standing.bound((9, Some(80)), &both, None);
        standing.ends("sales", vec![(partition(0), 52), (partition(1), 2)]);
        let life = (standing.lock().as_ref().unwrap()).life(Instant::now(), 100_000_000);
        let lags: Vec<_> = life.partitions.iter().map(|one| one.lag).collect();
        assert_eq!(lags, [Some(12), Some(0)]);
        assert_eq!(life.partitions[0].age_seconds, Some(10.0));
        assert_eq!(life.partitions[1].age_seconds, None);
        assert_eq!((life.bound, life.watermark), (9, Some(80)));
        assert_eq!(
            life.replays_to, None,
            "epoch 9 was the last to be read again"
        );
        assert_eq!(life.targets[0].committed, Some(7));
    }

    #[test]
    fn what_is_held_of_a_cluster_is_told_once_for_all_its_shards() {
        let standing = begun();
        standing.tell(|known| {
            known.clusters = vec![("ventas at kafka:9092".to_owned(), 7, None)];
        });
        let shard = |shard| ShardId { cluster: 0, shard };
        let holds = |bytes, problem: Option<&str>, is_away| {
            Some(Holds {
                epochs: 1,
                bytes,
                seconds: 0,
                problem: problem.map(ToOwned::to_owned),
                is_away,
            })
        };
        let told = |words: &str| {
            let wanted = [("target".to_owned(), None, words.to_owned())];
            assert_eq!(held_after(&standing, 14), wanted);
        };
        standing.opened(false);
        standing.holds(shard(0), holds(70, None, false));
        standing.holds(shard(2), holds(30, Some("timed out"), true));
        told(
            "ventas at kafka:9092 does not take messages (timed out): 100 bytes of 2 shards are held",
        );
        standing.delivered(0, 9);
        let epoch = || standing.lock().as_ref().unwrap().clusters[0].1;
        assert_eq!(epoch(), 7, "what is held is not there");
        standing.holds(shard(2), None);
        told("ventas at kafka:9092 takes what was held: 70 bytes are left");
        standing.holds(shard(0), None);
        assert_eq!(held_after(&standing, 14), []);
        standing.delivered(0, 9);
        assert_eq!(epoch(), 9);
    }
}
