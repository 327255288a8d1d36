//! The lives of a history: processes that run its job while its files grow, and how each of them ends.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal::epoch::{self, look_at_journal};
use caudal::job::plan::StatePlace;

use super::draw::Draw;
use super::drawn::{History, SHOPS};
use crate::ended;

/// How long anything may take: many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long a fail point is waited for that may never be come to.
const STRIKES_WITHIN: Duration = Duration::from_millis(600);

/// Fail points of jobs over files.
const POINTS: &[&str] = &[
    "claim",
    "choose a checkpoint",
    "go on behind the plan",
    "read state",
    "open an epoch",
    "close an epoch",
    "answer for an epoch",
    "bind an epoch",
    "write down bindings",
    "go on behind bindings",
    "begin an interval",
    "seal files",
    "write state",
    "tell of state",
    "fold state",
    "write folded state",
    "use folded state",
    "commit",
    "write down a checkpoint",
    "go on behind a checkpoint",
    "write a manifest",
    "put a manifest",
    "show a file",
    "remove the staged folder",
    "compact",
    "remove old state",
    "write down the end",
];

/// What became of the processes.
pub(super) struct Lived {
    /// How each life was started and how it ended.
    pub(super) ends: Vec<String>,
}

/// How a life ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Killed, whatever it is doing.
    Killed,
    /// Killed as soon as an epoch holds all that has come.
    KilledBehind,
    /// At a fail point, at its so manieth time.
    At(&'static str, u64),
    /// As asked.
    Stopped,
}

