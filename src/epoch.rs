//! Epochs: what belongs together in time, and how a run of them ends.
//!
//! timely's time is the epoch. In a bounded run the feed gives each piece of input an epoch by its position, so that the same
//! rows are in the same epoch for any number of workers; epoch 0 holds the reference rows. Everything is committed in one go
//! when the last epoch is complete: worker 0 gathers the notes of all workers, [`decide`] judges them, a pure function, and
//! only then is anything published.

mod clock;
mod commit;
mod gather;
mod verdicts;

pub use clock::wall_time;
pub use commit::{Decision, decide};
pub use gather::gather;
pub use verdicts::verdict_notes;

/// Failures of each check that are told in words, the worst: as many as a person reads at once. Counts are told of all.
const TOLD_FAILURES: usize = 3;
