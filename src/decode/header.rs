//! Which field of a file goes to which column.

use crate::job::plan::{CsvOptions, SourceColumn};
use crate::record::HeaderBinding;

use super::cut::without_line_end;
use super::split::{fields_of, unquote};

/// Why a file's header does not bind; the file is faulty as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A column of the source is named twice.
    #[error(
        "the header names \"{name}\" {times} times\n  expected: every column of the source once"
    )]
    Duplicate {
        /// The name.
        name: String,
        /// How often.
        times: usize,
    },
    /// Columns of the source are not there.
    #[error("the header lacks {}{}", quoted(columns), hint_lines(columns, hints))]
    Missing {
        /// Their names in the file.
        columns: Vec<String>,
        /// For each, the nearest name that the file has and the source does not use.
        hints: Vec<Option<String>>,
    },
}

impl HeaderError {
    /// The reason code of the file.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "duplicate_header",
            Self::Missing { .. } => "missing_columns",
        }
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

fn hint_lines(columns: &[String], hints: &[Option<String>]) -> String {
    let near = |(column, hint): (&String, &Option<String>)| {
        hint.as_ref().map(|hint| format!("\n  hint: \"{hint}\" is near to \"{column}\"; a column's name in the file is its `header`"))
    };
    columns.iter().zip(hints).filter_map(near).collect()
}

/// Binds the fields of one file to the columns of its source by name; unknown fields are left unread.
///
/// `header_record` is the file's first record, without a byte order mark; a line end may be at its end. Where the
/// options say that there is no header, it is not looked at and fields are bound in the order of the columns.
pub fn bind_header(
    columns: &[SourceColumn],
    options: &CsvOptions,
    header_record: &[u8],
) -> Result<HeaderBinding, HeaderError> {
    if !options.header {
        return Ok(HeaderBinding {
            fields: columns.len(),
            column_of_field: (0..columns.len()).map(Some).collect(),
        });
    }
    let names = names(options, header_record);
    let place = |name: &String| columns.iter().position(|column| column.header == *name);
    let column_of_field: Vec<_> = names.iter().map(place).collect();
    for (at, column) in columns.iter().enumerate() {
        let times = column_of_field
            .iter()
            .filter(|bound| **bound == Some(at))
            .count();
        if times > 1 {
            return Err(HeaderError::Duplicate {
                name: column.header.clone(),
                times,
            });
        }
    }
    let missing: Vec<_> = (0..columns.len())
        .filter(|at| !column_of_field.contains(&Some(*at)))
        .collect();
    if missing.is_empty() {
        return Ok(HeaderBinding {
            fields: names.len(),
            column_of_field,
        });
    }
    let unused: Vec<_> = names
        .iter()
        .zip(&column_of_field)
        .filter(|(_, bound)| bound.is_none())
        .map(|(name, _)| name)
        .collect();
    let columns: Vec<_> = missing
        .into_iter()
        .map(|at| columns[at].header.clone())
        .collect();
    let hints = columns
        .iter()
        .map(|column| nearest(column, &unused))
        .collect();
    Err(HeaderError::Missing { columns, hints })
}

/// The texts of a header record's fields.
fn names(options: &CsvOptions, record: &[u8]) -> Vec<String> {
    let record = without_line_end(record);
    let mut scratch = Vec::new();
    fields_of(record, options.delimiter, options.quote)
        .into_iter()
        .map(|field| {
            String::from_utf8_lossy(unquote(field, options.quote, &mut scratch).0).into_owned()
        })
        .collect()
}

/// The nearest of `names`, if it is near enough to be a slip.
fn nearest(wanted: &str, names: &[&String]) -> Option<String> {
    let likeness =
        |name: &String| strsim::jaro_winkler(&wanted.to_lowercase(), &name.trim().to_lowercase());
    let best = names
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.8).then(|| (*best).clone())
}
