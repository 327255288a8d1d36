//! `caudal run`: a job to its end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::convert::RunCommand;
use super::stop::{FAILED, FINE, Stop};
use super::{load, print, progress, summary};
use crate::cluster::outcome::{Progress, RunOptions};
use crate::job::plan::SinkTo;

/// Runs the job and tells what came of it.
///
/// # Errors
/// Where the job is wrong, the world failed, or the run was interrupted.
pub(super) fn run(command: &RunCommand) -> Result<u8, Stop> {
    let plan = load::job(&command.job)?;
    let prints = plan.sinks.iter().find(|sink| sink.to == SinkTo::Stdout);
    if let (true, Some(sink)) = (command.json, prints) {
        return Err(Stop::Words(format!(
            "--json: sinks.{} writes to standard output, where the summary would go, too\n  expected: one of them\n  \
             now: nothing was started\n  hint: leave --json out, or give the sink files",
            sink.name
        )));
    }
    let options = RunOptions {
        workers: command.workers,
        as_of: command.as_of,
        limit: command.limit,
        progress: Arc::new(Progress::default()),
        interrupted: interruptible()?,
    };
    let shown = (!command.quiet).then(|| progress::show(&options.progress));
    let ran = crate::cluster::run(&plan, &options);
    drop(shown);
    let outcome = ran.map_err(Stop::Run)?;
    for warning in &outcome.warnings {
        print::to_people(&format!("warning: {warning}"));
    }
    if !command.quiet {
        print::to_people(&summary::for_people(&plan, &outcome));
    }
    for failure in &outcome.failures {
        print::to_people(&format!("failed: {failure}"));
    }
    if command.json {
        print::to_output(format!("{}\n", summary::for_machines(&outcome)).as_bytes())?;
    }
    Ok(if outcome.is_good() { FINE } else { FAILED })
}

/// A flag that SIGINT and SIGTERM set. A second signal ends the process at once.
fn interruptible() -> Result<Arc<AtomicBool>, Stop> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let again = Arc::clone(&interrupted);
        signal_hook::flag::register_conditional_shutdown(signal, 130, again)
            .map_err(Stop::Signals)?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(Stop::Signals)?;
    }
    Ok(interrupted)
}
