//! A small model of where CPU time goes, fitted to measured runs.
//!
//! CPU seconds of a run with R rows on P processes of W workers, N = P·W in all:
//!
//! ```text
//! cpu = a  +  b·P  +  c·N  +  d·R  +  e·R·(P-1)/P
//!       once  each process  each worker  each row  each row that goes to another process
//! ```
//!
//! The terms are found by least squares over relative errors (normal equations, Gaussian elimination with pivoting). Wall time on
//! enough cores is taken as a + b + c·N/… no better than its parts: start of one process, all workers' progress messages, which every
//! worker handles, and an even share of the rows' work; so it is a lower bound, and says nothing of disks or networks.

use serde_json::{Value, json};

use super::{Measured, Shape};

/// Number of terms.
const TERMS: usize = 5;

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
    let rows = number(rows);
    [
        1.0,
        processes,
        f64::from(shape.all()),
        rows,
        rows * (processes - 1.0) / processes,
    ]
}

/// Fits the model to runs of which at least as many differ as there are terms.
pub(crate) fn fit(runs: &[Measured]) -> Model {
    // 1. Normal equations, each run weighted by the inverse of its time.
    let mut left = [[0.0; TERMS]; TERMS];
    let mut right = [0.0; TERMS];
    for run in runs {
        let scaled = features(run.shape, run.rows).map(|feature| feature / run.cpu);
        for i in 0..TERMS {
            for j in 0..TERMS {
                left[i][j] += scaled[i] * scaled[j];
            }
            right[i] += scaled[i];
        }
    }
    // One input size leaves `a` and `d` undetermined between them: a little weight on small terms decides.
    for (i, row) in left.iter_mut().enumerate() {
        row[i] *= 1.0 + 1e-9;
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
    Model { terms }
}

impl Model {
    fn cpu(self, shape: Shape, rows: u64) -> f64 {
        features(shape, rows)
            .iter()
            .zip(self.terms)
            .map(|(feature, term)| feature * term)
            .sum()
    }

    /// The model, its error on the runs it was fitted to, and what more workers would need.
    pub(crate) fn line(self, runs: &[Measured], rows: u64) -> Value {
        let errors: Vec<f64> = runs
            .iter()
            .map(|run| (self.cpu(run.shape, run.rows) / run.cpu - 1.0).abs())
            .collect();
        let worst = errors.iter().copied().fold(0.0, f64::max);
        let mean = errors.iter().sum::<f64>() / f64::from(u32::try_from(errors.len()).unwrap_or(1));
        let predicted: Vec<Value> = [20, 50, 100]
            .map(|workers| {
                let shape = Shape {
                    processes: workers / 2,
                    workers: 2,
                };
                let cpu = self.cpu(shape, rows);
                json!({ "workers": workers, "processes": shape.processes, "cpu_seconds": round(cpu),
                    "share_of_work": round(self.cpu(Shape { processes: 1, workers: 1 }, rows) / cpu) })
            })
            .to_vec();
        json!({ "what": "model", "terms": self.terms, "mean_error": round(mean), "worst_error": round(worst), "rows": rows,
            "predicted": predicted })
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
