//! Checkpoints of a Delta table's log: what the table is at a version in one file, so that readers need not read all versions before it.
//!
//! ```text
//! _delta_log/00000000000000000010.json
//!            00000000000000000010.checkpoint.parquet     an action a row: protocol, metaData, txn, add, remove
//!            _last_checkpoint                            {"version":10,"size":14}: where readers begin
//! ```
//!
//! A checkpoint says nothing that the versions up to it do not, so who writes it and how often makes no difference: it is written beside
//! the commits, on a thread, and where that ends half-way readers begin at the one before. It is named only when it is whole, and
//! `_last_checkpoint` says so only when it is named. Where it can't be written, that is told, and the next one is.
//!
//! Versions that are older than [`LOG_RETENTION`] and lie below a checkpoint that is as old go then: no reader begins with them.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};

use super::log::{State, Unfolded, checkpoint_of, checkpoint_path};
use super::{LOG, version_of};
use crate::fault;
use crate::sinks::SinkError;
use crate::sinks::output::{entries, put_beside, sync_folder, write_beside};

/// Versions from one checkpoint to the next, which is Delta's own default: readers read so many small files at most. Fewer would write all
/// that the table is more often.
pub(super) const EVERY: u64 = 10;

/// How long files are told of that are in the table no more, for who reads an older version or clears away: Delta's default.
pub(super) const FILE_RETENTION: Duration = Duration::from_hours(7 * 24);

/// How long versions stay that readers don't need, but for looking back: Delta's default.
const LOG_RETENTION: Duration = Duration::from_hours(30 * 24);

/// Actions that become rows at a time.
const ROWS: usize = 4096;

/// Writes the checkpoint of a version, at which the table is `state`, and clears away what nobody needs since. Files that were removed are
/// told of for `keep`. `tag` is in the names of files that are being put.
///
/// Cost: the table's state in memory once more ([`State`]).
pub(super) fn write(
    folder: &Path,
    state: &State,
    keep: Duration,
    tag: &str,
) -> Result<(), Unfolded> {
    let Some(version) = state.version else {
        return Ok(());
    };
    let now = crate::epoch::wall_time() / 1000;
    let actions = actions(state, keep, now);
    let path = checkpoint_path(folder, version);
    let broken = |problem: String| Unfolded::Broken(path.clone(), problem);
    let batches = rows(&actions).map_err(|error| broken(error.to_string()))?;
    let write = |file: &mut std::io::BufWriter<File>| {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let mut writer = ArrowWriter::try_new(file, schema(), Some(properties))?;
        for batch in &batches {
            writer.write(batch)?;
        }
        writer.close().map(drop).map_err(Into::into)
    };
    fault::at("write a table's checkpoint");
    let temporary = write_beside(&path, tag, write)?;
    fault::at("put a table's checkpoint");
    // Where it is there, another wrote the same.
    put_beside(&temporary, &path)?;
    fault::at("tell of a table's checkpoint");
    tell(folder, version, actions.len(), tag)?;
    fault::at("clear a table's log");
    let now = u64::try_from(crate::epoch::wall_time()).unwrap_or_default();
    clear(folder, version, UNIX_EPOCH + Duration::from_micros(now))?;
    Ok(())
}

/// Says where readers begin, unless it is said of a later version.
fn tell(folder: &Path, version: u64, size: usize, tag: &str) -> Result<(), SinkError> {
    let path = folder.join(LOG).join("_last_checkpoint");
    let known = fs::read(&path).ok();
    let known = known.and_then(|known| serde_json::from_slice::<Value>(&known).ok());
    if known.and_then(|known| known["version"].as_u64()) >= Some(version) {
        return Ok(());
    }
    let says = json!({ "version": version, "size": size });
    let temporary = write_beside(&path, tag, |file| write!(file, "{says}"))?;
    fs::rename(&temporary, &path).map_err(|error| SinkError::io(&path, "naming a file", error))?;
    sync_folder(&folder.join(LOG))
}

