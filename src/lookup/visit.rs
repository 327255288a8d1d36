//! Drafts meet a reference collection of which every worker has a share: their keys visit the owners.
//!
//! ```text
//! asker   drafts ─ ask ─┬─ the draft, with where each row's answer will stand ────────────────> take ─> drafts
//!                       └─ its distinct keys ──> owner of each: answer ─ columns ──> asker ──────^
//! ```
//!
//! - A key is owned by the worker that owns the bin of its hash ([`exchange`](crate::cluster::exchange)); that is where the reference row
//!   with this key lies, too.
//! - A visit is one message: who asks, which of the asker's drafts it is for, and the distinct keys (and times) as columns. The answer
//!   goes back the same way, a row a key: whether something was found, and the columns that the job needs.
//! - A draft waits at `take`, under its capability and with the lease it holds, until all owners have answered. So what waits is bounded
//!   by `in_flight`, and the visits on their way by that, too, since they hold no more than their drafts' keys and what these find.
//! - Nobody waits for a lease here: owners answer whatever the budget says, and there is no circle. A draft that waits keeps
//!   readers from reading, never an owner from answering.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, RecordBatch, UInt32Array,
    new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::concat::concat;
use arrow_select::take::take;
use timely::bytes::arc::Bytes;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::ContainerBytes;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};

use super::collection::Reference;
use super::columns::NONE;
use super::distinct::Distinct;
use super::enrich::{Keys, Meeting};
use super::fold::folded;
use super::patch::Snapshot;
use super::view::{EnrichError, meet};
use crate::cluster::Run;
use crate::cluster::exchange::{self, Addressed, to_worker};
use crate::job::plan::{Fold, LookupPlan};
use crate::record::{Batch, Draft, Epoch};
use crate::transform::text;

/// Keys on their way to their owner, or what they found on its way back.
#[derive(Debug, Clone, Default)]
struct Visit {
    /// The worker it goes to.
    to: usize,
    /// The worker it comes from.
    from: usize,
    /// The asker's number of the draft.
    draft: u64,
    /// A row a key: the columns of the key, by their places in `on`, and then the time; back: the columns found, by their positions
    /// in the look-up, and then whether anything was.
    rows: Batch,
}

impl Addressed for Visit {
    fn worker(&self) -> usize {
        self.to
    }
}

impl timely::Accountable for Visit {
    fn record_count(&self) -> i64 {
        self.rows.record_count()
    }
}

/// Bytes before the batch: to, from, draft.
const HEAD_BYTES: usize = 24;

/// `to │ from │ draft │ batch`, the first three as words of 64 bits, little-endian.
impl ContainerBytes for Visit {
    fn from_bytes(mut bytes: Bytes) -> Self {
        let head = bytes.extract_to(HEAD_BYTES);
        let word = |at: usize| {
            u64::from_le_bytes(head[8 * at..8 * at + 8].try_into().expect("eight bytes"))
        };
        let worker = |at: usize| usize::try_from(word(at)).expect("a worker's index fits");
        Self {
            to: worker(0),
            from: worker(1),
            draft: word(2),
            rows: Batch::from_bytes(bytes),
        }
    }

    fn length_in_bytes(&self) -> usize {
        HEAD_BYTES + self.rows.length_in_bytes()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let worker = |index: usize| u64::try_from(index).expect("a worker's index fits 64 bits");
        for word in [worker(self.to), worker(self.from), self.draft] {
            writer
                .write_all(&word.to_le_bytes())
                .expect("timely gives room for length_in_bytes");
        }
        self.rows.into_bytes(writer);
    }
}

/// A draft whose keys are on a visit.
#[derive(Debug, Clone, Default)]
struct Asked {
    number: u64,
    draft: Draft,
    keys: Keys,
    /// For each row, where its key's answer stands when the answers of all owners stand behind each other.
    places: Vec<u32>,
    /// The workers asked, in their order.
    owners: Vec<usize>,
}

impl timely::Accountable for Asked {
    fn record_count(&self) -> i64 {
        self.draft.record_count()
    }
}

/// Adds the columns of a partitioned look-up to drafts.
pub(super) fn visit<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
) -> Stream<'scope, Epoch, Draft> {
    let (asked, visits) = ask(drafts, run, lookup);
    let owner = Meeting::new(Arc::clone(run), lookup);
    let answers = meet(
        visits,
        to_worker(),
        reference,
        run,
        lookup,
        "lookup:answer",
        move |snapshot, visit: Visit| answer(&owner, snapshot, visit),
    );
    collect(asked, answers, run, lookup)
}

