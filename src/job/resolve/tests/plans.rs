//! What jobs resolve to.

use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use chrono_tz::Tz;

use super::{JOB, changed, plan};
use crate::job::plan::*;
use crate::job::tables::table_columns;

#[test]
fn everything_of_a_job_is_decided() {
    let plan = plan(JOB);
    assert_eq!(
        (plan.name.as_str(), plan.file.as_path()),
        ("ventas", Path::new("jobs/ventas.toml"))
    );
    assert_eq!(plan.output, PathBuf::from("jobs/../out/ventas"));
    let names: Vec<&str> = plan
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let sales = [
        "sale_id",
        "ts",
        "region_code",
        "customer_id",
        "quantity",
        "unit_price",
        "currency",
        "weight",
    ];
    let others = [
        "alias",
        "region_id",
        "region_code",
        "zone",
        "currency",
        "rate",
        "amount",
        "amount_usd",
    ];
    assert_eq!(names, [sales, others].concat());
    assert_eq!(plan.key, [9]);
    let reasons: Vec<&str> = plan.reasons.iter().map(AsRef::as_ref).collect();
    assert_eq!(reasons, ["bad_ts", "unknown_region", "bad_integer"]);

    // Defaults.
    assert_eq!(
        (plan.time_zone, plan.rerun, plan.on_bad_file, plan.partials),
        (
            Tz::UTC,
            Rerun::Replace,
            OnBadFile::Stop,
            PartialsCodec::Abomonation
        )
    );
    assert_eq!(format!("{}", plan.max_refused), "0.5");
    assert_eq!(
        (plan.chunk_bytes, plan.epoch_bytes, plan.in_flight_bytes),
        (512 << 10, 64 << 20, 64 << 20)
    );

    // Sources.
    let source = &plan.sources[0];
    assert_eq!(source.event_time, Some(1));
    assert!(
        matches!(&source.transport, Transport::Files { paths, .. } if *paths == [PathBuf::from("jobs/in/part-*.csv")])
    );
    let Format::Csv(csv) = &source.format else {
        panic!("no csv")
    };
    assert_eq!(
        (csv.delimiter, csv.quote, csv.header, csv.nulls.as_slice()),
        (b',', Some(b'"'), true, [String::new()].as_slice())
    );
    assert_eq!(source.columns[1].reason.as_deref(), Some("bad_ts"));
    assert_eq!(
        (
            source.columns[0].header.as_str(),
            source.columns[0].on_bad,
            source.columns[0].not_null
        ),
        ("sale_id", OnBad::Refuse, true)
    );

    // Look-ups.
    let regions = &plan.lookups[0];
    assert_eq!(
        (
            regions.first_column,
            regions.reference.len(),
            regions.on[0].0
        ),
        (8, 4, 0)
    );
    assert_eq!(regions.on[0].1.inputs(), [2]);
    assert!(
        matches!(&plan.lookups[1].missing, Missing::Refuse(reason) if **reason == *"unknown_fx")
    );
    assert!(
        matches!(&plan.lookups[1].transport, Transport::Files { paths, .. } if *paths == [PathBuf::from("/dims/fx.csv")])
    );
    assert!(!plan.columns[8].nullable, "a key that was found is there");
    assert!(
        plan.columns[9].nullable,
        "reference rows may lack what is not their key"
    );

    // Derived columns: in file order, with types, and computed in the order of need.
    let derived: Vec<(&str, &DataType)> = plan
        .derived
        .iter()
        .map(|derived| (derived.name.as_str(), derived.expression.data_type()))
        .collect();
    assert_eq!(
        derived,
        [
            ("amount_usd", &DataType::Decimal128(18, 6)),
            ("amount", &DataType::Decimal128(18, 2))
        ]
    );
    assert_eq!((plan.derived[0].id, plan.derived[1].id), (15, 14));
    assert_eq!(
        (
            plan.stages.len(),
            plan.stages[0].lookups.as_slice(),
            plan.stages[0].derived.as_slice()
        ),
        (1, [0, 1].as_slice(), [1, 0].as_slice())
    );

    // Rules.
    assert_eq!(
        (plan.rules[0].then, &*plan.rules[0].reason),
        (Then::Refuse, "quantity_not_zero")
    );
    assert_eq!(
        (plan.rules[1].then, &*plan.rules[1].reason),
        (Then::Warn, "negative_price")
    );

    // Windows and checks.
    let window = &plan.windows[0];
    assert_eq!(
        (window.per.as_slice(), window.event_time, window.length),
        ([9].as_slice(), 1, WindowLength::Fixed(60_000_000))
    );
    let types: Vec<&DataType> = window
        .statistics
        .iter()
        .map(|statistic| &statistic.data_type)
        .collect();
    let (count, sum, mean) = (
        DataType::Int64,
        DataType::Decimal128(38, 2),
        DataType::Decimal128(38, 6),
    );
    assert_eq!(types, [&count, &count, &sum, &mean, &timestamp_type()]);
    assert!(matches!(
        plan.checks[0].measure,
        Measure::Completeness {
            window: 0,
            of: Complete::Column(3),
            filter: None,
            skip_partial: false,
            calendar: None,
            min_rows: 1,
            warn_below: Some(_),
            fail_below: None
        }
    ));
    let Measure::Variance {
        window: 0,
        of: 2,
        rule,
    } = &plan.checks[1].measure
    else {
        panic!("{:?}", plan.checks[1].measure);
    };
    assert_eq!(*rule, VarianceRule::z(10));
    assert!(matches!(
        plan.checks[2].measure,
        Measure::Freshness(FreshnessPlan {
            event_time: Some(1),
            warn_after: Some(600_000_000),
            fail_after: Some(1_800_000_000),
            max_segments: 100_000,
            ..
        })
    ));
}

