//! JOBS.md, job 3: sales priced from a product list, by continent and against monthly targets.

use std::collections::BTreeMap;

use chrono::Datelike;
use serde_json::{Value, json};

use super::super::tables::Cell;
use super::facts::{Comparison, groups};
use super::table::Exact;
use super::variance::Verdicts;
use super::{Done, data, facts, run, variance};

const JOB: &str = "jobs/vendas.toml";

#[test]
fn vendas_add_up_by_continent_and_category() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let joins = &facts["joins_and_checks"]["vendas_br"];
    for workers in ["1", "2"] {
        let done = run(&data, JOB, &["-w", workers], &[]);
        assert_eq!(done.rows("refused"), 0);
        let sales = done.table("vendas");
        Comparison {
            amount: "quantidade",
            in_order: false,
            ..Comparison::of(&facts["datasets"]["vendas_br"], &sales, &done.job)
        }
        .holds("vendas_br");
        assert_eq!(
            sales.sum("valor"),
            joins["amount_brl"]["sum"].as_str().unwrap()
        );
        let fx = &joins["fx_brl_to_eur"];
        assert_eq!(sales.sum("valor_eur"), fx["sum_eur"].as_str().unwrap());
        let earlier = fx["lines_needing_an_earlier_day"].as_u64();
        assert_eq!(Some(sales.count_true("earlier_rate") as u64), earlier);
        for (column, by) in [("continent", "by_continent"), ("categoria", "by_category")] {
            assert_eq!(sales.groups(&[column], "valor"), groups(&joins[by], &[]));
        }
        let sellers = sales.groups(&["vendedor"], "valor").into_iter();
        let of_number: Vec<_> = sellers
            .map(|(number, sums)| (number.parse::<u32>().unwrap(), sums))
            .collect();
        for (number, sums) in of_number {
            let of_name = &sales.groups(&["nome"], "valor")[&format!("Vendedor-{number:02}")];
            assert_eq!(*of_name, sums, "seller {number}");
        }
        let mut weekdays: BTreeMap<String, u64> = BTreeMap::new();
        for day in sales.days("dia").into_iter().flatten() {
            let weekday = day.weekday().num_days_from_monday().to_string();
            *weekdays.entry(weekday).or_default() += 1;
        }
        assert_eq!(json!(weekdays), joins["rows_by_weekday_mon0"]);
        // No sale on a weekend; names that ISO does not know are counted; the one broken reference row is told.
        let unmatched = joins["country_lookup_iso3166_exact_name"]["unmatched_rows"].clone();
        assert_eq!(
            done.summary["warned_by_rule"],
            json!({ "iso_name": unmatched })
        );
        let warnings = done.summary["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        targets(&joins["targets"], &done);
        months(&facts, &done);
    }
}

/// Sellers' months against their targets.
fn targets(facts: &Value, done: &Done) {
    let table = done.table("metas");
    let months = table.days("mes");
    let mut shares: Vec<(f64, String, String)> = Vec::new();
    for (row, month) in months.into_iter().enumerate() {
        let number = |name: &str| Exact::of(&table.cells(name)[row]).unwrap();
        let share = number("valor").real() / number("meta").real();
        let of_target = table.cells("of_target")[row].as_real().unwrap();
        assert!(
            (share - 1.0 - of_target).abs() < 1e-12,
            "{share} {of_target}"
        );
        let month = month.unwrap().format("%d/%m/%Y").to_string();
        shares.push((share, month, number("vendedor").text()));
    }
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = |name: &str| usize::try_from(facts[name].as_u64().unwrap()).unwrap();
    assert_eq!(shares.len(), count("seller_months_up_to_2023_07"));
    let missed = shares.iter().filter(|(share, ..)| *share < 1.0).count();
    assert_eq!(
        (shares.len() - missed, missed),
        (count("met"), count("missed"))
    );
    let verdicts = json!({ "pass": facts["met"], "warn": facts["missed"] });
    assert_eq!(done.summary["verdicts"]["target_met"], verdicts);
    let told = |shares: &[(f64, String, String)]| -> Value {
        let told = shares.iter().map(|(share, month, seller)| {
            json!({ "month": month, "seller": seller, "share_of_target": format!("{share:.4}") })
        });
        told.collect()
    };
    let (lowest, highest) = (&facts["lowest"], &facts["highest"]);
    let lowest_rows = lowest.as_array().unwrap().len();
    assert_eq!(told(&shares[..lowest_rows]), *lowest);
    let highest_rows = highest.as_array().unwrap().len();
    assert_eq!(told(&shares[shares.len() - highest_rows..]), *highest);
}

/// Months, added up from the windows of their days, and those that are far from the three before.
fn months(facts: &Value, done: &Done) {
    let days = done.table("days");
    let sums = days.periods("window_start", "%Y-%m", "valor");
    let flags = &facts["variance_flags"]["flags"]["vendas_br"];
    variance::agree("vendas_br", flags, &sums, 3, 15.0);
    let rows = days.periods("window_start", "%Y-%m", "rows");
    let months = sums.into_iter().zip(rows);
    let got: BTreeMap<String, (usize, String)> = months
        .map(|((month, sum), (_, rows))| (month, (rows.text().parse().unwrap(), sum.text())))
        .collect();
    let expected = groups(&facts["joins_and_checks"]["vendas_br"]["by_month"], &[]);
    assert_eq!(got, expected);
    let table = done.table("verdicts");
    let verdicts = Verdicts::new(&table);
    variance::said(flags, &verdicts, ("month_steady", ""), variance::month);
    // Rates of an earlier day, by the days without one, and names that are none of ISO's.
    let joins = &facts["joins_and_checks"]["vendas_br"];
    let (lines, days) = verdicts.missing("rate_of_the_day");
    let fx = &joins["fx_brl_to_eur"];
    assert_eq!(json!(lines), fx["lines_needing_an_earlier_day"]);
    let listed = &fx["days_needing_an_earlier_day"];
    assert!(listed.is_null() || json!(days) == *listed, "{days:?}");
    let unmatched = &joins["country_lookup_iso3166_exact_name"]["unmatched_rows"];
    assert_eq!(json!(verdicts.missing("iso_name").0), *unmatched);
}

#[test]
fn vendas_are_thirteen_days_old_at_the_end_of_july() {
    let Some(data) = data() else { return };
    let done = run(&data, JOB, &["--as-of", "2023-07-31"], &[]);
    let verdicts = done.table("verdicts");
    let checks = verdicts.texts("check");
    let fresh = checks
        .iter()
        .position(|check| check.as_deref() == Some("fresh"));
    let fresh = fresh.unwrap();
    assert_eq!(verdicts.cells("status")[fresh], Cell::text("warn"));
    assert_eq!(verdicts.cells("value")[fresh], Cell::Real(13.0 * 86_400.0));
}

#[test]
fn reference_tables_of_vendas_are_read_whole() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (name, sink, amount) in [
        ("meta", "meta", "meta"),
        ("produtos", "produtos", ""),
        ("pais", "paises", ""),
    ] {
        let done = run(&data, &format!("tests/data/vendas_{name}.toml"), &[], &[]);
        done.holds(&facts, &format!("vendas_br_{name}"), sink, amount, &[]);
    }
}

#[test]
fn a_quoted_comma_is_refused_with_its_record() {
    let Some(data) = data() else { return };
    let done = run(&data, "tests/data/vendas_pais.toml", &[], &[]);
    let refused = done.table("refused");
    let raw = refused.texts("raw");
    let congo = "\"Africa,\"\"Congo, Democratic Republic of\"\"\"".to_owned();
    assert_eq!(raw, [Some(congo)]);
}
