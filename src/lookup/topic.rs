//! A look-up whose rows are the messages of a topic: the newest of each key counts, one without a value takes its key's rows away.
//!
//! | message | outcome |
//! |---|---|
//! | a value | the rows it makes are put in place of those that the same message key made before |
//! | no value (a tombstone) | the rows that the key made are gone |
//! | no key | left out and told (`null_key`): nothing could ever take its place |
//! | a value that can't be read | left out and told; the rows of before stay |
//! | a row whose look-up key another message key has made | with `order_by` the newer one counts, else it is left out and told (`duplicate_key`) |
//! | a row that is older by `order_by` than the one there is | left out and counted (`stale`) |
//! | changes (`debezium`) | as [`crate::decode::debezium`] says; message keys don't count |

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Array, ArrayRef};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use hashbrown::HashMap;

use super::layout::Layout;
use super::load::{LookupError, Read, Reading, encode};
use super::rows::{Difference, Rows, keys};
use crate::decode::debezium::{Effect, Order};
use crate::decode::messages_of_rows;
use crate::job::plan::{Duplicates, Format, KafkaSource, LookupPlan};
use crate::sources::{KafkaError, ReferenceReader, SourceError, Updates};

/// Bytes of messages that are applied at a time.
const BATCH_BYTES: usize = 8 << 20;

/// Messages that are told one by one in what is read at once; the others are counted.
const TOLD: usize = 5;

/// The table that a topic makes, and where it is read.
pub(super) struct Topic {
    reader: ReferenceReader,
    keyed: Keyed,
}

/// What became of messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Applied {
    /// How rows changed.
    pub(super) difference: Difference,
    /// Messages that were read.
    pub(super) messages: usize,
    /// Rows that were older than the one there was.
    pub(super) stale: u64,
    /// Messages and rows that were left out.
    pub(super) left_out: u64,
    /// Some of them, for people.
    pub(super) told: Vec<String>,
}

/// Who made each row.
#[derive(Default)]
struct Keyed {
    /// For each message key the identities of the rows that it made.
    made: HashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    /// For each identity who made the row, and how new it is.
    marks: HashMap<Box<[u8]>, Mark>,
}

/// How new a row is and whose.
#[derive(Default)]
struct Mark {
    key: Option<Box<[u8]>>,
    /// The value of `order_by`, encoded.
    newest: Option<Box<[u8]>>,
    order: Option<Order>,
}

/// What identities were before messages were applied; the first word counts.
type Before = HashMap<Box<[u8]>, Option<Box<[u8]>>>;

