//! Files that become visible together, when all of them are whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{GenerateError, create_folder};

/// Bytes gathered before they are written. Below some 64 KiB the system calls are felt; far above, only memory is.
const BUFFER_BYTES: usize = 1 << 20;

/// A file being written under a hidden name; dropping it before [`publish`] removes it.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    /// Where it is now, until it is in its place.
    hidden: Option<PathBuf>,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
}

impl Staged {
    /// Opens a file that will stand at `path`, and makes its folder.
    pub(super) fn create(path: &Path) -> Result<Self, GenerateError> {
        let folder = path.parent().expect("a generated file is in a folder");
        let name = path
            .file_name()
            .expect("a generated file has a name")
            .to_string_lossy();
        create_folder(folder)?;
        // With the process's number, two runs at once don't write into one file; the last one to finish is kept.
        let hidden = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&hidden).map_err(|source| GenerateError::CreateFile {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            file,
            hidden: Some(hidden),
            path: path.to_path_buf(),
            buffer: Vec::with_capacity(BUFFER_BYTES + 1024),
            written: 0,
        })
    }

    /// Bytes that wait to be written; append to it.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer once it holds enough.
    pub(super) fn flush_when_full(&mut self) -> Result<(), GenerateError> {
        if self.buffer.len() < BUFFER_BYTES {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        self.file
            .write_all(&self.buffer)
            .map_err(|source| GenerateError::Write {
                path: self.path.clone(),
                source,
            })?;
        self.written +=
            u64::try_from(self.buffer.len()).expect("a buffer has fewer than 2^64 bytes");
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(hidden) = self.hidden.take() {
            // The file is left over from a failure that is being reported; a second error would only hide the first.
            drop(fs::remove_file(hidden));
        }
    }
}

/// Writes what is left of each file, then gives all of them their names, in order; returns their bytes.
///
/// The last file vouches for the others, so its earlier version is removed before any of them changes.
pub(super) fn publish(mut staged: Vec<Staged>) -> Result<u64, GenerateError> {
    for file in &mut staged {
        file.flush()?;
    }
    if let Some(last) = staged.last()
        && let Err(source) = fs::remove_file(&last.path)
        && source.kind() != std::io::ErrorKind::NotFound
    {
        return Err(GenerateError::Publish {
            path: last.path.clone(),
            source,
        });
    }
    for file in &mut staged {
        let hidden = file.hidden.as_ref().expect("a file is published once");
        fs::rename(hidden, &file.path).map_err(|source| GenerateError::Publish {
            path: file.path.clone(),
            source,
        })?;
        file.hidden = None;
    }
    Ok(staged.iter().map(|file| file.written).sum())
}
