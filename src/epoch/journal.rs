//! The journal: what a continuous job has decided, so that another life of it decides the same.
//!
//! ```text
//! STATE/
//!   journal/00000041.json    records, dense from the base on; none is ever changed
//!   journal/00000042.json    {"format":1,"number":42,"generation":3,"record":{"bindings":[…]}}
//!   base/00000041            records below it are not needed; the newest counts
//!   probe/put-if-absent      shows that the store refuses a second create
//!
//!   open ──> History ──> claim ──> append, append, … compact …      Fenced: another generation has claimed
//!            (a pure fold)  └ again, with what others wrote in between
//! ```
//!
//! **Replay from it is exact.** (1) The state of a job behind epoch e is a function of a checkpoint C ≤ e, of the input of the epochs in
//! (C, e], and of what each of them saw of wall time, watermarks and references, and all of that is in its binding or in the one before it.
//! (2) An effect of an epoch is visible only when its binding is durable: [`Journal::append`] has answered. (3) Bindings are dense
//! ([`History`] refuses a hole), records are never changed, and compaction keeps everything behind the checkpoints that may be needed.
//! So whoever reads the journal finds, for everything that anyone may have seen, what it was made of. An epoch whose binding is not
//! there has had no effect, and may be decided anew.
//!
//! **A zombie can't write.** A process that was taken for dead may wake up at any line. Let g be its generation and h > g one that has
//! claimed, at number m. (1) A process of g writes at its own next number and only there, and each number is put once; so until it has
//! put or read m itself its next number is ≤ m, and at m it finds the claim: [`JournalError::Fenced`], and nothing of g stands behind m.
//! (2) Its next number may have been freed by compaction, so that the put succeeds. Compaction puts the new base before it deletes, so
//! whoever puts a freed number finds a base above it *after* its put: it is fenced, too, and what it left lies below the base, which
//! nobody reads. (3) It may compact: what it then knows is a beginning of the journal, and what that needs grows with what is behind
//! it, so its base is never above what the newer generation needs. The folder `base` holds a few names, listed in one answer.
//!
//! **A lost answer.** Bytes of a record are its writer's alone: they hold number and generation, and a claim's a nonce. A put that
//! failed is done again; where the number is taken, its bytes say whether by ourselves. A record of which that stays unknown is
//! settled before any other is written.
//!
//! `model` drives two generations through all interleavings of their steps with all such faults.

mod bucket;
mod error;
mod history;
#[cfg(test)]
mod model;
mod record;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use bucket::check_option;
pub use error::JournalError;
pub use history::History;
pub use record::{Claim, Drained, PlanText, Record};
pub use store::{IsOver, Store, look_at_state, open_state, probe};

#[cfg(test)]
use store::LocalStore;

use history::Index;
use record::{Entry, FORMAT, base_name, decode, encode, numbers, record_name};

use crate::fault;
use crate::job::plan::StatePlace;
use crate::record::Epoch;

/// A journal that was read, and belongs to nobody yet.
#[derive(Debug)]
pub struct Opened {
    store: Arc<dyn Store>,
    /// What it says.
    pub history: History,
}

/// A journal that this process may write, until another one claims it. There is one in a job, on process 0.
#[derive(Debug)]
pub struct Journal {
    store: Arc<dyn Store>,
    generation: u64,
    index: Index,
    claim: Claim,
    plan: Option<PlanText>,
    /// A record whose put gave no answer.
    unsettled: Option<Record>,
    fenced: Option<u64>,
}

/// What a base object says, for those that it fences.
#[derive(Serialize, Deserialize)]
struct Base {
    format: u32,
    generation: u64,
}

/// What the journal of a job's state says, for who only looks.
///
/// Errors: as of [`Journal::open`].
pub fn look_at_journal(state: &StatePlace, is_over: IsOver) -> Result<History, JournalError> {
    read(&*look_at_state(state, is_over)?)
}

