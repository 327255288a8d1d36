//! A continuous job in a folder, by what the program says of it.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often something is looked at that changes.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The folder with `job.toml`.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Writes the job, over this topic of these brokers.
    pub(crate) fn write(folder: &Path, job: &str, brokers: &str, topic: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let text = job.replace("BROKERS", brokers).replace("TOPIC", topic);
        fs::write(folder.join("job.toml"), text).unwrap();
        Self(folder.to_path_buf())
    }

    /// Something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A command of the program on the job.
    pub(crate) fn caudal(&self, command: &str) -> Command {
        let mut caudal = Command::new(env!("CARGO_BIN_EXE_caudal"));
        caudal
            .arg(command)
            .arg(self.path("job.toml"))
            .env_remove("CAUDAL_TOKEN")
            .env_remove("CAUDAL_STATUS_TOKEN");
        caudal
    }

    /// What `caudal epochs --json` says; nothing while there is no journal.
    pub(crate) fn epochs(&self) -> Option<Value> {
        let output = self.caudal("epochs").arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// A number among that.
    pub(crate) fn said(&self, name: &str) -> Option<u64> {
        self.epochs()?[name].as_u64()
    }

    /// Waits until something is found; `what` is said where it isn't.
    pub(crate) fn await_some<T>(
        &self,
        what: &dyn Debug,
        patience: Duration,
        find: impl Fn() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = find() {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{what:?}; {:?}\n{}",
                self.epochs(),
                self.told()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until what stands before these offsets is visible, of each partition.
    pub(crate) fn await_positions(&self, wanted: &[i64], patience: Duration) {
        self.await_some(&("not committed", wanted), patience, || {
            let said = self.epochs()?;
            let partitions = said["partitions"].as_array()?;
            let is_read = |(partition, wanted): (usize, &i64)| {
                partitions.iter().any(|known| {
                    known["partition"]["partition"].as_u64() == u64::try_from(partition).ok()
                        && known["to"].as_i64() == Some(*wanted)
                })
            };
            let committed = said["committed"] == said["checkpoint"];
            (committed && wanted.iter().enumerate().all(is_read)).then_some(())
        });
    }

    /// The end of what was told into `told.log`, where anything was.
    pub(crate) fn told(&self) -> String {
        let text = fs::read_to_string(self.path("told.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
