//! What is said of columns and look-ups whose options of notation, spelling and range mean nothing.

use super::{changed, plan, resolved};
use crate::job::plan::{Duplicates, Range, Repeated, Skipped};

/// The faults of a job, each as `path: what`.
fn faults(text: &str) -> Vec<String> {
    let problems = resolved(text).expect_err(text);
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.what))
        .collect()
}

/// What stands instead of the column `weight`, and its one fault behind `sources.sales.columns.weight`.
const COLUMNS: &[(&str, &str)] = &[
    (
        "type = \"double\", decimal = \";\"",
        ".decimal: \";\" is no decimal mark",
    ),
    (
        "type = \"double\", thousands = \".\"",
        ".thousands: \".\" stands before the fraction already",
    ),
    (
        "type = \"double\", thousands = \"0\"",
        ".thousands: \"0\" is no mark of thousands",
    ),
    (
        "type = \"double\", thousands = \"..\"",
        ".thousands: \"..\" is no mark of thousands",
    ),
    (
        "type = \"double\", currency = [\"€\", \"1\"]",
        ".currency.1: \"1\" is no sign of a currency",
    ),
    (
        "type = \"double\", currency = [\"\"]",
        ".currency.0: \"\" is no sign of a currency",
    ),
    (
        "type = \"double\", round = \"half_up\"",
        ".round: a column of type double has no round",
    ),
    (
        "type = \"int\", percent = true",
        ".percent: a column of type int has no percent",
    ),
    (
        "type = \"varchar\", negatives = [\"trailing\"]",
        ".negatives: a column of type varchar has no negatives",
    ),
    (
        "type = \"boolean\", true = [\"ja\"]",
        ".true: `true` goes with `false`",
    ),
    (
        "type = \"boolean\", true = [\"ja\"], false = [\"JA\"]",
        ".false.0: \"JA\" is true already",
    ),
    (
        "type = \"boolean\", true = [], false = [\"x\"]",
        ".true: there are no words",
    ),
    (
        "type = \"date\", formats = [\"%d/%m/%Y\", \"%m/%d/%Y\"]",
        ".formats.1: \"%d/%m/%Y\" and \"%m/%d/%Y\" read one text as two dates",
    ),
    (
        "type = \"date\", formats = [\"%e/%m/%y\", \"%D\"]",
        ".formats.1: \"%e/%m/%y\" and \"%D\" read one text as two dates",
    ),
    (
        "type = \"date\", pivot = 1950",
        ".pivot: no pattern of the column has a year of two digits",
    ),
    (
        "type = \"date\", formats = [\"%d.%m.%y\"], pivot = 0",
        ".pivot: 0 is out of range",
    ),
    (
        "type = \"timestamp\", ambiguous = \"later\"",
        ".ambiguous: clocks of UTC never change",
    ),
    (
        "type = \"timestamp\", nonexistent = \"shift\"",
        ".nonexistent: clocks of UTC never change",
    ),
    (
        "type = \"date\", min = \"yesterday\"",
        ".min: \"yesterday\" is no date or time",
    ),
    (
        "type = \"date\", min = \"2026-02-01\", max = \"2026-01-31\"",
        ".max: no time is in the range",
    ),
    (
        "type = \"date\", min = \"2026-02-01T00:00:00Z\"",
        ".min: \"2026-02-01T00:00:00Z\" is no date or time",
    ),
    (
        "type = \"timestamp\", max = \"1969-12-31\"",
        ".max: no time is in the range",
    ),
    (
        "type = \"timestamp\", from = [\"Date\"]",
        ".from: one field is no several",
    ),
    (
        "type = \"timestamp\", from = [\"Date\", \"Time\"], header = \"At\"",
        ".header: `from` names the column's fields already",
    ),
    (
        "type = \"timestamp\", from = [\"day\", \"currency\"]",
        ": \"weight\" is read from \"currency\", as \"currency\" is",
    ),
    (
        "type = \"date\", from = [\"Date\", \"Time\"]",
        ".from: a column of type date has no from",
    ),
];

#[test]
fn options_of_columns_that_mean_nothing_are_told() {
    for (column, fault) in COLUMNS {
        let text = changed("weight = \"double\"", &format!("weight = {{ {column} }}"));
        assert_eq!(
            faults(&text),
            [format!("sources.sales.columns.weight{fault}")],
            "{column}"
        );
    }
}

