//! Which faults make an expression not worth judging: those at anything it depends on, directly or through other columns.

use std::collections::{BTreeSet, HashSet};

use crate::job::plan::Plan;
use crate::record::{Fault, Site};

/// The sites that an expression depends on.
#[derive(Debug, Clone)]
pub struct Blame {
    sites: BTreeSet<Site>,
}

/// Rows that have a fault at one of the sites.
#[derive(Debug)]
pub struct Blamed(HashSet<usize>);

impl Blame {
    /// The sites behind the columns with these ids.
    pub fn new(plan: &Plan, inputs: &[usize]) -> Self {
        let mut sites = BTreeSet::from([Site::Record]);
        let mut waiting = inputs.to_vec();
        while let Some(id) = waiting.pop() {
            let (site, behind) = origin(plan, id);
            if let Site::Lookup(lookup) = site {
                sites.insert(Site::Waits(lookup));
            }
            if sites.insert(site) {
                waiting.extend(behind);
            }
        }
        Self { sites }
    }

    /// Adds a site.
    #[must_use]
    pub fn and(mut self, site: Site) -> Self {
        self.sites.insert(site);
        self
    }

    /// The rows that are not to be judged.
    pub fn rows(&self, faults: &[Fault]) -> Blamed {
        Blamed(
            faults
                .iter()
                .filter(|fault| self.sites.contains(&fault.site))
                .map(|fault| fault.row)
                .collect(),
        )
    }
}

impl Blamed {
    /// Whether this row is not to be judged.
    pub fn contains(&self, row: usize) -> bool {
        self.0.contains(&row)
    }
}

/// Where a column comes from, and the columns that were needed for it.
fn origin(plan: &Plan, id: usize) -> (Site, Vec<usize>) {
    if let Some(index) = plan.derived.iter().position(|derived| derived.id == id) {
        return (
            Site::Derived(index),
            plan.derived[index].expression.inputs().to_vec(),
        );
    }
    let lookup = plan.lookups.iter().position(|lookup| {
        (lookup.first_column..lookup.first_column + lookup.reference.len()).contains(&id)
    });
    match lookup {
        Some(index) => {
            let lookup = &plan.lookups[index];
            let mut behind: Vec<usize> = lookup
                .on
                .iter()
                .flat_map(|(_, key)| key.inputs().iter().copied())
                .collect();
            behind.extend(
                lookup
                    .validity
                    .iter()
                    .flat_map(|validity| validity.at.inputs().iter().copied()),
            );
            (Site::Lookup(index), behind)
        }
        None => (Site::Column(id), Vec::new()),
    }
}
