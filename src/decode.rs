//! Bytes to typed columns: a chunk of whole records becomes one draft, and no record is lost on the way.
//!
//! ```text
//! bytes --split--> ends of fields --a tight loop for each column--> arrays
//!                       |                        |
//!                       record faults            column faults (the value is null)
//! ```
//!
//! A chunk is split in stretches that stay in the cache, and each column reads its field of every row of a stretch before
//! the next column does, so that branches are foreseen and no row is ever an object. What is wrong with a row is noted as
//! a fault and judged at the split; nothing here fails for one row.
//!
//! - Text is strict unless the column is `lenient`: no blanks are taken away, no number is rounded.
//! - Integers, decimals and times are read from their digits; no decimal is a float on its way.
//! - What a decoder has seen changes how fast it is and whether a varchar column comes as a dictionary, never a value.
//!
//! Readers find where they may cut with [`Cutter`] and bind a file's header with [`bind_header`]; the split takes what
//! quarantine keeps from [`text_columns`] and [`raws_and_places`].

pub mod avro;
mod column;
mod cut;
pub mod debezium;
mod detail;
mod dialect;
mod header;
mod json;
mod kernel;
mod messages;
mod metadata;
mod notation;
mod number;
mod operator;
mod pattern;
mod quarantine;
mod scan;
mod split;
mod table;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use cut::{Cut, Cutter, count_lines, without_line_end};
pub use detail::bytes_of_raw;
pub use dialect::first_line_end;
pub use header::{HeaderError, Written, bind_header};
pub use json::{Elements, Found, blanks};
pub(crate) use metadata::messages_of_rows;
pub use operator::decode;
pub(crate) use pattern::{plain, swapped};
pub use quarantine::{
    lines_and_bytes, raw_and_place, raw_bytes, raw_texts, raws_and_places, text_columns,
};
pub(crate) use table::root_of;
pub use table::{Bound, bind_schema};
pub(crate) use time::read_bound;

use crate::job::plan::{CsvOptions, Format, SourceColumn};
use crate::record::{Chunk, Draft, Fault, HeaderBinding, Origin, Site, shown};

use column::{Collect, Stretch, collector};
use dialect::Dialect;
use kernel::Adjusted;
use scan::narrow;
use split::{Filter, Flaw, Index, Splitter};

/// Decodes the chunks of one source on one worker, in any order.
///
/// Holds memory to work in: about ten bytes for each field of 48 KiB of text, and the dictionaries of varchar columns.
#[derive(Debug)]
pub struct Decoder {
    columns: Vec<SourceColumn>,
    collectors: Vec<Box<dyn Collect>>,
    format: Format,
    column_count: usize,
    index: Index,
    /// Set for JSON.
    json: Option<json::Reader>,
    /// Rows and bytes of the chunk before.
    last: (usize, usize),
    /// Where the format is Debezium's: what reads envelopes, and what the rows of the last draft do.
    envelopes: Option<debezium::Envelopes>,
    /// Where the format is Avro's messages: what reads them.
    framed: avro::framed::Framed,
    changes: Vec<debezium::Change>,
}

impl Decoder {
    /// A decoder for the `columns` of a source of a text format; its drafts have `column_count` columns.
    pub fn new(columns: &[SourceColumn], format: &Format, column_count: usize) -> Self {
        let nulls = match format {
            Format::Csv(options) => options.nulls.as_slice(),
            _ => &[],
        };
        let json = match format {
            Format::Json(options) => Some(json::Reader::new(columns, options)),
            _ => None,
        };
        Self {
            columns: columns.to_vec(),
            collectors: columns
                .iter()
                .map(|column| collector(column, nulls))
                .collect(),
            format: format.clone(),
            column_count,
            index: Index::default(),
            json,
            last: (0, 0),
            envelopes: matches!(format, Format::Debezium).then(debezium::Envelopes::new),
            framed: messages::framed(columns),
            changes: Vec::new(),
        }
    }

    /// Decodes one chunk; every record that is not dropped becomes a row, in order.
    ///
    /// Panics where the chunk has 2 GiB or more, which the plan's limit of `chunk_bytes` excludes.
    /// Cost: one pass for each column, over stretches of 48 KiB.
    pub fn decode(&mut self, chunk: Arc<Chunk>) -> Draft {
        assert!(
            i32::try_from(chunk.bytes.len()).is_ok(),
            "a chunk has {} bytes, 2 GiB or more",
            chunk.bytes.len()
        );
        let mut draft = Draft {
            epoch: chunk.epoch,
            columns: vec![None; self.column_count],
            source: chunk.source,
            dropped: chunk.dropped,
            lease: chunk.lease.clone(),
            ..Draft::default()
        };
        for collector in &mut self.collectors {
            collector.written(chunk.header.encoding, self.format.on_nul());
        }
        let starts = match (&chunk.broken, &self.format) {
            (Some((reason, words)), _) => self.broken(&chunk, reason, words, &mut draft),
            (None, Format::Csv(options)) => {
                let options = options.clone();
                self.delimited(&chunk, &options, &mut draft)
            }
            (None, Format::AvroMessages { .. }) => {
                let starts = self.avro_messages(&chunk, &mut draft);
                draft.origin = Some(Origin::Text { chunk, starts });
                metadata::fill(&mut draft, &self.columns);
                return draft;
            }
            (None, Format::Debezium) => self.envelopes(&chunk, &mut draft),
            (None, _) => self.json(&chunk, &mut draft),
        };
        for (column, collector) in self.columns.iter().zip(&mut self.collectors) {
            draft.columns[column.id] = Some(collector.finish());
            draft.stripped += collector.stripped();
            note_adjusted(column.id, collector.adjusted(), &mut draft.adjusted);
        }
        self.last = (draft.rows, chunk.bytes.len());
        draft.origin = Some(Origin::Text { chunk, starts });
        metadata::fill(&mut draft, &self.columns);
        draft
    }

