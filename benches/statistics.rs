//! What the statistics cost a clean row: SPEC's `minute` window, by size of batch, order of rows and number of segments.
//!
//! Count, count with a filter, greatest time, and sum, mean and sample variance of a decimal(18,2), for each minute of a day
//! and each of 64 regions; one epoch of 655,360 rows, drained at its end.
//!
//! Then what windows cost once they are kept: to add to, to close, to look for what is due, to save and load, and in memory, of
//! which a million open windows may take [`MOST_BYTES`].

use std::env;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int32Array, TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use caudal::checks::layout::{Input, SegmentColumn, StatisticInput};
use caudal::checks::tally::Tally;
use caudal::checks::value::Value;
use caudal::checks::windows::Windows;
use caudal::checks::{Layout, Partial, Reducer, Segment};
use caudal::job::plan::{AggregateFunction, timestamp_type};
use caudal::observe::process::resident_memory_bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};

/// The program's: a window is an allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of one epoch.
const ROWS: usize = 655_360;

/// Open windows whose memory is measured.
const OPEN: i64 = 1_000_000;

/// What they may take.
const MOST_BYTES: u64 = 500 << 20;

/// Says to a process of this bench that it measures memory: of so many segments.
const MEMORY_OF: &str = "CAUDAL_BENCH_SEGMENTS";

/// Ids of the columns.
const REGION: usize = 0;
const TS: usize = 1;
const AMOUNT: usize = 2;
const NO_CUSTOMER: usize = 3;

fn minute() -> Arc<Layout> {
    let amount = || Some((Input::Column(AMOUNT), DataType::Decimal128(18, 2)));
    let statistic = |name: &str, function, argument, filter, data_type| StatisticInput {
        name: name.into(),
        function,
        argument,
        filter,
        data_type,
    };
    let statistics = [
        statistic(
            "rows",
            AggregateFunction::Count,
            None,
            None,
            DataType::Int64,
        ),
        statistic(
            "null_customers",
            AggregateFunction::Count,
            None,
            Some(Input::Column(NO_CUSTOMER)),
            DataType::Int64,
        ),
        statistic(
            "max_ts",
            AggregateFunction::Max,
            Some((Input::Column(TS), timestamp_type())),
            None,
            timestamp_type(),
        ),
        statistic(
            "sum_amount",
            AggregateFunction::Sum,
            amount(),
            None,
            DataType::Decimal128(38, 2),
        ),
        statistic(
            "mean_amount",
            AggregateFunction::Avg,
            amount(),
            None,
            DataType::Decimal128(38, 6),
        ),
        statistic(
            "var_amount",
            AggregateFunction::VarSamp,
            amount(),
            None,
            DataType::Float64,
        ),
    ];
    let segment = SegmentColumn {
        id: REGION,
        name: "region_id".into(),
        data_type: DataType::Int32,
        nullable: true,
    };
    Arc::new(Layout::new(
        "minute".into(),
        vec![segment],
        TS,
        Windows::Fixed(60_000_000),
        &statistics,
    ))
}

/// xorshift64*, a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn signed(&mut self, limit: u64) -> i64 {
        i64::try_from(self.below(limit)).expect("a small number")
    }
}

/// Batches of `size` rows; times rise by 8.64 ms a row (10 million rows a day), up to 30 s back.
fn batches(size: usize, regions: u64) -> Vec<Vec<Option<ArrayRef>>> {
    let mut numbers = Numbers(42);
    let mut time = 1_773_446_400_000_000_i64;
    (0..ROWS / size)
        .map(|_| {
            let region: Int32Array = (0..size)
                .map(|_| Some(i32::try_from(numbers.below(regions)).expect("a small number")))
                .collect();
            let ts: Vec<i64> = (0..size)
                .map(|_| {
                    time += 8_640;
                    time - numbers.signed(30_000) * 1_000
                })
                .collect();
            let amount = Decimal128Array::from_iter_values(
                (0..size).map(|_| i128::from(numbers.signed(500_000) - 5_000)),
            );
            let no_customer: BooleanArray =
                (0..size).map(|_| Some(numbers.below(50) == 0)).collect();
            let columns: [ArrayRef; 4] = [
                Arc::new(region),
                Arc::new(TimestampMicrosecondArray::from(ts).with_timezone("UTC")),
                Arc::new(
                    amount
                        .with_precision_and_scale(18, 2)
                        .expect("a type of money"),
                ),
                Arc::new(no_customer),
            ];
            columns.into_iter().map(Some).collect()
        })
        .collect()
}

