//! Messages of topics against what commits say of them, epoch by epoch.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::by_epoch::{Compared, compare, epochs, together};
use super::{Committed, Line, Verified};
use crate::cli::numbers::{self, grouped};
use crate::cli::stop::Stop;
use crate::cluster::Counted;
use crate::epoch;
use crate::job::plan::{Delivery, KafkaCluster, KafkaSink, OnFailure, Plan, SinkTo};
use crate::record::Epoch;
use crate::sinks::chain::OfEpochs;
use crate::sinks::kafka::{content, outbox, sum};

/// A topic of a cluster, and the sinks that write it.
struct Topic<'a> {
    cluster: &'a KafkaCluster,
    kafka: &'a KafkaSink,
    sinks: Vec<&'a str>,
}

/// Holds messages against what commits say of them, topic by topic.
pub(super) fn verify(plan: &Plan, commits: &[Committed]) -> Result<Vec<Verified>, Stop> {
    let mut topics: Vec<Topic<'_>> = Vec::new();
    for sink in &plan.sinks {
        let SinkTo::Kafka(kafka) = &sink.to else {
            continue;
        };
        let same = |known: &&mut Topic<'_>| {
            (known.kafka.cluster, &known.kafka.topic) == (kafka.cluster, &kafka.topic)
        };
        match topics.iter_mut().find(same) {
            Some(known) => known.sinks.push(&sink.name),
            None => topics.push(Topic {
                cluster: &plan.clusters[kafka.cluster],
                kafka,
                sinks: vec![&sink.name],
            }),
        }
    }
    let each = topics.iter().map(|topic| {
        let held = held(plan, topic.cluster)?;
        of_topic(plan, topic, commits, held)
    });
    each.collect()
}

/// What is held in the state until a cluster takes it: the first epoch, and the bytes.
fn held(plan: &Plan, cluster: &KafkaCluster) -> Result<Option<(Epoch, u64)>, Stop> {
    let OnFailure::Hold { .. } = cluster.on_failure else {
        return Ok(None);
    };
    let continuous = plan.continuous.as_ref();
    let continuous = continuous.expect("only a continuous job writes topics");
    let held = epoch::look_at_state(&continuous.state, Arc::new(|| false))
        .and_then(|store| outbox::all_held(&*store, cluster));
    held.map_err(|error| Stop::Run(error.into()))
}

/// What a topic holds.
#[derive(Default)]
struct Content {
    /// Messages by the epoch in their headers.
    epochs: BTreeMap<Epoch, Counted>,
    /// Messages of other programs.
    strangers: u64,
    /// The epoch behind which nothing was taken away by retention.
    whole_after: Epoch,
}

impl Content {
    fn read(plan: &Plan, topic: &Topic<'_>) -> Result<Self, Stop> {
        let mut read = Self::default();
        let take = |message: content::Found<'_>| {
            let Some(epoch) = message.epoch else {
                read.strangers += 1;
                return;
            };
            read.epochs.entry(epoch).or_default().add(Counted {
                messages: 1,
                sum: sum(message.key, message.value),
            });
        };
        let whole_after = content::read(topic.cluster, &topic.kafka.topic, plan.join_timeout, take)
            .map_err(|error| Stop::Run(error.into()))?;
        read.whole_after = whole_after;
        Ok(read)
    }
}