    /// The whole chunk is one refused row.
    fn broken(&mut self, chunk: &Chunk, reason: &str, words: &str, draft: &mut Draft) -> Vec<u32> {
        for collector in &mut self.collectors {
            collector.begin(1);
            collector.absent(0, true, &mut draft.faults);
        }
        let detail = shown(words.as_bytes(), detail::LONGEST_WORDS);
        draft.faults.push(Fault {
            row: 0,
            site: Site::Record,
            reason: Arc::from(reason),
            detail,
        });
        draft.rows = 1;
        vec![0, narrow(chunk.bytes.len())]
    }

    fn delimited(&mut self, chunk: &Chunk, options: &CsvOptions, draft: &mut Draft) -> Vec<u32> {
        let bytes = chunk.bytes.as_slice();
        let filter = self.filter(&chunk.header, options);
        let fields_of = header::fields_of_columns(&chunk.header, &self.columns);
        let mut splitter =
            Splitter::new(bytes, chunk.header.fields, Dialect::new(options), &filter);
        let mut starts = self.begin(bytes);
        while let Some((text, dialect)) = splitter.next(&mut self.index) {
            let index = &self.index;
            let stretch = Stretch {
                bytes,
                ascii: text.is_ascii() && memchr::memchr(0, text).is_none(),
                index,
                dialect,
                first_row: draft.rows,
            };
            for (row, flaw) in &index.flaws {
                draft
                    .faults
                    .push(record_fault(draft.rows + row, *flaw, chunk, options));
            }
            for (collector, fields) in self.collectors.iter_mut().zip(&fields_of) {
                match fields.as_slice() {
                    [field] => collector.stretch(&stretch, *field, &mut draft.faults),
                    [] => {
                        for row in 0..index.rows() {
                            collector.absent(
                                draft.rows + row,
                                stretch.is_flawed(row),
                                &mut draft.faults,
                            );
                        }
                    }
                    fields => joined(&stretch, fields, collector.as_mut(), &mut draft.faults),
                }
            }
            starts.extend_from_slice(&index.starts);
            draft.rows += index.rows();
        }
        draft.dropped.blank += splitter.dropped.blank;
        draft.dropped.repeated_headers += splitter.dropped.repeated_headers;
        starts.push(narrow(bytes.len()));
        starts
    }

    fn json(&mut self, chunk: &Chunk, draft: &mut Draft) -> Vec<u32> {
        let bytes = chunk.bytes.as_slice();
        let mut starts = self.begin(bytes);
        let reader = self
            .json
            .as_mut()
            .expect("columnar files have no text to decode");
        let mut standing = reader.begin(&chunk.header);
        while reader.next(bytes, &mut standing) {
            let faults = &mut draft.faults;
            reader.record_faults(chunk, draft.rows, faults);
            for (column, collector) in self.collectors.iter_mut().enumerate() {
                let before = faults.len();
                collector.cells(&reader.given(bytes, column, draft.rows), faults);
                reader.name_elements(column, draft.rows, &mut faults[before..]);
            }
            starts.extend_from_slice(&reader.cells.starts);
            draft.rows += reader.cells.rows();
            draft.dropped.empty_arrays += reader.dropped();
        }
        starts.push(narrow(bytes.len()));
        starts
    }

