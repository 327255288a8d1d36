//! What the world does to a run: each fault has a clear message, its exit code, and nothing half-written that looks whole.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::tables::visible_files;
use crate::ended;

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.sales]
files = { paths = ["input/*"] }
csv = {}
columns = { id = "int not null", price = "decimal(8,2) not null" }
[sinks.rows]
files = { path = "rows" }
parquet = {}
"#;

/// A folder with a job and its input.
fn place(job: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("input")).unwrap();
    fs::write(place.path().join("job.toml"), job).unwrap();
    for (name, bytes) in files {
        fs::write(place.path().join("input").join(name), bytes).unwrap();
    }
    place
}

fn caudal(place: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["60", env!("CARGO_BIN_EXE_caudal")])
        .args(words)
        .current_dir(place);
    command
}

fn run(place: &Path, words: &[&str]) -> Output {
    caudal(
        place,
        &[&["run", "job.toml", "--json", "--quiet"], words].concat(),
    )
    .output()
    .unwrap()
}

/// Asserts the exit code, pieces of what was told, and that nothing is visible.
fn fails(output: &Output, place: &Path, code: i32, pieces: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for piece in pieces {
        assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
    }
    assert_eq!(
        visible_files(&place.join("out")),
        [] as [std::path::PathBuf; 0],
        "nothing is visible"
    );
}

const GOOD: &[u8] = b"id,price\n1,1.00\n2,2.00\n";

#[test]
fn no_file_matches() {
    let place = place(JOB, &[]);
    fails(
        &run(place.path(), &[]),
        place.path(),
        3,
        &["sources.sales: no file matches", "hint:"],
    );
}

#[test]
fn a_file_that_vanished_is_named() {
    let job = JOB.replace("input/*", "input/gone.csv");
    let place = place(&job, &[]);
    std::os::unix::fs::symlink("nowhere", place.path().join("input/gone.csv")).unwrap();
    fails(&run(place.path(), &[]), place.path(), 3, &["gone.csv"]);
}

#[test]
fn an_empty_file_has_no_header() {
    let place = place(JOB, &[("a.csv", b"")]);
    fails(
        &run(place.path(), &[]),
        place.path(),
        3,
        &["a.csv", "the file is empty", "on_bad_file"],
    );
}

#[test]
fn a_gzip_file_that_ends_early_stops_the_run_or_is_refused_whole() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"id,price\n").unwrap();
    for id in 0..50_000 {
        writeln!(packed, "{id},{}.00", id * 7919 % 1000).unwrap();
    }
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() / 2);
    let files: &[(&str, &[u8])] = &[("a.csv.gz", &packed), ("b.csv", GOOD)];
    let stops = place(JOB, files);
    fails(
        &run(stops.path(), &[]),
        stops.path(),
        3,
        &["a.csv.gz", "could not be decompressed"],
    );
    let refuses = place(
        &JOB.replace("max_refused", "on_bad_file = \"refuse\"\nmax_refused"),
        files,
    );
    let output = run(refuses.path(), &[]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["rows"]["clean"], 2, "{summary}");
    assert_eq!(
        summary["refused_by_reason"],
        serde_json::json!({ "bad_compression": 1 })
    );
}

#[test]
fn a_file_that_is_no_parquet_stops_the_run() {
    let place = place(
        &JOB.replace("csv = {}", "parquet = {}"),
        &[("a.parquet", b"PAR1 but not really PAR1")],
    );
    fails(
        &run(place.path(), &[]),
        place.path(),
        3,
        &["a.parquet", "not a readable Parquet file"],
    );
}

