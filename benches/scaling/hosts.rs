//! A run on three hosts: network namespaces, each with a process.

#[path = "../shared/namespaces.rs"]
mod namespaces;

use std::path::Path;
use std::process::{Child, Command, Output};

use super::{BINARY, Result};

pub(crate) use namespaces::Hosts;

impl Hosts {
    /// Runs one process on each host, with these words; gives what process 0 said, or the first that failed.
    pub(crate) fn run(&self, file: &Path, words: impl Fn(&mut Command)) -> Result<Output> {
        std::fs::write(file, self.file())?;
        let count = self.names.len().to_string();
        let start = |(process, name): (usize, &String)| {
            let mut command = Command::new("ip");
            command
                .args(["netns", "exec", name, BINARY, "run"])
                .args(["-n", &count, "-p", &process.to_string(), "-h"])
                .arg(file);
            words(&mut command);
            command.spawn()
        };
        let processes = self.names.iter().enumerate().map(start);
        let processes = processes.collect::<std::io::Result<Vec<_>>>()?;
        let outputs = processes.into_iter().map(Child::wait_with_output);
        let outputs = outputs.collect::<std::io::Result<Vec<Output>>>()?;
        let failed = outputs.iter().position(|output| !output.status.success());
        let told = failed.unwrap_or(0);
        outputs
            .into_iter()
            .nth(told)
            .ok_or_else(|| "no hosts".into())
    }
}
