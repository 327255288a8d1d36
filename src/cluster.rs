//! Workers: how many there are, what they share, how rows move between them, how a run starts and ends.
//!
//! A run is one timely dataflow on every worker. What the workers of this process share is a [`Run`]: the plan, the feed,
//! the reference rows, counters, and the first failure. A failure anywhere stops every worker within one step; since outputs
//! are only published after all workers have ended well, a failed run leaves nothing visible.

mod busy;
pub mod exchange;
mod interrupt;
pub mod outcome;
mod run;
mod start;
mod wire;

pub use interrupt::Interrupt;
pub use run::{Run, RunError};
pub use start::run;
