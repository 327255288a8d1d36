//! Faults of a job file as data: each with its place, what it is, what was expected and how to cure it.
//!
//! The reader of the file and the resolver put theirs into one [`Problems`], so that `caudal check` shows all of them at
//! once and in the order of the file.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many characters of a value a message shows: enough to recognise it, little enough for one line of a terminal.
pub(super) const SHOWN_CHARS: usize = 64;

/// A fault of the job file.
///
/// ```text
/// jobs/ventas.toml:14:12: sources.orders.kafka.start_at: "earlyest" is not one of its values
///   expected: earliest, latest, a time, offsets
///   hint: did you mean "earliest"?
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What it concerns, by dotted path (see [`dotted`]); empty where the text is not TOML.
    pub path: String,
    /// What is wrong, without the path, in lower case and without a final period; values through [`quoted`].
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What happens now, where that is more than "nothing is started".
    pub now: Option<String>,
    /// How to cure it.
    pub hint: Option<String>,
}

impl Problem {
    /// A fault at a line and column.
    pub fn new(
        (line, column): (usize, usize),
        path: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            line,
            column,
            path: path.into(),
            what: what.into(),
            expected: None,
            now: None,
            hint: None,
        }
    }

    /// Says what would be right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what happens now.
    #[must_use]
    pub fn now(mut self, now: impl Into<String>) -> Self {
        self.now = Some(now.into());
        self
    }

    /// Says how to cure it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Hints at the candidate nearest to `word`, where one is close.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.hint(format!("did you mean {}?", quoted(near))),
            None => self,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        let further = [
            ("expected", &self.expected),
            ("now", &self.now),
            ("hint", &self.hint),
        ];
        for (name, text) in further {
            if let Some(text) = text {
                write!(f, "\n  {name}: {text}")?;
            }
        }
        Ok(())
    }
}

/// All faults of a job file, ordered by place; `Display` prints one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// No faults yet of this file; its path is shown as given.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            list: Vec::new(),
        }
    }

    /// The file's path, as given.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds a fault, after those of the same place.
    pub fn push(&mut self, problem: Problem) {
        let place = (problem.line, problem.column);
        let at = self
            .list
            .partition_point(|other| (other.line, other.column) <= place);
        self.list.insert(at, problem);
    }

    /// Adds the faults that a later step found, leaving out those at places already known as faulty: they follow from what
    /// is reported.
    pub fn absorb(&mut self, later: Problems) {
        let new: Vec<Problem> = later
            .list
            .into_iter()
            .filter(|problem| !self.has_at((problem.line, problem.column)))
            .collect();
        for problem in new {
            self.push(problem);
        }
    }

    /// Whether a fault is known at this line and column.
    pub fn has_at(&self, place: (usize, usize)) -> bool {
        self.list
            .binary_search_by_key(&place, |problem| (problem.line, problem.column))
            .is_ok()
    }

    /// The faults, by place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `Ok` of the value where there is no fault, else the faults.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{problem}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// The candidate nearest to `word`, where one is close: at most a third of its characters inserted, left out, changed or
/// swapped (at least one), upper and lower case being the same. Of equally near ones the first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        // All of a short word changed is another word.
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A value as messages show it: in double quotes, cut at 64 characters, characters that don't print as escapes.
pub fn quoted(value: &str) -> String {
    let mut shown = String::with_capacity(value.len().min(SHOWN_CHARS) + 2);
    shown.push('"');
    for (index, character) in value.chars().enumerate() {
        if index == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('"');
    shown
}

/// Control characters, and those that hide themselves or turn the direction of the line around them.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A path as TOML writes it: keys joined by dots, those that are not bare in quotes. Example: `sources."año 1".columns`.
pub fn dotted<K: AsRef<str>>(path: &[K]) -> String {
    let mut text = String::new();
    for (index, key) in path.iter().map(AsRef::as_ref).enumerate() {
        if index > 0 {
            text.push('.');
        }
        let bare = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if bare {
            text.push_str(key);
        } else {
            text.push_str(&quoted(key));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_print_by_place_with_everything_that_is_known_of_them() {
        let mut problems = Problems::new("jobs/x.toml");
        problems.push(Problem::new((20, 1), "", "key with no value").expected("`=`"));
        problems.push(
            Problem::new(
                (14, 12),
                "sources.orders.kafka.start_at",
                "\"earlyest\" is not one of its values",
            )
            .expected("earliest, latest, a time, offsets")
            .now("nothing starts")
            .did_you_mean("earlyest", ["latest", "earliest"]),
        );
        problems.push(Problem::new((14, 12), "a", "second at this place"));
        assert_eq!(
            problems.to_string(),
            "jobs/x.toml:14:12: sources.orders.kafka.start_at: \"earlyest\" is not one of its values\n  \
             expected: earliest, latest, a time, offsets\n  now: nothing starts\n  hint: did you mean \"earliest\"?\n\
             jobs/x.toml:14:12: a: second at this place\n\
             jobs/x.toml:20:1: key with no value\n  expected: `=`"
        );
    }

    #[test]
    fn only_close_words_are_near() {
        let words = ["event_time", "files", "csv", "on", "columns"];
        assert_eq!(nearest("evnet_time", words), Some("event_time"));
        assert_eq!(nearest("eventtime", words), Some("event_time"));
        assert_eq!(nearest("Files", words), Some("files"));
        assert_eq!(nearest("cvs", words), Some("csv"));
        assert_eq!(nearest("no", words), Some("on"));
        assert_eq!(nearest("column", words), Some("columns"));
        assert_eq!(nearest("kafka", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn values_are_cut_and_hidden_characters_shown() {
        assert_eq!(
            quoted("a\tb\u{1b}[31m\u{202e}"),
            "\"a\\tb\\u{1b}[31m\\u{202e}\""
        );
        assert_eq!(quoted("años 'x'"), "\"años 'x'\"");
        assert_eq!(quoted(&"ñ".repeat(64)), format!("\"{}\"", "ñ".repeat(64)));
        assert_eq!(quoted(&"ñ".repeat(65)), format!("\"{}…\"", "ñ".repeat(64)));
    }

    #[test]
    fn keys_that_are_not_bare_are_quoted_in_paths() {
        assert_eq!(
            dotted(&["sources", "año 1", "a.b", "", "x-1"]),
            "sources.\"año 1\".\"a.b\".\"\".x-1"
        );
    }

    #[test]
    fn what_follows_from_a_known_fault_is_left_out() {
        let mut known = Problems::new("x.toml");
        known.push(Problem::new((3, 5), "a", "wrong"));
        let mut later = Problems::new("x.toml");
        later.push(Problem::new((3, 5), "a", "also wrong"));
        later.push(Problem::new((2, 1), "b", "wrong"));
        later.push(Problem::new((2, 1), "b", "wrong twice"));
        known.absorb(later);
        let seen: Vec<&str> = known.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(seen, ["wrong", "wrong twice", "wrong"]);
        assert!(known.or(()).is_err());
        assert_eq!(Problems::new("x.toml").or(7), Ok(7));
    }
}
