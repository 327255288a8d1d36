//! `caudal epochs`: what a continuous job has decided and committed, from its state and output folders.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::stop::{FINE, Stop};
use super::{load, numbers, print};
use crate::epoch::{Totals, look_at_journal};
use crate::record::shown_time;
use crate::sinks::chain;

/// Prints the newest epochs of each kind, where each partition stands, and the commits.
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
    let history = look_at_journal(&continuous.state).map_err(|error| Stop::Run(error.into()))?;
    let newest = chain::newest(&plan.output).map_err(|error| Stop::Run(error.into()))?;
    let committed = newest.as_ref().and_then(|manifest| manifest.to);
    let checkpoint = history.checkpoints.first();
    let totals: Totals = checkpoint
        .and_then(|checkpoint| serde_json::from_value(checkpoint.totals.clone()).ok())
        .unwrap_or_default();
    let bound = history.newest_epoch();
    let watermark = history
        .bindings
        .back()
        .map(|binding| binding.watermark)
        .or_else(|| checkpoint.map(|checkpoint| checkpoint.watermark))
        .flatten();
    let partitions = checkpoint.map(|checkpoint| checkpoint.partitions.clone());
    let partitions = partitions.unwrap_or_default();
    if json {
        let line = json!({
            "job": plan.name, "generation": history.generation, "bound": bound, "checkpoint": checkpoint.map(|kept| kept.epoch),
            "committed": committed, "watermark": watermark, "drained": history.drained.is_some(),
            "rows": { "in": totals.rows_in, "clean": totals.clean, "refused": totals.refused, "dropped": totals.dropped },
            "partitions": partitions,
        });
        print::to_output(format!("{line}\n").as_bytes())?;
        return Ok(FINE);
    }
    let shown = |epoch: Option<u64>| epoch.map_or_else(|| "none".to_owned(), numbers::grouped);
    let mut text = format!("{}: generation {}\n", plan.name, history.generation);
    let mut line = |name: &str, value: String| {
        writeln!(text, "  {name:<11} {value}").expect("a String takes everything");
    };
    line("bound", shown(bound));
    line("checkpoint", shown(checkpoint.map(|kept| kept.epoch)));
    line("committed", shown(committed));
    let time = watermark.map_or_else(|| "none".to_owned(), shown_time);
    line("watermark", time);
    line("rows in", numbers::grouped(totals.rows_in));
    for moved in &partitions {
        let name = format!("{}/{}", moved.partition.topic, moved.partition.partition);
        line("partition", format!("{name} is read up to {}", moved.to));
    }
    if history.drained.is_some() {
        line("stopped", "in good order".to_owned());
    }
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}
