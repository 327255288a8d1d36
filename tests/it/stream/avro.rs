//! Avro messages of a real Kafka, under the schemas of a registry: versions side by side, what is no such message, and a registry that
//! is not there, does not let us, or does not know.

use std::time::Duration;

use super::job::{Job, Running};
use super::{numbers, texts};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;
use crate::registry::Served;
use crate::tables::Cell;

const FIRST: &str = r#"{"type":"record","name":"Sale","namespace":"shop","fields":[
    {"name":"id","type":"int"},
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"region","type":"string"},
    {"name":"amount","type":"string"}]}"#;

/// Other order, a wider id, money as a decimal, and one member more.
const SECOND: &str = r#"{"type":"record","name":"Sale","namespace":"shop","fields":[
    {"name":"note","type":["null","string"],"default":null},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"region","type":"string"},
    {"name":"id","type":"long"},
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

/// 2026-03-14T12:00:00Z
const NOON: i64 = 1_773_489_600;

/// A number as Avro writes it.
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

fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [long(i64::try_from(value.len()).unwrap()), value.to_vec()].concat()
}

fn framed(schema: u32, datum: &[Vec<u8>]) -> Vec<u8> {
    [&[0][..], &schema.to_be_bytes(), &datum.concat()].concat()
}

/// A sale by the first version, under this id.
fn first(schema: u32, id: i64, amount: &str) -> Vec<u8> {
    framed(
        schema,
        &[
            long(id),
            long((NOON + id) * 1_000_000),
            text("ñ"),
            text(amount),
        ],
    )
}

/// One by the second.
fn second(schema: u32, id: i64, cents: i16, note: Option<&str>) -> Vec<u8> {
    let note = note.map_or(long(0), |note| [long(1), text(note)].concat());
    let amount = text(cents.to_be_bytes());
    framed(
        schema,
        &[note, amount, text("s"), long(id), long((NOON + id) * 1000)],
    )
}

fn job(broker: &Broker, topic: &str, server: &Served) -> Job {
    let format = format!("avro = {{ registry = \"{}/api\" }}", server.address);
    Job::with(broker, topic, |text| {
        text.replace("json = {}", &format).replace(
            "amount = \"decimal(12,2) not null\"",
            "amount = \"decimal(12,2) not null\"\nnote = \"varchar\"\nat = { type = \"bigint\", kafka = \"offset\" }",
        )
    })
}

