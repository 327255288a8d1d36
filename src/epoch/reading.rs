//! What a life reads of the state that it goes on from: each file once in a process, whoever needs it.
//!
//! Process 0 reads a checkpoint whole to know that it can be used. What it has read and found whole is kept for those that take it up, and let
//! go when the last of them has; on other processes the first worker that needs a file reads it for all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::state::Unread;
use super::{StateFile, Store, state};
use crate::fault;

/// Bytes that are kept for those that take them up, at most; what is beyond is read again.
const KEPT_BYTES: usize = 256 << 20;

/// Files that are asked for together.
const AT_ONCE: usize = 16;

/// Files of state that are being taken up in one process.
pub struct Reading {
    store: Arc<dyn Store>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    files: HashMap<String, File>,
    /// Bytes of all of `files`.
    bytes: usize,
    /// Bytes that were read so far.
    read: u64,
}

struct File {
    bytes: Arc<Vec<u8>>,
    /// How often it was taken.
    taken: usize,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Reading {
    /// Of nothing yet, where this state is.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            kept: Mutex::default(),
        }
    }

    /// Where the state is.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Reads files that all have to be there and whole, and keeps what they hold.
    ///
    /// Errors: of the first that is not, and where the store gives no answer.
    pub fn verify<'a>(&self, files: impl Iterator<Item = &'a StateFile>) -> Result<(), Unread> {
        let mut kept = self.lock();
        let files: Vec<&StateFile> = files.collect();
        for files in files.chunks(AT_ONCE) {
            fault::at("read state");
            let missing = files
                .iter()
                .filter(|file| !kept.files.contains_key(&file.path));
            let missing: Vec<&StateFile> = missing.copied().collect();
            let names: Vec<String> = missing.iter().map(|file| file.path.clone()).collect();
            let found = self.store.get_all(&names).map_err(Unread::Store)?;
            for (file, bytes) in missing.into_iter().zip(found) {
                let bytes = state::whole(&*self.store, file, bytes)?;
                Self::hold(&mut kept, file, Arc::new(bytes));
            }
        }
        Ok(())
    }

    /// What a file holds, for one of so many that take it; behind the last of them it is kept no more.
    ///
    /// Errors: it is not there or not what was written; the store gives no answer.
    pub fn take(&self, file: &StateFile, of: usize) -> Result<Arc<Vec<u8>>, Unread> {
        let mut kept = self.lock();
        let bytes = self.find(&mut kept, file)?;
        let found = kept.files.get_mut(&file.path);
        let is_last = found.is_some_and(|found| {
            found.taken += 1;
            found.taken >= of
        });
        if is_last && kept.files.remove(&file.path).is_some() {
            kept.bytes -= bytes.len();
        }
        Ok(bytes)
    }

    /// Lets go of all but these: nobody takes the others.
    pub fn keep<'a>(&self, files: impl Iterator<Item = &'a StateFile>) {
        let mut kept = self.lock();
        let of_checkpoint: Vec<&str> = files.map(|file| file.path.as_str()).collect();
        kept.files
            .retain(|path, _| of_checkpoint.contains(&path.as_str()));
        kept.bytes = kept.files.values().map(|file| file.bytes.len()).sum();
    }

    /// Bytes that were read so far.
    pub fn bytes(&self) -> u64 {
        self.lock().read
    }

    /// What a file holds; read where it is not kept. Others wait meanwhile: they want the same file, as a rule.
    fn find(&self, kept: &mut Kept, file: &StateFile) -> Result<Arc<Vec<u8>>, Unread> {
        if let Some(found) = kept.files.get(&file.path) {
            return Ok(Arc::clone(&found.bytes));
        }
        let bytes = Arc::new(state::read(&*self.store, file)?);
        Self::hold(kept, file, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Keeps what was read of a file, as far as there is room.
    fn hold(kept: &mut Kept, file: &StateFile, bytes: Arc<Vec<u8>>) {
        kept.read += file.bytes;
        if kept.bytes + bytes.len() <= KEPT_BYTES {
            kept.bytes += bytes.len();
            let found = File { bytes, taken: 0 };
            kept.files.insert(file.path.clone(), found);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::open_state;
    use super::*;
    use crate::job::plan::StatePlace;
    use std::path::Path;

    fn folder(path: &Path) -> Arc<dyn Store> {
        open_state(&StatePlace::Folder(path.to_path_buf()), Arc::new(|| false)).unwrap()
    }

    #[test]
    fn each_file_is_read_once_and_kept_until_the_last_has_taken_it() {
        let root = tempfile::tempdir().unwrap();
        let store = folder(root.path());
        let files: Vec<StateFile> = ["a-0", "a-1", "b-0"]
            .iter()
            .map(|name| state::write(&*store, (3, 1), name, name.as_bytes()).unwrap())
            .collect();
        let reading = Reading::new(Arc::clone(&store));
        reading.verify(files.iter()).unwrap();
        assert_eq!(reading.bytes(), 9);
        reading.keep(files[..2].iter());
        // From here on nobody reads them from the disk.
        std::fs::remove_dir_all(root.path().join("checkpoints")).unwrap();
        for (taker, file) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let bytes = reading.take(&files[file], 2).unwrap();
            assert_eq!(&**bytes, format!("a-{file}").as_bytes(), "{taker}");
        }
        assert_eq!(reading.bytes(), 9);
        assert_eq!(reading.lock().bytes, 0);
        // A third was not expected, and the other file was let go of.
        reading.take(&files[0], 2).unwrap_err();
        reading.take(&files[2], 1).unwrap_err();
    }

    #[test]
    fn a_file_that_was_changed_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let store = folder(root.path());
        let file = state::write(&*store, (3, 1), "a-0", b"state").unwrap();
        std::fs::write(root.path().join(&file.path), b"stAte").unwrap();
        let reading = Reading::new(Arc::clone(&store));
        for unread in [
            reading.verify([&file].into_iter()).unwrap_err(),
            reading.take(&file, 1).unwrap_err(),
        ] {
            let Unread::Broken { problem, .. } = unread else {
                panic!("{unread:?}");
            };
            assert!(problem.contains("not what was written"), "{problem}");
        }
    }
}
