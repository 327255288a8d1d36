//! What is said where topics, brokers and rights are not as a job that writes needs them, and that it goes on where they are again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Job, Running, check_rows, ids, sale, to_topics};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Isolation;

/// The name of the topic of rows, and an option with it, in the job's text.
fn of_rows(text: &str, number: u32, more: &str) -> String {
    let rows = format!("topic = \"out-rows-{number}\",");
    assert!(text.contains(&rows));
    text.replace(&rows, &format!("{rows} {more},"))
}

#[test]
fn progress_that_is_gone_or_not_of_this_state_is_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("whose-progress", 2);
    let job = Job::with(broker, &topic, |text| to_topics(&text, broker, 30));
    broker.send(&topic, (0..200).map(sale));
    let running = Running::start(&job, 1);
    job.await_positions(&[100, 100]);
    running.stop();
    let other = Job::with(broker, &topic, |text| {
        to_topics(&text, broker, 30).replace("name = \"sales\"", "name = \"other\"")
    });
    Running::start_only(&other, 1).ends_with(
        3,
        &[
            "topic out-30-progress partition ",
            "it holds the progress of job sales",
            "now: nothing is sent",
            "give this job's sinks another `id`",
        ],
    );
    // The state is gone, with all that was written beside the topics.
    fs::rename(job.path("out"), job.path("kept")).unwrap();
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            "topic out-30-progress partition ",
            "of a state that is not this one",
            "restore the state folder",
        ],
    );
    // It is there again, and progress is not.
    fs::remove_dir_all(job.path("out")).unwrap();
    fs::rename(job.path("kept"), job.path("out")).unwrap();
    broker.remove("out-30-progress");
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            "topic out-30-progress partition ",
            "it knows of epoch 0, and a checkpoint of epoch ",
            "messages or progress are gone",
        ],
    );
    check_rows(&broker.read("out-rows-30", Isolation::Committed), 200);
}

/// Each would be a cluster of its own, with producers and progress of its own.
#[test]
fn two_lists_of_one_clusters_brokers_are_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("two-lists", 2);
    let by_name = broker.addresses().replace("127.0.0.1", "localhost");
    assert_ne!(by_name, broker.addresses());
    let job = Job::with(broker, &topic, |text| {
        let text = to_topics(&text, broker, 37);
        let of = |brokers: &str, id: &str| {
            format!("brokers = \"{brokers}\", topic = \"out-refused-37\", id = \"{id}\"")
        };
        let before = of(broker.addresses(), "out-37");
        assert!(text.contains(&before));
        text.replace(&before, &of(&by_name, "other-37"))
    });
    broker.send(&topic, (0..20).map(sale));
    let both = format!(
        "write one list, such as \"{},{by_name}\"",
        broker.addresses()
    );
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            &format!("sinks at {by_name}: their brokers are of cluster "),
            &format!(", as those of the sinks at {} are", broker.addresses()),
            "now: nothing is sent",
            &both,
        ],
    );
    assert_eq!(broker.read("out-rows-37", Isolation::Committed), []);
}

#[test]
fn topics_that_are_not_there_are_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("no-topic", 2);
    let job = Job::with(broker, &topic, |text| {
        to_topics(&text, broker, 31).replace(", create = { partitions = 3 }", "")
    });
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            "sinks.rows: topic out-rows-31: there is none of this name",
            "let the sink make it by `create`",
        ],
    );
    // One that goes while the job runs. The client believes that it comes back for as long as it is told to.
    let job = Job::with(broker, &topic, |text| {
        let options = "options = { \"topic.metadata.propagation.max.ms\" = \"500\" }, create =";
        to_topics(&text, broker, 32).replace("create =", options)
    });
    broker.send(&topic, (0..200).map(sale));
    let mut running = Running::start(&job, 2);
    job.await_positions(&[100, 100]);
    broker.remove("out-rows-32");
    broker.send(&topic, (200..400).map(sale));
    running.ends_with(
        3,
        &[
            "topic out-rows-32: there is none of this name",
            "what was committed stays",
        ],
    );
}

/// O59: what the broker refuses for good is not sent again.
#[test]
fn messages_that_the_topic_does_not_take_are_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("not-taken", 2);
    let small = broker.topic_with("small", 1, &[("max.message.bytes", "1000")]);
    let job = Job::with(broker, &topic, |text| {
        to_topics(&text, broker, 33).replace("out-rows-33", &small)
    });
    let mut large = sale(1);
    let region = "S".repeat(2000);
    let value = String::from_utf8(large.value.unwrap()).unwrap();
    large.value = Some(value.replace("\"S\"", &format!("{region:?}")).into_bytes());
    broker.send(&topic, [large]);
    let since = Instant::now();
    let mut running = Running::start_only(&job, 1);
    running.ends_with(
        3,
        &[
            &format!("topic {small}: a message is larger than the broker takes"),
            "lower `max_message`",
        ],
    );
    // `join_timeout` is what passes with the world.
    assert!(since.elapsed() < Duration::from_secs(20), "{since:?}");
    assert!(
        !running.told().contains("messages are sent again"),
        "{}",
        running.told()
    );
    assert_eq!(broker.read(&small, Isolation::Committed), []);
}