/// Sends the distinct keys of each draft to their owners.
fn ask<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    run: &Arc<Run>,
    lookup: usize,
) -> (Stream<'scope, Epoch, Asked>, Stream<'scope, Epoch, Visit>) {
    let scope = drafts.scope();
    let mut builder = OperatorBuilder::new("lookup:ask".to_owned(), scope);
    let mut input = builder.new_input(drafts, Pipeline);
    let (asked_output, asked) = builder.new_output();
    let (visits_output, visits) = builder.new_output();
    let mut asked_output = OutputBuilder::<_, CapacityContainerBuilder<Asked>>::from(asked_output);
    let mut visits_output =
        OutputBuilder::<_, CapacityContainerBuilder<Visit>>::from(visits_output);
    let meeting = Meeting::new(Arc::clone(run), lookup);
    let keys_of = Asker {
        worker: scope.index(),
        table: exchange::table(scope.peers()),
        fold: run.plan.lookups[lookup].fold,
    };
    builder.build(move |_| {
        let mut number = 0;
        move |_| {
            let mut asked_output = asked_output.activate();
            let mut visits_output = visits_output.activate();
            input.for_each(|capability, draft| {
                let mut draft = std::mem::take(draft);
                let keys = meeting.keys(&mut draft);
                match keys_of.ask(number, draft, keys) {
                    Ok((mut asked, visits)) => {
                        number += 1;
                        asked_output.session(&capability).give_container(&mut asked);
                        let mut session = visits_output.session(&capability);
                        for mut visit in visits {
                            session.give_container(&mut visit);
                        }
                    }
                    Err(error) => meeting
                        .run
                        .fail(EnrichError::new(meeting.plan(), error).into()),
                }
            });
        }
    });
    (asked, visits)
}

struct Asker {
    worker: usize,
    /// The worker that owns each bin.
    table: Vec<usize>,
    fold: Option<Fold>,
}

