//! The output root: whose it is, who writes to it now, and where a run stages.
//!
//! ```text
//! ROOT/
//!   enriched/zone=EU/date=2026-03-14/part-0-0.parquet     what readers see: whole runs only
//!   _caudal/
//!     owner.json               the job it belongs to
//!     lock                     held while a run writes; goes with its process
//!     manifest/00000001.json   one a commit, never overwritten
//!     staged/run-00000002/sink=enriched/…                 a run that is not committed, or not yet shown
//! ```
//!
//! A folder is replaced only where a manifest says that this job wrote it, or where it is empty or absent. A root that a
//! continuous job has written (see [`super::chain`]) is not one for runs: they would replace what it has added.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::SinkError;
use super::hive;
use super::publish::{self, Manifest};
use crate::epoch::durable;
use crate::job::plan::{SinkPlan, SinkTo};

/// Version of everything below `_caudal/`.
pub(super) const FORMAT: u32 = 1;

/// An output root that this process holds. Dropping it lets the next run in.
#[derive(Debug)]
pub struct OutputRoot {
    root: PathBuf,
    job: String,
    newest: Option<Manifest>,
    _lock: File,
}

/// A run's place to stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name: `run-` and the number of the manifest it will put.
    pub id: String,
    /// Where its writers stage: what [`super::SinkWriter::new`] takes.
    pub folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    format: u32,
    job: String,
}

impl OutputRoot {
    /// Takes `root` for a run of `job` that writes `sinks`: creates it where it is not there, completes a committed run that
    /// was cut while it was published, and removes what else was staged.
    ///
    /// Errors: [`SinkError::ForeignRoot`], [`SinkError::ForeignFolder`] and [`SinkError::BadFolder`] before anything is
    /// written, [`SinkError::OtherKind`], [`SinkError::Locked`], [`SinkError::Unreadable`], answers of the file system.
    pub fn open(root: &Path, job: &str, sinks: &[SinkPlan]) -> Result<Self, SinkError> {
        check_paths(sinks)?;
        let own = root.join("_caudal");
        if !own.exists() {
            refuse_foreign_folders(root, sinks, &BTreeSet::new())?;
        }
        make_folders(root)?;
        let lock = lock(root, FlockOperation::NonBlockingLockExclusive)?;
        claim(root, job, "run")?;
        let newest = publish::newest(root)?;
        // Not before a root of a continuous job was refused: it may be about to commit.
        for folder in [&own, &own.join("manifest")] {
            durable::remove_temporaries(folder)?;
        }
        if let Some(manifest) = &newest {
            publish::roll_forward(root, manifest)?;
        }
        let written = newest
            .as_ref()
            .map(|manifest| manifest.folders.iter().cloned().collect())
            .unwrap_or_default();
        refuse_foreign_folders(root, sinks, &written)?;
        let output = Self {
            root: root.to_path_buf(),
            job: job.to_owned(),
            newest,
            _lock: lock,
        };
        output.clean()?;
        Ok(output)
    }

    /// The root itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The job it belongs to.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The newest manifest, where a run has been committed.
    pub fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref()
    }

    pub(super) fn set_newest(&mut self, manifest: Manifest) {
        self.newest = Some(manifest);
    }

    /// Removes everything that is staged: what killed runs left, or what this one has given up.
    pub fn clean(&self) -> Result<(), SinkError> {
        let staged = self.root.join("_caudal").join("staged");
        for entry in entries(&staged)? {
            let path = staged.join(&entry);
            fs::remove_dir_all(&path)
                .map_err(|error| SinkError::io(&path, "removing what a run left", error))?;
        }
        Ok(())
    }

    /// Makes the folder in which the next run stages.
    pub fn stage(&self) -> Result<Run, SinkError> {
        let id = run_id(self.next_number());
        let folder = staged_run(&self.root, &id);
        fs::create_dir_all(&folder)
            .map_err(|error| SinkError::io(&folder, "creating a folder", error))?;
        Ok(Run { id, folder })
    }

    /// Number of the manifest that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.newest
            .as_ref()
            .map_or(1, |manifest| manifest.number + 1)
    }
}

/// Name of the run that puts manifest `number`.
fn run_id(number: u64) -> String {
    format!("run-{number:08}")
}

/// Where the run with this name stages below an output root.
pub fn staged_run(root: &Path, run: &str) -> PathBuf {
    root.join("_caudal").join("staged").join(run)
}

/// Where a sink stages below its run's folder; any name of a sink gives one folder.
pub(super) fn staged_folder(run: &Path, sink: &str) -> PathBuf {
    let mut name = String::new();
    hive::push_folder(&mut name, "sink", Some(sink));
    run.join(name)
}

/// Names in a folder, in order; none where it is not there.
pub(super) fn entries(folder: &Path) -> Result<BTreeSet<String>, SinkError> {
    Ok(durable::names(folder)?.into_iter().collect())
}

