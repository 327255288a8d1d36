//! Sinks: which table goes where, as what, and with which columns.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use arrow_schema::DataType;
use chrono_tz::Tz;

use super::clusters::{Clusters, check_loops};
use super::kafka::check_registry;
use super::report::{Report, Wrong};
use super::scope::{Scope, sql_name};
use super::topics::read_topic;
use super::units::read_duration_in;
use super::windows::Window;
use super::words::{check_column_name, check_name, read_byte};
use crate::job::plan::{
    AvroOptions, CheckPlan, Column, Compression, Decimals, DeltaMerge, DeltaPlan, KafkaCluster,
    KafkaSink, KafkaSource, OutputColumn, SinkFormat, SinkFrom, SinkPlan, SinkTo,
};
use crate::job::problems::{nearest, quoted};
use crate::job::spec::{
    self, AvroSinkSpec, CheckSpec, FilesSinkSpec, Named, ParquetSinkSpec, SinkSpec, WindowSpec,
};
use crate::job::tables::{
    ROWS, duplicate_columns, refused_columns_of, verdict_columns, window_columns,
};
use crate::sinks::{avro, delta};

/// How long small files of a Delta table stay that were put together: Delta's default.
const KEEP_MERGED: Duration = Duration::from_hours(7 * 24);

/// Longest time that they may stay.
const MOST_KEPT: Duration = Duration::from_hours(10 * 365 * 24);

/// The tables that sinks may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables<'a> {
    /// All columns of a row, and which of them are faulty.
    pub(super) rows: &'a Scope,
    /// Names of faulty columns of rows.
    pub(super) faulty: &'a HashSet<String>,
    /// How many of them are the sources'.
    pub(super) source_columns: usize,
    /// Ids of the derived columns, in file order.
    pub(super) derived: &'a [usize],
    /// Whether the job looks for rows that repeat another.
    pub(super) finds_duplicates: bool,
    pub(super) window_specs: &'a Named<WindowSpec>,
    pub(super) windows: &'a [Window],
    pub(super) check_specs: &'a Named<CheckSpec>,
    pub(super) checks: &'a [CheckPlan],
    pub(super) time_zone: Tz,
    pub(super) is_continuous: bool,
    /// The job's name.
    pub(super) job: &'a str,
    /// The sources and look-ups that read topics, by their tables.
    pub(super) readers: &'a [(String, &'a KafkaSource)],
}

