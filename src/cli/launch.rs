//! `caudal launch`: all processes of a run on this machine, started and watched as one.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use super::arguments::LaunchTyped;
use super::convert::{CLUSTER_TOKEN, token};
use super::port::Port;
use super::stop::{FAILED, FINE, INTERRUPTED, Stop, WORLD, WRONG_WORDS};
use super::{load, panic, print, signals};
use crate::epoch::{IsOver, look_at_journal};
use crate::job::plan::Continuous;

/// The variable by which a process knows that it was launched, and by which launch: it ends when its standard input closes.
pub(crate) const LAUNCHED: &str = "CAUDAL_LAUNCHED";

/// The allocator's switch for huge pages. Several processes on one machine each touch as much memory as one does, and the
/// system's clearing it two megabytes at a time took a third of the CPU time of eight; without, they need a fifth less.
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

/// How long a launch waits for the journal before its first life, which tells what is wrong with it.
const CLAIM_PATIENCE: Duration = Duration::from_secs(2);

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long the others may take to end by themselves after one has failed. They notice within two seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit codes from worst to best: the worst of all processes is that of the launch.
const WORST_FIRST: [u8; 6] = [
    panic::EXIT_CODE,
    WORLD,
    WRONG_WORDS,
    INTERRUPTED,
    FAILED,
    FINE,
];

/// How long the others may take to end by themselves once one of a continuous job has: they notice at once, and the job stands still.
const QUICK: Duration = Duration::from_millis(2500);

/// A life that lasted this long was none of a crash loop.
const LASTED: Duration = Duration::from_mins(1);

/// Lives that end one after another within [`LASTED`] at which a crash loop is told.
const LOOP: u32 = 5;

