//! Continuous jobs on a real Kafka: what they read, refuse, commit and go on from, and what they say when the world fails.

mod alive;
mod arrival;
mod avro;
mod changed;
mod corrected;
mod delta;
mod disturbed;
pub(crate) mod folder;
mod idle;
pub(crate) mod job;
pub(crate) mod references;
mod refused;
mod renewed;
mod series;
mod standing;
pub(crate) mod topics;
mod unfinished;
mod updates;
mod wrong_state;

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;

use super::kafka::broker::Broker;
use super::kafka::messages::Sent;
use super::tables::{Cell, Row};
use job::{Job, Running};

/// A sale as a message.
pub(crate) fn sale(partition: i32, id: i64, ts: &str, amount: &str) -> Sent {
    let value = json!({ "id": id, "ts": ts, "region": "N", "amount": amount });
    Sent::value(partition, value.to_string())
}

/// A time of day on the day of the tests.
pub(crate) fn at(time: &str) -> String {
    format!("2026-03-14T{time}Z")
}

/// The texts of a column of all rows, sorted.
fn texts(rows: &[Row], column: &str) -> Vec<String> {
    let mut texts: Vec<String> = rows
        .iter()
        .map(|row| match &row[column] {
            Cell::Text(text) => text.clone(),
            Cell::Null => "null".to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    texts.sort();
    texts
}

/// Whole numbers of a column of all rows, sorted.
pub(crate) fn numbers(rows: &[Row], column: &str) -> Vec<i64> {
    let mut numbers: Vec<i64> = rows
        .iter()
        .map(|row| match &row[column] {
            Cell::Whole(number) => i64::try_from(*number).unwrap(),
            other => panic!("{column} is {other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn every_message_is_a_row_and_what_is_none_is_refused() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("values", 2);
    let mut messages: Vec<Sent> = (0..100)
        .map(|id| sale(i32::try_from(id % 2).unwrap(), id, &at("12:00:00"), "1.50"))
        .collect();
    let odd = |value: Option<&[u8]>| Sent {
        value: value.map(<[u8]>::to_vec),
        partition: 1,
        ..Sent::default()
    };
    // Offsets 50 to 56 of partition 1.
    messages.extend([
        odd(None),
        odd(Some(b"")),
        odd(Some(b" \n ")),
        odd(Some(b"{\"id\": 7")),
        odd(Some(b"\xff\xfe\0\x01")),
        odd(Some(b"{\n  \"id\": 1000,\n  \"ts\": \"2026-03-14T12:00:01Z\",\n  \"region\": \"N\",\n  \"amount\": \"2.25\"\n}")),
        odd(Some(b"{\"id\": 1001, \"ts\": \"2026-03-14T12:00:01Z\", \"region\": \"N\", \"amount\": 2.25}\n{\"id\": 1002}")),
    ]);
    broker.send(&topic, messages);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[50, 57]);
    let summary = running.stop();
    assert_eq!(summary["rows"]["in"], 107);
    let rows = job.rows("rows");
    assert_eq!(rows.len(), 101, "the message over several lines is one");
    let refused = job.rows("refused");
    assert_eq!(
        texts(&refused, "reason"),
        [
            "empty_message",
            "empty_message",
            "invalid_json",
            "invalid_json",
            "invalid_json",
            "no_value"
        ]
        .map(str::to_owned)
        .as_slice(),
    );
    assert_eq!(numbers(&refused, "offset"), [50, 51, 52, 53, 54, 56]);
    assert_eq!(numbers(&refused, "partition"), [1; 6]);
    assert_eq!(texts(&refused, "topic"), vec![topic.clone(); 6]);
    assert_eq!(texts(&refused, "file"), vec!["null".to_owned(); 6]);
}

#[test]
fn columns_say_where_a_message_came_from() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("metadata", 1);
    let mut full = sale(0, 1, &at("12:00:00"), "1.00");
    full.key = Some(b"north".to_vec());
    full.headers = vec![("trace".to_owned(), Some(b"abc".to_vec()))];
    full.timestamp = Some(1_773_489_600_000);
    broker.send(&topic, [full, sale(0, 2, &at("12:00:00"), "1.00")]);
    let job = Job::with(broker, &topic, |text| {
        text.replace(
            "amount = \"decimal(12,2) not null\"",
            "amount = \"decimal(12,2) not null\"\nthe_key = { type = \"varchar\", kafka = \"key\" }\nthe_headers = { type = \"varchar\", kafka = \"headers\" }\n\
             the_topic = { type = \"varchar\", kafka = \"topic\" }\nthe_partition = { type = \"int\", kafka = \"partition\" }\n\
             the_offset = { type = \"bigint\", kafka = \"offset\" }\nsent_at = { type = \"timestamp\", kafka = \"timestamp\" }",
        )
    });
    let running = Running::start(&job, 1);
    job.await_positions(&[2]);
    running.stop();
    let rows = job.rows("rows");
    let first = rows.iter().find(|row| row["id"] == Cell::Whole(1)).unwrap();
    assert_eq!(first["the_key"], Cell::text("north"));
    assert_eq!(first["the_headers"], Cell::text("{\"trace\":\"abc\"}"));
    assert_eq!(first["the_topic"], Cell::text(&topic));
    assert_eq!(first["the_offset"], Cell::Whole(0));
    assert_eq!(numbers(&rows, "the_partition"), [0, 0]);
    let second = rows.iter().find(|row| row["id"] == Cell::Whole(2)).unwrap();
    assert_eq!(second["the_key"], Cell::Null);
}

#[test]
fn transactions_that_were_not_committed_are_not_read() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("transactions", 1);
    let aborted = broker.transaction("test-aborted");
    aborted.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    aborted.abort().unwrap();
    let committed = broker.transaction("test-committed");
    committed.send(&topic, [sale(0, 2, &at("12:00:00"), "1.00")]);
    committed.commit().unwrap();
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_rows(1);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [2]);
}

/// Case O31.
#[test]
fn late_rows_and_those_from_the_future_are_refused_and_windows_close() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("late", 1);
    broker.send(
        &topic,
        [
            sale(0, 1, &at("12:00:10"), "1.00"),
            sale(0, 2, "2999-01-01T00:00:00Z", "1.00"),
            sale(0, 3, &at("12:05:00"), "1.00"),
        ],
    );
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[3]);
    // The watermark is 12:04:50: the window of 12:00 is closed, that of 12:04 is open.
    broker.send(
        &topic,
        [
            sale(0, 4, &at("12:00:20"), "1.00"),
            sale(0, 5, &at("12:04:05"), "1.00"),
        ],
    );
    job.await_positions(&[5]);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [1, 3, 5]);
    assert_eq!(
        texts(&job.rows("refused"), "reason"),
        ["in_future", "too_late"]
    );
    let windows = job.rows("minutes");
    assert_eq!(numbers(&windows, "rows"), [1], "one window is closed");
}

