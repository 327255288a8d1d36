//! The fault suite: a continuous job on a real Kafka, in real processes, which are killed, stopped, fenced, cut off, starved of room and
//! rescaled while rows come.
//!
//! What is held against a quiet run over the same topic, by independent readers (DuckDB over the folders that people read, a consumer of
//! the topics that are written): every row that was sent is clean or refused exactly once, windows and verdicts are equal, and topics
//! hold what folders do. A consumer that runs all the while sees no message twice, those of a key in their order, and none of a transaction
//! that did not come to its end: what it saw is what is there afterwards. `caudal verify` finds every epoch as it was written down.
//!
//!     cargo test --release --test faults                                     a short run
//!     CAUDAL_FAULTS=60 cargo test --release --test faults -- --nocapture      sixty faults, three brokers, every fail point
//!     CAUDAL_FAULTS_SEED=7 …                                                 the faults of a run again
//!     CAUDAL_FAULTS_RUN=FILE …                                               what was struck, and when rows flowed again, as JSON lines
//!
//! Which faults come is drawn from the seed, which is printed; when they come depends on the machine.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test may panic and print as a test may"
)]

#[path = "../it/kafka/broker.rs"]
#[expect(dead_code, reason = "this suite uses a part")]
mod broker;
mod disk;
mod draw;
#[path = "../it/stream/folder.rs"]
mod folder;
mod hosts;
mod job;
mod kinds;
#[path = "../it/kafka/messages.rs"]
#[expect(dead_code, reason = "this suite uses a part")]
mod messages;
mod points;
#[path = "../../src/cli/port.rs"]
mod port;
#[path = "../it/readers/python.rs"]
mod python;
mod relay;
mod report;
mod stream;
mod topics;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use broker::Broker;
use disk::Disk;
use draw::Draw;
use job::{Job, Launch};
use kinds::{Fault, KINDS, World};
use relay::Relay;
use report::Report;
use stream::Stream;
use topics::Watch;

/// Faults of a run that says nothing else, at most.
const FAULTS: u64 = 7;

/// After how long such a run strikes no more: it is one of many tests.
const SHORT: Duration = Duration::from_secs(11);

/// How long the job may take to commit after a fault: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Faults after which the job is started anew where none of them has: a launch counts lives that end soon one after another, and waits
/// longer each time.
const IN_A_ROW: u64 = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// What a run has to do with: a seed that is printed, an interpreter with DuckDB, brokers with relays before them.
struct Given {
    python: PathBuf,
    broker: Broker,
    relays: Vec<Relay>,
    seed: u64,
}

