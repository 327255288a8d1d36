//! Small files of a Delta table put together, beside the commits that make them.
//!
//! ```text
//! 1. fence    a version that says from which generation on files are merged       once a life, before its first merge
//! 2. tidy     merged files of older generations that no version names
//! 3. rewrite  the small files of a partition, into one that nobody sees yet; synced
//! 4. put      a version: add the one, remove the others, no change of rows         <─ the merge
//! 5. remove   files that were removed from the table longer than `keep` ago
//! ```
//!
//! **Readers of the table see each row once, at any moment**: 4 is one version, there whole or not. Who reads an older version finds its
//! files for `keep` after they were removed. (Readers of the folder alone see the rows of both.)
//!
//! **Others' merges win.** A version is put where its name is free. Where it is not, what came meanwhile is folded, and the merge goes on
//! only while every file that it takes away is in the table still, and columns and protocol are the same; else its own file is removed. New
//! files of commits are no hindrance: those of the same process come all the while.
//!
//! **An older generation does no harm.** It may wake up with a file that it has rewritten, and 2 may have taken that away. Its version would be
//! put behind that of 1 only, since 1 took the name that was free when it looked last, or one after it; so it finds there that it is
//! over. Until 1 is put, nothing of older generations is taken away. Versions of merges say nothing of epochs: how far the table is, is told by
//! the newest `txn` of commits as ever, and rows are added by those alone.
//!
//! A crash leaves a file that no version names, which the next life takes away (2), or files that are to be removed, which 5 finds again
//! as long as checkpoints tell of them, which they do for `keep`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use serde_json::{Value, json};

use super::actions::uri;
use super::log::{State, Unfolded};
use super::{commit_info, put_version};
use crate::fault;
use crate::sinks::SinkError;
use crate::sinks::output::{entries, sync_folder};

/// Small files of a partition that are put together: as many as Delta's own merging while it writes waits for.
pub(super) const MANY: usize = 50;

/// Bytes of a file that is not small any more; as Delta has it, half of [`WHOLE`]. A merged file below it is merged again, so its rows may be
/// written some times: a larger number makes that more, a smaller one leaves more files.
const SMALL: u64 = 64 << 20;

/// Bytes that are put together at most, as Delta has it.
const WHOLE: u64 = 128 << 20;

/// Encoded bytes at which a row group is written out.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Rows that are read at a time.
const ROWS: usize = 8192;

/// Merging rests so many times as long as it works: at most the fourth part of one processor is taken from workers.
const REST: u32 = 3;

/// What the names of merged files begin with; the generation follows.
const MERGED: &str = "merged-";

/// Who merges the files of a table.
pub(super) struct Merger {
    /// The table's folder.
    pub(super) folder: PathBuf,
    /// By what its log knows the sink.
    pub(super) app: String,
    /// The generation of the job.
    pub(super) generation: u64,
    /// What files that are not put are called by; nobody else's.
    pub(super) tag: String,
    /// How long removed files stay.
    pub(super) keep: Duration,
    /// How merged files are compressed.
    pub(super) codec: Compression,
}

/// Files of one partition that become one.
struct Group {
    /// The folder below the table's, with its `/`.
    folder: String,
    values: Value,
    /// By path.
    files: BTreeMap<String, Value>,
}

impl Merger {
    /// Merges the small files of a table, until `is_over`.
    pub(super) fn merge(&self, mut state: State, is_over: &AtomicBool) -> Result<(), Unfolded> {
        let groups = groups(&state.added);
        if groups.is_empty() || !self.fence(&mut state)? {
            return Ok(());
        }
        for (number, group) in groups.into_iter().enumerate() {
            if is_over.load(Ordering::Acquire) {
                return Ok(());
            }
            fault::at("merge small files");
            self.merge_group(&mut state, &group, number, is_over)?;
        }
        Ok(())
    }

    /// 5. Removes the files that were removed from the table longer ago than readers are given.
    pub(super) fn clear(&self, state: &State) -> Result<(), SinkError> {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let before = (crate::epoch::wall_time() / 1000).saturating_sub(keep);
        for (path, removed) in &state.removed {
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_ours = ["part-", MERGED].iter().any(|ours| name.starts_with(ours));
            let is_old = removed["deletionTimestamp"]
                .as_i64()
                .is_some_and(|at| at < before);
            if is_ours && is_old && is_below(path) {
                remove(&self.folder.join(path))?;
            }
        }
        Ok(())
    }

