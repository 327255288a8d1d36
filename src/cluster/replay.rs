//! Whether a job's refused rows can be fed again, and where they are.
//!
//! A replay adds rows to what is visible: right where outputs are rows alone, each by itself. What is worked out over all rows
//! (windows, checks, duplicates) would be worked out over the replayed ones alone, and be wrong as a total without a sign of it.
//! Such a job is run again as a whole, which is right, and replaces its quarantine, too.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::job::path::{read_path, unnested};
use crate::job::plan::{Format, Plan, SinkFrom, SinkPlan, SinkTo, SourcePlan};
use crate::sinks::{Manifest, OutputRoot, kept_files, shape};

/// Why a job's refused rows can't be fed again. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Something is worked out over all rows.
    #[error(
        "--replay: {what} of the job looks at all rows, and a replay has the refused ones alone\n  expected: a job of rows: sources, look-ups, derived columns, rules, sinks of rows and refused rows\n  now: nothing was started\n  hint: run the job without --replay: it reads everything again, and replaces its quarantine"
    )]
    AllRows {
        /// What: `windows.minute`.
        what: String,
    },
    /// Several rows come of one record.
    #[error(
        "--replay: sources.{name} makes each element of an array a row, and the record that is kept of a refused one holds others, too\n  expected: sources whose records are a row each\n  now: nothing was started\n  hint: run the job without --replay"
    )]
    Elements {
        /// The source's.
        name: String,
    },
    /// No run has kept refused rows.
    #[error(
        "--replay: {}: no run of this job has kept refused rows\n  expected: a published run of a job with a sink of refused rows into files\n  now: nothing was started\n  hint: add [sinks.quarantine] with `from = \"refused\"` and `files`, and run the job", root.display()
    )]
    NothingKept {
        /// The output root.
        root: PathBuf,
    },
    /// A sink was written otherwise.
    #[error(
        "--replay: sinks.{sink} has other columns, another format or another folder than what is visible, and its rows would not fit beside them\n  expected: the sink as it was in the last run\n  now: nothing was started\n  hint: run the job without --replay"
    )]
    OtherShape {
        /// The sink.
        sink: String,
    },
}

/// An output root, taken, and the rows that can be fed again.
pub(super) struct Replayed {
    pub(super) root: OutputRoot,
    pub(super) files: Vec<PathBuf>,
}

impl Replayed {
    /// Takes the job's output root, which completes a run that was cut while it was published.
    pub(super) fn open(plan: &Plan) -> Result<Self, RunError> {
        check(plan)?;
        let nothing = || ReplayError::NothingKept {
            root: plan.output.clone(),
        };
        if !plan.keeps_quarantine() || !plan.output.join("_caudal").exists() {
            return Err(nothing().into());
        }
        let root = OutputRoot::open(&plan.output, &plan.name, &plan.sinks)?;
        let newest = root.newest().ok_or_else(nothing)?;
        let files = kept_files(root.path(), newest)?.ok_or_else(nothing)?;
        let clean = |sink: &SinkPlan| sink.from == SinkFrom::Rows;
        if let Some(sink) = other_shape(plan, newest, clean) {
            return Err(ReplayError::OtherShape { sink }.into());
        }
        Ok(Self { root, files })
    }
}

/// Checks that the job works out nothing over all rows, and that each row has a record of its own.
fn check(plan: &Plan) -> Result<(), ReplayError> {
    let windows = plan
        .windows
        .iter()
        .map(|window| format!("windows.{}", window.name));
    let checks = plan
        .checks
        .iter()
        .map(|check| format!("checks.{}", check.name));
    let duplicates = plan.duplicates.iter();
    let duplicates = duplicates.map(|duplicates| format!("duplicates.{}", duplicates.name));
    if let Some(what) = windows.chain(checks).chain(duplicates).next() {
        return Err(ReplayError::AllRows { what });
    }
    let unnests = |source: &&SourcePlan| {
        let is_json = matches!(source.format, Format::Json(_));
        is_json
            && source
                .columns
                .iter()
                .any(|column| is_unnested(&column.header))
    };
    match plan.sources.iter().find(unnests) {
        Some(source) => Err(ReplayError::Elements {
            name: source.name.clone(),
        }),
        None => Ok(()),
    }
}

/// Whether a path of JSON leads into the elements of an array.
fn is_unnested(header: &str) -> bool {
    read_path(header).is_ok_and(|steps| unnested(&steps).is_some())
}

/// Checks that the rows of new files can be put beside those that are visible.
pub(super) fn check_shapes(plan: &Plan, newest: Option<&Manifest>) -> Result<(), RunError> {
    let other = newest.and_then(|newest| other_shape(plan, newest, |_| true));
    other.map_or(Ok(()), |sink| Err(RunError::OtherShape { sink }))
}

/// A sink whose rows can't be put beside those that are visible.
fn other_shape(
    plan: &Plan,
    newest: &Manifest,
    which: impl Fn(&SinkPlan) -> bool,
) -> Option<String> {
    let differs = |sink: &&SinkPlan| {
        let SinkTo::Files { path, .. } = &sink.to else {
            return false;
        };
        let before = newest.sinks.iter().find(|before| before.sink == sink.name);
        !before.is_some_and(|before| {
            before.shape == shape(sink) && Path::new(&before.path) == path.as_path()
        })
    };
    let mut sinks = plan.sinks.iter().filter(|sink| which(sink));
    sinks.find(differs).map(|sink| sink.name.clone())
}
