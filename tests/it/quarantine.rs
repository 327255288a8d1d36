//! Refused rows as a person meets them: shown, exported, and fed again once the job is mended.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tables::visible_files;

/// How long an event of a child may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Quantities must be whole numbers; the mended job reads `3.0`, too.
const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
key = ["region"]
max_refused = "100 %"
OPTIONS
[sources.till]
files = { paths = ["in/*.csv"] }
csv = {}
[sources.till.columns]
id = "int not null"
region = "varchar"
quantity = { type = "int not null", LENIENT }
note = "varchar"
[sources.web]
files = { paths = ["in/*.jsonl"] }
json = {}
[sources.web.columns]
id = "int not null"
region = "varchar"
quantity = { type = "int not null", LENIENT }
[lookups.regions]
on = { code = "region" }
missing = { then = "refuse" }
files = { paths = ["regions.csv"] }
csv = {}
columns = { code = "varchar", zone = "varchar" }
[rules]
not_test = { expect = "note <> 'test'", then = "drop" }
[sinks.rows]
files = { path = "rows", partition_by = ["zone"] }
csv = {}
columns = { id = "id", quantity = "quantity", note = "note", zone = "zone" }
[sinks.copy]
files = { path = "copy" }
parquet = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
columns = { source = "source", file = "file", line = "line", byte = "byte", raw = "raw", reasons = "reasons" }
"#;

struct Case(tempfile::TempDir);

impl Case {
    /// Files with faults of every kind: of a column, of a look-up, of a record, of bytes; columns in another order in each file.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let case = Self(place);
        fs::create_dir(case.path().join("in")).unwrap();
        case.write("in/a.csv", b"id,region,quantity,note\r\n1,ES,1,plain\r\n2,ES,2.0,\"two\r\nlines\"\r\n3,XX,3.0,region\r\n4,YY,4,region\r\n5,ES,five,stays\r\n6,ES\r\n7,ES,7.0,test\r\n8,ES,8,\"=1+1\"\r\n");
        case.write("in/b.csv", b"note,unknown,quantity,id,region\n\xff\xfe,u,9.0,9,ES\nlast,u,10.0,10,ES\n\"open,u,11.0,11,ES\nnext,u,12.0,12,PT\n");
        case.write("in/c.jsonl", b"{\"id\": 20, \"region\": \"ES\", \"quantity\": 20.0}\n{\"id\": 21, \"region\": \"XX\", \"quantity\": 1}\n{\"id\": 22,\n");
        case.write("regions.csv", b"code,zone\nES,south\nPT,west\n");
        case.job("lenient = false", "");
        case
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    fn job(&self, lenient: &str, options: &str) {
        let text = JOB.replace("LENIENT", lenient).replace("OPTIONS", options);
        self.write("job.toml", text.as_bytes());
    }

    /// The job as it should have been, and the look-up, too.
    fn mend(&self) {
        self.job("lenient = true", "");
        self.write("regions.csv", b"code,zone\nES,south\nPT,west\nXX,north\n");
    }

