//! What is read is what `serde_json` reads; what it refuses is refused.

mod grammar;
mod records;
mod unnest;

use crate::decode::tests::{column, faults_of, shown};
use crate::decode::{Decoder, Draft};
use crate::job::plan::{ColumnType, Format, JsonOptions, SourceColumn};
use crate::record::{Chunk, Dropped, Encoding, Framing, HeaderBinding};
use std::path::PathBuf;
use std::sync::Arc;

/// A column that is read by a path.
fn at(id: usize, path: &str, column_type: ColumnType) -> SourceColumn {
    SourceColumn {
        header: path.to_owned(),
        ..column(id, &format!("c{id}"), column_type)
    }
}

/// Columns of text, by paths.
fn texts(paths: &[&str]) -> Vec<SourceColumn> {
    let text = |(id, path): (usize, &&str)| at(id, path, ColumnType::Varchar);
    paths.iter().enumerate().map(text).collect()
}

fn decode(bytes: &[u8], columns: &[SourceColumn], options: &JsonOptions) -> Draft {
    let chunk = Arc::new(Chunk {
        source: 0,
        file: Arc::new(PathBuf::from("sales.json")),
        bytes: bytes.to_vec(),
        offset: 100,
        line: 2,
        header: Arc::new(HeaderBinding {
            encoding: Encoding::Utf8,
            record: Vec::new(),
            framing: Framing::OfSource,
            fields: 0,
            column_of_field: Vec::new(),
        }),
        epoch: 1,
        broken: None,
        dropped: Dropped::default(),
        places: Vec::new(),
        followed: None,
        messages: None,
        number: 0,
        until: None,
        lease: None,
    });
    Decoder::new(columns, &Format::Json(options.clone()), columns.len()).decode(chunk)
}

/// The values of each row, with bars between them, null as a dash.
fn rows(draft: &Draft) -> Vec<String> {
    let columns: Vec<_> = draft
        .columns
        .iter()
        .map(|column| shown(column.as_ref().unwrap()))
        .collect();
    let row = |row: usize| {
        let values = columns.iter().map(|column| column[row].as_deref());
        let values: Vec<&str> = values.map(|value| value.unwrap_or("-")).collect();
        values.join("|")
    };
    (0..draft.rows).map(row).collect()
}
