//! Rows that fail, encodings, inputs that are not there.

use super::*;

#[test]
fn a_column_is_handed_on_as_it_is() {
    let dictionary: ArrayRef = Arc::new(
        vec![Some("a"), None]
            .into_iter()
            .collect::<DictionaryArray<Int32Type>>(),
    );
    let columns = with(vec![(REGION, Arc::clone(&dictionary))]);
    assert!(Arc::ptr_eq(
        &compile("regions.region_code")
            .evaluate(&columns, 2, 0)
            .array,
        &dictionary
    ));
}

#[test]
fn rows_that_err_become_null_and_are_listed() {
    let quantities: Vec<Option<i32>> = (0..1000)
        .map(|row| (row != 500).then_some(i32::from(row % 333 != 0)))
        .collect();
    let columns = with(vec![(QUANTITY, whole(&quantities))]);
    let evaluated = compile("10 / quantity").evaluate(&columns, 1000, 0);
    let rows: Vec<usize> = evaluated.failed.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [0, 333, 666, 999]);
    assert_eq!(evaluated.failed[0].1, "division by zero");
    assert_eq!(evaluated.array.null_count(), 5);
    assert_eq!(evaluated.array.as_primitive::<Int64Type>().value(1), 10);
}

#[test]
fn bad_casts_fail_by_row() {
    let columns = with(vec![(REGION, texts(&[Some("12"), Some("O1"), None]))]);
    let evaluated = compile("cast(regions.region_code as int)").evaluate(&columns, 3, 0);
    assert_eq!(
        evaluated
            .array
            .as_primitive::<Int32Type>()
            .iter()
            .collect::<Vec<_>>(),
        [Some(12), None, None]
    );
    assert_eq!(evaluated.failed.len(), 1);
    assert_eq!(
        evaluated.failed[0],
        (1, "cannot cast string 'O1' to value of int type".to_owned())
    );
    let constant = compile("1 / 0").evaluate(&[], 3, 0);
    assert_eq!((constant.failed.len(), constant.array.null_count()), (3, 3));
}

#[test]
fn a_missing_or_empty_input_is_no_panic() {
    let product = compile("quantity * unit_price");
    assert_eq!(
        product.evaluate(&with(Vec::new()), 3, 0).array.null_count(),
        3
    );
    assert_eq!(
        product
            .evaluate(
                &with(vec![(QUANTITY, whole(&[])), (PRICE, money(&[]))]),
                0,
                0
            )
            .array
            .len(),
        0
    );
    assert_eq!(compile("'x'").evaluate(&[], 0, 0).array.len(), 0);
    assert_eq!(compile("'x'").evaluate(&[], 2, 0).array.len(), 2);
    let empty: ArrayRef = Arc::new(
        Vec::<Option<&str>>::new()
            .into_iter()
            .collect::<DictionaryArray<Int32Type>>(),
    );
    assert_eq!(
        compile("upper(regions.region_code)")
            .evaluate(&with(vec![(REGION, empty)]), 0, 0)
            .array
            .len(),
        0
    );
}

#[test]
fn a_dictionary_shared_by_batches_is_worked_out_once() {
    let dictionary: DictionaryArray<Int32Type> = ["es", "fr", "es"].into_iter().collect();
    let upper = compile("upper(regions.region_code)");
    let first = upper
        .evaluate(&with(vec![(REGION, Arc::new(dictionary.clone()))]), 3, 0)
        .array;
    let second = upper
        .evaluate(
            &with(vec![(REGION, Arc::new(dictionary.slice(1, 2)))]),
            2,
            0,
        )
        .array;
    let values = |array: &ArrayRef| Arc::clone(array.as_dictionary::<Int32Type>().values());
    assert_eq!(
        values(&first).to_data().buffers()[1].as_ptr(),
        values(&second).to_data().buffers()[1].as_ptr()
    );
    assert_eq!(
        cast(&second, &DataType::Utf8)
            .unwrap()
            .as_string::<i32>()
            .value(0),
        "FR"
    );
}

