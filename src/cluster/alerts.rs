//! Alerts behind the dataflow: what is bad with each checkpoint, and who is told when that is committed.

use std::sync::Arc;

use super::{Run, RunError};
use crate::alerts::operator::STATE;
use crate::alerts::watch::Stand;
use crate::alerts::{Receivers, Watch};
use crate::epoch::{Store, saved};
use crate::job::plan::Plan;
use crate::record::{Epoch, Note};

/// What is bad, and who is told.
pub(super) struct Alerts {
    pub(super) watch: Watch,
    pub(super) receivers: Receivers,
}

impl Alerts {
    /// As of the checkpoint that a life begins with; none where nobody is told.
    pub(super) fn start(run: &Arc<Run>, store: &Arc<dyn Store>) -> Result<Option<Self>, RunError> {
        if run.plan.alerts.is_empty() {
            return Ok(None);
        }
        let mut watch = Watch::default();
        saved(run, STATE, |bytes| {
            watch = Watch::load(bytes)?;
            Ok(())
        })?;
        let receivers = Receivers::start(run, store)?;
        Ok(Some(Self { watch, receivers }))
    }

    /// The name of its file of state.
    pub(super) fn file() -> String {
        format!("{STATE}-0")
    }

    /// Takes what workers told until a checkpoint, at the bound wall time of its epoch; gives what is to be written.
    pub(super) fn take(
        &mut self,
        plan: &Plan,
        notes: &[Note],
        at: (Epoch, i64),
        is_caught_up: bool,
    ) -> (Stand, Vec<u8>) {
        let notes = notes.iter();
        let rows = notes.filter_map(|note| match note {
            Note::Bad(rows) => Some(rows),
            _ => None,
        });
        let mut rows: Vec<_> = rows.flatten().collect();
        // One worker at a time says what is about a segment, in order.
        rows.sort_by_key(|row| row.epoch);
        for row in rows {
            self.watch.take(row);
        }
        let continuous = plan.continuous.as_ref();
        let pace = continuous.map_or(0, |continuous| continuous.checkpoint.as_micros());
        let pace = i64::try_from(pace).unwrap_or(i64::MAX);
        let stand = self.watch.commit(at, is_caught_up, pace);
        (stand, self.watch.save())
    }
}
