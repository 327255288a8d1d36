//! A continuous job over a folder of files, and a process that runs it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ended;
use crate::stream::folder::{Folder, LOOK};
use crate::tables::{self, Cell, Row};

/// How long anything may take: many times what it takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// The job: FILES and FORMAT stand for what a test says.
const JOB: &str = r#"
format = 1
[job]
name = "sales"
key = ["region"]
CONTINUOUS
join_timeout = "20 s"
output = "out"
[sources.sales]
event_time = "ts"
FILES
FORMAT
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
total = "sum(amount)"
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
"#;

const CONTINUOUS: &str = "epoch = \"20 ms\"\ncheckpoint = \"100 ms\"";

/// A folder with a job, and `in` with its files.
pub(super) struct Job {
    folder: Folder,
    place: tempfile::TempDir,
}

impl Job {
    /// One that follows `in/PATTERN`; `options` are more of the table `files`, or nothing.
    pub(super) fn new(pattern: &str, options: &str, format: &str) -> Self {
        Self::with(pattern, options, format, |text| text)
    }

    /// One that is written otherwise.
    pub(super) fn with(
        pattern: &str,
        options: &str,
        format: &str,
        change: impl Fn(String) -> String,
    ) -> Self {
        let files = format!("files = {{ paths = [\"in/{pattern}\"], follow = true{options} }}");
        let text = JOB
            .replace("CONTINUOUS", CONTINUOUS)
            .replace("FILES", &files)
            .replace("FORMAT", format);
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("in")).unwrap();
        Self {
            folder: Folder::write(place.path(), &change(text), "", ""),
            place,
        }
    }

    /// A file of its input.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path("in").join(name)
    }

    /// Adds bytes to a file, which is made where there is none.
    pub(super) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.file(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// Puts a file there as a whole.
    pub(super) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file("put.tmp"), bytes).unwrap();
        self.rename("put.tmp", name);
    }

    /// Renames a file.
    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    /// Compresses a file as gzip does: the other one is whole before it is gone.
    pub(super) fn gzip(&self, name: &str) {
        let packed = gzip(&fs::read(self.file(name)).unwrap());
        fs::write(self.file(&format!("{name}.gz")), packed).unwrap();
        fs::remove_file(self.file(name)).unwrap();
    }

    /// What is visible of a sink.
    pub(super) fn rows(&self, sink: &str) -> Vec<Row> {
        tables::read(&self.folder.path("out").join(sink))
    }

    /// The ids of the rows that are visible, sorted.
    pub(super) fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.rows("rows").iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until exactly these rows are visible, by their ids.
    pub(super) fn await_ids(&self, wanted: &[i64]) {
        let patience = Instant::now() + DEADLINE;
        loop {
            let ids = self.ids();
            if ids == wanted {
                return;
            }
            let twice: Vec<&[i64]> = ids.windows(2).filter(|two| two[0] == two[1]).collect();
            let missing: Vec<&i64> = wanted.iter().filter(|id| !ids.contains(id)).collect();
            let is_over = ids.len() > wanted.len() || Instant::now() > patience;
            assert!(
                !is_over,
                "{} rows, not {}; twice: {twice:?}, missing: {missing:?}; {:?}",
                ids.len(),
                wanted.len(),
                self.folder.epochs()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until something holds.
    pub(super) fn await_that(&self, what: &str, is: impl Fn(&Self) -> bool) {
        self.await_within(DEADLINE, what, is);
    }

    /// The same of what takes longer.
    pub(super) fn await_within(&self, deadline: Duration, what: &str, is: impl Fn(&Self) -> bool) {
        self.folder
            .await_some(&what, deadline, || is(self).then_some(()));
    }

    /// Waits until everything was looked at that is there now: until so many epochs more are bound.
    pub(super) fn await_epochs(&self, more: u64) {
        let bound = || self.folder.said("bound").unwrap_or(0);
        let wanted = bound() + more;
        self.await_that("no epoch is bound", |_| bound() >= wanted);
    }

    /// Where files stand, as `caudal epochs` says it: name, how many had it before, byte.
    pub(super) fn stands(&self) -> Vec<(String, u64, u64)> {
        let said = self.folder.epochs().unwrap_or_default();
        let partitions = said["partitions"].as_array().cloned().unwrap_or_default();
        let stand = |known: &Value| {
            let path = PathBuf::from(known["partition"]["topic"].as_str().unwrap());
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let number = known["partition"]["partition"].as_u64().unwrap();
            (name, number, known["to"].as_u64().unwrap())
        };
        partitions.iter().map(stand).collect()
    }

    /// Runs a job with an end, of the same sources, over the files that are there now; gives a folder with its output.
    pub(super) fn bounded(&self, pattern: &str, format: &str) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let paths = self.file(pattern).display().to_string();
        let text = JOB
            .replace("CONTINUOUS", "max_refused = \"100 %\"")
            .replace("FILES", &format!("files = {{ paths = [\"{paths}\"] }}"))
            .replace("FORMAT", format);
        let folder = Folder::write(place.path(), &text, "", "");
        let output = folder.caudal("run").arg("--quiet").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let out = place.path().join("out");
        (place, out)
    }

    /// Where its outputs are.
    pub(super) fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    /// A command of the program on the job.
    pub(super) fn caudal(&self, command: &str) -> Command {
        self.folder.caudal(command)
    }
}

/// The id of a row.
pub(crate) fn id(row: &Row) -> i64 {
    match &row["id"] {
        Cell::Whole(id) => i64::try_from(*id).unwrap(),
        other => panic!("id is {other:?}"),
    }
}

/// Bytes as gzip packs them.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Processes that run a job.
pub(super) struct Running<'job> {
    job: &'job Job,
    child: Option<Child>,
}

