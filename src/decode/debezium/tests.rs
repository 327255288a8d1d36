//! Laws of envelopes: what each kind does, in JSON with and without schema and in Avro.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::json::{Envelope, Envelopes};
use super::*;
use crate::decode::avro::AvroSchema;
use crate::job::plan::{ColumnType, SourceColumn};

fn columns() -> Vec<SourceColumn> {
    vec![
        SourceColumn::plain(0, "id", ColumnType::Int),
        SourceColumn::plain(1, "name", ColumnType::Varchar),
        SourceColumn::plain(2, "since", ColumnType::Date),
        SourceColumn::plain(3, "at", ColumnType::Timestamp),
        SourceColumn::plain(4, "price", ColumnType::Decimal(9, 2)),
    ]
}

/// What an envelope becomes, as text: `effect lsn/ts values`.
fn read(line: &str) -> String {
    match Envelopes::new().read(line.as_bytes(), &columns()) {
        Ok(Envelope::Change(change, values)) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| {
                    let text = value
                        .as_ref()
                        .map(|value| String::from_utf8_lossy(value.text()).into_owned());
                    text.unwrap_or_else(|| "-".to_owned())
                })
                .collect();
            let number =
                |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
            format!(
                "{:?} {}/{} {}",
                change.effect,
                number(change.order.lsn),
                number(change.order.ts_ms),
                values.join("|")
            )
        }
        Ok(Envelope::Nothing(nothing)) => format!("{nothing:?}"),
        Err(why) => why.to_owned(),
    }
}