/// Removes versions and checkpoints below the newest checkpoint that is older than [`LOG_RETENTION`].
fn clear(folder: &Path, newest: u64, now: SystemTime) -> Result<(), SinkError> {
    let log = folder.join(LOG);
    let names = entries(&log)?;
    let is_old = |path: &Path| {
        let changed = fs::metadata(path).and_then(|found| found.modified());
        changed.is_ok_and(|changed| {
            now.duration_since(changed)
                .is_ok_and(|age| age > LOG_RETENTION)
        })
    };
    let checkpoints = names.iter().filter_map(|name| checkpoint_of(name));
    let old =
        checkpoints.filter(|found| *found < newest && is_old(&checkpoint_path(folder, *found)));
    let Some(base) = old.max() else {
        return Ok(());
    };
    let mut below: Vec<(u64, PathBuf)> = names
        .iter()
        .filter_map(|name| {
            let path = |version| (version < base).then(|| (version, log.join(name)));
            version_of(name)
                .or_else(|| checkpoint_of(name))
                .and_then(path)
        })
        .collect();
    // The oldest first: what is there reaches from some version to the newest, at any moment.
    below.sort();
    for (_, path) in below.into_iter().filter(|(_, path)| is_old(path)) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(SinkError::io(&path, "removing a file", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a checkpoint says, an action a row.
fn actions(state: &State, keep: Duration, now: i64) -> Vec<Value> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let is_told = |remove: &Value| {
        let deleted = remove["deletionTimestamp"].as_i64().unwrap_or(0);
        deleted > now.saturating_sub(keep)
    };
    let one = |kind: &str, value: &Value| {
        Value::Object(Map::from_iter([(kind.to_owned(), value.clone())]))
    };
    // Readers take what is in a checkpoint for no change.
    let unchanged = |kind: &str, value: &Value| {
        let mut action = one(kind, value);
        action[kind]["dataChange"] = json!(false);
        action
    };
    let protocol = state.protocol.iter().map(|value| one("protocol", value));
    let metadata = state.metadata.iter().map(|value| one("metaData", value));
    let transactions = state.transactions.values().map(|value| one("txn", value));
    let removed = state.removed.values().filter(|remove| is_told(remove));
    let removed = removed.map(|value| unchanged("remove", value));
    let added = state.added.values().map(|value| unchanged("add", value));
    let before = protocol.chain(metadata).chain(transactions);
    before.chain(removed).chain(added).collect()
}

fn rows(actions: &[Value]) -> Result<Vec<arrow_array::RecordBatch>, arrow_schema::ArrowError> {
    let mut batches = Vec::new();
    for some in actions.chunks(ROWS) {
        let mut decoder = ReaderBuilder::new(schema())
            .with_batch_size(ROWS)
            .build_decoder()?;
        decoder.serialize(some)?;
        batches.extend(decoder.flush()?);
    }
    Ok(batches)
}

/// The columns of a checkpoint, as the protocol has them for tables of the first versions.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let map = |name: &str| {
        let entry = Fields::from(vec![
            Field::new("key", DataType::Utf8, false),
            text("value"),
        ]);
        let entries = Field::new("key_value", DataType::Struct(entry), false);
        Field::new(name, DataType::Map(Arc::new(entries), false), true)
    };
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let partition_columns = DataType::List(Arc::new(text("element")));
    Arc::new(Schema::new(vec![
        group(
            "txn",
            vec![text("appId"), number("version"), number("lastUpdated")],
        ),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                number("size"),
                number("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![
                text("path"),
                number("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                number("size"),
            ],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                Field::new("partitionColumns", partition_columns, true),
                map("configuration"),
                number("createdTime"),
            ],
        ),
        group(
            "protocol",
            vec![
                Field::new("minReaderVersion", DataType::Int32, true),
                Field::new("minWriterVersion", DataType::Int32, true),
            ],
        ),
    ]))
}
