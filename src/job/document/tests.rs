//! Tests of reading whole job files: places, hints, repairs, and that all faults come at once.

use std::collections::BTreeSet;

use super::schema::TableShape;
use super::*;
use toml::de::DeValue;

/// A job with every key of the format.
const SAMPLE: &str = include_str!("sample.toml");

fn parse(text: &str) -> Result<Document, Problems> {
    Document::parse(
        Path::new("jobs/x.toml"),
        text.as_bytes().to_vec(),
        &|name| match name {
            "DATA" => Some("/data".to_owned()),
            "WORD" => Some("stop".to_owned()),
            _ => None,
        },
    )
}

/// Every fault of a text, whether its tables could be read or not.
fn problems(text: &str) -> Problems {
    match parse(text) {
        Ok(document) => document.problems().clone(),
        Err(problems) => problems,
    }
}

/// The sample with a piece replaced.
fn sample_with(old: &str, new: &str) -> String {
    assert_eq!(SAMPLE.matches(old).count(), 1, "{old}");
    SAMPLE.replace(old, new)
}

/// A fixed key of the sample.
struct FixedKey {
    /// Path of the table it is in, names included.
    table: Vec<String>,
    key: String,
    offset: usize,
}

/// The fixed keys of a tree; adds tables and keys of the format that it has to `seen`.
fn fixed_keys(
    shape: &Shape,
    value: &DeValue<'_>,
    path: &mut Vec<String>,
    kind: &str,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<FixedKey>,
) {
    match (shape, value) {
        (Shape::Names(item), DeValue::Table(entries)) => {
            for (name, entry) in entries {
                path.push(name.get_ref().to_string());
                fixed_keys(
                    item,
                    entry.get_ref(),
                    path,
                    &format!("{kind}.*"),
                    seen,
                    found,
                );
                path.pop();
            }
        }
        (Shape::Table(keys) | Shape::TextOr(keys), DeValue::Table(entries)) => {
            for (key, entry) in entries {
                let name = key.get_ref().to_string();
                let kind = format!("{kind}.{name}");
                found.push(FixedKey {
                    table: path.clone(),
                    key: name.clone(),
                    offset: key.span().start,
                });
                path.push(name.clone());
                fixed_keys(
                    keys.get(&name).unwrap(),
                    entry.get_ref(),
                    path,
                    &kind,
                    seen,
                    found,
                );
                path.pop();
                seen.insert(kind);
            }
        }
        _ => {}
    }
}

/// All keys of the format, as `.sources.*.csv.quote`.
fn all_keys(table: &TableShape, kind: &str, all: &mut BTreeSet<String>) {
    for (key, shape) in &table.keys {
        let mut kind = format!("{kind}.{key}");
        all.insert(kind.clone());
        let mut shape = shape;
        while let Shape::Names(item) = shape {
            kind.push_str(".*");
            shape = item;
        }
        if let Shape::Table(below) | Shape::TextOr(below) = shape {
            all_keys(below, &kind, all);
        }
    }
}

fn sample_keys() -> Vec<FixedKey> {
    let tree = DeTable::parse(SAMPLE).unwrap().into_inner();
    let shape = Shape::of_job();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    fixed_keys(
        &shape,
        &DeValue::Table(tree),
        &mut Vec::new(),
        "",
        &mut seen,
        &mut found,
    );
    let Shape::Table(root) = shape else {
        panic!("a job is a table")
    };
    let mut all = BTreeSet::new();
    all_keys(&root, "", &mut all);
    // Options of tables that look-ups share with sources are tried there.
    let shared = |kind: &String| {
        kind.starts_with(".lookups.*.csv.") || kind.starts_with(".lookups.*.columns.*.")
    };
    let missing: Vec<_> = all.difference(&seen).filter(|kind| !shared(kind)).collect();
    assert!(missing.is_empty(), "the sample lacks {missing:?}");
    found
}

