//! State of operators on disk: written at checkpoints, read when a life begins.
//!
//! ```text
//! STATE/checkpoints/000000000120-00000003/tally minute-0.state           epoch, generation, operator and worker
//! STATE/checkpoints/000000000120-00000003/tally minute-0.folded.state    the same folded with what was written before
//! ```
//!
//! A file is written whole and synced before anyone is told of it; the checkpoint's record in the journal names it with its size
//! and hash. Any worker of any later life can read it and take what it owns.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::durable;
use super::{JournalError, StateFile};
use crate::cluster::exchange::hash_bytes;
use crate::fault;
use crate::record::Epoch;

/// Folder of all checkpoints, below the state folder.
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

/// Writes a file of state for the checkpoint at `epoch`. `name` says whose it is, unlike all others of the checkpoint.
pub fn write(
    state: &Path,
    (epoch, generation): (Epoch, u64),
    name: &str,
    bytes: &[u8],
) -> Result<StateFile, JournalError> {
    let path = format!("{FOLDER}/{}/{name}.state", folder(epoch, generation));
    let file = described(path, bytes);
    fault::at("write state");
    put(state, &file, bytes)?;
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

/// Folder of the rows of look-ups, below the state folder.
const REFERENCES: &str = "references";

/// Where an object of a look-up's rows goes that an epoch of a generation read; `number` tells it from others of both.
pub fn reference(
    lookup: &str,
    (epoch, generation): (Epoch, u64),
    number: usize,
    bytes: &[u8],
) -> StateFile {
    let name = folder(epoch, generation);
    let path = format!("{REFERENCES}/{lookup}/{name}-{number}.arrow");
    described(path, bytes)
}

/// Writes an object where [`reference()`] said. One that is there is the same.
pub fn put(state: &Path, file: &StateFile, bytes: &[u8]) -> Result<(), JournalError> {
    let whole = state.join(&file.path);
    durable::ensure_folder(whole.parent().expect("a file has a folder"))?;
    durable::put_if_absent(&whole, bytes)?;
    Ok(())
}

/// Removes objects of look-ups that no checkpoint from `oldest` on needs: those of its epoch and before that are not `kept`.
pub fn tidy_references(
    state: &Path,
    oldest: Epoch,
    kept: &BTreeSet<&str>,
) -> Result<(), JournalError> {
    for lookup in durable::names(&state.join(REFERENCES))? {
        let folder = format!("{REFERENCES}/{lookup}");
        for name in durable::names(&state.join(&folder))? {
            let epoch = name.split('-').next().and_then(|epoch| epoch.parse().ok());
            let path = format!("{folder}/{name}");
            if epoch.is_some_and(|epoch: Epoch| epoch <= oldest) && !kept.contains(path.as_str()) {
                durable::remove_file(&state.join(&path))?;
            }
        }
    }
    Ok(())
}

/// Reads a file of state; what it holds is what was written.
///
/// Errors: in words, where it is not there or not what was written.
pub fn read(state: &Path, file: &StateFile) -> Result<Vec<u8>, String> {
    fault::at("read state");
    let path = state.join(&file.path);
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if u64::try_from(bytes.len()) != Ok(file.bytes) || hash_bytes(&bytes) != file.hash {
        return Err(format!(
            "{}: it is not what was written there ({} bytes, expected {})",
            path.display(),
            bytes.len(),
            file.bytes
        ));
    }
    Ok(bytes)
}
