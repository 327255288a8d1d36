//! Partitioned look-ups against replicated ones, with real workers.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::core::Input;

use super::*;
use crate::cluster::{Run, RunOptions};
use crate::job::plan::{Plan, timestamp_type};
use crate::job::resolve::plan_of;
use crate::observe::Observer;
use crate::record::{Budget, Draft, Epoch};
use crate::sources::Feed;
use crate::transform::text;

/// Rows of the first look-up.
const PRODUCTS: usize = 3000;

/// A job whose second look-up needs the first; the second is as-of, by two keys.
fn plan(folder: &Path, placement: &str) -> Arc<Plan> {
    let folder = folder.display();
    let job = format!(
        r#"
format = 1
[job]
name = "visits"
output = "out"
[sources.sales]
event_time = "ts"
files = {{ paths = ["{folder}/sales.csv"] }}
csv = {{}}
columns = {{ id = "bigint", ts = "timestamp", product = "int", region = "varchar" }}
[lookups.products]
on = {{ product_id = "100 / sales.product * 0 + sales.product" }}
placement = "{placement}"
missing = {{ then = "refuse" }}
files = {{ paths = ["{folder}/products.csv"] }}
csv = {{}}
columns = {{ product_id = "int", sku = "varchar", weight = "decimal(8,2)", hidden = "varchar" }}
[lookups.prices]
on = {{ sku = "products.sku", region = "upper(sales.region)" }}
placement = "{placement}"
valid_from = "since"
valid_to = "until"
missing = {{ then = "null" }}
files = {{ paths = ["{folder}/prices.csv"] }}
csv = {{}}
columns = {{ since = "timestamp", sku = "varchar", region = "varchar", price = "bigint", until = "timestamp" }}
[sinks.rows]
files = {{ path = "rows" }}
parquet = {{}}
columns = {{ id = "id", sku = "products.sku", weight = "weight", price = "price", since = "since" }}
"#
    );
    Arc::new(plan_of(&job))
}

fn write_files(folder: &Path) {
    std::fs::write(folder.join("sales.csv"), "id,ts,product,region\n").unwrap();
    let mut products = "product_id,sku,weight,hidden\n".to_owned();
    let mut prices = "since,sku,region,price,until\n".to_owned();
    for n in 0..PRODUCTS {
        // Some texts and numbers are null, some stand twice.
        let sku = if n % 17 == 0 {
            String::new()
        } else {
            format!("S{}", n / 2)
        };
        let weight = if n % 5 == 0 {
            String::new()
        } else {
            format!("{n}.50")
        };
        writeln!(products, "{n},{sku},{weight},x").unwrap();
        if n % 2 == 0 && n % 17 != 0 {
            for (day, until) in [(1, "2026-01-03T00:00:00Z"), (4, "")] {
                let sku = n / 2;
                writeln!(prices, "2026-01-0{day}T00:00:00Z,S{sku},EU,{n},{until}").unwrap();
            }
        }
    }
    std::fs::write(folder.join("products.csv"), products).unwrap();
    std::fs::write(folder.join("prices.csv"), prices).unwrap();
}

/// Drafts with unknown and null keys and keys that fail, one without rows, one of one row, one that asks for nothing, over several epochs.
fn drafts() -> Vec<Draft> {
    let first_day = 1_767_225_600_000_000_i64;
    let mut drafts = Vec::new();
    let mut id = 0;
    for (number, rows) in [0, 1, 700, 3, 64, 1000, 2, 300].into_iter().enumerate() {
        let ids: Vec<i64> = (id..).take(rows).collect();
        id += i64::try_from(rows).unwrap();
        let product = ids.iter().map(|id| match id % 11 {
            _ if number == 3 => None,
            3 => None,
            4 => Some(0),
            5 => Some(1_000_000),
            _ => Some(i32::try_from(id * 37 % 3000).unwrap()),
        });
        let region = ids.iter().map(|id| match id % 7 {
            0 => None,
            1 => Some("us"),
            2 => Some("EU"),
            _ => Some("eu"),
        });
        let ts = ids
            .iter()
            .map(|id| (id % 13 != 0).then_some(first_day + id % 5 * 86_400_000_000));
        let region: ArrayRef = if number % 2 == 0 {
            Arc::new(StringArray::from_iter(region))
        } else {
            Arc::new(
                region.collect::<arrow_array::DictionaryArray<arrow_array::types::Int32Type>>(),
            )
        };
        let ts: TimestampMicrosecondArray = ts.collect();
        let columns: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(ts.with_data_type(timestamp_type())),
            Arc::new(Int32Array::from_iter(product)),
            region,
        ];
        drafts.push(Draft {
            rows,
            epoch: 1 + Epoch::try_from(number / 3).unwrap(),
            columns: columns.map(Some).to_vec(),
            ..Draft::default()
        });
    }
    drafts
}

