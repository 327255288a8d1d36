//! Partitioned look-ups in several processes: what they hold, and what becomes of visits when a process is lost.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bad_input::make_pipe;
use super::cluster::{Place, Process};

/// A job that two look-ups enrich, the second by what the first found.
const JOB: &str = r#"format = 1
[job]
name = "visits"
output = "out"
key = ["id"]
peer_timeout = "2 seconds"
chunk = "64 KiB"
epoch = "1 MiB"
in_flight = "4 MiB"
[sources.sales]
files = { paths = ["input/a.csv"] }
csv = {}
columns = { id = "bigint not null", product = "int not null", padding = "varchar" }
[lookups.products]
on = { product = "sales.product" }
placement = "partitioned"
missing = { then = "refuse" }
files = { paths = ["products.csv"] }
csv = {}
columns = { product = "int", category = "varchar", price = "decimal(8,2)" }
[lookups.categories]
on = { name = "products.category" }
placement = "partitioned"
missing = { then = "refuse" }
files = { paths = ["categories.csv"] }
csv = {}
columns = { name = "varchar", department = "varchar" }
[sinks.rows]
files = { path = "rows" }
parquet = {}
columns = { id = "id", category = "category", price = "price", department = "department" }
"#;

/// Processes of the run, and input that goes on for as long as they take it.
struct Fed {
    place: Place,
    processes: Vec<Process>,
    /// Bytes that the run has taken.
    taken: Arc<AtomicU64>,
    feeder: std::thread::JoinHandle<()>,
}

impl Fed {
    /// Rows have come to the sinks, so keys of others are on their visits.
    fn start(n: usize) -> Self {
        let place = Place::of(n, JOB);
        let mut products = "product,category,price\n".to_owned();
        for product in 0..5000 {
            writeln!(products, "{product},c{},{product}.25", product % 100).unwrap();
        }
        let categories: String = (0..100).map(|c| format!("c{c},d{}\n", c % 7)).collect();
        fs::write(place.path().join("products.csv"), products).unwrap();
        fs::write(
            place.path().join("categories.csv"),
            "name,department\n".to_owned() + &categories,
        )
        .unwrap();
        let pipe = place.path().join("input/a.csv");
        fs::remove_file(&pipe).unwrap();
        make_pipe(&pipe);
        let processes: Vec<Process> = (0..n).map(|process| place.start(process, &[])).collect();
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&taken);
        let feeder = std::thread::spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
            pipe.write_all(b"id,product,padding\n").unwrap();
            for first in (0_u64..).step_by(100) {
                let rows = first..first + 100;
                let rows: String = rows
                    .map(|id| {
                        format!(
                            "{id},{},xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
                            id * 7919 % 5003
                        )
                    })
                    .collect();
                // The run has ended.
                if pipe.write_all(rows.as_bytes()).is_err() {
                    return;
                }
                counted.fetch_add(rows.len() as u64, Ordering::Relaxed);
            }
        });
        // More than a pipe holds has been taken, so rows are on their way and the feeder has its reader.
        let deadline = Instant::now() + Duration::from_secs(40);
        while taken.load(Ordering::Relaxed) < 1 << 20 {
            assert!(Instant::now() < deadline, "the run takes no input");
            std::thread::yield_now();
        }
        place.wait_staged();
        for process in &processes {
            while !works(process.id()) {
                assert!(Instant::now() < deadline, "a process does not begin");
                std::thread::yield_now();
            }
        }
        Self {
            place,
            processes,
            taken,
            feeder,
        }
    }
}

/// Whether a process has workers: one that is still looking for the others waits for them longer than one that has met them.
fn works(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.starts_with("timely:work"))
    })
}

