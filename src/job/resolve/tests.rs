//! Whole jobs: what they resolve to, and what is said of faulty ones.

mod continuous;
mod faults;
mod paths;
mod plans;
mod values;

use std::path::Path;

use super::resolve;
use crate::job::document::Document;
use crate::job::plan::Plan;
use crate::job::problems::Problems;

/// A small job that has a bit of everything.
const JOB: &str = r#"
format = 1

[job]
name = "ventas"
key = ["region_id"]
output = "../out/ventas"
reasons = ["bad_ts", "unknown_region", "bad_integer"]

[sources.sales]
event_time = "ts"
files = { paths = ["in/part-*.csv"] }
csv = {}
[sources.sales.columns]
sale_id = "bigint not null"
ts = { type = "timestamp not null", reason = "bad_ts" }
region_code = "varchar"
customer_id = "bigint"
quantity = "int not null"
unit_price = "decimal(12,2) not null"
currency = "varchar not null"
weight = "double"

[lookups.regions]
on = { alias = "upper(btrim(sales.region_code))" }
missing = { then = "refuse", reason = "unknown_region" }
files = { paths = ["dims/regions.csv"] }
csv = {}
columns = { alias = "varchar", region_id = "int", region_code = "varchar", zone = "varchar" }

[lookups.fx]
on = { currency = "sales.currency" }
missing = { then = "refuse" }
files = { paths = ["/dims/fx.csv"] }
csv = {}
columns = { currency = "varchar", rate = "decimal(8,4)" }

[derive]
amount_usd = "cast(amount * rate as decimal(18,6))"
amount = "cast(quantity * unit_price as decimal(18,2))"

[rules]
quantity_not_zero = { expect = "quantity <> 0" }
price_not_negative = { expect = "unit_price >= 0", then = "warn", reason = "negative_price" }

[windows.minute]
per = ["region_id"]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
no_customer = "count(*) filter (where customer_id is null)"
sum_amount = "sum(amount)"
mean_amount = "avg(amount)"
max_ts = "max(ts)"

[checks.customer_known]
window = "minute"
completeness = { column = "customer_id", warn_below = 0.97 }
value = "completeness"
[checks.amount_usual]
window = "minute"
variance = { of = "sum_amount", against = { previous = 10 } }
value = "z"
[checks.alive]
freshness = { per = ["region_id"], warn_after = "10 minutes", fail_after = "30 minutes" }

[sinks.enriched]
files = { path = "enriched", partition_by = ["zone", "date"] }
parquet = {}
[sinks.enriched.columns]
sale_id = "sale_id"
region_code = "regions.region_code"
amount = "amount"
zone = "zone"
date = "cast(ts as date)"

[sinks.refused]
from = "refused"
files = { path = "refused" }
json = {}

[sinks.quality]
from = "windows.minute"
stdout = {}
csv = { delimiter = ";" }

[sinks.verdicts]
from = "verdicts"
files = { path = "verdicts" }
parquet = { compression = "snappy" }
"#;

fn resolved(text: &str) -> Result<Plan, Problems> {
    let document = Document::parse(
        Path::new("jobs/ventas.toml"),
        text.as_bytes().to_vec(),
        &|_| None,
    )?;
    resolve(&document)
}

fn plan(text: &str) -> Plan {
    resolved(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// [`JOB`] with one text changed, which it has once.
fn changed(from: &str, to: &str) -> String {
    assert_eq!(
        JOB.matches(from).count(),
        1,
        "{from:?} stands in the job {} times",
        JOB.matches(from).count()
    );
    JOB.replace(from, to)
}
