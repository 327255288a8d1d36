//! What a look-up costs: reading its rows, making them a collection with its index, and the meeting of rows and reference
//! rows, at 50,000 and at a million reference rows.
//!
//! The smaller index is larger than a second-level cache, the larger one than a third-level cache. Batches have 16,384 rows,
//! whose keys are spread over all reference rows, but for one of a hundred that finds none; four reference columns are
//! gathered. The seed is fixed.

#[path = "shared/flow.rs"]
mod flow;
#[path = "shared/random.rs"]
mod random;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray};
use caudal::cluster::Run;
use caudal::job::plan::Plan;
use caudal::lookup;
use caudal::record::Draft;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use flow::{Flow, job, loaded, run, run_of};
use random::Random;

/// Sizes of the look-up.
const REFERENCE_ROWS: [u64; 2] = [50_000, 1_000_000];

/// Rows of a batch.
const BATCH: usize = 16_384;

/// Batches of a measurement.
const BATCHES: usize = 8;

/// The text key of reference row `n`.
fn sku(n: u64) -> String {
    format!("SKU-{n:07}")
}

fn products(rows: u64) -> String {
    let mut text = String::from("product_id,sku,category_id,category,price\n");
    for n in 1..=rows {
        let category = n * 7919 % 200;
        writeln!(
            text,
            "{n},{},{category},Category {category},{}.{:02}",
            sku(n),
            n % 900,
            n % 100
        )
        .expect("a string takes everything");
    }
    text
}

/// A look-up of products by this key, in a file of its own.
struct Products {
    plan: Arc<Plan>,
    bytes: u64,
    _data: tempfile::TempDir,
}

impl Products {
    fn new(rows: u64, key: &str, placement: &str) -> Self {
        let data = tempfile::tempdir().expect("the temporary folder can be written to");
        let text = products(rows);
        let file = data.path().join("products.csv");
        std::fs::write(&file, &text).expect("the temporary folder can be written to");
        // The batches are made here: no sale is read, but a source must name a file that is there.
        let file = file.display();
        let text_of_job = format!(
            r#"
format = 1
[job]
name = "bench"
output = "out"
[sources.sales]
files = {{ paths = ["{file}"] }}
csv = {{}}
columns = {{ sale_id = "bigint", product_id = "int", sku = "varchar" }}
[lookups.products]
on = {{ {key} = "sales.{key}" }}
placement = "{placement}"
missing = {{ then = "refuse", reason = "unknown_product" }}
files = {{ paths = ["{file}"] }}
csv = {{}}
columns = {{ product_id = "int", sku = "varchar", category_id = "int", category = "varchar", price = "decimal(12,2)" }}
[sinks.rows]
files = {{ path = "rows" }}
parquet = {{}}
columns = {{ sale_id = "sale_id", sku = "products.sku", category_id = "category_id", category = "category", price = "price" }}
"#
        );
        Self {
            plan: Arc::new(job(&text_of_job, &|_| None)),
            bytes: u64::try_from(text.len()).expect("small"),
            _data: data,
        }
    }

    /// The look-up's operators: drafts in, drafts with its columns out.
    fn flow(run: &Arc<Run>) -> Flow<Draft, Draft> {
        Flow::new(|scope, drafts| {
            let reference = lookup::collections(scope, run, None);
            lookup::enrich(drafts, &reference, run, &[0])
        })
    }
}

