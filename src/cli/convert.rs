//! From what was typed to what a run needs.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::arguments::{LogTyped, RunTyped};
use super::stop::Stop;
use crate::cluster::{Cluster, read_hosts};
use crate::job::problems::quoted;
use crate::observe::log::Shape;

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
    /// Only rows that the last run refused.
    pub(super) replay: bool,
    /// One line of JSON on standard output.
    pub(super) json: bool,
    /// Neither progress nor summary for people.
    pub(super) quiet: bool,
    /// This process among others.
    pub(super) cluster: Option<Cluster>,
    /// Where the status is served.
    pub(super) status: Option<StatusCommand>,
    /// How events are written.
    pub(super) log: Shape,
}

/// Where the status is served, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusCommand {
    /// The address; port 0 takes any.
    pub(super) address: SocketAddr,
    /// What has to be shown to see it.
    pub(super) token: Option<String>,
}

/// First port of processes without a host file, all on this machine; as in every timely program.
const FIRST_PORT: u32 = 2101;

impl RunTyped {
    /// # Errors
    /// Where the words contradict each other, name no time or address, or the host file does not fit them.
    pub(super) fn convert(self) -> Result<RunCommand, Stop> {
        Ok(RunCommand {
            cluster: self.cluster()?,
            workers: usize::from(self.workers),
            as_of: self.as_of.as_deref().map(moment).transpose()?,
            job: self.job,
            limit: self.limit,
            replay: self.replay,
            json: self.json,
            quiet: self.quiet,
            status: self.status.as_deref().map(status).transpose()?,
            log: match self.log {
                None => Shape::Warnings,
                Some(LogTyped::Human) => Shape::People,
                Some(LogTyped::Json) => Shape::Json,
            },
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
        let token = token(CLUSTER_TOKEN)?;
        Ok((processes > 1).then(|| Cluster {
            index: usize::from(self.process),
            addresses,
            token,
        }))
    }
}

/// The environment's name of the token that the status asks for.
pub(super) const TOKEN: &str = "CAUDAL_STATUS_TOKEN";

/// The environment's name of the secret that the processes of a run share.
pub(super) const CLUSTER_TOKEN: &str = "CAUDAL_TOKEN";

/// A token of the environment; none where it is not set.
///
/// # Errors
/// Where it is empty, which protects nothing, or can't be the value of a header: then it could never be given.
pub(super) fn token(name: &str) -> Result<Option<String>, Stop> {
    let Some(token) = std::env::var_os(name) else {
        return Ok(None);
    };
    token
        .into_string()
        .ok()
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(Some)
        .ok_or_else(|| {
            Stop::Words(format!(
                "{name}: it is no token\n  expected: one or more ASCII letters, digits and signs, without blanks\n  \
                 now: nothing was started\n  hint: unset it where no token is wanted"
            ))
        })
}

/// Reads where the status is served.
fn status(text: &str) -> Result<StatusCommand, Stop> {
    let address: SocketAddr = text.parse().map_err(|_| {
        Stop::Words(format!(
            "--status: {} is not an address with a port\n  expected: 127.0.0.1:9100, [::1]:9100, or port 0 for any that is free\n  \
             now: nothing was started",
            quoted(text)
        ))
    })?;
    let token = token(TOKEN)?;
    if token.is_none() && !address.ip().is_loopback() {
        return Err(Stop::Words(format!(
            "--status: {address} is reached from other machines, and everyone there could look\n  expected: an address of this \
             machine alone (127.0.0.1), or a token in {TOKEN}\n  now: nothing was started"
        )));
    }
    Ok(StatusCommand { address, token })
}

/// Reads a time: RFC 3339, the same without an offset (UTC), or a day (its midnight UTC). Gives microseconds since 1970.
fn moment(text: &str) -> Result<i64, Stop> {
    moment_of("--as-of", text)
}

/// The same of another option.
pub(super) fn moment_of(option: &str, text: &str) -> Result<i64, Stop> {
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
        "{option}: {} is not a time\n  expected: 2026-03-14T18:30:00Z, 2026-03-14T18:30+01:00, 2026-03-14 18:30 (UTC) or \
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
    fn a_status_for_other_machines_needs_a_token() {
        // The environment of the tests has no token.
        assert!(status("127.0.0.1:0").is_ok() && status("[::1]:9100").is_ok());
        for (wrong, told) in [
            ("9100", "--status: \"9100\" is not an address with a port"),
            ("localhost", "--status: \"localhost\" is not"),
            ("0.0.0.0:9100", "--status: 0.0.0.0:9100 is reached from"),
        ] {
            let stop = status(wrong).unwrap_err();
            assert_eq!(stop.exit_code(), 2);
            assert!(stop.to_string().starts_with(told), "{stop}");
        }
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
