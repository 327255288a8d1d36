//! Bytes to typed columns: rows of the benchmark job's shape, as CSV and as JSON lines, and the search for record ends.
//!
//! The chunk is larger than a second-level cache, as chunks of real files are; the seed is fixed.

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use caudal::decode::{Cutter, Decoder};
use caudal::job::plan::{ColumnType, CsvOptions, Format, JsonOptions, SourceColumn};
use caudal::record::{Chunk, Dropped, Encoding, Framing, HeaderBinding};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Rows of a chunk: about 4 MB of CSV.
const ROWS: u64 = 60_000;

const COLUMNS: [(&str, ColumnType, bool); 10] = [
    ("sale_id", ColumnType::BigInt, true),
    ("ts", ColumnType::Timestamp, true),
    ("store_id", ColumnType::Int, false),
    ("region_code", ColumnType::Varchar, true),
    ("product_id", ColumnType::Int, true),
    ("customer_id", ColumnType::BigInt, false),
    ("quantity", ColumnType::Int, true),
    ("unit_price", ColumnType::Decimal(12, 2), true),
    ("currency", ColumnType::Varchar, true),
    ("channel", ColumnType::Varchar, false),
];

fn columns() -> Vec<SourceColumn> {
    let column =
        |(id, (name, column_type, not_null)): (usize, (&str, ColumnType, bool))| SourceColumn {
            not_null,
            ..SourceColumn::plain(id, name, column_type)
        };
    COLUMNS.into_iter().enumerate().map(column).collect()
}

fn csv() -> Format {
    Format::Csv(CsvOptions::default())
}

/// The fields of row `n`: as the benchmark's, with its shares of nulls, variants, returns and faults.
fn fields(n: u64) -> [String; 10] {
    // splitmix64: any generator would do, this one needs no crate.
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut below = |bound: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    };
    let millis = (n * 8 + 30_000).saturating_sub(below(30_000));
    let (hour, minute, second) = (
        millis / 3_600_000 % 24,
        millis / 60_000 % 60,
        millis / 1000 % 60,
    );
    let region = below(64);
    let region_code = match below(20) {
        0 => format!("region {region}"),
        1 => format!("R{:02}-{region} ", region % 7),
        _ => format!("R{:02}-{region}", region % 7),
    };
    let product = below(50_000);
    let mut fields = [
        (5_000_000 + n).to_string(),
        format!(
            "2026-03-14T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            millis % 1000
        ),
        (1 + below(2000)).to_string(),
        region_code,
        (1 + product * product / 50_000).to_string(),
        if below(50) == 0 {
            String::new()
        } else {
            (1 + below(2_000_000)).to_string()
        },
        if below(100) == 0 {
            String::from("-2")
        } else {
            (1 + below(10)).to_string()
        },
        format!("{}.{:02}", below(2600), below(100)),
        ["EUR", "USD", "GBP", "MXN", "JPY", "BRL"][usize::try_from(below(6)).expect("small")]
            .to_owned(),
        ["web", "store", "app"][usize::try_from(below(3)).expect("small")].to_owned(),
    ];
    match below(900) {
        0 => fields[1] = String::from("2026-14-03 25:61"),
        1 => fields[3] = String::new(),
        2 => fields[6] = String::from("x3"),
        3 => fields[7] = String::new(),
        _ => {}
    }
    fields
}

fn csv_text(quoted: bool) -> String {
    let mut text = String::new();
    for n in 0..ROWS {
        let mut fields = fields(n);
        if quoted {
            fields[3] = format!("\"{}\"", fields[3]);
        }
        writeln!(text, "{}", fields.join(",")).expect("a string takes everything");
    }
    text
}

