//! Which checkpoints' state stays, so that whatever file of the newest one is damaged, there is one to fall back to.
//!
//! ```text
//!                     a     b  …        n−1    n
//! tally minute        ████▒▒▒▒▒▒▒▒   ██████▒▒▒▒▒       █ whole state   ▒ changes behind it
//! tally hour          ██████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//! ```
//!
//! State is a series of files ([`super::series`]), so neighbours share most of theirs: what breaks the newest checkpoint breaks those
//! before it, too, as far back as that file is named. So besides the one before the newest there stays
//!
//! - the *apart* one: the youngest that shares no file at all with the newest, which no damage of one file breaks with it;
//! - the *next* one, older than all but that: it becomes the apart one as soon as nothing of it is named any more.
//!
//! **There always is one apart**, but for the first whole state of a job's life: a file that a checkpoint has left out is named by no later
//! one, so what was apart stays so until a younger one is. Until the first is, the journal is kept from its beginning
//! ([`Checkpoint::is_alone`]), and the job is begun anew from its first epoch where nothing else is left.
//!
//! **It is bounded.** A series is folded behind sixteen changes at the latest, so whoever is next is apart as soon as each series has been
//! folded once more, and the one behind it begins then: the apart one is at most two folds of the slowest series old, which is some forty
//! checkpoints. So on the disk are at most three whole states (the apart one's, the next one's and the newest one's), each with the changes
//! behind it, and what a fold is writing; in the journal the bindings and checkpoints since the apart one; and as far back the input
//! has to be there still, or what is lost of it is told as ever (`on_data_loss`). Falling back reads those epochs again. What is visible
//! of them already is left out by each target: by the chain of manifests, which Delta tables follow, and by the progress of shards.
//!
//! Rows of look-ups have no such series, and may never change: their objects are kept twice ([`super::state::copy`]).
//!
//! Decided once for each checkpoint and written into it, so that a later life knows what is there.

use std::collections::{BTreeSet, VecDeque};

use super::{Checkpoint, CheckpointId, History, ReferenceRows, StateFile};
use crate::record::Epoch;

/// A checkpoint whose state is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Which.
    pub id: CheckpointId,
    /// Its files of state.
    pub state: Vec<StateFile>,
    /// Its rows of look-ups.
    pub references: Vec<ReferenceRows>,
}

/// The checkpoints whose state is kept, the oldest first.
#[derive(Debug, Default)]
pub struct Keeping(VecDeque<Kept>);

/// What is kept beside a checkpoint.
#[derive(Debug, PartialEq)]
pub struct Beside {
    /// Older ones, the oldest first.
    pub kept: Vec<CheckpointId>,
    /// Whether none of them is apart from it.
    pub is_alone: bool,
}

impl Keeping {
    /// For a life that goes on from the checkpoint `chosen`: that one, and what is kept of older ones.
    pub fn new(history: &History, committed: Option<Epoch>, chosen: Option<&Checkpoint>) -> Self {
        let Some(chosen) = chosen else {
            return Self::default();
        };
        let usable = usable(history, committed).into_iter();
        let kept = usable.skip_while(|checkpoint| checkpoint.id() != chosen.id());
        let kept = kept.map(|checkpoint| Kept {
            id: checkpoint.id(),
            state: checkpoint.state.clone(),
            references: checkpoint.references.clone(),
        });
        let mut kept: VecDeque<Kept> = kept.collect();
        kept.make_contiguous().reverse();
        Self(kept)
    }

    /// What is to be kept beside a checkpoint with these files.
    pub fn beside(&self, state: &[StateFile]) -> Beside {
        let files: BTreeSet<&str> = state.iter().map(|file| file.path.as_str()).collect();
        let shares = |kept: &Kept| {
            let mut paths = kept.state.iter().map(|file| file.path.as_str());
            paths.any(|path| files.contains(path))
        };
        let apart = (0..self.0.len()).rev().find(|at| !shares(&self.0[*at]));
        let younger = self.0.range(apart.unwrap_or(0)..);
        let mut ids: Vec<CheckpointId> = younger.map(|kept| kept.id).collect();
        // The apart one where there is one, the next one, and the newest of them.
        let first = if apart.is_some() { 2 } else { 1 };
        if ids.len() > first {
            let newest = ids.pop().expect("there are more");
            ids.truncate(first);
            ids.push(newest);
        }
        Beside {
            kept: ids,
            is_alone: apart.is_none() && !state.is_empty(),
        }
    }

    /// A checkpoint is committed, beside which these are kept: gives the files of all others, of which some may be named by these, too.
    pub fn add(&mut self, newest: Kept, beside: &[CheckpointId]) -> Vec<StateFile> {
        let mut gone = Vec::new();
        self.0.retain_mut(|kept| {
            let stays = beside.contains(&kept.id);
            if !stays {
                gone.append(&mut kept.state);
            }
            stays
        });
        self.0.push_back(newest);
        gone
    }

    /// Those that are kept, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Kept> {
        self.0.iter()
    }

    /// The epoch of the oldest.
    pub fn oldest(&self) -> Option<Epoch> {
        self.0.front().map(|kept| kept.id.epoch)
    }
}

