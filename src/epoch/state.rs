//! State of operators that lasts: written at checkpoints, read when a life begins.
//!
//! ```text
//! STATE/checkpoints/000000000120-00000003/tally minute-0.state           epoch, generation, operator and worker
//! STATE/checkpoints/000000000120-00000003/tally minute-0.folded.state    the same folded with what was written before
//! STATE/references/shops/000000000120-00000003-0.arrow                   rows of a look-up, all or what changed
//! STATE/copies/shops/000000000120-00000003-0.arrow                       the same once more
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

/// Where the second of each object of look-ups' rows is.
const COPIES: &str = "copies";

/// The path of a file's second, where it has one.
fn copy_of(path: &str) -> Option<String> {
    let path = path.strip_prefix(REFERENCES)?;
    Some(format!("{COPIES}{path}"))
}

/// Writes the second of an object of a look-up's rows.
///
/// Rows of a look-up may never change, and are in the object of the first epoch then, which every checkpoint names: no older one is left
/// where it is damaged. So there are two of each, in two folders, which costs their bytes once more. An object counts when its first is
/// there; the second follows when nothing waits for it, and a life writes those that the one before it did not come to.
pub fn copy(store: &dyn Store, file: &StateFile, bytes: &[u8]) -> Result<(), JournalError> {
    match copy_of(&file.path) {
        Some(path) => {
            fault::at("copy rows of a look-up");
            store.put_if_absent(&path, bytes).map(drop)
        }
        None => Ok(()),
    }
}

/// The paths of a look-up's objects that have a second.
pub fn copied(store: &dyn Store, lookup: &str) -> Result<BTreeSet<String>, JournalError> {
    let names = store.list(&format!("{COPIES}/{lookup}"))?.into_iter();
    let folder = folder_of_references(lookup);
    Ok(names.map(|name| format!("{folder}/{name}")).collect())
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
    for root in [REFERENCES, COPIES] {
        for lookup in store.list(root)? {
            let of_kept = folder_of_references(&lookup);
            let mut gone = Vec::new();
            for name in store.list(&format!("{root}/{lookup}"))? {
                let epoch = name.split('-').next().and_then(|epoch| epoch.parse().ok());
                let is_old = epoch.is_some_and(|epoch: Epoch| epoch <= oldest);
                if is_old && !kept.contains(format!("{of_kept}/{name}").as_str()) {
                    gone.push(format!("{root}/{lookup}/{name}"));
                }
            }
            store.delete_all(&gone)?;
        }
    }
    Ok(())
}

/// Reads a file of state; what it holds is what was written.
pub fn read(store: &dyn Store, file: &StateFile) -> Result<Vec<u8>, Unread> {
    fault::at("read state");
    let bytes = store.get(&file.path).map_err(Unread::Store)?;
    whole(store, file, bytes)
}

/// What was found of a file, or else of its second, where that is what was written.
pub(super) fn whole(
    store: &dyn Store,
    file: &StateFile,
    bytes: Option<Vec<u8>>,
) -> Result<Vec<u8>, Unread> {
    let first = as_written(store, file, bytes);
    let (Err(Unread::Broken { place, problem }), Some(second)) = (&first, copy_of(&file.path))
    else {
        return first;
    };
    let found = store.get(&second).map_err(Unread::Store)?;
    let Ok(bytes) = as_written(store, file, found) else {
        return first;
    };
    // Whoever does it at the same time puts the same bytes, and where none of them comes to the put, the second is there still.
    let mended = store.delete(&file.path);
    let mended = mended.and_then(|()| put(store, file, &bytes));
    tracing::warn!(
        action = "reference-broken",
        problem = format!("{place}: {problem}"),
        copy = store.place(&second),
        is_mended = mended.is_ok(),
        "an object with rows of a look-up is damaged; its copy is used"
    );
    Ok(bytes)
}

/// What was found of a file, where that is what was written.
fn as_written(
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::open_state;
    use super::*;
    use crate::job::plan::StatePlace;

    fn folder(path: &Path) -> Arc<dyn Store> {
        open_state(&StatePlace::Folder(path.to_path_buf()), Arc::new(|| false)).unwrap()
    }

    #[test]
    fn a_damaged_object_of_a_look_up_is_read_from_its_copy_and_mended() {
        let root = tempfile::tempdir().unwrap();
        let store = folder(root.path());
        let bytes = b"rows of regions";
        let file = reference("regions", (0, 1), 0, bytes);
        put(&*store, &file, bytes).unwrap();
        let first = root.path().join(&file.path);
        // Without its second it is broken.
        std::fs::write(&first, b"rows of regiOns").unwrap();
        assert!(matches!(read(&*store, &file), Err(Unread::Broken { .. })));
        assert!(copied(&*store, "regions").unwrap().is_empty());
        copy(&*store, &file, bytes).unwrap();
        assert!(copied(&*store, "regions").unwrap().contains(&file.path));
        assert_eq!(read(&*store, &file).unwrap(), bytes);
        assert_eq!(std::fs::read(&first).unwrap(), bytes);
        std::fs::remove_file(&first).unwrap();
        assert_eq!(read(&*store, &file).unwrap(), bytes);
        // Both are broken: neither is made up, nor touched.
        let second = root
            .path()
            .join("copies/regions/000000000000-00000001-0.arrow");
        for path in [&first, &second] {
            std::fs::write(path, b"no rows").unwrap();
        }
        let unread = read(&*store, &file).unwrap_err();
        let Unread::Broken { place, .. } = unread else {
            panic!("{unread:?}");
        };
        assert!(place.contains("references/regions"), "{place}");
        assert_eq!(std::fs::read(&second).unwrap(), b"no rows");
        // Both go when no checkpoint needs them.
        let later = reference("regions", (7, 1), 0, bytes);
        put(&*store, &later, bytes).unwrap();
        copy(&*store, &later, bytes).unwrap();
        tidy_references(&*store, 7, &BTreeSet::from([later.path.as_str()])).unwrap();
        assert!(!first.exists() && !second.exists());
        assert!(root.path().join(&later.path).exists());
        assert_eq!(copied(&*store, "regions").unwrap().len(), 1);
    }
}
