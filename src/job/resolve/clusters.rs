//! The Kafka clusters that sinks write to.
//!
//! Sinks with the same brokers write to one cluster, whose topics are committed together. What concerns the cluster may be said by any of
//! its sinks; where several say it, they agree. A fault is told at the place that comes second, and names the first.

use std::collections::BTreeMap;

use super::client::{Role, check_timeouts, read_client_options};
use super::kafka::{check_topic, cluster_of};
use super::report::{Report, Wrong};
use super::units::{read_size_in, size_text};
use crate::job::plan::{
    Delivery, KafkaCluster, KafkaSink, KafkaSource, OnFailure, Topics, progress_topic,
};
use crate::job::problems::quoted;
use crate::job::secrets::masked;
use crate::job::spec::{DeliverySpec, KafkaSinkSpec, OnFailureSpec};

/// Producers of a cluster where the job says none: enough that one slow partition leader does not hold all others up.
const SHARDS: u32 = 4;

/// Most bytes that are held where the job says none.
const OUTBOX: u64 = 1 << 30;

/// Bounds of `outbox`.
const OUTBOXES: (u64, u64) = (1 << 20, 1 << 46);

/// What one sink said first.
#[derive(Debug)]
struct Said<T> {
    value: T,
    sink: String,
}

/// A cluster as far as its sinks have said.
#[derive(Debug)]
struct Draft {
    /// In order, each once.
    brokers: Vec<String>,
    /// The first sink that names it.
    sink: String,
    delivery: Option<Said<Delivery>>,
    shards: Option<Said<u32>>,
    id: Option<Said<String>>,
    /// Whether messages are held.
    holds: Option<Said<bool>>,
    outbox: Option<Said<u64>>,
    options: BTreeMap<String, Said<String>>,
}

/// All clusters of a job.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    drafts: Vec<Draft>,
}

impl Clusters {
    /// The place of the cluster that the sink `name` writes to, after what the sink says of it is taken.
    pub(super) fn take(
        &mut self,
        report: &mut Report<'_>,
        name: &str,
        spec: &KafkaSinkSpec,
    ) -> Option<usize> {
        let at = ["sinks", name, "kafka", "brokers"];
        let brokers = report.take(&at, cluster_of(&spec.brokers))?;
        let own = self
            .drafts
            .iter()
            .position(|draft| draft.brokers == brokers);
        let place = own.unwrap_or_else(|| {
            self.drafts.push(Draft::new(brokers, name));
            self.drafts.len() - 1
        });
        if own.is_none() {
            self.check_apart(report, name, place);
        }
        self.drafts[place].take(report, name, spec);
        Some(place)
    }

    /// A broker of two clusters would mean that they are one, and that each fences the other.
    fn check_apart(&self, report: &mut Report<'_>, name: &str, place: usize) {
        let brokers = &self.drafts[place].brokers;
        let shared = self.drafts[..place].iter().find_map(|earlier| {
            let broker = brokers
                .iter()
                .find(|broker| earlier.brokers.contains(broker))?;
            Some((earlier, broker))
        });
        if let Some((earlier, broker)) = shared {
            let wrong = Wrong::new(format!(
                "broker {broker} is one of sink {}, too, which names others with it",
                quoted(&earlier.sink)
            ));
            report.add(
                &["sinks", name, "kafka", "brokers"],
                wrong
                    .expected(format!("the same brokers: {}", earlier.brokers.join(",")))
                    .hint("sinks of one cluster share its producers and transactions"),
            );
        }
    }

