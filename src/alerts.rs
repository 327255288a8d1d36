//! Alerts: who is told that a check warns or fails, and that it does no more.
//!
//! ```text
//! verdicts ── alerts:bad (each worker) ── notes ──> committer ── committed ──> a thread for each receiver ──> Alertmanager, webhook, log
//!             what changes what is bad              Watch: what is bad         Told: what the receiver knows
//!                                                   in the checkpoint          beside the journal, after each delivery
//! ```
//!
//! - [`watch`] knows what is bad: one entry for a check and a segment, by its newest window. It is a function of the verdicts in the order of
//!   their epochs, and part of each checkpoint.
//! - [`told`] is what a receiver knows, and what it has to be told: the difference between what is bad and that. There is no queue: while a
//!   receiver is away, what opens and is resolved again was nothing, and what stays is told once when it answers. So what is kept for it is
//!   bounded by the number of alerts that are open, however long that takes.
//! - [`message`] puts that into words, groups and signatures.
//! - [`deliver`] is the thread of a receiver.
//! - [`operator`] is the dataflow before it; nothing else here knows timely.
//!
//! **Nothing is told that was not committed**: what is bad is handed to receivers when the manifest was put. **Nothing is told twice**: what a
//! receiver knows is written down when it has answered, under a number that is put once, and read by the next life, which tells nothing
//! before it is as far as the one that told last. Only a process that dies between the answer and the writing tells once more, under the same id;
//! a life that lingers finds its number taken, and ends telling. **Nothing storms**: what is older than `max_age` opens nothing; while a job
//! reads what came when it did not run, nothing is told; then all that changed is one message.

pub mod deliver;
pub mod message;
pub mod operator;
pub mod told;
pub mod watch;

pub use deliver::Receivers;
pub use operator::bad_verdicts;
pub use watch::{BadRow, Watch};
