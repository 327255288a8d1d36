//! What the rooms tell of themselves: one hand for each thing that is counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Counter, IntCounter, IntCounterVec};

use super::address::{Address, Announced};
use super::frontier::Upper;
use super::metrics::{Metrics, PARTITIONS};
use super::process;
use super::segments::Segments;
use super::standing::{HELD_BY, Standing, seconds_of};
use super::status::Life;
use crate::cluster::Interrupt;
use crate::cluster::outcome::{Phase, Progress};
use crate::job::plan::Plan;
use crate::record::{Budget, Epoch, RowCounts};

/// The generation of a bounded run: it has one life.
const BOUNDED_GENERATION: i64 = 1;

/// What one process shows of its run. Held by the workers, which tell, and by the thread that answers, which reads.
///
/// Cost: a call is a few relaxed atomic additions, made once a batch or activation.
#[derive(Debug)]
pub struct Observer {
    pub(super) metrics: Metrics,
    pub(super) plan: Arc<Plan>,
    pub(super) process: usize,
    pub(super) progress: Arc<Progress>,
    pub(super) started: Instant,
    pub(super) opened: AtomicU64,
    pub(super) budget: OnceLock<Arc<Budget>>,
    pub(super) sources: Vec<OfSource>,
    pub(super) lookups: Vec<OfLookup>,
    pub(super) sinks: Vec<OfSink>,
    /// The workers of this process, by their index within it.
    pub(super) workers: Vec<OfWorker>,
    segments: Mutex<Segments>,
    pub(super) standing: Standing,
    served_at: OnceLock<String>,
    /// What ends the run, where it may be asked from here.
    pub(super) interrupt: OnceLock<Arc<Interrupt>>,
    /// The nonce of this life's claim, in a continuous job.
    pub(super) nonce: OnceLock<String>,
}

#[derive(Debug)]
pub(super) struct OfSource {
    pub(super) rows: IntCounter,
    pub(super) bytes: IntCounter,
    pub(super) clean: IntCounter,
}

#[derive(Debug)]
pub(super) struct OfLookup {
    pub(super) probed: IntCounter,
    pub(super) missed: IntCounter,
}

#[derive(Debug)]
pub(super) struct OfSink {
    pub(super) rows: IntCounter,
    pub(super) bytes: IntCounter,
    pub(super) staged: IntCounter,
}

#[derive(Debug)]
pub(super) struct OfWorker {
    /// Its index among all workers.
    pub(super) index: usize,
    pub(super) exchanged_rows: IntCounter,
    pub(super) exchanged_bytes: IntCounter,
    /// The epoch its reader may still give rows for.
    pub(super) reader: Upper,
    /// What its split may still get.
    pub(super) split: Upper,
    /// What each of its sinks may still get.
    pub(super) sinks: Vec<Upper>,
    /// Seconds inside each operator.
    pub(super) busy: Mutex<BTreeMap<String, Counter>>,
}

