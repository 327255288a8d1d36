//! Random histories of checked sales, held against DuckDB.
//!
//! A history is a job with windows and checks that are drawn, and rows that come late, twice, in disorder, without values and in any slices, while
//! its processes are killed, end at a fail point or are stopped at drawn epochs, and others of another number go on. However it went, what
//! stands at its end must be what one query of DuckDB (`histories/oracle.sql`) works out at once from the rows that were accepted: the same windows
//! and one final verdict for each, to the last bit. One history in four is a run with an end over the same files.
//!
//! `CAUDAL_HISTORIES` says how many are tried, `CAUDAL_SEED` which; `CAUDAL_HISTORIES_LOG` names a file for a line about each.
//! `CAUDAL_HISTORIES=1000 cargo test --release --test it histories` is what `benches/runs` keeps. Histories that differ stay on the disk.

#[path = "../faults/draw.rs"]
mod draw;
mod drawn;
mod frame;
mod lives;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::readers::python;
use draw::Draw;
use drawn::History;
use lives::Lived;

/// Histories that are tried where `CAUDAL_HISTORIES` says nothing: some seconds of them.
const HISTORIES: usize = 24;

/// Histories at once: they wait most of the time.
const THREADS: usize = 12;

#[test]
fn any_history_ends_with_the_verdicts_that_duckdb_gives_its_rows() {
    let Some(python) = python("readers") else {
        return;
    };
    let histories =
        number("CAUDAL_HISTORIES").map_or(HISTORIES, |count| usize::try_from(count).unwrap());
    let seed = number("CAUDAL_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("CAUDAL_SEED={seed} CAUDAL_HISTORIES={histories} tries the same histories");
    let mut seeds = Draw(seed);
    let seeds: Vec<u64> = (0..histories).map(|_| seeds.next(u64::MAX)).collect();

    let place = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let told: Mutex<Vec<(usize, Value, Lived)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    let Some(seed) = seeds.get(number) else {
                        return;
                    };
                    let folder = place.path().join(number.to_string());
                    let history = History::draw(&mut Draw(*seed));
                    let lived = lives::live(&history, &folder);
                    let parameters = history.parameters(number);
                    told.lock().unwrap().push((number, parameters, lived));
                }
            });
        }
    });
    let mut told = told.into_inner().unwrap();
    told.sort_by_key(|(number, ..)| *number);
    let lines = told
        .iter()
        .map(|(_, parameters, _)| format!("{parameters}\n"));
    std::fs::write(
        place.path().join("histories.jsonl"),
        lines.collect::<String>(),
    )
    .unwrap();

    let found = held(&python, place.path());
    if let Some(log) = std::env::var_os("CAUDAL_HISTORIES_LOG") {
        let mut log = std::fs::File::create(log).unwrap();
        writeln!(
            log,
            "{}",
            json!({ "seed": seed, "histories": histories, "sums": found["sums"] })
        )
        .unwrap();
        for ((number, parameters, lived), counts) in
            told.iter().zip(found["histories"].as_array().unwrap())
        {
            let line = json!({ "history": number, "windows": parameters["windows"], "ends": lived.ends, "counts": counts });
            writeln!(log, "{line}").unwrap();
        }
    }
    println!("{}", found["sums"]);
    let wrong = found["wrong"].as_array().unwrap();
    if !wrong.is_empty() {
        let kept = place.keep();
        let shown: Vec<String> = wrong.iter().take(40).map(Value::to_string).collect();
        panic!(
            "{} differences; CAUDAL_SEED={seed}; {}\n{}",
            wrong.len(),
            kept.display(),
            shown.join("\n")
        );
    }
    // A test that judges nothing holds nothing.
    let verdicts = found["sums"]["verdicts"].as_u64().unwrap();
    assert!(
        verdicts >= 20 * u64::try_from(histories).unwrap(),
        "{found}"
    );
}

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

/// What DuckDB finds of all histories in a folder.
fn held(python: &Path, folder: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/histories/oracle.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}
