//! The rows of a look-up as an object beside the journal: all of them, or how they changed.
//!
//! ```text
//! STATE/references/regions/000000000120-00000003.arrow
//! ```
//!
//! An Arrow IPC file, so that people and other tools can read it, and no build depends on how another one encodes rows: the first
//! column says whether a row is gone, the others are the look-up's.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::layout::Layout;
use super::load::schema;
use super::rows::{Difference, Rows, keys};
use crate::job::plan::LookupPlan;

/// Rows in a batch of an object.
const BATCH_ROWS: usize = 65_536;

/// What stands in an object's metadata.
const KIND: &str = "caudal.reference";

/// What an object holds.
#[derive(Debug)]
pub(super) enum Object {
    /// All rows.
    Whole(Rows),
    /// How they changed.
    Changes(Difference),
}

/// Writes all rows.
pub(super) fn whole(plan: &LookupPlan, rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let rows: Vec<&[u8]> = rows.iter().collect();
    write(plan, "whole", &[], &rows)
}

/// Writes how rows changed.
pub(super) fn changes(plan: &LookupPlan, difference: &Difference) -> Result<Vec<u8>, ArrowError> {
    let [gone, new] = [&difference.gone, &difference.new].map(|rows| {
        let rows: Vec<&[u8]> = rows.iter().map(|row| &**row).collect();
        rows
    });
    write(plan, "changes", &gone, &new)
}

fn write(
    plan: &LookupPlan,
    kind: &str,
    gone: &[&[u8]],
    new: &[&[u8]],
) -> Result<Vec<u8>, ArrowError> {
    let schema = with_gone(plan, kind);
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(arrow_ipc::CompressionType::LZ4_FRAME))?;
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options)?;
    let layout = Layout::new(plan)?;
    for (rows, is_gone) in [(gone, true), (new, false)] {
        for rows in rows.chunks(BATCH_ROWS) {
            let flag: ArrayRef = Arc::new(BooleanArray::from(vec![is_gone; rows.len()]));
            let mut columns = vec![flag];
            columns.extend(layout.decode(rows.iter().copied())?);
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
    }
    writer.finish()?;
    writer.into_inner()
}

/// Reads an object of this look-up.
///
/// Errors: it is none, or one of other columns.
pub(super) fn read(plan: &LookupPlan, bytes: &[u8]) -> Result<Object, ArrowError> {
    let reader = FileReader::try_new(Cursor::new(bytes), None)?;
    let kind = reader.schema().metadata().get(KIND).cloned();
    let expected = with_gone(plan, kind.as_deref().unwrap_or_default());
    if reader.schema() != expected {
        return Err(ArrowError::SchemaError(format!(
            "its columns are {:?}, expected {:?}",
            reader.schema().fields(),
            expected.fields()
        )));
    }
    let layout = Layout::new(plan)?;
    let mut rows = Rows::default();
    let mut difference = Difference::default();
    let is_whole = kind.as_deref() == Some("whole");
    for batch in reader {
        let batch = batch?;
        let gone = batch.column(0).as_boolean();
        let columns = &batch.columns()[1..];
        let encoded = layout.encode(columns)?;
        if is_whole {
            let identities = layout.identities(plan, &keys(plan, columns), columns)?;
            for row in 0..batch.num_rows() {
                rows.set(
                    identities.row(row).data(),
                    Some(encoded.row(row).data().into()),
                );
            }
            continue;
        }
        for row in 0..batch.num_rows() {
            let bytes = encoded.row(row).data().into();
            if gone.value(row) {
                difference.gone.push(bytes);
            } else {
                difference.new.push(bytes);
            }
        }
    }
    Ok(if is_whole {
        Object::Whole(rows)
    } else {
        Object::Changes(difference)
    })
}

/// The look-up's columns behind one that says whether a row is gone.
fn with_gone(plan: &LookupPlan, kind: &str) -> SchemaRef {
    let gone = Arc::new(Field::new("gone", DataType::Boolean, false));
    let schema = schema(plan);
    let fields = std::iter::once(gone).chain(schema.fields().iter().cloned());
    let metadata = HashMap::from([(KIND.to_owned(), kind.to_owned())]);
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        metadata,
    ))
}
