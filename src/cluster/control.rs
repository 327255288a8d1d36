//! Control connections: every process has one with process 0, apart from the rows and on threads of its own.
//!
//! ```text
//! 1..n ── Alive, Done, Failed, Ended ──> 0      a process that fails says so; a socket that closes, or is silent
//! 1..n <─ Begin, Alive, Over, End ── 0      for `peer_timeout`, is a process that is lost
//! ```
//!
//! Process 0 decides for all: a failure anywhere ends the run everywhere with the same exit code. Since each process notices the
//! end of process 0 by itself, and process 0 that of every other, one star is enough.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fate::Fate;
use super::frame::{self, Begin, Message, Usage};
use super::outcome::Progress;
use super::{Cluster, RunError, spawn};
use crate::observe::Observer;

/// Life signs in each `peer_timeout`: one or two may come late on a loaded machine.
const SIGNS: u32 = 5;

/// Longest pause between two: what is told of a process that stands still is as old.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a process that ends waits for the others to hear of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// This process among the others.
pub(super) struct Peers {
    index: usize,
    addresses: Vec<String>,
    fate: Arc<Fate>,
    progress: Arc<Progress>,
    observer: Arc<Observer>,
    /// The other ends of control connections: all others on process 0, process 0 on the others.
    writers: Vec<(usize, Mutex<TcpStream>)>,
    /// Set when the run has ended in order: sockets that close from now on are no loss.
    ending: AtomicBool,
    /// Connections that still have a reader.
    open: AtomicUsize,
    /// What others took, as they told at the end.
    usage: Mutex<BTreeMap<usize, Usage>>,
}

impl Peers {
    /// Begins to listen to the control connections and to give signs of life.
    ///
    /// Ownership: the threads hold the connections until the other side closes or the process ends.
    pub(super) fn start(
        cluster: &Cluster,
        control: Vec<(usize, TcpStream)>,
        fate: &Arc<Fate>,
        progress: &Arc<Progress>,
        observer: &Arc<Observer>,
        timeout: Duration,
    ) -> std::io::Result<Arc<Self>> {
        let mut writers = Vec::with_capacity(control.len());
        let mut readers = Vec::with_capacity(control.len());
        for (peer, stream) in control {
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            readers.push((peer, stream.try_clone()?));
            writers.push((peer, Mutex::new(stream)));
        }
        let peers = Arc::new(Self {
            index: cluster.index,
            addresses: cluster.addresses.clone(),
            fate: Arc::clone(fate),
            progress: Arc::clone(progress),
            observer: Arc::clone(observer),
            open: AtomicUsize::new(readers.len()),
            writers,
            ending: AtomicBool::new(false),
            usage: Mutex::default(),
        });
        fate.deliveries().connect(&peers);
        for (peer, stream) in readers {
            let peers = Arc::clone(&peers);
            spawn(format!("control-{peer}"), move || {
                peers.listen(peer, stream);
            })?;
        }
        let alive = Arc::clone(&peers);
        spawn("control-alive".to_owned(), move || {
            alive.sign((timeout / SIGNS).min(LONGEST_PAUSE));
        })?;
        Ok(peers)
    }

    /// Process 0: tells all others how the run begins.
    pub(super) fn begin(&self, begin: &Begin) {
        self.say(&Message::Begin(begin.clone()));
    }

    /// From now on a peer that closes its sockets is none that is lost.
    pub(super) fn expect_the_end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Other processes: says that all work of this one is done.
    pub(super) fn done(&self) {
        self.say(&Message::Done);
    }

    /// Other processes: says that someone asks this one to end, which ends all unless it is too late.
    pub(super) fn interrupted(&self) {
        self.say(&Message::Failed {
            exit_code: RunError::Interrupted.exit_code(),
            words: RunError::Interrupted.to_string(),
        });
    }

    /// Other processes: says that someone asks this one to end, where the job commits first.
    pub(super) fn drain(&self) {
        self.say(&Message::Drain);
    }

