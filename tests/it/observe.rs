//! A look inside a running job: what it says over HTTP is what its summary says at the end, and nobody who looks can hurt it.
//!
//! A run is held open by a second source, a pipe into which a thread goes on writing good rows; metrics go by source, so that
//! those of the first can be compared to the row.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ended;
use super::port::Port;

const JOB: &str = r#"format = 1
[job]
name = "watched"
key = ["zone"]
output = "out"
max_refused = "100 %"
epoch = "64 KiB"
chunk = "16 KiB"
[sources.sales]
event_time = "ts"
files = { paths = ["input/a.csv"] }
csv = {}
columns = { id = "int not null", region = "varchar not null", price = { type = "decimal(8,2) not null", reason = "bad_price" }, ts = "timestamp not null" }
[sources.ticks]
event_time = "ts"
files = { paths = ["input/b.csv"] }
csv = {}
columns = { id = "int not null", region = "varchar not null", price = "decimal(8,2) not null", ts = "timestamp not null" }
[lookups.regions]
on = { region = "sales.region" }
missing = { then = "refuse", reason = "unknown_region" }
files = { paths = ["regions.csv"] }
csv = {}
columns = { region = "varchar", zone = "varchar" }
[rules.known]
expect = "id <> 7"
then = "drop"
[windows.daily]
per = ["zone"]
length = "1 day"
[windows.daily.statistics]
total = "sum(price)"
[checks.complete]
window = "daily"
completeness = { column = "price", min_rows = 1, warn_below = 0.5 }
[sinks.rows]
files = { path = "rows" }
parquet = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
"#;

/// Rows of the file that is whole; one in a hundred has no price, one in a hundred no region that is known.
const ROWS: u32 = 20_000;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_mins(1);

struct Watched {
    place: tempfile::TempDir,
    child: Option<Child>,
    ticks: Option<Ticks>,
    address: SocketAddr,
}

/// The thread that goes on writing good rows.
struct Ticks {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Ticks {
    fn start(pipe: &Path) -> Self {
        // Opened for both, so that it waits for nobody; a run that reads it later waits for us.
        let mut pipe = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(pipe)
            .unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let rows = "1,N,1.00,2026-01-01T00:00:00Z\n".repeat(1000);
            pipe.write_all(b"id,region,price,ts\n").unwrap();
            let mut written = 0;
            while !asked.load(Ordering::Relaxed) {
                pipe.write_all(rows.as_bytes()).unwrap();
                written += 1000;
                // A source that ticks: the pace only bounds what a test reads.
                std::thread::sleep(Duration::from_millis(5));
            }
            written
        });
        Self { over, thread }
    }

    /// Ends the input; gives the rows that were written.
    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(ticks) = self.ticks.take() {
            ticks.over.store(true, Ordering::Relaxed);
        }
    }
}

