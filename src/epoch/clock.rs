//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time now, in microseconds since 1970. A run binds it once, at its start; everything in the run that asks for the
/// time gets the bound one. A clock before 1970 gives 0.
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn wall_time() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
