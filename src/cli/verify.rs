//! `caudal verify`: whether what a job has committed is there, as it was written down when it was.
//!
//! ```text
//! manifests ──> files: path, bytes, rows, checksum      ──> held against the folders
//!           ├─> topics: for each epoch how many         ──> held against all committed messages of the topics, by the epoch in their headers
//!           │   messages, and a sum over them
//!           └─> the epoch of the newest commit          ──> held against the journal's newest checkpoint
//! ```
//!
//! A topic is held against each epoch, since every message says its own. A file has rows of all epochs of its commit, and is what was written or
//! is not: so it is held against its checksum, and what differs is told with the epochs of the commit. How many rows each of these had is written
//! down, too, and told where that is asked for.

mod by_epoch;
mod files;
mod topics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use self::by_epoch::epochs;
use self::files::Wanted;
use super::numbers::{self, grouped};
use super::stop::{FAILED, FINE, Stop};
use super::{load, print};
use crate::epoch;
use crate::job::plan::Plan;
use crate::record::Epoch;
use crate::sinks::chain::{self, CheckpointSaid};
use crate::sinks::{SinkError, published};

/// Differences of one target that are told one by one.
const TOLD: usize = 10;

/// What a run or a commit has written down.
struct Committed {
    /// The epochs after the first, up to the second; none of a run with an end.
    epochs: Option<(Epoch, Epoch)>,
    said: CheckpointSaid,
    /// The files of each sink.
    files: BTreeMap<String, Vec<Wanted>>,
}

impl Committed {
    /// The epochs in words, before what is said of them; nothing in a run with an end.
    fn words(&self) -> String {
        self.epochs.map_or_else(String::new, |(from, to)| {
            format!("{}: ", epochs(from + 1, to))
        })
    }
}

/// What was found of one sink's files, or of one topic.
struct Verified {
    name: String,
    /// What is as it was written down, in words.
    good: String,
    /// What is not.
    differences: Vec<String>,
    /// What could not be looked at.
    notes: Vec<String>,
    /// The same epoch by epoch.
    epochs: Vec<Line>,
}

/// What some epochs have in a target.
struct Line {
    first: Epoch,
    last: Epoch,
    /// How many rows or messages are there.
    found: u64,
    /// In a topic the sum over them; of files that of their checksums.
    sum: u64,
    /// In how many files.
    files: Option<usize>,
    /// Rows by epoch, where files hold several.
    parts: Vec<(Epoch, Epoch, u64)>,
    is_good: bool,
}

/// Prints, target by target, whether what was committed is there; epoch by epoch where that is asked for.
///
/// # Errors
/// Where the job is wrong, nothing was committed, or it can't be read.
pub(super) fn verify(job: &Path, by_epoch: bool, as_json: bool) -> Result<u8, Stop> {
    let plan = load::job(job)?;
    let commits = committed(&plan)?;
    let mut verified = files::verify(&plan, &commits);
    if plan.continuous.is_some() {
        verified.extend(topics::verify(&plan, &commits)?);
        verified.extend(journal(&plan, &commits)?);
    }
    let is_good = verified.iter().all(|of| of.differences.is_empty());
    let text = if as_json {
        format!(
            "{}\n",
            for_machines(&plan.name, &verified, is_good, by_epoch)
        )
    } else {
        for_people(&plan.name, &verified, newest(&commits), by_epoch)
    };
    print::to_output(text.as_bytes())?;
    Ok(if is_good { FINE } else { FAILED })
}

fn unread(error: SinkError) -> Stop {
    Stop::Run(error.into())
}

/// All that was written down, in order.
fn committed(plan: &Plan) -> Result<Vec<Committed>, Stop> {
    let mut commits = Vec::new();
    if plan.continuous.is_none() {
        let Some(manifest) = published(&plan.output).map_err(unread)? else {
            return Ok(commits);
        };
        let files = manifest.sinks.into_iter().map(|sink| {
            let each = sink.files.iter().map(|file| Wanted::new(&sink.path, file));
            (sink.sink, each.collect())
        });
        commits.push(Committed {
            epochs: None,
            said: CheckpointSaid::default(),
            files: files.collect(),
        });
        return Ok(commits);
    }
    for manifest in chain::manifests(&plan.output).map_err(unread)? {
        let manifest = manifest.map_err(unread)?;
        let is_commit = manifest.commit == Some(manifest.number);
        let files: BTreeMap<String, Vec<Wanted>> = manifest
            .sinks
            .into_iter()
            .map(|added| {
                let each = added
                    .files
                    .iter()
                    .map(|file| Wanted::new(&added.path, file));
                (added.sink, each.collect())
            })
            .collect();
        // A life that takes over may add files without rows, and has no epochs of its own.
        let from = manifest.from.unwrap_or(0);
        let to = manifest.to.filter(|to| is_commit && from < *to);
        if to.is_none() && files.is_empty() {
            continue;
        }
        commits.push(Committed {
            epochs: to.map(|to| (from, to)),
            said: serde_json::from_value(manifest.checkpoint).unwrap_or_default(),
            files,
        });
    }
    Ok(commits)
}

