//! The tables that sinks take, column by column: what the rooms that make their batches and the resolver, which binds
//! expressions to them, must agree on.
//!
//! Every function gives the columns in the order of the batch; a column's place is the id that expressions of a sink use.

use arrow_schema::DataType;

use super::plan::{
    CheckPlan, Column, Corrections, Measure, Plan, SinkFrom, SourcePlan, WindowPlan, timestamp_type,
};

/// What the fixed columns of `refused` can be qualified with.
pub const REFUSED: &str = "refused";

/// What the source columns of `refused` can be qualified with.
pub const ROWS: &str = "rows";

/// Name of the column of a window's start.
pub const WINDOW_START: &str = "window_start";

/// Name of the column that says whether what is said can't change any more.
pub const FINAL: &str = "final";

/// Name of the column of what is said (1) and taken back (-1).
pub const SIGN: &str = "sign";

/// Name of the column of a window's end.
pub const WINDOW_END: &str = "window_end";

/// The columns of the table a sink of `plan` takes.
pub fn table_columns(plan: &Plan, from: SinkFrom) -> Vec<Column> {
    match from {
        SinkFrom::Rows => plan.columns.clone(),
        SinkFrom::Refused => refused_columns(&plan.columns, &plan.sources),
        SinkFrom::Duplicates => duplicate_columns(&plan.columns),
        SinkFrom::Verdicts => verdict_columns(),
        SinkFrom::Windows(index) => {
            window_columns(&plan.windows[index], index, &plan.columns, &plan.checks)
        }
    }
}

/// Names of those of `columns`, a plan's, that its sources have, in the order of ids: the last columns of `refused`.
pub fn source_columns(columns: &[Column], sources: &[SourcePlan]) -> Vec<String> {
    of_sources(columns, sources)
        .iter()
        .map(|column| column.name.clone())
        .collect()
}

/// Columns of sources come first.
fn of_sources<'a>(columns: &'a [Column], sources: &[SourcePlan]) -> &'a [Column] {
    let ids = sources
        .iter()
        .flat_map(|source| &source.columns)
        .map(|column| column.id);
    &columns[..ids.max().map_or(0, |last| last + 1)]
}

/// `refused`: where each refused row stood, its raw text, its reasons and epoch, then every source column as text under
/// its own name. `reasons` is a text of all faults.
pub fn refused_columns(columns: &[Column], sources: &[SourcePlan]) -> Vec<Column> {
    refused_columns_of(of_sources(columns, sources))
}

/// What stands before the columns of the sources in `refused`.
const REFUSED_FIRST: [(&str, DataType, bool); 11] = [
    ("source", DataType::Utf8, false),
    ("file", DataType::Utf8, true),
    ("line", DataType::Int64, true),
    ("byte", DataType::Int64, true),
    ("topic", DataType::Utf8, true),
    ("partition", DataType::Int32, true),
    ("offset", DataType::Int64, true),
    ("raw", DataType::Utf8, true),
    ("reason", DataType::Utf8, false),
    ("reasons", DataType::Utf8, false),
    ("epoch", DataType::Int64, false),
];

/// How many columns of `refused` stand before those of the sources.
pub const REFUSED_BEFORE_ROWS: usize = REFUSED_FIRST.len();

/// The same from the sources' columns alone.
pub(crate) fn refused_columns_of(source_columns: &[Column]) -> Vec<Column> {
    let mut columns = named(REFUSED, REFUSED_FIRST);
    for column in source_columns {
        let own = column
            .relations
            .iter()
            .filter(|relation| *relation != REFUSED && *relation != ROWS)
            .cloned();
        let relations = std::iter::once(ROWS.to_owned()).chain(own).collect();
        columns.push(Column {
            relations,
            name: column.name.clone(),
            data_type: DataType::Utf8,
            nullable: true,
        });
    }
    columns
}

/// What stands before the columns of rows in `duplicates`: which `[duplicates]` found the row, whether it was dropped or kept,
/// where it stands, where the row that it repeats stands, and its epoch.
const DUPLICATES_FIRST: [(&str, DataType, bool); 11] = [
    ("rule", DataType::Utf8, false),
    ("outcome", DataType::Utf8, false),
    ("source", DataType::Utf8, false),
    ("file", DataType::Utf8, false),
    ("line", DataType::Int64, false),
    ("byte", DataType::Int64, false),
    ("first_source", DataType::Utf8, false),
    ("first_file", DataType::Utf8, false),
    ("first_line", DataType::Int64, false),
    ("first_byte", DataType::Int64, false),
    ("epoch", DataType::Int64, false),
];

