//! The grammar, held against `serde_json`'s.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::super::cells::Cells;
use super::super::grammar::Grammar;
use super::super::tree::Tree;
use super::super::walk::Walk;
use super::*;

/// Whether a text is read as one object.
fn is_object(text: &[u8], paths: &[&str]) -> bool {
    let mut tree = Tree::new(&texts(paths));
    let mut cells = Cells {
        width: tree.width(),
        ..Cells::default()
    };
    let grammar = Grammar::<false> {
        bytes: text,
        max_depth: 100,
    };
    let mut walk = Walk::new(grammar, &mut tree, &mut cells);
    // What was seen before must not change what is read.
    let mut read = false;
    for _ in 0..2 {
        read = walk
            .record(grammar.blanks(0))
            .is_ok_and(|past| grammar.blanks(past) == text.len());
    }
    read
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        // serde_json rounds the digits of other doubles as it reads them.
        any::<i16>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        ".{0,20}".prop_map(Value::from),
        "[a-z\"\\\\\u{8}\n]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec(("[abc]|.{0,3}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    let member = ("[abc]|.{0,9}", json());
    vec(member, 0..6).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// A change at a share of the text: another byte, one more, or one less.
fn changes() -> impl Strategy<Value = Vec<(u8, f64, u8)>> {
    let byte = prop_oneof![
        proptest::sample::select(b"{}[]\",:\\/u0129.eE+-tfn \t\n\r\0\x1f\x7f\x80\xc3\xff".to_vec()),
        any::<u8>(),
    ];
    vec((0_u8..3, 0.0..1.0, byte), 0..4)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a short text"
)]
fn change(text: &mut Vec<u8>, (what, share, byte): (u8, f64, u8)) {
    let place = ((text.len() as f64) * share) as usize;
    match what {
        0 if !text.is_empty() => text[place] = byte,
        1 if !text.is_empty() => {
            text.remove(place);
        }
        _ => text.insert(place, byte),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_serde_json_takes_for_an_object_is_one_and_nothing_else(
        value in object(), pretty: bool, changes in changes(),
    ) {
        let mut text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        for one in changes {
            change(&mut text, one);
        }
        let theirs = match serde_json::from_slice::<Value>(&text) {
            Ok(value) => value.is_object(),
            // A number that no double holds is a number all the same; what is behind it was not looked at.
            Err(error) if error.to_string().contains("out of range") => return Ok(()),
            Err(_) => false,
        };
        for paths in [&[][..], &["a", "b[0].c", "c[].a", "\"\""]] {
            prop_assert_eq!(is_object(&text, paths), theirs, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn values_are_what_serde_json_says_they_are(
        records in vec(object(), 1..6), spaced: bool,
    ) {
        let line = |value: &Value| {
            let text = serde_json::to_string(value).unwrap();
            // Blanks may stand around everything.
            if spaced { text.replace("\":", "\" : ").replace("},", "} ,") + " \t" } else { text }
        };
        let text: Vec<String> = records.iter().map(line).collect();
        prop_assume!(!spaced || text.iter().zip(&records).all(|(text, value)| serde_json::from_str::<Value>(text).is_ok_and(|read| read == *value)));
        let columns = texts(&["a", "b", "c", "a", "b.a", "c[1]", "a.b.c"]);
        let options = JsonOptions { as_written: vec![0, 1, 2, 4, 5, 6], ..JsonOptions::default() };
        let draft = decode(text.join("\n").as_bytes(), &columns, &options);
        prop_assert_eq!(draft.rows, records.len());
        let all: Vec<_> = draft.columns.iter().map(|column| shown(column.as_ref().unwrap())).collect();
        for (row, record) in records.iter().enumerate() {
            for (column, pointer) in [(0, "/a"), (1, "/b"), (2, "/c"), (4, "/b/a"), (5, "/c/1"), (6, "/a/b/c")] {
                let theirs = record.pointer(pointer).filter(|value| !value.is_null());
                // A pointer's 1 is the name of a member, too.
                let theirs = theirs.filter(|_| pointer != "/c/1" || record["c"].is_array());
                let ours = all[column][row].as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap());
                prop_assert_eq!(ours.as_ref(), theirs, "row {} {}", row, pointer);
            }
            // As text: strings without quotes and escapes, numbers as written, nothing else.
            let text = match &record["a"] {
                Value::String(text) if !text.contains('\0') => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            prop_assert_eq!(&all[3][row], &text);
        }
    }
}

#[test]
fn numbers_are_those_of_the_grammar() {
    for (text, is_number) in [
        ("0", true),
        ("-0", true),
        ("10", true),
        ("123456789012345678901234567890", true),
        ("0.5", true),
        ("-1.25e+3", true),
        ("1E400", true),
        ("1e-7", true),
        ("00", false),
        ("01", false),
        ("-01", false),
        ("+1", false),
        (".5", false),
        ("1.", false),
        ("-", false),
        ("1e", false),
        ("1e+", false),
        ("0x10", false),
        ("1_000", false),
        ("NaN", false),
        ("Infinity", false),
        ("-Infinity", false),
        ("1.2.3", false),
    ] {
        for text in [
            format!("{{\"a\":{text}}}"),
            format!("{{\"x\":[{text} ]}}     "),
        ] {
            assert_eq!(is_object(text.as_bytes(), &["a"]), is_number, "{text}");
        }
    }
}

#[test]
fn brackets_are_counted() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth))
    };
    for paths in [&["b"][..], &["a[0][0][0]"], &["a.a.a"]] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(is_object(nested(open, close, 99).as_bytes(), paths));
            assert!(!is_object(nested(open, close, 100).as_bytes(), paths));
        }
    }
    let text = nested("[", "]", 5);
    let options = JsonOptions {
        max_depth: 5,
        ..JsonOptions::default()
    };
    let draft = decode(text.as_bytes(), &texts(&["a"]), &options);
    assert_eq!(
        faults_of(&draft),
        ["0 too_deep byte 9: more brackets are open than `max_depth`: [1]]]]]}"]
    );
}
