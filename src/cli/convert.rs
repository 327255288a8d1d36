//! From what was typed to what a run needs.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::arguments::RunTyped;
use super::stop::Stop;
use crate::job::problems::quoted;

/// What `caudal run` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunCommand {
    /// The job file.
    pub(super) job: PathBuf,
    /// Worker threads, at least 1.
    pub(super) workers: usize,
    /// Microseconds since 1970 UTC.
    pub(super) as_of: Option<i64>,
    /// Records after which input ends.
    pub(super) limit: Option<u64>,
    /// One line of JSON on standard output.
    pub(super) json: bool,
    /// Neither progress nor summary for people.
    pub(super) quiet: bool,
}

impl RunTyped {
    /// # Errors
    /// Where the words contradict each other, name no time, or ask for more than one process.
    pub(super) fn convert(self) -> Result<RunCommand, Stop> {
        if self.processes > 1 {
            return Err(one_process(&format!("-n {}", self.processes)));
        }
        if self.process > 0 {
            return Err(one_process(&format!("-p {}", self.process)));
        }
        if let Some(hosts) = &self.hosts {
            return Err(one_process(&format!("-h {}", hosts.display())));
        }
        Ok(RunCommand {
            workers: usize::from(self.workers),
            as_of: self.as_of.as_deref().map(moment).transpose()?,
            job: self.job,
            limit: self.limit,
            json: self.json,
            quiet: self.quiet,
        })
    }
}

fn one_process(what: &str) -> Stop {
    Stop::Words(format!(
        "{what}: this version runs a job in one process only\n  expected: -n 1, -p 0 and no -h, which are the defaults\n  \
         now: nothing was started\n  hint: -w THREADS uses more cores of this machine"
    ))
}

/// Reads a time: RFC 3339, the same without an offset (UTC), or a day (its midnight UTC). Gives microseconds since 1970.
fn moment(text: &str) -> Result<i64, Stop> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Ok(time.and_utc().timestamp_micros());
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    Err(Stop::Words(format!(
        "--as-of: {} is not a time\n  expected: 2026-03-14T18:30:00Z, 2026-03-14T18:30+01:00, 2026-03-14 18:30 (UTC) or \
         2026-03-14 (its midnight UTC)\n  now: nothing was started",
        quoted(text)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        let noon = moment("2026-03-14T12:00:00Z").unwrap();
        assert_eq!(noon, 1_773_489_600_000_000);
        for same in [
            "2026-03-14T13:00:00+01:00",
            "2026-03-14 12:00",
            "2026-03-14T12:00",
            "2026-03-14T12:00:00.000",
        ] {
            assert_eq!(moment(same).unwrap(), noon, "{same}");
        }
        assert_eq!(moment("2026-03-14").unwrap(), noon - 12 * 3_600_000_000);
        assert_eq!(moment("2026-03-14T12:00:00.000001Z").unwrap(), noon + 1);
    }

    #[test]
    fn what_is_no_time_is_shown_and_refused() {
        for wrong in [
            "",
            "yesterday",
            "2026-14-03",
            "14/03/2026",
            "2026-03-14T25:00Z",
        ] {
            let stop = moment(wrong).unwrap_err();
            assert_eq!(stop.exit_code(), 2);
            assert!(
                stop.to_string()
                    .starts_with(&format!("--as-of: \"{wrong}\" is not a time")),
                "{stop}"
            );
        }
    }
}
