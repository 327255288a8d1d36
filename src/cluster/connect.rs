//! Processes find each other: sockets between all of them, each side sure of whom it speaks to.
//!
//! Process i listens at its own address and dials every j < i, for rows; and process 0 for control. The dialler says what it is
//! ([`Hello`]) and the listener judges: of the same job, plan, program, numbers of processes and workers, with the same
//! token, and not there already. What does not belong is refused by name, told on both sides, and does no harm to those who wait.
//!
//! The token is a shared secret that travels as it is; timely's sockets are not encrypted either. Bind to a private interface.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::frame::{self, Answer, Hello, MAGIC, Purpose};
use super::hosts::resolve;
use super::{Cluster, Interrupt, RunError, RunOptions, spawn};
use crate::cluster::exchange;
use crate::job::plan::Plan;
use crate::record;

/// How long a connection may take to say what it is. Scanners that say nothing are let go then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that may be about to say what they are; more are closed at once.
const MOST_STRANGERS: usize = 64;

/// Pause between two tries to reach a process that does not listen yet.
const REDIAL: Duration = Duration::from_millis(50);

/// How often those that are missing are named.
const NAME_MISSING: Duration = Duration::from_secs(5);

/// Connections refused by name; later ones are refused in silence, so that a scanner can't fill the log.
const TOLD_STRANGERS: usize = 20;

/// Characters shown of what others say.
const MOST_SHOWN: usize = 300;

/// What joining gives.
pub(super) struct Joined {
    /// For rows, by the index of the other process; `None` for this one.
    pub(super) rows: Vec<Option<TcpStream>>,
    /// For control, with the index of the other process.
    pub(super) control: Vec<(usize, TcpStream)>,
}

/// Why processes did not come together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// This process can't listen at its address.
    #[error(
        "process {process}: {address} can't be listened at\n  expected: an address of this machine with a free port\n  now: the run ends; nothing of it is visible\n  hint: line {} of the host file is this process's own address; see what else uses the port", process + 1
    )]
    Listen {
        /// This process.
        process: usize,
        /// Its address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Another process did not want this one.
    #[error(
        "process {peer} ({address}) refused this process {process}: {words}\n  now: the run ends; nothing of it is visible"
    )]
    Refused {
        /// This process.
        process: usize,
        /// The other.
        peer: usize,
        /// Its address.
        address: String,
        /// Why.
        words: String,
    },
    /// Some did not come in time.
    #[error(
        "waited {} s for {missing}\n  now: the run ends; nothing of it is visible\n  hint: start every process of 0 to n-1 with the same job file and host file; join_timeout under [job] waits longer", waited.as_secs_f64()
    )]
    Missing {
        /// Them, and what was last heard of each.
        missing: String,
        /// For how long.
        waited: Duration,
    },
    /// The operating system did not answer as it should.
    #[error("process {process}: {action} failed\n  now: the run ends; nothing of it is visible")]
    Io {
        /// This process.
        process: usize,
        /// What.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl JoinError {
    /// That an action of this process failed, for `map_err`.
    pub(super) fn io(process: usize, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            process,
            action,
            source,
        }
    }
}

/// What threads tell the one that waits.
enum Event {
    /// Someone connected and said what it is.
    Came(TcpStream, SocketAddr, Hello),
    /// Someone connected and is none of us.
    Stranger(SocketAddr, String),
    /// A process we dialled took us.
    Reached(usize, Purpose, TcpStream),
    /// A process we dialled refused us.
    Refused(usize, String),
    /// A process we dialled could not be reached, this time.
    Unreached(usize, String),
}

/// Connects this process with all others, or says why not.
pub(super) fn join(
    plan: &Plan,
    options: &RunOptions,
    cluster: &Cluster,
) -> Result<Joined, RunError> {
    let io = |action| JoinError::io(cluster.index, action);
    let hello = Hello {
        purpose: Purpose::Rows,
        job: plan.name.clone(),
        plan: exchange::hash_bytes(plan.text.as_bytes()),
        build: build().map_err(io("reading the program"))?,
        processes: cluster.addresses.len(),
        workers: options.workers,
        index: cluster.index,
        token: cluster.token.clone(),
    };
    let listener = listen(cluster)?;
    let (sender, events) = mpsc::channel();
    for peer in 0..cluster.index {
        dial(cluster, peer, &hello, Purpose::Rows, &sender).map_err(io("starting a thread"))?;
    }
    if cluster.index > 0 {
        dial(cluster, 0, &hello, Purpose::Control, &sender).map_err(io("starting a thread"))?;
    }
    Waiting {
        cluster,
        interrupt: &options.interrupt,
        tell: options.tell,
        hello,
        here: BTreeMap::new(),
        heard: BTreeMap::new(),
        strangers: 0,
    }
    .wait(&listener, &sender, &events, plan.join_timeout)
}

/// Hash of this program's bytes: peers must be the same to the bit, since they exchange memory as it lies.
fn build() -> io::Result<u64> {
    let mut file = std::fs::File::open(std::env::current_exe()?)?;
    let mut block = vec![0; 1 << 20];
    let mut hash = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hash);
        }
        for word in block[..read].chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            hash = exchange::mix(hash ^ u64::from_le_bytes(bytes));
        }
    }
}

