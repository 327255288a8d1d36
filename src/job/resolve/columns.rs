//! Columns of sources and look-ups.

use super::metadata::{check_own, read_metadata};
use super::notation::read_notation;
use super::paths::{check_unnested, read_header};
use super::report::{Report, Wrong};
use super::types::{read_type, type_text};
use super::words::{check_column_name, check_pattern, check_reason, read_time_zone};
use crate::job::plan::{ColumnType, EpochUnit, Format, Notation, OnBad, SourceColumn};
use crate::job::problems::quoted;
use crate::job::spec::{self, ColumnSpec, Named};

/// Columns as read, and the names of those that could not be.
#[derive(Debug, Default)]
pub(super) struct ReadColumns {
    /// In file order; their ids count from 0.
    pub(super) columns: Vec<SourceColumn>,
    /// Names of faulty ones.
    pub(super) faulty: Vec<String>,
    /// Positions of those of type `json`.
    pub(super) as_written: Vec<usize>,
}

/// Whose columns they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A source: rows of business.
    Source,
    /// A source of messages, which are told of beside what stands in them.
    Messages,
    /// A look-up whose rows are messages.
    ReferenceMessages,
    /// A look-up: reference rows, which may be valid from any time on.
    Lookup,
}

impl ReadColumns {
    /// Tells the format which columns take JSON as it is written.
    pub(super) fn tell(&self, format: &mut Option<Format>) {
        if let Some(Format::Json(options)) = format {
            options.as_written.clone_from(&self.as_written);
        }
    }
}

/// Reads the columns of the source or look-up at `path`; those of JSON are read by path.
pub(super) fn read_columns(
    report: &mut Report<'_>,
    path: &[&str],
    specs: &Named<ColumnSpec>,
    owner: Owner,
    is_json: bool,
) -> ReadColumns {
    let mut read = ReadColumns::default();
    let path = [path, &["columns"]].concat();
    if specs.is_empty() {
        report.add(
            &path,
            Wrong::new("there are no columns")
                .expected("at least one, such as `sale_id = \"bigint not null\"`"),
        );
    }
    for (name, spec) in specs.iter() {
        let path = [path.as_slice(), &[name]].concat();
        let as_written = is_json && is_json_type(&spec.column_type) && spec.kafka.is_none();
        match read_column(
            report,
            &path,
            name,
            spec,
            read.columns.len(),
            (owner, is_json),
        ) {
            Some(column) => {
                check_header(report, &path, &column, &read.columns);
                check_own(report, &path, &column, &read.columns);
                if is_json {
                    check_unnested(report, &path, &column, &read.columns);
                }
                if as_written {
                    read.as_written.push(read.columns.len());
                }
                read.columns.push(column);
            }
            None => read.faulty.push(name.to_owned()),
        }
    }
    read
}

fn read_column(
    report: &mut Report<'_>,
    path: &[&str],
    name: &str,
    spec: &ColumnSpec,
    id: usize,
    (owner, is_json): (Owner, bool),
) -> Option<SourceColumn> {
    let at = |option: &'static str| [path, &[option]].concat();
    if !report.check_name(path, check_column_name(name)) {
        return None;
    }
    let mut time_zone = None;
    if let Some(zone) = &spec.time_zone {
        time_zone = report.take(&at("time_zone"), read_time_zone(zone));
    }
    if let Some(reason) = &spec.reason {
        report.take(&at("reason"), check_reason(reason));
    }
    let formats = spec.formats.clone().unwrap_or_default();
    for (index, pattern) in formats.iter().enumerate() {
        let index = index.to_string();
        report.take(
            &[path, &["formats", &index]].concat(),
            check_pattern(pattern),
        );
    }
    // A text alone stands for the type: then the place is the column's own, which `place` falls back to.
    // What is JSON as it is written is text from here on.
    let written = spec.column_type.trim();
    let as_text = match written.get(4..) {
        Some(rest) if is_json && is_json_type(written) && spec.kafka.is_none() => {
            format!("varchar{rest}")
        }
        _ => spec.column_type.clone(),
    };
    let (column_type, not_null) = report.take(&at("type"), read_type(&as_text))?;
    let metadata = read_metadata(
        report,
        path,
        spec,
        column_type,
        matches!(owner, Owner::Messages | Owner::ReferenceMessages),
    );
    let header = if is_json && spec.kafka.is_none() {
        read_header(report, path, name, spec.header.as_deref())?
    } else {
        header(spec, name)
    };
    // What is said of a message has no options of text; that is told already.
    let is_text = metadata.is_none();
    if is_text {
        check_options(report, path, spec, column_type, not_null);
    }
    Some(SourceColumn {
        id,
        name: name.to_owned(),
        header,
        column_type,
        not_null,
        formats,
        time_zone,
        unit: spec.unit.map(|unit| match unit {
            spec::EpochUnit::Seconds => EpochUnit::Seconds,
            spec::EpochUnit::Milliseconds => EpochUnit::Milliseconds,
            spec::EpochUnit::Microseconds => EpochUnit::Microseconds,
        }),
        nulls: spec.nulls.clone(),
        on_bad: match spec.on_bad {
            Some(spec::OnBad::Null) => OnBad::Null,
            Some(spec::OnBad::Refuse) | None => OnBad::Refuse,
        },
        reason: spec.reason.as_deref().map(Into::into),
        optional: spec.optional.unwrap_or(false),
        lenient: spec.lenient.unwrap_or(false),
        metadata,
        notation: if is_text {
            read_notation(report, path, spec, column_type, owner)
        } else {
            Notation::default()
        },
    })
}

