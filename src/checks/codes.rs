//! Small dense numbers for values and for pairs, so that grouping is an index into an array.
//!
//! A batch has tens of thousands of rows and few segments and windows. Where the values of a batch lie close together a
//! table finds the number of each by one load; else a hash map does. Numbers last until the reducer is drained.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, StringArray};
use arrow_schema::{DataType, TimeUnit};
use hashbrown::HashMap;

use super::value::{Value, ordered};

/// No number yet.
const NONE: u32 = u32::MAX;

/// Largest table that is cleared for each batch, in entries. 64 KiB entries take 256 KiB and about 10 µs to clear, which is
/// below 1 ns a row; more would not stay in a core's cache.
const TABLE: u64 = 1 << 16;

/// An index from a dense number.
#[inline]
#[expect(
    clippy::as_conversions,
    reason = "u32 always fits into usize here, and this stands in the hot loops"
)]
pub(crate) fn at(number: u32) -> usize {
    number as usize
}

/// A dense number from a length.
pub(crate) fn dense(length: usize) -> u32 {
    u32::try_from(length)
        .ok()
        .filter(|number| *number != NONE)
        .expect("fewer than 2^32 - 1 groups fit into memory")
}

/// The numbers of the values of one column.
#[derive(Debug, Default)]
pub(crate) struct ValueCodes {
    values: Vec<Value>,
    null: Option<u32>,
    ints: HashMap<i64, u32>,
    wides: HashMap<i128, u32>,
    texts: HashMap<Box<str>, u32>,
    table: Vec<u32>,
    scratch: Vec<i64>,
}

impl ValueCodes {
    /// How many numbers have been given.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value of a number.
    pub(crate) fn value(&self, code: u32) -> &Value {
        &self.values[at(code)]
    }

    /// Forgets all values.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.null = None;
        self.ints.clear();
        self.wides.clear();
        self.texts.clear();
    }

    /// The number of each value, put into `codes`.
    ///
    /// Panics on arrays of a type that the job file does not have.
    pub(crate) fn assign(&mut self, array: &dyn Array, codes: &mut Vec<u32>) {
        codes.clear();
        match array.data_type() {
            DataType::Int16 => self.integers(array.as_primitive::<Int16Type>().values(), codes),
            DataType::Int32 => self.integers(array.as_primitive::<Int32Type>().values(), codes),
            DataType::Int64 => self.integers(array.as_primitive::<Int64Type>().values(), codes),
            DataType::Date32 => self.integers(array.as_primitive::<Date32Type>().values(), codes),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.integers(
                    array.as_primitive::<TimestampMicrosecondType>().values(),
                    codes,
                );
            }
            DataType::Boolean => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                scratch.extend(array.as_boolean().values().iter().map(i64::from));
                self.integers(&scratch, codes);
                self.scratch = scratch;
            }
            DataType::Float64 => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                scratch.extend(
                    array
                        .as_primitive::<Float64Type>()
                        .values()
                        .iter()
                        .map(|value| ordered(*value)),
                );
                self.integers(&scratch, codes);
                self.scratch = scratch;
            }
            DataType::Decimal128(..) => {
                let Self { values, wides, .. } = self;
                codes.extend(array.as_primitive::<Decimal128Type>().values().iter().map(
                    |&value| {
                        *wides.entry(value).or_insert_with(|| {
                            values.push(Value::Wide(value));
                            dense(values.len() - 1)
                        })
                    },
                ));
            }
            DataType::Utf8 => {
                let Self { values, texts, .. } = self;
                codes.extend(
                    (0..array.len())
                        .map(|row| text_code(values, texts, array.as_string::<i32>().value(row))),
                );
            }
            DataType::Dictionary(..) => {
                // Only the values that rows have: a dictionary may be shared by batches and hold many more.
                let Self {
                    values,
                    texts,
                    table,
                    ..
                } = self;
                let dictionary = array.as_dictionary::<Int32Type>();
                let words: &StringArray = dictionary.values().as_string();
                table.clear();
                table.resize(words.len(), NONE);
                codes.extend(dictionary.keys().values().iter().map(|&key| {
                    // The keys of null rows may be anything.
                    let Some((key, entry)) = usize::try_from(key)
                        .ok()
                        .and_then(|key| Some((key, table.get_mut(key)?)))
                    else {
                        return NONE;
                    };
                    if *entry == NONE {
                        *entry = text_code(values, texts, words.value(key));
                    }
                    *entry
                }));
            }
            other => panic!("{other} is no type of the job file"),
        }
        // Null rows got the number of whatever stands under them; such a value makes no group.
        if let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            let null = *self.null.get_or_insert_with(|| {
                self.values.push(Value::Null);
                dense(self.values.len() - 1)
            });
            for row in (!nulls.inner()).set_indices() {
                codes[row] = null;
            }
        }
    }

    fn integers<T: Copy + Ord + Into<i64>>(&mut self, array: &[T], codes: &mut Vec<u32>) {
        let (Some(least), Some(greatest)) =
            (array.iter().copied().min(), array.iter().copied().max())
        else {
            return;
        };
        let (least, greatest): (i64, i64) = (least.into(), greatest.into());
        let Self {
            values,
            ints,
            table,
            ..
        } = self;
        let mut number = |value: i64| {
            *ints.entry(value).or_insert_with(|| {
                values.push(Value::Int(value));
                dense(values.len() - 1)
            })
        };
        if greatest.abs_diff(least) < TABLE {
            table.clear();
            table.resize(offset(greatest, least) + 1, NONE);
            codes.extend(array.iter().map(|&value| {
                let value = value.into();
                let entry = &mut table[offset(value, least)];
                if *entry == NONE {
                    *entry = number(value);
                }
                *entry
            }));
        } else {
            codes.extend(array.iter().map(|&value| number(value.into())));
        }
    }
}