#[test]
fn sinks_take_what_they_declare_or_all_of_their_table() {
    let plan = plan(JOB);
    let names = |sink: usize| {
        plan.sinks[sink]
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(0),
        ["sale_id", "region_code", "amount", "zone", "date"]
    );
    assert_eq!(plan.sinks[0].columns[1].expression.column(), Some(10));
    let SinkTo::Files { path, partition_by } = &plan.sinks[0].to else {
        panic!("it writes files");
    };
    assert_eq!(path, Path::new("enriched"));
    assert_eq!(partition_by, &[3, 4][..]);
    assert_eq!(
        (plan.sinks[0].from, &plan.sinks[0].format),
        (SinkFrom::Rows, &SinkFormat::Parquet(Compression::Zstd))
    );
    assert_eq!(
        names(1)[8..13],
        ["reason", "reasons", "epoch", "sale_id", "ts"]
    );
    assert_eq!(
        plan.sinks[1].columns[12].expression.data_type(),
        &DataType::Utf8
    );
    assert_eq!(
        names(2),
        [
            "region_id",
            "window_start",
            "window_end",
            "rows",
            "no_customer",
            "sum_amount",
            "mean_amount",
            "max_ts",
            "completeness",
            "z"
        ]
    );
    assert!(matches!(plan.sinks[2].to, SinkTo::Stdout));
    assert_eq!(plan.sinks[2].format, SinkFormat::Csv { delimiter: b';' });
    assert_eq!(names(3).len(), 14);
    for sink in &plan.sinks {
        let table = table_columns(&plan, sink.from);
        let last = sink
            .columns
            .iter()
            .flat_map(|column| column.expression.inputs())
            .max();
        assert!(*last.unwrap() < table.len());
    }
}

#[test]
fn all_columns_of_rows_have_names_of_their_own() {
    let without = JOB
        .split("[sinks.enriched.columns]")
        .next()
        .unwrap()
        .replace(", partition_by = [\"zone\", \"date\"]", "");
    let plan = plan(&without);
    let names: Vec<&str> = plan.sinks[0]
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let sales = [
        "sale_id",
        "ts",
        "region_code",
        "customer_id",
        "quantity",
        "unit_price",
        "currency",
        "weight",
    ];
    let others = [
        "alias",
        "region_id",
        "regions_region_code",
        "zone",
        "fx_currency",
        "rate",
        "amount_usd",
        "amount",
    ];
    assert_eq!(names, [sales, others].concat());
}

#[test]
fn columns_called_like_the_fixed_ones_of_refused_are_qualified() {
    let text = changed("weight = \"double\"", "line = \"int\"")
        .replace("json = {}", "json = {}\ncolumns = { at = \"refused.line\", line = \"rows.line\", same = \"sales.line\" }");
    let plan = plan(&text);
    let columns: Vec<Option<usize>> = plan.sinks[1]
        .columns
        .iter()
        .map(|column| column.expression.column())
        .collect();
    assert_eq!(columns, [Some(2), Some(18), Some(18)]);
}

#[test]
fn sources_are_one_union_by_column_name() {
    let text = changed(
        "[lookups.regions]",
        "[sources.returns]\nevent_time = \"ts\"\nfiles = { paths = [\"in/returns.csv\"] }\njson = {}\n\
         [sources.returns.columns]\nnote = \"varchar not null\"\nts = \"timestamp not null\"\nregion_code = \"varchar not null\"\n\n[lookups.regions]",
    );
    let plan = plan(&text);
    let column = |name: &str| {
        plan.columns
            .iter()
            .find(|column| column.name == name)
            .unwrap()
    };
    assert_eq!(column("ts").relations, ["sales", "returns"]);
    assert!(
        !column("ts").nullable,
        "both have it and neither may lack it"
    );
    assert!(column("region_code").nullable, "one may lack it");
    assert!(
        column("sale_id").nullable && column("note").nullable,
        "one of the sources does not have it"
    );
    let ids: Vec<usize> = plan.sources[1]
        .columns
        .iter()
        .map(|column| column.id)
        .collect();
    assert_eq!(ids, [8, 1, 2]);
    assert_eq!(plan.lookups[0].first_column, 9);
}