#[test]
fn fields_are_joined_only_where_they_have_names() {
    let joined = "weight = { type = \"timestamp\", from = [\"Date\", \"Time\"] }";
    let text = changed("weight = \"double\"", joined);
    let weight = &plan(&text).sources[0].columns[7];
    assert_eq!(weight.header, "Date");
    assert_eq!(weight.notation.parts, ["Time"]);
    let unnamed = text.replacen("csv = {}", "csv = { header = false }", 1);
    assert_eq!(
        faults(&unnamed),
        ["sources.sales.columns.weight.from: only fields of delimited text can be joined"]
    );
}

#[test]
fn timestamps_of_sources_begin_with_1970_and_those_of_look_ups_anywhere() {
    let plan_of = |column: &str| {
        plan(&changed(
            "weight = \"double\"",
            &format!("weight = {column}"),
        ))
    };
    let range = |column: &str| plan_of(column).sources[0].columns[7].notation.range;
    let of = |first, last| Some(Range { first, last });
    assert_eq!(range("\"timestamp\""), of(0, i64::MAX));
    assert_eq!(range("\"date\""), None);
    assert_eq!(
        range("{ type = \"timestamp\", min = \"1960-01-01\", max = \"1970-01-01\" }"),
        of(-315_619_200_000_000, 86_399_999_999)
    );
    assert_eq!(
        range("{ type = \"timestamp\", max = \"1970-01-01T00:00:01+00:00\" }"),
        of(0, 1_000_000)
    );
    assert_eq!(
        range("{ type = \"date\", max = \"1970-01-03\" }"),
        of(i64::MIN, 2)
    );
    let text = changed("zone = \"varchar\" }", "zone = \"timestamp\" }")
        .replace("\"zone\", \"date\"", "\"date\"");
    assert_eq!(plan(&text).lookups[0].columns[3].notation.range, None);
    let local = "{ type = \"timestamp\", time_zone = \"Europe/Madrid\", ambiguous = \"later\", nonexistent = \"shift\" }";
    let local = plan_of(local).sources[0].columns[7].notation.local;
    assert_eq!(
        (local.repeated, local.skipped),
        (Repeated::Later, Skipped::Shift)
    );
}

/// What stands behind `missing` of the look-up of regions, and its one fault.
const LOOKUPS: &[(&str, &str)] = &[
    ("fold = []", "lookups.regions.fold: nothing is folded"),
    (
        "aliases = { column = \"region_id\", of = \"zone\", separator = \"|\" }",
        "lookups.regions.aliases.column: column \"region_id\" is of type int",
    ),
    (
        "aliases = { column = \"alias\", of = \"alias\", separator = \"|\" }",
        "lookups.regions.aliases.of: a list is no spelling of itself",
    ),
    (
        "aliases = { column = \"alias\", of = \"zone\", separator = \" \" }",
        "lookups.regions.aliases.separator: nothing stands between spellings",
    ),
    (
        "aliases = { column = \"alia\", of = \"zone\", separator = \"|\" }",
        "lookups.regions.aliases.column: \"alia\" is no column of look-up \"regions\"",
    ),
    (
        "aliases = { column = \"zone\", of = \"region_code\", separator = \"|\" }",
        "lookups.regions.aliases.column: \"zone\" is no key",
    ),
    (
        "duplicates = \"reject\"\norder_by = \"zone\"",
        "lookups.regions.order_by: `order_by` goes with duplicates = \"newest\"",
    ),
];

#[test]
fn options_of_look_ups_that_mean_nothing_are_told() {
    let missing = "reason = \"unknown_region\" }\n";
    for (option, fault) in LOOKUPS {
        let text = changed(missing, &format!("{missing}{option}\n"));
        let told = faults(&text);
        assert!(told.contains(&(*fault).to_owned()), "{option}: {told:?}");
    }
    let text = changed(
        missing,
        &format!("{missing}fold = [\"case\", \"nfc\"]\nduplicates = \"reject\"\n"),
    );
    let plan = plan(&text);
    let fold = plan.lookups[0].fold.unwrap();
    assert_eq!(
        (fold.trim, fold.case, fold.nfc, fold.spaces),
        (false, true, true, false)
    );
    assert!(matches!(plan.lookups[0].duplicates, Duplicates::Reject));
}

#[test]
fn completeness_takes_a_condition() {
    let with = |condition: &str| {
        changed(
            "warn_below = 0.97 }",
            &format!("warn_below = 0.97, where = \"{condition}\" }}"),
        )
    };
    plan(&with("sales.currency = 'GBP'"));
    assert_eq!(
        faults(&with("quantity + 1")),
        ["checks.customer_known.completeness.where: \"quantity + 1\" is no condition"]
    );
}

