//! The job under test, its launch, and what it has committed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::folder::{Folder, LOOK};

const JOB: &str = r#"
format = 1
[job]
name = "ventas"
key = ["region"]
epoch = "50 ms"
checkpoint = "400 ms"
peer_timeout = "1500 ms"
output = "out"
[sources.sales]
event_time = "ts"
disorder = "1 hour"
idle_after = "10 minutes"
kafka = { brokers = "BROKERS", topics = ["TOPIC"] }
json = {}
[sources.sales.columns]
id = "bigint not null"
ts = "timestamp not null"
region = "varchar not null"
part = "int not null"
number = "bigint not null"
amount = "decimal(12,2) not null"
at_partition = { type = "int", kafka = "partition" }
at_offset = { type = "bigint", kafka = "offset" }
[lookups.regions]
on = { code = "sales.region" }
missing = { then = "refuse", reason = "unknown_region" }
files = { paths = ["regions.csv"] }
csv = {}
columns = { code = "varchar", zone = "varchar" }
[rules.not_of_east]
expect = "zone <> 'E' or number % 97 <> 0"
then = "drop"
[windows.minute]
per = ["region"]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
sum_amount = "sum(amount)"
var_amount = "var_samp(amount)"
[checks.usual]
window = "minute"
variance = { of = "sum_amount", against = { previous = 5 }, warn_beyond = 1.5, min_history = 3 }
value = "z"
[sinks.rows]
files = { path = "rows", partition_by = ["zone"] }
parquet = {}
[sinks.rows.columns]
id = "id"
ts = "ts"
region = "region"
part = "part"
number = "number"
amount = "amount"
at_partition = "at_partition"
at_offset = "at_offset"
zone = "zone"
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

/// A job file in a folder of its own.
pub(crate) struct Job {
    folder: Folder,
}

impl Job {
    /// Writes it.
    pub(crate) fn write(folder: &Path, brokers: &str, topic: &str) -> Self {
        let folder = Folder::write(folder, JOB, brokers, topic);
        let regions = "code,zone\nN,N\nS,S\nE,E\nW,W\n";
        fs::write(folder.path("regions.csv"), regions).unwrap();
        Self { folder }
    }

    /// The epoch up to which everything is visible.
    pub(crate) fn committed(&self) -> Option<u64> {
        self.folder.said("committed")
    }

    /// Waits until an epoch after `before` is visible; gives it.
    pub(crate) fn await_commit_after(&self, before: Option<u64>, patience: Duration) -> u64 {
        self.folder
            .await_some(&"nothing is committed any more", patience, || {
                let committed = self.committed().filter(|epoch| *epoch > 0)?;
                before
                    .is_none_or(|before| committed > before)
                    .then_some(committed)
            })
    }

    /// Waits until another generation has claimed the job.
    pub(crate) fn await_generation_after(&self, before: u64, patience: Duration) {
        self.folder.await_some(&"nobody takes over", patience, || {
            let now = self.folder.said("generation");
            now.filter(|now| *now > before)
        });
    }

    /// Waits until as many messages of each partition are visible.
    pub(crate) fn await_positions(&self, sent: &[i64], patience: Duration) {
        self.folder.await_positions(sent, patience);
    }

    /// Asks it to go on with other numbers.
    pub(crate) fn rescale(&self, (processes, workers): (u64, u64)) {
        Self::ask(|| {
            let mut rescale = self.folder.caudal("rescale");
            rescale.args(["-n", &processes.to_string(), "-w", &workers.to_string()]);
            rescale
        });
    }

    /// Asks a job for something, again where it is between two lives.
    fn ask(command: impl Fn() -> Command) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let output = command().output().unwrap();
            if output.status.success() || Instant::now() > deadline {
                return well(&output);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A launch of the job.
pub(crate) struct Launch {
    child: Child,
    /// Numbers of processes and workers.
    pub(crate) shape: (u64, u64),
    /// The generation at its start.
    pub(crate) generation: u64,
}

impl Launch {
    /// Starts one, and waits until its first generation has claimed the job.
    pub(crate) fn start(job: &Job, shape: (u64, u64)) -> Self {
        let told = fs::File::options()
            .append(true)
            .create(true)
            .open(job.folder.path("told.log"))
            .unwrap();
        let before = job.folder.said("generation").unwrap_or(0);
        let child = job
            .folder
            .caudal("launch")
            .args(["-n", &shape.0.to_string(), "-w", &shape.1.to_string()])
            .stdin(Stdio::null())
            .stdout(told.try_clone().unwrap())
            .stderr(told)
            .spawn()
            .unwrap();
        job.await_generation_after(before, Duration::from_mins(1));
        Self {
            child,
            shape,
            generation: before + 1,
        }
    }

    /// The launch's own process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processes that it has started and that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let output = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &self.child.id().to_string()])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect()
    }

    /// Ends it by SIGKILL; its processes end by themselves.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends one that was taken over from.
    pub(crate) fn end_old(&mut self) {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap();
    }

    /// Asks the job to commit what it has and end, and waits for it.
    pub(crate) fn stop(mut self, job: &Job) {
        Job::ask(|| job.folder.caudal("stop"));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", job.folder.told());
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        // Nothing is left of one whose test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn well(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sends a signal to a process, if it is still there.
pub(crate) fn signal(process: u32, name: &str) {
    drop(
        Command::new("kill")
            .args(["-s", name, &process.to_string()])
            .output()
            .unwrap(),
    );
}

/// Holds what two jobs have made visible against each other and against what was sent.
pub(crate) fn compare(python: &Path, one: &Job, other: &Job, sent: &[i64]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/compare.py");
    let output = Command::new(python)
        .arg(script)
        .args([one.folder.path("out"), other.folder.path("out")])
        .args(sent.iter().map(i64::to_string))
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    well(&output);
}
