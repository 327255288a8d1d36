//! Look-ups: reference columns first, then, once all columns are known, the expressions that rows meet them by.

use std::path::Path;
use std::time::Duration;

use super::columns::{Owner, check_parts, read_columns};
use super::reasons::default_missing_reason;
use super::report::{Report, Wrong};
use super::scope::{Scope, sql_name};
use super::sources::EventTime;
use super::transport::Input;
use super::types::type_text;
use super::units::read_duration_in;
use super::words::{check_column_name, check_name, check_reason};
use crate::job::plan::{
    Aliases, Column, ColumnType, Duplicates, Fold, Format, LookupPlan, Missing, ReferenceColumn,
    SourceColumn, Transport, Unpivot, Validity,
};
use crate::job::problems::quoted;
use crate::job::spec::{self, FilesSpec, KafkaSpec, LookupSpec, Named};

/// Shortest time that a row waits.
const LEAST_WAIT: Duration = Duration::from_millis(20);

/// Longest time that a row waits: what is parked is held in memory and in every checkpoint.
const MOST_WAIT: Duration = Duration::from_hours(30 * 24);

/// A look-up of which everything is known but its expressions.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    name: &'a str,
    spec: &'a LookupSpec,
    transport: Option<Transport>,
    format: Option<Format>,
    columns: Vec<SourceColumn>,
    unpivot: Option<Unpivot>,
    reference: Vec<ReferenceColumn>,
    first_column: usize,
    /// Position of the column a row is valid from, and of the one it is valid to.
    validity: Option<(usize, Option<usize>)>,
    missing: Option<Missing>,
    duplicates: Option<Duplicates>,
    fold: Option<Fold>,
    aliases: Option<Aliases>,
    follow: bool,
    /// Names of columns that could not be read.
    pub(super) faulty: Vec<String>,
}

/// Reads `[lookups.NAME]`; its columns are added to `columns`.
pub(super) fn read_lookup<'a>(
    report: &mut Report<'_>,
    name: &'a str,
    spec: &'a LookupSpec,
    (folder, is_continuous): (&Path, bool),
    columns: &mut Vec<Column>,
) -> Draft<'a> {
    let path = ["lookups", name];
    report.check_name(&path, check_name(name));
    // Files of a look-up are read whole, also where they are read again.
    let files = spec.files.as_ref().map(|files| FilesSpec {
        follow: None,
        ..files.clone()
    });
    let input = Input {
        files: files.as_ref(),
        generate: spec.generate.as_ref(),
        kafka: spec.kafka.as_ref(),
        csv: spec.csv.as_ref(),
        json: spec.json.as_ref(),
        parquet: spec.parquet.as_ref(),
        arrow: spec.arrow.as_ref(),
        avro: spec.avro.as_ref(),
        debezium: spec.debezium.as_ref(),
    };
    if spec.debezium.is_some() {
        check_changes(report, name, spec);
    }
    if spec.generate.is_some() {
        report.add(
            &["lookups", name, "generate"],
            Wrong::new("the generator makes sales, not reference rows").expected("files"),
        );
    }
    if spec.files.as_ref().and_then(|files| files.per_process) == Some(true) {
        report.add(
            &["lookups", name, "files", "per_process"],
            Wrong::new("a look-up is read once, by process 0, and is the same for all")
                .hint("leave out `per_process`"),
        );
    }
    let follow = spec.files.as_ref().and_then(|files| files.follow) == Some(true);
    if follow && !is_continuous {
        report.add(
            &["lookups", name, "files", "follow"],
            Wrong::new("a job with an end reads its look-ups once")
                .expected("no `follow`, or a source without an end (`kafka`)"),
        );
    }
    if let Some(kafka) = &spec.kafka {
        check_topic(report, name, spec, kafka);
    }
    let transport = input.transport(report, &path, folder);
    let mut format = input.format(report, &path);
    let is_json = spec.json.is_some();
    let owner = if spec.kafka.is_some() {
        Owner::ReferenceMessages
    } else {
        Owner::Lookup
    };
    let mut read = read_columns(report, &path, &spec.columns, owner, is_json);
    read.tell(&mut format);
    check_parts(report, &path, spec.csv.as_ref(), false, &read.columns);
    let unpivot = match &spec.unpivot {
        Some(wide) => turn(report, name, spec, wide, &read.columns, &mut read.faulty),
        None => None,
    };
    let reference = match (&unpivot, &spec.unpivot) {
        (Some(unpivot), Some(wide)) => tall(unpivot, wide, &read.columns),
        _ => read
            .columns
            .iter()
            .map(|column| ReferenceColumn {
                name: column.name.clone(),
                column_type: column.column_type,
            })
            .collect(),
    };
    let mut draft = Draft {
        name,
        spec,
        transport,
        format,
        columns: read.columns,
        unpivot,
        reference,
        first_column: columns.len(),
        validity: None,
        missing: read_missing(report, name, spec, is_continuous),
        duplicates: None,
        fold: None,
        aliases: None,
        follow,
        faulty: read.faulty,
    };
    draft.validity = draft.read_validity(report);
    draft.duplicates = draft.read_duplicates(report);
    draft.fold = draft.read_fold(report);
    draft.aliases = draft.read_aliases(report);
    columns.extend(draft.row_columns());
    draft
}

