//! Collects what is wrong, at the place of the job file where it stands.
//!
//! Functions that read one value return a [`Wrong`], which knows no place, so that they can be used and tested alone; a
//! [`Report`] adds the place by the path of the value.

use crate::job::document::Document;
use crate::job::problems::{Problems, nearest, quoted};
use crate::transform::ExpressionError;

/// What is wrong with one value, without its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    /// What is wrong, in lower case and without a final period.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// How to cure it.
    pub hint: Option<String>,
}

impl Wrong {
    /// A fault of which only this is known.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            expected: None,
            hint: None,
        }
    }

    /// Says what would be right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
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

impl From<ExpressionError> for Wrong {
    fn from(error: ExpressionError) -> Self {
        Self {
            what: error.message,
            expected: error.expected,
            hint: error.hint,
        }
    }
}

/// The faults found so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    document: &'a Document,
    problems: Problems,
}

impl<'a> Report<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self {
            document,
            problems: Problems::new(&document.file),
        }
    }

    /// Adds a fault of the value at `path`; elements of arrays go by their index.
    pub(super) fn add(&mut self, path: &[&str], wrong: Wrong) {
        let mut problem = self.document.problem_at(path, wrong.what);
        problem.expected = wrong.expected;
        problem.hint = wrong.hint;
        self.problems.push(problem);
    }

    /// Adds a fault of the name at the end of `path`.
    pub(super) fn add_name(&mut self, path: &[&str], wrong: Wrong) {
        let mut problem = self.document.problem_at_key(path, wrong.what);
        problem.expected = wrong.expected;
        problem.hint = wrong.hint;
        self.problems.push(problem);
    }

    /// Adds the fault of the name at the end of `path`, where it has one.
    pub(super) fn check_name(&mut self, path: &[&str], checked: Result<(), Wrong>) -> bool {
        match checked {
            Ok(()) => true,
            Err(wrong) => {
                self.add_name(path, wrong);
                false
            }
        }
    }

    /// The value, or nothing after its fault is added.
    pub(super) fn take<T>(&mut self, path: &[&str], read: Result<T, Wrong>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.add(path, wrong);
                None
            }
        }
    }

    /// How many faults there are.
    pub(super) fn len(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn finish(self) -> Problems {
        self.problems
    }
}
