//! The variance rule of `JOBS.md`: a period against the mean of those before it, in per cent.
//!
//! caudal's variance check counts standard deviations, so this rule is worked out here from the statistics that jobs write.

use serde_json::Value;

use super::table::Exact;

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

/// A number of periods as a double.
fn count(periods: usize) -> f64 {
    f64::from(u32::try_from(periods).unwrap())
}
