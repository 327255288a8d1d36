//! Rows as data of Avro: the schema that a sink's columns make, and the bytes of a row.
//!
//! | column | Avro |
//! |---|---|
//! | boolean, double, varchar | boolean, double, string |
//! | smallint and int, bigint | int, long |
//! | decimal(p,s) | bytes, decimal(p,s) |
//! | date, timestamp | int, date; long, timestamp-micros |
//!
//! A column that may be null is a union with null, which comes first and is the default, so that columns can be added later.

use arrow_schema::DataType;
use serde_json::{Value, json};

use super::scalar::{Scalar, Values, canonical};
use crate::job::plan::{AvroOptions, SinkFrom, SinkPlan};

/// How rows become data.
#[derive(Debug, Clone)]
pub(super) struct AvroShape {
    /// What stands before each datum: a zero and the id of the schema.
    frame: [u8; 5],
    /// For each column, whether it may be null.
    nullable: Vec<bool>,
    sink: String,
}

impl AvroShape {
    /// The shape of a sink's rows under the schema of an id.
    pub(super) fn new(plan: &SinkPlan, id: u32) -> Self {
        let [a, b, c, d] = id.to_be_bytes();
        Self {
            frame: [0, a, b, c, d],
            nullable: nullable(plan).collect(),
            sink: plan.name.clone(),
        }
    }

    /// Appends a row, behind its frame.
    ///
    /// # Panics
    /// Where a column that is not null is.
    pub(super) fn push(&self, columns: &[Values<'_>], row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frame);
        for (column, nullable) in columns.iter().zip(&self.nullable) {
            let value = column.get(row);
            if value == Scalar::Null {
                assert!(
                    nullable,
                    "sinks.{}: a column that is not null is",
                    self.sink
                );
                out.push(0);
                continue;
            }
            if *nullable {
                push_long(out, 1);
            }
            push(out, value);
        }
    }

    /// Bytes of a datum besides its values.
    pub(super) fn frame_bytes(&self) -> usize {
        self.frame.len()
    }
}

/// Which columns may be null: also those that are worked out where a row can't be refused any more, and null where that fails.
fn nullable(plan: &SinkPlan) -> impl Iterator<Item = bool> {
    plan.columns.iter().map(|column| {
        let may_fail = plan.from != SinkFrom::Rows && column.expression.column().is_none();
        column.expression.nullable() || may_fail
    })
}

/// The schema of a sink's rows, as text.
///
/// # Panics
/// Where a column has no type in Avro, which the resolver refuses.
pub(super) fn schema(plan: &SinkPlan, options: &AvroOptions) -> String {
    let fields = plan.columns.iter().zip(nullable(plan));
    let fields = fields.map(|(column, nullable)| {
        let data_type = column.expression.data_type();
        let of_values = type_of(data_type).expect("the resolver has looked at the types");
        if nullable {
            json!({ "name": column.name, "type": ["null", of_values], "default": null })
        } else {
            json!({ "name": column.name, "type": of_values })
        }
    });
    let fields: Vec<Value> = fields.collect();
    let mut schema = json!({ "type": "record", "name": options.name });
    if let Some(namespace) = &options.namespace {
        schema["namespace"] = json!(namespace);
    }
    schema["fields"] = Value::Array(fields);
    schema.to_string()
}

/// The type of a column; `None` where Avro has none.
pub fn type_of(data_type: &DataType) -> Option<Value> {
    Some(match canonical(data_type)? {
        DataType::Boolean => json!("boolean"),
        DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Date32 => json!({ "type": "int", "logicalType": "date" }),
        DataType::Timestamp(_, _) => json!({ "type": "long", "logicalType": "timestamp-micros" }),
        DataType::Decimal128(precision, scale)
            if u8::try_from(scale).is_ok_and(|scale| scale <= precision) =>
        {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        _ => return None,
    })
}

/// Whether Avro takes a name for a column or record.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn push(out: &mut Vec<u8>, value: Scalar<'_>) {
    match value {
        Scalar::Null => {}
        Scalar::Boolean(value) => out.push(u8::from(value)),
        Scalar::Integer(value) | Scalar::Timestamp(value) => push_long(out, value),
        Scalar::Date(days) => push_long(out, i64::from(days)),
        Scalar::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
        Scalar::Decimal(value, _) => push_bytes(out, shortest(&value.to_be_bytes())),
        Scalar::Text(text) => push_bytes(out, text.as_bytes()),
    }
}

/// A whole number, whose sign is its last bit, seven bits a byte.
fn push_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(
        out,
        i64::try_from(bytes.len()).expect("a length fits 63 bits"),
    );
    out.extend_from_slice(bytes);
}

/// The fewest last bytes that are the same number in two's complement.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let mut rest = &bytes[..];
    while let [first, second, ..] = rest
        && (*first == 0 && *second < 0x80 || *first == 0xff && *second >= 0x80)
    {
        rest = &rest[1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_specification_shows_them() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-2, &[3]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (8192, &[0x80, 0x80, 1]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            push_long(&mut out, value);
            assert_eq!(out, bytes, "{value}");
        }
    }

    #[test]
    fn decimals_have_no_more_bytes_than_they_need() {
        for (value, bytes) in [
            (0_i128, &[0][..]),
            (127, &[0x7f]),
            (128, &[0, 0x80]),
            (-1, &[0xff]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (i128::MIN, &i128::MIN.to_be_bytes()),
        ] {
            assert_eq!(shortest(&value.to_be_bytes()), bytes, "{value}");
        }
    }
}
