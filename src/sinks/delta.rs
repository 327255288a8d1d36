//! A sink's folder as a Delta table: each commit of the chain adds its files in one version of the table's log.
//!
//! ```text
//! ROOT/enriched/_delta_log/00000000000000000000.json   protocol, schema, partition columns
//!                          00000000000000000007.json   txn {appId: "caudal/ventas/enriched", version: 120}, add, add, …
//! ```
//!
//! Readers of the table see whole commits, at any moment: a version is there whole or not, and names files that are visible. Readers of the
//! folder alone see file by file, and have to leave `_delta_log` out, whose checkpoints are Parquet, too.
//!
//! **Each commit is in one version.** A version tells by `txn` up to which epoch it goes (`version` is the `to` of the manifest). Whoever
//! commits looks for the newest `txn` of the sink, adds what the chain has committed beyond it, and puts the next version where its name
//! is free; where it is taken, it looks again. So it does no harm to do it twice, by an older generation too: it adds only what
//! the chain holds, and of that what the log lacks. A crash between a commit of the chain and that of the table is made good when the
//! next life takes over.
//!
//! **Others may write to the table**, while the job runs: compact small files, vacuum, set properties. What they did since our last version
//! is looked at before the next one; where they ask of writers what this one can't do, or changed the columns, the job ends and says so.
//!
//! **Readers read few versions and few files**: of each tenth version a checkpoint is written ([`checkpoint`]), and small files are put
//! together ([`merge`]), on a thread that no commit waits for.
//!
//! Versions of the format: reader 1, writer 2. Reference: the Delta transaction log protocol, <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

mod actions;
mod checkpoint;
mod log;
mod merge;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parquet::basic::{Compression as Codec, ZstdLevel};
use serde_json::{Value, json};

use self::actions::{add, metadata};
pub use self::actions::{is_name, type_name};
use self::log::{State, Unfolded};
use self::merge::Merger;
use super::chain::Manifest;
use super::output::{entries, put_beside, write_beside};
use super::{SinkError, output_schema};
use crate::fault;
use crate::job::plan::{Compression, DeltaMerge, SinkFormat, SinkPlan, SinkTo};
use crate::record::Epoch;

/// The table's folder of versions.
const LOG: &str = "_delta_log";

/// Highest version of the protocol for writers that this one keeps to: appends without constraints that it would have to check.
const WRITER: u64 = 2;

/// Highest version for readers.
const READER: u64 = 1;

/// The table of one sink.
#[derive(Debug)]
pub(super) struct Table {
    sink: String,
    /// Its folder.
    folder: PathBuf,
    /// By what the log knows the sink.
    app: String,
    /// What its files are called by that were not put.
    tag: String,
    metadata: Value,
    partition_by: Vec<String>,
    /// The newest version; `None`: there is no table yet.
    newest: Option<u64>,
    /// The last epoch of which the table holds all files.
    pub(super) to: Option<Epoch>,
    merges: Option<DeltaMerge>,
    generation: u64,
    codec: Codec,
    /// The tenth version at which the table was looked after last.
    cared: Option<u64>,
    /// What looks after the table beside commits.
    care: Option<JoinHandle<()>>,
    /// Whether that is to end.
    is_over: Arc<AtomicBool>,
}

impl Table {
    /// That of a sink of `job`, where it has one.
    ///
    /// Errors: what others wrote can't be read, or can't be written to.
    pub(super) fn open(
        root: &Path,
        job: &str,
        plan: &SinkPlan,
        generation: u64,
    ) -> Result<Option<Self>, SinkError> {
        let (SinkTo::Files { path, partition_by }, Some(delta)) = (&plan.to, &plan.delta) else {
            return Ok(None);
        };
        let partition_by: Vec<String> = partition_by
            .iter()
            .map(|column| plan.columns[*column].name.clone())
            .collect();
        let mut table = Self {
            sink: plan.name.clone(),
            folder: root.join(path),
            app: format!("caudal/{job}/{}", plan.name),
            tag: super::chain::tag(generation),
            metadata: metadata(job, plan, &output_schema(plan), &partition_by),
            partition_by,
            newest: None,
            to: None,
            merges: delta.merges,
            generation,
            codec: match plan.format {
                SinkFormat::Parquet(Compression::Snappy) => Codec::SNAPPY,
                SinkFormat::Parquet(Compression::None) => Codec::UNCOMPRESSED,
                _ => Codec::ZSTD(ZstdLevel::default()),
            },
            cared: None,
            care: None,
            is_over: Arc::default(),
        };
        table.look()?;
        Ok(Some(table))
    }

