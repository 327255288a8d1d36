//! Makes a run visible: all sinks under a root, by one manifest.
//!
//! ```text
//! 1. sync      every staged file and folder is on the disk
//! 2. put       manifest n+1 appears, whole, under a name that was free            <── the commit
//! 3. show      for each sink: its staged folder and the visible one change places (one atomic rename)
//! 4. remove    the run's staged folder, which now holds what was visible before
//! ```
//!
//! **A crash on any line leaves either the old or the new run after the next [`super::OutputRoot::open`].**
//! Let n be the newest manifest when the next run opens the root, and *r* the run it names.
//!
//! - Crash before 2 is done: the newest manifest is the old one. Nothing visible was touched, since only 3 touches it, and
//!   the staged folder is no one's: it is removed. The old run.
//! - Crash after 2: manifest n+1 is the newest, and everything it names is on the disk (1 came before). The next open does
//!   3 and 4 again. Step 3 for one sink is one rename, done or not done; which of the two is told by the folder's inode
//!   number, which the manifest holds and a rename keeps: where the visible folder is the run's, it is done; where the
//!   staged one is, it is not. So doing 3 again never changes folders back. The new run.
//! - Crash in 4: every sink was shown, and that was synced before 4 began. Showing again does nothing. The new run.
//!
//! Between two renames of step 3 a reader sees the new folder of one sink and the old one of another; each folder for
//! itself is always one whole run. Readers that want all sinks of one run read the manifest.
//! Where the file system can't exchange, the visible folder is moved aside first, and for that moment there is none.
//!
//! The test `a_crash_at_any_step_leaves_the_old_or_the_new_run` stops after each step, and within them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use serde::{Deserialize, Serialize};

use super::output::{
    FORMAT, OutputRoot, Run, entries, file_sinks, put_if_absent, read_json, staged_folder,
    staged_run, sync_folder,
};
use super::{SinkError, StagedFile};
use crate::job::plan::{Decimals, SinkFormat, SinkFrom, SinkPlan, SinkTo, keeps_quarantine};

/// Number of staged files above which the whole file system is synced at once instead of each file: a sync costs a journal
/// commit, and a hundred thousand of them take minutes.
const SYNC_EACH_BELOW: usize = 512;

/// Files synced at once. One after another leaves a disk idle between them; more than its queue takes gains nothing.
const SYNC_AT_ONCE: usize = 8;

/// The sink by which caudal keeps refused rows itself; no sink of a job can have this name.
pub const QUARANTINE: &str = ".quarantine";

/// Its folder, relative to the root.
pub(super) const QUARANTINE_FOLDER: &str = "_caudal/quarantine";

/// What stands for a sink's name where a continuous job itself keeps what was said of its checks; no sink of a job begins with a dot.
pub const VERDICTS: &str = ".verdicts";

/// Its folder, relative to the output root.
pub(super) const VERDICTS_FOLDER: &str = "_caudal/verdicts";

/// A commit: what one run made visible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file.
    pub format: u32,
    /// Dense, from 1.
    pub number: u64,
    /// The job.
    pub job: String,
    /// The run.
    pub run: String,
    /// What the run says of itself: rows, verdicts, seconds.
    pub summary: serde_json::Value,
    /// What runs with `rerun = "new_files"` have read, as sources say it; absent after any other run.
    #[serde(default)]
    pub delivered: Option<serde_json::Value>,
    /// Every folder that a run of this job has written, this one's included; relative to the root.
    pub folders: BTreeSet<String>,
    /// The sinks, in the order of the job file.
    pub sinks: Vec<ManifestSink>,
}

/// A sink of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSink {
    /// Its name.
    pub sink: String,
    /// Its folder, relative to the root.
    pub path: String,
    /// What its files are, as [`shape`] says it; empty in manifests of earlier versions.
    #[serde(default)]
    pub shape: String,
    /// Inode number of the folder that was staged, by which it is known after a crash.
    pub inode: u64,
    /// Rows of all its files.
    pub rows: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its files, by path.
    pub files: Vec<ManifestFile>,
}

/// A file of a [`ManifestSink`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path below the sink's folder.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of its bytes; not of files that former builds have written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<u32>,
}

/// What a run says in its manifest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// Of itself: rows, verdicts, seconds.
    pub summary: serde_json::Value,
    /// What it and those before it have read, where later runs read only what is new.
    pub delivered: Option<serde_json::Value>,
}

