//! The bytes of one datum: numbers, lengths, and passing over what nobody wants. Nothing is allocated for a length before
//! the bytes are known to be there.

use super::schema::{AvroSchema, Node, NodeId};
use super::{AvroError, BadDatum};

/// How deep a datum may lie in itself. Only types that hold themselves are deeper than their schema.
const MAX_DEPTH: usize = 64;

/// What is left of some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], BadDatum> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(BadDatum::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadDatum> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(BadDatum::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A whole number: seven bits a byte, lowest first, the sign in the lowest bit.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, BadDatum> {
        let mut value: u64 = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7F);
            if at == 9 && bits > 1 {
                return Err(BadDatum::Number);
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                let half = i64::try_from(value >> 1).map_err(|_| BadDatum::Number)?;
                return Ok(if value & 1 == 0 { half } else { !half });
            }
        }
        Err(if self.rest.len() < 10 {
            BadDatum::Short
        } else {
            BadDatum::Number
        })
    }

    pub(super) fn int(&mut self) -> Result<i32, BadDatum> {
        i32::try_from(self.long()?).map_err(|_| BadDatum::Number)
    }

    pub(super) fn length(&mut self) -> Result<usize, BadDatum> {
        usize::try_from(self.long()?).map_err(|_| BadDatum::Length)
    }

    /// Bytes or text behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BadDatum> {
        let length = self.length()?;
        self.take(length)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, BadDatum> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(BadDatum::Boolean),
        }
    }

    /// Which branch of a union follows.
    pub(super) fn branch(&mut self, branches: usize) -> Result<usize, BadDatum> {
        let branch = self.length().map_err(|_| BadDatum::Branch)?;
        if branch < branches {
            Ok(branch)
        } else {
            Err(BadDatum::Branch)
        }
    }

    /// Passes over a datum.
    pub(super) fn skip(&mut self, schema: &AvroSchema, id: NodeId) -> Result<(), BadDatum> {
        self.skip_at(schema, id, 0)
    }

    fn skip_at(&mut self, schema: &AvroSchema, id: NodeId, depth: usize) -> Result<(), BadDatum> {
        if depth > MAX_DEPTH {
            return Err(BadDatum::Depth);
        }
        match schema.node(id) {
            Node::Null => {}
            Node::Boolean => {
                self.boolean()?;
            }
            Node::Int | Node::Date | Node::TimeMillis | Node::Enum(_) => {
                self.int()?;
            }
            Node::Long | Node::TimeMicros | Node::Timestamp { .. } => {
                self.long()?;
            }
            Node::Float => {
                self.take(4)?;
            }
            Node::Double => {
                self.take(8)?;
            }
            Node::Bytes | Node::Text | Node::Decimal { fixed: None, .. } => {
                self.bytes()?;
            }
            Node::Fixed(size)
            | Node::Decimal {
                fixed: Some(size), ..
            } => {
                self.take(*size)?;
            }
            Node::FixedUuid => {
                self.take(16)?;
            }
            Node::Record(members) => {
                for member in members.iter() {
                    self.skip_at(schema, member.node, depth + 1)?;
                }
            }
            Node::Union(branches) => {
                let branch = self.branch(branches.len())?;
                self.skip_at(schema, branches[branch], depth + 1)?;
            }
            Node::Array(items) => self.skip_blocks(schema, *items, false, depth)?,
            Node::Map(values) => self.skip_blocks(schema, *values, true, depth)?,
        }
        Ok(())
    }

    /// Passes over the blocks of an array or a map.
    fn skip_blocks(
        &mut self,
        schema: &AvroSchema,
        items: NodeId,
        keyed: bool,
        depth: usize,
    ) -> Result<(), BadDatum> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The block's bytes are said, so that it can be passed over as a whole.
                let bytes = self.length()?;
                self.take(bytes)?;
                continue;
            }
            for _ in 0..count {
                let before = self.rest.len();
                if keyed {
                    self.bytes()?;
                }
                self.skip_at(schema, items, depth + 1)?;
                if self.rest.len() == before {
                    // Items without bytes: however many there are, nothing of them is there.
                    break;
                }
            }
        }
    }
}

/// Names and values, the mark between blocks, and the length of all.
type Metadata<'a> = (Vec<(&'a [u8], &'a [u8])>, [u8; 16], usize);

/// The header of a container file: its entries, the mark between blocks, and its length. `None`: it is longer than these
/// bytes.
pub(super) fn metadata(bytes: &[u8]) -> Result<Option<Metadata<'_>>, AvroError> {
    match read_metadata(bytes) {
        Ok(header) => Ok(Some(header)),
        Err(BadDatum::Short) => Ok(None),
        Err(error) => Err(AvroError::Header(error.to_string())),
    }
}

fn read_metadata(bytes: &[u8]) -> Result<Metadata<'_>, BadDatum> {
    let mut cursor = Cursor { rest: bytes };
    let mut entries = Vec::new();
    cursor.take(4)?;
    loop {
        let count = cursor.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            cursor.length()?;
        }
        for _ in 0..count.unsigned_abs() {
            let name = cursor.bytes()?;
            entries.push((name, cursor.bytes()?));
        }
    }
    let mark = cursor.array()?;
    Ok((entries, mark, bytes.len() - cursor.rest.len()))
}
