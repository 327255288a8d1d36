//! Integration tests.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::format_collect,
    clippy::print_stdout,
    reason = "a helper of a test may panic, count and print as a test may"
)]

mod avro_and_arrow;
mod bad_input;
mod bucket;
mod cases;
mod cluster;
mod dependencies;
mod deployment;
mod duplicates;
mod ended;
mod follow;
mod freshness;
mod fuzz;
mod histories;
mod hosts;
mod kafka;
mod lookups;
mod methods;
mod new_files;
mod observe;
mod oracle;
mod own_files;
mod parquet_types;
mod partitions;
#[path = "../../src/cli/port.rs"]
mod port;
mod quarantine;
mod random_jobs;
mod readers;
mod reading;
mod readme;
mod real;
mod registry;
mod stream;
mod tables;
mod ventas;
mod ventas_json;
mod words;