fn json_text() -> String {
    let mut text = String::new();
    for n in 0..ROWS {
        let members: Vec<_> = fields(n)
            .iter()
            .zip(COLUMNS)
            .map(|(field, (name, column_type, _))| {
                let number =
                    matches!(column_type, ColumnType::Int | ColumnType::BigInt) && field != "x3";
                match (field.as_str(), number) {
                    ("", _) => format!("\"{name}\":null"),
                    (field, true) => format!("\"{name}\":{field}"),
                    (field, false) => format!("\"{name}\":\"{field}\""),
                }
            })
            .collect();
        writeln!(text, "{{{}}}", members.join(",")).expect("a string takes everything");
    }
    text
}

fn chunk(text: String) -> Arc<Chunk> {
    Arc::new(Chunk {
        places: Vec::new(),
        followed: None,
        messages: None,
        number: 0,
        source: 0,
        file: Arc::new(PathBuf::from("bench.csv")),
        bytes: text.into_bytes(),
        offset: 0,
        line: 1,
        header: Arc::new(HeaderBinding {
            framing: Framing::OfSource,
            encoding: Encoding::Utf8,
            record: Vec::new(),
            fields: COLUMNS.len(),
            column_of_field: (0..COLUMNS.len()).map(Some).collect(),
        }),
        epoch: 1,
        broken: None,
        dropped: Dropped::default(),
        until: None,
        lease: None,
    })
}

fn decode(criterion: &mut Criterion) {
    let inputs = [
        ("csv", csv(), chunk(csv_text(false))),
        ("csv with quotes", csv(), chunk(csv_text(true))),
        (
            "json",
            Format::Json(JsonOptions::default()),
            chunk(json_text()),
        ),
    ];
    for (name, format, chunk) in &inputs {
        let mut group = criterion.benchmark_group(format!("decode {name}"));
        let mut decoder = Decoder::new(&columns(), format, COLUMNS.len());
        let rows = decoder.decode(Arc::clone(chunk)).rows;
        assert_eq!(
            u64::try_from(rows).ok(),
            Some(ROWS),
            "every record is a row"
        );
        group.throughput(Throughput::Elements(ROWS));
        group.bench_function("rows", |bencher| {
            bencher.iter(|| black_box(decoder.decode(Arc::clone(chunk))));
        });
        group.throughput(Throughput::Bytes(
            u64::try_from(chunk.bytes.len()).expect("small"),
        ));
        group.bench_function("bytes", |bencher| {
            bencher.iter(|| black_box(decoder.decode(Arc::clone(chunk))));
        });
        group.finish();
        let mut group = criterion.benchmark_group(format!("cut {name}"));
        let mut cutter = Cutter::new(format);
        group.throughput(Throughput::Bytes(
            u64::try_from(chunk.bytes.len()).expect("small"),
        ));
        group.bench_function("bytes", |bencher| {
            bencher.iter(|| cutter.last_record_end(black_box(&chunk.bytes)));
        });
        group.finish();
    }
}

/// Each column type alone, so that a kernel that got slow can be seen.
fn single(criterion: &mut Criterion) {
    let chunk = chunk(csv_text(false));
    let mut group = criterion.benchmark_group("decode one of ten columns");
    group.throughput(Throughput::Elements(ROWS));
    for column in columns() {
        let at = column.id;
        let mut one = (*chunk).clone();
        let column_of_field = (0..COLUMNS.len())
            .map(|field| (field == at).then_some(0))
            .collect();
        one.header = Arc::new(HeaderBinding {
            framing: Framing::OfSource,
            encoding: Encoding::Utf8,
            record: Vec::new(),
            fields: COLUMNS.len(),
            column_of_field,
        });
        let one = Arc::new(one);
        let name = column.name.clone();
        let mut decoder = Decoder::new(&[SourceColumn { id: 0, ..column }], &csv(), 1);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(decoder.decode(Arc::clone(&one))));
        });
    }
    let mut decoder = Decoder::new(&[], &csv(), 0);
    group.bench_function("none", |bencher| {
        bencher.iter(|| black_box(decoder.decode(Arc::clone(&chunk))));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = decode, single
}
criterion_main!(benches);
