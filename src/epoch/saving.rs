//! State of operators: written while the worker goes on with rows, the disk being waited for on a thread, and read when a life begins.
//!
//! An operator makes the bytes of its state when an epoch has passed, which is quick, hands them over with the capability under which it will
//! tell of them, and goes on. A checkpoint is complete when all have been told; nothing else waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::scheduling::SyncActivator;

use super::series::{Fold, Part, Series};
use super::{StateFile, state};
use crate::cluster::{Run, RunError};
use crate::record::{Epoch, Note};

/// What one operator has on its way to the disk, in the order of its epochs.
pub struct Saving {
    run: Arc<Run>,
    activator: Arc<SyncActivator>,
    writing: VecDeque<(Capability<Epoch>, Part, Written)>,
    series: Series,
}

/// What becomes of a file.
type Written = Receiver<Result<StateFile, RunError>>;

impl Saving {
    /// Nothing yet; `activator` wakes the operator when something is written. Without a `fold` all state is always written whole.
    pub fn new(run: &Arc<Run>, activator: SyncActivator, fold: Option<Fold>) -> Self {
        Self {
            run: Arc::clone(run),
            activator: Arc::new(activator),
            writing: VecDeque::new(),
            series: Series::new(fold),
        }
    }

    /// What is to be written next, where so many of all things changed since.
    pub fn part(&self, changed: usize, all: usize) -> Part {
        self.series.part(changed, all)
    }

    /// Writes a file of state for the checkpoint at the capability's epoch. `name` says whose it is.
    pub fn write(
        &mut self,
        capability: Capability<Epoch>,
        name: String,
        part: Part,
        bytes: Vec<u8>,
    ) {
        let epoch = *capability.time();
        let resumed = self.run.resumed.as_ref();
        let generation = resumed.expect("the job is continuous").generation;
        self.run.observer.state_written(bytes.len());
        self.series.begin(part);
        let run = Arc::clone(&self.run);
        let (told, hears) = channel();
        let activator = Arc::clone(&self.activator);
        let write = move || {
            let store = run.state();
            let written =
                store.and_then(|store| state::write(&*store, (epoch, generation), &name, &bytes));
            // Where nobody hears any more, the run is over.
            let _over = told.send(written.map_err(RunError::from));
            let _over = activator.activate();
        };
        if let Err(error) = crate::cluster::spawn("state".to_owned(), write) {
            self.run.fail(RunError::no_thread(error));
        }
        self.writing.push_back((capability, part, hears));
    }

    /// Tells of what is written: all files of each checkpoint; an error ends the run.
    pub fn tell(&mut self, output: &mut OutputBuilder<Epoch, CapacityContainerBuilder<Vec<Note>>>) {
        for (capability, files) in self.written() {
            let mut output = output.activate();
            let notes = files.into_iter().map(Note::State);
            output.session(&capability).give_iterator(notes);
        }
    }

    fn written(&mut self) -> Vec<(Capability<Epoch>, Vec<StateFile>)> {
        self.series.take_fold(&self.run);
        let mut written = Vec::new();
        while let Some((_, part, hears)) = self.writing.front() {
            let files = match hears.try_recv() {
                Ok(Ok(file)) => self.series.written(*part, file),
                Ok(Err(error)) => {
                    self.run.fail(error);
                    break;
                }
                // Not yet; or the thread was never there, and the run is over.
                Err(_) => break,
            };
            let (capability, ..) = self.writing.pop_front().expect("it is there");
            written.push((capability, files));
        }
        if !written.is_empty() {
            match self.run.state() {
                Ok(store) => self.series.fold(&self.run, store, &self.activator),
                Err(error) => self.run.fail(error.into()),
            }
        }
        written
    }
}

/// What the operators called `name` have written for the checkpoint that a life begins with: files of each worker of the life that wrote it, in
/// the order of the checkpoints that they were written for. `take` gets each, and says in words what is wrong with it. `name` is followed by the
/// worker's index.
///
/// Errors: a file is not there, or not what was written.
pub fn saved(
    run: &Run,
    name: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), RunError> {
    let Some(resumed) = &run.resumed else {
        return Ok(());
    };
    // Paths begin with the epoch, in figures of one width.
    let mut files: Vec<&StateFile> = resumed.state.iter().collect();
    files.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    for file in files {
        let of_file = file.path.rsplit('/').next().unwrap_or_default();
        let of_operator = of_file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        if of_operator.is_none_or(|rest| !rest.starts_with(|first: char| first.is_ascii_digit())) {
            continue;
        }
        let reading = run.reading()?;
        let bytes = reading.take(file, run.workers)?;
        take(&bytes).map_err(|problem| RunError::State {
            place: reading.store().place(&file.path),
            problem,
        })?;
    }
    run.observer.state_read(run.reading()?.bytes());
    Ok(())
}