impl<'job> Running<'job> {
    /// Starts it in one process of so many threads, and waits until it has claimed the job.
    pub(super) fn start(job: &'job Job, workers: usize) -> Self {
        Self::shaped(job, 1, workers)
    }

    /// Starts it in so many processes and threads, and waits until it has claimed the job.
    pub(super) fn shaped(job: &'job Job, processes: usize, workers: usize) -> Self {
        let generation = || job.folder.said("generation");
        let before = generation();
        let mut running = Self::start_only(job, processes, workers);
        let deadline = Instant::now() + DEADLINE;
        while generation() == before {
            let waits = !running.has_ended() && Instant::now() < deadline;
            assert!(waits, "it does not begin: {}", running.end().1);
            std::thread::sleep(LOOK);
        }
        running
    }

    /// Starts it.
    pub(super) fn start_only(job: &'job Job, processes: usize, workers: usize) -> Self {
        Self::start_with(job, processes, workers, &[])
    }

    /// Starts it so that one of its processes ends at a fail point, as by SIGKILL.
    pub(super) fn dying(job: &'job Job, processes: usize, workers: usize, point: &str) -> Self {
        let marks = job.place.path().join("marks");
        fs::create_dir(&marks).unwrap();
        let marks = marks.display().to_string();
        let variables = [("CAUDAL_FAULT_AT", point), ("CAUDAL_FAULT_MARKS", &marks)];
        Self::start_with(job, processes, workers, &variables)
    }

    fn start_with(
        job: &'job Job,
        processes: usize,
        workers: usize,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = if processes == 1 {
            job.caudal("run")
        } else {
            let mut launch = job.caudal("launch");
            launch.args(["-n", &processes.to_string()]);
            launch
        };
        let child = command
            .args(["-w", &workers.to_string(), "--quiet"])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            job,
            child: Some(child),
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let mut child = self.child.take().expect("it ends once");
        ended::kill(&mut child);
        let Output { status, stderr, .. } = ended::output(child);
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Kills all of its processes, which must run still.
    pub(super) fn kill(mut self) {
        let has_ended = self.has_ended();
        let (status, told) = self.end();
        assert!(!has_ended, "it has ended by itself with {status:?}: {told}");
    }

    /// Asks it to commit what it has and end.
    pub(super) fn stop(mut self) {
        let stop = self.job.caudal("stop").output().unwrap();
        assert!(stop.status.success(), "{stop:?}");
        let output = ended::output(self.child.take().unwrap());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", output.status);
    }

    /// Waits until it ends by itself, with this exit code and these words.
    pub(super) fn ends_with(mut self, code: i32, words: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        while !self.has_ended() {
            assert!(
                Instant::now() < deadline,
                "it does not end; {:?}",
                self.job.stands()
            );
            std::thread::sleep(LOOK);
        }
        let (status, told) = self.end();
        assert_eq!(status, Some(code), "{told}");
        for words in words {
            assert!(told.contains(words), "{words:?} is not in:\n{told}");
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Nothing is left of one whose test has failed; what it told may say why.
        if self.child.is_some() {
            let (status, told) = self.end();
            println!("it ended with {status:?}, and told: {told}");
        }
    }
}
