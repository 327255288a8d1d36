//! What becomes of records: nulls, faults, what is dropped, and what quarantine keeps.

use super::*;
use crate::job::plan::JsonOptions;

#[test]
fn nulls_are_unquoted_texts_and_a_quoted_empty_text_is_a_text() {
    let text = column(0, "v", ColumnType::Varchar);
    let (values, faults) = values_of(b"\"\"\n\"a\"\"b\"\n\"x\ny\"\n", text.clone());
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(values, [of(""), of("a\"b"), of("x\ny")]);
    assert_eq!(faults, [""; 0]);
    assert_eq!(one("\"\"", &column(0, "n", ColumnType::Int)), "null");

    let mut declared = text;
    declared.nulls = Some(vec![String::from("NA"), String::from("-1")]);
    table(&declared, &[("NA", "null"), ("\"NA\"", "NA"), ("na", "na")]);
    declared.column_type = ColumnType::Int;
    table(
        &declared,
        &[("NA", "null"), ("-1", "null"), ("1", "1"), ("\"-1\"", "-1")],
    );
    declared.not_null = true;
    table(&declared, &[("-1", "missing_value ")]);
}

#[test]
fn nulls_within_a_chunk_keep_their_rows() {
    let columns = [
        column(0, "n", ColumnType::Int),
        SourceColumn {
            not_null: true,
            ..column(1, "v", ColumnType::Varchar)
        },
    ];
    let draft = decode(b"1,a\n,b\n3,\n\n,a", &columns, &Format::Csv(options()));
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(draft.columns[0].as_ref().unwrap()),
        [of("1"), None, of("3"), None]
    );
    assert_eq!(
        shown(draft.columns[1].as_ref().unwrap()),
        [of("a"), of("b"), None, of("a")]
    );
    assert_eq!(faults_of(&draft), ["2 missing_value "]);
}

#[test]
fn a_declared_reason_and_on_bad_decide_what_a_bad_value_does() {
    let mut bad = column(0, "n", ColumnType::Int);
    bad.reason = Some(Arc::from("bad_quantity"));
    bad.not_null = true;
    table(
        &bad,
        &[
            ("x3", "bad_quantity x3"),
            ("\"\"", "bad_quantity "),
            ("99999999999", "bad_quantity 99999999999"),
        ],
    );
    bad.reason = None;
    bad.on_bad = OnBad::Null;
    table(&bad, &[("x3", "missing_value x3"), ("3", "3")]);
    bad.not_null = false;
    table(&bad, &[("x3", "null")]);
}

#[test]
fn ragged_records_are_rows_with_one_fault_and_no_values() {
    let columns = [
        SourceColumn {
            not_null: true,
            ..column(0, "n", ColumnType::Int)
        },
        SourceColumn {
            not_null: true,
            ..column(1, "v", ColumnType::Varchar)
        },
    ];
    let format = Format::Csv(options());
    let draft = decode(b"1,a\r\n2\r\n3,b,c\r\n4,d", &columns, &format);
    assert_eq!(draft.rows, 4);
    assert_eq!(
        faults_of(&draft),
        ["1 field_count 1≠2", "2 field_count 3≠2"]
    );
    assert!(draft.faults.iter().all(|fault| fault.site == Site::Record));
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(draft.columns[0].as_ref().unwrap()),
        [of("1"), None, None, of("4")]
    );
    let kept = text_columns(&draft, &[1, 2, 3], &columns, &format);
    assert_eq!(shown(&kept[0]), [None, None, of("4")]);
    assert_eq!(shown(&kept[1]), [None, None, of("d")]);
    let (raw, place) = raw_and_place(&draft, 2, &format);
    assert_eq!((raw.as_str(), place.line, place.byte), ("3,b,c", 4, 108));
}

#[test]
fn a_broken_chunk_is_one_refused_row() {
    let columns = [SourceColumn {
        not_null: true,
        ..column(0, "n", ColumnType::Int)
    }];
    let mut piece = (*chunk(b"\"1\n2\n", 1)).clone();
    piece.broken = Some(("record_too_long".into(), String::from("longer than 4 MiB")));
    let format = Format::Csv(options());
    let draft = Decoder::new(&columns, &format, 1).decode(Arc::new(piece));
    assert_eq!(faults_of(&draft), ["0 record_too_long longer than 4 MiB"]);
    assert_eq!(raw_and_place(&draft, 0, &format).0, "\"1\n2");
    assert_eq!(
        shown(&text_columns(&draft, &[0], &columns, &format)[0]),
        [None]
    );
}

