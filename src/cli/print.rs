//! The only places that write to the terminal.

use std::io::{self, ErrorKind, Write};

use super::stop::Stop;

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

/// Writes a text and a line end to standard error. Where that is closed there is nobody to tell.
pub(super) fn to_people(text: &str) {
    let mut error = io::stderr().lock();
    drop(error.write_all(format!("{text}\n").as_bytes()));
}