    /// Process 0: ends the run on all others with this exit code, and waits until they have heard; gives what they took.
    pub(super) fn end(&self, exit_code: u8) -> Vec<Usage> {
        self.expect_the_end();
        self.say(&Message::End { exit_code });
        self.farewell();
        self.usage().values().copied().collect()
    }

    fn usage(&self) -> MutexGuard<'_, BTreeMap<usize, Usage>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run on all processes with a failure of this one, or, on process 0, of any.
    pub(super) fn fail(&self, error: &RunError) {
        self.expect_the_end();
        let (exit_code, words) = (error.exit_code(), error.to_string());
        self.say(&if self.index == 0 {
            Message::Over { exit_code, words }
        } else {
            Message::Failed { exit_code, words }
        });
        self.farewell();
    }

    /// Ends the run because a peer does not answer any more, unless it was to end.
    pub(super) fn lost(&self, peer: usize, why: &str) {
        if !self.ending.load(Ordering::Acquire) {
            self.fate.fail(RunError::Lost {
                process: peer,
                address: self.addresses[peer].clone(),
                why: why.to_owned(),
            });
        }
    }

    /// Reads what one peer says until it closes.
    fn listen(&self, peer: usize, mut stream: TcpStream) {
        loop {
            match frame::read::<Message>(&mut stream) {
                Ok(Message::Begin(begin)) => self.fate.begin(begin),
                Ok(Message::Alive {
                    rows_in,
                    clean,
                    refused,
                    bytes,
                    readers,
                }) => {
                    self.progress.hear(peer, [rows_in, clean, refused, bytes]);
                    self.observer.standing().heard(peer, readers);
                }
                Ok(Message::Done) => self.fate.peer_done(),
                Ok(Message::Failed { exit_code, words }) => self.fate.fail(RunError::Peer {
                    process: peer,
                    exit_code,
                    words,
                }),
                Ok(Message::Drain) => self.fate.drain(),
                Ok(Message::Durable { epoch }) => self.fate.deliveries().durable(epoch),
                Ok(Message::Delivered {
                    shard,
                    delivered,
                    counts,
                }) => {
                    self.fate.deliveries().delivered(shard, delivered, counts);
                }
                Ok(Message::Holds { shard, holds }) => {
                    self.fate.deliveries().holds(shard, holds);
                }
                Ok(Message::Wanted { epoch }) => self.fate.deliveries().want(epoch),
                Ok(Message::Over { exit_code, words }) => {
                    self.expect_the_end();
                    self.fate.fail(RunError::Over { exit_code, words });
                    break;
                }
                Ok(Message::End { exit_code }) => {
                    self.expect_the_end();
                    self.say(&Message::Ended(Usage::now()));
                    self.fate.end(exit_code);
                }
                Ok(Message::Ended(usage)) => {
                    self.usage().insert(peer, usage);
                    break;
                }
                Err(error) => {
                    self.lost(peer, &words(&error));
                    break;
                }
            }
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Gives signs of life, for as long as the process lives. A peer that does not take them is found by who reads.
    fn sign(&self, pause: Duration) {
        loop {
            let [rows_in, clean, refused, bytes] = self.progress.own();
            self.say(&Message::Alive {
                rows_in,
                clean,
                refused,
                bytes,
                readers: self.observer.readers(),
            });
            std::thread::sleep(pause);
        }
    }

    /// Says something to all at the other ends. Errors are found by who reads.
    pub(super) fn say(&self, message: &Message) {
        for (_, writer) in &self.writers {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            drop(frame::write(&mut *writer, message));
        }
    }

    /// Waits until every peer has closed or said that it heard, for a while: bytes that nobody read are lost with a process.
    fn farewell(&self) {
        let since = Instant::now();
        while self.open.load(Ordering::Acquire) > 0 && since.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What an error of a control connection means.
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it closed its connection".to_owned(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            "it was silent for peer_timeout".to_owned()
        }
        _ => error.to_string(),
    }
}
