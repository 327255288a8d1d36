//! `caudal verify`: whether what a job has committed is there, as it was written down when it was.
//!
//! ```text
//! manifests ──> files: path, bytes, rows          ──> held against the folders
//!           └─> topics: for each commit how many  ──> held against all committed messages of the topics, by the epoch in their headers
//!               messages, and a sum over them
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use super::numbers::{grouped, rows};
use super::stop::{FAILED, FINE, Stop};
use super::{load, print};
use crate::cluster::Counted;
use crate::epoch;
use crate::job::plan::{Delivery, KafkaCluster, KafkaSink, OnFailure, Plan, SinkPlan, SinkTo};
use crate::record::Epoch;
use crate::sinks::chain::{self, CheckpointSaid};
use crate::sinks::kafka::{content, outbox, sum};
use crate::sinks::{SinkError, published};

/// Differences of one target that are told one by one.
const TOLD: usize = 10;

/// What was found of one sink's files, or of one topic.
struct Verified {
    name: String,
    /// What is as it was written down, in words.
    good: String,
    /// What is not.
    differences: Vec<String>,
    /// What could not be looked at.
    notes: Vec<String>,
}

/// Prints, target by target, whether what was committed is there.
///
/// # Errors
/// Where the job is wrong, nothing was committed, or it can't be read.
pub(super) fn verify(job: &Path, as_json: bool) -> Result<u8, Stop> {
    let plan = load::job(job)?;
    let mut verified = files(&plan)?;
    let mut commits = Vec::new();
    if plan.continuous.is_some() {
        for manifest in chain::manifests(&plan.output).map_err(unread)? {
            let manifest = manifest.map_err(unread)?;
            if let (true, Some(to)) = (manifest.commit == Some(manifest.number), manifest.to) {
                let said: CheckpointSaid =
                    serde_json::from_value(manifest.checkpoint).unwrap_or_default();
                commits.push(Committed {
                    from: manifest.from.unwrap_or(0),
                    to,
                    said,
                });
            }
        }
        verified.extend(topics(&plan, &commits)?);
    }
    let is_good = verified.iter().all(|of| of.differences.is_empty());
    let text = if as_json {
        format!("{}\n", for_machines(&plan.name, &verified, is_good))
    } else {
        for_people(&plan.name, &verified, commits.last().map(|last| last.to))
    };
    print::to_output(text.as_bytes())?;
    Ok(if is_good { FINE } else { FAILED })
}

fn unread(error: SinkError) -> Stop {
    Stop::Run(error.into())
}

fn for_people(job: &str, verified: &[Verified], upto: Option<Epoch>) -> String {
    let upto = upto.map_or_else(String::new, |upto| {
        format!(", up to epoch {}", grouped(upto))
    });
    let mut text = format!("{job}: what was committed{upto}\n");
    let width = verified.iter().map(|of| of.name.len()).max().unwrap_or(0);
    for of in verified {
        let mut line = |words: &str| {
            writeln!(text, "  {:<width$}  {words}", of.name).expect("a String takes everything");
        };
        line(&of.good);
        for note in &of.notes {
            line(note);
        }
        for difference in of.differences.iter().take(TOLD) {
            line(&format!("DIFFERS: {difference}"));
        }
        if let Some(more) = of
            .differences
            .len()
            .checked_sub(TOLD)
            .filter(|more| *more > 0)
        {
            line(&format!("and {more} more differences"));
        }
    }
    text
}

fn for_machines(job: &str, verified: &[Verified], is_good: bool) -> Value {
    let targets = verified.iter().map(|of| {
        json!({ "name": of.name, "good": of.good, "notes": of.notes, "differences": of.differences })
    });
    json!({ "job": job, "is_good": is_good, "targets": targets.collect::<Vec<_>>() })
}

/// A file as it was written down.
struct Wanted {
    path: String,
    bytes: u64,
    rows: u64,
}

/// Holds files against the folders, sink by sink.
fn files(plan: &Plan) -> Result<Vec<Verified>, Stop> {
    let mut of_sinks: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
    if plan.continuous.is_some() {
        for file in chain::files(&plan.output).map_err(unread)? {
            let file = file.map_err(unread)?;
            let (path, bytes, rows) = (file.path, file.bytes, file.rows);
            let wanted = Wanted { path, bytes, rows };
            of_sinks.entry(file.sink).or_default().push(wanted);
        }
    } else if let Some(manifest) = published(&plan.output).map_err(unread)? {
        for sink in manifest.sinks {
            let files = sink.files.into_iter().map(|file| Wanted {
                path: format!("{}/{}", sink.path, file.path),
                bytes: file.bytes,
                rows: file.rows,
            });
            of_sinks.entry(sink.sink).or_default().extend(files);
        }
    }
    let of_files = |sink: &SinkPlan| matches!(sink.to, SinkTo::Files { .. });
    let sinks = plan.sinks.iter().filter(|sink| of_files(sink));
    Ok(sinks
        .map(|sink| {
            let wanted = of_sinks.remove(&sink.name).unwrap_or_default();
            of_sink(plan, sink, &wanted)
        })
        .collect())
}