/// Syncs a folder, so that the names in it last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    Ok(durable::sync_folder(folder)?)
}

/// Writes a file under a name that must not be there yet: whole, synced, or not at all. `Ok(false)`: it was there. No two
/// writers may have one `tag` at a time.
pub(super) fn put_if_absent(path: &Path, content: &[u8], tag: &str) -> Result<bool, SinkError> {
    let temporary = write_beside(path, tag, |file| file.write_all(content))?;
    put_beside(&temporary, path)
}

/// Writes what is to stand at `path` under a name of `tag`'s own beside it, and syncs it.
pub(super) fn write_beside(
    path: &Path,
    tag: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<PathBuf, SinkError> {
    let name = path
        .file_name()
        .expect("a file has a name")
        .to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{tag}.tmp"));
    let written = File::create(&temporary).map(BufWriter::new);
    written
        .and_then(|mut file| {
            write(&mut file)?;
            file.into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .sync_all()
        })
        .map_err(|error| SinkError::io(&temporary, "writing a file", error))?;
    Ok(temporary)
}

/// Gives a file that [`write_beside`] wrote its name. `Ok(false)`: the name was taken, and the file is removed.
pub(super) fn put_beside(temporary: &Path, path: &Path) -> Result<bool, SinkError> {
    match durable::name_if_absent(temporary, path) {
        Ok(()) => sync_folder(path.parent().expect("a file has a folder")).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(temporary)
                .map_err(|error| SinkError::io(temporary, "removing a file", error))?;
            Ok(false)
        }
        Err(error) => Err(SinkError::io(path, "putting a file", error)),
    }
}

/// Reads a JSON file of `_caudal/`.
pub(super) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, SinkError> {
    let text = fs::read(path).map_err(|error| SinkError::io(path, "reading a file", error))?;
    serde_json::from_slice(&text).map_err(|error| SinkError::Unreadable {
        path: path.to_path_buf(),
        problem: error.to_string(),
    })
}

/// Takes the lock of a root, which a run holds alone. Dropping the file, or the end of the process, gives it back.
pub(super) fn lock(root: &Path, how: FlockOperation) -> Result<File, SinkError> {
    let path = root.join("_caudal").join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| SinkError::io(&path, "opening the lock", error))?;
    match flock(&file, how) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SinkError::Locked {
            root: root.to_path_buf(),
        }),
        Err(error) => Err(SinkError::io(&path, "taking the lock", error.into())),
    }
}

/// Makes caudal's own folders below a root.
pub(super) fn make_folders(root: &Path) -> Result<(), SinkError> {
    let own = root.join("_caudal");
    for folder in [&own, &own.join("manifest"), &own.join("staged")] {
        fs::create_dir_all(folder)
            .map_err(|error| SinkError::io(folder, "creating a folder", error))?;
    }
    Ok(())
}

/// Checks that the root is this job's, and makes it so where it is nobody's.
pub(super) fn claim(root: &Path, job: &str, tag: &str) -> Result<(), SinkError> {
    if !is_owned(root, job)? {
        let owner = Owner {
            format: FORMAT,
            job: job.to_owned(),
        };
        let content = serde_json::to_vec_pretty(&owner).expect("a name is JSON");
        let own = root.join("_caudal");
        put_if_absent(&own.join("owner.json"), &content, tag)?;
        sync_folder(&own)?;
        sync_folder(root)?;
        // Another may have been quicker.
        is_owned(root, job)?;
    }
    Ok(())
}

/// Whether the root is this job's; `false` where it is nobody's, an error where it is another's.
pub(super) fn is_owned(root: &Path, job: &str) -> Result<bool, SinkError> {
    let path = root.join("_caudal").join("owner.json");
    if !path.exists() {
        return Ok(false);
    }
    let owner: Owner = read_json(&path)?;
    if owner.format != FORMAT {
        let problem = format!("format {} is not known, only {FORMAT}", owner.format);
        return Err(SinkError::Unreadable { path, problem });
    }
    if owner.job != job {
        return Err(SinkError::ForeignRoot {
            root: root.to_path_buf(),
            owner: owner.job,
            job: job.to_owned(),
        });
    }
    Ok(true)
}

/// The sinks that write files, and their paths as `/`-separated text.
pub(super) fn file_sinks(sinks: &[SinkPlan]) -> impl Iterator<Item = (&SinkPlan, String)> {
    sinks.iter().filter_map(|sink| match &sink.to {
        SinkTo::Files { path, .. } => Some((sink, normal(path).join("/"))),
        SinkTo::Stdout | SinkTo::Kafka(_) => None,
    })
}

