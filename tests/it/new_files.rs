//! Jobs with an end that are run again and again (`rerun = "new_files"`): each run reads what no run has read whose rows are
//! visible, and adds them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::follow::job::{gzip, id};
use super::tables::{self, Row};

const JOB: &str = r#"
format = 1
[job]
name = "sales"
output = "out"
rerun = "new_files"
max_refused = "100 %"
[sources.sales]
files = { paths = ["in/*"] }
csv = {}
columns = { id = "bigint not null", region = "varchar not null" }
[sinks.rows]
files = { path = "rows" }
parquet = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
parquet = {}
"#;

const HEADER: &str = "id,region\n";

struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        Self::with(|text| text)
    }

    fn with(change: impl Fn(String) -> String) -> Self {
        let job = Self(tempfile::tempdir().unwrap());
        fs::create_dir(job.0.path().join("in")).unwrap();
        job.write(change);
        job
    }

    fn write(&self, change: impl Fn(String) -> String) {
        fs::write(self.0.path().join("job.toml"), change(JOB.to_owned())).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("in").join(name)
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).open(self.file(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn command(&self, of: &[&str]) -> Command {
        let mut caudal = Command::new(env!("CARGO_BIN_EXE_caudal"));
        caudal
            .arg(of[0])
            .arg(self.0.path().join("job.toml"))
            .args(&of[1..]);
        caudal.env_remove("CAUDAL_TOKEN");
        caudal
    }

    fn output(&self, of: &[&str]) -> Output {
        self.command(of).output().unwrap()
    }

    /// Runs it; gives how many rows came in, as it says itself.
    fn run(&self) -> u64 {
        self.shaped(&["run", "--quiet", "--json"])
    }

    fn shaped(&self, of: &[&str]) -> u64 {
        let output = self.output(of);
        assert!(output.status.success(), "{output:?}");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        said["rows"]["in"].as_u64().unwrap()
    }

    /// Runs it in vain.
    fn fails(&self, code: i32, words: &[&str]) {
        let output = self.output(&["run", "--quiet"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        for words in words {
            assert!(told.contains(words), "{words:?} is not in:\n{told}");
        }
    }

    fn rows(&self, sink: &str) -> Vec<Row> {
        tables::read(&self.0.path().join("out").join(sink))
    }

    fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.rows("rows").iter().map(id).collect();
        ids.sort_unstable();
        ids
    }
}

fn lines(ids: std::ops::Range<i64>) -> String {
    ids.map(|id| format!("{id},r{}\n", id % 3)).collect()
}

fn all(ids: std::ops::Range<i64>) -> Vec<i64> {
    ids.collect()
}

#[test]
fn each_run_reads_what_is_new_whatever_files_are_called() {
    let job = Job::new();
    job.append("a.csv", format!("{HEADER}{}x,r\n", lines(0..3)));
    assert_eq!(job.run(), 4);
    assert_eq!(job.run(), 0);
    // A new one, one that has grown, and one that is refused again by another row.
    job.append("b.csv", format!("{HEADER}{}", lines(3..5)));
    job.append("a.csv", format!("{}y,r\n", lines(5..7)));
    assert_eq!(job.run(), 5);
    assert_eq!(job.ids(), all(0..7));
    assert_eq!(job.rows("refused").len(), 2);
    // Renamed, compressed, and both with more behind.
    fs::rename(job.file("a.csv"), job.file("a.csv.1")).unwrap();
    let packed = gzip(
        &[
            fs::read(job.file("b.csv")).unwrap(),
            lines(7..9).into_bytes(),
        ]
        .concat(),
    );
    fs::write(job.file("b.csv.gz"), packed).unwrap();
    fs::remove_file(job.file("b.csv")).unwrap();
    job.append("a.csv.1", lines(9..10));
    job.append("a.csv", format!("{HEADER}{}", lines(10..11)));
    assert_eq!(job.run(), 4);
    assert_eq!(job.run(), 0);
    assert_eq!(job.ids(), all(0..11));
    assert_eq!(job.rows("refused").len(), 2);
    // A copy is told and not read; what is gone is not missed.
    fs::copy(job.file("a.csv"), job.file("c.csv")).unwrap();
    fs::remove_file(job.file("a.csv.1")).unwrap();
    let output = job.output(&["run"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("holds the same as"), "{told}");
    assert_eq!(job.ids(), all(0..11));
    // Each refused row is kept, and can be fed again when it is clean; then it is no new file.
    let shown = job.output(&["quarantine"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains('2'), "{shown}");
    job.write(|text| {
        text.replace(
            "id = \"bigint not null\"",
            "id = { type = \"bigint\", on_bad = \"null\" }",
        )
    });
    let replay = job.output(&["run", "--replay", "--quiet"]);
    assert!(replay.status.success(), "{replay:?}");
    assert_eq!(job.rows("rows").len(), 13);
    assert_eq!(job.run(), 0);
    assert_eq!(job.rows("rows").len(), 13);
}

#[test]
fn several_processes_read_what_one_reads() {
    let job =
        Job::with(|text| text.replace("[sources.sales]", "chunk = \"64 KiB\"\n[sources.sales]"));
    job.append("a.csv", format!("{HEADER}{}", lines(0..50_000)));
    assert_eq!(job.run(), 50_000);
    job.append("a.csv", lines(50_000..90_000));
    job.append("b.csv", format!("{HEADER}{}", lines(90_000..100_000)));
    let launched = job.shaped(&["launch", "-n", "2", "-w", "2", "--quiet", "--json"]);
    assert_eq!(launched, 50_000);
    assert_eq!(job.ids(), all(0..100_000));
    assert_eq!(job.shaped(&["run", "-w", "2", "--quiet", "--json"]), 0);
}

#[test]
fn other_formats_are_read_once_and_not_when_they_change() {
    let array = |text: String| text.replace("csv = {}", "json = { records = \"array\" }");
    let job = Job::with(array);
    job.append("a.json", "[{\"id\": 1, \"region\": \"r\"}]");
    assert_eq!(job.run(), 1);
    assert_eq!(job.run(), 0);
    fs::rename(job.file("a.json"), job.file("b.json")).unwrap();
    job.append("c.json", "[{\"id\": 2, \"region\": \"r\"}]");
    assert_eq!(job.run(), 1);
    assert_eq!(job.ids(), [1, 2]);
    job.append("c.json", "\n");
    job.fails(
        3,
        &[
            "c.json goes on behind byte",
            "files of this format are whole",
        ],
    );
    let job = Job::with(|text| text.replace("csv = {}", "csv = { skip_last = 1 }"));
    job.append("a.csv", format!("{HEADER}{}total\n", lines(0..2)));
    assert_eq!(job.run(), 3);
    assert_eq!(job.run(), 0);
    job.append("a.csv", lines(2..4));
    job.fails(3, &["a.csv goes on behind byte", "`skip_last`"]);
    assert_eq!(job.ids(), [0, 1]);
}

#[test]
fn what_can_not_be_told_apart_stops_the_run() {
    let job = Job::new();
    job.append("a.csv", format!("{HEADER}{}", lines(0..3).trim_end()));
    assert_eq!(job.run(), 3);
    job.append("a.csv", "00\n");
    job.fails(3, &["goes on behind byte", "a line end there"]);
    let text = format!("{HEADER}{}", lines(0..3));
    fs::write(job.file("a.csv"), format!("{text}{}", lines(3..4))).unwrap();
    assert_eq!(job.run(), 1);
    fs::write(job.file("a.csv"), format!("{HEADER}{}", lines(5..6))).unwrap();
    job.fails(
        3,
        &["was read by an earlier run up to byte 30, and holds other bytes now"],
    );
    assert_eq!(job.ids(), all(0..4));
    // As a whole again, by the job's own word.
    job.write(|text| text.replace("new_files", "replace"));
    assert_eq!(job.run(), 1);
    assert_eq!(job.ids(), [5]);
    // Runs that replace keep no list: the first that does so again begins anew.
    job.write(|text| text);
    assert_eq!(job.run(), 1);
    assert_eq!(job.run(), 0);
    assert_eq!(job.ids(), [5]);
    // Rows that would not fit beside those that are there.
    job.write(|text| {
        text.replace(
            "[sinks.refused]",
            "[sinks.rows.columns]\nid = \"id\"\n[sinks.refused]",
        )
    });
    job.append("b.csv", format!("{HEADER}{}", lines(6..7)));
    job.fails(2, &["sinks.rows has other columns"]);
    job.write(|text| text);
    let limited = job.output(&["run", "--limit", "1"]);
    assert_eq!(limited.status.code(), Some(2), "{limited:?}");
}

#[test]
fn a_run_that_is_killed_or_fails_has_read_nothing_and_lost_nothing() {
    let job = Job::new();
    job.append("a.csv", format!("{HEADER}{}", lines(0..200_000)));
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut wanted = 200_000;
    let mut pause = Duration::from_millis(1);
    for round in 0..12_i64 {
        let name = format!("r{round}.csv");
        job.append(&name, format!("{HEADER}{}", lines(wanted..wanted + 1000)));
        wanted += 1000;
        // Killed at some time: before, in or behind the commit.
        let mut child: Child = job
            .command(&["run", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while since.elapsed() < pause && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(child.kill());
        child.wait().unwrap();
        pause = pause * 3 / 2;
    }
    job.run();
    assert_eq!(job.ids(), all(0..wanted));
    // A run that fails has delivered nothing.
    job.append("z.csv", "id\n1\n");
    job.append("y.csv", format!("{HEADER}{}", lines(wanted..wanted + 1)));
    job.fails(3, &["z.csv"]);
    fs::remove_file(job.file("z.csv")).unwrap();
    assert_eq!(job.run(), 1);
    assert_eq!(job.ids(), all(0..wanted + 1));
}

#[test]
fn a_job_that_looks_at_all_rows_is_refused() {
    let job = Job::with(|text| {
        text.replace(
            "[sinks.rows]",
            "[duplicates.line]\nby = \"row\"\nkeep = \"report\"\n[sinks.rows]",
        )
    });
    job.append("a.csv", HEADER);
    job.fails(2, &["it looks at all rows", "rerun = \"replace\""]);
}
