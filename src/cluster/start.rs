//! A run from start to end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, WorkerGuards};
use timely::worker::Worker;

use super::busy::Busy;
use super::connect::{JoinError, Joined, join};
use super::control::Peers;
use super::frame::Begin;
use super::link::Link;
use super::outcome::{Outcome, OutputSummary, Phase, RunOptions};
use super::replay::{Replayed, check_shapes};
use super::run::{Input, OwnFeed};
use super::{Cluster, Fate, Run, RunError, continuous};
use crate::checks::calendar::read_all_holidays;
use crate::epoch::{self, Decided, Decision, JournalError};
use crate::fault;
use crate::flow;
use crate::job::plan::{LookupPlan, Plan, Rerun, SinkTo, SourcePlan};
use crate::lookup::{self, Loaded};
use crate::record::{Budget, Note};
use crate::sinks::{
    Added, OutputRoot, QUARANTINE, Said, SinkError, StagedFile, VERDICTS, add_empty, staged_run,
};
use crate::sources::{Delivery, Feed, SourceError};

/// How long a worker without work sleeps before it looks whether the run is over.
const PARK: Duration = Duration::from_millis(20);

/// How long a process that does not find what process 0 has put down waits for word that the run is over.
const TELLS: Duration = Duration::from_secs(1);

/// File in the stage folder by which processes know that they see the same one.
pub(super) const MARK: &str = ".mark";

/// How a run ended that went to its end.
#[derive(Debug)]
pub enum Ended {
    /// On process 0, or the only one: what came of it.
    Led(Box<Outcome>),
    /// On the other processes: the exit code by which process 0 ended it.
    Followed(u8),
}

/// Busy seconds inside each operator, of all workers of this process.
pub(super) type Seconds = BTreeMap<String, f64>;

/// The workers' guards, which are dropped when they have ended.
type Guards = WorkerGuards<()>;

/// Runs a job to its end: everything it produces becomes visible, or nothing.
///
/// 1. With several processes: they find each other.
/// 2. The output folder is taken; what a killed run left there is tidied up.
/// 3. Files are found and reference rows loaded, so that what is missing is known before anything is written.
/// 4. The workers run the dataflow, which stages files and gathers notes.
/// 5. The notes are judged; where the run is good, its files are published.
///
/// Steps 2, 3 and 5 are those of process 0. With several processes timely's threads live on until the process ends: who
/// calls this ends it with the exit code.
pub fn run(plan: &Arc<Plan>, options: &RunOptions) -> Result<Ended, RunError> {
    let fate = Arc::new(Fate::new(&options.interrupt));
    if plan.continuous.is_some() {
        options.interrupt.drain_first();
    }
    let lead = |others| match &plan.continuous {
        None => lead(plan, options, &fate, others),
        Some(continuous) => {
            let led = continuous::lead(plan, continuous, options, &fate, others);
            led.map_err(|error| match error {
                // It was given up because of something.
                RunError::Journal(JournalError::GivenUp { .. }) => {
                    fate.take_failure().unwrap_or(error)
                }
                error => error,
            })
        }
    };
    let Some(cluster) = &options.cluster else {
        return lead(None);
    };
    let joined = join(plan, options, cluster)?;
    let others = Others::new(cluster, joined, &fate, plan, options)?;
    let peers = Arc::clone(&others.peers);
    let mut ended = if cluster.index == 0 {
        lead(Some(others))
    } else {
        follow(plan, options, &fate, others)
    };
    match &mut ended {
        Ok(Ended::Led(outcome)) => {
            outcome.others = peers.end(u8::from(!outcome.is_good()));
        }
        Ok(Ended::Followed(_)) | Err(RunError::Over { .. }) => {}
        Err(error) => peers.fail(error),
    }
    ended
}

/// The other processes.
pub(super) struct Others {
    index: usize,
    pub(super) peers: Arc<Peers>,
    links: Vec<Option<Link>>,
}

impl Others {
    fn new(
        cluster: &Cluster,
        joined: Joined,
        fate: &Arc<Fate>,
        plan: &Plan,
        options: &RunOptions,
    ) -> Result<Self, JoinError> {
        let failed = |action| JoinError::io(cluster.index, action);
        let timeout = plan.peer_timeout;
        let peers = Peers::start(
            cluster,
            joined.control,
            fate,
            &options.progress,
            &options.observer,
            timeout,
        )
        .map_err(failed("listening to the other processes"))?;
        let mut links = Vec::with_capacity(joined.rows.len());
        for (peer, stream) in joined.rows.into_iter().enumerate() {
            let link = stream.map(|stream| Link::new(stream, peer, &peers, timeout));
            links.push(link.transpose().map_err(failed("setting up a socket"))?);
        }
        Ok(Self {
            index: cluster.index,
            peers,
            links,
        })
    }
}

