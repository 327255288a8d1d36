//! What is done to the job, and what it must have said meanwhile.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::broker::Broker;
use super::disk::Disk;
use super::draw::Draw;
use super::hosts::Hosts;
use super::job::{self, Job, Launch, TRANSACTION};
use super::relay::Relay;
use super::topics;

/// How long something is silent: longer than processes wait for each other and for an answer of a broker.
const SILENCE: Duration = Duration::from_millis(2500);

/// Longer than a transaction lives, and brokers rest between two looks for such.
const OUTLIVES: Duration = TRANSACTION.saturating_add(Duration::from_millis(1500));

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
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
    /// A process ends at a fail point.
    Die,
    /// A process stands still at a fail point, another launch takes over, and it goes on.
    Hold,
    /// All of the job stands still, one process within a transaction, while another launch takes over, for longer than transactions live;
    /// then the old ones go on.
    LateZombies,
    /// The only process stands still within a transaction for longer than transactions live, and goes on.
    Outlive,
    /// A broker is killed. One of three: others lead its partitions, and it is started again when rows flow. The only one: it is
    /// started again.
    KillBroker,
    /// The same with the broker that coordinates the transactions of a shard.
    KillCoordinator,
    /// Nothing comes from the brokers for longer than requests wait.
    CutBrokers,
    /// Everything to and from the brokers comes late.
    DelayBrokers,
    /// On several machines one is cut off from the others for longer than they wait.
    CutPeers,
    /// On several machines everything between them comes late.
    DelayPeers,
    /// The disk of the outputs is full.
    FullOutput,
    /// The disk of the state is full.
    FullState,
    /// The job is asked to end, and started with other numbers.
    Restart,
    /// The job goes on with other numbers while it runs.
    Rescale,
    /// The job is asked to end, and started with another number of shards of its topics.
    Reshard,
}

impl Fault {
    /// Whether another launch has the job afterwards.
    pub(crate) fn starts_anew(self) -> bool {
        !matches!(
            self,
            Self::KillOne
                | Self::KillAll
                | Self::PauseOne
                | Self::Die
                | Self::KillBroker
                | Self::KillCoordinator
                | Self::CutBrokers
                | Self::DelayBrokers
                | Self::FullOutput
                | Self::FullState
                | Self::Rescale
        )
    }

    /// Whether it takes longer than a short run has.
    pub(crate) fn is_long(self) -> bool {
        matches!(self, Self::LateZombies | Self::Outlive)
    }
}

/// Each once.
pub(crate) const KINDS: [Fault; 20] = [
    Fault::KillOne,
    Fault::KillAll,
    Fault::KillLaunch,
    Fault::PauseOne,
    Fault::Zombies,
    Fault::Die,
    Fault::Hold,
    Fault::LateZombies,
    Fault::Outlive,
    Fault::KillBroker,
    Fault::KillCoordinator,
    Fault::CutBrokers,
    Fault::DelayBrokers,
    Fault::CutPeers,
    Fault::DelayPeers,
    Fault::FullOutput,
    Fault::FullState,
    Fault::Restart,
    Fault::Rescale,
    Fault::Reshard,
];

/// Points that a process may come to once only.
const ONCE: &[&str] = &[
    "claim",
    "begin what was claimed",
    "choose a checkpoint",
    "look at topics",
    "read state",
    "fence a shard",
    "read progress",
];

/// Points within a transaction of a shard, or around it.
const OF_TRANSACTIONS: [&str; 5] = [
    "begin a transaction",
    "send messages",
    "send progress",
    "commit a transaction",
    "go on behind a transaction",
];

/// Points that a job with a checkpoint comes to whenever it is started and commits.
const COMMON: &[&str] = &[
    "claim",
    "begin what was claimed",
    "choose a checkpoint",
    "look at topics",
    "read state",
    "fence a shard",
    "read progress",
    "open an epoch",
    "answer for an epoch",
    "tell of a bound epoch",
    "write down bindings",
    "go on behind bindings",
    "begin a transaction",
    "send messages",
    "send progress",
    "commit a transaction",
    "go on behind a transaction",
    "seal a file",
    "tell of state",
    "write down a checkpoint",
    "go on behind a checkpoint",
    "name a file",
    "write a manifest",
    "put a manifest",
    "look for a fold",
    "show a file",
    "sync visible folders",
    "remove the staged folder",
    "compact",
    "raise the base",
    "delete below the base",
    "remove old state",
];

/// Those behind which an old life that wakes up could do harm.
const OF_COMMITS: &[&str] = &[
    "fence a shard",
    "read progress",
    "write down bindings",
    "begin a transaction",
    "send messages",
    "send progress",
    "commit a transaction",
    "go on behind a transaction",
    "seal a file",
    "write state",
    "write down a checkpoint",
    "go on behind a checkpoint",
    "name a file",
    "sync the name of a file",
    "write a manifest",
    "put a manifest",
    "look for a fold",
    "show a file",
    "sync visible folders",
    "remove the staged folder",
    "compact",
    "raise the base",
    "delete below the base",
    "remove old state",
];

