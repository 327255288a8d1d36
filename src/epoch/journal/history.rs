//! What the records say: a pure fold over them, in their order.

use std::collections::VecDeque;

use super::record::{Claim, Drained, Entry, PlanText, Record};
use crate::epoch::{Binding, Checkpoint};
use crate::record::Epoch;

/// What a job has done, as its journal knows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The newest generation; 0 before the first.
    pub generation: u64,
    /// Its claim.
    pub claim: Option<Claim>,
    /// The newest plan.
    pub plan: Option<PlanText>,
    /// Where the job can begin again, the last written first. At least two once two were written. One is usable where every target
    /// has made visible what it holds, which the targets know. The state of those is kept that the newest usable one names.
    pub checkpoints: Vec<Checkpoint>,
    /// The bindings behind the oldest of `checkpoints`, and all where nothing was deleted yet: one an epoch, in order, none missing.
    pub bindings: VecDeque<Binding>,
    /// Set where the job was asked to stop, and did, and has bound nothing since.
    pub drained: Option<Drained>,
    pub(super) index: Index,
}

impl History {
    /// Whether nothing was ever written. With outputs that this job has committed it means that its journal is lost.
    pub fn is_new(&self) -> bool {
        self.index.next == self.index.base && self.index.base == FIRST
    }

    /// The newest epoch that is bound; `None` before the first.
    pub fn newest_epoch(&self) -> Option<Epoch> {
        self.index.newest
    }

    /// Whether the newest generation was asked to stop, and did: `drained` may be what the one before it left.
    pub fn has_ended(&self) -> bool {
        self.index.drained > self.index.claim
    }

    pub(super) fn from_base(base: u64) -> Self {
        Self {
            index: Index::from_base(base),
            ..Self::default()
        }
    }

    /// Takes the next record in. Errors: what it says can't follow what is known.
    pub(super) fn take(&mut self, entry: Entry) -> Result<(), String> {
        if let Record::Claim(claim) = &entry.record
            && entry.generation == self.generation
            && self.claim.as_ref().is_some_and(|known| known != claim)
        {
            return Err(format!("claims generation {} again", entry.generation));
        }
        self.index.take(&entry)?;
        self.generation = entry.generation;
        match entry.record {
            Record::Claim(claim) => self.claim = Some(claim),
            Record::Plan(plan) => self.plan = Some(plan),
            Record::Bindings(bindings) => {
                self.bindings.extend(bindings);
                self.drained = None;
            }
            Record::Checkpoint(checkpoint) => self.checkpoints.insert(0, checkpoint),
            Record::Drained(drained) => self.drained = Some(drained),
        }
        Ok(())
    }

    /// Leaves out checkpoints from which bindings are missing, and bindings that no checkpoint needs.
    pub(super) fn trim(&mut self) {
        self.checkpoints
            .retain(|checkpoint| self.index.reaches(checkpoint.epoch));
        self.index.trim();
        let oldest = self.checkpoints.iter().map(|kept| kept.epoch).min();
        // Before the first compaction no checkpoint need be one whose manifest followed: all may be read again from the beginning.
        let oldest = oldest.filter(|_| self.index.base > FIRST);
        let needless = |binding: &Binding| oldest.is_some_and(|oldest| binding.epoch <= oldest);
        while self.bindings.front().is_some_and(needless) {
            self.bindings.pop_front();
        }
    }
}

/// Number of the first record.
const FIRST: u64 = 1;

/// Which record says what, without what it says: all that a writer needs of the past, and bounded by compaction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index {
    /// Number of the first record that counts.
    pub(super) base: u64,
    /// Number of the record that comes next.
    pub(super) next: u64,
    generation: Option<u64>,
    newest: Option<Epoch>,
    pub(super) claim: Option<u64>,
    pub(super) plan: Option<u64>,
    drained: Option<u64>,
    /// Records of bindings: number, first and last epoch.
    spans: VecDeque<(u64, Epoch, Epoch)>,
    /// Checkpoints, in the order in which they were written.
    pub(super) checkpoints: VecDeque<Indexed>,
}

/// Where a checkpoint stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Indexed {
    /// Number of its record.
    number: u64,
    /// Its epoch.
    epoch: Epoch,
    /// The epoch of the oldest checkpoint that is kept beside it; its own where none is.
    falls_to: Epoch,
    /// Whether what is fallen back to is the beginning.
    is_alone: bool,
}

impl Default for Index {
    fn default() -> Self {
        Self::from_base(FIRST)
    }
}

impl Index {
    fn from_base(base: u64) -> Self {
        Self {
            base,
            next: base,
            generation: None,
            newest: None,
            claim: None,
            plan: None,
            drained: None,
            spans: VecDeque::new(),
            checkpoints: VecDeque::new(),
        }
    }

