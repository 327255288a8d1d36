//! What a correct engine makes of the sales, from the generator's integers.
//!
//! Everything is summed exactly, in cents and millionths; floating point begins only where the figure itself is no
//! integer (mean, variance, z), one division or root per window, added up region by region in order of time. So these
//! figures too are the same on every machine, and are right to the last few digits.
//!
//! With s the sum of a window and P the up to 10 windows with rows before it in its region:
//! z = (s - mean(P)) / `stddev_samp(P)`, where P has at least 2 and they are not all equal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dims::{CURRENCIES, REGIONS, ZONES, category_of};
use super::event::{Event, Fault};

/// Milliseconds from 1970 to the day of all sales.
pub(super) const DAY_START_MS: u64 = 1_773_446_400_000;
const MINUTES: usize = 1440;
/// Windows that a z-score is held against.
const PREVIOUS: usize = 10;

/// Sums over the valid sales of one region and minute; amounts in cents.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    rows: u64,
    null_customers: u64,
    sum: i128,
    sum_of_squares: i128,
    /// Milliseconds of the day.
    max_ms: u64,
}

/// Sums over the sales added so far. Cost: 7 MB, whatever their number.
#[derive(Debug)]
pub(super) struct Truth {
    rows: u64,
    valid: u64,
    faults: [u64; Fault::ALL.len()],
    zones: [u64; ZONES.len()],
    sum_amount_cents: i128,
    sum_amount_usd_millionths: i128,
    sum_sale_id: u128,
    sum_region_id: u128,
    sum_category_id: u128,
    sum_quantity: i128,
    null_customers: u64,
    returns: u64,
    region_variants: u64,
    /// `windows[region * 1440 + minute]`.
    windows: Vec<Window>,
}

impl Truth {
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            valid: 0,
            faults: [0; Fault::ALL.len()],
            zones: [0; ZONES.len()],
            sum_amount_cents: 0,
            sum_amount_usd_millionths: 0,
            sum_sale_id: 0,
            sum_region_id: 0,
            sum_category_id: 0,
            sum_quantity: 0,
            null_customers: 0,
            returns: 0,
            region_variants: 0,
            windows: vec![Window::default(); REGIONS.len() * MINUTES],
        }
    }

    /// Sales without a fault.
    pub(super) fn valid(&self) -> u64 {
        self.valid
    }

    /// Sales with this fault.
    pub(super) fn faults(&self, fault: Fault) -> u64 {
        self.faults[slot(fault)]
    }

    /// Adds a sale.
    pub(super) fn add(&mut self, event: &Event) {
        self.rows += 1;
        if let Some(fault) = event.fault {
            self.faults[slot(fault)] += 1;
            return;
        }
        let cents = event.quantity * event.cents;
        let no_customer = u64::from(event.customer.is_none());
        self.valid += 1;
        self.zones[REGIONS[event.region].zone] += 1;
        self.sum_amount_cents += i128::from(cents);
        self.sum_amount_usd_millionths += i128::from(cents * CURRENCIES[event.currency].1);
        self.sum_sale_id += u128::from(event.sale_id());
        self.sum_region_id += u128::try_from(event.region + 1).expect("a region id is small");
        self.sum_category_id += u128::from(category_of(event.product));
        self.sum_quantity += i128::from(event.quantity);
        self.null_customers += no_customer;
        self.returns += u64::from(event.quantity < 0);
        self.region_variants += u64::from(event.variant > 0);

        let minute = usize::try_from(event.ms_of_day / 60_000).expect("a day has 1440 minutes");
        let window = &mut self.windows[event.region * MINUTES + minute];
        window.rows += 1;
        window.null_customers += no_customer;
        window.sum += i128::from(cents);
        window.sum_of_squares += i128::from(cents) * i128::from(cents);
        window.max_ms = window.max_ms.max(event.ms_of_day);
    }

    /// The truth as the content of `truth.json`.
    pub(super) fn to_json(&self) -> String {
        let mut reasons = serde_json::Map::new();
        for fault in Fault::ALL {
            reasons.insert(fault.reason().to_owned(), self.faults(fault).into());
        }
        let report = Report {
            spec: "ventas/1",
            rows: self.rows,
            valid: self.valid,
            quarantined: self.rows - self.valid,
            reasons,
            zones: ZONES.into_iter().zip(self.zones).collect(),
            sum_amount: decimal(self.sum_amount_cents, 2),
            sum_amount_usd: decimal(self.sum_amount_usd_millionths, 6),
            sum_sale_id: self.sum_sale_id,
            sum_region_id: self.sum_region_id,
            sum_category_id: self.sum_category_id,
            sum_quantity: self.sum_quantity,
            null_customers: self.null_customers,
            returns: self.returns,
            region_variants: self.region_variants,
            quality: self.quality(),
        };
        serde_json::to_string_pretty(&report).expect("numbers and texts can be written as JSON")
            + "\n"
    }

    fn quality(&self) -> Quality {
        let mut quality = Quality::default();
        let mut sum = 0;
        for region in self.windows.chunks(MINUTES) {
            let mut sums = Vec::new();
            for window in region.iter().filter(|window| window.rows > 0) {
                quality.rows += 1;
                quality.total_rows += window.rows;
                quality.null_customers += window.null_customers;
                sum += window.sum;
                quality.sum_max_ts_ms += u128::from(DAY_START_MS + window.max_ms);
                quality.sum_mean += real(window.sum) / (real(i128::from(window.rows)) * 100.0);
                quality.sum_var += variance(window).unwrap_or_default();
                if let Some(z) = z_score(window.sum, &sums[sums.len().saturating_sub(PREVIOUS)..]) {
                    quality.z_count += 1;
                    quality.sum_abs_z += z.abs();
                }
                sums.push(window.sum);
            }
        }
        quality.sum_amount = decimal(sum, 2);
        quality
    }
}

