//! Elements that are rows.

use super::*;
use crate::job::plan::EmptyArray;

fn columns() -> Vec<SourceColumn> {
    let mut columns = vec![
        at(0, "id", ColumnType::Int),
        at(1, "o.items[].sku", ColumnType::Varchar),
        at(2, "o.items[].qty", ColumnType::Int),
        at(3, "region", ColumnType::Varchar),
    ];
    columns[3].not_null = true;
    columns
}

const TEXT: &[u8] = b"{\"id\":1,\"o\":{\"items\":[{\"sku\":\"A\",\"qty\":1},{\"sku\":\"B\",\"qty\":\"x\"},{\"qty\":3}]},\"region\":\"N\"}\n\
    {\"id\":2,\"o\":{\"items\":[]},\"region\":\"S\"}\n\
    {\"region\":\"W\",\"o\":null,\"id\":3}\n\
    {\"id\":4,\"region\":\"E\"}\n\
    {\"id\":5,\"o\":{\"items\":{\"sku\":\"A\"}},\"region\":\"E\"}\n\
    {\"id\":6,\"o\":{\"items\":[7,null,{\"sku\":\"C\"}]},\"region\":null}\n\
    {\"id\":7,\"o\":{\"items\":[{\"sku\":\"D\"},{\"sku\":\"E\"}]},\"o\":1,\"region\":\"E\"}\n\
    {\"id\":8,\"o\":{\"items\":[{\"sku\":\"D\"},{\"sku\":\"E\",}]},\"region\":\"E\"}\n\
    {\"id\":9,\"o\":{\"items\":[{\"sku\":\"F\",\"sku\":\"G\"},{\"sku\":\"H\"}]},\"region\":\"E\"}";

#[test]
fn each_element_is_a_row_with_what_its_record_has() {
    let columns = columns();
    let draft = decode(TEXT, &columns, &JsonOptions::default());
    assert_eq!(
        rows(&draft),
        [
            "1|A|1|N", "1|B|-|N", "1|-|3|N", "2|-|-|S", "3|-|-|W", "4|-|-|E", "5|-|-|E", "6|-|-|-",
            "6|-|-|-", "6|C|-|-", "7|-|-|E", "-|-|-|-", "9|-|-|E", "9|H|-|E",
        ]
    );
    let mut faults = faults_of(&draft);
    faults.sort_by_key(|fault| fault.split(' ').next().unwrap().parse::<usize>().unwrap());
    assert_eq!(
        faults,
        [
            "1 wrong_type [1] x",
            "6 wrong_type {\"sku\":\"A\"}",
            "6 wrong_type {\"sku\":\"A\"}",
            "7 wrong_type [0] 7",
            "7 wrong_type [0] 7",
            "7 missing_value ",
            "8 missing_value ",
            "9 missing_value ",
            "10 duplicate_key 1",
            "10 duplicate_key 1",
            "11 invalid_json byte 45: the name of a member belongs here: }]},\"region\":\"E\"}",
            "12 duplicate_key [0] G",
        ]
    );
    // Quarantine finds the element again, and keeps the whole record.
    let format = Format::Json(JsonOptions::default());
    let kept = crate::decode::text_columns(&draft, &[1, 2, 9], &columns, &format);
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(shown(&kept[1]), [of("B"), None, of("C")]);
    assert_eq!(shown(&kept[2]), [of("x"), of("3"), None]);
    let (raw, place) = crate::decode::raw_and_place(&draft, 2, &format);
    assert_eq!(
        raw.as_bytes(),
        TEXT.split(|byte| *byte == b'\n').next().unwrap()
    );
    assert_eq!((place.line, place.byte), (2, 100));
}

#[test]
fn records_without_elements_are_dropped_where_the_source_says_so() {
    let options = JsonOptions {
        empty_array: EmptyArray::Drop,
        ..JsonOptions::default()
    };
    let draft = decode(TEXT, &columns(), &options);
    assert_eq!(
        rows(&draft),
        [
            "1|A|1|N", "1|B|-|N", "1|-|3|N", "5|-|-|E", "6|-|-|-", "6|-|-|-", "6|C|-|-", "7|-|-|E",
            "-|-|-|-", "9|-|-|E", "9|H|-|E",
        ]
    );
    assert_eq!(draft.dropped.empty_arrays, 3);
}

#[test]
fn elements_that_are_values_are_rows_too() {
    let columns = texts(&["id", "tags[]", "tags[0]"]);
    let text = b"{\"id\":1,\"tags\":[\"a\",\"b\",null]}\n{\"tags\":[\"c\"],\"id\":2}";
    let draft = decode(text, &columns, &JsonOptions::default());
    assert_eq!(rows(&draft), ["1|a|a", "1|b|a", "1|-|a", "2|c|c"]);
    assert_eq!(faults_of(&draft), [""; 0]);
}

#[test]
fn a_record_of_many_elements_is_all_rows() {
    let elements: Vec<String> = (0..30_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let text = format!(
        "{{\"id\":1,\"e\":[{}]}}\n{{\"id\":2,\"e\":[{{\"n\":7}}]}}",
        elements.join(",")
    );
    let columns = [
        at(0, "id", ColumnType::Int),
        at(1, "e[].n", ColumnType::Int),
    ];
    let rows = rows(&decode(text.as_bytes(), &columns, &JsonOptions::default()));
    assert_eq!(rows.len(), 30_001);
    assert_eq!(
        (rows[29_999].as_str(), rows[30_000].as_str()),
        ("1|29999", "2|7")
    );
}
