//! A schema registry that speaks Confluent's protocol (Confluent, Karapace, Redpanda, Apicurio): the schema of an id, for who reads, and
//! the id of a schema, for who writes ([`subjects`]).
//!
//! An id never changes its meaning, so that each is asked for once. The client blocks: whoever needs it in a dataflow asks
//! on a thread of its own.

pub mod subjects;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::decode::avro::{AvroError, AvroSchema};
use crate::record::shown;

/// How long all of one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Times that one address is asked; those between are the ones that a registry that starts again needs.
const TRIES: u32 = 3;

/// How long to wait before the second try; before each further one twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Largest answer that is read: a schema, escaped as a JSON text.
const MAX_ANSWER_BYTES: u64 = 32 << 20;

/// Why a schema could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The address is none.
    #[error(
        "schema registry: {address:?} is no address\n  expected: http:// or https:// and a host\n  now: nothing is asked"
    )]
    Address {
        /// As given.
        address: String,
    },
    /// Nobody answers.
    #[error(
        "schema registry {address}: it does not answer: {why}\n  now: schema {id} is not known after {TRIES} tries\n  hint: see that the registry runs and that this machine reaches it"
    )]
    Unreachable {
        /// The registry.
        address: String,
        /// The schema that was asked for.
        id: u32,
        /// Why.
        why: String,
    },
    /// It does not let us.
    #[error(
        "schema registry {address}: it refuses to tell schema {id} ({status})\n  expected: a user that may read schemas\n  hint: the environment variable {USER_INFO} holds user:password"
    )]
    Refused {
        /// The registry.
        address: String,
        /// The schema that was asked for.
        id: u32,
        /// 401 or 403.
        status: u16,
    },
    /// It has no schema of this id.
    #[error(
        "schema registry {address}: it has no schema {id}\n  hint: see that it is the registry that the writers of the topic use"
    )]
    Unknown {
        /// The registry.
        address: String,
        /// The schema that was asked for.
        id: u32,
    },
    /// What it answers is no schema.
    #[error("schema registry {address}: its answer for schema {id} is none: {why}")]
    Answer {
        /// The registry.
        address: String,
        /// The schema that was asked for.
        id: u32,
        /// Why.
        why: String,
    },
    /// The schema is of another kind, or can't be used.
    #[error("schema registry {address}: schema {id}")]
    Schema {
        /// The registry.
        address: String,
        /// The schema that was asked for.
        id: u32,
        /// Why.
        #[source]
        source: AvroError,
    },
}

/// The environment variable of user and password.
pub const USER_INFO: &str = "CAUDAL_REGISTRY_USER_INFO";

/// A client.
#[derive(Debug)]
pub struct Registry {
    agent: ureq::Agent,
    /// Without a slash at its end.
    address: String,
    /// The value of the header `authorization`.
    authorization: Option<String>,
    known: HashMap<u32, (AvroSchema, Arc<str>)>,
}

