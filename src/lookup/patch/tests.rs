//! A patched snapshot against one that is made of all rows.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, DictionaryArray, Int32Array, StringArray};
use proptest::prelude::*;

use super::super::block::BlockBuilder;
use super::super::load::schema;
use super::*;
use crate::job::resolve::plan_of;

/// Keys of three kinds: a number, a text, a text of which case does not count, and two columns.
pub(in crate::lookup) const KEYS: [(&str, &str); 4] = [
    ("{ id = \"sales.id\" }", ""),
    ("{ code = \"sales.code\" }", ""),
    ("{ code = \"sales.code\" }", "fold = [\"case\"]"),
    ("{ id = \"sales.id\", code = \"sales.code\" }", ""),
];

pub(in crate::lookup) fn plan((on, more): (&str, &str)) -> LookupPlan {
    let job = format!(
        r#"
format = 1
[job]
name = "patch"
output = "out"
[sources.sales]
files = {{ paths = ["sales.csv"] }}
csv = {{}}
columns = {{ id = "int", code = "varchar" }}
[lookups.table]
on = {on}
{more}
missing = {{ then = "null" }}
files = {{ paths = ["table.csv"] }}
csv = {{}}
columns = {{ name = "varchar", id = "int", code = "varchar" }}
[sinks.rows]
files = {{ path = "rows" }}
parquet = {{}}
"#
    );
    plan_of(&job).lookups.into_iter().next().unwrap()
}

/// Rows by key, encoded and in order. A spelling of the code is part of the row, not of what tells it apart.
pub(in crate::lookup) fn encoded(plan: &LookupPlan, table: &BTreeMap<u8, (u8, bool)>) -> Vec<Row> {
    let id: Int32Array = table.keys().map(|key| Some(i32::from(*key))).collect();
    let code: StringArray = table
        .iter()
        .map(|(key, (_, upper))| Some(spelled(plan, *key, *upper)))
        .collect();
    let name: StringArray = table
        .values()
        .map(|(name, _)| (*name > 0).then(|| format!("name{name}")))
        .collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(name), Arc::new(id), Arc::new(code)];
    assert_eq!(columns.len(), schema(plan).fields().len());
    let rows = Layout::new(plan).unwrap().encode(&columns).unwrap();
    let mut block = BlockBuilder::default();
    for row in &rows {
        block.push(row.data());
    }
    let mut rows: Vec<Row> = block
        .take()
        .map(|block| block.rows().collect())
        .unwrap_or_default();
    rows.sort();
    rows
}

fn spelled(plan: &LookupPlan, key: u8, upper: bool) -> String {
    if upper && plan.fold.is_some() {
        format!("CODE{key}")
    } else {
        format!("code{key}")
    }
}

/// What each of the keys asked for finds, as text.
fn found(snapshot: &Snapshot, keys: &[ArrayRef]) -> Vec<Vec<Option<String>>> {
    let found = snapshot.find(keys, None).unwrap();
    let rows: UInt32Array = found
        .iter()
        .map(|row| (*row != NONE).then_some(*row))
        .collect();
    (0..3)
        .map(|position| {
            let column = text::to_plain(&snapshot.gather(position, &rows).unwrap());
            let column = arrow_cast::cast(&column, &arrow_schema::DataType::Utf8).unwrap();
            let column = column.as_string::<i32>();
            column.iter().map(|text| text.map(str::to_owned)).collect()
        })
        .collect()
}

pub(in crate::lookup) fn table() -> impl Strategy<Value = BTreeMap<u8, (u8, bool)>> {
    proptest::collection::btree_map(0..40_u8, (0..5_u8, any::<bool>()), 0..40)
}

proptest! {
    #[test]
    fn what_is_patched_finds_what_is_there(
        before in table(),
        now in table(),
        kind in 0..4_usize,
        asked in proptest::collection::vec((0..45_u8, any::<bool>()), 0..60),
    ) {
        let plan = plan(KEYS[kind]);
        let needed = vec![true; plan.reference.len()];
        let (old, new) = (encoded(&plan, &before), encoded(&plan, &now));
        let mut touched: Vec<&Row> = old.iter().filter(|row| !new.contains(row)).collect();
        touched.extend(new.iter().filter(|row| !old.contains(row)));
        touched.sort();
        let present: Vec<Row> = touched.iter().filter(|row| new.contains(row)).map(|row| Row::clone(row)).collect();
        let base = Snapshot::new(&plan, &needed, Some(0), &old).unwrap().base;
        let patched = Snapshot::patched(&plan, &needed, Some(1), base, &touched, &present).unwrap();
        let whole = Snapshot::new(&plan, &needed, Some(1), &new).unwrap();
        prop_assert_eq!(patched.len(), whole.len());

        let ids: Int32Array = asked.iter().map(|(key, _)| (*key > 0).then_some(i32::from(*key))).collect();
        let codes: Vec<String> = asked.iter().map(|(key, upper)| spelled(&plan, *key, *upper)).collect();
        let plain: ArrayRef = Arc::new(StringArray::from_iter_values(&codes));
        let coded: ArrayRef = Arc::new(codes.iter().map(String::as_str).collect::<DictionaryArray<Int32Type>>());
        for codes in [plain, coded] {
            let ids: ArrayRef = Arc::new(ids.clone());
            let keys = match kind {
                0 => vec![ids],
                1 | 2 => vec![codes],
                _ => vec![ids, codes],
            };
            prop_assert_eq!(keys[0].len(), asked.len());
            prop_assert_eq!(found(&patched, &keys), found(&whole, &keys));
        }
    }
}
