//! Laws of cutting: nothing is lost, and where a file is cut changes nothing.

use std::fs;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::decode::{Decoder, raws_and_places};
use crate::job::plan::{ColumnType, JsonOptions, SourceColumn};
use crate::record::Site;

fn format(records: Records) -> Format {
    Format::Json(JsonOptions {
        records,
        ..JsonOptions::default()
    })
}

fn columns() -> Vec<SourceColumn> {
    vec![SourceColumn::plain(0, "a", ColumnType::Varchar)]
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    byte: u64,
    line: u64,
    raw: String,
    /// Its value, or why it was refused.
    what: String,
}

/// Reads a file in chunks of about `bytes`.
fn read(text: &[u8], records: Records, bytes: usize, left: Option<u64>) -> Vec<Read> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sales.json");
    fs::write(&path, text).unwrap();
    let format = format(records);
    let columns = columns();
    let mut file = TextFile::open("sources.s", 0, &path, &format, &columns, false).unwrap();
    let mut decoder = Decoder::new(&columns, &format, 1);
    let mut read = Vec::new();
    let mut left = left;
    while left != Some(0)
        && let Some(chunk) = file.next(bytes, &mut left).unwrap()
    {
        assert!(
            chunk.bytes.len() <= bytes + 2 * MAX_RECORD_BYTES,
            "memory is bounded"
        );
        let draft = decoder.decode(Arc::new(chunk));
        let rows: Vec<usize> = (0..draft.rows).collect();
        let values = arrow_cast::cast(
            draft.columns[0].as_ref().unwrap(),
            &arrow_schema::DataType::Utf8,
        )
        .unwrap();
        let values = arrow_array::cast::AsArray::as_string::<i32>(&values).clone();
        for (row, (raw, place)) in raws_and_places(&draft, &rows, &format)
            .into_iter()
            .enumerate()
        {
            let fault = draft.faults.iter().find(|fault| fault.row == row);
            let what = match fault {
                Some(fault) if fault.site == Site::Record => fault.reason.to_string(),
                Some(fault) => format!("column {}", fault.reason),
                None if arrow_array::Array::is_valid(&values, row) => values.value(row).to_owned(),
                None => String::new(),
            };
            read.push(Read {
                byte: place.byte,
                line: place.line,
                raw,
                what,
            });
        }
    }
    read
}

/// What of a file is in no record: blanks, and what may stand between records.
fn between(text: &str, read: &[Read]) -> String {
    let mut between = String::new();
    let mut at = 0;
    for record in read {
        let start = usize::try_from(record.byte).unwrap();
        between += &text[at..start];
        assert_eq!(
            text[start..].get(..record.raw.len()),
            Some(record.raw.as_str()),
            "raw bytes are those of the place"
        );
        let lines = text[..start].matches('\n').count();
        assert_eq!(record.line, u64::try_from(lines).unwrap() + 1, "{record:?}");
        at = start + record.raw.len();
    }
    between + &text[at..]
}

fn whats(read: &[Read]) -> Vec<&str> {
    read.iter().map(|read| read.what.as_str()).collect()
}

/// Objects as a file of them, on lines or not.
fn file(objects: &[serde_json::Value], style: u8) -> String {
    match style {
        0 => serde_json::to_string_pretty(objects).unwrap() + "\n",
        1 => serde_json::to_string(objects).unwrap(),
        2 => {
            let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
            format!("[\n{}\n]\n", lines.join(",\n"))
        }
        _ => format!(
            "  \n[ {} ]  ",
            objects
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" , ")
        ),
    }
}

fn objects() -> impl Strategy<Value = Vec<serde_json::Value>> {
    let value = prop_oneof![
        any::<u32>().prop_map(serde_json::Value::from),
        "[a-z,\\[\\]{}\"\\\\ ]{0,12}".prop_map(serde_json::Value::from),
        vec(any::<u8>(), 0..3).prop_map(serde_json::Value::from),
    ];
    let object = ("[a-z,\\[\\]{}\"\\\\ ]{0,12}", value)
        .prop_map(|(a, b)| serde_json::json!({"a": a, "b": {"c": [b, {"a": 1}]}}));
    vec(object, 0..8)
}

const SIZES: [usize; 5] = [1, 7, 64, 300, 1 << 20];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_array_is_its_elements_wherever_it_is_cut(objects in objects(), style in 0_u8..4) {
        let text = file(&objects, style);
        let wanted: Vec<&str> = objects.iter().map(|object| object["a"].as_str().unwrap()).collect();
        for bytes in SIZES {
            let read = read(text.as_bytes(), Records::Array, bytes, None);
            prop_assert_eq!(whats(&read), wanted.clone(), "chunks of {} of {}", bytes, text);
            prop_assert!(between(&text, &read).chars().all(|c| " \n,[]".contains(c)));
        }
    }

    #[test]
    fn of_a_broken_file_nothing_is_lost_and_any_cut_gives_the_same(
        objects in objects(), style in 0_u8..4, array: bool,
        changes in vec((0_u8..3, 0.0..1.0, proptest::sample::select("{}[]\",:\\a1 \n".chars().collect::<Vec<_>>())), 1..4),
    ) {
        let mut text: Vec<char> = if array { file(&objects, style) } else {
            objects.iter().fold(String::new(), |text, object| text + &format!("{object:#}\n"))
        }.chars().collect();
        for (what, share, character) in changes {
            #[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let place = ((text.len() as f64) * share) as usize;
            // The bracket that begins the array is the file's and not a record's.
            let place = place.max(text.iter().position(|c| *c == '[').map_or(0, |at| at + 1)).min(text.len());
            match what {
                0 if place < text.len() => text[place] = character,
                1 if place < text.len() => { text.remove(place); }
                _ => text.insert(place, character),
            }
        }
        let text: String = text.into_iter().collect();
        let records = if array { Records::Array } else { Records::Objects };
        let whole = read(text.as_bytes(), records, 1 << 20, None);
        let between = between(&text, &whole);
        prop_assert!(between.chars().all(|c| " \n,[]".contains(c)), "{between:?} is lost of {text}");
        for bytes in SIZES {
            prop_assert_eq!(&read(text.as_bytes(), records, bytes, None), &whole, "chunks of {} of {}", bytes, text);
        }
        for left in 0..4 {
            let few = read(text.as_bytes(), records, 1 << 20, Some(left));
            // What is broken may be cut into more pieces where reading ends in it.
            let wanted = whole.len().min(usize::try_from(left).unwrap());
            let is_whole = whole.iter().all(|record| record.what != "invalid_json");
            prop_assert!(few.len() == wanted || (few.len() > wanted && !is_whole), "{} of {}", few.len(), text);
        }
    }
}

