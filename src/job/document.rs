//! The job file as read: its text, its tables, and the place of each key and value.
//!
//! ```text
//! text --parse--> spanned tree --walk, by the schema--> clean tree --serde--> Spec
//!           \______________________\_________________________\____> problems
//! ```
//!
//! 1. `toml`'s recoverable parse gives a tree with spans and all syntax errors at once.
//! 2. The walk over the tree puts `${VAR}` in and finds unknown keys, wrong types and words, missing keys; it repairs what it
//!    can, so that later steps find their faults, too.
//! 3. serde reads the clean tree.
//!
//! Faults that leave the tables readable come together with the document: the resolver adds its own by
//! [`Document::all_problems`], and all are shown at once.

mod places;
mod schema;
mod variables;
mod walk;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use self::places::{Lines, Places};
use self::schema::Shape;
use self::walk::Walk;
use crate::job::problems::{Problem, Problems, dotted, quoted};
use crate::job::secrets::JobText;
use crate::job::spec::Spec;

pub use self::schema::schema;

/// Why a job file gives no job. Either means exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The file can't be read.
    #[error("{}: the job file can't be read", file.display())]
    Read {
        /// Its path, as given.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has faults; printing this prints all of them.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// A job file whose tables could be read. It may have faults all the same: see [`Document::all_problems`].
#[derive(Debug)]
pub struct Document {
    /// Path of the file, as given.
    pub file: PathBuf,
    /// The text as written, before variables are put in: what the plan's hash is of.
    pub text: JobText,
    /// The tables. What is faulty is repaired or left out here.
    pub spec: Spec,
    problems: Problems,
    lines: Lines,
    places: Places,
}

impl Document {
    /// Reads a job file, with variables from the environment.
    ///
    /// # Errors
    /// `Read` where there is no such file; `Problems` where faults leave the tables unreadable: syntax errors, wrong types,
    /// missing keys, none or several of what exactly one must be there. Other faults come with the document.
    pub fn read(file: &Path) -> Result<Self, JobError> {
        let bytes = fs::read(file).map_err(|source| JobError::Read {
            file: file.to_owned(),
            source,
        })?;
        Ok(Self::parse(file, bytes, &|name| env::var(name).ok())?)
    }

    /// Reads a job file from its bytes; `file` is for messages and relative paths, `variable` gives the environment.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn parse(
        file: &Path,
        bytes: Vec<u8>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let text = String::from_utf8(bytes).map_err(|fault| not_utf8(file, &fault))?;
        let lines = Lines::of(&text);
        let mut problems = Problems::new(file);

        // 1. The tree.
        let (mut tree, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            problems.push(syntax_problem(&text, &lines, error));
        }

        // 2. The walk.
        let Shape::Table(shape) = Shape::of_job() else {
            unreachable!("a job is a table")
        };
        let mut walk = Walk {
            text: &text,
            lines: &lines,
            variable,
            partial: !errors.is_empty(),
            path: Vec::new(),
            problems: Problems::new(file),
            unreadable: !errors.is_empty(),
        };
        walk.table(&shape, tree.get_mut(), 0);
        let Walk {
            unreadable,
            problems: found,
            ..
        } = walk;
        absorb_walked(&mut problems, found);
        if unreadable {
            return Err(problems);
        }

        // 3. The tables.
        let places = Places::of(tree.get_ref());
        match read_spec(tree) {
            Ok(spec) => Ok(Self {
                file: file.to_owned(),
                spec,
                problems,
                places,
                lines,
                text: text.as_str().into(),
            }),
            Err(error) => {
                problems.push(syntax_problem(&text, &lines, &error));
                Err(problems)
            }
        }
    }

    /// Line and column of the value at a path of keys (and indices, in arrays), or of the innermost table around it where
    /// there is none. Example: `["sources", "sales", "files", "paths", "0"]`. A column that is a text alone has the place of
    /// its text under `type`, too.
    pub fn place(&self, path: &[&str]) -> (usize, usize) {
        self.lines.place(&self.text, self.places.find(path).value)
    }

    /// Line and column of the key at a path: for faults of a name.
    pub fn key_place(&self, path: &[&str]) -> (usize, usize) {
        self.lines.place(&self.text, self.places.find(path).key)
    }

    /// A fault of the value at a path.
    pub fn problem_at(&self, path: &[&str], what: impl Into<String>) -> Problem {
        Problem::new(self.place(path), dotted(path), what)
    }

    /// A fault of the name at the end of a path.
    pub fn problem_at_key(&self, path: &[&str], what: impl Into<String>) -> Problem {
        Problem::new(self.key_place(path), dotted(path), what)
    }

    /// The faults of the file itself.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The faults of the file itself together with those that resolving it found, without what only follows from the former.
    pub fn all_problems(&self, resolving: Problems) -> Problems {
        let mut all = self.problems.clone();
        all.absorb(resolving);
        all
    }
}

/// Adds what the walk found, but nothing in lines that couldn't be parsed.
fn absorb_walked(syntax: &mut Problems, walked: Problems) {
    let broken: Vec<usize> = syntax.iter().map(|problem| problem.line).collect();
    for problem in walked
        .into_iter()
        .filter(|problem| !broken.contains(&problem.line))
    {
        syntax.push(problem);
    }
}

fn read_spec(tree: Spanned<DeTable<'_>>) -> Result<Spec, toml::de::Error> {
    Spec::deserialize(Deserializer::from(tree))
}

/// A syntax error in our words where the parser's are about its grammar rather than about the file.
fn syntax_problem(text: &str, lines: &Lines, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let problem = |what: &str| Problem::new(lines.place(text, span.start), "", what);
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    let written = text.get(span.clone()).unwrap_or_default();
    let values = "a string in quotes, a number, true or false, an array or a table";
    match (what, expected) {
        ("string values must be quoted", _) if written.is_empty() => {
            problem("there is no value").expected(values)
        }
        ("string values must be quoted", _) => problem(&format!("{} is no value", quoted(written)))
            .expected(values)
            .hint("put strings in quotes; put commas between values"),
        ("invalid unquoted key", Some(expected)) => {
            problem(&format!("{} can't stand in a bare key", quoted(written)))
                .expected(expected)
                .hint("put the key in quotes")
        }
        ("duplicate key", _) => problem(&format!("the key {} is there twice", quoted(written)))
            .hint("remove or rename one; a table's header stands once"),
        (what, None | Some("nothing")) => problem(what),
        (what, Some(expected)) => problem(what).expected(expected),
    }
}

fn not_utf8(file: &Path, fault: &std::string::FromUtf8Error) -> Problems {
    let (before, rest) = fault.as_bytes().split_at(fault.utf8_error().valid_up_to());
    let before = String::from_utf8_lossy(before);
    let place = Lines::of(&before).place(&before, before.len());
    let byte = rest.first().map_or(0, |byte| *byte);
    let mut problems = Problems::new(file);
    problems.push(
        Problem::new(place, "", format!("the byte 0x{byte:02x} is not UTF-8"))
            .expected("text in UTF-8")
            .hint(format!("save {} as UTF-8", quoted(&file.to_string_lossy()))),
    );
    problems
}

#[cfg(test)]
mod tests;