impl Given {
    /// `None`, and a word, where something can't be had here.
    fn start(nodes: u16) -> Option<Self> {
        let python = python::python("readers")?;
        let seed = number("CAUDAL_FAULTS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
        let relays = Relay::start_row(nodes);
        let relayed = relays[0].address.port().to_string();
        let broker = Broker::start(&["--nodes", &nodes.to_string(), "--relayed", &relayed])?;
        let first: SocketAddr = broker.addresses().split(',').next()?.parse().unwrap();
        for (relay, broker) in relays.iter().zip(0..) {
            // Behind the ports of clients and controllers.
            let port = first.port() + 2 * nodes + broker;
            relay.lead_to((Ipv4Addr::LOCALHOST, port).into());
        }
        Some(Self {
            python,
            broker,
            relays,
            seed,
        })
    }

    /// What the job is told of the brokers.
    fn relayed(&self) -> String {
        let addresses = self.relays.iter().map(|relay| relay.address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Ends what is sent and the job, runs another one over the topic, and holds both against each other.
    fn compare(&self, job: &Job, launch: Launch, stream: Stream, watch: Watch, topic: &str) -> i64 {
        let sent = stream.stop();
        job.await_positions(&sent, PATIENCE);
        launch.stop(job);
        watch.stop(&self.broker, &job.path("topics"));
        job.verify();
        let folder = tempfile::tempdir().unwrap();
        let quiet = folder.path().join("quiet");
        let quiet = Job::write(&quiet, self.broker.addresses(), topic);
        let launch = Launch::start(&quiet, (1, 1));
        quiet.await_positions(&sent, PATIENCE);
        launch.stop(&quiet);
        topics::write(&self.broker, quiet.own(), &quiet.path("topics"));
        quiet.verify();
        job::compare(&self.python, job, &quiet, &sent);
        sent.iter().sum()
    }
}

/// One run at a time: each needs the machine for itself.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_job_under_faults_commits_what_a_quiet_one_does() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = number("CAUDAL_FAULTS");
    let faults = asked.unwrap_or(FAULTS);
    let Some(given) = Given::start(if asked.is_some() { 3 } else { 1 }) else {
        return;
    };
    let (seed, began) = (given.seed, Instant::now());
    println!("CAUDAL_FAULTS={faults} CAUDAL_FAULTS_SEED={seed}");
    let mut report = Report::start(&json!({
        "run": "faults", "seed": seed, "brokers": given.relays.len(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "version": env!("CARGO_PKG_VERSION"), "debug_assertions": cfg!(debug_assertions),
    }));
    let mut draw = Draw(seed);
    let mut order = KINDS.to_vec();
    draw.shuffle(&mut order);
    if asked.is_none() {
        // What takes longest is for long runs, or is not begun when time is nearly over.
        order.retain(|kind| !kind.is_long());
        order.truncate(usize::try_from(FAULTS).unwrap());
        order.sort_by_key(|kind| *kind != Fault::KillBroker);
    }
    let topic = given.broker.topic("ventas", 3);
    let stream = Stream::start(&given.broker, &topic);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("faulty");
    let disks = ["out", "state"].map(|name| Disk::mount(&root.join(name)));
    let disks = match disks {
        [Some(out), Some(state)] => Some([out, state]),
        _ => None,
    };
    let job = Job::write(&root, &given.relayed(), &topic);
    let watch = Watch::start(&given.broker, job.own());
    let mut launch = Launch::start(&job, draw.shape());
    job.await_commit_after(None, PATIENCE);
    let mut world = World {
        job: &job,
        broker: &given.broker,
        relays: &given.relays,
        disks: disks.as_ref(),
        draw,
        marks: folder.path(),
        faults: 0,
    };
    let mut in_a_row = 0;
    let first = Instant::now();
    for fault in 0..faults {
        if asked.is_none() && first.elapsed() > SHORT {
            break;
        }
        // Each kind once, then as they are drawn.
        let drawn = order.get(usize::try_from(fault).unwrap()).copied();
        let kind = drawn.unwrap_or_else(|| world.draw.of(&KINDS));
        std::thread::sleep(Duration::from_millis(world.draw.next(500)));
        report.strikes(fault, kind);
        job.change_regions(fault + 1);
        let since = Instant::now();
        let struck = world.strike(kind, launch);
        launch = struck.launch;
        // What was on its way when it struck does not count.
        let before = job.committed();
        job.await_commit_after(before, PATIENCE);
        watch.check();
        let until_rows = struck.until_rows.unwrap_or_else(|| struck.over.elapsed());
        let of_all = since.elapsed();
        report.fault(&struck.detail, of_all, until_rows);
        // After any of them the job must also go on with other numbers.
        in_a_row = if kind.starts_anew() { 0 } else { in_a_row + 1 };
        if in_a_row == IN_A_ROW {
            in_a_row = 0;
            launch.stop(&job);
            launch = Launch::start(&job, world.draw.shape());
        }
    }
    let sent = given.compare(&job, launch, stream, watch, &topic);
    report.end(sent, began.elapsed().as_secs_f64());
}

#[test]
fn a_job_that_ends_at_every_fail_point_commits_what_a_quiet_one_does() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if number("CAUDAL_FAULTS").is_none() {
        println!("skipped: it takes two minutes, and is a part of the long run (CAUDAL_FAULTS)");
        return;
    }
    let Some(given) = Given::start(1) else { return };
    println!("CAUDAL_FAULTS_SEED={}", given.seed);
    let topic = given.broker.topic("ventas", 3);
    let stream = Stream::start(&given.broker, &topic);
    let folder = tempfile::tempdir().unwrap();
    let job = Job::write(&folder.path().join("faulty"), &given.relayed(), &topic);
    let watch = Watch::start(&given.broker, job.own());
    let launch = points::visit(
        &job,
        folder.path(),
        &mut Draw(given.seed),
        (&given.relays, given.broker.addresses()),
    );
    given.compare(&job, launch, stream, watch, &topic);
}
