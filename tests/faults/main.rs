//! The fault suite: a continuous job on a real Kafka, in real processes, which are killed, stopped, fenced and rescaled while rows come.
//!
//! What is held against a quiet run over the same topic, by an independent reader (DuckDB over the folders that people read):
//! every row that was sent is clean or refused exactly once, windows and verdicts are equal.
//!
//!     cargo test --release --test faults                                     a short run
//!     CAUDAL_FAULTS=60 cargo test --release --test faults -- --nocapture      sixty faults
//!     CAUDAL_FAULTS_SEED=7 …                                                 the faults of a run again
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
#[path = "../it/stream/folder.rs"]
mod folder;
mod job;
#[path = "../it/readers/python.rs"]
mod python;
mod stream;

use std::time::{Duration, Instant};

use broker::Broker;
use job::{Job, Launch};
use stream::Stream;

/// Faults of a run that says nothing else: one of most kinds.
const FAULTS: u64 = 8;

/// How long the job may take to commit after a fault: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is done to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One process is killed; `launch` begins another life.
    KillOne,
    /// All processes are killed.
    KillAll,
    /// `launch` is killed, and started again.
    KillLaunch,
    /// One process stands still for longer than its peers wait.
    PauseOne,
    /// All of the job stands still, another launch takes over, and the old ones go on.
    Zombies,
    /// The broker is killed and started again.
    KillBroker,
    /// The job is asked to end, and started with other numbers.
    Restart,
    /// The job goes on with other numbers while it runs.
    Rescale,
}

const KINDS: [Fault; 8] = [
    Fault::KillOne,
    Fault::Rescale,
    Fault::KillAll,
    Fault::Zombies,
    Fault::KillLaunch,
    Fault::PauseOne,
    Fault::Restart,
    Fault::KillBroker,
];

/// A small generator of numbers (splitmix64), so that a seed gives the same faults everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    /// Numbers of processes and workers.
    fn shape(&mut self) -> (u64, u64) {
        (1 + self.next(3), 1 + self.next(2))
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

#[test]
fn a_job_under_faults_commits_what_a_quiet_one_does() {
    let Some(python) = python::python("readers") else {
        return;
    };
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let faults = number("CAUDAL_FAULTS").unwrap_or(FAULTS);
    let seed = number("CAUDAL_FAULTS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("CAUDAL_FAULTS={faults} CAUDAL_FAULTS_SEED={seed}");
    let mut draw = Draw(seed);
    let topic = broker.topic("ventas", 3);
    let stream = Stream::start(&broker, &topic);
    let folder = tempfile::tempdir().unwrap();
    let job = Job::write(&folder.path().join("faulty"), broker.addresses(), &topic);
    let mut launch = Launch::start(&job, draw.shape());
    let mut committed = job.await_commit_after(None, PATIENCE);
    for fault in 0..faults {
        // Each kind once, then as they are drawn.
        let kinds = u64::try_from(KINDS.len()).unwrap();
        let drawn = if fault < kinds {
            fault
        } else {
            draw.next(kinds)
        };
        let kind = KINDS[usize::try_from(drawn).unwrap()];
        std::thread::sleep(Duration::from_millis(draw.next(1500)));
        let since = Instant::now();
        launch = strike(kind, &job, launch, &broker, &mut draw);
        // What was on its way when it struck does not count.
        let struck = job.committed().max(Some(committed));
        committed = job.await_commit_after(struck, PATIENCE);
        println!(
            "{fault:>4} {kind:?}: committed up to {committed} {:.1} s after",
            since.elapsed().as_secs_f64()
        );
    }
    let sent = stream.stop();
    println!("{} rows were sent", sent.iter().sum::<i64>());
    job.await_positions(&sent, PATIENCE);
    launch.stop(&job);

    let quiet = Job::write(&folder.path().join("quiet"), broker.addresses(), &topic);
    let launch = Launch::start(&quiet, (1, 1));
    quiet.await_positions(&sent, PATIENCE);
    launch.stop(&quiet);
    job::compare(&python, &job, &quiet, &sent);
}

fn strike(kind: Fault, job: &Job, mut launch: Launch, broker: &Broker, draw: &mut Draw) -> Launch {
    match kind {
        Fault::KillOne => {
            let processes = launch.processes();
            if let Some(one) = pick(&processes, draw) {
                job::signal(one, "KILL");
            }
            launch
        }
        Fault::KillAll => {
            for one in launch.processes() {
                job::signal(one, "KILL");
            }
            launch
        }
        Fault::KillLaunch => {
            launch.kill();
            Launch::start(job, launch.shape)
        }
        Fault::PauseOne => {
            let processes = launch.processes();
            if let Some(one) = pick(&processes, draw) {
                job::signal(one, "STOP");
                // Longer than peer_timeout. Alone it just stands still.
                std::thread::sleep(Duration::from_secs(3));
                job::signal(one, "CONT");
            }
            launch
        }
        Fault::Zombies => {
            let mut old = launch.processes();
            old.push(launch.id());
            for one in &old {
                job::signal(*one, "STOP");
            }
            let new = Launch::start(job, draw.shape());
            job.await_generation_after(launch.generation, PATIENCE);
            for one in &old {
                job::signal(*one, "CONT");
            }
            // The old ones find that they are fenced; the old launch must not begin another life against the new one.
            launch.end_old();
            new
        }
        Fault::KillBroker => {
            broker.kill(1);
            std::thread::sleep(Duration::from_millis(500 + draw.next(2000)));
            broker.restart(1);
            launch
        }
        Fault::Restart => {
            launch.stop(job);
            Launch::start(job, draw.shape())
        }
        Fault::Rescale => {
            let shape = draw.shape();
            job.rescale(shape);
            launch.shape = shape;
            launch
        }
    }
}

fn pick(processes: &[u32], draw: &mut Draw) -> Option<u32> {
    let one = draw.next(u64::try_from(processes.len().max(1)).unwrap());
    processes.get(usize::try_from(one).unwrap()).copied()
}
