//! Jobs that run until they are told to stop: their options, and what only jobs with an end can do.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::follow::follows;
use super::report::{Report, Wrong};
use super::units::read_duration_in;
use crate::epoch::check_option;
use crate::job::plan::{Arrival, Bucket, Continuous, StatePlace};
use crate::job::problems::quoted;
use crate::job::spec::{JobSpec, Named, SourceSpec, Spec};
use crate::transform::Expression;

/// How long an epoch is open: seldom enough that what it costs to end one is lost in its work, often enough for alerts.
const EPOCH: Duration = Duration::from_secs(1);

/// Shortest epoch: below it a worker would do little else but end them.
const LEAST_EPOCH: Duration = Duration::from_millis(20);

/// Longest epoch: what is open is read again after a fault.
const MOST_EPOCH: Duration = Duration::from_hours(1);

/// Time between checkpoints: files of ten seconds are large enough, and no more than that is read again after a fault.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// Longest time between checkpoints: the journal and the brokers have to keep all that came since the last one.
const MOST_CHECKPOINT: Duration = Duration::from_hours(24);

/// Longest time in [`Arrival`]: a hundred years, so that times are added without thinking.
const MOST_ARRIVAL: Duration = Duration::from_hours(36_500 * 24);

/// Rows that may wait for reference rows: some ten megabytes, read again in a tenth of a second.
const MAX_PARKED: u64 = 100_000;

/// Folder of caudal's own things in the output.
const OWN: &str = "_caudal";

/// Folder of the state in it.
const STATE: &str = "state";

/// What a state in a bucket begins with.
const S3: &str = "s3://";

/// Options of a bucket's client that are likely to be meant by a name that is none.
const BUCKET_OPTIONS: [&str; 6] = [
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "virtual_hosted_style_request",
];

/// Whether some source has no end.
pub(super) fn is_continuous(spec: &Spec) -> bool {
    spec.sources
        .iter()
        .any(|(_, source)| source.kafka.is_some() || follows(source.files.as_ref()))
}

/// How the job goes on, where it is continuous; else its options for that are faults. `folder` is that of the job file;
/// a state that is away is waited for as long as processes wait for each other.
pub(super) fn read_continuous(
    report: &mut Report<'_>,
    spec: &Spec,
    folder: &Path,
    (output, patience): (&Path, Duration),
) -> Option<Continuous> {
    let job = &spec.job;
    if !is_continuous(spec) {
        for (option, given) in [
            ("state", job.state.is_some()),
            ("state_options", !job.state_options.is_empty()),
            ("checkpoint", job.checkpoint.is_some()),
            ("max_parked", job.max_parked.is_some()),
            ("verdict_history", job.verdict_history.is_some()),
        ] {
            if given {
                report.add(&["job", option], only_continuous(option));
            }
        }
        return None;
    }
    let epoch = match &job.epoch {
        None => Some(EPOCH),
        Some(text) => report.take(&["job", "epoch"], read_epoch(text)),
    };
    let checkpoint = job
        .checkpoint
        .as_deref()
        .and_then(|text| report.take(&["job", "checkpoint"], read_checkpoint(text, epoch)));
    let epoch = epoch.unwrap_or(EPOCH);
    check_job(report, spec);
    Some(Continuous {
        state: read_state(report, job, folder, (output, patience)),
        epoch,
        checkpoint: checkpoint.unwrap_or(CHECKPOINT.max(epoch)),
        max_parked: job.max_parked.unwrap_or(MAX_PARKED),
        verdict_history: job.verdict_history.unwrap_or(true),
    })
}

/// How the events of the source at `path` arrive.
pub(super) fn read_arrival(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &SourceSpec,
    is_continuous: bool,
) -> Arrival {
    let mut arrival = Arrival::default();
    let options = [
        ("disorder", &spec.disorder, &mut arrival.disorder),
        ("max_future", &spec.max_future, &mut arrival.max_future),
        ("idle_after", &spec.idle_after, &mut arrival.idle_after),
    ];
    for (option, text, into) in options {
        let Some(text) = text else { continue };
        let path = [path, &[option]].concat();
        if !is_continuous {
            report.add(&path, only_continuous(option));
        } else if spec.event_time.is_none() {
            let wrong = Wrong::new("it is about event time, and the source has none");
            report.add(
                &path,
                wrong.hint(format!("set `event_time`, or leave out `{option}`")),
            );
        } else if let Some(read) =
            report.take(&path, read_duration_in(text, Duration::ZERO, MOST_ARRIVAL))
        {
            *into = read;
        }
    }
    arrival
}

/// What a continuous job has no use for: whoever wrote it believes that it does something.
fn check_job(report: &mut Report<'_>, spec: &Spec) {
    for (name, source) in spec.sources.iter() {
        let transport = match source {
            SourceSpec {
                files: Some(files), ..
            } if files.follow != Some(true) => "files",
            SourceSpec {
                generate: Some(_), ..
            } => "generate",
            _ => continue,
        };
        report.add(
            &["sources", name, transport],
            Wrong::new("a source that ends stands beside one without an end")
                .expected("sources of `kafka`, or of `files` with follow = true")
                .hint("read what has an end in a job of its own; tables of reference are look-ups"),
        );
    }
    if let Some(name) = spec.duplicates.names().next() {
        report.add(
            &["duplicates", name],
            Wrong::new("continuous jobs don't look for duplicates yet")
                .expected("no [duplicates] beside a source without an end"),
        );
    }
    let outputs = "its outputs are only ever added to";
    let share = "a share needs an end, when all rows are counted";
    let files =
        "a file that it follows is read as far as it is there, and look-ups whole or not at all";
    for (option, given, why, instead) in [
        ("rerun", spec.job.rerun.is_some(), outputs, "leave it out"),
        (
            "max_refused",
            spec.job.max_refused.is_some(),
            share,
            "leave it out; metrics count refused rows by reason, and a sink `from` \"refused\" keeps them",
        ),
        (
            "on_bad_file",
            spec.job.on_bad_file.is_some(),
            files,
            "leave it out",
        ),
    ] {
        if given {
            report.add(
                &["job", option],
                Wrong::new(format!("a continuous job has no {option}: {why}")).hint(instead),
            );
        }
    }
}