impl Observer {
    /// An observer of a run of `plan` by `workers` threads in the process of this index. Series whose labels are known
    /// beforehand begin at nought.
    pub fn new(
        plan: &Arc<Plan>,
        progress: &Arc<Progress>,
        process: usize,
        workers: usize,
    ) -> Arc<Self> {
        let metrics = Metrics::new(process);
        let sources = plan.sources.iter().map(|source| {
            let labels = [source.name.as_str()];
            OfSource {
                rows: metrics.read_rows.with_label_values(&labels),
                bytes: metrics.read_bytes.with_label_values(&labels),
                clean: metrics.clean_rows.with_label_values(&labels),
            }
        });
        let lookups = plan.lookups.iter().map(|lookup| {
            let labels = [lookup.name.as_str()];
            OfLookup {
                probed: metrics.probed_rows.with_label_values(&labels),
                missed: metrics.missed_rows.with_label_values(&labels),
            }
        });
        let sinks = plan.sinks.iter().map(|sink| {
            let labels = [sink.name.as_str()];
            OfSink {
                rows: metrics.received_rows.with_label_values(&labels),
                bytes: metrics.received_bytes.with_label_values(&labels),
                staged: metrics.staged_bytes.with_label_values(&labels),
            }
        });
        let of_worker = |index: usize| {
            let labels = [index.to_string()];
            OfWorker {
                index,
                exchanged_rows: metrics.exchanged_rows.with_label_values(&labels),
                exchanged_bytes: metrics.exchanged_bytes.with_label_values(&labels),
                reader: Upper::default(),
                split: Upper::default(),
                sinks: plan.sinks.iter().map(|_| Upper::default()).collect(),
                busy: Mutex::default(),
            }
        };
        metrics.workers.set(signed(workers));
        metrics.generation.set(BOUNDED_GENERATION);
        let limit = i64::try_from(plan.in_flight_bytes).unwrap_or(i64::MAX);
        metrics.in_flight_limit_bytes.set(limit);
        let version = env!("CARGO_PKG_VERSION");
        metrics.build_info.with_label_values(&[version]).set(1);
        metrics
            .job_info
            .with_label_values(&[plan.name.as_str()])
            .set(1);
        Arc::new(Self {
            sources: sources.collect(),
            lookups: lookups.collect(),
            sinks: sinks.collect(),
            workers: (process * workers..(process + 1) * workers)
                .map(of_worker)
                .collect(),
            metrics,
            plan: Arc::clone(plan),
            process,
            progress: Arc::clone(progress),
            started: Instant::now(),
            opened: AtomicU64::new(0),
            budget: OnceLock::new(),
            segments: Mutex::default(),
            standing: Standing::default(),
            served_at: OnceLock::new(),
            interrupt: OnceLock::new(),
            nonce: OnceLock::new(),
        })
    }

    /// The worker with this index among all workers of the cluster.
    fn worker(&self, index: usize) -> &OfWorker {
        &self.workers[index - self.workers[0].index]
    }

    /// Looks at this budget from now on; the first one counts.
    pub fn watch_budget(&self, budget: &Arc<Budget>) {
        self.budget.get_or_init(|| Arc::clone(budget));
    }

    /// Input of a source was read, for `epoch`.
    pub fn read(&self, source: usize, bytes: u64, epoch: Epoch) {
        self.sources[source].bytes.inc_by(bytes);
        self.opened.fetch_max(epoch, Ordering::Relaxed);
    }

    /// The epoch that a worker's reader may still give rows for; `None` where it has ended.
    pub fn reader_at(&self, worker: usize, epoch: Option<Epoch>) {
        self.worker(worker).reader.set(epoch);
    }

    /// A worker's hand on what becomes of rows.
    pub fn split_teller(self: &Arc<Self>, worker: usize) -> SplitTeller {
        SplitTeller {
            observer: Arc::clone(self),
            worker,
            told: vec![RowCounts::default(); self.sources.len()],
        }
    }

    /// A `[duplicates]` found so many rows more that repeat another.
    pub fn repeated(&self, rule: usize, rows: u64) {
        let name = self.plan.duplicates[rule].name.as_str();
        let counter = self.metrics.duplicate_rows.with_label_values(&[name]);
        counter.inc_by(rows);
    }

    /// Rows met a reference collection, and so many of them found nothing.
    pub fn probed(&self, lookup: usize, rows: usize, missed: usize) {
        self.lookups[lookup].probed.inc_by(count(rows));
        self.lookups[lookup].missed.inc_by(count(missed));
    }

    /// For each look-up it is known now whether it is partitioned.
    pub fn placed(&self, partitioned: &[bool]) {
        for (lookup, partitioned) in self.plan.lookups.iter().zip(partitioned) {
            let labels = [lookup.name.as_str()];
            let gauge = self.metrics.partitioned.with_label_values(&labels);
            gauge.set(i64::from(*partitioned));
        }
    }

    /// A worker has so many rows of a reference collection: all, or its share.
    pub fn reference_rows(&self, lookup: usize, worker: usize, rows: usize) {
        let labels = [self.plan.lookups[lookup].name.clone(), worker.to_string()];
        let gauge = self.metrics.reference_rows.with_label_values(&labels);
        gauge.set(signed(rows));
    }

