//! What is decided when an epoch closes: pure functions of the answers, the wall clock's reading and what was bound before.
//!
//! - *Wall time* of a binding is the largest of what was bound before and the clock's reading: a clock that jumps back stands still.
//! - *The watermark* of a partition is its largest event time less its source's `disorder`; that of the job is the least of all
//!   partitions that are not idle, and never goes back. A partition is idle when it was read to its end and gave no row for
//!   `idle_after` of bound wall time. Where all are idle, nothing is on its way: the largest of theirs counts, so that the
//!   last windows before a quiet time close.
//! - Everything is a function of the bindings, so that a replay decides what was decided.

use std::collections::BTreeMap;

use super::binding::{Binding, FileMark, Moved, Partition, ReferenceChange, ReferenceRows};
use super::control::{Answer, Assigned};
use super::lag::{Ends, Lag, Lags, Stand};
use crate::job::plan::Arrival;
use crate::record::Epoch;

/// What keeps the watermark where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The partition that has come least far, of those that are not idle.
    pub partition: Partition,
    /// Its own mark; none where it has given no event.
    pub mark: Option<i64>,
    /// Whether another is further.
    pub is_behind: bool,
}

/// What is bound so far.
#[derive(Debug, Clone)]
pub struct Binder {
    generation: u64,
    /// The arrival of each source, by its name.
    arrival: BTreeMap<String, Arrival>,
    epoch: Epoch,
    now: i64,
    watermark: Option<i64>,
    partitions: BTreeMap<Partition, Known>,
    references: Vec<ReferenceRows>,
    /// Look-ups that changed in the last epoch.
    changed: Vec<String>,
    /// Rows that were parked before it.
    parked: u64,
    /// Until when partitions were read, where a check goes by it.
    lags: Option<Lags>,
    lag: Option<Lag>,
    /// What brokers said of each source's ends.
    ends: BTreeMap<String, Ends>,
    /// Wall time bound with the oldest checkpoint that is not visible.
    uncommitted: Option<i64>,
}

#[derive(Debug, Clone)]
struct Known {
    at: i64,
    newest: Option<i64>,
    caught_up: bool,
    /// Bound wall time at which it last gave a row, or became known.
    moved_at: i64,
    file: Option<FileMark>,
}

impl Binder {
    /// Goes on after `epoch`, with the partitions as they were then.
    pub fn new(
        generation: u64,
        arrival: BTreeMap<String, Arrival>,
        (epoch, now, watermark): (Epoch, i64, Option<i64>),
        partitions: &[Moved],
        references: &[ReferenceRows],
        (changed, parked): (&[String], u64),
    ) -> Self {
        let mut binder = Self {
            generation,
            arrival,
            epoch,
            now,
            watermark,
            partitions: BTreeMap::new(),
            references: references.to_vec(),
            changed: changed.to_vec(),
            parked,
            lags: None,
            lag: None,
            ends: BTreeMap::new(),
            uncommitted: None,
        };
        binder.take(partitions);
        binder
    }

    /// Tells from here on how far epochs are behind; `lag` is that of the last one that is bound.
    #[must_use]
    pub fn telling_lags(mut self, lag: Option<Lag>) -> Self {
        let mut lags = Lags::default();
        for (partition, known) in &self.partitions {
            if known.caught_up {
                lags.caught_up(partition, known.moved_at);
            }
        }
        lags.replay(self.now, lag.as_ref());
        self.lags = Some(lags);
        self.lag = lag;
        self
    }

    /// Whether it tells how far epochs are behind.
    pub fn tells_lags(&self) -> bool {
        self.lags.is_some()
    }

    /// Hears, before an epoch is bound, where sources end by their brokers' last word, and the wall time bound with the oldest checkpoint that is
    /// not visible.
    pub fn hear(&mut self, ends: BTreeMap<String, Ends>, uncommitted: Option<i64>) {
        self.ends = ends;
        self.uncommitted = uncommitted;
    }

    /// What was not read, or not visible, when the last epoch that is bound closed.
    pub fn lag(&self) -> Option<&Lag> {
        self.lag.as_ref()
    }

    /// The last epoch that is bound.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The wall time that is bound.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The watermark that is bound.
    pub fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// Every partition, in their order.
    pub fn partitions(&self) -> Vec<Moved> {
        let each = |(partition, known): (&Partition, &Known)| Moved {
            partition: partition.clone(),
            from: known.at,
            to: known.at,
            newest: known.newest,
            caught_up: known.caught_up,
            file: known.file.clone(),
        };
        self.partitions.iter().map(each).collect()
    }

    /// The rows of look-ups.
    pub fn references(&self) -> &[ReferenceRows] {
        &self.references
    }