/// Resolves `[sinks]`, in file order, and the clusters they write to; faulty ones are left out.
pub(super) fn resolve_sinks(
    report: &mut Report<'_>,
    specs: &Named<SinkSpec>,
    tables: Tables<'_>,
) -> (Vec<SinkPlan>, Vec<KafkaCluster>) {
    if specs.is_empty() {
        report.add(
            &["sinks"],
            Wrong::new("there are no sinks").expected("at least one, such as [sinks.rows]"),
        );
    }
    let mut sinks = Vec::with_capacity(specs.len());
    let mut folders: Vec<(&str, PathBuf)> = Vec::new();
    let mut on_stdout: Option<&str> = None;
    let mut clusters = Clusters::default();
    let mut topics: Vec<(String, KafkaSink)> = Vec::new();
    for (name, spec) in specs.iter() {
        report.check_name(&["sinks", name], check_name(name));
        let from = read_from(report, name, spec.from.as_deref(), tables);
        let format = read_format(report, name, spec);
        let built = from.and_then(|from| built_table(from, tables));
        let scope = match from {
            Some(SinkFrom::Rows) => Some(tables.rows),
            _ => built.as_ref(),
        };
        let chosen = || match from {
            Some(SinkFrom::Rows) | None => choose_rows(tables),
            Some(_) => choose_all(built.as_ref().map_or(&[], Scope::columns)),
        };
        let columns = scope.and_then(|scope| read_columns(report, name, spec, scope, chosen));
        let to = match (&spec.files, &spec.stdout, &spec.kafka) {
            (Some(files), None, None) => {
                let folder = read_folder(report, name, &files.path);
                if let Some(folder) = &folder {
                    check_folder(report, name, folder, &folders);
                    folders.push((name, folder.clone()));
                }
                let partition_by = columns
                    .as_ref()
                    .map(|columns| read_partition(report, name, files, columns));
                folder
                    .zip(partition_by)
                    .map(|(path, partition_by)| SinkTo::Files { path, partition_by })
            }
            (None, None, Some(kafka)) => {
                check_messages(report, name, tables.is_continuous, format.as_ref());
                let cluster = clusters.take(report, name, kafka);
                let topic = scope.and_then(|scope| read_topic(report, name, kafka, scope, cluster));
                topic.map(|topic| {
                    check_create(report, name, &topic, &topics);
                    topics.push((name.to_owned(), topic.clone()));
                    SinkTo::Kafka(Box::new(topic))
                })
            }
            (None, Some(_), None) => {
                if let Some(other) = on_stdout {
                    let wrong = Wrong::new(format!(
                        "sink {} writes to standard output already",
                        quoted(other)
                    ))
                    .expected("one such sink a job");
                    report.add(&["sinks", name, "stdout"], wrong);
                }
                if matches!(format, Some(SinkFormat::Parquet(_))) {
                    let wrong = Wrong::new("Parquet can't be written to standard output")
                        .expected("json or csv");
                    report.add(&["sinks", name, "parquet"], wrong);
                }
                on_stdout = Some(name);
                Some(SinkTo::Stdout)
            }
            _ => {
                report.add(
                    &["sinks", name],
                    Wrong::new("it has not exactly one transport")
                        .expected("one of files, stdout, kafka"),
                );
                None
            }
        };
        if spec.avro.is_some() {
            check_avro(report, name, to.as_ref(), columns.as_deref());
        }
        let delta = read_delta(report, name, spec.parquet.as_ref());
        if delta.is_some() {
            check_delta(
                report,
                name,
                tables.is_continuous,
                to.as_ref(),
                columns.as_deref(),
            );
        }
        if let (Some(from), Some(to), Some(format), Some(columns)) = (from, to, format, columns) {
            sinks.push(SinkPlan {
                delta,
                name: name.to_owned(),
                from,
                to,
                format,
                columns,
            });
        }
    }
    let clusters = clusters.finish(report, tables.job);
    check_loops(report, &topics, &clusters, tables.readers);
    (sinks, clusters)
}

/// What messages can't be.
fn check_messages(
    report: &mut Report<'_>,
    name: &str,
    is_continuous: bool,
    format: Option<&SinkFormat>,
) {
    if !is_continuous {
        let wrong = Wrong::new(
            "a job with an end writes no topics: it shows all that it wrote at its end, or nothing",
        );
        report.add(
            &["sinks", name, "kafka"],
            wrong
                .expected("files or stdout, or a source without an end")
                .hint("files = { paths = [\"…\"], follow = true } is a source without an end, as is `kafka`"),
        );
    }
    let word = match format {
        Some(SinkFormat::Parquet(_)) => "parquet",
        Some(SinkFormat::Csv { .. }) => "csv",
        Some(SinkFormat::Json(_) | SinkFormat::Avro(_)) | None => return,
    };
    let wrong = Wrong::new(format!("messages of format {word} are not written"));
    report.add(&["sinks", name, word], wrong.expected("json or avro"));
}

/// Sinks that write one topic and say how it is made say the same.
fn check_create(
    report: &mut Report<'_>,
    name: &str,
    topic: &KafkaSink,
    earlier: &[(String, KafkaSink)],
) {
    let other = earlier.iter().find(|(_, other)| {
        other.cluster == topic.cluster
            && other.topic == topic.topic
            && other.create.is_some()
            && topic.create.is_some()
            && other.create != topic.create
    });
    if let Some((other, _)) = other {
        let wrong = Wrong::new(format!(
            "sink {} makes topic {} in another way",
            quoted(other),
            quoted(&topic.topic)
        ));
        report.add(
            &["sinks", name, "kafka", "create"],
            wrong
                .expected("the same for all sinks of a topic")
                .hint("one of them may say it for all"),
        );
    }
}

