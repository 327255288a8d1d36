//! One record along the tree of paths: the place of every column's value into the cells of its rows.
//!
//! Every byte is held to the grammar once, whether a column reads it or not, so that a row never comes from half a record.

use super::cells::{Cell, Cells, Kind};
use super::grammar::{COMMA_OR_BRACE, COMMA_OR_BRACKET, Grammar, Shape, Wrong};
use super::text::unescape;
use super::tree::Tree;
use crate::decode::scan::narrow;

/// A record on its way into cells.
#[derive(Debug)]
pub(super) struct Walk<'a, const LINES: bool> {
    pub(super) grammar: Grammar<'a, LINES>,
    pub(super) tree: &'a mut Tree,
    pub(super) cells: &'a mut Cells,
    /// Bits of bytes beyond ASCII.
    seen: u64,
    /// Rows of the record, where its elements are rows.
    rows: usize,
    /// Whether what is unnested stands there twice.
    twice: bool,
}

impl<'a, const LINES: bool> Walk<'a, LINES> {
    pub(super) fn new(
        grammar: Grammar<'a, LINES>,
        tree: &'a mut Tree,
        cells: &'a mut Cells,
    ) -> Self {
        Self {
            grammar,
            tree,
            cells,
            seen: 0,
            rows: 1,
            twice: false,
        }
    }

    /// Reads the object that begins at `start`, and gives the first byte behind it. Its cells become rows; where it is
    /// faulty it has none.
    #[inline(always)]
    pub(super) fn record(&mut self, start: usize) -> Result<usize, Wrong> {
        let row = self.cells.rows();
        self.cells.begin_row(row);
        self.seen = 0;
        self.rows = 1;
        self.twice = false;
        if self.grammar.byte(start) != b'{' {
            return Err(self.grammar.unexpected(start, "no object"));
        }
        let past = self.object(0, start + 1, row, 1)?;
        if self.seen & 0x8080_8080_8080_8080 != 0 {
            let record = &self.grammar.bytes[start..past];
            if let Err(error) = str::from_utf8(record) {
                return Err(Wrong {
                    code: "invalid_utf8",
                    at: start + error.valid_up_to(),
                    what: "no UTF-8",
                });
            }
        }
        Ok(past)
    }

    /// Makes the record that was read rows.
    #[inline(always)]
    pub(super) fn keep(&mut self, start: usize, drop_empty: bool) {
        if self.tree.unnest.is_none() {
            self.cells.starts.push(narrow(start));
            return;
        }
        self.keep_elements(start, drop_empty);
    }

    fn keep_elements(&mut self, start: usize, drop_empty: bool) {
        let Some(unnest) = self.tree.unnest else {
            return;
        };
        let row = self.cells.rows();
        let width = self.cells.width;
        let first = row * width;
        let array = self.cells.all[first + unnest.array];
        let empty = array.is_nothing()
            || (array.kind == Kind::Value(Shape::Array) && self.rows == 0 && !self.twice);
        let on_the_way =
            (unnest.from..unnest.to).all(|slot| self.cells.all[first + slot].kind == Kind::Absent);
        if drop_empty && empty && on_the_way {
            self.cells.all.truncate(first);
            self.cells.dropped += 1;
            return;
        }
        let rows = if self.twice { 1 } else { self.rows.max(1) };
        self.cells.all.truncate(first + rows * width);
        for element in 1..rows {
            let to = first + element * width;
            self.cells.all.copy_within(first..first + unnest.from, to);
            self.cells
                .all
                .copy_within(first + unnest.to..first + width, to + unnest.to);
        }
        for element in 0..rows {
            self.cells.starts.push(narrow(start));
            self.cells.elements.push(narrow(element));
        }
    }

    /// Makes the record one row that is judged as a whole.
    #[cold]
    pub(super) fn refuse(&mut self, start: usize, end: usize, wrong: Wrong) {
        let row = self.cells.rows();
        let first = row * self.cells.width;
        self.cells.all.truncate(first);
        let judged = Cell {
            kind: Kind::Judged,
            ..Cell::ABSENT
        };
        self.cells.all.resize(first + self.cells.width, judged);
        self.cells.flaws.push((row, end, wrong));
        self.cells.starts.push(narrow(start));
        if self.tree.unnest.is_some() {
            self.cells.elements.push(0);
        }
    }

    /// The members of an object, whose opening bracket stands before `at`; what follows it.
    fn object(&mut self, node: usize, at: usize, row: usize, depth: usize) -> Result<usize, Wrong> {
        let grammar = self.grammar;
        let mut at = grammar.blanks(at);
        if grammar.byte(at) == b'}' {
            return Ok(at + 1);
        }
        let mut next = 0;
        loop {
            // 1. Which member it is.
            let seen = self.tree.nodes[node].seen.get(next);
            let (child, past) = match seen {
                Some(seen) if grammar.bytes[at..].starts_with(&seen.text) => {
                    next += 1;
                    (seen.node, at + seen.text.len())
                }
                _ => self.name(node, at, &mut next)?,
            };
            // 2. Its value.
            let value = if grammar.byte(past) == b':' {
                grammar.blanks(past + 1)
            } else {
                grammar.colon(past)?
            };
            at = match child {
                Some(child) => self.value(child, value, row, depth)?,
                None => grammar.value(value, depth, &mut self.seen)?.past,
            };
            // 3. On, or out.
            at = grammar.blanks(at);
            match grammar.byte(at) {
                b',' => at = grammar.blanks(at + 1),
                b'}' => return Ok(at + 1),
                _ => return Err(grammar.unexpected(at, COMMA_OR_BRACE)),
            }
        }
    }

