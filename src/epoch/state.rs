//! State of operators that lasts: written at checkpoints, read when a life begins.
//!
//! ```text
//! STATE/checkpoints/000000000120-00000003/tally minute-0.state           epoch, generation, operator and worker
//! STATE/checkpoints/000000000120-00000003/tally minute-0.folded.state    the same folded with what was written before
//! ```
//!
//! A file is written whole and synced before anyone is told of it; the checkpoint's record in the journal names it with its size
//! and hash. Any worker of any later life can read it and take what it owns.

use std::collections::BTreeSet;

use super::{JournalError, StateFile, Store};
use crate::cluster::exchange::hash_bytes;
use crate::fault;
use crate::record::Epoch;

/// Folder of all checkpoints, where the state is.
pub(super) const FOLDER: &str = "checkpoints";

/// Name of the folder of one.
fn folder(epoch: Epoch, generation: u64) -> String {
    format!("{epoch:012}-{generation:08}")
}

/// Epoch and generation of a folder.
pub(super) fn parse(name: &str) -> Option<(Epoch, u64)> {
    let (epoch, generation) = name.split_once('-')?;
    Some((epoch.parse().ok()?, generation.parse().ok()?))
}

/// Why a file of state can't be read.
#[derive(Debug)]
pub enum Unread {
    /// It is not there, or not what was written.
    Broken {
        /// The file, as a person finds it.
        place: String,
        /// In words.
        problem: String,
    },
    /// The store gives no answer.
    Store(JournalError),
}

/// Writes a file of state for the checkpoint at `epoch`. `name` says whose it is, unlike all others of the checkpoint.
pub fn write(
    store: &dyn Store,
    (epoch, generation): (Epoch, u64),
    name: &str,
    bytes: &[u8],
) -> Result<StateFile, JournalError> {
    let path = format!("{FOLDER}/{}/{name}.state", folder(epoch, generation));
    let file = described(path, bytes);
    fault::at("write state");
    put(store, &file, bytes)?;
    fault::at("tell of state");
    Ok(file)
}

/// A file at this path with these bytes.
pub(super) fn described(path: String, bytes: &[u8]) -> StateFile {
    StateFile {
        path,
        bytes: u64::try_from(bytes.len()).expect("a length fits 64 bits"),
        hash: hash_bytes(bytes),
    }
}

/// Folder of the rows of look-ups, where the state is.
const REFERENCES: &str = "references";

/// Where the objects of a look-up's rows are.
pub fn folder_of_references(lookup: &str) -> String {
    format!("{REFERENCES}/{lookup}")
}

/// Where an object of a look-up's rows goes that an epoch of a generation read; `number` tells it from others of both.
pub fn reference(
    lookup: &str,
    (epoch, generation): (Epoch, u64),
    number: usize,
    bytes: &[u8],
) -> StateFile {
    let (folder, name) = (folder_of_references(lookup), folder(epoch, generation));
    let path = format!("{folder}/{name}-{number}.arrow");
    described(path, bytes)
}

/// Writes an object where [`reference()`] said. One that is there is the same.
pub fn put(store: &dyn Store, file: &StateFile, bytes: &[u8]) -> Result<(), JournalError> {
    store.put_if_absent(&file.path, bytes).map(drop)
}

/// Removes objects of look-ups that no checkpoint from `oldest` on needs: those of its epoch and before that are not `kept`.
pub fn tidy_references(
    store: &dyn Store,
    oldest: Epoch,
    kept: &BTreeSet<&str>,
) -> Result<(), JournalError> {
    for lookup in store.list(REFERENCES)? {
        let folder = folder_of_references(&lookup);
        let mut gone = Vec::new();
        for name in store.list(&folder)? {
            let epoch = name.split('-').next().and_then(|epoch| epoch.parse().ok());
            let path = format!("{folder}/{name}");
            if epoch.is_some_and(|epoch: Epoch| epoch <= oldest) && !kept.contains(path.as_str()) {
                gone.push(path);
            }
        }
        store.delete_all(&gone)?;
    }
    Ok(())
}

/// Reads a file of state; what it holds is what was written.
pub fn read(store: &dyn Store, file: &StateFile) -> Result<Vec<u8>, Unread> {
    fault::at("read state");
    let bytes = store.get(&file.path).map_err(Unread::Store)?;
    whole(store, file, bytes)
}

/// What was found of a file, where that is what was written.
pub(super) fn whole(
    store: &dyn Store,
    file: &StateFile,
    bytes: Option<Vec<u8>>,
) -> Result<Vec<u8>, Unread> {
    let broken = |problem: String| Unread::Broken {
        place: store.place(&file.path),
        problem,
    };
    let bytes = bytes.ok_or_else(|| broken("it is not there".to_owned()))?;
    if u64::try_from(bytes.len()) != Ok(file.bytes) || hash_bytes(&bytes) != file.hash {
        return Err(broken(format!(
            "it is not what was written there ({} bytes, expected {})",
            bytes.len(),
            file.bytes
        )));
    }
    Ok(bytes)
}