impl From<serde_json::Value> for Said {
    fn from(summary: serde_json::Value) -> Self {
        Self {
            summary,
            delivered: None,
        }
    }
}

/// Which of the visible rows are kept beside new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Clean ones: what was refused is fed again.
    Clean,
    /// All, and what caudal keeps of refused ones.
    All,
}

impl OutputRoot {
    /// Commits a run and makes it visible: steps 1 to 4. `staged` are the files that all writers of all workers gave; every
    /// sink of `sinks` that writes files has at least one (see [`super::write_empty`]).
    ///
    /// Errors before the commit leave everything as it was. An error after it ([`SinkError::Io`] while showing) leaves a
    /// committed run that the next open completes.
    pub fn publish(
        &mut self,
        run: &Run,
        sinks: &[SinkPlan],
        staged: Vec<StagedFile>,
        said: impl Into<Said>,
    ) -> Result<Manifest, SinkError> {
        if keeps_quarantine(sinks) {
            // There where nothing was refused, too: what an earlier run kept is not this one's.
            let folder = staged_folder(&run.folder, QUARANTINE);
            fs::create_dir_all(&folder)
                .map_err(|error| SinkError::io(&folder, "creating a folder", error))?;
        }
        sync(&run.folder, &staged)?;
        let manifest = self.manifest(run, sinks, staged, said.into())?;
        put(self.path(), &manifest)?;
        self.set_newest(manifest.clone());
        roll_forward(self.path(), &manifest)?;
        Ok(manifest)
    }

    /// Puts what is visible of the job's sinks beside what was staged for them: a replay, and a run over new files, add rows. The same files
    /// get a second name (a copy where the file system has none), so that nothing is written again and nothing visible changes.
    /// A name that is taken gets the number of the manifest that has it.
    pub fn add_published(
        &self,
        run: &Run,
        sinks: &[SinkPlan],
        added: Added,
        staged: &mut Vec<StagedFile>,
    ) -> Result<(), SinkError> {
        let Some(newest) = self.newest() else {
            return Ok(());
        };
        let all = added == Added::All;
        let of_job = file_sinks(sinks).filter(|(plan, _)| all || plan.from == SinkFrom::Rows);
        let mut wanted: Vec<&str> = of_job.map(|(plan, _)| plan.name.as_str()).collect();
        if all && keeps_quarantine(sinks) {
            wanted.push(QUARANTINE);
        }
        for name in wanted {
            let Some(before) = newest.sinks.iter().find(|sink| sink.sink == name) else {
                continue;
            };
            let of_sink = staged.iter().filter(|file| file.sink == name);
            let taken: BTreeSet<String> = of_sink.map(|file| file.path.clone()).collect();
            for file in &before.files {
                // A file that only shows the columns of a sink without rows.
                if file.rows == 0 && !taken.is_empty() {
                    continue;
                }
                let mut path = file.path.clone();
                if taken.contains(&path) {
                    let dot = path.rfind('.').unwrap_or(path.len());
                    path.insert_str(dot, &format!("-r{}", newest.number));
                }
                let visible = self.path().join(&before.path).join(&file.path);
                let named = staged_folder(&run.folder, name).join(&path);
                let folder = named.parent().expect("a file has a folder");
                fs::create_dir_all(folder)
                    .and_then(|()| {
                        fs::hard_link(&visible, &named).or_else(|error| match error.kind() {
                            io::ErrorKind::NotFound => Err(error),
                            _ => fs::copy(&visible, &named).map(|_| ()),
                        })
                    })
                    .map_err(|error| SinkError::io(&visible, "keeping a visible file", error))?;
                staged.push(StagedFile {
                    sink: name.to_owned(),
                    path,
                    rows: file.rows,
                    bytes: file.bytes,
                    checksum: file.checksum,
                });
            }
        }
        Ok(())
    }

