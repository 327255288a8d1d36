//! What rows are as messages, held against values that are worked out here, and read back by other parsers.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::job::plan::Plan;
use crate::job::resolve::plan_of;
use crate::sinks::kafka::gauge::Gauge;

/// A job whose sinks write topics; `kafka` stands in the table of the sink of clean rows, `json` is its format.
fn job(kafka: &str, json: &str) -> Plan {
    job_in(kafka, &format!("json = {{ {json} }}"))
}

/// The same with any format.
fn job_in(kafka: &str, format: &str) -> Plan {
    let text = format!(
        r#"
format = 1
[job]
name = "t"
output = "/out"
[sources.s]
event_time = "ts"
files = {{ paths = ["in/*"], follow = true }}
json = {{}}
[sources.s.columns]
id = "bigint not null"
ts = "timestamp"
note = "varchar"
zone = "varchar"
amount = "decimal(12,2)"
n = "int"
small = "smallint"
ok = "boolean"
x = "double"
day = "date"
[windows.minute]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
[sinks.clean]
kafka = {{ brokers = "k", topic = "t", {kafka} }}
{format}
[sinks.refused]
from = "refused"
kafka = {{ brokers = "k", topic = "r", key = "raw", max_message = "256 KiB" }}
json = {{}}
[sinks.minutes]
from = "windows.minute"
kafka = {{ brokers = "k", topic = "m", key = "window_start", partition = "cast(rows as int)" }}
json = {{}}
"#
    );
    plan_of(&text)
}

fn encoder(plan: &Plan, sink: usize) -> Encoder {
    Encoder::new(&plan.sinks[sink], plan.sinks[sink].message().unwrap())
}

/// A batch whose columns are named by their numbers.
fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(id, array)| Field::new(id.to_string(), array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// One row of the job's source.
#[derive(Debug, Clone)]
struct Row {
    id: i64,
    ts: Option<i64>,
    note: Option<String>,
    zone: Option<String>,
    amount: Option<i64>,
    n: Option<i32>,
    small: Option<i16>,
    ok: Option<bool>,
    x: Option<f64>,
    day: Option<i32>,
}

fn rows_of(rows: &[Row], coded: bool) -> Vec<ArrayRef> {
    let amounts = rows.iter().map(|row| row.amount.map(i128::from));
    let amounts: Decimal128Array = amounts.collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.ts).collect();
    let zones = rows.iter().map(|row| row.zone.as_deref());
    let zones: ArrayRef = if coded {
        Arc::new(zones.collect::<DictionaryArray<Int32Type>>())
    } else {
        Arc::new(zones.collect::<StringArray>())
    };
    vec![
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(times.with_data_type(timestamp_type())),
        Arc::new(
            rows.iter()
                .map(|row| row.note.as_deref())
                .collect::<StringArray>(),
        ),
        zones,
        Arc::new(amounts.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(rows.iter().map(|row| row.n).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.small).collect::<Int16Array>()),
        Arc::new(rows.iter().map(|row| row.ok).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.day).collect::<Date32Array>()),
    ]
}

/// A row as JSON, by the libraries that do such things: times and dates by chrono, decimals by hand.
fn as_json(row: &Row, decimals_are_texts: bool) -> Map<String, Value> {
    let time = row.ts.map(|micros| {
        let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
        let digits = if micros % 1000 == 0 { "%.3f" } else { "%.6f" };
        time.format(&format!("%Y-%m-%dT%H:%M:%S{digits}Z"))
            .to_string()
    });
    let day = row.day.map(|days| {
        let first = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        (first + chrono::Duration::days(days.into())).to_string()
    });
    let amount = row.amount.map(|cents| {
        let sign = if cents < 0 { "-" } else { "" };
        let cents = cents.unsigned_abs();
        format!("{sign}{}.{:02}", cents / 100, cents % 100)
    });
    let amount = amount.map(|text| {
        if decimals_are_texts {
            Value::from(text)
        } else {
            serde_json::from_str(&text).unwrap()
        }
    });
    let value = json!({
        "id": row.id, "ts": time, "note": row.note, "zone": row.zone, "amount": amount, "n": row.n, "small": row.small,
        "ok": row.ok, "x": row.x.filter(|x| x.is_finite()), "day": day,
    });
    value.as_object().unwrap().clone()
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![
        "[ -~]{0,20}",
        "[\\x00-\\x{ff}\"\\\\\u{2028}💶]{0,20}",
        Just(String::new()),
    ];
    let zone = prop::sample::select(vec!["Norte", "S\"ur", "", "Este\n"]);
    let some = |option: bool| option;
    (
        any::<i64>(),
        prop::option::of(0..4_102_444_800_000_000_i64),
        prop::option::of(text),
        prop::option::of(zone.prop_map(str::to_owned)),
        prop::option::of(-999_999_999_999_i64..=999_999_999_999),
        prop::option::of(any::<i32>()),
        prop::option::of(any::<i16>()),
        prop::option::of(any::<bool>().prop_map(some)),
        prop::option::of(any::<f64>()),
        prop::option::of(-100_000..100_000_i32),
    )
        .prop_map(|(id, ts, note, zone, amount, n, small, ok, x, day)| Row {
            id,
            ts,
            note,
            zone,
            amount,
            n,
            small,
            ok,
            x,
            day,
        })
}

