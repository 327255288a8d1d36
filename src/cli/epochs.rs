//! `caudal epochs`: what a continuous job has decided and committed, and how much is left to read.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::life::KnownLife;
use super::numbers::grouped;
use super::stop::{FINE, Stop};
use super::{load, print};
use crate::job::plan::SinkTo;
use crate::sinks::kafka::progress::Reader;

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

/// Prints how far the shards of a sink's topic are, as their progress says.
///
/// # Errors
/// Where the job is wrong, the sink writes no topic, or its brokers don't answer.
pub(super) fn of_sink(job: &Path, sink: &str, as_json: bool) -> Result<u8, Stop> {
    let plan = load::job(job)?;
    let found = plan.sinks.iter().find(|found| found.name == sink);
    let Some(SinkTo::Kafka(kafka)) = found.map(|found| &found.to) else {
        let names = plan
            .sinks
            .iter()
            .filter(|sink| matches!(sink.to, SinkTo::Kafka(_)));
        let names: Vec<&str> = names.map(|sink| sink.name.as_str()).collect();
        let expected = match &names[..] {
            [] => "a job with a sink `kafka`".to_owned(),
            names => format!("one of {}", names.join(", ")),
        };
        return Err(Stop::Words(format!(
            "{}: {sink} is no sink that writes a topic\n  expected: {expected}",
            plan.name
        )));
    };
    let cluster = &plan.clusters[kafka.cluster];
    let reader = Reader::new(cluster).map_err(|error| Stop::Run(error.into()))?;
    let mut shards = Vec::with_capacity(cluster.shards);
    for shard in 0..cluster.shards {
        let read = reader.read(shard, plan.join_timeout, &|| false);
        shards.push(read.map_err(|error| Stop::Run(error.into()))?);
    }
    let text = if as_json {
        let topic = cluster.progress_topic();
        format!(
            "{}\n",
            json!({ "job": plan.name, "sink": sink, "topic": kafka.topic, "progress": topic, "shards": shards })
        )
    } else {
        let mut text = format!(
            "{}: sinks.{sink}, topic {} at {}\n",
            plan.name, kafka.topic, cluster.brokers
        );
        for (number, shard) in shards.iter().enumerate() {
            let words = match shard {
                None => "nothing was sent yet".to_owned(),
                Some(progress) => {
                    let part = progress
                        .sent
                        .map_or_else(String::new, |sent| format!(", {sent} messages of it"));
                    format!(
                        "epoch {}{part}; {} messages, by generation {}",
                        grouped(progress.epoch),
                        grouped(progress.messages),
                        progress.generation
                    )
                }
            };
            writeln!(text, "  shard {number:<3} {words}").expect("a String takes everything");
        }
        text
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
