//! `caudal stop` and `caudal rescale`: what a running continuous job is asked for.

use std::path::Path;
use std::time::{Duration, Instant};

use super::stop::{FINE, Stop};
use super::{convert, load, print};
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
/// Where the job is wrong, bounded, or does not run.
pub(super) fn stop(job: &Path) -> Result<u8, Stop> {
    let (plan, address) = ask(job, "/stop", "")?;
    let since = Instant::now();
    while is_there(&plan, &address) {
        if since.elapsed() > PATIENCE {
            return Err(Stop::NoRun(format!(
                "{}: it was asked to end and has not within {} s\n  now: it goes on with its last commit",
                plan.name,
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(LOOK);
    }
    print::to_people(&format!(
        "{}: everything is committed; it has ended",
        plan.name
    ));
    Ok(FINE)
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

/// Whether the process still says that it can be asked there.
fn is_there(plan: &Plan, address: &Address) -> bool {
    let found = address::find(&plan.output);
    found.contains(address)
        && (address.address.parse()).is_ok_and(|at| client::get(at, "/healthz", None).is_ok())
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
