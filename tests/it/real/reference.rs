//! Reference tables as sources: ISO 3166 and the rates of the European Central Bank.

use super::facts::Comparison;
use super::{data, facts, run};

#[test]
fn rates_have_a_column_without_a_name_and_currencies_that_did_not_exist() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/eurofxref.toml", &[], &[]);
    done.holds(&facts, "eurofxref_hist", "rates", "", &[]);
}

#[test]
fn namibia_is_no_null_and_codes_keep_their_zeros() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/iso3166.toml", &[], &[]);
    let countries = done.table("countries");
    Comparison {
        quoted_empty: true,
        ..Comparison::of(&facts["datasets"]["iso3166"], &countries, &done.job)
    }
    .holds("iso3166");
    let of = |column: &str| {
        countries
            .texts(column)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    assert!(of("alpha_2").iter().any(|code| code == "NA"));
    assert!(of("country_code").iter().all(|code| code.len() == 3));
}
