//! Enrichment: rows meet reference collections.
//!
//! Each look-up is a differential collection of (key, reference row), arranged on every worker:
//!
//! ```text
//! reference files ─ load ─> worker 0 ─ broadcast ─> arrange (key → row) ─> snapshot as of e ─┐
//! drafts of epoch e ────────────────────────────────────────────────────────────────────────┴─> enrich ─> drafts
//! ```
//!
//! **Which version a row meets.** Rows of epoch e meet the reference rows of epochs < e. A draft waits until the
//! arrangement is complete through e − 1, so what it sees does not depend on timing. Epoch 0 holds the first snapshot.
//!
//! **How it is read.** Several wrong ways exist. Joining the two collections differentially would keep every sale for ever
//! and correct old output; sharding by `arrange_by_key` would make each worker miss what the others hold (rows don't visit);
//! seeking a cursor for each row costs 50–100 ns a row. Here the arrangement is the truth, and each worker keeps a columnar
//! [`snapshot`] of it as of the newest epoch asked for: an index from key to row and the reference columns as Arrow arrays. It
//! is made anew when, and only when, the arrangement has changed between two epochs asked for. A batch evaluates its key
//! expression, probes the index (once for each distinct value where the key is dictionary-coded) and gathers by row number.
//!
//! As-of look-ups (`valid_from`, `valid_to`) keep all versions of a key side by side, in order, and search by event time.

mod collection;
mod enrich;
mod fold;
mod load;
mod missing;
mod snapshot;

pub use collection::{Reference, collections};
pub use enrich::{EnrichError, enrich};
pub use load::{Loaded, LookupError, load};
