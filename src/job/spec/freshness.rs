//! `checks.NAME.freshness`.

use schemars::JsonSchema;

/// How long ago something came, for each segment. Without thresholds it only measures.
///
/// A run with an end judges each segment once, by the newest event of all or by `--as-of`. A continuous job judges by each epoch's wall time,
/// no row needed, and tells what changes; the verdict's `reason` says what happened: `appeared`, `silent` (nothing was sold), `late` (rows come,
/// and their events are old), `never_came`, `no_event_time`, `back` or `retired`. What was not read yet is not missed: segments are judged by the
/// time up to which all that had come was read, and how far the job itself is behind is told of all segments together, as segment `*`:
/// `source_stalled` (a source does not answer, or stands), `job_slow` (there is more than is read) or `commit_slow` (what is read does not become
/// visible), each held against the same thresholds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshnessSpec {
    /// Columns that make the segment. Default: none, one segment. Example: `["region_id"]`.
    pub per: Option<Vec<String>>,
    /// What is old: the newest `event`, or the last `arrival` of a row, whatever its event time. By arrival a segment of all rows (no `per`)
    /// has refused rows, too; in a run with an end all rows come at the same time, and what it tells is who sent nothing. Default: `"event"`.
    pub on: Option<FreshnessOn>,
    /// Column that holds the time of an event. Default: the sources' `event_time`.
    pub event_time: Option<String>,
    /// Age beyond which the verdict is `warn`. Default: none. Example: `"10 minutes"`.
    pub warn_after: Option<String>,
    /// Age beyond which the verdict is `fail`. Default: none. Example: `"30 minutes"`.
    pub fail_after: Option<String>,
    /// Calendar whose open hours alone count in ages and thresholds. Default: none, all time counts. Example: `"shop"`.
    pub calendar: Option<String>,
    /// Segments that should be there: those of a look-up's rows. One that never came is as old as the job. They do not retire while they are
    /// expected. Example: `{ lookup = "stores" }`.
    pub expected: Option<ExpectedSpec>,
    /// Age, of all time, beyond which a segment is retired: said once, and forgotten until it comes back. Default: none.
    /// Example: `"60 days"`.
    pub retire_after: Option<String>,
    /// Most segments that are kept. Where there are more the verdict is `too_many_segments`, of segment `*`, and fails: in a run with an end
    /// it is the only one of the check, in a continuous job the segments that are kept are judged on. Default: 100000.
    #[schemars(range(min = 1))]
    pub max_segments: Option<u64>,
}

/// What is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FreshnessOn {
    /// The newest event.
    Event,
    /// The last row that came.
    Arrival,
}

/// Segments that should be there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSpec {
    /// The look-up whose rows say so. Example: `"stores"`.
    pub lookup: String,
    /// Its columns, one for each of `per`, in that order. Default: those of the same names. Example: `["region_id"]`.
    pub columns: Option<Vec<String>>,
}