#[test]
fn partitions_that_the_topic_does_not_have_are_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("no-partition", 2);
    let job = Job::with(broker, &topic, |text| {
        of_rows(&to_topics(&text, broker, 34), 34, "partition = \"id % 4\"")
    });
    broker.send(&topic, (0..3).map(sale));
    let mut running = Running::start(&job, 1);
    job.await_positions(&[2, 1]);
    broker.send(&topic, [sale(3)]);
    running.ends_with(
        3,
        &[
            "topic out-rows-34: it has no partition of the number that `partition` gives",
            "a number from 0 to the topic's partitions less one",
        ],
    );
    let rows = broker.read("out-rows-34", Isolation::Committed);
    assert_eq!(
        ids(&rows, "id"),
        [1, 2],
        "each in the partition of its number"
    );
    let partitions: Vec<i32> = rows.iter().map(|row| row.sent.partition).collect();
    assert_eq!(partitions, [1, 2]);
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let Some(broker) = Broker::start(&[]) else {
        return;
    };
    let topic = broker.topic("away", 2);
    let job = Job::with(&broker, &topic, |text| {
        let text = text.replace("join_timeout = \"20 s\"", "join_timeout = \"50 s\"");
        to_topics(&text, &broker, 35)
    });
    broker.send(&topic, (0..200).map(sale));
    broker.kill(1);
    // It has claimed the job, and looks for brokers.
    let running = Running::start(&job, 2);
    broker.restart(1);
    job.await_positions(&[100, 100]);
    // Epochs go on while it is away, what was read is held.
    broker.send(&topic, (200..400).map(sale));
    broker.kill(1);
    job.await_epoch();
    broker.restart(1);
    broker.send(&topic, (400..600).map(sale));
    job.await_positions(&[300, 300]);
    running.stop();
    check_rows(&broker.read("out-rows-35", Isolation::Committed), 600);
}

/// Lets `reader` do something at a cluster.
fn allow(broker: &Broker, words: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/kafka/kafka");
    let mut command = Command::new(script);
    command.args(["tool", "acls", "--data"]).arg(broker.data());
    let output = command
        .args(["--add", "--allow-principal", "User:reader"])
        .args(words)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {told}");
}

#[test]
fn rights_are_asked_for() {
    let Some(broker) = Broker::start(&["--secured"]) else {
        return;
    };
    let topic = broker.topic("rights", 2);
    broker.send(&topic, (0..100).map(sale));
    let job = Job::with(&broker, &topic, |text| {
        let options = "options = { \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \
                       \"sasl.username\" = \"reader\", \"sasl.password\" = \"reader-secret\" }";
        let text = to_topics(&text, &broker, 36);
        let text = text.replace("create =", &format!("{options}, create ="));
        text.replace("topics =", &format!("{options}, topics ="))
    });
    // It may not make topics.
    let mut told = Running::start_only(&job, 1);
    told.ends_with(3, &["sinks.rows: topic out-rows-36: ", "may not"]);
    assert!(!told.told().contains("reader-secret"), "{}", told.told());
    // It may, and not take transactions.
    allow(
        &broker,
        &[
            "--operation",
            "Create",
            "--topic",
            "out-",
            "--resource-pattern-type",
            "prefixed",
        ],
    );
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            "transactional id out-36-",
            "allow the job's user to write and describe transactional ids",
        ],
    );
    // It may, and not write topics.
    allow(
        &broker,
        &[
            "--operation",
            "Write",
            "--operation",
            "Describe",
            "--transactional-id",
            "out-36-",
            "--resource-pattern-type",
            "prefixed",
        ],
    );
    Running::start_only(&job, 1).ends_with(
        3,
        &[
            "the job's user may not write it",
            "allow the user to write and describe the topic",
        ],
    );
    // It may everything that it needs.
    allow(
        &broker,
        &[
            "--operation",
            "Write",
            "--topic",
            "out-",
            "--resource-pattern-type",
            "prefixed",
        ],
    );
    let running = Running::start(&job, 1);
    job.await_positions(&[50, 50]);
    running.stop();
    check_rows(&broker.read("out-rows-36", Isolation::Committed), 100);
}
