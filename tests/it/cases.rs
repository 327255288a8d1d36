//! Cases: small jobs with known results, one folder each under `tests/cases`. Adding one needs no Rust.
//!
//! `job.toml`, `input/`, `about.md` (what it shows) and `expected/`: for each sink `SINK.txt`, the lines of its files (CSV or
//! JSON), sorted, each behind the partition folder it stands in; `summary.json`, what the run tells machines, without
//! times; `exit`, the exit code; `told.txt`, what it tells people. Every case runs with 1, 2 and 4 workers, in 2 and 3 processes, and again
//! with chunks of 64 bytes and of one, so that chunk borders fall everywhere, the latter with epochs of a few records; those with look-ups
//! again with every look-up partitioned; all must agree. `CAUDAL_REWRITE=1` writes what came out; `CAUDAL_CASES=WORD` takes those whose name has the word.

mod cut;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::tables::visible_files;

/// Pieces of a byte and epochs of a few records: every border falls everywhere.
const SMALL: &str = "chunk = \"1 B\"\nepoch = \"200 B\"";

/// Every look-up is shared out: keys visit their owners.
const PARTITIONED: Edit<'_> = Edit {
    options: None,
    placement: Some("partitioned"),
};

/// As [`SMALL`] and [`PARTITIONED`].
const PARTITIONED_SMALL: Edit<'_> = Edit {
    options: Some(SMALL),
    placement: Some("partitioned"),
};

/// What a run tells people, where it is a result.
const TOLD: &str = "told.txt";

/// The same where it is none.
const UNCOMPARED: &str = "told";

/// What is changed in the job of a case.
#[derive(Debug, Clone, Copy, Default)]
struct Edit<'a> {
    /// Options of `[job]`.
    options: Option<&'a str>,
    /// `placement` of all look-ups.
    placement: Option<&'a str>,
}

impl<'a> Edit<'a> {
    fn options(options: &'a str) -> Self {
        Self {
            options: Some(options),
            placement: None,
        }
    }

    fn of(self, job: &str) -> String {
        let mut edited = String::new();
        for line in job.lines() {
            edited += line;
            edited += "\n";
            if line == "[job]" {
                edited.extend(self.options.map(|options| format!("{options}\n")));
            }
            let is_lookup = line
                .strip_prefix("[lookups.")
                .is_some_and(|name| !name.contains('.'));
            if is_lookup && let Some(placement) = self.placement {
                writeln!(edited, "placement = \"{placement}\"").unwrap();
            }
        }
        edited
    }
}

/// What came of one run of a case: file name under `expected/` → text.
type Result = BTreeMap<String, String>;