impl Watched {
    /// Starts the job; gives it once it answers.
    fn start(words: &[&str], token: Option<&str>) -> Self {
        let place = place();
        let mut command = caudal(place.path());
        command
            .args(["run", "job.toml", "--json", "--status", "127.0.0.1:0"])
            .args(words);
        if let Some(token) = token {
            command.env("CAUDAL_STATUS_TOKEN", token);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ticks = Ticks::start(&place.path().join("input/b.csv"));
        let file = place.path().join("out/_caudal/status.json");
        let text = until(|| {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "the run ended before it was asked to"
            );
            fs::read_to_string(&file).ok()
        });
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&said["job"], &said["process"]),
            (&"watched".into(), &0.into())
        );
        assert_eq!(said["pid"], child.id());
        let address = said["address"].as_str().unwrap().parse().unwrap();
        Self {
            place,
            child: Some(child),
            ticks: Some(ticks),
            address,
        }
    }

    /// Closes the pipe and waits for the end of the run; gives the rows that came through the pipe, too.
    fn end(&mut self) -> (Output, u64) {
        // A pipe that is closed before the run has opened it would leave the run waiting for who writes to it.
        let child = self.child.as_mut().unwrap();
        let open_files = format!("/proc/{}/fd", child.id());
        until(|| {
            let is_pipe = |file: fs::DirEntry| {
                fs::read_link(file.path()).is_ok_and(|path| path.ends_with("input/b.csv"))
            };
            let has_opened =
                fs::read_dir(&open_files).is_ok_and(|files| files.flatten().any(is_pipe));
            (has_opened || child.try_wait().unwrap().is_some()).then_some(())
        });
        let ticked = self.ticks.take().unwrap().end();
        (ended::output(self.child.take().unwrap()), ticked)
    }

    /// Waits until every row of the file has been counted; gives the metrics then.
    fn all_read(&self) -> BTreeMap<String, f64> {
        until(|| {
            let metrics = self.metrics();
            (metrics["caudal_sources_read_rows_total{source=\"sales\"}"] >= f64::from(ROWS))
                .then_some(metrics)
        })
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        let (code, text) = get(self.address, "/metrics", "");
        assert_eq!(code, 200, "{text}");
        parse(&text)
    }

    fn status(&self) -> serde_json::Value {
        let (code, text) = get(self.address, "/status", "");
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn caudal(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command
        .current_dir(place)
        .env_remove("CAUDAL_STATUS_TOKEN")
        .stdin(Stdio::null());
    command
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let input = place.path().join("input");
    fs::create_dir(&input).unwrap();
    fs::write(place.path().join("job.toml"), JOB).unwrap();
    fs::write(
        place.path().join("regions.csv"),
        "region,zone\nN,up\nS,down\n",
    )
    .unwrap();
    let mut text = b"id,region,price,ts\n".to_vec();
    for id in 0..ROWS {
        let region = match id % 100 {
            1 => "nowhere",
            even if even % 2 == 0 => "N",
            _ => "S",
        };
        let price = if id % 100 == 50 { "x" } else { "1.00" };
        let day = 1 + id % 28;
        writeln!(text, "{id},{region},{price},2026-01-{day:02}T00:00:00Z").unwrap();
    }
    fs::write(input.join("a.csv"), text).unwrap();
    super::bad_input::make_pipe(&input.join("b.csv"));
    place
}

/// A count that came as a double.
fn whole(count: f64) -> u64 {
    format!("{count}").parse().unwrap()
}

/// What `look` gives as soon as it gives something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        std::thread::yield_now();
    }
}

/// Sends bytes and reads all that comes back until the other side closes.
fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that has had enough closes while we still write.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let answer = talk(
        address,
        format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes(),
    );
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{answer:?}"));
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// Series and their values; the label `process` is left out, since it is the same everywhere.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.contains("process=\"0\""), "{line}");
            let series = series
                .replace("process=\"0\",", "")
                .replace(",process=\"0\"", "")
                .replace("{process=\"0\"}", "");
            (series, value.parse().unwrap())
        })
        .collect()
}

