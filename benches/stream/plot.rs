//! Lines over seconds, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const MARGIN: f64 = 56.0;
const COLORS: [&str; 3] = ["#1f77b4", "#d62728", "#2ca02c"];

/// One line: its name, and points of seconds and values.
pub(crate) type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Draws lines from nought to the largest value; `from` is a second from which on something is otherwise, and its name.
pub(crate) fn draw(title: &str, lines: &[Line<'_>], from: Option<(f64, &str)>) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let most = points().map(|point| point.1).fold(0.001, f64::max) * 1.1;
    let x = |seconds: f64| MARGIN + (WIDTH - 2.0 * MARGIN) * seconds / last;
    let y = |value: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * value / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    text(&mut svg, (MARGIN, 20.0), title);
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        let across = [(0.0, value), (last, value)].map(|(s, v)| (x(s), y(v)));
        path(&mut svg, &across, "#ddd");
        text(&mut svg, (4.0, y(value) + 4.0), &shown(value));
        let seconds = last * f64::from(step) / 4.0;
        let under = (x(seconds) - 8.0, HEIGHT - MARGIN + 18.0);
        text(&mut svg, under, &format!("{seconds:.0} s"));
    }
    if let Some((seconds, name)) = from {
        path(
            &mut svg,
            &[(x(seconds), y(0.0)), (x(seconds), y(most))],
            "#999",
        );
        text(&mut svg, (x(seconds) + 4.0, y(most) + 12.0), name);
    }
    for (number, (name, points)) in lines.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let of_line: Vec<(f64, f64)> = points.iter().map(|(s, v)| (x(*s), y(*v))).collect();
        path(&mut svg, &of_line, color);
        let at = (
            WIDTH - MARGIN - 120.0,
            20.0 + 14.0 * f64::from(u8::try_from(number).unwrap_or(0)),
        );
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{name}</text>",
            at.0, at.1
        )
        .expect("a String takes everything");
    }
    svg + "</svg>\n"
}

fn shown(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

fn path(svg: &mut String, points: &[(f64, f64)], color: &str) {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
        points.join(" ")
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
