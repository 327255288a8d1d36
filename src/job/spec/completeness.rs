//! `checks.NAME.completeness`.

use schemars::JsonSchema;

use super::variance::Same;

/// The share of rows that have what they should (`column`, `columns`, `matched`), of those that were refused (`refused`), or of rows that came of
/// those that should have come (`expected_rows`, `rows_from`, `expected_from` or `expected_like`), or of files that brought rows over those that should have
/// (`expected_files`). Without thresholds it only measures.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [{"title": "way to say what is complete", "oneOf": [{"required": ["column"]}, {"required": ["columns"]}, {"required": ["expected_rows"]}, {"required": ["expected_files"]}, {"required": ["rows_from"]}, {"required": ["expected_from"]}, {"required": ["expected_like"]}, {"required": ["matched"]}, {"required": ["refused"]}]}]))]
pub struct CompletenessSpec {
    /// Column that should have a value. Example: `"customer_id"`.
    pub column: Option<String>,
    /// Columns of which all should have a value. Example: `["customer_id", "channel"]`.
    pub columns: Option<Vec<String>>,
    /// How many rows a window should have. More are a share above 1. Example: `1440`.
    #[schemars(range(min = 1))]
    pub expected_rows: Option<u64>,
    /// How many files should have brought rows of a window, where all sources are files: a file counts in each window and segment that has clean rows of it,
    /// once, by the path under which it was found and how many of that name came before it, whatever it is called later. One without clean rows
    /// delivered nothing. Where the window has no `per`, windows in which nothing came are judged, too, from the first one that has data to the last;
    /// `expected_from` with `count` says of which segments files should come. Up to 4096 files of a window the number is exact. Example: `1`.
    #[schemars(range(min = 1))]
    pub expected_files: Option<u64>,
    /// Statistic of the window that says how many rows it should have, such as the greatest of a column that a look-up brought to the rows.
    /// Where none should come, or nobody knows how many, the verdict is `no_data`. Example: `"promised"`.
    pub rows_from: Option<String>,
    /// Look-up that lists which segments should have rows, and how many: also windows in which nothing came are judged then, from the first one that has
    /// data of any segment to the last. Example: `{ lookup = "stores", rows = "an_hour" }`.
    pub expected_from: Option<ExpectedFromSpec>,
    /// As many rows as windows of earlier weeks had, on average and rounded, without those that failed this check: also windows in which nothing came are
    /// judged then, where there is something to compare with. Not for windows with `correct_within`. Example: `{ weeks = 4, same = "hour" }`.
    pub expected_like: Option<ExpectedLikeSpec>,
    /// Look-up in which rows should have found their reference row: the share of rows that did, of clean rows and of those that were refused because they did
    /// not. Rows that were refused for something else alone are in neither; those that wait count when they are clean or refused. Example: `"regions"`.
    pub matched: Option<String>,
    /// Share of rows that were refused, of those and the clean ones. A refused row is in the window of its event time and in its segment as
    /// far as these could be read: what could not is null, and without a time it is in no window, nor is one that came too late for it or is from the future. Example: `true`.
    pub refused: Option<bool>,
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
    /// Share of refused rows above which the verdict is `warn`. Default: none. Example: `0.01`.
    #[schemars(range(min = 0, max = 1))]
    pub warn_above: Option<f64>,
    /// Share of refused rows above which the verdict is `fail`. Default: none. Example: `0.05`.
    #[schemars(range(min = 0, max = 1))]
    pub fail_above: Option<f64>,
    /// Where rows or files are expected: the calendar that says when. A window in which it is never open expects nothing: its verdict is
    /// `no_data`, whatever came. Default: none, always. Example: `"shop"`.
    pub calendar: Option<String>,
    /// Where rows or files are expected: whether windows that the data do not cover are left out, as in `variance`. Their verdict is `partial`. Default: false.
    /// Example: `true`.
    pub skip_partial: Option<bool>,
}

/// A look-up that lists which segments should have rows: each column of the segment is one of its columns, or what `on` compares with one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFromSpec {
    /// Its name. Example: `"stores"`.
    pub lookup: String,
    /// Column that says how many rows a window should have; those of several reference rows of a segment are added up. Default: none, one for each reference row.
    /// Example: `"an_hour"`.
    pub rows: Option<String>,
    /// Column of a date or time: the reference row is for the window that it is in. Default: none, for all windows. Example: `"day"`.
    pub at: Option<String>,
    /// What is counted: rows, or the files that brought them, as in `expected_files`. Default: `"rows"`. Example: `"files"`.
    pub count: Option<Counted>,
}

/// What should have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Rows.
    Rows,
    /// Files that brought rows.
    Files,
}

/// Windows of earlier weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLikeSpec {
    /// How many weeks back, in the business time zone. Example: `4`.
    #[schemars(range(min = 1))]
    pub weeks: u64,
    /// What the windows have in common. Example: `"hour"`.
    pub same: Same,
}