/// Lives through a history in a folder; panics where a life ends otherwise than it should.
pub(super) fn live(history: &History, folder: &Path) -> Lived {
    let place = Place(folder.to_path_buf());
    let mut draw = Draw(history.seed);
    fs::create_dir_all(folder.join("in")).unwrap();
    fs::write(folder.join("shops.csv"), SHOPS).unwrap();
    let chunk = draw.of(&["", "chunk = \"64 B\"", "chunk = \"1 B\"\nepoch = \"300 B\""]);
    fs::write(
        folder.join("job.toml"),
        history.job().replace("CHUNK", chunk),
    )
    .unwrap();
    let mut ends = Vec::new();
    if history.is_bounded {
        history.slices.iter().for_each(|slice| place.append(slice));
        let mut command = place.command(shape(&mut draw), &mut ends);
        command.args(history.as_of().into_iter().flatten());
        let mut output = command.output().unwrap();
        // A port that was free may be taken before a process of a launch has it; nothing of the run is visible then.
        while output.status.code() == Some(3)
            && String::from_utf8_lossy(&output.stderr).contains("Address already in use")
        {
            output = command.output().unwrap();
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", folder.display());
        return Lived { ends };
    }
    let mut slices = history.slices.iter();
    let mut left = slices.len();
    while left > 0 {
        // The last life has the rest, and sees all of it.
        let is_last = draw.next(3) == 0;
        let slices_of_life = if is_last {
            left
        } else {
            usize::try_from(1 + draw.next(3)).unwrap().min(left)
        };
        left -= slices_of_life;
        let end = match draw.next(5) {
            _ if left == 0 => End::Stopped,
            0 => End::Killed,
            1 => End::KilledBehind,
            2 => End::Stopped,
            _ => End::At(draw.of(POINTS), draw.of(&[1, 1, 2, 3, 5])),
        };
        let mut command = place.command(shape(&mut draw), &mut ends);
        if let End::At(point, nth) = end {
            let marks = folder.join(format!("marks-{left}"));
            fs::create_dir(&marks).unwrap();
            command.env("CAUDAL_FAULT_AT", format!("{point}:{nth}"));
            command.env("CAUDAL_FAULT_MARKS", marks);
        }
        let mut life = Life::start(command, place.generation());
        let begun = Instant::now();
        for slice in slices.by_ref().take(slices_of_life) {
            place.append(slice);
            if draw.next(2) == 0 {
                place.await_bound(&mut life);
            }
        }
        let said = match end {
            End::Killed => {
                life.kill();
                "killed".to_owned()
            }
            End::KilledBehind => {
                place.await_bound(&mut life);
                life.kill();
                "killed behind an epoch".to_owned()
            }
            End::At(point, nth) => {
                let struck = life.await_end(STRIKES_WITHIN);
                life.kill();
                format!(
                    "at {point}:{nth}{}",
                    if struck { "" } else { ", not come to" }
                )
            }
            End::Stopped => {
                place.await_bound(&mut life);
                life.stop(folder);
                "stopped".to_owned()
            }
        };
        let took = begun.elapsed().as_millis();
        write!(ends.last_mut().unwrap(), ": {said} after {took} ms").unwrap();
    }
    Lived { ends }
}

/// How often something is looked at meanwhile: where all of it stood still for a while, that does not count.
fn looks(patience: Duration) -> u128 {
    patience.as_micros() / LOOK.as_micros()
}

/// Numbers of processes and workers: most have one process, which starts faster.
fn shape(draw: &mut Draw) -> (u64, u64) {
    if draw.next(6) == 0 {
        return draw.shape();
    }
    (1, 1 + draw.next(4))
}

struct Place(PathBuf);

impl Place {
    /// The program on the job, in so many processes and threads; says so in `ends`.
    fn command(&self, (processes, workers): (u64, u64), ends: &mut Vec<String>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
        if processes == 1 {
            command.arg("run");
        } else {
            command.args(["launch", "-n", &processes.to_string()]);
        }
        command
            .args(["job.toml", "--quiet", "-w", &workers.to_string()])
            .current_dir(&self.0)
            .env_remove("CAUDAL_TOKEN")
            .env_remove("CAUDAL_STATUS_TOKEN");
        ends.push(format!("{processes} x {workers}"));
        command
    }

    /// Lets each file grow by its lines.
    fn append(&self, slice: &[String]) {
        for (number, lines) in slice
            .iter()
            .enumerate()
            .filter(|(_, lines)| !lines.is_empty())
        {
            let path = self.0.join(format!("in/{number}.csv"));
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.unwrap().write_all(lines.as_bytes()).unwrap();
        }
    }

    /// Waits until an epoch holds all of the files, or the life has ended.
    fn await_bound(&self, life: &mut Life) {
        for _ in 0..looks(PATIENCE) {
            if self.is_bound(life.since) || life.has_ended() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        panic!("{}: rows are not read", self.0.display());
    }

    /// What the journal says; nothing where it is compacted just now.
    fn journal(&self) -> Option<epoch::History> {
        let state = StatePlace::Folder(self.0.join("out/_caudal/state"));
        look_at_journal(&state, Arc::new(|| false)).ok()
    }

    fn generation(&self) -> u64 {
        self.journal().map_or(0, |history| history.generation)
    }

    /// Whether a life after that one has claimed the job, and all is bound.
    fn is_bound(&self, after: u64) -> bool {
        let Some(history) = self.journal().filter(|history| history.generation > after) else {
            return false;
        };
        let checkpoint = history.checkpoints.first();
        let moved = checkpoint.map_or(&[][..], |checkpoint| &checkpoint.partitions);
        let moved: Vec<_> = moved
            .iter()
            .chain(history.bindings.iter().flat_map(|binding| &binding.moved))
            .collect();
        fs::read_dir(self.0.join("in")).unwrap().all(|file| {
            let file = file.unwrap();
            let size = i64::try_from(file.metadata().unwrap().len()).unwrap();
            let name = file.file_name();
            moved.iter().any(|moved| {
                moved.to == size && Path::new(&moved.partition.topic).file_name() == Some(&name)
            })
        })
    }
}

/// A running life, with all of its processes.
struct Life {
    child: Child,
    /// The generation before it.
    since: u64,
}

impl Life {
    fn start(mut command: Command, since: u64) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self {
            child: child.unwrap(),
            since,
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; gives whether it came.
    fn await_end(&mut self, patience: Duration) -> bool {
        for _ in 0..looks(patience) {
            if self.has_ended() {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    fn kill(mut self) {
        ended::kill(&mut self.child);
    }

    /// Asks it to commit what it has, and waits until it has.
    fn stop(mut self, folder: &Path) {
        let id = self.child.id().to_string();
        assert!(self.has_ended() || Command::new("kill").arg(id).status().unwrap().success());
        let has_ended = self.await_end(PATIENCE);
        if !has_ended {
            ended::kill(&mut self.child);
        }
        let output = ended::output(self.child);
        let told = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        assert!(
            has_ended && status.success(),
            "{}: {status} {:?}: {told}",
            folder.display(),
            status.signal()
        );
    }
}
