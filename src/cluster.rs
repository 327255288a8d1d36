//! Workers: how many there are, what they share, how rows move between them, how a run starts and ends.
//!
//! A run is one timely dataflow on every worker of every process. What the workers of one process share is a [`Run`]: the plan, counters,
//! and how the run goes. A failure anywhere stops every worker within one step; since outputs are only published after all
//! workers have ended well, a failed run leaves nothing visible.
//!
//! ```text
//! process 0        input is cut here, reference rows are loaded here, notes are gathered here,
//!                  outputs are published here; what it decides, all others are told
//! processes 1..n   read what they are told to, and stage under the same output root
//!
//!   rows       every process with every other: timely, on sockets that we connected (`connect`, `link`)
//!   control    every process with process 0: life signs, failures, the end (`control`)
//! ```

mod alerts;
mod behind;
mod busy;
mod connect;
mod continuous;
mod control;
mod deliveries;
pub mod exchange;
mod fate;
mod frame;
mod hosts;
mod interrupt;
mod life;
mod link;
pub mod outcome;
mod partitions;
mod references;
mod renewed;
mod replay;
mod run;
mod start;
mod wire;

use std::fmt;

pub use connect::JoinError;
pub use deliveries::{Counted, Delivered, Deliveries, Holds, ShardId};
pub use fate::Fate;
pub use frame::{Resumed, Unseen, Usage};
pub use hosts::{HostsError, read_hosts};
pub use interrupt::Interrupt;
pub use life::{Kept, Life, Resume, Stands, Told};
pub use outcome::RunOptions;
pub use replay::ReplayError;
pub use run::{OwnFeed, Run, RunError, Seen};
pub use start::{Ended, run};

/// This process among several.
#[derive(Clone)]
pub struct Cluster {
    /// Which one this is, from 0.
    pub index: usize,
    /// `host:port` of every process, in their order.
    pub addresses: Vec<String>,
    /// The secret that all processes share, where there is one.
    pub token: Option<String>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("index", &self.index)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Starts a thread with a name; it ends by itself or with the process.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}
