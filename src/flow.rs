//! The dataflow, top to bottom: queue → validation → transforms → enrichment → checks → outputs.

use std::sync::Arc;

use timely::dataflow::operators::{Concatenate, Probe, probe};
use timely::worker::Worker;

use crate::cluster::{Run, exchange};
use crate::record::Epoch;
use crate::{alerts, checks, decode, epoch, lookup, sinks, sources, transform, validate};

/// Builds the dataflow of a run on one worker.
pub fn build(worker: &mut Worker, run: &Arc<Run>) {
    worker.dataflow_named::<Epoch, _, _>("caudal", |scope| {
        // Epochs: in a continuous job they are opened and closed by a clock; a bounded run goes by its input.
        let passed = probe::Handle::new();
        let local = epoch::Local::new();
        let clock = epoch::clock(scope, run, &passed);
        let control = &clock.control;

        // Queue: pieces of input, each in its epoch; in a continuous job also rows that waited for their reference row.
        let parking = validate::Parking::new(run, scope.index(), scope.peers());
        let read = sources::read(scope, run, &passed, control, &local, parking.as_ref());
        let mut decoded = decode::decode(read, run);

        // Arrival: rows that come too late for their windows are refused; what an epoch held is bound.
        if run.plan.continuous.is_some() {
            let arrived = validate::arrival(decoded, control, run, &local);
            epoch::bind(arrived.answers, &clock);
            decoded = arrived.drafts;
        }

        // Reference tables: whole on every worker, complete before the rows that meet them; what changes acts from the next epoch on.
        let reference = lookup::collections(scope, run, clock.references.as_ref());

        // Enrichment and transforms, in the order in which they need each other; then validation. Each step notes faults.
        let mut rows = decoded;
        for (number, stage) in run.plan.stages.iter().enumerate() {
            rows = lookup::enrich(rows, &reference, run, &stage.lookups);
            let now = Arc::clone(run);
            rows = transform::derive(rows, &run.plan, number, move |epoch| now.now_of(epoch));
        }
        let split = validate::split(validate::rules(rows, run), run);
        let parked = validate::park(split.parked, control, run, parking.as_ref());

        // Rows that repeat another: those equal in a key meet, and the first of them counts.
        let distinct = validate::duplicates(split.clean, run);

        // Rows with one key meet on one worker.
        let clean = exchange::by_bin(distinct.rows, run).probe_with(&passed);

        // Checks: statistics as differences, applied and judged where their segment lives; and that no row was lost so far.
        let refused = checks::Refused {
            judged: &split.judged,
            all: &split.refused,
        };
        let counted = scope.concatenate([split.notes.clone(), distinct.notes.clone()]);
        let judged = checks::tally(&clean, &refused, counted, &reference, control, run);
        let verdicts = epoch::verdict_notes(&judged.verdicts, run);

        // Alerts: verdicts by which something gets bad, or is so no more; told when they are committed.
        let alerts = alerts::bad_verdicts(&judged.verdicts, control, run);

        // Outputs: staged here, published when all of the run, or of the epochs up to a checkpoint, is good.
        let staged = sinks::stage(
            clean,
            split.refused,
            distinct.found,
            judged.windows,
            judged.verdicts,
            control,
            run,
        );

        // What every worker has to tell, at the end or at a checkpoint.
        let told = [
            split.notes,
            parked,
            distinct.notes,
            verdicts,
            judged.notes,
            staged,
        ];
        let notes = scope.concatenate(told.into_iter().chain(alerts));
        epoch::gather(notes, control, run);
    });
}