fn normal(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

/// Each sink's path must be a folder of its own below the root.
pub(super) fn check_paths(sinks: &[SinkPlan]) -> Result<(), SinkError> {
    let mut before: Vec<Vec<String>> = Vec::new();
    for sink in sinks {
        let SinkTo::Files { path, .. } = &sink.to else {
            continue;
        };
        let parts = normal(path);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let problem = if !inside {
            Some("leaves the output folder")
        } else if parts.is_empty() {
            Some("is the output folder itself")
        } else if parts[0] == "_caudal" {
            Some("is kept for caudal's own files")
        } else if before
            .iter()
            .any(|other| other.starts_with(&parts) || parts.starts_with(other))
        {
            Some("lies in the folder of another sink, or holds it")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(SinkError::BadFolder {
                sink: sink.name.clone(),
                path: path.clone(),
                problem,
            });
        }
        before.push(parts);
    }
    Ok(())
}

/// A folder that holds something is a sink's only where `written` says that this job wrote it.
pub(super) fn refuse_foreign_folders(
    root: &Path,
    sinks: &[SinkPlan],
    written: &BTreeSet<String>,
) -> Result<(), SinkError> {
    for (sink, path) in file_sinks(sinks) {
        let folder = root.join(&path);
        if written.contains(&path) {
            continue;
        }
        let foreign = match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(SinkError::io(&folder, "looking at a folder", error)),
            Ok(found) if found.is_dir() => entries(&folder)?.into_iter().next(),
            Ok(_) => Some(path.clone()),
        };
        if let Some(entry) = foreign {
            return Err(SinkError::ForeignFolder {
                folder,
                sink: sink.name.clone(),
                entry,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::publish::tests::sink;
    use super::*;

    #[test]
    fn a_root_of_another_job_is_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(OutputRoot::open(root.path(), "ventas", &[sink("a", "a")]).unwrap());
        let error = OutputRoot::open(root.path(), "other", &[sink("a", "a")]).unwrap_err();
        assert!(
            matches!(&error, SinkError::ForeignRoot { owner, .. } if owner == "ventas"),
            "{error}"
        );
        drop(OutputRoot::open(root.path(), "ventas", &[sink("a", "a")]).unwrap());
    }

    #[test]
    fn a_folder_that_no_run_wrote_is_refused_and_nothing_is_written() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a")).unwrap();
        drop(OutputRoot::open(root.path(), "ventas", &[sink("a", "a")]).unwrap());
        fs::remove_dir_all(root.path().join("_caudal")).unwrap();
        fs::write(root.path().join("a/mine.txt"), "x").unwrap();
        let error = OutputRoot::open(root.path(), "ventas", &[sink("a", "a")]).unwrap_err();
        assert!(
            matches!(&error, SinkError::ForeignFolder { entry, .. } if entry == "mine.txt"),
            "{error}"
        );
        assert!(!root.path().join("_caudal").exists());
        // Other folders of the root are nobody's business.
        drop(OutputRoot::open(root.path(), "ventas", &[sink("b", "b")]).unwrap());
    }

    #[test]
    fn two_runs_at_once_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let first = OutputRoot::open(root.path(), "ventas", &[]).unwrap();
        assert!(matches!(
            OutputRoot::open(root.path(), "ventas", &[]),
            Err(SinkError::Locked { .. })
        ));
        drop(first);
        assert!(OutputRoot::open(root.path(), "ventas", &[]).is_ok());
    }

    #[test]
    fn what_a_killed_run_left_is_removed_by_the_next() {
        let root = tempfile::tempdir().unwrap();
        let output = OutputRoot::open(root.path(), "ventas", &[]).unwrap();
        let run = output.stage().unwrap();
        fs::create_dir_all(run.folder.join("sink=a")).unwrap();
        fs::write(run.folder.join("sink=a/part-0-0.parquet"), "half a file").unwrap();
        drop(output);
        let output = OutputRoot::open(root.path(), "ventas", &[]).unwrap();
        assert!(!run.folder.exists());
        assert_eq!(output.stage().unwrap(), run);
    }

    #[test]
    fn a_sink_has_a_folder_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        for path in ["", ".", "../x", "/x", "_caudal/x"] {
            let opened = OutputRoot::open(root.path(), "ventas", &[sink("a", path)]);
            assert!(matches!(opened, Err(SinkError::BadFolder { .. })), "{path}");
        }
        let nested = [sink("a", "x"), sink("b", "x/y")];
        assert!(matches!(
            OutputRoot::open(root.path(), "ventas", &nested),
            Err(SinkError::BadFolder { .. })
        ));
        assert!(
            OutputRoot::open(root.path(), "ventas", &[sink("a", "x/a"), sink("b", "x/b")]).is_ok()
        );
    }

    #[test]
    fn a_broken_owner_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("_caudal")).unwrap();
        fs::write(root.path().join("_caudal/owner.json"), "{").unwrap();
        let error = OutputRoot::open(root.path(), "ventas", &[]).unwrap_err();
        assert!(error.to_string().contains("owner.json"), "{error}");
    }
}
