//! A real Kafka for as long as a test needs it, started by `tests/services/kafka/kafka`.
//!
//! Most tests share one broker ([`Broker::shared`]), which starts with the first that asks for it, and keep out of each
//! other's way by topics of their own. A test that kills brokers, or wants other settings, starts some of its own
//! ([`Broker::start`]). Either way the script ends the brokers and removes their data when the pipe to it is closed, which
//! the system does however this process ends.

#[path = "../service.rs"]
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use service::Service;

/// How long a broker may take for anything: many times what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One broker, or three, that end with this value.
#[derive(Debug)]
pub(crate) struct Broker {
    _service: Service,
    data: PathBuf,
    addresses: String,
    /// Whether clients must log in.
    secured: bool,
}

impl Broker {
    /// The broker that tests share; `None`, and a word, where there is none.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[])).as_ref()
    }

    /// Brokers of one's own, with `options` of the script's `start`; `None`, and a word, where there are none.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let service = Service::start("Kafka", &script(), options, 2)?;
        Some(Self {
            data: service.said("KAFKA_DATA=").into(),
            addresses: service.said("KAFKA_BROKERS=").to_owned(),
            secured: options.contains(&"--secured"),
            _service: service,
        })
    }

    /// `host:port` of each broker, with commas between them.
    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The folder with the brokers' data, logs and process numbers.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What a client needs to know to do everything.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_as("caudal", "caudal-secret")
    }

    /// The same under another name, where there are names.
    pub(crate) fn client_as(&self, name: &str, password: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.addresses);
        if self.secured {
            client
                .set("security.protocol", "SASL_PLAINTEXT")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", name)
                .set("sasl.password", password);
        }
        client
    }

    /// Ends a broker (1 to 3) by SIGKILL.
    pub(crate) fn kill(&self, node: u32) {
        self.told(&["kill", &node.to_string()]);
    }

    /// Lets a broker stand still: its connections stay open and nothing is answered.
    pub(crate) fn pause(&self, node: u32) {
        self.told(&["pause", &node.to_string()]);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, node: u32) {
        self.told(&["resume", &node.to_string()]);
    }

    /// Starts a broker again, after a stop in good order where it still runs, and waits until it takes part.
    pub(crate) fn restart(&self, node: u32) {
        self.told(&["restart", &node.to_string()]);
    }

    /// Whether all brokers answer.
    pub(crate) fn answers(&self) -> bool {
        self.asked(&["health"]).status.success()
    }

    fn told(&self, words: &[&str]) {
        let output = self.asked(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {told}");
    }

    fn asked(&self, words: &[&str]) -> Output {
        let mut command = Command::new(script());
        command.args(words).arg("--data").arg(&self.data);
        command.output().unwrap()
    }

    /// A new topic whose name begins with `name`, and no other test's.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> String {
        self.topic_with(name, partitions, &[])
    }

    /// The same with settings of its own, such as `("retention.bytes", "1000")`.
    pub(crate) fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // As many copies as the brokers are set to.
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(-1));
        topic.config.extend_from_slice(settings);
        for made in block_on(self.admin().create_topics([&topic], &patient())).unwrap() {
            made.unwrap();
        }
        self.await_partitions(&name, partitions);
        name
    }

    /// Gives a topic more partitions.
    pub(crate) fn widen(&self, topic: &str, partitions: i32) {
        let wanted = NewPartitions::new(topic, partitions.try_into().unwrap());
        for made in block_on(self.admin().create_partitions([&wanted], &patient())).unwrap() {
            made.unwrap();
        }
        self.await_partitions(topic, partitions);
    }

    /// Removes a topic.
    pub(crate) fn remove(&self, topic: &str) {
        for removed in block_on(self.admin().delete_topics(&[topic], &patient())).unwrap() {
            removed.unwrap();
        }
    }

    /// Removes a topic, and makes another one of its name.
    pub(crate) fn renew(&self, topic: &str, partitions: i32) {
        self.remove(topic);
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let deadline = Instant::now() + PATIENCE;
        // Brokers take the old one away when they come to it.
        while block_on(self.admin().create_topics([&new], &patient()))
            .unwrap()
            .iter()
            .any(Result::is_err)
        {
            assert!(Instant::now() < deadline, "{topic} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.await_partitions(topic, partitions);
    }

    /// Removes the messages of a partition before `offset`, as retention does.
    pub(crate) fn lose(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        let lost = block_on(self.admin().delete_records(&before, &patient())).unwrap();
        for element in lost.elements() {
            element.error().unwrap();
            assert_eq!(element.offset(), Offset::Offset(offset));
        }
    }

    /// The offsets of a partition's first message and behind its last.
    pub(crate) fn ends(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.consumer()
            .fetch_watermarks(topic, partition, PATIENCE)
            .unwrap()
    }

    /// The number of partitions of a topic.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.consumer().fetch_metadata(Some(topic), PATIENCE);
        let metadata = metadata.unwrap();
        metadata.topics()[0].partitions().len().try_into().unwrap()
    }

    /// Waits until every broker knows these partitions and who leads them.
    fn await_partitions(&self, topic: &str, partitions: i32) {
        let deadline = Instant::now() + PATIENCE;
        for address in self.addresses.split(',') {
            let mut client = self.client();
            client.set("bootstrap.servers", address);
            let consumer: BaseConsumer = client.create().unwrap();
            loop {
                let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
                let known = metadata.topics()[0].partitions();
                if i32::try_from(known.len()) == Ok(partitions)
                    && known.iter().all(|partition| partition.leader() >= 0)
                {
                    break;
                }
                assert!(Instant::now() < deadline, "{topic} is not known");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn consumer(&self) -> BaseConsumer {
        self.client().create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/kafka/kafka")
}

fn patient() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}
