//! The segments of a freshness check as bytes, for a checkpoint: as those of windows are ([`form`](crate::checks::tally::saved::form)).
//!
//! ```text
//! version │ 0 │ what is kept, in words │ the check as a whole │ for each segment, in order: 1, values, times, what was said │ 0 │ check value
//! ```
//!
//! All of it is written at each checkpoint: segments are few (`max_segments`). One worker has them all, whatever the number of workers. State of a
//! check that kept something else, and that of builds before this layout, is refused with what it holds.

use std::io::{self, Write};
use std::sync::Arc;

use super::lives::{Life, Lives, Said, Whole};
use super::{FreshnessOn, Reason};
use crate::checks::layout::Layout;
use crate::checks::tally::Broken;
use crate::checks::tally::saved::VERSION;
use crate::checks::tally::saved::form::{Reader, Writer};
use crate::checks::value::Segment;
use crate::checks::verdict::Status;
use crate::transform::expr::words::type_name;

/// Begins a segment, and ends them.
const SEGMENT: u8 = 1;
const END: u8 = 0;

/// Statuses by their codes, which begin at 1; 0 is none.
const STATUSES: [Status; 6] = [
    Status::Pass,
    Status::Measured,
    Status::NoData,
    Status::Warn,
    Status::Fail,
    Status::TooManySegments,
];

impl Lives {
    /// Writes the state: the same bytes for the same state.
    ///
    /// Cost: some 20 bytes a segment and its values.
    pub fn save(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = Writer::new(out);
        out.byte(VERSION);
        out.byte(0);
        out.text(&self.words());
        out.time(self.whole.began);
        out.int(self.whole.judged_until);
        out.byte(u8::from(self.whole.is_over));
        out.last_said(self.whole.said);
        for (segment, life) in &self.known {
            out.byte(SEGMENT);
            segment.0.iter().for_each(|value| out.value(value));
            out.time(life.newest);
            out.time(life.arrived);
            out.uint(life.epoch);
            out.int(life.since);
            out.byte(u8::from(life.has_appeared));
            out.last_said(life.said);
            out.flush_blocks()?;
        }
        out.byte(END);
        out.finish()
    }

    /// Takes saved state up, before the first rows come.
    ///
    /// After an error a part of it is held, and must be thrown away.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut reader = Reader::new(bytes)?;
        reader.byte()?;
        let (found, expected) = (reader.text()?.to_owned(), self.words());
        if found != expected {
            return Err(Broken::Layout { found, expected });
        }
        self.whole = Whole {
            began: reader.time()?,
            judged_until: reader.int()?,
            is_over: reader.flag()?,
            said: reader.last_said()?,
        };
        let layout = Arc::clone(&self.layout);
        while reader.flag()? {
            let columns = layout.segment.iter();
            let values = columns.map(|column| reader.value(&column.data_type));
            let segment = Arc::new(Segment(values.collect::<Result<_, _>>()?));
            let life = Life {
                newest: reader.time()?,
                arrived: reader.time()?,
                epoch: reader.epoch()?,
                since: reader.int()?,
                has_appeared: reader.flag()?,
                said: reader.last_said()?,
                ..Life::default()
            };
            // That of all rows is there already, and expected.
            let own = self.known.entry(Arc::clone(&segment)).or_default();
            *own = Life {
                expected: own.expected,
                ..life
            };
            // Asked at the next judgement, which knows the limits.
            self.touched.insert(segment);
        }
        reader.end()
    }

    /// What all state depends on.
    fn words(&self) -> String {
        let layout: &Layout = &self.layout;
        let per = layout.segment.iter();
        let per = per.map(|column| format!("{} {}", column.name, type_name(&column.data_type)));
        let per: Vec<String> = per.collect();
        let kept = layout.accumulators.iter();
        let kept: Vec<String> = kept.map(|plan| layout.words(plan)).collect();
        let on = match self.rule.on {
            FreshnessOn::Event => "event",
            FreshnessOn::Arrival => "arrival",
        };
        format!(
            "{} per [{}], freshness on {on}, keeping [{}] and arrivals",
            layout.name,
            per.join(", "),
            kept.join(", ")
        )
    }
}

impl<W: Write> Writer<'_, W> {
    fn time(&mut self, time: Option<i64>) {
        self.byte(u8::from(time.is_some()));
        if let Some(time) = time {
            self.int(time);
        }
    }

    fn last_said(&mut self, said: Option<Said>) {
        let (status, reason) = said.unzip();
        self.code(STATUSES.iter().position(|known| Some(*known) == status));
        let reason = reason.flatten();
        self.code(Reason::ALL.iter().position(|known| Some(*known) == reason));
    }

    fn code(&mut self, place: Option<usize>) {
        let code = place.map_or(0, |place| place + 1);
        self.byte(u8::try_from(code).expect("there are few"));
    }
}

impl Reader<'_> {
    fn time(&mut self) -> Result<Option<i64>, Broken> {
        self.flag()?.then(|| self.int()).transpose()
    }

    fn epoch(&mut self) -> Result<u64, Broken> {
        let epoch = self.uint()?;
        if i64::try_from(epoch).is_err() {
            return Err(self.wrong(format!("{epoch} is no epoch: it has more than 63 bits")));
        }
        Ok(epoch)
    }

    fn last_said(&mut self) -> Result<Option<Said>, Broken> {
        let status = self.code(&STATUSES)?;
        let reason = self.code(&Reason::ALL)?;
        Ok(status.map(|status| (status, reason)))
    }

    fn code<T: Copy>(&mut self, known: &[T]) -> Result<Option<T>, Broken> {
        let code = usize::from(self.byte()?);
        let Some(place) = code.checked_sub(1) else {
            return Ok(None);
        };
        let found = known.get(place).copied();
        let found = found.ok_or_else(|| self.wrong(format!("{code} is the code of nothing")));
        found.map(Some)
    }
}
