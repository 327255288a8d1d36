//! Which rows are no messages of their topics: looked for before the split, where they can be refused.
//!
//! That a batch's messages are all small enough is seen from its columns: first from the number of bytes of all texts, then from the
//! longest text of each column. Only where both allow a message that is too large are rows looked at, and only those that
//! could be are encoded.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, StringArray};

use super::encode::{Encoded, Encoder, Unfit, Worked};
use crate::job::plan::{KafkaSink, Plan, SinkFrom};
use crate::transform::text::Text;

/// The gauges of all topics that clean rows go to.
pub struct Gauge {
    /// Index in `plan.sinks`.
    sink: usize,
    encoder: Encoder,
    most_bytes: usize,
    has_conditions: bool,
}

impl Gauge {
    /// One for each sink of clean rows that writes a topic.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let sinks = plan.sinks.iter().enumerate();
        let topics = sinks.filter(|(_, sink)| sink.from == SinkFrom::Rows);
        topics
            .filter_map(|(index, sink)| {
                let encoder = Encoder::new(sink, sink.message()?);
                Some(Self {
                    sink: index,
                    most_bytes: encoder.most_bytes(),
                    has_conditions: encoder.has_conditions(),
                    encoder,
                })
            })
            .collect()
    }

    /// Index of the sink in `plan.sinks`.
    pub fn sink(&self) -> usize {
        self.sink
    }

    /// The topic.
    pub fn kafka(&self) -> &KafkaSink {
        self.encoder.kafka()
    }

    /// The rows, ascending, of which no message can be made, and why. `columns` are those of the job by id.
    ///
    /// Cost: where nothing is wrong and no text is large, some nanoseconds a column; else some a row.
    pub fn unfit(
        &self,
        columns: &[Option<ArrayRef>],
        rows: usize,
        now: i64,
    ) -> Vec<(usize, Unfit)> {
        if rows == 0 {
            return Vec::new();
        }
        let worked = self.encoder.work_out(columns, rows, now);
        let room = self.encoder.max_message().checked_sub(self.most_bytes);
        let may_be_large = room.is_none_or(|room| !worked.fits(room));
        let may_be_bad = self.has_conditions && worked.may_be_bad(self.encoder.needs_key());
        if !may_be_large && !may_be_bad {
            return Vec::new();
        }
        let view = self.encoder.view(&worked);
        let mut scratch = Encoded::default();
        let mut unfit = Vec::new();
        for row in 0..rows {
            let is_small = || room.is_some_and(|room| worked.text_bytes(row) <= room);
            let judged = if may_be_large && !is_small() {
                scratch.clear();
                self.encoder.push(&view, row, &mut scratch)
            } else if may_be_bad {
                self.encoder.check(&view, row)
            } else {
                Ok(())
            };
            unfit.extend(judged.err().map(|why| (row, why)));
        }
        unfit
    }
}

impl Worked {
    /// Whether some row may have a partition or time below nought, or no key where one must be. Looks at whole columns, at what stands
    /// in rows that are null, too: it errs on the side of looking at rows.
    fn may_be_bad(&self, needs_key: bool) -> bool {
        let numbers = self.partition.as_ref().is_some_and(|array| {
            let numbers = array.as_primitive::<Int32Type>().values();
            numbers.iter().any(|number| *number < 0)
        });
        let times = self.timestamp.as_ref().is_some_and(|array| {
            let times = array.as_primitive::<TimestampMicrosecondType>().values();
            times.iter().any(|time| *time < 0)
        });
        let asks_for_key = || {
            let has_tombstones = |array: &ArrayRef| array.as_boolean().has_true();
            needs_key || self.tombstone.as_ref().is_some_and(has_tombstones)
        };
        let lacks_key = self
            .key
            .as_ref()
            .is_none_or(|key| key.logical_null_count() > 0);
        numbers || times || lacks_key && asks_for_key()
    }

    /// Whether the texts of each row are at most so many bytes when written.
    fn fits(&self, room: usize) -> bool {
        let all = self.texts().map(|(array, times)| times * all_bytes(array));
        all.sum::<usize>() <= room || {
            let longest = self.texts().map(|(array, times)| times * longest(array));
            longest.sum::<usize>() <= room
        }
    }

    /// Bytes of a row's texts when written, at most.
    fn text_bytes(&self, row: usize) -> usize {
        let each = self.texts().map(|(array, times)| {
            let text = Text::of(array).and_then(|text| text.value(row));
            times * text.map_or(0, str::len)
        });
        each.sum()
    }
}

/// Bytes of a column's texts, which no row of it can have more of; of a dictionary, whose texts are few, the longest.
fn all_bytes(array: &ArrayRef) -> usize {
    match array.as_string_opt::<i32>() {
        Some(texts) => texts.value_offsets().last().map_or(0, |last| {
            length(last - texts.value_offsets().first().unwrap_or(last))
        }),
        None => longest(array),
    }
}

/// Bytes of a column's longest text.
fn longest(array: &ArrayRef) -> usize {
    let longest = |texts: &StringArray| {
        let offsets = texts.value_offsets().windows(2);
        length(offsets.map(|pair| pair[1] - pair[0]).max().unwrap_or(0))
    };
    if let Some(texts) = array.as_string_opt::<i32>() {
        return longest(texts);
    }
    let dictionary = array.as_dictionary_opt::<Int32Type>();
    let texts = dictionary.and_then(|dictionary| dictionary.values().as_string_opt::<i32>());
    texts.map_or(0, longest)
}

fn length(bytes: i32) -> usize {
    usize::try_from(bytes).expect("offsets ascend")
}
