//! Output columns that are worked out: done before the split, so that a value that can't be is a fault of its row.
//!
//! A sink of clean rows comes after the split, where no row can be refused any more. Each of its expressions that may fail
//! is therefore a derived column of its own, named after its place in the job file, and the sink takes that column.

use arrow_schema::DataType;

use crate::job::plan::{Column, Derived, KafkaSink, Plan, SinkFrom, SinkPlan, SinkTo, Stage};
use crate::transform::{Compiler, Expression};

/// Moves the expressions of sinks of clean rows before the split.
///
/// # Panics
/// Where a column that was just added can't be named, which is a bug.
pub(super) fn work_out_before_the_split(plan: &mut Plan) {
    let mut stage = Stage::default();
    let mut moved = Vec::new();
    for (number, sink) in plan
        .sinks
        .iter()
        .enumerate()
        .filter(|(_, sink)| sink.from == SinkFrom::Rows)
    {
        for (place, (name, expression)) in expressions(sink).enumerate() {
            if may_fail(&plan.columns, expression) {
                let name = format!("sinks.{}.{name}", sink.name);
                moved.push((number, place, name, expression.clone()));
            }
        }
    }
    for (number, place, mut name, expression) in moved {
        let id = plan.columns.len();
        while plan.columns.iter().any(|column| column.name == name) {
            name.push('_');
        }
        plan.columns.push(Column {
            relations: Vec::new(),
            name: name.clone(),
            data_type: expression.data_type().clone(),
            nullable: expression.nullable(),
        });
        stage.derived.push(plan.derived.len());
        plan.derived.push(Derived {
            id,
            name: name.clone(),
            expression,
        });
        let taken = Compiler::new(&plan.columns, plan.time_zone)
            .compile(&format!("\"{}\"", name.replace('"', "\"\"")));
        let own = expressions_mut(&mut plan.sinks[number]).nth(place);
        *own.expect("the place of an expression that was just there") =
            taken.expect("a column that was just added has a name");
    }
    if !stage.derived.is_empty() {
        plan.stages.push(stage);
    }
}

/// The expressions of a sink, and where each stands in its table of the job file.
fn expressions(sink: &SinkPlan) -> impl Iterator<Item = (String, &Expression)> {
    let columns = sink.columns.iter();
    let columns = columns.map(|column| (column.name.clone(), &column.expression));
    columns.chain(sink.message().into_iter().flat_map(KafkaSink::expressions))
}

/// The same in the same order, to be changed.
fn expressions_mut(sink: &mut SinkPlan) -> impl Iterator<Item = &mut Expression> {
    let message = match &mut sink.to {
        SinkTo::Kafka(kafka) => Some(kafka.expressions_mut()),
        SinkTo::Files { .. } | SinkTo::Stdout => None,
    };
    let columns = sink.columns.iter_mut();
    columns
        .map(|column| &mut column.expression)
        .chain(message.into_iter().flatten())
}

/// Whether some row could make the expression fail. A column can't, nor can the day of a time.
fn may_fail(columns: &[Column], expression: &Expression) -> bool {
    let day_of_a_time = expression.data_type() == &DataType::Date32
        && matches!(expression.inputs(), [only] if matches!(columns[*only].data_type, DataType::Timestamp(_, _)));
    expression.column().is_none() && !expression.inputs().is_empty() && !day_of_a_time
}
