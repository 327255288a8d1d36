//! The files that an operator's state is at a checkpoint: whole state, and behind it what changed until each checkpoint since.
//!
//! ```text
//! checkpoint 1   whole 1                                        everything, at the first checkpoint of a life
//!            2   whole 1, changes 2
//!            …   whole 1, changes 2 … 9                         ── a thread folds these ──┐
//!           10   whole 1, changes 2 … 10                                                 │
//!           11   folded 9, changes 10, changes 11      <──────────────────────────────────┘
//! ```
//!
//! So a worker makes bytes of what changed, and of nothing else; all the rest is done beside it, from the files. A checkpoint names all files
//! of its series with size and hash, and is whole with them alone: a fold is a file that was not there before, named by the checkpoints that
//! come to use it. Where nothing changed, that is written, too: each checkpoint has bytes of its own, without which the one before is whole; and whatever
//! breaks, an older one is kept of which nothing is in the newest ([`super::keeping`]). What a fold is made of is held against those hashes; where it is not what was written, the next checkpoint writes whole state.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use timely::scheduling::SyncActivator;

use super::state::Unread;
use super::{JournalError, StateFile, Store, state};
use crate::cluster::{Run, RunError};
use crate::fault;

/// Changes behind whole state, at most, until they are folded: files to read for who goes on from them.
const MOST_CHANGES: usize = 16;

/// Changes that are folded once they hold a sixteenth of the bytes of whole state.
const SOME_CHANGES: usize = 8;

/// What bytes hold of an operator's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What changed since the bytes before.
    Changes,
}

/// Makes whole state of whole state and the changes behind it. Errors: in words.
pub type Fold = Arc<dyn Fn(&[&[u8]]) -> Result<Vec<u8>, String> + Send + Sync>;

/// One operator's files, as they were told for the newest checkpoint.
pub(super) struct Series {
    files: Vec<StateFile>,
    /// Whether changes may be written: whole state was, or is on its way.
    has_whole: bool,
    /// `None`: all of its state is always written whole.
    fold: Option<Fold>,
    folding: Option<Folding>,
}

/// A fold on its way.
struct Folding {
    /// How many files it takes the place of.
    files: usize,
    hears: Receiver<Result<Folded, JournalError>>,
    is_wanted: Arc<AtomicBool>,
}

/// The file that a fold gave; or why it could not be made, in words.
type Folded = Result<StateFile, String>;

impl Series {
    /// Without files.
    pub(super) fn new(fold: Option<Fold>) -> Self {
        Self {
            files: Vec::new(),
            has_whole: false,
            fold,
            folding: None,
        }
    }

    /// What is to be written next, where so many of all things changed: changes that are half of everything would not be worth their fold.
    pub(super) fn part(&self, changed: usize, all: usize) -> Part {
        if self.has_whole && self.fold.is_some() && changed.saturating_mul(2) < all {
            Part::Changes
        } else {
            Part::Whole
        }
    }

    /// A part is on its way to the disk.
    pub(super) fn begin(&mut self, part: Part) {
        self.has_whole |= part == Part::Whole;
    }

    /// A part is written; gives all files of its checkpoint.
    pub(super) fn written(&mut self, part: Part, file: StateFile) -> Vec<StateFile> {
        if part == Part::Whole {
            self.files.clear();
            if let Some(folding) = self.folding.take() {
                folding.is_wanted.store(false, Ordering::Release);
            }
        }
        self.files.push(file);
        self.files.clone()
    }

    /// Whether there is enough to fold, and nothing is being folded.
    fn is_due(&self) -> bool {
        let Some((whole, changes)) = self.files.split_first() else {
            return false;
        };
        let bytes: u64 = changes.iter().map(|file| file.bytes).sum();
        // A fold writes everything once more: it waits until that is little beside what was written since, or files become many.
        let least = match changes.len() {
            ..SOME_CHANGES => whole.bytes / 2,
            SOME_CHANGES..MOST_CHANGES => whole.bytes / 16,
            _ => 0,
        };
        self.folding.is_none() && !changes.is_empty() && bytes >= least
    }

    /// Begins a fold where one is due; `activator` wakes the operator behind it.
    pub(super) fn fold(
        &mut self,
        run: &Run,
        store: Arc<dyn Store>,
        activator: &Arc<SyncActivator>,
    ) {
        let Some(fold) = self.fold.clone().filter(|_| self.is_due()) else {
            return;
        };
        let (told, hears) = channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        self.folding = Some(Folding {
            files: self.files.len(),
            hears,
            is_wanted: Arc::clone(&is_wanted),
        });
        let files = self.files.clone();
        let activator = Arc::clone(activator);
        let work = move || {
            // Where nobody hears any more, the run is over, or whole state was written meanwhile.
            let _over = told.send(folded(&*store, &files, &fold, &is_wanted));
            let _over = activator.activate();
        };
        if let Err(error) = crate::cluster::spawn("fold".to_owned(), work) {
            run.fail(RunError::no_thread(error));
        }
    }

    /// Takes a fold that is ready: the checkpoints from the next one on name it.
    pub(super) fn take_fold(&mut self, run: &Run) {
        let Some(folding) = &self.folding else { return };
        match folding.hears.try_recv() {
            Ok(Ok(Ok(file))) => {
                self.files.splice(..folding.files, [file]);
            }
            Ok(Ok(Err(problem))) => {
                tracing::warn!(
                    action = "state-unfolded",
                    problem,
                    "written state could not be read back; the next checkpoint writes all of it anew"
                );
                self.has_whole = false;
            }
            Ok(Err(error)) => run.fail(error.into()),
            Err(TryRecvError::Empty) => return,
            // No thread was there, and the run is over.
            Err(TryRecvError::Disconnected) => {}
        }
        self.folding = None;
    }
}

/// Folds of a process are made one after the other: each has the bytes of a worker's state in memory twice.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Reads files, and writes what they are together.
fn folded(
    store: &dyn Store,
    files: &[StateFile],
    fold: &Fold,
    is_wanted: &AtomicBool,
) -> Result<Folded, JournalError> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    fault::at("fold state");
    let bytes = {
        let mut read = Vec::with_capacity(files.len());
        for file in files {
            match state::read(store, file) {
                Ok(bytes) => read.push(bytes),
                Err(Unread::Store(error)) => return Err(error),
                Err(Unread::Broken { place, problem }) => {
                    return Ok(Err(format!("{place}: {problem}")));
                }
            }
        }
        let parts: Vec<&[u8]> = read.iter().map(Vec::as_slice).collect();
        match fold(&parts) {
            Ok(bytes) => bytes,
            Err(problem) => return Ok(Err(problem)),
        }
    };
    if !is_wanted.load(Ordering::Acquire) {
        return Ok(Err("it is not wanted any more".to_owned()));
    }
    let last = files.last().expect("a fold is of several files");
    let file = state::described(folded_path(&last.path), &bytes);
    fault::at("write folded state");
    state::put(store, &file, &bytes)?;
    fault::at("use folded state");
    Ok(Ok(file))
}

/// The path of a fold that ends with this file.
fn folded_path(last: &str) -> String {
    let stem = last.strip_suffix(".state").unwrap_or(last);
    format!("{stem}.folded.state")
}