impl Topic {
    /// Finds the topic, and reads all that is there; waits for brokers up to `patience`. `None` where `over` said that nobody wants it any
    /// more.
    ///
    /// Errors: nothing came for `patience` though there is more.
    pub(super) fn whole(
        plan: &LookupPlan,
        kafka: &KafkaSource,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<Option<(Self, Rows, Applied)>, LookupError> {
        let reader = ReferenceReader::open(&plan.name, kafka, &plan.columns, patience, over);
        let Some(reader) = reader.map_err(SourceError::from)? else {
            return Ok(None);
        };
        let keyed = Keyed::default();
        let mut topic = Self { reader, keyed };
        let read = topic.read_to_end(plan, patience, over)?;
        Ok(read.map(|(rows, applied)| (topic, rows, applied)))
    }

    /// Who reads it.
    pub(super) fn reader(&self) -> &ReferenceReader {
        &self.reader
    }

    fn read_to_end(
        &mut self,
        plan: &LookupPlan,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<Option<(Rows, Applied)>, LookupError> {
        let mut rows = Rows::default();
        let mut all = Applied::default();
        let mut since = Instant::now();
        while !self.reader.is_caught_up() {
            if over() {
                return Ok(None);
            }
            let applied = self.next(plan, &mut rows)?;
            if applied.messages > 0 {
                since = Instant::now();
            } else if since.elapsed() >= patience {
                let unread = KafkaError::Client {
                    owner: format!("lookups.{}", plan.name),
                    problem: format!(
                        "no message came for {} s, and the topic's end is not reached",
                        patience.as_secs()
                    ),
                };
                return Err(SourceError::from(unread).into());
            }
            all.messages += applied.messages;
            all.stale += applied.stale;
            all.left_out += applied.left_out;
            let free = TOLD.saturating_sub(all.told.len());
            all.told.extend(applied.told.into_iter().take(free));
        }
        Ok(Some((rows, all)))
    }

    /// Applies the messages that have come to `rows`; waits a moment for the first.
    pub(super) fn next(
        &mut self,
        plan: &LookupPlan,
        rows: &mut Rows,
    ) -> Result<Applied, LookupError> {
        let updates = self.reader.next(BATCH_BYTES).map_err(SourceError::from)?;
        if updates.messages.is_empty() {
            return Ok(Applied::default());
        }
        self.keyed
            .apply(plan, updates, rows)
            .map_err(|source| encode(plan, source))
    }
}

/// Values that were decoded: encoded rows, and which of them each record of each chunk made.
struct Decoded {
    identities: arrow_row::Rows,
    rows: arrow_row::Rows,
    /// The encoded `order_by` of each row.
    newest: Option<arrow_row::Rows>,
    /// For each chunk and each record in it its rows.
    of: Vec<HashMap<usize, Vec<usize>>>,
    /// For each chunk and each record in it that took all rows away the order of that.
    cleared: HashMap<(usize, usize), Order>,
    read: Read,
}

impl Decoded {
    fn new(plan: &LookupPlan, updates: &mut Updates) -> Result<Self, ArrowError> {
        let mut reading = Reading::new(plan);
        let mut record_of_row: Vec<Vec<usize>> = Vec::new();
        for chunk in std::mem::take(&mut updates.chunks) {
            record_of_row.push(reading.take_chunk(Arc::new(chunk), messages_of_rows)?);
        }
        let read = reading.read()?;
        let layout = Layout::new(plan)?;
        let columns = read.all.columns();
        let mut of: Vec<HashMap<usize, Vec<usize>>> = vec![HashMap::new(); record_of_row.len()];
        for (row, (chunk, of_draft)) in read.from.iter().enumerate() {
            let record = record_of_row[*chunk][*of_draft];
            of[*chunk].entry(record).or_default().push(row);
        }
        let cleared = read.truncated.iter().map(|((chunk, of_draft), order)| {
            ((*chunk, record_of_row[*chunk][*of_draft]), order.clone())
        });
        let cleared = cleared.collect();
        let newest = match plan.duplicates {
            Duplicates::Newest(position) => Some(ordered(&columns[position])?),
            _ => None,
        };
        Ok(Self {
            identities: layout.identities(plan, &keys(plan, columns), columns)?,
            rows: layout.encode(columns)?,
            newest,
            of,
            cleared,
            read,
        })
    }
}

impl Keyed {
    fn apply(
        &mut self,
        plan: &LookupPlan,
        mut updates: Updates,
        rows: &mut Rows,
    ) -> Result<Applied, ArrowError> {
        let decoded = Decoded::new(plan, &mut updates)?;
        let mut applied = Applied {
            messages: updates.messages.len(),
            left_out: decoded.read.left_out,
            told: decoded.read.told.clone(),
            ..Applied::default()
        };
        let mut before = Before::new();
        let is_changes = matches!(plan.format, Format::Debezium);
        for message in &updates.messages {
            let none = Vec::new();
            let made = message.value.map(|(chunk, record)| {
                let of_record = decoded.of[chunk].get(&record);
                (
                    of_record.unwrap_or(&none),
                    decoded.cleared.get(&(chunk, record)),
                )
            });
            match (made, &message.key) {
                (Some((made, truncated)), _) if is_changes => {
                    if let Some(order) = truncated {
                        self.clear(order, rows, &mut before);
                    }
                    for row in made {
                        self.change(&decoded, *row, rows, &mut before, &mut applied);
                    }
                }
                (None, _) if is_changes => {}
                (_, None) => {
                    let (partition, offset) = message.place;
                    applied.leave_out(|| {
                        format!(
                            "lookups.{}: partition {partition} offset {offset}: a message without a key (null_key); the reference row is left out",
                            plan.name
                        )
                    });
                }
                (None, Some(key)) => {
                    self.put(plan, &decoded, key, &[], rows, &mut before, &mut applied);
                }
                // A value of which no row could be read says nothing of its key.
                (Some((made, _)), Some(_)) if made.is_empty() => {}
                (Some((made, _)), Some(key)) => {
                    self.put(plan, &decoded, key, made, rows, &mut before, &mut applied);
                }
            }
        }
        for (identity, before) in before {
            applied.difference.add(before, rows.get(&identity));
        }
        Ok(applied)
    }

    /// Puts what a message key makes in place of what it made.
    #[expect(clippy::too_many_arguments, reason = "what a message meets")]
    fn put(
        &mut self,
        plan: &LookupPlan,
        decoded: &Decoded,
        key: &[u8],
        made: &[usize],
        rows: &mut Rows,
        before: &mut Before,
        applied: &mut Applied,
    ) {
        let earlier = self.made.remove(key).unwrap_or_default();
        let mut now: Vec<Box<[u8]>> = Vec::with_capacity(made.len());
        for row in made {
            let identity = decoded.identities.row(*row).data();
            let newest = decoded
                .newest
                .as_ref()
                .map(|newest| newest.row(*row).data());
            if let Some(mark) = self.marks.get(identity) {
                if newest.is_some_and(|newest| mark.newest.as_deref() > Some(newest)) {
                    applied.stale += 1;
                    if mark.key.as_deref() == Some(key) {
                        now.push(identity.into());
                    }
                    continue;
                }
                if newest.is_none() && mark.key.as_deref() != Some(key) {
                    if rows.get(identity) != Some(decoded.rows.row(*row).data()) {
                        let key = String::from_utf8_lossy(key).into_owned();
                        applied.leave_out(|| {
                            format!(
                                "lookups.{}: the row of message key {key} has the look-up key of another message key's row (duplicate_key); it is left out",
                                plan.name
                            )
                        });
                    }
                    continue;
                }
            }
            let bytes = decoded.rows.row(*row).data();
            remember(before, identity, rows.set(identity, Some(bytes.into())));
            let mark = Mark {
                key: Some(key.into()),
                newest: newest.map(Box::from),
                order: None,
            };
            self.marks.insert(identity.into(), mark);
            now.push(identity.into());
        }
        for identity in earlier {
            let is_ours = |mark: &Mark| mark.key.as_deref() == Some(key);
            if !now.contains(&identity) && self.marks.get(&identity).is_some_and(is_ours) {
                self.marks.remove(&identity);
                remember(before, &identity, rows.set(&identity, None));
            }
        }
        if !now.is_empty() {
            self.made.insert(key.into(), now);
        }
    }

    /// Does what a change of a table says.
    fn change(
        &mut self,
        decoded: &Decoded,
        row: usize,
        rows: &mut Rows,
        before: &mut Before,
        applied: &mut Applied,
    ) {
        let change = &decoded.read.changes[row];
        let identity = decoded.identities.row(row).data();
        let order = self
            .marks
            .get(identity)
            .and_then(|mark| mark.order.as_ref());
        if order.is_some_and(|order| !change.order.is_after(order)) {
            applied.stale += 1;
            return;
        }
        let is_gone = change.effect == Effect::Delete;
        let bytes = (!is_gone).then(|| decoded.rows.row(row).data().into());
        remember(before, identity, rows.set(identity, bytes));
        // Also of a row that is gone: a change from before may still come.
        let mark = Mark {
            order: Some(change.order.clone()),
            ..Mark::default()
        };
        self.marks.insert(identity.into(), mark);
    }

    /// Takes all rows away that are not newer.
    fn clear(&mut self, order: &Order, rows: &mut Rows, before: &mut Before) {
        self.marks.retain(|identity, mark| {
            let is_older = mark.order.as_ref().is_none_or(|mark| order.is_after(mark));
            if is_older {
                remember(before, identity, rows.set(identity, None));
            }
            !is_older
        });
    }
}

impl Applied {
    /// What is to be said of what was left out.
    pub(super) fn warnings(&self, plan: &LookupPlan) -> Vec<String> {
        let mut warnings = self.told.clone();
        let told = u64::try_from(self.told.len()).expect("a number fits");
        if self.left_out > told {
            let more = self.left_out - told;
            warnings.push(format!(
                "lookups.{}: {more} more messages or rows were left out",
                plan.name
            ));
        }
        warnings
    }

    fn leave_out(&mut self, words: impl FnOnce() -> String) {
        self.left_out += 1;
        if self.told.len() < TOLD {
            self.told.push(words());
        }
    }
}

fn remember(before: &mut Before, identity: &[u8], was: Option<Box<[u8]>>) {
    before.entry_ref(identity).or_insert(was);
}

/// Values as bytes that compare as they do, nulls first.
fn ordered(column: &ArrayRef) -> Result<arrow_row::Rows, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    converter.convert_columns(&[Arc::clone(column)])
}
