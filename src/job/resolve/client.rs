//! Options that are handed to a client library by its own names, and those that are not.
//!
//! Which names there are only the client knows; it tells of unknown ones when it starts. Known here is what would break a
//! promise: what is read is decided by bindings and checkpoints alone, and nothing that was taken back is seen.

use std::collections::BTreeMap;

use super::report::{Report, Wrong};
use crate::job::problems::quoted;
use crate::job::spec::Named;

/// Options of librdkafka that caudal sets itself or can't allow: the name, why, and what to do instead.
const REFUSED: &[(&str, &str, &str)] = &[
    ("bootstrap.servers", BROKERS, SAY_BROKERS),
    ("metadata.broker.list", BROKERS, SAY_BROKERS),
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

/// Reads the options at `path`, without those that are refused.
pub(super) fn read_client_options(
    report: &mut Report<'_>,
    path: &[&str],
    options: &Named<String>,
) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for (name, value) in options.iter() {
        let path = [path, &[name]].concat();
        if let Some(wrong) = refused(name) {
            report.add_name(&path, wrong);
        } else if name == ISOLATION.0 && value != ISOLATION.1 {
            let what = format!(
                "{} reads messages of transactions that are taken back",
                quoted(value)
            );
            report.add(&path, Wrong::new(what).expected(ISOLATION.1));
        } else {
            read.insert(name.to_owned(), value.clone());
        }
    }
    read
}

/// Why an option can't be set, and what to do instead.
fn refused(name: &str) -> Option<Wrong> {
    let (why, instead) = match REFUSED.iter().find(|(refused, ..)| *refused == name) {
        Some((_, why, instead)) => (*why, *instead),
        None if name.ends_with("_cb") => (CALLED, LEAVE_OUT),
        None if name.trim().is_empty() => ("the name is empty", LEAVE_OUT),
        None => return None,
    };
    Some(Wrong::new(format!("it can't be set: {why}")).hint(instead))
}