/// The run on process 0, or on the only one.
fn lead(
    plan: &Arc<Plan>,
    options: &RunOptions,
    fate: &Arc<Fate>,
    others: Option<Others>,
) -> Result<Ended, RunError> {
    let started = Instant::now();
    let writes_files = plan
        .sinks
        .iter()
        .any(|sink| matches!(sink.to, SinkTo::Files { .. }));
    let budget = Budget::new(plan.in_flight_bytes);
    options.observer.watch_budget(&budget);
    let mut delivery = None;
    let (own, feed, root) = if options.replay {
        let Replayed { root, files } = Replayed::open(plan)?;
        (None, Feed::again(plan, &budget, files)?, Some(root))
    } else if plan.rerun == Rerun::NewFiles {
        let root = OutputRoot::open(&plan.output, &plan.name, &plan.sinks)?;
        let said = root.newest().and_then(|newest| newest.delivered.as_ref());
        if said.is_some() {
            check_shapes(plan, root.newest())?;
        }
        let of_files = Delivery::new(said);
        delivery = Some(Arc::clone(&of_files));
        let feed = Feed::behind(plan, &budget, None, |_| true, Some(of_files))?;
        (None, feed, Some(root))
    } else {
        let own = own_feed(plan, options, &budget)?;
        let feed = Feed::new(plan, &budget, options.limit, |source| {
            own.is_none() || !source.is_per_process()
        })?;
        (own, feed, None)
    };
    let own_bytes = own.as_ref().map_or(0, |own| own.feed.total_bytes);
    options
        .progress
        .set_total_bytes(feed.total_bytes + own_bytes);
    options.progress.set_phase(Phase::Loading);
    let holidays = read_all_holidays(plan)?;
    let references = plan
        .lookups
        .iter()
        .map(|lookup| load(lookup, plan.join_timeout, fate))
        .collect::<Result<Vec<Loaded>, _>>()?;
    let input = (Input { feed, references }, own, holidays);
    let mut root = match root {
        None if writes_files => Some(OutputRoot::open(&plan.output, &plan.name, &plan.sinks)?),
        root => root,
    };
    let announced = root
        .as_ref()
        .and_then(|root| options.observer.announce(root.path()));
    let delivery = delivery.as_deref();
    let outcome = attempt(
        plan,
        options,
        fate,
        &budget,
        input,
        delivery,
        root.as_mut(),
        others,
    );
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
    Ok(Ended::Led(Box::new(outcome)))
}

/// Steps 4 and 5, which may leave staged files.
#[expect(
    clippy::too_many_arguments,
    reason = "what step 3 made, and who it is for"
)]
fn attempt(
    plan: &Arc<Plan>,
    options: &RunOptions,
    fate: &Arc<Fate>,
    budget: &Arc<Budget>,
    (input, own, holidays): (Input, Option<OwnFeed>, Vec<Vec<i64>>),
    delivery: Option<&Delivery>,
    root: Option<&mut OutputRoot>,
    others: Option<Others>,
) -> Result<Outcome, RunError> {
    let mut warnings: Vec<String> = input
        .references
        .iter()
        .flat_map(|loaded| loaded.warnings.iter().cloned())
        .collect();
    let staging = root.as_ref().map(|root| root.stage()).transpose()?;
    let now = epoch::wall_time();
    let begin = Begin {
        now,
        as_of: options.as_of,
        holidays,
        replay: options.replay,
        stage: staging.as_ref().map(|staging| staging.id.clone()),
        mark: format!("{now} {}", std::process::id()),
        partitioned: lookup::partitioned(plan, &input.references, options.processes()),
        resumed: None,
    };
    if let Some(others) = &others {
        if let Some(staging) = &staging {
            let path = staging.folder.join(MARK);
            std::fs::write(&path, &begin.mark)
                .map_err(|error| SinkError::io(&path, "writing a file", error))?;
        }
        others.peers.begin(&begin);
    }
    let peers = others.as_ref().map(|others| Arc::clone(&others.peers));
    let run = Arc::new(Run::new(
        plan,
        options,
        fate,
        budget,
        &begin,
        Some(input),
        own,
    ));
    options.progress.set_phase(Phase::Running);
    let busy = execute(&run, options.workers, others)?;
    if peers.is_some() {
        // A dataflow that has ended says nothing of what failed in its last step elsewhere.
        fate.wait_peers(run.processes - 1)?;
    }
    fate.check()?;
    if let Some(peers) = peers {
        // Everything is staged and told: who goes now is not missed.
        peers.expect_the_end();
    }
    warnings.extend(run.feed.iter().flat_map(Feed::told));
    warnings.extend(run.own.iter().flat_map(|own| own.feed.told()));
    let mut outcome = Outcome {
        warnings,
        stages: busy,
        ..Outcome::default()
    };
    let notes = run.take_notes();
    let decided = if options.replay {
        Decided::Replay
    } else {
        Decided::Run
    };
    let decision = epoch::decide(plan, &notes, decided, &mut outcome);
    let mut staged = staged_files(plan, notes, &mut outcome);
    let changes_nothing = options.replay && outcome.replayed == 0
        || delivery.is_some_and(Delivery::is_idle)
            && root.as_ref().is_some_and(|root| root.newest().is_some());
    if decision == Decision::Publish && !changes_nothing {
        // A signal that came with the last rows, here or elsewhere, still ends the run with nothing visible.
        fate.check()?;
        if !options.interrupt.may_publish() {
            return Err(RunError::Interrupted);
        }
        options.progress.set_phase(Phase::Publishing);
        if let (Some(root), Some(staging)) = (root, staging) {
            let before = root.newest().and_then(|newest| newest.delivered.clone());
            let delivered = match delivery {
                Some(delivery) => Some(delivery.after()?),
                None => before.clone().filter(|_| options.replay),
            };
            if options.replay {
                root.add_published(&staging, &plan.sinks, Added::Clean, &mut staged)?;
            } else if delivery.is_some() && before.is_some() {
                root.add_published(&staging, &plan.sinks, Added::All, &mut staged)?;
            }
            add_empty(&plan.sinks, &staging.folder, &mut staged)?;
            let said = Said {
                summary: summary(&outcome),
                delivered,
            };
            root.publish(&staging, &plan.sinks, staged, said)?;
        }
    }
    Ok(outcome)
}

