//! What process 0 looks for while a continuous job runs: partitions of topics and files that are new, and how much is left to read.
//!
//! On threads of their own, since a broker that is away is waited for: neither commits nor the end of the job wait for that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::life::Life;
use super::{Run, RunError};
use crate::epoch::Moved;
use crate::sources::{Folders, SourceError, Topics};

/// How often brokers are asked for partitions that are new.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(10);

/// How often they are asked where partitions end: one small question to each broker that leads some.
const LOOK_FOR_ENDS: Duration = Duration::from_secs(1);

/// The same where a check goes by it: silence is told a second late at most.
const LOOK_FOR_ENDS_OFTEN: Duration = Duration::from_millis(500);

/// How long the end of a job waits for the last word to the groups.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long folders of followed files are left alone after a look at them, at least.
const LOOK_AT_FOLDERS: Duration = Duration::from_millis(100);

/// Looks at folders take at most the tenth part of one processor.
const FOLDERS_SHARE: u32 = 10;

/// The thread that asks.
pub(super) struct Partitions {
    committed: Sender<Vec<Moved>>,
    ended: Receiver<()>,
}

impl Partitions {
    /// Starts it.
    pub(super) fn start(
        run: &Arc<Run>,
        life: &Arc<Life>,
        topics: Vec<Topics>,
    ) -> Result<Self, RunError> {
        let (committed, hears) = channel();
        let (ends, ended) = channel();
        let (run, life) = (Arc::clone(run), Arc::clone(life));
        let ask = move || {
            ask(&run, &life, topics, &hears);
            drop(ends);
        };
        super::spawn("partitions".to_owned(), ask).map_err(RunError::no_thread)?;
        Ok(Self { committed, ended })
    }

    /// Everything that stands before these offsets is visible.
    pub(super) fn committed(&self, partitions: Vec<Moved>) {
        drop(self.committed.send(partitions));
    }

    /// Lets it end, and waits for that, but not for brokers that are away.
    pub(super) fn end(self) {
        drop(self.committed);
        // It sends nothing: this ends with it.
        let _ended = self.ended.recv_timeout(LAST_WORD);
    }
}

fn ask(run: &Run, life: &Life, mut topics: Vec<Topics>, hears: &Receiver<Vec<Moved>>) {
    let (mut looked, mut ends) = (Instant::now(), None::<Instant>);
    let every = if run.plan.has_freshness() {
        LOOK_FOR_ENDS_OFTEN
    } else {
        LOOK_FOR_ENDS
    };
    loop {
        let rest = ends.map_or(Duration::ZERO, |ends| every.saturating_sub(ends.elapsed()));
        match hears.recv_timeout(rest) {
            Ok(partitions) => {
                for of_source in &topics {
                    let at = partitions.iter();
                    of_source.tell_group(at.map(|moved| (moved.partition.clone(), moved.to)));
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for of_source in &topics {
            let asked = Instant::now();
            match of_source.ends() {
                Ok(ends) => {
                    life.heard(of_source.name(), asked, Some(ends.clone()));
                    run.observer.standing().ends(of_source.name(), ends);
                }
                Err(words) => {
                    life.heard(of_source.name(), asked, None);
                    run.observer.standing().away(of_source.name(), words);
                }
            }
        }
        ends = Some(Instant::now());
        if looked.elapsed() >= LOOK_FOR_PARTITIONS {
            look_for_partitions(life, &mut topics);
            if let Err(error) = hold_topics(life, &topics) {
                run.fail(error.into());
                return;
            }
            looked = Instant::now();
        }
    }
}

/// Partitions that were added; what can't be known now is asked again later.
fn look_for_partitions(life: &Life, topics: &mut [Topics]) {
    for of_source in topics {
        match of_source.look(Duration::ZERO, false, &|| true) {
            Ok(found) => life.add_found(found),
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(
                    action = "kafka-discovery",
                    error,
                    "new partitions could not be looked for"
                );
            }
        }
    }
}

/// Holds topics against the ids that they had; what can't be known now is asked again later.
///
/// Errors: one was made anew, where positions mean nothing.
fn hold_topics(life: &Life, topics: &[Topics]) -> Result<(), SourceError> {
    for of_source in topics {
        let ids = of_source.ids(Duration::ZERO, &|| true).unwrap_or_default();
        for (topic, found) in ids {
            if let Some(known) = life.identify(of_source.owner(), &topic, &found) {
                return Err(of_source.renewed(&topic, &known, &found).into());
            }
        }
    }
    Ok(())
}

/// Starts the thread that looks at the folders of followed files, where there are any.
pub(super) fn look_at_folders(
    run: &Arc<Run>,
    life: &Arc<Life>,
    folders: Vec<Folders>,
) -> Result<(), RunError> {
    if folders.is_empty() {
        return Ok(());
    }
    let (run, life) = (Arc::clone(run), Arc::clone(life));
    let work = move || {
        if let Err(error) = look(&run, &life, folders) {
            run.fail(error.into());
        }
    };
    super::spawn("folders".to_owned(), work).map_err(RunError::no_thread)
}

/// Looks for new files, and for what became of known ones, until the run is over.
fn look(run: &Run, life: &Life, mut folders: Vec<Folders>) -> Result<(), SourceError> {
    while !run.is_over() && !life.is_to_stop() {
        let began = Instant::now();
        let stands = life.take_stands();
        for of_source in &mut folders {
            of_source.hear(&stands);
            let changes = of_source.look()?;
            run.observer.lost(of_source.name(), changes.lost);
            life.add_found(changes.found);
            life.add_renamed(changes.renamed);
        }
        std::thread::sleep(LOOK_AT_FOLDERS.max(began.elapsed() * FOLDERS_SHARE));
    }
    Ok(())
}
