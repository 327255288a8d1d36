//! The row law: no row is lost or doubled between sources and sinks. It is judged of every run, and of every commit of a continuous job.
//!
//! in + read again = clean + refused + dropped + parked, where rows that repeat another and are not kept were dropped; and, of a run with an
//! end, each sink of rows has the clean ones, each of refused rows the refused ones, and the quarantine these, too. Where it does not hold, a number would be
//! wrong and nobody would see it: nothing is made visible, and what is said has both sides.

use std::collections::BTreeMap;

use crate::job::plan::{Plan, SinkFrom, SinkTo};
use crate::record::{Note, RowCounts};

/// Name of the verdict.
const CONSERVATION: &str = "conservation";

/// Two numbers that are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Equation {
    left: (String, u64),
    right: (String, u64),
}

impl Equation {
    fn words(&self) -> String {
        let ((left, of_left), (right, of_right)) = (&self.left, &self.right);
        format!(
            "{CONSERVATION}: {left} = {of_left}, and {right} = {of_right}: rows were lost or doubled\n  expected: both are the same\n  now: nothing of it is visible\n  hint: this is a bug of caudal; please report it with these numbers"
        )
    }
}

/// What of the row law does not hold, in words; nothing where all is well. `rows` are counted before rows that repeat another were taken from the
/// clean ones.
pub(super) fn broken_before_duplicates(rows: &RowCounts) -> Vec<String> {
    told([Equation {
        left: (
            format!("in + read again = {} + {}", rows.rows_in, rows.released),
            rows.rows_in + rows.released,
        ),
        right: (
            format!(
                "clean + refused + dropped + parked = {} + {} + {} + {}",
                rows.clean, rows.refused, rows.dropped, rows.parked
            ),
            rows.clean + rows.refused + rows.dropped + rows.parked,
        ),
    }])
}

/// The same of what looked for rows that repeat another: it saw the rows that those before it left.
pub(super) fn broken_at_duplicates(name: &str, seen: u64, clean: u64) -> Vec<String> {
    told([Equation {
        left: ("clean rows".to_owned(), clean),
        right: (format!("rows that duplicates.{name} saw"), seen),
    }])
}

/// The same of all sinks of a run with an end; `rows` are those that sinks should have.
pub(super) fn broken_at_sinks(plan: &Plan, notes: &[Note], rows: &RowCounts) -> Vec<String> {
    let mut of_sinks: BTreeMap<usize, u64> = BTreeMap::new();
    let mut kept = None;
    for note in notes {
        match note {
            Note::Staged { sink, rows, .. } => *of_sinks.entry(*sink).or_default() += rows,
            Note::Kept { rows, .. } => *kept.get_or_insert(0) += rows,
            _ => {}
        }
    }
    let files = plan.sinks.iter().enumerate();
    let files = files.filter(|(_, sink)| matches!(sink.to, SinkTo::Files { .. }));
    let of_files = files.filter_map(|(index, sink)| {
        let should = match sink.from {
            SinkFrom::Rows => ("clean rows", rows.clean),
            SinkFrom::Refused => ("refused rows", rows.refused),
            SinkFrom::Duplicates | SinkFrom::Verdicts | SinkFrom::Windows(_) => return None,
        };
        let written = of_sinks.get(&index).copied().unwrap_or(0);
        Some(equation(
            should,
            format!("rows of sinks.{}", sink.name),
            written,
        ))
    });
    let of_quarantine = kept.map(|kept| {
        equation(
            ("refused rows", rows.refused),
            "rows of the quarantine".to_owned(),
            kept,
        )
    });
    told(of_files.chain(of_quarantine))
}

fn equation((left, should): (&str, u64), right: String, written: u64) -> Equation {
    Equation {
        left: (left.to_owned(), should),
        right: (right, written),
    }
}

fn told(equations: impl IntoIterator<Item = Equation>) -> Vec<String> {
    let broken = equations
        .into_iter()
        .filter(|equation| equation.left.1 != equation.right.1);
    broken.map(|equation| equation.words()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows_in: u64, clean: u64, refused: u64, parked: u64, released: u64) -> RowCounts {
        RowCounts {
            rows_in,
            clean,
            refused,
            parked,
            released,
            ..RowCounts::default()
        }
    }

    #[test]
    fn a_row_that_is_lost_is_told_with_both_sides() {
        assert!(broken_before_duplicates(&counts(10, 7, 2, 3, 2)).is_empty());
        let broken = broken_before_duplicates(&counts(10, 7, 1, 3, 2));
        assert_eq!(broken.len(), 1);
        assert!(
            broken[0].starts_with(
                "conservation: in + read again = 10 + 2 = 12, and clean + refused + dropped + parked = 7 + 1 + 0 + 3 = 11: rows were lost or doubled"
            ),
            "{}",
            broken[0]
        );
        assert!(broken_at_duplicates("sale", 7, 7).is_empty());
        assert!(
            broken_at_duplicates("sale", 8, 7)[0].contains("rows that duplicates.sale saw = 8")
        );
    }
}
