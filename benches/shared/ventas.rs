//! The benchmark job's rows at each of its stages, as the engine's own operators make them.
//!
//! The rows are the generator's, with its shares of faults and of rows that find no reference row.

#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;

use caudal::cluster::Run;
use caudal::job::plan::Plan;
use caudal::record::{Batch, Draft, Epoch};
use caudal::sources::generate::{VentasOptions, VentasParts, generate_ventas};
use caudal::{decode, epoch, lookup, sources, transform, validate};
use timely::dataflow::operators::probe;
use timely::dataflow::{Scope, Stream};

use crate::flow::{collect, job, run};

/// The job.
const JOB: &str = include_str!("../ventas/ventas.toml");

/// The job over a generated day.
pub(crate) struct Ventas {
    /// Its plan.
    pub(crate) plan: Arc<Plan>,
    _data: tempfile::TempDir,
}

impl Ventas {
    /// Generates `rows` sales, which are read `chunk_bytes` at a time.
    pub(crate) fn new(rows: u64, chunk_bytes: usize) -> Self {
        let data = tempfile::tempdir().expect("the temporary folder can be written to");
        let options = VentasOptions {
            rows,
            seed: 1,
            out: data.path().to_owned(),
            parts: VentasParts {
                csv: true,
                json: false,
            },
        };
        let made =
            generate_ventas(&options, &mut |_| {}).expect("the temporary folder can be written to");
        let mut plan = job(JOB, &|name| {
            let folder = match name {
                "VENTAS_IN" => made.folder.join("csv"),
                "VENTAS_DIMS" => made.dims.clone(),
                _ => data.path().join("out"),
            };
            folder.to_str().map(str::to_owned)
        });
        plan.chunk_bytes = chunk_bytes;
        Self {
            plan: Arc::new(plan),
            _data: data,
        }
    }

    /// The rows as decoded.
    pub(crate) fn decoded(&self) -> Vec<Draft> {
        let run = run(&self.plan);
        collect(|scope| decoded(scope, &run))
    }

    /// The rows with their look-ups' columns, before any derived one.
    pub(crate) fn enriched(&self) -> Vec<Draft> {
        let run = run(&self.plan);
        collect(|scope| {
            let reference = lookup::collections(scope, &run, None);
            let all: Vec<usize> = (0..self.plan.lookups.len()).collect();
            lookup::enrich(decoded(scope, &run), &reference, &run, &all)
        })
    }

    /// The clean rows behind the split.
    pub(crate) fn clean(&self) -> Vec<Batch> {
        let run = run(&self.plan);
        collect(|scope| {
            let reference = lookup::collections(scope, &run, None);
            let mut rows = decoded(scope, &run);
            let now = run.now;
            for (number, stage) in self.plan.stages.iter().enumerate() {
                rows = lookup::enrich(rows, &reference, &run, &stage.lookups);
                rows = transform::derive(rows, &self.plan, number, move |_| now);
            }
            validate::split(validate::rules(rows, &run), &run).clean
        })
    }
}

fn decoded<'scope>(scope: Scope<'scope, Epoch>, run: &Arc<Run>) -> Stream<'scope, Epoch, Draft> {
    let passed = probe::Handle::new();
    let clock = epoch::clock(scope, run, &passed);
    let local = epoch::Local::new();
    let read = sources::read(scope, run, &passed, &clock.control, &local, None);
    decode::decode(read, run)
}