impl Draft<'_> {
    /// Binds the expressions of `on` and of the row's time.
    pub(super) fn bind(
        self,
        report: &mut Report<'_>,
        scope: &Scope,
        event_time: &EventTime,
        time_zone: &str,
    ) -> Option<LookupPlan> {
        let mut on = Vec::with_capacity(self.spec.on.len());
        if self.spec.on.is_empty() {
            let wrong = Wrong::new("there is no key").expected(
                "a reference column and what it must equal, such as { region = \"sales.region\" }",
            );
            report.add(&["lookups", self.name, "on"], wrong);
        }
        for (key, text) in self.spec.on.iter() {
            let path = ["lookups", self.name, "on", key];
            let Some(position) = self.position(report, &path, key, true) else {
                continue;
            };
            if self
                .validity
                .is_some_and(|(from, to)| from == position || to == Some(position))
            {
                let wrong = Wrong::new(format!(
                    "{} holds the validity of a row and can't be a key",
                    quoted(key)
                ));
                report.add_name(
                    &path,
                    wrong.hint("the event time is compared with it in any case"),
                );
                continue;
            }
            let column_type = self.reference[position].column_type;
            if column_type == ColumnType::Double {
                let wrong = Wrong::new(format!(
                    "{} is of type double, and doubles are hardly ever equal",
                    quoted(key)
                ));
                report.add_name(
                    &path,
                    wrong.expected("a key of another type, such as decimal(p,s)"),
                );
                continue;
            }
            let data_type = column_type.data_type();
            if let Some(expression) = scope.expression_as(report, &path, text, &data_type) {
                on.push((position, expression));
            }
        }
        let validity = match self.validity {
            Some((from, to)) => {
                let path = ["lookups", self.name, "valid_from"];
                let column = event_time
                    .need(report, &path)
                    .map(|id| sql_name(&scope.columns()[id]));
                let at = column.and_then(|column| {
                    // A day of a reference table is a business day.
                    let text = if self.reference[from].column_type == ColumnType::Date {
                        format!("local_date({column}, '{time_zone}')")
                    } else {
                        column
                    };
                    scope.expression_as(
                        report,
                        &path,
                        &text,
                        &self.reference[from].column_type.data_type(),
                    )
                });
                Some(Validity { from, to, at: at? })
            }
            None => None,
        };
        Some(LookupPlan {
            name: self.name.to_owned(),
            transport: self.transport?,
            format: self.format?,
            columns: self.columns,
            unpivot: self.unpivot,
            reference: self.reference,
            first_column: self.first_column,
            on,
            validity,
            missing: self.missing?,
            duplicates: self.duplicates?,
            fold: self.fold,
            aliases: self.aliases,
            placement: self.spec.placement.unwrap_or_default(),
            follow: self.follow,
        })
    }

    /// The reference columns as columns of a row.
    fn row_columns(&self) -> Vec<Column> {
        let may_miss = self.spec.missing.then == spec::MissingThen::Null;
        let mut columns = Vec::with_capacity(self.reference.len());
        for (position, column) in self.reference.iter().enumerate() {
            // Keys are equal to something, a validity that is searched is there, and nulls are not turned.
            let is_found = self.spec.on.get(&column.name).is_some()
                || self.validity.is_some_and(|(from, _)| from == position);
            let not_null = match &self.unpivot {
                Some(unpivot) => unpivot
                    .keep
                    .get(position)
                    .is_none_or(|kept| self.columns[*kept].not_null),
                None => self.columns[position].not_null,
            };
            columns.push(Column {
                relations: vec![self.name.to_owned()],
                name: column.name.clone(),
                data_type: column.column_type.data_type(),
                nullable: may_miss || !(is_found || not_null),
            });
        }
        columns
    }

    /// Position in `reference` of a name at `path`, which is a key there or a value.
    fn position(
        &self,
        report: &mut Report<'_>,
        path: &[&str],
        name: &str,
        is_key: bool,
    ) -> Option<usize> {
        if let Some(position) = self.reference.iter().position(|column| column.name == name) {
            return Some(position);
        }
        if !self.faulty.iter().any(|faulty| faulty == name) {
            let names: Vec<&str> = self
                .reference
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let what = format!(
                "{} is no column of look-up {}",
                quoted(name),
                quoted(self.name)
            );
            let wrong = Wrong::new(what)
                .expected(names.join(", "))
                .did_you_mean(name, names);
            if is_key {
                report.add_name(path, wrong);
            } else {
                report.add(path, wrong);
            }
        }
        None
    }

    fn read_validity(&self, report: &mut Report<'_>) -> Option<(usize, Option<usize>)> {
        let at = |option: &'static str| ["lookups", self.name, option];
        let Some(from) = &self.spec.valid_from else {
            if self.spec.valid_to.is_some() {
                report.add(
                    &at("valid_to"),
                    Wrong::new("`valid_to` goes with `valid_from`")
                        .hint("say from when a row is valid, too"),
                );
            }
            return None;
        };
        let from = self.position(report, &at("valid_from"), from, false);
        let to = match &self.spec.valid_to {
            Some(to) => Some(self.position(report, &at("valid_to"), to, false)?),
            None => None,
        };
        let from = from?;
        let column_type = self.reference[from].column_type;
        if !matches!(column_type, ColumnType::Date | ColumnType::Timestamp) {
            let what = format!(
                "column {} is of type {}",
                quoted(&self.reference[from].name),
                type_text(column_type)
            );
            report.add(
                &at("valid_from"),
                Wrong::new(what).expected("a column of type date or timestamp"),
            );
            return None;
        }
        if let Some(to) = to
            && self.reference[to].column_type != column_type
        {
            let what = format!(
                "column {} is of type {}, and {} of type {}",
                quoted(&self.reference[to].name),
                type_text(self.reference[to].column_type),
                quoted(&self.reference[from].name),
                type_text(column_type)
            );
            report.add(
                &at("valid_to"),
                Wrong::new(what).expected("one type for both ends of the validity"),
            );
            return None;
        }
        Some((from, to))
    }

    fn read_duplicates(&self, report: &mut Report<'_>) -> Option<Duplicates> {
        let path = ["lookups", self.name, "order_by"];
        match (self.spec.duplicates, &self.spec.order_by) {
            (Some(spec::Duplicates::Newest), Some(column)) => self
                .position(report, &path, column, false)
                .map(Duplicates::Newest),
            (Some(spec::Duplicates::Newest), None) => {
                let wrong = Wrong::new("`newest` needs to know by which column")
                    .hint("add `order_by`, such as order_by = \"updated_at\"");
                report.add(&["lookups", self.name, "duplicates"], wrong);
                None
            }
            (_, Some(_)) => {
                report.add(
                    &path,
                    Wrong::new("`order_by` goes with duplicates = \"newest\"")
                        .hint("add it, or leave `order_by` out"),
                );
                None
            }
            (Some(spec::Duplicates::Reject), None) => Some(Duplicates::Reject),
            (Some(spec::Duplicates::Refuse) | None, None) => Some(Duplicates::Refuse),
        }
    }

    fn read_fold(&self, report: &mut Report<'_>) -> Option<Fold> {
        let words = self.spec.fold.as_ref()?;
        let path = ["lookups", self.name, "fold"];
        if words.is_empty() {
            let wrong = Wrong::new("nothing is folded").expected("trim, case, nfc or spaces");
            report.add(&path, wrong.hint("leave `fold` out"));
        }
        let is_text = |key: &str| {
            let column = self.reference.iter().find(|column| column.name == key);
            column.is_none_or(|column| column.column_type == ColumnType::Varchar)
        };
        if !self.spec.on.names().any(is_text) {
            report.add(
                &path,
                Wrong::new("no key is of type varchar").expected("texts, which have spellings"),
            );
        }
        let has = |word| words.contains(&word);
        Some(Fold {
            trim: has(spec::Fold::Trim),
            case: has(spec::Fold::Case),
            nfc: has(spec::Fold::Nfc),
            spaces: has(spec::Fold::Spaces),
        })
    }

    fn read_aliases(&self, report: &mut Report<'_>) -> Option<Aliases> {
        let aliases = self.spec.aliases.as_ref()?;
        let at = |option: &'static str| ["lookups", self.name, "aliases", option];
        if self.spec.unpivot.is_some() {
            report.add(
                &["lookups", self.name, "aliases"],
                Wrong::new("a look-up is either turned or has lists of spellings")
                    .hint("leave out `unpivot` or `aliases`"),
            );
            return None;
        }
        let column = self.position(report, &at("column"), &aliases.column, false);
        let of = self.position(report, &at("of"), &aliases.of, false);
        let (column, of) = (column?, of?);
        let before = report.len();
        for (option, position) in [("column", column), ("of", of)] {
            let reference = &self.reference[position];
            if reference.column_type != ColumnType::Varchar {
                let what = format!(
                    "column {} is of type {}",
                    quoted(&reference.name),
                    type_text(reference.column_type)
                );
                report.add(
                    &at(option),
                    Wrong::new(what).expected("a column of type varchar"),
                );
            }
        }
        if column == of {
            report.add(
                &at("of"),
                Wrong::new("a list is no spelling of itself").expected("another column"),
            );
        }
        if self.spec.on.get(&aliases.column).is_none() {
            let wrong = Wrong::new(format!("{} is no key", quoted(&aliases.column)));
            report.add(
                &at("column"),
                wrong.hint(format!(
                    "say in `on` what {} must equal",
                    quoted(&aliases.column)
                )),
            );
        }
        if aliases.separator.trim().is_empty() {
            report.add(
                &at("separator"),
                Wrong::new("nothing stands between spellings").expected("a text, such as \"|\""),
            );
        }
        (report.len() == before).then(|| Aliases {
            column,
            of,
            separator: aliases.separator.trim().to_owned(),
        })
    }
}

