//! From what was typed to what a run needs.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::arguments::RunTyped;
use super::stop::Stop;
use crate::cluster::{Cluster, read_hosts};
use crate::job::problems::quoted;

/// What `caudal run` needs to know.
#[derive(Debug, Clone)]
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
    /// This process among others.
    pub(super) cluster: Option<Cluster>,
}

/// First port of processes without a host file, all on this machine; as in every timely program.
const FIRST_PORT: u32 = 2101;

impl RunTyped {
    /// # Errors
    /// Where the words contradict each other, name no time, or the host file does not fit them.
    pub(super) fn convert(self) -> Result<RunCommand, Stop> {
        Ok(RunCommand {
            cluster: self.cluster()?,
            workers: usize::from(self.workers),
            as_of: self.as_of.as_deref().map(moment).transpose()?,
            job: self.job,
            limit: self.limit,
            json: self.json,
            quiet: self.quiet,
        })
    }

    /// This process among `-n` of them.
    fn cluster(&self) -> Result<Option<Cluster>, Stop> {
        if self.process >= self.processes {
            return Err(Stop::Words(format!(
                "-p {}: there is no such process of -n {}\n  expected: 0 to {}\n  now: nothing was started\n  \
                 hint: -n is the number of processes, -w that of threads in each",
                self.process,
                self.processes,
                self.processes - 1
            )));
        }
        let processes = usize::from(self.processes);
        let addresses = match &self.hosts {
            Some(hosts) => read_hosts(hosts, processes).map_err(Stop::Hosts)?,
            None => (0..u32::from(self.processes))
                .map(|index| format!("localhost:{}", FIRST_PORT + index))
                .collect(),
        };
        Ok((processes > 1).then(|| Cluster {
            index: usize::from(self.process),
            addresses,
            token: std::env::var("CAUDAL_TOKEN").ok(),
        }))
    }
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