/// The longest pause before another life.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Starts `-n` processes of a run, prefixes what they tell with their index, passes signals on, and gives the worst exit code.
///
/// A bounded run has one life. A continuous job has another one when a process of it has ended by a failure of the world or a bug,
/// and when it was asked for other numbers of processes and workers.
///
/// # Errors
/// Where the processes can't be started.
pub(super) fn launch(typed: &LaunchTyped) -> Result<u8, Stop> {
    // What is wrong with the job is told by the processes, in their own way.
    let plan = load::job(&typed.job).ok();
    let continuous = plan.as_ref().and_then(|plan| plan.continuous.as_ref());
    let asked = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&asked);
    signals::hear(move || {
        heard.fetch_add(1, Ordering::AcqRel);
    })?;
    let token = match token(CLUSTER_TOKEN)? {
        Some(token) => token,
        None => random_token().map_err(Stop::Launch)?,
    };
    let id = random_token().map_err(Stop::Launch)?;
    // A life that ends before it has claimed the job leaves the claim that stood there before.
    let before = continuous.and_then(|continuous| newest_claim(continuous, within(CLAIM_PATIENCE)));
    let mut shape = (typed.processes, typed.workers);
    let mut failures = 0;
    loop {
        let since = Instant::now();
        let patience = if continuous.is_some() {
            QUICK
        } else {
            PATIENCE
        };
        let code = live(typed, shape, (&token, &id), &asked, patience)?;
        let Some(continuous) = continuous else {
            return Ok(code);
        };
        if code == FINE
            && asked.load(Ordering::Acquire) == 0
            && let Some(next) = rescaled(continuous, &asked)?
        {
            print::to_people(&format!(
                "launch: the job goes on with {} processes of {} workers",
                next.0, next.1
            ));
            shape = next;
            continue;
        }
        if !matches!(code, WORLD | panic::EXIT_CODE) || asked.load(Ordering::Acquire) > 0 {
            return Ok(code);
        }
        let newest = newest_claim(continuous, until(&asked));
        if newest.is_some_and(|newest| !newest.starts_with(&id) && Some(newest) != before) {
            print::failure("launch: the job belongs to another launch; this one ends");
            return Ok(code);
        }
        let lived = since.elapsed();
        failures = if lived < LASTED { failures + 1 } else { 1 };
        let pause = pause(failures);
        print::failure(&format!(
            "launch: a process ended with {code}; the job lived {:.1} s and goes on in {:.1} s{}",
            lived.as_secs_f64(),
            pause.as_secs_f64(),
            if failures >= LOOP {
                format!(
                    "\n  crash loop: {failures} lives in a row ended within {} s",
                    LASTED.as_secs()
                )
            } else {
                String::new()
            }
        ));
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if asked.load(Ordering::Acquire) > 0 {
                return Ok(code);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The pause before another life after so many failures in a row: none before the first, then twice as long each time.
fn pause(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(2));
    match failures {
        0 | 1 => Duration::ZERO,
        _ => (Duration::from_millis(250) * doubled.min(1 << 10)).min(LONGEST_PAUSE),
    }
}

/// By what the newest life of the job is known; what can't be read is told by the next life.
fn newest_claim(continuous: &Continuous, is_over: IsOver) -> Option<String> {
    let history = look_at_journal(&continuous.state, is_over).ok()?;
    history.claim.map(|claim| claim.nonce)
}

/// Processes and workers that the job was asked to go on with, if it was.
fn rescaled(continuous: &Continuous, asked: &Arc<AtomicUsize>) -> Result<Option<(u16, u16)>, Stop> {
    let history = look_at_journal(&continuous.state, until(asked))
        .map_err(|error| Stop::Run(error.into()))?;
    let next = history.drained.and_then(|drained| {
        let processes = u16::try_from(drained.processes).ok()?;
        Some((processes, u16::try_from(drained.workers).ok()?))
    });
    Ok(next.filter(|next| next.0 > 0 && next.1 > 0))
}

/// A state that does not answer is waited for until an end is asked for.
fn until(asked: &Arc<AtomicUsize>) -> IsOver {
    let asked = Arc::clone(asked);
    Arc::new(move || asked.load(Ordering::Acquire) > 0)
}

/// A state that does not answer is waited for so long.
pub(super) fn within(patience: Duration) -> IsOver {
    let since = Instant::now();
    Arc::new(move || since.elapsed() > patience)
}

/// One life: all processes from their start to the end of the last; gives the worst exit code.
fn live(
    typed: &LaunchTyped,
    shape: (u16, u16),
    (token, id): (&str, &str),
    asked: &AtomicUsize,
    patience: Duration,
) -> Result<u8, Stop> {
    let hosts = Hosts::write(usize::from(shape.0)).map_err(Stop::Launch)?;
    let mut processes = Vec::new();
    for index in 0..shape.0 {
        match Process::start(typed, shape, index, &hosts.file, (token, id)) {
            Ok(process) => processes.push(process),
            Err(error) => {
                end_all(&mut processes, Signal::TERM);
                for process in processes {
                    process.end();
                }
                return Err(Stop::Launch(error));
            }
        }
    }
    watch(&mut processes, asked, patience).map_err(Stop::Launch)?;
    let codes: Vec<u8> = processes.into_iter().map(Process::end).collect();
    Ok(worst(&codes))
}

/// Waits until all have ended. Passes signals on; once one has failed, ends those that do not end by themselves.
fn watch(processes: &mut [Process], asked: &AtomicUsize, patience: Duration) -> io::Result<()> {
    let mut passed_on = 0;
    let mut failed: Option<Instant> = None;
    loop {
        let mut running = 0;
        for process in processes.iter_mut() {
            match process.look()? {
                None => running += 1,
                Some(status) if !status.success() => {
                    failed.get_or_insert_with(Instant::now);
                }
                Some(_) => {}
            }
        }
        if running == 0 {
            return Ok(());
        }
        while passed_on < asked.load(Ordering::Acquire) {
            passed_on += 1;
            end_all(processes, Signal::TERM);
        }
        if let Some(since) = failed {
            // Those of a continuous job that hang are ended at once: nothing that they could still do is lost.
            let is_over = since.elapsed() > patience;
            if since.elapsed() > PATIENCE * 6 || is_over && patience < PATIENCE {
                end_all(processes, Signal::KILL);
            } else if is_over && passed_on == 0 {
                passed_on += 1;
                end_all(processes, Signal::TERM);
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// The worst of some exit codes; one that is none of ours is a failure of the world.
fn worst(codes: &[u8]) -> u8 {
    let rank = |code: u8| {
        let code = if WORST_FIRST.contains(&code) {
            code
        } else {
            WORLD
        };
        WORST_FIRST.iter().position(|known| *known == code)
    };
    codes
        .iter()
        .copied()
        .min_by_key(|code| rank(*code))
        .map_or(FINE, |code| {
            if WORST_FIRST.contains(&code) {
                code
            } else {
                WORLD
            }
        })
}

/// A secret for this run alone, which other users of this machine do not know.
fn random_token() -> io::Result<String> {
    use std::fmt::Write;
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::new(), |mut token, byte| {
        write!(token, "{byte:02x}").expect("a String takes everything");
        token
    }))
}

/// A host file of free ports of this machine, for as long as the run lasts.
struct Hosts {
    folder: PathBuf,
    file: PathBuf,
    /// Nobody else is given one between its choice and the start of its process.
    _ports: Vec<Port>,
}

impl Hosts {
    fn write(processes: usize) -> io::Result<Self> {
        let ports: Vec<Port> = (0..processes)
            .map(|_| Port::hold())
            .collect::<io::Result<_>>()?;
        let addresses: Vec<String> = ports.iter().map(|port| port.at.to_string()).collect();
        let folder = std::env::temp_dir().join(format!("caudal-launch-{}", random_token()?));
        fs::create_dir(&folder)?;
        let hosts = Self {
            file: folder.join("hosts"),
            folder,
            _ports: ports,
        };
        fs::write(&hosts.file, addresses.join("\n"))?;
        Ok(hosts)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // What can't be removed from the folder of temporary files does no harm there.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// One process of the run.
struct Process {
    child: Child,
    status: Option<ExitStatus>,
    teller: JoinHandle<()>,
}

impl Process {
    fn start(
        typed: &LaunchTyped,
        (processes, workers): (u16, u16),
        index: u16,
        hosts: &Path,
        (token, id): (&str, &str),
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg(&typed.job);
        for (flag, number) in [("-n", processes), ("-p", index), ("-w", workers)] {
            command.args([flag, &number.to_string()]);
        }
        command.arg("-h").arg(hosts);
        if let Some(as_of) = &typed.as_of {
            command.args(["--as-of", as_of]);
        }
        if let Some(limit) = typed.limit {
            command.args(["--limit", &limit.to_string()]);
        }
        if let Some(status) = &typed.status {
            command.args(["--status", &own_port(status, index)]);
        }
        if let Some(log) = typed.log.and_then(|log| log.to_possible_value()) {
            command.args(["--log", log.get_name()]);
        }
        for (flag, given) in [
            ("--json", typed.json),
            ("--quiet", typed.quiet),
            ("--replay", typed.replay),
        ] {
            if given {
                command.arg(flag);
            }
        }
        if std::env::var_os(HUGE_PAGES).is_none() {
            command.env(HUGE_PAGES, "0");
        }
        // In a process group of its own, so that Ctrl-C reaches it once: through the launch.
        let mut child = command
            .env(LAUNCHED, id)
            .env(CLUSTER_TOKEN, token)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let told = child.stderr.take().expect("it was asked for");
        let teller = std::thread::Builder::new()
            .name(format!("tell-{index}"))
            .spawn(move || {
                for line in BufReader::new(told).split(b'\n').map_while(Result::ok) {
                    print::to_people(&format!("[{index}] {}", String::from_utf8_lossy(&line)));
                }
            })?;
        Ok(Self {
            child,
            status: None,
            teller,
        })
    }

    fn look(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for the end of the process and of what it told; gives its exit code, 3 where a signal ended it.
    fn end(mut self) -> u8 {
        let status = match self.status {
            Some(status) => Ok(status),
            None => self.child.wait(),
        };
        // A teller that panicked has told what it could.
        drop(self.teller.join());
        match status {
            Ok(status) if status.signal().is_some() => WORLD,
            Ok(status) => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(WORLD),
            Err(_) => WORLD,
        }
    }
}

/// An address with the port of this process: the first one plus its index. What is no address is left to it to tell.
fn own_port(address: &str, index: u16) -> String {
    match address.parse::<SocketAddr>() {
        Ok(mut own) if own.port() > 0 => {
            own.set_port(own.port().saturating_add(index));
            own.to_string()
        }
        _ => address.to_owned(),
    }
}

/// Sends a signal to those that run still.
fn end_all(processes: &mut [Process], signal: Signal) {
    for process in processes
        .iter_mut()
        .filter(|process| process.status.is_none())
    {
        let id = i32::try_from(process.child.id())
            .ok()
            .and_then(Pid::from_raw);
        // One that has just ended by itself can't be reached, and need not be.
        id.map(|id| kill_process(id, signal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_code_counts() {
        for (codes, expected) in [
            (&[0, 0][..], 0),
            (&[0, 1], 1),
            (&[1, 130], 130),
            (&[130, 2], 2),
            (&[2, 3, 0], 3),
            (&[3, 101, 130], 101),
            (&[0, 77], 3),
            (&[], 0),
        ] {
            assert_eq!(worst(codes), expected, "{codes:?}");
        }
    }

    #[test]
    fn each_process_shows_its_status_at_a_port_of_its_own() {
        assert_eq!(own_port("127.0.0.1:9100", 3), "127.0.0.1:9103");
        assert_eq!(own_port("127.0.0.1:0", 3), "127.0.0.1:0");
        assert_eq!(own_port("nowhere", 3), "nowhere");
    }

    #[test]
    fn a_port_is_held_for_its_process_alone() {
        let port = Port::hold().unwrap();
        let at = port.at;
        let stranger = || {
            let flags = rustix::net::SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                flags,
                None,
            );
            rustix::net::bind(socket.unwrap(), &at)
        };
        assert!(stranger().is_err());
        let listener = std::net::TcpListener::bind(at).unwrap();
        std::net::TcpStream::connect(at).unwrap();
        listener.accept().unwrap();
        drop(listener);
        assert!(stranger().is_err());
        // Held still, and another process may listen.
        std::net::TcpListener::bind(at).unwrap();
        drop(port);
    }

    #[test]
    fn tokens_differ() {
        let token = random_token().unwrap();
        assert_eq!(token.len(), 32);
        assert_ne!(token, random_token().unwrap());
    }
}