/// Changes say themselves which row of a key counts.
fn check_changes(report: &mut Report<'_>, name: &str, spec: &LookupSpec) {
    let given = [
        ("duplicates", spec.duplicates.is_some()),
        ("unpivot", spec.unpivot.is_some()),
    ];
    for (option, _) in given.iter().filter(|(_, given)| *given) {
        let wrong = Wrong::new(format!("a table of changes has no {option}"));
        let hint = format!("leave out `{option}`: of the changes of a key the last one counts");
        report.add(&["lookups", name, option], wrong.hint(hint));
    }
}

/// A topic is read whole, and its message keys say which rows it holds.
fn check_topic(report: &mut Report<'_>, name: &str, spec: &LookupSpec, kafka: &KafkaSpec) {
    let at = |option: &'static str| ["lookups", name, "kafka", option];
    let whole = "it is read whole at each start";
    for (option, given) in [
        ("start", kafka.start.is_some()),
        ("group", kafka.group.is_some()),
    ] {
        if given {
            report.add(
                &at(option),
                Wrong::new(format!("the topic of a look-up has no {option}: {whole}"))
                    .hint(format!("leave out `{option}`")),
            );
        }
    }
    if kafka.topic_pattern.is_some() {
        report.add(
            &at("topic_pattern"),
            Wrong::new("a look-up is one topic").expected("`topics` with one name"),
        );
    }
    if kafka.topics.as_ref().is_some_and(|topics| topics.len() > 1) {
        report.add(
            &at("topics"),
            Wrong::new("a look-up is one topic").expected("one name"),
        );
    }
    if spec.duplicates == Some(spec::Duplicates::Reject) {
        report.add(
            &["lookups", name, "duplicates"],
            Wrong::new("rows of a topic come one after the other, and no row waits for its double")
                .expected("refuse, or newest with `order_by`"),
        );
    }
}

