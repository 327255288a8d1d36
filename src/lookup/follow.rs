//! Look-ups of a continuous job: their rows at its start, and a thread for each that finds how they change.
//!
//! ```text
//! first life   files, topic ──> rows ──> object, named by binding 0 ──> dataflow
//! later ones   objects of the checkpoint and of the bindings behind it ──> rows ──> dataflow
//! meanwhile    files, topic ──> rows ──> difference ──> object, named by the binding of the epoch that takes it ──> dataflow
//! ```
//!
//! So a replay never asks the store again: what an epoch saw is in the objects, however files and topics look now. Each life reads
//! files and topics anew and whole, beside its rows, and offers how they differ from what is bound: what was changed while nobody
//! looked is a change like any other. Nothing waits for it; how old what is known is, is a metric.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow_schema::ArrowError;

use super::load::{Loaded, LookupError, encode, load_rows};
use super::object::{self, Object};
use super::rows::{Change, Difference, Rows};
use super::topic::{Applied, Topic};
use crate::cluster::{Life, Run};
use crate::job::plan::{LookupPlan, Plan, Transport};
use crate::sources::{KafkaError, SourceError, expand};

/// How often followed files are looked at; files that are being written are read when they have not changed for so long.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait for the epoch that takes an offer.
const REST: Duration = Duration::from_millis(5);

/// How long a life that goes on may take until a checkpoint is complete; then look-ups are read anew all the same.
const SETTLING: Duration = Duration::from_secs(5);

/// How long to wait before a topic is asked again that could not be read.
const PAUSE: Duration = Duration::from_secs(2);

/// What a follower offers to the next epoch.
#[derive(Debug)]
pub struct Offer {
    /// Index of the look-up.
    pub lookup: usize,
    /// How its rows changed; `None`: they didn't.
    pub prepared: Option<Prepared>,
    /// Whether they never change again.
    pub is_last: bool,
}

/// A change that is ready to be bound.
#[derive(Debug)]
pub struct Prepared {
    /// Name of the look-up.
    pub name: String,
    /// Whether the object holds all rows.
    pub whole: bool,
    /// What is written beside the journal.
    pub object: Vec<u8>,
    /// What the dataflow takes.
    pub change: Change,
}

/// The rows of one look-up, and how it goes on.
pub struct Follower {
    lookup: usize,
    /// What is bound, or was offered; behind it come `objects`.
    rows: Rows,
    /// Objects that were bound, and whose rows are not looked up yet by what tells them apart: that takes a second a million rows, and
    /// nothing waits for it.
    objects: Vec<Arc<Vec<u8>>>,
    /// Where the rows were just read: there is nothing that nobody has seen.
    is_fresh: bool,
    /// What its files looked like before they were read.
    read: Option<Signature>,
    topic: Option<Topic>,
    /// Bytes of the objects since the one that holds all rows, and of that one.
    bytes: (usize, usize),
    /// Whether all rows have to be offered, since no object holds them.
    is_unbound: bool,
    /// What the first reading passed over, until it is counted.
    passed_over: PassedOver,
}

/// Rows and messages that were read and are none of the look-up's rows.
#[derive(Debug, Clone, Copy, Default)]
struct PassedOver {
    /// Older than the row there was.
    stale: u64,
    /// Not to be read, or without a key.
    left_out: u64,
}

/// Reads a look-up for the first time. `None` where `over` said that nobody wants it any more. Gives what is to be told, too.
pub fn first(
    plan: &LookupPlan,
    lookup: usize,
    patience: Duration,
    over: &dyn Fn() -> bool,
) -> Result<Option<(Follower, Vec<String>)>, LookupError> {
    let read = signature(plan);
    let (rows, warnings, topic, passed_over) = match &plan.transport {
        Transport::Kafka(kafka) => {
            let Some((topic, rows, applied)) = Topic::whole(plan, kafka, patience, over)? else {
                return Ok(None);
            };
            let passed_over = PassedOver {
                stale: applied.stale,
                left_out: applied.left_out,
            };
            (rows, applied.warnings(plan), Some(topic), passed_over)
        }
        Transport::Files { .. } | Transport::Follow(_) | Transport::Generate { .. } => {
            let Some(found) = load_rows(plan, over)? else {
                return Ok(None);
            };
            let passed_over = PassedOver {
                stale: 0,
                left_out: found.left_out,
            };
            (found.rows, found.warnings, None, passed_over)
        }
    };
    let follower = Follower {
        lookup,
        rows,
        objects: Vec::new(),
        is_fresh: true,
        read,
        topic,
        bytes: (0, 0),
        is_unbound: true,
        passed_over,
    };
    Ok(Some((follower, warnings)))
}

