//! Exact products and rounding.

use super::*;

#[test]
fn what_does_not_fit_its_type_fails_and_never_wraps() {
    let columns = with(vec![
        (QUANTITY, whole(&[Some(i32::MAX), Some(1)])),
        (PRICE, money(&[Some(99_999), Some(1)])),
    ]);
    let lowest = with(vec![(QUANTITY, whole(&[Some(i32::MIN), Some(1)]))]);
    assert_eq!(compile("-quantity").evaluate(&lowest, 2, 0).failed.len(), 1);
    for text in [
        "quantity * quantity",
        "cast(quantity as smallint)",
        "cast(unit_price as decimal(4,2))",
    ] {
        let evaluated = compile(text).evaluate(&columns, 2, 0);
        assert_eq!(evaluated.failed.len(), 1, "{text}");
        assert!(
            evaluated.failed[0]
                .1
                .starts_with(crate::transform::expr::words::OVERFLOW),
            "{text}: {}",
            evaluated.failed[0].1
        );
        assert!(
            evaluated.array.is_null(0) && evaluated.array.is_valid(1),
            "{text}"
        );
    }
}

/// The same expression without its own kernel.
fn general(expression: &Expression) -> Expression {
    let inner = &expression.inner;
    Expression {
        inner: Arc::new(Inner {
            text: inner.text.clone(),
            data_type: inner.data_type.clone(),
            nullable: inner.nullable,
            inputs: inner.inputs.clone(),
            column: inner.column,
            uses_now: inner.uses_now,
            schema: Arc::clone(&inner.schema),
            physical: Arc::clone(&inner.physical),
            product: None,
            distinct: DistinctCache::default(),
        }),
    }
}

#[test]
fn exact_products_of_columns_have_a_kernel_and_others_have_none() {
    for text in [
        "cast(quantity * unit_price as decimal(18,2))",
        "quantity * unit_price",
        "cast(unit_price * amount as decimal(30,6))",
        "cast(amount * amount as decimal(10,4))",
        "cast(quantity * amount as decimal(38,2))",
    ] {
        assert!(compile(text).inner.product.is_some(), "{text}");
    }
    for text in [
        "cast(unit_price * amount as decimal(18,2))",
        "quantity * quantity",
        "cast(quantity * \"Preço Unitário\" as decimal(18,2))",
        "unit_price * 1.21",
        "cast(quantity + unit_price as decimal(18,2))",
    ] {
        assert!(compile(text).inner.product.is_none(), "{text}");
    }
}

fn factor_type() -> impl Strategy<Value = DataType> {
    prop_oneof![
        Just(DataType::Int16),
        Just(DataType::Int32),
        Just(DataType::Int64),
        (1_u8..=38, 0_i8..=6).prop_map(|(precision, scale)| DataType::Decimal128(
            precision,
            scale.min(i8::try_from(precision).unwrap())
        )),
    ]
}

/// Numbers as a column of a type, cut down to its digits; null where 64 bits don't hold them.
fn numbers(rows: &[Option<i128>], data_type: &DataType) -> ArrayRef {
    let scaled = |value: i128| match data_type {
        DataType::Decimal128(precision, _) => Some(value % 10_i128.pow(u32::from(*precision))),
        DataType::Int16 => Some(value % 32_768),
        DataType::Int32 => Some(value % 2_147_483_648),
        _ => i64::try_from(value).ok().map(i128::from),
    };
    let values: Vec<Option<i128>> = rows.iter().map(|value| value.and_then(scaled)).collect();
    match data_type {
        DataType::Decimal128(precision, scale) => Arc::new(
            Decimal128Array::from(values)
                .with_precision_and_scale(*precision, *scale)
                .unwrap(),
        ),
        other => cast(
            &Decimal128Array::from(values)
                .with_precision_and_scale(38, 0)
                .unwrap(),
            other,
        )
        .unwrap(),
    }
}

