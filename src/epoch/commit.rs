//! Whether a run's outputs become visible: a pure function of what its workers told.

use std::collections::BTreeMap;

use super::TOLD_FAILURES;
use super::conservation::{Ended, broken_at_duplicates, broken_at_sinks, broken_before_duplicates};
use super::verdicts::FAILING;
use crate::cluster::outcome::{DuplicatesSummary, Outcome};
use crate::job::plan::{Keep, Plan};
use crate::record::{DuplicateCounts, Epoch, Failure, Note, RowCounts};

/// Rows that were too late for a window and not for another, among the warnings.
const LATE_FOR_WINDOW: &str = "late_for_window";

/// Rows that came late for a closed window and corrected it.
const LATE_CORRECTED: &str = "late_corrected";

/// What is decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// A run with an end.
    Run,
    /// Refused rows that are fed again: they were counted when they were refused first; they are replayed and not read, and are no reason to fail.
    Replay,
    /// A commit of a continuous job.
    Commit {
        /// The epoch up to which files had all rows when this life began: they don't take those of it, and before, again.
        committed: Option<Epoch>,
    },
}

/// What happens to the staged outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They become visible.
    Publish,
    /// They are thrown away: the run failed a check, refused too much, or met a stop rule.
    Discard,
}

/// Adds up the notes into `outcome`, says what failed, and decides.
///
/// Where the row law does not hold (`conservation`) both sides are among what stops the run: going on would publish a wrong number.
pub fn decide(plan: &Plan, notes: &[Note], of: Decided, outcome: &mut Outcome) -> Decision {
    let replay = of == Decided::Replay;
    let mut rows = RowCounts::default();
    let mut repeated = vec![DuplicateCounts::default(); plan.duplicates.len()];
    let mut failed: BTreeMap<&str, Vec<Failure>> = BTreeMap::new();
    let mut late: BTreeMap<&str, u64> = BTreeMap::new();
    for note in notes {
        match note {
            Note::Rows { counts, .. } => rows.add(counts),
            Note::Verdicts {
                check,
                statuses,
                failures,
            } => {
                let of_check = outcome.verdicts.entry(check.clone()).or_default();
                for (status, count) in statuses {
                    *of_check.entry(status.clone()).or_default() += count;
                }
                if !failures.is_empty() {
                    let of_check = failed.entry(check).or_default();
                    of_check.extend(failures.iter().cloned());
                }
            }
            Note::Late {
                missed, corrected, ..
            } => {
                for (word, rows) in [(LATE_FOR_WINDOW, missed), (LATE_CORRECTED, corrected)] {
                    if *rows > 0 {
                        *late.entry(word).or_default() += rows;
                    }
                }
            }
            Note::Duplicates { rule, counts } => repeated[*rule].add(counts.clone()),
            Note::Staged { .. }
            | Note::Epochs { .. }
            | Note::Kept { .. }
            | Note::History { .. }
            | Note::Bad(_)
            | Note::Printed { .. }
            | Note::Sent { .. }
            | Note::State(_) => {}
        }
    }
    let mut broken = broken_before_duplicates(&rows);
    outcome.duplicates = take_repeated(plan, repeated, &mut rows, &mut broken);
    match of {
        Decided::Run => broken.extend(broken_at_sinks(plan, notes, Ended::of(&rows), None)),
        Decided::Commit { committed } => {
            let of_files = Ended::after(committed, notes);
            broken.extend(broken_at_sinks(
                plan,
                notes,
                of_files,
                Some(Ended::of(&rows)),
            ));
        }
        Decided::Replay => {}
    }
    outcome.conserved = broken.is_empty();
    outcome.stopped.extend(broken);
    for (check, failures) in failed {
        outcome
            .failures
            .extend(told(check, failures, &outcome.verdicts[check]));
    }
    for (rule, stopped) in &rows.stopped_by_rule {
        let place = &stopped.first;
        outcome.stopped.push(if stopped.rows == 1 {
            format!("rules.{rule}: 1 row failed, and the rule stops the run: {place}")
        } else {
            let rows = stopped.rows;
            format!(
                "rules.{rule}: {rows} rows failed, and the rule stops the run; the first: {place}"
            )
        });
    }
    outcome.failures.extend(outcome.stopped.iter().cloned());
    if !replay && too_much_refused(rows.refused, rows.rows_in, plan.max_refused) {
        outcome.failures.push(format!(
            "{} of {} rows were refused, more than max_refused = {} %",
            rows.refused,
            rows.rows_in,
            plan.max_refused * 100.0
        ));
    }
    if rows.timeless > 0 {
        outcome.warnings.push(format!(
            "{} clean rows have no event time and are in no window",
            rows.timeless
        ));
    }
    (outcome.rows_in, outcome.replayed) = if replay {
        (0, rows.rows_in)
    } else {
        (rows.rows_in, 0)
    };
    outcome.clean = rows.clean;
    outcome.refused = rows.refused;
    outcome.dropped = rows.dropped;
    // Those that were read again may have been parked in an earlier commit.
    outcome.parked = rows.parked.wrapping_sub(rows.released);
    outcome.refused_by_reason = rows.refused_by_reason;
    outcome.dropped_by_rule = rows.dropped_by_rule;
    outcome.warned_by_rule = rows.warned_by_rule;
    for (word, rows) in late {
        *outcome.warned_by_rule.entry(word.to_owned()).or_default() += rows;
    }
    outcome.adjusted = rows.adjusted;
    if outcome.failures.is_empty() {
        Decision::Publish
    } else {
        Decision::Discard
    }
}

