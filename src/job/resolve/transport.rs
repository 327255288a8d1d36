//! Transports and formats of what is read: where bytes come from and what they are.

use std::path::{Path, PathBuf};

use super::follow::read_files;
use super::kafka::{read_kafka, read_message_format};
use super::report::{Report, Wrong};
use super::words::{read_byte, read_encoding};
use crate::job::plan::{
    CsvOptions, EmptyArray, Format, JsonOptions, LineEnd, OnNul, Records, Transport,
};
use crate::job::problems::quoted;
use crate::job::spec::{
    self, ArrowSpec, AvroSpec, CsvSpec, DebeziumSpec, FilesSpec, GenerateSpec, JsonSpec, KafkaSpec,
    ParquetSpec,
};
use crate::record::Encoding;

/// The tables of a source or look-up that say where it is read from and what it is.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) files: Option<&'a FilesSpec>,
    pub(super) generate: Option<&'a GenerateSpec>,
    pub(super) kafka: Option<&'a KafkaSpec>,
    pub(super) csv: Option<&'a CsvSpec>,
    pub(super) json: Option<&'a JsonSpec>,
    pub(super) parquet: Option<&'a ParquetSpec>,
    pub(super) arrow: Option<&'a ArrowSpec>,
    pub(super) avro: Option<&'a AvroSpec>,
    pub(super) debezium: Option<&'a DebeziumSpec>,
}

