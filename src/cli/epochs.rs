//! `caudal epochs`: what a continuous job has decided and committed, and how much is left to read.

use std::path::Path;

use serde_json::{Value, json};

use super::life::KnownLife;
use super::stop::{FINE, Stop};
use super::{load, print};

/// Prints the newest epochs of each kind, where each partition stands, and what waits. From state and output folders, and from the
/// job itself where it runs.
///
/// # Errors
/// Where the job is wrong or bounded, or its journal can't be read.
pub(super) fn epochs(job: &Path, json: bool) -> Result<u8, Stop> {
    let plan = load::job(job)?;
    let Some(continuous) = &plan.continuous else {
        return Err(Stop::Words(format!(
            "{}: the job is bounded: it has no epochs to go on from\n  expected: a continuous job",
            plan.name
        )));
    };
    let known = KnownLife::find(&plan, continuous)?;
    let text = if json {
        format!("{}\n", for_machines(&plan.name, &known))
    } else {
        known.for_people(&plan)
    };
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}

/// One line: what journal and output say, `partitions` as of the newest checkpoint; and under `now` where the job stands.
pub(super) fn for_machines(job: &str, known: &KnownLife) -> Value {
    let KnownLife {
        history,
        totals,
        life,
        ..
    } = known;
    let checkpoint = history.checkpoints.first();
    let partitions = checkpoint.map_or(&[][..], |kept| &kept.partitions);
    json!({
        "job": job, "generation": history.generation, "word": known.word(), "bound": history.newest_epoch(),
        "checkpoint": checkpoint.map(|kept| kept.epoch), "committed": life.targets.first().and_then(|target| target.committed),
        "watermark": life.watermark, "drained": history.drained.is_some(),
        "rows": { "in": totals.rows_in, "clean": totals.clean, "refused": totals.refused, "dropped": totals.dropped },
        "partitions": partitions,
        "now": life,
    })
}
