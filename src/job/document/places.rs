//! Lines and columns: where each key and value of a job file stands.
//!
//! Kept apart from the parsed tree because that one borrows the text and is used up by reading.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Turns byte offsets of a text into lines and columns.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    /// Byte offset of the start of each line.
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(newlines.map(|(at, _)| at + 1))
            .collect();
        Self { starts }
    }

    /// Line and column, both from 1; columns count characters. An offset inside a character counts as its start.
    pub(super) fn place(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let mut before = &text[start..offset];
        if start == 0 {
            // A byte order mark is no character of the line.
            before = before.strip_prefix('\u{feff}').unwrap_or(before);
        }
        (line, before.chars().count() + 1)
    }
}

/// Where a value stands, its key, and what is in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Byte offset of the key; of an array's element: of its value.
    pub(super) key: usize,
    /// Byte offset of the value; of a table with a header: of the header; of a table that only dotted keys make: of its
    /// key.
    pub(super) value: usize,
    /// Table entries by key, array elements by index.
    children: Vec<(String, Places)>,
}

impl Places {
    /// The places of a whole document.
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        Self {
            key: 0,
            value: 0,
            children: entries(root),
        }
    }

    /// The entry at a path, or else at the longest beginning of the path that there is.
    pub(super) fn find(&self, path: &[&str]) -> &Places {
        let mut found = self;
        for key in path {
            match found.children.iter().find(|(own, _)| own == key) {
                Some((_, child)) => found = child,
                None => break,
            }
        }
        found
    }
}

fn entries(table: &DeTable<'_>) -> Vec<(String, Places)> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let place = Places {
            key: key.span().start,
            value: value.span().start,
            children: children(value.get_ref()),
        };
        (name.to_string(), place)
    };
    table.iter().map(entry).collect()
}

fn children(value: &DeValue<'_>) -> Vec<(String, Places)> {
    match value {
        DeValue::Table(table) => entries(table),
        DeValue::Array(array) => array
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let start = item.span().start;
                (
                    index.to_string(),
                    Places {
                        key: start,
                        value: start,
                        children: children(item.get_ref()),
                    },
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "\u{feff}añb\n\n€uro";
        let lines = Lines::of(text);
        assert_eq!(lines.place(text, 0), (1, 1));
        assert_eq!(lines.place(text, text.find('b').unwrap()), (1, 3));
        assert_eq!(lines.place(text, text.find('b').unwrap() + 2), (2, 1));
        assert_eq!(lines.place(text, text.find('u').unwrap()), (3, 2));
        assert_eq!(lines.place(text, text.len()), (3, 5));
        assert_eq!(lines.place(text, text.len() + 9), (3, 5));
        assert_eq!(Lines::of("").place("", 0), (1, 1));
    }

    #[test]
    fn places_are_found_in_headers_dotted_keys_inline_tables_and_arrays() {
        let text = "\
[a.'ñ']
x.y = 1
'é' = { z = [\"€\", { w = 2 }] }
[[t]]
n = 1
[[t]]
n = 2
";
        let root = DeTable::parse(text).unwrap();
        let places = Places::of(root.get_ref());
        let lines = Lines::of(text);
        let value = |path: &[&str]| lines.place(text, places.find(path).value);
        let key = |path: &[&str]| lines.place(text, places.find(path).key);
        assert_eq!(value(&["a", "ñ"]), (1, 1));
        assert_eq!(key(&["a", "ñ"]), (1, 4));
        assert_eq!(value(&["a", "ñ", "x"]), (2, 1));
        assert_eq!(value(&["a", "ñ", "x", "y"]), (2, 7));
        assert_eq!(key(&["a", "ñ", "x", "y"]), (2, 3));
        assert_eq!(value(&["a", "ñ", "é"]), (3, 7));
        assert_eq!(value(&["a", "ñ", "é", "z", "1", "w"]), (3, 25));
        assert_eq!(value(&["t", "1", "n"]), (7, 5));
        // What isn't there is where it would be.
        assert_eq!(value(&["a", "ñ", "missing", "deeper"]), (1, 1));
        assert_eq!(value(&["t", "7"]), (4, 1));
    }
}
