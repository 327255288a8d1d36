//! What flows: chunks of bytes, drafts of rows that may still be refused, batches of clean rows, refused rows.
//!
//! The dataflow's containers live here, so that every room can name them without knowing another room.
//!
//! ```text
//! Chunk --decode--> Draft --enrich, derive, rules--> Draft --split--> Batch (clean) + Batch (refused)
//! ```
//!
//! A [`Draft`] and a [`Batch`] are timely containers whose record count is their number of rows.

mod batch;
mod chunk;
mod draft;
mod encoding;
mod fault;
mod kept;
mod lease;
mod note;
mod position;
mod shown;

pub use batch::{Batch, by_id, by_place};
pub use chunk::{
    Chunk, Framing, HeaderBinding, MessageParts, Messages, Piece, Place, RecordPlace, SchemaText,
};
pub use draft::{Draft, Dropped, Origin};
pub use encoding::{Encoding, Transcoder};
pub use fault::{Fault, Site};
pub use kept::{Kept, KeptHeader, KeptLine, KeptLines, KeptReason, Kind, Raw};
pub use lease::{Budget, Lease};
pub use note::{DuplicateCounts, Failure, Note, Repeat, RowCounts, Stopped};
pub use position::{
    COLUMNS as POSITION_COLUMNS, Positions, columns as position_columns, file_column,
};
pub use shown::{shown, shown_time};

/// The dataflow's time: a closed set of input, opened in order, committed once.
///
/// Epoch 0 holds the snapshots of the reference collections only; rows start at 1.
pub type Epoch = u64;