    /// So many rows of a look-up came or went.
    pub fn reference_changed(&self, lookup: usize, rows: usize) {
        self.of_lookup(&self.metrics.reference_changes, lookup)
            .inc_by(count(rows));
    }

    /// So many rows or messages of a look-up were left out.
    pub fn reference_left_out(&self, lookup: usize, rows: u64) {
        self.of_lookup(&self.metrics.reference_left_out, lookup)
            .inc_by(rows);
    }

    /// So many rows of a look-up's topic were older than those there were.
    pub fn reference_stale(&self, lookup: usize, rows: u64) {
        self.of_lookup(&self.metrics.reference_stale, lookup)
            .inc_by(rows);
    }

    /// A look-up could not be read.
    pub fn reference_failed(&self, lookup: usize) {
        self.of_lookup(&self.metrics.reference_failures, lookup)
            .inc();
    }

    /// For so long it is not known whether a look-up is as it was read.
    pub fn reference_age(&self, lookup: usize, age: Duration) {
        let labels = [self.plan.lookups[lookup].name.as_str()];
        let gauge = self.metrics.reference_age.with_label_values(&labels);
        gauge.set(age.as_secs_f64());
    }

    fn of_lookup(&self, counters: &IntCounterVec, lookup: usize) -> IntCounter {
        counters.with_label_values(&[self.plan.lookups[lookup].name.as_str()])
    }

    /// So many rows wait on a worker for their reference rows.
    pub fn parked(&self, worker: usize, rows: usize) {
        let labels = [worker.to_string()];
        self.metrics
            .parked_rows
            .with_label_values(&labels)
            .set(signed(rows));
    }

    /// A worker received a batch as the owner of its rows' keys.
    pub fn exchanged(&self, worker: usize, rows: usize, bytes: usize) {
        let worker = self.worker(worker);
        worker.exchanged_rows.inc_by(count(rows));
        worker.exchanged_bytes.inc_by(count(bytes));
    }

    /// A worker was inside this operator for so many seconds more.
    pub fn busy(&self, worker: usize, operator: &str, seconds: f64) {
        let worker = self.worker(worker);
        let mut busy = worker.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = busy.get(operator) {
            counter.inc_by(seconds);
            return;
        }
        let labels = [operator.to_owned(), worker.index.to_string()];
        let counter = self.metrics.busy_seconds.with_label_values(&labels);
        counter.inc_by(seconds);
        busy.insert(operator.to_owned(), counter);
    }

    /// A worker keeps so many segments and windows open.
    pub fn windows(&self, window: &str, worker: usize, segments: usize, windows: usize) {
        let labels = [window.to_owned(), worker.to_string()];
        let metrics = &self.metrics;
        metrics
            .window_segments
            .with_label_values(&labels)
            .set(signed(segments));
        metrics
            .open_windows
            .with_label_values(&labels)
            .set(signed(windows));
    }

    /// Rows came late: for a window that does not take them any more, and for closed ones that do.
    pub fn late_rows(&self, window: &str, missed: u64, corrected: u64) {
        for (metric, rows) in [
            (&self.metrics.late_for_window_rows, missed),
            (&self.metrics.corrected_rows, corrected),
        ] {
            if rows > 0 {
                metric.with_label_values(&[window]).inc_by(rows);
            }
        }
    }

    /// So many alerts are open for a receiver.
    pub fn alerts_open(&self, alerts: usize, open: usize) {
        let name = self.plan.alerts[alerts].name.as_str();
        let gauge = self.metrics.open_alerts.with_label_values(&[name]);
        gauge.set(signed(open));
    }

    /// A receiver has answered a message, and so many alerts are open for it.
    pub fn alerts_told(&self, alerts: usize, open: usize) {
        let name = self.plan.alerts[alerts].name.as_str();
        self.metrics.alert_messages.with_label_values(&[name]).inc();
        self.alerts_open(alerts, open);
    }

