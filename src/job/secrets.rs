//! Secrets: options of clients that no one but the client is shown, and texts that may hold one.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What stands where a secret would.
pub const MASK: &str = "***";

/// Endings of the names of options that hold a secret.
const ENDINGS: [&str; 8] = [
    ".password",
    ".secret",
    ".passphrase",
    ".key.pem",
    // Of buckets.
    "secret_access_key",
    "session_token",
    "aws_token",
    "customer_key_base64",
];

/// Others that hold one: claims of a token that the broker trusts without a signature; a token of a bucket; the key of a signature.
const WHOLE: [&str; 3] = ["sasl.oauthbearer.config", "token", "secret"];

/// Whether a client's option of this name holds a secret, whatever the case it is written in.
pub fn is_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| option.ends_with(ending)) || WHOLE.contains(&option.as_str())
}

/// The value as people may see it.
pub fn masked<'a>(option: &str, value: &'a str) -> &'a str {
    if is_secret(option) { MASK } else { value }
}

/// The text of a job file, which may hold a secret in plain words: read by those who need it, and never shown as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct JobText(Arc<str>);

impl From<&str> for JobText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for JobText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JobText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "SASL.Password",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
            "ssl.key.pem",
            "sasl.oauthbearer.config",
            "secret_access_key",
            "aws_secret_access_key",
            "session_token",
            "token",
            "secret",
        ] {
            assert_eq!(masked(name, "x"), MASK, "{name}");
        }
        for name in [
            "sasl.username",
            "ssl.key.location",
            "ssl.ca.pem",
            "ssl.certificate.pem",
            "security.protocol",
            "sasl.oauthbearer.client.id",
            "access_key_id",
            "endpoint",
        ] {
            assert_eq!(masked(name, "x"), "x", "{name}");
        }
    }
}