/// The last epoch that is committed.
fn newest(commits: &[Committed]) -> Option<Epoch> {
    let mut with_epochs = commits.iter().rev().filter_map(|of| of.epochs);
    with_epochs.next().map(|(_, to)| to)
}

/// Holds the newest commit against the journal's newest checkpoint: nothing is visible that the journal does not know.
fn journal(plan: &Plan, commits: &[Committed]) -> Result<Option<Verified>, Stop> {
    let continuous = plan.continuous.as_ref();
    let state = &continuous.expect("the job is continuous").state;
    let history = epoch::look_at_journal(state, Arc::new(|| false));
    let history = history.map_err(|error| Stop::Run(error.into()))?;
    let Some(visible) = newest(commits) else {
        return Ok(None);
    };
    let (mut notes, mut differences) = (Vec::new(), Vec::new());
    let newest = history.checkpoints.iter().map(|known| known.epoch).max();
    match newest {
        None => differences.push(format!(
            "it knows of no checkpoint, and epochs up to {} are visible: the state is lost or another one",
            grouped(visible)
        )),
        Some(newest) if newest < visible => differences.push(format!(
            "its newest checkpoint is of epoch {}, and epochs up to {} are visible: the state is older than the outputs",
            grouped(newest),
            grouped(visible)
        )),
        Some(newest) if newest > visible => notes.push(format!(
            "its newest checkpoint, of epoch {}, is not visible yet",
            grouped(newest)
        )),
        Some(_) => {}
    }
    let good = format!("epochs up to {} are visible", grouped(visible));
    let bound = history.newest_epoch().unwrap_or(0);
    Ok(Some(Verified {
        name: "journal".to_owned(),
        good: format!("{good}, and up to {} bound", grouped(bound.max(visible))),
        differences,
        notes,
        epochs: Vec::new(),
    }))
}

fn for_people(job: &str, verified: &[Verified], upto: Option<Epoch>, by_epoch: bool) -> String {
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
        for of_epochs in of.epochs.iter().filter(|_| by_epoch) {
            line(&of_epochs.words());
            for (first, last, rows) in &of_epochs.parts {
                let rows = numbers::rows(*rows);
                line(&format!("  of which {}: {rows}", epochs(*first, *last)));
            }
        }
    }
    text
}

impl Line {
    fn words(&self) -> String {
        let what = match self.files {
            Some(files) => format!(
                "{} in {}",
                numbers::rows(self.found),
                numbers::counted(files.try_into().unwrap_or(u64::MAX), "file", "files")
            ),
            None => numbers::counted(self.found, "message", "messages"),
        };
        let differs = if self.is_good { "" } else { ", DIFFERS" };
        let of = epochs(self.first, self.last);
        format!("{of}: {what}, checksum {:016x}{differs}", self.sum)
    }

    fn as_json(&self) -> Value {
        let parts = self.parts.iter();
        let parts = parts.map(|(first, last, rows)| json!([first, last, rows]));
        json!({
            "first": self.first, "last": self.last, "found": self.found, "checksum": format!("{:016x}", self.sum), "files": self.files,
            "rows": parts.collect::<Vec<_>>(), "is_good": self.is_good,
        })
    }
}

fn for_machines(job: &str, verified: &[Verified], is_good: bool, by_epoch: bool) -> Value {
    let targets = verified.iter().map(|of| {
        let mut said = json!({ "name": of.name, "good": of.good, "notes": of.notes, "differences": of.differences });
        if by_epoch {
            said["epochs"] = of.epochs.iter().map(Line::as_json).collect();
        }
        said
    });
    json!({ "job": job, "is_good": is_good, "targets": targets.collect::<Vec<_>>() })
}
