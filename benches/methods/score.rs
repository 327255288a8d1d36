//! How well a method finds what happened: alarms, of which some are right, and incidents, of which some are found.

use std::collections::BTreeMap;

use super::year::{Incident, KINDS, Kind, QUIET_DAYS, first_day, known};

/// Alarms of a shop that are so many hours apart at most are one: who looks at the first sees all.
const TOGETHER: i64 = 14;

/// How far a window's value is beyond, by shop and hour of the year, in order of time.
pub(crate) type Values = BTreeMap<u32, Vec<(i64, f64)>>;

/// What a method reaches with a threshold.
#[derive(Debug, Clone)]
pub(crate) struct Score {
    pub(crate) threshold: f64,
    /// Alarms, several in a row being one, that are not on known days.
    pub(crate) alarms: u32,
    /// Those in which something happened.
    pub(crate) right: u32,
    /// Alarms on known days.
    pub(crate) on_known_days: u32,
    /// Of each kind: how often it was found, and how often it happened.
    pub(crate) found: BTreeMap<Kind, (u32, u32)>,
}

impl Score {
    /// Alarms are values beyond the threshold in windows of so many hours; values in the days before anything happens are left out.
    pub(crate) fn of(values: &Values, hours: i64, threshold: f64, incidents: &[Incident]) -> Self {
        let mut of_store: BTreeMap<u32, Vec<(&Incident, bool)>> = BTreeMap::new();
        for incident in incidents {
            of_store
                .entry(incident.store)
                .or_default()
                .push((incident, false));
        }
        let mut score = Self {
            threshold,
            alarms: 0,
            right: 0,
            on_known_days: 0,
            found: KINDS.iter().map(|kind| (*kind, (0, 0))).collect(),
        };
        let quiet = i64::try_from(QUIET_DAYS).expect("some days") * 24;
        for (store, values) in values {
            let incidents = of_store.entry(*store).or_default();
            // The hour behind the last alarm of those that are one, and whether something happened in them.
            let mut last: Option<(i64, bool)> = None;
            let mut last_known = None;
            for (from, _) in values
                .iter()
                .filter(|(from, value)| *from >= quiet && value.abs() > threshold)
            {
                if is_known(*from) {
                    score.on_known_days +=
                        u32::from(last_known.replace(from / 24) != Some(from / 24));
                    continue;
                }
                let to = from + hours;
                let mut is_right = false;
                for (incident, found) in incidents.iter_mut() {
                    if incident.from < to && *from < incident.to {
                        *found = true;
                        is_right = true;
                    }
                }
                let (is_new, was_right) = match last {
                    Some((end, right)) if *from - end <= TOGETHER => (false, right),
                    _ => (true, false),
                };
                score.alarms += u32::from(is_new);
                score.right += u32::from(is_right && !was_right);
                last = Some((to, is_right || was_right));
            }
        }
        for (incident, found) in of_store.values().flatten() {
            let of_kind = score.found.entry(incident.kind).or_default();
            of_kind.0 += u32::from(*found);
            of_kind.1 += 1;
        }
        score
    }

    /// Right alarms of all; 1 where there is none.
    pub(crate) fn precision(&self) -> f64 {
        if self.alarms == 0 {
            1.0
        } else {
            f64::from(self.right) / f64::from(self.alarms)
        }
    }

    /// Found incidents of all that happened.
    pub(crate) fn recall(&self) -> f64 {
        let (found, all) = self
            .found
            .values()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        f64::from(found) / f64::from(all)
    }

    /// The harmonic mean of both.
    pub(crate) fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall > 0.0 {
            2.0 * precision * recall / (precision + recall)
        } else {
            0.0
        }
    }

    /// Found incidents of a kind.
    pub(crate) fn recall_of(&self, kind: Kind) -> f64 {
        let (found, all) = self.found[&kind];
        f64::from(found) / f64::from(all.max(1))
    }

    /// False alarms a shop and month.
    pub(crate) fn false_alarms(&self, stores: u32) -> f64 {
        let days = 365 - u32::try_from(QUIET_DAYS).expect("some days");
        f64::from(self.alarms - self.right) / f64::from(stores) / (f64::from(days) / 30.4)
    }
}

/// Whether an hour of the year is on a known day.
fn is_known(hour: i64) -> bool {
    let day = u64::try_from(hour / 24).expect("an hour of the year");
    known(first_day() + chrono::Days::new(day)).is_some()
}
