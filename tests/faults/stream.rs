//! Sales that come while the job runs: each says its partition and number, by which it is known again.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::broker::{Broker, PATIENCE};

/// Partitions of the topic.
const PARTITIONS: i32 = 3;

/// Messages of each partition that are sent together.
const TOGETHER: i64 = 50;

/// The pause between them: a thousand messages a second or so.
const PAUSE: Duration = Duration::from_millis(100);

/// A thread that sends.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<i64>>,
}

impl Stream {
    /// Begins to send.
    pub(crate) fn start(broker: &Broker, topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = broker.client();
        // A broker that is gone for a while gets them once it is back, once.
        client
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "120000")
            .set("reconnect.backoff.max.ms", "200")
            .set("linger.ms", "5");
        let producer: BaseProducer = client.create().unwrap();
        let (topic, stopped) = (topic.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut next = 0;
            while !stopped.load(Ordering::Acquire) {
                for number in next..next + TOGETHER {
                    for partition in 0..PARTITIONS {
                        let value = sale(partition, number);
                        let record: BaseRecord<'_, (), str> =
                            BaseRecord::to(&topic).partition(partition).payload(&value);
                        // A broker that is away for long lets the queue run full; what is in it goes first then.
                        let mut sent = producer.send(record);
                        while let Err((
                            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                            record,
                        )) = sent
                        {
                            producer.poll(PAUSE);
                            sent = producer.send(record);
                        }
                        sent.map_err(|(error, _)| error).unwrap();
                    }
                }
                next += TOGETHER;
                producer.poll(Duration::ZERO);
                std::thread::sleep(PAUSE);
            }
            producer.flush(PATIENCE).unwrap();
            vec![next; usize::try_from(PARTITIONS).unwrap()]
        });
        Self { stop, thread }
    }

    /// Ends it; gives how many messages each partition has.
    pub(crate) fn stop(self) -> Vec<i64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// A sale. Event time goes on by a second a message; one in fifty is faulty.
fn sale(partition: i32, number: i64) -> String {
    let seconds = number % 60;
    let (minutes, hours) = (number / 60 % 60, number / 3600 % 24);
    let day = 1 + number / 86_400;
    let region =
        ["N", "S", "E", "W"][usize::try_from(number * 7 + i64::from(partition)).unwrap() % 4];
    let mut value = String::new();
    write!(
        value,
        r#"{{"id":{},"ts":"2026-03-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z","region":"{region}","part":{partition},"number":{number},"#,
        number * i64::from(PARTITIONS) + i64::from(partition),
    )
    .unwrap();
    if number % 50 == 7 {
        value.push_str(r#""amount":"much"}"#);
    } else {
        write!(
            value,
            r#""amount":"{}.{:02}"}}"#,
            number % 1000,
            number % 100
        )
        .unwrap();
    }
    value
}