fn reduce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reduce minute");
    group
        .throughput(Throughput::Elements(
            u64::try_from(ROWS).expect("a small number"),
        ))
        .sample_size(20);
    for (name, size, regions) in [
        ("16k rows, 64 regions", 16_384, 64),
        ("32k rows, 64 regions", 32_768, 64),
        ("16k rows, 100k regions", 16_384, 100_000),
    ] {
        let batches = batches(size, regions);
        let layout = minute();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || Reducer::new(Arc::clone(&layout)),
                |mut reducer| {
                    for columns in &batches {
                        reducer.add(columns, size, 0);
                    }
                    reducer.drain()
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// What a day of windows costs at the end: 64 regions of 1,440 minutes are applied and closed.
fn close(criterion: &mut Criterion) {
    let layout = minute();
    let mut reducer = Reducer::new(Arc::clone(&layout));
    let mut numbers = Numbers(42);
    let regions = 64 * 1_440;
    let region: Int32Array = (0..regions).map(|group| Some(group / 1_440)).collect();
    let ts: Vec<i64> = (0..i64::from(regions))
        .map(|group| group % 1_440 * 60_000_000)
        .collect();
    let amount = Decimal128Array::from_iter_values(
        (0..regions).map(|_| i128::from(numbers.signed(500_000))),
    );
    let columns: [ArrayRef; 4] = [
        Arc::new(region),
        Arc::new(TimestampMicrosecondArray::from(ts).with_timezone("UTC")),
        Arc::new(
            amount
                .with_precision_and_scale(18, 2)
                .expect("a type of money"),
        ),
        Arc::new((0..regions).map(|_| Some(true)).collect::<BooleanArray>()),
    ];
    let columns = columns.map(Some);
    reducer.add(&columns, columns[0].as_ref().map_or(0, Array::len), 0);
    let partials = reducer.drain();
    let mut group = criterion.benchmark_group("tally minute");
    group
        .throughput(Throughput::Elements(
            u64::try_from(partials.len()).expect("a small number"),
        ))
        .sample_size(10);
    group.bench_function("apply and close 64 regions, 1,440 minutes", |bencher| {
        bencher.iter_batched(
            || (Tally::new(Arc::clone(&layout)), partials.clone()),
            |(mut tally, partials)| {
                for ((segment, start), partial) in partials {
                    tally.apply(segment, start, partial, 1);
                }
                tally.close()
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("apply to 64 regions, 1,440 minutes", |bencher| {
        let mut tally = Tally::new(Arc::clone(&layout));
        let mut apply = |partials: Vec<((Segment, i64), Partial)>| {
            for ((segment, start), partial) in partials {
                tally.apply(segment, start, partial, 1);
            }
        };
        apply(partials.clone());
        bencher.iter_batched(|| partials.clone(), apply, BatchSize::PerIteration);
    });
    group.finish();
}

/// Windows of these segments, a minute after the other, until there are `count`, each of one row.
fn opened(tally: &mut Tally, layout: &Arc<Layout>, segments: i64, count: i64) {
    let mut reducer = Reducer::new(Arc::clone(layout));
    let columns: [ArrayRef; 4] = [
        Arc::new(Int32Array::from(vec![0])),
        Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
        Arc::new(
            Decimal128Array::from(vec![499])
                .with_precision_and_scale(18, 2)
                .expect("a type of money"),
        ),
        Arc::new(BooleanArray::from(vec![true])),
    ];
    reducer.add(&columns.map(Some), 1, 0);
    let (_, partial) = reducer.drain().pop().expect("there is a row");
    for minute in 0..count / segments {
        for segment in 0..segments {
            let segment = Segment(Box::new([Value::Int(segment)]));
            tally.apply(segment, minute * 60_000_000, partial.clone(), 1);
        }
    }
}

/// What a million open windows cost an epoch that closes none of them, and a checkpoint.
fn keep(criterion: &mut Criterion) {
    let layout = minute();
    let mut tally = Tally::new(Arc::clone(&layout));
    opened(&mut tally, &layout, 1_000, OPEN);
    let mut group = criterion.benchmark_group("tally, a million windows open");
    group.sample_size(10);
    group.bench_function("an epoch that closes none", |bencher| {
        bencher.iter(|| tally.close_until(0));
    });
    let mut bytes = Vec::new();
    tally.save(&mut bytes).expect("memory takes all");
    group.throughput(Throughput::Bytes(
        u64::try_from(bytes.len()).expect("a small number"),
    ));
    group.bench_function("save", |bencher| {
        bencher.iter(|| {
            let mut again = Vec::with_capacity(bytes.len());
            tally.save(&mut again).expect("memory takes all");
            again
        });
    });
    group.bench_function("load", |bencher| {
        bencher.iter_with_large_drop(|| {
            let mut again = Tally::new(Arc::clone(&layout));
            again.load(&bytes, |_| true).expect("it was saved");
            again
        });
    });
    group.finish();
}

/// Measures memory in processes of their own, since memory that was given back still is resident.
fn memory() {
    let this = env::current_exe().expect("a bench is a file");
    for segments in ["1", "64", "100000", "1000000"] {
        let status = Command::new(&this).env(MEMORY_OF, segments).status();
        assert!(status.expect("a bench can be run").success());
    }
}

fn memory_of(segments: i64) {
    let layout = minute();
    let mut tally = Tally::new(Arc::clone(&layout));
    let resident = || resident_memory_bytes().expect("the system says it");
    let before = resident();
    opened(&mut tally, &layout, segments, OPEN);
    let taken = resident() - before;
    #[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
    {
        println!(
            "{OPEN} open windows of {segments} segments: {} MiB",
            taken >> 20
        );
    }
    assert!(
        taken < MOST_BYTES,
        "{taken} bytes are more than {MOST_BYTES}"
    );
}

criterion_group!(statistics, reduce, close, keep);

fn main() {
    if let Ok(segments) = env::var(MEMORY_OF) {
        return memory_of(segments.parse().expect("a number of segments"));
    }
    memory();
    statistics();
    Criterion::default().configure_from_args().final_summary();
}
