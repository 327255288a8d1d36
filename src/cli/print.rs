//! The only places that write to the terminal.

use std::io::{self, ErrorKind, Write};

use super::stop::Stop;
use crate::observe::log;

/// Writes to standard output. A reader that went away (`caudal explain … | head`) has what it wanted: that is no error.
///
/// # Errors
/// Where the bytes could not be written: a full disk behind a redirection.
pub(super) fn to_output(bytes: &[u8]) -> Result<(), Stop> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Stop::Output(error)),
        _ => Ok(()),
    }
}

/// Tells people a text on standard error, as it is. Where that is closed there is nobody to tell. Where standard error is a
/// log in JSON, the text is the message of an event.
pub(super) fn to_people(text: &str) {
    if log::is_json() {
        tracing::info!(action = "told", "{text}");
    } else {
        to_error(text);
    }
}

/// Tells people what went otherwise than they may expect.
pub(super) fn warning(text: &str) {
    if log::is_json() {
        tracing::warn!(action = "warned", "{text}");
    } else {
        to_error(&format!("warning: {text}"));
    }
}

/// Tells people why something did not end well, as it is.
pub(super) fn failure(text: &str) {
    if log::is_json() {
        tracing::error!(action = "failed", "{text}");
    } else {
        to_error(text);
    }
}

fn to_error(text: &str) {
    let mut error = io::stderr().lock();
    drop(error.write_all(format!("{text}\n").as_bytes()));
}
