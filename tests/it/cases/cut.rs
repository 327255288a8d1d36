//! Cases as continuous jobs: their files grow while the job runs, it is killed where they were cut, and goes on with another number of
//! workers.
//!
//! What a job with an end makes of rows, one without must make of them, too: the same clean rows and the same refused ones. Windows and
//! checks need the end of time, and are compared elsewhere; what a continuous job can't have is refused by name, and such a
//! case is left out. So are those whose point is a file: that it is missing, cut short or of another kind.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use toml::{Table, Value as Toml};

use super::{copy, expected, folders, lines};

/// How long a case may take: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Cases at once: they wait most of the time.
const THREADS: usize = 6;

/// Fewer that can be cut than these, and the test shows little.
const LEAST: usize = 30;

#[test]
fn every_case_of_rows_gives_the_same_when_it_is_cut_and_goes_on() {
    let cases = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    let left = Mutex::new(cases.into_iter().enumerate());
    let (wrong, cut) = (Mutex::new(Vec::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((number, case)) = left.lock().unwrap().next() else {
                        return;
                    };
                    let name = case.file_name().unwrap().to_str().unwrap().to_owned();
                    match Cut::new(&case).map(|cut| cut.run(number)) {
                        None => {}
                        Some(differences) => {
                            *cut.lock().unwrap() += 1;
                            let told = differences
                                .into_iter()
                                .map(|what| format!("{name}: {what}"));
                            wrong.lock().unwrap().extend(told);
                        }
                    }
                }
            });
        }
    });
    let (wrong, cut) = (wrong.into_inner().unwrap(), cut.into_inner().unwrap());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(cut >= LEAST, "only {cut} cases were cut");
    println!("{cut} cases were cut and went on");
}

/// A case as a continuous job.
struct Cut {
    case: PathBuf,
    place: tempfile::TempDir,
    /// The files of its sources, which grow.
    growing: Vec<PathBuf>,
    /// Whether they are read when they are whole.
    is_whole: bool,
    /// The sinks that are compared.
    sinks: Vec<String>,
}

impl Cut {
    /// `None` where the case can't be one.
    fn new(case: &Path) -> Option<Self> {
        let exit = fs::read_to_string(case.join("expected/exit")).unwrap();
        let text = fs::read_to_string(case.join("job.toml")).unwrap();
        let job: Table = text.parse().unwrap();
        if exit.trim() != "0" {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        copy(case, place.path());
        let mut growing = BTreeSet::new();
        // JSON that is no lines is read when it is whole.
        let mut is_whole = false;
        for (_, source) in job["sources"].as_table().unwrap() {
            let files = source.get("files")?.get("paths")?.as_array()?;
            for path in files {
                growing.extend(matching(place.path(), path.as_str()?));
            }
            is_whole |= source
                .get("json")
                .is_some_and(|json| json.get("records").is_some());
        }
        // A record that stays open ends with its file, and that when it is whole.
        let has_end = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            let quotes = memchr::memchr_iter(b'"', &bytes).count();
            bytes.ends_with(b"\n") && quotes.is_multiple_of(2)
        };
        let complete = is_whole || !growing.iter().all(has_end);
        fs::write(place.path().join("job.toml"), continuous(&text, complete)).unwrap();
        let sinks = job["sinks"].as_table().unwrap().iter();
        let of_rows = |sink: &Toml| {
            let from = sink.get("from").and_then(Toml::as_str).unwrap_or("rows");
            let path = sink.get("files")?.get("path")?.as_str()?.to_owned();
            matches!(from, "rows" | "refused").then_some(path)
        };
        let sinks = sinks.filter_map(|(_, sink)| of_rows(sink)).collect();
        let check = caudal(place.path(), "check").output().unwrap();
        check.status.success().then(|| Self {
            case: case.to_path_buf(),
            place,
            growing: growing.into_iter().collect(),
            is_whole,
            sinks,
        })
    }

