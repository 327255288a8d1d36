//! Partials as bytes, for workers of other processes.
//!
//! ```text
//! head │ for each run: run, kinds of accumulators, partials of one size: begin, segment's values, accumulators │ text │ filling
//! ```
//!
//! - Partials of one layout have as many values and the same kinds of accumulators. They are a *run*: what they share is
//!   said once, and each of them is records of fixed size ([`plain`]). A window's partials are one run.
//! - Text has no fixed size. Its bytes stand behind all records, and a value says where; places are checked.
//! - The words of a 128-bit integer travel apart, since received bytes begin at a multiple of eight, not sixteen.
//!
//! Peers are of the same build, which the handshake makes sure of, so words are in the machine's own order. Bytes that
//! don't decode are a bug, and panic with what is wrong; no bytes make a wrong value of a type (`tests`).

mod plain;

use std::borrow::Cow;
use std::io::{self, Write};

use arrow_buffer::MutableBuffer;
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::record::Epoch;

use super::distinct::Distinct;
use super::layout::Kind;
use super::reduce::Group;
use super::sketch::Sketch;
use super::stats::{Accumulator, Moments, Partial, Sum};
use super::value::{Segment, Value};
use super::wide::Int192;
use plain::{Begin, Front, Head, Run, Single, Square, Total, put};

/// A partial with its group as differential's key, and its epoch.
pub type Update = ((Group, ()), Epoch, Partial);

/// Partials between workers, which between processes are records of fixed layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records(pub Vec<Update>);

impl From<Vec<Update>> for Records {
    fn from(updates: Vec<Update>) -> Self {
        Self(updates)
    }
}

impl From<Records> for Vec<Update> {
    fn from(records: Records) -> Self {
        records.0
    }
}

impl Accountable for Records {
    fn record_count(&self) -> i64 {
        self.0.record_count()
    }
}

impl ContainerBytes for Records {
    fn from_bytes(bytes: Bytes) -> Self {
        // Received bytes are shared and can't be lent mutably, which abomonation asks for: one copy, aligned by Arrow.
        let mut own = MutableBuffer::new(bytes.len());
        own.extend_from_slice(&bytes);
        let decoded = decode(own.as_slice_mut());
        Self(decoded.unwrap_or_else(|broken| {
            panic!("a peer of this build sends partials that can be read: {broken}")
        }))
    }

    fn length_in_bytes(&self) -> usize {
        let runs = runs(&self.0).map(|run| {
            let (group, partial) = parts(&run[0]);
            size_of::<Run>()
                + size_of::<u64>() * partial.accumulators.len()
                + run.len() * partial_bytes(group, partial)
        });
        size_of::<Head>() + runs.sum::<usize>() + text_bytes(&self.0).next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        encode(&self.0, writer).expect("timely gives room for length_in_bytes");
    }
}

/// Why bytes are no partials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("{needed} bytes are needed where {left} are left")]
    Short { needed: usize, left: usize },
    #[error("a record does not begin at a multiple of its alignment")]
    Misaligned,
    #[error("{word} is no {what}")]
    Word { what: &'static str, word: u64 },
    #[error("{said} partials were said to be there, {found} are")]
    Count { said: u64, found: usize },
    #[error("a text is no statistic")]
    Statistic,
    #[error("the text part is no UTF-8")]
    Text,
    #[error("there is no text of {length} bytes at {place}")]
    Place { place: u64, length: u64 },
}

/// Codes of kinds of values; part of what peers of one build share, as [`KINDS`] is.
mod kind {
    pub(super) const NULL: u64 = 0;
    pub(super) const INT: u64 = 1;
    pub(super) const WIDE: u64 = 2;
    pub(super) const TEXT: u64 = 3;
}

/// Kinds of accumulators by their codes.
const KINDS: [Kind; 7] = [
    Kind::Count,
    Kind::Sum,
    Kind::Moments,
    Kind::Least,
    Kind::Greatest,
    Kind::Distinct,
    Kind::Sketch,
];

