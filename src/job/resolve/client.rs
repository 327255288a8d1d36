//! Options that are handed to a client library by its own names, and those that are not.
//!
//! Which names there are only the client knows; it tells of unknown ones when it starts. Known here is what would break a
//! promise: what is read is decided by bindings and checkpoints alone, and nothing that was taken back is seen.

use std::collections::BTreeMap;

use super::report::{Report, Wrong};
use crate::job::problems::quoted;
use crate::job::spec::Named;

/// What the client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It reads topics.
    Reads,
    /// It writes topics.
    Writes,
}

/// An option that caudal sets itself or can't allow: the name, why, and what to do instead.
type Refused = (&'static str, &'static str, &'static str);

/// Options of all clients.
const REFUSED: &[Refused] = &[
    ("bootstrap.servers", BROKERS, SAY_BROKERS),
    ("metadata.broker.list", BROKERS, SAY_BROKERS),
    ("interceptors", CALLED, LEAVE_OUT),
    ("plugin.library.paths", CALLED, LEAVE_OUT),
    ("opaque", CALLED, LEAVE_OUT),
    (
        "default_topic_conf",
        CALLED,
        "options of topics stand beside the others, by their names",
    ),
    ("enabled_events", CALLED, LEAVE_OUT),
];

/// Options of clients that read.
const REFUSED_READING: &[Refused] = &[
    (
        "group.id",
        "the group that positions are told to is an option of its own",
        "set `group` in the table `kafka`",
    ),
    ("group.instance.id", ASSIGNED, LEAVE_OUT),
    ("group.protocol", ASSIGNED, LEAVE_OUT),
    ("group.protocol.type", ASSIGNED, LEAVE_OUT),
    ("group.remote.assignor", ASSIGNED, LEAVE_OUT),
    ("partition.assignment.strategy", ASSIGNED, LEAVE_OUT),
    ("enable.auto.commit", COMMITTED, TELL_GROUP),
    ("auto.commit.enable", COMMITTED, TELL_GROUP),
    ("auto.commit.interval.ms", COMMITTED, TELL_GROUP),
    ("enable.auto.offset.store", COMMITTED, TELL_GROUP),
    ("offset.store.method", COMMITTED, TELL_GROUP),
    ("offset.store.path", COMMITTED, TELL_GROUP),
    ("offset.store.sync.interval.ms", COMMITTED, TELL_GROUP),
    (
        "auto.offset.reset",
        "a client that moves by itself would skip messages or read them twice",
        "`start` says where partitions are begun, `on_data_loss` what happens where messages are gone",
    ),
    (
        "enable.partition.eof",
        "caudal has to know when a partition is read to its end and sets it itself",
        LEAVE_OUT,
    ),
    (
        "allow.auto.create.topics",
        "a topic whose name is misspelt would be made, empty, instead of being told",
        LEAVE_OUT,
    ),
];

/// Options of clients that write.
const REFUSED_WRITING: &[Refused] = &[
    ("acks", ACKS, LEAVE_OUT),
    ("request.required.acks", ACKS, LEAVE_OUT),
    (
        "enable.idempotence",
        "without it a message that is sent again would stand twice, or in another order, and caudal sets it itself",
        LEAVE_OUT,
    ),
    (
        "transactional.id",
        "each shard has its own",
        "set `id` in the table `kafka`",
    ),
    ("retries", RETRIES, SAY_TIMEOUT),
    ("message.send.max.retries", RETRIES, SAY_TIMEOUT),
    (
        "enable.gapless.guarantee",
        "a message that can't be sent ends the transaction as a whole, so that there are no gaps",
        LEAVE_OUT,
    ),
    ("message.max.bytes", LARGEST, SAY_LARGEST),
    ("message.copy.max.bytes", LARGEST, SAY_LARGEST),
    (
        "allow.auto.create.topics",
        "a topic whose name is misspelt would be made, with settings that nobody chose",
        "`create` says how a topic is made",
    ),
    ("queuing.strategy", ORDER, LEAVE_OUT),
    ("msg_order_cmp", ORDER, LEAVE_OUT),
    (
        "delivery.report.only.error",
        "caudal counts the messages that were taken",
        LEAVE_OUT,
    ),
];

const ACKS: &str =
    "a message counts as written when all copies in sync have it; with less it could be lost";
const RETRIES: &str =
    "a message that is given up early would be a hole, and the client tries until its time is over";
const SAY_TIMEOUT: &str = "\"delivery.timeout.ms\" says how long";
const LARGEST: &str = "which message is too large is judged before it is sent";
const SAY_LARGEST: &str = "set `max_message` in the table `kafka`";
const ORDER: &str = "messages of one key would change their order";
const BROKERS: &str = "the brokers are an option of their own";
const SAY_BROKERS: &str = "set `brokers` in the table `kafka`";
const ASSIGNED: &str =
    "caudal gives partitions to workers itself, without the broker's group protocol";
const COMMITTED: &str = "positions are kept in checkpoints, so that each message counts once";
const TELL_GROUP: &str =
    "leave it out; with `group` positions are told to the broker after each commit";
const CALLED: &str = "what the client calls or loads is caudal's own";
const LEAVE_OUT: &str = "leave it out";

/// The only level of isolation: messages of transactions that were taken back are no sales.
const ISOLATION: (&str, &str) = ("isolation.level", "read_committed");

/// How long a transaction lives that is not ended.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// Its default in the client.
const TRANSACTION_MILLIS: u64 = 60_000;

/// The names of the option that says how long a message is tried.
const DELIVERY_TIMEOUTS: [&str; 2] = ["delivery.timeout.ms", "message.timeout.ms"];

/// Options of clients that write whose numbers have bounds: the name, the least, the most, and why.
const BOUNDED: &[(&str, u64, u64, &str)] = &[
    ("max.in.flight.requests.per.connection", 1, 5, IN_FLIGHT),
    ("max.in.flight", 1, 5, IN_FLIGHT),
    (
        TRANSACTION_TIMEOUT,
        10_000,
        900_000,
        "a shorter one ends transactions that go on, a longer one holds readers up after a fault, and brokers refuse it",
    ),
    (DELIVERY_TIMEOUTS[0], 1_000, 900_000, DELIVERY_TIME),
    (DELIVERY_TIMEOUTS[1], 1_000, 900_000, DELIVERY_TIME),
];

const IN_FLIGHT: &str = "with more at once the broker can't tell a message that is sent again";
const DELIVERY_TIME: &str = "a message that is not taken by then ends the transaction";

/// Reads the options at `path`, without those that are refused.
pub(super) fn read_client_options(
    report: &mut Report<'_>,
    path: &[&str],
    options: &Named<String>,
    role: Role,
) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for (name, value) in options.iter() {
        let path = [path, &[name]].concat();
        if let Some(wrong) = refused(name, role) {
            report.add_name(&path, wrong);
        } else if let Err(wrong) = check_value(name, value, role) {
            report.add(&path, wrong);
        } else {
            read.insert(name.to_owned(), value.clone());
        }
    }
    read
}

