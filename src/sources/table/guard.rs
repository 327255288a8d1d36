//! Libraries that read foreign bytes, kept from ending the run.
//!
//! The Parquet and Arrow libraries assert what a well-made file has, so that a broken one can make them panic: a negative offset in a
//! footer does. Such a panic is a fault of the file, not of caudal, and comes as one.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::TableError;

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a library that reads foreign bytes; the panic hook then leaves a panic to [`guarded`].
pub(crate) fn is_reading() -> bool {
    READING.get()
}

/// Runs `read`; a panic in it is an error. What `read` worked on must not be used after an error.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    let before = READING.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    READING.set(before);
    read.unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(TableError::Broken(words.unwrap_or_default()))
    })
}