impl Topic<'_> {
    /// What a commit says of each epoch, of all sinks that write the topic.
    fn wanted(&self, commit: &Committed, (from, to): (Epoch, Epoch)) -> Vec<OfEpochs> {
        let of_topic = commit.said.topics.iter();
        let of_topic = of_topic.filter(|sent| self.sinks.contains(&sent.sink.as_str()));
        let mut said = Vec::new();
        for sent in of_topic {
            if sent.epochs.is_empty() {
                // A former build has counted the commit as a whole.
                said.push(OfEpochs::from((from + 1, to, sent.messages, sent.sum)));
            }
            said.extend(&sent.epochs);
        }
        together(said)
    }

    /// In what epochs differ.
    fn differs(&self, of: &Compared) -> String {
        let epochs = epochs(of.first, of.last);
        let found = counted(of.found.messages);
        match of.found.messages.cmp(&of.wanted.messages) {
            Ordering::Equal => format!("{epochs}: {found} as sent, but others than were sent"),
            order => {
                let sent = match of.wanted.messages {
                    0 => "none".to_owned(),
                    sent => grouped(sent),
                };
                let more = match (order, self.cluster.delivery) {
                    (Ordering::Greater, Delivery::AtLeastOnce) => " (at least once)",
                    _ => "",
                };
                format!("{epochs}: {found}, sent were {sent}{more}")
            }
        }
    }
}

fn of_topic(
    plan: &Plan,
    topic: &Topic<'_>,
    commits: &[Committed],
    held: Option<(Epoch, u64)>,
) -> Result<Verified, Stop> {
    let read = Content::read(plan, topic)?;
    let is_compacted = topic.kafka.is_compacted();
    let is_looked_at = |of: &Compared| {
        let is_held = held.is_some_and(|(first, _)| of.last >= first);
        of.first > read.whole_after && !is_compacted && !is_held
    };
    let (mut good_commits, mut good_epochs, mut messages) = (0, 0, 0);
    let (mut differences, mut lines) = (Vec::new(), Vec::new());
    let mut committed = 0;
    for commit in commits {
        let Some((from, to)) = commit.epochs else {
            continue;
        };
        committed = to;
        let compared = compare(&topic.wanted(commit, (from, to)), &read.epochs, (from, to));
        let all = compared.len();
        let looked: Vec<Compared> = compared.into_iter().filter(is_looked_at).collect();
        let good: Vec<&Compared> = looked.iter().filter(|of| of.is_good()).collect();
        good_commits += u64::from(good.len() == all);
        good_epochs += u64::try_from(good.len()).expect("a number of epochs fits");
        messages += good.iter().map(|of| of.found.messages).sum::<u64>();
        let bad = looked.iter().filter(|of| !of.is_good());
        differences.extend(bad.map(|of| topic.differs(of)));
        lines.extend(looked.iter().map(|of| Line {
            first: of.first,
            last: of.last,
            found: of.found.messages,
            sum: of.found.sum,
            files: None,
            parts: Vec::new(),
            is_good: of.is_good(),
        }));
    }
    let later = read.epochs.range(committed + 1..);
    let later: u64 = later.map(|(_, counted)| counted.messages).sum();
    Ok(Verified {
        name: topic.sinks.join(", "),
        good: format!(
            "{} of {} in {} are in topic {} as they were sent",
            counted(messages),
            numbers::counted(good_epochs, "epoch", "epochs"),
            numbers::counted(good_commits, "commit", "commits"),
            topic.kafka.topic,
        ),
        differences,
        notes: notes(&read, later, is_compacted, held),
        epochs: lines,
    })
}

/// What could not be looked at.
fn notes(
    read: &Content,
    later: u64,
    is_compacted: bool,
    held: Option<(Epoch, u64)>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if read.strangers > 0 {
        notes.push(format!("{} of other programs", counted(read.strangers)));
    }
    if later > 0 {
        notes.push(format!(
            "{} of epochs that no checkpoint has yet",
            counted(later)
        ));
    }
    if read.whole_after > 0 {
        notes.push(
            "its first messages are gone by retention: what they were is not looked at".to_owned(),
        );
    }
    if is_compacted {
        notes.push("it is compacted: numbers of messages say nothing".to_owned());
    }
    if let Some((first, bytes)) = held {
        notes.push(format!(
            "{} bytes from epoch {} on are held in the state: epochs from there on are not looked at",
            grouped(bytes),
            grouped(first)
        ));
    }
    notes
}

fn counted(messages: u64) -> String {
    numbers::counted(messages, "message", "messages")
}
