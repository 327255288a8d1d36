//! The newest verdict of each segment, up to a bound.

use std::collections::BTreeMap;

use prometheus::{Gauge, IntGauge};

use super::metrics::{Metrics, SEGMENTS};

/// What is known of the segments of every check.
///
/// Cost: at most [`SEGMENTS`] entries a check; a verdict is a search in them.
#[derive(Debug, Default)]
pub(super) struct Segments {
    newest: BTreeMap<String, BTreeMap<String, Newest>>,
}

/// The newest verdict about a segment, and the series that show it.
#[derive(Debug)]
struct Newest {
    /// Start of its window; `None` for checks without windows.
    window_start: Option<i64>,
    /// There as soon as a verdict has a value.
    value: Option<Gauge>,
    severity: IntGauge,
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
        if !of_check.contains_key(segment) {
            if of_check.len() == SEGMENTS {
                metrics.other_verdicts.with_label_values(&[check]).inc();
                return;
            }
            let severity = metrics
                .segment_severity
                .with_label_values(&[check, segment]);
            let newest = Newest {
                window_start,
                value: None,
                severity,
            };
            of_check.insert(segment.to_owned(), newest);
        }
        let newest = of_check.get_mut(segment).expect("put in above");
        if newest.window_start > window_start {
            return;
        }
        newest.window_start = window_start;
        if let Some(value) = value {
            let series = || metrics.segment_value.with_label_values(&[check, segment]);
            newest.value.get_or_insert_with(series).set(value);
        }
        newest.severity.set(match status {
            "warn" => 1,
            "fail" | "overflow" => 2,
            _ => 0,
        });
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