impl Registry {
    /// A client of the registry at `address` (`https://registry:8081`, a path below it included). `user_info` is user and
    /// password with a colon between them: what [`USER_INFO`] holds.
    pub fn new(address: &str, user_info: Option<&str>) -> Result<Self, RegistryError> {
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| address.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['@', ' '])) {
            return Err(RegistryError::Address {
                address: address.to_owned(),
            });
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT_PATIENCE))
            .max_redirects(2)
            .build();
        Ok(Self {
            agent: config.new_agent(),
            address: address.trim_end_matches('/').to_owned(),
            authorization: user_info.map(|info| format!("Basic {}", base64(info.as_bytes()))),
            known: HashMap::new(),
        })
    }

    /// The schema of an id. Asks the registry where it is not known yet, and again where it does not answer or is at fault itself.
    pub fn schema(&mut self, id: u32) -> Result<AvroSchema, RegistryError> {
        self.know(id).map(|(schema, _)| schema.clone())
    }

    /// The text of the schema of an id, which can be read as one; asked for as in [`Self::schema`].
    pub fn text(&mut self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.know(id).map(|(_, text)| Arc::clone(text))
    }

    fn know(&mut self, id: u32) -> Result<&(AvroSchema, Arc<str>), RegistryError> {
        if self.known.contains_key(&id) {
            return Ok(&self.known[&id]);
        }
        let mut pause = PAUSE;
        let mut tries = 1;
        let schema = loop {
            match self.ask(id) {
                Err(RegistryError::Unreachable { .. }) if tries < TRIES => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    tries += 1;
                }
                other => break other?,
            }
        };
        Ok(self.known.entry(id).or_insert(schema))
    }

    fn ask(&self, id: u32) -> Result<(AvroSchema, Arc<str>), RegistryError> {
        let address = self.address.clone();
        let unreachable = |why: String| RegistryError::Unreachable {
            address: self.address.clone(),
            id,
            why,
        };
        let answer = self.get(&format!("/schemas/ids/{id}"));
        let (status, body) = answer.map_err(unreachable)?;
        let wrong = |why: String| RegistryError::Answer {
            address: self.address.clone(),
            id,
            why,
        };
        match status {
            200 => {}
            401 | 403 => {
                return Err(RegistryError::Refused {
                    address,
                    id,
                    status,
                });
            }
            404 => return Err(RegistryError::Unknown { address, id }),
            429 | 500.. => return Err(unreachable(format!("status {status}"))),
            _ => return Err(wrong(format!("status {status}, {:?}", shown(&body, 64)))),
        }
        let answer: Value =
            serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
        let kind = answer
            .get("schemaType")
            .and_then(Value::as_str)
            .unwrap_or("AVRO");
        if kind != "AVRO" {
            return Err(wrong(format!("it is of type {kind}, not AVRO")));
        }
        if answer
            .get("references")
            .and_then(Value::as_array)
            .is_some_and(|references| !references.is_empty())
        {
            return Err(wrong(
                "it refers to other schemas, which are not read".to_owned(),
            ));
        }
        let schema = answer.get("schema").and_then(Value::as_str);
        let schema = schema.ok_or_else(|| wrong("it has no member \"schema\"".to_owned()))?;
        match AvroSchema::parse(schema.as_bytes()) {
            Ok(read) => Ok((read, Arc::from(schema))),
            Err(source) => Err(RegistryError::Schema {
                address,
                id,
                source,
            }),
        }
    }
}

/// What is said of all requests.
const ACCEPTED: &str = "application/vnd.schemaregistry.v1+json, application/json";

impl Registry {
    /// Asks for what is at a path; gives status and body, or why there is no answer.
    fn get(&self, path: &str) -> Result<(u16, Vec<u8>), String> {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.address))
            .header("accept", ACCEPTED);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        answered(request.call())
    }

    /// Sends a JSON text to a path; gives the same.
    fn post(&self, path: &str, body: &str) -> Result<(u16, Vec<u8>), String> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.address))
            .header("accept", ACCEPTED)
            .header("content-type", "application/vnd.schemaregistry.v1+json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        answered(request.send(body))
    }
}

fn answered(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, Vec<u8>), String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_vec();
    Ok((status, body.map_err(|error| error.to_string())?))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three
            .iter()
            .fold(0, |word, byte| (word << 8) | usize::from(*byte))
            << (8 * (3 - three.len()));
        for letter in 0..4 {
            text.push(if letter <= three.len() {
                char::from(LETTERS[(word >> (18 - 6 * letter)) & 63])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("user:pass?>", "dXNlcjpwYXNzPz4="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for address in [
            "registry:8081",
            "ftp://x",
            "http://",
            "http://user:secret@host",
            "http://a b",
        ] {
            assert!(Registry::new(address, None).is_err(), "{address}");
        }
    }
}