/// The checkpoints that what is visible covers and whose state is kept, the newest first.
pub fn usable(history: &History, committed: Option<Epoch>) -> Vec<&Checkpoint> {
    let checkpoints = history.checkpoints.iter();
    let mut covered = checkpoints
        .filter(|checkpoint| committed.is_some_and(|committed| checkpoint.epoch <= committed));
    let Some(newest) = covered.next() else {
        return Vec::new();
    };
    // One without a word of others is the first, or of a former build, which kept the two that were written last.
    let is_kept = |other: &&Checkpoint| newest.kept.is_empty() || newest.kept.contains(&other.id());
    let mut usable = vec![newest];
    usable.extend(covered.filter(is_kept));
    usable
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: impl std::fmt::Display) -> StateFile {
        StateFile {
            path: format!("checkpoints/{name}.state"),
            bytes: 1,
            hash: 1,
        }
    }

    /// Commits a checkpoint with these files; gives those that go.
    fn commit(
        keeping: &mut Keeping,
        epoch: Epoch,
        state: &[StateFile],
    ) -> (Beside, Vec<StateFile>) {
        let beside = keeping.beside(state);
        let newest = Kept {
            id: CheckpointId {
                epoch,
                generation: 1,
            },
            state: state.to_vec(),
            references: Vec::new(),
        };
        let gone = keeping.add(newest, &beside.kept);
        (beside, gone)
    }

    fn epochs(beside: &Beside) -> Vec<Epoch> {
        beside.kept.iter().map(|kept| kept.epoch).collect()
    }

    #[test]
    fn the_apart_one_stays_until_a_younger_one_is() {
        let mut keeping = Keeping::default();
        let mut series = vec![file("whole 1")];
        let mut told = Vec::new();
        for epoch in 1..=12 {
            if epoch > 1 {
                series.push(file(format!("changes {epoch}")));
            }
            // What was written until 3, and until 7, is folded two checkpoints later.
            if epoch == 5 || epoch == 9 {
                let folded = epoch - 2;
                let from = series.len() - 2;
                series = series.split_off(from);
                series.insert(0, file(format!("folded {folded}")));
            }
            let (beside, _) = commit(&mut keeping, epoch, &series);
            told.push((epochs(&beside), beside.is_alone));
        }
        assert_eq!(
            told,
            [
                (vec![], true),
                (vec![1], true),
                (vec![1, 2], true),
                (vec![1, 3], true),
                // What was written for 4 is named still, and nothing of 3.
                (vec![3, 4], false),
                (vec![3, 4, 5], false),
                (vec![3, 4, 6], false),
                (vec![3, 4, 7], false),
                (vec![7, 8], false),
                (vec![7, 8, 9], false),
                (vec![7, 8, 10], false),
                (vec![7, 8, 11], false),
            ]
        );
    }

    #[test]
    fn a_job_without_state_has_nothing_that_can_break() {
        let mut keeping = Keeping::default();
        assert!(!commit(&mut keeping, 1, &[]).0.is_alone);
        let (beside, _) = commit(&mut keeping, 2, &[]);
        assert_eq!((epochs(&beside), beside.is_alone), (vec![1], false));
        let (beside, _) = commit(&mut keeping, 3, &[]);
        assert_eq!((epochs(&beside), beside.is_alone), (vec![2], false));
    }

    proptest! {
        /// Series of several operators, folded at any times: no file of the newest is in the apart one, nothing that is named is gone, and
        /// little is kept.
        #[test]
        fn whatever_breaks_something_is_left(
            folds in prop::collection::vec((0..3_usize, 1..4_usize), 1..200),
        ) {
            let mut keeping = Keeping::default();
            let mut series: Vec<Vec<StateFile>> =
                (0..3).map(|of| vec![file(format!("{of} whole"))]).collect();
            let mut was_apart = false;
            let mut since_fold = [0_usize; 3];
            let mut there: BTreeSet<String> = BTreeSet::new();
            for (number, (folded, behind)) in folds.into_iter().enumerate() {
                let epoch = u64::try_from(number).unwrap() + 1;
                for (of, files) in series.iter_mut().enumerate() {
                    files.push(file(format!("{of} changes {epoch}")));
                    since_fold[of] += 1;
                    if (of == folded || since_fold[of] > 16) && files.len() > behind {
                        since_fold[of] = 0;
                        let rest = files.split_off(files.len() - behind);
                        *files = vec![file(format!("{of} folded {epoch}"))];
                        files.extend(rest);
                    }
                }
                let state: Vec<StateFile> = series.concat();
                there.extend(state.iter().map(|file| file.path.clone()));
                let (beside, gone) = commit(&mut keeping, epoch, &state);
                let named: BTreeSet<String> = keeping
                    .all()
                    .flat_map(|kept| &kept.state)
                    .map(|file| file.path.clone())
                    .collect();
                // As `tidy` does.
                for file in gone.into_iter().filter(|file| !named.contains(&file.path)) {
                    there.remove(&file.path);
                }
                prop_assert_eq!(&there, &named);
                prop_assert!(beside.kept.len() <= 3);
                prop_assert!(!was_apart || !beside.is_alone, "none is apart any more");
                was_apart = !beside.is_alone;
                let oldest = keeping.all().next().unwrap();
                if was_apart {
                    prop_assert!(oldest.state.iter().all(|file| !state.contains(file)));
                }
                // Two folds of the slowest, and what lies behind each.
                prop_assert!(epoch - oldest.id.epoch <= 48, "{epoch} {oldest:?}");
            }
        }
    }
}
