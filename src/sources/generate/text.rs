//! Sales as CSV and JSON records.
//!
//! Nothing needs quoting or escaping: no value holds a comma, a quote, a backslash or a control character.

use super::VENTAS_COLUMNS;
use super::dims::{CURRENCIES, REGIONS};
use super::event::{CHANNELS, Event, Fault, VARIANTS};

/// The day of all sales.
const DAY: &[u8] = b"2026-03-14T";
const BAD_TS: &[u8] = b"2026-14-03 25:61";

/// Texts that many rows share.
#[derive(Debug)]
pub(super) struct TextTables {
    /// `regions[variant * 64 + region]`.
    regions: Vec<String>,
}

/// The line that names the columns, with its end.
pub(super) fn csv_header() -> String {
    VENTAS_COLUMNS.join(",") + "\n"
}

impl TextTables {
    pub(super) fn new() -> Self {
        let regions = (0..=VARIANTS).flat_map(|variant| {
            REGIONS
                .iter()
                .map(move |region| write_region(region.code, region.alias, variant))
        });
        Self {
            regions: regions.collect(),
        }
    }

    /// Appends the event as a CSV record with its line end. A value that is not there is an empty field.
    pub(super) fn push_csv(&self, event: &Event, out: &mut Vec<u8>) {
        push_number(out, event.sale_id());
        out.push(b',');
        push_ts(out, event);
        out.push(b',');
        push_number(out, event.store);
        out.push(b',');
        out.extend_from_slice(self.region(event).unwrap_or_default());
        out.push(b',');
        push_number(out, product(event));
        out.push(b',');
        if let Some(customer) = event.customer {
            push_number(out, customer);
        }
        out.push(b',');
        push_quantity(out, event, b"x3");
        out.push(b',');
        push_price(out, event);
        out.push(b',');
        out.extend_from_slice(currency(event));
        out.push(b',');
        out.extend_from_slice(CHANNELS[event.channel].as_bytes());
        out.push(b'\n');
    }

    /// Appends the event as a JSON object with a line end. A value that is not there is `null`.
    pub(super) fn push_json(&self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"sale_id\":");
        push_number(out, event.sale_id());
        out.extend_from_slice(b",\"ts\":\"");
        push_ts(out, event);
        out.extend_from_slice(b"\",\"store_id\":");
        push_number(out, event.store);
        out.extend_from_slice(b",\"region_code\":");
        match self.region(event) {
            Some(region) => push_quoted(out, region),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"product_id\":");
        push_number(out, product(event));
        out.extend_from_slice(b",\"customer_id\":");
        match event.customer {
            Some(customer) => push_number(out, customer),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"quantity\":");
        push_quantity(out, event, b"\"x3\"");
        out.extend_from_slice(b",\"unit_price\":");
        if event.fault == Some(Fault::MissingPrice) {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'"');
            push_price(out, event);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"currency\":");
        push_quoted(out, currency(event));
        out.extend_from_slice(b",\"channel\":");
        push_quoted(out, CHANNELS[event.channel].as_bytes());
        out.extend_from_slice(b"}\n");
    }

    fn region(&self, event: &Event) -> Option<&[u8]> {
        match event.fault {
            Some(Fault::MissingRegion) => None,
            Some(Fault::UnknownRegion) => Some(b"ZZ-99"),
            _ => Some(self.regions[event.variant * REGIONS.len() + event.region].as_bytes()),
        }
    }
}

/// One of the ways to write a region: 0 is its code, the others become a key of `regions.csv` by trimming and upper case.
fn write_region(code: &str, alias: &str, variant: usize) -> String {
    match variant {
        0 => code.to_owned(),
        1 => code.to_ascii_lowercase(),
        2 => format!("{code} "),
        3 => format!(" {alias}"),
        4 => alias.to_owned(),
        5 => alias.to_ascii_lowercase(),
        6 => code.replace('-', "_"),
        _ => code.to_ascii_lowercase().replace('-', "_") + " ",
    }
}

/// Products that are not in the look-up are above 900,000.
fn product(event: &Event) -> u64 {
    if event.fault == Some(Fault::UnknownProduct) {
        900_000 + event.product
    } else {
        event.product
    }
}

fn currency(event: &Event) -> &'static [u8] {
    if event.fault == Some(Fault::UnknownCurrency) {
        b"XXX"
    } else {
        CURRENCIES[event.currency].0.as_bytes()
    }
}

fn push_quantity(out: &mut Vec<u8>, event: &Event, bad: &[u8]) {
    match event.fault {
        Some(Fault::BadQuantity) => out.extend_from_slice(bad),
        Some(Fault::ZeroQuantity) => out.push(b'0'),
        _ => {
            if event.quantity < 0 {
                out.push(b'-');
            }
            push_number(out, event.quantity.unsigned_abs());
        }
    }
}

fn push_price(out: &mut Vec<u8>, event: &Event) {
    match event.fault {
        Some(Fault::MissingPrice) => {}
        Some(Fault::NegativePrice) => out.extend_from_slice(b"-1.00"),
        _ => {
            let cents = event.cents.unsigned_abs();
            push_number(out, cents / 100);
            out.push(b'.');
            push_digits::<2>(out, cents % 100);
        }
    }
}

fn push_ts(out: &mut Vec<u8>, event: &Event) {
    if event.fault == Some(Fault::BadTs) {
        out.extend_from_slice(BAD_TS);
        return;
    }
    let seconds = event.ms_of_day / 1000;
    out.extend_from_slice(DAY);
    push_digits::<2>(out, seconds / 3600);
    out.push(b':');
    push_digits::<2>(out, seconds / 60 % 60);
    out.push(b':');
    push_digits::<2>(out, seconds % 60);
    out.push(b'.');
    push_digits::<3>(out, event.ms_of_day % 1000);
    out.push(b'Z');
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Appends the last `N` decimal digits, zeros in front.
fn push_digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = ascii_digit(number);
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends a whole number; the standard formatter takes as long for this as all else here together.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    loop {
        digits[first] = ascii_digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
        first -= 1;
    }
    out.extend_from_slice(&digits[first..]);
}

fn ascii_digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).expect("a digit is below 10")
}
