//! What the benchmark job has written, held against the generator's truth.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Compares the output with the truth; gives the bytes written. Windows that are still open at the end of a stream are in no file: with
/// `windows` false they are not looked at.
pub(crate) fn check(out: &Path, truth: &Value, windows: bool) -> Result<u64> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    let mut written = 0;
    let mut files = Vec::new();
    for folder in ["enriched", "quarantine", "quality"] {
        find(&out.join(folder), &mut files)?;
    }
    for file in files {
        written += std::fs::metadata(&file)?.len();
        let kind = file
            .strip_prefix(out)?
            .components()
            .next()
            .map(|first| first.as_os_str().to_owned());
        for batch in
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file)?)?.build()?
        {
            add(
                &mut sums,
                kind.as_ref().and_then(|kind| kind.to_str()).unwrap_or(""),
                &batch?,
            );
        }
    }
    let quality = &truth["quality"];
    let expected = [
        ("valid", truth["valid"].clone()),
        ("quarantined", truth["quarantined"].clone()),
        ("sum_amount", decimal(&truth["sum_amount"])),
        ("sum_amount_usd", decimal(&truth["sum_amount_usd"])),
        ("sum_sale_id", truth["sum_sale_id"].clone()),
        ("sum_region_id", truth["sum_region_id"].clone()),
        ("sum_category_id", truth["sum_category_id"].clone()),
        ("quality.rows", quality["rows"].clone()),
        ("quality.total_rows", quality["total_rows"].clone()),
        ("quality.null_customers", quality["null_customers"].clone()),
        ("quality.sum_amount", decimal(&quality["sum_amount"])),
        ("quality.sum_max_ts_ms", quality["sum_max_ts_ms"].clone()),
        ("quality.z_count", quality["z_count"].clone()),
    ];
    for (name, expected) in expected {
        if !windows && name.starts_with("quality") {
            continue;
        }
        let got = sums.get(name).copied().unwrap_or(0).to_string();
        let expected = expected
            .as_str()
            .map_or_else(|| expected.to_string(), str::to_owned);
        if got != expected {
            return Err(format!("{name}: got {got}, expected {expected}").into());
        }
    }
    Ok(written)
}

/// A decimal text as a whole number of its smallest unit, as text.
fn decimal(value: &Value) -> Value {
    Value::String(value.as_str().unwrap_or("").replace('.', ""))
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn add(sums: &mut BTreeMap<&'static str, i128>, kind: &str, batch: &RecordBatch) {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let rows = i128::try_from(batch.num_rows()).expect("a number of rows");
    let ints = |name: &str| {
        column(name)
            .as_primitive::<Int32Type>()
            .iter()
            .flatten()
            .map(i128::from)
            .sum::<i128>()
    };
    let longs = |name: &str| {
        column(name)
            .as_primitive::<Int64Type>()
            .iter()
            .flatten()
            .map(i128::from)
            .sum::<i128>()
    };
    let money = |name: &str| {
        column(name)
            .as_primitive::<Decimal128Type>()
            .iter()
            .flatten()
            .sum::<i128>()
    };
    let of_batch: Vec<(&'static str, i128)> = match kind {
        "enriched" => vec![
            ("valid", rows),
            ("sum_amount", money("amount")),
            ("sum_amount_usd", money("amount_usd")),
            ("sum_sale_id", longs("sale_id")),
            ("sum_region_id", ints("region_id")),
            ("sum_category_id", ints("category_id")),
        ],
        "quarantine" => vec![("quarantined", rows)],
        _ => {
            let newest = column("max_ts")
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .flatten();
            let z = column("z")
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .count();
            vec![
                ("quality.rows", rows),
                ("quality.total_rows", longs("rows")),
                ("quality.null_customers", longs("null_customers")),
                ("quality.sum_amount", money("sum_amount")),
                (
                    "quality.sum_max_ts_ms",
                    newest.map(|ts| i128::from(ts / 1000)).sum(),
                ),
                (
                    "quality.z_count",
                    i128::try_from(z).expect("a number of windows"),
                ),
            ]
        }
    };
    for (name, value) in of_batch {
        *sums.entry(name).or_default() += value;
    }
}
