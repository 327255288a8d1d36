//! Against a real Kafka. Here: that the one which tests are given is a Kafka, keeps what it must, and ends when they end.

pub(crate) mod broker;
pub(crate) mod messages;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use broker::Broker;
use messages::{Isolation, Sent};

/// 2026-03-14T12:00:00Z, long before any test is run.
const SOME_TIME: i64 = 1_773_489_600_000;

fn values(broker: &Broker, topic: &str, isolation: Isolation) -> Vec<(i64, String)> {
    let read = broker.read(topic, isolation).into_iter();
    read.map(|message| {
        let value = message.sent.value.unwrap();
        (message.offset, String::from_utf8(value).unwrap())
    })
    .collect()
}

fn with(partition: i32, offset: i64, value: &str) -> messages::Read {
    messages::Read {
        sent: Sent::value(partition, value),
        offset,
    }
}

#[test]
fn what_is_sent_is_read_back() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("odd", 2);
    let full = Sent {
        partition: 1,
        key: Some(b"\xff\0".to_vec()),
        value: Some(b"{}".to_vec()),
        headers: vec![
            ("trace".to_owned(), Some(b"1".to_vec())),
            ("trace".to_owned(), None),
        ],
        timestamp: Some(SOME_TIME),
    };
    let tombstone = Sent {
        key: Some(Vec::new()),
        timestamp: Some(SOME_TIME * 10),
        ..Sent::default()
    };
    let empty = Sent {
        value: Some(Vec::new()),
        timestamp: Some(1),
        ..Sent::default()
    };
    broker.send(&topic, [full.clone(), tombstone.clone(), empty.clone()]);
    let read = broker.read(&topic, Isolation::Committed);
    let offsets: Vec<i64> = read.iter().map(|message| message.offset).collect();
    let sent: Vec<Sent> = read.into_iter().map(|message| message.sent).collect();
    assert_eq!(sent, [tombstone, empty, full]);
    assert_eq!(offsets, [0, 1, 0]);
}

#[test]
fn many_messages_keep_their_order_in_each_partition() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("many", 1);
    let most = 200_000;
    broker.send(&topic, (0..most).map(|n| Sent::value(0, n.to_string())));
    broker.widen(&topic, 2);
    broker.send(&topic, (0..9).map(|n| Sent::value(1, n.to_string())));
    let mut read = broker.read(&topic, Isolation::Uncommitted);
    assert!(read.iter().all(|message| message.sent.timestamp.is_some()));
    for message in &mut read {
        message.sent.timestamp = None;
    }
    let first = (0..most).map(|n| with(0, n, &n.to_string()));
    let second = (0..9).map(|n| with(1, n, &n.to_string()));
    assert!(read.into_iter().eq(first.chain(second)));
}

#[test]
fn transactions_show_what_they_committed() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("sure", 1);
    let committed = broker.transaction(&format!("{topic}-a"));
    committed.send(&topic, [Sent::value(0, "committed")]);
    committed.commit().unwrap();
    let aborted = broker.transaction(&format!("{topic}-a"));
    aborted.send(&topic, [Sent::value(0, "aborted")]);
    aborted.abort().unwrap();
    let zombie = broker.transaction(&format!("{topic}-b"));
    zombie.send(&topic, [Sent::value(0, "open")]);
    broker.send(&topic, [Sent::value(0, "behind it")]);

    // Offsets 1 and 3 are the markers of the first two.
    let committed = [(0, "committed")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(values(broker, &topic, Isolation::Committed), committed);
    let all = [
        (0, "committed"),
        (2, "aborted"),
        (4, "open"),
        (5, "behind it"),
    ];
    let all = all.map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(values(broker, &topic, Isolation::Uncommitted), all);

    // Whoever comes with the same id aborts what its predecessor left, and shuts it out.
    let successor = broker.transaction(&format!("{topic}-b"));
    let error = zombie.commit().unwrap_err();
    assert!(
        matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
        ),
        "{error}"
    );
    successor.abort().unwrap();
    let behind = [(0, "committed"), (5, "behind it")];
    let behind = behind.map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(values(broker, &topic, Isolation::Committed), behind);
}