fn read_missing(
    report: &mut Report<'_>,
    name: &str,
    spec: &LookupSpec,
    is_continuous: bool,
) -> Option<Missing> {
    let at = |option: &'static str| ["lookups", name, "missing", option];
    let missing = &spec.missing;
    let before = report.len();
    if missing.then == spec::MissingThen::Null && missing.reason.is_some() {
        report.add(
            &at("reason"),
            Wrong::new("a row that is not refused has no reason")
                .hint("leave `reason` out, or say then = \"refuse\""),
        );
    }
    let reason = match &missing.reason {
        Some(reason) => report
            .take(&at("reason"), check_reason(reason))
            .map(|()| reason.as_str().into()),
        None => Some(default_missing_reason(name).into()),
    };
    let mut patience = None;
    match (missing.then, &missing.patience) {
        (spec::MissingThen::Wait, None) => {
            report.add(
                &at("then"),
                Wrong::new("it is not said how long a row waits")
                    .hint("add `for`, such as for = \"1 hour\""),
            );
        }
        (spec::MissingThen::Wait, Some(text)) => {
            patience = report.take(&at("for"), read_duration_in(text, LEAST_WAIT, MOST_WAIT));
        }
        (_, Some(_)) => {
            report.add(
                &at("for"),
                Wrong::new("only rows that wait do so for a time")
                    .hint("leave `for` out, or say then = \"wait\""),
            );
        }
        (_, None) => {}
    }
    if missing.then == spec::MissingThen::Wait && !is_continuous {
        report.add(
            &at("then"),
            Wrong::new(
                "a job with an end reads its look-ups once: no row that is missing ever comes",
            )
            .expected("refuse or null"),
        );
    }
    if report.len() > before {
        return None;
    }
    Some(match missing.then {
        spec::MissingThen::Null => Missing::Null,
        spec::MissingThen::Refuse => Missing::Refuse(reason?),
        spec::MissingThen::Wait => Missing::Wait {
            reason: reason?,
            patience: patience?,
        },
    })
}

