//! Validation: rules over rows, and the one step that splits clean rows from refused ones.
//!
//! Every step before the split only notes faults on a draft. The split judges a row by all of them together:
//!
//! ```text
//! no fault, or only warnings            -> clean
//! a fault, or a rule that refuses       -> refused, with every reason
//! only rules that drop                  -> dropped, counted by rule
//! only that a reference row may come    -> parked, and read again later
//! ```
//!
//! Clean rows that repeat another are found behind the split (`duplicates`): a refused or dropped row repeats nothing.
//!
//! Invariants: rows in = clean + refused + dropped + parked (counted here and checked at the end of a run); one row's faults never
//! change another row; a rule over a faulty column is not judged, so a row is refused for what is wrong with it and not for
//! what follows from that.

mod arrival;
mod blame;
mod duplicates;
mod messages;
mod park;
mod rules;
mod split;

pub use arrival::{Arrived, arrival};
pub use blame::{Blame, Blamed};
pub use duplicates::{Distinct, duplicates};
pub use park::{Parked, Parking, park};
pub use rules::rules;
pub use split::{Split, SplitError, split};
