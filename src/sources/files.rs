//! Finding files, and what can go wrong with them.

use std::path::{Path, PathBuf};

use super::follow::{DeliveredError, FollowError};
use super::kafka::KafkaError;
use super::table::TableError;

/// What the world did to an input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Kafka could not be read.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A followed file is not what it was.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A file that an earlier run has read is not what it was.
    #[error(transparent)]
    Delivered(#[from] DeliveredError),
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
    /// A pattern matched folders only.
    #[error(
        "{owner}: {} is a folder\n  expected: a file, or a pattern that matches files\n  now: nothing was read\n  hint: {}/*.csv, say, takes the files in it", path.display(), path.display()
    )]
    Folder {
        /// The source or look-up.
        owner: String,
        /// The folder.
        path: PathBuf,
    },
    /// A link leads to nothing.
    #[error(
        "{owner}: {} is a link to a file that does not exist\n  expected: a file\n  now: nothing was read\n  hint: mend the link, or take it away",
        path.display()
    )]
    DanglingLink {
        /// The source or look-up.
        owner: String,
        /// The link.
        path: PathBuf,
    },
    /// A pattern is no glob pattern.
    #[error(
        "{owner}: {pattern:?} is not a pattern: {message}\n  expected: *, ?, ** and […] in their places\n  now: nothing was read\n  hint: a [ that is part of a name is written [[]"
    )]
    Pattern {
        /// The source or look-up.
        owner: String,
        /// The pattern.
        pattern: PathBuf,
        /// Why.
        message: String,
    },
    /// A file could not be opened or read.
    #[error("{owner}: {} could not be {action}{}\n  now: the run stops; nothing of it is visible\n  hint: {}", path.display(), at(action, *byte), cure(owner, action, source))]
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
    /// A file of rows with a schema of its own could not be read.
    #[error("{owner}: {} is not a readable {format} file\n  now: the run stops; nothing of it is visible\n  hint: {}", path.display(), instead(owner))]
    Table {
        /// The source or look-up.
        owner: String,
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// Why.
        #[source]
        source: TableError,
    },
    /// A row that was kept can't be fed again.
    #[error(
        "quarantine: {place}: {problem}\n  expected: rows that can be fed again\n  now: the run stops; nothing of it is visible\n  hint: {hint}"
    )]
    Replay {
        /// Where it stood.
        place: String,
        /// Why.
        problem: String,
        /// What helps.
        hint: &'static str,
    },
    /// A file's columns don't fit the job's.
    #[error("{owner}: {} line {line}: {message}\n  now: the run stops; nothing of it is visible\n  hint: {}", path.display(), instead(owner))]
    Header {
        /// The source or look-up.
        owner: String,
        /// The file.
        path: PathBuf,
        /// The line where it was found.
        line: u64,
        /// Bounded reason code.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// What else can be done with a faulty file. A look-up has to be whole: rows that miss it would be refused for nothing.
fn instead(owner: &str) -> &'static str {
    if owner.starts_with("lookups.") {
        "mend the file; a look-up is read whole or not at all"
    } else {
        "on_bad_file = \"refuse\" under [job] refuses such a file and goes on"
    }
}

/// What helps against an I/O error.
fn cure(owner: &str, action: &str, error: &std::io::Error) -> &'static str {
    match (action, error.kind()) {
        (_, std::io::ErrorKind::PermissionDenied) => {
            "give this user the right to read it, and to enter the folders above it"
        }
        (_, std::io::ErrorKind::NotFound) => {
            "it vanished after it was found; run again when it is back"
        }
        ("decompressed", _) if owner.starts_with("lookups.") => {
            "the file is broken or cut short; mend it: a look-up is read whole or not at all"
        }
        ("decompressed", _) => {
            "the file is broken or cut short; on_bad_file = \"refuse\" under [job] refuses such a file and goes on"
        }
        _ => "see that the disk or the file server answers, and run again",
    }
}

