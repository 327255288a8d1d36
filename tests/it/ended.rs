//! Waiting for the end of a process that may never come: a test that waits for ever fails nobody, and tells nothing.

use std::fs;
use std::process::{Child, ExitStatus, Output};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

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

/// Kills a process and those that it started, and waits until none is left: the processes of a launch would commit what they have first.
pub(crate) fn kill(child: &mut Child) {
    let started = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    for id in started.unwrap_or_default().split_whitespace() {
        let id = id.parse().ok().and_then(Pid::from_raw).unwrap();
        // Who takes up what a killed launch leaves may be slow to see that it has ended.
        let mut looks = PATIENCE.as_millis() / LOOK.as_millis() / 10;
        while kill_process(id, Signal::KILL).is_ok() && looks > 0 {
            std::thread::sleep(LOOK);
            looks -= 1;
        }
    }
}

fn watched<T>(id: u32, wait: impl FnOnce() -> T) -> T {
    let (over, is_over) = channel::<()>();
    // What it tells is read all the while, so another thread looks at the clock.
    let watch = std::thread::spawn(move || {
        if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            println!("process {id} has not ended within {PATIENCE:?} and is killed");
            let id = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
            // Where it has just ended there is nobody to kill.
            kill_process(id, Signal::KILL).ok();
        }
    });
    let ended = wait();
    drop(over);
    watch.join().unwrap();
    ended
}
