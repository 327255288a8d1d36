//! Files that go on: which there are, what each is known by, and what one worker reads of them.
//!
//! ```text
//! process 0                                        worker of the file
//! discover: files of the patterns ── new ones ──>  reader: whole records from `at` on,
//!   each known by its bytes, not by its name         as they come, or up to where a replay stops
//!      ^ where each stands, and its mark <───────────── binding e: [from, to), mark of [0, to)
//! ```
//!
//! A file is a partition: topic is the path under which it was found, partition counts the files that had this name before. Offsets are
//! bytes of what it holds (unpacked, where it is compressed). What it is known by ([`crate::epoch::FileMark`]) stands in every binding that
//! it moves in and in checkpoints, so that any life finds it again whatever it is called by then, and knows that what it reads is
//! what was read: a replay of [from, to) ends with the sum of [0, to), or the job stops.
//!
//! What is the same file, in this order:
//!
//! 1. the same inode, made at the same time, whose first bytes and last bytes before `to` are those that were read: it goes on, or was
//!    renamed;
//! 2. another inode that begins with all bytes that were read, where the first is there no more: it was copied, or compressed, or
//!    written anew with more behind;
//! 3. another inode that holds the same to its last byte, where the first is still there: a copy (option `copies`); one that holds the
//!    beginning of the same may be a copy that is being made, and waits.
//!
//! Names change while they are looked at. What is judged is the file that was seen, not what has its name a moment later; where one is
//! called otherwise by then the next look tells, and a file is gone only when several looks in a row have missed it. A replay looks for
//! its bytes itself, since what was said before it began may be otherwise.
//!
//! Everything else is a new file. What was read and is there no more is forgotten by nobody and missed by nobody; what was not read and
//! is gone stops the job, or is counted (option `on_data_loss`).

mod delivered;
mod discover;
mod find;
mod growing;
mod lines;
mod mark;
mod reader;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use super::files::SourceError;

pub(super) use delivered::{Delivered, Read, ToRead};
pub use delivered::{DeliveredError, Delivery};
pub use discover::{Changes, Folders};
pub(super) use reader::FilesReader;

/// What happened to a followed file.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// Bytes that were read are others now.
    #[error(
        "{owner}: {} was read up to byte {at}, and {problem}\n  expected: a file that only grows, or is renamed\n  now: the job ends; what was read is committed\n  hint: with on_data_loss = \"earliest\" what stands there now is read as a new file", path.display()
    )]
    Changed {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Up to where it was read.
        at: u64,
        /// How it differs, with numbers.
        problem: String,
    },
    /// Bytes that were not read, or that have to be read again, are gone.
    #[error(
        "{owner}: {} has bytes {from} to {to} to be read{}, and no file holds them any more\n  expected: the file, under any name in its folder or the source's patterns, compressed or not\n  now: the job ends; what is visible stays\n  hint: put it back, read the last line of files that have no line end there by `complete_after`, or with on_data_loss = \"earliest\" the job goes on without these bytes and counts them", path.display(), again(*is_replay)
    )]
    Gone {
        /// The source.
        owner: String,
        /// The name under which it was found.
        path: PathBuf,
        /// The first byte.
        from: u64,
        /// The byte behind the last.
        to: u64,
        /// Whether they were read before.
        is_replay: bool,
    },
    /// A file's columns don't fit the job's.
    #[error(
        "{owner}: {} line {line}: {message}\n  now: the job ends; what was read is committed\n  hint: mend the file, or take it out of the folder; files under other names than the source's patterns are not read", path.display()
    )]
    Header {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// The line where it was found.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A file can't be read.
    #[error(
        "{owner}: {} can't be read (byte {byte})\n  now: the job ends; what was read is committed, and it goes on there when it is started again\n  hint: see that this user may read it, and that the disk or the file server answers", path.display()
    )]
    Unreadable {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// How far it was read.
        byte: u64,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A record that was taken for whole was not.
    #[error(
        "{owner}: {} goes on behind byte {at} in the middle of a line that was read as its last, since it had not changed for `complete_after`\n  expected: a line end there\n  now: the job ends; what was read is committed\n  hint: a longer `complete_after` waits for such a writer", path.display()
    )]
    WentOn {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Up to where it was read.
        at: u64,
    },
}

/// What an error of a file means where the file is followed.
fn told(error: SourceError) -> SourceError {
    match error {
        SourceError::Header {
            owner,
            path,
            line,
            message,
            ..
        } => FollowError::Header {
            owner,
            path,
            line,
            message,
        }
        .into(),
        SourceError::Io {
            owner,
            path,
            byte,
            source,
            ..
        } => FollowError::Unreadable {
            owner,
            path,
            byte,
            source: Arc::new(source),
        }
        .into(),
        other => other,
    }
}

fn again(is_replay: bool) -> &'static str {
    if is_replay {
        " again, which are bound and not visible yet"
    } else {
        ""
    }
}