/// Batches of rows; `coded` texts come as codes of the batch's distinct values, as the decoder gives them where they are few.
fn batches(reference_rows: u64, distinct: u64, coded: bool) -> Vec<Draft> {
    let mut numbers = Random(42);
    (0..BATCHES)
        .map(|_| {
            let keys: Vec<u64> = (0..BATCH)
                .map(|_| {
                    let unknown = numbers.below(100) == 0;
                    let key = 1 + numbers.below(distinct) * (reference_rows / distinct);
                    key + if unknown { reference_rows } else { 0 }
                })
                .collect();
            let skus = keys.iter().map(|key| sku(*key));
            let skus: ArrayRef = if coded {
                let skus: Vec<String> = skus.collect();
                let dictionary: DictionaryArray<Int32Type> =
                    skus.iter().map(|sku| Some(sku.as_str())).collect();
                Arc::new(dictionary)
            } else {
                Arc::new(StringArray::from_iter_values(skus))
            };
            let product_id = keys
                .iter()
                .map(|key| i32::try_from(*key).expect("a small number"));
            let columns: [ArrayRef; 3] = [
                Arc::new(Int64Array::from(vec![1; BATCH])),
                Arc::new(Int32Array::from_iter_values(product_id)),
                skus,
            ];
            Draft {
                rows: BATCH,
                epoch: 1,
                columns: columns.map(Some).to_vec(),
                ..Draft::default()
            }
        })
        .collect()
}

/// From the file to checked and encoded rows.
fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for rows in REFERENCE_ROWS {
        let products = Products::new(rows, "product_id", "replicated");
        let plan = &products.plan.lookups[0];
        for (unit, throughput) in [
            ("rows", Throughput::Elements(rows)),
            ("bytes", Throughput::Bytes(products.bytes)),
        ] {
            group.throughput(throughput);
            group.bench_function(format!("{rows} rows, {unit}"), |bencher| {
                bencher.iter(|| {
                    let loaded = lookup::load(plan, Duration::ZERO, &|| false)
                        .expect("the file can be read")
                        .expect("nobody gives up");
                    assert_eq!(u64::try_from(loaded.rows()), Ok(rows));
                    loaded
                });
            });
        }
    }
    group.finish();
}

/// From loaded rows to the first row that met them: the collection is arranged and its index made.
fn arrange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arrange and index");
    group.sample_size(10);
    for rows in REFERENCE_ROWS {
        for key in ["product_id", "sku"] {
            let products = Products::new(rows, key, "replicated");
            let loaded = loaded(&products.plan);
            let one = batches(rows, rows, false)[..1].to_vec();
            group.throughput(Throughput::Elements(rows));
            group.bench_function(format!("{rows} rows by {key}"), |bencher| {
                bencher.iter_batched(
                    || (run_of(&products.plan, loaded.clone()), one.clone()),
                    |(run, one)| {
                        let mut flow = Products::flow(&run);
                        let met = flow.send(one);
                        (flow, met)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Batches meet the reference rows where they were read.
fn enrich(criterion: &mut Criterion) {
    meet(criterion, "enrich", "replicated");
}

/// The distinct keys of batches visit the owner of the reference rows, which is the same worker: what a visit costs beside its way.
fn visit(criterion: &mut Criterion) {
    meet(criterion, "visit", "partitioned");
}

fn meet(criterion: &mut Criterion, group: &str, placement: &str) {
    let mut group = criterion.benchmark_group(group);
    for rows in REFERENCE_ROWS {
        for (name, key, distinct, coded) in [
            ("an int", "product_id", rows, false),
            ("a text", "sku", rows, false),
            ("a text as 200 codes", "sku", 200, true),
        ] {
            let products = Products::new(rows, key, placement);
            let run = run(&products.plan);
            let drafts = batches(rows, distinct, coded);
            let mut flow = Products::flow(&run);
            let met = flow.send(drafts.clone());
            let missing: usize = met.iter().map(|draft| draft.faults.len()).sum();
            assert!(
                (BATCH * BATCHES / 200..BATCH * BATCHES / 50).contains(&missing),
                "about one row of a hundred finds nothing: {missing}"
            );
            group.throughput(Throughput::Elements(
                u64::try_from(BATCH * BATCHES).expect("small"),
            ));
            group.bench_function(format!("by {name}, {rows} rows"), |bencher| {
                bencher.iter_batched(
                    || drafts.clone(),
                    |drafts| flow.send(drafts),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = load, arrange, enrich, visit
}
criterion_main!(benches);