fn read_from(
    report: &mut Report<'_>,
    name: &str,
    written: Option<&str>,
    tables: Tables<'_>,
) -> Option<SinkFrom> {
    let written = written.unwrap_or(ROWS);
    match written {
        "rows" => return Some(SinkFrom::Rows),
        "refused" => return Some(SinkFrom::Refused),
        "duplicates" => {
            if !tables.finds_duplicates {
                let wrong =
                    Wrong::new("the job looks for no duplicates, so that there are none to take")
                        .hint("[duplicates.NAME] says which rows repeat another");
                report.add(&["sinks", name, "from"], wrong);
            }
            return Some(SinkFrom::Duplicates);
        }
        "verdicts" => return Some(SinkFrom::Verdicts),
        _ => {}
    }
    let window = written
        .strip_prefix("windows.")
        .and_then(|window| tables.window_specs.position(window));
    if window.is_none() {
        let mut known = vec![
            "rows".to_owned(),
            "refused".to_owned(),
            "duplicates".to_owned(),
            "verdicts".to_owned(),
        ];
        known.extend(
            tables
                .window_specs
                .names()
                .map(|window| format!("windows.{window}")),
        );
        let wrong =
            Wrong::new(format!("{} is no table", quoted(written))).expected(known.join(", "));
        let wrong = match tables.window_specs.position(written) {
            Some(_) => wrong.hint(format!(
                "did you mean {}?",
                quoted(&format!("windows.{written}"))
            )),
            None => wrong.did_you_mean(written, known.iter().map(String::as_str)),
        };
        report.add(&["sinks", name, "from"], wrong);
    }
    window.map(SinkFrom::Windows)
}

/// How a sink is a Delta table, where it is one.
fn read_delta(
    report: &mut Report<'_>,
    name: &str,
    spec: Option<&ParquetSinkSpec>,
) -> Option<DeltaPlan> {
    let spec = spec?;
    let path = |option: &'static str| ["sinks", name, "parquet", option];
    let is_table = spec.delta == Some(true);
    let merges = spec.merge_files == Some(true);
    let mut keep = KEEP_MERGED;
    if let Some(text) = &spec.keep_merged
        && let Some(read) = report.take(
            &path("keep_merged"),
            read_duration_in(text, Duration::ZERO, MOST_KEPT),
        )
    {
        keep = read;
    }
    for (option, is_given, is_used, needs) in [
        (
            "merge_files",
            spec.merge_files.is_some(),
            is_table,
            "`delta = true`",
        ),
        (
            "keep_merged",
            spec.keep_merged.is_some(),
            is_table && merges,
            "`delta = true` and `merge_files = true`",
        ),
    ] {
        if is_given && !is_used {
            report.add(
                &path(option),
                Wrong::new(
                    "files are put together in Delta tables alone, and where that is wanted",
                )
                .expected(needs)
                .hint(format!("leave out `{option}`")),
            );
        }
    }
    is_table.then_some(DeltaPlan {
        merges: merges.then_some(DeltaMerge { keep }),
    })
}

/// What a Delta table can't be.
fn check_delta(
    report: &mut Report<'_>,
    name: &str,
    is_continuous: bool,
    to: Option<&SinkTo>,
    columns: Option<&[OutputColumn]>,
) {
    let path = ["sinks", name, "parquet", "delta"];
    if !is_continuous {
        report.add(
            &path,
            Wrong::new("a job with an end replaces its outputs as a whole, and adds to no table")
                .expected("no `delta`, or a source without an end (`kafka`)"),
        );
    }
    if matches!(to, Some(SinkTo::Stdout)) {
        report.add(&path, Wrong::new("a table is a folder").expected("`files`"));
    }
    for column in columns.unwrap_or_default() {
        let path = ["sinks", name, "columns", &column.name];
        let data_type = column.expression.data_type();
        if delta::type_name(data_type).is_none() {
            let wrong = Wrong::new(format!(
                "Delta has no type for column {}, which is {data_type}",
                quoted(&column.name)
            ));
            report.add(
                &path,
                wrong
                    .expected(
                        "a type such as varchar, bigint, decimal(18,2), double, date or timestamp",
                    )
                    .hint("cast it in the sink's `columns`"),
            );
        }
        if !delta::is_name(&column.name) {
            let wrong = Wrong::new(format!(
                "a column of a Delta table can't be called {}",
                quoted(&column.name)
            ));
            report.add_name(
                &path,
                wrong.expected("a name without blanks and without , ; { } ( ) ="),
            );
        }
    }
}

