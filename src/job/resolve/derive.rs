//! Derived columns: which needs which, and their types.
//!
//! 1. The names in each expression say which other derived columns it needs.
//! 2. A column is compiled when those are, since its type follows from theirs; it then gets the next id, so that ids of
//!    derived columns are in the order of need and the plan lists them in file order.
//! 3. What is left needs itself. The members of each circle are named once; what only leads into a circle is not reported.

use std::collections::HashSet;

use chrono_tz::Tz;

use super::report::{Report, Wrong};
use super::scope::{Scope, references};
use super::words::check_column_name;
use crate::job::plan::{Column, Derived};
use crate::job::problems::quoted;
use crate::job::spec::Named;

/// What is known of columns while they are resolved.
#[derive(Debug)]
pub(super) struct Known {
    /// By id.
    pub(super) columns: Vec<Column>,
    /// Names of faulty ones.
    pub(super) faulty: HashSet<String>,
}

impl Known {
    /// What expressions may refer to.
    pub(super) fn scope(&self, time_zone: Tz) -> Scope {
        Scope::new(self.columns.clone(), self.faulty.clone(), time_zone)
    }
}

/// Resolves `[derive]`, in file order, and adds its columns to `known`. Faulty ones are `None`.
pub(super) fn resolve_derived(
    report: &mut Report<'_>,
    specs: &Named<String>,
    known: &mut Known,
    time_zone: Tz,
) -> Vec<Option<Derived>> {
    let texts: Vec<(&str, &str)> = specs
        .iter()
        .map(|(name, text)| (name, text.as_str()))
        .collect();
    let mut derived: Vec<Option<Derived>> = vec![None; texts.len()];
    let mut open: Vec<usize> = (0..texts.len())
        .filter(|index| name_is_free(report, texts[*index].0, known))
        .collect();

    // 1. Who needs whom, as places in the file.
    let position = |name: &str| open.iter().copied().find(|index| texts[*index].0 == name);
    let needs: Vec<Vec<usize>> = texts
        .iter()
        .map(|(_, text)| {
            references(text)
                .iter()
                .filter(|reference| reference.relation.is_none())
                .filter_map(|reference| position(&reference.name))
                .collect()
        })
        .collect();

    // 2. Whatever needs nothing that is open.
    let mut scope = known.scope(time_zone);
    while let Some(at) = open
        .iter()
        .position(|index| !needs[*index].iter().any(|need| open.contains(need)))
    {
        let index = open.remove(at);
        let (name, text) = texts[index];
        match scope.expression(report, &["derive", name], text) {
            Some(expression) => {
                let id = known.columns.len();
                known.columns.push(Column {
                    relations: Vec::new(),
                    name: name.to_owned(),
                    data_type: expression.data_type().clone(),
                    nullable: expression.nullable(),
                });
                derived[index] = Some(Derived {
                    id,
                    name: name.to_owned(),
                    expression,
                });
            }
            None => {
                known.faulty.insert(name.to_owned());
            }
        }
        scope = known.scope(time_zone);
    }

    // 3. What is left.
    for circle in circles(&open, &needs) {
        let names: Vec<String> = circle
            .iter()
            .chain(circle.first())
            .map(|index| quoted(texts[*index].0))
            .collect();
        let wrong = if circle.len() == 1 {
            Wrong::new(format!("{} is derived from itself", names[0]))
        } else {
            Wrong::new(format!(
                "these columns are derived from each other: {}",
                names.join(" from ")
            ))
        };
        report.add(
            &["derive", texts[circle[0]].0],
            wrong.expected("expressions over other columns"),
        );
    }
    known
        .faulty
        .extend(open.iter().map(|index| texts[*index].0.to_owned()));
    derived
}

/// Derived names shadow nothing.
fn name_is_free(report: &mut Report<'_>, name: &str, known: &Known) -> bool {
    let path = ["derive", name];
    if !report.check_name(&path, check_column_name(name)) {
        return false;
    }
    let Some(taken) = known.columns.iter().find(|column| column.name == name) else {
        return true;
    };
    let owners: Vec<String> = taken
        .relations
        .iter()
        .map(|relation| quoted(relation))
        .collect();
    let wrong = Wrong::new(format!(
        "{} is a column of {} already",
        quoted(name),
        owners.join(", ")
    ));
    report.add_name(
        &path,
        wrong.expected("a name of its own: derived columns shadow nothing"),
    );
    false
}

/// The circles among `open`, each from its first member in file order along what it needs; no member is in two.
///
/// A walk in depth: a need that is on the walk's own path closes a circle.
pub(super) fn circles(open: &[usize], needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut walk = Walk {
        open,
        needs,
        path: Vec::new(),
        walked: HashSet::new(),
        found: Vec::new(),
    };
    for start in open {
        walk.from(*start);
    }
    walk.found
}

struct Walk<'a> {
    open: &'a [usize],
    needs: &'a [Vec<usize>],
    path: Vec<usize>,
    walked: HashSet<usize>,
    found: Vec<Vec<usize>>,
}

impl Walk<'_> {
    fn from(&mut self, step: usize) {
        if let Some(at) = self.path.iter().position(|member| *member == step) {
            let mut circle = self.path[at..].to_vec();
            let first = circle
                .iter()
                .enumerate()
                .min_by_key(|(_, member)| **member)
                .map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            if !self
                .found
                .iter()
                .flatten()
                .any(|member| circle.contains(member))
            {
                self.found.push(circle);
            }
            return;
        }
        if !self.open.contains(&step) || !self.walked.insert(step) {
            return;
        }
        self.path.push(step);
        for need in &self.needs[step] {
            self.from(*need);
        }
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_once_and_from_their_first_member() {
        // 0 → 1 → 2 → 0; 3 → 0 leads into it; 4 → 4, and into it, too.
        let needs = vec![vec![1], vec![2], vec![0], vec![0], vec![0, 4, 5], vec![]];
        assert_eq!(circles(&[0, 1, 2, 3, 4], &needs), [vec![0, 1, 2], vec![4]]);
        assert_eq!(circles(&[3, 2, 1, 0], &needs), [vec![0, 1, 2]]);
        assert_eq!(
            circles(&[0, 1, 3], &needs),
            Vec::<Vec<usize>>::new(),
            "2 is not open"
        );
        assert!(circles(&[], &needs).is_empty());
    }
}
