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
use super::load::{Loaded, Pieces, schema};
use super::rows::{Difference, Rows, keys};
use crate::cluster::exchange;
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

/// Writes all rows, in their order.
pub(super) fn whole(plan: &LookupPlan, rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    write(plan, "whole", &[], &rows.in_order())
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

/// An object whose batches are read one after the other.
type Opened<'a> = FileReader<Cursor<&'a [u8]>>;

/// Opens an object of this look-up; also gives whether it holds all rows.
///
/// Errors: it is none, or one of other columns.
fn open<'a>(plan: &LookupPlan, bytes: &'a [u8]) -> Result<(Opened<'a>, bool), ArrowError> {
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
    Ok((reader, kind.as_deref() == Some("whole")))
}

/// The rows that objects hold together, which follow each other, as the dataflow takes them: no row is looked up by what tells it apart.
///
/// Errors: as of [`read`].
pub(super) fn loaded(plan: &LookupPlan, objects: &[Arc<Vec<u8>>]) -> Result<Loaded, ArrowError> {
    let mut opened = Vec::with_capacity(objects.len());
    for bytes in objects {
        let object = open(plan, bytes)?;
        if object.1 {
            opened.clear();
        }
        opened.push(object);
    }
    let (mut whole, mut changes) = (None, opened);
    if changes.first().is_some_and(|(_, is_whole)| *is_whole) {
        whole = Some(changes.remove(0).0);
    }
    let layout = Layout::new(plan)?;
    // How many more of a row there are than in the first.
    let mut net: HashMap<Box<[u8]>, i32> = HashMap::new();
    for (reader, _) in changes {
        for batch in reader {
            let batch = batch?;
            let gone = batch.column(0).as_boolean();
            let encoded = layout.encode(&batch.columns()[1..])?;
            for row in 0..batch.num_rows() {
                let more = if gone.value(row) { -1 } else { 1 };
                *net.entry(encoded.row(row).data().into()).or_default() += more;
            }
        }
    }
    let mut cutter = Pieces::default();
    for batch in whole.into_iter().flatten() {
        let batch = batch?;
        let columns = &batch.columns()[1..];
        let hashes = exchange::hash_rows(&keys(plan, columns), batch.num_rows());
        let encoded = layout.encode(columns)?;
        for (row, hash) in encoded.iter().zip(hashes) {
            match net.get_mut(row.data()).filter(|more| **more < 0) {
                Some(more) => *more += 1,
                None => cutter.push(row.data(), hash),
            }
        }
    }
    let mut came: Vec<&[u8]> = Vec::new();
    for (row, more) in &net {
        let more = usize::try_from(*more).unwrap_or(0);
        came.extend(std::iter::repeat_n(&**row, more));
    }
    came.sort_unstable();
    if !came.is_empty() {
        let columns = layout.decode(came.iter().copied())?;
        let hashes = exchange::hash_rows(&keys(plan, &columns), came.len());
        for (row, hash) in came.into_iter().zip(hashes) {
            cutter.push(row, hash);
        }
    }
    Ok(Loaded {
        pieces: cutter.finish(),
        warnings: Vec::new(),
    })
}

/// Reads an object of this look-up.
///
/// Errors: it is none, or one of other columns.
pub(super) fn read(plan: &LookupPlan, bytes: &[u8]) -> Result<Object, ArrowError> {
    let (reader, is_whole) = open(plan, bytes)?;
    let layout = Layout::new(plan)?;
    let mut rows = Rows::default();
    let mut difference = Difference::default();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::patch::tests::{KEYS, encoded, plan, table};
    use super::*;

    fn sorted(loaded: &Loaded) -> Vec<(Vec<u8>, u8)> {
        let pieces = loaded.pieces.iter();
        let mut rows: Vec<(Vec<u8>, u8)> = pieces
            .flat_map(|piece| {
                let rows = piece.block.rows().zip(&piece.bins);
                rows.map(|(row, bin)| (row.bytes().to_vec(), *bin))
            })
            .collect();
        rows.sort();
        rows
    }

    proptest! {
        #[test]
        fn objects_give_the_rows_that_they_were_made_of(
            tables in proptest::collection::vec((table(), any::<bool>()), 1..5),
            kind in 0..KEYS.len(),
        ) {
            let plan = plan(KEYS[kind]);
            let (mut rows, mut objects) = (Rows::default(), Vec::new());
            for (table, is_whole) in tables {
                let mut later = Rows::default();
                let new = encoded(&plan, &table).iter().map(|row| row.bytes().into()).collect();
                later.apply(&plan, &Difference { gone: Vec::new(), new }).unwrap();
                let object = if is_whole || objects.is_empty() {
                    whole(&plan, &later)
                } else {
                    changes(&plan, &rows.difference(&later))
                };
                objects.push(Arc::new(object.unwrap()));
                rows = later;
                let loaded = loaded(&plan, &objects).unwrap();
                prop_assert_eq!(sorted(&loaded), sorted(&rows.loaded(&plan).unwrap()));
            }
        }
    }
}
