//! The ventas jobs, run by the program as a user runs it, held against the oracle row by row.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::oracle::{self, Answer, COLUMNS, Window};
use super::tables::{self, Cell, Row};

const SAMPLE_JOB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/ventas.toml");
const SAMPLE_DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/ventas");
pub(super) const BENCH_JOB: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ventas/ventas.toml");

#[test]
fn the_sample_job_gives_the_rows_of_the_oracle_with_any_number_of_threads_and_processes() {
    let data = PathBuf::from(SAMPLE_DATA);
    let answer = oracle::answer(
        &[data.join("part-0.csv"), data.join("part-1.csv")],
        &data,
        3600,
    );
    for words in [
        &["run", SAMPLE_JOB, "-w", "1"][..],
        &["run", SAMPLE_JOB, "-w", "2"],
        &["run", SAMPLE_JOB, "-w", "4"],
        &["launch", SAMPLE_JOB, "-n", "2"],
        &["launch", SAMPLE_JOB, "-n", "3", "-w", "2"],
        &["launch", SAMPLE_JOB, "-n", "8"],
    ] {
        let out = tempfile::tempdir().unwrap();
        let run = caudal(
            &[words, &["--json"]].concat(),
            &[("CAUDAL_OUT", out.path())],
        );
        assert_eq!(
            run.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        let out = out.path().join("ventas");
        assert_enriched(&out.join("enriched"), &answer);
        assert_quarantine(&out.join("quarantine"), &answer);
        assert_quality(
            &out.join("quality"),
            &answer,
            &answer.z_scores(|window| window.sum_usd),
        );
        assert_summary(&run, &answer);
        for row in tables::read(&out.join("quality")) {
            let window = &answer.windows[&window_key(&row)];
            assert_eq!(row["sum_usd"], Cell::Decimal(window.sum_usd, 6));
        }
        let verdicts = tables::read(&out.join("verdicts"));
        assert!(
            verdicts
                .iter()
                .any(|row| row["status"] == Cell::text("warn")),
            "warnings show"
        );
        assert!(
            verdicts
                .iter()
                .all(|row| row["status"] != Cell::text("fail")),
            "none fails"
        );
    }
}

/// Files in which every field of every row may be wrong, so that rows have several faults: the first declared one counts.
#[test]
fn rows_with_many_faults_are_refused_for_the_first_declared_reason() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        folder.path().join("part-0.csv"),
        folder.path().join("part-1.csv"),
    ];
    for (part, file) in (0..).zip(&files) {
        fs::write(file, dirty_csv(part, 1500)).unwrap();
    }
    let dims = PathBuf::from(SAMPLE_DATA);
    let answer = oracle::answer(&files, &dims, 60);
    assert_eq!(answer.reasons().len(), 9, "all reasons come up");
    assert!(answer.clean.len() > 100, "clean rows come up");

    for threads in ["1", "3"] {
        let out = folder.path().join(format!("out-{threads}"));
        let environment = [
            ("VENTAS_IN", folder.path()),
            ("VENTAS_DIMS", dims.as_path()),
            ("VENTAS_OUT", out.as_path()),
        ];
        let run = caudal(&["run", BENCH_JOB, "-w", threads, "--json"], &environment);
        assert_eq!(
            run.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        assert_enriched(&out.join("enriched"), &answer);
        assert_quarantine(&out.join("quarantine"), &answer);
        assert_quality(
            &out.join("quality"),
            &answer,
            &answer.z_scores(Window::sum_amount),
        );
        assert_summary(&run, &answer);
    }
}

