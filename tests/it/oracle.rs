//! An independent answer to the ventas jobs: a plain loop over CSV text.
//!
//! It shares no code with the engine and is slow and simple on purpose: fields by `split`, maps by `BTreeMap`, money as whole
//! cents in `i128`. What it gives is held against the generator's truth here, and against the engine's outputs in `ventas`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;

/// Names of the ten columns, in file order.
pub(crate) const COLUMNS: [&str; 10] = [
    "sale_id",
    "ts",
    "store_id",
    "region_code",
    "product_id",
    "customer_id",
    "quantity",
    "unit_price",
    "currency",
    "channel",
];

/// What a ventas job must give.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Clean rows by `sale_id`.
    pub(crate) clean: BTreeMap<i128, Clean>,
    /// Refused rows by file name and line, counted from 1 with the header line.
    pub(crate) refused: BTreeMap<(String, i128), Refused>,
    /// Windows with rows by region and start in microseconds since 1970.
    pub(crate) windows: BTreeMap<(i128, i128), Window>,
}

/// A clean row with all it was enriched with.
#[derive(Debug)]
pub(crate) struct Clean {
    /// Microseconds since 1970.
    pub(crate) ts: i128,
    pub(crate) store_id: i128,
    pub(crate) region: Region,
    pub(crate) product_id: i128,
    pub(crate) product: Product,
    pub(crate) customer_id: Option<i128>,
    pub(crate) quantity: i128,
    /// Cents.
    pub(crate) unit_price: i128,
    pub(crate) currency: String,
    pub(crate) channel: String,
    /// Cents.
    pub(crate) amount: i128,
    /// Millionths.
    pub(crate) amount_usd: i128,
}

/// A refused row: its fields as read, `None` where empty, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) fields: Vec<Option<String>>,
    pub(crate) reason: String,
}

/// What is known of one region and window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Cents of each row.
    pub(crate) amounts: Vec<i128>,
    pub(crate) null_customers: i128,
    /// Microseconds since 1970.
    pub(crate) max_ts: i128,
    /// Millionths.
    pub(crate) sum_usd: i128,
}

/// A row of `regions.csv`.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) id: i128,
    pub(crate) code: String,
    pub(crate) country: String,
    pub(crate) zone: String,
}

/// A row of `products.csv`.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    pub(crate) category_id: i128,
    pub(crate) category: String,
    pub(crate) department: String,
}

/// The look-ups, by key.
struct Dims {
    regions: BTreeMap<String, Region>,
    products: BTreeMap<i128, Product>,
    /// Ten-thousandths of a dollar.
    rates: BTreeMap<String, i128>,
}

/// The answer for files of sales, look-ups in the folder `dims`, and windows of so many seconds.
pub(crate) fn answer(files: &[PathBuf], dims: &Path, window_secs: i128) -> Answer {
    let dims = Dims::read(dims);
    let window_length = window_secs * 1_000_000;
    let mut answer = Answer::default();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        for (line, fields) in records(file) {
            match judge(&fields, &dims) {
                Ok(row) => {
                    let start = row.ts - row.ts % window_length;
                    let window = answer.windows.entry((row.region.id, start)).or_default();
                    window.amounts.push(row.amount);
                    window.null_customers += i128::from(row.customer_id.is_none());
                    window.max_ts = window.max_ts.max(row.ts);
                    window.sum_usd += row.amount_usd;
                    assert!(
                        answer
                            .clean
                            .insert(whole(&fields[0]).unwrap(), row)
                            .is_none(),
                        "a sale comes once"
                    );
                }
                Err(reason) => {
                    let fields = fields
                        .into_iter()
                        .map(|field| (!field.is_empty()).then_some(field))
                        .collect();
                    answer.refused.insert(
                        (name.clone(), line),
                        Refused {
                            fields,
                            reason: reason.to_owned(),
                        },
                    );
                }
            }
        }
    }
    answer
}

