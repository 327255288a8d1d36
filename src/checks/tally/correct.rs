//! Corrections: closed windows that take late rows until they are final.
//!
//! ```text
//!    final until            open from
//!  ───────┼──────────────────────┼───────────>  windows of a segment, by time
//!         │ closed, provisional  │ open
//!   baselines (settled)   baselines (judged)
//! ```
//!
//! A window closes as the watermark passes its end, and is final when it has passed the end + `correct_within`. In between it stays in the
//! state, with what was said of it. The law, which `saved::tests::corrected` holds against a tally that never closes anything before its end:
//! *after each epoch the signed sum of all that was said is one verdict for each check, segment and closed window, and it is what a bounded
//! tally over the rows so far says of it; when all is final, so is each of those.*
//!
//! Why it holds:
//!
//! 1. What is said of a window depends on its rows and on the baseline behind the windows before it, in order of time. Each segment keeps
//!    the baseline behind its last window that is final, and every closed window since. From these all verdicts can be judged again.
//! 2. An epoch without late rows for a segment changes no closed window. So those that close now are judged by the baseline behind the last
//!    that closed, which is kept, too.
//! 3. A late row may change its window and all later ones of its segment, and nothing before: all that are closed are judged again from the
//!    settled baseline. Those later are still in the state, since they end later. What is another than what was *said* is taken back as it
//!    was said, and said anew: not what would be judged of the former rows, since thresholds may be others than in the life that said it.
//! 4. A window that becomes final is judged once more from the settled baseline, which goes forward by it. Where that is another verdict
//!    than what was said, thresholds have changed, and the segment is judged again as by a late row.
//!
//! The second baseline is not written with the state: whoever reads that judges the segment again when it is its turn, and says nothing
//! where nothing is another.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::judge::{Asked, Row, judge_window};
use super::open::Open;
use super::segments::{SegmentId, at};
use super::told::{OfSegment, Told};
use super::{Closed, Tally, is_stub, name_of, no_baselines};
use crate::checks::layout::Layout;
use crate::checks::variance::Baseline;
use crate::checks::verdict::Judged;
use crate::record::Epoch;

/// What was said of a closed window that is not final.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// The newest epoch that it covered.
    pub(super) epoch: Epoch,
    /// What each verdict is about, as its place in [`Corrected::names`], and what it was.
    pub(super) verdicts: Vec<(usize, Judged)>,
    /// Where the table of windows tells changes.
    pub(super) row: Option<Row>,
}

/// What is kept of a segment besides its windows.
#[derive(Debug, Default)]
struct Kept {
    /// By start, in order: of closed windows that had rows.
    said: Vec<(i64, Said)>,
    /// Behind the last closed window; none where it is not known.
    judged: Option<Box<[Baseline]>>,
    /// Whether late rows came since it was judged.
    is_late: bool,
    /// Where it stands in `closing`.
    closing: Option<i64>,
    /// Where it stands in `settling`.
    settling: Option<i64>,
}

/// What the windows of all segments are corrected by.
#[derive(Debug)]
pub(super) struct Corrected {
    /// What verdicts are about: the checks and statistics of the layout, then those that only state knows that was read.
    names: Vec<Arc<str>>,
    /// By id.
    segments: Vec<Kept>,
    /// Start of the first window of each segment that is not closed.
    closing: BTreeSet<(i64, SegmentId)>,
    /// Start of the first window of each segment that is closed.
    settling: BTreeSet<(i64, SegmentId)>,
    late: Vec<SegmentId>,
    /// Rows that came late and were taken.
    rows: u64,
}

impl Corrected {
    pub(super) fn new(layout: &Layout) -> Self {
        let names = 0..layout.checks.len() + layout.statistics.len();
        Self {
            names: names.map(|index| name_of(layout, index).into()).collect(),
            segments: Vec::new(),
            closing: BTreeSet::new(),
            settling: BTreeSet::new(),
            late: Vec::new(),
            rows: 0,
        }
    }

