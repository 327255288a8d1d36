//! State of a tally as bytes, for a checkpoint.
//!
//! ```text
//! version │ content │ segment and windows │ accumulators │ variance checks │ checks held back │ closed until │ ends │ names
//!         │ for each segment, in order: 1, values, windows by time, baselines, what was said │ 0 │ check value
//! ```
//!
//! - The content is all segments, or those that changed since the state was written before. A series is whole state and changes behind it:
//!   a segment is what the last of them says, without the windows that are closed by then; [`fold`](fn@fold) makes one of a series.
//! - Where windows are corrected there are names of what verdicts are about, and for each segment what was said of closed windows that are not
//!   final. It is written between epochs, when what late rows changed has been said.
//! - The same state gives the same bytes, in whatever order it came to be.
//! - Files outlive the build that wrote them, so numbers have one form on every machine ([`form`]), and the layout is told in
//!   words: state of another one is refused. What follows from the layout (kinds, types) is not repeated for each window.
//! - Checks may have been added since: what only they need begins empty. One that counts rows does not judge windows that had some
//!   already, of any segment, since these were not counted for it.
//! - A checkpoint has a series of each worker. Whoever begins again reads all of them and keeps the segments that it owns, so the
//!   number of workers may be another one (`tests`).
//! - No bytes do harm: what was damaged on the way fails the check value, and everything is looked at all the same.

mod fold;
pub(in crate::checks) mod form;
mod said;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use differential_dataflow::difference::IsZero;

use super::correct::{Corrected, Said};
use super::open::Window;
use super::segments::SegmentId;
use super::{Tally, final_until, no_baselines, text, variances};
use crate::checks::distinct::Distinct;
use crate::checks::ends::Ends;
use crate::checks::layout::{AccumulatorPlan, CheckLayout, Kind, Layout, WindowMeasure};
use crate::checks::sketch::Sketch;
use crate::checks::stats::{Accumulator, Moments, Partial, Sum};
use crate::checks::value::Segment;
use crate::checks::variance::{Baseline, of_previous};
use crate::checks::verdict::Status;
use crate::checks::wide::Int192;
use crate::checks::windows::Windows;
use crate::record::Epoch;
use crate::transform::expr::words::type_name;
pub use fold::fold;
use form::{Reader, Writer};

/// Of the format; the first byte.
pub(in crate::checks) const VERSION: u8 = 5;

/// Of the format before it, which is read, too: it did not say where the data begin and end.
const WITHOUT_ENDS: u8 = 4;

/// Of the one before that, which is read, too: of windows that are not corrected, and with baselines of statistics alone, without starts.
const WITHOUT_STARTS: u8 = 3;

/// Of the one before that, which had whole state alone and did not say so; it is read, too.
const WITHOUT_CONTENT: u8 = 2;

/// What is written of the segments; its code is the second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// All of them.
    Whole,
    /// Those that changed since the state was written before.
    Changes,
}

/// Begins a segment, and ends them.
const SEGMENT: u8 = 1;
const END: u8 = 0;

/// Statuses by their codes, which begin at 1; 0 is none.
const STATUSES: [Status; 10] = [
    Status::Pass,
    Status::Measured,
    Status::NoData,
    Status::TooFew,
    Status::WarmingUp,
    Status::NoBaseline,
    Status::Warn,
    Status::Fail,
    Status::Overflow,
    Status::Partial,
];

/// Why bytes are no state of a tally.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The bytes end too early.
    #[error("the state ends at byte {at}, before its end")]
    Short {
        /// How many there are.
        at: usize,
    },
    /// Bytes were changed.
    #[error(
        "the bytes of the state give the check value {reckoned:016x}, and {found:016x} stands behind them"
    )]
    Check {
        /// What they give.
        reckoned: u64,
        /// What was written.
        found: u64,
    },
    /// Another build wrote them.
    #[error("the state is of version {found} of its format; this build reads version {VERSION}")]
    Version {
        /// Their first byte.
        found: u8,
    },
    /// They are of another job, or another window of it.
    #[error("the state is of {found:?}, and this job keeps {expected:?}")]
    Layout {
        /// What was kept then.
        found: String,
        /// What is kept now.
        expected: String,
    },
    /// A number or text that can't stand where it does.
    #[error("byte {at} of the state: {what}")]
    Content {
        /// Where.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// Two files hold one segment.
    #[error("the segment {segment:?} is in the state twice")]
    Twice {
        /// Which.
        segment: String,
    },
}