    /// A receiver did not answer, or refused what it was sent.
    pub fn alerts_failed(&self, alerts: usize) {
        let name = self.plan.alerts[alerts].name.as_str();
        self.metrics.alert_failures.with_label_values(&[name]).inc();
    }

    /// A hand on the verdicts of one batch.
    pub fn verdicts(&self) -> Verdicts<'_> {
        Verdicts {
            metrics: &self.metrics,
            segments: self.segments.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// A batch came to a sink.
    pub fn received(&self, sink: usize, rows: usize, bytes: usize) {
        self.sinks[sink].rows.inc_by(count(rows));
        self.sinks[sink].bytes.inc_by(count(bytes));
    }

    /// A sink staged so many bytes more.
    pub fn staged(&self, sink: usize, bytes: u64) {
        self.sinks[sink].staged.inc_by(bytes);
    }

    /// A shard of a cluster that topics are written to holds so many bytes.
    pub fn outbox(&self, cluster: &str, shard: usize, bytes: u64) {
        let labels = [cluster, &shard.to_string()];
        let gauge = self.metrics.outbox_bytes.with_label_values(&labels);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What may still come to a worker's sink: epochs before this one are complete; `None` where its input has ended.
    pub fn sink_at(&self, worker: usize, sink: usize, upper: Option<Epoch>) {
        self.worker(worker).sinks[sink].set(upper);
    }

    /// Lets whoever may ask for the status ask for the end, too.
    pub fn set_interrupt(&self, interrupt: &Arc<Interrupt>) {
        self.interrupt.get_or_init(|| Arc::clone(interrupt));
    }

    /// Where the life of a continuous job stands: told on process 0.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Where the life of a continuous job stands now; `None` where none has begun in this process.
    pub(super) fn life(&self) -> Option<Life> {
        self.standing.life(self.readers())
    }

    /// The epoch that the reader of each worker here may still give rows for.
    pub fn readers(&self) -> Vec<Option<Epoch>> {
        let workers = self.workers.iter();
        workers.map(|worker| worker.reader.get()).collect()
    }

    /// Says which life of a continuous job this is.
    pub fn generation(&self, generation: u64) {
        let generation = i64::try_from(generation).unwrap_or(i64::MAX);
        self.metrics.generation.set(generation);
    }

    /// Says by which nonce this life of a continuous job claims it, which it does once.
    pub fn claims_by(&self, nonce: &str) {
        self.nonce.get_or_init(|| nonce.to_owned());
    }

    /// Counts messages that were gone before they were read.
    pub fn lost(&self, source: &str, messages: i64) {
        let lost = self.metrics.lost_messages.with_label_values(&[source]);
        lost.inc_by(u64::try_from(messages).unwrap_or(0));
    }

    /// Says how many bytes of state were read so far to go on from a checkpoint.
    pub fn state_read(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.state_read_bytes.set(bytes);
    }

    /// Counts bytes of state that are being written for a checkpoint.
    pub fn state_written(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.metrics.state_written_bytes.inc_by(bytes);
    }

    /// Says up to which epoch a continuous job has decided what was in them.
    pub fn bound(&self, epoch: Epoch) {
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        self.metrics.bound_epoch.set(epoch);
    }

    /// Says up to which epoch everything is visible, since `now` (microseconds since 1970).
    pub fn committed(&self, epoch: Epoch, now: i64) {
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        self.metrics.committed_epoch.set(epoch);
        let seconds = float(u64::try_from(now).unwrap_or(0)) / 1e6;
        self.metrics.committed_at.set(seconds);
    }

    /// Where the status can be asked for, if anywhere.
    pub fn served_at(&self) -> Option<String> {
        self.served_at.get().cloned()
    }

    /// Says where the status can be asked for; the first address counts.
    pub fn set_served_at(&self, address: &str) {
        self.served_at.get_or_init(|| address.to_owned());
    }

    /// Writes where the status can be asked for under the job's output root, which this run holds, until the result is
    /// dropped. Where nothing is served, what a killed run left is removed. A file that can't be written is told, no more.
    pub fn announce(&self, root: &Path) -> Option<Announced> {
        let Some(address) = self.served_at.get() else {
            super::address::forget(root, self.process);
            return None;
        };
        let address = Address {
            format: super::address::FORMAT,
            job: self.plan.name.clone(),
            process: self.process,
            pid: std::process::id(),
            address: address.clone(),
        };
        let announced = address.to_announce(root);
        if let Err(error) = announced.renew() {
            let folder = root.display().to_string();
            tracing::warn!(
                action = "status-not-announced",
                folder,
                error = error.to_string(),
                "the address of the status could not be written: `caudal status` will not find this run"
            );
        }
        Some(announced)
    }

    /// The epochs opened here.
    pub(super) fn opened(&self) -> Epoch {
        self.opened.load(Ordering::Relaxed)
    }

    /// The epoch before which everything is complete at every sink here.
    pub(super) fn upper(&self) -> Epoch {
        let opened = self.opened();
        let uppers = self.workers.iter().flat_map(|worker| &worker.sinks);
        uppers
            .map(|upper| upper.within(opened))
            .min()
            .unwrap_or_default()
    }

    /// Brings up to date what is worked out when someone looks, and gives all metrics as text.
    pub fn text(&self) -> String {
        let metrics = &self.metrics;
        let opened = self.opened();
        raise(&metrics.epochs_opened, opened);
        raise(&metrics.epochs_passed, self.upper().saturating_sub(1));
        for worker in &self.workers {
            for (sink, upper) in self.plan.sinks.iter().zip(&worker.sinks) {
                let labels = [sink.name.clone(), worker.index.to_string()];
                let upper = i64::try_from(upper.within(opened)).unwrap_or(i64::MAX);
                metrics.sink_upper.with_label_values(&labels).set(upper);
            }
            if let Some(skew) = self.skew(worker) {
                let labels = [worker.index.to_string()];
                metrics.exchange_skew.with_label_values(&labels).set(skew);
            }
        }
        let (_, input) = self.progress.bytes();
        metrics
            .input_bytes
            .set(i64::try_from(input).unwrap_or(i64::MAX));
        let in_flight = self.budget.get().map_or(0, |budget| budget.used());
        metrics
            .in_flight_bytes
            .set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        let now = self.progress.phase();
        for phase in [Phase::Loading, Phase::Running, Phase::Publishing] {
            let gauge = metrics.phase.with_label_values(&[phase.word()]);
            gauge.set(i64::from(phase == now));
        }
        if let Some(life) = self.life() {
            tell_life(metrics, &life);
        }
        metrics.uptime_seconds.set(self.seconds());
        let bytes = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok());
        if let Some(bytes) = bytes(process::resident_memory_bytes()) {
            metrics.resident_bytes.set(bytes);
        }
        if let Some(bytes) = bytes(process::peak_memory_bytes()) {
            metrics.peak_bytes.set(bytes);
        }
        if let Some(seconds) = process::cpu_seconds() {
            let more = seconds - metrics.cpu_seconds.get();
            metrics.cpu_seconds.inc_by(more.max(0.0));
        }
        metrics.text()
    }

    /// Rows a worker received against the mean of this process; `None` while there are none.
    pub(super) fn skew(&self, worker: &OfWorker) -> Option<f64> {
        let all: u64 = self
            .workers
            .iter()
            .map(|worker| worker.exchanged_rows.get())
            .sum();
        let mean = float(all) / float(count(self.workers.len()));
        (all > 0).then(|| float(worker.exchanged_rows.get()) / mean)
    }

    /// Seconds since the run was started.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Brings the metrics of a continuous job's life up to date.
fn tell_life(metrics: &Metrics, life: &Life) {
    let number = |epoch: Epoch| i64::try_from(epoch).unwrap_or(i64::MAX);
    metrics.durable_epoch.set(number(life.durable));
    metrics.checkpoint_epoch.set(number(life.checkpoint));
    let left = life.replays_to.map_or(0, |to| to - life.bound);
    metrics.replayed_epochs.set(number(left));
    if let Some(watermark) = life.watermark {
        metrics.watermark.set(seconds_of(watermark));
    }
    for of_partition in life.partitions.iter().take(PARTITIONS) {
        let partition = &of_partition.partition;
        let number = partition.partition.to_string();
        let labels = [&partition.source, &partition.topic, &number];
        let bound = metrics.bound_offset.with_label_values(&labels);
        bound.set(of_partition.bound);
        if let Some(end) = of_partition.end {
            metrics.end_offset.with_label_values(&labels).set(end);
        }
        if let Some(newest) = of_partition.newest {
            let newest_event = metrics.newest_event.with_label_values(&labels);
            newest_event.set(seconds_of(newest));
        }
    }
    for by in HELD_BY {
        let longest = life.held.iter().filter(|held| held.by == by);
        let longest = longest.map(|held| held.seconds).fold(0.0, f64::max);
        metrics.held_seconds.with_label_values(&[by]).set(longest);
    }
}

/// Tells what one worker's split counted, by source.
#[derive(Debug)]
pub struct SplitTeller {
    observer: Arc<Observer>,
    worker: usize,
    told: Vec<RowCounts>,
}

impl SplitTeller {
    /// Tells the counts of each source since the start of the run, and what may still come to the split; only what is new is
    /// added.
    pub fn tell(&mut self, counts: &[RowCounts], upper: Option<Epoch>) {
        let metrics = &self.observer.metrics;
        for (source, (now, told)) in counts.iter().zip(&mut self.told).enumerate() {
            let of_source = &self.observer.sources[source];
            add(&mut told.rows_in, now.rows_in, |more| {
                of_source.rows.inc_by(more);
            });
            add(&mut told.clean, now.clean, |more| {
                of_source.clean.inc_by(more);
            });
            let name = self.observer.plan.sources[source].name.as_str();
            for (metric, now, told) in [
                (
                    &metrics.refused_rows,
                    &now.refused_by_reason,
                    &mut told.refused_by_reason,
                ),
                (
                    &metrics.dropped_rows,
                    &now.dropped_by_rule,
                    &mut told.dropped_by_rule,
                ),
                (
                    &metrics.warned_rows,
                    &now.warned_by_rule,
                    &mut told.warned_by_rule,
                ),
            ] {
                for (label, rows) in now {
                    if !told.contains_key(label) {
                        told.insert(label.clone(), 0);
                    }
                    let told = told.get_mut(label).expect("put in above");
                    add(told, *rows, |more| {
                        metric.with_label_values(&[name, label]).inc_by(more);
                    });
                }
            }
        }
        self.observer.worker(self.worker).split.set(upper);
    }
}

/// A hand on the verdicts of one batch; holds a lock, so that it is asked for once a batch.
pub struct Verdicts<'a> {
    metrics: &'a Metrics,
    segments: MutexGuard<'a, Segments>,
}

impl Verdicts<'_> {
    /// One verdict: of a check about a segment, in the window that starts there.
    pub fn tell(
        &mut self,
        check: &str,
        segment: &str,
        window_start: Option<i64>,
        status: &str,
        value: Option<f64>,
    ) {
        self.segments
            .tell(self.metrics, check, segment, window_start, status, value);
    }

    /// So many verdicts of a check have this status; `is_last`: nothing is said in their place.
    pub fn count(&self, check: &str, status: &str, is_last: bool, verdicts: u64) {
        let counter = if is_last {
            &self.metrics.verdicts
        } else {
            &self.metrics.provisional_verdicts
        };
        let counter = counter.with_label_values(&[check, status]);
        counter.inc_by(verdicts);
    }
}

/// Adds what `now` is more than what was told.
fn add(told: &mut u64, now: u64, more: impl FnOnce(u64)) {
    if now > *told {
        more(now - *told);
        *told = now;
    }
}

/// Raises a counter to a number that only grows.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count fits 64 bits")
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count as a double.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "ratios for people; counts of rows are below 2^53"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
