#![doc = include_str!("ARCHITECTURE.md")]

pub mod flow;

pub mod job;
pub mod record;

mod kafka;
pub mod sources;

pub mod registry;

pub mod decode;

pub mod validate;

pub mod transform;

pub mod lookup;

pub mod alerts;
pub mod checks;

pub mod sinks;

pub mod epoch;

pub mod cluster;

pub mod observe;

pub mod fault;

pub mod cli;
