//! The segments of a freshness check: which there are, when each was heard of last, and what was said of it.
//!
//! ```text
//!              rows                silence > limit             silence > retire_after
//!  (expected) ──────> appeared ───────────────────> silent ─────────────────────────> retired, forgotten
//!      │ silence                        <──────────   │ late
//!      └──────> never_came                 back
//! ```
//!
//! With t what a segment is judged by and L a limit, its status changes at the first r > t + L (by its calendar), or with new rows. So a judgement
//! asks (1) segments with rows since the last one, and (2) those whose next deadline has passed, which stand in order of time. The deadline that a
//! segment stands under may be too early, since new rows move it on without touching the order; it is then asked once more than needed and put
//! where it belongs. It is never too late.
//!
//! - r never goes back, whatever clocks and partitions do: it is kept with the state. So nothing is taken back because time was.
//! - What is kept is bounded (`max_segments`): of more, which of them are kept is decided epoch by epoch in the order of segments, so that a replay
//!   keeps the same.
//! - Segments that a look-up expects are counted by its rows, which each life reads anew; since when one is waited for is state.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;

use super::{Freshness, Reason, WHOLE};
use crate::checks::layout::Layout;
use crate::checks::stats::{Accumulator, Partial};
use crate::checks::value::{Segment, Value};
use crate::checks::verdict::{Judged, Status, Verdict, VerdictBuilder};
use crate::epoch::Lag;
use crate::job::plan::FreshnessOn;
use crate::record::Epoch;

/// What was said: of a segment that is as it should be without why.
pub(super) type Said = (Status, Option<Reason>);

/// The segments of a check.
///
/// Cost: for each some 250 bytes and its values.
#[derive(Debug)]
pub struct Lives {
    pub(super) layout: Arc<Layout>,
    pub(super) rule: Freshness,
    pub(super) known: BTreeMap<Arc<Segment>, Life>,
    /// Segments with news since the last judgement.
    pub(super) touched: BTreeSet<Arc<Segment>>,
    /// The next deadline of each segment that has one, or a time before it.
    deadlines: BTreeSet<(i64, Arc<Segment>)>,
    /// What is said of all of them.
    pub(super) whole: Whole,
    /// Whether rows came that are in no segment, since they were refused.
    refused: bool,
}

/// One segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// Its newest event.
    pub(super) newest: Option<i64>,
    /// When its last row came.
    pub(super) arrived: Option<i64>,
    /// The epoch of that.
    pub(super) epoch: Epoch,
    /// Since when it is waited for, where nothing ever came; in a run with an end it has no meaning.
    pub(super) since: i64,
    /// Whether its rows were told of.
    pub(super) has_appeared: bool,
    /// What was said of it last.
    pub(super) said: Option<Said>,
    /// How many rows of a look-up expect it. Not kept with the state.
    pub(super) expected: i64,
    /// Its entry in the order.
    pub(super) deadline: Option<i64>,
}

/// What concerns all segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    /// When the check began.
    pub(super) began: Option<i64>,
    /// The time up to which segments were judged.
    pub(super) judged_until: i64,
    /// Whether segments came that are not kept.
    pub(super) is_over: bool,
    /// What was said last, where that was no good.
    pub(super) said: Option<Said>,
}

impl Lives {
    /// Nothing came yet.
    pub fn new(layout: Arc<Layout>, rule: Freshness) -> Self {
        let mut lives = Self {
            rule,
            known: BTreeMap::new(),
            touched: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            whole: Whole {
                began: None,
                judged_until: i64::MIN,
                is_over: false,
                said: None,
            },
            refused: false,
            layout,
        };
        lives.expect_all_rows();
        lives
    }

    /// The one segment of a check without columns is always expected.
    pub(super) fn expect_all_rows(&mut self) {
        if self.layout.segment.is_empty() {
            self.expect(Segment::default(), 1);
        }
    }

    /// How many segments are kept.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// So many more rows of a look-up expect a segment, or fewer.
    pub fn expect(&mut self, segment: Segment, rows: i64) {
        let segment = Arc::new(segment);
        if let Some(life) = self.life(&segment) {
            life.expected += rows;
            self.touched.insert(segment);
        }
    }

