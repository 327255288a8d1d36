//! Reasons: which can occur in a job, and their precedence.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::report::{Report, Wrong};
use super::words::check_reason;
use crate::job::problems::quoted;
use crate::job::spec::{MissingThen, Spec};

/// Codes of faults that rows can have whatever the job declares.
pub const DEFAULT_REASONS: [&str; 38] = [
    "ambiguous_local_time",
    "bad_boolean",
    "bad_compression",
    "bad_date",
    "bad_decimal",
    "bad_double",
    "bad_file",
    "bad_header",
    "bad_integer",
    "bad_key",
    "bad_message",
    "bad_timestamp",
    "bad_value",
    "date_out_of_range",
    "duplicate_header",
    "duplicate_key",
    "empty_file",
    "field_count",
    "invalid_encoding",
    "invalid_json",
    "invalid_utf16",
    "invalid_utf8",
    "missing_columns",
    "missing_value",
    "non_finite",
    "nonexistent_local_time",
    "not_an_array",
    "nul_in_text",
    "overflow",
    "record_too_long",
    "scale_loss",
    "text_after_quote",
    "too_deep",
    "too_large",
    "ts_out_of_range",
    "unclosed_array",
    "unclosed_quote",
    "wrong_type",
];

/// Reads `[job] reasons`.
pub(super) fn read_reasons(report: &mut Report<'_>, spec: &Spec) -> Vec<Arc<str>> {
    let written = spec.job.reasons.as_deref().unwrap_or_default();
    let declared = declared_reasons(spec);
    let known = || declared.iter().map(String::as_str).chain(DEFAULT_REASONS);
    let mut reasons: Vec<Arc<str>> = Vec::with_capacity(written.len());
    for (index, reason) in written.iter().enumerate() {
        let index = index.to_string();
        let path = ["job", "reasons", &index];
        if report.take(&path, check_reason(reason)).is_none() {
            continue;
        }
        if !known().any(|known| known == reason) {
            let listed: Vec<&str> = declared.iter().map(String::as_str).collect();
            let expected = if listed.is_empty() {
                "a default reason, such as bad_integer".to_owned()
            } else {
                format!("{}, or a default one", listed.join(", "))
            };
            report.add(
                &path,
                Wrong::new(format!("nothing gives the reason {}", quoted(reason)))
                    .expected(expected)
                    .did_you_mean(reason, known()),
            );
            continue;
        }
        if reasons.iter().any(|earlier| **earlier == **reason) {
            report.add(
                &path,
                Wrong::new(format!("{} is listed twice", quoted(reason))).hint("leave one out"),
            );
            continue;
        }
        reasons.push(reason.as_str().into());
    }
    reasons
}

/// The reasons that columns, look-ups and rules give.
fn declared_reasons(spec: &Spec) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    for (_, source) in spec.sources.iter() {
        declared.extend(
            source
                .columns
                .iter()
                .filter_map(|(_, column)| column.reason.clone()),
        );
    }
    for (name, lookup) in spec
        .lookups
        .iter()
        .filter(|(_, lookup)| lookup.missing.then == MissingThen::Refuse)
    {
        declared.insert(
            lookup
                .missing
                .reason
                .clone()
                .unwrap_or_else(|| default_missing_reason(name)),
        );
    }
    for (name, rule) in spec.rules.iter() {
        declared.insert(rule.reason.clone().unwrap_or_else(|| name.to_owned()));
    }
    declared
}

/// Reason of a row that finds no reference row, where the look-up says none.
pub(super) fn default_missing_reason(lookup: &str) -> String {
    format!("unknown_{}", lookup.to_lowercase())
}