#[test]
fn wide_tables_become_tall() {
    let text = changed("columns = { currency = \"varchar\", rate = \"decimal(8,4)\" }", "columns = { day = \"date\", EUR = \"decimal(8,4)\", GBP = \"decimal(8,4)\" }")
        .replace("missing = { then = \"refuse\" }", "missing = { then = \"null\" }\nvalid_from = \"day\"\nunpivot = { name = \"currency\", value = \"rate\" }")
        .replace("output =", "time_zone = \"Europe/London\"\noutput =");
    let plan = plan(&text);
    let fx = &plan.lookups[1];
    let unpivot = fx.unpivot.as_ref().unwrap();
    assert_eq!(
        (unpivot.keep.as_slice(), unpivot.turn.as_slice()),
        ([0].as_slice(), [1, 2].as_slice())
    );
    let reference: Vec<(&str, ColumnType)> = fx
        .reference
        .iter()
        .map(|column| (column.name.as_str(), column.column_type))
        .collect();
    assert_eq!(
        reference,
        [
            ("day", ColumnType::Date),
            ("currency", ColumnType::Varchar),
            ("rate", ColumnType::Decimal(8, 4))
        ]
    );
    assert_eq!(fx.on[0].0, 1);
    let validity = fx.validity.as_ref().unwrap();
    assert_eq!((validity.from, validity.to), (0, None));
    assert_eq!(validity.at.data_type(), &DataType::Date32);
    assert_eq!(
        validity.at.text(),
        "local_date(\"sales\".\"ts\", 'Europe/London')"
    );
    assert!(plan.columns[fx.first_column + 2].nullable, "missing = null");
}

#[test]
fn a_stage_needs_only_earlier_ones_and_everything_is_as_early_as_can_be() {
    let text = changed("amount = \"cast(quantity", "code = \"upper(sales.region_code)\"\nzone_code = \"zone || '-' || code\"\namount = \"cast(quantity")
        .replace("{ currency = \"sales.currency\" }", "{ currency = \"zone_code\" }")
        .replace("{ alias = \"upper(btrim(sales.region_code))\" }", "{ alias = \"code\" }");
    let plan = plan(&text);
    let stages: Vec<(&[usize], &[usize])> = plan
        .stages
        .iter()
        .map(|stage| (stage.lookups.as_slice(), stage.derived.as_slice()))
        .collect();
    // In file order: amount_usd, code, zone_code, amount. regions needs code, zone_code needs regions, fx needs zone_code.
    assert_eq!(
        stages,
        [
            (&[][..], &[1, 3][..]),
            (&[0][..], &[2][..]),
            (&[1][..], &[0][..])
        ]
    );
}

#[test]
fn days_of_windows_are_business_days() {
    let text = changed("length = \"1 minute\"", "length = \"1 day\"")
        .replace("output =", "time_zone = \"Europe/Madrid\"\noutput =");
    let plan = plan(&text);
    assert_eq!(
        (plan.windows[0].length, plan.time_zone),
        (WindowLength::Days(1), Tz::Europe__Madrid)
    );
}

#[test]
fn options_are_read_with_their_units() {
    let text = changed(
        "output =",
        "max_refused = \"100 %\"\nchunk = \"64 KiB\"\nepoch = \"1 MiB\"\nin_flight = \"2 MiB\"\njoin_timeout = \"2 minutes\"\npeer_timeout = \"500 ms\"\npartials = \"serde\"\non_bad_file = \"refuse\"\nrerun = \"replace\"\noutput =",
    );
    let plan = plan(&text);
    assert_eq!(format!("{}", plan.max_refused), "1");
    assert_eq!(
        (plan.chunk_bytes, plan.epoch_bytes, plan.in_flight_bytes),
        (64 << 10, 1 << 20, 2 << 20)
    );
    assert_eq!(
        (plan.join_timeout.as_millis(), plan.peer_timeout.as_millis()),
        (120_000, 500)
    );
    assert_eq!(plan.on_bad_file, OnBadFile::Refuse);
    assert_eq!(plan.partials, PartialsCodec::Serde);
}

#[test]
fn a_minimal_job_resolves() {
    let plan = plan(
        "format = 1\n[job]\nname = \"x\"\noutput = \"/out\"\n[sources.s]\ngenerate = { rows = 5 }\njson = {}\ncolumns = { sale_id = \"int\" }\n\
         [sinks.t]\nfiles = { path = \"t\" }\njson = {}\n",
    );
    assert_eq!(plan.output, PathBuf::from("/out"));
    assert!(matches!(
        plan.sources[0].transport,
        Transport::Generate { rows: 5, seed: 1 }
    ));
    assert!(plan.key.is_empty() && plan.stages.is_empty() && plan.reasons.is_empty());
    assert_eq!(plan.sinks[0].columns.len(), 1);
}
