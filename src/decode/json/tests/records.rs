//! What becomes of records and of values of other types.

use super::*;
use crate::job::plan::{OnBad, Records};

/// What one value of a column becomes: its text, `null`, or `reason detail`.
fn one(value: &str, column: &SourceColumn) -> String {
    let text = format!("{{\"c0\":{value}}}");
    let draft = decode(
        text.as_bytes(),
        std::slice::from_ref(column),
        &JsonOptions::default(),
    );
    let faults = faults_of(&draft);
    match (rows(&draft)[0].as_str(), faults.as_slice()) {
        ("-", []) => String::from("null"),
        (value, []) => value.to_owned(),
        ("-", [fault]) => fault.strip_prefix("0 ").unwrap().to_owned(),
        other => panic!("{value} gave {other:?}"),
    }
}

#[test]
fn a_value_of_another_type_is_a_fault_unless_the_column_is_lenient() {
    use ColumnType as T;
    let strict = |column_type| column(0, "c0", column_type);
    let lenient = |column_type| SourceColumn {
        lenient: true,
        ..strict(column_type)
    };
    for (column, value, wanted) in [
        (strict(T::Int), "2", "2"),
        (strict(T::Int), "\"2\"", "wrong_type 2"),
        (strict(T::Int), "\"two\"", "wrong_type two"),
        (lenient(T::Int), "\"2\"", "2"),
        (lenient(T::Int), "\" 2.0 \"", "2"),
        (lenient(T::Int), "\"two\"", "bad_integer two"),
        (strict(T::Int), "2.0", "bad_integer 2.0 (lenient = true?)"),
        (strict(T::Int), "2147483648", "overflow 2147483648"),
        (strict(T::BigInt), "9007199254740993", "9007199254740993"),
        (
            strict(T::BigInt),
            "-9223372036854775808",
            "-9223372036854775808",
        ),
        (
            strict(T::BigInt),
            "1234567890123456789012",
            "overflow 1234567890123456789012",
        ),
        (
            strict(T::Decimal(38, 0)),
            "1234567890123456789012",
            "1234567890123456789012",
        ),
        (
            strict(T::Varchar),
            "1234567890123456789012",
            "1234567890123456789012",
        ),
        (strict(T::Varchar), "1.50E+3", "1.50E+3"),
        (strict(T::Varchar), "true", "wrong_type true"),
        (lenient(T::Varchar), "true", "true"),
        (strict(T::Varchar), "{\"x\": 1}", "wrong_type {\"x\": 1}"),
        (strict(T::Varchar), "[1, 2]", "wrong_type [1, 2]"),
        (strict(T::Varchar), "\"\"", ""),
        (strict(T::Varchar), "null", "null"),
        (
            strict(T::Varchar),
            "\"EU\\u0000S\"",
            "nul_in_text EU\\u{0}S (on_nul = \"strip\" takes it out)",
        ),
        (strict(T::Varchar), "\"\\u20ac \\ud83d\\ude00\"", "€ 😀"),
        (strict(T::Decimal(10, 2)), "\"12.34\"", "12.34"),
        (strict(T::Decimal(10, 2)), "1.234e1", "12.34"),
        (strict(T::Decimal(10, 2)), "1.2345", "scale_loss 1.2345"),
        (strict(T::Decimal(10, 2)), "\"NaN\"", "non_finite NaN"),
        (strict(T::Double), "\"-Infinity\"", "non_finite -Infinity"),
        (strict(T::Int), "\"inf\"", "non_finite inf"),
        (strict(T::Double), "1E400", "overflow 1E400"),
        (strict(T::Double), "0.1", "0.1"),
        (strict(T::Boolean), "true", "true"),
        (strict(T::Boolean), "1", "wrong_type 1"),
        (lenient(T::Boolean), "1", "true"),
        (strict(T::Date), "\"2026-03-14\"", "2026-03-14"),
        (strict(T::Date), "20260314", "wrong_type 20260314"),
        (strict(T::Timestamp), "1", "wrong_type 1"),
        (
            strict(T::Timestamp),
            "\"2026-03-14T10:00:00Z\"",
            "2026-03-14T10:00:00Z",
        ),
        (strict(T::Int), "[]", "wrong_type []"),
    ] {
        assert_eq!(
            one(value, &column),
            wanted,
            "{value} as {:?}",
            column.column_type
        );
    }
    let null = SourceColumn {
        on_bad: OnBad::Null,
        ..strict(T::Int)
    };
    assert_eq!(one("\"two\"", &null), "null");
    let spelt = SourceColumn {
        nulls: Some(vec![String::from("-1"), String::from("NA")]),
        ..strict(T::Int)
    };
    assert_eq!(one("-1", &spelt), "null");
    let needed = SourceColumn {
        not_null: true,
        ..strict(T::Int)
    };
    assert_eq!(one("null", &needed), "missing_value ");
}

