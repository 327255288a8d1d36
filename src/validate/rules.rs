//! The operator that judges rules.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::Blame;
use crate::cluster::Run;
use crate::job::plan::Rule;
use crate::record::{Draft, Epoch, Fault, Site};

/// Notes a fault for each row and rule where `expect` is false; null passes, as in SQL's CHECK. What the fault means
/// (refuse, drop, warn, stop) is judged at the split.
pub fn rules<'scope>(
    drafts: Stream<'scope, Epoch, Draft>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Draft> {
    let run = Arc::clone(run);
    let blame: Vec<Blame> = run
        .plan
        .rules
        .iter()
        .map(|rule| Blame::new(&run.plan, rule.expect.inputs()))
        .collect();
    drafts.unary::<CapacityContainerBuilder<Draft>, _, _, _>(
        Pipeline,
        "validate:rules",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, draft| {
                    let now = run.now_of(draft.epoch);
                    for (index, rule) in run.plan.rules.iter().enumerate() {
                        judge(draft, index, rule, &blame[index], now);
                    }
                    output.session(&capability).give_container(draft);
                });
            }
        },
    )
}

fn judge(draft: &mut Draft, index: usize, rule: &Rule, blame: &Blame, now: i64) {
    let evaluated = rule.expect.evaluate(&draft.columns, draft.rows, now);
    let mut failing: Vec<(usize, String)> = evaluated.failed;
    let holds = evaluated.array.as_boolean();
    if holds.true_count() + holds.null_count() < draft.rows {
        failing.extend(
            false_rows(holds)
                .into_iter()
                .map(|row| (row, format!("{} is false", rule.expect.text()))),
        );
    }
    if failing.is_empty() {
        return;
    }
    let blamed = blame.rows(&draft.faults);
    for (row, detail) in failing {
        if !blamed.contains(row) {
            draft.faults.push(Fault {
                row,
                site: Site::Rule(index),
                reason: Arc::clone(&rule.reason),
                detail,
            });
        }
    }
}

/// Rows whose value is false and not null.
fn false_rows(holds: &BooleanArray) -> Vec<usize> {
    let fails = !holds.values();
    let fails = match holds.nulls() {
        Some(nulls) => &fails & nulls.inner(),
        None => fails,
    };
    fails.set_indices().collect()
}
