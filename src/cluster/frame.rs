//! What processes say to each other besides rows: before timely takes the sockets, and on a socket of its own while it runs.
//!
//! A message is its length (32 bits, big-endian) and JSON. A connection begins with [`MAGIC`], so that whatever else finds the
//! port (a scanner, a browser, another program) is known by its first bytes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::deliveries::{Counts, Delivered, Holds, ShardId};
use crate::epoch::StateFile;
use crate::observe::process;
use crate::record::Epoch;

/// First bytes of every connection; the last one is the version of the handshake.
pub(super) const MAGIC: [u8; 8] = *b"caudal\0\x01";

/// Longest message in bytes: far above what any needs, and nothing for who sends a wrong length to gain.
const MOST_BYTES: usize = 4 << 20;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Rows and progress, by timely.
    Rows,
    /// Life signs, failures and the end of the run; to process 0 only.
    Control,
}

/// What a process says of itself when it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// What for.
    pub(super) purpose: Purpose,
    /// Name of the job.
    pub(super) job: String,
    /// Hash of the job file's text.
    pub(super) plan: u64,
    /// Hash of the program.
    pub(super) build: u64,
    /// Number of processes.
    pub(super) processes: usize,
    /// Worker threads of each.
    pub(super) workers: usize,
    /// Which one this is.
    pub(super) index: usize,
    /// The shared secret, where the cluster has one.
    pub(super) token: Option<String>,
}

/// The answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It belongs here.
    Welcome,
    /// It doesn't, and why.
    Refused(String),
}

/// What is said on a control connection once all processes are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Message {
    /// Process 0: the run begins, with what it has decided for all.
    Begin(Begin),
    /// I am alive; and how far I am, for people.
    Alive {
        rows_in: u64,
        clean: u64,
        refused: u64,
        bytes: u64,
        /// The epoch that the reader of each of its workers may still give rows for; none where it has ended.
        readers: Vec<Option<Epoch>>,
    },
    /// All work of this process is done, and what it staged is whole.
    Done,
    /// This process failed.
    Failed { exit_code: u8, words: String },
    /// Someone asked this process to end: a continuous job commits what it has and ends.
    Drain,
    /// Process 0: the bindings up to this epoch are durable.
    Durable { epoch: Epoch },
    /// How far a shard of this process is.
    Delivered {
        shard: ShardId,
        delivered: Delivered,
        counts: Counts,
    },
    /// What a shard of this process holds, if anything.
    Holds {
        shard: ShardId,
        holds: Option<Holds>,
    },
    /// A shard of this process waits for the binding of this epoch.
    Wanted { epoch: Epoch },
    /// Process 0: the run is over without a result, and why.
    Over { exit_code: u8, words: String },
    /// Process 0: the run is over, and all processes end with this exit code.
    End { exit_code: u8 },
    /// I heard the end and expect nothing more; and what I took.
    Ended(Usage),
}

/// What a process took from its start to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of all its threads, in seconds; absent where the system does not say.
    pub cpu_seconds: Option<f64>,
    /// Most memory that was resident at once; absent where the system does not say.
    pub peak_memory_bytes: Option<u64>,
}

impl Usage {
    /// What this process took until now.
    pub fn now() -> Self {
        Self {
            cpu_seconds: process::cpu_seconds(),
            peak_memory_bytes: process::peak_memory_bytes(),
        }
    }
}

/// What process 0 decides for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Begin {
    /// Wall time bound to the run, in microseconds since 1970.
    pub(super) now: i64,
    /// The time freshness is judged at.
    pub(super) as_of: Option<i64>,
    /// For each calendar the days of its file, in days since 1970.
    pub(super) holidays: Vec<Vec<i64>>,
    /// Whether rows that an earlier run refused are fed again, and nothing else.
    pub(super) replay: bool,
    /// Name of the folder below the output root in which files are staged, where the job writes any.
    pub(super) stage: Option<String>,
    /// What a file in that folder says, by which other processes know that it is the same one.
    pub(super) mark: String,
    /// For each look-up whether it is partitioned.
    pub(super) partitioned: Vec<bool>,
    /// From where a continuous job goes on.
    pub(super) resumed: Option<Resumed>,
}

/// From where a continuous job goes on, as all workers have to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// The life of the cluster.
    pub generation: u64,
    /// The last epoch that is in the checkpoint; 0 where there is none.
    pub epoch: Epoch,
    /// Files with the state of operators, below the state folder.
    pub state: Vec<StateFile>,
    /// The last epoch that the output folder has; it can be later than the checkpoint.
    pub committed: Option<Epoch>,
    /// The last epoch whose binding is durable.
    pub durable: Epoch,
    /// A word that no other state has.
    pub identity: String,
    /// Shards that could not be looked at since their cluster was away, and holds meanwhile.
    pub unseen: Vec<Unseen>,
}

/// What is known of a shard that could not be looked at: held against its progress when it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Which.
    pub shard: ShardId,
    /// The last epoch that a checkpoint says it had messages of.
    pub last: Epoch,
    /// The newest epoch that is bound.
    pub bound: Epoch,
    /// What the cluster called itself.
    pub known: Option<String>,
}

/// Writes one message.
pub(super) fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    // One write, so that a message is one packet where it can be.
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(body);
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads one message; an error where the other side closed, is silent beyond the socket's time-out, or talks something else.
pub(super) fn read<T: for<'de> Deserialize<'de>>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MOST_BYTES {
        let words = format!("a message of {length} bytes, at most {MOST_BYTES} are expected");
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_long_or_foreign_ones_are_errors() {
        let message = Message::Failed {
            exit_code: 3,
            words: "disk full".to_owned(),
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &message).unwrap();
        assert_eq!(read::<Message>(&mut bytes.as_slice()).unwrap(), message);
        assert_eq!(
            read::<Message>(&mut &b"GET / HTTP/1.1\r\n"[..])
                .unwrap_err()
                .kind(),
            io::ErrorKind::InvalidData
        );
        assert!(read::<Message>(&mut &bytes[..bytes.len() - 1]).is_err());
        assert!(read::<Message>(&mut &b"\0\0\0\x02{}"[..]).is_err());
    }
}