#[test]
fn completeness_of_look_ups_refused_rows_and_expected_ones_says_what_is_wrong() {
    let with = |completeness: &str| {
        changed(
            "completeness = { column = \"customer_id\", warn_below = 0.97 }",
            &format!("completeness = {{ {completeness} }}"),
        )
    };
    let listed =
        "expected_from = { lookup = \"regions\", rows = \"region_id\" }, skip_partial = true";
    for good in [
        "matched = \"fx\", warn_below = 0.99, where = \"quantity > 0\"",
        "refused = true, warn_above = 0.01, fail_above = 0.05, min_rows = 10",
        listed,
        "expected_like = { weeks = 4, same = \"hour\" }, warn_below = 0.5",
        "expected_files = 3, fail_below = 1.0, where = \"quantity > 0\"",
        "expected_from = { lookup = \"regions\", count = \"files\" }",
    ] {
        plan(&with(good));
    }
    let path = "checks.customer_known.completeness";
    for (wrong, said) in [
        (
            "matched = \"regionz\"",
            ".matched: \"regionz\" is no look-up",
        ),
        (
            "refused = false",
            ".refused: it measures the share of refused rows, or something else",
        ),
        (
            "refused = true, warn_below = 0.9",
            ".warn_below: of refused rows there should be few",
        ),
        (
            "matched = \"fx\", fail_above = 0.9",
            ".fail_above: of rows as they should be there are never too many",
        ),
        (
            "refused = true, warn_above = 0.5, fail_above = 0.1",
            ": `fail_above` 0.1 is below `warn_above` 0.5, so that no verdict is `warn`",
        ),
        (
            "column = \"customer_id\", skip_partial = true",
            ".skip_partial: a share of the rows that are there is whole in any window",
        ),
        (
            "expected_from = { lookup = \"stores\" }",
            ".expected_from.lookup: \"stores\" is no look-up",
        ),
        (
            "expected_from = { lookup = \"regions\", rows = \"zone\" }",
            ".expected_from.rows: column \"zone\" is no number of rows",
        ),
        (
            "expected_from = { lookup = \"regions\", rows = \"zones\" }",
            ".expected_from.rows: \"zones\" is no column of look-up \"regions\"",
        ),
        (
            "expected_from = { lookup = \"regions\", at = \"zone\" }",
            ".expected_from.at: column \"zone\" is no time",
        ),
        (
            "expected_from = { lookup = \"fx\" }",
            ".expected_from: look-up \"fx\" has no column for \"region_id\", which makes the segments of window \"minute\"",
        ),
        (
            "expected_like = { weeks = 0, same = \"hour\" }",
            ".expected_like.weeks: 0 is out of range",
        ),
        (
            "expected_like = { weeks = 600, same = \"hour\" }",
            ".expected_like.weeks: 600 is no number of weeks to keep",
        ),
    ] {
        assert_eq!(faults(&with(wrong)), [format!("{path}{said}")], "{wrong}");
    }
}

#[test]
fn files_are_expected_of_sources_that_have_some() {
    let text = changed(
        "completeness = { column = \"customer_id\", warn_below = 0.97 }",
        "completeness = { expected_files = 3, warn_below = 1.0 }",
    );
    plan(&text);
    let files = "files = { paths = [\"in/part-*.csv\"] }\ncsv = {}";
    for (source, said) in [
        (
            "files = { paths = [\"in/part-*.csv\"], per_process = true }\ncsv = {}",
            "has files of each process, and those of one path are not told apart",
        ),
        (
            "kafka = { brokers = \"kafka-1\", topics = [\"ventas\"] }\njson = {}",
            "has no files",
        ),
    ] {
        assert!(text.contains(files));
        let told = faults(&text.replace(files, source));
        let of_files =
            format!("checks.customer_known.completeness.expected_files: source \"sales\" {said}");
        assert!(told.contains(&of_files), "{told:?}");
    }
}

#[test]
fn no_check_takes_the_name_of_the_row_law() {
    let text = changed("[checks.customer_known]", "[checks.conservation]");
    let problems = resolved(&text).unwrap_err().to_string();
    assert!(
        problems.contains("checks.conservation: conservation is the name of the row law, which is always judged\n  expected: another name"),
        "{problems}"
    );
}