    /// A name that is not the one that was foreseen: the node it leads to, and what follows it.
    #[cold]
    fn name(
        &mut self,
        node: usize,
        at: usize,
        next: &mut usize,
    ) -> Result<(Option<usize>, usize), Wrong> {
        let (name, past) = self.grammar.name(at, &mut self.seen)?;
        let text = &self.grammar.bytes[at..past];
        if let Some(found) = self.tree.nodes[node].find(text, *next) {
            *next = found + 1;
            return Ok((self.tree.nodes[node].seen[found].node, past));
        }
        let raw = &self.grammar.bytes[name.start..name.end];
        let mut scratch = Vec::new();
        let plain = match name.shape {
            Shape::Escaped => unescape(raw, &mut scratch),
            _ => raw,
        };
        let child = self.tree.nodes[node].member(plain);
        // The bytes of a name that is kept are not looked at again, so they must be UTF-8.
        if str::from_utf8(text).is_ok() {
            self.tree.nodes[node].keep(*next, text, child);
            *next += 1;
        }
        Ok((child, past))
    }

    /// A value that columns read; what follows it.
    #[inline(always)]
    fn value(&mut self, node: usize, at: usize, row: usize, depth: usize) -> Result<usize, Wrong> {
        let span = self.grammar.open(at, &mut self.seen)?;
        let below = &self.tree.nodes[node];
        let slot = row * self.cells.width + below.slot;
        if matches!(span.shape, Shape::Object | Shape::Array)
            || below.past > below.slot + 1
            || self.cells.all[slot].kind != Kind::Absent
        {
            return self.other_value(node, at, row, depth);
        }
        self.cells.all[slot] = Cell::new(&span);
        Ok(span.past)
    }

    /// A value that is looked into, or that is more than a text, or that stands there a second time.
    fn other_value(
        &mut self,
        node: usize,
        at: usize,
        row: usize,
        depth: usize,
    ) -> Result<usize, Wrong> {
        let grammar = self.grammar;
        let (slot, past_slot) = {
            let below = &self.tree.nodes[node];
            (below.slot, below.past)
        };
        let first = row * self.cells.width;
        if self.cells.all[first + slot].kind != Kind::Absent {
            let span = grammar.value(at, depth, &mut self.seen)?;
            let cell = Cell {
                kind: Kind::Duplicate,
                ..Cell::new(&span)
            };
            self.cells.all[first + slot..first + past_slot].fill(cell);
            if let Some(unnest) = self.tree.unnest {
                self.twice |= slot < unnest.from && unnest.from < past_slot;
            }
            return Ok(span.past);
        }
        let mut span = grammar.open(at, &mut self.seen)?;
        let below = &self.tree.nodes[node];
        let (members, elements) = (below.has_members(), below.has_elements());
        // Cells below are filled while the value is read: it must be known by then that it is there.
        self.cells.all[first + slot] = Cell::new(&span);
        match span.shape {
            Shape::Object if members => {
                grammar.deeper(at, depth)?;
                span.past = self.object(node, span.past, row, depth + 1)?;
            }
            Shape::Array if elements => {
                grammar.deeper(at, depth)?;
                span.past = self.elements(node, span.past, row, depth + 1)?;
            }
            Shape::Object | Shape::Array => {
                span.past = grammar.value(at, depth, &mut self.seen)?.past;
            }
            _ => {}
        }
        if matches!(span.shape, Shape::Object | Shape::Array) {
            span.end = span.past;
            self.cells.all[first + slot].end = narrow(span.past);
        }
        // What is below a value of another type is nowhere; below null it is null.
        let leads_on = match span.shape {
            Shape::Null => true,
            Shape::Object => !elements,
            Shape::Array => !members,
            _ => !members && !elements,
        };
        if !leads_on {
            self.misplace(node, span.shape, row, &Cell::new(&span));
        }
        Ok(span.past)
    }

    /// Notes that a path leads through a value that is not of the path's type.
    #[cold]
    fn misplace(&mut self, node: usize, shape: Shape, row: usize, cell: &Cell) {
        let first = row * self.cells.width;
        let misplaced = Cell {
            kind: Kind::Misplaced,
            ..*cell
        };
        for below in self.tree.nodes[node].beside(shape) {
            let below = &self.tree.nodes[below];
            self.cells.all[first + below.slot..first + below.past].fill(misplaced);
        }
    }

    /// The elements of an array, whose opening bracket stands before `at`; what follows it.
    fn elements(
        &mut self,
        node: usize,
        at: usize,
        row: usize,
        depth: usize,
    ) -> Result<usize, Wrong> {
        let grammar = self.grammar;
        let each = self.tree.nodes[node].each;
        if each.is_some() {
            self.rows = 0;
        }
        let mut at = grammar.blanks(at);
        if grammar.byte(at) == b']' {
            return Ok(at + 1);
        }
        let mut place = 0;
        loop {
            let mut past = None;
            let elements = &self.tree.nodes[node].elements;
            if let Some(&(_, child)) = elements.iter().find(|(known, _)| *known == place) {
                past = Some(self.value(child, at, row, depth)?);
            }
            if let Some(each) = each {
                self.cells.begin_row(row + place);
                past = Some(self.value(each, at, row + place, depth)?);
                self.rows = place + 1;
            }
            at = match past {
                Some(past) => past,
                None => grammar.value(at, depth, &mut self.seen)?.past,
            };
            place += 1;
            at = grammar.blanks(at);
            match grammar.byte(at) {
                b',' => at = grammar.blanks(at + 1),
                b']' => return Ok(at + 1),
                _ => return Err(grammar.unexpected(at, COMMA_OR_BRACKET)),
            }
        }
    }
}
