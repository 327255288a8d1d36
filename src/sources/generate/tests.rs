//! Laws of the generated data, and the truth held against the text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::dims::{PRODUCTS, regions_csv};
use super::event::VARIANTS;
use super::*;

/// FNV-1a: enough to notice a changed byte.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn csv_of(rows: u64, seed: u64) -> String {
    let mut text = Vec::new();
    let mut chunks = VentasChunks::new(rows, seed, VentasText::Csv);
    while let Some((bytes, _)) = chunks.next_chunk(1 << 16, u64::MAX) {
        text.extend(bytes);
    }
    String::from_utf8(text).unwrap()
}

fn json_of(rows: u64, seed: u64) -> String {
    let tables = TextTables::new();
    let mut text = Vec::new();
    Events::new(rows, seed).for_each(|event| tables.push_json(&event, &mut text));
    String::from_utf8(text).unwrap()
}

fn truth_of(rows: u64, seed: u64) -> Value {
    let mut truth = Truth::new();
    Events::new(rows, seed).for_each(|event| truth.add(&event));
    serde_json::from_str(&truth.to_json()).unwrap()
}

fn options(rows: u64, seed: u64, out: &Path) -> VentasOptions {
    VentasOptions {
        rows,
        seed,
        out: out.to_path_buf(),
        parts: VentasParts {
            csv: true,
            json: true,
        },
    }
}

/// Names of all files below a folder, with their bytes.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_bytes_of_a_seed_never_change() {
    assert_eq!(hash(csv_of(1000, 0).as_bytes()), 0xED54_CC0F_BC3F_774C);
    assert_eq!(hash(json_of(1000, 0).as_bytes()), 0x87CA_3293_65BB_14CF);
    assert_eq!(
        hash(super::dims::products_csv().as_bytes()),
        0xFD9A_6351_49FB_4443
    );
    let mut truth = Truth::new();
    Events::new(1000, 0).for_each(|event| truth.add(&event));
    assert_eq!(hash(truth.to_json().as_bytes()), 0xECB9_368A_E4FE_29B9);
}

#[test]
fn another_seed_gives_other_sales() {
    let (first, second) = (csv_of(1000, 0), csv_of(1000, 1));
    let same = first
        .lines()
        .zip(second.lines())
        .filter(|(a, b)| a == b)
        .count();
    assert_eq!(same, 0);
}

#[test]
fn sale_ids_run_from_one_without_gaps() {
    let ids = csv_of(5000, 3)
        .lines()
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect::<Vec<u64>>();
    assert_eq!(ids, (1..=5000).collect::<Vec<_>>());
}

#[test]
fn one_row_in_a_hundred_has_a_fault_and_all_kinds_come_up_alike() {
    let truth = truth_of(300_000, 7);
    let faulty = truth["quarantined"].as_u64().unwrap();
    assert!((2_800..3_200).contains(&faulty), "{faulty}");
    for fault in Fault::ALL {
        let count = truth["reasons"][fault.reason()].as_u64().unwrap();
        assert!((260..410).contains(&count), "{}: {count}", fault.reason());
    }
}

#[test]
fn no_event_is_30_seconds_older_than_the_newest_before_it() {
    let mut newest = [0; 2];
    let mut largest = 0;
    for event in Events::new(200_000, 11) {
        let part = usize::from(event.sale_id() % 2 == 1);
        largest = largest.max(newest[part] - newest[part].min(event.ms_of_day));
        newest[part] = newest[part].max(event.ms_of_day);
        assert!(event.ms_of_day < 86_400_000);
    }
    assert!((29_000..30_000).contains(&largest), "{largest} ms");
}

#[test]
fn every_way_to_write_a_region_is_a_key_once_trimmed_and_in_upper_case() {
    let csv = regions_csv();
    let keys: HashMap<&str, &str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .collect();
    assert_eq!(keys.len(), 192, "aliases are unique");
    let mut variants = HashSet::new();
    for line in csv_of(200_000, 5).lines() {
        let written = line.split(',').nth(3).unwrap();
        let key = written.trim_matches(' ').to_ascii_uppercase();
        assert!(
            key.is_empty() || key == "ZZ-99" || keys.contains_key(key.as_str()),
            "{written:?}"
        );
        variants.insert(written.to_owned());
    }
    assert_eq!(variants.len(), 64 * (VARIANTS + 1) + 2);
}

