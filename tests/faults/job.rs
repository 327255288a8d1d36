//! The job under test, its launch, and what it has committed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use caudal::fault;

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
state = "state"
[sources.sales]
event_time = "ts"
disorder = "1 hour"
idle_after = "10 minutes"
# A request that a cut network has swallowed is given up, and asked again, while the suite still watches.
kafka = { brokers = "BROKERS", topics = ["TOPIC"], options = { "socket.timeout.ms" = "1500" } }
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
files = { paths = ["regions.csv"], follow = true }
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
# Many segments, of which few change between two checkpoints: what is written is changes, and they are folded.
[windows.numbers]
per = ["number"]
length = "1 minute"
[windows.numbers.statistics]
rows = "count(*)"
sum_amount = "sum(amount)"
[checks.usual]
window = "minute"
variance = { of = "sum_amount", against = { previous = 5 }, warn_beyond = 1.5, min_history = 3 }
value = "z"
[sinks.rows]
files = { path = "rows", partition_by = ["zone"] }
parquet = { delta = true }
[sinks.rows.columns]
COLUMNS
# The same, whose small files are put together: people read it by its log.
[sinks.merged]
files = { path = "merged" }
parquet = { delta = true, merge_files = true }
[sinks.merged.columns]
COLUMNS
[sinks.refused]
from = "refused"
files = { path = "refused" }
parquet = {}
[sinks.minutes]
from = "windows.minute"
files = { path = "minutes" }
parquet = {}
[sinks.numbers]
from = "windows.numbers"
files = { path = "numbers" }
parquet = {}
[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
parquet = {}
[sinks.rows_topic]
# Sinks of one table may write different targets; `id`, `shards` and options concern all topics of the brokers.
kafka = { brokers = "BROKERS", topic = "OWN-rows", key = "region", id = "OWN", shards = 4, create = { partitions = 3 }, options = { "socket.timeout.ms" = "1500", "transaction.timeout.ms" = "10000" } }
json = {}
[sinks.rows_topic.columns]
COLUMNS
[sinks.refused_topic]
from = "refused"
kafka = { brokers = "BROKERS", topic = "OWN-refused", create = { partitions = 3 } }
json = {}
[sinks.minutes_topic]
from = "windows.minute"
kafka = { brokers = "BROKERS", topic = "OWN-minutes", key = "region", create = { partitions = 3 } }
json = {}
[sinks.verdicts_topic]
from = "verdicts"
kafka = { brokers = "BROKERS", topic = "OWN-verdicts", create = { partitions = 3 } }
json = {}
"#;

/// What is written of a row, wherever it goes.
const COLUMNS: &str = r#"
id = "id"
ts = "ts"
region = "region"
part = "part"
number = "number"
amount = "amount"
at_partition = "at_partition"
at_offset = "at_offset"
zone = "zone""#;

/// How long a transaction lives that nobody ends, as the job has it.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(10);

/// A job file in a folder of its own.
pub(crate) struct Job {
    folder: Folder,
    /// What names it among topics and transactions.
    own: String,
}

impl Job {
    /// Sees to it that all that was committed is there by the job's own word: files by their checksums, topics epoch by epoch.
    pub(crate) fn verify(&self) {
        let output = self.folder.caudal("verify").output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(output.status.success(), "{told}");
        print!("{told}");
    }

    /// Writes it; its own topics begin with the name of its folder.
    pub(crate) fn write(folder: &Path, brokers: &str, topic: &str) -> Self {
        let own = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let text = JOB.replace("COLUMNS", COLUMNS).replace("OWN", &own);
        let folder = Folder::write(folder, &text, brokers, topic);
        let job = Self { folder, own };
        job.change_regions(0);
        job
    }

    /// What names it among topics and transactions.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Writes its file anew with another number of shards.
    pub(crate) fn change_shards(&self, shards: u64) {
        let file = self.path("job.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (before, after) = text.split_once("shards = ").unwrap();
        let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        fs::write(file, format!("{before}shards = {shards}{after}")).unwrap();
    }

    /// Writes its file anew: what is for the topics is held where the cluster is away, and sales come from these brokers.
    pub(crate) fn hold(&self, brokers: &str) {
        let file = self.path("job.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (before, after) = text.split_once("kafka = { brokers = \"").unwrap();
        let (_, after) = after.split_once('"').unwrap();
        let text = format!("{before}kafka = {{ brokers = \"{brokers}\"{after}");
        let held = text.replace("shards = ", "on_failure = \"hold\", shards = ");
        assert_ne!(text, held);
        fs::write(file, held).unwrap();
    }

    /// Waits until it holds as many epochs of shards.
    pub(crate) fn await_held(&self, are: impl Fn(usize) -> bool, patience: Duration) {
        let folder = self.path("state/outbox");
        self.folder.await_some(&"what is held", patience, || {
            let objects = fs::read_dir(&folder).ok()?;
            let names = objects.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            // What is being put is no object yet.
            let held = names.filter(|name| !name.starts_with('.')).count();
            are(held).then_some(())
        });
    }

    /// Replaces the regions: those of the sales stay as they are, another one is new. A change is bound, and written beside the
    /// journal, like any that matters.
    pub(crate) fn change_regions(&self, number: u64) {
        let regions = format!("code,zone\nN,N\nS,S\nE,E\nW,W\nX{number},X\n");
        let new = self.path("regions.new");
        fs::write(&new, regions).unwrap();
        fs::rename(new, self.path("regions.csv")).unwrap();
    }

    /// Something in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// A command of the program on it.
    pub(crate) fn caudal(&self, command: &str) -> Command {
        self.folder.caudal(command)
    }

    /// Where its processes tell what they do.
    pub(crate) fn told_file(&self) -> File {
        let mut how = File::options();
        how.append(true).create(true);
        how.open(self.folder.path("told.log")).unwrap()
    }

    /// The end of what they told.
    pub(crate) fn told(&self) -> String {
        self.folder.told()
    }

    /// Waits until words are told behind the first `bytes`; gives everything told there.
    pub(crate) fn await_told(&self, bytes: u64, words: &str, patience: Duration) -> String {
        self.await_told_while(bytes, words, patience, || ())
    }

    /// The same, doing something over and over meanwhile.
    pub(crate) fn await_told_while(
        &self,
        bytes: u64,
        words: &str,
        patience: Duration,
        act: impl Fn(),
    ) -> String {
        let from = usize::try_from(bytes).unwrap();
        let path = self.folder.path("told.log");
        self.folder.await_some(&words, patience, || {
            let all = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&all[from..]).into_owned();
            let found = text.contains(words).then_some(text);
            if found.is_none() {
                act();
            }
            found
        })
    }

    /// Waits for a file.
    pub(crate) fn await_file(&self, path: &Path, patience: Duration) -> String {
        self.folder
            .await_some(&path, patience, || fs::read_to_string(path).ok())
    }

    /// How many rows were read up to the newest checkpoint. A change of the regions alone makes a checkpoint, too.
    pub(crate) fn committed(&self) -> Option<u64> {
        self.folder.epochs()?["rows"]["in"].as_u64()
    }

    /// Waits until more than `before` are; gives how many.
    pub(crate) fn await_commit_after(&self, before: Option<u64>, patience: Duration) -> u64 {
        self.folder
            .await_some(&"nothing is committed any more", patience, || {
                let committed = self.committed().filter(|rows| *rows > 0)?;
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

    /// Asks it to commit what it has and end, where it runs.
    pub(crate) fn ask_to_stop(&self) {
        Self::ask(|| self.folder.caudal("stop"));
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
}

impl Launch {
    /// Starts one, and waits until its first generation has claimed the job.
    pub(crate) fn start(job: &Job, shape: (u64, u64)) -> Self {
        Self::start_armed(job, shape, None)
    }

    /// Starts one of which processes end, or stand still, at fail points; each of them once, by a mark in a folder.
    pub(crate) fn start_armed(job: &Job, shape: (u64, u64), armed: Option<(&str, &Path)>) -> Self {
        let told = job.told_file();
        let before = job.folder.said("generation").unwrap_or(0);
        let mut launch = job.folder.caudal("launch");
        if let Some((points, marks)) = armed {
            launch.env(fault::AT, points).env(fault::MARKS, marks);
        }
        let child = launch
            .args(["-n", &shape.0.to_string(), "-w", &shape.1.to_string()])
            .stdin(Stdio::null())
            .stdout(told.try_clone().unwrap())
            .stderr(told)
            .spawn()
            .unwrap();
        job.await_generation_after(before, Duration::from_mins(1));
        Self { child, shape }
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
        job.ask_to_stop();
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
