//! Files that are there whole and for good, or not at all: what the commit of a sink and a record of the journal rest on.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::fault;

/// Tries of a put whose half-written file was taken for one that a killed process left, and removed. The remover does it once, when
/// it starts, so that two are enough for one start and ten for a crowd.
const TRIES: usize = 10;

/// An answer of the file system.
#[derive(Debug)]
pub(crate) struct FileError {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// What was being done.
    pub(crate) doing: &'static str,
    /// The answer.
    pub(crate) source: io::Error,
}

impl FileError {
    pub(crate) fn new(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self {
            path,
            doing,
            source,
        }
    }
}

/// Syncs a folder, so that the names in it last.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| FileError::new(folder, "syncing a folder", error))
}

/// Makes a folder and those above it where they are not there, synced.
pub(crate) fn ensure_folder(folder: &Path) -> Result<(), FileError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    ensure_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(FileError::new(folder, "creating a folder", error))
        }
        _ if above.as_os_str().is_empty() => sync_folder(Path::new(".")),
        _ => sync_folder(above),
    }
}

/// Writes a file under a name that must not be there yet: whole, synced, or not at all. `Ok(false)`: it was there, and lasts.
///
/// Several processes, on several hosts, may put the same name at once: each writes to a file of its own first, so that none meets
/// the bytes of another.
pub(crate) fn put_if_absent(path: &Path, content: &[u8]) -> Result<bool, FileError> {
    let folder = path.parent().expect("a file has a folder");
    let mut tries = 0;
    loop {
        tries += 1;
        let temporary = write_temporary(path, content)?;
        fault::at("name a file");
        let put = match name_if_absent(&temporary, path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_file(&temporary)?;
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => continue,
            Err(error) => {
                remove_file(&temporary)?;
                return Err(FileError::new(path, "putting a file", error));
            }
        };
        fault::at("sync the name of a file");
        // Also where another one put it, who may not have come to this line.
        sync_folder(folder)?;
        return Ok(put);
    }
}

/// Removes the files that killed processes left half written in a folder. A put that goes on meanwhile begins again.
pub(crate) fn remove_temporaries(folder: &Path) -> Result<(), FileError> {
    for name in names(folder)? {
        if is_temporary(&name) {
            remove_file(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Names in a folder, in no order; none where it is not there.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let failed = |error| FileError::new(folder, "listing a folder", error);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    listing
        .map(|entry| Ok(entry.map_err(failed)?.file_name()))
        .map(|name| Ok(name?.to_string_lossy().into_owned()))
        .collect()
}

/// Removes a file; that it is not there is no error.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FileError::new(path, "removing a file", error))
        }
        _ => Ok(()),
    }
}

fn write_temporary(path: &Path, content: &[u8]) -> Result<PathBuf, FileError> {
    let name = path.file_name().expect("a file has a name");
    let mut own = [0; 8];
    getrandom::fill(&mut own)
        .map_err(|error| FileError::new(path, "naming a file", io::Error::other(error)))?;
    let own = u64::from_ne_bytes(own);
    let temporary = path.with_file_name(format!(".{}.{own:016x}.tmp", name.to_string_lossy()));
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            remove_file(&temporary)?;
            Err(FileError::new(&temporary, "writing a file", error))
        }
    }
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.')
        && name
            .strip_suffix(".tmp")
            .and_then(|name| name.rsplit_once('.'))
            .is_some_and(|(_, own)| {
                own.len() == 16 && own.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
}

/// Gives a file its name, which must not be there yet; an error of kind `AlreadyExists` where it is.
pub(crate) fn name_if_absent(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // File systems without this flag: a second name is made only where it is not there.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(temporary, path).and_then(|()| fs::remove_file(temporary))
        }
        other => other.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_puts_at_once_one_is_there_and_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        ensure_folder(&folder).unwrap();
        for name in 0..8 {
            let path = folder.join(name.to_string());
            let puts: Vec<bool> = std::thread::scope(|scope| {
                let put = |writer: u8| {
                    let path = &path;
                    // Half of them also clear away what looks left over.
                    scope.spawn(move || {
                        if writer.is_multiple_of(2) {
                            remove_temporaries(path.parent().unwrap()).unwrap();
                        }
                        put_if_absent(path, &vec![writer; 70_000]).unwrap()
                    })
                };
                let threads: Vec<_> = (0..6).map(put).collect();
                threads.into_iter().map(|it| it.join().unwrap()).collect()
            });
            let winner = puts.iter().position(|put| *put).unwrap();
            assert_eq!(puts.iter().filter(|put| **put).count(), 1);
            let content = fs::read(&path).unwrap();
            assert_eq!(content, vec![u8::try_from(winner).unwrap(); 70_000]);
        }
        assert_eq!(names(&folder).unwrap().len(), 8);
    }

    #[test]
    fn what_a_killed_put_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        write_temporary(&root.path().join("a.json"), b"half").unwrap();
        for kept in [".hidden", ".a.tmp", "a.json", ".a.json.12.tmp"] {
            fs::write(root.path().join(kept), "x").unwrap();
        }
        assert_eq!(names(root.path()).unwrap().len(), 5);
        remove_temporaries(root.path()).unwrap();
        assert_eq!(names(root.path()).unwrap().len(), 4);
        assert_eq!(names(&root.path().join("absent")).unwrap().len(), 0);
    }
}
