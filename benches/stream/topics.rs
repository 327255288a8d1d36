//! Topics that a job writes: how fast one is emptied into others, and how soon a message is seen that came a moment ago.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use caudal::sources::generate::{VentasChunks, VentasText};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::drain::{SEED, found_truth, generate, load, over_topic};
use super::job::{Job, children_cpu_seconds, quantile};
use super::{Bench, PATIENCE, Result, number, round};

/// Messages a second while the time until they are seen is measured.
pub(crate) const RATE: u64 = 20_000;

/// Each way of delivering, as the job file says it.
const DELIVERIES: [&str; 2] = ["exactly_once", "at_least_once"];

/// The job for files, over topics: rows, refused ones and windows are topics, too, whose names end with `TAG`.
fn text(delivery: &str, epoch: &str) -> String {
    let mut text = over_topic(&format!("\nepoch = \"{epoch}\""));
    for (sink, key) in [
        (
            "enriched",
            ", key = \"regions.region_code\", timestamp = \"sent\"",
        ),
        ("quarantine", ""),
        ("quality", ", key = \"region_id\""),
    ] {
        let partition_by = match sink {
            "enriched" => ", partition_by = [\"zone\", \"date\"]",
            _ => "",
        };
        let files = format!(
            "files = {{ path = \"{sink}\"{partition_by} }}\nparquet = {{ compression = \"zstd\" }}"
        );
        let kafka = format!(
            "kafka = {{ brokers = \"${{BENCH_BROKERS}}\", topic = \"{sink}-${{BENCH_TAG}}\", id = \"${{BENCH_TAG}}\", delivery = \"{delivery}\", create = {{ partitions = 2 }}{key} }}\njson = {{}}"
        );
        text = text.replace(&files, &kafka);
    }
    text.replace(
        "channel = \"varchar\"",
        "channel = \"varchar\"\nsent = { type = \"timestamp\", kafka = \"timestamp\" }",
    )
}

/// As the drain into Parquet, with topics: exactly once, and at least once, in turn.
pub(crate) fn drain(bench: &mut Bench) -> Result<()> {
    let rows = bench.sizes.drain_rows;
    let scratch = bench.scratch.join("topics");
    generate(rows, &scratch)?;
    let topic = load(bench, "topics", rows)?;
    let truth = found_truth(&scratch)?;
    for run in 0..bench.sizes.runs {
        for delivery in DELIVERIES {
            let tag = format!("{delivery}-{run}");
            let root = scratch.join(&tag);
            let job = Job::new(
                &root,
                &text(delivery, "500 ms"),
                variables(bench, &topic, &tag, &scratch),
            )?;
            let (before, since) = (children_cpu_seconds()?, Instant::now());
            let running = job.start(&["run", "-w", "2"])?;
            job.await_read(i64::try_from(rows)?, PATIENCE)?;
            let peak = running.peak_mib()?;
            running.stop()?;
            let wall = since.elapsed().as_secs_f64();
            let cpu = children_cpu_seconds()? - before;
            let written = check(&bench.brokers, &tag, &truth)?;
            bench.tell(&json!({
                "bench": "topics", "run": run, "delivery": delivery, "messages": rows, "written": written, "workers": 2,
                "wall_seconds": round(wall), "cpu_seconds": round(cpu), "messages_per_second": (number(rows) / wall).round(),
                "messages_per_cpu_second": (number(rows) / cpu).round(), "peak_mib": round(peak),
            }))?;
            fs::remove_dir_all(&root)?;
        }
    }
    Ok(())
}

fn variables(bench: &Bench, topic: &str, tag: &str, scratch: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("BENCH_BROKERS", bench.brokers.clone()),
        ("BENCH_TOPIC", topic.to_owned()),
        ("BENCH_TAG", tag.to_owned()),
        ("VENTAS_DIMS", scratch.join("dims").display().to_string()),
    ]
}