/// The first reason a row is refused for, in the order the jobs declare, or the row.
fn judge(fields: &[String], dims: &Dims) -> Result<Clean, &'static str> {
    let text =
        |column: &str| fields[COLUMNS.iter().position(|name| *name == column).unwrap()].as_str();
    let ts = DateTime::parse_from_rfc3339(text("ts")).map_err(|_| "bad_ts")?;
    let key = text("region_code").trim_matches(' ').to_ascii_uppercase();
    if key.is_empty() {
        return Err("missing_region");
    }
    let region = dims.regions.get(&key).ok_or("unknown_region")?;
    let product_id = whole(text("product_id")).ok_or("unknown_product")?;
    let product = dims.products.get(&product_id).ok_or("unknown_product")?;
    let quantity = whole(text("quantity"))
        .filter(|quantity| quantity.abs() < 1 << 31)
        .ok_or("bad_quantity")?;
    if quantity == 0 {
        return Err("zero_quantity");
    }
    let unit_price = decimal(text("unit_price"), 2).ok_or("missing_price")?;
    if unit_price < 0 {
        return Err("negative_price");
    }
    let rate = dims.rates.get(text("currency")).ok_or("unknown_currency")?;
    let amount = quantity * unit_price;
    Ok(Clean {
        ts: i128::from(ts.timestamp_micros()),
        store_id: whole(text("store_id")).unwrap(),
        region: region.clone(),
        product_id,
        product: product.clone(),
        customer_id: whole(text("customer_id")),
        quantity,
        unit_price,
        currency: text("currency").to_owned(),
        channel: text("channel").to_owned(),
        amount,
        amount_usd: amount * rate,
    })
}

impl Dims {
    fn read(folder: &Path) -> Self {
        let table = |name: &str| {
            records(&folder.join(name))
                .into_iter()
                .map(|(_, fields)| fields)
        };
        let regions = table("regions.csv").map(|f| {
            let region = Region {
                id: whole(&f[1]).unwrap(),
                code: f[2].clone(),
                country: f[3].clone(),
                zone: f[4].clone(),
            };
            (f[0].clone(), region)
        });
        let products = table("products.csv").map(|f| {
            let product = Product {
                category_id: whole(&f[2]).unwrap(),
                category: f[3].clone(),
                department: f[4].clone(),
            };
            (whole(&f[0]).unwrap(), product)
        });
        let rates = table("fx.csv").map(|f| (f[0].clone(), decimal(&f[1], 4).unwrap()));
        Self {
            regions: regions.collect(),
            products: products.collect(),
            rates: rates.collect(),
        }
    }
}

impl Window {
    pub(crate) fn rows(&self) -> i128 {
        i128::try_from(self.amounts.len()).unwrap()
    }

    pub(crate) fn sum_amount(&self) -> i128 {
        self.amounts.iter().sum()
    }

    pub(crate) fn mean_amount(&self) -> f64 {
        mean(&self.units())
    }

    /// Sample variance; `None` for one row.
    pub(crate) fn var_amount(&self) -> Option<f64> {
        (self.amounts.len() > 1).then(|| sample_variance(&self.units()))
    }

    fn units(&self) -> Vec<f64> {
        self.amounts
            .iter()
            .map(|cents| real(*cents) / 100.0)
            .collect()
    }
}

impl Answer {
    /// How many rows were refused for each reason.
    pub(crate) fn reasons(&self) -> BTreeMap<&str, u64> {
        let mut reasons = BTreeMap::new();
        for row in self.refused.values() {
            *reasons.entry(row.reason.as_str()).or_default() += 1;
        }
        reasons
    }