impl Tally {
    /// Writes the state: the same bytes for the same state.
    ///
    /// Cost: sorts the segments, in four bytes each; some 20 bytes a window are written, and more with more statistics.
    pub fn save(&self, out: &mut impl Write) -> io::Result<()> {
        self.write(Content::Whole, self.segments.in_order(), out)
    }

    /// Writes what changed since [`begin_changes`](Self::begin_changes); everything, where it was never called.
    ///
    /// Cost: as of [`save`](Self::save), for the segments that changed.
    pub fn save_changes(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(changed) = self.changed.ids() else {
            return self.save(out);
        };
        let kept = changed.iter().copied();
        let mut kept: Vec<_> = kept.filter(|id| self.segments.is_kept(*id)).collect();
        self.segments.put_in_order(&mut kept);
        self.write(Content::Changes, kept, out)
    }

    /// The state was written: what changes from here on is what is written next.
    pub fn begin_changes(&mut self) {
        self.changed.begin();
    }

    /// How many segments changed since the state was written; all, where it never was.
    pub fn changed(&self) -> usize {
        self.changed.ids().map_or(self.segments.len(), <[_]>::len)
    }

    fn write(&self, content: Content, ids: Vec<SegmentId>, out: &mut impl Write) -> io::Result<()> {
        let mut out = Writer::new(out);
        let layout = &*self.layout;
        let held_back = layout.checks.iter().zip(&self.held_back);
        let held_back: Vec<(&str, i64)> = held_back
            .filter(|(_, start)| **start >= self.final_until && **start != i64::MIN)
            .map(|(check, start)| (check.name.as_str(), *start))
            .collect();
        let corrected = self.corrected.as_ref();
        let names = corrected.map(Corrected::names);
        let times = (self.closed_until, self.ends);
        out.head(layout, content, &held_back, times, names);
        for id in ids {
            let kept = self.segments.get(id);
            // Windows whose rows were all taken back are nothing.
            let windows = kept.open.iter();
            let windows: Vec<(i64, &Window)> = windows
                .filter(|(start, window)| {
                    !window.partial.is_zero() || self.lists.expects(&kept.segment, *start)
                })
                .collect();
            let said = corrected.map(|corrected| corrected.said(id));
            let is_nothing = windows.is_empty()
                && said.is_none_or(<[_]>::is_empty)
                && kept.baselines.iter().all(Baseline::is_empty);
            if is_nothing && content == Content::Whole {
                continue;
            }
            out.segment(layout, &kept.segment, &windows, &kept.baselines, said);
            out.flush_blocks()?;
        }
        out.byte(END);
        out.finish()
    }

    /// Adds saved state: of its segments those that are `mine`. Several series may be loaded, of any number of workers, those of a checkpoint
    /// behind those of the ones before it; all before the first rows come.
    ///
    /// After an error the tally holds a part of the state, and must be thrown away.
    pub fn load(&mut self, bytes: &[u8], mine: impl Fn(&Segment) -> bool) -> Result<(), Broken> {
        let mut reader = Reader::new(bytes)?;
        let layout = Arc::clone(&self.layout);
        let Head {
            content,
            found,
            matched,
            closed_until,
            ends,
            names,
        } = reader.head(&layout)?;
        let places: Vec<usize> = match &mut self.corrected {
            Some(corrected) => names.iter().map(|name| corrected.name(name)).collect(),
            None => Vec::new(),
        };
        for (name, start) in &found.held_back {
            self.hold_back(|check| check.name == *name, *start);
        }
        self.pass(closed_until);
        self.ends = self.ends.and(ends);
        let begins = Begins::new(&layout, closed_until);
        while reader.flag()? {
            let saved = reader.saved(&layout, &matched, begins, &places)?;
            if let (Some((newest, _)), false) = (saved.windows.last(), matched.is_whole()) {
                self.hold_back(|check| matched.is_new(check), *newest);
            }
            if mine(&saved.segment) {
                self.take_up(content, saved)?;
            }
        }
        self.leave_closed();
        reader.end()
    }

