//! Words for numbers, impossible dates, one place in four spellings: kept as nulls, and refused.

use chrono::NaiveDateTime;
use chrono_tz::Tz;

use super::facts::{Comparison, lateness};
use super::{data, facts, run};

const SET: &str = "supermarket_words";

#[test]
fn words_for_numbers_become_nulls_where_the_job_says_so() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"][SET];
    let done = run(&data, "tests/data/supermarket.toml", &[], &[]);
    assert_eq!(Some(done.rows("in")), facts["records"].as_u64());
    let sales = done.table("sales");
    Comparison {
        amount: "total",
        moment: "moment",
        ..Comparison::of(facts, &sales, &done.job)
    }
    .holds(SET);
    // README of the files: what is out of range, and the spellings of one place and of two kinds of customer.
    assert_eq!(done.warned("quantity_usual"), 2); // 500 and -5
    assert_eq!(done.warned("price_usual"), 2); // -100 and 9999
    assert_eq!(done.warned("total_usual"), 3); // 999999, -100 and 0
    assert_eq!(done.warned("rating_usual"), 1); // 50
    let places = sales.groups(&["place"], "total");
    let places: Vec<(&str, usize)> = places
        .iter()
        .map(|(place, (rows, _))| (place.as_str(), *rows))
        .collect();
    assert_eq!(
        places,
        [
            ("", 4),
            ("MANDALAY", 330),
            ("NAYPYITAW", 330),
            ("SANTO DOMINGO", 4),
            ("YANGON", 338)
        ]
    );
    let kinds = sales.groups(&["kind"], "total");
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["", "Member", "Normal"]);
}

#[test]
fn words_for_numbers_are_refused_where_the_job_says_so() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"][SET];
    let done = run(&data, "tests/data/supermarket_strict.toml", &[], &[]);
    let refused = done.table("refused");
    let reasons = refused.texts("reasons");
    let with = |reason: &str| {
        let has = |reasons: &&Option<String>| reasons.as_deref().unwrap().contains(reason);
        reasons.iter().filter(has).count() as u64
    };
    for (reason, column) in [
        ("quantity_in_words", "Quantity"),
        ("total_in_words", "Total"),
        ("rating_in_words", "Rating"),
    ] {
        let invalid = &facts["numeric"][column]["invalid"];
        assert_eq!(Some(with(reason)), invalid.as_u64(), "{column}");
        for word in facts["numeric"][column]["invalid_values"]
            .as_object()
            .unwrap()
            .keys()
        {
            let name = column.to_lowercase();
            let values = refused.texts(&name);
            assert!(values.iter().flatten().any(|value| value == word), "{word}");
        }
    }
    let days = &facts["dates"]["Date"]["unparseable"];
    assert_eq!(Some(with("no_such_day")), days.as_u64());
    let invoices = &facts["column_facts"]["Invoice ID"]["nulls"];
    assert_eq!(Some(with("no_invoice")), invoices.as_u64());
}

#[test]
fn a_date_and_its_time_are_one_moment() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"][SET]["dates"]["Date"];
    let done = run(&data, "tests/data/supermarket_moments.toml", &[], &[]);
    let count = |name: &str| facts[name].as_u64().unwrap();
    let refused = count("nulls") + count("unparseable");
    assert_eq!(done.refused("no_moment"), refused);
    assert_eq!(done.rows("refused"), refused);
    let moments = done.table("sales").times("moment", Tz::UTC);
    let moments: Vec<NaiveDateTime> = moments.into_iter().flatten().collect();
    let text = |time: Option<&NaiveDateTime>| time.unwrap().to_string();
    assert_eq!(
        Some(&*text(moments.iter().min())),
        facts["min_with_time"].as_str()
    );
    assert_eq!(
        Some(&*text(moments.iter().max())),
        facts["max_with_time"].as_str()
    );
    let late = lateness(&moments);
    let rows = late.iter().filter(|seconds| **seconds > 0).count() as u64;
    assert_eq!(rows, count("out_of_order_rows"));
    let most = late.iter().max().unwrap().to_string();
    assert_eq!(most, facts["max_lateness_seconds"].to_string());
}