/// Everything that faults are done to.
pub(crate) struct World<'a> {
    pub(crate) job: &'a Job,
    pub(crate) broker: &'a Broker,
    /// One before each broker.
    pub(crate) relays: &'a [Relay],
    /// Where outputs and state lie; none where none can be made full.
    pub(crate) disks: Option<&'a [Disk; 2]>,
    pub(crate) draw: Draw,
    /// A folder for marks of fail points.
    pub(crate) marks: &'a Path,
    pub(crate) faults: u64,
}

/// What a fault has left.
pub(crate) struct Struck {
    pub(crate) launch: Launch,
    /// What it was in detail.
    pub(crate) detail: String,
    /// From when on it could be better; nothing of what was struck is held any more.
    pub(crate) over: Instant,
    /// How long after that rows flowed, where that was seen already.
    pub(crate) until_rows: Option<Duration>,
}

impl World<'_> {
    /// Does it; `None` where it can't be done here.
    pub(crate) fn strike(&mut self, kind: Fault, mut launch: Launch) -> Struck {
        self.faults += 1;
        let mut detail = String::new();
        let mut over = Instant::now();
        let mut until_rows = None;
        let job = self.job;
        let launch = match kind {
            Fault::KillOne => {
                let processes = launch.processes();
                if !processes.is_empty() {
                    job::signal(self.draw.of(&processes), "KILL");
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
                if !processes.is_empty() {
                    let one = self.draw.of(&processes);
                    job::signal(one, "STOP");
                    std::thread::sleep(SILENCE);
                    job::signal(one, "CONT");
                    over = Instant::now();
                }
                launch
            }
            Fault::Zombies => {
                let mut old = launch.processes();
                old.push(launch.id());
                for one in &old {
                    job::signal(*one, "STOP");
                }
                self.take_over(launch, &old)
            }
            Fault::Die => {
                let point = self.draw.of(COMMON);
                let armed = format!("{point}:{}", self.nth(point));
                let shape = self.draw.shape();
                let (new, _) = self.restart_armed(launch, &armed, point, shape);
                over = Instant::now();
                detail = armed;
                new
            }
            Fault::Hold => {
                let point = self.draw.of(OF_COMMITS);
                // One that stands still before it has claimed the job would claim it when it goes on.
                let before_claim = match point {
                    "name a file" | "sync the name of a file" => 3,
                    _ => 0,
                };
                let nth = before_claim + self.nth(point);
                let armed = format!("{point}:{nth}:hold");
                let shape = self.draw.shape();
                let (old, held) = self.restart_armed(launch, &armed, point, shape);
                over = Instant::now();
                detail = armed;
                self.take_over(old, &[held])
            }
            Fault::LateZombies => {
                let (mut old, held, armed) = self.hold_transaction(launch, 2);
                let since = Instant::now();
                let mut all = old.processes();
                all.push(old.id());
                for one in &all {
                    job::signal(*one, "STOP");
                }
                all.push(held);
                let new = Launch::start(job, self.draw.shape());
                self.await_commit();
                std::thread::sleep(OUTLIVES.saturating_sub(since.elapsed()));
                for one in &all {
                    job::signal(*one, "CONT");
                }
                old.end_old();
                over = Instant::now();
                detail = armed;
                new
            }
            Fault::Outlive => {
                let (one, held, armed) = self.hold_transaction(launch, 1);
                std::thread::sleep(OUTLIVES);
                job::signal(held, "CONT");
                over = Instant::now();
                self.await_commit();
                until_rows = Some(over.elapsed());
                assert_eq!(one.processes(), [held], "{}", job.told());
                detail = armed;
                one
            }
            Fault::KillBroker | Fault::KillCoordinator => {
                let nodes = u64::try_from(self.relays.len()).unwrap();
                let node = if kind == Fault::KillBroker {
                    u32::try_from(1 + self.draw.next(nodes)).unwrap()
                } else {
                    topics::coordinator(self.broker, &format!("{}-0", job.own()))
                };
                self.broker.kill(node);
                detail = format!("{node} of {nodes}");
                if nodes > 1 {
                    self.await_commit();
                    until_rows = Some(over.elapsed());
                    self.broker.restart(node);
                } else {
                    std::thread::sleep(Duration::from_millis(200 + self.draw.next(800)));
                    self.broker.restart(node);
                    over = Instant::now();
                }
                launch
            }
            Fault::CutBrokers => {
                for relay in self.relays {
                    relay.cut(true);
                }
                // What was read before is committed meanwhile, and then no more.
                std::thread::sleep(SILENCE / 2);
                let before = job.committed();
                std::thread::sleep(SILENCE / 2);
                assert_eq!(job.committed(), before, "rows come through a cut network");
                for relay in self.relays {
                    relay.cut(false);
                }
                over = Instant::now();
                launch
            }
            Fault::DelayBrokers => {
                let by = Duration::from_millis(100 + self.draw.next(300));
                detail = format!("{} ms", by.as_millis());
                for relay in self.relays {
                    relay.delay(by);
                }
                self.await_commit();
                over = Instant::now();
                self.await_commit();
                until_rows = Some(over.elapsed());
                for relay in self.relays {
                    relay.delay(Duration::ZERO);
                }
                launch
            }
            Fault::CutPeers => {
                launch.stop(job);
                let shape = (2 + self.draw.next(2), 1);
                let mut hosts = Hosts::start(job, shape);
                self.await_commit();
                let cut = usize::try_from(self.draw.next(shape.0)).unwrap();
                detail = format!("{cut} of {}", shape.0);
                hosts.cut(cut, true);
                hosts.await_failure(PATIENCE);
                hosts.cut(cut, false);
                over = Instant::now();
                hosts.start_processes(job);
                self.await_commit();
                until_rows = Some(over.elapsed());
                hosts.stop(job);
                Launch::start(job, self.draw.shape())
            }
            Fault::DelayPeers => {
                launch.stop(job);
                let shape = (2 + self.draw.next(2), 1);
                let mut hosts = Hosts::start(job, shape);
                self.await_commit();
                let by = Duration::from_millis(50 + self.draw.next(100));
                detail = format!("{} ms among {}", by.as_millis(), shape.0);
                hosts.delay(by);
                self.await_commit();
                over = Instant::now();
                self.await_commit();
                until_rows = Some(over.elapsed());
                assert!(hosts.run(), "a delay has ended a process: {}", job.told());
                hosts.delay(Duration::ZERO);
                hosts.stop(job);
                Launch::start(job, self.draw.shape())
            }
            Fault::FullOutput | Fault::FullState => {
                let Some(disks) = self.disks else {
                    return Struck {
                        launch,
                        detail: "skipped".to_owned(),
                        over,
                        until_rows,
                    };
                };
                let disk = &disks[usize::from(kind == Fault::FullState)];
                let room = self.draw.next(16) * 4096;
                detail = format!("{} KiB left", room / 1024);
                let told = job.told_file().metadata().unwrap().len();
                disk.fill(room);
                // What is tidied up makes room, which goes as well.
                job.await_told_while(told, "disk full while", PATIENCE, || disk.fill(0));
                // It says what is full, ends by the world's exit code, and goes on when there is room again.
                job.await_told(told, "launch: a process ended with 3", PATIENCE);
                let words = job.await_told(told, "disk full while", PATIENCE);
                let place = disk.at().display().to_string();
                let line = words.lines().find(|line| line.contains("disk full while"));
                assert!(line.unwrap().contains(&place), "{words}");
                assert!(words.contains("hint: free space on this disk"), "{words}");
                disk.make_room();
                over = Instant::now();
                launch
            }
            Fault::Restart => {
                launch.stop(job);
                Launch::start(job, self.draw.shape())
            }
            Fault::Rescale => {
                let shape = self.draw.shape();
                detail = format!("-n {} -w {}", shape.0, shape.1);
                job.rescale(shape);
                launch.shape = shape;
                launch
            }
            Fault::Reshard => {
                launch.stop(job);
                let shards = 1 + self.draw.next(6);
                detail = format!("{shards} shards");
                job.change_shards(shards);
                Launch::start(job, self.draw.shape())
            }
        };
        Struck {
            launch,
            detail,
            over,
            until_rows,
        }
    }

    fn await_commit(&self) {
        let before = self.job.committed();
        self.job.await_commit_after(before, PATIENCE);
    }

    /// At which time a point that is drawn strikes.
    fn nth(&mut self, point: &str) -> u64 {
        if ONCE.contains(&point) {
            1
        } else {
            1 + self.draw.next(3)
        }
    }

    /// Starts the job again, with so many processes at most, so that one stands still within a transaction, or around it; gives its number,
    /// and where it stands.
    fn hold_transaction(&mut self, launch: Launch, processes: u64) -> (Launch, u32, String) {
        let point = self.draw.of(&OF_TRANSACTIONS);
        let armed = format!("{point}:{}:hold", self.nth(point));
        let shape = (1 + self.draw.next(processes), 1 + self.draw.next(2));
        let (launch, held) = self.restart_armed(launch, &armed, point, shape);
        (launch, held, armed)
    }

    /// Starts the job again so that a process strikes at a point, and waits until one has; gives its number.
    fn restart_armed(
        &mut self,
        launch: Launch,
        armed: &str,
        point: &str,
        shape: (u64, u64),
    ) -> (Launch, u32) {
        launch.stop(self.job);
        let marks = self.marks.join(self.faults.to_string());
        fs::create_dir(&marks).unwrap();
        let launch = Launch::start_armed(self.job, shape, Some((armed, &marks)));
        let process = self.job.await_file(&marks.join(point), PATIENCE);
        (launch, process.parse().unwrap())
    }

    /// Another launch takes over from one of which processes stand still; then these go on, and the old launch ends by itself.
    fn take_over(&mut self, mut old: Launch, held: &[u32]) -> Launch {
        let new = Launch::start(self.job, self.draw.shape());
        for one in held {
            job::signal(*one, "CONT");
        }
        // They find that they are fenced; the old launch must not begin another life against the new one.
        old.end_old();
        new
    }
}
