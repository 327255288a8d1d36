//! Which column of a self-describing file goes to which column of its source: by name, or by a path of names into structs.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, make_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema};

use crate::decode::HeaderError;
use crate::job::plan::SourceColumn;
use crate::job::problems::nearest;

/// How a self-describing file and its source differ where both can still be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bound {
    /// Optional columns that the file lacks, each with the nearest name the file has.
    pub missing: Vec<(String, Option<String>)>,
    /// Columns of the file that nobody asked for.
    pub extra: Vec<String>,
}

/// Binds a file's columns to its source's by name. A column's `header` is the name of one, or a path into structs (`customer.id`) where no
/// column has the whole name.
///
/// What the file has beyond is left unread. An optional column that it lacks is null in all its rows.
///
/// # Errors
/// Columns are missing; a column is in the file twice; a column is a list, a map or a struct.
pub fn bind_schema(columns: &[SourceColumn], schema: &Schema) -> Result<Bound, HeaderError> {
    let fields = schema.fields();
    let is_wanted = |name: &str| {
        columns
            .iter()
            .any(|column| root_of(schema, &column.header) == Some(name))
    };
    let extra: Vec<String> = fields
        .iter()
        .map(|field| field.name().clone())
        .filter(|name| !is_wanted(name))
        .collect();
    let near = |column: &SourceColumn| {
        let free = extra.iter().map(String::as_str);
        nearest(&column.header, free).map(str::to_owned)
    };
    let mut needed: Vec<&SourceColumn> = Vec::new();
    let mut missing = Vec::new();
    for column in columns {
        let Some(field) = field_at(schema, &column.header) else {
            if column.optional {
                missing.push((column.header.clone(), near(column)));
            } else {
                needed.push(column);
            }
            continue;
        };
        let root = root_of(schema, &column.header);
        let times = fields
            .iter()
            .filter(|field| Some(field.name().as_str()) == root)
            .count();
        if times > 1 {
            return Err(HeaderError::Duplicate {
                name: root.unwrap_or_default().to_owned(),
                times,
            });
        }
        if let Some(what) = nested(field.data_type()) {
            return Err(HeaderError::Nested {
                name: column.header.clone(),
                what,
            });
        }
    }
    if !needed.is_empty() {
        return Err(HeaderError::Missing {
            columns: needed.iter().map(|column| column.header.clone()).collect(),
            written: None,
            hints: needed.into_iter().map(near).collect(),
        });
    }
    Ok(Bound { missing, extra })
}

/// What a type is that holds more than one value.
fn nested(data_type: &DataType) -> Option<&'static str> {
    use DataType as D;
    match data_type {
        D::Struct(_) => Some("a struct"),
        D::Map(..) => Some("a map"),
        D::Union(..) => Some("a union"),
        D::Dictionary(_, values) => nested(values),
        other if other.is_nested() => Some("a list"),
        _ => None,
    }
}

/// The column of the file that `header` begins at.
pub(crate) fn root_of<'a>(schema: &'a Schema, header: &str) -> Option<&'a str> {
    let whole = schema.fields().iter().find(|field| field.name() == header);
    let field = whole.or_else(|| {
        let (root, path) = header.split_once('.')?;
        let field = schema.fields().iter().find(|field| field.name() == root)?;
        below(field, path)?;
        Some(field)
    })?;
    Some(field.name())
}

fn field_at<'a>(schema: &'a Schema, header: &str) -> Option<&'a Field> {
    let whole = schema.fields().iter().find(|field| field.name() == header);
    if let Some(field) = whole {
        return Some(field);
    }
    let (root, path) = header.split_once('.')?;
    below(
        schema.fields().iter().find(|field| field.name() == root)?,
        path,
    )
}

fn below<'a>(field: &'a Field, path: &str) -> Option<&'a Field> {
    let DataType::Struct(members) = field.data_type() else {
        return None;
    };
    if let Some(member) = members.iter().find(|member| member.name() == path) {
        return Some(member);
    }
    let (name, rest) = path.split_once('.')?;
    below(members.iter().find(|member| member.name() == name)?, rest)
}

/// The values that `header` leads to: null where a struct on the way is.
pub(crate) fn values_at(batch: &RecordBatch, header: &str) -> Option<ArrayRef> {
    if let Some(values) = batch.column_by_name(header) {
        return Some(Arc::clone(values));
    }
    let (root, path) = header.split_once('.')?;
    member_at(batch.column_by_name(root)?, path)
}

fn member_at(parent: &ArrayRef, path: &str) -> Option<ArrayRef> {
    let parent = parent.as_struct_opt()?;
    let (member, rest) = match (parent.column_by_name(path), path.split_once('.')) {
        (Some(member), _) => (member, None),
        (None, Some((name, rest))) => (parent.column_by_name(name)?, Some(rest)),
        (None, None) => return None,
    };
    let member = match (parent.nulls(), member.data_type()) {
        (Some(_), DataType::Null) | (None, _) => Arc::clone(member),
        (Some(nulls), _) => {
            let nulls = NullBuffer::union(Some(nulls), member.nulls());
            let data = member.to_data().into_builder().nulls(nulls);
            make_array(data.build().ok()?)
        }
    };
    match rest {
        None => Some(member),
        Some(rest) => member_at(&member, rest),
    }
}
