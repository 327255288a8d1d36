//! Derived columns as drafts get them, with faults for rows that fail.
use std::path::PathBuf;
use std::sync::mpsc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{ArrayRef, Decimal128Array, Int32Array};
use arrow_schema::DataType;
use chrono_tz::Tz;
use timely::dataflow::operators::core::{Input, Probe};

use super::*;
use crate::job::plan::{
    Column, ColumnType, Derived, Duplicates, Format, JsonOptions, LookupPlan, Missing, OnBadFile,
    PartialsCodec, Placement, ReferenceColumn, Rerun, Stage, Transport,
};
use crate::transform::Compiler;

const QUANTITY: usize = 0;
const PRICE: usize = 1;
const RATE: usize = 2;
const AMOUNT: usize = 3;
const SHARE: usize = 4;

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        relations: Vec::new(),
        name: name.to_owned(),
        data_type,
        nullable: true,
    }
}

/// Two source columns, a look-up of a rate by quantity, and two derived columns.
fn plan() -> Arc<Plan> {
    let columns = vec![
        column("quantity", DataType::Int32),
        column("price", DataType::Decimal128(4, 2)),
        column("rate", DataType::Int32),
        column("amount", DataType::Decimal128(5, 2)),
        column("share", DataType::Int64),
    ];
    let compiler = Compiler::new(&columns, Tz::UTC);
    let compile = |text: &str| compiler.compile(text).unwrap();
    let lookups = vec![LookupPlan {
        follow: false,
        name: "rates".to_owned(),
        transport: Transport::Generate { rows: 0, seed: 0 },
        format: Format::Json(JsonOptions::default()),
        columns: Vec::new(),
        unpivot: None,
        reference: vec![ReferenceColumn {
            name: "rate".to_owned(),
            column_type: ColumnType::Int,
        }],
        first_column: RATE,
        on: vec![(0, compile("quantity"))],
        validity: None,
        missing: Missing::Null,
        duplicates: Duplicates::Refuse,
        fold: None,
        aliases: None,
        placement: Placement::Auto,
    }];
    let derived = |id: usize, text: &str| Derived {
        id,
        name: columns[id].name.clone(),
        expression: compile(text),
    };
    let derived = vec![
        derived(AMOUNT, "cast(quantity * price as decimal(5,2))"),
        derived(SHARE, "100 / coalesce(rate, 0) + 0 * cast(amount as int)"),
    ];
    Arc::new(Plan {
        name: "test".to_owned(),
        file: PathBuf::from("test.toml"),
        key: Vec::new(),
        time_zone: Tz::UTC,
        output: PathBuf::from("out"),
        reasons: Vec::new(),
        rerun: Rerun::Replace,
        on_bad_file: OnBadFile::Stop,
        max_refused: 1.0,
        chunk_bytes: 1,
        epoch_bytes: 1,
        in_flight_bytes: 1,
        join_timeout: std::time::Duration::from_mins(1),
        peer_timeout: std::time::Duration::from_secs(10),
        partials: PartialsCodec::Abomonation,
        continuous: None,
        text: "".into(),
        stages: vec![Stage {
            lookups: vec![0],
            derived: vec![0, 1],
        }],
        columns,
        sources: Vec::new(),
        lookups,
        derived,
        rules: Vec::new(),
        duplicates: Vec::new(),
        windows: Vec::new(),
        calendars: Vec::new(),
        checks: Vec::new(),
        alerts: Vec::new(),
        sinks: Vec::new(),
        clusters: Vec::new(),
    })
}

fn draft(faults: Vec<Fault>) -> Draft {
    let price = Decimal128Array::from(vec![Some(150), Some(9999), Some(100), None])
        .with_precision_and_scale(4, 2)
        .unwrap();
    let columns: [ArrayRef; 3] = [
        Arc::new(Int32Array::from(vec![2, 1000, 1, 1])),
        Arc::new(price),
        Arc::new(Int32Array::from(vec![Some(4), Some(5), None, None])),
    ];
    Draft {
        rows: 4,
        epoch: 1,
        columns: columns.map(Some).to_vec(),
        faults,
        ..Draft::default()
    }
}

