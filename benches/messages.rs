//! What a row costs as a message: rows of twelve columns through an `Encoder`, with key, header and time, as JSON; and what it costs to see
//! that none of them is too large for its topic.
//!
//! `cargo bench --bench messages`

#![expect(
    clippy::unwrap_used,
    reason = "a bench stops where anything is wrong, and nobody calls it"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use caudal::job::document::Document;
use caudal::job::plan::{Plan, timestamp_type};
use caudal::job::resolve::resolve;
use caudal::sinks::kafka::encode::Encoder;
use caudal::sinks::kafka::gauge::Gauge;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 8192;

const JOB: &str = r#"
format = 1
[job]
name = "bench"
output = "/out"
[sources.sales]
files = { paths = ["in/*"], follow = true }
json = {}
[sources.sales.columns]
sale_id = "bigint not null"
ts = "timestamp not null"
store_id = "int not null"
region_code = "varchar not null"
product = "varchar not null"
customer_id = "bigint"
quantity = "int not null"
unit_price = "decimal(12,2) not null"
amount = "decimal(18,2) not null"
channel = "varchar not null"
is_return = "boolean not null"
day = "date not null"
[sinks.clean]
kafka = { brokers = "k", topic = "t", key = "sale_id", headers = { channel = "channel" }, timestamp = "ts" }
json = {}
"#;

fn plan() -> Plan {
    let document =
        Document::parse(Path::new("bench.toml"), JOB.as_bytes().to_vec(), &|_| None).unwrap();
    resolve(&document).unwrap()
}

fn columns() -> Vec<ArrayRef> {
    let rows = 0..i32::try_from(ROWS).unwrap();
    let wide = || rows.clone().map(i64::from);
    let codes = |words: &[&str]| -> ArrayRef {
        let each = (0..ROWS).map(|row| Some(words[row * 7 % words.len()]));
        Arc::new(each.collect::<DictionaryArray<Int32Type>>())
    };
    let decimal = |precision, times: i128| -> ArrayRef {
        let values = wide().map(|row| i128::from(row) * times - 5000);
        let array = Decimal128Array::from_iter_values(values);
        Arc::new(array.with_precision_and_scale(precision, 2).unwrap())
    };
    let times = wide().map(|row| 1_773_446_400_000_000 + row * 1_234_567);
    vec![
        Arc::new(Int64Array::from_iter_values(
            wide().map(|row| 20_000_000 + row),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(times).with_data_type(timestamp_type()),
        ),
        Arc::new(Int32Array::from_iter_values(
            rows.clone().map(|row| row % 400),
        )),
        codes(&["NORTE", "SUR", "ESTE", "OESTE", "CENTRO"]),
        Arc::new(StringArray::from_iter_values(
            rows.clone().map(|row| format!("Café molido natural {row}")),
        )),
        Arc::new(
            wide()
                .map(|row| (row % 50 > 0).then_some(row * 31))
                .collect::<Int64Array>(),
        ),
        Arc::new(Int32Array::from_iter_values(
            rows.clone().map(|row| row % 9 - 2),
        )),
        decimal(12, 37),
        decimal(18, 4111),
        codes(&["web", "tienda", "teléfono"]),
        Arc::new(BooleanArray::from_iter(
            rows.clone().map(|row| Some(row % 9 < 2)),
        )),
        Arc::new(Date32Array::from_iter_values(
            rows.clone().map(|row| 20_000 + row % 365),
        )),
    ]
}

fn batch(columns: &[ArrayRef]) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(id, array)| Field::new(id.to_string(), array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap()
}

fn messages(bench: &mut Criterion) {
    let plan = plan();
    let sink = &plan.sinks[0];
    let columns = columns();
    let batch = batch(&columns);
    let mut group = bench.benchmark_group("messages");
    group.throughput(Throughput::Elements(u64::try_from(ROWS).unwrap()));
    let mut encoder = Encoder::new(sink, sink.message().unwrap());
    group.bench_function("json, 12 columns", |bench| {
        bench.iter(|| black_box(encoder.encode(black_box(&batch), 0).unwrap().bytes()));
    });
    let gauge = Gauge::all(&plan).remove(0);
    let columns: Vec<Option<ArrayRef>> = columns.into_iter().map(Some).collect();
    group.bench_function("gauge", |bench| {
        bench.iter(|| black_box(gauge.unfit(black_box(&columns), ROWS, 0).len()));
    });
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