    /// Forgets windows that were closed when the last of a series was written, and stand in one before it.
    fn leave_closed(&mut self) {
        if let Some(corrected) = &mut self.corrected {
            for id in corrected.take_due(self.open_from, self.final_until) {
                let kept = self.segments.get_mut(id);
                self.windows -= kept.open.take_before(self.final_until).len();
                corrected.forget_before(id, self.final_until);
                let is_nothing = kept.open.first().is_none()
                    && corrected.said(id).is_empty()
                    && kept.baselines.iter().all(Baseline::is_empty);
                if is_nothing {
                    corrected.forget(id);
                    self.segments.forget(id);
                } else {
                    corrected.put_in_time(id, &kept.open, self.open_from);
                }
            }
            return;
        }
        for id in self.take_due() {
            let kept = self.segments.get_mut(id);
            self.windows -= kept.open.take_before(self.open_from).len();
            if let Some((first, _)) = kept.open.first() {
                self.due.insert((first, id));
            } else if kept.baselines.iter().all(Baseline::is_empty) {
                self.segments.forget(id);
            }
        }
    }

    /// Lets some checks judge no window that starts there or before.
    fn hold_back(&mut self, which: impl Fn(&CheckLayout) -> bool, start: i64) {
        let checks = self.layout.checks.iter().zip(&mut self.held_back);
        for (check, held_back) in checks {
            if which(check) {
                *held_back = start.max(*held_back);
            }
        }
    }

    fn take_up(&mut self, content: Content, saved: Saved) -> Result<(), Broken> {
        match (self.segments.find(&saved.segment), content) {
            (Some(_), Content::Whole) => {
                let segment = text(&self.layout, &saved.segment);
                return Err(Broken::Twice { segment });
            }
            (Some(id), Content::Changes) => self.leave(id),
            (None, _) => {}
        }
        if saved.is_nothing() {
            return Ok(());
        }
        let id = self.segments.id(saved.segment);
        let kept = self.segments.get_mut(id);
        kept.baselines = saved.baselines;
        self.windows += saved.windows.len();
        let first = saved.windows.first().map(|(first, _)| *first);
        kept.open = saved.windows.into_iter().collect();
        if let Some(corrected) = &mut self.corrected {
            corrected.take_up(id, saved.said, &kept.open, self.open_from);
        } else if let Some(first) = first {
            self.due.insert((first, id));
        }
        Ok(())
    }

    /// Forgets a segment, which is another now.
    fn leave(&mut self, id: SegmentId) {
        let kept = self.segments.get(id);
        if let Some(corrected) = &mut self.corrected {
            corrected.forget(id);
        } else if let Some((first, _)) = kept.open.first() {
            self.due.remove(&(first, id));
        }
        self.windows -= kept.open.iter().count();
        self.segments.forget(id);
    }
}

/// What stands before the segments.
struct Head {
    content: Content,
    found: Found,
    matched: Matched,
    /// Windows that end here or before are closed.
    closed_until: i64,
    /// Where the data began and ended.
    ends: Ends,
    /// What verdicts are about.
    names: Vec<Arc<str>>,
}

/// Where windows begin that are not closed, and those that are not final.
#[derive(Debug, Clone, Copy)]
struct Begins {
    open: i64,
    provisional: i64,
}

impl Begins {
    fn new(layout: &Layout, closed_until: i64) -> Self {
        Self {
            open: layout.open_from(closed_until),
            provisional: final_until(layout, closed_until),
        }
    }
}

/// What the beginning of a file says that it holds.
struct Found {
    shape: String,
    accumulators: Vec<String>,
    /// Variance checks, and what the baselines of each hold.
    variances: Vec<(String, String)>,
    held_back: Vec<(String, i64)>,
}

/// Where what a file holds belongs now.
struct Matched {
    /// For each accumulator of the file its place.
    accumulators: Vec<usize>,
    /// For each variance check of the file its place among those.
    variances: Vec<usize>,
    /// Accumulators that the file does not have.
    new: Vec<usize>,
    /// A window of the layout without rows.
    empty: Box<[Accumulator]>,
}

impl Found {
    /// The error that it is of another layout.
    fn other(&self, layout: &Layout) -> Broken {
        Broken::Layout {
            found: self.described(),
            expected: described(layout),
        }
    }

