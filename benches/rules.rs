//! What judging a row costs behind the look-ups: the derived columns and the rules of the benchmark job, by size of draft.
//!
//! Two exact products (one of them over a look-up's rate) and three rules, over decoded rows with their faults; then rules
//! that few, many and all rows break, since a row that breaks one is written down. Bytes are those of the columns that the
//! expressions read.

#[path = "shared/flow.rs"]
mod flow;
#[path = "shared/ventas.rs"]
mod ventas;

use std::sync::Arc;

use arrow_array::Array;
use caudal::job::plan::Plan;
use caudal::record::{Draft, Site};
use caudal::{transform, validate};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use flow::{Flow, job, run};
use ventas::Ventas;

/// Rows of all drafts of a measurement.
const ROWS: u64 = 131_072;

/// Bytes of a chunk, and how many rows that is: what a draft's columns take is about as much, so the first stays in the
/// second-level cache, the second in the third, and the last is what a job has by default.
const SIZES: [(&str, usize); 3] = [
    ("drafts of 3,500 rows", 256 << 10),
    ("drafts of 14,000 rows", 1 << 20),
    ("drafts of 56,000 rows", 4 << 20),
];

/// Bytes of these columns in all drafts.
fn bytes(drafts: &[Draft], inputs: &[usize]) -> u64 {
    let columns = drafts.iter().flat_map(|draft| {
        inputs.iter().map(|id| {
            draft.columns[*id]
                .as_ref()
                .map_or(0, Array::get_buffer_memory_size)
        })
    });
    u64::try_from(columns.sum::<usize>()).expect("small")
}

/// Ids of the columns that are there before the derived ones, and that these expressions read.
fn given(plan: &Plan, inputs: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut ids: Vec<usize> = inputs
        .filter(|id| plan.derived.iter().all(|derived| derived.id != *id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn rows(drafts: &[Draft]) -> u64 {
    u64::try_from(drafts.iter().map(|draft| draft.rows).sum::<usize>()).expect("small")
}

/// Measures rows and bytes a second of what `step` does with the drafts.
fn measure(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    drafts: &[Draft],
    bytes: u64,
    step: &mut dyn FnMut(Vec<Draft>) -> Vec<Draft>,
) {
    let mut group = criterion.benchmark_group(group);
    for (unit, throughput) in [
        ("rows", Throughput::Elements(rows(drafts))),
        ("bytes", Throughput::Bytes(bytes)),
    ] {
        group.throughput(throughput);
        group.bench_function(format!("{name}, {unit}"), |bencher| {
            bencher.iter_batched(|| drafts.to_vec(), &mut *step, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// The derived columns and the rules of the benchmark job.
fn benchmark_job(criterion: &mut Criterion) {
    for (name, chunk_bytes) in SIZES {
        let ventas = Ventas::new(ROWS, chunk_bytes);
        let plan = Arc::clone(&ventas.plan);
        let drafts = ventas.enriched();
        assert_eq!(rows(&drafts), ROWS, "every record is a row");

        let inputs = plan
            .derived
            .iter()
            .flat_map(|derived| derived.expression.inputs().to_vec());
        let read = bytes(&drafts, &given(&plan, inputs));
        let mut derive = Flow::new(|_, mut drafts| {
            for stage in 0..plan.stages.len() {
                drafts = transform::derive(drafts, &plan, stage, |_| 0);
            }
            drafts
        });
        measure(criterion, "derive", name, &drafts, read, &mut |drafts| {
            derive.send(drafts)
        });

        let inputs = plan
            .rules
            .iter()
            .flat_map(|rule| rule.expect.inputs().to_vec());
        let read = bytes(&drafts, &given(&plan, inputs));
        let run = run(&plan);
        let mut rules = Flow::new(|_, drafts| validate::rules(drafts, &run));
        let judged = rules.send(drafts.clone());
        let broken = judged.iter().flat_map(|draft| &draft.faults);
        assert!(
            broken
                .filter(|fault| matches!(fault.site, Site::Rule(_)))
                .count()
                > 0,
            "some rows break a rule"
        );
        measure(criterion, "rules", name, &drafts, read, &mut |drafts| {
            rules.send(drafts)
        });
    }
}

/// One rule over a whole number, by the share of rows that break it.
fn broken_rules(criterion: &mut Criterion) {
    let ventas = Ventas::new(ROWS, 1 << 20);
    let drafts = ventas.decoded();
    for (name, expect) in [
        ("1 row of 1,000 breaks it", "store_id % 1000 <> 7"),
        ("1 row of 10 breaks it", "store_id % 10 <> 7"),
        ("every row breaks it", "store_id < 0"),
    ] {
        let text = format!(
            r#"
format = 1
[job]
name = "bench"
output = "out"
[sources.sales]
generate = {{ rows = 1, seed = 1 }}
csv = {{}}
columns = {{ sale_id = "bigint", ts = "timestamp", store_id = "int" }}
[rules.one]
expect = "{expect}"
[sinks.rows]
files = {{ path = "rows" }}
parquet = {{}}
"#
        );
        let plan = Arc::new(job(&text, &|_| None));
        let run = run(&plan);
        let mut rules = Flow::new(|_, drafts| validate::rules(drafts, &run));
        let read = bytes(&drafts, plan.rules[0].expect.inputs());
        measure(criterion, "one rule", name, &drafts, read, &mut |drafts| {
            rules.send(drafts)
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = benchmark_job, broken_rules
}
criterion_main!(benches);
