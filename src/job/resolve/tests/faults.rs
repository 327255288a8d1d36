//! What is said of faulty jobs: a table of changes to [`super::JOB`], each with every fault that it makes.

use super::{changed, resolved};

#[test]
fn every_fault_is_told_at_its_place_and_nothing_that_follows_from_it() {
    let mut told = Vec::new();
    for (from, to) in CASES {
        let problems = resolved(&changed(from, to)).expect_err(to);
        let (from, to) = (from.replace('\n', "\n    "), to.replace('\n', "\n    "));
        told.push(format!("--- {from}\n+++ {to}\n{problems}\n"));
    }
    insta::assert_snapshot!(told.join("\n").replace("jobs/ventas.toml:", ""));
}

#[test]
fn faults_of_reading_and_of_resolving_are_told_together_in_the_order_of_the_file() {
    let text = changed("csv = { delimiter = \";\" }", "csv = { delimitr = \";\" }")
        .replace("quantity <> 0", "quantty <> 0");
    let problems = resolved(&text).unwrap_err();
    let told: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.what))
        .collect();
    assert_eq!(told.len(), 2, "{problems}");
    assert_eq!(
        told[0],
        "rules.quantity_not_zero.expect: \"quantty\" is not a known column"
    );
    assert!(told[1].starts_with("sinks.quality.csv"), "{problems}");
}