impl Journal {
    /// Reads a journal to its end.
    ///
    /// Errors: a record that is missing or can't be read, with its name.
    pub fn open(store: Arc<dyn Store>) -> Result<Opened, JournalError> {
        let history = read(&*store)?;
        Ok(Opened { store, history })
    }

    /// The generation that this process belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Appends a record, which is durable when this answers.
    ///
    /// Errors: [`JournalError::Fenced`], after which this process must end and every further call says the same; what the store
    /// answers, after which the record may be there or not: appending it again is safe, and any other call settles it first.
    ///
    /// # Panics
    ///
    /// Where the record can't follow what was appended: an epoch is left out, a checkpoint's is not bound.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        if let Some(unsettled) = self.unsettled.take() {
            let same = unsettled == record;
            self.put(unsettled)?;
            if same {
                return Ok(());
            }
        }
        self.put(record)
    }

    /// Writes down what a source or target is by its own word, where a plan is written that it belongs to.
    ///
    /// Errors: as of [`append`](Self::append).
    pub fn identify(&mut self, name: String, value: String) -> Result<(), JournalError> {
        let Some(mut plan) = self.plan.clone() else {
            return Ok(());
        };
        if plan.identities.insert(name, value.clone()) == Some(value) {
            return Ok(());
        }
        self.append(Record::Plan(plan))
    }

    /// Deletes what nothing needs any more, `visible` being the epoch up to which every target has committed: kept are the two
    /// checkpoints written last, the newest that is usable now, those whose state is kept beside it, and all that recovery from them
    /// reads. Says whether the job can still be begun anew.
    ///
    /// Cost: one listing and a call a record that goes. Errors: as of [`append`](Self::append).
    pub fn compact(&mut self, visible: Epoch) -> Result<bool, JournalError> {
        let base = self.index.base;
        let Some(needed) = self.index.needed(visible).filter(|needed| *needed > base) else {
            return Ok(base == History::default().index.base);
        };
        if self.index.plan.is_some_and(|number| number < needed) {
            let plan = self.plan.clone().expect("its number is known");
            self.append(Record::Plan(plan))?;
        }
        if self.index.claim.is_some_and(|number| number < needed) {
            self.append(Record::Claim(self.claim.clone()))?;
        }
        self.raise_base(needed)?;
        Ok(false)
    }

    /// The base first, then older bases, then records: at no time is a record needed that is not there.
    fn raise_base(&mut self, base: u64) -> Result<(), JournalError> {
        if let Some(by) = self.fenced {
            return Err(self.fenced_by(by));
        }
        let says = serde_json::to_vec(&Base {
            format: FORMAT,
            generation: self.generation,
        })
        .expect("two numbers are JSON");
        fault::at("raise the base");
        self.store.put_if_absent(&base_name(base), &says)?;
        fault::at("delete below the base");
        self.delete_below(base, "base", base_name)?;
        self.delete_below(base, "journal", record_name)?;
        self.index.raise(base);
        Ok(())
    }

    fn delete_below(
        &self,
        base: u64,
        folder: &str,
        name: fn(u64) -> String,
    ) -> Result<(), JournalError> {
        let numbers = numbers(&*self.store, folder, name)?.into_iter();
        let below = numbers.take_while(|number| *number < base);
        self.store.delete_all(&below.map(name).collect::<Vec<_>>())
    }

    fn put(&mut self, record: Record) -> Result<(), JournalError> {
        if let Some(by) = self.fenced {
            return Err(self.fenced_by(by));
        }
        let entry = Entry {
            number: self.index.next,
            generation: self.generation,
            record,
        };
        if let Err(problem) = self.index.fits(&entry) {
            panic!("a record that can't be appended: it {problem}");
        }
        let (before, after) = points(&entry.record);
        fault::at(before);
        match put_entry(&*self.store, &entry) {
            Ok(Put::Ours) => {
                fault::at(after);
                self.index.take(&entry).expect("it fits, as was asked");
                if let Record::Plan(plan) = entry.record {
                    self.plan = Some(plan);
                }
                Ok(())
            }
            Ok(Put::Below { generation }) => {
                self.fenced = Some(generation);
                Err(self.fenced_by(generation))
            }
            Ok(Put::Taken(other)) => {
                let other = decode(&*self.store, entry.number, &other)?;
                if other.generation <= self.generation {
                    return Err(JournalError::Unreadable {
                        place: self.store.place(&record_name(entry.number)),
                        problem: format!("is of generation {}, not ours", other.generation),
                    });
                }
                self.fenced = Some(other.generation);
                Err(self.fenced_by(other.generation))
            }
            Err(error) => {
                self.unsettled = Some(entry.record);
                Err(error)
            }
        }
    }

    fn fenced_by(&self, by: u64) -> JournalError {
        JournalError::Fenced {
            place: self.store.place(&record_name(self.index.next)),
            own: self.generation,
            by,
        }
    }
}

