//! The variance rule of `JOBS.md`: a period against the mean of those before it, in per cent.
//!
//! Days are held against it by a check with `method = "relative"`. Months, and weeks that begin on a day of their own, are no windows, so for
//! these it is worked out here from the statistics that jobs write.

use serde_json::Value;

use super::table::{Exact, Table};

/// A period that is off by more than the threshold.
struct Flag {
    period: String,
    value: Exact,
    mean: String,
    deviation: f64,
}

/// Periods in order, each against the mean of up to `n` before it that have data; at least three there must be.
fn flags(periods: &[(String, Exact)], n: usize, per_cent: f64) -> Vec<Flag> {
    let mut flags = Vec::new();
    for (at, (period, value)) in periods.iter().enumerate() {
        let before = &periods[at.saturating_sub(n)..at];
        if before.len() < 3 {
            continue;
        }
        let add = |sum: Exact, (_, value): &(String, Exact)| sum.plus(*value);
        let sum = before.iter().fold(Exact::ZERO, add);
        let mean = sum.real() / count(before.len());
        let deviation = (value.real() - mean) / mean * 100.0;
        if deviation.abs() > per_cent {
            flags.push(Flag {
                period: period.clone(),
                value: *value,
                mean: sum.mean(before.len()),
                deviation,
            });
        }
    }
    flags
}

/// Holds the flags of a set of `FACTS.json` against those of the rule.
pub(super) fn agree(
    what: &str,
    expected: &Value,
    periods: &[(String, Exact)],
    n: usize,
    per_cent: f64,
) {
    let got: Vec<String> = flags(periods, n, per_cent)
        .iter()
        .map(|flag| {
            let (value, mean, deviation) = (flag.value.text(), &flag.mean, flag.deviation);
            format!("{}: {value} {mean} {deviation:.1} %", flag.period)
        })
        .collect();
    let text = |flag: &Value, name: &str| flag[name].as_str().unwrap().to_owned();
    let expected: Vec<String> = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| {
            let value = Exact::read(&text(flag, "value")).text();
            let (period, mean) = (text(flag, "period"), text(flag, "mean"));
            format!("{period}: {value} {mean} {}", text(flag, "deviation"))
        })
        .collect();
    assert_eq!(got, expected, "{what}");
}

/// Holds the flags of a set against the deviations that a check put beside each day, and its verdicts `warn`.
pub(super) fn told(what: &str, expected: &Value, days: &Table, column: &str, verdicts: &Value) {
    let expected = expected.as_array().unwrap();
    let expected: Vec<String> = expected
        .iter()
        .map(|flag| {
            let text = |name: &str| flag[name].as_str().unwrap();
            format!("{}: {}", text("period"), text("deviation"))
        })
        .collect();
    let starts = days.days("window_start").into_iter().flatten();
    let mut off: Vec<String> = starts
        .zip(days.cells(column))
        .filter_map(|(day, cell)| Some((day, 100.0 * cell.as_real()?)))
        .filter(|(_, deviation)| deviation.abs() > 50.0)
        .map(|(day, deviation)| format!("{day}: {deviation:.1} %"))
        .collect();
    off.sort_unstable();
    // The first three days have fewer than three before them.
    let first = days.days("window_start").into_iter().flatten().min();
    let first = first.unwrap() + chrono::Days::new(3);
    off.retain(|line| line.as_str() >= first.to_string().as_str());
    assert_eq!(off, expected, "{what}");
    assert_eq!(verdicts["warn"], expected.len(), "{what}");
    assert_eq!(verdicts["warming_up"], 3, "{what}");
}

/// A number of periods as a double.
fn count(periods: usize) -> f64 {
    f64::from(u32::try_from(periods).unwrap())
}
