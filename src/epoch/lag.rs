//! How far a continuous job is behind its sources, and what is visible behind it, as epochs see it.
//!
//! A partition is *read until* the last time of which it is known that everything that had come by then was read: when its reader met its end; of a
//! topic when its brokers were asked for the end that the reader has come to since, as a reader hears nothing of messages that come while they are
//! away; or, where that is later, up to the event time that its rows have reached, less what they are out of order by. The job is read until the
//! least of its partitions, and that never goes back.
//!
//! All of it is in the bindings, so that a replay judges as was judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::binding::Partition;

/// How long a commit may take before what waits for it is told, in microseconds: it takes some milliseconds, and most epochs need not say so.
const SLOW_COMMIT: i64 = 1_000_000;

/// What was not read, or not visible, when an epoch closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Wall time (or event time, where rows of the past are read) up to which all that had come was read, in microseconds since 1970; none where
    /// nothing is known of a partition.
    pub read_until: Option<i64>,
    /// Whether a source does not answer, or stands still before its end; else there is more than was read.
    pub is_source: bool,
    /// Wall time bound with the oldest checkpoint that is not visible, where that is some time ago. Written where there is none, too: workers
    /// tell each other of it in a form that has no names.
    pub uncommitted_since: Option<i64>,
}

impl Lag {
    /// Nothing is known: which partitions there are, and how much is in them, is found out in the first epoch.
    pub fn unknown() -> Self {
        Self {
            read_until: None,
            is_source: false,
            uncommitted_since: None,
        }
    }
}

/// What brokers said when they were asked where partitions end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// Whether they do not answer.
    pub is_away: bool,
    /// When they were asked what they answered last, and the offset behind the last message of each partition.
    pub answer: Option<(i64, Vec<(Partition, i64)>)>,
}

/// One partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand<'a> {
    pub(super) partition: &'a Partition,
    /// Where its reader is.
    pub(super) at: i64,
    /// Whether that met its end.
    pub(super) caught_up: bool,
    /// Whether it gave no row for so long that nothing of it is on its way.
    pub(super) is_quiet: bool,
    /// The event time that its rows have reached.
    pub(super) mark: Option<i64>,
}

/// What is known of the past.
#[derive(Debug, Clone, Default)]
pub(super) struct Lags {
    /// Until when each partition was read.
    read_until: BTreeMap<Partition, i64>,
    /// Until when all were.
    all: Option<i64>,
}

impl Lags {
    /// A partition was read to its end at this time.
    pub(super) fn caught_up(&mut self, partition: &Partition, now: i64) {
        let until = self.read_until.entry(partition.clone()).or_insert(now);
        *until = now.max(*until);
    }

    /// Takes what was decided before.
    pub(super) fn replay(&mut self, now: i64, lag: Option<&Lag>) {
        let until = lag.map_or(Some(now), |lag| lag.read_until);
        self.all = self.all.max(until);
    }

    /// What an epoch that ends at `now` is behind by; none where it is not. `uncommitted` is bound with the oldest checkpoint that is not visible.
    pub(super) fn decide<'a>(
        &mut self,
        now: i64,
        stands: impl Iterator<Item = Stand<'a>>,
        ends: &BTreeMap<String, Ends>,
        uncommitted: Option<i64>,
    ) -> Option<Lag> {
        let mut least = (Some(now), false);
        for stand in stands {
            let (until, is_source) = self.of_partition(now, stand, ends);
            // None is less than any time.
            if until < least.0 {
                least = (until, is_source);
            }
        }
        self.all = self.all.max(least.0);
        let uncommitted_since =
            uncommitted.filter(|since| now.saturating_sub(*since) > SLOW_COMMIT);
        let is_behind = self.all.is_none_or(|until| until < now) || uncommitted_since.is_some();
        is_behind.then_some(Lag {
            read_until: self.all,
            is_source: least.1,
            uncommitted_since,
        })
    }

    fn of_partition(
        &mut self,
        now: i64,
        stand: Stand<'_>,
        ends: &BTreeMap<String, Ends>,
    ) -> (Option<i64>, bool) {
        let ends = ends.get(&stand.partition.source);
        let at_end = match ends {
            Some(ends) => is_at_end(ends, stand),
            None => stand.caught_up.then_some(now),
        };
        if let Some(time) = at_end {
            self.caught_up(stand.partition, time.min(now));
        }
        let known = self.read_until.get(stand.partition).copied();
        let until = known.max(stand.mark).map(|until| until.min(now));
        // One that met its end, and does not know whether there is more, waits for the source.
        let is_source = ends.is_some_and(|ends| ends.is_away) || stand.is_quiet || stand.caught_up;
        (until, is_source)
    }
}

