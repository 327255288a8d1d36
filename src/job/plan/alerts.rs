//! Who is told when a check warns or fails.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Who is told of what. Shown without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsPlan {
    /// Its name.
    pub name: String,
    /// Who is told.
    pub to: Receiver,
    /// The checks that it is about; none: all.
    pub checks: Option<Vec<String>>,
    /// Whether warnings are told, too.
    pub warns: bool,
    /// What alerts of one message have in common.
    pub group_by: Vec<String>,
    /// How many windows have to be bad, one after another.
    pub after: u64,
    /// How long ago a window may have ended.
    pub max_age: Duration,
    /// How long nothing is told while the job reads what came when it did not run.
    pub settle: Duration,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// Longest pause between deliveries that fail.
    pub retry: Duration,
}

/// Who is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Receiver {
    /// An Alertmanager.
    Alertmanager {
        /// Its address, without a slash at its end.
        url: String,
        /// How often alerts that are open are told again.
        resend: Duration,
        /// How long they are open without that.
        expires_after: Duration,
        /// Further labels of all alerts.
        labels: BTreeMap<String, String>,
    },
    /// An address that takes messages of JSON.
    Webhook {
        /// The address.
        url: String,
        /// Key of the signature.
        secret: Option<String>,
        /// After how long alerts that are still open are told again.
        remind: Option<Duration>,
    },
    /// The job's log.
    Log,
}

impl Receiver {
    /// What kind it is, as the job file has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alertmanager { .. } => "alertmanager",
            Self::Webhook { .. } => "webhook",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for Receiver {
    /// Kind and host: what stands behind it in an address may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Self::Alertmanager { url, .. } | Self::Webhook { url, .. } = self {
            let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            write!(
                f,
                " {}",
                host.split(['/', '?', '#']).next().unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
