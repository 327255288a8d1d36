//! Which partitions the sources of a continuous job have, whatever they are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::files::SourceError;
use super::follow::{Changes, Folders};
use super::kafka::Topics;
use crate::epoch::{Binding, FilePlace, Found, Moved, Partition};
use crate::job::plan::{SourcePlan, Transport};

/// Looks for the partitions of one source, on process 0.
pub enum Discovery {
    /// Of topics.
    Kafka(Box<Topics>),
    /// Files that go on.
    Files(Folders),
}

impl Discovery {
    /// For a source without an end, of which `known` was read, and `replay` is to be read again; `None` for one with an end.
    pub fn new(
        source: &SourcePlan,
        known: &[Moved],
        replay: &[Binding],
    ) -> Result<Option<Self>, SourceError> {
        match &source.transport {
            Transport::Kafka(kafka) => {
                let replayed = replay.iter().flat_map(|binding| &binding.moved);
                let moved = known.iter().chain(replayed);
                let of_source = moved.filter(|moved| moved.partition.source == source.name);
                let known = of_source.map(|moved| moved.partition.clone()).collect();
                let topics = Topics::new(&source.name, kafka, known)?;
                Ok(Some(Self::Kafka(Box::new(topics))))
            }
            Transport::Follow(follow) => Ok(Some(Self::Files(Folders::new(
                &source.name,
                follow,
                known,
                replay,
            )))),
            Transport::Files { .. } | Transport::Generate { .. } => Ok(None),
        }
    }

    /// The first look, before anything is read: see [`Topics::look`] and [`Folders::begin`].
    pub fn begin(
        &mut self,
        patience: Duration,
        is_first: bool,
        over: &dyn Fn() -> bool,
    ) -> Result<Changes, SourceError> {
        match self {
            Self::Kafka(topics) => Ok(Changes {
                found: topics.look(patience, is_first, over)?,
                ..Changes::default()
            }),
            Self::Files(folders) => Ok(folders.begin(over)?),
        }
    }

    /// Files that are elsewhere than they were.
    pub fn places(&self) -> BTreeMap<Partition, FilePlace> {
        match self {
            Self::Kafka(_) => BTreeMap::new(),
            Self::Files(folders) => folders.places().collect(),
        }
    }

    /// Holds the place of a partition that was read before against what is there: see [`Topics::check`]. Files were looked at by
    /// [`Self::begin`].
    pub fn check(
        &self,
        known: &Moved,
        patience: Duration,
        over: &dyn Fn() -> bool,
    ) -> Result<(i64, i64), SourceError> {
        match self {
            Self::Kafka(topics) => Ok(topics.check(&known.partition, known.to, patience, over)?),
            Self::Files(_) => Ok((known.to, 0)),
        }
    }

    /// Those of topics.
    pub fn topics(&self) -> Option<&Topics> {
        match self {
            Self::Kafka(topics) => Some(topics),
            Self::Files(_) => None,
        }
    }

    /// What the source is by its own word, where positions mean nothing elsewhere: the id of a cluster.
    pub fn cluster(&self) -> Option<String> {
        match self {
            Self::Kafka(topics) => topics.cluster(),
            Self::Files(_) => None,
        }
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Kafka(topics) => topics.name(),
            Self::Files(folders) => folders.name(),
        }
    }
}

/// A partition of a topic and the offset to begin at.
pub(super) fn found(partition: Partition, at: i64) -> Found {
    Found {
        partition,
        at,
        file: None,
    }
}
