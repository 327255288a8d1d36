//! What is looked at and made of clusters before a life begins: their topics, and how far each shard is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::error::{TopicError, owner};
use super::progress::{Progress, Reader};
use crate::job::plan::{CreateTopic, Delivery, KafkaCluster, Plan};
use crate::kafka::{ANSWER, Context, config};
use crate::record::Epoch;

/// How long to wait between questions that were not answered.
const REST: Duration = Duration::from_millis(200);

/// A cluster that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// Its own id, where it says one.
    pub id: Option<String>,
    /// How far each shard was, as of the moment; another life may still add to it until it is fenced.
    pub progress: Vec<Option<Progress>>,
}

/// Whose progress it is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The word of its state; `None` where the state is new.
    pub state: Option<&'a str>,
}

/// Looks at a cluster: makes topics that are to be made, and reads how far shards are.
///
/// Errors: no broker answers, a topic is not there or may not be written, progress is another's.
pub fn look(
    plan: &Plan,
    cluster: usize,
    of: Owner<'_>,
    patience: Duration,
    over: &dyn Fn() -> bool,
) -> Result<Looked, TopicError> {
    let number = cluster;
    let cluster = &plan.clusters[number];
    let reader = Reader::new(cluster)?;
    let since = Instant::now();
    let mut asked = Asked {
        cluster,
        reader: &reader,
        patience,
        since,
        over,
    };
    for (_, sink, kafka) in plan.topics_of(number) {
        let sink = format!("sinks.{}", sink.name);
        asked.topic(&sink, &kafka.topic, kafka.create.as_ref(), 1)?;
    }
    let topic = cluster.progress_topic();
    let how = CreateTopic {
        partitions: i32::try_from(cluster.shards).expect("a job has few shards"),
        replication: -1,
        config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
    };
    asked.topic(&owner(cluster), &topic, Some(&how), cluster.shards)?;
    let mut progress = Vec::with_capacity(cluster.shards);
    for shard in 0..cluster.shards {
        let found = reader.read(shard, patience, over)?;
        if let Some(found) = &found {
            of.check(cluster, shard, found)?;
        }
        progress.push(found);
    }
    Ok(Looked {
        id: reader.client().client().fetch_cluster_id(ANSWER),
        progress,
    })
}

impl Owner<'_> {
    /// Whether what a shard's progress says is of this owner.
    pub(super) fn check(
        &self,
        cluster: &KafkaCluster,
        shard: usize,
        found: &Progress,
    ) -> Result<(), TopicError> {
        let (problem, hint) = if found.job != self.job {
            (
                format!("it holds the progress of job {}", found.job),
                "give this job's sinks another `id`",
            )
        } else if self.state != Some(&found.state) {
            (
                format!(
                    "it knows of epoch {} of a state that is not this one",
                    found.epoch
                ),
                "restore the state folder; or, to begin anew beside what is in the topics, give the sinks another `id`",
            )
        } else {
            return Ok(());
        };
        Err(TopicError::progress(cluster, shard, problem, hint))
    }
}

/// Reads a shard's progress anew where it does not cover the state: what was committed just before can be seen a moment later.
///
/// Errors: it does not cover it then either; no broker answers.
pub fn await_covers(
    plan: &Plan,
    (cluster, shard): (usize, usize),
    progress: Option<&Progress>,
    at: (Epoch, Epoch),
    held: Option<Epoch>,
    over: &dyn Fn() -> bool,
) -> Result<(), TopicError> {
    let cluster = &plan.clusters[cluster];
    let since = Instant::now();
    let mut covered = covers(cluster, shard, progress, at, held);
    if covered.is_err() {
        let reader = Reader::new(cluster)?;
        while covered.is_err() && since.elapsed() < ANSWER && !over() {
            std::thread::sleep(REST);
            let progress = reader.read(shard, plan.join_timeout, over)?;
            covered = covers(cluster, shard, progress.as_ref(), at, held);
        }
    }
    covered
}

/// Holds a shard's progress against the state: it can't be before the `last` epoch that a checkpoint says it had messages of, nor behind
/// the newest one that is `bound`. It may be before it where the outbox has the rest, up to the epoch `held`.
fn covers(
    cluster: &KafkaCluster,
    shard: usize,
    progress: Option<&Progress>,
    (last, bound): (Epoch, Epoch),
    held: Option<Epoch>,
) -> Result<(), TopicError> {
    let at = progress.map_or(0, |progress| progress.epoch);
    let is_held = held.is_some_and(|held| held >= last);
    // What is delivered at least once is written down later than it is delivered.
    let is_exact = cluster.delivery == Delivery::ExactlyOnce;
    let (problem, hint) = if is_exact
        && last > 0
        && !is_held
        && progress.is_none_or(|progress| !progress.has(last))
    {
        (
            format!(
                "it knows of epoch {at}, and a checkpoint of epoch {last}, whose messages were delivered"
            ),
            "messages or progress are gone: restore the topics, or begin anew with another state and another `id`",
        )
    } else if at > bound {
        (
            format!("it knows of epoch {at}, and the journal of none after {bound}"),
            "the state folder is older than the topics: restore the newest one",
        )
    } else {
        return Ok(());
    };
    Err(TopicError::progress(cluster, shard, problem, hint))
}

