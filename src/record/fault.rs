//! What is wrong with one row, noted while it travels and judged once, at the split.

use std::sync::Arc;

/// Where in the plan a fault was found. Sites are ordered as reasons are: record, columns, look-ups (those that are waited for last), derived, rules, sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// The record as a whole could not be split into fields; every column of the row is null and nothing is judged.
    Record,
    /// A source column, by its id in [`crate::job::plan::Plan::columns`].
    Column(usize),
    /// A look-up, by its index in the plan.
    Lookup(usize),
    /// The same, where the row's reference row may still come: a row without other faults waits for it.
    Waits(usize),
    /// A derived column, by its index in `plan.derived`.
    Derived(usize),
    /// A rule, by its index in the plan.
    Rule(usize),
    /// A sink that can't take the row, by its index in the plan.
    Sink(usize),
}

/// One fault of one row of a [`super::Draft`].
///
/// The column at a faulty site is null in the draft, and expressions over it are not judged for this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Row of the draft, from 0.
    pub row: usize,
    /// Where it was found.
    pub site: Site,
    /// Bounded `snake_case` code: the declared `reason`, else the default one (`bad_integer`, `field_count`…).
    pub reason: Arc<str>,
    /// What the faulty text was, or what was wrong, for people: at most 64 characters, control characters escaped.
    pub detail: String,
}

impl Fault {
    /// Puts faults in the order of their rows, and those of a row in the order of their sites.
    pub fn sort(faults: &mut [Self]) {
        faults.sort_by(|a, b| a.row.cmp(&b.row).then(a.site.cmp(&b.site)));
    }
}
