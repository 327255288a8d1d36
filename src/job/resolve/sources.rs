//! Sources: one union of rows by column name.

use std::collections::HashSet;
use std::path::Path;

use super::columns::{Owner, check_parts, read_columns};
use super::continuous::read_arrival;
use super::follow::check_format;
use super::report::{Report, Wrong};
use super::transport::Input;
use super::types::type_text;
use super::words::check_name;
use crate::job::plan::{Column, ColumnType, SourceColumn, SourcePlan};
use crate::job::problems::quoted;
use crate::job::spec::{Named, SourceSpec};
use crate::sources::generate::VENTAS_COLUMNS;

/// The sources, resolved as far as they could be.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// In file order; `None`: faulty.
    pub(super) plans: Vec<Option<SourcePlan>>,
    /// The union of their columns, by id.
    pub(super) columns: Vec<Column>,
    /// Names of faulty columns.
    pub(super) faulty: HashSet<String>,
    /// The event time they share.
    pub(super) event_time: EventTime,
}

/// Whether there is one column that holds the event time of every row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum EventTime {
    /// The column with this id.
    Column(usize),
    /// There is none, and why.
    Missing(Wrong),
    /// There may be one, but its fault is reported already.
    #[default]
    Faulty,
}

impl EventTime {
    /// The column's id, or nothing after `path`, which needs it, is reported.
    pub(super) fn need(&self, report: &mut Report<'_>, path: &[&str]) -> Option<usize> {
        match self {
            Self::Column(id) => Some(*id),
            Self::Missing(wrong) => {
                report.add(path, wrong.clone());
                None
            }
            Self::Faulty => None,
        }
    }
}

/// Resolves `[sources]`.
pub(super) fn resolve_sources(
    report: &mut Report<'_>,
    specs: &Named<SourceSpec>,
    folder: &Path,
    is_continuous: bool,
) -> Sources {
    let mut sources = Sources::default();
    if specs.is_empty() {
        report.add(
            &["sources"],
            Wrong::new("there are no sources").expected("at least one, such as [sources.sales]"),
        );
    }
    let mut types: Vec<(ColumnType, &str)> = Vec::new();
    let mut times = Vec::with_capacity(specs.len());
    for (name, spec) in specs.iter() {
        let path = ["sources", name];
        report.check_name(&path, check_name(name));
        let input = Input {
            files: spec.files.as_ref(),
            generate: spec.generate.as_ref(),
            kafka: spec.kafka.as_ref(),
            csv: spec.csv.as_ref(),
            json: spec.json.as_ref(),
            parquet: spec.parquet.as_ref(),
            arrow: spec.arrow.as_ref(),
            avro: spec.avro.as_ref(),
            debezium: None,
        };
        let transport = input.transport(report, &path, folder);
        let mut format = input.format(report, &path);
        check_format(report, &path, spec, format.as_ref());
        let is_json = spec.json.is_some();
        let owner = if spec.kafka.is_some() {
            Owner::Messages
        } else {
            Owner::Source
        };
        let mut read = read_columns(report, &path, &spec.columns, owner, is_json);
        read.tell(&mut format);
        let is_generated = spec.generate.is_some();
        check_parts(
            report,
            &path,
            spec.csv.as_ref(),
            is_generated,
            &read.columns,
        );
        if spec.generate.is_some() {
            check_generated(report, &path, spec, &read.columns);
        }
        for column in &mut read.columns {
            column.id = unite(report, &mut sources.columns, &mut types, name, column);
        }
        let arrival = read_arrival(report, &path, spec, is_continuous);
        let time = find_event_time(report, &path, spec, &read.columns, &read.faulty);
        sources.faulty.extend(read.faulty);
        times.push((name, time.clone()));
        let event_time = if let EventTime::Column(id) = time {
            Some(id)
        } else {
            None
        };
        let plan = transport.zip(format).map(|(transport, format)| SourcePlan {
            name: name.to_owned(),
            event_time,
            transport,
            arrival,
            format,
            columns: read.columns,
        });
        sources.plans.push(plan);
    }
    // A row of a source that lacks a column has no value there.
    for column in &mut sources.columns {
        column.nullable |= column.relations.len() < specs.len();
    }
    sources.event_time = shared_event_time(&times, &sources.columns);
    sources
}

