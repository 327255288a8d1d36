//! JOBS.md, job 1: the daily drop of a web shop, and its backfill.

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::super::tables::Cell;
use super::facts::{Comparison, groups};
use super::table::{Exact, Table};
use super::variance::Verdicts;
use super::{data, facts, run, variance};

/// Data sets, and their files under the job's folder.
const SETS: [(&str, &str); 2] = [
    ("online_retail_2010_12", "2010-12/*.csv"),
    ("online_retail_2011H1", "online_retail_2011H1.csv.gz"),
];

const JOB: &str = "jobs/tienda_web.toml";

#[test]
fn order_lines_are_read_as_they_are() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, files) in SETS {
        let job = "tests/data/online_retail.toml";
        let done = run(&data, job, &[], &[("LINES", files)]);
        done.holds(&facts, set, "lines", "amount", &[]);
        let joins = &facts["joins_and_checks"][set];
        let count = |name: &str| joins[name].as_u64().unwrap();
        let cancelled = count("cancelled_lines_invoice_starting_C");
        assert_eq!(done.warned("no_cancellation"), cancelled, "{set}");
        let corrected = count("negative_quantity_not_cancelled");
        assert_eq!(done.warned("no_correction"), corrected, "{set}");
        // The facts name the codes seen most often that are no goods.
        let codes = done.table("lines").texts("stock_code");
        let expected = joins["non_product_stock_codes"].as_object().unwrap();
        for (code, rows) in expected {
            let got = codes.iter().filter(|own| own.as_deref() == Some(code));
            assert_eq!(Some(got.count() as u64), rows.as_u64(), "{set}: {code}");
        }
        let named: u64 = expected.values().map(|rows| rows.as_u64().unwrap()).sum();
        assert!(done.warned("goods") >= named, "{set}");
    }
}

#[test]
fn the_web_shop_adds_up_to_the_cent() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, files) in SETS {
        let (of_set, joins) = (&facts["datasets"][set], &facts["joins_and_checks"][set]);
        for workers in ["1", "2"] {
            let done = run(&data, JOB, &["-w", workers], &[("LINES", files)]);
            assert_eq!(done.rows("refused"), 0);
            let lines = done.table("lines");
            Comparison {
                amount: "amount",
                zone: Tz::Europe__London,
                in_order: false,
                ..Comparison::of(of_set, &lines, &done.job)
            }
            .holds(set);
            let fx = &joins["fx_gbp_to_eur"];
            assert_eq!(lines.sum("amount_eur"), fx["sum_eur"].as_str().unwrap());
            assert_eq!(
                Some(lines.count_true("earlier_rate") as u64),
                fx["lines_needing_an_earlier_day"].as_u64()
            );
            assert_eq!(
                days_of(&lines, "earlier_rate"),
                fx["days_needing_an_earlier_day"]
            );
            let exact_name = &joins["country_lookup_iso3166_exact_name"];
            let own = done.warned("iso_name");
            assert_eq!(Some(own), exact_name["unmatched_rows"].as_u64());
        }
    }
}

#[test]
fn days_whose_file_did_not_come_are_told() {
    let Some(data) = data() else { return };
    // All but those of the 7th and the 17th.
    let done = run(&data, JOB, &["-w", "2"], &[("LINES", "2010-12/*[!7].csv")]);
    let told = &done.summary["verdicts"]["a_file_came"];
    assert_eq!(*told, json!({ "pass": 18, "warn": 2, "no_data": 3 }));
    let verdicts = done.table("verdicts");
    let checks = verdicts.texts("check").into_iter();
    let of_files = checks.map(|check| check.as_deref() == Some("a_file_came"));
    let statuses = verdicts.texts("status").into_iter();
    let days = verdicts.days("window_start").into_iter();
    let mut missed: Vec<String> = days
        .zip(of_files.zip(statuses))
        .filter(|(_, (is_of_files, status))| *is_of_files && status.as_deref() == Some("warn"))
        .map(|(day, _)| day.unwrap().to_string())
        .collect();
    missed.sort_unstable();
    assert_eq!(missed, ["2010-12-07", "2010-12-17"]);
}

/// The days of the rows that hold `true`, in order.
fn days_of(lines: &Table, column: &str) -> Value {
    let mut days: Vec<String> = lines
        .days("invoice_date")
        .iter()
        .zip(lines.cells(column))
        .filter(|(_, cell)| **cell == Cell::Bool(true))
        .map(|(day, _)| day.unwrap().to_string())
        .collect();
    days.sort_unstable();
    days.dedup();
    json!(days)
}