/// Says where reading had got to.
fn at(action: &str, byte: u64) -> String {
    match (action, byte) {
        ("opened", _) | ("read", 0) => String::new(),
        ("decompressed", _) => format!(" (at byte {byte} of what it holds)"),
        _ => format!(" (at byte {byte})"),
    }
}

/// The files that `patterns` match: in the order of the patterns, each pattern's by name, each file once. `told` takes words
/// about what was matched and is not read.
///
/// A pattern without `*`, `?` or `[` must name a file that exists.
pub fn expand(
    owner: &str,
    patterns: &[PathBuf],
    told: &mut Vec<String>,
) -> Result<Vec<PathBuf>, SourceError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let mut matches = if is_glob(pattern) {
            matching(owner, pattern, told)?
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

/// The same, where a pattern may match nothing.
pub(super) fn expand_any(
    owner: &str,
    patterns: &[PathBuf],
    told: &mut Vec<String>,
) -> Result<Vec<PathBuf>, SourceError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        match expand(owner, std::slice::from_ref(pattern), told) {
            Ok(matches) => found.extend(matches),
            Err(SourceError::NoFile { .. }) if is_glob(pattern) => {
                told.push(format!("{owner}: no file matches {}", pattern.display()));
            }
            Err(error) => return Err(error),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

pub(super) fn is_glob(pattern: &Path) -> bool {
    pattern.to_string_lossy().contains(['*', '?', '['])
}

fn plain(owner: &str, path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(SourceError::Folder {
            owner: owner.to_owned(),
            path: path.to_owned(),
        }),
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(_) if path.is_symlink() => Err(dangling(owner, path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SourceError::NoFile {
            owner: owner.to_owned(),
            pattern: path.to_owned(),
        }),
        Err(source) => Err(io(owner, path, "opened", 0, source)),
    }
}

fn matching(
    owner: &str,
    pattern: &Path,
    told: &mut Vec<String>,
) -> Result<Vec<PathBuf>, SourceError> {
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
        // A folder's name may fit by chance; a link that leads nowhere was meant as input. Where `**` stands, folders are
        // meant to be passed through.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                if !text.contains("**") {
                    told.push(format!(
                        "{owner}: {} is a folder and is not read, though {} matches it; {}/* takes the files in it",
                        path.display(),
                        pattern.display(),
                        path.display()
                    ));
                }
            }
            Ok(_) => found.push(path),
            Err(_) if path.is_symlink() => return Err(dangling(owner, &path)),
            Err(error) => return Err(io(owner, &path, "opened", 0, error)),
        }
    }
    Ok(found)
}

fn dangling(owner: &str, path: &Path) -> SourceError {
    SourceError::DanglingLink {
        owner: owner.to_owned(),
        path: path.to_owned(),
    }
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
            &mut Vec::new(),
        )
        .unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["b.csv", "a.csv"]);
    }

    #[test]
    fn links_to_nothing_and_folders_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("b.csv");
        std::fs::write(folder.path().join("a.csv"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("gone"), &link).unwrap();
        for pattern in [folder.path().join("*.csv"), link] {
            let error = expand("sources.s", &[pattern], &mut Vec::new()).unwrap_err();
            assert!(matches!(error, SourceError::DanglingLink { .. }), "{error}");
        }
        let error = expand("sources.s", &[folder.path().to_owned()], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, SourceError::Folder { .. }), "{error}");
    }

    #[test]
    fn a_folder_beside_files_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        std::fs::create_dir(folder.path().join("old")).unwrap();
        let mut told = Vec::new();
        let found = expand("sources.s", &[folder.path().join("*")], &mut told).unwrap();
        assert_eq!(found, [folder.path().join("a")]);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("old is a folder and is not read"),
            "{told:?}"
        );
    }

    #[test]
    fn a_pattern_without_a_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            expand("sources.s", &[folder.path().join("*.csv")], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, SourceError::NoFile { .. }), "{error}");
        let error = expand(
            "sources.s",
            &[folder.path().join("gone.csv")],
            &mut Vec::new(),
        )
        .unwrap_err();
        assert!(
            error.to_string().starts_with("sources.s: no file matches"),
            "{error}"
        );
    }
}
