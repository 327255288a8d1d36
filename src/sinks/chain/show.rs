//! Shows what is committed, and removes what can't be any more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Manifest;
use super::steps::Steps;
use crate::fault;
use crate::record::Epoch;
use crate::sinks::SinkError;
use crate::sinks::output::{entries, staged_folder, staged_run};
use crate::sinks::publish::sync_all;

/// Attempts to remove a folder into which an older generation still writes. What is left after them is removed by the next
/// generation.
const ATTEMPTS: usize = 3;

/// What the names of all staged files begin with.
const PART: &str = "part-";

/// The path under which a staged file is shown; no other commit has such a name.
pub(super) fn visible(staged: &str, generation: u64, to: Epoch) -> String {
    let (folder, name) = split(staged);
    let rest = name.strip_prefix(PART);
    let rest = rest.expect("writers name their files part-…");
    format!("{folder}{PART}{generation}-{to}-{rest}")
}

/// The path under which a file of a commit was staged: [`visible`] turned round.
fn staged(visible: &str, generation: u64, to: Epoch) -> String {
    let (folder, name) = split(visible);
    let rest = name.strip_prefix(&format!("{PART}{generation}-{to}-"));
    let rest = rest.unwrap_or(name);
    format!("{folder}{PART}{rest}")
}

/// Folder with its `/`, and name.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// A fail point where a commit that was cut off is about to be gone on with.
pub(super) fn note_roll_forward(root: &Path, newest: &Manifest) {
    let staged = newest.staged.as_ref();
    if staged.is_some_and(|staged| staged_run(root, staged).exists()) {
        fault::at("roll forward");
    }
}

/// Steps 3 and 4 of a commit, of which any part may have been done before, or may be done by another now.
pub(super) fn show(root: &Path, manifest: &Manifest, steps: &mut Steps) -> Result<(), SinkError> {
    let (Some(staged_in), Some(to)) = (&manifest.staged, manifest.to) else {
        return Ok(());
    };
    let stage = staged_run(root, staged_in);
    if !stage.exists() {
        return Ok(());
    }
    let mut folders = BTreeSet::new();
    for sink in &manifest.sinks {
        for file in &sink.files {
            let from = staged(&file.path, manifest.generation, to);
            let from = staged_folder(&stage, &sink.sink).join(from);
            let file = File {
                staged: from,
                visible: root.join(&sink.path).join(&file.path),
                bytes: file.bytes,
            };
            if !file.show(steps)? {
                if !stage.exists() {
                    // Another has shown all of it, and perhaps a reader has taken this one away.
                    return Ok(());
                }
                return Err(SinkError::Lost {
                    file: file.visible,
                    staged: file.staged,
                    folder: stage,
                    bytes: file.bytes,
                    manifest: manifest.number,
                });
            }
            for path in [&file.visible, &file.staged] {
                let above = path.ancestors().skip(1);
                let above = above.take_while(|above| above.starts_with(root));
                folders.extend(above.map(Path::to_path_buf));
            }
        }
    }
    folders.retain(|folder| !folder.starts_with(&stage));
    steps.at("sync visible folders")?;
    sync_all(root, &[], &folders)?;
    steps.at("remove the staged folder")?;
    remove(&stage)
}

struct File {
    staged: PathBuf,
    visible: PathBuf,
    bytes: u64,
}

impl File {
    /// Whether it is shown, now or since before.
    fn show(&self, steps: &mut Steps) -> Result<bool, SinkError> {
        if size(&self.staged)? == Some(self.bytes) {
            steps.at("make a visible folder")?;
            let folder = self.visible.parent().expect("a file has a folder");
            fs::create_dir_all(folder)
                .map_err(|error| SinkError::io(folder, "creating a folder", error))?;
            steps.at("show a file")?;
            match fs::rename(&self.staged, &self.visible) {
                Ok(()) => return Ok(true),
                // Another was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SinkError::io(&self.visible, "showing a file", error)),
            }
        }
        Ok(size(&self.visible)? == Some(self.bytes))
    }
}

fn size(path: &Path) -> Result<Option<u64>, SinkError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SinkError::io(path, "looking at a file", error)),
    }
}

/// Step 3 of taking over: removes what generations before this one staged, and what they were about to put. What newer ones did
/// stays: this one may be over without knowing it.
pub(super) fn tidy(root: &Path, generation: u64, steps: &mut Steps) -> Result<(), SinkError> {
    let own = root.join("_caudal");
    let staged = own.join("staged");
    for name in entries(&staged)? {
        if generation_of(&name).is_none_or(|of| of < generation) {
            steps.at("remove what was staged")?;
            remove(&staged.join(name))?;
        }
    }
    for folder in [own.join("manifest"), own] {
        for name in entries(&folder)? {
            let of = name.strip_suffix(".tmp").and_then(generation_of);
            if of.is_some_and(|of| of < generation) {
                let path = folder.join(name);
                steps.at("remove what was not put")?;
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(SinkError::io(&path, "removing a file", error));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// The generation that a name tells of: `gen-00000007-00000093`, `.00001234.json.gen-00000007`.
fn generation_of(name: &str) -> Option<u64> {
    let (_, number) = name.split_once("gen-")?;
    number.split('-').next()?.parse().ok()
}

fn remove(folder: &Path) -> Result<(), SinkError> {
    for _ in 0..ATTEMPTS {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => return Ok(()),
                io::ErrorKind::DirectoryNotEmpty => {}
                _ => return Err(SinkError::io(folder, "removing what was staged", error)),
            },
        }
    }
    Ok(())
}
