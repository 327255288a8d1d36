//! Messages for people: DataFusion's and Arrow's errors in the words of job files.
//!
//! Their texts carry prefixes, type names and advice of another program; what is left here is one line, in lower case,
//! with the types called as the job calls them.

use std::borrow::Cow;

use arrow_schema::{ArrowError, DataType};
use datafusion_common::DataFusionError;
use datafusion_sql::sqlparser::parser::ParserError;

use super::ExpressionError;

/// Start of the messages of rows whose value does not fit its type.
pub(crate) const OVERFLOW: &str = "overflow";

/// What the job calls a type.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "varchar".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => in_our_words(&other.to_string().to_lowercase()).into_owned(),
    }
}

/// An error of the parser.
pub(super) fn parsing(error: &ParserError) -> ExpressionError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "too deeply nested",
    };
    let text = text
        .replace("Line: 1, Column: ", "column ")
        .replace("Line: ", "line ")
        .replace(", Column: ", ", column ");
    let Some((expected, found)) = text
        .strip_prefix("Expected: ")
        .and_then(|rest| rest.split_once(", found: "))
    else {
        return ExpressionError {
            message: one_line(&text),
            expected: None,
            hint: None,
        };
    };
    let found = found.replace("EOF", "the end");
    ExpressionError {
        message: format!(
            "expected {}, found {}",
            lower_first(expected),
            one_line(&found)
        ),
        expected: Some(lower_first(expected)),
        hint: None,
    }
}

/// Signs of a text that only DataFusion's own developers can use.
const INTERNAL: [&str; 6] = [
    "ExprPlanner",
    "sqltorel",
    "physical plan",
    " { ",
    "DataFusion",
    "ast node",
];

/// An error of planning.
pub(super) fn planning(error: &DataFusionError) -> ExpressionError {
    let message = one_line(&message(error));
    if INTERNAL.iter().any(|sign| message.contains(sign)) {
        return ExpressionError {
            message: "this form of expression can't be used here".to_owned(),
            expected: None,
            hint: None,
        };
    }
    if let Some(operation) = undefined(&message) {
        return ExpressionError {
            message: format!("{operation} is not defined"),
            expected: None,
            hint: Some("cast one side to the type of the other, such as cast(x as int)".to_owned()),
        };
    }
    let hint = message
        .contains("no function matches")
        .then(|| "cast a value to the type that is wanted, such as cast(x as int)".to_owned());
    ExpressionError {
        message,
        expected: None,
        hint,
    }
}

/// The operation, in types, that planning found no meaning for.
fn undefined(message: &str) -> Option<&str> {
    for start in [
        "cannot infer common argument type for comparison operation ",
        "cannot infer common argument type for logical boolean operation ",
    ] {
        if let Some(operation) = message.strip_prefix(start) {
            return Some(operation);
        }
    }
    message
        .strip_prefix("cannot coerce arithmetic expression ")?
        .strip_suffix(" to valid types")
}

/// Why a row has no value.
pub(super) fn failure(error: &DataFusionError) -> String {
    if let DataFusionError::ArrowError(arrow, _) = error.find_root() {
        match arrow.as_ref() {
            ArrowError::DivideByZero => return "division by zero".to_owned(),
            ArrowError::ArithmeticOverflow(_) => {
                return format!("{OVERFLOW}: the result does not fit its type");
            }
            _ => {}
        }
    }
    let text = one_line(&message(error));
    if text.starts_with("can't cast value")
        || text.contains("too large")
        || text.contains("too small")
        || text.contains("overflow")
    {
        return format!("{OVERFLOW}: {text}");
    }
    text
}

fn message(error: &DataFusionError) -> String {
    let root = error.find_root();
    match root {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::CastError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ComputeError(text)
            | ArrowError::InvalidArgumentError(text)
            | ArrowError::SchemaError(text)
            | ArrowError::NotYetImplemented(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.message().into_owned(),
    }
}

/// The first sentence of a text, in the job's words.
fn one_line(text: &str) -> String {
    let mut text = text.lines().next().unwrap_or_default().trim();
    if let Some((_, cause)) = text.rsplit_once("failed with: ") {
        text = cause;
    }
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
        "Internal error: ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    for end in [
        " You might need to add explicit type casts",
        ".\u{20}This issue was likely caused",
    ] {
        text = text.split(end).next().unwrap_or(text);
    }
    let escaped: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    lower_first(in_our_words(escaped.trim_end_matches(['.', ' '])).as_ref())
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Arrow's type names, longer ones first.
const TYPES: [(&str, &str); 22] = [
    ("Timestamp(Microsecond, Some(\"UTC\"))", "timestamp"),
    ("Timestamp(µs, \"UTC\")", "timestamp"),
    ("timestamp(µs, \"utc\")", "timestamp"),
    ("Utf8View", "varchar"),
    ("LargeUtf8", "varchar"),
    ("Utf8", "varchar"),
    ("UInt64", "unsigned bigint"),
    ("UInt32", "unsigned int"),
    ("UInt16", "unsigned smallint"),
    ("UInt8", "unsigned tinyint"),
    ("Int64", "bigint"),
    ("Int32", "int"),
    ("Int16", "smallint"),
    ("Int8", "tinyint"),
    ("Float64", "double"),
    ("Float32", "real"),
    ("Decimal128(", "decimal("),
    ("Decimal256(", "decimal("),
    ("Decimal128 of", "decimal of"),
    ("Boolean", "boolean"),
    ("Date32", "date"),
    ("Date64", "date"),
];

fn in_our_words(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (theirs, ours) in TYPES {
        if text.contains(theirs) {
            text = Cow::Owned(text.replace(theirs, ours));
        }
    }
    text
}