    /// The next manifest, not put yet.
    fn manifest(
        &self,
        run: &Run,
        sinks: &[SinkPlan],
        staged: Vec<StagedFile>,
        said: Said,
    ) -> Result<Manifest, SinkError> {
        let mut manifest = Manifest {
            format: FORMAT,
            number: self.next_number(),
            job: self.job().to_owned(),
            run: run.id.clone(),
            summary: said.summary,
            delivered: said.delivered,
            folders: self
                .newest()
                .map(|newest| newest.folders.clone())
                .unwrap_or_default(),
            sinks: Vec::new(),
        };
        let own = keeps_quarantine(sinks).then(|| {
            (
                QUARANTINE.to_owned(),
                QUARANTINE_FOLDER.to_owned(),
                String::new(),
            )
        });
        let of_job = file_sinks(sinks).map(|(plan, path)| (plan.name.clone(), path, shape(plan)));
        for (sink, path, shape) in of_job.chain(own) {
            let folder = staged_folder(&run.folder, &sink);
            let inode = inode(&folder)?.expect("every sink has staged a file");
            manifest.folders.insert(path.clone());
            let (rows, bytes, files) = (0, 0, Vec::new());
            manifest.sinks.push(ManifestSink {
                sink,
                path,
                shape,
                inode,
                rows,
                bytes,
                files,
            });
        }
        for StagedFile {
            sink,
            path,
            rows,
            bytes,
            checksum,
        } in staged
        {
            let entry = manifest.sinks.iter_mut().find(|entry| entry.sink == sink);
            let entry = entry.expect("staged files belong to the job's sinks");
            entry.rows += rows;
            entry.bytes += bytes;
            entry.files.push(ManifestFile {
                path,
                rows,
                bytes,
                checksum,
            });
        }
        for sink in &mut manifest.sinks {
            sink.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(manifest)
    }
}

/// What the files of a sink are: format, columns with their types, and which of them stand in the path. Files of one shape can lie
/// side by side.
pub fn shape(plan: &SinkPlan) -> String {
    let format = match &plan.format {
        SinkFormat::Parquet(_) => "parquet".to_owned(),
        SinkFormat::Json(Decimals::Number) => "json".to_owned(),
        SinkFormat::Json(Decimals::Text) => "json, decimals as text".to_owned(),
        SinkFormat::Csv { delimiter } => format!("csv {delimiter}"),
        SinkFormat::Avro(_) => "avro".to_owned(),
    };
    let columns = plan
        .columns
        .iter()
        .map(|column| format!("{:?} {}", column.name, column.expression.data_type()));
    let columns: Vec<String> = columns.collect();
    let by = match &plan.to {
        SinkTo::Files { partition_by, .. } => partition_by.as_slice(),
        SinkTo::Stdout | SinkTo::Kafka(_) => &[],
    };
    format!("{format} by {by:?}: {}", columns.join(", "))
}

/// What the last run made visible below a root, whether it is all shown yet or not; `None` where there was none. Takes no lock.
pub fn published(root: &Path) -> Result<Option<Manifest>, SinkError> {
    newest(root)
}

/// The files of refused rows that the run of this manifest kept; `None` where it kept none. They are found where a run that was
/// cut while it was shown has left them, too.
pub fn kept_files(root: &Path, manifest: &Manifest) -> Result<Option<Vec<PathBuf>>, SinkError> {
    let Some(kept) = manifest.sinks.iter().find(|sink| sink.sink == QUARANTINE) else {
        return Ok(None);
    };
    let shown = root.join(&kept.path);
    let staged = staged_folder(&staged_run(root, &manifest.run), QUARANTINE);
    let folder = if inode(&shown)? != Some(kept.inode) && inode(&staged)? == Some(kept.inode) {
        staged
    } else {
        shown
    };
    Ok(Some(
        kept.files
            .iter()
            .map(|file| folder.join(&file.path))
            .collect(),
    ))
}

/// Step 1: brings the files that are staged below `folder`, and their folders, to the disk.
pub(super) fn sync(folder: &Path, staged: &[StagedFile]) -> Result<(), SinkError> {
    let paths: Vec<PathBuf> = staged
        .iter()
        .map(|file| staged_folder(folder, &file.sink).join(&file.path))
        .collect();
    let mut folders = BTreeSet::new();
    for path in &paths {
        let below = path
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(folder));
        folders.extend(below.map(Path::to_path_buf));
    }
    folders.extend(folder.parent().map(Path::to_path_buf));
    sync_all(folder, &paths, &folders)
}

/// Syncs files and folders, or the file system of `base` where they are many.
pub(super) fn sync_all(
    base: &Path,
    files: &[PathBuf],
    folders: &BTreeSet<PathBuf>,
) -> Result<(), SinkError> {
    if files.len().max(folders.len()) > SYNC_EACH_BELOW {
        return File::open(base)
            .and_then(|base| syncfs(&base).map_err(io::Error::from))
            .map_err(|error| SinkError::io(base, "syncing the file system", error));
    }
    sync_files(files)?;
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

/// Syncs files, some at once: a disk does more in the same time when it is asked for more.
fn sync_files(paths: &[PathBuf]) -> Result<(), SinkError> {
    let each = |paths: &[PathBuf]| {
        paths.iter().try_for_each(|path| {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|error| SinkError::io(path, "syncing a file", error))
        })
    };
    let share = paths.len().div_ceil(SYNC_AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .chunks(share)
            .map(|paths| scope.spawn(move || each(paths)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("syncing does not panic"))
    })
}

