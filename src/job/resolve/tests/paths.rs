//! What is said of paths, and what they become.

use super::resolved;
use crate::job::plan::{EmptyArray, Format, JsonOptions, Records};

fn job(json: &str, columns: &str) -> String {
    format!(
        "format = 1\n[job]\nname = \"x\"\noutput = \"/out\"\n[sources.s]\nfiles = {{ paths = [\"in/*.json\"] }}\n{json}\n\
         [sources.s.columns]\n{columns}\n[sinks.t]\nfiles = {{ path = \"t\" }}\njson = {{}}\n"
    )
}

#[test]
fn paths_have_one_spelling_and_columns_without_one_are_names() {
    let text = job(
        "json = { records = \"array\", empty_array = \"drop\", max_depth = 9 }",
        "id = \"int\"\nitem = { type = \"varchar\", header = '\"items\"[].\"sku\"' }\n\
         dotted = { type = \"int\", header = '\"a.b\"[0]' }\nraw = \"json not null\"",
    );
    let plan = resolved(&text).unwrap();
    let source = &plan.sources[0];
    let headers: Vec<&str> = source
        .columns
        .iter()
        .map(|column| column.header.as_str())
        .collect();
    assert_eq!(headers, ["id", "items[].sku", "\"a.b\"[0]", "raw"]);
    assert!(source.columns[3].not_null);
    let Format::Json(options) = &source.format else {
        panic!("{:?}", source.format);
    };
    assert_eq!(
        *options,
        JsonOptions {
            records: Records::Array,
            max_depth: 9,
            empty_array: EmptyArray::Drop,
            as_written: vec![3],
            ..JsonOptions::default()
        }
    );
}

#[test]
fn what_is_wrong_with_paths_is_told() {
    for (json, columns, told) in [
        (
            "json = {}",
            "id = { type = \"int\", header = \"a..b\" }",
            "9:31: sources.s.columns.id.header: \"a..b\" is no path: a name is missing\n  \
             expected: names with dots between them, such as order.customer.id, items[].sku or tags[0]; a name that has a dot in double quotes",
        ),
        (
            "json = {}",
            "id = { type = \"int\", header = \"a[].b[].c\" }",
            "9:31: sources.s.columns.id.header: \"a[].b[].c\" unnests an array in an array\n  \
             expected: one [] in a path: the elements of one array are rows",
        ),
        (
            "json = {}",
            "a = { type = \"int\", header = \"o.items[].a\" }\nb = { type = \"int\", header = \"o.items[].b.c\" }\n\
             c = { type = \"int\", header = \"tags[]\" }",
            "11:30: sources.s.columns.c.header: \"c\" unnests tags[], and \"a\" unnests o.items[]\n  \
             expected: one array for all columns of a source\n  \
             hint: read the files in two sources, one for each array",
        ),
        (
            "json = { max_depth = 1001 }",
            "id = \"int\"",
            "7:22: sources.s.json.max_depth: 1001 is out of range\n  expected: a whole number from 1 to 1000",
        ),
        (
            "json = { records = \"line\" }",
            "id = \"int\"",
            "7:20: sources.s.json.records: \"line\" is not one of its values\n  expected: lines, array, objects",
        ),
        (
            "csv = {}",
            "id = \"json\"",
            "9:6: sources.s.columns.id.type: \"json\" is not a type",
        ),
    ] {
        let problems = resolved(&job(json, columns)).unwrap_err().to_string();
        assert!(problems.contains(told), "wanted:\n{told}\ngot:\n{problems}");
    }
    // Of other formats a header is a name, whatever it looks like.
    let plain = job("csv = {}", "id = { type = \"int\", header = \"a..b[\" }");
    assert_eq!(
        resolved(&plain).unwrap().sources[0].columns[0].header,
        "a..b["
    );
}
