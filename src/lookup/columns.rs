//! Reference rows as columns: an index from key to row, and the reference columns.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, UInt32Array};
use arrow_row::RowConverter;
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use hashbrown::HashMap;

use super::block::Row;
use super::layout::{Layout, key_converter};
use crate::job::plan::{Fold, LookupPlan};
use crate::transform::text::{self, Text};

/// No reference row.
pub(super) const NONE: u32 = u32::MAX;

/// Reference rows of one look-up.
pub(super) struct Columns {
    rows: usize,
    index: Index,
    fold: Option<Fold>,
    /// Those that anybody needs.
    of: Vec<Option<Reference>>,
    /// As-of look-ups: for each row, the times it is valid from (inclusive) and to (exclusive); rows of one key stand
    /// together, ordered by the first.
    validity: Option<Vec<(i64, i64)>>,
}

/// Rows `first .. first + len` of the columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    first: u32,
    len: u32,
}

/// From key to rows, by the kind of key.
pub(super) enum Index {
    /// One whole-number key.
    Integer(HashMap<i64, Versions>),
    /// One text key.
    Text(HashMap<Box<str>, Versions>),
    /// Any other key, encoded.
    Encoded(RowConverter, HashMap<Box<[u8]>, Versions>),
}

/// A reference column, ready to be gathered.
enum Reference {
    /// Text: distinct values, and each row's place among them.
    Text { codes: Int32Array, values: ArrayRef },
    /// Anything else.
    Plain(ArrayRef),
}

impl Columns {
    /// Those of `rows`, which are in order; of the reference columns those at the `needed` positions.
    pub(super) fn new(
        plan: &LookupPlan,
        needed: &[bool],
        rows: &[Row],
    ) -> Result<Self, ArrowError> {
        let mut columns = Layout::new(plan)?.decode(rows.iter().map(Row::bytes))?;
        if let (Some(_), Some(validity)) = (plan.fold, &plan.validity) {
            // In order of their bytes, versions of one key stand apart where they spell it differently.
            columns = ordered(plan, validity.from, columns)?;
        }
        let index = Index::new(plan, &columns)?;
        let validity = plan.validity.as_ref().map(|validity| {
            let from = times(&columns[validity.from]);
            let to = validity.to.map(|to| times(&columns[to]));
            let rows = 0..from.len();
            rows.map(|row| {
                let end = to.as_ref().and_then(|to| to[row]).unwrap_or(i64::MAX);
                (
                    from[row].expect("rows without valid_from were left out when loaded"),
                    end,
                )
            })
            .collect()
        });
        let columns = columns.into_iter().zip(needed);
        let columns = columns.map(|(column, is_needed)| is_needed.then(|| Reference::new(column)));
        Ok(Self {
            rows: rows.len(),
            index,
            fold: plan.fold,
            of: columns.collect(),
            validity,
        })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The row of these for each row of the batch, [`NONE`] where there is none. `at` holds the times of an as-of
    /// look-up. Cost: one probe a row, or one a distinct value of a dictionary.
    pub(super) fn find(
        &self,
        keys: &[ArrayRef],
        at: Option<&ArrayRef>,
    ) -> Result<Vec<u32>, ArrowError> {
        let compared = self.folded(keys);
        let versions = self.index.find(&compared)?;
        let Some(validity) = &self.validity else {
            return Ok(versions
                .into_iter()
                .map(|found| found.map_or(NONE, |found| found.first))
                .collect());
        };
        let at = times(at.expect("an as-of look-up has a time expression"));
        Ok(versions
            .into_iter()
            .zip(at)
            .map(|(found, at)| match (found, at) {
                (Some(found), Some(at)) => valid(validity, found, at),
                _ => NONE,
            })
            .collect())
    }

    /// How many rows these keys, which may stand twice, have together.
    pub(super) fn distinct(&self, keys: &[ArrayRef]) -> Result<usize, ArrowError> {
        let found = self.index.find(keys)?.into_iter().flatten();
        let rows: std::collections::BTreeSet<u32> = found.map(|found| found.first).collect();
        Ok(rows.len())
    }

    /// Keys as they are compared.
    pub(super) fn folded(&self, keys: &[ArrayRef]) -> Vec<ArrayRef> {
        super::fold::folded(keys.to_vec(), self.fold)
    }

    /// Reference column `position`, a needed one, at the given rows, null at [`NONE`].
    pub(super) fn gather(
        &self,
        position: usize,
        rows: &UInt32Array,
    ) -> Result<ArrayRef, ArrowError> {
        let column = self.of[position].as_ref();
        match column.expect("who needs a column has said so") {
            Reference::Plain(column) => take(column, rows, None),
            Reference::Text { codes, values } => {
                let keys = take(codes, rows, None)?;
                let keys = keys.as_primitive::<Int32Type>().clone();
                Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
                    keys,
                    Arc::clone(values),
                )?))
            }
        }
    }
}

