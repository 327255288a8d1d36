//! JOBS.md, job 2: monthly till exports, revenue by state, rows in no order.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::Value;

use super::facts::{groups, lateness};
use super::table::Exact;
use super::variance::Verdicts;
use super::{Done, data, facts, run, variance};

const MONTHS: [(&str, &str); 3] = [
    ("electronics_2019_01", "Sales_January_2019.csv.gz"),
    ("electronics_2019_04", "Sales_April_2019.csv"),
    ("electronics_2019_12", "Sales_December_2019.csv.zst"),
];

const JOB: &str = "jobs/till_exports.toml";

#[test]
fn till_exports_lose_their_repeated_headers_and_blank_records_and_nothing_else() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, file) in MONTHS {
        let done = run(&data, JOB, &[], &[("TILL_FILES", file)]);
        done.holds(&facts, set, "sales", "amount", &["price_each"]); // 600 and 600.0
        assert_eq!(done.rows("refused"), 0);
        categories(&done);
        states(&facts["joins_and_checks"][set], &done);
        days(&facts, set, &done);
    }
}

/// Revenue by the user's own table of categories: every product has one.
fn categories(done: &Done) {
    let of_category = done.table("sales").groups(&["category"], "amount");
    let of_product = done.table("sales").groups(&["product"], "amount");
    assert_eq!((of_category.len(), of_product.len()), (6, 19));
    let rows = |groups: &BTreeMap<String, (usize, String)>| -> usize {
        groups.values().map(|(rows, _)| rows).sum()
    };
    assert_eq!(rows(&of_category), rows(&of_product));
}

/// Revenue by the state and city that were cut out of the address, and the months that a file holds.
fn states(joins: &Value, done: &Done) {
    let sales = done.table("sales");
    let of_region = &joins["region_from_address"];
    assert_eq!(
        sales.groups(&["state", "city"], "amount"),
        groups(&of_region["values"], &[])
    );
    assert_eq!(sales.nulls("state"), 0);
    assert_eq!(of_region["unparsed"], 0);
    let mut months: BTreeMap<String, u64> = BTreeMap::new();
    for day in sales.days("order_date").into_iter().flatten() {
        *months.entry(day.format("%Y-%m").to_string()).or_default() += 1;
    }
    let expected: BTreeMap<String, u64> =
        serde_json::from_value(joins["rows_by_event_month"].clone()).unwrap();
    assert_eq!(months, expected);
}

/// The window of a day: complete, and far from the week before only where the next month begins.
fn days(facts: &Value, set: &str, done: &Done) {
    let days = done.table("days");
    let periods = days.periods("window_start", "%Y-%m-%d", "amount");
    let by_day = facts["datasets"][set]["by_day"].as_object().unwrap();
    assert_eq!(periods.len(), by_day.len());
    let flags = &facts["variance_flags"]["flags"][set];
    variance::agree(set, flags, &periods, 7, 50.0);
    let steady = &done.summary["verdicts"]["amount_steady"];
    variance::told(set, flags, &days, "amount_off", steady);
    let verdicts = done.table("verdicts");
    let verdicts = Verdicts::new(&verdicts);
    let day = |start: NaiveDate| start.to_string();
    variance::said(flags, &verdicts, ("amount_steady", ""), day);
    // JOBS.md: completeness of every column is 100 % once blank records are out.
    for check in ["address_given", "product_given"] {
        let verdicts = &done.summary["verdicts"][check];
        assert_eq!(
            verdicts["pass"].as_u64(),
            Some(by_day.len() as u64),
            "{check}"
        );
    }
}

#[test]
fn a_watermark_from_these_rows_would_lose_most_of_them() {
    let Some(data) = data() else { return };
    // The table of JOBS.md, job 2: rows later than a watermark of one and of seven days.
    for ((set, file), after_a_day, after_a_week) in [
        (MONTHS[0], 9_401, 7_471),
        (MONTHS[1], 17_653, 14_050),
        (MONTHS[2], 24_237, 19_368),
    ] {
        let done = run(&data, JOB, &[], &[("TILL_FILES", file)]);
        let times = done.table("sales").times("order_date", Tz::UTC);
        let late = lateness(&times.into_iter().flatten().collect::<Vec<_>>());
        let later_than = |days: i64| late.iter().filter(|by| **by > days * 86_400).count();
        assert_eq!(
            (later_than(1), later_than(7)),
            (after_a_day, after_a_week),
            "{set}"
        );
    }
}

#[test]
fn three_exports_in_three_packings_are_one_source() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let of = |name: &str| -> u64 {
        let sets = MONTHS.iter().map(|(set, _)| &facts["datasets"][set]);
        sets.map(|set| set[name].as_u64().unwrap()).sum()
    };
    for words in [["-w", "1"], ["-w", "2"], ["-w", "4"]] {
        let done = run(&data, JOB, &words, &[]);
        assert_eq!(done.rows("in"), of("records"));
        assert_eq!(done.rows("clean"), of("well_formed_rows"));
        let skipped = of("blank_records") + of("repeated_header_records");
        assert_eq!(done.rows("dropped"), skipped);
        let sums = MONTHS.iter().map(|(set, _)| {
            let sum = &facts["datasets"][set]["amount"]["sum"];
            Exact::read(sum.as_str().unwrap())
        });
        let sum = sums.fold(Exact::ZERO, Exact::plus);
        assert_eq!(done.table("sales").sum("amount"), sum.text());
    }
}
