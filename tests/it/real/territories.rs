//! JOBS.md, job 4: order lines of a model maker, from DOS, by territory.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::tables::Cell;
use super::facts::groups;
use super::table::{Exact, Table};
use super::variance::Verdicts;
use super::{data, facts, run, variance};

const JOB: &str = "jobs/territories.toml";
const SET: &str = "sales_data_sample";

#[test]
fn north_america_is_no_null_and_dos_letters_are_letters() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let joins = &facts["joins_and_checks"][SET];
    let done = run(&data, JOB, &[], &[]);
    done.holds(&facts, SET, "lines", "sales", &[]);
    let lines = done.table("lines");
    let letters: BTreeSet<char> = ["address", "first_name"]
        .iter()
        .flat_map(|name| lines.texts(name).into_iter().flatten())
        .flat_map(|text| text.chars().collect::<Vec<_>>())
        .filter(|letter| !letter.is_ascii())
        .collect();
    assert_eq!(letters, BTreeSet::from(['ñ', 'í', 'ä']));
    let wrong = &joins["rows_if_NA_is_wrongly_read_as_null_in_TERRITORY"];
    let territories = lines.groups(&["territory"], "sales");
    assert_eq!(Some(territories["NA"].0 as u64), wrong.as_u64());
    assert_eq!(lines.nulls("territory"), 0);
    // JOBS.md, job 4: euros by the rate of the day, and how many lines stand on a day without one.
    assert_eq!(lines.sum("sales_eur"), "8233300.66");
    assert_eq!(lines.count_true("earlier_rate"), 265);
    sales_and_prices(joins, &done.summary["warned_by_rule"], &lines);
    countries(joins, &lines);
    without_order(joins, &lines);
}

fn sales_and_prices(joins: &Value, warned: &Value, lines: &Table) {
    let prices = &joins["sales_equals_quantity_times_price"];
    let different = &prices["rows_different"];
    assert_eq!(warned["sales_are_quantity_times_price"], *different);
    assert_eq!(prices["of_those_with_price_100"], *different);
    assert_eq!(warned.get("capped_price"), None);
    let minus = |text: String| Exact::read(&format!("-{text}"));
    let apart = Exact::read(&lines.sum("sales")).plus(minus(lines.sum("list_amount")));
    // Differences of a cent or less are rounding: the facts leave them out.
    let expected = prices["total_difference"].as_str().unwrap();
    let expected: f64 = expected.parse().unwrap();
    assert!(
        (apart.real() - expected).abs() < 0.01 * 1521.0,
        "{}",
        apart.text()
    );
    assert_eq!(
        joins["rows_where_year_month_quarter_disagree_with_orderdate"],
        0
    );
    assert_eq!(warned.get("calendar_agrees"), None);
    let unmatched = &joins["country_lookup_iso3166_exact_name"]["unmatched_rows"];
    assert_eq!(warned["iso_name"], *unmatched);
}

/// Which countries a territory has: Singapore is in two.
fn countries(joins: &Value, lines: &Table) {
    let mut of_territory: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let territories = lines.texts("territory").into_iter().flatten();
    for (territory, country) in territories.zip(lines.texts("country").into_iter().flatten()) {
        of_territory.entry(territory).or_default().insert(country);
    }
    assert_eq!(json!(of_territory), joins["territory_countries"]);
}

/// The records that have no order number or no size, by their place in the file: its header is the first.
fn without_order(joins: &Value, lines: &Table) {
    let records = |name: &str| -> Vec<usize> {
        let cells = lines.cells(name).iter().enumerate();
        cells
            .filter(|(_, cell)| **cell == Cell::Null)
            .map(|(row, _)| row + 2)
            .collect()
    };
    let expected: Vec<&Value> = joins["rows_with_null_ordernumber"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["record"])
        .collect();
    assert_eq!(json!(records("order_number")), json!(expected));
    assert_eq!(
        json!(records("deal_size")),
        joins["records_with_null_dealsize"]
    );
}

#[test]
fn territories_are_judged_each_by_itself() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, JOB, &["--as-of", "2005-06-01"], &[]);
    // JOBS.md, job 4: completeness of STATE by territory, and the newest order of each on 2005-06-01.
    let table = done.table("territories");
    let given: BTreeMap<String, String> = table
        .texts("territory")
        .into_iter()
        .flatten()
        .zip(table.cells("state_given"))
        .map(|(name, share)| {
            (
                name,
                format!("{:.2}", 100.0 * (1.0 - share.as_real().unwrap())),
            )
        })
        .collect();
    let expected = [
        ("APAC", "16.67"),
        ("EMEA", "98.15"),
        ("Japan", "57.02"),
        ("NA", "0.00"),
    ];
    let expected = expected.map(|(name, share)| (name.to_owned(), share.to_owned()));
    assert_eq!(given, BTreeMap::from(expected));
    let verdicts = &done.summary["verdicts"];
    assert_eq!(verdicts["state_given"], json!({ "pass": 2, "warn": 2 }));
    assert_eq!(verdicts["fresh"], json!({ "pass": 3, "warn": 1 }));
    let verdicts = done.table("verdicts");
    let (checks, segments) = (verdicts.texts("check"), verdicts.texts("segment"));
    let ages: BTreeMap<String, f64> = (0..verdicts.rows)
        .filter(|row| checks[*row].as_deref() == Some("fresh"))
        .map(|row| {
            let age = verdicts.cells("value")[row].as_real().unwrap();
            (segments[row].clone().unwrap(), age / 86_400.0)
        })
        .collect();
    let days: Vec<f64> = ages.values().copied().collect();
    assert_eq!(days, [3.0, 1.0, 40.0, 2.0], "{ages:?}");

    let expected = groups(
        &facts["datasets"][SET]["groups"]["TERRITORY"]["values"],
        &[],
    );
    assert_eq!(
        done.table("lines").groups(&["territory"], "sales"),
        expected
    );
    let sums: BTreeMap<String, String> = table
        .texts("territory")
        .into_iter()
        .flatten()
        .zip(table.texts("sales").into_iter().flatten())
        .collect();
    let expected = expected.into_iter().map(|(name, (_, sum))| (name, sum));
    assert_eq!(sums, expected.collect());

    let periods = done.table("days").periods("window_start", "%Y-%m", "sales");
    let flags = &facts["variance_flags"]["flags"][SET];
    variance::agree(SET, flags, &periods, 3, 50.0);
    let verdicts = Verdicts::new(&verdicts);
    variance::said(flags, &verdicts, ("month_steady", ""), variance::month);
    // JOBS.md, job 4: lines on a day without a rate, and fields without a value.
    assert_eq!(verdicts.missing("rate_of_the_day").0, 265);
    let joins = &facts["joins_and_checks"][SET];
    let unmatched = &joins["country_lookup_iso3166_exact_name"]["unmatched_rows"];
    assert_eq!(json!(verdicts.missing("iso_name").0), *unmatched);
    assert_eq!(verdicts.missing("order_given").0, 5);
    assert_eq!(verdicts.missing("deal_size_given").0, 4);
}
