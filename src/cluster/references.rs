//! The look-ups of a continuous job when a life begins: their rows, what is read again of their changes, and who follows them.

use super::fate::Fate;
use super::life::Replayed;
use super::run::RunError;
use crate::epoch::{Binding, Reading, ReferenceChange, ReferenceRows, StateFile, Store, state};
use crate::job::plan::{LookupPlan, Plan};
use crate::lookup::{self, Follower, Loaded};

/// What a life begins with.
pub(super) struct References {
    /// The rows as they were at the checkpoint.
    pub(super) loaded: Vec<Loaded>,
    /// Changes of the epochs that are read again.
    pub(super) replayed: Replayed,
    /// Those that go on from the rows behind the last of these.
    pub(super) followers: Vec<Follower>,
    /// What is to be told of the rows.
    pub(super) warnings: Vec<String>,
}

/// Takes up the rows from their objects, and reads the look-ups that have none.
pub(super) fn take_up(
    plan: &Plan,
    reading: &Reading,
    known: &[ReferenceRows],
    replay: &[Binding],
    fate: &Fate,
) -> Result<References, RunError> {
    let mut taken = References {
        loaded: Vec::new(),
        replayed: Replayed::new(),
        followers: Vec::new(),
        warnings: Vec::new(),
    };
    for (lookup, of) in plan.lookups.iter().enumerate() {
        let encoded = |error: arrow_schema::ArrowError| RunError::State {
            place: (reading.store()).place(&state::folder_of_references(&of.name)),
            problem: format!("the rows of look-up {}: {error}", of.name),
        };
        let copied = state::copied(reading.store(), &of.name)?;
        let read = |file: &StateFile| -> Result<_, RunError> {
            let bytes = reading.take(file, 1)?;
            // The life that wrote it did not come to that, or was one of a former build.
            if !copied.contains(&file.path) {
                state::copy(reading.store(), file, &bytes)?;
            }
            Ok(bytes)
        };
        let rows = known.iter().find(|rows| rows.lookup == of.name);
        let mut follower = if let Some(rows) = rows {
            let objects = rows.objects.iter().map(read);
            lookup::restored(lookup, objects.collect::<Result<_, _>>()?)
        } else {
            let (follower, warnings) = first(plan, of, lookup, fate)?;
            taken.warnings.extend(warnings);
            follower
        };
        taken.loaded.push(follower.loaded(of).map_err(encoded)?);
        for binding in replay {
            let changes = binding.references.iter();
            for change in changes.filter(|change| change.lookup == of.name) {
                let bytes = read(&change.object)?;
                let change = follower.take(of, bytes).map_err(encoded)?;
                let of_epoch = taken.replayed.entry(binding.epoch).or_default();
                of_epoch.push((lookup, change));
            }
        }
        taken.followers.push(follower);
    }
    Ok(taken)
}

fn first(
    plan: &Plan,
    of: &LookupPlan,
    lookup: usize,
    fate: &Fate,
) -> Result<(Follower, Vec<String>), RunError> {
    let first = lookup::first(of, lookup, plan.join_timeout, &|| fate.is_over())?;
    first.ok_or_else(|| fate.take_failure().unwrap_or(RunError::Interrupted))
}

/// Writes the rows as objects that epoch 0 names.
pub(super) fn bind_first(
    plan: &Plan,
    store: &dyn Store,
    generation: u64,
    followers: &mut [Follower],
) -> Result<Vec<ReferenceChange>, RunError> {
    let mut changes = Vec::new();
    for (number, (of, follower)) in plan.lookups.iter().zip(followers).enumerate() {
        let object = follower.whole(of).map_err(|source| {
            RunError::from(lookup::LookupError::Encode {
                lookup: of.name.clone(),
                source,
            })
        })?;
        let file = state::reference(&of.name, (0, generation), number, &object);
        state::put(store, &file, &object)?;
        state::copy(store, &file, &object)?;
        changes.push(ReferenceChange {
            lookup: of.name.clone(),
            whole: true,
            object: file,
        });
    }
    Ok(changes)
}