#[test]
fn versions_of_a_schema_are_rows_of_one_kind_and_what_is_none_is_refused() {
    let (Some(broker), Some(server)) = (Broker::shared(), Served::start(0)) else {
        return;
    };
    server.put(11, FIRST);
    server.put(12, SECOND);
    let topic = broker.topic("avro", 1);
    let sent = |value: Vec<u8>| Sent::value(0, value);
    let messages = [
        sent(first(11, 1, "1.50")),
        sent(second(12, 2, -225, Some("back\nagain"))),
        sent(first(11, 3, "many")),
        sent(br#"{"id": 4}"#.to_vec()),
        sent(first(9, 5, "1.00")),
        Sent::default(),
        sent(Vec::new()),
        sent(first(11, 6, "1.00")[..12].to_vec()),
        sent(first(2, 7, "1.00")),
        sent(b"\n".to_vec()),
        sent(second(12, 8, 10, None)),
        sent(first(11, 9, "0.00")),
    ];
    broker.send(&topic, messages);
    let job = job(broker, &topic, &server);
    let running = Running::start(&job, 2);
    job.await_positions(&[12]);
    running.stop();
    let rows = job.rows("rows");
    assert_eq!(numbers(&rows, "id"), [1, 2, 8, 9]);
    assert_eq!(numbers(&rows, "at"), [0, 1, 10, 11]);
    assert_eq!(
        texts(&rows, "note"),
        ["back\nagain", "null", "null", "null"]
    );
    assert_eq!(texts(&rows, "region"), ["s", "s", "ñ", "ñ"]);
    let row = rows.iter().find(|row| row["id"] == Cell::Whole(2)).unwrap();
    assert_eq!(row["amount"], Cell::Decimal(-225, 2));
    assert_eq!(row["ts"], Cell::Whole(i128::from(NOON + 2) * 1_000_000));
    let refused = job.rows("refused");
    assert_eq!(
        texts(&refused, "reason"),
        [
            "bad_avro",
            "bad_decimal",
            "bad_frame",
            "bad_frame",
            "bad_schema",
            "empty_message",
            "no_value",
            "unknown_schema"
        ]
    );
    let of = |reason: &str| {
        let found = refused
            .iter()
            .find(|row| row["reason"] == Cell::text(reason));
        found.unwrap()
    };
    let bad = of("bad_decimal");
    assert_eq!(
        (&bad["region"], &bad["amount"]),
        (&Cell::text("ñ"), &Cell::text("many"))
    );
    assert_eq!(bad["offset"], Cell::Whole(2));
    let told = |reason: &str| match &of(reason)["reasons"] {
        Cell::Text(words) => words.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        told("unknown_schema").contains("that the writers of the topic use"),
        "{}",
        told("unknown_schema")
    );
    assert!(told("bad_schema").contains("PROTOBUF"));
    assert!(
        texts(&refused, "reasons")
            .iter()
            .any(|words| words.contains("`json` reads such messages"))
    );
}

#[test]
fn messages_wait_for_a_registry_and_are_read_once_whatever_dies() {
    let (Some(broker), Some(server)) = (Broker::shared(), Served::start(0)) else {
        return;
    };
    let (port, topic) = (server.port(), broker.topic("avro_waits", 3));
    let job = job(broker, &topic, &server);
    drop(server);
    let send = |ids: std::ops::Range<i64>| {
        broker.send(
            &topic,
            ids.map(|id| {
                let value = if id % 2 == 0 {
                    first(11, id, "1.00")
                } else {
                    second(12, id, 100, None)
                };
                Sent::value(i32::try_from(id % 3).unwrap(), value)
            }),
        );
    };
    send(0..300);
    let running = Running::start(&job, 1);
    // Epochs go on, and nothing is taken for read.
    job.await_epoch();
    job.await_epoch();
    assert!(job.rows("rows").is_empty());
    let server = Served::start(port).unwrap();
    server.put(11, FIRST);
    server.put(12, SECOND);
    job.await_rows(300);
    send(300..600);
    job.await_rows(301);
    drop(running);
    send(600..900);
    let running = Running::start(&job, 3);
    job.await_positions(&[300, 300, 300]);
    running.stop();
    assert_eq!(
        numbers(&job.rows("rows"), "id"),
        (0..900).collect::<Vec<i64>>()
    );
    assert!(job.rows("refused").is_empty());
}

#[test]
fn a_schema_that_is_told_later_is_asked_for_again_and_one_that_may_not_be_told_ends_the_job() {
    let (Some(broker), Some(server)) = (Broker::shared(), Served::start(0)) else {
        return;
    };
    let topic = broker.topic("avro_later", 1);
    let job = job(broker, &topic, &server);
    let mut running = Running::start(&job, 1);
    broker.send(&topic, [Sent::value(0, first(21, 1, "1.00"))]);
    job.await_that("it is not refused", Duration::from_mins(1), |job| {
        !job.rows("refused").is_empty()
    });
    server.put(21, FIRST);
    job.await_that("it is not asked for again", Duration::from_mins(1), |job| {
        broker.send(&topic, [Sent::value(0, first(21, 2, "1.00"))]);
        !job.rows("rows").is_empty()
    });
    // The double gives 5 to those only who say who they are.
    broker.send(&topic, [Sent::value(0, first(5, 0, "1.00"))]);
    running.ends_with(
        3,
        &[
            "messages can't be read without their schema",
            "refuses to tell schema 5",
            "CAUDAL_REGISTRY_USER_INFO",
        ],
    );
}