#[test]
fn half_of_the_sales_are_of_the_first_eighth_of_the_products() {
    let products = Events::new(100_000, 2)
        .map(|event| event.product)
        .collect::<Vec<_>>();
    let first = products
        .iter()
        .filter(|&&product| product <= PRODUCTS / 8)
        .count();
    assert!((49_000..51_000).contains(&first), "{first}");
    assert!(
        products
            .iter()
            .all(|product| (1..=PRODUCTS).contains(product))
    );
    assert!(products.contains(&1));
    assert!(products.iter().any(|&product| product > PRODUCTS - 20));
}

#[test]
fn json_says_what_csv_says() {
    for (csv, json) in csv_of(20_000, 4).lines().zip(json_of(20_000, 4).lines()) {
        let object: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
        assert!(object.keys().eq(VENTAS_COLUMNS.iter()), "{json}");
        let texts = object.values().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        assert_eq!(csv, texts.collect::<Vec<_>>().join(","));
    }
}

#[test]
fn chunks_and_slices_are_cuts_of_one_stream() {
    let whole = csv_of(3000, 9);
    let mut chunks = VentasChunks::new(3000, 9, VentasText::Csv);
    let (mut text, mut row) = (String::new(), 0);
    while let Some((bytes, first_row)) = chunks.next_chunk(1000, u64::MAX) {
        assert_eq!(first_row, row);
        assert!((1000..1100).contains(&bytes.len()) || text.len() + bytes.len() == whole.len());
        text += std::str::from_utf8(&bytes).unwrap();
        row = u64::try_from(text.lines().count()).unwrap();
    }
    assert_eq!(text, whole);
    let (one_record, _) = VentasChunks::new(3000, 9, VentasText::Csv)
        .next_chunk(0, u64::MAX)
        .unwrap();
    assert_eq!(std::str::from_utf8(&one_record).unwrap().lines().count(), 1);

    let (slice, first_row) = VentasChunks::slice(3000, 9, VentasText::Csv, 1000..1002)
        .next_chunk(1 << 20, u64::MAX)
        .unwrap();
    assert_eq!(first_row, 1000);
    assert!(
        whole
            .lines()
            .skip(1000)
            .take(2)
            .eq(std::str::from_utf8(&slice).unwrap().lines())
    );
    assert!(
        VentasChunks::slice(3000, 9, VentasText::Csv, 2999..5000)
            .next_chunk(1 << 20, u64::MAX)
            .is_some()
    );
    assert!(
        VentasChunks::slice(3000, 9, VentasText::Csv, 3000..5000)
            .next_chunk(1 << 20, u64::MAX)
            .is_none()
    );
    assert!(
        VentasChunks::new(0, 9, VentasText::Csv)
            .next_chunk(1 << 20, u64::MAX)
            .is_none()
    );
}

#[test]
fn a_data_set_has_the_layout_and_the_rows_of_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut reported = Vec::new();
    let summary = generate_ventas(&options(70_000, 1, folder.path()), &mut |rows| {
        reported.push(rows);
    })
    .unwrap();
    assert_eq!(reported, [65_536, 70_000]);
    assert_eq!(summary.folder, folder.path().join("70000"));
    assert_eq!(
        summary.valid + summary.faults.iter().map(|(_, count)| count).sum::<u64>(),
        70_000
    );

    let files = tree(folder.path());
    assert_eq!(
        files.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "70000/csv/part-0.csv",
            "70000/csv/part-1.csv",
            "70000/json/part-0.jsonl",
            "70000/json/part-1.jsonl",
            "70000/truth.json",
            "dims/fx.csv",
            "dims/products.csv",
            "dims/regions.csv",
        ]
    );
    assert_eq!(
        files
            .values()
            .map(|bytes| u64::try_from(bytes.len()).unwrap())
            .sum::<u64>(),
        summary.bytes
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&files["70000/truth.json"]).unwrap(),
        truth_of(70_000, 1)
    );

    let stream = csv_of(70_000, 1);
    for part in 0..2 {
        let text = std::str::from_utf8(&files[&format!("70000/csv/part-{part}.csv")]).unwrap();
        let expected = stream.lines().skip(usize::from(part == 0)).step_by(2);
        assert!(
            text.lines().eq([VENTAS_COLUMNS.join(",").as_str()]
                .into_iter()
                .chain(expected))
        );
    }
}

#[test]
fn small_data_sets_are_whole() {
    for rows in [0, 1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let summary = generate_ventas(&options(rows, 0, folder.path()), &mut |_| ()).unwrap();
        let files = tree(&summary.folder);
        let lines: usize = (0..2)
            .map(|part| {
                files[&format!("csv/part-{part}.csv")]
                    .split(|&byte| byte == b'\n')
                    .count()
                    - 2
            })
            .sum();
        assert_eq!(u64::try_from(lines).unwrap(), rows);
        let truth: Value = serde_json::from_slice(&files["truth.json"]).unwrap();
        assert_eq!(truth["rows"], rows);
    }
}

