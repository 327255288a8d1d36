//! Where a run stands, as one document: what `/status` gives and `caudal status` prints.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::observer::{OfWorker, float};
use super::standing::seconds_of;
use crate::epoch::{Moved, Partition};
use crate::record::Epoch;

/// Version of the document. Fields may be added under the same number.
pub const FORMAT: u32 = 1;

/// Where the part of a run in one process stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the document.
    pub format: u32,
    /// Name of the job.
    pub job: String,
    /// Version of the program.
    pub version: String,
    /// Index of the process.
    pub process: usize,
    /// Its number in the operating system.
    pub pid: u32,
    /// Life of the cluster.
    pub generation: i64,
    /// `loading`, `running` or `publishing`.
    pub phase: String,
    /// Seconds since the run was started.
    pub seconds: f64,
    /// Rows of all sources.
    pub rows: Rows,
    /// Rows in for each second since the start.
    pub rows_per_second: f64,
    /// Bytes read, of all input (0: not known), in flight, and how many of these there may be.
    pub bytes: Bytes,
    /// Epochs.
    pub epochs: Epochs,
    /// Each source.
    pub sources: Vec<Source>,
    /// Each look-up.
    pub lookups: Vec<Lookup>,
    /// Each sink.
    pub sinks: Vec<Sink>,
    /// Each worker of this process.
    pub workers: Vec<Worker>,
    /// Seconds inside each operator, of all workers of this process.
    pub operators: BTreeMap<String, f64>,
    /// What the next epoch to pass waits for; none where all have passed.
    pub holds: Option<Holds>,
    /// Where the life of a continuous job stands; on process 0 only.
    #[serde(default)]
    pub life: Option<Life>,
}

/// Rows, as in a run's summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Read.
    #[serde(rename = "in")]
    pub rows_in: u64,
    /// Without a fault.
    pub clean: u64,
    /// Refused.
    pub refused: u64,
    /// Dropped.
    pub dropped: u64,
}

/// Bytes of input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Read.
    pub read: u64,
    /// All input files as they lie on disk; 0 where not known.
    pub input: u64,
    /// Between readers and sinks.
    pub in_flight: u64,
    /// At which readers rest.
    pub in_flight_limit: u64,
}

/// Epochs of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epochs {
    /// Opened.
    pub opened: Epoch,
    /// Before this one everything is complete at every sink.
    pub upper: Epoch,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Bytes read.
    pub bytes: u64,
    /// Its rows.
    pub rows: Rows,
}

/// A look-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Its name.
    pub name: String,
    /// Whether each worker has a share of its rows, or all of them.
    pub partitioned: bool,
    /// Rows of its reference collection in this process; 0 until rows have met it.
    pub rows: i64,
    /// Those that each worker of this process has.
    pub rows_of_workers: Vec<i64>,
    /// Rows that met it.
    pub probed: u64,
    /// Those that found nothing.
    pub missed: u64,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Rows that came to it.
    pub rows: u64,
    /// Bytes of whole files that are staged.
    pub staged_bytes: u64,
    /// Before this epoch everything has come to it, on every worker here.
    pub upper: Epoch,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its index among all workers.
    pub worker: usize,
    /// Seconds inside operators.
    pub busy_seconds: f64,
    /// Rows it received as the owner of their key.
    pub exchanged_rows: u64,
    /// These against the mean of this process; none while there are none.
    pub skew: Option<f64>,
    /// The epoch its reader may still give rows for; none where it has ended.
    pub reader: Option<Epoch>,
    /// The epoch its split may still get rows of; none where its input has ended.
    pub split: Option<Epoch>,
}

/// What the next epoch to pass waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The epoch.
    pub epoch: Epoch,
    /// The operator, or the first and the last of a stretch of them.
    pub at: String,
    /// The worker.
    pub worker: usize,
}

