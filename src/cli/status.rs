//! `caudal status`: where a running job stands.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;

use super::life::{self, KnownLife};
use super::stop::{FINE, Stop};
use super::{convert, epochs, load, numbers, print};
use crate::job::plan::Plan;
use crate::observe::address::{self, Address};
use crate::observe::client;
use crate::observe::status::{FORMAT, Rows, Status};

/// Operators that are named: the busiest, as many as are worth a look.
const OPERATORS: usize = 3;

/// Asks each process of the job's run and prints what it says.
///
/// # Errors
/// Where the job is wrong, or no run of it answers.
pub(super) fn status(job: &Path, json: bool) -> Result<u8, Stop> {
    let plan = load::job(job)?;
    let token = convert::token(convert::TOKEN)?;
    let found: Vec<Address> = address::find(&plan.output)
        .into_iter()
        .filter(|address| address.job == plan.name)
        .collect();
    if found.is_empty() {
        return Err(none_alive(
            &plan,
            "no address of one is written there",
            json,
        )?);
    }
    let mut text = String::new();
    for address in &found {
        let (answer, status) = match ask(&plan, address, token.as_deref()) {
            Ok(told) => told,
            Err(Nobody::There(why)) => return Err(none_alive(&plan, &why, json)?),
            Err(Nobody::For(stop)) => return Err(*stop),
        };
        if json {
            text.push_str(&answer);
        } else {
            text.push_str(&for_people(&status, found.len()));
        }
    }
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}

/// What the process at this address says, as it came and as it was understood.
fn ask(plan: &Plan, address: &Address, token: Option<&str>) -> Result<(String, Status), Nobody> {
    let nobody = |why: &str| Nobody::There(format!("{}: {why}", address.address));
    let at = (address.address.parse()).map_err(|_| nobody("this is no address"))?;
    let answer = client::get(at, "/status", token).map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => nobody("nobody listens there, so that the run was killed"),
        _ => nobody(&error.to_string()),
    })?;
    if answer.code == 401 {
        return Err(Nobody::For(Box::new(Stop::NoRun(format!(
            "{}: process {} of the run asks for a token{}\n  expected: the token that the run was started with, in {}\n  \
             now: nothing is known of the run",
            plan.name,
            address.process,
            if token.is_some() {
                ", and not for this one"
            } else {
                ""
            },
            convert::TOKEN,
        )))));
    }
    let status = serde_json::from_str::<Status>(&answer.body).ok();
    // Another program may listen at the port of a run that was killed.
    match status {
        Some(status) if status.format == FORMAT && status.job == plan.name => {
            Ok((answer.body, status))
        }
        _ => Err(nobody("what answers there is no run of this job")),
    }
}

/// Why a process says nothing.
enum Nobody {
    /// None of the job answers, in words.
    There(String),
    /// One does, and not to us.
    For(Box<Stop>),
}

/// That no run answers; of a continuous job what its journal says was told before.
fn none_alive(plan: &Plan, why: &str, json: bool) -> Result<Stop, Stop> {
    if let Some(continuous) = &plan.continuous {
        let known = KnownLife::find(plan, continuous)?;
        let text = if json {
            format!("{}\n", epochs::for_machines(&plan.name, &known))
        } else {
            known.for_people(plan)
        };
        print::to_output(text.as_bytes())?;
        return Ok(Stop::NoRun(format!(
            "{}: no life of it answers: {why}\n  now: what its journal and its output say was told\n  hint: caudal run {}",
            plan.name,
            plan.file.display()
        )));
    }
    Ok(Stop::NoRun(format!(
        "{}: no run is alive that can be asked\n  expected: one that was started with --status; its address stands in {}: {why}\n  \
         now: nothing is known\n  hint: caudal run {} --status 127.0.0.1:0",
        plan.name,
        address::file(&plan.output, 0).display(),
        plan.file.display()
    )))
}

