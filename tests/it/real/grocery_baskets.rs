//! JOBS.md, job 5: grocery baskets from Parquet, with INT96 times and DOUBLE money.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::Value;

use super::super::tables::Cell;
use super::facts::groups;
use super::grocery_columns::NEXT_TO_NOTHING;
use super::table::{Exact, Table};
use super::variance::Verdicts;
use super::{Done, data, facts, run, variance};

const JOB: &str = "jobs/grocery_baskets.toml";
const SET: &str = "complete_journey";

#[test]
fn baskets_add_up_to_the_cent() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let of_set = &facts["datasets"][SET];
    for workers in ["1", "2"] {
        let done = run(&data, JOB, &["-w", workers, "--as-of", "2018-01-02"], &[]);
        assert_eq!(Some(done.rows("in")), of_set["well_formed_rows"].as_u64());
        assert_eq!(of_set["nulls_in_transactions"], 0);
        assert_eq!(done.rows("refused"), 0); // every column is `not null`
        departments(of_set, &done);
        rules(of_set, &done);
        stores(of_set, &done);
        calendar(of_set, &done);
        weeks(&facts, &done);
        if workers == "1" {
            distinct(of_set, &done);
        }
    }
}

fn departments(facts: &Value, done: &Done) {
    let weeks = done.table("weeks");
    assert_eq!(
        Exact::read(&weeks.sum("sales")).text(),
        facts["amount"]["sum"].as_str().unwrap()
    );
    let sums = &facts["numeric_sums"];
    for (column, name) in [
        ("retail_disc", "retail_disc"),
        ("coupon_disc", "coupon_disc"),
        ("coupon_match_disc", "coupon_match_disc"),
        ("units", "quantity"),
    ] {
        let expected = Exact::read(sums[name].as_str().unwrap()).text();
        assert_eq!(weeks.sum(column), expected, "{name}");
    }
    let of_department = weighted(&weeks, "department");
    assert_eq!(of_department, groups(&facts["by_department"], &[]));
    let by_week = groups(&facts["by_week"], &[]);
    assert_eq!(weighted(&weeks, "week"), by_week);
    for (department, of_facts) in facts["by_department"].as_object().unwrap() {
        let units = &weeks.groups(&["department"], "units")[department].1;
        assert_eq!(
            Some(units.as_str()),
            of_facts["quantity"].as_str(),
            "{department}"
        );
    }
    // JOBS.md, job 5: fuel and miscellaneous are all there is above a thousand units.
    let many = weeks.groups(&["department"], "many_units");
    assert_eq!(
        (&*many["FUEL"].1, &*many["MISCELLANEOUS"].1),
        ("11818", "1676")
    );
}

/// Rows and sales of a column's values, from windows that hold both.
fn weighted(weeks: &Table, by: &str) -> BTreeMap<String, (usize, String)> {
    let rows = weeks.groups(&[by], "rows");
    let sales = weeks.groups(&[by], "sales");
    rows.into_iter()
        .map(|(key, (_, rows))| {
            let sales = sales[&key].1.clone();
            (key, (rows.parse().unwrap(), sales))
        })
        .collect()
}

fn rules(facts: &Value, done: &Done) {
    let unmatched = facts["product_lookup"]["unmatched_rows"].as_u64();
    assert_eq!(Some(done.warned("product_known")), unmatched);
    for (rule, fact) in [
        ("quantity_given", "quantity_zero_rows"),
        ("quantity_small", "quantity_over_1000_rows"),
    ] {
        assert_eq!(Some(done.warned(rule)), facts[fact].as_u64(), "{rule}");
    }
    assert_eq!(done.warned("quantity_usual"), 0);
    let zero = facts["sales_value_zero_rows"].as_u64().unwrap();
    assert_eq!(done.warned("value_given"), zero + NEXT_TO_NOTHING);
}

fn stores(facts: &Value, done: &Done) {
    let facts = &facts["stores"];
    let stores = done.table("stores");
    let newest = stores.times("newest", Tz::UTC);
    assert_eq!(Some(stores.rows as u64), facts["total"].as_u64());
    let silent = facts["last_sale_before_2017_12_01"].as_u64().unwrap();
    let verdicts = &done.summary["verdicts"]["store_alive"];
    assert_eq!(verdicts["warn"].as_u64(), Some(silent));
    assert_eq!(verdicts["pass"].as_u64(), Some(stores.rows as u64 - silent));
    let before = |day: &str| {
        let newest = newest.iter().flatten();
        let silent = newest.filter(|time| time.date().to_string().as_str() < day);
        silent.count() as u64
    };
    assert_eq!(
        Some(before("2017-12-25")),
        facts["last_sale_before_2017_12_25"].as_u64()
    );
    // JOBS.md, job 5: two large stores that stopped.
    for (store, rows, day) in [("414", 3_320, "2017-07-17"), ("354", 9_454, "2017-10-04")] {
        let ids = stores.texts("store_id");
        let row = ids
            .iter()
            .position(|id| id.as_deref() == Some(store))
            .unwrap();
        assert_eq!(stores.cells("rows")[row], Cell::Whole(rows), "{store}");
        assert_eq!(newest[row].unwrap().date().to_string(), day, "{store}");
    }
}

