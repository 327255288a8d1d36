//! A plot of CPU efficiency over workers, as SVG.

use std::fmt::Write;

use super::Measured;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;

/// Rows per CPU second of each shape as a share of one worker's, threads and processes as two lines.
pub(crate) fn draw(runs: &[Measured]) -> String {
    let one = runs
        .iter()
        .find(|run| run.shape.all() == 1)
        .map_or(1.0, |run| run.cpu);
    let most = runs.iter().map(|run| run.shape.all()).max().unwrap_or(1);
    let x = |workers: u32| {
        MARGIN
            + (WIDTH - 2.0 * MARGIN) * f64::from(workers).log2() / f64::from(most).log2().max(1.0)
    };
    let y = |share: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share / 1.2;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    for step in 0..=6 {
        let share = f64::from(step) / 5.0;
        line(
            &mut svg,
            (MARGIN, y(share)),
            (WIDTH - MARGIN, y(share)),
            "#ddd",
        );
        text(&mut svg, (8.0, y(share) + 4.0), &format!("{share:.1}"));
    }
    for (name, color, of_processes) in [
        ("threads (-w)", "#1f77b4", false),
        ("processes (-n)", "#d62728", true),
    ] {
        let mut points: Vec<(u32, f64)> = runs
            .iter()
            .filter(|run| {
                let one_of_each = if of_processes {
                    run.shape.workers
                } else {
                    run.shape.processes
                };
                one_of_each == 1
            })
            .map(|run| (run.shape.all(), one / run.cpu))
            .collect();
        points.sort_by_key(|point| point.0);
        for pair in points.windows(2) {
            let at = |(workers, share): (u32, f64)| (x(workers), y(share));
            line(&mut svg, at(pair[0]), at(pair[1]), color);
        }
        if let Some((workers, share)) = points.last() {
            text(&mut svg, (x(*workers) - 80.0, y(*share) - 8.0), name);
        }
    }
    for workers in [1, 2, 4, 8] {
        text(
            &mut svg,
            (x(workers) - 4.0, HEIGHT - MARGIN + 18.0),
            &workers.to_string(),
        );
    }
    text(
        &mut svg,
        (MARGIN, 20.0),
        "work per CPU second, as a share of one worker's, over workers",
    );
    svg + "</svg>\n"
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>",
        from.0, from.1, to.0, to.1
    )
    .expect("a String takes everything");
}

fn text(svg: &mut String, at: (f64, f64), words: &str) {
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\">{words}</text>",
        at.0, at.1
    )
    .expect("a String takes everything");
}