impl Opened {
    /// Begins the next generation, reading what others append meanwhile. The history goes to its end, the own claim included.
    pub fn claim(mut self, claim: Claim) -> Result<(Journal, History), JournalError> {
        loop {
            let entry = Entry {
                number: self.history.index.next,
                generation: self.history.generation.saturating_add(1),
                record: Record::Claim(claim.clone()),
            };
            fault::at("claim");
            match put_entry(&*self.store, &entry)? {
                Put::Ours => {
                    fault::at("begin what was claimed");
                    fold(&*self.store, &mut self.history, entry)?;
                    self.history.trim();
                    let journal = Journal {
                        store: self.store,
                        generation: self.history.generation,
                        index: self.history.index.clone(),
                        claim,
                        plan: self.history.plan.clone(),
                        unsettled: None,
                        fenced: None,
                    };
                    return Ok((journal, self.history));
                }
                Put::Taken(other) => {
                    let other = decode(&*self.store, entry.number, &other)?;
                    fold(&*self.store, &mut self.history, other)?;
                }
                Put::Below { .. } => self.history = read(&*self.store)?,
            }
        }
    }
}

/// Fail points before and behind the put of a record.
fn points(record: &Record) -> (&'static str, &'static str) {
    match record {
        Record::Claim(_) => ("claim", "begin what was claimed"),
        Record::Plan(_) => ("write down the plan", "go on behind the plan"),
        Record::Bindings(_) => ("write down bindings", "go on behind bindings"),
        Record::Checkpoint(_) => ("write down a checkpoint", "go on behind a checkpoint"),
        Record::Drained(_) => ("write down the end", "go on behind the end"),
    }
}

/// What became of a put.
enum Put {
    /// The record stands.
    Ours,
    /// Another one stands there.
    Taken(Vec<u8>),
    /// Its place is below the base, which this generation has put.
    Below { generation: u64 },
}

fn put_entry(store: &dyn Store, entry: &Entry) -> Result<Put, JournalError> {
    let name = record_name(entry.number);
    let bytes = encode(entry.number, entry.generation, &entry.record);
    loop {
        // Once more where it fails: it may be done, and we are the only one to put these bytes.
        let put = store
            .put_if_absent(&name, &bytes)
            .or_else(|_| store.put_if_absent(&name, &bytes))?;
        let standing = if put { None } else { Some(store.get(&name)?) };
        let (base, generation) = newest_base(store)?;
        if base > entry.number {
            return Ok(Put::Below { generation });
        }
        match standing {
            None => return Ok(Put::Ours),
            Some(Some(other)) if other == bytes => return Ok(Put::Ours),
            Some(Some(other)) => return Ok(Put::Taken(other)),
            // Deleted, and not by compaction: by hand.
            Some(None) => {}
        }
    }
}

