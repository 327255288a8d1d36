//! What becomes of a row that found no reference row.

use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};

use crate::job::plan::{LookupPlan, Missing};
use crate::record::{Draft, Fault, Site};
use crate::validate::Blame;

/// Notes a fault for each row without a reference row, unless the row already has a fault at something its key depends on.
pub(super) fn refuse(
    draft: &mut Draft,
    lookup: usize,
    plan: &LookupPlan,
    keys: &[ArrayRef],
    at: Option<&ArrayRef>,
    missing: &[usize],
    blame: &Blame,
) {
    let (reason, waits) = match &plan.missing {
        Missing::Refuse(reason) => (reason, false),
        Missing::Wait { reason, .. } => (reason, true),
        Missing::Null => return,
    };
    if missing.is_empty() {
        return;
    }
    let blamed = blame.rows(&draft.faults);
    let mut faults: Vec<Fault> = Vec::new();
    for row in missing.iter().copied().filter(|row| !blamed.contains(*row)) {
        let key: Vec<String> = keys.iter().map(|key| show(key, row)).collect();
        let key = key.join(", ");
        let detail = match at {
            None => format!("{key} is not in lookups.{}", plan.name),
            Some(at) => {
                let at = show(at, row);
                format!(
                    "{key} has no row in lookups.{} that is valid at {at}",
                    plan.name
                )
            }
        };
        faults.push(Fault {
            row,
            // Nothing ever equals null.
            site: if waits && keys.iter().all(|key| !key.is_null(row)) {
                Site::Waits(lookup)
            } else {
                Site::Lookup(lookup)
            },
            reason: std::sync::Arc::clone(reason),
            detail,
        });
    }
    draft.faults.append(&mut faults);
}

/// A value for people: text in quotes, null as `null`, cut at 64 characters.
pub(super) fn show(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(array.as_ref(), &options)
        .map(|formatter| formatter.value(row).to_string());
    let text = text.unwrap_or_else(|_| "(a value that can't be shown)".to_owned());
    let cut: String = text.chars().take(64).collect();
    if matches!(
        array.data_type(),
        arrow_schema::DataType::Utf8 | arrow_schema::DataType::Dictionary(_, _)
    ) {
        format!("{cut:?}")
    } else {
        cut
    }
}