    /// Adds the files of a commit, unless they are there.
    pub(super) fn commit(&mut self, manifest: &Manifest) -> Result<(), SinkError> {
        let Some(to) = manifest.to else {
            return Ok(());
        };
        loop {
            // Epochs of take-overs add no rows, and may come twice.
            if self.newest.is_some() && self.to.is_some_and(|done| to <= done) {
                return Ok(());
            }
            let added = manifest.sinks.iter().find(|added| added.sink == self.sink);
            let files = added.iter().flat_map(|added| &added.files);
            let adds: Vec<Value> = files
                .filter(|file| file.rows > 0)
                .map(|file| add(file, &self.partition_by))
                .collect();
            if adds.is_empty() && self.newest.is_some() {
                return Ok(());
            }
            if self.put(to, adds)? {
                return Ok(());
            }
            self.look()?;
        }
    }

    /// Puts the next version; false where it is there.
    fn put(&mut self, to: Epoch, adds: Vec<Value>) -> Result<bool, SinkError> {
        let now = crate::epoch::wall_time() / 1000;
        let operation = if self.newest.is_some() {
            "WRITE"
        } else {
            "CREATE TABLE"
        };
        let mut actions = vec![commit_info(operation)];
        if self.newest.is_none() {
            actions.push(
                json!({ "protocol": { "minReaderVersion": READER, "minWriterVersion": WRITER } }),
            );
            let mut metadata = self.metadata.clone();
            metadata["createdTime"] = json!(now);
            actions.push(json!({ "metaData": metadata }));
        }
        actions.push(json!({ "txn": { "appId": self.app, "version": to, "lastUpdated": now } }));
        actions.extend(adds);
        let next = self.newest.map_or(0, |newest| newest + 1);
        let folder = self.folder.join(LOG);
        fs::create_dir_all(&folder)
            .map_err(|error| SinkError::io(&folder, "creating a folder", error))?;
        let put = put_version(&self.folder, next, &actions, &self.tag)?;
        if put {
            self.newest = Some(next);
            self.to = Some(to);
            self.care_for(next);
        }
        Ok(put)
    }

    /// Begins to look after the table at each tenth version, where nobody does still: what takes longer than ten commits is begun with the
    /// next tenth. What merges put into the log between is passed over by no tenth of ours for long.
    fn care_for(&mut self, version: u64) {
        let is_due = self
            .cared
            .is_none_or(|cared| version >= cared + checkpoint::EVERY);
        let is_at_it = self
            .care
            .as_ref()
            .is_some_and(|thread| !thread.is_finished());
        if version < checkpoint::EVERY || !is_due || is_at_it {
            return;
        }
        self.join();
        self.cared = Some(version - version % checkpoint::EVERY);
        let sink = self.sink.clone();
        let is_over = Arc::clone(&self.is_over);
        // Its files are not those that a commit writes at the same time.
        let tag = format!("{}-care", self.tag);
        let merger = Merger {
            folder: self.folder.clone(),
            app: self.app.clone(),
            generation: self.generation,
            tag,
            keep: self
                .merges
                .map_or(checkpoint::FILE_RETENTION, |merges| merges.keep),
            codec: self.codec,
        };
        let is_merging = self.merges.is_some();
        let work = move || {
            let problem = match care(&merger, version, is_merging, &is_over) {
                Ok(()) => return,
                Err(Unfolded::Broken(path, problem)) => format!("{}: {problem}", path.display()),
                Err(Unfolded::Sink(error)) => in_words(&error),
            };
            tracing::warn!(
                action = "table-not-cared-for",
                sink,
                version,
                problem,
                "a table's log could not be checkpointed, or its small files not be merged; it is tried again ten versions later"
            );
        };
        let thread = std::thread::Builder::new().name("delta".to_owned());
        match thread.spawn(work) {
            Ok(thread) => self.care = Some(thread),
            Err(error) => tracing::warn!(
                action = "table-not-cared-for",
                sink = self.sink,
                version,
                problem = error.to_string(),
                "no thread could be had for a table's checkpoint; it is tried again ten versions later"
            ),
        }
    }

    /// Waits for what looks after the table.
    fn join(&mut self) {
        if let Some(thread) = self.care.take() {
            thread.join().expect("a thread that panicked has said why");
        }
    }

