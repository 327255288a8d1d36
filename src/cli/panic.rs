//! What a bug looks like from outside: one short message, exit code 101.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use super::print;

/// Exit code of a bug.
pub(super) const EXIT_CODE: u8 = 101;

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Whether any thread has panicked.
pub(super) fn happened() -> bool {
    HAPPENED.load(Ordering::Acquire)
}

/// From now on a panic prints what happened and where, and asks for a report. Only the first is told: the others follow
/// from it.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|panic| {
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
