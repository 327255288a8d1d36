//! What a job is asked for that runs until it is told to stop.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use crate::job::secrets::masked;

/// How a continuous job goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuous {
    /// Where the journal and checkpoints are.
    pub state: StatePlace,
    /// How long an epoch is open: rows become visible to checks and alerts by epochs.
    pub epoch: Duration,
    /// Time between checkpoints, which is how often files become visible.
    pub checkpoint: Duration,
    /// How many rows may wait for reference rows.
    pub max_parked: u64,
    /// Whether it keeps what was said of its checks, with when it was said.
    pub verdict_history: bool,
}

/// Where the state of a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Bucket),
}

/// A prefix in a bucket of S3, or of what speaks as it does. Shown without secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub bucket: String,
    /// What all names begin with; without `/` at its ends.
    pub prefix: String,
    /// Options of the client by its own names.
    pub options: BTreeMap<String, String>,
    /// How long requests are made again that fail for a reason that may pass.
    pub patience: Duration,
}

impl Bucket {
    /// The client's options as people may see them, by name.
    pub fn shown_options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), masked(name, value)))
    }
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<&str, &str> = self.shown_options().collect();
        write!(f, "{self} {options:?}")
    }
}

/// How the events of a source arrive, in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// How much older than the newest event of its partition an event may be and not be late.
    pub disorder: Duration,
    /// How far an event may lie in the future of the epoch's wall time; beyond it is refused.
    pub max_future: Duration,
    /// After how long without events a partition that is read to its end holds no window open any more.
    pub idle_after: Duration,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            disorder: Duration::from_secs(10),
            max_future: Duration::from_mins(5),
            idle_after: Duration::from_mins(1),
        }
    }
}

/// Topics to read. Shown without secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSource {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// Which topics.
    pub topics: Topics,
    /// Where a partition is begun that the job has not read yet.
    pub start: KafkaStart,
    /// What happens where messages that the job has not read are gone.
    pub on_data_loss: OnDataLoss,
    /// Group that positions are told to after each commit, for those who watch lag; they are never read back.
    pub group: Option<String>,
    /// Options of the client library by their own names; none that would break what caudal promises.
    pub options: BTreeMap<String, String>,
}

impl KafkaSource {
    /// The client's options as people may see them, by name.
    pub fn shown_options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), masked(name, value)))
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<&str, &str> = self.shown_options().collect();
        f.debug_struct("KafkaSource")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("on_data_loss", &self.on_data_loss)
            .field("group", &self.group)
            .field("options", &options)
            .finish()
    }
}

/// Files that go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowSource {
    /// Paths and patterns, as those of files that end.
    pub paths: Vec<PathBuf>,
    /// After how long without a change a file is whole; `None`: never.
    pub complete_after: Option<Duration>,
    /// What happens where bytes that the job has not read are gone, or those that it has read are others now.
    pub on_data_loss: OnDataLoss,
    /// Whether a file that holds the same as one that was read and is still there is read, too.
    pub reads_copies: bool,
}

/// Which topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches this regular expression (see [`Topics::whole_name`]).
    Pattern(String),
}

impl Topics {
    /// What matches the whole names that the pattern means.
    ///
    /// # Errors
    /// Where the pattern is no regular expression; that of a plan is one.
    pub fn whole_name(pattern: &str) -> Result<Regex, regex::Error> {
        // Alone first, so that no bracket of it closes ours.
        Regex::new(pattern)?;
        Regex::new(&format!("^(?:{pattern})$"))
    }
}

/// Where a partition is begun that the job has not read yet. Partitions added while the job runs are begun at their first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaStart {
    /// At its first message.
    Earliest,
    /// Behind its last message.
    Latest,
    /// At the first message whose broker time, in milliseconds since 1970, is not before this.
    Time(i64),
    /// At these offsets, by topic and partition; partitions that are not named at their first message.
    Offsets(BTreeMap<(String, i32), i64>),
}

/// What happens where messages or bytes that the job has not read are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDataLoss {
    /// The job stops and says how many.
    Stop,
    /// It goes on with the first message, or byte, there is, and counts those that are gone.
    Earliest,
}

/// What a column says of the message that a row came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// Its key as text.
    Key,
    /// Its headers as a JSON object of texts.
    Headers,
    /// Its topic.
    Topic,
    /// Its partition.
    Partition,
    /// Its offset.
    Offset,
    /// The broker's or producer's time.
    Timestamp,
}

impl Metadata {
    /// Its word in the job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Headers => "headers",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
            Self::Timestamp => "timestamp",
        }
    }
}