/// A consumer of a whole topic that sees what is committed.
fn consumer(brokers: &str, topic: &str) -> Result<BaseConsumer> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5");
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut all = TopicPartitionList::new();
    for partition in partitions {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

/// Reads topics to their ends and holds numbers of messages, sums of ids and amounts against the truth; gives how many there are.
fn check(brokers: &str, tag: &str, truth: &Value) -> Result<u64> {
    let mut counted: BTreeMap<&str, (u64, u64, i64)> = BTreeMap::new();
    for sink in ["enriched", "quarantine", "quality"] {
        let topic = format!("{sink}-{tag}");
        let consumer = consumer(brokers, &topic)?;
        let mut left = consumer.assignment()?.count();
        let of_sink = counted.entry(sink).or_default();
        while left > 0 {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => {
                    of_sink.0 += 1;
                    if sink == "enriched" {
                        let value: Value =
                            serde_json::from_slice(message.payload().unwrap_or_default())?;
                        of_sink.1 += value["sale_id"].as_u64().unwrap_or(0);
                        // Cents of one sale are exact in a double.
                        let amount = value["amount"].as_f64().ok_or("no amount")?;
                        of_sink.2 += format!("{amount:.2}").replace('.', "").parse::<i64>()?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => return Err(error.into()),
                None => return Err("a topic has no end".into()),
            }
        }
    }
    let (enriched, ids, cents) = counted["enriched"];
    let sum = truth["sum_amount"].as_str().unwrap_or("").replace('.', "");
    for (what, got, expected) in [
        ("enriched", enriched.to_string(), truth["valid"].to_string()),
        (
            "quarantine",
            counted["quarantine"].0.to_string(),
            truth["quarantined"].to_string(),
        ),
        (
            "sum of sale_id",
            ids.to_string(),
            truth["sum_sale_id"].to_string(),
        ),
        ("sum of amount", cents.to_string(), sum),
    ] {
        if got != expected {
            return Err(format!("{what}: got {got}, expected {expected}").into());
        }
    }
    Ok(counted.values().map(|(messages, ..)| messages).sum())
}

/// How long it takes from a message's time, which is its producer's, until the row is seen in the topic of rows by who reads what is
/// committed: at a steady rate, behind the first seconds.
pub(crate) fn latency(bench: &mut Bench) -> Result<()> {
    let seconds = bench.sizes.window_seconds;
    let scratch = bench.scratch.join("latency");
    let rows = RATE * (seconds + 5);
    generate(rows.min(100_000), &scratch)?;
    for (delivery, epoch, marks) in [
        ("exactly_once", "20 ms", [100.0, 400.0]),
        ("at_least_once", "20 ms", [20.0, f64::MAX]),
    ] {
        let topic = format!("latency-{delivery}");
        bench.make_topic(&topic)?;
        let tag = format!("latency-{delivery}");
        let root = scratch.join(&tag);
        let job = Job::new(
            &root,
            &text(delivery, epoch),
            variables(bench, &topic, &tag, &scratch),
        )?;
        let running = job.start(&["run", "-w", "2"])?;
        let out = format!("enriched-{tag}");
        await_topic(bench, &job, &out)?;
        let is_over = AtomicBool::new(false);
        let before = children_cpu_seconds()?;
        let (brokers, out) = (bench.brokers.clone(), out.as_str());
        let (sent, seen) = thread::scope(|scope| {
            let reader =
                scope.spawn(|| watch(&brokers, out, &is_over).map_err(|error| error.to_string()));
            let sent = send(&brokers, &topic, &sales(rows));
            thread::sleep(Duration::from_secs(2));
            is_over.store(true, Ordering::Release);
            (sent, reader.join())
        });
        let sent = sent?;
        let seen = seen.map_err(|_| "the reader panicked")??;
        running.stop()?;
        let cpu = children_cpu_seconds()? - before;
        let after = sent.first_millis + 3000;
        let steady = seen.iter().filter(|(time, _)| *time >= after);
        let steady: Vec<f64> = steady.map(|(_, late)| *late).collect();
        let [median, most] =
            [50, 99].map(|hundredths| quantile(steady.iter().copied(), hundredths));
        bench.judge(
            json!({
                "bench": "latency", "delivery": delivery, "epoch": epoch, "messages_per_second": RATE, "messages": rows, "seen": seen.len(),
                "p50_ms": round(median), "p99_ms": round(most), "max_ms": round(quantile(steady, 100)), "cpu_seconds": round(cpu),
            }),
            &[("p50 in ms", median, marks[0]), ("p99 in ms", most, marks[1])],
        )?;
    }
    Ok(())
}

/// Waits until a job has made a topic.
pub(crate) fn await_topic(bench: &Bench, job: &Job, topic: &str) -> Result<()> {
    job.await_that("its topics are not made", PATIENCE, || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bench.brokers)
            .create()?;
        let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
        let is_there = metadata
            .topics()
            .iter()
            .any(|found| !found.partitions().is_empty());
        Ok(is_there.then_some(()))
    })
}

/// When messages were sent.
pub(crate) struct Paced {
    pub(crate) first_millis: i64,
}

fn wall_millis() -> i64 {
    caudal::epoch::wall_time() / 1000
}

/// Sales of the benchmark, as JSON.
fn sales(rows: u64) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut chunks = VentasChunks::new(rows, SEED, VentasText::Json);
    while let Some((records, _)) = chunks.next_chunk(1 << 20, u64::MAX) {
        values.extend(
            records
                .split(|byte| *byte == b'\n')
                .filter(|value| !value.is_empty())
                .map(<[u8]>::to_vec),
        );
    }
    values
}

/// Sends messages at the rate, some each millisecond, to two partitions in turn.
pub(crate) fn send(brokers: &str, topic: &str, values: &[Vec<u8>]) -> Result<Paced> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "1")
        .set("enable.idempotence", "true")
        .create()?;
    let first_millis = wall_millis();
    let began = Instant::now();
    for (number, value) in (0_u64..).zip(values) {
        let due = Duration::from_micros(number * 1_000_000 / RATE);
        let now = began.elapsed();
        if due > now + Duration::from_millis(1) {
            producer.poll(Duration::ZERO);
            thread::sleep(due.saturating_sub(now));
        }
        let mut record = BaseRecord::<(), [u8]>::to(topic)
            .partition(i32::from(number.is_multiple_of(2)))
            .payload(value)
            .timestamp(wall_millis());
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(Paced { first_millis })
}

/// For each message its time, and how many milliseconds after that it was seen.
pub(crate) fn watch(brokers: &str, topic: &str, is_over: &AtomicBool) -> Result<Vec<(i64, f64)>> {
    let consumer = consumer(brokers, topic)?;
    let mut seen = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => {
                let time = message.timestamp().to_millis().unwrap_or(0);
                let late = i32::try_from(wall_millis() - time).unwrap_or(i32::MAX);
                seen.push((time, f64::from(late)));
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(seen)
}
