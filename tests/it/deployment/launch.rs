//! The launch script, run against two hosts that are this machine: a remote shell that runs its words here, and a program
//! that tells what it was given and ends as it is told to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{file, text};
use crate::ended;

/// How long anything may take that takes a moment.
const DEADLINE: Duration = Duration::from_secs(30);

/// A remote shell: keeps the words that it got, which everyone on a host can see, and runs the command line here.
const SHELL: &str = r#"#!/bin/sh
printf '%s\n' "$@" >>"$PLACE/shell"
exec sh -c "$2"
"#;

/// A program in caudal's place. `end.I` says how process I ends: an exit code, `waits` until a signal comes,
/// `fails` with 3 when the other one waits, or `killed`.
const PROGRAM: &str = r#"#!/usr/bin/env bash
place=$(dirname "$0")
index=$6
ended() { echo "got $1" >&2; echo "$1" >"$place/signal.$index"; exit 130; }
trap 'ended INT' INT
trap 'ended TERM' TERM
printf '%s\n' "$@" >"$place/words.$index"
pwd >"$place/folder.$index"
printf '%s' "$CAUDAL_TOKEN" >"$place/token.$index"
printf '%s' "${SECRET:-}" >"$place/secret.$index"
# Whether any process of this machine has the token among its words.
grep --files-with-matches --text --fixed-strings --file=<(printf '%s' "$CAUDAL_TOKEN") /proc/[0-9]*/cmdline >"$place/seen.$index" 2>/dev/null
echo "a row of $index"
echo "a log line of $index" >&2
case $(cat "$place/end.$index") in
    waits) echo waiting >&2; : >"$place/waiting.$index"; while :; do sleep 0.05; done ;;
    fails) until [ -e "$place/waiting.$((1 - index))" ]; do sleep 0.05; done; exit 3 ;;
    killed) kill -9 $$ ;;
    *) exit "$(cat "$place/end.$index")" ;;
esac
"#;

/// The hosts `alpha` and `beta`, and how their processes end.
fn place(ends: [&str; 2]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, script) in [("shell.sh", SHELL), ("program.sh", PROGRAM)] {
        let path = place.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let hosts = "# two hosts\nalpha:2101\n\n  beta:2102  # the second\n";
    fs::write(place.path().join("hosts"), hosts).unwrap();
    for (index, end) in ends.iter().enumerate() {
        fs::write(place.path().join(format!("end.{index}")), end).unwrap();
    }
    place
}

/// The script with these words, started in a place.
fn launch(place: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(file("launch.sh"));
    command
        .args(words)
        .current_dir(place)
        .env("PLACE", place)
        .env("CAUDAL_SSH", place.join("shell.sh"))
        .env("CAUDAL_GRACE", "600")
        .env_remove("CAUDAL_TOKEN")
        .env_remove("CAUDAL_STATUS_TOKEN");
    command
}

const WORDS: [&str; 5] = ["-h", "hosts", "-b", "./program.sh", "it's a job.toml"];

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A launch that goes on while the test does.
struct Going {
    child: Child,
    told: Receiver<String>,
}