/// When brokers were asked for an end that the reader has come to.
fn is_at_end(ends: &Ends, stand: Stand<'_>) -> Option<i64> {
    let (asked, all) = ends.answer.as_ref()?;
    let mut own = all
        .iter()
        .filter(|(partition, _)| partition == stand.partition);
    own.next()
        .and_then(|(_, end)| (stand.at >= *end).then_some(*asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition {
            source: "sales".to_owned(),
            topic: "ventas".to_owned(),
            partition: number,
        }
    }

    /// Decides over partitions as (offset, caught up, quiet, mark), with ends that were asked for at a time.
    fn decide(
        lags: &mut Lags,
        now: i64,
        stands: &[(i64, bool, bool, Option<i64>)],
        ends: Option<Ends>,
    ) -> Option<Lag> {
        let partitions: Vec<Partition> = (0..).take(stands.len()).map(partition).collect();
        let stands = partitions.iter().zip(stands);
        let stands = stands.map(|(partition, (at, caught_up, is_quiet, mark))| Stand {
            partition,
            at: *at,
            caught_up: *caught_up,
            is_quiet: *is_quiet,
            mark: *mark,
        });
        let ends = ends.map(|ends| ("sales".to_owned(), ends));
        lags.decide(now, stands, &ends.into_iter().collect(), None)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what `decide` gives")]
    fn behind(read_until: Option<i64>, is_source: bool) -> Option<Lag> {
        Some(Lag {
            read_until,
            is_source,
            uncommitted_since: None,
        })
    }

    #[test]
    fn what_is_read_to_its_end_is_not_behind_and_the_least_of_all_counts() {
        let mut lags = Lags::default();
        assert_eq!(decide(&mut lags, 10, &[], None), None);
        assert_eq!(
            decide(
                &mut lags,
                20,
                &[(1, true, true, None), (1, true, false, None)],
                None
            ),
            None
        );
        // One has more than was read, and its events have come to 15.
        let one = [(1, true, true, None), (2, false, false, Some(15))];
        assert_eq!(decide(&mut lags, 30, &one, None), behind(Some(20), false));
        let further = [(1, true, true, None), (2, false, false, Some(25))];
        assert_eq!(
            decide(&mut lags, 40, &further, None),
            behind(Some(25), false)
        );
        // Events of the future are no proof.
        let future = [(2, false, false, Some(99))];
        assert_eq!(decide(&mut lags, 50, &future, None), None);
        assert_eq!(decide(&mut lags, 60, &one, None), behind(Some(50), false));
    }

    #[test]
    fn of_a_partition_that_gave_nothing_nothing_is_known() {
        let mut lags = Lags::default();
        assert_eq!(
            decide(&mut lags, 10, &[(0, false, true, None)], None),
            behind(None, true)
        );
        assert_eq!(decide(&mut lags, 20, &[(0, true, true, None)], None), None);
    }

    #[test]
    fn a_reader_that_is_where_the_end_was_has_read_until_then() {
        let mut lags = Lags::default();
        let ends = |asked, end| {
            Some(Ends {
                answer: Some((asked, vec![(partition(0), end)])),
                ..Ends::default()
            })
        };
        let busy = |at| [(at, false, false, None)];
        assert_eq!(
            decide(&mut lags, 10, &busy(5), ends(9, 5)),
            behind(Some(9), false)
        );
        assert_eq!(
            decide(&mut lags, 20, &busy(5), ends(19, 6)),
            behind(Some(9), false)
        );
        assert_eq!(
            decide(&mut lags, 30, &busy(7), ends(19, 6)),
            behind(Some(19), false)
        );
    }

    #[test]
    fn brokers_that_are_away_are_taken_at_their_last_word_until_readers_are_at_a_new_one() {
        let mut lags = Lags::default();
        let at_end = [(5, true, false, None)];
        let ends = |is_away, asked, end| {
            Some(Ends {
                is_away,
                answer: Some((asked, vec![(partition(0), end)])),
            })
        };
        assert_eq!(
            decide(&mut lags, 10, &at_end, ends(false, 9, 5)),
            behind(Some(9), true)
        );
        assert_eq!(
            decide(&mut lags, 20, &at_end, ends(true, 9, 5)),
            behind(Some(9), true)
        );
        // There is more than its reader has heard of.
        assert_eq!(
            decide(&mut lags, 30, &at_end, ends(false, 29, 8)),
            behind(Some(9), true)
        );
        let reads = [(6, false, false, None)];
        assert_eq!(
            decide(&mut lags, 40, &reads, ends(false, 29, 8)),
            behind(Some(9), false)
        );
        let read = [(8, true, false, None)];
        assert_eq!(
            decide(&mut lags, 50, &read, ends(false, 39, 8)),
            behind(Some(39), true)
        );
    }

    #[test]
    fn a_commit_that_takes_long_is_told() {
        let mut lags = Lags::default();
        let none = BTreeMap::new();
        let since = |now| lags.clone().decide(now, std::iter::empty(), &none, Some(5));
        assert_eq!(since(5 + SLOW_COMMIT), None);
        let lag = since(6 + SLOW_COMMIT).unwrap();
        assert_eq!(lag.uncommitted_since, Some(5));
        lags.replay(7, None);
        assert_eq!(lags.all, Some(7));
    }
}
