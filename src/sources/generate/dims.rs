//! The look-ups: 64 regions with 192 aliases in 6 zones, 50,000 products, 6 rates to the dollar.
//!
//! They are the same for every seed and size.

use std::fmt::Write as _;

/// A region.
#[derive(Debug)]
pub(super) struct Region {
    /// Its code, which begins with the country's; unique.
    pub(super) code: &'static str,
    /// Another name of it; unique.
    pub(super) alias: &'static str,
    /// Position of its zone in [`ZONES`].
    pub(super) zone: usize,
}

impl Region {
    /// The part of the code before the hyphen.
    pub(super) fn country(&self) -> &'static str {
        self.code
            .split_once('-')
            .expect("a region code has a hyphen")
            .0
    }
}

/// Zones, by name.
pub(super) const ZONES: [&str; 6] = ["APAC", "EU", "LATAM", "MEA", "NA", "UKI"];
const APAC: usize = 0;
const EU: usize = 1;
const LATAM: usize = 2;
const MEA: usize = 3;
const NA: usize = 4;
const UKI: usize = 5;

const fn region(zone: usize, code: &'static str, alias: &'static str) -> Region {
    Region { code, alias, zone }
}

/// The regions; `region_id` is the position counted from 1.
pub(super) const REGIONS: [Region; 64] = [
    region(EU, "ES-MD", "MADRID"),
    region(EU, "ES-CT", "CATALUNYA"),
    region(EU, "ES-AN", "ANDALUCIA"),
    region(EU, "ES-VC", "VALENCIA"),
    region(EU, "FR-IDF", "PARIS"),
    region(EU, "FR-ARA", "LYON"),
    region(EU, "FR-PAC", "MARSEILLE"),
    region(EU, "FR-OCC", "TOULOUSE"),
    region(EU, "DE-BE", "BERLIN"),
    region(EU, "DE-BY", "MUNCHEN"),
    region(EU, "DE-HH", "HAMBURG"),
    region(EU, "DE-HE", "FRANKFURT"),
    region(EU, "IT-LOM", "MILANO"),
    region(EU, "IT-LAZ", "ROMA"),
    region(EU, "IT-CAM", "NAPOLI"),
    region(EU, "IT-PIE", "TORINO"),
    region(EU, "PT-11", "LISBOA"),
    region(EU, "PT-13", "PORTO"),
    region(EU, "PT-08", "FARO"),
    region(EU, "PT-03", "BRAGA"),
    region(EU, "NL-NH", "AMSTERDAM"),
    region(EU, "NL-ZH", "ROTTERDAM"),
    region(EU, "NL-UT", "UTRECHT"),
    region(EU, "NL-NB", "EINDHOVEN"),
    region(UKI, "GB-LND", "LONDON"),
    region(UKI, "GB-MAN", "MANCHESTER"),
    region(UKI, "GB-BIR", "BIRMINGHAM"),
    region(UKI, "GB-EDH", "EDINBURGH"),
    region(UKI, "IE-D", "DUBLIN"),
    region(UKI, "IE-CO", "CORK"),
    region(UKI, "IE-G", "GALWAY"),
    region(UKI, "IE-LK", "LIMERICK"),
    region(LATAM, "MX-CMX", "CDMX"),
    region(LATAM, "MX-JAL", "GUADALAJARA"),
    region(LATAM, "MX-NLE", "MONTERREY"),
    region(LATAM, "MX-PUE", "PUEBLA"),
    region(LATAM, "BR-SP", "SAO PAULO"),
    region(LATAM, "BR-RJ", "RIO"),
    region(LATAM, "BR-MG", "BELO HORIZONTE"),
    region(LATAM, "BR-BA", "SALVADOR"),
    region(LATAM, "AR-C", "BUENOS AIRES"),
    region(LATAM, "AR-X", "CORDOBA"),
    region(LATAM, "AR-S", "ROSARIO"),
    region(LATAM, "AR-M", "MENDOZA"),
    region(LATAM, "CO-DC", "BOGOTA"),
    region(LATAM, "CO-ANT", "MEDELLIN"),
    region(LATAM, "CO-VAC", "CALI"),
    region(LATAM, "CO-ATL", "BARRANQUILLA"),
    region(NA, "US-NY", "NEW YORK"),
    region(NA, "US-CA", "LOS ANGELES"),
    region(NA, "US-TX", "HOUSTON"),
    region(NA, "US-FL", "MIAMI"),
    region(NA, "CA-ON", "TORONTO"),
    region(NA, "CA-QC", "MONTREAL"),
    region(NA, "CA-BC", "VANCOUVER"),
    region(NA, "CA-AB", "CALGARY"),
    region(APAC, "JP-13", "TOKYO"),
    region(APAC, "JP-27", "OSAKA"),
    region(APAC, "JP-23", "NAGOYA"),
    region(APAC, "JP-01", "SAPPORO"),
    region(MEA, "MA-CAS", "CASABLANCA"),
    region(MEA, "MA-RAB", "RABAT"),
    region(MEA, "MA-TNG", "TANGER"),
    region(MEA, "MA-FES", "FEZ"),
];

/// Number of products; `product_id` runs from 1.
pub(super) const PRODUCTS: u64 = 50_000;

/// Currencies and their rates to the dollar in ten-thousandths.
pub(super) const CURRENCIES: [(&str, i64); 6] = [
    ("EUR", 10_834),
    ("USD", 10_000),
    ("GBP", 12_711),
    ("MXN", 587),
    ("JPY", 67),
    ("BRL", 1_972),
];

/// The category of a product, 1 to 200. 7919 is prime, so neighbours are in different categories.
pub(super) fn category_of(product: u64) -> u64 {
    product * 7919 % 200 + 1
}

/// `regions.csv`: each region under its code, its alias and its code with `_`.
pub(super) fn regions_csv() -> String {
    let mut csv = String::from("alias,region_id,region_code,country,zone\n");
    for (id, region) in (1..).zip(&REGIONS) {
        let Region { code, alias, zone } = region;
        for key in [code, *alias, code.replace('-', "_").as_str()] {
            line(
                &mut csv,
                format_args!("{key},{id},{code},{},{}", region.country(), ZONES[*zone]),
            );
        }
    }
    csv
}

/// `products.csv`.
pub(super) fn products_csv() -> String {
    let mut csv = String::from("product_id,sku,category_id,category,department\n");
    for product in 1..=PRODUCTS {
        let category = category_of(product);
        let department = category % 12 + 1;
        line(
            &mut csv,
            format_args!(
                "{product},SKU-{product:06},{category},Category {category:03},Department {department:02}"
            ),
        );
    }
    csv
}

/// `fx.csv`.
pub(super) fn fx_csv() -> String {
    let mut csv = String::from("currency,rate\n");
    for (currency, rate) in CURRENCIES {
        line(
            &mut csv,
            format_args!("{currency},{}.{:04}", rate / 10_000, rate % 10_000),
        );
    }
    csv
}

fn line(csv: &mut String, fields: std::fmt::Arguments<'_>) {
    writeln!(csv, "{fields}").expect("a string can be written to");
}