    /// By what the log knows merges of the sink.
    fn app(&self) -> String {
        format!("{} merges", self.app)
    }

    /// The newest generation that merges.
    fn newest(&self, state: &State) -> Option<u64> {
        state.transactions.get(&self.app())?["version"].as_u64()
    }

    /// 1, 2. False: a newer generation merges.
    fn fence(&self, state: &mut State) -> Result<bool, Unfolded> {
        if self.newest(state) == Some(self.generation) {
            return Ok(true);
        }
        let now = crate::epoch::wall_time() / 1000;
        let txn = json!({ "txn": { "appId": self.app(), "version": self.generation, "lastUpdated": now } });
        fault::at("fence merges of a table");
        if !self.put(state, "FENCE", vec![txn], &BTreeMap::new())? {
            return Ok(false);
        }
        self.tidy(state, "")?;
        Ok(true)
    }

    /// Puts a version, unless a newer generation merges or some of these files are not in the table any more.
    fn put(
        &self,
        state: &mut State,
        operation: &str,
        mut actions: Vec<Value>,
        files: &BTreeMap<String, Value>,
    ) -> Result<bool, Unfolded> {
        let metadata = state.metadata.clone();
        actions.insert(0, commit_info(operation));
        loop {
            state.advance(&self.folder)?;
            let is_there = |path: &String| state.added.contains_key(path);
            if self.newest(state) > Some(self.generation)
                || !state.is_known()
                || state.metadata != metadata
                || !files.keys().all(is_there)
            {
                return Ok(false);
            }
            let next = state.version.map_or(0, |version| version + 1);
            if put_version(&self.folder, next, &actions, &self.tag)? {
                state.version = Some(next);
                for action in actions {
                    state.take(action);
                }
                return Ok(true);
            }
        }
    }

    /// Removes merged files of older generations, below a folder of the table, that its log does not name.
    fn tidy(&self, state: &State, below: &str) -> Result<(), SinkError> {
        let folder = self.folder.join(below);
        for name in entries(&folder)? {
            if name.starts_with(['_', '.']) {
                continue;
            }
            let path = format!("{below}{name}");
            if folder.join(&name).is_dir() {
                self.tidy(state, &format!("{path}/"))?;
                continue;
            }
            let generation = name
                .strip_prefix(MERGED)
                .and_then(|rest| rest.split('-').next());
            let generation = generation.and_then(|generation| generation.parse::<u64>().ok());
            let is_old = generation.is_some_and(|generation| generation < self.generation);
            if is_old && !state.added.contains_key(&path) && !state.removed.contains_key(&path) {
                remove(&self.folder.join(&path))?;
            }
        }
        Ok(())
    }

    /// 3, 4.
    fn merge_group(
        &self,
        state: &mut State,
        group: &Group,
        number: usize,
        is_over: &AtomicBool,
    ) -> Result<(), Unfolded> {
        let version = state.version.unwrap_or(0);
        let name = format!("{MERGED}{:08}-{version}-{number}.parquet", self.generation);
        let path = format!("{}{name}", group.folder);
        let disk = self.folder.join(&path);
        let merged = self.rewrite(group, &disk, is_over);
        let rows = match merged {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(remove(&disk)?),
            Err(error) => {
                remove(&disk)?;
                return Err(error);
            }
        };
        let size = fs::metadata(&disk)
            .map_err(|error| SinkError::io(&disk, "looking at a file", error))?
            .len();
        sync_folder(disk.parent().expect("a file has a folder"))?;
        let now = crate::epoch::wall_time() / 1000;
        let mut actions = vec![json!({ "add": {
            "path": uri(&path),
            "partitionValues": group.values,
            "size": size,
            "modificationTime": now,
            "dataChange": false,
            "stats": json!({ "numRecords": rows }).to_string(),
        } })];
        actions.extend(group.files.values().map(|file| {
            json!({ "remove": {
                "path": file["path"],
                "deletionTimestamp": now,
                "dataChange": false,
                "extendedFileMetadata": true,
                "partitionValues": file["partitionValues"],
                "size": file["size"],
            } })
        }));
        fault::at("put a merge");
        if self.put(state, "OPTIMIZE", actions, &group.files)? {
            fault::at("go on behind a merge");
            tracing::info!(
                action = "files-merged",
                table = %self.folder.display(),
                files = group.files.len(),
                rows,
                "small files of a table were put together"
            );
        } else {
            remove(&disk)?;
        }
        Ok(())
    }

