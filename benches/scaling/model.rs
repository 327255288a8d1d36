//! A small model of where CPU time goes, fitted to measured runs.
//!
//! CPU seconds of a run with R rows and E epochs on P processes of W workers, N = P·W in all:
//!
//! ```text
//! cpu = a  +  b·P  +  c·N  +  d·R  +  e·R·(P-1)/P  +  f·E·N²
//!       once  each process  each worker  each row  each row that goes    progress messages: each worker
//!                                                  to another process   tells all others of each epoch
//! ```
//!
//! The terms are found by least squares over relative errors, none below nought: a term that would be is taken out and the rest is
//! fitted again. Runs must differ in rows as well as in shape, or the terms of the start and of the rows can't be told apart.
//!
//! Wall time on enough cores is at least the start of one process and an even share of the rest ([`Model::wall`]); that
//! says nothing of disks or networks.

use serde_json::{Value, json};

use super::{Measured, Shape};

/// Number of terms.
const TERMS: usize = 6;

/// Input of an epoch, in rows: 64 MiB of 73 bytes each.
const EPOCH_ROWS: f64 = 919_000.0;

/// Rows of a day that 20, 50 and 100 workers are meant for.
const BY_DAY: [u64; 3] = [100_000_000, 1_000_000_000, 2_000_000_000];

/// A fitted model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    terms: [f64; TERMS],
}

/// A count as a number to reckon with.
pub(crate) fn number(count: u64) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts of rows for people"
    )]
    let exact = count as f64;
    exact
}

fn features(shape: Shape, rows: u64) -> [f64; TERMS] {
    let processes = f64::from(shape.processes);
    let workers = f64::from(shape.all());
    let rows = number(rows);
    [
        1.0,
        processes,
        workers,
        rows,
        rows * (processes - 1.0) / processes,
        (rows / EPOCH_ROWS).ceil() * workers * workers,
    ]
}

/// Fits the model to runs of which at least as many differ as there are terms.
pub(crate) fn fit(runs: &[Measured]) -> Model {
    let mut taken = [true; TERMS];
    loop {
        let terms = least_squares(runs, taken);
        let worst = (0..TERMS)
            .filter(|i| terms[*i] < 0.0)
            .min_by(|a, b| terms[*a].total_cmp(&terms[*b]));
        match worst {
            Some(negative) => taken[negative] = false,
            None => return Model { terms },
        }
    }
}

/// The terms that fit best, where those that are not `taken` are nought.
fn least_squares(runs: &[Measured], taken: [bool; TERMS]) -> [f64; TERMS] {
    // 1. Normal equations, each run weighted by the inverse of its time; features scaled to their largest, so that sizes are alike.
    let mut scale = [0.0_f64; TERMS];
    for run in runs {
        for (largest, feature) in scale.iter_mut().zip(features(run.shape, run.rows)) {
            *largest = largest.max(feature);
        }
    }
    let mut left = [[0.0; TERMS]; TERMS];
    let mut right = [0.0; TERMS];
    for run in runs {
        let features = features(run.shape, run.rows);
        let scaled: Vec<f64> = (0..TERMS)
            .map(|i| features[i] / scale[i] / run.cpu * f64::from(u8::from(taken[i])))
            .collect();
        for i in 0..TERMS {
            for j in 0..TERMS {
                left[i][j] += scaled[i] * scaled[j];
            }
            right[i] += scaled[i];
        }
    }
    // A term that is not taken has an equation of its own: it is nought. What can't be told apart is held down a little.
    for (i, row) in left.iter_mut().enumerate() {
        row[i] += if taken[i] { 1e-9 } else { 1.0 };
    }
    // 2. Elimination.
    for i in 0..TERMS {
        let pivot = (i..TERMS)
            .max_by(|a, b| left[*a][i].abs().total_cmp(&left[*b][i].abs()))
            .expect("there are terms");
        left.swap(i, pivot);
        right.swap(i, pivot);
        for j in i + 1..TERMS {
            let factor = left[j][i] / left[i][i];
            let pivot = left[i];
            for (value, pivot) in left[j].iter_mut().zip(pivot).skip(i) {
                *value -= factor * pivot;
            }
            right[j] -= factor * right[i];
        }
    }
    // 3. Back.
    let mut terms = [0.0; TERMS];
    for i in (0..TERMS).rev() {
        let known: f64 = (i + 1..TERMS).map(|j| left[i][j] * terms[j]).sum();
        terms[i] = (right[i] - known) / left[i][i];
    }
    for (term, scale) in terms.iter_mut().zip(scale) {
        *term /= scale;
    }
    terms
}

impl Model {
    fn cpu(self, shape: Shape, rows: u64) -> f64 {
        features(shape, rows)
            .iter()
            .zip(self.terms)
            .map(|(feature, term)| feature * term)
            .sum()
    }

    /// Wall seconds where every worker has a core: what is done once and by each process for itself, and an even share of the rest.
    fn wall(self, shape: Shape, rows: u64) -> f64 {
        let [once, process, ..] = self.terms;
        let rest = self.cpu(shape, rows) - once - process * f64::from(shape.processes);
        once + process + rest / f64::from(shape.all())
    }

    /// The model, its error on the runs it was fitted to, and what more workers would need: for the rows of the runs, and for
    /// days of [`BY_DAY`] rows.
    pub(crate) fn line(self, runs: &[Measured], rows: u64) -> Value {
        let errors: Vec<f64> = runs
            .iter()
            .map(|run| (self.cpu(run.shape, run.rows) / run.cpu - 1.0).abs())
            .collect();
        let worst = errors.iter().copied().fold(0.0, f64::max);
        let mean = errors.iter().sum::<f64>() / f64::from(u32::try_from(errors.len()).unwrap_or(1));
        let one = Shape {
            processes: 1,
            workers: 1,
        };
        let predicted: Vec<Value> = [20, 50, 100]
            .into_iter()
            .zip(BY_DAY)
            .flat_map(|(workers, by_day)| [(workers, rows), (workers, by_day)])
            .map(|(workers, rows)| {
                let shape = Shape {
                    processes: workers / 2,
                    workers: 2,
                };
                let cpu = self.cpu(shape, rows);
                json!({ "workers": workers, "processes": shape.processes, "rows": rows, "cpu_seconds": round(cpu),
                    "wall_seconds_at_least": round(self.wall(shape, rows)), "share_of_work": round(self.cpu(one, rows) / cpu) })
            })
            .collect();
        json!({ "what": "model", "terms": self.terms, "runs": runs.len(), "mean_error": round(mean), "worst_error": round(worst),
            "predicted": predicted })
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