#[test]
fn explain_shows_where_reference_rows_are_and_how_keys_meet_them() {
    let place = tempfile::tempdir().unwrap();
    let explain = |job: &str| {
        fs::write(place.path().join("job.toml"), job).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["explain", "job.toml"])
            .current_dir(place.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let partitioned = explain(JOB);
    for line in [
        "placement: partitioned",
        "decode:decode -> lookup:ask products",
        "lookup:ask products -> lookup:take products",
        "lookup:load products -> lookup:answer products",
        "lookup:answer products -> lookup:take products",
        "lookup:take products -> lookup:ask categories",
    ] {
        assert!(partitioned.contains(line), "{line}:\n{partitioned}");
    }
    let replicated = explain(&JOB.replace("\"partitioned\"", "\"replicated\""));
    for line in [
        "placement: replicated",
        "decode:decode -> lookup:enrich products",
    ] {
        assert!(replicated.contains(line), "{line}:\n{replicated}");
    }
    let wrong = explain(&JOB.replacen("\"partitioned\"", "\"partitoned\"", 1));
    for words in [
        "job.toml:16:13: lookups.products.placement: \"partitoned\"",
        "auto, replicated, partitioned",
        "did you mean \"partitioned\"?",
    ] {
        assert!(wrong.contains(words), "{words}:\n{wrong}");
    }
}

#[test]
fn a_process_that_is_killed_in_the_middle_of_visits_ends_the_others_within_two_seconds() {
    for victim in [0, 1, 2] {
        let mut run = Fed::start(3);
        run.processes[victim].signal("-KILL");
        run.processes[victim].ends();
        let since = Instant::now();
        for (index, process) in run.processes.iter_mut().enumerate() {
            if index != victim {
                let lost = format!("process {victim} (");
                process.ends_with(3, &[&lost, "is lost"]);
            }
        }
        let took = since.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        run.feeder.join().unwrap();
        run.place.nothing_is_visible();
    }
}

#[test]
fn a_process_that_stands_still_keeps_what_waits_for_it_within_the_credits() {
    let mut run = Fed::start(3);
    let victim = 1;
    run.processes[victim].signal("-STOP");
    let taken_before = run.taken.load(Ordering::Relaxed);
    // For as long as they wait for the other one, the two that go on could take all input there is.
    let mut peaks = [0, 0];
    let others = [run.processes[0].id(), run.processes[2].id()];
    while let Some(now) = others
        .map(peak_bytes)
        .into_iter()
        .collect::<Option<Vec<_>>>()
    {
        peaks = [now[0], now[1]];
        std::thread::yield_now();
    }
    let more = run.taken.load(Ordering::Relaxed) - taken_before;
    for process in [0, 2] {
        run.processes[process].ends_with(3, &["is lost", "peer_timeout"]);
    }
    run.processes[victim].signal("-CONT");
    run.processes[victim].ends_with(3, &["lost"]);
    run.feeder.join().unwrap();
    // The credits of three processes, the epochs that may be ahead, and what lay in the pipe.
    assert!(more < 24 << 20, "{more} bytes were taken");
    for peak in peaks {
        assert!(peak < 200 << 20, "{peaks:?}");
    }
    run.place.nothing_is_visible();
}

/// Most memory that a process had; `None` once it has ended.
fn peak_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Rows of the large look-up: above what a replica may take by itself. `CAUDAL_REFERENCE_ROWS` asks for another number.
const REFERENCE_ROWS: u64 = 1_000_000;

#[test]
fn a_large_look_up_takes_its_share_of_memory_in_each_process() {
    let rows = std::env::var("CAUDAL_REFERENCE_ROWS");
    let rows = rows.map_or(REFERENCE_ROWS, |rows| rows.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let sales = (0..20_000_u64).map(|id| id * 7919 % (rows + rows / 100));
    let sales: String = sales
        .enumerate()
        .map(|(id, key)| format!("{id},{key}\n"))
        .collect();
    fs::write(
        place.path().join("sales.csv"),
        "id,customer\n".to_owned() + &sales,
    )
    .unwrap();
    let (few, _, few_out) = run(place.path(), 1000, "replicated");
    let (whole, partitioned, expected) = run(place.path(), rows, "replicated");
    assert!(!partitioned);
    assert_ne!(few_out, expected);
    let (shares, partitioned, got) = run(place.path(), rows, "auto");
    assert!(partitioned, "it is above the size");
    assert_eq!(got, expected);
    println!("{rows} reference rows: few {few:?}, replicated {whole:?}, partitioned {shares:?}");
    // Process 0 has loaded it, whatever becomes of it then.
    for process in 1..4 {
        let whole = whole[process] - few[process];
        let share = shares[process].saturating_sub(few[process]);
        assert!(share * 10 < whole * 4, "{share} of {whole} bytes");
    }
}

/// Runs four processes with so many reference rows: the peaks of memory of each, whether keys visited, and the rows by their ids.
fn run(place: &Path, rows: u64, placement: &str) -> (Vec<u64>, bool, String) {
    let file = fs::File::create(place.join("customers.csv")).unwrap();
    let mut file = BufWriter::new(file);
    writeln!(file, "customer,name,segment,credit").unwrap();
    for customer in 0..rows {
        let segment = customer % 50;
        writeln!(
            file,
            "{customer},Customer of the number {customer:09},Segment {segment},{segment}.75"
        )
        .unwrap();
    }
    file.flush().unwrap();
    let job = format!(
        r#"format = 1
[job]
name = "large"
output = "out"
max_refused = "100 %"
chunk = "32 KiB"
[sources.sales]
files = {{ paths = ["sales.csv"] }}
csv = {{}}
columns = {{ id = "bigint not null", customer = "int not null" }}
[lookups.customers]
on = {{ customer = "sales.customer" }}
placement = "{placement}"
missing = {{ then = "null" }}
files = {{ paths = ["customers.csv"] }}
csv = {{}}
columns = {{ customer = "int", name = "varchar", segment = "varchar", credit = "decimal(8,2)" }}
[sinks.rows]
files = {{ path = "rows" }}
csv = {{}}
columns = {{ id = "id", name = "name", segment = "segment", credit = "credit" }}
"#
    );
    fs::write(place.join("job.toml"), job).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["launch", "job.toml", "-n", "4", "--json", "--quiet"])
        .current_dir(place)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let peaks = summary["peak_memory_bytes_of_processes"]
        .as_array()
        .unwrap();
    let peaks: Vec<u64> = peaks.iter().map(|peak| peak.as_u64().unwrap()).collect();
    assert_eq!(peaks.len(), 4);
    let mut lines: Vec<String> = Vec::new();
    for file in super::tables::visible_files(&place.join("out/rows")) {
        let text = fs::read_to_string(file).unwrap();
        lines.extend(text.lines().skip(1).map(str::to_owned));
    }
    lines.sort();
    let partitioned = summary["stages"].get("lookup:take").is_some();
    (peaks, partitioned, lines.join("\n"))
}