#[test]
fn parts_not_asked_for_are_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let only_json = VentasOptions {
        parts: VentasParts {
            csv: false,
            json: true,
        },
        ..options(10, 0, folder.path())
    };
    generate_ventas(&only_json, &mut |_| ()).unwrap();
    assert!(!folder.path().join("10/csv").exists());
    assert!(folder.path().join("10/json/part-1.jsonl").exists());
}

#[test]
fn a_failure_names_the_path_and_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error =
        generate_ventas(&options(10, 0, &folder.path().join("file")), &mut |_| ()).unwrap_err();
    assert!(matches!(error, GenerateError::CreateFolder { .. }));
    assert!(
        error
            .to_string()
            .contains("file/dims: this folder can't be made\n"),
        "{error}"
    );

    let out = folder.path().join("out");
    fs::create_dir_all(out.join("10/truth.json")).unwrap();
    let error = generate_ventas(&options(10, 0, &out), &mut |_| ()).unwrap_err();
    assert!(matches!(error, GenerateError::Publish { .. }));
    assert!(error.to_string().contains("out/10/truth.json: "), "{error}");
    assert_eq!(tree(&out), BTreeMap::new());
}

#[test]
fn folders_of_whole_millions_are_named_in_millions() {
    assert_eq!(size_name(10_000_000), "10m");
    assert_eq!(size_name(1_000_000), "1m");
    assert_eq!(size_name(1_500_000), "1500000");
    assert_eq!(size_name(20_000), "20000");
    assert_eq!(size_name(0), "0");
}

#[test]
fn the_sample_job_has_the_rows_its_header_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/ventas");
    let stream = csv_of(20_000, 20_260_314);
    for part in 0..2 {
        let text = fs::read_to_string(folder.join(format!("part-{part}.csv"))).unwrap();
        assert!(
            text.lines()
                .skip(1)
                .eq(stream.lines().skip(1 - part).step_by(2))
        );
    }
    let products = fs::read_to_string(folder.join("products.csv")).unwrap();
    let sold: HashSet<&str> = stream
        .lines()
        .filter_map(|line| line.split(',').nth(4))
        .collect();
    let all = super::dims::products_csv();
    let kept = all.lines().filter(|line| {
        line.starts_with("product_id,") || sold.contains(line.split(',').next().unwrap())
    });
    assert!(products.lines().eq(kept));
    assert_eq!(
        fs::read_to_string(folder.join("regions.csv")).unwrap(),
        regions_csv()
    );
    assert_eq!(
        fs::read_to_string(folder.join("fx.csv")).unwrap(),
        super::dims::fx_csv()
    );
}

