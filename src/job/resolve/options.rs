//! `[job]`: what concerns the job as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;

use super::report::{Report, Wrong};
use super::units::{read_duration, read_percentage, read_size};
use super::words::read_time_zone;
use crate::job::plan::{OnBadFile, PartialsCodec, Rerun};
use crate::job::problems::quoted;
use crate::job::spec::{self, JobSpec};

/// Bytes of a chunk: large enough that per-chunk work disappears, small enough that workers share even a small file, and that the
/// allocator keeps its memory: blocks of a megabyte went back to the system and came back as fresh pages, a tenth of the CPU time.
const CHUNK: usize = 512 << 10;

/// Most bytes of a chunk: positions inside one are 32 bits.
const MOST_CHUNK: u64 = 1 << 30;

/// Bytes of an epoch of a bounded run: a few tens of milliseconds of work, so that sinks get rows early.
const EPOCH: u64 = 64 << 20;

/// Bytes between readers and sinks in a process: several chunks for each of many workers, and far below what machines have.
const IN_FLIGHT: u64 = 64 << 20;

/// How long processes wait for each other: time to start the last one by hand, or for a slow node to pull an image.
const JOIN_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a process may be silent: many times what a loaded machine takes to run a thread that only sends a few bytes.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest time after which a process may be taken for lost.
const LEAST_TIMEOUT: Duration = Duration::from_millis(500);

/// Share of refused rows above which a run fails: more than half says that the job, not the data, is wrong.
const MAX_REFUSED: f64 = 0.5;

/// Share that no run is above: a job without an end has no share of its rows.
const NEVER: f64 = 1.0;

/// The options of `[job]`, defaults filled in. Faulty ones have their default here: the job is not run then.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) time_zone: Tz,
    pub(super) output: PathBuf,
    pub(super) rerun: Rerun,
    pub(super) on_bad_file: OnBadFile,
    pub(super) max_refused: f64,
    pub(super) chunk_bytes: usize,
    pub(super) epoch_bytes: u64,
    pub(super) in_flight_bytes: u64,
    pub(super) join_timeout: Duration,
    pub(super) peer_timeout: Duration,
    pub(super) partials: PartialsCodec,
}

/// Reads `[job]` but for what needs columns and reasons; `folder` is that of the job file.
pub(super) fn read_options(
    report: &mut Report<'_>,
    spec: &JobSpec,
    folder: &Path,
    is_continuous: bool,
) -> Options {
    report.take(&["job", "name"], check_job_name(&spec.name));
    report.take(&["job", "output"], check_output(&spec.output));
    let time_zone = spec
        .time_zone
        .as_deref()
        .and_then(|name| report.take(&["job", "time_zone"], read_time_zone(name)));
    let max_refused = spec
        .max_refused
        .as_deref()
        .and_then(|text| report.take(&["job", "max_refused"], read_percentage(text)));
    let chunk = size(report, "chunk", spec.chunk.as_deref(), MOST_CHUNK);
    Options {
        time_zone: time_zone.unwrap_or(Tz::UTC),
        output: folder.join(&spec.output),
        rerun: match spec.rerun {
            Some(spec::Rerun::NewFiles) => Rerun::NewFiles,
            Some(spec::Rerun::Replace) | None => Rerun::Replace,
        },
        on_bad_file: match spec.on_bad_file {
            Some(spec::OnBadFile::Refuse) => OnBadFile::Refuse,
            Some(spec::OnBadFile::Stop) | None => OnBadFile::Stop,
        },
        max_refused: max_refused.unwrap_or(if is_continuous { NEVER } else { MAX_REFUSED }),
        chunk_bytes: chunk
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(CHUNK),
        epoch_bytes: spec
            .epoch
            .as_deref()
            .filter(|_| !is_continuous)
            .and_then(|text| epoch(report, text))
            .unwrap_or(EPOCH),
        in_flight_bytes: size(report, "in_flight", spec.in_flight.as_deref(), u64::MAX)
            .unwrap_or(IN_FLIGHT),
        join_timeout: timeout(report, "join_timeout", spec.join_timeout.as_deref())
            .unwrap_or(JOIN_TIMEOUT),
        peer_timeout: timeout(report, "peer_timeout", spec.peer_timeout.as_deref())
            .unwrap_or(PEER_TIMEOUT),
        partials: match spec.partials {
            Some(spec::PartialsCodec::Abomonation) | None => PartialsCodec::Abomonation,
            Some(spec::PartialsCodec::Serde) => PartialsCodec::Serde,
        },
    }
}

/// Checks the root of sinks: a folder. Their files become visible by renaming, which no bucket does.
fn check_output(output: &str) -> Result<(), Wrong> {
    let expected = "a folder, such as \"../out/ventas\"";
    if output.trim().is_empty() {
        return Err(Wrong::new("the output is empty").expected(expected));
    }
    if output.contains("://") {
        let wrong = Wrong::new(format!(
            "{} is no folder: files of sinks can't be written to a bucket",
            quoted(output)
        ));
        return Err(wrong.expected(expected).hint(
            "write to a folder and copy it from there; a continuous job's `state` may be in a bucket (\"s3://bucket/prefix\")",
        ));
    }
    Ok(())
}

/// Reads a duration that processes wait for each other.
fn timeout(report: &mut Report<'_>, option: &str, text: Option<&str>) -> Option<Duration> {
    let text = text?;
    let path = ["job", option];
    let micros = report.take(&path, read_duration(text))?;
    let timeout = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    if timeout < LEAST_TIMEOUT {
        let wrong = Wrong::new(format!("{} is out of range", quoted(text)))
            .expected(format!("at least {} ms", LEAST_TIMEOUT.as_millis()));
        report.add(&path, wrong);
        return None;
    }
    Some(timeout)
}

/// Reads the size of a bounded run's epoch.
fn epoch(report: &mut Report<'_>, text: &str) -> Option<u64> {
    if read_duration(text).is_ok() {
        let wrong = Wrong::new(format!(
            "{} is a length of time, and a job with an end cuts its input by size",
            quoted(text)
        ));
        report.add(
            &["job", "epoch"],
            wrong.expected("a size, such as \"64 MiB\", or a source without an end (`kafka`)"),
        );
        return None;
    }
    size(report, "epoch", Some(text), u64::MAX)
}

/// Reads a size above zero.
fn size(report: &mut Report<'_>, option: &str, text: Option<&str>, most: u64) -> Option<u64> {
    let text = text?;
    let path = ["job", option];
    let bytes = report.take(&path, read_size(text))?;
    if bytes == 0 || bytes > most {
        let expected = if most == u64::MAX {
            "a size above zero".to_owned()
        } else {
            format!("a size above zero, at most {} MiB", most >> 20)
        };
        report.add(
            &path,
            Wrong::new(format!("{} is out of range", quoted(text))).expected(expected),
        );
        return None;
    }
    Some(bytes)
}

/// The name stands in manifests, paths and metrics.
fn check_job_name(name: &str) -> Result<(), Wrong> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(is_plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Wrong::new(format!("{} is no name of a job", quoted(name)))
        .expected("letters a–z, digits, _, - and ., beginning with a letter or digit"))
}
