//! A look inside: what a running job shows of itself, off the workers' threads.
//!
//! ```text
//!  workers ── add a batch's counts ──> Observer ──────────┬─> /metrics   (Prometheus)
//!  timely's log ── seconds an operator ──> (atomics)      ├─> /status    (JSON) ──> caudal status JOB
//!  life events, warnings ──> tracing ──> log: stderr      └─> /healthz, /readyz
//!                                                  one thread of its own: http
//! ```
//!
//! - [`metrics`] declares every metric once, with its help; `METRICS.md` beside it is made from that.
//! - [`Observer`] is what the rooms hold: they tell it what they counted, once a batch or activation, never once a row.
//! - [`status`] is the same numbers for people and scripts, with the question that metrics answer badly: who holds us up?
//! - [`http`] answers, [`client`] asks; [`address`] is how one finds the other.
//! - [`log`] writes events, for people or as ECS JSON.
//!
//! Invariants:
//!
//! - Nothing a run decides depends on anything here, and nothing here ends a run: a look that fails is told, not fatal. The one
//!   exception is an address that can't be had, which is told before anything starts.
//! - Workers wait for nobody: what they touch here are atomics. The one lock is taken once a batch of verdicts, which are few.
//! - Labels are bounded by the plan, the number of workers, and [`metrics::SEGMENTS`] segments a check.
//! - Every metric carries the index of its process, so that those of several processes stand side by side.

pub mod address;
pub mod client;
pub mod http;
pub mod log;
pub mod metrics;
pub mod process;
pub mod status;

mod frontier;
mod observer;
mod segments;
mod standing;

pub use frontier::Upper;
pub use observer::{Observer, SplitTeller};
pub use standing::{Begun, Standing, Step};