    /// The clusters with their defaults.
    pub(super) fn finish(self, report: &mut Report<'_>, job: &str) -> Vec<KafkaCluster> {
        let mut clusters: Vec<KafkaCluster> = Vec::new();
        for draft in self.drafts {
            let sink = draft.sink.clone();
            let says = draft.id.as_ref().map(|said| said.sink.clone());
            let cluster = draft.finish(report, job);
            if let Some(other) = clusters.iter().find(|other| other.id == cluster.id) {
                let path = match &says {
                    Some(sink) => ["sinks", sink, "kafka", "id"],
                    None => ["sinks", &sink, "kafka", "brokers"],
                };
                let wrong = Wrong::new(format!(
                    "the `id` of the sinks at {} is {}, too",
                    other.brokers,
                    quoted(&cluster.id)
                ));
                report.add(
                    &path,
                    wrong
                        .expected("another `id` for each cluster: the state knows them by it")
                        .hint("set `id`, which by default is \"caudal-\" and the job's name; or write the same `brokers`, if it is one cluster"),
                );
            }
            clusters.push(cluster);
        }
        clusters
    }
}

impl Draft {
    fn new(brokers: Vec<String>, sink: &str) -> Self {
        Self {
            brokers,
            sink: sink.to_owned(),
            delivery: None,
            shards: None,
            id: None,
            holds: None,
            outbox: None,
            options: BTreeMap::new(),
        }
    }

    fn take(&mut self, report: &mut Report<'_>, name: &str, spec: &KafkaSinkSpec) {
        let at = |option: &'static str| ["sinks", name, "kafka", option];
        let delivery = spec.delivery.map(|delivery| match delivery {
            DeliverySpec::ExactlyOnce => Delivery::ExactlyOnce,
            DeliverySpec::AtLeastOnce => Delivery::AtLeastOnce,
        });
        let word = |delivery: &Delivery| delivery.word().to_owned();
        agree(report, &at("delivery"), &mut self.delivery, delivery, word);
        agree(
            report,
            &at("shards"),
            &mut self.shards,
            spec.shards,
            u32::to_string,
        );
        let id = spec
            .id
            .as_ref()
            .and_then(|id| report.take(&at("id"), check_id(id)).map(|()| id.clone()));
        agree(report, &at("id"), &mut self.id, id, |id| quoted(id));
        let holds = spec.on_failure.map(|word| word == OnFailureSpec::Hold);
        let word = |holds: &bool| quoted(if *holds { "hold" } else { "stop" });
        agree(report, &at("on_failure"), &mut self.holds, holds, word);
        let outbox = spec.outbox.as_ref();
        let outbox = outbox.and_then(|text| {
            report.take(&at("outbox"), read_size_in(text, OUTBOXES.0, OUTBOXES.1))
        });
        agree(report, &at("outbox"), &mut self.outbox, outbox, |bytes| {
            quoted(&size_text(*bytes))
        });
        let options = read_client_options(report, &at("options"), &spec.options, Role::Writes);
        for (option, value) in options {
            let path = ["sinks", name, "kafka", "options", &option];
            let mut said = self.options.remove(&option);
            let shown = |value: &String| quoted(masked(&option, value));
            agree(report, &path, &mut said, Some(value), shown);
            self.options.extend(said.map(|said| (option, said)));
        }
    }

    fn finish(self, report: &mut Report<'_>, job: &str) -> KafkaCluster {
        let options: BTreeMap<String, String> = self
            .options
            .iter()
            .map(|(name, said)| (name.clone(), said.value.clone()))
            .collect();
        let delivery = value(self.delivery, Delivery::ExactlyOnce);
        if delivery == Delivery::ExactlyOnce
            && let Some((option, wrong)) = check_timeouts(&options)
        {
            let sink = &self.options[option].sink;
            report.add(&["sinks", sink, "kafka", "options", option], wrong);
        }
        let holds = value(self.holds, false);
        if !holds && let Some(outbox) = &self.outbox {
            let wrong = Wrong::new("nothing is held".to_owned());
            report.add(
                &["sinks", &outbox.sink, "kafka", "outbox"],
                wrong
                    .expected("on_failure = \"hold\" beside it")
                    .hint("by default the job stops when the cluster does not take messages"),
            );
        }
        let on_failure = if holds {
            OnFailure::Hold {
                outbox: value(self.outbox, OUTBOX),
            }
        } else {
            OnFailure::Stop
        };
        KafkaCluster {
            brokers: self.brokers.join(","),
            options,
            delivery,
            shards: usize::try_from(value(self.shards, SHARDS)).unwrap_or(usize::MAX),
            id: value(self.id, format!("caudal-{job}")),
            on_failure,
        }
    }
}

