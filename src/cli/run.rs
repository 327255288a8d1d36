//! `caudal run`: a job to its end.

use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::convert::RunCommand;
use super::launch::LAUNCHED;
use super::stop::{FAILED, FINE, INTERRUPTED, Stop};
use super::{load, print, progress, summary};
use crate::cluster::outcome::{Progress, RunOptions};
use crate::cluster::{Ended, Interrupt};
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
        interrupt: interruptible()?,
        cluster: command.cluster.clone(),
        tell: print::to_people,
    };
    let leads = command
        .cluster
        .as_ref()
        .is_none_or(|cluster| cluster.index == 0);
    let shown = (leads && !command.quiet).then(|| progress::show(&options.progress));
    let ran = crate::cluster::run(&plan, &options);
    drop(shown);
    let outcome = match ran.map_err(Stop::Run)? {
        Ended::Led(outcome) => outcome,
        Ended::Followed(exit_code) => return Ok(exit_code),
    };
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

/// Hears SIGINT and SIGTERM from now on, on a thread of its own: the first asks the run to end, a second ends the process at
/// once, unless outputs are being made visible by then.
fn interruptible() -> Result<Arc<Interrupt>, Stop> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Stop::Signals)?;
    let interrupt = Arc::new(Interrupt::default());
    let heard = Arc::clone(&interrupt);
    let hear = move || {
        for _ in &mut signals {
            if heard.is_asked() {
                heard.unless_publishing(|| std::process::exit(i32::from(INTERRUPTED)));
            }
            heard.ask();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(hear)
        .map_err(Stop::Signals)?;
    if std::env::var_os(LAUNCHED).is_some() {
        end_with_the_launch(&interrupt)?;
    }
    Ok(interrupt)
}

/// Asks the run to end when the launch that holds the other end of standard input is gone, however it went.
fn end_with_the_launch(interrupt: &Arc<Interrupt>) -> Result<(), Stop> {
    let interrupt = Arc::clone(interrupt);
    let hear = move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        interrupt.ask();
    };
    std::thread::Builder::new()
        .name("launch".to_owned())
        .spawn(hear)
        .map(drop)
        .map_err(Stop::Signals)
}