/// Whether a type is `json`, with or without `not null`.
fn is_json_type(text: &str) -> bool {
    let name = text.split_whitespace().next().unwrap_or_default();
    name.eq_ignore_ascii_case("json")
}

/// Options that would do nothing are faults: whoever wrote them believes that they do something.
fn check_options(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &ColumnSpec,
    column_type: ColumnType,
    not_null: bool,
) {
    let is_time = column_type == ColumnType::Timestamp;
    let options = [
        (
            "formats",
            spec.formats.is_some(),
            is_time || column_type == ColumnType::Date,
            "date or timestamp",
        ),
        ("time_zone", spec.time_zone.is_some(), is_time, "timestamp"),
        ("unit", spec.unit.is_some(), is_time, "timestamp"),
    ];
    for (option, given, fits, expected) in options {
        if given && !fits {
            let wrong = Wrong::new(format!(
                "a column of type {} has no {option}",
                type_text(column_type)
            ));
            report.add(
                &[path, &[option]].concat(),
                wrong.expected(format!("a column of type {expected}")),
            );
        }
    }
    if spec.optional == Some(true) && not_null {
        let wrong = Wrong::new("a file without the column would have all its rows refused")
            .hint("leave out `optional` or `not null`");
        report.add(&[path, &["optional"]].concat(), wrong);
    }
    if spec.unit.is_some() && spec.formats.is_some() {
        let wrong = Wrong::new("whole numbers since 1970 have no pattern")
            .hint("leave out `unit` or `formats`");
        report.add(&[path, &["unit"]].concat(), wrong);
    }
}

/// The column's name in the file: the first where it has several.
fn header(spec: &ColumnSpec, name: &str) -> String {
    let first = spec.from.as_ref().and_then(|names| names.first());
    let header = spec.header.as_ref().or(first);
    header.map_or_else(|| name.to_owned(), Clone::clone)
}

/// Only delimited text with a header has fields that can be joined by their names.
pub(super) fn check_parts(
    report: &mut Report<'_>,
    path: &[&str],
    csv: Option<&spec::CsvSpec>,
    is_generated: bool,
    columns: &[SourceColumn],
) {
    if csv.is_some_and(|csv| csv.header != Some(false)) && !is_generated {
        return;
    }
    for column in columns {
        if !column.notation.parts.is_empty() {
            report.add(
                &[path, &["columns", &column.name, "from"]].concat(),
                Wrong::new("only fields of delimited text can be joined")
                    .expected("files of format csv with a header line"),
            );
        }
    }
}

/// A field of the file feeds one column.
fn check_header(
    report: &mut Report<'_>,
    path: &[&str],
    column: &SourceColumn,
    earlier: &[SourceColumn],
) {
    let fields = |column: &SourceColumn| -> Vec<String> {
        let first = std::iter::once(&column.header);
        first.chain(&column.notation.parts).cloned().collect()
    };
    let own = fields(column);
    if column.metadata.is_some() {
        return;
    }
    let shared = earlier
        .iter()
        .filter(|other| other.metadata.is_none())
        .flat_map(|other| fields(other).into_iter().map(move |field| (other, field)))
        .find(|(_, field)| own.contains(field));
    if let Some((other, field)) = shared {
        let what = format!(
            "{} is read from {}, as {} is",
            quoted(&column.name),
            quoted(&field),
            quoted(&other.name)
        );
        let wrong = Wrong::new(what)
            .expected("a field of its own for every column")
            .hint("[derive] makes a second column of one field");
        report.add_name(path, wrong);
    }
}
