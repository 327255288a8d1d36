//! `caudal generate`: data sets with a known truth.

use super::arguments::{OneFormat, VentasTyped};
use super::stop::{FINE, Stop};
use super::{numbers, print};
use crate::sources::generate::{VentasOptions, VentasParts, generate_ventas};

/// Writes the ventas data set and says what is in it.
///
/// # Errors
/// Where files can't be written.
pub(super) fn ventas(typed: &VentasTyped) -> Result<u8, Stop> {
    let parts = VentasParts {
        csv: typed.only != Some(OneFormat::Json),
        json: typed.only != Some(OneFormat::Csv),
    };
    let options = VentasOptions {
        rows: typed.rows,
        seed: typed.seed,
        out: typed.out.clone(),
        parts,
    };
    let made = generate_ventas(&options, &mut |_| {}).map_err(Stop::Generate)?;
    print::to_people(&format!(
        "{} ({} valid, {}) in {}, look-ups in {}",
        numbers::rows(made.rows),
        numbers::grouped(made.valid),
        numbers::bytes(made.bytes),
        made.folder.display(),
        made.dims.display()
    ));
    Ok(FINE)
}