    /// Rows of an epoch came, in a continuous job at this wall time; those of a segment without columns, where the check has some, were refused.
    pub fn apply(&mut self, segment: Segment, partial: &Partial, epoch: Epoch, now: i64) {
        if segment.0.len() < self.layout.segment.len() {
            self.refused |= partial.rows > 0;
            return;
        }
        let newest = match partial.accumulators.first() {
            Some(Accumulator::Greatest(Value::Int(time))) => Some(micros(*time, &self.layout)),
            _ => None,
        };
        let segment = Arc::new(segment);
        if let Some(life) = self.life(&segment) {
            life.newest = life.newest.max(newest);
            life.arrived = life.arrived.max(Some(now));
            life.epoch = life.epoch.max(epoch);
            self.touched.insert(segment);
        }
    }

    /// The segment's life, which begins where it is new and there is room.
    fn life(&mut self, segment: &Arc<Segment>) -> Option<&mut Life> {
        if !self.known.contains_key(segment) {
            if self.known.len() >= self.rule.max_segments {
                self.whole.is_over = true;
                return None;
            }
            let life = Life {
                since: i64::MAX,
                ..Life::default()
            };
            self.known.insert(Arc::clone(segment), life);
        }
        self.known.get_mut(segment)
    }

    /// Judges everything at the end of a run: one verdict a segment. The reference is `as_of`, or the newest event of all.
    pub fn close(&mut self, as_of: Option<i64>) -> RecordBatch {
        let mut verdicts = VerdictBuilder::default();
        if self.whole.is_over {
            let judged = self.too_many();
            self.push(&mut verdicts, WHOLE, judged, None, 0, true);
            return verdicts.finish();
        }
        if self.refused && !self.known.values().any(|life| life.arrived.is_some()) {
            let judged = self.rule.nothing();
            let reason = Some(Reason::NoEventTime);
            self.push(&mut verdicts, WHOLE, judged, reason, 0, true);
        }
        let newest = self.known.values().filter_map(|life| life.newest).max();
        let reference = match self.rule.on {
            FreshnessOn::Event => as_of.or(newest).unwrap_or(0),
            // All rows come with the run.
            FreshnessOn::Arrival => 0,
        };
        for (segment, life) in &self.known {
            if life.arrived.is_none() && life.expected <= 0 {
                continue;
            }
            let (judged, reason) = judged_at_the_end(&self.rule, life, reference);
            let text = text(&self.layout, segment);
            self.push(&mut verdicts, &text, judged, reason, life.epoch, true);
        }
        verdicts.finish()
    }

    /// Judges at `now`, an epoch's bound wall time: a verdict for each segment that is new or of which another thing is to be said than before, in
    /// order of segment; before them one of all of them together. `lag` says what is not read, or not visible, by then.
    ///
    /// Cost: that of segments with rows since the last judgement, and of those whose deadline has passed.
    pub fn judge(&mut self, now: i64, lag: Option<&Lag>) -> RecordBatch {
        let mut verdicts = VerdictBuilder::default();
        let began = *self.whole.began.get_or_insert(now);
        self.judge_whole(now, began, lag, &mut verdicts);
        let until = lag.map_or(Some(now), |lag| lag.read_until);
        self.whole.judged_until = self.whole.judged_until.max(until.unwrap_or(i64::MIN));
        let reference = self.whole.judged_until;
        if reference == i64::MIN {
            // It is not known yet what is missing.
            return verdicts.finish();
        }
        // 1. News.
        let mut asked = std::mem::take(&mut self.touched);
        // 2. Silence.
        while let Some((deadline, _)) = self.deadlines.first()
            && *deadline < reference
            && let Some((_, segment)) = self.deadlines.pop_first()
        {
            if let Some(life) = self.known.get_mut(&segment) {
                life.deadline = None;
            }
            asked.insert(segment);
        }
        for segment in asked {
            self.judge_segment(&segment, reference, now, &mut verdicts);
        }
        if self.known.len() < self.rule.max_segments {
            self.whole.is_over = false;
        }
        verdicts.finish()
    }