#[test]
fn parquet_that_was_written_is_read_back() {
    let first = place(JOB, &[("a.csv", GOOD)]);
    assert!(run(first.path(), &[]).status.success());
    let written = visible_files(&first.path().join("out/rows"));
    assert_eq!(written.len(), 1);
    let bytes = fs::read(&written[0]).unwrap();
    let job = JOB
        .replacen("csv = {}", "parquet = {}", 1)
        .replace("parquet = {}\n\"#", "");
    let second = place(
        &job.replace(
            "files = { path = \"rows\" }\nparquet = {}",
            "files = { path = \"rows\" }\ncsv = {}",
        ),
        &[("a.parquet", &bytes)],
    );
    let output = run(second.path(), &[]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(&visible_files(&second.path().join("out/rows"))[0]).unwrap();
    assert_eq!(text, "id,price\n1,1.00\n2,2.00\n");
}

#[test]
fn an_output_of_another_job_is_left_alone() {
    let place = place(JOB, &[("a.csv", GOOD)]);
    assert!(run(place.path(), &[]).status.success());
    let before = visible_files(&place.path().join("out"));
    fs::write(
        place.path().join("job.toml"),
        JOB.replace("\"case\"", "\"other\""),
    )
    .unwrap();
    let output = run(place.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("case"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(visible_files(&place.path().join("out")), before);
}

#[test]
fn a_failed_run_keeps_the_output_of_the_one_before() {
    let place = place(JOB, &[("a.csv", GOOD)]);
    assert!(run(place.path(), &[]).status.success());
    let before: Vec<_> = visible_files(&place.path().join("out"))
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    fs::write(place.path().join("job.toml"), JOB.replace("100 %", "10 %")).unwrap();
    fs::write(place.path().join("input/a.csv"), b"id,price\n1,x\n2,2.00\n").unwrap();
    let output = run(place.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("max_refused"));
    let after: Vec<_> = visible_files(&place.path().join("out"))
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    assert_eq!(after, before);
    assert_eq!(
        staged(place.path()),
        0,
        "what the failed run staged is gone"
    );
}

fn staged(place: &Path) -> usize {
    fs::read_dir(place.join("out/_caudal/staged")).map_or(0, Iterator::count)
}

/// A pipe with a name.
pub(crate) fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// A run that goes on until someone ends it: its input is a pipe that stays open. Gives the child once it has staged.
fn endless(place: &Path) -> (Child, fs::File) {
    let pipe = place.join("input/a.csv");
    make_pipe(&pipe);
    fs::write(
        place.join("job.toml"),
        JOB.replace("input/*", "input/a.csv"),
    )
    .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet", "-w", "2"])
        .current_dir(place)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    input.write_all(b"id,price\n").unwrap();
    for id in 0..300_000 {
        writeln!(input, "{id},1.00").unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while staged(place) == 0 {
        assert!(Instant::now() < deadline, "the run never staged");
        std::thread::yield_now();
    }
    (child, input)
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn an_interrupted_run_shows_nothing_and_ends_with_130() {
    let place = place(JOB, &[]);
    let (mut child, mut input) = endless(place.path());
    signal(&child, "-INT");
    // Rows go on coming; the run ends all the same.
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        if input.write_all(&b"1,1.00\n".repeat(10_000)).is_err() {
            break;
        }
    }
    drop(input);
    let output = ended::output(child);
    fails(&output, place.path(), 130, &["interrupted"]);
}

#[test]
fn what_a_killed_run_left_is_never_read_and_cleaned_by_the_next() {
    let place = place(JOB, &[]);
    let (child, input) = endless(place.path());
    signal(&child, "-KILL");
    let output = ended::output(child);
    drop(input);
    assert!(output.status.code().is_none(), "killed");
    assert_eq!(
        visible_files(&place.path().join("out")),
        [] as [std::path::PathBuf; 0]
    );
    assert!(staged(place.path()) > 0, "it left something");
    fs::remove_file(place.path().join("input/a.csv")).unwrap();
    fs::write(place.path().join("input/a.csv"), GOOD).unwrap();
    let output = run(place.path(), &[]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(staged(place.path()), 0);
    assert_eq!(visible_files(&place.path().join("out")).len(), 1);
}

#[test]
fn a_full_disk_ends_the_run_and_the_next_succeeds() {
    let place = place(JOB, &[]);
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(&out)
        .output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        println!("skipped: a small file system can't be mounted here");
        return;
    }
    let mut text = b"id,price\n".to_vec();
    let mut state = 1_u64;
    for id in 0..200_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        writeln!(
            text,
            "{id},{}.{:02}",
            (state >> 40) % 90_000,
            (state >> 20) % 100
        )
        .unwrap();
    }
    fs::write(place.path().join("input/a.csv"), &text).unwrap();
    let full = run(place.path(), &[]);
    let visible = visible_files(&out);
    fs::write(place.path().join("input/a.csv"), GOOD).unwrap();
    let next = run(place.path(), &[]);
    assert!(Command::new("umount").arg(&out).status().unwrap().success());
    let told = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(3), "{told}");
    assert!(
        told.contains("No space left") || told.contains("full"),
        "{told}"
    );
    assert_eq!(visible, [] as [std::path::PathBuf; 0]);
    assert!(
        next.status.success(),
        "{}",
        String::from_utf8_lossy(&next.stderr)
    );
}

#[test]
fn two_summaries_of_standard_output_are_refused() {
    let job = JOB.replace("files = { path = \"rows\" }\nparquet", "stdout = {}\njson");
    let place = place(&job, &[("a.csv", GOOD)]);
    let output = run(place.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    let output = caudal(place.path(), &["run", "job.toml", "--quiet"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"id\":1,\"price\":1.00}\n{\"id\":2,\"price\":2.00}\n"
    );
}

#[test]
fn a_limit_counts_records() {
    let text: String = (0..1000).map(|id| format!("{id},1.00\n")).collect();
    let place = place(JOB, &[("a.csv", format!("id,price\n{text}").as_bytes())]);
    for (chunk, workers) in [("1 MiB", "1"), ("64 B", "1"), ("100 B", "3")] {
        fs::write(
            place.path().join("job.toml"),
            JOB.replace("[job]", &format!("[job]\nchunk = \"{chunk}\"")),
        )
        .unwrap();
        let output = run(place.path(), &["--limit", "37", "-w", workers]);
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["rows"]["in"], 37, "{chunk}, {workers} workers");
    }
}

#[test]
fn fifty_faults_of_a_job_file_are_told_at_once_and_nothing_starts() {
    let rules: String = (0..50)
        .map(|rule| format!("[rules.r{rule}]\nexpect = \"nothing_{rule} > 0\"\n"))
        .collect();
    let place = place(&format!("{JOB}{rules}"), &[("a.csv", GOOD)]);
    let output = run(place.path(), &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for rule in 0..50 {
        assert!(
            told.contains(&format!("job.toml:{}:", 14 + 2 * rule)),
            "rule {rule} is not told:\n{told}"
        );
    }
    assert!(!place.path().join("out").exists());
}