/// What becomes of the drafts with so many workers, in the order of their rows; and the rows that each worker had of each look-up.
fn enriched(plan: &Arc<Plan>, workers: usize) -> (Vec<String>, Vec<Vec<usize>>) {
    let mut options = RunOptions::new(plan);
    options.observer = Observer::new(plan, &options.progress, 0, workers);
    let feed = Feed::new(plan, &Budget::new(u64::MAX), None, |_| true).unwrap();
    let loaded = plan.lookups.iter();
    let loaded = loaded.map(|lookup| load(lookup, Duration::ZERO, &|| false).unwrap().unwrap());
    let run = Arc::new(Run::alone(plan, feed, loaded.collect(), &options, 0));
    let out: Arc<Mutex<Vec<Draft>>> = Arc::default();
    let (shared, gathered) = (Arc::clone(&run), Arc::clone(&out));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (run, out) = (Arc::clone(&shared), Arc::clone(&gathered));
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, mut rows) = scope.new_input::<Draft>();
            let reference = collections(scope, &run, None);
            for stage in &run.plan.stages {
                rows = enrich(rows, &reference, &run, &stage.lookups);
            }
            rows.sink(Pipeline, "gather", move |(input, _)| {
                input.for_each(|_, draft| out.lock().unwrap().push(std::mem::take(draft)));
            });
            input
        });
        let (index, peers) = (worker.index(), worker.peers());
        for mut draft in drafts().into_iter().skip(index).step_by(peers) {
            input.advance_to(draft.epoch);
            input.send_batch(&mut draft);
            worker.step();
        }
        drop(input);
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
    });
    for joined in guards.unwrap().join() {
        joined.unwrap();
    }
    assert!(!run.is_over());
    let mut out = std::mem::take(&mut *out.lock().unwrap());
    out.sort_by_key(|draft| shown(draft.columns[0].as_ref().unwrap()));
    let text = run.observer.text();
    let lookups = plan.lookups.iter().map(|lookup| {
        let rows = (0..workers).map(|worker| {
            let name = &lookup.name;
            let series = format!(
                "caudal_lookup_reference_rows{{lookup=\"{name}\",process=\"0\",worker=\"{worker}\"}} "
            );
            let line = text.lines().find_map(|line| line.strip_prefix(&series));
            line.map_or(0, |rows| rows.parse().unwrap())
        });
        rows.collect()
    });
    (out.iter().map(draft_text).collect(), lookups.collect())
}

fn draft_text(draft: &Draft) -> String {
    let columns = draft.columns.iter().enumerate();
    let mut lines: Vec<String> = columns
        .filter_map(|(id, column)| Some(format!("{id}: {:?}", shown(column.as_ref()?))))
        .collect();
    let mut faults: Vec<String> = draft
        .faults
        .iter()
        .map(|fault| format!("{fault:?}"))
        .collect();
    faults.sort();
    lines.extend(faults);
    lines.join("\n")
}

/// The values of a column, whatever its encoding.
fn shown(column: &ArrayRef) -> Vec<String> {
    let plain = text::to_plain(column);
    (0..plain.len())
        .map(|row| missing::show(&plain, row))
        .collect()
}

#[test]
fn visits_find_what_probes_find_with_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let replicated = plan(folder.path(), "replicated");
    let (expected, rows) = enriched(&replicated, 1);
    let all = expected.join("\n");
    for words in [
        "unknown_products",
        "bad_key",
        "1000000 is not in",
        "S7",
        ".50",
    ] {
        assert!(all.contains(words), "{words}");
    }
    assert_eq!(rows, [vec![PRODUCTS], vec![rows[1][0]]]);
    let prices = rows[1][0];
    let partitioned = plan(folder.path(), "partitioned");
    for workers in [1, 2, 3, 4, 7] {
        let (got, of_workers) = enriched(&replicated, workers);
        assert_eq!(got, expected, "replicated, {workers} workers");
        // A worker through which no draft went has made no snapshot.
        for rows in of_workers[0].iter().filter(|rows| **rows > 0) {
            assert_eq!(*rows, PRODUCTS);
        }
        let (got, of_workers) = enriched(&partitioned, workers);
        assert_eq!(got, expected, "partitioned, {workers} workers");
        for (of_workers, all) in of_workers.iter().zip([PRODUCTS, prices]) {
            assert_eq!(of_workers.iter().sum::<usize>(), all, "{workers} workers");
            let most = of_workers.iter().max().unwrap();
            assert!(most * workers < all * 3 / 2, "{of_workers:?}");
        }
    }
}