/// What Avro can't hold, and where it is not written.
fn check_avro(
    report: &mut Report<'_>,
    name: &str,
    to: Option<&SinkTo>,
    columns: Option<&[OutputColumn]>,
) {
    if matches!(to, Some(SinkTo::Files { .. } | SinkTo::Stdout)) {
        report.add(
            &["sinks", name, "avro"],
            Wrong::new("Avro is written into messages, not into files")
                .expected("parquet, json or csv, or the transport `kafka`"),
        );
    }
    for column in columns.unwrap_or_default() {
        let path = ["sinks", name, "columns", &column.name];
        let data_type = column.expression.data_type();
        if avro::type_of(data_type).is_none() {
            let wrong = Wrong::new(format!(
                "Avro has no type for column {}, which is {data_type}",
                quoted(&column.name)
            ));
            report.add(&path, wrong.hint("cast it in the sink's `columns`"));
        }
        if !avro::is_name(&column.name) {
            let wrong = Wrong::new(format!(
                "a field of Avro can't be called {}",
                quoted(&column.name)
            ));
            report.add_name(
                &path,
                wrong
                    .expected("letters a–z, digits and _, not beginning with a digit")
                    .hint("the sink's `columns` give other names"),
            );
        }
    }
}

/// Reads the table `avro` of the sink `name`; its subject is that of its topic, where the job says none.
fn read_avro(
    report: &mut Report<'_>,
    name: &str,
    spec: &AvroSinkSpec,
    topic: Option<&str>,
) -> Option<SinkFormat> {
    let before = report.len();
    let at = |option: &'static str| ["sinks", name, "avro", option];
    report.take(&at("registry"), check_registry(&spec.registry));
    let given = [
        (
            "name",
            spec.name.as_deref(),
            "letters a–z, digits and _, not beginning with a digit",
        ),
        (
            "namespace",
            spec.namespace.as_deref(),
            "names with dots between them, such as \"com.example.ventas\"",
        ),
    ];
    for (option, text, expected) in given {
        let Some(text) = text else { continue };
        let parts = if option == "name" {
            vec![text]
        } else {
            text.split('.').collect()
        };
        if !parts.into_iter().all(avro::is_name) {
            let wrong = Wrong::new(format!("{} is no {option} in Avro", quoted(text)));
            report.add(&at(option), wrong.expected(expected));
        }
    }
    if let Some(subject) = spec.subject.as_deref()
        && (subject.trim().is_empty() || subject.chars().any(char::is_control))
    {
        let wrong = Wrong::new(format!("{} is no subject", quoted(subject)));
        report.add(
            &at("subject"),
            wrong.expected("a name, such as \"ventas-limpias-value\""),
        );
    }
    let subject = spec.subject.clone();
    let options = AvroOptions {
        registry: spec.registry.clone(),
        subject: subject.unwrap_or_else(|| format!("{}-value", topic.unwrap_or(name))),
        name: spec.name.clone().unwrap_or_else(|| name.to_owned()),
        namespace: spec.namespace.clone(),
        register: spec.register.unwrap_or(true),
        schema: None,
    };
    (report.len() == before).then(|| SinkFormat::Avro(Box::new(options)))
}

fn read_format(report: &mut Report<'_>, name: &str, spec: &SinkSpec) -> Option<SinkFormat> {
    match (&spec.parquet, &spec.json, &spec.csv, &spec.avro) {
        (Some(parquet), None, None, None) => Some(SinkFormat::Parquet(match parquet.compression {
            Some(spec::Compression::Zstd) | None => Compression::Zstd,
            Some(spec::Compression::Snappy) => Compression::Snappy,
            Some(spec::Compression::None) => Compression::None,
        })),
        (None, Some(json), None, None) => Some(SinkFormat::Json(match json.decimals {
            Some(spec::DecimalsSpec::Number) | None => Decimals::Number,
            Some(spec::DecimalsSpec::Text) => Decimals::Text,
        })),
        (None, None, None, Some(avro)) => {
            let topic = spec.kafka.as_ref().map(|kafka| kafka.topic.as_str());
            read_avro(report, name, avro, topic)
        }
        (None, None, Some(csv), None) => {
            let path = ["sinks", name, "csv", "delimiter"];
            let delimiter = match &csv.delimiter {
                None => b',',
                Some(text) => report.take(&path, read_byte(text))?,
            };
            if delimiter == b'"' {
                report.add(
                    &path,
                    Wrong::new("\"\\\"\" stands around fields and can't stand between them")
                        .expected("another character"),
                );
                return None;
            }
            Some(SinkFormat::Csv { delimiter })
        }
        _ => {
            report.add(
                &["sinks", name],
                Wrong::new("it has not exactly one format")
                    .expected("one of parquet, json, csv, avro"),
            );
            None
        }
    }
}

