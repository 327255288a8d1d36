//! Topics that were deleted and made anew between two lives: what of them is still to be read.
//!
//! Positions in the topic of before mean nothing in the one that is there. Where the job may go on all the same (`on_data_loss =
//! "earliest"`), it is written down with the new topic's id up to which epoch the job had read the one before, its *last* epoch. From then
//! on every life that goes on from a checkpoint of that epoch or before knows what its bindings say: those up to it are of messages that
//! are gone, and hold none; those behind it are of the topic that is there.

use std::collections::BTreeMap;

use super::life::Resume;
use crate::epoch::Partition;
use crate::record::Epoch;

/// By what the id of a source's or look-up's topic is known among identities.
pub(super) fn id_of(owner: &str, topic: &str) -> String {
    format!("{owner} topic {topic}")
}

/// By what the last epoch of the topic of before is known there.
pub(super) fn last_of(owner: &str, topic: &str) -> String {
    format!("{} until", id_of(owner, topic))
}

/// Makes a life begin a topic of a source anew that was another one up to the epoch `last`: each partition of it at the offset at which
/// the first binding behind that found it, or where there is none yet, where `begins` says. Gives how many messages that were read once
/// would have to be read again, and are gone.
pub(super) fn begin<E>(
    resume: &mut Resume,
    (source, topic): (&str, &str),
    last: Epoch,
    mut begins: impl FnMut(&Partition) -> Result<i64, E>,
) -> Result<i64, E> {
    if resume.epoch > last {
        return Ok(0);
    }
    let is_of = |partition: &Partition| partition.source == source && partition.topic == topic;
    let mut starts: BTreeMap<Partition, i64> = BTreeMap::new();
    for binding in resume.replay.iter().filter(|binding| binding.epoch > last) {
        for moved in binding.moved.iter().filter(|moved| is_of(&moved.partition)) {
            starts.entry(moved.partition.clone()).or_insert(moved.from);
        }
    }
    let before = resume
        .replay
        .iter_mut()
        .filter(|binding| binding.epoch <= last);
    let replayed = before.flat_map(|binding| &mut binding.moved);
    let mut gone = 0;
    for moved in resume.partitions.iter_mut().chain(replayed) {
        if !is_of(&moved.partition) {
            continue;
        }
        let start = if let Some(start) = starts.get(&moved.partition) {
            *start
        } else {
            let start = begins(&moved.partition)?;
            starts.insert(moved.partition.clone(), start);
            start
        };
        gone += moved.to - moved.from;
        (moved.from, moved.to) = (start, start);
    }
    Ok(gone)
}

/// Messages of a partition before `at` are gone: what is read again of it begins there.
pub(super) fn lift(resume: &mut Resume, partition: &Partition, at: i64) {
    let replayed = resume
        .replay
        .iter_mut()
        .flat_map(|binding| &mut binding.moved);
    for moved in replayed.filter(|moved| moved.partition == *partition) {
        moved.from = moved.from.max(at);
        moved.to = moved.to.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::{Binding, Moved};

    fn moved(topic: &str, number: i32, from: i64, to: i64) -> Moved {
        Moved {
            partition: Partition {
                source: "sales".to_owned(),
                topic: topic.to_owned(),
                partition: number,
            },
            from,
            to,
            newest: Some(7),
            caught_up: false,
            file: None,
        }
    }

    fn resume(epoch: Epoch, bindings: Vec<(Epoch, Vec<Moved>)>) -> Resume {
        let binding = |(epoch, moved)| Binding {
            epoch,
            generation: 1,
            now: 0,
            watermark: None,
            moved,
            references: Vec::new(),
            parked: 0,
            lag: None,
        };
        Resume {
            epoch,
            now: 0,
            watermark: None,
            // What a checkpoint holds of a partition begins and ends where it goes on.
            partitions: vec![moved("a", 0, 50, 50), moved("b", 0, 9, 9)],
            references: Vec::new(),
            changed: Vec::new(),
            parked: 0,
            lag: None,
            replay: bindings.into_iter().map(binding).collect(),
        }
    }

    /// Begins topic `a` anew, of which partitions would be begun at 3.
    fn begun(resume: &mut Resume, last: Epoch) -> i64 {
        let at_three = |_: &Partition| Ok::<_, ()>(3);
        begin(resume, ("sales", "a"), last, at_three).unwrap()
    }

    #[test]
    fn what_was_read_of_the_topic_before_is_read_no_more() {
        let before = vec![
            (11, vec![moved("a", 0, 50, 60), moved("b", 0, 9, 12)]),
            (12, vec![moved("a", 1, 0, 5)]),
        ];
        let mut found = resume(10, before);
        assert_eq!(begun(&mut found, 12), 15);
        let wanted = vec![
            (11, vec![moved("a", 0, 3, 3), moved("b", 0, 9, 12)]),
            (12, vec![moved("a", 1, 3, 3)]),
        ];
        let mut wanted = resume(10, wanted);
        wanted.partitions[0] = moved("a", 0, 3, 3);
        assert_eq!(found, wanted);
        // A checkpoint behind it is one of the topic that is there.
        let mut later = resume(13, Vec::new());
        assert_eq!(begun(&mut later, 12), 0);
        assert_eq!(later, resume(13, Vec::new()));
        let mut at = resume(12, Vec::new());
        assert_eq!(begun(&mut at, 12), 0);
        assert_eq!(at.partitions[0], moved("a", 0, 3, 3));
    }

    #[test]
    fn a_later_life_reads_the_new_topic_as_the_one_that_met_it() {
        let bindings = |from_a: i64, to_a: i64| {
            vec![
                (11, vec![moved("a", 0, from_a, to_a)]),
                (12, vec![moved("a", 0, 1, 30), moved("b", 0, 9, 12)]),
                (13, vec![moved("a", 0, 30, 31)]),
            ]
        };
        let mut found = resume(10, bindings(50, 60));
        assert_eq!(begun(&mut found, 11), 10);
        let mut wanted = resume(10, bindings(1, 1));
        wanted.partitions[0] = moved("a", 0, 1, 1);
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_retention_took_is_not_read_again_and_bindings_follow_each_other() {
        let mut found = resume(
            10,
            vec![
                (11, vec![moved("a", 0, 50, 60), moved("b", 0, 9, 12)]),
                (12, vec![moved("a", 0, 60, 70)]),
            ],
        );
        let partition = found.partitions[0].partition.clone();
        lift(&mut found, &partition, 65);
        let wanted = vec![
            (11, vec![moved("a", 0, 65, 65), moved("b", 0, 9, 12)]),
            (12, vec![moved("a", 0, 65, 70)]),
        ];
        assert_eq!(found, resume(10, wanted));
    }
}
