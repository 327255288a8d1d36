//! A manifest of the chain: what is in it, and how it is put to a name that must be free.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::by_epoch::OfEpochs;
use super::steps::Steps;
use super::{fold, tag};
use crate::record::Epoch;
use crate::sinks::SinkError;
use crate::sinks::output::{entries, put_beside, sync_folder, write_beside};
use crate::sinks::publish::{Kind, ManifestFile, manifest_number, manifest_path, read_manifest};

/// A commit of a continuous job, or the taking over by a generation. Its files are those of this commit alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file.
    pub format: u32,
    /// Dense, from 1.
    pub number: u64,
    /// The job.
    pub job: String,
    /// The life of the cluster that put it.
    pub generation: u64,
    /// The folder below `_caudal/staged/` in which its files were staged; none where a generation took over.
    pub staged: Option<String>,
    /// Number of the newest commit, itself included; absent before the first.
    pub commit: Option<u64>,
    /// The `to` of the manifest before.
    pub from: Option<Epoch>,
    /// The last epoch of which all is committed: this manifest adds (from, to].
    pub to: Option<Epoch>,
    /// What the job says of these epochs.
    pub summary: serde_json::Value,
    /// What recovery wants to find with it.
    pub checkpoint: serde_json::Value,
    /// Every folder to which the job has added files, this commit's included; relative to the root.
    pub folders: BTreeSet<String>,
    /// The sinks that have files in this commit, by name.
    pub sinks: Vec<Added>,
}

/// What a commit adds to a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The sink's name.
    pub sink: String,
    /// Its folder, relative to the root.
    pub path: String,
    /// Its files, by path.
    pub files: Vec<ManifestFile>,
}

/// What a continuous job says of the checkpoint behind a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSaid {
    /// Its epoch.
    pub epoch: Epoch,
    /// What went to topics in the epochs of the commit; sinks without messages are left out.
    #[serde(default)]
    pub topics: Vec<SentMessages>,
    /// Rows of its files by epoch; sinks without rows are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RowsOfSink>,
}

/// Rows of a sink's files in the epochs of a commit. A file holds rows of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsOfSink {
    /// The sink.
    pub sink: String,
    /// How many of which epochs.
    pub epochs: Vec<OfEpochs>,
}

/// Messages of a sink in the epochs of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessages {
    /// The sink.
    pub sink: String,
    /// How many messages.
    pub messages: u64,
    /// What [`crate::sinks::kafka::sum`] says of each, added up, wrapping.
    pub sum: u64,
    /// The same by epoch; nothing in commits of former builds.
    #[serde(default)]
    pub epochs: Vec<OfEpochs>,
}

/// What became of a manifest that was to be put.
pub(super) enum Put {
    /// It is there, now or since an earlier attempt.
    Done,
    /// Another one is.
    Taken(Box<Manifest>),
    /// The chain has gone on so far that this number is folded.
    Folded,
}

/// Puts a manifest where its number is free and does not belong to a fold.
pub(super) fn put(root: &Path, manifest: &Manifest, steps: &mut Steps) -> Result<Put, SinkError> {
    let path = manifest_path(root, manifest.number);
    let content = line(manifest);
    steps.at("write a manifest")?;
    let write = |file: &mut io::BufWriter<fs::File>| file.write_all(&content);
    let temporary = write_beside(&path, &tag(manifest.generation), write)?;
    steps.at("put a manifest")?;
    let put = put_beside(&temporary, &path)?;
    steps.at("look for a fold")?;
    // After the put, not before: see the head of `chain`.
    if fold::of(root, manifest.number).exists() {
        return Ok(Put::Folded);
    }
    if put {
        return Ok(Put::Done);
    }
    if is_put(root, manifest)? {
        return Ok(Put::Done);
    }
    match read(root, manifest.number) {
        Err(SinkError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Put::Folded)
        }
        other => other.map(|other| Put::Taken(Box::new(other))),
    }
}

/// Whether an earlier attempt has put this manifest, though its answer did not come. Then its name lasts after this: it may be that
/// just the sync failed, and nothing may be shown before.
pub(super) fn is_put(root: &Path, manifest: &Manifest) -> Result<bool, SinkError> {
    let path = manifest_path(root, manifest.number);
    match fs::read(&path) {
        Ok(found) if found == line(manifest) => make_last(root).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SinkError::io(&path, "reading a file", error)),
    }
}

/// Syncs the names of manifests.
pub(super) fn make_last(root: &Path) -> Result<(), SinkError> {
    sync_folder(&root.join("_caudal").join("manifest"))
}

/// A manifest as its file has it: one line, so that a fold is nothing but its manifests one after another.
fn line(manifest: &Manifest) -> Vec<u8> {
    let mut line = serde_json::to_vec(manifest).expect("a manifest is JSON");
    line.push(b'\n');
    line
}

/// Reads a manifest that is not folded.
pub(super) fn read(root: &Path, number: u64) -> Result<Manifest, SinkError> {
    read_manifest(root, number, Kind::Continuous)
}

/// The newest manifest of a continuous job below a root; `None` where there is none.
///
/// Errors: [`SinkError::OtherKind`] where bounded runs have written there.
pub fn newest(root: &Path) -> Result<Option<Manifest>, SinkError> {
    let names = entries(&root.join("_caudal").join("manifest"))?;
    let newest = names.iter().filter_map(|name| manifest_number(name)).max();
    newest.map(|number| read(root, number)).transpose()
}
