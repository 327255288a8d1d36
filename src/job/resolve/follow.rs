//! Files that go on: their options, and what of a format needs an end.

use std::path::PathBuf;
use std::time::Duration;

use super::report::{Report, Wrong};
use super::units::read_duration_in;
use crate::job::plan::{FollowSource, Format, OnDataLoss, Records, Transport};
use crate::job::spec::{self, FilesSpec, SourceSpec, Spec};

/// Shortest time without a change after which a file counts as whole: writers pause for longer than one look at a folder.
const LEAST_STILL: Duration = Duration::from_millis(100);

/// Longest such time: as those of event time, so that times are added without thinking.
const MOST_STILL: Duration = Duration::from_hours(36_500 * 24);

/// Whether a table `files` is one of files that go on.
pub(super) fn follows(files: Option<&FilesSpec>) -> bool {
    files.is_some_and(|files| files.follow == Some(true))
}

/// The transport of a table `files` at `path`, whose `paths` are read.
pub(super) fn read_files(
    report: &mut Report<'_>,
    path: &[&str],
    files: &FilesSpec,
    paths: Vec<PathBuf>,
) -> Option<Transport> {
    let at = |option: &'static str| [path, &[option]].concat();
    let per_process = files.per_process.unwrap_or(false);
    if files.follow != Some(true) {
        for (option, given) in [
            ("complete_after", files.complete_after.is_some()),
            ("on_data_loss", files.on_data_loss.is_some()),
            ("copies", files.copies.is_some()),
        ] {
            if given {
                let wrong = Wrong::new("it is about files that go on")
                    .expected(format!("no `{option}`, or follow = true beside it"));
                report.add(&at(option), wrong);
            }
        }
        return Some(Transport::Files { paths, per_process });
    }
    if per_process {
        let wrong = Wrong::new("files that go on lie where all processes see them")
            .hint("leave out `per_process`, or run a job on each machine");
        report.add(&at("per_process"), wrong);
    }
    let complete_after = match &files.complete_after {
        None => Some(None),
        Some(text) => report
            .take(
                &at("complete_after"),
                read_duration_in(text, LEAST_STILL, MOST_STILL),
            )
            .map(Some),
    };
    Some(Transport::Follow(FollowSource {
        paths,
        complete_after: complete_after?,
        on_data_loss: match files.on_data_loss {
            Some(spec::OnDataLoss::Stop) | None => OnDataLoss::Stop,
            Some(spec::OnDataLoss::Earliest) => OnDataLoss::Earliest,
        },
        reads_copies: files.copies == Some(spec::Copies::Read),
    }))
}

/// Refuses what of the format of the source at `path` needs the end of a file that has none.
pub(super) fn check_format(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &SourceSpec,
    format: Option<&Format>,
) {
    if !follows(spec.files.as_ref()) {
        return;
    }
    match format {
        Some(Format::Csv(options)) if options.skip_last > 0 => report.add(
            &[path, &["csv", "skip_last"]].concat(),
            Wrong::new("a file that goes on has no last lines")
                .hint("leave out `skip_last`; a rule with then = \"drop\" takes totals away"),
        ),
        Some(Format::Json(options))
            if options.records != Records::Lines
                && spec
                    .files
                    .as_ref()
                    .is_some_and(|files| files.complete_after.is_none()) =>
        {
            report.add(
                &[path, &["json", "records"]].concat(),
                Wrong::new("JSON that is no lines is read when its file is whole, and nothing says when that is")
                    .expected("`complete_after` under `files`, such as \"1 minute\", or one record a line"),
            );
        }
        Some(format @ (Format::Parquet | Format::Arrow | Format::Avro | Format::Debezium)) => {
            let word = match format {
                Format::Parquet => "parquet",
                Format::Arrow => "arrow",
                Format::Avro => "avro",
                _ => "debezium",
            };
            report.add(
                &[path, &[word]].concat(),
                Wrong::new(format!("files of {word} are not followed"))
                    .expected("csv or json")
                    .hint("a job with an end and rerun = \"new_files\" reads each of them once"),
            );
        }
        _ => {}
    }
}

/// Refuses what can't be said of new files alone: what is worked out over all rows, and what has no files.
pub(super) fn check_new_files(report: &mut Report<'_>, spec: &Spec, is_continuous: bool) {
    if spec.job.rerun != Some(spec::Rerun::NewFiles) || is_continuous {
        return;
    }
    let tables = [
        ("windows", spec.windows.names().next()),
        ("checks", spec.checks.names().next()),
        ("duplicates", spec.duplicates.names().next()),
    ];
    for (table, name) in tables {
        let Some(name) = name else { continue };
        report.add(
            &[table, name],
            Wrong::new("it looks at all rows, and a run with rerun = \"new_files\" has those of new files alone")
                .expected("a job of rows: sources, look-ups, derived columns, rules, sinks of rows and refused rows")
                .hint("set rerun = \"replace\", or follow the files in a continuous job (`follow = true`)"),
        );
    }
    if !spec.sinks.iter().any(|(_, sink)| sink.files.is_some()) {
        report.add(
            &["job", "rerun"],
            Wrong::new("nothing remembers which files are new: no sink writes files"),
        );
    }
    for (name, source) in spec.sources.iter() {
        if source.generate.is_some() {
            report.add(
                &["sources", name, "generate"],
                Wrong::new("generated rows are the same in each run, and none of them is new")
                    .hint("set rerun = \"replace\""),
            );
        }
        if source.files.as_ref().and_then(|files| files.per_process) == Some(true) {
            report.add(
                &["sources", name, "files", "per_process"],
                Wrong::new(
                    "process 0 says which files are new, and does not see those of other machines",
                )
                .hint("leave out `per_process`, or set rerun = \"replace\""),
            );
        }
    }
}
