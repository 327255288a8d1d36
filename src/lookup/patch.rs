//! A look-up as of an epoch: the columns of all rows as they once were, and over them those of the keys that changed since.
//!
//! Making columns of all rows costs about a microsecond a row. A look-up of a million rows of which a few change each second is
//! patched: the rows of the keys that changed stand in columns of their own, which are asked first. When they have become an eighth of
//! all, everything is made anew; so a change costs, in the long run, some eight times its rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::zip::zip;

use super::block::Row;
use super::columns::{Columns, Index, NONE};
use super::layout::Layout;
use super::rows::keys;
use crate::job::plan::LookupPlan;
use crate::record::Epoch;
use crate::transform::text;

/// Rows that may change before their number is held against that of all rows.
const FEW: usize = 1024;

/// The newest change of a collection that a snapshot holds; `None`: it is empty.
///
/// Who knows all changes before an epoch knows the version that rows of the epoch meet, and versions are the same on all workers.
pub(super) type Version = Option<Epoch>;

/// All rows as of a version.
pub(super) struct Base {
    pub(super) version: Version,
    columns: Columns,
}

/// The rows as of a version.
pub(super) struct Snapshot {
    pub(super) version: Version,
    pub(super) base: Arc<Base>,
    patch: Option<Patch>,
}

/// What stands over the base.
struct Patch {
    /// The keys whose rows came or went.
    changed: Index,
    /// The rows that these keys have now; their places follow those of the base.
    columns: Columns,
    rows: usize,
}

impl Base {
    /// Whether so many rows may be put over it.
    pub(super) fn takes(&self, rows: usize) -> bool {
        rows <= FEW.max(self.columns.len() / 8)
    }
}

impl Snapshot {
    /// Of `rows`, which are in order; of the reference columns those at the `needed` positions.
    pub(super) fn new(
        plan: &LookupPlan,
        needed: &[bool],
        version: Version,
        rows: &[Row],
    ) -> Result<Self, ArrowError> {
        let columns = Columns::new(plan, needed, rows)?;
        let base = Arc::new(Base { version, columns });
        Ok(Self {
            version,
            base,
            patch: None,
        })
    }

    /// Of a base, of which the rows in `touched` came or went; those in `now` are there. Both are in order.
    pub(super) fn patched(
        plan: &LookupPlan,
        needed: &[bool],
        version: Version,
        base: Arc<Base>,
        touched: &[&Row],
        now: &[Row],
    ) -> Result<Self, ArrowError> {
        let layout = Layout::new(plan)?;
        let of_touched = layout.decode(touched.iter().map(|row| row.bytes()))?;
        let changed = Index::new(plan, &of_touched)?;
        // Each key has one row at a time, so that what it had in the base was touched where it is not there now.
        let columns = Columns::new(plan, needed, now)?;
        let gone = base.columns.distinct(&keys(plan, &of_touched))?;
        Ok(Self {
            version,
            patch: Some(Patch {
                changed,
                rows: base.columns.len() - gone + columns.len(),
                columns,
            }),
            base,
        })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        match &self.patch {
            Some(patch) => patch.rows,
            None => self.base.columns.len(),
        }
    }

    /// The row for each row of the batch, [`NONE`] where there is none. `at` holds the times of an as-of look-up. Cost: one probe
    /// a row, or one a distinct value of a dictionary; three where the look-up is patched.
    pub(super) fn find(
        &self,
        keys: &[ArrayRef],
        at: Option<&ArrayRef>,
    ) -> Result<Vec<u32>, ArrowError> {
        let mut found = self.base.columns.find(keys, at)?;
        if let Some(patch) = &self.patch {
            let first = self.first();
            let now = patch.columns.find(keys, at)?;
            let changed = self.base.columns.folded(keys);
            for (row, changed) in patch.changed.find(&changed)?.into_iter().enumerate() {
                if changed.is_some() {
                    found[row] = match now[row] {
                        NONE => NONE,
                        place => first + place,
                    };
                }
            }
        }
        Ok(found)
    }

    /// Reference column `position` at the given rows, null at nulls.
    pub(super) fn gather(
        &self,
        position: usize,
        rows: &UInt32Array,
    ) -> Result<ArrayRef, ArrowError> {
        let base = &self.base.columns;
        let Some(patch) = &self.patch else {
            return base.gather(position, rows);
        };
        let first = self.first();
        let is_patched: BooleanArray = rows
            .iter()
            .map(|row| Some(row.is_some_and(|row| row >= first)))
            .collect();
        if is_patched.true_count() == 0 {
            return base.gather(position, rows);
        }
        // A place in the one is none in the other; a null reads nothing, but its index must lie inside.
        let part = |of_patch: bool| -> UInt32Array {
            let place = |row: u32| match row.checked_sub(first) {
                Some(place) => of_patch.then_some(place),
                None => (!of_patch).then_some(row),
            };
            let places = rows.iter().map(|row| row.and_then(place));
            places.collect::<UInt32Array>()
        };
        let now = patch.columns.gather(position, &part(true))?;
        if is_patched.true_count() == rows.len() {
            return Ok(now);
        }
        let before = base.gather(position, &part(false))?;
        zip(&is_patched, &text::to_plain(&now), &text::to_plain(&before))
    }

    /// The place of the first row of the patch.
    fn first(&self) -> u32 {
        u32::try_from(self.base.columns.len()).expect("a look-up has fewer than 2^32 rows")
    }
}

#[cfg(test)]
pub(super) mod tests;
