//! What can go wrong with the journal: always the world. The process that meets one ends with exit code 3.

use std::io::ErrorKind;

use crate::epoch::durable::FileError;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The store gave no answer, or a bad one.
    #[error(
        "{place}: {doing} failed\n  now: the process ends; the job goes on from its newest checkpoint when it is started again"
    )]
    Store {
        /// What was asked for.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No space left, or the quota is used up.
    #[error(
        "{place}: disk full while {doing}\n  now: the process ends; the job goes on from its newest checkpoint when it is started again\n  hint: free space on this disk, or set [job] state to a folder on another one before the job's first start"
    )]
    DiskFull {
        /// What was asked for.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store does not refuse a second create, and two generations could both write.
    #[error(
        "{place}: {problem}\n  expected: a store in which a name that is there is never replaced\n  now: nothing was started\n  hint: set [job] state to a folder on another file system, or to a bucket that honours If-None-Match"
    )]
    NotExclusive {
        /// What was put.
        place: String,
        /// What the store did.
        problem: &'static str,
    },
    /// The store does not know who asks, or does not let it.
    #[error(
        "{place}: {doing} was refused\n  expected: credentials that may read, put, list and delete there\n  now: the process ends; nothing is lost\n  hint: set access_key_id and secret_access_key in [job] state_options (from variables), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, and mind the bucket's policy"
    )]
    Denied {
        /// What was asked for.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such bucket.
    #[error(
        "{place}: there is no bucket {bucket}\n  expected: a bucket that was made before; caudal makes none\n  now: the process ends; nothing was changed\n  hint: mind the name in [job] state, and endpoint and region in state_options"
    )]
    NoBucket {
        /// What was asked for.
        place: String,
        /// The bucket.
        bucket: String,
    },
    /// The store did not answer for long.
    #[error(
        "{place}: {doing} failed for {seconds} s\n  expected: a store that answers; requests are made again for that long\n  now: the process ends; the job goes on from its newest checkpoint when it is started again\n  hint: look whether the store runs and can be reached from here; mind endpoint in [job] state_options"
    )]
    Away {
        /// What was asked for.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// For how long it was tried.
        seconds: u64,
        /// The last answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run had ended by something else before the store answered.
    #[error("{place}: {doing} was given up: the run is over")]
    GivenUp {
        /// What was asked for.
        place: String,
        /// What was being done.
        doing: &'static str,
    },
    /// Written by a newer version.
    #[error(
        "{place}: has format {found}\n  expected: format {known} or an older one\n  now: nothing was changed\n  hint: run the job with the version of caudal that wrote it, or a newer one"
    )]
    Newer {
        /// The record.
        place: String,
        /// Its format.
        found: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// A record is not what this program writes.
    #[error(
        "{place}: {problem}\n  expected: a record as caudal writes it; records are never changed\n  now: nothing was changed\n  hint: restore the state folder as it was, whole"
    )]
    Unreadable {
        /// The record.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A record is missing, though there are newer ones.
    #[error(
        "{place}: is not there, but {newest} is\n  expected: every record from the base on\n  now: nothing was changed\n  hint: restore the state folder as it was, whole"
    )]
    Gap {
        /// The missing record.
        place: String,
        /// The newest one.
        newest: String,
    },
    /// Records were removed, and what is left does not say where to begin.
    #[error(
        "{place}: the records from here on hold no {lacking}\n  expected: a plan, a claim and a checkpoint at or behind the base\n  now: nothing was changed\n  hint: restore the state folder as it was, whole"
    )]
    Incomplete {
        /// The first record.
        place: String,
        /// What is not there.
        lacking: &'static str,
    },
    /// Another process has taken the job over.
    #[error(
        "{place}: this process belongs to generation {own}; generation {by} has taken over\n  now: the process ends; what it has not committed is read again by generation {by}\n  hint: start a job once; where two are wanted, give each its own state and output"
    )]
    Fenced {
        /// Where this process would have written.
        place: String,
        /// The generation of this process.
        own: u64,
        /// The newer one.
        by: u64,
    },
}

impl From<FileError> for JournalError {
    fn from(error: FileError) -> Self {
        let (place, doing) = (error.path.display().to_string(), error.doing);
        let full = matches!(
            error.source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        let source = Box::new(error.source);
        if full {
            Self::DiskFull {
                place,
                doing,
                source,
            }
        } else {
            Self::Store {
                place,
                doing,
                source,
            }
        }
    }
}