fn parts(update: &Update) -> (&Segment, &Partial) {
    let (((segment, _), ()), _, partial) = update;
    (segment, partial)
}

/// Neighbours of one shape: those whose records are alike.
fn runs(updates: &[Update]) -> impl Iterator<Item = &[Update]> {
    updates.chunk_by(|left, right| {
        let ((left_segment, left), (right_segment, right)) = (parts(left), parts(right));
        left_segment.0.len() == right_segment.0.len()
            && left.accumulators.len() == right.accumulators.len()
            && left
                .accumulators
                .iter()
                .map(kind_of)
                .eq(right.accumulators.iter().map(kind_of))
    })
}

fn kind_of(accumulator: &Accumulator) -> Kind {
    match accumulator {
        Accumulator::Count(_) => Kind::Count,
        Accumulator::Sum(_) => Kind::Sum,
        Accumulator::Moments(_) => Kind::Moments,
        Accumulator::Least(_) => Kind::Least,
        Accumulator::Greatest(_) => Kind::Greatest,
        Accumulator::Distinct(_) => Kind::Distinct,
        Accumulator::Sketch(_) => Kind::Sketch,
    }
}

fn code(kind: Kind) -> u64 {
    let place = KINDS.iter().position(|known| *known == kind);
    word(place.expect("all kinds have a code"))
}

fn kind_with(code: u64) -> Result<Kind, Broken> {
    let place = usize::try_from(code).ok();
    let kind = place.and_then(|place| KINDS.get(place));
    kind.copied().ok_or(Broken::Word {
        what: "kind of accumulator",
        word: code,
    })
}

/// Bytes of an accumulator's record.
fn accumulator_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Count => size_of::<i64>(),
        Kind::Sum => size_of::<Total>(),
        Kind::Moments => size_of::<Square>(),
        Kind::Least | Kind::Greatest | Kind::Distinct | Kind::Sketch => size_of::<Single>(),
    }
}

/// Bytes of the records of a partial.
fn partial_bytes(segment: &Segment, partial: &Partial) -> usize {
    let kinds = partial.accumulators.iter().map(kind_of);
    let accumulators: usize = kinds.map(accumulator_bytes).sum();
    size_of::<Begin>() + size_of::<Single>() * segment.0.len() + accumulators
}

/// The texts of partials, in the order of their values; statistics of any size are written as texts.
fn texts(updates: &[Update]) -> impl Iterator<Item = Cow<'_, str>> {
    updates.iter().flat_map(|update| {
        let (segment, partial) = parts(update);
        let of_segment = segment.0.iter().filter_map(text_of);
        let accumulators = partial.accumulators.iter();
        of_segment.chain(accumulators.filter_map(|accumulator| match accumulator {
            Accumulator::Least(value) | Accumulator::Greatest(value) => text_of(value),
            Accumulator::Distinct(distinct) => Some(Cow::Owned(distinct.to_text())),
            Accumulator::Sketch(sketch) => Some(Cow::Owned(sketch.to_text())),
            Accumulator::Count(_) | Accumulator::Sum(_) | Accumulator::Moments(_) => None,
        }))
    })
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Null | Value::Int(_) | Value::Wide(_) => None,
    }
}

fn text_bytes(updates: &[Update]) -> usize {
    texts(updates).map(|text| text.len()).sum()
}

fn word(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

fn length(word: u64, what: &'static str) -> Result<usize, Broken> {
    usize::try_from(word).map_err(|_| Broken::Word { what, word })
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "keeps the low word, which is what it is for; try_from would refuse"
)]
fn words(wide: i128) -> [u64; 2] {
    let wide = wide.cast_unsigned();
    [wide as u64, (wide >> 64) as u64]
}

fn wide([low, high]: [u64; 2]) -> i128 {
    (u128::from(low) | (u128::from(high) << 64)).cast_signed()
}

