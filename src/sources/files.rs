//! Finding files, and what can go wrong with them.

use std::path::{Path, PathBuf};

/// What the world did to an input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A pattern matched nothing.
    #[error(
        "{owner}: no file matches {pattern:?}\n  expected: at least one file\n  now: nothing was read\n  hint: paths are relative to the job file's folder"
    )]
    NoFile {
        /// The source or look-up, as the job names it (`sources.sales`).
        owner: String,
        /// The pattern.
        pattern: PathBuf,
    },
    /// A pattern is no glob pattern.
    #[error("{owner}: {pattern:?} is not a pattern: {message}")]
    Pattern {
        /// The source or look-up.
        owner: String,
        /// The pattern.
        pattern: PathBuf,
        /// Why.
        message: String,
    },
    /// A file could not be opened or read.
    #[error("{owner}: {} could not be {action}{}", path.display(), at(*byte))]
    Io {
        /// The source or look-up.
        owner: String,
        /// The file.
        path: PathBuf,
        /// `opened`, `read` or `decompressed`.
        action: &'static str,
        /// How many bytes had been read.
        byte: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file could not be read.
    #[error("{owner}: {} is not a readable Parquet file\n  now: the run stops; nothing of it is visible\n  hint: on_bad_file = \"refuse\" under [job] refuses such a file and goes on", path.display())]
    Parquet {
        /// The source or look-up.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A file's columns don't fit the job's.
    #[error("{owner}: {} line 1: {message}\n  now: the run stops; nothing of it is visible\n  hint: on_bad_file = \"refuse\" under [job] refuses such a file and goes on", path.display())]
    Header {
        /// The source or look-up.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Bounded reason code.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// Says where reading had got to.
fn at(byte: u64) -> String {
    if byte == 0 {
        String::new()
    } else {
        format!(" (at byte {byte})")
    }
}

/// The files that `patterns` match: in the order of the patterns, each pattern's by name, each file once.
///
/// A pattern without `*`, `?` or `[` must name a file that exists.
pub fn expand(owner: &str, patterns: &[PathBuf]) -> Result<Vec<PathBuf>, SourceError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let mut matches = if is_glob(pattern) {
            matching(owner, pattern)?
        } else {
            plain(owner, pattern)?
        };
        matches.sort();
        for path in matches {
            if !found.contains(&path) {
                found.push(path);
            }
        }
        if found.len() == before && !found.iter().any(|path| path == pattern) {
            return Err(SourceError::NoFile {
                owner: owner.to_owned(),
                pattern: pattern.clone(),
            });
        }
    }
    Ok(found)
}

fn is_glob(pattern: &Path) -> bool {
    pattern.to_string_lossy().contains(['*', '?', '['])
}

fn plain(owner: &str, path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SourceError::NoFile {
            owner: owner.to_owned(),
            pattern: path.to_owned(),
        }),
        Err(source) => Err(io(owner, path, "opened", 0, source)),
    }
}

fn matching(owner: &str, pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let text = pattern.to_string_lossy();
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(&text, options).map_err(|error| SourceError::Pattern {
        owner: owner.to_owned(),
        pattern: pattern.to_owned(),
        message: error.msg.to_owned(),
    })?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            io(owner, &path, "opened", 0, error.into())
        })?;
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// An I/O error of a file of `owner`.
pub(super) fn io(
    owner: &str,
    path: &Path,
    action: &'static str,
    byte: u64,
    source: std::io::Error,
) -> SourceError {
    SourceError::Io {
        owner: owner.to_owned(),
        path: path.to_owned(),
        action,
        byte,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_gives_its_files_by_name_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".hidden.csv", "c.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = expand(
            "sources.s",
            &[folder.path().join("b.csv"), folder.path().join("*.csv")],
        )
        .unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["b.csv", "a.csv"]);
    }

    #[test]
    fn a_pattern_without_a_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = expand("sources.s", &[folder.path().join("*.csv")]).unwrap_err();
        assert!(matches!(error, SourceError::NoFile { .. }), "{error}");
        let error = expand("sources.s", &[folder.path().join("gone.csv")]).unwrap_err();
        assert!(
            error.to_string().starts_with("sources.s: no file matches"),
            "{error}"
        );
    }
}
