//! What can go wrong while writing: always the world, never a row.

use std::io;
use std::path::{Path, PathBuf};

use crate::epoch::durable::FileError;

/// Why output could not be written or made visible.
///
/// A run that ends with one of these shows nothing of what it wrote, except where the message says that it is committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// No space left, or the quota is used up.
    #[error(
        "{}: disk full while {doing}\n  now: the run stops and nothing of it is visible; what it staged is removed by the next run\n  hint: free space on this disk, or set [job] output to a folder on another one",
        path.display()
    )]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Any other answer of the file system.
    #[error("{}: {doing} failed\n  now: the run stops; what is not committed is not visible", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The log of a Delta table is not one that this build may add to.
    #[error("sinks.{sink}: {}: {problem}\n  expected: a table that this sink alone adds rows to, by versions that this build keeps to\n  now: the job ends; what is committed stays, and is added to the table when it can be\n  hint: {hint}", path.display())]
    Delta {
        /// The sink.
        sink: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The Parquet encoder refused.
    #[error("{}: writing Parquet failed\n  now: the run stops and nothing of it is visible", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The encoder's answer.
        source: ::parquet::errors::ParquetError,
    },
    /// A kernel refused the columns of a batch.
    #[error(
        "sinks.{sink}: columns could not be brought into one form\n  now: the run stops and nothing of it is visible"
    )]
    Columns {
        /// The sink.
        sink: String,
        /// The kernel's answer.
        source: arrow_schema::ArrowError,
    },
    /// A column of a type that no sink can hold.
    #[error(
        "sinks.{sink}.columns.{column}: values of type {data_type} can't be written\n  hint: cast it to one of the types of the job file, such as varchar"
    )]
    Type {
        /// The sink.
        sink: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: arrow_schema::DataType,
    },
    /// A sink without a column besides those of `partition_by`.
    #[error(
        "sinks.{sink}: every column stands in the path and the files would be empty\n  expected: at least one column that is not in partition_by"
    )]
    NoColumns {
        /// The sink.
        sink: String,
    },
    /// The output root belongs to another job.
    #[error(
        "{}: belongs to job {owner:?}, this is job {job:?}\n  now: nothing is written\n  hint: set [job] output to another folder, or remove this one if its content is no longer wanted",
        root.display()
    )]
    ForeignRoot {
        /// The output root.
        root: PathBuf,
        /// The job it belongs to.
        owner: String,
        /// The job that wanted it.
        job: String,
    },
    /// A folder that a sink would take holds something that caudal did not write.
    #[error(
        "{}: sinks.{sink} would take this folder, but no run of this job wrote it (it holds {entry:?})\n  now: nothing is written\n  hint: move the folder away, or give the sink another path",
        folder.display()
    )]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// The sink that would take it.
        sink: String,
        /// Something it holds.
        entry: String,
    },
    /// The output root is one of runs that end and the job is continuous, or the other way round.
    #[error(
        "{}: was written by {found}, this is of {wanted}\n  now: nothing is written\n  hint: set [job] output to another folder: what one of them shows the other would replace",
        root.display()
    )]
    OtherKind {
        /// The output root.
        root: PathBuf,
        /// Who wrote it.
        found: &'static str,
        /// Who wanted it.
        wanted: &'static str,
    },
    /// A sink's path can't be a folder of its own under the root.
    #[error(
        "sinks.{sink}: path {path:?} {problem}\n  expected: a folder of its own below [job] output, such as \"enriched\""
    )]
    BadFolder {
        /// The sink.
        sink: String,
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another run holds the output root.
    #[error(
        "{}: another run of this job is writing here\n  now: nothing is written\n  hint: wait until it ends; the lock goes with its process",
        root.display()
    )]
    Locked {
        /// The output root.
        root: PathBuf,
    },
    /// A file of `_caudal/` is not what this program writes.
    #[error(
        "{}: {problem}\n  expected: a file written by this version of caudal\n  now: nothing is written\n  hint: restore the file, or move the output folder away",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The next manifest was there already: something else commits to this root.
    #[error(
        "{}: this manifest exists already\n  now: the run stops and nothing of it is visible\n  hint: make sure that no other program writes to this output folder, then run again",
        path.display()
    )]
    ManifestTaken {
        /// The manifest.
        path: PathBuf,
    },
    /// A newer life of the continuous job commits to this root now.
    #[error(
        "{}: generation {newer} of this job has taken over, this is generation {generation}\n  now: this process stops; it changes nothing that is visible\n  hint: none where the job was started again or rescaled; else make sure that only one is started",
        root.display()
    )]
    Fenced {
        /// The output root.
        root: PathBuf,
        /// The generation that is told so.
        generation: u64,
        /// The one that commits.
        newer: u64,
    },
    /// A staged file is not what its writer told.
    #[error(
        "{}: has {found}, its writer told of {told} bytes\n  now: the process stops and nothing of this commit is visible; its rows are read again\n  hint: make sure that every process sees the same output folder and that no other program writes below _caudal",
        path.display()
    )]
    Staged {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// Bytes it should have.
        told: u64,
    },
    /// A committed file is neither where it was staged nor where it should be visible.
    #[error(
        "{}: manifest {manifest} has committed this file of {bytes} bytes, but neither it nor {} is there with that size\n  now: nothing more is written\n  hint: put the file back; or remove {} where its rows are no longer wanted",
        file.display(), staged.display(), folder.display()
    )]
    Lost {
        /// Where the file should be visible.
        file: PathBuf,
        /// Where it was staged.
        staged: PathBuf,
        /// The folder of everything that was staged with it.
        folder: PathBuf,
        /// Its size.
        bytes: u64,
        /// The manifest's number.
        manifest: u64,
    },
    /// A committed run can't be completed because its folders were touched from outside.
    #[error(
        "{}: run {run} is committed, but neither this folder nor {} is the one it wrote\n  now: nothing is changed\n  hint: put the folder that holds the files of manifest {manifest} here, or remove {} to run anew",
        folder.display(), staged.display(), staged.display()
    )]
    Unfinished {
        /// The sink's folder.
        folder: PathBuf,
        /// Where the run staged it.
        staged: PathBuf,
        /// The run.
        run: String,
        /// The manifest's number.
        manifest: u64,
    },
}

impl From<FileError> for SinkError {
    fn from(error: FileError) -> Self {
        Self::io(&error.path, error.doing, error.source)
    }
}

impl SinkError {
    /// An answer of the file system to what was tried with `path`.
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path,
                doing,
                source,
            },
            _ => Self::Io {
                path,
                doing,
                source,
            },
        }
    }

    /// An answer of the Parquet crate, which wraps those of the file system.
    pub(super) fn parquet(path: &Path, source: ::parquet::errors::ParquetError) -> Self {
        use ::parquet::errors::ParquetError;
        match source {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(inner) => Self::io(path, "writing a file", *inner),
                Err(inner) => Self::Parquet {
                    path: path.to_path_buf(),
                    source: ParquetError::External(inner),
                },
            },
            other => Self::Parquet {
                path: path.to_path_buf(),
                source: other,
            },
        }
    }
}
