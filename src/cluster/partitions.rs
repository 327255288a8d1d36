//! What process 0 asks brokers while a continuous job runs: for partitions that are new, and how much is left to read.
//!
//! On a thread of its own, since a broker that is away is waited for: neither commits nor the end of the job wait for that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::life::Life;
use super::{Run, RunError};
use crate::epoch::Moved;
use crate::sources::Topics;

/// How often brokers are asked for partitions that are new.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(10);

/// How often they are asked where partitions end: one small question to each broker that leads some.
const LOOK_FOR_ENDS: Duration = Duration::from_secs(1);

/// How long the end of a job waits for the last word to the groups.
const LAST_WORD: Duration = Duration::from_secs(2);

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
        super::spawn("partitions".to_owned(), ask).map_err(|error| RunError::Start {
            message: error.to_string(),
        })?;
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
    loop {
        let rest = ends.map_or(Duration::ZERO, |ends| {
            LOOK_FOR_ENDS.saturating_sub(ends.elapsed())
        });
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
            match of_source.ends() {
                Ok(ends) => run.observer.standing().ends(of_source.name(), ends),
                Err(words) => run.observer.standing().away(of_source.name(), words),
            }
        }
        ends = Some(Instant::now());
        if looked.elapsed() >= LOOK_FOR_PARTITIONS {
            look_for_partitions(life, &mut topics);
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
