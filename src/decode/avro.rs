//! Avro: data behind a schema of its own, decoded to Arrow columns that are then read as those of any columnar file.
//!
//! ```text
//! schema text ──> AvroSchema ──┐
//! columns wanted ──────────────┴─> AvroReader: one datum at a time ──> cells ──> arrays
//!                                       │
//!                                       wrong bytes: an error for the datum, none of its cells is kept
//! ```
//!
//! A column is bound to a member of the record by name, or by a path of names into records (`customer.id`); what the schema has
//! beyond is passed over, and what it lacks is null. So a reader sees any version of a schema as its own columns.
//!
//! Own code and no crate: `apache-avro` makes an object of each value, and `arrow-avro` can't go on after a bad datum, since a
//! row that was read by half stays in its columns. Both allocate what a length in the data says. Here nothing is allocated before
//! the bytes are there, and a row's cells reach the columns when all of it is read. The tests hold it against `apache-avro`.

mod cursor;
pub mod framed;
mod rows;
mod schema;

use std::sync::Arc;

pub use rows::AvroReader;
pub use schema::AvroSchema;

/// What is wrong with a file or schema of Avro.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AvroError {
    /// A schema can't be used.
    #[error("its schema can't be used: {0}")]
    Schema(Arc<str>),
    /// It is no container file.
    #[error("its header can't be read: {0}")]
    Header(String),
    /// Its blocks are packed in a way that is not known.
    #[error("its codec is {0:?}; null, deflate, snappy and zstandard are read")]
    Codec(String),
    /// A block can't be read.
    #[error("the block at byte {byte} can't be read: {why}")]
    Block {
        /// Its place in the file.
        byte: u64,
        /// Why.
        why: String,
    },
}

impl AvroError {
    fn schema(why: String) -> Self {
        Self::Schema(why.into())
    }
}

/// Why bytes are no datum of their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDatum {
    /// It goes beyond the bytes that are there.
    #[error("it ends before its schema says")]
    Short,
    /// Bytes are left.
    #[error("there are bytes behind it")]
    Long,
    /// A number has too many bytes, or is beyond its type.
    #[error("a number is beyond its type")]
    Number,
    /// A length is negative.
    #[error("a length is negative")]
    Length,
    /// A truth value is neither 0 nor 1.
    #[error("a truth value is neither 0 nor 1")]
    Boolean,
    /// A union has no such branch.
    #[error("a union has no such branch")]
    Branch,
    /// An enum has no such symbol.
    #[error("an enum has no such symbol")]
    Symbol,
    /// A decimal has more digits than any number here.
    #[error("a decimal has more digits than any number here")]
    Decimal,
    /// It lies in itself too deeply.
    #[error("it lies in itself too deeply")]
    Depth,
}

/// The entries of a container file's header, the mark between its blocks, and the header's length. `None`: there is more of it
/// than these bytes.
///
/// # Errors
/// It is no container file.
pub fn container_header(bytes: &[u8]) -> Result<Option<ContainerHeader>, AvroError> {
    let start = bytes.get(..4).unwrap_or(bytes);
    if !b"Obj\x01".starts_with(start) {
        return Err(AvroError::Header(
            "it does not begin with Obj and 1".to_owned(),
        ));
    }
    let Some((entries, mark, length)) = cursor::metadata(bytes)? else {
        return Ok(None);
    };
    let entry = |name: &[u8]| {
        let mut found = entries.iter().filter(|(own, _)| *own == name);
        found.next().map(|(_, value)| *value)
    };
    let schema = entry(b"avro.schema");
    let schema = schema.ok_or_else(|| AvroError::Header("it has no schema".to_owned()))?;
    let codec = entry(b"avro.codec").unwrap_or(b"null");
    Ok(Some(ContainerHeader {
        schema: AvroSchema::parse(schema)?,
        codec: String::from_utf8_lossy(codec).into_owned(),
        mark,
        length,
    }))
}

/// How a container file begins.
#[derive(Debug, Clone)]
pub struct ContainerHeader {
    /// The schema of its data.
    pub schema: AvroSchema,
    /// How its blocks are packed.
    pub codec: String,
    /// What stands behind each block.
    pub mark: [u8; 16],
    /// Bytes of the header.
    pub length: usize,
}

/// Two numbers in front of a block: data in it, bytes of it; and their own length. `None`: these are no such numbers.
pub fn block_header(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let mut cursor = cursor::Cursor { rest: bytes };
    let data = u64::try_from(cursor.long().ok()?).ok()?;
    let length = u64::try_from(cursor.long().ok()?).ok()?;
    Some((data, length, bytes.len() - cursor.rest.len()))
}

#[cfg(test)]
mod tests;