    fn judge_segment(
        &mut self,
        segment: &Arc<Segment>,
        reference: i64,
        now: i64,
        verdicts: &mut VerdictBuilder,
    ) {
        let Some(life) = self.known.get_mut(segment) else {
            return;
        };
        life.since = life.since.min(now);
        let (judged, reason) = judged(&self.rule, life, reference);
        let is_gone = judged.status == Status::Retired;
        let said = (judged.status, reason);
        let is_news = match life.said {
            Some(before) => before != said,
            // Before its first row nothing is said of one that is waited for in good time.
            None => life.arrived.is_some() || is_bad(judged.status),
        };
        let why = if reason.is_some() || life.arrived.is_none() {
            reason
        } else if !life.has_appeared {
            Some(Reason::Appeared)
        } else {
            Some(Reason::Back)
        };
        life.has_appeared |= life.arrived.is_some();
        let epoch = life.epoch;
        let was_told = life.said.is_some();
        if is_news {
            life.said = Some(said);
        }
        let next = next_deadline(&self.rule, life, judged.status, reference);
        let stands = life.deadline;
        if is_gone || !matches!((stands, next), (Some(stands), Some(next)) if stands <= next) {
            if let Some(deadline) = stands {
                self.deadlines.remove(&(deadline, Arc::clone(segment)));
            }
            let next = next.filter(|_| !is_gone);
            life.deadline = next;
            self.deadlines
                .extend(next.map(|next| (next, Arc::clone(segment))));
        }
        if is_news && (!is_gone || was_told || life.arrived.is_some()) {
            let text = text(&self.layout, segment);
            self.push(verdicts, &text, judged, why, epoch, false);
        }
        if is_gone {
            self.known.remove(segment);
        }
    }

    /// What is said of all segments: that there are too many, or else how far the job is behind.
    fn judge_whole(
        &mut self,
        now: i64,
        began: i64,
        lag: Option<&Lag>,
        verdicts: &mut VerdictBuilder,
    ) {
        let (judged, reason) = if self.whole.is_over {
            (self.too_many(), None)
        } else {
            self.lagging(now, began, lag)
        };
        let said = Some((judged.status, reason)).filter(|(status, _)| is_bad(*status));
        if said == self.whole.said {
            return;
        }
        self.whole.said = said;
        let reason = reason.or_else(|| said.is_none().then_some(Reason::Back));
        self.push(verdicts, WHOLE, judged, reason, 0, false);
    }

    /// How far what is read, or what is visible, is behind: the worse of both.
    fn lagging(&self, now: i64, began: i64, lag: Option<&Lag>) -> (Judged, Option<Reason>) {
        let fine = (self.rule.judge(now, now), None);
        let Some(lag) = lag else { return fine };
        let cause = if lag.is_source {
            Reason::SourceStalled
        } else {
            Reason::JobSlow
        };
        let read = (lag.read_until.unwrap_or(began), cause);
        let visible = lag
            .uncommitted_since
            .map(|since| (since, Reason::CommitSlow));
        let judged = [Some(read), visible].into_iter().flatten();
        let judged = judged
            .map(|(since, cause)| (self.rule.judge(since, now), Some(cause)))
            .filter(|(judged, _)| is_bad(judged.status));
        // Of two that are equally bad the first.
        judged.fold(fine, |worst, other| {
            if other.0.status > worst.0.status {
                other
            } else {
                worst
            }
        })
    }

    fn too_many(&self) -> Judged {
        Judged {
            expected: Some(format!("<= {} segments", self.rule.max_segments)),
            ..self.rule.judged(Status::TooManySegments, None)
        }
    }

    fn push(
        &self,
        verdicts: &mut VerdictBuilder,
        segment: &str,
        judged: Judged,
        reason: Option<Reason>,
        epoch: Epoch,
        is_final: bool,
    ) {
        let verdict = Verdict {
            check: Cow::Borrowed(&self.layout.name),
            segment,
            window: None,
            judged,
            epoch,
            is_final,
            sign: 1,
        };
        verdicts.push_because(verdict, reason.map(Reason::as_str));
    }
}

/// Whether a status is one of which the cause is told.
fn is_bad(status: Status) -> bool {
    !matches!(status, Status::Pass | Status::Measured)
}

/// What a segment is judged by, where there is something.
fn newest(rule: &Freshness, life: &Life) -> Option<i64> {
    match rule.on {
        FreshnessOn::Event => life.newest,
        FreshnessOn::Arrival => life.arrived,
    }
}

