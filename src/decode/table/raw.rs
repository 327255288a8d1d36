//! A row of a columnar file as a JSON object: what quarantine shows as its raw text.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde_json::Value;

use crate::decode::detail::lossless;

/// The row as one JSON object of the columns that were read. Numbers stand as written by Arrow, so that no digit of a
/// decimal is lost; what is no JSON number (NaN, times) is a text, and bytes that are no UTF-8 come as `\xNN`.
pub(in crate::decode) fn json(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema_ref();
    let members = schema.fields().iter().zip(batch.columns());
    let members: Vec<String> = members
        .map(|(field, values)| {
            let name = Value::from(field.name().as_str());
            format!("{name}:{}", value(values, row))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(values: &ArrayRef, row: usize) -> String {
    use DataType as D;
    if values
        .logical_nulls()
        .is_some_and(|nulls| nulls.is_null(row))
    {
        return "null".to_owned();
    }
    let bytes = |bytes: &[u8]| Value::from(lossless(bytes)).to_string();
    match values.data_type() {
        D::Struct(fields) => {
            let members = fields.iter().zip(values.as_struct().columns());
            let members: Vec<String> = members
                .map(|(field, values)| {
                    format!(
                        "{}:{}",
                        Value::from(field.name().as_str()),
                        value(values, row)
                    )
                })
                .collect();
            return format!("{{{}}}", members.join(","));
        }
        D::Binary => return bytes(values.as_binary::<i32>().value(row)),
        D::LargeBinary => return bytes(values.as_binary::<i64>().value(row)),
        D::BinaryView => return bytes(values.as_binary_view().value(row)),
        D::FixedSizeBinary(_) => return bytes(values.as_fixed_size_binary().value(row)),
        _ => {}
    }
    let options = FormatOptions::default();
    let Ok(formatter) = ArrayFormatter::try_new(values.as_ref(), &options) else {
        return Value::from(values.data_type().to_string()).to_string();
    };
    let text = formatter
        .value(row)
        .try_to_string()
        .unwrap_or_else(|error| error.to_string());
    let plain = matches!(values.data_type(), D::Boolean)
        || (values.data_type().is_numeric() && text.bytes().all(is_of_number));
    if plain {
        text
    } else {
        Value::from(text).to_string()
    }
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'.')
}
