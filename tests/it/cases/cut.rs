//! Cases as continuous jobs: their files grow while the job runs, it is killed where they were cut, and goes on with other numbers of processes
//! and workers.
//!
//! What a job with an end makes of rows, one without must make of them, too: the same clean rows and the same refused ones. Windows and
//! checks need the end of time, and are compared elsewhere. A case that ends its run by what is wrong in it ends a continuous job with the
//! same words. Every case is one of both, or stands in [`LEFT_OUT`] with the reason.

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
use crate::ended;

/// How long a case may take: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Cases at once: they wait most of the time.
const THREADS: usize = 6;

/// Cases that are not cut, each for what a continuous job has or does otherwise.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "a_calendar_with_faults",
        "the job is refused before it is known whether it has an end",
    ),
    (
        "a_failed_check_shows_nothing",
        "a failed check is a verdict that is shown; nothing ends, since there is no end at which nothing could be shown",
    ),
    (
        "a_faulty_file_can_be_refused_whole",
        "`on_bad_file` speaks of whole files; what was read of one that goes on is visible before its fault is seen",
    ),
    (
        "a_gzip_member_cut_short_stops_the_run",
        "a compressed file that has no end yet is waited for: its rest may come",
    ),
    (
        "a_total_that_overflows_fails",
        "the verdict is said when its window closes, and no window does before its time",
    ),
    (
        "fewer_lines_than_are_skipped",
        "`on_bad_file` and `skip_last` speak of whole files; one that goes on has no last lines",
    ),
    (
        "files_by_a_calendar_with_faults",
        "the job is refused before it is known whether it has an end",
    ),
    (
        "holidays_that_are_no_dates",
        "the job is refused before it is known whether it has an end",
    ),
    (
        "json_that_is_no_array_is_refused_whole",
        "`on_bad_file` speaks of whole files",
    ),
    (
        "lines_around_the_data",
        "`skip_last`: a file that goes on has no last lines",
    ),
    (
        "many_failures_tell_the_worst",
        "the failures are told at the end of a run, and here is none",
    ),
    (
        "misspelt_words_are_told_at_once",
        "the job is refused before it is known whether it has an end",
    ),
    (
        "more_segments_than_are_kept",
        "how old something is goes by the clock, and not by the newest event",
    ),
    (
        "new_missing_and_doubled_columns",
        "`on_bad_file` speaks of whole files",
    ),
    (
        "rows_equal_in_every_field",
        "continuous jobs don't look for duplicates: what was seen would be kept for ever",
    ),
    (
        "rows_without_a_time_are_no_silence",
        "how old something is goes by the clock, and not by the newest event",
    ),
    (
        "the_first_row_of_a_key_is_kept",
        "continuous jobs don't look for duplicates: what was seen would be kept for ever",
    ),
    (
        "too_much_refused_shows_nothing",
        "`max_refused` is a share of all rows, which are not there before an end",
    ),
    (
        "utf16_that_nobody_declared",
        "its header lacks columns, which `a_missing_column_stops_the_run` shows in a continuous job",
    ),
];

/// Cases that end a run, and a continuous job with the same code and the same first words.
const ENDING: &[&str] = &[
    "a_gzip_member_cut_short_in_a_lookup",
    "a_missing_column_stops_the_run",
    "a_stop_rule_shows_nothing",
    "json_that_is_no_array_stops_the_run",
    "spellings_that_fold_to_one_key",
    "two_reference_rows_of_one_key_stop_the_run",
];

#[test]
fn every_case_of_rows_gives_the_same_when_it_is_cut_and_goes_on() {
    let cases = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    let left = Mutex::new(cases.into_iter().enumerate());
    let (wrong, not_cut) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((number, case)) = left.lock().unwrap().next() else {
                        return;
                    };
                    let name = case.file_name().unwrap().to_str().unwrap().to_owned();
                    let differences = if ENDING.contains(&name.as_str()) {
                        ends_alike(&case, number)
                    } else if let Some(cut) = Cut::new(&case) {
                        cut.run(number)
                    } else {
                        not_cut.lock().unwrap().insert(name);
                        continue;
                    };
                    let told = differences
                        .into_iter()
                        .map(|what| format!("{name}: {what}"));
                    wrong.lock().unwrap().extend(told);
                }
            });
        }
    });
    let (wrong, not_cut) = (wrong.into_inner().unwrap(), not_cut.into_inner().unwrap());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let reasons: BTreeSet<String> = LEFT_OUT
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        not_cut, reasons,
        "each that is not cut has its reason, and no other"
    );
}

