//! What a bug looks like from outside: one short message, exit code 101.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use super::print;

/// Exit code of a bug.
pub(super) const EXIT_CODE: u8 = 101;

/// How timely begins a panic about a socket; it keeps these words for those who look for them.
const LOST_PEER: &str = "timely communication error";

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Whether any thread has panicked.
pub(super) fn happened() -> bool {
    HAPPENED.load(Ordering::Acquire)
}

/// From now on a panic prints what happened and where, and asks for a report. Only the first is told: the others follow
/// from it.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        if crate::sources::is_reading() {
            // A broken file made a library panic: it comes as an error of the file.
            return;
        }
        let words = panic.payload_as_str().unwrap_or_default();
        if words.starts_with(LOST_PEER) {
            // No bug: the run's control connections tell who is lost and end it. Unwinding would abort the process before.
            loop {
                std::thread::park();
            }
        }
        if !HAPPENED.swap(true, Ordering::AcqRel) {
            print::failure(&message(panic));
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                print::failure(&std::backtrace::Backtrace::force_capture().to_string());
            }
            // Other workers would wait for the one that is gone: the process ends here, and what it staged is never read.
            std::process::exit(i32::from(EXIT_CODE));
        }
    }));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_owned();
    format!(
        "caudal {}: a bug at {place} (thread {thread}): {what}\n  now: the run ends with exit code {EXIT_CODE}, nothing of it is \
         visible\n  hint: please report this line with the job file; RUST_BACKTRACE=1 adds where it came from",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::time::Duration;

    use super::*;
    use crate::cluster::outcome::RunOptions;
    use crate::cluster::{self, RunError};
    use crate::job::plan::Plan;
    use crate::observe::Observer;

    const JOB: &str = r#"format = 1
[job]
name = "case"
output = "out"
[sources.sales]
files = { paths = ["sales.csv"] }
csv = {}
columns = { id = "int not null" }
[derive]
twice = "id * 2"
[rules.known]
expect = "id is not null"
[sinks.rows]
files = { path = "rows" }
csv = {}
"#;

    /// Set for the process that shows what a bug looks like: the folder of its job.
    const PLACE: &str = "CAUDAL_TEST_PANIC_PLACE";

    /// A job whose plan breaks what the resolver promises: the rule's condition is a number. The worker that gets the one
    /// chunk of rows finds out; the others have nothing to do but wait.
    fn spoiled_plan(place: &Path) -> Arc<Plan> {
        std::fs::write(place.join("job.toml"), JOB).unwrap();
        std::fs::write(place.join("sales.csv"), "id\n1\n2\n").unwrap();
        let mut plan = super::super::load::job(&place.join("job.toml")).unwrap();
        let changed = Arc::make_mut(&mut plan);
        changed.rules[0].expect = changed.derived[0].expression.clone();
        plan
    }

    fn run(plan: &Arc<Plan>) -> Result<cluster::Ended, RunError> {
        let mut options = RunOptions::new(plan);
        options.workers = 3;
        options.observer = Observer::new(plan, &options.progress, 0, options.workers);
        cluster::run(plan, &options)
    }

    #[test]
    fn a_worker_that_panics_ends_the_others() {
        let place = tempfile::tempdir().unwrap();
        let plan = spoiled_plan(place.path());
        let (ended, end) = mpsc::channel::<()>();
        let runner = std::thread::spawn(move || {
            // Dropped at the end, whatever that is.
            let _ended = ended;
            run(&plan).map(|_| ())
        });
        assert_eq!(
            end.recv_timeout(Duration::from_mins(1)),
            Err(RecvTimeoutError::Disconnected),
            "no worker waits for the one that is gone"
        );
        assert!(runner.join().is_err(), "whoever started the run is told");
        assert!(
            !place.path().join("out/rows").exists(),
            "nothing is visible"
        );
    }

    #[test]
    fn a_bug_ends_the_process_with_its_own_exit_code_and_message() {
        if let Some(place) = std::env::var_os(PLACE) {
            install();
            drop(run(&spoiled_plan(Path::new(&place))));
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let name = "cli::panic::tests::a_bug_ends_the_process_with_its_own_exit_code_and_message";
        let output = Command::new("timeout")
            .arg("60")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PLACE, place.path())
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(101), "{told}");
        // The test runner ends with 101, too, but not without a word.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("running 1 test"), "{said}");
        assert!(!said.contains("test result"), "{said}");
        for piece in [
            "a bug at ",
            "now: the run ends with exit code 101, nothing of it is visible",
            "hint: please report",
        ] {
            assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
        }
        assert!(
            !place.path().join("out/rows").exists(),
            "nothing is visible"
        );
    }
}
