//! Records: what they say, and how they are written.
//!
//! One JSON object each: `format`, `number`, `generation`, and `record` with one member, the kind. Members that this version does not
//! know are skipped; a format or a kind that it does not know is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{JournalError, Store};
use crate::epoch::{Binding, Checkpoint};
use crate::record::Epoch;

/// Version of the records.
pub(super) const FORMAT: u32 = 1;

/// A durable fact.
#[expect(
    clippy::large_enum_variant,
    reason = "few are in memory at a time, and checkpoints are the largest by what they point to"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A generation begins.
    Claim(Claim),
    /// What the job is from here on.
    Plan(PlanText),
    /// What epochs were, one after the other.
    Bindings(#[serde(with = "stretches")] Vec<Binding>),
    /// Where the job can begin again.
    Checkpoint(Checkpoint),
    /// The job was asked to stop, and everything up to an epoch is committed.
    Drained(Drained),
}

/// Who a generation is; its number stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Number of processes.
    pub processes: usize,
    /// Number of workers in each.
    pub workers: usize,
    /// Where it can be asked to stop, where it listens.
    pub address: Option<String>,
    /// Chosen at random by the process that claims, by which it knows its own claim: never the same twice.
    pub nonce: String,
}

/// A job as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanText {
    /// The job file.
    pub text: String,
    /// Hash of what it means.
    pub hash: u64,
    /// The program that runs it.
    pub build: String,
    /// Builds with the same number replay the same rows.
    pub replay: u32,
    /// What sources and targets were when the job met them: by name, such as a cluster's own id.
    pub identities: BTreeMap<String, String>,
    /// Epochs up to this one were read by a text or a program that may have read them otherwise: they are not read again.
    #[serde(default)]
    pub since: Epoch,
}

/// The end of a generation that was asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The last epoch that is committed.
    pub epoch: Epoch,
    /// Number of processes that are to come next; 0 where nobody asked for any.
    pub processes: usize,
    /// Number of workers in each.
    pub workers: usize,
}

/// A record with its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) record: Record,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
    number: u64,
    generation: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    format: u32,
    number: u64,
    generation: u64,
    record: &'a Record,
}

#[derive(Deserialize)]
struct Body {
    record: Record,
}

/// Name of the record with this number, below `journal`.
pub(super) fn record_name(number: u64) -> String {
    format!("journal/{number:08}.json")
}

/// Name of the object that says that records below `base` are not needed.
pub(super) fn base_name(base: u64) -> String {
    format!("base/{base:08}")
}

/// The numbers of the objects in a folder; names that this program does not give are nobody's.
pub(super) fn numbers(
    store: &dyn Store,
    folder: &str,
    name: fn(u64) -> String,
) -> Result<Vec<u64>, JournalError> {
    let number = |found: String| {
        let number = found.strip_suffix(".json").unwrap_or(&found).parse().ok()?;
        (name(number) == format!("{folder}/{found}")).then_some(number)
    };
    let mut numbers: Vec<u64> = store.list(folder)?.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The bytes of a record. They hold its number and generation, and a claim its nonce: no two processes write the same.
pub(super) fn encode(number: u64, generation: u64, record: &Record) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Line {
        format: FORMAT,
        number,
        generation,
        record,
    })
    .expect("records are JSON");
    bytes.push(b'\n');
    bytes
}

/// Reads a record back.
pub(super) fn decode(store: &dyn Store, number: u64, bytes: &[u8]) -> Result<Entry, JournalError> {
    let unreadable = |problem: String| JournalError::Unreadable {
        place: store.place(&record_name(number)),
        problem,
    };
    let read = |error: serde_json::Error| unreadable(format!("can't be read: {error}"));
    let head: Head = serde_json::from_slice(bytes).map_err(read)?;
    if head.format > FORMAT {
        return Err(JournalError::Newer {
            place: store.place(&record_name(number)),
            found: head.format,
            known: FORMAT,
        });
    }
    if head.number != number {
        return Err(unreadable(format!(
            "says that it is record {}",
            head.number
        )));
    }
    let Body { record } = serde_json::from_slice(bytes).map_err(read)?;
    let generation = head.generation;
    Ok(Entry {
        number,
        generation,
        record,
    })
}