fn calendar(facts: &Value, done: &Done) {
    let days = done.table("days");
    let times = &facts["dates"]["transaction_timestamp"];
    assert_eq!(Some(days.rows as u64), times["distinct_days"].as_u64());
    let starts: BTreeSet<_> = days.days("window_start").into_iter().flatten().collect();
    let (first, last) = (*starts.first().unwrap(), *starts.last().unwrap());
    let empty: Vec<String> = first
        .iter_days()
        .take_while(|day| *day <= last)
        .filter(|day| !starts.contains(day))
        .map(|day| day.to_string())
        .collect();
    assert_eq!(serde_json::json!(empty), times["days_without_rows"]);
    let time = |name: &str| days.times(name, Tz::UTC).into_iter().flatten();
    let text = |time: chrono::NaiveDateTime| time.to_string();
    let oldest = time("oldest").min().map(text);
    assert_eq!(oldest.as_deref(), times["min"].as_str());
    let newest = time("newest").max().map(text);
    assert_eq!(newest.as_deref(), times["max"].as_str());
    let by_month: BTreeMap<String, String> = days
        .periods("window_start", "%Y-%m", "sales")
        .into_iter()
        .map(|(month, sum)| (month, sum.text()))
        .collect();
    let expected = groups(&facts["by_month"], &[]).into_iter();
    assert_eq!(
        by_month,
        expected.map(|(month, (_, sum))| (month, sum)).collect()
    );
}

/// Weeks that are far from the four before: of all sales, and of the seven largest departments.
fn weeks(facts: &Value, done: &Done) {
    let flags = &facts["variance_flags"]["flags"];
    let weeks = done.table("weeks");
    let in_order = |sums: BTreeMap<String, (usize, String)>| {
        let sums = sums.into_iter();
        let mut periods: Vec<(String, Exact)> = sums
            .map(|(week, (_, sum))| (week, Exact::read(&sum)))
            .collect();
        periods.sort_by_key(|(week, _)| week.parse::<u32>().unwrap());
        periods
    };
    let all = in_order(weeks.groups(&["week"], "sales"));
    variance::agree(SET, &flags["complete_journey_week"], &all, 4, 15.0);
    let mut of_department: BTreeMap<&str, BTreeMap<String, (usize, String)>> = BTreeMap::new();
    let by_both = weeks.groups(&["department", "week"], "sales");
    for (key, sum) in &by_both {
        let (department, week) = key.rsplit_once(" / ").unwrap();
        let of_week = of_department.entry(department).or_default();
        of_week.insert(week.to_owned(), sum.clone());
    }
    for (department, flags) in flags["complete_journey_department_week"]
        .as_object()
        .unwrap()
    {
        let periods = in_order(of_department[department.as_str()].clone());
        variance::agree(department, flags, &periods, 4, 40.0);
    }
}

#[test]
fn weeks_of_departments_are_judged() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/grocery_weeks.toml", &["-w", "2"], &[]);
    // The window of a week is the week that the file numbers, from the last days of 2016 on.
    let monday = NaiveDate::from_ymd_opt(2016, 12, 26).unwrap();
    let number = |start: NaiveDate| ((start - monday).num_days() / 7 + 1).to_string();
    let weeks = done.table("weeks");
    for (row, start) in weeks.days("window_start").into_iter().enumerate() {
        let number = Cell::Whole(number(start.unwrap()).parse().unwrap());
        assert_eq!(weeks.cells("first_number")[row], number);
        assert_eq!(weeks.cells("last_number")[row], number);
    }
    let of_set = &facts["datasets"][SET];
    let by_week = groups(&of_set["by_week"], &[]);
    assert_eq!(weeks.rows, by_week.len());
    let table = done.table("verdicts");
    let verdicts = Verdicts::new(&table);
    let flags = &facts["variance_flags"]["flags"];
    let of_week = &flags["complete_journey_week"];
    variance::said(of_week, &verdicts, ("week_steady", ""), number);
    for (department, flags) in flags["complete_journey_department_week"]
        .as_object()
        .unwrap()
    {
        let segment = format!("department={department}");
        variance::said(flags, &verdicts, ("department_steady", &segment), number);
    }
    // Every column of every line has a value; lines of 17 products have no product.
    assert_eq!(verdicts.missing("given"), (0, Vec::new()));
    let unmatched = &of_set["product_lookup"]["unmatched_rows"];
    let (lines, weeks) = verdicts.missing("product_known");
    assert_eq!(serde_json::json!(lines), *unmatched);
    assert!(!weeks.is_empty());
}

/// Distinct values of the lines, and lines of one basket and product.
fn distinct(facts: &Value, done: &Done) {
    for (column, expected) in facts["distinct"].as_object().unwrap() {
        let lines = done.table_of("lines", &[column]);
        let cells = lines.cells(column).iter();
        let values: BTreeSet<i128> = cells.map(whole).collect();
        assert_eq!(Some(values.len() as u64), expected.as_u64(), "{column}");
    }
    let lines = done.table_of(
        "lines",
        &["basket_id", "product_id", "product", "sales_value"],
    );
    let baskets = lines.cells("basket_id").iter().map(whole);
    let keys: BTreeSet<(i128, i128)> = baskets
        .zip(lines.cells("product_id").iter().map(whole))
        .collect();
    assert_eq!(
        Some(keys.len() as u64),
        facts["keys"][0]["distinct"].as_u64()
    );
    let (mut unmatched, mut amount) = (BTreeSet::new(), Exact::ZERO);
    for (row, product) in lines.cells("product").iter().enumerate() {
        if *product == Cell::Null {
            unmatched.insert(whole(&lines.cells("product_id")[row]));
            amount = amount.plus(Exact::of(&lines.cells("sales_value")[row]).unwrap());
        }
    }
    let lookup = &facts["product_lookup"];
    assert_eq!(
        Some(unmatched.len() as u64),
        lookup["unmatched_product_ids"].as_u64()
    );
    assert_eq!(
        Some(amount.text().as_str()),
        lookup["unmatched_amount"].as_str()
    );
}

fn whole(cell: &Cell) -> i128 {
    match cell {
        Cell::Whole(value) => *value,
        other => panic!("{other:?} is no whole number"),
    }
}
