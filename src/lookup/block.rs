//! Reference rows as bytes: many in one buffer, which is shared and travels as it is.
//!
//! A row is encoded once, when it is loaded ([`layout`](super::layout)): equal rows are equal bytes, and rows sort by their key. Blocks of encoded
//! rows go to the processes, and within a process everyone who holds a row of a block holds the block, not a copy.

use std::cmp::Ordering;
use std::io::Write;
use std::sync::Arc;

use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::cluster::exchange::Addressed;

/// Bytes of rows in a block: enough that a message's own cost is nothing beside them, and few enough that a block is on its way while the
/// next one is made.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Encoded rows that lie behind each other. A clone is the same block.
#[derive(Debug, Clone, Default)]
pub(super) struct Block(Arc<Encoded>);

#[derive(Debug, Default)]
struct Encoded {
    /// Where each row ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// Makes a [`Block`].
#[derive(Debug, Default)]
pub(super) struct BlockBuilder(Encoded);

impl BlockBuilder {
    /// Adds a row.
    pub(super) fn push(&mut self, row: &[u8]) {
        self.0.bytes.extend_from_slice(row);
        let end = u32::try_from(self.0.bytes.len());
        self.0
            .ends
            .push(end.expect("a block has its size and one row more, which are below 4 GiB"));
    }

    /// Whether it has its size.
    pub(super) fn is_full(&self) -> bool {
        self.0.bytes.len() >= BLOCK_BYTES
    }

    /// The rows so far; none are left.
    pub(super) fn take(&mut self) -> Option<Block> {
        if self.0.ends.is_empty() {
            return None;
        }
        let mut encoded = std::mem::take(&mut self.0);
        encoded.ends.shrink_to_fit();
        encoded.bytes.shrink_to_fit();
        Some(Block(Arc::new(encoded)))
    }
}

impl Block {
    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Bytes of the rows.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.len()
    }

    /// The bytes of a row.
    pub(super) fn row(&self, at: usize) -> &[u8] {
        let first = match at.checked_sub(1) {
            Some(before) => usize_of(self.0.ends[before]),
            None => 0,
        };
        &self.0.bytes[first..usize_of(self.0.ends[at])]
    }

    /// The rows, each as its place in this block.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let places = 0..u32::try_from(self.len()).expect("a block has fewer than 2^32 rows");
        places.map(|at| Row {
            block: self.clone(),
            at,
        })
    }
}

fn usize_of(place: u32) -> usize {
    usize::try_from(place).expect("a place of 32 bits fits")
}

/// A row of a reference collection: a place in a block. Rows are equal and ordered as their bytes are, whatever block they lie in.
#[derive(Debug, Clone)]
pub(super) struct Row {
    block: Block,
    at: u32,
}

impl Row {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.block.row(usize_of(self.at))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

/// A block on its way to a worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivery {
    pub(super) worker: usize,
    /// Whether the rows go, rather than come.
    pub(super) gone: bool,
    pub(super) block: Block,
}

impl Addressed for Delivery {
    fn worker(&self) -> usize {
        self.worker
    }
}

impl timely::Accountable for Delivery {
    fn record_count(&self) -> i64 {
        i64::try_from(self.block.len()).expect("a block has fewer than 2^63 rows")
    }
}

/// Bytes before the ends: worker, whether the rows go, rows, bytes.
const HEAD_BYTES: usize = 32;

/// `worker │ gone │ rows │ bytes │ ends │ bytes of the rows`, words of 64 bits and ends of 32, little-endian, filled up to whole words.
///
/// Decoding copies, since a block outlives the run's other messages, and would hold all that was received with it.
impl ContainerBytes for Delivery {
    fn from_bytes(bytes: Bytes) -> Self {
        let word = |at: usize| {
            let word = bytes[8 * at..8 * at + 8].try_into().expect("eight bytes");
            usize::try_from(u64::from_le_bytes(word)).expect("a message fits memory")
        };
        let (worker, gone, rows, length) = (word(0), word(1), word(2), word(3));
        let (ends, texts) = bytes[HEAD_BYTES..].split_at(4 * rows);
        let ends = ends.chunks_exact(4);
        let ends = ends.map(|end| u32::from_le_bytes(end.try_into().expect("four bytes")));
        let encoded = Encoded {
            ends: ends.collect(),
            bytes: texts[..length].to_vec(),
        };
        Self {
            worker,
            gone: gone != 0,
            block: Block(Arc::new(encoded)),
        }
    }

    fn length_in_bytes(&self) -> usize {
        HEAD_BYTES + (4 * self.block.len() + self.block.bytes()).next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let encoded = &*self.block.0;
        let mut head = Vec::with_capacity(HEAD_BYTES + 4 * encoded.ends.len());
        let gone = usize::from(self.gone);
        for word in [self.worker, gone, encoded.ends.len(), encoded.bytes.len()] {
            let word = u64::try_from(word).expect("a length fits 64 bits");
            head.extend(word.to_le_bytes());
        }
        for end in &encoded.ends {
            head.extend(end.to_le_bytes());
        }
        let written = HEAD_BYTES + 4 * encoded.ends.len() + encoded.bytes.len();
        for part in [
            &head,
            &encoded.bytes,
            &[0; 8][..self.length_in_bytes() - written],
        ] {
            writer
                .write_all(part)
                .expect("timely gives room for length_in_bytes");
        }
    }
}

#[cfg(test)]
mod tests {
    use timely::bytes::arc::BytesMut;

    use super::*;

    #[test]
    fn rows_come_back_from_the_wire_whatever_their_lengths() {
        for rows in [
            vec![],
            vec![""],
            vec!["a"],
            vec!["", "", "abc", "", "wxyz1"],
            vec!["12345678"; 9],
        ] {
            let mut builder = BlockBuilder::default();
            for row in &rows {
                builder.push(row.as_bytes());
            }
            let sent = Delivery {
                worker: 7,
                gone: rows.len() == 1,
                block: builder.take().unwrap_or_default(),
            };
            let mut bytes = Vec::new();
            sent.into_bytes(&mut bytes);
            assert_eq!(bytes.len(), sent.length_in_bytes());
            assert_eq!(bytes.len() % 8, 0);
            let got = Delivery::from_bytes(BytesMut::from(bytes).freeze());
            assert_eq!((got.worker, got.gone), (7, rows.len() == 1));
            let got: Vec<Row> = got.block.rows().collect();
            let got: Vec<&[u8]> = got.iter().map(Row::bytes).collect();
            let sent: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
            assert_eq!(got, sent);
        }
    }

    #[test]
    fn rows_are_equal_and_ordered_across_blocks() {
        let block = |rows: &[&str]| {
            let mut builder = BlockBuilder::default();
            for row in rows {
                builder.push(row.as_bytes());
            }
            builder.take().unwrap()
        };
        let (one, two) = (block(&["b", "a"]), block(&["c", "b"]));
        let mut rows: Vec<Row> = one.rows().chain(two.rows()).collect();
        rows.sort();
        let bytes: Vec<&[u8]> = rows.iter().map(Row::bytes).collect();
        assert_eq!(bytes, [b"a", b"b", b"b", b"c"]);
        assert_eq!(rows[1], rows[2]);
        assert_ne!(rows[2], rows[3]);
    }
}
