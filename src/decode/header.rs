//! Which field of a file goes to which column.

use crate::job::plan::{CsvOptions, SourceColumn};
use crate::record::{Encoding, Framing, HeaderBinding};

use super::cut::without_line_end;
use super::dialect::Dialect;

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
    /// A column of the source is no single value in the file.
    #[error(
        "the column \"{name}\" is {what} in the file\n  expected: a column of single values\n  hint: header = \"{name}.member\" reads a member of a struct"
    )]
    Nested {
        /// The name.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// Columns of the source are not there.
    #[error("the header lacks {}{}{}", quoted(columns), hint_lines(columns, hints), Written::hint(written.as_ref()))]
    Missing {
        /// Their names in the file.
        columns: Vec<String>,
        /// For each, the nearest name that the file has and the source does not use.
        hints: Vec<Option<String>>,
        /// How the header line is written, where that is not what was said.
        written: Option<Written>,
    },
    /// A field has text after its closing quote.
    #[error(
        "field {field} of the header has text after its closing quote\n  expected: a delimiter or a line end there"
    )]
    TextAfterQuote {
        /// Which, from 1.
        field: usize,
    },
}

/// How a header line seems to be written that is read as UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As UTF-16: there are NUL bytes in it.
    Wide,
    /// In a code page: it is no UTF-8.
    Page,
}

impl Written {
    fn seen_in(record: &[u8], encoding: Encoding) -> Option<Self> {
        if encoding != Encoding::Utf8 {
            None
        } else if record.contains(&0) {
            Some(Self::Wide)
        } else {
            str::from_utf8(record).is_err().then_some(Self::Page)
        }
    }

    fn hint(this: Option<&Self>) -> &'static str {
        match this {
            None => "",
            Some(Self::Wide) => {
                "\n  hint: the line has NUL bytes, as UTF-16 has; encoding = \"utf-16le\" under csv, say, reads it"
            }
            Some(Self::Page) => {
                "\n  hint: the line is not UTF-8; encoding = \"windows-1252\" under csv, say, reads it"
            }
        }
    }
}

impl HeaderError {
    /// The reason code of the file.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "duplicate_header",
            Self::Nested { .. } => "nested_column",
            Self::Missing { .. } => "missing_columns",
            Self::TextAfterQuote { .. } => "bad_header",
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
    encoding: Encoding,
    header_record: &[u8],
) -> Result<HeaderBinding, HeaderError> {
    if !options.header {
        return Ok(HeaderBinding {
            framing: Framing::OfSource,
            encoding,
            record: Vec::new(),
            fields: columns.len(),
            column_of_field: (0..columns.len()).map(Some).collect(),
        });
    }
    let names = names(options, header_record)?;
    let wanted = fields(columns);
    let place = |name: &String| wanted.iter().position(|field| *field == name);
    let column_of_field: Vec<_> = names.iter().map(place).collect();
    for (at, field) in wanted.iter().enumerate() {
        let times = column_of_field
            .iter()
            .filter(|bound| **bound == Some(at))
            .count();
        if times > 1 {
            return Err(HeaderError::Duplicate {
                name: (*field).to_owned(),
                times,
            });
        }
    }
    let missing: Vec<_> = columns_of_fields(columns)
        .enumerate()
        .filter(|(at, column)| !column.optional && !column_of_field.contains(&Some(*at)))
        .map(|(at, _)| at)
        .collect();
    if missing.is_empty() {
        return Ok(HeaderBinding {
            framing: Framing::OfSource,
            encoding,
            record: without_line_end(header_record).to_vec(),
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
        .map(|at| wanted[at].to_owned())
        .collect();
    let written = Written::seen_in(header_record, encoding);
    // Names that were read wrongly are near to nothing that was meant.
    let near = |column: &String| nearest(column, &unused).filter(|_| written.is_none());
    let hints = columns.iter().map(near).collect();
    Err(HeaderError::Missing {
        columns,
        hints,
        written,
    })
}

/// The names of the fields that are read: one a column, then the further parts of columns made of several.
pub(super) fn fields(columns: &[SourceColumn]) -> Vec<&str> {
    let first = columns.iter().map(|column| &column.header);
    let parts = columns.iter().flat_map(|column| &column.notation.parts);
    first.chain(parts).map(String::as_str).collect()
}

/// The column of each of [`fields`].
fn columns_of_fields(columns: &[SourceColumn]) -> impl Iterator<Item = &SourceColumn> {
    let parts = columns
        .iter()
        .flat_map(|column| column.notation.parts.iter().map(move |_| column));
    columns.iter().chain(parts)
}

/// For each column the fields of a file that it is read from, in order; empty where the file lacks one.
pub(super) fn fields_of_columns(
    header: &HeaderBinding,
    columns: &[SourceColumn],
) -> Vec<Vec<usize>> {
    let mut next = columns.len();
    let field = |place: usize| {
        let mut bound = header.column_of_field.iter();
        bound.position(|bound| *bound == Some(place))
    };
    let of_column = |(at, column): (usize, &SourceColumn)| {
        let parts = next..next + column.notation.parts.len();
        next = parts.end;
        let fields: Option<Vec<usize>> = std::iter::once(at).chain(parts).map(field).collect();
        fields.unwrap_or_default()
    };
    columns.iter().enumerate().map(of_column).collect()
}

/// The texts of a header record's fields.
fn names(options: &CsvOptions, record: &[u8]) -> Result<Vec<String>, HeaderError> {
    let record = without_line_end(record);
    let dialect = Dialect::new(options);
    let mut scratch = Vec::new();
    let fields = dialect.fields(record);
    if let Some(at) = fields.iter().position(|field| dialect.is_stray(field)) {
        return Err(HeaderError::TextAfterQuote { field: at + 1 });
    }
    let mut name =
        |field| String::from_utf8_lossy(dialect.text(field, &mut scratch).0).into_owned();
    Ok(fields.into_iter().map(&mut name).collect())
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
