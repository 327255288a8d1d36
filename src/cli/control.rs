//! `caudal stop` and `caudal rescale`: what a running continuous job is asked for.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::launch::within;
use super::stop::{FINE, Stop};
use super::{convert, load, print};
use crate::epoch::look_at_journal;
use crate::job::plan::Plan;
use crate::observe::address::{self, Address};
use crate::observe::client;

/// How often it is looked whether the job has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How long its last commit may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Asks the job to commit what it has and end, and waits until it has.
///
/// # Errors
/// Where the job is wrong, bounded, or does not run, and where it ended and its journal does not say that all is committed.
pub(super) fn stop(job: &Path) -> Result<u8, Stop> {
    let (plan, address) = ask(job, "/stop", "")?;
    let since = Instant::now();
    while is_there(&plan, &address) {
        if since.elapsed() > PATIENCE {
            return Err(Stop::NoRun(format!(
                "{}: it was asked to end and has not said within {} s that it has\n  now: it may go on with its last commit",
                plan.name,
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(LOOK);
    }
    if !has_committed(&plan)? {
        return Err(Stop::NoRun(format!(
            "{}: it has ended, and its journal does not say that all is committed\n  now: what was committed before stays visible, and it goes on from there when it is started again\n  hint: `caudal status` tells whether another life of it runs already",
            plan.name
        )));
    }
    print::to_people(&format!(
        "{}: everything is committed; it has ended",
        plan.name
    ));
    Ok(FINE)
}

/// Whether the newest life of the job wrote down, as the last thing that it did, that all is committed.
fn has_committed(plan: &Plan) -> Result<bool, Stop> {
    let Some(continuous) = &plan.continuous else {
        return Ok(true);
    };
    let history = look_at_journal(&continuous.state, within(PATIENCE)).map_err(|error| {
        Stop::NoRun(format!(
            "{}: it has ended, and whether all is committed is not known: {error}",
            plan.name
        ))
    })?;
    Ok(history.has_ended())
}

/// Asks the job to commit what it has and go on with other numbers of processes and workers.
///
/// # Errors
/// Where the job is wrong, bounded, or does not run.
pub(super) fn rescale(job: &Path, processes: u16, workers: u16) -> Result<u8, Stop> {
    let shape = format!("&processes={processes}&workers={workers}");
    let (plan, _) = ask(job, "/rescale", &shape)?;
    print::to_people(&format!(
        "{}: it commits what it has; `caudal launch` goes on with {processes} processes of {workers} workers",
        plan.name
    ));
    Ok(FINE)
}

/// Whether the process still says that it can be asked there, and somebody listens: on a busy machine an answer may take long.
fn is_there(plan: &Plan, address: &Address) -> bool {
    let listens = |at| match client::get(at, "/healthz", None) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::ConnectionRefused,
    };
    address::find(&plan.output).contains(address) && address.address.parse().is_ok_and(listens)
}

/// Asks process 0 of the job's run for what stands at a path, with more of its query. The process is named: where it was killed, its address may
/// be that of another job by now.
fn ask(job: &Path, path: &str, more: &str) -> Result<(Plan, Address), Stop> {
    let plan = load::job(job)?;
    let nobody = |why: &str| {
        Stop::NoRun(format!(
            "{}: no run of it answers: {why}\n  expected: a continuous job that runs\n  now: nothing was asked for",
            plan.name
        ))
    };
    let token = convert::token(convert::TOKEN)?;
    let found = address::find(&plan.output).into_iter();
    let address = found
        .filter(|address| address.job == plan.name)
        .min_by_key(|address| address.process)
        .ok_or_else(|| nobody("no address of one is written under its output"))?;
    let at =
        (address.address.parse()).map_err(|_| nobody("what is written there is no address"))?;
    let path = format!("{path}?pid={}{more}", address.pid);
    let answer = client::post(at, &path, token.as_deref())
        .map_err(|error| nobody(&format!("{}: {error}", address.address)))?;
    match answer.code {
        202 => Ok((Plan::clone(&plan), address)),
        code => Err(Stop::NoRun(format!(
            "{}: {} ({code})\n  now: nothing was asked for",
            plan.name,
            answer.body.trim()
        ))),
    }
}