impl Input<'_> {
    /// The transport; paths are relative to `folder`, that of the job file.
    pub(super) fn transport(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        folder: &Path,
    ) -> Option<Transport> {
        match (self.files, self.generate, self.kafka) {
            (Some(files), None, None) => {
                let path = [path, &["files"]].concat();
                let at = [path.as_slice(), &["paths"]].concat();
                let paths = read_paths(report, &at, &files.paths, folder)?;
                read_files(report, &path, files, paths)
            }
            (None, Some(generate), None) => Some(Transport::Generate {
                rows: generate.rows,
                seed: generate.seed.unwrap_or(1),
            }),
            (None, None, Some(kafka)) => {
                let kafka = read_kafka(report, &[path, &["kafka"]].concat(), kafka)?;
                Some(Transport::Kafka(Box::new(kafka)))
            }
            _ => {
                report.add(
                    path,
                    Wrong::new("it has not exactly one transport")
                        .expected("one of files, generate, kafka"),
                );
                None
            }
        }
    }

    /// The format.
    pub(super) fn format(&self, report: &mut Report<'_>, path: &[&str]) -> Option<Format> {
        let formats = [
            ("csv", self.csv.is_some()),
            ("json", self.json.is_some()),
            ("parquet", self.parquet.is_some()),
            ("arrow", self.arrow.is_some()),
            ("avro", self.avro.is_some()),
            ("debezium", self.debezium.is_some()),
        ];
        let mut given = formats.iter().filter(|(_, given)| *given);
        let (Some((format, _)), None) = (given.next(), given.next()) else {
            let wrong = Wrong::new("it has not exactly one format");
            report.add(
                path,
                wrong.expected("one of csv, json, parquet, arrow, avro"),
            );
            return None;
        };
        if self.kafka.is_some() {
            return read_message_format(report, path, format, self.json, self.avro);
        }
        match (*format, self.csv) {
            ("csv", Some(csv)) => {
                let path = [path, &["csv"]].concat();
                read_csv(report, &path, csv).map(Format::Csv)
            }
            ("json", _) => {
                let json = self.json?;
                let path = [path, &["json"]].concat();
                Some(Format::Json(read_json(report, &path, json)))
            }
            (format, _) if self.generate.is_some() => {
                let wrong = Wrong::new(format!("the generator writes no {format}"));
                report.add(&[path, &[format]].concat(), wrong.expected("csv or json"));
                None
            }
            ("arrow", _) => Some(Format::Arrow),
            ("avro", _) => {
                if self.avro.is_some_and(|avro| avro.registry.is_some()) {
                    let wrong =
                        Wrong::new("container files hold their schema, and no registry is asked");
                    report.add(
                        &[path, &["avro", "registry"]].concat(),
                        wrong.hint("leave out `registry`"),
                    );
                }
                Some(Format::Avro)
            }
            ("debezium", _) => Some(Format::Debezium),
            _ => Some(Format::Parquet),
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

pub(super) fn read_json(report: &mut Report<'_>, path: &[&str], spec: &JsonSpec) -> JsonOptions {
    let max_depth = spec.max_depth.map_or(JsonOptions::MAX_DEPTH, |depth| {
        usize::try_from(depth).expect("the document holds it to its range")
    });
    let at = [path, &["encoding"]].concat();
    JsonOptions {
        encoding: encoding(report, &at, spec.encoding.as_deref()),
        on_nul: on_nul(spec.on_nul),
        records: match spec.records {
            None | Some(spec::RecordsSpec::Lines) => Records::Lines,
            Some(spec::RecordsSpec::Array) => Records::Array,
            Some(spec::RecordsSpec::Objects) => Records::Objects,
        },
        max_depth,
        empty_array: match spec.empty_array {
            None | Some(spec::EmptyArraySpec::Row) => EmptyArray::Row,
            Some(spec::EmptyArraySpec::Drop) => EmptyArray::Drop,
        },
        as_written: Vec::new(),
    }
}

fn encoding(report: &mut Report<'_>, path: &[&str], label: Option<&str>) -> Encoding {
    label
        .and_then(|label| report.take(path, read_encoding(label)))
        .unwrap_or_default()
}

fn on_nul(written: Option<spec::OnNul>) -> OnNul {
    match written {
        Some(spec::OnNul::Strip) => OnNul::Strip,
        Some(spec::OnNul::Refuse) | None => OnNul::Refuse,
    }
}

/// Reads a character of structure and holds it against those before it: one character has one meaning.
fn mark(
    report: &mut Report<'_>,
    path: &[&str],
    text: &str,
    before: &mut Vec<(&'static str, u8)>,
    option: &'static str,
) -> Option<u8> {
    let path = [path, &[option]].concat();
    let byte = report.take(&path, read_byte(text))?;
    if let Some((other, _)) = before.iter().find(|(_, known)| *known == byte) {
        let shown = quoted(&char::from(byte).to_string());
        let wrong = Wrong::new(format!("{shown} is {other} and {option} at once"))
            .expected("two different characters");
        report.add(
            &path,
            if (*other, option) == ("quote", "escape") {
                wrong.hint("within quotes two quotes are one without it; leave out `escape`")
            } else {
                wrong
            },
        );
        return None;
    }
    before.push((option, byte));
    Some(byte)
}

fn read_csv(report: &mut Report<'_>, path: &[&str], spec: &CsvSpec) -> Option<CsvOptions> {
    let at = |option: &'static str| [path, &[option]].concat();
    let marks = &mut Vec::new();
    let delimiter = spec.delimiter.as_deref().unwrap_or(",");
    let delimiter = mark(report, path, delimiter, marks, "delimiter");
    let quote = match spec.quote.as_deref().unwrap_or("\"") {
        "" => Some(None),
        text => mark(report, path, text, marks, "quote").map(Some),
    };
    let mut more = |option, text: Option<&str>| match text {
        None => Some(None),
        Some(text) => mark(report, path, text, marks, option).map(Some),
    };
    let escape = more("escape", spec.escape.as_deref());
    let comment = more("comment", spec.comment.as_deref());
    let encoding = encoding(report, &at("encoding"), spec.encoding.as_deref());
    let (delimiter, quote, escape, comment) = (delimiter?, quote?, escape?, comment?);
    let header = spec.header.unwrap_or(true);
    if !header && spec.skip_repeated_header == Some(true) {
        let wrong = Wrong::new("files without a header line have none to repeat")
            .hint("leave out `skip_repeated_header` or `header = false`");
        report.add(&at("skip_repeated_header"), wrong);
    }
    Some(CsvOptions {
        delimiter,
        quote,
        escape,
        comment,
        line_end: match spec.line_end {
            Some(spec::LineEnd::Any) | None => LineEnd::Any,
            Some(spec::LineEnd::Lf) => LineEnd::Lf,
            Some(spec::LineEnd::Cr) => LineEnd::Cr,
        },
        encoding,
        on_nul: on_nul(spec.on_nul),
        skip_first: spec.skip_first.unwrap_or(0),
        skip_last: spec.skip_last.unwrap_or(0),
        header,
        nulls: spec.nulls.clone().unwrap_or_else(|| vec![String::new()]),
        skip_repeated_header: spec.skip_repeated_header.unwrap_or(false),
        skip_blank: spec.skip_blank.unwrap_or(false),
    })
}