const NAMES: [&str; 3] = ["zone", "amount", "when"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_read_back_as_their_rows(
        rows in prop::collection::vec(row(), 0..20),
        coded: bool,
        texts: bool,
    ) {
        let plan = job(
            "key = \"note\", headers = { zone = \"zone\", amount = \"amount\", when = \"ts\" }, timestamp = \"ts\", \
             partition = \"n\", tombstone = \"ok\"",
            if texts { "decimals = \"text\"" } else { "" },
        );
        // What may be below zero, and tombstones without a key, are looked at elsewhere.
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| Row {
                n: row.n.map(|n| n & i32::MAX),
                ok: row.ok.filter(|_| row.note.is_some()),
                ..row
            })
            .collect();
        let encoded = encoder(&plan, 0)
            .encode(&batch(rows_of(&rows, coded)), 0)
            .unwrap();
        prop_assert_eq!(encoded.len(), rows.len());
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(encoded.key(number), row.note.as_deref().map(str::as_bytes));
            prop_assert_eq!(encoded.partition(number), row.n);
            prop_assert_eq!(
                encoded.timestamp(number),
                row.ts.map(|micros| micros.div_euclid(1000))
            );
            let wanted = as_json(row, texts);
            let mut headers = Map::new();
            for (name, value) in super::headers(encoded.headers(number), &NAMES) {
                headers.insert(name.to_owned(), String::from_utf8(value.to_vec()).unwrap().into());
            }
            prop_assert_eq!(headers.get("zone").and_then(Value::as_str), row.zone.as_deref());
            prop_assert_eq!(headers.get("when"), wanted.get("ts").filter(|ts| !ts.is_null()));
            prop_assert_eq!(headers.contains_key("amount"), row.amount.is_some());
            match encoded.value(number) {
                None => prop_assert_eq!(row.ok, Some(true)),
                Some(value) => {
                    prop_assert_ne!(row.ok, Some(true));
                    // serde_json reads the last digit of a double in its own way, so the library reads it.
                    let text = std::str::from_utf8(value).unwrap();
                    let (_, behind) = text.rsplit_once("\"x\":").unwrap();
                    let (x, _) = behind.split_once(',').unwrap();
                    prop_assert_eq!(x.parse().ok(), row.x.filter(|x| x.is_finite()));
                    let mut read: Map<String, Value> = serde_json::from_str(text).unwrap();
                    let mut wanted = wanted;
                    prop_assert_eq!(read.remove("x").is_some(), wanted.remove("x").is_some());
                    prop_assert_eq!(read, wanted);
                    prop_assert!(!value.contains(&b'\n'));
                }
            }
        }
    }

    /// The gauge finds the rows whose message is larger than allowed, whichever of its ways it takes, and no others.
    #[test]
    fn rows_are_too_large_exactly_where_their_messages_are(
        lengths in prop::collection::vec((0..3000_usize, 0..3000_usize, any::<bool>()), 1..12),
        coded: bool,
    ) {
        let plan = job("key = \"zone\", headers = { h = \"note\" }, max_message = \"4 KiB\"", "");
        let gauge = &Gauge::all(&plan)[0];
        let rows: Vec<Row> = lengths
            .iter()
            .enumerate()
            .map(|(id, (note, zone, special))| Row {
                id: i64::try_from(id).unwrap(),
                note: Some(if *special { "\u{1}" } else { "ñ" }.repeat(*note / 2)),
                zone: Some("z".repeat(*zone)),
                ts: None,
                amount: Some(-5),
                n: None,
                small: None,
                ok: Some(true),
                x: Some(0.5),
                day: None,
            })
            .collect();
        let columns: Vec<Option<ArrayRef>> = rows_of(&rows, coded).into_iter().map(Some).collect();
        let found = gauge.unfit(&columns, rows.len(), 0);
        let mut wanted = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let value = serde_json::to_string(&as_json(row, false)).unwrap().len();
            let size = value + row.zone.as_ref().unwrap().len() + 1 + row.note.as_ref().unwrap().len();
            if size > 4096 {
                wanted.push((number, Unfit::TooLarge(size)));
            }
        }
        prop_assert_eq!(&found, &wanted);
        // What is let through is encoded.
        let fit: Vec<Row> = rows
            .iter()
            .enumerate()
            .filter(|(number, _)| !wanted.iter().any(|(row, _)| row == number))
            .map(|(_, row)| row.clone())
            .collect();
        let encoded = encoder(&plan, 0).encode(&batch(rows_of(&fit, coded)), 0).unwrap();
        prop_assert_eq!(encoded.len(), fit.len());
    }
}

