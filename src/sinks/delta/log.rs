//! What a Delta table is at a version: its log folded, from the newest checkpoint below it on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::{LOG, READER, WRITER, version_of, version_path};
use crate::sinks::SinkError;
use crate::sinks::output::entries;

/// A table at a version.
///
/// Cost: an action of each file that is in it, or was not long ago, in memory.
#[derive(Debug, Default, PartialEq)]
pub(super) struct State {
    /// The version.
    pub(super) version: Option<u64>,
    /// What it asks of readers and writers.
    pub(super) protocol: Option<Value>,
    /// Its columns and settings.
    pub(super) metadata: Option<Value>,
    /// Of each application the newest transaction.
    pub(super) transactions: BTreeMap<String, Value>,
    /// The files that are in it, by path.
    pub(super) added: BTreeMap<String, Value>,
    /// Files that are in it no more, by path: who reads an older version may need them.
    pub(super) removed: BTreeMap<String, Value>,
}

/// Why a table's log could not be folded.
#[derive(Debug)]
pub(super) enum Unfolded {
    /// It can't be read: where, and what is wrong.
    Broken(PathBuf, String),
    /// The file system.
    Sink(SinkError),
}

impl From<SinkError> for Unfolded {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl State {
    /// Folds the log below the table's folder, up to `version`.
    pub(super) fn at(folder: &Path, version: u64) -> Result<Self, Unfolded> {
        let names = entries(&folder.join(LOG))?;
        let checkpoints = names.iter().filter_map(|name| checkpoint_of(name));
        let newest = checkpoints.filter(|found| *found <= version).max();
        let mut state = Self::default();
        if let Some(newest) = newest {
            state.read_checkpoint(&checkpoint_path(folder, newest))?;
            state.version = Some(newest);
        }
        for next in newest.map_or(0, |newest| newest + 1)..=version {
            if !state.read(folder, next)? {
                let path = version_path(folder, next);
                return Err(Unfolded::Broken(
                    path,
                    "this version is not there".to_owned(),
                ));
            }
        }
        Ok(state)
    }

    /// Folds what came since.
    pub(super) fn advance(&mut self, folder: &Path) -> Result<(), Unfolded> {
        while self.read(folder, self.version.map_or(0, |version| version + 1))? {}
        Ok(())
    }

    /// Folds the next version; false where it is not there.
    fn read(&mut self, folder: &Path, next: u64) -> Result<bool, Unfolded> {
        let path = version_path(folder, next);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(SinkError::io(&path, "reading a file", error).into()),
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let action = serde_json::from_str(line)
                .map_err(|error| Unfolded::Broken(path.clone(), error.to_string()))?;
            self.take(action);
        }
        self.version = Some(next);
        Ok(true)
    }

    /// Whether this build knows all that the table asks of who writes its checkpoints.
    pub(super) fn is_known(&self) -> bool {
        let asks = |of: &str| {
            let protocol = self.protocol.as_ref();
            protocol
                .and_then(|protocol| protocol[of].as_u64())
                .unwrap_or(0)
        };
        self.metadata.is_some()
            && asks("minReaderVersion") <= READER
            && asks("minWriterVersion") <= WRITER
    }

    /// Takes an action: what it says counts from here on.
    pub(super) fn take(&mut self, mut action: Value) {
        let Some(members) = action.as_object_mut() else {
            return;
        };
        for (kind, value) in std::mem::take(members) {
            if value.is_null() {
                continue;
            }
            match kind.as_str() {
                "protocol" => self.protocol = Some(value),
                "metaData" => self.metadata = Some(value),
                "txn" => {
                    if let Some(app) = value["appId"].as_str() {
                        self.transactions.insert(app.to_owned(), value);
                    }
                }
                "add" => {
                    if let Some(path) = value["path"].as_str().map(plain) {
                        self.removed.remove(&path);
                        self.added.insert(path, value);
                    }
                }
                "remove" => {
                    if let Some(path) = value["path"].as_str().map(plain) {
                        self.added.remove(&path);
                        self.removed.insert(path, value);
                    }
                }
                // What was done, and by whom, is of its version alone.
                _ => {}
            }
        }
    }

    fn read_checkpoint(&mut self, path: &Path) -> Result<(), Unfolded> {
        let broken = |problem: String| Unfolded::Broken(path.to_path_buf(), problem);
        let file =
            File::open(path).map_err(|error| SinkError::io(path, "reading a file", error))?;
        let batches = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| broken(error.to_string()))?;
        for batch in batches {
            let batch = batch.map_err(|error| broken(error.to_string()))?;
            // A null among a map's values says something.
            let mut lines = WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, LineDelimited>(Vec::new());
            lines
                .write(&batch)
                .and_then(|()| lines.finish())
                .map_err(|error| broken(error.to_string()))?;
            for line in lines.into_inner().split(|byte| *byte == b'\n') {
                if !line.is_empty() {
                    let action = serde_json::from_slice(line);
                    self.take(action.map_err(|error| broken(error.to_string()))?);
                }
            }
        }
        Ok(())
    }
}

/// The checkpoint of a version.
pub(super) fn checkpoint_path(folder: &Path, version: u64) -> PathBuf {
    folder
        .join(LOG)
        .join(format!("{version:020}.checkpoint.parquet"))
}

/// Of which version a file is the whole checkpoint.
pub(super) fn checkpoint_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".checkpoint.parquet")?;
    version_of(&format!("{number}.json"))
}

/// A path as it is on the disk, however its writer spelled it: each does it in a way of its own.
pub(super) fn plain(uri: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = uri.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = match (
            bytes[at],
            digit(bytes.get(at + 1)),
            digit(bytes.get(at + 2)),
        ) {
            (b'%', Some(high), Some(low)) => u8::try_from(16 * high + low).ok(),
            _ => None,
        };
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}