/// Rows whose fields are each right or wrong in a way the job has a reason for; a small generator of Lehmer's kind picks.
fn dirty_csv(part: u64, rows: u64) -> String {
    let mut state = 12_345 + part;
    let mut pick = |good: &[&'static str], bad: &[&'static str]| {
        state = state * 48_271 % 2_147_483_647;
        let from = if state.is_multiple_of(13) { bad } else { good };
        from[usize::try_from(state / 13).unwrap() % from.len()]
    };
    let mut csv = COLUMNS.join(",") + "\n";
    for row in 0..rows {
        let fields = [
            &(row * 2 + part).to_string(),
            pick(
                &[
                    "2026-03-14T10:00:59.999Z",
                    "2026-03-14T10:01:00.000Z",
                    "2026-03-14T10:02:30.500Z",
                ],
                &[
                    "",
                    "2026-14-03 25:61",
                    "2026-03-14T10:61:00.000Z",
                    "yesterday",
                ],
            ),
            pick(&["1", "2000"], &["77"]),
            pick(
                &["ES-MD", " madrid", "us_ny ", "Sao Paulo"],
                &["", "  ", "ZZ-99", "ES MD"],
            ),
            pick(&["1", "2", "3"], &["", "900001", "abc", "-1"]),
            pick(&["1", "2000000"], &[""]),
            pick(&["1", "-3", "10"], &["", "x3", "0", "1.5", "99999999999"]),
            pick(
                &["0.50", "2622.00", "7", "0.00"],
                &["", "-1.00", "-0.01", "abc"],
            ),
            pick(&["EUR", "USD", "JPY"], &["", "XXX", "eur"]),
            pick(&["web", "store"], &["app"]),
        ];
        csv += &(fields.join(",") + "\n");
    }
    csv
}

/// Runs the program with these variables set.
pub(super) fn caudal(arguments: &[&str], environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command.args(arguments);
    for (name, value) in environment {
        command.env(name, value);
    }
    command.output().unwrap()
}

/// The last line of standard output counts the rows as the oracle does.
fn assert_summary(run: &Output, answer: &Answer) {
    let text = String::from_utf8_lossy(&run.stdout);
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        summary["rows"]["in"],
        answer.clean.len() + answer.refused.len()
    );
    assert_eq!(summary["rows"]["clean"], answer.clean.len());
    assert_eq!(summary["rows"]["refused"], answer.refused.len());
    let reasons: BTreeMap<String, u64> =
        serde_json::from_value(summary["refused_by_reason"].clone()).unwrap();
    assert!(
        reasons
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
            .eq(answer.reasons()),
        "{reasons:?}"
    );
}

fn assert_enriched(folder: &Path, answer: &Answer) {
    let rows = by(tables::read(folder), |row| whole(&row["sale_id"]));
    assert!(
        rows.keys().eq(answer.clean.keys()),
        "sales of {}",
        folder.display()
    );
    for (sale_id, clean) in &answer.clean {
        let expected: [(&str, Cell); 18] = [
            ("ts", Cell::Whole(clean.ts)),
            ("store_id", Cell::Whole(clean.store_id)),
            ("region_id", Cell::Whole(clean.region.id)),
            ("region_code", Cell::text(&clean.region.code)),
            ("country", Cell::text(&clean.region.country)),
            ("product_id", Cell::Whole(clean.product_id)),
            ("category_id", Cell::Whole(clean.product.category_id)),
            ("category", Cell::text(&clean.product.category)),
            ("department", Cell::text(&clean.product.department)),
            (
                "customer_id",
                clean.customer_id.map_or(Cell::Null, Cell::Whole),
            ),
            ("quantity", Cell::Whole(clean.quantity)),
            ("unit_price", Cell::Decimal(clean.unit_price, 2)),
            ("currency", Cell::text(&clean.currency)),
            ("channel", Cell::text(&clean.channel)),
            ("amount", Cell::Decimal(clean.amount, 2)),
            ("amount_usd", Cell::Decimal(clean.amount_usd, 6)),
            ("zone", Cell::text(&clean.region.zone)),
            ("date", Cell::text("2026-03-14")),
        ];
        let row = &rows[sale_id];
        assert_eq!(row.len(), expected.len() + 1, "columns of {row:?}");
        for (column, cell) in expected {
            assert_eq!(row[column], cell, "{column} of sale {sale_id}");
        }
    }
}