#[test]
fn lost_messages_move_the_beginning() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("lost", 1);
    broker.send(&topic, (0..10).map(|n| Sent::value(0, n.to_string())));
    assert_eq!(broker.ends(&topic, 0), (0, 10));
    broker.lose(&topic, 0, 7);
    assert_eq!(broker.ends(&topic, 0), (7, 10));
    assert_eq!(broker.read(&topic, Isolation::Committed).len(), 3);

    // Retention by size, as a broker does it by itself.
    let small = [("retention.bytes", "20000"), ("segment.bytes", "1048576")];
    let topic = broker.topic_with("small", 1, &small);
    let filler = "x".repeat(1000);
    let deadline = Instant::now() + broker::PATIENCE;
    while broker.ends(&topic, 0).0 == 0 {
        broker.send(&topic, (0..500).map(|_| Sent::value(0, filler.as_str())));
        assert!(Instant::now() < deadline, "retention removed nothing");
    }

    broker.remove(&topic);
    while broker.partitions(&topic) > 0 {
        assert!(Instant::now() < deadline, "{topic} was not removed");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_broker_comes_back_with_its_messages_and_ends_with_its_holder() {
    let Some(broker) = Broker::start(&["--set", "message.max.bytes=100000"]) else {
        return;
    };
    let topic = broker.topic("kept", 1);
    broker.send(&topic, (0..1000).map(|n| Sent::value(0, n.to_string())));
    assert!(broker.answers());
    broker.pause(1);
    assert!(!broker.answers());
    broker.resume(1);
    broker.kill(1);
    assert!(!broker.answers());
    broker.restart(1);
    broker.send(&topic, [Sent::value(0, "last")]);
    broker.restart(1);
    let read = values(&broker, &topic, Isolation::Committed);
    assert_eq!(read.len(), 1001);
    assert_eq!(read[1000], (1000, "last".to_owned()));
    let settings = std::fs::read_to_string(broker.data().join("1/server.properties")).unwrap();
    assert!(settings.contains("message.max.bytes=100000"), "{settings}");

    let data = broker.data().to_owned();
    let process = std::fs::read_to_string(data.join("1/pid")).unwrap();
    let process = Path::new("/proc").join(process.split(' ').next().unwrap());
    // A process that has ended has no words any more, though its number may stay for a while.
    let lives = || std::fs::read(process.join("cmdline")).is_ok_and(|words| !words.is_empty());
    assert!(lives());
    drop(broker);
    assert!(!data.exists());
    assert!(!lives());
}

#[test]
fn three_brokers_go_on_without_one() {
    let Some(brokers) = Broker::start(&["--nodes", "3"]) else {
        return;
    };
    assert_eq!(brokers.addresses().split(',').count(), 3);
    let topic = brokers.topic("copied", 3);
    let round = |name: &str| {
        let transaction = brokers.transaction("round");
        transaction.send(&topic, (0..300).map(|n| Sent::value(n % 3, name)));
        transaction.commit().unwrap();
    };
    round("three");
    brokers.kill(2);
    round("two");
    brokers.restart(2);
    // No partition can be written now unless the second has what it missed.
    brokers.kill(3);
    round("another two");
    let read = values(&brokers, &topic, Isolation::Committed);
    for name in ["three", "two", "another two"] {
        let count = read.iter().filter(|(_, value)| value == name).count();
        assert_eq!(count, 300, "{name}");
    }
}

#[test]
fn names_passwords_and_rights_are_asked_for() {
    let Some(broker) = Broker::start(&["--secured"]) else {
        return;
    };
    let topic = broker.topic("private", 1);
    broker.send(&topic, [Sent::value(0, "secret")]);
    assert_eq!(broker.read(&topic, Isolation::Committed).len(), 1);

    let partitions = |name: &str, password: &str, mechanism: &str| {
        let mut client = broker.client_as(name, password);
        let consumer: BaseConsumer = client.set("sasl.mechanism", mechanism).create().unwrap();
        let found = consumer.fetch_metadata(Some(&topic), Duration::from_secs(2));
        found.map(|found| {
            (
                found.topics()[0].partitions().len(),
                found.topics()[0].error(),
            )
        })
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let reader = partitions("reader", "reader-secret", mechanism);
        assert_eq!(reader.unwrap(), (1, None), "{mechanism}");
        let (seen, error) = partitions("stranger", "stranger-secret", mechanism).unwrap();
        assert_eq!(seen, 0, "{mechanism}");
        let refused = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        assert_eq!(error, Some(refused), "{mechanism}");
        let liar = partitions("caudal", "guessed", mechanism);
        assert!(
            matches!(liar, Err(KafkaError::MetadataFetch(_))),
            "{mechanism}"
        );
    }
}