/// Writes partials; [`ContainerBytes::length_in_bytes`] says how many bytes.
fn encode(updates: &[Update], writer: &mut impl Write) -> io::Result<()> {
    let text_bytes = text_bytes(updates);
    let head = Head {
        partials: word(updates.len()),
        text_bytes: word(text_bytes),
    };
    put(&head, writer)?;
    let mut place = 0;
    for run in runs(updates) {
        let (segment, partial) = parts(&run[0]);
        let begin = Run {
            partials: word(run.len()),
            values: word(segment.0.len()),
            accumulators: word(partial.accumulators.len()),
        };
        put(&begin, writer)?;
        for accumulator in &partial.accumulators {
            put(&code(kind_of(accumulator)), writer)?;
        }
        for (((segment, start), ()), epoch, partial) in run {
            let begin = Begin {
                epoch: *epoch,
                start: *start,
                rows: partial.rows,
            };
            put(&begin, writer)?;
            for value in &segment.0 {
                put(&single(value, &mut place), writer)?;
            }
            for accumulator in &partial.accumulators {
                match accumulator {
                    Accumulator::Count(n) => put(n, writer)?,
                    Accumulator::Sum(sum) => put(&total(sum), writer)?,
                    Accumulator::Moments(moments) => {
                        let square = Square {
                            first: total(&moments.first),
                            squares: moments.squares.words(),
                        };
                        put(&square, writer)?;
                    }
                    Accumulator::Least(value) | Accumulator::Greatest(value) => {
                        put(&single(value, &mut place), writer)?;
                    }
                    Accumulator::Distinct(distinct) => {
                        put(&placed(&distinct.to_text(), &mut place), writer)?;
                    }
                    Accumulator::Sketch(sketch) => {
                        put(&placed(&sketch.to_text(), &mut place), writer)?;
                    }
                }
            }
        }
    }
    for text in texts(updates) {
        writer.write_all(text.as_bytes())?;
    }
    writer.write_all(&[0; 8][..text_bytes.next_multiple_of(8) - text_bytes])
}

/// A value as a record; `place` is where the next text stands.
fn single(value: &Value, place: &mut usize) -> Single {
    let (kind, words) = match value {
        Value::Null => (kind::NULL, [0; 2]),
        Value::Int(value) => (kind::INT, [value.cast_unsigned(), 0]),
        Value::Wide(value) => (kind::WIDE, words(*value)),
        Value::Text(text) => return placed(text, place),
    };
    Single { kind, words }
}

/// A text as a record.
fn placed(text: &str, place: &mut usize) -> Single {
    let at = word(*place);
    *place += text.len();
    Single {
        kind: kind::TEXT,
        words: [at, word(text.len())],
    }
}

fn total(sum: &Sum) -> Total {
    Total {
        n: sum.n,
        wide: sum.wide,
        sum: words(sum.sum),
    }
}

/// Reads partials from all of a message.
fn decode(message: &mut [u8]) -> Result<Vec<Update>, Broken> {
    let mut records = Front::new(message);
    let head: Head = records.take()?;
    let text_bytes = length(head.text_bytes, "length of text")?;
    let left = records.left();
    let text = text_bytes
        .checked_next_multiple_of(8)
        .and_then(|filled| records.part_end(filled))
        .ok_or(Broken::Short {
            needed: text_bytes,
            left,
        })?;
    let text = std::str::from_utf8(&text[..text_bytes]).map_err(|_| Broken::Text)?;
    // What the head says is believed only as far as there are bytes for it.
    let most = records.left() / size_of::<Begin>();
    let said = usize::try_from(head.partials).unwrap_or(usize::MAX);
    let mut updates = Vec::with_capacity(said.min(most));
    while records.left() > 0 {
        decode_run(&mut records, text, &mut updates)?;
    }
    if updates.len() != said {
        return Err(Broken::Count {
            said: head.partials,
            found: updates.len(),
        });
    }
    Ok(updates)
}

