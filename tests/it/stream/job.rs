//! A continuous job in a folder of its own, and a process that runs it.

use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal::epoch::{History, look_at_journal};
use caudal::fault;
use caudal::job::plan::StatePlace;
use serde_json::Value;

use super::folder::{Folder, LOOK};
use crate::ended;
use crate::kafka::broker::Broker;
use crate::tables::{self, Cell, Row};

/// How long anything may take: many times what it takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

const JOB: &str = r#"
format = 1
[job]
name = "sales"
key = ["region"]
epoch = "20 ms"
checkpoint = "100 ms"
join_timeout = "20 s"
output = "out"
[sources.sales]
event_time = "ts"
disorder = "10 seconds"
idle_after = "10 minutes"
kafka = { brokers = "BROKERS", topics = ["TOPIC"] }
json = {}
[sources.sales.columns]
id = "bigint not null"
ts = "timestamp not null"
region = "varchar not null"
amount = "decimal(12,2) not null"
[windows.minute]
per = ["region"]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
[sinks.rows]
files = { path = "rows" }
parquet = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
parquet = {}
[sinks.minutes]
from = "windows.minute"
files = { path = "minutes" }
parquet = {}
[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
parquet = {}
"#;

/// The job.
pub(crate) struct Job {
    folder: Folder,
    _place: tempfile::TempDir,
}

impl Job {
    /// The plain one over a topic.
    pub(crate) fn new(broker: &Broker, topic: &str) -> Self {
        Self::with(broker, topic, |text| text)
    }

    /// One that is written otherwise.
    pub(crate) fn with(broker: &Broker, topic: &str, change: impl Fn(String) -> String) -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::write(place.path(), JOB, broker.addresses(), topic);
        let job = Self {
            folder,
            _place: place,
        };
        job.rewrite(change);
        job
    }

    /// Another one with everything that it has.
    pub(super) fn copy(&self) -> Self {
        let place = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.path("."))
            .arg(place.path())
            .status();
        assert!(copied.unwrap().success());
        let text = fs::read_to_string(place.path().join("job.toml")).unwrap();
        let folder = Folder::write(place.path(), &text, "BROKERS", "TOPIC");
        Self {
            folder,
            _place: place,
        }
    }

    /// Writes its file anew.
    pub(crate) fn rewrite(&self, change: impl Fn(String) -> String) {
        let file = self.folder.path("job.toml");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Something in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// A command of the program on it.
    pub(crate) fn caudal(&self, command: &str) -> Command {
        self.folder.caudal(command)
    }

    /// Waits until something is found in what `caudal epochs --json` says.
    pub(crate) fn find<T>(
        &self,
        what: &dyn Debug,
        patience: Duration,
        find: impl Fn(&Value) -> Option<T>,
    ) -> T {
        self.folder
            .await_some(what, patience, || find(&self.folder.epochs()?))
    }

    /// Waits until something holds.
    pub(crate) fn await_that(&self, what: &str, patience: Duration, is: impl Fn(&Self) -> bool) {
        self.folder
            .await_some(&what, patience, || is(self).then_some(()));
    }

    /// Waits until what stands before these offsets is visible, of each partition.
    pub(crate) fn await_positions(&self, wanted: &[i64]) {
        self.folder.await_positions(wanted, DEADLINE);
    }

    /// Waits until as many rows are visible.
    pub(crate) fn await_rows(&self, rows: usize) {
        self.await_that("rows are missing", DEADLINE, |job| {
            job.rows("rows").len() >= rows
        });
    }

    /// Waits until an epoch later than those now is bound; gives it.
    pub(crate) fn await_epoch(&self) -> u64 {
        let bound = || self.folder.said("bound");
        let before = bound();
        self.await_that("no epoch is bound", DEADLINE, |_| bound() > before);
        bound().unwrap()
    }

    /// What is visible of a sink.
    pub(crate) fn rows(&self, sink: &str) -> Vec<Row> {
        tables::read(&self.folder.path("out").join(sink))
    }

    /// The verdicts of a check.
    pub(crate) fn verdicts(&self, check: &str) -> Vec<Row> {
        let check = Cell::text(check);
        let mut rows = self.rows("verdicts");
        rows.retain(|row| row["check"] == check);
        rows
    }

    /// A file in its folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// A number of what `caudal epochs` says.
    pub(super) fn said(&self, name: &str) -> Option<u64> {
        self.folder.said(name)
    }

    /// The names of the objects that hold the rows of a look-up.
    pub(super) fn objects(&self, lookup: &str) -> Vec<String> {
        let folder = self.state().join("references").join(lookup);
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// Waits until a metric of the running job has this value at least.
    pub(super) fn await_metric(&self, name: &str, least: f64) {
        self.await_that(name, DEADLINE, |job| {
            job.metric(name).into_iter().any(|value| value >= least)
        });
    }

    /// The values of a metric of the running job.
    pub(super) fn metric(&self, name: &str) -> Vec<f64> {
        let text = self.metrics().unwrap_or_default();
        let values = text.lines().filter(|line| line.starts_with(name));
        values
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect()
    }

    /// The metrics of process 0, where it answers.
    fn metrics(&self) -> Option<String> {
        let file = fs::read(self.folder.path("out/_caudal/status.json")).ok()?;
        let said: Value = serde_json::from_slice(&file).ok()?;
        let mut http = TcpStream::connect(said["address"].as_str()?).ok()?;
        http.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        http.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn state(&self) -> PathBuf {
        self.folder.path("out/_caudal/state")
    }

    /// Changes a byte of the newest checkpoint's state.
    pub(crate) fn break_newest_state(&self) {
        let folders = fs::read_dir(self.state().join("checkpoints")).unwrap();
        let newest = folders.map(|entry| entry.unwrap().path()).max().unwrap();
        let files = fs::read_dir(newest).unwrap();
        let file = files.map(|entry| entry.unwrap().path()).min().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    /// Changes a byte of a file of state, by its path below the state folder.
    pub(super) fn break_state(&self, path: &str) {
        let file = self.state().join(path);
        let mut bytes = fs::read(&file).unwrap();
        bytes[20] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    /// What the journal says.
    pub(super) fn history(&self) -> History {
        self.folder.await_some(&"no journal", DEADLINE, || {
            // Compaction may take away what is being read.
            look_at_journal(&StatePlace::Folder(self.state()), Arc::new(|| false)).ok()
        })
    }

    /// Changes a byte of the state of every checkpoint.
    pub(crate) fn break_all_state(&self) {
        for folder in fs::read_dir(self.state().join("checkpoints")).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                let mut bytes = fs::read(&file).unwrap();
                bytes[0] ^= 1;
                fs::write(file, bytes).unwrap();
            }
        }
    }

    /// Writes the newest record of the journal anew.
    pub(crate) fn change_newest_record(&self, change: impl Fn(String) -> String) {
        let records = fs::read_dir(self.state().join("journal")).unwrap();
        let newest = records.map(|entry| entry.unwrap().path()).max().unwrap();
        let text = fs::read_to_string(&newest).unwrap();
        fs::write(newest, change(text)).unwrap();
    }

    /// Makes it as if the job had been killed when the newest checkpoint was in the journal, and before its commit was put.
    pub(crate) fn take_back_newest_commit(&self) {
        let newest = |folder: PathBuf| {
            let files = fs::read_dir(folder).unwrap();
            files.map(|entry| entry.unwrap().path()).max().unwrap()
        };
        let drained = newest(self.state().join("journal"));
        assert!(fs::read_to_string(&drained).unwrap().contains("drained"));
        fs::remove_file(drained).unwrap();
        let manifest = newest(self.path("out/_caudal/manifest"));
        let said: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        for sink in said["sinks"].as_array().unwrap() {
            for file in sink["files"].as_array().unwrap() {
                let [folder, file] =
                    [&sink["path"], &file["path"]].map(|path| path.as_str().unwrap());
                fs::remove_file(self.path("out").join(folder).join(file)).unwrap();
            }
        }
        fs::remove_file(manifest).unwrap();
    }

    /// Removes a record from the midst of the journal.
    pub(crate) fn remove_some_record(&self) {
        let records = fs::read_dir(self.state().join("journal")).unwrap();
        let mut records: Vec<PathBuf> = records.map(|entry| entry.unwrap().path()).collect();
        records.sort();
        fs::remove_file(&records[records.len() - 2]).unwrap();
    }

    /// Takes the state folder away.
    pub(crate) fn remove_state(&self) {
        fs::remove_dir_all(self.state()).unwrap();
    }
}

/// A process that runs a job.
pub(crate) struct Running<'job> {
    job: &'job Job,
    child: Option<Child>,
    told: String,
}

impl<'job> Running<'job> {
    /// Starts it, and waits until it has claimed the job.
    pub(crate) fn start(job: &'job Job, workers: usize) -> Self {
        let generation = || job.folder.said("generation");
        let before = generation();
        let mut running = Self::start_only(job, workers);
        let deadline = Instant::now() + DEADLINE;
        while generation() == before {
            let child = running.child.as_mut().unwrap();
            if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let output = running.child.take().unwrap().wait_with_output().unwrap();
                panic!(
                    "it does not begin: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            std::thread::sleep(LOOK);
        }
        running
    }

    /// Starts it.
    pub(crate) fn start_only(job: &'job Job, workers: usize) -> Self {
        Self::start_by(job, workers, job.folder.caudal("run"))
    }

    /// Starts it with fail points, which leave marks in a folder.
    pub(crate) fn start_armed(job: &'job Job, points: &str, marks: &Path) -> Self {
        Self::start_armed_with(job, points, marks, 2)
    }

    /// The same with so many workers.
    pub(crate) fn start_armed_with(
        job: &'job Job,
        points: &str,
        marks: &Path,
        workers: usize,
    ) -> Self {
        let mut run = job.folder.caudal("run");
        run.env(fault::AT, points).env(fault::MARKS, marks);
        Self::start_by(job, workers, run)
    }

    fn start_by(job: &'job Job, workers: usize, mut run: Command) -> Self {
        let child = run
            .args(["-w", &workers.to_string(), "--quiet", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            job,
            child: Some(child),
            told: String::new(),
        }
    }

    /// Asks the job to commit what it has and end; gives its summary.
    pub(crate) fn stop(self) -> Value {
        self.stop_and_tell().0
    }

    /// The same, with what it told.
    pub(crate) fn stop_and_tell(mut self) -> (Value, String) {
        let stop = self.job.folder.caudal("stop").output().unwrap();
        assert!(
            stop.status.success(),
            "{}",
            String::from_utf8_lossy(&stop.stderr)
        );
        let output = ended::output(self.child.take().unwrap());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", output.status);
        let summary = serde_json::from_slice(&output.stdout);
        let summary = summary.unwrap_or_else(|error| panic!("{error}: {told}"));
        (summary, told.into_owned())
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Bytes that it has in memory.
    pub(super) fn resident(&self) -> u64 {
        let process = self.child.as_ref().expect("it runs").id();
        let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        1024 * kibibytes.parse::<u64>().unwrap()
    }

    /// Sends it a signal, by the name that `kill` has for it.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.as_ref().expect("it runs").id();
        let sent = Command::new("kill")
            .args([name, &process.to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, with this exit code and these words.
    pub(crate) fn ends_with(&mut self, code: i32, words: &[&str]) {
        let child = self.child.take().expect("it ends once");
        let output = ended::output(child);
        self.told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{}", self.told);
        for words in words {
            assert!(
                self.told.contains(words),
                "{words:?} is not in:\n{}",
                self.told
            );
        }
    }

    /// What it told, when it has ended.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Nothing is left of one whose test has failed; what it told may say why.
        if let Some(mut child) = self.child.take() {
            ended::kill(&mut child);
            if let Ok(output) = child.wait_with_output()
                && std::thread::panicking()
            {
                println!("it told: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