/// The newest base, and the generation that put it; the first number where there is none.
fn newest_base(store: &dyn Store) -> Result<(u64, u64), JournalError> {
    loop {
        let Some(base) = numbers(store, "base", base_name)?.pop() else {
            return Ok((History::default().index.base, 0));
        };
        let name = base_name(base);
        // Gone: a newer one is there.
        let Some(bytes) = store.get(&name)? else {
            continue;
        };
        let says: Base =
            serde_json::from_slice(&bytes).map_err(|error| JournalError::Unreadable {
                place: store.place(&name),
                problem: format!("can't be read: {error}"),
            })?;
        if says.format > FORMAT {
            return Err(JournalError::Newer {
                place: store.place(&name),
                found: says.format,
                known: FORMAT,
            });
        }
        return Ok((base, says.generation));
    }
}

/// Records that are asked for at once.
const AT_ONCE: u64 = 64;

/// Reads from the base to the end.
///
/// The writer may raise the base meanwhile, behind records that it has put for that. What was read stays what it is, so none of it is
/// asked for twice: each further look is at what came since the one before, and a slow reader comes to an end.
fn read(store: &dyn Store) -> Result<History, JournalError> {
    let mut found = BTreeMap::new();
    let (mut base, _) = newest_base(store)?;
    loop {
        // A listing may show a name and not one that was put before it; so it only says how far to go. What is behind it is met by
        // whoever claims.
        let newest = numbers(store, "journal", record_name)?.pop().unwrap_or(0);
        read_through(store, base, newest, &mut found)?;
        let (now, _) = newest_base(store)?;
        // Below the base anything may stand, and be gone.
        found = found.split_off(&now);
        if now == base {
            return fold_all(store, base, found);
        }
        base = now;
    }
}

/// Adds the records from `base` on through `newest` that are not `found`, but for those that go below a newer base meanwhile.
fn read_through(
    store: &dyn Store,
    mut base: u64,
    newest: u64,
    found: &mut BTreeMap<u64, Vec<u8>>,
) -> Result<(), JournalError> {
    let mut next = found.last_key_value().map_or(base, |(last, _)| last + 1);
    while next <= newest {
        let numbers = next..=newest.min(next.saturating_add(AT_ONCE - 1));
        let names: Vec<String> = numbers.clone().map(record_name).collect();
        let mut missing = None;
        for (number, bytes) in numbers.clone().zip(store.get_all(&names)?) {
            match bytes {
                Some(bytes) => drop(found.insert(number, bytes)),
                None => missing = Some(number),
            }
        }
        next = numbers.end() + 1;
        if let Some(missing) = missing {
            (base, _) = newest_base(store)?;
            if base <= missing {
                return Err(JournalError::Gap {
                    place: store.place(&record_name(missing)),
                    newest: record_name(newest),
                });
            }
            next = next.max(base);
        }
    }
    Ok(())
}

/// What the records from `base` on say.
fn fold_all(
    store: &dyn Store,
    base: u64,
    found: BTreeMap<u64, Vec<u8>>,
) -> Result<History, JournalError> {
    let mut history = History::from_base(base);
    for (number, bytes) in found {
        let entry = decode(store, number, &bytes)?;
        fold(store, &mut history, entry)?;
    }
    history.trim();
    let lacking = if history.claim.is_none() {
        Some("claim")
    } else if history.index.plan.is_none() {
        Some("plan")
    } else if history.checkpoints.is_empty() {
        Some("usable checkpoint")
    } else {
        None
    };
    match lacking {
        Some(lacking) if base > History::default().index.base => Err(JournalError::Incomplete {
            place: store.place(&record_name(base)),
            lacking,
        }),
        _ => Ok(history),
    }
}

fn fold(store: &dyn Store, history: &mut History, entry: Entry) -> Result<(), JournalError> {
    let place = store.place(&record_name(entry.number));
    history
        .take(entry)
        .map_err(|problem| JournalError::Unreadable { place, problem })
}
