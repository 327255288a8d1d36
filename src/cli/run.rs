//! `caudal run`: a job to its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::convert::RunCommand;
use super::launch::LAUNCHED;
use super::stop::{FAILED, FINE, INTERRUPTED, Stop};
use super::{convert, load, print, progress, signals, summary};
use crate::cluster::outcome::{Outcome, Progress, RunOptions};
use crate::cluster::{Ended, Interrupt, spawn};
use crate::fault;
use crate::job::plan::{Plan, Rerun, SinkTo};
use crate::observe::http::Server;
use crate::observe::log::Shape;
use crate::observe::{Observer, http, log};
use crate::sinks::kafka::schemas;

/// Runs the job and tells what came of it.
///
/// # Errors
/// Where the job is wrong, the world failed, or the run was interrupted.
pub(super) fn run(command: &RunCommand) -> Result<u8, Stop> {
    log::install(command.log);
    fault::arm().map_err(Stop::Words)?;
    let mut plan = load::job(&command.job)?;
    refuse_ends(&plan, command)?;
    let prints = plan
        .sinks
        .iter()
        .find(|sink| matches!(sink.to, SinkTo::Stdout));
    if let (true, Some(sink)) = (command.json, prints) {
        return Err(Stop::Words(format!(
            "--json: sinks.{} writes to standard output, where the summary would go, too\n  expected: one of them\n  \
             now: nothing was started\n  hint: leave --json out, or give the sink files",
            sink.name
        )));
    }
    if let (Some(_), Some(sink)) = (&command.cluster, prints) {
        return Err(Stop::Words(format!(
            "-n: sinks.{} writes to standard output, where rows of several processes would be mixed\n  expected: one \
             process, or a sink of files\n  now: nothing was started\n  hint: -w THREADS uses more cores in one process",
            sink.name
        )));
    }
    schemas::register(&mut plan).map_err(Stop::Schema)?;
    let process = command.cluster.as_ref().map_or(0, |cluster| cluster.index);
    let progress = Arc::new(Progress::default());
    let options = RunOptions {
        workers: command.workers,
        as_of: command.as_of,
        limit: command.limit,
        replay: command.replay,
        observer: Observer::new(&plan, &progress, process, command.workers),
        progress,
        interrupt: interruptible()?,
        cluster: command.cluster.clone(),
        launch: std::env::var(LAUNCHED).ok(),
        tell: print::to_people,
    };
    tell_start(&plan, command, process);
    options.observer.set_interrupt(&options.interrupt);
    let server = serve(&plan, &options.observer, command)?;
    let for_people = process == 0 && !command.quiet && command.log == Shape::Warnings;
    let shown = for_people.then(|| progress::show(&options.progress));
    let ran = crate::cluster::run(&plan, &options);
    drop(shown);
    drop(server);
    let outcome = match ran.map_err(if plan.continuous.is_some() {
        Stop::Life
    } else {
        Stop::Run
    })? {
        Ended::Led(outcome) => outcome,
        Ended::Followed(exit_code) => return Ok(exit_code),
    };
    for warning in &outcome.warnings {
        print::warning(warning);
    }
    if for_people {
        print::to_people(&summary::for_people(&plan, &outcome));
    }
    for failure in &outcome.failures {
        print::failure(&format!("failed: {failure}"));
    }
    tell_end(&plan, &outcome);
    if command.json {
        print::to_output(format!("{}\n", summary::for_machines(&outcome)).as_bytes())?;
    }
    Ok(if outcome.is_good() { FINE } else { FAILED })
}

/// A continuous job has no end that could be set or judged, and its refused rows are not fed again as a run of their own.
fn refuse_ends(plan: &Plan, command: &RunCommand) -> Result<(), Stop> {
    if plan.continuous.is_none() {
        if plan.rerun == Rerun::NewFiles && command.limit.is_some() {
            return Err(Stop::Words(format!(
                "--limit: job {} remembers which files it has read (rerun = \"new_files\")\n  expected: files that are read to their end\n  \
                 now: nothing was started\n  hint: leave it out, or try with rerun = \"replace\" and another output",
                plan.name
            )));
        }
        return Ok(());
    }
    for (option, given, instead) in [
        (
            "--limit",
            command.limit.is_some(),
            "leave it out; the job runs until it is told to stop",
        ),
        (
            "--as-of",
            command.as_of.is_some(),
            "leave it out; freshness is judged by the time of day, epoch by epoch",
        ),
        (
            "--replay",
            command.replay,
            "send them to the topic again, mended or as they are (`caudal quarantine` shows and exports them): an epoch holds what its \
             partitions hold, so that rows from elsewhere would not be there when it is read again, and their windows may be closed",
        ),
    ] {
        if given {
            return Err(Stop::Words(format!(
                "{option}: job {} is continuous (a source has no end)\n  expected: a job with an end\n  \
                 now: nothing was started\n  hint: {instead}",
                plan.name
            )));
        }
    }
    Ok(())
}

/// Serves the status where it was asked for, and tells where. A continuous job is asked to end there, so it is always served: on
/// a free port of this machine where nothing else is said.
fn serve(
    plan: &Plan,
    observer: &Arc<Observer>,
    command: &RunCommand,
) -> Result<Option<Server>, Stop> {
    let (address, token) = match &command.status {
        Some(status) => (status.address, status.token.clone()),
        None if plan.continuous.is_some() => (
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            convert::token(convert::TOKEN)?,
        ),
        None => return Ok(None),
    };
    let server = http::serve(observer, address, token).map_err(Stop::Serve)?;
    let address = server.address().to_string();
    if command.log == Shape::Warnings && !command.quiet {
        print::to_people(&format!("status: http://{address}"));
    }
    tracing::info!(action = "status-served", address, "the status is served");
    Ok(Some(server))
}

fn tell_start(plan: &Plan, command: &RunCommand, process: usize) {
    tracing::info!(
        action = "run-started",
        job = plan.name,
        workers = command.workers,
        process,
        "the run has started"
    );
}

fn tell_end(plan: &Plan, outcome: &Outcome) {
    tracing::info!(
        action = "run-ended",
        outcome = if outcome.is_good() {
            "success"
        } else {
            "failure"
        },
        job = plan.name,
        rows_in = outcome.rows_in,
        rows_clean = outcome.clean,
        rows_refused = outcome.refused,
        rows_dropped = outcome.dropped,
        seconds = outcome.seconds,
        "the run has ended"
    );
}

/// Hears SIGINT and SIGTERM from now on, on a thread of its own: the first asks the run to end, a second ends the process at
/// once, unless outputs are being made visible by then.
fn interruptible() -> Result<Arc<Interrupt>, Stop> {
    let interrupt = Arc::new(Interrupt::default());
    let heard = Arc::clone(&interrupt);
    signals::hear(move || {
        if heard.is_asked() {
            heard.unless_publishing(|| std::process::exit(i32::from(INTERRUPTED)));
        }
        heard.ask();
    })?;
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
    spawn("launch".to_owned(), hear).map_err(Stop::Signals)
}