    /// Finds the places. Errors: something has none, or a statistic has nothing.
    fn matched(&self, layout: &Layout) -> Result<Matched, Broken> {
        let other = || self.other(layout);
        if self.shape != shape(layout) {
            return Err(other());
        }
        let now = layout.accumulators.iter();
        let now: Vec<String> = now.map(|plan| layout.words(plan)).collect();
        let place = |words: &String| now.iter().position(|now| now == words);
        let accumulators: Option<Vec<usize>> = self.accumulators.iter().map(place).collect();
        let compared: Vec<_> = variances(layout).collect();
        let place = |(name, words): &(String, String)| {
            compared
                .iter()
                .position(|(now, variance)| now == name && variance.words() == *words)
        };
        let variances: Option<Vec<usize>> = self.variances.iter().map(place).collect();
        let (accumulators, variances) = accumulators.zip(variances).ok_or_else(other)?;
        let new = 0..layout.accumulators.len();
        let new: Vec<usize> = new.filter(|place| !accumulators.contains(place)).collect();
        let of_statistics = layout.statistics.iter().filter_map(|one| one.accumulator);
        // A statistic of rows that were not counted would be wrong, and nobody would see it.
        if of_statistics.into_iter().any(|place| new.contains(&place)) {
            return Err(other());
        }
        let empty = layout.accumulators.iter();
        Ok(Matched {
            accumulators,
            variances,
            new,
            empty: empty.map(|_| Accumulator::Count(0)).collect(),
        })
    }

    fn described(&self) -> String {
        let compared = self.variances.iter();
        let compared: Vec<String> = compared
            .map(|(name, words)| format!("{name} with {words}"))
            .collect();
        let (shape, kept) = (&self.shape, self.accumulators.join(", "));
        format!(
            "{shape}, keeping [{kept}], comparing [{}]",
            compared.join(", ")
        )
    }
}

impl Matched {
    /// Whether all is there.
    fn is_whole(&self) -> bool {
        self.new.is_empty()
    }

    /// Whether a check counts what the file has not.
    fn is_new(&self, check: &CheckLayout) -> bool {
        match &check.measure {
            WindowMeasure::Completeness(_, numerator, denominator) => {
                self.new.contains(numerator)
                    || denominator.is_some_and(|denominator| self.new.contains(&denominator))
            }
            WindowMeasure::Matched(_, [found, missing], rows) => {
                [Some(*found), Some(*missing), *rows]
                    .into_iter()
                    .flatten()
                    .any(|place| self.new.contains(&place))
            }
            WindowMeasure::Refused(_, refused, rows) => {
                self.new.contains(refused) || rows.is_some_and(|rows| self.new.contains(&rows))
            }
            WindowMeasure::Arrival(_, Some(rows), _) => self.new.contains(rows),
            WindowMeasure::Arrival(..)
            | WindowMeasure::Variance(..)
            | WindowMeasure::Reference(..) => false,
        }
    }
}

/// A segment as it was saved.
struct Saved {
    segment: Segment,
    /// In order of time.
    windows: Vec<(i64, Window)>,
    baselines: Box<[Baseline]>,
    /// In order of time.
    said: Vec<(i64, Said)>,
}

impl Saved {
    fn is_nothing(&self) -> bool {
        self.windows.is_empty()
            && self.said.is_empty()
            && self.baselines.iter().all(Baseline::is_empty)
    }
}

