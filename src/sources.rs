//! Input: bytes in, with a position and an epoch.
//!
//! ```text
//!            Feed (one a process)                       worker 0..W
//!  files ──> lock: read a block, cut it at a record ──> decode the chunk
//!            end, give it its place, line and epoch
//! ```
//!
//! The contract of a source:
//!
//! - it gives each record a position (file, line, byte) that does not depend on who decodes it;
//! - it cuts chunks of whole records at a size fixed by the job, never by the number of workers;
//! - it gives each chunk an epoch by the bytes read before it, so that epochs too are the same for any number of workers;
//! - it takes a lease of the process's budget for each chunk and gives nothing out while the budget is used up;
//! - it says which epoch it may still give rows for, so that readers can let go of earlier ones;
//! - a fault of the world (file gone, disk error, broken compression) ends the run, or refuses the file where the job says so.
//!
//! Cutting is serial for each process: a block is read and scanned for its last record end at several GB/s, which is a small
//! part of what decoding it costs, and in return a chunk begins and ends with a record, whatever is quoted in it.

mod discover;
mod elements;
mod feed;
mod files;
mod follow;
pub mod generate;
mod input;
mod kafka;
mod open;
mod read;
mod replay;
mod share;
mod stream;
mod table;
mod text;

pub use discover::Discovery;
pub use feed::Feed;
pub use files::{SourceError, expand};
pub use follow::{Changes, DeliveredError, Delivery, Folders, FollowError};
pub use kafka::{KafkaError, Topics};
pub(crate) use kafka::{ReferenceReader, Updates};
pub use open::open_text;
pub use read::read;
pub use table::{TableError, TableFile};
pub(crate) use table::{is_reading, told_missing};
pub use text::TextFile;
