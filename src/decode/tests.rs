//! Laws of the room as a whole; kernels have theirs beside them.

mod records;
mod times;
mod values;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use proptest::prelude::*;

use super::scan::wide;
use super::*;
use crate::job::plan::{ColumnType, LineEnd, OnBad, OnNul};
use crate::record::{Dropped, Encoding, Framing};

/// A column as the job file's defaults make it.
pub(super) fn column(id: usize, name: &str, column_type: ColumnType) -> SourceColumn {
    SourceColumn::plain(id, name, column_type)
}

fn options() -> CsvOptions {
    CsvOptions::default()
}

fn chunk(bytes: &[u8], fields: usize) -> Arc<Chunk> {
    Arc::new(Chunk {
        places: Vec::new(),
        followed: None,
        messages: None,
        number: 0,
        source: 0,
        file: Arc::new(PathBuf::from("sales.csv")),
        bytes: bytes.to_vec(),
        offset: 100,
        line: 2,
        header: Arc::new(HeaderBinding {
            framing: Framing::OfSource,
            encoding: Encoding::Utf8,
            record: Vec::new(),
            fields,
            column_of_field: (0..fields).map(Some).collect(),
        }),
        epoch: 1,
        broken: None,
        dropped: Dropped::default(),
        until: None,
        lease: None,
    })
}

fn decode(bytes: &[u8], columns: &[SourceColumn], format: &Format) -> Draft {
    Decoder::new(columns, format, columns.len()).decode(chunk(bytes, columns.len()))
}

fn texts(count: usize) -> Vec<SourceColumn> {
    (0..count)
        .map(|id| column(id, &format!("c{id}"), ColumnType::Varchar))
        .collect()
}

/// A column's values as text, null as `None`.
pub(super) fn shown(array: &ArrayRef) -> Vec<Option<String>> {
    let text = cast(array, &DataType::Utf8).unwrap();
    let text = text.as_any().downcast_ref::<StringArray>().unwrap();
    text.iter().map(|value| value.map(str::to_owned)).collect()
}

/// One column's values, and its faults as `row reason detail`.
fn values_of(bytes: &[u8], column: SourceColumn) -> (Vec<Option<String>>, Vec<String>) {
    let draft = decode(bytes, &[column], &Format::Csv(options()));
    (shown(draft.columns[0].as_ref().unwrap()), faults_of(&draft))
}

pub(super) fn faults_of(draft: &Draft) -> Vec<String> {
    draft
        .faults
        .iter()
        .map(|fault| format!("{} {} {}", fault.row, fault.reason, fault.detail))
        .collect()
}

/// What one text of a column becomes: its value, or its fault. A text with a comma is put into quotes.
pub(super) fn one(text: &str, column: &SourceColumn) -> String {
    let bytes = if text.contains(',') && !text.starts_with('"') {
        format!("\"{text}\"\n")
    } else {
        format!("{text}\n")
    };
    let (values, faults) = values_of(bytes.as_bytes(), column.clone());
    assert_eq!(values.len(), 1, "{text:?}");
    match (&values[0], faults.as_slice()) {
        (Some(value), []) => value.clone(),
        (None, []) => String::from("null"),
        (None, [fault]) => fault.strip_prefix("0 ").unwrap().to_owned(),
        other => panic!("{text:?} gave {other:?}"),
    }
}

/// Texts of a column and what becomes of each: its value, `null`, or `reason detail`.
pub(super) fn table(column: &SourceColumn, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(
            &one(text, column),
            expected,
            "{text:?} as {:?}",
            column.column_type
        );
    }
}

// --- Splitting, against a state machine that goes byte by byte ---