fn listen(cluster: &Cluster) -> Result<TcpListener, JoinError> {
    let address = &cluster.addresses[cluster.index];
    let listening = resolve(address)
        .and_then(|addresses| TcpListener::bind(addresses.as_slice()))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listening.map_err(|source| JoinError::Listen {
        process: cluster.index,
        address: address.clone(),
        source,
    })
}

/// Dials a process until it answers, on a thread that ends with the answer or when nobody waits for it any more.
fn dial(
    cluster: &Cluster,
    peer: usize,
    hello: &Hello,
    purpose: Purpose,
    to: &Sender<Event>,
) -> io::Result<()> {
    let address = cluster.addresses[peer].clone();
    let hello = Hello {
        purpose,
        ..hello.clone()
    };
    let to = to.clone();
    let work = move || {
        loop {
            let event = match try_dial(&address, &hello) {
                Ok((stream, Answer::Welcome)) => Event::Reached(peer, purpose, stream),
                Ok((_, Answer::Refused(words))) => Event::Refused(peer, words),
                Err(error) => Event::Unreached(peer, error.to_string()),
            };
            let again = matches!(event, Event::Unreached(..));
            if to.send(event).is_err() || !again {
                return;
            }
            std::thread::sleep(REDIAL);
        }
    };
    spawn(format!("dial-{peer}"), work)
}