#[test]
fn what_a_running_job_says_is_what_its_summary_says() {
    for workers in ["1", "2"] {
        let mut watched = Watched::start(&["-w", workers, "--quiet"], None);
        watched.all_read();
        let metrics = until(|| {
            let metrics = watched.metrics();
            (metrics["caudal_epoch_passed_total"] >= 5.0).then_some(metrics)
        });
        let of = |series: &str| whole(metrics.get(series).copied().unwrap_or(f64::NAN));
        let status = watched.status();
        assert_eq!(status["sources"][0]["rows"]["in"], ROWS);
        assert_eq!(status["phase"], "running");
        assert_eq!(status["lookups"][0]["partitioned"], false);
        assert_eq!(status["lookups"][0]["rows"], 2);
        assert_eq!(status["lookups"][0]["rows_of_workers"][0], 2);
        assert_eq!(
            status["workers"].as_array().unwrap().len(),
            workers.parse::<usize>().unwrap()
        );
        assert_eq!(
            get(watched.address, "/readyz", ""),
            (200, "ready\n".to_owned())
        );
        assert_eq!(get(watched.address, "/healthz", "").0, 200);
        assert_eq!(get(watched.address, "/nowhere", "").0, 404);
        assert_eq!(of("caudal_cluster_workers").to_string(), workers);
        assert_eq!(of("caudal_cluster_phase{phase=\"running\"}"), 1);
        assert_eq!(
            of("caudal_lookup_reference_rows{lookup=\"regions\",worker=\"0\"}"),
            2
        );
        assert_eq!(
            of("caudal_lookup_missed_rows_total{lookup=\"regions\"}"),
            200
        );
        assert!(of("caudal_epoch_passed_total") <= of("caudal_epoch_opened_total"));
        for (least, series) in [
            (
                600_000.0,
                "caudal_sources_read_bytes_total{source=\"sales\"}",
            ),
            (600_000.0, "caudal_sources_input_bytes"),
            (1.0, "caudal_sources_in_flight_limit_bytes"),
            (1e6, "caudal_process_resident_memory_bytes"),
            (1e6, "caudal_process_peak_memory_bytes"),
            (0.01, "caudal_process_uptime_seconds"),
            (1.0, "caudal_cluster_generation"),
        ] {
            assert!(metrics[series] >= least, "{series}: {}", metrics[series]);
        }
        // Seconds inside operators are told ten times a second, those of the processor are counted in hundredths.
        let busy =
            "caudal_cluster_operator_busy_seconds_total{operator=\"decode:decode\",worker=\"0\"}";
        for series in [busy, "caudal_process_cpu_seconds_total"] {
            until(|| (watched.metrics().get(series) > Some(&0.0)).then_some(()));
        }
        let (output, ticked) = watched.end();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            !watched
                .place
                .path()
                .join("out/_caudal/status.json")
                .exists(),
            "the address goes with the run"
        );
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = |name: &str| summary["rows"][name].as_u64().unwrap();
        let rows = |what: &str| of(&format!("caudal_{what}_rows_total{{source=\"sales\"}}"));
        assert_eq!(rows("sources_read") + ticked, told("in"));
        assert_eq!(rows("validate_clean") + ticked, told("clean"));
        let dropped = "caudal_validate_dropped_rows_total{rule=\"known\",source=\"sales\"}";
        assert_eq!((of(dropped), told("dropped")), (1, 1));
        let reasons = summary["refused_by_reason"].as_object().unwrap();
        assert_eq!(reasons.len(), 2);
        for (reason, rows) in reasons {
            let series = format!(
                "caudal_validate_refused_rows_total{{reason=\"{reason}\",source=\"sales\"}}"
            );
            assert_eq!(of(&series), rows.as_u64().unwrap(), "{reason}");
        }
    }
}

#[test]
fn what_came_to_the_sinks_and_windows_is_seen_while_it_comes() {
    let mut watched = Watched::start(&["-w", "1", "--quiet"], None);
    let (clean, refused) = (ROWS - 401, 400);
    let windows = "caudal_checks_open_windows{window=\"daily\",worker=\"0\"}";
    let metrics = until(|| {
        let metrics = watched.metrics();
        let rows = metrics["caudal_sinks_received_rows_total{sink=\"rows\"}"];
        let seen = rows >= f64::from(clean) && metrics.get(windows) >= Some(&28.0);
        seen.then_some(metrics)
    });
    let of = |series: &str| whole(metrics[series]);
    // Of the one zone days come that are even, of the other those that are odd; all are seen.
    assert_eq!(of(windows), 28);
    assert_eq!(
        of("caudal_checks_window_segments{window=\"daily\",worker=\"0\"}"),
        2
    );
    assert_eq!(
        of("caudal_sinks_received_rows_total{sink=\"refused\"}"),
        refused
    );
    assert!(of("caudal_cluster_exchanged_rows_total{worker=\"0\"}") >= u64::from(clean));
    assert!((metrics["caudal_cluster_exchange_skew_ratio{worker=\"0\"}"] - 1.0).abs() < 1e-9);
    assert!(of("caudal_sinks_received_bytes_total{sink=\"rows\"}") > u64::from(clean));
    assert!(watched.end().0.status.success());
}

