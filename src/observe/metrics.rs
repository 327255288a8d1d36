//! Every metric, declared once: its name, what kind it is, its labels, and its help, which is its documentation.
//!
//! Names are `caudal_<room>_<thing>_<unit>[_total]`. All carry the label `process`. Counters only grow; where two of them
//! make a difference (epochs opened and passed), the pair is given and the reader subtracts.

use std::fmt::Write;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Segments of one check that have series of their own: enough for the regions of a country, and few enough that a check by
/// customer can't make a server's memory grow without end. Verdicts of the other segments are only counted.
pub const SEGMENTS: usize = 200;

/// Partitions that have series of their own: far more than a topic of sales has, and few enough that a pattern over all topics of a
/// cluster can't make a server's memory grow without end.
pub const PARTITIONS: usize = 1000;

/// What is known of a metric without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Its labels besides `process`.
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub help: &'static str,
}

/// A kind of metric.
trait Kind: Collector + Clone + 'static {
    const KIND: &'static str;
    fn declare(options: Opts, labels: &[&str]) -> prometheus::Result<Self>;
}

/// A kind without and with labels.
macro_rules! kind {
    ($plain:ty, $labelled:ty, $kind:literal) => {
        impl Kind for $plain {
            const KIND: &'static str = $kind;
            fn declare(options: Opts, _: &[&str]) -> prometheus::Result<Self> {
                Self::with_opts(options)
            }
        }
        impl Kind for $labelled {
            const KIND: &'static str = $kind;
            fn declare(options: Opts, labels: &[&str]) -> prometheus::Result<Self> {
                Self::new(options, labels)
            }
        }
    };
}

kind!(IntCounter, IntCounterVec, "counter");
kind!(Counter, CounterVec, "counter");
kind!(IntGauge, IntGaugeVec, "gauge");
kind!(Gauge, GaugeVec, "gauge");

/// Makes the struct of all metrics and the table of what is declared.
macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ty = $name:literal [$($label:literal),*];)*) => {
        /// The metrics of one process. Clones of a field are hands on the same numbers.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        /// All metrics, in the order of the rooms.
        pub const DECLARED: &[Declared] = &[
            $(Declared { name: $name, kind: <$kind as Kind>::KIND, labels: &[$($label),*], help: $help.trim_ascii() },)*
        ];

        impl Metrics {
            /// All metrics at nought, for the process of this index.
            pub fn new(process: usize) -> Self {
                let registry = Registry::new();
                $(let $field: $kind = declare(&registry, process, $name, $help, &[$($label),*]);)*
                Self { registry, $($field),* }
            }
        }
    };
}