    /// Takes a record in. Errors: it can't come next.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        self.fits(entry)?;
        let number = entry.number;
        self.next = number + 1;
        self.generation = Some(entry.generation);
        match &entry.record {
            Record::Claim(_) => self.claim = Some(number),
            Record::Plan(_) => self.plan = Some(number),
            Record::Drained(drained) => {
                self.drained = Some(number);
                self.newest = Some(drained.epoch);
            }
            Record::Bindings(bindings) => {
                let (first, last) = (bindings[0].epoch, bindings[bindings.len() - 1].epoch);
                self.spans.push_back((number, first, last));
                self.newest = Some(last);
                self.drained = None;
            }
            Record::Checkpoint(checkpoint) => {
                let kept = checkpoint.kept.iter().map(|kept| kept.epoch).min();
                self.checkpoints.push_back(Indexed {
                    number,
                    epoch: checkpoint.epoch,
                    falls_to: kept.map_or(checkpoint.epoch, |kept| kept.min(checkpoint.epoch)),
                    is_alone: checkpoint.is_alone,
                });
                self.newest = self.newest.max(Some(checkpoint.epoch));
            }
        }
        Ok(())
    }

    /// Whether a record can come next.
    pub(super) fn fits(&self, entry: &Entry) -> Result<(), String> {
        let (number, generation) = (entry.number, entry.generation);
        if number != self.next {
            return Err(format!("record {number} comes where {} is next", self.next));
        }
        let first = number == FIRST;
        let claims = matches!(entry.record, Record::Claim(_));
        let in_order = match self.generation {
            Some(known) => generation == known || claims && generation == known.saturating_add(1),
            // Compaction may have taken the claim; it stands further down then.
            None => !first || claims && generation == 1,
        };
        if !in_order {
            let known = self.generation.unwrap_or(0);
            return Err(format!(
                "is of generation {generation} behind one of {known}"
            ));
        }
        match &entry.record {
            Record::Bindings(bindings) => self.fits_bindings(bindings, generation),
            Record::Checkpoint(checkpoint) => {
                let bound = self
                    .newest
                    .map_or(self.base > FIRST, |newest| checkpoint.epoch <= newest);
                let own = checkpoint.generation == generation;
                match (bound, own) {
                    (true, true) => Ok(()),
                    (false, _) => Err(format!("holds epoch {}, unbound", checkpoint.epoch)),
                    (_, false) => Err(format!("is of generation {}", checkpoint.generation)),
                }
            }
            Record::Drained(drained) => match self.newest {
                Some(newest) if newest != drained.epoch => {
                    Err(format!("stops at epoch {}, not {newest}", drained.epoch))
                }
                _ => Ok(()),
            },
            Record::Claim(_) | Record::Plan(_) => Ok(()),
        }
    }

    fn fits_bindings(&self, bindings: &[Binding], generation: u64) -> Result<(), String> {
        let Some(first) = bindings.first() else {
            return Err("holds no binding".to_owned());
        };
        // The first of all is the job's to choose.
        let mut next = self
            .newest
            .map_or(first.epoch, |newest| newest.saturating_add(1));
        for binding in bindings {
            if binding.epoch != next || binding.generation != generation {
                return Err(format!(
                    "binds epoch {} of generation {}, where epoch {next} of generation {generation} is next",
                    binding.epoch, binding.generation
                ));
            }
            next = next.saturating_add(1);
        }
        Ok(())
    }

    /// Whether every binding behind `epoch` is there.
    fn reaches(&self, epoch: Epoch) -> bool {
        match self.spans.front() {
            Some((_, first, _)) => epoch.saturating_add(1) >= *first,
            None => self.newest == Some(epoch),
        }
    }

    /// The first record that is needed when everything up to `visible` is committed by every target: what the two checkpoints written
    /// last, the newest one that is usable now, and those that are kept beside that, begin with. `None` while there are no such, or no
    /// plan; and while the beginning is what the usable one falls back to.
    ///
    /// It never falls: a checkpoint keeps others only of those that the one before kept, and that one.
    pub(super) fn needed(&self, visible: Epoch) -> Option<u64> {
        self.plan?;
        let last = self.checkpoints.len().checked_sub(2)?;
        let usable = self
            .checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.epoch <= visible)
            .max_by_key(|checkpoint| (checkpoint.epoch, checkpoint.number))?;
        if usable.is_alone && self.base == FIRST {
            return None;
        }
        let beside = usable.falls_to..usable.epoch;
        let beside = (self.checkpoints.iter()).filter(|other| beside.contains(&other.epoch));
        let kept = self.checkpoints.range(last..).chain([usable]).chain(beside);
        let begins = |checkpoint: &Indexed| {
            let (number, epoch) = (checkpoint.number, checkpoint.epoch);
            let mut behind = self.spans.iter().filter(|(_, _, last)| *last > epoch);
            behind.next().map_or(number, |span| span.0.min(number))
        };
        kept.map(begins).chain(self.drained).min()
    }

    /// Forgets what lies below a new base.
    pub(super) fn raise(&mut self, base: u64) {
        self.base = base;
        self.spans.retain(|(number, ..)| *number >= base);
        self.checkpoints.retain(|known| known.number >= base);
        self.trim();
    }

    fn trim(&mut self) {
        let mut checkpoints = std::mem::take(&mut self.checkpoints);
        checkpoints.retain(|known| self.reaches(known.epoch));
        self.checkpoints = checkpoints;
    }
}
