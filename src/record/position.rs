//! Where each clean row comes from, carried beside its columns as far as a topic takes it, or duplicates are looked for.
//!
//! Places order the messages of an epoch, whatever way their rows took through the workers, and stand in their headers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;

use super::{Draft, Origin};

/// How many columns a position has: source, file, place in it, row.
pub const COLUMNS: usize = 4;

/// The columns of a draft's positions: its source, its file (of a message: topic and partition), the byte of each row's record there
/// (of a message: its offset), and its number among the rows that were read with it.
pub fn columns(draft: &Draft, file: String, bytes: Vec<u64>) -> [ArrayRef; COLUMNS] {
    let rows = draft.rows;
    let source = i32::try_from(draft.source).expect("a job has few sources");
    let file: ArrayRef = Arc::new(StringArray::from(vec![file]));
    let first = match &draft.origin {
        Some(Origin::Table { first_row, .. }) => *first_row,
        _ => 0,
    };
    let numbers = (first..).take(rows).map(signed);
    [
        Arc::new(Int32Array::from_value(source, rows)),
        Arc::new(DictionaryArray::new(Int32Array::from_value(0, rows), file)),
        Arc::new(Int64Array::from_iter_values(bytes.into_iter().map(signed))),
        Arc::new(Int64Array::from_iter_values(numbers)),
    ]
}

/// Which delivered file each row of a draft came in: the path under which it was found, and behind a NUL, which no path has, how many of this name
/// came before it, where there were any. It is the same in every life of the job, whatever the file is called by then.
pub fn file_column(draft: &Draft) -> ArrayRef {
    let file = match &draft.origin {
        Some(Origin::Text { chunk, .. }) => {
            let path = chunk.file.display();
            match chunk.followed {
                Some(before) if before > 0 => format!("{path}\0{before}"),
                _ => path.to_string(),
            }
        }
        Some(Origin::Table { file, .. }) => file.display().to_string(),
        None => String::new(),
    };
    let file: ArrayRef = Arc::new(StringArray::from(vec![file]));
    let codes = Int32Array::from_value(0, draft.rows);
    Arc::new(DictionaryArray::new(codes, file))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("positions fit 63 bits")
}

/// The positions of a batch's rows.
#[derive(Debug)]
pub struct Positions<'a> {
    sources: &'a Int32Array,
    codes: Option<&'a Int32Array>,
    files: &'a StringArray,
    places: &'a Int64Array,
    rows: &'a Int64Array,
}

impl<'a> Positions<'a> {
    /// Reads them from the columns named by ids from `first` on.
    ///
    /// # Panics
    /// Where the split did not carry them.
    pub fn new(rows: &'a RecordBatch, first: usize) -> Self {
        let column = |place: usize| {
            rows.column_by_name(&(first + place).to_string())
                .expect("the split carries positions")
        };
        let file = column(1);
        let (codes, files) = match file.data_type() {
            DataType::Dictionary(_, _) => {
                let dictionary = file.as_dictionary::<Int32Type>();
                (Some(dictionary.keys()), dictionary.values().as_string())
            }
            _ => (None, file.as_string()),
        };
        Self {
            sources: column(0).as_primitive::<Int32Type>(),
            codes,
            files,
            places: column(2).as_primitive::<Int64Type>(),
            rows: column(3).as_primitive::<Int64Type>(),
        }
    }

    /// Index of the row's source.
    pub fn source(&self, row: usize) -> i32 {
        self.sources.value(row)
    }

    /// The number of the row's file among those of the batch; equal numbers are equal files.
    pub fn code(&self, row: usize) -> usize {
        self.codes.map_or(row, |codes| {
            usize::try_from(codes.value(row)).expect("codes are not negative")
        })
    }

    /// The file of this number.
    pub fn file(&self, code: usize) -> &'a str {
        self.files.value(code)
    }

    /// Where the row's record begins in its file, or its message's offset.
    pub fn place(&self, row: usize) -> u64 {
        u64::try_from(self.places.value(row)).expect("positions are not negative")
    }

    /// The row among those that were read with it: rows of one record have ascending numbers.
    pub fn row(&self, row: usize) -> u64 {
        u64::try_from(self.rows.value(row)).expect("numbers of rows are not negative")
    }
}