/// The version of a key that is valid at `at`: the latest that began, if it has not ended.
fn valid(validity: &[(i64, i64)], versions: Versions, at: i64) -> u32 {
    let first = usize_of(versions.first);
    let of_key = &validity[first..first + usize_of(versions.len)];
    let begun = of_key.partition_point(|(from, _)| *from <= at);
    match begun.checked_sub(1) {
        Some(latest) if at < of_key[latest].1 => versions.first + u32_of(latest),
        _ => NONE,
    }
}

/// Puts the versions of each key side by side, ordered by their beginning.
fn ordered(
    plan: &LookupPlan,
    from: usize,
    columns: Vec<ArrayRef>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let keys: Vec<ArrayRef> = plan
        .on
        .iter()
        .map(|(position, _)| Arc::clone(&columns[*position]))
        .collect();
    let keys = super::fold::folded(keys, plan.fold);
    let keys = key_converter(plan)?.convert_columns(&keys)?;
    let from = times(&columns[from]);
    let mut order: Vec<u32> = (0..u32_of(from.len())).collect();
    order.sort_by(|a, b| {
        let (a, b) = (usize_of(*a), usize_of(*b));
        keys.row(a)
            .cmp(&keys.row(b))
            .then_with(|| from[a].cmp(&from[b]))
    });
    let order = UInt32Array::from(order);
    columns
        .iter()
        .map(|column| take(column, &order, None))
        .collect()
}