/// Step 2: the commit.
fn put(root: &Path, manifest: &Manifest) -> Result<(), SinkError> {
    let path = manifest_path(root, manifest.number);
    let content = serde_json::to_vec_pretty(manifest).expect("a manifest is JSON");
    if put_if_absent(&path, &content, "run")? {
        Ok(())
    } else {
        Err(SinkError::ManifestTaken { path })
    }
}

/// Steps 3 and 4, of which any part may have been done before.
pub(super) fn roll_forward(root: &Path, manifest: &Manifest) -> Result<(), SinkError> {
    if !staged_run(root, &manifest.run).exists() {
        return Ok(());
    }
    for sink in &manifest.sinks {
        show(root, manifest, sink)?;
    }
    remove(root, manifest)
}

/// Step 3 for one sink; does nothing where it is done.
fn show(root: &Path, manifest: &Manifest, sink: &ManifestSink) -> Result<(), SinkError> {
    let folder = root.join(&sink.path);
    let staged = staged_folder(&staged_run(root, &manifest.run), &sink.sink);
    let visible = inode(&folder)?;
    if visible == Some(sink.inode) {
        return Ok(());
    }
    if inode(&staged)? != Some(sink.inode) {
        let (run, manifest) = (manifest.run.clone(), manifest.number);
        return Err(SinkError::Unfinished {
            folder,
            staged,
            run,
            manifest,
        });
    }
    let parent = folder
        .parent()
        .expect("a sink's folder lies below the root");
    fs::create_dir_all(parent)
        .map_err(|error| SinkError::io(parent, "creating a folder", error))?;
    let failed = |error| SinkError::io(&folder, "showing the run's folder", error);
    if visible.is_none() {
        fs::rename(&staged, &folder).map_err(failed)?;
    } else {
        match renameat_with(CWD, &staged, CWD, &folder, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let mut aside = staged.clone().into_os_string();
                aside.push(" before");
                fs::rename(&folder, &aside)
                    .and_then(|()| fs::rename(&staged, &folder))
                    .map_err(failed)?;
            }
            other => other.map_err(|error| failed(error.into()))?,
        }
    }
    for changed in parent
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
    {
        sync_folder(changed)?;
    }
    sync_folder(staged.parent().expect("a staged folder lies in its run's"))
}

/// Step 4.
fn remove(root: &Path, manifest: &Manifest) -> Result<(), SinkError> {
    let staged = staged_run(root, &manifest.run);
    fs::remove_dir_all(&staged)
        .map_err(|error| SinkError::io(&staged, "removing what was visible before", error))
}

/// The manifest with the largest number.
pub(super) fn newest(root: &Path) -> Result<Option<Manifest>, SinkError> {
    let names = entries(&root.join("_caudal").join("manifest"))?;
    let newest = names.iter().filter_map(|name| manifest_number(name)).max();
    newest
        .map(|number| read_manifest(root, number, Kind::Run))
        .transpose()
}

/// Number of the manifest whose file has this name.
pub(super) fn manifest_number(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

/// Who put a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run that ends.
    Run,
    /// A continuous job.
    Continuous,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Run => "runs that end",
            Self::Continuous => "a continuous job",
        }
    }
}

/// What manifests of both kinds have.
#[derive(Deserialize)]
struct Head {
    format: u32,
    number: u64,
    generation: Option<u64>,
}

/// Reads manifest `number`, which must be of this kind.
pub(super) fn read_manifest<T: for<'a> Deserialize<'a>>(
    root: &Path,
    number: u64,
    wanted: Kind,
) -> Result<T, SinkError> {
    let path = manifest_path(root, number);
    let head: Head = read_json(&path)?;
    if head.format != FORMAT || head.number != number {
        let problem = format!("holds format {} and number {}", head.format, head.number);
        return Err(SinkError::Unreadable { path, problem });
    }
    let found = match head.generation {
        None => Kind::Run,
        Some(_) => Kind::Continuous,
    };
    if found != wanted {
        return Err(SinkError::OtherKind {
            root: root.to_path_buf(),
            found: found.words(),
            wanted: wanted.words(),
        });
    }
    read_json(&path)
}