/// Where the life of a continuous job stands. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// Seconds since it began.
    pub seconds: f64,
    /// Up to which epoch it reads again what was bound before; none where it is live.
    pub replays_to: Option<Epoch>,
    /// The newest epoch that is bound.
    pub bound: Epoch,
    /// The newest epoch whose binding is durable.
    pub durable: Epoch,
    /// The newest epoch at which all state is written.
    pub checkpoint: Epoch,
    /// Event time before which nothing more is expected.
    pub watermark: Option<i64>,
    /// The partition that keeps it there; none where all are idle.
    pub watermark_held_by: Option<Partition>,
    /// What commits as one.
    pub targets: Vec<Target>,
    /// Where each partition is read.
    pub partitions: Vec<PartitionStatus>,
    /// What has waited for more than a second, the longest first.
    pub held: Vec<Held>,
}

/// What commits as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// An output root.
    pub name: String,
    /// The epoch up to which everything is visible; none before the first commit.
    pub committed: Option<Epoch>,
    /// Seconds since its newest commit; none where this life has made none.
    pub seconds_ago: Option<f64>,
}

/// Where a partition is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Which.
    pub partition: Partition,
    /// The offset after the last message that is bound to an epoch.
    pub bound: i64,
    /// The offset after the last message that the broker has committed; none where it has not said.
    pub end: Option<i64>,
    /// Offsets between the two; those of transactions' marks count.
    pub lag: Option<i64>,
    /// Largest event time that is bound.
    pub newest: Option<i64>,
    /// Its age by the wall clock.
    pub age_seconds: Option<f64>,
}

impl PartitionStatus {
    /// Where a partition is at a time of the wall clock, where its broker says that it ends there.
    pub fn of(moved: &Moved, end: Option<i64>, now: i64) -> Self {
        Self {
            partition: moved.partition.clone(),
            bound: moved.to,
            end,
            lag: end.map(|end| (end - moved.to).max(0)),
            newest: moved.newest,
            age_seconds: moved.newest.map(|newest| seconds_of(now - newest)),
        }
    }
}

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// For what: `worker`, `sinks`, `checkpoint`, `journal`, `target`, `broker` or `watermark`.
    pub by: String,
    /// Which epoch waits.
    pub epoch: Option<Epoch>,
    /// For how long.
    pub seconds: f64,
    /// Since when, of the wall clock.
    pub since: String,
    /// All of it in words.
    pub words: String,
}

impl Status {
    /// Where the run that `observer` watches stands now.
    pub fn of(observer: &Observer) -> Self {
        let opened = observer.opened();
        let upper = observer.upper();
        let sources: Vec<Source> = sources(observer);
        let mut rows = Rows::default();
        for source in &sources {
            rows.rows_in += source.rows.rows_in;
            rows.clean += source.rows.clean;
            rows.refused += source.rows.refused;
            rows.dropped += source.rows.dropped;
        }
        let seconds = observer.seconds();
        let mut operators: BTreeMap<String, f64> = BTreeMap::new();
        for worker in &observer.workers {
            for (operator, seconds) in busy(worker) {
                *operators.entry(operator).or_default() += seconds;
            }
        }
        Self {
            format: FORMAT,
            job: observer.plan.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: observer.process,
            pid: std::process::id(),
            generation: observer.metrics.generation.get(),
            phase: observer.progress.phase().word().to_owned(),
            seconds,
            rows_per_second: float(rows.rows_in) / seconds.max(f64::MIN_POSITIVE),
            rows,
            bytes: Bytes {
                read: sources.iter().map(|source| source.bytes).sum(),
                input: observer.progress.bytes().1,
                in_flight: observer.budget.get().map_or(0, |budget| budget.used()),
                in_flight_limit: observer.plan.in_flight_bytes,
            },
            epochs: Epochs { opened, upper },
            sources,
            lookups: lookups(observer),
            sinks: sinks(observer, opened),
            workers: observer
                .workers
                .iter()
                .map(|worker| Worker {
                    worker: worker.index,
                    busy_seconds: busy(worker)
                        .values()
                        .fold(0.0, |all, seconds| all + seconds),
                    exchanged_rows: worker.exchanged_rows.get(),
                    skew: observer.skew(worker),
                    reader: worker.reader.get(),
                    split: worker.split.get(),
                })
                .collect(),
            operators,
            holds: holds(observer, opened, upper),
            life: observer.life(),
        }
    }
}