/// Which columns of a wide table are kept and which are turned into rows.
fn turn(
    report: &mut Report<'_>,
    name: &str,
    spec: &LookupSpec,
    wide: &spec::UnpivotSpec,
    columns: &[SourceColumn],
    faulty: &mut Vec<String>,
) -> Option<Unpivot> {
    let before = report.len();
    for (option, new) in [("name", &wide.name), ("value", &wide.value)] {
        let path = ["lookups", name, "unpivot", option];
        report.take(&path, check_column_name(new));
        if columns.iter().any(|column| column.name == *new) {
            report.add(
                &path,
                Wrong::new(format!("{} is a column of the file already", quoted(new)))
                    .expected("a name of its own"),
            );
        }
    }
    let path = ["lookups", name, "unpivot"];
    if wide.name == wide.value {
        report.add(
            &path,
            Wrong::new(format!(
                "{} takes names and values at once",
                quoted(&wide.name)
            ))
            .expected("two different names"),
        );
    }
    let named = [&spec.valid_from, &spec.valid_to, &spec.order_by];
    let is_kept = |column: &SourceColumn| {
        spec.on.get(&column.name).is_some()
            || named
                .iter()
                .any(|other| other.as_deref() == Some(&column.name))
    };
    let (keep, turn): (Vec<usize>, Vec<usize>) =
        (0..columns.len()).partition(|position| is_kept(&columns[*position]));
    match turn.split_first() {
        None => {
            let wrong = Wrong::new("no column is left to be turned into rows")
                .expected("columns that neither `on` nor the validity names");
            report.add(&path, wrong);
        }
        Some((first, others)) => {
            let first = &columns[*first];
            if let Some(other) = others
                .iter()
                .map(|position| &columns[*position])
                .find(|other| other.column_type != first.column_type)
            {
                let what = format!(
                    "{} is {} and {} is {}, but they become one column",
                    quoted(&first.name),
                    type_text(first.column_type),
                    quoted(&other.name),
                    type_text(other.column_type)
                );
                let wrong =
                    Wrong::new(what).expected("one type for all columns that are turned into rows");
                report.add(&path, wrong.hint("columns that are named in `on`, `valid_from`, `valid_to` or `order_by` are kept as they are"));
            }
        }
    }
    if report.len() > before {
        faulty.extend([wide.name.clone(), wide.value.clone()]);
        return None;
    }
    Some(Unpivot { keep, turn })
}

