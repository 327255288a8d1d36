//! What a receiver knows, and what it has to be told.
//!
//! An alert is one check, one segment and one condition. What a receiver has to be told is the difference between what is bad for it and what it
//! knows: *opened* what it does not know, *resolved* what it knows and is so no more, *still* what it is reminded of. What it was told is
//! applied when it has answered, so that the next difference is of what it did not hear.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::watch::{Bad, Condition, Stand, Watch};
use crate::cluster::exchange::hash_bytes;
use crate::job::plan::AlertsPlan;
use crate::record::Epoch;

/// Groups that change at once and are told in a message each; more of them are one.
const GROUPS: usize = 10;

/// Alerts of one message: a receiver has to hold it.
const OF_MESSAGE: usize = 1000;

/// What an alert is about: check and segment.
pub type About = (String, String);

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What is wrong.
    pub condition: Condition,
    /// The window in which it was when this was said.
    pub window: Option<(i64, i64)>,
    /// What was measured.
    pub value: Option<f64>,
    /// What that was held against.
    pub expected: Option<String>,
    /// The job's clock when the first bad window was said, in microseconds since 1970.
    pub since: i64,
}

impl Alert {
    fn of(bad: &Bad) -> Self {
        Self {
            condition: bad.condition,
            window: bad.window,
            value: bad.value,
            expected: bad.expected.clone(),
            since: bad.since,
        }
    }

    /// What it is known by, whoever tells of it: of one that is resolved and opened anew it is another.
    pub fn id(&self, job: &str, about: &About) -> String {
        let whole = serde_json::json!([job, about, self.condition, self.since]).to_string();
        format!("{:016x}", hash_bytes(whole.as_bytes()))
    }
}

/// An alert that a receiver knows of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// As it was told.
    pub alert: Alert,
    /// The wall time at which it was told last, in microseconds since 1970.
    pub told_at: i64,
}

/// What a receiver knows. Part of the state, beside the journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// How often it was written down.
    pub number: u64,
    /// The epoch up to which it was told.
    pub epoch: Epoch,
    /// What is open for it, by check and segment, as a list: JSON has names only.
    #[serde(with = "as_list")]
    pub open: BTreeMap<About, Known>,
}

mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{About, Known};

    pub(super) fn serialize<S: Serializer>(
        open: &BTreeMap<About, Known>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        open.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<About, Known>, D::Error> {
        let list = Vec::<(About, Known)>::deserialize(deserializer)?;
        Ok(list.into_iter().collect())
    }
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It is open.
    Opened,
    /// It is open still.
    Still,
    /// It is open no more.
    Resolved,
}

impl Turn {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "open",
            Self::Still => "still",
            Self::Resolved => "resolved",
        }
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What about.
    pub about: About,
    /// What happened.
    pub turn: Turn,
    /// To which alert.
    pub alert: Alert,
}

/// What is bad for a receiver: those of its checks and severity, that last long enough and are not history. Where it knows of one, that is
/// no question of age any more.
pub fn bad_for(plan: &AlertsPlan, watch: &Watch, told: &Told) -> BTreeMap<About, Alert> {
    let max_age = i64::try_from(plan.max_age.as_micros()).unwrap_or(i64::MAX);
    let is_for = |check: &str, bad: &Bad| {
        let checks = plan.checks.as_ref();
        checks.is_none_or(|checks| checks.iter().any(|of| of == check))
            && (plan.warns || bad.condition != Condition::Warn)
            && (bad.windows >= plan.after || bad.window.is_none())
    };
    let is_new = |bad: &Bad| {
        let end = bad.window.map(|(_, end)| end);
        end.is_none_or(|end| bad.said_at.saturating_sub(end) <= max_age)
    };
    watch
        .bad()
        .filter(|(check, _, bad)| is_for(check, bad))
        .map(|(check, segment, bad)| ((check.to_owned(), segment.to_owned()), bad))
        .filter(|(about, bad)| told.open.contains_key(about) || is_new(bad))
        .map(|(about, bad)| (about, Alert::of(bad)))
        .collect()
}

impl Told {
    /// What has to be told: resolved before opened for each check and segment. `remind`: wall time before which what was told is told again.
    pub fn difference(&self, bad: &BTreeMap<About, Alert>, remind: Option<i64>) -> Vec<Change> {
        let mut changes = Vec::new();
        let change = |about: &About, turn: Turn, alert: &Alert| Change {
            about: about.clone(),
            turn,
            alert: alert.clone(),
        };
        for (about, known) in &self.open {
            match bad.get(about) {
                Some(now) if now.condition == known.alert.condition => {
                    if remind.is_some_and(|remind| known.told_at <= remind) {
                        let now = Alert {
                            since: known.alert.since,
                            ..now.clone()
                        };
                        changes.push(change(about, Turn::Still, &now));
                    }
                }
                _ => changes.push(change(about, Turn::Resolved, &known.alert)),
            }
        }
        for (about, alert) in bad {
            let known = self.open.get(about);
            if known.is_none_or(|known| known.alert.condition != alert.condition) {
                changes.push(change(about, Turn::Opened, alert));
            }
        }
        changes
    }

    /// These changes were told at a wall time, of an epoch.
    pub fn apply(&mut self, changes: &[Change], epoch: Epoch, told_at: i64) {
        self.epoch = self.epoch.max(epoch);
        for Change { about, turn, alert } in changes {
            match turn {
                Turn::Opened | Turn::Still => {
                    let alert = alert.clone();
                    self.open.insert(about.clone(), Known { alert, told_at });
                }
                Turn::Resolved => {
                    // One of another condition may have been opened in its place.
                    let known = self.open.get(about);
                    if known.is_some_and(|known| known.alert.condition == alert.condition) {
                        self.open.remove(about);
                    }
                }
            }
        }
    }
}

/// What alerts of a message have in common: name and value.
pub type Common = Vec<(String, String)>;

/// Changes in groups, each a message. `is_one`: all in one. `value` says what an alert is for a word of `group_by`.
pub fn groups(
    changes: Vec<Change>,
    group_by: &[String],
    is_one: bool,
    value: impl Fn(&Change, &str) -> String,
) -> Vec<(Common, Vec<Change>)> {
    let mut by_common: BTreeMap<Common, Vec<Change>> = BTreeMap::new();
    for change in changes {
        let common = group_by.iter();
        let common = common.map(|word| (word.clone(), value(&change, word)));
        by_common.entry(common.collect()).or_default().push(change);
    }
    if by_common.len() > 1 && (is_one || by_common.len() > GROUPS) {
        let all = by_common.into_values().flatten().collect();
        by_common = BTreeMap::from([(Common::new(), all)]);
    }
    let mut messages = Vec::new();
    for (common, changes) in by_common {
        for part in changes.chunks(OF_MESSAGE) {
            messages.push((common.clone(), part.to_vec()));
        }
    }
    messages
}

/// Whether a receiver is told nothing yet, since the job reads what came when it did not run.
pub fn is_settling(plan: &AlertsPlan, stand: &Stand) -> bool {
    let settle = i64::try_from(plan.settle.as_micros()).unwrap_or(i64::MAX);
    stand.behind_for.is_some_and(|behind| behind < settle)
}

#[cfg(test)]
mod tests;