metrics! {
    /// Rows read, good or not.
    read_rows: IntCounterVec = "caudal_sources_read_rows_total" ["source"];
    /// Bytes read: of text as it is decoded, of columnar files as they count themselves before compression.
    read_bytes: IntCounterVec = "caudal_sources_read_bytes_total" ["source"];
    /// Messages that were gone before they were read, where the job says to go on (`on_data_loss`).
    lost_messages: IntCounterVec = "caudal_sources_lost_messages_total" ["source"];
    /// The offset after the last message that is bound to an epoch, in a continuous job; on process 0, of the first 1000 partitions.
    bound_offset: IntGaugeVec = "caudal_sources_bound_offset" ["source", "topic", "partition"];
    /// The offset after the last committed message that the broker has: less the bound one it is what is left to read; on process 0, of the first 1000 partitions.
    end_offset: IntGaugeVec = "caudal_sources_end_offset" ["source", "topic", "partition"];
    /// Largest event time that is bound, in seconds since 1970; on process 0, of the first 1000 partitions.
    newest_event: GaugeVec = "caudal_sources_newest_event_timestamp_seconds" ["source", "topic", "partition"];
    /// Bytes of all input files as they lie on disk; 0 where they are not known.
    input_bytes: IntGauge = "caudal_sources_input_bytes" [];
    /// Bytes between readers and sinks.
    in_flight_bytes: IntGauge = "caudal_sources_in_flight_bytes" [];
    /// Bytes between readers and sinks at which readers rest.
    in_flight_limit_bytes: IntGauge = "caudal_sources_in_flight_limit_bytes" [];
    /// Rows without a fault.
    clean_rows: IntCounterVec = "caudal_validate_clean_rows_total" ["source"];
    /// Rows refused, by the reason that comes first.
    refused_rows: IntCounterVec = "caudal_validate_refused_rows_total" ["source", "reason"];
    /// Rows dropped by a rule or option that says so.
    dropped_rows: IntCounterVec = "caudal_validate_dropped_rows_total" ["source", "rule"];
    /// Rows that failed a rule that only warns.
    warned_rows: IntCounterVec = "caudal_validate_warned_rows_total" ["source", "rule"];
    /// Rows that wait for a reference row.
    parked_rows: IntGaugeVec = "caudal_validate_parked_rows" ["worker"];
    /// Clean rows that repeat another, by what found them; `[duplicates]` says whether they go on.
    duplicate_rows: IntCounterVec = "caudal_validate_duplicate_rows_total" ["rule"];
    /// Rows of a reference collection that a worker has, as the newest rows meet it: all, or its share where it is partitioned.
    reference_rows: IntGaugeVec = "caudal_lookup_reference_rows" ["lookup", "worker"];
    /// 1 where each worker has a share of a look-up's rows, 0 where it has all of them.
    partitioned: IntGaugeVec = "caudal_lookup_partitioned" ["lookup"];
    /// Rows that met a reference collection.
    probed_rows: IntCounterVec = "caudal_lookup_probed_rows_total" ["lookup"];
    /// Rows that found no reference row, whatever else is wrong with them.
    missed_rows: IntCounterVec = "caudal_lookup_missed_rows_total" ["lookup"];
    /// Rows of a look-up that came or went since this life began.
    reference_changes: IntCounterVec = "caudal_lookup_reference_changes_total" ["lookup"];
    /// Rows and messages of a look-up that were left out since this life began: unreadable, without a key, or of another one's key.
    reference_left_out: IntCounterVec = "caudal_lookup_reference_left_out_total" ["lookup"];
    /// Rows of a look-up's topic that were older than those that were there.
    reference_stale: IntCounterVec = "caudal_lookup_reference_stale_total" ["lookup"];
    /// Times that the files or the topic of a look-up could not be read; it keeps the rows it had.
    reference_failures: IntCounterVec = "caudal_lookup_reference_failures_total" ["lookup"];
    /// Seconds since a followed look-up was known to be as its files or its topic are.
    reference_age: GaugeVec = "caudal_lookup_reference_age_seconds" ["lookup"];
    /// Worker threads of this process.
    workers: IntGauge = "caudal_cluster_workers" [];
    /// Life of the cluster with a fixed number of workers; a bounded run has one.
    generation: IntGauge = "caudal_cluster_generation" [];
    /// 1 at what the run does now (loading, running, publishing), else 0.
    phase: IntGaugeVec = "caudal_cluster_phase" ["phase"];
    /// Clean rows a worker received as the owner of their key.
    exchanged_rows: IntCounterVec = "caudal_cluster_exchanged_rows_total" ["worker"];
    /// Memory of the batches a worker received as the owner of their key; what several batches share is counted in each.
    exchanged_bytes: IntCounterVec = "caudal_cluster_exchanged_bytes_total" ["worker"];
    /// Rows a worker received against the mean of this process: 1 is even.
    exchange_skew: GaugeVec = "caudal_cluster_exchange_skew_ratio" ["worker"];
    /// Seconds inside an operator on one worker. Operators of one name are added up; what an operator is inside of now comes when it ends.
    busy_seconds: CounterVec = "caudal_cluster_operator_busy_seconds_total" ["operator", "worker"];
    /// Segments that a worker keeps open for a window or freshness check.
    window_segments: IntGaugeVec = "caudal_checks_window_segments" ["window", "worker"];
    /// Windows, of all segments, that a worker keeps open.
    open_windows: IntGaugeVec = "caudal_checks_open_windows" ["window", "worker"];
    /// Rows that came late for a closed window and were taken, since it is corrected.
    corrected_rows: IntCounterVec = "caudal_checks_late_corrected_rows_total" ["window"];
    /// Rows that came too late for a window of those that are corrected, and not for another of the job.
    late_for_window_rows: IntCounterVec = "caudal_checks_late_for_window_rows_total" ["window"];
    /// Verdicts by status: each window's once, when it is final; an age each time its status changes.
    verdicts: IntCounterVec = "caudal_checks_verdicts_total" ["check", "status"];
    /// Verdicts of windows that late rows may still correct, by status, each time one was said; what was taken back later counts, too.
    provisional_verdicts: IntCounterVec = "caudal_checks_provisional_verdicts_total" ["check", "status"];
    /// Value of the newest verdict that has one; of the first 200 segments of a check.
    segment_value: GaugeVec = "caudal_checks_segment_value" ["check", "segment"];
    /// How bad the newest verdict is: 0 nothing to say, 1 warn, 2 fail or overflow; of the first 200 segments of a check.
    segment_severity: IntGaugeVec = "caudal_checks_segment_severity" ["check", "segment"];
    /// Verdicts of segments beyond the first 200 of a check, which have no series of their own.
    other_verdicts: IntCounterVec = "caudal_checks_verdicts_other_total" ["check"];
    /// Alerts that a receiver was told of and that are open.
    open_alerts: IntGaugeVec = "caudal_alerts_open" ["alerts"];
    /// Messages about alerts that a receiver has answered; what Alertmanager is told again of what is open does not count.
    alert_messages: IntCounterVec = "caudal_alerts_messages_total" ["alerts"];
    /// Deliveries that a receiver of alerts did not answer, or refused; what they were about is told later.
    alert_failures: IntCounterVec = "caudal_alerts_failures_total" ["alerts"];
    /// Rows that came to a sink.
    received_rows: IntCounterVec = "caudal_sinks_received_rows_total" ["sink"];
    /// Memory of the batches that came to a sink; what several batches share is counted in each.
    received_bytes: IntCounterVec = "caudal_sinks_received_bytes_total" ["sink"];
    /// Bytes of whole staged files. Staged is not visible yet.
    staged_bytes: IntCounterVec = "caudal_sinks_staged_bytes_total" ["sink"];
    /// Bytes of epochs that a shard of a cluster holds until its topics take them; a series appears when something is held first.
    outbox_bytes: IntGaugeVec = "caudal_sinks_outbox_bytes" ["cluster", "shard"];
    /// Epochs before this one are complete at a sink; from the end of its input on, the epoch after the last.
    sink_upper: IntGaugeVec = "caudal_sinks_upper_epoch" ["sink", "worker"];
    /// Epochs opened: whose rows have begun to be read here.
    epochs_opened: IntCounter = "caudal_epoch_opened_total" [];
    /// Epochs that have passed all sinks here. Opened less passed are in flight.
    epochs_passed: IntCounter = "caudal_epoch_passed_total" [];
    /// The newest epoch whose binding was decided, in a continuous job; on process 0.
    bound_epoch: IntGauge = "caudal_epoch_bound_epoch" [];
    /// The newest epoch whose binding is in the journal, in a continuous job; on process 0.
    durable_epoch: IntGauge = "caudal_epoch_durable_epoch" [];
    /// The newest epoch at which all state was written, in a continuous job; on process 0.
    checkpoint_epoch: IntGauge = "caudal_epoch_checkpoint_epoch" [];
    /// Bytes of state that this process has read to go on from a checkpoint, in a continuous job.
    state_read_bytes: IntGauge = "caudal_epoch_state_read_bytes" [];
    /// Bytes of state that operators of this process have written for checkpoints, in a continuous job; folds of them are not counted.
    state_written_bytes: IntCounter = "caudal_epoch_state_written_bytes_total" [];
    /// Epochs that are still to be read again since an earlier life bound them, in a continuous job; on process 0.
    replayed_epochs: IntGauge = "caudal_epoch_replay_left_epochs" [];
    /// Event time before which nothing more is expected, in seconds since 1970, in a continuous job; on process 0.
    watermark: Gauge = "caudal_epoch_watermark_timestamp_seconds" [];
    /// How long something has waited for this, where it is more than a second, else 0, in a continuous job; on process 0.
    held_seconds: GaugeVec = "caudal_epoch_held_seconds" ["by"];
    /// The epoch up to which everything is visible, in a continuous job; on process 0.
    committed_epoch: IntGauge = "caudal_epoch_committed_epoch" [];
    /// Wall time of the newest commit in seconds since 1970, in a continuous job; on process 0.
    committed_at: Gauge = "caudal_epoch_committed_timestamp_seconds" [];
    /// Processor time of the process, user and system.
    cpu_seconds: Counter = "caudal_process_cpu_seconds_total" [];
    /// Memory that is resident now.
    resident_bytes: IntGauge = "caudal_process_resident_memory_bytes" [];
    /// Most memory that was resident at once.
    peak_bytes: IntGauge = "caudal_process_peak_memory_bytes" [];
    /// Time since the run was started.
    uptime_seconds: Gauge = "caudal_process_uptime_seconds" [];
    /// 1, with the version of the program.
    build_info: IntGaugeVec = "caudal_build_info" ["version"];
    /// 1, with the name of the job.
    job_info: IntGaugeVec = "caudal_job_info" ["name"];
    /// Requests answered here, by path (`other` where there is none) and answer.
    requests: IntCounterVec = "caudal_observe_requests_total" ["path", "code"];
    /// Connections turned away since too many were open.
    turned_away: IntCounter = "caudal_observe_connections_turned_away_total" [];
}