/// `truth.json`; amounts are decimal texts.
#[derive(Debug, Serialize)]
struct Report {
    spec: &'static str,
    rows: u64,
    valid: u64,
    quarantined: u64,
    reasons: serde_json::Map<String, serde_json::Value>,
    zones: BTreeMap<&'static str, u64>,
    sum_amount: String,
    sum_amount_usd: String,
    sum_sale_id: u128,
    sum_region_id: u128,
    sum_category_id: u128,
    sum_quantity: i128,
    null_customers: u64,
    returns: u64,
    region_variants: u64,
    quality: Quality,
}

/// Sums over the windows.
#[derive(Debug, Default, Serialize)]
struct Quality {
    rows: u64,
    total_rows: u64,
    null_customers: u64,
    sum_amount: String,
    sum_max_ts_ms: u128,
    z_count: u64,
    sum_abs_z: f64,
    sum_mean: f64,
    sum_var: f64,
}

/// Sample variance of the amounts, in units squared; `None` for one row. With n rows, S their sum in cents and Q their
/// sum of squares: (nQ - S²) / (n(n - 1)), whose parts are integers.
fn variance(window: &Window) -> Option<f64> {
    let rows = i128::from(window.rows);
    if rows < 2 {
        return None;
    }
    let numerator = rows * window.sum_of_squares - window.sum * window.sum;
    Some(real(numerator) / real(rows * (rows - 1)) / 10_000.0)
}

/// z of a sum against earlier ones, all in cents (z has no unit). With n sums before, S their sum and Q their sum of
/// squares: (n·sum - S) / n over the root of (nQ - S²) / (n(n - 1)).
fn z_score(sum: i128, previous: &[i128]) -> Option<f64> {
    let n = i128::try_from(previous.len()).expect("at most 10 sums are before");
    let total: i128 = previous.iter().sum();
    let squares: i128 = previous.iter().map(|sum| sum * sum).sum();
    let spread = n * squares - total * total;
    if n < 2 || spread == 0 {
        return None;
    }
    let sd = (real(spread) / real(n * (n - 1))).sqrt();
    Some(real(n * sum - total) / real(n) / sd)
}

/// A fault's place in [`Fault::ALL`].
fn slot(fault: Fault) -> usize {
    Fault::ALL
        .iter()
        .position(|&known| known == fault)
        .expect("every fault is listed")
}

/// A whole number of 10^-scale units as decimal text.
fn decimal(units: i128, scale: u32) -> String {
    let one = 10_u128.pow(scale);
    let sign = if units < 0 { "-" } else { "" };
    let width = usize::try_from(scale).expect("a scale is small");
    format!(
        "{sign}{}.{:0width$}",
        units.unsigned_abs() / one,
        units.unsigned_abs() % one
    )
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the nearest double is what is wanted"
)]
fn real(number: i128) -> f64 {
    number as f64
}
