//! What a job produces: rows in, files out, visible as a whole or not at all.
//!
//! ```text
//!              one a worker and sink                     one a run, in one process
//!  batches ──> SinkWriter ──> _caudal/staged/RUN/SINK ──> publish ──> ROOT/SINK
//!              (split by partition, encode)   │             ├─ files and folders are synced
//!                                             │             ├─ manifest n+1 is put: the commit
//!  standard output: LineWriter                │             └─ each sink's folder is exchanged
//!                                             └─ what a killed run left is removed by the next
//! ```
//!
//! The contract of a sink, as it is kept here for bounded runs:
//!
//! 1. **It stages.** [`SinkWriter`] writes whole files under a name that readers skip (`_caudal/`).
//! 2. **It commits once.** [`OutputRoot::publish`] makes all sinks under a root visible by one manifest.
//! 3. **It says what it has committed.** The manifests under `_caudal/manifest/` name every file with rows and bytes.
//! 4. **It cleans up what it has not committed.** [`OutputRoot::open`] completes a committed run that was cut while it
//!    published, and removes everything else that is staged.
//!
//! A continuous job adds files instead, commit by commit: [`chain`].
//!
//! Nothing here knows the dataflow: these are plain, synchronous types that an operator owns.

pub mod avro;
pub mod chain;
pub mod delta;
mod dictionary;
mod error;
mod fixed;
mod history;
mod hive;
mod integers;
mod interval;
mod json;
pub mod kafka;
mod keep;
mod lines;
mod output;
mod packing;
mod pages;
mod parquet;
mod partition;
mod publish;
mod scalar;
mod stage;
mod summed;
mod writer;

pub use self::summed::checksum;
pub use error::SinkError;
pub use history::{SAID_AT, SAID_EPOCH};
pub use lines::LineWriter;
pub use output::{OutputRoot, Run, staged_run};
pub use publish::{
    Added, Manifest, ManifestFile, ManifestSink, QUARANTINE, Said, VERDICTS, kept_files, published,
    shape,
};
pub use stage::{add_empty, output_schema, stage};
pub use writer::{SinkWriter, StagedFile, write_empty};