/// The number of a text.
fn text_code(values: &mut Vec<Value>, texts: &mut HashMap<Box<str>, u32>, text: &str) -> u32 {
    texts.get(text).copied().unwrap_or_else(|| {
        values.push(Value::Text(text.into()));
        let code = dense(values.len() - 1);
        texts.insert(text.into(), code);
        code
    })
}

/// `value - least` as an index; both are known to be less than [`TABLE`] apart.
#[inline]
#[expect(
    clippy::as_conversions,
    reason = "the distance is below TABLE, and this stands in the hot loops"
)]
#[expect(clippy::cast_possible_truncation, reason = "as above")]
fn offset(value: i64, least: i64) -> usize {
    value.wrapping_sub(least).cast_unsigned() as usize
}

/// The numbers of pairs of a dense number and an integer.
#[derive(Debug, Default)]
pub(crate) struct PairCodes {
    pairs: Vec<(u32, i64)>,
    numbers: HashMap<(u32, i64), u32>,
    table: Vec<u32>,
}

impl PairCodes {
    /// The pairs, in the order of their numbers.
    pub(crate) fn pairs(&self) -> &[(u32, i64)] {
        &self.pairs
    }

    /// Forgets all pairs.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
        self.numbers.clear();
    }

    /// The number of each pair, put into `codes`. All of `left` are below `lefts`; `right` lies in `range`.
    pub(crate) fn assign(
        &mut self,
        left: &[u32],
        lefts: usize,
        right: &[i64],
        range: (i64, i64),
        codes: &mut Vec<u32>,
    ) {
        codes.clear();
        let Self {
            pairs,
            numbers,
            table,
        } = self;
        let mut number = |pair: (u32, i64)| {
            *numbers.entry(pair).or_insert_with(|| {
                pairs.push(pair);
                dense(pairs.len() - 1)
            })
        };
        let width = range.1.abs_diff(range.0).saturating_add(1);
        let size = u64::try_from(lefts)
            .unwrap_or(u64::MAX)
            .saturating_mul(width);
        if size <= TABLE {
            let width = offset(range.1, range.0) + 1;
            table.clear();
            table.resize(lefts * width, NONE);
            codes.extend(left.iter().zip(right).map(|(&left, &right)| {
                let entry = &mut table[at(left) * width + offset(right, range.0)];
                if *entry == NONE {
                    *entry = number((left, right));
                }
                *entry
            }));
        } else {
            codes.extend(
                left.iter()
                    .zip(right)
                    .map(|(&left, &right)| number((left, right))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
        Int64Array,
    };

    use super::*;

    fn read(codes: &mut ValueCodes, array: &dyn Array) -> Vec<Value> {
        let mut numbers = Vec::new();
        codes.assign(array, &mut numbers);
        numbers
            .iter()
            .map(|number| codes.value(*number).clone())
            .collect()
    }

    #[test]
    fn equal_values_have_one_number_in_all_batches() {
        let mut codes = ValueCodes::default();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        codes.assign(
            &Int32Array::from(vec![Some(7), None, Some(-3), Some(7)]),
            &mut first,
        );
        codes.assign(
            &Int32Array::from(vec![Some(1_000_000), Some(-3), None]),
            &mut second,
        );
        assert_eq!(first[0], first[3]);
        assert_eq!(first[2], second[1]);
        assert_eq!(first[1], second[2]);
        assert_eq!(codes.value(second[0]), &Value::Int(1_000_000));
        assert_eq!(codes.value(first[1]), &Value::Null);
    }

    #[test]
    fn every_type_gives_its_values_back() {
        let text = |text: &str| Value::Text(text.into());
        let arrays: Vec<(ArrayRef, Vec<Value>)> = vec![
            (
                Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
                vec![Value::Int(i64::MIN), Value::Int(i64::MAX)],
            ),
            (
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
                vec![Value::Int(1), Value::Null, Value::Int(0)],
            ),
            (
                Arc::new(Float64Array::from(vec![0.5, -0.0])),
                vec![Value::Int(ordered(0.5)), Value::Int(0)],
            ),
            (
                Arc::new(Decimal128Array::from(vec![Some(5), None])),
                vec![Value::Wide(5), Value::Null],
            ),
            (
                Arc::new(StringArray::from(vec![Some("a"), None, Some("")])),
                vec![text("a"), Value::Null, text("")],
            ),
            (
                Arc::new(
                    vec![Some("b"), None, Some("a"), Some("b")]
                        .into_iter()
                        .collect::<DictionaryArray<Int32Type>>(),
                ),
                vec![text("b"), Value::Null, text("a"), text("b")],
            ),
            (Arc::new(Int32Array::from(Vec::<i32>::new())), vec![]),
        ];
        for (array, expected) in arrays {
            assert_eq!(read(&mut ValueCodes::default(), &array), expected);
        }
    }

    #[test]
    fn one_text_is_one_value_in_every_encoding() {
        let mut codes = ValueCodes::default();
        let plain = read(&mut codes, &StringArray::from(vec!["x", "y"]));
        let dictionary = read(
            &mut codes,
            &vec!["x", "y"]
                .into_iter()
                .collect::<DictionaryArray<Int32Type>>(),
        );
        assert_eq!(plain, dictionary);
        assert_eq!(codes.len(), 2);
    }

    #[test]
    fn pairs_are_numbered_the_same_by_table_and_by_map() {
        let mut near = PairCodes::default();
        let mut far = PairCodes::default();
        let (left, right) = ([0, 1, 0, 1, 0], [5, 5, 5, 6, 7]);
        let (mut by_table, mut by_map) = (Vec::new(), Vec::new());
        near.assign(&left, 2, &right, (5, 7), &mut by_table);
        far.assign(&left, 2, &right, (i64::MIN, i64::MAX), &mut by_map);
        assert_eq!(by_table, [0, 1, 0, 2, 3]);
        assert_eq!(by_table, by_map);
        assert_eq!(near.pairs(), [(0, 5), (1, 5), (1, 6), (0, 7)]);
    }
}
