//! The chain of an output root: how a continuous job adds files, each commit once, whichever process dies or lingers.
//!
//! A bounded run replaces whole folders ([`super::OutputRoot`]); a continuous job adds files to them at each commit and never
//! takes any away. Many lives of it ("generations", numbers that only grow, each claimed once in the journal) write to one
//! root one after another, and an old one may not know yet that it is over.
//!
//! ```text
//! take over, generation G                             commit (from, to], generation G
//! 1. put    an empty manifest of G at n+1  <─ fence   1. sync    staged files and folders are on the disk
//! 2. show   what was committed and not shown          2. put     manifest n+1, to the name that was free  <─ the commit
//! 3. tidy   what older generations staged             3. show    each file is renamed into its visible folder; synced
//!           add to Delta tables what they lack         4. remove  the commit's staged folder: all of it was shown
//! 4. add    one file without rows to each sink        5. add     its files to Delta tables, where sinks are such ([`super::delta`])
//!           that has none, by a commit
//! ```
//!
//! ```text
//! ROOT/enriched/date=2026-03-14/part-7-5210-0-0.parquet    part-GENERATION-TO-WORKER-NUMBER
//!      _caudal/manifest/00001234.json                      one a commit or a take-over, dense, never overwritten
//!      _caudal/manifest/fold-00001000.jsonl                manifests 1 to 1000, one a line
//!      _caudal/staged/gen-00000007-00000093/sink=enriched/date=2026-03-14/part-0-0.parquet
//! ```
//!
//! **Each epoch is in one commit.** A manifest says (from, to], and `from` is the `to` of the one before it. Names are put
//! where they are free, so a number is put once. Of whom it is follows: G puts at n+1 only where n is its own, or, taking
//! over, where n is of an older one. By induction generations never decrease along the chain. After G's first manifest, at
//! k, a generation F < G can put nothing: its last is some j < k, and j+1 is taken, at the latest by k. So F is told
//! [`SinkError::Fenced`], and what G reads in its own first manifest as `to` is final: [`Chain::committed`], not what
//! [`Chain::open`] saw, says where to begin.
//!
//! **Each commit is shown once and whole, in the end.** Readers of folders see a file under its last name only, whole and
//! synced (2 and 3 of a commit come after 1). A name has generation and `to` in it, which no other commit has, so no file
//! takes another's place. A rename is done or not: where the staged name is gone and the visible one has the file's size, it
//! is done. So 3 may be repeated from any point, by anyone, by two at a time. That nothing is left to show is told by
//! the staged folder's absence (4 comes after the visible names were synced), so files may be taken away from visible
//! folders. No manifest is put by a generation before all commits below are shown (take-over: 2 before 4; commit: 3 before the
//! next), so only the newest commit may need showing, and each manifest names it.
//!
//! **Readers of manifests see whole commits**: all of [`files`] up to some `to`, each epoch once. A file of the newest commit
//! may not stand under its visible name for the moment between 2 and 3.
//!
//! **A lingering generation does no harm.** F < G may still write staged files while G tidies up: they lie in folders of F
//! alone, no manifest can name them any more, and the next take-over removes what F has made anew. F may still show its last
//! commit: the same renames that G does or has done. F may be in step 3 of its own take-over: it removes what is older than F,
//! never what is newer. What F commits before k is no harm but a commit.
//!
//! **Old manifests are folded** by thousands ([`fold`]), each once, so that a folder holds few names and all of it is written
//! twice at most. Folding frees names, to which one who slept for a thousand commits might put. So a put counts only
//! where, after it, no fold covers the number. A fold is there before a name in it is freed: who put to a freed name sees it. Who
//! sees one after a put that was in time has been fenced since, and its commit is in the fold.
//!
//! Locks: none. Fencing by the chain holds where an old process sleeps with its lock, or on another machine. Only while it
//! takes over a job shares the lock that a bounded run holds alone, so that the two don't meet in a new root.
//!
//! Tests stop at every step, alone and two generations against each other: `chain/tests.rs`.

mod by_epoch;
mod fold;
mod manifest;
mod show;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use self::by_epoch::{OfEpochs, by_epoch};
pub use self::fold::{CommittedFile, Manifests, files, manifests, open};
pub use self::manifest::{Added, CheckpointSaid, Manifest, RowsOfSink, SentMessages, newest};
use self::manifest::{Put, put};
use self::steps::Steps;
use super::delta::Table;
use super::output::{
    FORMAT, check_paths, claim, file_sinks, is_owned, lock, make_folders, refuse_foreign_folders,
    staged_folder, staged_run,
};
use super::publish::{
    ManifestFile, QUARANTINE, QUARANTINE_FOLDER, VERDICTS, VERDICTS_FOLDER, sync,
};
use super::{SinkError, StagedFile, output_schema, write_empty};
use crate::job::plan::{SinkPlan, keeps_quarantine};
use crate::record::Epoch;

