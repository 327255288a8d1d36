//! What closing says, while it is gathered: verdicts, and rows of the table of windows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::judge::Row;
use super::table::WindowTable;
use super::{Closed, text};
use crate::checks::layout::Layout;
use crate::checks::value::Segment;
use crate::checks::verdict::{self, Judged, Verdict, VerdictBuilder};
use crate::record::Epoch;

/// Rows of a batch of windows: large enough that a batch costs nothing, small enough to pass on in pieces.
const BATCH_ROWS: usize = 1 << 16;

/// What was said so far. Nothing is allocated before something is.
pub(super) struct Told {
    layout: Arc<Layout>,
    schema: SchemaRef,
    open: Option<(VerdictBuilder, WindowTable)>,
    windows: Vec<RecordBatch>,
}

impl Told {
    pub(super) fn new(layout: &Arc<Layout>, schema: &SchemaRef) -> Self {
        Self {
            layout: Arc::clone(layout),
            schema: SchemaRef::clone(schema),
            open: None,
            windows: Vec::new(),
        }
    }

    /// Of a segment.
    pub(super) fn of<'a>(&'a mut self, segment: &'a Segment) -> OfSegment<'a> {
        OfSegment {
            text: text(&self.layout, segment),
            told: self,
            segment,
        }
    }

    pub(super) fn finish(mut self) -> Closed {
        let Some((verdicts, table)) = self.open else {
            return Closed {
                windows: Vec::new(),
                verdicts: RecordBatch::new_empty(verdict::schema()),
            };
        };
        if table.rows() > 0 {
            self.windows.push(table.finish(&self.schema, &self.layout));
        }
        Closed {
            windows: self.windows,
            verdicts: verdicts.finish(),
        }
    }
}

/// What is said of a segment.
pub(super) struct OfSegment<'a> {
    told: &'a mut Told,
    segment: &'a Segment,
    text: String,
}

impl OfSegment<'_> {
    /// Of its window that starts at `start`: whether it is final, and whether it is said (1) or taken back (-1).
    pub(super) fn of(&mut self, start: i64, is_final: bool, sign: i32) -> OfWindow<'_> {
        let times = (start, self.told.layout.end(start));
        let layout = &self.told.layout;
        let (verdicts, table) = self
            .told
            .open
            .get_or_insert_with(|| (VerdictBuilder::default(), WindowTable::new(layout)));
        OfWindow {
            layout,
            schema: &self.told.schema,
            windows: &mut self.told.windows,
            verdicts,
            table,
            segment: self.segment,
            text: &self.text,
            times,
            is_final,
            sign,
        }
    }
}

/// What is said of a window.
pub(super) struct OfWindow<'a> {
    layout: &'a Layout,
    schema: &'a SchemaRef,
    windows: &'a mut Vec<RecordBatch>,
    verdicts: &'a mut VerdictBuilder,
    table: &'a mut WindowTable,
    segment: &'a Segment,
    text: &'a str,
    times: (i64, i64),
    is_final: bool,
    sign: i32,
}

impl OfWindow<'_> {
    pub(super) fn verdict(&mut self, check: Cow<'_, str>, epoch: Epoch, judged: Judged) {
        self.verdicts.push(Verdict {
            check,
            segment: self.text,
            window: Some(self.times),
            judged,
            epoch,
            is_final: self.is_final,
            sign: self.sign,
        });
    }

    pub(super) fn row(self, row: Row) {
        self.table
            .push(self.segment, self.times, row, (self.is_final, self.sign));
        if self.table.rows() == BATCH_ROWS {
            let full = std::mem::replace(self.table, WindowTable::new(self.layout));
            self.windows.push(full.finish(self.schema, self.layout));
        }
    }
}
