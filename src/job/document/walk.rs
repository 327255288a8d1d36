//! The walk over a parsed job file: finds every fault that the schema knows, and repairs what it can so that reading goes on.
//!
//! Repairs are for finding more faults only; a file with faults never runs. A misspelt key or word is taken as the nearest one,
//! another unknown key is left out, a number out of range becomes 0. What can't be repaired without making up values (a wrong
//! type, a missing key, two transports) ends reading after the walk.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeString, DeTable, DeValue};

use super::places::Lines;
use super::schema::{Shape, TableShape};
use super::variables::substitute;
use crate::job::problems::{Problem, Problems, SHOWN_CHARS, dotted, nearest, quoted};
use crate::job::secrets::is_secret;

/// The walk's state.
pub(super) struct Walk<'a> {
    /// The text as written.
    pub(super) text: &'a str,
    /// Its lines.
    pub(super) lines: &'a Lines,
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether the text had syntax errors: then what is missing may stand in what could not be parsed.
    pub(super) partial: bool,
    /// Keys down to where the walk is.
    pub(super) path: Vec<String>,
    /// Every fault so far.
    pub(super) problems: Problems,
    /// Whether a fault was found that reading can't go on after.
    pub(super) unreadable: bool,
}

impl<'i> Walk<'_> {
    /// Walks a value and puts its variables in.
    pub(super) fn value(&mut self, shape: &Shape, value: &mut Spanned<DeValue<'i>>) {
        let start = value.span().start;
        if let DeValue::String(text) = value.get_mut() {
            match substitute(text, self.variable) {
                Ok(None) => {}
                Ok(Some(with_values)) => *text = Cow::Owned(with_values),
                Err(fault) => {
                    let what = if fault.shows_text && self.is_secret() {
                        "a variable in it can't be put in".to_owned()
                    } else {
                        fault.what
                    };
                    self.report(start, |problem| problem.hint(fault.hint), what);
                    return self.replace_faulty(shape, value);
                }
            }
        }
        match (shape, value.get_mut()) {
            (Shape::Text | Shape::TextOr(_) | Shape::TextOrNames(_), DeValue::String(_))
            | (Shape::Boolean, DeValue::Boolean(_)) => {}
            (Shape::Words(words), DeValue::String(word)) => self.word(words, word, start),
            (Shape::Integer(range) | Shape::Number(range), DeValue::Integer(number)) => {
                let in_range = i64::from_str_radix(number.as_str(), number.radix())
                    .is_ok_and(|number| range.holds(approximately(number)));
                if !in_range {
                    *number = DeInteger::default();
                    self.out_of_range(shape, value);
                }
            }
            (Shape::Number(range), DeValue::Float(number)) => {
                let number_in = number.as_str().parse::<f64>();
                if !number_in.is_ok_and(|number| number.is_finite() && range.holds(number)) {
                    *number = DeFloat::default();
                    self.out_of_range(shape, value);
                }
            }
            (Shape::List(item), DeValue::Array(array)) => {
                for (index, element) in array.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    self.value(item, element);
                    self.path.pop();
                }
            }
            (Shape::Names(item) | Shape::TextOrNames(item), DeValue::Table(entries)) => {
                for (name, entry) in entries.iter_mut() {
                    self.path.push(name.get_ref().to_string());
                    self.value(item, entry);
                    self.path.pop();
                }
            }
            (Shape::Table(keys) | Shape::TextOr(keys), DeValue::Table(table)) => {
                self.table(keys, table, start);
            }
            _ => self.wrong_type(shape, value),
        }
    }

    /// Walks a table with fixed keys; `start` is where it stands.
    pub(super) fn table(&mut self, shape: &TableShape, table: &mut DeTable<'i>, start: usize) {
        self.unknown_keys(shape, table);
        for group in &shape.groups {
            let present: Vec<_> = group
                .keys
                .iter()
                .filter_map(|key| table.get_key_value(key.as_str()))
                .map(|(key, _)| key)
                .collect();
            let expected = format!("exactly one of {}", group.keys.join(", "));
            if present.is_empty() {
                if !self.partial {
                    self.report(
                        start,
                        |problem| problem.expected(&expected),
                        format!("has no {}", group.title),
                    );
                }
                self.unreadable = true;
            }
            // In file order: tables with headers of their own may stand in any.
            let mut present: Vec<_> = present
                .iter()
                .map(|key| (key.span().start, key.get_ref()))
                .collect();
            present.sort_unstable();
            for (start, key) in present.into_iter().skip(1) {
                self.path.push(key.to_string());
                let what = format!("is a second {}", group.title);
                self.report(start, |problem| problem.expected(expected.clone()), what);
                self.path.pop();
                self.unreadable = true;
            }
        }
        for (key, value) in &shape.keys {
            if shape.required.contains(key) && !table.contains_key(key.as_str()) {
                if !self.partial {
                    self.path.push(key.clone());
                    self.report(
                        start,
                        |problem| problem.expected(value.expected()),
                        "is missing".to_owned(),
                    );
                    self.path.pop();
                }
                self.unreadable = true;
            }
        }
        for (key, value) in table.iter_mut() {
            if let Some(shape) = shape.get(key.get_ref()) {
                self.path.push(key.get_ref().to_string());
                self.value(shape, value);
                self.path.pop();
            }
        }
    }

    /// Reports unknown keys; takes each as the nearest key, or leaves it out where that one is there already.
    fn unknown_keys(&mut self, shape: &TableShape, table: &mut DeTable<'i>) {
        let unknown: Vec<Spanned<DeString<'i>>> = table
            .keys()
            .filter(|key| shape.get(key.get_ref()).is_none())
            .cloned()
            .collect();
        for key in unknown {
            let Some((key, value)) = table.remove_entry(&key) else {
                continue;
            };
            let word: &str = key.get_ref();
            let meant = nearest(word, shape.keys.iter().map(|(own, _)| own.as_str()));
            let hint = meant
                .map(|near| format!("did you mean {}?", quoted(near)))
                .or_else(|| self.belongs_below(shape, table, word));
            self.path.push(word.to_owned());
            let expected = shape.listed();
            self.report(
                key.span().start,
                |problem| Problem {
                    hint,
                    ..problem.expected(expected)
                },
                "there is no such key".to_owned(),
            );
            self.path.pop();
            if let Some(meant) = meant
                && !table.contains_key(meant)
                && shape
                    .get(meant)
                    .is_some_and(|shape| fits(shape, value.get_ref()))
            {
                table.insert(
                    Spanned::new(key.span(), Cow::Owned(meant.to_owned())),
                    value,
                );
            }
        }
    }

    /// A hint for an option that stands one table too high.
    fn belongs_below(&self, shape: &TableShape, table: &DeTable<'_>, word: &str) -> Option<String> {
        let below = shape.keys.iter().filter(|(_, shape)| match shape {
            Shape::Table(table) => table.get(word).is_some(),
            _ => false,
        });
        let (key, _) = below.min_by_key(|(key, _)| !table.contains_key(key.as_str()))?;
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        path.push(key);
        Some(format!("it is a key of {}", dotted(&path)))
    }

    /// Checks an enumerated word; takes a wrong one as the nearest.
    fn word(&mut self, words: &[String], word: &mut DeString<'i>, start: usize) {
        if words.iter().any(|own| own == word) {
            return;
        }
        let near = nearest(word, words.iter().map(String::as_str));
        let expected = words.join(", ");
        let what = format!("{} is not one of its values", quoted(word));
        self.report(
            start,
            |problem| problem.expected(expected).did_you_mean(word, near),
            what,
        );
        if let Some(word_taken) = near.or(words.first().map(String::as_str)) {
            *word = Cow::Owned(word_taken.to_owned());
        }
    }

    /// After a variable that can't be put in: any word will do where only some are allowed.
    fn replace_faulty(&mut self, shape: &Shape, value: &mut Spanned<DeValue<'i>>) {
        match shape {
            Shape::Text | Shape::TextOr(_) | Shape::TextOrNames(_) => {}
            Shape::Words(words) => {
                *value.get_mut() =
                    DeValue::String(Cow::Owned(words.first().cloned().unwrap_or_default()));
            }
            _ => self.unreadable = true,
        }
    }

    fn out_of_range(&mut self, shape: &Shape, value: &Spanned<DeValue<'_>>) {
        let what = format!("{} is out of range", self.written(value));
        self.report(
            value.span().start,
            |problem| problem.expected(shape.expected()),
            what,
        );
    }

    fn wrong_type(&mut self, shape: &Shape, value: &Spanned<DeValue<'_>>) {
        self.unreadable = true;
        let written = &self.text[value.span().start..];
        let is_header = written.starts_with('[');
        let is_dotted = !is_header && !written.starts_with('{');
        let (what, hint) = match (value.get_ref(), shape) {
            (DeValue::Table(_), Shape::Text) if is_dotted => (
                "is a table, as keys with dots make them".to_owned(),
                Some("put a name with dots in quotes".to_owned()),
            ),
            (DeValue::Table(_), _) => ("is a table".to_owned(), None),
            (DeValue::Array(_), Shape::Table(_) | Shape::Names(_) | Shape::TextOr(_))
                if is_header =>
            {
                (
                    "is an array".to_owned(),
                    Some(format!("for a table write [{}]", dotted(&self.path))),
                )
            }
            (DeValue::Array(_), _) => ("is an array".to_owned(), None),
            (scalar, _) if self.is_secret() => (format!("is {}", kind(scalar)), None),
            (DeValue::String(text), shape) => {
                let hint =
                    matches!(shape, Shape::List(_)).then(|| format!("write [{}]", quoted(text)));
                (format!("{} is a string", quoted(text)), hint)
            }
            (scalar, shape) => {
                let written = self.written(value);
                let hint = matches!(
                    shape,
                    Shape::Text | Shape::TextOr(_) | Shape::TextOrNames(_)
                )
                .then(|| format!("write \"{written}\""));
                (format!("{written} is {}", kind(scalar)), hint)
            }
        };
        self.report(
            value.span().start,
            |problem| Problem {
                hint,
                ..problem.expected(shape.expected())
            },
            what,
        );
    }

    /// Whether what stands here may be a secret, so that no message shows it.
    fn is_secret(&self) -> bool {
        self.path.iter().any(|key| is_secret(key)) || self.path.ends_with(&["options".to_owned()])
    }

    /// A number, boolean, date or time as written in the file, cut like any value.
    fn written(&self, value: &Spanned<DeValue<'_>>) -> String {
        self.text[value.span()].chars().take(SHOWN_CHARS).collect()
    }

    /// Adds a fault at a byte offset, of the path that the walk is at.
    fn report(&mut self, offset: usize, with: impl FnOnce(Problem) -> Problem, what: String) {
        let place = self.lines.place(self.text, offset);
        self.problems
            .push(with(Problem::new(place, dotted(&self.path), what)));
    }
}

/// Whether a value is of the shape's kind, whatever is in it.
fn fits(shape: &Shape, value: &DeValue<'_>) -> bool {
    match shape {
        Shape::Text | Shape::Words(_) => value.is_str(),
        Shape::Integer(_) => value.is_integer(),
        Shape::Number(_) => value.is_integer() || value.is_float(),
        Shape::Boolean => value.is_bool(),
        Shape::List(_) => value.is_array(),
        Shape::Names(_) | Shape::Table(_) => value.is_table(),
        Shape::TextOr(_) | Shape::TextOrNames(_) => value.is_str() || value.is_table(),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A whole number as a double, for comparing with bounds, which are small.
fn approximately(number: i64) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "bounds are small whole numbers"
    )]
    let number = number as f64;
    number
}