/// Runs a case that ends by what is wrong in it as a continuous job; gives what is different.
fn ends_alike(case: &Path, number: usize) -> Vec<String> {
    let expected = expected(&case.join("expected"));
    let Some((place, _, _)) = prepared(case) else {
        return vec!["it can't be a continuous job".to_owned()];
    };
    // In one process: a launch would begin life after life.
    let workers = 1 + number % 3;
    let mut running = start(place.path(), 1, workers);
    let deadline = Instant::now() + PATIENCE;
    while running.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            ended::kill(&mut running);
            return vec![format!("it does not end; -w {workers}")];
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = ended::output(running);
    // Files that are followed are known by their whole paths.
    let here = format!("{}/", place.path().display());
    let told = String::from_utf8_lossy(&output.stderr).replace(&here, "");
    let code = format!("{}\n", output.status.code().unwrap_or(-1));
    let mut found = Vec::new();
    if code != expected["exit"] {
        found.push(format!(
            "it ends with {code}, expected {}: {told}",
            expected["exit"]
        ));
    }
    // What it is about, without what a run would do now.
    let first = expected["told.txt"].lines().next().unwrap();
    let words = first.strip_prefix("failed: ").unwrap_or(first);
    if !told.contains(words) {
        found.push(format!("{words:?} is not told: {told}"));
    }
    found
}

/// Numbers of processes and of workers in each; those that follow one another differ in both.
const SHAPES: [(usize, usize); 5] = [(1, 1), (2, 2), (1, 3), (2, 1), (1, 2)];

/// A copy of a case as a continuous job: its folder, the files that grow, and whether they are read when they are whole. `None` where it
/// can't be one.
fn prepared(case: &Path) -> Option<(tempfile::TempDir, BTreeSet<PathBuf>, bool)> {
    let text = fs::read_to_string(case.join("job.toml")).unwrap();
    let job: Table = text.parse().ok()?;
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
    let check = caudal(place.path(), "check").output().unwrap();
    check.status.success().then_some((place, growing, is_whole))
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
    /// `None` where the case can't be one, or has no rows to compare.
    fn new(case: &Path) -> Option<Self> {
        let exit = fs::read_to_string(case.join("expected/exit")).unwrap();
        if exit.trim() != "0" {
            return None;
        }
        let (place, growing, is_whole) = prepared(case)?;
        let text = fs::read_to_string(case.join("job.toml")).unwrap();
        let job: Table = text.parse().unwrap();
        let sinks = job["sinks"].as_table().unwrap().iter();
        let of_rows = |sink: &Toml| {
            let from = sink.get("from").and_then(Toml::as_str).unwrap_or("rows");
            let path = sink.get("files")?.get("path")?.as_str()?.to_owned();
            matches!(from, "rows" | "refused").then_some(path)
        };
        Some(Self {
            case: case.to_path_buf(),
            place,
            growing: growing.into_iter().collect(),
            is_whole,
            sinks: sinks.filter_map(|(_, sink)| of_rows(sink)).collect(),
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
        let shape = |life: usize| SHAPES[(number + life) % SHAPES.len()];
        let mut running = self.start(shape(0));
        self.await_epochs(&mut running, 4);
        ended::kill(&mut running);
        for (path, bytes) in self.growing.iter().zip(&whole) {
            let from = if path.exists() { cut(bytes) } else { 0 };
            append(path, &bytes[from..]);
        }
        let mut running = self.start(shape(1));
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
                let told = ended::output(running).stderr;
                let told = String::from_utf8_lossy(&told).into_owned();
                // A port is free when it is picked; another test may have it when it is listened at.
                if told.contains("Address already in use") {
                    running = self.start(shape(1));
                    continue;
                }
                return vec![format!("{status}: {told}")];
            }
            std::thread::sleep(Duration::from_millis(60));
        }
        // Until a life has written its address that of the one before stands there.
        let mut told = Vec::new();
        while running.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                ended::kill(&mut running);
            }
            told = caudal(self.place.path(), "stop").output().unwrap().stderr;
        }
        let output = ended::output(running);
        let told = [told, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        if !output.status.success() || told.contains("does not say that all is committed") {
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
            let here = format!("{}/", self.place.path().display());
            let got = lines(&self.place.path().join("out").join(sink)).replace(&here, "");
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

    fn start(&self, (processes, workers): (usize, usize)) -> Child {
        start(self.place.path(), processes, workers)
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
            std::thread::sleep(Duration::from_millis(50));
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
                    ", complete_after = \"5 s\""
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

/// Starts the job of a folder in a group of processes of its own.
fn start(folder: &Path, processes: usize, workers: usize) -> Child {
    let mut command = if processes == 1 {
        caudal(folder, "run")
    } else {
        let mut launch = caudal(folder, "launch");
        launch.args(["-n", &processes.to_string()]);
        launch
    };
    command
        .args(["-w", &workers.to_string(), "--quiet", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
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