#[test]
fn what_is_wrong_with_an_array_is_told_where_it_is() {
    for (text, wanted) in [
        ("[]", &[][..]),
        (" [ ] ", &[]),
        ("[{\"a\":1}", &[(8, "1"), (8, "unclosed_array")][1..]),
        ("[{\"a\":1},\n", &[(8, "unclosed_array")]),
        ("[", &[(0, "unclosed_array")]),
        ("[{\"a\":1},\n {\"a\":\"x", &[(11, "invalid_json")]),
        (
            "[{\"a\":1}] {\"a\":2}\n,{\"a\":3}\n",
            &[(10, "invalid_json"), (18, "invalid_json")],
        ),
        ("[{\"a\":1}]]", &[(9, "invalid_json")]),
        ("[{\"a\":1},]", &[(9, "invalid_json")]),
        ("[,{\"a\":1}]", &[(1, "invalid_json")]),
        ("[,]", &[(1, "invalid_json"), (2, "invalid_json")]),
        ("[{\"a\":1} garbage, {\"a\":2}]", &[(9, "invalid_json")]),
    ] {
        for bytes in SIZES {
            let read = read(text.as_bytes(), Records::Array, bytes, None);
            let is_fault = |read: &&Read| read.what.contains('_');
            let faults: Vec<(u64, &str)> = read
                .iter()
                .filter(is_fault)
                .map(|read| (read.byte, read.what.as_str()))
                .collect();
            assert_eq!(faults, wanted, "chunks of {bytes} of {text}");
        }
    }
}

#[test]
fn a_file_that_is_no_array_is_refused_at_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sales.json");
    for (text, code) in [
        ("{\"a\":1}", "not_an_array"),
        ("", "empty_file"),
        (" \n", "empty_file"),
    ] {
        fs::write(&path, text).unwrap();
        let opened = TextFile::open(
            "sources.s",
            0,
            &path,
            &format(Records::Array),
            &columns(),
            false,
        );
        match opened {
            Err(SourceError::Header { code: told, .. }) => assert_eq!(told, code, "{text:?}"),
            other => panic!("{text:?} gave {other:?}"),
        }
        assert!(
            TextFile::open(
                "sources.s",
                0,
                &path,
                &format(Records::Objects),
                &columns(),
                false
            )
            .is_ok()
        );
    }
    let marked = b"\xEF\xBB\xBF \n[{\"a\":1}]";
    fs::write(&path, marked).unwrap();
    let mut file = TextFile::open(
        "sources.s",
        0,
        &path,
        &format(Records::Array),
        &columns(),
        false,
    )
    .unwrap();
    let chunk = file.next(10, &mut None).unwrap().unwrap();
    assert_eq!(
        (chunk.offset, chunk.line, chunk.bytes.first()),
        (5, 2, Some(&b'['))
    );
}

#[test]
fn a_record_that_is_too_long_costs_itself_only() {
    let long = "x".repeat(MAX_RECORD_BYTES + 10);
    let open = "[".repeat(3 * MAX_RECORD_BYTES);
    for (text, wanted) in [
        (
            format!("[\n{{\"a\":1}},\n{{\"a\":\"{long}\"}},\n{{\"a\":3}}\n]"),
            &["1", "record_too_long", "3"][..],
        ),
        (
            format!("[\n{{\"a\":1}},\n{{\"a\":{open}}},\n{{\"a\":3}}\n]"),
            &["1", "record_too_long", "3"],
        ),
        (
            format!("[{{\"a\":1}},{{\"a\":{open}"),
            &["1", "record_too_long"],
        ),
    ] {
        let reads: Vec<Vec<Read>> = [1 << 16, 1 << 20]
            .into_iter()
            .map(|bytes| read(text.as_bytes(), Records::Array, bytes, None))
            .collect();
        assert_eq!(whats(&reads[0]), wanted);
        assert_eq!(reads[0], reads[1]);
        let last = reads[0].last().unwrap();
        assert_eq!(
            last.line,
            u64::try_from(
                text[..usize::try_from(last.byte).unwrap()]
                    .matches('\n')
                    .count()
            )
            .unwrap()
                + 1
        );
        assert!(text[usize::try_from(last.byte).unwrap()..].starts_with("{\"a\":"));
    }
}
