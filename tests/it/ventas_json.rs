//! The ventas job on the JSON lines of the same sales: what it gives is what the CSV gives, and the generator's truth.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::tables::{self, Cell, Row};
use super::ventas::{BENCH_JOB, caudal};

#[test]
fn json_lines_give_what_csv_gives_and_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let words = ["generate", "ventas", "--rows", "30000", "--seed", "9"];
    let made = caudal(&[&words[..], &["--out", &place]].concat(), &[]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let set = folder.path().join("30000");
    let truth: Value = serde_json::from_slice(&fs::read(set.join("truth.json")).unwrap()).unwrap();
    let csv_job = fs::read_to_string(BENCH_JOB).unwrap();
    let json_job =
        csv_job
            .replacen("part-*.csv", "part-*.jsonl", 1)
            .replacen("csv = {}", "json = {}", 1);
    let dims = folder.path().join("dims");
    let jobs = [("csv", csv_job), ("json", json_job)];
    let [of_csv, of_json] = jobs.map(|(format, job)| {
        let file = folder.path().join(format!("{format}.toml"));
        fs::write(&file, job).unwrap();
        let out = folder.path().join(format!("out-{format}"));
        let input = set.join(format);
        let environment = [
            ("VENTAS_IN", input.as_path()),
            ("VENTAS_DIMS", dims.as_path()),
            ("VENTAS_OUT", out.as_path()),
        ];
        let file = file.display().to_string();
        let run = caudal(
            &["run", &file, "-w", "2", "--json", "--quiet"],
            &environment,
        );
        let told = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(0), "{format}: {told}");
        Run::read(&run.stdout, &out)
    });

    for (name, csv, json) in [
        ("enriched", &of_csv.enriched, &of_json.enriched),
        ("quarantine", &of_csv.quarantine, &of_json.quarantine),
        ("quality", &of_csv.quality, &of_json.quality),
    ] {
        assert!(!json.is_empty(), "{name} has rows");
        assert_eq!(lines(csv), lines(json), "{name}");
    }
    for part in ["rows", "refused_by_reason", "verdicts"] {
        assert_eq!(of_csv.summary[part], of_json.summary[part], "{part}");
    }
    of_json.assert_true(&truth);
}

/// What a run told and wrote.
struct Run {
    summary: Value,
    enriched: Vec<Row>,
    quarantine: Vec<Row>,
    quality: Vec<Row>,
}

impl Run {
    fn read(told: &[u8], out: &Path) -> Self {
        Self {
            summary: serde_json::from_slice(told).unwrap(),
            enriched: tables::read(&out.join("enriched")),
            quarantine: tables::read(&out.join("quarantine")),
            quality: tables::read(&out.join("quality")),
        }
    }

    /// Holds everything against the truth that has one exact number.
    fn assert_true(&self, truth: &Value) {
        let (sales, quality) = (&self.enriched, &self.quality);
        let mut zones: BTreeMap<&str, u64> = BTreeMap::new();
        for row in sales {
            *zones.entry(text(&row["zone"])).or_default() += 1;
        }
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for row in &self.quarantine {
            *reasons.entry(text(&row["reason"])).or_default() += 1;
        }
        let nulls = sales.iter().filter(|row| row["customer_id"] == Cell::Null);
        let newest = sum(quality, "max_ts") / 1000;
        let told = |number: i128| json!(i64::try_from(number).unwrap());
        for (got, name) in [
            (json!(sales.len()), "valid"),
            (json!(self.quarantine.len()), "quarantined"),
            (json!(reasons), "reasons"),
            (json!(zones), "zones"),
            (json!(decimal(sum(sales, "amount"), 2)), "sum_amount"),
            (
                json!(decimal(sum(sales, "amount_usd"), 6)),
                "sum_amount_usd",
            ),
            (told(sum(sales, "sale_id")), "sum_sale_id"),
            (told(sum(sales, "region_id")), "sum_region_id"),
            (told(sum(sales, "category_id")), "sum_category_id"),
            (told(sum(sales, "quantity")), "sum_quantity"),
            (json!(nulls.count()), "null_customers"),
        ] {
            assert_eq!(got, truth[name], "{name}");
        }
        let truth = &truth["quality"];
        let scores = quality.iter().filter(|row| row["z"] != Cell::Null);
        for (got, name) in [
            (json!(quality.len()), "rows"),
            (told(sum(quality, "rows")), "total_rows"),
            (told(sum(quality, "null_customers")), "null_customers"),
            (json!(decimal(sum(quality, "sum_amount"), 2)), "sum_amount"),
            (told(newest), "sum_max_ts_ms"),
            (json!(scores.count()), "z_count"),
        ] {
            assert_eq!(got, truth[name], "quality: {name}");
        }
        for (column, name) in [
            ("z", "sum_abs_z"),
            ("mean_amount", "sum_mean"),
            ("var_amount", "sum_var"),
        ] {
            let values = quality.iter().filter_map(|row| row[column].as_real());
            let got: f64 = values
                .map(|value| if column == "z" { value.abs() } else { value })
                .sum();
            let expected = truth[name].as_f64().unwrap();
            // SPEC's tolerance.
            assert!(
                (got - expected).abs() <= 1e-6 * expected,
                "quality: {name}: {got} and {expected}"
            );
        }
    }
}

/// Rows as sorted lines: multisets compare.
fn lines(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    lines.sort();
    lines
}

fn sum(rows: &[Row], column: &str) -> i128 {
    let units = rows.iter().map(|row| match &row[column] {
        Cell::Whole(value) | Cell::Decimal(value, _) => *value,
        other => panic!("{other:?} in {column}"),
    });
    units.sum()
}

fn decimal(units: i128, scale: u32) -> String {
    let one = 10_i128.pow(scale);
    let width = usize::try_from(scale).unwrap();
    format!("{}.{:0width$}", units / one, units % one)
}

fn text(cell: &Cell) -> &str {
    match cell {
        Cell::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}
