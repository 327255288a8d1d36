//! Jobs on public sales files, against figures that were worked out by others: `FACTS.json` beside the files.
//!
//! The folder is `$CAUDAL_TEST_DATA`, or `../shared/data` beside the project; without it these tests say so and pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tables::{Cell, Row, read};

/// The public files, where they are.
pub(super) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("CAUDAL_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join("FACTS.json").exists() {
        return Some(folder.canonicalize().unwrap());
    }
    println!("skipped: no public data at {}", folder.display());
    None
}

pub(super) fn facts(data: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(data.join("FACTS.json")).unwrap()).unwrap()
}

/// Runs a job that must succeed; gives its summary and the folder it wrote.
fn run(
    data: &Path,
    job: &str,
    workers: usize,
    variables: &[(&str, &str)],
) -> (Value, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", job, "--json", "--quiet", "-w", &workers.to_string()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CAUDAL_DATA", data)
        .env("CAUDAL_OUT", out.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{job}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = &summary["rows"];
    let count = |name: &str| rows[name].as_u64().unwrap();
    assert_eq!(
        count("in"),
        count("clean") + count("refused") + count("dropped"),
        "{job}: {rows}"
    );
    (summary, out)
}

/// A decimal column added up, as text with its scale; null counts nothing.
pub(super) fn sum(rows: &[Row], column: &str) -> String {
    let mut scale = 0;
    let mut units = 0;
    for row in rows {
        if let Cell::Decimal(value, of_value) = row[column] {
            (units, scale) = (units + value, of_value);
        }
    }
    decimal(units, usize::try_from(scale).unwrap())
}

fn decimal(units: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", units.abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if units < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Rows and sum by the text of some columns, joined by ` / `.
fn groups(rows: &[Row], by: &[&str], column: &str) -> BTreeMap<String, (usize, String)> {
    let mut parts: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let key: Vec<&str> = by
            .iter()
            .map(|name| match &row[*name] {
                Cell::Text(text) => text.as_str(),
                other => panic!("{name} is {other:?}"),
            })
            .collect();
        parts.entry(key.join(" / ")).or_default().push(row.clone());
    }
    parts
        .into_iter()
        .map(|(key, rows)| (key, (rows.len(), sum(&rows, column))))
        .collect()
}

/// The same of `FACTS.json`'s `{name: {rows, amount}}`; amounts lose the zeros at their end.
fn expected(values: &Value) -> BTreeMap<String, (usize, String)> {
    let of = |value: &Value| {
        let amount = value["amount"].as_str().unwrap();
        let amount = if amount.contains('.') {
            amount.trim_end_matches('0').trim_end_matches('.')
        } else {
            amount
        };
        (
            usize::try_from(value["rows"].as_u64().unwrap()).unwrap(),
            amount.to_owned(),
        )
    };
    values
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), of(value)))
        .collect()
}

#[test]
fn the_web_shop_adds_up_to_the_cent() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for workers in [1, 2] {
        let (summary, out) = run(&data, "jobs/tienda_web.toml", workers, &[]);
        let rows = read(&out.path().join("tienda_web/lines"));
        let of_set = &facts["datasets"]["online_retail_2010_12"];
        let joins = &facts["joins_and_checks"]["online_retail_2010_12"];
        assert_eq!(rows.len(), 42_481);
        assert_eq!(
            sum(&rows, "amount"),
            of_set["amount"]["sum"].as_str().unwrap()
        );
        assert_eq!(
            sum(&rows, "amount_eur"),
            joins["fx_gbp_to_eur"]["sum_eur"].as_str().unwrap()
        );
        let earlier = rows
            .iter()
            .filter(|row| row["earlier_rate"] == Cell::Bool(true))
            .count();
        assert_eq!(
            Some(earlier as u64),
            joins["fx_gbp_to_eur"]["lines_needing_an_earlier_day"].as_u64()
        );
        // The table of sub-regions in JOBS.md, job 1.
        let of_region = groups(&rows, &["region", "sub_region"], "amount");
        for (region, count, amount) in [
            ("Europe / Northern Europe", 40_822, "697116.67"),
            ("Europe / Western Europe", 1_229, "36294.55"),
            ("Asia / Eastern Asia", 65, "7705.07"),
            ("Europe / Southern Europe", 236, "5018.35"),
            ("Asia / Western Asia", 86, "1569.12"),
            ("Oceania / Australia and New Zealand", 35, "1005.1"),
            ("Europe / Eastern Europe", 8, "248.16"),
        ] {
            assert_eq!(of_region[region], (count, amount.to_owned()), "{region}");
        }
        assert_eq!(of_region.len(), 7);
        // Customers unknown on more than 30 % of a day's lines: 11 of 20 days; descriptions on more than 1 %: 2 days.
        assert_eq!(
            summary["verdicts"]["customer_known"],
            serde_json::json!({ "pass": 9, "warn": 11 })
        );
        assert_eq!(
            summary["verdicts"]["description_given"],
            serde_json::json!({ "pass": 18, "warn": 2 })
        );
        let days = read(&out.path().join("tienda_web/days"));
        assert_eq!(days.len(), of_set["by_day"].as_object().unwrap().len());
        assert_eq!(
            sum(&days, "amount"),
            of_set["amount"]["sum"].as_str().unwrap()
        );
    }
}