/// The interval in which a take-over stages files without rows. Those of the job begin at 1.
const OF_TAKE_OVER: u64 = 0;

/// A root that was looked at. Nothing is written yet, and nothing is held.
#[derive(Debug)]
pub struct Opened<'a> {
    root: PathBuf,
    job: String,
    sinks: &'a [SinkPlan],
    newest: Option<Manifest>,
    steps: Steps,
}

/// A root that this generation commits to, until a newer one takes over. Dropping it changes nothing.
///
/// Ownership: one a root and process 0; writers of all processes stage below [`staged`] without it.
#[derive(Debug)]
pub struct Chain {
    root: PathBuf,
    job: String,
    generation: u64,
    /// The folder of each sink that writes files, relative to the root.
    folders: BTreeMap<String, String>,
    /// The newest manifest, which is of this generation.
    newest: Manifest,
    /// The sinks that are Delta tables, too.
    tables: Vec<Table>,
    steps: Steps,
}

/// What a continuous job has done since its last commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The interval that its writers staged in: from 1, each at most once in a generation. All that lies there belongs to this
    /// commit.
    pub interval: u64,
    /// The last epoch that is in it.
    pub to: Epoch,
    /// The files of all writers of all workers, whole.
    pub files: Vec<StagedFile>,
    /// What the job says of these epochs: rows, verdicts.
    pub summary: serde_json::Value,
    /// What recovery wants to find with it.
    pub checkpoint: serde_json::Value,
}

/// Where the writers of `generation` stage what they get in `interval`, below an output root: what
/// [`super::SinkWriter::new`] takes. Writers make the folder with their first file.
pub fn staged(root: &Path, generation: u64, interval: u64) -> PathBuf {
    staged_run(root, &staged_name(generation, interval))
}

fn staged_name(generation: u64, interval: u64) -> String {
    format!("gen-{generation:08}-{interval:08}")
}

/// By what files are known that `generation` writes beside others.
pub(super) fn tag(generation: u64) -> String {
    format!("gen-{generation:08}")
}

impl Chain {
    /// Looks whether `root` may take what a continuous `job` writes by `sinks`.
    ///
    /// Errors: [`SinkError::BadFolder`], [`SinkError::ForeignRoot`], [`SinkError::ForeignFolder`],
    /// [`SinkError::OtherKind`] where bounded runs have written it, [`SinkError::Unreadable`], answers of the file system.
    pub fn open<'a>(
        root: &Path,
        job: &str,
        sinks: &'a [SinkPlan],
    ) -> Result<Opened<'a>, SinkError> {
        check_paths(sinks)?;
        is_owned(root, job)?;
        let newest = newest(root)?;
        let written = newest.as_ref().map(|newest| newest.folders.clone());
        refuse_foreign_folders(root, sinks, &written.unwrap_or_default())?;
        Ok(Opened {
            root: root.to_path_buf(),
            job: job.to_owned(),
            sinks,
            newest,
            steps: Steps::default(),
        })
    }

    /// The last epoch that is committed, once and for all until this chain commits. Epoch 0 is, by taking over, where there are
    /// files to write.
    pub fn committed(&self) -> Option<Epoch> {
        self.newest.to
    }

    /// The generation that commits by it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The newest manifest.
    pub fn newest(&self) -> &Manifest {
        &self.newest
    }

    /// Where this generation's writers stage in `interval`: see [`staged`].
    pub fn stage(&self, interval: u64) -> PathBuf {
        staged(&self.root, self.generation, interval)
    }

    /// Commits (committed, to] and shows its files. Epochs between two commits belong to the later one, so one without
    /// files may be left out.
    ///
    /// Errors: [`SinkError::Fenced`] where a newer generation has taken over; [`SinkError::Staged`] and answers of the file
    /// system. After any but the first, the same commit may be tried again: where it was put, that is seen. Who gives up instead
    /// leaves what the next generation completes or removes.
    ///
    /// # Panics
    ///
    /// Where `to` is committed already, and where files are not of the job's sinks or two have one name.
    pub fn commit(&mut self, commit: Commit) -> Result<Manifest, SinkError> {
        let committed = self.committed();
        assert!(
            committed.is_none_or(|committed| commit.to > committed),
            "epoch {} is committed already, up to {committed:?}",
            commit.to
        );
        self.add(commit)
    }

    fn add(&mut self, commit: Commit) -> Result<Manifest, SinkError> {
        self.try_add(commit)
            .map_err(|error| why(&self.root, self.generation, error))
    }

    /// The steps of a commit.
    fn try_add(&mut self, commit: Commit) -> Result<Manifest, SinkError> {
        let stage = self.stage(commit.interval);
        let files = commit.files.clone();
        let manifest = self.manifest(commit);
        if !manifest::is_put(&self.root, &manifest)? {
            check_staged(&stage, &files)?;
            self.steps.at("sync staged files")?;
            sync(&stage, &files)?; // 1
            let newer = match put(&self.root, &manifest, &mut self.steps)? {
                Put::Done => None, // 2
                Put::Taken(other) => Some(*other),
                Put::Folded => newest(&self.root)?,
            };
            if let Some(newer) = newer {
                return Err(fenced(&self.root, self.generation, newer.generation));
            }
        }
        show::show(&self.root, &manifest, &mut self.steps)?; // 3, 4
        for table in &mut self.tables {
            self.steps.at("add to a Delta table")?;
            table.commit(&manifest)?;
        }
        fold::fold(&self.root, &manifest, &mut self.steps)?;
        self.newest = manifest.clone();
        Ok(manifest)
    }

    /// The next manifest, not put yet.
    fn manifest(&self, commit: Commit) -> Manifest {
        let mut by_sink: BTreeMap<&str, Vec<ManifestFile>> = BTreeMap::new();
        for file in &commit.files {
            by_sink.entry(&file.sink).or_default().push(ManifestFile {
                path: show::visible(&file.path, self.generation, commit.to),
                rows: file.rows,
                bytes: file.bytes,
                checksum: file.checksum,
            });
        }
        let mut folders = self.newest.folders.clone();
        let mut sinks = Vec::new();
        for (sink, mut files) in by_sink {
            let path = self.folders.get(sink);
            let path = path.expect("staged files belong to the job's sinks");
            files.sort_by(|a, b| a.path.cmp(&b.path));
            let twice = files.windows(2).find(|two| two[0].path == two[1].path);
            assert!(twice.is_none(), "two files have one name: {twice:?}");
            folders.insert(path.clone());
            sinks.push(Added {
                sink: sink.to_owned(),
                path: path.clone(),
                files,
            });
        }
        let number = self.newest.number + 1;
        Manifest {
            format: FORMAT,
            number,
            job: self.job.clone(),
            generation: self.generation,
            staged: Some(staged_name(self.generation, commit.interval)),
            commit: Some(number),
            from: self.newest.to,
            to: Some(commit.to),
            summary: commit.summary,
            checkpoint: commit.checkpoint,
            folders,
            sinks,
        }
    }
}