#[test]
fn without_the_token_only_health_is_told() {
    let mut watched = Watched::start(&["--quiet"], Some("s3cret"));
    let address = watched.address;
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    for path in ["/metrics", "/status"] {
        for wrong in [
            String::new(),
            bearer("s3cre"),
            bearer("s3cretx"),
            "authorization: Basic s3cret\r\n".to_owned(),
        ] {
            let (code, body) = get(address, path, &wrong);
            assert_eq!(code, 401, "{path} with {wrong:?}");
            assert!(
                !body.contains("watched") && !body.contains("caudal_"),
                "{body}"
            );
        }
        assert_eq!(get(address, path, &bearer("s3cret")).0, 200, "{path}");
    }
    assert_eq!(get(address, "/healthz", "").0, 200);
    let status = |token: Option<&str>| {
        let mut command = caudal(watched.place.path());
        command.args(["status", "job.toml"]);
        if let Some(token) = token {
            command.env("CAUDAL_STATUS_TOKEN", token);
        }
        command.output().unwrap()
    };
    for (token, told) in [
        (None, "asks for a token\n"),
        (Some("other"), "not for this one"),
    ] {
        let output = status(token);
        assert_eq!(output.status.code(), Some(3));
        assert!(String::from_utf8_lossy(&output.stderr).contains(told));
    }
    assert!(status(Some("s3cret")).status.success());
    assert!(watched.end().0.status.success());
}

#[test]
fn status_tells_people_where_the_run_stands() {
    let mut watched = Watched::start(&["-w", "2", "--quiet"], None);
    watched.all_read();
    let output = caudal(watched.place.path())
        .args(["status", "job.toml"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let told = told.replace(['\u{a0}', '\u{202f}'], " ");
    assert!(output.status.success(), "{told}");
    for piece in [
        "watched: running for ",
        "2 workers",
        "  in       ",
        "  clean    ",
        "  refused  400  (",
        "  dropped  1",
        "  source   sales: 20 000 rows, ",
        " 19 599 clean, 400 refused",
        "  source   ticks: ",
        "  look-up  regions: 2 rows, 200 of ",
        "  sink     rows: ",
        "  worker   0: busy for ",
        "  worker   1: busy for ",
        "  holds    ",
    ] {
        assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
    }
    let json = caudal(watched.place.path())
        .args(["status", "job.toml", "--json"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["sources"][0]["rows"]["clean"], 19_599);
    assert!(watched.end().0.status.success());
}

#[test]
fn without_a_run_status_says_so() {
    let none = |place: &Path, told: &str| {
        let output = caudal(place).args(["status", "job.toml"]).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{words}");
        assert!(words.starts_with("watched: no run is alive"), "{words}");
        assert!(words.contains(told), "{words}");
    };
    let mut watched = Watched::start(&["--quiet"], None);
    let place = watched.place.path().to_owned();
    // A run that was killed leaves an address that answers nobody.
    watched.ticks.take().unwrap().end();
    ended::kill(watched.child.as_mut().unwrap());
    none(&place, "nobody listens there");
    // Or one at which a stranger answers.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = place.join("out/_caudal/status.json");
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    said["address"] = stranger.local_addr().unwrap().to_string().into();
    fs::write(&file, said.to_string()).unwrap();
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().unwrap();
        let mut request = [0; 1024];
        let _read = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"hello\":1}")
            .unwrap();
    });
    none(&place, "is no run of this job");
    answers.join().unwrap();
    // The next run that shows nothing removes it.
    fs::remove_file(place.join("input/b.csv")).unwrap();
    fs::write(place.join("input/b.csv"), "id,region,price,ts\n").unwrap();
    assert!(
        caudal(&place)
            .args(["run", "job.toml", "--quiet"])
            .status()
            .unwrap()
            .success()
    );
    none(&place, "no address of one is written there");
}