    fn caudal(&self, words: &[&str]) -> Output {
        Command::new("timeout")
            .args(["60", env!("CARGO_BIN_EXE_caudal")])
            .args(words)
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// Runs what must succeed; gives its standard output.
    fn good(&self, words: &[&str]) -> String {
        let done = self.caudal(words);
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{words:?}: {told}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn summary(&self, words: &[&str]) -> Value {
        let words = [words, &["--json", "--quiet"]].concat();
        serde_json::from_str(&self.good(&words)).unwrap()
    }

    /// Runs what must fail with this code; gives what it tells.
    fn bad(&self, code: i32, words: &[&str]) -> String {
        let done = self.caudal(words);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{words:?}: {told}");
        told
    }

    /// What readers of the outputs see: lines of rows and of refused rows, rows of Parquet.
    fn seen(&self) -> BTreeMap<String, Vec<String>> {
        let out = self.path().join("out");
        let mut seen = BTreeMap::new();
        for sink in ["rows", "refused"] {
            let mut lines = Vec::new();
            for file in visible_files(&out.join(sink)) {
                let below = file
                    .parent()
                    .unwrap()
                    .strip_prefix(&out)
                    .unwrap()
                    .display()
                    .to_string();
                let text = String::from_utf8(fs::read(&file).unwrap()).unwrap();
                lines.extend(
                    records(&text)
                        .skip(1)
                        .map(|line| format!("{below}: {line}")),
                );
            }
            lines.sort();
            seen.insert(sink.to_owned(), lines);
        }
        let copy = super::tables::read(&out.join("copy"));
        let mut copy: Vec<String> = copy.iter().map(|row| format!("{row:?}")).collect();
        copy.sort();
        seen.insert("copy".to_owned(), copy);
        seen
    }

    fn manifests(&self) -> usize {
        let folder = self.path().join("out/_caudal/manifest");
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

/// Records of CSV: a line end within quotes ends none.
fn records(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.split_inclusive('\n') {
        open.push_str(line);
        if open.matches('"').count().is_multiple_of(2) {
            found.push(std::mem::take(&mut open));
        }
    }
    found.into_iter()
}

/// What a run of the mended job on the same files makes, in a folder of its own.
fn as_if_right_at_first() -> BTreeMap<String, Vec<String>> {
    let case = Case::new();
    case.mend();
    case.good(&["run", "job.toml", "--quiet"]);
    case.seen()
}

#[test]
fn rows_fed_again_stand_as_if_they_had_been_right_at_first() {
    let expected = as_if_right_at_first();
    assert!(
        expected["rows"].len() == 8 && expected["refused"].len() == 6,
        "{expected:?}"
    );
    for words in [
        &["run", "-w", "1"][..],
        &["run", "-w", "3"],
        &["launch", "-n", "2", "-w", "2"],
    ] {
        let case = Case::new();
        let first = case.summary(&["run", "job.toml"]);
        case.mend();
        // Nothing of the input is needed any more.
        fs::rename(case.path().join("in"), case.path().join("away")).unwrap();
        fs::create_dir(case.path().join("in")).unwrap();
        let replay: Vec<&str> = [words, &["job.toml", "--replay"]].concat();
        let again = case.summary(&replay);
        assert_eq!(case.seen(), expected, "{words:?}");
        let count = |summary: &Value, name: &str| summary["rows"][name].as_u64().unwrap();
        assert_eq!(count(&again, "in"), 0);
        assert_eq!(count(&again, "replayed"), count(&first, "refused"));
        assert_eq!(
            count(&again, "replayed"),
            count(&again, "clean") + count(&again, "refused") + count(&again, "dropped"),
        );
        assert_eq!(count(&again, "dropped"), 1, "{again}");

        // Again: the same rows are refused, and nothing else happens.
        let third = case.summary(&replay);
        assert_eq!(
            count(&third, "replayed"),
            count(&again, "refused"),
            "{third}"
        );
        assert_eq!(count(&third, "clean"), 0);
        assert_eq!(case.seen(), expected, "{words:?}, twice");
    }
}

#[test]
fn an_empty_quarantine_is_replayed_by_doing_nothing() {
    let case = Case::new();
    case.mend();
    case.write("in/a.csv", b"id,region,quantity,note\n1,ES,1,x\n");
    fs::remove_file(case.path().join("in/b.csv")).unwrap();
    case.write("in/c.jsonl", b"");
    case.good(&["run", "job.toml", "--quiet"]);
    let before = case.manifests();
    let summary = case.summary(&["run", "job.toml", "--replay"]);
    assert_eq!(summary["rows"]["replayed"], 0);
    assert_eq!(case.manifests(), before);
    assert!(
        case.good(&["quarantine", "job.toml"])
            .starts_with("case: 0 rows")
    );
}

#[test]
fn a_file_refused_whole_is_read_again() {
    let case = Case::new();
    case.job("lenient = true", "on_bad_file = \"refuse\"");
    case.write("in/b.csv", b"id,region,quantity\n30,ES,30\n");
    case.good(&["run", "job.toml", "--quiet"]);
    let told = case.good(&["quarantine", "job.toml", "--reason", "missing_columns"]);
    assert!(told.contains("in/b.csv (the whole file)"), "{told}");
    case.write(
        "in/b.csv",
        b"id,region,quantity,note\n30,ES,30,there\n31,ES,x,there\n",
    );
    let summary = case.summary(&["run", "job.toml", "--replay"]);
    let rows = case.seen()["rows"].join("");
    assert!(rows.contains("30,30,there"), "{summary} {rows}");
    let refused = case.seen()["refused"].join("");
    assert!(
        refused.contains("till,in/b.csv,3,39,") && !refused.contains("missing_columns"),
        "{refused}"
    );
}

#[test]
fn a_replay_that_is_killed_anywhere_happens_once_or_not_at_all() {
    type Event = fn(&Path) -> bool;
    let staged = |out: &Path| out.join("_caudal/staged/run-00000002");
    let events: [(&str, Event); 6] = [
        ("it has begun", |_| true),
        ("something is staged", |out| {
            out.join("_caudal/staged/run-00000002").exists()
        }),
        ("rows are staged", |out| {
            out.join("_caudal/staged/run-00000002/sink=rows").exists()
        }),
        ("visible files have a second name", |out| {
            fs::read_dir(out.join("_caudal/staged/run-00000002/sink=copy"))
                .is_ok_and(|files| files.count() > 1)
        }),
        ("the manifest is put", |out| {
            out.join("_caudal/manifest/00000002.json").exists()
        }),
        ("all is removed", |out| {
            out.join("_caudal/manifest/00000002.json").exists()
                && !out.join("_caudal/staged/run-00000002").exists()
        }),
    ];
    let make = || {
        let case = Case::new();
        let rows: String = (1000..21_000)
            .map(|id| format!("{id},ES,{id}.0,n\n"))
            .collect();
        case.write(
            "in/d.csv",
            format!("id,region,quantity,note\n{rows}").as_bytes(),
        );
        case
    };
    let expected = {
        let case = make();
        case.mend();
        case.good(&["run", "job.toml", "--quiet"]);
        case.seen()
    };
    for (what, happened) in events {
        let case = make();
        case.good(&["run", "job.toml", "--quiet"]);
        let before = case.seen();
        case.mend();
        let mut child = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["run", "job.toml", "--replay", "--quiet", "-w", "2"])
            .current_dir(case.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = case.path().join("out");
        let begun = Instant::now();
        while !happened(&out) && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < DEADLINE, "{what}");
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let committed = out.join("_caudal/manifest/00000002.json").exists();
        // What is shown of it is the one or the other, whatever was going on.
        let told = case.good(&["quarantine", "job.toml"]);
        let left = if committed {
            expected["refused"].len()
        } else {
            before["refused"].len()
        };
        let counted: String = told
            .lines()
            .next()
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert!(counted.starts_with(&left.to_string()), "{what}: {told}");
        case.good(&["run", "job.toml", "--replay", "--quiet"]);
        assert_eq!(case.seen(), expected, "{what}, committed: {committed}");
        assert!(!staged(&out).exists());
    }
}

#[test]
fn what_looks_at_all_rows_is_not_replayed() {
    let case = Case::new();
    case.good(&["run", "job.toml", "--quiet"]);
    let text = fs::read_to_string(case.path().join("job.toml")).unwrap();
    let before = case.seen();
    for (more, told) in [
        (
            "[duplicates]\nids = { key = [\"id\"], keep = \"first\" }\n",
            "--replay: duplicates.ids of the job looks at all rows",
        ),
        (
            "[sinks.more]\nfiles = { path = \"more\" }\ncsv = {}\n",
            "--replay: sinks.more has other columns",
        ),
    ] {
        case.write("job.toml", format!("{text}{more}").as_bytes());
        let said = case.bad(2, &["run", "job.toml", "--replay"]);
        assert!(said.contains(told), "{said}");
    }
    let other = text.replace(
        "id = \"id\", quantity",
        "id = \"cast(id as bigint)\", quantity",
    );
    case.write("job.toml", other.as_bytes());
    let said = case.bad(2, &["run", "job.toml", "--replay"]);
    assert!(said.contains("sinks.rows has other columns"), "{said}");
    // A source that is gone, and a header that does not fit any more, are known when their rows come.
    for (from, to, told) in [
        (
            "[sources.web",
            "[sources.shop",
            "the job has no source \"web\" any more",
        ),
        (
            "note = \"varchar\"\n",
            "note = { type = \"varchar\", header = \"remark\" }\n",
            "the header lacks \"remark\"",
        ),
    ] {
        case.write("job.toml", text.replace(from, to).as_bytes());
        let said = case.bad(3, &["run", "job.toml", "--replay"]);
        assert!(said.contains(told), "{said}");
    }
    assert_eq!(case.seen(), before);
}

#[test]
fn where_nothing_is_kept_it_is_said_how_to_keep_it() {
    let case = Case::new();
    let said = case.bad(3, &["quarantine", "job.toml"]);
    assert!(said.contains("no run of this job was published"), "{said}");
    let said = case.bad(2, &["run", "job.toml", "--replay"]);
    assert!(
        said.contains("no run of this job has kept refused rows"),
        "{said}"
    );
    let text = fs::read_to_string(case.path().join("job.toml")).unwrap();
    case.write(
        "job.toml",
        text.split("[sinks.refused]").next().unwrap().as_bytes(),
    );
    case.good(&["run", "job.toml", "--quiet"]);
    let said = case.bad(3, &["quarantine", "job.toml"]);
    assert!(
        said.contains("[sinks.quarantine] with from = \"refused\""),
        "{said}"
    );
    assert!(!case.path().join("out/_caudal/quarantine").exists());
}

#[test]
fn reasons_rows_and_bytes_are_shown() {
    let case = Case::new();
    case.good(&["run", "job.toml", "--quiet"]);
    let reasons = case.good(&["quarantine", "job.toml"]);
    insta::assert_snapshot!("reasons", reasons);
    insta::assert_snapshot!(
        "rows_of_a_reason",
        case.good(&["quarantine", "job.toml", "--reason", "unknown_regions"])
    );
    insta::assert_snapshot!(
        "one_row",
        case.good(&["quarantine", "job.toml", "--row", "b.csv:2", "--hex"])
    );
    let by_number = case.good(&["quarantine", "job.toml", "--row", "1"]);
    assert_eq!(
        by_number,
        case.good(&["quarantine", "job.toml", "--row", "in/a.csv:3"])
    );
    let said = case.bad(2, &["quarantine", "job.toml", "--reason", "unknown_region"]);
    assert!(said.contains("did you mean \"unknown_regions\"?"), "{said}");
    let said = case.bad(2, &["quarantine", "job.toml", "--row", "a.csv:1"]);
    assert!(said.contains("is no refused row"), "{said}");
}

#[test]
fn an_export_is_csv_that_spreadsheets_open_safely() {
    let case = Case::new();
    case.write(
        "in/a.csv",
        b"id,region,quantity,note\n=2+3,ES,1,\"a \"\"b\"\", c\"\n-1,ES,x,\"two\nlines\"\n",
    );
    case.good(&["run", "job.toml", "--quiet"]);
    case.good(&["quarantine", "job.toml", "--export", "bad.csv"]);
    let text = fs::read_to_string(case.path().join("bad.csv")).unwrap();
    let mut lines = records(&text);
    assert_eq!(
        lines.next().unwrap(),
        "row,source,file,line,byte,reason,reasons,raw\n"
    );
    assert_eq!(
        lines.next().unwrap(),
        "1,till,in/a.csv,2,24,bad_integer,column id: bad_integer: =2+3,\"'=2+3,ES,1,\"\"a \"\"\"\"b\"\"\"\", c\"\"\"\n"
    );
    let second = lines.next().unwrap();
    assert!(
        second.ends_with("\"'-1,ES,x,\"\"two\nlines\"\"\"\n"),
        "{second}"
    );
    case.good(&[
        "quarantine",
        "job.toml",
        "--export",
        "exact.csv",
        "--exact",
        "--reason",
        "bad_integer",
    ]);
    let text = fs::read_to_string(case.path().join("exact.csv")).unwrap();
    assert!(
        text.contains(",\"=2+3,ES") && !text.contains("invalid_json"),
        "{text}"
    );
    let nowhere: PathBuf = case.path().join("no/such/folder.csv");
    case.bad(
        3,
        &[
            "quarantine",
            "job.toml",
            "--export",
            nowhere.to_str().unwrap(),
        ],
    );
}

#[test]
fn rows_of_columnar_files_are_shown_and_end_a_replay() {
    let case = Case::new();
    case.mend();
    case.good(&["run", "job.toml", "--quiet"]);
    let job = r#"format = 1
[job]
name = "table"
output = "table"
max_refused = "100 %"
[sources.copy]
files = { paths = ["out/copy/*.parquet"] }
parquet = {}
columns = { id = "int not null", note = "decimal(4,2) not null" }
[sinks.rows]
files = { path = "rows" }
csv = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
json = {}
"#;
    case.write("table.toml", job.as_bytes());
    case.good(&["run", "table.toml", "--quiet"]);
    let told = case.good(&["quarantine", "table.toml", "--row", "1"]);
    assert!(
        told.contains(" row 0\n") && told.contains("raw      {\"id\":"),
        "{told}"
    );
    let said = case.bad(3, &["run", "table.toml", "--replay"]);
    assert!(
        said.contains("has no bytes that could be read again")
            && said.contains("hint: run the job without --replay"),
        "{said}"
    );
}

/// Files that are not plain: UTF-16, a code page, lines that end in CR, an array of JSON over several lines.
const ODD: &str = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.wide]
files = { paths = ["in/wide.csv"] }
csv = {}
columns = { id = { type = "int not null", LENIENT }, name = "varchar" }
[sources.page]
files = { paths = ["in/page.csv"] }
csv = { encoding = "windows-1252", line_end = "cr" }
columns = { id = { type = "int not null", LENIENT }, name = "varchar" }
[sources.array]
files = { paths = ["in/array.json"] }
json = { records = "array" }
columns = { id = { type = "int not null", LENIENT }, name = "varchar" }
[sinks.rows]
files = { path = "rows" }
csv = {}
columns = { id = "id", name = "name" }
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
columns = { file = "file", line = "line", byte = "byte", raw = "raw" }
"#;

#[test]
fn rows_of_odd_files_are_fed_again_from_the_bytes_that_were_there() {
    let case = Case::new();
    let wide = "id,name\n1.0,Málaga\n2,€\nx,ñ\n".encode_utf16();
    let wide: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
    case.write("in/wide.csv", &[b"\xFF\xFE".as_slice(), &wide].concat());
    case.write("in/page.csv", b"id,name\r3.0,M\xE1laga\r4,\x80\ry,\xF1\r");
    case.write(
        "in/array.json",
        b"[\n  {\n    \"id\": 5.0,\n    \"name\": \"M\xC3\xA1laga\"\n  },\n  {\"id\": 6},\n  {\"id\": \"z\",\n \"name\": null},\n  {\"id\": \n]",
    );
    let job = |lenient: &str| case.write("job.toml", ODD.replace("LENIENT", lenient).as_bytes());
    let seen = || {
        ["rows", "refused"].map(|sink| {
            let files = visible_files(&case.path().join("out").join(sink));
            let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
            let mut records: Vec<String> = texts
                .flat_map(|text| records(&text).skip(1).collect::<Vec<_>>())
                .collect();
            records.sort();
            records
        })
    };
    // 1. As it should have been from the beginning.
    job("lenient = true");
    case.good(&["run", "job.toml", "--quiet"]);
    let right = seen();
    fs::remove_dir_all(case.path().join("out")).unwrap();
    // 2. With faults, mended, and fed again.
    job("lenient = false");
    let first = case.summary(&["run", "job.toml"]);
    job("lenient = true");
    let again = case.summary(&["run", "job.toml", "--replay"]);
    assert_eq!(again["rows"]["replayed"], first["rows"]["refused"]);
    assert_eq!(seen(), right);
    // 3. A record whose elements are rows may hold rows that are visible.
    case.write(
        "in/array.json",
        b"[{\"name\":\"n\",\"of\":[{\"id\":7.0},{\"id\":8}]}]",
    );
    let paths = ODD.replace("LENIENT", "header = \"of[].id\"");
    let paths = paths.replacen("header = \"of[].id\"", "lenient = true", 2);
    case.write("job.toml", paths.as_bytes());
    case.good(&["run", "job.toml", "--quiet"]);
    let told = case.bad(2, &["run", "job.toml", "--replay"]);
    assert!(told.contains("sources.array makes each element"), "{told}");
}
