//! Freshness in a continuous job: silence is told in time without a row, by lives of any number of workers, and nothing is told twice.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::ended;

/// How long anything may take: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What an epoch takes.
const EPOCH: i64 = 250_000;

const SECOND: i64 = 1_000_000;

const JOB: &str = r#"
format = 1
[job]
name = "alive"
epoch = "250 ms"
checkpoint = "250 ms"
output = "out"
[sources.sales]
event_time = "ts"
files = { paths = ["in/*.json"], follow = true }
json = {}
columns = { ts = "timestamp", store = "varchar not null" }
[lookups.stores]
on = { store = "sales.store" }
missing = { then = "null" }
files = { paths = ["stores.csv"], follow = true }
csv = {}
columns = { store = "varchar" }
[checks.alive]
freshness = { per = ["sales.store"], warn_after = "2 seconds", fail_after = "1 hour", expected = { lookup = "stores" } }
[sinks.verdicts]
from = "verdicts"
stdout = {}
json = {}
"#;

/// A verdict as it was said, and when its line came.
#[derive(Debug)]
struct Heard {
    store: String,
    status: String,
    reason: String,
    at: i64,
}

/// A process that runs the job.
struct Running {
    child: Child,
    heard: Receiver<Heard>,
}

impl Running {
    fn start(place: &Path, workers: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["run", "job.toml", "--quiet", "-w", &workers.to_string()])
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = child.stdout.take().unwrap();
        let (told, heard) = channel();
        std::thread::spawn(move || hear(lines, |heard| told.send(heard).is_ok()));
        Self { child, heard }
    }

    /// The next verdict.
    fn next(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("a verdict")
    }

    /// Ends it in good order; gives what it said that nobody asked for.
    fn stop(mut self, place: &Path) -> Vec<Heard> {
        let stop = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["stop", "job.toml"])
            .current_dir(place)
            .output()
            .unwrap();
        assert!(
            stop.status.success(),
            "{}",
            String::from_utf8_lossy(&stop.stderr)
        );
        assert!(ended::status(&mut self.child).success());
        self.heard.iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn hear(lines: ChildStdout, mut tell: impl FnMut(Heard) -> bool) {
    for line in BufReader::new(lines).lines() {
        let Ok(verdict) = serde_json::from_str::<Value>(&line.unwrap()) else {
            continue;
        };
        if verdict["check"] != "alive" {
            continue;
        }
        let text = |name: &str| verdict[name].as_str().unwrap_or("-").to_owned();
        let heard = Heard {
            store: text("segment"),
            status: text("status"),
            reason: text("reason"),
            at: caudal::epoch::wall_time(),
        };
        if !tell(heard) {
            return;
        }
    }
}

/// Adds a sale of a store at a time.
fn sell(place: &Path, store: &str, ts: Option<i64>) {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(place.join("in/sales.json"));
    let ts = ts.map_or("null".to_owned(), |ts| {
        let ts = DateTime::from_timestamp_micros(ts).unwrap();
        format!("\"{}\"", ts.to_rfc3339_opts(SecondsFormat::Micros, true))
    });
    writeln!(file.unwrap(), "{{\"ts\": {ts}, \"store\": \"{store}\"}}").unwrap();
}

fn expect(place: &Path, stores: &[&str]) {
    let text = format!("store\n{}\n", stores.join("\n"));
    fs::write(place.join("stores.tmp"), text).unwrap();
    fs::rename(place.join("stores.tmp"), place.join("stores.csv")).unwrap();
}

#[test]
fn silence_is_told_in_time_and_once_whatever_lives_and_workers() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::create_dir(place.join("in")).unwrap();
    fs::write(place.join("job.toml"), JOB).unwrap();
    expect(place, &["north", "west"]);
    let began = caudal::epoch::wall_time();
    sell(place, "north", Some(began));
    let running = Running::start(place, 2);
    let said = |heard: &Heard| format!("{} {} {}", heard.store, heard.status, heard.reason);
    let first = running.next();
    assert_eq!(said(&first), "store=north pass appeared");
    // North sold when it began, and west never did: both are waited for since then, and the job began a little later.
    let late = 2 * EPOCH + SECOND;
    let silent = running.next();
    assert_eq!(said(&silent), "store=north warn silent");
    let deadline = began + 2 * SECOND;
    assert!(silent.at > deadline, "{silent:?} before {deadline}");
    assert!(
        silent.at <= deadline + late,
        "{} µs too late",
        silent.at - deadline - late
    );
    let never = running.next();
    assert_eq!(said(&never), "store=west warn never_came");
    let deadline = first.at + 2 * SECOND;
    assert!(
        never.at <= deadline + late,
        "{} µs too late",
        never.at - deadline - late
    );
    // A row without a time is no sale of now; one with a time is.
    sell(place, "north", None);
    assert_eq!(said(&running.next()), "store=north warn late");
    let now = caudal::epoch::wall_time();
    sell(place, "north", Some(now));
    let back = running.next();
    assert_eq!(said(&back), "store=north pass back");
    let silent = running.next();
    assert_eq!(said(&silent), "store=north warn silent");
    let deadline = now + 2 * SECOND;
    assert!(
        silent.at <= deadline + late,
        "{} µs too late",
        silent.at - deadline - late
    );
    let rest = running.stop(place);
    assert!(rest.is_empty(), "{rest:?}");

    // Another life says nothing that was said; a store that is expected no more, and never came, is gone.
    let running = Running::start(place, 3);
    sell(place, "south", Some(caudal::epoch::wall_time()));
    assert_eq!(said(&running.next()), "store=south pass appeared");
    expect(place, &["north"]);
    let mut told = vec![said(&running.next()), said(&running.next())];
    told.sort();
    assert_eq!(
        told,
        ["store=south warn silent", "store=west retired retired"]
    );
    drop(running);

    // Killed, and gone on with one worker.
    let running = Running::start(place, 1);
    sell(place, "north", Some(caudal::epoch::wall_time()));
    let mut heard = running.next();
    while said(&heard) != "store=north pass back" {
        // What was said and not visible when it was killed is said again.
        let again = ["store=south warn silent", "store=west retired retired"];
        assert!(again.contains(&said(&heard).as_str()), "{heard:?}");
        heard = running.next();
    }
    running.stop(place);
}