impl Asker {
    fn ask(
        &self,
        number: u64,
        draft: Draft,
        keys: Keys,
    ) -> Result<(Asked, Vec<Visit>), ArrowError> {
        let distinct = Distinct::new(&keys, draft.rows)?;
        let first_rows = UInt32Array::from(distinct.first_rows);
        let columns = keys.on.iter().chain(&keys.at);
        let columns: Vec<ArrayRef> = columns
            .map(|column| take(column, &first_rows, None))
            .collect::<Result<_, _>>()?;
        let compared = folded(columns[..keys.on.len()].to_vec(), self.fold);
        let hashes = exchange::hash_rows(&compared, first_rows.len());
        let mut of_owner: Vec<Vec<u32>> = Vec::new();
        for (key, hash) in (0..).zip(hashes) {
            let owner = self.table[exchange::bin(hash)];
            if of_owner.len() <= owner {
                of_owner.resize(owner + 1, Vec::new());
            }
            of_owner[owner].push(key);
        }
        let mut place_of_key = vec![0; first_rows.len()];
        let mut place = 0;
        let (mut owners, mut visits) = (Vec::new(), Vec::new());
        for (owner, of_owner) in of_owner.into_iter().enumerate() {
            if of_owner.is_empty() {
                continue;
            }
            for key in &of_owner {
                place_of_key[index(*key)] = place;
                place += 1;
            }
            let of_owner = UInt32Array::from(of_owner);
            let columns = columns.iter().enumerate().map(|(number, column)| {
                let column = text::to_plain(&take(column, &of_owner, None)?);
                Ok((number, column))
            });
            owners.push(owner);
            visits.push(Visit {
                to: owner,
                from: self.worker,
                draft: number,
                rows: numbered(columns.collect::<Result<_, ArrowError>>()?, draft.epoch)?,
            });
        }
        let places = distinct.of_row.into_iter();
        let places = places.map(|key| {
            if key == NONE {
                NONE
            } else {
                place_of_key[index(key)]
            }
        });
        let asked = Asked {
            number,
            places: places.collect(),
            draft,
            keys,
            owners,
        };
        Ok((asked, visits))
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("a number of 32 bits fits")
}

/// A batch of columns that are named by numbers, as those that travel are.
fn numbered(columns: Vec<(usize, ArrayRef)>, epoch: Epoch) -> Result<Batch, ArrowError> {
    let fields = columns
        .iter()
        .map(|(number, column)| Field::new(number.to_string(), column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let rows = RecordBatch::try_new(Arc::new(schema), columns)?;
    Ok(Batch::new(rows, epoch))
}

/// What the keys of a visit find in this worker's share.
fn answer(owner: &Meeting, snapshot: &Snapshot, visit: Visit) -> Result<Visit, ArrowError> {
    let plan = owner.plan();
    let rows = visit.rows.rows.expect("a visit has keys");
    let (on, at) = rows.columns().split_at(plan.on.len());
    let found = snapshot.find(on, at.first())?;
    let is_found: BooleanArray = found.iter().map(|row| Some(*row != NONE)).collect();
    let found: UInt32Array = found
        .into_iter()
        .map(|row| (row != NONE).then_some(row))
        .collect();
    let mut columns = Vec::new();
    for position in needed(owner) {
        let column = snapshot.gather(position, &found)?;
        columns.push((position, text::to_plain(&column)));
    }
    let is_found: ArrayRef = Arc::new(is_found);
    columns.push((plan.reference.len(), is_found));
    Ok(Visit {
        to: visit.from,
        from: visit.to,
        draft: visit.draft,
        rows: numbered(columns, visit.rows.epoch)?,
    })
}

/// Positions of the reference columns that the job needs.
fn needed(meeting: &Meeting) -> Vec<usize> {
    let plan = meeting.plan();
    let needed = &meeting.run.needed[plan.first_column..];
    (0..plan.reference.len())
        .filter(|position| needed[*position])
        .collect()
}

/// A draft that waits for answers.
struct Waiting {
    capability: Capability<Epoch>,
    asked: Asked,
    /// The answer of each owner, in their order.
    answers: Vec<Option<RecordBatch>>,
}

/// Holds drafts until all owners have answered, and adds what they found.
fn collect<'scope>(
    asked: Stream<'scope, Epoch, Asked>,
    answers: Stream<'scope, Epoch, Visit>,
    run: &Arc<Run>,
    lookup: usize,
) -> Stream<'scope, Epoch, Draft> {
    let meeting = Meeting::new(Arc::clone(run), lookup);
    asked.binary::<_, CapacityContainerBuilder<Draft>, _, _, _, _>(
        answers,
        Pipeline,
        to_worker(),
        "lookup:take",
        move |_, _| {
            let mut waiting: HashMap<u64, Waiting> = HashMap::new();
            move |asked, answers, output| {
                let mut whole = Vec::new();
                // A draft is given before its keys leave, so it is here before any answer.
                asked.for_each(|capability, asked| {
                    let Some(capability) = capability.retain_least(output.output_index()) else {
                        return;
                    };
                    let asked = std::mem::take(asked);
                    let draft = Waiting {
                        capability,
                        answers: vec![None; asked.owners.len()],
                        asked,
                    };
                    if draft.answers.is_empty() {
                        whole.push(draft);
                    } else {
                        waiting.insert(draft.asked.number, draft);
                    }
                });
                answers.for_each(|_, visit| {
                    let visit = std::mem::take(visit);
                    let draft = waiting
                        .get_mut(&visit.draft)
                        .expect("an answer is for a draft that waits");
                    let owner = draft.asked.owners.binary_search(&visit.from);
                    draft.answers[owner.expect("an answer is from an owner that was asked")] =
                        visit.rows.rows;
                    if draft.answers.iter().all(Option::is_some) {
                        whole.extend(waiting.remove(&visit.draft));
                    }
                });
                for draft in whole {
                    let Waiting {
                        capability,
                        asked,
                        answers,
                    } = draft;
                    match finish(&meeting, asked, answers) {
                        Ok(mut draft) => output.session(&capability).give_container(&mut draft),
                        Err(error) => meeting
                            .run
                            .fail(EnrichError::new(meeting.plan(), error).into()),
                    }
                }
            }
        },
    )
}

/// Adds what the keys of a draft found.
fn finish(
    meeting: &Meeting,
    asked: Asked,
    answers: Vec<Option<RecordBatch>>,
) -> Result<Draft, ArrowError> {
    let answers: Vec<RecordBatch> = answers.into_iter().flatten().collect();
    let found = Found::new(meeting.plan(), &needed(meeting), &answers)?;
    let places = asked.places.into_iter();
    let places = places.map(|place| {
        if place != NONE && found.is_found.value(index(place)) {
            place
        } else {
            NONE
        }
    });
    let mut draft = asked.draft;
    meeting.add(
        &mut draft,
        &asked.keys,
        places.collect(),
        |position, rows| found.gather(position, rows),
    )?;
    Ok(draft)
}

/// The answers of all owners, behind each other.
struct Found {
    columns: HashMap<usize, ArrayRef>,
    is_found: BooleanArray,
}

impl Found {
    fn new(
        plan: &LookupPlan,
        needed: &[usize],
        answers: &[RecordBatch],
    ) -> Result<Self, ArrowError> {
        if answers.is_empty() {
            // One row that nobody asks for: places under nulls lie inside it.
            let columns = needed.iter().map(|position| {
                let data_type = plan.reference[*position].column_type.data_type();
                (*position, new_null_array(&data_type, 1))
            });
            return Ok(Self {
                columns: columns.collect(),
                is_found: BooleanArray::from(vec![false]),
            });
        }
        let joined = |number: usize| {
            let parts = answers.iter().map(|answer| {
                let column = answer.column_by_name(&number.to_string());
                column
                    .expect("an owner gives the columns that the job needs")
                    .as_ref()
            });
            concat(&parts.collect::<Vec<_>>())
        };
        let mut columns = HashMap::with_capacity(needed.len());
        for position in needed {
            columns.insert(*position, joined(*position)?);
        }
        let is_found = joined(plan.reference.len())?;
        Ok(Self {
            columns,
            is_found: is_found.as_boolean().clone(),
        })
    }

    /// A column at these places. Texts come as codes of the places, since a draft has fewer keys than rows.
    fn gather(&self, position: usize, rows: &UInt32Array) -> Result<ArrayRef, ArrowError> {
        let column = &self.columns[&position];
        if column.data_type() != &DataType::Utf8 {
            return take(column, rows, None);
        }
        let codes = rows.values().iter();
        let codes =
            codes.map(|place| i32::try_from(*place).expect("a draft has fewer than 2^31 rows"));
        let nulls = rows.nulls().cloned();
        let codes = Int32Array::new(codes.collect(), nulls);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            codes,
            Arc::clone(column),
        )?))
    }
}