/// Reads a run from the front.
fn decode_run(
    records: &mut Front<'_>,
    text: &str,
    updates: &mut Vec<Update>,
) -> Result<(), Broken> {
    let run: Run = records.take()?;
    let room = |count: u64, bytes: usize, left: usize| -> Result<usize, Broken> {
        let count = length(count, "number of records")?;
        let needed = count.saturating_mul(bytes);
        if needed > left {
            return Err(Broken::Short { needed, left });
        }
        Ok(count)
    };
    let accumulators = room(run.accumulators, size_of::<u64>(), records.left())?;
    let mut kinds = Vec::with_capacity(accumulators);
    let mut bytes = size_of::<Begin>();
    for _ in 0..accumulators {
        let kind = kind_with(records.take()?)?;
        bytes += accumulator_bytes(kind);
        kinds.push(kind);
    }
    // Of no partials there may be any number of values: each of them is looked for before there is room made for it.
    let values = length(run.values, "number of values")?;
    let bytes = values
        .checked_mul(size_of::<Single>())
        .and_then(|values| values.checked_add(bytes))
        .ok_or(Broken::Word {
            what: "number of values",
            word: run.values,
        })?;
    for _ in 0..room(run.partials, bytes, records.left())? {
        let Begin { epoch, start, rows } = records.take()?;
        let segment = (0..values)
            .map(|_| value(records.take()?, text))
            .collect::<Result<_, _>>()?;
        let accumulators = kinds
            .iter()
            .map(|kind| accumulator(*kind, records, text))
            .collect::<Result<_, _>>()?;
        let partial = Partial { rows, accumulators };
        updates.push((((Segment(segment), start), ()), epoch, partial));
    }
    Ok(())
}

/// Reads an accumulator from the front.
fn accumulator(kind: Kind, records: &mut Front<'_>, text: &str) -> Result<Accumulator, Broken> {
    Ok(match kind {
        Kind::Count => Accumulator::Count(records.take()?),
        Kind::Sum => Accumulator::Sum(sum(records.take()?)),
        Kind::Moments => {
            let Square { first, squares } = records.take()?;
            Accumulator::Moments(Moments {
                first: sum(first),
                squares: Int192::from_words(squares),
            })
        }
        Kind::Least => Accumulator::Least(value(records.take()?, text)?),
        Kind::Greatest => Accumulator::Greatest(value(records.take()?, text)?),
        Kind::Distinct => {
            let written = written(records.take()?, text)?;
            let distinct = Distinct::from_text(&written).ok_or(Broken::Statistic)?;
            Accumulator::Distinct(Box::new(distinct))
        }
        Kind::Sketch => {
            let written = written(records.take()?, text)?;
            let sketch = Sketch::from_text(&written).ok_or(Broken::Statistic)?;
            Accumulator::Sketch(Box::new(sketch))
        }
    })
}

/// A statistic that is written as a text.
fn written(single: Single, text: &str) -> Result<Box<str>, Broken> {
    match value(single, text)? {
        Value::Text(written) => Ok(written),
        _ => Err(Broken::Statistic),
    }
}

fn sum(total: Total) -> Sum {
    Sum {
        n: total.n,
        wide: total.wide,
        sum: wide(total.sum),
    }
}

fn value(single: Single, text: &str) -> Result<Value, Broken> {
    let [first, second] = single.words;
    Ok(match single.kind {
        kind::NULL => Value::Null,
        kind::INT => Value::Int(first.cast_signed()),
        kind::WIDE => Value::Wide(wide(single.words)),
        kind::TEXT => {
            let none = Broken::Place {
                place: first,
                length: second,
            };
            let from = usize::try_from(first).ok();
            let to = first
                .checked_add(second)
                .and_then(|to| usize::try_from(to).ok());
            let found = from.zip(to).and_then(|(from, to)| text.get(from..to));
            Value::Text(found.ok_or(none)?.into())
        }
        word => {
            return Err(Broken::Word {
                what: "kind of value",
                word,
            });
        }
    })
}

#[cfg(test)]
mod tests;
