//! Several processes as one, on real sockets: the same result, and a clear end of all whatever happens to one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::bad_input::make_pipe;
use super::port::Port;
use super::tables::visible_files;

const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
key = ["id"]
join_timeout = "20 seconds"
peer_timeout = "2 seconds"
[sources.sales]
files = { paths = ["input/a.csv"] }
csv = {}
columns = { id = "int not null", price = "decimal(8,2) not null" }
[sinks.rows]
files = { path = "rows" }
parquet = {}
"#;

const GOOD: &str = "id,price\n1,1.00\n2,2.00\n";

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(40);

/// A job with its input and a host file for `n` processes.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    n: usize,
    _ports: Vec<Port>,
    /// The network namespace of each process; none: that of the test.
    pub(crate) namespaces: Vec<String>,
}

impl Place {
    pub(crate) fn new(n: usize) -> Self {
        Self::of(n, JOB)
    }

    /// With this job.
    pub(crate) fn of(n: usize, job: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("input")).unwrap();
        fs::write(folder.path().join("job.toml"), job).unwrap();
        fs::write(folder.path().join("input/a.csv"), GOOD).unwrap();
        let ports: Vec<Port> = (0..n).map(|_| Port::hold().unwrap()).collect();
        let hosts: String = ports.iter().map(|port| format!("{}\n", port.at)).collect();
        fs::write(folder.path().join("hosts"), hosts).unwrap();
        Self {
            folder,
            n,
            _ports: ports,
            namespaces: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self, process: usize) -> String {
        let hosts = fs::read_to_string(self.path().join("hosts")).unwrap();
        hosts.lines().nth(process).unwrap().to_owned()
    }

    /// Starts one process, by `-p`, with more words.
    pub(crate) fn start(&self, process: usize, words: &[&str]) -> Process {
        self.start_with(process, words, &[])
    }

    /// The same with variables of its environment.
    pub(crate) fn start_with(
        &self,
        process: usize,
        words: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let mut command = self.command(env!("CARGO_BIN_EXE_caudal"), process, words);
        command.envs(variables.iter().copied());
        command.env_remove("CAUDAL_TOKEN");
        Process::new(command.spawn().unwrap())
    }

    fn start_as(
        &self,
        program: impl AsRef<Path>,
        process: usize,
        words: &[&str],
        token: Option<&str>,
    ) -> Process {
        let mut command = self.command(program, process, words);
        match token {
            Some(token) => command.env("CAUDAL_TOKEN", token),
            None => command.env_remove("CAUDAL_TOKEN"),
        };
        Process::new(command.spawn().unwrap())
    }

    fn command(&self, program: impl AsRef<Path>, process: usize, words: &[&str]) -> Command {
        let mut command = match self.namespaces.get(process) {
            None => Command::new(program.as_ref()),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command
                    .args(["netns", "exec", namespace])
                    .arg(program.as_ref());
                command
            }
        };
        command
            .env("OUT", "out")
            .args(["run", "job.toml", "--quiet", "-h", "hosts"])
            .args(["-n", &self.n.to_string(), "-p", &process.to_string()])
            .args(words)
            .current_dir(self.path())
            .stderr(Stdio::piped());
        command
    }

    /// Input that goes on until it is dropped, and the processes that read it once they stage.
    pub(crate) fn endless(&self, words: &[&str]) -> (Vec<Process>, fs::File) {
        let pipe = self.path().join("input/a.csv");
        fs::remove_file(&pipe).unwrap();
        make_pipe(&pipe);
        let processes: Vec<Process> = (0..self.n)
            .map(|process| self.start(process, words))
            .collect();
        let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        input.write_all(b"id,price\n").unwrap();
        for id in 0..300_000 {
            writeln!(input, "{id},1.00").unwrap();
        }
        self.wait_staged();
        (processes, input)
    }

    /// Waits until something is staged.
    pub(crate) fn wait_staged(&self) {
        let staged = self.path().join("out/_caudal/staged");
        let deadline = Instant::now() + DEADLINE;
        while fs::read_dir(&staged).map_or(0, Iterator::count) == 0 {
            assert!(Instant::now() < deadline, "the run never staged");
            std::thread::yield_now();
        }
    }

    pub(crate) fn nothing_is_visible(&self) {
        let visible = visible_files(&self.path().join("out"));
        assert_eq!(visible, [] as [PathBuf; 0]);
    }
}

/// A process and the lines it tells, as they come.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    told: String,
}

