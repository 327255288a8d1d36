//! Paths into JSON records: `order.customer.id`, `tags[0]`, `"net.price"`, `items[].sku`.
//!
//! A path is steps from the record inwards. Its text is a column's `header`; both the job's resolver and the decoder read
//! it here, so that there is one grammar.

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of an object with this name.
    Member(String),
    /// The element of an array at this place, from 0.
    Element(usize),
    /// Every element of an array: each becomes a row.
    Each,
}

/// Largest index of an array; what is beyond is a slip of the pen.
const MOST_ELEMENTS: usize = 1_000_000;

/// Reads a path.
///
/// Names are separated by dots. A name in double quotes may hold anything: `"net.price"`; within quotes `""` is one quote.
/// `[3]` is an element of an array and `[]` all of them.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn read_path(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        // 1. A name, where one may stand.
        let named = steps.is_empty() || rest.starts_with('.');
        if named {
            rest = if steps.is_empty() { rest } else { &rest[1..] };
            let (name, after) = read_name(rest)?;
            steps.push(Step::Member(name));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            // 2. An index, or all of them.
            let Some((index, after)) = inner.split_once(']') else {
                return Err(String::from("a `[` is not closed"));
            };
            steps.push(if index.is_empty() {
                Step::Each
            } else {
                let place = index.parse().ok().filter(|_| is_digits(index));
                match place.filter(|place| *place <= MOST_ELEMENTS) {
                    Some(place) => Step::Element(place),
                    None => return Err(format!("[{index}] is no index of an array")),
                }
            });
            rest = after;
        } else {
            return Err(String::from(
                "a name is followed by something else than `.` or `[`",
            ));
        }
        if rest.is_empty() {
            return Ok(steps);
        }
    }
}

/// The steps up to and with the first `[]`, where there is one.
pub fn unnested(steps: &[Step]) -> Option<&[Step]> {
    let at = steps.iter().position(|step| *step == Step::Each)?;
    Some(&steps[..=at])
}

/// A path as text, as [`read_path`] reads it.
pub fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Member(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                if name.is_empty() || name.contains(['.', '[', ']', '"']) {
                    text.push('"');
                    text.push_str(&name.replace('"', "\"\""));
                    text.push('"');
                } else {
                    text.push_str(name);
                }
            }
            Step::Element(place) => {
                text.push('[');
                text.push_str(&place.to_string());
                text.push(']');
            }
            Step::Each => text.push_str("[]"),
        }
    }
    text
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name at the beginning of `text`, and what follows it.
fn read_name(text: &str) -> Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        if name.is_empty() {
            return Err(String::from("a name is missing"));
        }
        if name.contains([']', '"']) {
            return Err(format!("{name} must be quoted"));
        }
        return Ok((name.to_owned(), after));
    };
    let mut name = String::new();
    loop {
        let Some((piece, after)) = rest.split_once('"') else {
            return Err(String::from("a quote is not closed"));
        };
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Ok((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn paths_are_read_and_written() {
        for (text, steps) in [
            ("id", vec![member("id")]),
            ("unit price", vec![member("unit price")]),
            (
                "order.customer.id",
                vec![member("order"), member("customer"), member("id")],
            ),
            ("tags[0]", vec![member("tags"), Step::Element(0)]),
            (
                "order.items[].sku",
                vec![member("order"), member("items"), Step::Each, member("sku")],
            ),
            (
                "m[12][].x[3]",
                vec![
                    member("m"),
                    Step::Element(12),
                    Step::Each,
                    member("x"),
                    Step::Element(3),
                ],
            ),
            (
                "\"net.price\".\"say \"\"x\"\"\".\"\"",
                vec![member("net.price"), member("say \"x\""), member("")],
            ),
        ] {
            assert_eq!(read_path(text), Ok(steps.clone()), "{text}");
            assert_eq!(path_text(&steps), text);
        }
    }

    #[test]
    fn what_is_no_path_is_told() {
        for (text, told) in [
            ("", "a name is missing"),
            ("a.", "a name is missing"),
            ("a..b", "a name is missing"),
            (".a", "a name is missing"),
            ("[0]", "a name is missing"),
            ("a[", "a `[` is not closed"),
            ("a[x]", "[x] is no index of an array"),
            ("a[-1]", "[-1] is no index of an array"),
            ("a[+1]", "[+1] is no index of an array"),
            (
                "a[99999999999999999999]",
                "[99999999999999999999] is no index of an array",
            ),
            (
                "a[0]b",
                "a name is followed by something else than `.` or `[`",
            ),
            (
                "\"a\"b",
                "a name is followed by something else than `.` or `[`",
            ),
            ("\"a", "a quote is not closed"),
            ("a]b", "a]b must be quoted"),
            ("a\"b", "a\"b must be quoted"),
        ] {
            assert_eq!(read_path(text), Err(told.to_owned()), "{text}");
        }
    }
}