/// Where manifest `number` stands.
pub(super) fn manifest_path(root: &Path, number: u64) -> PathBuf {
    root.join("_caudal")
        .join("manifest")
        .join(format!("{number:08}.json"))
}

/// Inode number of what lies at `path`, if anything does.
fn inode(path: &Path) -> Result<Option<u64>, SinkError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SinkError::io(path, "looking at a folder", error)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) fn sink(name: &str, path: &str) -> SinkPlan {
        SinkPlan {
            delta: None,
            name: name.to_owned(),
            from: SinkFrom::Rows,
            to: SinkTo::Files {
                path: path.into(),
                partition_by: Vec::new(),
            },
            format: SinkFormat::Json(Decimals::Number),
            columns: Vec::new(),
        }
    }

    const SINKS: [&str; 3] = ["a", "deep/b", "c"];

    fn sinks() -> Vec<SinkPlan> {
        SINKS
            .iter()
            .map(|path| sink(&format!("{path} sink"), path))
            .collect()
    }

    fn open(root: &Path) -> OutputRoot {
        OutputRoot::open(root, "ventas", &sinks()).unwrap()
    }

    /// Stages one file a sink that says `text`.
    fn stage(output: &OutputRoot, text: &str) -> (Run, Vec<StagedFile>) {
        let run = output.stage().unwrap();
        let staged = sinks().into_iter().map(|sink| {
            let folder = staged_folder(&run.folder, &sink.name);
            fs::create_dir_all(folder.join("day=1")).unwrap();
            fs::write(folder.join("day=1/part-0-0.jsonl"), text).unwrap();
            let bytes = u64::try_from(text.len()).unwrap();
            StagedFile {
                sink: sink.name.clone(),
                path: "day=1/part-0-0.jsonl".to_owned(),
                rows: 1,
                bytes,
                checksum: None,
            }
        });
        let staged = staged.collect();
        (run, staged)
    }

    /// What readers see of each sink.
    fn seen(root: &Path) -> Vec<Option<String>> {
        SINKS
            .iter()
            .map(|path| fs::read_to_string(root.join(path).join("day=1/part-0-0.jsonl")).ok())
            .collect()
    }

    fn all(text: &str) -> Vec<Option<String>> {
        vec![Some(text.to_owned()); 3]
    }

    #[test]
    fn a_run_replaces_the_one_before_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let mut output = open(root.path());
        let (run, staged) = stage(&output, "old");
        let first = output
            .publish(&run, &sinks(), staged, json!({"rows": 3}))
            .unwrap();
        assert_eq!(
            (first.number, first.sinks[1].rows, seen(root.path())),
            (1, 1, all("old"))
        );
        let (run, staged) = stage(&output, "new");
        let second = output.publish(&run, &sinks(), staged, json!(null)).unwrap();
        assert_eq!((second.number, seen(root.path())), (2, all("new")));
        assert_eq!(newest(root.path()).unwrap(), Some(second));
        assert_eq!(
            entries(&root.path().join("_caudal/staged")).unwrap(),
            BTreeSet::new()
        );
        assert_eq!(
            entries(&root.path().join("a")).unwrap(),
            BTreeSet::from(["day=1".to_owned()])
        );
    }

    /// Does the steps of `publish` until `stop` of them are done.
    fn publish_until(output: &OutputRoot, run: &Run, staged: Vec<StagedFile>, stop: usize) {
        let mut steps = 0;
        let mut done = || {
            steps += 1;
            steps > stop
        };
        if done() {
            return;
        }
        sync(&run.folder, &staged).unwrap();
        let manifest = output
            .manifest(run, &sinks(), staged, json!(null).into())
            .unwrap();
        if done() {
            let path = manifest_path(output.path(), manifest.number);
            fs::write(path.with_file_name(".00000002.json.tmp"), "half a manif").unwrap();
            return;
        }
        put(output.path(), &manifest).unwrap();
        for sink in &manifest.sinks {
            if done() {
                return;
            }
            show(output.path(), &manifest, sink).unwrap();
        }
        if done() {
            return;
        }
        let half = staged_folder(&run.folder, &manifest.sinks[0].sink);
        if half.exists() {
            fs::remove_dir_all(half).unwrap();
        }
        if done() {
            return;
        }
        remove(output.path(), &manifest).unwrap();
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new_run() {
        for first in [false, true] {
            for stop in 0..=7 {
                let root = tempfile::tempdir().unwrap();
                let mut output = open(root.path());
                if !first {
                    let (run, staged) = stage(&output, "old");
                    output.publish(&run, &sinks(), staged, json!(null)).unwrap();
                }
                let (run, staged) = stage(&output, "new");
                publish_until(&output, &run, staged, stop);
                drop(output);

                let committed = stop >= 2;
                // Opening twice is the same as once: a crash in between changes nothing.
                for _ in 0..2 {
                    let output = open(root.path());
                    let expected = match (committed, first) {
                        (true, _) => all("new"),
                        (false, false) => all("old"),
                        (false, true) => vec![None; 3],
                    };
                    assert_eq!(seen(root.path()), expected, "first {first}, stop {stop}");
                    assert_eq!(
                        output.next_number(),
                        1 + u64::from(!first) + u64::from(committed)
                    );
                    assert_eq!(
                        entries(&root.path().join("_caudal/staged")).unwrap(),
                        BTreeSet::new()
                    );
                }
                let mut output = open(root.path());
                let (run, staged) = stage(&output, "newer");
                output.publish(&run, &sinks(), staged, json!(null)).unwrap();
                assert_eq!(seen(root.path()), all("newer"));
            }
        }
    }

    #[test]
    fn rows_are_added_or_not_whatever_a_crash_leaves() {
        // The names of all files of a sink, and their texts.
        let files = |root: &Path| {
            let folder = root.join("a/day=1");
            let names = entries(&folder).unwrap().into_iter();
            names
                .map(|name| {
                    let text = fs::read_to_string(folder.join(&name)).unwrap();
                    (name, text)
                })
                .collect::<Vec<_>>()
        };
        let named = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect::<Vec<_>>()
        };
        for stop in 0..=7 {
            let root = tempfile::tempdir().unwrap();
            let mut output = open(root.path());
            let (run, staged) = stage(&output, "first");
            output.publish(&run, &sinks(), staged, json!(null)).unwrap();
            let (run, mut staged) = stage(&output, "second");
            output
                .add_published(&run, &sinks(), Added::Clean, &mut staged)
                .unwrap();
            publish_until(&output, &run, staged, stop);
            drop(output);
            let mut output = open(root.path());
            let expected = if stop < 2 {
                named(&[("part-0-0.jsonl", "first")])
            } else {
                named(&[("part-0-0-r1.jsonl", "first"), ("part-0-0.jsonl", "second")])
            };
            assert_eq!(files(root.path()), expected, "stop {stop}");
            let (run, mut staged) = stage(&output, "third");
            output
                .add_published(&run, &sinks(), Added::Clean, &mut staged)
                .unwrap();
            let manifest = output.publish(&run, &sinks(), staged, json!(null)).unwrap();
            let texts: Vec<String> = files(root.path())
                .into_iter()
                .map(|(_, text)| text)
                .collect();
            let expected = if stop < 2 {
                vec!["first", "third"]
            } else {
                vec!["first", "second", "third"]
            };
            assert_eq!(texts, expected, "stop {stop}");
            assert_eq!(
                manifest.sinks[0].rows,
                u64::try_from(expected.len()).unwrap()
            );
        }
    }

    #[test]
    fn a_manifest_is_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let mut output = open(root.path());
        let (run, staged) = stage(&output, "new");
        fs::write(manifest_path(root.path(), 1), "of someone else").unwrap();
        let error = output
            .publish(&run, &sinks(), staged, json!(null))
            .unwrap_err();
        assert!(matches!(error, SinkError::ManifestTaken { .. }), "{error}");
        assert_eq!(seen(root.path()), vec![None; 3]);
        assert_eq!(
            fs::read_to_string(manifest_path(root.path(), 1)).unwrap(),
            "of someone else"
        );
    }

    #[test]
    fn folders_changed_from_outside_are_not_guessed_about() {
        let root = tempfile::tempdir().unwrap();
        let output = open(root.path());
        let (run, staged) = stage(&output, "new");
        publish_until(&output, &run, staged, 2);
        drop(output);
        let moved = staged_folder(&run.folder, "a sink");
        fs::rename(&moved, root.path().join("kept")).unwrap();
        let error = OutputRoot::open(root.path(), "ventas", &sinks()).unwrap_err();
        assert!(matches!(error, SinkError::Unfinished { .. }), "{error}");
        fs::rename(root.path().join("kept"), root.path().join("a")).unwrap();
        drop(open(root.path()));
        assert_eq!(seen(root.path()), all("new"));
    }
}
