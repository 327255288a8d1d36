//! The generator as a source: CSV records in pieces.

use std::ops::Range;

use super::event::Events;
use super::text::TextTables;

/// The sales of one stream, both partitions together in the order of `sale_id`, as CSV records without a header line,
/// with the fields of [`super::VENTAS_COLUMNS`].
#[derive(Debug)]
pub struct VentasChunks {
    events: Events,
    tables: TextTables,
}

impl VentasChunks {
    /// All `rows` sales of the data set with this seed: the same as in the files of [`super::generate_ventas`].
    pub fn new(rows: u64, seed: u64) -> Self {
        Self {
            events: Events::new(rows, seed),
            tables: TextTables::new(),
        }
    }

    /// The sales of that data set whose row number, counted from 0, is in `range`. Making a part costs nothing for what is
    /// before it, so readers can share the stream by rows.
    pub fn slice(rows: u64, seed: u64, range: Range<u64>) -> Self {
        Self {
            events: Events::slice(rows, seed, range),
            tables: TextTables::new(),
        }
    }

    /// The next records, until they have at least `bytes` bytes or the stream ends, and the row number of the first
    /// (`sale_id` - 1); `None` after the last. There is at least one record, and the bytes exceed `bytes` by less than one.
    pub fn next_chunk(&mut self, bytes: usize) -> Option<(Vec<u8>, u64)> {
        let first_row = self.events.position();
        // A little more, so that the last record does not make the buffer grow.
        let mut records = Vec::with_capacity(bytes.saturating_add(256).min(1 << 24));
        for event in self.events.by_ref() {
            self.tables.push_csv(&event, &mut records);
            if records.len() >= bytes {
                break;
            }
        }
        (!records.is_empty()).then_some((records, first_row))
    }
}