#[test]
fn a_job_goes_on_where_it_was_with_its_windows() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("again", 2);
    let both = |from: i64, time: &str| -> Vec<Sent> {
        let sale = |id| sale(i32::try_from(id % 2).unwrap(), id, &at(time), "1.00");
        (from..from + 10).map(sale).collect()
    };
    broker.send(&topic, both(0, "12:00:10"));
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[5, 5]);
    running.stop();
    broker.send(&topic, both(10, "12:00:40"));
    broker.send(&topic, both(20, "12:10:00"));
    let running = Running::start(&job, 3);
    job.await_positions(&[15, 15]);
    let summary = running.stop();
    assert_eq!(summary["rows"]["in"], 30, "counts go on, too");
    assert_eq!(
        numbers(&job.rows("rows"), "id"),
        (0..30).collect::<Vec<_>>()
    );
    // Rows of both lives are in one window.
    assert_eq!(numbers(&job.rows("minutes"), "rows"), [20]);
}

/// Case O57.
#[test]
fn partitions_that_are_added_are_read_from_their_first_message() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("wider", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 2);
    job.await_positions(&[1]);
    broker.widen(&topic, 3);
    broker.send(&topic, [sale(2, 2, &at("12:00:00"), "1.00")]);
    job.await_positions(&[1, 0, 1]);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [1, 2]);
}

#[test]
fn messages_that_are_gone_stop_the_job_or_are_counted() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("gone", 1);
    let send = |from: i64| {
        broker.send(
            &topic,
            (from..from + 10).map(|id| sale(0, id, &at("12:00:00"), "1.00")),
        );
    };
    send(0);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[10]);
    running.stop();
    send(10);
    broker.lose(&topic, 0, 15);
    let words = [
        "partition 0",
        "10",
        "15",
        "5 messages are gone",
        "on_data_loss",
    ];
    Running::start_only(&job, 1).ends_with(3, &words);
    // The job is another one by its text, but for its name and state it could go on.
    let job = Job::with(broker, &topic, |text| {
        text.replace("topics =", "on_data_loss = \"earliest\", topics =")
    });
    let running = Running::start(&job, 1);
    job.await_positions(&[20]);
    running.stop();
    assert_eq!(
        numbers(&job.rows("rows"), "id"),
        (15..20).collect::<Vec<_>>()
    );
}

