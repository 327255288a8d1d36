//! Output columns that are worked out: done before the split, so that a value that can't be is a fault of its row.
//!
//! A sink of clean rows comes after the split, where no row can be refused any more. Each of its expressions that may fail
//! is therefore a derived column of its own, named after its place in the job file, and the sink takes that column.

use arrow_schema::DataType;

use crate::job::plan::{Column, Derived, Plan, SinkFrom, Stage};
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
        for (place, column) in sink.columns.iter().enumerate() {
            if may_fail(&plan.columns, &column.expression) {
                moved.push((
                    number,
                    place,
                    format!("sinks.{}.{}", sink.name, column.name),
                ));
            }
        }
    }
    for (number, place, name) in moved {
        let id = plan.columns.len();
        let expression = plan.sinks[number].columns[place].expression.clone();
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
        plan.sinks[number].columns[place].expression =
            taken.expect("a column that was just added has a name");
    }
    if !stage.derived.is_empty() {
        plan.stages.push(stage);
    }
}

/// Whether some row could make the expression fail. A column can't, nor can the day of a time.
fn may_fail(columns: &[Column], expression: &Expression) -> bool {
    let day_of_a_time = expression.data_type() == &DataType::Date32
        && matches!(expression.inputs(), [only] if matches!(columns[*only].data_type, DataType::Timestamp(_, _)));
    expression.column().is_none() && !expression.inputs().is_empty() && !day_of_a_time
}
