//! A run from start to end, in one process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::busy::Busy;
use super::outcome::{Outcome, OutputSummary, Phase, RunOptions};
use super::{Interrupt, Run, RunError};
use crate::epoch::{self, Decision};
use crate::flow;
use crate::job::plan::{LookupPlan, Plan, SinkTo};
use crate::lookup::{self, Loaded};
use crate::record::{Budget, Note};
use crate::sinks::{OutputRoot, SinkError, StagedFile, output_schema, write_empty};
use crate::sources::Feed;

/// How long a worker without work sleeps before it looks whether the run is over.
const PARK: Duration = Duration::from_millis(20);

/// Runs a job to its end: everything it produces becomes visible, or nothing.
///
/// 1. The output folder is taken; what a killed run left there is tidied up.
/// 2. Files are found and reference rows loaded, so that what is missing is known before anything is written.
/// 3. The workers run the dataflow, which stages files and gathers notes.
/// 4. The notes are judged; where the run is good, its files are published.
pub fn run(plan: &Arc<Plan>, options: &RunOptions) -> Result<Outcome, RunError> {
    let started = Instant::now();
    let writes_files = plan
        .sinks
        .iter()
        .any(|sink| matches!(sink.to, SinkTo::Files { .. }));
    let feed_budget = Budget::new(plan.in_flight_bytes);
    options.observer.watch_budget(&feed_budget);
    let feed = Feed::new(plan, &feed_budget, options.limit)?;
    options.progress.set_total_bytes(feed.total_bytes);
    options.progress.set_phase(Phase::Loading);
    let references = plan
        .lookups
        .iter()
        .map(|lookup| load(lookup, &options.interrupt))
        .collect::<Result<Vec<Loaded>, _>>()?;
    let mut root = if writes_files {
        Some(OutputRoot::open(&plan.output, &plan.name, &plan.sinks)?)
    } else {
        None
    };
    let announced = root
        .as_ref()
        .and_then(|root| options.observer.announce(root.path()));
    let outcome = attempt(plan, options, feed, references, root.as_mut());
    drop(announced);
    if let Some(root) = root {
        let cleaned = root.clean();
        // What failed first is told; what could not be cleaned up is by the next run.
        if outcome.is_ok() {
            cleaned?;
        }
    }
    let mut outcome = outcome?;
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// Steps 3 and 4, which may leave staged files.
fn attempt(
    plan: &Arc<Plan>,
    options: &RunOptions,
    feed: Feed,
    references: Vec<Loaded>,
    root: Option<&mut OutputRoot>,
) -> Result<Outcome, RunError> {
    let warnings: Vec<String> = references
        .iter()
        .flat_map(|loaded| loaded.warnings.iter().cloned())
        .collect();
    let staging = root.as_ref().map(|root| root.stage()).transpose()?;
    let stage = staging.as_ref().map(|staging| staging.folder.clone());
    let run = Arc::new(Run::new(
        plan,
        feed,
        references,
        options,
        epoch::wall_time(),
        stage,
    ));
    options.progress.set_phase(Phase::Running);
    let busy = execute(&run, options.workers)?;
    if run.is_over()
        && let Some(error) = run.take_failure()
    {
        return Err(error);
    }
    let mut outcome = Outcome {
        warnings,
        stages: busy,
        ..Outcome::default()
    };
    let notes = run.take_notes();
    let decision = epoch::decide(plan, &notes, &mut outcome);
    let mut staged = staged_files(plan, notes, &mut outcome);
    if decision == Decision::Publish {
        // A signal that came with the last rows still ends the run with nothing visible.
        if !options.interrupt.may_publish() {
            return Err(RunError::Interrupted);
        }
        options.progress.set_phase(Phase::Publishing);
        if let (Some(root), Some(staging)) = (root, staging) {
            add_empty(plan, &staging.folder, &mut staged)?;
            root.publish(&staging, &plan.sinks, staged, summary(&outcome))?;
        }
    }
    Ok(outcome)
}

/// Loads a look-up, unless someone asks the run to end.
fn load(lookup: &LookupPlan, interrupt: &Interrupt) -> Result<Loaded, RunError> {
    let loaded = lookup::load(lookup, &|| interrupt.is_asked())?;
    loaded.ok_or(RunError::Interrupted)
}

/// Runs the dataflow on `workers` threads; gives the seconds inside each operator.
fn execute(run: &Arc<Run>, workers: usize) -> Result<BTreeMap<String, f64>, RunError> {
    let busy: Arc<Mutex<BTreeMap<String, f64>>> = Arc::default();
    let of_all = Arc::clone(&busy);
    let shared = Arc::clone(run);
    let config = timely::Config::process(workers);
    let guards = timely::execute(config, move |worker| {
        let _over = OverIfPanicking(&shared);
        let log = Busy::listen(worker, &shared.observer);
        let dataflow = worker.next_dataflow_index();
        flow::build(worker, &shared);
        while worker.has_dataflows() {
            if shared.is_over() {
                worker.drop_dataflow(dataflow);
                break;
            }
            worker.step_or_park(Some(PARK));
        }
        let mut of_all = of_all.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, time) in log.take() {
            *of_all.entry(name).or_default() += time.as_secs_f64();
        }
    })
    .map_err(|message| RunError::Start { message })?;
    for joined in guards.join() {
        if let Err(message) = joined {
            // A worker that panicked has said why; there is nothing to go on with.
            std::panic::resume_unwind(Box::new(message));
        }
    }
    Ok(std::mem::take(
        &mut *busy.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// Ends the run of all workers when the one that holds it panics: they would wait for ever for what it was to send.
struct OverIfPanicking<'a>(&'a Run);

impl Drop for OverIfPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(RunError::Panicked);
        }
    }
}

