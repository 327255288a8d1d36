//! Aggregate calls.

use super::*;

#[test]
fn aggregates_have_the_documented_types() {
    for (text, function, data_type) in [
        ("count(*)", AggregateFunction::Count, DataType::Int64),
        (
            "COUNT(customer_id)",
            AggregateFunction::Count,
            DataType::Int64,
        ),
        (
            "sum(quantity)",
            AggregateFunction::Sum,
            DataType::Decimal128(38, 0),
        ),
        (
            "sum(amount)",
            AggregateFunction::Sum,
            DataType::Decimal128(38, 2),
        ),
        (
            "avg(amount)",
            AggregateFunction::Avg,
            DataType::Decimal128(38, 6),
        ),
        ("min(ts)", AggregateFunction::Min, timestamp_type()),
        (
            "max(amount)",
            AggregateFunction::Max,
            DataType::Decimal128(18, 2),
        ),
        (
            "var_samp(amount)",
            AggregateFunction::VarSamp,
            DataType::Float64,
        ),
        (
            "count(distinct customer_id) filter (where quantity > 0)",
            AggregateFunction::CountDistinct,
            DataType::Int64,
        ),
        (
            "approx_quantile(amount, 0.95)",
            AggregateFunction::Quantile(950_000),
            DataType::Float64,
        ),
        (
            "approx_quantile(\"Preço Unitário\", 1)",
            AggregateFunction::Quantile(1_000_000),
            DataType::Float64,
        ),
        (
            "stddev_samp(cast(\"Preço Unitário\" as decimal(18,2)))",
            AggregateFunction::StddevSamp,
            DataType::Float64,
        ),
    ] {
        let aggregate = compiler().compile_aggregate(text).unwrap();
        assert_eq!(
            (aggregate.function, aggregate.data_type),
            (function, data_type),
            "{text}"
        );
    }
}

#[test]
fn an_aggregate_may_have_a_filter() {
    let nulls = compiler()
        .compile_aggregate("count(*) filter (where customer_id is null)")
        .unwrap();
    assert!(nulls.argument.is_none());
    assert_eq!(nulls.filter.unwrap().inputs(), &[CUSTOMER]);
    let sum = compiler()
        .compile_aggregate("sum(quantity * 2) filter (where quantity > 0)")
        .unwrap();
    assert_eq!(sum.argument.unwrap().text(), "quantity * 2");
}

#[test]
fn what_is_no_exact_aggregate_is_an_error() {
    let error = |text: &str| compiler().compile_aggregate(text).unwrap_err();
    assert!(
        error("sum(\"Preço Unitário\")")
            .hint
            .unwrap()
            .contains("as decimal(18,2)")
    );
    assert_eq!(
        error("mean(amount)").hint.as_deref(),
        Some("did you mean \"avg\"?")
    );
    assert!(error("sum(ts)").message.contains("not timestamp"));
    for text in [
        "sum(*)",
        "sum(distinct quantity)",
        "count(distinct *)",
        "approx_quantile(amount)",
        "approx_quantile(amount, 2)",
        "approx_quantile(amount, -0.5)",
        "approx_quantile(amount, 0.1234567)",
        "approx_quantile(amount, quantity)",
        "approx_quantile(ts, 0.5)",
        "quantity",
        "sum(amount) + 1",
        "sum(amount, 2)",
        "sum(sum(amount))",
        "sum(amount) over ()",
        "count(*) filter (where quantity)",
        "sum(amout)",
    ] {
        error(text);
    }
}