impl Going {
    /// Starts it, and waits until both processes do.
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, told) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let mut going = Self { child, told };
        going.until(&["0 alpha | waiting", "1 beta | waiting"]);
        going
    }

    /// Waits until all these lines have come.
    fn until(&mut self, lines: &[&str]) {
        let until = Instant::now() + DEADLINE;
        let mut waiting: Vec<&str> = lines.to_vec();
        let mut told = Vec::new();
        while !waiting.is_empty() {
            match self.told.recv_timeout(until - Instant::now().min(until)) {
                Ok(line) => {
                    waiting.retain(|wanted| *wanted != line);
                    told.push(line);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{waiting:?} did not come, but {told:?}")
                }
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// Waits until there is a file with something in it.
fn comes(path: &Path) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') {
            return text;
        }
        assert!(Instant::now() < until, "{} did not come", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn every_host_gets_its_process_and_no_secret_is_a_word() {
    let place = place(["0", "0"]);
    let mut words = WORDS.to_vec();
    words.extend(["-w", "4", "-e", "SECRET", "--", "--limit", "5"]);
    let secret = "it's \"one\" $secret = `two` ";
    let done = output(launch(place.path(), &words).env("SECRET", secret));
    assert_eq!(done.status.code(), Some(0), "{done:?}");

    // Logs say where they come from; rows are as they are.
    let logs = ["0 alpha | a log line of 0", "1 beta | a log line of 1"];
    assert_eq!(lines(&done.stderr), logs);
    assert_eq!(lines(&done.stdout), ["a row of 0", "a row of 1"]);

    let at = |name: &str| text(&place.path().join(name));
    for index in ["0", "1"] {
        let expected = [
            "run",
            "it's a job.toml",
            "-n",
            "2",
            "-p",
            index,
            "-h",
            "hosts",
            "-w",
            "4",
            "--limit",
            "5",
        ];
        assert_eq!(
            at(&format!("words.{index}")).lines().collect::<Vec<_>>(),
            expected
        );
        let folder = at(&format!("folder.{index}"));
        assert_eq!(
            fs::canonicalize(folder.trim_end()).unwrap(),
            fs::canonicalize(place.path()).unwrap()
        );
        assert_eq!(at(&format!("secret.{index}")), secret);
        assert_eq!(at(&format!("seen.{index}")), "", "words of a process");
    }
    let token = at("token.0");
    assert_eq!(token, at("token.1"), "one token for all");
    assert!(token.len() == 64 && token.chars().all(|c| c.is_ascii_hexdigit()));
    let shell = at("shell");
    for host in ["alpha", "beta"] {
        assert!(shell.lines().any(|line| line == host), "{shell}");
    }
    assert!(
        !shell.contains(&token) && !shell.contains("\"one\""),
        "{shell}"
    );
}

#[test]
fn a_token_that_is_set_is_the_one_that_is_used() {
    let place = place(["0", "0"]);
    let done = output(launch(place.path(), &WORDS).env("CAUDAL_TOKEN", "given by someone"));
    assert_eq!(done.status.code(), Some(0));
    for index in [0, 1] {
        let token = text(&place.path().join(format!("token.{index}")));
        assert_eq!(token, "given by someone");
    }
}

#[test]
fn the_worst_exit_code_counts() {
    for (first, second, worst) in [
        ("0", "0", 0),
        ("0", "1", 1),
        ("1", "0", 1),
        ("130", "1", 130),
        ("2", "130", 2),
        ("2", "3", 3),
        ("3", "101", 101),
        ("101", "3", 101),
        ("killed", "2", 3),
        ("255", "0", 3),
        ("101", "255", 101),
    ] {
        let place = place([first, second]);
        let done = output(&mut launch(place.path(), &WORDS));
        assert_eq!(
            done.status.code(),
            Some(worst),
            "{first}, {second}: {done:?}"
        );
    }
}

#[test]
fn a_program_or_a_folder_that_is_not_there_counts_as_the_world() {
    let place = place(["0", "0"]);
    for words in [
        ["-h", "hosts", "-b", "./nothing", "job.toml"],
        ["-h", "hosts", "-b", "/dev/null", "job.toml"],
    ] {
        let done = output(&mut launch(place.path(), &words));
        assert_eq!(done.status.code(), Some(3), "{done:?}");
    }
    let hosts = place.path().join("hosts");
    let elsewhere = [
        "-h",
        hosts.to_str().unwrap(),
        "-C",
        "/nowhere/at/all",
        "job.toml",
    ];
    let done = output(&mut launch(place.path(), &elsewhere));
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("1 beta | "), "{told}");
}

#[test]
fn signals_reach_every_process() {
    for signal in ["INT", "TERM"] {
        let place = place(["waits", "waits"]);
        let mut going = Going::start(&mut launch(place.path(), &WORDS));
        going.signal(signal);
        let got = |host: &str| format!("{host} | got {signal}");
        going.until(&[&got("0 alpha"), &got("1 beta")]);
        assert_eq!(ended::status(&mut going.child).code(), Some(130));
    }
}

#[test]
fn the_others_are_told_to_end_when_a_process_has_failed() {
    for (fails, waits) in [(0, 1), (1, 0)] {
        let mut ends = ["waits"; 2];
        ends[fails] = "fails";
        let place = place(ends);
        let done = output(launch(place.path(), &WORDS).env("CAUDAL_GRACE", "0"));
        assert_eq!(done.status.code(), Some(3), "{done:?}");
        let signal = place.path().join(format!("signal.{waits}"));
        assert_eq!(text(&signal), "TERM\n");
    }
}

#[test]
fn a_failed_check_is_no_reason_to_end_the_others() {
    let place = place(["1", "0"]);
    let done = output(launch(place.path(), &WORDS).env("CAUDAL_GRACE", "0"));
    assert_eq!(done.status.code(), Some(1));
    assert!(!place.path().join("signal.1").exists());
}

#[test]
fn a_killed_script_leaves_no_process_behind() {
    let place = place(["waits", "waits"]);
    let mut going = Going::start(&mut launch(place.path(), &WORDS));
    going.signal("KILL");
    assert_eq!(going.child.wait().unwrap().signal(), Some(9));
    for index in [0, 1] {
        let signal = comes(&place.path().join(format!("signal.{index}")));
        assert_eq!(signal, "TERM\n", "process {index}");
    }
}

#[test]
fn a_faulty_command_line_or_host_file_starts_nothing() {
    let place = place(["0", "0"]);
    let bad = |name: &str, hosts: &str| fs::write(place.path().join(name), hosts).unwrap();
    bad("no_port", "alpha:1\nbeta\n");
    bad("an_option", "-oProxyCommand=evil:1\n");
    bad("nothing", "# nobody\n");
    for (words, told) in [
        (&["-h", "hosts"][..], "there is no job file"),
        (&["job.toml"], "there is no host file"),
        (&["-h", "hosts", "a.toml", "b.toml"], "there are two jobs"),
        (&["-h", "hosts", "-w", "0", "job.toml"], "-w: \"0\""),
        (&["-h", "hosts", "-w"], "-w wants a value"),
        (
            &["-h", "hosts", "--thread", "2", "job.toml"],
            "unknown option \"--thread\"",
        ),
        (&["-h", "hosts", "-e", "a b", "job.toml"], "-e: \"a b\""),
        (
            &["-h", "hosts", "-e", "NO_SUCH_VARIABLE", "job.toml"],
            "NO_SUCH_VARIABLE is not set",
        ),
        (
            &["-h", "nowhere", "job.toml"],
            "/nowhere: the host file can't be read",
        ),
        (
            &["-h", "no_port", "job.toml"],
            "/no_port:2: \"beta\" is no address",
        ),
        (
            &["-h", "an_option", "job.toml"],
            "/an_option:1: \"-oProxyCommand=evil:1\" is no address",
        ),
        (
            &["-h", "nothing", "job.toml"],
            "/nothing: there is no host in it",
        ),
    ] {
        let done = output(&mut launch(place.path(), words));
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(told), "{words:?}: {said}");
        assert!(!place.path().join("shell").exists(), "{words:?}");
    }
}

#[test]
fn the_example_of_a_host_file_is_one() {
    let place = place(["0", "0"]);
    fs::write(place.path().join("end.2"), "0").unwrap();
    fs::copy(file("hosts.example"), place.path().join("hosts")).unwrap();
    let done = output(&mut launch(place.path(), &WORDS));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let hosts = lines(&done.stderr);
    assert_eq!(hosts[2], "2 sales-2.internal | a log line of 2");
}