proptest! {
    #[test]
    fn the_kernel_of_products_gives_what_the_general_path_gives(
        left in factor_type(), right in factor_type(), precision in 1_u8..=38, extra in 0_i8..4,
        rows in prop::collection::vec((prop::option::of(-10_i128.pow(37)..10_i128.pow(37)), prop::option::of(-1_000_000_i128..1_000_000)), 0..30),
        small in any::<bool>(),
    ) {
        let scale = |data_type: &DataType| if let DataType::Decimal128(_, scale) = data_type { *scale } else { 0 };
        let scale = scale(&left) + scale(&right) + extra;
        prop_assume!(scale <= i8::try_from(precision).unwrap());
        let compiler = Compiler::new(&[column(&[], "a", left.clone(), true), column(&[], "b", right.clone(), true)], Tz::UTC);
        let Ok(expression) = compiler.compile(&format!("cast(a * b as decimal({precision},{scale}))")) else { return Ok(()) };
        prop_assume!(expression.inner.product.is_some());
        let a: Vec<_> = rows.iter().map(|(a, _)| a.map(|a| if small { a % 10_000 } else { a })).collect();
        let b: Vec<_> = rows.iter().map(|(_, b)| *b).collect();
        let columns = [Some(numbers(&a, &left)), Some(numbers(&b, &right))];
        let given = expression.evaluate(&columns, rows.len(), 0);
        let expected = general(&expression).evaluate(&columns, rows.len(), 0);
        prop_assert_eq!(&given.array, &expected.array);
        let failed = |evaluated: &Evaluated| evaluated.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>();
        prop_assert_eq!(failed(&given), failed(&expected));
    }
}

#[test]
fn decimals_divide_and_round_by_the_named_rule() {
    let columns = with(vec![
        (QUANTITY, whole(&[Some(3), Some(0), None, Some(8)])),
        (PRICE, money(&[Some(1000), Some(1), Some(1), Some(-1002)])),
    ]);
    for (text, expected) in [
        (
            "div_round(unit_price, quantity, 2, 'half_even')",
            [Some("3.33"), None, None, Some("-1.25")],
        ),
        (
            "div_round(unit_price, quantity, 1, 'half_up')",
            [Some("3.3"), None, None, Some("-1.3")],
        ),
        (
            "round_half_even(unit_price * 0.5, 2)",
            [Some("5.00"), Some("0.00"), Some("0.00"), Some("-5.01")],
        ),
        (
            "round_half_up(unit_price * 0.5, 2)",
            [Some("5.00"), Some("0.01"), Some("0.01"), Some("-5.01")],
        ),
        (
            "round_half_up(quantity, 1)",
            [Some("3.0"), Some("0.0"), None, Some("8.0")],
        ),
    ] {
        let evaluated = compile(text).evaluate(&columns, 4, 0);
        assert_eq!(
            words(&evaluated),
            expected.map(|value| value.map(ToOwned::to_owned)),
            "{text}"
        );
    }
    let divided = compile("div_round(unit_price, quantity, 2, 'half_even')");
    assert_eq!(divided.data_type(), &DataType::Decimal128(38, 2));
    assert_eq!(
        divided.evaluate(&columns, 4, 0).failed,
        [(1, "division by zero".to_owned())]
    );
    assert_eq!(
        words(&compile("div_round(1, 3, 4, 'half_up')").evaluate(&[], 1, 0)),
        [Some("0.3333".to_owned())]
    );
    for (text, message) in [
        (
            "div_round(unit_price, quantity, 2, 'up')",
            "the rule of div_round has to be the text 'half_even' or 'half_up'",
        ),
        (
            "div_round(unit_price, quantity, 2)",
            "div_round takes 4 arguments: div_round(a, b, scale, 'half_even' or 'half_up')",
        ),
        (
            "round_half_up(unit_price, quantity)",
            "the scale of round_half_up has to be a whole number from 0 to 38",
        ),
        (
            "round_half_even(unit_price, 39)",
            "the scale of round_half_even has to be a whole number from 0 to 38",
        ),
        (
            "round_half_even(\"Preço Unitário\", 2)",
            "round_half_even takes decimals and integers, not double; cast it to a decimal",
        ),
    ] {
        assert_eq!(fault(text).message, message, "{text}");
    }
}