#[test]
fn regions_are_found_by_the_shops_own_spellings() {
    let Some(data) = data() else { return };
    let done = run(&data, JOB, &[], &[]);
    // The table of JOBS.md, job 1.
    let expected = json!({
        "Europe / Northern Europe": { "rows": 40_822, "amount": "697116.67" },
        "Europe / Western Europe": { "rows": 1_229, "amount": "36294.55" },
        "Asia / Eastern Asia": { "rows": 65, "amount": "7705.07" },
        "Europe / Southern Europe": { "rows": 236, "amount": "5018.35" },
        "Asia / Western Asia": { "rows": 86, "amount": "1569.12" },
        "Oceania / Australia and New Zealand": { "rows": 35, "amount": "1005.10" },
        "Europe / Eastern Europe": { "rows": 8, "amount": "248.16" },
    });
    let lines = done.table("lines");
    let got = lines.groups(&["region", "sub_region"], "amount");
    assert_eq!(got, groups(&expected, &[]));
    assert_eq!(done.warned("region_known"), 0);
    // In 2011, two names that are no country: they stay, under a name of their own.
    let done = run(&data, JOB, &[], &[("LINES", SETS[1].1)]);
    let unknown = &done.table("lines").groups(&["region"], "amount")["Unknown"];
    assert_eq!((unknown.0, done.warned("region_known")), (115, 115));
}

#[test]
fn days_of_the_web_shop_are_judged() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let set = SETS[0].0;
    let by_day = facts["joins_and_checks"][set]["by_day"]
        .as_object()
        .unwrap();
    let done = run(&data, JOB, &["--as-of", "2010-12-27T09:00:00Z"], &[]);
    let days = done.table("days");
    for (row, day) in days.days("window_start").into_iter().enumerate() {
        let day = day.unwrap().to_string();
        let of_day = &by_day[&day];
        let number = |name: &str| Exact::of(&days.cells(name)[row]).unwrap().text();
        assert_eq!(number("rows"), of_day["rows"].to_string(), "{day}");
        let nulls = of_day["customer_id_null"].to_string();
        assert_eq!(number("customer_id_null"), nulls, "{day}");
        let known = days.cells("customer_known")[row].as_real().unwrap();
        let share = of_day["customer_id_null_share"].as_str();
        assert_eq!(Some(&*format!("{:.4}", 1.0 - known)), share, "{day}");
    }
    assert_eq!(days.rows, by_day.len());
    // JOBS.md, job 1: customers unknown on more than 30 % of a day's lines, and descriptions on more than 1 %.
    let verdicts = &done.summary["verdicts"];
    assert_eq!(verdicts["customer_known"], json!({ "pass": 9, "warn": 11 }));
    assert_eq!(
        verdicts["description_given"],
        json!({ "pass": 18, "warn": 2 })
    );
    let given = days.days("window_start").into_iter().flatten();
    let missed: Vec<String> = given
        .zip(days.cells("description_given"))
        .map(|(day, share)| (day, 100.0 * (1.0 - share.as_real().unwrap())))
        .filter(|(_, missing)| *missing > 1.0)
        .map(|(day, missing)| format!("{day} {missing:.2} %"))
        .collect();
    assert_eq!(missed, ["2010-12-03 1.36 %", "2010-12-09 1.31 %"]);
    // All 20 expected files came, and none was due on the three Saturdays between them.
    assert_eq!(verdicts["a_file_came"], json!({ "pass": 20, "no_data": 3 }));
    // Asked on the 27th at nine, the newest event is 87 h 19 min old; 26 h were allowed.
    assert_eq!(verdicts["fresh"], json!({ "warn": 1 }));
    let verdicts = done.table("verdicts");
    let checks = verdicts.texts("check");
    let fresh = checks
        .iter()
        .position(|check| check.as_deref() == Some("fresh"));
    let age = &verdicts.cells("value")[fresh.unwrap()];
    assert_eq!(*age, Cell::Real(f64::from(87 * 3600 + 19 * 60)));
    let flags = &facts["variance_flags"]["flags"];
    let revenue = days.periods("window_start", "%Y-%m-%d", "amount");
    variance::agree(set, &flags[set], &revenue, 7, 50.0);
    let told = &done.summary["verdicts"];
    variance::told(
        set,
        &flags[set],
        &days,
        "amount_off",
        &told["amount_steady"],
    );
    let rows = days.periods("window_start", "%Y-%m-%d", "rows");
    variance::agree("online_rows", &flags["online_rows"], &rows, 7, 50.0);
    variance::told(
        "online_rows",
        &flags["online_rows"],
        &days,
        "rows_off",
        &told["rows_steady"],
    );
    let verdicts = Verdicts::new(&verdicts);
    let day = |start: NaiveDate| start.to_string();
    variance::said(&flags[set], &verdicts, ("amount_steady", ""), day);
    variance::said(&flags["online_rows"], &verdicts, ("rows_steady", ""), day);
    // JOBS.md, job 1: the Sundays have Friday's rate, and some names are none of ISO's.
    let joins = &facts["joins_and_checks"][set];
    let fx = &joins["fx_gbp_to_eur"];
    let (lines, sundays) = verdicts.missing("rate_of_the_day");
    assert_eq!(json!(lines), fx["lines_needing_an_earlier_day"]);
    let sundays: Vec<String> = sundays.into_iter().map(day).collect();
    assert_eq!(json!(sundays), fx["days_needing_an_earlier_day"]);
    let unmatched = &joins["country_lookup_iso3166_exact_name"]["unmatched_rows"];
    assert_eq!(json!(verdicts.missing("iso_name").0), *unmatched);
}
