//! How the bytes of a reference row are laid out: its key first, then the time it is valid from, then the other columns.
//!
//! So rows sort by key, the versions of a key stand together in order of their time, and an arrangement of rows is one of keys.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::ArrowError;

use crate::job::plan::LookupPlan;

/// Encodes and decodes the rows of a look-up.
pub(super) struct Layout {
    /// Positions in the look-up's reference columns, in the order in which a row's bytes hold them.
    order: Vec<usize>,
    /// How many of them tell rows apart: the key, and of as-of look-ups the time a row is valid from.
    identity: usize,
    converter: RowConverter,
}

impl Layout {
    /// The layout of a look-up's rows.
    pub(super) fn new(plan: &LookupPlan) -> Result<Self, ArrowError> {
        let mut order: Vec<usize> = plan.on.iter().map(|(position, _)| *position).collect();
        order.extend(plan.validity.as_ref().map(|validity| validity.from));
        let identity = order.len();
        let others = (0..plan.reference.len()).filter(|position| !order.contains(position));
        let others: Vec<usize> = others.collect();
        order.extend(others);
        Ok(Self {
            converter: converter(plan, &order)?,
            order,
            identity,
        })
    }

    /// Encodes rows of all reference columns: equal rows are equal bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.converter
            .convert_columns(&chosen(columns, &self.order))
    }

    /// Encodes what tells rows apart: `keys` as they are compared, and the time from `columns`.
    pub(super) fn identities(
        &self,
        plan: &LookupPlan,
        keys: &[ArrayRef],
        columns: &[ArrayRef],
    ) -> Result<Rows, ArrowError> {
        let positions = &self.order[..self.identity];
        let mut told_apart = keys.to_vec();
        told_apart.extend(chosen(columns, &positions[keys.len()..]));
        converter(plan, positions)?.convert_columns(&told_apart)
    }

    /// The reference columns of encoded rows.
    pub(super) fn decode<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        let decoded = self
            .converter
            .convert_rows(rows.map(|row| parser.parse(row)))?;
        let mut placed: Vec<(usize, ArrayRef)> = self.order.iter().copied().zip(decoded).collect();
        placed.sort_unstable_by_key(|(position, _)| *position);
        Ok(placed.into_iter().map(|(_, column)| column).collect())
    }
}

/// Encodes keys by themselves.
pub(super) fn key_converter(plan: &LookupPlan) -> Result<RowConverter, ArrowError> {
    let keys: Vec<usize> = plan.on.iter().map(|(position, _)| *position).collect();
    converter(plan, &keys)
}

fn converter(plan: &LookupPlan, positions: &[usize]) -> Result<RowConverter, ArrowError> {
    let fields = positions
        .iter()
        .map(|position| SortField::new(plan.reference[*position].column_type.data_type()));
    RowConverter::new(fields.collect())
}

fn chosen(columns: &[ArrayRef], positions: &[usize]) -> Vec<ArrayRef> {
    let positions = positions.iter();
    positions
        .map(|position| Arc::clone(&columns[*position]))
        .collect()
}
