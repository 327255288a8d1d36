//! From a path to a plan, or to every fault of the job file.

use std::path::Path;
use std::sync::Arc;

use super::stop::Stop;
use crate::job::document::Document;
use crate::job::plan::Plan;
use crate::job::resolve;

/// Reads and resolves a job.
///
/// # Errors
/// All faults of the file at once, or that it can't be read.
pub(super) fn job(file: &Path) -> Result<Arc<Plan>, Stop> {
    let document = Document::read(file)?;
    Ok(Arc::new(resolve::resolve(&document)?))
}