#[test]
fn several_inputs_may_be_dictionaries() {
    let a: DictionaryArray<Int32Type> = vec![Some("es"), None].into_iter().collect();
    let columns = with(vec![
        (REGION, Arc::new(a)),
        (SALES_REGION, texts(&[Some("x"), Some("y")])),
    ]);
    let both =
        compile("concat(regions.region_code, '-', sales.region_code)").evaluate(&columns, 2, 0);
    assert_eq!(
        words(&both),
        [Some("es-x".to_owned()), Some("-y".to_owned())]
    );
}

#[test]
fn a_not_null_column_may_hold_the_null_of_a_faulty_row() {
    let columns = with(vec![
        (QUANTITY, whole(&[Some(2), None])),
        (PRICE, money(&[Some(150), Some(1)])),
    ]);
    let evaluated =
        compile("cast(quantity * unit_price as decimal(18,2))").evaluate(&columns, 2, 0);
    assert_eq!(
        evaluated
            .array
            .as_primitive::<Decimal128Type>()
            .iter()
            .collect::<Vec<_>>(),
        [Some(300), None]
    );
    assert!(evaluated.failed.is_empty());
}

const DICTIONARY_TEXTS: [&str; 8] = [
    "upper(btrim(sales.region_code))",
    "coalesce(sales.region_code, 'none')",
    "nullif(sales.region_code, 'a')",
    "sales.region_code is null",
    "cast(sales.region_code as int)",
    "length(sales.region_code) > 1",
    "cast(coalesce(sales.region_code, 'z') as int)",
    "case when sales.region_code = 'a' then null else 'b' end",
];

proptest! {
    #[test]
    fn over_a_dictionary_is_as_over_plain_text(
        rows in prop::collection::vec(prop::option::of(prop::sample::select(vec!["a", " b ", "1", "22", ""])), 0..40),
        cut in 0_usize..40,
    ) {
        let plain = texts(&rows);
        let whole: DictionaryArray<Int32Type> = rows.iter().copied().collect();
        let from = cut.min(rows.len());
        let plain = plain.slice(from, rows.len() - from);
        let dictionary: ArrayRef = Arc::new(whole.slice(from, rows.len() - from));
        let compiler = compiler();
        for text in DICTIONARY_TEXTS {
            let expression = compiler.compile(text).unwrap();
            let expected = expression.evaluate(&with(vec![(SALES_REGION, Arc::clone(&plain))]), plain.len(), 0);
            for _ in 0..2 {
                let given = expression.evaluate(&with(vec![(SALES_REGION, Arc::clone(&dictionary))]), plain.len(), 0);
                prop_assert_eq!(&cast(&given.array, expression.data_type()).unwrap(), &expected.array, "{}", text);
                prop_assert_eq!(given.array.null_count(), expected.array.null_count(), "nulls are in the keys: {}", text);
                prop_assert_eq!(&given.failed, &expected.failed, "{}", text);
            }
        }
    }
}

#[test]
fn text_functions_take_their_usual_forms() {
    let columns = with(vec![(REGION, texts(&[Some(" ES-MD "), None]))]);
    for (text, expected) in [
        (
            "upper(substring(regions.region_code from 2 for 2))",
            Some("ES"),
        ),
        ("substr(regions.region_code, 2, 2)", Some("ES")),
        ("trim(both ' ' from regions.region_code)", Some("ES-MD")),
        ("split_part(btrim(regions.region_code), '-', 2)", Some("MD")),
        (
            "cast(position('M' in regions.region_code) as varchar)",
            Some("5"),
        ),
        ("btrim(regions.region_code) || '!'", Some("ES-MD!")),
    ] {
        let given = words(&compile(text).evaluate(&columns, 2, 0));
        assert_eq!(given, [expected.map(ToOwned::to_owned), None], "{text}");
    }
}

#[test]
fn expressions_are_shared_by_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&compile("quantity"));
    let upper = compile("upper(regions.region_code)");
    let dictionary: DictionaryArray<Int32Type> = ["es", "fr", "es"].into_iter().collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let columns = with(vec![(REGION, Arc::new(dictionary.clone()))]);
                    assert_eq!(
                        words(&upper.evaluate(&columns, 3, 0))[1].as_deref(),
                        Some("FR")
                    );
                }
            });
        }
    });
}
