//! Epochs: what belongs together in time, and how a run of them ends.
//!
//! timely's time is the epoch. In a bounded run the feed gives each piece of input an epoch by its position, so that the same
//! rows are in the same epoch for any number of workers; epoch 0 holds the reference rows. Everything is committed in one go
//! when the last epoch is complete: worker 0 gathers the notes of all workers, [`decide`] judges them, a pure function, and
//! only then is anything published.

mod bind;
mod binding;
mod clock;
mod commit;
mod conservation;
mod control;
mod coordinate;
pub(crate) mod durable;
mod gather;
mod journal;
mod keeping;
mod lag;
mod reading;
mod references;
mod saving;
mod series;
pub mod state;
mod tidy;
mod totals;
mod verdicts;

pub use bind::{Binder, Holder, micros};
pub use binding::{
    Binding, Checkpoint, CheckpointId, FileMark, Moved, Partition, ReferenceChange, ReferenceRows,
    ShardAt, StateFile,
};
pub use clock::wall_time;
pub use commit::{Decided, Decision, decide};
pub use control::{Answer, Assigned, Control, FilePlace, Found, Local, Opening};
pub use coordinate::{Coordinated, bind, clock};
pub use gather::gather;
pub use journal::{
    Claim, Drained, History, IsOver, Journal, JournalError, Opened, PlanText, Record, Store,
    check_option, look_at_journal, look_at_state, open_state, probe,
};
pub use keeping::{Keeping, Kept, usable};
pub use lag::{Ends, Lag};
pub use reading::Reading;
pub use references::{Given, References};
pub use saving::{Saving, saved};
pub use series::{Fold, Part};
pub use tidy::tidy;
pub use totals::Totals;
pub use verdicts::verdict_notes;

/// Builds with the same number decide alike: a replay by one of them gives the rows that another one gave.
pub const REPLAY: u32 = 1;

/// Failures of each check that are told in words, the worst: as many as a person reads at once. Counts are told of all.
const TOLD_FAILURES: usize = 3;