/// A text of the job and what stands there instead.
const CASES: &[(&str, &str)] = &[
    ("name = \"ventas\"", "name = \"las ventas\""),
    ("output = \"../out/ventas\"", "output = \"s3://ventas/out\""),
    (
        "files = { path = \"verdicts\" }",
        "files = { path = \"s3://ventas/quality\" }",
    ),
    (
        "key = [\"region_id\"]",
        "key = [\"region_di\", \"currency\", \"zone\", \"regions.zone\"]",
    ),
    (
        "output =",
        "time_zone = \"Europe/Madird\"\nrerun = \"new_files\"\nmax_refused = \"half\"\nchunk = \"2 GiB\"\nepoch = \"64\"\nstate = \"x\"\noutput =",
    ),
    (
        "\"bad_integer\"]",
        "\"bad_intger\", \"bad_ts\", \"Bad ts\", \"no_such\"]",
    ),
    ("event_time = \"ts\"", "event_time = \"tss\""),
    ("event_time = \"ts\"", "event_time = \"currency\""),
    ("event_time = \"ts\"\n", ""),
    ("\"in/part-*.csv\"", "\"\", \"in/***.csv\""),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "files = { paths = [] }\ncsv = { delimiter = \";;\", quote = \"·\" }",
    ),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "generate = { rows = 1 }\nparquet = {}",
    ),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "files = { paths = [\"a\"] }\ncsv = { delimiter = \"'\", quote = \"'\" }",
    ),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "files = { paths = [\"a\"] }\ncsv = { escape = \"\\\"\", comment = \"##\", encoding = \"shift_jis\", line_end = \"nl\", skip_first = -1 }",
    ),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "files = { paths = [\"a\"] }\njson = { encoding = \"utf-17\", on_nul = \"keep\" }",
    ),
    (
        "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}",
        "files = { paths = [\"a\"] }\ncsv = { escape = \"\\\"\", comment = \",\", encoding = \"win-1252\" }",
    ),
    (
        "quantity = \"int not null\"",
        "quantity = { type = \"int not null\", optional = true }",
    ),
    (
        "paths = [\"dims/regions.csv\"]",
        "paths = [\"dims/regions.csv\"], per_process = true",
    ),
    ("weight = \"double\"", "weight = \"duoble\""),
    (
        "weight = \"double\"",
        "weight = { type = \"double\", time_zone = \"Mars\", formats = [\"%!\"], header = \"ts\", reason = \"Too heavy\", round = \"half_up\" }",
    ),
    ("weight = \"double\"", "\"\" = \"double\""),
    (
        "quantity = \"int not null\"",
        "quantity = \"integr not null\"",
    ),
    (
        "[lookups.regions]",
        "[sources.more]\nevent_time = \"at\"\nfiles = { paths = [\"x\"] }\njson = {}\ncolumns = { at = \"timestamp\", quantity = \"bigint\" }\n[lookups.regions]",
    ),
    (
        "{ alias = \"upper(btrim(sales.region_code))\" }",
        "{ alais = \"upper(btrim(sales.region_code))\" }",
    ),
    (
        "{ alias = \"upper(btrim(sales.region_code))\" }",
        "{ alias = \"region_code\" }",
    ),
    (
        "{ alias = \"upper(btrim(sales.region_code))\" }",
        "{ alias = \"btrim(sales.region_cod)\", zone = \"regions.region_id\" }",
    ),
    ("{ alias = \"upper(btrim(sales.region_code))\" }", "{}"),
    (
        "{ alias = \"upper(btrim(sales.region_code))\" }",
        "{ alias = \"zone\" }",
    ),
    (
        "[lookups.fx]\non = { currency = \"sales.currency\" }",
        "[lookups.fx]\nvalid_from = \"day\"\nvalid_to = \"rate\"\norder_by = \"rate\"\non = { currency = \"sales.currency\" }",
    ),
    (
        "[lookups.fx]\non = { currency = \"sales.currency\" }",
        "[lookups.fx]\nvalid_from = \"rate\"\nduplicates = \"newest\"\non = { currency = \"sales.currency\" }",
    ),
    (
        "[lookups.fx]\non = { currency = \"sales.currency\" }",
        "[lookups.fx]\nvalid_to = \"rate\"\nunpivot = { name = \"rate\", value = \"v\" }\non = { currency = \"sales.currency\" }",
    ),
    (
        "columns = { currency = \"varchar\", rate = \"decimal(8,4)\" }",
        "columns = { day = \"date\", EUR = \"decimal(8,4)\", GBP = \"double\" }\nunpivot = { name = \"currency\", value = \"rate\" }",
    ),
    (
        "missing = { then = \"refuse\" }",
        "missing = { then = \"null\", reason = \"x\" }",
    ),
    ("[lookups.fx]", "[lookups.sales]"),
    (
        "amount = \"cast(",
        "ts = \"1\"\nweight = \"2\"\namount = \"cast(",
    ),
    (
        "amount = \"cast(quantity *",
        "a = \"b + 1\"\nb = \"c + 1\"\nc = \"a + 1\"\nd = \"a + d\"\ne = \"c\"\namount = \"cast(quantity *",
    ),
    ("amount = \"cast(quantity *", "amount = \"cast(quantty *"),
    (
        "amount = \"cast(quantity * unit_price as decimal(18,2))\"",
        "amount = \"cast(rate * unit_price as decimal(18,2)\"",
    ),
    (
        "on = { currency = \"sales.currency\" }",
        "on = { currency = \"cast(amount_usd as varchar)\" }",
    ),
    ("\"quantity <> 0\"", "\"quantity\""),
    (
        "[windows.minute]",
        "[duplicates]\n\"order line\" = { key = [\"sale_id\", \"lin\", \"sale_id\"], keep = \"first\" }\nnone = { key = [], keep = \"report\" }\nquantity_not_zero = { by = \"row\", keep = \"first\" }\n[windows.minute]",
    ),
    ("from = \"refused\"", "from = \"duplicates\""),
    (
        "[windows.minute]",
        "[duplicates]\nboth = { by = \"row\", key = [\"ts\"], keep = \"last\" }\nnone = { keep = \"first\" }\n[windows.minute]",
    ),
    ("quantity_not_zero = {", "\"Quantity not zero\" = {"),
    (
        "per = [\"region_id\"]\nlength",
        "per = [\"weight\", \"regions.region_code\", \"sales.region_code\", \"nope\"]\nlength",
    ),
    ("length = \"1 minute\"", "length = \"1 m\""),
    (
        "length = \"1 minute\"",
        "length = \"1 hour\"\nevery = \"7 minutes\"\nweek_starts = \"sunday\"\ncorrect_within = \"5 years\"",
    ),
    (
        "length = \"1 minute\"",
        "length = \"30 days\"\nevery = \"1 hour\"\ncorrect_within = \"401 days\"\nweek_starts = \"funday\"",
    ),
    (
        "length = \"1 minute\"",
        "length = \"2 days\"\nevery = \"1 day\"\ncorrect_within = \"1 minut\"",
    ),
    (
        "length = \"1 minute\"",
        "length = \"30 hours\"\nevery = \"1 min\"",
    ),
    ("rows = \"count(*)\"", "region_id = \"count(*)\""),
    (
        "sum_amount = \"sum(amount)\"",
        "sum_amount = \"sun(amount)\"",
    ),
    (
        "sum_amount = \"sum(amount)\"",
        "sum_amount = \"sum(amuont)\"",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { column = \"costumer_id\", warn_below = 0.5, fail_below = 0.9 }",
    ),
    (
        "window = \"minute\"\ncompleteness",
        "window = \"minuet\"\ncompleteness",
    ),
    ("window = \"minute\"\ncompleteness", "completeness"),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amuont\", against = { previous = 1 } }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"max_ts\", against = { previous = 5 }, min_history = 6, warn_beyond = 3.0, fail_beyond = 2.0 }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", method = \"zz\", against = { previous = 10, weeks = 2 } }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", against = { weeks = 0, same = \"hour\" }, floor = { absolute = -1.0, relative = -0.5 } }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", method = \"relative\", against = { weeks = 4, empty = \"zero\" }, floor = { relative = 0.1 } }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"avg_amount\", against = { previous = 4, empty = \"zero\", same = \"hour\" }, exclude = [\"2026-02-30\"] }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", method = \"z\", against = { statistic = \"rowz\" }, min_history = 2, exclude = [\"2026-12-25\"] }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", method = \"mad\", against = { weeks = 1, same = \"hour\" }, min_history = 61 }",
    ),
    (
        "variance = { of = \"sum_amount\", against = { previous = 10 } }",
        "variance = { of = \"sum_amount\", method = \"range\", against = { previous = 200000 }, warn_beyond = -1.0 }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { columns = [\"customer_id\", \"channl\"], where = \"quantity >\" }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { columns = [] }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { column = \"customer_id\", expected_rows = 5 }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { rows_from = \"mean_amount\", min_rows = 3 }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { rows_from = \"rowz\" }",
    ),
    (
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { expected_rows = 0 }",
    ),
    ("value = \"z\"", "value = \"completeness\""),
    ("value = \"z\"", "value = \"rows\""),
    (
        "freshness = {",
        "window = \"minute\"\nvalue = \"age\"\nfreshness = {",
    ),
    (
        "per = [\"region_id\"], warn_after = \"10 minutes\"",
        "per = [\"region\"], event_time = \"currency\", warn_after = \"1 hour\"",
    ),
    ("from = \"refused\"", "from = \"refusd\""),
    ("from = \"windows.minute\"", "from = \"minute\""),
    ("from = \"windows.minute\"", "from = \"windows.minutes\""),
    ("path = \"refused\"", "path = \"../refused\""),
    ("path = \"refused\"", "path = \"/refused\""),
    ("path = \"refused\"", "path = \"_caudal/refused\""),
    ("path = \"refused\"", "path = \"\""),
    ("path = \"refused\"", "path = \"enriched/refused\""),
    ("path = \"refused\"", "path = \"./enriched/\""),
    (
        "path = \"enriched\", partition_by = [\"zone\", \"date\"]",
        "path = \"refused/enriched\", partition_by = [\"zon\", \"date\", \"date\", \"weight\"]",
    ),
    (
        "partition_by = [\"zone\", \"date\"]",
        "partition_by = [\"zone\", \"date\", \"amount\", \"region_code\", \"sale_id\"]",
    ),
    (
        "stdout = {}\ncsv = { delimiter = \";\" }",
        "stdout = {}\nparquet = {}\n[sinks.more]\nstdout = {}\ncsv = { delimiter = \"\\\"\" }",
    ),
    (
        "region_code = \"regions.region_code\"",
        "region_code = \"region_code\"\nx = \"amuont\"\ny = \"weight +\"",
    ),
    ("[sinks.refused]", "[sinks.\"re fused\"]"),
    (
        "stdout = {}\ncsv = { delimiter = \";\" }",
        "stdout = {}\ncsv = {}\ncolumns = { c = \"completeness\", x = \"zz\" }",
    ),
    (
        "window = \"minute\"\ncompleteness = { column = \"customer_id\", warn_below = 0.97 }\nvalue = \"completeness\"",
        "window = \"minute\"\ncompleteness = { column = \"customer\" }\nvalue = \"share\"\n[sinks.shares]\nfrom = \"windows.minute\"\nfiles = { path = \"shares\" }\njson = {}\ncolumns = { share = \"share\" }",
    ),
    (
        "{ alias = \"upper(btrim(sales.region_code))\" }",
        "{ alias = \"upper(btrim(sales.region_code))\", region_id = \"'x' + 1\" }",
    ),
];
