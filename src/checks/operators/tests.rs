//! The dataflow with one and with several workers, against the room's own state machines run without a dataflow.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{Decimal128Array, Int32Array, Int64Array, TimestampMicrosecondArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema};
use chrono_tz::Tz;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Input, Inspect, probe};

use super::*;
use crate::cluster::outcome::RunOptions;
use crate::epoch;
use crate::job::plan::{
    CheckPlan, Column, Complete, Corrections, FreshnessOn, FreshnessPlan, Measure, OnBadFile,
    PartialsCodec, Rerun, Statistic, VarianceRule, WindowLength, WindowPlan, timestamp_type,
};
use crate::lookup;
use crate::record::{Budget, RowCounts};
use crate::sources::Feed;
use crate::transform::Compiler;

const MINUTE: i64 = 60_000_000;

/// SPEC's window and checks, and a freshness check, over region, ts, amount and customer.
fn plan(partials: PartialsCodec) -> Plan {
    let column = |name: &str, data_type: DataType| Column {
        relations: vec![],
        name: name.into(),
        data_type,
        nullable: true,
    };
    let columns = vec![
        column("unused", DataType::Utf8),
        column("region_id", DataType::Int32),
        column("ts", timestamp_type()),
        column("amount", DataType::Decimal128(18, 2)),
        column("customer_id", DataType::Int64),
    ];
    let compiler = Compiler::new(&columns, Tz::UTC);
    let statistic = |name: &str, text: &str| {
        let aggregate = compiler.compile_aggregate(text).unwrap();
        Statistic {
            name: name.into(),
            function: aggregate.function,
            argument: aggregate.argument,
            filter: aggregate.filter,
            data_type: aggregate.data_type,
        }
    };
    let statistics = vec![
        statistic("rows", "count(*)"),
        statistic(
            "null_customers",
            "count(*) filter (where customer_id is null)",
        ),
        statistic("max_ts", "max(ts)"),
        statistic("sum_amount", "sum(amount)"),
        statistic("mean_amount", "avg(amount)"),
        statistic("var_amount", "var_samp(amount)"),
        statistic("double_amount", "sum(amount * 2)"),
    ];
    let check = |name: &str, measure, value: Option<&str>| CheckPlan {
        name: name.into(),
        measure,
        value: value.map(Into::into),
    };
    Plan {
        name: "test".into(),
        file: PathBuf::new(),
        key: vec![],
        time_zone: Tz::UTC,
        output: PathBuf::new(),
        reasons: vec![],
        rerun: Rerun::Replace,
        on_bad_file: OnBadFile::Stop,
        max_refused: 1.0,
        chunk_bytes: 1,
        epoch_bytes: 1,
        in_flight_bytes: 1,
        join_timeout: std::time::Duration::from_mins(1),
        peer_timeout: std::time::Duration::from_secs(10),
        partials,
        continuous: None,
        text: "".into(),
        columns,
        sources: vec![],
        lookups: vec![],
        derived: vec![],
        stages: vec![],
        rules: vec![],
        duplicates: Vec::new(),
        windows: vec![WindowPlan {
            name: "minute".into(),
            per: vec![1],
            event_time: 2,
            correct_within: None,
            corrections: Corrections::Final,
            length: WindowLength::Fixed(MINUTE),
            every: WindowLength::Fixed(MINUTE),
            panes: 1,
            statistics,
        }],
        calendars: vec![],
        checks: vec![
            check(
                "known",
                Measure::Completeness {
                    window: 0,
                    of: Complete::Column(4),
                    filter: None,
                    skip_partial: false,
                    calendar: None,
                    min_rows: 1,
                    warn_below: Some(0.9),
                    fail_below: None,
                },
                Some("completeness"),
            ),
            check(
                "usual",
                Measure::Variance {
                    window: 0,
                    of: 3,
                    rule: VarianceRule {
                        warn_beyond: Some(3.0),
                        ..VarianceRule::z(10)
                    },
                },
                Some("z"),
            ),
            check(
                "alive",
                Measure::Freshness(FreshnessPlan {
                    per: vec![1],
                    on: FreshnessOn::Event,
                    event_time: Some(2),
                    warn_after: Some(MINUTE),
                    fail_after: None,
                    calendar: None,
                    expected: None,
                    retire_after: None,
                    max_segments: 100,
                }),
                None,
            ),
        ],
        alerts: Vec::new(),
        sinks: vec![],
        clusters: vec![],
    }
}

