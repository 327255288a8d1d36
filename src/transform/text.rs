//! Reading varchar arrays, which come as `Utf8` or as `Dictionary(Int32, Utf8)`, batch by batch.
//!
//! Decoders choose the encoding by what a column holds, so everyone else reads through [`Text`] or turns the array into
//! the plain encoding with [`to_plain`].

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;

/// A varchar array in either encoding.
#[derive(Debug, Clone, Copy)]
pub enum Text<'a> {
    /// One text a row.
    Plain(&'a StringArray),
    /// One key a row; the values need not be distinct, and may hold nulls.
    Dictionary {
        /// Position in `values` of each row's text.
        keys: &'a Int32Array,
        /// The texts.
        values: &'a StringArray,
    },
}

impl<'a> Text<'a> {
    /// The array as text. Panics where it is of another type: the plan says which columns are varchar.
    pub fn new(array: &'a ArrayRef) -> Self {
        Self::of(array).expect("a varchar column is Utf8 or a dictionary of it")
    }

    /// The array as text; `None` where it is of another type.
    pub fn of(array: &'a ArrayRef) -> Option<Self> {
        if let Some(plain) = array.as_string_opt::<i32>() {
            return Some(Self::Plain(plain));
        }
        let dictionary = array.as_dictionary_opt::<Int32Type>()?;
        Some(Self::Dictionary {
            keys: dictionary.keys(),
            values: dictionary.values().as_string_opt::<i32>()?,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(texts) => texts.len(),
            Self::Dictionary { keys, .. } => keys.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of a row; `None` for null. Panics where there is no such row.
    #[inline]
    pub fn value(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Dictionary { keys, values } => {
                if keys.is_null(row) {
                    return None;
                }
                let value =
                    usize::try_from(keys.value(row)).expect("keys of valid rows are not negative");
                values.is_valid(value).then(|| values.value(value))
            }
        }
    }

    /// The texts, row by row.
    pub fn iter(self) -> impl Iterator<Item = Option<&'a str>> {
        (0..self.len()).map(move |row| self.value(row))
    }
}

/// The array in the plain encoding; arrays that are no dictionaries come back as they are.
///
/// Cost: a dictionary's texts are copied once a row.
pub fn to_plain(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Dictionary(_, values) => {
            cast(array, values).expect("a dictionary can be cast to its values' type")
        }
        _ => Arc::clone(array),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{DictionaryArray, Int64Array};

    use super::*;

    #[test]
    fn both_encodings_read_the_same() {
        let rows = [Some("a"), None, Some("ñ"), Some("a"), Some("")];
        let plain: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
        let dictionary: ArrayRef =
            Arc::new(rows.into_iter().collect::<DictionaryArray<Int32Type>>());
        for array in [&plain, &dictionary] {
            let text = Text::of(array).unwrap();
            assert_eq!(text.len(), 5);
            assert_eq!(text.iter().collect::<Vec<_>>(), rows);
            assert_eq!(&to_plain(array), &plain);
        }
        assert!(Arc::ptr_eq(&to_plain(&plain), &plain));
    }

    #[test]
    fn a_null_among_the_values_reads_as_null() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let array: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(
            Int32Array::from(vec![Some(1), Some(0), None]),
            values,
        ));
        assert_eq!(
            Text::of(&array).unwrap().iter().collect::<Vec<_>>(),
            [None, Some("a"), None]
        );
    }

    #[test]
    fn other_types_are_no_text_and_empty_arrays_are() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(Text::of(&numbers).is_none());
        let empty: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
        assert!(Text::of(&empty).unwrap().is_empty());
    }
}
