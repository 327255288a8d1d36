//! Grocery baskets as their Parquet files have them: doubles, and nulls that rules count.

use std::collections::BTreeSet;

use super::{data, facts, run};

const SET: &str = "complete_journey";

/// Lines whose double is not zero, but less than 1e-14: as money they are zero.
pub(super) const NEXT_TO_NOTHING: u64 = 20;

#[test]
fn doubles_are_not_zero_where_money_is() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"][SET];
    let done = run(&data, "tests/data/grocery_doubles.toml", &[], &[]);
    let zero = facts["sales_value_zero_rows"].as_u64().unwrap();
    assert_eq!(done.warned("double_given"), zero);
    assert_eq!(done.warned("cent_given"), zero + NEXT_TO_NOTHING);
    let doubles = done.table_of("doubles", &["sales_value"]);
    let cells = doubles.cells("sales_value").iter();
    let sum: f64 = cells.map(|cell| cell.as_real().unwrap()).sum();
    let expected = facts["amount"]["sum_as_binary_double"].as_str().unwrap();
    let expected: f64 = expected.parse().unwrap();
    assert!((sum - expected).abs() < 1e-4, "{sum}");
}

#[test]
fn products_have_nulls_that_rules_count() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"][SET]["products"];
    let done = run(&data, "tests/data/grocery_products.toml", &[], &[]);
    assert_eq!(Some(done.rows("clean")), facts["rows"].as_u64());
    let products = done.table("products");
    for (rule, column, fact) in [
        (
            "category_given",
            "product_category",
            "null_product_category",
        ),
        ("type_given", "product_type", "null_product_type"),
        ("size_given", "package_size", "null_package_size"),
    ] {
        assert_eq!(Some(done.warned(rule)), facts[fact].as_u64(), "{rule}");
        assert_eq!(Some(products.nulls(column) as u64), facts[fact].as_u64());
    }
    for (column, fact) in [
        ("product_id", "distinct_product_id"),
        ("department", "departments"),
        ("product_category", "product_categories"),
    ] {
        let values: BTreeSet<String> = products.texts(column).into_iter().flatten().collect();
        assert_eq!(Some(values.len() as u64), facts[fact].as_u64(), "{column}");
    }
}