impl<W: Write> Writer<'_, W> {
    /// What stands before the segments.
    fn head(
        &mut self,
        layout: &Layout,
        content: Content,
        held_back: &[(&str, i64)],
        (closed_until, ends): (i64, Ends),
        names: Option<&[Arc<str>]>,
    ) {
        self.byte(VERSION);
        self.byte(match content {
            Content::Whole => 0,
            Content::Changes => 1,
        });
        self.text(&shape(layout));
        self.count(layout.accumulators.len());
        for accumulator in &layout.accumulators {
            self.text(&layout.words(accumulator));
        }
        self.count(variances(layout).count());
        for (name, variance) in variances(layout) {
            self.text(name);
            self.text(&variance.words());
        }
        self.count(held_back.len());
        for (check, start) in held_back {
            self.text(check);
            self.int(*start);
        }
        self.int(closed_until);
        self.byte(u8::from(layout.asks_ends));
        if layout.asks_ends {
            self.int(ends.first);
            self.int(ends.last);
        }
        if let Some(names) = names {
            self.count(names.len());
            for name in names {
                self.text(name);
            }
        }
    }

    /// A segment: its windows in order of time; none or all of its baselines; what was said where windows are corrected.
    fn segment(
        &mut self,
        layout: &Layout,
        segment: &Segment,
        windows: &[(i64, &Window)],
        baselines: &[Baseline],
        said: Option<&[(i64, Said)]>,
    ) {
        self.byte(SEGMENT);
        segment.0.iter().for_each(|value| self.value(value));
        self.count(windows.len());
        let mut before = 0_i64;
        for (start, window) in windows {
            self.int(start.wrapping_sub(before));
            before = *start;
            self.uint(window.epoch);
            self.int(window.partial.rows);
            for accumulator in &window.partial.accumulators {
                self.accumulator(accumulator);
            }
        }
        for index in 0..variances(layout).count() {
            // None before the first window closed.
            match baselines.get(index) {
                Some(baseline) => self.baseline(baseline),
                None => self.baseline(&Baseline::default()),
            }
        }
        if let Some(said) = said {
            self.said(layout, said);
        }
    }

    fn status(&mut self, status: Option<Status>) {
        let code = STATUSES.iter().position(|known| Some(*known) == status);
        self.byte(code.map_or(0, |code| u8::try_from(code + 1).expect("there are few")));
    }
}

impl Reader<'_> {
    fn head(&mut self, layout: &Layout) -> Result<Head, Broken> {
        let content = if self.has_content() && self.flag()? {
            Content::Changes
        } else {
            Content::Whole
        };
        let found = self.found()?;
        let matched = found.matched(layout)?;
        let closed_until = self.int()?;
        let ends = if self.has_ends() && self.flag()? {
            Ends {
                first: self.int()?,
                last: self.int()?,
            }
        } else {
            // Nobody looked where they began: before everything that comes.
            Ends {
                first: i64::MIN,
                last: i64::MIN,
            }
        };
        let names = if layout.correct_within.is_some() {
            (0..self.count(1)?)
                .map(|_| self.text().map(Arc::from))
                .collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        Ok(Head {
            content,
            found,
            matched,
            closed_until,
            ends,
            names,
        })
    }

    fn found(&mut self) -> Result<Found, Broken> {
        let shape = self.text()?.to_owned();
        let accumulators = (0..self.count(1)?)
            .map(|_| self.text().map(str::to_owned))
            .collect::<Result<_, _>>()?;
        let variances = (0..self.count(2)?)
            .map(|_| {
                let name = self.text()?.to_owned();
                let words = if self.has_starts() {
                    self.text()?.to_owned()
                } else {
                    of_previous(usize::try_from(self.uint()?).unwrap_or(usize::MAX))
                };
                Ok((name, words))
            })
            .collect::<Result<_, _>>()?;
        let held_back = (0..self.count(2)?)
            .map(|_| Ok((self.text()?.to_owned(), self.int()?)))
            .collect::<Result<_, _>>()?;
        Ok(Found {
            shape,
            accumulators,
            variances,
            held_back,
        })
    }

    fn saved(
        &mut self,
        layout: &Layout,
        matched: &Matched,
        begins: Begins,
        names: &[usize],
    ) -> Result<Saved, Broken> {
        let columns = layout.segment.iter();
        let segment = columns
            .map(|column| self.value(&column.data_type))
            .collect::<Result<_, _>>()?;
        // Start, epoch and rows have a byte each at least.
        let count = self.count(3)?;
        let mut windows: Vec<(i64, Window)> = Vec::new();
        for _ in 0..count {
            let before = windows.last().map(|(start, _)| *start);
            let start = before.unwrap_or(0).wrapping_add(self.int()?);
            if !is_start(layout.windows, start) || before.is_some_and(|before| start <= before) {
                return Err(
                    self.wrong(format!("no window starts at {start} µs, behind {before:?}"))
                );
            }
            if start < begins.provisional {
                let before = begins.provisional;
                return Err(self.wrong(format!(
                    "the window from {start} µs is there, and all before {before} µs are closed"
                )));
            }
            windows.push((start, self.window(layout, matched)?));
        }
        let mut baselines = no_baselines(layout);
        let compared: Vec<_> = variances(layout).collect();
        for place in &matched.variances {
            let variance = compared[*place].1;
            baselines[*place] = self.baseline(variance.most())?;
        }
        let said = if layout.correct_within.is_some() {
            self.read_said(layout, begins, names)?
        } else {
            Vec::new()
        };
        Ok(Saved {
            segment: Segment(segment),
            windows,
            baselines,
            said,
        })
    }

    fn window(&mut self, layout: &Layout, matched: &Matched) -> Result<Window, Broken> {
        let epoch: Epoch = self.uint()?;
        if i64::try_from(epoch).is_err() {
            return Err(self.wrong(format!("{epoch} is no epoch: it has more than 63 bits")));
        }
        let rows = self.int()?;
        let mut accumulators = matched.empty.clone();
        for place in &matched.accumulators {
            accumulators[*place] = self.accumulator(&layout.accumulators[*place])?;
        }
        let partial = Partial { rows, accumulators };
        Ok(Window { partial, epoch })
    }

    fn accumulator(&mut self, plan: &AccumulatorPlan) -> Result<Accumulator, Broken> {
        let mut extreme = || {
            let data_type = plan.data_type.as_ref();
            self.value(data_type.expect("a least or greatest value is that of something"))
        };
        Ok(match plan.kind {
            Kind::Least => Accumulator::Least(extreme()?),
            Kind::Greatest => Accumulator::Greatest(extreme()?),
            Kind::Distinct => match Distinct::from_text(self.text()?) {
                Some(distinct) => Accumulator::Distinct(Box::new(distinct)),
                None => return Err(self.wrong("different values that are none".to_owned())),
            },
            Kind::Sketch => match Sketch::from_text(self.text()?) {
                Some(sketch) => Accumulator::Sketch(Box::new(sketch)),
                None => return Err(self.wrong("counts of buckets that are none".to_owned())),
            },
            Kind::Count => Accumulator::Count(self.int()?),
            Kind::Sum => Accumulator::Sum(self.sum()?),
            Kind::Moments => Accumulator::Moments(Moments {
                first: self.sum()?,
                squares: Int192::from_words([self.uint()?, self.uint()?, self.uint()?]),
            }),
        })
    }

    fn sum(&mut self) -> Result<Sum, Broken> {
        Ok(Sum {
            n: self.int()?,
            wide: self.int()?,
            sum: self.wide()?,
        })
    }

    fn status(&mut self) -> Result<Option<Status>, Broken> {
        let code = usize::from(self.byte()?);
        let Some(index) = code.checked_sub(1) else {
            return Ok(None);
        };
        let status = STATUSES.get(index).copied();
        status
            .map(Some)
            .ok_or_else(|| self.wrong(format!("{code} is the code of no status")))
    }
}