/// Bindings on disk: runs of empty ones, which a quiet job writes by the thousand, are told by their walls.
mod stretches {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::epoch::{Binding, Lag};
    use crate::record::Epoch;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Stretch {
        Epoch(Binding),
        Empty {
            first: Epoch,
            last: Epoch,
            generation: u64,
            watermark: Option<i64>,
            #[serde(default)]
            parked: u64,
            now: Vec<i64>,
            /// Where each says until when all was read, in a run in which all say so.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            read_until: Vec<i64>,
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            is_source: bool,
        },
    }

    /// What one of a run says: until when all was read, and whose fault that is, where it says so; none where it belongs into no run.
    #[expect(
        clippy::option_option,
        reason = "a binding may be of no run, or of one that is not behind"
    )]
    fn plain(binding: &Binding) -> Option<Option<(i64, bool)>> {
        if !binding.is_empty() {
            return None;
        }
        match &binding.lag {
            None => Some(None),
            Some(Lag {
                read_until: Some(until),
                is_source,
                uncommitted_since: None,
            }) => Some(Some((*until, *is_source))),
            Some(_) => None,
        }
    }

    pub(super) fn serialize<S: Serializer>(
        bindings: &[Binding],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let alike = |left: &Binding, right: &Binding| {
            let whose = |binding| plain(binding).map(|lag| lag.map(|(_, is_source)| is_source));
            whose(left).is_some()
                && whose(left) == whose(right)
                && left.epoch.checked_add(1) == Some(right.epoch)
                && left.generation == right.generation
                && left.watermark == right.watermark
                && left.parked == right.parked
        };
        let stretch = |run: &[Binding]| match run {
            [one] if plain(one).is_none() => Stretch::Epoch(one.clone()),
            [first, ..] => Stretch::Empty {
                first: first.epoch,
                last: run[run.len() - 1].epoch,
                generation: first.generation,
                watermark: first.watermark,
                parked: first.parked,
                now: run.iter().map(|binding| binding.now).collect(),
                read_until: run
                    .iter()
                    .filter_map(|binding| plain(binding).flatten())
                    .map(|(until, _)| until)
                    .collect(),
                is_source: plain(first)
                    .flatten()
                    .is_some_and(|(_, is_source)| is_source),
            },
            [] => unreachable!("chunks have something in them"),
        };
        serializer.collect_seq(bindings.chunk_by(alike).map(stretch))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Binding>, D::Error> {
        let mut bindings = Vec::new();
        for stretch in Vec::<Stretch>::deserialize(deserializer)? {
            match stretch {
                Stretch::Epoch(binding) => bindings.push(binding),
                Stretch::Empty {
                    first,
                    last,
                    generation,
                    watermark,
                    parked,
                    now,
                    read_until,
                    is_source,
                } => {
                    let walls = u64::try_from(now.len()).expect("a length is 64 bits");
                    if walls == 0 || last.checked_sub(first) != Some(walls - 1) {
                        let problem = "a run of empty epochs has another number of walls";
                        return Err(D::Error::custom(problem));
                    }
                    if !read_until.is_empty() && read_until.len() != now.len() {
                        let problem =
                            "a run of empty epochs has another number of times of reading";
                        return Err(D::Error::custom(problem));
                    }
                    let lags = read_until.into_iter().map(|until| {
                        Some(Lag {
                            read_until: Some(until),
                            is_source,
                            uncommitted_since: None,
                        })
                    });
                    let times = now.into_iter().zip(lags.chain(std::iter::repeat(None)));
                    bindings.extend(
                        (first..=last)
                            .zip(times)
                            .map(|(epoch, (now, lag))| Binding {
                                epoch,
                                generation,
                                now,
                                watermark,
                                moved: Vec::new(),
                                references: Vec::new(),
                                parked,
                                lag,
                            }),
                    );
                }
            }
        }
        Ok(bindings)
    }
}
