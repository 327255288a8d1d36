//! Rows of which no message can be made for a topic that takes them: refused like those with any other fault.

use arrow_array::ArrayRef;

use crate::job::plan::{Plan, Then};
use crate::record::{Draft, Fault, Site};
use crate::sinks::kafka::gauge::Gauge;

/// Adds a fault to each row that is clean so far and no message. `faults` are those of the draft, ordered, and stay so; `columns` are the
/// draft's.
pub(super) fn judge(
    gauges: &[Gauge],
    plan: &Plan,
    draft: &Draft,
    now: impl Fn() -> i64,
    faults: &mut Vec<Fault>,
) {
    let columns: &[Option<ArrayRef>] = &draft.columns;
    let mut found = Vec::new();
    for gauge in gauges {
        for (row, why) in gauge.unfit(columns, draft.rows, now()) {
            if !ends(plan, faults, row) {
                found.push(Fault {
                    row,
                    site: Site::Sink(gauge.sink()),
                    reason: why.reason().into(),
                    detail: why.detail(gauge.kafka()),
                });
            }
        }
    }
    if !found.is_empty() {
        faults.extend(found);
        Fault::sort(faults);
    }
}

/// Whether some fault of the row keeps it from being clean.
fn ends(plan: &Plan, faults: &[Fault], row: usize) -> bool {
    let first = faults.partition_point(|fault| fault.row < row);
    let of_row = faults[first..].iter().take_while(|fault| fault.row == row);
    of_row.into_iter().any(|fault| match fault.site {
        Site::Rule(index) => plan.rules[index].then != Then::Warn,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringArray;

    use super::*;
    use crate::job::resolve::plan_of;

    #[test]
    fn rows_that_are_clean_so_far_get_a_fault_and_faults_stay_in_order() {
        let text = r#"
format = 1
[job]
name = "t"
output = "/out"
[sources.s]
files = { paths = ["in/*"], follow = true }
json = {}
columns = { note = "varchar" }
[rules]
long = { expect = "length(note) < 5", then = "warn" }
wrong = { expect = "note <> 'x'" }
[sinks.clean]
kafka = { brokers = "k", topic = "t", max_message = "1 KiB" }
json = {}
"#;
        let plan = plan_of(text);
        let long = "a".repeat(2000);
        let notes = ["a", &long, &long, &long, "b"];
        let draft = Draft {
            rows: notes.len(),
            columns: vec![Some(Arc::new(StringArray::from(notes.to_vec())))],
            ..Draft::default()
        };
        let fault = |row, site| Fault {
            row,
            site,
            reason: "long".into(),
            detail: String::new(),
        };
        let mut faults = vec![
            fault(2, Site::Rule(0)),
            fault(3, Site::Rule(1)),
            fault(4, Site::Rule(0)),
        ];
        judge(&Gauge::all(&plan), &plan, &draft, || 0, &mut faults);
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.row, fault.site, &*fault.reason))
            .collect();
        assert_eq!(
            told,
            [
                (1, Site::Sink(0), "too_large"),
                (2, Site::Rule(0), "long"),
                (2, Site::Sink(0), "too_large"),
                (3, Site::Rule(1), "long"),
                (4, Site::Rule(0), "long"),
            ]
        );
    }
}