fn fenced(root: &Path, generation: u64, newer: u64) -> SinkError {
    SinkError::Fenced {
        root: root.to_path_buf(),
        generation,
        newer,
    }
}

/// What went wrong in truth: where a newer generation has taken over, it has removed what was not found.
fn why(root: &Path, generation: u64, error: SinkError) -> SinkError {
    match newest(root) {
        Ok(Some(newest)) if newest.generation > generation => {
            fenced(root, generation, newest.generation)
        }
        _ => error,
    }
}

impl Opened<'_> {
    /// The last epoch that is committed as far as can be seen now. Others may still commit: see [`Chain::committed`].
    pub fn committed(&self) -> Option<Epoch> {
        self.newest.as_ref().and_then(|newest| newest.to)
    }

    /// The newest generation that has written here.
    pub fn newest_generation(&self) -> Option<u64> {
        self.newest.as_ref().map(|newest| newest.generation)
    }

    /// Makes `generation` the one that commits here. It must have been claimed by this process alone; taking over a second time with
    /// the same number, after an error, goes on where it stopped.
    ///
    /// Errors: [`SinkError::Fenced`] where a newer one is here, [`SinkError::Locked`] where a bounded run is,
    /// [`SinkError::Lost`], answers of the file system.
    pub fn take_over(self, generation: u64) -> Result<Chain, SinkError> {
        let root = self.root.clone();
        self.try_take_over(generation)
            .map_err(|error| why(&root, generation, error))
    }

    fn try_take_over(mut self, generation: u64) -> Result<Chain, SinkError> {
        self.steps.at("make folders")?;
        make_folders(&self.root)?;
        let shared = lock(&self.root, FlockOperation::NonBlockingLockShared)?;
        claim(&self.root, &self.job, &tag(generation))?;
        let newest = self.fence(generation)?; // 1
        drop(shared);
        let of_job = file_sinks(self.sinks).map(|(plan, path)| (plan.name.clone(), path));
        let own = keeps_quarantine(self.sinks)
            .then(|| (QUARANTINE.to_owned(), QUARANTINE_FOLDER.to_owned()));
        let history = [(VERDICTS.to_owned(), VERDICTS_FOLDER.to_owned())];
        let mut chain = Chain {
            root: self.root,
            job: self.job,
            generation,
            folders: of_job.chain(own).chain(history).collect(),
            newest,
            tables: Vec::new(),
            steps: self.steps,
        };
        chain.complete(self.sinks)?;
        Ok(chain)
    }

    /// Step 1: gives the manifest of this generation that was put, or found.
    fn fence(&mut self, generation: u64) -> Result<Manifest, SinkError> {
        let mut before = newest(&self.root)?;
        loop {
            let found = before.as_ref().map_or(0, |before| before.generation);
            if found > generation {
                return Err(fenced(&self.root, generation, found));
            }
            if let Some(own) = before.take_if(|before| before.generation == generation) {
                manifest::make_last(&self.root)?;
                return Ok(own);
            }
            let to = before.as_ref().and_then(|before| before.to);
            let manifest = Manifest {
                format: FORMAT,
                number: before.as_ref().map_or(1, |before| before.number + 1),
                job: self.job.clone(),
                generation,
                staged: None,
                commit: before.as_ref().and_then(|before| before.commit),
                from: to,
                to,
                summary: serde_json::Value::Null,
                checkpoint: serde_json::Value::Null,
                folders: before.map(|before| before.folders).unwrap_or_default(),
                sinks: Vec::new(),
            };
            match put(&self.root, &manifest, &mut self.steps)? {
                Put::Done => return Ok(manifest),
                Put::Taken(other) => before = Some(*other),
                Put::Folded => before = newest(&self.root)?,
            }
        }
    }
}