#[test]
fn hostile_clients_are_cut_off_and_the_job_goes_on() {
    let mut watched = Watched::start(&["--quiet"], None);
    let address = watched.address;
    // A head without end, and one that is only large.
    let endless = format!("GET /status HTTP/1.1\r\nx: {}", "a".repeat(1 << 20));
    assert!(talk(address, endless.as_bytes()).starts_with("HTTP/1.1 431"));
    let headers: String = (0..2000).map(|at| format!("h{at}: x\r\n")).collect();
    assert!(
        talk(
            address,
            format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()
        )
        .starts_with("HTTP/1.1 431")
    );
    // What is no HTTP, another method, a body that is not read.
    assert!(
        talk(
            address,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
        )
        .starts_with("HTTP/1.1 400")
    );
    assert!(
        talk(
            address,
            b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n"
        )
        .starts_with("HTTP/1.1 405")
    );
    // A stop that is for another process, and one that a job with an end does not take.
    for (query, code) in [("?pid=1", 421), ("", 409)] {
        let request = format!("POST /stop{query} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        let answer = talk(address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
    }
    // More connections than are taken, all silent: whoever has one is cut off after the time for a head.
    let mut silent: Vec<TcpStream> = (0..80)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
    }
    assert!(watched.metrics()["caudal_observe_connections_turned_away_total"] >= 1.0);
    // One that drips a byte now and then does not keep its place either.
    let mut slow = TcpStream::connect(address).unwrap();
    let started = Instant::now();
    until(|| {
        std::thread::sleep(Duration::from_millis(50));
        (slow.write_all(b"G").is_err()).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(watched.end().0.status.success());
}

#[test]
fn an_address_in_use_is_told_before_anything_starts() {
    let place = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = caudal(place.path())
        .args(["run", "job.toml", "--quiet", "--status", &address])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.starts_with(&format!("--status: {address} can't be listened at: ")),
        "{told}"
    );
    assert!(!place.path().join("out").exists());
}

#[test]
fn a_json_log_has_ecs_names_on_every_line() {
    let mut watched = Watched::start(&["--log", "json"], None);
    let (output, _) = watched.end();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let mut actions = Vec::new();
    for line in text.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for name in [
            "@timestamp",
            "log.level",
            "message",
            "ecs.version",
            "service.name",
            "event.action",
        ] {
            assert!(event[name].is_string(), "{name} in {line}");
        }
        let fields = event.as_object().unwrap().keys();
        for name in fields.filter(|name| !name.starts_with("caudal.")) {
            let known = [
                "@timestamp",
                "message",
                "ecs.version",
                "process.pid",
                "error.message",
            ];
            let known = known.contains(&name.as_str())
                || ["log.", "event.", "service."]
                    .iter()
                    .any(|of| name.starts_with(of));
            assert!(known, "{name} is no ECS name: {line}");
        }
        actions.push(event["event.action"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        actions,
        [
            "run-started",
            "status-served",
            "phase-changed",
            "phase-changed",
            "phase-changed",
            "run-ended"
        ],
        "{text}"
    );
    // What ends a run is an event, too.
    let place = place();
    fs::remove_file(place.path().join("input/b.csv")).unwrap();
    let output = caudal(place.path())
        .args(["run", "job.toml", "--log", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["log.level"], &last["event.action"]),
        (&"error".into(), &"failed".into())
    );
    assert!(
        last["message"].as_str().unwrap().contains("input/b.csv"),
        "{text}"
    );
}

/// The path of a tool, or a word that it can't be had here.
fn tool(name: &str) -> Option<&str> {
    let there = Command::new(name)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {name} is not installed here; tests/run installs it where it can");
    }
    there.then_some(name)
}

#[test]
fn promtool_finds_no_fault_in_the_metrics() {
    let Some(promtool) = tool("promtool") else {
        return;
    };
    let mut watched = Watched::start(&["-w", "2", "--quiet"], None);
    watched.all_read();
    let (_, text) = get(watched.address, "/metrics", "");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = ended::output(child);
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && told.is_empty(),
        "{}\n{text}",
        String::from_utf8_lossy(&told)
    );
    assert!(watched.end().0.status.success());
}

#[test]
fn a_real_prometheus_scrapes_the_rows() {
    let (Some(prometheus), Some(promtool)) = (tool("prometheus"), tool("promtool")) else {
        return;
    };
    let mut watched = Watched::start(&["-w", "2", "--quiet"], Some("s3cret"));
    let place = watched.place.path().to_owned();
    let config = place.join("prometheus.yml");
    let target = watched.address;
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: caudal\n    \
             authorization: {{credentials: s3cret}}\n    static_configs: [{{targets: ['{target}']}}]\n"
        ),
    )
    .unwrap();
    let checked = Command::new(promtool)
        .arg("check")
        .arg("config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let port = Port::hold().unwrap();
    let at = port.at;
    let mut server = Command::new(prometheus)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            place.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={at}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let query = "caudal_sources_read_rows_total";
        let output = Command::new(promtool)
            .args(["query", "instant", &format!("http://{at}"), query])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("=> 20000 ") || Instant::now() > deadline {
            break text;
        }
    };
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(
        found.contains("=> 20000 ") && found.contains("source=\"sales\""),
        "{found}"
    );
    assert!(watched.end().0.status.success());
}
