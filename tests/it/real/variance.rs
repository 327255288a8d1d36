//! The variance rule of `JOBS.md`: a period against the mean of those before it, in per cent.
//!
//! Jobs hold days, weeks and months against it by checks with `method = "relative"`; it is worked out here, too, from the statistics that they
//! write.

use chrono::NaiveDate;
use serde_json::Value;

use super::super::tables::Cell;
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

/// Holds the flags of a set against the verdicts `warn` of a check for a segment: which periods, what they were held against, and how far they
/// are off.
pub(super) fn said(
    expected: &Value,
    verdicts: &Verdicts<'_>,
    (check, segment): (&str, &str),
    period: impl Fn(NaiveDate) -> String,
) {
    let mut got: Vec<(NaiveDate, f64, f64)> = Vec::new();
    for row in verdicts.of(check, "warn") {
        if verdicts.segments[row].as_deref() != Some(segment) {
            continue;
        }
        let number = |column: &str| verdicts.table.cells(column)[row].as_real().unwrap();
        let start = verdicts.starts[row].unwrap();
        got.push((start, number("baseline"), number("value")));
    }
    got.sort_by_key(|(start, ..)| *start);
    let expected = expected.as_array().unwrap();
    assert_eq!(got.len(), expected.len(), "{check} {segment}: {got:?}");
    for ((start, mean, value), flag) in got.into_iter().zip(expected) {
        let text = |name: &str| flag[name].as_str().unwrap();
        assert_eq!(period(start), text("period"), "{check} {segment}");
        let deviation = format!("{:.1} %", 100.0 * value);
        assert_eq!(deviation, text("deviation"), "{check} {segment}");
        // The facts round halves to the even cent, of which a double is not one.
        let rounded: f64 = text("mean").parse().unwrap();
        assert!((mean - rounded).abs() < 0.005_001, "{mean} {rounded}");
    }
}

/// The table of verdicts.
pub(super) struct Verdicts<'a> {
    table: &'a Table,
    checks: Vec<Option<String>>,
    segments: Vec<Option<String>>,
    statuses: Vec<Option<String>>,
    starts: Vec<Option<NaiveDate>>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self {
            checks: table.texts("check"),
            segments: table.texts("segment"),
            statuses: table.texts("status"),
            starts: table.days("window_start"),
            table,
        }
    }

    /// The rows of a check that say this.
    fn of(&self, check: &str, status: &str) -> impl Iterator<Item = usize> + use<'a, '_> {
        let (check, status) = (Some(check.to_owned()), Some(status.to_owned()));
        (0..self.table.rows)
            .filter(move |row| self.checks[*row] == check && self.statuses[*row] == status)
    }

    /// Over all windows of a share: how many rows have no value, and the days of the windows where it is too small.
    pub(super) fn missing(&self, check: &str) -> (i128, Vec<NaiveDate>) {
        let statuses = ["pass", "measured", "warn"];
        let rows = statuses.iter().flat_map(|status| self.of(check, status));
        let number = |column: &str, row: usize| match self.table.cells(column)[row] {
            Cell::Whole(number) => number,
            ref other => panic!("{column} is {other:?}"),
        };
        let missing = rows.map(|row| number("denominator", row) - number("numerator", row));
        let mut days: Vec<NaiveDate> = (self.of(check, "warn"))
            .filter_map(|row| self.starts[row])
            .collect();
        days.sort_unstable();
        (missing.sum(), days)
    }
}

/// The month of a window.
pub(super) fn month(start: NaiveDate) -> String {
    start.format("%Y-%m").to_string()
}

/// A number of periods as a double.
fn count(periods: usize) -> f64 {
    f64::from(u32::try_from(periods).unwrap())
}
