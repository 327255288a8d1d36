//! What partials cost on their way to another process, by each codec of `[job] partials`: bytes, and partials per second
//! to bytes and back, as timely asks for it.
//!
//! The partials are those of the benchmark job's `minute` window over a generated day, in messages of as many as the exchange
//! sends together. One more measurement has text of the same rows as its segment, as a job per zone would.

#[path = "shared/flow.rs"]
mod flow;
#[path = "shared/ventas.rs"]
mod ventas;

use std::hint::black_box;
use std::sync::Arc;

use caudal::checks::wire::{Records, Update};
use caudal::checks::{Layout, Reducer};
use caudal::job::plan::Plan;
use caudal::record::by_id;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use timely::bytes::arc::{Bytes, BytesMut};
use timely::dataflow::channels::ContainerBytes;

use ventas::Ventas;

/// The program's: a partial from bytes is two allocations, which are most of its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of the day: enough for nearly all of 64 regions and 1,440 minutes to have some.
const ROWS: u64 = 524_288;

/// Partials of a message, as `checks::exchange` sends them.
const TOGETHER: usize = 512;

/// The partials of the plan's first window, per the column of this name.
fn partials(ventas: &Ventas, per: &str) -> Vec<Update> {
    let mut plan = Plan::clone(&ventas.plan);
    let id = plan.columns.iter().position(|column| column.name == per);
    plan.windows[0].per = vec![id.expect("the job has the column")];
    let mut reducer = Reducer::new(Arc::new(Layout::of_window(&plan, 0)));
    for batch in ventas.clean() {
        let rows = batch.rows.expect("there are clean rows");
        reducer.add(&by_id(&rows), rows.num_rows(), 0);
    }
    let drained = reducer.drain().into_iter();
    drained
        .map(|(group, partial)| ((group, ()), 1, partial))
        .collect()
}

fn to_bytes<C: ContainerBytes>(message: &C) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.length_in_bytes());
    message.into_bytes(&mut bytes);
    bytes
}

fn received(bytes: &[Vec<u8>]) -> Vec<Bytes> {
    let messages = bytes.iter();
    messages
        .map(|message| BytesMut::from(message.clone()).freeze())
        .collect()
}

/// Measures a codec, which is that of the container.
fn codec<C>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, partials: &[Update])
where
    C: ContainerBytes + From<Vec<Update>> + Into<Vec<Update>>,
{
    let messages: Vec<C> = partials
        .chunks(TOGETHER)
        .map(|chunk| C::from(chunk.to_vec()))
        .collect();
    let bytes: Vec<Vec<u8>> = messages.iter().map(to_bytes).collect();
    let back: Vec<Update> = received(&bytes)
        .into_iter()
        .flat_map(|message| C::from_bytes(message).into())
        .collect();
    assert_eq!(back, partials, "partials come back as they were");
    let sent: usize = bytes.iter().map(Vec::len).sum();
    let each = sent / partials.len();
    for (unit, throughput) in [
        (
            "partials",
            Throughput::Elements(u64::try_from(partials.len()).expect("small")),
        ),
        (
            "bytes",
            Throughput::Bytes(u64::try_from(sent).expect("small")),
        ),
    ] {
        group.throughput(throughput);
        group.bench_function(
            format!("{name}, {each} bytes each, to bytes, {unit}"),
            |bencher| {
                bencher.iter(|| {
                    for message in &messages {
                        black_box(to_bytes(message));
                    }
                });
            },
        );
        group.bench_function(
            format!("{name}, {each} bytes each, from bytes, {unit}"),
            |bencher| {
                bencher.iter_batched(
                    || received(&bytes),
                    |messages| -> Vec<C> { messages.into_iter().map(C::from_bytes).collect() },
                    BatchSize::LargeInput,
                );
            },
        );
    }
}

fn codecs(criterion: &mut Criterion) {
    let ventas = Ventas::new(ROWS, 1 << 20);
    for per in ["region_id", "zone"] {
        let partials = partials(&ventas, per);
        let mut group = criterion.benchmark_group(format!("partials per {per}"));
        codec::<Records>(&mut group, "abomonation", &partials);
        codec::<Vec<Update>>(&mut group, "serde", &partials);
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = codecs
}
criterion_main!(benches);