fn try_dial(address: &str, hello: &Hello) -> io::Result<(TcpStream, Answer)> {
    let mut last = io::Error::other("the name stands for no address");
    for address in resolve(address)? {
        match TcpStream::connect_timeout(&address, HELLO_TIMEOUT) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(HELLO_TIMEOUT))?;
                stream.set_write_timeout(Some(HELLO_TIMEOUT))?;
                stream.write_all(&MAGIC)?;
                frame::write(&mut stream, hello)?;
                let answer = frame::read(&mut stream)?;
                return Ok((stream, answer));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Hears what a connection says of itself, on a thread of its own.
fn hear(
    stream: TcpStream,
    from: SocketAddr,
    to: &Sender<Event>,
    strangers: &Arc<AtomicUsize>,
) -> io::Result<()> {
    if strangers.fetch_add(1, Ordering::AcqRel) >= MOST_STRANGERS {
        strangers.fetch_sub(1, Ordering::AcqRel);
        return Ok(());
    }
    let (to, strangers) = (to.clone(), Arc::clone(strangers));
    let work = move || {
        let event = match introduce(stream) {
            Ok((stream, hello)) => Event::Came(stream, from, hello),
            Err(words) => Event::Stranger(from, words),
        };
        strangers.fetch_sub(1, Ordering::AcqRel);
        // Nobody waits any more where the processes are together already.
        drop(to.send(event));
    };
    spawn("hello".to_owned(), work)
}

/// A stream that is read until a moment, however slowly its bytes drip.
struct Hurried<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Read for Hurried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

fn introduce(stream: TcpStream) -> Result<(TcpStream, Hello), String> {
    let silent = |error: io::Error| format!("it did not say what it is: {error}");
    stream.set_nonblocking(false).map_err(silent)?;
    stream.set_nodelay(true).map_err(silent)?;
    stream
        .set_write_timeout(Some(HELLO_TIMEOUT))
        .map_err(silent)?;
    let mut hurried = Hurried {
        stream: &stream,
        until: Instant::now() + HELLO_TIMEOUT,
    };
    let mut magic = [0; MAGIC.len()];
    hurried.read_exact(&mut magic).map_err(silent)?;
    if magic != MAGIC {
        let shown = String::from_utf8_lossy(&magic).escape_default().to_string();
        return Err(format!(
            "it is no caudal process: it began with \"{shown}\""
        ));
    }
    let hello = frame::read(&mut hurried).map_err(silent)?;
    Ok((stream, hello))
}

/// Whether the other end has let go of a connection: a process that did not hear in time that it is welcome dials again.
fn is_closed(stream: &TcpStream) -> bool {
    let looked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let is_open = match looked {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    !is_open || stream.set_nonblocking(false).is_err()
}

/// What this process has of the others so far.
struct Waiting<'a> {
    cluster: &'a Cluster,
    interrupt: &'a Interrupt,
    tell: fn(&str),
    hello: Hello,
    here: BTreeMap<(usize, Purpose), TcpStream>,
    /// What was last heard of processes that could not be reached.
    heard: BTreeMap<usize, String>,
    strangers: usize,
}

impl Waiting<'_> {
    fn wait(
        mut self,
        listener: &TcpListener,
        sender: &Sender<Event>,
        events: &Receiver<Event>,
        timeout: Duration,
    ) -> Result<Joined, RunError> {
        let since = Instant::now();
        let mut named = since;
        let strangers = Arc::new(AtomicUsize::new(0));
        while !self.missing().is_empty() {
            if self.interrupt.is_asked() {
                return Err(RunError::Interrupted);
            }
            if since.elapsed() >= timeout {
                return Err(JoinError::Missing {
                    missing: self.name_missing(),
                    waited: timeout,
                }
                .into());
            }
            if named.elapsed() >= NAME_MISSING {
                named = Instant::now();
                self.tell(&format!("waiting for {}", self.name_missing()));
            }
            for _ in 0..MOST_STRANGERS {
                let Ok((stream, from)) = listener.accept() else {
                    break;
                };
                // Without a thread for it the connection closes, and whoever it was dials again.
                drop(hear(stream, from, sender, &strangers));
            }
            match events.recv_timeout(Duration::from_millis(5)) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        let mut joined = Joined {
            rows: self.cluster.addresses.iter().map(|_| None).collect(),
            control: Vec::new(),
        };
        for ((peer, purpose), stream) in self.here {
            match purpose {
                Purpose::Rows => joined.rows[peer] = Some(stream),
                Purpose::Control => joined.control.push((peer, stream)),
            }
        }
        Ok(joined)
    }

    fn take(&mut self, event: Event) -> Result<(), JoinError> {
        match event {
            Event::Came(mut stream, from, hello) => match self.judge(&hello) {
                Ok(()) => {
                    let peer = hello.index;
                    match frame::write(&mut stream, &Answer::Welcome) {
                        Ok(()) => {
                            self.here.insert((peer, hello.purpose), stream);
                        }
                        Err(error) => {
                            self.heard.insert(peer, error.to_string());
                        }
                    }
                }
                Err(words) => {
                    let what = format!("process {} of {} at {from}", hello.index, hello.processes);
                    self.refuse(&what, &words);
                    drop(frame::write(&mut stream, &Answer::Refused(words)));
                }
            },
            Event::Stranger(from, words) => self.refuse(&from.to_string(), &words),
            Event::Reached(peer, purpose, stream) => {
                self.here.insert((peer, purpose), stream);
            }
            Event::Refused(peer, words) => {
                return Err(JoinError::Refused {
                    process: self.cluster.index,
                    peer,
                    address: self.cluster.addresses[peer].clone(),
                    words: shown(&words),
                });
            }
            Event::Unreached(peer, words) => {
                self.heard.insert(peer, shown(&words));
            }
        }
        Ok(())
    }

    /// Whether a process belongs here; why not, in words that both sides are told.
    fn judge(&self, other: &Hello) -> Result<(), String> {
        let own = &self.hello;
        if other.token != own.token {
            return Err(
                "its token is another one: all processes need the same CAUDAL_TOKEN".to_owned(),
            );
        }
        if other.job != own.job {
            return Err(format!(
                "it runs the job {}, here runs {}",
                other.job, own.job
            ));
        }
        if other.build != own.build {
            return Err(
                "it is another build of caudal: all processes need the same program".to_owned(),
            );
        }
        if other.plan != own.plan {
            return Err(format!(
                "its job file of {} is another one: all processes need the same text",
                own.job
            ));
        }
        if (other.processes, other.workers) != (own.processes, own.workers) {
            return Err(format!(
                "it was started with -n {} -w {}, this one with -n {} -w {}",
                other.processes, other.workers, own.processes, own.workers
            ));
        }
        let dials = other.index > own.index && other.index < own.processes;
        if !dials || (other.purpose == Purpose::Control && own.index != 0) {
            return Err(format!(
                "its index {} does not dial process {}: see -p and the host file",
                other.index, own.index
            ));
        }
        let known = self.here.get(&(other.index, other.purpose));
        if known.is_some_and(|stream| !is_closed(stream)) {
            return Err(format!(
                "process {} is here already: each needs its own -p",
                other.index
            ));
        }
        Ok(())
    }

    /// The processes that are not connected in every way they must be.
    fn missing(&self) -> Vec<usize> {
        let own = self.cluster.index;
        let is_here = |peer: usize, purpose| self.here.contains_key(&(peer, purpose));
        (0..self.cluster.addresses.len())
            .filter(|peer| *peer != own)
            .filter(|peer| {
                let control = own != 0 && *peer != 0 || is_here(*peer, Purpose::Control);
                !(is_here(*peer, Purpose::Rows) && control)
            })
            .collect()
    }

    fn name_missing(&self) -> String {
        let name = |peer: &usize| {
            let address = &self.cluster.addresses[*peer];
            let heard = self.heard.get(peer);
            let heard = heard.map_or_else(String::new, |words| format!(", {words}"));
            format!("process {peer} ({address}{heard})")
        };
        let missing = self.missing();
        missing.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn refuse(&mut self, what: &str, words: &str) {
        self.strangers += 1;
        if self.strangers <= TOLD_STRANGERS {
            self.tell(&format!("refused {what}: {}", shown(words)));
        }
    }

    fn tell(&self, words: &str) {
        (self.tell)(&format!("process {}: {words}", self.cluster.index));
    }
}

/// Words of whoever connected, cut and without signs that a terminal would obey.
fn shown(words: &str) -> String {
    record::shown(words.as_bytes(), MOST_SHOWN)
}

#[cfg(test)]
mod tests;