/// A record: its first byte, and its fields' texts or why it is none.
type Record = (usize, Result<Vec<Vec<u8>>, &'static str>);

/// Splits as the rules are written, one byte after another. Gives the records and, for each byte that completes a line
/// end outside quotes, the position after it.
fn split_slowly(bytes: &[u8]) -> (Vec<Record>, Vec<usize>) {
    #[derive(PartialEq)]
    enum State {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let (mut records, mut ends) = (Vec::new(), Vec::new());
    let (mut fields, mut field) = (Vec::new(), Vec::new());
    let (mut state, mut start, mut at) = (State::Start, 0, 0);
    let mut stray = false;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if state == State::Quoted {
            if byte == b'"' && bytes.get(at) == Some(&b'"') {
                field.push(b'"');
                at += 1;
            } else if byte == b'"' {
                state = State::Closed;
            } else {
                field.push(byte);
            }
        } else if byte == b',' {
            fields.push(std::mem::take(&mut field));
            state = State::Start;
        } else if byte == b'\n' || byte == b'\r' {
            let empty = at - 1 == start;
            fields.push(std::mem::take(&mut field));
            let record = std::mem::take(&mut fields);
            if !empty {
                let whole = if stray {
                    Err("text_after_quote")
                } else {
                    Ok(record)
                };
                records.push((start, whole));
            }
            stray = false;
            let undecided = byte == b'\r' && at == bytes.len();
            if byte == b'\r' && bytes.get(at) == Some(&b'\n') {
                at += 1;
            }
            start = at;
            state = State::Start;
            if !undecided {
                ends.push(at);
            }
        } else if byte == b'"' && state == State::Start {
            state = State::Quoted;
        } else {
            stray |= state == State::Closed;
            field.push(byte);
            state = State::Plain;
        }
    }
    if state == State::Quoted {
        records.push((start, Err("unclosed_quote")));
    } else if start < bytes.len() {
        fields.push(field);
        let whole = if stray {
            Err("text_after_quote")
        } else {
            Ok(fields)
        };
        records.push((start, whole));
    }
    (records, ends)
}

fn lines_slowly(bytes: &[u8]) -> u64 {
    let ends = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    u64::try_from((0..bytes.len()).filter(ends).count()).unwrap()
}

/// Bytes of a small alphabet, long enough to span several blocks of 64.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b','),
        2 => Just(b'"'),
        2 => Just(b'\n'),
        1 => Just(b'\r'),
        6 => prop_oneof![Just(b'a'), Just(b'b'), Just(b' ')],
    ];
    prop_oneof![
        prop::collection::vec(byte.clone(), 0..24),
        prop::collection::vec(byte, 0..400),
        prop::collection::vec(
            prop_oneof![Just(b','), Just(b'\n'), Just(b'x'), Just(b'y')],
            0..400
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn splitting_agrees_with_the_state_machine(bytes in soup(), fields in 1_usize..4) {
        let columns = texts(fields);
        let format = Format::Csv(CsvOptions { nulls: vec![String::from("\0")], ..options() });
        let draft = decode(&bytes, &columns, &format);
        let (records, _) = split_slowly(&bytes);
        prop_assert_eq!(draft.rows, records.len());
        let found: Vec<_> = draft.columns.iter().map(|column| shown(column.as_ref().unwrap())).collect();
        let Some(Origin::Text { starts, .. }) = &draft.origin else { panic!("text has text as its origin") };
        prop_assert_eq!(starts.len(), records.len() + 1);
        let mut faults = Vec::new();
        for (row, (start, texts)) in records.iter().enumerate() {
            prop_assert_eq!(wide(starts[row]), *start);
            match texts {
                Ok(texts) if texts.len() == fields => {
                    for (values, text) in found.iter().zip(texts) {
                        prop_assert_eq!(values[row].as_ref().unwrap().as_bytes(), text.as_slice());
                    }
                }
                other => {
                    faults.push(match other {
                        Ok(texts) => format!("{row} field_count {}≠{fields}", texts.len()),
                        Err(reason) => format!("{row} {reason}"),
                    });
                    prop_assert!(found.iter().all(|values| values[row].is_none()));
                }
            }
        }
        let seen = faults_of(&draft);
        prop_assert_eq!(seen.len(), faults.len());
        prop_assert!(seen.iter().zip(&faults).all(|(seen, fault)| seen.starts_with(fault.as_str())));
    }

    #[test]
    fn cutting_agrees_with_the_state_machine(bytes in soup()) {
        let (_, ends) = split_slowly(&bytes);
        let mut cutter = Cutter::new(&Format::Csv(options()));
        let cut = |end: Option<&usize>| end.map(|&end| Cut { end, lines: lines_slowly(&bytes[..end]) });
        prop_assert_eq!(cutter.last_record_end(&bytes), cut(ends.last()));
        prop_assert_eq!(cutter.first_record_end(&bytes), cut(ends.first()));
    }

    #[test]
    fn any_cuts_give_the_rows_of_the_whole(bytes in soup(), block in 1_usize..40) {
        let columns = texts(2);
        let format = Format::Csv(options());
        let whole = decode(&bytes, &columns, &format);
        let mut decoder = Decoder::new(&columns, &format, 2);
        let mut cutter = Cutter::new(&format);
        let (mut rows, mut pieces, mut faults) = (0, vec![Vec::new(); 2], Vec::new());
        let (mut from, mut to) = (0, 0);
        while to < bytes.len() {
            to = (to + block).min(bytes.len());
            let end = match cutter.last_record_end(&bytes[from..to]) {
                _ if to == bytes.len() => to,
                Some(cut) => from + cut.end,
                None => continue,
            };
            let draft = decoder.decode(chunk(&bytes[from..end], 2));
            faults.extend(draft.faults.into_iter().map(|fault| (fault.row + rows, fault.reason)));
            rows += draft.rows;
            for (values, column) in pieces.iter_mut().zip(&draft.columns) {
                values.extend(shown(column.as_ref().unwrap()));
            }
            from = end;
        }
        prop_assert_eq!(rows, whole.rows);
        for (values, column) in pieces.iter().zip(&whole.columns) {
            prop_assert_eq!(values, &shown(column.as_ref().unwrap()));
        }
        let expected: Vec<_> = whole.faults.into_iter().map(|fault| (fault.row, fault.reason)).collect();
        prop_assert_eq!(faults, expected);
    }

    #[test]
    fn raw_text_and_place_are_those_of_the_record(bytes in soup()) {
        let format = Format::Csv(options());
        let draft = decode(&bytes, &texts(2), &format);
        let rows: Vec<_> = (0..draft.rows).collect();
        for (row, (raw, place)) in raws_and_places(&draft, &rows, &format).into_iter().enumerate() {
            let (start, _) = split_slowly(&bytes).0[row];
            prop_assert!(bytes[start..].starts_with(raw.as_bytes()));
            prop_assert_eq!(split_slowly(raw.as_bytes()).0.len(), 1);
            prop_assert_eq!(place.byte, 100 + u64::try_from(start).unwrap());
            prop_assert_eq!(place.line, 2 + lines_slowly(&bytes[..start]));
            prop_assert_eq!(raw_and_place(&draft, row, &format), (raw, place));
        }
    }
}