fn declare<M: Kind>(
    registry: &Registry,
    process: usize,
    name: &str,
    help: &str,
    labels: &[&str],
) -> M {
    let options = Opts::new(name, help.trim()).const_label("process", process.to_string());
    let metric = M::declare(options, labels).expect("declared names and labels are well formed");
    registry
        .register(Box::new(metric.clone()))
        .expect("every metric is declared once");
    metric
}

impl Metrics {
    /// All metrics that have a value, as the Prometheus text format.
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("names and labels were checked when they were declared")
    }
}

/// The table of all metrics, as it stands in `METRICS.md`.
pub fn table() -> String {
    let mut text = String::from(
        "# Metrics\n\nMade from `src/observe/metrics.rs` (`CAUDAL_REWRITE=1 cargo test --lib metrics`). Every metric also has the label \
         `process`, the index of the process. A series appears with its first value.\n\n| metric | kind | labels | |\n|---|---|---|---|\n",
    );
    for metric in DECLARED {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind, help) = (metric.name, metric.kind, metric.help);
        let labels = labels.join(", ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |")
            .expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_keep_the_house_form() {
        let rooms = [
            "alerts", "sources", "validate", "lookup", "cluster", "checks", "sinks", "epoch",
            "process", "build", "job", "observe",
        ];
        let mut names = BTreeSet::new();
        for metric in DECLARED {
            let name = metric.name;
            let parts: Vec<&str> = name.split('_').collect();
            assert!(names.insert(name), "{name} is declared twice");
            assert_eq!(parts[0], "caudal", "{name}");
            assert!(rooms.contains(&parts[1]), "{name}: {} is no room", parts[1]);
            let counts = metric.kind == "counter";
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
            for label in metric.labels {
                let known = [
                    "source",
                    "sink",
                    "lookup",
                    "window",
                    "check",
                    "segment",
                    "rule",
                    "reason",
                    "status",
                    "worker",
                    "operator",
                    "phase",
                    "version",
                    "name",
                    "path",
                    "code",
                    "topic",
                    "partition",
                    "by",
                    "cluster",
                    "shard",
                    "alerts",
                ];
                assert!(known.contains(label), "{name}: {label} is no known label");
            }
        }
        assert!(
            DECLARED
                .iter()
                .filter(|metric| metric.help.contains("200"))
                .count()
                >= 3
                && SEGMENTS == 200,
            "the helps name the bound"
        );
        let bounded = DECLARED
            .iter()
            .filter(|metric| metric.labels.contains(&"partition"));
        let names_it = |metric: &Declared| metric.help.contains(&PARTITIONS.to_string());
        assert!(bounded.clone().count() == 3 && bounded.clone().all(names_it));
    }

    #[test]
    fn the_table_is_what_is_declared() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/observe/METRICS.md");
        if std::env::var_os("CAUDAL_REWRITE").is_some() {
            std::fs::write(&file, table()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap_or_default(),
            table(),
            "CAUDAL_REWRITE=1 writes it"
        );
    }
}