    /// Writes the rows of all files of a group into one; how many. `None`: its files have not the same columns, or `is_over`.
    fn rewrite(
        &self,
        group: &Group,
        path: &Path,
        is_over: &AtomicBool,
    ) -> Result<Option<u64>, Unfolded> {
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_created_by(concat!("caudal version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(self.codec)
            .build();
        let mut writer: Option<(SchemaRef, ArrowWriter<File>)> = None;
        let mut rows = 0_u64;
        for file in group.files.keys() {
            let from = self.folder.join(file);
            let broken = |error: ParquetError| Unfolded::Broken(from.clone(), error.to_string());
            let opened =
                File::open(&from).map_err(|error| SinkError::io(&from, "reading a file", error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(broken)?;
            let schema = SchemaRef::clone(reader.schema());
            let reader = reader.with_batch_size(ROWS).build().map_err(broken)?;
            let (known, writer) = if let Some(writer) = &mut writer {
                writer
            } else {
                let created = File::create(path)
                    .map_err(|error| SinkError::io(path, "creating a file", error))?;
                let options = ArrowWriterOptions::new()
                    .with_properties(properties.clone())
                    .with_skip_arrow_metadata(true);
                let made =
                    ArrowWriter::try_new_with_options(created, SchemaRef::clone(&schema), options);
                writer.insert((SchemaRef::clone(&schema), made.map_err(broken)?))
            };
            if *known != schema {
                return Ok(None);
            }
            for batch in reader {
                let since = Instant::now();
                let batch = batch.map_err(|error| broken(error.into()))?;
                rows += u64::try_from(batch.num_rows()).expect("a number of rows fits");
                writer.write(&batch).map_err(broken)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES {
                    writer.flush().map_err(broken)?;
                }
                std::thread::sleep(since.elapsed() * REST);
                if is_over.load(Ordering::Acquire) {
                    return Ok(None);
                }
            }
        }
        let Some((_, writer)) = writer else {
            return Ok(None);
        };
        let broken = |error: ParquetError| Unfolded::Broken(path.to_path_buf(), error.to_string());
        let file = writer.into_inner().map_err(broken)?;
        file.sync_all()
            .map_err(|error| SinkError::io(path, "syncing a file", error))?;
        Ok(Some(rows))
    }
}

/// The partitions with many small files, and those of them that become one: the oldest.
fn groups(added: &BTreeMap<String, Value>) -> Vec<Group> {
    let mut partitions: BTreeMap<(&str, String), Vec<(&String, &Value)>> = BTreeMap::new();
    for (path, file) in added {
        let is_small = file["size"].as_u64().is_some_and(|size| size < SMALL);
        // With what others mean by a vector of deletions this build has nothing to do.
        if is_small && is_below(path) && file["deletionVector"].is_null() {
            let folder = path
                .split_at(path.rfind('/').map_or(0, |slash| slash + 1))
                .0;
            let of_partition = (folder, file["partitionValues"].to_string());
            partitions
                .entry(of_partition)
                .or_default()
                .push((path, file));
        }
    }
    let mut groups = Vec::new();
    for ((folder, _), mut files) in partitions {
        if files.len() < MANY {
            continue;
        }
        files.sort_by_key(|(_, file)| file["modificationTime"].as_i64());
        let values = files[0].1["partitionValues"].clone();
        let mut bytes = 0;
        let some = files.into_iter().take_while(|(_, file)| {
            bytes += file["size"].as_u64().unwrap_or(0);
            bytes <= WHOLE
        });
        groups.push(Group {
            folder: folder.to_owned(),
            values,
            files: some
                .map(|(path, file)| (path.clone(), file.clone()))
                .collect(),
        });
    }
    groups
}

/// Whether a path is one below the table's folder: others may name files elsewhere.
fn is_below(path: &str) -> bool {
    !path.contains("://") && !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

fn remove(path: &Path) -> Result<(), SinkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(SinkError::io(path, "removing a file", error))
        }
        _ => Ok(()),
    }
}