fn value<T>(said: Option<Said<T>>, default: T) -> T {
    said.map_or(default, |said| said.value)
}

/// Takes what is said at `path`, which is that of an option of a sink, or finds that another sink says something else.
fn agree<T: PartialEq>(
    report: &mut Report<'_>,
    path: &[&str],
    said: &mut Option<Said<T>>,
    value: Option<T>,
    shown: impl Fn(&T) -> String,
) {
    let Some(value) = value else { return };
    match said {
        None => {
            *said = Some(Said {
                value,
                sink: path[1].to_owned(),
            });
        }
        Some(first) if first.value == value => {}
        Some(first) => {
            let wrong = Wrong::new(format!(
                "it is {} here, and sink {} of the same brokers says {}",
                shown(&value),
                quoted(&first.sink),
                shown(&first.value)
            ));
            report.add(
                path,
                wrong
                    .expected("the same for all sinks of a cluster")
                    .hint("one of them may say it for all"),
            );
        }
    }
}

/// The name of a job in a cluster is part of a topic's.
fn check_id(id: &str) -> Result<(), Wrong> {
    check_topic(&progress_topic(id)).map_err(|_| {
        Wrong::new(format!("{} can't be part of a topic's name", quoted(id))).expected(
            "letters a–z, digits, ., _ and -, at most 240 of them, such as \"caudal-ventas\"",
        )
    })
}

/// Refuses what would have caudal read what it writes: a topic among the job's own sources and look-ups, and the topics of progress
/// as any. `readers` are what reads, by path.
pub(super) fn check_loops(
    report: &mut Report<'_>,
    sinks: &[(String, KafkaSink)],
    clusters: &[KafkaCluster],
    readers: &[(String, &KafkaSource)],
) {
    for (name, sink) in sinks {
        let cluster = &clusters[sink.cluster];
        let at = ["sinks", name, "kafka", "topic"];
        if sink.topic == cluster.progress_topic() {
            let wrong = Wrong::new(format!(
                "caudal keeps in {} how far it is",
                quoted(&sink.topic)
            ));
            report.add(&at, wrong.expected("another topic, or another `id`"));
        }
        if let Some((reader, _)) = readers
            .iter()
            .find(|(_, source)| reads(source, cluster, &sink.topic))
        {
            let wrong = Wrong::new(format!(
                "{reader} reads topic {} of the same brokers: what is written would come in again, for ever",
                quoted(&sink.topic)
            ));
            report.add(&at, wrong.expected("a topic that the job does not read"));
        }
    }
    for cluster in clusters {
        let progress = cluster.progress_topic();
        let reader = readers
            .iter()
            .find(|(_, source)| reads(source, cluster, &progress));
        let Some((reader, source)) = reader else {
            continue;
        };
        let option = match &source.topics {
            Topics::Named(_) => "topics",
            Topics::Pattern(_) => "topic_pattern",
        };
        let mut path: Vec<&str> = reader.split('.').collect();
        path.extend(["kafka", option]);
        let wrong = Wrong::new(format!(
            "it takes {}, too, where caudal keeps how far the sinks are",
            quoted(&progress)
        ));
        report.add(&path, wrong.expected("topics of rows"));
    }
}

/// Whether the source reads this topic of the cluster, as far as brokers' names tell.
fn reads(source: &KafkaSource, cluster: &KafkaCluster, topic: &str) -> bool {
    let mut brokers = source.brokers.split(',');
    let is_same = brokers.any(|broker| cluster.brokers.split(',').any(|own| own == broker));
    is_same
        && match &source.topics {
            Topics::Named(names) => names.iter().any(|name| name == topic),
            Topics::Pattern(pattern) => {
                Topics::whole_name(pattern).is_ok_and(|pattern| pattern.is_match(topic))
            }
        }
}