/// The run on the other processes.
fn follow(
    plan: &Arc<Plan>,
    options: &RunOptions,
    fate: &Arc<Fate>,
    others: Others,
) -> Result<Ended, RunError> {
    let begin = fate.wait_begin()?;
    fault::at("follow");
    if let Some(stage) = &begin.stage {
        let path = staged_run(&plan.output, stage).join(MARK);
        if std::fs::read(&path).ok().as_deref() != Some(begin.mark.as_bytes()) {
            // Or process 0 has tidied up already, since another process has failed: it tells so at once.
            let unshared = || RunError::Unshared {
                path: plan.output.clone(),
            };
            return Err(fate.failure_within(TELLS).unwrap_or_else(unshared));
        }
    }
    let budget = Budget::new(plan.in_flight_bytes);
    options.observer.watch_budget(&budget);
    // Its file is removed when this ends.
    let _announced = begin
        .stage
        .is_some()
        .then(|| options.observer.announce(&plan.output));
    let own = if begin.replay {
        None
    } else {
        own_feed(plan, options, &budget)?
    };
    let own_bytes = own.as_ref().map_or(0, |own| own.feed.total_bytes);
    options.progress.set_total_bytes(own_bytes);
    let run = Run::new(plan, options, fate, &budget, &begin, None, own);
    let run = Arc::new(run);
    options.progress.set_phase(Phase::Running);
    let peers = Arc::clone(&others.peers);
    if plan.continuous.is_some() {
        pass_on_drain(fate, &peers)?;
    }
    execute(&run, options.workers, Some(others))?;
    fate.check()?;
    peers.done();
    let exit_code = fate.wait_end(|| peers.interrupted())?;
    Ok(Ended::Followed(exit_code))
}

/// Tells process 0 once someone asks this one to end: all commit what they have and end together.
fn pass_on_drain(fate: &Arc<Fate>, peers: &Arc<Peers>) -> Result<(), RunError> {
    let (fate, peers) = (Arc::clone(fate), Arc::clone(peers));
    let pass_on = move || {
        while !fate.is_draining() {
            if fate.is_over() {
                return;
            }
            std::thread::sleep(PARK);
        }
        peers.drain();
    };
    super::spawn("drain".to_owned(), pass_on).map_err(RunError::no_thread)
}

/// The input that this one of several processes has to itself, where the job says that there is some.
fn own_feed(
    plan: &Arc<Plan>,
    options: &RunOptions,
    budget: &Arc<Budget>,
) -> Result<Option<OwnFeed>, SourceError> {
    let Some(cluster) = &options.cluster else {
        return Ok(None);
    };
    if !plan.sources.iter().any(SourcePlan::is_per_process) {
        return Ok(None);
    }
    Ok(Some(OwnFeed {
        feed: Feed::new(plan, budget, options.limit, SourcePlan::is_per_process)?
            .of_process(cluster.index),
        address: cluster.addresses[cluster.index].clone(),
    }))
}

