//! Signals that ask a command to end, heard on a thread of their own.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::stop::Stop;
use crate::cluster::spawn;

/// From now on calls `heard` for each SIGINT and SIGTERM.
///
/// # Errors
/// Where signals can't be heard or no thread is given.
pub(super) fn hear(mut heard: impl FnMut() + Send + 'static) -> Result<(), Stop> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Stop::Signals)?;
    let hear = move || {
        for _ in &mut signals {
            heard();
        }
    };
    spawn("signals".to_owned(), hear).map_err(Stop::Signals)
}
