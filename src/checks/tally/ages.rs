//! Freshness while a job goes on: which segments' status changes, and when, without asking all of them.
//!
//! With t the newest event of a segment and L a limit (`warn_after`, `fail_after`), its status changes at the first `now` > t + L, or
//! with a new event. So a judgement asks (1) segments with events since the last one, and (2) those whose next t + L has
//! passed, which stand in order of time. The time that a segment stands under may be too early, since new events move it on
//! without touching the order; it is then asked once more than needed and put where it belongs. It is never too late.

use std::collections::BTreeSet;

use super::segments::{SegmentId, at};
use crate::checks::freshness::Freshness;
use crate::checks::verdict::{Judged, Status};

/// When which segment is asked next.
///
/// Cost: 32 bytes a segment, and some 30 for those whose status can still change by silence.
#[derive(Debug, Default)]
pub(super) struct Ages {
    by_id: Vec<Age>,
    /// Segments with events since the last judgement.
    touched: Vec<SegmentId>,
    /// Next t + L of each segment that has one, or a time before it.
    deadlines: BTreeSet<(i64, SegmentId)>,
}

#[derive(Debug, Clone, Default)]
struct Age {
    /// What was said of it last.
    status: Option<Status>,
    touched: bool,
    /// Its entry in the order.
    deadline: Option<i64>,
}

impl Ages {
    /// A segment has an event.
    pub(super) fn touch(&mut self, segment: SegmentId) {
        let age = self.age(segment);
        if !age.touched {
            age.touched = true;
            self.touched.push(segment);
        }
    }

    /// What was said of a segment last.
    pub(super) fn status(&self, segment: SegmentId) -> Option<Status> {
        self.by_id.get(at(segment)).and_then(|age| age.status)
    }

    /// Takes up a segment of which this was said last.
    pub(super) fn restore(&mut self, segment: SegmentId, status: Option<Status>) {
        self.age(segment).status = status;
        // Asked at the next judgement, which knows the limits.
        self.touch(segment);
    }

    /// The segments whose status is another one than at the last judgement, by id.
    ///
    /// Cost: the segments with events, and those with a deadline before `now`.
    pub(super) fn judge(
        &mut self,
        freshness: &Freshness,
        now: i64,
        newest: impl Fn(SegmentId) -> i64,
    ) -> Vec<(SegmentId, Judged)> {
        // 1. Events.
        let mut asked = std::mem::take(&mut self.touched);
        for segment in &asked {
            self.by_id[at(*segment)].touched = false;
        }
        // 2. Silence.
        while let Some(&(deadline, segment)) = self.deadlines.first()
            && deadline < now
        {
            self.deadlines.pop_first();
            self.by_id[at(segment)].deadline = None;
            asked.push(segment);
        }
        asked.sort_unstable();
        asked.dedup();
        let mut changed = Vec::new();
        for segment in asked {
            let newest = newest(segment);
            let judged = freshness.judge(newest, now);
            let next = [freshness.warn_after, freshness.fail_after]
                .into_iter()
                .flatten()
                .map(|limit| newest.saturating_add(limit))
                .filter(|deadline| *deadline >= now)
                .min();
            let age = &mut self.by_id[at(segment)];
            let early_enough =
                matches!((age.deadline, next), (Some(stands), Some(next)) if stands <= next);
            if !early_enough {
                if let Some(deadline) = age.deadline {
                    self.deadlines.remove(&(deadline, segment));
                }
                self.deadlines.extend(next.map(|next| (next, segment)));
                age.deadline = next;
            }
            if age.status != Some(judged.status) {
                age.status = Some(judged.status);
                changed.push((segment, judged));
            }
        }
        changed
    }

    /// Entries in the order of time.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.deadlines.len()
    }

    fn age(&mut self, segment: SegmentId) -> &mut Age {
        let index = at(segment);
        if self.by_id.len() <= index {
            self.by_id.resize_with(index + 1, Age::default);
        }
        &mut self.by_id[index]
    }
}