/// The generator writes its own columns, and CSV of one kind.
fn check_generated(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &SourceSpec,
    columns: &[SourceColumn],
) {
    for column in columns {
        let header = column.header.as_str();
        if !VENTAS_COLUMNS.contains(&header) {
            let wrong = Wrong::new(format!("the generator has no column {}", quoted(header)))
                .expected(VENTAS_COLUMNS.join(", "))
                .did_you_mean(header, VENTAS_COLUMNS);
            report.add(&[path, &["columns", &column.name]].concat(), wrong);
        }
    }
    let Some(csv) = &spec.csv else { return };
    for (option, given) in [
        (
            "delimiter",
            csv.delimiter.as_deref().is_some_and(|given| given != ","),
        ),
        (
            "quote",
            csv.quote.as_deref().is_some_and(|given| given != "\""),
        ),
        ("header", csv.header.is_some()),
        ("skip_first", csv.skip_first.is_some()),
        ("skip_last", csv.skip_last.is_some()),
    ] {
        if given {
            let wrong =
                Wrong::new("the generator's records are separated by commas and bound by name")
                    .hint(format!("leave out `{option}`"));
            report.add(&[path, &["csv", option]].concat(), wrong);
        }
    }
}

/// Finds or adds a column of the union and gives its id.
fn unite<'a>(
    report: &mut Report<'_>,
    columns: &mut Vec<Column>,
    types: &mut Vec<(ColumnType, &'a str)>,
    source: &'a str,
    column: &SourceColumn,
) -> usize {
    let Some(id) = columns.iter().position(|known| known.name == column.name) else {
        columns.push(Column {
            relations: vec![source.to_owned()],
            name: column.name.clone(),
            data_type: column.column_type.data_type(),
            nullable: !column.not_null,
        });
        types.push((column.column_type, source));
        return columns.len() - 1;
    };
    let (known, first) = types[id];
    if known != column.column_type {
        let what = format!(
            "column {} is {} here and {} in source {}",
            quoted(&column.name),
            type_text(column.column_type),
            type_text(known),
            quoted(first)
        );
        let wrong = Wrong::new(what)
            .expected("one type for one name: several sources are one union by column name");
        report.add(
            &["sources", source, "columns", &column.name],
            wrong.hint("give one of them another name, or cast it in [derive]"),
        );
    }
    columns[id].relations.push(source.to_owned());
    columns[id].nullable |= !column.not_null;
    id
}

fn find_event_time(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &SourceSpec,
    columns: &[SourceColumn],
    faulty: &[String],
) -> EventTime {
    let Some(written) = &spec.event_time else {
        let source = path.last().copied().unwrap_or_default();
        return EventTime::Missing(
            Wrong::new(format!("source {} has no event time", quoted(source)))
                .hint(format!("set `event_time` in [sources.{source}]")),
        );
    };
    if faulty.contains(written) {
        return EventTime::Faulty;
    }
    let path = [path, &["event_time"]].concat();
    let Some(column) = columns.iter().find(|column| column.name == *written) else {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let wrong = Wrong::new(format!("{} is not a known column", quoted(written)))
            .expected(names.join(", "));
        report.add(&path, wrong.did_you_mean(written, names));
        return EventTime::Faulty;
    };
    if column.column_type != ColumnType::Timestamp {
        let what = format!(
            "column {} is of type {}",
            quoted(written),
            type_text(column.column_type)
        );
        report.add(
            &path,
            Wrong::new(what).expected("a column of type timestamp"),
        );
        return EventTime::Faulty;
    }
    EventTime::Column(column.id)
}

/// The one event time of all sources.
fn shared_event_time(times: &[(&str, EventTime)], columns: &[Column]) -> EventTime {
    let mut shared: Option<(&str, usize)> = None;
    for (source, time) in times {
        match (time, shared) {
            (EventTime::Column(id), None) => shared = Some((source, *id)),
            (EventTime::Column(id), Some((first, other))) if *id != other => {
                let what = format!(
                    "the event time is {} in source {} and {} in source {}",
                    quoted(&columns[other].name),
                    quoted(first),
                    quoted(&columns[*id].name),
                    quoted(source)
                );
                return EventTime::Missing(
                    Wrong::new(what)
                        .expected("one column for all sources")
                        .hint("give it one name; `header` says what it is called in a file"),
                );
            }
            (EventTime::Column(_), Some(_)) => {}
            (other, _) => return other.clone(),
        }
    }
    shared.map_or(EventTime::Faulty, |(_, id)| EventTime::Column(id))
}