#[test]
fn vendas_add_up_by_continent_and_category() {
    let Some(data) = data() else { return };
    let facts = facts(&data)["joins_and_checks"]["vendas_br"].clone();
    for workers in [1, 2] {
        let (summary, out) = run(&data, "jobs/vendas.toml", workers, &[]);
        let rows = read(&out.path().join("vendas/vendas"));
        assert_eq!(
            sum(&rows, "valor"),
            facts["amount_brl"]["sum"].as_str().unwrap()
        );
        assert_eq!(sum(&rows, "valor_eur"), "5216789300.44");
        assert_eq!(
            rows.iter()
                .filter(|row| row["earlier_rate"] == Cell::Bool(true))
                .count(),
            482
        );
        assert_eq!(
            groups(&rows, &["continent"], "valor"),
            expected(&facts["by_continent"])
        );
        assert_eq!(
            groups(&rows, &["categoria"], "valor"),
            expected(&facts["by_category"])
        );
        // No sale on a weekend, and the one broken reference row is told.
        assert_eq!(summary["warned_by_rule"], serde_json::json!({}));
        assert_eq!(
            summary["warnings"].as_array().unwrap().len(),
            1,
            "{}",
            summary["warnings"]
        );
    }
}

#[test]
fn vendas_are_thirteen_days_old_at_the_end_of_july() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args([
            "run",
            "jobs/vendas.toml",
            "--json",
            "--quiet",
            "--as-of",
            "2023-07-31",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CAUDAL_DATA", &data)
        .env("CAUDAL_OUT", out.path())
        .output()
        .unwrap();
    assert!(done.status.success());
    let verdicts = read(&out.path().join("vendas/verdicts"));
    assert_eq!(verdicts.len(), 1);
    assert_eq!(verdicts[0]["status"], Cell::text("warn"));
    assert_eq!(verdicts[0]["value"], Cell::Real(13.0 * 86_400.0));
}

#[test]
fn till_exports_lose_their_repeated_headers_and_blank_records_and_nothing_else() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, file) in [
        ("electronics_2019_01", "Sales_January_2019.csv.gz"),
        ("electronics_2019_04", "Sales_April_2019.csv"),
        ("electronics_2019_12", "Sales_December_2019.csv.zst"),
    ] {
        for workers in [1, 2] {
            let (summary, out) = run(
                &data,
                "tests/real/electronics.toml",
                workers,
                &[("MONTH_FILE", file)],
            );
            let (of_set, joins) = (&facts["datasets"][set], &facts["joins_and_checks"][set]);
            let count = |name: &str| of_set[name].as_u64().unwrap();
            assert_eq!(summary["rows"]["in"], of_set["records"], "{set}");
            assert_eq!(
                summary["rows"]["dropped"].as_u64(),
                Some(count("blank_records") + count("repeated_header_records"))
            );
            let rows = read(&out.path().join("electronics/sales"));
            assert_eq!(rows.len() as u64, count("well_formed_rows"));
            assert_eq!(
                groups(&rows, &["state", "city"], "amount"),
                expected(&joins["region_from_address"]["values"])
            );
            let days = read(&out.path().join("electronics/days"));
            assert_eq!(days.len(), of_set["by_day"].as_object().unwrap().len());
        }
    }
}

#[test]
fn both_spellings_of_a_date_are_month_first() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, file) in [
        ("adventureworks_2017", "AdventureWorks_Sales_2017.csv"),
        ("adventureworks_2018", "AdventureWorks_Sales_2018.csv.zst"),
    ] {
        let (_, out) = run(
            &data,
            "tests/real/adventureworks.toml",
            1,
            &[("YEAR_FILE", file)],
        );
        let rows = read(&out.path().join("adventureworks/orders"));
        assert_eq!(
            Some(rows.len() as u64),
            facts["datasets"][set]["well_formed_rows"].as_u64()
        );
        let revenue = &facts["joins_and_checks"][set]["revenue_quantity_times_ProductPrice"];
        assert_eq!(sum(&rows, "revenue"), revenue.as_str().unwrap());
        let mut days: Vec<i128> = rows
            .iter()
            .map(|row| match row["order_date"] {
                Cell::Whole(day) => day,
                ref other => panic!("{other:?}"),
            })
            .collect();
        days.dedup();
        assert!(days.is_sorted(), "{set}: the file is in order of dates");
        assert_eq!(days.len(), 365);
    }
}