#[test]
fn each_kind_of_envelope_has_its_outcome() {
    for (line, expected) in [
        (
            r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"lsn":7,"ts_ms":5},"op":"c"}"#,
            "Upsert 7/5 1|a|-|-|-",
        ),
        (
            r#"{"op":"r","after":{"id":1},"source":{"ts_ms":5}}"#,
            "Upsert -/5 1|-|-|-|-",
        ),
        (
            r#"{"op":"u","before":{"id":1,"name":"a"},"after":{"name":"b","id":1}}"#,
            "Upsert -/- 1|b|-|-|-",
        ),
        (
            r#"{"op":"d","before":{"id":1,"name":null},"after":null}"#,
            "Delete -/- 1||-|-|-",
        ),
        (r#"{"op":"t","source":{"lsn":9}}"#, "Truncate 9/- -|-|-|-|-"),
        (r#"{"op":"m","message":{"prefix":"x"}}"#, "LogMessage"),
        ("null", "Tombstone"),
        (r#"{"schema":null,"payload":null}"#, "Tombstone"),
        (
            r#"{"status":"BEGIN","id":"571","event_count":null,"ts_ms":1}"#,
            "Transaction",
        ),
        (
            r#"{"schema":{},"payload":{"status":"END","id":"571","event_count":2}}"#,
            "Transaction",
        ),
        (
            r#"{"source":{},"ddl":"alter table x","tableChanges":[]}"#,
            "Schema",
        ),
        (r#"{"ts_ms":1}"#, "Heartbeat"),
        (
            r#"{"op":"d","before":null}"#,
            "a deletion has no row in before: the key is not known",
        ),
        (
            r#"{"op":"u","after":null}"#,
            "an insert, update or snapshot has no row in after",
        ),
        (r#"{"op":"c","after":[1]}"#, "its row is no JSON object"),
        (
            r#"{"op":"x","after":{}}"#,
            "its op is none of c, r, u, d, t, m",
        ),
        (r#"{"op":7}"#, "its op is no text"),
        (r#"{"payload":7}"#, "its payload is no JSON object"),
        (r#"{"after":{"id":1}}"#, "it has no op"),
        (r#"{"op":"c""#, "it is no JSON object"),
        ("[]", "it is no JSON object"),
    ] {
        assert_eq!(read(line), expected, "{line}");
    }
}

#[test]
fn a_schema_says_how_values_are_written() {
    let fields = r#"[{"type":"int32","optional":false,"field":"id"},
        {"type":"string","optional":true,"field":"name"},
        {"type":"int32","name":"io.debezium.time.Date","version":1,"field":"since"},
        {"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"at"},
        {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"9"},"field":"price"}]"#;
    let whole = |row: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":{fields},"field":"before"}},
               {{"type":"struct","fields":{fields},"field":"after"}},{{"type":"string","field":"op"}}]}},
               "payload":{{"op":"c","after":{row}}}}}"#
        )
    };
    for (row, expected) in [
        (
            r#"{"id":1,"name":"x","since":20526,"at":1773482400250001,"price":"BNI="}"#,
            "1|x|2026-03-14|2026-03-14T10:00:00.250001|12.34",
        ),
        (
            r#"{"id":1,"since":-1,"at":-1,"price":"/w=="}"#,
            "1|-|1969-12-31|1969-12-31T23:59:59.999999|-0.01",
        ),
        (r#"{"id":1,"since":null,"at":null,"price":null}"#, "1|-|||"),
        // What can't be read so is left for the column to refuse.
        (r#"{"id":1,"since":"x","at":"y","price":"?"}"#, "1|-|x|y|?"),
        (
            r#"{"id":1,"since":9223372036854775807}"#,
            "1|-|9223372036854775807|-|-",
        ),
    ] {
        assert_eq!(read(&whole(row)), format!("Upsert -/- {expected}"), "{row}");
    }
    // Without a schema, days are days.
    assert_eq!(
        read(r#"{"op":"c","after":{"since":0,"price":"1.50","at":"2026-01-01T00:00:00Z"}}"#),
        "Upsert -/- -|-|1970-01-01|2026-01-01T00:00:00Z|1.50"
    );
}

#[test]
fn places_in_other_logs_are_read() {
    let order = |source: &str| {
        let line = format!(r#"{{"op":"t","source":{source}}}"#);
        match Envelopes::new().read(line.as_bytes(), &columns()) {
            Ok(Envelope::Change(change, _)) => change.order,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        order(r#"{"file":"mysql-bin.000003","pos":154,"row":2}"#).binlog,
        Some((3, 154, 2))
    );
    assert_eq!(
        order(r#"{"scn":"12345678901234567890"}"#).scn,
        Some(12_345_678_901_234_567_890)
    );
    assert_eq!(order(r#"{"lsn":null,"ts_ms":"x"}"#), Order::default());
    assert_eq!(order("7"), Order::default());
}

#[test]
fn envelopes_in_avro_are_read_as_those_in_json() {
    let schema = br#"{"type":"record","name":"Envelope","namespace":"db.shop","fields":[
        {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
            {"name":"id","type":"int"},{"name":"name","type":["null","string"]}]}]},
        {"name":"after","type":["null","Value"]},
        {"name":"source","type":{"type":"record","name":"Source","fields":[
            {"name":"ts_ms","type":"long"},{"name":"lsn","type":["null","long"]}]}},
        {"name":"op","type":"string"}]}"#;
    let schema = AvroSchema::parse(schema).unwrap();
    let mut reader = AvroChanges::new(&schema, &["id", "name", "gone"]).unwrap();
    let row = |id: u8, name: &[u8]| {
        let length = u8::try_from(name.len() * 2).unwrap();
        [&[2, id * 2, 2, length][..], name].concat()
    };
    let source = [10, 2, 14];
    let messages: [Vec<u8>; 5] = [
        [&[0][..], &row(1, b"a"), &source, &[2, b'c']].concat(),
        [&row(1, b"a")[..], &row(1, b"b"), &source, &[2, b'u']].concat(),
        [&row(2, b"z")[..], &[0], &[10, 0], &[2, b'd']].concat(),
        [&[0, 0][..], &source, &[2, b'm']].concat(),
        [&[0, 0][..], &source, &[2, b'x']].concat(),
    ];
    for message in &messages {
        reader.read_one(message).unwrap();
    }
    reader.read_one(&[9]).unwrap_err();
    let changes = reader.finish().unwrap();
    let order = |lsn| Order {
        lsn,
        ts_ms: Some(5),
        ..Order::default()
    };
    let change = |effect, lsn| {
        Some(Ok(Change {
            effect,
            order: order(lsn),
        }))
    };
    assert_eq!(
        changes.changes,
        [
            change(Effect::Upsert, Some(7)),
            change(Effect::Upsert, Some(7)),
            change(Effect::Delete, None),
            Some(Err(Nothing::LogMessage)),
            None,
        ]
    );
    let id = changes
        .rows
        .column_by_name("id")
        .unwrap()
        .as_primitive::<Int32Type>();
    assert_eq!(
        (id.value(0), id.value(1), id.value(2), id.is_null(3)),
        (1, 1, 2, true)
    );
    let name = changes
        .rows
        .column_by_name("name")
        .unwrap()
        .as_string::<i32>();
    assert_eq!(
        (name.value(0), name.value(1), name.value(2)),
        ("a", "b", "z")
    );
    assert!(changes.rows.column_by_name("gone").is_none());
}