fn fault(row: usize, site: Site) -> Fault {
    Fault {
        row,
        site,
        reason: Arc::from("given"),
        detail: String::new(),
    }
}

fn noted(draft: &Draft) -> Vec<(usize, Site, &str)> {
    draft
        .faults
        .iter()
        .map(|fault| (fault.row, fault.site, fault.reason.as_ref()))
        .collect()
}

#[test]
fn failing_rows_are_noted_once_at_their_first_cause() {
    let mut draft = draft(Vec::new());
    Deriver::new(&plan(), 0).derive(&mut draft, 0);
    let amounts = draft.columns[AMOUNT]
        .as_ref()
        .unwrap()
        .as_primitive::<Decimal128Type>();
    assert_eq!(
        amounts.iter().collect::<Vec<_>>(),
        [Some(300), None, Some(100), None]
    );
    let expected = [
        (1, Site::Derived(0), "overflow"),
        (2, Site::Derived(1), "bad_value"),
        (3, Site::Derived(1), "bad_value"),
    ];
    assert_eq!(noted(&draft), expected);
    assert_eq!(draft.faults[1].detail, "division by zero");
    assert_eq!(
        draft.faults[0].detail,
        "overflow: the product does not fit decimal(5,2)"
    );
    assert_eq!(draft.columns.len(), 5);
}

#[test]
fn a_row_whose_inputs_are_faulty_is_not_judged() {
    let given = vec![
        fault(1, Site::Record),
        fault(2, Site::Lookup(0)),
        fault(3, Site::Column(PRICE)),
    ];
    let mut draft = draft(given.clone());
    Deriver::new(&plan(), 0).derive(&mut draft, 0);
    assert_eq!(draft.faults, given, "price reaches share through amount");
}

#[test]
fn a_fault_that_has_nothing_to_do_with_the_expression_explains_nothing() {
    let mut draft = draft(vec![fault(1, Site::Lookup(0)), fault(1, Site::Rule(0))]);
    Deriver::new(&plan(), 0).derive(&mut draft, 0);
    assert!(noted(&draft).contains(&(1, Site::Derived(0), "overflow")));
}

#[test]
fn sites_are_found_through_lookups_and_derived_columns() {
    let plan = plan();
    let blame = Blame::new(&plan, plan.derived[1].expression.inputs());
    for (site, blamed) in [
        (Site::Record, true),
        (Site::Column(QUANTITY), true),
        (Site::Column(PRICE), true),
        (Site::Lookup(0), true),
        (Site::Derived(0), true),
        (Site::Derived(1), false),
        (Site::Rule(0), false),
    ] {
        assert_eq!(
            blame.rows(&[fault(3, site)]).contains(3),
            blamed,
            "{site:?}"
        );
    }
}

#[test]
fn details_are_short_and_hold_no_control_characters() {
    assert_eq!(detail("a\nb"), "a\\nb");
    assert_eq!(detail(&"ñ".repeat(100)).chars().count(), DETAIL_CHARS);
}

#[test]
fn the_operator_sends_each_draft_on_with_its_rows() {
    let (sender, receiver) = mpsc::channel();
    timely::execute_directly(move |worker| {
        let plan = plan();
        let (mut input, probe) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, drafts) = scope.new_input::<Draft>();
            let out = derive(drafts, &plan, 0, |_| 0);
            let probe = out.clone().probe().0;
            out.sink(Pipeline, "observe", move |(input, _)| {
                input.for_each(|_, draft| {
                    sender
                        .send((
                            draft.rows,
                            draft.columns[AMOUNT].is_some(),
                            draft.faults.len(),
                        ))
                        .unwrap();
                });
            });
            (input, probe)
        });
        input.send_batch(&mut draft(Vec::new()));
        input.advance_to(1);
        worker.step_while(|| probe.less_than(&1));
    });
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [(4, true, 3)]);
}