    /// Reads one envelope a line; those that concern no row are passed over. What the rows do is there in
    /// [`Self::take_changes`].
    fn envelopes(&mut self, chunk: &Chunk, draft: &mut Draft) -> Vec<u32> {
        let bytes = chunk.bytes.as_slice();
        let filter = Filter::default();
        let mut lines = Splitter::new(bytes, 1, Dialect::LINES, &filter);
        let mut starts = self.begin(bytes);
        let Some(mut envelopes) = self.envelopes.take() else {
            return starts;
        };
        while lines.next(&mut self.index).is_some() {
            for (start, end) in self.index.spans(0) {
                let line = &bytes[start..end];
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let row = draft.rows;
                let (change, values, wrong) = match envelopes.read(line, &self.columns) {
                    Ok(debezium::Envelope::Nothing(_)) => continue,
                    Ok(debezium::Envelope::Change(change, values)) => (change, Some(values), None),
                    Err(why) => (debezium::Change::none(), None, Some(why)),
                };
                let upsert = wrong.is_none() && change.effect == debezium::Effect::Upsert;
                for (at, (column, to)) in self.columns.iter().zip(&mut self.collectors).enumerate()
                {
                    let value = values.as_ref().and_then(|values| values[at].as_ref());
                    if upsert || value.is_some_and(|value| *value != debezium::Value::Null) {
                        debezium::give(value, column, to.as_mut(), row, &mut draft.faults);
                    } else {
                        // Of a row that is gone no more than its key need be there.
                        to.absent(row, true, &mut draft.faults);
                    }
                }
                if let Some(why) = wrong {
                    draft.faults.push(Fault {
                        row,
                        site: Site::Record,
                        reason: Arc::from("invalid_envelope"),
                        detail: why.to_owned(),
                    });
                }
                self.changes.push(change);
                starts.push(narrow(start));
                draft.rows += 1;
            }
        }
        self.envelopes = Some(envelopes);
        starts.push(narrow(bytes.len()));
        starts
    }

    /// What each row of the last draft does to the table, where the format is Debezium's; empty otherwise.
    pub fn take_changes(&mut self) -> Vec<debezium::Change> {
        std::mem::take(&mut self.changes)
    }

    /// Makes room for the rows of a chunk, in the collectors and for their starts.
    fn begin(&mut self, bytes: &[u8]) -> Vec<u32> {
        let lines = match self.last {
            // A guess a little too high is cheaper than counting, and one too low costs a move.
            (rows, length) if length > 0 => bytes.len() / length.div_ceil(rows + 1) * 17 / 16 + 16,
            _ => memchr::memchr_iter(b'\n', bytes).count() + 1,
        };
        for collector in &mut self.collectors {
            collector.begin(lines);
        }
        Vec::with_capacity(lines + 1)
    }

    /// What the options let drop.
    fn filter(&self, header: &HeaderBinding, options: &CsvOptions) -> Filter {
        let names = || {
            let fields = header::fields(&self.columns);
            let name =
                |column: &Option<usize>| column.map(|column| fields[column].as_bytes().to_vec());
            header.column_of_field.iter().map(name).collect()
        };
        let repeated = options.header && options.skip_repeated_header;
        Filter {
            blank: options.skip_blank,
            header: repeated.then(names),
        }
    }
}

/// Notes what a column's collector has adjusted.
fn note_adjusted(column: usize, adjusted: Adjusted, to: &mut Vec<(usize, &'static str, u64)>) {
    for (what, values) in [
        ("rounded", adjusted.rounded),
        ("chosen of two times", adjusted.chosen),
        ("moved over a gap", adjusted.shifted),
    ] {
        if values > 0 {
            to.push((column, what, values));
        }
    }
}

/// Gives a column the texts of several fields as one, with a blank between those that are not empty.
fn joined(
    stretch: &Stretch<'_>,
    fields: &[usize],
    collector: &mut dyn Collect,
    faults: &mut Vec<Fault>,
) {
    let mut spans: Vec<_> = fields
        .iter()
        .map(|field| stretch.index.spans(*field))
        .collect();
    let (mut text, mut scratch) = (Vec::new(), Vec::new());
    for row in 0..stretch.index.rows() {
        text.clear();
        for (start, end) in spans.iter_mut().filter_map(Iterator::next) {
            let (part, _) = stretch.dialect.text(stretch.raw(start, end), &mut scratch);
            join(&mut text, part);
        }
        let number = stretch.first_row + row;
        if stretch.is_flawed(row) {
            collector.absent(number, true, faults);
        } else {
            collector.text(number, &text, false, faults);
        }
    }
}

/// Adds the text of one more field.
fn join(text: &mut Vec<u8>, part: &[u8]) {
    if !text.is_empty() && !part.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(part);
}

fn record_fault(row: usize, flaw: Flaw, chunk: &Chunk, options: &CsvOptions) -> Fault {
    let (reason, detail) = match flaw {
        Flaw::FieldCount(found) => ("field_count", format!("{found}≠{}", chunk.header.fields)),
        Flaw::TextAfterQuote(at) => {
            let rest = &chunk.bytes[at..];
            let marks = (options.delimiter, b'\n', b'\r');
            let end = memchr::memchr3(marks.0, marks.1, marks.2, rest).unwrap_or(rest.len());
            let text = shown(&rest[..end], detail::LONGEST - detail::AFTER_QUOTE.len());
            ("text_after_quote", text + detail::AFTER_QUOTE)
        }
        Flaw::UnclosedQuote => (
            "unclosed_quote",
            String::from("a quote is open at the end of the file"),
        ),
    };
    Fault {
        row,
        site: Site::Record,
        reason: Arc::from(reason),
        detail,
    }
}
