//! Where records are kept: a place in which a name, once put, is never replaced.

use std::fmt::Debug;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::bucket::BucketStore;
use crate::epoch::durable::{self, FileError};
use crate::job::plan::StatePlace;

/// Objects by name, with `/` between folder and name: a folder on a disk, or a bucket.
///
/// The journal rests on three promises: of two puts of a name at most one is done; what is put is whole and lasts when the put
/// answers, also when it answers that the name was there; [`list`](Self::list) and [`get`](Self::get) show every put that had
/// answered before they were asked. A failing put may be done all the same. On a bucket `put_if_absent` is one PUT with
/// `If-None-Match: *`.
pub trait Store: Debug + Send + Sync {
    /// Puts an object where none of that name is. `Ok(false)`: one is.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError>;

    /// The bytes of an object; `None` where it is not there.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// The names in a folder, without it, in no order. One that is put or deleted meanwhile may be in it or not.
    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError>;

    /// Removes an object; that it is not there is no error. After a power cut it may be back.
    fn delete(&self, name: &str) -> Result<(), JournalError>;

    /// The bytes of several objects, as of [`get`](Self::get) each; at once, where asking takes long.
    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, JournalError> {
        names.iter().map(|name| self.get(name)).collect()
    }

    /// Removes several objects, in no order; at once, where asking takes long.
    fn delete_all(&self, names: &[String]) -> Result<(), JournalError> {
        names.iter().try_for_each(|name| self.delete(name))
    }

    /// Removes a folder that holds nothing, where folders are more than parts of names.
    fn remove_empty(&self, _folder: &str) -> Result<(), JournalError> {
        Ok(())
    }

    /// A name as a person finds it.
    fn place(&self, name: &str) -> String;
}

/// The object of [`probe`]. It stays: removing it could only make the next probe meet another one's.
const PROBE: &str = "probe/put-if-absent";

/// Makes sure that the store refuses a second create of a name.
pub fn probe(store: &dyn Store) -> Result<(), JournalError> {
    let (first, second) = (b"first\n".as_slice(), b"second\n".as_slice());
    let failed = |problem| JournalError::NotExclusive {
        place: store.place(PROBE),
        problem,
    };
    store.put_if_absent(PROBE, first)?;
    if store.put_if_absent(PROBE, second)? {
        return Err(failed("was put twice, and the second put was not refused"));
    }
    match store.get(PROBE)? {
        Some(bytes) if bytes == first => Ok(()),
        Some(_) => Err(failed("was replaced by a put that was refused")),
        None => Err(failed("was put and is not there")),
    }
}

/// Whether whoever asks a store waits for its answer no more.
pub type IsOver = Arc<dyn Fn() -> bool + Send + Sync>;

/// Opens the place of a job's state, to write: a folder is made where it is not there.
pub fn open_state(at: &StatePlace, is_over: IsOver) -> Result<Arc<dyn Store>, JournalError> {
    Ok(match at {
        StatePlace::Folder(folder) => Arc::new(LocalStore::open(folder)?),
        StatePlace::Bucket(bucket) => Arc::new(BucketStore::open(bucket, is_over)?),
    })
}

/// The place of a job's state as it is: nothing is made or removed by opening it.
pub fn look_at_state(at: &StatePlace, is_over: IsOver) -> Result<Arc<dyn Store>, JournalError> {
    Ok(match at {
        StatePlace::Folder(folder) => Arc::new(LocalStore::look(folder)),
        StatePlace::Bucket(bucket) => Arc::new(BucketStore::open(bucket, is_over)?),
    })
}

/// A folder. Several processes, on several hosts, may use it at once.
#[derive(Debug)]
pub(super) struct LocalStore {
    folder: PathBuf,
}

impl LocalStore {
    /// The folder as it is, to read from: nothing is made or removed.
    pub(super) fn look(folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        Self { folder }
    }

    /// Makes the folder where it is not there, and removes what killed processes left half written in it.
    pub(super) fn open(folder: &Path) -> Result<Self, JournalError> {
        durable::ensure_folder(folder)?;
        for inner in durable::names(folder)? {
            let inner = folder.join(inner);
            if inner.is_dir() {
                durable::remove_temporaries(&inner)?;
            }
        }
        let folder = folder.to_path_buf();
        Ok(Self { folder })
    }
}

impl Store for LocalStore {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        let path = self.folder.join(name);
        durable::ensure_folder(path.parent().expect("a name lies below the folder"))?;
        Ok(durable::put_if_absent(&path, bytes)?)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new(&path, "reading a file", error).into()),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        let mut names = durable::names(&self.folder.join(folder))?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<(), JournalError> {
        Ok(durable::remove_file(&self.folder.join(name))?)
    }

    fn remove_empty(&self, folder: &str) -> Result<(), JournalError> {
        let path = self.folder.join(folder);
        match fs::remove_dir(&path) {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound
                ) =>
            {
                Err(FileError::new(&path, "removing old state", error).into())
            }
            _ => Ok(()),
        }
    }

    fn place(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