/// How many columns of `duplicates` stand before those of rows.
pub const DUPLICATES_BEFORE_ROWS: usize = DUPLICATES_FIRST.len();

/// `duplicates`: one row for each that repeats another: what was found and where, then every column of rows.
pub fn duplicate_columns(rows: &[Column]) -> Vec<Column> {
    let mut columns = named("duplicates", DUPLICATES_FIRST);
    columns.extend(rows.iter().map(|column| {
        let own = column.relations.iter().filter(|own| *own != ROWS).cloned();
        Column {
            relations: std::iter::once(ROWS.to_owned()).chain(own).collect(),
            ..column.clone()
        }
    }));
    columns
}

/// `verdicts`: one row a verdict. `segment` is a canonical text such as `region_id=5`, empty for one segment; numerator
/// and denominator are those of a share; a verdict that is taken back has sign −1; `reason` says what happened to a segment (freshness).
pub fn verdict_columns() -> Vec<Column> {
    let columns = [
        ("check", DataType::Utf8, false),
        ("segment", DataType::Utf8, false),
        (WINDOW_START, timestamp_type(), true),
        (WINDOW_END, timestamp_type(), true),
        ("status", DataType::Utf8, false),
        ("value", DataType::Float64, true),
        ("numerator", DataType::Int64, true),
        ("denominator", DataType::Int64, true),
        ("expected", DataType::Utf8, true),
        ("baseline", DataType::Float64, true),
        ("epoch", DataType::Int64, false),
        (FINAL, DataType::Boolean, false),
        (SIGN, DataType::Int32, false),
        ("reason", DataType::Utf8, true),
    ];
    named("verdicts", columns)
}

/// `windows.NAME`: the segment's columns under their own names, start and end, the statistics, then the values of the
/// `checks` over this window (the one with this `index` in the plan) that have a `value`, in file order; where it tells changes, `final`
/// and `sign`.
pub fn window_columns(
    window: &WindowPlan,
    index: usize,
    columns: &[Column],
    checks: &[CheckPlan],
) -> Vec<Column> {
    let mut measures = checks.iter().map(|check| &check.measure);
    let has_others = measures.any(|measure| {
        matches!(measure, Measure::Completeness { window, of, .. } if *window == index && of.asks_others())
    });
    let segment = window.per.iter().map(|id| {
        let column = &columns[*id];
        (
            column.name.as_str(),
            column.data_type.clone(),
            column.nullable || has_others,
        )
    });
    let time = [
        (WINDOW_START, timestamp_type(), false),
        (WINDOW_END, timestamp_type(), false),
    ];
    let statistics = window
        .statistics
        .iter()
        .map(|statistic| (statistic.name.as_str(), statistic.data_type.clone(), true));
    let values = checks
        .iter()
        .filter(|check| measured_window(&check.measure) == Some(index))
        .filter_map(|check| check.value.as_deref())
        .map(|value| (value, DataType::Float64, true));
    let signs = [
        (FINAL, DataType::Boolean, false),
        (SIGN, DataType::Int32, false),
    ];
    let signs = signs
        .into_iter()
        .filter(|_| window.corrections == Corrections::Changes);
    named(
        &window.name,
        segment
            .chain(time)
            .chain(statistics)
            .chain(values)
            .chain(signs),
    )
}

/// Index of the window that a check looks at.
pub fn measured_window(measure: &Measure) -> Option<usize> {
    match measure {
        Measure::Completeness { window, .. } | Measure::Variance { window, .. } => Some(*window),
        Measure::Freshness(_) => None,
    }
}

fn named<'a>(
    relation: &str,
    columns: impl IntoIterator<Item = (&'a str, DataType, bool)>,
) -> Vec<Column> {
    columns
        .into_iter()
        .map(|(name, data_type, nullable)| Column {
            relations: vec![relation.to_owned()],
            name: name.to_owned(),
            data_type,
            nullable,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_rows_show_their_columns_as_text_after_the_fixed_ones() {
        let price = Column {
            relations: vec!["sales".to_owned()],
            name: "price".to_owned(),
            data_type: DataType::Decimal128(12, 2),
            nullable: false,
        };
        let columns = refused_columns_of(&[price]);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "source",
                "file",
                "line",
                "byte",
                "topic",
                "partition",
                "offset",
                "raw",
                "reason",
                "reasons",
                "epoch",
                "price"
            ]
        );
        let last = columns.last().unwrap();
        assert_eq!((&last.data_type, last.nullable), (&DataType::Utf8, true));
        assert_eq!(last.relations, ["rows", "sales"]);
        assert_eq!(columns[0].relations, ["refused"]);
    }
}
