//! Enrichment: rows meet reference collections.
//!
//! Each look-up is a differential collection of reference rows, which sort by key ([`layout`]), arranged on every worker or shared out:
//!
//! ```text
//! reference files ─ load ─> worker 0 ─ a block a process, for all its workers ─> arrange ─> snapshot as of e ─┐
//! replicated      drafts of epoch e ─────────────────────────────────────────────────────────────────────────┴─> enrich ─> drafts
//!
//! reference files ─ load ─> worker 0 ─ each row to its key's owner ─> arrange ─> snapshot as of e ──> answer
//! partitioned     drafts of epoch e ─ ask ─┬─ distinct keys, to their owners ──────────────────────────^ │
//!                                          └─ the drafts ────────────────────────────> take ─> drafts   │
//!                                                                                       ^── columns ────┘
//! ```
//!
//! **Where its rows are** ([`placement`]) is decided once, by process 0, and changes no result. A look-up that is replicated costs a probe
//! a row, and its memory once a process; one that is partitioned costs two exchanges of the distinct keys of each batch ([`visit`]), and its
//! memory once in all.
//!
//! **Which version a row meets.** Rows of epoch e meet the reference rows of epochs < e. A draft waits until the
//! arrangement is complete through e − 1, so what it sees does not depend on timing. Epoch 0 holds the first snapshot.
//!
//! **How it is read.** Several wrong ways exist. Joining the two collections differentially would keep every sale for ever
//! and correct old output; sharding by `arrange_by_key` alone would make each worker miss what the others hold (rows don't visit);
//! seeking a cursor for each row costs 50–100 ns a row. Here the arrangement is the truth, and of it there is a columnar
//! snapshot as of the newest epoch asked for: an index from key to row and the reference [`columns`] as Arrow arrays. It
//! is patched ([`patch`]), or made anew, when, and only when, the arrangement has changed between two epochs asked for ([`view`]); of a replicated look-up
//! the workers of a process hold one together, and the [`block`]s of encoded rows, too. A batch evaluates its key
//! expression, probes the index (once for each distinct value where the key is dictionary-coded) and gathers by row number.
//!
//! As-of look-ups (`valid_from`, `valid_to`) keep all versions of a key side by side, in order, and search by event time.

mod block;
mod collection;
mod columns;
mod distinct;
mod enrich;
mod fold;
mod follow;
mod layout;
mod listed;
mod load;
mod missing;
mod object;
mod patch;
mod placement;
mod rows;
mod topic;
mod view;
mod visit;

pub use collection::{Reference, collections};
pub use enrich::enrich;
pub use follow::{Follower, Offer, Prepared, first, restored};
pub use listed::{Listed, listed};
pub use load::{Loaded, LookupError, load};
pub use placement::partitioned;
pub use rows::Change;
pub use view::{EnrichError, Shared};

#[cfg(test)]
mod tests;
