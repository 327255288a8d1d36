//! Derived columns: each draft gets the columns of `[derive]`, stage by stage.
//!
//! A row whose expression fails gets a null and a fault at [`Site::Derived`], so that it is refused at the split with a
//! reason; unless it already has a fault at a site that the expression depends on, which is then the only thing worth
//! telling: its inputs were null because of it.

use std::sync::Arc;

use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::Expression;
use super::expr::words::OVERFLOW;
use crate::job::plan::Plan;
use crate::record::{Draft, Epoch, Fault, Site};
use crate::validate::Blame;

/// Reason of rows whose derived value does not fit its type.
const REASON_OVERFLOW: &str = "overflow";

/// Reason of rows whose derived value can't be worked out for another cause, such as a division by zero.
const REASON_BAD_VALUE: &str = "bad_value";

/// Characters of a fault's detail.
const DETAIL_CHARS: usize = 64;

/// Adds the derived columns of `plan.stages[stage]` to each draft, in the stage's order.
///
/// `now` is what `now()` gives in expressions: the epoch's bound wall time in microseconds since 1970, which in a bounded
/// run is one for all epochs. The operator is named `transform:derive`, keeps no state, and sends each draft on under
/// its own epoch with as many rows as it had.
pub fn derive<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    plan: &Arc<Plan>,
    stage: usize,
    now: impl Fn(Epoch) -> i64 + 'static,
) -> Stream<'scope, Epoch, Draft> {
    let deriver = Deriver::new(plan, stage);
    drafts.unary::<NoopBuilder<Draft>, _, _, _>(Pipeline, "transform:derive", move |_, _| {
        move |input, output| {
            input.for_each(|capability, draft| {
                deriver.derive(draft, now(draft.epoch));
                output
                    .session_with_builder(&capability)
                    .give_container(draft);
            });
        }
    })
}

/// The derived columns of one stage.
#[derive(Debug)]
struct Deriver {
    /// Number of columns of the plan.
    columns: usize,
    steps: Vec<Step>,
    overflow: Arc<str>,
    bad_value: Arc<str>,
}

#[derive(Debug)]
struct Step {
    site: Site,
    id: usize,
    expression: Expression,
    blame: Blame,
}

impl Deriver {
    fn new(plan: &Plan, stage: usize) -> Self {
        let step = |index: &usize| {
            let derived = &plan.derived[*index];
            Step {
                site: Site::Derived(*index),
                id: derived.id,
                expression: derived.expression.clone(),
                blame: Blame::new(plan, derived.expression.inputs()),
            }
        };
        Self {
            columns: plan.columns.len(),
            steps: plan.stages[stage].derived.iter().map(step).collect(),
            overflow: Arc::from(REASON_OVERFLOW),
            bad_value: Arc::from(REASON_BAD_VALUE),
        }
    }

    fn derive(&self, draft: &mut Draft, now: i64) {
        draft.columns.resize(self.columns, None);
        for step in &self.steps {
            let evaluated = step.expression.evaluate(&draft.columns, draft.rows, now);
            draft.columns[step.id] = Some(evaluated.array);
            if evaluated.failed.is_empty() {
                continue;
            }
            let blamed = step.blame.rows(&draft.faults);
            for (row, message) in evaluated.failed {
                if blamed.contains(row) {
                    continue;
                }
                let reason = Arc::clone(if message.starts_with(OVERFLOW) {
                    &self.overflow
                } else {
                    &self.bad_value
                });
                draft.faults.push(Fault {
                    row,
                    site: step.site,
                    reason,
                    detail: detail(&message),
                });
            }
        }
    }
}

fn detail(message: &str) -> String {
    let escaped = message.chars().flat_map(|c| {
        let control = c.is_control();
        c.escape_default()
            .filter(move |_| control)
            .chain((!control).then_some(c))
    });
    escaped.take(DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests;
