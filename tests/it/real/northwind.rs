//! A trader's tables: the word NULL, and records with a field too many.

use chrono_tz::Tz;

use super::facts::groups;
use super::{Done, data, facts, run};

#[test]
fn tables_of_the_trader_are_read_and_ragged_records_refused() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (name, sink, amount) in [
        ("orders", "orders", "freight"),
        ("products", "rows", ""),
        ("categories", "rows", ""),
        ("customers", "rows", ""),
    ] {
        let job = format!("tests/data/northwind_{name}.toml");
        let done = run(&data, &job, &[], &[]);
        done.holds(&facts, &format!("northwind_{name}"), sink, amount, &[]);
    }
}

/// The order lines with the orders of another job's output.
fn lines(data: &std::path::Path, orders: &Done) -> Done {
    let outputs = orders.summary["outputs"].as_array().unwrap();
    let orders = outputs.iter().find(|output| output["sink"] == "orders");
    let orders = format!("{}/**/*.parquet", orders.unwrap()["path"].as_str().unwrap());
    run(
        data,
        "tests/data/northwind_lines.toml",
        &[],
        &[("ORDERS", &orders)],
    )
}

#[test]
fn lines_without_an_order_are_those_of_refused_orders() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let orders = run(&data, "tests/data/northwind_orders.toml", &[], &[]);
    let done = lines(&data, &orders);
    done.holds(&facts, "northwind_order_details", "lines", "amount", &[]);
    let joins = &facts["joins_and_checks"]["northwind"];
    assert_eq!(
        Some(done.warned("order_known")),
        joins["lines_without_order_when_ragged_orders_are_dropped"].as_u64()
    );
    assert_eq!(
        done.table("lines").groups(&["category"], "amount"),
        groups(&joins["line_amount_by_category"], &[])
    );
}

#[test]
fn a_field_too_many_goes_back_into_the_address() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let joins = &facts["joins_and_checks"]["northwind"];
    let orders = run(&data, "tests/data/northwind_orders_repaired.toml", &[], &[]);
    let table = orders.table("orders");
    let expected = &joins["orders_when_the_extra_address_field_is_joined_back"];
    let count = |name: &str| usize::try_from(expected[name].as_u64().unwrap()).unwrap();
    assert_eq!(table.rows, count("rows"));
    let extra = table.texts("extra");
    let repaired = extra.iter().filter(|extra| extra.as_deref() == Some("1"));
    assert_eq!(repaired.count(), count("ragged_repaired"));
    assert_eq!(
        table.sum("freight"),
        expected["freight_sum"].as_str().unwrap()
    );
    assert_eq!(table.nulls("shipped_date"), count("shippedDate_NULL"));
    assert_eq!(table.nulls("region"), count("shipRegion_NULL"));
    assert_eq!(table.nulls("postal_code"), count("shipPostalCode_NULL"));
    let times = table.times("order_date", Tz::UTC);
    let text = |time: chrono::NaiveDateTime| time.format("%Y-%m-%d %H:%M:%S.000").to_string();
    let first = times.iter().flatten().min().copied().map(text);
    assert_eq!(first.as_deref(), expected["min_orderDate"].as_str());
    let last = times.iter().flatten().max().copied().map(text);
    assert_eq!(last.as_deref(), expected["max_orderDate"].as_str());
    let countries = table.groups(&["country"], "freight");
    assert_eq!(countries.len(), count("distinct_countries"));

    let done = lines(&data, &orders);
    assert_eq!(
        Some(done.warned("order_known")),
        joins["lines_without_order"].as_u64()
    );
    assert_eq!(
        done.table("lines").groups(&["country"], "amount"),
        groups(&joins["line_amount_by_shipCountry"], &[])
    );
}