/// Some rows of an epoch, the fields in another order than the ids.
fn batch(epoch: Epoch, part: i64) -> Batch {
    let schema = Schema::new(vec![
        Field::new("4", DataType::Int64, true),
        Field::new("3", DataType::Decimal128(18, 2), true),
        Field::new("1", DataType::Int32, true),
        Field::new("2", timestamp_type(), true),
    ]);
    let seeds = (0..100).map(|row| i64::try_from(epoch).unwrap() * 1_000 + part * 100 + row);
    let amount = Decimal128Array::from_iter_values(
        seeds
            .clone()
            .map(|seed| i128::from(seed * 7_919 % 10_007 - 500)),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            seeds
                .clone()
                .map(|seed| (seed % 13 != 0).then_some(seed))
                .collect::<Int64Array>(),
        ),
        Arc::new(amount.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(
            seeds
                .clone()
                .map(|seed| (seed % 31 != 0).then(|| i32::try_from(seed % 5).unwrap()))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(
                seeds.map(|seed| seed * 1_234_567 - MINUTE),
            )
            .with_timezone("UTC"),
        ),
    ];
    Batch::new(
        RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
        epoch,
    )
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let cells: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            cells
                .iter()
                .map(|cell| cell.value(row).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

/// Rows of windows and of verdicts, sorted, and the epoch they came out in.
fn run(workers: usize, epochs: Epoch, codec: PartialsCodec) -> (Vec<String>, Vec<String>, u64) {
    let windows = Arc::new(Mutex::new(Vec::new()));
    let verdicts = Arc::new(Mutex::new(Vec::new()));
    let last = Arc::new(AtomicU64::new(0));
    let seen = (
        Arc::clone(&windows),
        Arc::clone(&verdicts),
        Arc::clone(&last),
    );
    let plan = Arc::new(plan(codec));
    let options = RunOptions {
        workers,
        ..RunOptions::new(&plan)
    };
    let options = RunOptions {
        observer: Observer::new(&plan, &options.progress, 0, workers),
        ..options
    };
    let budget = Budget::new(1);
    let feed = Feed::new(&plan, &budget, None, |_| true).unwrap();
    let run = Arc::new(Run::alone(&plan, feed, Vec::new(), &options, 0));
    // Partials between these workers are written to bytes and read back, as between processes.
    let config = timely::Config {
        communication: timely::CommunicationConfig::ProcessBinary(workers),
        worker: timely::WorkerConfig::default(),
    };
    timely::execute(config, move |worker| {
        let (windows, verdicts, last) = seen.clone();
        let run = Arc::clone(&run);
        let (index, peers) = (worker.index(), worker.peers());
        let (mut input, mut counts) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, clean) = scope.new_input::<Batch>();
            let (counts, counted) = scope.new_input::<Vec<Note>>();
            let clock = epoch::clock(scope, &run, &probe::Handle::new());
            let none = empty(scope);
            let refused = Refused {
                judged: &none,
                all: &none,
            };
            let reference = lookup::collections(scope, &run, None);
            let tallied = tally(&clean, &refused, counted, &reference, &clock.control, &run);
            let keep = |rows: Arc<Mutex<Vec<String>>>| {
                let last = Arc::clone(&last);
                move |event: Result<
                    (&timely::dataflow::channels::Stamp<Epoch>, &Batch),
                    &[Epoch],
                >| {
                    if let Ok((_, batch)) = event {
                        last.fetch_max(batch.epoch, Ordering::Relaxed);
                        rows.lock()
                            .unwrap()
                            .extend(lines(batch.rows.as_ref().unwrap()));
                    }
                }
            };
            tallied.windows.into_iter().for_each(|stream| {
                stream.inspect_core(keep(Arc::clone(&windows)));
            });
            tallied.verdicts.inspect_core(keep(Arc::clone(&verdicts)));
            (input, counts)
        });
        for epoch in 1..=epochs {
            input.advance_to(epoch);
            counts.advance_to(epoch);
            for part in (0..6_i64).filter(|part| usize::try_from(*part).unwrap() % peers == index) {
                let mut rows = batch(epoch, part);
                let came = u64::try_from(rows.rows.as_ref().unwrap().num_rows()).unwrap();
                let of_rows = RowCounts {
                    rows_in: came,
                    clean: came,
                    ..RowCounts::default()
                };
                counts.send(Note::Rows {
                    epoch,
                    counts: of_rows,
                });
                input.send_batch(&mut rows);
            }
            worker.step();
        }
        input.advance_to(epochs + 1);
        counts.advance_to(epochs + 1);
    })
    .unwrap();
    let sorted = |rows: &Mutex<Vec<String>>| {
        let mut rows = rows.lock().unwrap().clone();
        rows.sort();
        rows
    };
    (
        sorted(&windows),
        sorted(&verdicts),
        last.load(Ordering::Relaxed),
    )
}

