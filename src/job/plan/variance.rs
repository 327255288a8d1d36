//! How a statistic of a window is held against a baseline.

pub use crate::job::spec::{Direction, Empty, Method, Same};

/// What is measured of a statistic, and what is thought of it.
#[derive(Debug, Clone, PartialEq)]
pub struct VarianceRule {
    /// How the distance is measured.
    pub method: Method,
    /// What it is the distance from.
    pub against: Against,
    /// Which way it counts.
    pub direction: Direction,
    /// Distance beyond which the verdict is `warn`, in units of the method.
    pub warn_beyond: Option<f64>,
    /// Distance beyond which the verdict is `fail`.
    pub fail_beyond: Option<f64>,
    /// The least unit, as a number: 0 is none.
    pub floor_absolute: f64,
    /// The least unit, as a share of what the statistic is compared with.
    pub floor_relative: f64,
    /// With fewer windows to compare with the verdict is `warming_up`; the value is given all the same.
    pub min_history: usize,
    /// Times in microseconds, start and end, in order and apart from each other: windows that meet one are in no baseline.
    pub exclude: Vec<(i64, i64)>,
    /// Whether windows at the ends of the data are neither judged nor in a baseline.
    pub skip_partial: bool,
}

/// What a statistic is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Up to so many windows before it that have rows.
    Previous(usize),
    /// So many windows before it by the calendar.
    Calendar(usize, Empty),
    /// Windows of the last so many weeks.
    Weeks(usize, Same),
    /// Another statistic of the same window, by its index.
    Statistic(usize),
}

impl VarianceRule {
    /// z-score against up to so many previous windows, without thresholds.
    pub fn z(previous: usize) -> Self {
        Self {
            method: Method::Z,
            against: Against::Previous(previous),
            direction: Direction::Both,
            warn_beyond: None,
            fail_beyond: None,
            floor_absolute: 0.0,
            floor_relative: 0.0,
            min_history: 2,
            exclude: Vec::new(),
            skip_partial: false,
        }
    }
}
