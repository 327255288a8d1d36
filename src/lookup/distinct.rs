//! What a batch asks for: its distinct keys.

use std::hash::Hash;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use hashbrown::HashMap;

use super::columns::{NONE, integers};
use super::enrich::Keys;
use crate::transform::text::{self, Text};

/// The distinct keys of a batch's rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Distinct {
    /// For each row the number of its key; [`NONE`] where a part of the key is null, which finds nothing.
    pub(super) of_row: Vec<u32>,
    /// For each key the first row that has it.
    pub(super) first_rows: Vec<u32>,
}

impl Distinct {
    /// Finds the distinct keys, with their times in as-of look-ups. Cost: one probe a row, or, of a text that is
    /// dictionary-coded, one a distinct value.
    pub(super) fn new(keys: &Keys, rows: usize) -> Result<Self, ArrowError> {
        if let ([key], None) = (keys.on.as_slice(), &keys.at) {
            if let Some(values) = integers(key) {
                return Ok(number(values.into_iter()));
            }
            if let Some(dictionary) = key.as_dictionary_opt::<Int32Type>() {
                let values = Text::new(dictionary.values());
                let of_value = number(values.iter()).of_row;
                let codes = dictionary.keys().iter();
                let value = |code: i32| {
                    let value = of_value[usize::try_from(code).expect("codes are not negative")];
                    (value != NONE).then_some(value)
                };
                return Ok(number(codes.map(|code| code.and_then(value))));
            }
            if let Some(texts) = Text::of(key) {
                return Ok(number(texts.iter()));
            }
        }
        let columns: Vec<ArrayRef> = keys.on.iter().chain(&keys.at).map(text::to_plain).collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()));
        let encoded = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
        Ok(number((0..rows).map(|row| {
            let whole = columns.iter().all(|column| column.is_valid(row));
            whole.then(|| encoded.row(row).data())
        })))
    }
}

/// Numbers values in the order in which they come first.
fn number<K: Hash + Eq>(values: impl Iterator<Item = Option<K>>) -> Distinct {
    let mut numbers: HashMap<K, u32> = HashMap::new();
    let mut first_rows = Vec::new();
    let of_row = (0..)
        .zip(values)
        .map(|(row, value)| {
            let Some(value) = value else { return NONE };
            *numbers.entry(value).or_insert_with(|| {
                let number = u32::try_from(first_rows.len());
                first_rows.push(row);
                number.expect("a batch has fewer than 2^32 rows")
            })
        })
        .collect();
    Distinct { of_row, first_rows }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Int32Array, Int64Array, StringArray};

    use super::*;

    fn keys(on: Vec<ArrayRef>, at: Option<ArrayRef>) -> Distinct {
        let rows = on[0].len();
        Distinct::new(&Keys { on, at }, rows).unwrap()
    }

    #[test]
    fn equal_keys_are_asked_for_once_and_nulls_never() {
        let wanted = Distinct {
            of_row: vec![0, NONE, 1, 0, 1, 2],
            first_rows: vec![0, 2, 5],
        };
        let numbers = [Some(7), None, Some(-1), Some(7), Some(-1), Some(0)];
        let texts = [Some("b"), None, Some("a"), Some("b"), Some("a"), Some("")];
        assert_eq!(
            keys(vec![Arc::new(Int32Array::from(numbers.to_vec()))], None),
            wanted
        );
        assert_eq!(
            keys(vec![Arc::new(StringArray::from(texts.to_vec()))], None),
            wanted
        );
        let dictionary: DictionaryArray<Int32Type> = texts.into_iter().collect();
        assert_eq!(keys(vec![Arc::new(dictionary)], None), wanted);
        // A dictionary may hold a text twice, and nulls.
        let values: ArrayRef = Arc::new(StringArray::from(vec![
            Some("b"),
            Some("a"),
            None,
            Some("b"),
            Some(""),
        ]));
        let codes = Int32Array::from(vec![Some(0), Some(2), Some(1), Some(3), Some(1), Some(4)]);
        let dictionary = DictionaryArray::<Int32Type>::new(codes, values);
        assert_eq!(keys(vec![Arc::new(dictionary)], None), wanted);
    }

    #[test]
    fn every_part_of_a_key_and_its_time_count() {
        let one: ArrayRef = Arc::new(Int32Array::from(vec![
            Some(1),
            Some(1),
            None,
            Some(1),
            Some(2),
        ]));
        let two: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "a", "b", "a"]));
        let at: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(5),
            Some(6),
            Some(5),
            Some(5),
            None,
        ]));
        let both = keys(vec![Arc::clone(&one), Arc::clone(&two)], None);
        assert_eq!(both.of_row, [0, 0, NONE, 1, 2]);
        let timed = keys(vec![one, two], Some(Arc::clone(&at)));
        assert_eq!(timed.of_row, [0, 1, NONE, 2, NONE]);
        let only = keys(
            vec![Arc::new(Int32Array::from(vec![3, 3, 3, 4, 3]))],
            Some(at),
        );
        assert_eq!(only.of_row, [0, 1, 0, 2, NONE]);
        assert_eq!(only.first_rows, [0, 1, 3]);
    }
}