#[test]
fn the_sample_has_no_faults() {
    let document = parse(SAMPLE).unwrap();
    assert_eq!(document.problems().to_string(), "");
    let spec = &document.spec;
    assert_eq!(spec.job.output, "../out/ventas");
    assert_eq!(
        spec.sources.names().collect::<Vec<_>>(),
        ["sales", "made", "kept", "sent", "told", "live", "found"]
    );
    let columns = &spec.sources.get("sales").unwrap().columns;
    assert_eq!(
        columns.names().collect::<Vec<_>>(),
        ["sale_id", "ts", "paid", "open", "sent", "region_code"]
    );
    assert_eq!(
        columns.get("sale_id").unwrap().column_type,
        "bigint not null"
    );
    assert_eq!(columns.get("ts").unwrap().header.as_deref(), Some("año"));
    assert_eq!(columns.position("region_code"), Some(5));
    let completeness = spec
        .checks
        .get("customer_known")
        .unwrap()
        .completeness
        .as_ref()
        .unwrap();
    assert_eq!(completeness.warn_below, Some(0.97));
}

#[test]
fn a_misspelt_key_in_any_table_is_found_with_place_and_hint_and_nothing_else() {
    for FixedKey { table, key, offset } in sample_keys() {
        let last = key.chars().last().unwrap();
        let wrong = format!("{key}{last}");
        let mut text = SAMPLE.to_owned();
        text.insert(offset + key.len(), last);
        let found: Vec<Problem> = problems(&text).into_iter().collect();
        let mut path = table.clone();
        path.push(wrong);
        let [problem] = found.as_slice() else {
            panic!("{path:?}: {found:?}")
        };
        assert_eq!(problem.path, dotted(&path));
        assert_eq!(
            (problem.line, problem.column),
            Lines::of(&text).place(&text, offset),
            "{path:?}"
        );
        assert_eq!(
            problem.hint,
            Some(format!("did you mean \"{key}\"?")),
            "{path:?}"
        );
        assert!(
            problem.expected.as_ref().unwrap().contains(&key),
            "{path:?}"
        );
    }
}

#[test]
fn a_misspelt_key_beside_the_right_one_is_found_in_any_table() {
    for FixedKey { table, key, offset } in sample_keys() {
        if SAMPLE[..offset].ends_with('[') {
            continue;
        }
        let wrong = format!("{key}_");
        let separator = if table.len() < 2 { "\n" } else { ", " };
        let mut text = SAMPLE.to_owned();
        text.insert_str(offset, &format!("{wrong} = 1{separator}"));
        let found: Vec<Problem> = problems(&text).into_iter().collect();
        let mut path = table.clone();
        path.push(wrong);
        let [problem] = found.as_slice() else {
            panic!("{path:?}: {found:?}")
        };
        assert_eq!(problem.path, dotted(&path));
        assert_eq!(
            (problem.line, problem.column),
            Lines::of(&text).place(&text, offset),
            "{path:?}"
        );
        assert_eq!(
            problem.hint,
            Some(format!("did you mean \"{key}\"?")),
            "{path:?}"
        );
    }
}

#[test]
fn names_that_users_choose_are_not_checked_for_spelling() {
    let text = sample_with("minute = {", "formatt = {").replace("amount =", "columnss =");
    assert_eq!(problems(&text).to_string(), "");
}

#[test]
fn fifty_faults_come_at_once_and_in_order() {
    let mut text = SAMPLE.replace("[windows]", "");
    let at = text.find("minute = {").unwrap();
    text.truncate(at);
    let first = text.lines().count() + 1;
    text.extend(
        (0..50).map(|index| format!("r{index} = {{ expect = 'true', than = 'refuse' }}\n")),
    );
    text.push_str("[sinks]\n");
    let document = parse(&text).unwrap();
    let lines: Vec<usize> = document
        .problems()
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, (first..first + 50).collect::<Vec<_>>());
    assert_eq!(document.spec.rules.len(), 51);
}

