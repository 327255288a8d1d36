//! Changes of a table as Debezium tells them: one envelope a message, with the row before and after, and where the change
//! stands in the database's log.
//!
//! | message | outcome |
//! |---|---|
//! | `op` `c` (insert), `r` (snapshot), `u` (update) | the row of `after` is put in place of the one with its key |
//! | `op` `d` | the row with the key in `before` is gone; other columns of `before` may be null or missing |
//! | `op` `t` (truncate) | all earlier rows of the table are gone |
//! | a null value (tombstone), `op` `m` (a message in the log), the begin or end of a transaction, a change of the schema, a heartbeat | nothing |
//! | anything else | a fault of the message |
//!
//! Of two changes of one key the later one counts: by log sequence number, else by place in the binary log, else by system
//! change number, else by time of the change, where both have the same kind; else by the order in which they came.
//!
//! JSON comes with or without Kafka Connect's schema around it. With it, days, times and decimals are read as the schema names them. Without,
//! a whole number in a column of type `date` is days since 1970, in one of type `timestamp` it has the column's `unit`, and a
//! decimal must be text or a number (`decimal.handling.mode` `string` or `double`).

mod avro;
mod json;
mod members;
mod order;

#[cfg(test)]
mod tests;

pub use avro::{AvroChanges, Changes};
pub(super) use json::{Envelope, Envelopes};
pub(super) use members::{Value, give};
pub use order::Order;

/// What becomes of the row with a change's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is this one now.
    Upsert,
    /// It is gone.
    Delete,
    /// All rows are gone.
    Truncate,
}

/// A change of one row, or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does.
    pub effect: Effect,
    /// Where it stands in the database's log.
    pub order: Order,
}

impl Change {
    /// That of an envelope that can't be read.
    pub(super) fn none() -> Self {
        Self {
            effect: Effect::Upsert,
            order: Order::default(),
        }
    }
}

/// Why an envelope does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// It has no value.
    Tombstone,
    /// It is the begin or the end of a transaction.
    Transaction,
    /// It is a change of the schema.
    Schema,
    /// It is a message that someone wrote into the database's log.
    LogMessage,
    /// It is a sign of life.
    Heartbeat,
}

/// What an operation's letter means; `None`: nothing that is known.
fn effect(op: &[u8]) -> Option<Result<Effect, Nothing>> {
    match op {
        b"c" | b"r" | b"u" => Some(Ok(Effect::Upsert)),
        b"d" => Some(Ok(Effect::Delete)),
        b"t" => Some(Ok(Effect::Truncate)),
        b"m" => Some(Err(Nothing::LogMessage)),
        _ => None,
    }
}
