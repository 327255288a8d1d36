//! A continuous job in a folder, processes that run it, and what its folders say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use caudal::epoch::{History, look_at_journal};
use caudal::job::plan::StatePlace;
use caudal::sinks::chain;

use super::{BINARY, Result};

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// The job file, and what its variables are.
pub(crate) struct Job {
    root: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// What a job has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) epoch: u64,
    /// The offsets that it is read up to, of all partitions together.
    pub(crate) rows: i64,
}

impl Job {
    /// Writes its file into a new folder.
    pub(crate) fn new(
        root: &Path,
        text: &str,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        fs::create_dir_all(root)?;
        fs::write(root.join("job.toml"), text)?;
        Ok(Self {
            root: root.to_path_buf(),
            variables,
        })
    }

    /// Something in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A command of the program on it.
    pub(crate) fn caudal(&self, command: &str) -> Command {
        let mut caudal = Command::new(BINARY);
        caudal.arg(command).arg(self.path("job.toml"));
        caudal.env("BENCH_ROOT", &self.root);
        caudal.envs(self.variables.iter().map(|(name, value)| (name, value)));
        caudal
    }

    /// What its journal says; compaction may be about to take away what is read, so it is asked again.
    pub(crate) fn history(&self) -> Result<History> {
        let state = StatePlace::Folder(self.path("state"));
        let mut tries = 0;
        loop {
            match look_at_journal(&state, Arc::new(|| false)) {
                Ok(history) => return Ok(history),
                Err(error) if tries == 20 => return Err(error.into()),
                Err(_) => tries += 1,
            }
            thread::sleep(LOOK);
        }
    }

    /// What is visible.
    pub(crate) fn committed(&self) -> Result<Option<Committed>> {
        let newest = chain::newest(&self.path("out"))?;
        let Some(epoch) = newest.and_then(|manifest| manifest.to) else {
            return Ok(None);
        };
        let history = self.history()?;
        let mut checkpoints = history.checkpoints.iter();
        let checkpoint = checkpoints.find(|checkpoint| checkpoint.epoch == epoch);
        Ok(checkpoint.map(|checkpoint| Committed {
            epoch,
            rows: checkpoint.partitions.iter().map(|moved| moved.to).sum(),
        }))
    }

    /// Waits until at least so many rows are visible.
    pub(crate) fn await_rows(&self, rows: i64, patience: Duration) -> Result<Committed> {
        self.await_that("rows are not committed", patience, || {
            Ok(self.committed()?.filter(|committed| committed.rows >= rows))
        })
    }

    /// Waits until so many messages are bound; they may not be committed for long.
    pub(crate) fn await_read(&self, messages: i64, patience: Duration) -> Result<()> {
        self.await_that("messages are not read", patience, || {
            let history = self.history()?;
            let mut at: BTreeMap<i32, i64> = BTreeMap::new();
            let checkpoint = history.checkpoints.first();
            let known = checkpoint
                .iter()
                .flat_map(|checkpoint| &checkpoint.partitions);
            let bound = history.bindings.iter().flat_map(|binding| &binding.moved);
            for moved in known.chain(bound) {
                let at = at.entry(moved.partition.partition).or_default();
                *at = moved.to.max(*at);
            }
            Ok((at.values().sum::<i64>() >= messages).then_some(()))
        })
    }

    /// Waits until something is found.
    pub(crate) fn await_that<T>(
        &self,
        what: &str,
        patience: Duration,
        find: impl Fn() -> Result<Option<T>>,
    ) -> Result<T> {
        let since = Instant::now();
        loop {
            if let Some(found) = find()? {
                return Ok(found);
            }
            if since.elapsed() > patience {
                let told = fs::read_to_string(self.path("told.log")).unwrap_or_default();
                return Err(format!("{what}; it told:\n{told}").into());
            }
            thread::sleep(LOOK);
        }
    }

    /// Starts it: `run -w 2`, `launch -n 2`.
    pub(crate) fn start(&self, words: &[&str]) -> Result<Running<'_>> {
        let told = File::options()
            .append(true)
            .create(true)
            .open(self.path("told.log"))?;
        let (command, options) = words.split_first().ok_or("no command")?;
        let child = self
            .caudal(command)
            .args(options)
            .arg("--quiet")
            .stdin(Stdio::null())
            .stdout(told.try_clone()?)
            .stderr(told)
            .spawn()?;
        Ok(Running {
            job: self,
            child: Some(child),
            is_launch: *command == "launch",
        })
    }
}

