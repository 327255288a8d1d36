//! Lone carriage returns and Windows-1252 at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{data, facts, run};

#[test]
fn lone_carriage_returns_end_records_and_spaces_that_do_not_break_stay() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let set = "superstore_us_cr";
    let joins = &facts["joins_and_checks"][set];
    let done = run(&data, "tests/data/superstore.toml", &[], &[]);
    done.holds(&facts, set, "lines", "sales", &[]);
    assert_eq!(
        Some(done.warned("shipped_after_order")),
        joins["ship_before_order"].as_u64()
    );
    assert_eq!(
        Some(done.warned("year_in_the_order_id")),
        joins["order_id_year_differs_from_order_date_year"].as_u64()
    );
    let lines = done.table("lines");
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let products = lines.texts("product_id").into_iter().flatten();
    for (id, name) in products.zip(lines.texts("product").into_iter().flatten()) {
        names.entry(id).or_default().insert(name);
    }
    let several = names.values().filter(|names| names.len() > 1).count() as u64;
    let expected = &joins["product_ids_with_more_than_one_name"];
    assert_eq!(Some(several), expected.as_u64());
    let codes = lines.texts("postal_code");
    let places = lines.texts("city").into_iter().zip(lines.texts("state"));
    let without: BTreeSet<_> = places
        .zip(&codes)
        .filter(|(_, code)| code.is_none())
        .map(|(place, _)| place)
        .collect();
    assert_eq!(json!(without), joins["null_postal_code_places"]);
    // README of the files: 438 codes are short of their leading zero, 1,871 rows lost money, 427 spaces do not break.
    let short = codes.iter().flatten().filter(|code| code.len() == 4);
    assert_eq!(short.count(), 438);
    let all: String = lines.texts("product").into_iter().flatten().collect();
    assert_eq!(all.matches('\u{a0}').count(), 427);
    let meant = ['\u{a0}', '“', '”', 'é', 'à', '¾'];
    assert!(
        all.chars()
            .all(|letter| letter.is_ascii() || meant.contains(&letter))
    );
    let beyond = all.chars().filter(|letter| !letter.is_ascii()).count() as u64;
    let bytes = &facts["datasets"][set]["files"][0]["non_ascii_bytes"];
    assert_eq!(Some(beyond), bytes.as_u64());
}
