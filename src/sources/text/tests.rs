//! Records written by a writer that shares no code with the reader, in random dialects and encodings, read back in chunks
//! of random sizes: every value is equal, and every row's place and raw bytes are those of the file.

use std::io::Write;

use arrow_array::{Array, StringArray};
use arrow_schema::DataType;
use proptest::prelude::*;

use super::*;
use crate::decode::{Decoder, bytes_of_raw, raws_and_places};
use crate::job::plan::{ColumnType, CsvOptions, LineEnd};
use crate::record::Encoding;

/// Choices read from random bytes, so that fewer and smaller bytes make a simpler file.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte)) % end
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn rarely(&mut self) -> bool {
        self.below(8) == 7
    }
}

/// How the file's bytes are made of its text.
#[derive(Debug, Clone, Copy)]
enum Written {
    Utf8,
    Utf8Marked,
    Utf16LeMarked,
    Utf16Be,
    Windows,
}

impl Written {
    fn label(self) -> Option<&'static str> {
        match self {
            Self::Utf8 | Self::Utf8Marked | Self::Utf16LeMarked => None,
            Self::Utf16Be => Some("utf-16be"),
            Self::Windows => Some("windows-1252"),
        }
    }

    fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf8Marked => b"\xEF\xBB\xBF",
            Self::Utf16LeMarked => b"\xFF\xFE",
            Self::Utf8 | Self::Utf16Be | Self::Windows => b"",
        }
    }

    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 | Self::Utf8Marked => text.as_bytes().to_vec(),
            Self::Utf16LeMarked => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Windows => encoding_rs::WINDOWS_1252.encode(text).0.into_owned(),
        }
    }
}

/// What one record should become.
#[derive(Debug)]
struct Expected {
    values: Option<Vec<String>>,
    reason: Option<&'static str>,
    raw: Vec<u8>,
    byte: u64,
    line: u64,
}

/// A file and what is in it.
#[derive(Debug)]
struct Sample {
    options: CsvOptions,
    columns: usize,
    bytes: Vec<u8>,
    expected: Vec<Expected>,
    dropped: Dropped,
}

fn lines_in(text: &str) -> u64 {
    let pairs = text.matches("\r\n").count();
    let ends = text.matches(['\r', '\n']).count();
    u64::try_from(ends - pairs).unwrap()
}

fn sample(choices: &mut Choices<'_>) -> Sample {
    let delimiter = choices.of(&[',', ';', '\t', '|']);
    let quote = choices.of(&[Some('"'), Some('"'), Some('\''), None]);
    let escape = choices.of(&[None, None, Some('\\'), Some('!')]);
    let comment = choices.of(&[None, None, Some('#')]);
    let (line_end, end) = choices.of(&[
        (LineEnd::Any, "\n"),
        (LineEnd::Any, "\r\n"),
        (LineEnd::Any, "\r"),
        (LineEnd::Lf, "\n"),
        (LineEnd::Lf, "\r\n"),
        (LineEnd::Cr, "\r"),
        (LineEnd::Cr, "\r\n"),
    ]);
    let written = choices.of(&[
        Written::Utf8,
        Written::Utf8Marked,
        Written::Utf16LeMarked,
        Written::Utf16Be,
        Written::Windows,
    ]);
    let byte = |mark: char| u8::try_from(mark).unwrap();
    let options = CsvOptions {
        delimiter: byte(delimiter),
        quote: quote.map(byte),
        escape: escape.map(byte),
        comment: comment.map(byte),
        line_end,
        encoding: written
            .label()
            .map_or(Encoding::Utf8, |label| Encoding::by_label(label).unwrap()),
        header: choices.below(3) > 0,
        nulls: Vec::new(),
        skip_first: choices.of(&[0, 0, 1, 3]),
        skip_last: choices.of(&[0, 0, 1, 2]),
        ..CsvOptions::default()
    };
    let marks = [Some(delimiter), quote, escape, comment];
    let is_structure = |c: char| matches!(c, '\r' | '\n') || marks.contains(&Some(c));
    let columns = 2 + choices.below(3);
    let mut text = String::new();
    for _ in 0..options.skip_first {
        text += choices.of(&["", "\"", "a \" title", "x,y;z|"]);
        text += end;
    }
    let order: Vec<usize> = if options.header {
        let first = choices.below(columns);
        (0..columns).map(|at| (at + first) % columns).collect()
    } else {
        (0..columns).collect()
    };
    if options.header {
        let names: Vec<String> = order.iter().map(|at| format!("c{at}")).collect();
        text += &names.join(&delimiter.to_string());
        text += end;
    }
    let mut expected = Vec::new();
    let count = choices.below(12);
    for row in 0..count {
        if choices.rarely() {
            text += end;
        }
        if let Some(comment) = comment
            && choices.rarely()
        {
            text.push(comment);
            text += choices.of(&["", "a", "\"", ",\"x"]);
            text += end;
        }
        let mut values: Vec<String> = vec![String::new(); columns];
        let mut fields = Vec::new();
        let mut reason = None;
        for (place, at) in order.iter().enumerate() {
            let plain: String = if *at == 0 {
                let bad = choices.rarely();
                reason = reason.or(bad.then_some("bad_integer"));
                format!("{}{row}", if bad { "x" } else { "" })
            } else {
                let characters = [
                    'a', 'b', ' ', 'ñ', '€', '"', '\'', '\\', '!', '#', ',', ';', '|', '\t', '\n',
                    '\r',
                ];
                let length = choices.of(&[1, 2, 0, 3, 5, 9, 80]);
                let mut value: String = (0..length).map(|_| choices.of(&characters)).collect();
                if value.ends_with('\r') {
                    // An escaped CR before the LF that ends a line would be an escaped CRLF.
                    value.push('a');
                }
                value
            };
            let value: String = if quote.is_none() && escape.is_none() {
                plain.chars().filter(|c| !is_structure(*c)).collect()
            } else {
                plain
            };
            let must = value.chars().any(is_structure);
            let mut field = String::new();
            match quote.filter(|_| (must && escape.is_none()) || choices.below(4) == 3) {
                Some(quote) => {
                    field.push(quote);
                    for c in value.chars() {
                        if Some(c) == escape {
                            field.extend(escape);
                        } else if c == quote {
                            field.push(escape.filter(|_| choices.rarely()).unwrap_or(quote));
                        }
                        field.push(c);
                    }
                    field.push(quote);
                }
                None => {
                    for c in value.chars() {
                        if is_structure(c) {
                            field.extend(escape);
                        }
                        field.push(c);
                    }
                }
            }
            values[*at] = value;
            fields.push((place, field));
        }
        if choices.rarely() {
            fields.push((columns, "more".to_owned()));
            reason = Some("field_count");
        } else if choices.rarely() && columns > 2 {
            fields.pop();
            reason = Some("field_count");
        } else if let Some(quote) = quote
            && choices.rarely()
        {
            fields[1].1 = format!("{quote}a{quote}b");
            reason = Some("text_after_quote");
        }
        let whole = !matches!(reason, Some("field_count" | "text_after_quote"));
        let record: Vec<String> = fields.into_iter().map(|(_, field)| field).collect();
        let record = record.join(&delimiter.to_string());
        let before = written.mark().len() + written.bytes(&text).len();
        expected.push(Expected {
            values: whole.then_some(values),
            reason,
            raw: written.bytes(&record),
            byte: u64::try_from(before).unwrap(),
            line: 1 + lines_in(&text),
        });
        text += &record;
        text += end;
    }
    for _ in 0..options.skip_last {
        text += choices.of(&["total", "\"", "3 rows \" of, 4"]);
        text += end;
        if choices.rarely() {
            text += end;
        }
    }
    if choices.rarely() && text.ends_with(end) && count > 0 {
        text.truncate(text.len() - end.len());
    }
    let dropped = Dropped {
        first_lines: options.skip_first,
        last_lines: options.skip_last,
        ..Dropped::default()
    };
    Sample {
        bytes: [written.mark(), &written.bytes(&text)].concat(),
        options,
        columns,
        expected,
        dropped,
    }
}