/// The staged files among the notes, and what they add up to for each sink.
fn staged_files(plan: &Plan, notes: Vec<Note>, outcome: &mut Outcome) -> Vec<StagedFile> {
    outcome.outputs = plan
        .sinks
        .iter()
        .map(|sink| OutputSummary {
            sink: sink.name.clone(),
            path: match &sink.to {
                SinkTo::Files { path, .. } => plan.output.join(path).display().to_string(),
                SinkTo::Stdout => "standard output".to_owned(),
            },
            rows: 0,
            files: 0,
            bytes: 0,
        })
        .collect();
    let mut staged = Vec::new();
    for note in notes {
        match note {
            Note::Staged {
                sink,
                path,
                rows,
                bytes,
            } => {
                let output = &mut outcome.outputs[sink];
                output.rows += rows;
                output.files += 1;
                output.bytes += bytes;
                staged.push(StagedFile {
                    sink: plan.sinks[sink].name.clone(),
                    path,
                    rows,
                    bytes,
                });
            }
            Note::Printed { sink, rows } => outcome.outputs[sink].rows += rows,
            Note::Rows(_) | Note::Verdicts { .. } => {}
        }
    }
    staged
}

/// Gives each sink without rows one empty file, so that readers find its columns.
fn add_empty(plan: &Plan, stage: &Path, staged: &mut Vec<StagedFile>) -> Result<(), SinkError> {
    for sink in plan
        .sinks
        .iter()
        .filter(|sink| matches!(sink.to, SinkTo::Files { .. }))
    {
        if !staged.iter().any(|file| file.sink == sink.name) {
            staged.push(write_empty(sink, &output_schema(sink), stage)?);
        }
    }
    Ok(())
}

/// What the manifest says of the run.
fn summary(outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "in": outcome.rows_in, "clean": outcome.clean, "refused": outcome.refused, "dropped": outcome.dropped,
        "refused_by_reason": outcome.refused_by_reason, "verdicts": outcome.verdicts,
    })
}
