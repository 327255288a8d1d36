//! A real service for as long as a test needs it, started and held by its script under `tests/services`.
//!
//! The script ends the service and removes its data when the pipe to it is closed, which the system does however this process ends.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The script's word for "what this needs can't be had here".
const UNAVAILABLE: i32 = 69;

/// A service that ends with this value.
#[derive(Debug)]
pub(crate) struct Service {
    /// The script; its standard input holds the service.
    holder: Child,
    /// What it said when the service was there.
    said: Vec<String>,
}

impl Service {
    /// Starts one, with `options` of the script's `start`, which says so many lines; `None`, and a word, where there is none.
    pub(crate) fn start(name: &str, script: &Path, options: &[&str], lines: usize) -> Option<Self> {
        let mut holder = Command::new(script)
            .args(["start", "--hold"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal tells the tests is for the tests; the service ends by the pipe.
            .process_group(0)
            .spawn()
            .unwrap();
        let said: Vec<String> = BufReader::new(holder.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .take(lines)
            .collect();
        if said.len() < lines {
            let mut told = String::new();
            let mut errors = holder.stderr.take().unwrap();
            errors.read_to_string(&mut told).unwrap();
            let status = holder.wait().unwrap();
            assert_eq!(status.code(), Some(UNAVAILABLE), "no {name}: {told}");
            println!("skipped: {told}");
            return None;
        }
        Some(Self { holder, said })
    }

    /// What it said behind these words, such as `"KAFKA_DATA="`.
    pub(crate) fn said(&self, words: &str) -> &str {
        let mut said = self.said.iter();
        said.find_map(|line| line.strip_prefix(words)).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}