    /// The look-ups that changed in the last epoch that is bound.
    pub fn changed(&self) -> &[String] {
        &self.changed
    }

    /// How many rows were parked before it.
    pub fn parked(&self) -> u64 {
        self.parked
    }

    /// Whether nothing is new of a followed file.
    pub fn knows_all_of(&self, moved: &Moved) -> bool {
        let known = self.partitions.get(&moved.partition);
        known.is_some_and(|known| {
            let known = (known.at, known.caught_up, &known.file);
            known == (moved.to, moved.caught_up, &moved.file)
        })
    }

    /// Whether a partition is known.
    pub fn knows(&self, partition: &Partition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// Binds the next epoch by the answers of all workers. `found` are the partitions that it made known, `references` the changes of
    /// look-ups that were read; `wall` is the clock's reading.
    pub fn decide(
        &mut self,
        found: &[Assigned],
        answers: Vec<Answer>,
        references: Vec<ReferenceChange>,
        wall: i64,
    ) -> Binding {
        self.epoch += 1;
        self.now = self.now.max(wall);
        self.parked = answers.iter().map(|answer| answer.parked).sum();
        let mut moved: BTreeMap<Partition, Moved> = BTreeMap::new();
        for assigned in found {
            let known = Moved {
                partition: assigned.partition.clone(),
                from: assigned.at,
                to: assigned.at,
                newest: assigned.newest,
                caught_up: false,
                file: assigned.file.clone(),
            };
            moved.insert(known.partition.clone(), known);
        }
        for of_partition in answers.into_iter().flat_map(|answer| answer.moved) {
            let known = self.partitions.get_mut(&of_partition.partition);
            if let Some(known) = known {
                assert_eq!(
                    known.at, of_partition.from,
                    "what an epoch holds begins where the one before ended: {of_partition:?}"
                );
                // That a partition has come to its end alone is no news that a replay needs.
                if of_partition.from == of_partition.to && known.newest >= of_partition.newest {
                    known.caught_up = of_partition.caught_up;
                    known.file = of_partition.file;
                    continue;
                }
            }
            moved.insert(of_partition.partition.clone(), of_partition);
        }
        let moved: Vec<Moved> = moved.into_values().collect();
        self.take(&moved);
        self.watermark = self.watermark.max(self.advance());
        self.take_references(&references);
        self.lag = self.lags.take().and_then(|mut lags| {
            let lag = lags.decide(self.now, self.stands(), &self.ends, self.uncommitted);
            self.lags = Some(lags);
            lag
        });
        Binding {
            epoch: self.epoch,
            generation: self.generation,
            now: self.now,
            watermark: self.watermark,
            moved,
            references,
            parked: self.parked,
            lag: self.lag.clone(),
        }
    }

    /// Where each partition stands.
    fn stands(&self) -> impl Iterator<Item = Stand<'_>> {
        let known = self.partitions.values();
        let marks = self.marks().zip(known);
        marks.map(|((partition, mark, _), known)| Stand {
            partition,
            at: known.at,
            caught_up: known.caught_up,
            is_quiet: self.is_quiet(partition, known),
            mark,
        })
    }

    /// Whether a partition gave no row for its source's `idle_after`.
    fn is_quiet(&self, partition: &Partition, known: &Known) -> bool {
        let arrival = self.arrival.get(&partition.source);
        let arrival = arrival.copied().unwrap_or_default();
        let quiet = self.now.saturating_sub(known.moved_at);
        quiet >= micros(arrival.idle_after)
    }

    /// Takes a binding that was decided before.
    pub fn replay(&mut self, binding: &Binding) {
        assert_eq!(binding.epoch, self.epoch + 1, "bindings are dense");
        self.epoch = binding.epoch;
        self.now = binding.now;
        self.watermark = binding.watermark;
        self.take(&binding.moved);
        self.take_references(&binding.references);
        self.parked = binding.parked;
        self.lag.clone_from(&binding.lag);
        if let Some(lags) = &mut self.lags {
            lags.replay(self.now, self.lag.as_ref());
        }
    }

    fn take_references(&mut self, changes: &[ReferenceChange]) {
        for change in changes {
            ReferenceRows::take(&mut self.references, change);
        }
        self.changed = changes.iter().map(|change| change.lookup.clone()).collect();
    }

    fn take(&mut self, moved: &[Moved]) {
        for of_partition in moved {
            let known = Known {
                at: of_partition.to,
                newest: of_partition.newest,
                caught_up: of_partition.caught_up,
                moved_at: self.now,
                file: of_partition.file.clone(),
            };
            self.partitions
                .insert(of_partition.partition.clone(), known);
        }
    }

