//! Removing state that no kept checkpoint names.
//!
//! Nobody of an older generation may write any more, so whatever of theirs is not named goes. Of the own generation some files are on their way
//! to a checkpoint that is not there yet, and a fold of state may be long on its way; so of those only what was named and is not any more.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::durable::{self, FileError};
use super::state::{FOLDER, parse};
use super::{JournalError, StateFile};
use crate::fault;

/// Removes files of state that are not `named`: all of older generations, and of this one those that were `named_before`.
pub fn tidy(
    state: &Path,
    generation: u64,
    named: &BTreeSet<&str>,
    named_before: &[StateFile],
) -> Result<(), JournalError> {
    let all = state.join(FOLDER);
    for name in durable::names(&all)? {
        if parse(&name).is_none_or(|(_, of)| of >= generation) {
            continue;
        }
        let folder = all.join(&name);
        for file in durable::names(&folder)? {
            if !named.contains(format!("{FOLDER}/{name}/{file}").as_str()) {
                fault::at("remove old state");
                durable::remove_file(&folder.join(file))?;
            }
        }
        remove_if_empty(&folder)?;
    }
    for file in named_before {
        if !named.contains(file.path.as_str()) {
            fault::at("remove old state");
            let path = state.join(&file.path);
            durable::remove_file(&path)?;
            remove_if_empty(path.parent().expect("a file has a folder"))?;
        }
    }
    Ok(())
}

fn remove_if_empty(folder: &Path) -> Result<(), JournalError> {
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound
            ) =>
        {
            Err(FileError::new(folder, "removing old state", error).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::state;
    use super::*;

    #[test]
    fn what_a_kept_checkpoint_names_stays_and_what_is_on_its_way() {
        let root = tempfile::tempdir().unwrap();
        let write = |of, name: &str| state::write(root.path(), of, name, name.as_bytes()).unwrap();
        let old = [
            write((5, 1), "tally-0"),
            write((5, 1), "tally-1"),
            write((9, 1), "tally-0"),
        ];
        let whole = write((12, 2), "tally-0");
        let changes = write((14, 2), "tally-0");
        // Under way, and of a generation that may have taken over.
        let coming = write((14, 2), "tally-0.folded");
        let newer = write((13, 3), "tally-0");
        let other = root.path().join(FOLDER).join("notes");
        fs::create_dir(&other).unwrap();
        let named: BTreeSet<&str> = [&old[0], &changes].map(|file| file.path.as_str()).into();
        let named_before = [whole.clone(), changes.clone()];
        tidy(root.path(), 2, &named, &named_before).unwrap();
        let is_there = |file: &StateFile| root.path().join(&file.path).is_file();
        for file in [&old[0], &changes, &coming, &newer] {
            assert!(is_there(file), "{}", file.path);
        }
        for file in [&old[1], &old[2], &whole] {
            assert!(!is_there(file), "{}", file.path);
        }
        let folder = |of: &str| root.path().join(FOLDER).join(of).is_dir();
        assert!(!folder("000000000009-00000001") && !folder("000000000012-00000002"));
        assert!(folder("000000000005-00000001") && other.is_dir());
        // Again, as after a crash in between.
        tidy(root.path(), 2, &named, &named_before).unwrap();
    }
}