/// The columns of a table other than `rows`, by name.
fn built_table(from: SinkFrom, tables: Tables<'_>) -> Option<Scope> {
    if from == SinkFrom::Rows {
        return None;
    }
    let (columns, faulty) = table(from, tables)?;
    Some(Scope::new(columns, faulty, tables.time_zone))
}

/// The sink's columns: as declared, or all of the table, which are those that are chosen.
fn read_columns(
    report: &mut Report<'_>,
    name: &str,
    spec: &SinkSpec,
    scope: &Scope,
    chosen: impl Fn() -> Vec<(String, usize)>,
) -> Option<Vec<OutputColumn>> {
    let before = report.len();
    let mut columns = Vec::new();
    match &spec.columns {
        Some(declared) => {
            let path = ["sinks", name, "columns"];
            if declared.is_empty() {
                report.add(
                    &path,
                    Wrong::new("there are no columns")
                        .expected("at least one")
                        .hint("leave `columns` out to write all"),
                );
            }
            for (column, text) in declared.iter() {
                let path = ["sinks", name, "columns", column];
                report.check_name(&path, check_column_name(column));
                if let Some(expression) = scope.expression(report, &path, text) {
                    columns.push(OutputColumn {
                        name: column.to_owned(),
                        expression,
                    });
                }
            }
            if columns.len() < declared.len() {
                return None;
            }
        }
        None => {
            for (column, id) in chosen() {
                let text = sql_name(&scope.columns()[id]);
                if let Some(expression) = scope.expression(report, &["sinks", name], &text) {
                    columns.push(OutputColumn {
                        name: column,
                        expression,
                    });
                }
            }
        }
    }
    (report.len() == before).then_some(columns)
}

/// Columns of a table other than `rows`, and the names of faulty ones; nothing where the table is faulty as a whole.
fn table(from: SinkFrom, tables: Tables<'_>) -> Option<(Vec<Column>, HashSet<String>)> {
    match from {
        SinkFrom::Rows => Some((tables.rows.columns().to_vec(), tables.faulty.clone())),
        SinkFrom::Refused => Some((
            refused_columns_of(&tables.rows.columns()[..tables.source_columns]),
            tables.faulty.clone(),
        )),
        SinkFrom::Duplicates => Some((
            duplicate_columns(tables.rows.columns()),
            tables.faulty.clone(),
        )),
        SinkFrom::Verdicts => Some((verdict_columns(), HashSet::new())),
        SinkFrom::Windows(index) => {
            let window = &tables.windows[index];
            let columns = window_columns(
                window.plan.as_ref()?,
                index,
                tables.rows.columns(),
                tables.checks,
            );
            let is_faulty = |check: &str| !tables.checks.iter().any(|known| known.name == check);
            let values = tables
                .check_specs
                .iter()
                .filter(|(check, _)| is_faulty(check))
                .filter_map(|(_, spec)| spec.value.as_ref());
            Some((
                columns,
                window
                    .faulty
                    .iter()
                    .chain(tables.faulty)
                    .chain(values)
                    .cloned()
                    .collect(),
            ))
        }
    }
}

/// All columns of clean rows, and their names in the output: of the sources, of the look-ups (`LOOKUP_COLUMN` where the
/// bare name is taken), derived ones in file order.
fn choose_rows(tables: Tables<'_>) -> Vec<(String, usize)> {
    let columns = tables.rows.columns();
    let first_derived = columns.len() - tables.derived.len();
    let ids = (0..first_derived).chain(tables.derived.iter().copied());
    choose(columns, ids)
}

/// All columns of another table.
fn choose_all(columns: &[Column]) -> Vec<(String, usize)> {
    choose(columns, 0..columns.len())
}