    /// Lets the files grow in two steps, with a kill between; gives what is different.
    fn run(&self, number: usize) -> Vec<String> {
        let whole: Vec<Vec<u8>> = self
            .growing
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect();
        for path in &self.growing {
            fs::remove_file(path).unwrap();
        }
        // The cut falls elsewhere in each case, and within records.
        let cut = |bytes: &[u8]| bytes.len() * (1 + number % 5) / 6;
        for (path, bytes) in self.growing.iter().zip(&whole) {
            // Files that are packed come whole: their first half is none.
            let first = if self.is_whole || is_packed(path) {
                &[][..]
            } else {
                &bytes[..cut(bytes)]
            };
            if !first.is_empty() {
                append(path, first);
            }
        }
        let mut running = self.start(1 + number % 3);
        self.await_epochs(&mut running, 4);
        running.kill().unwrap();
        running.wait().unwrap();
        for (path, bytes) in self.growing.iter().zip(&whole) {
            let from = if path.exists() { cut(bytes) } else { 0 };
            append(path, &bytes[from..]);
        }
        let mut running = self.start(1 + (number + 1) % 3);
        let summary = fs::read(self.case.join("expected/summary.json")).unwrap();
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        let wanted = &summary["rows"];
        let deadline = Instant::now() + PATIENCE;
        let mut said = Value::Null;
        while Instant::now() < deadline {
            said = self.epochs().unwrap_or_default();
            if said["rows"]["in"] == wanted["in"] {
                break;
            }
            if let Some(status) = running.try_wait().unwrap() {
                let told = running.wait_with_output().unwrap().stderr;
                return vec![format!("{status}: {}", String::from_utf8_lossy(&told))];
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        let stop = caudal(self.place.path(), "stop").output().unwrap();
        let output = running.wait_with_output().unwrap();
        if !stop.status.success() || !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return vec![format!("it does not end well: {}: {told}", output.status)];
        }
        self.differences(wanted, &said)
    }

    fn differences(&self, wanted: &Value, said: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for name in ["in", "clean", "refused", "dropped"] {
            if said["rows"][name] != wanted[name] {
                found.push(format!("{name} is {}, expected {}", said["rows"], wanted));
                break;
            }
        }
        let expected = expected(&self.case.join("expected"));
        for sink in &self.sinks {
            let got = lines(&self.place.path().join("out").join(sink));
            let Some(wanted) = expected.get(&format!("{sink}.txt")) else {
                continue;
            };
            // Of a file that goes on nobody knows the end.
            let wanted = wanted.replace("is never closed", "is not closed");
            if got != wanted {
                found.push(format!("{sink}\n-- expected\n{wanted}\n-- got\n{got}"));
            }
        }
        found
    }

    fn start(&self, workers: usize) -> Child {
        caudal(self.place.path(), "run")
            .args(["-w", &workers.to_string(), "--quiet", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn epochs(&self) -> Option<Value> {
        let output = caudal(self.place.path(), "epochs")
            .arg("--json")
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until the running life has decided so many epochs, or has ended.
    fn await_epochs(&self, running: &mut Child, epochs: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.epochs().and_then(|said| said["bound"].as_u64()) < Some(epochs) {
            if running.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The job with files that go on; `complete` where they end without a line end.
fn continuous(text: &str, complete: bool) -> String {
    let mut job = String::new();
    let mut section = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let of_source = section.starts_with("[sources.");
        if section == "[job]"
            && ["chunk", "max_refused"]
                .iter()
                .any(|it| line.starts_with(it))
        {
            continue;
        }
        match line.strip_suffix(" }") {
            Some(files) if of_source && line.starts_with("files = {") => {
                let complete = if complete {
                    ", complete_after = \"3 s\""
                } else {
                    ""
                };
                writeln!(
                    job,
                    "{files}, follow = true, copies = \"read\"{complete} }}"
                )
                .unwrap();
            }
            _ => writeln!(job, "{line}").unwrap(),
        }
        if line == "[job]" {
            job.push_str("epoch = \"20 ms\"\ncheckpoint = \"60 ms\"\n");
        }
        if of_source && line.starts_with("event_time") {
            // Whatever comes is in time.
            job.push_str("disorder = \"36000 days\"\nmax_future = \"36000 days\"\n");
        }
    }
    job
}

fn caudal(folder: &Path, command: &str) -> Command {
    let mut caudal = Command::new(env!("CARGO_BIN_EXE_caudal"));
    caudal.args([command, "job.toml"]).current_dir(folder);
    caudal
}

fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.unwrap().write_all(bytes).unwrap();
}

fn is_packed(path: &Path) -> bool {
    let end = path
        .extension()
        .and_then(|end| end.to_str())
        .unwrap_or_default();
    ["gz", "zst", "bz2", "xz"].contains(&end)
}

/// The files of a path or pattern of a job.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = folder.join(pattern);
    glob::glob(pattern.to_str().unwrap())
        .unwrap()
        .map(|path| path.unwrap())
        .collect()
}
