//! Where a running job can be asked: a file under its output root, there while the run is.
//!
//! `_caudal/status.json` is that of process 0, `_caudal/status-N.json` that of process N. A bounded run holds the
//! root while it writes it. Two lives of a continuous job may be about for a moment, of which the older may write last: so each removes
//! only its own, and the one that commits writes its own again where it is not there ([`Announced::renew`]). A killed run leaves its file;
//! the address in it then answers nobody, and the next run replaces or removes it. The file holds no secret.

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

/// An address that stands in its file; dropping it removes the file, unless another's stands there.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
    text: String,
}

impl Address {
    /// What is to stand in the file, which [`Announced::renew`] writes.
    pub(super) fn to_announce(&self, root: &Path) -> Announced {
        let mut text = serde_json::to_string(self).expect("an address is JSON");
        text.push('\n');
        Announced {
            path: file(root, self.process),
            text,
        }
    }
}

impl Announced {
    /// Writes the file as a whole, in place of what stands there, where it isn't this already.
    ///
    /// # Errors
    /// Where the folder can't be made or the file not be written.
    pub fn renew(&self) -> io::Result<()> {
        if self.is_there() {
            return Ok(());
        }
        fs::create_dir_all(self.path.parent().expect("a file stands in a folder"))?;
        let new = self.path.with_extension("json.tmp");
        fs::write(&new, &self.text)?;
        fs::rename(&new, &self.path)
    }

    fn is_there(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.text)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Where it is gone already, or the disk is, nothing is left to do: an address that answers nobody is known as such.
        if self.is_there() {
            drop(fs::remove_file(&self.path));
        }
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
        let announce = |address: Address| {
            let announced = address.to_announce(root.path());
            announced.renew().unwrap();
            announced
        };
        let second = announce(address(1));
        let first = announce(address(0));
        fs::write(root.path().join("_caudal/status-2.json"), "{").unwrap();
        assert_eq!(find(root.path()), [address(0), address(1)]);
        drop(first);
        assert_eq!(find(root.path()), [address(1)]);
        forget(root.path(), 1);
        drop(second);
        assert_eq!(find(root.path()), []);

        // An old life comes late, and ends.
        let new = announce(address(0));
        let mut old = address(0);
        old.pid = 6;
        let old = announce(old);
        assert_eq!(find(root.path())[0].pid, 6);
        new.renew().unwrap();
        drop(old);
        assert_eq!(find(root.path()), [address(0)]);
        drop(new);
        assert_eq!(find(root.path()), []);
    }
}