fn choose(columns: &[Column], ids: impl Iterator<Item = usize>) -> Vec<(String, usize)> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut chosen = Vec::with_capacity(columns.len());
    for id in ids {
        let column = &columns[id];
        let mut name = column.name.clone();
        if taken.contains(&name)
            && let Some(relation) = column.relations.first()
        {
            name = format!("{relation}_{name}");
        }
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        chosen.push((name, id));
    }
    chosen
}

/// Reads the folder of a sink: inside the output, and seen by readers.
fn read_folder(report: &mut Report<'_>, name: &str, text: &str) -> Option<PathBuf> {
    let path = ["sinks", name, "files", "path"];
    let wrong = |what: &str| Wrong::new(format!("{} {what}", quoted(text)));
    let expected = "a folder inside [job] output, such as \"enriched\"";
    if text.contains("://") {
        let fault = wrong("is no folder: files of sinks can't be written to a bucket");
        report.add(
            &path,
            fault
                .expected(expected)
                .hint("write to a folder and copy it from there"),
        );
        return None;
    }
    let mut folder = PathBuf::new();
    for component in Path::new(text).components() {
        if component == Component::CurDir {
            continue;
        }
        let Component::Normal(part) = component else {
            report.add(
                &path,
                wrong("is not inside the output")
                    .expected(expected)
                    .hint("[job] output says where all files go"),
            );
            return None;
        };
        let part = part.to_string_lossy();
        if part.starts_with(['.', '_']) {
            let fault =
                wrong("is hidden: readers skip names that begin with a point or an underscore");
            report.add(&path, fault.expected(expected));
            return None;
        }
        folder.push(part.as_ref());
    }
    if folder.as_os_str().is_empty() {
        report.add(&path, wrong("is no folder").expected(expected));
        return None;
    }
    Some(folder)
}

/// Each sink's folder is replaced as a whole, so that none may hold another.
fn check_folder(report: &mut Report<'_>, name: &str, folder: &Path, earlier: &[(&str, PathBuf)]) {
    let Some((other, taken)) = earlier
        .iter()
        .find(|(_, taken)| folder.starts_with(taken) || taken.starts_with(folder))
    else {
        return;
    };
    let relation = if folder == taken.as_path() {
        "is the folder of"
    } else if folder.starts_with(taken) {
        "is inside the folder of"
    } else {
        "holds the folder of"
    };
    let wrong = Wrong::new(format!(
        "{} {relation} sink {}",
        quoted(&folder.to_string_lossy()),
        quoted(other)
    ));
    report.add(
        &["sinks", name, "files", "path"],
        wrong.expected("a folder of its own"),
    );
}

fn read_partition(
    report: &mut Report<'_>,
    name: &str,
    files: &FilesSinkSpec,
    columns: &[OutputColumn],
) -> Vec<usize> {
    let path = ["sinks", name, "files", "partition_by"];
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut positions = Vec::new();
    for (index, written) in files
        .partition_by
        .as_deref()
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let index = index.to_string();
        let path = ["sinks", name, "files", "partition_by", &index];
        let Some(position) = names.iter().position(|name| name == written) else {
            let wrong = Wrong::new(format!("{} is no column of the sink", quoted(written)))
                .expected(names.join(", "));
            let hint = nearest(written, names.iter().copied())
                .map(|near| format!("did you mean {}?", quoted(near)));
            report.add(
                &path,
                wrong.hint(hint.unwrap_or_else(|| format!("add it to [sinks.{name}.columns]"))),
            );
            continue;
        };
        if positions.contains(&position) {
            report.add(
                &path,
                Wrong::new(format!("column {} is named twice", quoted(written)))
                    .hint("leave one out"),
            );
            continue;
        }
        if columns[position].expression.data_type() == &DataType::Float64 {
            let wrong = Wrong::new(format!(
                "column {} is of type double, which makes no folders",
                quoted(written)
            ));
            report.add(&path, wrong.expected("columns of another type"));
        }
        positions.push(position);
    }
    if !columns.is_empty() && positions.len() == columns.len() {
        let wrong = Wrong::new("all columns stand in the path, so that files would be empty")
            .expected("at least one column that is not in `partition_by`");
        report.add(&path, wrong);
    }
    positions
}
