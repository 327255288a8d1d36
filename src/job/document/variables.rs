//! `${VAR}` and `${VAR:-default}` inside strings.
//!
//! They are put in after parsing, so that places stay true and a value can't change the structure of the file. `$${` stands
//! for `${`; any other `$` is itself, as regular expressions need it.

use crate::job::problems::quoted;

/// Why a variable can't be put in: what is wrong, and how to cure it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VariableFault {
    pub(super) what: String,
    pub(super) hint: String,
    /// Whether `what` shows some of the text that the variable stands in.
    pub(super) shows_text: bool,
}

/// The text with its variables put in; `None` where it has none. A variable that is set but empty counts as unset for
/// `:-`, as in the shell. Stops at the first fault.
pub(super) fn substitute(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, VariableFault> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &reference[2..];
            continue;
        }
        result.push_str(before);
        let Some(end) = reference.find('}') else {
            return Err(VariableFault {
                what: format!("{} does not end", quoted(reference)),
                hint: "close it with `}`; write `$${` for the characters `${`".to_owned(),
                shows_text: true,
            });
        };
        let inner = &reference[2..end];
        rest = &reference[end + 1..];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(VariableFault {
                what: format!("{} names no variable", quoted(&reference[..=end])),
                hint: "names have letters, digits and `_`; write `$${` for the characters `${`"
                    .to_owned(),
                shows_text: true,
            });
        }
        match (variable(name), default) {
            (Some(value), None) => result.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => result.push_str(&value),
            (_, Some(default)) => result.push_str(default),
            (None, None) => {
                return Err(VariableFault {
                    what: format!("the environment variable {name} is not set"),
                    hint: format!("set it, or give a default: `${{{name}:-…}}`"),
                    shows_text: false,
                });
            }
        }
    }
    result.push_str(rest);
    Ok(Some(result))
}

/// Whether this can be the name of an environment variable.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_in(text: &str) -> Result<Option<String>, VariableFault> {
        substitute(text, &|name| match name {
            "DATA" => Some("/data".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${DATA}".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_put_in_once() {
        let cases = [
            ("${DATA}/part-*.csv", "/data/part-*.csv"),
            ("${DATA}${DATA}", "/data/data"),
            ("a${EMPTY}b", "ab"),
            ("${NESTED}", "${DATA}"),
            ("${NONE:-x y}", "x y"),
            ("${NONE:-}", ""),
            ("${EMPTY:-x}", "x"),
            ("${DATA:-x}", "/data"),
            ("$${DATA}", "${DATA}"),
            ("$$${DATA}", "$${DATA}"),
            ("€${DATA}€", "€/data€"),
        ];
        for (text, expected) in cases {
            assert_eq!(put_in(text), Ok(Some(expected.to_owned())), "{text}");
        }
        for text in ["", "$1", "^a$", "{}", "$DATA", "10 $"] {
            assert_eq!(put_in(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn unset_unnamed_and_unclosed_variables_are_faults() {
        for (text, what) in [
            ("x${NONE}", "the environment variable NONE is not set"),
            ("${1}", "\"${1}\" names no variable"),
            ("${}", "\"${}\" names no variable"),
            ("${DATA", "\"${DATA\" does not end"),
        ] {
            assert_eq!(put_in(text).unwrap_err().what, what);
        }
    }
}
