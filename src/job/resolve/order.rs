//! The order of work: which look-ups and derived columns can be worked out together.
//!
//! A step needs the steps that make the columns it reads. With stages counted from 0,
//!
//! ```text
//! stage(look-up) = 1 + the largest stage of the steps it needs, or 0
//! stage(derived) =     the largest stage of the steps it needs, or 0
//! ```
//!
//! since the look-ups of a stage run before its derived columns. Everything so happens as early as it can.

use super::report::{Report, Wrong};
use crate::job::plan::{Derived, LookupPlan, Stage};
use crate::job::problems::quoted;

/// A look-up or a derived column, by its index in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Lookup(usize),
    Derived(usize),
}

/// The stages; a circle through a look-up is reported.
pub(super) fn order_steps(
    report: &mut Report<'_>,
    lookups: &[Option<LookupPlan>],
    derived: &[Option<Derived>],
) -> Vec<Stage> {
    let steps: Vec<(Step, Vec<usize>)> = steps(lookups, derived);
    let makers = |id: usize| {
        steps
            .iter()
            .position(|(step, _)| makes(*step, id, lookups, derived))
    };
    let needs: Vec<Vec<usize>> = steps
        .iter()
        .map(|(_, inputs)| inputs.iter().filter_map(|id| makers(*id)).collect())
        .collect();

    let mut stage_of: Vec<Option<usize>> = vec![None; steps.len()];
    let mut stages: Vec<Stage> = Vec::new();
    let mut open: Vec<usize> = (0..steps.len()).collect();
    while let Some(at) = open
        .iter()
        .position(|step| needs[*step].iter().all(|need| stage_of[*need].is_some()))
    {
        let step = open.remove(at);
        let latest = needs[step].iter().filter_map(|need| stage_of[*need]).max();
        let stage = match steps[step].0 {
            Step::Lookup(_) => latest.map_or(0, |latest| latest + 1),
            Step::Derived(_) => latest.unwrap_or(0),
        };
        stage_of[step] = Some(stage);
        if stages.len() <= stage {
            stages.resize_with(stage + 1, Stage::default);
        }
        match steps[step].0 {
            Step::Lookup(index) => stages[stage].lookups.push(index),
            // Taken in the order of need, since each is taken after what it needs.
            Step::Derived(index) => stages[stage].derived.push(index),
        }
    }

    let name = |step: usize| match steps[step].0 {
        Step::Lookup(index) => lookups[index]
            .as_ref()
            .map(|lookup| ("lookups", lookup.name.as_str())),
        Step::Derived(index) => derived[index]
            .as_ref()
            .map(|derived| ("derive", derived.name.as_str())),
    };
    for circle in super::derive::circles(&open, &needs) {
        let members: Vec<(&str, &str)> = circle.iter().filter_map(|step| name(*step)).collect();
        let kind = |table: &str| {
            if table == "lookups" {
                "look-up"
            } else {
                "column"
            }
        };
        let names: Vec<String> = members
            .iter()
            .chain(members.first())
            .map(|(table, name)| format!("{} {}", kind(table), quoted(name)))
            .collect();
        let wrong = if let [_] = members.as_slice() {
            Wrong::new(format!("{} needs a column that it brings itself", names[0]))
        } else {
            Wrong::new(format!("these need each other: {}", names.join(" needs ")))
        };
        if let Some((table, name)) = members.first() {
            let place = if *table == "lookups" {
                vec![*table, *name, "on"]
            } else {
                vec![*table, *name]
            };
            report.add(
                &place,
                wrong.expected(
                    "keys over columns of the sources, of other look-ups or derived from them",
                ),
            );
        }
    }
    stages
}

/// The steps and the ids of the columns they read.
fn steps(lookups: &[Option<LookupPlan>], derived: &[Option<Derived>]) -> Vec<(Step, Vec<usize>)> {
    let lookups = lookups.iter().enumerate().filter_map(|(index, lookup)| {
        let lookup = lookup.as_ref()?;
        let keys = lookup.on.iter().map(|(_, expression)| expression);
        let expressions = keys.chain(lookup.validity.as_ref().map(|validity| &validity.at));
        Some((
            Step::Lookup(index),
            expressions
                .flat_map(|expression| expression.inputs().iter().copied())
                .collect(),
        ))
    });
    let derived = derived.iter().enumerate().filter_map(|(index, derived)| {
        Some((
            Step::Derived(index),
            derived.as_ref()?.expression.inputs().to_vec(),
        ))
    });
    lookups.chain(derived).collect()
}

fn makes(
    step: Step,
    id: usize,
    lookups: &[Option<LookupPlan>],
    derived: &[Option<Derived>],
) -> bool {
    match step {
        Step::Lookup(index) => lookups[index].as_ref().is_some_and(|lookup| {
            (lookup.first_column..lookup.first_column + lookup.reference.len()).contains(&id)
        }),
        Step::Derived(index) => derived[index]
            .as_ref()
            .is_some_and(|derived| derived.id == id),
    }
}
