//! The names an expression may use: which column a written name means, and what to say when it means none or several.
//!
//! Separate from the planner because DataFusion's own resolution neither keeps several qualifiers a column nor says
//! which qualified names would do. Every column gets one display name here, under which the planner knows it, so that
//! messages made further down name columns as people do.

use std::collections::{HashMap, HashSet};

use arrow_schema::DataType;

use super::ExpressionError;
use crate::job::plan::Column;

/// How many known names an error lists at most; more would bury the message.
const MOST_LISTED: usize = 40;

/// Similarity below which a known name is no suggestion; 0.7 keeps `quantty` → `quantity` and drops `rate` → `region`.
const NEAR: f64 = 0.7;

/// The columns of a compiler by name.
#[derive(Debug)]
pub(super) struct Names {
    columns: Vec<NamedColumn>,
    by_name: HashMap<String, Vec<usize>>,
}

/// A column as the planner sees it.
#[derive(Debug)]
pub(super) struct NamedColumn {
    /// Unique: the bare name, or the first qualified one where the bare name is not unique.
    pub(super) display: String,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
    name: String,
    relations: Vec<String>,
}

impl Names {
    pub(super) fn new(columns: &[Column]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (id, column) in columns.iter().enumerate() {
            by_name.entry(column.name.clone()).or_default().push(id);
        }
        let mut taken = HashSet::new();
        let mut named = Vec::with_capacity(columns.len());
        for (id, column) in columns.iter().enumerate() {
            let mut display = match column.relations.first() {
                Some(relation) if by_name[&column.name].len() > 1 => {
                    format!("{relation}.{}", column.name)
                }
                _ => column.name.clone(),
            };
            if !taken.insert(display.clone()) {
                display = format!("{display} (column {id})");
                taken.insert(display.clone());
            }
            named.push(NamedColumn {
                display,
                data_type: column.data_type.clone(),
                nullable: column.nullable,
                name: column.name.clone(),
                relations: column.relations.clone(),
            });
        }
        Self {
            columns: named,
            by_name,
        }
    }

    pub(super) fn column(&self, id: usize) -> &NamedColumn {
        &self.columns[id]
    }

    /// The column that a name of one or two parts means. `quoted` says that its last part stood in double quotes.
    pub(super) fn resolve(&self, parts: &[&str], quoted: bool) -> Result<usize, ExpressionError> {
        match parts {
            [name] => match self.by_name.get(*name).map_or(&[][..], Vec::as_slice) {
                [id] => Ok(*id),
                [] => Err(self.unknown(name, quoted)),
                several => Err(self.ambiguous(name, several)),
            },
            [relation, name] => {
                let found = self.by_name.get(*name).into_iter().flatten();
                let mut found = found.copied().filter(|id| {
                    self.columns[*id]
                        .relations
                        .iter()
                        .any(|known| known == relation)
                });
                found
                    .next()
                    .ok_or_else(|| self.unknown(&format!("{relation}.{name}"), false))
            }
            _ => Err(ExpressionError {
                message: format!("name {:?} has too many parts", parts.join(".")),
                expected: Some(
                    "a column, or its source or look-up, a dot and the column".to_owned(),
                ),
                hint: Some("put a name that contains dots in double quotes".to_owned()),
            }),
        }
    }

    fn ambiguous(&self, name: &str, ids: &[usize]) -> ExpressionError {
        let candidates: Vec<String> = ids.iter().flat_map(|id| self.qualified(*id)).collect();
        ExpressionError {
            message: format!("column name {name:?} is not unique"),
            expected: Some(candidates.join(", ")),
            hint: candidates
                .first()
                .map(|first| format!("qualify it, such as {first}")),
        }
    }

    fn unknown(&self, name: &str, quoted: bool) -> ExpressionError {
        let known = self.columns.iter().enumerate().flat_map(|(id, column)| {
            let bare = (self.by_name[&column.name].len() == 1).then(|| column.name.clone());
            bare.into_iter().chain(self.qualified(id))
        });
        let hint = match nearest(name, known) {
            Some(near) => Some(format!("did you mean {near:?}?")),
            None if quoted => Some(format!("text stands in single quotes: '{name}'")),
            None => None,
        };
        ExpressionError {
            message: format!("{name:?} is not a known column"),
            expected: Some(self.listed()),
            hint,
        }
    }

    fn qualified(&self, id: usize) -> Vec<String> {
        let column = &self.columns[id];
        if column.relations.is_empty() {
            return vec![column.name.clone()];
        }
        column
            .relations
            .iter()
            .map(|relation| format!("{relation}.{}", column.name))
            .collect()
    }

    fn listed(&self) -> String {
        if self.columns.is_empty() {
            return "no columns are known here".to_owned();
        }
        let mut list: Vec<&str> = self
            .columns
            .iter()
            .take(MOST_LISTED)
            .map(|column| column.display.as_str())
            .collect();
        if self.columns.len() > MOST_LISTED {
            list.push("…");
        }
        list.join(", ")
    }
}

/// The known word most like `word`, where one is near enough; case counts for nothing.
pub(super) fn nearest(word: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let word = word.to_lowercase();
    let mut best: Option<(f64, String)> = None;
    for candidate in known {
        let similarity = strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase());
        if similarity >= NEAR && best.as_ref().is_none_or(|(most, _)| similarity > *most) {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
