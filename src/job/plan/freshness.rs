//! How ages of segments are judged, and the calendars they are counted by.

use std::path::PathBuf;

use chrono_tz::Tz;

pub use crate::job::spec::FreshnessOn;

/// A calendar, but for the file of its holidays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarPlan {
    /// Its name.
    pub name: String,
    /// Whose wall clock it goes by.
    pub time_zone: Tz,
    /// Whether it is open, from Monday on.
    pub days: [bool; 7],
    /// The hours of an open day, in microseconds of its wall clock: in order, and apart from each other.
    pub hours: Vec<(i64, i64)>,
    /// Days on which it is closed, in days since 1970: the first and the last of each.
    pub holidays: Vec<(i64, i64)>,
    /// A file of more of them.
    pub file: Option<PathBuf>,
}

/// A freshness check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshnessPlan {
    /// Ids of the segment's columns; empty: one segment.
    pub per: Vec<usize>,
    /// What is old.
    pub on: FreshnessOn,
    /// Id of the column with the time of an event; `None`: only arrival is looked at.
    pub event_time: Option<usize>,
    /// Microseconds beyond which the verdict is `warn`.
    pub warn_after: Option<i64>,
    /// Microseconds beyond which the verdict is `fail`.
    pub fail_after: Option<i64>,
    /// Index in `plan.calendars` of the one that ages are counted by.
    pub calendar: Option<usize>,
    /// Segments that should be there.
    pub expected: Option<ExpectedSegments>,
    /// Microseconds beyond which a segment is forgotten.
    pub retire_after: Option<i64>,
    /// Most segments that are kept.
    pub max_segments: usize,
}

/// Segments that should be there: those of a look-up's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSegments {
    /// Index in `plan.lookups`.
    pub lookup: usize,
    /// Positions in its reference columns, one for each column of the segment.
    pub columns: Vec<usize>,
}

impl FreshnessPlan {
    /// Ids of the columns that it needs of a row.
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        self.per.iter().copied().chain(self.event_time)
    }
}
