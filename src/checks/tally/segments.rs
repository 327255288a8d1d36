//! The segments of a tally under small ids, so that what refers to them need not hold their values.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::open::Open;
use crate::checks::value::Segment;
use crate::checks::variance::Baseline;

/// What a segment is known by while it is kept; given to another once it is forgotten.
pub(super) type SegmentId = u32;

/// Every segment that is kept.
///
/// Cost: some 70 bytes a segment besides its values, in tables that grow by doubling.
#[derive(Debug, Default)]
pub(super) struct Segments {
    kept: Vec<Option<Kept>>,
    free: Vec<SegmentId>,
    /// By hash of the segment.
    ids: HashTable<SegmentId>,
    hasher: DefaultHashBuilder,
}

/// A segment, and what outlives its windows.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) segment: Segment,
    pub(super) open: Open,
    /// One for each variance check of the layout, in their order; none before its first window closed.
    pub(super) baselines: Box<[Baseline]>,
}

impl Segments {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id of a segment, which is kept from now on.
    pub(super) fn id(&mut self, segment: Segment) -> SegmentId {
        let hash = self.hasher.hash_one(&segment);
        let found = |id: &SegmentId| of(&self.kept, *id).segment == segment;
        if let Some(&id) = self.ids.find(hash, found) {
            return id;
        }
        let kept = Some(Kept {
            segment,
            open: Open::default(),
            baselines: Box::default(),
        });
        let id = if let Some(id) = self.free.pop() {
            self.kept[at(id)] = kept;
            id
        } else {
            self.kept.push(kept);
            SegmentId::try_from(self.kept.len() - 1).expect("a worker has fewer than 2^32 segments")
        };
        let (hasher, all) = (&self.hasher, &self.kept);
        self.ids
            .insert_unique(hash, id, |id| hasher.hash_one(&of(all, *id).segment));
        id
    }

    /// The id of a segment that is kept.
    pub(super) fn find(&self, segment: &Segment) -> Option<SegmentId> {
        let hash = self.hasher.hash_one(segment);
        let found = |id: &SegmentId| of(&self.kept, *id).segment == *segment;
        self.ids.find(hash, found).copied()
    }

    /// Whether this is the id of a segment now.
    pub(super) fn is_kept(&self, id: SegmentId) -> bool {
        self.kept[at(id)].is_some()
    }

    pub(super) fn get(&self, id: SegmentId) -> &Kept {
        of(&self.kept, id)
    }

    pub(super) fn get_mut(&mut self, id: SegmentId) -> &mut Kept {
        self.kept[at(id)].as_mut().expect(KEPT)
    }

    /// Forgets a segment; its id is free for another.
    pub(super) fn forget(&mut self, id: SegmentId) {
        let kept = self.kept[at(id)].take().expect(KEPT);
        let hash = self.hasher.hash_one(&kept.segment);
        self.ids
            .find_entry(hash, |known| *known == id)
            .expect("a segment that is kept has its id in the table")
            .remove();
        self.free.push(id);
    }

    /// The ids of all segments, in order of their values.
    pub(super) fn in_order(&self) -> Vec<SegmentId> {
        let mut ids: Vec<SegmentId> = self.ids.iter().copied().collect();
        self.put_in_order(&mut ids);
        ids
    }

    /// Puts segments in order of their values.
    pub(super) fn put_in_order(&self, ids: &mut [SegmentId]) {
        ids.sort_unstable_by_key(|id| &self.get(*id).segment);
    }
}

/// What goes wrong where an id is not that of a segment that is kept.
const KEPT: &str = "a segment is kept while it has windows";

fn of(kept: &[Option<Kept>], id: SegmentId) -> &Kept {
    kept[at(id)].as_ref().expect(KEPT)
}

#[expect(
    clippy::as_conversions,
    reason = "an index of 32 bits fits every machine that timely runs on"
)]
pub(super) fn at(id: SegmentId) -> usize {
    id as usize
}