    /// What verdicts are about.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The place of a name, which is taken up where it is new.
    pub(super) fn name(&mut self, name: &Arc<str>) -> usize {
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.names.push(Arc::clone(name));
            self.names.len() - 1
        })
    }

    /// Counts rows of which a window was closed.
    pub(super) fn count(&mut self, rows: i64) {
        self.rows += u64::try_from(rows).unwrap_or(0);
    }

    /// Rows came for the window of a segment.
    pub(super) fn came(&mut self, id: SegmentId, start: i64, open_from: i64) {
        let of = of(&mut self.segments, id);
        if start < open_from {
            if !std::mem::replace(&mut of.is_late, true) {
                self.late.push(id);
            }
        } else if of.closing.is_none_or(|first| start < first) {
            if let Some(first) = of.closing.replace(start) {
                self.closing.remove(&(first, id));
            }
            self.closing.insert((start, id));
        }
    }

    /// Closed windows of the segment are to be judged again, where there are any.
    pub(super) fn judge_again(&mut self, id: SegmentId) {
        let of = of(&mut self.segments, id);
        if !of.said.is_empty() && !std::mem::replace(&mut of.is_late, true) {
            self.late.push(id);
        }
    }

    /// What was said of the windows of a segment.
    pub(super) fn said(&self, id: SegmentId) -> &[(i64, Said)] {
        self.segments
            .get(at(id))
            .map_or(&[], |of| of.said.as_slice())
    }

    /// Takes up what was said of a segment that was read.
    pub(super) fn take_up(
        &mut self,
        id: SegmentId,
        said: Vec<(i64, Said)>,
        open: &Open,
        open_from: i64,
    ) {
        let of = of(&mut self.segments, id);
        of.said = said;
        of.judged = None;
        self.put_in_time(id, open, open_from);
    }

    /// Forgets a segment.
    pub(super) fn forget(&mut self, id: SegmentId) {
        let of = std::mem::take(of(&mut self.segments, id));
        if let Some(start) = of.closing {
            self.closing.remove(&(start, id));
        }
        if let Some(start) = of.settling {
            self.settling.remove(&(start, id));
        }
        self.late.retain(|late| *late != id);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self {
            names: std::mem::take(&mut self.names),
            segments: Vec::new(),
            closing: BTreeSet::new(),
            settling: BTreeSet::new(),
            late: Vec::new(),
            rows: self.rows,
        };
    }

    /// Forgets what was said of windows before `start`.
    pub(super) fn forget_before(&mut self, id: SegmentId, start: i64) {
        let said = &mut of(&mut self.segments, id).said;
        said.drain(..said.partition_point(|(before, _)| *before < start));
    }

    /// Puts a segment where it is found when its next window closes or is settled.
    pub(super) fn put_in_time(&mut self, id: SegmentId, open: &Open, open_from: i64) {
        let of = of(&mut self.segments, id);
        let closed = open.first().map(|(first, _)| first);
        let closed = closed.filter(|first| *first < open_from);
        let said = of.said.first().map(|(first, _)| *first);
        let settling = closed.into_iter().chain(said).min();
        let closing = open.first_from(open_from);
        for (set, was, is) in [
            (&mut self.settling, &mut of.settling, settling),
            (&mut self.closing, &mut of.closing, closing),
        ] {
            if *was != is {
                if let Some(start) = std::mem::replace(was, is) {
                    set.remove(&(start, id));
                }
                if let Some(start) = is {
                    set.insert((start, id));
                }
            }
        }
    }

    /// Takes the segments that have something to close, to settle or to correct, each once, in no order.
    pub(super) fn take_due(&mut self, open_from: i64, final_until: i64) -> Vec<SegmentId> {
        let mut ids = std::mem::take(&mut self.late);
        while let Some(&(start, id)) = self.closing.first()
            && start < open_from
        {
            self.closing.pop_first();
            of(&mut self.segments, id).closing = None;
            ids.push(id);
        }
        while let Some(&(start, id)) = self.settling.first()
            && start < final_until
        {
            self.settling.pop_first();
            of(&mut self.segments, id).settling = None;
            ids.push(id);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn of(segments: &mut Vec<Kept>, id: SegmentId) -> &mut Kept {
    let place = at(id);
    if segments.len() <= place {
        segments.resize_with(place + 1, Kept::default);
    }
    &mut segments[place]
}

impl Tally {
    /// Late rows that were taken since this was asked last.
    pub fn take_corrected(&mut self) -> u64 {
        let corrected = self.corrected.as_mut();
        corrected.map_or(0, |corrected| std::mem::take(&mut corrected.rows))
    }

    /// Closes and settles what the watermark has passed, and corrects what late rows have changed.
    pub(super) fn revise_until(&mut self, watermark: i64) -> Closed {
        let closed_before = self.open_from;
        self.pass(watermark);
        let corrected = self.corrected.as_mut().expect("its windows are corrected");
        let mut ids = corrected.take_due(self.open_from, self.final_until);
        self.segments.put_in_order(&mut ids);
        let mut told = Told::new(&self.layout, &self.schema);
        for id in ids {
            self.changed.note(id);
            self.revise(id, closed_before, &mut told);
        }
        told.finish()
    }

    /// Judges what is due of a segment; windows before `closed_before` were closed the last time.
    fn revise(&mut self, id: SegmentId, closed_before: i64, told: &mut Told) {
        let Self {
            layout,
            segments,
            corrected: Some(corrected),
            held_back,
            windows,
            ends,
            lists,
            closed_until,
            open_from,
            final_until,
            ..
        } = self
        else {
            return;
        };
        let kept = segments.get_mut(id);
        let of = of(&mut corrected.segments, id);
        if kept.baselines.is_empty() {
            kept.baselines = no_baselines(layout);
        }
        let mut out = Out {
            names: &corrected.names,
            tells_changes: layout.tells_changes,
            told: told.of(&kept.segment),
        };
        let settled = &mut kept.baselines;
        // Whether closed windows are judged again, and by what; it begins behind the last that is settled now.
        let mut again = std::mem::take(&mut of.is_late) || of.judged.is_none();
        let mut judged = of.judged.take();
        let mut is_behind = false;
        let before = std::mem::take(&mut of.said);
        let mut said = Vec::with_capacity(before.len());
        let mut before = before.into_iter().peekable();
        let mut closed = kept.open.before(*open_from).peekable();
        loop {
            let of_window = closed.peek().map(|(start, _)| *start);
            let of_said = before.peek().map(|(start, _)| *start);
            let Some(start) = of_window.into_iter().chain(of_said).min() else {
                break;
            };
            let window = closed.next_if(|(at, _)| *at == start);
            let window = window.map(|(_, window)| window);
            let listed = lists.of(&kept.segment, start);
            let window = window.filter(|window| {
                layout.is_there(&window.partial) || listed.iter().any(Option::is_some)
            });
            let was = before.next_if(|(at, _)| *at == start).map(|(_, was)| was);
            let is_final = start < *final_until;
            // One that closes and is final at once takes the baseline of all that are closed with it.
            again |= is_final && start >= closed_before;
            let baselines = if is_final {
                &mut *settled
            } else {
                if again && !is_behind {
                    judged = Some(settled.clone());
                }
                is_behind = true;
                if !again && start < closed_before {
                    said.extend(was.map(|was| (start, was)));
                    continue;
                }
                judged
                    .as_mut()
                    .expect("it is known where nothing is judged again")
            };
            let now = window.map(|window| {
                let mut verdicts = Vec::new();
                let asked = Asked {
                    start,
                    partial: &window.partial,
                    is_stub: is_stub(layout, *ends, *closed_until, start),
                    listed: &listed,
                };
                let row = judge_window(layout, held_back, asked, baselines, |of, judged| {
                    verdicts.push((of, judged));
                });
                let row = (is_final || layout.tells_changes).then_some(row);
                Said {
                    epoch: window.epoch,
                    verdicts,
                    row,
                }
            });
            if is_final {
                let is_as_said = match (&was, &now) {
                    (Some(was), Some(now)) => was.says(now),
                    (was, now) => was.is_none() && now.is_none(),
                };
                again |= !is_as_said;
                out.settle(start, was, now);
            } else {
                out.say(start, was, now.as_ref());
                said.extend(now.map(|now| (start, now)));
            }
        }
        drop(closed);
        of.said = said;
        of.judged = if again && !is_behind {
            Some(settled.clone())
        } else {
            judged
        };
        *windows -= kept.open.take_before(*final_until).len();
        let is_nothing = kept.open.first().is_none()
            && of.said.is_empty()
            && kept.baselines.iter().all(Baseline::is_empty);
        if is_nothing {
            corrected.forget(id);
            segments.forget(id);
        } else {
            corrected.put_in_time(id, &kept.open, *open_from);
        }
    }
}

impl Said {
    /// Whether the verdicts are the same.
    fn says(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && self.verdicts.len() == other.verdicts.len()
            && other.verdicts.iter().all(|verdict| self.has(verdict))
    }

    fn has(&self, (of, judged): &(usize, Judged)) -> bool {
        let mut known = self.verdicts.iter();
        known.any(|(known, said)| known == of && is_same(said, judged))
    }
}

/// Whether two verdicts are the same to the bit: numbers that are none are equal, too.
fn is_same(one: &Judged, other: &Judged) -> bool {
    let bits = |number: Option<f64>| number.map(f64::to_bits);
    let parts = |judged: &Judged| {
        let Judged {
            status,
            value,
            numerator,
            denominator,
            expected: _,
            baseline,
        } = judged;
        (
            *status,
            bits(*value),
            *numerator,
            *denominator,
            bits(*baseline),
        )
    };
    parts(one) == parts(other) && one.expected == other.expected
}

fn is_same_row(one: &Row, other: &Row) -> bool {
    let bits = |row: &Row| -> Vec<Option<u64>> {
        let values = row.values.iter();
        values.map(|value| value.map(f64::to_bits)).collect()
    };
    one.numbers == other.numbers && bits(one) == bits(other)
}

/// What is said and taken back of a segment.
struct Out<'a> {
    names: &'a [Arc<str>],
    tells_changes: bool,
    told: OfSegment<'a>,
}

impl Out<'_> {
    /// Takes back what was said provisionally, and says what is final.
    fn settle(&mut self, start: i64, was: Option<Said>, now: Option<Said>) {
        if let Some(was) = was {
            self.tell(start, (false, -1), was, |_| true, true);
        }
        if let Some(now) = now {
            self.tell(start, (true, 1), now, |_| true, true);
        }
    }

    /// Takes back what is another now, and says that.
    fn say(&mut self, start: i64, was: Option<Said>, now: Option<&Said>) {
        let nothing = Said::default();
        let new = now.unwrap_or(&nothing);
        let old = was.as_ref().unwrap_or(&nothing);
        // A verdict says what it covers, too.
        let is_same_epoch = old.epoch == new.epoch;
        let is_same_row = match (&old.row, &new.row) {
            (Some(old), Some(new)) => is_same_row(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if let Some(was) = &was {
            let is_other = |verdict: &(usize, Judged)| !is_same_epoch || !new.has(verdict);
            self.tell(start, (false, -1), was.clone(), is_other, !is_same_row);
        }
        if let Some(now) = now {
            let is_other = |verdict: &(usize, Judged)| !is_same_epoch || !old.has(verdict);
            self.tell(start, (false, 1), now.clone(), is_other, !is_same_row);
        }
    }

    fn tell(
        &mut self,
        start: i64,
        (is_final, sign): (bool, i32),
        said: Said,
        which: impl Fn(&(usize, Judged)) -> bool,
        with_row: bool,
    ) {
        let mut out = self.told.of(start, is_final, sign);
        for (of, judged) in said.verdicts.into_iter().filter(which) {
            out.verdict((&*self.names[of]).into(), said.epoch, judged);
        }
        if let Some(row) = said.row.filter(|_| with_row)
            && (is_final || self.tells_changes)
        {
            out.row(row);
        }
    }
}