/// Whether a cluster that was away is the one that the state knows.
pub(super) fn is_same(
    cluster: &KafkaCluster,
    known: Option<&str>,
    found: Option<&str>,
) -> Result<(), TopicError> {
    match (known, found) {
        (Some(known), Some(found)) if known != found => Err(TopicError::Client {
            owner: owner(cluster),
            problem: format!(
                "this is cluster {found}, and the job has written to cluster {known}\n  expected: the same cluster\n  now: the job ends; what is held stays\n  hint: mind `brokers`"
            ),
        }),
        _ => Ok(()),
    }
}

/// Questions about one cluster's topics.
struct Asked<'a> {
    cluster: &'a KafkaCluster,
    reader: &'a Reader,
    patience: Duration,
    since: Instant,
    over: &'a dyn Fn() -> bool,
}

impl Asked<'_> {
    /// Sees to it that a topic is there, with so many partitions at least.
    fn topic(
        &mut self,
        of: &str,
        topic: &str,
        create: Option<&CreateTopic>,
        least: usize,
    ) -> Result<(), TopicError> {
        let refused = |code| TopicError::refused(of.to_owned(), topic, Some(code));
        let (mut is_made, mut is_widened) = (false, false);
        loop {
            match self.partitions(topic) {
                Ok(partitions) if partitions >= least => return Ok(()),
                // Shards were added.
                Ok(_) if !is_widened && self.widen(topic, least).is_ok() => is_widened = true,
                Ok(_) if is_widened => {
                    self.rest(&format!(
                        "topic {topic} has more partitions, and they are not known"
                    ))?;
                }
                Ok(partitions) => {
                    return Err(TopicError::Topic {
                        owner: of.to_owned(),
                        topic: topic.to_owned(),
                        problem: format!("it has {partitions} partitions"),
                        expected: "a partition for each shard",
                        hint: "add partitions to it, or lower `shards`",
                    });
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    match create {
                        Some(create) if !is_made => match self.create(topic, create) {
                            Ok(()) => is_made = true,
                            Err(code) => match refused(code) {
                                Some(refused) => return Err(refused),
                                None => {
                                    self.rest(&format!("topic {topic} can't be made: {code}"))?;
                                }
                            },
                        },
                        // It is known everywhere after a while.
                        Some(_) => {
                            self.rest(&format!("topic {topic} was made and is not known"))?;
                        }
                        None => {
                            let refused = refused(RDKafkaErrorCode::UnknownTopicOrPartition);
                            return Err(refused.expect("it is one that waiting does not help"));
                        }
                    }
                }
                Err(code) => match refused(code) {
                    Some(refused) => return Err(refused),
                    None => self.rest(&code.to_string())?,
                },
            }
        }
    }

    /// How many partitions a topic has.
    fn partitions(&self, topic: &str) -> Result<usize, RDKafkaErrorCode> {
        let code = |error: &ClientError| {
            error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)
        };
        let metadata = self
            .reader
            .client()
            .fetch_metadata(Some(topic), ANSWER)
            .map_err(|error| code(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or(RDKafkaErrorCode::UnknownTopicOrPartition)?;
        match found.error() {
            Some(error) => Err(RDKafkaErrorCode::from(error)),
            None => Ok(found.partitions().len()),
        }
    }

    fn create(&self, topic: &str, how: &CreateTopic) -> Result<(), RDKafkaErrorCode> {
        let mut new = NewTopic::new(
            topic,
            how.partitions,
            TopicReplication::Fixed(how.replication),
        );
        for (option, value) in &how.config {
            new = new.set(option, value);
        }
        let (admin, options) = self.admin()?;
        let made = block_on(admin.create_topics([&new], &options))?;
        match made.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                tracing::info!(action = "topic-made", topic, "a topic was made");
                Ok(())
            }
            Some(Err((_, code))) => Err(code),
            None => Err(RDKafkaErrorCode::Unknown),
        }
    }

    /// Gives a topic so many partitions.
    fn widen(&self, topic: &str, partitions: usize) -> Result<(), RDKafkaErrorCode> {
        let wanted = NewPartitions::new(topic, partitions);
        let (admin, options) = self.admin()?;
        let made = block_on(admin.create_partitions([&wanted], &options))?;
        match made.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(
                    action = "topic-widened",
                    topic,
                    partitions,
                    "a topic has more partitions"
                );
                Ok(())
            }
            Some(Err((_, code))) => Err(code),
            None => Err(RDKafkaErrorCode::Unknown),
        }
    }

    fn admin(&self) -> Result<(AdminClient<Context>, AdminOptions), RDKafkaErrorCode> {
        let admin = config(&self.cluster.brokers, &self.cluster.options, &[])
            .create_with_context(Context::default())
            .map_err(|error| {
                tracing::warn!(action = "topic-not-made", error = %TopicError::not_made(self.cluster, error));
                RDKafkaErrorCode::Unknown
            })?;
        Ok((admin, AdminOptions::new().operation_timeout(Some(ANSWER))))
    }

    /// Rests before the next question, or gives up.
    fn rest(&self, problem: &str) -> Result<(), TopicError> {
        if self.since.elapsed() >= self.patience && !(self.over)() {
            let problem = problem.to_owned();
            return Err(TopicError::unreachable(
                self.cluster,
                problem,
                self.patience,
            ));
        }
        if (self.over)() {
            return Err(TopicError::Client {
                owner: owner(self.cluster),
                problem: "the run is over".to_owned(),
            });
        }
        std::thread::sleep(REST);
        Ok(())
    }
}

/// Waits for an answer about topics.
fn block_on<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, RDKafkaErrorCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|_| RDKafkaErrorCode::Unknown)?;
    runtime.block_on(answer).map_err(|error| {
        error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown)
    })
}
