//! Waiting for the end of a process that may never come: a test that waits for ever fails nobody, and tells nothing.

use std::fs;
use std::process::{Child, ExitStatus, Output};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long an end may take: longer than `caudal stop` waits for one.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often it is looked whether one is left.
const LOOK: Duration = Duration::from_millis(5);

/// What a process told, and how it ended; it is killed where that takes too long, and its end is then that.
pub(crate) fn output(child: Child) -> Output {
    let id = child.id();
    watched(id, || child.wait_with_output().unwrap())
}

/// How a process ended. As [`output`].
pub(crate) fn status(child: &mut Child) -> ExitStatus {
    watched(child.id(), || child.wait().unwrap())
}

/// Kills a process and those that it started, and waits until none is left: left alone, the processes of a launch would commit what they have first.
/// Gives the numbers of those that it had started and that ran.
pub(crate) fn kill(child: &mut Child) -> Vec<u32> {
    if child.try_wait().unwrap().is_some() {
        return Vec::new();
    }
    let started = kill_all(child.id());
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    for process in &started {
        while runs(*process) {
            assert!(Instant::now() < deadline, "process {process} is not killed");
            std::thread::sleep(LOOK);
        }
    }
    started
}

/// Kills a process and those that it started; gives these. It stands still meanwhile, so that it starts no other.
fn kill_all(id: u32) -> Vec<u32> {
    signal(id, Signal::STOP);
    let started = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let started = started.unwrap_or_default();
    let started: Vec<u32> = started.split_whitespace().flat_map(str::parse).collect();
    for process in started.iter().chain([&id]) {
        signal(*process, Signal::KILL);
    }
    started
}

fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
    // Where it has just ended there is nobody to tell.
    kill_process(id, signal).ok();
}

/// Whether a process is there, and more than a name that nobody has asked about.
fn runs(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, behind)| &behind[..1]);
    state.is_some_and(|state| state != "Z" && state != "X")
}

fn watched<T>(id: u32, wait: impl FnOnce() -> T) -> T {
    let (over, is_over) = channel::<()>();
    // What it tells is read all the while, so another thread looks at the clock.
    let watch = std::thread::spawn(move || {
        if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            println!("process {id} has not ended within {PATIENCE:?} and is killed");
            // Those that it started may hold what it tells open.
            kill_all(id);
        }
    });
    let ended = wait();
    drop(over);
    watch.join().unwrap();
    ended
}
