//! What staging costs: rows of the `ventas` benchmark's `enriched` table through a `SinkWriter`, partitioned by zone and day.
//!
//! Time is CPU time of this thread, so that neighbours on the machine disturb less; the files go to the temporary folder
//! and are not synced. `cargo bench --bench parquet_write`; set `PARQUET_WRITE_OUT` to keep the last files for other readers.

#![expect(
    clippy::unwrap_used,
    reason = "a bench stops where anything is wrong, and nobody calls it"
)]

#[path = "shared/random.rs"]
mod random;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::Int64Builder;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use caudal::job::plan::{Compression, SinkFormat, SinkFrom, SinkPlan, SinkTo, timestamp_type};
use caudal::sinks::SinkWriter;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use random::Random;

const ROWS: u64 = 1 << 20;
const BATCH: u64 = 16_384;

fn small(value: u64) -> i32 {
    i32::try_from(value).unwrap()
}

fn wide(value: u64) -> i64 {
    i64::try_from(value).unwrap()
}

/// Text columns as a dictionary that all batches share (from look-ups), or plain.
struct Words {
    values: StringArray,
    coded: bool,
}

impl Words {
    fn new(values: Vec<String>, coded: bool) -> Self {
        Self {
            values: StringArray::from(values),
            coded,
        }
    }

    fn array(&self, codes: Vec<i32>) -> ArrayRef {
        let keys = Int32Array::from(codes);
        let array = DictionaryArray::<Int32Type>::new(keys, Arc::new(self.values.clone()));
        if self.coded {
            Arc::new(array)
        } else {
            arrow_cast::cast(&array, &DataType::Utf8).unwrap()
        }
    }
}

fn words(prefix: &str, n: u64, coded: bool) -> Words {
    Words::new((0..n).map(|i| format!("{prefix}{i:02}")).collect(), coded)
}

fn rows(coded: bool) -> Vec<RecordBatch> {
    let mut random = Random(7);
    let zone = words("zone-", 6, coded);
    let region_code = words("XX-R", 64, coded);
    let country = words("C", 30, coded);
    let category = words("Category ", 200, coded);
    let department = words("Department ", 12, coded);
    let currency = words("CU", 6, coded);
    let channel = words("channel", 3, coded);
    (0..ROWS / BATCH)
        .map(|part| {
            let sale: Vec<u64> = (0..BATCH).map(|row| 1 + 2 * (part * BATCH + row)).collect();
            let ts = sale.iter().map(|sale| {
                wide((sale * 86_400_000 / (2 * ROWS)).saturating_sub(random.below(30_000)) * 1000)
            });
            let ts =
                TimestampMicrosecondArray::from_iter_values(ts).with_data_type(timestamp_type());
            let store: Vec<u64> = sale.iter().map(|_| random.below(2000)).collect();
            // The first regions have most of the stores.
            let region: Vec<u64> = store.iter().map(|store| store * store / 62_500).collect();
            let product: Vec<u64> = sale
                .iter()
                .map(|_| {
                    let u = random.below(1 << 20);
                    1 + (u * u / (1 << 20)) * u / (1 << 20) * 49_999 / (1 << 20)
                })
                .collect();
            let mut customer = Int64Builder::new();
            for _ in &sale {
                customer.append_option(
                    (random.below(50) > 0).then(|| wide(1 + random.below(2_000_000))),
                );
            }
            let quantity: Vec<i64> = sale
                .iter()
                .map(|_| {
                    if random.below(100) == 0 {
                        -1
                    } else {
                        wide(1 + random.below(10))
                    }
                })
                .collect();
            let price: Vec<i64> = product
                .iter()
                .map(|product| wide(50 + product % 5000 * 50 + random.below(12_000)))
                .collect();
            let amount: Vec<i64> = price
                .iter()
                .zip(&quantity)
                .map(|(price, quantity)| price * quantity)
                .collect();
            let currencies: Vec<i32> = region.iter().map(|region| small(region % 6)).collect();
            let rates = [10_850, 10_000, 12_700, 588, 67, 1_940];
            let usd: Vec<i64> = amount
                .iter()
                .zip(&currencies)
                .map(|(amount, currency)| amount * rates[usize::try_from(*currency).unwrap()])
                .collect();
            let decimal = |values: Vec<i64>, precision, scale| -> ArrayRef {
                let values = Decimal128Array::from_iter_values(values.into_iter().map(i128::from));
                Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
            };
            let ints = |values: Vec<u64>| -> ArrayRef {
                Arc::new(Int32Array::from_iter_values(values.into_iter().map(small)))
            };
            let modulo = |values: &[u64], n: u64| {
                values
                    .iter()
                    .map(|value| small(value % n))
                    .collect::<Vec<_>>()
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(
                    sale.iter().map(|sale| wide(*sale)),
                )),
                Arc::new(ts),
                ints(store),
                ints(region.clone()),
                region_code.array(modulo(&region, 64)),
                country.array(modulo(&region, 30)),
                ints(product.clone()),
                ints(product.iter().map(|product| product % 200).collect()),
                category.array(modulo(&product, 200)),
                department.array(modulo(&product, 12)),
                Arc::new(customer.finish()),
                Arc::new(Int32Array::from_iter_values(
                    quantity
                        .iter()
                        .map(|quantity| i32::try_from(*quantity).unwrap()),
                )),
                decimal(price, 12, 2),
                currency.array(currencies),
                channel.array(sale.iter().map(|_| small(random.below(3))).collect()),
                decimal(amount, 18, 2),
                decimal(usd, 18, 6),
                zone.array(modulo(&region, 6)),
                Arc::new(Date32Array::from(vec![20_526; sale.len()])),
            ];
            RecordBatch::try_new(batch_schema(coded), columns).unwrap()
        })
        .collect()
}

