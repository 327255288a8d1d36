//! What a version of a Delta table's log says: files and columns in its words.

use std::fmt::Write;

use arrow_schema::{DataType, Schema, TimeUnit};
use serde_json::{Map, Value, json};

use crate::job::plan::SinkPlan;
use crate::sinks::hive;
use crate::sinks::publish::ManifestFile;

/// The name of a type; `None`: the format has none.
pub fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Dictionary(_, values) => return type_name(values),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "byte".to_owned(),
        DataType::Int16 => "short".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            format!("decimal({precision},{scale})")
        }
        _ => return None,
    })
}

/// Whether a column may have this name: without a mapping of names some characters are not allowed.
pub fn is_name(name: &str) -> bool {
    !name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='])
}

/// The columns of a table, and by which it is partitioned.
pub(super) fn metadata(
    job: &str,
    plan: &SinkPlan,
    schema: &Schema,
    partition_by: &[String],
) -> Value {
    let fields = schema.fields().iter().map(|field| {
        let data_type = type_name(field.data_type());
        json!({
            "name": field.name(),
            "type": data_type.expect("the resolver lets only types through that Delta has"),
            "nullable": field.is_nullable(),
            "metadata": {},
        })
    });
    let schema = json!({ "type": "struct", "fields": fields.collect::<Vec<_>>() });
    json!({
        "id": id(job, &plan.name),
        "name": plan.name,
        "format": { "provider": "parquet", "options": {} },
        "schemaString": schema.to_string(),
        "partitionColumns": partition_by,
        "configuration": {},
    })
}

/// A number for the table in the form of a UUID, from the names of job and sink: who makes it twice makes the same.
fn id(job: &str, sink: &str) -> String {
    let hash = |salt: &str| {
        crate::cluster::exchange::hash_bytes(format!("{salt}\n{job}\n{sink}").as_bytes())
    };
    let (high, low) = (hash("high"), hash("low"));
    // Version 8 and the variant of RFC 9562.
    let high = (high & !0xF000) | 0x8000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}

/// A file that becomes part of the table.
pub(super) fn add(file: &ManifestFile, partition_by: &[String]) -> Value {
    let mut values = Map::new();
    for (column, folder) in partition_by.iter().zip(file.path.split('/')) {
        let value = folder.split_once('=').map_or(folder, |(_, value)| value);
        let value = hive::value(value);
        values.insert(column.clone(), json!(value));
    }
    json!({ "add": {
        "path": uri(&file.path),
        "partitionValues": values,
        "size": file.bytes,
        "modificationTime": crate::epoch::wall_time() / 1000,
        "dataChange": true,
        "stats": json!({ "numRecords": file.rows }).to_string(),
    } })
}

/// A path as the log has it: all but the plainest bytes in hexadecimal digits (RFC 2396).
pub(super) fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("a String takes everything");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_values_of_partitions_come_back() {
        let mut folder = String::new();
        hive::push_folder(&mut folder, "zone", Some("a/b=ñ %"));
        hive::push_folder(&mut folder, "day", None);
        let file = ManifestFile {
            path: format!("{folder}/part-1-2-0-0.parquet"),
            rows: 3,
            bytes: 10,
            checksum: None,
        };
        let action = add(&file, &["zone".to_owned(), "day".to_owned()]);
        let action = &action["add"];
        assert_eq!(
            action["partitionValues"],
            json!({ "zone": "a/b=ñ %", "day": null })
        );
        assert_eq!(
            action["path"],
            "zone=a%252Fb%253D%C3%B1%20%2525/day=__HIVE_DEFAULT_PARTITION__/part-1-2-0-0.parquet"
        );
        assert_eq!(action["stats"], "{\"numRecords\":3}");
    }

    #[test]
    fn names_are_uuids_and_always_the_same() {
        let name = id("ventas", "enriched");
        assert_eq!(name, id("ventas", "enriched"));
        assert_ne!(name, id("ventas", "refused"));
        let lengths: Vec<usize> = name.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&name[14..15], "8");
    }
}
