//! Values of JSON, column by column: how a column is written is decided once a batch, and a text that rows share is escaped once.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

use super::scalar::{push_date, push_decimal, push_double, push_integer, push_timestamp};
use crate::job::plan::Decimals;

/// How many times more texts than rows a dictionary may have and yet have all of them escaped at once. Batches of one row share the
/// dictionary of a whole file now and then.
const WORTH_ALL: usize = 2;

/// Most bytes that a byte of a text takes when it is escaped: `\u001f`.
pub(super) const MOST_ESCAPED: usize = 6;

/// A column as JSON has it.
pub(super) struct JsonColumn<'a> {
    nulls: Option<&'a NullBuffer>,
    values: JsonValues<'a>,
}

enum JsonValues<'a> {
    Boolean(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Number(&'a PrimitiveArray<Decimal128Type>, i8),
    Quoted(&'a PrimitiveArray<Decimal128Type>, i8),
    Date(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    Text(&'a StringArray),
    /// Keys, and all texts escaped, quoted and one after the other.
    Escaped(&'a PrimitiveArray<Int32Type>, Texts),
    /// A dictionary that is larger than what rows take of it.
    Coded(&'a PrimitiveArray<Int32Type>, &'a StringArray),
}

/// Texts one after the other.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    fn escaped(values: &StringArray) -> Self {
        let mut bytes = Vec::with_capacity(values.value_data().len() + 2 * values.len());
        let ends = values.iter().map(|value| {
            match value {
                Some(text) => push_text(&mut bytes, text),
                None => bytes.extend_from_slice(b"null"),
            }
            bytes.len()
        });
        Self {
            ends: ends.collect(),
            bytes,
        }
    }
}

impl<'a> JsonColumn<'a> {
    /// Looks at a column, whose type is one that [`super::scalar::is_plain`] allows.
    pub(super) fn of(array: &'a ArrayRef, decimals: Decimals) -> Self {
        let array: &dyn Array = array.as_ref();
        let values = match array.data_type() {
            DataType::Boolean => JsonValues::Boolean(array.as_boolean()),
            DataType::Int16 => JsonValues::Int16(array.as_primitive()),
            DataType::Int32 => JsonValues::Int32(array.as_primitive()),
            DataType::Int64 => JsonValues::Int64(array.as_primitive()),
            DataType::Float64 => JsonValues::Double(array.as_primitive()),
            DataType::Decimal128(_, scale) => match decimals {
                Decimals::Number => JsonValues::Number(array.as_primitive(), *scale),
                Decimals::Text => JsonValues::Quoted(array.as_primitive(), *scale),
            },
            DataType::Date32 => JsonValues::Date(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                JsonValues::Timestamp(array.as_primitive())
            }
            DataType::Utf8 => JsonValues::Text(array.as_string()),
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_dictionary::<Int32Type>();
                let (keys, values) = (dictionary.keys(), dictionary.values().as_string());
                if values.len() <= WORTH_ALL * keys.len() {
                    JsonValues::Escaped(keys, Texts::escaped(values))
                } else {
                    JsonValues::Coded(keys, values)
                }
            }
            other => unreachable!(
                "columns are brought to the plan's types before they are written, not {other}"
            ),
        };
        Self {
            nulls: array.nulls(),
            values,
        }
    }

    /// Appends the value of a row.
    #[inline]
    pub(super) fn push(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return out.extend_from_slice(b"null");
        }
        match &self.values {
            JsonValues::Boolean(array) => {
                let word: &[u8] = if array.value(row) { b"true" } else { b"false" };
                out.extend_from_slice(word);
            }
            JsonValues::Int16(array) => push_integer(out, i64::from(array.value(row))),
            JsonValues::Int32(array) => push_integer(out, i64::from(array.value(row))),
            JsonValues::Int64(array) => push_integer(out, array.value(row)),
            JsonValues::Double(array) => match array.value(row) {
                value if value.is_finite() => push_double(out, value),
                _ => out.extend_from_slice(b"null"),
            },
            JsonValues::Number(array, scale) => push_decimal(out, array.value(row), *scale),
            JsonValues::Quoted(array, scale) => {
                out.push(b'"');
                push_decimal(out, array.value(row), *scale);
                out.push(b'"');
            }
            JsonValues::Date(array) => {
                out.push(b'"');
                push_date(out, array.value(row));
                out.push(b'"');
            }
            JsonValues::Timestamp(array) => {
                out.push(b'"');
                push_timestamp(out, array.value(row), b'T');
                out.extend_from_slice(b"Z\"");
            }
            JsonValues::Text(array) => push_text(out, array.value(row)),
            JsonValues::Escaped(keys, texts) => out.extend_from_slice(texts.get(key(keys, row))),
            JsonValues::Coded(keys, values) => match key(keys, row) {
                code if values.is_null(code) => out.extend_from_slice(b"null"),
                code => push_text(out, values.value(code)),
            },
        }
    }
}

fn key(keys: &PrimitiveArray<Int32Type>, row: usize) -> usize {
    usize::try_from(keys.value(row)).expect("dictionary keys are not negative")
}

/// Most bytes that a value of this type takes, but for texts.
pub(super) fn most_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean => 5,
        DataType::Int16 => 6,
        DataType::Int32 => 11,
        DataType::Int64 => 20,
        DataType::Float64 => 24,
        // Digits, sign, point, a nought before it, quotes, and noughts of a scale below zero.
        DataType::Decimal128(_, scale) => {
            44 + usize::from(scale.unsigned_abs()) * usize::from(*scale < 0)
        }
        DataType::Date32 => 16,
        DataType::Timestamp(_, _) => 34,
        // Null, or the quotes.
        _ => 4,
    }
}

