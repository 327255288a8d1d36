//! The JSON Schema of the job file, and the same as the shapes that the walk over a file compares with.
//!
//! Both come from the structs of `spec`, so that a key exists once. The schema is for editors; it also carries what derives
//! can't say to serde: ranges, and groups of tables of which exactly one must be there.

use std::collections::HashSet;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value};

use crate::job::spec::Spec;

/// What a value of the job file may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Any string.
    Text,
    /// One of these strings.
    Words(Vec<String>),
    /// A whole number.
    Integer(Range),
    /// A number.
    Number(Range),
    /// True or false.
    Boolean,
    /// An array.
    List(Box<Shape>),
    /// A table whose keys the user chooses.
    Names(Box<Shape>),
    /// A table with these keys and no others.
    Table(TableShape),
    /// A string, or this table.
    TextOr(TableShape),
    /// A string, or a table whose keys the user chooses.
    TextOrNames(Box<Shape>),
}

/// Bounds of a number, both inclusive.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Range {
    pub(super) least: Option<f64>,
    pub(super) most: Option<f64>,
}

/// The keys of a table.
#[derive(Debug)]
pub(super) struct TableShape {
    /// All keys, in the order of the reference.
    pub(super) keys: Vec<(String, Shape)>,
    /// Those that must be there.
    pub(super) required: HashSet<String>,
    /// Groups of which exactly one key must be there.
    pub(super) groups: Vec<Group>,
}

/// Keys of which exactly one must be there.
#[derive(Debug)]
pub(super) struct Group {
    /// What they are called together, e.g. `transport`.
    pub(super) title: String,
    pub(super) keys: Vec<String>,
}

impl TableShape {
    /// The shape of a key's value.
    pub(super) fn get(&self, key: &str) -> Option<&Shape> {
        self.keys
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, shape)| shape)
    }

    /// All keys, as a list for messages.
    pub(super) fn listed(&self) -> String {
        if self.keys.is_empty() {
            return "no keys".to_owned();
        }
        let keys: Vec<&str> = self.keys.iter().map(|(key, _)| key.as_str()).collect();
        keys.join(", ")
    }
}

impl Shape {
    /// The shape of a whole job file. Takes some 100 µs.
    pub(super) fn of_job() -> Self {
        let schema = job_schema();
        let none = Map::new();
        let definitions = schema
            .get("$defs")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        Self::of(schema.as_value(), definitions)
    }

    /// Reads the subset of JSON Schema that the structs of `spec` give; a test walks all of it.
    fn of(schema: &Value, definitions: &Map<String, Value>) -> Self {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return Self::of(&definitions[name], definitions);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            return Self::Words(
                choices
                    .iter()
                    .filter_map(|choice| text(&choice["const"]))
                    .collect(),
            );
        }
        if let Some(words) = schema["enum"].as_array() {
            return Self::Words(words.iter().filter_map(text).collect());
        }
        if let Some([_, table]) = schema["anyOf"].as_array().map(Vec::as_slice) {
            return match Self::of(table, definitions) {
                Self::Table(table) => Self::TextOr(table),
                Self::Names(value) => Self::TextOrNames(value),
                other => unreachable!("a choice is between a string and a table, not {other:?}"),
            };
        }
        let range = || Range {
            least: schema["minimum"].as_f64(),
            most: schema["maximum"].as_f64(),
        };
        match schema["type"].as_str() {
            Some("string") => {
                text(&schema["const"]).map_or(Self::Text, |word| Self::Words(vec![word]))
            }
            Some("integer") => Self::Integer(range()),
            Some("number") => Self::Number(range()),
            Some("boolean") => Self::Boolean,
            Some("array") => Self::List(Box::new(Self::of(&schema["items"], definitions))),
            Some("object") if schema["additionalProperties"].is_object() => Self::Names(Box::new(
                Self::of(&schema["additionalProperties"], definitions),
            )),
            Some("object") => Self::Table(TableShape::of(schema, definitions)),
            other => unreachable!("the job's schema has a value of type {other:?}"),
        }
    }

    /// What would be right, for messages.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Words(words) => words.join(", "),
            Self::Integer(range) => range.words("a whole number"),
            Self::Number(range) => range.words("a number"),
            Self::Boolean => "true or false".to_owned(),
            Self::List(item) => match **item {
                Self::Text => "an array of strings".to_owned(),
                _ => "an array".to_owned(),
            },
            Self::Names(value) => match **value {
                Self::Text => "a table of names and strings".to_owned(),
                _ => "a table with one entry for each name".to_owned(),
            },
            Self::Table(table) => format!("a table with {}", table.listed()),
            Self::TextOr(table) => format!("a string, or a table with {}", table.listed()),
            Self::TextOrNames(value) => {
                format!(
                    "a string, or a table of names, each with {}",
                    value.expected()
                )
            }
        }
    }
}

impl TableShape {
    fn of(schema: &Value, definitions: &Map<String, Value>) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let keys = schema["properties"].as_object().into_iter().flatten();
        let groups = list(&schema["allOf"]);
        Self {
            keys: keys
                .map(|(key, value)| (key.clone(), Shape::of(value, definitions)))
                .collect(),
            required: list(&schema["required"]).iter().filter_map(text).collect(),
            groups: groups
                .iter()
                .map(|group| Group {
                    title: text(&group["title"]).unwrap_or_default(),
                    keys: list(&group["oneOf"])
                        .iter()
                        .filter_map(|one| text(&one["required"][0]))
                        .collect(),
                })
                .collect(),
        }
    }
}

impl Range {
    /// Whether it holds the number; NaN is in no range.
    pub(super) fn holds(self, number: f64) -> bool {
        !number.is_nan()
            && self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
    }

    fn words(self, kind: &str) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) if least >= most => least.to_string(),
            (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
            (Some(least), None) => format!("{kind}, at least {least}"),
            (None, Some(most)) => format!("{kind}, at most {most}"),
            (None, None) => kind.to_owned(),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The JSON Schema of the job file (draft 2020-12), for editors, as text with a final newline. It is
/// `jobs/caudal.schema.json` in the repository.
pub fn schema() -> String {
    format!("{:#}\n", job_schema().as_value())
}

fn job_schema() -> Schema {
    SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(in_one_line))
        .into_generator()
        .into_root_schema_for::<Spec>()
}

/// TOML has no null: an optional value is there or not.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                // The description of the field is nearer than that of its type.
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
}

/// Descriptions are doc comments, broken where the source line ended.
fn in_one_line(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use super::schema;

    #[test]
    fn the_schema_in_the_repository_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/caudal.schema.json");
        if env::var_os("CAUDAL_REWRITE").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, schema()).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == schema(),
            "jobs/caudal.schema.json is not current: run the tests with CAUDAL_REWRITE=1"
        );
    }

    #[test]
    fn nothing_in_the_schema_is_null() {
        assert!(
            !schema().contains("null\"\n"),
            "an optional value is there or not"
        );
    }
}