/// Rows that repeat another and are not kept were dropped: takes them from the clean ones, and says what was found.
/// Where one did not see exactly the rows that those before left, that is added to what is broken.
fn take_repeated(
    plan: &Plan,
    repeated: Vec<DuplicateCounts>,
    rows: &mut RowCounts,
    broken: &mut Vec<String>,
) -> Vec<DuplicatesSummary> {
    let mut summaries = Vec::with_capacity(repeated.len());
    for (duplicates, counts) in plan.duplicates.iter().zip(repeated) {
        let name = &duplicates.name;
        broken.extend(broken_at_duplicates(name, counts.seen, rows.clean));
        if duplicates.keep == Keep::First && counts.found > 0 {
            rows.clean = rows.clean.saturating_sub(counts.found);
            rows.dropped += counts.found;
            rows.dropped_by_rule.insert(name.clone(), counts.found);
        }
        summaries.push(DuplicatesSummary {
            name: name.clone(),
            keep: duplicates.keep,
            rows: counts.found,
            first: counts.first,
        });
    }
    summaries
}

/// The worst failures of a check in words, and how many more there are.
fn told(check: &str, mut failures: Vec<Failure>, statuses: &BTreeMap<String, i64>) -> Vec<String> {
    Failure::keep_worst(&mut failures, TOLD_FAILURES);
    let all: i64 = FAILING
        .iter()
        .filter_map(|status| statuses.get(*status))
        .sum();
    let all = u64::try_from(all).unwrap_or(0);
    let mut words: Vec<String> = failures.into_iter().map(|failure| failure.words).collect();
    let told = u64::try_from(words.len()).expect("a few");
    if all > told {
        words.push(format!("checks.{check}: {} more failed", all - told));
    }
    words
}

/// Whether the share of refused rows is above the limit; of no rows nothing is refused.
fn too_much_refused(refused: u64, all: u64, limit: f64) -> bool {
    let share = |count: u64| {
        // Counts of rows are far below 2^53.
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "counts of rows are below 2^53"
        )]
        let exact = count as f64;
        exact
    };
    all > 0 && share(refused) > limit * share(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_failures_are_told_in_whatever_order_they_come() {
        let failure = |badness: f64, words: &str| Failure {
            badness,
            words: words.to_owned(),
        };
        let failures = vec![
            failure(1.0, "b"),
            failure(1.0, "a"),
            failure(7.0, "worst"),
            failure(0.5, "least"),
        ];
        let statuses = BTreeMap::from([("fail".to_owned(), 9), ("pass".to_owned(), 4)]);
        let reversed = failures.iter().rev().cloned().collect();
        for failures in [failures, reversed] {
            let told = told("known", failures, &statuses);
            assert_eq!(told, ["worst", "a", "b", "checks.known: 6 more failed"]);
        }
    }

    #[test]
    fn the_share_of_refused_rows_is_judged_strictly() {
        assert!(!too_much_refused(0, 0, 0.0));
        assert!(!too_much_refused(5, 10, 0.5));
        assert!(too_much_refused(6, 10, 0.5));
        assert!(too_much_refused(1, 1_000_000, 0.0));
        assert!(!too_much_refused(10, 10, 1.0));
    }
}
