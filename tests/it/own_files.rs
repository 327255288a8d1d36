//! Processes that each read files of their own, beside files that all share.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::cluster::{Place, Process};
use super::tables::visible_files;

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
key = ["id"]
chunk = "64 B"
epoch = "256 B"
max_refused = "100 %"
join_timeout = "20 seconds"
[sources.own]
files = { paths = ["${OWN}/*.csv"], per_process = true }
csv = {}
columns = { id = "int not null", price = "decimal(8,2) not null" }
[sources.shared]
files = { paths = ["input/a.csv"] }
csv = {}
columns = { id = "int not null", price = "decimal(8,2) not null" }
[sinks.rows]
files = { path = "rows" }
csv = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
columns = { file = "file", line = "line", raw = "raw" }
"#;

/// Rows of each process's own file; the last one is at fault.
const ROWS: [usize; 3] = [3, 400, 0];

fn place() -> Place {
    let place = Place::new(3);
    fs::write(place.path().join("job.toml"), JOB).unwrap();
    for (process, rows) in ROWS.into_iter().enumerate() {
        let folder = place.path().join(format!("disk{process}"));
        fs::create_dir(&folder).unwrap();
        let rows: String = (0..rows)
            .map(|row| format!("{process}{row:04},{row}.25\n"))
            .collect();
        let text = format!("id,price\n{rows}{process}9999,bad\n");
        fs::write(folder.join("sales.csv"), text).unwrap();
    }
    place
}

fn start(place: &Place) -> [Process; 3] {
    [0, 1, 2].map(|process| {
        let own = format!("disk{process}");
        place.start_with(process, &["-w", "2"], &[("OWN", &own)])
    })
}

fn lines(folder: &Path) -> Vec<String> {
    let texts = visible_files(folder)
        .into_iter()
        .map(|file| fs::read_to_string(file).unwrap());
    let mut lines: Vec<String> = texts
        .flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

#[test]
fn each_process_reads_its_own_files_and_says_whose_a_row_is() {
    let place = place();
    for mut process in start(&place) {
        process.ends_with(0, &[]);
    }
    let mut expected = vec!["1,1.00".to_owned(), "2,2.00".to_owned()];
    for (process, rows) in ROWS.into_iter().enumerate() {
        expected.extend((0..rows).map(|row| {
            let id: usize = format!("{process}{row:04}").parse().unwrap();
            format!("{id},{row}.25")
        }));
    }
    expected.sort();
    let out = place.path().join("out");
    assert_eq!(lines(&out.join("rows")), expected);

    let mut refused: Vec<String> = (0..3)
        .map(|process| {
            let (address, line) = (place.address(process), ROWS[process] + 2);
            format!("{address}:disk{process}/sales.csv,{line},\"{process}9999,bad\"")
        })
        .collect();
    refused.sort();
    assert_eq!(lines(&out.join("refused")), refused);
}

#[test]
fn one_that_finds_no_file_of_its_own_ends_all() {
    let place = place();
    fs::remove_file(place.path().join("disk1/sales.csv")).unwrap();
    let [mut first, mut second, mut third] = start(&place);
    second.ends_with(3, &["sources.own: no file matches \"disk1/*.csv\""]);
    first.ends_with(3, &["process 1", "no file matches"]);
    third.ends_with(3, &["process 1", "no file matches"]);
    place.nothing_is_visible();
}

#[test]
fn one_process_reads_what_it_finds_like_any_other_file() {
    let place = place();
    let run: Child = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet"])
        .env("OWN", "disk0")
        .current_dir(place.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Process::new(run).ends_with(0, &[]);
    let refused = lines(&place.path().join("out/refused"));
    assert_eq!(refused, ["disk0/sales.csv,5,\"09999,bad\""]);
}
