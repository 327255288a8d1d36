//! The newest verdict of each segment, up to a bound.

use std::collections::BTreeMap;

use super::metrics::{Metrics, SEGMENTS};

/// What is known of the segments of every check.
///
/// Cost: at most [`SEGMENTS`] entries a check.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Start of the newest window by check and segment; `None` for checks without windows.
    newest: BTreeMap<String, BTreeMap<String, Option<i64>>>,
}

impl Segments {
    /// Takes a verdict. The newest window of a segment counts; a segment that comes when there are enough is only counted.
    pub(super) fn tell(
        &mut self,
        metrics: &Metrics,
        check: &str,
        segment: &str,
        window_start: Option<i64>,
        status: &str,
        value: Option<f64>,
    ) {
        if !self.newest.contains_key(check) {
            self.newest.insert(check.to_owned(), BTreeMap::new());
        }
        let of_check = self.newest.get_mut(check).expect("put in above");
        let known = of_check.len();
        match of_check.get_mut(segment) {
            Some(newest) if *newest > window_start => return,
            Some(newest) => *newest = window_start,
            None if known < SEGMENTS => {
                of_check.insert(segment.to_owned(), window_start);
            }
            None => {
                metrics.other_verdicts.with_label_values(&[check]).inc();
                return;
            }
        }
        let labels = [check, segment];
        if let Some(value) = value {
            metrics.segment_value.with_label_values(&labels).set(value);
        }
        let severity = match status {
            "warn" => 1,
            "fail" | "overflow" => 2,
            _ => 0,
        };
        metrics
            .segment_severity
            .with_label_values(&labels)
            .set(severity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_window_counts_in_whatever_order_they_come() {
        let (metrics, mut segments) = (Metrics::new(0), Segments::default());
        let mut tell = |start, status: &str, value| {
            segments.tell(&metrics, "known", "7", Some(start), status, value);
        };
        tell(20, "fail", Some(0.5));
        tell(10, "pass", Some(1.0));
        let labels = ["known", "7"];
        assert_eq!(metrics.segment_severity.with_label_values(&labels).get(), 2);
        tell(30, "too_few", None);
        assert_eq!(metrics.segment_severity.with_label_values(&labels).get(), 0);
        let value = metrics.segment_value.with_label_values(&labels).get();
        assert!((value - 0.5).abs() < f64::EPSILON, "{value}");
    }

    #[test]
    fn segments_beyond_the_bound_are_only_counted() {
        let (metrics, mut segments) = (Metrics::new(0), Segments::default());
        for round in 0..2 {
            for segment in 0..SEGMENTS + 3 {
                let segment = segment.to_string();
                segments.tell(&metrics, "known", &segment, Some(round), "warn", Some(1.0));
            }
        }
        let text = metrics.text();
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("caudal_checks_segment_value{"), SEGMENTS);
        assert_eq!(series("caudal_checks_segment_severity{"), SEGMENTS);
        assert_eq!(
            metrics.other_verdicts.with_label_values(&["known"]).get(),
            6
        );
    }
}
