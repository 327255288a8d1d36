//! What it costs to send clean rows to the worker that owns their key: the hash of the keys, the cut of a batch by bin, and
//! the way to bytes and back.
//!
//! The batches are the benchmark job's clean rows behind the split: 21 columns, text as codes. Bytes are those on the wire.

#[path = "shared/flow.rs"]
mod flow;
#[path = "shared/ventas.rs"]
mod ventas;

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use caudal::cluster::exchange::{ByBin, hash_rows};
use caudal::job::plan::Plan;
use caudal::record::{Batch, Epoch};
use caudal::transform::text;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use timely::bytes::arc::BytesMut;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;

use ventas::Ventas;

/// Rows of all batches of a measurement.
const ROWS: u64 = 131_072;

/// Bytes of the chunk a batch comes from, and about how many rows it has: within the second-level cache, around it, and
/// what a job has by default.
const SIZES: [(&str, usize); 3] = [
    ("batches of 3,500 rows", 256 << 10),
    ("batches of 14,000 rows", 1 << 20),
    ("batches of 56,000 rows", 4 << 20),
];

fn rows(batches: &[Batch]) -> u64 {
    u64::try_from(batches.iter().map(Batch::len).sum::<usize>()).expect("small")
}

/// The column of this name in a batch of clean rows.
fn column(plan: &Plan, batch: &Batch, name: &str) -> ArrayRef {
    let id = plan.columns.iter().position(|column| column.name == name);
    let id = id.expect("the job has the column").to_string();
    let rows = batch.rows.as_ref().expect("there are clean rows");
    Arc::clone(
        rows.column_by_name(&id)
            .expect("a sink takes the column, so it is behind the split"),
    )
}

/// The hash of keys of each kind.
fn hash(criterion: &mut Criterion) {
    let ventas = Ventas::new(ROWS, 1 << 20);
    let batches = ventas.clean();
    let of = |name: &str| -> Vec<ArrayRef> {
        let columns = batches.iter();
        columns
            .map(|batch| column(&ventas.plan, batch, name))
            .collect()
    };
    let codes = of("category");
    assert!(
        codes
            .iter()
            .all(|column| matches!(column.data_type(), DataType::Dictionary(_, _))),
        "a look-up's text comes as codes"
    );
    let texts: Vec<ArrayRef> = codes.iter().map(text::to_plain).collect();
    let keys: [(&str, Vec<Vec<ArrayRef>>); 5] = [
        ("int", vec![of("region_id")]),
        ("decimal", vec![of("amount")]),
        ("text as codes", vec![codes]),
        ("text", vec![texts]),
        ("int and bigint", vec![of("region_id"), of("customer_id")]),
    ];
    let mut group = criterion.benchmark_group("hash of keys");
    for (name, columns) in keys {
        let keys: Vec<Vec<ArrayRef>> = (0..batches.len())
            .map(|batch| {
                let of_batch = columns.iter();
                of_batch.map(|column| Arc::clone(&column[batch])).collect()
            })
            .collect();
        let bytes: usize = keys
            .iter()
            .flatten()
            .map(Array::get_buffer_memory_size)
            .sum();
        for (unit, throughput) in [
            ("rows", Throughput::Elements(rows(&batches))),
            (
                "bytes",
                Throughput::Bytes(u64::try_from(bytes).expect("small")),
            ),
        ] {
            group.throughput(throughput);
            group.bench_function(format!("{name}, {unit}"), |bencher| {
                bencher.iter(|| {
                    for key in &keys {
                        black_box(hash_rows(key, key[0].len()));
                    }
                });
            });
        }
    }
    group.finish();
}

/// Takes what a distributor sends to one worker.
#[derive(Default)]
struct Taken(Vec<Batch>);

impl Push<Message<Epoch, Batch>> for Taken {
    fn push(&mut self, element: &mut Option<Message<Epoch, Batch>>) {
        self.0.extend(element.take().map(|message| message.data));
    }
}

/// Cuts the batches for so many workers.
fn cut(plan: &Plan, batches: Vec<Batch>, peers: usize) -> Vec<Taken> {
    let mut by_bin = ByBin::new(plan.key.clone(), 0, peers);
    let mut workers: Vec<Taken> = (0..peers).map(|_| Taken::default()).collect();
    let stamp = Stamp::from_elem(1);
    for mut batch in batches {
        by_bin.partition(&mut batch, &stamp, &mut workers);
    }
    workers
}

/// The cut of batches by the worker that owns each row.
fn cut_by_bin(criterion: &mut Criterion) {
    for (name, chunk_bytes) in SIZES {
        let ventas = Ventas::new(ROWS, chunk_bytes);
        let batches = ventas.clean();
        let bytes: usize = batches.iter().map(ContainerBytes::length_in_bytes).sum();
        let mut group = criterion.benchmark_group(format!("cut {name}"));
        for peers in [2, 8, 64] {
            let parts = cut(&ventas.plan, batches.clone(), peers);
            let sent: u64 = parts.iter().map(|worker| rows(&worker.0)).sum();
            assert_eq!(sent, rows(&batches), "no row is lost");
            for (unit, throughput) in [
                ("rows", Throughput::Elements(rows(&batches))),
                (
                    "bytes",
                    Throughput::Bytes(u64::try_from(bytes).expect("small")),
                ),
            ] {
                group.throughput(throughput);
                group.bench_function(format!("for {peers} workers, {unit}"), |bencher| {
                    bencher.iter_batched(
                        || batches.clone(),
                        |batches| cut(&ventas.plan, batches, peers),
                        BatchSize::LargeInput,
                    );
                });
            }
        }
        group.finish();
    }
}

fn to_bytes(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(batch.length_in_bytes());
    batch.into_bytes(&mut bytes);
    bytes
}

/// The wire format, as timely asks for it: the length, the bytes, and the batch from bytes.
fn wire(criterion: &mut Criterion) {
    for (name, chunk_bytes) in SIZES {
        let ventas = Ventas::new(ROWS, chunk_bytes);
        // What travels are parts of batches: those of the first of two workers.
        let parts = cut(&ventas.plan, ventas.clean(), 2).remove(0).0;
        let messages: Vec<Vec<u8>> = parts.iter().map(to_bytes).collect();
        let mut bytes = 0;
        for (part, message) in parts.iter().zip(&messages) {
            let back = Batch::from_bytes(BytesMut::from(message.clone()).freeze());
            assert_eq!(back.rows, part.rows, "a batch comes back as it was");
            bytes += message.len();
        }
        let mut group = criterion.benchmark_group(format!("wire, halves of {name}"));
        for (unit, throughput) in [
            ("rows", Throughput::Elements(rows(&parts))),
            (
                "bytes",
                Throughput::Bytes(u64::try_from(bytes).expect("small")),
            ),
        ] {
            group.throughput(throughput);
            group.bench_function(format!("to bytes, {unit}"), |bencher| {
                bencher.iter(|| {
                    for part in &parts {
                        black_box(to_bytes(part));
                    }
                });
            });
            group.bench_function(format!("from bytes, {unit}"), |bencher| {
                bencher.iter_batched(
                    || -> Vec<_> {
                        let messages = messages.iter();
                        messages
                            .map(|message| BytesMut::from(message.clone()).freeze())
                            .collect()
                    },
                    |messages| -> Vec<Batch> {
                        messages.into_iter().map(Batch::from_bytes).collect()
                    },
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = hash, cut_by_bin, wire
}
criterion_main!(benches);