    /// The watermark that the partitions allow.
    fn advance(&self) -> Option<i64> {
        let mut least: Option<i64> = None;
        let mut greatest: Option<i64> = None;
        let mut all_idle = true;
        for (_, mark, is_idle) in self.marks() {
            greatest = greatest.max(mark);
            if is_idle {
                continue;
            }
            // One that has not given an event yet holds all back.
            let mark = mark?;
            least = Some(least.map_or(mark, |least| least.min(mark)));
            all_idle = false;
        }
        if all_idle { greatest } else { least }
    }

    /// What keeps the watermark where it is; `None` where nothing is on its way.
    pub fn holder(&self) -> Option<Holder> {
        let active = self.marks().filter(|(_, _, is_idle)| !is_idle);
        // None is less than any mark.
        let (partition, mark, _) = active.min_by_key(|(_, mark, _)| *mark)?;
        Some(Holder {
            partition: partition.clone(),
            mark,
            is_behind: self.marks().any(|(_, other, _)| other > mark),
        })
    }

    /// For each partition how far it is in event time, and whether it is idle.
    fn marks(&self) -> impl Iterator<Item = (&Partition, Option<i64>, bool)> {
        self.partitions.iter().map(|(partition, known)| {
            let arrival = self.arrival.get(&partition.source);
            let arrival = arrival.copied().unwrap_or_default();
            let mark = known
                .newest
                .map(|newest| newest.saturating_sub(micros(arrival.disorder)));
            let is_idle = known.caught_up && self.is_quiet(partition, known);
            (partition, mark, is_idle)
        })
    }
}