fn columns(count: usize) -> Vec<SourceColumn> {
    (0..count)
        .map(|id| {
            let column_type = if id == 0 {
                ColumnType::Int
            } else {
                ColumnType::Varchar
            };
            SourceColumn::plain(id, &format!("c{id}"), column_type)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_was_written_is_read_back_with_its_places(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        chunk in prop_oneof![1_usize..20, 20_usize..400],
        packed in any::<bool>(),
    ) {
        let sample = sample(&mut Choices(bytes.iter()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sales");
        let mut in_file = sample.bytes.clone();
        if packed {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(&in_file).unwrap();
            in_file = to.finish().unwrap();
        }
        std::fs::write(&path, in_file).unwrap();
        let columns = columns(sample.columns);
        let format = Format::Csv(sample.options.clone());
        let mut file = TextFile::open("sources.s", 0, &path, &format, &columns, false).unwrap();
        let mut decoder = Decoder::new(&columns, &format, columns.len());
        let mut expected = sample.expected.iter();
        let mut dropped = Dropped::default();
        while let Some(chunk) = file.next(chunk, &mut None).unwrap() {
            let draft = decoder.decode(Arc::new(chunk));
            dropped.first_lines += draft.dropped.first_lines;
            dropped.last_lines += draft.dropped.last_lines;
            let texts: Vec<StringArray> = draft
                .columns
                .iter()
                .map(|column| {
                    let text = arrow_cast::cast(column.as_ref().unwrap(), &DataType::Utf8).unwrap();
                    text.as_any().downcast_ref::<StringArray>().unwrap().clone()
                })
                .collect();
            let rows: Vec<usize> = (0..draft.rows).collect();
            for (row, (raw, place)) in raws_and_places(&draft, &rows, &format).into_iter().enumerate() {
                let wanted = expected.next().expect("no row is invented");
                let reason = draft.faults.iter().find(|fault| fault.row == row);
                prop_assert_eq!(reason.map(|fault| &*fault.reason), wanted.reason, "{:?}", &sample);
                prop_assert_eq!((place.byte, place.line), (wanted.byte, wanted.line), "{:?}", &sample);
                let raw = bytes_of_raw(&raw);
                prop_assert_eq!(&raw, &wanted.raw);
                let at = usize::try_from(place.byte).unwrap();
                prop_assert_eq!(&sample.bytes[at..at + raw.len()], raw.as_slice());
                for (column, text) in texts.iter().enumerate() {
                    let value = text.is_valid(row).then(|| text.value(row));
                    let bad = column == 0 && wanted.reason.is_some();
                    let wanted = wanted.values.as_ref().filter(|_| !bad).map(|values| values[column].as_str());
                    prop_assert_eq!(value, wanted, "row {} column {} of {:?}", row, column, &sample);
                }
            }
        }
        prop_assert!(expected.next().is_none(), "every record became a row: {:?}", &sample);
        prop_assert_eq!(dropped, sample.dropped);
    }
}