    /// z of `measure` (in any unit) against up to 10 windows before, region by region: `None` where fewer than 2 are before,
    /// or all of them are equal.
    pub(crate) fn z_scores(
        &self,
        measure: impl Fn(&Window) -> i128,
    ) -> BTreeMap<(i128, i128), Option<f64>> {
        let mut history: BTreeMap<i128, Vec<i128>> = BTreeMap::new();
        let mut scores = BTreeMap::new();
        for (&(region, start), window) in &self.windows {
            let before = history.entry(region).or_default();
            let previous = &before[before.len().saturating_sub(10)..];
            let value = measure(window);
            let varies = previous.iter().any(|other| *other != previous[0]);
            let reals: Vec<f64> = previous.iter().map(|value| real(*value)).collect();
            let z = varies.then(|| (real(value) - mean(&reals)) / sample_variance(&reals).sqrt());
            scores.insert((region, start), z);
            before.push(value);
        }
        scores
    }
}

/// The records of a file after its header, with their lines.
fn records(file: &Path) -> Vec<(i128, Vec<String>)> {
    let text = fs::read_to_string(file).unwrap();
    let records = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_owned).collect());
    (2..).zip(records).collect()
}

fn whole(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap())
}

/// Units of 10^-scale.
fn decimal(text: &str, scale: usize) -> Option<i128> {
    let (left, right) = text.split_once('.').unwrap_or((text, ""));
    if whole(left).is_none() || right.len() > scale {
        return None;
    }
    whole(&format!("{left}{right:0<scale$}"))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values)
}

fn sample_variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count(values) - 1.0)
}

fn count(values: &[f64]) -> f64 {
    f64::from(u32::try_from(values.len()).unwrap())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the nearest double is what is wanted"
)]
pub(crate) fn real(number: i128) -> f64 {
    number as f64
}

mod tests {
    use super::*;
    use caudal::sources::generate::{VentasOptions, VentasParts, generate_ventas};

    #[test]
    fn oracle_and_generator_agree() {
        let folder = tempfile::tempdir().unwrap();
        let parts = VentasParts {
            csv: true,
            json: false,
        };
        let options = VentasOptions {
            rows: 50_000,
            seed: 77,
            out: folder.path().into(),
            parts,
        };
        let set = generate_ventas(&options, &mut |_| ()).unwrap();
        let answer = answer(
            &[
                set.folder.join("csv/part-0.csv"),
                set.folder.join("csv/part-1.csv"),
            ],
            &set.dims,
            60,
        );

        let truth: serde_json::Value =
            serde_json::from_slice(&fs::read(set.folder.join("truth.json")).unwrap()).unwrap();
        assert_eq!(truth["valid"], answer.clean.len());
        assert_eq!(
            truth["reasons"],
            serde_json::to_value(answer.reasons()).unwrap()
        );
        let amount: i128 = answer.clean.values().map(|row| row.amount).sum();
        let usd: i128 = answer.clean.values().map(|row| row.amount_usd).sum();
        assert_eq!(
            truth["sum_amount"],
            format!("{}.{:02}", amount / 100, amount % 100)
        );
        assert_eq!(
            truth["sum_amount_usd"],
            format!("{}.{:06}", usd / 1_000_000, usd % 1_000_000)
        );

        let quality = &truth["quality"];
        assert_eq!(quality["rows"], answer.windows.len());
        let newest: i128 = answer
            .windows
            .values()
            .map(|window| window.max_ts / 1000)
            .sum();
        assert_eq!(quality["sum_max_ts_ms"].to_string(), newest.to_string());
        let scores = answer.z_scores(Window::sum_amount);
        assert_eq!(quality["z_count"], scores.values().flatten().count());
        let close = |name: &str, got: f64| {
            let expected = quality[name].as_f64().unwrap();
            assert!(
                (got - expected).abs() <= 1e-9 * expected,
                "{name}: {got} and {expected}"
            );
        };
        close(
            "sum_abs_z",
            scores.values().flatten().map(|z| z.abs()).sum(),
        );
        close(
            "sum_mean",
            answer.windows.values().map(Window::mean_amount).sum(),
        );
        close(
            "sum_var",
            answer.windows.values().filter_map(Window::var_amount).sum(),
        );
    }
}