#[test]
fn every_case_gives_what_is_expected_with_any_number_of_workers_and_any_chunk() {
    let mut wrong = Vec::new();
    let cases = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    assert!(!cases.is_empty(), "there are cases");
    let asked = std::env::var("CAUDAL_CASES").ok();
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        if asked.as_ref().is_some_and(|asked| !name.contains(asked)) {
            continue;
        }
        assert!(
            case.join("about.md").exists(),
            "{name}: about.md says what the case shows"
        );
        let first = run(&case, &["run", "-w", "1"], Edit::default());
        if std::env::var_os("CAUDAL_REWRITE").is_some() {
            rewrite(&case.join("expected"), &first);
        }
        let expected = expected(&case.join("expected"));
        wrong.extend(differences(&format!("{name}, -w 1"), &expected, &first));
        let as_is = Edit::default();
        let small = Edit::options(SMALL);
        let mut shapes = vec![
            ("run -w 2", as_is),
            ("run -w 4", as_is),
            ("launch -n 2", as_is),
            ("run -w 2", Edit::options("chunk = \"64 B\"")),
            ("run -w 3", small),
            ("launch -n 3 -w 2", small),
        ];
        let job = fs::read_to_string(case.join("job.toml")).unwrap();
        if PARTITIONED.of(&job) != as_is.of(&job) {
            shapes.extend([
                ("run -w 1", PARTITIONED),
                ("run -w 2", PARTITIONED_SMALL),
                ("run -w 4", PARTITIONED),
                ("launch -n 2", PARTITIONED),
                ("launch -n 3 -w 2", PARTITIONED_SMALL),
            ]);
        }
        for (words, edit) in shapes {
            let got = run(&case, &words.split(' ').collect::<Vec<_>>(), edit);
            let what = format!("{name}, {words}, {edit:?}");
            wrong.extend(differences(&what, &expected, &got));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// Runs the case in a copy of its folder.
fn run(case: &Path, words: &[&str], edit: Edit<'_>) -> Result {
    let place = tempfile::tempdir().unwrap();
    copy(case, place.path());
    let job = place.path().join("job.toml");
    let text = fs::read_to_string(&job).unwrap();
    let edited = edit.of(&text);
    let is_edited = edited != text;
    fs::write(&job, edited).unwrap();
    let output = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_caudal"), words[0], "job.toml"])
        .args(["--json", "--quiet"])
        .args(&words[1..])
        .current_dir(place.path())
        .output()
        .unwrap();
    let mut result = Result::new();
    result.insert(
        "exit".to_owned(),
        format!("{}\n", output.status.code().unwrap_or(-1)),
    );
    let told = String::from_utf8(output.stderr).unwrap();
    // With a line more in the job file its places move, and every process tells: compared in the other runs, and said where the exit is another.
    let is_compared = !is_edited && words[0] == "run";
    result.insert(if is_compared { TOLD } else { UNCOMPARED }.to_owned(), told);
    if !output.stdout.is_empty() {
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        result.insert(
            "summary.json".to_owned(),
            format!("{:#}\n", lasting(&summary)),
        );
    }
    for sink in folders_or_none(&place.path().join("out")) {
        let name = sink.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with(['_', '.']) {
            result.insert(format!("{name}.txt"), lines(&sink));
        }
    }
    result
}

fn folders_or_none(root: &Path) -> Vec<PathBuf> {
    if root.exists() {
        folders(root)
    } else {
        Vec::new()
    }
}

/// The part of the summary that does not depend on the machine; checks the row law on the way.
fn lasting(summary: &Value) -> Value {
    let rows = &summary["rows"];
    let count = |name: &str| rows[name].as_u64().unwrap();
    assert_eq!(
        count("in") + count("replayed"),
        count("clean") + count("refused") + count("dropped") + count("parked"),
        "{rows}"
    );
    let mut kept = json!({});
    for name in [
        "rows",
        "refused_by_reason",
        "dropped_by_rule",
        "warned_by_rule",
        "verdicts",
        "failures",
    ] {
        kept[name] = summary[name].clone();
    }
    // Most jobs adjust nothing and look for no duplicates.
    for name in ["adjusted", "duplicates"] {
        let found = &summary[name];
        if found.as_object().is_some_and(|found| !found.is_empty()) {
            kept[name] = found.clone();
        }
    }
    kept
}

/// The lines of all files of a sink, sorted; a CSV header once.
fn lines(sink: &Path) -> String {
    let mut lines = Vec::new();
    let mut header = None;
    for file in visible_files(sink) {
        let folder = file
            .parent()
            .unwrap()
            .strip_prefix(sink)
            .unwrap()
            .display()
            .to_string();
        let text = fs::read_to_string(&file).unwrap();
        let mut of_file = text.lines();
        if file.extension().is_some_and(|end| end == "csv") {
            header = of_file.next().map(str::to_owned);
        }
        let before = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}: ")
        };
        lines.extend(of_file.map(|line| format!("{before}{line}")));
    }
    lines.sort();
    let header = header.map(|header| header + "\n").unwrap_or_default();
    header
        + &lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn rewrite(folder: &Path, result: &Result) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    fs::create_dir_all(folder).unwrap();
    for (name, text) in result {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn expected(folder: &Path) -> Result {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            (
                file.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&file).unwrap(),
            )
        })
        .collect()
}

fn differences(what: &str, expected: &Result, got: &Result) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        if name == UNCOMPARED || name == TOLD && !got.contains_key(name) {
            continue;
        }
        let (wanted, given) = (expected.get(name), got.get(name));
        if wanted != given {
            let show =
                |text: Option<&String>| text.map_or("(not there)", String::as_str).to_owned();
            let told = got.get(UNCOMPARED).filter(|_| name == "exit");
            found.push(format!(
                "== {what}: {name}\n-- expected\n{}\n-- got\n{}{}",
                show(wanted),
                show(given),
                told.map(|told| format!("-- told\n{told}"))
                    .unwrap_or_default()
            ));
        }
    }
    found
}
