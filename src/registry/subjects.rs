//! The id of a schema under a subject, for who writes: registered, or looked up where somebody else registers.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{PAUSE, Registry, TRIES, USER_INFO};
use crate::record::shown;

/// Why a schema has no id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Nobody answers.
    #[error(
        "schema registry {address}: it does not answer: {why}\n  expected: the id of a schema for subject {subject}\n  now: nothing was started, after {TRIES} tries\n  hint: see that the registry runs and that this machine reaches it"
    )]
    Unreachable {
        /// The registry.
        address: String,
        /// The subject.
        subject: String,
        /// Why.
        why: String,
    },
    /// It does not let us.
    #[error(
        "schema registry {address}: it does not let this job {what} subject {subject} ({status})\n  expected: a user with rights on the subject\n  now: nothing was started\n  hint: the environment variable {USER_INFO} holds user:password; with register = false schemas are only looked up"
    )]
    Refused {
        /// The registry.
        address: String,
        /// The subject.
        subject: String,
        /// What was asked for.
        what: &'static str,
        /// 401 or 403.
        status: u16,
    },
    /// The schema does not go with those before.
    #[error(
        "schema registry {address}: the schema does not go with those that subject {subject} has: {why}\n  expected: a schema that is compatible with them, by the subject's own rule\n  now: nothing was started\n  hint: a column that readers do not know must be one that may be null; else give the sink a `subject` and a topic of its own"
    )]
    Incompatible {
        /// The registry.
        address: String,
        /// The subject.
        subject: String,
        /// What the registry said.
        why: String,
    },
    /// Nobody has registered it.
    #[error(
        "schema registry {address}: subject {subject} does not have the sink's schema\n  expected: the schema {schema}\n  now: nothing was started\n  hint: register it, or let caudal do so with register = true"
    )]
    Unknown {
        /// The registry.
        address: String,
        /// The subject.
        subject: String,
        /// The schema.
        schema: String,
    },
    /// What it answers is no id.
    #[error(
        "schema registry {address}: its answer for subject {subject} is no id: {why}\n  now: nothing was started"
    )]
    Answer {
        /// The registry.
        address: String,
        /// The subject.
        subject: String,
        /// Why.
        why: String,
    },
}

impl Registry {
    /// The id of a schema of Avro under a subject. With `register` the registry gets to know it where it does not yet; it
    /// judges then whether it goes with those before. Asks again where the registry does not answer or is at fault itself.
    ///
    /// # Errors
    /// What the registry said, or that it does not answer.
    pub fn id(&self, subject: &str, schema: &str, register: bool) -> Result<u32, SubjectError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            match self.ask_id(subject, schema, register) {
                Err(SubjectError::Unreachable { .. }) if tries < TRIES => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn ask_id(&self, subject: &str, schema: &str, register: bool) -> Result<u32, SubjectError> {
        let owner = || (self.address.clone(), subject.to_owned());
        let unreachable = |why: String| {
            let (address, subject) = owner();
            SubjectError::Unreachable {
                address,
                subject,
                why,
            }
        };
        let versions = if register { "/versions" } else { "" };
        let path = format!("/subjects/{}{versions}", escaped(subject));
        let body = json!({ "schema": schema }).to_string();
        let (status, body) = self.post(&path, &body).map_err(unreachable)?;
        let read: Option<Value> = serde_json::from_slice(&body).ok();
        let member = |name: &str| read.as_ref().and_then(|read| read.get(name));
        let said = match member("message").and_then(Value::as_str) {
            Some(message) => shown(message.as_bytes(), 512),
            None => shown(&body, 64),
        };
        let (address, subject) = owner();
        match status {
            200 => {
                let id = member("id").and_then(Value::as_u64);
                let id = id.and_then(|id| u32::try_from(id).ok());
                id.ok_or(SubjectError::Answer {
                    address,
                    subject,
                    why: said,
                })
            }
            401 | 403 => Err(SubjectError::Refused {
                address,
                subject,
                what: if register { "write to" } else { "read" },
                status,
            }),
            404 if !register => Err(SubjectError::Unknown {
                address,
                subject,
                schema: schema.to_owned(),
            }),
            409 => Err(SubjectError::Incompatible {
                address,
                subject,
                why: said,
            }),
            429 | 500.. => Err(unreachable(format!("status {status}, {said}"))),
            _ => Err(SubjectError::Answer {
                address,
                subject,
                why: format!("status {status}, {said}"),
            }),
        }
    }
}

/// A subject as part of a path: everything but what RFC 3986 calls unreserved is escaped.
fn escaped(subject: &str) -> String {
    let mut path = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a String takes everything");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_subject_is_one_part_of_a_path() {
        assert_eq!(escaped("ventas-value_1.x~"), "ventas-value_1.x~");
        assert_eq!(escaped("a/b ñ?"), "a%2Fb%20%C3%B1%3F");
    }
}
