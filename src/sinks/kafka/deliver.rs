//! The operators of sinks that write topics: rows become messages where they are, and messages go to the workers that own their shards.
//!
//! ```text
//!  rows ──> sinks:encode NAME ──messages──> by shard ──> sinks:deliver ──> threads of the shards that this worker owns
//!                 └── notes: what was handed on
//! ```
//!
//! A shard of a message follows from its key alone, so messages of one key go through one producer, in order. A message without a key
//! goes where its row's place says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use super::encode::{Encoded, Encoder};
use super::messages::{Messages, Order, words};
use super::shard::{Shard, Told};
use crate::cluster::exchange::{mix, to_worker};
use crate::cluster::{Run, ShardId, spawn};
use crate::epoch::Control;
use crate::job::plan::{KafkaSink, SinkFrom};
use crate::record::{Batch, Epoch, Note, Positions};
use crate::transform::text::Text;

/// Where the columns of `refused` stand that say where a row comes from.
const REFUSED: [usize; 6] = [0, 1, 3, 4, 5, 6];

/// Makes messages of a sink's rows; tells how many.
pub(in crate::sinks) fn encode<'scope>(
    rows: Stream<'scope, Epoch, Batch>,
    control: &StreamVec<'scope, Epoch, Control>,
    sink: usize,
    kafka: &KafkaSink,
    run: &Arc<Run>,
) -> (
    Stream<'scope, Epoch, Messages>,
    StreamVec<'scope, Epoch, Note>,
) {
    let plan = &run.plan.sinks[sink];
    let scope = rows.scope();
    let (worker, peers) = (scope.index(), scope.peers());
    let mut builder = OperatorBuilder::new(format!("sinks:encode {}", plan.name), scope);
    let mut input = builder.new_input(rows, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (messages_output, messages) = builder.new_output();
    let (notes_output, notes) = builder.new_output();
    let mut messages_output =
        OutputBuilder::<_, CapacityContainerBuilder<Messages>>::from(messages_output);
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let shards = run.plan.clusters[kafka.cluster].shards;
    let (run, kafka) = (Arc::clone(run), kafka.clone());
    builder.build(move |_| {
        let mut encoder = Encoder::new(&run.plan.sinks[sink], &kafka);
        // What epochs that are open take for now; rows may come before they are known to be open.
        let mut nows: BTreeMap<Epoch, i64> = BTreeMap::new();
        let mut waiting = Vec::new();
        move |frontiers| {
            control.for_each(|_, said| {
                for control in said.drain(..) {
                    if let Control::Open(opening) = control {
                        nows.insert(opening.epoch, opening.now);
                    }
                }
            });
            input.for_each(|capability, batch| {
                let (Some(of_messages), Some(of_notes)) =
                    (capability.retain_least(0), capability.retain_least(1))
                else {
                    return;
                };
                waiting.push((of_messages, of_notes, std::mem::take(batch)));
            });
            let mut later = Vec::new();
            for (of_messages, of_notes, batch) in waiting.drain(..) {
                let Some(rows) = &batch.rows else { continue };
                let Some(now) = nows.get(&batch.epoch).copied() else {
                    later.push((of_messages, of_notes, batch));
                    continue;
                };
                let made = match encoder.encode(rows, now) {
                    Ok(messages) => messages,
                    Err(error) => {
                        run.fail(error.into());
                        continue;
                    }
                };
                let from = Origins::new(&run, sink, rows);
                let mut bytes = 0;
                let mut output = messages_output.activate();
                let mut session = output.session(&of_messages);
                for mut part in by_shard(&made, &from, (sink, batch.epoch), shards, peers) {
                    bytes += part.bytes();
                    part.lease.clone_from(&batch.lease);
                    session.give_container(&mut part);
                }
                run.observer.received(sink, rows.num_rows(), bytes);
                let note = Note::Sent {
                    sink,
                    rows: u64::try_from(rows.num_rows()).expect("a number of rows fits"),
                    bytes: u64::try_from(bytes).expect("a number of bytes fits"),
                };
                notes_output.activate().session(&of_notes).give(note);
            }
            waiting.extend(later);
            let upper = frontiers[0].frontier().as_option().copied();
            run.observer.sink_at(worker, sink, upper);
            if let Some(upper) = upper {
                nows = nows.split_off(&upper);
            }
        }
    });
    (messages, notes)
}

/// Where a batch's rows come from.
enum Origins<'a> {
    Rows(Positions<'a>),
    Refused {
        sources: Text<'a>,
        files: Text<'a>,
        bytes: &'a arrow_array::Int64Array,
        topics: Text<'a>,
        partitions: &'a arrow_array::Int32Array,
        offsets: &'a arrow_array::Int64Array,
    },
    /// From no one place: windows, verdicts.
    None,
}

impl<'a> Origins<'a> {
    fn new(run: &Run, sink: usize, rows: &'a RecordBatch) -> Self {
        match run.plan.sinks[sink].from {
            SinkFrom::Rows => Self::Rows(Positions::new(rows, run.plan.columns.len())),
            SinkFrom::Refused => {
                let column = |place: usize| rows.column(REFUSED[place]);
                Self::Refused {
                    sources: Text::new(column(0)),
                    files: Text::new(column(1)),
                    bytes: column(2).as_primitive::<Int64Type>(),
                    topics: Text::new(column(3)),
                    partitions: column(4).as_primitive::<Int32Type>(),
                    offsets: column(5).as_primitive::<Int64Type>(),
                }
            }
            _ => Self::None,
        }
    }

    /// For each row its place in the order of an epoch, and the number of its file in `files`.
    fn orders(&self, encoded: &Encoded, files: &mut Vec<String>) -> Vec<(Order, Option<usize>)> {
        let hash = |source: &str, file: &str| {
            mix(words(source.as_bytes()) ^ words(file.as_bytes()).rotate_left(1))
        };
        match self {
            Self::Rows(positions) => {
                let mut known: BTreeMap<(i32, usize), (usize, u64)> = BTreeMap::new();
                let each = |row| {
                    let (source, code) = (positions.source(row), positions.code(row));
                    let (number, file) = *known.entry((source, code)).or_insert_with(|| {
                        let file = positions.file(code);
                        files.push(file.to_owned());
                        (files.len() - 1, hash(&source.to_string(), file))
                    });
                    let order = Order {
                        file,
                        place: positions.place(row),
                        row: positions.row(row),
                    };
                    (order, Some(number))
                };
                (0..encoded.len()).map(each).collect()
            }
            Self::Refused {
                sources,
                files: names,
                bytes,
                topics,
                partitions,
                offsets,
            } => {
                let mut known: BTreeMap<String, usize> = BTreeMap::new();
                let each = |row| {
                    let (file, place) = match topics.value(row) {
                        Some(topic) => (
                            format!("{topic}/{}", partitions.value(row)),
                            offsets.value(row),
                        ),
                        None => (
                            names.value(row).unwrap_or_default().to_owned(),
                            bytes.value(row),
                        ),
                    };
                    let order = Order {
                        file: hash(sources.value(row).unwrap_or_default(), &file),
                        place: u64::try_from(place).expect("positions are not negative"),
                        // Rows of one record: by what they say.
                        row: encoded.value(row).map_or(0, words),
                    };
                    let number = *known.entry(file).or_insert_with_key(|file| {
                        files.push(file.clone());
                        files.len() - 1
                    });
                    (order, Some(number))
                };
                (0..encoded.len()).map(each).collect()
            }
            Self::None => {
                let each = |row| {
                    let part = |bytes: Option<&[u8]>| bytes.map_or(0, words);
                    let order = Order {
                        file: 0,
                        place: part(encoded.key(row)),
                        row: part(encoded.value(row)),
                    };
                    (order, None)
                };
                (0..encoded.len()).map(each).collect()
            }
        }
    }
}

/// The messages of each shard that has some.
fn by_shard(
    encoded: &Encoded,
    from: &Origins<'_>,
    (sink, epoch): (usize, Epoch),
    shards: usize,
    peers: usize,
) -> impl Iterator<Item = Messages> {
    let mut files = Vec::new();
    let orders = from.orders(encoded, &mut files);
    let mut of_shard: Vec<Option<Messages>> = (0..shards).map(|_| None).collect();
    for (row, (order, file)) in orders.into_iter().enumerate() {
        let key = encoded.key(row);
        let hash = match key {
            Some(key) => words(key),
            None => mix(order.file ^ mix(order.place ^ order.row)),
        };
        let shard = shard_of(hash, shards);
        let messages = of_shard[shard].get_or_insert_with(|| {
            let mut new = Messages::new(owner(shard, shards, peers), shard, sink, epoch);
            for file in &files {
                new.add_file(file);
            }
            new
        });
        messages.push(
            order,
            file.map(|file| u32::try_from(file).expect("a batch has few files")),
            key,
            encoded.value(row),
            encoded.headers(row),
            encoded.partition(row),
            encoded.timestamp(row),
        );
    }
    of_shard.into_iter().flatten()
}

/// The shard of a hash: its top bits, scaled.
fn shard_of(hash: u64, shards: usize) -> usize {
    let shards = u128::try_from(shards).expect("a number of shards fits");
    usize::try_from((u128::from(hash) * shards) >> 64).expect("it is less than the shards")
}

/// The worker that owns a shard: shards in runs of equal length.
pub(super) fn owner(shard: usize, shards: usize, peers: usize) -> usize {
    shard * peers / shards
}

/// Hands messages of all sinks of a cluster to the threads of the shards that this worker owns.
pub(in crate::sinks) fn deliver(
    messages: Stream<'_, Epoch, Messages>,
    cluster: usize,
    run: &Arc<Run>,
) {
    let scope = messages.scope();
    let (worker, peers) = (scope.index(), scope.peers());
    let plan = &run.plan.clusters[cluster];
    let mut threads: BTreeMap<usize, Sender<Told>> = BTreeMap::new();
    let own = (0..plan.shards).filter(|shard| owner(*shard, plan.shards, peers) == worker);
    for shard in own {
        let (tells, hears) = channel();
        let id = ShardId { cluster, shard };
        let of_durable = tells.clone();
        run.fate.deliveries().listen(Box::new(move |epoch| {
            of_durable.send(Told::Durable(epoch)).is_ok()
        }));
        let of_shard = Shard::new(run, id, hears);
        let started = spawn(format!("shard-{cluster}-{shard}"), move || of_shard.work());
        if let Err(error) = started {
            run.fail(crate::cluster::RunError::no_thread(error));
        }
        threads.insert(shard, tells);
    }
    let name = format!("sinks:deliver {}", plan.id);
    let mut builder = OperatorBuilder::new(name, scope);
    let mut input = builder.new_input(messages, to_worker());
    let run = Arc::clone(run);
    builder.build(move |_| {
        let mut passed = Some(0);
        move |frontiers| {
            input.for_each(|_, messages| {
                let mut messages = std::mem::take(messages);
                if messages.is_empty() {
                    return;
                }
                if messages.lease.is_none() {
                    let bytes = u64::try_from(messages.bytes()).expect("a length fits 64 bits");
                    let lease = run.budget.charge(bytes);
                    lease.is_of(messages.epoch);
                    messages.lease = Some(lease);
                }
                if let Some(tells) = threads.get(&messages.shard) {
                    // A thread that has ended has failed the run.
                    drop(tells.send(Told::Messages(messages)));
                }
            });
            let upper = frontiers[0].frontier().as_option().copied();
            if upper != passed {
                passed = upper;
                for tells in threads.values() {
                    drop(tells.send(Told::Passed(upper)));
                }
                if upper.is_none() {
                    threads.clear();
                }
            }
        }
    });
}