#[test]
fn a_column_of_type_json_is_what_is_written() {
    let options = JsonOptions {
        as_written: vec![0],
        ..JsonOptions::default()
    };
    let text = b"{\"a\": {\"x\": [1,2.50] } }\n{\"a\":\"q\\n\"}\n{\"a\":1.50}\n{\"a\":null}\n{}\n{\"a\":false}";
    let draft = decode(text, &texts(&["a"]), &options);
    assert_eq!(
        rows(&draft),
        ["{\"x\": [1,2.50] }", "\"q\\n\"", "1.50", "-", "-", "false"]
    );
    assert_eq!(faults_of(&draft), [""; 0]);
}

#[test]
fn broken_lines_are_refused_and_say_where_and_why() {
    let text = b"{\"a\":1,}\n[1]\nnull\n{\"a\":NaN}\n{\"a\":\"x\ny\"}\n{\"a\":1} x\n{\"a\":\"\\ud800\"}\n{\"a\":\"\\q\"}\n\
        {\"a\":\"\xff\"}\n{\"z\xff\":1}\n{\"a\":1\n{a:1}\n{\"a\" 1}\n{\"a\":01}\n  \t\n{\"a\":\"\t\"}\r\n{\"a\":1}{\"a\":2}\n{\"a\":\"ok\"}";
    let columns = texts(&["a"]);
    let draft = decode(text, &columns, &JsonOptions::default());
    assert_eq!(
        faults_of(&draft),
        [
            "0 invalid_json byte 7: the name of a member belongs here: }",
            "1 invalid_json byte 0: no object: [1]",
            "2 invalid_json byte 0: no object: null",
            "3 invalid_json byte 5: no JSON value: NaN}",
            "4 invalid_json byte 7: the record ends too early",
            "5 invalid_json byte 0: no object: y\"}",
            "6 invalid_json byte 8: something behind the object: x",
            "7 invalid_json byte 6: half a pair of surrogates: \\ud800\"}",
            "8 invalid_json byte 7: no escape: q\"}",
            "9 invalid_utf8 byte 6: no UTF-8: \\xFF\"}",
            "10 invalid_utf8 byte 3: no UTF-8: \\xFF\":1}",
            "11 invalid_json byte 6: the record ends too early",
            "12 invalid_json byte 1: the name of a member belongs here: a:1}",
            "13 invalid_json byte 5: a colon belongs here: 1}",
            "14 invalid_json byte 5: a number with a leading zero: 01}",
            "15 invalid_json byte 6: a control character in a string: \"}",
            "16 invalid_json byte 7: something behind the object: {\"a\":2}",
        ]
    );
    let rows = rows(&draft);
    assert_eq!(rows.len(), 18);
    assert_eq!(rows[17], "ok");
    let format = Format::Json(JsonOptions::default());
    let all: Vec<usize> = (0..18).collect();
    let kept = crate::decode::raws_and_places(&draft, &all, &format);
    assert_eq!(kept[9].0, "{\"a\":\"\\xFF\"}");
    assert_eq!(
        (kept[17].1.line, kept[17].0.as_str()),
        (20, "{\"a\":\"ok\"}")
    );
    assert_eq!(kept[15].0, "{\"a\":\"\t\"}");
    // What can be told of a record that is no text is told.
    let shown = shown(&crate::decode::text_columns(&draft, &[0, 9, 16], &columns, &format)[0]);
    assert_eq!(shown, [None, Some(String::from("\\xFF")), None]);
}

#[test]
fn a_name_that_stands_twice_is_a_fault_of_the_columns_that_read_it() {
    let columns = texts(&["a", "b.x", "b.y"]);
    let text = b"{\"a\":1,\"z\":1,\"z\":2}\n{\"a\":1,\"a\":1}\n{\"a\":1,\"\\u0061\":2}\n{\"b\":{\"x\":1},\"b\":{\"y\":2}}\n{\"b\":{\"x\":1,\"x\":2},\"a\":7}\n{\"a\":null,\"a\":null}";
    let draft = decode(text, &columns, &JsonOptions::default());
    assert_eq!(
        rows(&draft),
        ["1|-|-", "-|-|-", "-|-|-", "-|-|-", "7|-|-", "-|-|-"]
    );
    let mut faults = faults_of(&draft);
    faults.sort();
    assert_eq!(
        faults,
        [
            "1 duplicate_key 1",
            "2 duplicate_key 2",
            "3 duplicate_key {\"y\":2}",
            "3 duplicate_key {\"y\":2}",
            "4 duplicate_key 2",
            "5 duplicate_key null",
        ]
    );
}

