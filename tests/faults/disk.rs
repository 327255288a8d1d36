//! A disk that can be full: a file system in memory whose size is set to what is used of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its size while there is room: a bound, and nothing that is taken.
const ROOM: u64 = 4 << 30;

/// A mounted one; gone when dropped.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one; `None`, and a word, where that is not permitted.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={ROOM}"),
                "caudal-faults",
            ])
            .arg(at)
            .output();
        let told = match output {
            Ok(output) if output.status.success() => {
                return Some(Self {
                    at: at.to_path_buf(),
                });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        println!("skipped: no disk is made full, for want of the right to mount one: {told}");
        None
    }

    /// Where it is.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// Leaves room for so many bytes and no more.
    pub(crate) fn fill(&self, room: u64) {
        // The job may write between look and change, which is then refused.
        for _ in 0..1000 {
            let found = rustix::fs::statvfs(&self.at).unwrap();
            let used = (found.f_blocks - found.f_bfree) * found.f_bsize;
            if self.resize(used + room) {
                return;
            }
        }
        panic!("{}: it can't be made full", self.at.display());
    }

    /// Gives room again.
    pub(crate) fn make_room(&self) {
        assert!(self.resize(ROOM), "{}: it stays full", self.at.display());
    }

    fn resize(&self, size: u64) -> bool {
        Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.at)
            .output()
            .unwrap()
            .status
            .success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where a process that a failed test left still holds it.
        drop(Command::new("umount").arg("-l").arg(&self.at).output());
    }
}
