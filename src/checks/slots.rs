//! Running statistics of all groups of an epoch, one array a statistic: the innermost loops.
//!
//! Each kernel walks one column of a batch and adds the values straight from the Arrow buffer to the slot of the row's
//! group. With no filter and no nulls that is every row; else the set bits of one mask.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};

use crate::transform::text::Text;

use super::codes::at;
use super::distinct::DistinctSlots;
use super::layout::Kind;
use super::sketch::SketchSlots;
use super::stats::{Accumulator, Moments, Sum};
use super::value::{Value, ordered};

/// One running statistic of all groups.
#[derive(Debug)]
pub(crate) enum Slots {
    /// Number of values.
    Count(Vec<i64>),
    /// Number and sum.
    Sum(Vec<Sum>),
    /// Number, sum and sum of squares.
    Moments(Vec<Moments>),
    /// Greatest (true) or least integer-like value.
    Int(bool, Vec<Option<i64>>),
    /// Greatest (true) or least decimal.
    Wide(bool, Vec<Option<i128>>),
    /// Greatest (true) or least text.
    Text(bool, Vec<Option<Box<str>>>),
    /// Different values.
    Distinct(Box<DistinctSlots>),
    /// Counts of values by buckets.
    Sketch(SketchSlots),
}

impl Slots {
    /// No groups yet.
    pub(crate) fn new(kind: Kind, data_type: Option<&DataType>) -> Self {
        let greatest = kind == Kind::Greatest;
        match (kind, data_type) {
            (Kind::Count, _) => Self::Count(Vec::new()),
            (Kind::Sum, _) => Self::Sum(Vec::new()),
            (Kind::Moments, _) => Self::Moments(Vec::new()),
            (Kind::Distinct, _) => Self::Distinct(Box::default()),
            (Kind::Sketch, _) => Self::Sketch(SketchSlots::default()),
            (Kind::Least | Kind::Greatest, Some(DataType::Utf8)) => {
                Self::Text(greatest, Vec::new())
            }
            (Kind::Least | Kind::Greatest, Some(DataType::Decimal128(..))) => {
                Self::Wide(greatest, Vec::new())
            }
            (Kind::Least | Kind::Greatest, _) => Self::Int(greatest, Vec::new()),
        }
    }

    /// Makes room for this many groups.
    pub(crate) fn resize(&mut self, groups: usize) {
        match self {
            Self::Count(slots) => slots.resize(groups, 0),
            Self::Sum(slots) => slots.resize(groups, Sum::default()),
            Self::Moments(slots) => slots.resize(groups, Moments::default()),
            Self::Int(_, slots) => slots.resize(groups, None),
            Self::Wide(_, slots) => slots.resize(groups, None),
            Self::Text(_, slots) => slots.resize(groups, None),
            Self::Distinct(slots) => slots.resize(groups),
            Self::Sketch(slots) => slots.resize(groups),
        }
    }