fn sources(observer: &Observer) -> Vec<Source> {
    let metrics = &observer.metrics;
    let of = |metric: &prometheus::IntCounterVec, source: &str| -> u64 {
        let families = metric.collect();
        let series = families.iter().flat_map(MetricFamily::get_metric);
        series
            .filter(|series| {
                let mut labels = series.get_label().iter();
                labels.any(|label| label.name() == "source" && label.value() == source)
            })
            .map(|series| whole(series.get_counter().get_value()))
            .sum()
    };
    let sources = observer.plan.sources.iter().zip(&observer.sources);
    sources
        .map(|(source, counted)| Source {
            name: source.name.clone(),
            bytes: counted.bytes.get(),
            rows: Rows {
                rows_in: counted.rows.get(),
                clean: counted.clean.get(),
                refused: of(&metrics.refused_rows, &source.name),
                dropped: of(&metrics.dropped_rows, &source.name),
            },
        })
        .collect()
}

/// A count that a metric gives as a double.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and below 2^53"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

fn lookups(observer: &Observer) -> Vec<Lookup> {
    let lookups = observer.plan.lookups.iter().zip(&observer.lookups);
    lookups
        .map(|(lookup, counted)| {
            let metrics = &observer.metrics;
            let workers = observer.workers.iter().map(|worker| {
                let labels = [lookup.name.clone(), worker.index.to_string()];
                metrics.reference_rows.with_label_values(&labels).get()
            });
            let rows_of_workers: Vec<i64> = workers.collect();
            let labels = [lookup.name.as_str()];
            let partitioned = metrics.partitioned.with_label_values(&labels).get() == 1;
            let (sum, most) = (rows_of_workers.iter().sum(), rows_of_workers.iter().max());
            let most = most.copied().unwrap_or_default();
            Lookup {
                name: lookup.name.clone(),
                partitioned,
                rows: if partitioned { sum } else { most },
                rows_of_workers,
                probed: counted.probed.get(),
                missed: counted.missed.get(),
            }
        })
        .collect()
}

fn sinks(observer: &Observer, opened: Epoch) -> Vec<Sink> {
    let sinks = observer.plan.sinks.iter().zip(&observer.sinks).enumerate();
    sinks
        .map(|(index, (sink, counted))| {
            let uppers = observer.workers.iter().map(|worker| &worker.sinks[index]);
            Sink {
                name: sink.name.clone(),
                rows: counted.rows.get(),
                staged_bytes: counted.staged.get(),
                upper: uppers
                    .map(|upper| upper.within(opened))
                    .min()
                    .unwrap_or_default(),
            }
        })
        .collect()
}

fn busy(worker: &OfWorker) -> BTreeMap<String, f64> {
    let busy = worker.busy.lock().unwrap_or_else(PoisonError::into_inner);
    busy.iter()
        .map(|(operator, seconds)| (operator.clone(), seconds.get()))
        .collect()
}

/// What the epoch `upper`, the first that has not passed every sink, waits for: the first place on the way at which it has
/// not passed either.
fn holds(observer: &Observer, opened: Epoch, upper: Epoch) -> Option<Holds> {
    if upper > opened {
        return None;
    }
    let at = |place: &str, worker: &OfWorker| Holds {
        epoch: upper,
        at: place.to_owned(),
        worker: worker.index,
    };
    let workers = &observer.workers;
    if let Some(worker) = workers
        .iter()
        .find(|worker| worker.reader.within(opened) <= upper)
    {
        return Some(at("sources:read", worker));
    }
    if let Some(worker) = workers
        .iter()
        .find(|worker| worker.split.within(opened) <= upper)
    {
        return Some(at("decode:decode to validate:split", worker));
    }
    workers
        .iter()
        .flat_map(|worker| {
            let sinks = worker.sinks.iter().zip(&observer.plan.sinks);
            sinks.map(move |(reached, sink)| (worker, reached, &sink.name))
        })
        .find(|(_, reached, _)| reached.within(opened) <= upper)
        .map(|(worker, _, sink)| at(&format!("validate:split to sinks:stage {sink}"), worker))
}