#[test]
fn any_number_of_workers_gives_the_same_windows_and_verdicts() {
    let one = run(1, 4, PartialsCodec::Abomonation);
    assert!(
        one.0.len() > 60 && one.1.len() > 2 * 60,
        "{} windows, {} verdicts",
        one.0.len(),
        one.1.len()
    );
    assert!(
        one.1
            .iter()
            .any(|line| line.starts_with("alive region_id=3 - - ")),
        "{:?}",
        one.1.first()
    );
    // However many workers counted them, it is said once of all rows.
    let laws: Vec<&String> =
        (one.1.iter().filter(|line| line.starts_with("conservation"))).collect();
    assert!(
        laws.len() == 1 && laws[0].starts_with("conservation  - - pass 1.0 "),
        "{laws:?}"
    );
    assert!(
        one.2 >= 4,
        "closed in epoch {} though rows came until 4",
        one.2
    );
    for workers in [2, 3] {
        for codec in [PartialsCodec::Abomonation, PartialsCodec::Serde] {
            let more = run(workers, 4, codec);
            assert_eq!(
                (&more.0, &more.1),
                (&one.0, &one.1),
                "{workers} workers, {codec:?}"
            );
        }
    }
}

#[test]
fn the_dataflow_gives_what_one_tally_over_all_rows_gives() {
    let plan = plan(PartialsCodec::Abomonation);
    let layout = Arc::new(Layout::of_window(&plan, 0));
    let mut reducer = Reducer::new(Arc::clone(&layout));
    let mut state = Tally::new(Arc::clone(&layout));
    let mut binding = ColumnBinding::default();
    for epoch in (1..=3).rev() {
        for part in (0..6).rev() {
            let rows = batch(epoch, part).rows.unwrap();
            reducer.add(binding.columns(&rows), rows.num_rows(), 0);
            binding.release();
        }
        reducer
            .drain()
            .into_iter()
            .for_each(|((segment, start), partial)| state.apply(segment, start, partial, epoch));
    }
    let closed = state.close();
    let mut windows: Vec<String> = closed.windows.iter().flat_map(lines).collect();
    windows.sort();
    let (flowed, verdicts, _) = run(2, 3, PartialsCodec::Abomonation);
    assert_eq!(flowed, windows);
    let mut of_windows = lines(&closed.verdicts);
    of_windows.sort();
    let flowed: Vec<String> = verdicts
        .into_iter()
        .filter(|line| !line.starts_with("alive") && !line.starts_with("conservation"))
        .collect();
    assert_eq!(flowed, of_windows);
}

#[test]
fn no_rows_give_no_windows_and_no_verdicts_but_that_there_are_no_data() {
    for codec in [PartialsCodec::Abomonation, PartialsCodec::Serde] {
        let (windows, verdicts, _) = run(2, 0, codec);
        assert!(windows.is_empty(), "{windows:?}");
        assert!(
            verdicts.len() == 1 && verdicts[0].starts_with("conservation  - - no_data - 0 0 "),
            "{verdicts:?}"
        );
    }
}

#[test]
fn a_job_needs_the_columns_of_its_windows_and_checks() {
    assert_eq!(
        inputs_of(&plan(PartialsCodec::Abomonation)),
        [1, 2, 3, 4].into()
    );
}

#[test]
fn one_argument_of_several_statistics_is_read_once() {
    let layout = Layout::of_window(&plan(PartialsCodec::Abomonation), 0);
    // Of customer_id is null, ts, amount, amount * 2, and customer_id.
    assert_eq!(layout.inputs.len(), 5);
    // Of the filtered count, max, moments of amount, sum of its double, and the values of customer_id.
    assert_eq!(layout.accumulators.len(), 5);
}