/// Loads a look-up, unless someone asks the run to end or another process is lost.
fn load(lookup: &LookupPlan, patience: Duration, fate: &Fate) -> Result<Loaded, RunError> {
    let loaded = lookup::load(lookup, patience, &|| fate.is_over())?;
    loaded.ok_or_else(|| fate.take_failure().unwrap_or(RunError::Interrupted))
}

/// Runs the dataflow on `workers` threads of this process until all rows have gone through it; gives the seconds inside each
/// operator.
///
/// With other processes the threads are left behind: those that send and receive sleep once a peer has gone.
pub(super) fn execute(
    run: &Arc<Run>,
    workers: usize,
    others: Option<Others>,
) -> Result<Seconds, RunError> {
    let busy: Arc<Mutex<Seconds>> = Arc::default();
    let guards =
        start(run, workers, &busy, others).map_err(|message| RunError::Start { message })?;
    if run.processes > 1 {
        std::mem::forget(guards);
        run.fate.wait_workers(workers)?;
    } else {
        for joined in guards.join() {
            if let Err(message) = joined {
                // A worker that panicked has said why; there is nothing to go on with.
                std::panic::resume_unwind(Box::new(message));
            }
        }
    }
    let busy = std::mem::take(&mut *busy.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(busy)
}

fn start(
    run: &Arc<Run>,
    workers: usize,
    busy: &Arc<Mutex<Seconds>>,
    others: Option<Others>,
) -> Result<Guards, String> {
    let (shared, of_all) = (Arc::clone(run), Arc::clone(busy));
    let work = move |worker: &mut Worker| work(worker, &shared, &of_all);
    let Some(others) = others else {
        return timely::execute(timely::Config::process(workers), work);
    };
    let hooks = Hooks::default();
    let inner = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
    let (builders, threads) =
        initialize_networking_from_sockets(inner, others.links, others.index, workers, hooks)
            .map_err(|error| error.to_string())?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    timely::execute::execute_from(builders, Box::new(threads), WorkerConfig::default(), work)
}

/// All of one worker's work.
fn work(worker: &mut Worker, run: &Arc<Run>, busy: &Mutex<Seconds>) {
    let _over = OverIfPanicking(run);
    let log = Busy::listen(worker, &run.observer);
    let dataflow = worker.next_dataflow_index();
    flow::build(worker, run);
    while worker.has_dataflows() {
        if run.is_over() {
            worker.drop_dataflow(dataflow);
            break;
        }
        worker.step_or_park(Some(PARK));
    }
    let mut of_all = busy.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, time) in log.take() {
        *of_all.entry(name).or_default() += time.as_secs_f64();
    }
    drop(of_all);
    run.fate.worker_done();
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
pub(super) fn staged_files(
    plan: &Plan,
    notes: Vec<Note>,
    outcome: &mut Outcome,
) -> Vec<StagedFile> {
    outcome.outputs = plan
        .sinks
        .iter()
        .map(|sink| OutputSummary {
            sink: sink.name.clone(),
            path: match &sink.to {
                SinkTo::Files { path, .. } => plan.output.join(path).display().to_string(),
                SinkTo::Stdout => "standard output".to_owned(),
                SinkTo::Kafka(kafka) => {
                    format!(
                        "{} at {}",
                        kafka.topic, plan.clusters[kafka.cluster].brokers
                    )
                }
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
                checksum,
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
                    checksum: Some(checksum),
                });
            }
            Note::Kept { path, rows, bytes } => staged.push(StagedFile {
                sink: QUARANTINE.to_owned(),
                path,
                rows,
                bytes,
                checksum: None,
            }),
            Note::History { path, rows, bytes } => staged.push(StagedFile {
                sink: VERDICTS.to_owned(),
                path,
                rows,
                bytes,
                checksum: None,
            }),
            Note::Printed { sink, rows } => outcome.outputs[sink].rows += rows,
            Note::Sent { sink, rows, bytes } => {
                outcome.outputs[sink].rows += rows;
                outcome.outputs[sink].bytes += bytes;
            }
            Note::Rows { .. }
            | Note::Epochs { .. }
            | Note::Duplicates { .. }
            | Note::Late { .. }
            | Note::Verdicts { .. }
            | Note::Bad(_)
            | Note::State(_) => {}
        }
    }
    staged
}

/// What the manifest says of the run.
fn summary(outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "in": outcome.rows_in, "replayed": outcome.replayed, "clean": outcome.clean, "refused": outcome.refused, "dropped": outcome.dropped,
        "refused_by_reason": outcome.refused_by_reason, "verdicts": outcome.verdicts,
    })
}