#[test]
fn a_start_may_be_the_end_a_time_or_an_offset() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("start", 1);
    let timed = |id: i64, millis: i64| Sent {
        timestamp: Some(millis),
        ..sale(0, id, &at("12:00:00"), "1.00")
    };
    broker.send(
        &topic,
        (0..10).map(|id| timed(id, 1_773_489_600_000 + id * 1000)),
    );
    let offsets = format!("{{ \"{topic}/0\" = 7 }}");
    for (start, first) in [
        ("\"2026-03-14T12:00:04Z\"", 4),
        (offsets.as_str(), 7),
        ("\"latest\"", 10),
    ] {
        let job = Job::with(broker, &topic, |text| {
            text.replace("topics =", &format!("start = {start}, topics ="))
        });
        let running = Running::start(&job, 1);
        if first < 10 {
            job.await_positions(&[10]);
        } else {
            job.await_epoch();
            broker.send(&topic, [timed(10, 1_773_489_700_000)]);
            job.await_positions(&[11]);
        }
        running.stop();
        let ids = numbers(&job.rows("rows"), "id");
        assert_eq!(ids[0], first, "start = {start}");
    }
}

#[test]
fn what_is_wrong_with_topic_broker_or_credentials_is_said() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let job = Job::new(broker, "not-there");
    Running::start_only(&job, 1).ends_with(3, &["not-there", "none of this name"]);
    let job = Job::with(broker, "not-there", |text| {
        let text = text.replace(broker.addresses(), "127.0.0.1:9");
        text.replace("join_timeout = \"20 s\"", "join_timeout = \"2 s\"")
    });
    Running::start_only(&job, 1).ends_with(3, &["127.0.0.1:9", "no broker"]);
    let topic = broker.topic("option", 1);
    let job = Job::with(broker, &topic, |text| {
        text.replace(
            "topics =",
            "options = { \"no.such.option\" = \"1\" }, topics =",
        )
    });
    Running::start_only(&job, 1).ends_with(3, &["no.such.option"]);
}

/// The port of a life that was killed may be another job's, even one of the same name and generation: that is no life of this one.
#[test]
fn a_stranger_at_the_address_of_a_killed_life_is_no_life() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("stranger", 1);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_epoch();
    let address = job.history().claim.unwrap().address.unwrap();
    running.kill();
    let stranger = std::net::TcpListener::bind(&address).unwrap();
    // Others ask, too: who looks how the job stands.
    let answers = std::thread::spawn(move || {
        loop {
            let (mut asker, _) = stranger.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut some = [0; 256];
                let read = asker.read(&mut some).unwrap();
                assert!(read > 0);
                request.extend(&some[..read]);
            }
            let is_life = request.starts_with(b"GET /life ");
            let answer: &[u8] = if is_life {
                b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsales 7 runs\n"
            } else {
                b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n"
            };
            asker.write_all(answer).unwrap();
            if is_life {
                return;
            }
        }
    });
    let running = Running::start(&job, 1);
    answers.join().unwrap();
    running.stop();
}

#[test]
fn a_job_runs_once_and_as_it_was_written() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("once", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    Running::start_only(&job, 1).ends_with(3, &["it is running", "caudal stop"]);
    running.stop();
    job.rewrite(|text| text.replace("disorder = \"10 seconds\"", "disorder = \"20 seconds\""));
    Running::start_only(&job, 1).ends_with(
        2,
        &[
            "sources.sales.disorder was \"10 seconds\" and is \"20 seconds\"",
            "another state and output",
        ],
    );
}

#[test]
fn state_that_is_gone_or_broken_is_noticed() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("state", 1);
    let send = |id| broker.send(&topic, [sale(0, id, &at("12:00:00"), "1.00")]);
    send(1);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    send(2);
    job.await_positions(&[2]);
    running.stop();
    // The newest checkpoint's state is not what was written: the one before is gone on from, and nothing comes twice.
    job.break_newest_state();
    send(3);
    let running = Running::start(&job, 2);
    job.await_positions(&[3]);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [1, 2, 3]);
    job.remove_state();
    Running::start_only(&job, 1).ends_with(3, &["holds no journal", "restore"]);
}

