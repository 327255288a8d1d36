//! Removing state that no kept checkpoint names; which are kept, [`super::keeping`] says.
//!
//! Nobody of an older generation may write any more, so whatever of theirs is not named goes. Of the own generation some files are on their way
//! to a checkpoint that is not there yet, and a fold of state may be long on its way; so of those only what was named and is not any more.

use std::collections::BTreeSet;

use super::state::{FOLDER, parse};
use super::{JournalError, StateFile, Store};
use crate::fault;

/// Removes files of state that are not `named`: all of older generations, and of this one those that were `named_before`.
pub fn tidy(
    store: &dyn Store,
    generation: u64,
    named: &BTreeSet<&str>,
    named_before: &[StateFile],
) -> Result<(), JournalError> {
    let mut gone = Vec::new();
    let mut folders = BTreeSet::new();
    for name in store.list(FOLDER)? {
        if parse(&name).is_none_or(|(_, of)| of >= generation) {
            continue;
        }
        let folder = format!("{FOLDER}/{name}");
        for file in store.list(&folder)? {
            let path = format!("{folder}/{file}");
            gone.extend((!named.contains(path.as_str())).then_some(path));
        }
        folders.insert(folder);
    }
    for file in named_before {
        if !named.contains(file.path.as_str()) {
            let folder = file.path.rsplit_once('/');
            folders.extend(folder.map(|(folder, _)| folder.to_owned()));
            gone.push(file.path.clone());
        }
    }
    if !gone.is_empty() {
        fault::at("remove old state");
        store.delete_all(&gone)?;
    }
    for folder in folders {
        store.remove_empty(&folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::super::open_state;
    use super::super::state;
    use super::*;
    use crate::job::plan::StatePlace;

    fn folder(path: &Path) -> Arc<dyn Store> {
        open_state(&StatePlace::Folder(path.to_path_buf()), Arc::new(|| false)).unwrap()
    }

    #[test]
    fn what_a_kept_checkpoint_names_stays_and_what_is_on_its_way() {
        let root = tempfile::tempdir().unwrap();
        let store = folder(root.path());
        let write = |of, name: &str| state::write(&*store, of, name, name.as_bytes()).unwrap();
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
        tidy(&*store, 2, &named, &named_before).unwrap();
        let is_there = |file: &StateFile| root.path().join(&file.path).is_file();
        for file in [&old[0], &changes, &coming, &newer] {
            assert!(is_there(file), "{}", file.path);
        }
        for file in [&old[1], &old[2], &whole] {
            assert!(!is_there(file), "{}", file.path);
        }
        let has = |of: &str| root.path().join(FOLDER).join(of).is_dir();
        assert!(!has("000000000009-00000001") && !has("000000000012-00000002"));
        assert!(has("000000000005-00000001") && other.is_dir());
        // Again, as after a crash in between.
        tidy(&*store, 2, &named, &named_before).unwrap();
    }
}
