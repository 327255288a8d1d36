//! What names mean, and what faults of an expression say.

use super::*;

#[test]
fn a_bare_name_is_the_only_column_of_that_name() {
    let quantity = compile("quantity");
    assert_eq!(
        (quantity.column(), quantity.inputs(), quantity.data_type()),
        (Some(QUANTITY), &[QUANTITY][..], &DataType::Int32)
    );
    assert!(!quantity.nullable());
    assert_eq!(
        compile("Quantity").column(),
        Some(UPPER_QUANTITY),
        "case is kept"
    );
    assert_eq!(compile(" amount ").column(), Some(AMOUNT));
    assert_eq!(compile(" amount ").text(), "amount");
}

#[test]
fn a_qualified_name_takes_any_relation_of_the_column() {
    assert_eq!(compile("sales.quantity").column(), Some(QUANTITY));
    assert_eq!(compile("returns.quantity").column(), Some(QUANTITY));
    assert_eq!(compile("sales.region_code").column(), Some(SALES_REGION));
    assert_eq!(compile("regions.region_code").column(), Some(REGION));
    assert_eq!(compile("(regions.region_code)").column(), Some(REGION));
}

#[test]
fn a_quoted_name_may_hold_spaces_and_accents() {
    assert_eq!(compile("\"Order ID\"").column(), Some(ORDER_ID));
    assert_eq!(
        compile("sales.\"Preço Unitário\"").column(),
        Some(UNIT_PRICE_ACCENTS)
    );
    assert_eq!(
        compile("\"Order ID\" + quantity").inputs(),
        &[QUANTITY, ORDER_ID]
    );
}

#[test]
fn a_name_of_several_columns_is_an_error_with_the_candidates() {
    let error = fault("upper(region_code)");
    assert_eq!(error.message, "column name \"region_code\" is not unique");
    assert_eq!(
        error.expected.as_deref(),
        Some("sales.region_code, regions.region_code")
    );
}

#[test]
fn an_unknown_name_is_an_error_with_the_nearest() {
    let error = fault("quantty * 2");
    assert_eq!(error.message, "\"quantty\" is not a known column");
    assert_eq!(error.hint.as_deref(), Some("did you mean \"quantity\"?"));
    assert!(
        error
            .expected
            .unwrap()
            .starts_with("quantity, unit_price, sales.region_code, regions.region_code, ts, ")
    );
    assert_eq!(
        fault("sale.region_code = 'x'").hint.as_deref(),
        Some("did you mean \"sales.region_code\"?")
    );
    assert_eq!(
        fault("sales.region_code = \"EUR\"").hint.as_deref(),
        Some("text stands in single quotes: 'EUR'")
    );
    assert!(fault("a.b.c").message.contains("too many parts"));
}

#[test]
fn errors_are_one_line_in_the_words_of_jobs() {
    let mut told = Vec::new();
    for text in [
        "quantity +",
        "quantity quantity",
        "",
        "upper(",
        "sales.region_code + 1",
        "upper(quantity, 3, 4)",
        "quantity and true",
        "sales.region_code like 3",
        "ts > quantity",
        "not ts",
        "random()",
        "uuid()",
        "count(*)",
        "sum(quantity)",
        "(select 1)",
        "exists (select 1)",
        "quantity in (select 1)",
        "upper(*)",
        "row_number() over ()",
        "uper(sales.region_code)",
        "cast(quantity as geography)",
        "ts at time zone 'Europe/Madird'",
        "quantity[1]",
        "@x",
        "$1",
        "[1, 2]",
        "struct(1, 2)",
        "{'a': 1}",
        "ts::geography",
        "amount > all(1)",
        "current_time",
        "version()",
        "cast(amount as decimal(40,2))",
        "quantity\n* cast(\nts as",
    ] {
        let error = fault(text);
        for part in [
            Some(&error.message),
            error.hint.as_ref(),
            error.expected.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            assert!(!part.contains('\n'), "{text}: {part}");
            for theirs in [
                "DataFusion",
                "Utf8",
                "Int32",
                "Int64",
                "planning",
                "EOF",
                "Arrow",
                "Some(",
            ] {
                assert!(!part.contains(theirs), "{text}: {part}");
            }
        }
        assert!(
            !error.message.is_empty() && !error.message.ends_with('.'),
            "{text}: {}",
            error.message
        );
        assert!(
            !error.message.starts_with(char::is_uppercase),
            "{text}: {}",
            error.message
        );
        let line = |label: &str, part: Option<String>| {
            part.map_or_else(String::new, |part| format!("\n  {label}: {part}"))
        };
        told.push(format!(
            "{text}\n  {}{}{}",
            error.message,
            line("expected", error.expected),
            line("hint", error.hint)
        ));
    }
    insta::assert_snapshot!(told.join("\n"));
}
