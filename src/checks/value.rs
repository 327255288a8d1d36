//! Single values outside Arrow arrays: segments, and least and greatest values.
//!
//! A segment is a key that is exchanged, ordered and kept, so it has to be an owned, ordered, serialisable value. All types
//! are mapped onto four shapes whose own order is the order of the type; the column's type says how to read them back.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_schema::{DataType, TimeUnit};
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::cluster::exchange;

/// A value of any type of the job file.
///
/// Order: null first, then as the column's type orders (all values of a column have one shape).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Booleans (0, 1), integers, dates (days), timestamps (microseconds), doubles (as [`ordered`] bits).
    Int(i64),
    /// Decimals, in minor units.
    Wide(i128),
    /// Text.
    Text(Box<str>),
}

/// The values of a window's `per` columns, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Segment(pub Box<[Value]>);

/// A double as an integer with the same order; its own inverse through [`double`]. −0 becomes 0 and all NaN are one, above
/// all numbers.
pub(crate) fn ordered(value: f64) -> i64 {
    let plain = if value.is_nan() {
        f64::NAN.abs()
    } else {
        value + 0.0
    };
    flip(plain.to_bits().cast_signed())
}

/// The double that [`ordered`] was made from.
pub(crate) fn double(ordered: i64) -> f64 {
    f64::from_bits(flip(ordered).cast_unsigned())
}

/// Flips all bits but the sign of negative numbers, so that sign and magnitude order as two's complement does.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Segment {
    /// What decides the segment's bin: our own pinned hash, which for integers and text is that of rows with this key.
    pub fn placement(&self) -> u64 {
        let of_value = |value: &Value| match value {
            Value::Null => exchange::NULL_HASH,
            Value::Int(value) => exchange::mix(value.cast_unsigned()),
            Value::Wide(value) => exchange::hash_bytes(&value.to_le_bytes()),
            Value::Text(text) => exchange::hash_bytes(text.as_bytes()),
        };
        self.0
            .iter()
            .fold(0, |hash, value| exchange::mix(hash ^ of_value(value)))
    }

    /// `region_id=5, channel=web`, for people and for verdicts; null is `null`; no columns give no text.
    pub fn text<'a>(&self, columns: impl IntoIterator<Item = (&'a str, &'a DataType)>) -> String {
        let mut text = String::new();
        for (value, (name, data_type)) in self.0.iter().zip(columns) {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push('=');
            value.write(data_type, &mut text);
        }
        text
    }
}

impl Value {
    /// The value as people write it: ISO 8601 times in UTC, exact decimals.
    fn write(&self, data_type: &DataType, text: &mut String) {
        let written = match (self, data_type) {
            (Self::Null, _) => write!(text, "null"),
            (Self::Int(value), DataType::Boolean) => write!(text, "{}", *value != 0),
            (Self::Int(value), DataType::Float64) => write!(text, "{}", double(*value)),
            (Self::Int(days), DataType::Date32) => match DateTime::from_timestamp(days * 86_400, 0)
            {
                Some(time) => write!(text, "{}", time.date_naive()),
                None => write!(text, "{days} days"),
            },
            (Self::Int(micros), DataType::Timestamp(..)) => {
                match DateTime::from_timestamp_micros(*micros) {
                    Some(time) => {
                        write!(text, "{}", time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.fZ"))
                    }
                    None => write!(text, "{micros} µs"),
                }
            }
            (Self::Int(value), _) => write!(text, "{value}"),
            (Self::Wide(value), DataType::Decimal128(_, scale)) => {
                write!(text, "{}", decimal(*value, *scale))
            }
            (Self::Wide(value), _) => write!(text, "{value}"),
            (Self::Text(value), _) => write!(text, "{value}"),
        };
        written.expect("writing to a string does not fail");
    }
}

fn decimal(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if part.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    }
}