#[test]
fn dropped_records_are_counted_and_are_no_rows() {
    let format = Format::Csv(CsvOptions {
        skip_blank: true,
        skip_repeated_header: true,
        ..options()
    });
    let draft = decode(b"a,b\nc0,c1\n,\n\n\"\",\nc,d\nc0,x\n", &texts(2), &format);
    let dropped = Dropped {
        blank: 2,
        repeated_headers: 1,
        ..Dropped::default()
    };
    assert_eq!((draft.rows, draft.dropped), (3, dropped));
    assert_eq!(
        raw_and_place(&draft, 0, &format).0,
        "a,b",
        "what was dropped after it is not part of it"
    );
    let (raw, place) = raw_and_place(&draft, 1, &format);
    assert_eq!((raw.as_str(), place.line), ("c,d", 7));
}

#[test]
fn an_empty_chunk_has_no_rows() {
    for format in [Format::Csv(options()), Format::Json(JsonOptions::default())] {
        let draft = decode(b"", &texts(2), &format);
        assert_eq!((draft.rows, draft.faults.len()), (0, 0));
        assert!(
            draft
                .columns
                .iter()
                .all(|column| column.as_ref().unwrap().is_empty())
        );
    }
}

#[test]
fn bytes_that_are_no_utf8_refuse_their_text_only() {
    let columns = texts(2);
    let bytes = b"\xC3\xB1and\xC3\xBA,ok\nbad\xFF,ok\n\"\xFF\",\xE2\x82\xAC\n";
    let format = Format::Csv(options());
    let draft = decode(bytes, &columns, &format);
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(draft.columns[0].as_ref().unwrap()),
        [of("ñandú"), None, None]
    );
    assert_eq!(
        shown(draft.columns[1].as_ref().unwrap()),
        [of("ok"), of("ok"), of("€")]
    );
    assert_eq!(
        faults_of(&draft),
        [
            "1 invalid_utf8 bad\\xFF (not UTF-8; see `encoding`)",
            "2 invalid_utf8 \\xFF (not UTF-8; see `encoding`)"
        ]
    );
    assert_eq!(
        shown(&text_columns(&draft, &[1], &columns, &format)[0]),
        [of("bad\\xFF")]
    );
}

#[test]
fn texts_are_the_same_as_dictionary_and_as_plain_text() {
    let columns = texts(1);
    let format = Format::Csv(options());
    let mut decoder = Decoder::new(&columns, &format, 1);
    let mut forms = std::collections::BTreeSet::new();
    let mut values = None;
    // Few values, then many, then few again: the form changes, the texts don't.
    for (round, distinct) in [5, 5, 3000, 5, 3000, 200]
        .into_iter()
        .cycle()
        .take(150)
        .enumerate()
    {
        let expected: Vec<_> = (0..2000)
            .map(|row| {
                (row % 7 != 0).then(|| format!("{:>width$}", row % distinct, width = 1 + row % 20))
            })
            .collect();
        let lines: Vec<_> = expected
            .iter()
            .map(|text| text.clone().unwrap_or_default() + ",")
            .collect();
        let draft = decoder.decode(chunk(lines.join("\n").as_bytes(), 2));
        let array = draft.columns[0].as_ref().unwrap();
        assert_eq!(shown(array), expected, "round {round}");
        forms.insert(array.data_type().to_string());
        if round < 2 {
            let dictionary = array
                .as_any_dictionary_opt()
                .expect("few values make a dictionary");
            let now = Arc::as_ptr(dictionary.values()).cast::<()>();
            assert_eq!(
                *values.get_or_insert(now),
                now,
                "no new value, no new array"
            );
        }
    }
    assert_eq!(forms.len(), 2, "{forms:?}");
}

#[test]
fn text_after_a_closing_quote_is_a_fault_of_its_record() {
    let columns = texts(2);
    let format = Format::Csv(options());
    // Wherever it stands in a record and in blocks of 64 bytes.
    for before in 0..140 {
        let filler = format!("{},\n", "a".repeat(before));
        for (record, after) in [
            ("\"x\"y,1", "y"),
            ("1,\"x\"y", "y"),
            ("\"x\" ,1", " "),
            ("\"x\"\"\" \",1", " \""),
            ("\"5\" disk\",\"a\"b", " disk\""),
        ] {
            for end in ["\n", "\r\n", "\r", ""] {
                let text = format!("{filler}\"q\",r\n{record}{end}");
                let draft = decode(text.as_bytes(), &columns, &format);
                let fault = format!("2 text_after_quote {after} after a closing quote");
                assert_eq!(faults_of(&draft), [fault], "{text:?}");
                assert_eq!(draft.rows, 3);
                let raw = raw_and_place(&draft, 2, &format).0;
                assert_eq!(raw, record);
            }
        }
    }
    let draft = decode(b"\"x\"y,1\n", &columns, &format);
    let kept = text_columns(&draft, &[0], &columns, &format);
    assert_eq!(
        shown(&kept[0]),
        [Some("\"x\"y".to_owned())],
        "as it stands, not joined"
    );
    let bound = bind_header(&columns, &options(), Encoding::Utf8, b"\"c0\"x,c1\n");
    assert_eq!(bound.unwrap_err().code(), "bad_header");
}