#[test]
fn the_clean_file_stays_as_it_is() {
    let Some(data) = data() else { return };
    let facts = facts(&data)["datasets"]["ecommerce_sales"].clone();
    for workers in [1, 2] {
        let (summary, out) = run(&data, "tests/real/ecommerce.toml", workers, &[]);
        assert_eq!(summary["rows"]["clean"], facts["well_formed_rows"]);
        let rows = read(&out.path().join("ecommerce/sales"));
        assert_eq!(
            groups(&rows, &["region"], "sales"),
            expected(&facts["groups"]["Region"]["values"])
        );
        assert_eq!(
            groups(&rows, &["category"], "sales"),
            expected(&facts["groups"]["Category"]["values"])
        );
        assert_eq!(
            sum(&rows, "profit"),
            facts["numeric"]["Profit"]["sum"].as_str().unwrap()
        );
    }
}

/// Texts of a column with a letter beyond ASCII.
fn beyond_ascii(rows: &[Row], column: &str) -> Vec<String> {
    let text = |row: &Row| match &row[column] {
        Cell::Text(text) if !text.is_ascii() => Some(text.clone()),
        _ => None,
    };
    rows.iter().filter_map(text).collect()
}

#[test]
fn a_code_page_with_lines_that_end_in_cr_adds_up() {
    let Some(data) = data() else { return };
    let facts = facts(&data)["datasets"]["superstore_us_cr"].clone();
    for workers in [1, 2] {
        let (summary, out) = run(&data, "tests/real/superstore.toml", workers, &[]);
        assert_eq!(summary["rows"]["clean"], facts["well_formed_rows"]);
        let rows = read(&out.path().join("superstore/sales"));
        assert_eq!(
            sum(&rows, "sales"),
            facts["amount"]["sum"].as_str().unwrap()
        );
        let profit = &facts["numeric"]["Profit"]["sum"];
        assert_eq!(sum(&rows, "profit"), profit.as_str().unwrap());
        let of_region = &facts["groups"]["Region"]["values"];
        assert_eq!(groups(&rows, &["region"], "sales"), expected(of_region));
        let names = beyond_ascii(&rows, "product");
        let known = &facts["column_facts"]["Product Name"]["non_ascii"];
        assert_eq!(Some(names.len() as u64), known.as_u64());
        let meant = ['\u{A0}', '“', '”', 'é', 'à', '¾'];
        let all = names.concat();
        assert_eq!(
            all.chars().filter(|c| !c.is_ascii()).count() as u64,
            facts["files"][0]["non_ascii_bytes"].as_u64().unwrap()
        );
        assert!(all.chars().all(|c| c.is_ascii() || meant.contains(&c)));
    }
}

#[test]
fn a_code_page_of_dos_is_read_when_it_is_declared_and_refuses_its_rows_otherwise() {
    let Some(data) = data() else { return };
    let facts = facts(&data)["datasets"]["sales_data_sample"].clone();
    let job = "tests/real/model_vehicles.toml";
    let (_, out) = run(&data, job, 2, &[("ENCODING", "cp437")]);
    let rows = read(&out.path().join("model_vehicles/sales"));
    assert_eq!(Some(rows.len() as u64), facts["well_formed_rows"].as_u64());
    assert_eq!(
        sum(&rows, "sales"),
        facts["amount"]["sum"].as_str().unwrap()
    );
    let of_territory = &facts["groups"]["TERRITORY"]["values"];
    assert_eq!(
        groups(&rows, &["territory"], "sales"),
        expected(of_territory)
    );
    let letters = [
        beyond_ascii(&rows, "address"),
        beyond_ascii(&rows, "first_name"),
    ]
    .concat();
    let meant = |c: char| c.is_ascii() || ['ñ', 'í', 'ä'].contains(&c);
    assert!(
        letters.iter().all(|text| text.chars().all(meant)),
        "{letters:?}"
    );
    let wrong = |column: &str| facts["column_facts"][column]["non_ascii"].as_u64().unwrap();
    assert_eq!(
        letters.len() as u64,
        wrong("ADDRESSLINE1") + wrong("CONTACTFIRSTNAME")
    );

    let (summary, _) = run(&data, job, 2, &[("ENCODING", "utf-8")]);
    let refused = summary["refused_by_reason"]["invalid_utf8"]
        .as_u64()
        .unwrap();
    assert!(refused >= wrong("ADDRESSLINE1"), "{summary}");
    assert_eq!(summary["rows"]["refused"], refused);
}
#[test]
fn money_in_doubles_adds_up_to_the_cent_and_old_times_are_times() {
    let Some(data) = data() else { return };
    for workers in [1, 3] {
        let (summary, out) = run(&data, "tests/real/complete_journey.toml", workers, &[]);
        assert_eq!(summary["rows"]["in"], 1_469_307, "{summary}");
        assert_eq!(summary["rows"]["clean"], 1_469_307, "{summary}");
        let rows = read(&out.path().join("transactions"));
        assert_eq!(sum(&rows, "sales_value"), "4596039.58");
        let last = rows.iter().map(|row| match row["transaction_timestamp"] {
            Cell::Whole(micros) => micros,
            ref other => panic!("{other:?} is no time"),
        });
        // 2018-01-01 04:01:20.
        assert_eq!(last.max(), Some(1_514_779_280_000_000));
    }
}