/// What one process says, in words.
fn for_people(status: &Status, processes: usize) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("a String takes everything");
    let process = if processes > 1 {
        format!("process {}, ", status.process)
    } else {
        String::new()
    };
    let workers = numbers::counted(count(status.workers.len()), "worker", "workers");
    let generation = match &status.life {
        Some(told) => format!(
            "generation {}, {}, ",
            status.generation,
            told.replays_to.map_or("live".to_owned(), |to| format!(
                "reads again up to epoch {to}"
            ))
        ),
        None => String::new(),
    };
    line(format!(
        "{}: {} for {:.1} s, {generation}{process}{workers} (pid {})",
        status.job, status.phase, status.seconds, status.pid
    ));
    let (rows, bytes) = (&status.rows, &status.bytes);
    let of_all = if bytes.input > 0 {
        format!(" of {}", numbers::bytes(bytes.input))
    } else {
        String::new()
    };
    let rate = numbers::grouped(numbers::per_second(rows.rows_in, status.seconds));
    line(format!(
        "  in       {}, {}{of_all}, {rate} rows per second",
        numbers::rows(rows.rows_in),
        numbers::bytes(bytes.read)
    ));
    line(format!("  clean    {}", numbers::grouped(rows.clean)));
    let share = numbers::per_cent(rows.refused, rows.rows_in);
    line(format!(
        "  refused  {}  ({share})",
        numbers::grouped(rows.refused)
    ));
    if rows.dropped > 0 {
        line(format!("  dropped  {}", numbers::grouped(rows.dropped)));
    }
    let passed = status.epochs.upper.saturating_sub(1);
    line(format!(
        "  epochs   {} opened, {passed} passed; {} of {} in flight",
        status.epochs.opened,
        numbers::bytes(bytes.in_flight),
        numbers::bytes(bytes.in_flight_limit)
    ));
    for source in &status.sources {
        let Rows {
            rows_in,
            clean,
            refused,
            ..
        } = &source.rows;
        line(format!(
            "  source   {}: {}, {}, {} clean, {} refused",
            source.name,
            numbers::rows(*rows_in),
            numbers::bytes(source.bytes),
            numbers::grouped(*clean),
            numbers::grouped(*refused)
        ));
    }
    for lookup in &status.lookups {
        line(format!(
            "  look-up  {}: {}{}, {} of {} missed",
            lookup.name,
            numbers::rows(u64::try_from(lookup.rows).unwrap_or(0)),
            if lookup.partitioned {
                " of its share"
            } else {
                ""
            },
            numbers::grouped(lookup.missed),
            numbers::rows(lookup.probed)
        ));
    }
    for sink in &status.sinks {
        line(format!(
            "  sink     {}: {}, {} staged, complete before epoch {}",
            sink.name,
            numbers::rows(sink.rows),
            numbers::bytes(sink.staged_bytes),
            sink.upper
        ));
    }
    let busiest = (status.workers.iter()).max_by(|a, b| a.busy_seconds.total_cmp(&b.busy_seconds));
    for worker in &status.workers {
        let skew = worker.skew.map_or_else(String::new, |skew| {
            let rows = numbers::rows(worker.exchanged_rows);
            format!(", received {rows} by key ({skew:.2} of the mean)")
        });
        let most = status.workers.len() > 1 && busiest == Some(worker);
        line(format!(
            "  worker   {}: busy for {:.1} s{skew}{}",
            worker.worker,
            worker.busy_seconds,
            if most { ", the busiest" } else { "" }
        ));
    }
    let all: f64 = status.operators.values().sum();
    let mut operators: Vec<(&String, &f64)> = status.operators.iter().collect();
    operators.sort_by(|a, b| b.1.total_cmp(a.1));
    for (operator, seconds) in operators.into_iter().take(OPERATORS) {
        let share = seconds / all.max(f64::MIN_POSITIVE) * 100.0;
        line(format!(
            "  busy     {operator}: {seconds:.1} s  ({share:.0} %)"
        ));
    }
    line(match &status.holds {
        Some(holds) => format!(
            "  holds    epoch {} waits for {} on worker {}",
            holds.epoch, holds.at, holds.worker
        ),
        None => "  holds    nothing: all epochs have passed".to_owned(),
    });
    if let Some(life) = &status.life {
        text.push_str(&life::lines(life));
    }
    text
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count fits 64 bits")
}