/// A segment at the end of a run, and why where it is no good.
fn judged_at_the_end(rule: &Freshness, life: &Life, reference: i64) -> (Judged, Option<Reason>) {
    match newest(rule, life) {
        Some(_) if rule.on == FreshnessOn::Arrival => (rule.judge(reference, reference), None),
        Some(newest) if is_retired(rule, life, newest, reference) => {
            retired(rule, newest, reference)
        }
        Some(newest) => {
            let judged = rule.judge(newest, reference);
            let reason = is_bad(judged.status).then_some(Reason::Silent);
            (judged, reason)
        }
        None if life.arrived.is_some() => (rule.nothing(), Some(Reason::NoEventTime)),
        None => (rule.nothing(), Some(Reason::NeverCame)),
    }
}

/// A segment while the job goes on, and why where it is no good.
fn judged(rule: &Freshness, life: &Life, reference: i64) -> (Judged, Option<Reason>) {
    let last = newest(rule, life).or(life.arrived).unwrap_or(life.since);
    if is_retired(rule, life, last, reference) {
        return retired(rule, last, reference);
    }
    let Some(newest) = newest(rule, life) else {
        if life.arrived.is_some() {
            return (rule.nothing(), Some(Reason::NoEventTime));
        }
        if life.expected <= 0 {
            // Nobody expects it any more, and it never came.
            return retired(rule, life.since, reference);
        }
        let judged = rule.judge(life.since, reference);
        let reason = is_bad(judged.status).then_some(Reason::NeverCame);
        return (judged, reason);
    };
    let judged = rule.judge(newest, reference);
    let reason = is_bad(judged.status).then(|| {
        // Its events were old when they came, and they come.
        let is_late = |arrived: i64| {
            let was_old = rule.is_old(rule.age(newest, arrived));
            was_old && !rule.is_old(rule.age(arrived, reference))
        };
        if rule.on == FreshnessOn::Event && life.arrived.is_some_and(is_late) {
            Reason::Late
        } else {
            Reason::Silent
        }
    });
    (judged, reason)
}

fn is_retired(rule: &Freshness, life: &Life, last: i64, reference: i64) -> bool {
    let after = rule.retire_after.filter(|_| life.expected <= 0);
    after.is_some_and(|after| reference.saturating_sub(last) > after)
}

fn retired(rule: &Freshness, last: i64, reference: i64) -> (Judged, Option<Reason>) {
    let judged = Judged {
        status: Status::Retired,
        expected: None,
        ..rule.judge(last, reference)
    };
    (judged, Some(Reason::Retired))
}

/// The next time behind which something else is to be said of a segment without news.
fn next_deadline(rule: &Freshness, life: &Life, status: Status, reference: i64) -> Option<i64> {
    let base = newest(rule, life).or((life.arrived.is_none()).then_some(life.since));
    let by_age = base.into_iter().flat_map(|base| {
        let limits = rule.limits();
        limits.map(move |limit| rule.deadline(base, limit))
    });
    // One that is late is silent when nothing comes any more.
    let by_arrival = life.arrived.filter(|_| is_bad(status)).and_then(|arrived| {
        let first = rule.limits().min()?;
        Some(rule.deadline(arrived, first))
    });
    let last = newest(rule, life).or(life.arrived);
    let after = rule.retire_after.filter(|_| life.expected <= 0);
    let by_retiring = last
        .zip(after)
        .map(|(last, after)| last.saturating_add(after));
    by_age
        .chain(by_arrival)
        .chain(by_retiring)
        .filter(|deadline| *deadline >= reference)
        .min()
}

/// A segment for people.
fn text(layout: &Layout, segment: &Segment) -> String {
    let columns = layout.segment.iter();
    segment.text(columns.map(|column| (column.name.as_str(), &column.data_type)))
}

/// An event time in microseconds, whatever the type of its column.
fn micros(value: i64, layout: &Layout) -> i64 {
    match layout.statistics.first().map(|newest| &newest.data_type) {
        Some(DataType::Date32) => value.saturating_mul(86_400_000_000),
        _ => value,
    }
}

#[cfg(test)]
mod tests;
