//! Transports and formats of what is read: where bytes come from and what they are.

use std::path::{Path, PathBuf};

use super::report::{Report, Wrong};
use super::words::read_byte;
use crate::job::plan::{CsvOptions, Format, Transport};
use crate::job::problems::quoted;
use crate::job::spec::{CsvSpec, FilesSpec, GenerateSpec, JsonSpec, ParquetSpec};

/// The tables of a source or look-up that say where it is read from and what it is.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) files: Option<&'a FilesSpec>,
    pub(super) generate: Option<&'a GenerateSpec>,
    pub(super) csv: Option<&'a CsvSpec>,
    pub(super) json: Option<&'a JsonSpec>,
    pub(super) parquet: Option<&'a ParquetSpec>,
}

impl Input<'_> {
    /// The transport; paths are relative to `folder`, that of the job file.
    pub(super) fn transport(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        folder: &Path,
    ) -> Option<Transport> {
        match (self.files, self.generate) {
            (Some(files), None) => {
                let path = [path, &["files", "paths"]].concat();
                let paths = read_paths(report, &path, &files.paths, folder)?;
                let per_process = files.per_process.unwrap_or(false);
                Some(Transport::Files { paths, per_process })
            }
            (None, Some(generate)) => Some(Transport::Generate {
                rows: generate.rows,
                seed: generate.seed.unwrap_or(1),
            }),
            _ => {
                report.add(
                    path,
                    Wrong::new("it has not exactly one transport")
                        .expected("one of files, generate"),
                );
                None
            }
        }
    }

    /// The format.
    pub(super) fn format(&self, report: &mut Report<'_>, path: &[&str]) -> Option<Format> {
        match (self.csv, self.json, self.parquet) {
            (Some(csv), None, None) => {
                let path = [path, &["csv"]].concat();
                read_csv(report, &path, csv).map(Format::Csv)
            }
            (None, Some(_), None) => Some(Format::Json),
            (None, None, Some(_)) if self.generate.is_some() => {
                let wrong = Wrong::new("the generator writes no Parquet").expected("csv or json");
                report.add(&[path, &["parquet"]].concat(), wrong);
                None
            }
            (None, None, Some(_)) => Some(Format::Parquet),
            _ => {
                report.add(
                    path,
                    Wrong::new("it has not exactly one format")
                        .expected("one of csv, json, parquet"),
                );
                None
            }
        }
    }
}

fn read_paths(
    report: &mut Report<'_>,
    path: &[&str],
    paths: &[String],
    folder: &Path,
) -> Option<Vec<PathBuf>> {
    if paths.is_empty() {
        report.add(
            path,
            Wrong::new("there are no paths")
                .expected("at least one path or pattern, such as \"ventas/part-*.csv\""),
        );
        return None;
    }
    let mut read = Vec::with_capacity(paths.len());
    for (index, text) in paths.iter().enumerate() {
        let index = index.to_string();
        let place = [path, &[index.as_str()]].concat();
        if text.trim().is_empty() {
            report.add(
                &place,
                Wrong::new("the path is empty")
                    .expected("a path or pattern relative to the job file"),
            );
            continue;
        }
        if let Err(error) = glob::Pattern::new(text) {
            report.add(
                &place,
                Wrong::new(format!("{} is no pattern: {}", quoted(text), error.msg))
                    .expected("*, ?, ** and […] in their places"),
            );
            continue;
        }
        read.push(folder.join(text));
    }
    (read.len() == paths.len()).then_some(read)
}

fn read_csv(report: &mut Report<'_>, path: &[&str], spec: &CsvSpec) -> Option<CsvOptions> {
    let at = |option: &'static str| [path, &[option]].concat();
    let delimiter = match &spec.delimiter {
        None => Some(b','),
        Some(text) => report.take(&at("delimiter"), read_byte(text)),
    };
    let quote = match spec.quote.as_deref() {
        None => Some(Some(b'"')),
        Some("") => Some(None),
        Some(text) => report.take(&at("quote"), read_byte(text)).map(Some),
    };
    let (delimiter, quote) = (delimiter?, quote?);
    if quote == Some(delimiter) {
        let what = format!(
            "{} is delimiter and quote at once",
            quoted(&char::from(delimiter).to_string())
        );
        report.add(path, Wrong::new(what).expected("two different characters"));
        return None;
    }
    let header = spec.header.unwrap_or(true);
    if !header && spec.skip_repeated_header == Some(true) {
        let wrong = Wrong::new("files without a header line have none to repeat")
            .hint("leave out `skip_repeated_header` or `header = false`");
        report.add(&at("skip_repeated_header"), wrong);
    }
    Some(CsvOptions {
        delimiter,
        quote,
        header,
        nulls: spec.nulls.clone().unwrap_or_else(|| vec![String::new()]),
        skip_repeated_header: spec.skip_repeated_header.unwrap_or(false),
        skip_blank: spec.skip_blank.unwrap_or(false),
    })
}