/// Times of a date, timestamp or whole-number column in its own unit.
fn times(column: &ArrayRef) -> Vec<Option<i64>> {
    match column.data_type() {
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .iter()
            .map(|day| day.map(i64::from))
            .collect(),
        DataType::Timestamp(_, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .collect(),
        _ => integers(column)
            .expect("the resolver lets only dates, timestamps and whole numbers be a validity"),
    }
}

/// The values of a whole-number or date column.
pub(super) fn integers(column: &ArrayRef) -> Option<Vec<Option<i64>>> {
    Some(match column.data_type() {
        DataType::Int16 => column
            .as_primitive::<Int16Type>()
            .iter()
            .map(|value| value.map(i64::from))
            .collect(),
        DataType::Int32 => column
            .as_primitive::<Int32Type>()
            .iter()
            .map(|value| value.map(i64::from))
            .collect(),
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().collect(),
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .iter()
            .map(|value| value.map(i64::from))
            .collect(),
        _ => return None,
    })
}

impl Index {
    /// That of columns in the order of the look-up's.
    pub(super) fn new(plan: &LookupPlan, columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        let keys: Vec<ArrayRef> = plan
            .on
            .iter()
            .map(|(position, _)| Arc::clone(&columns[*position]))
            .collect();
        let keys = super::fold::folded(keys, plan.fold);
        if let [key] = keys.as_slice() {
            if let Some(values) = integers(key) {
                return Ok(Self::Integer(grouped(values.into_iter().flatten())));
            }
            if key.data_type() == &DataType::Utf8 {
                let values = key.as_string::<i32>();
                return Ok(Self::Text(grouped(values.iter().flatten().map(Box::from))));
            }
        }
        let converter = key_converter(plan)?;
        let rows = converter.convert_columns(&keys)?;
        let index = grouped(rows.iter().map(|row| Box::from(row.data())));
        Ok(Self::Encoded(converter, index))
    }

    /// What it holds of keys as they are compared.
    pub(super) fn find(&self, keys: &[ArrayRef]) -> Result<Vec<Option<Versions>>, ArrowError> {
        match self {
            Self::Integer(index) => Ok(find_integers(index, &keys[0])),
            Self::Text(index) => {
                if let Some(dictionary) = keys[0].as_dictionary_opt::<Int32Type>() {
                    let values = Text::new(dictionary.values());
                    let codes = 0..dictionary.values().len();
                    let of_value: Vec<_> = codes
                        .map(|code| {
                            values
                                .value(code)
                                .and_then(|value| index.get(value).copied())
                        })
                        .collect();
                    let codes = dictionary.keys();
                    return Ok(codes
                        .iter()
                        .map(|code| code.and_then(|code| of_value[index_of(code)]))
                        .collect());
                }
                let values = Text::new(&keys[0]);
                let rows = 0..keys[0].len();
                Ok(rows
                    .map(|row| {
                        values
                            .value(row)
                            .and_then(|value| index.get(value).copied())
                    })
                    .collect())
            }
            Self::Encoded(converter, index) => {
                let plain: Vec<ArrayRef> = keys.iter().map(text::to_plain).collect();
                let rows = converter.convert_columns(&plain)?;
                let found = rows.iter().enumerate().map(|(row, key)| {
                    let whole = plain.iter().all(|column| column.is_valid(row));
                    whole.then(|| index.get(key.data()).copied()).flatten()
                });
                Ok(found.collect())
            }
        }
    }
}

fn find_integers(index: &HashMap<i64, Versions>, key: &ArrayRef) -> Vec<Option<Versions>> {
    /// Probes for each value, whatever its width.
    macro_rules! probe {
        ($type:ty) => {{
            let array = key.as_primitive::<$type>();
            let values = array.values().iter();
            if array.null_count() == 0 {
                values
                    .map(|value| index.get(&i64::from(*value)).copied())
                    .collect()
            } else {
                let rows = values.enumerate();
                rows.map(|(row, value)| {
                    array
                        .is_valid(row)
                        .then(|| index.get(&i64::from(*value)).copied())
                        .flatten()
                })
                .collect()
            }
        }};
    }
    match key.data_type() {
        DataType::Int16 => probe!(Int16Type),
        DataType::Int32 => probe!(Int32Type),
        DataType::Int64 => probe!(Int64Type),
        DataType::Date32 => probe!(Date32Type),
        other => {
            panic!("a key expression has the type of its reference column, but this is {other}")
        }
    }
}

/// Rows of equal keys stand together in as-of look-ups; in others no key stands twice.
fn grouped<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, Versions> {
    let mut index: HashMap<K, Versions> = HashMap::with_capacity(keys.size_hint().0);
    for (row, key) in keys.enumerate() {
        index
            .entry(key)
            .or_insert(Versions {
                first: u32_of(row),
                len: 0,
            })
            .len += 1;
    }
    index
}

impl Reference {
    fn new(column: ArrayRef) -> Self {
        let Some(texts) = column.as_string_opt::<i32>() else {
            return Self::Plain(column);
        };
        let mut codes = Int32Builder::with_capacity(texts.len());
        let mut values = StringBuilder::new();
        let mut seen: HashMap<&str, i32> = HashMap::new();
        for value in texts {
            let Some(value) = value else {
                codes.append_null();
                continue;
            };
            let next = i32::try_from(seen.len()).expect("a look-up has fewer than 2^31 rows");
            let code = *seen.entry(value).or_insert_with(|| {
                values.append_value(value);
                next
            });
            codes.append_value(code);
        }
        Self::Text {
            codes: codes.finish(),
            values: Arc::new(values.finish()),
        }
    }
}

fn usize_of(row: u32) -> usize {
    usize::try_from(row).expect("a row number of 32 bits fits")
}

fn u32_of(row: usize) -> u32 {
    u32::try_from(row).expect("a look-up has fewer than 2^32 rows")
}

fn index_of(code: i32) -> usize {
    usize::try_from(code).expect("dictionary codes are not negative")
}