/// The reference columns of a turned table.
fn tall(
    unpivot: &Unpivot,
    wide: &spec::UnpivotSpec,
    columns: &[SourceColumn],
) -> Vec<ReferenceColumn> {
    let kept = unpivot.keep.iter().map(|position| &columns[*position]);
    let mut reference: Vec<ReferenceColumn> = kept
        .map(|column| ReferenceColumn {
            name: column.name.clone(),
            column_type: column.column_type,
        })
        .collect();
    let value = unpivot
        .turn
        .first()
        .map_or(ColumnType::Varchar, |position| {
            columns[*position].column_type
        });
    reference.push(ReferenceColumn {
        name: wide.name.clone(),
        column_type: ColumnType::Varchar,
    });
    reference.push(ReferenceColumn {
        name: wide.value.clone(),
        column_type: value,
    });
    reference
}

/// A row that waits is kept as it was read, so that it must have a text of its own.
pub(super) fn check_waits(
    report: &mut Report<'_>,
    sources: &Named<spec::SourceSpec>,
    lookups: &Named<LookupSpec>,
) {
    let is_part = |column: &spec::ColumnSpec| {
        let header = column.header.as_deref();
        header.is_some_and(|header| header.contains("[]"))
    };
    let parts = sources.iter().find(|(_, source)| {
        let mut columns = source.columns.iter();
        source.json.is_some() && columns.any(|(_, column)| is_part(column))
    });
    let mut sources = sources.iter();
    let packed = sources.find(|(_, source)| source.avro.is_some());
    let (source, what) = match (parts, packed) {
        (Some((source, _)), _) => (source, "are elements of records"),
        (None, Some((source, _))) => (source, "have no text of their own"),
        (None, None) => return,
    };
    for (name, _) in lookups
        .iter()
        .filter(|(_, lookup)| lookup.missing.then == spec::MissingThen::Wait)
    {
        let wrong = Wrong::new(format!(
            "rows of source {} {what}, and can't wait by themselves",
            quoted(source)
        ));
        report.add(
            &["lookups", name, "missing", "then"],
            wrong.expected("refuse or null"),
        );
    }
}

/// Sources and look-ups qualify columns, so that they share one set of names.
pub(super) fn check_relations(
    report: &mut Report<'_>,
    sources: &Named<spec::SourceSpec>,
    lookups: &Named<LookupSpec>,
) {
    for name in lookups.names().filter(|name| sources.get(name).is_some()) {
        let wrong = Wrong::new(format!("{} is a source, too", quoted(name)))
            .expected("a name of its own: sources and look-ups qualify columns");
        report.add_name(&["lookups", name], wrong);
    }
}