/// A job that runs; killed when dropped.
pub(crate) struct Running<'job> {
    job: &'job Job,
    child: Option<Child>,
    is_launch: bool,
}

impl Running<'_> {
    fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Its processes, without `launch`'s own.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        if !self.is_launch {
            return Ok(vec![self.id()]);
        }
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        let of_kernel = fs::read_to_string(children)?;
        let ids = of_kernel.split_whitespace().map(str::parse);
        Ok(ids.collect::<std::result::Result<_, _>>()?)
    }

    /// Resident memory of all of its processes, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let mut kib = 0;
        for process in self.processes()? {
            // One that has just ended holds nothing.
            kib += of_status(process, "VmRSS:").unwrap_or(0);
        }
        Ok(mib(kib))
    }

    /// The most that was resident of the one that has most, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let processes = self.processes()?.into_iter();
        let peak = processes.filter_map(|process| of_status(process, "VmHWM:"));
        Ok(mib(peak.max().unwrap_or(0)))
    }

    /// Bytes that a process has read by system calls since it began, from files and sockets.
    pub(crate) fn read_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for process in self.processes()? {
            let io = fs::read_to_string(format!("/proc/{process}/io"))?;
            let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
            bytes += read.ok_or("no rchar")?.parse::<u64>()?;
        }
        Ok(bytes)
    }

    /// Asks it to commit what it has and end, and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        let output = self.job.caudal("stop").output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let status = match self.child.take() {
            Some(mut child) => child.wait()?,
            None => return Ok(()),
        };
        if status.success() {
            Ok(())
        } else {
            let told = fs::read_to_string(self.job.path("told.log"))?;
            Err(format!("{status}: {told}").into())
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn of_status(process: u32, name: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}

/// Kills a process by SIGKILL.
pub(crate) fn kill(process: u32) -> Result<()> {
    let killed = Command::new("kill")
        .args(["-9", &process.to_string()])
        .status()?;
    if killed.success() {
        Ok(())
    } else {
        Err(format!("kill: {killed}").into())
    }
}

/// When each epoch was bound, as the journal has it, gathered before compaction takes it away.
#[derive(Default)]
pub(crate) struct Epochs(BTreeMap<u64, i64>);

impl Epochs {
    /// Takes in what the journal has now.
    pub(crate) fn look(&mut self, job: &Job) -> Result<()> {
        let history = job.history()?;
        self.0.extend(
            history
                .bindings
                .iter()
                .map(|binding| (binding.epoch, binding.now)),
        );
        Ok(())
    }

    /// Milliseconds from each epoch's binding to the next one's, with the second at which that was, behind `from`.
    pub(crate) fn times(&self, from: u64) -> Vec<(f64, f64)> {
        let bound: Vec<(u64, i64)> = self
            .0
            .range(from..)
            .map(|(epoch, now)| (*epoch, *now))
            .collect();
        let first = bound.first().map_or(0, |first| first.1);
        let next = bound.windows(2).filter(|two| two[0].0 + 1 == two[1].0);
        next.map(|two| {
            (
                millis(two[1].1 - first) / 1000.0,
                millis(two[1].1 - two[0].1),
            )
        })
        .collect()
    }
}

/// CPU seconds of all processes that have ended, and of those that they waited for.
pub(crate) fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no name in brackets")?.1;
    let mut ticks = 0;
    for field in fields.split_ascii_whitespace().skip(13).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(f64::from(ticks) / 100.0)
}

/// Microseconds in milliseconds.
pub(crate) fn millis(micros: i64) -> f64 {
    f64::from(i32::try_from(micros / 10).unwrap_or(i32::MAX)) / 100.0
}

/// The value below which a share of all lies; nought of none.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, hundredths: usize) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() * hundredths / 100).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or(0.0)
}

/// Bytes and number of all files below a folder.
pub(crate) fn size(folder: &Path) -> (u64, u32) {
    let (mut bytes, mut files) = (0, 0);
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // What the job takes away meanwhile is not counted.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => {
                    bytes += found.len();
                    files += 1;
                }
                Err(_) => {}
            }
        }
    }
    (bytes, files)
}