/// Whether a window starts here. There is no window at the end of time, which windows of days would look for for ever.
fn is_start(windows: Windows, start: i64) -> bool {
    start < i64::MAX && windows.start(windows.number(start)) == start
}

/// What all state depends on, in words.
fn shape(layout: &Layout) -> String {
    let per = layout.segment.iter();
    let per = per.map(|column| format!("{} {}", column.name, type_name(&column.data_type)));
    let windows = match layout.windows {
        Windows::Fixed(micros) => format!("{micros} µs"),
        Windows::Days(days, time_zone) => format!("{days} days of {time_zone}"),
        Windows::Weeks(weeks, first, time_zone) => {
            format!("{weeks} weeks from day {first} of {time_zone}")
        }
        Windows::Months(months, time_zone) => format!("{months} months of {time_zone}"),
        Windows::Whole => "all times".to_owned(),
    };
    let per: Vec<String> = per.collect();
    let mut shape = format!(
        "{} per [{}], windows of {windows}",
        layout.name,
        per.join(", ")
    );
    if layout.panes > 1 {
        write!(shape, ", {} for each", layout.panes).expect("a String takes everything");
    }
    if let Some(within) = layout.correct_within {
        write!(shape, " corrected within {within} µs").expect("a String takes everything");
    }
    if layout.tells_changes && layout.correct_within.is_some() {
        shape.push_str(", changes told");
    }
    shape
}

/// All that is kept, in words: it is told where two differ.
fn described(layout: &Layout) -> String {
    Found {
        shape: shape(layout),
        accumulators: (layout.accumulators.iter())
            .map(|plan| layout.words(plan))
            .collect(),
        variances: variances(layout)
            .map(|(name, variance)| (name.to_owned(), variance.words()))
            .collect(),
        held_back: Vec::new(),
    }
    .described()
}

#[cfg(test)]
mod tests;