impl Process {
    pub(crate) fn new(mut child: Child) -> Self {
        let told = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            told: String::new(),
        }
    }

    /// Waits until it tells something with these words.
    fn tells(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.told.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("{words:?}: {error}:\n{}", self.told));
            self.told += &(line + "\n");
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("it does not end:\n{}", self.told);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        while let Ok(line) = self.lines.recv() {
            self.told += &(line + "\n");
        }
        status
    }

    pub(crate) fn ends_with(&mut self, code: i32, words: &[&str]) {
        let status = self.ends();
        assert_eq!(status.code(), Some(code), "{}", self.told);
        for words in words {
            assert!(
                self.told.contains(words),
                "{words:?} is not in:\n{}",
                self.told
            );
        }
        assert!(!self.told.contains("panicked"), "{}", self.told);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; a test that failed leaves none behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn processes_started_one_by_one_end_with_one_code() {
    let place = Place::new(3);
    let mut processes = [2, 0, 1].map(|process| place.start(process, &["-w", "2"]));
    for process in &mut processes {
        process.ends_with(0, &[]);
    }
    assert!(!visible_files(&place.path().join("out")).is_empty());
    assert_eq!(
        fs::read_dir(place.path().join("out/_caudal/staged"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_failure_of_the_world_in_one_is_the_end_of_all() {
    let place = Place::new(2);
    fs::remove_file(place.path().join("input/a.csv")).unwrap();
    let mut processes = [0, 1].map(|process| place.start(process, &[]));
    processes[0].ends_with(3, &["no file matches"]);
    processes[1].ends_with(3, &["ended by process 0", "no file matches"]);
    place.nothing_is_visible();
}

#[test]
fn whoever_does_not_belong_is_refused_by_name_on_both_sides_and_does_no_harm() {
    let place = Place::new(2);
    let mut first = place.start_as(env!("CARGO_BIN_EXE_caudal"), 0, &[], Some("secret"));

    let mut wrong = place.start_as(env!("CARGO_BIN_EXE_caudal"), 1, &[], Some("guess"));
    wrong.ends_with(3, &["process 0", "refused this process 1", "CAUDAL_TOKEN"]);
    first.tells("CAUDAL_TOKEN");

    let mut wrong = place.start_as(
        env!("CARGO_BIN_EXE_caudal"),
        1,
        &["-w", "3"],
        Some("secret"),
    );
    wrong.ends_with(3, &["-w 3"]);
    first.tells("-n 2 -w 3, this one with -n 2 -w 1");

    let job = place.path().join("job.toml");
    for (from, to, words) in [
        ("name = \"case\"", "name = \"other\"", "runs the job other"),
        ("# ", "#  ", "job file"),
        ("decimal(8,2)", "decimal(9,2)", "job file"),
    ] {
        fs::write(&job, JOB.replace(from, to)).unwrap();
        if JOB.contains(from) {
            let mut wrong = place.start_as(env!("CARGO_BIN_EXE_caudal"), 1, &[], Some("secret"));
            wrong.ends_with(3, &[words]);
            first.tells(words);
        }
    }
    fs::write(&job, JOB).unwrap();

    let build = place.path().join("another-caudal");
    fs::copy(env!("CARGO_BIN_EXE_caudal"), &build).unwrap();
    let mut longer = fs::OpenOptions::new().append(true).open(&build).unwrap();
    longer.write_all(b"\0").unwrap();
    drop(longer);
    let mut wrong = place.start_as(&build, 1, &[], Some("secret"));
    wrong.ends_with(3, &["build"]);
    first.tells("build");

    // A client of something else, and one that says nothing.
    let mut http = TcpStream::connect(place.address(0)).unwrap();
    http.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    first.tells("no caudal process: it began with \"GET /met");
    let mut silent = TcpStream::connect(place.address(0)).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "it is let go");
    first.tells("did not say what it is");

    let mut second = place.start_as(env!("CARGO_BIN_EXE_caudal"), 1, &[], Some("secret"));
    second.ends_with(0, &[]);
    first.ends_with(0, &[]);
}

#[test]
fn those_that_do_not_come_are_named_and_waited_for_no_longer_than_said() {
    let place = Place::new(3);
    let job = JOB.replace("20 seconds", "6 seconds");
    fs::write(place.path().join("job.toml"), job).unwrap();
    let mut processes = [0, 1].map(|process| place.start(process, &[]));
    processes[0].tells(&format!("waiting for process 2 ({}", place.address(2)));
    for process in &mut processes {
        process.ends_with(3, &["waited 6 s for process 2", "join_timeout"]);
    }
    place.nothing_is_visible();
}

#[test]
fn a_taken_index_or_port_is_told() {
    let place = Place::new(2);
    let _held = place.start(0, &[]);
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(place.address(0)).is_err() {
        assert!(Instant::now() < deadline, "process 0 never listened");
        std::thread::yield_now();
    }
    place
        .start(0, &[])
        .ends_with(3, &["can't be listened at", "in use"]);
}

#[test]
fn a_process_that_is_killed_ends_the_others_within_two_seconds() {
    for victim in [0, 1, 2] {
        let place = Place::new(3);
        let (mut processes, input) = place.endless(&[]);
        processes[victim].signal("-KILL");
        processes[victim].ends();
        let since = Instant::now();
        for (index, process) in processes.iter_mut().enumerate() {
            if index != victim {
                let lost = format!("process {victim} (");
                process.ends_with(3, &[&lost, "is lost"]);
            }
        }
        assert!(
            since.elapsed() < Duration::from_secs(2),
            "{:?}",
            since.elapsed()
        );
        drop(input);
        place.nothing_is_visible();
    }
}

#[test]
fn a_process_that_stands_still_is_lost_after_its_time_out() {
    for victim in [0, 1] {
        let place = Place::new(2);
        let (mut processes, input) = place.endless(&[]);
        processes[victim].signal("-STOP");
        processes[1 - victim].ends_with(3, &["is lost", "peer_timeout"]);
        processes[victim].signal("-CONT");
        processes[victim].ends_with(3, &["lost"]);
        drop(input);
        place.nothing_is_visible();
    }
}

#[test]
fn a_signal_to_any_process_interrupts_the_run_of_all() {
    for victim in [0, 1] {
        let place = Place::new(2);
        let (mut processes, input) = place.endless(&[]);
        processes[victim].signal("-INT");
        for process in &mut processes {
            process.ends_with(130, &["interrupted"]);
        }
        drop(input);
        place.nothing_is_visible();
        assert_eq!(
            fs::read_dir(place.path().join("out/_caudal/staged"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn a_launch_passes_signals_on_and_its_processes_do_not_outlive_it() {
    for (signal, code) in [("-TERM", Some(130)), ("-KILL", None)] {
        let place = Place::new(2);
        let pipe = place.path().join("input/a.csv");
        fs::remove_file(&pipe).unwrap();
        make_pipe(&pipe);
        let child = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["launch", "job.toml", "-n", "2", "--quiet"])
            .current_dir(place.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut launch = Process::new(child);
        let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        input.write_all(b"id,price\n1,1.00\n").unwrap();
        launch.signal(signal);
        assert_eq!(launch.ends().code(), code, "{}", launch.told);
        if code.is_some() {
            assert!(launch.told.contains("[1] "), "{}", launch.told);
        }
        // The reader's end of the pipe closes with the last process.
        let deadline = Instant::now() + DEADLINE;
        while input.write_all(b"1,1.00\n").is_ok() {
            assert!(Instant::now() < deadline, "a process goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
        place.nothing_is_visible();
    }
}

#[test]
fn an_output_folder_that_is_not_shared_is_told() {
    let place = Place::new(2);
    fs::write(
        place.path().join("job.toml"),
        JOB.replace("output = \"out\"", "output = \"${OUT}\""),
    )
    .unwrap();
    let start = |process: usize, out: &str| {
        let child = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["run", "job.toml", "--quiet", "-h", "hosts", "-n", "2", "-p"])
            .arg(process.to_string())
            .env("OUT", out)
            .current_dir(place.path())
            .stderr(Stdio::piped())
            .spawn();
        Process::new(child.unwrap())
    };
    let (mut first, mut second) = (start(0, "out"), start(1, "elsewhere"));
    second.ends_with(3, &["sees another folder", "shared file system"]);
    first.ends_with(3, &["process 1 failed"]);
    place.nothing_is_visible();
}

#[test]
fn a_wrong_host_file_is_told_before_anything_starts() {
    let place = Place::new(2);
    for (hosts, words) in [
        ("127.0.0.1:1\n", "1 addresses for 2 processes"),
        ("a:1\na:1\n", "stands on line 1 already"),
        ("a:1\nb\n", "\"b\" is no address"),
    ] {
        fs::write(place.path().join("hosts"), hosts).unwrap();
        place
            .start(0, &[])
            .ends_with(2, &[words, "nothing was started"]);
    }
    let mut absent = place.start(2, &[]);
    absent.ends_with(2, &["-p 2: there is no such process of -n 2"]);
    fs::write(
        place.path().join("hosts"),
        "127.0.0.1:1\nno-such-host.invalid:2\n",
    )
    .unwrap();
    place
        .start(1, &[])
        .ends_with(3, &["no-such-host.invalid:2 can't be listened at"]);
}

#[test]
fn a_full_disk_ends_all_processes_and_nothing_is_visible() {
    let place = Place::new(2);
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
    let rows: String = (0..300_000_u64)
        .map(|row| row.wrapping_mul(6_364_136_223_846_793_005))
        .map(|mixed| {
            format!(
                "{},{}.{:02}\n",
                mixed >> 40,
                (mixed >> 20) % 9999,
                mixed % 100
            )
        })
        .collect();
    fs::write(
        place.path().join("input/a.csv"),
        format!("id,price\n{rows}"),
    )
    .unwrap();
    let mut processes = [0, 1].map(|process| place.start(process, &[]));
    for process in &mut processes {
        let status = process.ends();
        assert_eq!(status.code(), Some(3), "{}", process.told);
    }
    let visible = visible_files(&out);
    assert!(Command::new("umount").arg(&out).status().unwrap().success());
    assert_eq!(visible, [] as [PathBuf; 0]);
}

#[test]
fn what_several_processes_can_not_do_is_told_before_anything_starts() {
    let place = Place::new(2);
    let program = env!("CARGO_BIN_EXE_caudal");
    place
        .start_as(program, 0, &[], Some(""))
        .ends_with(2, &["CAUDAL_TOKEN: it is no token"]);
    let job = JOB.replace("files = { path = \"rows\" }\nparquet", "stdout = {}\njson");
    fs::write(place.path().join("job.toml"), job).unwrap();
    place
        .start(0, &[])
        .ends_with(2, &["-n: sinks.rows writes to standard output"]);
}