fn of_sink(plan: &Plan, sink: &SinkPlan, wanted: &[Wanted]) -> Verified {
    let (mut good, mut good_rows, mut gone) = (0, 0, 0);
    let mut differences = Vec::new();
    for file in wanted {
        match differs(&plan.output.join(&file.path), file) {
            Ok(None) => {
                good += 1;
                good_rows += file.rows;
            }
            Ok(Some(words)) => differences.push(format!("{}: {words}", file.path)),
            // Small files of a table are put together and taken away, by its tools or by the job.
            Err(()) if sink.delta.is_some() => gone += 1,
            Err(()) => differences.push(format!("{}: it is not there", file.path)),
        }
    }
    let notes = (gone > 0).then(|| {
        format!(
            "{} files were put into larger ones of the table, or taken away by its tools",
            grouped(gone)
        )
    });
    Verified {
        name: sink.name.clone(),
        good: format!(
            "{} of {} files are as they were committed: {}",
            grouped(good),
            wanted.len(),
            rows(good_rows)
        ),
        differences,
        notes: notes.into_iter().collect(),
    }
}

/// In what a file is another than was committed. Errors: it is not there.
fn differs(path: &Path, wanted: &Wanted) -> Result<Option<String>, ()> {
    let bytes = fs::metadata(path).map_err(drop)?.len();
    if bytes != wanted.bytes {
        return Ok(Some(format!(
            "it has {bytes} bytes, committed were {}",
            wanted.bytes
        )));
    }
    if path
        .extension()
        .is_none_or(|extension| extension != "parquet")
    {
        return Ok(None);
    }
    let rows = File::open(path)
        .map_err(|error| error.to_string())
        .and_then(|file| {
            let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
            Ok(reader.metadata().file_metadata().num_rows())
        });
    Ok(match rows {
        Ok(rows) if u64::try_from(rows) == Ok(wanted.rows) => None,
        Ok(rows) => Some(format!(
            "it has {rows} rows, committed were {}",
            wanted.rows
        )),
        Err(problem) => Some(problem),
    })
}

/// What a commit says of topics.
struct Committed {
    from: Epoch,
    to: Epoch,
    said: CheckpointSaid,
}

/// A topic of a cluster, and the sinks that write it.
struct Topic<'a> {
    cluster: &'a KafkaCluster,
    kafka: &'a KafkaSink,
    sinks: Vec<&'a str>,
}

/// Holds messages against what commits say of them, topic by topic.
fn topics(plan: &Plan, commits: &[Committed]) -> Result<Vec<Verified>, Stop> {
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

fn of_topic(
    plan: &Plan,
    topic: &Topic<'_>,
    commits: &[Committed],
    held: Option<(Epoch, u64)>,
) -> Result<Verified, Stop> {
    let name = topic.sinks.join(", ");
    let mut found = vec![Counted::default(); commits.len()];
    let (mut strangers, mut later) = (0_u64, 0_u64);
    let take = |message: content::Found<'_>| {
        let Some(epoch) = message.epoch else {
            strangers += 1;
            return;
        };
        let commit = commits.partition_point(|commit| commit.to < epoch);
        match found.get_mut(commit) {
            Some(counted) => {
                counted.add(Counted {
                    messages: 1,
                    sum: sum(message.key, message.value),
                });
            }
            None => later += 1,
        }
    };
    let whole_after = content::read(topic.cluster, &topic.kafka.topic, plan.join_timeout, take)
        .map_err(|error| Stop::Run(error.into()))?;
    let mut notes = Vec::new();
    if strangers > 0 {
        notes.push(format!("{} of other programs", counted(strangers)));
    }
    if later > 0 {
        notes.push(format!(
            "{} of epochs that no checkpoint has yet",
            counted(later)
        ));
    }
    if whole_after > 0 {
        notes.push(
            "its first messages are gone by retention: what they were is not looked at".to_owned(),
        );
    }
    let is_compacted = topic.kafka.is_compacted();
    if is_compacted {
        notes.push("it is compacted: numbers of messages say nothing".to_owned());
    }
    if let Some((first, bytes)) = held {
        notes.push(format!(
            "{} bytes from epoch {} on are held in the state: commits from there on are not looked at",
            grouped(bytes),
            grouped(first)
        ));
    }
    let (mut good, mut messages) = (0, 0);
    let mut differences = Vec::new();
    for (commit, found) in commits.iter().zip(&found) {
        let is_held = held.is_some_and(|(first, _)| commit.to >= first);
        if commit.from < whole_after || is_compacted || is_held {
            continue;
        }
        let mut wanted = Counted::default();
        for sent in &commit.said.topics {
            if topic.sinks.contains(&sent.sink.as_str()) {
                wanted.add(Counted {
                    messages: sent.messages,
                    sum: sent.sum,
                });
            }
        }
        let epochs = || format!("epochs {} to {}", commit.from + 1, commit.to);
        match found.messages.cmp(&wanted.messages) {
            std::cmp::Ordering::Equal if found.sum == wanted.sum => {
                good += 1;
                messages += found.messages;
            }
            std::cmp::Ordering::Equal => differences.push(format!(
                "{}: {} as sent, but others than were sent",
                epochs(),
                counted(found.messages)
            )),
            order => differences.push(format!(
                "{}: {}, sent were {}{}",
                epochs(),
                counted(found.messages),
                grouped(wanted.messages),
                match (order, topic.cluster.delivery) {
                    (std::cmp::Ordering::Greater, Delivery::AtLeastOnce) => " (at least once)",
                    _ => "",
                }
            )),
        }
    }
    Ok(Verified {
        name,
        good: format!(
            "{} of {} commits are in topic {} as they were sent",
            counted(messages),
            grouped(good),
            topic.kafka.topic
        ),
        differences,
        notes,
    })
}

fn counted(messages: u64) -> String {
    super::numbers::counted(messages, "message", "messages")
}
