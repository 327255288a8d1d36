//! What a person sees while a run goes: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{numbers, print};
use crate::cluster::outcome::Progress;

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_millis(100);

/// Between two lines where standard error is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Shows progress from its own thread until it is stopped.
pub(super) struct Shown {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts to show the counters.
pub(super) fn show(progress: &Arc<Progress>) -> Shown {
    let stop = Arc::new(AtomicBool::new(false));
    let (progress, stopped) = (Arc::clone(progress), Arc::clone(&stop));
    // Without a thread there is no progress to see, which is no reason not to run.
    let thread = std::thread::Builder::new()
        .name("progress".to_owned())
        .spawn(move || watch(&progress, &stopped))
        .ok();
    Shown { stop, thread }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

fn watch(progress: &Progress, stopped: &AtomicBool) {
    let terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::hidden();
    if terminal {
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
    let mut last_line = Instant::now();
    while !stopped.load(Ordering::Acquire) {
        if terminal {
            let (read, all) = progress.bytes();
            bar.set_length(all);
            bar.set_position(read.min(all));
            bar.set_message(words(progress));
        } else if last_line.elapsed() >= LINE {
            print::to_people(&words(progress));
            last_line = Instant::now();
        }
        std::thread::park_timeout(LOOK);
    }
    bar.finish_and_clear();
}

fn words(progress: &Progress) -> String {
    let rows = progress.rows();
    let phase = progress.phase().word();
    format!(
        "{phase}: {} in, {} clean, {} refused",
        numbers::rows(rows.rows_in),
        numbers::grouped(rows.clean),
        numbers::grouped(rows.refused)
    )
}
