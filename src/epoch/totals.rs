//! What a continuous job has counted since it first began; part of each checkpoint.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::cluster::outcome::Outcome;

/// Counts of rows and verdicts; the row law holds over them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Rows read.
    pub rows_in: u64,
    /// Rows without a fault.
    pub clean: u64,
    /// Rows refused.
    pub refused: u64,
    /// Rows dropped by a declared rule or option.
    pub dropped: u64,
    /// Rows that wait for a reference row.
    pub parked: u64,
    /// Refused rows by their reason.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Dropped rows by rule or option.
    pub dropped_by_rule: BTreeMap<String, u64>,
    /// Rows that failed a rule that only warns, by rule.
    pub warned_by_rule: BTreeMap<String, u64>,
    /// Values that were read otherwise than they were written: column, what was done, how many.
    pub adjusted: Vec<(String, String, u64)>,
    /// Verdicts by check and status, without those that were taken back.
    pub verdicts: BTreeMap<String, BTreeMap<String, i64>>,
    /// For each sink its rows, files and bytes.
    pub outputs: BTreeMap<String, (u64, u64, u64)>,
}

impl Totals {
    /// Adds what came of the epochs of one commit.
    pub fn add(&mut self, outcome: &Outcome) {
        self.rows_in += outcome.rows_in;
        self.clean += outcome.clean;
        self.refused += outcome.refused;
        self.dropped += outcome.dropped;
        self.parked = self.parked.wrapping_add(outcome.parked);
        add(&mut self.refused_by_reason, &outcome.refused_by_reason);
        add(&mut self.dropped_by_rule, &outcome.dropped_by_rule);
        add(&mut self.warned_by_rule, &outcome.warned_by_rule);
        for ((column, what), values) in &outcome.adjusted {
            let same = |known: &&mut (String, String, u64)| known.0 == *column && known.1 == *what;
            match self.adjusted.iter_mut().find(same) {
                Some(known) => known.2 += values,
                None => self.adjusted.push((column.clone(), what.clone(), *values)),
            }
        }
        self.adjusted.sort();
        for (check, statuses) in &outcome.verdicts {
            let known = self.verdicts.entry(check.clone()).or_default();
            add(known, statuses);
            known.retain(|_, verdicts| *verdicts != 0);
        }
        for output in &outcome.outputs {
            let known = self.outputs.entry(output.sink.clone()).or_default();
            known.0 += output.rows;
            known.1 += output.files;
            known.2 += output.bytes;
        }
    }

    /// Puts them into the outcome of a life, where a bounded run has its own.
    pub fn fill(&self, outcome: &mut Outcome) {
        // Each commit was judged by itself, and is there.
        outcome.conserved = true;
        outcome.rows_in = self.rows_in;
        outcome.clean = self.clean;
        outcome.refused = self.refused;
        outcome.dropped = self.dropped;
        outcome.parked = self.parked;
        outcome
            .refused_by_reason
            .clone_from(&self.refused_by_reason);
        outcome.dropped_by_rule.clone_from(&self.dropped_by_rule);
        outcome.warned_by_rule.clone_from(&self.warned_by_rule);
        let adjusted = self.adjusted.iter();
        outcome.adjusted = adjusted
            .map(|(column, what, values)| ((column.clone(), what.clone()), *values))
            .collect();
        outcome.verdicts.clone_from(&self.verdicts);
        for output in &mut outcome.outputs {
            if let Some((rows, files, bytes)) = self.outputs.get(&output.sink) {
                (output.rows, output.files, output.bytes) = (*rows, *files, *bytes);
            }
        }
    }
}

fn add<N: Copy + Default + AddAssign>(
    mine: &mut BTreeMap<String, N>,
    theirs: &BTreeMap<String, N>,
) {
    for (name, rows) in theirs {
        *mine.entry(name.clone()).or_default() += *rows;
    }
}
