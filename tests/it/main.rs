//! Integration tests.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::format_collect,
    clippy::print_stdout,
    reason = "a helper of a test may panic, count and print as a test may"
)]

mod bad_input;
mod cases;
mod observe;
mod oracle;
mod reading;
mod real;
mod tables;
mod ventas;
mod words;