/// Values as an array of this type, one of those of the job file.
///
/// Panics where a value has not the shape of the type, or the type is none of the job file.
pub(crate) fn array<'a>(values: impl Iterator<Item = &'a Value>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::new();
            values.for_each(|value| builder.append_option(int(value).map(|value| value != 0)));
            Arc::new(builder.finish())
        }
        DataType::Int16 => integers::<Int16Type>(values, data_type),
        DataType::Int32 => integers::<Int32Type>(values, data_type),
        DataType::Int64 => integers::<Int64Type>(values, data_type),
        DataType::Date32 => integers::<Date32Type>(values, data_type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            integers::<TimestampMicrosecondType>(values, data_type)
        }
        DataType::Float64 => {
            let mut builder = Float64Builder::new();
            values.for_each(|value| builder.append_option(int(value).map(double)));
            Arc::new(builder.finish())
        }
        DataType::Decimal128(..) => {
            let mut builder = Decimal128Builder::new().with_data_type(data_type.clone());
            for value in values {
                builder.append_option(match value {
                    Value::Null => None,
                    Value::Wide(value) => Some(*value),
                    other => panic!("{other:?} stands in a column of decimals"),
                });
            }
            Arc::new(builder.finish())
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            for value in values {
                builder.append_option(match value {
                    Value::Null => None,
                    Value::Text(value) => Some(&**value),
                    other => panic!("{other:?} stands in a column of text"),
                });
            }
            Arc::new(builder.finish())
        }
        other => panic!("{other} is no type of the job file"),
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Null => None,
        Value::Int(value) => Some(*value),
        other => panic!("{other:?} stands in a column of whole numbers"),
    }
}

fn integers<'a, T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
    values: impl Iterator<Item = &'a Value>,
    data_type: &DataType,
) -> ArrayRef {
    let mut builder = PrimitiveBuilder::<T>::new().with_data_type(data_type.clone());
    for value in values {
        let native = int(value).map(|value| {
            T::Native::try_from(value)
                .ok()
                .expect("the value was read from this type")
        });
        builder.append_option(native);
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::plan::timestamp_type;

    #[test]
    fn doubles_keep_their_order_and_come_back() {
        let values = [
            f64::NEG_INFINITY,
            -1.5,
            -1e-300,
            0.0,
            1e-300,
            1.5,
            f64::INFINITY,
        ];
        let mapped: Vec<i64> = values.iter().map(|value| ordered(*value)).collect();
        assert!(mapped.is_sorted());
        for (value, mapped) in values.iter().zip(mapped) {
            assert_eq!(double(mapped).to_bits(), value.to_bits());
        }
        assert_eq!(ordered(-0.0), ordered(0.0));
        assert_eq!(ordered(f64::NAN), ordered(-f64::NAN));
        assert!(ordered(f64::NAN) > ordered(f64::INFINITY));
    }

    #[test]
    fn a_segment_is_placed_where_rows_with_its_key_are() {
        let numbers: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![Some(5), None]));
        let texts: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["web", "shop"]));
        let rows = exchange::hash_rows(&[numbers, texts], 2);
        let segments = [
            Segment(Box::new([Value::Int(5), Value::Text("web".into())])),
            Segment(Box::new([Value::Null, Value::Text("shop".into())])),
        ];
        assert_eq!(segments.map(|segment| segment.placement()), rows[..]);
        assert_eq!(
            Segment(Box::new([Value::Wide(-1)])).placement(),
            exchange::mix(exchange::hash_bytes(&[0xff; 16]))
        );
    }

    #[test]
    fn segments_read_as_people_write_them() {
        let values = [
            (Value::Int(5), "region_id", DataType::Int32),
            (Value::Null, "zone", DataType::Utf8),
            (Value::Text("web".into()), "channel", DataType::Utf8),
            (Value::Wide(-5), "price", DataType::Decimal128(12, 2)),
            (Value::Int(20_526), "day", DataType::Date32),
            (Value::Int(1_773_446_400_500_000), "at", timestamp_type()),
            (Value::Int(1), "open", DataType::Boolean),
        ];
        let segment = Segment(values.iter().map(|(value, ..)| value.clone()).collect());
        assert_eq!(
            segment.text(values.iter().map(|(_, name, data_type)| (*name, data_type))),
            "region_id=5, zone=null, channel=web, price=-0.05, day=2026-03-14, at=2026-03-14T00:00:00.500Z, open=true"
        );
        assert_eq!(Segment::default().text([]), "");
    }

    #[test]
    fn arrays_have_the_asked_type_and_nulls() {
        for data_type in [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Date32,
            DataType::Float64,
            timestamp_type(),
        ] {
            let array = array([Value::Null, Value::Int(1)].iter(), &data_type);
            assert_eq!(array.data_type(), &data_type);
            assert_eq!(array.null_count(), 1);
        }
        assert_eq!(
            array([Value::Wide(1)].iter(), &DataType::Decimal128(18, 2)).data_type(),
            &DataType::Decimal128(18, 2)
        );
        assert_eq!(
            array(
                [Value::Text("a".into()), Value::Null].iter(),
                &DataType::Utf8
            )
            .null_count(),
            1
        );
    }
}