/// Why an option can't be set, and what to do instead.
fn refused(name: &str, role: Role) -> Option<Wrong> {
    let (own, other) = match role {
        Role::Reads => (REFUSED_READING, REFUSED_WRITING),
        Role::Writes => (REFUSED_WRITING, REFUSED_READING),
    };
    let of = |options: &'static [Refused]| options.iter().find(|(refused, ..)| *refused == name);
    let (why, instead) = match of(REFUSED).or_else(|| of(own)) {
        Some((_, why, instead)) => (*why, *instead),
        None if name.ends_with("_cb") => (CALLED, LEAVE_OUT),
        None if name.trim().is_empty() => ("the name is empty", LEAVE_OUT),
        // Sources take options of producers, which do nothing there, since they took them before there were sinks.
        None if role == Role::Writes && of(other).is_some() => {
            ("it is about reading, and this writes", LEAVE_OUT)
        }
        None => return None,
    };
    Some(Wrong::new(format!("it can't be set: {why}")).hint(instead))
}

/// What is wrong with the value of an option that may be set.
fn check_value(name: &str, value: &str, role: Role) -> Result<(), Wrong> {
    if name == ISOLATION.0 && value != ISOLATION.1 {
        let what = format!(
            "{} reads messages of transactions that are taken back",
            quoted(value)
        );
        return Err(Wrong::new(what).expected(ISOLATION.1));
    }
    let bounded = BOUNDED.iter().find(|(bounded, ..)| *bounded == name);
    let (Some((_, least, most, why)), Role::Writes) = (bounded, role) else {
        return Ok(());
    };
    match value.trim().parse::<u64>() {
        Ok(number) if (*least..=*most).contains(&number) => Ok(()),
        _ => Err(
            Wrong::new(format!("{} is out of range: {why}", quoted(value)))
                .expected(format!("a whole number from {least} to {most}")),
        ),
    }
}

/// Says where a message may be tried for longer than the transaction that it is of lives; for sinks with transactions.
pub(super) fn check_timeouts(options: &BTreeMap<String, String>) -> Option<(&'static str, Wrong)> {
    let number = |name: &str| {
        options
            .get(name)
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let transaction = number(TRANSACTION_TIMEOUT);
    let most = transaction.unwrap_or(TRANSACTION_MILLIS);
    let (name, given) = DELIVERY_TIMEOUTS
        .into_iter()
        .find_map(|name| Some((name, number(name)?)))?;
    let whose = if transaction.is_some() {
        ""
    } else {
        " by default"
    };
    (given > most).then(|| {
        let wrong = Wrong::new(format!(
            "messages would be tried for {given} ms, and the transaction that they are of lives {most} ms{whose}"
        ));
        let wrong = wrong.expected(format!("at most {most}")).hint(format!(
            "\"{TRANSACTION_TIMEOUT}\" says how long transactions live"
        ));
        (name, wrong)
    })
}