/// Takes up the rows of a look-up from the objects that hold them, in the order in which they were bound.
pub fn restored(lookup: usize, objects: Vec<Arc<Vec<u8>>>) -> Follower {
    Follower {
        lookup,
        rows: Rows::default(),
        objects,
        is_fresh: false,
        read: None,
        topic: None,
        bytes: (0, 0),
        is_unbound: false,
        passed_over: PassedOver::default(),
    }
}

impl Follower {
    /// The rows as the dataflow takes them first.
    ///
    /// Errors: an object is none of this look-up.
    pub fn loaded(&self, plan: &LookupPlan) -> Result<Loaded, ArrowError> {
        if self.objects.is_empty() {
            return self.rows.loaded(plan);
        }
        object::loaded(plan, &self.objects)
    }

    /// An object that holds all rows, for the binding of epoch 0.
    pub fn whole(&mut self, plan: &LookupPlan) -> Result<Vec<u8>, ArrowError> {
        let object = object::whole(plan, &self.rows)?;
        self.bytes = (0, object.len());
        self.is_unbound = false;
        Ok(object)
    }

    /// Takes an object that was bound; gives the change that it was.
    pub fn take(&mut self, plan: &LookupPlan, bytes: Arc<Vec<u8>>) -> Result<Change, ArrowError> {
        let object = object::read(plan, &bytes)?;
        if let (Object::Changes(difference), false) = (&object, self.objects.is_empty()) {
            let change = difference.change(plan);
            self.objects.push(bytes);
            return change;
        }
        self.settle(plan)?;
        self.apply(plan, object, bytes.len())?.change(plan)
    }

    /// Looks up the rows of all objects that wait for it.
    fn settle(&mut self, plan: &LookupPlan) -> Result<(), ArrowError> {
        for bytes in std::mem::take(&mut self.objects) {
            match object::read(plan, &bytes)? {
                Object::Whole(rows) => {
                    self.bytes = (0, bytes.len());
                    self.rows = rows;
                }
                changes @ Object::Changes(_) => {
                    self.apply(plan, changes, bytes.len())?;
                }
            }
        }
        Ok(())
    }

    /// Makes the rows what they are behind an object of so many bytes; gives how they differ.
    fn apply(
        &mut self,
        plan: &LookupPlan,
        object: Object,
        bytes: usize,
    ) -> Result<Difference, ArrowError> {
        Ok(match object {
            Object::Whole(rows) => {
                self.bytes = (0, bytes);
                let difference = self.rows.difference(&rows);
                self.rows = rows;
                difference
            }
            Object::Changes(difference) => {
                self.bytes.0 += bytes;
                self.rows.apply(plan, &difference)?;
                difference
            }
        })
    }

    /// Follows the look-up until the run is over, or it never changes again.
    pub fn follow(mut self, run: &Run, life: &Life) {
        let plan = Arc::clone(&run.plan);
        let PassedOver { stale, left_out } = std::mem::take(&mut self.passed_over);
        run.observer.reference_stale(self.lookup, stale);
        run.observer.reference_left_out(self.lookup, left_out);
        // A life that goes on has rows to read again, for which processors are better used.
        let since = Instant::now();
        while !self.is_fresh && !life.is_settled() && since.elapsed() < SETTLING {
            if run.is_over() || life.is_to_stop() {
                return;
            }
            std::thread::sleep(REST);
        }
        let of = &plan.lookups[self.lookup];
        if let Err(source) = self.settle(of) {
            run.fail(encode(of, source).into());
            return;
        }
        let unbound = if self.is_unbound {
            self.offer(of, &Difference::default(), None, run, life)
        } else {
            Ok(())
        };
        let ended = unbound.and_then(|()| match &of.transport {
            Transport::Kafka(_) => self.follow_topic(&plan, run, life),
            Transport::Files { .. } if of.follow => self.follow_files(of, run, life),
            Transport::Files { .. } | Transport::Follow(_) | Transport::Generate { .. } => {
                self.look_once(of, run, life)
            }
        });
        if let Err(source) = ended {
            run.fail(encode(of, source).into());
        }
    }