    /// Forgets all groups.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Count(slots) => slots.clear(),
            Self::Sum(slots) => slots.clear(),
            Self::Moments(slots) => slots.clear(),
            Self::Int(_, slots) => slots.clear(),
            Self::Wide(_, slots) => slots.clear(),
            Self::Text(_, slots) => slots.clear(),
            Self::Distinct(slots) => slots.clear(),
            Self::Sketch(slots) => slots.clear(),
        }
    }

    /// What was gathered for a group.
    pub(crate) fn take(&mut self, group: usize) -> Accumulator {
        let extreme = |greatest: bool, value: Option<Value>| {
            let value = value.unwrap_or_default();
            if greatest {
                Accumulator::Greatest(value)
            } else {
                Accumulator::Least(value)
            }
        };
        match self {
            Self::Count(slots) => Accumulator::Count(slots[group]),
            Self::Sum(slots) => Accumulator::Sum(slots[group]),
            Self::Moments(slots) => Accumulator::Moments(slots[group]),
            Self::Int(greatest, slots) => extreme(*greatest, slots[group].map(Value::Int)),
            Self::Wide(greatest, slots) => extreme(*greatest, slots[group].map(Value::Wide)),
            Self::Text(greatest, slots) => extreme(*greatest, slots[group].take().map(Value::Text)),
            Self::Distinct(slots) => Accumulator::Distinct(Box::new(slots.take(group))),
            Self::Sketch(slots) => Accumulator::Sketch(Box::new(slots.take(group))),
        }
    }

    /// Adds the selected rows of a batch; `groups` has the slot of each row.
    ///
    /// Panics on arguments of a type that the statistic does not take; the job's expressions were typed against that.
    pub(crate) fn add(
        &mut self,
        argument: Option<&ArrayRef>,
        selected: Option<&BooleanBuffer>,
        groups: &[u32],
    ) {
        match self {
            Self::Count(slots) => count(slots, selected, groups),
            Self::Sum(slots) => fold_numbers(slots, argument, selected, groups, Sum::add),
            Self::Moments(slots) => fold_numbers(slots, argument, selected, groups, Moments::add),
            Self::Int(true, slots) => fold_ordered(slots, argument, selected, groups, greater),
            Self::Int(false, slots) => fold_ordered(slots, argument, selected, groups, less),
            Self::Wide(greatest, slots) => {
                let values = argument_of(argument)
                    .as_primitive::<Decimal128Type>()
                    .values();
                if *greatest {
                    fold(slots, values, selected, groups, greater);
                } else {
                    fold(slots, values, selected, groups, less);
                }
            }
            Self::Distinct(slots) => {
                let rows = selected_rows(selected, groups);
                slots.add(argument_of(argument), rows, |row| at(groups[row]));
            }
            Self::Sketch(slots) => fold_doubles(slots, argument_of(argument), selected, groups),
            Self::Text(greatest, slots) => {
                fold_texts(*greatest, slots, argument_of(argument), selected, groups);
            }
        }
    }

    /// Counts a row whose value could not be worked out, so that the sum has no number instead of a wrong one.
    pub(crate) fn fail(&mut self, group: usize) {
        match self {
            Self::Sum(slots) => slots[group].add(None),
            Self::Moments(slots) => slots[group].add(None),
            Self::Sketch(slots) => slots.add(group, None),
            _ => {}
        }
    }
}

/// Counts the selected rows of each group.
pub(crate) fn count(slots: &mut [i64], selected: Option<&BooleanBuffer>, groups: &[u32]) {
    match selected {
        None => groups.iter().for_each(|group| slots[at(*group)] += 1),
        Some(selected) => selected
            .set_indices()
            .for_each(|row| slots[at(groups[row])] += 1),
    }
}

/// Calls `add` with the slot and the value of each selected row.
#[inline]
fn fold<S, V: Copy>(
    slots: &mut [S],
    values: &[V],
    selected: Option<&BooleanBuffer>,
    groups: &[u32],
    add: impl Fn(&mut S, V),
) {
    match selected {
        None => groups
            .iter()
            .zip(values)
            .for_each(|(group, value)| add(&mut slots[at(*group)], *value)),
        Some(selected) => selected
            .set_indices()
            .for_each(|row| add(&mut slots[at(groups[row])], values[row])),
    }
}

#[inline]
fn greater<V: Copy + Ord>(slot: &mut Option<V>, value: V) {
    if slot.is_none_or(|old| value > old) {
        *slot = Some(value);
    }
}

#[inline]
fn less<V: Copy + Ord>(slot: &mut Option<V>, value: V) {
    if slot.is_none_or(|old| value < old) {
        *slot = Some(value);
    }
}

fn argument_of(argument: Option<&ArrayRef>) -> &ArrayRef {
    argument.expect("only count has no argument")
}

/// Adds whole numbers and decimals in minor units.
fn fold_numbers<S>(
    slots: &mut [S],
    argument: Option<&ArrayRef>,
    selected: Option<&BooleanBuffer>,
    groups: &[u32],
    add: impl Fn(&mut S, Option<i64>),
) {
    let array = argument_of(argument);
    match array.data_type() {
        DataType::Int16 => fold(
            slots,
            array.as_primitive::<Int16Type>().values(),
            selected,
            groups,
            |slot, value| {
                add(slot, Some(value.into()));
            },
        ),
        DataType::Int32 => fold(
            slots,
            array.as_primitive::<Int32Type>().values(),
            selected,
            groups,
            |slot, value| {
                add(slot, Some(value.into()));
            },
        ),
        DataType::Int64 => fold(
            slots,
            array.as_primitive::<Int64Type>().values(),
            selected,
            groups,
            |slot, value| {
                add(slot, Some(value));
            },
        ),
        DataType::Decimal128(..) => {
            fold(
                slots,
                array.as_primitive::<Decimal128Type>().values(),
                selected,
                groups,
                |slot, value| {
                    add(slot, i64::try_from(value).ok());
                },
            );
        }
        other => panic!("a sum over {other}; sums are over whole numbers and decimals"),
    }
}