/// Reads the text as the job must, without looking at the generator's numbers.
#[test]
fn the_truth_is_what_the_text_says() {
    const ROWS: u64 = 60_000;
    let regions_text = regions_csv();
    let regions: HashMap<&str, Vec<&str>> = regions_text
        .lines()
        .skip(1)
        .map(|line| (line.split(',').next().unwrap(), line.split(',').collect()))
        .collect();
    let products_text = super::dims::products_csv();
    let products: HashMap<&str, i64> = products_text
        .lines()
        .skip(1)
        .map(|line| {
            (
                line.split(',').next().unwrap(),
                line.split(',').nth(2).unwrap().parse().unwrap(),
            )
        })
        .collect();
    let rates_text = super::dims::fx_csv();
    let rates: HashMap<&str, i64> = rates_text
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .map(|(currency, rate)| (currency, rate.replace('.', "").parse().unwrap()))
        .collect();

    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut zones: BTreeMap<&str, u64> = BTreeMap::new();
    // Region and minute → cents, whether the customer is missing, and time of each sale.
    let mut windows = BTreeMap::<_, Vec<(i64, bool, i64)>>::new();
    let (mut cents_total, mut usd_total, mut ids, mut region_ids, mut categories, mut quantities) =
        (0, 0, 0, 0, 0, 0);
    let text = csv_of(ROWS, 21);
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [
            sale_id,
            ts,
            _,
            region,
            product,
            customer,
            quantity,
            price,
            currency,
            _,
        ] = fields[..]
        else {
            panic!("{line}");
        };
        let region = region.trim_matches(' ').to_ascii_uppercase();
        let quantity: Option<i64> = quantity.parse().ok();
        let price: Option<i64> = price.replace('.', "").parse().ok();
        let reason = if !ts.ends_with('Z') {
            Some("bad_ts")
        } else if region.is_empty() {
            Some("missing_region")
        } else if !regions.contains_key(region.as_str()) {
            Some("unknown_region")
        } else if !products.contains_key(product) {
            Some("unknown_product")
        } else if quantity.is_none() {
            Some("bad_quantity")
        } else if quantity == Some(0) {
            Some("zero_quantity")
        } else if price.is_none() {
            Some("missing_price")
        } else if price < Some(0) {
            Some("negative_price")
        } else if !rates.contains_key(currency) {
            Some("unknown_currency")
        } else {
            None
        };
        if let Some(reason) = reason {
            *reasons.entry(reason).or_default() += 1;
            continue;
        }
        let region = &regions[region.as_str()];
        let region_id: i64 = region[1].parse().unwrap();
        let cents = quantity.unwrap() * price.unwrap();
        *zones.entry(region[4]).or_default() += 1;
        cents_total += cents;
        usd_total += cents * rates[currency];
        ids += sale_id.parse::<i64>().unwrap();
        region_ids += region_id;
        categories += products[product];
        quantities += quantity.unwrap();
        let ts: chrono::DateTime<chrono::Utc> = ts.parse().unwrap();
        let minute = ts.format("%H:%M").to_string();
        windows.entry((region_id, minute)).or_default().push((
            cents,
            customer.is_empty(),
            ts.timestamp_millis(),
        ));
    }

    let truth = truth_of(ROWS, 21);
    for (reason, count) in &reasons {
        assert_eq!(truth["reasons"][reason], *count, "{reason}");
    }
    assert_eq!(truth["quarantined"], reasons.values().sum::<u64>());
    assert_eq!(truth["valid"], ROWS - reasons.values().sum::<u64>());
    assert_eq!(truth["zones"], serde_json::to_value(&zones).unwrap());
    assert_eq!(
        truth["sum_amount"],
        format!("{}.{:02}", cents_total / 100, cents_total % 100)
    );
    assert_eq!(
        truth["sum_amount_usd"],
        format!("{}.{:06}", usd_total / 1_000_000, usd_total % 1_000_000)
    );
    assert_eq!(truth["sum_sale_id"], ids);
    assert_eq!(truth["sum_region_id"], region_ids);
    assert_eq!(truth["sum_category_id"], categories);
    assert_eq!(truth["sum_quantity"], quantities);

    let quality = &truth["quality"];
    assert_eq!(quality["rows"], windows.len());
    assert_eq!(quality["total_rows"], truth["valid"]);
    assert_eq!(quality["sum_amount"], truth["sum_amount"]);
    let nulls = windows.values().flatten().filter(|row| row.1).count();
    assert_eq!(quality["null_customers"], nulls);
    assert_eq!(truth["null_customers"], nulls);
    let newest: i64 = windows
        .values()
        .map(|rows| rows.iter().map(|row| row.2).max().unwrap())
        .sum();
    assert_eq!(quality["sum_max_ts_ms"], newest);

    // The textbook formulas in floating point, two passes.
    let (mut mean_sum, mut var_sum, mut z_sum, mut z_count) = (0.0, 0.0, 0.0, 0_u64);
    let mut history: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for ((region, _), rows) in &windows {
        let amounts: Vec<f64> = rows
            .iter()
            .map(|row| f64::from(i32::try_from(row.0).unwrap()) / 100.0)
            .collect();
        mean_sum += mean(&amounts);
        if amounts.len() > 1 {
            var_sum += sample_sd(&amounts).powi(2);
        }
        let before = history.entry(*region).or_default();
        let previous = &before[before.len().saturating_sub(10)..];
        let sum: f64 = amounts.iter().sum();
        if previous.len() > 1 && sample_sd(previous) > 1e-9 {
            z_count += 1;
            z_sum += ((sum - mean(previous)) / sample_sd(previous)).abs();
        }
        before.push(sum);
    }
    assert_eq!(quality["z_count"], z_count);
    for (name, expected) in [
        ("sum_mean", mean_sum),
        ("sum_var", var_sum),
        ("sum_abs_z", z_sum),
    ] {
        let got = quality[name].as_f64().unwrap();
        assert!(
            (got - expected).abs() < 1e-9 * expected,
            "{name}: {got} and {expected}"
        );
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values)
}

fn sample_sd(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count(values) - 1.0))
        .sqrt()
}

fn count(values: &[f64]) -> f64 {
    f64::from(u32::try_from(values.len()).unwrap())
}
