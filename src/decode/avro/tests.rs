//! Laws of Avro data: what `arrow-avro` writes is read back, and no bytes do anything but give a row or an error.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use proptest::prelude::*;

use super::*;

/// A whole number as Avro has it.
fn long(value: i64) -> Vec<u8> {
    let mut rest = u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes());
    let mut bytes = Vec::new();
    while rest > 0x7F {
        bytes.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [long(i64::try_from(text.len()).unwrap()), text.to_vec()].concat()
}

fn record(fields: &str) -> AvroSchema {
    let text = format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
    AvroSchema::parse(text.as_bytes()).unwrap()
}

/// A field of one type.
fn of(of_type: &str) -> AvroSchema {
    record(&format!(r#"{{"name":"a","type":{of_type}}}"#))
}

fn shown(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let values = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    let values = values.as_string::<i32>();
    values
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

/// What one datum of a field `a` becomes.
fn read(schema: &AvroSchema, bytes: &[u8]) -> Result<Option<String>, BadDatum> {
    let mut reader = AvroReader::new(schema, &["a"]).unwrap();
    reader.read_one(bytes)?;
    Ok(shown(&reader.finish(), "a").remove(0))
}

#[test]
fn every_type_is_read() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    for (of_type, bytes, expected) in [
        (r#""boolean""#, vec![1], "true"),
        (r#""int""#, long(-1), "-1"),
        (r#""long""#, long(i64::MIN), "-9223372036854775808"),
        (r#""float""#, 0.5_f32.to_le_bytes().to_vec(), "0.5"),
        (r#""double""#, (-0.25_f64).to_le_bytes().to_vec(), "-0.25"),
        (r#""string""#, text("ñ".as_bytes()), "ñ"),
        (r#""bytes""#, text(b"abc"), "abc"),
        (
            r#"{"type":"fixed","name":"f","size":2}"#,
            b"xy".to_vec(),
            "xy",
        ),
        (
            r#"{"type":"enum","name":"e","symbols":["a","b"]}"#,
            long(1),
            "b",
        ),
        (r#"["null","int"]"#, [long(1), long(7)].concat(), "7"),
        (r#"["int","null"]"#, [long(0), long(7)].concat(), "7"),
        (
            r#"["string","int","null"]"#,
            [long(1), long(7)].concat(),
            "7",
        ),
        (
            r#"["string","int"]"#,
            [long(0), text(b"7.50")].concat(),
            "7.50",
        ),
        (
            r#"{"type":"int","logicalType":"date"}"#,
            long(20_526),
            "2026-03-14",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            long(-1),
            "1969-12-31T23:59:59.999Z",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            long(1),
            "1970-01-01T00:00:00.000001Z",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
            long(1),
            "1970-01-01T00:00:00.000000001Z",
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
            long(0),
            "1970-01-01T00:00:00",
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            long(0),
            "1970-01-01T00:00:00",
        ),
        (r#"{"type":"string","logicalType":"uuid"}"#, text(b"u"), "u"),
        (
            r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#,
            (0..16).collect(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            text(&[0x04, 0xD2]),
            "12.34",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            text(&[0xFF]),
            "-0.01",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            text(&[]),
            "0.00",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            text(&[[0xFF; 40].as_slice(), &[0x9C]].concat()),
            "-1.00",
        ),
        (
            r#"{"type":"fixed","name":"d","size":17,"logicalType":"decimal","precision":38,"scale":0}"#,
            [[0xFF; 16].as_slice(), &[0xFE]].concat(),
            "-2",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":60,"scale":1}"#,
            text(&[&[1], [0; 16].as_slice()].concat()),
            "34028236692093846346337460743176821145.6",
        ),
        // A logical type that is unknown, or wrong for its type, counts for nothing.
        (
            r#"{"type":"long","logicalType":"moon-phase"}"#,
            long(5),
            "5",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":0}"#,
            text(b"x"),
            "x",
        ),
    ] {
        assert_eq!(read(&of(of_type), &bytes), some(expected), "{of_type}");
    }
    assert_eq!(read(&of(r#"["null","int"]"#), &long(0)), Ok(None));
    assert_eq!(read(&of(r#"["string","null","int"]"#), &long(1)), Ok(None));
}

#[test]
fn bad_data_is_told_and_leaves_no_row() {
    for (of_type, bytes, expected) in [
        (r#""boolean""#, vec![2], BadDatum::Boolean),
        (r#""boolean""#, vec![], BadDatum::Short),
        (r#""int""#, long(1 << 31), BadDatum::Number),
        (r#""long""#, vec![0xFF; 11], BadDatum::Number),
        (r#""long""#, vec![0xFF; 3], BadDatum::Short),
        (r#""string""#, long(i64::MAX), BadDatum::Short),
        (r#""bytes""#, long(-1), BadDatum::Length),
        (
            r#"{"type":"fixed","name":"f","size":4000000000}"#,
            vec![1],
            BadDatum::Short,
        ),
        (
            r#"{"type":"enum","name":"e","symbols":["a"]}"#,
            long(1),
            BadDatum::Symbol,
        ),
        (
            r#"{"type":"enum","name":"e","symbols":["a"]}"#,
            long(-1),
            BadDatum::Symbol,
        ),
        (r#"["null","int"]"#, long(2), BadDatum::Branch),
        (r#"["null","int"]"#, long(-1), BadDatum::Branch),
        (r#""int""#, [long(1), vec![0]].concat(), BadDatum::Long),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            text(&[1; 40]),
            BadDatum::Decimal,
        ),
    ] {
        assert_eq!(read(&of(of_type), &bytes), Err(expected), "{of_type}");
    }
    let schema = of(r#""int""#);
    let mut reader = AvroReader::new(&schema, &["a"]).unwrap();
    reader.read_one(&long(1)).unwrap();
    reader.read_one(&[0xFF]).unwrap_err();
    reader.read_one(&long(2)).unwrap();
    assert_eq!(reader.rows(), 2);
    assert_eq!(
        shown(&reader.finish(), "a"),
        [Some("1".to_owned()), Some("2".to_owned())]
    );
    assert_eq!(reader.finish().num_rows(), 0);
}

#[test]
fn what_nobody_wants_is_passed_over() {
    let schema = record(
        r#"{"name":"list","type":{"type":"array","items":"string"}},
           {"name":"map","type":{"type":"map","values":["null",{"type":"record","name":"in","fields":[
                {"name":"x","type":"double"},{"name":"next","type":["null","in"]}]}]}},
           {"name":"a","type":"int"}"#,
    );
    let node = [long(1), 0.5_f64.to_le_bytes().to_vec(), long(0)].concat();
    let bytes = [
        // Three strings in two blocks, the second one with its length.
        long(2),
        text(b"x"),
        text(b""),
        long(-1),
        long(2),
        text(b"y"),
        long(0),
        long(1),
        text(b"key"),
        node,
        long(0),
        long(42),
    ]
    .concat();
    assert_eq!(read(&schema, &bytes), Ok(Some("42".to_owned())));
}

#[test]
fn lists_of_nothing_and_types_within_themselves_end() {
    let nulls =
        record(r#"{"name":"n","type":{"type":"array","items":"null"}},{"name":"a","type":"int"}"#);
    let bytes = [long(i64::MAX), long(0), long(1)].concat();
    assert_eq!(read(&nulls, &bytes), Ok(Some("1".to_owned())));
    let lists = record(
        r#"{"name":"l","type":{"type":"record","name":"node","fields":[{"name":"in","type":{"type":"array","items":"node"}}]}},
           {"name":"a","type":"int"}"#,
    );
    assert_eq!(read(&lists, &vec![2; 1_000_000]), Err(BadDatum::Depth));
    let endless = record(
        r#"{"name":"e","type":{"type":"record","name":"node","fields":[{"name":"in","type":"node"}]}},{"name":"a","type":"int"}"#,
    );
    assert_eq!(read(&endless, &[]), Err(BadDatum::Depth));
}

#[test]
fn paths_lead_into_records_and_types_that_hold_themselves_end() {
    let schema = record(
        r#"{"name":"of","type":["null",{"type":"record","name":"customer","fields":[
            {"name":"name","type":"string"},
            {"name":"deep","type":{"type":"record","name":"deep","fields":[{"name":"id","type":["null","long"]}]}},
            {"name":"by","type":["null","customer"]}]}]},
           {"name":"a","type":"int"}"#,
    );
    let arrow = AvroReader::arrow_schema(&schema).unwrap();
    assert!(arrow.field(0).data_type().is_nested());
    let headers = ["a", "of.deep.id", "of.name", "of.by.name", "of.gone"];
    let mut reader = AvroReader::new(&schema, &headers).unwrap();
    let customer = |name: &[u8], id: i64| [text(name), long(1), long(id)].concat();
    let by = [long(1), customer(b"parent", 1), long(0)].concat();
    reader
        .read_one(&[long(1), customer(b"child", 2), by, long(7)].concat())
        .unwrap();
    reader.read_one(&[long(0), long(8)].concat()).unwrap();
    let batch = reader.finish();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(shown(&batch, "a"), [some("7"), some("8")]);
    assert_eq!(shown(&batch, "of.deep.id"), [some("2"), None]);
    assert_eq!(shown(&batch, "of.name"), [some("child"), None]);
    assert_eq!(shown(&batch, "of.by.name"), [some("parent"), None]);
    assert!(batch.column_by_name("of.gone").is_none());
    AvroReader::new(&schema, &["of"]).unwrap_err();
}

#[test]
fn text_that_is_none_is_kept_as_bytes() {
    let schema = of(r#""string""#);
    let mut reader = AvroReader::new(&schema, &["a"]).unwrap();
    reader.read_one(&text(b"good")).unwrap();
    reader.read_one(&text(b"\xFF")).unwrap();
    let batch = reader.finish();
    assert_eq!(batch.column(0).data_type(), &DataType::Binary);
    assert_eq!(batch.column(0).as_binary::<i32>().value(1), b"\xFF");
}

#[test]
fn headers_of_files_are_read_or_told() {
    let head = |entries: &[(&str, &str)]| {
        let count = long(i64::try_from(entries.len()).unwrap());
        let entries = entries
            .iter()
            .flat_map(|(name, value)| [text(name.as_bytes()), text(value.as_bytes())]);
        [
            b"Obj\x01".to_vec(),
            count,
            entries.collect::<Vec<_>>().concat(),
            long(0),
            vec![7; 16],
        ]
        .concat()
    };
    let schema = r#"{"type":"record","name":"r","fields":[]}"#;
    let whole = head(&[("avro.schema", schema), ("avro.codec", "snappy")]);
    let header = container_header(&whole).unwrap().unwrap();
    assert_eq!(
        (header.codec.as_str(), header.mark, header.length),
        ("snappy", [7; 16], whole.len())
    );
    for cut in 0..whole.len() {
        assert!(container_header(&whole[..cut]).unwrap().is_none(), "{cut}");
    }
    container_header(b"PAR1").unwrap_err();
    container_header(&head(&[("avro.codec", "null")])).unwrap_err();
    container_header(&head(&[("avro.schema", "{")])).unwrap_err();
    assert!(container_header(&[b"Obj\x01".to_vec(), long(i64::MIN), long(1)].concat()).is_ok());
}

proptest! {
    #[test]
    fn whole_numbers_come_back(value: i64) {
        let bytes = long(value);
        let mut cursor = cursor::Cursor { rest: &bytes };
        prop_assert_eq!(cursor.long(), Ok(value));
        prop_assert!(cursor.rest.is_empty());
    }

    #[test]
    fn any_bytes_give_a_row_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let schema = record(
            r#"{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","string","double"]}}},
               {"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}]},
               {"name":"e","type":{"type":"enum","name":"e","symbols":["a","b"]}},
               {"name":"n","type":["null","r"]},
               {"name":"a","type":["string","int","null"]}"#,
        );
        let mut reader = AvroReader::new(&schema, &["a", "d", "e", "n.a"]).unwrap();
        let read = reader.read_next(&bytes).is_ok();
        let batch = reader.finish();
        prop_assert_eq!(batch.num_rows(), usize::from(read));
        drop(AvroSchema::parse(&bytes));
        drop(container_header(&[b"Obj\x01".to_vec(), bytes].concat()));
    }
}