/// Refuses `now()` in what is worked out of several epochs: each has its own.
pub(super) fn refuse_now(
    report: &mut Report<'_>,
    path: &[&str],
    expressions: &[Option<&Expression>],
) {
    if expressions
        .iter()
        .flatten()
        .any(|expression| expression.uses_now())
    {
        report.add(
            path,
            Wrong::new(
                "now() is another time in each epoch of a continuous job, and rows of several meet here",
            )
            .expected("an expression without now()")
            .hint("derive a column with it first"),
        );
    }
}

/// What is said of an option that only continuous jobs have.
fn only_continuous(option: &str) -> Wrong {
    Wrong::new(format!("a job with an end has no {option}")).expected(format!(
        "no `{option}`, or a source without an end (`kafka`, or `files` with follow = true)"
    ))
}

fn read_epoch(text: &str) -> Result<Duration, Wrong> {
    read_duration_in(text, LEAST_EPOCH, MOST_EPOCH).map_err(|wrong| {
        let is_size = super::read_size(text).is_ok();
        if is_size {
            wrong.hint("an epoch of a continuous job is a length of time, such as \"1 second\"")
        } else {
            wrong
        }
    })
}

fn read_checkpoint(text: &str, epoch: Option<Duration>) -> Result<Duration, Wrong> {
    let checkpoint = read_duration_in(text, LEAST_EPOCH, MOST_CHECKPOINT)?;
    if epoch.is_some_and(|epoch| checkpoint < epoch) {
        return Err(Wrong::new(format!(
            "{} is shorter than an epoch, and checkpoints are between epochs",
            quoted(text)
        ))
        .expected("checkpoint ≥ epoch"));
    }
    Ok(checkpoint)
}

/// Where the state is: as declared, or in the output. There only what is caudal's own is safe from sinks.
fn read_state(
    report: &mut Report<'_>,
    job: &JobSpec,
    folder: &Path,
    (output, patience): (&Path, Duration),
) -> StatePlace {
    let default = output.join(OWN).join(STATE);
    let bucket = job
        .state
        .as_deref()
        .and_then(|state| state.strip_prefix(S3));
    if bucket.is_none() && !job.state_options.is_empty() {
        report.add(
            &["job", "state_options"],
            Wrong::new("the state is in a folder, which has no client")
                .expected("state = \"s3://bucket/prefix\" beside it"),
        );
    }
    let Some(written) = &job.state else {
        return StatePlace::Folder(default);
    };
    let expected =
        "a folder that nothing else uses, such as \"../state/ventas\", or \"s3://bucket/prefix\"";
    if let Some(bucket) = bucket {
        let options = read_bucket_options(report, &job.state_options);
        match read_bucket(bucket) {
            Ok((bucket, prefix)) => {
                return StatePlace::Bucket(Bucket {
                    bucket,
                    prefix,
                    options,
                    patience,
                });
            }
            Err(wrong) => report.add(&["job", "state"], wrong.expected(expected)),
        }
        return StatePlace::Folder(default);
    }
    let state = folder.join(written);
    let wrong = if written.trim().is_empty() {
        Wrong::new("the state is empty")
    } else if written.contains("://") {
        Wrong::new(format!("{} is no folder", quoted(written)))
    } else if plain(&state).starts_with(plain(output))
        && !plain(&state).starts_with(plain(&default))
    {
        Wrong::new("the state stands in the output, where sinks write").hint(format!(
            "put it beside `output`, or leave it out: then it is {OWN}/{STATE} in `output`"
        ))
    } else {
        return StatePlace::Folder(state);
    };
    report.add(&["job", "state"], wrong.expected(expected));
    StatePlace::Folder(default)
}

/// Bucket and prefix of what follows `s3://`.
fn read_bucket(text: &str) -> Result<(String, String), Wrong> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_plain) {
        return Err(Wrong::new(format!("{} is no bucket", quoted(bucket))));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_part = |part: &str| {
        !part.is_empty() && !matches!(part, "." | "..") && !part.contains(char::is_control)
    };
    if !prefix.is_empty() && !prefix.split('/').all(is_part) {
        let what = format!(
            "the prefix {} has an empty part, one of dots, or control characters",
            quoted(prefix)
        );
        return Err(Wrong::new(what));
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// Options of a bucket's client, without those that are refused.
fn read_bucket_options(
    report: &mut Report<'_>,
    options: &Named<String>,
) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for (name, value) in options.iter() {
        match check_option(name) {
            Ok(()) => {
                read.insert(name.to_owned(), value.clone());
            }
            Err((why, hint)) => {
                let mut wrong = Wrong::new(why);
                wrong = match hint {
                    Some(hint) => wrong.hint(hint),
                    None => wrong.did_you_mean(name, BUCKET_OPTIONS),
                };
                report.add_name(&["job", "state_options", name], wrong);
            }
        }
    }
    read
}

/// A path without `.` and, as far as names go, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
