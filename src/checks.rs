//! Statistics, windows, checks and verdicts: what is kept an eye on while rows pass.
//!
//! ```text
//! clean rows --reduce--> partials --exchange, consolidate--> tally --close--> windows.NAME
//!  (a worker's batches)  (differences)   (by segment)      (state)     \--judge--> verdicts
//! ```
//!
//! - [`mod@reduce`] turns the batches of one epoch into [`Partial`]s: one difference a segment and window. This is the only
//!   part that sees rows, so it is the only hot one.
//! - [`stats`] is the difference: exact integers that are added without regard to order, so that neither the split into
//!   batches and epochs nor the number of workers can change a number. Floating point starts above the closed window.
//! - [`distinct`] and [`sketch`] are statistics of any size: different values, and quantiles.
//! - [`mod@exchange`] brings the partials of a segment to one worker, and [`wire`] is how they look between processes.
//! - [`mod@tally`] holds the merged partials of each segment, closes the windows, and asks the checks.
//! - [`ends`] is where the data begin and end, for what is to be known of windows there and in between.
//! - [`expected`] is which rows should come, by a look-up that lists them.
//! - [`completeness`] and [`variance`] are pure functions of a window and its history; [`verdict`] is what they answer.
//! - [`conservation`] is the row law, said like any other verdict.
//! - [`freshness`] keeps the segments of its checks by itself: it looks at no window, but at time. [`calendar`] is business time.
//! - [`history`] says what was believed when, from what was said.
//! - [`operators`] is the dataflow around it; nothing else here knows timely.
//!
//! Invariants: a statistic is the same for every order and split of its rows (`reduce::tests`); a window under test is
//! never in its own baseline (`variance::tests`); windows of a segment are judged in order of time, in one place.

pub mod calendar;
pub mod completeness;
pub mod conservation;
pub mod distinct;
pub mod ends;
pub mod exchange;
pub mod expected;
pub mod freshness;
pub mod history;
pub mod layout;
pub mod operators;
pub mod reduce;
pub mod sketch;
pub mod stats;
pub mod tally;
pub mod value;
pub mod variance;
pub mod verdict;
pub mod windows;
pub mod wire;

mod codes;
mod digits;
mod inputs;
mod slots;
mod wide;

pub(crate) use inputs::times as inputs_times;
pub use layout::Layout;
pub use operators::{Refused, Tallied, inputs_of, inputs_of_refused, reduce, tally};
pub use reduce::Reducer;
pub use stats::Partial;
pub use value::{Segment, Value};
pub use verdict::{Status, Verdict};
