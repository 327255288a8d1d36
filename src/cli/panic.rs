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
        let words = panic.payload_as_str().unwrap_or_default();
        if words.starts_with(LOST_PEER) {
            // No bug: the run's control connections tell who is lost and end it. Unwinding would abort the process before.
            loop {
                std::thread::park();
            }
        }
        if !HAPPENED.swap(true, Ordering::AcqRel) {
            print::to_people(&message(panic));
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                print::to_people(&std::backtrace::Backtrace::force_capture().to_string());
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