    /// Reads the log from its newest version back to our last one, or to what is known already.
    fn look(&mut self) -> Result<(), SinkError> {
        let names = entries(&self.folder.join(LOG))?;
        let Some(newest) = names.iter().filter_map(|name| version_of(name)).max() else {
            return Ok(());
        };
        let unknown = self.newest.map_or(0, |known| known + 1)..=newest;
        for version in unknown.rev() {
            let to = self.read(version)?;
            if to.is_some() {
                self.to = self.to.max(to);
                break;
            }
        }
        // Only now: what could not be heeded is looked at again.
        self.newest = Some(newest);
        Ok(())
    }

    /// Heeds all actions of a version; gives up to which epoch it goes, where it is ours.
    fn read(&self, version: u64) -> Result<Option<Epoch>, SinkError> {
        let path = version_path(&self.folder, version);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.wrong(
                &path,
                format!(
                    "this version was removed, and none after it has the mark of {}",
                    self.app
                ),
                "put the table aside, or give the sink another folder",
            ),
            _ => SinkError::io(&path, "reading a file", error),
        })?;
        let mut to = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let action: Value = serde_json::from_str(line).map_err(|error| {
                self.wrong(&path, error.to_string(), "restore the file as it was")
            })?;
            self.heed(&path, &action)?;
            let txn = &action["txn"];
            if txn["appId"] == self.app.as_str() {
                to = txn["version"].as_u64();
            }
        }
        Ok(to)
    }

    /// Whether this writer can go on behind an action.
    fn heed(&self, path: &Path, action: &Value) -> Result<(), SinkError> {
        let protocol = &action["protocol"];
        let writer = protocol["minWriterVersion"].as_u64().unwrap_or_default();
        let reader = protocol["minReaderVersion"].as_u64().unwrap_or_default();
        if writer > WRITER || reader > READER {
            return Err(self.wrong(
                path,
                format!("the table asks for reader version {reader} and writer version {writer}; this build writes {READER} and {WRITER}"),
                "give the sink another folder, or make the table anew without the features that were added",
            ));
        }
        let metadata = &action["metaData"];
        if metadata.is_object() {
            for part in ["schemaString", "partitionColumns"] {
                let (found, wanted) = (&metadata[part], &self.metadata[part]);
                if found != wanted {
                    return Err(self.wrong(
                        path,
                        format!("the table's {part} is {found}, the sink's {wanted}"),
                        "give the sink another folder, or the columns it had",
                    ));
                }
            }
        }
        Ok(())
    }

    fn wrong(&self, path: &Path, problem: String, hint: &'static str) -> SinkError {
        SinkError::Delta {
            sink: self.sink.clone(),
            path: path.to_path_buf(),
            problem,
            hint,
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if !std::thread::panicking() {
            self.join();
        }
    }
}

/// Looks after a table: a checkpoint of a version, then small files. What others did to the table that this build does not know is left
/// alone.
fn care(
    merger: &Merger,
    version: u64,
    is_merging: bool,
    is_over: &AtomicBool,
) -> Result<(), Unfolded> {
    fault::at("fold a table's log");
    let state = State::at(&merger.folder, version)?;
    if !state.is_known() {
        return Ok(());
    }
    if is_merging {
        // Before the checkpoint, which tells of them no more.
        merger.clear(&state)?;
    }
    checkpoint::write(&merger.folder, &state, merger.keep, &merger.tag)?;
    if is_merging {
        merger.merge(state, is_over)?;
    }
    Ok(())
}

/// What a version says of itself.
fn commit_info(operation: &str) -> Value {
    json!({ "commitInfo": {
        "timestamp": crate::epoch::wall_time() / 1000,
        "operation": operation,
        "operationParameters": { "mode": "Append" },
        "engineInfo": concat!("caudal/", env!("CARGO_PKG_VERSION")),
    } })
}

/// Puts a version where its name is free; false where it is not.
fn put_version(
    folder: &Path,
    version: u64,
    actions: &[Value],
    tag: &str,
) -> Result<bool, SinkError> {
    let path = version_path(folder, version);
    let write = |file: &mut io::BufWriter<fs::File>| {
        actions
            .iter()
            .try_for_each(|action| writeln!(file, "{action}"))
    };
    let temporary = write_beside(&path, tag, write)?;
    put_beside(&temporary, &path)
}

/// An error and what it comes of, in words.
fn in_words(error: &SinkError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}

fn version_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(LOG).join(format!("{version:020}.json"))
}

fn version_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".json")?;
    (number.len() == 20).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests;
