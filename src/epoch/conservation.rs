//! The row law: no row is lost or doubled between sources and sinks. It is judged of every run, and of every commit of a continuous job.
//!
//! in + read again = clean + refused + dropped + parked, where rows that repeat another and are not kept were dropped; and each sink of rows has
//! the clean ones, each of refused rows the refused ones, and the quarantine these, too. Where it does not hold, a number would be
//! wrong and nobody would see it: nothing is made visible, and what is said has both sides.
//!
//! What a commit's files should have are the rows of those of its epochs that files did not have when the life began: where it began with a
//! checkpoint before that, the epochs between both are read again and staged no more. For topics all rows are made messages, one each, whatever
//! their shards have already; that is what is counted here. What the shards then took is counted by epoch where it is taken, told in each commit,
//! and held against the topics by `caudal verify`.
//!
//! As a verdict the row law is in [`checks::conservation`](crate::checks::conservation).

use std::collections::BTreeMap;

use crate::checks::conservation::CONSERVATION;
use crate::job::plan::{Plan, SinkFrom, SinkTo};
use crate::record::{Epoch, Note, RowCounts};

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

/// Rows that sinks should have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    clean: u64,
    refused: u64,
}

impl Ended {
    pub(super) fn of(rows: &RowCounts) -> Self {
        Self {
            clean: rows.clean,
            refused: rows.refused,
        }
    }

    /// Those of the epochs after one.
    pub(super) fn after(committed: Option<Epoch>, notes: &[Note]) -> Self {
        let mut all = RowCounts::default();
        for note in notes {
            if let Note::Rows { epoch, counts } = note
                && committed.is_none_or(|committed| *epoch > committed)
            {
                all.add(counts);
            }
        }
        Self::of(&all)
    }

    /// Those of a sink, with their name; none where it has no rows of the input.
    fn of_sink(self, from: SinkFrom) -> Option<(&'static str, u64)> {
        match from {
            SinkFrom::Rows => Some(("clean rows", self.clean)),
            SinkFrom::Refused => Some(("refused rows", self.refused)),
            SinkFrom::Duplicates | SinkFrom::Verdicts | SinkFrom::Windows(_) => None,
        }
    }
}

/// The same of all sinks: those of files, and, where messages are made, of topics.
pub(super) fn broken_at_sinks(
    plan: &Plan,
    notes: &[Note],
    of_files: Ended,
    of_topics: Option<Ended>,
) -> Vec<String> {
    let mut of_sinks: BTreeMap<usize, u64> = BTreeMap::new();
    let mut kept = None;
    for note in notes {
        match note {
            Note::Staged { sink, rows, .. } | Note::Sent { sink, rows, .. } => {
                *of_sinks.entry(*sink).or_default() += rows;
            }
            Note::Kept { rows, .. } => *kept.get_or_insert(0) += rows,
            _ => {}
        }
    }
    let sinks = plan.sinks.iter().enumerate();
    let of_each = sinks.filter_map(|(index, sink)| {
        let should = match sink.to {
            SinkTo::Files { .. } => of_files,
            SinkTo::Kafka(_) => of_topics?,
            SinkTo::Stdout => return None,
        };
        let should = should.of_sink(sink.from)?;
        let written = of_sinks.get(&index).copied().unwrap_or(0);
        Some(equation(
            should,
            format!("rows of sinks.{}", sink.name),
            written,
        ))
    });
    let of_quarantine = kept.map(|kept| {
        equation(
            ("refused rows", of_files.refused),
            "rows of the quarantine".to_owned(),
            kept,
        )
    });
    told(of_each.chain(of_quarantine))
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
    use crate::job::resolve::plan_of;

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

    /// A job whose rows go to a folder and a topic, and whose refused rows are kept.
    fn plan() -> Plan {
        let text = r#"
format = 1
[job]
name = "t"
output = "/out"
[sources.s]
files = { paths = ["in/*"], follow = true }
json = {}
columns = { note = "varchar" }
[sinks.rows]
files = { path = "rows" }
json = {}
[sinks.topic]
kafka = { brokers = "k", topic = "t" }
json = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
json = {}
"#;
        plan_of(text)
    }

    fn staged(sink: usize, rows: u64) -> Note {
        Note::Staged {
            sink,
            path: "part-0".to_owned(),
            rows,
            bytes: 1,
            checksum: 1,
        }
    }

    fn of_epoch(epoch: Epoch, clean: u64, refused: u64) -> Note {
        let counts = counts(clean + refused, clean, refused, 0, 0);
        Note::Rows { epoch, counts }
    }

    fn sent(rows: u64) -> Note {
        Note::Sent {
            sink: 1,
            rows,
            bytes: 1,
        }
    }

    fn kept(rows: u64) -> Note {
        Note::Kept {
            path: "part-0".to_owned(),
            rows,
            bytes: 1,
        }
    }

    /// What is broken of a commit in a life that began with so much visible.
    fn broken(committed: Option<Epoch>, notes: &[Note]) -> Vec<String> {
        let all = Ended::after(None, notes);
        broken_at_sinks(&plan(), notes, Ended::after(committed, notes), Some(all))
    }

    #[test]
    fn a_row_that_a_sink_of_a_commit_lost_is_told_with_both_sides() {
        let rows = [of_epoch(7, 5, 1), of_epoch(8, 4, 2), of_epoch(8, 1, 0)];
        let with = |more: &[Note]| [&rows[..], more].concat();
        let good = with(&[
            staged(0, 6),
            staged(0, 4),
            sent(9),
            sent(1),
            staged(2, 3),
            kept(3),
        ]);
        assert_eq!(broken(None, &good), Vec::<String>::new());
        let lost = with(&[staged(0, 9), sent(11), staged(2, 3), kept(2)]);
        let told = broken(None, &lost);
        let told: Vec<&str> = told
            .iter()
            .filter_map(|told| told.split(':').nth(1))
            .collect();
        assert_eq!(
            told,
            [
                " clean rows = 10, and rows of sinks.rows = 9",
                " clean rows = 10, and rows of sinks.topic = 11",
                " refused rows = 3, and rows of the quarantine = 2"
            ]
        );
        // A life that began behind what is visible: files don't take the rows of epoch 7 again, and for topics they are made messages again.
        let again = with(&[staged(0, 5), sent(10), staged(2, 2), kept(2)]);
        assert_eq!(broken(Some(7), &again), Vec::<String>::new());
        let twice = with(&[staged(0, 10), sent(10), staged(2, 2), kept(2)]);
        assert_eq!(broken(Some(7), &twice).len(), 1);
        assert_eq!(broken(Some(8), &with(&[sent(10)])), Vec::<String>::new());
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
