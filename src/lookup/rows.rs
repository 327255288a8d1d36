//! The rows of a look-up that changes, as process 0 knows them, and how they differ from what they were.

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use hashbrown::HashMap;

use super::layout::Layout;
use super::load::{Loaded, Piece, pieces};
use crate::cluster::exchange;
use crate::job::plan::LookupPlan;

/// Encoded rows, by what tells them apart: the key, and of as-of look-ups the time a row is valid from.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    rows: HashMap<Box<[u8]>, Box<[u8]>>,
}

/// Rows that are there no more, and rows that are there now; one that is another than before is in both.
#[derive(Debug, Clone, Default)]
pub(super) struct Difference {
    pub(super) gone: Vec<Box<[u8]>>,
    pub(super) new: Vec<Box<[u8]>>,
}

/// A difference as the dataflow takes it.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub(super) gone: Vec<Piece>,
    pub(super) new: Vec<Piece>,
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Rows {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(rows: I) -> Self {
        let mut all = Self::default();
        for (identity, row) in rows {
            all.set(identity, Some(row.into()));
        }
        all
    }
}

impl Rows {
    /// All rows in their order, in which an arrangement takes them at the least cost.
    pub(super) fn in_order(&self) -> Vec<&[u8]> {
        // The first bytes tell most rows apart, and lie together; the others are all over the memory.
        let with_head = |row: &&[u8]| {
            let mut head = [0; 8];
            let length = row.len().min(head.len());
            head[..length].copy_from_slice(&row[..length]);
            u64::from_be_bytes(head)
        };
        let rows = self.rows.values().map(|row| &**row);
        let mut rows: Vec<(u64, &[u8])> = rows.map(|row| (with_head(&row), row)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// The row of this identity.
    pub(super) fn get(&self, identity: &[u8]) -> Option<&[u8]> {
        self.rows.get(identity).map(|row| &**row)
    }

    /// Puts a row in place of the one with its identity, or takes that away; gives the one that was there.
    pub(super) fn set(&mut self, identity: &[u8], row: Option<Box<[u8]>>) -> Option<Box<[u8]>> {
        match row {
            Some(row) => self.rows.insert(identity.into(), row),
            None => self.rows.remove(identity),
        }
    }

    /// How `later` differs from these.
    pub(super) fn difference(&self, later: &Self) -> Difference {
        let mut difference = Difference::default();
        for (identity, row) in &self.rows {
            if later.rows.get(identity) != Some(row) {
                difference.gone.push(row.clone());
            }
        }
        for (identity, row) in &later.rows {
            if self.rows.get(identity) != Some(row) {
                difference.new.push(row.clone());
            }
        }
        difference
    }

    /// Makes these what they are after a difference.
    pub(super) fn apply(
        &mut self,
        plan: &LookupPlan,
        difference: &Difference,
    ) -> Result<(), ArrowError> {
        let layout = Layout::new(plan)?;
        for (rows, is_new) in [(&difference.gone, false), (&difference.new, true)] {
            if rows.is_empty() {
                continue;
            }
            let columns = layout.decode(rows.iter().map(|row| &**row))?;
            let identities = layout.identities(plan, &keys(plan, &columns), &columns)?;
            for (at, row) in rows.iter().enumerate() {
                self.set(identities.row(at).data(), is_new.then(|| row.clone()));
            }
        }
        Ok(())
    }

    /// The rows as the dataflow takes them.
    pub(super) fn loaded(&self, plan: &LookupPlan) -> Result<Loaded, ArrowError> {
        Ok(Loaded {
            pieces: hashed(plan, &self.in_order())?,
            warnings: Vec::new(),
        })
    }
}

impl Difference {
    /// That of one row: what it was and what it is.
    pub(super) fn add(&mut self, before: Option<Box<[u8]>>, after: Option<&[u8]>) {
        if before.as_deref() != after {
            self.gone.extend(before);
            self.new.extend(after.map(Box::from));
        }
    }

    /// Whether nothing is different.
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    /// As the dataflow takes it.
    pub(super) fn change(&self, plan: &LookupPlan) -> Result<Change, ArrowError> {
        let pieces = |rows: &[Box<[u8]>]| {
            let rows: Vec<&[u8]> = rows.iter().map(|row| &**row).collect();
            hashed(plan, &rows)
        };
        Ok(Change {
            gone: pieces(&self.gone)?,
            new: pieces(&self.new)?,
        })
    }
}

impl Change {
    /// Rows that come and go.
    pub(super) fn len(&self) -> usize {
        let pieces = self.gone.iter().chain(&self.new);
        pieces.map(|piece| piece.block.len()).sum()
    }
}

/// The key's columns as they are compared.
pub(super) fn keys(plan: &LookupPlan, columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let keys = plan.on.iter();
    let keys = keys.map(|(position, _)| ArrayRef::clone(&columns[*position]));
    super::fold::folded(keys.collect(), plan.fold)
}

/// Encoded rows in pieces, with the bins of their keys.
fn hashed(plan: &LookupPlan, rows: &[&[u8]]) -> Result<Vec<Piece>, ArrowError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Layout::new(plan)?.decode(rows.iter().copied())?;
    let hashes = exchange::hash_rows(&keys(plan, &columns), rows.len());
    Ok(pieces(rows.iter().copied().zip(hashes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[(&str, &str)]) -> Rows {
        let each = of.iter();
        each.map(|(identity, row)| (identity.as_bytes(), row.as_bytes()))
            .collect()
    }

    #[test]
    fn a_difference_names_what_went_and_what_came() {
        let before = rows(&[("a", "a1"), ("b", "b1"), ("c", "c1")]);
        let after = rows(&[("a", "a1"), ("b", "b2"), ("d", "d1")]);
        let mut found = before.difference(&after);
        found.gone.sort();
        found.new.sort();
        assert_eq!(found.gone, [Box::from(&b"b1"[..]), Box::from(&b"c1"[..])]);
        assert_eq!(found.new, [Box::from(&b"b2"[..]), Box::from(&b"d1"[..])]);
        assert!(before.difference(&before).is_empty());
    }

    #[test]
    fn rows_are_in_the_order_of_their_bytes_however_long_they_are() {
        let texts = ["", "a", "a\0", "abcdefgh", "abcdefghi", "abcdefgha", "b"];
        let of: Vec<(&str, &str)> = texts.iter().map(|text| (*text, *text)).collect();
        let all = rows(&of);
        let mut sorted: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        sorted.sort_unstable();
        assert_eq!(all.in_order(), sorted);
    }

    #[test]
    fn a_row_that_is_what_it_was_makes_no_difference() {
        let mut rows = rows(&[("a", "a1")]);
        let mut difference = Difference::default();
        for (row, is_different) in [("a1", false), ("a2", true)] {
            let before = rows.set(b"a", Some(row.as_bytes().into()));
            difference.add(before, rows.get(b"a"));
            assert_eq!(!difference.is_empty(), is_different);
        }
        let before = rows.set(b"a", None);
        difference.add(before, rows.get(b"a"));
        assert!(rows.in_order().is_empty());
        assert_eq!(difference.gone.len(), 2);
    }
}
