//! `[alerts]` as written: who is told when a check warns or fails, and when it does no more.

use std::fmt;

use schemars::JsonSchema;

use super::Named;
use crate::job::secrets::MASK;

/// `[alerts.NAME]`: who is told when a check of a continuous job warns or fails, and when it does no more; exactly one of `alertmanager`,
/// `webhook`, `log`. There is one alert for a check, a segment and a condition (`warn`, `fail`, `overflow`): it is opened when the newest
/// window of the segment has it, or its age, and resolved when that has another status. What is told was committed before, and nothing is told
/// twice, whatever dies in between. Of what changes while the receiver is away, it is told when it answers again what is another than it knows.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"title": "receiver", "oneOf": [{"required": ["alertmanager"]}, {"required": ["webhook"]}, {"required": ["log"]}]},
]))]
pub struct AlertsSpec {
    /// Receiver: Prometheus' Alertmanager, by its API (version 2).
    pub alertmanager: Option<AlertmanagerSpec>,
    /// Receiver: an address to which messages of JSON are posted.
    pub webhook: Option<WebhookSpec>,
    /// Receiver: the job's log.
    pub log: Option<AlertLogSpec>,
    /// The checks that it is about; a statistic that overflows is `WINDOW.STATISTIC`. Default: all, and statistics.
    /// Example: `["region_alive"]`.
    pub checks: Option<Vec<String>>,
    /// The least that is told; what overflows counts as failed. Default: `"warn"`.
    pub severity: Option<SeveritySpec>,
    /// What alerts have in common that are told in one message: `check`, `condition`, `segment`, or columns of segments. Where more than ten
    /// groups change at once, and after the job itself was down, all are one. Alertmanager groups by its own configuration, from labels of
    /// these names. Default: `["segment"]`. Example: `["region_id"]`.
    pub group_by: Option<Vec<String>>,
    /// How many windows of a segment, one after another, have to be bad until an alert opens; those that can't be judged don't count. An age
    /// counts at once. Default: 1.
    #[schemars(range(min = 1, max = 1000))]
    pub after: Option<u64>,
    /// How long ago a window may have ended that opens an alert, by the job's clock: what is read again, or for the first time, opens nothing for
    /// what is older. Default: `"1 day"`.
    pub max_age: Option<String>,
    /// How long nothing is told while the job reads what came when it did not run, at most: what has changed by then is told in one message.
    /// Default: `"5 minutes"`.
    pub settle: Option<String>,
    /// How long one delivery may take. Default: `"10 seconds"`.
    pub timeout: Option<String>,
    /// Longest pause before a delivery that failed is tried again; the first is a second, each further one twice as long.
    /// Default: `"1 minute"`.
    pub retry: Option<String>,
}

/// An Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerSpec {
    /// Its address. Example: `"http://alertmanager:9093"`.
    pub url: String,
    /// How often alerts that are open are told again, since Alertmanager keeps them in memory alone. Default: `"1 minute"`.
    pub resend: Option<String>,
    /// How long Alertmanager takes an alert for open that is not told again: while the job is down no longer than that, nothing is resolved and
    /// nothing opened anew. Default: `"1 hour"`.
    pub expires_after: Option<String>,
    /// Labels of all alerts besides `alertname` (the check), `job`, `segment`, the columns of the segment, `condition` and `severity`.
    /// Example: `{ team = "sales" }`.
    #[serde(default)]
    pub labels: Named<String>,
}

/// An address to which messages are posted.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// The address; it is shown to nobody but for its host. Example: `"https://hooks.example.com/ventas"`.
    pub url: String,
    /// Key of the signature in the header `caudal-signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of the seconds, a dot and the body. Belongs into a
    /// variable and is never shown. Default: none, messages are not signed. Example: `"${WEBHOOK_SECRET}"`.
    pub secret: Option<String>,
    /// After how long alerts that are still open are told again. Default: never. Example: `"4 hours"`.
    pub remind: Option<String>,
}

impl fmt::Debug for WebhookSpec {
    /// Without secrets: the address may hold one, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSpec")
            .field("url", &MASK)
            .field("secret", &self.secret.as_ref().map(|_| MASK))
            .field("remind", &self.remind)
            .finish()
    }
}

/// The log: no options.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertLogSpec {}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeveritySpec {
    /// Warnings and failures.
    Warn,
    /// Failures alone.
    Fail,
}
