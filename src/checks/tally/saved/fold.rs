//! Puts the state of a tally, and the changes that were written after it, together into one: segment by segment, from bytes to bytes.
//!
//! No tally is made for it: what is in memory is the bytes that go in, those that come out, and one segment of each. The bytes are those that
//! the tally itself would have written whole when it wrote the last of them (`tests`).

use super::form::{Reader, Writer};
use super::{Begins, Broken, Content, END, Head, Saved};
use crate::checks::layout::Layout;
use crate::checks::variance::Baseline;

/// One of what goes in.
struct Part<'a> {
    reader: Reader<'a>,
    head: Head,
    /// Where windows began that were open when it was written, and those that were not final.
    begins: Begins,
    /// The places of its names, which are those of the layout's tally.
    names: Vec<usize>,
    /// The segment that comes next.
    next: Option<Saved>,
}

impl<'a> Part<'a> {
    fn open(layout: &Layout, bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut reader = Reader::new(bytes)?;
        let head = reader.head(layout)?;
        if !head.matched.is_whole() {
            return Err(head.found.other(layout));
        }
        let begins = Begins::new(layout, head.closed_until);
        let names = (0..head.names.len()).collect();
        let mut part = Self {
            reader,
            head,
            begins,
            names,
            next: None,
        };
        part.next = part.read(layout)?;
        Ok(part)
    }

    fn read(&mut self, layout: &Layout) -> Result<Option<Saved>, Broken> {
        if !self.reader.flag()? {
            self.reader.end()?;
            return Ok(None);
        }
        let saved = self
            .reader
            .saved(layout, &self.head.matched, self.begins, &self.names)?;
        Ok(Some(saved))
    }

    /// Takes the segment that comes next, if there is one.
    fn take(&mut self, layout: &Layout) -> Result<Option<Saved>, Broken> {
        let Some(taken) = self.next.take() else {
            return Ok(None);
        };
        self.next = self.read(layout)?;
        let behind = self.next.as_ref();
        if behind.is_some_and(|behind| behind.segment <= taken.segment) {
            let words = "a segment stands behind one that comes after it, or behind itself";
            return Err(self.reader.wrong(words.to_owned()));
        }
        Ok(Some(taken))
    }
}

/// What whole state and the changes behind it, in their order, are together.
///
/// Errors: they are none of this layout, or no such series.
pub fn fold(layout: &Layout, series: &[&[u8]]) -> Result<Vec<u8>, Broken> {
    let parts = series.iter().map(|bytes| Part::open(layout, bytes));
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    let contents: Vec<Content> = parts.iter().map(|part| part.head.content).collect();
    let is_series = matches!(
        contents.split_first(),
        Some((Content::Whole, behind)) if behind.iter().all(|content| *content == Content::Changes)
    );
    let (Some(last), true) = (parts.last(), is_series) else {
        let what = "it is not whole state with changes behind it".to_owned();
        return Err(Broken::Content { at: 0, what });
    };
    if let Some(other) = parts.iter().find(|part| part.head.names != last.head.names) {
        return Err(other.head.found.other(layout));
    }
    let provisional = last.begins.provisional;
    let mut folded = Vec::with_capacity(series.iter().map(|bytes| bytes.len()).sum());
    let mut out = Writer::new(&mut folded);
    let held_back = last.head.found.held_back.iter();
    let held_back: Vec<_> = held_back
        .map(|(name, start)| (name.as_str(), *start))
        .collect();
    let names = layout.correct_within.map(|_| last.head.names.clone());
    out.head(
        layout,
        Content::Whole,
        &held_back,
        (last.head.closed_until, last.head.ends),
        names.as_deref(),
    );
    let written = "a Vec takes everything";
    loop {
        let nexts = parts.iter().enumerate();
        let nexts = nexts.filter_map(|(at, part)| Some((at, &part.next.as_ref()?.segment)));
        // Of several that hold it the first.
        let first = nexts.min_by(|(_, left), (_, right)| left.cmp(right));
        let Some(first) = first.map(|(at, _)| at) else {
            break;
        };
        let Some(mut saved) = parts[first].take(layout)? else {
            break;
        };
        for part in &mut parts[first + 1..] {
            let next = part.next.as_ref();
            if next.is_some_and(|next| next.segment == saved.segment)
                && let Some(newer) = part.take(layout)?
            {
                saved = newer;
            }
        }
        let open = saved.windows.iter();
        let open: Vec<_> = open
            .filter(|(start, _)| *start >= provisional)
            .map(|(start, window)| (*start, window))
            .collect();
        let said = &saved.said[saved
            .said
            .partition_point(|(start, _)| *start < provisional)..];
        let is_nothing =
            open.is_empty() && said.is_empty() && saved.baselines.iter().all(Baseline::is_empty);
        if is_nothing {
            continue;
        }
        out.segment(
            layout,
            &saved.segment,
            &open,
            &saved.baselines,
            layout.correct_within.map(|_| said),
        );
        out.flush_blocks().expect(written);
    }
    out.byte(END);
    out.finish().expect(written);
    Ok(folded)
}