    /// Files that are read at each start.
    fn look_once(&mut self, plan: &LookupPlan, run: &Run, life: &Life) -> Result<(), ArrowError> {
        let mut later = None;
        if !self.is_fresh {
            later = self.read_files(plan, run);
        }
        let difference = match &later {
            Some(rows) => self.rows.difference(rows),
            None => Difference::default(),
        };
        let prepared = self.prepare(plan, &difference, later)?;
        life.offer(Offer {
            lookup: self.lookup,
            prepared,
            is_last: true,
        });
        Ok(())
    }

    /// Files that may be replaced at any time.
    fn follow_files(
        &mut self,
        plan: &LookupPlan,
        run: &Run,
        life: &Life,
    ) -> Result<(), ArrowError> {
        let mut read = self.read.take();
        let mut before: Option<Signature> = None;
        let mut looked = Instant::now();
        while !run.is_over() && !life.is_to_stop() {
            let now = signature(plan);
            let is_still = before == now;
            before.clone_from(&now);
            if is_still && now.is_some() && now != read {
                if let Some(later) = self.read_files(plan, run)
                    && signature(plan) == now
                {
                    let difference = self.rows.difference(&later);
                    self.offer(plan, &difference, Some(later), run, life)?;
                    looked = Instant::now();
                }
                // What can't be read is told once, and read again when it is another.
                read.clone_from(&now);
            } else if now.is_some() && now == read {
                looked = Instant::now();
            }
            run.observer.reference_age(self.lookup, looked.elapsed());
            rest(LOOK, run, life);
        }
        Ok(())
    }

    /// Reads the files anew; what they hold now, if they can be read.
    fn read_files(&self, plan: &LookupPlan, run: &Run) -> Option<Rows> {
        match load_rows(plan, &|| run.is_over()) {
            Ok(Some(read)) => {
                run.observer.reference_left_out(self.lookup, read.left_out);
                tell(plan, &read.warnings);
                Some(read.rows)
            }
            Ok(None) => None,
            Err(error) => {
                run.observer.reference_failed(self.lookup);
                tracing::warn!(
                    action = "reference-unread",
                    lookup = plan.name,
                    error = %error,
                    "the look-up keeps the rows it had; its files are read again when they change"
                );
                None
            }
        }
    }

    /// A topic: whole first, then message by message.
    fn follow_topic(&mut self, plan: &Plan, run: &Run, life: &Life) -> Result<(), ArrowError> {
        let of = &plan.lookups[self.lookup];
        let Transport::Kafka(kafka) = &of.transport else {
            return Ok(());
        };
        let over = || run.is_over() || life.is_to_stop();
        let mut heard = Instant::now();
        if let Some(topic) = &self.topic
            && !holds(topic, of, run, life)
        {
            return Ok(());
        }
        while !over() {
            let ended = if let Some(topic) = &mut self.topic {
                topic.next(of, &mut self.rows)
            } else {
                match Topic::whole(of, kafka, plan.join_timeout, &over) {
                    Ok(None) => return Ok(()),
                    Ok(Some((topic, rows, applied))) => {
                        if !holds(&topic, of, run, life) {
                            return Ok(());
                        }
                        let difference = self.rows.difference(&rows);
                        self.topic = Some(topic);
                        self.rows = rows;
                        Ok(Applied {
                            difference,
                            ..applied
                        })
                    }
                    Err(error) => Err(error),
                }
            };
            match ended {
                Ok(applied) => {
                    heard = Instant::now();
                    run.observer.reference_stale(self.lookup, applied.stale);
                    run.observer
                        .reference_left_out(self.lookup, applied.left_out);
                    tell(of, &applied.warnings(of));
                    self.offer(of, &applied.difference, None, run, life)?;
                }
                Err(error) if !self.takes(&error) => {
                    run.fail(error.into());
                    return Ok(());
                }
                Err(error) => {
                    // Read whole again: what was applied in part is not known.
                    self.topic = None;
                    run.observer.reference_failed(self.lookup);
                    tracing::warn!(
                        action = "reference-unread",
                        lookup = of.name,
                        error = %error,
                        "the look-up keeps the rows it had; its topic is read again"
                    );
                    rest(PAUSE, run, life);
                }
            }
            run.observer.reference_age(self.lookup, heard.elapsed());
        }
        Ok(())
    }