fn batch_schema(coded: bool) -> SchemaRef {
    let text = if coded {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    } else {
        DataType::Utf8
    };
    schema(&text)
}

fn schema(text: &DataType) -> SchemaRef {
    let field = |name: &str, data_type: &DataType| {
        Field::new(name, data_type.clone(), name == "customer_id")
    };
    Arc::new(Schema::new(vec![
        field("sale_id", &DataType::Int64),
        field("ts", &timestamp_type()),
        field("store_id", &DataType::Int32),
        field("region_id", &DataType::Int32),
        field("region_code", text),
        field("country", text),
        field("product_id", &DataType::Int32),
        field("category_id", &DataType::Int32),
        field("category", text),
        field("department", text),
        field("customer_id", &DataType::Int64),
        field("quantity", &DataType::Int32),
        field("unit_price", &DataType::Decimal128(12, 2)),
        field("currency", text),
        field("channel", text),
        field("amount", &DataType::Decimal128(18, 2)),
        field("amount_usd", &DataType::Decimal128(18, 6)),
        field("zone", text),
        field("date", &DataType::Date32),
    ]))
}

fn write(batches: &[RecordBatch], compression: Compression, stage: &Path) -> u64 {
    let plan = SinkPlan {
        delta: None,
        name: "enriched".to_owned(),
        from: SinkFrom::Rows,
        to: SinkTo::Files {
            path: "enriched".into(),
            partition_by: vec![17, 18],
        },
        format: SinkFormat::Parquet(compression),
        columns: Vec::new(),
    };
    let mut writer = SinkWriter::new(&plan, &schema(&DataType::Utf8), stage, 0).unwrap();
    let mut peak = 0;
    for batch in batches {
        writer.write(batch).unwrap();
        peak = peak.max(writer.held_bytes());
    }
    let files = writer.finish().unwrap();
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), ROWS);
    black_box(peak);
    files.iter().map(|file| file.bytes).sum()
}

fn bench(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("enriched");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(ROWS))
        .measurement_time(Duration::from_secs(8));
    for (text, coded) in [("coded", true), ("plain", false)] {
        let batches = rows(coded);
        for (name, compression) in [
            ("zstd", Compression::Zstd),
            ("snappy", Compression::Snappy),
            ("none", Compression::None),
        ] {
            let stage = tempfile::tempdir().unwrap();
            let bytes = write(&batches, compression, &stage.path().join("size"));
            let id = BenchmarkId::new(name, format!("{text}, {} bytes a row", bytes / ROWS));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let run = stage.path().join("run");
                    write(&batches, compression, &run);
                    fs::remove_dir_all(run).unwrap();
                });
            });
            if let (Ok(out), true, "zstd") = (std::env::var("PARQUET_WRITE_OUT"), coded, name) {
                write(&batches, compression, Path::new(&out));
            }
        }
    }
    group.finish();
}

/// CPU time of this thread in nanoseconds, as the kernel counts it.
struct CpuTime(WallTime);

fn cpu_nanos() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        cpu_nanos()
    }

    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(cpu_nanos() - start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime(WallTime));
    targets = bench
}
criterion_main!(benches);