#[test]
fn nul_in_a_text_refuses_its_row_or_is_taken_out() {
    let columns = [
        column(0, "n", ColumnType::Int),
        SourceColumn {
            nulls: Some(vec![String::new(), String::from("NA")]),
            ..column(1, "v", ColumnType::Varchar)
        },
    ];
    let bytes = b"1,a\0b\n2,ab\n3,\"\0\"\n4,\0\n5,\0NA\n\x006,x\n7,\xFF\0\n";
    let json = br#"{"n":1,"v":"a\u0000b"}
{"n":2,"v":"ab"}
"#;
    let refused = decode(bytes, &columns, &Format::Csv(options()));
    let fault = |row: usize, text: &str| {
        format!("{row} nul_in_text {text} (on_nul = \"strip\" takes it out)")
    };
    assert_eq!(
        faults_of(&refused),
        [
            String::from("5 bad_integer \\u{0}6"),
            fault(0, "a\\u{0}b"),
            fault(2, "\\u{0}"),
            fault(3, "\\u{0}"),
            fault(4, "\\u{0}NA"),
            fault(6, "\\xFF\\u{0}"),
        ]
    );
    let (raw, _) = raw_and_place(&refused, 0, &Format::Csv(options()));
    assert_eq!(
        (raw.as_str(), bytes_of_raw(&raw)),
        ("1,a\\x00b", b"1,a\0b".to_vec())
    );
    let draft = decode(json, &columns, &Format::Json(JsonOptions::default()));
    assert_eq!(faults_of(&draft), [fault(0, "a\\u{0}b")]);

    let format = Format::Csv(CsvOptions {
        on_nul: OnNul::Strip,
        ..options()
    });
    let draft = decode(bytes, &columns, &format);
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(draft.columns[1].as_ref().unwrap()),
        [of("ab"), of("ab"), of(""), None, None, of("x"), None]
    );
    assert_eq!(draft.stripped, 5);
    let format = Format::Json(JsonOptions {
        on_nul: OnNul::Strip,
        ..JsonOptions::default()
    });
    let draft = decode(json, &columns, &format);
    assert_eq!((draft.faults.len(), draft.stripped), (0, 1));
}