    /// Whether the look-up's rows stay as they are behind an error, until its topic can be read.
    fn takes(&self, error: &LookupError) -> bool {
        let is_renewed = matches!(
            error,
            LookupError::Source(SourceError::Kafka(KafkaError::Renewed { .. }))
        );
        let takes_loss = |topic: &Topic| topic.reader().takes_loss();
        !is_renewed || self.topic.as_ref().is_some_and(takes_loss)
    }

    /// Offers a change to the next epoch, and waits until it was taken. `later` are the rows where they are others than those that
    /// the difference was made to already.
    fn offer(
        &mut self,
        plan: &LookupPlan,
        difference: &Difference,
        later: Option<Rows>,
        run: &Run,
        life: &Life,
    ) -> Result<(), ArrowError> {
        let Some(prepared) = self.prepare(plan, difference, later)? else {
            return Ok(());
        };
        run.observer
            .reference_changed(self.lookup, prepared.change.len());
        life.offer(Offer {
            lookup: self.lookup,
            prepared: Some(prepared),
            is_last: false,
        });
        while life.has_offer(self.lookup) && !run.is_over() {
            std::thread::sleep(REST);
        }
        Ok(())
    }

    /// A change as it is bound: how rows differ, or all of them where the differences since they were written would take more.
    fn prepare(
        &mut self,
        plan: &LookupPlan,
        difference: &Difference,
        later: Option<Rows>,
    ) -> Result<Option<Prepared>, ArrowError> {
        if let Some(later) = later {
            self.rows = later;
        }
        if difference.is_empty() && !self.is_unbound {
            return Ok(None);
        }
        let mut object = object::changes(plan, difference)?;
        let whole = self.is_unbound || self.bytes.0 + object.len() > self.bytes.1;
        if whole {
            object = self.whole(plan)?;
        } else {
            self.bytes.0 += object.len();
        }
        Ok(Some(Prepared {
            name: plan.name.clone(),
            whole,
            object,
            change: difference.change(plan)?,
        }))
    }
}

/// Holds a topic against the id that it had. False: it is another one, and the run is over.
fn holds(topic: &Topic, of: &LookupPlan, run: &Run, life: &Life) -> bool {
    let reader = topic.reader();
    let Some((name, found)) = reader.id() else {
        return true;
    };
    let owner = format!("lookups.{}", of.name);
    let Some(known) = life.identify(&owner, name, found) else {
        return true;
    };
    if !reader.takes_loss() {
        run.fail(LookupError::from(SourceError::from(reader.renewed(&known, found))).into());
        return false;
    }
    tracing::warn!(
        action = "topic-renewed",
        lookup = of.name,
        topic = name,
        known,
        found,
        "a topic is another one than before; the look-up's rows are what it holds"
    );
    life.renew(&owner, name, found);
    true
}

/// By what it is seen that files are others than before: names, sizes, times and inodes.
type Signature = Vec<(PathBuf, u64, Option<SystemTime>, u64)>;

/// `None` where the files can't be found.
fn signature(plan: &LookupPlan) -> Option<Signature> {
    use std::os::unix::fs::MetadataExt;
    let Transport::Files { paths, .. } = &plan.transport else {
        return None;
    };
    let found = expand(&format!("lookups.{}", plan.name), paths, &mut Vec::new()).ok()?;
    let each = found.into_iter().map(|path| {
        let metadata = std::fs::metadata(&path).ok()?;
        Some((
            path,
            metadata.len(),
            metadata.modified().ok(),
            metadata.ino(),
        ))
    });
    each.collect()
}

/// Waits, unless the run ends.
fn rest(time: Duration, run: &Run, life: &Life) {
    let since = Instant::now();
    while since.elapsed() < time && !run.is_over() && !life.is_to_stop() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tell(plan: &LookupPlan, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(action = "reference-rows", lookup = plan.name, "{warning}");
    }
}