impl Chain {
    /// Steps 2 to 4 of taking over.
    fn complete(&mut self, sinks: &[SinkPlan]) -> Result<(), SinkError> {
        if let Some(number) = self.newest.commit {
            let newest = manifest::read(&self.root, number)?;
            show::note_roll_forward(&self.root, &newest);
            show::show(&self.root, &newest, &mut self.steps)?; // 2
        }
        show::tidy(&self.root, self.generation, &mut self.steps)?; // 3
        for plan in sinks {
            let table = Table::open(&self.root, &self.job, plan, self.generation)?;
            self.tables.extend(table);
        }
        self.complete_tables()?;
        let stage = self.stage(OF_TAKE_OVER);
        let mut files = Vec::new();
        for (plan, path) in file_sinks(sinks) {
            if !self.newest.folders.contains(&path) {
                self.steps.at("stage a file without rows")?;
                files.push(write_empty(plan, &output_schema(plan), &stage)?);
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        // 4: no rows are in epoch 0, and none between `committed` and itself.
        self.add(Commit {
            interval: OF_TAKE_OVER,
            to: self.committed().unwrap_or(0),
            files,
            summary: serde_json::Value::Null,
            checkpoint: serde_json::Value::Null,
        })?;
        Ok(())
    }
}

impl Chain {
    /// Adds to Delta tables what was committed and is not in them: as a rule nothing, or the newest commit.
    fn complete_tables(&mut self) -> Result<(), SinkError> {
        let Some(committed) = self.newest.to else {
            return Ok(());
        };
        let lacks = |table: &Table| table.to.is_none_or(|to| to < committed);
        if !self.tables.iter().any(lacks) {
            return Ok(());
        }
        let done = self.tables.iter().map(|table| table.to).min().flatten();
        let mut missing: Vec<Manifest> = Vec::new();
        let mut number = self.newest.number;
        // Backwards as far as single manifests go, which is further than any crash is away.
        while number > 0 {
            match manifest::read(&self.root, number) {
                Ok(manifest) if manifest.to <= done => break,
                Ok(manifest) => missing.push(manifest),
                Err(SinkError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    missing = Vec::new();
                    for manifest in manifests(&self.root)? {
                        let manifest = manifest?;
                        if manifest.to > done {
                            missing.push(manifest);
                        }
                    }
                    missing.reverse();
                    break;
                }
                Err(error) => return Err(error),
            }
            number -= 1;
        }
        for manifest in missing.iter().rev() {
            for table in &mut self.tables {
                self.steps.at("add to a Delta table")?;
                table.commit(manifest)?;
            }
        }
        Ok(())
    }
}

/// Makes sure that every file has the size that its writer told: a commit can't be taken back.
fn check_staged(stage: &Path, files: &[StagedFile]) -> Result<(), SinkError> {
    let mut seen = BTreeSet::new();
    for file in files {
        let path = staged_folder(stage, &file.sink).join(&file.path);
        let found = match fs::metadata(&path) {
            Ok(found) if found.len() == file.bytes => None,
            Ok(found) => Some(format!("{} bytes", found.len())),
            Err(error) => Some(format!("no size ({error})")),
        };
        if let Some(found) = found {
            let told = file.bytes;
            return Err(SinkError::Staged { path, found, told });
        }
        assert!(seen.insert(path), "a file is told of twice: {file:?}");
    }
    Ok(())
}
