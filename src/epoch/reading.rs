//! What a life reads of the state that it goes on from: each file once in a process, whoever needs it.
//!
//! Process 0 reads a checkpoint whole to know that it can be used. What it has read and found whole is kept for those that take it up, and let
//! go when the last of them has; on other processes the first worker that needs a file reads it for all.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StateFile, state};

/// Bytes that are kept for those that take them up, at most; what is beyond is read again.
const KEPT_BYTES: usize = 256 << 20;

/// Files of state that are being taken up in one process.
pub struct Reading {
    state: PathBuf,
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
    /// Of nothing yet, below this state folder.
    pub fn new(state: PathBuf) -> Self {
        Self {
            state,
            kept: Mutex::default(),
        }
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        &self.state
    }

    /// Reads files that all have to be there and whole, and keeps what they hold.
    ///
    /// Errors: in words, of the first that is not.
    pub fn verify<'a>(&self, mut files: impl Iterator<Item = &'a StateFile>) -> Result<(), String> {
        let mut kept = self.lock();
        files.try_for_each(|file| self.find(&mut kept, file).map(drop))
    }

    /// What a file holds, for one of so many that take it; behind the last of them it is kept no more.
    ///
    /// Errors: in words, where it is not there or not what was written.
    pub fn take(&self, file: &StateFile, of: usize) -> Result<Arc<Vec<u8>>, String> {
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
    fn find(&self, kept: &mut Kept, file: &StateFile) -> Result<Arc<Vec<u8>>, String> {
        if let Some(found) = kept.files.get(&file.path) {
            return Ok(Arc::clone(&found.bytes));
        }
        let bytes = Arc::new(state::read(&self.state, file)?);
        kept.read += file.bytes;
        if kept.bytes + bytes.len() <= KEPT_BYTES {
            kept.bytes += bytes.len();
            let found = File {
                bytes: Arc::clone(&bytes),
                taken: 0,
            };
            kept.files.insert(file.path.clone(), found);
        }
        Ok(bytes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_read_once_and_kept_until_the_last_has_taken_it() {
        let root = tempfile::tempdir().unwrap();
        let files: Vec<StateFile> = ["a-0", "a-1", "b-0"]
            .iter()
            .map(|name| state::write(root.path(), (3, 1), name, name.as_bytes()).unwrap())
            .collect();
        let reading = Reading::new(root.path().to_path_buf());
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
        let file = state::write(root.path(), (3, 1), "a-0", b"state").unwrap();
        std::fs::write(root.path().join(&file.path), b"stAte").unwrap();
        let reading = Reading::new(root.path().to_path_buf());
        let problem = reading.verify([&file].into_iter()).unwrap_err();
        assert!(problem.contains("not what was written"), "{problem}");
        assert_eq!(reading.take(&file, 1).unwrap_err(), problem);
    }
}
