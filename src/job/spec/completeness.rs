//! `checks.NAME.completeness`.

use schemars::JsonSchema;

/// The share of rows that have what they should (`column`, `columns`), or of rows that came of those that should have come
/// (`expected_rows`, or
/// `rows_from`). Without thresholds it only measures.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [{"title": "way to say what is complete", "oneOf": [{"required": ["column"]}, {"required": ["columns"]}, {"required": ["expected_rows"]}, {"required": ["rows_from"]}]}]))]
pub struct CompletenessSpec {
    /// Column that should have a value. Example: `"customer_id"`.
    pub column: Option<String>,
    /// Columns of which all should have a value. Example: `["customer_id", "channel"]`.
    pub columns: Option<Vec<String>>,
    /// How many rows a window should have. More are a share above 1. Example: `1440`.
    #[schemars(range(min = 1))]
    pub expected_rows: Option<u64>,
    /// Statistic of the window that says how many rows it should have, such as the greatest of a column that a look-up brought to the rows.
    /// Where none should come, or nobody knows how many, the verdict is `no_data`. Example: `"promised"`.
    pub rows_from: Option<String>,
    /// SQL condition on the rows that count. Default: none, all rows. With no such row in a window there is no share of values:
    /// the verdict is `no_data`. Example: `"channel = 'web'"`.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// With fewer rows in a window the verdict is `too_few`; not where rows are expected. Default: 1.
    pub min_rows: Option<u64>,
    /// Share below which the verdict is `warn`. Default: none. Example: `0.97`.
    #[schemars(range(min = 0, max = 1))]
    pub warn_below: Option<f64>,
    /// Share below which the verdict is `fail`. Default: none. Example: `0.90`.
    #[schemars(range(min = 0, max = 1))]
    pub fail_below: Option<f64>,
}