#[test]
fn messages_say_place_what_expected_and_cure() {
    let text = "\
format = 2
[job]
name = 7
rerun = 'replase'
on_bad_file = '${WORD}'
time_zone = '${NOWHERE}/x'
[sources.sales]
delimiter = ';'
files = 'x.csv'
csv = { header = 'yes' }
json = {}
[sources.sales.columns]
a = 5
b = { header = 'B' }
[[rules.r]]
expect = 'true'
[checks.c]
completeness = { column = 'a', warn_below = 1.5, fail_below = nan, min_rows = -1 }
[sinks.s]
files = { path = 's', partition_by = 'a' }
postgres = {}
";
    let expected = "\
jobs/x.toml:1:10: format: 2 is out of range
  expected: 1
jobs/x.toml:2:1: job.output: is missing
  expected: a string
jobs/x.toml:3:8: job.name: 7 is a whole number
  expected: a string
  hint: write \"7\"
jobs/x.toml:4:9: job.rerun: \"replase\" is not one of its values
  expected: replace, new_files
  hint: did you mean \"replace\"?
jobs/x.toml:6:13: job.time_zone: the environment variable NOWHERE is not set
  hint: set it, or give a default: `${NOWHERE:-…}`
jobs/x.toml:8:1: sources.sales.delimiter: there is no such key
  expected: event_time, disorder, max_future, idle_after, files, generate, kafka, csv, json, parquet, arrow, avro, columns
  hint: it is a key of sources.sales.csv
jobs/x.toml:9:9: sources.sales.files: \"x.csv\" is a string
  expected: a table with paths, per_process, follow, complete_after, on_data_loss, copies
jobs/x.toml:10:18: sources.sales.csv.header: \"yes\" is a string
  expected: true or false
jobs/x.toml:11:1: sources.sales.json: is a second format
  expected: exactly one of csv, json, parquet, arrow, avro
jobs/x.toml:13:5: sources.sales.columns.a: 5 is a whole number
  expected: a string, or a table with type, header, from, formats, time_zone, unit, nulls, on_bad, reason, optional, lenient, decimal, thousands, currency, percent, negatives, round, true, false, pivot, ambiguous, nonexistent, min, max, kafka
  hint: write \"5\"
jobs/x.toml:14:5: sources.sales.columns.b.type: is missing
  expected: a string
jobs/x.toml:15:1: rules.r: is an array
  expected: a table with expect, then, reason
  hint: for a table write [rules.r]
jobs/x.toml:18:45: checks.c.completeness.warn_below: 1.5 is out of range
  expected: a number from 0 to 1
jobs/x.toml:18:63: checks.c.completeness.fail_below: nan is out of range
  expected: a number from 0 to 1
jobs/x.toml:18:79: checks.c.completeness.min_rows: -1 is out of range
  expected: a whole number, at least 0
jobs/x.toml:19:1: sinks.s: has no format
  expected: exactly one of parquet, json, csv, avro
jobs/x.toml:20:38: sinks.s.files.partition_by: \"a\" is a string
  expected: an array of strings
  hint: write [\"a\"]
jobs/x.toml:21:1: sinks.s.postgres: there is no such key
  expected: from, files, stdout, kafka, parquet, json, csv, avro, columns";
    assert_eq!(problems(text).to_string(), expected);
}

#[test]
fn several_syntax_errors_come_at_once_without_faults_that_only_follow_from_them() {
    let text = "\
format =
[job]
name = 'a'
name = 'b'
ñ = 1
output = out
keyy = ['a']
[sources.sales
csv = {}
[sinks.s]
files = { path 's' }
";
    let expected = "\
jobs/x.toml:1:9: there is no value
  expected: a string in quotes, a number, true or false, an array or a table
jobs/x.toml:4:1: the key \"name\" is there twice
  hint: remove or rename one; a table's header stands once
jobs/x.toml:5:1: \"ñ\" can't stand in a bare key
  expected: letters, numbers, `-`, `_`
  hint: put the key in quotes
jobs/x.toml:6:10: \"out\" is no value
  expected: a string in quotes, a number, true or false, an array or a table
  hint: put strings in quotes; put commas between values
jobs/x.toml:7:1: job.keyy: there is no such key
  expected: name, key, time_zone, output, state, state_options, reasons, rerun, max_refused, max_parked, verdict_history, on_bad_file, chunk, epoch, checkpoint, in_flight, join_timeout, peer_timeout, partials
  hint: did you mean \"key\"?
jobs/x.toml:8:15: unclosed table
  expected: `]`
jobs/x.toml:11:16: missing assignment between key-value pairs
  expected: `=`";
    assert_eq!(problems(text).to_string(), expected);
}

#[test]
fn an_empty_file_lacks_the_tables_that_a_job_must_have() {
    for text in ["", "# nothing\n", "\u{feff}"] {
        let found: Vec<String> = problems(text)
            .iter()
            .map(|problem| problem.path.clone())
            .collect();
        assert_eq!(found, ["format", "job", "sources", "sinks"], "{text:?}");
    }
}

#[test]
fn text_that_is_not_utf8_is_a_fault_with_its_place() {
    let problems = Document::parse(
        Path::new("x.toml"),
        b"format = 1\nn = '\xc3\xb1\xf1'\n".to_vec(),
        &|_| None,
    );
    let expected = "x.toml:2:7: the byte 0xf1 is not UTF-8\n  expected: text in UTF-8\n  hint: save \"x.toml\" as UTF-8";
    assert_eq!(problems.unwrap_err().to_string(), expected);
}

#[test]
fn a_job_file_that_is_not_there_is_named() {
    let error = Document::read(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no/such.toml: the job file can't be read"
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn variables_are_put_in_after_parsing_in_values_of_any_depth() {
    let text = sample_with("\"ventas/más.csv\"", "'${DATA}/\"x\".csv', '$${DATA}'")
        .replace("on_bad_file = \"stop\"", "on_bad_file = '${WORD}'")
        .replace("sale_id = \"bigint not null\"", "sale_id = '${TYPE:-int}'");
    let document = parse(&text).unwrap();
    assert_eq!(document.problems().to_string(), "");
    let sales = document.spec.sources.get("sales").unwrap();
    let paths = &sales.files.as_ref().unwrap().paths;
    assert_eq!(paths[1..], ["/data/\"x\".csv", "${DATA}"]);
    assert_eq!(sales.columns.get("sale_id").unwrap().column_type, "int");
    assert!(
        document.text.contains("'${DATA}/"),
        "the text stays as written"
    );
}

#[test]
fn an_unset_variable_is_one_fault_wherever_it_stands() {
    for (old, new) in [
        ("on_bad_file = \"stop\"", "on_bad_file = '${NONE}'"),
        ("\"ventas/más.csv\"", "'${NONE}'"),
        (
            "region_code = \"varchar\",\n    }",
            "region_code = '${NONE}',\n    }",
        ),
        (", header = true,", ", header = '${NONE}',"),
    ] {
        let found = problems(&sample_with(old, new));
        assert_eq!(found.len(), 1, "{found}");
        assert!(found.to_string().contains("NONE is not set"), "{found}");
    }
}

#[test]
fn places_of_values_and_names_are_found_by_path() {
    let text = sample_with("amount = \"cast", "'año' = 'x'\namount = \"cast");
    let document = parse(&text).unwrap();
    let line = |piece: &str| Lines::of(&text).place(&text, text.find(piece).unwrap()).0;
    let paths = line("files = { paths");
    assert_eq!(
        document.place(&["sources", "sales", "files", "paths", "1"]),
        (paths, 45)
    );
    assert_eq!(document.key_place(&["derive", "año"]), (line("'año'"), 1));
    assert_eq!(document.place(&["derive", "año"]), (line("'año'"), 9));
    // A column that is a text alone, and what is left out.
    let sale_id = (line("sale_id = \"bigint not null\""), 19);
    assert_eq!(
        document.place(&["sources", "sales", "columns", "sale_id", "type"]),
        sale_id
    );
    assert_eq!(
        document.place(&["job", "missing"]),
        document.place(&["job"])
    );
    let problem = document.problem_at(&["sources", "sales", "event_time"], "is no column");
    assert_eq!(problem.path, "sources.sales.event_time");
}

#[test]
fn the_resolver_does_not_repeat_what_follows_from_the_file() {
    let text = sample_with("rerun = \"replace\"", "rerun = 'x'");
    let document = parse(&text).unwrap();
    let mut found = Problems::new(&document.file);
    found.push(document.problem_at(&["job", "rerun"], "is not supported"));
    found.push(document.problem_at(&["job", "key", "0"], "is no column"));
    let all: Vec<String> = document
        .all_problems(found)
        .iter()
        .map(|problem| problem.path.clone())
        .collect();
    assert_eq!(all, ["job.key.0", "job.rerun"]);
}

#[test]
fn no_cut_of_a_job_file_panics() {
    for (end, _) in SAMPLE.char_indices() {
        let found = problems(&SAMPLE[..end]);
        assert!(
            found
                .iter()
                .all(|problem| problem.line > 0 && problem.column > 0)
        );
    }
}