/// Appends a text in quotes, as `serde_json` writes it.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    if needs_escape(text.as_bytes()) {
        return serde_json::to_writer(&mut *out, text).expect("a vector takes every text");
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether a byte stands in the text that JSON has no place for. Sixteen at a time, which compilers make a few instructions of.
fn needs_escape(bytes: &[u8]) -> bool {
    let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    let (chunks, rest) = bytes.as_chunks::<16>();
    let any = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | is_special(byte));
    chunks.iter().any(|chunk| any(chunk)) || any(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Float64Array, Int32Array};

    use super::*;

    fn written(array: &ArrayRef) -> Vec<String> {
        let column = JsonColumn::of(array, Decimals::Number);
        let each = (0..array.len()).map(|row| {
            let mut out = Vec::new();
            column.push(row, &mut out);
            String::from_utf8(out).unwrap()
        });
        each.collect()
    }

    #[test]
    fn texts_are_as_the_library_writes_them_wherever_what_is_escaped_stands() {
        let mut texts = vec![
            String::new(),
            "a".repeat(40),
            "ñandú 💶 \u{2028}\u{7f}".to_owned(),
        ];
        for special in [
            '"', '\\', '\n', '\u{1}', '\u{1f}', '\u{0}', '\t', '/', '\u{8}',
        ] {
            for before in [0, 1, 15, 16, 17, 31, 33] {
                texts.push(format!("{}{special}é", "x".repeat(before)));
            }
        }
        let wanted: Vec<String> = texts
            .iter()
            .map(|text| serde_json::to_string(text).unwrap())
            .collect();
        let plain: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        assert_eq!(written(&plain), wanted);
        let keys: Vec<i32> = (0..).take(texts.len()).collect();
        let values: ArrayRef = Arc::new(StringArray::from(texts));
        let coded = DictionaryArray::new(Int32Array::from(keys), values);
        let all: ArrayRef = Arc::new(coded.clone());
        assert_eq!(written(&all), wanted);
        // A slice whose dictionary is larger than it.
        let slice: ArrayRef = Arc::new(coded.slice(3, 2));
        assert_eq!(written(&slice), wanted[3..5]);
    }

    #[test]
    fn nulls_are_found_in_keys_and_in_dictionaries() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b"), None]));
        let coded = DictionaryArray::new(
            Int32Array::from(vec![Some(2), None, Some(1), Some(0)]),
            Arc::clone(&values),
        );
        let all: ArrayRef = Arc::new(coded.clone());
        assert_eq!(written(&all), ["\"b\"", "null", "null", "\"a\""]);
        let one: ArrayRef = Arc::new(coded.slice(2, 1));
        assert_eq!(written(&one), ["null"]);
        let nothing: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NAN, 1e300]));
        assert_eq!(written(&nothing), ["null", "null", "1e300"]);
    }

    #[test]
    fn no_value_is_longer_than_the_most_that_is_reckoned_with() {
        use arrow_array::{
            Date32Array, Decimal128Array, Int16Array, Int64Array, TimestampMicrosecondArray,
        };
        let most = 10_i128.pow(38) - 1;
        let decimal = |scale| -> ArrayRef {
            let array = Decimal128Array::from(vec![-most, most, 0, -1]);
            Arc::new(array.with_precision_and_scale(38, scale).unwrap())
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![false, true])),
            Arc::new(Int16Array::from(vec![i16::MIN])),
            Arc::new(Int32Array::from(vec![i32::MIN])),
            Arc::new(Int64Array::from(vec![i64::MIN])),
            Arc::new(Float64Array::from(vec![
                f64::MIN,
                -f64::MIN_POSITIVE,
                -1.234_567_890_123_456_7e-300,
                f64::NEG_INFINITY,
            ])),
            decimal(0),
            decimal(38),
            decimal(-5),
            Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                i64::MIN,
                i64::MAX,
                -1,
            ])),
        ];
        for array in arrays {
            for decimals in [Decimals::Number, Decimals::Text] {
                let column = JsonColumn::of(&array, decimals);
                for row in 0..array.len() {
                    let mut out = Vec::new();
                    column.push(row, &mut out);
                    let text = String::from_utf8(out).unwrap();
                    assert!(text.len() <= most_bytes(array.data_type()), "{text}");
                }
            }
        }
    }
}