/// A duration in microseconds; the largest there is for longer ones.
pub fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn partition(number: i32) -> Partition {
        Partition {
            source: "sales".to_owned(),
            topic: "ventas".to_owned(),
            partition: number,
        }
    }

    fn moved(number: i32, from: i64, to: i64, newest: Option<i64>, caught_up: bool) -> Moved {
        Moved {
            partition: partition(number),
            from,
            to,
            newest,
            caught_up,
            file: None,
        }
    }

    /// A binder over partitions 0 and 1, both at offset 0; disorder 2 s, idle after 5 s.
    fn binder() -> Binder {
        let arrival = Arrival {
            disorder: Duration::from_secs(2),
            max_future: Duration::from_mins(1),
            idle_after: Duration::from_secs(5),
        };
        let known = [moved(0, 0, 0, None, false), moved(1, 0, 0, None, false)];
        Binder::new(
            1,
            BTreeMap::from([("sales".to_owned(), arrival)]),
            (0, 0, None),
            &known,
            &[],
            (&[], 0),
        )
    }

    fn answers(of_workers: &[Moved]) -> Vec<Answer> {
        of_workers
            .iter()
            .enumerate()
            .map(|(worker, moved)| Answer {
                worker,
                moved: vec![moved.clone()],
                parked: 0,
            })
            .collect()
    }

    #[test]
    fn the_watermark_is_the_least_of_all_partitions_and_never_goes_back() {
        let mut binder = binder();
        let first = moved(0, 0, 5, Some(10 * SECOND), false);
        let bound = binder.decide(&[], answers(&[first]), Vec::new(), SECOND);
        assert_eq!(bound.watermark, None, "partition 1 has given nothing yet");
        let holder = |number, mark, is_behind| {
            let partition = partition(number);
            Some(Holder {
                partition,
                mark,
                is_behind,
            })
        };
        assert_eq!(binder.holder(), holder(1, None, true));
        let second = moved(1, 0, 1, Some(7 * SECOND), false);
        let bound = binder.decide(&[], answers(&[second]), Vec::new(), 2 * SECOND);
        assert_eq!(bound.watermark, Some(5 * SECOND));
        assert_eq!(binder.holder(), holder(1, Some(5 * SECOND), true));
        let found = Assigned {
            number: 2,
            partition: partition(2),
            at: 0,
            newest: Some(3 * SECOND),
            file: None,
            place: None,
        };
        let bound = binder.decide(&[found], Vec::new(), Vec::new(), 3 * SECOND);
        assert_eq!(bound.watermark, Some(5 * SECOND));
        assert_eq!(bound.moved.len(), 1);
    }

    #[test]
    fn a_quiet_partition_that_is_read_to_its_end_holds_nothing_back() {
        let mut binder = binder();
        let both = [
            moved(0, 0, 5, Some(10 * SECOND), true),
            moved(1, 0, 1, Some(4 * SECOND), true),
        ];
        let bound = binder.decide(&[], answers(&both), Vec::new(), SECOND);
        assert_eq!(bound.watermark, Some(2 * SECOND));
        let first = moved(0, 5, 6, Some(11 * SECOND), true);
        let bound = binder.decide(&[], answers(&[first]), Vec::new(), 5 * SECOND);
        assert_eq!(
            bound.watermark,
            Some(2 * SECOND),
            "not quiet for long enough"
        );
        let bound = binder.decide(&[], Vec::new(), Vec::new(), 6 * SECOND);
        assert_eq!(bound.watermark, Some(9 * SECOND));
        assert_eq!(binder.holder().unwrap().partition, partition(0));
        assert!(!binder.holder().unwrap().is_behind);
        // Where nothing is on its way at all, the last event counts.
        let bound = binder.decide(&[], Vec::new(), Vec::new(), 60 * SECOND);
        assert_eq!(bound.watermark, Some(9 * SECOND));
        assert_eq!(binder.holder(), None);
        assert!(bound.is_empty());
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut binder = binder();
        let bound = binder.decide(&[], Vec::new(), Vec::new(), 5 * SECOND);
        let jumped = binder.decide(&[], Vec::new(), Vec::new(), -SECOND);
        assert_eq!((bound.now, jumped.now), (5 * SECOND, 5 * SECOND));
    }

    #[test]
    fn a_life_whose_clock_is_behind_goes_on_with_the_time_that_was_bound() {
        let known = [moved(0, 5, 5, Some(90 * SECOND), true)];
        let bound = (7, 100 * SECOND, Some(88 * SECOND));
        let mut later = Binder::new(2, BTreeMap::new(), bound, &known, &[], (&[], 0));
        let nothing = || answers(&[moved(0, 5, 5, Some(90 * SECOND), false)]);
        for (wall, now) in [(40, 100), (99, 100), (100, 100), (101, 101), (60, 101)] {
            let bound = later.decide(&[], nothing(), Vec::new(), wall * SECOND);
            assert_eq!(bound.now, now * SECOND, "{wall}");
            assert_eq!(bound.watermark, Some(88 * SECOND), "{wall}");
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_lets_no_partition_be_idle_that_may_have_more() {
        let arrival = Arrival {
            disorder: Duration::from_secs(2),
            max_future: Duration::from_mins(1),
            idle_after: Duration::from_secs(5),
        };
        // Both were read to their ends when the life before ended, an hour ago or by a clock that is an hour ahead now.
        let known = [
            moved(0, 5, 5, Some(90 * SECOND), true),
            moved(1, 5, 5, Some(20 * SECOND), true),
        ];
        let bound = (7, 100 * SECOND, Some(18 * SECOND));
        let arrivals = BTreeMap::from([("sales".to_owned(), arrival)]);
        let mut later = Binder::new(2, arrivals, bound, &known, &[], (&[], 0));
        let not_read_yet = [
            moved(0, 5, 5, Some(90 * SECOND), false),
            moved(1, 5, 5, Some(20 * SECOND), false),
        ];
        let hour = 3_700 * SECOND;
        let bound = later.decide(&[], answers(&not_read_yet), Vec::new(), hour);
        assert_eq!((bound.now, bound.watermark), (hour, Some(18 * SECOND)));
        // What was waiting there is read, and is not late.
        let more = [
            moved(0, 5, 6, Some(95 * SECOND), false),
            moved(1, 5, 6, Some(21 * SECOND), true),
        ];
        let bound = later.decide(&[], answers(&more), Vec::new(), hour + SECOND);
        assert_eq!(bound.watermark, Some(19 * SECOND));
        // Only where there is nothing more, and that for long enough by the bound time, it is left out.
        let more = [moved(0, 6, 7, Some(99 * SECOND), false)];
        let bound = later.decide(&[], answers(&more), Vec::new(), hour + 6 * SECOND);
        assert_eq!(bound.watermark, Some(97 * SECOND));
    }

    #[test]
    fn what_was_bound_before_is_bound_again() {
        let mut first = binder();
        let mut bindings = Vec::new();
        for step in 1..6 {
            let at = step - 1;
            let both = [
                moved(0, at, step, Some(step * 3 * SECOND), step % 2 == 0),
                moved(1, at, step, Some(step * 2 * SECOND), true),
            ];
            bindings.push(first.decide(&[], answers(&both), Vec::new(), step * SECOND));
        }
        let mut again = binder();
        for binding in &bindings {
            again.replay(binding);
        }
        let next = [moved(0, 5, 6, Some(60 * SECOND), false)];
        assert_eq!(
            first.decide(&[], answers(&next), Vec::new(), 9 * SECOND),
            again.decide(&[], answers(&next), Vec::new(), 9 * SECOND)
        );
    }
}