#[test]
fn paths_lead_through_objects_and_arrays_of_their_type_only() {
    let columns = texts(&["o.c.id", "\"o.c\".id", "t[0]", "t[2].x", "o"]);
    let options = JsonOptions {
        as_written: vec![4],
        ..JsonOptions::default()
    };
    let text = b"{\"o\":{\"c\":{\"id\":1}},\"o.c\":{\"id\":2},\"t\":[3,4,{\"x\":5}]}\n\
        {\"o\":null,\"t\":[]}\n\
        {\"o\":7,\"t\":{\"x\":1}}\n\
        {\"o\":[1],\"t\":[1,2,\"three\"]}\n\
        {\"o\":{\"c\":{}},\"t\":null}\n\
        {\"o\":{\"c\":false}}";
    let draft = decode(text, &columns, &options);
    assert_eq!(
        rows(&draft),
        [
            "1|2|3|5|{\"c\":{\"id\":1}}",
            "-|-|-|-|-",
            "-|-|-|-|7",
            "-|-|1|-|[1]",
            "-|-|-|-|{\"c\":{}}",
            "-|-|-|-|{\"c\":false}",
        ]
    );
    assert_eq!(
        faults_of(&draft),
        [
            "2 wrong_type 7",
            "3 wrong_type [1]",
            "5 wrong_type false",
            "2 wrong_type {\"x\":1}",
            "2 wrong_type {\"x\":1}",
            "3 wrong_type three",
        ]
    );
}

#[test]
fn members_in_any_order_and_of_any_number_are_found() {
    let columns = texts(&["a", "b", "c"]);
    let mut text = String::new();
    let mut wanted = Vec::new();
    for n in 0..2000_u32 {
        let mut members = vec![
            format!("\"a\":\"a{n}\""),
            format!("\"b\":\"b{n}\""),
            format!("\"c\":\"c{n}\""),
        ];
        members.rotate_left(usize::try_from(n % 3).unwrap());
        if n % 5 == 0 {
            members.swap(0, 1);
        }
        // Names of maps are new in every record.
        members.insert(
            usize::try_from(n % 4).unwrap(),
            format!("\"key {n}\":{{\"x\":[{n}]}}"),
        );
        text = text + "{" + &members.join(",") + "}\n";
        wanted.push(format!("a{n}|b{n}|c{n}"));
    }
    let draft = decode(text.as_bytes(), &columns, &JsonOptions::default());
    assert_eq!(rows(&draft), wanted);
    assert_eq!(faults_of(&draft), [""; 0]);
}

#[test]
fn elements_of_an_array_are_records_and_what_is_wrong_costs_its_own() {
    let options = JsonOptions {
        records: Records::Array,
        ..JsonOptions::default()
    };
    for (text, wanted, faults) in [
        ("[]", &[][..], &[][..]),
        ("[ {\"a\":1} , {\"a\":2}\n]\n", &["1", "2"], &[]),
        (
            "[{\"a\":1},,{\"a\":2},]",
            &["1", "-", "2", "-"],
            &[
                "1 invalid_json byte 0: an element is missing",
                "3 invalid_json byte 0: an element is missing",
            ],
        ),
        (
            "[{\"a\":1} {\"a\":2},{\"a\":3}]",
            &["1", "-", "3"],
            &["1 invalid_json byte 0: a comma is missing before it: {\"a\":2}"],
        ),
        (
            "[{\"a\":1}, xyz, 5, \"a,]b\", null, [1], {\"a\":2}]",
            &["1", "-", "-", "-", "-", "-", "2"],
            &[
                "1 invalid_json byte 0: no object: xyz",
                "2 invalid_json byte 0: no object: 5",
                "3 invalid_json byte 0: no object: \"a,]b\"",
                "4 invalid_json byte 0: no object: null",
                "5 invalid_json byte 0: no object: [1]",
            ],
        ),
        (
            // A bracket is missing: the next one that looks alike is a record again.
            "[\n  {\"a\":1,\"b\":[1,2},\n  {\"a\":2},\n  {\"a\":3}\n]",
            &["-", "2", "3"],
            &["0 invalid_json byte 15: a comma or ] belongs here: }"],
        ),
        (
            // A quote is missing.
            "[\n{\"a\":\"x},\n{\"a\":\"y\"}\n]",
            &["-", "y"],
            &["0 invalid_json byte 8: the record ends too early"],
        ),
    ] {
        let draft = decode(text.as_bytes(), &texts(&["a"]), &options);
        assert_eq!(rows(&draft), wanted, "{text}");
        assert_eq!(faults_of(&draft), faults, "{text}");
    }
}

#[test]
fn objects_one_after_another_are_records() {
    let options = JsonOptions {
        records: Records::Objects,
        ..JsonOptions::default()
    };
    let text = b"{\n \"a\": 1\n}\n{\n \"a\": 2\n}{\"a\":3} what\n{\"a\":4}\n{\n \"a\": [5\n}\n{\n \"a\": 6\n}\n";
    let draft = decode(text, &texts(&["a"]), &options);
    assert_eq!(rows(&draft), ["1", "2", "3", "-", "4", "-", "6"]);
    let format = Format::Json(options);
    let all: Vec<usize> = (0..7).collect();
    let kept = crate::decode::raws_and_places(&draft, &all, &format);
    assert_eq!(kept[3].0, "what");
    assert_eq!(kept[5].0, "{\n \"a\": [5\n}");
    let places: Vec<(u64, u64)> = kept
        .iter()
        .map(|(_, place)| (place.line, place.byte))
        .collect();
    assert_eq!(
        places,
        [
            (2, 100),
            (5, 112),
            (7, 123),
            (7, 131),
            (8, 136),
            (9, 144),
            (12, 157)
        ]
    );
}