fn assert_quarantine(folder: &Path, answer: &Answer) {
    let mut expected = BTreeMap::new();
    for ((file, line), refused) in &answer.refused {
        expected.insert(refused.fields[0].clone().unwrap(), (file, *line, refused));
    }
    let rows = by(tables::read(folder), |row| text(&row["sale_id"]).unwrap());
    assert!(
        rows.keys().eq(expected.keys()),
        "sales of {}",
        folder.display()
    );
    for (sale_id, (file, line, refused)) in expected {
        let row = &rows[&sale_id];
        for (column, field) in COLUMNS.iter().zip(&refused.fields) {
            assert_eq!(text(&row[*column]), *field, "{column} of sale {sale_id}");
        }
        assert_eq!(
            text(&row["reason"]).unwrap(),
            refused.reason,
            "reason of sale {sale_id}"
        );
        // A job may leave the place out.
        if let Some(cell) = row.get("line") {
            assert_eq!(whole(cell), line, "line of sale {sale_id}");
            assert!(
                text(&row["file"]).unwrap().ends_with(file.as_str()),
                "file of sale {sale_id}"
            );
        }
    }
}

fn assert_quality(folder: &Path, answer: &Answer, scores: &BTreeMap<(i128, i128), Option<f64>>) {
    let rows = by(tables::read(folder), window_key);
    assert!(
        rows.keys().eq(answer.windows.keys()),
        "windows of {}",
        folder.display()
    );
    for (key, window) in &answer.windows {
        let row = &rows[key];
        assert_eq!(row["rows"], Cell::Whole(window.rows()), "rows of {key:?}");
        assert_eq!(
            row["null_customers"],
            Cell::Whole(window.null_customers),
            "null_customers of {key:?}"
        );
        assert_eq!(
            row["max_ts"],
            Cell::Whole(window.max_ts),
            "max_ts of {key:?}"
        );
        assert_eq!(
            row["sum_amount"],
            Cell::Decimal(window.sum_amount(), 2),
            "sum_amount of {key:?}"
        );
        let completeness = 1.0 - oracle::real(window.null_customers) / oracle::real(window.rows());
        assert_close(
            &row["completeness"],
            Some(completeness),
            &format!("completeness of {key:?}"),
        );
        assert_close(
            &row["mean_amount"],
            Some(window.mean_amount()),
            &format!("mean_amount of {key:?}"),
        );
        assert_close(
            &row["var_amount"],
            window.var_amount(),
            &format!("var_amount of {key:?}"),
        );
        assert_close(&row["z"], scores[key], &format!("z of {key:?}"));
    }
}

/// Equal but for the last digits of a double, or the sixth decimal of a mean that is a decimal.
fn assert_close(cell: &Cell, expected: Option<f64>, what: &str) {
    let close = match (cell.as_real(), expected) {
        (Some(got), Some(expected)) => (got - expected).abs() <= 1e-6 + 1e-9 * expected.abs(),
        (got, expected) => got.is_none() && expected.is_none(),
    };
    assert!(close, "{what}: {cell:?}, expected {expected:?}");
}

/// Rows by a key that no two of them share.
fn by<K: Ord + std::fmt::Debug>(rows: Vec<Row>, key: impl Fn(&Row) -> K) -> BTreeMap<K, Row> {
    let mut map = BTreeMap::new();
    for row in rows {
        let key = key(&row);
        assert!(!map.contains_key(&key), "two rows for {key:?}");
        map.insert(key, row);
    }
    map
}

fn window_key(row: &Row) -> (i128, i128) {
    (whole(&row["region_id"]), whole(&row["window_start"]))
}

fn whole(cell: &Cell) -> i128 {
    match cell {
        Cell::Whole(value) => *value,
        other => panic!("{other:?} is no whole number"),
    }
}

fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.clone()),
        other => panic!("{other:?} is no text"),
    }
}