/// Compares values that are integers or order as integers do.
fn fold_ordered(
    slots: &mut [Option<i64>],
    argument: Option<&ArrayRef>,
    selected: Option<&BooleanBuffer>,
    groups: &[u32],
    take: impl Fn(&mut Option<i64>, i64),
) {
    let array = argument_of(argument);
    match array.data_type() {
        DataType::Int16 => fold(
            slots,
            array.as_primitive::<Int16Type>().values(),
            selected,
            groups,
            |slot, value| {
                take(slot, value.into());
            },
        ),
        DataType::Int32 => fold(
            slots,
            array.as_primitive::<Int32Type>().values(),
            selected,
            groups,
            |slot, value| {
                take(slot, value.into());
            },
        ),
        DataType::Int64 => fold(
            slots,
            array.as_primitive::<Int64Type>().values(),
            selected,
            groups,
            take,
        ),
        DataType::Date32 => {
            fold(
                slots,
                array.as_primitive::<Date32Type>().values(),
                selected,
                groups,
                |slot, value| {
                    take(slot, value.into());
                },
            );
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            fold(
                slots,
                array.as_primitive::<TimestampMicrosecondType>().values(),
                selected,
                groups,
                take,
            );
        }
        DataType::Float64 => {
            fold(
                slots,
                array.as_primitive::<Float64Type>().values(),
                selected,
                groups,
                |slot, value| {
                    take(slot, ordered(value));
                },
            );
        }
        DataType::Boolean => {
            let values: Vec<i64> = array.as_boolean().values().iter().map(i64::from).collect();
            fold(slots, &values, selected, groups, take);
        }
        other => panic!("a minimum or maximum over {other}, which is no type of the job file"),
    }
}

/// The selected rows.
fn selected_rows<'a>(
    selected: Option<&'a BooleanBuffer>,
    groups: &'a [u32],
) -> Box<dyn Iterator<Item = usize> + 'a> {
    match selected {
        None => Box::new(0..groups.len()),
        Some(selected) => Box::new(selected.set_indices()),
    }
}

/// Adds numbers to counts of buckets; decimals in minor units.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bucket is wider than what rounding moves a value by"
)]
fn fold_doubles(
    slots: &mut SketchSlots,
    array: &ArrayRef,
    selected: Option<&BooleanBuffer>,
    groups: &[u32],
) {
    let rows = selected_rows(selected, groups);
    let mut add = |row: usize, value: f64| slots.add(at(groups[row]), Some(value));
    match array.data_type() {
        DataType::Int16 => {
            let values = array.as_primitive::<Int16Type>().values();
            rows.for_each(|row| add(row, values[row].into()));
        }
        DataType::Int32 => {
            let values = array.as_primitive::<Int32Type>().values();
            rows.for_each(|row| add(row, values[row].into()));
        }
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values();
            rows.for_each(|row| add(row, values[row] as f64));
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            rows.for_each(|row| add(row, values[row]));
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            rows.for_each(|row| add(row, values[row] as f64));
        }
        other => panic!("a quantile over {other}; they are over numbers"),
    }
}

fn fold_texts(
    greatest: bool,
    slots: &mut [Option<Box<str>>],
    array: &ArrayRef,
    selected: Option<&BooleanBuffer>,
    groups: &[u32],
) {
    let texts = Text::of(array).expect("a statistic over text reads text");
    let mut take = |row: usize| {
        let Some(text) = texts.value(row) else { return };
        let slot = &mut slots[at(groups[row])];
        let better = slot
            .as_deref()
            .is_none_or(|old| if greatest { text > old } else { text < old });
        if better {
            *slot = Some(text.into());
        }
    };
    match selected {
        None => (0..groups.len()).for_each(&mut take),
        Some(selected) => selected.set_indices().for_each(&mut take),
    }
}