#[test]
fn a_broker_that_is_away_for_a_while_is_waited_for() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let topic = broker.topic("away", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::new(&broker, &topic);
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    broker.kill(1);
    let epoch = job.await_epoch();
    standing::broker_is_away(&job);
    broker.restart(1);
    standing::broker_is_back(&job);
    broker.send(&topic, [sale(0, 2, &at("12:00:00"), "1.00")]);
    job.await_positions(&[2]);
    running.stop();
    assert!(epoch > 0);
    assert_eq!(numbers(&job.rows("rows"), "id"), [1, 2]);
}

#[test]
fn credentials_are_asked_for() {
    let Some(broker) = Broker::start(&["--secured"]) else {
        return;
    };
    let topic = broker.topic("secured", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let as_user = |name: &str, password: &str| {
        let options = format!(
            "options = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \"{name}\", \
             \"sasl.password\" = \"{password}\" }}, topics ="
        );
        Job::with(&broker, &topic, |text| text.replace("topics =", &options))
    };
    let job = as_user("caudal", "wrong");
    let mut told = Running::start_only(&job, 1);
    told.ends_with(3, &["no broker", "uthentication"]);
    assert!(!told.told().contains("wrong"), "{}", told.told());
    Running::start_only(&as_user("stranger", "stranger-secret"), 1)
        .ends_with(3, &[&topic, "may not"]);
    let job = as_user("reader", "reader-secret");
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    running.stop();
}

#[test]
fn a_stop_rule_stops_the_job_and_what_was_committed_stays() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("stops", 1);
    broker.send(&topic, [sale(0, 1, &at("12:00:00"), "1.00")]);
    let job = Job::with(broker, &topic, |text| {
        format!("{text}\n[rules.sane]\nexpect = \"amount < 1000\"\nthen = \"stop\"\n")
    });
    let mut running = Running::start(&job, 1);
    job.await_positions(&[1]);
    broker.send(&topic, [sale(0, 2, &at("12:00:01"), "5000.00")]);
    running.ends_with(1, &["rules.sane", "offset 1"]);
    assert_eq!(numbers(&job.rows("rows"), "id"), [1]);
}

#[test]
fn silence_is_noticed_without_a_row() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("silence", 1);
    let now = chrono::DateTime::from_timestamp_micros(caudal::epoch::wall_time()).unwrap();
    broker.send(
        &topic,
        [sale(
            0,
            1,
            &now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "1.00",
        )],
    );
    let job = Job::with(broker, &topic, |text| {
        format!(
            "{text}\n[checks.alive]\nfreshness = {{ per = [\"region\"], warn_after = \"6 seconds\", fail_after = \"1 hour\" }}\n"
        )
    });
    let running = Running::start(&job, 1);
    job.await_positions(&[1]);
    job.await_that("a warning", Duration::from_secs(30), |job| {
        texts(&job.verdicts("alive"), "status").contains(&"warn".to_owned())
    });
    running.stop();
    assert_eq!(texts(&job.verdicts("alive"), "status"), ["pass", "warn"]);
}

#[test]
fn what_waits_between_client_and_reader_is_lost_by_no_crash() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    // More partitions than a reader gives at once, epochs as short as they may be, and a commit in each.
    let partitions = 40;
    let topic = broker.topic("waits", partitions);
    let job = Job::with(broker, &topic, |text| {
        text.replace("checkpoint = \"100 ms\"", "checkpoint = \"20 ms\"")
    });
    let (lives, each) = (3, 60_000);
    let rows = |ids: i64| usize::try_from(ids).unwrap();
    for life in 0..lives {
        let ids = life * each..(life + 1) * each;
        let partition = |id: i64| i32::try_from(id % i64::from(partitions)).unwrap();
        let sales = ids.map(|id| sale(partition(id), id, &at("12:00:00"), "1.00"));
        broker.send(&topic, sales);
        let running = Running::start(&job, 1);
        if life + 1 < lives {
            // Killed when the first of them are visible.
            job.await_rows(rows(life * each) + 1);
            drop(running);
        } else {
            job.await_rows(rows(lives * each));
            running.stop();
        }
    }
    let ids = numbers(&job.rows("rows"), "id");
    assert_eq!(ids, (0..lives * each).collect::<Vec<i64>>());
}