#[test]
fn an_escape_takes_its_meaning_from_structure_only() {
    let columns = texts(2);
    let escaped = |text: &str, quote| {
        let options = CsvOptions {
            delimiter: b'|',
            quote,
            escape: Some(b'\\'),
            ..options()
        };
        let draft = decode(text.as_bytes(), &columns, &Format::Csv(options));
        assert_eq!(faults_of(&draft), [""; 0], "{text:?}");
        assert_eq!(draft.rows, 1, "{text:?}");
        let of = |at: usize| shown(draft.columns[at].as_ref().unwrap()).remove(0);
        [of(0).unwrap_or_default(), of(1).unwrap_or_default()]
    };
    for (text, first, second) in [
        (r"size 2\|3|4", "size 2|3", "4"),
        ("a\\\nb|c", "a\nb", "c"),
        ("a\\\r\nb|c", "a\r\nb", "c"),
        (r"C:\new\table|\N", r"C:\new\table", r"\N"),
        (r"\\|\\", r"\", r"\"),
        (r"\\\||x", r"\|", "x"),
        ("a|b\\", "a", "b\\"),
    ] {
        for quote in [None, Some(b'"')] {
            assert_eq!(escaped(text, quote), [first, second], "{text:?}");
        }
    }
    for (text, first, second) in [
        (r#""a\"b|"|c"#, "a\"b|", "c"),
        (r#""a""b\\"|c"#, "a\"b\\", "c"),
        (r#"\"a"|\""#, "\"a\"", "\""),
        ("\"a\nb\"|c\r\n", "a\nb", "c"),
    ] {
        assert_eq!(escaped(text, Some(b'"')), [first, second], "{text:?}");
    }
}

#[test]
fn comments_are_no_records_and_line_ends_may_be_told() {
    let of = |text: &str, options: CsvOptions| {
        let draft = decode(text.as_bytes(), &texts(1), &Format::Csv(options));
        let values = shown(draft.columns[0].as_ref().unwrap());
        values
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect::<Vec<_>>()
    };
    let comment = CsvOptions {
        comment: Some(b'#'),
        ..options()
    };
    let text = "a\n#b,c\n#\"d\r\n\"#e\n#f\"\n g#\n\n#";
    assert_eq!(of(text, comment), ["a", "#e\n#f", " g#"]);
    let ended = |line_end| CsvOptions {
        line_end,
        ..options()
    };
    assert_eq!(
        of("a\rb\nc\r\nd\r", ended(LineEnd::Any)),
        ["a", "b", "c", "d"]
    );
    assert_eq!(
        of("a\rb\nc\r\nd\r", ended(LineEnd::Lf)),
        ["a\rb", "c", "d\r"]
    );
    assert_eq!(of("a\rb\nc\r\nd\r", ended(LineEnd::Cr)), ["a", "b\nc", "d"]);
}

#[test]
fn headers_bind_by_name() {
    let columns = [
        column(0, "id", ColumnType::Int),
        column(1, "price", ColumnType::Int),
    ];
    let bind = |header: &str| bind_header(&columns, &options(), Encoding::Utf8, header.as_bytes());
    let binding = bind("extra,\"price\",id\r\n").unwrap();
    assert_eq!(
        (binding.fields, binding.column_of_field),
        (3, vec![None, Some(1), Some(0)])
    );
    let error = bind("id,prize,extra\n").unwrap_err();
    assert_eq!(error.code(), "missing_columns");
    assert!(
        error.to_string().contains("\"prize\" is near to \"price\""),
        "{error}"
    );
    assert_eq!(bind("id,price,id").unwrap_err().code(), "duplicate_header");
    assert_eq!(bind("").unwrap_err().code(), "missing_columns");
    let none = CsvOptions {
        header: false,
        ..options()
    };
    assert_eq!(
        bind_header(&columns, &none, Encoding::Utf8, b"1,2\n")
            .unwrap()
            .column_of_field,
        [Some(0), Some(1)]
    );
}

#[test]
fn json_values_are_exact_and_of_their_type() {
    let columns = [
        column(0, "id", ColumnType::BigInt),
        column(1, "price", ColumnType::Decimal(12, 2)),
        column(2, "name", ColumnType::Varchar),
        column(3, "ok", ColumnType::Boolean),
    ];
    let bytes = br#"{"id":9007199254740993,"price":"12.34","name":"a\u00f1\"","ok":true}
{ "ok" : null, "extra": {"id": [1, "}"]}, "price": 1.5e1 , "id": -0 }

{"id":"7","price":true,"name":5,"ok":1}
{"id":1.0,"price":1.234,"name":"","ok":"x"}
{"id":1,}
[1]
{"id":01}
{"id":1} x
{"id":1,"id":2}"#;
    let draft = decode(bytes, &columns, &Format::Json(JsonOptions::default()));
    let show = |at: usize| -> Vec<String> {
        let values = shown(draft.columns[at].as_ref().unwrap());
        values
            .into_iter()
            .map(|value| value.unwrap_or_else(|| String::from("null")))
            .collect()
    };
    let null = "null";
    assert_eq!(
        show(0),
        [
            "9007199254740993",
            "0",
            null,
            null,
            null,
            null,
            null,
            null,
            null
        ]
    );
    assert_eq!(
        show(1),
        ["12.34", "15.00", null, null, null, null, null, null, null]
    );
    assert_eq!(
        show(2),
        ["añ\"", null, "5", "", null, null, null, null, null]
    );
    assert_eq!(
        show(3),
        ["true", null, null, null, null, null, null, null, null]
    );
    assert_eq!(
        faults_of(&draft),
        [
            "4 invalid_json byte 8: the name of a member belongs here: }",
            "5 invalid_json byte 0: no object: [1]",
            "6 invalid_json byte 6: a number with a leading zero: 01}",
            "7 invalid_json byte 9: something behind the object: x",
            "2 wrong_type 7",
            "3 bad_integer 1.0 (lenient = true?)",
            "8 duplicate_key 2",
            "2 wrong_type true",
            "3 scale_loss 1.234",
            "2 wrong_type 1",
            "3 wrong_type x",
        ]
    );
    let kept = text_columns(
        &draft,
        &[0, 2, 4],
        &columns,
        &Format::Json(JsonOptions::default()),
    );
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(shown(&kept[0]), [of("9007199254740993"), of("7"), None]);
    assert_eq!(
        raw_and_place(&draft, 2, &Format::Json(JsonOptions::default()))
            .1
            .line,
        5
    );
}

#[test]
fn a_decoder_goes_on_after_chunks_without_bytes_or_rows() {
    let columns = texts(1);
    let format = Format::Csv(options());
    let mut decoder = Decoder::new(&columns, &format, 1);
    let mut refused = (*chunk(b"", 1)).clone();
    refused.broken = Some(("duplicate_header".into(), String::new()));
    for (piece, rows) in [
        (Arc::new(refused), 1),
        (chunk(b"a\nb\n", 1), 2),
        (chunk(b"\n\n", 1), 0),
        (chunk(b"", 1), 0),
        (chunk(b"a\n", 1), 1),
    ] {
        assert_eq!(decoder.decode(piece).rows, rows);
    }
}
