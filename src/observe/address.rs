//! Where a running job can be asked: a file under its output root, there while the run is.
//!
//! `_caudal/status.json` is that of process 0, `_caudal/status-N.json` that of process N. Whoever writes it holds the root, so
//! that two runs can't mix theirs. A killed run leaves its file; the address in it then answers nobody, and the next run
//! replaces or removes it. The file holds no secret.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version of the file.
pub const FORMAT: u32 = 1;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Version of the file.
    pub format: u32,
    /// Name of the job.
    pub job: String,
    /// Index of the process.
    pub process: usize,
    /// Its number in the operating system.
    pub pid: u32,
    /// Address and port that answer.
    pub address: String,
}

/// An address that stands in its file; dropping it removes the file.
#[derive(Debug)]
pub struct Announced(PathBuf);

impl Address {
    /// Writes the file as a whole, in place of what stands there.
    ///
    /// # Errors
    /// Where the folder can't be made or the file not be written.
    pub(super) fn announce(&self, root: &Path) -> io::Result<Announced> {
        let path = file(root, self.process);
        fs::create_dir_all(path.parent().expect("a file stands in a folder"))?;
        let new = path.with_extension("json.tmp");
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        fs::write(&new, text)?;
        fs::rename(&new, &path)?;
        Ok(Announced(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Where it is gone already, or the disk is, nothing is left to do: an address that answers nobody is known as such.
        drop(fs::remove_file(&self.0));
    }
}

/// The addresses of all processes of a run under this root, in order of their index; a file that can't be read counts as none.
pub fn find(root: &Path) -> Vec<Address> {
    let Ok(entries) = fs::read_dir(root.join("_caudal")) else {
        return Vec::new();
    };
    let mut found: Vec<Address> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("status") && name.ends_with(".json")
        })
        .filter_map(|entry| fs::read(entry.path()).ok())
        .filter_map(|text| serde_json::from_slice::<Address>(&text).ok())
        .filter(|address| address.format == FORMAT)
        .collect();
    found.sort_by_key(|address| address.process);
    found
}

/// Removes what a killed process of this index left.
pub(super) fn forget(root: &Path, process: usize) {
    drop(fs::remove_file(file(root, process)));
}

/// The file of a process.
pub fn file(root: &Path, process: usize) -> PathBuf {
    root.join("_caudal").join(if process == 0 {
        "status.json".to_owned()
    } else {
        format!("status-{process}.json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_while_they_are_held() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()), []);
        let address = |process| Address {
            format: FORMAT,
            job: "ventas".to_owned(),
            process,
            pid: 7,
            address: format!("127.0.0.1:{process}"),
        };
        let second = address(1).announce(root.path()).unwrap();
        let first = address(0).announce(root.path()).unwrap();
        fs::write(root.path().join("_caudal/status-2.json"), "{").unwrap();
        assert_eq!(find(root.path()), [address(0), address(1)]);
        drop(first);
        assert_eq!(find(root.path()), [address(1)]);
        forget(root.path(), 1);
        drop(second);
        assert_eq!(find(root.path()), []);
    }
}