/// Some rows that are plain but for what a test changes.
fn plain(count: usize) -> Vec<Row> {
    let row = Row {
        id: 7,
        ts: Some(1_773_446_400_123_456),
        note: Some("nota".to_owned()),
        zone: Some("Norte".to_owned()),
        amount: Some(1230),
        n: Some(3),
        small: Some(-1),
        ok: Some(false),
        x: Some(0.5),
        day: Some(20_000),
    };
    vec![row; count]
}

/// The plan with the id of a schema, and the schema.
fn avro_job() -> (Plan, String) {
    let mut plan = job_in(
        "key = \"id\", max_message = \"64 KiB\"",
        "avro = { registry = \"http://r\", name = \"Venta\", namespace = \"com.example\" }",
    );
    let SinkFormat::Avro(options) = &mut plan.sinks[0].format else {
        panic!("{:?}", plan.sinks[0].format);
    };
    assert_eq!(options.subject, "t-value");
    options.schema = Some(258);
    let SinkFormat::Avro(options) = &plan.sinks[0].format else {
        unreachable!("it was just there");
    };
    let schema = crate::sinks::avro::schema(&plan.sinks[0], options);
    (plan, schema)
}

#[test]
fn the_schema_of_avro_follows_from_the_columns() {
    let (_, schema) = avro_job();
    let field =
        |name: &str, of: Value| json!({ "name": name, "type": ["null", of], "default": null });
    assert_eq!(
        serde_json::from_str::<Value>(&schema).unwrap(),
        json!({ "type": "record", "name": "Venta", "namespace": "com.example", "fields": [
            { "name": "id", "type": "long" },
            field("ts", json!({ "type": "long", "logicalType": "timestamp-micros" })),
            field("note", json!("string")),
            field("zone", json!("string")),
            field("amount", json!({ "type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2 })),
            field("n", json!("int")),
            field("small", json!("int")),
            field("ok", json!("boolean")),
            field("x", json!("double")),
            field("day", json!({ "type": "int", "logicalType": "date" })),
        ] })
    );
}

/// The values of framed messages, as Arrow's own reader of Avro gives them; its types, but for what it reads as others than ours.
fn read_by_arrow(schema: &str, messages: &[Vec<u8>]) -> RecordBatch {
    use arrow_avro::reader::ReaderBuilder;
    use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let schema = AvroSchema::new(schema.to_owned());
    store.set(Fingerprint::Id(258), schema.clone()).unwrap();
    let mut decoder = ReaderBuilder::new()
        .with_writer_schema_store(store)
        .with_active_fingerprint(Fingerprint::Id(258))
        .with_batch_size(1024)
        .build_decoder()
        .unwrap();
    for message in messages {
        assert_eq!(decoder.decode(message).unwrap(), message.len());
    }
    decoder.flush().unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_of_avro_read_back_as_their_rows(
        rows in prop::collection::vec(row(), 1..20),
        coded: bool,
    ) {
        let (plan, schema) = avro_job();
        let columns = rows_of(&rows, coded);
        let encoded = encoder(&plan, 0).encode(&batch(columns.clone()), 0).unwrap();
        let messages: Vec<Vec<u8>> = (0..rows.len())
            .map(|row| encoded.value(row).unwrap().to_vec())
            .collect();
        // By Arrow's reader.
        let read = read_by_arrow(&schema, &messages);
        for (number, (array, wanted)) in read.columns().iter().zip(&columns).enumerate() {
            let array = arrow_cast::cast(array, &written_type(wanted.data_type())).unwrap();
            let wanted = arrow_cast::cast(wanted, array.data_type()).unwrap();
            prop_assert_eq!(&array, &wanted, "column {}", number);
        }
        // And by our own.
        let headers: Vec<&str> = plan.sinks[0].columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<Option<&[u8]>> = messages.iter().map(|message| Some(&message[..])).collect();
        let decoded = crate::decode::avro::framed::Framed::new(&headers)
            .decode(&values, |id| {
                assert_eq!(id, 258);
                Ok::<_, std::convert::Infallible>(crate::decode::avro::AvroSchema::parse(schema.as_bytes()).unwrap())
            })
            .unwrap();
        prop_assert!(decoded.faults.is_empty());
        for (number, wanted) in columns.iter().enumerate() {
            let array = decoded.pieces[0].batch.column_by_name(headers[number]).unwrap();
            let array = arrow_cast::cast(array, &written_type(wanted.data_type())).unwrap();
            let wanted = arrow_cast::cast(wanted, array.data_type()).unwrap();
            prop_assert_eq!(&array, &wanted, "column {}", number);
        }
    }
}

#[test]
fn a_row_that_is_too_large_in_avro_is_found_by_its_bytes_there() {
    let (plan, _) = avro_job();
    let gauge = Gauge::all(&plan).remove(0);
    let mut rows = plain(2);
    // As JSON each takes six bytes, as Avro one.
    rows[0].note = Some("\u{1}".repeat(60_000));
    rows[1].note = Some("a".repeat(66_000));
    let columns: Vec<Option<ArrayRef>> = rows_of(&rows, false).into_iter().map(Some).collect();
    let found = gauge.unfit(&columns, 2, 0);
    assert!(
        matches!(found[..], [(1, Unfit::TooLarge(66_030..66_080))]),
        "{found:?}"
    );
}

#[test]
fn a_message_is_this() {
    let plan = job(
        "key = \"id\", headers = { amount = \"amount\", note = \"note\" }, partition = \"n\", timestamp = \"ts\"",
        "",
    );
    let mut rows = plain(2);
    rows[1].note = None;
    rows[1].ts = None;
    rows[1].n = None;
    let encoded = encoder(&plan, 0)
        .encode(&batch(rows_of(&rows, true)), 0)
        .unwrap();
    assert_eq!(encoded.key(0), Some(&b"7"[..]));
    assert_eq!(
        std::str::from_utf8(encoded.value(0).unwrap()).unwrap(),
        r#"{"id":7,"ts":"2026-03-14T00:00:00.123456Z","note":"nota","zone":"Norte","amount":12.30,"n":3,"small":-1,"ok":false,"x":0.5,"day":"2024-10-04"}"#
    );
    let names = ["amount", "note"];
    let headers = |row| headers(encoded.headers(row), &names).collect::<Vec<_>>();
    assert_eq!(
        headers(0),
        [("amount", &b"12.30"[..]), ("note", &b"nota"[..])]
    );
    assert_eq!(headers(1), [("amount", &b"12.30"[..])]);
    assert_eq!(
        (encoded.partition(0), encoded.partition(1)),
        (Some(3), None)
    );
    assert_eq!(encoded.timestamp(0), Some(1_773_446_400_123));
    assert_eq!(encoded.timestamp(1), None);
}

#[test]
fn rows_that_are_no_messages_are_found() {
    let gauge = |kafka: &str| {
        let plan = job(kafka, "");
        Gauge::all(&plan).remove(0)
    };
    let mut rows = plain(4);
    rows[0].n = Some(-1);
    rows[1].ts = Some(-1);
    rows[2].note = None;
    rows[2].ok = Some(true);
    rows[3].note = None;
    let columns: Vec<Option<ArrayRef>> = rows_of(&rows, false).into_iter().map(Some).collect();
    let found = |kafka: &str| gauge(kafka).unfit(&columns, 4, 0);
    let all = "key = \"note\", timestamp = \"ts\", partition = \"n\", tombstone = \"ok\"";
    assert_eq!(
        found(all),
        [
            (0, Unfit::Partition(-1)),
            (1, Unfit::Before1970(1)),
            (2, Unfit::NoKey)
        ]
    );
    let compacted = "key = \"note\", create = { partitions = 1, config = { \"cleanup.policy\" = \"delete, compact\" } }";
    assert_eq!(found(compacted), [(2, Unfit::NoKey), (3, Unfit::NoKey)]);
    assert_eq!(found("key = \"note\""), []);
    let gauge = gauge(all);
    let told = found(all)
        .iter()
        .map(|(_, why)| format!("{}: {}", why.reason(), why.detail(gauge.kafka())))
        .collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            "bad_message: partition -1 of topic t",
            "bad_message: time 1 ms before 1970",
            "bad_message: no key, and topic t needs one here"
        ]
    );
    let large = Unfit::TooLarge(1_000_000);
    assert_eq!(large.reason(), "too_large");
    assert_eq!(
        large.detail(gauge.kafka()),
        "1000000 bytes, topic t takes 921600"
    );
}

#[test]
fn a_refused_rows_message_is_cut_until_it_fits_and_others_stay_whole() {
    let plan = job("", "");
    let mut of_refused = encoder(&plan, 1);
    let columns = crate::job::tables::refused_columns(&plan.columns, &plan.sources);
    let raws = [
        "a".repeat(1000),
        // Four bytes each, so that a cut falls between bytes of one.
        format!("x{}", "💶".repeat(100_000)),
        // Six bytes each as JSON: 64 KiB of them are too many in several columns.
        "\u{1}".repeat(300_000),
    ];
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|column| -> ArrayRef {
            match column.name.as_str() {
                "line" | "byte" | "offset" | "epoch" => Arc::new(Int64Array::from(vec![1; 3])),
                "partition" => Arc::new(Int32Array::from(vec![Some(1), None, None])),
                "raw" | "note" => Arc::new(StringArray::from_iter_values(&raws)),
                _ => Arc::new(StringArray::from(vec!["t"; 3])),
            }
        })
        .collect();
    let encoded = of_refused.encode(&batch(arrays), 0).unwrap();
    let mut lengths = Vec::new();
    for (row, raw) in raws.iter().enumerate() {
        let size = encoded.key(row).unwrap().len() + encoded.value(row).unwrap().len();
        assert!(size <= 256 << 10, "{size}");
        let value: Value = serde_json::from_slice(encoded.value(row).unwrap()).unwrap();
        let (kept, note) = (
            value["raw"].as_str().unwrap(),
            value["note"].as_str().unwrap(),
        );
        assert_eq!(kept, note);
        assert!(raw.starts_with(kept));
        assert_eq!(encoded.key(row).unwrap(), kept.as_bytes());
        lengths.push(kept.len());
    }
    assert_eq!(lengths, [1000, 65_533, 16 << 10]);
}

#[test]
fn a_window_that_is_no_message_ends_the_job_with_what_it_is() {
    let plan = job("", "");
    let window = |rows: i64| {
        let time: ArrayRef = Arc::new(
            TimestampMicrosecondArray::from(vec![60_000_000]).with_data_type(timestamp_type()),
        );
        batch(vec![
            Arc::clone(&time),
            time,
            Arc::new(Int64Array::from(vec![rows])),
        ])
    };
    let mut of_windows = encoder(&plan, 2);
    let encoded = of_windows.encode(&window(5), 0).unwrap();
    assert_eq!(encoded.key(0), Some(&b"1970-01-01T00:01:00.000Z"[..]));
    assert_eq!(encoded.partition(0), Some(5));
    let told = of_windows.encode(&window(-5), 0).unwrap_err().to_string();
    assert_eq!(
        told,
        "sinks.minutes: a row is no message: partition -5 of topic m\n  expected: rows that topic m takes\n  \
         now: the job ends; what was committed stays\n  hint: look at the sink's `kafka` table: `max_message`, `key`, `partition`, `timestamp`"
    );
}
