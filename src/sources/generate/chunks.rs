//! The generator as a source: records in pieces.

use std::ops::Range;

use super::event::Events;
use super::text::TextTables;

/// How a generated source writes its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VentasText {
    /// CSV without a header line, with the fields of [`super::VENTAS_COLUMNS`].
    Csv,
    /// JSON lines with these keys.
    Json,
}

/// The sales of one stream, both partitions together in the order of `sale_id`, as text.
#[derive(Debug)]
pub struct VentasChunks {
    text: VentasText,
    events: Events,
    tables: TextTables,
}

impl VentasChunks {
    /// All `rows` sales of the data set with this seed: the same as in the files of [`super::generate_ventas`].
    pub fn new(rows: u64, seed: u64, text: VentasText) -> Self {
        Self {
            text,
            events: Events::new(rows, seed),
            tables: TextTables::new(),
        }
    }

    /// The sales of that data set whose row number, counted from 0, is in `range`. Making a part costs nothing for what is
    /// before it, so readers can share the stream by rows.
    pub fn slice(rows: u64, seed: u64, text: VentasText, range: Range<u64>) -> Self {
        Self {
            text,
            events: Events::slice(rows, seed, range),
            tables: TextTables::new(),
        }
    }

    /// The row number of the next record, from 0.
    pub fn position(&self) -> u64 {
        self.events.position()
    }

    /// The next records, until they have at least `bytes` bytes, are `most` or the stream ends, and the row number of the
    /// first (`sale_id` - 1); `None` after the last. The bytes exceed `bytes` by less than one record.
    pub fn next_chunk(&mut self, bytes: usize, most: u64) -> Option<(Vec<u8>, u64)> {
        let first_row = self.events.position();
        // A little more, so that the last record does not make the buffer grow.
        let mut records = Vec::with_capacity(bytes.saturating_add(256).min(1 << 24));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for event in self.events.by_ref().take(most) {
            match self.text {
                VentasText::Csv => self.tables.push_csv(&event, &mut records),
                VentasText::Json => self.tables.push_json(&event, &mut records),
            }
            if records.len() >= bytes {
                break;
            }
        }
        (!records.is_empty()).then_some((records, first_row))
    }
}
